from __future__ import annotations

import numpy as np
import pytest
import reference
from scipy.integrate import quad
from scipy.special import ndtr, wofz
from scipy.stats import kstest, norm
from scipy.stats import t as student_t

from skgpng._tensorflow import tf
from skgpng.likelihoods import (
    Bernoulli,
    Gaussian,
    Likelihood,
    Noise,
    Poisson,
    Softmax,
    StudentT,
)
from skgpng.likelihoods.units import median_and_quartiles
from skgpng.quadrature import expected_log_square, gamma_nodes

likelihood = StudentT()

# --- expectations of logarithms --------------------------------------------------------------

OFFSETS, WIDTHS = (0.0, 0.1, 1.0, 5.0, 30.0), (0.03, 0.5, 2.0)
SQUARES = np.array(
    [(r, a, a**2 * ratio) for r in OFFSETS for a in WIDTHS for ratio in 10.0 ** np.arange(-6, 7)]
)


def gaussian_integral(function, r, width, sd, end=12.0):
    """Integral of function(x) N(x; 0, sd^2), cut around the well of the given width at r."""
    wells = [r + k * width for k in (-1e3, -100, -30, -8, -3, -1, 0, 1, 3, 8, 30, 100, 1e3)]
    ends = [-end * sd, 0.0, end * sd]
    ends += [k * sd for k in (-9, -3, 3, 9)]
    cuts = sorted({*ends, *(x for x in wells if abs(x) < end * sd)})

    def integrand(x):
        return function(x) * np.exp(-0.5 * (x / sd) ** 2) / (np.sqrt(2 * np.pi) * sd)

    options = {"epsabs": 1e-15, "epsrel": 1e-12, "limit": 200}
    return sum(quad(integrand, a, b, **options)[0] for a, b in zip(cuts, cuts[1:]))


def test_expected_log_square_against_integration():
    found = expected_log_square(*SQUARES.T)[0]
    expected = [
        gaussian_integral(lambda x, r=r, a=a: np.log(a**2 + (r - x) ** 2), r, a, np.sqrt(v))
        for r, a, v in SQUARES
    ]
    np.testing.assert_allclose(found, expected, atol=1e-12, rtol=0)


def test_derivatives_of_expected_log_square_against_the_faddeeva_function():
    r, a, v = SQUARES.T
    _, in_offset, in_width, in_variance = expected_log_square(r, a, v)
    u = (r + 1j * a) / np.sqrt(2 * v)
    pole = -1j * np.sqrt(np.pi / (2 * v)) * wofz(u)
    unit = np.sqrt(r**2 + a**2 + v)
    np.testing.assert_allclose(in_offset * unit, 2 * pole.real * unit, atol=2e-12, rtol=0)
    np.testing.assert_allclose(in_width * unit, -2 * pole.imag * unit, atol=2e-12, rtol=0)
    near = abs(u) < 30  # further out the difference below has lost its digits
    slope = (-(r + 1j * a) / v * pole + 1 / v).real
    np.testing.assert_allclose(
        (in_variance * unit**2)[near], (slope * unit**2)[near], atol=1e-11, rtol=0
    )


def test_derivative_in_the_variance_is_half_the_second_one_in_the_offset():
    r, a, v = np.array([0.0, 0.3, 2.0, 9.0]), np.array([0.7] * 4), np.array([1e-4, 0.2, 3.0, 1e-8])
    step = 1e-5
    up, down = (expected_log_square(r + d, a, v)[1] for d in (step, -step))
    found = expected_log_square(r, a, v)[3]
    np.testing.assert_allclose(found, 0.5 * (up - down) / (2 * step), rtol=1e-6)


def test_without_variance_the_expectation_is_the_logarithm():
    r, a = np.array([0.0, 3.0, 1e9, 1e100]), np.array([1e-6, 2.0, 1e-3, 1.0])
    value, in_offset, in_width, in_variance = expected_log_square(r, a, np.zeros(4))
    np.testing.assert_allclose(value, 2 * np.log(np.hypot(a, r)), rtol=1e-13)
    np.testing.assert_allclose(in_offset, 2 * r / np.hypot(a, r) / np.hypot(a, r), rtol=1e-12)
    np.testing.assert_allclose(in_width, 2 * a / np.hypot(a, r) / np.hypot(a, r), rtol=1e-12)
    assert np.isfinite(in_variance).all()


