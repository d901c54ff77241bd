"""Fits of rows that are never in memory together: seconds and peak memory by number of rows.

    python examples/benchmarks/from_disk.py 1e5 1e6 1e7 [--columns 8] [--model points]
    python examples/benchmarks/from_disk.py --gigabytes 20

Rows are made when they are asked for, by a class with ``__len__`` and ``__getitem__`` on slices
whose numbers depend on the number of the row alone, and forgotten again. Each size is fitted in a
process of its own, whose peak is ``VmHWM`` of ``/proc/self/status``; before ``fit`` that is
TensorFlow. NLPD is of 20,000 other rows, in units of y; its best value, that of the noise alone, is
printed beside it. ``--model``: ``points``, a regressor of ``--m`` inducing points, ``neighbours``,
the regressor as it is by default, or ``labels``, a classifier of as many points.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import numpy as np

NOISE = 0.3
MODELS = ("points", "neighbours", "labels")
ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("rows", nargs="*", type=float)
ARGUMENTS.add_argument(
    "--gigabytes", nargs="*", type=float, default=[], help="sizes of X in float64"
)
ARGUMENTS.add_argument("--columns", type=int, default=8)
ARGUMENTS.add_argument("--model", nargs="*", choices=MODELS, default=["points"])
ARGUMENTS.add_argument("--m", type=int, default=128, help="inducing points")
ARGUMENTS.add_argument("--max-iter", type=int, default=1000, help="passes over all rows at most")
ARGUMENTS.add_argument("--in-memory", action="store_true", help="as arrays, for comparison")
ARGUMENTS.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
common.add_output(ARGUMENTS)


def uniform(numbers: np.ndarray, n_columns: int) -> np.ndarray:
    """Numbers between 0 and 1, [n, n_columns], by a hash of the number of each row (splitmix64)."""
    z = numbers.astype(np.uint64)[:, None] * np.uint64(n_columns)
    z = (z + np.arange(1, n_columns + 1, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


class Made:
    """Rows and targets made for each slice; a sine, a product and a slope of the first columns."""

    def __init__(self, n_rows: int, n_columns: int, labels: bool) -> None:
        self.n_rows, self.n_columns, self.labels = n_rows, n_columns, labels
        self.asked = 0

    def __len__(self) -> int:
        return self.n_rows

    def __getitem__(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """Rows of these numbers."""
        numbers = np.arange(rows.start, min(rows.stop, self.n_rows))
        self.asked += len(numbers)
        u = uniform(numbers, self.n_columns + 2)
        X = 4.0 * u[:, : self.n_columns] - 2.0
        f = np.sin(2.0 * X[:, 0]) + 0.5 * X[:, 1] * X[:, 2] + 0.3 * X[:, 3]
        # Box and Muller's normal numbers
        noise = np.sqrt(-2.0 * np.log1p(-u[:, -2])) * np.cos(2.0 * np.pi * u[:, -1])
        y = f + NOISE * noise
        return X, (y > 0.0).astype(int) if self.labels else y


class Test(Made):
    """The rows behind the last one of others."""

    def __getitem__(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """Rows of these numbers."""
        far = 2**40
        other = Made(far + len(self), self.n_columns, self.labels)
        return other[slice(far + rows.start, far + rows.stop)]


def peak() -> float:
    """Most memory that this process has had, in GiB."""
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 2**20


def work(a: argparse.Namespace) -> dict:
    """One fit, in this process."""
    from skgpng import GaussianProcessClassifier, GaussianProcessRegressor

    labels, n_rows = a.model[0] == "labels", int(a.rows[0])
    rows, test = (of(n, a.columns, labels) for of, n in ((Made, n_rows), (Test, 20_000)))
    common_settings = {"max_iter": a.max_iter, "random_state": 0}
    model = {
        "points": lambda: GaussianProcessRegressor(n_inducing=a.m, **common_settings),
        "neighbours": lambda: GaussianProcessRegressor(**common_settings),
        "labels": lambda: GaussianProcessClassifier(n_inducing=a.m, **common_settings),
    }[a.model[0]]()
    small = rows[slice(0, 300)]
    model.__class__(n_inducing=8, max_iter=1).fit(*small)  # what TensorFlow takes
    before, begin = peak(), time.perf_counter()
    given = rows[slice(0, n_rows)] if a.in_memory else (rows,)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(*given)
    seconds, fitted = time.perf_counter() - begin, peak()
    X, y = test[slice(0, 20_000)]
    begin = time.perf_counter()
    if labels:
        nlpd = common.label_nlpd(y, model.predict_proba(X)[:, 1])
    else:
        nlpd = -float(np.mean(model.log_predictive_density(X, y)))
    return {
        "rows": n_rows,
        "model": a.model[0],
        "GB of X": 8e-9 * n_rows * a.columns,
        "seconds": seconds,
        "read": rows.asked / n_rows,
        "steps": model.n_iter_,
        "nlpd": nlpd,
        "predict": time.perf_counter() - begin,
        "before": before,
        "peak": max(fitted, peak()),
    }


def main() -> None:
    """Each size and model in a process of its own."""
    a = ARGUMENTS.parse_args()
    if a.worker:
        print(json.dumps(work(a)))
        return
    sizes = [int(n) for n in a.rows] + [int(1e9 * g / 8 / a.columns) for g in a.gigabytes]
    results = []
    print(f"best NLPD of y: {0.5 * np.log(2 * np.pi * np.e * NOISE**2):.3f}; memory in GiB")
    for name in a.model:
        for n in sizes:
            command = [sys.executable, __file__, "--worker", str(n), "--model", name]
            command += ["--columns", str(a.columns), "--max-iter", str(a.max_iter)]
            command += ["--m", str(a.m)]
            command += ["--in-memory"] if a.in_memory else []
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(done.stderr)
            results.append(json.loads(done.stdout.splitlines()[-1]))
            shown = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in results[-1].items()}
            print("  ".join(f"{k} {v}" for k, v in shown.items()), flush=True)
    if a.json:
        a.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
