"""What a user should know: why training could not go on, and whether its result is of use."""

from __future__ import annotations

import numpy as np

from .._inference.neighbour_posterior import NeighbourPosterior
from .._inference.posterior import Posterior, RowPosterior
from ..inducing import column_spread, merge_equal_rows

__all__ = [
    "at_bounds",
    "explained_share",
    "likely_cause",
    "lone_row",
    "lone_value",
    "lost_to_float32",
]

# Columns whose spreads differ by more than this leave the smaller ones to rounding.
_APART = 1e8
# So much of a column's spread may be rounding.
_ROUNDED = 1e-2
# Noise below this share of the variance of y cannot tell two equal rows apart, and below the
# second no model with inducing points explains rows of y that vary.
_TINY_NOISE, _NO_NOISE = 1e-8, 1e-12
# Weights further apart leave the light rows to rounding.
_HEAVIER = {"float64": 1e14, "float32": 1e7}
# A row that holds more than this share of the variance of a column, of so many rows or more.
_LONE, _LONE_FROM = 0.9, 20
# A value within this share of its bound is at it.
_AT_BOUND = 1e-3
# Rows at which the fitted function is looked at, and rows from which on leaving one out tells more
# than the fit itself.
_ROWS, _LEAVE_ONE_OUT_FROM = 256, 20
# Spreads below have no reciprocal in float32.
_SMALLEST = {"float64": 0.0, "float32": 1e-35}


def likely_cause(
    X: np.ndarray, Y: np.ndarray, noise: np.ndarray, weights: np.ndarray, dtype: str = "float64"
) -> str:
    """A sentence that names the first cause found, with its remedy; "" where there is none.

    ``noise`` [N] is the least variance that each row may have, on the scale of Y, infinite where
    the likelihood has none.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng._estimator.diagnosis import likely_cause
    >>> X = np.array([[0.0, 1e12], [1.0, 1e12 + 1.0]])
    >>> print(likely_cause(X, np.zeros((2, 1)), np.ones(2), np.ones(2)))
    Column 1 of X varies by 1 around 1e+12, which is of the size of rounding: subtract its mean.
    """
    found = (
        *_rounded_columns(X),
        *_tiny_columns(X, dtype),
        *_scales_apart(X),
        *_contradictions(X, Y, noise),
        *_no_noise(noise),
        *_weights_apart(weights, dtype),
    )
    return next(iter(found), "")


def _rounded_columns(X: np.ndarray) -> list[str]:
    spread, largest = np.ptp(X, axis=0), np.abs(X).max(0)
    bad = np.flatnonzero((spread > 0) & (spread < largest / _APART))
    return [
        f"Column {d} of X varies by {spread[d]:.3g} around {largest[d]:.3g}, which is of the size "
        "of rounding: subtract its mean."
        for d in bad
    ]


def lost_to_float32(X: np.ndarray) -> str:
    """A sentence that names a column whose digits float32 has lost already; "" where none has.

    Such a column varies by steps of float32 at its distance from zero: what was between them is
    gone before any training, and predictions are those of the rounded rows.
    """
    if X.dtype != np.float32:
        return ""
    step = np.spacing(np.maximum(X.max(0), -X.min(0)))
    spread = column_spread(X, np.ones(len(X)))  # 1 where a column is constant
    lost = np.flatnonzero((step > _ROUNDED * spread) & (X.max(0) > X.min(0)))
    if not len(lost):
        return ""
    d = lost[0]
    return (
        f"Column {d} of X came as float32, whose steps of {step[d]:.3g} around "
        f"{np.abs(X[:, d]).max():.3g} are not small beside its standard deviation of "
        f"{spread[d]:.3g}: subtract its mean before converting it, or pass float64."
    )


def _tiny_columns(X: np.ndarray, dtype: str) -> list[str]:
    spread = np.ptp(X, axis=0)
    return [
        f"Column {d} of X varies by {spread[d]:.3g}, next to nothing in float32: multiply it by a "
        'constant, or set dtype="float64".'
        for d in np.flatnonzero((spread > 0) & (spread < _SMALLEST[dtype]))
    ]


def _scales_apart(X: np.ndarray) -> list[str]:
    spread = np.ptp(X, axis=0)
    moving = np.flatnonzero(spread)
    if not len(moving):
        return ["Every column of X is constant: nothing can be learned from it."]
    low, high = (moving[k(spread[moving])] for k in (np.argmin, np.argmax))
    if spread[high] / _APART < spread[low]:  # divided: the product overflows in float32
        return []
    return [
        f"Column {high} of X varies by {spread[high]:.3g} and column {low} by {spread[low]:.3g}: "
        "scale the columns (StandardScaler), or leave kernel=None, which does."
    ]


def _contradictions(X: np.ndarray, Y: np.ndarray, noise: np.ndarray) -> list[str]:
    tiny = noise < _TINY_NOISE
    X, Y, one = X[tiny], Y[tiny], np.ones(tiny.sum())
    if not len(X) or len(merge_equal_rows(one, X)[0]) == len(merge_equal_rows(one, X, Y)[0]):
        return []
    return [
        "Equal rows of X have different y, but next to no noise is allowed: raise alpha, or leave "
        "alpha=None to learn the noise."
    ]


