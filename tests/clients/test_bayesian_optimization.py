"""bayesian-optimization with our regressor in place of scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest

bayes_opt = pytest.importorskip("bayes_opt")

from bayes_opt import acquisition, bayesian_optimization  # noqa: E402
from clients.branin import BOUNDS, LEAST, branin  # noqa: E402
from sklearn.gaussian_process.kernels import Matern  # noqa: E402

from skgpng import GaussianProcessRegressor  # noqa: E402
from skgpng._training.stages import n_compiled  # noqa: E402


@pytest.fixture
def swapped(monkeypatch):
    """Only the import changes."""
    monkeypatch.setattr(bayesian_optimization, "GaussianProcessRegressor", GaussianProcessRegressor)


def test_the_least_of_branin_in_thirty_calls(swapped):
    optimizer = bayes_opt.BayesianOptimization(
        lambda x, y: -branin(x, y),
        BOUNDS,
        acquisition_function=acquisition.ExpectedImprovement(xi=0.0),
        random_state=1,
        verbose=0,
    )
    optimizer.set_gp_params(kernel=1.0 * Matern([3.0, 3.0], nu=2.5), n_restarts_optimizer=0)
    optimizer.maximize(init_points=5, n_iter=25)
    assert len(optimizer.space) == 30
    assert -optimizer.max["target"] - LEAST < 0.01
    gp = optimizer._gp
    assert type(gp) is GaussianProcessRegressor and len(gp.X_train_) == 29  # of the last suggestion


def test_its_own_kernel_is_learned_and_compiled_once(swapped):
    """A subclass of Matern that transforms X, here to whole numbers in one column."""
    optimizer = bayes_opt.BayesianOptimization(
        None, {"x": (-5.0, 10.0), "y": (0, 15, int)}, random_state=2, verbose=0
    )
    rng, compiled = np.random.RandomState(0), set()
    for k in range(4):
        x, y = rng.uniform(-5.0, 10.0), rng.randint(16)
        optimizer.register({"x": x, "y": y}, -branin(x, y))
        if k:
            optimizer._gp.fit(optimizer.space.params, optimizer.space.target)
            compiled.add(n_compiled())
    assert len(compiled) == 1
    gp = optimizer._gp
    assert gp.kernel_.length_scale != gp.kernel.length_scale
    between = gp.predict(np.array([[1.0, 2.9], [1.0, 3.0], [1.0, 3.1]]), return_std=True)
    for values in between:
        np.testing.assert_allclose(values, values[1], rtol=1e-9)
    near = optimizer.suggest()
    assert near["y"] == int(near["y"])
