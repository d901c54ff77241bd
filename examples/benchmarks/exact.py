"""Exact Gaussian processes with eight length scales beside scikit-learn, in turns in one process.

    python examples/benchmarks/exact.py [--repeats 3] [--tasks regression classification]
        [--data-folder ../shared/data]

Regression: the first 2,000 training rows of kin8nm (split 0). Classification: 1,000 rows of magic
(split 0), drawn at random, their first eight columns. Both libraries start from the same
scikit-learn kernel, 1.0 * Matern-5/2 with length scales of sqrt(8), and in regression a
``WhiteKernel`` of 0.1.

Evidence and held-out NLPD are looked at every two steps of skgpng, while the clock stands still,
and for every iterate of scikit-learn, after its fit. "To the target" are the seconds until what
scikit-learn ends with is first reached: its evidence less 0.5 in regression, its held-out NLPD or
better in classification. scikit-learn may meet that on its way, too, and go on.

Prints the log evidence on scaled y (in classification scikit-learn's is Laplace's approximation
and skgpng's a lower bound, not to be compared), the held-out NLPD (in units of y, or nats per
label), the seconds to the target and of the whole fit (median and range) and their ratios to
skgpng. A plain fit of skgpng comes first, which compiles. TensorFlow is imported before the clock
starts.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import numpy as np
import scipy.optimize
import sklearn.gaussian_process
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from time_to_quality import Callback, Watch

from skgpng import _base

ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("--repeats", type=int, default=3)
TASKS = {"regression": ("kin8nm", 2000), "classification": ("magic", 1000)}
ARGUMENTS.add_argument("--tasks", nargs="*", choices=TASKS, default=list(TASKS))
ARGUMENTS.add_argument("--rows", type=int, help="instead of 2,000 and 1,000")
common.add_data(ARGUMENTS)
common.add_output(ARGUMENTS)
N_COLUMNS, EVERY = 8, 2


def estimators(labels: bool) -> dict[str, Any]:
    """Of both libraries, unfitted."""
    import skgpng

    kernel = ConstantKernel() * Matern(np.full(N_COLUMNS, N_COLUMNS**0.5), nu=2.5)
    name = "GaussianProcessClassifier" if labels else "GaussianProcessRegressor"
    start = (kernel,) if labels else (kernel + WhiteKernel(0.1),)
    return {
        "skgpng": getattr(skgpng, name)(*start, n_inducing=None),
        "scikit-learn": getattr(sklearn.gaussian_process, name)(*start),
    }


def quality(model: Any, labels: bool, rows: common.Rows) -> dict:
    """Evidence and held-out NLPD of a fitted model."""
    if labels:
        nlpd = common.label_nlpd(rows.y_test, model.predict_proba(rows.X_test)[:, 1])
    else:
        mean, std = model.predict(rows.X_test, return_std=True)
        nlpd = common.normal_nlpd(rows.y_test, mean, std**2) + float(np.log(rows.scale))
    evidence = getattr(model, "elbo_", None) or model.log_marginal_likelihood_value_
    return {"evidence": float(evidence), "nlpd": nlpd}


class Progress(Watch):
    """A clock with the quality at each look."""

    def __init__(self, labels: bool, rows: common.Rows) -> None:
        super().__init__(labels, rows, argparse.Namespace(target=None, seconds=np.inf))
        self.points: list[dict] = []

    def look(self, step: int, predict: Callable) -> bool:
        """``predict`` gives evidence and NLPD."""
        seconds = self.now()
        with self.stopped():
            self.points.append({"seconds": seconds, **predict()})
        return False


def watched(library: str, labels: bool, rows: common.Rows) -> list[dict]:
    """Train once: the quality at every look, last at the end."""
    model = estimators(labels)[library]
    if library == "scikit-learn":
        return watched_peer(model, labels, rows)
    progress = Progress(labels, rows)
    model.set_callbacks(Callback(progress, lambda m: quality(m, labels, rows), EVERY))
    progress.start()
    model.fit(rows.X, rows.y)
    progress.look(-1, lambda: quality(model, labels, rows))
    return progress.points


def watched_peer(model: Any, labels: bool, rows: common.Rows) -> list[dict]:
    """The same of scikit-learn, whose own L-BFGS leaves its iterates to be looked at afterwards."""
    seen, begin = [], time.perf_counter()

    def optimizer(objective: Callable, theta: np.ndarray, bounds: np.ndarray) -> tuple:
        end = scipy.optimize.minimize(
            objective,
            theta,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            callback=lambda theta: seen.append((time.perf_counter() - begin, theta.copy())),
        )
        return end.x, end.fun

    model.set_params(optimizer=optimizer).fit(rows.X, rows.y)
    seconds, points = time.perf_counter() - begin, []
    for after, theta in seen:
        fixed = type(model)(model.kernel.clone_with_theta(theta), optimizer=None)
        points.append({"seconds": after, **quality(fixed.fit(rows.X, rows.y), labels, rows)})
    return [*points, {"seconds": seconds, **quality(model, labels, rows)}]


def run(task: str, a: argparse.Namespace) -> tuple[float, dict[str, list]]:
    """Seconds of the first fit of skgpng, then the rounds of both libraries."""
    name, n = TASKS[task]
    labels, rows = common.load(a.data_folder, name, 0, a.rows or n)
    rows = rows._replace(X=rows.X[:, :N_COLUMNS], X_test=rows.X_test[:, :N_COLUMNS])
    begin = time.perf_counter()
    estimators(labels)["skgpng"].fit(rows.X, rows.y)
    first = time.perf_counter() - begin
    print(f"{task}, first fit of skgpng: {first:.2f} s", flush=True)
    runs: dict[str, list] = {}
    for k in range(a.repeats):
        for library in estimators(labels):
            runs.setdefault(library, []).append(watched(library, labels, rows))
            print(f"{task}, round {k + 1}, {library}: {runs[library][-1][-1]}", flush=True)
    return first, runs


def seconds_to(points: list[dict], target: dict, labels: bool) -> float:
    """Of the first look at which the target is met; infinite where none was."""
    met = [
        p["seconds"]
        for p in points
        if (p["nlpd"] <= target["nlpd"] if labels else p["evidence"] >= target["evidence"] - 0.5)
    ]
    return min(met, default=np.inf)


def lines_of(task: str, first: float, runs: dict[str, list], labels: bool) -> list[list[str]]:
    """Lines of the table for one task."""
    target = runs["scikit-learn"][0][-1]
    times = {
        library: (
            [seconds_to(points, target, labels) for points in rounds],
            [points[-1]["seconds"] for points in rounds],
        )
        for library, rounds in runs.items()
    }
    ours = [statistics.median(seconds) for seconds in times["skgpng"]]
    return [
        [
            task,
            library,
            f"{statistics.median(points[-1]['evidence'] for points in rounds):.1f}",
            f"{statistics.median(points[-1]['nlpd'] for points in rounds):.4f}",
            *(
                cell
                for seconds, one in zip(times[library], ours, strict=True)
                for cell in (
                    common.spread(seconds),
                    common.number(statistics.median(seconds) / one),
                )
            ),
            common.number(first) if library == "skgpng" else "-",
        ]
        for library, rounds in runs.items()
    ]


def main() -> None:
    """Both tasks."""
    a = ARGUMENTS.parse_args()
    warnings.simplefilter("ignore")
    importlib.import_module("tensorflow")
    _base._CALL_EVERY = EVERY  # how often callbacks are called is not a public setting
    lines, every = [], {}
    for task in a.tasks:
        first, runs = run(task, a)
        lines += lines_of(
            f"{task}, N={a.rows or TASKS[task][1]}", first, runs, task == "classification"
        )
        every[task] = {"first": first, **runs}
    header = ["task", "library", "evidence", "NLPD", "seconds to the target", "ratio"]
    header += ["seconds a fit", "ratio", "first fit (s)"]
    libraries = common.interpreters([], ["skgpng", "scikit-learn"])
    common.finish(a.json, libraries, common.table(header, lines), every)


if __name__ == "__main__":
    main()
