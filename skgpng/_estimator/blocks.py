"""Blocks of rows of a source: checked, of one size, and read ahead by a thread of their own."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from numbers import Number
from typing import Any, NamedTuple

import numpy as np

from .sources import Given, Source, is_of_arrow, n_rows_of, names_of, with_names
from .validation import first_not_finite

__all__ = ["Block", "Reader", "joined", "read_ahead"]

# Numbers in a block of rows, 8 MB as float64; and so many rows at least and at most.
_NUMBERS, _FEWEST, _MOST = 2**20, 256, 2**15
_THREAD = "rows of skgpng"


class Block(NamedTuple):
    """Rows that follow each other."""

    X: np.ndarray  # [n, D], float64 or float32
    y: np.ndarray | None  # [n] or [n, P], as given
    weights: np.ndarray | None  # [n], not negative
    first: int  # number of the first row, counted from the beginning of the source

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.X)

    def some(self, chosen: Any) -> Block:
        """Some of the rows."""
        X, y, weights = (None if a is None else a[chosen] for a in self[:3])
        assert X is not None
        return Block(X, y, weights, self.first)


class Reader:
    """Blocks of a source.

    Parameters
    ----------
    source : Source
    y : bool, default=True
        Whether y and weights are wanted.
    missing : bool, default=False
        Whether y may be NaN; X is looked through for NaN and infinity always.
    """

    def __init__(self, source: Source, y: bool = True, missing: bool = False) -> None:
        self.source, self._wants_y, self._missing = source, y, missing
        self.n_rows, self._lock = source.n_rows, threading.Lock()
        self._like: Any = None  # X of the first batch
        self._n_columns, self.n_numbers = 0, 0  # of a row: X, and with y and weight
        self._beside: Any = None  # shapes of y and weight of a row, None for none

    @property
    def size(self) -> int:
        """Rows of a block, once columns are known."""
        return int(np.clip(_NUMBERS // max(1, self._n_columns), _FEWEST, _MOST))

    def named(self, X: np.ndarray) -> Any:
        """An array with the names of the columns, where these have some."""
        return X if self._like is None else with_names(X, self._like)

    def look(self) -> Block:
        """The first rows, and how many columns there are; ValueError where there are no rows."""
        with contextlib.closing(self.source.batches(_FEWEST)) as batches:  # type: ignore[type-var]
            for first, given in batches:
                if n_rows_of(given.X):
                    block = self._checked(first, given)
                    self.n_numbers = sum(a[:1].size for a in block[:3] if a is not None)
                    return block
        raise ValueError("The source has no rows: it ended without a batch, or with empty ones.")

    def rows(self, start: int, stop: int) -> Block:
        """Rows of these numbers, of sources that can be sliced."""
        with self._lock:
            given = self.source.rows(start, stop)
        return self._checked(start, given)

    def blocks(self) -> Iterator[Block]:
        """All rows in their order, in blocks of one size; the last may be smaller.

        ValueError where they are not as many as they were before.
        """
        if not self._n_columns:
            self.look()
        n = 0
        for block in _resized(self._batches(None), self.size):
            n += block.n
            yield block
        before = "some" if self.n_rows is None else f"{self.n_rows:,}"
        if n and self.n_rows is None and not self._has_rows():
            # what is read once only, behind a new iterator each time: look() took rows of it
            before, n = f"{n:,} or more", 0
        if n == 0 or (self.n_rows is not None and n != self.n_rows):
            raise ValueError(
                f"The source had {before} rows, and now has {n:,}. Rows are read several times: "
                "each time it must start again, with the same rows."
            )
        self.n_rows = n
        self.source.beside.check_lengths(n)

    def _has_rows(self) -> bool:
        with contextlib.closing(self._batches(None)) as batches:  # type: ignore[type-var]
            return next(batches, None) is not None

    def shuffled(self, rng: Any) -> Iterator[Block]:
        """All rows once, in another order as far as the source can, in blocks of at most a size."""
        for block in self._batches(rng):
            for k in range(0, block.n, self.size):
                part = block.some(slice(k, k + self.size))
                yield part._replace(first=block.first + k)

    def _batches(self, rng: Any) -> Iterator[Block]:
        batches = self.source.batches(self.size, rng)
        while True:
            with self._lock:  # two threads may read, but not at once
                found = next(batches, None)
            if found is None:
                return
            first, given = found
            if n_rows_of(given.X):
                yield self._checked(first, given)

    # --- checks --------------------------------------------------------------------------

    def _checked(self, first: int, given: Given) -> Block:
        n = n_rows_of(given.X)
        where = f"rows {first:,} to {first + n - 1:,} of the source"
        names = names_of(given.X)
        X = _numbers(given.X, where)
        if self._like is None:
            self._like, self._n_columns = given.X if names else X[:0], X.shape[1]
        elif X.shape[1] != self._n_columns:
            raise ValueError(
                f"X has {X.shape[1]} columns in {where}, and {self._n_columns} in those before."
            )
        elif names != names_of(self._like):
            raise ValueError(
                f"The columns of X are {names} in {where}, and {names_of(self._like)} before."
            )
        _check_finite("X", X, first)
        if not self._wants_y:
            return Block(X, None, None, first)
        y = None if given.y is None else _values(given.y)
        weights = None if given.weights is None else _weights(given.weights, first, where)
        for name, values in (("y", y), ("sample_weight", weights)):
            if values is not None and len(values) != n:
                raise ValueError(f"X has {n:,} rows, but {name} has {len(values):,}, in {where}.")
        if not self._missing and y is not None and y.dtype.kind == "f":
            _check_finite("y", y, first)
        self._check_beside(y, weights, where)
        return Block(X, y, weights, first)

    def _check_beside(self, y: Any, weights: Any, where: str) -> None:
        """ValueError where y or weights are not in all batches, or of other columns."""
        found = [None if a is None else a.shape[1:] for a in (y, weights)]
        self._beside = self._beside or found
        for name, new, old in zip(("y", "sample_weight"), found, self._beside, strict=True):
            if new != old:
                raise ValueError(
                    f"{name} {_told(new)} in {where}, and {_told(old)} in those before: give it "
                    "alike in all batches."
                )


def _told(shape: tuple | None) -> str:
    return "is missing" if shape is None else f"has the shape {('n', *shape)}".replace("'", "")


def _values(values: Any) -> np.ndarray:
    return np.atleast_1d(np.asarray(values))


def _numbers(X: Any, where: str) -> np.ndarray:
    """X [n, D] in float64, or float32 where it came so."""
    if is_of_arrow(X):
        columns = [np.asarray(X.column(k)) for k in range(len(X.schema.names))]
        values = np.column_stack(columns) if columns else np.zeros((len(X), 0))
    else:
        values = _values(X)
    if values.ndim != 2:
        raise ValueError(
            f"X has the shape {values.shape} in {where}; it must be (n_rows, n_features). Batches "
            "are pairs (X, y), or X alone, of several rows each."
        )
    if values.dtype in (np.float64, np.float32):
        return values
    try:
        if values.dtype.kind not in "biufO":
            raise TypeError(f"dtype {values.dtype}")
        return values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"X holds what is no number in {where}: {error}.") from error


def _weights(values: Any, first: int, where: str) -> np.ndarray:
    if isinstance(values, Number):
        raise ValueError(f"sample_weight is one number in {where}; it must be one for each row.")
    weights = _values(values).astype(np.float64)
    if weights.ndim != 1:
        raise ValueError(f"sample_weight has the shape {weights.shape} in {where}.")
    _check_finite("sample_weight", weights, first)
    if np.any(weights < 0):
        row = first + int(np.argmax(weights < 0))
        raise ValueError(f"sample_weight is negative in row {row:,} of the source.")
    return weights


def _check_finite(name: str, values: np.ndarray, first: int) -> None:
    """ValueError naming the row, counted from the beginning of the source."""
    row = first_not_finite(values)
    if row is None:
        return
    what = "NaN" if np.isnan(values[row]).any() else "infinity"
    raise ValueError(
        f"{name} contains {what} in row {first + row:,} of the source, counted from 0. Leave the "
        "row out, or fill it in."
    )


# --- sizes and threads -----------------------------------------------------------------------


def _resized(blocks: Iterator[Block], size: int) -> Iterator[Block]:
    """The same rows in blocks of one size."""
    kept: list[Block] = []
    n = 0
    for block in blocks:
        start = 0
        while start < block.n:
            stop = min(start + size - n, block.n)
            kept.append(block.some(slice(start, stop))._replace(first=block.first + start))
            n, start = n + stop - start, stop
            if n == size:
                yield joined(kept)
                kept, n = [], 0
    if kept:
        yield joined(kept)


def joined(blocks: list[Block]) -> Block:
    """Blocks that follow each other as one."""
    if len(blocks) == 1:
        return blocks[0]
    X, y, weights = (
        None if parts[0] is None else np.concatenate(parts)
        for parts in zip(*(block[:3] for block in blocks), strict=True)
    )
    assert X is not None
    return Block(X, y, weights, blocks[0].first)


def read_ahead(items: Iterator) -> Iterator:
    """The same items, each made by a thread while the one before is used; it ends with them.

    Where the iterator is closed before its end, the thread finishes its item and ends, too.
    """
    made: queue.Queue = queue.Queue(1)
    over = threading.Event()
    thread = threading.Thread(target=_fill, args=(items, made, over), name=_THREAD, daemon=True)
    thread.start()
    try:
        while True:
            item, error = made.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        over.set()
        with contextlib.suppress(queue.Empty):  # a thread that waits for room goes on, and ends
            made.get_nowait()
        thread.join()


def _fill(items: Iterator, made: queue.Queue, over: threading.Event) -> None:
    last: tuple[None, BaseException | None]
    try:
        with contextlib.closing(items) as each:  # type: ignore[type-var]
            for item in each:
                if over.is_set():
                    return
                made.put((item, None))
        last = (None, None)
    except BaseException as error:  # raised where the items are used
        last = (None, error)
    if not over.is_set():  # nobody makes room then
        made.put(last)
