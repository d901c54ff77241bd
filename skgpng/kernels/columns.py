"""A kernel of some of the columns of X."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from .._runtime import tf
from .base import Kernel

__all__ = ["Columns"]


class Columns(Kernel):
    """A kernel that looks at some columns of X only.

    Length scales in ``kernel`` are one number, or one for each column selected. In sums and
    products each factor then has the kernel that suits its columns.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel
    columns : sequence of int or str
        Positions, from the end where negative; or names, where X is a data frame.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process.kernels import RBF, ExpSineSquared
    >>> from skgpng import GaussianProcessRegressor
    >>> from skgpng.kernels import Columns
    >>> kernel = Columns(ExpSineSquared(), [0]) * Columns(RBF([1.0, 1.0]), [1, 2])
    >>> X = np.random.RandomState(0).rand(60, 3)
    >>> y = np.sin(2 * np.pi * X[:, 0]) * (X[:, 1] + X[:, 2] ** 2)
    >>> model = GaussianProcessRegressor(kernel).fit(X, y)
    >>> model.kernel_.k2.kernel.length_scale.shape
    (2,)
    """

    kernel: Any
    columns: Any

    def __init__(self, kernel: Any, columns: Any) -> None:
        self.kernel = kernel
        self.columns = columns

    def _of(self, X: Any) -> Any:
        """The columns selected, of tensors."""
        columns = tf.constant(self.columns)
        if min(self.columns) < 0:
            columns = tf.math.floormod(columns, tf.shape(X)[1])
        return tf.gather(X, columns, axis=1)

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        return self.kernel.covariance(self._of(X1), None if X2 is None else self._of(X2))

    def diagonal(self, X: Any) -> Any:
        return self.kernel.diagonal(self._of(X))

    def is_stationary(self) -> bool:
        return self.kernel.is_stationary()

    def is_polynomial(self) -> bool:
        return self.kernel.is_polynomial()

    def variation(self, X: Any) -> Any:
        return self.kernel.variation(self._of(X))

    def selects(self, columns: np.ndarray) -> np.ndarray | None:
        """ValueError for a column that is not there, or is there twice."""
        try:
            selected = columns[list(self.columns)]
        except IndexError as error:
            raise ValueError(
                f"it selects columns {list(self.columns)} of {len(columns)}."
            ) from error
        if len(set(selected)) < len(selected):
            raise ValueError(f"it selects a column twice: {list(self.columns)}.")
        return selected

    @classmethod
    def settings(cls, given: dict, names: tuple[str, ...] | None) -> dict | None:
        """Columns as positions."""
        columns = given["columns"]
        listed = isinstance(columns, (list, tuple, np.ndarray)) and len(columns) > 0
        if not listed or not all(_is_column(c) for c in columns):
            raise ValueError(
                f"columns must be a list of positions or names of columns, got {columns!r}."
            )
        return {**given, "columns": tuple(_position(c, names) for c in columns)}

    # scikit-learn's regressor takes the kernel selected as it is, noise and all

    def __call__(self, X: Any, Y: Any = None, eval_gradient: bool = False) -> Any:
        X, Y = self._of_array(X), None if Y is None else self._of_array(Y)
        return self.kernel(X, Y, eval_gradient) if eval_gradient else self.kernel(X, Y)

    def diag(self, X: Any) -> np.ndarray:
        return self.kernel.diag(self._of_array(X))

    def _of_array(self, X: Any) -> np.ndarray:
        positions = self.settings({"columns": self.columns}, None)
        assert positions is not None
        return np.atleast_2d(X)[:, list(positions["columns"])]


def _is_column(column: Any) -> bool:
    return isinstance(column, (str, Integral)) and not isinstance(column, (bool, np.bool_))


def _position(column: Any, names: tuple[str, ...] | None) -> int:
    if not isinstance(column, str):
        return int(column)
    if names is None:
        raise ValueError(
            f"it selects column {column!r} by name, but X has no names of columns. Give a data "
            "frame, or positions."
        )
    if column not in names:
        raise ValueError(f"X has no column {column!r}, only {', '.join(map(repr, names))}.")
    return names.index(column)
