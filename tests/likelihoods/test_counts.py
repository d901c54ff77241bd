"""Likelihoods of counts, each against brute-force sums over SciPy's distributions."""

from __future__ import annotations

import time

import numpy as np
import pytest
import reference
from derivatives import assert_gradients
from scipy.stats import nbinom, norm, poisson

from skgpng._runtime import tf
from skgpng.likelihoods import NegativeBinomial, Noise, Poisson, ZeroInflatedPoisson
from skgpng.likelihoods import _mixed_counts as mixed

# Likelihood, its values, size of the negative binomial distribution, share of added zeros.
CASES = {
    "poisson": (Poisson(), (), np.inf, 0.0),
    "nb": (NegativeBinomial(), (0.4,), 2.5, 0.0),
    "nb, next to poisson": (NegativeBinomial(), (1e-6,), 1e6, 0.0),
    "nb, mostly zeros": (NegativeBinomial(), (20.0,), 0.05, 0.0),
    "zip": (ZeroInflatedPoisson(), (0.3,), np.inf, 0.3),
    "zip, next to poisson": (ZeroInflatedPoisson(), (1e-6,), np.inf, 1e-6),
    "zip, mostly zeros": (ZeroInflatedPoisson(), (0.95,), np.inf, 0.95),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
# Mean and variance of f, exposure, counts.
PLACES = [
    (1.0, 0.5, 1.0, (0, 1, 5, 30)),
    (0.0, 1e-12, 3.0, (0, 3, 9)),
    (np.log(50.0), 0.01, 2.0, (0, 63, 64, 100, 250)),
    (-3.0, 0.1, 0.5, (0, 1)),
    (5.5, 0.2, 1.0, (0, 40, 245, 900)),
]
every_place = pytest.mark.parametrize("place", PLACES, ids=str)
Z = np.linspace(-9, 9, 201)
MANY = 8000


def column(*numbers):
    return np.array([numbers], float).T


def variable(size, mean):
    return poisson(mean) if np.isinf(size) else nbinom(size, size / (size + mean))


def masses(case, f_mean, f_var, exposure, n=MANY):
    """Probabilities of 0, 1, ... n - 1, summed over f."""
    _, _, size, zeros = case
    z = Z if f_var > 1e-9 else np.zeros(1)
    weights = norm.pdf(z) / norm.pdf(z).sum()
    k = np.arange(n)
    p = np.zeros(n)
    for node, weight in zip(z, weights, strict=True):
        # beyond this there is next to nothing
        part = variable(size, exposure * np.exp(f_mean + np.sqrt(f_var) * node))
        last = int(min(part.ppf(1.0 - 1e-15) + 2, n))
        p[:last] += weight * part.pmf(k[:last])
    p *= 1.0 - zeros
    p[0] += zeros
    return p


# --- densities and expectations --------------------------------------------------------------


@every_case
def test_conditional_distribution_against_scipy(case):
    likelihood, values, size, zeros = case
    F, row = np.array([[-2.0], [0.5], [3.0]]), column(1.0, 2.0, 0.3)
    other = variable(size, row * np.exp(F))
    for y in (-1.0, 0.0, 2.5, 40.0):
        y = np.full_like(F, y)
        found = likelihood.cdf(values, F, y, row)
        expected = np.where(y < 0, 0.0, zeros + (1 - zeros) * other.cdf(y))
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    mean = (1 - zeros) * other.mean()
    second = (1 - zeros) * (other.var() + other.mean() ** 2)
    np.testing.assert_allclose(likelihood.conditional_mean(values, F, row), mean, rtol=1e-9)
    variance = likelihood.conditional_variance(values, F, row)
    np.testing.assert_allclose(variance, second - mean**2, rtol=1e-8)
    for y in (0.0, 1.0, 7.0, 300.0):
        p = (1 - zeros) * np.exp(other.logpmf(y)) + zeros * (y == 0)
        expected = np.where(p > 0, np.log(np.where(p > 0, p, 1.0)), other.logpmf(y))
        found = likelihood.log_prob(values, F, np.full_like(F, y), row)
        shift = 0.0 if y == 0 or (p > 0).all() else np.log1p(-zeros) * (p == 0)
        np.testing.assert_allclose(found, expected + shift, rtol=1e-7, atol=1e-9)


@every_case
@pytest.mark.parametrize("f_var", [1e-10, 0.3, 1.0])
def test_expected_log_density_against_quadrature(case, f_var):
    likelihood, values, *_ = case
    f_mean, row = column(-2.0, 0.7, 3.0), column(1.0, 2.0, 0.3)
    for y in (0.0, 4.0, 1e5):
        Y = np.full_like(f_mean, y)
        found = likelihood.variational_expectations(values, f_mean, 0 * f_mean + f_var, Y, row)

        def log_prob(f, Y=Y):  # nodes stand on the last axis
            nodes = np.moveaxis(f, -1, 0)
            return np.moveaxis(likelihood.log_prob(values, nodes, Y, row).numpy(), 0, -1)

        expected = reference.expected_log_density(log_prob, f_mean, 0 * f_mean + f_var)
        # the bend of zeros is narrow where their share is small, and the nodes are some apart
        rtol = {0.0: 1e-8, 1e-6: 1e-2}.get(case[3], 1e-4) if y == 0 else 1e-8
        np.testing.assert_allclose(found, expected, rtol=rtol)


@every_case
def test_gradients_of_expectations(case):
    likelihood, values, *_ = case
    f_mean, f_var = column(-2.0, 0.7, 3.0, 1.0), column(0.5, 0.01, 1.0, 0.2)
    Y, row = column(0.0, 0.0, 7.0, 3.0), column(1.0, 2.0, 0.3, 1.0)
    upstream = np.random.RandomState(0).randn(4, 1)

    def expected(log_values, f_mean, f_var):  # by the logarithms, as training moves them
        values = tuple(tf.unstack(tf.exp(tf.convert_to_tensor(log_values))))
        return likelihood.variational_expectations(values, f_mean, f_var, Y, row)

    if values:
        logs = np.log(np.array(values))
        assert_gradients(expected, [logs, f_mean, f_var], upstream, rtol=1e-5, atol=3e-5)


@every_case
@pytest.mark.parametrize("f", [-50.0, 50.0])
@pytest.mark.parametrize("y", [0.0, 1.0, 1e6])
def test_far_out_all_is_finite(case, f, y):
    likelihood, values, *_ = case
    given = [tf.constant(v, tf.float64) for v in (*values, [[f]], [[0.1]])]
    with tf.GradientTape() as tape:
        tape.watch(given)
        *own, f_mean, f_var = given
        value = likelihood.variational_expectations(tuple(own), f_mean, f_var, column(y))
    for found in (value, *tape.gradient(value, given)):
        assert np.isfinite(found).all()


# --- the predictive distribution -------------------------------------------------------------


@every_case
@every_place
def test_predictions_against_sums(case, place):
    likelihood, values, *_ = case
    f_mean, f_var, exposure, counts = place
    if case[2] < 1.0 and exposure * np.exp(f_mean) > 50.0:
        return  # more counts than are summed
    p = masses(case, f_mean, f_var, exposure)
    k, F = np.arange(MANY), np.cumsum(p)
    m, v, row = column(f_mean), column(f_var), column(exposure)
    mean, variance = likelihood.predict_mean_and_var(values, m, v, row)
    np.testing.assert_allclose(mean, p @ k, rtol=1e-5)
    np.testing.assert_allclose(variance, p @ (k - p @ k) ** 2, rtol=1e-3)
    levels = [1e-6, 0.01, 0.31, 0.5, 0.9, 0.999, 1 - 1e-6]
    for level, q in zip(
        levels, likelihood.predict_quantiles(values, m, v, levels, row)[0, 0], strict=True
    ):
        assert q == np.round(q) >= 0
        # a thousandth of what is left over, and a hundredth of a millionth
        slack = 1e-3 * min(level, 1 - level) + 1e-8
        assert F[int(q)] > level - slack
        assert q == 0 or F[int(q) - 1] < level + slack
    for y in counts:
        found = likelihood.predict_log_density(values, m, v, column(y), row)
        np.testing.assert_allclose(found, np.log(p[y]), rtol=1e-6, atol=1e-6)
        found = likelihood.predict_crps(values, m, v, column(y), row)
        np.testing.assert_allclose(found, np.sum((F - (k >= y)) ** 2), rtol=1e-5)


@pytest.mark.parametrize("name", ["nb", "zip"])
def test_variance_without_noise_is_that_of_the_mean(name):
    likelihood, values, _, zeros = CASES[name]
    m, v = column(0.3), column(0.6)
    found = likelihood.predict_mean_and_var(values, m, v, include_noise=False)[1]
    mean = np.exp(0.3 + 0.3)
    np.testing.assert_allclose(found, (1 - zeros) ** 2 * mean**2 * np.expm1(0.6))


@every_case
def test_draws_have_the_distribution(case):
    likelihood, values, size, zeros = case
    F = np.full((200000, 1), np.log(20.0))
    draws = likelihood.sample(values, F, np.random.RandomState(1))[:, 0]
    other = variable(size, 20.0)
    assert (draws == np.round(draws)).all() and draws.min() >= 0
    for k in (0, 5, 19, 30):
        expected = zeros + (1 - zeros) * other.cdf(k)
        assert np.mean(draws <= k) == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(200000))


