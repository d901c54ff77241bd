"""Gaussian noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import ndtr, ndtri

from .._runtime import custom_gradient, tf
from ..means import Mean, Zero
from .base import Likelihood, sum_to_shape

__all__ = ["Gaussian"]

_LOG_2PI = float(np.log(2.0 * np.pi))


@custom_gradient
def _expected_gaussian_log_density(variance: Any, f_mean: Any, f_var: Any, Y: Any) -> Any:
    """One line of calculus saves fifty small operations a training step."""
    precision = 1.0 / variance
    residual = Y - f_mean
    squares = tf.square(residual) + f_var
    value = -0.5 * (_LOG_2PI - tf.math.log(precision) + precision * squares)

    def gradient(upstream: Any) -> Any:
        weighted = upstream * precision
        g_mean = weighted * residual
        g_variance = 0.5 * (weighted * (precision * squares - 1.0))
        return sum_to_shape(g_variance, variance), g_mean, -0.5 * weighted, -g_mean

    return value, gradient


@dataclass(frozen=True)
class Gaussian(Likelihood):
    r""":math:`p(y|f) = N(y; f, \sigma^2 + s_n)`; ``values`` is ``(variance,)``.

    The variance may be one number or an array that broadcasts against Y. ``row`` is the known
    noise variance :math:`s_n` of each row, on top of the learned one.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import Gaussian
    >>> zero = np.zeros((1, 1))
    >>> float(Gaussian().log_prob((1.0,), zero, zero)[0, 0])
    -0.9189385332046727
    """

    noise: ClassVar[str | None] = "variance"
    conjugate: ClassVar[bool] = True
    log_concave: ClassVar[bool] = True
    location: ClassVar[bool] = True
    gamma: ClassVar[float] = 1.0
    row_names: ClassVar[tuple[str, ...]] = ("noise_variance",)
    row_defaults: ClassVar[tuple[float, ...]] = (0.0,)
    mean: ClassVar[Mean] = Zero()

    def scaled_row(self, row: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Variances, which all columns of y share."""
        unit = np.ravel(scale)[0]
        with np.errstate(over="ignore", under="ignore"):
            return row / unit / unit

    def as_regression(
        self, Y: np.ndarray, values: tuple, row: np.ndarray | None, spread: float
    ) -> tuple[np.ndarray, float, bool]:
        """The model itself; ``row`` is not in its noise."""
        return Y, values[0], True

    def log_prob(self, values: tuple, F: Any, Y: Any, row: Any = None) -> Any:
        r""":math:`-\tfrac12 \log 2\pi\sigma^2 - (y-f)^2 / 2\sigma^2`."""
        # a plain float would become a float32 tensor
        variance = tf.convert_to_tensor(_variance(values, row), Y.dtype)
        return -0.5 * (_LOG_2PI + tf.math.log(variance) + (Y - F) ** 2 / variance)

    def variational_expectations(
        self, values: tuple, f_mean: Any, f_var: Any, Y: Any, row: Any = None
    ) -> Any:
        r""":math:`\log N(y; f_{mean}, \sigma^2) - f_{var} / 2\sigma^2`."""
        variance = tf.convert_to_tensor(_variance(values, row), Y.dtype)
        return _expected_gaussian_log_density(variance, f_mean, f_var, tf.convert_to_tensor(Y))

    def noise_of_rows(self, values: tuple, row: Any) -> Any:
        """Learned and known variance, [N]."""
        return values[0] if row is None else values[0] + row[:, 0]

    def conditional_mean(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """F itself."""
        return np.asarray(F)

    def conditional_variance(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """The noise variance."""
        return _variance(values, row) * np.ones(np.shape(F))

    def cdf(self, values: tuple, F: np.ndarray, y: np.ndarray, row: Any = None) -> np.ndarray:
        r""":math:`\Phi((y - f) / \sigma)`."""
        return ndtr((y - F) / np.sqrt(_variance(values, row)))

    def sample(
        self, values: tuple, F: np.ndarray, rng: np.random.RandomState, row: Any = None
    ) -> np.ndarray:
        """F with noise."""
        return F + np.sqrt(_variance(values, row)) * rng.standard_normal(np.shape(F))

    def predict_mean_and_var(
        self,
        values: tuple,
        f_mean: np.ndarray,
        f_var: np.ndarray,
        row: Any = None,
        include_noise: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean f_mean and variance f_var, plus the noise variance."""
        return f_mean, f_var + _variance(values, row) if include_noise else f_var

    def predict_log_density(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        r""":math:`\log N(y; f_{mean}, f_{var} + \sigma^2)`."""
        variance = f_var + _variance(values, row)
        return -0.5 * (_LOG_2PI + np.log(variance) + (Y - f_mean) ** 2 / variance)

    def predict_quantiles(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, levels: Any, row: Any = None
    ) -> np.ndarray:
        """Of the normal distribution, [N, P, Q]."""
        std = np.sqrt(f_var + _variance(values, row))
        return np.asarray(f_mean)[..., None] + std[..., None] * ndtri(np.asarray(levels, float))

    def predict_crps(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        """Gneiting & Raftery 2007, eq. 21."""
        r, std = Y - f_mean, np.sqrt(f_var + _variance(values, row))
        z = r / std
        density = np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
        return r * (2.0 * ndtr(z) - 1.0) + std * (2.0 * density - 1.0 / np.sqrt(np.pi))

    def noise_variance(self, values: tuple) -> float:
        """What is learned of it."""
        return float(values[0])


def _variance(values: tuple, row: Any) -> Any:
    """Noise variance, [N, 1] where some of it is known for each row."""
    return values[0] if row is None else values[0] + row[:, :1]
