r"""Functions drawn from a posterior, which can be asked anywhere, again and again.

By Matheron's rule a draw f of the prior becomes one of the posterior,

.. math::

    f(x) + k(x, X)^\top (K + S)^{-1} (y - f(X) - \varepsilon), \qquad \varepsilon \sim N(0, S)

(Wilson, Borovitskiy, Terenin, Mostowsky & Deisenroth 2020, "Efficiently sampling functions from
Gaussian process posteriors", eq. 8 and 13); with inducing points y is a draw of q at these, with
neighbours X are those of x. The prior is drawn by random features, others for each function, so
that covariances of many functions are those of the process without the error that features shared
by all would leave. Under kernels without features, values are drawn given those drawn before.
"""

from __future__ import annotations

import functools
import threading
from typing import Any, NamedTuple

import numpy as np

from .._linalg import Arrays, one_blas_thread
from .._runtime import refuse_beyond
from ..kernels import KernelStructure, bind, of_each_latent
from ..kernels.features import Feature, features_of
from .covariances import cross_covariances
from .neighbour_posterior import NeighbourPosterior
from .posterior import (
    CholeskyPosterior,
    PointPosterior,
    Posterior,
    cholesky_roots,
    grown_root,
)

__all__ = ["drawn_functions"]

# Frequencies of a function, shared out among the terms of a kernel, and the fewest of a term. Each
# is a sine and a cosine. Errors of covariances of one function are 1 / sqrt(n), 3 %, or 4 % where
# high frequencies are drawn more often; those of many functions average out.
_WAVES, _FEWEST = 1024, 128
# Numbers in the largest temporary array (8 MB in float64).
_CHUNK = 2**20
# Jitter for what rounding alone keeps from being factorised, in units of the prior variance.
_JITTERS = (0.0, 1e-14, 1e-12, 1e-10, 1e-8)
# One thread at a time draws values that are remembered.
_DRAWING = threading.Lock()


def drawn_functions(posterior: Posterior, n_draws: int, rng: np.random.RandomState) -> Any:
    """Draws of the latent functions: a callable of rows [N, D] that gives [N, L, n_draws]."""
    prior = _drawn_prior(posterior, n_draws, rng)
    if prior is None:
        return _OneByOne(posterior, n_draws, rng)
    with np.errstate(all="ignore"), one_blas_thread:
        return _drawn(posterior, prior, rng)


@functools.singledispatch
def _drawn(posterior: Any, prior: _Prior, rng: np.random.RandomState) -> Any:
    raise TypeError(f"Functions of {type(posterior).__name__} cannot be drawn.")


# --- the prior -------------------------------------------------------------------------------


