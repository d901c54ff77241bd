from __future__ import annotations

import pickle

import numpy as np
import pytest
import reference
from scipy.integrate import quad
from scipy.special import ndtr, wofz
from scipy.stats import norm
from scipy.stats import t as student_t
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.model_selection import cross_val_score

from skgpng import GaussianProcessRegressor
from skgpng._runtime import tf
from skgpng.likelihoods import Bernoulli, Gaussian, Likelihood, Softmax, StudentT
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
    concave = {c: c.log_concave for c in (Likelihood, Gaussian, Bernoulli, Softmax, StudentT)}
    assert [c for c in concave if concave[c]] == [Gaussian, Softmax]


def test_known_noise_of_rows_is_for_gaussian_noise():
    noise = np.array([0.1, 0.2])
    (variance,) = Gaussian().with_row_noise((0.5,), noise)
    np.testing.assert_allclose(variance, [[0.6], [0.7]])
    assert likelihood.with_row_noise((0.5, 4.0), noise) == (0.5, 4.0)
    assert Bernoulli().with_row_noise((), noise) == ()


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


# --- the estimator ---------------------------------------------------------------------------


def student_t_regressor(**settings):
    return GaussianProcessRegressor(likelihood="student_t", random_state=0, **settings)


def function(X):
    return np.sin(2 * X[:, 0]) + 0.5 * X[:, 1]


def rows_with_outliers(seed, n=200, share=0.08, size=10.0):
    """Rows with noise of deviation 0.1, a share of them far off, and clean ones to test on."""
    rng = np.random.RandomState(seed)
    X, X_test = rng.uniform(-3, 3, (n, 2)), rng.uniform(-3, 3, (500, 2))
    y = function(X) + 0.1 * rng.randn(n)
    out = rng.choice(n, int(share * n), replace=False)
    y[out] += size * rng.standard_normal(len(out))
    return X, y, X_test, function(X_test)


def rmse(model, X, y):
    return np.sqrt(np.mean((model.predict(X) - y) ** 2))


@pytest.fixture(scope="module")
def heavy():
    """A sparse model, with its rows."""
    X, y, X_test, y_test = rows_with_outliers(0)
    return student_t_regressor(n_inducing=40).fit(X, y), X, y, X_test, y_test


