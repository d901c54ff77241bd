"""From a kernel object to its structure and its parameters, and back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.gaussian_process import kernels as sk

from ..parameters import Parameter, form_of
from .black_box import BlackBox, template_of
from .formula import FORMULAS, Formula, is_ours
from .operators import Compound
from .tree import KernelStructure, comparable

__all__ = ["ParsedKernel", "parse", "place", "rebuild"]

# Formulas divide by these: they may not be zero even where they are fixed.
_DIVISORS = {"length_scale", "periodicity", "alpha"}


class ParsedKernel(NamedTuple):
    """A scikit-learn kernel taken apart.

    Attributes
    ----------
    structure : KernelStructure
        Without the noise term.
    parameters : tuple of Parameter
        Of the kernel and its operands, each before those of its operands; the bounds of a fixed
        one are its own value twice.
    noise : Parameter or None
        The ``noise_level`` of a ``WhiteKernel`` in the sum.
    paths : tuple of str
        Beginning of the parameter names of each kernel in the order of :func:`walk`.
    """

    structure: KernelStructure
    parameters: tuple[Parameter, ...]
    noise: Parameter | None
    paths: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """As in ``kernel.get_params()``."""
        return tuple(p.name for p in self.parameters)

    @property
    def values(self) -> tuple[np.ndarray, ...]:
        """Hyperparameters, not their logarithms."""
        return tuple(p.value for p in self.parameters)

    @property
    def bounds(self) -> tuple[np.ndarray, ...]:
        """Lower and upper bound of each, of shape (*shape, 2)."""
        return tuple(p.bounds for p in self.parameters)

    @property
    def free(self) -> tuple[bool, ...]:
        """Whether training may move each: not ``"fixed"``."""
        return tuple(p.free for p in self.parameters)

    @property
    def noise_name(self) -> str | None:
        """Name of ``noise``."""
        return None if self.noise is None else self.noise.name

    def with_values(self, values: tuple) -> ParsedKernel:
        """The same with other values."""
        pairs = zip(self.parameters, values, strict=True)
        return self._replace(parameters=tuple(p._replace(value=v) for p, v in pairs))


def parse(kernel: Any, names: Any = None) -> ParsedKernel:
    """Split a scikit-learn kernel into structure and parameters.

    A ``WhiteKernel`` that is a term of the outermost sum is the Gaussian likelihood's noise and
    is left out of the structure. A ``CompoundKernel`` gives one kernel for each latent function.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel
    names : sequence of str, default=None
        Names of the columns of X, for kernels that select columns by name.

    Returns
    -------
    ParsedKernel

    Raises
    ------
    TypeError
        ``kernel`` is not a scikit-learn kernel.
    ValueError
        A ``WhiteKernel`` stands elsewhere than in the outermost sum, stands there twice, or
        stands alone; or a value, bounds or a setting (such as Matern's ``nu``) is not supported.

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
    names = None if names is None else tuple(names)
    if not isinstance(kernel, sk.CompoundKernel):
        return _parse_one(kernel, "", names)
    if not kernel.kernels:
        raise ValueError("kernel is a CompoundKernel of no kernels: give one for each class.")
    # 3__k1__length_scale is a name of the fourth
    parts = {str(k): _parse_one(k_, f"{k}__", names) for k, k_ in enumerate(kernel.kernels)}
    operands = tuple((name, part.structure) for name, part in parts.items())
    _, parameters, noise, paths = zip(*parts.values(), strict=True)
    return ParsedKernel(
        KernelStructure(Compound, (), (), (), operands),
        sum(parameters, ()),
        next(filter(None, noise), None),
        ("", *sum(paths, ())),
    )


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


def place(path: str) -> str:
    """The kernel whose parameter names begin with ``path``, for messages."""
    return f"kernel parameter {path[:-2]!r}" if path else "kernel"


# --- the noise term ---------------------------------------------------------------------------


class _Node(NamedTuple):
    """A kernel, the beginning of its parameter names, and the parameters of it that are kernels."""

    kernel: Any
    path: str
    operands: tuple[tuple[str, _Node], ...]


def _node(kernel: Any, path: str) -> _Node:
    given = kernel.get_params(deep=False)
    operands = {name: k for name, k in given.items() if isinstance(k, sk.Kernel)}
    return _Node(
        kernel, path, tuple((name, _node(k, f"{path}{name}__")) for name, k in operands.items())
    )


def _split_noise(kernel: Any, path: str) -> tuple[_Node | None, list[tuple[str, Any]]]:
    """The outermost sum without the terms that stand for the noise, and these with their paths."""
    if isinstance(kernel, sk.WhiteKernel):
        return None, [(path, kernel)]
    if type(kernel) is not sk.Sum:
        return _node(kernel, path), []
    left, noise = _split_noise(kernel.k1, f"{path}k1__")
    right, more = _split_noise(kernel.k2, f"{path}k2__")
    if left is None or right is None:
        return left or right, noise + more
    return _Node(kernel, path, (("k1", left), ("k2", right))), noise + more


def _parse_one(kernel: Any, path: str, columns: tuple[str, ...] | None) -> ParsedKernel:
    """What is no CompoundKernel; ``path`` begins its parameter names."""
    signal, noise = _split_noise(kernel, path)
    if len(noise) > 1:
        raise ValueError(
            f"kernel has {len(noise)} WhiteKernel terms ({', '.join(p for p, _ in noise)}): only "
            "their sum can be learned. Keep one."
        )
    if signal is None:
        raise ValueError(
            f"{place(path)} is noise only: add a kernel for the signal, as in RBF() + "
            "WhiteKernel()."
        )
    levels = [_parameter(white, "noise_level", where) for where, white in noise]
    structure, parameters, paths = _take_apart(signal, columns)
    return ParsedKernel(structure, parameters, next(iter(levels), None), paths)


# --- one kernel -------------------------------------------------------------------------------


def _take_apart(node: _Node, columns: tuple[str, ...] | None) -> tuple:
    """Structure, parameters and paths of a kernel and its operands."""
    formula, settings = _formula(node, columns)
    names = dict(settings)["names"] if formula is BlackBox else _own_names(node.kernel)
    parameters = tuple(_parameter(node.kernel, name, node.path, formula) for name in names)
    operands = () if formula is BlackBox else node.operands
    below = [_take_apart(operand, columns) for _, operand in operands]
    structures = tuple((name, part[0]) for (name, _), part in zip(operands, below, strict=True))
    return (
        KernelStructure(formula, names, form_of(parameters), settings, structures),
        sum((part[1] for part in below), parameters),
        sum((part[2] for part in below), (node.path,)),
    )


def _formula(node: _Node, columns: tuple[str, ...] | None) -> tuple[type[Formula], tuple]:
    """The formula of a kernel, and its settings."""
    kernel, where = node.kernel, place(node.path)
    if isinstance(kernel, sk.WhiteKernel):
        raise ValueError(
            f"{where} is a WhiteKernel inside a product, power or other kernel. It stands for the "
            "noise: make it a term of the outermost sum, as in RBF() + WhiteKernel()."
        )
    if isinstance(kernel, sk.CompoundKernel):
        raise TypeError(
            f"{where} is a CompoundKernel inside another kernel. It holds one kernel for each "
            "latent function: make it the outermost, as in CompoundKernel([RBF() + RBF(), RBF()])."
        )
    own = type(kernel) if isinstance(kernel, Formula) else None
    formula = own or FORMULAS.get(type(kernel), BlackBox)
    try:
        settings = None if formula is BlackBox else formula.settings(_settings(kernel), columns)
        if settings is None:
            formula, names = BlackBox, tuple(h.name for h in kernel.hyperparameters)
            settings = {"template": template_of(kernel, names), "names": names}
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return formula, tuple((name, comparable(value)) for name, value in settings.items())


def _own_names(kernel: Any) -> tuple[str, ...]:
    """Hyperparameters of a kernel itself, in the order of its parameters."""
    given = kernel.get_params(deep=False)
    return tuple(name for name in given if hasattr(type(kernel), f"hyperparameter_{name}"))


def _settings(kernel: Any) -> dict:
    own = _own_names(kernel)
    learned = {*own, *(f"{name}_bounds" for name in own)}
    given = kernel.get_params(deep=False)
    return {k: v for k, v in given.items() if k not in learned and not isinstance(v, sk.Kernel)}


def _parameter(kernel: Any, name: str, path: str, formula: type[Formula] = Formula) -> Parameter:
    """Value, bounds and freedom of one hyperparameter."""
    params, real = kernel.get_params(), name in formula.real
    if f"{name}_bounds" in params:
        given = params[f"{name}_bounds"]
    else:  # set for good by its class
        given = next(h.bounds for h in kernel.hyperparameters if h.name == name)
    free = not (isinstance(given, str) and given == "fixed")
    zero = not free and name.rpartition("__")[2] not in _DIVISORS
    sign = "" if real else "positive or zero and " if zero else "positive and "
    most_axes = 1 if is_ours(formula) else np.inf
    value = _value(params[name], path + name, sign, most_axes)
    if not free:
        bounds = np.stack([value, value], -1)
    else:
        bounds = _bounds(given, value, f"{path}{name}_bounds", -np.inf if real else 0.0)
    return Parameter(path + name, value, bounds, free, real)


def _value(given: Any, name: str, sign: str, most_axes: float) -> np.ndarray:
    value = _numbers(given)
    if value is not None and value.ndim <= most_axes and np.isfinite(value).all():
        least = np.min(value, initial=np.inf)
        if not sign or least > 0 or (least == 0 and "zero" in sign):
            return value
    raise ValueError(
        f"kernel parameter {name!r} must be {sign}finite, got {given!r}. Give one number, or one "
        "per feature."
    )


def _bounds(given: Any, value: np.ndarray, name: str, least: float) -> np.ndarray:
    """Bounds (*shape, 2) of a free hyperparameter; 0 and infinity stand for none."""
    bounds = _numbers(given)
    shapes = ((2,), (1, 2), (value.size, 2), (*value.shape, 2))
    if bounds is not None and bounds.shape in shapes:
        pairs = np.broadcast_to(bounds.reshape(-1, 2), (value.size, 2))
        bounds = np.array(pairs.reshape(*value.shape, 2))
        low, high = np.moveaxis(bounds, -1, 0)
        if np.all((low >= least) & (low <= high) & (high > least) & (low < np.inf)):
            return bounds
    sign = "low <= high" if least < 0 else "0 <= low <= high and high > 0"
    raise ValueError(
        f"kernel parameter {name!r} must be 'fixed' or a pair (low, high) with {sign}, or one such "
        f"pair for each of the {value.size} values; got {given!r}."
    )


def _numbers(given: Any) -> np.ndarray | None:
    """As float64, or None where they are no real numbers."""
    try:
        numbers = np.asarray(given)
    except ValueError:  # lists of different lengths
        return None
    return numbers.astype(np.float64) if numbers.dtype.kind in "biuf" else None
