"""From a kernel object to its structure and its parameters, and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.gaussian_process import kernels as sk

from ..parameters import Parameter
from .black_box import BlackBox, template_of
from .formula import FORMULAS, Formula, not_read, reason_not_read
from .hyperparameters import own_names, parameter_of
from .operators import Compound
from .tree import KernelStructure, comparable, without_values

__all__ = [
    "ParsedKernel",
    "at_theta",
    "free_names",
    "handed_on",
    "parse",
    "place",
    "rebuild",
    "taken_alone",
]


class ParsedKernel(NamedTuple):
    """A scikit-learn kernel taken apart.

    Attributes
    ----------
    structure : KernelStructure
        Without the noise term.
    parameters : tuple of Parameter
        Of the kernel and its operands, each before those of its operands; the bounds of a fixed
        one are its own value twice.
    paths : tuple of str
        Beginning of the parameter names of each kernel, each before its operands.
    noise : Parameter or None
        The ``noise_level`` of a ``WhiteKernel`` in the sum.

    Examples
    --------
    >>> from sklearn.gaussian_process.kernels import RBF, WhiteKernel
    >>> from skgpng.kernels import parse
    >>> parsed = parse(2.0 * RBF(3.0, "fixed") + WhiteKernel(0.1))
    >>> parsed.names, parsed.free, parsed.noise_name
    (('k1__k1__constant_value', 'k1__k2__length_scale'), (True, False), 'k2__noise_level')
    """

    structure: KernelStructure
    parameters: tuple[Parameter, ...]
    paths: tuple[str, ...]
    noise: Parameter | None

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
        """Lower and upper bound of each, along a last axis of 2."""
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
        raise ValueError(
            "kernel cannot be a CompoundKernel of no kernels: give one for each class."
        )
    # 3__k1__length_scale is a name of the fourth
    parts = {str(k): _parse_one(k_, f"{k}__", names) for k, k_ in enumerate(kernel.kernels)}
    operands = tuple((name, part.structure) for name, part in parts.items())
    _, parameters, paths, noise = zip(*parts.values(), strict=True)
    levels = [p.name for p in noise if p is not None]
    if len(levels) > 1:
        raise ValueError(
            f"kernel has {len(levels)} WhiteKernel terms ({', '.join(levels)}): all kernels of a "
            "CompoundKernel share one noise. Keep one."
        )
    return ParsedKernel(
        KernelStructure(Compound, (), (), (), operands),
        sum(parameters, ()),
        ("", *sum(paths, ())),
        next(filter(None, noise), None),
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
    compound = isinstance(kernel, sk.CompoundKernel)
    parts = [clone(part) for part in (kernel.kernels if compound else [kernel])]
    for name, value in zip(names, values, strict=True):
        plain = float(value) if np.ndim(value) == 0 else np.array(value, dtype=float)
        which, _, rest = name.partition("__") if compound else ("0", "", name)
        parts[int(which)].set_params(**{rest: plain})
    return sk.CompoundKernel(parts) if compound else parts[0]


def at_theta(kernel: Any, theta: Any) -> Any:
    """Copy of a scikit-learn kernel with another ``theta``, also of a CompoundKernel.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng.kernels import at_theta
    >>> at_theta(RBF(1.0), np.log([3.0]))
    RBF(length_scale=3)
    """
    theta = np.asarray(theta, dtype=float)
    compound = isinstance(kernel, sk.CompoundKernel)
    ends = np.cumsum([part.n_dims for part in (kernel.kernels if compound else [kernel])])
    if theta.shape != (ends[-1],):
        raise ValueError(
            f"theta has the shape {theta.shape}, but {ends[-1]} hyperparameters of {kernel} are "
            "free: give the logarithm of each, in the order of kernel_.theta."
        )
    if not compound:
        return kernel.clone_with_theta(theta)
    parts = zip(kernel.kernels, np.split(theta, ends[:-1]), strict=True)
    return sk.CompoundKernel([part.clone_with_theta(own) for part, own in parts])


def free_names(kernel: Any) -> list[str]:
    """Names of what is free, in the order of ``theta``, as :func:`parse` has them.

    Examples
    --------
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng.kernels import free_names
    >>> free_names(2.0 * RBF(1.0, "fixed"))
    ['k1__constant_value']
    """
    if not isinstance(kernel, sk.CompoundKernel):
        return [h.name for h in kernel.hyperparameters if not h.fixed]
    return [f"{k}__{name}" for k, part in enumerate(kernel.kernels) for name in free_names(part)]


def place(path: str) -> str:
    """The kernel whose parameter names begin with ``path``, for messages."""
    return f"kernel parameter {path[:-2]!r}" if path else "kernel"


def _parse_one(kernel: Any, path: str, columns: tuple[str, ...] | None) -> ParsedKernel:
    """What is no CompoundKernel; ``path`` begins its parameter names."""
    noise = dict(_noise_terms(kernel, path))
    if len(noise) > 1:
        raise ValueError(
            f"kernel has {len(noise)} WhiteKernel terms ({', '.join(noise)}): only their sum can "
            "be learned. Keep one."
        )
    if path in noise:
        raise ValueError(
            f"{place(path)} is noise only: add a kernel for the signal, as in RBF() + "
            "WhiteKernel()."
        )
    levels = (parameter_of(white, "noise_level", where) for where, white in noise.items())
    structure, parameters, paths = _take_apart(kernel, path, noise, columns)
    return ParsedKernel(structure, parameters, paths, next(levels, None))


def _noise_terms(kernel: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Terms of the outermost sum that stand for the noise, with their paths."""
    if isinstance(kernel, sk.WhiteKernel):
        yield path, kernel
    elif type(kernel) is sk.Sum:
        yield from _noise_terms(kernel.k1, f"{path}k1__")
        yield from _noise_terms(kernel.k2, f"{path}k2__")


