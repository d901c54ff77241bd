"""Distributions of y that are known by log p(y | f) alone: moments, quantiles, CRPS, draws.

Nodes are tanh-sinh nodes, which crowd at both ends of an interval: with ends where an integrand
has a kink or a peak, it may be of any width.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.integrate import cumulative_simpson, trapezoid
from scipy.interpolate import CubicHermiteSpline
from scipy.optimize import elementwise
from scipy.special import expit, logit, logsumexp

__all__ = [
    "TABLES",
    "Convolution",
    "Grid",
    "HeavyTails",
    "NoiseTable",
    "argmax_between",
    "argmax_of_sinh",
    "intervals",
    "log_expectation",
    "roots",
    "total",
    "without_nan",
]

_ROOT_2PI = float(np.sqrt(2.0 * np.pi))
# A normal variable is within so many standard deviations of its mean, but for 1e-19.
REACH = 9.0
# Densities end where they have fallen by so many nats.
DROP = 40.0
# sinh of this is 1e17: where y or its logarithm is looked for.
_FAR = 40.0
# exp and sinh are finite here, and their squares.
_LARGEST = 350.0
# Steps of the tanh-sinh rule: errors of 1e-6 at most.
_STEP, _N_STEPS = 0.1, 33
# Numbers of the table of a noise distribution, of a grid of y and of f beside it.
_N_TABLE, _N_GRID, _N_LATENT = 600, 400, (33, 800)
# Counts of which a table is made, and those of which each has a place of its own.
_MOST_COUNTS, _SINGLY = 1 << 20, 256


# --- integrals and searches, all entries at once ----------------------------------------------


def without_nan(log_density: Any) -> np.ndarray:
    """Where a formula overflows (NaN, infinity) it is far out, where next to nothing is."""
    return np.where(np.less(log_density, np.inf), log_density, -np.inf)


def intervals(*edges: Any, finer: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights [H, ...] on the intervals between ascending edges [...]."""
    ends = np.stack(np.broadcast_arrays(*edges))[:, None]  # [E, 1, ...]
    low, width, n = ends[:-1], np.diff(ends, axis=0), finer * _N_STEPS
    t = _STEP / finer * np.arange(-n, n + 1).reshape(-1, *(1,) * (ends.ndim - 2))
    below, above = expit(np.pi * np.sinh(t)), expit(-np.pi * np.sinh(t))
    x = np.where(t < 0, low + width * below, ends[1:] - width * above)
    w = width * (_STEP / finer * np.pi) * np.cosh(t) * below * above
    shape = (len(x) * len(t), *ends.shape[2:])
    return x.reshape(shape), w.reshape(shape)


def argmax_between(function: Callable, low: Any, high: Any, n_rounds: int = 16) -> np.ndarray:
    """Where function [K, ...] -> [K, ...] is largest, of one hill between low and high [...]."""
    t = np.linspace(0.0, 1.0, 9).reshape(-1, *(1,) * np.ndim(low))
    for _ in range(n_rounds):
        x = low + (high - low) * t
        values = without_nan(function(x))
        nowhere = np.isneginf(values.max(0))
        best = np.where(nowhere, 4, np.argmax(values, 0))[None]
        low, high = (np.take_along_axis(x, np.clip(best + d, 0, 8), 0)[0] for d in (-1, 1))
    return 0.5 * (low + high)


def argmax_of_sinh(function: Callable, shape: tuple) -> np.ndarray:
    """The same of any real number."""
    u = argmax_between(
        lambda u: function(np.sinh(u)), np.full(shape, -_FAR), np.full(shape, _FAR), 28
    )
    return np.sinh(u)


def _reach(function: Callable, mode: np.ndarray, sign: float, drop: float) -> np.ndarray:
    """Distance from the mode at which a log density [...] -> [...] has fallen by ``drop`` nats."""
    least = function(mode) - drop
    low, high = np.full(np.shape(mode), -60.0), np.full(np.shape(mode), _FAR)
    for _ in range(40):
        middle = 0.5 * (low + high)
        inside = function(mode + sign * np.exp(middle)) > least
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return np.exp(high)


