"""The kernel of an infinitely wide layer of neurons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._runtime import custom_gradient, tf
from .base import Kernel
from .features import Feature, Neurons
from .hyperparameters import check_shape

__all__ = ["ArcCosine"]


# J_n(theta) of Cho & Saul 2009, eq. 4, as functions of c = cos(theta), with their derivatives in c:
# theta itself has none where c = 1, at rows that point the same way.


@custom_gradient
def _step(c: Any) -> Any:
    r""":math:`\pi - \theta`, derivative :math:`1/\sin\theta`; set to zero at :math:`\theta = 0`.

    There it has a kink, like a Matern-1/2, and zero is the mean of both sides.
    """
    sine = tf.sqrt(1.0 - c * c)
    return np.pi - tf.acos(c), lambda upstream: tf.math.divide_no_nan(upstream, sine)


@custom_gradient
def _ramp(c: Any) -> Any:
    r""":math:`\sin\theta + (\pi - \theta)\cos\theta`, derivative :math:`\pi - \theta`."""
    rest = np.pi - tf.acos(c)
    return tf.sqrt(1.0 - c * c) + rest * c, lambda upstream: upstream * rest


@custom_gradient
def _square(c: Any) -> Any:
    r""":math:`3\sin\theta\cos\theta + (\pi-\theta)(1+2\cos^2\theta)`.

    Derivative: :math:`4(\sin\theta + (\pi-\theta)\cos\theta)`.
    """
    rest, sine = np.pi - tf.acos(c), tf.sqrt(1.0 - c * c)
    value = 3.0 * sine * c + rest * (1.0 + 2.0 * c * c)
    return value, lambda upstream: 4.0 * upstream * (sine + rest * c)


_J: tuple[Callable, ...] = (_step, _ramp, _square)
# J_n(0) / pi
_AT_ZERO = (1.0, 1.0, 3.0)


class ArcCosine(Kernel):
    r"""Neural networks of one infinitely wide hidden layer.

    .. math::
        k(x, x') = \frac1\pi \, |x|^n |x'|^n J_n(\theta), \quad
        \cos\theta = \frac{\langle x, x' \rangle}{|x| |x'|}, \quad
        \langle x, x' \rangle = b + \sum_d w_d \, x_d x'_d

    The weights of the neurons have the prior variances w, their biases b, and their activation is
    a step (n = 0), a ramp (n = 1, "ReLU") or a ramp squared (n = 2) [1]_. Functions go on as
    polynomials of degree n far from the data, where those of an ``RBF`` return to the mean. It is
    the kernel of the same name in GPflow, without its variance: multiply by a constant.

    Parameters
    ----------
    order : {0, 1, 2}, default=1
        The order n.
    weight_variance : float or array of shape (n_features,), default=1.0
    bias_variance : float, default=1.0
    weight_variance_bounds, bias_variance_bounds : pair of float, array of pairs or "fixed"

    References
    ----------
    .. [1] Cho & Saul (2009), Kernel methods for deep learning, NeurIPS 22.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng import GaussianProcessRegressor
    >>> from skgpng.kernels import ArcCosine
    >>> X = np.linspace(-1, 1, 40)[:, None]
    >>> y = np.abs(X[:, 0]) + 0.05 * np.random.RandomState(0).randn(40)
    >>> model = GaussianProcessRegressor(1.0 * ArcCosine()).fit(X, y)
    >>> print(model.predict([[-3.0], [3.0]]).round())  # goes on as it ends
    [3. 3.]
    """

    shaped = ("bias_variance",)

    def __init__(
        self,
        order: int = 1,
        weight_variance: Any = 1.0,
        bias_variance: Any = 1.0,
        weight_variance_bounds: Any = (1e-5, 1e5),
        bias_variance_bounds: Any = (1e-5, 1e5),
    ) -> None:
        self.order = order
        self.weight_variance = weight_variance
        self.bias_variance = bias_variance
        self.weight_variance_bounds = weight_variance_bounds
        self.bias_variance_bounds = bias_variance_bounds

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        one, two = self._norms(X1), self._norms(X1 if X2 is None else X2)
        inner = tf.matmul(self.weight_variance * X1, X1 if X2 is None else X2, transpose_b=True)
        norms = one[:, None] * two[None, :]  # [N1, N2]
        c = tf.clip_by_value((self.bias_variance + inner) / norms, -1.0, 1.0)
        if X2 is None:
            c = tf.linalg.set_diag(c, tf.ones_like(one))
        return norms**self.order * _J[self.order](c) / np.pi

    def features(self, rng: np.random.RandomState, n: int, n_columns: int) -> list | None:
        """The neurons: twice the mean of the products of what each says of two rows."""
        weights = rng.standard_normal((n, n_columns)) * np.sqrt(self.weight_variance)
        offset = rng.standard_normal(n) * np.sqrt(self.bias_variance)
        return [Feature(2.0, None, (Neurons(weights, offset, self.order),))]

    def diagonal(self, X: Any) -> Any:
        return _AT_ZERO[self.order] * self._norms(X) ** (2 * self.order)

    def check(self, n_columns: int) -> None:
        check_shape("bias_variance", self.bias_variance, ())

    @classmethod
    def settings(cls, given: dict, names: tuple[str, ...] | None) -> dict | None:
        """The order as an int."""
        order = given["order"]
        if isinstance(order, bool) or order not in (0, 1, 2):
            raise ValueError(f"order must be 0, 1 or 2, got {order!r}.")
        return {"order": int(order)}

    def _norms(self, X: Any) -> Any:
        """Length of each row with its bias, [N]; of a row of zeros without one next to nothing."""
        squares = self.bias_variance + tf.reduce_sum(self.weight_variance * X * X, 1)
        return tf.sqrt(tf.maximum(squares, tf.constant(1e-30, X.dtype)))
