"""Counts with more spread than Poisson's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .._runtime import tf
from ..parameters import Parameter
from .base import Noise
from .counts import Counts, log_exposure

__all__ = ["NegativeBinomial"]

# Dispersion to begin with, and its bounds: at the lower one the variance of counts up to 1e4 is
# within one per cent of Poisson's, at the upper one next to all counts are zero.
_START, _BOUNDS = 0.1, (1e-6, 1e3)


@dataclass(frozen=True)
class NegativeBinomial(Counts):
    r"""Counts with the mean :math:`\mu = e_n \exp(f)` and the variance :math:`\mu + \alpha \mu^2`.

    Poisson's whose rate scatters by a gamma variable of mean 1 and variance :math:`\alpha`: the
    dispersion, which is learned, the only one of ``values``. Where it is zero counts are Poisson's;
    its bounds are 1e-6, which is as good as that, and 1000. ``row`` is the exposure :math:`e_n` of
    each row, 1 by default.

    References
    ----------
    J. M. Hilbe (2011). Negative Binomial Regression, 2nd edition, chapter 8: "NB2". Cambridge.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import NegativeBinomial
    >>> f_mean, f_var = np.log([[2.0]]), np.array([[0.1]])
    >>> NegativeBinomial().predict_quantiles((0.5,), f_mean, f_var, [0.05, 0.5, 0.95])
    array([[[0., 1., 6.]]])
    """

    parameter_names: ClassVar[tuple[str, ...]] = ("dispersion",)
    log_concave: ClassVar[bool] = True

    def parameters(self, noise: Noise | None, spread: float) -> tuple[Parameter, ...]:
        """The dispersion."""
        self._refuse(noise)
        return (Parameter("dispersion", np.array(_START), np.array(_BOUNDS)),)

    def _size(self, values: tuple) -> float:
        return 1.0 / float(values[0])

    def log_prob(self, values: tuple, F: Any, Y: Any, row: Any = None) -> Any:
        r"""With :math:`r = 1 / \alpha` and :math:`t = f + \log(e_n \alpha)`.

        .. math:: \log\frac{\Gamma(y + r)}{\Gamma(r)\, y!} + y t - (y + r) \log(1 + e^t)
        """
        Y = tf.convert_to_tensor(Y)
        dispersion = tf.convert_to_tensor(values[0], Y.dtype)
        size = 1.0 / dispersion
        t = F + log_exposure(row) + tf.math.log(dispersion)
        ways = tf.math.lgamma(Y + size) - tf.math.lgamma(size) - tf.math.lgamma(Y + 1.0)
        return ways + Y * t - (Y + size) * tf.math.softplus(t)
