"""
Two hundred thousand rows
=========================

A Gaussian process on all rows would need a matrix of 200,000 by 200,000. With neighbours, which is
the default beyond a thousand rows, each prediction is made from 64 rows near by, and ``fit`` learns
from blocks of rows, as many of a large set as of a small one. One learns that this takes seconds,
and how it differs from an average of the nearest rows. The rows are the pixels of a photograph that
comes with scikit-learn.

Run it with ``python examples/large_set.py``; it saves ``large_set.png`` in the current directory.
"""

from __future__ import annotations

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image
from sklearn.neighbors import KNeighborsRegressor

from skgpng import GaussianProcessRegressor
from skgpng.metrics import interval_coverage

# %%
# A flower, in grey: two columns, and a number for each pixel. One in four is lost.

grey = load_sample_image("flower.jpg").mean(axis=2)
X = np.argwhere(np.ones(grey.shape, dtype=bool)).astype(float)
y = grey.ravel()
order = np.random.RandomState(0).permutation(len(y))
kept, lost = order[:200_000], order[200_000:]
test = lost[:5000]

# %%
# What is near, and what follows from it
# --------------------------------------
# ``n_neighbors="auto"``, the default, tries 64, 128 and 256; 64 is the quickest. Beside it the
# average of the eight nearest pixels, weighted by their distance. The Gaussian process learns how
# pixels go together, and how large an error to expect.

models = {
    "average of the nearest": KNeighborsRegressor(8, weights="distance"),
    "Gaussian process": GaussianProcessRegressor(n_neighbors=64, random_state=0),
}
for name, model in models.items():
    begin = time.perf_counter()
    model.fit(X[kept], y[kept])
    seconds = time.perf_counter() - begin
    error = np.sqrt(np.mean((model.predict(X[test]) - y[test]) ** 2))
    print(f"{name}: {len(kept):,} rows in {seconds:.1f} s, error {error:.1f} of 255")
mean, std = model.predict(X[test], return_std=True)
low, high = model.predict_quantiles(X[test], [0.05, 0.95]).T
print(f"its bands of 90 % hold {100 * interval_coverage(y[test], low, high):.0f} %")
order = np.argsort(std)
for which, rows in {"surest": order[:1250], "least sure": order[-1250:]}.items():
    error = np.sqrt(np.mean((mean - y[test])[rows] ** 2))
    print(f"the quarter where it is {which}: error {error:.1f}")

# %%
# A part of the picture, and the standard deviation, which is large at the edges of petals.

window = np.argwhere(np.ones((80, 100), dtype=bool)) + [150, 250]
rows = np.ravel_multi_index(window.T, grey.shape)
mean, std = model.predict(X[rows], return_std=True)
figure, axes = plt.subplots(2, 2, figsize=(8.4, 6.8), layout="constrained")
shown = np.where(np.isin(rows, kept), y[rows], np.nan)
filled = np.where(np.isin(rows, kept), y[rows], mean)
titles = ["what is left of it", "filled in", "the picture", "standard deviation"]
for ax, values, title in zip(axes.flat, [shown, filled, y[rows], std], titles, strict=True):
    limits = {"cmap": "magma", "vmin": 0} if values is std else {"cmap": "gray", "vmax": 255}
    image = ax.imshow(values.reshape(80, 100), **limits)
    ax.set_title(title)
    ax.axis("off")
figure.colorbar(image, ax=axes[1, 1], shrink=0.8)
figure.savefig("large_set.png", dpi=130)
