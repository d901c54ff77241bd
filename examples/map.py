"""
A map, and how far to trust it
==============================

What does a house cost at a place where none is in the table? Two columns, longitude and latitude,
are enough for a map of the mean, and beside it one of the standard deviation: small where districts
are dense, large in the desert. One learns to bring degrees to kilometres, to say that prices vary
from region to region and again within a town, and to check what the bands promise.

The data are 3000 of the 20,640 census districts of California in 1990, drawn at random from those
with a value below the census's limit of 500,000 dollars (Pace & Barry 1997, "Sparse spatial
autoregressions"; StatLib, from the U.S. census, in the public domain).

Run it with ``python examples/map.py``; it saves ``map.png`` in the current directory.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.gaussian_process.kernels import Matern
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors

from skgpng import GaussianProcessRegressor
from skgpng.metrics import interval_coverage

here = Path(__file__).parent if "__file__" in globals() else Path.cwd()
table = np.loadtxt(here / "data" / "california.csv", delimiter=",", skiprows=1)
places, value = table[:, :2], table[:, 3]


def kilometres(places):
    """Longitude and latitude as kilometres east and north; degrees of longitude are shorter."""
    return 111.2 * np.column_stack([places[:, 0] * np.cos(np.radians(37)), places[:, 1]])


# %%
# Two distances
# -------------
# With one length scale, as the default has it, far from all districts the mean is the mean of all.
# A sum of two has a surface of regions, which reaches further, and one of what is near. Quantiles
# go through the logarithm unchanged: those of the value are the exponentials of those predicted.

two_distances = 1.0 * Matern(100.0, nu=1.5) + 1.0 * Matern(5.0, nu=1.5)
train, test = train_test_split(np.arange(len(value)), train_size=1000, random_state=0)
for name, kernel in {"one distance": None, "two distances": two_distances}.items():
    model = GaussianProcessRegressor(kernel, random_state=0)
    model.fit(kilometres(places[train]), np.log(value[train]))
    quantiles = model.predict_quantiles(kilometres(places[test]), [0.1, 0.5, 0.9])
    low, middle, high = np.exp(quantiles).T
    r2 = model.score(kilometres(places[test]), np.log(value[test]))
    density = np.mean(model.log_predictive_density(kilometres(places[test]), np.log(value[test])))
    coverage = interval_coverage(value[test], low, high)
    print(f"{name}: {model.kernel_}")
    print(f"  on {len(test)} districts not shown R2 {r2:.2f}, mean log density {density:.2f}, "
          f"bands of 80 % hold {100 * coverage:.0f} %")  # fmt: skip

# %%
# A price has a range, and where nobody lives a wide one.

cities = {
    "San Francisco": (-122.43, 37.76),
    "Los Angeles": (-118.30, 34.05),
    "Sacramento": (-121.47, 38.57),
    "Fresno": (-119.79, 36.74),
    "Death Valley": (-116.90, 36.50),
}
quantiles = np.exp(model.predict_quantiles(kilometres(np.array(list(cities.values()))), [0.1, 0.9]))
for name, (low, high) in zip(cities, quantiles, strict=True):
    print(f"{name:14} {low:4.0f} to {high:4.0f} thousand dollars")

# %%
# The map, as far as 40 km from the next district.

east, north = np.linspace(-124.6, -114, 130), np.linspace(32.3, 42.2, 130)
grid = np.stack(np.meshgrid(east, north), axis=-1).reshape(-1, 2)
mean, std = model.predict(kilometres(grid), return_std=True, include_noise=False)
near = NearestNeighbors(n_neighbors=1).fit(kilometres(places[train]))
far = near.kneighbors(kilometres(grid))[0][:, 0] > 40
figure, axes = plt.subplots(1, 2, figsize=(10, 4.8), sharey=True, layout="constrained")
panels = [
    ("value of a house, thousand dollars", np.exp(mean), "YlOrRd", "log", (40, 450)),
    ("its standard deviation, % of it", 100 * std, "Blues", "linear", (0, 60)),
]
for ax, (title, values, colours, scale, limits) in zip(axes, panels, strict=True):
    surface = np.ma.masked_array(np.clip(values, *limits), far).reshape(130, 130)
    image = ax.pcolormesh(east, north, surface, cmap=colours, norm=scale, rasterized=True)
    bar = figure.colorbar(image, ax=ax, shrink=0.8)
    if scale == "log":
        bar.set_ticks([50, 100, 200, 400], labels=["50", "100", "200", "400"], minor=False)
        bar.ax.minorticks_off()
    ax.set(title=title, xlabel="longitude", aspect=1 / np.cos(np.radians(37)))
    ax.spines[["top", "right"]].set_visible(False)
for name, (x, y) in cities.items():
    axes[0].plot(x, y, "k.", ms=4)
    axes[0].annotate(name, (x, y), (4, 3), textcoords="offset points", fontsize=8)
axes[1].plot(*places[train].T, "k.", ms=0.6, alpha=0.6)
axes[0].set_ylabel("latitude")
figure.savefig("map.png", dpi=130)
