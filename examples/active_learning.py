"""
Which label to ask for next
===========================

Labels cost, rows do not: somebody has to look at each. A classifier that knows where it is unsure
can ask for those labels from which it learns most. Here it is to tell even from odd digits, begins
with ten labels, and asks for five at a time, those with a probability nearest to 1/2; a second one
gets as many at random. One learns how little it takes, and that what is asked for first is what is
hard to read. The digits come with scikit-learn.

Run it with ``python examples/active_learning.py``; it saves ``active_learning.png`` in the current
directory.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.gaussian_process.kernels import RBF
from sklearn.model_selection import train_test_split

from skgpng import GaussianProcessClassifier

X, digit = load_digits(return_X_y=True)
odd = digit % 2
pool, test = train_test_split(np.arange(len(X)), train_size=1000, random_state=0)

# %%
# The loop
# --------
# Fit, ask, fit again. A fit on a hundred rows takes some hundredths of a second.


def learn(ask, seed, rounds=16):
    """Accuracies after each round, and the rows in the order in which they were asked for."""
    rng = np.random.RandomState(seed)
    known = rng.choice(pool, 10, replace=False)
    model = GaussianProcessClassifier(1.0 * RBF(25.0))
    accuracies = [model.fit(X[known], odd[known]).score(X[test], odd[test])]
    for _ in range(rounds):
        rest = np.setdiff1d(pool, known)
        known = np.append(known, rest[ask(model, rest, rng)[:5]])
        accuracies.append(model.fit(X[known], odd[known]).score(X[test], odd[test]))
    return np.array(accuracies), known


def unsure(model, rows, rng):
    """Positions of the rows, those with probabilities nearest to 1/2 first."""
    return np.argsort(np.abs(model.predict_proba(X[rows])[:, 1] - 0.5))


def at_random(model, rows, rng):
    """Positions of the rows in any order."""
    return rng.permutation(len(rows))


# %%
# Three runs of each.

labels = 10 + 5 * np.arange(17)
runs = {
    "asked for": [learn(unsure, seed) for seed in range(3)],
    "at random": [learn(at_random, seed) for seed in range(3)],
}
curves = {name: np.array([accuracies for accuracies, _ in runs[name]]) for name in runs}
for name, curve in curves.items():
    errors = 100 - 100 * curve.mean(axis=0)
    print(f"labels {name}: errors of {len(test)} digits", end="")
    print(*(f", {errors[k]:.1f} % with {labels[k]}" for k in (0, 8, 16)), sep="")
first = np.mean(curves["asked for"].mean(axis=0) < curves["at random"].mean(axis=0)[-1])
enough = labels[int(first * len(labels))]
print(f"{enough} labels that were asked for are as good as {labels[-1]} at random")

# %%
# Errors, the range of the three runs as a band, and the last digits of the first run of each.

figure = plt.figure(figsize=(10.5, 4), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=[1, 1])
ax = left.subplots()
groups = right.subfigures(2, 1)
for name, colour, group in zip(curves, ["#d1495b", "0.45"], groups, strict=True):
    errors = 100 - 100 * curves[name]
    ax.fill_between(labels, errors.min(axis=0), errors.max(axis=0), color=colour, alpha=0.2, lw=0)
    ax.plot(labels, errors.mean(axis=0), color=colour, lw=2, label=name)
    group.suptitle(f"the last labels {name}", color=colour)
    for cell, row in zip(group.subplots(2, 8).flat, runs[name][0][1][::-1], strict=False):
        cell.imshow(X[row].reshape(8, 8), cmap="gray_r")
        cell.set(xticks=[], yticks=[])
ax.set(xlabel="labels", ylabel="errors, %", xlim=(10, labels[-1]), ylim=(0, None))
ax.legend(frameon=False, title="labels")
ax.spines[["top", "right"]].set_visible(False)
figure.savefig("active_learning.png", dpi=120)
