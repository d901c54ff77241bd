"""Where the time of a step goes: the share that matrix products would need by themselves.

    python examples/benchmarks/limits.py [--blocks 5]

First the speed of this machine's matrix products, as TensorFlow and as NumPy (one thread) do them.
Then, for the work of the other benchmarks on random rows of the same sizes: the arithmetic of the
products and factorisations of one step (triangular and symmetric ones counted whole, as
TensorFlow does them; those of inverses of exact models as LAPACK does them), the milliseconds
that it would take at TensorFlow's speed of a product of 500 x 500 by 500 x 1000, and the
milliseconds that a step takes (median). What lies between is elementwise operations on N x M
numbers, products that are too small to be fast, and the 1 to 2 microseconds of each of some hundred
operations.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import numpy as np
from step_time import rows

ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("--blocks", type=int, default=5, help="the median counts")
common.add_output(ARGUMENTS)


class Work(NamedTuple):
    """Rows, columns, inducing points (None: exact) and rows of a batch (None: all) of a step."""

    name: str
    rows: int
    columns: int
    inducing: int | None
    batch: int | None
    labels: bool
    steps: int

    def operations(self) -> float:
        """Multiplications and additions of products (triangles in full) and factorisations."""
        N, M = self.batch or self.rows, self.inducing
        if M is None:
            return float(N) ** 3
        direct = self.labels and self.batch is None  # see skgpng.sparse.direct
        return (2 if direct else 3) * 2.0 * M**2 * N + (18.7 if direct else 12.7) * M**3


WORKS = [
    Work("step, M=10, batch 50", 100, 2, 10, 50, False, 2000),
    Work("step, M=100, batch 256", 10_000, 8, 100, 256, False, 300),
    Work("step, M=500, batch 1000", 10_000, 8, 500, 1000, False, 20),
    Work("kin8nm, M=256", 7373, 8, 256, None, False, 20),
    Work("elevators, M=500", 14_939, 18, 500, None, False, 5),
    Work("magic, M=200", 17_118, 10, 200, None, True, 20),
    Work("exact regression, N=2000", 2000, 8, None, None, False, 10),
    Work("exact classifier, N=1000", 1000, 8, None, None, True, 20),
]


def median_seconds(function: Callable, blocks: int) -> float:
    """Of several calls, after one."""
    function()
    seconds = []
    for _ in range(blocks):
        begin = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def speeds(blocks: int) -> dict[str, float]:
    """Operations a second of a product of 500 x 500 by 500 x 1000."""
    import tensorflow as tf
    from threadpoolctl import threadpool_limits

    rng, found, n = np.random.RandomState(0), {}, 20
    A, B = rng.randn(500, 500), rng.randn(500, 1000)
    for dtype in ("float64", "float32"):
        a, b = A.astype(dtype), B.astype(dtype)

        @tf.function
        def products(a: Any, b: Any) -> Any:
            def body(i: Any, total: Any) -> tuple:
                return i + 1, total + tf.matmul(a + 0 * total, b)[0, 0]

            zero = tf.zeros([], a.dtype)
            return tf.while_loop(lambda i, _: i < n, body, (0, zero), parallel_iterations=1)[1]

        given = tf.constant(a), tf.constant(b)
        call = lambda products=products, given=given: products(*given).numpy()  # noqa: E731
        found[f"TensorFlow, {dtype}"] = 5e8 * n / median_seconds(call, blocks)
        with threadpool_limits(1):
            found[f"NumPy, one thread, {dtype}"] = 5e8 / median_seconds(
                lambda a=a, b=b: a @ b, blocks
            )
    return found


def step_seconds(work: Work, blocks: int) -> float:
    """Of the estimator's own loop."""
    from sklearn.gaussian_process.kernels import Matern

    from skgpng import GaussianProcessClassifier, GaussianProcessRegressor

    X, y, _ = rows(work)
    Estimator = GaussianProcessClassifier if work.labels else GaussianProcessRegressor
    estimator = Estimator(
        1.0 * Matern(np.full(work.columns, work.columns**0.5), nu=2.5),
        n_inducing=work.inducing,
        inducing_init="random",
        batch_size=work.batch,
        optimizer="adam",
        learning_rate=0.01,
        tol=0.0,
        n_iter_no_change=10**6,
        random_state=0,
    )
    train, _ = common.planned(estimator, X, y > 0 if work.labels else y)

    train(max_iter=1)
    seconds = [common.seconds_of_steps(train, work.steps) for _ in range(blocks)]
    return statistics.median(seconds) / work.steps


def main() -> None:
    """Speeds, then every work."""
    a = ARGUMENTS.parse_args()
    warnings.simplefilter("ignore")
    found, runs = speeds(a.blocks), {}
    lines = [[name, common.number(speed / 1e9)] for name, speed in found.items()]
    first = common.table(["product of 500 x 500 by 500 x 1000", "Gflop/s"], lines)
    for work in WORKS:
        limit = work.operations() / found["TensorFlow, float64"]
        runs[work.name] = {"limit": limit, "seconds": step_seconds(work, a.blocks)}
        print(work.name, runs[work.name], flush=True)
    lines = [
        [
            work.name,
            common.number(work.operations() / 1e9),
            common.number(1e3 * runs[work.name]["limit"]),
            common.number(1e3 * runs[work.name]["seconds"]),
            f"{runs[work.name]['limit'] / runs[work.name]['seconds']:.0%}",
        ]
        for work in WORKS
    ]
    header = ["work of one step", "Gflop", "ms at that speed", "ms a step", "share"]
    text = f"{first}\n\n{common.table(header, lines)}"
    common.finish(a.json, common.interpreters([], ["skgpng"]), text, runs)


if __name__ == "__main__":
    main()
