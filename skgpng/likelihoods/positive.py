"""Positive y, with a mean that is the exponential of f."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import betaln, gammainc, gammaln

from .._runtime import tf
from ..parameters import Parameter
from . import _numerical as numerical
from .base import Likelihood, Noise
from .scores import deviance_explained
from .units import Units, mean_and_deviation

__all__ = ["Exponential", "Gamma"]

# Learned shape: where it begins, and bounds. The deviation of y is its mean over the root of it:
# from ten times the mean to a hundredth of a percent.
_SHAPE_START, _SHAPE_BOUNDS = 2.0, (1e-2, 1e8)
# Smaller y have the logarithm of this.
_TINY = 1e-300


class _Positive(Likelihood):
    r"""Gamma variables of mean :math:`e^f` and shape k.

    As y is :math:`e^f g` with g of mean 1, the logarithm of y is Gaussian with noise, that of g:
    distribution function and quantiles are those of such a sum.
    """

    log_concave: ClassVar[bool] = True
    support: ClassVar[str] = "positive"

    @abc.abstractmethod
    def _shape(self, values: tuple) -> Any:
        """The shape k."""

    def units(self, Y: np.ndarray, weights: np.ndarray) -> Units:
        """The mean of each column, to which f = 0 then stands: gamma variables have any unit."""
        mean = mean_and_deviation(Y, weights).shift
        return Units(np.zeros_like(mean), mean)

    def offset(self, Y: np.ndarray, weights: np.ndarray, row: np.ndarray | None) -> np.ndarray:
        """Logarithm of the mean."""
        return np.log(np.average(Y, axis=0, weights=weights))

    def log_prob(self, values: tuple, F: Any, Y: Any, row: Any = None) -> Any:
        r""":math:`k (\log k + \log y - f) - k y e^{-f} - \log\Gamma(k) - \log y`."""
        Y = tf.convert_to_tensor(Y)
        return self._density(values, F, tf.exp(tf.math.log(Y) - F), Y)

    def variational_expectations(
        self, values: tuple, f_mean: Any, f_var: Any, Y: Any, row: Any = None
    ) -> Any:
        r"""The same, as :math:`E[e^{-f}] = e^{-m + v / 2}`."""
        f_mean, f_var, Y = (tf.convert_to_tensor(a) for a in (f_mean, f_var, Y))
        return self._density(values, f_mean, tf.exp(tf.math.log(Y) - f_mean + 0.5 * f_var), Y)

    def _density(self, values: tuple, f: Any, ratio: Any, Y: Any) -> Any:
        k, log_y = tf.convert_to_tensor(self._shape(values), Y.dtype), tf.math.log(Y)
        return k * (tf.math.log(k) + log_y - f - ratio) - tf.math.lgamma(k) - log_y

    # --- y given f -----------------------------------------------------------------------

    def conditional_mean(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """Exp(F)."""
        return np.exp(F)

    def conditional_variance(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """Square of the mean, over the shape."""
        return np.exp(2.0 * np.asarray(F)) / np.asarray(self._shape(values))

    def cdf(self, values: tuple, F: np.ndarray, y: np.ndarray, row: Any = None) -> np.ndarray:
        """Of a gamma distribution."""
        k = np.asarray(self._shape(values))
        return gammainc(k, k * np.maximum(y, 0.0) * np.exp(-np.asarray(F)))

    def sample(
        self, values: tuple, F: np.ndarray, rng: np.random.RandomState, row: Any = None
    ) -> np.ndarray:
        """Gamma variables; where the shape is small some are so near zero that they are 1e-300."""
        k = np.asarray(self._shape(values))
        return np.maximum(np.exp(F) * rng.gamma(k, 1.0 / k, np.shape(F)), _TINY)

    # --- y given f ~ N(f_mean, f_var) ----------------------------------------------------

    def predict_mean_and_var(
        self,
        values: tuple,
        f_mean: np.ndarray,
        f_var: np.ndarray,
        row: Any = None,
        include_noise: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""Of a lognormal mean: :math:`\mu`, :math:`\mu^2 (e^v - 1)`, and with :math:`e^v / k`."""
        k = np.asarray(self._shape(values))
        with np.errstate(over="ignore", divide="ignore"):
            mean = np.exp(f_mean + 0.5 * f_var)
            below = np.exp(2.0 * f_mean + f_var + np.log(np.expm1(f_var)))
            return mean, below + np.exp(2.0 * (f_mean + f_var)) / k if include_noise else below

    def predict_quantiles(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, levels: Any, row: Any = None
    ) -> np.ndarray:
        """Of the logarithm of y, [N, P, Q]."""
        log_y = _log_gamma(float(self._shape(values)), 0.0, f_mean, f_var)
        with np.errstate(over="ignore"):
            return np.exp(log_y.quantiles(np.asarray(levels, dtype=float)))

    def predict_crps(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        r"""E|x - y| - E|x - x'| / 2 (Gneiting & Raftery 2007, eq. 21).

        With :math:`x^*`, which has the density :math:`x p(x) / \mu`, it is
        :math:`y (2 P(x < y) - 1) + 2 \mu (P(x^* > y) - P(x' < x^*))`. The logarithm of
        :math:`x^*` is that of x with a mean larger by v and a shape larger by 1.
        """
        k = float(self._shape(values))
        f_mean, f_var, Y = np.broadcast_arrays(*(np.asarray(a, float) for a in (f_mean, f_var, Y)))
        log_y = np.log(np.maximum(Y, _TINY))
        share = _log_gamma(k, 0.0, f_mean, f_var).cdf(log_y)
        above = 1.0 - _log_gamma(k, 1.0, f_mean + f_var, f_var).cdf(log_y)
        smaller = _log_ratio(k, -f_var, 2.0 * f_var).cdf(np.zeros(Y.shape))
        with np.errstate(over="ignore", invalid="ignore"):
            mean = np.exp(f_mean + 0.5 * f_var)
            crps = Y * (2.0 * share - 1.0) + 2.0 * mean * (above - smaller)
        return np.where(np.isinf(mean), np.inf, crps)

    def score(self, y: np.ndarray, y_mean: np.ndarray, sample_weight: Any = None) -> float:
        """Share of the gamma deviance explained, :func:`sklearn.metrics.d2_tweedie_score`."""
        return deviance_explained(y, y_mean, sample_weight, power=2)


@dataclass(frozen=True)
class Gamma(_Positive):
    r"""Positive y whose deviation grows with its mean: amounts, sizes, durations.

    .. math:: p(y|f) = \frac{k^k}{\Gamma(k)} y^{k-1} e^{-k f} \exp\left(-k y e^{-f}\right)

    Mean :math:`e^f`, variance :math:`e^{2f} / k`. ``values`` is ``(shape,)``, k: with 1 y is
    exponential, with a large one nearly normal.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import Gamma
    >>> f_mean, f_var = np.log([[2.0]]), np.array([[0.1]])
    >>> mean, variance = Gamma().predict_mean_and_var((4.0,), f_mean, f_var)
    >>> print(mean.round(4), variance.round(4))
    [[2.1025]] [[1.6863]]
    """

    parameter_names: ClassVar[tuple[str, ...]] = ("shape",)

    def parameters(self, noise: Noise | None, spread: float) -> tuple[Parameter, ...]:
        """The shape; there is no Gaussian noise."""
        self._refuse(noise)
        return (Parameter("shape", np.array(_SHAPE_START), np.array(_SHAPE_BOUNDS)),)

    def _shape(self, values: tuple) -> Any:
        return values[0]


@dataclass(frozen=True)
class Exponential(_Positive):
    r"""Positive y that is exponential, as the time until something happens: mean :math:`e^f`.

    .. math:: p(y|f) = \exp\left(-f - y e^{-f}\right)

    No parameters: ``values`` is ``()``. Where the deviation of y is not as large as its mean,
    :class:`Gamma` learns it.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import Exponential
    >>> zero = np.zeros((1, 1))
    >>> print(Exponential().predict_quantiles((), zero, zero, [0.5]).round(6))
    [[[0.693147]]]
    """

    def _shape(self, values: tuple) -> Any:
        return 1.0


def _log_gamma(k: float, more: float, f_mean: Any, f_var: Any) -> numerical.Convolution:
    """Of f + log g, where k g is a gamma variable of the shape k + ``more``."""
    shape = k + more

    def log_density(x: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return shape * (np.log(k) + x) - k * np.exp(x) - gammaln(shape)

    return _sum(log_density, f_mean, f_var)


def _log_ratio(k: float, f_mean: Any, f_var: Any) -> numerical.Convolution:
    """Of f + log(g / g'), gamma variables of the shapes k and k + 1."""

    def log_density(x: np.ndarray) -> np.ndarray:
        return k * x - (2.0 * k + 1.0) * np.logaddexp(0.0, x) - betaln(k, k + 1.0)

    return _sum(log_density, f_mean, f_var)


def _sum(log_density: Any, f_mean: Any, f_var: Any) -> numerical.Convolution:
    noise = numerical.NoiseTable(log_density, "logarithm of a gamma variable")
    return numerical.Convolution(noise, np.asarray(f_mean, float), np.asarray(f_var, float))
