r"""Gauss-Hermite quadrature: expectations of functions of Gaussian variables.

Nodes are fixed, so that nothing is sampled and predictions are deterministic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ._tensorflow import tf

__all__ = ["gauss_hermite", "gaussian_expectation"]


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
