"""The argument ``likelihood``: names, objects, and objects of a user's own."""

from __future__ import annotations

import pickle
import time
from dataclasses import dataclass

import numpy as np
import pytest
import sklearn
from scipy import stats
from scipy.integrate import quad
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.pipeline import make_pipeline

from skgpng import GaussianProcessRegressor
from skgpng._runtime import tf
from skgpng.likelihoods import Bernoulli, Likelihood, Poisson, StudentT, tried_offset
from skgpng.means import Zero
from skgpng.parameters import Parameter

KERNEL = ConstantKernel(1.0) * RBF([1.0, 1.0])


@dataclass(frozen=True)
class Laplace(Likelihood):
    """Only what the documentation asks for."""

    noise, noise_power, log_concave, location, mean = "scale", 0.5, True, True, Zero()

    def log_prob(self, values, F, Y, row=None):
        return -tf.abs(Y - F) / values[0] - tf.math.log(2.0 * values[0])


@dataclass(frozen=True)
class Counts(Likelihood):
    """Negative binomial counts; ``trials`` of each row."""

    parameter_names, support = ("size",), "counts"
    row_names, row_defaults = ("trials",), (1.0,)

    def parameters(self, noise, spread):
        self._refuse(noise)
        return (Parameter("size", np.array(2.0), np.array([0.1, 1e3])),)

    def log_prob(self, values, F, Y, row=None):
        (size,), log_mean = values, F + (0.0 if row is None else tf.math.log(row[:, :1]))
        share = log_mean - tf.math.log(size)
        ways = tf.math.lgamma(Y + size) - tf.math.lgamma(size) - tf.math.lgamma(Y + 1.0)
        return ways - size * tf.math.softplus(share) - Y * tf.math.softplus(-share)


@dataclass(frozen=True)
class Gumbel(Likelihood):
    """Noise whose mean is not zero."""

    noise, noise_power, location, mean = "scale", 0.5, True, Zero()

    def log_prob(self, values, F, Y, row=None):
        z = (Y - F) / values[0]
        return -z - tf.exp(-z) - tf.math.log(values[0])


class Asking(GaussianProcessRegressor):
    """Of the documentation: what is known of each row, for scikit-learn's routing."""

    __metadata_request__fit = {"trials": None}
    __metadata_request__predict = {"trials": None}


@pytest.fixture(scope="module")
def counts():
    rng = np.random.RandomState(1)
    X, trials = rng.uniform(-2.0, 2.0, (80, 2)), rng.uniform(0.5, 4.0, 80)
    return X, rng.poisson(trials * rng.gamma(2.0, 0.5, 80) * np.exp(X[:, 0])), trials


@pytest.mark.parametrize(("given", "name"), [(StudentT(), "student_t"), (Poisson(), "poisson")])
def test_likelihood_object_equals_its_name(rows, given, name):
    X, y = rows
    y = np.round(np.exp(y))
    a, b = (
        GaussianProcessRegressor(
            KERNEL, likelihood=each, n_inducing=10, max_iter=20, random_state=0
        ).fit(X, y)
        for each in (given, name)
    )
    np.testing.assert_array_equal(a.elbo_curve_, b.elbo_curve_)
    np.testing.assert_array_equal(a.predict_quantiles(X), b.predict_quantiles(X))
    assert a.likelihood_ == b.likelihood_


@pytest.mark.parametrize("given", ["normal", StudentT, None, 1.0])
def test_likelihood_that_is_none_is_named(rows, given):
    with pytest.raises(ValueError, match="'likelihood' parameter.*must be.*'poisson'"):
        GaussianProcessRegressor(likelihood=given).fit(*rows)


@pytest.fixture(scope="module")
def laplace():
    """Rows with a Laplace noise of scale 30 about a function of deviation 100, and a model."""
    rng = np.random.RandomState(0)
    X = rng.uniform(-2.0, 2.0, (150, 2))
    f = 500.0 + 140.0 * np.sin(2.0 * X[:, 0])
    y = f + rng.laplace(0.0, 30.0, 150)
    model = GaussianProcessRegressor(KERNEL, likelihood=Laplace(), n_inducing=20, random_state=0)
    return model.fit(X, y), X, y, f


def test_likelihood_of_ones_own_learns(laplace):
    model, X, y, f = laplace
    assert np.isfinite(model.elbo_curve_).all() and model.n_corrected_steps_ == 0
    assert list(model.likelihood_) == ["scale"]
    assert model.likelihood_["scale"] == pytest.approx(30.0, rel=0.25)
    variance = 2.0 * model.likelihood_["scale"] ** 2
    assert model.noise_variance_ == pytest.approx(variance, rel=1e-4)
    assert np.sqrt(np.mean((model.predict(X) - f) ** 2)) < 20.0
    assert model.score(X, y) > 0.8


