"""``GaussianProcessRegressor``: agreement with scikit-learn, and its predictions."""

from __future__ import annotations

import numpy as np
import pytest
from estimator.answers import regressor
from sklearn.gaussian_process import GaussianProcessRegressor as SklearnRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    ExpSineSquared,
    Matern,
    RationalQuadratic,
    WhiteKernel,
)

from skgpng import GaussianProcessRegressor

HELD = RBF(1.0, "fixed") + WhiteKernel(0.1, "fixed")
FREE = RBF(1.0) + WhiteKernel(0.1)
every_model = pytest.mark.parametrize("n_inducing", [None, 10])


@pytest.fixture
def rows(rows):
    """y with a level and a unit."""
    X, y = rows
    return X, 5.0 + 2.0 * y


# --- agreement -----------------------------------------------------------------------------------


def test_exact_regression_equals_scikit_learn(rows):
    X, y = rows
    kernel = ConstantKernel(1.5) * Matern([1.0, 2.0], nu=2.5) + WhiteKernel(0.05)
    theirs = SklearnRegressor(kernel, normalize_y=True).fit(X, y)
    ours = GaussianProcessRegressor(theirs.kernel_, n_inducing=None, optimizer=None).fit(X, y)
    X_new = np.random.RandomState(1).uniform(-3, 3, (10, 2))
    for asked in ("return_std", "return_cov"):
        for a, b in zip(
            ours.predict(X_new, **{asked: True}), theirs.predict(X_new, **{asked: True})
        ):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)
    assert ours.elbo_ == pytest.approx(theirs.log_marginal_likelihood_value_, rel=1e-8)
    assert str(ours.kernel_) == str(theirs.kernel_)
    trained = GaussianProcessRegressor(kernel, n_inducing=None).fit(X, y)
    assert trained.elbo_ > theirs.log_marginal_likelihood_value_ - 0.5


def test_sparse_regression_with_all_rows_equals_exact(rows):
    X, y = rows
    exact = regressor(HELD, n_inducing=None).fit(X, y)
    sparse = regressor(HELD, n_inducing=100, train_inducing=False).fit(X, y)
    for a, b in zip(sparse.predict(X, return_std=True), exact.predict(X, return_std=True)):
        np.testing.assert_allclose(a, b, rtol=1e-4)  # jitter of 1e-6 on the inducing points
    assert sparse.elbo_ <= exact.elbo_ + 1e-6


@every_model
def test_small_gamma_reaches_the_exact_answer(rows, n_inducing):
    X, y = rows
    settings = dict(n_inducing=n_inducing, train_inducing=False, tol=1e-9, max_iter=1000)
    at_once = regressor(HELD, **settings).fit(X, y)
    slowly = regressor(HELD, gamma=0.5, **settings).fit(X, y)
    assert slowly.elbo_ == pytest.approx(at_once.elbo_, rel=1e-6)
    np.testing.assert_allclose(slowly.predict(X), at_once.predict(X), rtol=1e-5)


@pytest.mark.parametrize(
    "kernel",
    [
        ConstantKernel(2.0) * RBF([1.0, 1.0]),
        Matern(nu=0.5),
        Matern(nu=1.5) + ConstantKernel(0.5),
        RationalQuadratic() * ConstantKernel(),
        ExpSineSquared() * RBF(),
        DotProduct() ** 2 + RBF() + WhiteKernel(0.1),
        ConstantKernel(1.0, "fixed") * RBF(1.0, (0.5, 2.0)),
    ],
    ids=str,
)
def test_learned_kernel_is_of_the_form_given_and_within_its_bounds(rows, kernel):
    X, y = rows
    if "ExpSineSquared" in str(kernel):
        X = X[:, :1]  # positive definite in one dimension only
    model = regressor(kernel).fit(X, y)
    assert type(model.kernel_) is type(kernel)
    assert model.kernel_.get_params().keys() == kernel.get_params().keys()
    assert np.all(np.isfinite(model.kernel_(X[:3]))) and np.all(np.isfinite(model.kernel_.theta))
    low, high = model.kernel_.bounds.T
    assert np.all((model.kernel_.theta > low - 1e-9) & (model.kernel_.theta < high + 1e-9))


# --- predictions ---------------------------------------------------------------------------------


