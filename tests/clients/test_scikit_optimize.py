"""scikit-optimize asks and is told, with our regressor as its base estimator."""

from __future__ import annotations

import warnings

import pytest

skopt = pytest.importorskip("skopt")

from clients.branin import BOUNDS, LEAST, branin  # noqa: E402
from sklearn.gaussian_process.kernels import Matern  # noqa: E402

from skgpng import GaussianProcessRegressor  # noqa: E402


def test_the_default_way_of_climbing_is_refused_with_its_remedy():
    optimizer = skopt.Optimizer(
        [*BOUNDS.values()], GaussianProcessRegressor(alpha=1e-6), n_initial_points=2, random_state=0
    )
    with pytest.raises(TypeError, match='set acq_optimizer="sampling"'):
        for _ in range(3):
            point = optimizer.ask()
            optimizer.tell(point, branin(*point))


def test_ask_and_tell():
    regressor = GaussianProcessRegressor(
        1.0 * Matern([1.0, 1.0], nu=2.5), alpha=1e-6, random_state=0
    )
    optimizer = skopt.Optimizer(
        [*BOUNDS.values()],
        regressor,
        n_initial_points=6,
        acq_func="EI",
        acq_optimizer="sampling",  # the other asks for gradients in words of its own
        acq_func_kwargs={"xi": 0.0},
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(28):
            point = optimizer.ask()
            found = optimizer.tell(point, branin(*point))
    assert found.fun - LEAST < 0.1  # it samples 10,000 points and climbs from none
    last = found.models[-1]
    assert type(last) is GaussianProcessRegressor and len(last.X_train_) == 28