CASES = [
    {"n_inducing": None},
    {"n_inducing": None, "gamma": 1.0},
    {"n_inducing": 40},
    {"n_inducing": 40, "gamma": 0.5},
    {"n_inducing": 40, "gamma": 1.0},
    {"n_inducing": 40, "batch_size": 50, "learning_rate": 0.03},
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("settings", CASES, ids=str)
@pytest.mark.parametrize("share", [0.05, 0.1])
def test_outliers_do_not_pull_the_function(settings, share):
    X, y, X_test, y_test = rows_with_outliers(1, share=share)
    model = student_t_regressor(**settings).fit(X, y)
    gaussian = GaussianProcessRegressor(random_state=0).fit(X, y)
    assert np.isfinite(model.elbo_curve_).all()
    assert rmse(model, X_test, y_test) < min(0.08, 0.4 * rmse(gaussian, X_test, y_test))
    assert model.likelihood_["df"] < 4
    assert 0.05 < model.likelihood_["scale"] < 0.2


@pytest.mark.parametrize("size", [1e3, 1e6])
def test_one_huge_outlier(size):
    X, y, X_test, y_test = rows_with_outliers(2, share=0.0)
    y[7] = size
    model = student_t_regressor(n_inducing=40).fit(X, y)
    assert rmse(model, X_test, y_test) < 0.1
    mean, std = model.predict(X, return_std=True)
    assert np.isfinite(mean).all() and np.isfinite(std).all()
    assert np.isfinite(model.log_predictive_density(X, y)).all()


def test_normal_noise_gives_a_large_df_and_the_gaussian_predictions():
    X, y, X_test, y_test = rows_with_outliers(3, n=400, share=0.0)
    # every row, since two sparse models would place their points differently
    model = student_t_regressor(n_inducing=None).fit(X, y)
    gaussian = GaussianProcessRegressor(n_inducing=None, random_state=0).fit(X, y)
    assert model.likelihood_["df"] > 20
    mean, std = model.predict(X_test, return_std=True)
    other, other_std = gaussian.predict(X_test, return_std=True)
    # a tenth of the noise: both end their training a little before the optimum
    assert np.sqrt(np.mean((mean - other) ** 2)) < 0.01
    np.testing.assert_allclose(std, other_std, rtol=0.1)
    np.testing.assert_allclose(model.noise_variance_, gaussian.noise_variance_, rtol=0.1)


def test_at_df_of_a_thousand_the_posterior_is_the_gaussian_one(monkeypatch):
    # hyperparameters held; what is left is 1 / df of the deviations
    monkeypatch.setattr("skgpng.regression._DF_START", 1e3)
    X, y, X_test, _ = rows_with_outliers(4, n=80, share=0.0)
    y = (y - y.mean()) / y.std()
    settings = {"optimizer": None, "normalize_y": False, "alpha": 0.1, "tol": 1e-8}
    settings |= {"kernel": RBF(1.0), "n_inducing": 30, "train_inducing": False}
    model = student_t_regressor(**settings).fit(X, y)
    gaussian = GaussianProcessRegressor(random_state=0, **settings).fit(X, y)
    assert model.likelihood_["df"] == pytest.approx(1e3)
    np.testing.assert_allclose(model.elbo_, gaussian.elbo_, rtol=5e-3)
    found, expected = (m.predict(X_test, return_std=True) for m in (model, gaussian))
    np.testing.assert_allclose(found[0], expected[0], atol=5e-3)
    np.testing.assert_allclose(found[1], expected[1], rtol=5e-3)


def test_learned_values_are_in_the_units_of_y(heavy):
    model, X, y, X_test, _ = heavy
    learned = model.likelihood_
    variance = learned["scale"] ** 2 * learned["df"] / (learned["df"] - 2)
    np.testing.assert_allclose(model.noise_variance_, variance, rtol=1e-12)
    other = student_t_regressor(n_inducing=40).fit(X, 1024.0 * y)
    np.testing.assert_allclose(other.likelihood_["scale"], 1024.0 * learned["scale"], rtol=1e-6)
    np.testing.assert_allclose(other.likelihood_["df"], learned["df"], rtol=1e-6)
    np.testing.assert_allclose(other.predict(X_test), 1024.0 * model.predict(X_test), rtol=1e-5)
    gaussian = GaussianProcessRegressor(random_state=0).fit(X, y)
    assert gaussian.likelihood_ == {"variance": gaussian.noise_variance_}


def test_predictive_distribution_against_draws(heavy):
    model, X, _, X_test, _ = heavy
    rows = X_test[:3]
    draws = model.sample_y(rows, 200_000, random_state=0)
    levels = [0.01, 0.25, 0.5, 0.75, 0.975]
    quantiles = model.predict_quantiles(rows, levels)
    assert quantiles.shape == (3, 5)
    below = np.mean(draws[:, None, :] <= quantiles[..., None], 2)
    # three and a half standard errors of the share
    error = 3.5 * np.sqrt(np.array(levels) * (1 - np.array(levels)) / draws.shape[1])
    assert (abs(below - levels) < error).all()
    np.testing.assert_array_equal(quantiles[:, 2], model.predict(rows))
    at = quantiles[:, 3] + 0.1
    to_y, apart = abs(draws - at[:, None]), abs(draws[:, ::2] - draws[:, 1::2])
    expected = to_y.mean(1) - 0.5 * apart.mean(1)
    np.testing.assert_allclose(model.crps(rows, at), expected, rtol=0.03)


def test_density_is_that_of_the_quantiles(heavy):
    model, *_, X_test, _ = heavy
    row = X_test[:1]
    levels = 0.9 + np.array([-1e-4, 0.0, 1e-4])
    low, middle, high = model.predict_quantiles(row, levels)[0]
    density = np.exp(model.log_predictive_density(row, [middle]))
    np.testing.assert_allclose(density, 2e-4 / (high - low), rtol=1e-4)


def test_standard_deviation_and_covariance_have_the_variance_of_the_noise(heavy):
    model, *_, X_test, _ = heavy
    _, std = model.predict(X_test[:20], return_std=True)
    _, latent = model.predict(X_test[:20], return_std=True, include_noise=False)
    np.testing.assert_allclose(std**2, latent**2 + model.noise_variance_, rtol=1e-10)
    _, cov = model.predict(X_test[:20], return_cov=True)
    np.testing.assert_allclose(np.diag(cov), std**2, rtol=1e-7)


def test_blocks_of_rows_change_nothing(heavy, monkeypatch):
    model, X, y, *_ = heavy
    whole = model.log_predictive_density(X, y), model.predict_quantiles(X), model.crps(X, y)
    monkeypatch.setattr("skgpng.regression._BLOCK", 7)
    parts = model.log_predictive_density(X, y), model.predict_quantiles(X), model.crps(X, y)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_several_targets_share_df():
    X, y, X_test, y_test = rows_with_outliers(5)
    Y = np.stack([y, 100.0 - 30.0 * y], 1)
    model = student_t_regressor(n_inducing=40, max_iter=300, tol=1e-3).fit(X, Y)
    assert model.predict(X_test).shape == (500, 2)
    assert model.likelihood_["scale"].shape == (2,) == model.noise_variance_.shape
    np.testing.assert_allclose(np.divide(*model.likelihood_["scale"]), 1 / 30, rtol=1e-6)
    assert isinstance(model.likelihood_["df"], float)
    assert model.predict_quantiles(X_test, [0.5, 0.9]).shape == (500, 2, 2)
    assert model.log_predictive_density(X, Y).shape == (200,) == model.crps(X, Y).shape
    assert model.sample_y(X_test[:4], 3).shape == (4, 2, 3)
    np.testing.assert_allclose(model.predict(X_test)[:, 0], y_test, atol=0.5)


def test_alpha_fixes_the_square_of_the_scale():
    X, y, *_ = rows_with_outliers(6)
    model = student_t_regressor(n_inducing=20, alpha=0.04, max_iter=200, tol=0.01).fit(X, y)
    np.testing.assert_allclose(model.likelihood_["scale"], 0.2, rtol=1e-12)
    assert model.likelihood_["df"] != 4.0


def test_white_kernel_is_the_square_of_the_scale():
    X, y, *_ = rows_with_outliers(6)
    kernel = 1.0 * RBF(1.0) + WhiteKernel(0.01, (1e-4, 1.0))
    model = student_t_regressor(kernel=kernel, n_inducing=20, max_iter=200, tol=0.01).fit(X, y)
    level = model.kernel_.k2.noise_level
    np.testing.assert_allclose(
        model.likelihood_["scale"], np.sqrt(level) * model._predictor.units.scale[0]
    )
    assert 1e-4 <= level <= 1.0 and level != 0.01
    fixed = student_t_regressor(
        kernel=RBF(1.0) + WhiteKernel(0.01, "fixed"), n_inducing=20, max_iter=50, tol=0.01
    ).fit(X, y)
    np.testing.assert_allclose(fixed.kernel_.k2.noise_level, 0.01, rtol=1e-12)
    np.testing.assert_allclose(
        fixed.likelihood_["scale"], 0.1 * fixed._predictor.units.scale[0], rtol=1e-12
    )


def test_before_fit():
    X = np.linspace(0, 1, 5)[:, None]
    prior = student_t_regressor(kernel=RBF(0.5) + WhiteKernel(0.01))
    _, std = prior.predict(X, return_std=True)
    np.testing.assert_allclose(std, np.sqrt(1.02))  # df of 4 doubles the square of the scale
    assert prior.predict_quantiles(X).shape == (5, 3)
    assert np.isfinite(prior.log_predictive_density(X, np.zeros(5))).all()
    assert prior.sample_y(X, 3).shape == (5, 3)
    unknown = student_t_regressor(kernel=RBF(0.5))
    np.testing.assert_allclose(unknown.predict(X, return_std=True)[1], 1.0)
    assert unknown.predict_quantiles(X).shape == (5, 3)


@pytest.mark.parametrize(
    ("settings", "noise", "match"),
    [
        ({}, 0.1, "noise_variance=None"),
        ({"alpha": 0.1, "kernel": RBF() + WhiteKernel()}, None, "leave the WhiteKernel out"),
        ({"alpha": 0.0}, None, "leaves rows without noise"),
    ],
)
def test_noise_that_it_cannot_have(settings, noise, match):
    X, y, *_ = rows_with_outliers(6, n=20)
    given = None if noise is None else np.full(20, noise)
    with pytest.raises(ValueError, match=match):
        student_t_regressor(**settings).fit(X, y, noise_variance=given)


def test_log_marginal_likelihood(heavy):
    model = heavy[0]
    assert model.log_marginal_likelihood() == model.elbo_
    with pytest.raises(ValueError, match="likelihood='gaussian'"):
        model.log_marginal_likelihood(model.kernel_.theta)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_ways_to_train(heavy):
    model, X, y, X_test, y_test = heavy
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(again.predict(X_test), model.predict(X_test))
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_quantiles(X_test), model.predict_quantiles(X_test))
    warm = clone(model).set_params(warm_start=True).fit(X, y)
    steps = warm.n_iter_
    assert warm.fit(X, y).n_iter_ < steps
    warm.set_params(likelihood="gaussian").fit(X, y)
    assert list(warm.likelihood_) == ["variance"]
    stopped = clone(model).set_params(early_stopping=True).fit(X, y)
    assert np.isfinite(stopped.validation_scores_).all()
    assert rmse(stopped, X_test, y_test) < 0.15
    lbfgs = clone(model).set_params(optimizer="lbfgs", max_iter=50).fit(X, y)
    assert np.isfinite(lbfgs.elbo_curve_).all()
    scores = cross_val_score(clone(model).set_params(max_iter=50), X, y, cv=2)
    assert np.isfinite(scores).all()


