from __future__ import annotations

import numpy as np
import pytest
import reference
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.special import gammaln, logsumexp
from scipy.stats import norm, poisson
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from skgpng import kernels
from skgpng._inference import Data, Model, Sites, Structure
from skgpng._runtime import tf
from skgpng._training import stages
from skgpng._training.loop import Settings
from skgpng.likelihoods import Noise, Poisson
from skgpng.parameters import Parameters

likelihood = Poisson()
RNG = np.random.RandomState(0)
N = 6
F_MEAN, F_VAR = RNG.uniform(-1, 3, (N, 2)), 10.0 ** RNG.uniform(-12, 0.3, (N, 2))
EXPOSURE = 10.0 ** RNG.uniform(-1, 1, (N, 1))
Y = RNG.poisson(EXPOSURE * np.exp(F_MEAN)).astype(float)
# mean and variance of the log rate, and counts
CASES = [
    (1.0, 0.5, (0, 1, 5, 30)),
    (np.log(5000.0), 4.0, (10, 5000, 80000)),
    (np.log(5000.0), 1e-12, (4900, 5000, 5200)),
    (0.0, 25.0, (0, 1, 100, 100000)),
    (np.log(1e5), 1e-4, (99000, 100000)),
    (-3.0, 0.1, (0, 1)),
]
every_case = pytest.mark.parametrize("mean, var, counts", CASES)


def column(*numbers):
    return np.array([numbers], float).T


def pieces(function, cuts):
    ends = sorted(float(np.clip(c, -13.0, 13.0)) for c in (-13.0, *cuts, 13.0))
    options = {"epsabs": 1e-15, "epsrel": 1e-11, "limit": 300}
    return sum(quad(function, a, b, **options)[0] for a, b in zip(ends, ends[1:]) if b > a)


def cdf(k, mean, var):
    """Probability of k or less, by SciPy."""
    sd = np.sqrt(var)
    if sd < 1e-5:
        return poisson.cdf(k, np.exp(mean))
    step, width = (np.log(k + 1.0) - mean) / sd, 1.0 / (sd * np.sqrt(k + 1.0))
    return pieces(
        lambda z: norm.pdf(z) * poisson.cdf(k, np.exp(mean + sd * z)),
        [step + d * width for d in (-8, -3, 0, 3, 8)],
    )


def log_probability(k, mean, var):
    sd = np.sqrt(var)

    def joint(z):
        rate = mean + sd * z
        return k * rate - np.exp(rate) - gammaln(k + 1.0) + norm.logpdf(z)

    z = np.linspace(-60, 60, 1200001)
    peak = z[np.argmax(joint(z))]
    width = 1.0 / np.sqrt(1.0 + var * np.exp(mean + sd * peak))
    total = sum(
        quad(lambda z: np.exp(joint(z) - joint(peak)), peak + a * width, peak + b * width,
             epsabs=0, epsrel=1e-11)[0]
        for a, b in ((-40, -5), (-5, 0), (0, 5), (5, 40))
    )  # fmt: skip
    return joint(peak) + np.log(total)


# --- densities and expectations --------------------------------------------------------------


def test_log_prob_against_scipy():
    rate = EXPOSURE * np.exp(F_MEAN)
    found = likelihood.log_prob((), F_MEAN, Y, EXPOSURE)
    np.testing.assert_allclose(found, poisson.logpmf(Y, rate), rtol=1e-10)
    np.testing.assert_allclose(
        likelihood.log_prob((), F_MEAN, Y), poisson.logpmf(Y, np.exp(F_MEAN)), rtol=1e-10
    )


@pytest.mark.parametrize("var, exposure", [(1e-12, 1.0), (1.0, 1e-6), (25.0, 1e6), (0.3, 2.0)])
@pytest.mark.parametrize("y", [0.0, 3.0, 1e5])
def test_expected_log_density_against_quadrature(y, var, exposure):
    f_mean, f_var, row = column(0.7), column(var), column(exposure)
    found = likelihood.variational_expectations((), f_mean, f_var, column(y), row)
    # 100 nodes integrate exp(f) exactly for the variances here
    expected = reference.expected_log_density(
        lambda f: y * (f + np.log(exposure)) - exposure * np.exp(f) - gammaln(y + 1.0),
        f_mean, f_var,
    )  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_gradients_of_the_expected_log_density():
    upstream = RNG.randn(N, 2)
    arguments = [F_MEAN, F_VAR + 0.1, Y + 0.5, EXPOSURE]

    def objective(f_mean, f_var, y, row):
        return likelihood.variational_expectations((), f_mean, f_var, y, row)

    tensors = [tf.constant(a) for a in arguments]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = objective(*tensors)
    for k, gradient in enumerate(tape.gradient(value, tensors, upstream)):

        def one(x, k=k):
            return np.sum(upstream * objective(*arguments[:k], x, *arguments[k + 1 :]))

        expected = reference.differences(one, arguments[k])
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)


