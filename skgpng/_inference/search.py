"""The search for near rows: those that a kernel correlates most."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from scipy.spatial import KDTree
from sklearn.neighbors import NearestNeighbors

from .._runtime import allowed_threads
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
# In more a tree looks at nearly all rows.
_MOST_COLUMNS = 15


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
    few_rows = len(seen) >= _MANY_COLUMNS and len(X) < _MANY_ROWS
    by_tree = len(seen) <= _MOST_COLUMNS and not few_rows
    near = (_in_tree if by_tree else _among_all)(X[:, seen] * roots)
    return lambda queries, k: near(queries[:, seen] * roots, k)


def _among_all(X: np.ndarray) -> Search:
    # on one thread: with more, joblib starts them anew for each search
    index = NearestNeighbors(algorithm="brute").fit(X)
    return lambda queries, k: index.kneighbors(queries, k, return_distance=False)


def _in_tree(X: np.ndarray) -> Search:
    """By a tree that halves boxes, not rows.

    One is made for each gathering of blocks: a million rows of eight columns 0.45 s in place of the
    1.9 of scikit-learn's, which halves rows; 256 neighbours then take 0.30 ms a row and not 0.49.
    """
    tree = KDTree(X, leafsize=64, balanced_tree=False)

    def search(queries: np.ndarray, k: int) -> np.ndarray:
        found = tree.query(queries, k, workers=allowed_threads())[1]
        return found.reshape(len(queries), k)  # of a single one SciPy takes the axis away

    return search


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
