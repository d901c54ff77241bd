"""Grades: ``GaussianProcessRegressor(likelihood="ordinal")`` end to end."""

from __future__ import annotations

import functools
import pickle

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.metrics import d2_absolute_error_score
from sklearn.model_selection import cross_val_score

import skgpng
from skgpng import GaussianProcessRegressor
from skgpng.likelihoods import Ordinal

KERNEL = ConstantKernel(1.0) * RBF(1.0)
GRADES, CUTS = np.array([0.5, 1.0, 3.0, 4.0]), np.array([-1.5, 0.0, 1.0])
regressor = functools.partial(
    GaussianProcessRegressor, kernel=KERNEL, likelihood="ordinal", n_inducing=12, random_state=0
)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.RandomState(0)
    X = rng.uniform(0, 8, (250, 1))
    f = 2.0 * np.sin(X[:, 0])
    return X, GRADES[np.searchsorted(CUTS, f + rng.randn(250))], f


@pytest.fixture(scope="module")
def fitted(rows):
    X, y, _ = rows
    return regressor().fit(X, y)


def test_cut_points_and_function_are_found(rows, fitted):
    X, y, f = rows
    np.testing.assert_array_equal(fitted.likelihood_["grades"], GRADES)
    cuts = fitted.likelihood_["cut_points"]
    assert (np.diff(cuts) > 0).all()
    np.testing.assert_allclose(cuts, CUTS, atol=0.6)  # 250 rows
    f_mean, _ = fitted._predictor.latent(X)
    assert np.sqrt(np.mean((f_mean[:, 0] - f) ** 2)) < 0.6
    assert fitted.converged_ and fitted.n_corrected_steps_ == 0 == fitted.n_rejected_steps_
    assert fitted.noise_variance_ is None
    exact = regressor(n_inducing=None).fit(X, y)
    assert fitted.elbo_ == pytest.approx(exact.elbo_, abs=0.5)
    # f and the cut points may move together, which changes little
    np.testing.assert_allclose(np.diff(exact.likelihood_["cut_points"]), np.diff(cuts), rtol=0.05)


def test_predictions_are_grades(rows, fitted):
    X, y, _ = rows
    median = fitted.predict(X)
    assert np.isin(median, GRADES).all() and len(np.unique(median)) > 2
    quantiles = fitted.predict_quantiles(X, (0.1, 0.5, 0.9))
    assert np.isin(quantiles, GRADES).all() and (np.diff(quantiles, axis=1) >= 0).all()
    np.testing.assert_array_equal(quantiles[:, 1], median)
    assert np.isin(fitted.sample_y(X, 3), GRADES).all()
    found = fitted.score(X, y)
    assert found == pytest.approx(d2_absolute_error_score(y, median)) and found > 0.4


def test_probabilities_scores_and_deviations_agree(rows, fitted):
    X = rows[0][:6]
    p = np.exp(
        np.stack([fitted.log_predictive_density(X, np.full(6, grade)) for grade in GRADES], 1)
    )
    np.testing.assert_allclose(p.sum(1), 1.0, rtol=1e-12)
    _, std = fitted.predict(X, return_std=True)
    mean = p @ GRADES
    np.testing.assert_allclose(std**2, p @ GRADES**2 - mean**2, rtol=1e-9)
    below = np.cumsum(p, 1)[:, :-1]
    expected = np.sum((below - (GRADES[:-1] >= 3.0)) ** 2 * np.diff(GRADES), 1)
    np.testing.assert_allclose(fitted.crps(X, np.full(6, 3.0)), expected, rtol=1e-9)
    draws = fitted.sample_y(X, 20000)
    for k, grade in enumerate(GRADES):
        assert np.mean(draws == grade, 1) == pytest.approx(p[:, k], abs=0.015)
    means = fitted.sample_y(X, 20000, include_noise=False)
    _, spread = fitted.predict(X, return_std=True, include_noise=False)
    np.testing.assert_allclose(means.mean(1), mean, atol=0.03)
    np.testing.assert_allclose(means.std(1), spread, rtol=0.05)


