"""Questions to a fitted estimator about rows of a source, answered a block at a time."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .._runtime import outside_graphs
from .blocks import Block, Reader, read_ahead
from .sources import n_rows_of, part, source_of

__all__ = ["by_blocks", "scored"]

_OF_SOURCE = " of the source: "


def by_blocks(method: Callable) -> Callable:
    """A method of rows X that also takes a source of them, see :mod:`skgpng._estimator.sources`.

    Answers for blocks are put together; what is said of rows, as y or ``noise_variance``, may be
    arrays of all of them. It is outside of graphs, too; arrays cost a look at their type.
    """
    signature, alone = inspect.signature(method), outside_graphs(method)
    wants_y = "y" in signature.parameters

    @functools.wraps(method)
    def ask(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        if type(X) is np.ndarray:
            return alone(self, X, *args, **kwargs)
        given = signature.bind_partial(self, X, *args, **kwargs).arguments
        reader = _reader(self, X, given.get("y"), None, wants_y)
        if reader is None:
            return alone(self, X, *args, **kwargs)
        _refuse_pairs(given)
        known = given.pop("known", {})
        settings = {k: v for k, v in given.items() if k not in ("self", "X", "y")}
        answers = []
        for block in _blocks(reader):
            y = {"y": _target(block)} if wants_y else {}
            rows = {**y, **settings, **_of_rows(known, block)}
            answers.append(_answer(functools.partial(alone, self), reader, block, rows))
        _check_known(known, reader)
        return _joined(answers)

    return ask


def scored(
    estimator: Any, X: Any, y: Any, sample_weight: Any, known: dict
) -> tuple[Any, np.ndarray, Any]:
    """What ``score`` compares: y, ``predict`` and weights, of rows at hand or of a source."""
    reader = _reader(estimator, X, y, sample_weight, True)
    if reader is None:
        if y is None:
            raise ValueError(
                "score needs y: pass it, or in the place of X a source of batches (X, y)."
            )
        return y, estimator.predict(X, **known), sample_weight
    found = []
    for block in _blocks(reader):
        answer = _answer(estimator.predict, reader, block, _of_rows(known, block))
        weights = np.ones(block.n) if block.weights is None else block.weights
        found.append((_target(block), answer, weights))
    _check_known(known, reader)
    return _joined(found)


def _reader(estimator: Any, X: Any, y: Any, sample_weight: Any, wants_y: bool) -> Reader | None:
    """Reads a source of rows to be asked about; None for rows that are at hand."""
    names = getattr(estimator, "feature_names_in_", None)
    y = y if wants_y else None
    source = source_of(X, y, sample_weight, names, estimator._tuning.sample_bytes)
    return None if source is None else Reader(source, y=wants_y, missing=True)


def _refuse_pairs(given: dict) -> None:
    if given.get("return_cov"):
        raise ValueError(
            "return_cov=True is of all pairs of rows, which are not at hand here. Pass fewer rows "
            "as an array, or ask for standard deviations (return_std=True)."
        )


def _blocks(reader: Reader) -> Iterator[Block]:
    with contextlib.closing(read_ahead(reader.blocks())) as blocks:  # type: ignore[type-var]
        yield from blocks


def _target(block: Block) -> np.ndarray:
    if block.y is None:
        raise ValueError("y is missing: pass it, the name of a column of X, or batches (X, y).")
    return block.y


def _of_rows(known: dict, block: Block) -> dict:
    """What is said of the rows of a block."""
    stop = block.first + block.n
    return {k: None if v is None else part(v, block.first, stop) for k, v in known.items()}


def _check_known(known: dict, reader: Reader) -> None:
    """ValueError where something is said of other rows than those that were read."""
    assert reader.n_rows is not None
    for name, values in known.items():
        if values is not None and np.size(values) > 1 and n_rows_of(values) != reader.n_rows:
            raise ValueError(
                f"{name} must hold one number for each of {reader.n_rows:,} rows; got "
                f"{n_rows_of(values):,}."
            )


def _answer(method: Callable, reader: Reader, block: Block, given: dict) -> Any:
    """For one block; an error says which."""
    try:
        return method(reader.named(block.X), **given)
    except ValueError as error:
        if type(error) is not ValueError:  # before fit
            raise
        last = block.first + block.n - 1
        # where score asks predict, that has said so already, and counts from this block
        said = str(error).rpartition(_OF_SOURCE)[2]
        raise ValueError(f"In rows {block.first:,} to {last:,}{_OF_SOURCE}{said}") from error


def _joined(answers: list) -> Any:
    if isinstance(answers[0], tuple):
        return tuple(map(np.concatenate, zip(*answers, strict=True)))
    return np.concatenate(answers)
