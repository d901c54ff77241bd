"""Squared distances between rows, with their gradients written out."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

from .._runtime import custom_gradient, tf
from .tensors import run

__all__ = ["exact_distances", "squared_distance", "squared_distance_within"]

_EXACT = contextvars.ContextVar("skgpng_exact_distances", default=False)


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
