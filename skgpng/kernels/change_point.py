"""One kernel before a place, another one after it."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np

from .._runtime import tf
from .base import Kernel
from .features import Feature, Gate, features_of, product
from .hyperparameters import check_shape

__all__ = ["ChangePoint"]

# Range of the values times the steepness to begin with: the change takes a fifth of it.
_STEEPNESS = 20.0


class ChangePoint(Kernel):
    r"""A function of the kernel ``k1`` that becomes one of ``k2``.

    .. math::
        k(x, x') = (1 - \sigma(x)) \, k_1(x, x') \, (1 - \sigma(x'))
                   + \sigma(x) \, k_2(x, x') \, \sigma(x'), \quad
        \sigma(x) = \frac{1}{1 + \exp(-s (x_c - a))}

    Place and steepness of the change are learned [1]_. Where two are chained, the first of them is
    an operand of the second.

    Parameters
    ----------
    k1, k2 : sklearn.gaussian_process.kernels.Kernel
        Below and above the place, in column c. Both see all columns.
    location : float, default=None
        The place a, in the units of the column; None begins at the median of its values. It is
        found from a start nearer to it than to the ends of the data; Adam moves it in steps of
        about 0.05, so that a column of large values is best scaled where it is used.
    steepness : float, default=None
        The steepness s, by the unit of the column: the change takes about 4 / s. None begins at a
        fifth of the range of the values. See :func:`skgpng.kernels.completed`.
    column : int, default=0
        Position of column c among those that the kernel sees.
    location_bounds, steepness_bounds : pair of float or "fixed"

    References
    ----------
    .. [1] Lloyd, Duvenaud, Grosse, Tenenbaum & Ghahramani (2014), Automatic construction and
       natural-language description of nonparametric regression models, AAAI.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng import GaussianProcessRegressor
    >>> from skgpng.kernels import ChangePoint
    >>> X = np.linspace(-5, 5, 200)[:, None]
    >>> y = np.where(X < 1.0, np.sin(X), np.sin(8 * X)).ravel()
    >>> kernel = ChangePoint(RBF(1.0), RBF(0.2), location=0.0, steepness=5.0)
    >>> model = GaussianProcessRegressor(kernel).fit(X, y)
    >>> print(abs(model.kernel_.location - 1.0) < 0.3)
    True
    """

    real = ("location",)
    reads: ClassVar[tuple[str, ...]] = ("location", "steepness")
    shaped = ("location", "steepness")
    k1: Any
    k2: Any

    def __init__(
        self,
        k1: Any,
        k2: Any,
        location: Any = None,
        steepness: Any = None,
        column: int = 0,
        location_bounds: Any = (-1e10, 1e10),
        steepness_bounds: Any = (1e-10, 1e10),
    ) -> None:
        self.k1 = k1
        self.k2 = k2
        self.location = location
        self.steepness = steepness
        self.column = column
        self.location_bounds = location_bounds
        self.steepness_bounds = steepness_bounds

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        before, after = self._shares(X1)
        before_2, after_2 = (before, after) if X2 is None else self._shares(X2)
        first = before[:, None] * self.k1.covariance(X1, X2) * before_2[None, :]
        return first + after[:, None] * self.k2.covariance(X1, X2) * after_2[None, :]

    def features(self, rng: np.random.RandomState, n: int, n_columns: int) -> list | None:
        found: list = []
        column = self.column % n_columns
        for kernel, sign in ((self.k1, -1.0), (self.k2, 1.0)):
            gate = Gate(sign * float(self.steepness), float(self.location), column)
            own = product([Feature(1.0, None, (gate,))], features_of(kernel, rng, n, n_columns))
            if own is None:
                return None
            found += own
        return found

    def diagonal(self, X: Any) -> Any:
        before, after = self._shares(X)
        return before**2 * self.k1.diagonal(X) + after**2 * self.k2.diagonal(X)

    def check(self, n_columns: int) -> None:
        for name in self.shaped:
            check_shape(name, getattr(self, name), ())
        self.check_column(n_columns)

    def check_column(self, n_columns: int) -> None:
        """Raise ValueError where there is no such column among so many."""
        if not -n_columns <= self.column < n_columns:
            raise ValueError(f"column={self.column} is not among the {n_columns} that it sees.")

    def read_from(self, X: np.ndarray, weights: np.ndarray) -> dict:
        """Of the values of the column: their median, and a share of their range."""
        self.check_column(X.shape[1])
        x = X[:, self.column].astype(np.float64)
        return {"location": float(np.median(x)), "steepness": _STEEPNESS / (np.ptp(x) or 1.0)}

    @classmethod
    def settings(cls, given: dict, names: tuple[str, ...] | None) -> dict | None:
        """The column as an int; ValueError for an operand that is no kernel."""
        for name in given.keys() & {"k1", "k2"}:  # what is a kernel is an operand, no setting
            raise ValueError(f"{name} must be a scikit-learn kernel, got {given[name]!r}.")
        column = given["column"]
        if not isinstance(column, Integral) or isinstance(column, bool):
            raise ValueError(f"column must be the position of a column, got {column!r}.")
        return {"column": int(column)}

    def _shares(self, X: Any) -> tuple[Any, Any]:
        """Of both kernels in each row, [N]; the small one without a difference from 1."""
        z = self.steepness * (X[:, self.column] - self.location)
        return tf.sigmoid(-z), tf.sigmoid(z)
