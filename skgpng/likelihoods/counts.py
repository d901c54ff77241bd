"""Counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import gammaln, ndtr, ndtri, pdtr

from .._runtime import custom_gradient, tf
from . import _numerical as numerical
from .base import Likelihood, sum_to_shape
from .scores import deviance_explained

__all__ = ["Poisson"]

# Counts beyond this are summed by integration: their distribution is smooth from one to the next.
_SMALL = 64
# All counts are zero: as if there had been half a one.
_LEAST_COUNT = 0.5


@custom_gradient
def _expected_poisson_log_density(f_mean: Any, f_var: Any, Y: Any, log_exposure: Any) -> Any:
    log_rate = f_mean + log_exposure
    rate = tf.exp(log_rate + 0.5 * f_var)

    def gradient(upstream: Any) -> Any:
        in_mean = upstream * (Y - rate)
        in_var = -0.5 * upstream * rate
        in_Y = upstream * (log_rate - tf.math.digamma(Y + 1.0))
        return in_mean, in_var, sum_to_shape(in_Y, Y), sum_to_shape(in_mean, log_exposure)

    return Y * log_rate - rate - tf.math.lgamma(Y + 1.0), gradient


@dataclass(frozen=True)
class Poisson(Likelihood):
    r"""Counts with a rate that is positive: :math:`y|f \sim \mathrm{Poisson}(e_n \exp(f))`.

    ``row`` is the exposure :math:`e_n` of each row, 1 by default: the time, area or number of
    trials in which its y was counted. No parameters: ``values`` is ``()``. Where f is Gaussian
    the rate is lognormal.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import Poisson
    >>> f_mean, f_var = np.log([[2.0]]), np.array([[0.1]])
    >>> Poisson().predict_quantiles((), f_mean, f_var, [0.05, 0.5, 0.95])
    array([[[0., 2., 5.]]])
    """

    log_concave: ClassVar[bool] = True
    # Steps in which counts of a wide range do not overshoot, from 0.3, 0.5, 0.7 and 1: with one
    # count of 1e5 among counts of 2 the others were 26, 53 and 132 nats behind after 300 steps,
    # with one peak among zeros 0.1, 0.4 and 45; on four smooth sets all end within 0.1 nats.
    gamma: ClassVar[float] = 0.3
    support: ClassVar[str] = "counts"
    row_names: ClassVar[tuple[str, ...]] = ("exposure",)
    row_defaults: ClassVar[tuple[float, ...]] = (1.0,)

    def offset(self, Y: np.ndarray, weights: np.ndarray, row: np.ndarray | None) -> np.ndarray:
        """Logarithm of all counts over all exposure."""
        exposure = np.ones((len(Y), 1)) if row is None else row[:, :1]
        counts = np.maximum(weights @ Y, _LEAST_COUNT * np.mean(weights))
        return np.log(counts) - np.log(weights @ exposure)

    def as_regression(
        self, Y: np.ndarray, values: tuple, row: np.ndarray | None, spread: float
    ) -> tuple[np.ndarray, float, bool]:
        """Centred logarithms of rates, with the mean of their variances 1 / y."""
        targets = np.log(Y + 0.5) - _log_exposure(row)
        return targets - targets.mean(0), float(np.mean(1.0 / (Y + 0.5))), False

    def log_prob(self, values: tuple, F: Any, Y: Any, row: Any = None) -> Any:
        r""":math:`y (f + \log e_n) - e_n \exp(f) - \log y!`."""
        log_rate = F + (0.0 if row is None else tf.math.log(row[:, :1]))
        return Y * log_rate - tf.exp(log_rate) - tf.math.lgamma(tf.convert_to_tensor(Y) + 1.0)

    def variational_expectations(
        self, values: tuple, f_mean: Any, f_var: Any, Y: Any, row: Any = None
    ) -> Any:
        r""":math:`y (m + \log e_n) - e_n \exp(m + v / 2) - \log y!`."""
        f_mean, f_var, Y = (tf.convert_to_tensor(a) for a in (f_mean, f_var, Y))
        exposure = tf.ones([1, 1], Y.dtype) if row is None else tf.convert_to_tensor(row)[:, :1]
        return _expected_poisson_log_density(f_mean, f_var, Y, tf.math.log(exposure))

    # --- y given f -----------------------------------------------------------------------

    def conditional_mean(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """The rate."""
        return np.exp(F + _log_exposure(row))

    def conditional_variance(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """The rate."""
        return self.conditional_mean(values, F, row)

    def cdf(self, values: tuple, F: np.ndarray, y: np.ndarray, row: Any = None) -> np.ndarray:
        """Of a Poisson distribution."""
        rate = self.conditional_mean(values, F, row)
        return np.where(np.asarray(y) < 0, 0.0, pdtr(np.maximum(np.floor(y), 0.0), rate))

    def sample(
        self, values: tuple, F: np.ndarray, rng: np.random.RandomState, row: Any = None
    ) -> np.ndarray:
        """Counts; of rates beyond 1e9 their normal approximation."""
        rate = self.conditional_mean(values, F, row)
        near = rng.poisson(np.minimum(rate, 1e9)).astype(float)
        far = np.round(rate + np.sqrt(rate) * rng.standard_normal(rate.shape))
        return np.where(rate < 1e9, near, far)

    # --- y given f ~ N(f_mean, f_var) ----------------------------------------------------

    def predict_mean_and_var(
        self,
        values: tuple,
        f_mean: np.ndarray,
        f_var: np.ndarray,
        row: Any = None,
        include_noise: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""Of a lognormal rate :math:`\lambda`: :math:`E\lambda`, :math:`V\lambda + E\lambda`."""
        with np.errstate(over="ignore"):
            y_mean = np.exp(f_mean + 0.5 * f_var + _log_exposure(row))
            rate_var = y_mean**2 * np.expm1(f_var)
        return y_mean, rate_var + y_mean if include_noise else rate_var

    def predict_log_density(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        """Log of the probability of a count, by an integral over f around its peak."""
        log_exposure = _log_exposure(row)

        def log_prob(f: np.ndarray) -> np.ndarray:
            with np.errstate(over="ignore"):
                return Y * (f + log_exposure) - np.exp(f + log_exposure) - gammaln(Y + 1.0)

        return numerical.log_expectation(log_prob, *np.broadcast_arrays(f_mean, f_var))

    def predict_quantiles(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, levels: Any, row: Any = None
    ) -> np.ndarray:
        """Smallest counts whose probability reaches the levels, [N, P, Q]."""
        levels = np.asarray(levels, float)
        shape = (*np.shape(f_mean), len(levels))
        m, s, level = (
            np.broadcast_to(a, shape).ravel()
            for a in (
                (f_mean + _log_exposure(row))[..., None],
                np.sqrt(f_var)[..., None],
                levels,
            )
        )

        def excess(t: np.ndarray, index: np.ndarray) -> np.ndarray:
            return _cdf(np.exp(t) - 1.0, m[index], s[index]) - level[index]

        # y + 1 as a real number, by its logarithm: near the quantile of a normal approximation
        width = np.hypot(s, np.exp(-0.5 * np.maximum(m, 0.0)))
        start = np.logaddexp(m + width * ndtri(level), 0.0)
        t = numerical.roots(excess, start - 0.1 * width, start + 0.1 * width)
        # the smallest whole number that is not below, but for rounding
        k = np.maximum(np.ceil(np.exp(t) - 1.0 - 1e-6 * np.exp(t)), 0.0)
        k += _cdf(k, m, s) < level
        return k.reshape(shape)

    def predict_crps(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        r"""Sum :math:`\sum_k (F(k) - 1\{k \ge y\})^2`, [N, P].

        Beyond 64 it is an integral, from half a count before to half a one behind.
        """
        m, s, Y = np.broadcast_arrays(f_mean + _log_exposure(row), np.sqrt(f_var), Y)
        width = np.hypot(s, np.exp(-0.5 * np.maximum(m, 0.0)))
        ends = [np.exp(m + d * numerical.REACH * width) for d in (-1.0, 0.0, 1.0)]
        few, many = ends[0] < _SMALL, np.maximum(ends[2], Y) >= _SMALL
        # below the few first F is zero: what counts is where y is
        total = np.where(few, 0.0, np.maximum(_SMALL - Y, 0.0))
        total[few] += _few(m[few], s[few], Y[few])
        total[many] += _many(m[many], s[many], Y[many], *(e[many] for e in ends))
        return total

    def score(self, y: np.ndarray, y_mean: np.ndarray, sample_weight: Any = None) -> float:
        """Share of the Poisson deviance explained, :func:`sklearn.metrics.d2_tweedie_score`."""
        return deviance_explained(y, y_mean, sample_weight, power=1)


def _log_exposure(row: Any) -> Any:
    return 0.0 if row is None else np.log(row[:, :1])


def _few(m: np.ndarray, s: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Terms of the CRPS for small counts."""
    terms = ((_cdf(np.full(m.shape, float(k)), m, s) - (k >= Y)) ** 2 for k in range(_SMALL))
    return np.sum(list(terms), 0)


def _many(m: np.ndarray, s: np.ndarray, Y: np.ndarray, *ends: np.ndarray) -> np.ndarray:
    """The same for the others, as an integral with the first Euler-Maclaurin term at its ends."""
    first, split = _SMALL - 0.5, np.maximum(Y, _SMALL) - 0.5
    edges = np.sort([np.maximum(e, first) for e in np.broadcast_arrays(first, split, *ends)], 0)
    x, w = numerical.intervals(*edges)
    terms = (v * (_cdf(k, m, s) - (k > split)) ** 2 for k, v in zip(x, w, strict=True))
    at_first = np.full(m.shape, first)
    p_first, p_split = (_cdf(k + 0.5, m, s) - _cdf(k - 0.5, m, s) for k in (at_first, split))
    return np.sum(list(terms), 0) + (_cdf(at_first, m, s) * p_first - p_split) / 12.0


def _cdf(k: np.ndarray, m: np.ndarray, s: np.ndarray) -> np.ndarray:
    r"""Probability of k or less where the log rate is N(m, s^2); smooth in k > -1.

    A Poisson variable is k or less where a gamma variable g of shape k + 1 is above the rate:
    :math:`F(k) = E[\Phi((\log g - m) / s)]`, an integral with a peak at log(k + 1) and a step at m.
    """
    a = k + 1.0
    step = m - np.log(a)
    # log g - log a and its density are within these ends, but for exp(-40)
    c = numerical.DROP / a
    low, high = -(c + np.sqrt(2.0 * c)), np.log1p(c + np.sqrt(2.0 * c))
    at = np.clip(step, low, high)
    x, w = numerical.intervals(low, np.minimum(at, 0.0), np.maximum(at, 0.0), high)
    log_density = _log_peak(a) + a * (x - np.expm1(x))
    return np.sum(w * np.exp(log_density) * ndtr((x - step) / np.maximum(s, 1e-12)), 0)


def _log_peak(a: np.ndarray) -> np.ndarray:
    r""":math:`a \log a - a - \log\Gamma(a)`; Stirling's series where that has lost its digits."""
    large = np.maximum(a, 1e3)
    series = 0.5 * np.log(large / (2.0 * np.pi)) - 1.0 / (12.0 * large) + 1.0 / (360.0 * large**3)
    return np.where(a > 1e3, series, a * np.log(a) - a - gammaln(a))
