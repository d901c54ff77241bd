"""What a user is told: causes in the data of a failed training, and fits that are of no use."""

from __future__ import annotations

import re

import numpy as np
import pytest
from estimator.cases import silent
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, Matern, WhiteKernel

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
from skgpng._estimator import messages
from skgpng._estimator.diagnosis import likely_cause, lost_to_float32

X, Y = np.split(np.random.RandomState(8).randn(30, 4), [3], axis=1)
ONE = np.ones(30)
NOISE, TINY = ONE, np.full(30, 1e-11)

T = np.linspace(0.0, 1.0, 100)[:, None]
WAVES = np.sin(10.0 * np.pi * T[:, 0])

RNG = np.random.RandomState(0)
X2 = RNG.rand(120, 2)
CLEAN = np.sin(6.0 * X2[:, 0]) + X2[:, 1]
NOISY = CLEAN + 0.1 * RNG.randn(120)


def test_likely_cause_is_none_of_good_data():
    assert likely_cause(X, Y, NOISE, ONE) == ""
    assert likely_cause(X, Y, TINY, ONE) == ""
    twice = np.vstack([X, X])
    assert likely_cause(twice, np.vstack([Y, Y]), np.tile(TINY, 2), np.ones(60)) == ""
    assert likely_cause(twice, np.vstack([Y, -Y]), np.ones(60), np.ones(60)) == ""


@pytest.mark.parametrize(
    "columns, words",
    [
        (
            {1: 1e12 + 1e-2 * X[:, 1]},
            "Column 1 of X varies by .* around 1e.12, .*subtract its mean",
        ),
        ({2: 1e12 * X[:, 2]}, "Column 2 of X varies .* and column [01] by .*StandardScaler"),
        ({0: 0.0 * X[:, 0], 1: 0.0 * X[:, 0], 2: 0.0 * X[:, 0]}, "Every column of X is constant"),
    ],
)
def test_likely_cause_names_columns(columns, words):
    bad = X.copy()
    for d, values in columns.items():
        bad[:, d] = values
    assert re.search(words, likely_cause(bad, Y, NOISE, ONE))


def test_likely_cause_near_the_end_of_float32():
    large = (1e36 * X).astype("f4")
    assert likely_cause(large, Y, NOISE, ONE) == ""
    large[:, 0] = X[:, 0]
    assert "column 0 by" in likely_cause(large, Y, NOISE, ONE)


def test_likely_cause_names_contradictions_without_noise():
    rows, targets = np.vstack([X, X]), np.vstack([Y, -Y])
    found = likely_cause(rows, targets, np.tile(TINY, 2), np.ones(60))
    assert found.startswith("Equal rows of X have different y") and "alpha" in found


def test_likely_cause_names_next_to_no_noise():
    found = likely_cause(X, Y, np.where(np.arange(30) == 4, 1e-300, 1.0), ONE)
    assert found.startswith("The noise allowed") and "1e-300 of the variance of y" in found


def test_likely_cause_names_weights_further_apart_than_numbers_tell():
    weights = np.where(np.arange(30) == 4, 1e-9, 1.0)
    assert likely_cause(X, Y, NOISE, weights) == ""
    found = likely_cause(X, Y, NOISE, weights, "float32")
    assert found.startswith("sample_weight goes from 1e-09 to 1")


def test_likely_cause_names_columns_too_small_for_float32():
    assert likely_cause(1e-37 * X, Y, NOISE, ONE) == ""
    assert "next to nothing in float32" in likely_cause(1e-37 * X, Y, NOISE, ONE, "float32")


def test_a_fit_that_cannot_begin_names_the_cause():
    wide = X * [1.0, 1.0, 1e100]
    model = GaussianProcessRegressor(DotProduct() ** 2)  # 1e400 is infinite
    with pytest.raises(np.linalg.LinAlgError, match="Column 2 of X .*StandardScaler.* Otherwise"):
        model.fit(wide, Y[:, 0])


def test_no_cause_is_looked_for_where_training_went_on(monkeypatch):
    def fails(*arguments):
        raise AssertionError("all rows were read for a sentence that nobody sees")

    monkeypatch.setattr(messages, "likely_cause", fails)
    assert GaussianProcessRegressor().fit(X, Y[:, 0]).converged_
    with pytest.warns(ConvergenceWarning, match="max_iter=1, before"):
        GaussianProcessRegressor(max_iter=1).fit(X, Y[:, 0])


# --- digits that were lost before fit ------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e5])
@pytest.mark.parametrize("ratio, lost", [(0, 0), (1e2, 0), (1e4, 0), (1e6, 1), (1e7, 1)])
def test_lost_to_float32_names_columns_whose_digits_are_gone(scale, ratio, lost):
    column = scale * (ratio + np.random.RandomState(0).randn(200))
    X = np.stack([np.ones(200), column, np.full(200, 1e9)], 1)
    found = lost_to_float32(X.astype(np.float32))
    assert found.startswith("Column 1 of X came as float32") == lost
    assert not found or "subtract its mean before converting it, or pass float64" in found
    assert lost_to_float32(X) == ""


# --- a fit that is of no use -------------------------------------------------


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


@pytest.mark.parametrize("N", [15, 120])
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
    assert f"parameter {name} is close to the specified {side}." in message
    assert "Set the bounds of the kernel" in message


@pytest.mark.parametrize("level", [1e-6, 1e-3])
def test_noise_that_is_fixed_is_at_no_bound(level):
    kernel = 1.0 * RBF(0.2) + WhiteKernel(level, "fixed")
    y = np.sin(8.0 * T[:, 0]) + 0.3 * np.random.RandomState(0).randn(len(T))
    message = warned(GaussianProcessRegressor(kernel, random_state=0), T, y)
    assert "is far less than y scatters" in message
    assert "Raise it, or give k2__noise_level bounds to learn it" in message
    assert "parameter k2__noise_level is close" not in message


def test_the_column_of_a_length_scale_at_its_bound_is_named():
    rng = np.random.RandomState(0)
    X = rng.rand(60, 2)
    message = warned(GaussianProcessRegressor(1.0 * RBF([1.0, 1.0])), X, np.sin(6.0 * X[:, 0]))
    assert "dimension 1 of parameter k2__length_scale is close to the specified upper" in message


def test_the_default_kernel_is_silent_at_its_bounds():
    rng = np.random.RandomState(0)
    X = rng.rand(60, 2)
    model = silent(GaussianProcessRegressor(), X, np.sin(6.0 * X[:, 0]))
    assert model.kernel_.k2.length_scale[1] > 100.0
