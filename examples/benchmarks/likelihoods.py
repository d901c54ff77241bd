"""Held-out log density of what y is modelled as, beside Gaussian noise.

    python examples/benchmarks/likelihoods.py counts [SETS ...] [--splits 10]
    python examples/benchmarks/likelihoods.py ordinal [SETS ...] [--splits 1]
    python examples/benchmarks/likelihoods.py noise [SETS ...] [--splits 10]
    python examples/benchmarks/likelihoods.py gpflow [SETS ...] [--splits 3]
        [--data-folder ../shared/data]

All print, for each set, the mean log probability of a held-out count or grade, in nats. That of
Gaussian noise is the probability of the interval of half a unit around it: all are probabilities of
the same events. ``noise`` prints log densities of y. Splits are those of the data folder, columns
as they are, and the default kernel.

``counts``: "coal_yearly" (mining disasters of a year), "late_flights" (flights of flights200k more
than an hour late, of those that leave in each half hour of the day, in twelve classes of distance;
all that leave are the exposure, of which Gaussian noise gets the logarithm as a column), "abalone"
(rings).

``ordinal``: grades of wine. Likelihoods other than Gaussian noise have 256 inducing points, as has
"gaussian, M=256"; "gaussian" is the default, from more than 1000 rows on neighbours.

``noise``: one level of it, against one that is a function of x (mcycle).

``gpflow``: the same models by GPflow, with columns scaled and one Matern-5/2 length scale a column:
Poisson's counts of "coal_yearly" with all rows (its VGP), grades of "wine_red" with 100 inducing
points (its SVGP), noise that varies of "mcycle" with a point at each row (its SVGP). GPflow trains
the first by L-BFGS to its own end, the others by 1000 natural gradients of 0.1 beside Adam of 0.03,
on all rows. Its ordinal likelihood has fixed cut points, half-way between grades, and learns the
scale of its noise. GPflow must be there in the interpreter that runs this.
"""

from __future__ import annotations

import argparse
import importlib
import os
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import _common as common
import numpy as np
from scipy.special import log_ndtr

COUNTS = ["coal_yearly", "late_flights", "abalone"]
ORDINAL = ["wine_red", "wine_white"]
NOISE = ["mcycle"]
PEERS = ["coal_yearly", "wine_red", "mcycle"]
ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])


# --- data and fits ---------------------------------------------------------------------------


def rows_of(name: str, folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, list]:
    """X, y, exposure and splits."""
    sets = common.data_sets(folder)
    if name != "late_flights":
        X, y, splits = sets.load(name)
        return X, y.astype(float), None, splits
    flights, delay, _ = sets.load("flights200k")
    distance, hour = flights.T
    edges = np.linspace(0.0, 24.0, 49), np.quantile(distance, np.linspace(0.0, 1.0, 13))
    left, late = (
        np.histogram2d(hour[k], distance[k], edges)[0] for k in (delay > -999, delay > 60)
    )
    middle = [0.5 * (e[1:] + e[:-1]) for e in edges]
    X = np.stack(np.meshgrid(middle[0], np.log(middle[1]), indexing="ij"), -1)
    some = left > 0
    return X[some], late[some], left[some], sets.generated_splits(int(some.sum()))


