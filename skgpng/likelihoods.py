r"""Likelihoods p(y | f), row by row.

A likelihood object holds structure only and is hashable; the values of its parameters are
handed to each method as a tuple of tensors, ``values``. The base class computes every Gaussian
expectation by Gauss-Hermite quadrature; closed forms override it.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from ._tensorflow import custom_gradient, tf
from .quadrature import gauss_hermite, gaussian_expectation, sobol_normal

__all__ = ["Bernoulli", "ExpectedLogDensity", "Gaussian", "Likelihood", "Softmax"]

_LOG_2PI = float(np.log(2.0 * np.pi))


class ExpectedLogDensity(Protocol):
    """What the ELBO asks of a likelihood."""

    def variational_expectations(self, values: tuple, f_mean: Any, f_var: Any, Y: Any) -> Any:
        """See :meth:`Likelihood.variational_expectations`."""


class Likelihood(abc.ABC):
    """p(y | f) for independent entries of Y given the same entries of F.

    Attributes
    ----------
    parameter_names : tuple of str
        Names of the positive parameters, in the order of ``values``.
    n_points : int
        Nodes of the Gauss-Hermite quadrature.
    """

    parameter_names: ClassVar[tuple[str, ...]] = ()
    n_points: ClassVar[int] = 20

    def n_columns(self, n_latent: int) -> int:
        """Columns of Y for so many latent functions: one each."""
        return n_latent

    @abc.abstractmethod
    def log_prob(self, values: tuple, F: Any, Y: Any) -> Any:
        """Log density log p(Y | F), elementwise over arrays of one shape."""

    @abc.abstractmethod
    def conditional_mean(self, values: tuple, F: Any) -> Any:
        """Mean of y given f, elementwise."""

    @abc.abstractmethod
    def conditional_variance(self, values: tuple, F: Any) -> Any:
        """Variance of y given f, elementwise."""

    def variational_expectations(self, values: tuple, f_mean: Any, f_var: Any, Y: Any) -> Any:
        """Expected log density E[log p(Y | f)], f ~ N(f_mean, f_var), elementwise.

        Parameters
        ----------
        values : tuple of tensors
            Parameters of the likelihood.
        f_mean, f_var : tensor of shape (N, L)
            Mean and variance of the latent functions.
        Y : tensor of shape (N, P)

        Returns
        -------
        tensor of shape (N, P)
        """
        return gaussian_expectation(
            lambda F: self.log_prob(values, F, Y), f_mean, f_var, self.n_points
        )

    def predict_mean_and_var(self, values: tuple, f_mean: Any, f_var: Any) -> tuple[Any, Any]:
        """Mean and variance of y where f ~ N(f_mean, f_var); total variance."""

        def moment(function: Any) -> Any:
            return gaussian_expectation(function, f_mean, f_var, self.n_points)

        y_mean = moment(lambda F: self.conditional_mean(values, F))
        second = moment(
            lambda F: self.conditional_variance(values, F) + self.conditional_mean(values, F) ** 2
        )
        return y_mean, second - y_mean**2

    def predict_log_density(self, values: tuple, f_mean: Any, f_var: Any, Y: Any) -> Any:
        """Log predictive density log E[p(Y | f)], f ~ N(f_mean, f_var), elementwise."""
        f_mean = tf.convert_to_tensor(f_mean)
        nodes, weights = gauss_hermite(self.n_points)
        shape = (self.n_points,) + (1,) * f_mean.shape.rank
        z = tf.constant(nodes.reshape(shape), f_mean.dtype)
        log_w = tf.constant(np.log(weights).reshape(shape), f_mean.dtype)
        log_prob = self.log_prob(values, f_mean + tf.sqrt(f_var) * z, Y)  # [H, N, P]
        return tf.reduce_logsumexp(log_w + log_prob, 0)


def _sum_to_shape(gradient: Any, like: Any) -> Any:
    """Sum over the axes along which ``like`` was broadcast."""
    missing = gradient.shape.rank - like.shape.rank
    gradient = tf.reduce_sum(gradient, list(range(missing))) if missing else gradient
    stretched = [k for k, size in enumerate(like.shape) if size == 1 != gradient.shape[k]]
    return tf.reduce_sum(gradient, stretched, keepdims=True) if stretched else gradient


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
        return _sum_to_shape(g_variance, variance), g_mean, -0.5 * weighted, -g_mean

    return value, gradient


@dataclass(frozen=True)
class Gaussian(Likelihood):
    r""":math:`p(y|f) = N(y; f, \sigma^2)`; ``values`` is ``(variance,)``.

    The variance may be one number or an array that broadcasts against Y (one per row).

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import Gaussian
    >>> zero = np.zeros((1, 1))
    >>> float(Gaussian().log_prob((1.0,), zero, zero)[0, 0])
    -0.9189385332046727
    """

    parameter_names: ClassVar[tuple[str, ...]] = ("variance",)

    def log_prob(self, values: tuple, F: Any, Y: Any) -> Any:
        r""":math:`-\tfrac12 \log 2\pi\sigma^2 - (y-f)^2 / 2\sigma^2`."""
        # a plain float would become a float32 tensor
        variance = tf.convert_to_tensor(values[0], Y.dtype)
        return -0.5 * (_LOG_2PI + tf.math.log(variance) + (Y - F) ** 2 / variance)

    def conditional_mean(self, values: tuple, F: Any) -> Any:
        """F itself."""
        return F

    def conditional_variance(self, values: tuple, F: Any) -> Any:
        """The noise variance."""
        return values[0] * tf.ones_like(F)

    def variational_expectations(self, values: tuple, f_mean: Any, f_var: Any, Y: Any) -> Any:
        r""":math:`\log N(y; f_{mean}, \sigma^2) - f_{var} / 2\sigma^2`."""
        variance = tf.convert_to_tensor(values[0], Y.dtype)
        return _expected_gaussian_log_density(variance, f_mean, f_var, tf.convert_to_tensor(Y))

    def predict_mean_and_var(self, values: tuple, f_mean: Any, f_var: Any) -> tuple[Any, Any]:
        """Mean f_mean and variance f_var plus the noise variance."""
        return f_mean, f_var + values[0]

    def predict_log_density(self, values: tuple, f_mean: Any, f_var: Any, Y: Any) -> Any:
        r""":math:`\log N(y; f_{mean}, f_{var} + \sigma^2)`."""
        return self.log_prob((values[0] + f_var,), f_mean, Y)


def normal_cdf(x: Any) -> Any:
    """Standard normal distribution function."""
    return 0.5 * tf.math.erfc(-x / np.sqrt(2.0))


@dataclass(frozen=True)
class Bernoulli(Likelihood):
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

    def _yes(self, F: Any) -> Any:
        return self.epsilon + (1.0 - 2.0 * self.epsilon) * normal_cdf(F)

    def log_prob(self, values: tuple, F: Any, Y: Any) -> Any:
        """log p(y=1|f) where Y is 1, log p(y=1|-f) elsewhere (the link is symmetric)."""
        return tf.math.log(self._yes(tf.where(Y == 1, F, -F)))

    def conditional_mean(self, values: tuple, F: Any) -> Any:
        """Probability of "yes"."""
        return self._yes(F)

    def conditional_variance(self, values: tuple, F: Any) -> Any:
        """Variance p (1 - p)."""
        p = self._yes(F)
        return p - p**2

    def predict_mean_and_var(self, values: tuple, f_mean: Any, f_var: Any) -> tuple[Any, Any]:
        r"""Probability of "yes", from :math:`E[\Phi(f)] = \Phi(m / \sqrt{1 + v})`."""
        p = self._yes(f_mean / tf.sqrt(1.0 + f_var))
        return p, p - p**2

    def predict_log_density(self, values: tuple, f_mean: Any, f_var: Any, Y: Any) -> Any:
        """Log of the probability of the label."""
        return self.log_prob(values, f_mean / tf.sqrt(1.0 + f_var), Y)


@dataclass(frozen=True)
class Softmax(Likelihood):
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
    >>> print(p.numpy().sum().round(12))
    1.0
    """

    n_classes: int

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

    def _at_points(self, f_mean: Any, f_var: Any) -> Any:
        """Values of the latent functions at the fixed points, [H, N, C]."""
        points = tf.constant(sobol_normal(self.n_classes)[:, None, :], f_mean.dtype)
        return f_mean + tf.sqrt(f_var) * points

    def log_prob(self, values: tuple, F: Any, Y: Any) -> Any:
        r""":math:`f_y - \log \sum_k e^{f_k}`, [..., N, 1]."""
        return self._own(F, Y) - tf.reduce_logsumexp(F, -1, keepdims=True)

    def conditional_mean(self, values: tuple, F: Any) -> Any:
        """Probability of each class."""
        return tf.nn.softmax(F)

    def conditional_variance(self, values: tuple, F: Any) -> Any:
        """Variance p (1 - p) of each class's indicator."""
        p = tf.nn.softmax(F)
        return p - p**2

    def variational_expectations(self, values: tuple, f_mean: Any, f_var: Any, Y: Any) -> Any:
        r""":math:`m_y - E[\log\sum_k e^{f_k}]`, [N, 1]."""
        f_mean = tf.convert_to_tensor(f_mean)
        normaliser = tf.reduce_logsumexp(self._at_points(f_mean, f_var), -1, keepdims=True)
        return self._own(f_mean, Y) - tf.reduce_mean(normaliser, 0)

    def predict_mean_and_var(self, values: tuple, f_mean: Any, f_var: Any) -> tuple[Any, Any]:
        """Probability of each class [N, C], and p (1 - p)."""
        f_mean = tf.convert_to_tensor(f_mean)
        p = tf.reduce_mean(tf.nn.softmax(self._at_points(f_mean, f_var)), 0)
        return p, p - p**2

    def predict_log_density(self, values: tuple, f_mean: Any, f_var: Any, Y: Any) -> Any:
        """Log of the probability of the label, [N, 1]."""
        return tf.math.log(self._own(self.predict_mean_and_var(values, f_mean, f_var)[0], Y))
