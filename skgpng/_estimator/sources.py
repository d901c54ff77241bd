"""Rows that are not arrays: what X may be, and how its rows are read again and again.

Nothing here imports the packages whose objects it reads: who hands one over has them.
"""

from __future__ import annotations

import abc
import collections.abc
import functools
import inspect
import mmap
import os
import sys
import weakref
from collections.abc import Callable, Iterator
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "Beside",
    "Given",
    "Source",
    "is_of_arrow",
    "names_of",
    "refuse_source",
    "source_of",
    "with_names",
]

# What can be iterated, but holds no batches.
_NO_BATCHES = (str, bytes, bytearray, dict, set, frozenset, range)
_ONCE = (
    "{} can be read once only, and rows are read several times. Pass what starts again: a function "
    "of no arguments that returns a new iterator, such as lambda: read_batches(path), or a class "
    "with __iter__."
)


class Given(NamedTuple):
    """Some rows as they came."""

    X: Any
    y: Any
    weights: Any


class Beside(NamedTuple):
    """Where y and the weights are: all of them, the name of a column, or None for in the batches.

    ``columns`` are the names of those to be read, None for all others.
    """

    y: Any = None
    weights: Any = None
    columns: tuple[str, ...] | None = None

    def of(self, item: Any, first: int) -> Given:
        """X, y and weights of a batch whose first row is that number ``first``."""
        X, *rest = item if _is_pair(item) else (item,)
        named = {"y": self.y, "sample_weight": self.weights}
        beside = dict(zip(named, [*rest, None, None], strict=False))
        stop = first + n_rows_of(X)
        for name, values in named.items():
            if values is None:
                continue
            if beside[name] is not None:
                raise ValueError(f"{name} is given twice: in the batches, and as {name}=.")
            by_name = isinstance(values, str)
            beside[name] = column(X, values, name) if by_name else part(values, first, stop)
        drop = {name for name in named.values() if isinstance(name, str)}
        return Given(_without(X, drop, self.columns), *beside.values())

    def check_lengths(self, n_rows: int) -> None:
        """ValueError where y or the weights are not as many as there are rows."""
        for name, values in (("y", self.y), ("sample_weight", self.weights)):
            if not (values is None or isinstance(values, (str, Real))):
                found = n_rows_of(values)
                if found != n_rows:
                    raise ValueError(f"X has {n_rows:,} rows, but {name} has {found:,}.")


def _is_pair(item: Any) -> bool:
    """Whether this is (X, y) or (X, y, sample_weight), and not X alone."""
    if not isinstance(item, (tuple, list)) or len(item) not in (1, 2, 3):
        return False
    return isinstance(item, tuple) or _is_table(item[0])


def _is_table(values: Any) -> bool:
    return getattr(values, "ndim", None) == 2 or names_of(values) is not None


def n_rows_of(values: Any) -> int:
    """Number of rows of an array or a table."""
    shape = getattr(values, "shape", None)
    return int(shape[0]) if shape is not None and len(shape) else len(values)


def part(values: Any, start: int, stop: int) -> Any:
    """Some of what is said of all rows; a number is said of each."""
    if isinstance(values, Real) or getattr(values, "shape", None) == ():
        return np.full(stop - start, values)
    return getattr(values, "iloc", values)[start:stop]


# --- tables ----------------------------------------------------------------------------------


def is_of_arrow(item: Any) -> bool:
    """Whether this is a table or a batch of Arrow."""
    return hasattr(item, "schema") and hasattr(item, "column")


def names_of(item: Any) -> list[str] | None:
    """Names of the columns of a table of Arrow, pandas or polars; None for an array."""
    if is_of_arrow(item):
        return [str(name) for name in item.schema.names]
    columns = getattr(item, "columns", None)
    if columns is None or not hasattr(item, "__getitem__"):
        return None
    return list(columns)


def column(item: Any, name: str, what: str) -> np.ndarray:
    """One column of a table."""
    names = names_of(item)
    if names is None or name not in names:
        where = "has no columns with names" if names is None else f"has the columns {names}"
        raise ValueError(f"{what}={name!r} is the name of a column, but X {where}.")
    return np.asarray(item.column(name) if is_of_arrow(item) else item[name])


def _without(item: Any, drop: set[str], columns: tuple[str, ...] | None) -> Any:
    """A table without some of its columns, or with those only; as it is where that is no change."""
    names = names_of(item)
    if names is None or (not drop and columns is None):
        return item
    wanted = columns is not None and set(columns) <= set(names)
    keep = [*columns] if wanted and columns else [name for name in names if name not in drop]
    return item if keep == names else item.select(keep) if hasattr(item, "select") else item[keep]


