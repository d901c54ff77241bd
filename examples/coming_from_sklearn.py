"""
Coming from scikit-learn
========================

The same script with scikit-learn's class and with skgpng's. One learns three things: with the same
settings both give the same numbers, skgpng sooner; the defaults, which differ, are made for data as
they come, with columns of any unit and noise; and what there is besides ``predict``.

The data are from the combined cycle power plant of Tufekci & Kaya (2014), UCI Machine Learning
Repository, CC BY 4.0: the power that is sold, in megawatts, from temperature, vacuum, pressure and
humidity.

Run it with ``python examples/coming_from_sklearn.py``; it saves ``coming_from_sklearn.png`` in the
current directory.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn import gaussian_process as sklearn_gp
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

from skgpng import GaussianProcessRegressor
from skgpng.displays import BandDisplay
from skgpng.metrics import log_density_scorer

here = Path(__file__).parent if "__file__" in globals() else Path.cwd()
table = np.loadtxt(here / "data" / "power_plant.csv", delimiter=",", skiprows=1)
X, y, X_test, y_test = table[:300, :-1], table[:300, -1], table[2000:, :-1], table[2000:, -1]

# %%
# The same settings
# -----------------
# A kernel object goes into both. scikit-learn's class is told to normalise y, which is skgpng's
# default; the noise is a ``WhiteKernel``. The first ``fit`` of a kernel compiles skgpng's loop,
# which is not timed here. Any regressor with ``return_std`` may be scored by log density.

kernel = 1.0 * RBF(np.full(4, 10.0)) + WhiteKernel(0.1)
models = {
    "scikit-learn, this kernel": sklearn_gp.GaussianProcessRegressor(kernel, normalize_y=True),
    "skgpng, this kernel": GaussianProcessRegressor(kernel),
    "scikit-learn, defaults": sklearn_gp.GaussianProcessRegressor(),
    "skgpng, defaults": GaussianProcessRegressor(),
}
print(f"{'':26} {'seconds':>7} {'R2':>9} {'log density':>11} {'first prediction':>18}")
for name, model in models.items():
    if isinstance(model, GaussianProcessRegressor):
        model.fit(X[:200], y[:200])
    begin = time.perf_counter()
    model.fit(X, y)
    seconds = time.perf_counter() - begin
    mean, std = model.predict(X_test[:1], return_std=True)
    density = log_density_scorer(model, X_test, y_test)
    print(f"{name:26} {seconds:7.2f} {model.score(X_test, y_test):9.4f} {density:11.3f} "
          f"{mean[0]:10.2f} +- {std[0]:.2f}")  # fmt: skip

# %%
# The defaults
# ------------
# scikit-learn's are one length scale, no noise, and y as it is: the noise must be explained by a
# function that is 0 between the rows. skgpng's learn a length scale for each column, from a start
# in its unit, and the noise. What else there is, on one line each:

ours = models["skgpng, defaults"]
names = ["temperature", "vacuum", "pressure", "humidity"]
print("relevances:", dict(zip(names, ours.feature_relevances_.round(2).tolist(), strict=True)))
print("quantiles 5, 50, 95 %:", ours.predict_quantiles(X_test[:1], [0.05, 0.5, 0.95])[0].round(1))
print(f"noise: {np.sqrt(ours.noise_variance_):.1f} MW; row by row log densities:",
      ours.log_predictive_density(X_test[:3], y_test[:3]).round(2))  # fmt: skip

# %%
# Two standard deviations of the same test rows, and both defaults on one column and 60 rows.

figure, axes = plt.subplots(1, 3, figsize=(12, 3.7), layout="constrained", width_ratios=[0.8, 1, 1])
same = [models[name].predict(X_test, return_std=True)[1] for name in list(models)[:2]]
axes[0].plot(*same, ".", color="#1f5fa8", ms=3)
axes[0].axline((4, 4), slope=1, color="0.5", lw=0.8)
axes[0].set(title="the same kernel", xlabel="scikit-learn: deviation, MW", ylabel="skgpng")
grid = np.sort(np.append(np.linspace(4, 36, 500), X[:60, 0]))
for ax, estimator, title in [
    (axes[1], sklearn_gp.GaussianProcessRegressor(), "scikit-learn, defaults"),
    (axes[2], GaussianProcessRegressor(), "skgpng, defaults"),
]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*close to the specified", ConvergenceWarning)
        estimator.fit(X[:60, :1], y[:60])
    BandDisplay.from_estimator(estimator, X[:60, :1], y=y[:60], grid=grid, legend=False, ax=ax)
    ax.set(title=title, xlabel="temperature, degrees Celsius", ylabel="", ylim=(-20, 600))
axes[1].set_ylabel("power, MW")
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
figure.savefig("coming_from_sklearn.png", dpi=120)
