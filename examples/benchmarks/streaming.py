"""Learn a data set in chunks with ``partial_fit``, beside one ``fit`` on all rows.

    python examples/benchmarks/streaming.py DATA --data-folder ../shared/data [--chunks N] [--m M]

Prints the held-out negative log predictive density in units of the original target (regression),
or nats per label, as the rows come in; the size of the pickled model, which does not grow with
the stream; and what hyperparameters and inducing points from the first rows alone would give.
"""

from __future__ import annotations

import argparse
import importlib.util
import pickle
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
from skgpng.metrics import log_density_scorer

ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("data")
ARGUMENTS.add_argument("--data-folder", type=Path, required=True)
ARGUMENTS.add_argument("--split", type=int, default=0)
ARGUMENTS.add_argument("--chunks", type=int, default=20)
ARGUMENTS.add_argument("--m", type=int, default=256)
ARGUMENTS.add_argument("--first-rows", type=int, nargs="*", default=[])


def load(folder: Path, name: str, split: int) -> tuple:
    """Standardised training and test rows, and what to subtract for densities in units of y."""
    spec = importlib.util.spec_from_file_location("load", folder / "load.py")
    sets = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sets)
    X, y, splits = sets.load(name)
    regression = sets.info(name)["task"] == "regression"
    *rows, _, scale = sets.standardize(X, y, *splits[split], scale_y=regression)
    return regression, rows, np.log(scale) if regression else 0.0


def nlpd(model, X, y, log_scale: float) -> float:
    """Mean negative log predictive density of held-out rows."""
    return log_scale - log_density_scorer(model, X, y)


def main() -> None:
    """Print the table."""
    a = ARGUMENTS.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    regression, (X, y, X_test, y_test), log_scale = load(a.data_folder, a.data, a.split)
    estimator = GaussianProcessRegressor if regression else GaussianProcessClassifier
    start = estimator(n_inducing=a.m, random_state=0)
    order = np.random.RandomState(0).permutation(len(X))
    model, classes = clone(start), {} if regression else {"classes": np.unique(y)}

    print(f"{'rows':>8} {'seconds':>8} {'NLPD':>9} {'pickle, kB':>11}")
    seconds, seen = 0.0, 0
    for rows in np.array_split(order, a.chunks):
        begin = time.perf_counter()
        model.partial_fit(X[rows], y[rows], **classes)
        seconds, seen = seconds + time.perf_counter() - begin, seen + len(rows)
        size = len(pickle.dumps(model)) / 1000
        print(
            f"{seen:8d} {seconds:8.1f} {nlpd(model, X_test, y_test, log_scale):9.4f} {size:11.0f}"
        )

    begin = time.perf_counter()
    whole = clone(start).fit(X, y)
    seconds = time.perf_counter() - begin
    print(f"one fit  {seconds:8.1f} {nlpd(whole, X_test, y_test, log_scale):9.4f}")
    for n in a.first_rows:
        first = clone(start).set_params(warm_start=True).fit(X[order[:n]], y[order[:n]])
        first.set_params(optimizer=None).fit(X, y)
        score = nlpd(first, X_test, y_test, log_scale)
        print(f"all rows, hyperparameters and inducing points from the first {n}: {score:.4f}")


if __name__ == "__main__":
    main()
