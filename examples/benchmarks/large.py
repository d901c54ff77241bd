"""One fit of a large set at the default settings: seconds, peak memory and held-out quality.

    python examples/benchmarks/large.py kdd99_10pct [--m 200] [--split 0]
    python examples/benchmarks/large.py flights200k [--m 500] [--data-folder ../shared/data]

A classifier where y holds two labels, else a regressor. X is loaded as ``--dtype`` (float32, half
the memory of the rows) and standardised in place by the training rows. Peak memory is that of the
process: before ``fit`` TensorFlow and the rows, after it all that was ever in use. NLPD is per
test row, in units of y or nats per label; predicting is timed too.
"""

from __future__ import annotations

import argparse
import importlib
import os
import time
import warnings
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import numpy as np

DEFAULT_M = {"kdd99_10pct": 200, "flights200k": 500}
ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("data", nargs="?", default="kdd99_10pct")
ARGUMENTS.add_argument("--m", type=int, help="200 for kdd99_10pct, 500 for flights200k")
ARGUMENTS.add_argument("--split", type=int, default=0)
ARGUMENTS.add_argument("--rows", type=int, help="only so many to train on")
ARGUMENTS.add_argument("--max-iter", type=int, help="of the estimator; its default without")
ARGUMENTS.add_argument("--dtype", choices=["float32", "float64"], default="float32")
common.add_data(ARGUMENTS)
common.add_output(ARGUMENTS)


def load(a: argparse.Namespace) -> tuple[bool, tuple]:
    """Whether y holds labels; training and test rows, with one copy of X at a time."""
    sets = common.data_sets(a.data_folder)
    X, y, splits = sets.load(a.data, dtype=np.dtype(a.dtype))
    train, test = splits[a.split]
    if a.rows:
        train = np.random.RandomState(0).permutation(train)[: a.rows]
    mean, std = X[train].mean(0, dtype=float), X[train].std(0, dtype=float)
    X -= mean.astype(X.dtype)
    X /= np.where(std > 1e-10 * np.abs(mean), std, 1.0).astype(X.dtype)
    return sets.info(a.data)["task"] == "binary", (X[train], y[train], X[test], y[test])


def quality(model: Any, labels: bool, X: np.ndarray, y: np.ndarray) -> dict:
    """Held-out NLPD, and error rate or root mean squared error."""
    begin = time.perf_counter()
    if labels:
        p = model.predict_proba(X)[:, 1]
        seconds = time.perf_counter() - begin
        wrong = float(np.mean((p > 0.5) != (y == 1)))
        return {"nlpd": common.label_nlpd(y, p), "error": wrong, "predict_seconds": seconds}
    mean, std = model.predict(X, return_std=True)
    seconds = time.perf_counter() - begin
    rmse = float(np.sqrt(np.mean((mean - y) ** 2)))
    return {"nlpd": common.normal_nlpd(y, mean, std**2), "rmse": rmse, "predict_seconds": seconds}


def fit(labels: bool, X: np.ndarray, y: np.ndarray, m: int, max_iter: int | None) -> tuple:
    """A fitted estimator, and what fitting it took."""
    from skgpng import GaussianProcessClassifier, GaussianProcessRegressor

    Estimator = GaussianProcessClassifier if labels else GaussianProcessRegressor
    model = Estimator(n_inducing=m, random_state=0, **({"max_iter": max_iter} if max_iter else {}))
    before = common.peak_memory()
    begin = time.perf_counter()
    model.fit(X, y)
    return model, {
        "seconds": time.perf_counter() - begin,
        "n_iter": int(model.n_iter_),
        "converged": bool(model.converged_),
        "before": before,
        "peak": common.peak_memory(),
    }


def main() -> None:
    """One set."""
    a = ARGUMENTS.parse_args()
    warnings.simplefilter("ignore")
    importlib.import_module("tensorflow")
    m = a.m or DEFAULT_M.get(a.data, 256)
    labels, (X, y, X_test, y_test) = load(a)
    model, record = fit(labels, X, y, m, a.max_iter)
    record |= quality(model, labels, X_test, y_test)
    measure = "error" if labels else "rmse"
    header = ["set", "N, D", "M", "fit (s)", "steps", "converged", "GiB before fit", "peak GiB"]
    line = [a.data, f"{X.shape[0]}, {X.shape[1]}", str(m), common.number(record["seconds"])]
    line += [str(record["n_iter"]), "yes" if record["converged"] else "no"]
    line += [f"{record[k] / 2**30:.2f}" for k in ("before", "peak")]
    line += [f"{record['nlpd']:.4f}", common.number(record[measure]), f"{len(y_test)}"]
    line += [common.number(record["predict_seconds"], 2)]
    text = common.table([*header, "NLPD", measure, "test rows", "predict (s)"], [line])
    common.finish(a.json, common.interpreters([], ["skgpng"]), text, record)


if __name__ == "__main__":
    main()
