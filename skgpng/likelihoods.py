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
from scipy.special import logsumexp, ndtr, ndtri, stdtrit

from ._tensorflow import custom_gradient, tf
from .quadrature import (
    expected_log_square,
    gamma_nodes,
    gaussian_expectation,
    nodes_beside,
    sobol_normal,
)

__all__ = ["Bernoulli", "ExpectedLogDensity", "Gaussian", "Likelihood", "Softmax", "StudentT"]

_LOG_2PI = float(np.log(2.0 * np.pi))
_LOG_PI = float(np.log(np.pi))
_ROOT_HALF, _ROOT_1_2PI = float(np.sqrt(0.5)), float(np.sqrt(0.5 / np.pi))
# Six or seven are enough from the far tail to close to the mean.
_NEWTON_STEPS = 100


class ExpectedLogDensity(Protocol):
    """What the ELBO asks of a likelihood."""

    def variational_expectations(
        self, values: tuple, f_mean: Any, f_var: Any, Y: Any, row: Any = None
    ) -> Any:
        """See :meth:`Likelihood.variational_expectations`."""


class Likelihood(abc.ABC):
    """p(y | f) for independent entries of Y given the same entries of F.

    Attributes
    ----------
    parameter_names : tuple of str
        Names of the positive parameters, in the order of ``values``.
    n_points : int
        Nodes of the Gauss-Hermite quadrature.
    log_concave : bool
        Whether log p(y | f) is concave in f, so that the expected one never asks for more
        variance and every natural-gradient step keeps q's precision positive.
    bounded_precision : bool
        Whether the second derivative of log p(y | f) in f is of size 1 at most, whatever the
        parameters: no row is known more precisely than that.
    """

    parameter_names: ClassVar[tuple[str, ...]] = ()
    n_points: ClassVar[int] = 20
    log_concave: ClassVar[bool] = False
    bounded_precision: ClassVar[bool] = False
    conjugate: ClassVar[bool] = False
    row_names: ClassVar[tuple[str, ...]] = ()

    def noise_of_rows(self, values: tuple, row: Any) -> Any:
        """Noise variance of each row, [N], of a conjugate likelihood."""
        raise NotImplementedError(type(self).__name__)

    def n_columns(self, n_latent: int) -> int:
        """Columns of Y for so many latent functions: one each."""
        return n_latent

    def with_row_noise(self, values: tuple, row_noise: Any) -> tuple:
        """``values`` with a known noise variance [N] of each row on top; as they are without one.

        Only a likelihood whose noise is Gaussian can take more of it without becoming another.
        """
        return values

    @abc.abstractmethod
    def log_prob(self, values: tuple, F: Any, Y: Any) -> Any:
        """Log density log p(Y | F), elementwise over arrays of one shape."""

    @abc.abstractmethod
    def conditional_mean(self, values: tuple, F: Any) -> Any:
        """Mean of y given f, elementwise."""

    @abc.abstractmethod
    def conditional_variance(self, values: tuple, F: Any) -> Any:
        """Variance of y given f, elementwise."""

    def variational_expectations(
        self, values: tuple, f_mean: Any, f_var: Any, Y: Any, row: Any = None
    ) -> Any:
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
        z, w = nodes_beside(f_mean, self.n_points)
        log_prob = self.log_prob(values, f_mean + tf.sqrt(f_var) * z, Y)  # [H, N, P]
        return tf.reduce_logsumexp(tf.math.log(w) + log_prob, 0)


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
    log_concave: ClassVar[bool] = True
    conjugate: ClassVar[bool] = True
    row_names: ClassVar[tuple[str, ...]] = ("noise_variance",)

    def with_row_noise(self, values: tuple, row_noise: Any) -> tuple:
        """The variance of each row, [N, 1]."""
        return (values[0] + row_noise[:, None],)

    def noise_of_rows(self, values: tuple, row: Any) -> Any:
        """Noise variance of each row, [N]."""
        return values[0] + row[:, 0]

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

    def variational_expectations(
        self, values: tuple, f_mean: Any, f_var: Any, Y: Any, row: Any = None
    ) -> Any:
        r""":math:`\log N(y; f_{mean}, \sigma^2) - f_{var} / 2\sigma^2`."""
        variance = tf.convert_to_tensor(values[0], Y.dtype)
        variance = variance if row is None else variance + row
        return _expected_gaussian_log_density(variance, f_mean, f_var, tf.convert_to_tensor(Y))

    def predict_mean_and_var(self, values: tuple, f_mean: Any, f_var: Any) -> tuple[Any, Any]:
        """Mean f_mean and variance f_var plus the noise variance."""
        return f_mean, f_var + values[0]

    def predict_log_density(self, values: tuple, f_mean: Any, f_var: Any, Y: Any) -> Any:
        r""":math:`\log N(y; f_{mean}, f_{var} + \sigma^2)`."""
        return self.log_prob((values[0] + f_var,), f_mean, Y)


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
        g_scale = _sum_to_shape(g_width * root, scale)
        return g_scale, _sum_to_shape(g_df, df), g_mean, g_var, -g_mean

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

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import StudentT
    >>> zero = np.zeros((1, 1))
    >>> value = StudentT().log_prob((1.0, 3.0), zero, zero)
    >>> print(f"{float(value[0, 0]):.12f}")
    -1.000888849624
    """

    parameter_names: ClassVar[tuple[str, ...]] = ("scale", "df")

    def log_prob(self, values: tuple, F: Any, Y: Any) -> Any:
        r"""Log density; :math:`\log(1 + (y-f)^2 / \nu s^2)` is exact near zero."""
        # plain floats would become float32 tensors
        scale, df = (tf.convert_to_tensor(v, Y.dtype) for v in values)
        a, b = 0.5 * (df + 1.0), 0.5 * df
        constant = tf.math.lgamma(a) - tf.math.lgamma(b) - 0.5 * (_LOG_PI + tf.math.log(df))
        z = (Y - F) / scale
        return constant - tf.math.log(scale) - a * tf.math.log1p(z**2 / df)

    def conditional_mean(self, values: tuple, F: Any) -> Any:
        """F itself; the centre of the density where df is 1 or less and there is no mean."""
        return F

    def conditional_variance(self, values: tuple, F: Any) -> Any:
        r""":math:`s^2 \nu / (\nu - 2)`; infinite where df is 2 or less."""
        return _student_t_variance(values) * np.ones(np.shape(F))

    def variational_expectations(
        self, values: tuple, f_mean: Any, f_var: Any, Y: Any, row: Any = None
    ) -> Any:
        r""":math:`E[\log p(y|f)]` through :math:`E[\log(\nu s^2 + (y-f)^2)]`."""
        Y = tf.convert_to_tensor(Y)
        scale, df = (tf.convert_to_tensor(v, Y.dtype) for v in values)
        return _expected_student_t_log_density(scale, df, f_mean, f_var, Y)

    def predict_mean_and_var(self, values: tuple, f_mean: Any, f_var: Any) -> tuple[Any, Any]:
        """Mean f_mean and variance f_var plus that of the noise, which may be infinite."""
        return f_mean, f_var + _student_t_variance(values)

    def predict_log_density(self, values: tuple, f_mean: Any, f_var: Any, Y: Any) -> Any:
        """Log predictive density, as exact in the tails as in the middle; an ndarray."""
        scale, df = map(np.asarray, values)
        r, v = np.asarray(Y) - np.asarray(f_mean), np.asarray(f_var)
        # far out the density comes from small lambda: the largest terms are near
        # (df + 1) / (df + (r / scale)^2)
        reach = np.log1p((r / scale) ** 2 / df)
        log_nodes, log_weights = gamma_nodes(df, reach, power=0.5)
        variance = v + scale**2 * np.exp(-log_nodes)
        return logsumexp(log_weights - 0.5 * (_LOG_2PI + np.log(variance) + r**2 / variance), 0)

    def predict_quantiles(self, values: tuple, f_mean: Any, f_var: Any, levels: Any) -> Any:
        """Quantiles of y where f ~ N(f_mean, f_var).

        Parameters
        ----------
        values : tuple of float
        f_mean, f_var : array of shape (N, P)
        levels : sequence of float in (0, 1), of length Q

        Returns
        -------
        ndarray of shape (N, P, Q)
            To about ten digits of their distance from the mean.
        """
        scale, df = map(float, values)
        levels = np.asarray(levels, dtype=float)
        tails = np.minimum(levels, 1.0 - levels)
        sizes = {p: _upper_quantile(scale, df, np.asarray(f_var), p) for p in set(tails)}
        distance = np.stack([sizes[p] for p in tails], -1)
        return np.asarray(f_mean)[..., None] + np.sign(levels - 0.5) * distance

    def predict_crps(self, values: tuple, f_mean: Any, f_var: Any, Y: Any) -> Any:
        r"""Continuous ranked probability score of y where f ~ N(f_mean, f_var), elementwise.

        :math:`E|x - y| - \tfrac12 E|x - x'|` for independent x and x' from the predictive
        distribution (Gneiting & Raftery 2007, eq. 21), both closed for a mixture of Gaussians;
        to about nine digits. df must be above 1.

        Parameters
        ----------
        values : tuple of float
        f_mean, f_var, Y : array of shape (N, P)

        Returns
        -------
        ndarray of shape (N, P)
        """
        scale, df = map(float, values)
        log_nodes, log_weights = gamma_nodes(df, power=-0.5)
        weights, noise = np.exp(log_weights), scale**2 * np.exp(-log_nodes)
        r, v = (np.asarray(Y) - np.asarray(f_mean))[..., None], np.asarray(f_var)[..., None]
        std = np.sqrt(v + noise)
        z = r / std
        to_y = 2.0 * std * np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi) + r * (2.0 * ndtr(z) - 1.0)
        spread = sum(  # a row of the pairs at a time
            w * (np.sqrt(2.0 * v + n + noise) @ weights)
            for w, n in zip(weights, noise, strict=True)
        )
        return to_y @ weights - spread / np.sqrt(2.0 * np.pi)


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
    raise ArithmeticError(f"No quantile {p} of a Student-t of scale {scale} and df {df} found.")


def normal_cdf(x: Any) -> Any:
    """Standard normal distribution function."""
    return 0.5 * tf.math.erfc(-x / np.sqrt(2.0))


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
    bounded_precision: ClassVar[bool] = True

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

    def variational_expectations(
        self, values: tuple, f_mean: Any, f_var: Any, Y: Any, row: Any = None
    ) -> Any:
        """By quadrature, with its gradient written out; the label "no" is "yes" at -f."""
        f_mean = tf.convert_to_tensor(f_mean)
        z, w = nodes_beside(f_mean, self.n_points)
        epsilon = tf.constant(self.epsilon, f_mean.dtype)
        towards = tf.where(Y == 1, f_mean, -f_mean)
        return _expected_log_probit(towards, f_var, z, w, epsilon)

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
    log_concave: ClassVar[bool] = True
    bounded_precision: ClassVar[bool] = True

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

    def variational_expectations(
        self, values: tuple, f_mean: Any, f_var: Any, Y: Any, row: Any = None
    ) -> Any:
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
