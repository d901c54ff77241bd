"""Gamma, exponential and beta: extreme values, and what is read from y."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import d2_tweedie_score, r2_score

from skgpng.likelihoods import Beta, Exponential, Gamma, Noise
from skgpng.likelihoods.scores import deviance_explained

LEVELS = [1e-4, 0.1, 0.5, 0.99]


def column(*numbers):
    return np.array([numbers], float).T


@pytest.mark.parametrize("shape", [0.01, 1.0, 50.0, 1e6])
def test_quantiles_without_variance_are_gamma(shape):
    f = column(-2.0, 0.0, 5.0)
    found = Gamma().predict_quantiles((shape,), f, 0.0 * f, LEVELS)[:, 0]
    expected = stats.gamma(shape, scale=np.exp(f) / shape).ppf(LEVELS)
    # in the logarithm, which is what is looked for: for a shape of 0.01 it is down to -700
    some = expected > 1e-250
    np.testing.assert_allclose(np.log(found[some]), np.log(expected[some]), rtol=1e-6, atol=1e-6)
    assert np.all(found[~some] < 1e-249)


def test_a_large_shape_leaves_the_lognormal_mean():
    m, v, y = np.log(3.0), 0.25, np.array([1.0, 3.0, 9.0])
    given = (1e7,), np.full((3, 1), m), np.full((3, 1), v)
    s, w = np.sqrt(v), (np.log(y) - m) / np.sqrt(v)
    # Baran & Lerch 2015: CRPS of a lognormal variable
    expected = y * (2 * stats.norm.cdf(w) - 1) - 2 * np.exp(m + v / 2) * (
        stats.norm.cdf(w - s) + stats.norm.cdf(s / np.sqrt(2)) - 1
    )
    np.testing.assert_allclose(Gamma().predict_crps(*given, y[:, None])[:, 0], expected, rtol=1e-5)
    quantiles = Gamma().predict_quantiles(*given, LEVELS)[0, 0]
    np.testing.assert_allclose(quantiles, stats.lognorm(s, scale=3.0).ppf(LEVELS), rtol=1e-5)


@pytest.mark.parametrize(
    "likelihood, values", [(Gamma(), (0.3,)), (Gamma(), (1e4,)), (Beta(), (1e4,)), (Beta(), (0.3,))]
)
@pytest.mark.parametrize("f_var", [1e-12, 25.0])
def test_extreme_rows_stay_finite(likelihood, values, f_var):
    f, y = column(-30.0, 0.0, 12.0), column(1e-200, 0.3, 1.0 - 1e-16)
    given = values, f, np.full_like(f, f_var)
    for found in (
        likelihood.predict_log_density(*given, y),
        likelihood.predict_crps(*given, y),
        *likelihood.predict_mean_and_var(*given),
    ):
        assert np.isfinite(found).all()
    quantiles = likelihood.predict_quantiles(*given, LEVELS)
    assert np.isfinite(quantiles).all() and (np.diff(quantiles) >= 0).all()


def test_a_mean_that_overflows_is_infinite_and_no_nan():
    f = column(800.0, 0.0)
    for f_var in (0.0, 1e4):
        mean, var = Gamma().predict_mean_and_var((2.0,), f, np.full_like(f, f_var))
        assert np.isinf(mean[0]) and not np.isnan(var).any()
        assert not np.isnan(Gamma().predict_crps((2.0,), f, np.full_like(f, f_var), f + 1)).any()


def test_crps_of_what_cannot_be_is_its_distance():
    """A y below zero, which a scorer may ask of, is as far off as 0 and its distance from it."""
    f, v = column(0.3), column(0.2)
    at = [Gamma().predict_crps((2.0,), f, v, column(y)).item() for y in (0.0, -3.0)]
    assert at[1] == pytest.approx(at[0] + 3.0)


def test_draws_are_inside_the_support():
    rng, F = np.random.RandomState(0), np.zeros((2000, 1))
    assert np.all(Gamma().sample((0.01,), F, rng) > 0)
    draws = Beta().sample((0.01,), F, rng)
    assert np.all((draws > 0) & (draws < 1))


@pytest.mark.parametrize("likelihood", [Gamma(), Exponential(), Beta()], ids=repr)
def test_there_is_no_gaussian_noise(likelihood):
    with pytest.raises(ValueError, match="has no Gaussian noise.*alpha=None"):
        likelihood.parameters(Noise(0.1, (0.1, 0.1), False), 1.0)
    assert (
        likelihood.noise_variance(tuple(p.value for p in likelihood.parameters(None, 1.0))) is None
    )


def test_units_of_positive_y_are_its_mean():
    y, weights = np.array([[1.0, 1e-200], [4.0, 3e-200]]), np.array([1.0, 2.0])
    shift, scale = Gamma().units(y, weights)
    np.testing.assert_array_equal(shift, 0.0)
    np.testing.assert_allclose(scale, [3.0, 7e-200 / 3])
    np.testing.assert_allclose(Gamma().offset(y / scale, weights, None), 0.0, atol=1e-12)
    np.testing.assert_allclose(Beta().offset(column(0.2, 0.6), weights, None), -np.log(8 / 7))


def test_scores():
    y, predicted = np.array([1.0, 2.0, 5.0]), np.array([1.5, 2.0, 4.0])
    expected = d2_tweedie_score(y, predicted, power=2)
    assert Gamma().score(y, predicted) == Exponential().score(y, predicted) == expected
    assert Beta().score(y / 6, predicted / 6) == r2_score(y / 6, predicted / 6)
    two = np.stack([y, y], 1), np.stack([predicted, np.full(3, y.mean())], 1)
    assert deviance_explained(*two, None, power=2) == pytest.approx(0.5 * expected)
    assert deviance_explained(0 * y + 3.0, y, None, power=2) == 0.0
