"""What users see of models with inducing points: types, chunks, first rows, algebra."""

from __future__ import annotations

import functools
import tracemalloc

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from skgpng import (
    GaussianProcessClassifier,
    GaussianProcessRegressor,
    _base,
    inducing,
    streaming,
    training,
)

# Rows enough for minibatches to be of use; float32 numbers, so that both types hold the same.
N_ROWS = 2500
SIMPLE = ConstantKernel(1.0) * RBF(1.0)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.RandomState(32)
    X = rng.uniform(-3, 3, (N_ROWS, 2)).astype(np.float32)
    return X, 5.0 + 2.0 * np.sin(X[:, 0].astype(float)) + 0.3 * rng.randn(N_ROWS)


@pytest.fixture(scope="module")
def labels(rows):
    X, y = rows
    return X, np.digitize(y, [4.0, 6.0])


@pytest.fixture
def trained(monkeypatch):
    """Structure, data and settings of each training on all rows."""
    seen = []
    monkeypatch.setattr(_base, "_COARSE_FROM", 10**9)

    def train(structure, parameters, q, data, settings, *others, original=training.train):
        seen.append((structure.how, data, settings))
        return original(structure, parameters, q, data, settings, *others)

    monkeypatch.setattr(training, "train", train)
    return seen


make_regressor = functools.partial(
    GaussianProcessRegressor, kernel=SIMPLE, n_inducing=10, max_iter=30, random_state=0
)
make_classifier = functools.partial(
    GaussianProcessClassifier, kernel=SIMPLE, n_inducing=10, max_iter=30, random_state=0
)
estimators = pytest.mark.parametrize("kind", ["collapsed", "minibatch", "classifier"])


def fit(kind, rows, labels, X_dtype="float32", n=N_ROWS, **settings):
    X, y = labels if kind == "classifier" else rows
    make = make_classifier if kind == "classifier" else make_regressor
    batch = {"batch_size": 500} if kind == "minibatch" else {}
    return make(**batch, **settings).fit(X[:n].astype(X_dtype, copy=False), y[:n])


def outputs(model, X):
    """What it predicts, as float64."""
    if hasattr(model, "predict_proba"):
        return [model.predict_proba(X)]
    return [*model.predict(X, return_std=True)]