def with_names(X: np.ndarray, like: Any) -> Any:
    """An array with the names of the columns of a table; as it is for no table."""
    names = names_of(like)
    if names is None:
        return X
    package = sys.modules[type(like).__module__.partition(".")[0]]
    if package.__name__ == "pyarrow":
        return package.Table.from_arrays([package.array(x) for x in X.T], names=names)
    if package.__name__ == "pandas":
        return package.DataFrame(X, columns=names)
    return package.DataFrame(X, schema=names)


# --- sources ---------------------------------------------------------------------------------


class Source(abc.ABC):
    """Rows that can be read again and again."""

    #: None where nobody knows before they were read.
    n_rows: int | None = None
    #: Whether :meth:`rows` is there.
    sliceable = False

    def __init__(self, beside: Beside) -> None:
        self.beside = beside

    @abc.abstractmethod
    def batches(self, size: int, rng: Any = None) -> Iterator[tuple[int, Given]]:
        """All rows, about ``size`` at a time, and the number of the first row of each batch.

        In their order; with ``rng`` in another one, as far as the source can.
        """

    def rows(self, start: int, stop: int) -> Given:
        """Rows of these numbers; of those that are sliceable."""
        raise NotImplementedError


class Sliced(Source):
    """An array on a disk, a table, or a class with ``__len__`` and ``__getitem__`` on slices."""

    sliceable = True

    def __init__(self, X: Any, beside: Beside, slices: Callable[[int, int], Any]) -> None:
        super().__init__(beside)
        self.n_rows, self._slices = n_rows_of(X), slices
        self._maps = [m for m in map(_mapping, (X, beside.y, beside.weights)) if m is not None]
        beside.check_lengths(self.n_rows)

    def batches(self, size: int, rng: Any = None) -> Iterator[tuple[int, Given]]:
        starts = np.arange(0, self.n_rows or 0, size)
        for start in starts if rng is None else rng.permutation(starts):
            yield int(start), self.rows(int(start), int(start) + size)

    def rows(self, start: int, stop: int) -> Given:
        assert self.n_rows is not None
        stop = min(stop, self.n_rows)
        X, y, weights = self.beside.of(self._slices(start, stop), start)
        if n_rows_of(X) != stop - start:
            raise ValueError(
                f"X[{start}:{stop}] has {n_rows_of(X):,} rows in the place of {stop - start:,}. A "
                "class with __len__ and __getitem__ is one of rows: len(X) of them, given by "
                "slices. For batches pass what iterates over them, such as lambda: iter(batches)."
            )
        if not self._maps:
            return Given(X, y, weights)
        # copies, so that no page of the file is in use, and counted as memory, any longer
        copies = (np.array(a) if isinstance(a, np.memmap) else a for a in (X, y, weights))
        given = Given(*copies)
        for mapping in self._maps:
            mapping.madvise(mmap.MADV_DONTNEED)
        return given


def _mapping(values: Any) -> Any:
    """The memory map of a ``numpy.memmap`` that leaves what it has read to the file, or None."""
    if not isinstance(values, np.memmap) or values.mode == "c":  # whose changes are not there
        return None
    while values is not None and not isinstance(values, mmap.mmap):
        values = getattr(values, "base", None)
    return values if hasattr(mmap, "MADV_DONTNEED") else None


class Batches(Source):
    """Batches that come one after the other, from the beginning whenever ``opened`` anew."""

    def __init__(self, opened: Callable[[int], Any], beside: Beside) -> None:
        super().__init__(beside)
        self._opened = opened
        self._before: Callable[[], Any] = lambda: None

    def batches(self, size: int, rng: Any = None) -> Iterator[tuple[int, Given]]:
        opened = self._opened(size)
        # one that is handed out again goes on where it was left: rows would be lost in silence
        if opened is self._before() and hasattr(opened, "__next__"):
            raise TypeError(_ONCE.format(f"The iterator that X returns again ({_type(opened)})"))
        self._before = _held(opened)
        return self._numbered(opened, 0)

    def _numbered(self, batches: Any, first: int) -> Iterator[tuple[int, Given]]:
        if not hasattr(batches, "__iter__"):
            raise TypeError(f"X returned {_type(batches)}, no iterator over batches (X, y) or X.")
        for item in batches:
            given = self.beside.of(item, first)
            yield first, given
            first += n_rows_of(given.X)