# --- y given f -------------------------------------------------------------------------------


def test_conditional_distribution_against_scipy():
    other = poisson(EXPOSURE * np.exp(F_MEAN))
    given = (), F_MEAN
    np.testing.assert_allclose(likelihood.conditional_mean(*given, EXPOSURE), other.mean())
    np.testing.assert_allclose(likelihood.conditional_variance(*given, EXPOSURE), other.var())
    for y in (-1.0, 0.0, 2.5, 40.0):
        found = likelihood.cdf((), F_MEAN, np.full_like(F_MEAN, y), EXPOSURE)
        np.testing.assert_allclose(found, other.cdf(y), rtol=1e-10)


def test_draws_have_mean_and_variance():
    F = np.log([[0.3, 20.0, 1e12]])
    draws = likelihood.sample((), np.repeat(F, 40000, 0), np.random.RandomState(1))
    rate = np.exp(F[0])
    assert (draws == np.round(draws)).all()
    np.testing.assert_allclose((draws.mean(0) - rate) / np.sqrt(rate / 40000), 0, atol=4)
    np.testing.assert_allclose(draws.var(0), rate, rtol=0.05)


# --- the predictive distribution -------------------------------------------------------------


def test_moments_of_a_lognormal_rate():
    mean, var = likelihood.predict_mean_and_var((), column(1.2), column(0.6), column(3.0))
    below = likelihood.predict_mean_and_var((), column(1.2), column(0.6), column(3.0), False)[1]
    rate = 3.0 * np.exp(1.2 + 0.3)
    np.testing.assert_allclose(mean, rate)
    np.testing.assert_allclose(below, rate**2 * (np.exp(0.6) - 1.0))
    np.testing.assert_allclose(var, below + rate)


@every_case
def test_log_density_against_integration(mean, var, counts):
    for k in counts:
        found = likelihood.predict_log_density((), column(mean), column(var), column(k))
        expected = log_probability(k, mean, var)
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("exposure", [1e-6, 1e6])
def test_exposure_moves_the_log_rate(exposure):
    f_mean, f_var, row = column(0.4, -1.0), column(1e-12, 25.0), np.full((2, 1), exposure)
    moved = f_mean + np.log(exposure)
    levels, y = [0.1, 0.999], column(0.0, 1e5)
    for method, rest in (
        ("predict_quantiles", [levels]), ("predict_log_density", [y]), ("predict_crps", [y])
    ):  # fmt: skip
        found = getattr(likelihood, method)((), f_mean, f_var, *rest, row)
        expected = getattr(likelihood, method)((), moved, f_var, *rest)
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@every_case
def test_quantiles_are_the_smallest_counts_that_reach_the_level(mean, var, counts):
    levels = [0.001, 0.01, 0.5, 0.9, 0.999]
    for level, k in zip(
        levels,
        likelihood.predict_quantiles((), column(mean), column(var), levels)[0, 0],
        strict=True,
    ):
        assert k == np.round(k) >= 0
        assert cdf(k, mean, var) > level - 1e-7
        assert k == 0 or cdf(k - 1, mean, var) < level + 1e-7


