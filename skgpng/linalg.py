"""Factorisations and the few custom gradients that make the training loop fast."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

from threadpoolctl import ThreadpoolController

from ._dense import Tensors, run, triangular_inverse
from ._tensorflow import custom_gradient, tf

__all__ = [
    "add_jitter",
    "add_to_diagonal",
    "exact_distances",
    "inverse_and_log_determinant",
    "lower_triangle_half_diagonal",
    "one_blas_thread",
    "shift_diagonal",
    "squared_distance",
    "squared_distance_within",
    "swap_axes",
    "triangular_inverse",
]

# From this size on LAPACK's inverse is quicker than TensorFlow's own kernels, whose float64
# code does not use AVX-512 (2 times at 400 rows, 3 times at 1000 and more; the call costs 0.2 ms).
_LAPACK_FROM = 250
_EXACT = contextvars.ContextVar("skgpng_exact_distances", default=False)


class _OneBlasThread:
    """Hold BLAS to one thread, in a ``with`` statement that several threads may be in.

    On cores that others use too, OpenBLAS's threads wait for each other in a busy loop: an
    inverse of 400 rows took 1.9 s with two threads and 5 ms with one. The number is one of the
    whole process: the first to enter saves it, the last to leave restores it. Hold it for a whole
    training: changing it before each call wakes the threads each time.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._limit: Any = None

    @functools.cached_property
    def _controller(self) -> ThreadpoolController:
        return ThreadpoolController()  # looks through the loaded libraries: milliseconds

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._limit = self._controller.limit(limits=1, user_api="blas")
            self._inside += 1

    def __exit__(self, *exception: Any) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._limit.restore_original_limits()


#: Enter it around a training.
one_blas_thread = _OneBlasThread()


@custom_gradient
def _add_to_diagonal(K: Any, diagonal: Any) -> Any:
    # TensorFlow's own gradient of set_diag is forty operations, three of them branches.
    return tf.linalg.set_diag(K, tf.linalg.diag_part(K) + diagonal), lambda G: (
        G,
        tf.linalg.diag_part(G),
    )


def add_to_diagonal(K: Any, diagonal: Any) -> Any:
    """``K + diag(diagonal)`` for matrices [..., M, M]; ``diagonal`` may be [M] or one number."""
    K = tf.convert_to_tensor(K)
    diagonal = tf.convert_to_tensor(diagonal, K.dtype)
    if diagonal.shape.rank == 0:
        diagonal = tf.fill(tf.shape(K)[-1:], diagonal)
    return _add_to_diagonal(K, diagonal)


def shift_diagonal(K: Any, shift: Any) -> Any:
    """``K + shift I`` for a number that is no parameter, such as jitter: it gets no gradient."""
    K = tf.convert_to_tensor(K)
    return _shift_diagonal(K, tf.convert_to_tensor(shift, K.dtype))


@custom_gradient
def _shift_diagonal(K: Any, shift: Any) -> Any:
    return tf.linalg.set_diag(K, tf.linalg.diag_part(K) + shift), lambda G: (G, None)


def add_jitter(K: Any, jitter: Any, unit: Any = None) -> Any:
    """K [..., M, M] plus ``jitter`` times ``unit`` on the diagonal; by default its mean.

    Jitter in proportion means the same to a kernel of any variance, and has a gradient.
    """
    return _add_share(K, jitter) if unit is None else add_to_diagonal(K, jitter * unit)


@custom_gradient
def _add_share(K: Any, jitter: Any) -> Any:
    diagonal = tf.linalg.diag_part(K)

    def with_share(inside: Any) -> Any:
        return inside + jitter * tf.reduce_mean(inside, -1, keepdims=True)

    def gradient(G: Any) -> Any:
        return tf.linalg.set_diag(G, with_share(tf.linalg.diag_part(G))), None

    return tf.linalg.set_diag(K, with_share(diagonal)), gradient


def lower_triangle_half_diagonal(X: Any) -> Any:
    r"""The operator :math:`\Phi`: the lower triangle of X with its diagonal halved."""
    return Tensors.lower_half(X)


def swap_axes(X: Any) -> Any:
    """Transpose of a matrix; a reshape where one side is known to be 1.

    TensorFlow's transpose costs as much as ten small operations.
    """
    rows, columns = X.shape
    if columns == 1:
        return tf.reshape(X, [1, -1])
    return tf.reshape(X, [-1, 1]) if rows == 1 else tf.transpose(X)


