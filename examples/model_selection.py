"""
Choose a model by what it says of new rows
==========================================

R2 judges the mean alone, and a model is more than its mean. Of four distributions of the age of an
abalone, told from its size and weights, R2 finds three equally good. The log density of rows that
were left out asks how probable a model held what came, and tells them apart. One learns to let a
search select by it, and what is behind the difference: how the scatter grows with the age.

The data are 1000 of the abalones of Nash, Sellers, Talbot, Cawthorn & Ford (1994), UCI Machine
Learning Repository, CC BY 4.0; the age is counted in rings of the shell.

Run it with ``python examples/model_selection.py``; it saves ``model_selection.png`` in the current
directory.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV, KFold

from skgpng import GaussianProcessRegressor
from skgpng.metrics import coverage_scorer, log_density_scorer

here = Path(__file__).parent if "__file__" in globals() else Path.cwd()
table = np.genfromtxt(here / "data" / "abalone.csv", delimiter=",", skip_header=1)
X, y = table[:, 1:-1], table[:, -1]  # without the sex
X_train, X_test, y_train, y_test = X[:300], X[300:], y[:300], y[300:]

# %%
# One search, two scores
# ----------------------
# ``refit`` names the score that selects. Any setting may be searched over, kernels too.

search = GridSearchCV(
    GaussianProcessRegressor(n_inducing=20, random_state=0),
    {"likelihood": ["gaussian", "student_t", "heteroscedastic", "gamma"]},
    scoring={"R2": "r2", "density": log_density_scorer},
    refit="density",
    cv=KFold(3, shuffle=True, random_state=0),
)
scores = search.fit(X_train, y_train).cv_results_
names = list(scores["param_likelihood"])
r2 = scores["mean_test_R2"]
for row in zip(names, r2, scores["mean_test_density"], strict=True):
    print("{:16} R2 {:.3f}, mean log density {:.3f}".format(*row))
print("selected:", search.best_params_["likelihood"])

# %%
# Seven hundred others
# --------------------
# What was selected, beside normal noise, on abalones that neither saw. The difference of the log
# densities is a ratio of probabilities: here, of ten abalones together.

models = {
    "gaussian": GaussianProcessRegressor(n_inducing=20, random_state=0).fit(X_train, y_train),
    search.best_params_["likelihood"]: search.best_estimator_,
}
density = {name: log_density_scorer(model, X_test, y_test) for name, model in models.items()}
for name, model in models.items():
    r2_test, held = model.score(X_test, y_test), coverage_scorer(0.9)(model, X_test, y_test)
    print(f"{name:16} R2 {r2_test:.3f}, mean log density {density[name]:.3f}, "
          f"bands of 90 % hold {100 * held:.0f} %")  # fmt: skip
plain, selected = density.values()
print(f"ten abalones are {np.exp(10 * (selected - plain)):.1f} times as probable under the second")

# %%
# Bands of 50 and 90 % by both, over the median that is predicted. Normal noise expects the same
# scatter at any age, too much of the young and too little of the old.

figure, axes = plt.subplots(1, 3, figsize=(11, 3.7), layout="constrained", width_ratios=[1, 1, 1])
colours = {"gaussian": "0.45", search.best_params_["likelihood"]: "#1f5fa8"}
axes[0].scatter(r2, scores["mean_test_density"], color=[colours.get(n, "#a5c1e1") for n in names])
for name, *place in zip(names, r2, scores["mean_test_density"], strict=True):
    axes[0].annotate(name, place, (0, 7), textcoords="offset points", ha="center")
axes[0].set(xlabel="R2", ylabel="mean log density", title="three folds")
axes[0].margins(0.25)
for ax, (name, model) in zip(axes[1:], models.items(), strict=True):
    bands = model.predict_quantiles(X_test, [0.05, 0.25, 0.5, 0.75, 0.95])
    low, low_half, middle, high_half, high = bands[np.argsort(bands[:, 2])].T
    ax.fill_between(middle, low, high, color=colours[name], alpha=0.2, lw=0)
    ax.fill_between(middle, low_half, high_half, color=colours[name], alpha=0.35, lw=0)
    ax.plot(bands[:, 2], y_test, ".", color="0.2", ms=2.5)
    ax.set(xlabel="rings, the predicted median", title=name, xlim=(3, 17), ylim=(0, 28))
axes[1].set_ylabel("rings")
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
figure.savefig("model_selection.png", dpi=120)
