"""Draw the picture of the front page: one set of real data, scikit-learn's model and skgpng's.

    python examples/benchmarks/front_page.py [--save docs/_static/why.png]

The head of a motorcyclist after a crash (Silverman 1985): noise is small before the impact and
large after it. Both models begin with the same kernel; in the titles is their held-out NLPD by
tenfold cross-validation, in units of y. Printed is the share of held-out rows within the 95% band,
too.
"""

from __future__ import annotations

import argparse
import os
import warnings
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from sklearn import gaussian_process as sklearn_gp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import Matern, WhiteKernel
from sklearn.model_selection import KFold

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("--save", type=Path, default=Path("why.png"))
DATA = Path(__file__).resolve().parents[1] / "data" / "mcycle.csv"
GRID = np.linspace(0.0, 60.0, 400)[:, None]


def models() -> dict[str, Any]:
    """One for each panel."""
    from skgpng import GaussianProcessRegressor

    kernel = 1.0 * Matern(10.0, nu=2.5)
    theirs = sklearn_gp.GaussianProcessRegressor(
        kernel + WhiteKernel(0.1), normalize_y=True, n_restarts_optimizer=3, random_state=0
    )
    ours = GaussianProcessRegressor(kernel, likelihood="heteroscedastic", random_state=0)
    return {"scikit-learn": theirs, 'skgpng, likelihood="heteroscedastic"': ours}


def band(model: Any, X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, and the central 95% of an observation."""
    mean, std = model.predict(X, return_std=True)
    if hasattr(model, "predict_quantiles"):
        return mean, *model.predict_quantiles(X, [0.025, 0.975]).T
    return mean, mean - 1.96 * std, mean + 1.96 * std


def log_density(model: Any, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Log density of each y."""
    if hasattr(model, "log_predictive_density"):
        return model.log_predictive_density(X, y)
    mean, std = model.predict(X, return_std=True)
    return -0.5 * np.log(2.0 * np.pi * std**2) - 0.5 * ((y - mean) / std) ** 2


def held_out(model: Any, X: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """NLPD and coverage of the 95% band of rows that were not trained on."""
    densities, inside = [], []
    for train, test in KFold(10, shuffle=True, random_state=0).split(X):
        fitted = clone(model).fit(X[train], y[train])
        _, low, high = band(fitted, X[test])
        densities.append(log_density(fitted, X[test], y[test]))
        inside.append((low <= y[test]) & (y[test] <= high))
    return -float(np.concatenate(densities).mean()), float(np.concatenate(inside).mean())


def main() -> None:
    """Fit, measure, draw."""
    a = ARGUMENTS.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    times, y = np.loadtxt(DATA, delimiter=",", skiprows=1, usecols=(0, 1)).T
    X = times[:, None]
    figure, axes = plt.subplots(1, 2, figsize=(10.0, 3.8), sharey=True, layout="constrained")
    for axis, (name, model) in zip(axes, models().items()):
        nlpd, inside = held_out(model, X, y)
        print(f"{name}: NLPD {nlpd:.3f}, {inside:.1%} within the 95% band")
        mean, low, high = band(clone(model).fit(X, y), GRID)
        axis.fill_between(GRID[:, 0], low, high, color="#c9dcf0", label="95% of observations")
        axis.plot(GRID[:, 0], mean, color="#1f5fa8", lw=2.0, label="mean")
        axis.plot(X[:, 0], y, ".", color="#d1495b", ms=5, label="data")
        axis.set(title=f"{name}\nheld-out NLPD {nlpd:.2f}", xlabel="ms after the impact")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set(ylabel="acceleration, g")
    axes[0].legend(frameon=False, loc="lower right")
    figure.savefig(a.save, dpi=110)


if __name__ == "__main__":
    main()
