"""
Optimise a function in few calls
================================

Each call of the function may be an experiment, or the training of a network: it is the calls that
cost. A Gaussian process learns from those made so far what to expect of every other one, and how
surely; *expected improvement* asks next where most is to be gained (Jones, Schonlau & Welch 1998).
One learns to write the loop, in a dozen lines, and sees where it asks. Branin's function has three
equal minima, of 0.398; after 30 calls the best is 0.0004 above, and of 30 random points 1.2.

Run it with ``python examples/bayesian_optimisation.py``; it saves ``bayesian_optimisation.png`` in
the current directory.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm
from sklearn.gaussian_process.kernels import RBF

from skgpng import GaussianProcessRegressor

LOW, HIGH, LEAST = np.array([-5.0, 0.0]), np.array([10.0, 15.0]), 0.397887


def branin(X):
    """Branin's function of the rows of X."""
    a, b = X.T
    valley = b - 5.1 / (4 * np.pi**2) * a**2 + 5 / np.pi * a - 6
    return valley**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(a) + 10


# %%
# The whole optimiser
# -------------------
# Of a call that is expected to give m, with standard deviation s, the expected improvement is
# (best - m) cdf(z) + s pdf(z), where z = (best - m) / s: large where m is low, and where little is
# known. The best of some thousand points is near enough, a quarter of them near the best so far.
# The function has no noise, which ``alpha`` says, and is smooth, which ``RBF`` says.

rng = np.random.RandomState(2)


def candidates(best, n):
    """Points anywhere, and some of them near the best."""
    near_best = best + 0.3 * rng.randn(n // 4, 2)
    return np.clip(np.vstack([rng.uniform(LOW, HIGH, (n - n // 4, 2)), near_best]), LOW, HIGH)


X = rng.uniform(LOW, HIGH, (5, 2))
y = branin(X)
while len(y) < 30:
    model = GaussianProcessRegressor(1.0 * RBF([3.0, 3.0]), alpha=1e-4).fit(X, y)
    points = candidates(X[y.argmin()], 4000)
    mean, std = model.predict(points, return_std=True, include_noise=False)
    z = (y.min() - mean) / std
    improvement = std * (z * norm.cdf(z) + norm.pdf(z))
    X = np.vstack([X, points[improvement.argmax()]])
    y = np.append(y, branin(X[-1:]))
print(f"least of {len(y)} calls: {y.min():.4f} at {X[y.argmin()].round(2)}; minimum {LEAST:.4f}")
random = branin(rng.uniform(LOW, HIGH, (1000, 30, 2)).reshape(-1, 2)).reshape(1000, 30)
print(f"least of as many random calls: {np.median(random.min(axis=1)):.4f} (median of 1000 runs)")

# %%
# Several calls at a time
# -----------------------
# Where calls run side by side, five are asked for at once: the lowest points of five functions,
# drawn from those that may be the true one (Thompson sampling). Two more tools are there for
# optimisers: ``model.condition(points, values)`` is the model that knows more rows at the same
# hyperparameters, and ``model.predict_gradient(points)`` says which way is down.

X_5, y_5 = X[:5], y[:5]
while len(y_5) < 30:
    together = GaussianProcessRegressor(1.0 * RBF([3.0, 3.0]), alpha=1e-4).fit(X_5, y_5)
    functions = together.sample_functions(5, random_state=rng)
    points = candidates(X_5[y_5.argmin()], 1000)
    X_5 = np.vstack([X_5, points[functions(points).argmin(axis=0)]])
    y_5 = np.append(y_5, branin(X_5[-5:]))
print(f"least of {len(y_5)} calls, five at a time: {y_5.min():.4f}")

# %%
# Where it asked
# --------------
# Five points at random, then all over, then in the valleys. The model knows the function well where
# it is low, and does not care where it is high.

axis = [np.linspace(*ends, 80) for ends in zip(LOW, HIGH, strict=True)]
grid = np.stack(np.meshgrid(*axis), axis=-1).reshape(-1, 2)
mean, std = model.predict(grid, return_std=True, include_noise=False)
figure, axes = plt.subplot_mosaic(
    [["calls", "model"], ["calls", "best"]],
    figsize=(10, 6),
    width_ratios=[1.5, 1],
    layout="constrained",
)
levels = np.geomspace(1, 330, 14)
for name, values, title in [
    ("calls", branin(grid), "the function, and the calls in their order"),
    ("model", np.maximum(mean, 1), "the model of 30 calls, and its deviation"),
]:
    values = np.maximum(values, 1).reshape(80, 80)
    axes[name].contourf(*axis, values, levels, cmap="Blues_r", norm="log")
    axes[name].set(title=title, xlabel="first column", ylabel="second column")
order = {"c": np.arange(len(y)), "cmap": "autumn_r", "edgecolor": "0.2", "linewidth": 0.6}
axes["calls"].scatter(*X.T, s=45, zorder=3, **order)
lines = axes["model"].contour(*axis, std.reshape(80, 80), [1, 3, 10], colors="0.2", linewidths=0.8)
axes["model"].clabel(lines, fontsize=8)
gap, calls = np.minimum.accumulate(random, axis=1) - LEAST, range(1, 31)
low, middle, high = np.quantile(gap, [0.1, 0.5, 0.9], axis=0)
axes["best"].fill_between(calls, low, high, color="0.85", lw=0)
axes["best"].plot(calls, middle, color="0.45", label="random points")
gap = np.minimum.accumulate(y) - LEAST
axes["best"].plot(calls, gap, color="#d1495b", lw=2, label="expected improvement")
axes["best"].set(yscale="log", xlabel="calls", title="best so far, above the minimum")
axes["best"].legend(frameon=False, loc="lower left")
axes["best"].spines[["top", "right"]].set_visible(False)
figure.savefig("bayesian_optimisation.png", dpi=120)
