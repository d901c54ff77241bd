"""CPU against GPU in one run: steps, whole fits, the tests of the estimators, GPyTorch's steps.

    python examples/benchmarks/on_gpu.py [--data-folder FOLDER] [--python gpytorch=PYTHON]
    python examples/benchmarks/on_gpu.py --dry-run

Each line is one size: milliseconds a step of training on the CPU in float64, on the GPU in float64
and in float32 (its default), and of GPyTorch in float32 on the same GPU where it is installed; then
seconds and held-out NLPD of fits with 500 inducing points; then how many tests of the estimators
pass with ``device="gpu"`` in float64. The first call, which compiles, is not counted; whole fits do
not count the first one either, of a tenth of the rows. It takes a quarter of an hour, most of it on
the CPU.

Without a GPU there is nothing to measure, and it says so. ``--dry-run`` then tries all its parts on
small sizes, with the algebra of a GPU on the CPU in the place of one, and compares the two.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import numpy as np
from step_time import Size, gpytorch_steps, rows

SIZES = (  # M = 0 is an exact model
    Size(10_000, 100, 256, 8, 400),
    Size(10_000, 500, 1000, 8, 40),
    Size(200_000, 500, 4096, 8, 20),
    Size(200_000, 1000, 4096, 8, 8),
    Size(50_000, 500, 50_000, 8, 4),
    Size(200_000, 500, 200_000, 8, 2),
    Size(2000, 0, 2000, 8, 4),
    Size(5000, 0, 5000, 8, 2),
)
SMALL = Size(2000, 50, 1000, 2, 4), Size(2000, 20, 2000, 2, 4), Size(300, 0, 300, 2, 4)
SETS = "kin40k", "protein", "flights200k"
WAYS = {
    "CPU": {"device": "cpu", "dtype": "float64"},
    "GPU, float64": {"device": "gpu", "dtype": "float64"},
    "GPU": {"device": "gpu"},
}
STAND_IN = {"CPU": WAYS["CPU"], "graph": {"dtype": "float64"}}
# Of the dry run: one file of tests, quick and about how a fit is computed.
TESTS, FEW_TESTS = "tests/estimator", "tests/estimator/test_execution.py"

ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("--dry-run", action="store_true", help="small sizes, and no GPU needed")
ARGUMENTS.add_argument("--no-tests", action="store_true")
ARGUMENTS.add_argument("--sets", nargs="*", choices=SETS, default=SETS)
ARGUMENTS.add_argument("--of", type=int, help=argparse.SUPPRESS)  # size of a worker
common.add_data(ARGUMENTS)
common.add_peers(ARGUMENTS)
common.add_output(ARGUMENTS)


def sees_gpu() -> bool:
    """Whether TensorFlow does; skgpng imports it, so that memory grows."""
    from skgpng._runtime import tf

    return bool(tf.config.list_logical_devices("GPU"))


@contextlib.contextmanager
def computed(way: str) -> Iterator[None]:
    """The algebra of a GPU on the CPU, for its stand-in."""
    from skgpng._estimator.base import BaseGaussianProcess

    own = BaseGaussianProcess._tuning
    if way == "graph":
        BaseGaussianProcess._tuning = own._replace(algebra="graph")
    try:
        yield
    finally:
        BaseGaussianProcess._tuning = own


def regressor(n_inducing: int, **settings: Any) -> Any:
    """With as many points, or exact; Adam moves both."""
    from skgpng import GaussianProcessRegressor

    settings = {"optimizer": "adam", "random_state": 0, **settings}
    return GaussianProcessRegressor(n_inducing=n_inducing or None, n_neighbors=None, **settings)


# --- steps -----------------------------------------------------------------------------------


def steps(size: Size, ways: dict[str, dict], repeats: int) -> tuple[dict, dict]:
    """Milliseconds a step, and the ELBO after three, of each way; these in turns."""
    X, y, _ = rows(size)
    trains, ends = {}, {}
    for way, settings in ways.items():
        batch = None if size.batch == size.rows else size.batch
        model = regressor(size.inducing, inducing_init="random", batch_size=batch, **settings)
        model.set_params(tol=0.0, n_iter_no_change=10**6)
        with computed(way):
            trains[way], _ = common.planned(model, X, y)
            ends[way] = float(trains[way](max_iter=3).elbo_curve[-1])
    times: dict[str, list] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, train in trains.items():
            seconds = common.seconds_of_steps(train, size.steps)
            times[way].append(1e3 * seconds / size.steps)
    return times, ends


def of_gpytorch(k: int) -> None:
    """Print the milliseconds of a step of size k on the GPU."""
    import torch

    torch.set_default_device("cuda")
    _, block = gpytorch_steps(SIZES[k], "float32")

    def seconds() -> float:
        torch.cuda.synchronize()
        begin = time.perf_counter()
        block(SIZES[k].steps)
        torch.cuda.synchronize()
        return time.perf_counter() - begin

    common.put(milliseconds=1e3 * statistics.median(seconds() for _ in range(3)) / SIZES[k].steps)


# --- whole fits ------------------------------------------------------------------------------


def held_out(data: common.Rows, way: str, m: int, **settings: Any) -> tuple[float, float]:
    """Seconds of a fit, and its held-out NLPD."""
    with computed(way):
        some = len(data.X) // 10
        regressor(m, optimizer="auto", **settings).fit(data.X[:some], data.y[:some])
        begin = time.perf_counter()
        model = regressor(m, optimizer="auto", **settings).fit(data.X, data.y)
        seconds = time.perf_counter() - begin
    mean, std = model.predict(data.X_test, return_std=True)
    return seconds, common.normal_nlpd(data.y_test, mean, std**2)


def drawn() -> common.Rows:
    """Rows for the dry run."""
    X, y, _ = rows(Size(3000, 0, 0, 2, 0))
    return common.Rows(X[:2500], y[:2500], X[2500:], y[2500:], 1.0)


# --- tests -----------------------------------------------------------------------------------


def tested(device: str, where: str) -> str:
    """How many tests of the estimators end how, with training on a device."""
    end = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", where],
        cwd=common.ROOT,
        env={**os.environ, "SKGPNG_TEST_DEVICE": device, "PYTHONPATH": str(common.ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    last = end.stdout.strip().splitlines()[-1:] or [end.stderr.strip()[-200:]]
    print("\n".join(s for s in end.stdout.splitlines() if s.startswith("FAILED")), flush=True)
    return re.sub(r" in .*|=", "", last[0]).strip()


# --- one table -------------------------------------------------------------------------------


def lines_of_steps(sizes: tuple, ways: dict, a: argparse.Namespace, peers: dict) -> tuple:
    """Lines of the table, and all times."""
    lines, every = [], []
    for k, size in enumerate(sizes):
        times, ends = steps(size, ways, a.repeats)
        others = []
        if "gpytorch" in peers and size.inducing and size.batch < size.rows:
            found = common.call(__file__, peers["gpytorch"], "gpytorch", "--of", str(k))
            others = [f["milliseconds"] for f in found]
        name = f"{size.rows}, {size.inducing or 'exact'}, {size.batch}"
        print(name, times, ends, others, flush=True)
        every.append({"size": size._asdict(), "ms": times, "elbo": ends, "gpytorch": others})
        peer = common.spread(others) if others else "-"
        lines.append(["ms a step", name, *map(common.spread, times.values()), peer])
    return lines, every


def lines_of_fits(sets: dict, m: int, ways: dict) -> tuple[list, list]:
    """Lines of the table, and all results."""
    lines, every = [], []
    for name, data in sets.items():
        found = {way: held_out(data, way, m, **settings) for way, settings in ways.items()}
        print(name, found, flush=True)
        every.append({"set": name, "found": found})
        cells = [f"{common.number(s)}, {nlpd:.4f}" for s, nlpd in found.values()]
        lines.append(["s, NLPD of a fit", f"{name}, {m}", *cells, "-"])
    return lines, every


def compare(every: list) -> None:
    """Both algebras are to find the same."""
    for run in every:
        one, other = run["elbo"].values()
        assert np.isclose(one, other, rtol=1e-8, atol=0), run


def main() -> None:
    """One table."""
    a = ARGUMENTS.parse_args()
    warnings.simplefilter("ignore")
    if a.worker:
        return of_gpytorch(a.of)
    if not sees_gpu():
        print("TensorFlow sees no GPU: there is nothing to measure", flush=True)
        if not a.dry_run:
            return None
    ways, sizes, m = (STAND_IN, SMALL, 20) if a.dry_run else (WAYS, SIZES, 500)
    peers = {} if a.dry_run else common.interpreters(a.python, ["gpytorch"])
    lines, every = lines_of_steps(sizes, ways, a, peers)
    if a.dry_run:
        compare(every)
        sets, device, where = {"drawn": drawn()}, "cpu", FEW_TESTS
    else:
        sets = {name: common.load(a.data_folder, name, 0)[1] for name in a.sets}
        device, where = "gpu", TESTS
    more, fits = lines_of_fits(sets, m, ways)
    lines += more
    if not a.no_tests:
        lines.append(["tests", where, "", *[""] * (len(ways) - 2), tested(device, where), "-"])
    header = ["what", "N, M, batch, or set, M", *ways, "GPyTorch, GPU"]
    text = common.table(header, lines)
    common.finish(a.json, common.interpreters([], ["skgpng"]), text, {"steps": every, "fits": fits})
    return None


if __name__ == "__main__":
    main()
