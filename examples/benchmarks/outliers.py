"""Noise with heavy tails against outliers.

    python examples/benchmarks/outliers.py [--python gpflow=PYTHON] [--data-folder ../shared/data]

On concrete, split 0, with 5 % of the y trained on replaced by noise 20 standard
deviations wide; held-out rows are as they are. Then Student-t noise of 4 degrees of freedom (which
GPflow does not learn) with 200 inducing points in both libraries, from the same points and kernel.
Densities are of y in its units, GPflow's by the formula for ours from its moments of f.
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

_POINTS, _DF = 200, 4.0


# --- outliers --------------------------------------------------------------------------------


def outliers(options: argparse.Namespace) -> tuple[str, Any]:
    """Errors with each noise, beside the Gaussian fit of clean rows."""
    from skgpng import GaussianProcessRegressor
    from skgpng.likelihoods import StudentT

    _, rows = common.load(options.data_folder, "concrete", 0)
    bad = rows._replace(y=with_outliers(rows.y))
    same = {"n_inducing": _POINTS, "random_state": 0}
    runs = [
        ("gaussian, clean y", rows, GaussianProcessRegressor()),
        ("student_t, clean y", rows, GaussianProcessRegressor(likelihood="student_t")),
        ("gaussian", bad, GaussianProcessRegressor()),
        ("student_t", bad, GaussianProcessRegressor(likelihood="student_t")),
        ("laplace", bad, GaussianProcessRegressor(likelihood="laplace")),
        ("student_t, 200 points", bad, GaussianProcessRegressor(likelihood=StudentT(_DF), **same)),
    ]
    found = {name: held_out(model, own) for name, own, model in runs}
    if "gpflow" in (libraries := common.interpreters(options.python, ["gpflow"])):
        for line in common.call(__file__, libraries["gpflow"], "gpflow"):
            found["GPflow student_t, 200 points"] = of_moments(line, rows)
    clean = found["gaussian, clean y"]["rmse"]
    lines = [
        [
            name,
            f"{run['rmse']:.3f}",
            f"{run['rmse'] / clean:.3f}",
            f"{run['log_density']:.4f}",
            common.number(run["seconds"], 2),
        ]
        for name, run in found.items()
    ]
    return common.table(["noise", "RMSE", "of clean", "log density", "seconds"], lines), found


def with_outliers(y: np.ndarray) -> np.ndarray:
    """One in twenty y replaced by noise 20 standard deviations wide."""
    rng, y = np.random.RandomState(0), y.copy()
    some = rng.permutation(len(y))[: len(y) // 20]
    y[some] = 20.0 * y.std() * rng.standard_normal(len(some))
    return y


def held_out(model: Any, rows: common.Rows) -> dict:
    """Fit, and figures of the test rows in the units of y."""
    begin = time.perf_counter()
    model.fit(rows.X, rows.y)
    seconds = time.perf_counter() - begin
    error = model.predict(rows.X_test) - rows.y_test
    density = model.log_predictive_density(rows.X_test, rows.y_test)
    return {
        "rmse": float(np.sqrt(np.mean(error**2)) * rows.scale),
        "log_density": float(np.mean(density) - np.log(rows.scale)),
        "seconds": seconds,
    }


def of_moments(line: dict, rows: common.Rows) -> dict:
    """The same figures of moments of f."""
    from skgpng.likelihoods import StudentT

    mean, var = (np.array(line[name])[:, None] for name in ("mean", "var"))
    y, values = rows.y_test[:, None], (line["noise"], _DF)
    density = StudentT().predict_log_density(values, mean, var, y)
    return {
        "rmse": float(np.sqrt(np.mean((mean - y) ** 2)) * rows.scale),
        "log_density": float(np.mean(density) - np.log(rows.scale)),
        "seconds": line["seconds"],
    }


def outliers_by_gpflow(options: argparse.Namespace) -> None:
    """Natural-gradient steps and Adam's in turns, all rows in each; prints moments of f."""
    import gpflow
    import tensorflow as tf
    from scipy.cluster.vq import kmeans2
    from tf_keras.optimizers.legacy import Adam

    _, rows = common.load(options.data_folder, "concrete", 0)
    X, y = rows.X, with_outliers(rows.y)[:, None]
    begin = time.perf_counter()
    kernel = gpflow.kernels.Matern52(lengthscales=np.full(X.shape[1], X.shape[1] ** 0.5))
    noise = gpflow.likelihoods.StudentT(scale=0.1**0.5, df=_DF)
    points = kmeans2(X, _POINTS, minit="points", seed=0)[0]
    model = gpflow.models.SVGP(kernel, noise, points, num_data=len(X))
    for q in (model.q_mu, model.q_sqrt):
        gpflow.set_trainable(q, False)
    loss = model.training_loss_closure((X, y), compile=False)
    natural, adam = gpflow.optimizers.NaturalGradient(0.1), Adam(0.03)

    @tf.function
    def step() -> None:
        natural.minimize(loss, var_list=[(model.q_mu, model.q_sqrt)])
        adam.minimize(loss, var_list=model.trainable_variables)

    for _ in range(options.steps):
        step()
    mean, var = (np.ravel(a).tolist() for a in model.predict_f(rows.X_test))
    seconds = time.perf_counter() - begin
    common.put(mean=mean, var=var, noise=float(noise.scale.numpy()), seconds=seconds)


# --- command line ----------------------------------------------------------------------------


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=500, help="of the other library")
    common.add_peers(parser)
    common.add_data(parser)
    common.add_output(parser)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.worker:
        outliers_by_gpflow(options)
        return
    text, found = outliers(options)
    common.finish(options.json, common.interpreters([], ["skgpng"]), text, found)


if __name__ == "__main__":
    main()
