"""Time of an epoch (a pass over all rows) and peak memory of ``fit``, from 1e4 to 4e5 rows.

    python examples/benchmarks/scaling.py [--rows 10000 25000 ...] [--m 200] [--columns 8]
        [--batches full auto] [--passed 800000] [--repeats 3] [--save plot.png]

Synthetic regression; each number of rows in a process of its own. "full": ``batch_size=None``,
every step takes all rows; "auto": as the estimator chooses. An epoch is the difference of a
training of 2k epochs and one of k, so that compiling cancels; the median of ``--repeats``. k is
such that ``--passed`` rows pass by. Memory
is the peak of the process less its peak before ``fit``, when TensorFlow and the rows were there;
fit is one of ``--fit-epochs`` epochs, with choosing inducing points and all that follows training.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import numpy as np

ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument(
    "--rows", type=int, nargs="*", default=[10_000, 25_000, 63_000, 160_000, 400_000]
)
ARGUMENTS.add_argument("--m", type=int, default=200)
ARGUMENTS.add_argument("--columns", type=int, default=8)
ARGUMENTS.add_argument("--batches", nargs="*", choices=["full", "auto"], default=["full", "auto"])
ARGUMENTS.add_argument("--passed", type=int, default=800_000, help="rows in k epochs")
ARGUMENTS.add_argument("--fit-epochs", type=int, default=3)
ARGUMENTS.add_argument("--repeats", type=int, default=3)
ARGUMENTS.add_argument("--save", type=Path, help="file of the plot")
ARGUMENTS.add_argument("--worker", help=argparse.SUPPRESS)
common.add_output(ARGUMENTS)


def rows(n: int, n_columns: int) -> tuple[np.ndarray, np.ndarray]:
    """A smooth function of three columns, with noise."""
    rng = np.random.RandomState(0)
    X = rng.randn(n, n_columns)
    return X, np.sin(2.0 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.3 * rng.randn(n)


def epoch_seconds(estimator: Any, X: np.ndarray, y: np.ndarray, a: argparse.Namespace) -> dict:
    """Of an epoch, by the loop of the estimator."""
    train, settings = common.planned(estimator, X, y)
    steps = -(-len(X) // settings.batch_size)

    train(max_iter=steps)
    k = -(-a.passed // len(X))
    seconds = [common.seconds_of_steps(train, k * steps) / k for _ in range(a.repeats)]
    return {"epoch_seconds": statistics.median(seconds), "batch": int(settings.batch_size)}


def work(a: argparse.Namespace) -> None:
    """One number of rows."""
    import tensorflow  # noqa: F401, its memory counts before fit

    from skgpng import GaussianProcessRegressor

    warnings.simplefilter("ignore")
    (n,), (batches,) = a.rows, a.batches
    X, y = rows(n, a.columns)
    batch_size = None if batches == "full" else "auto"
    model = GaussianProcessRegressor(n_inducing=a.m, batch_size=batch_size, random_state=0)
    model.set_params(tol=0.0, n_iter_no_change=10**5)
    before = common.peak_memory()
    steps = 1 if batches == "full" else -(-n // common.planned(model, X, y)[1].batch_size)
    begin = time.perf_counter()
    model.set_params(max_iter=a.fit_epochs * steps).fit(X, y)
    seconds = time.perf_counter() - begin
    more = common.peak_memory() - before
    common.put(
        rows=n,
        batches=batches,
        fit_seconds=seconds,
        data_bytes=X.nbytes,
        more_bytes=more,
        **epoch_seconds(model, X, y, a),
    )


def plot(runs: list[dict], path: Path) -> None:
    """Seconds and memory against rows, logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, both = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
    for batches in dict.fromkeys(r["batches"] for r in runs):
        chosen = [r for r in runs if r["batches"] == batches]
        n = [r["rows"] for r in chosen]
        both[0].loglog(n, [r["epoch_seconds"] for r in chosen], "o-", label=batches)
        both[1].loglog(n, [r["more_bytes"] / 2**20 for r in chosen], "o-", label=batches)
    n = np.array([min(r["rows"] for r in runs), max(r["rows"] for r in runs)])
    first = min(runs, key=lambda r: r["rows"])
    line = n * first["epoch_seconds"] / first["rows"]
    both[0].plot(n, line, ":", color="black", lw=1, label="linear in N")
    sizes = {r["rows"]: r["data_bytes"] / 2**20 for r in runs}
    both[1].plot(sizes.keys(), sizes.values(), ":", color="black", lw=1, label="size of X")
    both[0].set(xlabel="rows", ylabel="seconds an epoch")
    both[1].set(xlabel="rows", ylabel="memory of fit, MiB")
    for axes in both:
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


def main() -> None:
    """Every number of rows, in turns."""
    a = ARGUMENTS.parse_args()
    if a.worker:
        return work(a)
    libraries, runs = common.interpreters([], ["skgpng"]), []
    for n in a.rows:
        for batches in a.batches:
            more = ("--rows", str(n), "--batches", batches)
            lines = common.call(__file__, libraries["skgpng"], "skgpng", *more)
            runs += lines
            print(*lines, flush=True)
    header = ["batch", "N", "rows a step", "ms an epoch", "us a row", "fit, MiB", "X, MiB"]
    lines = [
        [
            r["batches"],
            str(r["rows"]),
            str(r["batch"]),
            common.number(1e3 * r["epoch_seconds"]),
            common.number(1e6 * r["epoch_seconds"] / r["rows"]),
            f"{r['more_bytes'] / 2**20:.0f}",
            f"{r['data_bytes'] / 2**20:.1f}",
        ]
        for r in runs
    ]
    if a.save and runs:
        plot(runs, a.save)
    common.finish(a.json, libraries, common.table(header, lines), runs, a.save)


if __name__ == "__main__":
    main()
