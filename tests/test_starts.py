"""Start values read from the data, and what is said of a fit that is of no use."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    Matern,
    WhiteKernel,
)

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor, _starts, kernels

T = np.linspace(0.0, 1.0, 100)[:, None]
WAVES = np.sin(10.0 * np.pi * T[:, 0])


def silent(model, *rows):
    """The model fitted; a warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return model.fit(*rows)


def rows_of(X, y):
    return _starts.Rows(X, y[:, None], np.ones(len(X)), np.zeros(len(X)))


def chosen(kernel, X, y, noise=0.1, bounds=(1e-6, 1e2)):
    parsed = kernels.parse(kernel)
    given = _starts.Start(parsed.values, noise)
    return given, _starts.best_start(parsed, given, rows_of(X, y), bounds)


# --- before training -------------------------------------------------------------------------


def test_a_start_better_than_noise_is_kept():
    given, start = chosen(RBF(0.1), T, WAVES)
    assert start is given


def test_a_start_is_kept_where_all_of_them_are_noise():
    given, start = chosen(RBF(1.0), T, np.random.RandomState(0).randn(100))
    assert start is given


def test_fixed_values_and_bounds_hold():
    kernel = ConstantKernel(1.0, "fixed") * RBF(1.0, (0.2, 10.0))
    _, start = chosen(kernel, T, 1000.0 * WAVES, bounds=(0.05, 1.0))
    constant, length_scale = start.values
    assert constant == 1.0 and length_scale >= 0.2 and 0.05 <= start.noise <= 1.0


def test_the_prior_variance_follows_y():
    _, start = chosen(1.0 * RBF(0.1), T, 1000.0 * WAVES, noise=1e5, bounds=(1.0, 1e8))
    assert start.values[0] == 1e5  # its upper bound, below the mean square of 5e5


def test_labels_are_targets_of_a_regression():
    np.testing.assert_array_equal(
        _starts.targets_of_labels(np.array([[0.0], [1.0]]), 1), [[-1.0], [1.0]]
    )
    three = _starts.targets_of_labels(np.array([[0.0], [1.0], [2.0]]), 3)
    np.testing.assert_allclose(three, 2.0 * np.eye(3) - 2.0 / 3.0)


@pytest.mark.parametrize("length_scale", [0.001, 0.02, 0.1, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("n_inducing", [None, 40])
def test_waves_are_found_from_far(length_scale, n_inducing):
    """The issue's example: everything was noise from length scales of 1 on."""
    kernel = 1.0 * RBF(length_scale)
    model = GaussianProcessRegressor(kernel, n_inducing=n_inducing, random_state=0)
    assert silent(model, T, WAVES).score(T, WAVES) > 0.999


@pytest.mark.parametrize("length_scale", [0.001, 0.1, 0.5, 1.0, 2.0])
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


@pytest.mark.parametrize("level", [0.0, 5.0, 1e4])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 300.0, 1e6])
@pytest.mark.parametrize("normalize_y", [True, False])
def test_units_of_y_change_no_prediction(normalize_y, scale, level):
    rng = np.random.RandomState(0)
    y = np.sin(X[:, 0]) + 0.1 * rng.randn(60)
    b = level * np.std(y)
    same = silent(GaussianProcessRegressor(), X, y).predict(NEW, return_std=True)
    model = silent(GaussianProcessRegressor(normalize_y=normalize_y), X, scale * (y + b))
    mean, std = model.predict(NEW, return_std=True)
    # of numbers around 1e4 std float64 keeps 1e-12 std, L-BFGS ends where it gains 1e-7 a row
    np.testing.assert_allclose(mean / scale - b, same[0], rtol=0, atol=1e-4 * np.std(y))
    np.testing.assert_allclose(std / scale, same[1], rtol=1e-3)


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
def test_raw_y_beside_a_kernel_of_unit_variance(scale):
    """Fitted well, or said: the bounds of scikit-learn's constant end at 1e5."""
    y = scale * np.sin(X[:, 0])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        score = GaussianProcessRegressor(1.0 * RBF(), normalize_y=False).fit(X, y).score(X, y)
    said = [str(w.message) for w in caught]
    if scale == 1.0:
        assert score > 0.999 and not said
    elif score > 0.999:
        assert len(said) == 1 and "'k1__constant_value' at its upper bound" in said[0]
    else:
        assert len(said) == 1 and "set normalize_y=True" in said[0] and scale > 3e3


