r"""Stationary kernels: functions of :math:`r^2 = \sum_d (x_d - x'_d)^2 / \ell_d^2`.

Each is differentiated in :math:`r^2`, not r, whose root has no derivative at zero.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from scipy.special import gamma
from sklearn.gaussian_process import kernels as sk

from .. import _linalg as linalg
from .._runtime import custom_gradient, tf
from .features import Feature, waves_of
from .formula import Formula, formula_of

__all__ = [
    "MATERN",
    "Stationary",
    "matern12",
    "matern32",
    "matern52",
    "squared_distance",
    "squared_exponential",
    "squared_sine",
]


def squared_distance(X1: Any, X2: Any, scale: Any) -> Any:
    r""":math:`\sum_d (x_d - x'_d)^2 / \ell_d^2` between the rows of X1 and X2, [N1, N2].

    Parameters
    ----------
    X1 : tensor of shape (N1, D)
    X2 : tensor of shape (N2, D) or None
        ``None`` stands for X1; the distance of each row from itself is then zero to the last bit.
    scale : tensor of shape () or (D,)
        Length scales.

    Raises
    ------
    ValueError
        For another number of length scales than columns.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.kernels import squared_distance
    >>> print(squared_distance(np.array([[0.0], [3.0]]), None, 2.0).numpy())
    [[0.   2.25]
     [2.25 0.  ]]
    """
    X1 = tf.convert_to_tensor(X1)
    scale = tf.convert_to_tensor(scale, dtype_hint=X1.dtype)
    if scale.shape.rank == 1 and not scale.shape.is_compatible_with(X1.shape[1:]):
        raise ValueError(f"{scale.shape[0]} length scales do not fit {X1.shape[1]} columns.")
    if X2 is None:
        return linalg.squared_distance_within(X1, scale)
    return linalg.squared_distance(X1, X2, scale)


@custom_gradient
def squared_exponential(r2: Any) -> Any:
    r""":math:`e^{-r^2/2}`, derivative in :math:`r^2`: :math:`-\tfrac12 e^{-r^2/2}`.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from skgpng.kernels import squared_exponential
    >>> print(squared_exponential(tf.constant([0.0, 1.0, 4.0])).numpy().round(4))
    [1.     0.6065 0.1353]
    """
    K = tf.exp(-0.5 * r2)
    return K, lambda upstream: -0.5 * upstream * K


@custom_gradient
def matern12(r2: Any) -> Any:
    r""":math:`e^{-r}`, derivative in :math:`r^2`: :math:`-e^{-r}/(2r)`.

    The derivative at r = 0 is set to zero: those are equal rows, where the distance does not
    depend on the length scale. So it is in ``tf.vectorized_map`` too, which forgets gradients that
    are written out: the root is of the smallest number there, and no infinity meets a zero.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from skgpng.kernels import matern12
    >>> print(matern12(tf.constant([0.0, 1.0, 4.0])).numpy().round(4))
    [1.     0.3679 0.1353]
    """
    apart = r2 > 0.0
    r = tf.sqrt(tf.where(apart, r2, np.finfo(r2.dtype.as_numpy_dtype).tiny))
    K = tf.exp(-r)
    return K, lambda upstream: -0.5 * upstream * tf.where(apart, K / r, 0.0)


@custom_gradient
def matern32(r2: Any) -> Any:
    r""":math:`(1+s)e^{-s}, s=\sqrt3 r`, derivative in :math:`r^2`: :math:`-\tfrac32 e^{-s}`.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from skgpng.kernels import matern32
    >>> print(matern32(tf.constant([0.0, 1.0, 4.0])).numpy().round(4))
    [1.     0.4834 0.1397]
    """
    s = tf.sqrt(3.0 * r2)
    E = tf.exp(-s)
    return (1.0 + s) * E, lambda upstream: -1.5 * upstream * E


@custom_gradient
def matern52(r2: Any) -> Any:
    r""":math:`(1+s+s^2/3)e^{-s}, s=\sqrt5 r`; derivative :math:`-\tfrac56(1+s)e^{-s}`.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from skgpng.kernels import matern52
    >>> print(matern52(tf.constant([0.0, 1.0, 4.0])).numpy().round(4))
    [1.     0.524  0.1387]
    """
    s = tf.sqrt(5.0 * r2)
    E = tf.exp(-s)
    slope = (1.0 + s) * E
    return slope + (5.0 / 3.0) * r2 * E, lambda upstream: (-5.0 / 6.0) * upstream * slope


@custom_gradient
def squared_sine(r2: Any) -> Any:
    r""":math:`\sin^2(\pi r)`; its derivative in :math:`r^2` is :math:`\pi\sin(2\pi r)/2r`.

    At r = 0 the derivative is set to zero: it only ever multiplies a distance of zero.
    """
    r = tf.sqrt(r2)

    def gradient(upstream: Any) -> Any:
        return upstream * tf.math.divide_no_nan(0.5 * np.pi * tf.sin(2.0 * np.pi * r), r)

    return tf.sin(np.pi * r) ** 2, gradient


class Stationary(Formula):
    """A function of the distance that is 1 where it is zero.

    Examples
    --------
    >>> from sklearn.gaussian_process.kernels import Matern
    >>> from skgpng.kernels import Stationary, parse
    >>> issubclass(parse(Matern()).structure.formula, Stationary)
    True
    """

    def is_stationary(self) -> bool:
        return True

    def diagonal(self, X: Any) -> Any:
        return tf.ones(tf.shape(X)[:1], X.dtype)


class Decreasing(Stationary):
    """It falls with the distance in units of the length scale."""

    length_scale: Any

    def metric(self, n_columns: int) -> np.ndarray | None:
        return np.full(n_columns, 1.0 / np.square(self.length_scale))


@formula_of(sk.RBF)
class RBF(Decreasing):
    r""":math:`e^{-r^2/2}`."""

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        return squared_exponential(squared_distance(X1, X2, self.length_scale))

    def features(self, rng: np.random.RandomState, n: int, n_columns: int) -> list | None:
        return waves_of(rng, n, n_columns, self.length_scale, wider=_WIDER)


# Shape of the gamma distribution of frequencies that are drawn more often than they should be, of
# which a tenth is beyond 100 over the length scale: their share in Matern-5/2 is 1e-8. And by what
# those are multiplied whose density falls faster.
_OF_HIGH, _WIDER = 0.25, 2.0
#: Of each smoothness nu, as a function of the squared distance.
MATERN = {0.5: matern12, 1.5: matern32, 2.5: matern52, np.inf: squared_exponential}


@formula_of(sk.Matern)
class Matern(Decreasing):
    r""":math:`e^{-r}`, :math:`(1+s)e^{-s}` or :math:`(1+s+s^2/3)e^{-s}`, :math:`s=\sqrt{2\nu}r`."""

    nu: float

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        return MATERN[self.nu](squared_distance(X1, X2, self.length_scale))

    def features(self, rng: np.random.RandomState, n: int, n_columns: int) -> list | None:
        r"""Frequencies of a Student-t distribution with :math:`2\nu` degrees of freedom.

        Normal ones over the root of a gamma variable :math:`u / \nu` of shape :math:`\nu`; half of
        them of a smaller shape a, so that high ones are among the draws of each function, with
        :math:`p / q = u^{\nu - a} \Gamma(a) / \Gamma(\nu)`.
        """
        if np.isinf(self.nu):
            return waves_of(rng, n, n_columns, self.length_scale, wider=_WIDER)
        shapes = np.where(rng.uniform(size=n) < 0.5, self.nu, _OF_HIGH)
        u = np.maximum(rng.gamma(shapes), np.finfo(float).tiny)
        ratio = u ** (self.nu - _OF_HIGH) * gamma(_OF_HIGH) / gamma(self.nu)
        [waves] = waves_of(rng, n, n_columns, self.length_scale, np.sqrt(self.nu / u))
        return [waves._replace(sizes=np.sqrt(2.0 * ratio / (1.0 + ratio)))]

    @classmethod
    def settings(cls, given: dict, names: tuple[str, ...] | None) -> dict | None:
        """Others than the four values of nu have Bessel functions, which scikit-learn evaluates."""
        nu = given["nu"]
        if not isinstance(nu, Real) or not float(nu) > 0:
            raise ValueError(f"Matern(nu={nu!r}) is not supported: nu must be positive.")
        return {"nu": float(nu)} if nu in MATERN else None


@formula_of(sk.RationalQuadratic)
class RationalQuadratic(Decreasing):
    r""":math:`(1 + r^2 / 2\alpha)^{-\alpha}`."""

    alpha: Any

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        r2 = squared_distance(X1, X2, self.length_scale)
        return tf.exp(-self.alpha * tf.math.log1p(0.5 * r2 / self.alpha))

    def features(self, rng: np.random.RandomState, n: int, n_columns: int) -> list | None:
        """A mixture of RBFs, whose squared inverse length scales have a gamma distribution."""
        sizes = np.sqrt(rng.gamma(self.alpha, 1.0 / self.alpha, n))
        return waves_of(rng, n, n_columns, self.length_scale, sizes, wider=_WIDER)


@formula_of(sk.ExpSineSquared)
class ExpSineSquared(Stationary):
    r""":math:`\exp(-2 \sin^2(\pi r) / \ell^2)`, r the distance in units of the period."""

    one_column = (
        "Of distances in more dimensions it has negative eigenvalues. Replace a periodic column x "
        "of period p by sin(2 pi x / p) and cos(2 pi x / p) under an RBF, or select a column for "
        "each, as in skgpng.kernels.Columns(ExpSineSquared(), [0]), and multiply them."
    )
    length_scale: Any
    periodicity: Any

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        r2 = squared_distance(X1, X2, self.periodicity)
        return tf.exp(-2.0 * squared_sine(r2) / self.length_scale**2)

    def features(self, rng: np.random.RandomState, n: int, n_columns: int) -> list | None:
        return [Feature(1.0, harmonics(rng, (n, 1), self.length_scale, self.periodicity))]


def harmonics(rng: np.random.RandomState, shape: tuple, scale: Any, period: Any) -> np.ndarray:
    r"""Frequencies [n, D] of :math:`\exp(-2 \sin^2(\pi \tau / p) / \ell^2)`.

    Its Fourier series has the coefficients :math:`e^{-z} I_j(z), z = \ell^{-2}`, of all whole j.
    The sum of two independent Poisson variables with rates z / 2 and opposite signs has these
    probabilities (Skellam 1946).
    """
    rate = np.broadcast_to(0.5 / np.square(scale), shape[1:])
    whole = rng.poisson(rate, shape) - rng.poisson(rate, shape)
    return 2.0 * np.pi * whole / period
