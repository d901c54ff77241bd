"""Two classes and more, with a latent function each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import log_ndtr, softmax

from .._runtime import tf
from ..quadrature import nodes_beside, sobol_normal
from . import _numerical as numerical
from .labels import Mislabelled

__all__ = ["RobustMax", "Softmax"]

_ROOT_HALF, _LOG_2PI = float(np.sqrt(0.5)), float(np.log(2.0 * np.pi))
# Variance of f that stands for none: its root divides.
_LEAST_VARIANCE = 1e-200
# Gauss-Legendre nodes of an interval in which no factor goes through more than half its range.
_N_BETWEEN = 20


class _OneEach(Mislabelled):
    """One latent function for each class, and one column of class numbers."""

    n_classes: int
    mixes: ClassVar[bool] = True  # one class may be told by the others

    def n_latent(self, n_columns: int) -> int:
        """One for each class."""
        return self.n_classes

    def n_columns(self, n_latent: int) -> int:
        """One column of class numbers."""
        return 1

    def _is_own(self, Y: Any, like: Any) -> Any:
        """1 for each row's own class, else 0, [..., N, C]."""
        return tf.one_hot(tf.cast(Y[..., 0], tf.int32), self.n_classes, dtype=like.dtype)

    def _own(self, F: Any, Y: Any) -> Any:
        """Entry of each row's own class, [..., N, 1]."""
        return tf.reduce_sum(F * self._is_own(Y, F), -1, keepdims=True)

    def predict_log_density(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        """Log of the probability of the label, [N, 1]."""
        p = self.predict_mean_and_var(values, f_mean, f_var)[0]
        return np.log(np.take_along_axis(p, np.asarray(Y).astype(int), 1))


@dataclass(frozen=True)
class Softmax(_OneEach):
    r"""C classes, :math:`p(y=c|f) = e^{f_c} / \sum_k e^{f_k}` with one latent function each.

    Y [N, 1] holds class numbers 0 to C-1, as floats. Expectations are over C independent
    Gaussians, at fixed points (:func:`skgpng.quadrature.sobol_normal`): deterministic, and
    probabilities sum to one. ``values`` is ``()``, or ``(epsilon,)`` where that is None.

    Parameters
    ----------
    n_classes : int
    epsilon : float or None, default=0.0
        Share of labels taken to be wrong, whatever f is (:class:`Mislabelled`). None learns it.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import Softmax
    >>> p, _ = Softmax(4).predict_mean_and_var((), np.zeros((1, 4)), np.ones((1, 4)))
    >>> print(p.sum().round(12))
    1.0
    """

    n_classes: int
    epsilon: float | None = 0.0
    # All classes step at once, each as if the others stood still: a full step overshoots and
    # diverges (iris, digits: gamma = 1 does, 0.7 costs two nats, 0.2 to 0.5 agree).
    gamma: ClassVar[float] = 0.3

    @property
    def log_concave(self) -> bool:  # type: ignore[override]
        """Where no label is wrong."""
        return self.epsilon == 0.0

    def log_prob(self, values: tuple, F: Any, Y: Any, row: Any = None) -> Any:
        r""":math:`f_y - \log \sum_k e^{f_k}`, [..., N, 1], and what wrong labels make of it."""
        own = self._own(F, Y) - tf.reduce_logsumexp(F, -1, keepdims=True)
        return own if self.epsilon == 0.0 else tf.math.log(self._observed(values, tf.exp(own)))

    def variational_expectations(
        self, values: tuple, f_mean: Any, f_var: Any, Y: Any, row: Any = None
    ) -> Any:
        r""":math:`m_y - E[\log\sum_k e^{f_k}]`, [N, 1]; with wrong labels at the same points."""
        f_mean = tf.convert_to_tensor(f_mean)
        points = tf.constant(sobol_normal(self.n_classes)[:, None, :], f_mean.dtype)
        F = f_mean + tf.sqrt(f_var) * points  # [H, N, C]
        if self.epsilon != 0.0:
            return tf.reduce_mean(self.log_prob(values, F, Y), 0)
        normaliser = tf.reduce_logsumexp(F, -1, keepdims=True)
        return self._own(f_mean, Y) - tf.reduce_mean(normaliser, 0)

    def conditional_mean(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """Probability of each class."""
        return self._observed(values, softmax(F, -1))

    def sample(
        self, values: tuple, F: np.ndarray, rng: np.random.RandomState, row: Any = None
    ) -> np.ndarray:
        """Class numbers, [..., N, 1]: those of the largest F with Gumbel noise, some wrong."""
        largest = np.argmax(F + rng.gumbel(size=np.shape(F)), -1)[..., None]
        return self._with_errors(values, largest, rng)

    def predict_mean_and_var(
        self,
        values: tuple,
        f_mean: np.ndarray,
        f_var: np.ndarray,
        row: Any = None,
        include_noise: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probability of each class [N, C], and p (1 - p)."""
        points = sobol_normal(self.n_classes)[:, None, :]
        each = self._observed(values, softmax(f_mean + np.sqrt(f_var) * points, -1))  # [H, N, C]
        p = each.mean(0)
        return p, p - p**2 if include_noise else each.var(0)


@dataclass(frozen=True)
class RobustMax(_OneEach):
    r"""C classes, of which the one with the largest latent function is the label, but for errors.

    .. math:: p(y=c|f) = 1-\epsilon \;\text{ if } f_c = \max_k f_k, \quad
        \text{else}\quad \epsilon / (C-1)

    (Girolami & Rogers 2006; Hensman, Matthews, Filippone & Ghahramani 2015). How far f_c is above
    the others does not count, so that labels on the wrong side cost the same wherever they are.

    Expectations need the probability that one of C independent Gaussian variables is the largest,
    :math:`\int N(x; m_c, v_c) \prod_{j \ne c} \Phi((x - m_j) / s_j)\,dx`: while training by
    Gauss-Hermite quadrature, with an error below 1e-3 where standard deviations differ by a factor
    of 3 at most; in predictions by Gauss-Legendre quadrature between means and ends, to 1e-8.

    Y [N, 1] holds class numbers 0 to C-1, as floats. ``values`` is ``()``, or ``(epsilon,)`` where
    that is None.

    Parameters
    ----------
    n_classes : int
    epsilon : float or None, default=1e-3
        Share of wrong labels, above 0; None learns it.

    References
    ----------
    M. Girolami, S. Rogers (2006). Variational Bayesian multinomial probit regression with Gaussian
    process priors. Neural Computation 18, 1790-1817.

    J. Hensman, A. G. de G. Matthews, M. Filippone, Z. Ghahramani (2015). MCMC for variationally
    sparse Gaussian processes. Advances in Neural Information Processing Systems 28.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import RobustMax
    >>> p, _ = RobustMax(4, 0.03).predict_mean_and_var((), np.eye(1, 4), np.zeros((1, 4)))
    >>> print(p.round(6))
    [[0.97 0.01 0.01 0.01]]
    """

    n_classes: int
    epsilon: float | None = 1e-3
    n_points: ClassVar[int] = 32
    # The step from one class to another has no slope that would bound it.
    bounded_precision: ClassVar[bool] = False
    gamma: ClassVar[float] = 0.3

    def __post_init__(self) -> None:
        """Raise ValueError also for no errors at all, of which the density would be 0."""
        super().__post_init__()
        if self.epsilon == 0.0:
            raise ValueError(
                "epsilon of robust-max is 0, by which a single label on the wrong side makes the "
                "model impossible. Set a small one such as 1e-3, or None to learn it."
            )

    def log_prob(self, values: tuple, F: Any, Y: Any, row: Any = None) -> Any:
        """Of one of two values, [..., N, 1]; the first of those as large counts as the largest."""
        largest = tf.one_hot(tf.argmax(F, -1), self.n_classes, dtype=F.dtype)
        return tf.math.log(self._observed(values, self._own(largest, Y)))

    def variational_expectations(
        self, values: tuple, f_mean: Any, f_var: Any, Y: Any, row: Any = None
    ) -> Any:
        r""":math:`P \log(1-\epsilon) + (1-P) \log(\epsilon / (C-1))`, [N, 1]."""
        f_mean, f_var = tf.convert_to_tensor(f_mean), tf.convert_to_tensor(f_var)
        P = self._expected_largest(f_mean, tf.sqrt(tf.maximum(f_var, _LEAST_VARIANCE)), Y)
        one = tf.ones([], f_mean.dtype)
        right, wrong = (tf.math.log(self._observed(values, p * one)) for p in (1.0, 0.0))
        return wrong + (right - wrong) * P

    def _expected_largest(self, f_mean: Any, std: Any, Y: Any) -> Any:
        """Probability that each row's own class is the largest, [N, 1]."""
        z, w = nodes_beside(f_mean, self.n_points)  # [H, 1, 1]
        x = self._own(f_mean, Y) + self._own(std, Y) * z
        below = 0.5 * tf.math.erfc(-_ROOT_HALF * (x - f_mean) / std)  # [H, N, C]
        own = self._is_own(Y, f_mean)
        each = own + (1.0 - own) * below
        return tf.reduce_sum(w * tf.reduce_prod(each, -1, keepdims=True), 0)

    def conditional_mean(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """Probability of each class."""
        largest = np.argmax(F, -1)[..., None] == np.arange(self.n_classes)
        return self._observed(values, largest.astype(float))

    def sample(
        self, values: tuple, F: np.ndarray, rng: np.random.RandomState, row: Any = None
    ) -> np.ndarray:
        """Class numbers, [..., N, 1]: those of the largest F, some wrong."""
        return self._with_errors(values, np.argmax(F, -1)[..., None], rng)

    def predict_mean_and_var(
        self,
        values: tuple,
        f_mean: np.ndarray,
        f_var: np.ndarray,
        row: Any = None,
        include_noise: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probability of each class [N, C], and p (1 - p)."""
        P = _largest(np.asarray(f_mean, float), np.sqrt(f_var))
        p = self._observed(values, P)
        if include_noise:
            return p, p - p**2
        return p, self._share_of_signal(values) ** 2 * (P - P**2)


def _largest(f_mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    r"""Probability that each of C independent Gaussian variables is the largest, [N, C].

    With the hazard :math:`\phi_c / \Phi_c` all classes share the product over all, and nodes:
    :math:`\int (\phi_c / \Phi_c)(x) \prod_j \Phi_j(x)\,dx`. Between means and ends of all classes
    each factor changes slowly, or not at all; below the last lower end the product is 0.
    """
    least = np.sqrt(_LEAST_VARIANCE) + 1e-12 * np.abs(f_mean).max(1, keepdims=True)
    std = np.maximum(std, least)
    ends = np.concatenate([f_mean + d * numerical.REACH * std for d in (-1.0, 0.0, 1.0)], 1)
    edges = np.sort(np.maximum(ends, ends[:, : f_mean.shape[1]].max(1, keepdims=True)), 1)
    middles, halves = 0.5 * (edges[:, 1:] + edges[:, :-1]), 0.5 * np.diff(edges, axis=1)
    P = np.zeros(f_mean.shape)
    for t, w in zip(*np.polynomial.legendre.leggauss(_N_BETWEEN), strict=True):
        for middle, half in zip(middles.T, halves.T, strict=True):  # of each row
            z = ((middle + half * t)[:, None] - f_mean) / std
            below = log_ndtr(z)
            density = -0.5 * (z**2 + _LOG_2PI) - np.log(std)
            P += (w * half)[:, None] * np.exp(density - below + below.sum(1, keepdims=True))
    return P / P.sum(1, keepdims=True)
