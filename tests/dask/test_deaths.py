"""Workers that die or are slow, clients that are closed: the same numbers, or one clear error."""

from __future__ import annotations

import os
import signal
import threading
import time

import dask
import dask.array as da
import numpy as np
import pytest
from machines import machines, spread

from skgpng.dask import GaussianProcessRegressor
from skgpng.dask._cluster import Waiting, client_of
from skgpng.dask._summing import Summing

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

MODEL = GaussianProcessRegressor(n_inducing=15, max_iter=8, random_state=0)


@pytest.fixture
def before_sums(monkeypatch):
    """``before_sums(n, act)``: act before the n-th question of a fit is asked."""

    def when(n, act):
        count, ask = [0], Summing.ask

        def counted(self, questions):
            count[0] += 1
            if count[0] == n:
                act()
            return ask(self, questions)

        monkeypatch.setattr(Summing, "ask", counted)

    return when


def threads():
    return {t.name for t in threading.enumerate()}


def test_killed_slow_and_lost(table, before_sums):
    """One cluster, as each costs seconds to start."""
    X, y = table
    near = MODEL.to_local().fit(X, y)
    with machines() as client:
        both = spread(X, y)
        pids = client.run(os.getpid)

        # one dies between two sums: its rows are made again, and the numbers are the same
        before_sums(5, lambda: os.kill(next(iter(pids.values())), signal.SIGKILL))
        far = MODEL.fit(*both)
        assert far.n_iter_ == near.n_iter_
        np.testing.assert_allclose(far.elbo_curve_, near.elbo_curve_, rtol=1e-8)

        # one is stopped for a while: it just takes longer
        pid = next(iter(client.run(os.getpid).values()))
        awake = threading.Timer(2.5, os.kill, (pid, signal.SIGCONT))

        def stop():
            os.kill(pid, signal.SIGSTOP)
            awake.start()

        before_sums(5, stop)
        begin = time.monotonic()
        far = MODEL.fit(*both)
        assert time.monotonic() - begin > 2.0
        np.testing.assert_allclose(far.elbo_, near.elbo_, rtol=1e-8)

        # the client is closed: what was learned is kept, and the warning says why it ended
        before_sums(9, client.close)
        with pytest.warns(Warning, match="client was closed"):
            far = MODEL.fit(*both)
        assert 0 < far.n_iter_ < near.n_iter_
        np.testing.assert_allclose(far.elbo_curve_, near.elbo_curve_[: far.n_iter_], rtol=1e-8)
        with pytest.raises(ValueError, match="client is closed: make a new one"):
            GaussianProcessRegressor(client=client).fit(da.ones((9, 1)), da.ones(9))


def test_rows_that_cannot_be_made_again(table, before_sums):
    """Scattered rows go with the worker; so does all hope once the scheduler has gone."""
    X, y = table
    with machines(n_workers=2) as client:
        workers = [*client.nthreads()]
        parts = [
            client.scatter(X[k::2], workers=[worker], direct=True)
            for k, worker in enumerate(workers)
        ]
        blocks = [da.from_delayed(dask.delayed(p), (600, 2), float) for p in parts]
        pid = client.run(os.getpid)[workers[0]]
        before_sums(5, lambda: os.kill(pid, signal.SIGKILL))
        with pytest.warns(Warning, match="cannot be computed again"):
            far = MODEL.fit(da.concatenate(blocks), np.concatenate([y[::2], y[1::2]]))
        assert 0 < far.n_iter_ < MODEL.max_iter
        before_sums(1, client.cluster.close)
        before = time.monotonic()
        short = dask.config.set({"distributed.comm.timeouts.connect": "5s"})
        with short, pytest.raises(RuntimeError, match="scheduler"):
            MODEL.fit(*spread(X, y))
        assert time.monotonic() - before < 60  # seconds where nothing else is at work


def test_a_cluster_without_workers_is_not_waited_for_for_ever(client):
    class Nobody:
        status = "running"

        class scheduler:
            @staticmethod
            async def ncores():
                return {}

        loop = client.loop

    with dask.config.set({"distributed.comm.timeouts.connect": "200ms"}):
        waiting = Waiting(Nobody())
    assert waiting.workers() == set()
    time.sleep(0.3)
    with pytest.raises(RuntimeError, match="no worker for 0.2 s"):
        waiting.workers()


def test_no_client(monkeypatch):
    def none():
        raise ValueError("no client")

    monkeypatch.setattr("skgpng.dask._cluster.get_client", none)
    with pytest.raises(ValueError, match="make one before fit"):
        client_of(None)
