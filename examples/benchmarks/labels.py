"""Links of the classifier, with the share of wrong labels as it is by default or learned.

    python examples/benchmarks/labels.py [SETS ...] [--splits 3] [--rows 400] [--flipped 0.1]
        [--data-folder ../shared/data]

Mean held-out NLPD in nats over the first published splits (iris and wine_classes, of scikit-learn:
over three folds, stratified), trained on the first so many of a random order of the training rows,
by ``RandomState(split)``. Columns: labels as they are; a share of the training labels changed to
another class at random, by the labels of the test rows as they are; and the same, by test labels of
which such a share is changed too (the expectation over these changes). Last the share learned.
All else is as the estimator has it by default.
"""

from __future__ import annotations

import argparse
import os
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import numpy as np

ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
SETS = ["pima", "heart", "ionosphere", "banana400", "oilflow", "wine_classes", "iris"]
ARGUMENTS.add_argument("sets", nargs="*", metavar="SETS", default=SETS)
ARGUMENTS.add_argument("--splits", type=int, default=3)
ARGUMENTS.add_argument("--rows", type=int, default=400)
ARGUMENTS.add_argument("--flipped", type=float, default=0.1)
common.add_data(ARGUMENTS)
common.add_output(ARGUMENTS)


def splits_of(name: str, count: int, folder: Path) -> tuple[np.ndarray, np.ndarray, list]:
    """X, class numbers y, and pairs of rows to train on and to test with."""
    from sklearn.datasets import load_iris, load_wine
    from sklearn.model_selection import StratifiedKFold

    of_scikit_learn = {"iris": load_iris, "wine_classes": load_wine}
    if name in of_scikit_learn:
        X, y = of_scikit_learn[name](return_X_y=True)
        splits = list(StratifiedKFold(3, shuffle=True, random_state=0).split(X, y))
    else:
        X, y, splits = common.data_sets(folder).load(name)
        y = np.unique(y, return_inverse=True)[1]
    return X, y, splits[:count]


def changed(y: np.ndarray, share: float, C: int, seed: int) -> np.ndarray:
    """Labels of which a share is another one, any of the others as often."""
    rng = np.random.RandomState(seed)
    wrong = rng.permutation(len(y)) < round(share * len(y))
    return np.where(wrong, (y + rng.randint(1, C, len(y))) % C, y)


def fit(likelihood: str, epsilon: float | str | None, X: np.ndarray, y: np.ndarray) -> object:
    """One training."""
    from skgpng import GaussianProcessClassifier

    return GaussianProcessClassifier(likelihood=likelihood, epsilon=epsilon, random_state=0).fit(
        X, y
    )


def nlpd(model: object, X: np.ndarray, y: np.ndarray, share: float = 0.0) -> float:
    """By labels of which a share is wrong."""
    log_p = np.log(model.predict_proba(X))
    own, C = log_p[np.arange(len(y)), y], log_p.shape[1]
    others = (log_p.sum(1) - own) / (C - 1)
    return -float(np.mean((1.0 - share) * own + share * others))


def figures(
    likelihood: str, epsilon: float | str | None, name: str, a: argparse.Namespace
) -> list[list[float]]:
    """Of each split: the columns of the table."""
    X, y, splits = splits_of(name, a.splits, a.data_folder)
    found = []
    for k, (train, test) in enumerate(splits):
        rows = train[np.random.RandomState(k).permutation(len(train))[: a.rows]]
        noisy = changed(y[rows], a.flipped, y.max() + 1, k)
        clean = fit(likelihood, epsilon, X[rows], y[rows])
        flipped = fit(likelihood, epsilon, X[rows], noisy)
        found.append(
            [
                nlpd(clean, X[test], y[test]),
                nlpd(flipped, X[test], y[test]),
                nlpd(flipped, X[test], y[test], a.flipped),
                clean.likelihood_["epsilon"],
                flipped.likelihood_["epsilon"],
            ]
        )
    return found


def main() -> None:
    """Every set, link and share."""
    a = ARGUMENTS.parse_args()
    warnings.simplefilter("ignore")
    lines, every = [], []
    for name in a.sets:
        two = splits_of(name, 1, a.data_folder)[1].max() == 1
        for likelihood in ("probit", "logit", "softmax", "robust_max")[0 if two else 2 :]:
            for epsilon in ("auto", None):
                runs = figures(likelihood, epsilon, name, a)
                every.append({"set": name, "likelihood": likelihood, "epsilon": epsilon, "r": runs})
                means = np.mean(runs, 0)
                learned = "learned" if epsilon is None else ""
                lines.append([name, likelihood, learned, *(f"{m:.3f}" for m in means)])
                print(*lines[-1], flush=True)
    header = ["set", "likelihood", "epsilon", "clean", "flipped", "test too", "share", "flipped"]
    libraries = common.interpreters([], ["skgpng"])
    common.finish(a.json, libraries, common.table(header, lines), every)


if __name__ == "__main__":
    main()
