"""Noise that varies with x: ``GaussianProcessRegressor(likelihood="heteroscedastic")``."""

from __future__ import annotations

import functools
import pickle

import numpy as np
import pytest
from estimator.cases import silent
from sklearn.gaussian_process.kernels import RBF, CompoundKernel, ConstantKernel, WhiteKernel

from skgpng import GaussianProcessRegressor

KERNEL = ConstantKernel(1.0) * RBF(1.0)
regressor = functools.partial(
    GaussianProcessRegressor, likelihood="heteroscedastic", random_state=0, tol=1e-3
)


def deviation(X):
    """Of the noise of the data."""
    return 0.05 + 0.5 * (X[:, 0] > 4)


@pytest.fixture(scope="module")
def data():
    rng = np.random.RandomState(0)
    X = rng.uniform(0, 8, (200, 1))
    return X, 100.0 + 10.0 * (np.sin(2 * X[:, 0]) + deviation(X) * rng.randn(200))


@pytest.fixture(scope="module")
def fitted(data):
    return silent(regressor(), *data)


def test_the_noise_is_found(fitted):
    X = np.array([[1.0], [2.5], [5.5], [7.0]])
    (mean, std), (_, of_f) = (
        fitted.predict(X, return_std=True, include_noise=noisy) for noisy in (True, False)
    )
    # some twenty rows are near each of these, which tell a deviation to a sixth
    np.testing.assert_allclose(np.sqrt(std**2 - of_f**2), 10 * deviation(X), rtol=0.4)
    assert np.all(np.abs(mean - 100.0 - 10.0 * np.sin(2 * X[:, 0])) < 3.0 * of_f)


def test_better_than_one_noise_level(data, fitted):
    rng = np.random.RandomState(1)
    X = rng.uniform(0, 8, (500, 1))
    y = 100.0 + 10.0 * (np.sin(2 * X[:, 0]) + deviation(X) * rng.randn(500))
    one = GaussianProcessRegressor().fit(*data)
    gain = fitted.log_predictive_density(X, y).mean() - one.log_predictive_density(X, y).mean()
    assert gain > 0.4
    low, high = fitted.predict_quantiles(X, [0.05, 0.95]).T
    for side in (X[:, 0] > 4, X[:, 0] <= 4):
        assert 0.84 < np.mean((y > low)[side] & (y < high)[side]) < 0.96
    assert fitted.crps(X, y).mean() < one.crps(X, y).mean()


def test_what_is_reported(fitted):
    """The level of the noise has the units of y squared; as a function of x it has no one value."""
    assert fitted.noise_variance_ is None
    assert set(fitted.likelihood_) == {"variance"} and 0.1 < fitted.likelihood_["variance"] < 30
    assert len(fitted.kernel_.kernels) == 2
    assert np.isfinite(fitted.elbo_) and fitted.converged_


def test_covariance_and_draws_agree_with_the_deviation(fitted):
    X = np.array([[1.0], [1.1], [6.0]])
    for noisy in (True, False):
        std = fitted.predict(X, return_std=True, include_noise=noisy)[1]
        cov = fitted.predict(X, return_cov=True, include_noise=noisy)[1]
        np.testing.assert_allclose(np.sqrt(np.diag(cov)), std, rtol=1e-8)
        draws = fitted.sample_y(X, 4000, random_state=0, include_noise=noisy)
        np.testing.assert_allclose(np.cov(draws), cov, atol=0.06 * np.diag(cov).max())


def test_units_of_y_change_nothing(data, fitted):
    X, y = data
    other = regressor().fit(X, 1e-3 * y - 7.0)
    expected = fitted.predict(X, return_std=True)
    found = other.predict(X, return_std=True)
    np.testing.assert_allclose(found[0], 1e-3 * expected[0] - 7.0, rtol=1e-6)
    np.testing.assert_allclose(found[1], 1e-3 * expected[1], rtol=1e-5)


