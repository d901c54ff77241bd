"""Whether a kernel fits X and the model, and which columns its hyperparameters belong to."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .._runtime import tf
from ..parameters import Parameter
from .black_box import BlackBox
from .formula import is_ours
from .parsing import ParsedKernel, place
from .tree import KernelStructure, bind, walk, without_values

__all__ = [
    "check_columns",
    "check_inducing_points",
    "check_levels",
    "column_scales",
    "discrete_columns",
    "ends",
    "seen_columns",
]

_SELECTS = "A kernel that hands on other columns than it is given says so in its method selects."


def _nodes(parsed: ParsedKernel, n_features: int | None = None) -> Any:
    """Each kernel with the columns it sees, its path and the parameters from its own on."""
    start, every = 0, None if n_features is None else np.arange(n_features)
    for (kernel, seen), path in zip(walk(parsed.structure, every), parsed.paths, strict=True):
        yield kernel, seen, path, parsed.parameters[start : start + len(kernel.ranks)]
        start += len(kernel.own)


def seen_columns(parsed: ParsedKernel, n_features: int) -> list[np.ndarray | None]:
    """Positions of the columns of X that the kernel of each parameter looks at.

    ``None`` where they are no columns of X.

    Examples
    --------
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng.kernels import Columns, parse, seen_columns
    >>> seen_columns(parse(RBF() * Columns(RBF(), [2])), 3)
    [array([0, 1, 2]), array([2])]
    """
    return [s for kernel, s, _, _ in _nodes(parsed, n_features) for _ in kernel.own]


def column_scales(parsed: ParsedKernel, n_features: int) -> list[np.ndarray]:
    """Length scales of a kernel for each column of X, [D]; infinite for one unseen.

    ValueError where a kernel has another number of them than columns to look at.

    Examples
    --------
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng.kernels import column_scales, parse
    >>> column_scales(parse(2.0 * RBF(0.5)), 2)
    [array([0.5, 0.5])]
    """
    each = zip(parsed.parameters, seen_columns(parsed, n_features), strict=True)
    return [
        _scale(parameter, seen, n_features)
        for parameter, seen in each
        if parameter.name.rpartition("__")[2] == "length_scale"
    ]


def ends(parsed: ParsedKernel) -> tuple[np.ndarray, ...]:
    """Bounds of each parameter, without those at which it may end, see ``Formula.open_ends``.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.kernels import OrthogonalAdditive, completed, ends, parse
    >>> kernel = completed(OrthogonalAdditive(length_scale=1.0), np.eye(2))
    >>> print(ends(parse(kernel))[0])
    [0.005   inf]
    """
    sides = [
        kernel.formula.open_ends.get(name, ())
        for kernel, *_ in _nodes(parsed)
        for name in kernel.names
    ]
    found = tuple(bounds.copy() for bounds in parsed.bounds)
    for bounds, side in zip(found, sides, strict=True):
        bounds[..., list(side)] = np.array([-np.inf, np.inf])[list(side)]
    return found


def _scale(parameter: Parameter, seen: np.ndarray | None, n_features: int) -> np.ndarray:
    if seen is None or np.shape(parameter.value) not in ((), (len(seen),)):
        n = "unknown" if seen is None else len(seen)
        raise ValueError(
            f"{parameter.name!r} has {np.size(parameter.value)} length scales for {n} columns. "
            f"{_SELECTS}"
        )
    scale = np.full(n_features, np.inf)
    scale[seen] = parameter.value
    return scale


# --- whether a kernel fits --------------------------------------------------------------------


def check_columns(parsed: ParsedKernel, X: np.ndarray, try_out: bool = True) -> None:
    """Raise ValueError where a kernel does not fit the columns of X [N, D].

    A hyperparameter of a kernel of scikit-learn's has one value, or one for each column that the
    kernel sees; an ``ExpSineSquared`` takes one column. Kernels whose formula is not ours are
    evaluated on the first rows, with ``try_out``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng.kernels import check_columns, parse
    >>> check_columns(parse(RBF([1.0, 2.0])), np.zeros((4, 2)))
    >>> check_columns(parse(RBF([1.0, 2.0])), np.zeros((4, 3)))
    Traceback (most recent call last):
        ...
    ValueError: kernel parameter 'length_scale' has 2 values, but X has 3 features. Give one...
    """
    all_ours = all(is_ours(kernel.formula) for kernel, _ in walk(parsed.structure))
    for kernel, seen, path, parameters in _nodes(parsed, X.shape[1]):
        if seen is None:  # no columns of X; it was tried out with the kernel above it
            _refuse_levels(kernel, path)
            continue
        own = parameters[: len(kernel.own)]
        if not is_ours(kernel.formula) or kernel.formula.foreign:
            if try_out:
                _try_out(kernel, path, parameters, X[:3, seen])
        else:
            hint = "" if all_ours else f" {_SELECTS}"
            _check_vectors(kernel, own, len(seen), X.shape[1], hint)
        if kernel.formula.one_column and len(seen) > 1:
            raise ValueError(
                f"{place(path)}: {kernel.formula.__name__} is a covariance on one column only, but "
                f"it looks at {len(seen)}. {kernel.formula.one_column}"
            )
        try:
            bound = bind(kernel, tuple(p.value for p in parameters))
            bound.check(len(seen))
            bound.selects(seen)
        except ValueError as error:
            raise ValueError(f"{place(path)}: {error}") from error
    check_levels(parsed.structure, X)


def discrete_columns(structure: KernelStructure, n_features: int) -> np.ndarray:
    """Whether a kernel takes each column of X for indices of levels, [D].

    Examples
    --------
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng.kernels import Categorical, Columns, discrete_columns, parse
    >>> kernel = Columns(Categorical(3), [1]) * Columns(RBF(), [0])
    >>> discrete_columns(parse(kernel).structure, 2)
    array([False,  True])
    """
    found = np.zeros(n_features, bool)
    for columns, _ in _of_levels(structure, n_features):
        found[columns] = True
    return found


def check_levels(structure: KernelStructure, X: np.ndarray) -> None:
    """Raise ValueError where rows X [N, D] have what is no level of a discrete column.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.kernels import Categorical, check_levels, parse
    >>> structure = parse(Categorical(2)).structure
    >>> check_levels(structure, np.array([[0.0], [1.0]]))
    >>> check_levels(structure, np.array([[0.0], [2.0]]))
    Traceback (most recent call last):
        ...
    ValueError: Row 1 of X has 2 in column 0, of which the kernel takes the levels 0 to 1 only....
    """
    for columns, n_levels in _of_levels(structure, X.shape[1]):
        values = X[:, columns]
        is_level = (values == np.floor(values)) & (values >= 0) & (values < n_levels)
        if not is_level.all():
            row, k = np.argwhere(~is_level)[0]
            raise ValueError(
                f"Row {row} of X has {values[row, k]:.6g} in column {columns[k]}, of which the "
                f"kernel takes the levels 0 to {n_levels - 1} only. Leave the column out of "
                "scaling, and encode what it holds by sklearn.preprocessing.OrdinalEncoder, or "
                "give the kernel more levels."
            )


@functools.lru_cache(maxsize=64)  # each prediction asks
def _of_levels(structure: KernelStructure, n_features: int) -> tuple:
    """Columns, and how many levels they have, of each kernel that takes them for levels."""
    each = walk(structure, np.arange(n_features))
    found = ((without_values(kernel).levels(), seen) for kernel, seen in each)
    return tuple((seen, n) for n, seen in found if n is not None and seen is not None)


def _refuse_levels(kernel: KernelStructure, path: str) -> None:
    if without_values(kernel).levels() is not None:
        raise ValueError(
            f"{place(path)}: {kernel.formula.__name__} takes a column for levels, but the kernel "
            "above it hands on what are no columns of X."
        )


def _check_vectors(
    kernel: KernelStructure,
    parameters: tuple[Parameter, ...],
    n_seen: int,
    n_features: int,
    hint: str,
) -> None:
    names = zip(kernel.names, parameters, strict=True)
    for name, value, *_ in (p for own, p in names if own not in kernel.formula.shaped):
        if np.ndim(value) and len(value) != n_seen:
            seen = f"X has {n_seen} features" if n_seen == n_features else f"it sees {n_seen}"
            raise ValueError(
                f"kernel parameter {name!r} has {len(value)} values, but {seen}. Give one number, "
                f"or one per feature.{hint}"
            )


def _try_out(
    kernel: KernelStructure, path: str, parameters: tuple[Parameter, ...], X: np.ndarray
) -> None:
    """Raise ValueError where a kernel cannot be evaluated on a few rows [N, D] as it sees them."""
    shapes = ", ".join(f"{p.name} {np.shape(p.value)}" for p in parameters) or "none"
    what = f"{place(path)}, a {_name(kernel)} with the values {shapes},"
    bound = bind(kernel, tuple(tf.constant(p.value, tf.float64) for p in parameters))
    rows, n = tf.constant(X, tf.float64), len(X)
    try:
        found = [bound.covariance(rows), bound.covariance(rows, rows[:1]), bound.diagonal(rows)]
        if bound.foreign:
            bound.check_gradient(X)
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
    if not np.allclose(np.diag(found[0]), found[2], rtol=1e-6, equal_nan=True):
        raise ValueError(f"{what} has a diagonal that is not that of its covariances.")


def _name(kernel: KernelStructure) -> str:
    black_box = kernel.formula is BlackBox
    return type(without_values(kernel).template).__name__ if black_box else kernel.formula.__name__


def check_inducing_points(parsed: ParsedKernel, asked: Any, n_points: int, n_rows: int) -> None:
    """Raise ValueError where a kernel has no formula, and so cannot have inducing points.

    Parameters
    ----------
    parsed : ParsedKernel
    asked : int or "auto"
        ``n_inducing`` of the estimator.
    n_points, n_rows : int
        Inducing points that this comes to, for so many rows.

    Examples
    --------
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng.kernels import check_inducing_points, parse
    >>> check_inducing_points(parse(RBF()), "auto", 100, 5000)  # it has a formula
    """
    for kernel, _, path, _ in _nodes(parsed):
        if kernel.formula is BlackBox:
            raise ValueError(
                f"{place(path)} is a {_name(kernel)}, which has no formula here and so no "
                f"gradients in rows: it cannot have inducing points. n_inducing={asked!r} takes "
                f"{n_points} for {n_rows} rows: set n_inducing=None, or write the kernel as a "
                "subclass of skgpng.kernels.Kernel."
            )
