r"""Prediction of each row from the training rows that are nearest to it.

With n the neighbours of a new row, :math:`L L^\top = K_{nn} + S_n`, :math:`a = L^{-1} k_n` and
:math:`t = L^{-1} y_n`, the first j of them alone give

.. math::

    f_{mean} = m(x) + \sum_{i \le j} a_i t_i, \qquad f_{var} = k_{**} - \sum_{i \le j} a_i^2,

as the leading part of a Cholesky factor is that of the leading part of the matrix. The t of the
nearest w rows are what these miss of each other, in units of what was expected: 1 in the mean of
their squares. Variances, noise included, are multiplied by a :class:`Scale` that follows it,

.. math::

    s = c \frac{\nu + \sum_{i \le w} t_i^2}{\nu + w},

as under a prior of Gaussian processes of all scales: a Student-t process (Shah, Wilson &
Ghahramani 2014, eq. 6; of neighbours Gramacy & Apley 2015, section 2).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import scipy.sparse
from scipy.linalg import lapack

from .._linalg import Arrays, in_turn, one_blas_thread
from .._runtime import compiled_once, tf
from ..kernels import KernelStructure, covariance, metric, needs_all_rows
from .covariances import cross_covariances, own_covariances
from .posterior import Posterior, floored
from .search import Search, searcher

__all__ = ["NeighbourPosterior", "Scale"]

# Numbers in the largest temporary array while predicting (8 MB in float64).
_CHUNK = 2**20
# Jitter for what rounding alone keeps from being factorised, in units of the variance.
_JITTERS = (1e-14, 1e-12, 1e-10, 1e-8)
# On the diagonal where the factor's own is not looked at.
_PLENTY = 1e200
# What is tried: numbers of neighbours, and of those whose scale is followed, and how firmly it is
# not. On so many rows that are left out, or fewer: their number times the square of that of
# neighbours. Of many, as a few outliers decide.
_COUNTS, _WINDOWS, _FIRM = (64, 128, 256), (16, 32, 64, 128), (2.0, 8.0, 32.0, 128.0)
_LEFT_OUT, _WORK = 8192, 2**27
# Loss in log density of a row for which fewer neighbours are taken, and a scale that follows less:
# it is less sure of rows that turn out to be unlike all others. With 2048 rows left out and no such
# loss power (split 0) had an NLPD of -0.12 by two outliers, and so -0.33; by one scale -0.35.
_LOSS, _LOSS_OF_FIRM = 0.001, 0.01
# Rows that are left out to see whether anything is explained, or looked at for copies: a copy is
# nearer than so much of the distance to the so manieth neighbour.
_LOOKED_AT, _NEXT_TO_NOTHING, _CROWD = 1024, 0.01, 8


class Scale(NamedTuple):
    """By what variances are multiplied, see above; as it stands by 1."""

    window: int = 0  # w
    nu: float = 1.0
    level: float = 1.0  # c

    def at(self, squares: np.ndarray) -> np.ndarray:
        """For the squares [Q, j] of what neighbours miss of each other, [Q]."""
        own = squares[:, : self.window].sum(1)
        return self.level * (self.nu + own) / (self.nu + self.window)


@dataclass(frozen=True, eq=False, repr=False)
class NeighbourPosterior(Posterior):
    """The training rows, their targets less the mean of f, and their noise."""

    targets: np.ndarray  # [N, L]
    noise: np.ndarray  # [N], of one of the rows that each stands for
    weights: np.ndarray  # [N], how many these are
    n_neighbors: int | None  # None until it is chosen
    scale: Scale | None = Scale()  # the same
    parts: ClassVar[tuple[str, ...]] = (
        *("mean_values", "points", "targets", "noise", "weights", "n_neighbors", "scale"),
    )

    @property
    def n_latent(self) -> int:
        """Latent functions."""
        return self.targets.shape[1]

    @property
    def is_finite(self) -> bool:
        """Whether rows can be predicted from each other."""
        first = self.points[: 2 * self._count]
        return all(bool(np.isfinite(a).all()) for a in self.mean_and_variance(first))

    @property
    def _count(self) -> int:
        return min(self.n_neighbors or _COUNTS[0], len(self.points))

    def __getstate__(self) -> dict:
        """Without the search, which is made anew."""
        return {name: value for name, value in vars(self).items() if name != "_search"}

    def mean(self, X: np.ndarray) -> np.ndarray:
        """Mean [N, L] at rows X."""
        return self.marginals(X)[0]

    def mean_and_variance(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each row from its own neighbours."""
        return self.marginals(X)[:2]

    def marginals(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of parts of the rows, one after the other."""
        parts = [self._marginals(x) for x in self._parts_of(X)]
        f_mean, f_var, scale = (np.concatenate(each) for each in zip(*parts, strict=True))
        f_var = np.broadcast_to((f_var * scale)[:, None], f_mean.shape)
        return self.mean_function.added(self.mean_values, f_mean, X), f_var, scale

    def _marginals(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean less that of f, and variance, both before the scale, and this."""
        a, t, prior = self._in_chunks(_solved, X, self._near(X, self._count))
        f_mean, f_var = np.einsum("qk,qkl->ql", a, t), floored(prior - np.sum(a**2, 1), prior)
        return f_mean, f_var, (self.scale or Scale()).at(np.mean(t**2, 2))

    def mean_and_covariance(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Covariance of the errors of all predictions."""
        return self.joint(X)[:2]

    def joint(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        r"""Predictions are linear in y, :math:`b^\top y_n`; of their errors.

        :math:`k_{**} - B k_{n*} - k_{*n} B^\top + B (K_{nn} + S) B^\top`.
        """
        X = X.astype(self.points.dtype, copy=False)
        near = self._near(X, self._count)
        rows, place = np.unique(near, return_inverse=True)
        indices, ends = place.ravel(), np.arange(len(X) + 1) * near.shape[1]
        b = self._in_chunks(_coefficients, X, near)[0]
        B = scipy.sparse.csr_array((b.ravel(), indices, ends), (len(X), len(rows)))
        own = own_covariances(self.kernel, self.values, X)[0]
        half = B @ cross_covariances(self.kernel, self.values, self.points[rows], X)[0][0]
        cov = (
            own
            - half
            - half.T
            + self._spread(B, rows)
            + (B * (self.noise / self.weights)[rows]) @ B.T
        )
        f_mean, f_var, scale = self.marginals(X)
        cov = 0.5 * (cov + cov.T) * np.sqrt(np.outer(scale, scale))
        np.fill_diagonal(cov, f_var[:, 0])
        return f_mean, np.broadcast_to(cov, (self.n_latent, *cov.shape)), scale

    def _spread(self, B: Any, rows: np.ndarray) -> np.ndarray:
        """B K B' of some rows, whose covariances are evaluated in parts."""
        total, size = np.zeros((B.shape[0],) * 2), max(1, _CHUNK // len(rows))
        for at in range(0, len(rows), size):
            part = self.points[rows[at : at + size]]
            K, _ = cross_covariances(self.kernel, self.values, self.points[rows], part)
            total += (B @ K[0]) @ B[:, at : at + size].T
        return total

    @property
    def n_reached(self) -> int:
        """Points that a prediction is from."""
        return self._count

    def linear(self, X: np.ndarray) -> tuple[np.ndarray, ...]:
        r"""What the prediction of each row is linear in.

        Its neighbours [N, k], :math:`(K_{nn} + S_n)^{-1} y_n` [N, k, L] and
        :math:`(K_{nn} + S_n)^{-1} k_n` [N, k], and the scale of its variances [N].
        """
        near = self._near(X, self._count)
        alpha, b, t = self._in_chunks(_linear, X, near)
        return near, alpha, b, (self.scale or Scale()).at(np.mean(t**2, 2))

    def packed(self) -> dict:
        """The rows."""
        chosen = {"n_neighbors": self._count, "scale": tuple(self.scale or Scale())}
        return {name: getattr(self, name) for name in self.parts} | chosen

    # --- rows that are left out ------------------------------------------------------------

    def left_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Some rows, and what others miss of each, [n, L]."""
        rows, a, t, _ = self._by_others(self._count, _LOOKED_AT)
        return rows, self.targets[rows] - np.einsum("qk,qkl->ql", a, t)

    def leave_one_out(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What its neighbours miss of each row, its variance before the scale, and this."""
        rows, a, t, prior = self._by_others(self._count, len(self.points))
        f_var = floored(prior - np.sum(a**2, 1), prior)
        missed = self.targets[rows] - np.einsum("qk,qkl->ql", a, t)
        variance = f_var + (self.noise / self.weights)[rows]
        scale = (self.scale or Scale()).at(np.mean(t**2, 2))
        back = np.argsort(rows)
        return missed[back], np.broadcast_to(variance[back, None], missed.shape), scale[back]

    def of_rows(
        self, X: np.ndarray, targets: np.ndarray, noise: np.ndarray, weights: np.ndarray
    ) -> NeighbourPosterior:
        """With the same number of neighbours and scale."""
        X = X.astype(self.points.dtype, copy=False)
        return dataclasses.replace(self, points=X, targets=targets, noise=noise, weights=weights)

    def share_of_copies(self) -> float:
        """Of the rows: those that have one with the same targets next to nothing away."""
        weights = metric(self.kernel, self.values, self.points.shape[1])
        if weights is None or len(self.points) <= _CROWD:
            return 0.0
        rows = np.random.RandomState(0).permutation(len(self.points))[:_LOOKED_AT]
        near = _others(self._near(self.points[rows], _CROWD + 1), rows)
        away = (self.points[near] - self.points[rows][:, None]) ** 2 @ weights  # [n, _CROWD]
        same = (self.targets[near] == self.targets[rows][:, None]).all(2)
        close = away[:, 0] < _NEXT_TO_NOTHING**2 * away[:, -1]
        # of y that has few values the others are as often the same
        return float(np.mean(close & same[:, 0]) - np.mean(close & same[:, -1]))

    def calibrated(self) -> NeighbourPosterior:
        """With the number of neighbours and the scale that suit rows that are left out."""
        N = len(self.points)
        if N == 1:  # nothing else to be predicted from
            return dataclasses.replace(self, n_neighbors=1, scale=Scale())
        if self.n_neighbors and self.scale:
            return dataclasses.replace(self, n_neighbors=min(self.n_neighbors, N))
        most = min(self.n_neighbors or _COUNTS[-1], N if self.n_neighbors else N - 1)
        rows = self._surprises(most)
        k = most if self.n_neighbors else self._enough(rows, most)
        if self.scale is None and k < most:  # from fewer neighbours, more rows are worth the work
            rows = self._surprises(k)
        scale = self.scale or rows.best_scale(min(k, N - 1))
        return dataclasses.replace(self, n_neighbors=k, scale=scale)

    def _enough(self, rows: _Surprises, most: int) -> int:
        """The fewest neighbours that lose next to nothing against more."""
        counts = [*(k for k in _COUNTS if k < most), most]
        scales = [self.scale or rows.best_scale(k) for k in counts]
        density = np.array([rows.density(k, s) for k, s in zip(counts, scales, strict=True)])
        return counts[int(np.argmax(density >= density.max() - _LOSS))]

    def _surprises(self, k: int) -> _Surprises:
        """Of as many rows as are worth the work."""
        rows, a, t, prior = self._by_others(k, min(_LEFT_OUT, max(1, _WORK // k**2)))
        errors = self.targets[rows][:, None] - np.cumsum(a[..., None] * t, 1)
        f_var = np.maximum(prior[:, None] - np.cumsum(a**2, 1), 0.0)
        variance = f_var + self.noise[rows][:, None]
        surprise = np.mean(errors**2, 2) / variance
        return _Surprises(surprise, variance, np.mean(t**2, 2), self.weights[rows])

    def _by_others(self, k: int, n: int) -> tuple[np.ndarray, ...]:
        """Positions of n rows at most, and a, t and k** of each from k others."""
        N = len(self.points)
        k, drawn = min(k, N - 1), np.random.RandomState(0).permutation(N)[:n]
        parts = []
        for rows in np.array_split(drawn, -(-len(drawn) * (k + 1) // _CHUNK)):
            near = _others(self._near(self.points[rows], k + 1), rows)
            parts.append(self._in_chunks(_solved, self.points[rows], near))
        return drawn, *(np.concatenate(each) for each in zip(*parts, strict=True))

    # --- algebra -----------------------------------------------------------------------------

    @functools.cached_property
    def _search(self) -> Search:
        return searcher(self.kernel, self.values, self.points)

    def _near(self, X: np.ndarray, k: int) -> np.ndarray:
        return self._search(X, min(k, len(self.points)))

    def _parts_of(self, X: np.ndarray) -> Iterator[np.ndarray]:
        """Parts of which no array of neighbours is large."""
        X, size = X.astype(self.points.dtype, copy=False), max(1, _CHUNK // self._count)
        return (X[at : at + size] for at in range(0, max(len(X), 1), size))

    def _in_chunks(self, algebra: Callable, X: np.ndarray, near: np.ndarray) -> list[np.ndarray]:
        """Results of ``algebra(K, y)`` for some rows at a time, in threads."""
        size = max(1, _CHUNK // near.shape[1] ** 2)

        def one(at: int) -> tuple:
            n, x = near[at : at + size], X[at : at + size]
            both = np.concatenate([self.points[n], x[:, None]], 1)
            K = _covariances(self.kernel)(self.values, both).numpy()
            np.einsum("qii->qi", K)[:, :-1] += self.noise[n] / self.weights[n]
            return algebra(K, self.targets[n])

        with one_blas_thread:
            parts = in_turn(one, range(0, max(len(X), 1), size))
        return [np.concatenate(each) for each in zip(*parts, strict=True)]


def _others(near: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Of near rows [Q, k+1] all but the row itself: a kernel may not tell some before it apart."""
    order = np.argsort(near == rows[:, None], axis=1, kind="stable")[:, :-1]
    return np.take_along_axis(near, order, 1)


class _Surprises(NamedTuple):
    """Of rows that are left out, by how many others predict them, [Q, k]."""

    surprise: np.ndarray  # squares of errors over variances
    variance: np.ndarray  # of y
    squares: np.ndarray  # of what the others miss of each other
    weights: np.ndarray  # [Q]

    def best_scale(self, k: int) -> Scale:
        """For predictions from k neighbours."""
        if not self.surprise[:, k - 1].any():  # y is constant
            return Scale()
        followed = [Scale(w, nu) for nu in _FIRM[::-1] for w in _WINDOWS if w <= k]
        tried = [self._levelled(k, s) for s in (Scale(), *followed)]  # the firmest first
        density = np.array([self.density(k, s) for s in tried])
        enough = density >= density.max() - _LOSS_OF_FIRM
        firm = [s.nu == tried[int(np.argmax(enough))].nu for s in tried]
        return tried[int(np.argmax(np.where(firm, density, -np.inf)))]

    def _levelled(self, k: int, scale: Scale) -> Scale:
        """With the level under which errors are as large as expected."""
        ratio = self.surprise[:, k - 1] / scale.at(self.squares)
        return scale._replace(level=float(np.average(ratio, weights=self.weights)))

    def density(self, k: int, scale: Scale) -> float:
        """Mean log density, less a constant."""
        s = scale.at(self.squares)
        each = np.log(s * self.variance[:, k - 1]) + self.surprise[:, k - 1] / s
        return -0.5 * float(np.average(each, weights=self.weights))


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
    A[:, k + 1 :, :k], A[:, :k, k + 1 :] = np.swapaxes(Y, 1, 2), Y
    np.einsum("qii->qi", A)[:, k:] = _PLENTY
    rows = _factorised(A)[:, k:, :k]
    return rows[:, 0].copy(), np.swapaxes(rows[:, 1:], 1, 2).copy(), prior


def _coefficients(K: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray]:
    """b = (K_nn + S_n)^-1 k_n, [Q, k]."""
    right = K[:, :-1, -1]
    L = _factorised(K[:, :-1, :-1].copy())
    solved = [lapack.dpotrs(l.T, b, lower=0)[0] for l, b in zip(L, right, strict=True)]
    return (np.stack(solved) if len(solved) else right,)


def _linear(K: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(K_nn + S_n)^-1 y_n [Q, k, L], the same of k_n [Q, k], and t [Q, k, L]."""
    right = np.concatenate([Y, K[:, :-1, -1:]], 2)
    L = _factorised(K[:, :-1, :-1].copy())
    half = np.stack([Arrays.lower_solve(l, r) for l, r in zip(L, right, strict=True)])
    solved = np.stack([lapack.dtrtrs(l.T, h, lower=0)[0] for l, h in zip(L, half, strict=True)])
    return solved[:, :, :-1], solved[:, :, -1], half[:, :, :-1]


def _factorised(A: np.ndarray) -> np.ndarray:
    """Lower Cholesky factors in the place of A [Q, n, n], whose upper triangles stay.

    With the first jitter that is enough; NaN where none is.
    """
    for matrix in A:
        diagonal = matrix.diagonal().copy()
        for jitter in _JITTERS:
            # LAPACK has columns in order: its upper triangle is our lower one
            _, info = lapack.dpotrf(matrix.T, lower=0, clean=0, overwrite_a=1)
            if not info:
                break
            matrix[...] = np.triu(matrix, 1) + np.triu(matrix, 1).T
            np.fill_diagonal(matrix, diagonal + jitter * diagonal[0])
        else:
            matrix[...] = np.nan
    return A