def roots(function: Callable, low: np.ndarray, high: np.ndarray, least: float = -np.inf) -> Any:
    """Roots [...] of an increasing function(x, index) [n], whose entries stand in ``index``."""
    index = np.arange(low.size)
    ends = elementwise.bracket_root(
        function, low.ravel(), high.ravel(), xmin=least, args=(index,), maxiter=200
    )
    found = elementwise.find_root(function, ends.bracket, args=(index,), tolerances={"xrtol": 1e-9})
    if not found.success.all():
        raise ValueError(
            "No quantile found: the level is too close to 0 or 1, or log_prob is no log density."
        )
    return found.x.reshape(low.shape)


def log_expectation(log_prob: Callable, f_mean: np.ndarray, f_var: np.ndarray) -> np.ndarray:
    """log E[exp(log_prob(f))], f ~ N(f_mean, f_var), with ends at the peaks of both factors."""
    std = np.sqrt(np.maximum(f_var, 1e-18 * np.maximum(f_mean**2, 1e-6)))

    def joint(f: np.ndarray) -> np.ndarray:
        return log_prob(f) - 0.5 * ((f - f_mean) / std) ** 2

    with np.errstate(over="ignore"):
        z = argmax_of_sinh(lambda z: log_prob(f_mean + std * z), f_mean.shape)
        likely = f_mean + std * z
        low, high = np.minimum(f_mean, likely), np.maximum(f_mean, likely)
        peak = argmax_between(joint, low, high, 28)
        outer = low - REACH * std, low, peak, high, high + REACH * std
        f, w = intervals(*np.clip(outer, peak - 4 * REACH * std, peak + 4 * REACH * std), finer=4)
        return logsumexp(joint(f), 0, b=w) - np.log(_ROOT_2PI * std)


# --- y = f + noise ---------------------------------------------------------------------------


class HeavyTails(ValueError):
    """What is asked for does not exist, or cannot be told from infinity."""


