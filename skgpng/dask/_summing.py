"""Sums over shards: one call to each worker and back, and a task of Dask where that fails.

A shard is the encoded rows of one worker, the result of a task. An actor beside it answers calls
that go straight from the driver to its worker: with 500 inducing points 8 ms there and 16 ms back
and forth, where tasks, whose arguments go by the scheduler, take 45. An actor dies with its worker;
the shard does not, as Dask makes it again elsewhere: a task asks it there for the same sums, and
then it gets a new actor.
"""

from __future__ import annotations

import concurrent.futures
import functools
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import cloudpickle
import numpy as np
from distributed import Client, get_worker
from distributed.protocol import to_serialize

from .._estimator.problem import Rows
from .._linalg.threads import blocks
from .._runtime import keep_freed, tf
from ._cluster import gathered, looks_at, new_key, on_loop, released

__all__ = ["Question", "Summing", "added", "sums_of"]

# Bytes of an array from which on it is worth a look whether it has been sent already.
_LARGE = 2**16
# Seconds that a worker has for saying who it is.
_LATE = 5.0
# Fewer rows are not worth a thread of their own.
_ROWS_A_THREAD = 512
# Calls are no tasks: a scheduler that sees none for long takes the cluster for idle.
_SIGN_OF_LIFE = 30.0


class Question(NamedTuple):
    """What is asked of a shard."""

    call: bytes  # pickled
    arrays: list  # to actors an int for an array that they have
    rows: np.ndarray | None = None  # numbers in the shard; None for all
    scale: float = 1.0  # of their weights


class Summing:
    """Asks shards, where they are.

    Parameters
    ----------
    client : distributed.Client
    shards : sequence of distributed.Future
        Rows, held by the workers.
    """

    def __init__(self, client: Client, shards: Sequence) -> None:
        self._client, self._shards = client, [*shards]
        self._actors: list[Any] = [None] * len(self._shards)
        self._addresses = [""] * len(self._shards)
        self._kept: list[list[np.ndarray]] = [[] for _ in self._shards]  # by the actors
        self._last_task = time.monotonic()
        self._straight = self._place(range(len(self._shards)))

    def ask(self, questions: dict[int, Question]) -> dict[int, list[np.ndarray]]:
        """Answers of the shards with these numbers."""
        found = self._ask_actors(questions) if self._straight else {}
        left = {k: q for k, q in questions.items() if k not in found}
        if left:
            found.update(self._ask_by_tasks(left))
            self._straight = self._straight and self._place(left)
        self._show_life()
        return found

    def _ask_actors(self, questions: dict[int, Question]) -> dict[int, list[np.ndarray]]:
        """Of those that answered."""
        calls = {k: self._call(k, question) for k, question in questions.items()}

        def drop(workers: set[str]) -> None:
            for k, call in calls.items():
                if self._addresses[k] not in workers:
                    call.cancel()

        looks_at(self._client, [*calls.values()], drop)
        found = {}
        for k, call in calls.items():
            answer = None if call.cancelled() or _is_gone(call) else call.result()
            if answer is not None and answer["status"] == "OK":
                found[k] = [_whole(array) for array in answer["result"]]
            elif answer is not None and not isinstance(answer["exception"], OSError):
                raise answer["exception"]
        return found

    def _call(self, k: int, question: Question) -> Any:
        worker = self._client.rpc(self._addresses[k])
        arrays, self._kept[k] = spared(question.arrays, self._kept[k])
        arguments = [to_serialize(part) for part in question._replace(arrays=arrays)]
        message = {"actor": self._actors[k].key, "function": "sums", "args": arguments}
        return on_loop(self._client, lambda: worker.actor_execute(**message, kwargs={}))

    def _ask_by_tasks(self, questions: dict[int, Question]) -> dict[int, list[np.ndarray]]:
        """Dask finds the shards, or makes them again."""
        tasks = [
            self._client.submit(_sums_of_shard, self._shards[k], q, key=new_key("sums"), priority=1)
            for k, q in questions.items()
        ]
        return dict(zip(questions, gathered(self._client, tasks), strict=True))

    def _place(self, which: Any) -> bool:
        """Actors beside these shards; whether there is a way to all of them."""
        released([self._actors[k] for k in which])
        for k in which:
            self._kept[k] = []
            holders = self._client.who_has([self._shards[k]])[self._shards[k].key]
            self._actors[k] = self._client.submit(
                _Summer,
                self._shards[k],
                actor=True,
                workers=list(holders) or None,
                allow_other_workers=True,
                key=new_key("summer"),
            )
        keys = [self._actors[k] for k in which]
        looks_at(self._client, [on_loop(self._client, lambda: _ready(keys))], lambda workers: None)
        for k in which:
            holders = self._client.who_has([self._actors[k]])[self._actors[k].key]
            self._addresses[k] = next(iter(holders), "")
        return self._reaches({self._addresses[k] for k in which})

    def _reaches(self, addresses: set[str]) -> bool:
        """Whether workers can be asked from here; a cluster may show its scheduler only."""
        rpc = self._client.rpc
        asked = [on_loop(self._client, rpc(address).identity) for address in addresses if address]
        done, late = concurrent.futures.wait(asked, timeout=_LATE)
        for call in late:
            call.cancel()
        return len(asked) == len(addresses) and not late and not any(c.exception() for c in done)

    def _show_life(self) -> None:
        if time.monotonic() - self._last_task > _SIGN_OF_LIFE:
            self._last_task = time.monotonic()
            gathered(self._client, [self._client.submit(_nothing, key=new_key("alive"))])

    def close(self) -> None:
        """Let go of actors and shards."""
        released([*self._actors, *self._shards])
        self._actors, self._shards = [], []


