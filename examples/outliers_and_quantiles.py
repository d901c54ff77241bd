"""
Outliers and quantiles
======================

Disease progression of 442 diabetes patients against their body mass index; the data come with
scikit-learn. First some values are entered with a decimal point too late, and Student-t noise takes
them for what they are. Then the question is not the mean but a band: the quantiles that one in ten
patients are below, and above.

Run it with ``python examples/outliers_and_quantiles.py``; it saves ``outliers_and_quantiles.png``
in the current directory.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import cross_val_predict

from skgpng import GaussianProcessRegressor
from skgpng.likelihoods import AsymmetricLaplace

X_all, y = load_diabetes(return_X_y=True)
X = X_all[:, [2]]  # body mass index, as scikit-learn scales it
grid = np.linspace(X.min(), X.max(), 200)[:, None]

# %%
# One in twenty values is ten times too large. Normal noise must explain them, and the function
# follows; for Student-t noise they are rare, and the function is that of the clean values.

rng = np.random.RandomState(0)
wrong = rng.permutation(len(y))[: len(y) // 20]
y_wrong = y.copy()
y_wrong[wrong] *= 10.0

settings = {"n_inducing": 20, "random_state": 0}
clean = GaussianProcessRegressor(**settings).fit(X, y).predict(grid)
curves = {}
for likelihood in ("gaussian", "student_t"):
    model = GaussianProcessRegressor(likelihood=likelihood, **settings).fit(X, y_wrong)
    curves[likelihood] = model.predict(grid)
    off = np.sqrt(np.mean((curves[likelihood] - clean) ** 2))
    print(f"{likelihood}: {off:.1f} from the function of the clean values")
print(f"degrees of freedom learned: {model.likelihood_['df']:.1f}")

# %%
# A quantile for each model: its latent function is the quantile, and ``predict`` gives it. Nothing
# is said about the shape of the noise, and so the band may be wide here and narrow there.

band = {
    q: GaussianProcessRegressor(likelihood=AsymmetricLaplace(quantile=q), **settings)
    .fit(X, y)
    .predict(grid)
    for q in (0.1, 0.5, 0.9)
}

# %%
# With all ten columns: as many of the patients left out are below as the quantile says.

for q in band:
    model = GaussianProcessRegressor(likelihood=AsymmetricLaplace(quantile=q), **settings)
    held_out = cross_val_predict(model, X_all, y, cv=3)
    print(f"below the {q} quantile: {np.mean(y < held_out):.3f} of the patients left out")

# %%

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharex=True)
left.plot(X, y_wrong, ".", color="0.7", markersize=4)
left.plot(X[wrong], y_wrong[wrong], "x", color="tab:red", label="a decimal point too late")
left.plot(grid, clean, "k--", label="normal noise, clean values")
left.plot(grid, curves["gaussian"], color="tab:orange", label="normal noise")
left.plot(grid, curves["student_t"], color="tab:blue", label="Student-t noise")
left.set(ylim=(0, 1500), title="outliers", xlabel="body mass index", ylabel="progression")
left.legend(loc="upper right")
right.plot(X, y, ".", color="0.7", markersize=4)
right.fill_between(grid[:, 0], band[0.1], band[0.9], color="tab:blue", alpha=0.2)
right.plot(grid, band[0.5], color="tab:blue", label="median")
for q in (0.1, 0.9):
    right.plot(grid, band[q], color="tab:blue", linewidth=0.8, label=f"{q} quantile")
right.set(title="quantiles", xlabel="body mass index")
right.legend(loc="upper left")
figure.savefig("outliers_and_quantiles.png", dpi=150)
