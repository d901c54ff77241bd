"""Time a 3 x 3 grid search of five folds beside scikit-learn's regressor, in one process.

    python examples/benchmarks/grid_search.py [--rows 500] [--columns 8] [--seed 0]

The same rows, kernel and grid (three start length scales, three fixed noise variances) for both.
TensorFlow is imported before the clock starts, and its import timed by itself. Prints how often
skgpng compiled its training loop: once, as the grid varies numbers only.
"""

from __future__ import annotations

import argparse
import importlib
import os
import time
import warnings
from typing import Any

import _common as common
import numpy as np
import sklearn.gaussian_process
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import ConstantKernel, Matern
from sklearn.model_selection import GridSearchCV

import skgpng
from skgpng._training import stages

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("--rows", type=int, default=500)
ARGUMENTS.add_argument("--columns", type=int, default=8)
ARGUMENTS.add_argument("--seed", type=int, default=0)
common.add_output(ARGUMENTS)


def rows(n: int, n_columns: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A smooth function of three columns, noise with a standard deviation of a fifth of it."""
    rng = np.random.RandomState(seed)
    X = rng.randn(n, n_columns)
    f = np.sin(2.0 * X[:, 0]) + X[:, 1] * X[:, 2]
    y = f + 0.2 * f.std() * rng.randn(n)
    return X, (y - y.mean()) / y.std()


def search(library: Any, kernel: Any, grid: dict, X: np.ndarray, y: np.ndarray) -> dict:
    """A grid search with the regressor of one library."""
    before = stages.n_compiled()
    begin = time.perf_counter()
    found = GridSearchCV(library.GaussianProcessRegressor(kernel), grid, cv=5).fit(X, y)
    seconds = time.perf_counter() - begin
    compiled = stages.n_compiled() - before
    return {"seconds": seconds, "score": float(found.best_score_), "compiled": compiled}


def main() -> None:
    """Print one line for each kernel and library."""
    a = ARGUMENTS.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    begin = time.perf_counter()
    importlib.import_module("tensorflow")
    print(f"importing TensorFlow: {time.perf_counter() - begin:.1f} s")
    X, y = rows(a.rows, a.columns, a.seed)
    libraries = {"skgpng": skgpng, "scikit-learn": sklearn.gaussian_process}
    lines, runs = [], []
    for form, scale in {"one length scale": 1.0, "one per column": np.ones(a.columns)}.items():
        grid = {
            "kernel__k2__length_scale": [0.5 * scale, scale, 2.0 * scale],
            "alpha": [0.02, 0.04, 0.08],
        }
        for name, library in libraries.items():
            run = search(library, ConstantKernel() * Matern(scale, nu=2.5), grid, X, y)
            print(form, name, run, flush=True)
            runs.append({"kernel": form, "library": name, **run})
            compiled = str(run["compiled"]) if library is skgpng else "-"
            seconds = common.number(run["seconds"])
            lines.append([form, name, seconds, f"{run['score']:.4f}", compiled])
    text = common.table(["kernel", "library", "seconds", "best R2", "compiled"], lines)
    common.finish(a.json, common.interpreters([], list(libraries)), text, runs)


if __name__ == "__main__":
    main()
