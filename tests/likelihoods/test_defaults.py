"""What a likelihood is told that knows no more than log p(y | f)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import reference
from scipy import stats
from scipy.integrate import quad
from scipy.special import log_ndtr, ndtr

from skgpng._runtime import tf
from skgpng.likelihoods import (
    NAMES,
    Bernoulli,
    Gaussian,
    Likelihood,
    Noise,
    Poisson,
    Softmax,
    StudentT,
    for_labels,
    named,
)
from skgpng.likelihoods._numerical import argmax_of_sinh, total
from skgpng.means import Zero

METHODS = (
    "conditional_mean", "conditional_variance", "cdf", "sample", "predict_mean_and_var",
    "predict_log_density", "predict_quantiles", "predict_crps", "noise_variance",
)  # fmt: skip


def without_closed_forms(cls, **changes):
    return type(cls.__name__, (cls,), {n: getattr(Likelihood, n) for n in METHODS} | changes)()


@dataclass(frozen=True)
class Laplace(Likelihood):
    noise = "scale"
    noise_power = 0.5
    log_concave = True
    location = True
    mean = Zero()

    def log_prob(self, values, F, Y, row=None):
        return -tf.abs(Y - F) / values[0] - tf.math.log(2.0 * values[0])


@dataclass(frozen=True)
class Exponential(Likelihood):
    """Positive y of mean exp(f)."""

    support: ClassVar[str] = "positive"

    def log_prob(self, values, F, Y, row=None):
        return -F - Y * tf.exp(-F)


@dataclass(frozen=True)
class Beta(Likelihood):
    """Shares with the density a y^(a - 1), a = exp(f)."""

    support: ClassVar[str] = "unit"

    def log_prob(self, values, F, Y, row=None):
        return F + (tf.exp(F) - 1.0) * tf.math.log(Y)


@dataclass(frozen=True)
class Weibull(Likelihood):
    """Positive y with a scale exp(f); NaN where that overflows."""

    support: ClassVar[str] = "positive"

    def log_prob(self, values, F, Y, row=None):
        scale = tf.exp(F)
        return tf.math.log(2.0 / scale) + tf.math.log(Y / scale) - (Y / scale) ** 2


@dataclass(frozen=True)
class Geometric(Likelihood):
    """Counts of mean exp(f)."""

    support: ClassVar[str] = "counts"

    def log_prob(self, values, F, Y, row=None):
        return -tf.math.softplus(F) - Y * tf.math.softplus(-F)


RNG = np.random.RandomState(2)
N = 12
F_MEAN, F_VAR = RNG.randn(N, 1), 10.0 ** RNG.uniform(-10, 1, (N, 1))
Y = F_MEAN + 3.0 * RNG.standard_t(3, (N, 1))
LEVELS = [0.001, 0.025, 0.5, 0.9, 0.999]
REAL = [(Gaussian, (0.3,), 1e-7), (StudentT, (0.5, 3.0), 2e-5)]


@pytest.mark.parametrize("cls, values, rtol", REAL)
def test_noise_against_closed_forms(cls, values, rtol):
    closed, found = cls(), without_closed_forms(cls, row_names=())
    for method, given in {
        "conditional_mean": (F_MEAN,),
        "conditional_variance": (F_MEAN,),
        "cdf": (F_MEAN, Y),
        "predict_log_density": (F_MEAN, F_VAR, Y),
        "predict_crps": (F_MEAN, F_VAR, Y),
    }.items():
        expected = getattr(closed, method)(values, *given)
        np.testing.assert_allclose(
            getattr(found, method)(values, *given), expected, rtol=1e-6, atol=1e-6, err_msg=method
        )
    for include_noise in (True, False):
        given = (values, F_MEAN, F_VAR, None, include_noise)
        for a, b in zip(found.predict_mean_and_var(*given), closed.predict_mean_and_var(*given)):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)
    expected = closed.predict_quantiles(values, F_MEAN, F_VAR, LEVELS)
    distance = np.abs(expected - F_MEAN[..., None]) + values[0]
    error = np.abs(found.predict_quantiles(values, F_MEAN, F_VAR, LEVELS) - expected) / distance
    assert error.max() < rtol * 10
    assert found.noise_variance(values) == pytest.approx(closed.noise_variance(values))


def test_table_of_real_y_against_closed_forms():
    """As if it were not known that the noise does not depend on f."""
    closed, found = Gaussian(), without_closed_forms(Gaussian, row_names=(), location=False)
    f_var, values = np.minimum(F_VAR, 1.0), (0.3,)
    given = values, F_MEAN, f_var
    for method, rest in (("predict_crps", Y), ("predict_quantiles", LEVELS)):
        expected = getattr(closed, method)(*given, rest)
        np.testing.assert_allclose(getattr(found, method)(*given, rest), expected, atol=1e-4)
    for include_noise in (True, False):
        a, b = (
            c.predict_mean_and_var(*given, None, include_noise)[1] for c in (found, closed)
        )  # fmt: skip
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(
        found.cdf(values, F_MEAN, Y), closed.cdf(values, F_MEAN, Y), atol=1e-6
    )
    assert found.noise_variance(values) is None


def test_table_of_counts_against_closed_forms():
    closed, found = Poisson(), without_closed_forms(Poisson)
    f_mean, f_var = RNG.uniform(-2, 4, (8, 2)), RNG.uniform(0.001, 0.3, (8, 2))
    y, row = RNG.poisson(np.exp(f_mean)).astype(float), RNG.uniform(0.5, 2, (8, 1))
    given = (), f_mean, f_var
    for method, rest in (("predict_log_density", y), ("predict_crps", y)):
        expected = getattr(closed, method)(*given, rest, row)
        np.testing.assert_allclose(
            getattr(found, method)(*given, rest, row), expected, rtol=2e-3, atol=1e-6
        )
    expected = closed.predict_quantiles(*given, LEVELS, row)
    assert np.abs(found.predict_quantiles(*given, LEVELS, row) - expected).max() <= 1
    for include_noise in (True, False):
        for a, b in zip(
            found.predict_mean_and_var(*given, row, include_noise),
            closed.predict_mean_and_var(*given, row, include_noise),
        ):
            np.testing.assert_allclose(a, b, rtol=2e-3)
    np.testing.assert_allclose(
        found.cdf((), f_mean, y, row), closed.cdf((), f_mean, y, row), atol=1e-3
    )


# --- a likelihood of one's own, against SciPy ------------------------------------------------


def laplace_cdf(x, b, v):
    """Of Laplace noise of scale b and a normal variable of variance v."""
    s, k = np.sqrt(v), 0.5 * v / b**2
    return ndtr(x / s) + 0.5 * (
        np.exp(k + x / b + log_ndtr(-x / s - s / b)) - np.exp(k - x / b + log_ndtr(x / s - s / b))
    )


@pytest.mark.parametrize("v", [1e-8, 1e-4, 0.49, 9.0])
def test_laplace_noise_against_scipy(v):
    b, y = 0.7, np.array([[-3.0], [0.3], [1.0]])
    zero, f_var = 0 * y, np.full_like(y, v)
    quantiles = Laplace().predict_quantiles((b,), zero, f_var, LEVELS)
    np.testing.assert_allclose(laplace_cdf(quantiles, b, v)[0, 0], LEVELS, rtol=1e-6)
    h = 1e-4 * np.sqrt(b * b + v)
    density = (laplace_cdf(y + h, b, v) - laplace_cdf(y - h, b, v)) / (2 * h)
    found = Laplace().predict_log_density((b,), zero, f_var, y)
    np.testing.assert_allclose(found, np.log(density), atol=1e-6)
    crps = [
        quad(lambda x: laplace_cdf(x, b, v) ** 2, -50, a, limit=500)[0]
        + quad(lambda x: (1 - laplace_cdf(x, b, v)) ** 2, a, 50, limit=500)[0]
        for a in y[:, 0]
    ]
    np.testing.assert_allclose(Laplace().predict_crps((b,), zero, f_var, y)[:, 0], crps, rtol=1e-6)
    mean, var = Laplace().predict_mean_and_var((b,), zero + 2.0, f_var)
    np.testing.assert_allclose(mean, 2.0)
    np.testing.assert_allclose(var, v + 2 * b**2)


def test_draws_of_laplace_noise():
    draws = Laplace().sample((0.7,), np.full((20000, 1), 2.0), np.random.RandomState(0))
    assert stats.kstest(draws[:, 0], "laplace", (2.0, 0.7)).pvalue > 0.01
    shape = Laplace().sample((0.7,), np.zeros((4, 3, 2)), np.random.RandomState(0)).shape
    assert shape == (4, 3, 2)


@pytest.mark.parametrize(
    "likelihood, given",
    [
        (Exponential(), lambda f: stats.expon(scale=np.exp(f))),
        (Beta(), lambda f: stats.beta(np.exp(f), 1.0)),
    ],
    ids=["exponential", "beta"],
)
def test_positive_y_and_shares_against_scipy(likelihood, given):
    f = np.array([[-1.0], [0.2], [1.5]])
    other = given(f)
    np.testing.assert_allclose(likelihood.conditional_mean((), f), other.mean(), rtol=1e-5)
    np.testing.assert_allclose(likelihood.conditional_variance((), f), other.var(), rtol=1e-5)
    y = other.ppf(0.3)
    np.testing.assert_allclose(likelihood.cdf((), f, y), 0.3, rtol=1e-6)
    quantiles = likelihood.predict_quantiles((), f, 0 * f, [0.1, 0.8])
    np.testing.assert_allclose(quantiles[:, 0], other.ppf([0.1, 0.8]), rtol=1e-5)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    mixture = given(f + 0.6 * nodes)
    found = likelihood.predict_mean_and_var((), f, np.full_like(f, 0.36))[0]
    np.testing.assert_allclose(found[:, 0], mixture.mean() @ weights, rtol=1e-4)
    quantiles = likelihood.predict_quantiles((), f, np.full_like(f, 0.36), [0.1, 0.8])
    for k, level in enumerate((0.1, 0.8)):
        np.testing.assert_allclose(
            mixture.cdf(quantiles[:, 0, k : k + 1]) @ weights, level, atol=1e-5
        )
    draws = likelihood.sample((), np.full((5000, 1), 0.2), np.random.RandomState(0))
    assert stats.kstest(draws[:, 0], given(0.2).cdf).pvalue > 0.01


@pytest.mark.parametrize("f_var", [1e-4, 0.3, 1.0, 2.0])
def test_variance_of_the_mean_of_counts(f_var):
    """Also where a node of f has more in the tail than the table made for all of them holds."""
    f, v = np.array([[-1.0], [2.0]]), np.full((2, 1), f_var)
    found = Geometric().predict_mean_and_var((), f, v, None, False)
    expected = np.exp(f + v / 2), np.exp(2 * f + v) * np.expm1(v)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_overflow_far_out_is_no_density():
    """NaN and infinity are neither a maximum nor a part of an integral."""
    np.testing.assert_allclose(
        argmax_of_sinh(lambda f: np.where(np.abs(f) > 9, np.nan, -((f - 3) ** 2)), ()), 3.0
    )
    np.testing.assert_allclose(
        argmax_of_sinh(lambda f: np.where(f > 9, np.inf, -((f + 3) ** 2)), ()), -3.0
    )
    assert argmax_of_sinh(lambda f: np.full(np.shape(f), np.nan), ()) == 0.0  # nothing anywhere
    y = RNG.weibull(2.0, (300, 1))
    expected = 0.5 * np.log(np.mean(y**2))
    np.testing.assert_allclose(Weibull().offset(y, np.ones(300), None), expected, rtol=1e-6)
    m = np.array([[-1.0], [0.5]])
    f = m + 10.0 * np.linspace(-9, 9, 40001)
    p = stats.weibull_min(2.0, scale=np.exp(f)).pdf(1.0) * stats.norm(m, 10.0).pdf(f)
    found = Weibull().predict_log_density((), m, np.full((2, 1), 100.0), np.ones((2, 1)))
    np.testing.assert_allclose(found[:, 0], np.log(p.sum(1) * (f[0, 1] - f[0, 0])), atol=1e-4)


def test_offset_of_rows_that_are_as_likely_far_out_is_near():
    assert -30 < Geometric().offset(np.zeros((9, 1)), np.ones(9), None) < -5


@pytest.mark.parametrize(
    "support, distribution",
    [
        ("real", stats.norm(1e3, 0.5)),
        ("real", stats.cauchy(5.0, 1e-6)),
        ("real", stats.expon(5.0, 1e4)),
        ("positive", stats.gamma(0.05)),
        ("positive", stats.lognorm(3.0)),
        ("unit", stats.beta(0.05, 3.0)),
        ("unit", stats.beta(5e3, 3e2)),
        ("counts", stats.poisson(1e4)),
        ("counts", stats.nbinom(1, 0.001)),
        ("counts", stats.zipf(2.5, -1)),
    ],
)
def test_total_of_a_density(support, distribution):
    log_prob = getattr(distribution, "logpmf" if support == "counts" else "logpdf")
    np.testing.assert_allclose(total(log_prob, support, (3, 1)), 1.0, rtol=3e-3)
    doubled = total(lambda y: log_prob(y) + np.log(2.0), support, (3, 1))
    np.testing.assert_allclose(doubled, 2.0, rtol=3e-3)


def test_total_of_what_cannot_be_told():
    far = stats.poisson(1e7).logpmf, "counts"
    cliffs = stats.uniform(5.0, 0.1).logpdf, "real"
    for log_prob, support in (far, cliffs):
        assert np.isnan(total(log_prob, support, (1, 1)))
    assert total(lambda y: 0.0 * y, "counts", (1, 1)) > 1e5
    assert total(lambda y: 0.0 * y, "real", (1, 1)) > 1e5


# --- what does not exist ---------------------------------------------------------------------


def test_what_does_not_exist_is_said():
    heavy = without_closed_forms(StudentT)
    with pytest.raises(ValueError, match="no variance.*Ask for quantiles"):
        heavy.conditional_variance((1.0, 1.5), np.zeros((1, 1)))
    with pytest.raises(ValueError, match="no mean"):
        heavy.predict_crps((1.0, 0.9), *np.zeros((3, 1, 1)))
    assert heavy.predict_quantiles((1.0, 1.0), np.zeros((1, 1)), np.zeros((1, 1)), [0.75]) == (
        pytest.approx(1.0, rel=1e-5)
    )

    class Unnormalised(Laplace):
        def log_prob(self, values, F, Y, row=None):
            return -tf.abs(Y - F) / values[0]

    with pytest.raises(ValueError, match="no density that adds up to 1 given f.*log_prob"):
        Laplace().predict_quantiles((0.0,), np.zeros((1, 1)), np.zeros((1, 1)), [0.5])
    with pytest.raises(ValueError, match="adds up to 1.4 .*normalising constant"):
        Unnormalised().predict_quantiles((0.7,), np.zeros((1, 1)), np.zeros((1, 1)), [0.5])
    with pytest.raises(NotImplementedError, match="labels"):
        Bernoulli().predict_quantiles((), np.zeros((1, 1)), np.zeros((1, 1)), [0.5])
    with pytest.raises(NotImplementedError, match="Softmax.*labels"):
        Softmax(3).cdf((), np.zeros((1, 3)), np.zeros((1, 1)))
    with pytest.raises(TypeError, match="not Gaussian in f"):
        Laplace().noise_of_rows((0.5,), None)


# --- from the data ---------------------------------------------------------------------------


def test_noise_that_is_named_is_a_parameter():
    assert Laplace.parameter_names == ("scale",)
    (scale,) = Laplace().parameters(None, 4.0)
    np.testing.assert_allclose(scale.value, np.sqrt(0.4))
    np.testing.assert_allclose(scale.bounds, np.sqrt([4e-6, 400.0]))
    (scale,) = Laplace().parameters(Noise(0.09, (0.01, 1.0), False), 1.0)
    np.testing.assert_allclose([scale.value, *scale.bounds], [0.3, 0.1, 1.0])
    assert not scale.free
    assert Laplace().noise_level((0.3,)) == pytest.approx(0.09)
    learned = Laplace().learned((0.3,), np.array([10.0]))
    assert learned == {"scale": pytest.approx(3.0)} and isinstance(learned["scale"], float)
    np.testing.assert_allclose(Laplace().learned((0.3,), np.array([10.0, 1.0]))["scale"], [3, 0.3])
    assert Exponential().parameters(None, 1.0) == ()
    with pytest.raises(ValueError, match="Exponential has no Gaussian noise"):
        Exponential().parameters(Noise(0.1, (0.1, 0.1), False), 1.0)


@pytest.mark.parametrize(
    "likelihood, y, row",
    [(Exponential(), [1.0, 0.0, -1.0], 1), (Beta(), [0.5, 0.2, 1.0], 2), (Laplace(), [np.inf], 0)],
    ids=["positive", "unit", "real"],
)
def test_first_row_outside_the_support_is_named(likelihood, y, row):
    with pytest.raises(ValueError, match=rf"y\[{row}\] = .*{type(likelihood).__name__}"):
        likelihood.check(np.array(y))


def test_units_and_offset():
    y, w = RNG.exponential(3.0, (2000, 2)), RNG.randint(1, 3, 2000).astype(float)
    shift, scale = Laplace().units(y, w)
    np.testing.assert_allclose(shift, np.average(y, 0, w))
    np.testing.assert_allclose(scale**2, np.average((y - shift) ** 2, 0, w))
    assert Exponential().units(y, w) == pytest.approx(np.array([[0, 0], [1, 1]]))
    # the rate of highest likelihood is that of the mean
    np.testing.assert_allclose(Exponential().offset(y, w, None), np.log(np.average(y, 0, w)))
    np.testing.assert_array_equal(Laplace().offset(y, w, None), [0, 0])
    targets, noise, free = Exponential().as_regression(y, (), None, 1.0)
    np.testing.assert_allclose(targets, np.log(y) - np.log(y).mean(0))
    assert noise > 0 and not free


def test_names():
    assert [named(name) for name in NAMES] == [cls() for cls in NAMES.values()]
    assert (named("student_t"), named("poisson")) == (StudentT(), Poisson())
    assert named(Laplace()) == Laplace()
    assert for_labels(2) == Bernoulli() and for_labels(3) == Softmax(3)
    for wrong in ("poison", Gaussian, None):
        with pytest.raises(ValueError, match="'gaussian', .*'student_t', .*'poisson'"):
            named(wrong)


def test_support_that_is_none_of_numbers_is_named():
    with pytest.raises(ValueError, match="Softmax is one of labels.*GaussianProcessClassifier"):
        named(Softmax(3))

    class Misspelt(Geometric):
        support = "count"

    with pytest.raises(ValueError, match="Misspelt is 'count'.*'real', 'positive', 'counts'"):
        named(Misspelt())


@pytest.mark.parametrize(
    "given, said",
    [
        (["a", "b"], "got 'a'.*Convert"),
        (["1", "2"], "got '1'.*Convert"),
        (np.array([1.0, "2"], dtype=object), "got '2'.*Convert"),
        ([1.0, {}], "got '{}'.*Convert"),
        ([None, 1.0], "row 0 is nan"),
        (1.0, "shape"),
    ],
    ids=str,
)
def test_what_is_known_of_rows_is_numbers(given, said):
    with pytest.raises(ValueError, match=f"exposure must hold 2 finite, positive numbers.*{said}"):
        Poisson().check_row("exposure", given, 2)


def test_quadrature_is_the_expectation_of_training():
    values = (tf.constant(0.7, tf.float64),)
    y, f_var = F_MEAN + 3.0, np.full_like(F_MEAN, 0.01)  # away from the bend
    found = Laplace().variational_expectations(values, F_MEAN, f_var, y)
    expected = reference.expected_log_density(
        lambda F: stats.laplace.logpdf(y[..., None], F, 0.7), F_MEAN, f_var
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9)
