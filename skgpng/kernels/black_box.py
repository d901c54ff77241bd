"""A kernel without a formula: scikit-learn's own methods, called from inside the graph.

Its gradient in the hyperparameters is the one that it gives with ``eval_gradient=True``. There is
none in the rows, so that it cannot place inducing points.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.gaussian_process import kernels as sk

from .._runtime import numpy_function, tf
from .formula import Formula

__all__ = ["BlackBox", "template_of"]

# Rows whose covariances are differentiated for the sake of their diagonal.
_BLOCK = 64
# Bounds that leave a hyperparameter free: what may move is decided elsewhere.
_FREE = (1e-5, 1e5)


def template_of(kernel: Any, names: tuple[str, ...]) -> Any:
    """Copy of a kernel in which every hyperparameter of these names is free, and 1."""
    given = kernel.get_params()
    if any(isinstance(inner, Formula) and inner.real for inner in given.values()):
        raise ValueError(
            f"{type(kernel).__name__} has an operand with real-valued hyperparameters, but no "
            "formula. Write it as a subclass of skgpng.kernels.Kernel, too."
        )
    plain: dict = {name: np.ones(np.shape(given[name]))[()] for name in names}
    plain |= {f"{name}_bounds": _FREE for name in names if f"{name}_bounds" in given}
    return clone(kernel).set_params(**plain)


class BlackBox(Formula):
    """Covariances by ``kernel(X1, X2)``, gradients by ``kernel(X, eval_gradient=True)``.

    Attributes
    ----------
    template : sklearn.gaussian_process.kernels.Kernel
        Without values, see :func:`template_of`.
    names : tuple of str
        Its hyperparameters, in the order of its ``theta``.
    """

    foreign = True
    template: Any
    names: tuple[str, ...]

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        if X2 is None:
            return self._differentiable(lambda k, X: k(X), _slopes, X1, [X1.shape[0]] * 2)
        return self._across(X1, X2)

    def diagonal(self, X: Any) -> Any:
        return self._differentiable(lambda k, X: k.diag(X), _diagonal_slopes, X, [X.shape[0]])

    def check_gradient(self, X: np.ndarray) -> None:
        """Raise ValueError where ``eval_gradient=True`` gives an array of another shape."""
        _slopes(_at(self.template, self.names, [np.asarray(v) for v in self._values]), X)

    @property
    def _values(self) -> list:
        return [vars(self)[name] for name in self.names]

    def _call(self, method: Callable, shape: list, *rows: Any) -> Any:
        """``method(kernel, *rows)`` with the kernel at its values, of the type of the rows."""
        dtype = rows[0].dtype
        evaluate = _evaluation(self.template, self.names, method, dtype.as_numpy_dtype)
        found = numpy_function(evaluate, [*self._values, *rows], dtype, stateful=True)
        return tf.ensure_shape(found, shape)

    def _differentiable(self, method: Callable, slopes: Callable, X: Any, shape: list) -> Any:
        """Of the values only; ``slopes`` has one more axis, of the derivatives in ``theta``."""
        moving = _moving(self.template)
        values = [vars(self)[name] for name in moving]

        def gradient(upstream: Any) -> list:
            found = self._call(slopes, [*shape, None], X)
            total = tf.tensordot(upstream, found, len(shape))
            parts = tf.split(total, tf.stack([tf.size(v) for v in values]), num=len(values))
            # theta has logarithms, and a value fixed at zero does not move
            each = zip(parts, values, strict=True)
            return [tf.math.divide_no_nan(tf.reshape(p, tf.shape(v)), v) for p, v in each]

        if not moving:
            return self._call(method, shape, X)
        at_values = tf.custom_gradient(lambda *_: (self._call(method, shape, X), gradient))
        return at_values(*values)

    def _across(self, X1: Any, X2: Any) -> Any:
        def refuse(upstream: Any) -> None:
            raise ValueError(
                f"{type(self.template).__name__} has no gradient of covariances between different "
                "rows: train it on all rows at once, without inducing points."
            )

        shape = [X1.shape[0], X2.shape[0]]
        return tf.custom_gradient(
            lambda *_: (self._call(lambda k, X1, X2: k(X1, X2), shape, X1, X2), refuse)
        )(X1, X2, *self._values)


def _at(template: Any, names: tuple[str, ...], values: Any) -> Any:
    """A copy with these values: numbers where it has numbers, as it may ask for their shape."""
    plain = {name: np.array(v)[()] for name, v in zip(names, values, strict=True)}
    return clone(template).set_params(**plain)


def _evaluation(template: Any, names: tuple[str, ...], method: Callable, dtype: Any) -> Callable:
    """``method(kernel, *rows)`` as a function of the values and the rows.

    A copy takes as long as the covariances of some hundred rows, so that the last one is kept.
    """
    last: list[tuple] = [((), None)]

    def evaluate(*given: np.ndarray) -> np.ndarray:
        values, rows = given[: len(names)], given[len(names) :]
        key = tuple((np.shape(v), np.asarray(v).tobytes()) for v in values)
        before, kernel = last[0]
        if kernel is None or key != before:
            kernel = _at(template, names, values)
            last[0] = key, kernel
        return np.asarray(method(kernel, *rows), dtype)

    return evaluate


def _moving(template: Any) -> list[str]:
    """Hyperparameters that ``eval_gradient`` differentiates in: a class may have fixed some."""
    return [h.name for h in template.hyperparameters if not h.fixed]


def _slopes(kernel: Any, X: np.ndarray) -> np.ndarray:
    """Derivatives [N, N, P] of the covariances in theta."""
    _, slopes = kernel(X, eval_gradient=True)
    n_values = sum(h.n_elements for h in kernel.hyperparameters if not h.fixed)
    wanted = (len(X), len(X), n_values)
    if np.shape(slopes) != wanted:
        raise ValueError(
            f"eval_gradient=True gives a gradient of shape {np.shape(slopes)} in place of {wanted} "
            f"for {len(X)} rows and {n_values} values in theta."
        )
    return slopes


def _diagonal_slopes(kernel: Any, X: np.ndarray) -> np.ndarray:
    """Derivatives [N, P] of the variances in theta, from small blocks of rows."""
    if type(kernel).diag is sk.NormalizedKernelMixin.diag:  # they are 1
        return np.zeros((len(X), kernel.n_dims))
    blocks = [X[start : start + _BLOCK] for start in range(0, len(X), _BLOCK)]
    return np.concatenate([np.einsum("iik->ik", _slopes(kernel, block)) for block in blocks])
