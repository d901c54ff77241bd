"""
Detail: inducing points against neighbours
==========================================

A photograph is a surface with calm places and wild ones. A quarter of its pixels are shown to two
regressors, which fill in the others: one with 256 inducing points, and the default, which predicts
each pixel from its neighbours. The picture comes with scikit-learn.

Run it with ``python examples/neighbours.py``; it saves ``neighbours.png`` in the current directory.
"""

from __future__ import annotations

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from skgpng import GaussianProcessRegressor

# %%
# A pagoda, in grey, every second pixel.

grey = load_sample_image("china.jpg").mean(axis=2)[100:340:2, 180:420:2]
X = np.argwhere(np.ones(grey.shape, dtype=bool)).astype(float)
y = grey.ravel()
shown = np.random.RandomState(0).permutation(len(y))[: len(y) // 4]
hidden = np.setdiff1d(np.arange(len(y)), shown)

# %%
# Both learn kernel and noise from the pixels shown. What the points cannot hold they call noise:
# their error is larger, and they expect the same one everywhere. Neighbours expect small errors in
# the sky and large ones among the roofs (``local_scale``).

models = {
    "256 inducing points": GaussianProcessRegressor(n_inducing=256, random_state=0),
    "neighbours": GaussianProcessRegressor(random_state=0),
}
means, deviations = {}, {}
for name, model in models.items():
    begin = time.perf_counter()
    model.fit(X[shown], y[shown])
    mean, std = model.predict(X, return_std=True)
    seconds = time.perf_counter() - begin
    error = np.sqrt(np.mean((mean - y)[hidden] ** 2))
    density = np.mean(model.log_predictive_density(X[hidden], y[hidden]))
    print(f"{name}: {len(shown)} rows in {seconds:.1f} s, of {len(hidden)} hidden pixels")
    print(f"  root mean squared error {error:.1f} of 255, mean log density {density:.2f}")
    means[name], deviations[name] = mean.reshape(grey.shape), std.reshape(grey.shape)
print(f"each prediction is from {models['neighbours'].n_neighbors_} pixels near by")

# %%
# Above the means, below the standard deviations.

figure, axes = plt.subplots(2, 3, figsize=(10, 6.8), layout="constrained")
grey_map = {"cmap": "gray", "vmin": 0, "vmax": 255}
axes[0, 0].imshow(
    np.where(np.isin(np.arange(len(y)), shown), y, np.nan).reshape(grey.shape), **grey_map
)
axes[0, 0].set_title("what is shown")
axes[1, 0].imshow(grey, **grey_map)
axes[1, 0].set_title("the picture")
for column, name in enumerate(models, start=1):
    axes[0, column].imshow(means[name], **grey_map)
    axes[0, column].set_title(name)
    image = axes[1, column].imshow(deviations[name], cmap="magma", vmin=0, vmax=60)
    axes[1, column].set_title("standard deviation")
figure.colorbar(image, ax=axes[1, 1:], shrink=0.8)
for ax in axes.flat:
    ax.axis("off")
figure.savefig("neighbours.png", dpi=150)
