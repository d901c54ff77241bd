from __future__ import annotations

import warnings

import pytest
from sklearn.exceptions import ConvergenceWarning


@pytest.fixture(autouse=True)
def quiet_convergence(request):
    """Most tests train for a few steps only; those that are about warnings say so in their name."""
    if "warning" in request.node.name:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
