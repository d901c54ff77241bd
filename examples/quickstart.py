"""
Quickstart: Gaussian processes in a scikit-learn pipeline
=========================================================

Cross-validates a regressor, searches over its kernel and settings, fits a classifier, puts both
beside scikit-learn's own Gaussian processes, and draws a fit with its uncertainty. All data come
with scikit-learn or are made here.

Run it with ``python examples/quickstart.py``; it saves ``quickstart.png`` in the current
directory.
"""

from __future__ import annotations

import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn import gaussian_process as sklearn_gp
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import RBF, Matern, WhiteKernel
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor

start = time.perf_counter()

# %%
# Regression in a pipeline
# ------------------------
# The default kernel has one length scale per column, learned from the data like the noise. R2
# judges the mean only; the log density of held-out targets judges the uncertainty too. The
# function below is a scorer for any regressor whose ``predict`` knows ``return_std``.


def log_density(model, X, y):
    """Mean log density of y under the normal distributions that the model predicts."""
    mean, std = model.predict(X, return_std=True)
    return np.mean(-0.5 * np.log(2 * np.pi * std**2) - 0.5 * ((y - mean) / std) ** 2)


X, y = load_diabetes(return_X_y=True)
model = make_pipeline(StandardScaler(), GaussianProcessRegressor(random_state=0))

begin = time.perf_counter()
r2 = cross_val_score(model, X, y, cv=3)
print(f"diabetes, {len(X)} rows, cross-validated in {time.perf_counter() - begin:.1f} s")
print("R2 of the folds:", *(f"{score:.3f}" for score in r2))

# %%
# Grid search
# -----------
# Every setting has a name to search over, down to the hyperparameters inside the kernel. The first
# grid tries kernels with every row and with 30 inducing points. The second holds the length scale
# of a kernel fixed at two values and varies the natural-gradient step. Numbers compile
# nothing new, so that a search spends its time on fits. More than half of the rows are held out.

gp = "gaussianprocessregressor"
grids = [
    {
        f"{gp}__kernel": [1.0 * RBF(3.0), 1.0 * Matern(3.0, nu=1.5)],
        f"{gp}__n_inducing": [None, 30],
    },
    {
        f"{gp}__kernel": [1.0 * Matern(3.0, "fixed", nu=2.5) + WhiteKernel(0.5)],
        f"{gp}__kernel__k1__k2__length_scale": [3.0, 9.0],
        f"{gp}__n_inducing": [30],
        f"{gp}__gamma": [0.5, 1.0],
    },
]
X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=200, random_state=0)

begin = time.perf_counter()
search = GridSearchCV(model, grids, scoring=log_density, cv=3, error_score="raise")
search.fit(X_train, y_train)
n_fits = search.n_splits_ * len(search.cv_results_["params"]) + 1
print(f"\ngrid search, {n_fits} fits in {time.perf_counter() - begin:.1f} s")
for name, value in search.best_params_.items():
    print(f"  {name} = {value}")
print("  learned:", search.best_estimator_[-1].kernel_)
print(f"  held-out log density {search.score(X_test, y_test):.3f}")

# %%
# Beside scikit-learn's own
# -------------------------
# The estimators carry scikit-learn's names, and take the same kernel objects. Below are the same
# rows and the same kernel for both. The log density is the mean over held-out rows, in nats; the
# score is R2 or accuracy. The seconds are those of one ``fit``; for skgpng they include compiling
# the training loop, once per kernel structure and process. scikit-learn's classifier works with a
# Laplace approximation and the logistic link, skgpng's with a variational one and the probit link.


