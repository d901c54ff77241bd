"""Fits of rows of a source: all of them where they are few, else a sample and passes over them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from .._inference.elsewhere import Call
from ..likelihoods import NAMES
from .blocks import Block, Reader, joined, read_ahead
from .elsewhere import Encoder, RowsElsewhere, Sample
from .problem import Rows
from .sampled import Reservoir
from .sources import source_of

__all__ = ["SourceRows", "at_hand", "far_rows", "reader_of"]

# A pool of rows is made of so many pieces at least, of so many rows at least, from anywhere.
_PIECES, _PIECE = 64, 64


def reader_of(estimator: Any, X: Any, y: Any, sample_weight: Any) -> Reader | None:
    """Reads rows to learn from where X is a source of them, None where it is at hand."""
    source = source_of(X, y, sample_weight, n_bytes=estimator._tuning.sample_bytes)
    if source is None:
        return None
    given = estimator.likelihood
    likelihood = NAMES.get(given) if isinstance(given, str) else given
    reader = Reader(source, missing=getattr(likelihood, "allows_missing", False))
    if reader.look().y is None:
        raise ValueError(
            "y is missing: pass all of them as y, the name of a column of X, or batches (X, y)."
        )
    return reader


def at_hand(reader: Reader, n_bytes: int) -> Block | None:
    """All rows, where they are no more than so many bytes as float64; else None."""
    if reader.n_rows is not None and 8 * reader.n_rows * reader.n_numbers > n_bytes:
        return None
    kept: list[Block] = []
    most, n = max(1, n_bytes // (8 * reader.n_numbers)), 0
    with contextlib.closing(read_ahead(reader.blocks())) as blocks:  # type: ignore[type-var]
        for block in blocks:
            kept, n = [*kept, block], n + block.n
            if n > most:
                return None
    return joined(kept)


def far_rows(estimator: Any, reader: Reader, given: dict) -> SourceRows:
    """Rows that are too many to be at hand; ValueError for what is said of each beside."""
    alpha: Any = getattr(estimator, "alpha", None)
    for name, values in {**given, "alpha": None if np.ndim(alpha) == 0 else alpha}.items():
        if values is not None:
            gib = estimator._tuning.sample_bytes / 2**30
            raise ValueError(
                f"{name}= is for rows in memory, but these are more than the {gib:.3g} GiB of a "
                f"source that are read. Leave {name} out, or read the rows into an array first."
            )
    return SourceRows(reader, is_classifier(estimator))


class SourceRows(RowsElsewhere):
    """Rows of a source; they have no numbers, so that minibatches are drawn from pools.

    Parameters
    ----------
    reader : Reader
    labels : bool
        Whether a sample is to have a row of each value of y.
    """

    by_number = False

    def __init__(self, reader: Reader, labels: bool) -> None:
        super().__init__()
        self._reader, self._labels = reader, labels
        self._sample: Sample | None = None
        self._n_rows, self._total_weight = 0, 0.0
        self._ahead: Any = None

    @property
    def n_rows(self) -> int:
        """All that have a positive weight."""
        return self._n_rows

    @property
    def total_weight(self) -> float:
        """Of all rows."""
        return self._total_weight

    def sample(self, n_bytes: int, rng: np.random.RandomState) -> Sample:
        """The one pass that counts rows and takes some of them."""
        reservoir = Reservoir(n_bytes, rng, self._labels)
        with self._blocks() as blocks:
            for block in blocks:
                reservoir.add(block)
        if not reservoir.n_rows:
            raise ValueError("sample_weight must have at least one positive entry, got only zeros.")
        self._n_rows, self._total_weight = reservoir.n_rows, reservoir.total_weight
        rows = reservoir.rows()
        named = self._reader.named(rows.X)
        self._sample = Sample(named, rows.y, rows.weights, self._n_rows, self._total_weight)
        return self._sample

    def begin(self, encoder: Encoder) -> None:
        """Encode rows by this from now on."""
        self._encoder = encoder

    def sums(
        self,
        call: Call,
        arrays: list[np.ndarray],
        rows: np.ndarray | None = None,
        scale: float = 1.0,
    ) -> list[np.ndarray]:
        """One pass, in which the sums of blocks are added up in their order."""
        assert rows is None and scale == 1.0  # rows have no numbers
        total = None
        with self._blocks() as blocks:
            for block in blocks:
                found = call.on(self._encoded(block), arrays)
                total = found if total is None else [a + b for a, b in zip(total, found)]
        assert total is not None
        return total

    def pools(self, n_rows: int, rng: np.random.RandomState) -> Iterator[Rows]:
        """Pieces from anywhere of a source that can be sliced; else from a buffer of passes.

        The buffer begins with the sample; rows that come next take the places of those drawn.
        """
        sliced = self._reader.source.sliceable
        self._ahead = read_ahead((self._of_pieces if sliced else self._of_buffer)(n_rows, rng))
        return self._ahead

    def _of_pieces(self, n_rows: int, rng: np.random.RandomState) -> Iterator[Rows]:
        reader, kept = self._reader, _Kept()
        assert reader.n_rows is not None
        size = int(np.clip(n_rows // _PIECES, _PIECE, reader.size))
        while True:
            for k in rng.permutation(-(-reader.n_rows // size)):
                piece = reader.rows(int(k) * size, int(k) * size + size)
                kept.add(self._encoded(piece))
                if kept.n >= n_rows:
                    yield kept.taken(n_rows)

    def _of_buffer(self, n_rows: int, rng: np.random.RandomState) -> Iterator[Rows]:
        assert self._sample is not None
        buffer = Rows(*map(np.array, self._encoder(*self._sample[:3])))
        n, kept = min(n_rows, len(buffer.X)), _Kept()
        while True:
            for block in self._reader.shuffled(rng):
                kept.add(self._encoded(block))
                while kept.n >= n:
                    yield _exchanged(buffer, kept.taken(n), rng)

    def _encoded(self, block: Block) -> Rows:
        return self._encoder(block.X, block.y, block.weights, block.first)

    def _blocks(self) -> Any:
        return contextlib.closing(read_ahead(self._reader.blocks()))  # type: ignore[type-var]

    def end(self) -> None:
        """End the thread that reads ahead."""
        if self._ahead is not None:
            self._ahead.close()
        self._ahead = self._sample = None


class _Kept:
    """Rows that gather until they are enough."""

    def __init__(self) -> None:
        self._rows: list[Rows] = []
        self.n = 0

    def add(self, rows: Rows) -> None:
        """More rows."""
        self._rows.append(rows)
        self.n += len(rows.X)

    def taken(self, n: int) -> Rows:
        """The first n of them, which are gone then."""
        rows = Rows(*map(np.concatenate, zip(*self._rows, strict=True)))
        self._rows, self.n = [rows.some(slice(n, None))], self.n - n
        return rows.some(slice(0, n))


def _exchanged(buffer: Rows, rows: Rows, rng: np.random.RandomState) -> Rows:
    """As many rows of the buffer, drawn at random, which others take the places of."""
    places = rng.permutation(len(buffer.X))[: len(rows.X)]
    drawn = buffer.some(places)
    for old, new in zip(buffer, rows, strict=True):
        old[places] = new
    return drawn
