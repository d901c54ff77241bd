r"""Prediction of each row from the training rows that are nearest to it.

With n the neighbours of a new row, :math:`L L^\top = K_{nn} + S_n`, :math:`a = L^{-1} k_n` and
:math:`t = L^{-1} y_n`, the first j of them alone give

.. math::

    f_{mean} = m(x) + \sum_{i \le j} a_i t_i, \qquad f_{var} = k_{**} - \sum_{i \le j} a_i^2,

as the leading part of a Cholesky factor is that of the leading part of the matrix.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse

from .._linalg import in_turn, one_blas_thread
from .._runtime import compiled_once, tf
from ..kernels import KernelStructure, covariance, needs_all_rows
from .covariances import cross_covariances, own_covariances
from .posterior import Posterior, floored
from .search import nearest

__all__ = ["NeighbourPosterior"]

# Numbers in the largest temporary array while predicting (16 MB in float64).
_CHUNK = 2**21
# Jitter for what rounding alone keeps from being factorised, in units of the variance.
_JITTERS = (0.0, 1e-14, 1e-12, 1e-10, 1e-8)
# On the diagonal where the factor's own is not looked at.
_PLENTY = 1e200
# Numbers of neighbours that are tried, rows that are left out for it, and the loss in log density
# of a row for which fewer are taken.
_COUNTS, _LEFT_OUT, _LOSS = (64, 128, 256), 1024, 0.001


@dataclass(frozen=True, eq=False, repr=False)
class NeighbourPosterior(Posterior):
    """The training rows, their targets less the mean of f, and their noise."""

    targets: np.ndarray  # [N, L]
    noise: np.ndarray  # [N]
    n_neighbors: int
    parts: ClassVar[tuple[str, ...]] = ("mean_values", "points", "targets", "noise", "n_neighbors")

    @property
    def n_latent(self) -> int:
        """Latent functions."""
        return self.targets.shape[1]

    @property
    def is_finite(self) -> bool:
        """Whether rows can be predicted from each other."""
        first = self.points[: 2 * self.n_neighbors]
        return all(bool(np.isfinite(a).all()) for a in self.mean_and_variance(first))

    def mean(self, X: np.ndarray) -> np.ndarray:
        """Mean [N, L] at rows X."""
        return self.mean_and_variance(X)[0]

    def mean_and_variance(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each row from its own neighbours."""
        X = X.astype(self.points.dtype, copy=False)
        gains, losses, prior = self._shares(X, self._near(X, self.n_neighbors))
        f_mean = self.mean_function.added(self.mean_values, gains.sum(1))
        f_var = floored(prior - losses.sum(1), prior)
        return f_mean, np.broadcast_to(f_var[:, None], f_mean.shape)

    def mean_and_covariance(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r"""Covariance of the errors of all predictions: linear in y, they are b' y_n.

        :math:`k_{**} - B k_{n*} - k_{*n} B^\top + B (K_{nn} + S) B^\top`.
        """
        X = X.astype(self.points.dtype, copy=False)
        near = self._near(X, self.n_neighbors)
        rows, place = np.unique(near, return_inverse=True)
        indices, ends = place.ravel(), np.arange(len(X) + 1) * near.shape[1]
        B = scipy.sparse.csr_array((self._coefficients(X, near).ravel(), indices, ends))
        own = own_covariances(self.kernel, self.values, X)[0]
        half = B @ cross_covariances(self.kernel, self.values, self.points[rows], X)[0][0]
        cov = own - half - half.T + self._spread(B, rows) + (B * self.noise[rows]) @ B.T
        f_mean, f_var = self.mean_and_variance(X)
        cov = 0.5 * (cov + cov.T)
        np.fill_diagonal(cov, f_var[:, 0])
        return f_mean, np.broadcast_to(cov, (self.n_latent, *cov.shape))

    def _spread(self, B: Any, rows: np.ndarray) -> np.ndarray:
        """B K B' of some rows, whose covariances are evaluated in parts."""
        total, size = np.zeros((B.shape[0],) * 2), max(1, _CHUNK // len(rows))
        for at in range(0, len(rows), size):
            part = self.points[rows[at : at + size]]
            K, _ = cross_covariances(self.kernel, self.values, self.points[rows], part)
            total += (B @ K[0]) @ B[:, at : at + size].T
        return total

    def packed(self) -> dict:
        """The rows."""
        return {name: getattr(self, name) for name in self.parts}

    # --- how many neighbours ---------------------------------------------------------------

    def with_enough_neighbours(self) -> NeighbourPosterior:
        """With the fewest neighbours from which rows left out gain about as much as from more."""
        N = len(self.points)
        drawn = np.random.RandomState(0).permutation(N)[:_LEFT_OUT]
        near = self._near(self.points[drawn], min(_COUNTS[-1] + 1, N))
        others = near[near != drawn[:, None]].reshape(len(drawn), -1)
        gains, losses, prior = self._shares(self.points[drawn], others)
        density = self._densities(drawn, np.cumsum(gains, 1), prior[:, None] - np.cumsum(losses, 1))
        counts = [k for k in _COUNTS if k <= others.shape[1]] or [others.shape[1]]
        means = np.array([density[:, k - 1].mean() for k in counts])
        enough = counts[int(np.argmax(means >= means.max() - _LOSS))]
        return dataclasses.replace(self, n_neighbors=enough)

    def _densities(self, rows: np.ndarray, means: np.ndarray, f_var: np.ndarray) -> np.ndarray:
        """Log density of rows by their first j neighbours, [Q, j]."""
        variance = np.maximum(f_var, 0.0) + self.noise[rows][:, None]
        error = self.targets[rows][:, None] - means
        each = -0.5 * (np.log(variance)[..., None] + error**2 / variance[..., None])
        return each.sum(-1)

    # --- algebra -----------------------------------------------------------------------------

    def _near(self, X: np.ndarray, k: int) -> np.ndarray:
        return nearest(self.kernel, self.values, self.points, X, min(k, len(self.points)))

    def _shares(self, X: np.ndarray, near: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What each neighbour adds to mean [Q, k, L] and takes from variance [Q, k]; k** [Q]."""
        a, t, prior = self._in_chunks(_solved, X, near)
        return a[..., None] * t, a**2, prior

    def _coefficients(self, X: np.ndarray, near: np.ndarray) -> np.ndarray:
        """b = (K_nn + S_n)^-1 k_n, [Q, k]."""
        return self._in_chunks(_weights, X, near)[0]

    def _in_chunks(self, algebra: Callable, X: np.ndarray, near: np.ndarray) -> list[np.ndarray]:
        """Results of ``algebra(K, y)`` for some rows at a time, in threads."""
        size = max(1, _CHUNK // near.shape[1] ** 2)

        def one(at: int) -> tuple:
            n, x = near[at : at + size], X[at : at + size]
            both = np.concatenate([self.points[n], x[:, None]], 1)
            K = _covariances(self.kernel)(self.values, both).numpy()
            np.einsum("qii->qi", K)[:, :-1] += self.noise[n]
            return algebra(K, self.targets[n])

        with one_blas_thread:
            parts = in_turn(one, range(0, len(X), size))
        return [np.concatenate(each) for each in zip(*parts, strict=True)]


@compiled_once
def _covariances(kernel: KernelStructure) -> Any:
    """Those within each of some blocks of rows, [Q, S, S]."""
    over_blocks = tf.map_fn if needs_all_rows(kernel) else tf.vectorized_map

    def within(values: tuple, blocks: Any) -> Any:
        return over_blocks(lambda rows: covariance(kernel, values, rows), blocks)

    real = functools.partial(tf.TensorSpec, dtype="float64")
    values = tuple(real([None] * rank) for rank in kernel.ranks)
    return tf.function(within, input_signature=(values, real([None] * 3)), autograph=False)


def _solved(K: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """a [Q, k], t [Q, k, L] and k** [Q], from covariances K [Q, k+1, k+1] of the row at last.

    a' and t' are rows of the Cholesky factor of a matrix that has k' and y' as rows, with more on
    its diagonal than any of them needs.
    """
    (Q, k, L), prior = Y.shape, K[:, -1, -1].copy()
    A = np.zeros((Q, k + 1 + L, k + 1 + L))
    A[:, : k + 1, : k + 1] = K
    A[:, k + 1 :, :k] = np.moveaxis(Y, 2, 1)
    np.einsum("qii->qi", A)[:, k:] = _PLENTY
    rows = _cholesky(A)[:, k:, :k]
    return rows[:, 0], np.moveaxis(rows[:, 1:], 1, 2), prior


def _weights(K: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray]:
    """b = (K_nn + S_n)^-1 k_n, [Q, k]."""
    L = _cholesky(K[:, :-1, :-1])
    b = np.linalg.solve(L, K[:, :-1, -1:])
    return (np.linalg.solve(np.swapaxes(L, 1, 2), b)[..., 0],)


def _cholesky(A: np.ndarray) -> np.ndarray:
    """Of each matrix, with the first jitter that is enough; NaN where none is."""
    size = A[:, 0, 0].max()
    for jitter in _JITTERS:
        try:
            return np.linalg.cholesky(A + jitter * size * np.eye(A.shape[1]) if jitter else A)
        except np.linalg.LinAlgError:
            continue
    return np.full_like(A, np.nan)
