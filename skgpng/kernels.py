r"""Covariance functions of scikit-learn's kernel objects, as TensorFlow formulas.

scikit-learn's kernels are the kernel language: their names, bounds, ``"fixed"``, operators and
printed form. :func:`parse` splits such an object into a hashable :class:`Kernel` (structure) and
the values of its hyperparameters; :func:`covariance` evaluates the two on tensors. One short
formula per class is registered with :func:`register`.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.gaussian_process import kernels as sk

from ._tensorflow import custom_gradient, tf
from .linalg import squared_distance, squared_distance_within
from .parameters import Parameter

__all__ = [
    "Kernel",
    "ParsedKernel",
    "check_columns",
    "column_scales",
    "covariance",
    "diagonal",
    "is_stationary",
    "jitter_unit",
    "length_scales",
    "of_each_latent",
    "parse",
    "register",
    "rebuild",
]


class Kernel(NamedTuple):
    """Structure of a kernel: hashable, without the values of its hyperparameters.

    Attributes
    ----------
    cls : type
        scikit-learn kernel class.
    ranks : tuple of int
        Per own hyperparameter: 0 for a number, 1 for one value per input column.
    free : tuple of bool
        Per own hyperparameter: whether training may move it (not ``"fixed"``).
    static : tuple
        Settings that are no hyperparameters, such as ``nu`` or an exponent.
    children : tuple of Kernel
        Operands of a sum, product or power.
    """

    cls: type
    ranks: tuple[int, ...]
    free: tuple[bool, ...]
    static: tuple[float, ...]
    children: tuple[Kernel, ...]

    @property
    def n_values(self) -> int:
        """Number of hyperparameters of this kernel and all its operands."""
        return len(self.ranks) + sum(child.n_values for child in self.children)

    @property
    def all_free(self) -> tuple[bool, ...]:
        """``free`` of this kernel and all its operands, in the order of the values."""
        return sum((child.all_free for child in self.children), self.free)

    @property
    def all_ranks(self) -> tuple[int, ...]:
        """``ranks`` of this kernel and all its operands, in the order of the values."""
        return sum((child.all_ranks for child in self.children), self.ranks)


class ParsedKernel(NamedTuple):
    """A scikit-learn kernel taken apart.

    Attributes
    ----------
    structure : Kernel
        Without the noise term.
    names : tuple of str
        Parameter names as in ``kernel.get_params()``, one per value.
    values : tuple of ndarray
        Hyperparameters (not their logarithms), each of shape () or (D,).
    bounds : tuple of ndarray of shape (2,) or (D, 2)
        Lower and upper bound of each; for a fixed one its own value twice.
    noise_name : str or None
        Parameter name of the ``noise_level`` of a ``WhiteKernel`` in the sum.
    """

    structure: Kernel
    names: tuple[str, ...]
    values: tuple[np.ndarray, ...]
    bounds: tuple[np.ndarray, ...]
    noise_name: str | None

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The hyperparameters."""
        given = zip(self.names, self.values, self.bounds, self.structure.all_free, strict=True)
        return tuple(Parameter(*each) for each in given)


class _Formula(NamedTuple):
    hyperparameters: tuple[str, ...]
    operands: tuple[str, ...]
    static: Callable[[Any], tuple[float, ...]]
    covariance: Callable[[Kernel, tuple, Any, Any], Any]
    diagonal: Callable[[Kernel, tuple, Any], Any]
    stationary: bool
    columns: Callable[[Any], Any] | None


_FORMULAS: dict[type, _Formula] = {}

# Formulas divide by these: they may not be zero even where they are fixed.
_DIVISORS = {"length_scale", "periodicity", "alpha"}


