"""
Rows on the workers of a cluster
================================

``skgpng.dask`` has the two estimators for Dask arrays and data frames: rows stay where they are,
each worker adds up its own, and matrices of the size of the inducing points go to and fro. Here the
cluster is two workers in this process; with a scheduler's address in the place of
``processes=False`` they are machines. One learns that a cluster gives the numbers of one process,
and what a lazy prediction is.

Run it with ``python examples/many_machines.py``; it saves ``many_machines.png`` in the current
directory.
"""

from __future__ import annotations

import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
from distributed import Client

from skgpng.dask import GaussianProcessRegressor

client = Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=":0")

# %%
# Ten thousand rows in five chunks that nobody has seen together: chunks are made on the workers,
# and ``persist`` keeps them there.

rng = da.random.default_rng(0)
X = rng.uniform(-3, 3, (10_000, 3), chunks=(2_000, 3)).persist()
noise = 0.3 * rng.standard_normal(10_000, chunks=2_000)
y = (da.sin(2 * X[:, 0]) + 0.5 * X[:, 1] + noise).persist()
print(X)

# %%
# ``fit`` leaves them there. Without ``n_inducing`` it would predict from neighbours, in a sample of
# the rows; with it, it learns from all of them.

settings = {"n_inducing": 40, "tol": 0.01, "n_iter_no_change": 5, "random_state": 0}
model = GaussianProcessRegressor(**settings).fit(X, y)
print(model.summary())

# %%
# The same by one process, on rows at hand: ``to_local`` gives the ordinary estimator.

here = model.to_local().__class__(**settings).fit(X.compute(), y.compute())
print(f"elbo_ of the cluster {model.elbo_:.6f}, of one process {here.elbo_:.6f}")

# %%
# Predictions of a Dask array are lazy, chunk by chunk; nothing is computed until it is asked for.
# Here only the share of rows within their bands comes back.

mean, std = model.predict(X, return_std=True)
print(mean)
inside = (da.fabs(y - mean) < 1.96 * std).mean()
print(f"{100 * inside.compute():.1f} % of y are within bands of 95 %")

# %%
along = np.column_stack([np.linspace(-3, 3, 200), np.zeros((200, 2))])
line, width = model.predict(along, return_std=True)  # an array gives an array
some = X[::40].compute(), y[::40].compute()

figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="constrained")
axes[0].scatter(some[0][:, 0], some[1] - 0.5 * some[0][:, 1], s=6, color="0.6")
axes[0].plot(along[:, 0], line, color="#1f5fa8")
axes[0].fill_between(along[:, 0], line - 1.96 * width, line + 1.96 * width, alpha=0.2)
axes[0].set(title="y less half of column 1, and prediction", xlabel="column 0")
steps = np.arange(len(here.elbo_curve_))
axes[1].plot(steps, here.elbo_curve_, color="#d1495b", lw=4, alpha=0.4, label="one process")
axes[1].plot(model.elbo_curve_, color="#1f5fa8", lw=1.2, label="two workers")
axes[1].set(title="bound, step by step", xlabel="step")
axes[1].legend(frameon=False)
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
figure.savefig("many_machines.png", dpi=120)

client.close()
