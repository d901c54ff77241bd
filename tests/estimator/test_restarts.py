"""The starts of ``n_restarts_optimizer`` and which of them is kept."""

from __future__ import annotations

import numpy as np
import pytest
from estimator.cases import regressor, some_models
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from skgpng import GaussianProcessRegressor


@pytest.fixture
def ripples():
    """A function with an optimum for a long length scale, where all is noise."""
    X = np.linspace(0, 1, 40)[:, None]
    return X, np.sin(25.0 * X[:, 0]) + 0.1 * np.random.RandomState(0).randn(40)


def test_restarts_escape_a_bad_optimum(ripples):
    model = GaussianProcessRegressor(
        RBF(10.0, (1e-2, 1e2)), n_inducing=None, random_state=0, max_iter=150
    )
    stuck = clone(model).fit(*ripples)
    assert stuck.score(*ripples) < 0.3
    free = clone(model).set_params(n_restarts_optimizer=4).fit(*ripples)
    assert free.score(*ripples) > 0.95
    assert free.elbo_ > stuck.elbo_ + 10.0
    again = clone(model).set_params(n_restarts_optimizer=4).fit(*ripples)
    np.testing.assert_array_equal(again.elbo_curve_, free.elbo_curve_)


@some_models
def test_restarts_are_never_worse(model_and_data):
    model, X, y = model_and_data
    model.set_params(max_iter=25)
    once = clone(model).fit(X, y)
    more = clone(model).set_params(n_restarts_optimizer=2).fit(X, y)
    assert more.elbo_ >= once.elbo_


def test_restarts_are_judged_by_the_held_out_score(ordered):
    X, y = ordered
    model = regressor(n_inducing=None, early_stopping=True, max_iter=25)
    once = clone(model).fit(X, y)
    more = clone(model).set_params(n_restarts_optimizer=3).fit(X, y)
    assert more.validation_scores_.max() >= once.validation_scores_.max()


def test_restarts_need_finite_bounds_and_say_so_before_training(ordered, watched):
    watched(lambda result: pytest.fail("training began"))
    kernel = ConstantKernel(1.0) * RBF(1.0, (1e-2, np.inf))
    model = GaussianProcessRegressor(kernel, n_restarts_optimizer=2)
    with pytest.raises(ValueError, match="n_restarts_optimizer=2.*bounds are finite, and positive"):
        model.fit(*ordered)


def test_restarts_keep_what_is_fixed(ordered):
    kernel = ConstantKernel(0.7, "fixed") * RBF(1.0)
    model = GaussianProcessRegressor(kernel, alpha=0.1, n_restarts_optimizer=3, max_iter=10)
    model.fit(*ordered)
    assert model.kernel_.k1.constant_value == pytest.approx(0.7, rel=1e-12)
    assert model.noise_variance_ == pytest.approx(0.1, rel=1e-12)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("start", [0.1, 1e-30])
def test_restarts_survive_a_start_that_cannot_be_factorised(ordered, early_stopping, start):
    # Every row is there twice but for the last digits (equal rows would be merged), so that
    # without noise the kernel matrix is singular.
    X, y = (np.concatenate([part, part * (1.0 + 1e-13)]) for part in ordered)
    kernel = ConstantKernel(1.0, (0.5, 2.0)) * RBF(1.0, (0.5, 2.0))
    kernel += WhiteKernel(start, (1e-30, 1.0))
    settings = dict(n_inducing=None, early_stopping=early_stopping, max_iter=40, random_state=0)
    model = GaussianProcessRegressor(kernel, n_restarts_optimizer=5, **settings)
    assert model.fit(X, y).score(X, y) > 0.8
    if start == 1e-30:
        # free noise would begin where it is better than none
        kernel.k2.set_params(noise_level_bounds="fixed")
        model.set_params(kernel=kernel, n_restarts_optimizer=0).fit(X, y)
        assert 0.0 < model.jitter_ <= 1e-8
        assert model.score(X, y) > 0.8