def register(
    cls: type,
    covariance: Callable[[Kernel, tuple, Any, Any], Any],
    diagonal: Callable[[Kernel, tuple, Any], Any],
    hyperparameters: tuple[str, ...] = (),
    operands: tuple[str, ...] = (),
    static: Callable[[Any], tuple[float, ...]] = lambda kernel: (),
    stationary: bool = False,
    columns: Callable[[Any], Any] | None = None,
) -> None:
    """Teach skgpng a kernel class.

    Its hyperparameters may be numbers or vectors of any length: ``fit`` evaluates the formula on a
    few rows, and refuses a kernel for which that fails.

    Parameters
    ----------
    cls : type
        Subclass of ``sklearn.gaussian_process.kernels.Kernel``.
    covariance : callable
        ``covariance(kernel, values, X1, X2)`` gives [N1, N2] from X1 [N1, D] and X2 [N2, D];
        X2 is ``None`` where it is X1. ``values`` holds the kernel's own hyperparameters, then
        those of its operands.
    diagonal : callable
        ``diagonal(kernel, values, X)`` gives [N], the covariance of each row with itself.
    hyperparameters : tuple of str
        Names of the positive hyperparameters, as in ``get_params``.
    operands : tuple of str
        Names of the parameters that are kernels.
    static : callable
        Gives the hashable settings of a kernel object that change its formula. It may raise
        ``ValueError`` for a setting that is not supported.
    stationary : bool, default=False
        Whether adding a constant to all rows changes nothing (with stationary operands): then
        rows are centred before they are rounded to ``dtype="float32"``.
    columns : callable, default=None
        Gives the positions of the columns of X that a kernel object and its operands look at;
        ``None`` stands for all. For ``feature_relevances_``: the formula has to take them itself.
    """
    _FORMULAS[cls] = _Formula(
        hyperparameters, operands, static, covariance, diagonal, stationary, columns
    )


def covariance(kernel: Kernel, values: tuple, X1: Any, X2: Any = None) -> Any:
    """Covariance matrix between the rows of X1 [N1, D] and X2 [N2, D].

    Parameters
    ----------
    kernel : Kernel
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
    >>> structure, _, values, _, _ = parse(2.0 * RBF(0.5))
    >>> print(covariance(structure, values, np.array([[0.0], [0.5]])).numpy().round(4))
    [[2.     1.2131]
     [1.2131 2.    ]]
    """
    return _FORMULAS[kernel.cls].covariance(kernel, values, X1, X2)


def diagonal(kernel: Kernel, values: tuple, X: Any) -> Any:
    """Covariance of each row of X [N, D] with itself, [N]; see :func:`covariance`."""
    return _FORMULAS[kernel.cls].diagonal(kernel, values, X)


def of_each_latent(kernel: Kernel, values: tuple) -> list[tuple[Kernel, tuple]]:
    """Kernel and values of each latent function: one pair where all share it.

    A ``CompoundKernel`` holds one kernel for each latent function.
    """
    return (
        list(_operands(kernel, values)) if kernel.cls is sk.CompoundKernel else [(kernel, values)]
    )


# --- structure and values of a kernel tree ---------------------------------------------------


def parse(kernel: Any) -> ParsedKernel:
    """Split a scikit-learn kernel into structure, values and bounds.

    A ``WhiteKernel`` that is a term of the outermost sum is the Gaussian likelihood's noise and
    is left out of the structure. A ``CompoundKernel`` gives one kernel for each latent function.

    Raises
    ------
    TypeError
        ``kernel`` is not a scikit-learn kernel, or holds a class without a registered formula.
    ValueError
        A ``WhiteKernel`` stands elsewhere than in the outermost sum, stands there twice, or
        stands alone; or a setting (such as Matern's ``nu``) is not supported.

    Examples
    --------
    >>> from sklearn.gaussian_process.kernels import RBF, WhiteKernel
    >>> from skgpng.kernels import parse
    >>> parsed = parse(2.0 * RBF(0.5) + WhiteKernel(0.1))
    >>> parsed.names
    ('k1__k1__constant_value', 'k1__k2__length_scale')
    >>> parsed.noise_name
    'k2__noise_level'
    """
    if not isinstance(kernel, sk.Kernel):
        raise TypeError(
            "kernel must be a scikit-learn kernel such as 1.0 * RBF() or None, "
            f"got {kernel!r} of type {type(kernel).__name__}."
        )
    if isinstance(kernel, sk.CompoundKernel):
        return _parse_compound(kernel)
    return _parse_one(kernel, "")


def rebuild(kernel: Any, names: tuple[str, ...], values: tuple) -> Any:
    """Copy of a scikit-learn kernel with the named hyperparameters set.

    Examples
    --------
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng.kernels import rebuild
    >>> rebuild(1.0 * RBF(0.5), ("k2__length_scale",), (2.0,))
    1**2 * RBF(length_scale=2)
    """
    if isinstance(kernel, sk.CompoundKernel):
        return sk.CompoundKernel(_rebuild_each(kernel, names, values))
    plain = {
        name: float(value) if np.ndim(value) == 0 else np.array(value, dtype=float)
        for name, value in zip(names, values, strict=True)
    }
    return clone(kernel).set_params(**plain)


