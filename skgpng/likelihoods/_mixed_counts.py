r"""Counts whose log mean is Gaussian: distribution function, quantiles, CRPS.

y is 0 with the probability ``zeros``, else negative binomial of ``size`` r with the mean
:math:`e^f`, variance :math:`e^f + e^{2f} / r`, where :math:`f \sim N(m, s^2)`; infinite r is
Poisson's. All entries [...] at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.special import betaincc, gammaln, ndtr, ndtri, pdtr

from . import _numerical as numerical

__all__ = ["conditional_cdf", "crps", "log_probability", "quantiles"]

# Counts beyond this are summed by integration: their distribution is smooth from one to the next.
_SMALL = 64
# Rows with next to nothing beyond are done then.
_BEYOND = 1e-5
# Where its intervals end, in shares of how far log y may be from its middle, and nodes on each.
_PLACES = (-1.0, -0.3, 0.0, 0.2, 0.4, 0.7, 1.0)
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
# Steps of an even sum over the ratio of two gamma variables, in standard deviations and at most.
_EVEN, _MOST_EVEN = 0.8, 0.45
# Steps of the sums over f: that of a normal variable, and that of any count's likelihood.
_NORMAL_STEP, _COUNT_STEP = 0.9, 0.4
# f within so many standard deviations.
_REACH = 8.0
# Logarithms up to this have an exponential.
_LARGEST = 600.0
# Steps of Newton's method for the ends of a density.
_NEWTON_STEPS = 25


def log_probability(y: np.ndarray, log_mean: np.ndarray, size: float) -> np.ndarray:
    """Of y given the log of its mean, without the zeros that are added."""
    with np.errstate(over="ignore"):
        if np.isinf(size):
            return y * log_mean - np.exp(log_mean) - gammaln(y + 1.0)
        t = log_mean - np.log(size)
        ways = gammaln(y + size) - gammaln(size) - gammaln(y + 1.0)
        return ways + y * t - (y + size) * np.logaddexp(0.0, t)


def conditional_cdf(y: np.ndarray, mean: np.ndarray, size: float) -> np.ndarray:
    """Probability of y or less given its mean, without the zeros that are added."""
    k = np.maximum(np.floor(y), 0.0)
    below = pdtr(k, mean) if np.isinf(size) else betaincc(k + 1.0, size, mean / (size + mean))
    return np.where(np.asarray(y) < 0, 0.0, below)


def quantiles(m: np.ndarray, s: np.ndarray, levels: np.ndarray, size: float) -> np.ndarray:
    """Smallest counts whose probability reaches the levels; 0 for those that are not positive."""
    m, s, levels = np.broadcast_arrays(m, s, levels)
    shape, positive = m.shape, levels > 0.0
    m, s, level = m[positive], s[positive], levels[positive]
    upper = level > 0.5

    def beyond(k: np.ndarray, index: Any = slice(None)) -> np.ndarray:
        """Probability of k or less over the level, from the end that is nearer."""
        share = _cdf(k, m[index], s[index], size, upper[index])
        return np.where(upper[index], 1.0 - level[index] - share, share - level[index])

    def excess(t: np.ndarray, index: np.ndarray) -> np.ndarray:
        return beyond(np.exp(t) - 1.0, index)

    # y + 1 as a real number, by its logarithm: near the quantile of a normal approximation
    width = _width(m, s, size)
    start = np.logaddexp(m + width * ndtri(level), 0.0)
    t = numerical.roots(excess, start - 0.1 * width, start + 0.1 * width)
    # the smallest whole number that is not below, but for rounding
    k = np.maximum(np.ceil(np.exp(t) - 1.0 - 1e-6 * np.exp(t)), 0.0)
    k += beyond(k) < 0.0
    found = np.zeros(shape)
    found[positive] = k
    return found


def crps(m: np.ndarray, s: np.ndarray, Y: np.ndarray, size: float, zeros: float) -> np.ndarray:
    r"""Sum :math:`\sum_k (F(k) - 1\{k \ge y\})^2`.

    Beyond 64 it is an integral, from half a count before to half a one behind.
    """
    shape = np.broadcast_shapes(m.shape, s.shape, Y.shape)
    m, s, Y = (np.broadcast_to(a, shape).ravel() for a in (m, s, Y))
    # with next to nothing below 64 each F there is zero, but for the zeros that are added
    far = np.exp(m - numerical.REACH * _width(m, s, size)) >= _SMALL
    few = np.minimum(Y, _SMALL) * zeros**2 + np.maximum(_SMALL - Y, 0.0) * (1.0 - zeros) ** 2
    below = np.zeros(m.shape)
    few[~far], below[~far] = _few(m[~far], s[~far], size, zeros, Y[~far])
    many = (1.0 - below > _BEYOND) | (Y >= _SMALL)
    few[many] += _many(m[many], s[many], size, zeros, Y[many])
    return few.reshape(shape)


def _width(m: np.ndarray, s: np.ndarray, size: float) -> np.ndarray:
    """About the standard deviation of log y."""
    return np.sqrt(s**2 + np.exp(-np.maximum(m, 0.0)) + 1.0 / size)


# --- small counts, one after the other ---------------------------------------------------------


def _few(m: np.ndarray, s: np.ndarray, size: float, zeros: float, Y: np.ndarray) -> tuple:
    """Terms of the CRPS for counts below 64, and the share of these without the zeros added.

    Probabilities given f follow from each other; the trapezoid rule for the normal variable is
    as fine as they ask for.
    """
    total, below = np.zeros(m.shape), np.zeros(m.shape)
    for part in _alike(s):
        step = min(_COUNT_STEP, _NORMAL_STEP / np.sqrt(1.0 + _SMALL * s[part].max() ** 2))
        z = np.arange(-_REACH, _REACH + step, step)
        weights = np.exp(-0.5 * z**2)
        each = _small_counts(m[part, None] + s[part, None] * z, size)  # [n, H]
        F = np.cumsum([p @ weights for p in each], 0) / weights.sum()  # [64, n]
        k = np.arange(_SMALL)[:, None]
        total[part] = np.sum((zeros + (1.0 - zeros) * F - (k >= Y[part])) ** 2, 0)
        below[part] = F[-1]
    return total, below


def _alike(s: np.ndarray) -> Iterator[np.ndarray]:
    """Indices of entries that take about as many nodes."""
    order = np.round(np.log2(np.maximum(s, 0.1)))
    return (np.flatnonzero(order == value) for value in np.unique(order))


def _small_counts(log_mean: np.ndarray, size: float) -> Iterator[np.ndarray]:
    """Probabilities of 0, 1, ... 63 given the log of the mean."""
    with np.errstate(over="ignore"):
        p = np.exp(log_probability(np.zeros(()), log_mean, size))
        mean = np.exp(log_mean)
    ratio = mean if np.isinf(size) else mean / (size + mean)
    for k in range(_SMALL):
        yield p
        p = p * ratio * ((1.0 if np.isinf(size) else k + size) / (k + 1.0))


# --- any counts, as real numbers ---------------------------------------------------------------


def _many(m: np.ndarray, s: np.ndarray, size: float, zeros: float, Y: np.ndarray) -> np.ndarray:
    """Terms of the CRPS beyond 64, with the first Euler-Maclaurin term at the ends.

    In the logarithm of the count, which spreads them evenly.
    """
    first, split = _SMALL - 0.5, np.maximum(Y, _SMALL) - 0.5
    above = numerical.REACH * np.hypot(s, np.exp(-0.5 * np.maximum(m, 0.0))) + _longest(size)
    below = numerical.REACH * _width(m, s, size)
    places = [m + share * (below if share < 0.0 else above) for share in _PLACES]
    logs = np.broadcast_arrays(np.log(first), np.log(split), *places)
    edges = np.sort(np.maximum(logs, np.log(first)), 0)
    total = np.zeros(m.shape)
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        half, middle = 0.5 * (high - low), 0.5 * (low + high)
        upper = middle > np.log(split)
        for x, w in zip(_NODES, _WEIGHTS, strict=True):
            k = np.exp(middle + half * x)
            share = (1.0 - zeros) * _cdf(k, m, s, size, upper)
            total += w * half * k * np.where(upper, share, zeros + share) ** 2
    at_first = np.full(m.shape, first)
    F_first = zeros + (1.0 - zeros) * _cdf(at_first, m, s, size)
    p_first, p_split = (
        (1.0 - zeros) * (_cdf(k + 0.5, m, s, size) - _cdf(k - 0.5, m, s, size))
        for k in (at_first, split)
    )
    return total + (F_first * p_first - p_split) / 12.0


def _longest(size: float) -> float:
    """Logarithm of how far beyond its mean a gamma variable of shape ``size`` may be."""
    c = numerical.DROP / size
    return float(np.log1p(c + np.sqrt(2.0 * c)))


def _cdf(k: np.ndarray, m: np.ndarray, s: np.ndarray, size: float, upper: Any = False) -> Any:
    r"""Probability of k or less (of more, where ``upper``), log mean N(m, s^2); smooth in k > -1.

    A count is k or less where a gamma variable g of shape k + 1 is above its rate, which is the
    mean times another one, h, of shape r and mean 1: :math:`F(k) = E[\Phi((\log(g/h) - m) / s)]`,
    an integral with a peak at log(k + 1) and a step at m.
    """
    a, m, s, sign = np.broadcast_arrays(k + 1.0, m, s, np.where(upper, -1.0, 1.0))
    found, wide = np.empty(a.shape), s > np.sqrt(1.0 / a + 1.0 / size)
    for chosen, nodes in ((wide, _even_nodes), (~wide, _nodes_at_step)):
        if chosen.any():
            at, std = a[chosen], np.maximum(s[chosen], 1e-12)
            step = m[chosen] - np.log(at)
            x, w = nodes(at, std, size, step)
            w = w * np.exp(_log_ratio(x, at, size))
            share = np.sum(w * ndtr(sign[chosen] * (x - step) / std), 0)
            found[chosen] = share / np.sum(w, 0)
    return found


def _even_nodes(a: np.ndarray, std: np.ndarray, size: float, step: np.ndarray) -> tuple:
    """Of the trapezoid rule, where the step is wider than the density."""
    low, high = _ends(a, size)
    most = np.minimum(_EVEN * std / np.sqrt(1.0 + std**2 / (1.0 / a + 1.0 / size)), _MOST_EVEN)
    n = int(np.ceil(np.max((high - low) / most)))
    t = np.arange(n + 1.0).reshape(-1, *(1,) * a.ndim) / n
    return low + t * (high - low), (high - low) / n


def _nodes_at_step(a: np.ndarray, std: np.ndarray, size: float, step: np.ndarray) -> tuple:
    """That crowd at the peak and at the step, where that is steep."""
    low, high = _ends(a, size)
    at = np.clip(step, low, high)
    finer = 2 if size < 1.0 else 1  # its peak is far from its other end
    return numerical.intervals(low, np.minimum(at, 0.0), np.maximum(at, 0.0), high, finer=finer)


def _log_ratio(x: np.ndarray, a: np.ndarray, size: float) -> np.ndarray:
    r"""Log density of :math:`\log(g/h) - \log a`, up to a constant: 0 at its peak, which is 0."""
    return a * (x - np.expm1(x)) if np.isinf(size) else _fall(x, a, size)


def _fall(x: np.ndarray, a: Any, b: Any) -> np.ndarray:
    r""":math:`ax - (a + b) \log((b + a e^x) / (a + b))`, the same as of -x, b and a."""
    swap = b < a  # the smaller number leaves the sum its digits
    inner, t = np.where(swap, b, a), np.where(swap, -x, x)
    near = np.log1p(np.expm1(np.minimum(t, _LARGEST)) * inner / (a + b))
    far = t + np.log(inner / (a + b))  # where exp overflows
    return inner * t - (a + b) * np.where(t < _LARGEST, near, far)


def _ends(a: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the density of the ratio has fallen by 40 nats on either side, or a bit further out."""
    if np.isinf(size):
        c = numerical.DROP / a
        return -(c + np.sqrt(2.0 * c)), np.log1p(c + np.sqrt(2.0 * c))
    return _left_end(a, size), -_left_end(size, a)


def _left_end(a: Any, b: Any) -> np.ndarray:
    """By Newton's method: the fall is concave, so that it comes from outside and stays there."""
    x = -(numerical.DROP + (a + b) * np.log1p(a / b)) / a
    for _ in range(_NEWTON_STEPS):
        slope = a * b * -np.expm1(x) / (b + a * np.exp(x))
        x = x - (_fall(x, a, b) + numerical.DROP) / slope
    return x
