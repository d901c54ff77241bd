"""Regression from neighbours: when it is chosen, and all that an estimator does with it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from estimator.cases import KERNEL, regressor, silent
from reference import predict_exact
from scipy.stats import norm
from sklearn.base import clone
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    ExpSineSquared,
    Matern,
    PairwiseKernel,
    WhiteKernel,
)

from skgpng import GaussianProcessRegressor
from skgpng._estimator.base import BaseGaussianProcess
from skgpng._estimator.tuning import TUNING
from skgpng.kernels import Columns

FIXED = ConstantKernel(0.8, "fixed") * RBF([0.9, 1.4], "fixed")
NOISE = 0.05
XNEW = np.random.RandomState(2).uniform(-2, 2, (8, 2))


def make_rows(n=120, varying=False, seed=0):
    """Smooth in the first column; with noise that is ten times larger where that is positive."""
    rng = np.random.RandomState(seed)
    X = rng.uniform(-2, 2, (n, 2))
    level = np.where(X[:, 0] > 0, 0.5, 0.05) if varying else 0.2
    return X, np.sin(2 * X[:, 0]) + level * rng.randn(n)


@pytest.fixture
def few_exact(monkeypatch):
    """What holds beyond 1000 rows holds beyond 50."""
    monkeypatch.setattr(BaseGaussianProcess, "_tuning", TUNING._replace(auto_exact=50))


def plain(**settings):
    """No hyperparameter moves and no scale is chosen: a formula of the rows."""
    given = {"alpha": NOISE, "normalize_y": False, "local_scale": False} | settings
    return GaussianProcessRegressor(FIXED, **given)


def dense(X, Y, noise=NOISE, Xnew=XNEW):
    """Mean and covariance of f, of exact regression."""
    mean, cov = predict_exact(FIXED, X, np.reshape(Y, (len(X), -1)), np.full(len(X), noise), Xnew)
    return mean, cov


# --- which model ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("few_exact")
@pytest.mark.parametrize(
    ("settings", "n_rows", "expected"),
    [
        ({}, 50, (None, None)),
        ({}, 51, (50, None)),
        ({"n_neighbors": None}, 51, (None, 51)),
        ({"n_inducing": 7}, 51, (None, 7)),
        ({"n_inducing": None}, 51, (None, None)),
        ({"n_neighbors": 5}, 20, (5, None)),
        ({"n_neighbors": 500}, 20, (20, None)),
        ({"likelihood": "student_t"}, 51, (None, 51)),
        # what is far may say as much
        ({"kernel": KERNEL + DotProduct()}, 51, (None, 51)),
        ({"kernel": Columns(RBF(), [0]) + Columns(RBF(), [1])}, 51, (None, 51)),
        ({"kernel": Columns(RBF(), [0]) * Columns(RBF(), [1]) + 1.0}, 51, (50, None)),
    ],
)
def test_what_predicts(settings, n_rows, expected):
    X, y = make_rows(n_rows)
    model = regressor(max_iter=2).set_params(**settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    points = model.inducing_points_
    assert (model.n_neighbors_, points if points is None else len(points)) == expected


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"n_inducing": 7}, "n_neighbors=5 takes no inducing points"),
        ({"likelihood": "student_t"}, "n_neighbors=5 needs likelihood='gaussian'"),
        ({"n_neighbors": -1}, "n_neighbors"),
        ({"n_neighbors": "many"}, "n_neighbors"),
        ({"local_scale": "yes"}, "local_scale"),
    ],
)
def test_what_cannot_be_is_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        regressor(**{"n_neighbors": 5, **settings}).fit(*make_rows())


def test_n_neighbors_is_there_after_fit_only():
    model = regressor(n_neighbors=5)
    assert not hasattr(model, "n_neighbors_")
    with pytest.raises(ValueError, match="needs the training rows.*n_neighbors=None"):
        model.fit(*make_rows()).log_marginal_likelihood(model.kernel_.theta)
    assert model.log_marginal_likelihood() == model.elbo_


# --- as a plain Gaussian process -----------------------------------------------------------------


def test_with_all_rows_as_neighbours_it_is_exact():
    X, y = make_rows()
    model = silent(plain(n_neighbors=120), X, y)
    mean, cov = dense(X, y)
    found, std = model.predict(XNEW, return_std=True)
    np.testing.assert_allclose(found, mean[:, 0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(std, np.sqrt(np.diag(cov) + NOISE), rtol=1e-6)
    found = model.predict(XNEW, return_cov=True)[1]
    np.testing.assert_allclose(found, cov + NOISE * np.eye(8), atol=1e-6)
    latent = model.predict(XNEW, return_cov=True, include_noise=False)[1]
    np.testing.assert_allclose(latent, cov, atol=1e-6)
    draws = model.sample_y(XNEW, 4000)
    np.testing.assert_allclose(np.cov(draws), cov + NOISE * np.eye(8), atol=0.01)


def test_several_targets_are_predicted_each():
    X, y = make_rows()
    Y = np.column_stack([y, X[:, 1] ** 2, -y])
    found = plain(n_neighbors=9).fit(X, Y).predict(XNEW, return_std=True)
    for k in range(3):
        mean, std = plain(n_neighbors=9).fit(X, Y[:, k]).predict(XNEW, return_std=True)
        np.testing.assert_allclose(found[0][:, k], mean, atol=1e-9)
        np.testing.assert_allclose(found[1][:, k], std, atol=1e-9)


def test_known_noise_of_each_row():
    X, y = make_rows()
    known = np.random.RandomState(1).uniform(0.01, 0.3, len(X))
    model = plain(n_neighbors=120).fit(X, y, noise_variance=known)
    mean, cov = dense(X, y, NOISE + known)
    found, std = model.predict(XNEW, return_std=True, noise_variance=np.full(8, 0.2))
    np.testing.assert_allclose(found, mean[:, 0], atol=1e-6)
    np.testing.assert_allclose(std, np.sqrt(np.diag(cov) + NOISE + 0.2), rtol=1e-6)


def test_a_row_of_weight_two_is_the_row_twice():
    X, y = make_rows()
    weights = np.random.RandomState(3).randint(1, 4, len(X))
    model = regressor(n_neighbors=9, max_iter=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = clone(model).fit(X, y, sample_weight=weights)
        many = clone(model).fit(np.repeat(X, weights, 0), np.repeat(y, weights))
    for a, b in zip(*(m.predict(XNEW, return_std=True) for m in (one, many)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8)


def test_equal_rows_that_differ_in_y_show_the_noise():
    X, y = make_rows(60)
    X, y = np.repeat(X, 3, 0), np.repeat(y, 3) + 0.3 * np.random.RandomState(4).randn(180)
    model = regressor(n_neighbors=9).fit(X, y)
    assert 0.05 < model.noise_variance_ < 0.3
    std = model.predict(X, return_std=True)[1]
    assert std.min() > 0.15


# --- the scale of variances ----------------------------------------------------------------------


def test_variances_follow_noise_that_varies():
    X, y = make_rows(600, varying=True)
    Xnew, ynew = make_rows(600, varying=True, seed=1)
    local, whole = (
        silent(regressor(n_neighbors=30, local_scale=scale), X, y) for scale in (True, False)
    )
    gain = local.log_predictive_density(Xnew, ynew) - whole.log_predictive_density(Xnew, ynew)
    assert gain.mean() > 0.2
    std = local.predict(Xnew, return_std=True)[1]
    noisy = Xnew[:, 0] > 0
    assert std[noisy].mean() > 2 * std[~noisy].mean()
    inside = abs(ynew - local.predict(Xnew)) < 1.645 * std
    assert abs(inside.mean() - 0.9) < 0.04


def test_all_that_is_said_of_y_has_its_scale():
    X, y = make_rows(600, varying=True)
    model = regressor(n_neighbors=30).fit(X, y)
    Xnew, ynew = make_rows(40, varying=True, seed=1)
    mean, std = model.predict(Xnew, return_std=True)
    density = model.log_predictive_density(Xnew, ynew)
    np.testing.assert_allclose(density, norm(mean, std).logpdf(ynew), rtol=1e-9)
    quantiles = model.predict_quantiles(Xnew, [0.1])[:, 0]
    np.testing.assert_allclose(quantiles, norm(mean, std).ppf(0.1), rtol=1e-9)
    _, cov = model.predict(Xnew, return_cov=True)
    np.testing.assert_allclose(np.diag(cov), std**2, rtol=1e-9)
    draws = model.sample_y(Xnew, 4000)
    np.testing.assert_allclose(draws.std(1), std, rtol=0.1)
    # the share of the noise is the same everywhere
    latent = model.predict(Xnew, return_std=True, include_noise=False)[1]
    assert (latent < std).all()
    joint = model.predict(Xnew, return_cov=True, include_noise=False)[1]
    np.testing.assert_allclose(np.diag(joint), latent**2, rtol=1e-9)
    assert np.linalg.eigvalsh(joint).min() > -1e-10
    crps = model.crps(Xnew, ynew)
    z = (ynew - mean) / std
    expected = std * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    np.testing.assert_allclose(crps, expected, rtol=1e-9)


def test_noise_that_is_given_is_not_scaled():
    X, y = make_rows(300, varying=True)
    model = regressor(n_neighbors=20, alpha=0.1).fit(X, y)
    far = np.array([[50.0, 0.0]])
    prior = model.kernel_.k1.constant_value * np.var(y)
    _, std = model.predict(far, return_std=True)
    assert std[0] ** 2 == pytest.approx(prior + 0.1, rel=1e-6)


@pytest.mark.parametrize("weight", [0.1, 4.0, 100.0])
def test_weights_do_not_change_what_is_said_of_one_row(weight):
    X, y = make_rows(600)
    model = regressor(n_neighbors=30).fit(X, y, sample_weight=np.full(600, weight))
    Xnew, ynew = make_rows(300, seed=1)
    mean, std = model.predict(Xnew, return_std=True)
    assert np.std((ynew - mean) / std) == pytest.approx(1.0, abs=0.1)


@pytest.mark.usefixtures("few_exact")
def test_constant_y():
    X, _ = make_rows(120)
    model = regressor().fit(X, np.full(120, 3.0))
    mean, std = model.predict(XNEW, return_std=True)
    np.testing.assert_allclose(mean, 3.0)
    assert (std > 0).all()


# --- rows that are not what they seem ------------------------------------------------------------


def test_near_copies_are_told():
    X, y = make_rows(150)
    twice = np.concatenate([X, X + 1e-9]), np.concatenate([y, y])
    with pytest.warns(UserWarning, match="100 % of the rows are next to copies"):
        regressor(n_neighbors=20).fit(*twice)
    rounded = np.round(2 * y)  # few values are no copies
    silent(regressor(n_neighbors=20), X, rounded)


@pytest.mark.usefixtures("few_exact")
def test_tied_rows_take_points_unless_neighbours_are_asked_for():
    rng = np.random.RandomState(0)
    X = np.repeat(np.linspace(-3, 3, 20), 15)[:, None]
    y = np.sin(X[:, 0]) + 0.5 * rng.randn(300)
    model = regressor().fit(X, y)
    assert model.n_neighbors_ is None and len(model.inducing_points_) == 20
    with pytest.warns(UserWarning, match="half of the rows of X are equal.*n_neighbors=None"):
        model = regressor(n_neighbors=30).fit(X, y)
    assert 0.15 < model.noise_variance_ < 0.35


# --- more rows -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("few_exact")
def test_partial_fit_goes_on_with_neighbours():
    X, y = make_rows(300)
    model = regressor().fit(X[:100], y[:100])
    before = model.score(X, y)
    for at in (100, 200):
        model.partial_fit(X[at : at + 100], y[at : at + 100])
    assert model.n_neighbors_ and model.score(X, y) > before
    whole = regressor().fit(X, y)
    assert model.score(X, y) > whole.score(X, y) - 0.02


@pytest.mark.usefixtures("few_exact")
def test_partial_fit_begins_with_points():
    X, y = make_rows(100)
    model = regressor(max_iter=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.partial_fit(X, y)
    assert model.n_neighbors_ is None and len(model.inducing_points_) == 100


def test_partial_fit_merges_rows_that_it_has():
    X, y = make_rows(200)
    model = regressor(n_neighbors=15).fit(X, y)
    noise = model.noise_variance_
    model.partial_fit(X, y)
    assert model._stream.rows.X.shape == (200, 2)
    assert model.noise_variance_ == pytest.approx(noise, rel=0.3)


def test_partial_fit_cannot_take_up_rows_that_were_not_kept():
    X, y = make_rows(200)
    model = regressor().fit(X[:100], y[:100]).set_params(n_neighbors=10)
    with pytest.raises(ValueError, match="n_neighbors=10 needs all rows.*Use fit"):
        model.partial_fit(X[100:], y[100:])


def test_partial_fit_with_neighbours_that_are_asked_for():
    X, y = make_rows(200)
    model = regressor(n_neighbors=15)
    for at in (0, 100):
        model.partial_fit(X[at : at + 100], y[at : at + 100])
    assert model.n_neighbors_ == 15
    assert model.score(*make_rows(seed=5)) > 0.85


# --- kernels -------------------------------------------------------------------------------------


def test_a_periodic_kernel_extrapolates():
    rng = np.random.RandomState(0)
    X = np.sort(rng.uniform(0, 30, 400))[:, None]
    y = np.sin(2 * np.pi * X[:, 0] / 3) + 0.05 * rng.randn(400)
    kernel = ConstantKernel(1.0) * ExpSineSquared(1.0, 3.0, periodicity_bounds=(2.0, 4.0))
    model = GaussianProcessRegressor(kernel + WhiteKernel(0.1), n_neighbors=40, random_state=0)
    model.fit(X, y)
    later = np.linspace(31, 40, 50)[:, None]
    truth = np.sin(2 * np.pi * later[:, 0] / 3)
    assert np.sqrt(np.mean((model.predict(later) - truth) ** 2)) < 0.1


@pytest.mark.parametrize("kernel", [PairwiseKernel(0.5, metric="rbf"), Matern(nu=3.2)])
def test_a_kernel_known_by_its_call_only(kernel):
    X, y = make_rows(100)
    model = GaussianProcessRegressor(1.0 * kernel, n_neighbors=12, max_iter=3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    assert model.score(X, y) > 0.8


# --- numbers -------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_numbers():
    X, y = make_rows()
    a, b = (regressor(n_neighbors=9).fit(X, y).predict(XNEW, return_std=True) for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_one_row_is_predicted_as_among_others():
    X, y = make_rows()
    model = regressor(n_neighbors=9).fit(X, y)
    every = model.predict(XNEW, return_std=True)
    each = [model.predict(x[None], return_std=True) for x in XNEW]
    np.testing.assert_allclose(np.squeeze(each).T, every, rtol=1e-10)


def test_float32():
    X, y = make_rows(200)
    single = regressor(n_neighbors=20, dtype="float32").fit(X.astype(np.float32), y)
    double = regressor(n_neighbors=20).fit(X, y)
    assert single.predict(XNEW.astype(np.float32)).dtype == np.float64
    np.testing.assert_allclose(single.predict(XNEW), double.predict(XNEW), atol=0.05)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_training_by_either_optimizer_learns_noise_and_scales(optimizer):
    X, y = make_rows(400)
    model = GaussianProcessRegressor(
        KERNEL, n_neighbors=30, optimizer=optimizer, local_scale=False, random_state=0
    )
    silent(model, X, y)
    assert np.sqrt(model.noise_variance_) == pytest.approx(0.2, rel=0.2)
    assert model.converged_


def test_without_an_optimizer_nothing_is_trained():
    X, y = make_rows(200)
    assert regressor(n_neighbors=20, optimizer=None).fit(X, y).n_iter_ <= 2


def test_nothing_to_learn_is_told():
    rng = np.random.RandomState(0)
    X, y = rng.uniform(-1, 1, (400, 2)), rng.randn(400)
    with pytest.warns(UserWarning, match="explains next to nothing"):
        regressor(n_neighbors=20).fit(X, y)
