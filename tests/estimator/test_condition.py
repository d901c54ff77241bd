"""More rows at the same hyperparameters against fits to all of them, and against Gaussians."""

from __future__ import annotations

import functools
import pickle

import numpy as np
import pytest
from estimator.cases import FIXED, output
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process.kernels import RBF, CompoundKernel, WhiteKernel
from sklearn.linear_model import Ridge
from sklearn.utils.validation import check_is_fitted

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
from skgpng._estimator.conditioning import copy_of
from skgpng._inference.conditioning import NewSites, sites_of_rows, with_sites
from skgpng.kernels import OrthogonalAdditive
from skgpng.likelihoods import Coregionalised

regressor = functools.partial(
    GaussianProcessRegressor, FIXED, normalize_y=False, max_iter=5, random_state=0
)
OLD, NEW = slice(0, 45), slice(45, 60)
MODELS = {
    "exact": {"n_inducing": None},
    "points": {"n_inducing": 12},
    "neighbours": {"n_neighbors": 15, "local_scale": False},
}


@pytest.fixture(params=MODELS)
def settings(request):
    return MODELS[request.param]


def refitted(model, X, y, **given):
    """A copy fitted to all rows, with hyperparameters, inducing points and units as they are."""
    return copy_of(model).set_params(warm_start=True, optimizer=None).fit(X, y, **given)


def assert_same(one, other, X, rtol=1e-8):
    """Predictions with their uncertainty."""
    for a, b in zip(
        one.predict(X, return_std=True), other.predict(X, return_std=True), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)
    a, b = (m.predict(X, return_cov=True)[1] for m in (one, other))
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


def parts(X, y, **given):
    """Arguments of the first rows, the last ones, and all of them."""
    each = {"X": X, "y": y, **given}
    return *({k: v[rows] for k, v in each.items()} for rows in (OLD, NEW)), each


# --- Gaussian noise --------------------------------------------------------------------------


@pytest.mark.parametrize("known", [False, True], ids=["plain", "weights and noise"])
def test_as_a_fit_to_all_rows(rows, settings, known):
    rng = np.random.RandomState(3)
    given = {
        "sample_weight": rng.randint(1, 4, 60).astype(float),
        "noise_variance": rng.uniform(0.01, 0.3, 60),
    }
    old, new, every = parts(*rows, **(given if known else {}))
    model = regressor(**settings).fit(**old)
    more = model.condition(**new)
    assert_same(more, refitted(model, **every), rows[0][::7] + 0.1)
    assert more.kernel_ == model.kernel_ and more.noise_variance_ == model.noise_variance_


def test_several_targets(rows, settings):
    X, y = rows
    old, new, every = parts(X, np.column_stack([y, np.cos(X[:, 1]), -2.0 * y]))
    model = regressor(**settings).fit(**old)
    assert_same(model.condition(**new), refitted(model, **every), X[::7] + 0.1)


@pytest.mark.parametrize("n_inducing", [None, 12])
def test_a_kernel_for_each_target(rows, n_inducing):
    X, y = rows
    old, new, every = parts(X, np.column_stack([y, np.cos(X[:, 1])]))
    kernel = CompoundKernel([FIXED, 0.5 * RBF(2.0)])
    model = regressor(n_inducing=n_inducing).set_params(kernel=kernel).fit(**old)
    assert_same(model.condition(**new), refitted(model, **every), X[::7] + 0.1)


def test_one_after_the_other(rows, settings):
    X, y = rows
    model = regressor(**settings).fit(X[OLD], y[OLD])
    one_by_one = model
    for n in range(45, 60):
        one_by_one = one_by_one.condition(X[n : n + 1], y[n : n + 1])
    assert_same(one_by_one, model.condition(X[NEW], y[NEW]), X[::7] + 0.1, rtol=1e-7)


