"""Held-out quality against seconds of training, for several libraries on the same rows.

    python examples/benchmarks/time_to_quality.py kin8nm --m 256 --target -1.07
        [--python gpytorch=PYTHON gpflow=PYTHON gpjax=PYTHON] [--repeats 3] [--seconds 60]
        [--exact] [--set PARAMETER=VALUE ...] [--save plot.png] [--data-folder ../shared/data]

Every library gets the same rows, standardised by those trained on, and starts from an ARD
Matern-5/2 of variance 1 with length scales sqrt(D), and a noise variance of 0.1. GPflow, GPyTorch
and GPJax: natural gradients of step 0.1 with Adam 0.01 on minibatches, from the same k-means
inducing points. skgpng: its defaults, but for ``--set`` and its own inducing points.
scikit-learn (with ``--exact``): all rows, no inducing points, L-BFGS.

Each library runs in a process of its own, one after the other, ``--repeats`` times. Seconds count
from handing over the arrays: placing inducing points, building, tracing and compiling are in,
importing and evaluating are not. skgpng is one fit with a callback every ``--every`` steps. GPJax
compiles its whole loop, so that each of its points is a run of its own, from the start.

NLPD is per test row, in units of y (regression) or nats per label (two classes). A run ends when
it has passed the target by a third of the time it took, or at ``--seconds``. Seconds to the target
are those of the first look that met it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import numpy as np

ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("data")
ARGUMENTS.add_argument("--m", type=int, required=True, help="number of inducing points")
ARGUMENTS.add_argument("--split", type=int, default=0)
ARGUMENTS.add_argument("--target", type=float, help="NLPD")
ARGUMENTS.add_argument("--seconds", type=float, default=60.0)
ARGUMENTS.add_argument("--batch", type=int, default=512, help="rows of a step, of the peers")
ARGUMENTS.add_argument("--rows", type=int, help="only so many to train on")
ARGUMENTS.add_argument("--exact", action="store_true", help="scikit-learn too")
ARGUMENTS.add_argument(
    "--set", nargs="*", default=[], metavar="PARAMETER=VALUE", help="of skgpng's estimator"
)
ARGUMENTS.add_argument("--every", type=int, default=5, help="steps of skgpng between two looks")
ARGUMENTS.add_argument("--save", type=Path, help="file of the plot")
common.add_data(ARGUMENTS)
common.add_peers(ARGUMENTS)
common.add_output(ARGUMENTS)
GAMMA, RATE, NOISE = 0.1, 0.01, 0.1


class Watch:
    """A clock that stands still while quality is looked at, and the rule that ends a run."""

    def __init__(self, labels: bool, rows: common.Rows, a: argparse.Namespace) -> None:
        self.labels, self.rows = labels, rows
        self.target, self.seconds = a.target, a.seconds
        self.reached, self._last, self._off = np.inf, 0.0, 0.0
        self._begin = self._stop = time.perf_counter()

    def start(self) -> None:
        """Handing over the arrays."""
        self._begin = time.perf_counter()

    def now(self) -> float:
        """Seconds of training."""
        return time.perf_counter() - self._begin - self._off

    def stop(self) -> None:
        """Hold the clock."""
        self._stop = time.perf_counter()

    def go_on(self) -> None:
        """Let it run again."""
        self._off += time.perf_counter() - self._stop

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Hold the clock in a block."""
        self.stop()
        yield
        self.go_on()

    def due(self, seconds: float) -> bool:
        """Whether to look: each look five per cent after the last."""
        return seconds >= 1.05 * self._last

    def put(self, step: int, seconds: float, predicted: Any) -> float:
        """Print one point: ``predicted`` is P(y=1), or mean and variance of y."""
        y = self.rows.y_test
        self._last = seconds
        if self.labels:
            nlpd = common.label_nlpd(y, np.ravel(predicted))
            more = {"error": float(np.mean((np.ravel(predicted) > 0.5) != (y == 1)))}
        else:
            nlpd = common.normal_nlpd(y, *predicted) + float(np.log(self.rows.scale))
            wrong = np.ravel(predicted[0]) - y
            more = {"rmse": float(np.sqrt(np.mean(wrong**2)) * self.rows.scale)}
        if self.target is not None and nlpd <= self.target:
            self.reached = min(self.reached, seconds)
        common.put(seconds=round(seconds, 4), step=step, nlpd=nlpd, **more)
        return nlpd

    def done(self, seconds: float) -> bool:
        """Whether the run may end."""
        return seconds > min(self.seconds, 1.33 * self.reached)

    def look(self, step: int, predict: Callable) -> bool:
        """After a step: print a point if it is time; whether the run may end."""
        seconds = self.now()
        with self.stopped():
            if self.due(seconds) or self.done(seconds):
                self.put(step, seconds, predict())
        return self.done(seconds)


