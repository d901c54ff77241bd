r"""Sums of functions of few columns each, which are orthogonal and so can be read one by one.

With a kernel :math:`k_i` of each column, and the density :math:`p_i` of its values,

.. math::

    \tilde k_i(x, x') = k_i(x, x') - \frac{E_s[k_i(x, s)]\, E_s[k_i(x', s)]}{E_{s,t}[k_i(s, t)]},
    \qquad k(x, x') = \sum_{d=0}^{D_{max}} \sigma_d^2
    \sum_{i_1 < \dots < i_d} \prod_{j=1}^{d} \tilde k_{i_j}(x_{i_j}, x'_{i_j}) .

Functions of :math:`\tilde k_i` have the mean zero over :math:`p_i`, so that the part of each set of
columns is what the parts of its subsets leave: the functional ANOVA decomposition (Durrande,
Ginsbourger, Roustant & Carraro 2013; with one variance for each order Lu, Boukouvalas & Hensman
2022, "Additive Gaussian Processes Revisited").
"""

from __future__ import annotations

import copy
import math
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.gaussian_process import kernels as sk

from .._runtime import tf
from .base import Kernel
from .formula import Additive
from .stationary import MATERN

__all__ = ["OrthogonalAdditive"]

# A column of more values is stood for by so many, each the mean of as many rows. In place of all
# (up to 291) values of concrete, split 0, 50 changed no share by more than 0.004, 20 by 0.02.
_NODES = 50
# Length scales begin at the deviation of their column; bounds in units of it. At the upper one, the
# kernel is that of a line with a millionth of the variance.
_SHORTEST, _LONGEST = 1e-2, 1e3