def conditional(model, X, at, y, noise):
    """Mean and covariance at ``at`` of the joint Gaussian that the model predicts, given y at X."""
    n, both = len(X), np.vstack([X, at])
    mean, cov = model.predict(both, return_cov=True, include_noise=False)
    gain = np.linalg.solve(cov[:n, :n] + noise * np.eye(n), cov[:n, n:]).T
    return mean[n:] + gain @ (y - mean[:n]), cov[n:, n:] - gain @ cov[:n, n:]


@pytest.mark.parametrize("mean", [None, "linear", "constant", Ridge()])
def test_as_the_gaussian_that_is_predicted(rows, mean):
    """Coefficients of a linear mean that are integrated out learn; the units of y stay."""
    X, y = rows
    y = 100.0 + 20.0 * y
    model = regressor(n_inducing=None, normalize_y=True, mean=mean).fit(X[OLD], y[OLD])
    new, at = X[NEW] + 1.0, X[::7] - 1.5
    expected = conditional(model, new, at, y[NEW] - 30.0, model.noise_variance_)
    more = model.condition(new, y[NEW] - 30.0)
    found = more.predict(at, return_cov=True, include_noise=False)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8 * np.abs(b).max())
    if mean == "linear":
        assert np.abs(more.mean_["slopes"] - model.mean_["slopes"]).max() > 0.1
        twice = model.condition(new[:7], y[NEW][:7] - 30.0).condition(new[7:], y[NEW][7:] - 30.0)
        assert_same(twice, more, at, rtol=1e-7)


def test_rows_without_noise_that_are_there_already(rows):
    X, _ = rows
    smooth = np.sin(X[:, 0])
    model = regressor(n_inducing=None, alpha=1e-10).fit(X[OLD], smooth[OLD])
    more = model.condition(X[:3], smooth[:3])
    np.testing.assert_allclose(more.predict(X[:3]), smooth[:3], atol=1e-6)
    np.testing.assert_allclose(more.predict(X), model.predict(X), atol=1e-6)


# --- what is said of it ----------------------------------------------------------------------


def test_evidence_of_all_rows(rows):
    weights = np.random.RandomState(0).randint(1, 3, 60).astype(float)
    old, new, every = parts(*rows, sample_weight=weights)
    kernel = 0.7 * RBF([1.1, 1.3]) + WhiteKernel(0.05)
    model = regressor(n_inducing=None).set_params(kernel=kernel).fit(**old)
    more, again = model.condition(**new), refitted(model, **every)
    np.testing.assert_allclose(more.elbo_, again.elbo_, rtol=1e-9)
    np.testing.assert_allclose(more.log_posterior_, again.log_posterior_, rtol=1e-9)
    at_theta = more.log_marginal_likelihood(more.kernel_.theta)
    np.testing.assert_allclose(more.log_marginal_likelihood(), at_theta, rtol=1e-9)
    left_out = more.loo_predict(**every)
    np.testing.assert_allclose(left_out.mean, again.loo_predict(**every).mean, rtol=1e-8)


def test_nothing_is_stale(rows, settings):
    X, y = rows
    model = regressor(**settings).fit(X[OLD], y[OLD])
    more = model.condition(X[NEW], y[NEW])
    assert not hasattr(more, "elbo_curve_") and not hasattr(more, "validation_scores_")
    assert hasattr(more, "elbo_") == (settings == MODELS["exact"])
    if not hasattr(more, "elbo_"):
        with pytest.raises(ValueError, match="not known after condition"):
            more.log_marginal_likelihood()
    check_is_fitted(more)
    again = pickle.loads(pickle.dumps(more))
    np.testing.assert_array_equal(again.predict(X), more.predict(X))
    assert more._stream.n_seen == 60


def test_mean_that_moved_has_no_old_prior(rows):
    X, y = rows
    model = regressor(n_inducing=None, mean="linear").fit(X[OLD], y[OLD])
    more = model.condition(X[NEW], y[NEW])
    assert hasattr(more, "elbo_") and not hasattr(more, "log_posterior_")
    assert f"{len(X)} rows" in more.summary() and "log posterior" not in more.summary()


