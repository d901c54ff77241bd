"""Two classes: one latent function, and a link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, ndtr, owens_t

from .._runtime import custom_gradient, tf
from ..quadrature import expected_softplus, log_expected_sigmoid, nodes_beside
from . import _numerical as numerical
from .labels import Mislabelled

__all__ = ["Bernoulli", "Logit"]

_ROOT_HALF, _ROOT_1_2PI = float(np.sqrt(0.5)), float(np.sqrt(0.5 / np.pi))


@custom_gradient
def _expected_log_probit(mean: Any, variance: Any, z: Any, w: Any, epsilon: Any) -> Any:
    r""":math:`E[\log p(f)]`, :math:`p = \epsilon + (1-2\epsilon)\Phi(f)`, at nodes z [H, ...].

    The gradient is the sum's own, :math:`\sum_h w_h p'/p` in the mean and
    :math:`\sum_h w_h z_h p'/p \,/\, 2\sqrt v` in the variance: a third less time than
    automatic differentiation takes for what is most of a classifier's elementwise work.
    """
    root = tf.sqrt(variance)
    f = mean + root * z
    twice = tf.math.erfc(-_ROOT_HALF * f)  # of the normal distribution function
    p = epsilon + (0.5 - epsilon) * twice

    def gradient(upstream: Any) -> Any:
        slope = w * (tf.exp(-0.5 * tf.square(f)) / p)
        scaled = upstream * ((1.0 - 2.0 * epsilon) * _ROOT_1_2PI)
        in_mean, in_root = tf.reduce_sum(slope, 0), tf.reduce_sum(slope * z, 0)
        in_epsilon = tf.reduce_sum(upstream * tf.reduce_sum(w * ((1.0 - twice) / p), 0))
        return scaled * in_mean, scaled * in_root / (2.0 * root), None, None, in_epsilon

    return tf.reduce_sum(w * tf.math.log(p), 0), gradient


class _Symmetric(Mislabelled):
    """Of two classes the label 1 is "yes", any other value "no": "yes" at -f."""

    symmetric: ClassVar[bool] = True
    # As measured for the probit link, which is not log-concave with epsilon: where classes are
    # well apart, full steps go back and forth between two states and never settle (moons with
    # noise of 0.1: 54 nats lost; 0.3 to 0.7 settle, in as many steps).
    gamma: ClassVar[float] = 0.5


@dataclass(frozen=True)
class Bernoulli(_Symmetric):
    r"""Two classes with a probit link, :math:`p(y=1|f) = \epsilon + (1-2\epsilon)\Phi(f)`.

    The label 1 is "yes", any other value "no". ``values`` is ``()``, or ``(epsilon,)`` where that
    is None.

    Parameters
    ----------
    epsilon : float or None, default=1e-3
        Share of labels taken to be wrong, either way: bounds the cost of an outlier. None learns
        it.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import Bernoulli
    >>> mean, _ = Bernoulli().predict_mean_and_var((), np.array([[0.0]]), np.array([[1.0]]))
    >>> float(mean[0, 0])
    0.5
    """

    epsilon: float | None = 1e-3

    def _yes(self, values: tuple, F: np.ndarray) -> np.ndarray:
        return self._observed(values, ndtr(F))

    def log_prob(self, values: tuple, F: Any, Y: Any, row: Any = None) -> Any:
        """log p(y=1|f) where Y is 1, log p(y=1|-f) elsewhere (the link is symmetric)."""
        towards = tf.where(Y == 1, F, -F)
        return tf.math.log(self._observed(values, 0.5 * tf.math.erfc(-towards / np.sqrt(2.0))))

    def variational_expectations(
        self, values: tuple, f_mean: Any, f_var: Any, Y: Any, row: Any = None
    ) -> Any:
        """By quadrature, with its gradient written out; the label "no" is "yes" at -f."""
        f_mean = tf.convert_to_tensor(f_mean)
        z, w = nodes_beside(f_mean, self.n_points)
        epsilon = tf.convert_to_tensor(self._epsilon(values), f_mean.dtype)
        towards = tf.where(Y == 1, f_mean, -f_mean)
        return _expected_log_probit(towards, f_var, z, w, epsilon)

    def conditional_mean(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """Probability of "yes"."""
        return self._yes(values, F)

    def predict_mean_and_var(
        self,
        values: tuple,
        f_mean: np.ndarray,
        f_var: np.ndarray,
        row: Any = None,
        include_noise: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""Probability of "yes", from :math:`E[\Phi(f)] = \Phi(m / \sqrt{1 + v})`."""
        p = self._yes(values, f_mean / np.sqrt(1.0 + f_var))
        return p, p - p**2 if include_noise else self._variance_of_mean(values, f_mean, f_var)

    def _variance_of_mean(self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray) -> np.ndarray:
        r""":math:`E[\Phi(f)^2] = \Phi(h) - 2 T(h, 1 / \sqrt{1 + 2v})` with Owen's T."""
        h = f_mean / np.sqrt(1.0 + f_var)
        square = ndtr(h) - 2.0 * owens_t(h, 1.0 / np.sqrt(1.0 + 2.0 * f_var))
        return self._share_of_signal(values) ** 2 * np.maximum(square - ndtr(h) ** 2, 0.0)

    def predict_log_density(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        """Log of the probability of the label."""
        h = f_mean / np.sqrt(1.0 + f_var)
        return np.log(self._yes(values, np.where(Y == 1, h, -h)))

    def decision(self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray) -> np.ndarray:
        r"""The probit score :math:`m / \sqrt{1 + v}`, [N]."""
        return (f_mean / np.sqrt(1.0 + f_var))[:, 0]


@dataclass(frozen=True)
class Logit(_Symmetric):
    r"""Two classes with a logit link, :math:`p(y=1|f) = \epsilon + (1-2\epsilon)/(1+e^{-f})`.

    The label 1 is "yes", any other value "no". ``values`` is ``()``, or ``(epsilon,)`` where that
    is None. The tails are heavier than those of the probit link: without wrong labels, an outlier
    costs as much as it is far on the wrong side, and not the square of that.

    Expectations are exact to 1e-10 for any variance: the logistic function is a mixture of normal
    distribution functions (:func:`skgpng.quadrature.logistic_nodes`), and with epsilon the log
    probability is a difference of two softplus functions,

    .. math:: \log p = \log\epsilon + \log(1 + e^{f + a}) - \log(1 + e^f), \quad
        a = \log\frac{1-\epsilon}{\epsilon}

    Parameters
    ----------
    epsilon : float or None, default=0.0
        Share of labels taken to be wrong, either way. None learns it.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import Logit
    >>> mean, _ = Logit().predict_mean_and_var((), np.array([[2.0]]), np.array([[0.0]]))
    >>> print(f"{float(mean[0, 0]):.6f}")
    0.880797
    """

    epsilon: float | None = 0.0

    @property
    def log_concave(self) -> bool:  # type: ignore[override]
        """Where no label is wrong."""
        return self.epsilon == 0.0

    def _expected(self, values: tuple, towards: Any, softplus: Any) -> Any:
        """Log probability of the label, of f towards it, or its expectation."""
        if self.epsilon == 0.0:
            return -softplus(-towards)
        epsilon = tf.convert_to_tensor(self._epsilon(values), towards.dtype)
        shift = tf.math.log1p(-epsilon) - tf.math.log(epsilon)
        return tf.math.log(epsilon) + softplus(towards + shift) - softplus(towards)

    def log_prob(self, values: tuple, F: Any, Y: Any, row: Any = None) -> Any:
        """log p(y=1|f) where Y is 1, log p(y=1|-f) elsewhere (the link is symmetric)."""
        return self._expected(values, tf.where(Y == 1, F, -F), tf.math.softplus)

    def variational_expectations(
        self, values: tuple, f_mean: Any, f_var: Any, Y: Any, row: Any = None
    ) -> Any:
        """Through expectations of the softplus."""
        towards = tf.where(Y == 1, f_mean, -tf.convert_to_tensor(f_mean))
        return self._expected(values, towards, lambda m: expected_softplus(m, f_var))

    def conditional_mean(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """Probability of "yes"."""
        return self._observed(values, expit(F))

    def predict_mean_and_var(
        self,
        values: tuple,
        f_mean: np.ndarray,
        f_var: np.ndarray,
        row: Any = None,
        include_noise: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probability of "yes", by :func:`skgpng.quadrature.log_expected_sigmoid`."""
        sigmoid = np.exp(log_expected_sigmoid(f_mean, f_var))
        p = self._observed(values, sigmoid)
        if include_noise:
            return p, p - p**2
        square = np.exp(
            numerical.log_expectation(
                lambda F: -2.0 * np.logaddexp(0.0, -F), *np.broadcast_arrays(f_mean, f_var)
            )
        )
        return p, self._share_of_signal(values) ** 2 * np.maximum(square - sigmoid**2, 0.0)

    def predict_log_density(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        """Log of the probability of the label."""
        f_mean = np.asarray(f_mean, float)
        log_p = log_expected_sigmoid(np.where(Y == 1, f_mean, -f_mean), f_var)
        if self.epsilon == 0.0:
            return log_p
        return np.log(self._observed(values, np.exp(log_p)))

    def decision(self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray) -> np.ndarray:
        """Log odds [N], as they would be without wrong labels."""
        odds = log_expected_sigmoid(f_mean, f_var) - log_expected_sigmoid(-f_mean, f_var)
        return odds[:, 0]
