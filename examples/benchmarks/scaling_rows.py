"""Seconds, memory and held-out errors from 1e5 to 1e7 rows, beside boosted trees on the same rows.

    python examples/benchmarks/scaling_rows.py [--rows 1e5 1e6 1e7] [--m 256]
        [--models neighbours inducing sklearn-trees lightgbm] [--seed 0]

Synthetic regression of eight columns: a smooth part of four, detail of short length scale in two,
and noise with a standard deviation of 0.1 (a mean squared error below that of the noise is luck).
Each model and number of rows in a process of its own. Ours: "neighbours", the default; "inducing",
``n_inducing=--m`` points. "sklearn-trees": ``HistGradientBoostingRegressor`` with early stopping
and up to 1000 trees; "lightgbm" the same with 255 leaves, stopped on a tenth of the rows. Densities
of trees are normal, their one variance from 10,000 rows that are not trained on: twice 10,000 rows
are held out, the others are those that errors are told of. "core s" are seconds of all its threads
together, on a machine with other work the better measure. GiB is the peak of the process while it
fits and predicts, "rows" what the rows themselves take of it.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
import warnings
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import numpy as np

MODELS = ("neighbours", "inducing", "sklearn-trees", "lightgbm")
NOISE, COLUMNS, HELD_OUT = 0.1, 8, 10_000
ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("--rows", type=float, nargs="*", default=[1e5, 1e6, 1e7])
ARGUMENTS.add_argument("--m", type=int, default=256)
ARGUMENTS.add_argument("--models", nargs="*", choices=MODELS, default=MODELS)
ARGUMENTS.add_argument("--seed", type=int, default=0)
ARGUMENTS.add_argument("--profile", action="store_true", help="of the functions of ours, to stderr")
ARGUMENTS.add_argument("--worker", help=argparse.SUPPRESS)
common.add_output(ARGUMENTS)


def rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """X uniform on [0, 1]^8 and y, made in parts, so that nothing but them takes memory."""
    rng = np.random.default_rng(seed)
    X, y = np.empty((n, COLUMNS)), np.empty(n)
    for a in range(0, n, 2**16):
        x = X[a : a + 2**16]
        rng.random(out=x)
        y[a : a + 2**16] = truth(x) + NOISE * rng.standard_normal(len(x))
    return X, y


def truth(X: np.ndarray) -> np.ndarray:
    """Without noise: a variance of about one from what is smooth, of 0.1 from detail."""
    smooth = np.sin(2 * np.pi * X[:, 0] * X[:, 1]) + 2 * (X[:, 2] - 0.5) * X[:, 3]
    detail = np.sin(25 * X[:, 4] + 3 * X[:, 0]) * np.cos(20 * X[:, 5])
    return smooth + 0.6 * detail


# --- models ----------------------------------------------------------------------------------


def ours(a: argparse.Namespace, name: str) -> Any:
    """The estimator."""
    from skgpng import GaussianProcessRegressor

    if name == "neighbours":
        return GaussianProcessRegressor(random_state=a.seed)
    return GaussianProcessRegressor(n_inducing=a.m, random_state=a.seed)


def trees(a: argparse.Namespace, name: str) -> Any:
    """What fits X, y and predicts."""
    if name == "sklearn-trees":
        from sklearn.ensemble import HistGradientBoostingRegressor

        return HistGradientBoostingRegressor(
            max_iter=1000, early_stopping=True, random_state=a.seed
        )
    import lightgbm

    model = lightgbm.LGBMRegressor(
        n_estimators=1000, num_leaves=255, random_state=a.seed, verbose=-1
    )
    return Stopped(model, lightgbm.early_stopping(10, verbose=False))


class Stopped:
    """LightGBM as it is mostly used: stopped by the last tenth of the rows."""

    def __init__(self, model: Any, stop: Any) -> None:
        self._model, self._stop = model, stop

    def fit(self, X: np.ndarray, y: np.ndarray) -> Stopped:
        """On nine tenths."""
        n = len(X) - len(X) // 10
        self._model.fit(X[:n], y[:n], eval_set=[(X[n:], y[n:])], callbacks=[self._stop])
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Means."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._model.predict(X)


class Peak:
    """The largest resident size while it is entered, bytes; looked at every 20 ms."""

    def __enter__(self) -> Peak:
        self.largest, self._ended = resident(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            self.largest = max(self.largest, resident())


def resident() -> int:
    """Bytes of this process in memory; its peak so far where there is no /proc."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return common.peak_memory()


def work(a: argparse.Namespace) -> None:
    """One model and number of rows."""
    warnings.simplefilter("ignore")
    (n,), (name,) = (int(rows) for rows in a.rows), a.models
    X, y = rows(n, a.seed)
    X_other, y_other = rows(2 * HELD_OUT, a.seed + 1)
    is_ours = name in ("neighbours", "inducing")
    model = (ours if is_ours else trees)(a, name)
    profile = None
    if a.profile:
        import cProfile

        profile = cProfile.Profile()
        profile.enable()
    with Peak() as peak:
        begin, busy = time.perf_counter(), time.process_time()
        model.fit(X, y)
        fitted, busy = time.perf_counter(), time.process_time() - busy
        if is_ours:
            mean, std = model.predict(X_other, return_std=True)
            variance = std**2
        else:
            mean = model.predict(X_other)
            variance = np.mean((mean - y_other)[HELD_OUT:] ** 2)
        predicted = time.perf_counter()
    if profile is not None:
        import pstats

        profile.disable()
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(30)
        pstats.Stats(profile, stream=sys.stderr).sort_stats("cumtime").print_stats(60)
    error = (mean - y_other)[:HELD_OUT]
    if is_ours:
        variance = variance[:HELD_OUT]
    common.put(
        rows=n,
        model=name,
        seconds=fitted - begin,
        core_seconds=busy,
        predict=(predicted - fitted) / (2 * HELD_OUT),
        peak=peak.largest,
        of_rows=X.nbytes + y.nbytes,
        rmse=float(np.sqrt(np.mean(error**2))),
        nlpd=common.normal_nlpd(y_other[:HELD_OUT], mean[:HELD_OUT], variance),
    )


def main() -> None:
    """Print one line for each number of rows and model."""
    a = ARGUMENTS.parse_args()
    if a.worker:
        work(a)
        return
    runs, lines = [], []
    for n in a.rows:
        for name in a.models:
            given = ["--rows", str(n), "--models", name]
            for run in common.call(__file__, sys.executable, name, *given):
                print(run, flush=True)
                runs.append(run)
                memory = [f"{run[key] / 2**30:.2f}" for key in ("peak", "of_rows")]
                more = [f"{1e6 * run['predict']:.0f}", *memory]
                errors = [f"{run[key]:.4f}" for key in ("rmse", "nlpd")]
                seconds = [common.number(run[key]) for key in ("seconds", "core_seconds")]
                lines.append([f"{run['rows']:,}", name, *seconds, *more, *errors])
    sizes = ["us a prediction", "GiB", "rows GiB"]
    header = ["rows", "model", "fit s", "core s", *sizes, "RMSE", "NLPD"]
    text = common.table(header, lines)
    common.finish(a.json, common.interpreters([], ["skgpng"]), text, runs)


if __name__ == "__main__":
    main()
