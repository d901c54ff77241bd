"""Noise that varies with x."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import ndtr

from .._runtime import tf
from ..means import Mean, Zero
from . import mixtures
from ._numerical import log_expectation
from .base import Likelihood

__all__ = ["HeteroscedasticGaussian"]

_LOG_2PI = float(np.log(2.0 * np.pi))
# The trapezoid rule on a normal variable: 1e-12 of any tail, for log noise of a deviation up to 5.
_REACH, _STEP = 9.0, 0.2


@dataclass(frozen=True)
class HeteroscedasticGaussian(Likelihood):
    r"""Gaussian noise whose variance is a function of x: :math:`y = f + \sigma e^{g/2} \epsilon`.

    A second latent function g for each column of y, with a kernel of its own, is the logarithm of
    the noise variance in units of :math:`\sigma^2`. ``values`` is ``(variance,)``, that level. The
    latent functions are first f of each column, then g of each.

    The expected log density is closed (Lazaro-Gredilla & Titsias 2011, eq. 6):

    .. math:: -\tfrac12 \log 2\pi\sigma^2 - \tfrac12 m_g
        - \frac{e^{-m_g + v_g/2}}{2\sigma^2} \left((y - m_f)^2 + v_f\right)

    Predictions are mixtures of Gaussians over g.

    References
    ----------
    M. Lazaro-Gredilla & M. K. Titsias (2011). Variational heteroscedastic Gaussian process
    regression. ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import HeteroscedasticGaussian
    >>> f, f_var = np.array([[0.0, 2.0]]), np.zeros((1, 2))
    >>> mean, variance = HeteroscedasticGaussian().predict_mean_and_var((0.5,), f, f_var)
    >>> print(mean[0], variance[0].round(6))
    [0.] [3.694528]
    """

    noise: ClassVar[str | None] = "variance"
    own_kernels: ClassVar[bool] = True
    log_concave: ClassVar[bool] = True
    scales: ClassVar[bool] = True  # type: ignore[misc]
    mean: ClassVar[Mean] = Zero()

    def n_latent(self, n_columns: int) -> int:
        """Two for each column."""
        return 2 * n_columns

    def n_columns(self, n_latent: int) -> int:
        """Half as many."""
        return n_latent // 2

    def as_regression(
        self, Y: np.ndarray, values: tuple, row: np.ndarray | None, spread: float
    ) -> tuple[np.ndarray, float, bool]:
        """With the same noise everywhere, of f alone."""
        return Y, float(values[0]), True

    def log_prob(self, values: tuple, F: Any, Y: Any, row: Any = None) -> Any:
        r""":math:`\log N(y; f, \sigma^2 e^g)`."""
        f, g = tf.split(tf.convert_to_tensor(F), 2, -1)
        log_variance = g + tf.math.log(tf.convert_to_tensor(values[0], g.dtype))
        return -0.5 * (_LOG_2PI + log_variance + (Y - f) ** 2 * tf.exp(-log_variance))

    def variational_expectations(
        self, values: tuple, f_mean: Any, f_var: Any, Y: Any, row: Any = None
    ) -> Any:
        """The closed form."""
        (m_f, m_g), (v_f, v_g) = (tf.split(tf.convert_to_tensor(a), 2, -1) for a in (f_mean, f_var))
        log_variance = m_g + tf.math.log(tf.convert_to_tensor(values[0], m_g.dtype))
        squares = (Y - m_f) ** 2 + v_f
        return -0.5 * (_LOG_2PI + log_variance + squares * tf.exp(0.5 * v_g - log_variance))

    def conditional_mean(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """f."""
        return _halves(F)[0]

    def conditional_variance(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        r""":math:`\sigma^2 e^g`."""
        return values[0] * np.exp(_halves(F)[1])

    def cdf(self, values: tuple, F: np.ndarray, y: np.ndarray, row: Any = None) -> np.ndarray:
        """Of a normal distribution."""
        mean, variance = self.conditional_mean(values, F), self.conditional_variance(values, F)
        return ndtr((y - mean) / np.sqrt(variance))

    def sample(
        self, values: tuple, F: np.ndarray, rng: np.random.RandomState, row: Any = None
    ) -> np.ndarray:
        """f with noise."""
        mean, variance = self.conditional_mean(values, F), self.conditional_variance(values, F)
        return mean + np.sqrt(variance) * rng.standard_normal(mean.shape)

    def predict_mean_and_var(
        self,
        values: tuple,
        f_mean: np.ndarray,
        f_var: np.ndarray,
        row: Any = None,
        include_noise: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        r""":math:`m_f` and :math:`v_f`, with noise plus :math:`\sigma^2 e^{m_g + v_g/2}`."""
        (m_f, m_g), (v_f, v_g) = _halves(f_mean), _halves(f_var)
        with np.errstate(over="ignore"):  # infinite where numbers end
            noise = values[0] * np.exp(m_g + 0.5 * v_g)
        return m_f, v_f + noise if include_noise else v_f

    def mean_and_cov_of_rows(
        self, values: tuple, f_mean: np.ndarray, f_cov: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Those of f."""
        return _halves(f_mean)[0], f_cov[: len(f_cov) // 2]

    def predict_log_density(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        r""":math:`\log E_g[N(y; m_f, v_f + \sigma^2 e^g)]`."""
        (m_f, m_g), (v_f, v_g) = _halves(f_mean), _halves(f_var)
        squares = (np.asarray(Y) - m_f) ** 2

        def log_density(g: np.ndarray) -> np.ndarray:
            variance = v_f + values[0] * np.exp(g)
            return -0.5 * (_LOG_2PI + np.log(variance) + squares / variance)

        return log_expectation(log_density, m_g, v_g)

    def predict_quantiles(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, levels: Any, row: Any = None
    ) -> np.ndarray:
        """Of the mixture, [N, P, Q]."""
        variance, weights = _mixture(values, f_mean, f_var, _STEP)
        return _halves(f_mean)[0][..., None] + mixtures.quantiles(variance, weights, levels)

    def predict_crps(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        """Of the mixture, [N, P]."""
        variance, weights = _mixture(values, f_mean, f_var, 2.0 * _STEP)
        return mixtures.crps(np.asarray(Y) - _halves(f_mean)[0], variance, weights)


def _halves(F: Any) -> tuple[np.ndarray, np.ndarray]:
    """Of the columns [..., 2P]: those of f, and those of g."""
    F = np.asarray(F)
    half = F.shape[-1] // 2
    return F[..., :half], F[..., half:]


def _mixture(values: tuple, f_mean: Any, f_var: Any, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Variances [N, P, H] of y, given each of some g, and the weights [H] of these."""
    (_, m_g), (v_f, v_g) = _halves(f_mean), _halves(f_var)
    z = np.arange(-_REACH, _REACH + 0.5 * step, step)
    weights = np.exp(-0.5 * z**2)
    g = m_g[..., None] + np.sqrt(v_g)[..., None] * z
    return v_f[..., None] + values[0] * np.exp(g), weights / weights.sum()
