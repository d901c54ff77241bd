"""Learn a data set in chunks with ``partial_fit``, beside one ``fit`` on all rows.

    python examples/benchmarks/streaming.py DATA [--data-folder ../shared/data] [--chunks N] [--m M]

Prints the held-out negative log predictive density in units of the original target (regression),
or nats per label, as the rows come in; the size of the pickled model, which does not grow with
the stream; and what hyperparameters and inducing points from the first rows alone would give.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pickle
import time
import warnings
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
from skgpng.metrics import log_density_scorer

ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("data")
common.add_data(ARGUMENTS)
common.add_output(ARGUMENTS)
ARGUMENTS.add_argument("--split", type=int, default=0)
ARGUMENTS.add_argument("--chunks", type=int, default=20)
ARGUMENTS.add_argument("--m", type=int, default=256)
ARGUMENTS.add_argument("--first-rows", type=int, nargs="*", default=[])


def nlpd(model: Any, rows: common.Rows) -> float:
    """Mean negative log predictive density of held-out rows, in units of y."""
    return float(np.log(rows.scale)) - log_density_scorer(model, rows.X_test, rows.y_test)


def streamed(start: Any, labels: bool, rows: common.Rows, order: np.ndarray, n: int) -> list[dict]:
    """Quality after each chunk of rows."""
    model, points = clone(start), []
    classes = {"classes": np.unique(rows.y)} if labels else {}
    seconds, seen = 0.0, 0
    for chunk in np.array_split(order, n):
        begin = time.perf_counter()
        model.partial_fit(rows.X[chunk], rows.y[chunk], **classes)
        seconds, seen = seconds + time.perf_counter() - begin, seen + len(chunk)
        size = len(pickle.dumps(model))
        points.append({"rows": seen, "seconds": seconds, "nlpd": nlpd(model, rows), "size": size})
        print(points[-1], flush=True)
    return points


def from_the_first(start: Any, rows: common.Rows, order: np.ndarray, n: int) -> dict:
    """All rows, with hyperparameters and inducing points learned from the first alone."""
    begin = time.perf_counter()
    X, y = rows.X[order[:n]], rows.y[order[:n]]
    model = clone(start).set_params(warm_start=True).fit(X, y)
    model.set_params(optimizer=None).fit(rows.X, rows.y)
    seconds = time.perf_counter() - begin
    return {"first_rows": n, "seconds": seconds, "nlpd": nlpd(model, rows)}


def one_fit(start: Any, rows: common.Rows) -> dict:
    """All rows at once."""
    model = clone(start)
    begin = time.perf_counter()
    model.fit(rows.X, rows.y)
    seconds, size = time.perf_counter() - begin, len(pickle.dumps(model))
    return {"rows": len(rows.X), "seconds": seconds, "nlpd": nlpd(model, rows), "size": size}


def line_of(name: str, point: dict) -> list[str]:
    """One line of the table."""
    size = f"{point['size'] / 1000:.0f}" if "size" in point else "-"
    return [name, f"{point['seconds']:.1f}", f"{point['nlpd']:.4f}", size]


def main() -> None:
    """Print the table."""
    a = ARGUMENTS.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    importlib.import_module("tensorflow")
    labels, rows = common.load(a.data_folder, a.data, a.split)
    estimator = GaussianProcessClassifier if labels else GaussianProcessRegressor
    start = estimator(n_inducing=a.m, random_state=0)
    order = np.random.RandomState(0).permutation(len(rows.X))
    points = streamed(start, labels, rows, order, a.chunks)
    whole = one_fit(start, rows)
    firsts = [from_the_first(start, rows, order, n) for n in a.first_rows]
    lines = [line_of(f"chunks, up to row {p['rows']}", p) for p in points]
    lines.append(line_of("one fit", whole))
    lines += [line_of(f"all rows, the rest from the first {p['first_rows']}", p) for p in firsts]
    text = common.table(["rows", "seconds", "NLPD", "pickle, kB"], lines)
    runs = {"chunks": points, "one fit": whole, "first rows": firsts}
    common.finish(a.json, common.interpreters([], ["skgpng"]), text, runs)


if __name__ == "__main__":
    main()