# --- what is said of a fit that is of no use -------------------------------------------------


def warned(model, *rows):
    """The text of the one warning of a fit."""
    with pytest.warns(ConvergenceWarning) as caught:
        model.fit(*rows)
    assert len(caught) == 1 and caught[0].filename == __file__
    return str(caught[0].message)


def test_noise_that_is_too_small_is_named():
    rng = np.random.RandomState(1)
    X = 6.0 * rng.rand(80, 1)
    y = 1000.0 * np.sin(X[:, 0]) + 120.0 * rng.randn(80)
    message = warned(GaussianProcessRegressor(1.0 * RBF(1.0), alpha=0.1), X, y)
    assert "far less than y scatters" in message and "alpha=0.1, in the units of y" in message


@pytest.mark.parametrize("n_inducing", [None, 10])
def test_all_noise_is_said(n_inducing):
    kernel = 1.0 * Matern(1.0, (1.0, 10.0))
    model = GaussianProcessRegressor(kernel, n_inducing=n_inducing, random_state=0)
    message = warned(model, T, WAVES)
    assert "calls everything noise" in message and "n_restarts_optimizer=5" in message
    if n_inducing is None:
        message = warned(model.set_params(normalize_y=False), T, WAVES)
        assert "set normalize_y=True" in message


def test_all_noise_of_one_target_is_said():
    noise = 0.3 * np.random.RandomState(0).randn(100)
    Y = np.column_stack([np.sin(6.0 * T[:, 0]) + noise, 1e-3 * WAVES])
    message = warned(GaussianProcessRegressor(1.0 * RBF(), normalize_y=False), T, Y)
    assert "of y[:, 1]" in message


def test_classes_told_apart_nowhere_are_said():
    model = GaussianProcessClassifier(1.0 * RBF(10.0, (5.0, 100.0)))
    assert "tells the classes apart nowhere" in warned(model, T, WAVES > 0)


RNG = np.random.RandomState(0)
X2 = RNG.rand(120, 2)
CLEAN = np.sin(6.0 * X2[:, 0]) + X2[:, 1]
NOISY = CLEAN + 0.1 * RNG.randn(120)


@pytest.mark.parametrize(
    "settings, given",
    [
        ({"alpha": 1e-10}, None),
        ({"alpha": 1e-4, "kernel": 1.0 * RBF()}, None),
        ({"kernel": 1.0 * RBF() + WhiteKernel(1e-5, "fixed")}, None),
        ({"alpha": 0.0}, np.full(120, 1e-6)),
        ({"alpha": 1e-10, "n_inducing": 60, "max_iter": 100}, None),
    ],
    ids=str,
)
def test_noise_that_is_far_too_small_is_said_in_two_columns(settings, given):
    model = GaussianProcessRegressor(random_state=0, **settings)
    with pytest.warns(ConvergenceWarning) as caught:
        model.fit(X2, NOISY, noise_variance=given)
    # also where training does not settle
    assert len(caught) == 1 and "far less than y scatters" in str(caught[0].message)


@pytest.mark.parametrize("settings", [{"alpha": 1e3}, {"noise_variance": 1e3}], ids=str)
def test_noise_that_hides_everything_is_named(settings):
    settings = dict(settings)
    given = settings.pop("noise_variance", None)
    model = GaussianProcessRegressor(1.0 * RBF(), **settings)
    with pytest.warns(ConvergenceWarning, match="the noise given .* hides everything"):
        model.fit(X2, NOISY, noise_variance=None if given is None else np.full(120, given))