def length_scales(kernel: Any) -> list[np.ndarray]:
    """Length scales of every stationary kernel in a scikit-learn kernel, each () or (D,).

    Examples
    --------
    >>> from sklearn.gaussian_process.kernels import RBF, DotProduct
    >>> from skgpng.kernels import length_scales
    >>> length_scales(2.0 * RBF(0.5) + DotProduct())
    [array(0.5)]
    """
    parts = kernel.kernels if isinstance(kernel, sk.CompoundKernel) else [kernel]
    return [
        np.asarray(value)
        for part in parts
        for name, value in part.get_params().items()
        if name.rpartition("__")[2] == "length_scale"
    ]


def _parse_one(kernel: Any, path: str) -> ParsedKernel:
    """What is no CompoundKernel; ``path`` begins its parameter names."""
    terms = list(_terms(kernel, path))
    noise = [path for path, term in terms if isinstance(term, sk.WhiteKernel)]
    if len(noise) > 1:
        raise ValueError(
            f"kernel has {len(noise)} WhiteKernel terms ({', '.join(noise)}): only their sum can "
            "be learned. Keep one."
        )
    if len(noise) == len(terms):
        raise ValueError(
            f"{_where(path)} is noise only: add a kernel for the signal, as in RBF() + "
            "WhiteKernel()."
        )
    for where, term in terms:
        if where in noise:
            _hyperparameter(term, "noise_level", where)
    structure, names, values, bounds = _parse_node(kernel, path, frozenset(noise))
    return ParsedKernel(
        structure, names, values, bounds, f"{noise[0]}noise_level" if noise else None
    )


def _parse_compound(kernel: Any) -> ParsedKernel:
    """One kernel after the other; ``3__k1__length_scale`` is a name of the fourth."""
    if not kernel.kernels:
        raise ValueError("kernel is a CompoundKernel of no kernels: give one for each class.")
    parts = [_parse_one(part, f"{k}__") for k, part in enumerate(kernel.kernels)]
    structures, names, values, bounds, noise = zip(*parts, strict=True)
    structure = Kernel(sk.CompoundKernel, (), (), (), structures)
    noise_name = next(filter(None, noise), None)
    return ParsedKernel(structure, sum(names, ()), sum(values, ()), sum(bounds, ()), noise_name)


def _rebuild_each(kernel: Any, names: tuple[str, ...], values: tuple) -> list:
    split = [name.partition("__") for name in names]
    return [
        rebuild(
            part,
            tuple(rest for own, _, rest in split if own == str(k)),
            tuple(v for (own, _, _), v in zip(split, values, strict=True) if own == str(k)),
        )
        for k, part in enumerate(kernel.kernels)
    ]


def _terms(kernel: Any, path: str) -> Any:
    """Terms of the outermost sum with their parameter-name prefixes."""
    if isinstance(kernel, sk.Sum):
        yield from _terms(kernel.k1, f"{path}k1__")
        yield from _terms(kernel.k2, f"{path}k2__")
    else:
        yield path, kernel


def _parse_node(kernel: Any, path: str, noise: frozenset[str]) -> tuple:
    """Structure, names, values and bounds of one node and everything below it."""
    if isinstance(kernel, sk.Sum) and f"{path}k1__" in noise:
        return _parse_node(kernel.k2, f"{path}k2__", noise)
    if isinstance(kernel, sk.Sum) and f"{path}k2__" in noise:
        return _parse_node(kernel.k1, f"{path}k1__", noise)
    formula = _formula(kernel, path)
    own = [_hyperparameter(kernel, name, path) for name in formula.hyperparameters]
    below = [_parse_node(getattr(kernel, o), f"{path}{o}__", noise) for o in formula.operands]
    structure = Kernel(
        type(kernel),
        tuple(np.ndim(value) for value, _, _ in own),
        tuple(free for _, _, free in own),
        _static(formula, kernel, path),
        tuple(child[0] for child in below),
    )
    names = sum((child[1] for child in below), tuple(path + n for n in formula.hyperparameters))
    values = sum((child[2] for child in below), tuple(value for value, _, _ in own))
    bounds = sum((child[3] for child in below), tuple(bound for _, bound, _ in own))
    return structure, names, values, bounds


