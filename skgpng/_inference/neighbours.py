r"""Regression in which each row is predicted from its neighbours: the posterior follows y itself.

Hyperparameters are those under which rows are predicted best from the others (leave-one-out log
density: Besag 1975; Rasmussen & Williams 2006, section 5.4.2), learned from blocks of near rows,
each predicted from all others of its block. With :math:`B = (K + S)^{-1}` of a block

.. math::

    y_i - \mu_i = [B y]_i / B_{ii}, \qquad v_i = 1 / B_{ii} \qquad (5.10,\ 5.11),

so that one factorisation serves all rows of a block that are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .._linalg import add_to_diagonal
from .._runtime import tf
from ..kernels import KernelStructure, covariance, metric, needs_all_rows
from ..parameters import Hyperparameters
from .base import Data, Execution, Iterate, Model, Step, WithoutQ, centred, real
from .neighbour_posterior import NeighbourPosterior, Scale
from .posterior import Posterior
from .search import searcher

__all__ = ["Neighbours"]

_LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True)
class Neighbours(WithoutQ):
    """The objective is the leave-one-out log density of all rows, by that of a sample of them.

    Training takes blocks in place of rows, see :meth:`gathered`.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"conjugate", "neighbours"})
    gathers: ClassVar[bool] = True
    title: ClassVar[str] = "neighbours"

    #: Rows that a prediction is conditioned on; None for as many as the rows left out gain from.
    n_neighbors: int | None = field(default=None, compare=False)
    #: Whether variances follow how well rows near by are predicted from each other.
    local_scale: bool = field(default=True, compare=False)

    def data_form(self, model: Model, how: Execution) -> Data:
        """Of blocks, [n, S, ...]; weights [n, c] of the first rows of each, which are left out.

        The last column of ``row`` is the weight of a row in its block.
        """
        P, R = model.likelihood.n_columns(model.n_latent), len(model.likelihood.row_names)
        X, Y = (real(None, None, n) for n in (None, P))
        return Data(X, Y, real(None, None), real(None, None, R + 1), real(None))

    def step(self, iterate: Iterate, q: tuple, data: Data) -> Step:
        """Log density of the rows left out, and its gradient."""
        value, g_theta = _left_out(iterate, data)
        return Step(value, g_theta, q, q, tf.zeros_like(value))

    def posterior(
        self, model: Model, theta: Hyperparameters, q: tuple, data: Data, jitter: float
    ) -> Posterior:
        """Of the rows themselves."""
        noise = model.likelihood.noise_of_rows(theta.likelihood, data.row) * np.ones(len(data.X))
        Y = np.asarray(centred(model.mean, theta.mean, data.X, data.Y))
        given = (model.kernel, theta.kernel, model.mean, theta.mean, data.X)
        scale = None if self.local_scale else Scale()
        return NeighbourPosterior(*given, Y, noise, data.weights, self.n_neighbors, scale)

    def gathered(
        self, model: Model, theta: Hyperparameters, data: Data, sizes: tuple, seed: int
    ) -> Data:
        """Blocks of rows that are near each other at theta; a row drawn and those nearest to it."""
        n_blocks, size, n_left_out = sizes
        N, rng = len(data.X), np.random.RandomState(seed)
        drawn = rng.permutation(N)[:n_blocks]
        near = _rows_of_blocks(model.kernel, theta.kernel, data.X, drawn, min(size, N), rng)
        left_out = near[:, : min(n_left_out, N)]
        weights = data.weights[left_out] * (data.weights.sum() / data.weights[left_out].sum())
        row = np.concatenate([data.row, data.weights[:, None]], 1)
        return data._replace(X=data.X[near], Y=data.Y[near], weights=weights, row=row[near])