@estimators
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_float32_rows_predict_as_float64_rows(kind, dtype, rows, labels, trained):
    single = fit(kind, rows, labels, dtype=dtype)
    double = fit(kind, rows, labels, "float64")
    (how, data, _), (other, _, _) = trained
    assert how.X_dtype == data.X.dtype == "float32" and how.dtype == dtype
    assert other.X_dtype == other.dtype == "float64"
    X = rows[0][:200]
    # Rows in float32 differ in nothing but how k-means rounds. Covariances in float32 steer thirty
    # steps of training a little aside; y has a standard deviation of 1.4.
    atol = 1e-6 if dtype == "float64" else 5e-3
    for a, b in zip(outputs(single, X), outputs(double, X.astype(float)), strict=True):
        assert a.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)
    for a, b in zip(outputs(double, X), outputs(double, X.astype(float)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)  # what is fitted takes either type


@estimators
def test_float32_rows_are_trained_on_as_they_are(kind, rows, labels, trained, monkeypatch):
    monkeypatch.setattr(inducing, "_MAX_ROWS", 100)  # means are taken in blocks of 20,000 rows
    # wide rows, so that they outweigh all else
    X = np.random.RandomState(33).randn(10_000, 200).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    settings = {"kernel": None, "inducing_init": "random", "max_iter": 2}
    wide = {"rows": (X, y), "labels": (X, y), "n": len(X)}
    # without the rows, so that the first fit of a process imports and compiles elsewhere
    fit(kind, rows, labels, **settings)
    tracemalloc.start()
    try:
        fit(kind, **wide, **settings)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    data = trained[-1][1]
    assert data.X.dtype == np.float32
    np.testing.assert_array_equal(data.X, X)
    # two copies in float32 while points are chosen, of the rows with a weight and of the distinct
    # ones; one of the two in float64 would make it three
    assert peak < 2.5 * X.nbytes


@pytest.mark.parametrize("kind", ["regressor", "classifier"])
def test_float32_means_nothing_to_exact_models(kind, rows, labels):
    one, other = (
        fit(kind, rows, labels, n_inducing=None, n=60, dtype=dtype)
        for dtype in ("float64", "float32")
    )
    np.testing.assert_array_equal(one.elbo_curve_, other.elbo_curve_)
    X = rows[0][100:120]
    for a, b in zip(outputs(one, X), outputs(other, X), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("make", [make_regressor, make_classifier])
@pytest.mark.parametrize("dtype", ["float16", np.float32, None, 32])
def test_dtype_is_checked(make, dtype, labels):
    with pytest.raises(ValueError, match="The 'dtype' parameter of"):
        make(dtype=dtype).fit(labels[0][:30], labels[1][:30])


@pytest.mark.parametrize("kind", ["collapsed", "classifier"])
@pytest.mark.parametrize("X_dtype", ["float64", "float32"])
def test_greedy_variance_fits(kind, X_dtype, rows, labels):
    model = fit(kind, rows, labels, X_dtype, inducing_init="greedy_variance")
    assert model.inducing_points_.shape == (10, 2) and model.inducing_points_.dtype == np.float64
    X, y = labels if kind == "classifier" else rows
    other = fit(kind, rows, labels, X_dtype)
    assert model.score(X, y) > other.score(X, y) - 0.05


@estimators
def test_a_fit_in_chunks(kind, rows, labels, trained, monkeypatch):
    whole = fit(kind, rows, labels, "float64")
    monkeypatch.setattr(_base, "_CHUNK", 10)
    monkeypatch.setattr(_base, "_BLOCK", 10)
    model = fit(kind, rows, labels, "float64")
    (plain, _, _), (how, data, settings) = trained
    assert not plain.chunked and len(data.X) == N_ROWS
    # batches of 500 rows need none; 1024 rows go at a time in any case
    assert how.chunked == (kind != "minibatch") and settings.chunk_size == 1024
    np.testing.assert_allclose(model.elbo_curve_, whole.elbo_curve_, rtol=1e-8)
    X = rows[0][:200]
    for a, b in zip(outputs(model, X), outputs(whole, X), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)


@pytest.fixture
def first_rows(monkeypatch):
    """What each training begins with, and its data."""
    seen = []

    def train(*arguments, original=training.train, **settings):
        seen.append((arguments[8] if len(arguments) > 8 else None, arguments[3]))
        return original(*arguments, **settings)

    monkeypatch.setattr(training, "train", train)
    return seen


def test_a_classifier_begins_on_a_quarter_of_the_rows(rows, labels, first_rows):
    weights = np.random.RandomState(34).uniform(0.5, 2.0, N_ROWS)
    model = make_classifier(max_iter=60).fit(*labels, sample_weight=weights)
    (((part, n_steps), data),) = first_rows
    assert n_steps == 20 and len(part.X) == N_ROWS // 4 and model.n_iter_ == 60
    known = set(map(tuple, data.X))
    assert len({*map(tuple, part.X)}) == N_ROWS // 4 and all(tuple(x) in known for x in part.X)
    assert part.weights.sum() == pytest.approx(weights.sum())
    assert model.score(*labels) > 0.8  # of all classes


@pytest.mark.parametrize(
    "settings",
    [
        {"max_iter": 39},
        {"batch_size": 500},
        {"optimizer": "lbfgs"},
        {"optimizer": None},
        {"n": 1999},
    ],
)
def test_when_all_steps_take_all_rows(settings, rows, labels, first_rows):
    fit("classifier", rows, labels, **{"max_iter": 40, **settings})
    assert first_rows[-1][0] is None


def test_a_training_that_goes_on_takes_all_rows(rows, labels, first_rows):
    model = fit("classifier", rows, labels, max_iter=40, warm_start=True)
    model.fit(*labels)
    assert [first is None for first, _ in first_rows] == [False, True]


def test_a_stream_in_chunks(rows, trained, monkeypatch):
    # rows that are remembered come beside the chunks
    X, y = rows
    parts = [slice(0, 1250), slice(1250, None)]
    fitted = []
    monkeypatch.setattr(streaming, "capacity", lambda n_inducing: 0)  # no row is kept
    for chunk in (_base._CHUNK, 10):
        monkeypatch.setattr(_base, "_CHUNK", chunk)
        model = make_regressor(max_iter=10)
        for part in parts:
            model.partial_fit(X[part], y[part])
        fitted.append(model)
    seen = [(how.memory, how.chunked) for how, _, _ in trained]
    assert seen == [(False, False), (True, False), (False, True), (True, True)]
    for a, b in zip(*(outputs(model, X[:200]) for model in fitted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)


def test_rows_are_left_unwhitened_where_that_is_exact_and_saves_work(
    rows, labels, trained, monkeypatch
):
    fit("classifier", rows, labels)  # all rows in one chunk
    monkeypatch.setattr(_base, "_BLOCK", 10)
    fit("classifier", rows, labels)
    # less than four rows for each of three times 209 functions
    fit("classifier", rows, labels, n_inducing=209, max_iter=2)
    fit("classifier", rows, labels, dtype="float32")
    fit("classifier", rows, labels, jitter=1e-12)
    fit("collapsed", rows, labels, gamma=0.5)
    make_classifier().fit(*labels, sample_weight=np.full(N_ROWS, 1e4))
    unwhitened = [not how.whitened for how, _, _ in trained]
    assert unwhitened == [False, True, False, False, False, False, False]


@pytest.mark.parametrize("kind", ["collapsed", "classifier"])
def test_a_fit_with_many_points(kind, rows, labels, trained):
    # from 250 inducing points on, and eight rows a point, LAPACK and BLAS do the algebra
    model = fit(kind, rows, labels, "float64", n_inducing=250, max_iter=5, n=2000)
    other = fit(kind, rows, labels, "float64", n_inducing=249, max_iter=5, n=2000)
    assert [how.algebra for how, _, _ in trained] == ["blas", "tensors"]
    X = rows[0][2000:2200]
    for a, b in zip(outputs(model, X), outputs(other, X), strict=True):
        np.testing.assert_allclose(a, b, atol=0.02)  # a point more changes little