def _name(cls: type) -> str:
    return cls.__name__


def _where(path: str) -> str:
    """The kernel below a prefix of parameter names, for messages."""
    return f"kernel parameter {path[:-2]!r}" if path else "kernel"


def _static(formula: _Formula, kernel: Any, path: str) -> tuple[float, ...]:
    """Settings of a kernel; what is wrong with them is said with the path."""
    try:
        return formula.static(kernel)
    except ValueError as error:
        raise ValueError(f"{_where(path)}: {error}") from error


def _formula(kernel: Any, path: str) -> _Formula:
    where = _where(path)
    if isinstance(kernel, sk.WhiteKernel):
        raise ValueError(
            f"{where} is a WhiteKernel inside a product or power. It stands for the noise: make "
            "it a term of the outermost sum, as in RBF() + WhiteKernel()."
        )
    if type(kernel) not in _FORMULAS:
        known = ", ".join(sorted(name for name in map(_name, _FORMULAS) if name[0] != "_"))
        raise TypeError(
            f"{where} is a {type(kernel).__name__}, which is not supported. Supported: {known}, "
            "WhiteKernel; skgpng.kernels.register adds a formula for another class."
        )
    return _FORMULAS[type(kernel)]


def _hyperparameter(kernel: Any, name: str, path: str) -> tuple[np.ndarray, np.ndarray, bool]:
    """Value, bounds and freedom of one hyperparameter."""
    given = getattr(kernel, f"{name}_bounds")
    free = not (isinstance(given, str) and given == "fixed")
    value = _positive(getattr(kernel, name), path + name, not free and name not in _DIVISORS)
    if not free:
        return value, np.stack([value, value], -1), False
    return value, _bounds(given, value, f"{path}{name}_bounds"), True


def _positive(given: Any, name: str, zero: bool) -> np.ndarray:
    """A value of shape () or (D,); ``zero``: it may be zero."""
    value = _numbers(given)
    if value is None or value.ndim > 1 or not np.all(np.isfinite(value) & (value >= 0)):
        value = None
    if value is None or not (zero or np.all(value > 0)):
        sign = "positive or zero" if zero else "positive"
        raise ValueError(
            f"kernel parameter {name!r} must be {sign} and finite, got {given!r}. Give one number, "
            "or one per feature."
        )
    return value


def _bounds(given: Any, value: np.ndarray, name: str) -> np.ndarray:
    """Bounds [..., 2] of a free hyperparameter; 0 and infinity stand for none."""
    bounds = _numbers(given)
    if bounds is not None and bounds.shape in ((2,), (1, 2), (value.size, 2)):
        bounds = np.array(np.broadcast_to(bounds, (value.size, 2)).reshape(*value.shape, 2))
        low, high = np.moveaxis(bounds, -1, 0)
        if np.all((low >= 0) & (low <= high) & (high > 0) & np.isfinite(low)):
            return bounds
    raise ValueError(
        f"kernel parameter {name!r} must be 'fixed' or a pair (low, high) with 0 <= low <= high "
        f"and high > 0, or one such pair for each of the {value.size} values; got {given!r}."
    )


def _numbers(given: Any) -> np.ndarray | None:
    """As float64, or None where they are no real numbers."""
    try:
        numbers = np.asarray(given)
    except ValueError:  # lists of different lengths
        return None
    return numbers.astype(np.float64) if numbers.dtype.kind in "biuf" else None


# --- stationary kernels: phi(r^2), r the distance of the rows divided by the length scales ---


def _register_stationary(
    cls: type,
    of_squared_distance: Callable[[Kernel, tuple, Any], Any],
    *hyperparameters: str,
    static: Callable[[Any], tuple[float, ...]] = lambda kernel: (),
) -> None:
    """The first hyperparameter is the length scale unless the kernel takes plain distances."""

    def covariance(kernel: Kernel, values: tuple, X1: Any, X2: Any) -> Any:
        scale = tf.convert_to_tensor(values[0])
        if scale.shape.rank == 1 and not scale.shape.is_compatible_with(X1.shape[1:]):
            raise ValueError(f"{scale.shape[0]} length scales do not fit {X1.shape[1]} columns.")
        if X2 is None:
            r2 = squared_distance_within(X1, scale)
        else:
            r2 = squared_distance(X1, X2, scale)
        return of_squared_distance(kernel, values[1:], r2)

    def diagonal(kernel: Kernel, values: tuple, X: Any) -> Any:
        return tf.ones(tf.shape(X)[:1], X.dtype)

    register(cls, covariance, diagonal, hyperparameters, static=static, stationary=True)


