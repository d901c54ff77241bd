"""The search for near rows: those that a kernel correlates most."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from sklearn.neighbors import NearestNeighbors

from ..kernels import KernelStructure, metric
from .covariances import cross_covariances, prior_variance

__all__ = ["Search", "searcher"]

#: Positions [Q, k] of the k rows that are nearest to each of Q new ones, nearest first.
Search = Callable[[np.ndarray, int], np.ndarray]

# Covariances that are evaluated at a time (64 MB).
_CHUNK = 2**23
# Distances from all rows are as quick as a tree in so many columns, up to so many rows: kin40k
# (8 columns, 36,000 rows, 256 neighbours) takes 0.12 ms a row and not 0.25, elevators (18 columns)
# 0.07 and not 0.25, power (4 columns) 0.03 and not 0.02; flights200k (2 columns) 0.27 and not 0.03.
_MANY_COLUMNS, _MANY_ROWS = 8, 100_000


def searcher(kernel: KernelStructure, values: tuple, X: np.ndarray) -> Search:
    """The search among rows X [N, D] for those that are most correlated with others.

    By distance where the correlation falls with one, else by the covariances with all rows.
    """
    weights = metric(kernel, values, X.shape[1])
    if weights is None:
        return functools.partial(_by_covariance, kernel, values, X)
    seen = np.flatnonzero(weights)
    if not len(seen):  # all rows are alike
        return lambda queries, k: np.tile(np.arange(k), (len(queries), 1))
    roots = np.sqrt(weights[seen])
    all_distances = len(seen) >= _MANY_COLUMNS and len(X) < _MANY_ROWS
    # on one thread: with more, joblib starts them anew for each search
    index = NearestNeighbors(algorithm="brute" if all_distances else "auto")
    index.fit(X[:, seen] * roots)
    return lambda queries, k: index.kneighbors(queries[:, seen] * roots, k, return_distance=False)


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
