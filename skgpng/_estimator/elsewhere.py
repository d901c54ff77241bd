"""Rows that are not at hand: what a fit asks of them, and how they become rows to learn from."""

from __future__ import annotations

import abc
import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import _check_sample_weight

from .._inference.elsewhere import Spread
from ..likelihoods import Likelihood, Units
from .plan import Options
from .problem import Problem, Rows
from .trends import trend_at
from .validation import FLOATS, check_range, first_not_finite, positions, rows_known

__all__ = [
    "Encoder",
    "RowsElsewhere",
    "Sample",
    "encoder_of",
    "of_sample",
    "refuse_not_finite",
    "refuse_without_rows",
]


class Sample(NamedTuple):
    """Rows at hand, as a user would hand them to ``fit``: all of them, or some."""

    X: Any
    y: Any
    sample_weight: Any  # None where rows have none
    n_rows: int  # of all
    total_weight: float  # of all

    @property
    def is_all(self) -> bool:
        """Whether there are no others."""
        return len(self.y) == self.n_rows


@contextlib.contextmanager
def of_sample(sample: Sample | None) -> Iterator[None]:
    """A ValueError says that the rows it numbers are those of a sample, where they are."""
    try:
        yield
    except ValueError as error:
        if sample is None or sample.is_all or type(error) is not ValueError:
            raise
        of = f"{len(sample.y):,} of {sample.n_rows:,} rows"
        raise ValueError(f"In a sample of {of}, numbered anew: {error}") from error


class RowsElsewhere(Spread):
    """Rows on a disk or on other machines."""

    @abc.abstractmethod
    def sample(self, n_bytes: int, rng: np.random.RandomState) -> Sample:
        """All rows, in their order, where so many bytes of float64 hold them; else some.

        They are drawn at random, each as likely; of labels one row of each class at least is among
        them. Random numbers are drawn only where there are more rows.
        """

    @abc.abstractmethod
    def begin(self, encoder: Encoder) -> None:
        """Make ready for ``sums`` and ``pools``."""

    def pools(self, n_rows: int, rng: np.random.RandomState) -> Iterator[Rows]:
        """Encoded rows, so many at a time and without end, in an order that is drawn.

        Minibatches are drawn from one until the next. Rows that have numbers have no pools.
        """
        raise NotImplementedError

    @abc.abstractmethod
    def end(self) -> None:
        """Let go of what was taken, whatever happened."""


class Encoder(NamedTuple):
    """Makes rows to learn from of what a user hands over, as a fit has begun; pickles.

    Attributes
    ----------
    n_columns : int
    dtype : str
        ``dtype`` of the estimator.
    X_dtype : numpy.dtype
        Of encoded rows.
    encode : callable
        Y [N, P], ``row`` [N, R] and a factor of the weights of validated (X, y).
    """

    n_columns: int
    dtype: str
    X_dtype: np.dtype
    encode: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, Any]]

    def __call__(self, X: Any, y: Any, sample_weight: Any = None, first: int = 0) -> Rows:
        """Rows of positive weight; ValueError names one that is wrong, counted from ``first``."""
        X = check_array(X, dtype=FLOATS, ensure_all_finite=False, ensure_min_samples=0)
        y = np.asarray(y)
        check_consistent_length(X, y)
        if X.shape[1] != self.n_columns:
            raise ValueError(
                f"X has {X.shape[1]} columns from row {first} on, but {self.n_columns} before."
            )
        weights = np.ones(len(X))
        if sample_weight is not None and not np.any(sample_weight):  # refused for all rows only
            check_consistent_length(X, sample_weight)
            weights = np.zeros(len(X))
        elif sample_weight is not None:
            weights = _check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
        place = first + np.flatnonzero(weights > 0)
        if len(place) < len(X):
            X, y, weights = X[weights > 0], y[weights > 0], weights[weights > 0]
        refuse_not_finite("X", X, place)
        if y.dtype.kind == "f":
            refuse_not_finite("y", y, place)
        X = (check_range(X, self.dtype) if len(X) else X).astype(self.X_dtype, copy=False)
        try:
            Y, row, factor = self.encode(X, y)
        except ValueError as error:
            raise ValueError(f"Among rows {place[0]} to {place[-1]}: {error}") from error
        return Rows(X, Y, weights * factor, row)


def refuse_not_finite(name: str, values: np.ndarray, place: np.ndarray) -> None:
    """ValueError for NaN or infinity in values [N] or [N, D] of rows at these places."""
    row = first_not_finite(values)
    if row is not None:
        raise ValueError(
            f"Input {name} contains NaN or infinity, in row {place[row]}. Leave such rows out, or "
            "give them a sample_weight of 0."
        )


def targets_of(
    likelihood: Likelihood,
    units: Units,
    fixed_noise: float,
    trend: Any,
    X: np.ndarray,
    y: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, float]:
    """``Encoder.encode`` of a regression."""
    P = len(units.scale)
    Y = y.astype(np.float64).reshape(len(X), P)
    likelihood.check(Y)
    if trend is not None and len(X):
        Y = Y - trend_at(trend, X, P)
    row = rows_known(likelihood, {}, len(X), units.scale, fixed_noise)
    return (Y - units.shift) / units.scale, row, 1.0


def labels_of(
    classes: np.ndarray, weights: np.ndarray, X: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``Encoder.encode`` of a classification, by the weight of each class [C]."""
    labels = positions(y.ravel(), classes)
    return labels.reshape(-1, 1).astype(np.float64), np.zeros((len(y), 0)), weights[labels]


def encoder_of(problem: Problem, dtype: str, classes: np.ndarray | None) -> Encoder:
    """For rows of a fit that has begun with some of them; ``classes`` of a classification."""
    X, encode = problem.rows.X, targets_of if classes is None else labels_of
    given: tuple = problem.likelihood, problem.units, problem.fixed_noise, problem.trend
    if classes is not None:
        given = classes, problem.label_weights
    return Encoder(X.shape[1], dtype, X.dtype, functools.partial(encode, *given))


def refuse_without_rows(
    options: Options, M: int | None, early_stopping: bool, sample: Sample, problem: Problem
) -> None:
    """ValueError for what needs all rows at hand, with their size."""
    what = ""
    if M is None:
        what = f"n_inducing={options.n_inducing} (a variable for each row)"
    elif callable(options.optimizer) or options.optimizer == "lbfgs":
        what = f"optimizer={options.optimizer!r:.40}"
    elif early_stopping:
        what = "early_stopping=True"
    if what:
        n, gib = float(sample.n_rows), 2.0**30
        size = f"{8.0 * n * (problem.rows.X.shape[1] + 2) / gib:,.1f} GiB"
        if M is None:
            size += f" and {8.0 * n**2 / gib:,.1f} GiB for the covariances between them"
        raise ValueError(
            f"{what} needs all {sample.n_rows:,} rows in memory, {size}, but those handed "
            "to fit are on a disk or on other machines. Set n_inducing to a number and leave "
            "optimizer='auto' and early_stopping=False, or read "
            f"{'fewer ' if M is None else ''}rows into an array first."
        )
