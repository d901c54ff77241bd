"""Time one training step (natural gradient for q, Adam for the rest) of several libraries.

    python examples/benchmarks/step_time.py
        [--python gpytorch=PYTHON gpflow=PYTHON gpjax=PYTHON] [--repeats 3] [--dtype float32]

Every library trains the same sparse variational model on the same random rows: ARD Matern-5/2,
Gaussian likelihood, trained inducing points, step sizes 0.1 and 0.01; GPflow with each step
compiled by ``tf.function``. Each runs in a process of its own, one after the other, ``--repeats``
times. Prints milliseconds a step (median and range), the ratio to skgpng, and the seconds of the
first call: from the arrays to the end of the first step, importing not counted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import numpy as np


class Size(NamedTuple):
    """Of a problem, and how many steps are timed at once."""

    rows: int
    inducing: int
    batch: int
    columns: int
    steps: int


SIZES = {
    "small": Size(100, 10, 50, 2, 4000),
    "medium": Size(10_000, 100, 256, 8, 400),
    "large": Size(10_000, 500, 1000, 8, 40),
}
ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("--dtype", choices=["float64", "float32"], default="float64")
ARGUMENTS.add_argument("--sizes", nargs="*", choices=SIZES, default=list(SIZES))
ARGUMENTS.add_argument("--blocks", type=int, default=3, help="in each process; the median counts")
ARGUMENTS.add_argument("--steps", type=float, default=1.0, help="in units of the usual number")
common.add_peers(ARGUMENTS)
common.add_output(ARGUMENTS)


def rows(size: Size) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X, y and inducing points."""
    rng = np.random.RandomState(0)
    X = rng.randn(size.rows, size.columns)
    y = np.sin(2 * X[:, 0]) + 0.3 * rng.randn(size.rows)
    return X, y, X[rng.permutation(size.rows)[: size.inducing]]


# Each function below gives (first, block): seconds of the first call, and a function from a number
# of steps to their seconds.


def skgpng_steps(size: Size, dtype: str) -> tuple[float, Callable]:
    """The estimator's own loop: two lengths, so that what is done once cancels."""
    import tensorflow  # noqa: F401, its import is not timed
    from sklearn.gaussian_process.kernels import Matern

    from skgpng import GaussianProcessRegressor

    X, y, _ = rows(size)
    estimator = GaussianProcessRegressor(
        1.0 * Matern(np.ones(size.columns), nu=2.5),
        n_inducing=size.inducing,
        inducing_init="random",
        batch_size=size.batch,
        gamma=0.1,
        learning_rate=0.01,
        tol=0.0,
        n_iter_no_change=10**6,
        random_state=0,
    )

    begin = time.perf_counter()
    train, _ = common.planned(estimator, X.astype(dtype), y.astype(dtype), dtype)
    train(max_iter=1)
    first = time.perf_counter() - begin
    return first, lambda steps: common.seconds_of_steps(train, steps)


def gpflow_steps(size: Size, dtype: str) -> tuple[float, Callable]:
    """Both optimisers inside one compiled function; batches drawn inside it too."""
    import gpflow
    import tensorflow as tf
    from tf_keras.optimizers.legacy import Adam

    gpflow.config.set_default_float(getattr(np, dtype))
    X, y, Z = (part.astype(dtype) for part in rows(size))
    begin = time.perf_counter()
    model = gpflow.models.SVGP(
        gpflow.kernels.Matern52(lengthscales=np.ones(size.columns, dtype)),
        gpflow.likelihoods.Gaussian(0.1),
        Z,
        num_data=size.rows,
    )
    gpflow.set_trainable(model.q_mu, False)
    gpflow.set_trainable(model.q_sqrt, False)
    data = tf.data.Dataset.from_tensor_slices((X, y[:, None])).repeat().shuffle(size.rows)
    loss = model.training_loss_closure(iter(data.batch(size.batch).prefetch(2)), compile=False)
    natural, adam = gpflow.optimizers.NaturalGradient(0.1), Adam(0.01)

    @tf.function
    def step():
        natural.minimize(loss, var_list=[(model.q_mu, model.q_sqrt)])
        adam.minimize(loss, var_list=model.trainable_variables)

    return first_and_block(begin, step)


