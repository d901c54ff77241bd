"""Noise that is exponential on either side: Laplace noise, and quantile regression."""

from __future__ import annotations

import abc
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from scipy.special import erfcx, log_ndtr, ndtr, ndtri
from sklearn.metrics import d2_pinball_score

from .._runtime import custom_gradient, tf
from ..means import Mean, Zero
from ..parameters import Parameter
from . import _numerical as numerical
from .base import Likelihood, Noise, sum_to_shape
from .units import Units, median_and_quartiles

__all__ = ["AsymmetricLaplace", "Laplace"]

_ROOT_HALF, _ROOT_1_2PI = float(np.sqrt(0.5)), float(np.sqrt(0.5 / np.pi))
# Standard deviations of f below this share of the noise are as good as none.
_LEAST = 1e-12
# Rates nearer than this share are equal: half the digits of their difference.
_EQUAL = 1e-6


@custom_gradient
def _expected_log_density(above: Any, below: Any, f_mean: Any, f_var: Any, Y: Any) -> Any:
    r""":math:`\log c - a E[u^+] - b E[u^-]` for :math:`u \sim N(y - m, v)`.

    :math:`E[u^+] = \mu\Phi(\mu/\sigma) + \sigma\varphi(\mu/\sigma)`, and :math:`E[u^-]` is
    smaller by :math:`\mu`.
    """
    offset = Y - f_mean
    # a reciprocal must be finite where there is no variance
    std = tf.sqrt(tf.maximum(f_var, (_LEAST / (above + below)) ** 2))
    z = offset / std
    share, density = 0.5 * tf.math.erfc(-_ROOT_HALF * z), _ROOT_1_2PI * tf.exp(-0.5 * z**2)
    part = offset * share + std * density
    total = above + below
    log_constant = tf.math.log(above) + tf.math.log(below) - tf.math.log(total)

    def gradient(upstream: Any) -> Any:
        in_mean = upstream * (above * share - below * (1.0 - share))
        in_var = -0.5 * upstream * total * density / std
        in_above = upstream * (1.0 / above - 1.0 / total - part)
        in_below = upstream * (1.0 / below - 1.0 / total - (part - offset))
        rates = sum_to_shape(in_above, above), sum_to_shape(in_below, below)
        return *rates, in_mean, in_var, sum_to_shape(-in_mean, Y)

    return log_constant - above * part - below * (part - offset), gradient


