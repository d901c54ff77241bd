from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skgpng._estimator import base, plan
from skgpng._estimator.base import BaseGaussianProcess
from skgpng._estimator.tuning import TUNING


@pytest.fixture(autouse=True)
def quiet_convergence(request):
    """Most tests train for a few steps only; those that are about warnings say so in their name."""
    if "warning" in request.node.name:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@pytest.fixture(autouse=True)
def on_device():
    """With SKGPNG_TEST_DEVICE ("gpu") training runs there, in float64, where a test says nothing.

    examples/benchmarks/on_gpu.py runs the tests of the estimators so.
    """
    device = os.environ.get("SKGPNG_TEST_DEVICE")
    if not device:
        yield
        return
    places, precision_on = base.places, plan.precision_on

    def in_float64(place, dtype, *others):
        return precision_on(place, "float64" if dtype == "auto" else dtype, *others)

    with pytest.MonkeyPatch.context() as patch:  # not the tests' own, which others undo late
        patch.setattr(base, "places", lambda asked: places(asked or device))
        patch.setattr(plan, "precision_on", in_float64)
        yield


@pytest.fixture
def rows():
    """Sixty rows of two columns, and a noisy sine of the first."""
    rng = np.random.RandomState(0)
    X = rng.uniform(-2.0, 2.0, (60, 2))
    return X, np.sin(2.0 * X[:, 0]) + 0.3 * X[:, 1] + 0.1 * rng.randn(60)


@pytest.fixture
def codes(rows):
    """The same rows in three classes 0, 1, 2 of equal numbers."""
    X, _ = rows
    score = X[:, 0] + 0.5 * X[:, 1]
    return X, np.searchsorted(np.quantile(score, [1 / 3, 2 / 3]), score)


@pytest.fixture
def tuned(monkeypatch):
    """``tuned(chunk=10)`` sets measured constants of ``skgpng._estimator.tuning.Tuning``."""

    def tune(**changes):
        monkeypatch.setattr(BaseGaussianProcess, "_tuning", TUNING._replace(**changes))

    return tune


@pytest.fixture
def watched(monkeypatch):
    """``watched(monitor, ...)``: every training of an estimator calls these monitors."""

    def watch(*monitors):
        monkeypatch.setattr(
            BaseGaussianProcess, "_callback_monitor", lambda self, plan, callbacks: list(monitors)
        )

    return watch
