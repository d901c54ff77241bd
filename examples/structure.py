"""
Structure one can read: a trend, the seasons and the rest
=========================================================

The carbon dioxide in the air on Mauna Loa rises, faster each decade, and breathes with the seasons
of the north. A kernel that says so goes on for twenty years beyond the data; the default, which
knows of nearness only, goes back to the mean.

The data are the monthly means of the Scripps CO2 program (Keeling, Piper, Bollenbacher & Walker
2009), here as in vega-datasets.

Run it with ``python examples/structure.py``; it saves ``structure.png`` in the current directory.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.gaussian_process.kernels import RBF, RationalQuadratic

from skgpng import GaussianProcessRegressor
from skgpng.kernels import Periodic, Polynomial, SpectralMixture

# sphinx-gallery, which runs this for the documentation, knows no __file__
here = Path(__file__).parent if "__file__" in globals() else Path.cwd()
year, ppm = np.loadtxt(here / "data/co2_maunaloa.csv", delimiter=",", skiprows=1, unpack=True)
X = year[:, None] - 2000.0
known = year < 2000.0
print(f"{known.sum()} months to learn from, {np.sum(~known)} to predict")

# %%
# Which periods?
# --------------
# That there are seasons is no secret. Where periods are not known, the start of a spectral mixture
# lists the largest waves: here two slow ones, which stand for the trend, one of a year, and its
# half.

waves = SpectralMixture.from_data(X[known], ppm[known], n_components=4)
print("periods in years:", *np.sort(1.0 / waves.means.ravel())[::-1].round(2))

# %%
# A kernel
# --------
# One term for each thing that is known: a parabola, seasons whose shape may change over decades,
# and what comes and goes within some years. The period is fixed; all else is learned.

seasons = 0.1 * Periodic(1.0, 1.0, periodicity_bounds="fixed") * RBF(50.0)
structure = 0.1 * Polynomial(2, 0.01) + seasons + 0.01 * RationalQuadratic(1.0, 1.0)
kernels = {"the default": None, "trend, seasons and the rest": structure}

figure, axes = plt.subplots(2, 1, figsize=(9, 6), sharex=True, layout="constrained")
for ax, (name, kernel) in zip(axes, kernels.items(), strict=True):
    model = GaussianProcessRegressor(kernel, random_state=0).fit(X[known], ppm[known])
    mean, std = model.predict(X, return_std=True)
    error = np.sqrt(np.mean((mean - ppm)[~known] ** 2))
    density = np.mean(model.log_predictive_density(X[~known], ppm[~known]))
    print(f"{name}: error {error:.2f} ppm, mean log density {density:.2f}")
    print(f"  {model.kernel_}")
    ax.fill_between(year, mean - 2 * std, mean + 2 * std, color="#a5c1e1", lw=0)
    ax.plot(year, mean, color="#1f5fa8", lw=1)
    ax.plot(year[known], ppm[known], ".", color="0.3", ms=2)
    ax.plot(year[~known], ppm[~known], ".", color="#d1495b", ms=2)
    ax.set(title=f"{name}: error {error:.1f} ppm", ylabel="CO2 / ppm", ylim=(300, 430))
figure.savefig("structure.png", dpi=120)
