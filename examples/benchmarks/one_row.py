"""One row at a time, as optimisers ask: time of a prediction beside scikit-learn's.

    python examples/benchmarks/one_row.py

Medians over many calls, the two in turn, in milliseconds. Beside inducing points stands an exact
model of scikit-learn's with as many rows.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
from sklearn.gaussian_process import GaussianProcessClassifier as TheirClassifier
from sklearn.gaussian_process import GaussianProcessRegressor as Theirs
from sklearn.gaussian_process.kernels import Matern, WhiteKernel

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor


def medians(calls: list, n: int) -> list[float]:
    """Milliseconds of each call, asked in turn so that all see the same machine."""
    times = np.empty((n, len(calls)))
    for call in calls:
        call()  # compiles, and fills what is kept
    for k in range(n):
        for j, call in enumerate(calls):
            begin = time.perf_counter()
            call()
            times[k, j] = time.perf_counter() - begin
    return [*(1e3 * np.median(times, 0))]


def data(n_rows: int, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.RandomState(0)
    X = rng.uniform(-2.0, 2.0, (n_rows, n_features))
    return X, np.sin(X.sum(1)) + 0.1 * rng.randn(n_rows)


def regressions() -> list[tuple]:
    """Name, our model, scikit-learn's, rows to predict from."""
    found = []
    for n_features in (2, 4, 8):
        kernel = 1.0 * Matern(np.ones(n_features), nu=2.5) + WhiteKernel(0.01)
        X, y = data(200, n_features)
        theirs = Theirs(kernel, normalize_y=True).fit(X, y)
        ours = GaussianProcessRegressor(kernel).fit(X, y)
        found.append((f"exact, 200 rows, {n_features} columns", ours, theirs, X))
    many, y = data(1500, 4)
    kernel = 1.0 * Matern(np.ones(4), nu=2.5) + WhiteKernel(0.01)
    theirs = Theirs(kernel, normalize_y=True).fit(many[:256], y[:256])
    ours = GaussianProcessRegressor(kernel, n_inducing=256, max_iter=30).fit(many, y)
    found.append(("256 inducing points, 4 columns", ours, theirs, many))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=500)
    n = parser.parse_args().calls
    print("| model | rows | ours, mean | scikit-learn | ours, mean and std | scikit-learn |")
    print("|---|---|---|---|---|---|")
    for name, ours, theirs, X in regressions():
        for rows in (1, 10):
            asked = [
                lambda m=m, s=s, x=X[:rows]: m.predict(x, return_std=s)
                for s in (False, True)
                for m in (ours, theirs)
            ]
            cells = " | ".join(f"{t:.3f}" for t in medians(asked, n))
            print(f"| {name} | {rows} | {cells} |", flush=True)
    X, y = data(200, 4)
    kernel = 4.0 * Matern(np.ones(4), nu=2.5)
    both = [m(kernel).fit(X, y > 0.0) for m in (GaussianProcessClassifier, TheirClassifier)]
    ours, theirs = medians([lambda m=m: m.predict_proba(X[:1]) for m in both], n)
    print(f"\npredict_proba of one row, 200 rows of 2 classes: {ours:.3f}, {theirs:.3f}")


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
