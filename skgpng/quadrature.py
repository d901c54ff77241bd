r"""Expectations of functions of Gaussian variables, by quadrature or by series.

Nodes are fixed, so that nothing is sampled and predictions are deterministic.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import gammaln, log_ndtr, ndtri
from scipy.stats import kstwobign, qmc

from ._runtime import custom_gradient, tf

__all__ = [
    "expected_log_square",
    "expected_softplus",
    "gamma_nodes",
    "gauss_hermite",
    "gaussian_expectation",
    "log_expected_sigmoid",
    "logistic_nodes",
    "nodes_beside",
    "sobol_normal",
]

# Terms of the series for the Faddeeva function: errors of 1e-13 (24 terms: 1e-10, 40: 1e-14).
_N_TERMS = 32
# Nodes of a gamma variable leave out exp(-32) = 1e-14 of it at either end.
_GAMMA_TAIL = 32.0
# Standard deviations that make a normal variable logistic: below the least and above the greatest
# is less of them than 1e-23; those that training leaves out are less than 1e-16. Steps of their
# logarithm with which expectations of the softplus are exact to 1e-10 (0.15: 1e-9, 0.2: 4e-8).
_LOGISTIC_ENDS, _LOGISTIC_TRAINING, _LOGISTIC_STEP = (0.3, 38.0), 9.0, 0.12
_ROOT_HALF, _ROOT_1_2PI = float(np.sqrt(0.5)), float(np.sqrt(0.5 / np.pi))


def gauss_hermite(n_points: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Nodes and weights for a standard normal variable.

    :math:`E[g(z)] \approx \sum_h w_h g(z_h)` for :math:`z \sim N(0, 1)`; exact for
    polynomials up to degree ``2 * n_points - 1``.

    Parameters
    ----------
    n_points : int
        Number of nodes, H.

    Returns
    -------
    nodes : ndarray of shape (H,)
    weights : ndarray of shape (H,)
        Sum to one.

    Examples
    --------
    >>> from skgpng.quadrature import gauss_hermite
    >>> z, w = gauss_hermite(20)
    >>> print(round(float(w @ z**4), 12))
    3.0
    """
    x, w = np.polynomial.hermite.hermgauss(n_points)
    return np.sqrt(2.0) * x, w / np.sqrt(np.pi)


def gaussian_expectation(
    function: Callable[[Any], Any], mean: Any, variance: Any, n_points: int = 20
) -> Any:
    r"""Expectation of ``function(f)`` for independent :math:`f \sim N(mean, variance)`.

    Parameters
    ----------
    function : callable
        Maps an array of shape (H, ...) to one of the same shape, elementwise in ``...``.
    mean, variance : tensor of shape (...)
        Of each Gaussian; the variance, not the standard deviation.
    n_points : int, default=20
        Number of nodes, H.

    Returns
    -------
    tensor of shape (...)

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.quadrature import gaussian_expectation
    >>> value = gaussian_expectation(np.square, np.array([1.0]), np.array([3.0]))
    >>> print(np.round(value, 12))
    [4.]
    """
    mean = tf.convert_to_tensor(mean)
    z, w = nodes_beside(mean, n_points)
    return tf.reduce_sum(w * function(mean + tf.sqrt(variance) * z), 0)


def nodes_beside(mean: Any, n_points: int) -> tuple[Any, Any]:
    """Nodes and weights of :func:`gauss_hermite` on an axis before those of a tensor.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from skgpng.quadrature import nodes_beside
    >>> mean = tf.constant([[1.0], [2.0]])
    >>> z, w = nodes_beside(mean, 3)
    >>> print(z.shape, tf.reduce_sum(w * (mean + z) ** 2, 0).numpy().ravel().round(4))
    (3, 1, 1) [2. 5.]
    """
    shape = (n_points,) + (1,) * mean.shape.rank
    z, w = gauss_hermite(n_points)
    return tf.constant(z.reshape(shape), mean.dtype), tf.constant(w.reshape(shape), mean.dtype)


