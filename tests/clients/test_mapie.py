"""mapie's conformal intervals and sets around our estimators."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("mapie")

from mapie.classification import SplitConformalClassifier  # noqa: E402
from mapie.regression import CrossConformalRegressor, SplitConformalRegressor  # noqa: E402

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor  # noqa: E402

RNG = np.random.RandomState(0)
X = RNG.uniform(-3.0, 3.0, (700, 1))
Y = np.sin(2.0 * X[:, 0]) + RNG.standard_t(3, 700) / 5.0  # not the noise that is assumed
FIT, TO, NEW = slice(0, 80), slice(80, 300), slice(300, None)


def share_inside(intervals):
    low, high = intervals[:, 0, 0], intervals[:, 1, 0]
    assert np.all(low < high)
    return np.mean((low <= Y[NEW]) & (Y[NEW] <= high))


# 400 new rows are inside in a share whose standard deviation is 0.015; that of a quantile of 220
# residuals is 0.02
def test_split_intervals_cover():
    model = GaussianProcessRegressor(random_state=0).fit(X[FIT], Y[FIT])
    conformal = SplitConformalRegressor(model, confidence_level=0.9, prefit=True)
    mean, intervals = conformal.conformalize(X[TO], Y[TO]).predict_interval(X[NEW])
    np.testing.assert_allclose(mean, model.predict(X[NEW]))
    assert abs(share_inside(intervals) - 0.9) < 0.06


def test_cross_intervals_cover():
    model = GaussianProcessRegressor(random_state=0)
    conformal = CrossConformalRegressor(model, confidence_level=0.9, cv=4, method="plus")
    conformal.fit_conformalize(X[:200], Y[:200])
    assert abs(share_inside(conformal.predict_interval(X[NEW])[1]) - 0.9) < 0.06


def test_sets_of_labels_cover():
    labels = np.digitize(Y, [-0.5, 0.5])
    model = GaussianProcessClassifier(random_state=0, max_iter=60).fit(X[FIT], labels[FIT])
    conformal = SplitConformalClassifier(model, confidence_level=0.9, prefit=True)
    found, sets = conformal.conformalize(X[TO], labels[TO]).predict_set(X[NEW])
    np.testing.assert_array_equal(found, model.predict(X[NEW]))
    inside = sets[np.arange(len(sets)), labels[NEW], 0]
    assert abs(inside.mean() - 0.9) < 0.06
