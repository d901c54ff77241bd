"""Held-out NLPD of the same rows from memory, from a memmap and from Parquet.

    python examples/benchmarks/disk_quality.py [kin8nm elevators magic] [--share 0.25]

Sets are small, so that a fit in memory is there to compare with; what a fit from disk has at hand
is cut to a ``--share`` of the rows, and minibatches are taken from 1e5 numbers on, so that all goes
the way of rows that do not fit. A regressor of ``--m`` inducing points, or a classifier where y
holds labels; with ``--neighbours`` the regressor as it is by default, whose neighbours are then the
sample. NLPD is per test row, of scaled y or in nats per label.
"""

from __future__ import annotations

import argparse
import importlib
import os
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import numpy as np

ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("data", nargs="*", default=["kin8nm", "elevators", "magic"])
ARGUMENTS.add_argument("--share", type=float, default=0.25)
ARGUMENTS.add_argument("--m", type=int, default=64)
ARGUMENTS.add_argument("--max-iter", type=int, default=40)
ARGUMENTS.add_argument("--neighbours", action="store_true")
common.add_data(ARGUMENTS)


def stored(folder: Path, rows: common.Rows) -> dict[str, tuple]:
    """What ``fit`` is given, by where it is."""
    import pyarrow as pa
    from pyarrow import dataset, parquet

    np.save(folder / "X.npy", rows.X)
    columns = {f"x{k}": x for k, x in enumerate(rows.X.T)}
    parquet.write_table(
        pa.table({**columns, "y": rows.y}), folder / "rows.parquet", row_group_size=1000
    )
    return {
        "memory": (rows.X, rows.y),
        "memmap": (np.load(folder / "X.npy", mmap_mode="r"), rows.y),
        "Parquet": (dataset.dataset(folder / "rows.parquet"), "y"),
    }


def surprise(model: Any, X: np.ndarray, y: np.ndarray) -> float:
    """Mean NLPD of rows without names of columns."""
    given = [X[:, k] for k in range(X.shape[1])]
    if hasattr(model, "feature_names_in_"):
        pa = importlib.import_module("pyarrow")
        X = pa.Table.from_arrays(given, names=list(model.feature_names_in_))
    if hasattr(model, "classes_"):
        return common.label_nlpd(y, model.predict_proba(X)[:, 1])
    return -float(np.mean(model.log_predictive_density(X, y)))


def main() -> None:
    """Each set from each place."""
    from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
    from skgpng._estimator.base import BaseGaussianProcess

    a, tuning = ARGUMENTS.parse_args(), BaseGaussianProcess._tuning
    warnings.simplefilter("ignore")
    for name in a.data:
        labels, rows = common.load(a.data_folder, name, 0)
        n, D = rows.X.shape
        far = tuning._replace(auto_full_batch=1e5, sample_bytes=int(a.share * 8 * n * (D + 1)))
        settings = {"n_inducing": "auto" if a.neighbours else a.m, "max_iter": a.max_iter}
        cls = GaussianProcessClassifier if labels else GaussianProcessRegressor
        with tempfile.TemporaryDirectory() as folder:
            for where, given in stored(Path(folder), rows).items():
                BaseGaussianProcess._tuning = far  # bounds no memory of arrays
                begin = time.perf_counter()
                model = cls(**settings, random_state=0).fit(*given)
                seconds = time.perf_counter() - begin
                nlpd = surprise(model, rows.X_test, rows.y_test)
                print(f"{name:12}{where:9}NLPD {nlpd:8.4f}  {seconds:5.1f} s", flush=True)


if __name__ == "__main__":
    main()
