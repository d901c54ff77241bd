"""Factorisations and the few custom gradients that make the training loop fast."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import lapack

from ._tensorflow import custom_gradient, tf

__all__ = [
    "add_jitter",
    "add_to_diagonal",
    "inverse_and_log_determinant",
    "inverse_cholesky",
    "lower_triangle_half_diagonal",
    "squared_distance",
    "triangular_inverse",
]

# From this size on LAPACK's inverse is quicker than TensorFlow's own kernels, whose float64
# code does not use AVX-512 (2 times at 500 rows, 3 to 4 times at 1000; the call costs 0.2 ms).
_LAPACK_FROM = 400


def add_to_diagonal(K: Any, diagonal: Any) -> Any:
    """``K + diag(diagonal)``; ``diagonal`` may be one number or one per row."""
    return tf.linalg.set_diag(K, tf.linalg.diag_part(K) + diagonal)


def add_jitter(K: Any, jitter: Any) -> Any:
    """``K + jitter I``: keeps a kernel matrix positive definite in floating point."""
    return add_to_diagonal(K, tf.convert_to_tensor(jitter, K.dtype))


def lower_triangle_half_diagonal(X: Any) -> Any:
    r"""The operator :math:`\Phi`: the lower triangle of X with its diagonal halved."""
    lower = tf.linalg.band_part(X, -1, 0)
    return tf.linalg.set_diag(lower, 0.5 * tf.linalg.diag_part(lower))


def triangular_inverse(L: Any, lower: bool = True) -> Any:
    """Inverse of triangular matrices [..., M, M]."""
    identity = tf.eye(tf.shape(L)[-1], batch_shape=tf.shape(L)[:-2], dtype=L.dtype)
    return tf.linalg.triangular_solve(L, identity, lower=lower)


@custom_gradient
def inverse_cholesky(K: Any) -> Any:
    r"""``L^{-1}`` for ``K = L L'``.

    With :math:`G` the gradient with respect to :math:`L^{-1}`,
    :math:`\bar K = -L^{-\top} \Phi(\mathrm{tril}(G L^{-\top})) L^{-1}`, symmetrised: three matrix
    products, where TensorFlow's gradient of the factorisation alone costs seven to nine times
    the factorisation.
    """
    L_inv = triangular_inverse(tf.linalg.cholesky(K))  # [M, M]

    def gradient(G: Any) -> Any:
        middle = lower_triangle_half_diagonal(tf.matmul(G, L_inv, transpose_b=True))
        K_bar = -tf.matmul(L_inv, tf.matmul(middle, L_inv), transpose_a=True)
        return 0.5 * (K_bar + tf.linalg.matrix_transpose(K_bar))

    return L_inv, gradient


def inverse_and_log_determinant(K: Any) -> tuple[Any, Any]:
    """Inverse [N, N] and log-determinant of a positive definite K; no gradient is defined.

    A matrix that is not positive definite gives NaN in both, never an exception.
    """
    return tf.cond(
        tf.logical_and(tf.shape(K)[0] >= _LAPACK_FROM, K.dtype == tf.float64),
        lambda: _inverse_by_lapack(K),
        lambda: _inverse_by_tensorflow(K),
    )


def _inverse_by_tensorflow(K: Any) -> tuple[Any, Any]:
    L = tf.linalg.cholesky(K)
    L_inv = triangular_inverse(L)
    log_determinant = 2.0 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(L)))
    return tf.matmul(L_inv, L_inv, transpose_a=True), log_determinant


def _inverse_by_lapack(K: Any) -> tuple[Any, Any]:
    inverse, log_determinant = tf.numpy_function(
        _lapack_inverse, [K], [K.dtype, K.dtype], stateful=False
    )
    return tf.ensure_shape(inverse, K.shape), tf.ensure_shape(log_determinant, [])


def _lapack_inverse(K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # K is symmetric, so its transpose is the same matrix in LAPACK's column order, uncopied.
    factor, info = lapack.dpotrf(K.T, lower=0)
    if info != 0:
        return np.full_like(K, np.nan), np.array(np.nan)
    log_determinant = 2.0 * np.log(np.diag(factor)).sum()
    upper, _ = lapack.dpotri(factor, lower=0, overwrite_c=1)
    inverse = np.triu(upper)
    return inverse + np.triu(upper, 1).T, log_determinant


def squared_distance(X1: Any, X2: Any) -> Any:
    """Squared Euclidean distances [N1, N2] between the rows of X1 [N1, D] and X2 [N2, D].

    One matrix product; the rows are centred first, because the difference of squares loses
    digits for rows far from zero.
    """
    centre = tf.stop_gradient(tf.reduce_mean(X2, 0))
    A, B = X1 - centre, X2 - centre
    A2, B2 = tf.reduce_sum(A * A, 1), tf.reduce_sum(B * B, 1)
    product = tf.matmul(A, B, transpose_b=True)
    return tf.maximum(A2[:, None] + B2[None, :] - 2.0 * product, 0.0)
