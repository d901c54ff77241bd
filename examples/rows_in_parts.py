"""
Rows that come one after the other
==================================

A power station reports each hour; a week of hours is learned at a time by ``partial_fit``, and rows
are not kept. One learns what that costs beside a new ``fit`` on all rows so far: nothing in error,
and in time and memory each call costs what the one before it did.

The data are the first 4704 hours in the file of the combined cycle power plant of Tufekci & Kaya
(2014), UCI Machine Learning Repository, CC BY 4.0: the power that is sold, from temperature,
vacuum, pressure and humidity, in the order in which they published it.

Run it with ``python examples/rows_in_parts.py``; it saves ``rows_in_parts.png`` in the current
directory.
"""

from __future__ import annotations

import pickle
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skgpng import GaussianProcessRegressor
from skgpng.metrics import interval_coverage

here = Path(__file__).parent if "__file__" in globals() else Path.cwd()
table = np.loadtxt(here / "data" / "power_plant.csv", delimiter=",", skiprows=1)
X, y = table[:, :-1], table[:, -1]
weeks = np.arange(len(y)).reshape(-1, 168)

# %%
# Each week is predicted before it is learned, so that every error is one of rows not seen. The
# first 2048 rows are kept and hyperparameters trained on them, now and then; after that no row is.
# ``fit`` on all rows so far is done twice, for comparison.


def timed(method, *rows):
    """Seconds that a method takes."""
    begin = time.perf_counter()
    method(*rows)
    return time.perf_counter() - begin


stream = GaussianProcessRegressor(n_inducing=64, random_state=0)
anew = GaussianProcessRegressor(n_inducing=64, random_state=0).fit(X[:168], y[:168])
errors, inside, seconds, kilobytes, again = [], [], [], [], []
for number, rows in enumerate(weeks):
    if number:
        mean, std = stream.predict(X[rows], return_std=True)
        errors.append(np.sqrt(np.mean((mean - y[rows]) ** 2)))
        inside.append(interval_coverage(y[rows], mean - 1.645 * std, mean + 1.645 * std))
    seconds.append(timed(stream.partial_fit, X[rows], y[rows]))
    kilobytes.append(len(pickle.dumps(stream)) / 1000)
    if number in (13, 27):
        took = timed(anew.fit, X[: rows[-1] + 1], y[: rows[-1] + 1])
        again.append((number + 1, took, len(pickle.dumps(anew)) / 1000))

# %%
# The last ten weeks: how large errors are, and whether the bands hold.

last = weeks[-10:].ravel()
print(f"error of a week not seen, the first three: {np.mean(errors[:3]):.2f} MW")
print(f"the last ten: {np.mean(errors[-10:]):.2f} MW, of which the mean alone would have "
      f"{y[last].std():.1f}; bands of 90 % held {100 * np.mean(inside):.0f} %")  # fmt: skip
print(f"a call in the last ten weeks took {np.median(seconds[-10:]):.2f} s, "
      f"a fit on all rows {again[-1][1]:.2f} s")  # fmt: skip
print(f"the model is {kilobytes[-1]:.0f} kB, the rows would be {table.nbytes / 1000:.0f}")

# %%
figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
count = np.arange(1, len(weeks) + 1)
axes[0].plot(count[1:], errors, ".-", color="#1f5fa8")
axes[0].axhline(np.mean(errors), color="0.5", lw=1, ls="--")
axes[0].set(title="error of the next week, MW", ylim=(0, 6))
axes[1].plot(count, seconds, ".-", color="#1f5fa8", label="partial_fit of a week")
axes[1].plot(*np.array(again).T[:2], "o--", color="#d1495b", label="fit on all weeks")
axes[1].set(title="seconds a call", ylim=(0, None))
axes[1].legend(frameon=False)
axes[2].plot(count, kilobytes, ".-", color="#1f5fa8", label="model")
axes[2].plot(count, count * table.nbytes / len(weeks) / 1000, color="0.5", label="rows seen")
axes[2].set(title="kilobytes", ylim=(0, None))
axes[2].legend(frameon=False)
for ax in axes:
    ax.set(xlabel="weeks")
    ax.spines[["top", "right"]].set_visible(False)
figure.savefig("rows_in_parts.png", dpi=120)
