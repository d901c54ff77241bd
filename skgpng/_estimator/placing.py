"""On which device a training runs, and what follows from that; pure functions of the plan."""

from __future__ import annotations

import numpy as np

from .._inference import Execution
from .._runtime import Device
from .tuning import Tuning
from .validation import fits_float32

__all__ = ["chosen", "least_bytes", "placed", "precision_on", "with_room", "work_of_step"]


def work_of_step(M: int | None, n_rows: int, n_latent: int, block: int | None = None) -> float:
    """Multiplications of a training step, about: its covariances are factorised, or multiplied.

    ``n_rows`` in a step; with neighbours in ``block`` rows each.
    """
    if block is not None:
        return float(n_rows) * block**3
    if M is None:
        return float(n_latent) * float(n_rows) ** 3
    return float(n_latent) * M**2 * (float(n_rows) + M)


def least_bytes(M: int | None, n_rows: int, n_matrices: int, n_latent: int, chunk: int) -> float:
    """Of a few matrices of the many that a step has: M x M and M x ``chunk``, or N x N."""
    if M is None:
        return 8.0 * 3 * n_matrices * float(n_rows) ** 2
    return 8.0 * M * (4 * n_latent * M + 2 * min(n_rows, chunk))


def chosen(places: tuple[Device, ...], work: float, n_bytes: float, tuning: Tuning) -> Device:
    """The first of the places that a step of so much work pays on, and fits; else the last."""
    *first, last = places
    pays = work >= tuning.gpu_work
    return next((place for place in first if pays and n_bytes <= place.n_bytes), last)


def with_room(place: Device, tuning: Tuning) -> Tuning:
    """Arrays of a step as large as the memory of a device allows, several of them at once.

    No cache is to be met there, so that blocks are as large as chunks.
    """
    if not np.isfinite(place.n_bytes):
        return tuning
    numbers = max(1, int(place.n_bytes / (8 * tuning.gpu_arrays)))
    return tuning._replace(chunk=numbers, block=numbers)


def precision_on(place: Device, dtype: str, M: int | None, X: np.ndarray) -> str:
    """What ``dtype="auto"`` stands for: on a GPU float32 where there are points and it holds X."""
    if dtype != "auto":
        return dtype
    return "float32" if place.apart and M is not None and fits_float32(X) else "float64"


def placed(how: Execution, place: Device, algebra: str = "") -> Execution:
    """On the device, and there without NumPy; ``algebra`` forces that of another."""
    algebra = algebra or ("graph" if place.apart else "")
    if algebra:
        how = how._replace(algebra=algebra, in_order=False)
    return how._replace(device=place.name)