@pytest.mark.parametrize(
    "y, mean, var, last",
    [
        (3, 1.0, 0.5, 300),
        (80, 2.0, 0.3, 600),
        (0, 3.0, 0.2, 700),
        (70, 4.1, 1e-12, 300),
        (500, np.log(450.0), 1e-3, 1200),
        (0, -3.0, 0.1, 50),
    ],
)
def test_crps_against_the_sum(y, mean, var, last):
    k, z = np.arange(last), np.linspace(-9, 9, 1501)  # finer than the steps in z
    rates = np.exp(mean + np.sqrt(var) * z)
    F = poisson.cdf(k[:, None], rates) @ norm.pdf(z) * (z[1] - z[0])
    expected = np.sum((F - (k >= y)) ** 2)
    found = likelihood.predict_crps((), column(mean), column(var), column(y))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_crps_of_large_counts_is_that_of_the_lognormal_rate():
    """From 1e5 on a count is its rate but for the spread of the counts themselves."""
    m, v, y = np.log(1e7), 0.25, np.array([3e6, 1e7, 4e7])
    found = likelihood.predict_crps((), np.full((3, 1), m), np.full((3, 1), v), y[:, None])[:, 0]
    s, w = np.sqrt(v), (np.log(y) - m) / np.sqrt(v)
    # Baran & Lerch 2015: CRPS of a lognormal variable
    expected = y * (2 * norm.cdf(w) - 1) - 2 * np.exp(m + v / 2) * (
        norm.cdf(w - s) + norm.cdf(s / np.sqrt(2)) - 1
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_zero_counts_and_large_variance_stay_finite():
    f_mean, f_var = column(0.0, 0.0, -30.0, 12.0), column(1e-12, 25.0, 1.0, 25.0)
    for y in (0.0, 1e5):
        Y = np.full((4, 1), y)
        for method in ("predict_log_density", "predict_crps"):
            assert np.isfinite(getattr(likelihood, method)((), f_mean, f_var, Y)).all()
    assert np.isfinite(likelihood.predict_quantiles((), f_mean, f_var, [1e-4, 0.9999])).all()


# --- from the data ---------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [-1.0, 0.5])
def test_what_is_no_count_is_named(bad):
    likelihood.check(np.array([0.0, 3.0, 1e5]))
    with pytest.raises(ValueError, match=r"y\[2\] = .*no count.*exposure"):
        likelihood.check(np.array([0.0, 1.0, bad, -7.0]))
    with pytest.raises(ValueError, match=r"y\[1, 0\]"):
        likelihood.check(np.array([[0.0, 1.0], [bad, 2.0]]))


def test_exposure_is_positive():
    np.testing.assert_array_equal(likelihood.check_row("exposure", None, 2), [1.0, 1.0])
    np.testing.assert_array_equal(likelihood.check_row("exposure", [1, 2], 2), [1.0, 2.0])
    for bad, message in (([1.0, 0.0], "row 1 is 0"), ([np.inf, 1], "row 0"), ([1.0], "shape")):
        with pytest.raises(ValueError, match=f"exposure must hold 2.*{message}"):
            likelihood.check_row("exposure", bad, 2)
    with pytest.raises(ValueError, match="noise_variance of each row is nothing that .*Poisson"):
        likelihood.check_row("noise_variance", [1.0, 1.0], 2)


def test_offset_is_the_log_of_all_counts_over_all_exposure():
    y, w, e = column(0, 2, 5), np.array([1.0, 2.0, 1.0]), column(1.0, 2.0, 0.5)
    np.testing.assert_allclose(likelihood.offset(y, w, e), [np.log(9.0 / 5.5)])
    np.testing.assert_allclose(likelihood.offset(y, w, None), [np.log(9.0 / 4.0)])
    assert np.isfinite(likelihood.offset(0 * y, w, e)).all()


def test_counts_have_no_gaussian_noise():
    assert likelihood.parameters(None, 1.0) == ()
    with pytest.raises(ValueError, match="alpha=None"):
        likelihood.parameters(Noise(0.1, (1e-3, 1.0), True), 1.0)
    assert likelihood.noise_variance(()) is None
    assert likelihood.learned((), np.ones(1)) == {}


def test_a_regression_sees_centred_log_rates():
    targets, noise, free = likelihood.as_regression(column(0, 10, 100), (), column(1, 1, 10), 1.0)
    np.testing.assert_allclose(targets.mean(), 0, atol=1e-12)
    np.testing.assert_allclose(targets[2] - targets[1], np.log(10.05 / 10.5))
    assert noise > 0 and not free


def test_score_is_the_deviance_explained():
    y = np.array([0.0, 2.0, 5.0])
    assert likelihood.score(y, np.array([0.01, 2.0, 5.0])) > 0.9
    assert likelihood.score(y, np.full(3, y.mean())) == pytest.approx(0.0)
    two = np.stack([y, y], 1)
    assert likelihood.score(two, np.full((3, 2), y.mean())) == pytest.approx(0.0)
    for same in (0 * y, 0 * y + 3.0):  # without deviance
        assert likelihood.score(same, np.full(3, 2.9)) == 0.0
    assert likelihood.score(y, y + 1.0, sample_weight=[0, 1, 0]) == 0.0


# --- training --------------------------------------------------------------------------------

SETTINGS = Settings(
    gamma=Poisson.gamma, gamma_ramp=1.0, warm_up=0, learning_rate=0.05, max_iter=300,
    n_iter_no_change=1000, n_plateaus=3, tol=1e-9, batch_size=10, jitter=1e-6,
    seed=np.array([1, 2]),
)  # fmt: skip


def trained(X, y, exposure, kernel, free=True, gamma=Poisson.gamma, max_iter=300):
    """Trains without inducing points; the exposure goes where the rows' noise went."""
    ones = np.ones(len(y))
    parsed = kernels.parse(kernel)
    offset = likelihood.offset(y[:, None], ones, exposure[:, None])
    mean = tuple(p._replace(free=free) for p in likelihood.mean.parameters(offset, X))
    of_kernel = tuple(p._replace(free=free) for p in parsed.parameters)
    structure = Structure(Model(Sites(), parsed.structure, likelihood, 1, likelihood.mean))
    q = np.zeros((len(y), 1)), np.full((len(y), 1), 1e-6)
    data = Data(X, y[:, None], ones, exposure[:, None], X.std(0))
    settings = SETTINGS._replace(gamma=gamma, max_iter=max_iter)
    stage = stages.Stage(data, settings, q)
    return stages.train(structure, Parameters(of_kernel, (), mean), [stage])


def test_bound_against_a_direct_search_and_the_evidence():
    X, y = np.linspace(-2, 2, 5)[:, None], np.array([0.0, 2.0, 7.0, 3.0, 1.0])
    exposure, kernel = np.array([1.0, 0.5, 2.0, 1.0, 3.0]), ConstantKernel(0.8) * RBF(1.0)
    result = trained(X, y, exposure, kernel, free=False)
    K, offset = kernel(X), np.log(y.sum() / exposure.sum())
    L = np.linalg.cholesky(K)
    lower = np.tril_indices(5)

    def negative_bound(x):
        m, R = x[:5], np.zeros((5, 5))
        R[lower] = x[5:]
        f_mean, f_var = L @ m + offset + np.log(exposure), np.sum((L @ R) ** 2, 1)
        expected = y * f_mean - np.exp(f_mean + 0.5 * f_var) - gammaln(y + 1.0)
        kl = 0.5 * (m @ m + np.sum(R**2) - 5.0) - np.sum(np.log(np.abs(np.diag(R))))
        return kl - expected.sum()

    best = minimize(negative_bound, np.r_[np.zeros(5), np.eye(5)[lower]], tol=1e-12)
    np.testing.assert_allclose(result.elbo_curve[-1], -best.fun, rtol=1e-7)
    # the evidence, by a product rule around the posterior of that search
    R = np.zeros((5, 5))
    R[lower] = best.x[5:]
    z, w = np.polynomial.hermite_e.hermegauss(12)
    Z = np.stack(np.meshgrid(*[z] * 5, indexing="ij"), -1).reshape(-1, 5)
    log_w = np.log(np.stack(np.meshgrid(*[w] * 5, indexing="ij"), -1)).reshape(-1, 5).sum(1)
    v = best.x[:5] + Z @ R.T
    log_joint = poisson.logpmf(y, exposure * np.exp(v @ L.T + offset)).sum(1) - 0.5 * (v**2).sum(1)
    evidence = logsumexp(log_joint + 0.5 * (Z**2).sum(1) + log_w - 2.5 * np.log(2 * np.pi))
    evidence += np.log(np.abs(np.diag(R))).sum()
    assert 0 < evidence - result.elbo_curve[-1] < 0.1


def test_training_learns_a_rate_and_its_mean():
    rng = np.random.RandomState(3)
    X, exposure = rng.uniform(-2, 2, (80, 1)), rng.uniform(0.5, 4.0, 80)
    rate = np.exp(3.0 + np.sin(2.0 * X[:, 0]))
    result = trained(X, rng.poisson(exposure * rate).astype(float), exposure, 1.0 * RBF(1.0))
    assert np.isfinite(result.elbo_curve).all()
    assert result.elbo_curve[-1] > result.elbo_curve[0] + 50
    assert result.report.n_rejected == 0 and result.report.n_corrected == 0
    assert 1.5 < result.theta.mean[0].item() < 4.5