class _Term(NamedTuple):
    """A feature with weights of each draw [S, n] of its cosines, and sines if it has waves."""

    feature: Feature
    weights: tuple

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Of rows [N, D], [N, S]."""
        (S, n), waves = self.weights[0].shape, self.feature.waves
        parts = [np.ones((len(X), 1))] if waves is None else _waves(X @ waves.T)
        factor: Any = 1.0
        for g in self.feature.factors:
            factor = factor * g(X)
        total: Any = 0.0
        for part, w in zip(parts, self.weights, strict=True):
            found = np.broadcast_to(part * factor, (len(X), S * n if self.feature.is_drawn else n))
            if self.feature.is_drawn:
                total = total + np.einsum("msn,sn->ms", found.reshape(len(X), S, n), w)
            else:
                total = total + found @ w.T
        return np.sqrt(self.feature.variance / n) * total


def _waves(angles: np.ndarray) -> list:
    return [np.cos(angles), np.sin(angles)]


class _Prior(NamedTuple):
    """Draws of mean zero of each latent function."""

    terms: list  # of lists
    n_draws: int

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Of rows [N, D], [N, L, S]."""
        size = max(1, _CHUNK // (self.n_draws * _WAVES))
        chunks = [X[at : at + size] for at in range(0, max(len(X), 1), size)]
        return np.concatenate([self._of(x) for x in chunks])

    def _of(self, X: np.ndarray) -> np.ndarray:
        none = np.zeros((len(X), self.n_draws))
        return np.stack([sum((t(X) for t in terms), none) for terms in self.terms], 1)


def _drawn_prior(p: Posterior, n_draws: int, rng: np.random.RandomState) -> _Prior | None:
    each, D = of_each_latent(p.kernel, p.values), p.points.shape[1]
    own = (each[k % len(each)] for k in range(p.n_latent))
    terms = [_terms(kernel, values, n_draws, rng, D) for kernel, values in own]
    return None if any(t is None for t in terms) else _Prior(terms, n_draws)


def _terms(
    kernel: KernelStructure, values: tuple, n_draws: int, rng: np.random.RandomState, D: int
) -> list | None:
    bound = bind(kernel, tuple(np.asarray(v) for v in values))
    looked_at = features_of(bound, np.random.RandomState(0), 1, D)
    if looked_at is None:
        return None
    n = max(_FEWEST, _WAVES // max(1, sum(f.is_drawn for f in looked_at)))
    refuse_beyond(
        8.0 * n_draws * n * len(looked_at) * (D + 2),
        f"the features of {n_draws:,} functions",
        "Draw fewer functions at a time.",
    )
    found = features_of(bound, rng, n_draws * n, D)
    assert found is not None
    return [_weighted(f, n_draws, n if f.is_drawn else 1, rng) for f in found]


def _weighted(feature: Feature, n_draws: int, n: int, rng: np.random.RandomState) -> _Term:
    n_parts = 1 if feature.waves is None else 2
    weights = rng.standard_normal((n_parts, n_draws, n))
    if feature.sizes is not None:
        weights *= feature.sizes.reshape(n_draws, n)
    return _Term(feature, tuple(weights))


# --- the posterior ---------------------------------------------------------------------------


class _Updated(NamedTuple):
    """The prior with what is known at points."""

    posterior: CholeskyPosterior
    prior: _Prior
    weights: np.ndarray  # [L, M, S], of the covariances with the points
    coefficients: Any  # [K, L, S], beyond those of the mean, or None

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Of rows [N, D], [N, L, S]."""
        size = max(1, _CHUNK // max(1, len(self.posterior.points)))
        chunks = [X[at : at + size] for at in range(0, max(len(X), 1), size)]
        return np.concatenate([self._of(x.astype(np.float64, copy=False)) for x in chunks])

    def _of(self, X: np.ndarray) -> np.ndarray:
        p = self.posterior
        K = cross_covariances(p.kernel, p.values, p.points, X)[0]
        each = [K[l % len(K)].T @ w for l, w in enumerate(self.weights)]
        F = self.prior(X) + np.stack(each, 1) + _mean(p, X)[..., None]
        if self.coefficients is None:
            return F
        h, _ = p.mean_function.uncertain(p.mean_values, X)  # type: ignore[misc]
        return F + np.einsum("nk,kls->nls", h, self.coefficients)


def _mean(p: Posterior, X: np.ndarray) -> np.ndarray:
    """Of the latent functions before any row, [N, L]."""
    return p.mean_function.added(p.mean_values, np.zeros((len(X), p.n_latent)), X)


@_drawn.register
def _of_factors(p: CholeskyPosterior, prior: _Prior, rng: np.random.RandomState) -> _Updated:
    """What L L' has beyond the covariances is noise, or jitter, of the values at the points."""
    S, at_points, own = prior.n_draws, prior(p.points), p.prior_variance(p.points)
    coefficients, weights = [], []
    for l in range(p.n_latent):
        L = p.root[l % len(p.root)]
        noise = np.maximum(np.sum(L**2, 1) - own[l % len(own)], 0.0)
        drawn = at_points[:, l] + np.sqrt(noise)[:, None] * rng.standard_normal((len(L), S))
        if isinstance(p, PointPosterior):
            L_P = p.precision_root[l % len(p.precision_root)]
            v = Arrays.transposed_lower_solve(L_P, rng.standard_normal((len(L), S)))
            half = L.T @ p.weights[:, l : l + 1] + v - Arrays.lower_solve(L, drawn)
            weights.append(Arrays.transposed_lower_solve(L, half))
            continue
        half, known = Arrays.lower_solve(L, drawn), getattr(p, "_coefficients", [])
        if known:
            G, C = known[l % len(known)]
            normal = rng.standard_normal((C.shape[0], S))
            coefficients.append(Arrays.transposed_lower_solve(C, normal))
            half = half + G @ coefficients[-1]
        weights.append(p.weights[:, l : l + 1] - Arrays.transposed_lower_solve(L, half))
    return _Updated(
        p, prior, np.stack(weights), np.stack(coefficients, 1) if coefficients else None
    )


class _Local(NamedTuple):
    """The prior with what is known at the neighbours of each row."""

    posterior: NeighbourPosterior
    prior: _Prior
    noise: np.ndarray  # [N, L, S], of the targets

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Of rows [N, D], [N, L, S]; deviations from the mean are scaled as its variance is."""
        p, X = self.posterior, X.astype(np.float64, copy=False)
        near, alpha, b, scale = p.linear(X)
        rows, place = np.unique(near, return_inverse=True)
        drawn = self.prior(p.points[rows]) + self.noise[rows]
        known = np.einsum("qk,qkl->ql", b, p.targets[near])
        each = zip(b, place.reshape(near.shape), strict=True)
        missed = np.stack([np.tensordot(w, drawn[at], 1) for w, at in each])
        away = (self.prior(X) - missed) * np.sqrt(scale)[:, None, None]
        return away + (known + _mean(p, X))[..., None]


@_drawn.register
def _of_neighbours(p: NeighbourPosterior, prior: _Prior, rng: np.random.RandomState) -> _Local:
    shape = len(p.points), p.n_latent, prior.n_draws
    refuse_beyond(
        8.0 * float(np.prod(shape)),
        f"the noise of {len(p.points):,} rows in {prior.n_draws:,} functions",
        "Draw fewer functions at a time.",
    )
    size = np.sqrt(p.noise / p.weights)[:, None, None]
    return _Local(p, prior, size * rng.standard_normal(shape))


# --- without features ------------------------------------------------------------------------


class _OneByOne:
    """Values at new rows given those at all rows asked so far: exact, cubic in their number.

    Values at rows that come again are the same to the last bit.
    """

    def __init__(self, posterior: Posterior, n_draws: int, rng: np.random.RandomState) -> None:
        self._posterior, self._n_draws = posterior, n_draws
        self._rng = np.random.RandomState(rng.randint(0, 2**31 - 1))
        self._asked = np.zeros((0, posterior.points.shape[1]))
        self._places: dict[bytes, int] = {}
        self._roots: list[np.ndarray] = []  # of their covariances, of each latent function
        self._normal = np.zeros((0, posterior.n_latent, n_draws))
        self._values = np.zeros((0, posterior.n_latent, n_draws))

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Of rows [N, D], [N, L, S]."""
        X = np.ascontiguousarray(X, np.float64) + 0.0  # without -0
        with _DRAWING:
            keys = [x.tobytes() for x in X]
            new = {k: n for n, k in enumerate(keys) if k not in self._places}
            if new:
                self._draw(X[list(new.values())], list(new))
            return self._values[[self._places[k] for k in keys]]

    def _draw(self, X: np.ndarray, keys: list[bytes]) -> None:
        known, every = len(self._asked), np.vstack([self._asked, X])
        refuse_beyond(
            24.0 * len(every) ** 2 * self._posterior.n_latent,
            f"the covariances of all {len(every):,} rows asked so far",
            "Ask for fewer rows, or take a kernel with random features.",
        )
        f_mean, cov, _ = self._posterior.joint(every)
        unit = float(self._posterior.prior_variance(X).max())
        normal = self._rng.standard_normal((len(X), *self._normal.shape[1:]))
        normal = np.concatenate([self._normal, normal])
        with one_blas_thread:
            roots = [
                _grown(self._roots[l] if known else np.zeros((0, 0)), c, unit)
                for l, c in enumerate(cov)
            ]
        new = [f_mean[known:, l, None] + R[known:] @ normal[:, l] for l, R in enumerate(roots)]
        self._values = np.concatenate([self._values, np.stack(new, 1)])
        self._roots, self._normal, self._asked = roots, normal, every
        self._places |= {k: known + n for n, k in enumerate(keys)}


def _grown(root: np.ndarray, cov: np.ndarray, unit: float) -> np.ndarray:
    """Lower factor of cov, of which the first rows are factorised."""
    n = len(root)
    A = Arrays.lower_solve(root, cov[:n, n:]) if n else np.zeros((0, len(cov)))
    rest = cov[n:, n:] - A.T @ A
    return grown_root(root, A, cholesky_roots(rest[None], _JITTERS, np.array([unit]))[0])
