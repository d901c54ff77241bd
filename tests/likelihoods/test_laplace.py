"""Noise that is exponential on either side, where it meets a Gaussian variable of any size."""

from __future__ import annotations

import numpy as np
import pytest
from derivatives import gradients
from likelihoods.test_student_t import gaussian_integral
from scipy import stats
from sklearn.metrics import d2_pinball_score

from skgpng.likelihoods import AsymmetricLaplace, Laplace, Noise

# scipy.stats.laplace_asymmetric computes both of its branches everywhere
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning:scipy")
RATIOS = [1e-10, 1e-4, 1.0, 1e4, 1e10]  # of the variances of f and of the noise
VALUES = (0.1, 0.8)
NOISE = stats.laplace_asymmetric(2.0, 0.0, 0.1 / 0.4)
likelihood = AsymmetricLaplace()


@pytest.mark.parametrize("ratio", RATIOS)
def test_density_and_quantiles_at_any_ratio(ratio):
    std = 0.1 * np.sqrt(ratio)
    r = (0.1 + std) * np.array([-6.0, -0.5, 0.0, 0.1, 3.0])
    zero, f_var = np.zeros(5), np.full(5, std**2)
    found = likelihood.predict_log_density(VALUES, zero, f_var, r)
    expected = [
        gaussian_integral(lambda x, d=d: NOISE.pdf(d - x), d, 0.1, std, 35.0) for d in r
    ]  # the integral is of size 1e-16 and more
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-7, atol=1e-15)
    levels = [1e-8, 0.1, 0.5, 0.8, 0.999, 1.0 - 1e-8]
    quantiles = likelihood.predict_quantiles(VALUES, zero[:1], f_var[:1], levels)[0]
    for level, q in zip(levels, quantiles):
        below = gaussian_integral(lambda x, q=q: NOISE.cdf(q - x), q, 0.1, std)
        np.testing.assert_allclose(below, level, rtol=1e-6, atol=1e-9)


def test_without_variance_it_is_the_noise_however_far_out():
    r = np.array([-1e100, -1e3, -1.0, 0.0, 1.0, 50.0, 1e8, 1e100])
    zero = 0.0 * r
    found = likelihood.predict_log_density(VALUES, zero, zero, r)
    np.testing.assert_allclose(found, likelihood.log_prob(VALUES, zero, r), rtol=1e-11)
    expected = likelihood.variational_expectations(VALUES, zero, zero, r)
    np.testing.assert_allclose(expected, found, rtol=1e-11)


def test_a_variance_that_hides_the_noise_is_normal():
    given = VALUES, np.zeros(3), np.full(3, 1e16)
    y = 1e8 * np.array([-3.0, 0.2, 5.0])
    normal = stats.norm(0.0, 1e8)
    density = likelihood.predict_log_density(*given, y)
    np.testing.assert_allclose(density, normal.logpdf(y), rtol=1e-7)
    quantiles = likelihood.predict_quantiles(*given, [1e-6, 0.3, 0.99])
    np.testing.assert_allclose(quantiles[0], normal.ppf([1e-6, 0.3, 0.99]), rtol=1e-6)
    z, crps = y / 1e8, likelihood.predict_crps(*given, y)
    expected = z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi)
    np.testing.assert_allclose(crps, 1e8 * expected, rtol=1e-7)


def test_extreme_rows_leave_finite_gradients():
    arguments = [np.array(1e-6), np.array(0.9)]
    arguments += [
        np.array([[0.0], [1e100], [0.0], [0.0]]),
        np.array([[1e-300], [1.0], [1e12], [0]]),
    ]
    found = gradients(
        lambda s, q, m, v: likelihood.variational_expectations((s, q), m, v, np.zeros((4, 1))),
        arguments,
    )
    assert all(np.isfinite(g).all() for g in found)


@pytest.mark.parametrize("off", [0.0, 1e-13, 1e-7, 1e-5])
def test_a_quantile_near_one_half_is_the_median(off):
    f_mean, f_var = np.zeros((4, 1)), np.array([[1e-12], [1e-3], [0.3], [20.0]])
    y = np.array([[0.2], [-1.0], [3.0], [0.0]])
    for method, given in (
        ("predict_log_density", (f_mean, f_var, y)),
        ("predict_crps", (f_mean, f_var, y)),
        ("predict_quantiles", (f_mean, f_var, [0.05, 0.7])),
        ("cdf", (f_mean, y)),
    ):
        found = getattr(AsymmetricLaplace(), method)((0.2, 0.5 + off), *given)
        expected = getattr(Laplace(), method)((0.4,), *given)
        np.testing.assert_allclose(found, expected, rtol=1e-8 + 20 * off, err_msg=method)


# --- from the data -------------------------------------------------------------------------------


@pytest.mark.parametrize("quantile", [0.001, 0.5, 0.9])
def test_scale_begins_at_the_loss_of_gaussian_noise(quantile):
    scale, level = AsymmetricLaplace(quantile).parameters(None, 4.0)
    u = stats.norm(0.0, np.sqrt(0.4)).ppf((np.arange(20000) + 0.5) / 20000)
    u = u - np.quantile(u, quantile)
    np.testing.assert_allclose(scale.value, np.mean(u * (quantile - (u < 0))), rtol=0.01)
    assert level.value == quantile and not level.free
    scale, _ = AsymmetricLaplace(quantile).parameters(Noise(0.09, (0.09, 0.09), False), 4.0)
    assert scale.value == pytest.approx(0.3) and not scale.free


def test_score_of_a_quantile_is_the_pinball_loss_explained():
    y, q = np.array([0.0, 2.0, 5.0, 9.0]), np.array([1.0, 2.0, 7.0, 8.0])
    expected = d2_pinball_score(y, q, alpha=0.9)
    assert AsymmetricLaplace(0.9).score(y, q) == pytest.approx(expected)
    assert Laplace().score(y, y) == 1.0


def test_outliers_count_as_one_unit_to_begin_with():
    targets, noise, free = Laplace().as_regression(np.array([[9.0], [-0.5]]), (0.5,), None, 1.0)
    assert (targets.tolist(), noise, free) == ([[1.0], [-0.5]], 0.25, False)