def kmeans(X: np.ndarray, m: int) -> np.ndarray:
    """Inducing points of the peers."""
    from scipy.cluster.vq import kmeans2

    rng = np.random.RandomState(0)
    return kmeans2(X[rng.permutation(len(X))[:20000]], min(m, len(X)), minit="points", seed=0)[0]


# --- skgpng and scikit-learn -----------------------------------------------------------------


def start_kernel(n_columns: int) -> Any:
    """scikit-learn's kernel object."""
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern

    return ConstantKernel(1.0) * Matern(np.full(n_columns, n_columns**0.5), nu=2.5)


class Callback:
    """scikit-learn's callback: the clock stands from the end of a task's steps to its end."""

    def __init__(self, watch: Watch, predict: Callable, every: int) -> None:
        self.watch, self.predict, self.steps, self.every = watch, predict, 0, every

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        if context.parent is not None:
            self.watch.stop()

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if context.parent is None:
            return False
        self.watch.go_on()
        self.steps += self.every
        return self.watch.look(self.steps, lambda: self.predict(fitted_estimator))


def predictor(labels: bool, rows: common.Rows) -> Callable:
    """Predictions of a scikit-learn estimator, as :meth:`Watch.put` takes them."""

    def predict(model: Any) -> Any:
        if labels:
            return model.predict_proba(rows.X_test)[:, 1]
        mean, std = model.predict(rows.X_test, return_std=True)
        return mean, std**2

    return predict


def value_of(text: str) -> Any:
    """A number, None or a string."""
    try:
        return json.loads({"None": "null", "True": "true", "False": "false"}.get(text, text))
    except json.JSONDecodeError:
        return text


def run_skgpng(watch: Watch, a: argparse.Namespace) -> None:
    """One fit."""
    import tensorflow  # noqa: F401, its import is not timed

    from skgpng import GaussianProcessClassifier, GaussianProcessRegressor

    warnings.simplefilter("ignore")
    common.call_every(a.every)
    rows, predict = watch.rows, predictor(watch.labels, watch.rows)
    model = (GaussianProcessClassifier if watch.labels else GaussianProcessRegressor)(
        start_kernel(rows.X.shape[1]), n_inducing=a.m, random_state=0
    )
    model.set_params(**{k: value_of(v) for k, v in (pair.split("=", 1) for pair in a.set)})
    model.set_callbacks(Callback(watch, predict, a.every))
    watch.start()
    model.fit(rows.X, rows.y)
    seconds = watch.now()
    watch.put(model.n_iter_, seconds, predict(model))


