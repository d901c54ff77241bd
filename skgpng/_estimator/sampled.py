"""One pass over rows that are not at hand: a uniform sample of them, and how many there are."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets

from .blocks import Block

__all__ = ["Reservoir"]


class Reservoir:
    """A uniform sample without replacement of rows whose number nobody knows beforehand.

    Vitter's algorithm R (1985), a block at a time: row t, counted from 0, takes a place u drawn
    from 0, ..., t, and leaves it to a later one where u is below the number k of places; else it is
    left out. Rows without weight are not counted.

    Parameters
    ----------
    n_bytes : int
        Of the sample, as float64.
    rng : numpy.random.RandomState
    labels : bool
        Whether the first row of each value of y is to be kept, too.
    """

    def __init__(self, n_bytes: int, rng: np.random.RandomState, labels: bool) -> None:
        self._n_bytes, self._rng, self._labels = n_bytes, rng, labels
        self._stores: list[Any] = []
        self._numbers, self._places = np.zeros(0, np.int64), 0
        self._first_of: dict[Any, Block] = {}
        self.n_rows, self.total_weight = 0, 0.0

    def add(self, block: Block) -> None:
        """Look at a block; all rows come once, in their order."""
        numbers = block.first + np.arange(block.n)
        weights = block.weights
        self.total_weight += float(block.n if weights is None else weights.sum())
        if weights is not None and not weights.all():
            block, numbers = block.some(weights > 0), numbers[weights > 0]
        if not block.n:
            return
        if not self._stores:
            self._make(block)
        if self._labels:
            self._keep_classes(block, numbers)
        places = self._drawn(block.n)
        chosen = np.flatnonzero(places < self._places)
        self._numbers[places[chosen]] = numbers[chosen]
        for k, values in enumerate(block[:3]):
            if values is not None:
                self._stores[k] = _stored(self._stores[k], places[chosen], values[chosen])
        self.n_rows += block.n

    def _make(self, block: Block) -> None:
        n_numbers = sum(a[:1].size for a in block[:3] if a is not None)
        self._places = max(1, self._n_bytes // (8 * n_numbers))
        self._numbers = np.empty(self._places, np.int64)
        self._stores = [  # memory is taken where it is written
            None if a is None else np.empty((self._places, *a.shape[1:]), a.dtype)
            for a in block[:3]
        ]

    def _drawn(self, n: int) -> np.ndarray:
        """Place of each of the next n rows; the first ones fill the sample."""
        t = self.n_rows + np.arange(n)
        late = t >= self._places
        drawn = self._rng.random_sample(int(late.sum())) * (t[late] + 1)
        t[late] = drawn.astype(np.int64)
        return t

    def _keep_classes(self, block: Block, numbers: np.ndarray) -> None:
        assert block.y is not None
        try:
            if not self._first_of:  # before numbers are kept as so many classes
                check_classification_targets(block.y)
            labels, firsts = np.unique(block.y, return_index=True)
        except TypeError as error:
            raise ValueError(
                f"y has labels that cannot be sorted in rows {block.first:,} to {numbers[-1]:,} of "
                f"the source, as of several types, or missing: {error}."
            ) from error
        for label, k in zip(labels.tolist(), firsts, strict=True):
            if label not in self._first_of and len(self._first_of) < self._places:
                row = block.some(slice(k, k + 1))._replace(first=int(numbers[k]))
                self._first_of[label] = row._replace(
                    X=row.X.copy(), y=_copied(row.y), weights=_copied(row.weights)
                )

    def rows(self) -> Block:
        """The sample in the order of the rows, with a row of each class."""
        n = min(self.n_rows, self._places)
        numbers = self._numbers[:n]
        kept: list[Any] = [None if a is None else a[:n] for a in self._stores]
        if self._labels and self.n_rows > n:
            there = set(np.unique(kept[1]).tolist())
            extra = [row for label, row in self._first_of.items() if label not in there]
            numbers = np.concatenate([numbers, [row.first for row in extra]]).astype(np.int64)
            kept = [
                None if a is None else np.concatenate([a, *(row[k] for row in extra)])
                for k, a in enumerate(kept)
            ]
        order = np.argsort(numbers, kind="stable")
        if self.n_rows > n:
            kept = [None if a is None else a[order] for a in kept]
        X, y, weights = kept
        return Block(X, y, weights, 0)


def _copied(values: Any) -> Any:
    return None if values is None else values.copy()


def _stored(store: Any, places: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The store with values at some places; where a place comes twice the later one stays.

    Of a type that holds both, such as longer strings.
    """
    dtype = np.result_type(store.dtype, values.dtype)
    store = store if store.dtype == dtype else store.astype(dtype)
    store[places] = values
    return store
