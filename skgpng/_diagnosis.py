"""What in the data is likely to be why training could not go on."""

from __future__ import annotations

import numpy as np

from .inducing import merge_equal_rows

__all__ = ["likely_cause"]

# Columns whose spreads differ by more than this leave the smaller ones to rounding.
_APART = 1e8
# Noise below this share of the variance of y cannot tell two equal rows apart.
_TINY_NOISE = 1e-8


def likely_cause(X: np.ndarray, Y: np.ndarray, noise: np.ndarray) -> str:
    """A sentence that names the first cause found, with its remedy; "" where there is none.

    Parameters
    ----------
    X : ndarray of shape (N, D)
    Y : ndarray of shape (N, P)
        Scaled targets.
    noise : ndarray of shape (N,)
        Least noise variance that each row may have, on the scale of Y; infinite where the
        likelihood has none.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng._diagnosis import likely_cause
    >>> X = np.array([[0.0, 1e12], [1.0, 1e12 + 1.0]])
    >>> print(likely_cause(X, np.zeros((2, 1)), np.ones(2)))
    Column 1 of X varies by 1 around 1e+12, which is of the size of rounding: subtract its mean.
    """
    found = (*_rounded_columns(X), *_scales_apart(X), *_contradictions(X, Y, noise))
    return next(iter(found), "")


def _rounded_columns(X: np.ndarray) -> list[str]:
    spread, largest = np.ptp(X, axis=0), np.abs(X).max(0)
    bad = np.flatnonzero((spread > 0) & (spread < largest / _APART))
    return [
        f"Column {d} of X varies by {spread[d]:.3g} around {largest[d]:.3g}, which is of the size "
        "of rounding: subtract its mean."
        for d in bad
    ]


def _scales_apart(X: np.ndarray) -> list[str]:
    spread = np.ptp(X, axis=0)
    moving = np.flatnonzero(spread)
    if not len(moving):
        return ["Every column of X is constant: nothing can be learned from it."]
    low, high = (moving[k(spread[moving])] for k in (np.argmin, np.argmax))
    if spread[high] < _APART * spread[low]:
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
