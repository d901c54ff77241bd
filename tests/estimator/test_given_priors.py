"""Priors that the user gives: the optimum, what is reported, names, and what is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy import optimize, stats
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor as Reference
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.model_selection import GridSearchCV

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor, save
from skgpng._runtime import tf
from skgpng._training import stages

RNG = np.random.RandomState(0)
X = RNG.rand(40, 2)
Y = np.sin(6.0 * X[:, 0]) + 0.1 * RNG.randn(40)
SCALES = "kernel__k2__length_scale"
KERNEL = ConstantKernel(1.0) * RBF([1.0, 1.0])


@pytest.fixture(scope="module")
def tfd():
    import tensorflow_probability as tfp

    return tfp.distributions


def tight(tfd, at=0.5):
    return tfd.LogNormal(np.log(at), 0.01)


def log_tight(value, at=0.5):
    return np.sum(stats.lognorm(0.01, 0, at).logpdf(value))


# --- the optimum -----------------------------------------------------------------------------


def test_the_optimum_is_that_of_scipy(tfd):
    kernel = KERNEL + WhiteKernel(0.1)
    y = (Y - Y.mean()) / Y.std()
    reference = Reference(kernel, optimizer=None, alpha=0.0).fit(X, y)

    def minus_log_posterior(theta):
        constant, *scales, noise = np.exp(theta)
        log_prior = (
            stats.gamma(3.0, scale=0.5).logpdf(constant)
            + np.sum(stats.lognorm(0.3, 0, 0.7).logpdf(scales))
            + stats.invgamma(4.0, scale=0.5).logpdf(noise)
        )
        return -reference.log_marginal_likelihood(theta, clone_kernel=False) - log_prior

    best = optimize.minimize(minus_log_posterior, reference.kernel_.theta, method="BFGS")
    priors = {
        "kernel__k1__k1__constant_value": tfd.Gamma(3.0, 2.0),
        "kernel__k1__k2__length_scale": tfd.LogNormal(np.log(0.7), 0.3),
        "kernel__k2__noise_level": tfd.InverseGamma(4.0, 0.5),
    }
    model = GaussianProcessRegressor(kernel, priors=priors, tol=1e-8).fit(X, Y)
    np.testing.assert_allclose(model.kernel_.theta, best.x, atol=2e-3)
    assert model.log_posterior_ == pytest.approx(-best.fun, abs=1e-4)
    assert model.elbo_ == pytest.approx(
        reference.log_marginal_likelihood(model.kernel_.theta), abs=1e-6
    )


ROADS = {
    "exact": {},
    "adam": {"optimizer": "adam"},
    "sites": {"likelihood": "student_t"},
    "points": {"n_inducing": 10},
    "minibatches": {"n_inducing": 10, "batch_size": 20},
    "neighbours": {"n_neighbors": 10, "max_iter": 100},
    "held out": {"early_stopping": True},
    "restarts": {"n_restarts_optimizer": 2},
}


@pytest.mark.filterwarnings("ignore:Training stopped")
@pytest.mark.parametrize("road", ROADS)
def test_every_road_follows_a_tight_prior_and_reports_it(road, tfd):
    model = GaussianProcessRegressor(
        KERNEL, priors={SCALES: tight(tfd)}, random_state=0, **ROADS[road]
    ).fit(X, Y)
    scales = model.kernel_.k2.length_scale
    np.testing.assert_allclose(scales, 0.5, rtol=0.03)
    assert model.log_posterior_ == pytest.approx(model.elbo_ + log_tight(scales), abs=1e-6)


@pytest.mark.parametrize("n_inducing", [None, 10])
def test_classes_follow_it_too(n_inducing, tfd):
    model = GaussianProcessClassifier(
        KERNEL, priors={SCALES: tight(tfd)}, n_inducing=n_inducing, random_state=0
    ).fit(X, Y > 0)
    scales = model.kernel_.k2.length_scale
    np.testing.assert_allclose(scales, 0.5, rtol=0.03)
    assert model.log_posterior_ == pytest.approx(model.elbo_ + log_tight(scales), abs=1e-6)


def test_what_is_held_stays_where_it_is(tfd):
    model = GaussianProcessRegressor(KERNEL, optimizer=None, priors={SCALES: tight(tfd)})
    np.testing.assert_array_equal(model.fit(X, Y).kernel_.k2.length_scale, [1.0, 1.0])


def test_a_stream_carries_the_prior(tfd):
    model = GaussianProcessRegressor(
        KERNEL, n_inducing=10, priors={SCALES: tight(tfd)}, random_state=0
    )
    for rows in (slice(0, 15), slice(15, 40)):
        model.partial_fit(X[rows], Y[rows])
        np.testing.assert_allclose(model.kernel_.k2.length_scale, 0.5, rtol=0.03)


def test_the_weak_prior_of_the_default_kernel_gives_way(tfd):
    priors = {SCALES: tight(tfd), "likelihood__variance": tight(tfd, 0.2)}
    model = GaussianProcessRegressor(priors=priors).fit(X, Y)
    variance = model.noise_variance_ / np.var(Y)
    given = log_tight(model.kernel_.k2.length_scale) + log_tight(variance, 0.2)
    assert model.log_posterior_ - model.elbo_ == pytest.approx(given, abs=1e-6)
    weak = GaussianProcessRegressor().fit(X, Y)
    assert weak.log_posterior_ < weak.elbo_


def test_parameters_of_likelihood_and_mean(tfd):
    model = GaussianProcessRegressor(
        KERNEL + WhiteKernel(0.1),
        likelihood="student_t",
        mean="linear",
        priors={
            "kernel__k2__noise_level": tight(tfd, 0.2),
            "likelihood__df": tight(tfd, 5.0),
            "mean__slopes": tfd.Normal(0.3, 1e-3),
        },
    ).fit(X, Y)
    assert model.kernel_.k2.noise_level == pytest.approx(0.2, rel=0.03)
    assert model.likelihood_["df"] == pytest.approx(5.0, rel=0.03)
    np.testing.assert_allclose(model._predictor.posterior.mean_values[1], 0.3, atol=0.01)


def test_ends_of_a_support_are_bounds(tfd):
    models = [
        GaussianProcessRegressor(
            ConstantKernel(1.0) * RBF([1.0, 1.0], bounds), priors=priors, optimizer=o, tol=1e-6
        )
        for o in ("lbfgs", "adam")
        for bounds, priors in (
            ((0.5, 2.0), None),
            ((1e-5, 1e5), {SCALES: tfd.Uniform(0.5, 2.0)}),
        )
    ]
    with pytest.warns(UserWarning, match="length_scale is close to the specified"):
        thetas = [m.fit(X, Y).kernel_.theta for m in models]
    for theta in thetas[1:]:
        np.testing.assert_allclose(theta, thetas[0], atol=0.05)


@pytest.mark.parametrize("total", [False, True])
def test_any_object_with_log_prob_will_do(total):
    class Square:
        """Of a length scale near 0.5."""

        def log_prob(self, value):
            each = -1e4 * (value - 0.5) ** 2
            return tf.reduce_sum(each) if total else each

    model = GaussianProcessRegressor(KERNEL, priors={SCALES: Square()}).fit(X, Y)
    np.testing.assert_allclose(model.kernel_.k2.length_scale, 0.5, atol=0.02)


# --- copies ----------------------------------------------------------------------------------


def test_numbers_and_copies_compile_nothing(tfd):
    model = GaussianProcessRegressor(KERNEL, priors={SCALES: tfd.Gamma(2.0, 2.0)}).fit(X, Y)
    before = stages.n_compiled()
    clone(model).fit(X, Y)
    model.set_params(priors={SCALES: tfd.Gamma(3.0, 1.0)}).fit(X[:30], Y[:30])
    assert stages.n_compiled() == before


def test_grid_search_and_pickle(tfd):
    grid = {"priors": [None, {SCALES: tight(tfd)}]}
    search = GridSearchCV(GaussianProcessRegressor(KERNEL), grid, cv=2).fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    model = GaussianProcessRegressor(KERNEL, priors=grid["priors"][1]).fit(X, Y)
    same = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(same.predict(X), model.predict(X))
    assert same.log_posterior_ == model.log_posterior_
    np.testing.assert_allclose(same.fit(X, Y).kernel_.theta, model.kernel_.theta)


def test_what_cannot_be_copied_says_so(tfd, tmp_path):
    prior = tfd.MultivariateNormalDiag([0.5, 0.5], [1e-3, 1e-3])
    model = GaussianProcessRegressor(KERNEL, priors={SCALES: prior}).fit(X, Y)
    np.testing.assert_allclose(model.kernel_.k2.length_scale, 0.5, atol=0.01)
    with pytest.raises(pickle.PicklingError, match=r"set_params\(priors=None\)"):
        pickle.dumps(model)
    model.set_params(priors={SCALES: tight(tfd)})
    with pytest.raises(ValueError, match=r"set_params\(priors=None\)"):
        save(model, tmp_path / "model")
    assert pickle.loads(pickle.dumps(model.set_params(priors=None))).elbo_ == model.elbo_


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "name", "make", "says"),
    [
        ({}, "length_scale", lambda d: d.Gamma(2, 2), f"the parameters are .*'{SCALES}', 'likel"),
        ({"mean": "linear"}, "mean__unit", lambda d: d.Gamma(2, 2), "'mean__slopes'"),
        ({}, SCALES, lambda d: d.Uniform(50.0, 60.0), "no density at .*where training begins"),
        ({}, SCALES, lambda d: d.Normal([0.0] * 3, 1.0), r"does not suit a value of shape \(2,\)"),
        ({}, "likelihood__variance", lambda d: d.Gamma([2.0, 3.0], 2.0), r"of shape \(\)"),
        ({"alpha": 0.1}, "likelihood__variance", lambda d: d.Gamma(2, 2), "is fixed"),
        ({"kernel": KERNEL + WhiteKernel()}, "both", lambda d: d.Gamma(2, 2), "another name"),
    ],
    ids=["name", "inner", "support", "shape", "too many", "fixed", "twice"],
)
def test_what_cannot_be_is_refused(settings, name, make, says, tfd, monkeypatch):
    both = ("kernel__k2__noise_level", "likelihood__variance")
    priors = dict.fromkeys(both if name == "both" else (name,), make(tfd))
    monkeypatch.setattr(stages, "train", None)  # before any work
    with pytest.raises(ValueError, match=says):
        GaussianProcessRegressor(priors=priors, **settings).fit(X, Y)


@pytest.mark.parametrize("optimizer", ["auto", "lbfgs"])
def test_entries_of_other_sizes_are_each_found(optimizer, tfd):
    """A narrow prior for each length scale, far from where the kernel begins."""
    rng = np.random.RandomState(0)
    X = rng.uniform(-2, 2, (60, 2))
    labels = np.sin(2 * X[:, 0]) + 0.5 * X[:, 1] > 0
    priors = {"kernel__k2__length_scale": tfd.LogNormal(np.log([0.1, 10.0]), np.float64(0.05))}
    model = GaussianProcessClassifier(priors=priors, optimizer=optimizer).fit(X, labels)
    np.testing.assert_allclose(model.kernel_.k2.length_scale, [0.1, 10.0], rtol=0.02)


def of_float32(tfd):
    import tensorflow_probability as tfp

    return tfd.TransformedDistribution(tfd.Gamma(2.0, 1.0), tfp.bijectors.Scale(3.0))


@pytest.mark.parametrize(
    "make",
    [
        lambda tfd: tfd.TruncatedNormal(*map(np.float64, (1, 1, 0, np.inf))),
        lambda tfd: tfd.Uniform(np.float64(0), np.float64(1e8)),
        of_float32,
    ],
    ids=["half-open", "wide", "of float32 parts"],
)
def test_priors_that_end_nowhere_or_far_off(make, tfd):
    prior = make(tfd)
    x = np.linspace(0, 6, 30)[:, None]
    y = np.sin(x[:, 0])
    plain = GaussianProcessRegressor(1.0 * RBF()).fit(x, y)
    model = GaussianProcessRegressor(1.0 * RBF(), priors={"kernel__k2__length_scale": prior})
    found = model.fit(x, y).kernel_.k2.length_scale
    assert abs(np.log(found / plain.kernel_.k2.length_scale)) < 0.5
    noise = {"likelihood__variance": tfd.Uniform(np.float64(0), np.float64(1e8))}
    free = GaussianProcessRegressor(1.0 * RBF(), priors=noise).fit(x, y)
    np.testing.assert_allclose(free.elbo_, plain.elbo_, rtol=1e-3)


def test_a_slope_that_is_known_is_known_far_out(tfd):
    z = np.linspace(-1, 1, 30)[:, None]
    y = z[:, 0] + 0.3 * np.sin(5 * z[:, 0]) + 0.1 * np.random.RandomState(0).randn(30)
    kernel = 1.0 * RBF(0.3, "fixed")
    known = {"mean__slopes": tfd.Normal(np.float64(1), np.float64(1e-4))}
    stds = [
        GaussianProcessRegressor(kernel, mean="linear", priors=priors)
        .fit(z, y)
        .predict([[100.0]], return_std=True)[1]
        for priors in (None, known)
    ]
    assert stds[1] < 0.05 * stds[0]


def test_distributions_that_check_their_arguments_are_refused(tfd):
    prior = {"kernel__k2__length_scale": tfd.Beta(2.0, 1.0, validate_args=True)}
    with pytest.raises(ValueError, match="validate_args=True"):
        GaussianProcessRegressor(priors=prior).fit([[0.0], [1.0]], [0.0, 1.0])