def _take_apart(kernel: Any, path: str, noise: dict, columns: tuple[str, ...] | None) -> tuple:
    """Structure, parameters and paths of a kernel and its operands, without the noise terms."""
    given = kernel.get_params(deep=False).items()
    operands = {
        name: (operand, f"{path}{name}__")
        for name, operand in given
        if isinstance(operand, sk.Kernel) and f"{path}{name}__" not in noise
    }
    if type(kernel) is sk.Sum and len(operands) == 1:  # the other term is noise
        return _take_apart(*operands.popitem()[1], noise, columns)
    alone, own = taken_alone(kernel, path, columns)
    operands = {} if alone.formula is BlackBox else operands
    names = _names_handed_on(alone, path, columns) if operands else None
    below = {name: _take_apart(*operand, noise, names) for name, operand in operands.items()}
    structures = tuple((name, part[0]) for name, part in below.items())
    return (
        alone._replace(operands=structures),
        sum((part[1] for part in below.values()), own),
        sum((part[2] for part in below.values()), (path,)),
    )


def taken_alone(
    kernel: Any, path: str, columns: tuple[str, ...] | None
) -> tuple[KernelStructure, tuple[Parameter, ...]]:
    """Structure of a kernel without its operands, and its own parameters."""
    formula, settings = _formula(kernel, path, columns)
    names = dict(settings)["names"] if formula is BlackBox else own_names(kernel)
    own = tuple(parameter_of(kernel, name, path, formula) for name in names)
    return KernelStructure(formula, names, tuple(np.ndim(p.value) for p in own), settings, ()), own


def handed_on(alone: KernelStructure, path: str, n_columns: int) -> np.ndarray | None:
    """Positions of the columns that a kernel hands on to its operands, where they are columns."""
    try:
        return without_values(alone).selects(np.arange(n_columns))
    except ValueError as error:
        raise ValueError(f"{place(path)}: {error}") from error


def _names_handed_on(
    alone: KernelStructure, path: str, columns: tuple[str, ...] | None
) -> tuple[str, ...] | None:
    """Names of the columns that a kernel hands on: operands select among these."""
    seen = None if columns is None else handed_on(alone, path, len(columns))
    return None if columns is None or seen is None else tuple(columns[k] for k in seen)


def _formula(
    kernel: Any, path: str, columns: tuple[str, ...] | None
) -> tuple[type[Formula], tuple]:
    """The formula of a kernel, and its settings."""
    where = place(path)
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
    if missing := not_read(kernel):
        raise ValueError(f"{where}: {reason_not_read(kernel, missing)}")
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


def _settings(kernel: Any) -> dict:
    own = own_names(kernel)
    learned = {*own, *(f"{name}_bounds" for name in own)}
    given = kernel.get_params(deep=False)
    return {k: v for k, v in given.items() if k not in learned and not isinstance(v, sk.Kernel)}
