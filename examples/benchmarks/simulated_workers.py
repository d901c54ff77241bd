"""A step of training on rows of 1 to 64 workers, as its measured parts and a network would have it.

    python examples/benchmarks/simulated_workers.py [--rows 1e7] [--m 500] [--batch 0]
        [--gbit 1 10] [--latency 0.2] [--task 1.0] [--slowest 1.05] [--way "star" "tree" ...]

An estimator really trains, its rows elsewhere (``RowsElsewhere``): in this process ``--at-hand``
rows stand for all. Measured are the sums over a row, in float64 and full batches or ``--batch``
rows a step; what the driver does between them (M x M algebra, Adam); the bytes that go to each
worker and come back; adding up an answer. Each is the least of so many ``--steps``, as others who
use the machine only add to it. A worker is a machine as this one. A clock runs by these, and nobody
sleeps: the driver hands over one task after the other (``--task`` milliseconds each, as
Dask's scheduler takes, and the bytes at ``--gbit``), each message takes ``--latency`` milliseconds,
one worker is the ``--slowest``, and answers come in one after the other and are added up.

Efficiency is the seconds of a step with all rows at hand over those of k workers times k.

Ways: "star" as it is; "packed" sends triangles in place of symmetric and triangular matrices;
"tree" hands matrices on and adds answers up from worker to worker, two for each; "both".
"""

from __future__ import annotations

import argparse
import math
import os
import time
import warnings
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import numpy as np

from skgpng._estimator.elsewhere import RowsElsewhere, Sample

WAYS = ("star", "packed", "tree", "both")
ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("--rows", type=float, default=1e7)
ARGUMENTS.add_argument("--m", type=int, default=500)
ARGUMENTS.add_argument("--columns", type=int, default=8)
ARGUMENTS.add_argument("--batch", type=int, default=0, help="rows a step; 0: all")
ARGUMENTS.add_argument("--at-hand", type=int, default=32_768)
ARGUMENTS.add_argument("--steps", type=int, default=8, help="that are measured")
ARGUMENTS.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4, 8, 16, 32, 64])
ARGUMENTS.add_argument("--gbit", type=float, nargs="*", default=[1.0, 10.0])
ARGUMENTS.add_argument("--latency", type=float, default=0.2, help="of a message, milliseconds")
ARGUMENTS.add_argument("--task", type=float, default=1.0, help="of the scheduler, milliseconds")
ARGUMENTS.add_argument("--slowest", type=float, default=1.05, help="time of one worker")
ARGUMENTS.add_argument("--way", nargs="*", choices=WAYS, default=["star"])
common.add_output(ARGUMENTS)


# --- the clock -------------------------------------------------------------------------------


class Network(NamedTuple):
    """Bits a second of each machine's link; seconds of a message, and of handing over a task."""

    bits: float
    latency: float = 2e-4
    task: float = 1e-3

    def seconds(self, n_bytes: float) -> float:
        """On the wire, without the way."""
        return 8.0 * n_bytes / self.bits


class Call(NamedTuple):
    """Sums over rows: how many, seconds for all with one worker, bytes each way, adding one up."""

    rows: float
    seconds: float
    down: float
    up: float
    add: float


def star(each: list[float], call: Call, network: Network) -> float:
    """Seconds of sums by workers that take so long each, driver in the middle.

    Its link carries one message after the other, both ways at once.
    """
    sent, there = 0.0, []
    for seconds in each:
        sent += network.task + network.seconds(call.down)
        there.append(sent + network.latency + seconds + network.latency)
    end = 0.0
    for arrives in sorted(there):
        end = max(end, arrives) + network.seconds(call.up) + call.add
    return end


def tree(each: list[float], call: Call, network: Network) -> float:
    """The same where each worker hands on to two, and adds up what comes back of them."""
    levels = math.floor(math.log2(len(each)))  # below the first
    on = 2 * (network.task + network.seconds(call.down)) + network.latency
    back = 2 * (network.seconds(call.up) + call.add) + network.latency
    # the driver itself speaks with one worker only
    first = network.task + network.seconds(call.down + call.up) + 2 * network.latency + call.add
    return first + levels * (on + back) + max(each)


def step_seconds(
    calls: list[Call], driver: float, k: int, network: Network, way: str, slowest: float = 1.0
) -> float:
    """Of a step on k workers; ``driver`` is what happens between the sums, seconds."""
    total = driver
    for call in calls:
        if way in ("packed", "both"):
            call = call._replace(down=call.down / 2, up=call.up / 2)
        each = [call.seconds / k] * k
        if k > 1:
            each[-1] *= slowest
        total += (tree if way in ("tree", "both") else star)(each, call, network)
    return total


# --- rows that are elsewhere -----------------------------------------------------------------