@custom_gradient
def _squared_exponential(r2: Any) -> Any:
    r""":math:`e^{-r^2/2}`, derivative in :math:`r^2`: :math:`-\tfrac12 e^{-r^2/2}`."""
    K = tf.exp(-0.5 * r2)
    return K, lambda upstream: -0.5 * upstream * K


@custom_gradient
def _matern12(r2: Any) -> Any:
    r""":math:`e^{-r}`, derivative in :math:`r^2`: :math:`-e^{-r}/(2r)`.

    The derivative at r = 0 is set to zero: those are equal rows, where the distance does not
    depend on the length scale.
    """
    r = tf.sqrt(r2)
    K = tf.exp(-r)
    return K, lambda upstream: -0.5 * upstream * tf.math.divide_no_nan(K, r)


@custom_gradient
def _matern32(r2: Any) -> Any:
    r""":math:`(1+s)e^{-s}, s=\sqrt3 r`, derivative in :math:`r^2`: :math:`-\tfrac32 e^{-s}`."""
    s = tf.sqrt(3.0 * r2)
    E = tf.exp(-s)
    return (1.0 + s) * E, lambda upstream: -1.5 * upstream * E


@custom_gradient
def _matern52(r2: Any) -> Any:
    r""":math:`(1+s+s^2/3)e^{-s}, s=\sqrt5 r`; derivative :math:`-\tfrac56(1+s)e^{-s}`."""
    s = tf.sqrt(5.0 * r2)
    E = tf.exp(-s)
    slope = (1.0 + s) * E
    return slope + (5.0 / 3.0) * r2 * E, lambda upstream: (-5.0 / 6.0) * upstream * slope


_MATERN = {0.5: _matern12, 1.5: _matern32, 2.5: _matern52, np.inf: _squared_exponential}


def _matern_nu(kernel: Any) -> tuple[float]:
    if not isinstance(kernel.nu, Real) or kernel.nu not in _MATERN:
        raise ValueError(
            f"Matern(nu={kernel.nu!r}) is not supported: nu must be 0.5, 1.5, 2.5 or inf."
        )
    return (float(kernel.nu),)


_register_stationary(sk.RBF, lambda kernel, values, r2: _squared_exponential(r2), "length_scale")
_register_stationary(
    sk.Matern,
    lambda kernel, values, r2: _MATERN[kernel.static[0]](r2),
    "length_scale",
    static=_matern_nu,
)


def _rational_quadratic(kernel: Kernel, values: tuple, r2: Any) -> Any:
    r""":math:`(1 + r^2 / 2\alpha)^{-\alpha}`."""
    (alpha,) = values
    return tf.exp(-alpha * tf.math.log1p(0.5 * r2 / alpha))


_register_stationary(sk.RationalQuadratic, _rational_quadratic, "length_scale", "alpha")


@custom_gradient
def _squared_sine(r2: Any) -> Any:
    r""":math:`\sin^2(\pi r)`; its derivative in :math:`r^2` is :math:`\pi\sin(2\pi r)/2r`.

    At r = 0 the derivative is set to zero: it only ever multiplies a distance of zero.
    """
    r = tf.sqrt(r2)

    def gradient(upstream: Any) -> Any:
        return upstream * tf.math.divide_no_nan(0.5 * np.pi * tf.sin(2.0 * np.pi * r), r)

    return tf.sin(np.pi * r) ** 2, gradient


def _exp_sine_squared(kernel: Kernel, values: tuple, r2: Any) -> Any:
    r""":math:`\exp(-2 \sin^2(\pi d / p) / \ell^2)`, r = d/p."""
    (length_scale,) = values
    return tf.exp(-2.0 * _squared_sine(r2) / length_scale**2)


_register_stationary(sk.ExpSineSquared, _exp_sine_squared, "periodicity", "length_scale")


# --- other leaves and operators --------------------------------------------------------------


def _rows(X1: Any, X2: Any) -> tuple[Any, Any]:
    return X1, X1 if X2 is None else X2


