"""A kernel that learns its spectrum: a mixture of waves, each of which fades."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.signal import lombscargle

from .._runtime import tf
from .base import Kernel
from .features import Feature
from .hyperparameters import check_shape

__all__ = ["SpectralMixture"]

# A spectrum is computed from no more rows, at no more frequencies.
_MAX_ROWS, _MAX_FREQUENCIES = 2000, 4000
# Frequencies between two that n rows tell apart: a peak is found to this share of its width.
_OVERSAMPLING = 4


class SpectralMixture(Kernel):
    r"""Waves of several frequencies, each of which fades with the distance.

    .. math::
        k(x, x') = \sum_q w_q \prod_d \exp\big(-2\pi^2 (x_d - x'_d)^2 v_{qd}^2\big)
                   \cos\big(2\pi (x_d - x'_d) \mu_{qd}\big)

    The spectral density is a mixture of Q normal densities, with which any stationary kernel can be
    approached [1]_. Patterns are found, and continued, that nobody wrote into the kernel. The
    optimum that training ends in depends on the start: take it from :meth:`from_data`. Memory is
    that of Q times D matrices of other kernels.

    Parameters
    ----------
    weights : array of shape (n_components,)
        Variance :math:`w_q` of each component.
    means : array of shape (n_components, n_features)
        Frequencies :math:`\mu_{qd}`, in cycles by the unit of the column.
    scales : array of shape (n_components, n_features)
        Their standard deviations :math:`v_{qd}`: the wave fades over about
        :math:`1 / (2\pi v_{qd})`.
    weights_bounds, means_bounds, scales_bounds : pair of float, array of pairs or "fixed"

    References
    ----------
    .. [1] Wilson & Adams (2013), Gaussian process kernels for pattern discovery and extrapolation,
       ICML, eq. 12.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng import GaussianProcessRegressor
    >>> from skgpng.kernels import SpectralMixture
    >>> X = np.linspace(0, 10, 150)[:, None]
    >>> y = np.sin(2 * np.pi * X[:, 0]) + 0.5 * np.sin(2 * np.pi * 1.7 * X[:, 0])
    >>> y += 0.1 * np.random.RandomState(0).randn(150)
    >>> start = SpectralMixture.from_data(X[:100], y[:100], n_components=2)
    >>> print(start.means.ravel().round(1))
    [1.  1.7]
    >>> model = GaussianProcessRegressor(start).fit(X[:100], y[:100])
    >>> print(model.score(X[100:], y[100:]) > 0.9)
    True
    """

    shaped = ("weights", "means", "scales")

    def __init__(
        self,
        weights: Any,
        means: Any,
        scales: Any,
        weights_bounds: Any = (1e-5, 1e5),
        means_bounds: Any = (1e-5, 1e5),
        scales_bounds: Any = (1e-5, 1e5),
    ) -> None:
        self.weights = weights
        self.means = means
        self.scales = scales
        self.weights_bounds = weights_bounds
        self.means_bounds = means_bounds
        self.scales_bounds = scales_bounds

    @classmethod
    def from_data(cls, X: Any, y: Any, n_components: int) -> SpectralMixture:
        """A kernel to begin with, by the largest waves in y along each column.

        One after the other the wave that explains most of what is left of y is taken off: the
        highest peak of the Lomb-Scargle periodogram. The columns are looked at one by one. The
        kernel has the variance 1: multiply it by that of y where y is not scaled.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            At least four rows, in the units of ``fit``. Of more than 2000 rows 2000 are drawn,
            always the same.
        y : array-like of shape (n_samples,)
        n_components : int

        Returns
        -------
        SpectralMixture

        Raises
        ------
        ValueError
            Where X and y do not fit together, have other than finite numbers or too few rows, or
            where a column or y is constant.
        """
        X, y = np.asarray(X, float), np.asarray(y, float)
        _check_data(X, y, n_components)
        if len(X) > _MAX_ROWS:
            some = np.random.RandomState(0).choice(len(X), _MAX_ROWS, replace=False)
            X, y = X[some], y[some]
        power, means = zip(*(_largest_waves(x, y - y.mean(), n_components) for x in X.T))
        weights = np.mean(power, 0) + 1e-3 * np.mean(power)
        # to begin with, each is as sharp as the length of the data can tell
        scales = np.tile(0.25 / np.ptp(X, axis=0), (n_components, 1))
        return cls(weights / weights.sum(), np.stack(means, 1), scales, **_wide(means, scales))

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        X2 = X1 if X2 is None else X2
        apart = 2.0 * np.pi * (X1[None, :, None, :] - X2[None, None, :, :])  # [1, N1, N2, D]
        means, scales = (v[:, None, None, :] for v in (self.means, self.scales))
        fading = tf.exp(-0.5 * tf.reduce_sum((apart * scales) ** 2, -1))  # [Q, N1, N2]
        waves = tf.reduce_prod(tf.cos(apart * means), -1)
        return tf.tensordot(tf.cast(self.weights, X1.dtype), fading * waves, 1)

    def features(self, rng: np.random.RandomState, n: int, n_columns: int) -> list | None:
        """Normal frequencies about both signs of the mean in each column."""
        found = []
        for weight, mean, scale in zip(self.weights, self.means, self.scales, strict=True):
            sign = rng.choice([-1.0, 1.0], (n, n_columns))
            waves = sign * mean + scale * rng.standard_normal((n, n_columns))
            found.append(Feature(float(weight), 2.0 * np.pi * waves))
        return found

    def diagonal(self, X: Any) -> Any:
        return tf.fill(tf.shape(X)[:1], tf.reduce_sum(tf.cast(self.weights, X.dtype)))

    def is_stationary(self) -> bool:
        return True

    def check(self, n_columns: int) -> None:
        n = np.size(self.weights)
        check_shape("weights", self.weights, (n,))
        for name in ("means", "scales"):
            check_shape(name, getattr(self, name), (n, n_columns))


# --- a start ---------------------------------------------------------------------------------


def _check_data(X: np.ndarray, y: np.ndarray, n_components: int) -> None:
    if X.ndim != 2 or y.shape != X.shape[:1] or len(X) < 4 or n_components < 1:
        raise ValueError(
            "from_data takes X [n_samples, n_features] of at least four rows, y [n_samples] and at "
            f"least one component, got the shapes {X.shape} and {y.shape}, and {n_components}."
        )
    if not (np.isfinite(X).all() and np.isfinite(y).all()):
        raise ValueError("X and y must be finite.")
    if np.ptp(y) == 0 or np.any(np.ptp(X, axis=0) == 0):
        raise ValueError("A column of X, or y, is constant: it has no spectrum. Leave it out.")


def _largest_waves(x: np.ndarray, y: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Power and frequency of the waves in y along one column, the largest first."""
    length, n_places = np.ptp(x), len(np.unique(x))
    # from half a cycle in all to two places a cycle, where places are evenly spaced
    highest = 0.5 * (n_places - 1) / length
    count = min(_OVERSAMPLING * n_places, _MAX_FREQUENCIES)
    frequencies = np.linspace(min(0.5 / length, highest), highest, count)
    powers, found = np.empty(n), np.empty(n)
    for q in range(n):
        spectrum = lombscargle(x, y, 2.0 * np.pi * frequencies)
        found[q] = frequencies[np.argmax(spectrum)]
        angle = 2.0 * np.pi * found[q] * x
        waves = np.column_stack([np.cos(angle), np.sin(angle), np.ones_like(x)])
        fitted = waves @ np.linalg.lstsq(waves, y)[0]
        powers[q], y = np.var(fitted), y - fitted
    return powers, found


def _wide(means: Any, scales: np.ndarray) -> dict:
    """Bounds that fit the units of the columns: none but those of float64 are known else."""
    low, high = 1e-3 * scales.min(), 1e3 * max(np.max(means), scales.max())
    return {"means_bounds": (low, high), "scales_bounds": (low, high)}