def test_grades_that_fit_has_not_seen_are_named(rows, fitted):
    X, y, _ = rows
    for bad in (2.0, np.float64(5.0)):
        with pytest.raises(
            ValueError, match=rf"y\[1\] = {bad:g} .*none of the grades 0.5, 1, 3, 4"
        ):
            fitted.log_predictive_density(X[:2], [1.0, bad])
    more = regressor(likelihood=Ordinal([0, 0.5, 1, 3, 4]), max_iter=30, tol=1e-2).fit(X, y)
    assert more.log_predictive_density(X[:1], [0.0])[0] < -3.0
    with pytest.raises(ValueError, match=r"y\[0\] = .*none of the grades 3, 4"):
        regressor(likelihood=Ordinal((3, 4))).fit(X[y < 3], y[y < 3])


def test_rows_in_parts_keep_the_grades(rows):
    X, y, _ = rows
    model = regressor(max_iter=60)
    model.partial_fit(X[:120], y[:120])
    with pytest.raises(ValueError, match=r"y\[1\] = 9 .*none of the grades.*Ordinal.grades"):
        model.partial_fit(X[:2], [1.0, 9.0])
    model.partial_fit(X[120:], y[120:])
    model.partial_fit(X[:3], np.full(3, 1.0))  # one grade alone is no fault
    np.testing.assert_array_equal(model.likelihood_["grades"], GRADES)
    assert model.score(X, y) > 0.4
    with pytest.raises(ValueError, match="likelihood changed from Ordinal"):
        model.set_params(likelihood=Ordinal((0.5, 1, 3, 4, 9))).partial_fit(X, y)
    given = regressor(likelihood=Ordinal((0.5, 1, 3, 4, 9)), max_iter=20, tol=1e-2)
    given.partial_fit(X[:120], y[:120]).partial_fit(X[120:], np.where(y[120:] == 4, 9, y[120:]))
    assert 9.0 in given.predict_quantiles(X, [0.9])


def test_warm_start_goes_on_or_begins_anew(rows):
    X, y, _ = rows
    model = regressor(warm_start=True).fit(X, y)
    steps, cuts = model.n_iter_, model.likelihood_["cut_points"]
    model.fit(X, y)
    assert model.n_iter_ < steps
    np.testing.assert_allclose(model.likelihood_["cut_points"], cuts, atol=0.05)
    model.fit(X, y + 1.0)
    assert np.isin(model.predict(X), GRADES + 1.0).all()
    np.testing.assert_array_equal(model.likelihood_["grades"], GRADES + 1.0)


def test_copies_predict_the_same(rows, fitted, tmp_path):
    X, y, _ = rows
    skgpng.save(fitted, tmp_path / "model.skops")
    for other in (pickle.loads(pickle.dumps(fitted)), skgpng.load(tmp_path / "model.skops")):
        np.testing.assert_array_equal(other.predict(X), fitted.predict(X))
        np.testing.assert_array_equal(other.crps(X, y), fitted.crps(X, y))
        cuts = other.likelihood_["cut_points"]
        np.testing.assert_array_equal(cuts, fitted.likelihood_["cut_points"])
    state = fitted.__getstate__()
    state["_predictor"] = {**state["_predictor"], "values": (np.array(0.0), np.ones(5))}
    with pytest.raises(ValueError, match="values in the state"):
        GaussianProcessRegressor().__setstate__(state)


@pytest.mark.parametrize(
    "settings",
    [
        {"early_stopping": True},
        {"n_restarts_optimizer": 1},
        {"optimizer": "lbfgs", "n_inducing": None},
        {"kernel": None},
        {"batch_size": 64},
    ],
    ids=str,
)
def test_all_ways_of_training_find_the_function(rows, settings):
    X, y, _ = rows
    model = regressor(max_iter=60).set_params(**settings).fit(X[:150], y[:150])
    assert model.score(X[150:], y[150:]) > 0.3
    assert np.isfinite(model.elbo_curve_).all()


