"""Prior covariances: on arrays to predict with, on tensors with the way back to the values."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._linalg import exact_distances
from .._runtime import Replay, compiled_once, tf
from ..kernels import KernelStructure, covariance, depth, diagonal, jitter_unit, of_each_latent
from .base import add, zeros

__all__ = [
    "CrossCovariances",
    "Within",
    "covariance_within",
    "cross_covariances",
    "jitter_units",
    "own_covariances",
    "prior_variance",
    "sum_over",
]

# Numbers in the largest array of a kernel that holds several for each covariance (8 MB).
_CHUNK = 2**20
# Numbers up to which covariances are quicker by NumPy than by TensorFlow.
_FEW = 2**15

# --- arrays ----------------------------------------------------------------------------------


def own_covariances(kernel: KernelStructure, values: tuple, X: Any) -> np.ndarray:
    """Of each latent function at rows X, [1 or L, N, N]."""
    return _of_each(kernel, values, tf.convert_to_tensor(X)).numpy()


def prior_variance(kernel: KernelStructure, values: tuple, X: np.ndarray) -> np.ndarray:
    """Of each latent function at rows X, [1 or L, N]."""
    X = X.astype(np.float64, copy=False)
    return np.stack([diagonal(k, v, X).numpy() for k, v in of_each_latent(kernel, values)])


def jitter_units(kernel: KernelStructure, values: tuple, Z: Any) -> np.ndarray:
    """Unit of the jitter of the covariances of rows Z for each latent function, [1 or L]."""
    units = [(jitter_unit(k, v, Z), k, v) for k, v in of_each_latent(kernel, values)]
    return np.array([np.mean(diagonal(k, v, Z)) if u is None else u for u, k, v in units])


def cross_covariances(
    kernel: KernelStructure, values: tuple, points: np.ndarray, X: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of points and rows, [1 or L, M, N], and the prior variance of the rows, [1 or L, N]."""
    return CrossCovariances(kernel, values, points)(X)


