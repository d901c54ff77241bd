"""Rows far from zero: digits that float32 and linear kernels would lose."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    WhiteKernel,
)

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
from skgpng.inducing import is_far_from_zero

RNG = np.random.RandomState(0)

# --- far from zero: stationary kernels ------------------------------------------------------------

TIMES = np.linspace(0.0, 86400.0, 200)
WAVE = np.sin(TIMES / 3000.0)


@pytest.mark.parametrize("origin", [0.0, 2000.0 * 86400, 1.7e9, -1e10])
@pytest.mark.parametrize("stored", ["float64", "float32"])
@pytest.mark.parametrize("batch_size", ["auto", 100])
def test_float32_far_from_zero(origin, stored, batch_size):
    X = (origin + TIMES)[:, None].astype(stored)
    rounded = np.spacing(np.abs(X).max()) / 3000.0 if stored == "float32" else 0.0
    if rounded > 0.1:
        pytest.skip("the digits are gone before fit")
    settings = dict(n_inducing=30, batch_size=batch_size, random_state=0, max_iter=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for dtype in ("float32", "float64"):
            model = GaussianProcessRegressor(dtype=dtype, **settings).fit(X, WAVE)
            assert model.score(X, WAVE) > 0.999 - rounded**2
            # with the default rate the ELBO swings by 100 nats here, wherever X lies
            labels = GaussianProcessClassifier(dtype=dtype, learning_rate=0.03, **settings)
            assert labels.fit(X, WAVE > 0).score(X, WAVE > 0) > 0.95


# --- far from zero: linear kernels ---------------------------------------------------------------


def line(origin):
    rng = np.random.RandomState(0)
    X = origin + 20 * rng.rand(300, 1)
    return X, 2 * (X[:, 0] - origin - 10) + 0.3 * rng.randn(300)


@pytest.mark.filterwarnings("ignore:Training stopped")
@pytest.mark.parametrize("n_inducing", [None, 30])
@pytest.mark.parametrize(
    "origin, sigma_0", [(0, 1), (2000, 1), (2000, 2e3), (1e5, 1e5), (1e6, 1e6)]
)
def test_linear_kernels_far_from_zero(origin, sigma_0, n_inducing):
    X, y = line(origin)
    kernel = DotProduct(sigma_0, (1e-5, 1e7))
    dtypes = ["float64"] if n_inducing is None else ["float64", "float32"]
    for dtype in dtypes:
        settings = dict(n_inducing=n_inducing, dtype=dtype, random_state=0)
        # with all rows, L-BFGS may stop early from a start so far off: 0.993 to 0.998
        model = GaussianProcessRegressor(kernel + WhiteKernel(), **settings).fit(X, y)
        assert model.score(X, y) > (0.999 if n_inducing else 0.98)
        mean, std = model.predict(X, return_std=True)
        assert np.mean(np.abs(y - mean) < 2 * std) > 0.8
        labels = GaussianProcessClassifier(kernel, **settings).fit(X, y > 0)
        assert labels.score(X, y > 0) > 0.98


def test_a_kernel_of_products_far_from_zero():
    X, y = line(2000.0)
    kernel = ConstantKernel(0.1) * DotProduct(1e3) + RBF(3.0) + ConstantKernel(1e4) + WhiteKernel()
    wave = y + 3 * np.sin(X[:, 0])
    for dtype in "float64", "float32":
        model = GaussianProcessRegressor(kernel, n_inducing=30, dtype=dtype, random_state=0)
        assert model.fit(X, wave).score(X, wave) > 0.998


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_far_from_zero(dtype):
    X = RNG.randn(100, 3).astype(dtype)
    one_hot = (RNG.rand(100, 5) < 0.3).astype(dtype)
    bias = np.ones((100, 1), dtype)
    for near in X, 1e5 * X, one_hot, np.hstack([X, bias]):
        assert not is_far_from_zero(near)
    for far in X + 10, np.hstack([1e3 * X, 1e-3 * X + 100]), np.hstack([X, 100 * bias]):
        assert is_far_from_zero(far)


def test_q_starts_where_nodes_of_the_quadrature_see_the_boundary():
    """Any wide prior, not that of a linear kernel only."""
    X, y = line(0.0)
    for variance in 1.0, 1e4, 1e8:
        kernel = ConstantKernel(variance, "fixed") * RBF(10.0, "fixed")
        model = GaussianProcessClassifier(kernel, n_inducing=10, random_state=0).fit(X, y > 0)
        assert model.score(X, y > 0) > 0.98
