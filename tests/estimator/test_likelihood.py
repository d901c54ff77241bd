"""The argument ``likelihood``: names, objects, and objects of a user's own."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from skgpng import GaussianProcessRegressor
from skgpng._runtime import tf
from skgpng.likelihoods import Likelihood, Poisson, StudentT
from skgpng.means import Zero

KERNEL = ConstantKernel(1.0) * RBF([1.0, 1.0])


@dataclass(frozen=True)
class Laplace(Likelihood):
    """Only what the documentation asks for."""

    noise, noise_power, log_concave, location, mean = "scale", 0.5, True, True, Zero()

    def log_prob(self, values, F, Y, row=None):
        return -tf.abs(Y - F) / values[0] - tf.math.log(2.0 * values[0])


@pytest.mark.parametrize(("given", "name"), [(StudentT(), "student_t"), (Poisson(), "poisson")])
def test_likelihood_object_equals_its_name(rows, given, name):
    X, y = rows
    y = np.round(np.exp(y))
    a, b = (
        GaussianProcessRegressor(
            KERNEL, likelihood=each, n_inducing=10, max_iter=20, random_state=0
        ).fit(X, y)
        for each in (given, name)
    )
    np.testing.assert_array_equal(a.elbo_curve_, b.elbo_curve_)
    np.testing.assert_array_equal(a.predict_quantiles(X), b.predict_quantiles(X))
    assert a.likelihood_ == b.likelihood_


@pytest.mark.parametrize("given", ["normal", StudentT, None, 1.0])
def test_likelihood_that_is_none_is_named(rows, given):
    with pytest.raises(ValueError, match="'likelihood' parameter.*must be.*'poisson'"):
        GaussianProcessRegressor(likelihood=given).fit(*rows)


@pytest.fixture(scope="module")
def laplace():
    """Rows with a Laplace noise of scale 30 about a function of deviation 100, and a model."""
    rng = np.random.RandomState(0)
    X = rng.uniform(-2.0, 2.0, (150, 2))
    f = 500.0 + 140.0 * np.sin(2.0 * X[:, 0])
    y = f + rng.laplace(0.0, 30.0, 150)
    model = GaussianProcessRegressor(KERNEL, likelihood=Laplace(), n_inducing=20, random_state=0)
    return model.fit(X, y), X, y, f


def test_likelihood_of_ones_own_learns(laplace):
    model, X, y, f = laplace
    assert np.isfinite(model.elbo_curve_).all() and model.n_corrected_steps_ == 0
    assert list(model.likelihood_) == ["scale"]
    assert model.likelihood_["scale"] == pytest.approx(30.0, rel=0.25)
    variance = 2.0 * model.likelihood_["scale"] ** 2
    assert model.noise_variance_ == pytest.approx(variance, rel=1e-4)
    assert np.sqrt(np.mean((model.predict(X) - f) ** 2)) < 20.0
    assert model.score(X, y) > 0.8


def test_likelihood_of_ones_own_predicts_by_its_distribution(laplace):
    model, X, y, _ = laplace
    row, scale = X[:1], model.likelihood_["scale"]
    (mean,), (std,) = model.predict(row, return_std=True, include_noise=False)

    def expected(function, at):
        ends = [mean - 9 * std, *sorted([mean, np.clip(at, mean - 9 * std, mean + 9 * std)])]
        ends.append(mean + 9 * std)
        return sum(
            quad(lambda f: stats.norm.pdf(f, mean, std) * function(at, f, scale), a, b)[0]
            for a, b in zip(ends, ends[1:])
        )

    at = mean + 50.0
    density = np.exp(model.log_predictive_density(row, [at])[0])
    assert density == pytest.approx(expected(stats.laplace.pdf, at), rel=1e-3)
    levels = [0.02, 0.5, 0.9]
    for level, q in zip(levels, model.predict_quantiles(row, levels)[0], strict=True):
        assert expected(stats.laplace.cdf, q) == pytest.approx(level, abs=1e-3)
    low, high = model.predict_quantiles(X, (0.05, 0.95)).T
    assert 0.8 < np.mean((low < y) & (y < high)) < 0.97
    assert np.isfinite(model.crps(X, y)).all()
    draws = model.sample_y(row, 20000)[0]
    assert np.mean(draws < at) == pytest.approx(expected(stats.laplace.cdf, at), abs=0.02)


def test_likelihood_of_ones_own_takes_alpha_and_white_kernel_and_travels(laplace):
    model, X, y, _ = laplace
    fewer = clone(model).set_params(max_iter=20)
    fixed = clone(fewer).set_params(alpha=400.0).fit(X, y)
    assert fixed.likelihood_["scale"] == pytest.approx(20.0)
    white = clone(fewer).set_params(kernel=KERNEL + WhiteKernel(0.04, "fixed")).fit(X, y)
    assert white.likelihood_["scale"] == pytest.approx(0.2 * y.std())
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_quantiles(X), model.predict_quantiles(X))
    with pytest.raises(ValueError, match="leaves rows without noise"):
        clone(model).set_params(alpha=0.0).fit(X, y)