def test_two_columns_share_the_grades(rows):
    X, y, _ = rows
    Y = np.column_stack([y, y[::-1]])[:60]
    model = regressor(max_iter=30, tol=1e-2).fit(X[:60], Y)
    assert model.predict(X[:5]).shape == (5, 2) and np.isin(model.predict(X), GRADES).all()
    assert model.log_predictive_density(X[:60], Y).shape == (60,)


def test_probability_of_the_grade_is_above_that_of_gaussian_noise(rows):
    """Of grades that are far from evenly spaced."""
    X, y, _ = rows
    y = np.searchsorted(GRADES, y).astype(float)
    train, test = slice(0, 150), slice(150, None)
    ordinal = regressor().fit(X[train], y[train])
    mean, std = (
        regressor(likelihood="gaussian").fit(X[train], y[train]).predict(X[test], return_std=True)
    )
    z = (y[test] - mean) / std
    step = 0.5 / std
    gaussian = np.log(norm.cdf(z + step) - norm.cdf(z - step))
    assert np.mean(ordinal.log_predictive_density(X[test], y[test]) - gaussian) > 0.05


# --- hard grades -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "weights"),
    [
        ([0.5, 1.0, 0.5], None),
        ([1.0, 2.0, 3.0], None),
        ([-1e6, 1e6, 0.0, 0.0, 0.0, -1e6, 1e-3], None),
        ([9.0, 1.0, 2.0, 1.0, 2.0, 1.0], [0.0, 1.0, 2.0, 1.0, 1.0, 1.0]),
        ([*[1.0] * 50, 2.0], None),
    ],
    ids=str,
)
@pytest.mark.parametrize("n_inducing", [None, 3])
def test_few_rows_and_odd_grades(y, weights, n_inducing):
    X, y = np.arange(float(len(y)))[:, None], np.array(y)
    model = regressor(n_inducing=n_inducing, max_iter=40, tol=1e-3).fit(X, y, weights)
    seen = np.ones(len(y), bool) if weights is None else np.array(weights) > 0
    assert np.isin(model.predict(X), y[seen]).all()
    for values in (
        model.elbo_curve_,
        model.predict(X, return_std=True)[1],
        model.log_predictive_density(X[seen], y[seen]),
        model.crps(X[seen], y[seen]),
    ):
        assert np.isfinite(values).all()


@pytest.mark.parametrize(
    ("settings", "y", "match"),
    [
        ({}, [3, 3, 3, 3, 3], "All of y is 3.*needs two grades"),
        ({}, [1, 2, np.nan, 1, 2], "NaN"),
        ({"alpha": 0.1}, [1, 2, 1, 2, 1], "no Gaussian noise"),
        ({"kernel": KERNEL + WhiteKernel()}, [1, 2, 1, 2, 1], "WhiteKernel out"),
        ({"likelihood": Ordinal((1,))}, [1, 1, 1, 1, 1], "two finite numbers"),
    ],
    ids=str,
)
def test_what_does_not_suit_is_said(settings, y, match):
    model = regressor(n_inducing=3).set_params(**settings)
    with pytest.raises(ValueError, match=match):
        model.fit(np.arange(5.0)[:, None], y)
    assert not hasattr(model, "kernel_")


def test_before_fit_grades_must_be_given():
    X = np.zeros((2, 1))
    with pytest.raises(ValueError, match="knows its grades after fit only"):
        regressor().predict(X)
    assert np.isin(regressor(likelihood=Ordinal([3, 1, 2])).predict(X), [2.0]).all()
    with pytest.raises(ValueError, match="return_cov=True needs"):
        regressor(likelihood=Ordinal([3, 1, 2])).predict(X, return_cov=True)


def test_cross_validation_of_grades(rows):
    X, y, _ = rows
    model = regressor(max_iter=30, tol=1e-2)
    scores = cross_val_score(model, X, y, cv=2, error_score="raise")
    assert (scores > 0.3).all()
    assert clone(model).get_params()["likelihood"] == "ordinal"
