"""Threads that a computation of this process may use.

Whoever starts processes or threads beside each other shares the cores out. joblib tells its
processes by OMP_NUM_THREADS. A worker of Dask computes as many tasks side by side as it has
threads; its nanny sets OMP_NUM_THREADS=1, which stands for each of them, and a worker without a
nanny says nothing. So there is a number for each computation, and one of those side by side.
"""

from __future__ import annotations

import functools
import os
import sys

from joblib import cpu_count

__all__ = ["allowed_threads", "side_by_side", "threads_of_all", "wished_threads"]

# As it was when skgpng was imported, which is when BLAS and OpenMP read it too. Where Dask's nanny
# starts workers it sets the variable to 1 in its own process, for good: a notebook with a cluster
# of this machine would compute on one core from then on.
_OMP_NUM_THREADS = os.environ.get("OMP_NUM_THREADS", "")


def _number(setting: str) -> int | None:
    first = setting.split(",")[0].strip()  # "4,2": nested levels
    return int(first) if first.isdecimal() and int(first) > 0 else None


@functools.lru_cache(maxsize=1)
def side_by_side() -> int:
    """Computations that run in this process at once: tasks of a worker of Dask, else 1."""
    return _threads_of_workers() or 1


@functools.lru_cache(maxsize=1)
def wished_threads() -> int | None:
    """Threads that whoever started this process wants each computation to use; None: anything."""
    return _number(_OMP_NUM_THREADS) or (1 if _threads_of_workers() else None)


@functools.lru_cache(maxsize=1)
def allowed_threads() -> int:
    """Threads of a computation: cores that the process has, or as many as are wished for.

    joblib counts cores: it knows affinity and the quota of a container.
    """
    cores = cpu_count()
    return min(cores, wished_threads() or cores)


def threads_of_all() -> int:
    """Threads of the computations that run side by side, together."""
    return min(cpu_count(), allowed_threads() * side_by_side())


def _threads_of_workers() -> int:
    """Of Dask's workers that live in this process; 0 where there are none.

    Dask tells the thread of a task which worker it belongs to, but not those of TensorFlow; its
    list of workers is private, and without it a worker is a process as any other.
    """
    worker = getattr(sys.modules.get("distributed.worker"), "Worker", None)
    return sum(each.state.nthreads for each in getattr(worker, "_instances", ()))