@pytest.mark.parametrize("changes", [{"n_inducing": 15}, {"n_inducing": 15, "batch_size": 64}])
def test_inducing_points(data, fitted, changes):
    model = regressor(**changes).fit(*data)
    X = np.array([[1.0], [2.0], [3.0], [5.0], [6.0], [7.0]])
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, fitted.predict(X), atol=2.0)
    np.testing.assert_allclose(std, 10 * deviation(X), rtol=0.5)


def test_several_targets_have_each_their_noise(data):
    X, y = data
    rng = np.random.RandomState(3)
    other = np.cos(X[:, 0]) + 0.2 * rng.randn(len(X))
    model = regressor(n_inducing=15).fit(X, np.c_[y, other])
    assert len(model.kernel_.kernels) == 4
    _, std = model.predict([[1.0], [6.0]], return_std=True)
    assert std.shape == (2, 2)
    assert std[1, 0] > 4 * std[0, 0] and std[1, 1] < 2 * std[0, 1]


def test_a_kernel_given_is_that_of_the_function(data):
    kernel = KERNEL + WhiteKernel(0.3)
    model = regressor(kernel, n_inducing=10, max_iter=20).fit(*data)
    ours, of_noise = model.kernel_.kernels
    assert str(ours.k1.k2).startswith("RBF") and ours.k2.noise_level != 0.3
    assert "Matern" in str(of_noise)
    level = model.likelihood_["variance"] / np.var(data[1])
    np.testing.assert_allclose(ours.k2.noise_level, level, rtol=1e-6)


def test_a_kernel_for_each(data):
    pair = CompoundKernel([KERNEL, ConstantKernel(0.5) * RBF(3.0)])
    model = regressor(pair, n_inducing=10, max_iter=20).fit(*data)
    assert all("RBF" in str(k) for k in model.kernel_.kernels)
    with pytest.raises(ValueError, match="CompoundKernel of 3, but there are 2 latent"):
        regressor(CompoundKernel([KERNEL] * 3)).fit(*data)
    noisy = CompoundKernel([KERNEL + WhiteKernel(), KERNEL + WhiteKernel()])
    with pytest.raises(ValueError, match="share one noise"):
        regressor(noisy).fit(*data)


def test_a_level_given_stays(data):
    model = regressor(KERNEL, alpha=4.0, n_inducing=10, max_iter=20).fit(*data)
    np.testing.assert_allclose(model.likelihood_["variance"], 4.0, rtol=1e-12)


def test_before_fit_the_noise_must_be_known():
    with pytest.raises(ValueError, match="Before fit variance"):
        regressor(KERNEL).predict([[0.0]])
    mean, std = regressor(KERNEL, alpha=0.5).predict([[0.0]], return_std=True)
    # the mean of exp(g), of variance 1, is exp(1/2)
    np.testing.assert_allclose(std**2, 1.0 + 0.5 * np.exp(0.5), rtol=1e-10)
    assert mean == 0.0


def test_goes_on(data):
    X, y = data
    model = regressor(n_inducing=10, warm_start=True).fit(X, y)
    elbo = model.elbo_
    model = pickle.loads(pickle.dumps(model)).set_params(max_iter=2).fit(X, y)
    assert model.elbo_ > elbo - 1.0
    stream = regressor(n_inducing=10)
    for part in np.array_split(np.arange(200), 2):
        stream.partial_fit(X[part], y[part])
    std = stream.predict([[1.0], [6.0]], return_std=True)[1]
    assert std[1] > 4 * std[0]


def test_known_noise_of_rows_is_refused(data):
    with pytest.raises(ValueError, match="noise_variance of each row is nothing"):
        regressor().fit(*data, noise_variance=np.ones(200))


def test_where_the_noise_leaves_the_numbers_covariances_stay(data):
    model = regressor(mean="linear", n_inducing=10, max_iter=30).fit(*data)
    cov = model.predict([[1e6], [0.0]], return_cov=True)[1]
    assert not np.isnan(cov).any() and cov[0, 1] == cov[1, 0]
