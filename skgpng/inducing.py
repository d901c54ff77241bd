"""Where to put the inducing points before training moves them."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans

__all__ = [
    "column_spread",
    "distinct_rows",
    "kmeans",
    "merge_equal_rows",
    "random_subset",
    "select",
]

# k-means looks at this many rows at most: more rows move the centres little and cost in full.
_MAX_ROWS = 20_000


def column_spread(X: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted standard deviation of each column, [D]; 1 where the column is constant.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.inducing import column_spread
    >>> print(column_spread(np.array([[0.0, 5.0], [2.0, 5.0]]), np.ones(2)))
    [1. 1.]
    """
    centred = X - np.average(X, axis=0, weights=weights)
    spread = np.sqrt(np.average(centred**2, axis=0, weights=weights))
    # a constant column can have a deviation of rounding size
    return np.where(spread > 1e-10 * np.abs(X).max(0, initial=0.0), spread, 1.0)


def merge_equal_rows(weights: np.ndarray, *columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Position of one row of each kind, in sorted order, and the total weight of each kind.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.inducing import merge_equal_rows
    >>> print(*merge_equal_rows(np.ones(3), np.array([[2.0], [1.0], [2.0]]), np.zeros(3)))
    [1 0] [1. 2.]
    """
    _, first, kind = np.unique(
        np.column_stack(columns), axis=0, return_index=True, return_inverse=True
    )
    return first, np.bincount(kind.ravel(), weights)


def distinct_rows(X: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows of X in sorted order, and the sum of the weights of each.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.inducing import distinct_rows
    >>> rows, weights = distinct_rows(np.array([[2.0], [1.0], [2.0]]), np.ones(3))
    >>> print(rows.ravel(), weights)
    [1. 2.] [1. 2.]
    """
    first, total = merge_equal_rows(weights, X)
    return X[first], total


def random_subset(
    X: np.ndarray, n_inducing: int, random_state: np.random.RandomState, weights: np.ndarray
) -> np.ndarray:
    """Rows drawn at random in proportion to their weights, [M, D]; all where M is not smaller.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.inducing import random_subset
    >>> random_subset(np.eye(5), 3, np.random.RandomState(0), np.ones(5)).shape
    (3, 5)
    """
    if len(X) <= n_inducing:
        return X
    share = weights / weights.sum()
    return X[np.sort(random_state.choice(len(X), n_inducing, replace=False, p=share))]


def kmeans(
    X: np.ndarray, n_inducing: int, random_state: np.random.RandomState, weights: np.ndarray
) -> np.ndarray:
    """Centres of weighted k-means, [M, D]; all rows where there are no more than M.

    Distances are taken in units of each column's standard deviation. Of more than 20,000 rows,
    that many are drawn in proportion to their weights.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.inducing import kmeans
    >>> X = np.array([[0.0], [0.1], [5.0], [5.1]])
    >>> print(np.sort(kmeans(X, 2, np.random.RandomState(0), np.ones(4)).ravel()))
    [0.05 5.05]
    """
    if len(X) <= n_inducing:
        return X
    scale = column_spread(X, weights)
    if len(X) > _MAX_ROWS:
        share = weights / weights.sum()
        chosen = random_state.choice(len(X), _MAX_ROWS, replace=False, p=share)
        X, weights = X[chosen], np.ones(_MAX_ROWS)
    # Ten rounds: where the points start matters, their last digits do not, training moves them.
    fitted = KMeans(n_inducing, n_init=1, max_iter=10, random_state=random_state).fit(
        X / scale, sample_weight=weights
    )
    return fitted.cluster_centers_ * scale


_METHODS = {"kmeans": kmeans, "random": random_subset}


def select(
    method: str,
    X: np.ndarray,
    n_inducing: int,
    random_state: np.random.RandomState,
    weights: np.ndarray,
) -> np.ndarray:
    """Inducing points [M, D] by the named method, from distinct rows and their weights."""
    return _METHODS[method](X, n_inducing, random_state, weights)
