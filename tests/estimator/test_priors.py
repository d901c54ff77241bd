"""The prior of the default kernel: its formula, where it enters, and who has none."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
from skgpng._training import stages, vector
from skgpng.parameters import Hyperparameters


def make_data(N=60, D=3, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.randn(N, D)
    return X, np.sin(X[:, 0]) + 0.5 * X[:, -1] + 0.2 * rng.randn(N)


def log_prior(length_scales, spread, noise=None, centre=0.1):
    """Of one group of length scales and the noise variance, written out."""
    v = np.log(length_scales) - np.log(spread)
    residuals = [*((v - v.mean()) / (1.25 * len(v) ** -0.4) if len(v) > 1 else [])]
    if noise is not None:
        residuals.append(np.log(noise) - np.log(centre))
    return -np.sum(np.log(1.0 + np.square(residuals)))


def log_prior_of(trainings, theta):
    """At theta, of the one training there was."""
    (training,) = trainings
    return vector.objective(training.parameters, theta, 2.0) - 2.0


def learned(model):
    """Hyperparameters of a fitted model."""
    return Hyperparameters(model._predictor.posterior.values, model._predictor.values)


def sizes(training):
    """Entries that have a prior, of each parameter."""
    priors = [p.prior for p in training.parameters.leaves]
    return [np.shape(prior.mixing)[1] for prior in priors if prior is not None]


# --- whose, and of what ----------------------------------------------------------------------


@pytest.mark.parametrize("D", [1, 5])
@pytest.mark.parametrize("scaled", [True, False])
def test_prior_of_regression_has_the_formula(D, scaled, trainings):
    X, y = make_data(D=D)
    X, y = X * np.logspace(-3, 3, D), 50.0 * (y - y.mean())
    model = GaussianProcessRegressor(normalize_y=scaled, max_iter=5, tol=1.0).fit(X, y)
    scales, noise = np.atleast_1d(model.kernel_.k2.length_scale), model._predictor.values[0]
    theta = Hyperparameters((np.array(0.7), scales), (noise,))
    right = log_prior(scales, X.std(0), noise, 0.1)  # y is scaled either way
    assert log_prior_of(trainings, theta) == pytest.approx(right, rel=1e-9)


def test_prior_of_student_t_is_that_of_its_squared_scale(trainings):
    X, y = make_data(D=1)
    model = GaussianProcessRegressor(likelihood="student_t", max_iter=20, tol=1.0).fit(X, y)
    noise = model._predictor.values[0] ** 2
    right = log_prior(np.ones(1), np.ones(1), noise)
    assert log_prior_of(trainings, learned(model)) == pytest.approx(right, rel=1e-9)


@pytest.mark.parametrize("shared", [True, False])
def test_classes_have_a_prior_for_each_kernel(shared, trainings):
    X, y = make_data(N=40, D=2)
    labels = np.digitize(y, [-0.5, 0.5])
    model = GaussianProcessClassifier(shared_kernel=shared, max_iter=20).fit(X, labels)
    parts = [model.kernel_] if shared else model.kernel_.kernels
    right = sum(log_prior(part.k2.length_scale, X.std(0)) for part in parts)
    assert len(parts) == (1 if shared else 3)
    assert right < 0.0
    assert log_prior_of(trainings, learned(model)) == pytest.approx(right, rel=1e-9)


def test_fixed_noise_has_no_prior(trainings):
    X, y = make_data(D=1)
    GaussianProcessRegressor(alpha=0.1).fit(X, y)
    assert len(sizes(trainings[0])) == 1  # the length scale
    model = GaussianProcessRegressor(alpha=0.0)  # its logarithm is -inf
    assert np.isfinite(model.fit(X, y, noise_variance=np.full(len(X), 0.1)).elbo_)


@pytest.mark.parametrize("noise", [False, True])
def test_kernel_of_the_user_has_no_prior(noise, trainings):
    X, y = make_data()
    kernel = ConstantKernel() * Matern(np.ones(3), nu=2.5)
    GaussianProcessRegressor(kernel + WhiteKernel(0.1) if noise else kernel).fit(X, y)
    if not noise:
        GaussianProcessClassifier(kernel).fit(X, y > 0)
    assert [sizes(training) for training in trainings] == [[]] * (1 if noise else 2)


ROADS = {
    "l-bfgs": (GaussianProcessRegressor(), "fit"),
    "adam": (GaussianProcessRegressor(optimizer="adam"), "fit"),
    "inducing points": (GaussianProcessRegressor(n_inducing=8), "fit"),
    "minibatches": (GaussianProcessClassifier(n_inducing=8, batch_size=20), "fit"),
    "sites": (GaussianProcessClassifier(), "fit"),
    "sites, l-bfgs": (GaussianProcessClassifier(optimizer="lbfgs"), "fit"),
    "restarts": (GaussianProcessRegressor(n_restarts_optimizer=2), "fit"),
    "held out": (GaussianProcessRegressor(early_stopping=True), "fit"),
    "warm start": (GaussianProcessRegressor(warm_start=True), "fit"),
    "stream": (GaussianProcessRegressor(n_inducing=8), "partial_fit"),
    "stream of labels": (GaussianProcessClassifier(n_inducing=8), "partial_fit"),
}


@pytest.mark.filterwarnings("ignore:Training stopped")
@pytest.mark.parametrize("road", ROADS)
def test_every_road_carries_the_prior(road, trainings):
    model, method = ROADS[road]
    X, y = make_data(N=80, D=2)
    labels = {"classes": [False, True]} if "labels" in road else {}
    if isinstance(model, GaussianProcessClassifier):
        y = y > 0
    model.set_params(max_iter=20, random_state=0)
    for rows in (slice(0, 60), slice(20, 80)):
        getattr(model, method)(X[rows], y[rows], **labels)
    n = [2] if isinstance(model, GaussianProcessClassifier) else [2, 1]  # and the noise
    assert len(trainings) >= 2
    assert all(sizes(training) == n for training in trainings)


def test_numbers_of_the_prior_compile_nothing():
    X, y = make_data()
    GaussianProcessClassifier().fit(X, y > 0)
    GaussianProcessRegressor().fit(X, y)
    before = stages.n_compiled()
    for scaled, D in ((True, 2), (False, 3)):
        GaussianProcessRegressor(normalize_y=scaled).fit(100.0 * X[:, :D], 7.0 * y)
    GaussianProcessClassifier().fit(X[:, :1], y > 0)  # one column has none
    assert stages.n_compiled() == before


# --- what it does ----------------------------------------------------------------------------


def test_elbo_is_without_the_prior_and_the_optimum_with_it():
    X, y = make_data(N=40)
    model = GaussianProcessRegressor(tol=1e-8).fit(X, y)
    theta = model.kernel_.theta
    value, gradient = model.log_marginal_likelihood(theta, eval_gradient=True)
    assert model.elbo_ == pytest.approx(value, abs=1e-9)
    slope = np.zeros(4)  # of the log prior in the constant, which has none, and the length scales
    for i in range(1, 4):
        h = 1e-5 * np.eye(4)[i]
        up, down = (log_prior(np.exp(t)[1:], X.std(0)) for t in (theta + h, theta - h))
        slope[i] = (up - down) / 2e-5
    assert np.abs(slope).max() > 0.1
    np.testing.assert_allclose(gradient, -slope, atol=1e-2)


@pytest.mark.parametrize("Estimator", [GaussianProcessRegressor, GaussianProcessClassifier])
def test_both_optimizers_find_the_same_with_the_prior(Estimator):
    X, y = make_data(N=60, D=2)
    y = y if Estimator is GaussianProcessRegressor else y > 0
    models = [Estimator(optimizer=o, tol=1e-7, random_state=0) for o in ("adam", "lbfgs")]
    thetas = [m.fit(X, y).kernel_.theta for m in models]
    np.testing.assert_allclose(*thetas, atol=0.02)


def test_the_prior_fades_as_rows_grow():
    plain = ConstantKernel(1.0, (1e-4, 1e4)) * Matern(np.full(2, 2**0.5), (1e-3, 1e4), nu=2.5)

    def apart(N, seed):
        rng = np.random.RandomState(seed)
        X = rng.randn(N, 2)
        y = np.sin(3.0 * X[:, 0]) + np.cos(X[:, 1]) + 0.2 * rng.randn(N)
        fits = [GaussianProcessRegressor(k, tol=1e-7).fit(X, y) for k in (None, plain)]
        return np.abs(fits[0].kernel_.theta - fits[1].kernel_.theta).max()

    few, many = (np.mean([apart(N, seed) for seed in range(3)]) for N in (30, 300))
    assert few > 3.0 * many
    assert few > 0.05


@pytest.mark.parametrize("seed", range(3))
def test_few_rows_of_many_columns_are_not_overfitted(seed):
    rng = np.random.RandomState(seed)
    X = rng.randn(560, 20)
    labels = X.sum(1) + rng.randn(560) > 0
    plain = ConstantKernel(1.0, (1e-4, 1e4)) * Matern(np.full(20, 20**0.5), (1e-3, 1e5), nu=2.5)
    nlpd = []
    for kernel in (None, plain):
        model = GaussianProcessClassifier(kernel, random_state=0).fit(X[:60], labels[:60])
        p = model.predict_proba(X[60:])[np.arange(500), labels[60:].astype(int)]
        nlpd.append(-np.log(p).mean())
    assert nlpd[0] < nlpd[1] - 0.02


@pytest.mark.parametrize("D", [5, 30])
def test_idle_columns_are_switched_off(D):
    rng = np.random.RandomState(0)
    X = rng.randn(200, D)
    y = np.sin(2.0 * X[:, 0]) + X[:, 1] + 0.1 * rng.randn(200)
    relevance = GaussianProcessRegressor().fit(X, y).feature_relevances_
    assert relevance[:2].min() > 5.0 * relevance[2:].max()


def test_restarts_are_compared_by_what_is_maximised(trainings):
    X, y = make_data(N=30)
    model = GaussianProcessRegressor(n_restarts_optimizer=3, random_state=0).fit(X, y)
    elbos = [training.result.elbo_curve[-1] for training in trainings]
    scores = [
        vector.objective(parameters, result.theta, elbo)
        for (parameters, _, result), elbo in zip(trainings, elbos, strict=True)
    ]
    assert len(scores) == 4
    assert model.elbo_ == elbos[int(np.argmax(scores))]
