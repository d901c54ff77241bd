"""Fits of rows of a source: all of them where they are few, else a sample and passes over them."""

from __future__ import annotations

import contextlib
from typing import Any

from ..likelihoods import NAMES
from .blocks import Block, Reader, joined, read_ahead
from .sources import source_of

__all__ = ["at_hand", "reader_of"]


def reader_of(estimator: Any, X: Any, y: Any, sample_weight: Any) -> Reader | None:
    """Reads rows to learn from where X is a source of them, None where it is at hand."""
    source = source_of(X, y, sample_weight, n_bytes=estimator._tuning.sample_bytes)
    if source is None:
        return None
    estimator._validate_params()  # before anything is read
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
