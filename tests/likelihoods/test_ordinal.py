"""Grades: probabilities against SciPy, predictions against sums over f."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from derivatives import assert_gradients
from scipy.special import log_ndtr
from scipy.stats import norm, truncnorm

from skgpng._runtime import tf
from skgpng.likelihoods import Noise, Ordinal, Poisson

GRADES = (0.5, 1.0, 4.0, 7.0)
CUTS = np.array([-1.2, 0.1, 2.0])
VALUES = np.array(CUTS[0]), np.diff(CUTS)
likelihood = Ordinal(GRADES)
EDGES = np.array([-np.inf, *CUTS, np.inf])
RNG = np.random.RandomState(0)
F_MEAN, F_VAR = RNG.uniform(-4, 4, (12, 1)), 10.0 ** RNG.uniform(-6, 1, (12, 1))
Y = np.resize(GRADES, (12, 1))
Z = np.linspace(-10, 10, 8001)
WEIGHTS = norm.pdf(Z) / norm.pdf(Z).sum()


def probabilities(F):
    """Of each grade given f [...], [..., J]."""
    return np.diff(norm.cdf(EDGES - np.asarray(F)[..., None]), axis=-1)


def mixed(f_mean=F_MEAN, f_var=F_VAR):
    """The same, summed over f, [N, J]."""
    each = probabilities(f_mean + np.sqrt(f_var) * Z)  # [N, H, J]
    return np.einsum("h,nhj->nj", WEIGHTS, each)


# --- densities and expectations --------------------------------------------------------------


def test_probabilities_against_scipy():
    F = np.array([[-3.0], [0.0], [0.4], [5.0]])
    p = probabilities(F[:, 0])
    for j, grade in enumerate(GRADES):
        found = likelihood.log_prob(VALUES, F, np.full_like(F, grade))[:, 0]
        np.testing.assert_allclose(found, np.log(p[:, j]), rtol=1e-9, atol=1e-14)
        below = likelihood.cdf(VALUES, F, np.full_like(F, grade))[:, 0]
        np.testing.assert_allclose(below, p[:, : j + 1].sum(-1), rtol=1e-12)
    assert (likelihood.cdf(VALUES, F, np.full_like(F, 0.4)) == 0.0).all()
    np.testing.assert_allclose(
        likelihood.cdf(VALUES, F, np.full_like(F, 3.0)), norm.cdf(CUTS[1] - F), rtol=1e-12
    )
    mean = p @ GRADES
    np.testing.assert_allclose(likelihood.conditional_mean(VALUES, F)[:, 0], mean)
    np.testing.assert_allclose(
        likelihood.conditional_variance(VALUES, F)[:, 0], p @ np.square(GRADES) - mean**2
    )


@pytest.mark.parametrize("f", [-1e3, -50.0, -20.0, 20.0, 50.0, 1e3])
def test_tails_are_as_exact_as_the_middle(f):
    a, b = CUTS[0] - f, CUTS[1] - f
    a, b = (-b, -a) if a > 0 else (a, b)
    expected = log_ndtr(b) + np.log1p(-np.exp(log_ndtr(a) - log_ndtr(b)))
    given = [tf.constant(v, tf.float64) for v in (*VALUES, [[f]])]
    with tf.GradientTape() as tape:
        tape.watch(given)
        value = likelihood.log_prob(given[:2], given[2], tf.constant([[1.0]], tf.float64))
    np.testing.assert_allclose(value, [[expected]], rtol=1e-12)
    first, gaps, in_f = tape.gradient(value, given)
    # the nearer edge moves all: the slope of log Phi, about the distance to it
    nearest = min(abs(a), abs(b))
    np.testing.assert_allclose(abs(in_f), nearest, rtol=0.01)
    np.testing.assert_allclose(first, -in_f[0, 0], rtol=1e-6)
    assert np.isfinite(gaps).all()


@pytest.mark.parametrize("f_var", [1e-10, 0.3, 1.0])
def test_expected_log_density_against_quadrature(f_var):
    f_var = np.full_like(F_MEAN, f_var)

    def log_prob(f):
        return np.moveaxis(likelihood.log_prob(VALUES, np.moveaxis(f, -1, 0), Y).numpy(), 0, -1)

    found = likelihood.variational_expectations(VALUES, F_MEAN, f_var, Y)
    expected = reference.expected_log_density(log_prob, F_MEAN, f_var)
    np.testing.assert_allclose(found, expected, rtol=1e-5)  # twenty nodes


def test_gradients_of_expectations():
    upstream = np.random.RandomState(1).randn(12, 1)

    def expected(first, log_gaps, f_mean, f_var):  # as training moves them
        values = (first, tf.exp(log_gaps))
        return likelihood.variational_expectations(values, f_mean, f_var, Y)

    arguments = [VALUES[0], np.log(VALUES[1]), F_MEAN, F_VAR + 0.01]
    assert_gradients(expected, arguments, upstream, rtol=1e-6, atol=1e-6)


def test_two_grades_are_the_probit_of_two_classes():
    two, F = Ordinal((0.0, 1.0)), np.array([[-3.0], [0.4], [5.0]])
    values = np.array(0.0), np.zeros(0)
    found = two.log_prob(values, F, np.ones((3, 1)))
    np.testing.assert_allclose(found, norm.logcdf(F), rtol=1e-12, atol=1e-16)


# --- the predictive distribution -------------------------------------------------------------


def test_predictions_against_sums():
    p = mixed()
    F = np.cumsum(p, 1)
    median, variance = likelihood.predict_mean_and_var(VALUES, F_MEAN, F_VAR)
    np.testing.assert_array_equal(median[:, 0], np.take(GRADES, np.sum(F < 0.5, 1)))
    mean = p @ GRADES
    np.testing.assert_allclose(variance[:, 0], p @ np.square(GRADES) - mean**2, rtol=1e-8)
    below = likelihood.predict_mean_and_var(VALUES, F_MEAN, F_VAR, include_noise=False)[1]
    means = probabilities(F_MEAN + np.sqrt(F_VAR) * Z) @ GRADES
    np.testing.assert_allclose(below[:, 0], (means**2) @ WEIGHTS - mean**2, rtol=1e-5, atol=1e-9)
    levels = np.array([1e-3, 0.2, 0.5, 0.9, 0.999])
    quantiles = likelihood.predict_quantiles(VALUES, F_MEAN, F_VAR, levels)
    assert quantiles.shape == (12, 1, 5)
    expected = np.take(GRADES, np.sum(F[:, :-1, None] < levels, 1))
    np.testing.assert_array_equal(quantiles[:, 0], expected)
    density = likelihood.predict_log_density(VALUES, F_MEAN, F_VAR, Y)
    own = np.searchsorted(GRADES, Y)
    np.testing.assert_allclose(density, np.log(np.take_along_axis(p, own, 1)), rtol=1e-8)
    reached = GRADES[:-1] >= Y
    score = np.sum((F[:, :-1] - reached) ** 2 * np.diff(GRADES), 1)
    found = likelihood.predict_crps(VALUES, F_MEAN, F_VAR, Y)
    np.testing.assert_allclose(found[:, 0], score, rtol=1e-8, atol=1e-14)


def test_score_is_the_integral_of_the_squared_distance():
    """Of the distribution function and the step at y, as that of any number."""
    x = np.linspace(0.0, 8.0, 800001)
    F = np.concatenate([[0.0], np.cumsum(mixed()[0])])[np.searchsorted(GRADES, x, side="right")]
    found = likelihood.predict_crps(VALUES, F_MEAN[:1], F_VAR[:1], np.array([[4.0]]))
    assert found == pytest.approx(np.sum((F - (x >= 4.0)) ** 2) * (x[1] - x[0]), rel=1e-4)


def test_far_out_predictions_are_finite():
    m, v = np.array([[-50.0], [50.0], [0.0]]), np.array([[1e-12], [1.0], [1e4]])
    for y in GRADES:
        Y = np.full((3, 1), y)
        assert np.isfinite(likelihood.predict_log_density(VALUES, m, v, Y)).all()
        assert np.isfinite(likelihood.predict_crps(VALUES, m, v, Y)).all()
    for noise in (True, False):
        found = likelihood.predict_mean_and_var(VALUES, m, v, include_noise=noise)
        assert np.isfinite(found).all() and (found[1] >= 0.0).all()


def test_draws_have_the_distribution():
    draws = likelihood.sample(VALUES, np.full((100000, 1), 0.3), np.random.RandomState(1))
    for grade, p in zip(GRADES, probabilities(0.3), strict=True):
        assert np.mean(draws == grade) == pytest.approx(p, abs=4 * 0.5 / np.sqrt(100000))


# --- from the data ---------------------------------------------------------------------------


def test_grades_are_those_of_y_or_those_given():
    y = np.array([3.0, 5.0, 3.0, 4.5])
    found = Ordinal().for_targets(y)
    assert found == Ordinal((3.0, 4.5, 5.0)) and hash(found) == hash(Ordinal((3.0, 4.5, 5.0)))
    assert Ordinal([5, 3, 4]).for_targets(y) == Ordinal((3.0, 4.0, 5.0))
    assert Ordinal().for_targets(np.array([4.5]), found) is found  # partial_fit
    assert Ordinal().for_targets(y, Poisson()) == found
    assert Poisson().for_targets(y) == Poisson()


@pytest.mark.parametrize(
    "grades, y, match",
    [
        ((), [3.0, 3.0], "All of y is 3.*two grades.*Ordinal.grades"),
        ((), np.arange(101.0), "101 different values: 100 grades.*likelihood='gaussian'"),
        ((), [0.0, np.inf], r"y\[1\] = inf"),
        ((1.0,), [1.0], "two finite numbers"),
        ((1.0, 1.0, 2.0), [1.0], "two finite numbers"),
        ((1.0, np.nan), [1.0], "two finite numbers"),
    ],
)
def test_what_are_no_grades_is_said(grades, y, match):
    with pytest.raises(ValueError, match=match):
        Ordinal(grades).for_targets(np.array(y))


def test_what_is_none_of_the_grades_is_named():
    likelihood.check(np.array([1.0, 7.0]))
    with pytest.raises(ValueError, match=r"y\[1\] = 2 .*none of the grades 0.5, 1, 4, 7"):
        likelihood.check(np.array([1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match=r"y\[1, 0\] = 9"):
        likelihood.check(np.array([[1.0, 4.0], [9.0, 1.0]]))
    with pytest.raises(ValueError, match="after fit only"):
        Ordinal().check(np.array([1.0]))
    with pytest.raises(ValueError, match="no Gaussian noise"):
        likelihood.parameters(Noise(0.1, (0.1, 0.1), False), 1.0)


def test_start_gives_each_grade_its_share():
    y, weights = column(0.5, 0.5, 1.0, 4.0, 4.0, 7.0), np.array([9.0, 9, 9, 9, 9, 0])
    parameters = likelihood.started(likelihood.parameters(None, 1.0), 1.0 * y, weights)
    values = tuple(p.value for p in parameters)
    # f and noise have a variance of 2
    shares = np.diff(norm.cdf(likelihood.learned(values, None)["cut_points"] / np.sqrt(2.0)))
    expected = np.array([9.5, 18.5]) / 47.0
    np.testing.assert_allclose(shares, expected, rtol=1e-12)
    edges = np.array([-np.inf, *likelihood.learned(values, None)["cut_points"], np.inf])
    targets, noise, moves = likelihood.as_regression(y, values, None, 1.0)
    means = truncnorm.mean(edges[:-1] / np.sqrt(2.0), edges[1:] / np.sqrt(2.0))
    own = np.sqrt(2.0) * means[np.searchsorted(GRADES, y)]
    np.testing.assert_allclose(targets, own - own.mean(), rtol=1e-6)
    assert noise == 1.0 and not moves
    assert targets.shape == (6, 1) and (np.diff(targets[:, 0]) >= 0).all()
    far = np.array(-300.0), np.array([1.0, 500.0])
    targets = likelihood.as_regression(y, far, None, 1.0)[0]
    assert np.isfinite(targets).all() and (np.diff(targets[:, 0]) >= 0).all()


def column(*numbers):
    return np.array([numbers], float).T


@pytest.mark.parametrize("grades", [5, "abc", ["low", "high"], [[1.0, 2.0]]])
def test_grades_are_a_list_of_numbers(grades):
    with pytest.raises(ValueError, match="grades must be a list of numbers.*OrdinalEncoder"):
        Ordinal(grades=grades).for_targets(np.array([1.0, 2.0]))


def test_no_grades_are_those_of_y():
    assert Ordinal(grades=None).for_targets(np.array([2.0, 1.0])).grades == (1.0, 2.0)
    with pytest.raises(ValueError, match="each of them once"):
        Ordinal(grades=[1.0, 2.0, 2.0]).for_targets(np.array([1.0, 2.0]))