class NoiseTable:
    """Distribution function and moments of a noise with the log density ``log_density`` [n]."""

    def __init__(self, log_density: Callable, name: str) -> None:
        self._name = name
        hill = argmax_of_sinh(lambda x: log_density(x.ravel()).reshape(x.shape), ())
        self.mode = float(hill)
        mode = np.array([self.mode])
        sides = []
        for sign in (-1.0, 1.0):
            scale, end = (_reach(log_density, mode, sign, drop)[0] for drop in (1.0, DROP))
            sides.append(sign * np.geomspace(1e-4 * min(scale, end), end, _N_TABLE))
        x = self.mode + np.concatenate([sides[0][::-1], [0.0], sides[1]])
        z, w = np.polynomial.legendre.leggauss(2)
        nodes = 0.5 * (x[:-1] + x[1:] + np.diff(x) * z[:, None])
        weights = 0.5 * np.diff(x) * w[:, None] * np.exp(log_density(nodes.ravel())).reshape(2, -1)
        log_p = np.clip(log_density(x), -700.0, None)
        below = self._remainder(x[:2], log_p[:2], 0)
        above = self._remainder(x[-2:][::-1], log_p[-2:][::-1], 0)
        shares = below + np.concatenate([[0.0], np.cumsum(weights.sum(0))])
        if not abs(shares[-1] + above - 1.0) < 1e-4:
            raise ValueError(
                f"exp(log_prob) of {name} adds up to {shares[-1] + above:.6g} over y, and not to "
                "1: predictions need its normalising constant."
            )
        self.x, self.shares = x, shares
        self._cdf = CubicHermiteSpline(x, shares, np.exp(log_p))
        self._nodes, self._weights, self._log_p = nodes, weights, log_p
        self.scale = 0.5 * (np.interp(0.8, shares, x) - np.interp(0.2, shares, x))

    def _remainder(self, x: np.ndarray, log_p: np.ndarray, power: int) -> float:
        """Of the moment beyond x[0], where the density falls as a power of the distance."""
        d = np.abs(x - self.mode)
        slope = (log_p[0] - log_p[1]) / np.log(d[0] / d[1]) + power + 1
        if not slope < -0.05:
            what = ("density that adds up to 1", "mean", "variance")[power]
            advice = "Ask for quantiles." if power else "Look at log_prob."
            raise HeavyTails(
                f"{self._name}: y has no {what} given f, or tails too heavy to tell. {advice}"
            )
        return float(d[0] ** (power + 1) * np.exp(log_p[0]) / -slope)

    def _moment(self, power: int) -> float:
        """About the mode."""
        ends = (self.x[:2], self._log_p[:2]), (self.x[-2:][::-1], self._log_p[-2:][::-1])
        below, above = (self._remainder(*end, power) for end in ends)
        return float(
            np.sum(self._weights * (self._nodes - self.mode) ** power)
            + above
            + (-1.0) ** power * below
        )

    def mean(self) -> float:
        return float(self.mode + self._moment(1))

    def centre(self) -> float:
        """The mean, or the mode where tails are too heavy for one."""
        try:
            return self.mean()
        except HeavyTails:
            return self.mode

    def variance(self) -> float:
        return self._moment(2) - self._moment(1) ** 2

    def cdf(self, x: np.ndarray) -> np.ndarray:
        return np.clip(self._cdf(np.clip(x, self.x[0], self.x[-1])), 0.0, 1.0)

    def absolute(self) -> Callable:
        """E|noise - x| as a function of x."""
        x, mean = self.x, self.mean()
        integral = self._cdf.antiderivative()

        def value(t: np.ndarray) -> np.ndarray:
            inside = np.clip(t, x[0], x[-1])
            return mean + 2.0 * integral(inside) - inside + np.abs(t - inside)

        return value

    def absolute_difference(self, absolute: Callable) -> Callable:
        """E|noise - noise' - x| as a function of x >= 0."""
        ends = np.geomspace(1e-4 * self.scale, self.x[-1] - self.x[0], _N_TABLE)
        t = np.concatenate([[0.0], ends])
        other, weights = self._nodes.ravel(), self._weights.ravel()
        values = [weights @ absolute(x + other) for x in t]
        slopes = [weights @ (2.0 * self.cdf(x + other) - 1.0) for x in t]
        spline = CubicHermiteSpline(t, values, slopes)
        return lambda x: spline(np.minimum(x, t[-1])) + np.maximum(x - t[-1], 0.0)

    def inverse(self, levels: np.ndarray) -> np.ndarray:
        """To four digits, as draws need."""
        return np.interp(levels, self.shares, self.x)


class Convolution:
    """y = f + noise where f ~ N(f_mean, f_var)."""

    def __init__(self, noise: NoiseTable, f_mean: np.ndarray, f_var: np.ndarray) -> None:
        self._noise, self._mean, self._var = noise, f_mean, f_var
        self._std = np.maximum(np.sqrt(f_var), 1e-9 * noise.scale)

    def mean(self) -> np.ndarray:
        return self._mean + self._noise.centre()

    def variance(self) -> np.ndarray:
        return self._var + self._noise.variance()

    def variance_of_mean(self) -> np.ndarray:
        return self._var

    def draws(self, levels: np.ndarray) -> np.ndarray:
        return self._mean + self._noise.inverse(levels)

    def cdf(self, y: np.ndarray) -> np.ndarray:
        return self._smoothed(self._noise.cdf, y - self._mean, self._std)

    def _smoothed(self, function: Callable, r: np.ndarray, std: np.ndarray) -> np.ndarray:
        """E[function(r - std z)] of one with a bend at the mode of the noise."""
        far = REACH * std
        bend = np.clip(self._noise.mode - r, -far, far)
        x, w = intervals(-far, np.minimum(bend, 0.0), np.maximum(bend, 0.0), far)
        w = w * np.exp(-0.5 * (x / std) ** 2) / (_ROOT_2PI * std)
        return np.sum(w * function(r + x), 0)

    def quantiles(self, levels: np.ndarray) -> np.ndarray:
        shape = (*self._mean.shape, len(levels))
        level, std = (np.broadcast_to(a, shape).ravel() for a in (levels, self._std[..., None]))

        def excess(r: np.ndarray, index: np.ndarray) -> np.ndarray:
            return self._smoothed(self._noise.cdf, r, std[index]) - level[index]

        centre, width = self._noise.inverse(level), std + self._noise.scale
        r = roots(excess, centre - width, centre + width)
        return self._mean[..., None] + r.reshape(shape)

    def crps(self, y: np.ndarray) -> np.ndarray:
        """E|x - y| - E|x - x'| / 2 (Gneiting & Raftery 2007, eq. 21)."""
        absolute = self._noise.absolute()
        difference, root = self._noise.absolute_difference(absolute), np.sqrt(2.0) * self._std
        x, w = intervals(0.0, REACH * root)
        w = w * np.exp(-0.5 * (x / root) ** 2) / (_ROOT_2PI * root)
        to_y = self._smoothed(absolute, y - self._mean, self._std)
        return to_y - np.sum(w * difference(x), 0)


