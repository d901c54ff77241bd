"""What kernels read from the rows that they are fitted to."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.gaussian_process import kernels as sk

from .base import names_of
from .formula import Formula, not_read
from .parsing import handed_on, place, taken_alone

__all__ = ["completed"]


def completed(kernel: Any, X: Any, sample_weight: Any = None, names: Any = None) -> Any:
    """A kernel with what is ``None`` in it read from rows, as in ``fit``.

    A list of one length scale is a number where there are more columns, as in scikit-learn.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel
        With an :class:`OrthogonalAdditive` somewhere in it, or another kernel that reads.
    X : array-like of shape (n_samples, n_features)
    sample_weight : array-like of shape (n_samples,), default=None
        Positive; all the same by default.
    names : sequence of str, default=None
        Of the columns, where X is no data frame that has them.

    Returns
    -------
    sklearn.gaussian_process.kernels.Kernel
        A copy; the kernel itself where nothing is missing.

    Raises
    ------
    ValueError
        Where a kernel that reads is given what are no columns of X, by a kernel above it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from sklearn.gaussian_process.kernels import WhiteKernel
    >>> from skgpng.kernels import OrthogonalAdditive, completed
    >>> rng = np.random.RandomState(0)
    >>> X = rng.uniform(-1, 1, (40, 2))
    >>> y = np.sin(3 * X[:, 0]) + X[:, 1] ** 2 + 0.1 * rng.randn(40)
    >>> kernel = completed(OrthogonalAdditive(max_order=1) + WhiteKernel(0.1), X)
    >>> model = GaussianProcessRegressor(kernel, normalize_y=True).fit(X, y)
    >>> model.kernel_.k1.length_scale.shape
    (2,)
    """
    names = names_of(X) if names is None else tuple(names)
    X = np.asarray(X)
    weights = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, float)
    if isinstance(kernel, sk.CompoundKernel):
        each = kernel.kernels or ()  # of none, as CompoundKernel(0): that is for others to say
        parts = [_completed(part, X, weights, names, f"{k}__") for k, part in enumerate(each)]
        same = all(a is b for a, b in zip(parts, each, strict=True))
        return kernel if same else sk.CompoundKernel(parts)
    return _completed(kernel, X, weights, names, "")


def _completed(
    kernel: Any, X: np.ndarray, weights: np.ndarray, names: tuple[str, ...] | None, path: str
) -> Any:
    if not _is_missing(kernel):
        return kernel
    if _has_list_of_one(kernel) and X.shape[1] > 1:
        return clone(kernel).set_params(length_scale=np.ravel(kernel.length_scale)[0])
    missing = not_read(kernel)
    if missing:
        read = kernel.read_from(X, weights)
        kernel = clone(kernel).set_params(**{name: read[name] for name in missing})
    below = {name: operand for name, operand in _operands(kernel) if _is_missing(operand)}
    if not below:
        return kernel
    if isinstance(kernel, Formula):  # those of scikit-learn hand on all columns
        chosen = handed_on(taken_alone(kernel, path, names)[0], path, X.shape[1])
        if chosen is None:
            raise ValueError(
                f"{place(path)}: {type(kernel).__name__} hands on what are no columns of X, from "
                f"which {', '.join(below)} cannot be read. Give all its parameters."
            )
        X, names = X[:, chosen], names and tuple(names[k] for k in chosen)
    found = {
        name: _completed(operand, X, weights, names, f"{path}{name}__")
        for name, operand in below.items()
    }
    return clone(kernel).set_params(**found)


def _is_missing(kernel: Any) -> bool:
    """Whether there is anything to be read, of the kernel or of its operands."""
    below = any(_is_missing(operand) for _, operand in _operands(kernel))
    return below or bool(not_read(kernel)) or _has_list_of_one(kernel)


def _has_list_of_one(kernel: Any) -> bool:
    """As in RBF([1.0]): one length scale for all columns in scikit-learn, however many."""
    return type(kernel) in (sk.RBF, sk.Matern) and np.shape(kernel.length_scale) == (1,)


def _operands(kernel: Any) -> list[tuple[str, Any]]:
    given = kernel.get_params(deep=False) if isinstance(kernel, sk.Kernel) else {}
    return [(name, value) for name, value in given.items() if isinstance(value, sk.Kernel)]
