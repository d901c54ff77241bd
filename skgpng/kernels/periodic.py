r"""Periodic kernels in several columns.

An angle :math:`2\pi x/p` is a point on the circle, and a product or distance of such points is
a covariance in any number of columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._runtime import tf
from .base import Kernel
from .features import Feature
from .stationary import Stationary, harmonics, squared_distance, squared_exponential

__all__ = ["Cosine", "Periodic"]


def _angles(X1: Any, X2: Any, period: Any) -> tuple[Any, Any]:
    r""":math:`2\pi x / p` of both, less the mean of X1, as large angles lose digits."""
    centre = tf.stop_gradient(tf.reduce_mean(X1, 0))
    one, two = (2.0 * np.pi * (X - centre) / period for X in (X1, X1 if X2 is None else X2))
    return one, two


class Periodic(Stationary, Kernel):
    r"""Functions that repeat themselves in each column.

    .. math:: k(x, x') = \exp\Big(-2 \sum_d \frac{\sin^2(\pi (x_d - x'_d) / p_d)}{\ell_d^2}\Big)

    In one column it is scikit-learn's ``ExpSineSquared``, which is no covariance in more; this is a
    product over the columns, and so is one. It is computed as the RBF of the points
    :math:`(\cos 2\pi x_d/p_d, \sin 2\pi x_d/p_d) / \ell_d` [1]_.

    Parameters
    ----------
    length_scale : float or array of shape (n_features,), default=1.0
        Without a unit: much above 1 for a function that is nearly a sine within the period.
    periodicity : float or array of shape (n_features,), default=1.0
        In the units of its column. Training finds a period only from a start close to it.
    length_scale_bounds, periodicity_bounds : pair of float, array of pairs or "fixed"

    References
    ----------
    .. [1] MacKay (1998), Introduction to Gaussian processes, section 5.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng import GaussianProcessRegressor
    >>> from skgpng.kernels import Periodic
    >>> X = np.random.RandomState(0).uniform(0, 3, (100, 2))
    >>> y = np.sin(2 * np.pi * X[:, 0]) * np.cos(2 * np.pi * X[:, 1] / 0.7)
    >>> model = GaussianProcessRegressor(Periodic([1.0, 1.0], [1.0, 0.7])).fit(X[:80], y[:80])
    >>> print(model.score(X[80:], y[80:]) > 0.99)
    True
    """

    def __init__(
        self,
        length_scale: Any = 1.0,
        periodicity: Any = 1.0,
        length_scale_bounds: Any = (1e-5, 1e5),
        periodicity_bounds: Any = (1e-5, 1e5),
    ) -> None:
        self.length_scale = length_scale
        self.periodicity = periodicity
        self.length_scale_bounds = length_scale_bounds
        self.periodicity_bounds = periodicity_bounds

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        one, two = (
            tf.concat([tf.cos(angle) / self.length_scale, tf.sin(angle) / self.length_scale], 1)
            for angle in _angles(X1, X2, self.periodicity)
        )
        return squared_exponential(squared_distance(one, None if X2 is None else two, 1.0))

    def features(self, rng: np.random.RandomState, n: int, n_columns: int) -> list | None:
        shape = n, n_columns
        return [Feature(1.0, harmonics(rng, shape, self.length_scale, self.periodicity))]


class Cosine(Stationary, Kernel):
    r"""A plane wave, :math:`k(x, x') = \cos\big(2\pi \sum_d (x_d - x'_d) / p_d\big)`.

    All its functions are sines of this period, of any phase: two dimensions, so that it stands in
    sums and products with others. With an ``RBF`` as the other factor the wave changes slowly.

    Parameters
    ----------
    periodicity : float or array of shape (n_features,), default=1.0
        Distance from crest to crest along each column, in its units. Training finds it only from a
        start close to it; see :meth:`SpectralMixture.from_data`.
    periodicity_bounds : pair of float, array of pairs or "fixed", default=(1e-5, 1e5)

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.kernels import Cosine
    >>> print(Cosine(4.0)(np.array([[0.0], [1.0], [2.0]])).round(6) + 0.0)
    [[ 1.  0. -1.]
     [ 0.  1.  0.]
     [-1.  0.  1.]]
    """

    def __init__(self, periodicity: Any = 1.0, periodicity_bounds: Any = (1e-5, 1e5)) -> None:
        self.periodicity = periodicity
        self.periodicity_bounds = periodicity_bounds

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        one, two = (tf.reduce_sum(angle, 1) for angle in _angles(X1, X2, self.periodicity))
        return tf.cos(one[:, None] - two[None, :])

    def features(self, rng: np.random.RandomState, n: int, n_columns: int) -> list | None:
        """One wave, which is all there is."""
        wave = np.broadcast_to(2.0 * np.pi / np.asarray(self.periodicity), (n, n_columns))
        return [Feature(1.0, wave)]