# --- the likelihood --------------------------------------------------------------------------

RNG = np.random.RandomState(3)
N, P = 7, 2
F_MEAN, F_VAR = RNG.randn(N, P), 10.0 ** RNG.uniform(-6, 2, (N, P))
Y = F_MEAN + 10.0 ** RNG.uniform(-3, 3, (N, P))
VALUES = [(0.3, 4.0), (1e-3, 2.01), (2.0, 30.0), (0.1, 1000.0)]
every_value = pytest.mark.parametrize("values", VALUES)


def floats(values):
    return tuple(np.float64(v) for v in values)


@every_value
def test_log_prob_against_scipy(values):
    found = likelihood.log_prob(values, F_MEAN, Y)
    expected = student_t.logpdf(Y, values[1], F_MEAN, values[0])
    # SciPy's own constant loses digits at df = 1000
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    small = likelihood.log_prob(values, np.zeros(2), np.array([1e-12, 1e-9]))
    np.testing.assert_allclose(small, student_t.logpdf(0, values[1], 0, values[0]), rtol=1e-9)


@every_value
def test_variational_expectations_against_integration(values):
    scale, df = values
    found = likelihood.variational_expectations(floats(values), F_MEAN, F_VAR, Y).numpy()
    width = scale * np.sqrt(df)
    for i, j in np.ndindex(N, P):
        r = Y[i, j] - F_MEAN[i, j]
        expected = gaussian_integral(
            lambda x, r=r: student_t.logpdf(r - x, df, 0, scale), r, width, np.sqrt(F_VAR[i, j])
        )
        np.testing.assert_allclose(found[i, j], expected, rtol=1e-8, atol=1e-9)


def test_twenty_nodes_would_not_do():
    # why there is a series: under a narrow density the nodes of the base class are too far apart
    values, one = floats((1e-3, 4.0)), np.ones((1, 1))
    y = np.array([[0.05]])
    exact = likelihood.variational_expectations(values, 0 * one, one, y)
    nodes = Likelihood.variational_expectations(likelihood, values, 0 * one, one, y)
    assert abs(exact - nodes) > 0.1


@pytest.mark.parametrize("shape", [(), (N, 1), (P,), (N, P)], ids=str)
def test_gradients_of_variational_expectations(shape):
    upstream, f_var = RNG.randn(N, P), RNG.uniform(0.01, 2.0, (N, P))
    y = F_MEAN + RNG.standard_t(3, (N, P))
    arguments = [RNG.uniform(0.2, 1.0, shape), RNG.uniform(2.1, 9.0, shape), F_MEAN, f_var, y]

    def objective(scale, df, *rest):
        return likelihood.variational_expectations((scale, df), *rest)

    tensors = [tf.constant(a) for a in arguments]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = objective(*tensors)
    for k, gradient in enumerate(tape.gradient(value, tensors, upstream)):

        def one(x, k=k):
            return np.sum(upstream * objective(*arguments[:k], x, *arguments[k + 1 :]))

        assert gradient.shape == np.shape(arguments[k])
        # differences with the step 1e-5 leave 1e-9 of the sum
        expected = reference.differences(one, arguments[k])
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)


def test_extreme_rows_leave_finite_gradients():
    f_mean = tf.constant([[0.0], [1e100], [0.0], [0.0]], tf.float64)
    f_var = tf.constant([[1e-300], [1.0], [1e12], [0.0]], tf.float64)
    tensors = [tf.constant(1e-6, tf.float64), tf.constant(2.01, tf.float64), f_mean, f_var]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = likelihood.variational_expectations(tensors[:2], f_mean, f_var, np.zeros((4, 1)))
    for tensor in (value, *tape.gradient(value, tensors)):
        assert np.isfinite(tensor).all()


def test_moments():
    mean, var = likelihood.predict_mean_and_var((0.5, 4.0), F_MEAN, F_VAR)
    np.testing.assert_array_equal(mean, F_MEAN)
    np.testing.assert_allclose(var, F_VAR + 0.5, rtol=1e-15)
    conditional = likelihood.conditional_variance((0.5, 4.0), F_MEAN)
    np.testing.assert_allclose(conditional, np.full((N, P), student_t.var(4.0, 0, 0.5)))
    for df in (0.5, 1.0, 2.0):
        assert np.isinf(likelihood.predict_mean_and_var((1.0, df), F_MEAN, F_VAR)[1]).all()


