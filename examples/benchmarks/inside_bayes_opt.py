"""Thirty calls of Branin's function by bayesian-optimization, with our class and scikit-learn's.

    pip install ".[clients]" && python examples/benchmarks/inside_bayes_opt.py

Both in turn, with the same seeds, in a process that has imported and compiled before: medians of
seconds, and how far above the least value the best call ends. The first setting is the program's
own kernel and five restarts. The second is a kernel with a factor and a length scale a column, the
third the same set on the regressor itself, where it is not wrapped.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
from bayes_opt import BayesianOptimization, acquisition, bayesian_optimization
from sklearn.gaussian_process import GaussianProcessRegressor as Theirs
from sklearn.gaussian_process.kernels import Matern

from skgpng import GaussianProcessRegressor as Ours

LEAST = 10.0 / (8.0 * np.pi)
BOUNDS = {"x": (-5.0, 10.0), "y": (0.0, 15.0)}


def minus_branin(x: float, y: float) -> float:
    bowl = y - 5.1 / (4.0 * np.pi**2) * x**2 + 5.0 / np.pi * x - 6.0
    return -(bowl**2 + 10.0 * (1.0 - 1.0 / (8.0 * np.pi)) * np.cos(x) + 10.0)


def run(regressor: type, setting: str, seed: int) -> tuple[float, float]:
    """Seconds, and how far above the least value."""
    bayesian_optimization.GaussianProcessRegressor = regressor
    optimizer = BayesianOptimization(
        minus_branin,
        BOUNDS,
        acquisition_function=acquisition.ExpectedImprovement(xi=0.0),
        random_state=seed,
        verbose=0,
    )
    kernel = 1.0 * Matern([3.0, 3.0], nu=2.5)
    if setting == "kernel given":
        optimizer.set_gp_params(kernel=kernel, n_restarts_optimizer=0)
    elif setting == "kernel not wrapped":
        optimizer._gp.set_params(kernel=kernel, n_restarts_optimizer=0)
    begin = time.perf_counter()
    optimizer.maximize(init_points=5, n_iter=25)
    return time.perf_counter() - begin, -optimizer.max["target"] - LEAST


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    warnings.simplefilter("ignore")  # what each class says of its fits
    print("| setting | skgpng, s | scikit-learn, s | skgpng, above | scikit-learn, above |")
    print("|---|---|---|---|---|")
    for setting in ("as it comes", "kernel given", "kernel not wrapped"):
        run(Ours, setting, 99)
        both = np.array([[run(c, setting, s) for c in (Ours, Theirs)] for s in seeds])
        seconds, above = np.median(both, 0).T
        figures = [*(f"{s:.2f}" for s in seconds), *(f"{a:.4f}" for a in above)]
        print("|", setting, "|", " | ".join(figures), "|", flush=True)


if __name__ == "__main__":
    main()
