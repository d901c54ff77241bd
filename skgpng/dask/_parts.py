"""Rows of Dask collections, part by part: what is asked of a part where it is held."""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

import dask
import numpy as np
from dask import is_dask_collection
from dask.delayed import Delayed
from distributed import get_worker

from .._version import __version__

__all__ = [
    "About",
    "Part",
    "about",
    "cut_as",
    "in_row_chunks",
    "is_array",
    "joined",
    "parts_of",
    "some_rows",
]

# A part with more labels than that has no classes, but numbers; whoever sees the sample says so.
_MOST_CLASSES = 1000


class Part(NamedTuple):
    """Rows of one partition, as they were handed over."""

    X: Any
    y: Any
    sample_weight: Any  # or None


class About(NamedTuple):
    """What is known of a part without its rows."""

    n_rows: int
    total_weight: float
    labels: dict  # number of the first row of each; empty for regression
    version: str  # of skgpng, where the part is
    address: str


# --- collections, where fit is called ---------------------------------------------------------


def parts_of(X: Any, y: Any, sample_weight: Any) -> list:
    """A delayed :class:`Part` of each partition, in the order of the rows.

    Raises
    ------
    ValueError
        Where X and y cannot be brought into step without computing them.
    """
    if y is None:
        raise ValueError("y is None: beside a Dask array or data frame X, fit needs y.")
    X = in_row_chunks(X, "X")
    beside = {"y": y, "sample_weight": sample_weight}
    cut = {name: cut_as(X, values, name) for name, values in beside.items() if values is not None}
    blocks = [_blocks(X), *(_blocks(values) for values in cut.values())]
    made, token = dask.delayed(_part, pure=False), uuid.uuid4().hex
    return [
        made(i, *each, dask_key_name=f"skgpng-part-{token}-{i}")
        for i, each in enumerate(zip(*blocks, strict=True))
    ]


def is_array(values: Any) -> bool:
    """Whether a Dask collection is an array."""
    # a Delayed has all attributes
    return hasattr(values, "rechunk") and isinstance(getattr(values, "ndim", None), int)


def in_row_chunks(values: Any, name: str) -> Any:
    """An array in one chunk of columns, or a frame as it is."""
    # of bags and of Delayed nobody knows the columns; of the latter hasattr is always true
    if isinstance(values, Delayed) or not isinstance(getattr(values, "ndim", None), int):
        raise ValueError(
            f"{name} must be a Dask array or data frame, got {type(values).__name__}. Make one "
            "of delayed rows by dask.array.from_delayed or dask.dataframe.from_delayed."
        )
    if not is_array(values):
        if name == "X" and values.ndim != 2:
            raise ValueError("X is a Dask series: give a data frame, series.to_frame().")
        return values
    if values.ndim not in (1, 2) or (name == "X" and values.ndim != 2):
        raise ValueError(
            f"Expected 2D array, got {values.ndim}D array instead: {name} is a Dask array of "
            f"shape {values.shape}. Reshape it to (rows, columns)."
        )
    return values.rechunk({1: -1}) if values.ndim == 2 and values.numblocks[1] > 1 else values


def cut_as(X: Any, values: Any, name: str) -> Any:
    """``values`` with rows chunked as those of X."""
    if isinstance(values, str):
        raise ValueError(
            f"{name}={values!r} is text: pass the columns themselves, such as "
            f"fit(frame[columns], frame[{values!r}])."
        )
    if not is_dask_collection(values):
        values = _from_memory(X, np.asarray(values), name)
    values = in_row_chunks(values, name)
    if is_array(X) and is_array(values) and not np.isnan([*X.chunks[0], *values.chunks[0]]).any():
        if X.shape[0] != values.shape[0]:
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: X has {X.shape[0]} "
                f"rows, {name} {values.shape[0]}."
            )
        return values.rechunk({0: X.chunks[0]}) if X.chunks[0] != values.chunks[0] else values
    if _count(X) != _count(values):
        raise ValueError(
            f"X has {_count(X)} partitions and {name} {_count(values)}, and how many rows are in "
            "each is not known. Pass columns of one frame as they are, without to_dask_array(), "
            "repartition(npartitions=...) both alike, or call compute_chunk_sizes() of arrays."
        )
    return values


