"""The base class of kernels of one's own: one formula, and what scikit-learn asks for follows."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from sklearn.gaussian_process import kernels as sk
from sklearn.utils.validation import _get_feature_names

from .._runtime import outside_graphs, tf
from .checks import check_columns
from .formula import Formula, reason_not_read
from .parsing import ParsedKernel, free_names, parse
from .tree import covariance, diagonal

__all__ = ["Kernel", "names_of"]


class Kernel(Formula, sk.Kernel):
    r"""A scikit-learn kernel that is written as one formula of tensors.

    A subclass stores the arguments of ``__init__`` and nothing else, and writes
    ``covariance(self, X1, X2=None)``, in which hyperparameters are tensors. Each argument ``name``
    that has a ``name_bounds`` beside it is a hyperparameter, a number or an array of any shape;
    arguments that are kernels are operands (``self.kernel.covariance(X1, X2)``); all others are
    settings. Hyperparameters are positive unless the class lists them in ``real``.

    All that scikit-learn asks of a kernel follows: values and gradients, names, ``theta`` and
    ``bounds``, sums, products and powers. ``diagonal`` and ``is_stationary`` are worth writing
    where the answer is known; the defaults are right, but slow or cautious. See :class:`Formula`
    for what else may be overridden.

    Examples
    --------
    >>> import numpy as np
    >>> import tensorflow as tf
    >>> from sklearn.gaussian_process.kernels import WhiteKernel
    >>> from skgpng import GaussianProcessRegressor
    >>> from skgpng.kernels import Kernel
    >>> class Line(Kernel):
    ...     "A line that is zero at a location to be learned."
    ...     real = ("location",)
    ...
    ...     def __init__(self, location=0.0, location_bounds=(-10.0, 10.0)):
    ...         self.location = location
    ...         self.location_bounds = location_bounds
    ...
    ...     def covariance(self, X1, X2=None):
    ...         X2 = X1 if X2 is None else X2
    ...         return tf.matmul(X1 - self.location, X2 - self.location, transpose_b=True)
    >>> kernel = 2.0 * Line(1.0) + WhiteKernel(0.5)
    >>> kernel
    1.41**2 * Line(location=1) + WhiteKernel(noise_level=0.5)
    >>> kernel(np.array([[0.0], [3.0]]))
    array([[ 2.5, -4. ],
           [-4. ,  8.5]])
    >>> print(kernel.theta.round(3))
    [ 0.693  1.    -0.693]
    """

    def __init__(self) -> None:  # without one, scikit-learn's get_params finds (*args, **kwargs)
        pass

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Describe the hyperparameters as scikit-learn does."""
        super().__init_subclass__(**kwargs)
        for argument in inspect.signature(cls.__init__).parameters:
            name = argument.removesuffix("_bounds")
            if name != argument and not hasattr(cls, f"hyperparameter_{name}"):
                setattr(cls, f"hyperparameter_{name}", _hyperparameter(name))

    # --- parameters ----------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict:
        """Arguments of ``__init__``, with those of operands as ``name__argument``."""
        params = self._given()
        for name, operand in self._operands().items() if deep else ():
            params |= {f"{name}__{k}": v for k, v in operand.get_params().items()}
        return params

    def _given(self) -> dict[str, Any]:
        """Arguments of ``__init__``."""
        return super().get_params(deep=False)

    def _operands(self) -> dict[str, Any]:
        given = self._given()
        return {name: value for name, value in given.items() if isinstance(value, sk.Kernel)}

    def _own(self) -> list:
        found = (getattr(self, f"hyperparameter_{name}", None) for name in self._given())
        return [hyperparameter for hyperparameter in found if hyperparameter is not None]

    def _own_free(self) -> list:
        return [hyperparameter for hyperparameter in self._own() if not hyperparameter.fixed]

    @property
    def hyperparameters(self) -> list:
        """Its own, in the order of the arguments, then those of its operands."""
        return self._own() + [
            h._replace(name=f"{name}__{h.name}")
            for name, operand in self._operands().items()
            for h in operand.hyperparameters
        ]

    @property
    def theta(self) -> np.ndarray:
        """Hyperparameters that are not fixed, positive ones by their logarithms."""
        own = [self._to_theta(h.name, getattr(self, h.name)) for h in self._own_free()]
        below = [operand.theta for operand in self._operands().values()]
        return np.concatenate([*map(np.ravel, own), *below, []])

    @theta.setter
    def theta(self, theta: np.ndarray) -> None:
        for h in self._own_free():
            part, theta = theta[: h.n_elements], theta[h.n_elements :]
            value = part if h.name in self.real else np.exp(part)
            shape = np.shape(getattr(self, h.name))
            setattr(self, h.name, np.reshape(value, shape) if shape else float(value[0]))
        for operand in self._operands().values():
            n = operand.n_dims
            operand.theta, theta = theta[:n], theta[n:]

    @property
    def bounds(self) -> np.ndarray:
        """Bounds [n, 2] of ``theta``."""
        own = [self._to_theta(h.name, h.bounds) for h in self._own_free()]
        below = [operand.bounds for operand in self._operands().values()]
        return np.concatenate([np.zeros((0, 2)), *(np.reshape(b, (-1, 2)) for b in own + below)])

    def _to_theta(self, name: str, values: Any) -> np.ndarray:
        if values is None:
            raise ValueError(reason_not_read(self, [name]))
        return np.asarray(values, float) if name in self.real else np.log(values)

    def __repr__(self) -> str:
        """As its call, without bounds, and without arrays that its class has fixed for good."""
        own = {h.name for h in self._own()}
        hidden = {name for name in own if not hasattr(self, f"{name}_bounds")}
        shown = [
            f"{name}={_short(value) if name in own else repr(value)}"
            for name, value in self._given().items()
            if not isinstance(value, sk.Kernel)
            and name.removesuffix("_bounds") not in own - {name}
            and name not in hidden
        ]
        return (
            f"{type(self).__name__}({', '.join([*map(repr, self._operands().values()), *shown])})"
        )

    # --- values, as scikit-learn asks for them -------------------------------------------

    @outside_graphs
    def __call__(self, X: Any, Y: Any = None, eval_gradient: bool = False) -> Any:
        """Covariances between rows, and their gradient in ``theta``.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
        Y : array-like of shape (n_samples_Y, n_features), default=None
            ``None`` stands for X.
        eval_gradient : bool, default=False
            Only where Y is ``None``.

        Returns
        -------
        K : ndarray of shape (n_samples_X, n_samples_Y)
        K_gradient : ndarray of shape (n_samples_X, n_samples_X, n_dims)
            Only with ``eval_gradient``.
        """
        if eval_gradient and Y is not None:
            raise ValueError("Gradient can only be evaluated when Y is None.")
        parsed = self._parsed(X, Y)
        X, Y = _rows(X), None if Y is None else _rows(Y)
        if not eval_gradient:
            return covariance(parsed.structure, parsed.values, X, Y).numpy()
        free = free_names(self)
        return _with_gradient(parsed, free, X)

    @outside_graphs
    def diag(self, X: Any) -> np.ndarray:
        """Covariance of each row with itself, [n_samples]."""
        parsed = self._parsed(X)
        return diagonal(parsed.structure, parsed.values, _rows(X)).numpy()

    def _parsed(self, X: Any, Y: Any = None) -> ParsedKernel:
        """With the names of the columns of X, for operands that select by name."""
        names, others = names_of(X), names_of(Y)
        if names is not None and others is not None and names != others:
            raise ValueError(
                f"X and Y have other columns, or in another order: {names} and {others}. Give both "
                "the same, as in Y[X.columns]."
            )
        parsed = parse(self, names)
        for rows in (X,) if Y is None else (X, Y):
            check_columns(parsed, np.atleast_2d(np.asarray(rows, np.float64)), try_out=False)
        return parsed


