"""What a covariance function is to training: a formula of tensors, and what else it knows."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .._runtime import tf

__all__ = [
    "FORMULAS",
    "Additive",
    "Formula",
    "formula_of",
    "is_ours",
    "not_read",
    "reason_not_read",
]

# Rows whose covariances are evaluated for the sake of their diagonal.
_BLOCK = 32


class Additive(NamedTuple):
    """What of a kernel is a sum of functions of few columns, see ``OrthogonalAdditive``."""

    kernel: Any  # that formula
    factor: Any  # by which it is multiplied
    columns: np.ndarray  # positions of the columns that it sees


class Formula(abc.ABC):
    """A covariance function, with tensors where its kernel has numbers.

    Training binds a kernel: hyperparameters are tensors (``self.length_scale``), operands are
    formulas (``self.k1.covariance(X1, X2)``), all other parameters are as they were given. A
    subclass writes :meth:`covariance`; the other methods have defaults that are right, if slow or
    cautious.

    Attributes
    ----------
    real : tuple of str
        Hyperparameters that may be zero or negative; the others are positive, and training and
        ``theta`` have their logarithms.
    one_column : str
        What to do instead, where it is a covariance of rows of one column only; else empty.
    shaped : tuple of str
        Hyperparameters that are arrays of a shape of their own, see :meth:`check`. Arrays of the
        others have one value for each column.
    foreign : bool
        Whether the formula is somebody else's, and so is tried out before it is used, with its
        method ``check_gradient(X)``.
    open_ends : dict
        Hyperparameters that may end at their lower (0) or upper (1) bound without a warning, such
        as one that says there that a part of the kernel is not needed.
    reads : tuple of str
        Parameters that are read from the rows of a fit where they are ``None``, see
        :meth:`read_from` and :func:`skgpng.kernels.completed`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng.kernels import Formula, bind, parse
    >>> parsed = parse(RBF(2.0))
    >>> formula = bind(parsed.structure, parsed.values)
    >>> isinstance(formula, Formula), float(formula.length_scale)
    (True, 2.0)
    """

    real: ClassVar[tuple[str, ...]] = ()
    one_column: ClassVar[str] = ""
    shaped: ClassVar[tuple[str, ...]] = ()
    foreign: ClassVar[bool] = False
    open_ends: ClassVar[dict[str, tuple]] = {}
    reads: ClassVar[tuple[str, ...]] = ()

    @abc.abstractmethod
    def covariance(self, X1: Any, X2: Any = None) -> Any:
        """Covariances [N1, N2] of the rows of X1 [N1, D] and X2 [N2, D]; None stands for X1."""

    def diagonal(self, X: Any) -> Any:
        """Covariance of each row of X [N, D] with itself, [N]. By default from small blocks."""
        missing = -tf.shape(X)[0] % _BLOCK
        filled = tf.concat([X, tf.tile(X[-1:], [missing, 1])], 0)
        blocks = tf.reshape(filled, [-1, _BLOCK, tf.shape(X)[1]])
        blocks = tf.ensure_shape(blocks, [None, _BLOCK, X.shape[1]])
        each = tf.map_fn(lambda rows: tf.linalg.diag_part(self.covariance(rows)), blocks)
        return tf.reshape(each, [-1])[: tf.shape(X)[0]]

    def is_stationary(self) -> bool:
        """Whether adding a constant to all rows changes nothing.

        Rows are then centred before they are rounded to ``dtype="float32"``.
        """
        return False

    def is_polynomial(self) -> bool:
        """Whether it is a polynomial of the inner products of rows."""
        return False

    def variation(self, X: Any) -> Any:
        """Variance [N] about the mean of rows X [N, D], where that far from zero is larger.

        ``None`` for most kernels; see :func:`skgpng.kernels.jitter_unit`.
        """
        return None

    def depth(self, n_columns: int) -> int:
        """Numbers that are in memory together for each covariance of rows [N, D]; 1 for most."""
        return 1

    def check(self, n_columns: int) -> None:  # noqa: B027  most have nothing to check
        """Raise ValueError where values that are ``shaped`` do not fit, or so many columns.

        Hyperparameters are arrays here.
        """

    def levels(self) -> int | None:
        """How many levels a column has that it takes for their indices 0, 1, ...; else None.

        Other values are refused, and training leaves these columns of inducing points as they are.
        """
        return None

    def metric(self, n_columns: int) -> np.ndarray | None:
        """Weights [D] of squared differences in a distance with which the correlation falls.

        The nearest rows are then found by trees; ``None`` where there is none such, as for a
        periodic kernel.
        """
        return None

    def additive(self, columns: np.ndarray) -> Additive | None:
        """The orthogonal additive kernel of which it is a multiple, where it sees these columns."""
        return None

    def features(self, rng: np.random.RandomState, n: int, n_columns: int) -> list | None:
        """Random functions whose covariance it is, n draws of each; None where none are known.

        A list of :class:`skgpng.kernels.Feature`, for ``sample_functions``; functions are drawn row
        by row where there is none.
        """
        return None

    def selects(self, columns: np.ndarray) -> np.ndarray | None:
        """Of the columns of X that it is given, those that it hands on to its operands.

        ``None`` where these are no columns of X, as after a rotation.
        """
        return columns

    def read_from(self, X: np.ndarray, weights: np.ndarray) -> dict:
        """Values of all parameters in ``reads``, from rows X [N, D] and their weights [N]."""
        return {}

    @classmethod
    def settings(cls, given: dict, names: tuple[str, ...] | None) -> dict | None:
        """Parameters that are neither hyperparameters nor kernels, as the formula takes them.

        ``names`` are those of the columns of X, where it has some. ``None`` where the formula does
        not hold for these settings; ValueError where nothing does.
        """
        return given


def is_ours(formula: type[Formula]) -> bool:
    """Whether a formula comes with skgpng: then it need not be tried out."""
    return formula.__module__.startswith(f"{__package__}.")


def not_read(kernel: Any) -> list[str]:
    """Parameters that are ``None`` until they are read from rows."""
    reads = kernel.reads if isinstance(kernel, Formula) else ()
    return [name for name in reads if getattr(kernel, name) is None]


def reason_not_read(kernel: Any, names: list[str]) -> str:
    """For messages: what to do about parameters that are ``None``."""
    return (
        f"{', '.join(names)} of {type(kernel).__name__} is None: read from the rows in the fit of "
        "skgpng's estimators. Elsewhere, and to predict before fit, read it from rows X yourself: "
        "skgpng.kernels.completed(kernel, X)."
    )


#: The formula of each class of scikit-learn's kernels that has one.
FORMULAS: dict[type, type[Formula]] = {}


def formula_of(cls: type) -> Callable[[type[Formula]], type[Formula]]:
    """Say that a :class:`Formula` is that of a class of kernels you cannot change.

    A class of your own needs none: make it a subclass of :class:`skgpng.kernels.Kernel`.
    Subclasses of ``cls`` have formulas of their own.

    Parameters
    ----------
    cls : type
        Subclass of ``sklearn.gaussian_process.kernels.Kernel``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng import GaussianProcessRegressor
    >>> from skgpng.kernels import Formula, formula_of, matern52, squared_distance
    >>> class Rough(RBF):  # from somewhere else
    ...     pass
    >>> @formula_of(Rough)
    ... class RoughFormula(Formula):
    ...     def covariance(self, X1, X2=None):
    ...         return matern52(squared_distance(X1, X2, self.length_scale))
    >>> X = np.linspace(0, 6, 40)[:, None]
    >>> model = GaussianProcessRegressor(1.0 * Rough()).fit(X, np.sin(X[:, 0]))
    >>> print(model.score(X, np.sin(X[:, 0])) > 0.99)
    True
    """

    def register(formula: type[Formula]) -> type[Formula]:
        FORMULAS[cls] = formula
        return formula

    return register
