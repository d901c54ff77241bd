"""A kernel of some of the columns of X."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing

from .._runtime import tf
from .base import Kernel, names_of
from .features import features_of
from .formula import Additive

__all__ = ["Columns"]


class Columns(Kernel):
    """A kernel that looks at some columns of X only.

    Length scales in ``kernel`` are one number, or one for each column selected. In sums and
    products each factor then has the kernel that suits its columns.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel
    columns : list, tuple or array of int or str
        Positions, from the end where negative; or names, where X is a data frame. Inside another
        ``Columns`` they are positions and names among the columns that it selects. A fitted
        ``kernel_`` keeps them as they were given: one that selects by name is called with data
        frames.

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

    def features(self, rng: np.random.RandomState, n: int, n_columns: int) -> list | None:
        found = features_of(self.kernel, rng, n, len(self.columns))
        at = np.asarray(self.columns) % n_columns
        return None if found is None else [f.among(at, n_columns) for f in found]

    def diagonal(self, X: Any) -> Any:
        return self.kernel.diagonal(self._of(X))

    def is_stationary(self) -> bool:
        return self.kernel.is_stationary()

    def is_polynomial(self) -> bool:
        return self.kernel.is_polynomial()

    def variation(self, X: Any) -> Any:
        return self.kernel.variation(self._of(X))

    def metric(self, n_columns: int) -> np.ndarray | None:
        of_selected = self.kernel.metric(len(self.columns))
        if of_selected is None:
            return None
        weights = np.zeros(n_columns)
        weights[list(self.columns)] = of_selected
        return weights

    def additive(self, columns: np.ndarray) -> Additive | None:
        return self.kernel.additive(_selected(columns, self.columns))

    def selects(self, columns: np.ndarray) -> np.ndarray | None:
        """ValueError for a column that is not there, or is there twice."""
        return _selected(columns, self.columns)

    @classmethod
    def settings(cls, given: dict, names: tuple[str, ...] | None) -> dict | None:
        """Columns as positions."""
        if "kernel" in given:  # what is one is an operand, no setting
            raise ValueError(
                "the kernel in Columns must be a scikit-learn kernel such as RBF(), got "
                f"{given['kernel']!r}."
            )
        columns = given["columns"]
        listed = isinstance(columns, (list, tuple, np.ndarray)) and np.shape(columns) > (0,)
        if not listed or not all(_is_column(c) for c in columns):
            raise ValueError(
                f"columns must be a list of positions or names of columns, got {columns!r}."
            )
        return {**given, "columns": tuple(_position(c, names) for c in columns)}

    # scikit-learn's regressor takes the kernel selected as it is, noise and all

    def __call__(self, X: Any, Y: Any = None, eval_gradient: bool = False) -> Any:
        X, Y = self._of_rows(X), None if Y is None else self._of_rows(Y)
        return self.kernel(X, Y, eval_gradient) if eval_gradient else self.kernel(X, Y)

    def diag(self, X: Any) -> np.ndarray:
        return self.kernel.diag(self._of_rows(X))

    def _of_rows(self, X: Any) -> Any:
        """The columns selected; of a data frame as such, for kernels inside that select by name."""
        names = names_of(X)
        X = np.atleast_2d(X) if names is None else X
        positions = self.settings({"columns": self.columns}, names)
        assert positions is not None
        return _safe_indexing(X, _selected(np.arange(X.shape[1]), positions["columns"]), axis=1)


def _selected(columns: np.ndarray, positions: Any) -> np.ndarray:
    try:
        selected = columns[list(positions)]
    except IndexError as error:
        raise ValueError(f"it selects columns {list(positions)} of {len(columns)}.") from error
    if len(set(selected)) < len(selected):
        raise ValueError(f"it selects a column twice: {list(positions)}.")
    return selected


def _is_column(column: Any) -> bool:
    return isinstance(column, (str, Integral)) and not isinstance(column, (bool, np.bool_))


def _position(column: Any, names: tuple[str, ...] | None) -> int:
    if not isinstance(column, str):
        return int(column)
    if names is None:
        raise ValueError(
            f"it selects column {column!r} by name, but the rows it is given have no names of "
            "columns. Give positions, or a data frame."
        )
    if names.count(column) != 1:
        how_many = "no column" if column not in names else "more than one column"
        raise ValueError(f"it sees {how_many} {column!r}, only {', '.join(map(repr, names))}.")
    return names.index(column)
