"""Arrays: the numbers of Tensors, in tiles and threads, and no exception."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest
from reference import random_covariance

from skgpng._linalg import Arrays, Tensors, arrays
from skgpng._linalg.threads import BLOCKS
from skgpng._runtime import allowed_threads, tf

BLOCKED = 32 * BLOCKS  # from this size on triangular matrices are cut into blocks


@pytest.fixture
def rng():
    return np.random.RandomState(0)


def lower(rng, M):
    return np.tril(rng.randn(M, M))


def assert_same(operation, *arguments, rtol=1e-10, **named):
    """The operation on tensors and on arrays; gives the latter, with the arguments untouched."""
    before = [np.array(a) for a in arguments]
    array = getattr(Arrays, operation)(*arguments, **named)
    for a, b in zip(arguments, before, strict=True):
        np.testing.assert_array_equal(a, b)
    tensors = [tf.constant(a) if isinstance(a, np.ndarray) else a for a in arguments]
    tensor = getattr(Tensors, operation)(*tensors, **named)
    for a, t in zip(tf.nest.flatten(array), tf.nest.flatten(tensor), strict=True):
        assert a.dtype == t.numpy().dtype and a.shape == t.shape
        size = np.abs(a).max()
        np.testing.assert_allclose(a, t, rtol=rtol, atol=rtol * size, err_msg=operation)
    return array


# --- one operation after the other -----------------------------------------------------------


def test_small_operations(rng):
    X = rng.randn(2, 4, 4)
    single = X.astype(np.float32)
    for axis in (None, 0, 1):
        np.testing.assert_allclose(assert_same("total", X, axis), X.sum(axis), rtol=1e-12)
    assert assert_same("like", X, single).dtype == np.float32
    assert assert_same("double", single).dtype == np.float64
    np.testing.assert_allclose(assert_same("trace", X), [np.trace(x) for x in X], rtol=1e-12)
    np.testing.assert_array_equal(assert_same("transpose", X[0]), X[0].T)
    shifted = assert_same("shift_diagonal", X, 0.3)
    np.testing.assert_allclose(shifted, X + 0.3 * np.eye(4), rtol=1e-15)
    half = assert_same("lower_half", X[0])
    np.testing.assert_allclose(half, np.tril(X[0]) - 0.5 * X[0] * np.eye(4), rtol=1e-15)
    parts = [X[0], X[1]]
    np.testing.assert_array_equal(Arrays.concat(parts, 1), Tensors.concat(parts, 1))


@pytest.mark.parametrize("transposed", ["", "a", "b", "ab"])
def test_matmul(rng, transposed):
    A, B = rng.randn(2, 3, 5, 5)
    named = {f"transpose_{side}": True for side in transposed}
    found = assert_same("matmul", A, B, **named)
    left = np.swapaxes(A, 1, 2) if "a" in transposed else A
    right = np.swapaxes(B, 1, 2) if "b" in transposed else B
    np.testing.assert_allclose(found, np.einsum("lij,ljk->lik", left, right), rtol=1e-11)


@pytest.mark.parametrize("dtype, rtol", [(np.float64, 1e-11), (np.float32, 1e-4)])
@pytest.mark.parametrize("M", [1, 7, BLOCKED - 1, BLOCKED, BLOCKED + 3, 301])
def test_lower_matmul(rng, M, dtype, rtol):
    L, B = lower(rng, M).astype(dtype), rng.randn(M, 11).astype(dtype)
    found = assert_same("lower_matmul", L, B, rtol=rtol)
    expected = L.astype(float) @ B
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * np.abs(expected).max())
    fortran = Arrays.lower_matmul(np.asfortranarray(L), B[:, ::2])
    np.testing.assert_allclose(fortran, found[:, ::2], rtol=rtol, atol=rtol * np.abs(found).max())


@pytest.mark.parametrize("L", [1, 3])
@pytest.mark.parametrize("M", [6, 200], ids=["small", "threads"])
def test_square_matmul(rng, M, L):
    A, B = rng.randn(2, L, M, M)
    expected = np.einsum("lij,ljk->lik", A, B)
    found = assert_same("square_matmul", A, B)
    np.testing.assert_allclose(found, expected, atol=1e-11 * M)
    # one matrix from the left for all of the right
    np.testing.assert_allclose(Arrays.square_matmul(A[0], B), A[0] @ B, atol=1e-11 * M)


@pytest.mark.parametrize("M", [1, 7, 150])
def test_products_with_triangles(rng, M):
    L, X, (A, B) = lower(rng, M), lower(rng, M), rng.randn(2, 3, M, M)
    tolerance = {"rtol": 1e-11, "atol": 1e-11 * M}
    found = assert_same("transposed_lower_matmul", L, A)
    np.testing.assert_allclose(found, L.T @ A, **tolerance)
    np.testing.assert_allclose(assert_same("congruence", L, X), L.T @ X @ L, **tolerance)
    expected = np.tril((A @ B).sum(0))
    for algebra in (Arrays, Tensors):
        found = np.tril(np.asarray(algebra.lower_of_products(A, B)))
        np.testing.assert_allclose(found, expected, **tolerance)


@pytest.mark.parametrize("M", [1, 6, 150])
def test_lower_inverse(rng, M):
    K = random_covariance(rng, M)
    found = assert_same("lower_inverse", K)
    np.testing.assert_allclose(found @ K @ found.T, np.eye(M), atol=1e-11)
    np.testing.assert_array_equal(np.triu(found, 1), 0.0)


@pytest.mark.parametrize("L", [1, 3])
@pytest.mark.parametrize("M", [1, 6, 150])
def test_inverse_and_log_determinant(rng, M, L):
    K = random_covariance(rng, M, (L,))
    inverse, log_determinant = assert_same("inverse_and_log_determinant", K)
    np.testing.assert_allclose(inverse @ K, np.stack([np.eye(M)] * L), atol=1e-11)
    np.testing.assert_array_equal(inverse, np.swapaxes(inverse, 1, 2))
    np.testing.assert_allclose(log_determinant, np.linalg.slogdet(K)[1], rtol=1e-11)


@pytest.mark.parametrize("signs", ["negative", "positive", "mixed", "zero"])
@pytest.mark.parametrize("L", [1, 3])
@pytest.mark.parametrize("dtype, rtol", [(np.float64, 1e-10), (np.float32, 1e-4)])
def test_gram(rng, signs, L, dtype, rtol):
    A, size = rng.randn(5, 40).astype(dtype), rng.uniform(0.1, 2.0, (L, 40))
    sign = {"negative": -1.0, "positive": 1.0, "mixed": np.sign(rng.randn(L, 40)), "zero": 0.0}
    weights = (sign[signs] * size).astype(dtype)
    weights[:, 3] = 0.0
    found = assert_same("gram", A, weights, rtol=rtol)
    expected = np.einsum("in,ln,jn->lij", A, weights, A)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=100 * rtol)


# --- what cannot be factorised ---------------------------------------------------------------


def broken(M, how):
    K = 2.0 * np.eye(M)
    K[M // 2, M // 2] = {"indefinite": -1.0, "singular": 0.0, "nan": np.nan, "inf": np.inf}[how]
    K[-1, 0] = K[0, -1] = np.nan if how == "nan" else 0.1
    return K


@pytest.mark.parametrize("how", ["indefinite", "singular", "nan", "inf"])
@pytest.mark.parametrize("M", [3, 150])
def test_arrays_never_raise_nor_warn(M, how):
    K = broken(M, how)
    good = np.eye(M)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        L_inv = Arrays.lower_inverse(K)
        inverse, log_determinant = Arrays.inverse_and_log_determinant(np.stack([good, K, good]))
    if how != "inf":  # 1 / inf is a number
        assert np.isnan(L_inv).any() and np.isnan(inverse[1]).any()
        assert np.isnan(log_determinant[1])
    assert not np.isfinite(log_determinant[1])
    # one of several does not spoil the others
    np.testing.assert_array_equal(inverse[[0, 2]], [good, good])
    np.testing.assert_array_equal(log_determinant[[0, 2]], 0.0)


@pytest.fixture
def small_leaves(monkeypatch):
    """LAPACK gets blocks of two rows."""
    monkeypatch.setattr(arrays, "_LEAF", 2)


@pytest.mark.parametrize("M", [3, 5, 16, 41])
def test_inverse_in_threads(rng, M, small_leaves):
    A = rng.randn(M, M)
    K = A @ A.T + np.eye(M)
    inverse, log_determinant = arrays._inverse_by_blocks(np.tril(K))  # one triangle is read
    np.testing.assert_allclose(inverse, np.linalg.inv(K), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(inverse, inverse.T, rtol=1e-12)
    np.testing.assert_allclose(log_determinant, np.linalg.slogdet(K)[1], rtol=1e-12)


@pytest.mark.parametrize("how", ["indefinite", "singular", "nan"])
def test_inverse_in_threads_of_what_cannot_be_factorised(how, small_leaves):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inverse, log_determinant = arrays._inverse_by_blocks(broken(12, how))
    assert np.isnan(inverse).all() and np.isnan(log_determinant)


@pytest.mark.parametrize("where", ["A", "weights"])
def test_nan_in_a_sum_is_nan_in_silence(rng, where):
    A, weights = rng.randn(3, 8), -np.ones((1, 8))
    (A if where == "A" else weights)[0, 4] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Arrays.gram(A, weights)
    assert np.isnan(found).any()


# --- tiles and threads -----------------------------------------------------------------------


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of seven columns, in threads whatever there is to do."""
    monkeypatch.setattr(arrays, "_TILE", 7)
    monkeypatch.setattr(arrays, "_WORTH_A_THREAD", 0)


