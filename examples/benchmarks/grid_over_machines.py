"""A grid search in one process, in joblib's processes and on Dask's workers of this machine.

    python examples/benchmarks/grid_over_machines.py [--rows 2000] [--m 100] [--seed 0]
        [--ways "one process" "loky 2" "dask 2x1" ...]

A search of four settings and two folds, with scikit-learn's ``GridSearchCV``, each way in a process
of its own. "dask 2x1" are two workers of one thread each, "dask 1x2" is one with two, "alone" are
workers without the nanny that sets OMP_NUM_THREADS. One fit on each worker comes before the clock
starts: it imports TensorFlow and compiles. ``threads`` are those that a fit may use: of skgpng's,
and of TensorFlow's for all fits of a worker. ``running`` is how many threads wanted a core, in the
mean over the search, in all processes together (from /proc, every 10 ms); beyond the number of
cores they are in each other's way. ``CPU`` is what they used of it, seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import joblib
import numpy as np
from sklearn.model_selection import GridSearchCV

WAYS = ("one process", "loky 2", "dask 2x1", "dask 1x2", "dask 2x1 alone", "dask 1x2 alone")
ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("--rows", type=int, default=2000)
ARGUMENTS.add_argument("--m", type=int, default=100)
ARGUMENTS.add_argument("--seed", type=int, default=0)
ARGUMENTS.add_argument("--ways", nargs="*", choices=WAYS, default=WAYS)
ARGUMENTS.add_argument("--worker", help=argparse.SUPPRESS)
common.add_output(ARGUMENTS)


def rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A smooth function of three of eight columns, with noise."""
    rng = np.random.RandomState(seed)
    X = rng.randn(n, 8)
    return X, np.sin(2.0 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.3 * rng.randn(n)


# --- the ways --------------------------------------------------------------------------------


@contextlib.contextmanager
def backend(way: str) -> Iterator[None]:
    """What joblib is to use."""
    if way == "one process":
        yield
    elif way == "loky 2":
        with joblib.parallel_config("loky", n_jobs=2):
            yield
    else:
        from distributed import Client

        shape = way.split()[1].split("x")
        workers, threads = (int(number) for number in shape)
        with (
            alone(workers, threads) if way.endswith("alone") else nannies(workers, threads) as at,
            Client(at) as client,
            joblib.parallel_config("dask", n_jobs=workers * threads),
        ):
            client.wait_for_workers(workers)
            yield


def nannies(workers: int, threads: int) -> Any:
    """A cluster as Dask makes it, by nannies that set OMP_NUM_THREADS=1."""
    from distributed import LocalCluster

    return LocalCluster(workers, threads_per_worker=threads, dashboard_address=":0")


@contextlib.contextmanager
def alone(workers: int, threads: int) -> Iterator[str]:
    """``dask worker --no-nanny``: address of the scheduler."""
    import subprocess
    import sys

    from distributed import Scheduler, SpecCluster

    scheduler = {"cls": Scheduler, "options": {"dashboard": False, "host": "127.0.0.1"}}
    with SpecCluster(scheduler=scheduler) as cluster:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address]
        command += ["--no-nanny", f"--nthreads={threads}", "--no-dashboard"]
        there = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(workers)]
        try:
            yield cluster.scheduler_address
        finally:
            for process in there:
                process.terminate()
            for process in there:
                process.wait()


def threads_seen(model: Any, X: np.ndarray, y: np.ndarray) -> int:
    """A score: threads that skgpng may use in this process, and TensorFlow's, as one number."""
    import tensorflow as tf

    from skgpng._runtime import allowed_threads

    between = tf.config.threading.get_inter_op_parallelism_threads()
    return 10_000 * allowed_threads() + 100 * (between or len(os.sched_getaffinity(0))) + 1


# --- what runs -------------------------------------------------------------------------------