class CrossCovariances:
    """:func:`cross_covariances` of points that stay: what follows from them is computed once.

    A few rows take a tenth of the time that TensorFlow has to run the formulas.
    """

    def __init__(self, kernel: KernelStructure, values: tuple, points: np.ndarray) -> None:
        self._given = kernel, values, points

    def __reduce__(self) -> tuple:
        """Without what follows."""
        return CrossCovariances, self._given

    @functools.cached_property
    def _parts(self) -> int:
        kernel, _, points = self._given
        return depth(kernel, points.shape[1])

    @functools.cached_property
    def _replay(self) -> Replay | None:
        """Of rows."""
        kernel, values, points = self._given
        replay = _compiled(kernel, points.dtype.name).replay
        arrays = [np.asarray(v, points.dtype) for v in values]
        return None if replay is None else replay.given(*arrays, points)

    def __call__(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of points and rows X [N, D]: [1 or L, M, N], and prior variances of rows, [1 or L, N]."""
        _, _, points = self._given
        X = X.astype(points.dtype, copy=False)
        n = len(points) * len(X) * self._parts  # 0 before ``fit``: NumPy warns of means of nothing
        # copies of points and rows stay in memory
        if n and max(n, points.size, X.size) <= _FEW and self._replay is not None:
            K, prior = self._replay(X)
            return K, prior
        return self._by_tensorflow(X)

    def _by_tensorflow(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        kernel, values, points = self._given
        parts, at_a_time = self._parts, _compiled(kernel, points.dtype.name)
        if parts == 1:
            K, prior = at_a_time(values, points, X)
            return np.asarray(K), np.asarray(prior)
        size = max(1, _CHUNK // max(1, len(points) * parts))
        some = [X[at : at + size] for at in range(0, max(len(X), 1), size)]
        each = zip(*(at_a_time(values, points, x) for x in some), strict=True)
        K, prior = (np.concatenate(arrays, -1) for arrays in each)
        return K, prior


@compiled_once
def _compiled(kernel: KernelStructure, dtype: str) -> Any:
    """Predictions of all kinds take the one compiled function: what follows is linear algebra."""
    real = functools.partial(tf.TensorSpec, dtype=dtype)

    def cross(values: tuple, points: Any, X: Any) -> tuple[Any, Any]:
        prior = [diagonal(k, v, X) for k, v in of_each_latent(kernel, values)]
        return _of_each(kernel, values, points, X), tf.stack(prior)

    values = tuple(real([None] * rank) for rank in kernel.ranks)
    signature = (values, real([None, None]), real([None, None]))
    return tf.function(cross, input_signature=signature, autograph=False)


def _of_each(kernel: KernelStructure, values: tuple, X1: Any, X2: Any = None) -> Any:
    with exact_distances():
        each = [covariance(k, v, X1, X2) for k, v in of_each_latent(kernel, values)]
    return tf.stack(each) if len(each) > 1 else each[0][None]


# --- tensors: all rows among themselves ------------------------------------------------------


class Within(NamedTuple):
    """Covariances of all rows among themselves, one matrix for each kernel, and the way back.

    The argument of ``g_kernel``, which gives the gradient in the kernel's values, is the gradient
    in ``K[j][rows, columns]`` as a function of j, rows and columns, for symmetric K.
    """

    K: list  # of [N, N]; what stands above the diagonal is not to be read
    g_kernel: Callable[[Callable], tuple]


def covariance_within(kernel: KernelStructure, values: tuple, X: Any, size: Any) -> Within:
    """In one piece, or by blocks of ``size`` rows and only up to the diagonal."""
    if size is not None:
        return _by_blocks(kernel, values, X, size)
    everything = slice(None)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        K = [covariance(k, v, X) for k, v in of_each_latent(kernel, values)]

    def g_kernel(bar: Callable) -> tuple:
        bars = [bar(j, everything, everything) for j in range(len(K))]
        return tape.gradient(K, values, bars, unconnected_gradients="zero")

    return Within(K, g_kernel)


def _by_blocks(kernel: KernelStructure, values: tuple, X: Any, size: Any) -> Within:
    """Elementwise operations then find their arguments in the cache, and do half of the work."""
    N = tf.shape(X)[0]

    def block(start: Any) -> tuple:
        """Rows, their covariances with each other, and with those before them."""
        own, before = slice(start, tf.minimum(start + size, N)), slice(0, start)
        each = of_each_latent(kernel, values)
        within = [covariance(k, v, X[own]) for k, v in each]
        return own, before, within, [covariance(k, v, X[own], X[before]) for k, v in each]

    def body(start: Any, arrays: tuple) -> tuple:
        own, _, within, beside = block(start)
        above = tf.zeros([own.stop - start, N - own.stop], X.dtype)
        rows = [tf.concat([*b, above], 1) for b in zip(beside, within, strict=True)]
        return own.stop, tuple(a.write(start // size, r) for a, r in zip(arrays, rows, strict=True))

    def g_block(start: Any, bar: Callable) -> tuple:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            own, before, *K = block(start)
        n = range(len(K[0]))
        bars = [[bar(j, own, own) for j in n], [2.0 * bar(j, own, before) for j in n]]
        return tape.gradient(K, values, bars, unconnected_gradients="zero")

    empty = tuple(
        tf.TensorArray(X.dtype, -(-N // size), infer_shape=False, element_shape=[None, None])
        for _ in of_each_latent(kernel, values)
    )
    _, arrays = tf.while_loop(
        lambda start, _: start < N, body, (tf.constant(0), empty), parallel_iterations=1
    )
    K = [tf.ensure_shape(a.concat(), [None, None]) for a in arrays]
    none = zeros(values)
    return Within(K, lambda bar: sum_over(N, size, lambda start, _: g_block(start, bar), none))


def sum_over(N: Any, size: Any, function: Callable, zero: Any) -> Any:
    """Sum of ``function(start, stop)`` over parts of N rows, from ``zero`` on."""

    def body(start: Any, total: Any) -> Any:
        return start + size, add(total, function(start, tf.minimum(start + size, N)))

    _, total = tf.while_loop(
        lambda start, total: start < N, body, (tf.constant(0), zero), parallel_iterations=1
    )
    return total
