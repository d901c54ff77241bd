"""Tensors: the few operations whose gradients matter, inverses, and formulas for both algebras."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from derivatives import assert_gradients, gradients

from skgpng import _linalg as linalg
from skgpng._linalg import Arrays, Tensors, tensors
from skgpng._runtime import tf


@pytest.fixture
def rng():
    return np.random.RandomState(0)


# --- diagonals -------------------------------------------------------------------------------


@pytest.mark.parametrize("diagonal", [np.array([1.0, 2.0, 3.0]), 0.3], ids=["vector", "number"])
@pytest.mark.parametrize("batch", [(), (2,)], ids=["matrix", "batch"])
def test_add_to_diagonal(rng, diagonal, batch):
    K = rng.randn(*batch, 3, 3)
    expected = K + diagonal * np.eye(3)
    np.testing.assert_allclose(linalg.add_to_diagonal(K, diagonal), expected, rtol=1e-15)


@pytest.mark.parametrize("diagonal", [np.array([1.0, 2.0, 3.0]), 0.3], ids=["vector", "number"])
def test_add_to_diagonal_gradient(rng, diagonal):
    assert_gradients(linalg.add_to_diagonal, [rng.randn(3, 3), diagonal], rng.randn(3, 3))


def test_shift_diagonal(rng):
    K, G = rng.randn(2, 3, 3), rng.randn(2, 3, 3)
    np.testing.assert_allclose(linalg.shift_diagonal(K, 0.3), K + 0.3 * np.eye(3), rtol=1e-15)
    K_bar, shift_bar = gradients(linalg.shift_diagonal, [K, 0.3], G)
    np.testing.assert_array_equal(K_bar, G)
    assert shift_bar == 0.0  # a number that is no parameter


@pytest.mark.parametrize("unit", [None, 3.0], ids=["mean", "unit"])
def test_add_jitter_is_in_proportion(rng, unit):
    K = reference.random_covariance(rng, 3)
    size = np.diag(K).mean() if unit is None else unit
    found = linalg.add_jitter(K, 0.1, unit)
    np.testing.assert_allclose(found, K + 0.1 * size * np.eye(3), rtol=1e-15)
    assert_gradients(lambda K: linalg.add_jitter(K, 0.1, unit), [K], rng.randn(3, 3))


@pytest.mark.parametrize("shape", [(1, 4), (4, 1), (3, 4)])
def test_swap_axes(rng, shape):
    X = rng.randn(*shape)
    np.testing.assert_array_equal(linalg.swap_axes(tf.constant(X)), X.T)


def test_lower_half(rng):
    X = rng.randn(2, 4, 4)
    found = linalg.Tensors.lower_half(X)
    np.testing.assert_allclose(found, np.tril(X) - 0.5 * X * np.eye(4), rtol=1e-15)


def test_phi_undoes_the_symmetric_part(rng):
    S = reference.random_covariance(rng, 4)
    half = linalg.Tensors.lower_half(S).numpy()
    np.testing.assert_allclose(half + half.T, S, rtol=1e-15)


# --- inverses --------------------------------------------------------------------------------


@pytest.mark.parametrize("lower", [True, False])
def test_triangular_inverse(rng, lower):
    L = np.linalg.cholesky(reference.random_covariance(rng, 5, (3,)))
    L = L if lower else np.swapaxes(L, 1, 2)
    np.testing.assert_allclose(
        linalg.triangular_inverse(L, lower=lower), np.linalg.inv(L), atol=1e-12
    )


@pytest.mark.parametrize("size", [7, tensors._LAPACK_FROM], ids=["tensorflow", "lapack"])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
def test_inverse_and_log_determinant(rng, size, compiled):
    K = reference.random_covariance(rng, size)
    before = K.copy()
    function = linalg.inverse_and_log_determinant
    if compiled:
        specification = [tf.TensorSpec([None, None], tf.float64)]
        function = tf.function(function, input_signature=specification, autograph=False)
    inverse, log_determinant = function(K)
    np.testing.assert_allclose(inverse, np.linalg.inv(K), atol=1e-11)
    np.testing.assert_array_equal(inverse, np.transpose(inverse))
    np.testing.assert_allclose(log_determinant, np.linalg.slogdet(K)[1], rtol=1e-12)
    np.testing.assert_array_equal(K, before)  # LAPACK works in place on its copy only


@pytest.mark.parametrize("size", [7, tensors._LAPACK_FROM], ids=["tensorflow", "lapack"])
@pytest.mark.parametrize("entry", [-1.0, np.nan], ids=["indefinite", "nan"])
def test_inverse_of_a_matrix_that_is_not_positive_definite_is_nan(size, entry):
    K = np.eye(size)
    K[3, 3] = entry
    inverse, log_determinant = linalg.inverse_and_log_determinant(K)
    assert np.isnan(inverse).any()
    assert np.isnan(log_determinant)


# --- whole formulas --------------------------------------------------------------------------


def formula(algebra, A, b):
    return algebra.matmul(A, A, transpose_b=True), algebra.total(b, None)


either_algebra = pytest.mark.parametrize("blas", [False, True], ids=["tensors", "blas"])


@either_algebra
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
def test_run(rng, blas, compiled):
    A, b = rng.randn(4, 6), rng.randn(4)

    def call(A, b):
        square, total = linalg.run(blas, formula, [A, b], [(A.dtype, [4, 4]), (b.dtype, [])])
        assert square.shape == [4, 4] and total.shape == []  # known before anything runs
        return square, total

    if compiled:
        call = tf.function(call, autograph=False)
    square, total = call(tf.constant(A), tf.constant(b))
    np.testing.assert_allclose(square, A @ A.T, rtol=1e-13)
    np.testing.assert_allclose(total, b.sum(), rtol=1e-13)


@either_algebra
def test_run_of_a_single_result(rng, blas):
    A = rng.randn(4, 6)
    found = linalg.run(blas, lambda algebra, A: (algebra.transpose(A),), [A], [(A.dtype, [6, 4])])
    assert isinstance(found, tuple)
    np.testing.assert_array_equal(found[0], A.T)


@either_algebra
def test_run_finds_out_types_and_shapes(rng, blas):
    A = tf.constant(rng.randn(4, 6), tf.float32)
    (found,) = linalg.run(blas, lambda algebra, A: (algebra.double(algebra.transpose(A)),), [A])
    assert found.dtype == tf.float64 and found.shape == [6, 4]


@pytest.mark.parametrize("algebra", [Arrays, Tensors])
@pytest.mark.parametrize("n", [1, 3], ids=["one matrix", "one each"])
def test_columnwise(rng, algebra, n):
    matrices, vectors = rng.randn(n, 4, 4), rng.randn(4, 3)
    found = linalg.columnwise(algebra, algebra.matmul, matrices, vectors)
    expected = [matrices[k % n] @ vectors[:, k] for k in range(3)]
    np.testing.assert_allclose(found, np.stack(expected, 1), rtol=1e-13)
