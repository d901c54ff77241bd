"""Held-out quality at the default settings on published sets and splits, beside published figures.

    python examples/benchmarks/quality.py [SETS ...] [--splits 10] [--m 100]
        [--data-folder ../shared/data]

Splits and scaling are those of bayesian_benchmarks (github.com/hughsalimbeni): 90 per cent of the
rows to train on, X and y standardised by the whole set. Figures are mean (standard deviation)
over the splits of the test log likelihood per row, in units of y; three splits of protein. The
published columns are its models with M=100 and one RBF length scale: SGPR trained with L-BFGS;
SVGP with natural gradients of 0.1 and Adam 0.01, 10,000 steps on minibatches of 1,000.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import time
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import numpy as np

# Test log likelihood, mean and standard deviation over ten splits: SGPR, SVGP.
PUBLISHED = {
    "boston": ((-2.398, 0.064), (-2.408, 0.059)),
    "concrete": ((-3.168, 0.054), (-3.174, 0.053)),
    "power": ((-2.799, 0.036), (-2.807, 0.035)),
    "wine_red": ((-0.949, 0.065), (-0.955, 0.069)),
    "wine_white": ((-1.045, 0.027), (-1.048, 0.024)),
    "protein": ((-2.901, 0.008), (-2.923, 0.008)),
}
MOST_SPLITS = {"protein": 3}
ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("sets", nargs="*", metavar="SETS", help=", ".join(PUBLISHED))
ARGUMENTS.add_argument("--splits", type=int, default=10)
ARGUMENTS.add_argument("--m", type=int, default=100)
common.add_data(ARGUMENTS)
common.add_output(ARGUMENTS)


def fit(X: np.ndarray, y: np.ndarray, scale: float, rows: tuple, m: int) -> dict:
    """Train on one split of scaled rows."""
    from skgpng import GaussianProcessRegressor

    train, test = rows
    begin = time.perf_counter()
    model = GaussianProcessRegressor(n_inducing=m, random_state=0).fit(X[train], y[train])
    seconds = time.perf_counter() - begin
    density = model.log_predictive_density(X[test], y[test])
    wrong = scale * (model.predict(X[test]) - y[test])
    return {
        "log_likelihood": float(np.mean(density) - np.log(scale)),
        "rmse": float(np.sqrt(np.mean(wrong**2))),
        "seconds": seconds,
        "n_iter": int(model.n_iter_),
        "converged": bool(model.converged_),
    }


def run(name: str, a: argparse.Namespace) -> tuple[tuple[int, int], list[dict]]:
    """All splits of a set."""
    sets, runs = common.data_sets(a.data_folder), []
    X, y, _ = sets.load(name)
    y, everything = y.astype(float), np.arange(len(y))
    X, y, _, _, _, scale = sets.standardize(X, y, everything, everything)
    for split in range(min(a.splits, MOST_SPLITS.get(name, a.splits))):
        runs.append(fit(X, y, scale, sets.bb_split(len(X), split), a.m))
        print(name, split, runs[-1], flush=True)
    return X.shape, runs


def mean_std(values: tuple[float, float] | list[float]) -> str:
    """Mean (standard deviation)."""
    return f"{values[0]:.3f} ({values[1]:.3f})"


def line_of(name: str, shape: tuple, runs: list[dict]) -> list[str]:
    """One line of the table."""
    ours = [r["log_likelihood"] for r in runs]
    return [
        name,
        f"{shape[0]}, {shape[1]}",
        str(len(runs)),
        mean_std((np.mean(ours), np.std(ours))),
        *map(mean_std, PUBLISHED[name]),
        f"{np.mean(ours) - PUBLISHED[name][0][0]:+.3f}",
        common.spread([r["seconds"] for r in runs], 2),
        f"{sum(r['converged'] for r in runs)}",
    ]


def mean_line(runs: dict[str, list]) -> list[str]:
    """The means over the sets."""
    ours = np.mean([np.mean([r["log_likelihood"] for r in rounds]) for rounds in runs.values()])
    theirs = [np.mean([PUBLISHED[name][k][0] for name in runs]) for k in (0, 1)]
    seconds = statistics.mean(statistics.median(r["seconds"] for r in k) for k in runs.values())
    figures = [f"{v:.3f}" for v in (ours, *theirs)]
    return ["mean", "", "", *figures, f"{ours - theirs[0]:+.3f}", common.number(seconds, 2), ""]


def main() -> None:
    """Every set."""
    a = ARGUMENTS.parse_args()
    if unknown := set(a.sets) - set(PUBLISHED):
        ARGUMENTS.error(f"no published figures for {sorted(unknown)}")
    warnings.simplefilter("ignore")
    importlib.import_module("tensorflow")
    every, lines = {}, []
    for name in a.sets or PUBLISHED:
        shape, every[name] = run(name, a)
        lines.append(line_of(name, shape, every[name]))
    header = ["set", "N, D", "splits", "skgpng", "SGPR", "SVGP", "less SGPR", "seconds a fit"]
    text = common.table([*header, "converged"], [*lines, mean_line(every)])
    common.finish(a.json, common.interpreters([], ["skgpng"]), text, every)


if __name__ == "__main__":
    main()
