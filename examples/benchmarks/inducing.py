"""Time the placing of inducing points, and measure how much of the prior they leave unexplained.

    python examples/benchmarks/inducing.py [--rows 500000] [--data-folder DIR --data NAME]

For each method the seconds (repeated rows merged, then the points chosen) and the share of the
prior variance that the points leave unexplained: its mean and its largest value over 4,000 rows
drawn at random, for a Matern-5/2 with length scales of sqrt(D) standard deviations. Synthetic
rows with correlated columns; or a data set of a folder that holds a ``load.py``, as NAME.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from sklearn.gaussian_process.kernels import Matern

from skgpng import inducing, kernels

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("--rows", type=int, default=500_000)
ARGUMENTS.add_argument("--data-folder")
ARGUMENTS.add_argument("--data", default="kdd99_10pct")
ARGUMENTS.add_argument("--seed", type=int, default=0)
METHODS = ["kmeans", "greedy_variance", "random"]
SIZES = [(200, 52), (500, 52), (500, 2)]  # M and D of the synthetic rows


def synthetic(n: int, n_columns: int, seed: int) -> np.ndarray:
    """Gaussian rows with correlated columns, [N, D]."""
    rng = np.random.RandomState(seed)
    return rng.randn(n, n_columns) @ (rng.randn(n_columns, n_columns) / np.sqrt(n_columns))


def unexplained(parsed: kernels.ParsedKernel, Z: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Share of the prior variance of each row of X that is left given the function at Z, [N]."""
    Kuu, Kuf = (kernels.covariance(parsed.structure, parsed.values, Z, X2).numpy() for X2 in (Z, X))
    Luu = cholesky(Kuu + 1e-6 * np.eye(len(Z)), lower=True)
    return 1.0 - np.sum(solve_triangular(Luu, Kuf, lower=True) ** 2, axis=0)


def compare(name: str, X: np.ndarray, n_inducing: int, seed: int) -> None:
    """Print one line for each method."""
    n, n_columns = X.shape
    ones = np.ones(n)
    begin = time.perf_counter()
    scale = inducing.column_spread(X, ones)
    spread_seconds = time.perf_counter() - begin
    parsed = kernels.parse(Matern(scale * np.sqrt(n_columns), nu=2.5))
    test = X[np.random.RandomState(seed + 1).choice(n, 4000)]
    print(f"{name}: standard deviations of the columns in {spread_seconds:.2f} s")
    for method in METHODS:
        rng = np.random.RandomState(seed)
        begin = time.perf_counter()
        rows, weights = inducing.distinct_rows(X, ones)
        middle = time.perf_counter()
        Z = inducing.select(method, rows, n_inducing, rng, weights, parsed.structure, parsed.values)
        end = time.perf_counter()
        left = unexplained(parsed, Z, test)
        print(
            f"{method:16} {n:7} {n_inducing:4} {n_columns:3} {middle - begin:9.2f} "
            f"{end - middle:7.2f} {left.mean():9.2g} {left.max():8.2g}",
            flush=True,
        )


def main() -> None:
    """Print one line for each data set, number of points and method."""
    a = ARGUMENTS.parse_args()
    importlib.import_module("tensorflow")
    print(
        f"{'method':16} {'N':>7} {'M':>4} {'D':>3} {'merge (s)':>9} {'choose':>7} "
        f"{'mean left':>9} {'largest':>8}"
    )
    if a.data_folder:
        sys.path.insert(0, a.data_folder)
        X = importlib.import_module("load").load(a.data)[0]
        for n_inducing in (200, 500):
            compare(a.data, X, n_inducing, a.seed)
        return
    for n_inducing, n_columns in SIZES:
        compare("synthetic", synthetic(a.rows, n_columns, a.seed), n_inducing, a.seed)


if __name__ == "__main__":
    main()
