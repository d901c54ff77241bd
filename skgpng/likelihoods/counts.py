"""Counts: what their likelihoods share, and Poisson's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .._runtime import custom_gradient, tf
from . import _mixed_counts as mixed
from . import _numerical as numerical
from .base import Likelihood, sum_to_shape
from .scores import deviance_explained

__all__ = ["Counts", "Poisson"]

# Quantiles of Poisson counts are right up to here: at 1e10 they were a tenth of a deviation off.
_MOST = 1e9
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


class Counts(Likelihood):
    r"""Counts whose mean is the exposure of a row times :math:`e^f`.

    ``row`` is the exposure :math:`e_n`, 1 by default: the time, area or number of trials in which
    y was counted. Where f is Gaussian the mean is lognormal. Predictions are those of a negative
    binomial variable of the size that :meth:`_size` gives, and 0 in its place with the probability
    :meth:`_zeros`; subclasses add ``log_prob``.
    """

    # Steps in which counts of a wide range do not overshoot, from 0.3, 0.5, 0.7 and 1: with one
    # count of 1e5 among counts of 2 the others were 26, 53 and 132 nats behind after 300 steps,
    # with one peak among zeros 0.1, 0.4 and 45; on four smooth sets all end within 0.1 nats.
    gamma: ClassVar[float] = 0.3
    support: ClassVar[str] = "counts"
    row_names: ClassVar[tuple[str, ...]] = ("exposure",)
    row_defaults: ClassVar[tuple[float, ...]] = (1.0,)

    def _size(self, values: tuple) -> float:
        """Size r of the negative binomial distribution: its variance is mu + mu^2 / r."""
        return np.inf

    def _zeros(self, values: tuple) -> float:
        """Probability of a zero that is none of its own."""
        return 0.0

    def check(self, y: np.ndarray) -> None:
        """Raise ValueError for what is no count, and for one too large to be told from others."""
        super().check(y)
        wrong = np.argwhere(np.asarray(y) > _MOST)
        if len(wrong):
            at = tuple(wrong[0])
            raise ValueError(
                f"y[{', '.join(map(str, at))}] = {float(y[at]):g} is a count beyond {_MOST:g}, of "
                "which single ones are lost to rounding. Its logarithm with likelihood='gaussian' "
                "does as well."
            )

    def offset(self, Y: np.ndarray, weights: np.ndarray, row: np.ndarray | None) -> np.ndarray:
        """Logarithm of all counts over all exposure."""
        exposure = np.ones((len(Y), 1)) if row is None else row[:, :1]
        counts = np.maximum(weights @ Y, _LEAST_COUNT * np.mean(weights))
        return np.log(counts) - np.log(weights @ exposure)

    def as_regression(
        self, Y: np.ndarray, values: tuple, row: np.ndarray | None, spread: float
    ) -> tuple[np.ndarray, float, bool]:
        """Centred logarithms of rates, with the mean of their variances 1 / y + 1 / r."""
        targets = np.log(Y + 0.5) - _log_exposure(row)
        noise = float(np.mean(1.0 / (Y + 0.5))) + 1.0 / self._size(values)
        return targets - targets.mean(0), noise, False

    # --- y given f -----------------------------------------------------------------------

    def conditional_mean(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        r""":math:`(1 - \pi) e_n \exp(f)`, where :math:`\pi` is the probability of added zeros."""
        return (1.0 - self._zeros(values)) * np.exp(F + _log_exposure(row))

    def conditional_variance(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """By the law of total variance, of the added zeros and all others."""
        return self.predict_mean_and_var(values, F, np.zeros(()), row)[1]

    def cdf(self, values: tuple, F: np.ndarray, y: np.ndarray, row: Any = None) -> np.ndarray:
        """Of the distribution of counts."""
        zeros = self._zeros(values)
        below = mixed.conditional_cdf(y, np.exp(F + _log_exposure(row)), self._size(values))
        return np.where(np.asarray(y) < 0, 0.0, zeros + (1.0 - zeros) * below)

    def sample(
        self, values: tuple, F: np.ndarray, rng: np.random.RandomState, row: Any = None
    ) -> np.ndarray:
        """Counts: Poisson's of rates that scatter by a gamma variable; beyond 1e9 normal ones."""
        rate, size = np.exp(F + _log_exposure(row)), self._size(values)
        if np.isfinite(size):
            rate = rate * rng.standard_gamma(size, rate.shape) / size
        near = rng.poisson(np.minimum(rate, 1e9)).astype(float)
        far = np.round(rate + np.sqrt(rate) * rng.standard_normal(rate.shape))
        counts = np.where(rate < 1e9, near, far)
        zeros = self._zeros(values)
        return np.where(rng.uniform(size=rate.shape) < zeros, 0.0, counts) if zeros else counts

    # --- y given f ~ N(f_mean, f_var) ----------------------------------------------------

    def predict_mean_and_var(
        self,
        values: tuple,
        f_mean: np.ndarray,
        f_var: np.ndarray,
        row: Any = None,
        include_noise: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""Of a lognormal mean :math:`\mu`: :math:`E\mu`, :math:`V\mu + E\mu + E\mu^2 / r`.

        With added zeros of probability :math:`\pi` and those moments M and V:
        :math:`(1 - \pi) M` and :math:`(1 - \pi) V + \pi (1 - \pi) M^2`.
        """
        zeros, size = self._zeros(values), self._size(values)
        with np.errstate(over="ignore", invalid="ignore"):  # infinite where numbers end
            mean = np.exp(f_mean + 0.5 * f_var + _log_exposure(row))
            of_mean = mean**2 * np.expm1(f_var)
            total = of_mean + mean + (mean**2 + of_mean) / size
            if include_noise:
                variance = (1.0 - zeros) * (total + zeros * mean**2)
            else:
                variance = (1.0 - zeros) ** 2 * of_mean
        return (1.0 - zeros) * mean, np.where(np.isnan(variance), np.inf, variance)

    def predict_log_density(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        """Log of the probability of a count, by an integral over f around its peak."""
        log_exposure, size = _log_exposure(row), self._size(values)

        def log_prob(f: np.ndarray) -> np.ndarray:
            return mixed.log_probability(Y, f + log_exposure, size)

        density = numerical.log_expectation(log_prob, *np.broadcast_arrays(f_mean, f_var))
        zeros = self._zeros(values)
        if not zeros:
            return density
        density = density + np.log1p(-zeros)
        return np.where(np.asarray(Y) == 0, np.logaddexp(np.log(zeros), density), density)

    def predict_quantiles(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, levels: Any, row: Any = None
    ) -> np.ndarray:
        """Smallest counts whose probability reaches the levels, [N, P, Q]."""
        levels, zeros = np.asarray(levels, float), self._zeros(values)
        m, s = (f_mean + _log_exposure(row))[..., None], np.sqrt(f_var)[..., None]
        levels = (levels - zeros) / (1.0 - zeros)  # among the counts that are no added zeros
        return mixed.quantiles(m, s, levels, self._size(values))

    def predict_crps(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        r"""Sum :math:`\sum_k (F(k) - 1\{k \ge y\})^2`, [N, P]."""
        m, s = f_mean + _log_exposure(row), np.sqrt(f_var)
        return mixed.crps(m, s, Y, self._size(values), self._zeros(values))

    def score(self, y: np.ndarray, y_mean: np.ndarray, sample_weight: Any = None) -> float:
        """Share of the Poisson deviance explained, :func:`sklearn.metrics.d2_tweedie_score`."""
        return deviance_explained(y, y_mean, sample_weight, power=1)


@dataclass(frozen=True)
class Poisson(Counts):
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

    def log_prob(self, values: tuple, F: Any, Y: Any, row: Any = None) -> Any:
        r""":math:`y (f + \log e_n) - e_n \exp(f) - \log y!`."""
        log_rate = F + log_exposure(row)
        return Y * log_rate - tf.exp(log_rate) - tf.math.lgamma(tf.convert_to_tensor(Y) + 1.0)

    def variational_expectations(
        self, values: tuple, f_mean: Any, f_var: Any, Y: Any, row: Any = None
    ) -> Any:
        r""":math:`y (m + \log e_n) - e_n \exp(m + v / 2) - \log y!`."""
        return expected_poisson_log_density(f_mean, f_var, Y, row)


def expected_poisson_log_density(f_mean: Any, f_var: Any, Y: Any, row: Any) -> Any:
    r""":math:`y (m + \log e_n) - e_n \exp(m + v / 2) - \log y!`, of tensors."""
    f_mean, f_var, Y = (tf.convert_to_tensor(a) for a in (f_mean, f_var, Y))
    exposure = tf.ones([1, 1], Y.dtype) if row is None else tf.convert_to_tensor(row)[:, :1]
    return _expected_poisson_log_density(f_mean, f_var, Y, tf.math.log(exposure))


def log_exposure(row: Any) -> Any:
    """As a tensor [N, 1]; 0 where none is given."""
    return 0.0 if row is None else tf.math.log(row[:, :1])


def _log_exposure(row: Any) -> Any:
    return 0.0 if row is None else np.log(row[:, :1])
