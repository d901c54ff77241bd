"""The kernel of a column that holds indices of levels, whose order and distance mean nothing."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from .._runtime import tf
from .base import Kernel
from .features import Feature, Table

__all__ = ["Categorical"]


class Categorical(Kernel):
    r"""Correlations between the levels of one column, :math:`k(x, x') = C_{x x'}`.

    The column holds the indices 0, 1, ... of levels, as ``sklearn.preprocessing.OrdinalEncoder``
    gives them; select it by :class:`Columns`. A product with kernels of other columns lets the
    function of these differ between levels, a sum gives each level an offset.

    C is a correlation matrix. Each level is a unit vector :math:`u_i` whose coordinates are
    products of cosines and sines of angles,
    :math:`u_{ij} = \cos\theta_{ij} \prod_{k<j} \sin\theta_{ik}`, so that any angles make it
    positive semidefinite [1]_ [2]_. How many there are says what is free:

    ======================  ======================================================================
    shape of ``angle``      C
    ======================  ======================================================================
    ``()``                  One correlation :math:`\cos^2\theta` between different levels.
    ``(n_levels, rank)``    Each level has as many angles: :math:`C_{ij} = u_i^\top u_j` for
                            different levels, what is left of the unit is their own. With more than
                            one column start the columns with different angles, as what is equal
                            stays equal.
    ``(n (n - 1) / 2,)``    Any correlations: level i has an angle with each level before it, those
                            of level 1 first, and :math:`u_{ii} = \prod_{k<i} \sin\theta_{ik}`.
    ======================  ======================================================================

    Parameters
    ----------
    n_levels : int
        Number of levels. Values of the column must be integers from 0 to ``n_levels - 1``; levels
        that no row has may be asked for later.
    angle : float or array, default=pi / 4
        In radians: 0 for what is the same, pi / 2 for what has nothing to do with each other.
    angle_bounds : pair of float, array of pairs or "fixed", default=(-pi, 2 pi)
        Angles from 0 to pi say everything. Those beyond mirror them: without them, levels that are
        the same would have training end at a bound.

    References
    ----------
    .. [1] Pinheiro & Bates (1996), Unconstrained parametrizations for variance-covariance matrices,
       Statistics and Computing 6: the spherical parametrization.
    .. [2] Zhou, Qian & Zhou (2011), A simple approach to emulation for computer models with
       qualitative and quantitative factors, Technometrics 53.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng import GaussianProcessRegressor
    >>> from skgpng.kernels import Categorical, Columns
    >>> rng = np.random.RandomState(0)
    >>> x, level = rng.uniform(0, 6, 90), rng.randint(3, size=90)
    >>> y = np.where(level == 2, -1.0, 1.0) * np.sin(x) + 0.1 * rng.randn(90)
    >>> kernel = Columns(RBF(), [0]) * Columns(Categorical(3, np.ones(3)), [1])
    >>> model = GaussianProcessRegressor(kernel).fit(np.column_stack([x, level]), y)
    >>> print(model.kernel_.k2.kernel.correlations().round(1))
    [[ 1.  1. -1.]
     [ 1.  1. -1.]
     [-1. -1.  1.]]
    """

    real = shaped = ("angle",)
    one_column = (
        "Multiply one for each column, as in skgpng.kernels.Columns(Categorical(5), [0]) * "
        "skgpng.kernels.Columns(Categorical(3), [2])."
    )

    def __init__(
        self, n_levels: int, angle: Any = np.pi / 4, angle_bounds: Any = (-np.pi, 2.0 * np.pi)
    ) -> None:
        self.n_levels = n_levels
        self.angle = angle
        self.angle_bounds = angle_bounds

    def correlations(self) -> np.ndarray:
        """Correlations between the levels, [n_levels, n_levels]."""
        return self(np.arange(self.n_levels, dtype=float)[:, None])

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        one = self._indicators(X1)
        two = one if X2 is None else self._indicators(X2)
        return tf.matmul(tf.matmul(one, self._matrix(X1.dtype)), two, transpose_b=True)

    def features(self, rng: np.random.RandomState, n: int, n_columns: int) -> list | None:
        """By the principal components of the correlations."""
        size, directions = np.linalg.eigh(self._matrix(tf.float64).numpy())
        each = zip(size, directions.T, strict=True)
        return [Feature(float(v), None, (Table(u),)) for v, u in each if v > 0.0]

    def diagonal(self, X: Any) -> Any:
        return tf.ones(tf.shape(X)[:1], X.dtype)

    def levels(self) -> int | None:
        return self.n_levels

    def check(self, n_columns: int) -> None:
        n = self.n_levels
        shape, pairs = np.shape(self.angle), (n * (n - 1) // 2,)
        if shape not in ((), pairs) and not (len(shape) == 2 and shape[0] == n and shape[1] > 0):
            raise ValueError(
                f"angle has the shape {shape}, which does not fit {n} levels. Give one number, an "
                f"array of shape {pairs} for any correlations, or one of shape ({n}, rank)."
            )

    @classmethod
    def settings(cls, given: dict, names: tuple[str, ...] | None) -> dict | None:
        """The number of levels as an int."""
        n = given["n_levels"]
        if not isinstance(n, Integral) or isinstance(n, bool) or n < 1:
            raise ValueError(f"n_levels must be a positive integer, got {n!r}.")
        return {"n_levels": int(n)}

    def _indicators(self, X: Any) -> Any:
        """1 where a row has the level, [N, n_levels]."""
        return tf.one_hot(tf.cast(tf.round(X[:, 0]), tf.int32), self.n_levels, dtype=X.dtype)

    def _matrix(self, dtype: Any) -> Any:
        """Correlations between the levels, [n_levels, n_levels]."""
        angle, n = tf.convert_to_tensor(self.angle, dtype), self.n_levels
        if angle.shape.rank == 0:
            angle = tf.fill([n, 1], angle)
        elif angle.shape.rank == 1:
            # 0 where a level meets itself: its own coordinate takes what is left
            at = np.argwhere(np.tri(n, k=-1))
            angle = tf.scatter_nd(at, angle, [n, n]) + np.pi / 2 * np.triu(np.ones((n, n)), 1)
        left = tf.math.cumprod(tf.sin(angle), axis=1, exclusive=True)
        U = tf.cos(angle) * left  # [n_levels, rank]
        return tf.linalg.set_diag(tf.matmul(U, U, transpose_b=True), tf.ones([n], dtype))
