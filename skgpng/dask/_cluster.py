"""A Dask cluster as a fit needs it: what is waited for, and what is said when nobody is left.

All that is waited for is waited for here, with a look at the cluster every second: a slow worker
just takes longer, but without client, scheduler or workers nothing would ever come.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import dask
from dask.utils import parse_timedelta
from distributed import Client, KilledWorker, get_client, get_worker, secede

__all__ = ["Waiting", "client_of", "gathered", "looks_at", "new_key", "on_loop", "released", "told"]

# Seconds between two looks at the cluster.
_LOOK = 1.0
_GONE = (
    "The Dask client was closed, or lost its scheduler, while fit was at work. Keep both open "
    "until it ends."
)


def client_of(client: Client | None) -> Client:
    """The client given, or the one that was made last; ValueError without one that can be used."""
    if client is None:
        try:
            client = get_client()
        except ValueError:
            raise ValueError(
                "No Dask client: make one before fit, client = distributed.Client(address), or "
                "distributed.Client() for workers on this machine."
            ) from None
    if client.asynchronous:
        raise ValueError(
            "client is asynchronous, and fit waits: give it one made as distributed.Client(address)"
        )
    if client.status != "running":
        raise ValueError(f"client is {client.status}: make a new one, distributed.Client(address).")
    _make_room()
    return client


def _make_room() -> None:
    """Inside of a task, let others run in its place: it is about to wait for them."""
    try:
        get_worker()
    except ValueError:
        return
    with contextlib.suppress(KeyError):  # it has done so before
        secede()


def on_loop(client: Client, make: Callable[[], Awaitable]) -> concurrent.futures.Future:
    """What ``make()`` gives when it is awaited in the client's own thread."""

    async def run() -> Any:
        return await make()

    loop: Any = client.loop
    return asyncio.run_coroutine_threadsafe(run(), loop.asyncio_loop)


@contextlib.contextmanager
def told(client: Client) -> Iterator[None]:
    """Errors of whatever first met a client that was closed, or a scheduler that has gone, as one.

    They are ``RuntimeError``, as those of a cluster without workers.
    """
    try:
        yield
    except Exception as error:
        if client.status == "running" or str(error) == _GONE:
            raise
        raise RuntimeError(_GONE) from error


class Waiting:
    """Looks at a cluster while something is waited for.

    ``RuntimeError`` once there is no client, or no scheduler or no worker for as long as
    ``distributed.comm.timeouts.connect`` of Dask's configuration says (30 seconds).
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._patience = parse_timedelta(dask.config.get("distributed.comm.timeouts.connect"))
        self._nobody_since: float | None = None

    def workers(self) -> set[str]:
        """Addresses of those that the scheduler knows now; none where it does not answer."""
        if self._client.status in ("closed", "closing") or self._client.scheduler is None:
            raise RuntimeError(_GONE)
        found: set[str] = set()
        asked = None
        try:
            asked = on_loop(self._client, self._client.scheduler.ncores)
            found = set(asked.result(timeout=max(self._patience, _LOOK)))
        except (OSError, TimeoutError, concurrent.futures.TimeoutError, RuntimeError):
            # it may come back
            if asked is not None:
                asked.cancel()
        self._check(bool(found))
        return found

    def _check(self, somebody: bool) -> None:
        now = time.monotonic()
        self._nobody_since = None if somebody else (self._nobody_since or now)
        if self._nobody_since is not None and now - self._nobody_since > self._patience:
            raise RuntimeError(
                f"The Dask cluster has had no worker for {self._patience:g} s (Dask's setting "
                "distributed.comm.timeouts.connect): nothing is left that could go on with fit."
            )


def looks_at(
    client: Client, futures: Sequence[concurrent.futures.Future], lost: Callable[[set[str]], None]
) -> None:
    """Wait for all of them; ``lost`` gets the addresses of workers at each look between."""
    waiting, left = Waiting(client), set(futures)
    while True:
        left = concurrent.futures.wait(left, timeout=_LOOK).not_done
        if not left:
            return
        try:
            lost(waiting.workers())
        except BaseException:
            for future in left:
                future.cancel()
            raise


def gathered(client: Client, futures: Sequence) -> list:
    """Results of tasks, in their order.

    Raises
    ------
    RuntimeError
        Where what was asked for cannot come any more.
    Exception
        What a task itself raised.
    """
    try:
        answer = on_loop(client, lambda: client.gather([*futures], asynchronous=True))
        looks_at(client, [answer], lambda workers: None)
        return answer.result()
    except KilledWorker as error:
        raise RuntimeError(
            f"{error.allowed_failures + 1} workers of the Dask cluster died over one task of fit, "
            "the last at "
            f"{error.last_worker.address}. Mostly they had too little memory for their rows: give "
            "them more, use more of them, or smaller partitions."
        ) from error
    except (asyncio.CancelledError, concurrent.futures.CancelledError) as error:
        raise RuntimeError(
            "Dask dropped a task of fit: the scheduler has gone, or the rows were on a worker that "
            "died and cannot be computed again, as those put there by client.scatter. Make them "
            "from where they are stored (from_array, read_parquet), or keep client and scheduler "
            "open until fit ends."
        ) from error


def released(futures: Sequence) -> None:
    """Let the cluster forget them, without waiting for Python to find out."""
    for future in futures:
        if future is not None and future.client.status == "running":
            future.release()


def new_key(name: str) -> str:
    """Of a task that nobody else has."""
    return f"skgpng-{name}-{uuid.uuid4().hex}"