def run_scikit_learn(watch: Watch, a: argparse.Namespace) -> None:
    """Its own L-BFGS, with a look after an iteration."""
    import scipy.optimize
    from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import WhiteKernel

    warnings.simplefilter("ignore")
    rows, predict = watch.rows, predictor(watch.labels, watch.rows)
    Estimator = GaussianProcessClassifier if watch.labels else GaussianProcessRegressor
    kernel, steps = start_kernel(rows.X.shape[1]), iter(range(1, 10**6))
    kernel = kernel if watch.labels else kernel + WhiteKernel(NOISE)

    def at(theta: np.ndarray) -> Any:
        fixed = Estimator(kernel.clone_with_theta(theta), optimizer=None)
        return predict(fixed.fit(rows.X, rows.y))

    def after_iteration(theta: np.ndarray) -> None:
        if watch.look(next(steps), lambda: at(theta)):
            raise StopIteration

    def optimizer(objective: Callable, theta: np.ndarray, bounds: np.ndarray) -> tuple:
        end = scipy.optimize.minimize(
            objective, theta, jac=True, method="L-BFGS-B", bounds=bounds, callback=after_iteration
        )
        return end.x, end.fun

    watch.start()
    model = Estimator(kernel, optimizer=optimizer).fit(rows.X, rows.y)
    seconds = watch.now()
    watch.put(next(steps), seconds, predict(model))


# --- the peers -------------------------------------------------------------------------------


def run_gpflow(watch: Watch, a: argparse.Namespace) -> None:
    """SVGP; both optimisers in one function, compiled by tf.function."""
    import gpflow
    import tensorflow as tf
    from tf_keras.optimizers.legacy import Adam

    (n, n_columns), (X, y, X_test, *_) = watch.rows.X.shape, watch.rows
    watch.start()
    lik = gpflow.likelihoods.Bernoulli() if watch.labels else gpflow.likelihoods.Gaussian(NOISE)
    kernel = gpflow.kernels.Matern52(lengthscales=np.full(n_columns, n_columns**0.5))
    model = gpflow.models.SVGP(kernel, lik, kmeans(X, a.m), num_data=n)
    gpflow.set_trainable(model.q_mu, False)
    gpflow.set_trainable(model.q_sqrt, False)
    data = tf.data.Dataset.from_tensor_slices((X, y[:, None].astype(float))).repeat().shuffle(n)
    loss = model.training_loss_closure(iter(data.batch(min(a.batch, n)).prefetch(2)), compile=False)
    natural, adam = gpflow.optimizers.NaturalGradient(GAMMA), Adam(RATE)

    @tf.function
    def step():
        natural.minimize(loss, var_list=[(model.q_mu, model.q_sqrt)])
        adam.minimize(loss, var_list=model.trainable_variables)

    def predict():
        mean, variance = (part.numpy() for part in model.predict_y(X_test))
        return mean if watch.labels else (mean, variance)

    loop(watch, step, predict)


def loop(watch: Watch, step: Callable, predict: Callable) -> None:
    """Steps until the run may end."""
    count = 0
    while True:
        step()
        count += 1
        if watch.look(count, predict):
            return


def gpytorch_model(Z: Any, n_columns: int) -> Any:
    """Variational GP with natural parameters and an ARD Matern-5/2."""
    import gpytorch as gp

    class SVGP(gp.models.ApproximateGP):
        def __init__(self):
            q = gp.variational.NaturalVariationalDistribution(len(Z))
            super().__init__(gp.variational.VariationalStrategy(self, Z, q))
            self.mean_module = gp.means.ZeroMean()
            matern = gp.kernels.MaternKernel(nu=2.5, ard_num_dims=n_columns)
            self.covar_module = gp.kernels.ScaleKernel(matern)
            self.covar_module.base_kernel.lengthscale = n_columns**0.5
            self.covar_module.outputscale = 1.0

        def forward(self, x):
            return gp.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))

    return SVGP()


def batches(n: int, size: int) -> Iterator[Any]:
    """Rows of each step, every epoch in a new order."""
    import torch

    while True:
        yield from (b for b in torch.randperm(n).split(size) if len(b) == size)