class OrthogonalAdditive(Kernel):
    r"""A sum of functions of one column, of two, and so on, each orthogonal to those before it.

    After ``fit`` of :class:`~skgpng.GaussianProcessRegressor`, ``additive_components_`` says which
    share of the variance each set of columns explains, and ``predict_component`` gives its
    function. The density of a column, over which these have the mean zero, is that of its
    values in the rows fitted, whatever it looks like: columns need not be scaled or normal, and
    may have a few values only.

    What is ``None`` is read from the rows in each ``fit``. In scikit-learn's own estimators, which
    read nothing, use :func:`skgpng.kernels.completed`.

    Parameters
    ----------
    length_scale : float or array-like of shape (n_features,), default=None
        In the units of the columns. ``None`` stands for the standard deviation of each.
    order_variances : array-like of shape (max_order + 1,), default=None
        :math:`\sigma_d^2`, of the constant, of single columns, of pairs, ... ``None`` stands for
        one, shared by all sets of so many columns.
    max_order : int, default=2
        Most columns that may act together.
    nu : {0.5, 1.5, 2.5, inf}, default=2.5
        Smoothness of the kernel of each column, as in scikit-learn's ``Matern``; the authors'
        choice is ``inf``, an RBF.
    nodes : array-like of shape (n_features, n_nodes), default=None
        Values of each column that stand for its density. ``None`` takes those of the rows, of
        a column with more than 50 the means of 50 parts of the sorted rows.
    weights : array-like of shape (n_features, n_nodes), default=None
        Of the nodes, positive, in any unit. ``None`` takes the numbers of rows, or the sums of
        their ``sample_weight``.
    length_scale_bounds : pair of float, array of shape (n_features, 2) or "fixed", default=None
        ``None`` stands for 1/100 to 1000 standard deviations of each column.
    order_variances_bounds : pair of float, array or "fixed", default=(1e-5, 1e5)

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng import GaussianProcessRegressor
    >>> from skgpng.kernels import OrthogonalAdditive
    >>> X = np.random.RandomState(0).uniform(-1, 1, (80, 3))
    >>> y = np.sin(3 * X[:, 0]) + X[:, 1] * X[:, 2]
    >>> model = GaussianProcessRegressor(OrthogonalAdditive()).fit(X, y)
    >>> for part in model.additive_components_[:2]:
    ...     print(part.columns, round(part.share, 1))
    (0,) 0.8
    (1, 2) 0.1
    """

    real: ClassVar[tuple[str, ...]] = ("nodes", "weights")
    reads: ClassVar[tuple[str, ...]] = (
        *("length_scale", "order_variances", "nodes", "weights", "length_scale_bounds"),
    )
    shaped: ClassVar[tuple[str, ...]] = ("order_variances", "nodes", "weights")
    open_ends: ClassVar[dict[str, tuple]] = {"length_scale": (1,), "order_variances": (0, 1)}
    length_scale: Any
    order_variances: Any
    max_order: int
    nu: float
    nodes: Any
    weights: Any

    def __init__(
        self,
        length_scale: Any = None,
        order_variances: Any = None,
        max_order: int = 2,
        nu: float = 2.5,
        nodes: Any = None,
        weights: Any = None,
        length_scale_bounds: Any = None,
        order_variances_bounds: Any = (1e-5, 1e5),
    ) -> None:
        self.length_scale = length_scale
        self.order_variances = order_variances
        self.max_order = max_order
        self.nu = nu
        self.nodes = nodes
        self.weights = weights
        self.length_scale_bounds = length_scale_bounds
        self.order_variances_bounds = order_variances_bounds

    @property
    def hyperparameter_nodes(self) -> Any:
        """Never learned."""
        return sk.Hyperparameter("nodes", "numeric", "fixed", np.size(self.nodes))

    @property
    def hyperparameter_weights(self) -> Any:
        """Never learned."""
        return sk.Hyperparameter("weights", "numeric", "fixed", np.size(self.weights))

    # --- the formula -----------------------------------------------------------------------

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        return self._of_all_sets(self.constrained(X1, X2))

    def diagonal(self, X: Any) -> Any:
        return self._of_all_sets(self.constrained_diagonal(X))

    def _of_all_sets(self, K: Any) -> Any:
        r"""The sum over sets of columns, of constrained kernels [D, ...].

        Sets are told apart by their last column i: the products of those of d columns add up to
        :math:`t_{d,i} = \tilde k_i \sum_{j<i} t_{d-1,j}`. Only numbers that are a part of the sum
        are added, so that nothing cancels, as in Newton's identities for powers of
        :math:`\tilde k`.
        """
        t = K  # [D, ...]
        total = self.order_variances[0] + self.order_variances[1] * tf.reduce_sum(t, 0)
        for d in range(2, self.max_order + 1):
            t = K * tf.cumsum(t, 0, exclusive=True)
            total += self.order_variances[d] * tf.reduce_sum(t, 0)
        return total

    def constrained(self, X1: Any, X2: Any = None) -> Any:
        """Of each column, without what its mean over the nodes explains, [D, N1, N2]."""
        x1, z, w = self._scaled(X1)
        x2 = x1 if X2 is None else self._scaled(X2)[0]
        u1 = self._expected(x1, z, w)  # [D, N1]
        u2 = u1 if X2 is None else self._expected(x2, z, w)
        return self._one(x1, x2) - u1[:, :, None] * (u2 / self._total(z, w))[:, None, :]

    def constrained_diagonal(self, X: Any) -> Any:
        """The same of each row with itself, [D, N]."""
        x, z, w = self._scaled(X)
        return 1.0 - self._expected(x, z, w) ** 2 / self._total(z, w)

    def _one(self, x1: Any, x2: Any) -> Any:
        """Kernels of one column each, of scaled values [D, N1] and [D, N2]."""
        return MATERN[self.nu]((x1[:, :, None] - x2[:, None, :]) ** 2)

    def _expected(self, x: Any, z: Any, w: Any) -> Any:
        """E[k(x, s)] of each column, [D, N]."""
        return tf.linalg.matvec(self._one(x, z), w)

    def _total(self, z: Any, w: Any) -> Any:
        """E[k(s, t)] of each column, [D, 1]."""
        return tf.reduce_sum(w * self._expected(z, z, w), 1, keepdims=True)

    def _scaled(self, X: Any) -> tuple[Any, Any, Any]:
        """Rows [D, N] and nodes [D, m] in units of the length scales, and weights that sum to 1.

        Both from a node on, so that columns far from zero lose no digits.
        """
        X = tf.convert_to_tensor(X)
        given = self.length_scale, self.nodes, self.weights
        scale, nodes, weights = (tf.convert_to_tensor(v, X.dtype) for v in given)
        unit, origin = tf.reshape(scale, [-1, 1]), nodes[:, :1]
        weights /= tf.reduce_sum(weights, 1, keepdims=True)
        return (tf.transpose(X) - origin) / unit, (nodes - origin) / unit, weights

    def depth(self, n_columns: int) -> int:
        """All columns."""
        return n_columns

    def check(self, n_columns: int) -> None:
        shape, n = np.shape(self.order_variances), self.max_order + 1
        if shape != (n,):
            raise ValueError(
                f"order_variances has the shape {shape}, but max_order={self.max_order} takes "
                f"({n},): that of the constant, and one for each order."
            )
        nodes, weights = np.shape(self.nodes), np.shape(self.weights)
        if len(nodes) != 2 or nodes[0] != n_columns or nodes != weights:
            raise ValueError(
                f"nodes has the shape {nodes} and weights {weights}, but for {n_columns} columns "
                "both take a row for each."
            )
        if np.min(self.weights) <= 0:
            raise ValueError("weights must be positive.")

    # --- its parts -------------------------------------------------------------------------

    def additive(self, columns: np.ndarray) -> Additive | None:
        return Additive(self, 1.0, columns)

    def only(self, chosen: list[int]) -> OrthogonalAdditive:
        """The formula of some of the columns that it sees."""
        part = copy.copy(self)
        scale = np.broadcast_to(self.length_scale, len(self.nodes))
        part.length_scale, part.nodes, part.weights = (
            np.asarray(values)[chosen] for values in (scale, self.nodes, self.weights)
        )
        return part

    # --- what is read from rows ------------------------------------------------------------

    def read_from(self, X: np.ndarray, weights: np.ndarray) -> dict:
        """Nodes with their weights, and length scales and variances to begin with."""
        self.settings({"max_order": self.max_order, "nu": self.nu}, None)
        nodes, masses = _density(X, weights)
        spread = _spread(nodes, masses)
        bounds = np.stack([_SHORTEST * spread, _LONGEST * spread], 1)
        if self.length_scale is not None and np.shape(self.length_scale) != spread.shape:
            bounds = np.array([bounds.min(), bounds.max()])
        n_sets = [max(1, math.comb(len(nodes), d)) for d in range(self.max_order + 1)]
        return {
            "length_scale": spread,
            "length_scale_bounds": bounds,
            "order_variances": 1.0 / np.array(n_sets),
            "nodes": nodes,
            "weights": masses,
        }

    @classmethod
    def settings(cls, given: dict, names: tuple[str, ...] | None) -> dict | None:
        """ValueError for an order below 1, and for another smoothness than the four there are."""
        max_order, nu = given["max_order"], given["nu"]
        if not isinstance(max_order, Integral) or max_order < 1:
            raise ValueError(f"max_order must be an integer, 1 or more, got {max_order!r}.")
        if not isinstance(nu, Real) or nu not in MATERN:
            raise ValueError(f"nu must be one of {', '.join(map(str, MATERN))}, got {nu!r}.")
        return {"max_order": int(max_order), "nu": float(nu)}


