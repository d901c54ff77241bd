"""Fits of rows on two Dask workers against fits in this process, on the same two cores.

    python examples/benchmarks/on_dask.py [--rows 1000000] [--inducing 100] [--steps 6]
        [--models collapsed minibatches classifier neighbours] [--batch 65536]

Rows of 8 columns made on the fly; two workers of one thread each, against one process of two.
Each is fitted twice, to one pass over the rows and to some more, and a step is the difference: what
comes before the first step cancels. Overhead is the time that the driver waits for sums less the
time that the slower worker computes them; the collapsed bound asks twice a step. An epoch of
minibatches is all steps that see as many rows as there are. "of CPU" is the ratio of the time of
all processors, which others at work on the machine change less.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")  # of this process; workers have their own

import _common as common
import numpy as np
from sklearn.exceptions import ConvergenceWarning

ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("--rows", type=int, default=1_000_000)
ARGUMENTS.add_argument("--inducing", type=int, default=100)
ARGUMENTS.add_argument("--steps", type=int, default=6)
ARGUMENTS.add_argument("--batch", type=int, default=65_536)
MODELS = ["collapsed", "student_t", "minibatches", "classifier", "neighbours"]
ARGUMENTS.add_argument("--models", nargs="*", default=MODELS, choices=MODELS)
common.add_output(ARGUMENTS)

PARTS = 8
EVERY = 20  # row that a first fit, which compiles, gets
WORKERS = 2


def part(k: int, n: int) -> np.ndarray:
    """Rows [n, 9] of one part: 8 columns, and a smooth function of three of them with noise."""
    rng = np.random.default_rng(k)
    X = rng.uniform(-2.0, 2.0, (n, 8))
    y = np.sin(2.0 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.3 * rng.standard_normal(n)
    return np.column_stack([X, y])


def rows(n: int, client: Any) -> tuple[np.ndarray, Any]:
    """All of them here, and made again on the workers."""
    import dask
    import dask.array as da

    size = n // PARTS
    here = np.concatenate([part(k, size) for k in range(PARTS)])
    made = [da.from_delayed(dask.delayed(part)(k, size), (size, 9), float) for k in range(PARTS)]
    return here, client.persist(da.concatenate(made))


def _watch_sums() -> None:
    """On a worker: remember how long each answer took."""
    from skgpng.dask import _summing

    sums_of, seconds = _summing.sums_of, []

    def timed(*question: Any) -> Any:
        begin = time.perf_counter()
        found = sums_of(*question)
        seconds.append(time.perf_counter() - begin)
        return found

    _summing.sums_of, _summing.seconds = timed, seconds


def _seconds_of_sums() -> list:
    from skgpng.dask import _summing

    found = [*_summing.seconds]
    _summing.seconds.clear()
    return found


class Driver:
    """How long the driver waits for each answer of all workers."""

    def __init__(self, client: Any) -> None:
        from skgpng.dask._summing import Summing

        self._client, self._waited, ask = client, [], Summing.ask
        client.run(_watch_sums)

        def timed(summing: Any, questions: dict) -> dict:
            begin = time.perf_counter()
            found = ask(summing, questions)
            self._waited.append((time.perf_counter() - begin, len(questions)))
            return found

        Summing.ask = timed

    def overhead(self) -> float:
        """Seconds, the median of the questions since the last call; 0 where there were none."""
        each = [*self._client.run(_seconds_of_sums).values()]
        waited, self._waited = self._waited, []
        full = [seconds for seconds, n in waited if n == len(each)]
        if not full or any(len(seconds) != len(full) for seconds in each):
            return 0.0
        return float(np.median(np.array(full) - np.max(each, 0)))


def models(a: argparse.Namespace) -> dict[str, tuple[dict, int]]:
    """Settings, and steps of the shorter fit."""
    points = {"n_inducing": a.inducing, "inducing_init": "random", "random_state": 0, "tol": 0.0}
    never = {"n_iter_no_change": 10**6}
    batches = -(-a.rows // a.batch)
    return {
        "collapsed": ({**points, **never, "batch_size": None}, a.steps),
        "student_t": ({**points, **never, "batch_size": None, "likelihood": "student_t"}, a.steps),
        "minibatches": ({**points, **never, "batch_size": a.batch}, batches),
        "classifier": ({**points, **never, "batch_size": None}, a.steps),
        "neighbours": ({"random_state": 0, "optimizer": None}, 0),
    }


def fits(make: Any, X: Any, y: Any, n_steps: int, cpu: Any) -> tuple[Any, dict]:
    """The longer fit; its seconds, and of a step those by the clock and of all processors."""
    taken = []
    for length in (1, 1 + n_steps) if n_steps else (1,):  # max_iter counts passes over the rows
        begin, begin_cpu = time.perf_counter(), cpu()
        model = make(length).fit(X, y)
        taken.append((time.perf_counter() - begin, cpu() - begin_cpu, model.n_iter_))
    seconds, seconds_cpu, steps = np.subtract(taken[-1], taken[0])
    each = {"step": seconds / steps, "cpu": seconds_cpu / steps} if steps else {}
    return model, {"fit": taken[-1][0], **each}


def compare(name: str, a: argparse.Namespace, client: Any, driver: Driver) -> dict:
    """One model, in this process and on the workers."""
    import skgpng
    import skgpng.dask

    settings, steps = models(a)[name]
    here, spread = rows(a.rows, client)
    X, y, there = here[:, :8], here[:, 8], [spread[:, :8], spread[:, 8]]
    kind = "GaussianProcessRegressor"
    if name == "classifier":
        kind, y, there = "GaussianProcessClassifier", y > 0, [there[0], there[1] > 0]
    n_steps = min(2, steps) if name == "minibatches" else steps
    there = client.persist(there)

    def local(length: int) -> Any:
        return getattr(skgpng, kind)(**settings, max_iter=length)

    def far(length: int) -> Any:
        return getattr(skgpng.dask, kind)(**settings, max_iter=length)

    def cpu_there() -> float:
        return time.process_time() + sum(client.run(time.process_time).values())

    for make, of, labels in ((local, X, y), (far, there[0], there[1])):  # compiles
        make(1).fit(of[::EVERY], labels[::EVERY])
    near, here = fits(local, X, y, n_steps, time.process_time)
    driver.overhead()
    found, far_off = fits(far, *there, n_steps, cpu_there)
    ask = "predict_proba" if name == "classifier" else "predict"
    differ = np.abs(getattr(near, ask)(X[:2000]) - getattr(found, ask)(X[:2000])).max()
    return {
        "model": name,
        "elbo": abs(near.elbo_ - found.elbo_) / abs(near.elbo_),
        "prediction": float(differ),
        "overhead": driver.overhead(),
        "steps an epoch": steps if name == "minibatches" else 1,
        "local": here,
        "dask": far_off,
    }


def line(r: dict) -> list[str]:
    """Cells of the table."""
    near, far = r["local"], r["dask"]
    cells = [r["model"], f"{r['elbo']:.0e}", f"{r['prediction']:.0e}"]
    if "step" not in near:
        return [*cells, *["-"] * 7, f"{near['fit']:.1f}", f"{far['fit']:.1f}"]
    ms = [f"{1e3 * seconds:.0f}" for seconds in (near["step"], far["step"], r["overhead"])]
    epoch = [f"{r['steps an epoch'] * of['step']:.2f}" for of in (near, far)]
    ratios = [f"{far[k] / near[k]:.2f}" for k in ("step", "cpu")]
    return [*cells, *ms, *epoch, *ratios, f"{near['fit']:.1f}", f"{far['fit']:.1f}"]


def main() -> None:
    """Print a table."""
    from distributed import Client, LocalCluster

    a = ARGUMENTS.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        driver, found = Driver(client), []
        print(f"{a.rows:,} rows of 8 columns, {a.inducing} inducing points")
        for name in a.models:  # a million rows take minutes each
            found.append(compare(name, a, client, driver))
            print(" ".join(line(found[-1])), file=sys.stderr)
    header = ["model", "elbo_ differs by", "predictions by", "ms a step, local", "Dask"]
    header += ["overhead, ms a question", "s an epoch, local", "Dask", "ratio", "of CPU"]
    text = common.table([*header, "s a fit, local", "Dask"], [line(r) for r in found])
    common.finish(a.json, {"skgpng": sys.executable}, text, found)


if __name__ == "__main__":
    main()
