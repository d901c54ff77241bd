"""``feature_relevances_``: which columns move the latent function."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, DotProduct

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor


def test_feature_relevances():
    rng = np.random.RandomState(4)
    X = rng.uniform(-2, 2, (80, 3))
    y = np.sin(2.0 * X[:, 0]) + 0.3 * X[:, 1] + 0.05 * rng.randn(80)
    model = GaussianProcessRegressor(n_inducing=None, random_state=0).fit(X, y)
    relevance = model.feature_relevances_
    assert relevance.shape == (3,) and relevance.sum() == pytest.approx(1.0)
    assert relevance[0] > relevance[1] > relevance[2] and relevance[2] < 0.05
    scaled = clone(model).fit(X * [1e3, 1.0, 1e-3], y).feature_relevances_
    # the same training in other units: rounding only, times some hundred steps
    np.testing.assert_allclose(scaled, relevance, rtol=1e-4, atol=1e-6)
    names = np.where(y > 0, "up", "down")
    relevance = GaussianProcessClassifier(random_state=0).fit(X, names).feature_relevances_
    assert relevance.argmax() == 0 and relevance[2] < 0.1


def test_feature_relevances_of_a_kernel_of_each_class(three):
    X, y = three
    model = GaussianProcessClassifier(RBF([1.0, 1.0]), shared_kernel=False, max_iter=20).fit(X, y)
    each = np.stack([kernel.length_scale for kernel in model.kernel_.kernels])
    expected = np.sqrt(np.sum((X.std(0) / each) ** 2, 0))
    np.testing.assert_allclose(model.feature_relevances_, expected / expected.sum(), rtol=1e-9)


def test_feature_relevances_errors(ordered):
    model = GaussianProcessRegressor(DotProduct(), n_inducing=None, max_iter=5)
    with pytest.raises(AttributeError, match="after fit"):
        model.feature_relevances_  # noqa: B018
    assert not hasattr(model, "feature_relevances_")
    with pytest.raises(AttributeError, match="DotProduct.*has none"):
        model.fit(*ordered).feature_relevances_  # noqa: B018