def _type(item: Any) -> str:
    return type(item).__name__


def _held(item: Any) -> Callable[[], Any]:
    """Gives it back as long as it is there; where it can, it may go."""
    try:
        return weakref.ref(item)
    except TypeError:
        return lambda: item


class ArrowDataset(Batches):
    """A ``pyarrow.dataset.Dataset``; files and their row groups are its parts."""

    def __init__(self, dataset: Any, beside: Beside) -> None:
        super().__init__(lambda size: self._read(dataset, size), beside)
        self._dataset, names = dataset, list(dataset.schema.names)
        for what, name in (("y", beside.y), ("sample_weight", beside.weights)):
            if isinstance(name, str) and name not in names:
                raise ValueError(
                    f"{what}={name!r} is the name of a column, but X has the columns {names}."
                )
        wanted = beside.columns is not None and set(beside.columns) <= set(names)
        beside_X = [name for name in beside[:2] if isinstance(name, str)]
        self._columns = [*(beside.columns or ()), *beside_X] if wanted else None
        if not any(isinstance(a, str) for a in beside[:2]):
            self.n_rows = dataset.count_rows()
            beside.check_lengths(self.n_rows)

    def _read(self, what: Any, size: int, **settings: Any) -> Any:
        ahead = {"batch_readahead": 2, "fragment_readahead": 1}
        return what.to_batches(columns=self._columns, batch_size=size, **ahead, **settings)

    def batches(self, size: int, rng: Any = None) -> Iterator[tuple[int, Given]]:
        return super().batches(size) if rng is None else self._shuffled(size, rng)

    def _shuffled(self, size: int, rng: Any) -> Iterator[tuple[int, Given]]:
        try:
            fragments = [*self._dataset.get_fragments()]
        except ValueError:  # Arrow has none of a dataset that is filtered
            yield from super().batches(size)
            return
        parts = [
            group
            for fragment in fragments
            for group in getattr(fragment, "split_by_row_group", lambda f=fragment: [f])()
        ]
        firsts = np.concatenate([[0], np.cumsum([*map(_n_rows_of_part, parts)])])
        for k in rng.permutation(len(parts)):
            batches = self._read(parts[k], size, schema=self._dataset.schema)
            yield from self._numbered(batches, int(firsts[k]))


def _n_rows_of_part(fragment: Any) -> int:
    groups = getattr(fragment, "row_groups", None)  # count_rows is of the file
    return fragment.count_rows() if groups is None else sum(group.num_rows for group in groups)


# --- which -----------------------------------------------------------------------------------


def source_of(
    X: Any, y: Any = None, weights: Any = None, columns: Any = None, n_bytes: float = 0.0
) -> Source | None:
    """What reads rows of X, or None where X is at hand, as any array.

    Parameters
    ----------
    X : object
    y, weights : object
        All of them, names of columns, or None where batches hold them.
    columns : sequence of str, optional
        Names of the columns to be read from a table.
    n_bytes : float
        Arrays on a disk of at most so much, as float64, are at hand.

    Raises
    ------
    TypeError
        For what can be read once only.
    ValueError
        For text, such as the name of a file.
    """
    if isinstance(X, np.ndarray) and (not isinstance(X, np.memmap) or _is_of_joblib(X)):
        return None
    beside = Beside(_readable(y), _readable(weights), None if columns is None else tuple(columns))
    package = type(X).__module__.partition(".")[0]
    if package == "pyarrow":
        return _of_arrow(X, beside)
    if package == "tensorflow" and hasattr(X, "element_spec"):
        return Batches(lambda size: _of_tensors(X, size), beside)
    shape = getattr(X, "shape", None)
    if shape is not None and hasattr(X, "dtype") and hasattr(X, "__getitem__"):
        far = len(shape) == 2 and 8.0 * np.prod(shape) > n_bytes and _is_lazy(package)
        return Sliced(X, beside, lambda start, stop: X[start:stop]) if far else None
    return _of_python(X, beside)


def refuse_source(X: Any) -> None:
    """ValueError where X can be nothing but a source: no array, and no table of a package."""
    of_arrow = type(X).__module__.partition(".")[0] == "pyarrow"
    if isinstance(X, np.ndarray) or (of_arrow and hasattr(X, "__array__")):  # a table at hand
        return
    if source_of(X, n_bytes=np.inf) is not None:
        raise ValueError(
            f"X is {_type(X)}, which gives rows in batches: fit, predict and score take "
            "those, this method does not. Pass rows as an array, such as those of one batch."
        )