def _density(X: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes [D, m] of the columns of X [N, D], and their weights."""
    each = [_nodes_of(x.astype(np.float64), weights) for x in X.T]
    m = max(len(nodes) for nodes, _ in each)
    padded = [_padded(*column, m) for column in each]
    nodes, masses = (np.stack(arrays) for arrays in zip(*padded, strict=True))
    return nodes, masses


def _nodes_of(x: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct values of a column and their weights; of many the means of parts, equally heavy."""
    values, place = np.unique(x, return_inverse=True)
    mass = np.bincount(place, weights)
    if len(values) <= _NODES:
        return values, mass
    middle = (np.cumsum(mass) - 0.5 * mass) / mass.sum()
    _, part = np.unique((_NODES * middle).astype(int), return_inverse=True)
    total = np.bincount(part, mass)
    return np.bincount(part, mass * values) / total, total


def _padded(nodes: np.ndarray, mass: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
    """With m nodes: the last one is there several times, and shares its weight."""
    times = m - len(nodes) + 1
    last = np.full(times, mass[-1] / times)
    return np.append(nodes, np.full(times - 1, nodes[-1])), np.append(mass[:-1], last)


def _spread(nodes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Standard deviation of each column, [D]; 1 where it has one value."""
    w = weights / weights.sum(1, keepdims=True)
    away = nodes - np.sum(w * nodes, 1, keepdims=True)
    largest = np.abs(away).max(1)
    is_constant = largest <= np.maximum(1e-10 * np.abs(nodes).max(1), 1e-290)
    unit = np.where(is_constant, 1.0, largest)
    spread = unit * np.sqrt(np.sum(w * (away / unit[:, None]) ** 2, 1))
    return np.where(is_constant, 1.0, spread)