def test_which_likelihoods_are_log_concave():
    concave = {
        c: c.log_concave for c in (Likelihood, Gaussian, Bernoulli, Softmax, StudentT, Poisson)
    }
    assert [c for c in concave if concave[c]] == [Gaussian, Softmax, Poisson]


def test_known_noise_of_rows_is_for_gaussian_noise():
    with pytest.raises(ValueError, match="noise_variance of each row.*StudentT"):
        likelihood.check_row("noise_variance", [0.1], 1)


def test_distribution_given_f_against_scipy():
    found = likelihood.cdf((0.5, 3.0), F_MEAN, Y)
    np.testing.assert_allclose(found, student_t.cdf(Y, 3.0, F_MEAN, 0.5), rtol=1e-12)
    draws = likelihood.sample((0.5, 3.0), np.full((20000, 1), 2.0), np.random.RandomState(0))
    assert kstest(draws[:, 0], "t", (3.0, 2.0, 0.5)).pvalue > 0.01


def test_parameters_are_the_scale_and_the_degrees_of_freedom():
    scale, df = likelihood.parameters(None, 4.0)
    np.testing.assert_allclose([scale.value, *scale.bounds], np.sqrt([0.4, 4e-6, 400.0]))
    assert df.value == 4.0 and df.free
    scale, df = likelihood.parameters(Noise(0.09, (0.09, 0.09), False), 1.0)
    assert scale.value == pytest.approx(0.3) and not scale.free and df.free
    assert likelihood.noise_level((0.3, 4.0)) == pytest.approx(0.09)
    assert likelihood.noise_variance((0.5, 4.0)) == pytest.approx(0.5)
    assert likelihood.learned((0.5, 4.0), np.array([2.0])) == {"scale": 1.0, "df": 4.0}
    targets, noise, free = likelihood.as_regression(np.array([[9.0]]), (0.5, 4.0), None, 1.0)
    assert (targets.item(), noise, free) == (1.0, 0.25, False)


# --- the predictive distribution -------------------------------------------------------------


@pytest.mark.parametrize("df", [0.5, 1.0, 2.01, 5.0, 10.0, 50.0, 300.0, 1000.0])
def test_gamma_nodes_give_the_student_t(df):
    log_nodes, log_weights = gamma_nodes(df)
    std, weights = np.exp(-0.5 * log_nodes), np.exp(log_weights)
    np.testing.assert_allclose(weights.sum(), 1.0, rtol=1e-12)
    np.testing.assert_allclose(weights @ np.exp(log_nodes), 1.0, rtol=1e-11)
    x = np.array([0.0, 0.1, 1.0, 3.0, 10.0])
    np.testing.assert_allclose(
        ndtr(-x[:, None] / std) @ weights, student_t.sf(x, df), rtol=1e-9, atol=1e-13
    )


@pytest.mark.parametrize("df", [2.01, 4.0, 30.0, 1000.0])
def test_log_density_without_variance_is_the_student_t_however_far_out(df):
    r = np.array([0.0, 1.0, 10.0, 1e3, 1e8, 1e100])
    zero = np.zeros_like(r)
    found = likelihood.predict_log_density((0.2, df), zero, zero, r)
    np.testing.assert_allclose(found, likelihood.log_prob((0.2, df), zero, r), rtol=1e-11)


@pytest.mark.parametrize("ratio", [1e-6, 1e-2, 1.0, 1e2, 1e6])
@pytest.mark.parametrize("df", [2.01, 4.0, 100.0])
def test_log_density_against_integration(df, ratio):
    scale = 0.1
    sd = scale * np.sqrt(ratio)
    r = (scale + sd) * np.array([0.0, 0.5, 2.0, 6.0, 15.0, 100.0])
    found = likelihood.predict_log_density((scale, df), np.zeros(6), np.full(6, sd**2), r)
    expected = [
        np.log(
            gaussian_integral(lambda x, d=d: student_t.pdf(d - x, df, 0, scale), d, scale, sd, 35.0)
        )
        for d in r[:5]
    ]
    np.testing.assert_allclose(found[:5], expected, rtol=1e-8)
    # at a distance the density is that of the noise, and then exp(-700) and less is no problem
    far = student_t.logpdf(r[5], df, 0, scale)
    if df < 50:
        np.testing.assert_allclose(found[5], far, atol=0.01)