def test_likelihood_of_ones_own_predicts_by_its_distribution(laplace):
    model, X, y, _ = laplace
    row, scale = X[:1], model.likelihood_["scale"]
    (mean,), (std,) = model.predict(row, return_std=True, include_noise=False)

    def expected(function, at):
        ends = [mean - 9 * std, *sorted([mean, np.clip(at, mean - 9 * std, mean + 9 * std)])]
        ends.append(mean + 9 * std)
        return sum(
            quad(lambda f: stats.norm.pdf(f, mean, std) * function(at, f, scale), a, b)[0]
            for a, b in zip(ends, ends[1:])
        )

    at = mean + 50.0
    density = np.exp(model.log_predictive_density(row, [at])[0])
    assert density == pytest.approx(expected(stats.laplace.pdf, at), rel=1e-3)
    levels = [0.02, 0.5, 0.9]
    for level, q in zip(levels, model.predict_quantiles(row, levels)[0], strict=True):
        assert expected(stats.laplace.cdf, q) == pytest.approx(level, abs=1e-3)
    low, high = model.predict_quantiles(X, (0.05, 0.95)).T
    assert 0.8 < np.mean((low < y) & (y < high)) < 0.97
    assert np.isfinite(model.crps(X, y)).all()
    draws = model.sample_y(row, 20000)[0]
    assert np.mean(draws < at) == pytest.approx(expected(stats.laplace.cdf, at), abs=0.02)


def test_likelihood_of_ones_own_takes_alpha_and_white_kernel_and_travels(laplace):
    model, X, y, _ = laplace
    fewer = clone(model).set_params(max_iter=20)
    fixed = clone(fewer).set_params(alpha=400.0).fit(X, y)
    assert fixed.likelihood_["scale"] == pytest.approx(20.0)
    white = clone(fewer).set_params(kernel=KERNEL + WhiteKernel(0.04, "fixed")).fit(X, y)
    assert white.likelihood_["scale"] == pytest.approx(0.2 * y.std())
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_quantiles(X), model.predict_quantiles(X))
    with pytest.raises(ValueError, match="leaves rows without noise"):
        clone(model).set_params(alpha=0.0).fit(X, y)


# --- what a likelihood of one's own gets wrong is said before training ---------------------------


def own(base, log_prob, **more):
    return dataclass(frozen=True)(type("Own", (base,), {"log_prob": log_prob, **more}))()


def laplace_with(change):
    return lambda self, values, F, Y, row=None: change(
        Laplace.log_prob(self, values, F, Y), F, Y, row
    )


