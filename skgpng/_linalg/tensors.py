"""Dense linear algebra on tensors, and formulas that run on tensors and on arrays.

A formula that takes :class:`Tensors` or :class:`Arrays` as its first argument is written once and
runs on both. TensorFlow's own kernels cost little a call, which is all that small matrices cost.
From some size on it is quicker to :func:`run` a whole formula on arrays: LAPACK knows that a matrix
is symmetric or triangular, and BLAS is up to four times as fast as TensorFlow in float64.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .._runtime import custom_gradient, numpy_function, runs_in_order, tf
from .arrays import Arrays

__all__ = [
    "Tensors",
    "add_jitter",
    "add_to_diagonal",
    "columnwise",
    "in_graph",
    "inverse_and_log_determinant",
    "run",
    "shift_diagonal",
    "swap_axes",
    "triangular_inverse",
]

_IN_GRAPH = contextvars.ContextVar("skgpng_in_graph", default=False)
# From this size on LAPACK's inverse is quicker than TensorFlow's own kernels, whose float64
# code does not use AVX-512 (2 times at 400 rows, 3 times at 1000 and more; the call costs 0.2 ms).
_LAPACK_FROM = 250


@contextlib.contextmanager
def in_graph() -> Iterator[None]:
    """A context for tracing what is never to leave TensorFlow: NumPy is not on a GPU."""
    token = _IN_GRAPH.set(True)
    try:
        yield
    finally:
        _IN_GRAPH.reset(token)


def run(blas: bool, formula: Callable, arguments: Sequence, outputs: Sequence = ()) -> tuple:
    """Evaluate ``formula(algebra, *arguments)``: in the graph, or in one call of NumPy.

    ``outputs`` has the type and the shape of each result, where they are not those on tensors.
    """
    if not blas:
        return formula(Tensors, *arguments)
    outputs = outputs or _forms_of_results(formula, arguments)
    call = functools.partial(formula, Arrays)
    results = numpy_function(call, arguments, [d for d, _ in outputs], stateful=False)
    results = tf.nest.flatten(results)  # outside a graph a single result comes without its list
    return tuple(tf.ensure_shape(r, s) for r, (_, s) in zip(results, outputs, strict=True))


def _forms_of_results(formula: Callable, arguments: Sequence) -> list[tuple]:
    """Type and shape of each result on tensors, from a graph that is never run."""
    with tf.Graph().as_default():
        given = [tf.compat.v1.placeholder(a.dtype, a.shape) for a in arguments]
        return [(r.dtype, r.shape) for r in formula(Tensors, *given)]


def columnwise(algebra: Any, function: Callable, matrices: Any, vectors: Any) -> Any:
    """``function(matrix, column)`` of each column [M, L] and its own matrix, or the one of all."""
    if matrices.shape[0] == 1:
        return function(matrices[0], vectors)
    each = [function(m, vectors[:, k : k + 1]) for k, m in enumerate(algebra.unstack(matrices))]
    return algebra.concat(each, 1)


def triangular_inverse(L: Any, lower: bool = True, adjoint: bool = False) -> Any:
    """Inverse of triangular matrices [..., M, M], or with ``adjoint`` of their transposes."""
    identity = tf.linalg.set_diag(tf.zeros_like(L), tf.ones_like(L[..., 0]))
    return tf.linalg.triangular_solve(L, identity, lower=lower, adjoint=adjoint)


class Tensors:
    """The operations on tensors."""

    total = staticmethod(lambda X, axis: tf.reduce_sum(X, axis))
    like = staticmethod(lambda X, Y: tf.cast(X, Y.dtype))
    double = staticmethod(lambda X: tf.cast(X, tf.float64))
    trace = staticmethod(lambda X: tf.linalg.trace(X))
    concat = staticmethod(lambda each, axis: tf.concat(each, axis))
    unstack = staticmethod(lambda X: tf.unstack(X))
    transpose = staticmethod(lambda X: tf.transpose(X))
    matmul = staticmethod(lambda A, B, **transposed: tf.matmul(A, B, **transposed))
    lower_matmul = matmul
    square_matmul = matmul
    transposed_lower_matmul = staticmethod(lambda L, B: tf.matmul(L, B, transpose_a=True))
    lower_of_products = staticmethod(lambda A, B: tf.reduce_sum(tf.matmul(A, B), 0))
    congruence = staticmethod(lambda L, X: tf.matmul(L, tf.matmul(X, L), transpose_a=True))

    @staticmethod
    def shift_diagonal(X: Any, shift: float) -> Any:
        """X + shift I."""
        return tf.linalg.set_diag(X, tf.linalg.diag_part(X) + shift)

    @staticmethod
    def lower_half(X: Any) -> Any:
        """Lower triangle with its diagonal halved."""
        return tf.linalg.set_diag(tf.linalg.band_part(X, -1, 0), 0.5 * tf.linalg.diag_part(X))

    @staticmethod
    def lower_inverse(K: Any) -> Any:
        """Inverse of the Cholesky factor."""
        return triangular_inverse(tf.linalg.cholesky(K))

    @staticmethod
    def inverse_and_log_determinant(K: Any) -> tuple[Any, Any]:
        """Of positive definite matrices [L, M, M]; the logarithms [L]."""
        L = tf.linalg.cholesky(K)
        L_inv = triangular_inverse(L)
        log_root = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(L)), -1)
        return tf.matmul(L_inv, L_inv, transpose_a=True), 2.0 * log_root

    @staticmethod
    def gram(A: Any, weights: Any) -> Any:
        """Sums of w_n a_n a_n' [L, M, M] for weights [L, N]."""
        return tf.matmul(A * weights[:, None, :], A, transpose_b=True)

    @staticmethod
    def tiled(formula: Callable, shared: Sequence, columns: Sequence, n_joined: int) -> tuple:
        """Results of a formula over the columns of matrices; here all columns at once."""
        return formula(Tensors, *shared, *columns)


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

    Only the lower triangle of K is read. A matrix that is not positive definite gives NaN in both,
    never an exception.
    """
    if runs_in_order() or _IN_GRAPH.get():  # small matrices, or none may leave
        return _inverse(Tensors, K)
    return tf.cond(
        tf.logical_and(tf.shape(K)[0] >= _LAPACK_FROM, K.dtype == tf.float64),
        lambda: run(True, _inverse, [K], [(K.dtype, K.shape), (K.dtype, [])]),
        lambda: _inverse(Tensors, K),
    )


def _inverse(algebra: Any, K: Any) -> tuple[Any, Any]:
    inverse, log_determinant = algebra.inverse_and_log_determinant(K[None])
    return inverse[0], log_determinant[0]