def test_log_density_with_values_of_each_row():
    scale, df = RNG.uniform(0.1, 1, (N, 1)), RNG.uniform(2.1, 40, (N, 1))
    found = likelihood.predict_log_density((scale, df), F_MEAN, F_VAR, Y)
    for i in range(N):
        own = likelihood.predict_log_density((scale[i], df[i]), F_MEAN[i], F_VAR[i], Y[i])
        np.testing.assert_allclose(found[i], own, rtol=1e-10)


@pytest.mark.parametrize("df", [2.01, 4.0, 1000.0])
@pytest.mark.parametrize("scale", [1e-4, 0.3, 50.0])
def test_quantiles_have_their_probability(df, scale):
    levels = [1e-8, 0.025, 0.3, 0.499, 0.5, 0.9, 0.999999]
    f_mean, f_var = np.full((3, 1), 2.0), np.array([[0.0], [0.04], [9.0]])
    found = likelihood.predict_quantiles((scale, df), f_mean, f_var, levels)
    assert found.shape == (3, 1, 7)
    assert (found[..., 4] == 2.0).all()
    assert (np.diff(found) > 0).all()
    np.testing.assert_allclose(
        found[0, 0] - 2.0, student_t.ppf(levels, df, 0, scale), rtol=1e-8, atol=1e-12
    )
    for row in (1, 2):
        sd = np.sqrt(f_var[row, 0])
        for level, q in zip(levels, found[row, 0] - 2.0, strict=True):
            below = gaussian_integral(
                lambda x, q=q: student_t.cdf(q - x, df, 0, scale), q, scale, sd
            )
            np.testing.assert_allclose(below, level, rtol=1e-6)


def test_quantiles_of_a_large_df_are_normal():
    found = likelihood.predict_quantiles((0.5, 1e7), F_MEAN, F_VAR, [0.1, 0.975])
    expected = norm.ppf([0.1, 0.975], F_MEAN[..., None], np.sqrt(F_VAR + 0.25)[..., None])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("df", [2.01, 4.0, 100.0])
def test_crps_against_integration(df):
    scale, sd = 0.4, 0.7

    def cdf(x):
        log_nodes, log_weights = gamma_nodes(df)
        std = np.sqrt(sd**2 + scale**2 * np.exp(-log_nodes))
        return ndtr(x / std) @ np.exp(log_weights)

    y = np.array([[0.0], [0.8], [-6.0]])
    found = likelihood.predict_crps((scale, df), 0 * y, np.full((3, 1), sd**2), y)
    for value, at in zip(found[:, 0], y[:, 0], strict=True):
        lower = quad(lambda x: cdf(x) ** 2, -np.inf, at, epsabs=1e-10, limit=200)[0]
        upper = quad(lambda x: cdf(-x) ** 2, at, np.inf, epsabs=1e-10, limit=200)[0]
        np.testing.assert_allclose(value, lower + upper, rtol=1e-6)


def test_units_count_weights_as_rows():
    rng = np.random.RandomState(8)
    y, weights = rng.randn(30, 2), rng.randint(1, 4, 30)
    found = likelihood.units(y, weights.astype(float))
    expected = likelihood.units(np.repeat(y, weights, 0), np.ones(weights.sum()))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    normal = norm.ppf((np.arange(1000) + 0.5) / 1000)[:, None]
    median, unit = median_and_quartiles(3.0 * normal + 1.0, np.ones(1000))
    np.testing.assert_allclose([median[0], unit[0]], [1.0, 3.0], rtol=0.01)
    mostly = np.where(np.arange(30) < 24, 5.0, y[:, 0])[:, None]
    median, unit = median_and_quartiles(mostly, np.ones(30))
    np.testing.assert_allclose([median[0], unit[0]], [5.0, mostly.std()])
    with pytest.raises(ValueError, match="1e\\+260"):
        likelihood.units(np.full((3, 1), 1e260), np.ones(3))
