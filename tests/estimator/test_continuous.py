"""Laplace, asymmetric Laplace, gamma, exponential and beta, as a user meets them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.metrics import d2_pinball_score, d2_tweedie_score, r2_score
from sklearn.model_selection import KFold, cross_val_predict

from skgpng import GaussianProcessRegressor
from skgpng.likelihoods import AsymmetricLaplace, Gamma

rng = np.random.RandomState(0)
X = rng.uniform(-3.0, 3.0, (300, 1))
F = np.sin(X[:, 0])
SHARE = 1.0 / (1.0 + np.exp(-F))


def d2_gamma(y, predicted):
    return d2_tweedie_score(y, predicted, power=2)


def d2_upper(y, predicted):
    return d2_pinball_score(y, predicted, alpha=0.8)


# name: likelihood, y, its mean (or quantile), what is learned, and the score by scikit-learn
CASES = {
    "laplace": (
        "laplace", 50.0 * F + rng.laplace(0, 10.0, 300), 50.0 * F, {"scale": 10.0}, r2_score,
    ),
    "quantile": (
        AsymmetricLaplace(quantile=0.8), F + 0.3 * rng.randn(300), F + 0.3 * 0.8416,
        {"scale": 0.3 * 0.28, "quantile": 0.8}, d2_upper,
    ),
    "gamma": (
        "gamma", 1e4 * rng.gamma(5.0, np.exp(F) / 5.0), 1e4 * np.exp(F), {"shape": 5.0}, d2_gamma,
    ),
    "exponential": ("exponential", rng.exponential(np.exp(F)), np.exp(F), {}, d2_gamma),
    "beta": ("beta", rng.beta(20 * SHARE, 20 * (1 - SHARE)), SHARE, {"precision": 20.0}, r2_score),
}  # fmt: skip


@pytest.fixture(scope="module", params=CASES)
def fitted(request):
    likelihood, y, *rest = CASES[request.param]
    model = GaussianProcessRegressor(likelihood=likelihood, n_inducing=15, random_state=0)
    return model.fit(X, y), y, *rest


def test_it_learns_what_y_is_drawn_from(fitted):
    model, y, mean, learned, score = fitted
    assert np.sqrt(np.mean((model.predict(X) - mean) ** 2)) < 0.25 * mean.std()
    assert model.likelihood_.keys() == learned.keys()
    for name, value in learned.items():
        assert model.likelihood_[name] == pytest.approx(value, rel=0.3)
    assert model.score(X, y) == pytest.approx(score(y, model.predict(X)))
    assert model.n_corrected_steps_ == 0 or not model._predictor.likelihood.log_concave


def test_it_predicts_a_distribution(fitted):
    model, y, *_ = fitted
    some = X[:40]
    mean, std = model.predict(some, return_std=True)
    np.testing.assert_allclose(mean, model.predict(some), rtol=1e-9)
    assert (std > model.predict(some, return_std=True, include_noise=False)[1]).all()
    low, high = model.predict_quantiles(X, (0.05, 0.95)).T
    assert 0.82 < np.mean((low < y) & (y < high)) < 0.995
    draws = model.sample_y(some, 200)
    model._predictor.likelihood.check(draws)
    assert np.isfinite(model.crps(some, y[:40])).all()
    assert np.isfinite(model.log_predictive_density(some, y[:40])).all()


@pytest.mark.parametrize("name", ["gamma", "exponential", "beta"])
def test_y_that_cannot_be_and_noise_that_is_not_there_are_said(name):
    y = CASES[name][1].copy()
    y[[7, 11]] = -0.5
    model = GaussianProcessRegressor(likelihood=name)
    with pytest.raises(ValueError, match=r"y\[7\] = -0.5 does not suit the likelihood"):
        model.fit(X, y)
    with pytest.raises(ValueError, match="has no Gaussian noise.*alpha=None"):
        model.set_params(alpha=0.1).fit(X, CASES[name][1])
    tags = model.__sklearn_tags__()
    assert tags.target_tags.positive_only == (name != "beta")


def test_the_unit_of_positive_y_is_no_matter():
    y = CASES["gamma"][1]
    kernel = ConstantKernel(1.0) * RBF(1.0)
    settings = {"likelihood": Gamma(), "n_inducing": 10, "max_iter": 20, "random_state": 0}
    model = GaussianProcessRegressor(kernel, **settings)
    mean, std = model.fit(X, y).predict(X, return_std=True)
    for exponent in (-700, 600):  # powers of two do not round; 2.0**-700 is 1e-211
        scaled = model.fit(X, np.ldexp(y, exponent)).predict(X, return_std=True)
        np.testing.assert_allclose(np.ldexp(scaled, -exponent), [mean, std], rtol=1e-9)


@pytest.mark.parametrize("quantile", [0.1, 0.9])
def test_quantiles_of_real_data_are_calibrated(quantile):
    """A share q of held-out y is below, within two standard deviations of a share of 442 rows."""
    X, y = load_diabetes(return_X_y=True)
    model = GaussianProcessRegressor(
        likelihood=AsymmetricLaplace(quantile=quantile), n_inducing=30, random_state=0
    )
    predicted = cross_val_predict(model, X, y, cv=KFold(5, shuffle=True, random_state=0))
    assert abs(np.mean(y < predicted) - quantile) < 2.0 * np.sqrt(0.09 / 442)


@pytest.mark.parametrize("near", [0.0, 1.0])
def test_shares_next_to_nothing_or_all(near):
    """They are no reason to doubt the likelihood, whose density ends in numbers that round."""
    X = np.linspace(0, 6, 40)[:, None]
    y = np.abs(near - 1e-3 * np.exp(np.sin(X[:, 0])))
    model = GaussianProcessRegressor(likelihood="beta", n_inducing=10, tol=1e-3).fit(X, y)
    assert np.abs(model.predict(X) - y).max() < 2e-3
