"""
Columns of different kinds: levels and numbers
==============================================

The age of an abalone is the number of rings in its shell, counted under a microscope. Easy to tell
are its sex (male, female, or an infant, which has none yet), its size and its weights. Sex is a
column of levels, which have no order and no distance. ``Categorical`` learns how much the levels
have in common.

The data are 1000 of the 4177 abalones of Nash, Sellers, Talbot, Cawthorn & Ford (1994), "The
population biology of abalone", UCI Machine Learning Repository, CC BY 4.0; drawn at random.

Run it with ``python examples/mixed_columns.py``; it saves ``mixed_columns.png`` in the current
directory.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.gaussian_process.kernels import Matern
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from skgpng import GaussianProcessRegressor
from skgpng.kernels import Categorical, Columns

# sphinx-gallery, which runs this for the documentation, knows no __file__
here = Path(__file__).parent if "__file__" in globals() else Path.cwd()
names, *table = (line.split(",") for line in (here / "data/abalone.csv").read_text().split())
table = np.array(table, dtype=object)
X, y = table[:, :-1], table[:, -1].astype(float)
X[:, 1:] = X[:, 1:].astype(float)
X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=500, random_state=0)
print(f"{len(X_train)} abalones with {', '.join(names[:-1])}")

# %%
# An encoder and a kernel
# -----------------------
# ``OrdinalEncoder`` makes indices 0, 1, 2 of the levels; they are not scaled. The kernel is a
# product: a function of the measurements, with a length scale for each, that differs between the
# sexes as far as these are not correlated. ``Categorical(3)`` has one correlation for any two
# levels; with an array of three angles each pair has its own, which may be negative, too.

encode = make_column_transformer(
    (OrdinalEncoder(), [0]),
    (StandardScaler(), slice(1, None)),
)
sizes = Columns(Matern(np.full(7, 3.0), nu=2.5), list(range(1, 8)))
models = {
    "one-hot columns, default kernel": make_pipeline(
        make_column_transformer(
            (OneHotEncoder(sparse_output=False), [0]), (StandardScaler(), slice(1, None))
        ),
        GaussianProcessRegressor(random_state=0),
    ),
    "Categorical, one correlation": make_pipeline(
        encode,
        GaussianProcessRegressor(1.0 * sizes * Columns(Categorical(3), [0]), random_state=0),
    ),
    "Categorical, one for each pair": make_pipeline(
        encode,
        GaussianProcessRegressor(
            1.0 * sizes * Columns(Categorical(3, np.full(3, 0.8)), [0]), random_state=0
        ),
    ),
}
print(f"\n{'':34} {'error':>6} {'log density':>12}")
for name, model in models.items():
    model.fit(X_train, y_train)
    error = np.sqrt(np.mean((model.predict(X_test) - y_test) ** 2))
    density = np.mean(model[-1].log_predictive_density(model[:-1].transform(X_test), y_test))
    print(f"{name:34} {error:6.2f} {density:12.3f}")

# %%
# What was learned
# ----------------
# The correlations between the sexes are in the fitted kernel. They are high: measurements say most
# of the age. Infants and males are the least alike, and where they are small, an infant is younger
# than a male of its size.

model = models["Categorical, one for each pair"]
levels = model[0].named_transformers_["ordinalencoder"].categories_[0]
correlations = model[-1].kernel_.k2.kernel.correlations()
print("\ncorrelations between", *levels)
print(correlations.round(3))

figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", width_ratios=[1, 1.6])
sexes = [{"F": "female", "I": "infant", "M": "male"}[level] for level in levels]
axes[0].imshow(correlations, vmin=0.9, vmax=1, cmap="Blues", alpha=0.7)
for i, j in np.ndindex(3, 3):
    axes[0].text(j, i, f"{correlations[i, j]:.3f}", ha="center", va="center")
axes[0].set(xticks=range(3), yticks=range(3), xticklabels=sexes, yticklabels=sexes)
axes[0].set_title("correlations between the sexes")

# an abalone grows, with the same quantile in all measurements
sizes = np.quantile(X[:, 1:].astype(float), np.linspace(0.02, 0.9, 15), axis=0)
for level, sex, colour in zip(levels, sexes, ["#d1495b", "#2a9d8f", "#1f5fa8"], strict=True):
    rows = np.column_stack([np.full(15, level, dtype=object), sizes])
    mean, std = model.predict(rows, return_std=True, include_noise=False)
    axes[1].fill_between(sizes[:, 3], mean - 2 * std, mean + 2 * std, color=colour, alpha=0.15)
    axes[1].plot(sizes[:, 3], mean, color=colour, label=sex)
axes[1].set(
    xlabel="whole weight / (200 g)", ylabel="rings", title="means, and two standard deviations"
)
axes[1].legend(frameon=False)
figure.savefig("mixed_columns.png", dpi=120)