def processes_below(first: int) -> list[Path]:
    """Folders in /proc of a process and of those that it started, itself included."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            parents[int(folder.name)] = int(fields(folder / "stat")[1])
    below, before = {first}, set()
    while below != before:
        before = set(below)
        below |= {process for process, parent in parents.items() if parent in below}
    return [Path("/proc") / str(process) for process in below]


def fields(stat: Path) -> list[str]:
    """Of a process or thread, after its name: the first is its state, the second its parent."""
    return stat.read_text().rsplit(")", 1)[1].split()


class Watch:
    """Counts, in a thread of its own, the threads that want a core, and their seconds of it."""

    def __init__(self) -> None:
        self.running: list[int] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)

    def __enter__(self) -> Watch:
        self._folders = processes_below(os.getpid())
        self._before = self._cpu()
        self._thread.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._ended.set()
        self._thread.join()
        self.cpu = self._cpu() - self._before

    def _cpu(self) -> float:
        ticks = 0
        for folder in self._folders:
            with contextlib.suppress(OSError):
                ticks += sum(int(value) for value in fields(folder / "stat")[11:13])
        return ticks / os.sysconf("SC_CLK_TCK")

    def _count(self) -> None:
        own = str(threading.get_native_id())
        while not self._ended.wait(0.01):
            n = 0
            for folder in self._folders:
                for thread in folder.glob("task/*/stat"):
                    with contextlib.suppress(OSError):
                        n += fields(thread)[0] == "R" and thread.parent.name != own
            self.running.append(n)


# --- a search --------------------------------------------------------------------------------


def search(a: argparse.Namespace, X: np.ndarray, y: np.ndarray) -> GridSearchCV:
    """Four settings, which differ by numbers only, and two folds: eight fits."""
    from sklearn.gaussian_process.kernels import Matern

    from skgpng import GaussianProcessRegressor

    model = GaussianProcessRegressor(
        1.0 * Matern(np.ones(8), nu=2.5), n_inducing=a.m, batch_size=None, random_state=0
    ).set_params(max_iter=100, tol=0.0, n_iter_no_change=1000)
    grid = {"kernel__k2__length_scale": [np.ones(8), 3.0 * np.ones(8)], "alpha": [0.05, 0.1]}
    scoring = {"r2": "r2", "threads": threads_seen}
    return GridSearchCV(model, grid, cv=2, scoring=scoring, refit=False).fit(X, y)


def work(a: argparse.Namespace) -> None:
    """One way, in this process and those that it starts."""
    warnings.simplefilter("ignore")
    os.environ["PYTHONWARNINGS"] = "ignore"
    (way,) = a.ways
    X, y = rows(a.rows, a.seed)
    with backend(way):
        search(a, X[:200], y[:200])
        search(a, X[:200], y[:200])  # whichever worker took nothing has imported by now
        with Watch() as watch:
            begin = time.perf_counter()
            found = search(a, X, y)
            seconds = time.perf_counter() - begin
    ours, rest = divmod(int(found.cv_results_["mean_test_threads"].max()), 10_000)
    common.put(
        way=way,
        seconds=seconds,
        best=float(found.cv_results_["mean_test_r2"].max()),
        ours=ours,
        tensorflow=rest // 100,
        running=float(np.mean(watch.running)),
        cpu=watch.cpu,
    )


def main() -> None:
    """Print one line for each way."""
    a = ARGUMENTS.parse_args()
    if a.worker:
        work(a)
        return
    import sys

    runs, lines = [], []
    for way in a.ways:
        for run in common.call(__file__, sys.executable, way, "--ways", way):
            print(run, flush=True)
            runs.append(run)
            threads = f"{run['ours']} + {run['tensorflow']}"
            numbers = (common.number(run[name]) for name in ("seconds", "running", "cpu"))
            seconds, running, cpu = numbers
            lines.append([way, seconds, threads, running, cpu, f"{run['best']:.8f}"])
    header = ["way", "seconds", "threads", "running", "CPU", "best R2"]
    text = common.table(header, lines)
    common.finish(a.json, common.interpreters([], ["skgpng"]), text, runs)


if __name__ == "__main__":
    main()