class Workers(RowsElsewhere):
    """Rows in ``n_workers`` parts, added up in the order of the workers; what is asked is timed.

    Each row stands for so many (``stands_for``) alike.
    """

    def __init__(self, X: Any, y: Any, n_workers: int = 1, stands_for: int = 1) -> None:
        super().__init__()
        self._X, self._y, self._stands_for = X, y, stands_for
        self._edges = np.linspace(0, len(X), n_workers + 1).astype(int)
        self.calls: list[Call] = []
        self.driver: list[float] = []  # seconds between the end of a call and the next
        self._left: float | None = None

    @property
    def n_rows(self) -> int:
        """All, with those that others stand for."""
        return self._stands_for * len(self._X)

    @property
    def total_weight(self) -> float:
        """One for each."""
        return float(self.n_rows)

    def sample(self, n_bytes: int, rng: np.random.RandomState) -> Sample:
        """The rows that are there."""
        return Sample(self._X, self._y, None, self.n_rows, self.total_weight)

    def begin(self, encoder: Any) -> None:
        """Encode the rows."""
        self._rows = encoder(self._X, self._y)

    def end(self) -> None:
        """Keep what was measured."""

    def sums(self, call: Any, arrays: list, rows: Any = None, scale: float = 1.0) -> list:
        """The sums, and what they took."""
        begin = time.perf_counter()
        if self._left is not None:
            self.driver.append(begin - self._left)
        chosen = np.arange(len(self._X)) if rows is None else rows % len(self._X)
        if rows is None:
            scale = float(self._stands_for)
        total, seconds, add = None, 0.0, 0.0
        for low, high in zip(self._edges[:-1], self._edges[1:], strict=True):
            own = self._rows.some(chosen[(chosen >= low) & (chosen < high)])
            own = own._replace(weights=scale * own.weights)
            begin = time.perf_counter()
            found = call.on(own, arrays)
            seconds += time.perf_counter() - begin
            begin = time.perf_counter()  # an answer is copied off the wire, too
            added = [array.copy() + b for array, b in zip(found, total or found)]
            add += time.perf_counter() - begin
            total = added if total else found
        more = self._stands_for if rows is None else 1
        down, up = (sum(array.nbytes for array in given) for given in (arrays, total))
        n_workers = len(self._edges) - 1
        self.calls.append(Call(more * len(chosen), more * seconds, down, up, add / n_workers))
        self._left = time.perf_counter()
        return total


def measured(a: argparse.Namespace) -> tuple[list[Call], float]:
    """Calls of a step, and seconds of the driver between them: the least of some steps."""
    from skgpng import GaussianProcessRegressor

    rng = np.random.RandomState(0)
    X = rng.randn(a.at_hand, a.columns)
    y = np.sin(2.0 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.3 * rng.randn(a.at_hand)
    far = Workers(X, y, 1, max(1, round(a.rows / a.at_hand)))
    far.by_number = bool(a.batch)  # without numbers all steps take all rows
    a_step = 1 if a.batch else 2
    model = GaussianProcessRegressor(n_inducing=a.m, batch_size=a.batch or None, random_state=0)
    n = 2 * a.steps + 4
    model.set_params(max_iter=n, tol=0.0, n_iter_no_change=10 * n)._fit_elsewhere(far)
    # the first calls compile, and the last steps are as good as any
    calls = [c for c in far.calls if not a.batch or c.rows == a.batch][-a_step * a.steps :]
    driver = sum(min(far.driver[-k - a_step * a.steps + 1 :: a_step]) for k in range(a_step))
    least = [Call(*map(min, zip(*calls[k::a_step]))) for k in range(a_step)]
    return least, driver


def main() -> None:
    """Print what was measured, and a line for each network and number of workers."""
    a = ARGUMENTS.parse_args()
    warnings.simplefilter("ignore")
    calls, driver = measured(a)
    alone = driver + sum(call.seconds for call in calls)
    print(f"at hand: {alone:.3g} s a step, of which the driver {driver:.3g} s")
    for call in calls:
        print(
            f"sums over {call.rows:.3g} rows: {call.seconds:.3g} s, "
            f"{1e6 * call.seconds / call.rows:.2f} us a row; {call.down / 1e6:.2f} MB to each "
            f"worker, {call.up / 1e6:.2f} MB back, {1e3 * call.add:.2f} ms to add them up"
        )
    lines, runs = [], []
    for way in a.way:
        for gbit in a.gbit:
            network = Network(1e9 * gbit, 1e-3 * a.latency, 1e-3 * a.task)
            for k in a.workers:
                seconds = step_seconds(calls, driver, k, network, way, a.slowest)
                empty = [call._replace(seconds=0.0) for call in calls]
                rest = step_seconds(empty, 0.0, k, network, way)
                efficiency = alone / (k * seconds)
                numbers = [common.number(v) for v in (seconds, driver, rest)]
                lines.append([way, f"{gbit:g}", str(k), *numbers, f"{100 * efficiency:.0f} %"])
                runs.append({"way": way, "gbit": gbit, "workers": k, "seconds": seconds})
    header = ["way", "Gbit/s", "workers", "s a step", "driver s", "messages s", "efficiency"]
    text = common.table(header, lines)
    common.finish(a.json, common.interpreters([], ["skgpng"]), text, runs)


if __name__ == "__main__":
    main()
