"""Rows and labels in whatever form they come."""

from __future__ import annotations

import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from estimator.answers import NAMES, answers, assert_same_answers, classifier, regressor

# --- names of columns ----------------------------------------------------------------------------


@pytest.mark.parametrize("make", [regressor, classifier], ids=NAMES)
def test_column_names_are_remembered_and_checked(rows, make):
    X, y = rows
    numbers = pd.DataFrame(X, columns=["width", "height"])
    target = y if make is regressor else np.where(y > 0.0, "high", "low")
    model = make().fit(numbers, target)
    assert list(model.feature_names_in_) == ["width", "height"] and model.n_features_in_ == 2
    assert all(isinstance(name, str) for name in model.feature_names_in_)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = answers(model, numbers)
    methods = ["predict"] + (
        ["predict_quantiles", "sample_y"]
        if make is regressor
        else ["predict_proba", "decision_function", "latent_mean_and_variance"]
    )
    for method in methods:
        ask = getattr(model, method)
        with pytest.raises(ValueError, match="same order"):
            ask(numbers[["height", "width"]])
        with pytest.raises(ValueError, match="missing.*\n- height"):
            ask(numbers[["width"]])
        with pytest.raises(ValueError, match="unseen.*\n- depth"):
            ask(numbers.assign(depth=0.0))
        with pytest.warns(UserWarning, match="does not have valid feature names"):
            ask(numbers.to_numpy())
    with pytest.raises(ValueError, match="names|missing"):
        model.score(numbers[["height", "width"]], target)
    nameless = make().fit(numbers.to_numpy(), target)
    assert not hasattr(nameless, "feature_names_in_")
    with pytest.warns(UserWarning, match="fitted without feature names"):
        assert_same_answers(answers(nameless, numbers), expected)
    # a second fit forgets the names of the first
    assert not hasattr(model.fit(numbers.to_numpy(), target), "feature_names_in_")


# --- labels --------------------------------------------------------------------------------------

LABELS = {
    "object": np.array(["a", "bb", "ccc"], dtype=object),
    "string": np.array(["a", "bb", "ccc"]),
    "gaps": np.array([-3, 7, 100]),
    "unsigned": np.array([0, 7, 200], dtype=np.uint8),
    "whole floats": np.array([-1.0, 0.0, 1.0]),
    "bool": np.array([False, True]),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_kind(codes, kind):
    X, y = codes
    names = LABELS[kind]
    y = np.minimum(y, len(names) - 1)
    model, plain = classifier().fit(X, names[y]), classifier().fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), plain.predict_proba(X))
    assert model.classes_.dtype == names.dtype and list(model.classes_) == list(names)
    predicted = model.predict(X)
    assert predicted.dtype == names.dtype
    np.testing.assert_array_equal(predicted, names[plain.predict(X)])
    assert model.score(X, names[y]) > 0.8
    assert classifier().fit(X.tolist(), names[y].tolist()).score(X, names[y]) > 0.8


@pytest.mark.parametrize("dtype", ["category", "str", "string"])
def test_labels_of_pandas(codes, dtype):
    X, y = codes
    # the order of the categories says otherwise; classes_ are sorted as everywhere
    names = pd.Series(np.array(["low", "middle", "top"])[y], index=np.arange(60)[::-1])
    labels = pd.Categorical(names, ["top", "low", "middle"]) if dtype == "category" else names
    labels = pd.Series(labels, index=names.index, dtype=dtype)
    model = classifier().fit(X, labels)
    assert list(model.classes_) == ["low", "middle", "top"]
    np.testing.assert_array_equal(model.predict_proba(X), classifier().fit(X, y).predict_proba(X))
    assert model.score(X, labels) > 0.8


def test_targets_that_are_no_labels_are_named(rows):
    X, y = rows
    with pytest.raises(ValueError, match="continuous"):
        classifier().fit(X, y)
    with pytest.raises(ValueError, match="1d array"):
        classifier().fit(X, np.column_stack([y > 0, y > 1]))
    with pytest.raises(ValueError, match="could not convert string to float|numeric"):
        regressor().fit(X, np.where(y > 0, "high", "low"))


# --- forms of X ----------------------------------------------------------------------------------


def new_file(folder):
    return folder / f"{len(list(folder.iterdir()))}.dat"


def memory_mapped(X, folder):
    mapped = np.memmap(new_file(folder), X.dtype, "w+", shape=X.shape)
    mapped[:] = X
    return mapped


def read_from_disk(X, folder):
    file = new_file(folder)
    joblib.dump(X, file)
    return joblib.load(file, mmap_mode="r")


def read_only(X, folder):
    frozen = X.copy()
    frozen.setflags(write=False)
    return frozen


FORMS = {
    "memmap": memory_mapped,
    "joblib memmap": read_from_disk,
    "read-only": read_only,
    "fortran": lambda X, folder: np.asfortranarray(X),
    "every other row": lambda X, folder: np.repeat(X, 2, 0)[::2],
    "columns backwards": lambda X, folder: X[:, ::-1].copy()[:, ::-1],
    "big endian": lambda X, folder: X.astype(">f8"),
    "float32": lambda X, folder: X.astype(np.float32),
    "int": lambda X, folder: X.astype(int),
    "lists": lambda X, folder: X.tolist(),
    "objects": lambda X, folder: X.astype(object),
    "data frame": lambda X, folder: pd.DataFrame(X),
    "nullable data frame": lambda X, folder: pd.DataFrame(X).astype("Float64"),
}


@pytest.mark.parametrize("n_inducing", [None, 8])
@pytest.mark.parametrize("make", [regressor, classifier], ids=NAMES)
@pytest.mark.parametrize("form", FORMS)
def test_form_of_X_does_not_matter(rows, tmp_path, form, make, n_inducing):
    X, y = rows
    X = np.round(4.0 * X)  # whole numbers: no form rounds them
    y = y if make is regressor else y > 0.0
    other = FORMS[form](X, tmp_path)
    model, same = make(n_inducing=n_inducing).fit(X, y), make(n_inducing=n_inducing).fit(other, y)
    assert_same_answers(answers(same, other), answers(model, X))
    np.testing.assert_array_equal(np.asarray(other, dtype=float), X)  # and X is left as it was


def test_forms_of_y_and_of_what_comes_with_it(rows, tmp_path):
    X, y = rows
    y = np.round(8.0 * y) / 8.0
    weight, noise = np.arange(60.0) % 3, np.arange(60.0) % 5
    expected = regressor().fit(X, y, weight, noise).predict(X)
    for form in ("read-only", "joblib memmap", "every other row", "lists", "float32"):
        change = FORMS[form]
        same = regressor().fit(X, *(change(v, tmp_path) for v in (y, weight, noise)))
        np.testing.assert_allclose(same.predict(X), expected, rtol=1e-9)
    table = [pd.Series(v, index=np.arange(60)[::-1]) for v in (y, weight, noise)]
    np.testing.assert_allclose(regressor().fit(X, *table).predict(X), expected, rtol=1e-9)


@pytest.mark.parametrize("make", [regressor, classifier], ids=NAMES)
def test_sparse_rows_are_refused_by_name(rows, make):
    X, y = rows
    y = y if make is regressor else y > 0.0
    for sparse in (scipy.sparse.csr_matrix(X), scipy.sparse.coo_array(X)):
        with pytest.raises(TypeError, match="[Ss]parse.*dense data is required"):
            make().fit(sparse, y)
        with pytest.raises(TypeError, match="[Ss]parse.*dense data is required"):
            make().fit(X, y).predict(sparse)