def gpytorch_steps(size: Size, dtype: str) -> tuple[float, Callable]:
    """NGD on the variational parameters, torch's Adam on the others, one backward pass."""
    import gpytorch as gp
    import torch

    torch.set_default_dtype(getattr(torch, dtype))
    X, y, Z = rows(size)
    begin = time.perf_counter()
    X, y, Z = (torch.tensor(part.astype(dtype)) for part in (X, y, Z))

    class SVGP(gp.models.ApproximateGP):
        def __init__(self):
            q = gp.variational.NaturalVariationalDistribution(size.inducing)
            super().__init__(gp.variational.VariationalStrategy(self, Z, q))
            self.mean_module = gp.means.ZeroMean()
            self.covar_module = gp.kernels.ScaleKernel(
                gp.kernels.MaternKernel(nu=2.5, ard_num_dims=size.columns)
            )

        def forward(self, x):
            return gp.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))

    model, likelihood = SVGP(), gp.likelihoods.GaussianLikelihood()
    natural = gp.optim.NGD(model.variational_parameters(), num_data=size.rows, lr=0.1)
    adam = torch.optim.Adam([*model.hyperparameters(), *likelihood.parameters()], lr=0.01)
    elbo = gp.mlls.VariationalELBO(likelihood, model, num_data=size.rows)

    def step():
        batch = torch.randint(size.rows, (size.batch,))
        natural.zero_grad(), adam.zero_grad()
        (-elbo(model(X[batch]), y[batch])).backward()
        natural.step(), adam.step()

    return first_and_block(begin, step)


def first_and_block(begin: float, step: Callable) -> tuple[float, Callable]:
    """For a library whose loop is Python's."""

    def block(steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            step()
        return time.perf_counter() - start

    block(1)
    first = time.perf_counter() - begin
    block(5)
    return first, block


def gpjax_steps(size: Size, dtype: str) -> tuple[float, Callable]:
    """``fit_natgrads``, which compiles in every call: two lengths, so that this cancels.

    Compiling varies by a tenth of a second: steps that are short are timed in larger numbers.
    """
    import gpjax as gpx
    import jax
    import optax

    jax.config.update("jax_enable_x64", dtype == "float64")
    import jax.numpy as jnp

    X, y, Z = (jnp.asarray(part.astype(dtype)) for part in rows(size))

    def run(steps: int) -> float:
        begin = time.perf_counter()
        prior = gpx.gps.Prior(
            mean_function=gpx.mean_functions.Zero(),
            kernel=gpx.kernels.Matern52(lengthscale=jnp.ones(size.columns)),
        )
        model = prior * gpx.likelihoods.Gaussian(obs_stddev=jnp.asarray(0.1**0.5))
        q = gpx.variational_families.WhitenedVariationalGaussian(model=model, inducing_inputs=Z)
        _, history = gpx.fit_natgrads(
            model=q,
            objective=lambda p, d: -gpx.objectives.elbo(p, d),
            train_data=gpx.Dataset(X=X, y=y[:, None]),
            optim=optax.adam(0.01),
            natgrad_lr=0.1,
            num_iters=steps,
            batch_size=size.batch,
            verbose=False,
        )
        jax.block_until_ready(history)
        return time.perf_counter() - begin

    longer = max(1, 1000 // size.batch)
    return run(1), lambda steps: (run(2 * longer * steps) - run(longer * steps)) / longer


WORKERS = {
    "skgpng": skgpng_steps,
    "gpytorch": gpytorch_steps,
    "gpflow": gpflow_steps,
    "gpjax": gpjax_steps,
}


def work(library: str, a: argparse.Namespace) -> None:
    """Time one library at one size."""
    size = SIZES[a.sizes[0]]
    first, block = WORKERS[library](size, a.dtype)
    steps = max(2, round(a.steps * size.steps))
    milliseconds = statistics.median(1e3 * block(steps) / steps for _ in range(a.blocks))
    common.put(milliseconds=milliseconds, first_seconds=first)


def lines_of(name: str, runs: dict[str, list]) -> list[list[str]]:
    """Lines of the table for one size."""
    size = SIZES[name]
    times = {k: [r[0]["milliseconds"] for r in rounds] for k, rounds in runs.items()}
    ours = statistics.median(times["skgpng"]) if "skgpng" in times else np.nan
    return [
        [
            f"{size.rows}, {size.inducing}, {size.batch}, {size.columns}",
            library,
            common.spread(times[library]),
            common.number(statistics.median(times[library]) / ours),
            common.spread([r[0]["first_seconds"] for r in rounds], 2),
        ]
        for library, rounds in runs.items()
    ]


def main() -> None:
    """Print one line for each size and library."""
    a = ARGUMENTS.parse_args()
    if a.worker:
        return work(a.worker, a)
    libraries = common.interpreters(a.python, list(WORKERS))
    lines, every = [], {}
    for name in a.sizes:
        print(name, *SIZES[name], flush=True)
        every[name] = common.in_turns(
            __file__,
            libraries,
            a.repeats,
            *("--sizes", name),
            say=lambda r: (
                f"{r[0]['milliseconds']:.3g} ms, first call {r[0]['first_seconds']:.1f} s"
            ),
        )
        lines += lines_of(name, every[name])
    header = ["N, M, batch, D", "library", "ms a step", "ratio", "first call (s)"]
    common.finish(a.json, libraries, common.table(header, lines), every)


if __name__ == "__main__":
    main()