@every_case
def test_hard_counts_stay_finite(case):
    likelihood, values, *_ = case
    m, v = column(0.0, 0.0, -30.0, 12.0), column(1e-12, 25.0, 1.0, 25.0)
    for y in (0.0, 1e6):
        Y = np.full((4, 1), y)
        for method in ("predict_log_density", "predict_crps"):
            assert np.isfinite(getattr(likelihood, method)(values, m, v, Y)).all()
    assert np.isfinite(likelihood.predict_quantiles(values, m, v, [1e-4, 0.9999])).all()
    assert np.isfinite(likelihood.predict_mean_and_var(values, m, v)).all()


@pytest.mark.parametrize("size", [np.inf, 100.0, 1.0, 0.1])
@pytest.mark.parametrize("s", [1e-6, 0.1, 1.0])
def test_distribution_function_in_the_upper_tail(size, s):
    """What is left over is found as exactly as what is below."""
    m, k = np.full(3, np.log(80.0)), np.array([150.0, 400.0, 2000.0])
    z = np.linspace(-9, 9, 3001) if s > 1e-3 else np.zeros(1)
    weights = norm.pdf(z) / norm.pdf(z).sum()
    expected = variable(size, np.exp(m[0] + s * z)[:, None]).sf(k).T @ weights
    found = mixed._cdf(k, m, np.full(3, s), size, True)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-16)


