"""Posteriors from what a file holds of them, checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels import KernelStructure
from ..means import Mean
from .neighbour_posterior import NeighbourPosterior, Scale
from .posterior import CholeskyPosterior, PointPosterior, Posterior, RowPosterior

__all__ = ["unpacked"]


def unpacked(packed: dict, kernel: KernelStructure, values: tuple, mean: Mean) -> Posterior:
    """Undo ``packed``; ValueError where parts do not fit together."""
    names = packed.keys()
    if names == set(NeighbourPosterior.parts):
        return _of_neighbours(packed, kernel, values, mean)
    cls = next((c for c in (RowPosterior, PointPosterior) if names == _parts(c)), None)
    if cls is None:
        raise ValueError(f"A posterior has other parts than {sorted(packed)}.")
    M, _ = _shape("points", packed["points"], None, None)
    _, L = _shape("weights", packed["weights"], M, None)
    full = {}
    for name in cls.triangles:
        n, _ = _shape(name, packed[name], None, M * (M + 1) // 2)
        if n not in (1, L):
            raise ValueError(f"{name} of a posterior has {n} matrices for {L} functions.")
        full[name] = _triangles(packed[name], M)
    mean_values = _mean_values(packed, mean, L)
    return cls(kernel, values, mean, mean_values, packed["points"], packed["weights"], **full)


def _of_neighbours(packed: dict, kernel: KernelStructure, values: tuple, mean: Mean) -> Posterior:
    N, _ = _shape("points", packed["points"], None, None)
    _, L = _shape("targets", packed["targets"], N, None)
    _shape("noise", packed["noise"], N)
    _shape("weights", packed["weights"], N)
    if packed["n_neighbors"] < 1:
        raise ValueError("n_neighbors of a posterior must be positive.")
    scale = Scale(*packed["scale"])
    if not (scale.window >= 0 and scale.nu > 0 and 0 < scale.level < np.inf):
        raise ValueError("scale of a posterior has numbers that it cannot have.")
    given = {**packed, "scale": scale, "mean_values": _mean_values(packed, mean, L)}
    return NeighbourPosterior(kernel, values, mean, **given)


def _mean_values(packed: dict, mean: Mean, L: int) -> tuple:
    own = [np.shape(p.value) for p in mean.parameters(np.zeros(L), packed["points"])]
    if [np.shape(v) for v in packed["mean_values"]] != own:
        raise ValueError("The mean of a posterior has other values than its likelihood's.")
    return packed["mean_values"]


def _parts(cls: type[CholeskyPosterior]) -> set[str]:
    return {"mean_values", "points", "weights", *cls.triangles}


def _triangles(packed: np.ndarray, M: int) -> np.ndarray:
    """Matrices [L, M, M] from the rows of their lower triangles."""
    full = np.zeros((len(packed), M, M), packed.dtype)
    i, j = np.tril_indices(M)
    full[:, i, j] = packed
    return full


def _shape(name: str, array: Any, *shape: int | None) -> tuple[int, ...]:
    """Of a matrix of finite numbers; ValueError where it is none or another size is expected."""
    fits = isinstance(array, np.ndarray) and array.dtype == np.float64 and array.ndim == len(shape)
    if not fits or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True)):
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        got = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array)
        raise ValueError(f"{name} of a posterior must be float64 of shape ({wanted}), got {got}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} of a posterior has entries that are not finite.")
    return array.shape