@pytest.mark.parametrize("n_inducing", [None, 15])
def test_a_row_that_outweighs_all_others_is_named(n_inducing):
    model = GaussianProcessRegressor(n_inducing=n_inducing, random_state=0)
    X, y = X2.copy(), NOISY.copy()
    X[3, 1] = -999.0
    assert "Row " in warned(model, X, y) and "column 1, -999" in str(warned(model, X, y))
    y[3] = 1e4
    assert "likelihood='student_t'" in warned(model, X2, y)
    labels = GaussianProcessClassifier(n_inducing=n_inducing, random_state=0)
    assert "column 1, -999" in warned(labels, X, CLEAN > 0.5)


def test_a_rare_indicator_is_no_outlier():
    X = np.column_stack([X2, np.arange(120) == 7])
    silent(GaussianProcessRegressor(), X, NOISY)


@pytest.mark.parametrize("scale", [1e4, 1e5])
def test_jitter_that_swamps_the_function_is_named(scale):
    model = GaussianProcessClassifier(DotProduct(), n_inducing=20, random_state=0)
    assert "jitter of the inducing points" in warned(model, scale * X2, CLEAN > 0.5)


def test_what_is_advised_depends_on_what_was_set():
    U = 1e-6 * T[::2]
    model = GaussianProcessRegressor(1.0 * RBF(), n_restarts_optimizer=5, random_state=0)
    message = warned(model, U, WAVES[::2])
    assert "StandardScaler" in message and "n_restarts" not in message
    message = warned(GaussianProcessRegressor(1.0 * RBF()), 1e9 * X2, NOISY)
    assert "goes through every row" in message and "alpha" not in message


@pytest.mark.parametrize("N", [15, 60, 120])
def test_good_fits_are_silent(N):
    X, clean, noisy = X2[:N], CLEAN[:N], NOISY[:N]
    silent(GaussianProcessRegressor(), X, noisy)
    silent(GaussianProcessRegressor(alpha=0.01), X, noisy)
    silent(GaussianProcessRegressor(n_inducing=10, random_state=0), X, noisy)
    silent(GaussianProcessClassifier(), X, clean > 0.5)
    silent(GaussianProcessRegressor(1.0 * RBF() + WhiteKernel()), X, clean)  # next to no noise
    silent(GaussianProcessRegressor(alpha=1e-10), X, clean)
    silent(GaussianProcessRegressor(1.0 * RBF([1.0, 1.0]), alpha=1e-10), X, clean)


@pytest.mark.parametrize(
    "kernel, name, side",
    [
        (1.0 * RBF(1.0, (0.5, 2.0)), "k2__length_scale", "lower bound 0.5"),
        (1.0 * RBF(0.01, (0.001, 0.02)), "k2__length_scale", "upper bound 0.02"),
        (ConstantKernel(0.01, (0.01, 0.02)) * RBF(0.2), "k1__constant_value", "upper bound 0.02"),
        (1.0 * RBF(0.2) + WhiteKernel(0.3, (0.2, 1.0)), "k2__noise_level", "lower bound 0.2"),
    ],
)
@pytest.mark.parametrize("n_inducing", [None, 30])
def test_a_value_at_its_bound_is_named(kernel, name, side, n_inducing):
    y = np.sin(8.0 * T[:, 0])
    model = GaussianProcessRegressor(kernel, n_inducing=n_inducing, random_state=0)
    message = warned(model, T, y)
    assert f"'{name}' at its {side}" in message and "Widen the bounds" in message


def test_the_column_of_a_length_scale_at_its_bound_is_named():
    rng = np.random.RandomState(0)
    X = rng.rand(60, 2)
    message = warned(GaussianProcessRegressor(1.0 * RBF([1.0, 1.0])), X, np.sin(6.0 * X[:, 0]))
    assert "'k2__length_scale' (column 1) at its upper bound 100000" in message


def test_the_default_kernel_is_silent_at_its_bounds():
    rng = np.random.RandomState(0)
    X = rng.rand(60, 2)
    model = silent(GaussianProcessRegressor(), X, np.sin(6.0 * X[:, 0]))
    assert model.kernel_.k2.length_scale[1] > 100.0
