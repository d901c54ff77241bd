"""
A curve with its bands
======================

The simplest use: one column, one curve. A motorcycle hits a wall, and the head of the dummy is
accelerated. One learns what is assumed before any data, what is known after them, and that there
are two bands: one for the function, which gets narrow where there are data, and one for the next
measurement, which does not get narrower than the noise.

The data are those of Silverman (1985), as AaltoML/BayesNewton has them (``data/mcycle.csv``).

Run it with ``python examples/regression_with_bands.py``; it saves ``regression_with_bands.png`` in
the current directory.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.gaussian_process.kernels import Matern

from skgpng import GaussianProcessRegressor
from skgpng.displays import BandDisplay
from skgpng.metrics import interval_coverage

here = Path(__file__).parent if "__file__" in globals() else Path.cwd()
X, y = np.loadtxt(here / "data" / "mcycle.csv", delimiter=",", skiprows=1).T
X = X[:, None]

# %%
# Before and after
# ----------------
# A kernel says which functions are likely: here such that change within some milliseconds. ``fit``
# learns from the data how quickly, how far, and how large the noise is.

prior = GaussianProcessRegressor(1.0 * Matern(10.0, nu=2.5))
model = GaussianProcessRegressor(1.0 * Matern(10.0, nu=2.5)).fit(X, y)
print(f"{len(y)} measurements; learned: {model.kernel_}")
print(f"standard deviation of the noise: {np.sqrt(model.noise_variance_):.0f} g")

# %%
# Two bands. At 20 ms, in the middle of the blow, and at 70 ms, after the last row, where the
# function goes back to the mean and the band to that of the prior.

for time in (20.0, 70.0):
    mean, std_f = model.predict([[time]], return_std=True, include_noise=False)
    low, high = model.predict_quantiles([[time]], [0.025, 0.975])[0]
    print(f"at {time:.0f} ms the function is {mean[0]:.0f} +- {2 * std_f[0]:.0f} g, "
          f"a measurement between {low:.0f} and {high:.0f} g")  # fmt: skip
low, high = model.predict_quantiles(X, [0.025, 0.975]).T
print(f"of the measurements {100 * interval_coverage(y, low, high):.0f} % are in the band of 95 %")

# %%
# Five functions of the prior, on scaled y, and of the posterior. On the right the dark band holds
# the function, the light one a measurement, with 95 % each. Noise is the same everywhere in this
# model, which before 15 ms it is not: see :doc:`varying_noise`.

grid = np.linspace(0, 75, 300)
figure, axes = plt.subplots(1, 2, figsize=(10.5, 4), layout="constrained")
shown = {"grid": grid, "legend": False}
BandDisplay.from_estimator(prior, X, n_samples=5, include_noise=False, ax=axes[0], **shown)
BandDisplay.from_estimator(model, X, y=y, n_samples=5, ax=axes[1], **shown)
BandDisplay.from_estimator(model, X, include_noise=False, ax=axes[1], **shown)
axes[0].set(title="before: what the kernel holds for likely", ylabel="scaled acceleration")
axes[1].set(title="after", ylabel="acceleration in g")
for ax in axes:
    ax.set_xlabel("milliseconds after the impact")
figure.savefig("regression_with_bands.png", dpi=120)
