"""The same questions to every likelihood, with answers by SciPy and brute force."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from derivatives import assert_gradients
from likelihoods.cases import CASES, nodes
from scipy.integrate import simpson
from scipy.special import expit, logit

from skgpng import likelihoods
from skgpng.likelihoods import Likelihood

# scipy.stats.laplace_asymmetric computes both of its branches everywhere
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning:scipy")
every = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
LEVELS = [0.001, 0.05, 0.5, 0.9, 0.999]
# A line for each support: y and its derivative as functions of u, u as one of y, and ends of u.
LINES = {
    "real": (np.sinh, np.cosh, np.arcsinh, (-8.0, 8.0)),
    "positive": (np.exp, np.exp, np.log, (-25.0, 7.0)),
    "unit": (expit, lambda u: expit(u) * expit(-u), logit, (-40.0, 40.0)),
}
OUTSIDE = {"real": np.inf, "positive": -1.0, "counts": 1.5, "unit": 1.0}
N_STEPS, MOST_COUNTS = 301, 500


def answering(question):
    """Cases of likelihoods that answer it."""
    some = {name: case for name, case in CASES.items() if question not in case.skip}
    return pytest.mark.parametrize("case", some.values(), ids=some.keys())


def mixture(case, parts, at=None, n=None):
    """Mean of ``parts(distribution given f)`` over f, where it may have a kink at f = ``at``."""
    F, weights = nodes(case if at is None else case._replace(Y=at), n)
    return np.sum(weights * parts(case.oracle(F, case.row)), 0)


def cdf(case, y, n=None):
    """Of y [N, P]."""
    return mixture(case, lambda other: other.cdf(y), y, n)


def test_every_likelihood_has_an_entry():
    concrete = {
        cls
        for cls in vars(likelihoods).values()
        if inspect.isclass(cls) and issubclass(cls, Likelihood) and not inspect.isabstract(cls)
    }
    covered = {type(case.likelihood) for case in CASES.values()}
    assert concrete == covered, "add an entry to tests/likelihoods/cases.py"


# --- density and its expectation -----------------------------------------------------------------


@every
def test_log_prob(case):
    F = nodes(case)[0][:50]
    found = case.likelihood.log_prob(case.values, F, case.y, case.row)
    np.testing.assert_allclose(found, case.log_density(F, case.y), rtol=1e-9, atol=1e-12)


@every
def test_variational_expectations(case):
    F, weights = nodes(case)
    found = case.likelihood.variational_expectations(
        case.values, case.f_mean, case.f_var, case.y, case.row
    )
    expected = np.sum(weights * case.log_density(F, case.y), 0)
    np.testing.assert_allclose(found, expected, rtol=case.expected_rtol, atol=case.expected_rtol)


@every
def test_gradients_of_variational_expectations(case):
    upstream = np.random.RandomState(5).randn(*case.y.shape)
    # a variance of 1e-6 is no place for differences
    arguments = [np.asarray(v, float) for v in case.values] + [case.f_mean, case.f_var + 0.01]

    def expected(*arguments):
        *values, f_mean, f_var = arguments
        return case.likelihood.variational_expectations(
            tuple(values), f_mean, f_var, case.y, case.row
        )

    assert_gradients(expected, arguments, upstream, rtol=1e-6, atol=1e-6)


# --- y given f -----------------------------------------------------------------------------------


@answering("moments")
def test_conditional_moments(case):
    other = case.oracle(case.f_mean, case.row)
    found = case.likelihood.conditional_mean(case.values, case.f_mean, case.row)
    np.testing.assert_allclose(found, case.predicted(other), rtol=1e-6, atol=1e-9)
    found = case.likelihood.conditional_variance(case.values, case.f_mean, case.row)
    np.testing.assert_allclose(found, other.var(), rtol=1e-6)


@answering("cdf")
def test_cdf(case):
    other = case.oracle(case.f_mean, case.row)
    for y in (other.ppf(0.02), case.y, other.ppf(0.95) + 0.3):
        found = case.likelihood.cdf(case.values, case.f_mean, y, case.row)
        np.testing.assert_allclose(found, other.cdf(y), rtol=case.rtol, atol=1e-9)


@answering("moments")
def test_draws_given_f(case):
    n = 20000
    F = np.repeat(case.f_mean[None], n, 0)
    draws = case.likelihood.sample(case.values, F, np.random.RandomState(1), case.row)
    other = case.oracle(case.f_mean, case.row)
    assert draws.shape == (n, *case.y.shape)
    error = (draws.mean(0) - other.mean()) / np.sqrt(other.var() / n)
    assert np.abs(error).max() < 4.5
    if "cdf" not in case.skip:
        for level in (0.1, 0.5, 0.9):
            share = np.mean(draws <= other.ppf(level), 0) - other.cdf(other.ppf(level))
            np.testing.assert_allclose(share, 0.0, atol=4.5 * 0.5 / np.sqrt(n))


# --- y given f ~ N(f_mean, f_var) ----------------------------------------------------------------


@answering("moments")
def test_predictive_moments(case):
    given = case.values, case.f_mean, case.f_var, case.row
    mean, var = case.likelihood.predict_mean_and_var(*given)
    below = case.likelihood.predict_mean_and_var(*given, include_noise=False)[1]
    expected = mixture(case, case.predicted)
    of_mean = mixture(case, lambda y: (case.predicted(y) - expected) ** 2)
    np.testing.assert_allclose(mean, expected, rtol=case.rtol, atol=1e-9)
    np.testing.assert_allclose(below, of_mean, rtol=10 * case.rtol, atol=1e-9)
    total = of_mean + mixture(case, lambda y: y.var())
    np.testing.assert_allclose(var, total, rtol=10 * case.rtol)


@every
def test_predictive_log_density(case):
    F, weights = nodes(case)
    found = case.likelihood.predict_log_density(
        case.values, case.f_mean, case.f_var, case.y, case.row
    )
    expected = np.log(np.sum(weights * np.exp(case.log_density(F, case.y)), 0))
    np.testing.assert_allclose(found, expected, rtol=case.rtol, atol=case.rtol)


@answering("quantiles")
def test_predictive_quantiles(case):
    found = case.likelihood.predict_quantiles(
        case.values, case.f_mean, case.f_var, LEVELS, case.row
    )
    assert found.shape == (*case.y.shape, len(LEVELS))
    tolerance = 3.0 * case.rtol
    for level, q in zip(LEVELS, np.moveaxis(found, -1, 0)):
        reached = cdf(case, q)
        if not case.discrete:
            np.testing.assert_allclose(reached, level, atol=tolerance)
            continue
        np.testing.assert_array_equal(q, np.round(q))
        assert np.all(reached > level - tolerance)
        assert np.all(cdf(case, q - 1.0) < level + tolerance)


@answering("crps")
def test_predictive_crps(case):
    case = case.rows(2)
    found = case.likelihood.predict_crps(case.values, case.f_mean, case.f_var, case.y, case.row)
    if case.discrete:
        k = np.arange(float(MOST_COUNTS))[:, None, None]
        shares = np.stack([cdf(case, count + 0.0 * case.y, case.n_nodes // 4) for count in k])
        assert shares[-1].min() > 1.0 - 1e-8
        expected = np.sum((shares - (k >= case.y)) ** 2, 0)
    else:
        to_y, slope, to_u, ends = LINES[case.likelihood.support]
        at, expected = to_u(case.y), 0.0
        for end, sign in ((ends[0], 1.0), (ends[1], -1.0)):
            u = np.linspace(end + 0.0 * at, at, N_STEPS)
            share = np.stack([cdf(case, to_y(step), case.n_nodes // 4) for step in u])
            square = share**2 if sign > 0 else (1.0 - share) ** 2
            expected = expected + sign * simpson(square * slope(u), u, axis=0)
    # Simpson's rule at the kinks of a distribution function is good to six digits
    np.testing.assert_allclose(found, expected, rtol=3e-6 + 30 * case.rtol)


# --- from the data -------------------------------------------------------------------------------


@every
def test_parameters_to_begin_with(case):
    parameters = case.likelihood.parameters(None, 1.0)
    assert tuple(p.name for p in parameters) == case.likelihood.parameter_names
    for p in parameters:
        low, high = np.moveaxis(np.asarray(p.bounds), -1, 0)
        assert np.all((low <= p.value) & (p.value <= high))
    values = tuple(p.value for p in parameters)
    weights, n_latent = np.ones(len(case.y)), case.likelihood.n_latent(case.y.shape[1])
    f = case.likelihood.offset(case.y, weights, case.row)
    assert f.shape == (n_latent,) and np.isfinite(f).all()
    targets, noise, _ = case.likelihood.as_regression(case.y, values, case.row, 1.0)
    # of each latent function, or of those of the columns of y, which come first
    assert targets.shape in {(len(case.y), n_latent), case.y.shape}
    assert np.isfinite(targets).all() and noise > 0
    assert len(case.likelihood.learned(values, np.ones(1))) == len(values)
    case.likelihood.check(case.y)


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.likelihood.support != "labels"])
def test_first_row_outside_the_support_is_named(name):
    case = CASES[name]
    y = case.y.copy()
    y[1, 0] = y[2, 0] = case.outside or OUTSIDE[case.likelihood.support]
    with pytest.raises(ValueError, match=rf"y\[1, 0\] = .*{type(case.likelihood).__name__}"):
        case.likelihood.check(y)