# --- y of any other distribution given f: a table for each entry ------------------------------

# Where y lives: y and the logarithm of its derivative as functions of a real w, and back.
_LINES: dict[str, tuple[Callable, Callable, Callable]] = {
    "real": (lambda w: w, np.zeros_like, lambda y: y),
    "positive": (np.exp, lambda w: w, np.log),
    "unit": (expit, lambda w: -np.logaddexp(0.0, w) - np.logaddexp(0.0, -w), logit),
}


def _on_line(log_prob: Callable, support: str, w: np.ndarray) -> np.ndarray:
    """Log density of w, of one of y."""
    to_y, log_slope, _ = _LINES[support]
    inside = (np.abs(w) < _LARGEST) | (support == "real")
    w = np.where(inside, w, 0.0)
    with np.errstate(all="ignore"):
        value = log_prob(to_y(w)) + log_slope(w)
    return np.nan_to_num(np.where(inside, value, -1e300), nan=-1e300, neginf=-1e300)


class _Table:
    """Of each entry [...] the distribution of y where f ~ N(f_mean, f_var), a mixture over f.

    Subclasses set points ``y`` [J, ...], their probabilities ``masses`` and ``shares``, the sums
    of these up to each point.
    """

    y: np.ndarray
    masses: np.ndarray
    shares: np.ndarray

    def __init__(self, log_prob: Callable, f_mean: Any, f_var: Any, support: str, name: str):
        self._log_prob, self._support, self._name = log_prob, support, name
        self._f_mean, self._f_std = f_mean, np.sqrt(f_var)

    def _at(self, z: Any) -> np.ndarray:
        """f at some standard deviations [H] from its mean, [H, ...]."""
        return self._f_mean + self._f_std * np.reshape(z, (-1, *(1,) * self._f_mean.ndim))

    def _set_nodes(self, mode: Callable, log_density: Callable) -> None:
        """Nodes of f, no further apart than what y, at its mode, says of f."""
        f = self._at(np.linspace(-3.0, 3.0, 7))
        y = mode(f)
        widths = [_reach(lambda f: log_density(f, y), f, sign, 1.0) for sign in (-1.0, 1.0)]
        ratio = np.max(self._f_std / np.minimum(*widths)) if self._f_std.any() else 0.0
        n = int(np.clip(15.0 * ratio, *_N_LATENT)) if ratio else 1
        z = np.linspace(-6.0, 6.0, n) if ratio else np.zeros(1)
        self._f, weights = self._at(z), np.exp(-0.5 * z**2)
        self._weights = weights / weights.sum()

    def _mixture(self, parts: Callable) -> Any:
        """Sum of ``parts(f)`` over the nodes of f, weighted."""
        return sum(w * parts(f) for w, f in zip(self._weights, self._f, strict=True))

    def _check(self) -> None:
        total = self.shares[-1].ravel()
        worst = total[np.argmax(np.abs(total - 1.0))]
        if not abs(worst - 1.0) < 1e-3:
            raise ValueError(
                f"exp(log_prob) of {self._name} adds up to {worst:.6g} over y, and not to 1: "
                "predictions need its normalising constant, and of counts that they stay below "
                f"{_MOST_COUNTS}."
            )

    def _moment(self, values: np.ndarray, masses: np.ndarray) -> np.ndarray:
        each = values * masses
        self._check_tail(np.abs(each[-1]), np.abs(each).max(0))
        return each.sum(0)

    def _check_tail(self, last: np.ndarray, largest: np.ndarray) -> None:
        if np.any(last > 1e-6 * largest + 1e-300):
            raise HeavyTails(
                f"{self._name}: y has no mean or variance, or tails too heavy to tell. Ask for "
                "quantiles."
            )

    def mean(self) -> np.ndarray:
        return self._moment(self.y, self.masses)

    def variance(self) -> np.ndarray:
        return self._moment((self.y - self.mean()) ** 2, self.masses)

    def variance_of_mean(self) -> np.ndarray:
        """The table reaches as far as the mixture does: what it cuts off counts by its weight."""
        mean = self.mean()

        def parts(f: np.ndarray) -> np.ndarray:
            each = self.y * self._masses(f)
            return np.stack([(each.sum(0) - mean) ** 2, each[-1] ** 2, np.max(each**2, 0)])

        variance, cut, largest = self._mixture(parts)
        self._check_tail(np.sqrt(cut), np.sqrt(largest))
        return variance

    def quantiles(self, levels: np.ndarray) -> np.ndarray:
        return np.stack([self.draws(np.full(self._f_mean.shape, p)) for p in levels], -1)

    def _masses(self, f: np.ndarray) -> np.ndarray:
        """Probabilities [J, ...] of the points for one f [...]."""
        raise NotImplementedError

    def draws(self, levels: np.ndarray) -> np.ndarray:
        """Quantiles of a level [...] for each entry."""
        raise NotImplementedError