async def _ready(futures: Sequence) -> None:
    for future in futures:
        await future._state.wait()


def _is_gone(call: Any) -> bool:
    return isinstance(call.exception(), (OSError, KeyError))


# --- what is sent -----------------------------------------------------------------------------


def spared(arrays: Sequence[np.ndarray], kept: Sequence[np.ndarray]) -> tuple[list, list]:
    """Arrays with an int for each that is known, and all that are known then.

    Known are the large arrays of the question before, and of this one up to there: the second sums
    of a step ask with a factor of the first.
    """
    found: list = []
    known, own = [*kept], []
    for array in arrays:
        if array.nbytes < _LARGE:
            found.append(array)
            continue
        same = (i for i, a in enumerate(known) if a.shape == array.shape and _are_equal(a, array))
        number = next(same, None)
        found.append(array if number is None else number)
        known += [array] if number is None else []
        own.append(array)
    return found, own


def _are_equal(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and np.array_equal(a[..., -1], b[..., -1]) and np.array_equal(a, b)


def restored(arrays: Sequence, kept: Sequence[np.ndarray]) -> tuple[list, list]:
    """Undo :func:`spared`."""
    found: list = []
    known, own = [*kept], []
    for given in arrays:
        array = known[given] if isinstance(given, int) else given
        found.append(array)
        if array.nbytes >= _LARGE:
            known += [] if isinstance(given, int) else [array]
            own.append(array)
    return found, own


def _without_zeros(array: np.ndarray) -> Any:
    """The shape of an array of zeros."""
    return array if array.nbytes < _LARGE or array.any() else array.shape


def _whole(given: Any) -> np.ndarray:
    return np.zeros(given) if isinstance(given, tuple) else given


# --- on the workers ---------------------------------------------------------------------------


class _Summer:
    """Answers for the rows of one worker."""

    def __init__(self, shard: Any) -> None:
        self._shard = shard
        self._kept: list[np.ndarray] = []

    def sums(self, call: bytes, arrays: list, rows: Any, scale: float) -> list:
        """In a thread of its own."""
        arrays, self._kept = restored(arrays, self._kept)
        return [
            _without_zeros(a) for a in sums_of(self._shard, Question(call, arrays, rows, scale))
        ]


def _sums_of_shard(shard: Any, question: Question) -> list[np.ndarray]:
    return sums_of(shard, question)


def _nothing() -> None:
    """A task for the scheduler to see."""


def sums_of(shard: Rows, question: Question) -> list[np.ndarray]:
    """Sums of a call over the rows of a shard, in this process.

    A computation in a worker uses one thread, as tasks run side by side there. Of sums there are
    as many side by side as the worker has threads.
    """
    tf.constant(0)  # imported as skgpng does, before what is pickled asks for it
    keep_freed()
    rows = shard if question.rows is None else shard.some(question.rows)
    if question.scale != 1.0:
        rows = rows._replace(weights=question.scale * rows.weights)
    call = _unpickled(question.call)
    n = min(get_worker().state.nthreads, max(1, len(rows.X) // _ROWS_A_THREAD))
    if n == 1:
        return call.on(rows, question.arrays)
    pieces = [rows.some(slice(*piece)) for piece in blocks(len(rows.X), n)]
    with concurrent.futures.ThreadPoolExecutor(n) as threads:
        return added([*threads.map(lambda piece: call.on(piece, question.arrays), pieces)])


def added(each: Sequence[list[np.ndarray]]) -> list[np.ndarray]:
    """Sums of sums, in their order."""
    return [functools.reduce(np.add, arrays) for arrays in zip(*each, strict=True)]


@functools.lru_cache(maxsize=64)
def _unpickled(call: bytes) -> Any:
    return cloudpickle.loads(call)
