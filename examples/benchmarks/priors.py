"""The prior of the default kernel beside the same kernel without it, and one length scale for all.

    python examples/benchmarks/priors.py [SETS ...] [--rows 100 200 0] [--splits 5]
        [--data-folder ../shared/data]

Mean held-out NLPD over the first published splits, of labels in nats, of y in units of its standard
deviation over the rows trained on. These are the first so many of a random order of the training
rows of the split, by ``RandomState(split)``; 0 stands for all. Columns are scaled by hand, for the
sake of the kernel with one length scale. All else is as the estimators have it by default. Lines
end with what the default loses to the better of the other two (negative where it gains), and where
that is more than 0.01, with a mark.
"""

from __future__ import annotations

import argparse
import os
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import numpy as np
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
SETS = ["ionosphere", "oilflow", "heart", "pima", "banana400", "boston", "concrete", "wine_red"]
ARGUMENTS.add_argument("sets", nargs="*", metavar="SETS", default=SETS)
ARGUMENTS.add_argument("--rows", type=int, nargs="*", default=[100, 200, 0])
ARGUMENTS.add_argument("--splits", type=int, default=5)
common.add_data(ARGUMENTS)
common.add_output(ARGUMENTS)
KERNELS = ("default", "one a column", "one in all")


def kernel(kind: str, D: int) -> Any:
    """What the default is for scaled columns, with or without its prior, or its one-scale form."""
    scale = np.full(D, D**0.5)
    given = {"default": None, "one a column": scale, "one in all": D**0.5}[kind]
    if given is None:
        return None
    bounds = (1e-3 * D**0.5, 1e4 * D**0.5)
    return ConstantKernel(1.0, (1e-4, 1e4)) * Matern(given, bounds, nu=2.5)


def fit(kind: str, rows: common.Rows, labels: bool) -> dict:
    """One training and its held-out figure."""
    from skgpng import GaussianProcessClassifier, GaussianProcessRegressor

    Estimator = GaussianProcessClassifier if labels else GaussianProcessRegressor
    model = Estimator(kernel(kind, rows.X.shape[1]), random_state=0).fit(rows.X, rows.y)
    if labels:
        p = model.predict_proba(rows.X_test)
        seen = np.searchsorted(model.classes_, rows.y_test)
        nlpd = -float(np.mean(np.log(p[np.arange(len(p)), seen])))
    else:
        nlpd = -float(np.mean(model.log_predictive_density(rows.X_test, rows.y_test)))
    return {"nlpd": nlpd, "elbo": model.elbo_, "steps": model.n_iter_}


def splits_of(name: str, n: int, count: int, folder: Path) -> tuple[bool, list[common.Rows]]:
    """Whether y are labels, and the rows of each split; none where there are too few."""
    sets = common.data_sets(folder)
    X, y, splits = sets.load(name)
    labels = sets.info(name)["task"] != "regression"
    every = []
    for k, (train, test) in enumerate(splits[:count]):
        if n <= len(train):
            chosen = train[np.random.RandomState(k).permutation(len(train))[: n or None]]
            *rows, _, scale = sets.standardize(X, y, chosen, test, scale_y=not labels)
            every.append(common.Rows(*rows, scale))
    return labels, every


def line(name: str, n: int, runs: dict[str, list]) -> list[str]:
    """Of the table."""
    means = [float(np.mean([run["nlpd"] for run in runs[kind]])) for kind in KERNELS]
    loss = means[0] - min(means[1:])
    mark = " *" if loss > 0.01 else ""
    return [name, str(n or "all"), *(f"{m:.3f}" for m in means), f"{loss:+.3f}{mark}"]


def main() -> None:
    """Every set and size."""
    a = ARGUMENTS.parse_args()
    warnings.simplefilter("ignore")
    lines, every = [], []
    for name in a.sets:
        for n in a.rows:
            labels, splits = splits_of(name, n, a.splits, a.data_folder)
            if not splits:
                continue
            runs = {kind: [fit(kind, rows, labels) for rows in splits] for kind in KERNELS}
            every.append({"set": name, "rows": n, **runs})
            lines.append(line(name, n, runs))
            print(*lines[-1], flush=True)
    header = ["set", "rows", *KERNELS, "loss"]
    libraries = common.interpreters([], ["skgpng"])
    common.finish(a.json, libraries, common.table(header, lines), every)


if __name__ == "__main__":
    main()