WRONG = {
    "no constant": (
        own(Laplace, lambda self, v, F, Y, row=None: -tf.abs(Y - F) / v[0]),
        "Own adds up to 0.63.* scale = 0.316.*normalising constant",
    ),
    "shape": (own(Laplace, laplace_with(lambda p, F, Y, row: p[..., 0])), r"\(2, 3\).*\[2, 3, 1\]"),
    "sum": (own(Laplace, laplace_with(lambda p, F, Y, row: tf.reduce_sum(p))), r"float64 \(\)"),
    "single result": (
        own(Laplace, laplace_with(lambda p, F, Y, row: tf.cast(p, tf.float32))), "gives float32"
    ),
    "single constant": (
        own(Laplace, laplace_with(lambda p, F, Y, row: p + tf.constant(0.0))), "float32.*F.dtype"
    ),
    "numpy": (
        own(Laplace, laplace_with(lambda p, F, Y, row: p + 0.0 * np.exp(F))), "tf.exp, not np.exp"
    ),
    "nothing": (own(Laplace, laplace_with(lambda p, F, Y, row: None)), "gives NoneType"),
    "nan": (
        own(Laplace, laplace_with(lambda p, F, Y, row: p + 0.0 * tf.math.log(Y))),
        "infinite or NaN at f = 0, y = -.*training cannot begin",
    ),
    "names": (own(Laplace, Laplace.log_prob, parameter_names=("scale", "df")), "gives 1 of them"),
    "labels": (Bernoulli(), "Bernoulli.*GaussianProcessClassifier"),
    "support": (own(Laplace, Laplace.log_prob, support="reals"), "'reals'.*'real', 'positive'"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("n_inducing", [None, 10])
def test_what_is_wrong_is_said_before_training(rows, name, n_inducing, monkeypatch):
    likelihood, said = WRONG[name]
    monkeypatch.setattr("skgpng._estimator.fitting.best_run", None)  # not reached
    with pytest.raises(ValueError, match=f"(?s){said}"):
        GaussianProcessRegressor(likelihood=likelihood, n_inducing=n_inducing).fit(*rows)


def test_signature_that_does_not_fit_is_said(rows):
    likelihood = own(Laplace, lambda self, values, F, Y: Laplace.log_prob(self, values, F, Y))
    with pytest.raises(TypeError, match=r"Own.log_prob.*log_prob\(self, values, F, Y, row=None\)"):
        GaussianProcessRegressor(likelihood=likelihood).fit(*rows)


def test_likelihood_without_a_hash_is_said(rows):
    likelihood = dataclass(type("Own", (Likelihood,), {"log_prob": Laplace.log_prob}))()
    with pytest.raises(TypeError, match="Own has no hash.*frozen"):
        GaussianProcessRegressor(likelihood=likelihood).fit(*rows)


def test_two_targets_and_two_latent_functions_pass_the_trial(rows):
    X, y = rows
    Y = np.column_stack([y, -y])
    model = GaussianProcessRegressor(KERNEL, likelihood=Laplace(), max_iter=5, tol=1.0).fit(X, Y)
    assert model.predict(X).shape == Y.shape

    @dataclass(frozen=True)
    class Spread(Likelihood):  # of the noise, by a second latent function
        mean = Zero()

        def n_latent(self, n_columns):
            return 2

        def log_prob(self, values, F, Y, row=None):
            z = (Y - F[..., :1]) * tf.exp(-F[..., 1:])
            return -0.5 * z**2 - F[..., 1:] - 0.5 * np.log(2 * np.pi)

        def variational_expectations(self, values, f_mean, f_var, Y, row=None):
            squares = (Y - f_mean[:, :1]) ** 2 + f_var[:, :1]
            scale = tf.exp(2.0 * (f_var[:, 1:] - f_mean[:, 1:]))
            return -0.5 * squares * scale - f_mean[:, 1:] - 0.5 * np.log(2 * np.pi)

        def as_regression(self, Y, values, row, spread):
            return np.concatenate([Y, 0.0 * Y], 1), 0.1, False

    assert np.isfinite(
        GaussianProcessRegressor(KERNEL, likelihood=Spread(), max_iter=5).fit(X, y).elbo_
    )


def test_row_that_is_spread_over_others_is_said(counts):
    X, y, trials = counts
    likelihood = own(
        Counts,
        lambda self, values, F, Y, row: Counts.log_prob(self, values, F, Y) + 0.0 * row[:, 0],
    )
    with pytest.raises(ValueError, match=r"\(2, 3, 3\).*row\[:, :1\]"):
        GaussianProcessRegressor(likelihood=likelihood).fit(X, y, trials=trials)


def test_counts_without_their_constant_are_said(counts):
    X, y, trials = counts
    likelihood = own(Counts, lambda self, values, F, Y, row=None: Y * F - tf.exp(F))
    with pytest.raises(ValueError, match="adds up to inf over all y .support 'counts'"):
        GaussianProcessRegressor(likelihood=likelihood).fit(X, y)


def test_trial_costs_little(counts):
    X, y, _ = counts
    Y, row, weights = y[:, None].astype(float), np.ones((80, 1)), np.ones(80)
    y_real, none = Y - Y.mean(), np.ones((80, 0))
    for likelihood, values, *given in (
        (Counts(), (2.0,), Y, weights, row),
        (Laplace(), (0.3,), y_real, weights, none),
    ):
        took = {}
        for way in (tried_offset, lambda likelihood, values, *given: likelihood.offset(*given)):
            way(likelihood, values, *given)  # compiled
            start = time.perf_counter()
            for _ in range(5):
                way(likelihood, values, *given)
            took[way] = (time.perf_counter() - start) / 5
        assert took[tried_offset] - min(took.values()) < 0.1  # 5 and 10 ms on a quiet machine


# --- what it knows of each row -------------------------------------------------------------------


def test_own_row_names_learn_predict_and_are_routed(counts):
    X, y, trials = counts
    model = GaussianProcessRegressor(KERNEL, likelihood=Counts(), max_iter=15, tol=1.0)
    by_hand = clone(model).fit(X, y, trials=trials)
    assert not np.allclose(by_hand.predict(X), clone(model).fit(X, y).predict(X), rtol=1e-2)
    mean, std = by_hand.predict(X, return_std=True, include_noise=False, trials=trials)
    rate, std_of_rate = by_hand.predict(X, return_std=True, include_noise=False)
    np.testing.assert_allclose(mean, trials * rate, rtol=1e-3)
    np.testing.assert_allclose(std, trials * std_of_rate, rtol=1e-2)
    with sklearn.config_context(enable_metadata_routing=True):
        asking = Asking(**model.get_params(deep=False))
        asking.set_fit_request(trials=True).set_predict_request(trials=True)
        pipe = make_pipeline(asking).fit(X, y, trials=trials)
        np.testing.assert_allclose(
            pipe.predict(X, trials=trials), by_hand.predict(X, trials=trials)
        )


def test_rows_without_weight_say_nothing(counts):
    X, y, trials = counts
    weights, other, y_other = np.ones(80), trials.copy(), y.astype(float)
    weights[[0, 5]], other[0], other[5], y_other[[0, 5]] = 0.0, np.nan, -1.0, 0.5
    model = GaussianProcessRegressor(KERNEL, likelihood="poisson", max_iter=5, tol=1.0)
    a = clone(model).fit(X, y_other, weights, exposure=other)
    b = clone(model).fit(X, y, weights, exposure=trials)
    np.testing.assert_array_equal(a.predict(X), b.predict(X))
    other[7] = -1.0
    with pytest.raises(ValueError, match="exposure.*row 7 is -1"):
        clone(model).fit(X, y, weights, exposure=other)
    y_other[0] = np.nan  # as everywhere in scikit-learn
    with pytest.raises(ValueError, match="y contains NaN"):
        clone(model).fit(X, y_other, weights)


def test_density_of_y_outside_the_support_is_an_error(counts):
    X, y, _ = counts
    model = GaussianProcessRegressor(KERNEL, likelihood="poisson", max_iter=5, tol=1.0).fit(X, y)
    for bad in (0.5, -1.0):
        with pytest.raises(ValueError, match=rf"y\[1\] = {bad:g} does not suit.*Poisson"):
            model.log_predictive_density(X[:2], [1.0, bad])


# --- before fit, and after another one -----------------------------------------------------------


@pytest.mark.parametrize("alpha", [None, 0.0])
@pytest.mark.parametrize("likelihood", [Laplace(), "student_t"], ids=["own", "student_t"])
def test_prior_without_noise_is_normal(rows, likelihood, alpha):
    X, y = rows[0][:5], rows[1][:5]
    model = GaussianProcessRegressor(4.0 * RBF(1.0), likelihood=likelihood, alpha=alpha)
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose([mean, std], [np.zeros(5), np.full(5, 2.0)])
    normal = stats.norm(0.0, 2.0)
    np.testing.assert_allclose(model.predict_quantiles(X, [0.1])[:, 0], normal.ppf(0.1))
    np.testing.assert_allclose(model.log_predictive_density(X, y), normal.logpdf(y))
    assert model.sample_y(X, 3).shape == (5, 3) and np.isfinite(model.crps(X, y)).all()
    with pytest.raises(ValueError, match="noise_variance of each row is nothing"):
        model.predict(X, noise_variance=np.ones(5))


@pytest.mark.filterwarnings("error")
def test_prior_of_no_rows_warns_of_nothing():
    mean, std = GaussianProcessRegressor(4.0 * RBF(1.0)).predict(np.ones((2, 1)), return_std=True)
    np.testing.assert_allclose([mean, std], [[0.0, 0.0], [2.0, 2.0]])


def test_prior_that_needs_its_noise_says_so(rows):
    likelihood = own(Laplace, Laplace.log_prob, location=False)
    model = GaussianProcessRegressor(likelihood=likelihood)
    with pytest.raises(ValueError, match="Before fit scale of Own is not known.*Set alpha"):
        model.predict_quantiles(rows[0])
    assert model.set_params(alpha=0.1).predict_quantiles(rows[0][:2]).shape == (2, 3)


def test_partial_fit_does_not_go_on_with_another_likelihood(rows):
    X, y = rows
    model = GaussianProcessRegressor(KERNEL, n_inducing=10, max_iter=5, tol=1.0).partial_fit(X, y)
    model.set_params(likelihood="student_t")
    with pytest.raises(ValueError, match="likelihood changed from Gaussian.* to StudentT.*Use fit"):
        model.partial_fit(X, y)
    model.set_params(likelihood="gaussian").partial_fit(X, y)
    assert "df" in model.set_params(likelihood="student_t").fit(X, y).likelihood_


def test_the_mean_of_noise_is_in_every_mean():
    """Whatever is asked for beside it, the mean of y is one."""
    rng = np.random.RandomState(0)
    X = rng.uniform(-2.0, 2.0, (60, 2))
    y = X[:, 0] + 0.5 * rng.gumbel(size=60)
    model = GaussianProcessRegressor(KERNEL, likelihood=Gumbel(), n_inducing=10)
    model.fit(X, y)
    mean = model.predict(X)
    np.testing.assert_allclose(model.predict(X, return_std=True)[0], mean, rtol=1e-6)
    np.testing.assert_allclose(model.predict(X, return_cov=True)[0], mean, rtol=1e-6)
    shift = mean - model._predictor.units.shift
    f = model._predictor.latent_mean(X)[:, 0] * model._predictor.units.scale
    np.testing.assert_allclose(shift - f, np.euler_gamma * model.likelihood_["scale"], rtol=1e-4)
    assert abs(np.mean(mean - y)) < 0.2