def _constant(kernel: Kernel, values: tuple, X1: Any, X2: Any) -> Any:
    X1, X2 = _rows(X1, X2)
    return tf.fill([tf.shape(X1)[0], tf.shape(X2)[0]], tf.cast(values[0], X1.dtype))


def _constant_diagonal(kernel: Kernel, values: tuple, X: Any) -> Any:
    return tf.fill(tf.shape(X)[:1], tf.cast(values[0], X.dtype))


def _dot_product(kernel: Kernel, values: tuple, X1: Any, X2: Any) -> Any:
    r""":math:`\sigma_0^2 + x^\top x'`."""
    X1, X2 = _rows(X1, X2)
    return values[0] ** 2 + tf.matmul(X1, X2, transpose_b=True)


def _dot_product_diagonal(kernel: Kernel, values: tuple, X: Any) -> Any:
    return values[0] ** 2 + tf.reduce_sum(X * X, 1)


def _operands(kernel: Kernel, values: tuple) -> Any:
    """Operands with their share of the values."""
    start = len(kernel.ranks)
    for child in kernel.children:
        yield child, values[start : start + child.n_values]
        start += child.n_values


def _sum(kernel: Kernel, values: tuple, X1: Any, X2: Any) -> Any:
    return tf.add_n([covariance(k, v, X1, X2) for k, v in _operands(kernel, values)])


def _sum_diagonal(kernel: Kernel, values: tuple, X: Any) -> Any:
    return tf.add_n([diagonal(k, v, X) for k, v in _operands(kernel, values)])


def _factors(kernel: Kernel, values: tuple, evaluate: Callable[[Kernel, tuple], Any]) -> Any:
    """Product of the two operands; a constant factor stays a number, not a filled matrix."""
    left, right = (
        v[0] if k.cls is sk.ConstantKernel else evaluate(k, v) for k, v in _operands(kernel, values)
    )
    return left * right


def _product(kernel: Kernel, values: tuple, X1: Any, X2: Any) -> Any:
    if all(child.cls is sk.ConstantKernel for child in kernel.children):
        return values[1] * _constant(kernel, values, X1, X2)
    return _factors(kernel, values, lambda k, v: covariance(k, v, X1, X2))


def _product_diagonal(kernel: Kernel, values: tuple, X: Any) -> Any:
    if all(child.cls is sk.ConstantKernel for child in kernel.children):
        return values[1] * _constant_diagonal(kernel, values, X)
    return _factors(kernel, values, lambda k, v: diagonal(k, v, X))


def _exponent(kernel: Any) -> tuple[float]:
    if not isinstance(kernel.exponent, Real) or not 0 < float(kernel.exponent) < np.inf:
        raise ValueError(f"exponent must be positive and finite, got {kernel.exponent!r}.")
    return (float(kernel.exponent),)


def _power(kernel: Kernel, values: tuple, X1: Any, X2: Any) -> Any:
    return covariance(kernel.children[0], values, X1, X2) ** kernel.static[0]


def _power_diagonal(kernel: Kernel, values: tuple, X: Any) -> Any:
    return diagonal(kernel.children[0], values, X) ** kernel.static[0]


register(sk.ConstantKernel, _constant, _constant_diagonal, ("constant_value",), stationary=True)
register(sk.DotProduct, _dot_product, _dot_product_diagonal, ("sigma_0",))
register(sk.Sum, _sum, _sum_diagonal, operands=("k1", "k2"), stationary=True)
register(sk.Product, _product, _product_diagonal, operands=("k1", "k2"), stationary=True)
register(
    sk.Exponentiation,
    _power,
    _power_diagonal,
    operands=("kernel",),
    static=_exponent,
    stationary=True,
)

_BUILT_IN = frozenset(_FORMULAS) | {sk.CompoundKernel}


# --- where a kernel stands to its rows -------------------------------------------------------


def is_stationary(kernel: Kernel) -> bool:
    """Whether adding a constant to all rows changes nothing, as registered.

    Examples
    --------
    >>> from sklearn.gaussian_process.kernels import RBF, DotProduct
    >>> from skgpng.kernels import is_stationary, parse
    >>> is_stationary(parse(2.0 * RBF()).structure), is_stationary(parse(DotProduct()).structure)
    (True, False)
    """
    own = kernel.cls is sk.CompoundKernel or _FORMULAS[kernel.cls].stationary
    return own and all(map(is_stationary, kernel.children))


