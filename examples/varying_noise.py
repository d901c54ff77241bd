"""
Noise that varies with x
========================

A motorcycle hits a wall; the head of the dummy is accelerated. Before the blow the measurements are
quiet, after it they scatter. One level of noise for all of them is wrong everywhere: too wide at
first, too narrow later. With ``likelihood="heteroscedastic"`` the noise is a function, too.

The data are those of Silverman (1985), as AaltoML/BayesNewton has them (``data/mcycle.csv``).

Run it with ``python examples/varying_noise.py``; it saves ``varying_noise.png`` in the current
directory.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import KFold, cross_val_score

from skgpng import GaussianProcessRegressor
from skgpng.displays import BandDisplay
from skgpng.metrics import log_density_scorer

here = Path(__file__).parent if "__file__" in globals() else Path.cwd()
X, y = np.loadtxt(here / "data" / "mcycle.csv", delimiter=",", skiprows=1).T
X = X[:, None]

# %%
# Ten folds: the mean log density of rows that were left out, in nats.

models = {
    name: GaussianProcessRegressor(likelihood=name, random_state=0)
    for name in ("gaussian", "heteroscedastic")
}
folds = KFold(10, shuffle=True, random_state=0)
for name, model in models.items():
    density = cross_val_score(model, X, y, cv=folds, scoring=log_density_scorer)
    print(f"{name}: {density.mean():.2f} nats a row")

# %%
# Bands of 95 % by both.

figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    BandDisplay.from_estimator(
        model.fit(X, y), X, y=y, grid=np.linspace(0, 60, 300), legend=False, ax=ax
    )
    ax.set(title=name, xlabel="milliseconds after the impact", ylabel="")
axes[0].set_ylabel("acceleration in g")
figure.savefig("varying_noise.png", dpi=150)
