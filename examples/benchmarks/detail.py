"""Predictions from neighbours beside inducing points, boosted trees and Vecchia's approximation.

    python examples/benchmarks/detail.py [SETS ...] [--splits 1] [--repeats 3] [--limit 600]
        [--python gpboost=PYTHON] [--data-folder ../shared/data]

"skgpng" is the default: above 1000 rows neighbours and a local scale. "one scale" has the
neighbours with ``local_scale=False``, "M=256" as many inducing points in their place. Boosted
trees are scikit-learn's ``HistGradientBoostingRegressor`` at its defaults, which has no
distribution of y. GPBoost is a ``GPModel`` with Vecchia's approximation from 20 neighbours (its
default for predictions is twice as many), an ARD Matern-5/2 and Gaussian noise. All get the same
rows, X and y standardised by those trained on, and fixed seeds.

Each fit is a process of its own, one estimator after the other, on splits 0, 1, ... of the set.
Seconds count from handing over the arrays: importing is not in, tracing and compiling are in the
time of the fit, finding neighbours in that of the fit or of the prediction, where it is done. Test
rows are predicted once, all together, with the variance where there is one. Seconds are medians
over splits and repeats; those of predictions are for 1000 rows. Whoever has not fitted and
predicted after ``--limit`` seconds is ended.

NLPD and RMSE are in units of the standard deviation of y, "in 90%" is the share of test rows within
the central 90 per cent interval; all three are means over the splits.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import itertools
import os
import statistics
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import numpy as np

common.LIBRARIES["gpboost"] = ("gpboost", ["gpboost"])  # no other benchmark has it
SETS = ["airfoil", "wine_red", "power", "kin8nm", "wine_white", "abalone", "california"]
SETS += ["elevators", "protein", "kin40k", "pumadyn32nm"]
ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("sets", nargs="*", metavar="SETS", help=", ".join(SETS))
ARGUMENTS.add_argument("--splits", type=int, default=1)
ARGUMENTS.add_argument("--limit", type=float, default=600.0, help="seconds of fit and prediction")
ARGUMENTS.add_argument("--estimator", help=argparse.SUPPRESS)
ARGUMENTS.add_argument("--one", nargs=2, metavar=("SET", "SPLIT"), help=argparse.SUPPRESS)
common.add_data(ARGUMENTS)
common.add_peers(ARGUMENTS)
common.add_output(ARGUMENTS)
NORMAL_95 = statistics.NormalDist().inv_cdf(0.95)


# --- the estimators --------------------------------------------------------------------------


def fit_skgpng(X: np.ndarray, y: np.ndarray, **settings: Any) -> Callable:
    """Train; gives the function that predicts mean and standard deviation of y."""
    from skgpng import GaussianProcessRegressor

    model = GaussianProcessRegressor(random_state=0, **settings).fit(X, y)
    return functools.partial(model.predict, return_std=True)


def fit_trees(X: np.ndarray, y: np.ndarray) -> Callable:
    """The same, of a mean alone."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    model = HistGradientBoostingRegressor(random_state=0).fit(X, y)
    return lambda X: (model.predict(X), None)