def _variant(kernel: Kernel, classes: dict[type, type]) -> Kernel:
    """The kernel with formulas of some classes replaced by those of others."""
    children = tuple(_variant(child, classes) for child in kernel.children)
    return kernel._replace(cls=classes.get(kernel.cls, kernel.cls), children=children)


class _CentredDotProduct:
    """Stands for a DotProduct of rows less their mean, without its constant."""


class _Nothing:
    """Stands for a constant that is added."""


def _centred_diagonal(kernel: Kernel, values: tuple, X: Any) -> Any:
    return tf.reduce_sum((X - tf.reduce_mean(X, 0)) ** 2, 1)


register(_CentredDotProduct, _dot_product, _centred_diagonal)
register(_Nothing, _constant, lambda kernel, values, X: tf.zeros_like(X[:, 0]))


def _about_middle(kernel: Kernel) -> Kernel:
    """What a kernel has about the mean of the rows, where it is a polynomial, or a term of it is.

    A product with a kernel that is none varies as much far from the origin as its variance says.
    """
    if kernel.cls is sk.DotProduct:
        return kernel._replace(cls=_CentredDotProduct)
    if kernel.cls is sk.Sum:
        hidden = {sk.ConstantKernel: _Nothing}
        children = tuple(k._replace(cls=hidden.get(k.cls, k.cls)) for k in kernel.children)
    elif kernel.cls in (sk.Product, sk.Exponentiation) and _is_polynomial(kernel):
        children = kernel.children
    else:
        return kernel
    return kernel._replace(children=tuple(map(_about_middle, children)))


def _is_polynomial(kernel: Kernel) -> bool:
    of_others = kernel.cls in (sk.Sum, sk.Product, sk.Exponentiation)
    return kernel.cls in (sk.DotProduct, sk.ConstantKernel) or (
        of_others and all(map(_is_polynomial, kernel.children))
    )


def _contains(kernel: Kernel, cls: type) -> bool:
    return kernel.cls is cls or any(_contains(child, cls) for child in kernel.children)


# What the jitter has to cover of rounding: with jitter of 1e-6, so many eps times the trace.
_ROUNDING = 1e6 * np.finfo(np.float64).eps


def jitter_unit(kernel: Kernel, values: tuple, Z: Any) -> Any:
    r"""Unit of the jitter of the covariances of rows Z [M, D]; None where it is their mean.

    Far from the origin, a ``DotProduct`` has the variance :math:`\sigma_0^2 + |c|^2`, of which the
    rows, a short way from c, tell nothing: a millionth of it would hide the slope. Its unit is
    the mean of :math:`|z - c|^2`, with c the mean of Z, and what rounding asks for besides.

    Parameters
    ----------
    kernel : Kernel
        Of one latent function.
    values : tuple of tensors
    Z : tensor of shape (M, D)

    Returns
    -------
    scalar tensor or None
        It has gradients in ``values`` and Z.
    """
    centred = _about_middle(kernel)
    if not _contains(centred, _CentredDotProduct):
        return None
    near, far = (tf.reduce_mean(diagonal(k, values, Z)) for k in (centred, kernel))
    return near + _ROUNDING * tf.cast(tf.shape(Z)[0], near.dtype) * far


def column_scales(kernel: Any, n_features: int) -> list[np.ndarray]:
    """Length scales of a scikit-learn kernel for each column of X, [D]; infinite for one unseen.

    ValueError where a kernel has another number of them than columns to look at.

    Examples
    --------
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng.kernels import column_scales
    >>> column_scales(2.0 * RBF(0.5), 2)
    [array([0.5, 0.5])]
    """
    parts = kernel.kernels if isinstance(kernel, sk.CompoundKernel) else [kernel]
    every = np.arange(n_features)
    return [scale for part in parts for scale in _column_scales(part, every, n_features)]


def _column_scales(kernel: Any, seen: np.ndarray, n_features: int) -> Any:
    formula = _FORMULAS.get(type(kernel))
    if formula is None:  # a WhiteKernel
        return
    if formula.columns is not None:
        seen = seen[np.asarray(formula.columns(kernel))]
    if "length_scale" in formula.hyperparameters:
        scale, found = np.asarray(kernel.length_scale), np.full(n_features, np.inf)
        if scale.ndim and len(scale) != len(seen):
            raise ValueError(
                f"{kernel} has {len(scale)} length scales for {len(seen)} columns. Where it looks "
                "at some columns only, say which: skgpng.kernels.register(..., columns=...)."
            )
        found[seen] = scale
        yield found
    for operand in formula.operands:
        yield from _column_scales(getattr(kernel, operand), seen, n_features)