@functools.lru_cache(maxsize=64)
def sobol_normal(n_dimensions: int, n_points: int = 64) -> np.ndarray:
    """Fixed points that stand for a standard normal vector, all of one weight.

    A Sobol sequence through the normal quantile function, mirrored at zero and scaled, so that
    odd moments vanish and each coordinate has variance one exactly: expectations of linear
    functions and of sums of squares are exact. For several dimensions, where a product rule would
    need H to the power of them.

    Parameters
    ----------
    n_dimensions : int
        C.
    n_points : int, default=64
        Number of points, H; even.

    Returns
    -------
    ndarray of shape (H, C)

    Examples
    --------
    >>> from skgpng.quadrature import sobol_normal
    >>> z = sobol_normal(3)
    >>> print(z.shape, abs(z.mean()) < 1e-12, round(float((z**2).mean()), 12))
    (64, 3) True 1.0
    """
    uniform = qmc.Sobol(n_dimensions, scramble=True, rng=np.random.default_rng(0))
    half = ndtri(uniform.random(n_points // 2))
    half /= np.sqrt(np.mean(half**2, axis=0))
    return np.concatenate([half, -half])


# --- logarithms, where Gauss-Hermite nodes are too far apart ---------------------------------


@functools.lru_cache(maxsize=1)
def _faddeeva_series() -> tuple[float, np.ndarray]:
    r"""L and the coefficients of the polynomial :math:`P(Z)`, highest power first.

    Weideman (1994, eqs. 38 and following) writes the Faddeeva function in the upper half plane as
    :math:`w(u) = 2 p(Z) / (L - iu)^2 + \pi^{-1/2} / (L - iu)`, :math:`Z = (L + iu) / (L - iu)`.
    P is the antiderivative of p that is zero at :math:`Z = -1`, where u is infinite.
    """
    n = 2 * _N_TERMS
    L = np.sqrt(_N_TERMS / np.sqrt(2.0))
    t = L * np.tan(np.arange(1 - n, n) * np.pi / (2 * n))
    sampled = np.concatenate([[0.0], np.exp(-(t**2)) * (L**2 + t**2)])
    p = np.fft.fft(np.fft.fftshift(sampled)).real[1 : _N_TERMS + 1] / (2 * n)
    P = np.polyint(p[::-1])
    P[-1] -= np.polyval(P, -1.0)
    return float(L), P


def _with_derivatives(coefficients: np.ndarray, Z: Any) -> tuple[Any, Any, Any]:
    """Value and two derivatives of a polynomial, by Horner's rule."""
    value = tf.zeros_like(Z) + complex(coefficients[0])
    first, half_second = tf.zeros_like(Z), tf.zeros_like(Z)
    for c in coefficients[1:]:
        half_second = half_second * Z + first
        first = first * Z + value
        value = value * Z + complex(c)
    return value, first, 2.0 * half_second


def expected_log_square(offset: Any, width: Any, variance: Any) -> tuple[Any, Any, Any, Any]:
    r"""Expectation of :math:`\log(a^2 + (r - x)^2)` for :math:`x \sim N(0, v)`, and its gradient.

    With :math:`u = (r + ia) / \sqrt{2v}` its derivative in u is the real part of the Faddeeva
    function :math:`w(u)` times :math:`-2i\sqrt\pi`. Weideman's series for w is a polynomial in
    a rational function of u, so that it can be integrated: the expectation is

    .. math:: 2 \log|L\sqrt{2v} + a - ir| - (2\sqrt\pi / L)\,\mathrm{Re}\,P(Z)

    for any ratio of a to :math:`\sqrt v`, where nodes miss a logarithm's narrow well. Absolute
    error 1e-13; the derivatives are as good on their own scale.

    Parameters
    ----------
    offset, width, variance : tensors that broadcast against each other
        These are r, positive a and non-negative v.

    Returns
    -------
    value, in_offset, in_width, in_variance : tensors of their common shape
        The expectation and its derivatives.

    References
    ----------
    J. A. C. Weideman (1994). Computation of the complex error function. SIAM Journal on Numerical
    Analysis 31, 1497-1518.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.quadrature import expected_log_square
    >>> value, *_ = expected_log_square(np.array([2.0]), np.array([1.0]), np.array([0.0]))
    >>> print(np.round(np.exp(value), 12))
    [5.]
    """
    L, P = _faddeeva_series()
    root_pi = float(np.sqrt(np.pi))
    s = tf.sqrt(2.0 * tf.convert_to_tensor(variance))
    offset = offset + tf.zeros_like(s + width)
    q = tf.complex(L * s + width, -offset)
    inverse = 1.0 / q
    Z = tf.complex(L * s - width, offset) * inverse
    value, p, dp = _with_derivatives(P, Z)
    ratio = tf.cast(s, q.dtype) * inverse
    # E[1 / (r + ia - x)], and minus its derivative: finite for v = 0 too
    pole = tf.complex(tf.zeros_like(offset), -tf.ones_like(offset)) * (
        inverse * (1.0 + 2.0 * root_pi * ratio * p)
    )
    slope = inverse**2 * (1.0 + 4.0 * root_pi * ratio * (p + L * ratio * dp))
    value = 2.0 * tf.math.log(tf.abs(q)) - 2.0 * root_pi / L * tf.math.real(value)
    # the heat equation: the derivative in v is half the second one in r
    return value, 2.0 * tf.math.real(pole), -2.0 * tf.math.imag(pole), tf.math.real(slope)


def gamma_nodes(df: Any, reach: Any = 0.0, power: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    r"""Logarithms of nodes and weights for a gamma variable of mean 1 and variance 2 / df.

    :math:`E[g(\lambda)] \approx \sum_h w_h g(\lambda_h)`: the trapezoid rule in
    :math:`\log\lambda`, which converges exponentially. Such a :math:`\lambda` is the precision
    that makes a Gaussian variable Student-t.

    Parameters
    ----------
    df : array-like of shape (...)
        Degrees of freedom.
    reach : array-like that broadcasts against df, default=0
        How much further down the logarithms go: for functions g that are large there.
    power : float, default=0
        For functions g that behave as :math:`\lambda^{power}` near zero; above -df / 2.

    Returns
    -------
    log_nodes, log_weights : ndarray of shape (H, ...)
        As many as it takes for errors of 1e-12.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.quadrature import gamma_nodes
    >>> log_nodes, log_weights = gamma_nodes(4.0)
    >>> print(np.exp([2 * log_nodes + log_weights]).sum().round(9))
    1.5
    """
    df, reach = np.broadcast_arrays(np.asarray(df, dtype=float), reach)
    # log x - x + 1 is below -c for x = 1 + c + sqrt(2 c) and for log x = -c - sqrt(2 c)
    above, below = (2.0 * _GAMMA_TAIL / (df + 2.0 * k) for k in (0.0, power))
    high = np.log1p(above + np.sqrt(2.0 * above))
    low = -(reach + below + np.sqrt(2.0 * below))
    # steps of 0.3 to 0.8 standard deviations of log lambda, by the decay of the gamma function
    # along the imaginary axis
    n_steps = int(np.ceil(np.max((high - low) * np.sqrt(10.0 + 0.8 * df))))
    t = np.linspace(low, high, n_steps + 1)
    log_density = 0.5 * df * (t - np.exp(t) + np.log(0.5 * df)) - gammaln(0.5 * df)
    return t, log_density + np.log((high - low) / n_steps)


# --- the logistic function, as a mixture of normal distribution functions --------------------


@functools.lru_cache(maxsize=2)
def logistic_nodes(reach: float = _LOGISTIC_ENDS[1]) -> tuple[np.ndarray, np.ndarray]:
    r"""Standard deviations and weights of normal variables whose mixture is logistic.

    :math:`1 / (1 + e^{-x}) = \sum_h w_h \Phi(x / \tau_h)`: a logistic variable is normal with a
    random standard deviation, twice a Kolmogorov-Smirnov variable (Andrews & Mallows 1974;
    Stefanski 1991). By the trapezoid rule in :math:`\log\tau`, which converges exponentially.

    Parameters
    ----------
    reach : float, default=38
        The largest standard deviation.

    Returns
    -------
    tau, weights : ndarray of shape (H,)

    References
    ----------
    D. F. Andrews, C. L. Mallows (1974). Scale mixtures of normal distributions. Journal of the
    Royal Statistical Society B 36, 99-102.

    L. A. Stefanski (1991). A normal scale mixture representation of the logistic distribution.
    Statistics & Probability Letters 11, 69-70.

    Examples
    --------
    >>> from scipy.special import ndtr
    >>> from skgpng.quadrature import logistic_nodes
    >>> tau, w = logistic_nodes()
    >>> print(round(float(w @ ndtr(2.0 / tau)), 9))
    0.880797078
    """
    low = np.log(_LOGISTIC_ENDS[0])
    tau = np.exp(np.arange(low, np.log(reach) + _LOGISTIC_STEP, _LOGISTIC_STEP))
    return tau, _LOGISTIC_STEP * tau * 0.5 * kstwobign.pdf(0.5 * tau)


@custom_gradient
def expected_softplus(mean: Any, variance: Any) -> Any:
    r"""Expectation of :math:`\log(1 + e^f)` for :math:`f \sim N(m, v)`, for training.

    The softplus is the antiderivative of the logistic function, so that with
    :func:`logistic_nodes` it is a mixture too, and its expectation is closed:
    :math:`\sum_h w_h (m \Phi(m/s_h) + s_h \phi(m/s_h))`, :math:`s_h^2 = v + \tau_h^2`. Absolute
    error 1e-10 for any variance, where Gauss-Hermite nodes get too far apart.

    Parameters
    ----------
    mean, variance : tensor of shape (...)
        The variance may be zero.

    Returns
    -------
    tensor of shape (...)

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.quadrature import expected_softplus
    >>> value = expected_softplus(np.array([0.0]), np.array([0.0]))
    >>> print(np.round(np.exp(value), 9))
    [2.]
    """
    mean, variance = tf.convert_to_tensor(mean), tf.convert_to_tensor(variance)
    shape = (-1,) + (1,) * mean.shape.rank
    tau, w = (np.reshape(a, shape) for a in logistic_nodes(_LOGISTIC_TRAINING))
    s = tf.sqrt(variance + tf.constant(tau**2, mean.dtype))  # [H, ...]
    z = mean / s
    w = tf.constant(w, mean.dtype)
    density = w * _ROOT_1_2PI * tf.exp(-0.5 * z * z)
    in_mean = tf.reduce_sum(0.5 * w * tf.math.erfc(-_ROOT_HALF * z), 0)

    def gradient(upstream: Any) -> Any:
        return upstream * in_mean, upstream * (0.5 * tf.reduce_sum(density / s, 0))

    return mean * in_mean + tf.reduce_sum(density * s, 0), gradient


def log_expected_sigmoid(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    r"""Log of the expectation of :math:`1 / (1 + e^{-f})` for :math:`f \sim N(m, v)`; NumPy.

    By :func:`logistic_nodes`; where the mean is below minus the variance, by
    :math:`E[\sigma(f)] = e^{m + v/2} E[\sigma(-f - v)]`, so that digits are not lost far out.

    Parameters
    ----------
    mean, variance : array of shape (...)

    Returns
    -------
    ndarray of shape (...)

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.quadrature import log_expected_sigmoid
    >>> print(log_expected_sigmoid(np.array([0.0, -500.0]), np.array([1e4, 0.0])).round(6))
    [  -0.693147 -500.      ]
    """
    mean, variance = np.broadcast_arrays(np.asarray(mean, float), variance)
    far = mean + variance < 0.0
    at = np.where(far, -mean - variance, mean)
    tau, w = logistic_nodes()
    # in units of one in the middle: as none is below minus the variance, exponents are at most
    # half the largest tau^2
    unit = log_ndtr(at / np.sqrt(variance + 0.25 * tau[-1] ** 2))
    p = sum(  # one at a time: rows may be many
        w_h * np.exp(log_ndtr(at / np.sqrt(variance + tau_h**2)) - unit)
        for tau_h, w_h in zip(tau, w, strict=True)
    )
    return np.where(far, mean + 0.5 * variance, 0.0) + unit + np.log(p)
