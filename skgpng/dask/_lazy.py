"""Predictions of Dask collections: block by block, when they are asked for."""

from __future__ import annotations

import importlib
import math
import uuid
from collections.abc import Sequence
from typing import Any

import dask
import numpy as np
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted

from ._parts import cut_as, in_row_chunks, is_array

__all__ = ["accuracy", "computed", "lazily"]


def lazily(
    model: Any,
    method: str,
    X: Any,
    beside: dict,
    options: dict,
    names: Sequence,
    like: np.ndarray | None = None,
) -> Any:
    """A method of a local estimator for each block of X.

    Parameters
    ----------
    model : estimator
        Fitted. It is one key of the graph, which each worker gets once.
    method : str
    X : Dask array or data frame
    beside : dict
        What else there is of each row, by the name of the argument.
    options : dict
        Other arguments.
    names : sequence
        For the columns of data frames: the name of each array that the method gives, or in its
        place a list of names of its columns.
    like : ndarray, default=None
        What the method gives for a row; without it, it is tried at a row of the model.

    Returns
    -------
    Dask array, or series or data frame where X is one
        Or a pair, as of the method.
    """
    check_is_fitted(model, "_predictor")
    X = in_row_chunks(X, "X")
    beside = {k: cut_as(X, values, k) for k, values in beside.items() if values is not None}
    if X.ndim != 2 or (not math.isnan(X.shape[1]) and X.shape[1] != model.n_features_in_):
        raise ValueError(
            f"X has {X.shape[-1]} features, but {type(model).__name__} is expecting "
            f"{model.n_features_in_} features as input."
        )
    like = _one_row(model, method, X, beside, options) if like is None else like
    known = dask.delayed(model, name=f"skgpng-model-{uuid.uuid4().hex}", traverse=False)
    how = {"method": method, "names": tuple(beside), "options": options, "like": like[:0]}
    if is_array(X):
        return _of_array(X, beside, known, how, len(names))
    return _of_frame(X, beside, known, how, names)


def _one_row(model: Any, method: str, X: Any, beside: dict, options: dict) -> np.ndarray:
    """What a block gives, at one row that the model can surely predict."""
    row = np.array(model._predictor.posterior.points[:1])
    if not is_array(X):
        row = importlib.import_module("pandas").DataFrame(row, columns=list(X.columns))
    return _stacked(getattr(model, method)(row, **dict.fromkeys(beside, np.ones(1)), **options))


def _stacked(found: Any) -> np.ndarray:
    """Arrays of one shape [N, ...] side by side, [N, ..., 2]; one as it is."""
    return np.stack(found, -1) if isinstance(found, tuple) else found


def _block(
    X: Any, model: Any, *beside: Any, method: str, names: tuple, options: dict, like: np.ndarray
) -> np.ndarray:
    """On a worker: [n, ...], also of no rows."""
    if not len(X):
        return like
    return _stacked(getattr(model, method)(X, **dict(zip(names, beside, strict=True)), **options))


def _of_array(X: Any, beside: dict, model: Any, how: dict, n_arrays: int) -> Any:
    array, like = importlib.import_module("dask.array"), how["like"]
    others = [
        (values, ("row", f"beside{k}")[: values.ndim]) for k, values in enumerate(beside.values())
    ]
    sizes = {f"new{k}": size for k, size in enumerate(like.shape[1:])}
    found = array.blockwise(
        _block,
        ("row", *sizes),
        *(X, ("row", "column")),
        *(model, None),
        *(argument for pair in others for argument in pair),
        new_axes=sizes,
        concatenate=True,
        align_arrays=False,
        dtype=like.dtype,
        meta=like,
        **how,
    )
    return tuple(found[..., k] for k in range(n_arrays)) if n_arrays > 1 else found


def _of_frame(X: Any, beside: dict, model: Any, how: dict, names: Sequence) -> Any:
    pandas, like = importlib.import_module("pandas"), how["like"]
    if like.ndim > 2 + (len(names) > 1):
        raise ValueError(
            f"{how['method']} of several targets has three dimensions, which no data frame has: "
            "give it X.to_dask_array(lengths=True)."
        )
    flat = like.reshape(0, math.prod(like.shape[1:]))
    meta = pandas.DataFrame(flat, columns=range(flat.shape[1]), index=X._meta.index[:0])
    table = X.map_partitions(
        _table, model, *beside.values(), how=how, meta=meta, align_dataframes=False
    )
    n, columns = len(names), range(flat.shape[1])
    found = [_named(table, columns[k::n], names[k], like.ndim - (n > 1)) for k in range(n)]
    return tuple(found) if n > 1 else found[0]


def _table(X: Any, model: Any, *beside: Any, how: dict) -> Any:
    found = _block(X, model, *beside, **how)
    columns = math.prod(found.shape[1:])
    frame = importlib.import_module("pandas").DataFrame
    return frame(found.reshape(len(X), columns), index=X.index, columns=range(columns))


def _named(table: Any, columns: Sequence[int], names: Any, ndim: int) -> Any:
    """A series, or a data frame where there are several columns."""
    if ndim == 1:
        return table[columns[0]].rename(names)
    names = range(len(columns)) if isinstance(names, str) else names
    return table[list(columns)].rename(columns=dict(zip(columns, names, strict=True)))


def computed(client: Any, *values: Any) -> list:
    """Of Dask collections and other values."""
    if client is None:
        return list(dask.compute(*values))
    return list(client.compute(list(values), sync=True))


def accuracy(y: Any, predicted: Any, sample_weight: Any) -> float:
    """Share of labels that are right."""
    return float(accuracy_score(np.asarray(y), np.asarray(predicted), sample_weight=sample_weight))