class _Exponentials(Likelihood):
    r"""y = f + noise with the density :math:`c\,e^{-a u}` above f and :math:`c\,e^{b u}` below.

    :math:`u = y - f` and :math:`c = ab / (a + b)`. Where f is Gaussian, all that is asked of y is
    closed, up to the search for quantiles.
    """

    noise: ClassVar[str | None] = "scale"
    noise_power: ClassVar[float] = 0.5
    location: ClassVar[bool] = True
    log_concave: ClassVar[bool] = True

    @abc.abstractmethod
    def _rates(self, values: tuple) -> tuple:
        """Rates a above f and b below."""

    def units(self, Y: np.ndarray, weights: np.ndarray) -> Units:
        """Median and quartiles of each column, which outliers do not move."""
        return median_and_quartiles(Y, weights)

    def as_regression(
        self, Y: np.ndarray, values: tuple, row: np.ndarray | None, spread: float
    ) -> tuple[np.ndarray, float, bool]:
        """Outliers count as one unit; what is looked for is where the kernel starts."""
        unit = np.sqrt(spread)
        return np.clip(Y, -unit, unit), max(values[0] ** 2, 0.25 * unit**2), False

    def log_prob(self, values: tuple, F: Any, Y: Any, row: Any = None) -> Any:
        r""":math:`\log c - a u^+ - b u^-`."""
        # plain floats would become float32 tensors
        above, below = self._rates(tuple(tf.convert_to_tensor(v, Y.dtype) for v in values))
        log_constant = tf.math.log(above) + tf.math.log(below) - tf.math.log(above + below)
        u = Y - F
        return log_constant - tf.where(u > 0, above * u, -below * u)

    def variational_expectations(
        self, values: tuple, f_mean: Any, f_var: Any, Y: Any, row: Any = None
    ) -> Any:
        """Closed, as the positive part of a Gaussian variable has a mean that is."""
        Y = tf.convert_to_tensor(Y)
        rates = self._rates(tuple(tf.convert_to_tensor(v, Y.dtype) for v in values))
        return _expected_log_density(*rates, f_mean, f_var, Y)

    def conditional_mean(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """F itself."""
        return np.asarray(F)

    def conditional_variance(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        r""":math:`1/a^2 + 1/b^2`."""
        return _variance(*self._rates(values)) * np.ones(np.shape(F))

    def cdf(self, values: tuple, F: np.ndarray, y: np.ndarray, row: Any = None) -> np.ndarray:
        """Exponential on either side."""
        u, (a, b) = np.asarray(y) - F, self._rates(values)
        above = 1.0 - b / (a + b) * np.exp(-a * np.maximum(u, 0.0))
        return np.where(u > 0, above, a / (a + b) * np.exp(b * np.minimum(u, 0.0)))

    def sample(
        self, values: tuple, F: np.ndarray, rng: np.random.RandomState, row: Any = None
    ) -> np.ndarray:
        """F and the difference of two exponential variables."""
        a, b = self._rates(values)
        return F + rng.exponential(size=np.shape(F)) / a - rng.exponential(size=np.shape(F)) / b

    def predict_mean_and_var(
        self,
        values: tuple,
        f_mean: np.ndarray,
        f_var: np.ndarray,
        row: Any = None,
        include_noise: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean f_mean and variance f_var, plus that of the noise."""
        return f_mean, f_var + _variance(*self._rates(values)) if include_noise else f_var

    def predict_log_density(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        r""":math:`\log c + \log(T_a(r) + T_b(-r))`, r = y - f_mean, see ``_log_tail``."""
        a, b = self._rates(values)
        r, std = np.asarray(Y) - np.asarray(f_mean), _std(f_var, a + b)
        sides = np.logaddexp(_log_tail(a, r, std), _log_tail(b, -r, std))
        return np.log(a * b / (a + b)) + sides

    def predict_quantiles(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, levels: Any, row: Any = None
    ) -> np.ndarray:
        """Roots of the distribution function, or of that above for a level above one half."""
        a, b = map(float, self._rates(values))
        std = _std(f_var, a + b)
        found = [
            _quantile(a, b, std, p) if p <= 0.5 else -_quantile(b, a, std, 1.0 - p)
            for p in np.asarray(levels, dtype=float)
        ]
        return np.asarray(f_mean)[..., None] + np.stack(found, -1)

    def predict_crps(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        """E|x - y| - E|x - x'| / 2 (Gneiting & Raftery 2007, eq. 21), both closed."""
        a, b = self._rates(values)
        r, std = np.asarray(Y) - np.asarray(f_mean), _std(f_var, a + b)
        return _mean_distance(a, b, r, std) - 0.5 * _mean_difference(a, b, std)


@dataclass(frozen=True)
class Laplace(_Exponentials):
    r"""Noise whose size counts, not its square, so that outliers pull no more than others do.

    .. math:: p(y|f) = \frac1{2 s} \exp\left(-\frac{|y - f|}s\right)

    ``values`` is ``(scale,)``, s; the variance of the noise is :math:`2 s^2`. f is the median of
    y, and its mean. Log-concave, unlike Student-t noise: there is one optimum, but a row far out
    pulls as much as one near by.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import Laplace
    >>> zero = np.zeros((1, 1))
    >>> print(Laplace().predict_quantiles((0.5,), zero, zero, [0.5, 0.9]).round(6))
    [[[0.       0.804719]]]
    """

    mean: ClassVar[Mean] = Zero()

    def _rates(self, values: tuple) -> tuple:
        return 1.0 / values[0], 1.0 / values[0]


@dataclass(frozen=True)
class AsymmetricLaplace(_Exponentials):
    r"""Quantile regression: f is the quantile of y, of one level q.

    .. math:: p(y|f) = \frac{q (1 - q)}s \exp\left(-\frac{\rho_q(y - f)}s\right), \qquad
        \rho_q(u) = \max(q u, (q - 1) u)

    The loss :math:`\rho_q` is least where a share q of y is below f (Yu & Moyeed 2001). ``values``
    is ``(scale, quantile)``: s, the mean loss, which is learned, and q, which is not. f has a mean
    that is learned, as quantiles far from the median are not about it.

    ``predict`` gives this quantile, as that of :class:`sklearn.linear_model.QuantileRegressor`,
    and ``score`` the share of the loss that it explains
    (:func:`sklearn.metrics.d2_pinball_score`). The distribution about it stands for the loss and
    not for y: other quantiles, densities, standard deviations with noise and draws are those of
    two exponentials. Fit one model for each quantile, and Student-t noise for a distribution.

    Parameters
    ----------
    quantile : float in (0, 1), default=0.5
        Level q. With 0.5 it is Laplace noise, of a scale of 2 s. Likelihoods that differ in it
        are equal, and share compiled code.

    References
    ----------
    K. Yu and R. A. Moyeed (2001). Bayesian quantile regression. Statistics & Probability Letters
    54, 437-447.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng import GaussianProcessRegressor
    >>> from skgpng.likelihoods import AsymmetricLaplace
    >>> X = np.linspace(0, 6, 300)[:, None]
    >>> y = np.sin(X[:, 0]) + np.random.RandomState(0).exponential(0.3, 300)
    >>> model = GaussianProcessRegressor(likelihood=AsymmetricLaplace(quantile=0.9)).fit(X, y)
    >>> print(0.87 < np.mean(y < model.predict(X)) < 0.93)
    True
    """

    # a value like those learned, which compiled code does not depend on
    quantile: float = field(default=0.5, compare=False)

    ranges: ClassVar[dict] = {"quantile": (0.0, 1.0)}
    parameter_names: ClassVar[tuple[str, ...]] = ("scale", "quantile")

    def parameters(self, noise: Noise | None, spread: float) -> tuple[Parameter, ...]:
        r"""Scale, the root of a noise level, and the level of the quantile, which stays.

        Gaussian noise has the mean loss :math:`\sigma\varphi(\Phi^{-1}(q))`: by default the scale
        begins with that of a tenth of the variance of y.
        """
        level, loss = float(self.quantile), np.exp(-0.5 * ndtri(self.quantile) ** 2) * _ROOT_1_2PI
        (scale,) = super().parameters(noise, spread if noise else spread * loss**2)
        return scale, Parameter("quantile", level, np.full(2, level), False)

    def _rates(self, values: tuple) -> tuple:
        scale, quantile = values
        return quantile / scale, (1.0 - quantile) / scale

    def score(self, y: np.ndarray, y_mean: np.ndarray, sample_weight: Any = None) -> float:
        """Of predicted quantiles: the share of the pinball loss of y that they explain."""
        return float(d2_pinball_score(y, y_mean, sample_weight=sample_weight, alpha=self.quantile))


# --- a Gaussian variable and exponential ones ----------------------------------------------------


def _std(f_var: Any, rate: Any) -> np.ndarray:
    return np.maximum(np.sqrt(np.asarray(f_var)), _LEAST / rate)


def _variance(above: Any, below: Any) -> Any:
    return 1.0 / np.asarray(above) ** 2 + 1.0 / np.asarray(below) ** 2


def _log_tail(rate: Any, r: np.ndarray, std: np.ndarray) -> np.ndarray:
    r"""Logarithm of :math:`T_a(r) = e^{a^2 v / 2 - a r} \Phi(r / \sigma - a \sigma)`.

    :math:`a T_a` is the density of the sum of a Gaussian variable and an exponential one. Where
    :math:`\Phi` is small, its exponent cancels the one before it, and erfcx leaves both out.
    """
    z = r / std - rate * std
    far = -0.5 * (r / std) ** 2 + np.log(0.5 * erfcx(-_ROOT_HALF * np.minimum(z, 0.0)))
    near = rate * (0.5 * rate * std**2 - r) + log_ndtr(np.maximum(z, 0.0))
    return np.where(z < 0, far, near)


def _cdf(above: Any, below: Any, r: np.ndarray, std: np.ndarray) -> np.ndarray:
    r"""Of Gaussian and noise: :math:`\Phi(r/\sigma) - \frac{b T_a(r) - a T_b(-r)}{a + b}`."""
    up, down = np.exp(_log_tail(above, r, std)), np.exp(_log_tail(below, -r, std))
    return ndtr(r / std) - (below * up - above * down) / (above + below)


def _quantile(above: float, below: float, std: np.ndarray, p: float) -> np.ndarray:
    """Quantiles of Gaussian and noise, of a level p of one half or less."""
    of_noise = np.log(min(p * (above + below) / above, 1.0)) / below

    def excess(r: np.ndarray, index: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(_cdf(above, below, r, std.ravel()[index]), 1e-300) / p)

    middle = of_noise + ndtri(p) * std
    width = std + 1.0 / above + 1.0 / below
    return numerical.roots(excess, middle - width, middle + width)


def _mean_distance(above: Any, below: Any, r: np.ndarray, std: np.ndarray) -> np.ndarray:
    """E|x - r| of Gaussian and noise x: the integral of twice its distribution function."""
    constant, z = above * below / (above + below), r / std
    balance = 2.0 * ndtr(z) - 1.0
    up, down = np.exp(_log_tail(above, r, std)), np.exp(_log_tail(below, -r, std))
    tails = (balance + 2.0 * down) / below**2 - (balance - 2.0 * up) / above**2
    return r * balance + 2.0 * std * _ROOT_1_2PI * np.exp(-0.5 * z**2) + constant * tails


def _mean_difference(above: Any, below: Any, std: np.ndarray) -> np.ndarray:
    r"""E|x - x'|: the noise of x - x' is the sum of two Laplace variables, of rates a and b.

    Their density is that of two Laplace variables mixed,
    :math:`(b^2 \ell_a - a^2 \ell_b) / (b^2 - a^2)`, and with the Gaussian part, of variance 2 v,
    either of them has the mean size :math:`2\sigma/\sqrt\pi + \mathrm{erfcx}(a\sigma) / a`.
    """
    wide = 2.0 * std / np.sqrt(np.pi)
    if np.all(np.abs(above - below) > _EQUAL * above):
        a, b = above**2, below**2
        mixed = b * erfcx(above * std) / above - a * erfcx(below * std) / below
        return wide + mixed / (b - a)
    rate = np.sqrt(above * below)
    x = rate * std
    return wide + ((1.5 - x**2) * erfcx(x) + x / np.sqrt(np.pi)) / rate