def fit_gpboost(X: np.ndarray, y: np.ndarray) -> Callable:
    """The same, of GPBoost, whose predictions are those of y unless told otherwise."""
    import gpboost

    matern = {"cov_function": "matern_ard", "cov_fct_shape": 2.5}
    near = {"gp_approx": "vecchia", "num_neighbors": 20}
    model = gpboost.GPModel(gp_coords=X, likelihood="gaussian", seed=0, **matern, **near)
    model.fit(y=y)

    def predict(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = model.predict(gp_coords_pred=X, predict_var=True)
        return found["mu"], np.sqrt(found["var"])

    return predict


class Estimator(NamedTuple):
    """Where it comes from, what is imported before the clock starts, and what is timed."""

    library: str
    modules: tuple[str, ...]
    fit: Callable


def of_skgpng(**settings: Any) -> Estimator:
    """With settings other than the defaults."""
    return Estimator("skgpng", ("tensorflow", "skgpng"), functools.partial(fit_skgpng, **settings))


ESTIMATORS = {
    "skgpng": of_skgpng(),
    "skgpng, one scale": of_skgpng(local_scale=False),
    "skgpng, M=256": of_skgpng(n_inducing=256, n_neighbors=None),
    "boosted trees": Estimator("scikit-learn", ("sklearn.ensemble",), fit_trees),
    "GPBoost": Estimator("gpboost", ("gpboost",), fit_gpboost),
}


# --- one fit, in a process of its own --------------------------------------------------------


def quality(y: np.ndarray, mean: np.ndarray, std: np.ndarray | None) -> dict:
    """Of predictions of test rows; without ``std`` only how far the mean is off."""
    rmse = {"rmse": float(np.sqrt(np.mean((mean - y) ** 2)))}
    if std is None:
        return rmse
    inside = float(np.mean(np.abs(y - mean) <= NORMAL_95 * std))
    return {**rmse, "nlpd": common.normal_nlpd(y, mean, std**2), "inside": inside}


def end() -> None:
    """Leave at the limit, in the middle of whatever runs."""
    common.put(over=True)
    os._exit(0)


def measure(fit: Callable, rows: common.Rows, limit: float) -> None:
    """Print seconds and quality, or that the limit was passed."""
    clock = threading.Timer(limit, end)
    clock.daemon = True  # an error ends the process at once
    clock.start()
    begin = time.perf_counter()
    predict = fit(rows.X, rows.y)
    fitted = time.perf_counter()
    predicted = predict(rows.X_test)
    seconds = time.perf_counter() - fitted
    clock.cancel()
    each = 1000 * seconds / len(rows.y_test)
    common.put(fit=fitted - begin, predict=each, **quality(rows.y_test, *predicted))


def work(a: argparse.Namespace) -> None:
    """Be the process of one estimator, set and split."""
    warnings.simplefilter("ignore")
    estimator, (name, split) = ESTIMATORS[a.estimator], a.one
    for module in estimator.modules:
        importlib.import_module(module)
    _, rows = common.load(a.data_folder, name, int(split))
    measure(estimator.fit, rows, a.limit)


# --- all of them -----------------------------------------------------------------------------


def run(name: str, libraries: dict[str, str], a: argparse.Namespace) -> dict[str, list]:
    """What each estimator printed of one set; an empty dictionary where it failed."""
    n_splits = min(a.splits, len(common.data_sets(a.data_folder).load(name)[2]))
    there = {label: e.library for label, e in ESTIMATORS.items() if e.library in libraries}
    runs: dict[str, list] = {label: [] for label in there}
    for _, split in itertools.product(range(a.repeats), range(n_splits)):
        for label, library in there.items():
            more = ("--estimator", label, "--one", name, str(split))
            runs[label] += common.call(__file__, libraries[library], library, *more) or [{}]
            print(name, split, label, runs[label][-1], flush=True)
    return runs


def seconds_of(runs: list[dict], limit: float) -> str:
    """Median of the fits; those that were ended took longer than all others."""
    if not all(runs):
        return "failed"
    middle = statistics.median(r.get("fit", np.inf) for r in runs)
    return common.number(middle) if np.isfinite(middle) else f"more than {limit:g}"


def line_of(name: str, shape: str, label: str, runs: list[dict], limit: float) -> list[str]:
    """One line of the table; no mean of a figure that not all runs have."""
    predict = statistics.median(r.get("predict", np.inf) for r in runs)
    nlpd, rmse, inside = (
        float(np.mean([r.get(key, np.nan) for r in runs])) for key in ("nlpd", "rmse", "inside")
    )
    figures = [f"{v:.4f}" if np.isfinite(v) else "-" for v in (nlpd, rmse)]
    share = f"{100 * inside:.1f}%" if np.isfinite(inside) else "-"
    return [name, shape, label, seconds_of(runs, limit), common.number(predict), *figures, share]


def main() -> None:
    """Every set, or one fit."""
    a = ARGUMENTS.parse_args()
    if a.worker:
        return work(a)
    libraries = common.interpreters(a.python, ["skgpng", "scikit-learn", "gpboost"])
    sets, every, lines = common.data_sets(a.data_folder), {}, []
    for name in a.sets or SETS:
        shape = "{n}, {d}".format(**sets.info(name))
        every[name] = run(name, libraries, a)
        lines += [line_of(name, shape, label, r, a.limit) for label, r in every[name].items()]
    header = ["set", "N, D", "estimator", "fit (s)", "1000 rows (s)", "NLPD", "RMSE", "in 90%"]
    common.finish(a.json, libraries, common.table(header, lines), every)


if __name__ == "__main__":
    main()
