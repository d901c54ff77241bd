"""Columns of levels: kernels of their correlations beside one kernel on one-hot columns.

    python examples/benchmarks/kernels.py [SETS ...] [--rows 2000] [--inducing 100] [--splits 1]
        [--data-folder ../shared/data]

Mean held-out log density, of labels in nats, of y in units of its standard deviation over the rows
trained on. These are the first so many of a random order of the training rows of the split, by
``RandomState(split)``; all models have the same number of inducing points. Real columns are scaled
by hand, and so are indicators for the kernels on one-hot columns. Kernels of levels are factors of
the ARD kernel of the real columns, but terms of "a sum", with one angle a column. The last figures
are what a model gains on the ARD kernel of one-hot columns, on the same rows.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import numpy as np
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
SETS = {
    "adult": [
        "workclass_",
        "marital_",
        "occupation_",
        "relationship_",
        "race_",
        "sex_",
        "country_",
    ],
    "abalone": ["Sex="],
}
ARGUMENTS.add_argument("sets", nargs="*", metavar="SETS", default=list(SETS))
ARGUMENTS.add_argument("--rows", type=int, default=2000)
ARGUMENTS.add_argument("--inducing", type=int, default=100)
ARGUMENTS.add_argument("--splits", type=int, default=1)
common.add_data(ARGUMENTS)
common.add_output(ARGUMENTS)
MODELS = (
    "one-hot, default kernel",
    "one-hot, ARD",
    "one angle a column",
    "one angle a level",
    "all angles",
    "a sum",
)


class Split(NamedTuple):
    """Rows with one-hot columns, and with columns of levels behind the real ones."""

    one_hot: common.Rows
    levels: common.Rows
    n_levels: list[int]


def kernel_of_levels(n_real: int, n_levels: list[int], angles: str) -> Any:
    """An ARD kernel of the real columns times one of each column of levels."""
    from skgpng.kernels import Categorical, Columns

    real = Matern(np.full(n_real, n_real**0.5), nu=2.5)
    kernel = ConstantKernel(1.0, (1e-4, 1e4)) * Columns(real, list(range(n_real)))
    for k, n in enumerate(n_levels):
        if angles == "a sum":
            of_levels = Columns(Categorical(n, 0.8), [n_real + k])
            kernel += ConstantKernel(0.3, (1e-4, 1e4)) * of_levels
            continue
        start = 0.3  # a correlation of 0.91: rows differ in many columns at once
        shapes = {"one angle a column": (), "one angle a level": (n, 1)}
        angle = np.full(shapes.get(angles, (n * (n - 1) // 2,)), start)
        if angles == "all angles":  # such that all levels are as close to each other
            angle = equal_angles(n, np.cos(start) ** 2)
        kernel *= Columns(Categorical(n, angle[()]), [n_real + k])
    return kernel


def equal_angles(n: int, correlation: float) -> np.ndarray:
    """Angles of n levels any two of which have the same correlation."""
    L = np.linalg.cholesky(np.full((n, n), correlation) + (1.0 - correlation) * np.eye(n))
    left = np.sqrt(np.maximum(1.0 - np.cumsum(L**2, 1) + L**2, 1e-300))
    return np.arccos(np.clip(L / left, -1.0, 1.0))[np.tri(n, k=-1, dtype=bool)]


def fit(model: str, split: Split, labels: bool, n_inducing: int) -> dict:
    """One training and its held-out figure."""
    from skgpng import GaussianProcessClassifier, GaussianProcessRegressor

    rows = split.one_hot if model.startswith("one-hot") else split.levels
    D, kernel = rows.X.shape[1], None
    if model == "one-hot, ARD":
        kernel = ConstantKernel(1.0, (1e-4, 1e4)) * Matern(np.full(D, D**0.5), nu=2.5)
    elif rows is split.levels:
        kernel = kernel_of_levels(D - len(split.n_levels), split.n_levels, model)
    Estimator = GaussianProcessClassifier if labels else GaussianProcessRegressor
    estimator = Estimator(kernel, n_inducing=n_inducing, random_state=0)
    begin = time.perf_counter()
    estimator.fit(rows.X, rows.y)
    seconds = time.perf_counter() - begin
    if labels:
        p = estimator.predict_proba(rows.X_test)
        density = float(np.mean(np.log(p[np.arange(len(p)), rows.y_test])))
    else:
        density = float(np.mean(estimator.log_predictive_density(rows.X_test, rows.y_test)))
    return {"density": density, "elbo": estimator.elbo_, "seconds": seconds}


def splits_of(name: str, n: int, count: int, folder: Path) -> tuple[bool, list[Split]]:
    """Whether y are labels, and the rows of each split."""
    sets = common.data_sets(folder)
    (X, y, splits), names = sets.load(name), sets.raw(name)["features"]
    labels = sets.info(name)["task"] != "regression"
    groups = [np.flatnonzero(np.char.startswith(names, prefix)) for prefix in SETS[name]]
    real = np.setdiff1d(np.arange(X.shape[1]), np.concatenate(groups))
    codes = np.column_stack([X[:, group].argmax(1) for group in groups])
    every = []
    for k in range(count):
        train, test = splits[k % len(splits)]
        chosen = train[np.random.RandomState(k).permutation(len(train))[:n]]
        both = []
        for columns, levels in (slice(None), None), (real, codes):
            *rows, _, scale = sets.standardize(X[:, columns], y, chosen, test, scale_y=not labels)
            if levels is not None:
                rows[0] = np.column_stack([rows[0], levels[chosen]])
                rows[2] = np.column_stack([rows[2], levels[test]])
            both.append(common.Rows(*rows, scale))
        every.append(Split(*both, [len(group) for group in groups]))
    return labels, every


def main() -> None:
    """Every set and model."""
    a = ARGUMENTS.parse_args()
    warnings.simplefilter("ignore")
    lines, every = [], []
    for name in a.sets:
        labels, splits = splits_of(name, a.rows, a.splits, a.data_folder)
        for model in MODELS:
            runs = [fit(model, split, labels, a.inducing) for split in splits]
            every.append({"set": name, "model": model, "runs": runs})
            print(name, model, [round(run["density"], 4) for run in runs], flush=True)
        of = {run["model"]: run["runs"] for run in every if run["set"] == name}
        for model in MODELS:
            pairs = zip(of[model], of["one-hot, ARD"], strict=True)
            gains = [run["density"] - other["density"] for run, other in pairs]
            density, elbo = (np.mean([r[key] for r in of[model]]) for key in ("density", "elbo"))
            gain = f"{np.mean(gains):+.4f} ({min(gains):+.4f} to {max(gains):+.4f})"
            lines.append([name, model, f"{density:.4f}", f"{elbo:.1f}", gain])
    header = ["set", "model", "held-out log density", "ELBO", "gain"]
    libraries = common.interpreters([], ["skgpng"])
    common.finish(a.json, libraries, common.table(header, lines), every)


if __name__ == "__main__":
    main()