def scale_and_sum(algebra, factor, A, b):
    """Two results with the columns of A, and two that are sums over them."""
    return factor * A, (A * b).sum(0), A @ b.T, np.float64(b.sum())


@pytest.mark.parametrize("N", [1, 5, 64, 1000])
def test_tiled_joins_and_adds_up(rng, N, small_tiles):
    A, b = rng.randn(3, N), rng.randn(1, N)
    widths, threads = [], set()

    def formula(algebra, factor, A, b):
        assert algebra is Arrays
        widths.append(A.shape[1])
        threads.add(threading.current_thread().name)
        return scale_and_sum(algebra, factor, A, b)

    found = Arrays.tiled(formula, [2.0], [A, b], 2)
    for x, y in zip(found, scale_and_sum(Arrays, 2.0, A, b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12)
    assert sum(widths) == N and max(widths) <= 7
    assert max(widths) - min(widths) <= 1 and len(widths) % allowed_threads() == 0
    assert all(name.startswith("skgpng") for name in threads)


def test_tiled_with_leading_axes(rng, small_tiles):
    E, A = rng.randn(3, 4, 4), rng.randn(4, 50)
    (found,) = Arrays.tiled(lambda algebra, E, A: (E @ A,), [E], [A], 1)
    np.testing.assert_allclose(found, E @ A, rtol=1e-12, atol=1e-13)
    (total,) = Arrays.tiled(lambda algebra, A: (A @ A.T,), [], [A], 0)  # nothing to join
    np.testing.assert_allclose(total, A @ A.T, rtol=1e-12, atol=1e-13)
    (single,) = Arrays.tiled(lambda algebra, A: (2 * A,), [], [A.astype(np.float32)], 1)
    assert single.dtype == np.float32


def test_an_error_in_a_tile_is_raised(rng, small_tiles):
    with pytest.raises(ZeroDivisionError):
        Arrays.tiled(lambda algebra, A: (1 / 0,), [], [rng.randn(3, 50)], 1)


def test_little_work_stays_in_its_thread(rng):
    def formula(algebra, A):
        return (threading.current_thread(),)

    assert Arrays.tiled(formula, [], [rng.randn(3, 50)], 1) == (threading.current_thread(),)
    assert Tensors.tiled(formula, [], [rng.randn(3, 50)], 1) == (threading.current_thread(),)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (2, 7, 33)])
def test_aligned(shape, dtype):
    many = [arrays._aligned(shape, dtype) for _ in range(20)]
    for k, array in enumerate(many):
        assert array.shape == shape and array.dtype == dtype
        assert array.ctypes.data % 64 == 0
        assert array.flags.c_contiguous and array.flags.writeable
        array[...] = k
    for k, array in enumerate(many):  # no two share memory
        assert np.all(array == k)


def test_joined_results_are_aligned(rng, small_tiles):
    (found,) = Arrays.tiled(lambda algebra, A: (A + 1.0,), [], [rng.randn(3, 50)], 1)
    assert found.ctypes.data % 64 == 0
