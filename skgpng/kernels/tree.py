"""The structure of a tree of kernels, hashable, and what it is to tensors."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Iterator
from typing import Any, NamedTuple

import joblib
import numpy as np
from sklearn.gaussian_process import kernels as sk

from .._runtime import tf
from .black_box import BlackBox
from .formula import Formula
from .operators import Compound

__all__ = [
    "KernelStructure",
    "bind",
    "comparable",
    "covariance",
    "depth",
    "diagonal",
    "is_stationary",
    "jitter_unit",
    "metric",
    "needs_all_rows",
    "of_each_latent",
    "walk",
    "without_values",
]

# What the jitter has to cover of rounding: with jitter of 1e-6, so many eps times the trace.
_ROUNDING = 1e6 * np.finfo(np.float64).eps
# Settings that Python compares by their content, or that have none but themselves.
_PLAIN = (str, bytes, int, float, type(None), type, type(lambda: None))


class ByContent:
    """A setting that Python does not compare by its content, such as an array, but this does."""

    def __init__(self, value: Any) -> None:
        # a black box's kernel is a copy already, and what its class refers to is to stay its own
        self.value = value if isinstance(value, sk.Kernel) else copy.deepcopy(value)
        self._key = _content(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByContent) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def comparable(value: Any) -> Any:
    """A setting as it is, or :class:`ByContent`."""
    return value if _is_plain(value) else ByContent(value)


def _is_plain(value: Any) -> bool:
    parts = value if isinstance(value, tuple) else (value,)
    return all(isinstance(part, _PLAIN) for part in parts)


def _content(value: Any) -> Any:
    """What is equal for equal settings, and hashable.

    Kernels are their class and parameters, which is what scikit-learn's ``clone`` makes them from.
    A pickle may hold more: that of bayesian-optimization's has all that was observed so far.
    """
    if isinstance(value, sk.Kernel):
        return type(value), _content(tuple(value.get_params(deep=False).items()))
    if isinstance(value, (list, tuple)):
        return type(value), *(_content(part) for part in value)
    if _is_plain(value):
        return value
    try:
        return joblib.hash(value)
    except (pickle.PicklingError, AttributeError, TypeError):  # it is like itself only
        return id(value)


class KernelStructure(NamedTuple):
    """Structure of a kernel: hashable, without the values of its hyperparameters.

    Attributes
    ----------
    formula : type
        Subclass of :class:`Formula`.
    names : tuple of str
        Own hyperparameters.
    own : tuple of int
        Axes of the value of each.
    settings : tuple of (str, object)
        Parameters that are neither hyperparameters nor kernels, such as ``nu`` or an exponent.
    operands : tuple of (str, KernelStructure)
        Parameters that are kernels.

    Examples
    --------
    >>> from sklearn.gaussian_process.kernels import RBF, ConstantKernel
    >>> from skgpng.kernels import parse
    >>> structure = parse(ConstantKernel(2.0) * RBF(3.0)).structure
    >>> [(name, operand.names) for name, operand in structure.operands]
    [('k1', ('constant_value',)), ('k2', ('length_scale',))]
    >>> structure == parse(ConstantKernel(5.0) * RBF(0.1)).structure  # values are no part of it
    True
    """

    formula: type[Formula]
    names: tuple[str, ...]
    own: tuple[int, ...]
    settings: tuple[tuple[str, Any], ...]
    operands: tuple[tuple[str, KernelStructure], ...]

    @property
    def ranks(self) -> tuple[int, ...]:
        """``own`` of this kernel and all its operands, in the order of the values."""
        return sum((operand.ranks for _, operand in self.operands), self.own)

    def split(self, values: tuple) -> tuple[tuple, list[tuple]]:
        """Of the values of all hyperparameters the own ones, and those of each operand."""
        sizes = [len(self.own), *(len(operand.ranks) for _, operand in self.operands)]
        rest = iter(values)
        own, *below = (tuple(itertools.islice(rest, size)) for size in sizes)
        return own, below


def bind(structure: KernelStructure, values: tuple) -> Any:
    """The :class:`Formula` with these values in place of its hyperparameters.

    Parameters
    ----------
    structure : KernelStructure
        From :func:`parse`.
    values : tuple of tensors
        Hyperparameters in the order of ``ParsedKernel.values``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng.kernels import bind, parse
    >>> formula = bind(parse(RBF()).structure, (np.array(2.0),))
    >>> print(formula.covariance(np.zeros((1, 1)), np.full((1, 1), 2.0)).numpy().round(4))
    [[0.6065]]
    """
    bound, (own, below) = object.__new__(structure.formula), structure.split(values)
    for name, v in structure.settings:
        vars(bound)[name] = v.value if isinstance(v, ByContent) else v
    vars(bound).update(zip(structure.names, own, strict=True))
    for (name, operand), v in zip(structure.operands, below, strict=True):
        vars(bound)[name] = bind(operand, v)
    return bound


def covariance(structure: KernelStructure, values: tuple, X1: Any, X2: Any = None) -> Any:
    """Covariance matrix between the rows of X1 [N1, D] and X2 [N2, D].

    Parameters
    ----------
    structure : KernelStructure
        From :func:`parse`.
    values : tuple of tensors
        Hyperparameters in the order of ``ParsedKernel.values``.
    X1 : tensor of shape (N1, D)
    X2 : tensor of shape (N2, D), default=None
        ``None`` stands for X1.

    Returns
    -------
    tensor of shape (N1, N2)

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng.kernels import covariance, parse
    >>> parsed = parse(2.0 * RBF(0.5))
    >>> X = np.array([[0.0], [0.5]])
    >>> print(covariance(parsed.structure, parsed.values, X).numpy().round(4))
    [[2.     1.2131]
     [1.2131 2.    ]]
    """
    X1, X2 = tf.convert_to_tensor(X1), None if X2 is None else tf.convert_to_tensor(X2)
    return bind(structure, _tensors(values, X1)).covariance(X1, X2)


def diagonal(structure: KernelStructure, values: tuple, X: Any) -> Any:
    """Covariance of each row of X [N, D] with itself, [N]; see :func:`covariance`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process.kernels import DotProduct
    >>> from skgpng.kernels import diagonal, parse
    >>> parsed = parse(DotProduct(1.0))
    >>> print(diagonal(parsed.structure, parsed.values, np.array([[0.0], [2.0]])).numpy())
    [1. 5.]
    """
    X = tf.convert_to_tensor(X)
    return bind(structure, _tensors(values, X)).diagonal(X)


def _tensors(values: tuple, X: Any) -> tuple:
    return tuple(tf.convert_to_tensor(v, dtype_hint=X.dtype) for v in values)


def of_each_latent(structure: KernelStructure, values: tuple) -> list[tuple]:
    """Structure and values of each latent function: one pair where all share it.

    A ``CompoundKernel`` holds one kernel for each latent function.

    Examples
    --------
    >>> from sklearn.gaussian_process.kernels import RBF, CompoundKernel
    >>> from skgpng.kernels import of_each_latent, parse
    >>> parsed = parse(CompoundKernel([RBF(1.0), RBF(2.0)]))
    >>> [float(values[0]) for _, values in of_each_latent(parsed.structure, parsed.values)]
    [1.0, 2.0]
    """
    if structure.formula is not Compound:
        return [(structure, values)]
    operands = [operand for _, operand in structure.operands]
    return list(zip(operands, structure.split(values)[1], strict=True))


def walk(structure: KernelStructure, seen: np.ndarray | None = None) -> Iterator[tuple]:
    """Every kernel of a tree, each before its operands, with the columns of X that it sees.

    They are positions, of which the outermost sees ``seen``; ``None`` where a kernel above hands
    on what are no columns of X.
    """
    yield structure, seen
    below = None if seen is None else without_values(structure).selects(seen)
    for _, operand in structure.operands:
        yield from walk(operand, below)


def without_values(structure: KernelStructure) -> Any:
    """The formula, to ask it what does not depend on hyperparameters."""
    return bind(structure, (None,) * len(structure.ranks))


def is_stationary(structure: KernelStructure) -> bool:
    """Whether adding a constant to all rows changes nothing.

    Examples
    --------
    >>> from sklearn.gaussian_process.kernels import RBF, DotProduct
    >>> from skgpng.kernels import is_stationary, parse
    >>> is_stationary(parse(2.0 * RBF()).structure), is_stationary(parse(DotProduct()).structure)
    (True, False)
    """
    return without_values(structure).is_stationary()


def depth(structure: KernelStructure, n_columns: int) -> int:
    """Numbers that are in memory together for each covariance of rows [N, D].

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.kernels import OrthogonalAdditive, completed, depth, parse
    >>> depth(parse(completed(2.0 * OrthogonalAdditive(), np.eye(5))).structure, 5)
    5
    """
    each = walk(structure, np.arange(n_columns))
    sees = ((without_values(k), n_columns if seen is None else len(seen)) for k, seen in each)
    return max(kernel.depth(n) for kernel, n in sees)


def metric(structure: KernelStructure, values: tuple, n_columns: int) -> np.ndarray | None:
    """Weights [D] of the columns by which the nearest rows are the most correlated, or None.

    Examples
    --------
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng.kernels import metric, parse
    >>> parsed = parse(2.0 * RBF([0.5, 2.0]))
    >>> metric(parsed.structure, parsed.values, 2)
    array([4.  , 0.25])
    """
    return bind(structure, values).metric(n_columns)


def needs_all_rows(structure: KernelStructure) -> bool:
    """Whether it can be differentiated in one piece only: a part of it has no formula here.

    Examples
    --------
    >>> from sklearn.gaussian_process.kernels import RBF, PairwiseKernel
    >>> from skgpng.kernels import needs_all_rows, parse
    >>> needs_all_rows(parse(RBF()).structure), needs_all_rows(parse(PairwiseKernel()).structure)
    (False, True)
    """
    return any(kernel.formula is BlackBox for kernel, _ in walk(structure))


def jitter_unit(structure: KernelStructure, values: tuple, Z: Any) -> Any:
    r"""Unit of the jitter of the covariances of rows Z [M, D]; None where it is their mean.

    Far from the origin, a ``DotProduct`` has the variance :math:`\sigma_0^2 + |c|^2`, of which the
    rows, a short way from c, tell nothing: a millionth of it would hide the slope. Its unit is
    the mean of :math:`|z - c|^2`, with c the mean of Z, and what rounding asks for besides.

    Parameters
    ----------
    structure : KernelStructure
        Of one latent function.
    values : tuple of tensors
    Z : tensor of shape (M, D)

    Returns
    -------
    scalar tensor or None
        It has gradients in ``values`` and Z.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process.kernels import RBF, DotProduct
    >>> from skgpng.kernels import jitter_unit, parse
    >>> Z = np.array([[999.0], [1001.0]])
    >>> parsed = parse(DotProduct(1.0))
    >>> print(jitter_unit(parsed.structure, parsed.values, Z).numpy().round(6))
    1.000444
    >>> parsed = parse(RBF())
    >>> print(jitter_unit(parsed.structure, parsed.values, Z))
    None
    """
    kernel = bind(structure, _tensors(values, Z))
    variation = kernel.variation(Z)
    if variation is None:
        return None
    near, far = (tf.reduce_mean(variance) for variance in (variation, kernel.diagonal(Z)))
    return near + _ROUNDING * tf.cast(tf.shape(Z)[0], near.dtype) * far