def _rows_of_blocks(
    kernel: KernelStructure, values: tuple, X: np.ndarray, drawn: np.ndarray, size: int, rng: Any
) -> np.ndarray:
    """Positions [n, size] of rows near those drawn, these at first.

    Where correlations do not fall with a distance, rows that are near by the kernel as it stands,
    such as those of one phase, cannot tell another period: half of the rows are then any.
    """
    order = rng.permutation(len(X))  # rows that are equally near come by their place
    search = searcher(kernel, values, X[order])
    falls = metric(kernel, values, X.shape[1]) is not None
    near = order[search(X[drawn], size if falls else -(-size // 2))]
    itself_first = np.argsort(near != drawn[:, None], axis=1, kind="stable")
    near = np.take_along_axis(near, itself_first, 1)
    near[:, 0] = drawn  # also where others are as near, and it was not among them
    if falls:
        return near
    some = (rng.choice(len(X), size, replace=False) for _ in near)
    others = [o[~np.isin(o, own)][: size // 2] for o, own in zip(some, near, strict=True)]
    return np.concatenate([near, np.stack(others)], 1)


# --- the objective ---------------------------------------------------------------------------


class _LeftOut(NamedTuple):
    """Of each block what leaving out its first c rows takes."""

    alpha: Any  # [n, S, P], B y
    columns: Any  # [n, S, c], first columns of B
    precision: Any  # [n, c], B_ii


def _left_out(iterate: Iterate, data: Data) -> tuple[Any, Hyperparameters]:
    (model, _, theta), c = iterate[:3], tf.shape(data.weights)[1]
    with tf.GradientTape(watch_accessed_variables=False) as of_kernel:
        of_kernel.watch(theta.kernel)
        K = _within_blocks(iterate, data.X)
    with tf.GradientTape(watch_accessed_variables=False) as of_rest:
        of_rest.watch(theta)
        noise, apart = _noise(model, theta, data)
        Y, apart = centred(model.mean, theta.mean, data.X, data.Y), apart[:, :c]
    jitter = iterate.jitter * tf.reduce_mean(tf.cast(tf.linalg.diag_part(K), tf.float64))
    found = _moments(add_to_diagonal(K, tf.cast(noise + jitter, K.dtype)), Y, c)
    value, (g_alpha, g_precision, g_apart) = _density(found, apart, data.weights)
    K_bar, Y_bar = _pull_back(found, g_alpha, g_precision)
    bars = [tf.linalg.diag_part(K_bar), g_apart, Y_bar]
    g_theta = of_rest.gradient([noise, apart, Y], theta, bars, unconnected_gradients="zero")
    K_bar = tf.cast(K_bar, K.dtype)
    g_kernel = of_kernel.gradient(K, theta.kernel, K_bar, unconnected_gradients="zero")
    return value, g_theta._replace(kernel=g_kernel)


def _within_blocks(iterate: Iterate, X: Any) -> Any:
    """Covariances [n, S, S] of the rows of each block, of all blocks at once where that can be."""
    _, how, theta = iterate[:3]
    kernel = iterate.model.kernel
    values, X = tf.nest.map_structure(lambda v: tf.cast(v, how.dtype), (theta.kernel, X))
    if needs_all_rows(kernel):  # code that is not TensorFlow's
        return tf.map_fn(lambda x: covariance(kernel, values, x), X)
    return tf.vectorized_map(lambda x: covariance(kernel, values, x), X)


def _noise(model: Model, theta: Hyperparameters, data: Data) -> tuple[Any, Any]:
    """Noise variance of each row [n, S]: of all that its weight stands for, and what one has more.

    A row of weight w is w equal rows, which are left out together.
    """
    known, weights = data.row[..., :-1], data.row[..., -1]
    flat = tf.reshape(known, [-1, known.shape[2]])
    variance = model.likelihood.noise_of_rows(theta.likelihood, flat)
    variance = tf.reshape(variance * tf.ones_like(flat[:, 0]), tf.shape(weights))
    return variance / weights, variance - variance / weights


def _moments(K: Any, Y: Any, c: Any) -> _LeftOut:
    """Of K [n, S, S], noise included."""
    n, S = tf.unstack(tf.shape(K)[:2])
    unit = tf.eye(S, c, batch_shape=[n], dtype=K.dtype)
    right = tf.concat([unit, tf.cast(Y, K.dtype)], 2)
    solved = tf.cast(tf.linalg.cholesky_solve(tf.linalg.cholesky(K), right), tf.float64)
    columns = solved[:, :, :c]
    return _LeftOut(solved[:, :, c:], columns, tf.linalg.diag_part(columns[:, :c]))


def _density(found: _LeftOut, apart: Any, weights: Any) -> tuple[Any, tuple]:
    """Weighted sum of the log densities, and its gradient in alpha, precision and noise apart."""
    sources = found.alpha[:, : tf.shape(weights)[1]], found.precision, apart
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(sources)
        alpha, precision, apart = sources
        error, variance = alpha / precision[..., None], (1.0 / precision + apart)[..., None]
        each = -0.5 * (_LOG_2PI + tf.math.log(variance) + error**2 / variance)
        value = tf.reduce_sum(weights * tf.reduce_sum(each, 2))
    return value, tape.gradient(value, sources)


def _pull_back(found: _LeftOut, g_alpha: Any, g_precision: Any) -> tuple[Any, Any]:
    r"""Gradients in K and Y: :math:`dB = -B\,dK\,B`, and alpha = B y."""
    alpha, columns, _ = found
    inner = tf.matmul(g_alpha, alpha, transpose_b=True)  # [n, c, S]
    inner += g_precision[..., None] * tf.linalg.matrix_transpose(columns)
    return -tf.matmul(columns, inner), tf.matmul(columns, g_alpha)