def probability_of_unit(model: Any, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Log of the normal probability of the interval from y - 1/2 to y + 1/2."""
    mean, std = model.predict(X, return_std=True)
    z = np.abs(y - mean) / std  # in the tail the logarithms of both ends are far apart
    low, high = log_ndtr((-z * std - 0.5) / std), log_ndtr((-z * std + 0.5) / std)
    return high + np.log1p(-np.exp(low - high))


def fit(X: np.ndarray, y: np.ndarray, exposure: Any, rows: tuple, settings: dict) -> dict:
    """Train on one split."""
    from skgpng import GaussianProcessRegressor

    train, test = rows
    gaussian, known = settings["likelihood"] == "gaussian", [{}, {}]
    if exposure is not None and gaussian:
        X = np.column_stack([X, np.log(exposure)])
    elif exposure is not None:
        known = [{"exposure": exposure[part]} for part in rows]
    begin = time.perf_counter()
    model = GaussianProcessRegressor(random_state=0, **settings)
    model.fit(X[train], y[train], **known[0])
    seconds = time.perf_counter() - begin
    if gaussian:
        density = probability_of_unit(model, X[test], y[test])
    else:
        density = model.log_predictive_density(X[test], y[test], **known[1])
    learned = {k: np.round(v, 4).tolist() for k, v in model.likelihood_.items()}
    return {"density": float(np.mean(density)), "seconds": seconds, "learned": learned}


def compare(name: str, models: dict, a: argparse.Namespace) -> dict[str, list]:
    """All models on all splits of a set."""
    X, y, exposure, splits = rows_of(name, a.data_folder)
    runs: dict[str, list] = {label: [] for label in models}
    for k, rows in enumerate(splits[: a.splits]):
        for label, settings in models.items():
            runs[label].append(fit(X, y, exposure, rows, settings))
            print(name, k, label, runs[label][-1], flush=True)
    return {"size": [*X.shape, min(a.splits, len(splits))], **runs}


def report(every: dict[str, dict], models: dict, note: str, a: argparse.Namespace) -> None:
    """Mean log probability, seconds of a fit, and what was learned of the first split."""
    lines = []
    for name, runs in every.items():
        n, d, splits = runs["size"]
        for label in models:
            learned = runs[label][0]["learned"].get(note, "")
            seconds = common.spread([r["seconds"] for r in runs[label]], 2)
            density = np.mean([r["density"] for r in runs[label]])
            lines.append([name, f"{n}, {d}", splits, label, f"{density:.4f}", seconds, learned])
    header = ["set", "N, D", "splits", "likelihood", "log probability", "seconds a fit", note]
    common.finish(a.json, common.interpreters([], ["skgpng"]), common.table(header, lines), every)


# --- subcommands -----------------------------------------------------------------------------


def counts(a: argparse.Namespace) -> None:
    """Negative binomial, Poisson and Gaussian."""
    names = ["gaussian", "poisson", "zero_inflated_poisson", "negative_binomial"]
    models = {name: {"likelihood": name} for name in names}
    every = {name: compare(name, models, a) for name in a.sets or COUNTS}
    report(every, models, "dispersion", a)


def ordinal(a: argparse.Namespace) -> None:
    """Ordered cut points beside Gaussian noise."""
    models = {
        "gaussian": {"likelihood": "gaussian"},
        "gaussian, M=256": {"likelihood": "gaussian", "n_inducing": 256},
        "ordinal": {"likelihood": "ordinal", "n_inducing": 256},
    }
    every = {name: compare(name, models, a) for name in a.sets or ORDINAL}
    report(every, models, "cut_points", a)


def noise(a: argparse.Namespace) -> None:
    """Noise that varies with x."""
    models = {name: {"likelihood": name} for name in ("gaussian", "student_t", "heteroscedastic")}
    every = {name: compare(name, models, a) for name in a.sets or NOISE}
    report(every, models, "variance", a)


def gpflow(a: argparse.Namespace) -> None:
    """Beside GPflow."""
    settings = {
        "coal_yearly": {"likelihood": "poisson", "n_inducing": None},
        "wine_red": {"likelihood": "ordinal", "n_inducing": 100},
        "mcycle": {"likelihood": "heteroscedastic", "n_inducing": None},
    }
    every = {}
    for name in a.sets or PEERS:
        X, y, _, splits = rows_of(name, a.data_folder)
        runs: dict[str, list] = {"skgpng": [], "gpflow": []}
        for rows in splits[: a.splits]:
            scaled = (X - X[rows[0]].mean(0)) / X[rows[0]].std(0)
            runs["skgpng"].append(fit(scaled, y, None, rows, settings[name]))
            peer = fit_noise_by_gpflow if name == "mcycle" else fit_gpflow
            runs["gpflow"].append(peer(scaled, y, rows, settings[name]["n_inducing"]))
            print(name, *(runs[label][-1] for label in runs), flush=True)
        every[name] = {"size": [*X.shape, min(a.splits, len(splits))], **runs}
    report(every, {"skgpng": None, "gpflow": None}, "", a)


def fit_gpflow(X: np.ndarray, y: np.ndarray, rows: tuple, M: int | None) -> dict:
    """The same of GPflow: with inducing points grades, else Poisson's counts."""
    import gpflow
    from scipy.cluster.vq import kmeans2

    train, test = rows
    D = X.shape[1]
    kernel = gpflow.kernels.Matern52(lengthscales=np.full(D, D**0.5))
    # grades are 0, 1, ... there; the outer ones, whose edges at infinity are NaN to erf in
    # TensorFlow 2.21, stay empty
    label = y - y.min() + 1.0
    edges = np.r_[-1e3, np.arange(1.0, label.max()) + 0.5, 1e3]
    begin = time.perf_counter()
    if M is None:
        mean, data = gpflow.functions.Constant(), (X[train], y[train, None])
        model = gpflow.models.VGP(data, kernel, gpflow.likelihoods.Poisson(), mean_function=mean)
        gpflow.optimizers.Scipy().minimize(model.training_loss, model.trainable_variables)
        given = X[test], y[test, None]
    else:
        mean = gpflow.functions.Constant(label[train].mean())
        Z = kmeans2(X[train], M, minit="points", seed=0)[0]
        likelihood = gpflow.likelihoods.Ordinal(edges)
        model = gpflow.models.SVGP(kernel, likelihood, Z, mean_function=mean, num_data=len(train))
        train_svgp(model, (X[train], label[train, None]))
        given = X[test], label[test, None]
    seconds = time.perf_counter() - begin
    density = model.predict_log_density(given).numpy()
    return {"density": float(np.mean(density)), "seconds": seconds, "learned": {}}


def fit_noise_by_gpflow(X: np.ndarray, y: np.ndarray, rows: tuple, M: None) -> dict:
    """Noise that varies, of GPflow: two latent functions, points at all rows."""
    import gpflow
    import tensorflow_probability as tfp

    train, test = rows
    shift, scale = y[train].mean(), y[train].std()
    Y = (y[:, None] - shift) / scale
    likelihood = gpflow.likelihoods.HeteroskedasticTFPConditional(
        tfp.distributions.Normal, scale_transform=tfp.bijectors.Exp()
    )
    kernel = gpflow.kernels.SeparateIndependent([gpflow.kernels.Matern52() for _ in range(2)])
    begin = time.perf_counter()
    Z = gpflow.inducing_variables.SharedIndependentInducingVariables(
        gpflow.inducing_variables.InducingPoints(np.unique(X[train], axis=0))
    )
    gpflow.set_trainable(Z, False)
    model = gpflow.models.SVGP(kernel, likelihood, Z, num_latent_gps=2, num_data=len(train))
    train_svgp(model, (X[train], Y[train]))
    seconds = time.perf_counter() - begin
    density = model.predict_log_density((X[test], Y[test])).numpy() - np.log(scale)
    return {"density": float(np.mean(density)), "seconds": seconds, "learned": {}}


def train_svgp(model: Any, data: tuple, steps: int = 1000) -> None:
    """By natural gradients beside Adam, on all rows."""
    import gpflow
    import tensorflow as tf
    from tf_keras.optimizers.legacy import Adam

    for q in (model.q_mu, model.q_sqrt):
        gpflow.set_trainable(q, False)
    natural, adam = gpflow.optimizers.NaturalGradient(0.1), Adam(0.03)
    loss = model.training_loss_closure(data, compile=False)

    @tf.function
    def step() -> None:
        natural.minimize(loss, var_list=[(model.q_mu, model.q_sqrt)])
        adam.minimize(loss, var_list=model.trainable_variables)

    for _ in range(steps):
        step()


def main() -> None:
    """One subcommand."""
    parts = ARGUMENTS.add_subparsers(required=True)
    subcommands = (
        (counts, COUNTS, 10),
        (ordinal, ORDINAL, 1),
        (noise, NOISE, 10),
        (gpflow, PEERS, 3),
    )
    for function, sets, splits in subcommands:
        part = parts.add_parser(function.__name__, help=function.__doc__)
        part.add_argument("sets", nargs="*", metavar="SETS", help=", ".join(sets))
        part.add_argument("--splits", type=int, default=splits)
        common.add_data(part)
        common.add_output(part)
        part.set_defaults(run=function)
    a = ARGUMENTS.parse_args()
    warnings.simplefilter("ignore")
    importlib.import_module("tensorflow")
    a.run(a)


if __name__ == "__main__":
    main()