# --- whether a kernel fits the columns of X ---------------------------------------------------

_PERIODIC = (
    "an ExpSineSquared is a covariance on one column only, but X has {n} features (of distances "
    "in more dimensions it has negative eigenvalues). Replace a periodic column x of period p by "
    "sin(2 pi x / p) and cos(2 pi x / p) under an RBF, or select one column for each by a kernel "
    "of your own (skgpng.kernels.register), and multiply them."
)


class _OneColumnOnly:
    """Stands for an ExpSineSquared that refuses rows of several columns."""


def _one_column(kernel: Kernel, values: tuple, X1: Any, X2: Any) -> Any:
    if X1.shape[1] != 1:
        raise ValueError(_PERIODIC.format(n=X1.shape[1]))
    return _FORMULAS[sk.ExpSineSquared].covariance(kernel, values, X1, X2)


register(_OneColumnOnly, _one_column, _FORMULAS[sk.ExpSineSquared].diagonal)


def check_columns(parsed: ParsedKernel, X: np.ndarray) -> None:
    """Raise ValueError where a kernel does not fit the columns of X [N, D].

    A hyperparameter of a built-in kernel has one value, or one per column; an ``ExpSineSquared``
    takes one column. Classes added by :func:`register`, and what they are made of, are evaluated
    on the first rows.
    """
    _check_node(parsed.structure, parsed.names, parsed.values, X)


def _check_node(kernel: Kernel, names: tuple, values: tuple, X: np.ndarray) -> None:
    if kernel.cls not in _BUILT_IN:
        _try_out(kernel, names, values, X)
        return
    n_own, n_features = len(kernel.ranks), X.shape[1]
    for name, value in zip(names[:n_own], values):
        if value.ndim == 1 and len(value) != n_features:
            raise ValueError(
                f"kernel parameter {name!r} has {len(value)} values, but X has {n_features} "
                "features. Give one number, or one per feature."
            )
    if kernel.cls is sk.ExpSineSquared and n_features > 1:
        raise ValueError(f"{_where(_path(kernel, names))}: {_PERIODIC.format(n=n_features)}")
    each = zip(_operands(kernel, names), _operands(kernel, values), strict=True)
    for (child, own_names), (_, own_values) in each:
        _check_node(child, own_names, own_values, X)


def _path(kernel: Kernel, names: tuple) -> str:
    """Prefix of the parameter names of a kernel, from those of its values; "" where it has none."""
    formula = _FORMULAS[kernel.cls]
    if formula.hyperparameters:
        return names[0].removesuffix(formula.hyperparameters[0])
    for operand, (child, own) in zip(formula.operands, _operands(kernel, names), strict=True):
        if own:
            return _path(child, own).removesuffix(f"{operand}__")
    return ""


def _try_out(kernel: Kernel, names: tuple, values: tuple, X: np.ndarray) -> None:
    """Raise ValueError where a registered kernel cannot be evaluated on the first rows of X."""
    shapes = ", ".join(f"{n} {np.shape(v)}" for n, v in zip(names, values, strict=True)) or "none"
    what = f"{_where(_path(kernel, names))}, a {kernel.cls.__name__} with the values {shapes},"
    strict = _variant(kernel, {sk.ExpSineSquared: _OneColumnOnly})
    tensors = tuple(tf.constant(value, tf.float64) for value in values)
    rows = tf.constant(X[:3], tf.float64)
    n, one = rows.shape[0], rows[:1]
    try:
        found = [
            covariance(strict, tensors, rows),
            covariance(strict, tensors, rows, one),
            diagonal(strict, tensors, rows),
        ]
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(
            f"{what} cannot be evaluated on X with {X.shape[1]} features: {reason}"
        ) from error
    for matrix, shape in zip(found, ([n, n], [n, 1], [n]), strict=True):
        if list(np.shape(matrix)) != shape:
            raise ValueError(
                f"{what} gives an array of shape {tuple(np.shape(matrix))} in place of "
                f"{tuple(shape)} for {n} rows of {X.shape[1]} features."
            )
