"""Noise with heavy tails."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from scipy.special import logsumexp, ndtr, ndtri, stdtr, stdtrit

from .._runtime import custom_gradient, tf
from ..means import Mean, Zero
from ..parameters import Parameter
from ..quadrature import expected_log_square, gamma_nodes
from .base import Likelihood, Noise, sum_to_shape
from .mixtures import crps
from .units import Units, median_and_quartiles

__all__ = ["StudentT"]

_LOG_PI, _LOG_2PI = float(np.log(np.pi)), float(np.log(2.0 * np.pi))
# Six or seven are enough from the far tail to close to the mean.
_NEWTON_STEPS = 100
# Learned degrees of freedom. Above 2 the noise has a variance, which `predict(return_std=True)` and
# `noise_variance_` report; from 1000 on no data tell Student-t noise from normal noise.
_DF_START, _DF_BOUNDS = 4.0, (2.01, 1e3)


@custom_gradient
def _expected_student_t_log_density(scale: Any, df: Any, f_mean: Any, f_var: Any, Y: Any) -> Any:
    root = tf.sqrt(df)
    width = scale * root  # the density is a power of width^2 + (y - f)^2
    log_square, in_offset, in_width, in_var = expected_log_square(Y - f_mean, width, f_var)
    a, b = 0.5 * (df + 1.0), 0.5 * df
    log_width = tf.math.log(width)
    constant = tf.math.lgamma(a) - tf.math.lgamma(b) - 0.5 * _LOG_PI
    value = constant + df * log_width - a * log_square

    def gradient(upstream: Any) -> Any:
        weighted = -a * upstream
        g_mean, g_var = -weighted * in_offset, weighted * in_var
        g_width = upstream * df / width + weighted * in_width
        g_df = 0.5 * (tf.math.digamma(a) - tf.math.digamma(b) - log_square) + log_width
        g_df = upstream * g_df + g_width * 0.5 * scale / root
        g_scale = sum_to_shape(g_width * root, scale)
        return g_scale, sum_to_shape(g_df, df), g_mean, g_var, -g_mean

    return value, gradient


@dataclass(frozen=True)
class StudentT(Likelihood):
    r"""Noise with heavy tails, so that outliers do not pull the function.

    .. math:: p(y|f) = \frac{\Gamma(\frac{\nu+1}2)}{\Gamma(\frac\nu2) \sqrt{\pi\nu}\, s}
        \left(1 + \frac{(y-f)^2}{\nu s^2}\right)^{-(\nu+1)/2}

    ``values`` is ``(scale, df)``: s, not its square, and the degrees of freedom :math:`\nu`. Not
    log-concave: beyond :math:`|y-f| = s\sqrt\nu` a row pulls less the further away it is.

    The expected log density is exact to 1e-13 times df
    (:func:`skgpng.quadrature.expected_log_square`). Predictions write the noise as Gaussian with
    a random precision, :math:`y|f,\lambda \sim N(f, s^2/\lambda)`: then y is a mixture of
    Gaussians with one mean, :math:`y|\lambda \sim N(m, v + s^2/\lambda)`, and everything about
    it is an integral over :math:`\lambda` alone, by :func:`skgpng.quadrature.gamma_nodes`. These
    are NumPy arrays, and so must ``values`` be known.

    Parameters
    ----------
    df : float, default=None
        Degrees of freedom, held fixed, above 1: 4 is a usual choice where there are outliers. None
        learns them, between 2.01 and 1000. Where they are 2 or less the noise has no variance.
        Likelihoods that differ in them are equal, and share compiled code.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import StudentT
    >>> zero = np.zeros((1, 1))
    >>> value = StudentT().log_prob((1.0, 3.0), zero, zero)
    >>> print(f"{float(value[0, 0]):.12f}")
    -1.000888849624
    """

    # a value like that learned, which compiled code does not depend on
    df: float | None = field(default=None, compare=False)

    ranges: ClassVar[dict] = {"df": (1.1, 1e8)}  # towards 1 y has no mean; 1e8 is normal
    parameter_names: ClassVar[tuple[str, ...]] = ("scale", "df")
    noise: ClassVar[str | None] = "scale"
    noise_power: ClassVar[float] = 0.5
    location: ClassVar[bool] = True
    mean: ClassVar[Mean] = Zero()

    def units(self, Y: np.ndarray, weights: np.ndarray) -> Units:
        """Median and quartiles of each column, which outliers do not move."""
        return median_and_quartiles(Y, weights)

    def parameters(self, noise: Noise | None, spread: float) -> tuple[Parameter, ...]:
        """Scale, the root of a noise level, and degrees of freedom."""
        level, bounds, free = noise or self._default_noise(spread)
        scale = Parameter("scale", np.sqrt(level), np.sqrt(bounds), free)
        if self.df is None:
            return scale, Parameter("df", _DF_START, np.array(_DF_BOUNDS))
        return scale, Parameter("df", float(self.df), np.full(2, self.df), False)

    def as_regression(
        self, Y: np.ndarray, values: tuple, row: np.ndarray | None, spread: float
    ) -> tuple[np.ndarray, float, bool]:
        """Outliers count as one unit; what is looked for is where the kernel starts."""
        unit = np.sqrt(spread)
        return np.clip(Y, -unit, unit), max(values[0] ** 2, 0.25 * unit**2), False

    def log_prob(self, values: tuple, F: Any, Y: Any, row: Any = None) -> Any:
        r"""Log density; :math:`\log(1 + (y-f)^2 / \nu s^2)` is exact near zero."""
        # plain floats would become float32 tensors
        scale, df = (tf.convert_to_tensor(v, Y.dtype) for v in values)
        a, b = 0.5 * (df + 1.0), 0.5 * df
        constant = tf.math.lgamma(a) - tf.math.lgamma(b) - 0.5 * (_LOG_PI + tf.math.log(df))
        z = (Y - F) / scale
        return constant - tf.math.log(scale) - a * tf.math.log1p(z**2 / df)

    def conditional_mean(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """F itself; the centre of the density where df is 1 or less and there is no mean."""
        return np.asarray(F)

    def conditional_variance(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        r""":math:`s^2 \nu / (\nu - 2)`; infinite where df is 2 or less."""
        return _student_t_variance(values) * np.ones(np.shape(F))

    def cdf(self, values: tuple, F: np.ndarray, y: np.ndarray, row: Any = None) -> np.ndarray:
        """Of a Student-t distribution."""
        scale, df = values
        return stdtr(df, (y - F) / scale)

    def sample(
        self, values: tuple, F: np.ndarray, rng: np.random.RandomState, row: Any = None
    ) -> np.ndarray:
        """F with noise."""
        scale, df = values
        return F + scale * rng.standard_t(df, np.shape(F))

    def variational_expectations(
        self, values: tuple, f_mean: Any, f_var: Any, Y: Any, row: Any = None
    ) -> Any:
        r""":math:`E[\log p(y|f)]` through :math:`E[\log(\nu s^2 + (y-f)^2)]`."""
        Y = tf.convert_to_tensor(Y)
        scale, df = (tf.convert_to_tensor(v, Y.dtype) for v in values)
        return _expected_student_t_log_density(scale, df, f_mean, f_var, Y)

    def predict_mean_and_var(
        self,
        values: tuple,
        f_mean: np.ndarray,
        f_var: np.ndarray,
        row: Any = None,
        include_noise: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean f_mean and variance f_var, plus that of the noise, which may be infinite."""
        return f_mean, f_var + _student_t_variance(values) if include_noise else f_var

    def predict_log_density(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        """Log predictive density, as exact in the tails as in the middle; an ndarray."""
        scale, df = map(np.asarray, values)
        r, v = np.asarray(Y) - np.asarray(f_mean), np.asarray(f_var)
        # far out the density comes from small lambda: the largest terms are near
        # (df + 1) / (df + (r / scale)^2)
        reach = np.log1p((r / scale) ** 2 / df)
        log_nodes, log_weights = gamma_nodes(df, reach, power=0.5)
        variance = v + scale**2 * np.exp(-log_nodes)
        return logsumexp(log_weights - 0.5 * (_LOG_2PI + np.log(variance) + r**2 / variance), 0)

    def predict_quantiles(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, levels: Any, row: Any = None
    ) -> np.ndarray:
        """To about ten digits of their distance from the mean, [N, P, Q]."""
        scale, df = map(float, values)
        levels = np.asarray(levels, dtype=float)
        tails = np.minimum(levels, 1.0 - levels)
        sizes = {p: _upper_quantile(scale, df, np.asarray(f_var), p) for p in set(tails)}
        distance = np.stack([sizes[p] for p in tails], -1)
        return np.asarray(f_mean)[..., None] + np.sign(levels - 0.5) * distance

    def predict_crps(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        """Continuous ranked probability score of y, [N, P], to about nine digits.

        df must be above 1.
        """
        scale, df = map(float, values)
        log_nodes, log_weights = gamma_nodes(df, power=-0.5)
        weights, noise = np.exp(log_weights), scale**2 * np.exp(-log_nodes)
        return crps(np.asarray(Y) - f_mean, np.asarray(f_var)[..., None] + noise, weights)

    def noise_variance(self, values: tuple) -> float:
        """Infinite where df is 2 or less."""
        return float(_student_t_variance(values))


def _student_t_variance(values: tuple) -> np.ndarray:
    scale, df = (np.asarray(v, dtype=float) for v in values)
    heavy = df <= 2.0
    return np.where(heavy, np.inf, scale**2 * df / np.where(heavy, 1.0, df - 2.0))


def _upper_quantile(scale: float, df: float, f_var: np.ndarray, p: float) -> np.ndarray:
    """Where the upper tail of f + noise, around zero, has the probability p; p at most 1/2.

    Newton's method in the logarithm of both, where the tail is nearly a line (of slope -df far
    out) and bends down: from above it does not overshoot.
    """
    if p == 0.5:
        return np.zeros(f_var.shape)
    log_nodes, log_weights = gamma_nodes(df)
    weights = np.exp(log_weights)
    std = np.sqrt(f_var[..., None] + scale**2 * np.exp(-log_nodes))
    # if the sum exceeds a + b, one of its terms exceeds its share: the tail is below p there
    x = -np.sqrt(f_var) * ndtri(0.5 * p) - scale * stdtrit(df, 0.5 * p)
    for _ in range(_NEWTON_STEPS):
        z = x[..., None] / std
        tail = ndtr(-z) @ weights
        density = (np.exp(-0.5 * z**2) / std) @ weights / np.sqrt(2.0 * np.pi)
        excess = np.log(tail / p)
        step = excess * tail / (density * x)
        x = x * np.exp(np.clip(step, -1.0, 1.0))
        # close to the mean rounding of the tail leaves more than that of x
        if np.all((np.abs(step) < 1e-11) | (np.abs(excess) < 1e-13)):
            return x
    raise ValueError(f"No quantile {p} of a Student-t of scale {scale} and df {df} found.")
