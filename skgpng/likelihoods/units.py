"""Units in which y is learned."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Units", "mean_and_deviation", "median_and_quartiles"]

# Distance between the quartiles of a standard normal variable.
_QUARTILES = 1.3489795003921634
# Larger values of y are refused; with a smaller deviation it is constant (no reciprocal).
_LARGEST_Y, _SMALLEST_STD = 1e250, 1e-305


class Units(NamedTuple):
    """y = shift + scale * Y.

    Attributes
    ----------
    shift, scale : ndarray of shape (P,)

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import Units
    >>> units = Units(shift=np.array([10.0]), scale=np.array([2.0]))
    >>> print(units.shift + units.scale * np.array([0.0, 1.0]))
    [10. 12.]
    """

    shift: np.ndarray
    scale: np.ndarray


def mean_and_deviation(Y: np.ndarray, weights: np.ndarray) -> Units:
    """Weighted mean and standard deviation of each column; 1 (or rounding) where constant."""
    largest = np.abs(Y).max(0)
    if not np.all(largest <= _LARGEST_Y):
        raise ValueError(
            f"y has values up to {largest.max():.3g}; predictions are not sure to be finite beyond "
            f"{_LARGEST_Y:g}. Divide it by a constant."
        )
    unit = _power_of_two(largest)
    scaled, weights = Y / unit, weights / _power_of_two(weights.max())
    mean = np.average(scaled, axis=0, weights=weights)
    std = np.sqrt(np.average((scaled - mean) ** 2, axis=0, weights=weights))
    # a constant column has a deviation of rounding size
    varies = (std > 1e-12 * np.abs(mean)) & (unit * std > _SMALLEST_STD)
    # in whose unit rounding is small
    constant = np.maximum(1.0, unit * (1e-12 * np.abs(mean)))
    return Units(unit * mean, np.where(varies, unit * std, constant))


def median_and_quartiles(Y: np.ndarray, weights: np.ndarray) -> Units:
    """Weighted median, and the distance between the quartiles over that of a standard normal.

    Outliers do not move them. Where half the values or more are equal, or all but, the scale is
    the standard deviation.
    """
    std = mean_and_deviation(Y, weights).scale
    order = np.argsort(Y, axis=0)
    ordered = np.take_along_axis(Y, order, 0)
    shares = np.cumsum(weights[order], axis=0) / weights.sum()

    def quantile(p: float) -> np.ndarray:
        # between the values at either side, so that -Y has the quantiles of Y turned round
        at = [np.argmax(shares >= p + d, axis=0) for d in (-1e-12, 1e-12)]
        return 0.5 * np.take_along_axis(ordered, np.stack(at), 0).sum(0)

    low, median, high = map(quantile, (0.25, 0.5, 0.75))
    scale = high / _QUARTILES - low / _QUARTILES
    return Units(median, np.where(scale > 1e-9 * np.maximum(std, np.abs(median)), scale, std))


def _power_of_two(sizes: np.ndarray) -> np.ndarray:
    """The largest ones that are not above the sizes: dividing by them does not round."""
    return np.ldexp(1.0, np.frexp(sizes)[1] - 1)
