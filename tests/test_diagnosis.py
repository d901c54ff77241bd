"""Causes in the data that a failed training names."""

from __future__ import annotations

import re

import numpy as np
import pytest
from skgpng._diagnosis import likely_cause, lost_to_float32
from sklearn.exceptions import ConvergenceWarning

from skgpng import GaussianProcessRegressor, _base
from skgpng._training.result import NON_FINITE, Result

RNG = np.random.RandomState(8)
X, Y, ONE = RNG.randn(30, 3), RNG.randn(30, 1), np.ones(30)
NOISE, TINY = ONE, np.full(30, 1e-11)


def test_nothing_to_blame():
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
def test_columns(columns, words):
    bad = X.copy()
    for d, values in columns.items():
        bad[:, d] = values
    assert re.search(words, likely_cause(bad, Y, NOISE, ONE))


def test_columns_near_the_end_of_float32():
    large = (1e36 * X).astype("f4")
    assert likely_cause(large, Y, NOISE, ONE) == ""
    large[:, 0] = X[:, 0]
    assert "column 0 by" in likely_cause(large, Y, NOISE, ONE)


def test_contradictions_without_noise():
    rows, targets = np.vstack([X, X]), np.vstack([Y, -Y])
    found = likely_cause(rows, targets, np.tile(TINY, 2), np.ones(60))
    assert found.startswith("Equal rows of X have different y") and "alpha" in found


def test_next_to_no_noise():
    found = likely_cause(X, Y, np.where(np.arange(30) == 4, 1e-300, 1.0), ONE)
    assert found.startswith("The noise allowed") and "1e-300 of the variance of y" in found


def test_weights_further_apart_than_the_numbers_tell():
    weights = np.where(np.arange(30) == 4, 1e-9, 1.0)
    assert likely_cause(X, Y, NOISE, weights) == ""
    found = likely_cause(X, Y, NOISE, weights, "float32")
    assert found.startswith("sample_weight goes from 1e-09 to 1")


def test_columns_too_small_for_float32():
    assert likely_cause(1e-37 * X, Y, NOISE, ONE) == ""
    assert "next to nothing in float32" in likely_cause(1e-37 * X, Y, NOISE, ONE, "float32")


def test_a_fit_that_cannot_begin_names_the_cause(monkeypatch):
    def fails(structure, parameters, *others):
        return Result(parameters.values, (), np.zeros(0), NON_FINITE)

    def fails(structure, parameters, q, *others, **settings):
        return training.Result(parameters.values, q, np.zeros(0), np.int32(NON_FINITE))

    monkeypatch.setattr(training, "train", fails)
    wide = X * [1.0, 1.0, 1e12]
    with pytest.raises(np.linalg.LinAlgError, match="Column 2 of X .*StandardScaler.* Otherwise"):
        GaussianProcessRegressor().fit(wide, Y[:, 0])


def test_no_cause_is_looked_for_where_training_went_on(monkeypatch):
    def fails(*arguments):
        raise AssertionError("all rows were read for a sentence that nobody sees")

    monkeypatch.setattr(_base, "likely_cause", fails)
    assert GaussianProcessRegressor().fit(X, Y[:, 0]).converged_
    with pytest.warns(ConvergenceWarning, match="max_iter=1, before"):
        GaussianProcessRegressor(max_iter=1).fit(X, Y[:, 0])


# --- digits that were lost before fit ------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e5])
@pytest.mark.parametrize("ratio, lost", [(0, 0), (1e2, 0), (1e4, 0), (1e6, 1), (1e7, 1)])
def test_columns_that_came_as_float32(scale, ratio, lost):
    column = scale * (ratio + np.random.RandomState(0).randn(200))
    X = np.stack([np.ones(200), column, np.full(200, 1e9)], 1)
    found = lost_to_float32(X.astype(np.float32))
    assert found.startswith("Column 1 of X came as float32") == lost
    assert not found or "subtract its mean before converting it, or pass float64" in found
    assert lost_to_float32(X) == ""
