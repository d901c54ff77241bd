r"""More rows for a posterior whose hyperparameters stay.

New rows are told by sites, :math:`\prod_n \exp(\beta_n f_n - \lambda_n f_n^2 / 2)`, as Gaussian
rows are with :math:`\lambda = 1/\sigma^2, \beta = y/\sigma^2`. Rows of an exact model grow its
Cholesky factor,

.. math::

    L_+ = \begin{pmatrix} L & 0 \\ A^\top & L_2 \end{pmatrix}, \quad A = L^{-1} K_{fn}, \quad
    L_2 L_2^\top = K_{nn} - A^\top A + \Lambda^{-1},

in :math:`O(N^2 n)`; at inducing points precision and first natural parameter of the whitened q get
:math:`A \Lambda A^\top` and :math:`A \beta`, :math:`A = L_{uu}^{-1} K_{un}`, which is a
natural-gradient step of size 1. Sites of other likelihoods are found by such steps with what was
known held, and :math:`\lambda = -2 g_2, \; \beta = g_1 - 2 g_2 f_{mean}` at their fixed point, with
the gradients g of the expected log density.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._linalg import Arrays, columnwise, one_blas_thread
from .covariances import cross_covariances, own_covariances
from .posterior import (
    CholeskyPosterior,
    PointPosterior,
    RowPosterior,
    cholesky_roots,
    grown_root,
    solve_each,
    solved,
)
from .sites import SITE_FLOOR

__all__ = ["NewSites", "log_evidence", "sites_of_rows", "with_sites"]

_LOG_2PI = float(np.log(2.0 * np.pi))
# Jitter for what rounding alone keeps from being factorised, in units of the mean diagonal.
_JITTERS = (0.0, 1e-14, 1e-12, 1e-10, 1e-8)
# Precision of a site to begin with, for a row of weight 1, see ``sites.py``.
_START_PRECISION = 1e-2
# Steps end when no site is further from where it goes, in units of what is known of f, or after so
# many.
_SETTLED, _MAX_STEPS = 1e-10, 1000


class NewSites(NamedTuple):
    """What rows say of f."""

    mean: np.ndarray  # [n, L], first natural parameter
    precision: np.ndarray  # [n, 1 or L]


# --- the posterior with them -----------------------------------------------------------------


@functools.singledispatch
def with_sites(posterior: Any, X: np.ndarray, sites: NewSites) -> Any:
    """The posterior that also knows the sites of rows X [n, D]; NaN where rounding forbids it."""
    raise TypeError(f"{type(posterior).__name__} takes no sites.")


@with_sites.register
def _of_rows(p: RowPosterior, X: np.ndarray, sites: NewSites) -> RowPosterior:
    """Coefficients of the mean that are integrated out learn from the new rows, too."""
    X = X.astype(p.points.dtype, copy=False)
    targets = _targets(p, X, sites)
    with np.errstate(all="ignore"), one_blas_thread:
        K, own = cross_covariances(p.kernel, p.values, p.points, X)[0], _own(p, X)
        n_roots = max(len(p.root), len(K), sites.precision.shape[1])
        parts = [slice(None)] if n_roots == 1 else [slice(k, k + 1) for k in range(n_roots)]
        found = [_grown(p, k, part, X, K, own, targets, sites) for k, part in enumerate(parts)]
    roots, weights, changes = zip(*found, strict=True)
    values = p.mean_values
    if changes[0] is not None:
        values = p.mean_function.moved(values, np.concatenate(changes, 1))
    return RowPosterior(
        *(p.kernel, p.values, p.mean_function, values, np.concatenate([p.points, X])),
        *(np.concatenate(weights, 1), roots[0][None] if len(roots) == 1 else np.stack(roots)),
    )


def _grown(
    p: RowPosterior,
    k: int,
    part: slice,
    X: np.ndarray,
    K: np.ndarray,
    own: np.ndarray,
    targets: np.ndarray,
    sites: NewSites,
) -> tuple[np.ndarray, np.ndarray, Any]:
    """Root, weights and the change of coefficients of some latent functions, or of all."""
    L, w = p.root[k % len(p.root)], p.weights[:, part]
    A = Arrays.lower_solve(L, K[k % len(K)])  # [N, n]
    noise = 1.0 / sites.precision[:, k % sites.precision.shape[1]]
    L_2 = _root(own[k % len(own)] - A.T @ A + np.diag(noise))
    # what the rows before say of the new ones, L^-1 y = L' w
    missed = Arrays.lower_solve(L_2, targets[:, part] - A.T @ (L.T @ w))  # [n, c]
    change: Any = None
    moved: Any = 0.0
    if p._coefficients:
        G, C = p._coefficients[k % len(p._coefficients)]
        H, _ = p.mean_function.uncertain(p.mean_values, X)  # type: ignore[misc]
        G_2 = Arrays.lower_solve(L_2, H - A.T @ G)
        change = np.linalg.solve(C @ C.T + G_2.T @ G_2, G_2.T @ missed)
        missed, moved = missed - G_2 @ change, G @ change
    new = Arrays.transposed_lower_solve(L_2, missed)
    old = w - Arrays.transposed_lower_solve(L, A @ new + moved)
    return grown_root(L, A, L_2), np.concatenate([old, new]), change


@with_sites.register
def _of_points(p: PointPosterior, X: np.ndarray, sites: NewSites) -> PointPosterior:
    """Where latent functions share a precision, and those of the sites do, they go on to."""
    X = X.astype(p.points.dtype, copy=False)
    targets = _targets(p, X, sites)
    with np.errstate(all="ignore"), one_blas_thread:
        A, nat1 = _projected(p, X), p.natural.nat1
        n = max(len(A), len(p.precision_root), sites.precision.shape[1])
        roots = []
        for k in range(n):
            old = p.precision_root[k % len(p.precision_root)]
            weighted = A[k % len(A)] * np.sqrt(sites.precision[:, k % sites.precision.shape[1]])
            roots.append(_root(old @ old.T + weighted @ weighted.T))
        nat1 = nat1 + columnwise(Arrays, np.matmul, A, sites.precision * targets)
        q_mu = solved(np.stack(roots), nat1)
        weights = columnwise(Arrays, Arrays.transposed_lower_solve, p.root, q_mu)
    return dataclasses.replace(p, weights=np.asarray(weights), precision_root=np.stack(roots))


def _targets(p: CholeskyPosterior, X: np.ndarray, sites: NewSites) -> np.ndarray:
    """What the sites say of f less its mean, [n, L]."""
    targets = sites.mean / sites.precision
    return targets - p.mean_function.added(p.mean_values, np.zeros_like(targets), X)


def _own(p: CholeskyPosterior, X: np.ndarray) -> np.ndarray:
    return own_covariances(p.kernel, p.values, X)


def _projected(p: PointPosterior, X: np.ndarray) -> np.ndarray:
    """A = L^-1 K_un, [1 or L, M, n]."""
    return solve_each(p.root, cross_covariances(p.kernel, p.values, p.points, X)[0])


def _root(K: np.ndarray) -> np.ndarray:
    """Cholesky factor with the first jitter that is enough, or NaN."""
    return cholesky_roots(K[None], _JITTERS)[0]


def log_evidence(p: RowPosterior) -> float:
    r""":math:`\log N(y; m, L L^\top)` of exact regression, summed over targets."""
    with one_blas_thread:
        half = columnwise(Arrays, lambda L, w: L.T @ w, p.root, p.weights)
    share = p.n_latent // len(p.root)
    log_determinant = share * np.sum(np.log(np.einsum("lnn->ln", p.root)))
    return float(-0.5 * np.sum(half**2) - log_determinant - 0.5 * half.size * _LOG_2PI)


# --- the sites of a likelihood ---------------------------------------------------------------


def sites_of_rows(
    posterior: CholeskyPosterior,
    X: np.ndarray,
    gradients: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    weights: np.ndarray,
    gamma: float,
) -> tuple[NewSites, bool]:
    """Of rows X, and whether they have settled.

    ``gradients(f_mean, f_var)`` are those of the weighted expected log density, [n, L] each.
    """
    f_mean, cov, apart = _joint(posterior, X)
    precision = _START_PRECISION * weights[:, None] * np.ones(f_mean.shape[1])
    sites, least = NewSites(precision * f_mean, precision), SITE_FLOOR * weights[:, None]
    for _ in range(_MAX_STEPS):
        m, f_var = _moments(f_mean, cov, apart, sites)
        g_mean, g_var = gradients(m, f_var)
        # as in training: where a likelihood is not log-concave, precisions stay positive
        missing = np.maximum(least + 2.0 * g_var, 0.0)
        aim = NewSites(g_mean - 2.0 * g_var * m + missing * m, missing - 2.0 * g_var)
        away, size = _distance(sites, aim, f_var), 1.0 + np.abs(aim.mean) * np.sqrt(f_var)
        sites = NewSites(*((1.0 - gamma) * a + gamma * b for a, b in zip(sites, aim, strict=True)))
        settled = bool(np.all(away <= _SETTLED * size))
        if settled or not np.isfinite(away).all():
            break
    return sites, settled


def _distance(sites: NewSites, aim: NewSites, f_var: np.ndarray) -> np.ndarray:
    """How far sites are from others, in units of what is known of f, [n, L]."""
    of_mean = np.abs(aim.mean - sites.mean) * np.sqrt(f_var)
    return np.maximum(of_mean, np.abs(aim.precision - sites.precision) * f_var)


def _joint(p: CholeskyPosterior, X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean [n, L] of f, covariances [L, n, n] that sites change, and variances apart [L, n]."""
    if not isinstance(p, PointPosterior):
        f_mean, cov = p.mean_and_covariance(X)
        return f_mean, cov, np.zeros(cov.shape[:2])
    A, prior = _projected(p, X), p.prior_variance(X)
    apart = np.maximum(prior - np.sum(A**2, 1), 0.0)  # [1 or L, n]
    roots, L = p.precision_root, p.n_latent
    each = [Arrays.lower_solve(roots[k % len(roots)], A[k % len(A)]) for k in range(L)]
    return p.mean(X), np.stack([b.T @ b for b in each]), np.broadcast_to(apart, (L, len(X)))


def _moments(
    prior_mean: np.ndarray,
    cov: np.ndarray,
    apart: np.ndarray,
    sites: NewSites,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance [n, L] of f with sites (Rasmussen & Williams 2006, section 3.4.3)."""
    mean, precision = sites
    f_mean, f_var = np.empty_like(mean), np.empty_like(mean)
    for l, (K, rest) in enumerate(zip(cov, apart, strict=True)):
        r, m = np.sqrt(precision[:, l]), prior_mean[:, l]
        root = _root(Arrays.shift_diagonal(r[:, None] * K * r, 1.0))
        half = Arrays.lower_solve(root, r[:, None] * K)
        news = mean[:, l] - precision[:, l] * m
        f_mean[:, l] = m + K @ news - half.T @ (half @ news)
        f_var[:, l] = np.diag(K) - np.sum(half**2, 0) + rest
    return f_mean, f_var
