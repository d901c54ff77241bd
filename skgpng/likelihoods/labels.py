"""Labels of two classes or more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import ndtr, owens_t, softmax

from .._tensorflow import custom_gradient, tf
from ..means import Mean, Zero
from ..quadrature import nodes_beside, sobol_normal
from .base import Likelihood

__all__ = ["Bernoulli", "Softmax", "for_labels"]

_ROOT_HALF, _ROOT_1_2PI = float(np.sqrt(0.5)), float(np.sqrt(0.5 / np.pi))
# Noise variance of labels of -1 and 1 where a regression stands for the classifier.
_LABEL_NOISE = 0.3


def for_labels(n_classes: int) -> Likelihood:
    """The likelihood of so many classes.

    Examples
    --------
    >>> from skgpng.likelihoods import for_labels
    >>> for_labels(2), for_labels(3)
    (Bernoulli(epsilon=0.001), Softmax(n_classes=3))
    """
    return Bernoulli() if n_classes == 2 else Softmax(n_classes)


class _Labels(Likelihood):
    """What labels have in common: no noise, no mean, and no scale."""

    support: ClassVar[str] = "labels"
    bounded_precision: ClassVar[bool] = True
    mean: ClassVar[Mean] = Zero()

    def as_regression(
        self, Y: np.ndarray, values: tuple, row: np.ndarray | None, spread: float
    ) -> tuple[np.ndarray, float, bool]:
        """-1 and 1 for each latent function, centred."""
        n_latent = self.n_latent(1)
        own = np.arange(n_latent) if n_latent > 1 else np.ones(1)
        targets = np.where(own == Y, 1.0, -1.0)
        return targets - targets.mean(0), _LABEL_NOISE, False


@custom_gradient
def _expected_log_probit(mean: Any, variance: Any, z: Any, w: Any, epsilon: Any) -> Any:
    r""":math:`E[\log p(f)]`, :math:`p = \epsilon + (1-2\epsilon)\Phi(f)`, at nodes z [H, ...].

    The gradient is the sum's own, :math:`\sum_h w_h p'/p` in the mean and
    :math:`\sum_h w_h z_h p'/p \,/\, 2\sqrt v` in the variance: a third less time than
    automatic differentiation takes for what is most of a classifier's elementwise work.
    """
    root = tf.sqrt(variance)
    f = mean + root * z
    p = epsilon + (0.5 - epsilon) * tf.math.erfc(-_ROOT_HALF * f)

    def gradient(upstream: Any) -> Any:
        slope = w * (tf.exp(-0.5 * tf.square(f)) / p)
        scaled = upstream * ((1.0 - 2.0 * epsilon) * _ROOT_1_2PI)
        in_mean, in_root = tf.reduce_sum(slope, 0), tf.reduce_sum(slope * z, 0)
        return scaled * in_mean, scaled * in_root / (2.0 * root), None, None, None

    return tf.reduce_sum(w * tf.math.log(p), 0), gradient


@dataclass(frozen=True)
class Bernoulli(_Labels):
    r"""Two classes with a probit link, :math:`p(y=1|f) = \epsilon + (1-2\epsilon)\Phi(f)`.

    The label 1 is "yes", any other value "no". No parameters: ``values`` is ``()``.

    Parameters
    ----------
    epsilon : float, default=1e-3
        Share of labels taken to be wrong, either way: bounds the cost of an outlier.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import Bernoulli
    >>> mean, _ = Bernoulli().predict_mean_and_var((), np.array([[0.0]]), np.array([[1.0]]))
    >>> float(mean[0, 0])
    0.5
    """

    epsilon: float = 1e-3
    # The probit link with epsilon is not log-concave: where classes are well apart, full steps go
    # back and forth between two states and never settle (moons with noise of 0.1: 54 nats lost;
    # 0.3 to 0.7 settle, in as many steps).
    gamma: ClassVar[float] = 0.5

    def _yes(self, F: np.ndarray) -> np.ndarray:
        return self.epsilon + (1.0 - 2.0 * self.epsilon) * ndtr(F)

    def log_prob(self, values: tuple, F: Any, Y: Any, row: Any = None) -> Any:
        """log p(y=1|f) where Y is 1, log p(y=1|-f) elsewhere (the link is symmetric)."""
        towards = tf.where(Y == 1, F, -F)
        return tf.math.log(
            self.epsilon
            + (1.0 - 2.0 * self.epsilon) * (0.5 * tf.math.erfc(-towards / np.sqrt(2.0)))
        )

    def variational_expectations(
        self, values: tuple, f_mean: Any, f_var: Any, Y: Any, row: Any = None
    ) -> Any:
        """By quadrature, with its gradient written out; the label "no" is "yes" at -f."""
        f_mean = tf.convert_to_tensor(f_mean)
        z, w = nodes_beside(f_mean, self.n_points)
        epsilon = tf.constant(self.epsilon, f_mean.dtype)
        towards = tf.where(Y == 1, f_mean, -f_mean)
        return _expected_log_probit(towards, f_var, z, w, epsilon)

    def conditional_mean(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """Probability of "yes"."""
        return self._yes(F)

    def conditional_variance(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """Variance p (1 - p)."""
        p = self._yes(F)
        return p - p**2

    def sample(
        self, values: tuple, F: np.ndarray, rng: np.random.RandomState, row: Any = None
    ) -> np.ndarray:
        """0 and 1."""
        return np.where(rng.uniform(size=np.shape(F)) < self._yes(F), 1.0, 0.0)

    def predict_mean_and_var(
        self,
        values: tuple,
        f_mean: np.ndarray,
        f_var: np.ndarray,
        row: Any = None,
        include_noise: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""Probability of "yes", from :math:`E[\Phi(f)] = \Phi(m / \sqrt{1 + v})`."""
        p = self._yes(f_mean / np.sqrt(1.0 + f_var))
        return p, p - p**2 if include_noise else self._variance_of_mean(f_mean, f_var)

    def _variance_of_mean(self, f_mean: np.ndarray, f_var: np.ndarray) -> np.ndarray:
        r""":math:`E[\Phi(f)^2] = \Phi(h) - 2 T(h, 1 / \sqrt{1 + 2v})` with Owen's T."""
        h = f_mean / np.sqrt(1.0 + f_var)
        square = ndtr(h) - 2.0 * owens_t(h, 1.0 / np.sqrt(1.0 + 2.0 * f_var))
        return (1.0 - 2.0 * self.epsilon) ** 2 * np.maximum(square - ndtr(h) ** 2, 0.0)

    def predict_log_density(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        """Log of the probability of the label."""
        h = f_mean / np.sqrt(1.0 + f_var)
        return np.log(self._yes(np.where(Y == 1, h, -h)))


@dataclass(frozen=True)
class Softmax(_Labels):
    r"""C classes, :math:`p(y=c|f) = e^{f_c} / \sum_k e^{f_k}` with one latent function each.

    Y [N, 1] holds class numbers 0 to C-1, as floats. Expectations are over C independent
    Gaussians, at fixed points (:func:`skgpng.quadrature.sobol_normal`): deterministic, and
    probabilities sum to one. No parameters: ``values`` is ``()``.

    Parameters
    ----------
    n_classes : int

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import Softmax
    >>> p, _ = Softmax(4).predict_mean_and_var((), np.zeros((1, 4)), np.ones((1, 4)))
    >>> print(p.sum().round(12))
    1.0
    """

    n_classes: int
    log_concave: ClassVar[bool] = True
    # All classes step at once, each as if the others stood still: a full step overshoots and
    # diverges (iris, digits: gamma = 1 does, 0.7 costs two nats, 0.2 to 0.5 agree).
    gamma: ClassVar[float] = 0.3

    def n_latent(self, n_columns: int) -> int:
        """One for each class."""
        return self.n_classes

    def n_columns(self, n_latent: int) -> int:
        """One column of class numbers."""
        return 1

    def _own(self, F: Any, Y: Any) -> Any:
        """Entry of each row's own class, [..., N, 1]."""
        return tf.reduce_sum(
            F * tf.one_hot(tf.cast(Y[..., 0], tf.int32), self.n_classes, dtype=F.dtype),
            -1,
            keepdims=True,
        )

    def log_prob(self, values: tuple, F: Any, Y: Any, row: Any = None) -> Any:
        r""":math:`f_y - \log \sum_k e^{f_k}`, [..., N, 1]."""
        return self._own(F, Y) - tf.reduce_logsumexp(F, -1, keepdims=True)

    def variational_expectations(
        self, values: tuple, f_mean: Any, f_var: Any, Y: Any, row: Any = None
    ) -> Any:
        r""":math:`m_y - E[\log\sum_k e^{f_k}]`, [N, 1]."""
        f_mean = tf.convert_to_tensor(f_mean)
        points = tf.constant(sobol_normal(self.n_classes)[:, None, :], f_mean.dtype)
        F = f_mean + tf.sqrt(f_var) * points  # [H, N, C]
        normaliser = tf.reduce_logsumexp(F, -1, keepdims=True)
        return self._own(f_mean, Y) - tf.reduce_mean(normaliser, 0)

    def conditional_mean(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """Probability of each class."""
        return softmax(F, -1)

    def conditional_variance(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """Variance p (1 - p) of each class's indicator."""
        p = softmax(F, -1)
        return p - p**2

    def sample(
        self, values: tuple, F: np.ndarray, rng: np.random.RandomState, row: Any = None
    ) -> np.ndarray:
        """Class numbers, [..., N, 1]: those of the largest F with Gumbel noise."""
        return np.argmax(F + rng.gumbel(size=np.shape(F)), -1)[..., None].astype(float)

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
        each = softmax(f_mean + np.sqrt(f_var) * points, -1)  # [H, N, C]
        p = each.mean(0)
        return p, p - p**2 if include_noise else each.var(0)

    def predict_log_density(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        """Log of the probability of the label, [N, 1]."""
        p = self.predict_mean_and_var(values, f_mean, f_var)[0]
        return np.log(np.take_along_axis(p, np.asarray(Y).astype(int), 1))