class Grid(_Table):
    """At even steps of u, where w = c + b sinh(u) with the middle and the width of each entry."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._to_y, self._log_slope, self._to_w = _LINES[self._support]
        self._set_nodes(self._mode, self._log_density)
        f = self._at((-6.0, 0.0, 6.0))
        mode = self._mode(f)

        def reach(sign: float, drop: float) -> np.ndarray:
            return _reach(lambda w: self._log_density(f, w), mode, sign, drop)

        self._c = mode[1]
        width = np.minimum(reach(-1.0, 1.0), reach(1.0, 1.0))[1]  # of the steeper side
        self._b = np.hypot(width, (mode[2] - mode[0]) / 12.0)
        low, high = (mode - reach(-1.0, DROP)).min(0), (mode + reach(1.0, DROP)).max(0)
        self._low, high = (np.arcsinh((w - self._c) / self._b) for w in (low, high))
        self._step = (high - self._low) / _N_GRID
        u = self._low + self._step * np.arange(_N_GRID + 1).reshape(-1, *(1,) * self._c.ndim)
        self._w, self._slope = self._c + self._b * np.sinh(u), self._b * np.cosh(u)
        self.y = self._to_y(self._w)
        self.masses = self._mixture(self._masses)
        self.shares = self._integral(self.masses)
        self._check()

    def _mode(self, f: np.ndarray) -> np.ndarray:
        """Of w."""
        return argmax_of_sinh(lambda w: self._log_density(f, w), f.shape)

    def _log_density(self, f: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Of w."""
        return _on_line(lambda y: self._log_prob(f, y), self._support, w)

    def _masses(self, f: np.ndarray) -> np.ndarray:
        return self._step * self._slope * np.exp(self._log_density(f, self._w))

    def _integral(self, masses: np.ndarray) -> np.ndarray:
        """From the left end to each point."""
        return cumulative_simpson(masses, axis=0, initial=0.0)

    def _between(self, integral: np.ndarray, masses: np.ndarray, y: np.ndarray) -> np.ndarray:
        """An integral at y, by cubics."""
        with np.errstate(divide="ignore", invalid="ignore"):  # outside the support
            w = np.nan_to_num(self._to_w(y), nan=-np.inf)
        u = np.arcsinh((w - self._c) / self._b)
        return self._cubic(integral, masses, np.clip((u - self._low) / self._step, 0.0, _N_GRID))

    def _cubic(self, integral: np.ndarray, masses: np.ndarray, place: np.ndarray) -> np.ndarray:
        k = np.minimum(place.astype(int), _N_GRID - 1)[None]
        t = place - k[0]
        a, b, da, db = (
            np.take_along_axis(v, k + d, 0)[0] for v in (integral, masses) for d in (0, 1)
        )
        rise = b - a
        return a + t * (da + t * (3 * rise - 2 * da - db + t * (da + db - 2 * rise)))

    def cdf(self, y: np.ndarray) -> np.ndarray:
        return np.clip(self._between(self.shares, self.masses, y), 0.0, 1.0)

    def draws(self, levels: np.ndarray) -> np.ndarray:
        low, high = np.zeros(levels.shape), np.full(levels.shape, float(_N_GRID))
        for _ in range(45):
            middle = 0.5 * (low + high)
            below = self._cubic(self.shares, self.masses, middle) < levels
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return self._to_y(self._c + self._b * np.sinh(self._low + self._step * low))

    def crps(self, y: np.ndarray) -> np.ndarray:
        shares = np.clip(self.shares, 0.0, 1.0)
        slope = self._step * self._slope * np.exp(self._log_slope(self._w))
        below, above = (p**2 * slope for p in (shares, 1.0 - shares))
        up, down = self._integral(below), self._integral(above)
        inside = self._between(up, below, y) + down[-1] - self._between(down, above, y)
        return inside + np.abs(y - np.clip(y, self.y[0], self.y[-1]))


