r"""Gradients of what a posterior predicts in the rows that it predicts at.

Mean and variance depend on a row x through its covariances k with the points, its own variance
:math:`k_{**}` and the functions h of a mean whose coefficients are integrated out. With w, L, L_P,
G and C as in ``posterior.py``, by the chain rule

.. math::

    \nabla f_{mean} = \nabla m + (\nabla k)^\top w, \qquad
    \nabla f_{var} = \nabla k_{**} + 2 (\nabla k)^\top L^{-\top} (c - a) + 2 (\nabla h)^\top d

with :math:`c = L_P^{-\top} L_P^{-1} a, d = 0` for inducing points, and
:math:`c = -G d, d = C^{-\top} b` for rows. The vectors beside :math:`\nabla k` come from solves
with arrays; what is left is one backward pass through the kernel's formula, as its transposed
product with all of them.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from .._linalg import Arrays, exact_distances, one_blas_thread
from .._runtime import compiled_once, tf
from ..kernels import KernelStructure, covariance, depth, diagonal, of_each_latent
from .covariances import cross_covariances
from .neighbour_posterior import NeighbourPosterior
from .posterior import CholeskyPosterior, PointPosterior, Posterior, RowPosterior

__all__ = ["Slopes", "slopes"]

# Numbers in the largest temporary array (8 MB in float64).
_CHUNK = 2**20


class Slopes(NamedTuple):
    """Gradients in each row of the mean and the variance of the latent functions."""

    mean: np.ndarray  # [N, L, D]
    variance: Any  # [N, L, D], or None where it is not asked for


def slopes(posterior: Posterior, X: np.ndarray, with_variance: bool) -> Slopes:
    """At rows X [N, D]; what is not finite is for whoever asked to look at.

    Where a kernel has a kink, as a Matern-1/2 at its points, it is the mean of both sides.
    Neighbours, and the scale of their variances, are those of the row, as if they were the same
    all around.
    """
    X = X.astype(posterior.points.dtype, copy=False)
    L, D = posterior.n_latent, X.shape[1]
    size = max(1, _CHUNK // max(1, posterior.n_reached * (L + 1) * depth(posterior.kernel, D)))
    with np.errstate(all="ignore"), one_blas_thread:
        parts = [
            _slopes(posterior, X[at : at + size], with_variance) for at in range(0, len(X), size)
        ]
    mean, variance = (None if p[0] is None else np.concatenate(p) for p in zip(*parts, strict=True))
    assert mean is not None
    mean = mean + posterior.mean_function.slopes(posterior.mean_values, X)
    return Slopes(mean, None if variance is None else np.broadcast_to(variance, (len(X), L, D)))


@functools.singledispatch
def _slopes(posterior: Any, X: np.ndarray, with_variance: bool) -> Slopes:
    """Of a part of the rows, [n, L, D] and [n, 1 or L, D], without the mean function's."""
    raise TypeError(f"{type(posterior).__name__} has no gradients.")


# --- from factors ----------------------------------------------------------------------------


@_slopes.register
def _of_factors(p: CholeskyPosterior, X: np.ndarray, with_variance: bool) -> Slopes:
    each = of_each_latent(p.kernel, p.values)
    shared = all(len(getattr(p, name)) == 1 for name in p.triangles) and len(each) == 1
    parts = [slice(None)] if shared else [slice(k, k + 1) for k in range(p.n_latent)]
    found = []
    for k, part in enumerate(parts):
        kernel, values = each[k % len(each)]
        K_bar = np.repeat(p.weights[:, part, None], len(X), 2)  # [M, R, n]
        prior_bar, beside = np.zeros(K_bar.shape[1:]), None
        if with_variance:
            K = cross_covariances(kernel, values, p.points, X)[0][0]
            of_variance, beside = _of_variance(p, k, K, X)
            K_bar = np.concatenate([K_bar, of_variance[:, None]], 1)
            prior_bar = np.concatenate([prior_bar, np.ones((1, len(X)))])
        pulled = _pull_back(kernel)(values, p.points, X, K_bar, prior_bar).numpy()
        pulled = np.moveaxis(pulled, 0, 1)  # [n, R, D]
        if not with_variance:
            found.append(Slopes(pulled, None))
            continue
        variance = pulled[:, -1] if beside is None else pulled[:, -1] + beside
        found.append(Slopes(pulled[:, :-1], variance[:, None]))
    mean = np.concatenate([f.mean for f in found], 1)
    return Slopes(mean, np.concatenate([f.variance for f in found], 1) if with_variance else None)