def test_warm_start_is_no_worse(heavy):
    model, X, y, *_ = heavy
    warm = clone(model).set_params(warm_start=True).fit(X, y)
    before = warm.elbo_
    assert warm.fit(X, y).elbo_ > before - 1.0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_partial_fit():
    X, y, X_test, y_test = rows_with_outliers(7, n=600)
    model = student_t_regressor(n_inducing=40)
    for rows in (slice(0, 200), slice(200, 400), slice(400, 600)):
        model.partial_fit(X[rows], y[rows])
        assert np.isfinite(model.elbo_curve_).all()
    assert rmse(model, X_test, y_test) < 0.1
    assert 0.05 < model.likelihood_["scale"] < 0.2


def test_median_and_unit_count_weights_as_rows():
    from skgpng.regression import _median_and_unit

    rng = np.random.RandomState(8)
    Y, weights = rng.randn(30, 2), rng.randint(1, 4, 30)
    std = np.ones(2)
    found = _median_and_unit(Y, weights.astype(float), std)
    expected = _median_and_unit(np.repeat(Y, weights, 0), np.ones(weights.sum()), std)
    np.testing.assert_array_equal(found, expected)
    normal = norm.ppf((np.arange(1000) + 0.5) / 1000)[:, None]
    median, unit = _median_and_unit(3.0 * normal + 1.0, np.ones(1000), std[:1])
    np.testing.assert_allclose([median[0], unit[0]], [1.0, 3.0], rtol=0.01)
    mostly = np.where(np.arange(30) < 24, 5.0, Y[:, 0])[:, None]
    np.testing.assert_array_equal(_median_and_unit(mostly, np.ones(30), std[:1]), [[5.0], [1.0]])
