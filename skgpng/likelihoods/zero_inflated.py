"""Counts with zeros that no rate explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .._runtime import tf
from ..parameters import Parameter
from ..quadrature import gaussian_expectation
from .base import Noise
from .counts import Counts, expected_poisson_log_density, log_exposure

__all__ = ["ZeroInflatedPoisson"]

# Share of zeros to begin with, and its bounds.
_START, _BOUNDS = 0.1, (1e-6, 0.999)


@dataclass(frozen=True)
class ZeroInflatedPoisson(Counts):
    r"""Poisson's counts of the rate :math:`e_n \exp(f)`, or 0 with the probability :math:`\pi`.

    :math:`\pi`, the share of structural zeros, is learned, the only one of ``values``: it is the
    same for all rows, between 1e-6 and 0.999. The mean of y is :math:`(1 - \pi) e_n \exp(f)`.
    ``row`` is the exposure :math:`e_n` of each row, 1 by default.

    References
    ----------
    D. Lambert (1992). Zero-inflated Poisson regression, with an application to defects in
    manufacturing. Technometrics 34, 1-14.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import ZeroInflatedPoisson
    >>> f_mean, f_var = np.log([[2.0]]), np.array([[0.1]])
    >>> ZeroInflatedPoisson().predict_quantiles((0.3,), f_mean, f_var, [0.4, 0.5, 0.95])
    array([[[0., 1., 5.]]])
    """

    parameter_names: ClassVar[tuple[str, ...]] = ("zero_share",)
    # of zeros: errors of 1e-5 for a share of a tenth, 1e-3 for a thousandth, up to a variance of 1
    n_points: ClassVar[int] = 32

    def parameters(self, noise: Noise | None, spread: float) -> tuple[Parameter, ...]:
        """The share of zeros."""
        self._refuse(noise)
        return (Parameter("zero_share", np.array(_START), np.array(_BOUNDS)),)

    def _zeros(self, values: tuple) -> float:
        return float(values[0])

    def offset(self, Y: np.ndarray, weights: np.ndarray, row: np.ndarray | None) -> np.ndarray:
        """Logarithm of all counts over all exposure, of counts that are no structural zeros."""
        return super().offset(Y, weights, row) - np.log1p(-_START)

    def log_prob(self, values: tuple, F: Any, Y: Any, row: Any = None) -> Any:
        r"""Of zeros :math:`\log(\pi + (1 - \pi) e^{-\mu})`, of others that of Poisson's counts.

        With :math:`\mu = e_n \exp(f)`; these have the factor :math:`1 - \pi`.
        """
        Y = tf.convert_to_tensor(Y)
        log_rate = F + log_exposure(row)
        counts = Y * log_rate - tf.exp(log_rate) - tf.math.lgamma(Y + 1.0)
        log_zero, log_other = self._log_shares(values, Y.dtype)
        return tf.where(Y == 0.0, _log_sum(log_zero, log_other + counts), log_other + counts)

    def variational_expectations(
        self, values: tuple, f_mean: Any, f_var: Any, Y: Any, row: Any = None
    ) -> Any:
        """Closed for counts above zero, as Poisson's; for zeros by quadrature."""
        f_mean, f_var, Y = (tf.convert_to_tensor(a) for a in (f_mean, f_var, Y))
        log_zero, log_other = self._log_shares(values, Y.dtype)
        exposure = log_exposure(row)
        of_zero = gaussian_expectation(
            lambda F: _log_sum(log_zero, log_other - tf.exp(F + exposure)),
            f_mean,
            f_var,
            self.n_points,
        )
        # the branch that is not taken must be finite, too, for its gradient
        none = Y == 0.0
        mean, var = (tf.where(none, tf.zeros_like(a), a) for a in (f_mean, f_var))
        others = log_other + expected_poisson_log_density(mean, var, Y, row)
        return tf.where(none, of_zero, others)

    @staticmethod
    def _log_shares(values: tuple, dtype: Any) -> tuple[Any, Any]:
        """Of zeros that are added, and of all else."""
        share = tf.convert_to_tensor(values[0], dtype)
        return tf.math.log(share), tf.math.log1p(-share)


def _log_sum(a: Any, b: Any) -> Any:
    """log(exp(a) + exp(b)), of b that may be minus infinity."""
    return a + tf.math.softplus(b - a)
