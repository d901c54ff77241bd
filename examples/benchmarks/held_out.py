"""Fit a skgpng estimator on a data set and print its held-out quality, one JSON line each.

    python held_out.py DATA [--split 0] [--inducing M] [--steps 1000 ...] [--data-folder FOLDER]

FOLDER holds a module ``load.py`` with ``load``, ``info`` and ``standardize`` (the benchmark sets
that this project is developed with; they are not part of it). Rows are standardised with the
training statistics; y is handed over as it is. Each number of ``--steps`` is a fit of its own
from the start, so that the lines give quality against seconds. ``seconds`` counts the whole of
``fit``; importing TensorFlow and compiling the loop are printed apart, as ``first_fit_seconds``
of a fit of two steps. NLPD is per test row, in units of y (regression) or nats per label.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor

parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("--split", type=int, default=0)
parser.add_argument("--inducing", type=int)
parser.add_argument("--steps", type=int, nargs="+", default=[1000])
parser.add_argument("--data-folder", default="../shared/data")
a = parser.parse_args()
sys.path.insert(0, a.data_folder)
import load as data_sets  # noqa: E402

warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is the point here
X, y, splits = data_sets.load(a.data)
binary = data_sets.info(a.data)["task"] == "binary"
X, _, X_test, _, _, _ = data_sets.standardize(X, y, *splits[a.split], scale_y=False)
y, y_test = y[splits[a.split][0]], y[splits[a.split][1]]
Estimator = GaussianProcessClassifier if binary else GaussianProcessRegressor


def fit(steps):
    """A fitted estimator and the seconds it took."""
    model = Estimator(n_inducing=a.inducing or "auto", max_iter=steps, tol=1e-4, random_state=0)
    begin = time.perf_counter()
    return model.fit(X, y), time.perf_counter() - begin


def quality(model):
    """Held-out NLPD, and error rate or root mean squared error."""
    if binary:
        p = model.predict_proba(X_test)
        own = p[np.arange(len(y_test)), np.searchsorted(model.classes_, y_test)]
        return {
            "nlpd": float(-np.log(own).mean()),
            "error": float((model.predict(X_test) != y_test).mean()),
        }
    return {
        "nlpd": float(-model.log_predictive_density(X_test, y_test).mean()),
        "rmse": float(np.sqrt(np.mean((model.predict(X_test) - y_test) ** 2))),
    }


_, first = fit(2)
for steps in a.steps:
    model, seconds = fit(steps)
    row = {"data": a.data, "split": a.split, "inducing": a.inducing, "steps": model.n_iter_}
    row |= {"converged": model.converged_, "seconds": round(seconds, 3)}
    print(json.dumps(row | quality(model) | {"first_fit_seconds": round(first, 2)}), flush=True)