def _is_of_joblib(X: np.memmap) -> bool:
    """Whether it is an array that joblib hands to its processes: numbers are those of one."""
    return "joblib_memmapping_folder_" in str(X.filename)


def _is_lazy(package: str) -> bool:
    """Whether its arrays are read when they are sliced; those of the packages named are at hand."""
    return package not in ("scipy", "pandas", "polars", "torch", "tensorflow", "jax", "jaxlib")


def _readable(values: Any) -> Any:
    """What can be sliced by position: lists become arrays."""
    if values is None or isinstance(values, Real):
        return values
    if hasattr(values, "__getitem__") and not isinstance(values, (list, tuple)):
        return values
    if callable(values) or hasattr(values, "__next__"):
        raise TypeError(
            f"y and sample_weight cannot be read from {_type(values)}: pass all of them as an "
            "array, the name of a column, or batches (X, y) or (X, y, sample_weight)."
        )
    return np.asarray(values)


def _of_arrow(X: Any, beside: Beside) -> Source | None:
    if hasattr(X, "iter_batches"):  # a ParquetFile
        return Batches(lambda size: X.iter_batches(batch_size=size), beside)
    if hasattr(X, "slice") and hasattr(X, "num_rows"):
        return Sliced(X, beside, lambda start, stop: X.slice(start, stop - start))
    if hasattr(X, "get_fragments"):
        return ArrowDataset(X, beside)
    if hasattr(X, "__array__"):
        return None
    raise TypeError(_ONCE.format(f"pyarrow's {type(X).__name__}"))


def _of_tensors(dataset: Any, size: int) -> Any:
    """Batches of a ``tf.data.Dataset``, whose elements may be single rows."""
    if int(dataset.cardinality()) == -1:
        raise ValueError("The tf.data.Dataset never ends: leave out its repeat().")
    spec = dataset.element_spec
    of_X = spec[0] if isinstance(spec, (tuple, list)) else spec
    rank = getattr(getattr(of_X, "shape", None), "rank", None)
    return (dataset.batch(size) if rank == 1 else dataset).as_numpy_iterator()


def _of_python(X: Any, beside: Beside) -> Source | None:
    """Of a function that opens batches, a class of slices, or what can be iterated again."""
    first = X[0] if isinstance(X, (list, tuple)) and len(X) else X
    if isinstance(first, (str, os.PathLike)):
        raise ValueError(
            f"X is text, {str(first)!r:.80}: could not convert string to float. Files are not "
            "opened here: pass what reads them, such as pyarrow.dataset.dataset(path) or "
            "numpy.load(path, mmap_mode='r')."
        )
    if isinstance(X, (list, tuple)):
        pairs = len(X) > 0 and beside.y is None and _is_pair(X[0]) and _is_table(X[0][0])
        alone = len(X) > 0 and _is_table(X[0])
        return Batches(lambda size: iter(X), beside) if pairs or alone else None
    at_hand = ("__array__", "__array_interface__", "__dataframe__", "iloc", "tocsr")
    if isinstance(X, (*_NO_BATCHES, type)) or any(hasattr(X, name) for name in at_hand):
        return None
    if hasattr(X, "__next__"):
        raise TypeError(_ONCE.format(f"X ({type(X).__name__})"))
    if callable(X) and _needs_nothing(X):
        return Batches(lambda size: X(), beside)
    sequence = isinstance(X, collections.abc.Sequence) or not hasattr(X, "__iter__")
    if sequence and hasattr(X, "__getitem__") and hasattr(X, "__len__"):
        return Sliced(X, beside, functools.partial(_slice, X))
    return Batches(lambda size: iter(X), beside) if hasattr(X, "__iter__") else None


def _slice(X: Any, start: int, stop: int) -> Any:
    try:
        return X[start:stop]
    except TypeError as error:
        raise TypeError(
            f"X[{start}:{stop}] of {type(X).__name__} failed: {error}. A class with __len__ and "
            "__getitem__ is asked for slices of rows; of one that gives single rows or batches by "
            "their number pass what iterates over batches, such as lambda: batches_of(X)."
        ) from error


def _needs_nothing(function: Callable) -> bool:
    """Whether it can be called without arguments."""
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):  # it needs some, or is of C and does not say
        return False
    return True