@pytest.mark.parametrize("name", ["gpr", "sgpr", "neighbours", "vgp three classes"])
def test_the_original_stays(model_and_data):
    model, X, y = model_and_data
    model.set_params(max_iter=3).fit(X[::2], y[::2])
    before, seen = pickle.dumps(model), output(model, X)
    more = model.condition(X[1::2], y[1::2])
    assert pickle.dumps(model) == before
    np.testing.assert_array_equal(output(model, X), seen)
    assert np.abs(output(more, X) - seen).max() > 1e-3
    assert type(more) is type(model) and more.get_params().keys() == model.get_params().keys()
    more.kernel.set_params(k2__length_scale=7.0)
    assert model.kernel.get_params()["k2__length_scale"] == 1.0


def test_what_follows(rows):
    """Streams and parts of an additive function go on."""
    X, y = rows
    model = regressor(n_inducing=12).fit(X[OLD], y[OLD]).condition(X[NEW], y[NEW])
    assert model.partial_fit(X, y).score(X, y) > 0.9
    near = regressor(n_neighbors=15).fit(X[OLD], y[OLD]).condition(X[NEW], y[NEW])
    assert len(near.partial_fit(X[:5] + 0.1, y[:5])._predictor.posterior.points) == 65
    parted = regressor(n_inducing=12).set_params(kernel=OrthogonalAdditive()).fit(X[OLD], y[OLD])
    more = parted.condition(X[NEW], y[NEW])
    total = sum(more.predict_component(X, c) for c in [(), [0], [1], [0, 1]])
    np.testing.assert_allclose(total, more.predict(X), rtol=1e-9)


def test_refusals(rows):
    X, y = rows
    with pytest.raises(NotFittedError):
        regressor().condition(X, y)
    model = regressor(n_inducing=None).fit(X, y)
    with pytest.raises(ValueError, match="2 features"):
        model.condition(X[:, :1], y)
    with pytest.raises(ValueError, match="earlier calls had 1"):
        model.condition(X, np.column_stack([y, y]))
    with pytest.raises(TypeError, match="exposures"):
        model.condition(X, y, exposures=y)


# --- other likelihoods -----------------------------------------------------------------------


@pytest.mark.parametrize("n_inducing", [None, 12])
def test_sites_of_gaussian_rows_are_known(rows, n_inducing):
    """Steps of any size end where the closed form is."""
    X, y = rows
    model = regressor(n_inducing=n_inducing).fit(X[OLD], y[OLD])
    p, noise = model._predictor.posterior, model.noise_variance_

    def gradients(f_mean, f_var):
        return (y[NEW, None] - f_mean) / noise, np.full_like(f_mean, -0.5 / noise)

    sites, settled = sites_of_rows(p, X[NEW], gradients, np.ones(15), 0.3)
    assert settled
    np.testing.assert_allclose(sites.precision, 1.0 / noise, rtol=1e-8)
    np.testing.assert_allclose(sites.mean, y[NEW, None] / noise, rtol=1e-8, atol=1e-8)
    found = with_sites(p, X[NEW], NewSites(*sites)).mean_and_variance(X)
    expected = model.condition(X[NEW], y[NEW])._predictor.posterior.mean_and_variance(X)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


def counts_of(y):
    return np.round(np.exp(y + 1.0))


@pytest.mark.parametrize("mean", ["constant", "linear"])
def test_the_bound_of_new_rows_is_at_its_highest(rows, mean):
    """Stationary: V^-1 = K^-1 - 2 diag(g_v) and K^-1 (m - m0) = g_m; Poisson, with exposure."""
    X, y = rows
    exposure = np.random.RandomState(0).uniform(0.5, 2.0, 60)
    old, new, _ = parts(X, counts_of(y), exposure=exposure)
    model = regressor(likelihood="poisson", n_inducing=None, mean=mean).fit(**old)
    more = model.condition(**new)
    m0, K = model._predictor.posterior.mean_and_covariance(X[NEW])
    m, V = more._predictor.posterior.mean_and_covariance(X[NEW])
    rate = exposure[NEW] * np.exp(m[:, 0] + 0.5 * np.diag(V[0]))  # E[y]
    g_m, g_v = new["y"] - rate, -0.5 * rate
    np.testing.assert_allclose(np.linalg.solve(K[0], (m - m0)[:, 0]), g_m, rtol=1e-6, atol=1e-7)
    precision = np.linalg.inv(K[0]) - 2.0 * np.diag(g_v)
    np.testing.assert_allclose(np.linalg.inv(V[0]), precision, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("likelihood", "n_inducing"), [("poisson", None), ("student_t", 12)])
