"""Where to put the inducing points before training moves them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import pairwise_distances_argmin

from . import kernels
from ._linalg import one_blas_thread

__all__ = [
    "column_spread",
    "distinct_rows",
    "greedy_variance",
    "is_far_from_zero",
    "kmeans",
    "merge_equal_rows",
    "power_of_two",
    "random_subset",
    "select",
]

# k-means and greedy variance look at this many rows at most: more rows move the centres little
# and cost in full. Longer arrays are also read in blocks of this many rows.
_MAX_ROWS = 20_000

# Rows times inducing points of a pivoted Cholesky factorisation: 128 MB.
_MAX_FACTOR = 2**24

# Covariances of this many rows are computed in one call, ahead of their turn: one row at a time
# takes three times as long at 52 columns, 128 rows as long as 32.
_AHEAD = 32

# Numbers below have no reciprocal, or one whose products with others overflow.
_SMALLEST = 1e-290

# Below this share of the prior variance rounding decides which row is the largest; the square
# root of it still has half of its digits.
_EXHAUSTED = 1e-8


def column_spread(X: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted standard deviation of each column, [D]; 1 where the column is constant.

    Computed in float64 and in blocks of rows, in two passes: first the mean, then the squares of
    the distances from it, in units that keep squares within the range of float64. A column counts
    as constant where its deviation is of rounding size (1e-10 of its largest value), or so small
    (1e-290) that it has no reciprocal.

    Parameters
    ----------
    X : ndarray of shape (N, D)
    weights : ndarray of shape (N,)

    Returns
    -------
    ndarray of shape (D,), float64

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.inducing import column_spread
    >>> print(column_spread(np.array([[0.0, 5.0], [2.0, 5.0]]), np.ones(2)))
    [1. 1.]
    """
    largest = np.maximum(X.max(0), -X.min(0)).astype(np.float64)
    unit, weights = power_of_two(largest), weights / power_of_two(weights.max())
    mean = _weighted_mean(X, unit, weights)
    spread = unit * np.sqrt(_weighted_mean(X, unit, weights, about=mean, power=2))
    # a constant column can have a deviation of rounding size
    return np.where(spread > np.maximum(1e-10 * largest, _SMALLEST), spread, 1.0)


def is_far_from_zero(X: np.ndarray) -> bool:
    """Whether rows lose digits of a kernel that is not stationary when they become float32.

    A dot product rounds in proportion to the squares of the rows, of which only their squared
    distance from the mean tells rows apart: more than that is far. Other kernels see a column for
    itself; a thousand times its deviation leaves four digits of it.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.inducing import is_far_from_zero
    >>> X = np.array([[0.0], [2.0]])
    >>> is_far_from_zero(X), is_far_from_zero(X + 100.0)
    (False, True)
    """
    middle = np.abs(X.mean(0, dtype=np.float64))
    spread = column_spread(X, np.ones(len(X)))  # 1 where a column is constant
    return bool(np.sum(middle**2) > np.sum(spread**2) or np.any(middle > 1e3 * spread))


def power_of_two(sizes: Any) -> Any:
    """The largest powers of two that are not above the sizes: dividing by them does not round.

    Examples
    --------
    >>> from skgpng.inducing import power_of_two
    >>> print(power_of_two([3.0, 0.3]))
    [2.   0.25]
    """
    return np.ldexp(1.0, np.frexp(sizes)[1] - 1)


def _weighted_mean(
    X: np.ndarray, unit: np.ndarray, weights: np.ndarray, about: Any = 0.0, power: int = 1
) -> Any:
    """Weighted mean over the rows of ``(X / unit - about)**power``, [D]."""
    total = sum(
        np.sum((X[rows] / unit - about) ** power * weights[rows, None], axis=0)
        for rows in _blocks(len(X))
    )
    return total / weights.sum()


def _blocks(n: int) -> Iterator[slice]:
    """Slices that cover n rows: no temporary array is as long as the data."""
    return (slice(start, start + _MAX_ROWS) for start in range(0, n, _MAX_ROWS))


# --- equal rows ------------------------------------------------------------------------------