def run_gpytorch(watch: Watch, a: argparse.Namespace) -> None:
    """SVGP; NGD and torch's Adam, one backward pass."""
    import gpytorch as gp
    import torch

    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    rows, (n, n_columns) = watch.rows, watch.rows.X.shape
    watch.start()
    X, y = (torch.tensor(part, dtype=torch.float64) for part in (rows.X, rows.y))
    model = gpytorch_model(torch.tensor(kmeans(rows.X, a.m)), n_columns)
    likelihoods = gp.likelihoods
    lik = likelihoods.BernoulliLikelihood() if watch.labels else likelihoods.GaussianLikelihood()
    if not watch.labels:
        lik.noise = NOISE
    natural = gp.optim.NGD(model.variational_parameters(), num_data=n, lr=GAMMA)
    adam = torch.optim.Adam([*model.hyperparameters(), *lik.parameters()], lr=RATE)
    elbo, batch = gp.mlls.VariationalELBO(lik, model, num_data=n), batches(n, min(a.batch, n))

    def step():
        chosen = next(batch)
        natural.zero_grad(), adam.zero_grad()
        (-elbo(model(X[chosen]), y[chosen])).backward()
        natural.step(), adam.step()

    def predict():
        model.eval(), lik.eval()
        with torch.no_grad():
            out = lik(model(torch.tensor(rows.X_test)))
            out = out.probs.numpy() if watch.labels else (out.mean.numpy(), out.variance.numpy())
        model.train(), lik.train()
        return out

    loop(watch, step, predict)


def run_gpjax(watch: Watch, a: argparse.Namespace) -> None:
    """Runs of fit_natgrads, longer and longer; then where between two the target was met."""
    import jax

    jax.config.update("jax_enable_x64", True)
    watch.start()
    Z = kmeans(watch.rows.X, a.m)
    chosen = watch.now()

    def run(steps: int) -> tuple[float, float]:
        jax.clear_caches()  # what was compiled for another run is not there the first time
        watch.start()
        predict = gpjax_fit(watch, Z, steps, a.batch)
        seconds = chosen + watch.now()
        return seconds, watch.put(steps, seconds, predict())

    seconds, steps, missed = 0.0, 50, 0
    while 1.5 * seconds < a.seconds:
        seconds, nlpd = run(steps)
        if a.target is not None and nlpd <= a.target:
            break
        missed, steps = steps, round(1.5 * steps)
    else:
        return
    for _ in range(2):
        middle = (missed + steps) // 2
        _, nlpd = run(middle)
        missed, steps = (missed, middle) if nlpd <= a.target else (middle, steps)


def gpjax_fit(watch: Watch, Z: np.ndarray, steps: int, batch: int) -> Callable:
    """Train from the start; gives the function that predicts."""
    import gpjax as gpx
    import jax
    import jax.numpy as jnp
    import optax

    rows, (n, n_columns) = watch.rows, watch.rows.X.shape
    data = gpx.Dataset(X=jnp.asarray(rows.X), y=jnp.asarray(rows.y[:, None].astype(float)))
    kernel = gpx.kernels.Matern52(lengthscale=jnp.full(n_columns, n_columns**0.5))
    prior = gpx.gps.Prior(mean_function=gpx.mean_functions.Zero(), kernel=kernel)
    noise = jnp.asarray(NOISE**0.5)
    likelihoods = gpx.likelihoods
    lik = likelihoods.Bernoulli() if watch.labels else likelihoods.Gaussian(obs_stddev=noise)
    q = gpx.variational_families.WhitenedVariationalGaussian(
        model=prior * lik, inducing_inputs=jnp.asarray(Z)
    )
    q, history = gpx.fit_natgrads(
        model=q,
        objective=lambda p, d: -gpx.objectives.elbo(p, d),
        train_data=data,
        optim=optax.adam(RATE),
        natgrad_lr=GAMMA,
        num_iters=steps,
        batch_size=min(batch, n),
        verbose=False,
    )
    jax.block_until_ready(history)

    def predict():
        out = q.model.likelihood(q.predict(jnp.asarray(rows.X_test)))
        return np.asarray(out.mean) if watch.labels else (out.mean, out.variance)

    return predict


