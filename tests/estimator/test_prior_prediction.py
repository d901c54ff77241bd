"""Predictions of a regressor before ``fit`` are those of the prior."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from estimator.cases import KERNEL, regressor, state
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor as SklearnRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    ExpSineSquared,
    Matern,
    WhiteKernel,
)

from skgpng import GaussianProcessRegressor


@pytest.mark.parametrize("kernel", [KERNEL, 2.0 * RBF([1.0, 2.0]) + WhiteKernel(0.3), None])
@pytest.mark.parametrize("alpha", [None, 0.5])
def test_predict_before_fit_is_the_prior(ordered, kernel, alpha):
    X = ordered[0][:7]
    model = GaussianProcessRegressor(kernel, alpha=alpha)
    before = state(model)
    white = 0.3 if "White" in str(kernel) else 0.0
    noise = white + (alpha or 0.0)
    K = (ConstantKernel(1.0) * Matern(nu=2.5) if kernel is None else kernel)(X)
    K_f = K - white * np.eye(7)
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_array_equal(mean, np.zeros(7))
    np.testing.assert_allclose(std, np.sqrt(np.diag(K_f) + noise), rtol=1e-12)
    cov = model.predict(X, return_cov=True)[1]
    np.testing.assert_allclose(cov, K_f + noise * np.eye(7), atol=1e-12)
    for include_noise, extra in ((True, noise), (False, 0.0)):
        std = model.predict(X, return_std=True, include_noise=include_noise)[1]
        np.testing.assert_allclose(std, np.sqrt(np.diag(K_f) + extra), rtol=1e-12)
    assert model.predict_quantiles(X).shape == (7, 3)
    assert state(model) == before


@pytest.mark.parametrize("n_targets", [None, 1, 3])
def test_n_targets_gives_the_shapes_of_the_prior(ordered, n_targets):
    X = ordered[0][:5]
    model = regressor(n_targets=n_targets)
    each = (3,) if n_targets == 3 else ()
    mean, std = model.predict(X, return_std=True)
    assert mean.shape == std.shape == (5, *each)
    assert model.predict(X, return_cov=True)[1].shape == (5, 5, *each)
    assert model.sample_y(X, 4).shape == (5, *each, 4)
    assert model.log_predictive_density(X, mean).shape == (5,)
    theirs = SklearnRegressor(KERNEL, n_targets=n_targets or 1)
    assert theirs.predict(X).shape == mean.shape
    assert theirs.sample_y(X, 4).shape == model.sample_y(X, 4).shape


def test_sample_y_draws_from_the_prior(ordered):
    X = ordered[0][:4]
    model = regressor(alpha=0.2)
    draws = model.sample_y(X, 20_000, random_state=1)
    # means of 20,000 draws scatter by 0.008, covariances by a little more
    np.testing.assert_allclose(draws.mean(1), 0.0, atol=0.05)
    np.testing.assert_allclose(np.cov(draws), KERNEL(X) + 0.2 * np.eye(4), atol=0.06)


def test_nothing_of_the_prior_remains(ordered):
    X, y = ordered
    model = regressor(max_iter=10)
    model.predict(X[:, :1])  # another number of columns, too
    fitted, plain = model.fit(X, y), regressor(max_iter=10).fit(X, y)
    assert vars(fitted).keys() == vars(plain).keys()
    np.testing.assert_array_equal(fitted.predict(X), plain.predict(X))
    mean, std = clone(model).predict(X, return_std=True)
    assert np.all(mean == 0.0) and np.all(std == 1.0)


def test_prior_of_named_columns_has_no_warning():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [0.0, 1.0], "b": [2.0, 3.0]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.all(regressor().predict(frame) == 0.0)


def test_bad_prior_is_named(ordered):
    X, y = ordered
    with pytest.raises(ValueError, match="length_scale.*3 values.*2 features"):
        GaussianProcessRegressor(RBF([1.0, 1.0, 1.0])).predict(X)
    with pytest.raises(ValueError, match="`n_targets`. Got 1 != 2. Set n_targets=None"):
        regressor(n_targets=2).fit(X, y)
    with pytest.raises(ValueError, match="n_targets"):
        regressor(n_targets=0).predict(X)


@pytest.mark.parametrize("kernel", [1.0 * RBF(1.0), 1.0 * ExpSineSquared(), None])
def test_the_prior_warns_of_nothing(kernel):
    rows = np.linspace(0.0, 3.0, 20)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mean, std = GaussianProcessRegressor(kernel).predict(rows, return_std=True)
        draws = GaussianProcessRegressor(kernel).sample_y(rows, 3)
    np.testing.assert_array_equal(mean, 0.0)
    assert np.all(std >= 1.0) and draws.shape == (20, 3)
