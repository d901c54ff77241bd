"""Exact Gaussian processes with eight length scales beside scikit-learn, in turns in one process.

    python examples/benchmarks/exact.py [--repeats 3] [--tasks regression classification]
        [--data-folder ../shared/data]

Regression: the first 2,000 training rows of kin8nm (split 0). Classification: 1,000 rows of magic
(split 0), drawn at random, their first eight columns. Both libraries start from the same
scikit-learn kernel, 1.0 * Matern-5/2 with length scales of sqrt(8), and in regression a
``WhiteKernel`` of 0.1.

Prints the log evidence on scaled y (in classification scikit-learn's is Laplace's approximation
and skgpng's a lower bound, not to be compared), the held-out NLPD (in units of y, or nats per
label), the seconds of a fit (median and range) and the ratio to skgpng. The first fit of skgpng in
the process, which compiles, is a column of its own. TensorFlow is imported before the clock starts.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import time
import warnings
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import numpy as np
import sklearn.gaussian_process
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("--repeats", type=int, default=3)
TASKS = {"regression": ("kin8nm", 2000), "classification": ("magic", 1000)}
ARGUMENTS.add_argument("--tasks", nargs="*", choices=TASKS, default=list(TASKS))
ARGUMENTS.add_argument("--rows", type=int, help="instead of 2,000 and 1,000")
common.add_data(ARGUMENTS)
common.add_output(ARGUMENTS)
N_COLUMNS = 8


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


def fit(model: Any, labels: bool, rows: common.Rows) -> dict:
    """Train once: seconds, evidence and held-out quality."""
    begin = time.perf_counter()
    model.fit(rows.X, rows.y)
    seconds = time.perf_counter() - begin
    if labels:
        nlpd = common.label_nlpd(rows.y_test, model.predict_proba(rows.X_test)[:, 1])
    else:
        mean, std = model.predict(rows.X_test, return_std=True)
        nlpd = common.normal_nlpd(rows.y_test, mean, std**2) + float(np.log(rows.scale))
    evidence = getattr(model, "elbo_", None) or model.log_marginal_likelihood_value_
    return {"seconds": seconds, "evidence": float(evidence), "nlpd": nlpd}


def run(task: str, a: argparse.Namespace) -> tuple[dict, dict[str, list]]:
    """The first fit of skgpng, then the rounds of both libraries."""
    name, n = TASKS[task]
    labels, rows = common.load(a.data_folder, name, 0, a.rows or n)
    rows = rows._replace(X=rows.X[:, :N_COLUMNS], X_test=rows.X_test[:, :N_COLUMNS])
    first = fit(estimators(labels)["skgpng"], labels, rows)
    print(f"{task}, first fit of skgpng: {first}", flush=True)
    runs: dict[str, list] = {}
    for k in range(a.repeats):
        for library, model in estimators(labels).items():
            runs.setdefault(library, []).append(fit(model, labels, rows))
            print(f"{task}, round {k + 1}, {library}: {runs[library][-1]}", flush=True)
    return first, runs


def lines_of(task: str, first: dict, runs: dict[str, list]) -> list[list[str]]:
    """Lines of the table for one task."""
    times = {library: [r["seconds"] for r in rounds] for library, rounds in runs.items()}
    ours = statistics.median(times["skgpng"])
    return [
        [
            task,
            library,
            f"{statistics.median(r['evidence'] for r in rounds):.1f}",
            f"{statistics.median(r['nlpd'] for r in rounds):.4f}",
            common.number(first["seconds"]) if library == "skgpng" else "-",
            common.spread(times[library]),
            common.number(statistics.median(times[library]) / ours),
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
        lines += lines_of(f"{task}, N={a.rows or TASKS[task][1]}", first, runs)
        every[task] = {"first": first, **runs}
    header = ["task", "library", "evidence", "NLPD", "first fit (s)", "seconds a fit", "ratio"]
    libraries = common.interpreters([], ["skgpng", "scikit-learn"])
    common.finish(a.json, libraries, common.table(header, lines), every)


if __name__ == "__main__":
    main()