WORKERS = {
    "skgpng": run_skgpng,
    "gpytorch": run_gpytorch,
    "gpflow": run_gpflow,
    "gpjax": run_gpjax,
    "scikit-learn": run_scikit_learn,
}


# --- table and plot --------------------------------------------------------------------------


def seconds_to(points: list[dict], target: float | None) -> float:
    """Of the first point that met the target; infinite where none did."""
    met = [p["seconds"] for p in points if target is not None and p["nlpd"] <= target]
    return min(met, default=np.inf)


def line_of(library: str, rounds: list, target: float | None, ours: float) -> list[str]:
    """One line of the table."""
    seconds = [seconds_to(points, target) for points in rounds]
    middle, n_met = statistics.median(seconds), int(np.isfinite(seconds).sum())
    best = [min(p["nlpd"] for p in points) for points in rounds]
    longest = statistics.median(max(p["seconds"] for p in points) for points in rounds)
    if n_met == len(seconds):
        text = common.spread(seconds)
    else:
        text = f"more than {common.number(longest)} ({n_met} of {len(seconds)} met it)"
    ratio = middle if np.isfinite(middle) else longest
    text, ratio = ("-", np.nan) if target is None else (text, ratio / ours)
    sign = "" if np.isfinite(middle) or not np.isfinite(ratio) else "> "
    return [
        library,
        text,
        sign + common.number(ratio),
        f"{statistics.median(best):.4f}",
        f"{longest:.1f}",
    ]


def plot(runs: dict[str, list], a: argparse.Namespace) -> None:
    """NLPD against seconds, every round."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import matplotlib.ticker

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for library, rounds in runs.items():
        for k, points in enumerate(rounds):
            x, y = zip(*sorted((p["seconds"], p["nlpd"]) for p in points))
            label = library if k == 0 else None
            axes.plot(x, y, ".-", lw=1, ms=3, color=common.COLOURS[library], label=label)
    values = [p["nlpd"] for rounds in runs.values() for points in rounds for p in points]
    if a.target is not None:
        axes.axhline(a.target, color="black", lw=0.8, ls=":", label="target")
        values.append(a.target)
    low, middle = min(values), statistics.median(values)
    high = max(middle, a.target if a.target is not None else low)
    axes.set_ylim(low - 0.2 * (middle - low) - 1e-3, low + 2.0 * (high - low) + 1e-3)
    axes.set(xscale="log", xlabel="seconds", ylabel="held-out NLPD", title=f"{a.data}, M={a.m}")
    axes.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.legend()
    a.save.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(a.save, dpi=90)


def said(points: list[dict], target: float | None) -> str:
    """Progress."""
    best, seconds = min(p["nlpd"] for p in points), seconds_to(points, target)
    reached = f", target after {seconds:.2f} s" if np.isfinite(seconds) else ""
    return f"best NLPD {best:.4f}, {len(points)} looks, {points[-1]['seconds']:.1f} s{reached}"


def main() -> None:
    """Run the libraries, or be one."""
    a = ARGUMENTS.parse_args()
    if a.worker:
        watch = Watch(*common.load(a.data_folder, a.data, a.split, a.rows), a)
        return WORKERS[a.worker](watch, a)
    wanted = [library for library in WORKERS if library != "scikit-learn" or a.exact]
    libraries = common.interpreters(a.python, wanted)
    runs = common.in_turns(__file__, libraries, a.repeats, say=lambda p: said(p, a.target))
    rounds = runs.get("skgpng", [])
    ours = statistics.median([seconds_to(p, a.target) for p in rounds] or [np.nan])
    lines = [line_of(library, rounds, a.target, ours) for library, rounds in runs.items()]
    target = "no target" if a.target is None else f"seconds to {a.target:g}"
    header = ["library", target, "ratio", "best NLPD", "seconds in all"]
    if a.save and runs:
        plot(runs, a)
    common.finish(a.json, libraries, common.table(header, lines), runs, a.save)


if __name__ == "__main__":
    main()
