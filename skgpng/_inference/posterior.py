r"""What a trained model knows of its latent functions: it predicts, and is all that it takes.

Every model so far predicts from the same few arrays. With :math:`k` the covariances between a new
row and the points Z, and lower Cholesky factors :math:`L`, :math:`L_P`,

.. math::

    f_{mean} = m(x) + k^\top w, \qquad a = L^{-1} k, \qquad
    f_{var} = k_{**} - \|a\|^2 + \|L_P^{-1} a\|^2 .

Without inducing points :math:`L L^\top = K + noise` and the last term is missing; with them
:math:`L L^\top = K_{uu}` and :math:`L_P L_P^\top` is the precision of the whitened q. Factors are
kept, and predicting solves with them. A product with an inverse would be as quick, but its error
is that of the condition number: for a noise of 1e-8 of the variance it exceeds f_var.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.linalg import lapack

from .._linalg import Arrays, columnwise, in_turn, one_blas_thread
from ..gaussians import Natural
from ..kernels import KernelStructure
from ..means import Mean, Zero
from ..parameters import Hyperparameters
from .base import Memory, Model
from .covariances import (
    CrossCovariances,
    cross_covariances,
    jitter_units,
    own_covariances,
    prior_variance,
)

__all__ = [
    "PointPosterior",
    "Posterior",
    "RowPosterior",
    "cholesky_roots",
    "covariance_root",
    "floored",
    "grown_root",
    "nothing_known",
    "posterior_of_points",
    "posterior_of_rows",
    "solve_each",
    "solved",
]

# Numbers in the largest temporary array while predicting (4 MB in float64): it stays in the cache.
_CHUNK = 2**19
# Jitter for what rounding alone keeps from being factorised, in units of the mean diagonal.
_ROUNDING = (0.0, 1e-14, 1e-12, 1e-10)
# Smallest variance that is told from none, in units of the prior variance k**. Rounding of k**, of
# k and of the solve leaves 0.3 to 3 epsilon in the median, and less than 8 at nearly all rows (six
# kernels, 1 and 4 columns, 20 and 200 rows, noise 1e-2 to 1e-12; against long doubles).
_EPS = np.finfo(np.float64).eps
_FLOOR, _TINY = 8.0 * _EPS, np.finfo(np.float64).tiny
# Precision beyond the prior's, and noise of a row, that count as none.
_LEARNED_NOTHING, _LEAST_NOISE = 1e-9, 1e-9


@dataclass(frozen=True, eq=False, repr=False)
class Posterior(abc.ABC):
    """Latent functions given what was learned; NumPy arrays in and out."""

    kernel: KernelStructure
    values: tuple  # of the kernel
    mean_function: Mean
    mean_values: tuple
    points: np.ndarray  # [M, D], inducing points, or the training rows

    @property
    @abc.abstractmethod
    def n_latent(self) -> int:
        """Latent functions, L."""

    @property
    def n_reached(self) -> int:
        """Points that a prediction is from."""
        return len(self.points)

    @property
    @abc.abstractmethod
    def is_finite(self) -> bool:
        """Whether all that was learned is."""

    @abc.abstractmethod
    def mean(self, X: np.ndarray) -> np.ndarray:
        """Mean [N, L] at rows X."""

    @abc.abstractmethod
    def mean_and_variance(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance [N, L]; the variance is positive where that of the prior is."""

    @abc.abstractmethod
    def mean_and_covariance(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean [N, L] and covariance [L, N, N], whose diagonal is the variance.

        Latent functions of one covariance share its memory, read-only.
        """

    def marginals(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean and variance [N, L], and what the noise of each row is multiplied by, [N]."""
        return *self.mean_and_variance(X), np.ones(len(X))

    def joint(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean [N, L] and covariance [L, N, N], and what noise is multiplied by, [N]."""
        return *self.mean_and_covariance(X), np.ones(len(X))

    def calibrated(self) -> Posterior:
        """With what is chosen by how rows that are left out are predicted; nothing but here."""
        return self

    def of_rows(
        self, X: np.ndarray, targets: np.ndarray, noise: np.ndarray, weights: np.ndarray
    ) -> RowPosterior | Posterior:
        """With the same hyperparameters, of other rows; TypeError where rows are not kept.

        Targets [N, L] are less the mean of f, the noise [N] is that of one of the rows that each
        stands for, the weights [N] how many these are.
        """
        raise TypeError(f"{type(self).__name__} keeps no rows.")

    def leave_one_out(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What others miss of each row, its variance [N, L], and what variances are scaled by, [N].

        TypeError where rows are not kept.
        """
        raise TypeError(f"{type(self).__name__} keeps no rows.")

    @abc.abstractmethod
    def packed(self) -> dict:
        """What a file holds beside the kernel."""

    @property
    def natural(self) -> Natural | None:
        """Natural parameters of the whitened q, where there is one."""
        return None

    def prior_variance(self, X: np.ndarray) -> np.ndarray:
        """Of each latent function at rows X, [1 or L, N]."""
        return prior_variance(self.kernel, self.values, X)

    def draws(
        self, X: np.ndarray, n_draws: int, rng: np.random.RandomState, noise: Any = 0.0
    ) -> np.ndarray:
        """Joint draws [N, L, n_draws] at rows X, with Gaussian noise of this variance."""
        f_mean, cov, scale = self.joint(X)
        prior = self.prior_variance(X).max()
        distinct = cov[:1] if np.may_share_memory(cov[0], cov[-1]) else cov
        roots = [covariance_root(c + noise * scale * np.eye(len(X)), prior) for c in distinct]
        each = [
            m[:, None] + roots[k % len(roots)] @ rng.standard_normal((len(X), n_draws))
            for k, m in enumerate(f_mean.T)
        ]
        return np.stack(each, 1)


@dataclass(frozen=True, eq=False, repr=False)
class CholeskyPosterior(Posterior):
    """From Cholesky factors of all points."""

    weights: np.ndarray  # [M, L], w
    root: np.ndarray  # [1 or L, M, M], L
    triangles: ClassVar[tuple[str, ...]] = ("root",)

    @abc.abstractmethod
    def _factors(self, K: np.ndarray, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """a = L^-1 k and b = L_P^-1 a, [1 or L, M, N]; b has no rows where there is no L_P."""

    @property
    def n_latent(self) -> int:
        """Latent functions, L."""
        return self.weights.shape[1]

    @property
    def is_finite(self) -> bool:
        """Whether all that was learned is."""
        arrays = (self.points, self.weights, *(getattr(self, name) for name in self.triangles))
        return all(np.isfinite(a).all() for a in arrays)

    @functools.cached_property
    def _cross(self) -> CrossCovariances:
        return CrossCovariances(self.kernel, self.values, self.points)

    def _mean(self, K: np.ndarray, X: np.ndarray) -> np.ndarray:
        """m(x) + k' w, [N, L]."""
        if len(K) == 1:
            f_mean = K[0].T @ self.weights
        else:
            f_mean = np.einsum("lmn,ml->nl", K, self.weights)
        return self.mean_function.added(self.mean_values, f_mean, X)

    def mean(self, X: np.ndarray) -> np.ndarray:
        """In chunks of rows."""
        return self._in_chunks(lambda X: (self._mean(self._cross(X)[0], X),), X)[0]

    def mean_and_variance(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """In chunks of rows."""

        def one(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            K, prior = self._cross(X)
            f_mean, f_var = self._mean(K, X), _variance(prior, *self._factors(K, X)).T
            return f_mean, np.broadcast_to(f_var, f_mean.shape)

        f_mean, f_var = self._in_chunks(one, X)
        return f_mean, f_var

    def mean_and_covariance(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """k** - a'a + b'b."""
        X = X.astype(self.points.dtype, copy=False)
        (K, prior), cov = self._cross(X), own_covariances(self.kernel, self.values, X)
        with np.errstate(all="ignore"), one_blas_thread:
            a, b = self._factors(K, X)
            n = max(len(K), len(a), len(b))
            cov = np.stack([_known(*(m[k % len(m)] for m in (cov, a, b))) for k in range(n)])
            np.einsum("lii->li", cov)[...] = _variance(prior, a, b)
            f_mean = self._mean(K, X)
        return f_mean, np.broadcast_to(cov, (f_mean.shape[1], *cov.shape[1:]))

    def of_part(self, covariances: Callable, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance [N, L] of a function that f is the sum of with others.

        ``covariances(points, X)`` are its own before the fit, [M, N], and its variances [N].
        """

        def one(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            K, prior = covariances(self.points, X)
            f_var = _variance(prior[None], *self._factors(K[None], X)).T
            f_mean = K.T @ self.weights
            return f_mean, np.broadcast_to(f_var, f_mean.shape)

        f_mean, f_var = self._in_chunks(one, X.astype(self.points.dtype, copy=False))
        return f_mean, f_var

    def explained_variance(self, X: np.ndarray) -> np.ndarray:
        """Share [N] of the prior variance that is known where the values at the points are."""
        K, prior = self._cross(X)
        return np.mean(_sums_of_squares(solve_each(self.root, K)) / prior, 0)

    def _in_chunks(self, one: Callable, X: np.ndarray) -> list:
        """Results of ``one`` for parts of the rows, in threads, each in an array for all rows."""
        n_matrices = max(len(getattr(self, name)) for name in self.triangles)
        rows = max(1, _CHUNK // max(1, len(self.points) * n_matrices))

        def silent(chunk: np.ndarray) -> tuple:
            with np.errstate(all="ignore"):  # whoever asked looks for what is not finite
                return one(chunk)

        with one_blas_thread:
            if len(X) <= rows:
                return list(silent(X))
            parts = in_turn(silent, [X[at : at + rows] for at in range(0, len(X), rows)])
        return [np.concatenate(each) for each in zip(*parts, strict=True)]

    def memory(self) -> Memory:
        """What is known beyond the prior, as observations."""
        parts = self._observations(self.prior_variance(self.points))
        roots = np.stack([root for root, _ in parts])
        columns = [parts[k % len(parts)][1][:, k] for k in range(self.n_latent)]
        targets = np.stack(columns, 1)
        at_points = self.mean_function.added(self.mean_values, np.zeros_like(targets), self.points)
        R_m = columnwise(Arrays, lambda R, m: R.T @ m, roots, at_points)
        return Memory(self.points, roots, targets + R_m)

    @abc.abstractmethod
    def _observations(self, prior: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Combinations R [M, M] and their targets [M, L], with unit noise, less the mean of f.

        Of each latent function, or once for all; ``prior`` is the variance at the points.
        """

    def packed(self) -> dict:
        """With triangular matrices without their zeros."""
        i, j = np.tril_indices(len(self.points))
        triangles = {name: getattr(self, name)[:, i, j] for name in self.triangles}
        plain = {name: getattr(self, name) for name in ("mean_values", "points", "weights")}
        return plain | triangles


@dataclass(frozen=True, eq=False, repr=False)
class RowPosterior(CholeskyPosterior):
    r"""From the training rows with their noise, L L' = K + noise.

    Coefficients of the mean are integrated out: with :math:`G = L^{-1} H` their precision is
    :math:`\Lambda + G^\top G = C C^\top`, and :math:`b = C^{-1} (h_* - G^\top a)` adds
    :math:`\|b\|^2` to the variance (Rasmussen & Williams 2006, eq. 2.41).
    """

    def _factors(self, K: np.ndarray, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a, known = solve_each(self.root, K), self._coefficients
        if not known:
            return a, a[:, :0]
        h, _ = self.mean_function.uncertain(self.mean_values, X)  # type: ignore[misc]
        each = ((*known[k % len(known)], a[k]) for k in range(len(a)))
        return a, np.stack([Arrays.lower_solve(C, h.T - G.T @ a_) for G, C, a_ in each])

    @functools.cached_property
    def _coefficients(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """G [M, K] and C [K, K] for each root; none where no coefficient is integrated out."""
        trend = self.mean_function.uncertain(self.mean_values, self.points)
        if trend is None:
            return []
        H, precision = trend
        each = [Arrays.lower_solve(L, H) for L in self.root]
        return [(G, Arrays.cholesky(G.T @ G + np.diag(precision))) for G in each]

    def sites(self) -> tuple[np.ndarray, np.ndarray]:
        """First natural parameter and precision of each row, [N, L], as they were handed in."""
        each = self._observations(self.prior_variance(self.points))
        found = [(np.diag(R), targets) for R, targets in each]
        size = np.stack([found[k % len(found)][0] for k in range(self.n_latent)], 1)
        targets = [found[k % len(found)][1][:, k] for k in range(self.n_latent)]
        return size * np.stack(targets, 1), size**2

    def left_out(self) -> tuple[np.ndarray, np.ndarray]:
        """All rows, and in exact regression what the others miss of each, [N, L]."""
        return np.arange(len(self.points)), self.weights * self._left_out_variance()

    def leave_one_out(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        r"""In exact regression, what all other rows miss of each, its variance, and the scale.

        :math:`[Q y]_i / Q_{ii}` and :math:`1 / Q_{ii}` with :math:`Q = K_y^{-1}` (Rasmussen &
        Williams 2006, eq. 5.12). Coefficients of the mean are integrated out:
        :math:`Q = K_y^{-1} - M M^\top, \; M = L^{-\top} G C^{-\top}`, and Q y is
        :math:`K_y^{-1}` of what the best ones leave.
        """
        variance = self._left_out_variance()
        missed = self.weights * variance
        return missed, np.broadcast_to(variance, missed.shape), np.ones(len(missed))

    def _left_out_variance(self) -> np.ndarray:
        """Of y of each row given the others, [N, 1 or L]."""
        inverses = [lapack.dtrtri(L.T, lower=0)[0] for L in self.root]  # of L': L is not copied
        Q = [np.sum(inverse**2, 1) for inverse in inverses]
        for k, (G, C) in enumerate(self._coefficients):
            Q[k] -= np.sum(Arrays.lower_solve(C, (inverses[k] @ G).T) ** 2, 0)
        return 1.0 / np.stack(Q, 1)

    def of_rows(
        self, X: np.ndarray, targets: np.ndarray, noise: np.ndarray, weights: np.ndarray
    ) -> RowPosterior:
        """In exact regression with the same hyperparameters, of other rows."""
        precision = (weights / noise)[:, None]
        model = self.kernel, self.values, self.mean_function, self.mean_values
        return RowPosterior(*model, X, *_of_sites(*model[:2], X, precision * targets, precision))

    def _observations(self, prior: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """The rows, in units of their noise."""
        n, found = max(len(self.root), len(prior)), []
        for k in range(n):
            root, own = self.root[k % len(self.root)], prior[k % len(prior)]
            noise = np.maximum(np.sum(root**2, 1) - own, _LEAST_NOISE * own)
            size = 1.0 / np.sqrt(noise)
            found.append((np.diag(size), size[:, None] * (root @ (root.T @ self.weights))))
        return found


@dataclass(frozen=True, eq=False, repr=False)
class PointPosterior(CholeskyPosterior):
    """From inducing points, L L' = Kuu."""

    precision_root: np.ndarray  # [1 or L, M, M], L_P
    triangles: ClassVar[tuple[str, ...]] = ("root", "precision_root")

    def _factors(self, K: np.ndarray, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a = solve_each(self.root, K)
        return a, solve_each(self.precision_root, a)

    @property
    def natural(self) -> Natural:
        """P = L_P L_P' and P m, with m = Luu' w."""
        precisions = self.precision_root @ self.precision_root.swapaxes(1, 2)
        q_mu = columnwise(Arrays, lambda root, w: root.T @ w, self.root, self.weights)
        return Natural(columnwise(Arrays, np.matmul, precisions, q_mu), -0.5 * precisions)

    def _observations(self, prior: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        r"""Zero where nothing was learned.

        In whitened variables :math:`q(v)/p(v)` has the precision
        :math:`P - I = V \mathrm{diag}(e) V^\top` and the first natural parameter
        :math:`\theta_1`: that of observing :math:`\sqrt{e_k}\, V_k^\top v` as
        :math:`V_k^\top \theta_1 / \sqrt{e_k}` with unit noise. With :math:`v = L_{uu}^{-1} f(Z)`
        the combination of function values is :math:`R_k = \sqrt{e_k} L_{uu}^{-\top} V_k`.
        """
        (nat1, nat2), found = self.natural, []
        for k in range(max(len(self.root), len(nat2))):
            e, V = np.linalg.eigh(-2.0 * nat2[k % len(nat2)] - np.eye(len(nat1)))
            learned = e > _LEARNED_NOTHING * max(e[-1], 1.0)
            size = np.sqrt(np.where(learned, e, 0.0))
            inverse = np.where(learned, 1.0 / np.where(learned, size, 1.0), 0.0)
            R = Arrays.transposed_lower_solve(self.root[k % len(self.root)], V * size)
            found.append((R, inverse[:, None] * (V.T @ nat1)))
        return found


# --- from a training -------------------------------------------------------------------------


def nothing_known(
    kernel: KernelStructure, values: tuple, n_features: int, n_latent: int
) -> RowPosterior:
    """The prior, of mean zero: a posterior without rows."""
    nothing = np.zeros((0, n_features)), np.zeros((0, n_latent)), np.zeros((1, 0, 0))
    return RowPosterior(kernel, values, Zero(), (), *nothing)


def posterior_of_rows(
    model: Model,
    theta: Hyperparameters,
    X: np.ndarray,
    site_mean: np.ndarray,
    site_precision: np.ndarray,
    jitter: float,
) -> RowPosterior:
    """Of rows that are known by sites, first natural parameter [N, L] and precision [N, 1 or L].

    The jitter of training comes in only where rounding asks for it: the distances here have more
    digits.
    """
    found = _of_sites(model.kernel, theta.kernel, X, site_mean, site_precision, jitter)
    return RowPosterior(model.kernel, theta.kernel, model.mean, theta.mean, X, *found)


def _of_sites(
    kernel: KernelStructure,
    values: tuple,
    X: np.ndarray,
    site_mean: np.ndarray,
    site_precision: np.ndarray,
    jitter: float = 1e-8,
) -> tuple[np.ndarray, np.ndarray]:
    """w and L. With B = I + r K r = L_B L_B': L = L_B / r, w = (L L')^-1 (beta / r^2).

    Rasmussen & Williams 2006, eq. 3.27.
    """
    with np.errstate(all="ignore"), one_blas_thread:  # whoever asked looks for what is not finite
        K, _ = cross_covariances(kernel, values, X, X)
        r = np.sqrt(site_precision).T  # [1 or L, N]
        B = Arrays.shift_diagonal(r[:, :, None] * K * r[:, None, :], 1.0)
        jitters = sorted({*_ROUNDING, jitter, 10.0 * jitter, 100.0 * jitter})
        root = cholesky_roots(B, jitters) / r[:, :, None]
        return solved(root, site_mean / site_precision), root


def posterior_of_points(
    model: Model, theta: Hyperparameters, q: Natural, jitter: float
) -> PointPosterior:
    """L = Luu; L_P of the precision P of q; w = Luu^-T m, where P m is its first parameter."""
    kernel, values, Z = model.kernel, theta.kernel, theta.inducing_points
    with np.errstate(all="ignore"), one_blas_thread:
        units = jitter_units(kernel, values, Z)
        jitters = (jitter, 10.0 * jitter, 100.0 * jitter, 1e3 * jitter)
        root = cholesky_roots(own_covariances(kernel, values, Z), jitters, units)
        precision_root = cholesky_roots(-2.0 * q.nat2, _ROUNDING)  # [1 or L, M, M]
        q_mu = solved(precision_root, q.nat1)
        weights = columnwise(Arrays, Arrays.transposed_lower_solve, root, q_mu)
    given = (kernel, values, model.mean, theta.mean)
    return PointPosterior(*given, Z, np.asarray(weights), root, precision_root)


def cholesky_roots(
    K: np.ndarray, jitters: Sequence[float], units: np.ndarray | None = None
) -> np.ndarray:
    """Cholesky factors of [L, M, M]; with the first jitter that is enough.

    Rounding may ask for more here than in training. Jitter is in ``units``, or in those of the
    mean diagonal.
    """
    size = np.trace(K, axis1=1, axis2=2) / K.shape[1] if units is None else units
    for jitter in jitters:
        shifted = zip(K, jitter * size, strict=True)
        roots = np.stack([Arrays.cholesky(Arrays.shift_diagonal(*k)) for k in shifted])
        if np.isfinite(roots.sum()):
            break
    return roots


def solved(roots: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(L L')^-1 x for the columns x of [M, L], by two triangular solves."""
    half = columnwise(Arrays, Arrays.lower_solve, roots, vectors)
    return columnwise(Arrays, Arrays.transposed_lower_solve, roots, half)


# --- arrays ----------------------------------------------------------------------------------


def grown_root(root: np.ndarray, A: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Cholesky factor with more rows: [[L, 0], [A', L_2]] with A = L^-1 K of old and new rows."""
    n, grown = len(root), np.zeros((len(root) + len(new),) * 2)
    grown[:n, :n], grown[n:, :n], grown[n:, n:] = root, A.T, new
    return grown


def solve_each(roots: np.ndarray, K: np.ndarray) -> np.ndarray:
    n = max(len(roots), len(K))
    if n == 1:
        return Arrays.lower_solve_few(roots[0], K[0])[None]
    return np.stack(
        [Arrays.lower_solve_few(roots[k % len(roots)], K[k % len(K)]) for k in range(n)]
    )


def _variance(prior: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """k** - |a|^2 + |b|^2 of each row, [1 or L, N]; what rounding has taken is a little, not none.

    Beyond ``_FLOOR`` nothing is known of a difference of two rounded numbers as large as k**.
    """
    return floored(prior - _sums_of_squares(a) + _sums_of_squares(b), prior)


def floored(variance: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """What rounding has not taken of a variance that is a part of the prior's."""
    return np.maximum(variance, _FLOOR * prior)


def _sums_of_squares(a: np.ndarray) -> np.ndarray:
    return np.einsum("lmn,lmn->ln", a, a)


def _known(cov: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """cov - a'a + b'b, symmetric to the last bit."""
    cov = cov - a.T @ a
    cov = cov + b.T @ b if len(b) else cov
    return 0.5 * (cov + cov.T)


def covariance_root(cov: np.ndarray, prior: float) -> np.ndarray:
    """R with R R' = cov [N, N] but for rounding of the largest prior variance.

    Cholesky's factor; where rounding has left no positive definite matrix, that with pivots
    (Higham 2002, section 10.3) down to rounding. What is left of the variance of the other rows
    stays their own, so that R R' has the diagonal of cov. Jitter on the diagonal of all rows would
    have made a variance that is close to rounding twice as large.
    """
    with one_blas_thread:
        root = Arrays.cholesky(cov)
        if np.isfinite(root[-1, -1]):
            return root
        factor, pivots, rank, _ = lapack.dpstrf(cov, tol=_FLOOR * prior, lower=1)
    order, left = pivots - 1, np.tril(factor)[:, :rank]
    variance, taken = np.diag(cov)[order], np.sum(left**2, 1)
    left *= np.sqrt(np.minimum(variance / np.maximum(taken, _TINY), 1.0))[:, None]
    rest = np.sqrt(np.maximum(variance - taken, 0.0))
    root[order] = np.hstack([left, np.diag(rest)[:, rank:]])
    return root
