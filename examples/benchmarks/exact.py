"""Exact Gaussian processes with eight length scales beside scikit-learn, in turns in one process.

    python examples/benchmarks/exact.py [--repeats 3] [--tasks regression classification]
        [--data-folder ../shared/data]

Regression: the first 2,000 training rows of kin8nm (split 0). Classification: 1,000 rows of magic
(split 0), drawn at random, their first eight columns. Both libraries start from the same
scikit-learn kernel, 1.0 * Matern-5/2 with length scales of sqrt(8), and in regression a
``WhiteKernel`` of 0.1.

"To the target" are the seconds until what scikit-learn ends with is first reached: its evidence
less 0.5 in regression, its held-out NLPD or better in classification. Of skgpng they are the
seconds of a fit that a callback ends after as many steps as another fit, with a look every two
steps, was seen to need; the iterates of scikit-learn are looked at after its fit. It may meet the
target on its way, and go on.

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
from time_to_quality import Callback

ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("--repeats", type=int, default=3)
TASKS = {"regression": ("kin8nm", 2000), "classification": ("magic", 1000)}
ARGUMENTS.add_argument("--tasks", nargs="*", choices=TASKS, default=list(TASKS))
ARGUMENTS.add_argument("--rows", type=int, help="instead of 2,000 and 1,000")
common.add_data(ARGUMENTS)
common.add_output(ARGUMENTS)
N_COLUMNS, EVERY = 8, 2
SCALES = np.full(N_COLUMNS, N_COLUMNS**0.5)


def estimators(labels: bool, scales: Any = SCALES, **settings: Any) -> dict[str, Any]:
    """Of both libraries, unfitted; ``settings`` are those of skgpng."""
    import skgpng

    kernel = ConstantKernel() * Matern(scales, nu=2.5)
    name = "GaussianProcessClassifier" if labels else "GaussianProcessRegressor"
    start = (kernel,) if labels else (kernel + WhiteKernel(0.1),)
    return {
        "skgpng": getattr(skgpng, name)(*start, **settings),
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


class Looks(list):
    """(step, quality) of a fit, as the callback of ``time_to_quality.py`` finds them.

    With ``ends`` the first look ends the fit, and nothing is looked at.
    """

    def __init__(self, ends: bool = False) -> None:
        super().__init__()
        self.ends = ends

    def stop(self) -> None:
        """The clock is of no use here."""

    go_on = stop

    def look(self, step: int, predict: Callable) -> bool:
        """After a few steps."""
        if not self.ends:
            self.append((step, predict()))
        return self.ends


def first_step(labels: bool, rows: common.Rows, target: dict) -> int:
    """Of skgpng, at which the target is met."""
    model, looks = estimators(labels, n_inducing=None)["skgpng"], Looks()
    common.call_every(EVERY)
    model.set_callbacks(Callback(looks, lambda m: quality(m, labels, rows), EVERY))
    model.fit(rows.X, rows.y)
    return next((step for step, found in looks if meets(found, target, labels)), model.n_iter_)


def meets(found: dict, target: dict, labels: bool) -> bool:
    """Whether the NLPD, or the evidence but for 0.5, is as good."""
    if labels:
        return found["nlpd"] <= target["nlpd"]
    return found["evidence"] >= target["evidence"] - 0.5


def timed(labels: bool, rows: common.Rows, step: int | None = None) -> dict:
    """A plain fit of skgpng, or one that a callback ends after so many steps."""
    model = estimators(labels, n_inducing=None)["skgpng"]
    if step is not None:
        common.call_every(step)
        model.set_callbacks(Callback(Looks(ends=True), quality, step))
    begin = time.perf_counter()
    model.fit(rows.X, rows.y)
    return {"seconds": time.perf_counter() - begin, **quality(model, labels, rows)}


def watched_peer(labels: bool, rows: common.Rows) -> list[dict]:
    """A fit of scikit-learn, whose own L-BFGS leaves its iterates to be looked at afterwards."""
    model, seen, begin = estimators(labels)["scikit-learn"], [], time.perf_counter()

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
    first = timed(labels, rows)["seconds"]
    print(f"{task}, first fit of skgpng: {first:.2f} s", flush=True)
    peer, ours, step = [], [], 0
    for k in range(a.repeats):
        peer.append(watched_peer(labels, rows))
        step = step or first_step(labels, rows, peer[0][-1])
        ours.append([timed(labels, rows, step), timed(labels, rows)])
        for library, points in (("skgpng", ours[-1]), ("scikit-learn", peer[-1])):
            print(f"{task}, round {k + 1}, {library}: {points[-1]}", flush=True)
    return first, {"skgpng": ours, "scikit-learn": peer}


def seconds_to(points: list[dict], target: dict, labels: bool) -> float:
    """Of the first point at which the target is met; infinite where none was."""
    return min((p["seconds"] for p in points if meets(p, target, labels)), default=np.inf)


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