@every_model
def test_predicted_covariance_agrees_with_standard_deviation(rows, n_inducing):
    X, y = rows
    model = regressor(FREE, n_inducing=n_inducing).fit(X, y)
    std = {}
    for noise in (True, False):
        std[noise] = model.predict(X[:7], return_std=True, include_noise=noise)[1]
        cov = model.predict(X[:7], return_cov=True, include_noise=noise)[1]
        np.testing.assert_allclose(np.sqrt(np.diag(cov)), std[noise], rtol=1e-6)
    np.testing.assert_allclose(std[True] ** 2 - std[False] ** 2, model.noise_variance_, rtol=1e-6)


@every_model
def test_fit_of_several_targets(rows, n_inducing):
    X, y = rows
    model = regressor(FREE, n_inducing=n_inducing).fit(X, np.column_stack([y, -10.0 * y]))
    mean, std = model.predict(X[:5], return_std=True)
    assert mean.shape == std.shape == (5, 2)
    assert model.predict(X[:5], return_cov=True)[1].shape == (5, 5, 2)
    assert model.sample_y(X[:5], 3).shape == (5, 2, 3)
    assert model.predict_quantiles(X[:5]).shape == (5, 2, 3)
    np.testing.assert_allclose(mean[:, 1], -10.0 * mean[:, 0], rtol=1e-6)
    np.testing.assert_allclose(model.noise_variance_[1], 100.0 * model.noise_variance_[0])


def test_sample_y_has_the_predicted_moments(rows):
    X, y = rows
    model = regressor(FREE, n_inducing=None).fit(X, y)
    draws = model.sample_y(X[:4], 20_000, random_state=1)
    mean, cov = model.predict(X[:4], return_cov=True)
    np.testing.assert_allclose(draws.mean(1), mean, atol=5 * np.sqrt(cov.max() / 20_000))
    np.testing.assert_allclose(np.cov(draws), cov, atol=0.05 * cov.max())
    np.testing.assert_array_equal(draws, model.sample_y(X[:4], 20_000, random_state=1))


def test_predict_quantiles_and_log_predictive_density_are_those_of_a_normal(rows):
    X, y = rows
    model = regressor(FREE, n_inducing=None).fit(X, y)
    mean, std = model.predict(X, return_std=True)
    low, middle, high = model.predict_quantiles(X).T
    np.testing.assert_allclose(middle, mean)
    np.testing.assert_allclose(high - low, 2 * 1.959963985 * std, rtol=1e-6)
    density = np.exp(-0.5 * ((y - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(model.log_predictive_density(X, y), np.log(density))


def test_alpha_is_in_the_units_of_y(rows):
    X, y = rows
    model = regressor(RBF(1.0), alpha=0.04).fit(X, y)
    assert model.noise_variance_ == pytest.approx(0.04)
    shifted = regressor(RBF(1.0), alpha=0.04 * 100).fit(X, 10 * y + 3)
    np.testing.assert_allclose(shifted.predict(X), 10 * model.predict(X) + 3, rtol=1e-6)


def test_a_row_of_large_noise_variance_is_not_trusted(rows):
    X, y = rows
    noisy, known = y.copy(), np.zeros(len(y))
    noisy[0], known[0] = noisy[0] + 50.0, 1e8
    trusting = dict(kernel=RBF(1.0, "fixed"), alpha=0.01, normalize_y=False)
    without = regressor(**trusting).fit(X[1:], y[1:])
    told = regressor(**trusting).fit(X, noisy, noise_variance=known)
    np.testing.assert_allclose(told.predict(X), without.predict(X), atol=1e-4)


def test_regressor_refuses(rows):
    X, y = rows
    with pytest.raises(ValueError, match="noise_variance must hold 60"):
        regressor().fit(X, y, noise_variance=[1.0])
    with pytest.raises(ValueError, match="alpha is in the units"):
        regressor(alpha=0.1).fit(X, np.column_stack([y, y]))
    model = regressor(FREE, n_inducing=None).fit(X, y)
    with pytest.raises(ValueError, match="strictly between"):
        model.predict_quantiles(X, [1.5])
    with pytest.raises(RuntimeError, match="At most one of"):
        model.predict(X, return_std=True, return_cov=True)
