"""
Labels with a probability: when to say "I do not know"
======================================================

A classifier that must answer is wrong now and then. One that knows how sure it is may pass the
doubtful cases on, to a person: the handwritten digits that are read wrongly, one in thirty, are
among the few whose best probability is low. One learns to choose how many to pass on, and sees
which they are. The digits, 8 by 8 pixels, come with scikit-learn.

Run it with ``python examples/multiclass_uncertainty.py``; it saves ``multiclass_uncertainty.png``
in the current directory.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.gaussian_process.kernels import RBF
from sklearn.model_selection import train_test_split

from skgpng import GaussianProcessClassifier

# %%
# Ten classes, 64 columns of one unit: one length scale for all pixels. Forty inducing points are
# enough for 500 digits.

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=500, random_state=0)
model = GaussianProcessClassifier(1.0 * RBF(25.0), n_inducing=40, random_state=0)
p = model.fit(X_train, y_train).predict_proba(X_test)
answer, sureness = model.classes_[p.argmax(axis=1)], p.max(axis=1)
wrong = answer != y_test
print(f"{len(y_test)} digits, {wrong.sum()} read wrongly ({100 * wrong.mean():.1f} %)")

# %%
# Are the probabilities what they say? With 500 digits to learn from they are cautious: more answers
# are right than they promise, and none of those that are given with 0.7 and more is wrong.

for low, high in [(0, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1)]:
    rows = (sureness > low) & (sureness <= high)
    print(f"best probability {low:.1f} to {high:.1f}: {rows.sum():4d} digits, "
          f"mean {sureness[rows].mean():.2f}, right {1 - wrong[rows].mean():.2f}")  # fmt: skip

# %%
# Pass on what is least sure, and count the errors among the rest. ``order`` has the doubtful ones
# first.

order = np.argsort(sureness)
passed = np.arange(0, len(order) // 2)
remaining = wrong.sum() - np.concatenate([[0], wrong[order].cumsum()])[passed]
error = remaining / (len(order) - passed)
for share in (0, 0.05, 0.1, 0.2):
    k = int(share * len(order))
    print(f"{100 * share:3.0f} % passed on (surer than {sureness[order[k]]:.2f}): "
          f"errors {100 * error[k]:.2f} %")  # fmt: skip

# %%
# The least sure, with the three likeliest answers; in red, those that were read wrongly.

figure = plt.figure(figsize=(10.5, 3.9), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=[1, 1.9])
ax = left.subplots()
ax.plot(100 * passed / len(order), 100 * error, color="#1f5fa8", lw=2, label="the least sure")
ax.axhline(100 * wrong.mean(), color="0.5", lw=1, ls="--", label="any")
ax.set(xlabel="passed on, %", ylabel="errors among the rest, %", xlim=(0, 30), ylim=(0, None))
ax.legend(frameon=False, title="passed on are")
ax.spines[["top", "right"]].set_visible(False)
for ax, row in zip(right.subplots(2, 6).flat, order, strict=False):
    ax.imshow(X_test[row].reshape(8, 8), cmap="gray_r")
    best = np.argsort(p[row])[::-1][:3]
    text = "\n".join(f"{model.classes_[k]}: {p[row, k]:.2f}" for k in best)
    ax.set_title(text, fontsize=8, color="#d1495b" if wrong[row] else "0.2")
    ax.set(xticks=[], yticks=[])
figure.savefig("multiclass_uncertainty.png", dpi=120)
