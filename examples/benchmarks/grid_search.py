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

import numpy as np
import sklearn.gaussian_process
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import ConstantKernel, Matern
from sklearn.model_selection import GridSearchCV

import skgpng
from skgpng import training

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("--rows", type=int, default=500)
ARGUMENTS.add_argument("--columns", type=int, default=8)
ARGUMENTS.add_argument("--seed", type=int, default=0)


def rows(n: int, n_columns: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A smooth function of three columns, noise with a standard deviation of a fifth of it."""
    rng = np.random.RandomState(seed)
    X = rng.randn(n, n_columns)
    f = np.sin(2.0 * X[:, 0]) + X[:, 1] * X[:, 2]
    y = f + 0.2 * f.std() * rng.randn(n)
    return X, (y - y.mean()) / y.std()


def main() -> None:
    """Print one line for each kernel and library."""
    a = ARGUMENTS.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    begin = time.perf_counter()
    importlib.import_module("tensorflow")
    print(f"importing TensorFlow: {time.perf_counter() - begin:.1f} s")
    X, y = rows(a.rows, a.columns, a.seed)
    kernels = {"one length scale": 1.0, "one per column": np.ones(a.columns)}
    print(f"{'kernel':18} {'library':14} {'seconds':>8} {'best R2':>8}  compiled")
    for name, scale in kernels.items():
        grid = {
            "kernel__k2__length_scale": [0.5 * scale, scale, 2.0 * scale],
            "alpha": [0.02, 0.04, 0.08],
        }
        for library in (skgpng, sklearn.gaussian_process):
            estimator = library.GaussianProcessRegressor(ConstantKernel() * Matern(scale, nu=2.5))
            before = training.n_compiled()
            begin = time.perf_counter()
            search = GridSearchCV(estimator, grid, cv=5).fit(X, y)
            seconds = time.perf_counter() - begin
            compiled = training.n_compiled() - before if library is skgpng else "-"
            print(
                f"{name:18} {library.__name__.split('.')[0]:14} {seconds:8.1f} "
                f"{search.best_score_:8.4f}  {compiled}",
                flush=True,
            )


if __name__ == "__main__":
    main()
