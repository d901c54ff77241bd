"""
Wrong labels: how many, and which
=================================

One label in eight of a data set is changed at random. Three classifiers learn from it: the default,
one that is told the share of wrong labels (``epsilon``), and robust-max, which learns it. The data
come with scikit-learn.

Run it with ``python examples/label_noise.py``; it saves ``label_noise.png`` in the current
directory.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgpng import GaussianProcessClassifier

SHARE = 0.125

# %%
# Tumours, benign (1) or malignant (0), by ten features of cells; the labels of the rows to test
# with get errors too, so that probabilities can be held against what would be seen.

X, y = load_breast_cancer(return_X_y=True)
X = X[:, :10]
seen = np.where(np.random.RandomState(1).uniform(size=len(y)) < SHARE, 1 - y, y)
train, test = train_test_split(np.arange(len(y)), train_size=0.6, random_state=0, stratify=y)

models = {
    "default": GaussianProcessClassifier(random_state=0),
    "logit, epsilon given": GaussianProcessClassifier(
        likelihood="logit", epsilon=SHARE, random_state=0
    ),
    "robust-max, epsilon learned": GaussianProcessClassifier(
        likelihood="robust_max", epsilon=None, random_state=0
    ),
}

# %%
# ``predict_proba`` speaks of labels with errors. What a label would be without them follows from
# :math:`p = \epsilon + (1 - 2\epsilon)\, p_{true}`. The labels that a model finds least probable
# are those to look at first: here, how many of as many as there are wrong ones are wrong.

wrong = seen[train] != y[train]
fitted = {}
for name, model in models.items():
    fitted[name] = make_pipeline(StandardScaler(), model).fit(X[train], seen[train])
    p = fitted[name].predict_proba(X[test])
    own = fitted[name].predict_proba(X[train])[np.arange(len(train)), seen[train]]
    suspects = np.argsort(own)[: wrong.sum()]
    print(f"{name}: share of wrong labels {model.likelihood_['epsilon']:.3f}")
    print(
        f"  log loss {log_loss(seen[test], p):.3f}, of the true labels right "
        f"{np.mean(p.argmax(1) == y[test]):.3f}, found {wrong[suspects].sum()} of {wrong.sum()}"
    )

# %%
# How often each predicted probability comes true, and the probabilities without errors.

figure, axes = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
axes[0].plot([0, 1], [0, 1], color="grey", lw=0.8)
for name, model in models.items():
    p = fitted[name].predict_proba(X[test])[:, 1]
    share, mean = calibration_curve(seen[test], p, n_bins=5, strategy="quantile")
    axes[0].plot(mean, share, "o-", label=name)
    epsilon = model.likelihood_["epsilon"]
    axes[1].hist(
        np.clip((p - epsilon) / (1 - 2 * epsilon), 0, 1), np.linspace(0, 1, 21), histtype="step"
    )
axes[0].set(xlabel="predicted probability of 1", ylabel="share of 1 among labels seen")
axes[0].legend()
axes[1].set(xlabel="probability of 1 without errors", ylabel="rows")
figure.savefig("label_noise.png", dpi=150)