def _of_variance(p: CholeskyPosterior, k: int, K: np.ndarray, X: np.ndarray) -> tuple:
    """Gradient of the variance of one latent function in K [M, n]; what h adds, [n, D] or None."""
    root, beside = p.root[k % len(p.root)], None
    a = Arrays.lower_solve(root, K)
    inner = -a
    if isinstance(p, PointPosterior):
        L_P = p.precision_root[k % len(p.precision_root)]
        inner += Arrays.transposed_lower_solve(L_P, Arrays.lower_solve(L_P, a))
    elif isinstance(p, RowPosterior) and p._coefficients:
        G, C = p._coefficients[k % len(p._coefficients)]
        h, _ = p.mean_function.uncertain(p.mean_values, X)  # type: ignore[misc]
        d = Arrays.transposed_lower_solve(C, Arrays.lower_solve(C, h.T - G.T @ a))  # [K, n]
        inner -= G @ d
        beside = 2.0 * np.einsum(
            "kn,nkd->nd", d, p.mean_function.uncertain_slopes(p.mean_values, X)
        )
    return 2.0 * Arrays.transposed_lower_solve(root, inner), beside


@compiled_once
def _pull_back(kernel: KernelStructure) -> Any:
    """Gradients [R, N, D] in rows, in R directions at once, of covariances with the same points."""

    def pull_back(values: tuple, points: Any, X: Any, K_bar: Any, prior_bar: Any) -> Any:
        return _pulled_back(kernel, values, points, X, K_bar, prior_bar, exact=True)

    values = tuple(_real(*[None] * rank) for rank in kernel.ranks)
    matrix = _real(None, None)
    signature = (values, matrix, matrix, _real(None, None, None), matrix)
    return tf.function(pull_back, input_signature=signature, autograph=False)


def _pulled_back(
    kernel: KernelStructure,
    values: tuple,
    points: Any,
    X: Any,
    K_bar: Any,
    prior_bar: Any,
    exact: bool,
) -> Any:
    """From gradients in the covariances [M, R, N] and in the variances [R, N]."""
    R, N, D = tf.shape(K_bar)[1], tf.shape(X)[0], tf.shape(X)[1]
    rows = tf.tile(X, [R, 1])
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(rows)
        if exact:
            with exact_distances():
                K = covariance(kernel, values, points, rows)
        else:
            K = covariance(kernel, values, points, rows)
        prior = diagonal(kernel, values, rows)
    bars = [tf.reshape(K_bar, [-1, R * N]), tf.reshape(prior_bar, [-1])]
    found = tape.gradient([K, prior], rows, bars, unconnected_gradients="zero")
    return tf.reshape(found, [R, N, D])


def _real(*shape: int | None) -> Any:
    return tf.TensorSpec(shape, "float64")


# --- from neighbours -------------------------------------------------------------------------


@_slopes.register
def _of_neighbours(p: NeighbourPosterior, X: np.ndarray, with_variance: bool) -> Slopes:
    """Each row from its own points, [n, k]."""
    near, weights, coefficients, scale = p.linear(X)
    K_bar = np.swapaxes(weights, 1, 2)  # [n, L, k]
    prior_bar = np.zeros(K_bar.shape[:2])
    if with_variance:
        K_bar = np.concatenate([K_bar, -2.0 * coefficients[:, None]], 1)
        prior_bar = np.concatenate([prior_bar, np.ones((len(X), 1))], 1)
    pulled = _pull_back_near(p.kernel)(p.values, p.points[near], X, K_bar, prior_bar).numpy()
    if not with_variance:
        return Slopes(pulled, None)
    return Slopes(pulled[:, :-1], pulled[:, -1:] * scale[:, None, None])


@compiled_once
def _pull_back_near(kernel: KernelStructure) -> Any:
    """Gradients [N, R, D] in rows, each of covariances with points of its own [N, k, D]."""

    def pull_back(values: tuple, points: Any, X: Any, K_bar: Any, prior_bar: Any) -> Any:
        def one(given: tuple) -> Any:
            points, x, K_bar, prior_bar = given
            columns = tf.transpose(K_bar)[:, :, None]  # [k, R, 1]
            return _pulled_back(
                kernel, values, points, x[None], columns, prior_bar[:, None], exact=False
            )[:, 0]

        return tf.vectorized_map(one, (points, X, K_bar, prior_bar))

    values = tuple(_real(*[None] * rank) for rank in kernel.ranks)
    matrix, stack = _real(None, None), _real(None, None, None)
    signature = (values, stack, matrix, stack, matrix)
    return tf.function(pull_back, input_signature=signature, autograph=False)
