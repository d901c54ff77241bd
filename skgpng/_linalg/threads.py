"""Threads of linear algebra: BLAS is held to one, and columns are shared out among ours."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from .._runtime import allowed_threads, threads_of_all

__all__ = ["BLOCKS", "blocks", "in_threads", "in_turn", "one_blas_thread", "pool"]

# A triangular matrix is multiplied in so many blocks of rows, which spares 3/8 of the work.
BLOCKS = 4


@functools.lru_cache(maxsize=1)
def pool(process: int) -> ThreadPoolExecutor:
    """Threads of this process; a forked child has none of its parent's."""
    return ThreadPoolExecutor(threads_of_all(), "skgpng")


def in_turn(task: Callable[[Any], Any], parts: Sequence) -> list:
    """Results of ``task`` for each part, in threads that take the next part when they are done.

    The task itself is to use no threads of :class:`Arrays`. Where a computation may use one thread
    it is its own: others that run beside it do not wait for each other.
    """
    if len(parts) == 1 or allowed_threads() == 1:
        return [task(part) for part in parts]
    return list(pool(os.getpid()).map(task, parts))


def blocks(n: int, k: int = BLOCKS) -> list[tuple[int, int]]:
    """First and last+1 of k equal parts of n."""
    edges = np.linspace(0, n, k + 1).astype(int)
    return list(zip(edges[:-1], edges[1:], strict=True))


def in_threads(
    task: Callable[[int, int], None], n: int, k: int | None = None, longest: str = "last"
) -> None:
    """``task(first, last + 1)`` for k equal parts of n, one for each thread by default.

    ``longest`` tells which part takes longest: it is begun with.
    """

    def silent(part: tuple[int, int]) -> None:
        with np.errstate(all="ignore"):  # what is not finite is found by whoever asked
            task(*part)

    parts = blocks(n, k or allowed_threads())
    parts = parts if longest == "first" else parts[::-1]
    in_turn(silent, parts)


class _OneBlasThread:
    """Hold BLAS to one thread, in a ``with`` statement that several threads may be in.

    On cores that others use too, OpenBLAS's threads wait for each other in a busy loop: an
    inverse of 400 rows took 1.9 s with two threads and 5 ms with one. The number is one of the
    whole process: the first to enter saves it, the last to leave restores it. Hold it for a whole
    training: changing it before each call wakes the threads each time.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._before: list[int] = []

    @functools.cached_property
    def _controller(self) -> ThreadpoolController:
        return ThreadpoolController()  # looks through the loaded libraries: milliseconds

    @functools.cached_property
    def _libraries(self) -> list:
        return self._controller.select(user_api="blas").lib_controllers

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                # threadpoolctl's own limit takes 60 us, this 3
                self._before = [library.num_threads for library in self._libraries]
                self._set([1] * len(self._before))
            self._inside += 1

    def __exit__(self, *exception: Any) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._set(self._before)

    def _set(self, numbers: list[int]) -> None:
        for library, n, before in zip(self._libraries, numbers, self._before, strict=True):
            if before != 1:
                library.set_num_threads(n)


#: Enter it around a training.
one_blas_thread = _OneBlasThread()