@functools.lru_cache(maxsize=1)
def _blocks() -> tuple[np.ndarray, np.ndarray]:
    """Middles and odd sizes of blocks of counts: singly at first, then an eighth of the root."""
    middles, sizes, k = [], [], 0
    while k < _MOST_COUNTS:
        half = 0 if k < _SINGLY else int(np.sqrt(k) / 16.0)
        middles.append(k + half)
        sizes.append(2 * half + 1)
        k += 2 * half + 1
    return np.array(middles, float), np.array(sizes, float)


class _Counts(_Table):
    """At the middles of blocks of counts, up to where next to nothing is left."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._set_nodes(self._mode, self._log_prob)
        axes = (1,) * self._f_mean.ndim
        middles, sizes = (a.reshape(-1, *axes) for a in _blocks())
        parts: list[np.ndarray] = []
        start, stop, last = 0, 32, float(self._mode(self._at(0.0)).max())
        more, largest = True, np.zeros(())  # until next to nothing is left of y^2, too
        while start < len(middles) and (more or middles[start].item() < last):
            self.y, self._sizes = middles[start:stop], sizes[start:stop]
            part = self._mixture(self._masses)
            squares = self.y**2 * part
            largest = np.maximum(largest, squares.max(0))
            more = bool(np.any(part.sum(0) > 1e-10) or np.any(squares[-1] > 1e-7 * largest))
            parts.append(part)
            start, stop = stop, stop + stop // 2
        self.y, self._sizes, masses = middles[:start], sizes[:start], np.concatenate(parts)
        self.shares = np.cumsum(masses, 0)
        self._check()
        self.masses, self.shares = masses / self.shares[-1], self.shares / self.shares[-1]
        self._last = (self.y + 0.5 * (self._sizes - 1.0)).ravel()  # of each block

    def _mode(self, f: np.ndarray) -> np.ndarray:
        """A whole number near it."""
        u = argmax_between(
            lambda u: self._log_prob(f, np.floor(np.expm1(u))), 0.0 * f, 0.0 * f + np.log(1e9)
        )
        return np.round(np.expm1(u))

    def _masses(self, f: np.ndarray) -> np.ndarray:
        return self._sizes * np.exp(self._log_prob(f, self.y + np.zeros_like(f)))

    def _of(self, block: np.ndarray) -> tuple[np.ndarray, ...]:
        """Last count, share up to it and mass per count of a block of each entry."""
        share, mass = (np.take_along_axis(a, block[None], 0)[0] for a in (self.shares, self.masses))
        return self._last[block], share, mass / self._sizes.ravel()[block]

    def cdf(self, y: np.ndarray) -> np.ndarray:
        k = np.clip(np.floor(y), 0.0, self._last[-1])
        last, share, mass = self._of(np.searchsorted(self._last, k))
        return np.where(y < 0, 0.0, share - mass * (last - k))

    def draws(self, levels: np.ndarray) -> np.ndarray:
        levels = levels * (1.0 - 1e-12)
        last, share, mass = self._of(np.minimum(np.sum(self.shares < levels, 0), len(self.y) - 1))
        return last - np.floor(np.maximum(share - levels, 0.0) / np.maximum(mass, 1e-300))

    def crps(self, y: np.ndarray) -> np.ndarray:
        last, sizes = self._last.reshape(self.y.shape), self._sizes
        shares = self.shares - self.masses * 0.5 * (1.0 - 1.0 / sizes)  # in the middle
        above = np.clip(last - y + 1.0, 0.0, sizes)
        squares = (sizes - above) * shares**2 + above * (1.0 - shares) ** 2
        return squares.sum(0) + np.maximum(y - self._last[-1] - 1.0, 0.0)


# --- what a density adds up to ----------------------------------------------------------------


def total(log_prob: Callable, support: str, shape: tuple) -> np.ndarray:
    """What exp(log_prob(y)), [J, *shape] -> [J, *shape], adds up to over y, to a share of 0.003.

    In few evaluations, as a look before training needs them. NaN where it cannot tell: for counts
    that go on too far, or a density that is nowhere found.
    """
    if support == "counts":
        return _total_of_counts(log_prob, shape)

    def log_density(w: np.ndarray) -> np.ndarray:
        return _on_line(log_prob, support, w)

    mode = argmax_of_sinh(log_density, shape)
    found = log_density(mode) > -1e300  # else a hill between cliffs, which has no slope to follow
    sides = [_total_beside(log_density, mode, sign) for sign in (-1.0, 1.0)]
    return np.where(found, sum(sides), np.nan)


def _total_of_counts(log_prob: Callable, shape: tuple) -> np.ndarray:
    middles, sizes = (a.reshape(-1, *(1,) * len(shape)) for a in _blocks())
    log_p = log_prob(middles + np.zeros(shape))
    with np.errstate(over="ignore"):
        found = np.sum(sizes * np.exp(log_p), 0)
    ends = log_p[-1] < log_p.max(0) - 20.0
    return np.where(ends | (found > 1.0), found, np.nan)


def _total_beside(log_density: Callable, mode: np.ndarray, sign: float) -> np.ndarray:
    """On one side of the mode, in the logarithm of the distance from it, whatever the scale."""

    def each(v: np.ndarray) -> np.ndarray:
        return log_density(mode + sign * np.exp(v)) + v

    def grid(low: Any, high: Any, n: int) -> np.ndarray:
        return np.linspace(low + 0.0 * mode, high + 0.0 * mode, n)

    v = grid(-60.0, _FAR, 1000)
    rough = each(v)
    much = rough > rough.max(0) - 15.0
    v = grid(np.where(much, v, _FAR).min(0), np.where(much, v, -60.0).max(0), 1500)
    with np.errstate(over="ignore"):
        return trapezoid(np.exp(each(v)), v, axis=0)


#: The table of each support.
TABLES = {"counts": _Counts, "real": Grid, "positive": Grid, "unit": Grid}