def _no_noise(noise: np.ndarray) -> list[str]:
    if noise.min() > _NO_NOISE:
        return []
    return [
        f"The noise allowed (alpha, noise_variance) is {noise.min():.3g} of the variance of y: "
        "raise it, or leave alpha=None to learn the noise."
    ]


def _weights_apart(weights: np.ndarray, dtype: str) -> list[str]:
    low, high = weights.min(), weights.max()
    if high / _HEAVIER[dtype] < low:
        return []
    return [
        f"sample_weight goes from {low:.3g} to {high:.3g}, more than {dtype} can tell apart: leave "
        "out the lightest rows."
    ]


# --- rows that outweigh all others -----------------------------------------------------------


def lone_row(X: np.ndarray, spread: np.ndarray) -> str:
    """A sentence that names a column whose spread [D] is that of one row; "" where there is none.

    A column of which all other rows are equal, such as an indicator, is none.
    """
    N, mean = len(X), X.mean(0, dtype=np.float64)
    away = np.maximum(X.max(0) - mean, mean - X.min(0))
    for d in np.flatnonzero((away / spread) ** 2 > _LONE * N) if N >= _LONE_FROM else ():
        row = int(np.argmax(np.abs(X[:, d] - mean[d])))
        if np.ptp(np.delete(X[:, d], row)) > 0:
            return (
                f"Row {row} of X holds nearly all of the variance of column {d}, {X[row, d]:g}: "
                "leave it out if it stands for a missing value, or transform the column (such as "
                "QuantileTransformer): the default kernel takes its unit from it."
            )
    return ""


def lone_value(Y: np.ndarray) -> float | None:
    """The value in a single column Y [N, 1] that has nearly all of its variance; or None."""
    away = (Y - Y.mean(0)) ** 2
    row = int(np.argmax(away))
    alone = Y.shape[1] == 1 and len(Y) >= _LONE_FROM and away[row, 0] > _LONE * away.sum()
    return float(Y[row, 0]) if alone and np.ptp(np.delete(Y, row)) > 0 else None


# --- after training --------------------------------------------------------------------------


def at_bounds(names: tuple[str, ...], values: tuple, bounds: tuple) -> str:
    """Which hyperparameters ended at a bound, in scikit-learn's words; "" where none did.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng._estimator.diagnosis import at_bounds
    >>> bounds = np.array([[1e-5, 1e5], [1e-5, 1e5]])
    >>> said = at_bounds(("k2__length_scale",), (np.array([0.3, 1e5]),), (bounds,))
    >>> print(said[:55])
    The optimal value found for dimension 1 of parameter k2
    """
    found = []
    for name, value, bound in zip(names, values, bounds, strict=True):
        low, high = np.moveaxis(np.asarray(bound, float), -1, 0)
        for side, change, edge, hit in (
            ("lower", "Decreasing", low, value <= (1.0 + _AT_BOUND) * low),
            ("upper", "Increasing", high, value >= (1.0 - _AT_BOUND) * high),
        ):
            columns = np.flatnonzero(hit & (low < high))
            if len(columns):
                which = ", ".join(map(str, columns))
                edges = ", ".join(map(str, np.unique(np.ravel(edge)[columns])))
                found.append(
                    f"The optimal value found for dimension {which} of parameter {name} is close "
                    f"to the specified {side} bound {edges}. {change} the bound and calling fit "
                    "again may find a better value."
                )
    return " ".join(found)


def explained_share(p: Posterior, data: tuple, predict: bool) -> np.ndarray:
    r"""Share of the variance of each column of targets that the fit explains, [P].

    Where rows ``predict`` each other that of leaving one out,
    :math:`1 - \sum e_i^2 / \sum (y_i - \bar y)^2` with its error :math:`e_i`: a function that goes
    through every row by itself explains nothing. Otherwise, and of few rows, the variance of the
    fitted function at some of the rows. 1 where the targets are constant.
    """
    X, Y, weights = data
    centred = Y - np.average(Y, axis=0, weights=weights)
    total = np.average(centred**2, axis=0, weights=weights)
    many = len(X) >= _LEAVE_ONE_OUT_FROM
    if predict and many and isinstance(p, RowPosterior | NeighbourPosterior):
        rows, errors = p.left_out()
        missed, own = (np.average(e**2, 0, weights[rows]) for e in (errors, centred[rows]))
        share = 1.0 - missed / np.where(own > 0, own, 1.0)
    else:
        some = slice(None, None, -(-len(X) // _ROWS))
        f_mean = p.mean(X[some])[:, : Y.shape[1]]  # of the columns of y
        mean = np.average(f_mean, axis=0, weights=weights[some])
        varies = np.average((f_mean - mean) ** 2, axis=0, weights=weights[some])
        share = varies / np.where(total > 0, total, 1.0)
    return np.where(total > 0, share, 1.0)
