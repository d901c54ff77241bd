from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from estimator.cases import MODELS
from sklearn.base import clone
from sklearn.datasets import load_iris

from skgpng._estimator import fitting
from skgpng._training import stages
from skgpng._training.result import Result
from skgpng.parameters import Parameters


@pytest.fixture
def ordered():
    """Sixty rows in the order in which few are trained on, y with a level and a unit."""
    rng = np.random.RandomState(0)
    X = rng.uniform(-3, 3, (60, 2))
    X = X[np.argsort(X[:, 0])]
    return X, 5.0 + 2.0 * np.sin(X[:, 0]) + 0.3 * rng.randn(60)


@pytest.fixture
def two(ordered):
    """Two classes of the same rows, noisy."""
    X, _ = ordered
    noise = np.random.RandomState(1).randn(60)
    return X, np.where(X[:, 0] + X[:, 1] + noise > 0, "yes", "no")


@pytest.fixture
def three():
    """Three classes: every other iris by the lengths of its leaves."""
    X, y = load_iris(return_X_y=True)
    table = np.unique(np.column_stack([X[::2, [0, 2]], y[::2]]), axis=0)  # equal rows are merged
    X, y = table[:, :2], table[:, 2].astype(int)
    return X, np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.fixture
def model_and_data(request, name):
    """A model of ``estimator.cases.MODELS``, X and y."""
    data, model = MODELS[name]
    return clone(model), *request.getfixturevalue(data)


@pytest.fixture
def split(monkeypatch):
    """The rows (trained on, held out) of the last fit."""
    seen = {}

    def remember(*arguments, original=fitting.train_test_split, **settings):
        seen["train"], seen["held_out"] = map(np.sort, original(*arguments, **settings))
        return seen["train"], seen["held_out"]

    monkeypatch.setattr(fitting, "train_test_split", remember)
    return seen


@pytest.fixture
def callbacks():
    """scikit-learn's callbacks, where it has them."""
    return pytest.importorskip("sklearn.callback")


class Training(NamedTuple):
    """What ``stages.train`` got and gave."""

    parameters: Parameters
    stages: list
    result: Result


@pytest.fixture
def trainings(monkeypatch):
    """Every training of the test's estimators, in order."""
    seen = []

    def train(structure, parameters, all_stages, *others, original=stages.train):
        result = original(structure, parameters, all_stages, *others)
        seen.append(Training(parameters, all_stages, result))
        return result

    monkeypatch.setattr(stages, "train", train)
    return seen