def compare(title, ours, theirs, data, log_density):
    """Fit both on the same rows and print a line of the table for each."""
    X_train, X_test, y_train, y_test = data
    for library, estimator in [("skgpng", ours), ("scikit-learn", theirs)]:
        model = make_pipeline(StandardScaler(), estimator)
        begin = time.perf_counter()
        with warnings.catch_warnings():
            # scikit-learn warns when the length scale of a column without influence meets its
            # upper bound; that is where it belongs.
            warnings.filterwarnings("ignore", ".*close to the specified", ConvergenceWarning)
            model.fit(X_train, y_train)
        seconds = time.perf_counter() - begin
        score, density = model.score(X_test, y_test), log_density(model, X_test, y_test)
        print(f"{title:39} {library:12} {score:6.3f} {density:12.3f} {seconds:8.1f}")


def log_probability(model, X, y):
    """Mean log probability of the labels 0 and 1."""
    return np.mean(np.log(model.predict_proba(X)[np.arange(len(y)), y]))


print(f"\n{'data and kernel':39} {'library':12} {'score':>6} {'log density':>12} {'seconds':>8}")
diabetes = X_train, X_test, y_train, y_test
kernels = {
    "one length scale": 1.0 * Matern(3.0, nu=2.5) + WhiteKernel(0.5),
    "one per column": 1.0 * Matern(np.full(10, 3.0), nu=2.5) + WhiteKernel(0.5),
}
for name, kernel in kernels.items():
    compare(
        f"diabetes, Matern-5/2, {name}",
        GaussianProcessRegressor(kernel),
        sklearn_gp.GaussianProcessRegressor(kernel, normalize_y=True),
        diabetes,
        log_density,
    )

# %%
# Classification
# --------------
# The classifier goes into the same table. ``predict_proba`` averages over the uncertainty of the
# latent function, without sampling.

X, y = load_breast_cancer(return_X_y=True)
cancer = train_test_split(X, y, train_size=200, random_state=0, stratify=y)
compare(
    "breast cancer, RBF, one length scale",
    GaussianProcessClassifier(1.0 * RBF(5.0)),
    sklearn_gp.GaussianProcessClassifier(1.0 * RBF(5.0)),
    cancer,
    log_probability,
)

# %%
# A fit and its uncertainty
# -------------------------
# The dark band holds the function with 95 % probability, the light one a new observation. Both
# widen where there are no data.

rng = np.random.RandomState(4)
x = np.sort(np.concatenate([rng.uniform(0, 4.2, 45), rng.uniform(6.3, 9, 30)]))


def truth(x):
    return np.sin(1.7 * x) * np.exp(-0.12 * x) + 0.15 * x


noisy = truth(x) + 0.15 * rng.randn(len(x))
model = GaussianProcessRegressor().fit(x[:, None], noisy)

grid = np.linspace(-0.8, 10.5, 400)
mean, std_y = model.predict(grid[:, None], return_std=True)
_, std_f = model.predict(grid[:, None], return_std=True, include_noise=False)

figure, axes = plt.subplots(figsize=(9, 4.2), layout="constrained")
for std, colour, label in [
    (std_y, "#dce7f4", "95 % for an observation"),
    (std_f, "#a5c1e1", "95 % for the function"),
]:
    low, high = mean - 1.96 * std, mean + 1.96 * std
    axes.fill_between(grid, low, high, color=colour, lw=0, label=label)
axes.plot(grid, mean, color="#1f5fa8", lw=2, label="mean")
axes.plot(grid, truth(grid), color="0.25", lw=1.2, ls=(0, (5, 3)), label="true function")
axes.plot(x, noisy, "o", color="#d1495b", ms=4.5, mec="white", mew=0.5, label="data")
axes.set(xlabel="x", ylabel="y", xlim=(grid[0], grid[-1]))
axes.set_title(f"{len(x)} noisy points; learned noise {model.noise_variance_**0.5:.2f}, true 0.15")
axes.spines[["top", "right"]].set_visible(False)
axes.legend(frameon=False, ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.16))
figure.savefig("quickstart.png", dpi=120)
print(f"\nsaved quickstart.png; {time.perf_counter() - start:.0f} seconds in all")
