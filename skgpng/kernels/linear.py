"""Polynomials of the inner products of rows, which grow with the distance from zero."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.gaussian_process import kernels as sk

from .._runtime import tf
from .base import Kernel
from .features import Feature, Neurons, product
from .formula import Formula, formula_of
from .hyperparameters import check_shape

__all__ = ["DotProduct", "Linear", "Polynomial"]


@formula_of(sk.DotProduct)
class DotProduct(Formula):
    r""":math:`\sigma_0^2 + x^\top x'`."""

    sigma_0: Any

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        return self.sigma_0**2 + tf.matmul(X1, X1 if X2 is None else X2, transpose_b=True)

    def features(self, rng: np.random.RandomState, n: int, n_columns: int) -> list | None:
        return [Feature(float(self.sigma_0) ** 2), *_columns(1.0, n_columns)]

    def diagonal(self, X: Any) -> Any:
        return self.sigma_0**2 + tf.reduce_sum(X * X, 1)

    def is_polynomial(self) -> bool:
        return True

    def variation(self, X: Any) -> Any:
        r""":math:`|x - c|^2`, c the mean of the rows."""
        return tf.reduce_sum((X - tf.reduce_mean(X, 0)) ** 2, 1)


class Linear(Kernel):
    r"""Linear functions, :math:`k(x, x') = \sum_d v_d \, x_d x'_d`: a variance for each slope.

    The functions are zero at zero; add a ``ConstantKernel`` for an intercept. A column whose
    variance falls to its lower bound is not needed (automatic relevance determination).

    Parameters
    ----------
    variance : float or array of shape (n_features,), default=1.0
        Prior variance of the slopes. With one of 1, and a ``ConstantKernel(s ** 2)`` added, it is
        scikit-learn's ``DotProduct(s)``.
    variance_bounds : pair of float, array of pairs or "fixed", default=(1e-5, 1e5)

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process.kernels import ConstantKernel
    >>> from skgpng import GaussianProcessRegressor
    >>> from skgpng.kernels import Linear
    >>> X = np.random.RandomState(0).randn(50, 2)
    >>> kernel = ConstantKernel() + Linear([1.0, 1.0])
    >>> model = GaussianProcessRegressor(kernel).fit(X, 3.0 * X[:, 0] - X[:, 1] + 1.0)
    >>> print(model.predict([[10.0, 0.0]]).round(2))
    [31.]
    """

    def __init__(self, variance: Any = 1.0, variance_bounds: Any = (1e-5, 1e5)) -> None:
        self.variance = variance
        self.variance_bounds = variance_bounds

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        return tf.matmul(self.variance * X1, X1 if X2 is None else X2, transpose_b=True)

    def features(self, rng: np.random.RandomState, n: int, n_columns: int) -> list | None:
        return _columns(self.variance, n_columns)

    def diagonal(self, X: Any) -> Any:
        return tf.reduce_sum(self.variance * X * X, 1)

    def is_polynomial(self) -> bool:
        return True

    def variation(self, X: Any) -> Any:
        r""":math:`\sum_d v_d (x_d - c_d)^2`, c the mean of the rows."""
        return self.diagonal(X - tf.reduce_mean(X, 0))


class Polynomial(Kernel):
    r"""Polynomials, :math:`k(x, x') = \big(b + \sum_d v_d \, x_d x'_d\big)^n`.

    Scale the columns: powers of large values leave nothing of the small ones.

    Parameters
    ----------
    degree : int, default=2
        The degree n.
    variance : float or array of shape (n_features,), default=1.0
        The weight :math:`v_d` of each column.
    offset : float, default=1.0
        The offset b: how much the terms of lower degree count.
    variance_bounds, offset_bounds : pair of float, array of pairs or "fixed"

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.kernels import Polynomial
    >>> Polynomial(degree=3, variance=[1.0, 2.0])(np.array([[1.0, 1.0], [0.0, 1.0]]))
    array([[64., 27.],
           [27., 27.]])
    """

    shaped = ("offset",)

    def __init__(
        self,
        degree: int = 2,
        variance: Any = 1.0,
        offset: Any = 1.0,
        variance_bounds: Any = (1e-5, 1e5),
        offset_bounds: Any = (1e-5, 1e5),
    ) -> None:
        self.degree = degree
        self.variance = variance
        self.offset = offset
        self.variance_bounds = variance_bounds
        self.offset_bounds = offset_bounds

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        inner = tf.matmul(self.variance * X1, X1 if X2 is None else X2, transpose_b=True)
        return (self.offset + inner) ** self.degree

    def features(self, rng: np.random.RandomState, n: int, n_columns: int) -> list | None:
        one: list | None = [Feature(float(self.offset)), *_columns(self.variance, n_columns)]
        found = one
        for _ in range(self.degree - 1):
            found = product(found, one)
        return found

    def diagonal(self, X: Any) -> Any:
        return (self.offset + tf.reduce_sum(self.variance * X * X, 1)) ** self.degree

    def is_polynomial(self) -> bool:
        return True

    def variation(self, X: Any) -> Any:
        r""":math:`\big(\sum_d v_d (x_d - c_d)^2\big)^n`, c the mean of the rows."""
        centred = X - tf.reduce_mean(X, 0)
        return tf.reduce_sum(self.variance * centred * centred, 1) ** self.degree

    def check(self, n_columns: int) -> None:
        check_shape("offset", self.offset, ())

    @classmethod
    def settings(cls, given: dict, names: tuple[str, ...] | None) -> dict | None:
        """The degree as an int."""
        degree = given["degree"]
        if not isinstance(degree, Integral) or isinstance(degree, bool) or degree < 1:
            raise ValueError(f"degree must be a positive integer, got {degree!r}.")
        return {"degree": int(degree)}


def _columns(variance: Any, n_columns: int) -> list:
    """Each column as a function of its own."""
    each = np.broadcast_to(np.asarray(variance, float), n_columns)
    rows = np.eye(n_columns)
    return [
        Feature(float(v), None, (Neurons(rows[d : d + 1], np.zeros(1)),))
        for d, v in enumerate(each)
    ]