def inverse_and_log_determinant(K: Any) -> tuple[Any, Any]:
    """Inverse [N, N] and log-determinant of a positive definite K; no gradient is defined.

    Only the lower triangle of K is read.

    A matrix that is not positive definite gives NaN in both, never an exception.
    """
    return tf.cond(
        tf.logical_and(tf.shape(K)[0] >= _LAPACK_FROM, K.dtype == tf.float64),
        lambda: _inverse_by_lapack(K),
        lambda: _inverse(Tensors, K),
    )


def _inverse_by_lapack(K: Any) -> tuple[Any, Any]:
    return run(True, _inverse, [K], [(K.dtype, K.shape), (K.dtype, [])])


def _inverse(algebra: Any, K: Any) -> tuple[Any, Any]:
    inverse, log_determinant = algebra.inverse_and_log_determinant(K[None])
    return inverse[0], log_determinant[0]


@contextlib.contextmanager
def exact_distances() -> Iterator[None]:
    """A context in which squared distances, traced or evaluated, are sums of squared differences.

    Of a product of rows there is left rounding of the *size* of the rows, 1e-15. That is nothing to
    training. But a Matern-1/2 takes the root: at a training row, noise of 1e-10 had a predicted
    variance of 1e-8.
    """
    token = _EXACT.set(True)
    try:
        yield
    finally:
        _EXACT.reset(token)


def _distances(A: Any, B: Any, product: Callable[[], Any]) -> Any:
    """Squared distances of rows by ``product``, or by differences where these are asked for."""
    if not _EXACT.get():
        return tf.maximum(product(), 0.0)
    shape = [A.shape[0], B.shape[0]]
    (r2,) = run(True, _squared_distance, [A, B], [(A.dtype, shape)])
    return r2


def _squared_distance(algebra: Any, A: Any, B: Any) -> tuple[Any]:
    return (algebra.squared_distance(A, B).astype(A.dtype, copy=False),)


@custom_gradient
def squared_distance(X1: Any, X2: Any, scale: Any) -> Any:
    r""":math:`\sum_d (x_d - x'_d)^2 / \ell_d^2` between the rows of X1 and X2, [N1, N2].

    ``scale`` is one number or [D]. One matrix product; the rows are centred first (at the mean of
    X1, which is never empty), because the difference of squares loses digits for rows far from
    zero. The gradient is written out, two products with D columns, where automatic
    differentiation would walk every N1 x N2 array
    again. As :math:`r^2` is homogeneous in the scaled rows A and B,
    :math:`\ell \, \partial r^2 / \partial \ell = -(A \bar A + B \bar B)`.
    """
    centre = tf.reduce_mean(X1, 0)
    inverse = 1.0 / scale
    A, B = (X1 - centre) * inverse, (X2 - centre) * inverse
    A2, B2 = tf.reduce_sum(A * A, 1, keepdims=True), tf.reduce_sum(B * B, 1)
    r2 = _distances(A, B, lambda: A2 + B2 - tf.matmul(A + A, B, transpose_b=True))

    def gradient(G: Any) -> Any:
        G2 = G + G
        A_bar = A * tf.reduce_sum(G2, 1, keepdims=True) - tf.matmul(G2, B)
        B_bar = B * tf.expand_dims(tf.reduce_sum(G2, 0), 1) - tf.matmul(G2, A, transpose_a=True)
        radial = tf.reduce_sum(A * A_bar, 0) + tf.reduce_sum(B * B_bar, 0)
        return A_bar * inverse, B_bar * inverse, -inverse * _like_scale(radial, scale)

    return r2, gradient


@custom_gradient
def squared_distance_within(X: Any, scale: Any) -> Any:
    """:func:`squared_distance` of the rows of X among themselves, exactly zero on the diagonal.

    Rounding would leave 1e-16 there, whose root a Matern-1/2 shows.
    """
    inverse = 1.0 / scale
    A = (X - tf.reduce_mean(X, 0)) * inverse
    A2 = tf.reduce_sum(A * A, 1, keepdims=True)
    A2_T = tf.reshape(A2, [1, -1])
    r2 = _distances(A, A, lambda: A2 + A2_T - tf.matmul(A + A, A, transpose_b=True))

    def gradient(G: Any) -> Any:
        G2 = G + G
        totals = tf.expand_dims(tf.reduce_sum(G2, 0) + tf.reduce_sum(G2, 1), 1)
        A_bar = A * totals - tf.matmul(G2, A) - tf.matmul(G2, A, transpose_a=True)
        radial = tf.reduce_sum(A * A_bar, 0)
        return A_bar * inverse, -inverse * _like_scale(radial, scale)

    return tf.linalg.set_diag(r2, tf.zeros_like(A2[:, 0])), gradient


def _like_scale(radial: Any, scale: Any) -> Any:
    return tf.reduce_sum(radial) if scale.shape.rank == 0 else radial