def test_scores_take_little_time():
    """A thousand rows took 2 s when each count up to 64 was an integral of its own."""
    m, v = np.full((1000, 1), 1.5), np.full((1000, 1), 0.25)
    y = np.random.RandomState(0).poisson(5.0, (1000, 1)).astype(float)
    likelihood = Poisson()
    begin = time.process_time()
    likelihood.predict_crps((), m, v, y)
    assert time.process_time() - begin < 0.5  # 0.02 s on a quiet machine


# --- from the data ---------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", [NegativeBinomial(), ZeroInflatedPoisson()], ids=str)
def test_there_is_no_gaussian_noise(likelihood):
    with pytest.raises(ValueError, match="no Gaussian noise"):
        likelihood.parameters(Noise(0.1, (0.1, 0.1), False), 1.0)
    (parameter,) = likelihood.parameters(None, 1.0)
    assert parameter.bounds[0] < parameter.value < parameter.bounds[1]
    with pytest.raises(ValueError, match=r"y\[1\] = 0.5 does not suit"):
        likelihood.check(np.array([0.0, 0.5, -1.0]))


def test_start_of_the_mean():
    y, w, e = column(0, 2, 5), np.array([1.0, 2.0, 1.0]), column(1.0, 2.0, 0.5)
    np.testing.assert_allclose(NegativeBinomial().offset(y, w, e), [np.log(9.0 / 5.5)])
    np.testing.assert_allclose(ZeroInflatedPoisson().offset(y, w, e), [np.log(9.0 / 5.5 / 0.9)])
    for likelihood in (NegativeBinomial(), ZeroInflatedPoisson()):
        assert np.isfinite(likelihood.offset(0 * y, w, e)).all()


def test_counts_that_are_lost_to_rounding_are_refused():
    y = np.array([[3.0], [1e9]])
    Poisson().check(y)
    with pytest.raises(ValueError, match=r"y\[1, 0\] = 2e\+09 is a count beyond 1e\+09"):
        Poisson().check(2.0 * y)
