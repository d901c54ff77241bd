"""
Effects that can be read
========================

A Gaussian process is a black box as a rule. Under an additive kernel it is a sum of functions of
one column and of two, each with its share of the variance, its mean and its band. The data are the
diabetes study that comes with scikit-learn, in the units in which it was measured: ten columns of
442 patients, and the progress of their disease a year later.

Run it with ``python examples/additive_effects.py``; it saves ``additive_effects.png`` in the
current directory.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

from skgpng import GaussianProcessRegressor
from skgpng.kernels import OrthogonalAdditive

# %%
# Columns as they are: years, a sex of two values, pressures, concentrations. The kernel reads
# their scales and how they are distributed from the rows that it is fitted to.

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
meanings = {"bmi": "body mass index", "bp": "mean blood pressure", "s1": "total cholesterol"}
meanings |= {"s2": "LDL cholesterol", "s3": "HDL cholesterol", "s4": "cholesterol / HDL"}
X = X.rename(columns=meanings | {"s5": "log triglycerides", "s6": "blood sugar"})
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0)

# %%
# What is given up for it? The additive model is to predict as well as the default kernel, in which
# all columns act together.

models = {
    "all together": GaussianProcessRegressor(random_state=0),
    "additive": GaussianProcessRegressor(OrthogonalAdditive(max_order=2), random_state=0),
}
for name, model in models.items():
    model.fit(X_train, y_train)
    density = np.mean(model.log_predictive_density(X_test, y_test))
    r2 = model.score(X_test, y_test)
    print(f"{name:13} held-out R2 {r2:.3f}, mean log density {density:.3f}")

# %%
# Each part and its share of the variance of the fitted function. A pair has what its two columns do
# together beyond what each does alone.

additive = models["additive"]
parts = additive.additive_components_
for part in parts[:8]:
    print(f"{100 * part.share:5.1f} %  {' and '.join(part.columns)}")
print(f"{100 * sum(part.share for part in parts[8:]):5.1f} %  {len(parts) - 8} others")

# %%
# The three largest effects of a single column. ``predict_component`` takes whole rows, of which it
# looks at the column asked for. The band holds the effect with 95 % probability, the marks below it
# are the patients.

effects = [part for part in parts if len(part.columns) == 1][:3]
figure, axes = plt.subplots(2, 2, figsize=(9, 6.4), layout="constrained")
shown = parts[:8][::-1]
labels = ["\nand ".join(part.columns) for part in shown]
axes[0, 0].barh(labels, [100 * part.share for part in shown], color="#1f5fa8")
axes[0, 0].set(xlabel="share of the variance of the function, %")
axes[0, 0].tick_params(axis="y", labelsize=8)
for ax, part in zip(axes.flat[1:], effects, strict=True):
    (column,) = part.columns
    grid = X_train.iloc[[0] * 200].reset_index(drop=True).astype(float)
    grid[column] = np.linspace(X[column].min(), X[column].max(), 200)
    mean, std = additive.predict_component(grid, column, return_std=True)
    ax.fill_between(grid[column], mean - 1.96 * std, mean + 1.96 * std, color="#a5c1e1", lw=0)
    ax.plot(grid[column], mean, color="#1f5fa8", lw=2)
    ax.plot(X_train[column], np.full(len(X_train), -90), "|", color="0.4", ms=6, alpha=0.4)
    ax.axhline(0, color="0.6", lw=0.8)
    ax.set(xlabel=column, ylabel="effect on the progress", ylim=(-95, 140))
    ax.set_title(f"{100 * part.share:.0f} % of the variance", fontsize=10)
for ax in axes.flat:
    ax.spines[["top", "right"]].set_visible(False)
figure.savefig("additive_effects.png", dpi=120)