def names_of(X: Any) -> tuple[str, ...] | None:
    """Names of the columns of a data frame; None for what has none."""
    names = _get_feature_names(X)
    return None if names is None else tuple(map(str, names))


def _hyperparameter(name: str) -> property:
    def described(self: Any) -> sk.Hyperparameter:
        """Number of values and bounds, as scikit-learn has them."""
        bounds = getattr(self, f"{name}_bounds")
        bounds = np.reshape(bounds, (-1, 2)) if np.ndim(bounds) > 2 else bounds
        return sk.Hyperparameter(name, "numeric", bounds, np.size(getattr(self, name)))

    return property(described, doc=f"Name, bounds and size of ``{name}``.")


def _short(value: Any) -> str:
    """Numbers as scikit-learn's kernels print them."""
    if value is None:
        return "None"
    if np.ndim(value) == 0:
        return f"{value:.3g}"
    return f"[{', '.join(map(_short, value))}]"


def _rows(X: Any) -> Any:
    return tf.constant(np.atleast_2d(np.asarray(X, np.float64)))


def _with_gradient(parsed: ParsedKernel, free: list[str], X: Any) -> tuple:
    r"""Covariances, and their derivatives in the entries of theta.

    Those of :math:`\sum_{ij} u_{ij} \partial K_{ij} / \partial\theta` in u: one backward pass for
    each entry of theta, where the Jacobian takes one for each entry of K.
    """
    values = tuple(map(tf.constant, parsed.values))
    at = {p.name: (k, p) for k, p in enumerate(parsed.parameters)}
    with tf.GradientTape(persistent=True) as again:
        with tf.GradientTape() as tape:
            tape.watch(values)
            K = covariance(parsed.structure, values, X)
        upstream = tf.zeros_like(K)
        again.watch(upstream)
        slopes = tape.gradient(K, values, upstream, unconnected_gradients="zero")
        entries: list = []
        for k, p in (at[name] for name in free):
            slope = slopes[k] if p.real else slopes[k] * values[k]
            entries += tf.unstack(tf.reshape(slope, [-1]))
    each = [again.gradient(e, upstream, unconnected_gradients="zero").numpy() for e in entries]
    return K.numpy(), np.stack(each, -1) if each else np.zeros((*K.shape, 0))
