"""Start values read from the data."""

import functools
import warnings

import numpy as np
import pytest
from estimator.cases import silent
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor, kernels
from skgpng._estimator import starts

T = np.linspace(0.0, 1.0, 100)[:, None]
WAVES = np.sin(10.0 * np.pi * T[:, 0])


def rows_of(X, y):
    return starts.Regression(X, y[:, None], np.ones(len(X)), np.zeros(len(X)))


def chosen(kernel, X, y, noise=0.1, bounds=(1e-6, 1e2)):
    parsed = kernels.parse(kernel)
    given = starts.Start(parsed.values, noise)
    return given, starts.best_start(parsed, given, rows_of(X, y), bounds)


# --- before training -------------------------------------------------------------------------


def test_best_start_keeps_what_is_better_than_noise():
    given, start = chosen(RBF(0.1), T, WAVES)
    assert start is given


def test_best_start_keeps_the_given_where_all_are_noise():
    given, start = chosen(RBF(1.0), T, np.random.RandomState(0).randn(100))
    assert start is given


def test_best_start_holds_fixed_values_and_bounds():
    kernel = ConstantKernel(1.0, "fixed") * RBF(1.0, (0.2, 10.0))
    _, start = chosen(kernel, T, 1000.0 * WAVES, bounds=(0.05, 1.0))
    constant, length_scale = start.values
    assert constant == 1.0 and length_scale >= 0.2 and 0.05 <= start.noise <= 1.0


def test_best_start_lets_the_prior_variance_follow_y():
    _, start = chosen(1.0 * RBF(0.1), T, 1000.0 * WAVES, noise=1e5, bounds=(1.0, 1e8))
    assert start.values[0] == 1e5  # its upper bound, below the mean square of 5e5


@pytest.mark.parametrize("length_scale", [0.001, 0.02, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("n_inducing", [None, 40])
def test_waves_are_found_from_far(length_scale, n_inducing):
    """The issue's example: everything was noise from length scales of 1 on."""
    kernel = 1.0 * RBF(length_scale)
    model = GaussianProcessRegressor(kernel, n_inducing=n_inducing, random_state=0)
    assert silent(model, T, WAVES).score(T, WAVES) > 0.999


@pytest.mark.parametrize("length_scale", [0.001, 0.5, 2.0])
def test_labels_in_waves_are_found_from_far(length_scale):
    y = WAVES > 0
    model = silent(GaussianProcessClassifier(1.0 * RBF(length_scale)), T, y)
    assert model.score(T, y) > 0.95


@pytest.mark.parametrize("ard", [False, True])
def test_columns_in_other_units_than_the_kernels(ard):
    rng = np.random.RandomState(0)
    X = rng.randn(100, 3) * [1e4, 30.0, 0.01] if ard else 1e3 * rng.randn(100, 3)
    y = np.sin(X / X.std(0)).sum(1)
    model = silent(GaussianProcessRegressor(1.0 * RBF(np.ones(3) if ard else 1.0)), X[:80], y[:80])
    assert model.score(X[80:], y[80:]) > 0.9


@pytest.mark.parametrize("far", [0.0, 1e3, 1e4])
def test_lines_far_from_the_origin_are_found(far):
    rng = np.random.RandomState(0)
    X = far + 20.0 * rng.rand(200, 1)
    y = 2.0 * (X[:, 0] - far - 10.0) + 0.3 * rng.randn(200)
    assert silent(GaussianProcessRegressor(DotProduct() + WhiteKernel()), X, y).score(X, y) > 0.999
    assert GaussianProcessClassifier(DotProduct()).fit(X, y > 0).score(X, y > 0) > 0.99


# --- y as it is ------------------------------------------------------------------------------

X = np.linspace(0.0, 6.0, 60)[:, None]
NEW = np.array([[1.5], [4.0]])


@functools.cache
def sine():
    """Noisy y, and predictions from it as it is."""
    y = np.sin(X[:, 0]) + 0.1 * np.random.RandomState(0).randn(60)
    return y, *silent(GaussianProcessRegressor(), X, y).predict(NEW, return_std=True)


@pytest.mark.parametrize("level", [0.0, 1e4])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("normalize_y", [True, False])
def test_units_of_y_change_no_prediction(normalize_y, scale, level):
    y, same_mean, same_std = sine()
    b = level * np.std(y)
    model = silent(GaussianProcessRegressor(normalize_y=normalize_y), X, scale * (y + b))
    mean, std = model.predict(NEW, return_std=True)
    # of numbers around 1e4 std float64 keeps 1e-12 std, L-BFGS ends where it gains 1e-7 a row
    np.testing.assert_allclose(mean / scale - b, same_mean, rtol=0, atol=1e-4 * np.std(y))
    np.testing.assert_allclose(std / scale, same_std, rtol=1e-3)


def test_targets_of_different_scale_need_no_normalize_y():
    y = np.sin(X)
    model = silent(GaussianProcessRegressor(normalize_y=False), X, np.hstack([y, 1000.0 * y]))
    np.testing.assert_allclose(model.predict([[1.5]]), np.sin(1.5) * np.array([[1, 1000]]), 1e-3)


def test_a_kernel_of_the_users_own_takes_y_as_it_is():
    y = 3.0 + np.sin(X[:, 0])
    model = GaussianProcessRegressor(1.0 * RBF(), normalize_y=False).fit(X, y)
    assert model._predictor.units.shift == 0.0 and model._predictor.units.scale == 1.0
    assert model.predict([[1e3]]) == pytest.approx(0.0, abs=1e-9)  # the mean of the prior


@pytest.mark.parametrize("scale", [1.0, 300.0, 3e3, 1e4, 1e6])
def test_normalize_y_false_fits_raw_y_or_says_so(scale):
    """Fitted well, or said: the bounds of scikit-learn's constant end at 1e5."""
    y = scale * np.sin(X[:, 0])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        score = GaussianProcessRegressor(1.0 * RBF(), normalize_y=False).fit(X, y).score(X, y)
    said = [str(w.message) for w in caught]
    if scale == 1.0:
        assert score > 0.999 and not said
    elif score > 0.999:
        assert len(said) == 1
        assert "k1__constant_value is close to the specified upper bound" in said[0]
    else:
        assert len(said) == 1 and "set normalize_y=True" in said[0] and scale > 3e3
