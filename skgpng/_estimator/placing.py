"""On which device a training runs, and how much of it at a time: pure functions of the plan."""

from __future__ import annotations

import numpy as np

from .. import kernels
from .._inference import Execution
from .._runtime import Device, refuse_beyond
from .problem import Problem
from .tuning import TUNING, Tuning
from .validation import fits_float32

__all__ = [
    "chosen",
    "chunk_of",
    "chunk_rows",
    "placed",
    "precision_on",
    "refuse_beyond_memory",
    "with_room",
]


# --- the device ------------------------------------------------------------------------------


def chosen(
    places: tuple[Device, ...],
    problem: Problem,
    M: int | None,
    n_rows: int,
    block: int | None,
    at_hand: bool,
    tuning: Tuning,
) -> Device:
    """The first of the places that a step pays on, and fits; else the last.

    A step has ``n_rows``, or as many blocks of ``block`` near rows; where its rows are not ``at
    hand`` there is little work.
    """
    *first, last = places
    pays = at_hand and _work(problem, M, n_rows, block) >= tuning.gpu_work
    n_bytes = 0.0 if block else _least_bytes(problem, M)
    return next((place for place in first if pays and n_bytes <= place.n_bytes), last)


def _work(problem: Problem, M: int | None, n_rows: int, block: int | None) -> float:
    """Multiplications of a step, about: covariances are factorised, or multiplied."""
    if block:
        return float(n_rows) * block**3
    if M is None:
        return problem.n_latent * float(n_rows) ** 3
    return problem.n_latent * M**2 * (float(n_rows) + M)


def placed(how: Execution, place: Device, algebra: str = "") -> Execution:
    """On the device, and there without NumPy; ``algebra`` forces that of another."""
    algebra = algebra or ("graph" if place.apart else "")
    if algebra:
        how = how._replace(algebra=algebra, in_order=how.elsewhere)
    return how._replace(device=place.name)


def precision_on(place: Device, dtype: str, M: int | None, X: np.ndarray) -> str:
    """What ``dtype="auto"`` stands for: on a GPU float32 where there are points and it holds X."""
    if dtype != "auto":
        return dtype
    return "float32" if place.apart and M is not None and fits_float32(X) else "float64"


# --- its memory ------------------------------------------------------------------------------


def with_room(place: Device, tuning: Tuning) -> Tuning:
    """Arrays of a step as large as the memory of a device allows, several of them at once.

    No cache is to be met there, so that blocks are as large as chunks.
    """
    if not np.isfinite(place.n_bytes):
        return tuning
    numbers = max(1, int(place.n_bytes / (8 * tuning.gpu_arrays)))
    return tuning._replace(chunk=numbers, block=numbers)


def chunk_of(problem: Problem, M: int | None, once: bool, tuning: Tuning) -> int:
    """Rows of a problem that are taken at a time, see :func:`chunk_rows`."""
    structure, N = problem.parsed.structure, problem.n_all
    if kernels.needs_all_rows(structure):
        return N
    depth = kernels.depth(structure, problem.rows.X.shape[1])
    return chunk_rows(N, M, problem.n_latent, once, tuning, depth)


def chunk_rows(
    N: int,
    M: int | None,
    n_latent: int,
    once: bool = False,
    tuning: Tuning = TUNING,
    depth: int = 1,
) -> int:
    """Rows of a step on all of them that are taken at a time.

    ``once``: in a single pass; ``depth``: numbers that the kernel holds for each covariance.
    """
    if M is None:
        return max(64, tuning.block // (N * depth))
    size = (tuning.block if once else tuning.chunk) // (M * n_latent * depth)
    return max(1024 // depth, 64, size)


def refuse_beyond_memory(
    name: str, n_inducing: object, problem: Problem, M: int | None, most: float = np.inf
) -> None:
    """ValueError for what cannot fit, into ``most`` bytes of a device in any case."""
    n, remedy = len(problem.rows.X), "Use n_inducing='auto' or a number"
    if M is None:
        n_inducing = None
    else:
        n, remedy = min(M, n), "Use a smaller n_inducing"
    what = f"the {n:,} x {n:,} covariance matrices of {name}(n_inducing={n_inducing})"
    remedy += "." if np.isinf(most) else ", or device='cpu'."
    refuse_beyond(_least_bytes(problem, M), what, remedy, most)


def _least_bytes(problem: Problem, M: int | None) -> float:
    """Of a step: a few matrices are counted of the many there are."""
    N, L = len(problem.rows.X), problem.n_latent
    if M is None:  # exact regression: all targets share the matrices
        return 8.0 * 3 * (1 if problem.likelihood.conjugate else L) * N**2
    M = min(M, N)
    return 8.0 * M * (4 * L * M + 2 * min(N, chunk_rows(N, M, L)))