def _from_memory(X: Any, values: np.ndarray, name: str) -> Any:
    """An array at hand, in chunks of X."""
    if not is_array(X) or np.isnan(X.chunks[0]).any():
        raise ValueError(
            f"X is in partitions whose rows are not counted, and {name} is an array at hand: make "
            f"{name} a Dask collection with the same partitions."
        )
    if len(values) != X.shape[0]:
        raise ValueError(
            "Found input variables with inconsistent numbers of samples: X has "
            f"{X.shape[0]} rows, {name} {len(values)}."
        )
    array = importlib.import_module("dask.array")
    return array.from_array(values, chunks=(X.chunks[0], *((n,) for n in values.shape[1:])))


def _count(values: Any) -> int:
    return values.numblocks[0] if is_array(values) else values.npartitions


def _blocks(values: Any) -> list:
    if is_array(values):
        return list(np.ravel(values.to_delayed()))
    blocks = list(values.to_delayed())
    if len(blocks) == values.npartitions:
        return blocks
    # Dask reads narrow columns of several files as one partition, others of the frame not
    return list(values.to_delayed(optimize_graph=False))


# --- on the workers ---------------------------------------------------------------------------


def _part(number: int, X: Any, y: Any, sample_weight: Any = None) -> Part:
    """Rows with a weight; ValueError where X and y have another number of rows."""
    for name, values in (("y", y), ("sample_weight", sample_weight)):
        if values is not None and len(values) != len(X):
            raise ValueError(
                "Found input variables with inconsistent numbers of samples: partition "
                f"{number} has {len(X)} rows of X and {len(values)} of {name}. Both must be "
                "cut alike: repartition them, or make both of one frame."
            )
    part = Part(X, y, sample_weight)
    if sample_weight is None:
        return part
    kept = np.asarray(sample_weight, float).reshape(len(X)) != 0  # NaN is for others to refuse
    return part if kept.all() else some_rows(part, np.flatnonzero(kept))


def about(part: Part, by_label: bool) -> About:
    """Counts of a part."""
    n, weights = len(part.X), part.sample_weight
    total = float(n) if weights is None else float(np.asarray(weights, float).sum())
    labels = _labels(part.y) if by_label and n else {}
    return About(n, total, labels, __version__, get_worker().address)


def _labels(y: Any) -> dict:
    y = np.asarray(y)
    try:
        values, first = np.unique(y.reshape(len(y), -1)[:, 0], return_index=True)
    except TypeError as error:
        raise ValueError(
            f"Labels must be of one type, and none may be missing: {error}. Leave such rows out."
        ) from error
    if len(values) > _MOST_CLASSES:
        return {}
    return dict(zip(values.tolist(), first.tolist()))


def some_rows(part: Part, rows: np.ndarray | None) -> Part:
    """Those with these numbers, or all."""
    return part if rows is None else Part(*(_taken(values, rows) for values in part))


def _taken(values: Any, rows: np.ndarray) -> Any:
    if values is None:
        return None
    return values.iloc[rows] if hasattr(values, "iloc") else np.asarray(values)[rows]


def joined(parts: Sequence[Part]) -> Part:
    """Rows of several parts, one after the other."""
    return Part(*(_one_below_the_other(values) for values in zip(*parts, strict=True)))


def _one_below_the_other(values: Sequence) -> Any:
    if len(values) == 1 or values[0] is None:
        return values[0]
    if hasattr(values[0], "iloc"):
        return importlib.import_module("pandas").concat(list(values), ignore_index=True)
    return np.concatenate(values)
