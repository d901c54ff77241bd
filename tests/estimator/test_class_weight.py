"""``class_weight`` stands for a ``sample_weight``."""

from __future__ import annotations

import numpy as np
import pytest
from estimator.cases import classifier
from sklearn.base import clone
from sklearn.utils.class_weight import compute_sample_weight

LABELS = [["no", "yes"], [False, True], [3, 7, 5], np.array(["a", "b", "c"], object)]


@pytest.mark.parametrize("names", LABELS, ids=str)
def test_class_weight_is_a_sample_weight(three, names):
    X, k = three
    y = np.asarray(names)[np.unique(k, return_inverse=True)[1] % len(names)]
    X, y = X[:60], y[:60]  # the last class is the smallest
    own = np.linspace(0.5, 1.5, 60)
    model = classifier(n_inducing=None, max_iter=20)
    given = {name: 1.0 + i for i, name in enumerate(np.unique(y).tolist())}
    for class_weight in (given, "balanced"):
        weighted = clone(model).set_params(class_weight=class_weight)
        same = compute_sample_weight(class_weight, y)
        assert np.ptp(same) > 0.1
        np.testing.assert_allclose(
            clone(weighted).fit(X, y).predict_proba(X),
            clone(model).fit(X, y, sample_weight=same).predict_proba(X),
            rtol=1e-9,
        )
    np.testing.assert_allclose(
        clone(model).set_params(class_weight=given).fit(X, y, own).predict_proba(X),
        clone(model).fit(X, y, own * compute_sample_weight(given, y)).predict_proba(X),
        rtol=1e-9,
    )


def test_class_weight_balanced_gives_classes_the_same_total(two):
    X, y = two
    repeated = np.repeat(np.arange(60), np.where(y == "yes", 3, 1))
    model = classifier(n_inducing=None, max_iter=20, class_weight="balanced")
    weighted = clone(model).fit(X, y, sample_weight=np.where(y == "yes", 3.0, 1.0))
    np.testing.assert_allclose(
        weighted.predict_proba(X),
        clone(model).fit(X[repeated], y[repeated]).predict_proba(X),
        rtol=1e-5,  # two sites at one row, instead of one
    )


def test_class_weight_of_an_unknown_class_is_refused_as_scikit_learn_does(two):
    X, y = two
    with pytest.raises(ValueError) as error:
        compute_sample_weight({"no": 1.0, "maybe": 2.0}, y)
    with pytest.raises(ValueError) as ours:
        classifier(class_weight={"no": 1.0, "maybe": 2.0}).fit(X, y)
    assert str(ours.value) == str(error.value)
    with pytest.raises(ValueError, match="class_weight.*'even'"):
        classifier(class_weight="even").fit(X, y)


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_class_weight_is_positive(three, weight):
    with pytest.raises(ValueError, match=f"class_weight must be positive.*{weight}.*sample_weight"):
        classifier(class_weight={"virginica": weight}).fit(*three)
