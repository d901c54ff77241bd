"""Where to put the inducing points before training moves them."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans

__all__ = ["kmeans", "random_subset", "select"]

# k-means looks at this many rows at most: more rows move the centres little and cost in full.
_MAX_ROWS = 20_000


def random_subset(
    X: np.ndarray, n_inducing: int, random_state: np.random.RandomState, weights: np.ndarray
) -> np.ndarray:
    """Distinct rows drawn at random, [M, D]; M is smaller where X has fewer distinct rows.

    Rows are drawn in proportion to their weights.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.inducing import random_subset
    >>> X = np.repeat(np.arange(3.0), 2)[:, None]
    >>> random_subset(X, 5, np.random.RandomState(0), np.ones(6)).shape
    (3, 1)
    """
    distinct, row = np.unique(X, axis=0, return_inverse=True)
    if len(distinct) <= n_inducing:
        return distinct
    share = np.bincount(row.ravel(), weights, minlength=len(distinct))
    chosen = random_state.choice(len(distinct), n_inducing, replace=False, p=share / share.sum())
    return distinct[np.sort(chosen)]


def kmeans(
    X: np.ndarray, n_inducing: int, random_state: np.random.RandomState, weights: np.ndarray
) -> np.ndarray:
    """Centres of weighted k-means, [M, D]; all distinct rows where there are no more than M.

    Distances are taken in units of each column's standard deviation. Of more than 20,000 rows,
    that many are drawn.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.inducing import kmeans
    >>> X = np.array([[0.0], [0.1], [5.0], [5.1]])
    >>> print(np.sort(kmeans(X, 2, np.random.RandomState(0), np.ones(4)).ravel()))
    [0.05 5.05]
    """
    if len(X) > _MAX_ROWS:
        chosen = random_state.choice(len(X), _MAX_ROWS, replace=False)
        X, weights = X[chosen], weights[chosen]
    distinct = np.unique(X, axis=0)
    if len(distinct) <= n_inducing:
        return distinct
    scale = X.std(0)
    scale = np.where(scale > 0, scale, 1.0)
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
    """Inducing points [M, D] by the named method."""
    return _METHODS[method](X, n_inducing, random_state, weights)
