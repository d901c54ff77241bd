r"""Gauss-Hermite quadrature: expectations of functions of Gaussian variables.

Nodes are fixed, so that nothing is sampled and predictions are deterministic.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc

from ._tensorflow import tf

__all__ = ["gauss_hermite", "gaussian_expectation", "sobol_normal"]


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
    nodes, weights = gauss_hermite(n_points)
    mean = tf.convert_to_tensor(mean)
    ones = (n_points,) + (1,) * mean.shape.rank
    z = tf.constant(nodes.reshape(ones), mean.dtype)
    w = tf.constant(weights.reshape(ones), mean.dtype)
    return tf.reduce_sum(w * function(mean + tf.sqrt(variance) * z), 0)


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