def test_nearly_as_a_fit_to_all_rows(rows, likelihood, n_inducing):
    X, y = rows
    y = counts_of(y) if likelihood == "poisson" else y
    settings = {"likelihood": likelihood, "n_inducing": n_inducing, "max_iter": 300}
    model = regressor(**settings, optimizer=None).fit(X[OLD], y[OLD])
    more, again = model.condition(X[NEW], y[NEW]), refitted(model, X, y)
    assert not hasattr(more, "elbo_")
    for a, b, c in zip(*(m.predict(X, return_std=True) for m in (more, again, model)), strict=True):
        # a fifth of what the new rows change, at most
        assert np.sqrt(np.mean((a - b) ** 2)) < 0.2 * np.sqrt(np.mean((c - b) ** 2))


def test_as_a_stream(rows):
    """``partial_fit`` holds what was learned in the same way, and ends by its stopping rule."""
    X, y = rows
    model = regressor(likelihood="poisson", n_inducing=12, optimizer=None, max_iter=500, tol=1e-9)
    model.fit(X[::2], counts_of(y)[::2])
    more = model.condition(X[1::2], counts_of(y)[1::2])
    streamed = copy_of(model).partial_fit(X[1::2], counts_of(y)[1::2])
    np.testing.assert_allclose(streamed.inducing_points_, more.inducing_points_, rtol=1e-12)
    np.testing.assert_allclose(more.predict(X), streamed.predict(X), rtol=1e-4)


def test_related_targets_of_which_some_are_missing(rows):
    X, y = rows
    Y = np.column_stack([y, 2.0 * y + np.cos(X[:, 1])])
    model = GaussianProcessRegressor(
        FIXED, likelihood=Coregionalised(), n_inducing=12, max_iter=20, random_state=0
    ).fit(X[OLD], Y[OLD])
    new = Y[NEW].copy()
    new[::2, 1] = np.nan
    more, again = model.condition(X[NEW], new), refitted(model, X, np.vstack([Y[OLD], new]))
    assert np.abs(more.predict(X) - again.predict(X)).max() < 0.1
    errors = [np.mean((m.predict(X[NEW]) - Y[NEW]) ** 2) for m in (model, more)]
    assert errors[1] < errors[0]


@pytest.mark.parametrize("n_inducing", [None, 12])
def test_labels(three, n_inducing):
    X, y = three
    model = GaussianProcessClassifier(
        FIXED, n_inducing=n_inducing, optimizer=None, random_state=0
    ).fit(X[::2], y[::2])
    more, again = model.condition(X[1::2], y[1::2]), refitted(model, X, y)
    p, q, before = (m.predict_proba(X) for m in (more, again, model))
    assert np.sqrt(np.mean((p - q) ** 2)) < 0.15 * np.sqrt(np.mean((before - q) ** 2))
    only = model.condition(X[1:4], np.array(["setosa"] * 3))  # one class alone is welcome
    assert only.classes_.tolist() == model.classes_.tolist()
    with pytest.raises(ValueError, match="not among the classes"):
        model.condition(X[:2], ["rose", "setosa"])
    assert not hasattr(more, "elbo_")
    if n_inducing is None:  # of all labels at the best q
        found, expected = (m.log_marginal_likelihood() for m in (more, again))
        assert found == pytest.approx(expected, rel=1e-9)
    else:
        with pytest.raises(ValueError, match="not known after condition"):
            more.log_marginal_likelihood()
    assert f"{len(X)} rows" in more.summary()
