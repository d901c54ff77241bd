"""Defaults on columns as they come beside the same columns scaled by hand.

    python examples/benchmarks/raw_columns.py [SETS ...] [--data-folder ../shared/data]

Both lines of a set are one training at the default settings on the first published split. X is
handed over as it is stored, or standardised by the rows trained on; y is never scaled by hand.
NLPD is per test row, in units of y (regression) or in nats per label.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import numpy as np

ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("sets", nargs="*", metavar="SETS", default=["elevators", "adult"])
common.add_data(ARGUMENTS)
common.add_output(ARGUMENTS)


def fit(X: np.ndarray, y: np.ndarray, X_test: np.ndarray, y_test: np.ndarray, labels: bool) -> dict:
    """Train at the defaults, and the held-out figure."""
    from skgpng import GaussianProcessClassifier, GaussianProcessRegressor

    Estimator = GaussianProcessClassifier if labels else GaussianProcessRegressor
    begin = time.perf_counter()
    model = Estimator(random_state=0).fit(X, y)
    seconds = time.perf_counter() - begin
    if labels:
        nlpd = common.label_nlpd(y_test, model.predict_proba(X_test)[:, 1])
    else:
        nlpd = -float(np.mean(model.log_predictive_density(X_test, y_test)))
    return {"nlpd": nlpd, "seconds": seconds, "converged": bool(model.converged_)}


def run(name: str, folder: Path) -> list[dict]:
    """Raw and scaled columns of one set."""
    sets = common.data_sets(folder)
    X, y, splits = sets.load(name)
    train, test = splits[0]
    labels = sets.info(name)["task"] == "binary"
    scaled = sets.standardize(X, y, train, test, scale_y=False)
    runs = []
    for kind, rows in (
        ("as they come", (X[train], y[train], X[test], y[test])),
        ("scaled", scaled[:4]),
    ):
        runs.append({"columns": kind, **fit(*rows, labels)})
        print(name, runs[-1], flush=True)
    return runs


def main() -> None:
    """Every set."""
    a = ARGUMENTS.parse_args()
    warnings.simplefilter("ignore")
    every = {name: run(name, a.data_folder) for name in a.sets}
    lines = [
        [name, run["columns"], f"{run['nlpd']:.4f}", common.number(run["seconds"], 2)]
        for name, runs in every.items()
        for run in runs
    ]
    text = common.table(["set", "columns", "NLPD", "seconds"], lines)
    common.finish(a.json, common.interpreters([], ["skgpng"]), text, every)


if __name__ == "__main__":
    main()
