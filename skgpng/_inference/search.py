"""The search for near rows: those that a kernel correlates most."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

from ..kernels import KernelStructure, metric
from .covariances import cross_covariances, prior_variance

__all__ = ["nearest"]

# Covariances that are evaluated at a time (64 MB).
_CHUNK = 2**23


def nearest(
    kernel: KernelStructure, values: tuple, X: np.ndarray, queries: np.ndarray, k: int
) -> np.ndarray:
    """Positions [Q, k] of the k rows of X that are most correlated with each query, nearest first.

    By distance where the correlation falls with one, else by the covariances with all rows.
    """
    weights = metric(kernel, values, X.shape[1])
    if weights is None:
        return _by_covariance(kernel, values, X, queries, k)
    seen = np.flatnonzero(weights)
    if not len(seen):  # all rows are alike
        return np.tile(np.arange(k), (len(queries), 1))
    X, queries = (a[:, seen] * np.sqrt(weights[seen]) for a in (X, queries))
    # on one thread: with more, joblib starts them anew for each search
    return NearestNeighbors(n_neighbors=k).fit(X).kneighbors(queries, return_distance=False)


def _by_covariance(
    kernel: KernelStructure, values: tuple, X: np.ndarray, queries: np.ndarray, k: int
) -> np.ndarray:
    std = np.sqrt(prior_variance(kernel, values, X)[0])
    size = max(1, _CHUNK // len(X))
    found = []
    for at in range(0, len(queries), size):
        K, _ = cross_covariances(kernel, values, X, queries[at : at + size])
        correlation = np.abs(K[0]) / np.where(std > 0, std, 1.0)[:, None]  # [N, Q]
        found.append(_largest(correlation, k).T)
    return np.concatenate(found)


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """Positions [k, Q] of the largest in each column, the largest first."""
    best = np.argpartition(-values, k - 1, 0)[:k] if k < len(values) else np.arange(k)[:, None]
    best = np.broadcast_to(best, (k, values.shape[1]))
    order = np.argsort(-np.take_along_axis(values, best, 0), 0, kind="stable")
    return np.take_along_axis(best, order, 0)
