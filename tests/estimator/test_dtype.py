"""dtype, and rows stored in float32: what users see."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor, inducing

SETTINGS = {
    "kernel": ConstantKernel(1.0) * RBF(1.0),
    "n_inducing": 10,
    "max_iter": 30,
    "random_state": 0,
}
BATCHES = {"collapsed": {}, "minibatch": {"batch_size": 100}, "classifier": {}}
kinds = pytest.mark.parametrize("kind", BATCHES)


@pytest.fixture(scope="module")
def many_rows():
    """Five hundred float32 numbers, so that both types hold the same."""
    rng = np.random.RandomState(32)
    X = rng.uniform(-3, 3, (500, 2)).astype(np.float32)
    return X, 5.0 + 2.0 * np.sin(X[:, 0].astype(float)) + 0.3 * rng.randn(500)


def fit(kind, X, y, X_dtype="float32", **settings):
    cls = GaussianProcessClassifier if kind == "classifier" else GaussianProcessRegressor
    y = np.digitize(y, [4.0, 6.0]) if kind == "classifier" else y
    settings = {**SETTINGS, **BATCHES[kind], **settings}
    return cls(**settings).fit(X.astype(X_dtype, copy=False), y)


def outputs(model, X):
    """What it predicts."""
    if hasattr(model, "predict_proba"):
        return [model.predict_proba(X)]
    return [*model.predict(X, return_std=True)]


@kinds
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_float32_rows_predict_as_float64_rows(kind, dtype, many_rows):
    single = fit(kind, *many_rows, dtype=dtype)
    double = fit(kind, *many_rows, "float64")
    X = many_rows[0][:200]
    # Rows in float32 differ in nothing but how k-means rounds. Covariances in float32 steer thirty
    # steps of training a little aside; y has a standard deviation of 1.4.
    atol = 1e-6 if dtype == "float64" else 5e-3
    for a, b in zip(outputs(single, X), outputs(double, X.astype(float)), strict=True):
        assert a.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)
    for a, b in zip(outputs(double, X), outputs(double, X.astype(float)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)  # what is fitted takes either type


@kinds
def test_float32_rows_are_not_copied_to_float64(kind, many_rows, monkeypatch):
    monkeypatch.setattr(inducing, "_MAX_ROWS", 100)  # means are taken in blocks of 20,000 rows
    # wide rows, so that they outweigh all else
    X = np.random.RandomState(33).randn(10_000, 200).astype(np.float32)
    y = 5.0 + 2.0 * X[:, 0].astype(float)
    settings = {"kernel": None, "inducing_init": "random", "max_iter": 2}
    # without these rows, so that the first fit of a process imports and compiles elsewhere
    fit(kind, *many_rows, **settings)
    tracemalloc.start()
    try:
        fit(kind, X, y, **settings)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # two copies in float32 while points are chosen, of the rows with a weight and of the distinct
    # ones, then one and the quarter that training begins with; one in float64 would make it three
    assert peak < 2.75 * X.nbytes


@pytest.mark.parametrize("kind", ["collapsed", "classifier"])
def test_float32_means_nothing_to_exact_models(kind, many_rows):
    X, y = (a[:60] for a in many_rows)
    one, other = (
        fit(kind, X, y, n_inducing=None, max_iter=5, dtype=dtype)
        for dtype in ("float64", "float32")
    )
    np.testing.assert_array_equal(one.elbo_curve_, other.elbo_curve_)
    for a, b in zip(outputs(one, X), outputs(other, X), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", ["collapsed", "classifier"])
@pytest.mark.parametrize("dtype", ["float16", np.float32, None, 32])
def test_dtype_is_checked(kind, dtype, many_rows):
    with pytest.raises(ValueError, match="The 'dtype' parameter of"):
        fit(kind, *many_rows, dtype=dtype)
