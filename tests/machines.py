"""Clusters of worker processes on this machine, and rows that they hold."""

from __future__ import annotations

import contextlib
import os

import pytest

pytest.importorskip("distributed")
import dask.array as da
from distributed import Client, LocalCluster


@contextlib.contextmanager
def machines(n_workers=2):
    """A client of a cluster of so many workers, each of one thread.

    Dask's nannies set variables of threads and memory in this process, where other tests start
    processes of their own.
    """
    before = dict(os.environ)
    with (
        LocalCluster(
            n_workers=n_workers, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        _set_environment(before)
        yield client
    _set_environment(before)


def _set_environment(values):
    os.environ.clear()
    os.environ.update(values)


def spread(*arrays, chunk=100):
    """Dask arrays in the memory of workers, in chunks of so many rows."""
    found = [da.from_array(a, chunks=(chunk, *a.shape[1:])).persist() for a in arrays]
    return found[0] if len(found) == 1 else found
