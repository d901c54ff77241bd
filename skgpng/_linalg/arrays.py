"""Dense linear algebra on arrays, by BLAS and LAPACK in threads.

Columns are shared out among threads here: these wait for each other once, where BLAS's own wait in
a busy loop for each block.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.linalg import blas, lapack
from scipy.spatial.distance import cdist

from .._runtime import allowed_threads
from .threads import BLOCKS, blocks, in_threads, in_turn

__all__ = ["Arrays"]

# Columns that one task takes at most: its matrices then stay in the cache.
_TILE = 1024
# Multiplications from which on a second thread pays for being woken.
_WORTH_A_THREAD = 2**22
# From so many rows on inverses are shared among threads: 2000 rows 101 ms in place of 152, 1000
# rows 16 in place of 22, 700 rows 7 in place of 8. Their blocks on the diagonal are LAPACK's.
_SHARED_FROM, _LEAF = 900, 256
# Rows that BLAS solves for in one call, which holds the interpreter's lock; what the rows before
# take away is a product, which does not. 1000 rows, 20,000 columns, one thread: 1.18 s with 64,
# 1.12 with 128, 1.18 with 256, 1.01 in a single call that no other thread could run beside.
_SOLVED = 128
# Up to so many columns the distances of rows are as quick by their differences as by a product: 8
# columns 1.5 ms for 1000 x 512 in place of 1.7, 32 columns 4.6 in place of 2.3, 128 24 in place
# of 5. Beyond, differences are taken where the product would lose three digits.
_FEW_COLUMNS, _NEAR = 16, 1e-3


class Arrays:
    """The same on arrays; what cannot be factorised gives NaN, never an exception."""

    total = staticmethod(lambda X, axis: X.sum(axis))
    like = staticmethod(lambda X, Y: X.astype(Y.dtype, copy=False))
    double = staticmethod(lambda X: X.astype(np.float64, copy=False))
    trace = staticmethod(lambda X: np.trace(X, axis1=-2, axis2=-1))
    concat = staticmethod(np.concatenate)
    unstack = list
    transpose = staticmethod(np.transpose)

    @staticmethod
    def matmul(A: Any, B: Any, transpose_a: bool = False, transpose_b: bool = False) -> Any:
        """As TensorFlow's."""
        A = np.swapaxes(A, -1, -2) if transpose_a else A
        return A @ (np.swapaxes(B, -1, -2) if transpose_b else B)

    @staticmethod
    def lower_matmul(L: Any, B: Any) -> Any:
        """Product with a lower triangular matrix, without most of its zeros."""
        M = len(L)
        if M < 32 * BLOCKS:
            return L @ B
        out = np.empty(B.shape, B.dtype)
        for a, b in blocks(M):
            np.matmul(L[a:b, :b], B[:b], out=out[a:b])
        return out

    @staticmethod
    def shift_diagonal(X: Any, shift: float) -> Any:
        out = X.copy()
        diagonal = np.einsum("...ii->...i", out)
        diagonal += shift
        return out

    @staticmethod
    def lower_half(X: Any) -> Any:
        out = np.tril(X)
        out.flat[:: len(X) + 1] *= 0.5
        return out

    @staticmethod
    def lower_inverse(K: Any) -> Any:
        if _is_shared(K):
            inverse = np.empty_like(K)
            _lower_inverse_by_blocks(K, inverse)
            return inverse
        return lapack.dtrtri(_cholesky(K).T, lower=0, overwrite_c=1)[0].T

    @staticmethod
    def cholesky(K: Any) -> Any:
        """Lower factor [M, M]."""
        return _cholesky(K)

    @staticmethod
    def lower_solve(L: Any, B: Any) -> Any:
        """L^-1 B for a lower triangular L [M, M] and B [M, N]."""
        X = np.array(B, order="C")
        for a in range(0, len(L), _SOLVED):
            rows = slice(a, a + _SOLVED)
            if a:
                X[rows] -= L[rows, :a] @ X[:a]
            # in LAPACK's column order the transposes stand there, and X is overwritten
            blas.dtrsm(1.0, L[rows, rows].T, X[rows].T, side=1, lower=0, overwrite_b=1)
        return X

    @staticmethod
    def lower_solve_few(L: Any, B: Any) -> Any:
        """L^-1 B; of a single column in a quarter of the time: 256 rows 9 us in place of 37.

        Where a weight of 1e8 is solved for, blocks lose a digit less, so that the other stays.
        """
        if B.shape[1] > 1 or not len(B):
            return Arrays.lower_solve(L, B)
        return blas.dtrsv(L.T, B[:, 0], lower=0, trans=1)[:, None]

    @staticmethod
    def transposed_lower_solve(L: Any, B: Any) -> Any:
        """L'^-1 B."""
        return blas.dtrsm(1.0, L.T, B.T, side=1, lower=0, trans_a=1).T

    @staticmethod
    def squared_distance(A: Any, B: Any) -> Any:
        """Of the rows of A and B, [N1, N2], by their differences: near ones keep their digits."""
        if A.shape[1] <= _FEW_COLUMNS:
            return cdist(A, B, "sqeuclidean")
        size = np.sum(A * A, 1)[:, None] + np.sum(B * B, 1)
        r2 = size - 2.0 * (A @ B.T)
        near = r2 < _NEAR * size
        for n in np.flatnonzero(near.any(1)):
            r2[n, near[n]] = cdist(A[n : n + 1], B[near[n]], "sqeuclidean")
        return r2

    @staticmethod
    def inverse_and_log_determinant(K: Any) -> tuple[Any, Any]:
        each = [_inverse(k) for k in K]
        return np.stack([inverse for inverse, _ in each]), np.array([value for _, value in each])

    @staticmethod
    def gram(A: Any, weights: Any) -> Any:
        """Sums of w_n a_n a_n' [L, M, M] for weights [L, N], which are seldom positive."""
        negative = -_squares(A, -weights)
        return negative + _squares(A, weights) if np.any(weights > 0.0) else negative

    @staticmethod
    def tiled(formula: Callable, shared: Sequence, columns: Sequence, n_joined: int) -> tuple:
        """Results of a formula over the columns of matrices, by tiles of columns.

        The first ``n_joined`` have the same columns and are joined, the others are added up.
        """
        rows, N = columns[0].shape[-2:]
        if rows * rows * N < _WORTH_A_THREAD:
            return formula(Arrays, *shared, *columns)
        n_threads = allowed_threads()
        n_tiles = n_threads * -(-N // (_TILE * n_threads))
        joined: list[np.ndarray] = []
        allocating = threading.Lock()

        def one(part: tuple[int, int]) -> tuple:
            a, b = part
            results = formula(Arrays, *shared, *(c[..., a:b] for c in columns))
            with allocating:  # the first tile tells the shapes
                if len(joined) < n_joined:
                    joined.extend(_aligned((*r.shape[:-1], N), r.dtype) for r in results[:n_joined])
            for whole, part in zip(joined, results, strict=False):
                whole[..., a:b] = part
            return results[n_joined:]

        sums = in_turn(one, blocks(N, n_tiles))
        return (*joined, *(functools.reduce(np.add, part) for part in zip(*sums, strict=True)))

    @staticmethod
    def square_matmul(A: Any, B: Any) -> Any:
        """A B for matrices [L, M, M], a half of the columns to each thread."""
        if B.shape[-1] ** 3 < _WORTH_A_THREAD:
            return A @ B
        (out,) = Arrays.tiled(lambda algebra, A, B: (A @ B,), [A], [B], 1)
        return out

    @staticmethod
    def transposed_lower_matmul(L: Any, B: Any) -> Any:
        """L' B for a lower triangular L and matrices B [L, M, M]."""
        M, out = len(L), np.empty(B.shape, B.dtype)

        def rows(a: int, b: int) -> None:
            np.matmul(L[a:, a:b].T, B[:, a:], out=out[:, a:b])

        in_threads(rows, M, 2 * BLOCKS, longest="first")
        return out

    @staticmethod
    def lower_of_products(A: Any, B: Any) -> Any:
        """Sum of A_l B_l over l for matrices [L, M, M]; not to be read above the diagonal."""
        M, out = A.shape[-1], np.zeros(A.shape[1:], A.dtype)

        def rows(a: int, b: int) -> None:
            out[a:b, :b] = np.matmul(A[:, a:b], B[:, :, :b]).sum(0)

        in_threads(rows, M, 2 * BLOCKS)
        return out

    @staticmethod
    def congruence(L: Any, X: Any) -> Any:
        """L' X L for lower triangular L and X: a third of the work of two products."""
        M, right, out = len(L), np.empty(X.shape, X.dtype), _aligned(X.shape, X.dtype)

        def columns(c: int, d: int) -> None:  # above row c, X L is zero here
            for a, b in blocks(M):
                if b > c:
                    np.matmul(X[a:b, c:b], L[c:b, c:d], out=right[a:b, c:d])
            for a, b in blocks(M):
                first = max(a, c)
                np.matmul(L[first:, a:b].T, right[first:, c:d], out=out[a:b, c:d])

        in_threads(columns, M, BLOCKS, longest="first")
        return out


def _aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array that begins where TensorFlow wants tensors to, so that it need not copy it."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


def _squares(A: np.ndarray, weights: np.ndarray) -> np.ndarray:
    scaled = [A * np.sqrt(np.maximum(w, 0.0)) for w in weights]
    return np.stack([a @ a.T for a in scaled])  # the same array twice is syrk: half the work


def _cholesky(K: np.ndarray) -> np.ndarray:
    """Lower factor; NumPy's function lets another thread run Python meanwhile, SciPy's does not."""
    try:
        return np.linalg.cholesky(K)
    except np.linalg.LinAlgError:
        return np.full_like(K, np.nan)


def _inverse(K: np.ndarray) -> tuple[np.ndarray, float]:
    """Inverse and log-determinant; only the lower triangle of K is read."""
    if _is_shared(K):
        return _inverse_by_blocks(K)
    factor = _cholesky(K)
    log_determinant = 2.0 * np.log(np.diag(factor)).sum()
    # in LAPACK's column order it is the upper triangle, uncopied; zeros stay below
    inverse, _ = lapack.dpotri(factor.T, lower=0, overwrite_c=1)
    inverse += inverse.T
    inverse.flat[:: len(K) + 1] *= 0.5
    return inverse, log_determinant


def _is_shared(K: np.ndarray) -> bool:
    """Whether factorising K is worth several threads."""
    return len(K) >= _SHARED_FROM and allowed_threads() > 1


def _inverse_by_blocks(K: np.ndarray) -> tuple[np.ndarray, float]:
    L_inv, inverse = np.empty_like(K), _aligned(K.shape, K.dtype)
    log_root = _lower_inverse_by_blocks(K, L_inv)

    def rows(a: int, b: int) -> None:
        np.matmul(L_inv[a:, a:b].T, L_inv[a:, :b], out=inverse[a:b, :b])
        inverse[:a, a:b] = inverse[a:b, :a].T

    in_threads(rows, len(K), 2 * BLOCKS)
    return inverse, 2.0 * log_root


def _lower_inverse_by_blocks(K: np.ndarray, out: np.ndarray) -> float:
    r"""Inverse of the Cholesky factor into ``out``; gives half the log-determinant.

    By halves: :math:`L_{21} = K_{21} L_{11}^{-\top}`, :math:`L_{22}` is the factor of
    :math:`K_{22} - L_{21} L_{21}^\top`, and below the diagonal of the inverse stands
    :math:`-L_{22}^{-1} L_{21} L_{11}^{-1}`.
    """
    n, h = len(K), len(K) // 2
    if n <= _LEAF:
        out[:] = Arrays.lower_inverse(K)
        return -np.log(np.diag(out)).sum()
    L11_inv, L22_inv = out[:h, :h], out[h:, h:]
    L21, rest = np.empty((n - h, h)), np.empty((n - h, n - h))
    log_root = _lower_inverse_by_blocks(K[:h, :h], L11_inv)

    def off_diagonal(a: int, b: int) -> None:
        for c, d in blocks(h):
            np.matmul(K[h + a : h + b, :d], L11_inv[c:d, :d].T, out=L21[a:b, c:d])

    def remainder(a: int, b: int) -> None:
        np.matmul(L21[a:b], L21[:b].T, out=rest[a:b, :b])
        np.subtract(K[h + a : h + b, h : h + b], rest[a:b, :b], out=rest[a:b, :b])

    def half_way(a: int, b: int) -> None:
        for c, d in blocks(h):
            np.matmul(L21[a:b, c:], L11_inv[c:, c:d], out=rest[a:b, c:d])

    def below(a: int, b: int) -> None:
        for c, d in blocks(n - h):
            np.matmul(L22_inv[c:d, :d], rest[:d, a:b], out=out[h + c : h + d, a:b])
        np.negative(out[h:, a:b], out=out[h:, a:b])

    in_threads(off_diagonal, n - h)
    in_threads(remainder, n - h, 2 * BLOCKS)
    log_root += _lower_inverse_by_blocks(rest, L22_inv)
    in_threads(half_way, n - h)
    in_threads(below, h)
    out[:h, h:] = 0.0
    return log_root
