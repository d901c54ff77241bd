"""Shares between 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import betainc, betaln, expit, logit

from .._runtime import tf
from ..parameters import Parameter
from . import _numerical as numerical
from .base import Likelihood, Noise

__all__ = ["Beta"]

# Learned precision: where it begins, a deviation of 0.15 about one half, and bounds.
_PRECISION_START, _PRECISION_BOUNDS = 10.0, (1e-2, 1e8)
# Draws are so far from 0 and from 1.
_EDGES = 1e-300, 1.0 - float(np.finfo(float).epsneg)
# Parameters of a beta distribution are this large at least: y is 0 or 1 then, for all that numbers
# can tell.
_LEAST = 1e-10
# Tables take the precision as this over the variance of f at most. The logit of y given f is then
# 50 times narrower than f about one half, and nodes of f need not be nearer to each other.
_FINEST = 1e4


@dataclass(frozen=True)
class Beta(Likelihood):
    r"""Shares between 0 and 1, such as a percentage: mean :math:`\mu = 1 / (1 + e^{-f})`.

    .. math:: p(y|f) = \frac{\Gamma(\phi)}{\Gamma(\mu\phi)\,\Gamma((1-\mu)\phi)}
        y^{\mu\phi - 1} (1 - y)^{(1-\mu)\phi - 1}

    ``values`` is ``(precision,)``, :math:`\phi`; the variance of y is
    :math:`\mu (1 - \mu) / (1 + \phi)` (Ferrari & Cribari-Neto 2004). 0 and 1 themselves have no
    density. For a share of so many trials, counts with an exposure say more.

    References
    ----------
    S. L. P. Ferrari and F. Cribari-Neto (2004). Beta regression for modelling rates and
    proportions. Journal of Applied Statistics 31, 799-815.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import Beta
    >>> zero = np.zeros((1, 1))
    >>> print(Beta().predict_quantiles((4.0,), zero, zero, [0.5, 0.9]).round(4))
    [[[0.5    0.8042]]]
    """

    parameter_names: ClassVar[tuple[str, ...]] = ("precision",)
    support: ClassVar[str] = "unit"

    def parameters(self, noise: Noise | None, spread: float) -> tuple[Parameter, ...]:
        """The precision; there is no Gaussian noise."""
        self._refuse(noise)
        return (Parameter("precision", np.array(_PRECISION_START), np.array(_PRECISION_BOUNDS)),)

    def offset(self, Y: np.ndarray, weights: np.ndarray, row: np.ndarray | None) -> np.ndarray:
        """Logit of the mean."""
        return logit(np.clip(np.average(Y, axis=0, weights=weights), *_EDGES))

    def log_prob(self, values: tuple, F: Any, Y: Any, row: Any = None) -> Any:
        r"""Log density; :math:`1 - \mu` is the sigmoid of -f, and not 0 far out."""
        Y = tf.convert_to_tensor(Y)
        precision = tf.convert_to_tensor(values[0], Y.dtype)
        a, b = (tf.maximum(precision * tf.math.sigmoid(f), _LEAST) for f in (F, -F))
        constant = tf.math.lgamma(precision) - tf.math.lgamma(a) - tf.math.lgamma(b)
        return constant + (a - 1.0) * tf.math.log(Y) + (b - 1.0) * tf.math.log1p(-Y)

    def conditional_mean(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """Sigmoid of F."""
        return expit(F)

    def conditional_variance(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        r""":math:`\mu (1 - \mu) / (1 + \phi)`."""
        return expit(F) * expit(-np.asarray(F)) / (1.0 + np.asarray(values[0]))

    def cdf(self, values: tuple, F: np.ndarray, y: np.ndarray, row: Any = None) -> np.ndarray:
        """Of a beta distribution."""
        return betainc(*_parameters(values, F), np.clip(y, 0.0, 1.0))

    def sample(
        self, values: tuple, F: np.ndarray, rng: np.random.RandomState, row: Any = None
    ) -> np.ndarray:
        """Beta variables, none of which is 0 or 1."""
        return np.clip(rng.beta(*_parameters(values, F)), *_EDGES)

    def predict_mean_and_var(
        self,
        values: tuple,
        f_mean: np.ndarray,
        f_var: np.ndarray,
        row: Any = None,
        include_noise: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""By an integral over f: :math:`E\mu`, :math:`V\mu + E[\mu (1 - \mu)] / (1 + \phi)`."""
        f_mean, f_var = np.broadcast_arrays(*(np.asarray(a, float) for a in (f_mean, f_var)))
        std = np.sqrt(f_var) + 1e-300
        far = numerical.REACH
        bend = np.clip(-f_mean / std, -far, far)  # of the sigmoid
        z, weights = numerical.intervals(-far, np.minimum(bend, 0.0), np.maximum(bend, 0.0), far)
        weights = weights * np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
        f = f_mean + std * z
        mean = np.sum(weights * expit(f), 0)
        below = np.sum(weights * (expit(f) - mean) ** 2, 0)
        noise = np.sum(weights * self.conditional_variance(values, f), 0)
        return mean, below + noise if include_noise else below

    def _distribution(self, values: tuple, f_mean: Any, f_var: Any, row: Any) -> Any:
        """By a table, of the logit of y: where y is nearer to 0 or 1 than numbers are, too."""
        f_mean, f_var = np.broadcast_arrays(*(np.asarray(v, float) for v in (f_mean, f_var)))
        precision = np.minimum(values[0], _FINEST / np.maximum(f_var, 1e-300))

        def log_density(F: np.ndarray, w: np.ndarray) -> np.ndarray:
            a, b = _parameters((precision,), F)
            return -a * np.logaddexp(0.0, -w) - b * np.logaddexp(0.0, w) - betaln(a, b)

        return _OfLogits(log_density, f_mean, f_var, "unit", "Beta")


class _OfLogits(numerical.Grid):
    """Of log densities of the logit of y."""

    def _log_density(self, f: np.ndarray, w: np.ndarray) -> np.ndarray:
        return self._log_prob(f, w)


def _parameters(values: tuple, F: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both of the beta distributions."""
    F, precision = np.asarray(F, float), np.asarray(values[0])
    a, b = (np.maximum(precision * expit(f), _LEAST) for f in (F, -F))
    return a, b
