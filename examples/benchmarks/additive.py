"""Orthogonal additive kernels beside the default kernel: held-out log density, and who explains y.

    python examples/benchmarks/additive.py [SETS ...] [--orders 2 3] [--splits 3]
        [--data-folder ../shared/data]

Exact models of all training rows (``n_inducing=None, n_neighbors=None``) on the first splits of
each set, columns as they are: nothing is scaled by hand. Log densities are means over the test
rows, in nats, of y in units of its deviation over the rows trained on. "loss" is what the additive
kernel's is below that of the default, a scaled Matern-5/2 with one length scale per column.
Seconds are those of the fit alone, compiling included, and processor seconds those of all cores.
Then come the ten sets of columns with the largest share of the variance, means over the splits.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import numpy as np

ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("sets", nargs="*", metavar="SETS", default=["concrete", "boston"])
ARGUMENTS.add_argument("--orders", type=int, nargs="*", default=[2, 3])
ARGUMENTS.add_argument("--splits", type=int, default=3)
common.add_data(ARGUMENTS)
common.add_output(ARGUMENTS)
SHOWN = 10
COLUMNS = {
    "concrete": ["cement", "slag", "ash", "water", "plasticizer", "coarse", "fine", "age"],
    "boston": [
        *("crim", "zn", "indus", "chas", "nox", "rm", "age", "dis", "rad", "tax"),
        *("ptratio", "b", "lstat"),
    ],
}


def fit(
    kernel: Any,
    names: list[str],
    X: np.ndarray,
    y: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
) -> dict:
    """One training, its held-out figure and, of an additive kernel, the shares."""
    from skgpng import GaussianProcessRegressor

    model = GaussianProcessRegressor(kernel, n_inducing=None, n_neighbors=None, random_state=0)
    wall, processor = time.perf_counter(), time.process_time()
    model.fit(X[train], y[train])
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    density = model.log_predictive_density(X[test], y[test]) + np.log(y[train].std())
    parts = [] if kernel is None else model.additive_components_
    return {
        "density": float(density.mean()),
        "evidence": model.elbo_,
        "seconds": wall,
        "processor": processor,
        "shares": {", ".join(names[k] for k in part.columns): part.share for part in parts},
    }


def line(name: str, kind: str, runs: list[dict], default: list[dict]) -> list[str]:
    """Of the table."""
    means = {key: np.mean([run[key] for run in runs]) for key in runs[0] if key != "shares"}
    loss = np.mean([run["density"] for run in default]) - means["density"]
    figures = [f"{means['density']:.3f}", f"{loss:+.3f}", f"{means['evidence']:.1f}"]
    return [name, kind, *figures, f"{means['seconds']:.1f}", f"{means['processor']:.1f}"]


def table_of_shares(runs: list[dict]) -> str:
    """Means and ranges over the splits, the largest first."""
    each = {key: [run["shares"][key] for run in runs] for key in runs[0]["shares"]}
    largest = sorted(each, key=lambda key: -np.mean(each[key]))[:SHOWN]
    rows = [
        [key, f"{np.mean(each[key]):.3f}", f"{min(each[key]):.3f} to {max(each[key]):.3f}"]
        for key in largest
    ]
    return common.table(["columns", "share", "over splits"], rows)


def main() -> None:
    """Every set and order."""
    from skgpng.kernels import OrthogonalAdditive

    a = ARGUMENTS.parse_args()
    warnings.simplefilter("ignore")
    lines, every, shares = [], [], []
    for name in a.sets:
        X, y, splits = common.data_sets(a.data_folder).load(name)
        names = COLUMNS.get(name, [str(k) for k in range(X.shape[1])])
        kernels = {"default": None} | {
            f"additive, order {d}": OrthogonalAdditive(max_order=d) for d in a.orders
        }
        found: dict[str, list] = {}
        for kind, kernel in kernels.items():
            found[kind] = [fit(kernel, names, X, y, *split) for split in splits[: a.splits]]
            lines.append(line(name, kind, found[kind], found["default"]))
            print(*lines[-1], flush=True)
            if kernel is not None:
                shares.append(f"{name}, {kind}\n{table_of_shares(found[kind])}")
        every.append({"set": name, **found})
    header = ["set", "kernel", "log density", "loss", "evidence", "seconds", "processor"]
    text = "\n\n".join([common.table(header, lines), *shares])
    common.finish(a.json, common.interpreters([], ["skgpng"]), text, every)


if __name__ == "__main__":
    main()