def merge_equal_rows(weights: np.ndarray, *columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Position of one row of each kind, and the total weight of each kind.

    The kinds come in an order that depends on what is in the rows and not on where they stand:
    sorted up to 20,000 rows, by their bytes beyond.

    Parameters
    ----------
    weights : ndarray of shape (N,)
    *columns : ndarray of shape (N,) or (N, D)
        Rows are equal where they are equal in all of these.

    Returns
    -------
    first : ndarray of shape (n_kinds,), int
    total : ndarray of shape (n_kinds,)

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.inducing import merge_equal_rows
    >>> print(*merge_equal_rows(np.ones(3), np.array([[2.0], [1.0], [2.0]]), np.zeros(3)))
    [1 0] [1. 2.]
    """
    rows = _as_scalars(np.ascontiguousarray(np.column_stack(columns)))
    order = np.argsort(rows, kind="stable")
    begins = np.ones(len(rows), bool)  # a kind, in this order; np.unique would copy rows twice more
    for block in _blocks(len(rows) - 1):
        begins[1:][block] = rows[order[1:][block]] != rows[order[:-1][block]]
    kind = np.empty(len(rows), int)
    kind[order] = np.cumsum(begins) - 1
    return order[begins], np.bincount(kind, weights)


def _as_scalars(rows: np.ndarray) -> np.ndarray:
    """Each row [D] as one scalar, to be compared by its numbers, or quicker by its bytes.

    444,619 rows of 40 columns take half a second by bytes, and several by numbers.
    """
    rows += 0.0  # -0.0 becomes 0.0, its equal
    by_bytes, size = len(rows) > _MAX_ROWS, rows.dtype.itemsize * rows.shape[1]
    numbers = np.dtype([("", rows.dtype)] * rows.shape[1])
    return rows.view(f"V{size}" if by_bytes else numbers).ravel()


def distinct_rows(X: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows of X, and the sum of the weights of each; see :func:`merge_equal_rows`.

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


# --- methods ---------------------------------------------------------------------------------


def _draw(
    X: np.ndarray, n: int, random_state: np.random.RandomState, weights: np.ndarray
) -> np.ndarray:
    """Positions of n different rows, drawn in proportion to their weights."""
    share = weights / weights.sum()
    return random_state.choice(len(X), n, replace=False, p=share)


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
    if len(X) > n_inducing:
        X = X[np.sort(_draw(X, n_inducing, random_state, weights))]
    return X.astype(np.float64, copy=False)


def kmeans(
    X: np.ndarray,
    n_inducing: int,
    random_state: np.random.RandomState,
    weights: np.ndarray,
    discrete: Any = False,
) -> np.ndarray:
    """Centres of weighted k-means, [M, D]; all rows where there are no more than M.

    Distances are taken in units of each column's standard deviation. Of more than 20,000 rows,
    that many are drawn in proportion to their weights. Where columns are ``discrete`` [D], any two
    of their levels are as far from each other as two rows are on average in another column, and a
    centre has the levels of the row that is nearest to it.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.inducing import kmeans
    >>> X = np.array([[0.0], [0.1], [5.0], [5.1]])
    >>> print(np.sort(kmeans(X, 2, np.random.RandomState(0), np.ones(4)).ravel()))
    [0.05 5.05]
    """
    if len(X) <= n_inducing:
        return X.astype(np.float64, copy=False)
    scale = column_spread(X, weights)
    n_rows = max(_MAX_ROWS, n_inducing)
    if len(X) > n_rows:
        X, weights = X[_draw(X, n_rows, random_state, weights)], np.ones(n_rows)
    mixed = np.any(discrete)
    rows = X / scale
    if mixed:
        each = (np.equal.outer(x, np.unique(x)) for x in X[:, discrete].T)
        rows = np.column_stack([rows[:, ~discrete], *each])
    # Ten rounds: where the points start matters, their last digits do not, training moves them.
    means = KMeans(n_inducing, n_init=1, max_iter=10, random_state=random_state)
    weights = weights / power_of_two(weights.max())
    with warnings.catch_warnings():
        # fewer kinds of rows than centres but for rounding: points on one spot do no harm
        warnings.simplefilter("ignore", ConvergenceWarning)
        centres = means.fit(rows, sample_weight=weights).cluster_centers_
    if not mixed:
        return centres * scale
    Z = X[pairwise_distances_argmin(centres, rows)].astype(np.float64)
    Z[:, ~discrete] = centres[:, : np.sum(~discrete)] * scale[~discrete]
    return Z


def greedy_variance(
    X: np.ndarray,
    n_inducing: int,
    random_state: np.random.RandomState,
    weights: np.ndarray,
    kernel: kernels.KernelStructure,
    values: tuple,
) -> np.ndarray:
    r"""One after the other the row least known from those before it, [M, D].

    The next inducing point is the row x with the largest conditional variance given the function
    at the points Z chosen so far,

    .. math:: k(x, x) - k(x, Z) \, k(Z, Z)^{-1} k(Z, x),

    which is the greedy search for the M rows with the largest determinant of k(Z, Z): the
    "greedy variance" selection of Burt, Rasmussen & van der Wilk (2020), Convergence of Sparse
    Variational Inference in Gaussian Processes Regression, JMLR 21(131). Rows with equal
    variances take their turn at random, as theirs do.

    It reads the rows as they are: a row of weight 2 has the same conditional variance as one of
    weight 1. Weights decide which rows are looked at where there are more than 20,000, or than
    2**24 / M. Where the rows chosen explain all others but for rounding, the remaining points
    are drawn at random in proportion to the weights.

    Parameters
    ----------
    X : ndarray of shape (N, D)
    n_inducing : int
    random_state : RandomState
    weights : ndarray of shape (N,)
    kernel : KernelStructure
        Structure, from :func:`skgpng.kernels.parse`. Where each latent function has a kernel of
        its own, the variances of all are added up.
    values : tuple of ndarray
        Hyperparameters in the order of ``ParsedKernel.values``.

    Returns
    -------
    ndarray of shape (M, D), float64
        Different rows of X: fewer than M where X has fewer. All of X where N is not above M.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng.inducing import greedy_variance
    >>> from skgpng.kernels import parse
    >>> parsed = parse(RBF(2.0))
    >>> X = np.array([[0.0], [0.1], [5.0], [9.0], [9.1]])
    >>> rng = np.random.RandomState(0)
    >>> Z = greedy_variance(X, 3, rng, np.ones(5), parsed.structure, parsed.values)
    >>> print(np.sort(Z.ravel().round()))
    [0. 5. 9.]
    """
    if len(X) <= n_inducing:
        return X.astype(np.float64, copy=False)
    n_rows = max(min(_MAX_ROWS, _MAX_FACTOR // n_inducing), 2 * n_inducing)
    if len(X) > n_rows:
        X, weights = X[_draw(X, n_rows, random_state, weights)], np.ones(n_rows)
    X, weights = distinct_rows(X.astype(np.float64, copy=False), weights)
    turn = random_state.permutation(len(X))
    X, weights = X[turn], weights[turn]
    with one_blas_thread:
        chosen = _most_uncertain(X, min(n_inducing, len(X)), kernel, values)
    rest = np.delete(np.arange(len(X)), chosen)
    Z = random_subset(X[rest], n_inducing - len(chosen), random_state, weights[rest])
    return np.concatenate([X[chosen], Z])


def _most_uncertain(
    X: np.ndarray, n: int, kernel: kernels.KernelStructure, values: tuple
) -> list[int]:
    """Pivots of a Cholesky factorisation K = LL' that takes the largest first; at most n.

    Column m of L, k(x_i, z_m) less what the columns before explain of it, takes its squares off
    the conditional variances. A variance that is not a number ends it too.
    """
    variance = _prior_variance(kernel, values, X)  # [N]
    exhausted = _EXHAUSTED * variance.max()
    L = np.empty((n, len(X)))  # transposed: a column of L is a row here
    covariances: dict[int, np.ndarray] = {}
    chosen: list[int] = []
    for m in range(n):
        pivot = int(variance.argmax())
        if not variance[pivot] > exhausted:
            break
        if pivot not in covariances:  # the most uncertain now are likely to be so next
            likely = np.argsort(-variance, kind="stable")[:_AHEAD]
            covariances = dict(zip(likely.tolist(), _covariance(kernel, values, X[likely], X)))
        L[m] = covariances[pivot] - L[:m, pivot] @ L[:m]
        L[m] /= np.sqrt(variance[pivot])
        variance -= L[m] ** 2
        variance[pivot] = 0.0  # but for rounding
        chosen.append(pivot)
    return chosen


def _prior_variance(kernel: kernels.KernelStructure, values: tuple, X: np.ndarray) -> np.ndarray:
    """Variance of each row, [N], added up over the latent functions."""
    latents = kernels.of_each_latent(kernel, values)
    return sum(kernels.diagonal(k, v, X).numpy() for k, v in latents)


def _covariance(kernel: kernels.KernelStructure, values: tuple, X1: Any, X2: Any) -> np.ndarray:
    """Covariance of the rows, [N1, N2], added up over the latent functions."""
    latents = kernels.of_each_latent(kernel, values)
    return sum(kernels.covariance(k, v, X1, X2).numpy() for k, v in latents)


def select(
    method: str,
    X: np.ndarray,
    n_inducing: int,
    random_state: np.random.RandomState,
    weights: np.ndarray,
    kernel: kernels.KernelStructure | None = None,
    values: tuple | None = None,
) -> np.ndarray:
    """Inducing points by the named method, from distinct rows and their weights.

    Parameters
    ----------
    method : {"kmeans", "greedy_variance", "random"}
    X : ndarray of shape (N, D)
        Of float32 or float64.
    n_inducing : int
    random_state : RandomState
    weights : ndarray of shape (N,)
    kernel : KernelStructure, default=None
        Structure, from :func:`skgpng.kernels.parse`. ``"greedy_variance"`` needs it; for
        ``"kmeans"`` it says which columns are discrete.
    values : tuple of ndarray, default=None
        Hyperparameters in the order of ``ParsedKernel.values``.

    Returns
    -------
    ndarray of shape (M, D), float64

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.inducing import select
    >>> select("random", np.eye(5), 3, np.random.RandomState(0), np.ones(5)).shape
    (3, 5)
    """
    if method == "random":
        return random_subset(X, n_inducing, random_state, weights)
    if method == "kmeans":
        discrete = False if kernel is None else kernels.discrete_columns(kernel, X.shape[1])
        return kmeans(X, n_inducing, random_state, weights, discrete)
    if kernel is None or values is None:
        raise ValueError("'greedy_variance' needs the kernel: pass its structure and values.")
    return greedy_variance(X, n_inducing, random_state, weights, kernel, values)
