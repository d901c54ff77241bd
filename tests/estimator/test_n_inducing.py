"""Training with close inducing points: ``n_inducing`` on a line."""

from __future__ import annotations

import numpy as np
import pytest
from estimator.cases import classifier, log_density


@pytest.mark.parametrize("seed", range(2))
def test_training_with_close_inducing_points_does_not_diverge(seed):
    # 30 points on a line of ten waves: a step of the points must not outrun q
    rng = np.random.RandomState(seed)
    X = np.linspace(0, 12, 240)[:, None]
    y = np.where(np.sin(1.5 * X[:, 0] + seed) + 0.2 * rng.randn(240) > 0, "up", "down")
    exact = classifier(n_inducing=None).fit(X, y)
    sparse = classifier(n_inducing=30).fit(X, y)
    stopped = classifier(n_inducing=30, early_stopping=True).fit(X, y)
    assert sparse.elbo_ > exact.elbo_ - 3.0
    # early stopping trains on a tenth of the rows less
    for model, loss in ((sparse, 0.05), (stopped, 0.1)):
        assert model.converged_
        assert log_density(model, X, y) > log_density(exact, X, y) - loss
