from __future__ import annotations

import numpy as np
import pytest
from machines import machines


@pytest.fixture(scope="session")
def client():
    with machines() as client:
        yield client


@pytest.fixture(scope="session")
def table():
    """1200 rows, too many for equal ones to be merged, and a function of them with noise."""
    rng = np.random.RandomState(0)
    X = rng.uniform(-2, 2, (1200, 2))
    return X, np.sin(2 * X[:, 0]) + X[:, 1] + 0.1 * rng.randn(1200)
