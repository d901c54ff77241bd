"""Distributions of TensorFlow Probability as likelihoods, beside the package's own."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import tensorflow_probability as tfp
from scipy import stats
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.model_selection import GridSearchCV

from skgpng import GaussianProcessRegressor
from skgpng._runtime import tf
from skgpng.likelihoods import FromDistribution, Gaussian, Poisson, StudentT
from skgpng.likelihoods.distribution import _SUPPORTS, _compiled

tfd = tfp.distributions
KERNEL = ConstantKernel(1.0) * RBF([1.0, 1.0])
LEVELS = [0.01, 0.3, 0.5, 0.99]


def normal(f, scale):
    """A function of a module, as pickles ask for."""
    return tfd.Normal(f, scale)


def student_t(f, scale, df):
    return tfd.StudentT(df, f, scale)


def negative_binomial(f, size):
    return tfd.NegativeBinomial(size, logits=f - tf.math.log(size))


def gamma(f, shape):
    return tfd.Gamma(shape, log_rate=tf.math.log(shape) - f)


class Plain(Gaussian):
    """Gaussian noise, trained as if it were none."""

    conjugate, gamma = False, 0.3


RNG = np.random.RandomState(0)
F_MEAN, F_VAR = RNG.randn(4, 1), RNG.uniform(0.01, 0.5, (4, 1))

# name: likelihood, values, SciPy's distribution given f, y
CASES = {
    "normal": (
        FromDistribution(normal, location=True, scale=0.3), (0.4,),
        lambda f: stats.norm(f, 0.4),
    ),
    "normal, not of location": (
        FromDistribution(normal, scale=0.3), (0.4,), lambda f: stats.norm(f, 0.4),
    ),
    "student_t": (
        FromDistribution(student_t, location=True, df=4.0, scale=0.3), (0.4, 5.0),
        lambda f: stats.t(5.0, f, 0.4),
    ),
    "poisson": (
        FromDistribution(lambda f: tfd.Poisson(log_rate=f)), (), lambda f: stats.poisson(np.exp(f)),
    ),
    "negative binomial": (
        FromDistribution(negative_binomial, size=2.0), (3.0,),
        lambda f: stats.nbinom(3.0, 1 / (1 + np.exp(f) / 3.0)),
    ),
    "gamma": (
        FromDistribution(gamma, shape=2.0), (3.0,),
        lambda f: stats.gamma(3.0, scale=np.exp(f) / 3.0),
    ),
    "beta": (
        FromDistribution(lambda f, s: tfd.Beta(s * tf.sigmoid(f), s * tf.sigmoid(-f)), s=5.0),
        (8.0,), lambda f: stats.beta(8.0 / (1 + np.exp(-f)), 8.0 / (1 + np.exp(f))),
    ),
}  # fmt: skip
every_case = pytest.mark.parametrize("likelihood, values, given", CASES.values(), ids=CASES.keys())


# --- against SciPy ---------------------------------------------------------------------------


@every_case
def test_density_and_moments_given_f(likelihood, values, given):
    other = given(F_MEAN)
    y = other.ppf(0.7)
    log_p = other.logpmf(y) if likelihood.support == "counts" else other.logpdf(y)
    np.testing.assert_allclose(likelihood.log_prob(values, F_MEAN, y), log_p, rtol=1e-8)
    np.testing.assert_allclose(
        likelihood.conditional_mean(values, F_MEAN), other.mean() * np.ones((4, 1)), rtol=1e-10
    )
    np.testing.assert_allclose(
        likelihood.conditional_variance(values, F_MEAN), other.var() * np.ones((4, 1)), rtol=1e-10
    )
    np.testing.assert_allclose(likelihood.cdf(values, F_MEAN, y), other.cdf(y), rtol=1e-6)
    draws = likelihood.sample(values, np.repeat(F_MEAN[None], 20000, 0), np.random.RandomState(1))
    assert draws.shape == (20000, 4, 1)
    np.testing.assert_allclose(np.mean(draws <= y, 0), other.cdf(y), atol=0.02)
    again = likelihood.sample(values, F_MEAN, np.random.RandomState(1))
    np.testing.assert_array_equal(
        again, likelihood.sample(values, F_MEAN, np.random.RandomState(1))
    )


@every_case
def test_predictions_are_mixtures(likelihood, values, given):
    z, w = np.polynomial.hermite_e.hermegauss(80)
    other, w = given(F_MEAN + np.sqrt(F_VAR) * z), w / w.sum()
    mean, var = likelihood.predict_mean_and_var(values, F_MEAN, F_VAR)
    total = other.var() * np.ones((4, 80)) + other.mean() ** 2
    np.testing.assert_allclose(mean[:, 0], other.mean() @ w, rtol=2e-4)
    np.testing.assert_allclose(var[:, 0], total @ w - (other.mean() @ w) ** 2, rtol=2e-3)
    y = given(F_MEAN).ppf(0.7)
    p = other.pmf(y) if likelihood.support == "counts" else other.pdf(y)
    found = likelihood.predict_log_density(values, F_MEAN, F_VAR, y)
    np.testing.assert_allclose(found[:, 0], np.log(p @ w), atol=1e-5)
    quantiles = likelihood.predict_quantiles(values, F_MEAN, F_VAR, LEVELS)
    for level, q in zip(LEVELS, np.moveaxis(quantiles, -1, 0)):
        reached = other.cdf(q) @ w
        if likelihood.support == "counts":
            assert np.all(reached > level - 1e-3) and np.all(other.cdf(q - 1) @ w < level + 1e-3)
        else:
            np.testing.assert_allclose(reached, level, atol=1e-4)


def test_distribution_without_closed_forms_is_integrated():
    """A mixture of what has no mean and no variance in closed form."""

    def mixture(f, scale):
        zero = 0.0 * f
        return tfd.MixtureSameFamily(
            tfd.Categorical(logits=tf.stack([zero, zero], -1)),
            tfd.SinhArcsinh(tf.stack([f - 1.0, f + 1.0], -1), scale + 0.0 * f[..., None]),
        )

    likelihood = FromDistribution(mixture, location=True, support="real", scale=0.3)
    other = stats.norm(0.3 + np.array([-1.0, 1.0]), 0.5)
    f, y = np.array([[0.3]]), np.array([[0.9]])
    found = likelihood.log_prob((0.5,), f, y)
    np.testing.assert_allclose(found, np.log(other.pdf(0.9).mean()), rtol=1e-9)
    np.testing.assert_allclose(likelihood.conditional_mean((0.5,), f), 0.3, atol=1e-6)
    np.testing.assert_allclose(likelihood.conditional_variance((0.5,), f), 1.25, rtol=1e-5)
    np.testing.assert_allclose(likelihood.cdf((0.5,), f, y), other.cdf(0.9).mean(), atol=1e-6)


# --- beside the package's own ----------------------------------------------------------------


@pytest.fixture(scope="module")
def table():
    rng = np.random.RandomState(3)
    X = rng.uniform(-2.0, 2.0, (50, 2))
    return X, 500.0 + 100.0 * np.sin(2.0 * X[:, 0]) + 30.0 * rng.randn(50)


def model_of(likelihood, **settings):
    settings = {"n_inducing": None, "max_iter": 60, "random_state": 0, **settings}
    return GaussianProcessRegressor(KERNEL, likelihood=likelihood, **settings)


def test_normal_is_gaussian_noise_that_is_not_known_to_be(table):
    X, y = table
    own = FromDistribution(normal, location=True, log_concave=True, scale=(0.1**0.5, (1e-3, 10)))
    for settings in ({"n_inducing": 10}, {"normalize_y": False}):
        kernel = KERNEL if settings.get("normalize_y", True) else 1e4 * RBF([1.0, 1.0])
        a, b = (
            model_of(likelihood, **settings).set_params(kernel=kernel, optimizer=None).fit(X, y)
            for likelihood in (own, Plain())
        )
        np.testing.assert_allclose(a.elbo_curve_, b.elbo_curve_, rtol=1e-8)
        np.testing.assert_allclose(a.predict(X), b.predict(X), rtol=1e-8)
        np.testing.assert_allclose(a.noise_variance_, b.noise_variance_, rtol=1e-9)
        np.testing.assert_allclose(a.predict_quantiles(X), b.predict_quantiles(X), rtol=1e-5)
        np.testing.assert_allclose(
            a.log_predictive_density(X, y), b.log_predictive_density(X, y), rtol=1e-6
        )
        np.testing.assert_allclose(a.crps(X, y), b.crps(X, y), rtol=1e-4)
    learned = model_of(own).fit(X, y), model_of(Plain()).fit(X, y)
    np.testing.assert_allclose(learned[0].elbo_, learned[1].elbo_, atol=0.05)
    assert learned[0].likelihood_["scale"] == pytest.approx(30.0, rel=0.3)


@pytest.mark.parametrize(
    ("likelihood", "own", "counts"),
    [
        (FromDistribution(lambda f: tfd.Poisson(log_rate=f), log_concave=True), Poisson(), True),
        (CASES["student_t"][0], StudentT(), False),
    ],
    ids=["poisson", "student_t"],
)
def test_elbo_beside_the_packages_own(table, likelihood, own, counts):
    X, y = table
    Y = np.round(np.exp(y / 200.0))[:, None] if counts else (y[:, None] - 500.0) / 100.0
    f_mean, f_var = RNG.randn(50, 1), np.full((50, 1), 0.05)
    values = () if counts else (0.5, 4.0)
    tensors = [tf.constant(v, tf.float64) for v in (*values, f_mean, f_var)]
    found = []
    for each in (likelihood, own):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            given = tuple(tensors[: len(values)]), *tensors[len(values) :], Y
            value = tf.reduce_sum(each.variational_expectations(*given))
        found.append([value, *tape.gradient(value, tensors)])
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_every_prediction_of_the_regressor(table):
    X, y = table
    y = np.exp(y / 200.0)
    model = model_of(FromDistribution(gamma, shape=2.0), n_inducing=8, max_iter=20).fit(X, y)
    mean, std = model.predict(X, return_std=True)
    assert np.all(mean > 0) and np.all(std > 0) and model.score(X, y) > 0.5
    assert np.isfinite(model.crps(X, y)).all() and np.all(model.sample_y(X[:3], 4) > 0)
    assert model.noise_variance_ is None and list(model.likelihood_) == ["shape"]
    with pytest.raises(ValueError, match=r"y\[1\] = -1.*FromDistribution.*not positive"):
        model.log_predictive_density(X[:2], [1.0, -1.0])
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict(X), mean)
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        pickle.dumps(clone(model).set_params(likelihood=FromDistribution(lambda f: normal(f, 1.0))))


def test_numbers_compile_nothing_new(table):
    X, y = table
    one, other = (FromDistribution(normal, location=True, scale=s) for s in (0.1, 0.9))
    assert one == other and hash(one) == hash(other)
    a, b = (model_of(each, max_iter=3, optimizer=None).fit(X, y) for each in (one, other))
    assert a.likelihood_["scale"] / b.likelihood_["scale"] == pytest.approx(1 / 9)
    _compiled.cache_clear()
    for each in (one, other):
        each.predict_log_density((0.5,), F_MEAN, F_VAR, F_MEAN)
    assert _compiled.cache_info().misses == 1
    search = GridSearchCV(model_of(one, max_iter=5), {"likelihood": [one, other]}, cv=2)
    assert search.fit(X, y).best_params_["likelihood"] in (one, other)


def test_alpha_and_white_kernel_stand_for_the_noise(table):
    X, y = table
    model = model_of(CASES["student_t"][0], max_iter=5, optimizer=None)
    assert model.fit(X, y).likelihood_["scale"] == pytest.approx(0.3 * y.std())
    assert clone(model).set_params(alpha=400.0).fit(X, y).likelihood_["scale"] == pytest.approx(20)
    white = clone(model).set_params(kernel=KERNEL + WhiteKernel(0.04, "fixed")).fit(X, y)
    assert white.likelihood_["scale"] == pytest.approx(0.2 * y.std())
    with pytest.raises(ValueError, match="no Gaussian noise"):
        model_of(FromDistribution(gamma, shape=2.0), alpha=0.1).fit(X, np.exp(y / 200.0))


def test_noise_without_a_variance(table):
    X, y = table
    cauchy = FromDistribution(lambda f, scale: tfd.Cauchy(f, scale), location=True, scale=0.2)
    model = model_of(cauchy, max_iter=20).fit(X, y)
    assert model.noise_variance_ == np.inf and np.isfinite(model.predict(X)).all()
    low, high = model.predict_quantiles(X, (0.05, 0.95)).T
    assert np.mean((low < y) & (y < high)) > 0.8
    with pytest.raises(ValueError, match="no variance.*Ask for quantiles"):
        model.predict(X, return_std=True)


# --- what is given ---------------------------------------------------------------------------


def test_parameters_are_as_given():
    likelihood = FromDistribution(
        lambda f, shift, scale, df, tail: tfd.StudentT(df + tail, f + shift, scale),
        location=True, shift=(0.0, (-2.0, 3.0)), scale=0.5, df=(4.0, "fixed"), tail=(1.0, (0.5, 2)),
    )  # fmt: skip
    assert likelihood.parameter_names == ("scale", "shift", "df", "tail")
    scale, shift, df, tail = likelihood.parameters(None, 4.0)
    np.testing.assert_allclose([scale.value, *scale.bounds], [1.0, 1e-4, 1e4])
    assert shift.real and shift.free and shift.bounds.tolist() == [-2.0, 3.0]
    assert df.value == 4.0 and not df.free
    assert not tail.real and tail.bounds.tolist() == [0.5, 2.0]
    assert likelihood.noise == "scale" and likelihood.support == "real"
    other = likelihood.with_params(df=(5.0, "fixed"))
    assert other.get_params() == {**likelihood.get_params(), "df": (5.0, "fixed")}
    learned = likelihood.learned((0.5, 1.0, 4.0, 1.0), np.array([10.0, 20.0]))
    np.testing.assert_allclose(learned["scale"], [5.0, 10.0])
    assert learned["df"] == 4.0 and isinstance(learned["df"], float)


@pytest.mark.parametrize("support", _SUPPORTS)
def test_supports_are_known_by_names_that_exist(support):
    for name in _SUPPORTS[support]:
        assert hasattr(tfd, name), name


WRONG = {
    "no number": ({"scale": "wide"}, "scale.*begin at a number"),
    "infinite": ({"scale": np.inf}, "scale.*begin at a number"),
    "outside": ({"scale": (1.0, (2.0, 3.0))}, r"begins at 1, its bounds are \(2, 3\)"),
    "zero": ({"scale": 0.0}, r"begins at 0.*scale=\(0.0, \(-10.0, 10.0\)\)"),
    "bounds": ({"scale": (1.0, "free")}, "bounds of scale.*'fixed'"),
    "one bound": ({"scale": (1.0, (1.0, 2.0, 3.0))}, "bounds of scale"),
    "noise": ({"scale": 1.0, "noise": "scale"}, "noise='scale' must name.*location"),
    "missing": ({}, r"make\(f, \).*scale"),
    "other name": ({"width": 1.0}, r"make\(f, width\).*width"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_makes_no_sense_is_said(case):
    given, says = WRONG[case]
    for more in ({}, {"support": "real"}) if "make" not in says else ({},):
        with pytest.raises(ValueError, match=f"(?s){says}"):
            FromDistribution(normal, **given, **more)


def test_what_is_no_distribution_is_said():
    with pytest.raises(ValueError, match="must give a distribution.*EagerTensor"):
        FromDistribution(lambda f: f)
    with pytest.raises(ValueError, match="not known of the distribution Uniform.*support='real'"):
        FromDistribution(lambda f: tfd.Uniform(f, f + 1.0))


def test_a_link_that_is_forgotten_is_named():
    likelihood = FromDistribution(lambda f: tfd.Poisson(rate=f), support="counts")
    X = np.linspace(0, 6, 40)[:, None]
    with pytest.raises(ValueError, match=r"log_prob is NaN at f = -.*tf.exp\(f\) for a rate"):
        GaussianProcessRegressor(likelihood=likelihood).fit(X, np.arange(40) % 4)
