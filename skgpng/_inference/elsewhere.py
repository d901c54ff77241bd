"""Sums over rows that are not at hand: on a disk, or on other machines.

A step begins with hyperparameters and q, makes M x M factors of them, sums a function of these over
all rows and ends with the sums (see :mod:`skgpng._inference.points`). Where rows are elsewhere the
compiled loop knows their numbers only, and asks for the sums: a :class:`Call` with the tensors that
the function takes goes to where rows are, and arrays of size M x M come back.
"""

from __future__ import annotations

import abc
import functools
import itertools
import weakref
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .._runtime import all_digits, at_home, compiled_once, map_leaves, tf
from .base import Data, Execution, Iterate, Structure, real

__all__ = ["Call", "Spread", "failure_of", "numbered", "numbers_form", "sum_elsewhere"]


class Call(NamedTuple):
    """A function of an inference that is to be summed over rows; hashable, and pickles.

    Attributes
    ----------
    structure : Structure
        As for rows that are at hand, in chunks.
    name : str
        Of the method, see ``PointInference.summed``.
    given : nest of tf.TensorSpec
        Rows taken at a time, the hyperparameters and what else the method takes.
    """

    structure: Structure
    name: str
    given: Any

    def data_of(self, rows: Sequence) -> Data:
        """Rows (X, Y, weights, row) as tensors, to be made once where they are asked for often."""
        form = self.structure.model.inference.data_form(*self.structure)
        X, Y, weights, row = rows
        with self._place():
            return map_leaves(_as_tensor, form, Data(X, Y, weights, row, np.zeros(0)))

    def on(self, rows: Sequence, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The sums over rows (X, Y, weights, row), arrays, or tensors from :meth:`data_of`."""
        data = rows if isinstance(rows, Data) else self.data_of(rows)
        with self._place():
            found = _compiled_sums(self)(data, *map(tf.convert_to_tensor, arrays))
        return [tensor.numpy() for tensor in tf.nest.flatten(found)]

    def _place(self) -> Any:
        """On the CPU, or where nothing leaves for NumPy on the GPU that TensorFlow takes first."""
        return all_digits if self.structure.how.algebra == "graph" else at_home()


def _as_tensor(spec: Any, values: Any) -> Any:
    return tf.convert_to_tensor(np.asarray(values, spec.dtype.as_numpy_dtype))


@compiled_once
def _compiled_sums(call: Call) -> Any:
    inference = call.structure.model.inference

    def sums(data: Data, *arrays: Any) -> Any:
        chunk_size, theta, arguments = tf.nest.pack_sequence_as(call.given, arrays)
        jitter = tf.zeros([], tf.float64)  # what it is for has been done
        iterate = Iterate(*call.structure, theta, jitter, chunk_size=chunk_size)
        return inference.summed(iterate, call.name, arguments, data)

    form = inference.data_form(*call.structure)
    return tf.function(sums, input_signature=(form, *tf.nest.flatten(call.given)), autograph=False)


# --- inside the loop -------------------------------------------------------------------------


class Spread(abc.ABC):
    """Rows that are elsewhere, as the compiled loop asks for them.

    Attributes
    ----------
    number : int
        By which the loop, in which there are tensors only, knows them.
    error : Exception or None
        What kept the last sums from being found: the loop ends by it.
    """

    #: Whether sums over some of the rows may be asked for, by their numbers.
    by_number: ClassVar[bool] = True
    #: Beyond, a number stands for several rows in a row: the loop holds 20 bytes for each.
    most_numbers: ClassVar[int] = 2**23
    _numbers: ClassVar = itertools.count()

    def __init__(self) -> None:
        self.number = next(self._numbers)
        self.error: Exception | None = None
        _SPREAD[self.number] = self

    @abc.abstractmethod
    def sums(
        self,
        call: Call,
        arrays: list[np.ndarray],
        rows: np.ndarray | None = None,
        scale: float = 1.0,
    ) -> list[np.ndarray]:
        """Sums of ``call`` over all rows, or over those numbered, their weights times ``scale``."""

    @property
    @abc.abstractmethod
    def n_rows(self) -> int:
        """All that have a positive weight."""

    @property
    @abc.abstractmethod
    def total_weight(self) -> float:
        """Of all rows."""

    @property
    def rows_a_number(self) -> int:
        """Rows that each number stands for."""
        return -(-self.n_rows // self.most_numbers)

    @property
    def n_numbers(self) -> int:
        """That the loop knows; one for all rows where they have none."""
        return -(-self.n_rows // self.rows_a_number) if self.by_number else 1


_SPREAD: weakref.WeakValueDictionary[int, Spread] = weakref.WeakValueDictionary()


def numbers_form() -> Data:
    """Types and shapes of the numbers of rows [N, 1] in place of the rows, see :func:`numbered`."""
    number = tf.TensorSpec([], tf.int32)
    rows = tf.TensorSpec([None, 1], tf.int32)
    return Data(rows, real(None, 0), real(None), real(None, 0), real(None), spread=number)


def numbered(spread: Spread, X_scale: np.ndarray) -> Data:
    """What the loop takes for rows that are elsewhere; each number has the mean of all weights."""
    N = spread.n_numbers
    weights, nothing = np.full(N, spread.total_weight / N), np.zeros((N, 0))
    numbers = np.arange(N, dtype=np.int32)[:, None]
    return Data(numbers, nothing, weights, nothing, X_scale, spread=spread.number)


def failure_of(data: Data) -> Exception | None:
    """What kept the sums of these rows from being found, once."""
    spread = None if isinstance(data.spread, tuple) else _SPREAD.get(int(data.spread))
    if spread is None:
        return None
    error, spread.error = spread.error, None
    return error


def sum_elsewhere(iterate: Iterate, name: str, arguments: Any, data: Data, zero: Any) -> Any:
    """A tensor nest like ``zero``, from where the rows are; not finite where that failed."""
    given = tf.nest.map_structure(
        tf.convert_to_tensor, (iterate.chunk_size, iterate.theta, arguments)
    )
    how = _of_rows_at_hand(iterate.how)
    specs = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), given)
    call = Call(Structure(iterate.model, how), name, specs)
    like = tf.nest.flatten(zero)
    found = tf.numpy_function(
        functools.partial(_ask, call, len(like)),
        [data.spread, data.X, data.weights[:1], *map(tf.shape, like), *tf.nest.flatten(given)],
        [t.dtype for t in like],
        stateful=True,
    )
    for tensor, zeros in zip(found, like, strict=True):
        tensor.set_shape(zeros.shape)
    return tf.nest.pack_sequence_as(zero, found)


def _of_rows_at_hand(how: Execution) -> Execution:
    how = how._replace(minibatch=False, chunked=True, elsewhere=False, in_order=False)
    return how._replace(device="")  # theirs


def _ask(call: Call, n: int, number: Any, rows: Any, weight: Any, *arrays: Any) -> list:
    """The sums, in one call of NumPy."""
    spread, shapes = _SPREAD[int(number)], arrays[:n]
    try:
        if len(rows) == spread.n_numbers:
            return spread.sums(call, [*arrays[n:]])
        scale = float(weight[0]) * (spread.n_numbers / spread.total_weight)
        return spread.sums(call, [*arrays[n:]], _rows_of(spread, rows), scale)
    except Exception as error:  # kept: here it would become one of TensorFlow's
        spread.error = error
        return [np.full(shape, np.nan) for shape in shapes]


def _rows_of(spread: Spread, numbers: np.ndarray) -> np.ndarray:
    """Rows that numbers [n, 1] stand for."""
    each = spread.rows_a_number
    if each == 1:
        return numbers[:, 0]
    rows = (each * numbers.astype(np.int64) + np.arange(each)).ravel()
    return rows[rows < spread.n_rows]
