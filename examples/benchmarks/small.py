"""Whole fits of a few hundred rows beside scikit-learn, in turns in one process.

    python examples/benchmarks/small.py [--repeats 5] [--rows 100 200 500]
        [--data-folder ../shared/data]

The first rows of concrete (regression) and rows of pima drawn at random (classification), split 0,
with one length scale and with one for each of the eight columns; both libraries start from the
same kernel as in ``exact.py``. Prints the log evidence (in classification scikit-learn's is
Laplace's approximation and skgpng's a lower bound), the held-out NLPD of scaled y or labels, and
the milliseconds of a fit (median and range). One fit of skgpng comes first, which compiles.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import time
import warnings
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import numpy as np
from exact import estimators, quality

ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("--repeats", type=int, default=5)
ARGUMENTS.add_argument("--rows", type=int, nargs="*", default=[100, 200, 500])
common.add_data(ARGUMENTS)
common.add_output(ARGUMENTS)
SETS = {"regression": "concrete", "classification": "pima"}


def milliseconds(model: Any, rows: common.Rows) -> float:
    """Of one fit."""
    begin = time.perf_counter()
    model.fit(rows.X, rows.y)
    return 1e3 * (time.perf_counter() - begin)


def run(labels: bool, rows: common.Rows, scales: Any, repeats: int) -> dict[str, dict]:
    """What each library needs and finds."""
    models = estimators(labels, scales)
    milliseconds(models["skgpng"], rows)
    taken: dict[str, list] = {library: [] for library in models}
    for _ in range(repeats):
        for library, model in models.items():
            taken[library].append(milliseconds(model, rows))
    unscaled = rows._replace(scale=1.0)
    return {
        library: {"ms": taken[library], **quality(model, labels, unscaled)}
        for library, model in models.items()
    }


def line(begin: list, found: dict[str, dict]) -> list:
    """Of the table: skgpng, then scikit-learn."""
    ours, peer = found["skgpng"], found["scikit-learn"]
    ratio = statistics.median(peer["ms"]) / statistics.median(ours["ms"])
    cells = [f(m) for f in (_time, _quality) for m in (ours, peer)]
    return [*begin, *cells[:2], common.number(ratio), *cells[2:]]


def _time(found: dict) -> str:
    return common.spread(found["ms"])


def _quality(found: dict) -> str:
    return f"{found['evidence']:.2f}, {found['nlpd']:.3f}"


def main() -> None:
    """Both tasks, all sizes."""
    a = ARGUMENTS.parse_args()
    warnings.simplefilter("ignore")
    importlib.import_module("tensorflow")
    lines, every = [], []
    for task, name in SETS.items():
        for n in a.rows:
            labels, rows = common.load(a.data_folder, name, 0, n)
            D = rows.X.shape[1]
            for scales in (D**0.5, np.full(D, D**0.5)):
                begin = [task, n, np.size(scales)]
                every.append({"case": begin, **run(labels, rows, scales, a.repeats)})
                lines.append(line(begin, every[-1]))
                print(*lines[-1], flush=True)
    header = ["task", "rows", "length scales", "skgpng, ms", "scikit-learn, ms", "ratio"]
    header += ["skgpng: evidence, NLPD", "scikit-learn: evidence, NLPD"]
    libraries = common.interpreters([], ["skgpng", "scikit-learn"])
    common.finish(a.json, libraries, common.table(header, lines), every)


if __name__ == "__main__":
    main()
