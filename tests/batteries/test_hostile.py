"""What people bring: fits of any finite data end in a usable model or an error that says why."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
from batteries import hostile
from sklearn.gaussian_process.kernels import RBF

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
from skgpng.inducing import column_spread, kmeans, power_of_two

SEED = int(os.environ.get("SKGPNG_HOSTILE_SEED", 0))
rng = np.random.RandomState


# --- the battery -----------------------------------------------------------------------------


def test_generated_fits_end_well():
    _, failures, _ = hostile.battery(range(SEED, SEED + 100))
    assert not failures, "\n".join(failures)


def test_generated_fits_of_other_targets_end_well():
    layouts = hostile.layouts_of_other_targets()
    _, failures, _ = hostile.battery(range(SEED, SEED + 50), layouts)
    assert not failures, "\n".join(failures)


@pytest.mark.slow
def test_two_thousand_generated_fits_end_well():
    table, failures, _ = hostile.battery(range(SEED, SEED + 2000))
    print(f"seeds {SEED} to {SEED + 1999}", dict(table))
    assert not failures, "\n".join(failures)
    # refusing everything is no way out
    usable = table["all", "fitted"] + table["all", "warned"]
    assert usable > 0.7 * 2000


def test_a_seed_gives_one_case():
    layouts = hostile.layouts()
    one, two = hostile.draw(3, layouts), hostile.draw(3, layouts)
    assert one.kinds == two.kinds
    np.testing.assert_array_equal(one.X_new, two.X_new)


def test_two_rows_of_one_class_among_ten_thousand():
    X = rng(0).randn(10_000, 3)
    y = np.array(["b"] * 10_000, object)
    y[[17, 4711]] = "a"
    model = GaussianProcessClassifier(n_inducing=20, max_iter=15, random_state=0).fit(X, y)
    p = model.predict_proba(X[:500])
    assert np.isfinite(p).all() and list(model.classes_) == ["a", "b"]
    assert p[:, 0].mean() < 0.05


# --- units are no matter ---------------------------------------------------------------------


def _wave(n=60, seed=0):
    X = rng(seed).uniform(-2, 2, (n, 2))
    return X, np.sin(2 * X[:, 0]) + 0.1 * rng(seed + 1).randn(n)


@pytest.mark.parametrize("n_inducing", [None, 12])
@pytest.mark.parametrize("exponent", [-900, -480, 480, 800])
def test_the_scale_of_y_changes_nothing(exponent, n_inducing):
    # by powers of two nothing is rounded: 2.0**-900 is 1e-271, 2.0**800 is 7e240
    X, y = _wave()
    model = GaussianProcessRegressor(n_inducing=n_inducing, max_iter=20, random_state=0)
    mean, std = model.fit(X, y).predict(X, return_std=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        scaled = model.fit(X, np.ldexp(y, exponent)).predict(X, return_std=True)
    np.testing.assert_array_equal(np.ldexp(scaled[0], -exponent), mean)
    np.testing.assert_array_equal(np.ldexp(scaled[1], -exponent), std)


@pytest.mark.parametrize("n_inducing", [None, 12])
@pytest.mark.parametrize("exponents", [(-40, 40), (-900, 0), (0, 480), (-900, 480)])
def test_the_scales_of_columns_change_nothing(exponents, n_inducing):
    # 2.0**40 is 1e12
    X, y = _wave()
    model = GaussianProcessRegressor(n_inducing=n_inducing, max_iter=15, random_state=0)
    mean = model.fit(X, y).predict(X)
    scaled = np.ldexp(X, exponents)
    # the logarithms of the length scales round
    np.testing.assert_allclose(model.fit(scaled, y).predict(scaled), mean, rtol=0, atol=1e-6)


@pytest.mark.parametrize("estimator", [GaussianProcessRegressor, GaussianProcessClassifier])
def test_constant_columns_change_nothing(estimator):
    X, y = _wave()
    if estimator is GaussianProcessClassifier:
        y = y > 0
    model = estimator(n_inducing=None, max_iter=15, kernel=None)
    first = model.fit(X, y)._predictor.latent(X)
    # one more column makes the length scales longer by sqrt(3 / 2): undo it in X
    constant = np.hstack([X, np.full((60, 1), 0.1)])
    nearly = constant.copy()
    nearly[::2, 2] += 1e-16
    np.testing.assert_array_equal(column_spread(nearly, np.ones(60))[2], 1.0)
    for rows in (constant, nearly):
        again = model.fit(rows, y)._predictor.latent(rows)
        assert np.isfinite(again).all()
        # another start, so another end within what 15 steps leave open
        np.testing.assert_allclose(again[0], first[0], atol=0.2 * np.abs(first[0]).max())


def test_a_constant_y_is_predicted():
    X = _wave()[0]
    for value in (0.0, 0.1, -1e200, 1e-300):
        mean, std = GaussianProcessRegressor().fit(X, np.full(60, value)).predict(X, True)
        np.testing.assert_allclose(mean, value, rtol=1e-6)
        assert np.isfinite(std).all()


# --- column_spread ---------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [-950, -500, 500, 1000])
def test_spread_of_any_scale(exponent):
    X, weights = rng(0).randn(50, 3), rng(1).rand(50)
    expected = np.ldexp(column_spread(X, weights), exponent)
    np.testing.assert_array_equal(column_spread(np.ldexp(X, exponent), weights), expected)


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_spread_with_weights_of_any_scale(scale):
    X, weights = rng(0).randn(50, 3), rng(1).rand(50)
    spread = column_spread(X, scale * weights)
    np.testing.assert_allclose(spread, column_spread(X, weights), rtol=1e-14)


def test_spread_without_a_reciprocal_is_that_of_a_constant():
    np.testing.assert_array_equal(column_spread(1e-300 * np.eye(3), np.ones(3)), 1.0)


def test_powers_of_two():
    sizes = np.array([0.7, 1.0, 3.9, 5e-324, 1.7e308])
    unit = power_of_two(sizes)
    assert ((unit <= sizes) & (sizes / unit < 2)).all()
    assert power_of_two(0.0) == 0.5  # any will do


def test_kmeans_of_rows_that_are_equal_but_for_rounding_is_silent():
    X = 1.0 + 1e-16 * rng(0).randn(30, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kmeans(X, 5, rng(0), np.ones(30)).shape == (5, 2)


# --- predictions -----------------------------------------------------------------------------


def test_rows_far_away_get_the_prior_or_an_error():
    X, y = _wave()
    model = GaussianProcessRegressor(RBF(1.0), max_iter=5).fit(X, y)
    mean, std = model.predict(np.full((1, 2), 1e100), return_std=True)
    np.testing.assert_allclose(mean, y.mean(), rtol=1e-9)
    with pytest.raises(ValueError, match="X has values up to 1e\\+200 .column 0.: squares"):
        model.predict(np.full((1, 2), 1e200))


def test_a_probability_of_zero_has_a_score():
    X, y = np.array([[0.0], [1.0], [2.0]] * 4), np.array([0, 1, 2] * 4)
    kernel = RBF(0.1, "fixed") * 1e8
    model = GaussianProcessClassifier(kernel, optimizer=None, max_iter=100).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = model.decision_function(X)
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores.argmax(1), y)


def test_a_covariance_lost_in_rounding_is_still_one():
    """alpha=1e-14: the diagonal was negative, and draws were refused."""
    X, y = _wave()
    model = GaussianProcessRegressor(RBF(1.0), alpha=1e-14, optimizer=None).fit(X, y)
    cov = model.predict(X, return_cov=True)[1]
    std = model.predict(X, return_std=True)[1]
    assert np.all(np.diag(cov) > 0.0)
    np.testing.assert_allclose(np.diag(cov), std**2, rtol=1e-9)
    assert np.isfinite(model.sample_y(X, 2)).all()
