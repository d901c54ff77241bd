"""Causes in the data that a failed training names."""

from __future__ import annotations

import re

import numpy as np
import pytest

from skgpng import GaussianProcessRegressor
from skgpng._diagnosis import likely_cause

RNG = np.random.RandomState(8)
X, Y, NOISE = RNG.randn(30, 3), RNG.randn(30, 1), np.ones(30)


def test_nothing_to_blame():
    assert likely_cause(X, Y, NOISE) == ""
    assert likely_cause(X, Y, np.full(30, 1e-12)) == ""
    twice = np.vstack([X, X])
    assert likely_cause(twice, np.vstack([Y, Y]), np.full(60, 1e-12)) == ""
    assert likely_cause(twice, np.vstack([Y, -Y]), np.ones(60)) == ""


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
    assert re.search(words, likely_cause(bad, Y, NOISE))


def test_contradictions_without_noise():
    found = likely_cause(np.vstack([X, X]), np.vstack([Y, -Y]), np.full(60, 1e-12))
    assert found.startswith("Equal rows of X have different y") and "alpha" in found


def test_a_fit_that_cannot_begin_names_the_cause(monkeypatch):
    from skgpng import training
    from skgpng.structures import NON_FINITE

    def fails(structure, theta, q, *others, **settings):
        return training.Result(theta, q, np.zeros(0), np.int32(NON_FINITE))

    monkeypatch.setattr(training, "train", fails)
    wide = X * [1.0, 1.0, 1e12]
    with pytest.raises(np.linalg.LinAlgError, match="Column 2 of X .*StandardScaler.* Otherwise"):
        GaussianProcessRegressor().fit(wide, Y[:, 0])
