"""Fits that cost next to nothing, made once: hyperparameters stay where they are set."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from sklearn.gaussian_process.kernels import RBF

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor

mpl.use("Agg")

RNG = np.random.RandomState(0)
FRAME = pd.DataFrame(
    {
        "depth": RNG.uniform(0.0, 4.0, 60),
        "age": RNG.randint(20, 60, 60),
        "weight": RNG.uniform(2.0, 3.0, 60),
    }
)
Y = pd.Series(np.sin(FRAME["depth"]) + 0.02 * FRAME["age"] + 0.1 * RNG.randn(60), name="height, m")
KERNEL = 1.0 * RBF([1.0, 20.0, 1.0])
STILL = {"optimizer": None, "random_state": 0}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture(scope="session")
def frame():
    return FRAME


@pytest.fixture(scope="session")
def y():
    return Y


@pytest.fixture(scope="session")
def labels():
    """Three classes, named."""
    return np.array(["low", "mid", "top"])[np.digitize(FRAME["depth"], [1.0, 3.0])]


@pytest.fixture(scope="session")
def exact():
    return GaussianProcessRegressor(KERNEL, alpha=0.01, n_inducing=None, **STILL).fit(FRAME, Y)


@pytest.fixture(scope="session")
def sparse():
    return GaussianProcessRegressor(KERNEL, alpha=0.01, n_inducing=7, **STILL).fit(FRAME, Y)


@pytest.fixture(scope="session")
def near():
    return GaussianProcessRegressor(KERNEL, alpha=0.01, n_neighbors=10, **STILL).fit(FRAME, Y)


@pytest.fixture(scope="session")
def counts():
    return np.random.RandomState(1).poisson(np.exp(Y))


@pytest.fixture(scope="session")
def poisson(counts):
    model = GaussianProcessRegressor(KERNEL, likelihood="poisson", **STILL)
    return model.fit(FRAME, counts)


@pytest.fixture(scope="session")
def two_targets():
    both = pd.DataFrame({"up": Y, "down": -2.0 * Y})
    return GaussianProcessRegressor(KERNEL, **STILL).fit(FRAME, both), both


@pytest.fixture(scope="session")
def classifier(labels):
    return GaussianProcessClassifier(KERNEL, **STILL).fit(FRAME, labels)


@pytest.fixture(scope="session")
def two_classes(labels):
    return GaussianProcessClassifier(KERNEL, **STILL).fit(FRAME, labels == "top")
