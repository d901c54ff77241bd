"""
Natural gradients: the study, figure by figure
==============================================

Replays GPflow's natural-gradients study with the building blocks of skgpng, prints every
figure beside the published one and exits with an error if a printed digit differs. The picture
shows why one bothers: the same models trained by Adam on everything, and by natural gradients
for q interleaved with Adam for the hyperparameters.

The inputs, the rows of every minibatch and the reference traces lie beside this file in
``data/natural_gradients.npz``; they were computed with GPflow 2.9.2.

Run it with ``python examples/natural_gradients.py``.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
import numpy as np
import tensorflow as tf
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from skgpng import gaussians, kernels, models, optimizers
from skgpng.likelihoods import Bernoulli, Gaussian

try:
    HERE = Path(__file__).resolve().parent
except NameError:  # inside the documentation's gallery
    HERE = Path.cwd()
GOLDEN = np.load(HERE / "data" / "natural_gradients.npz")
X, Y = GOLDEN["x"], GOLDEN["y"]
Z = GOLDEN["inducing_points"].astype(np.float64)
Y_BINARY = GOLDEN["y_binary"]
KERNEL = kernels.parse(ConstantKernel(1.0) * Matern(1.0, nu=2.5)).structure
POSITIVE = optimizers.softplus()
NOISE = optimizers.softplus(1e-6)


# %%
# Parameters on the line
# ----------------------
# Adam moves unconstrained numbers. A model is a pure function of their positive values.


def start(noise_variance=None, inducing_points=()):
    """Unconstrained hyperparameters of the study's starting point."""
    one = tf.constant(1.0, tf.float64)
    noise = () if noise_variance is None else (NOISE.inverse(noise_variance * one),)
    return models.Hyperparameters((POSITIVE.inverse(one),) * 2, noise, inducing_points)


def constrain(u):
    """Positive hyperparameters from unconstrained ones."""
    return models.Hyperparameters(
        tuple(POSITIVE.forward(v) for v in u.kernel),
        tuple(NOISE.forward(v) for v in u.likelihood),
        u.inducing_points,
    )


def vgp(theta, X=X):
    return models.vgp_covariances(KERNEL, theta, X)


def svgp(theta, X):
    return models.svgp_covariances(KERNEL, theta, X)


def adam_step(objective, parameters, state):
    """One Adam step of size 0.01 on whatever is in ``parameters``."""
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        value = objective(parameters)
    gradients = tape.gradient(value, parameters, unconnected_gradients="zero")
    return optimizers.adam_update(parameters, gradients, state, 0.01)


def natural_step(covariances, u, q, likelihood, Y, gamma, step=optimizers.natural_gradient):
    """One natural-gradient step on q."""
    theta = constrain(u)
    _, _, gradients = models.elbo_and_gradients(covariances, theta, q, likelihood, Y)
    return step(q, gradients, gamma)


def with_lower_triangle(u, q):
    """Only the lower triangle of q_sqrt is a parameter."""
    return u, gaussians.MeanSqrt(q.q_mu, tf.linalg.band_part(q.q_sqrt, -1, 0))


def final(name, u):
    """Final hyperparameters under the names of the reference file."""
    theta = constrain(u)
    out = {
        f"{name}_final_variance": theta.kernel[0].numpy(),
        f"{name}_final_length_scale": theta.kernel[1].numpy(),
    }
    if theta.likelihood:
        out[f"{name}_final_noise_variance"] = theta.likelihood[0].numpy()
    if not isinstance(theta.inducing_points, tuple):
        out[f"{name}_final_inducing_points"] = theta.inducing_points.numpy()
    return out


# %%
# Exact regression, and VGP with natural gradients
# ------------------------------------------------
# One natural-gradient step of size 1 makes VGP exact regression.


def exact_regression():
    """GPR before training and through five Adam steps."""

    @tf.function(autograph=False)
    def objective(u):
        theta = constrain(u)
        K = kernels.covariance(KERNEL, theta.kernel, X)
        return models.gpr_log_marginal_likelihood(K, Y, theta.likelihood[0])

    @tf.function(autograph=False)
    def step(u, state):
        return adam_step(objective, u, state)

    u = start(1.0)
    state = optimizers.adam_init(u)
    trace = {"gpr_lml_initial": objective(u).numpy(), "gpr_adam_lml": []}
    for _ in range(5):
        u, state = step(u, state)
        trace["gpr_adam_lml"].append(objective(u).numpy())
    return {**trace, **final("gpr", u)}


def vgp_conjugate():
    """VGP with a Gaussian likelihood: one step alone, then five interleaved with Adam."""
    likelihood = Gaussian()
    u, q = start(1.0), gaussians.standard_normal(len(X))

    @tf.function(autograph=False)
    def objective(u, q):
        theta = constrain(u)
        return models.elbo(vgp(theta), q, likelihood, theta.likelihood, Y)

    @tf.function(autograph=False)
    def step(u, q, state):
        q = natural_step(vgp, u, q, likelihood, Y, 1.0)
        u, state = adam_step(lambda u: objective(u, q), u, state)
        return u, q, state

    trace = {"vgp_elbo_initial": objective(u, q).numpy(), "vgp_natgrad_adam_elbo": []}
    q = natural_step(vgp, u, q, likelihood, Y, 1.0)
    trace["vgp_elbo_after_one_natgrad_step"] = objective(u, q).numpy()
    trace["vgp_q_mu_after_one_natgrad_step"] = q.q_mu.numpy()
    trace["vgp_q_sqrt_after_one_natgrad_step"] = q.q_sqrt.numpy()
    state, q = optimizers.adam_init(u), gaussians.standard_normal(len(X))
    for _ in range(5):
        u, q, state = step(u, q, state)
        trace["vgp_natgrad_adam_elbo"].append(objective(u, q).numpy())
    return {**trace, **final("vgp", u)}


# %%
# Sparse regression
# -----------------
# The collapsed bound, SVGP reaching it in one step, and SVGP on minibatches. In this study the
# ELBO of a minibatch is not scaled to the size of the data.


def svgp_conjugate():
    """SGPR, and SVGP before and after one step of size 1; then 100 minibatch steps."""
    likelihood = Gaussian()
    u, q = start(0.1, Z), gaussians.standard_normal(len(Z))
    theta = constrain(u)

    @tf.function(autograph=False)
    def objective(q, rows):
        prior = svgp(theta, tf.gather(X, rows))
        return models.elbo(prior, q, likelihood, theta.likelihood, tf.gather(Y, rows))

    @tf.function(autograph=False)
    def step(q, rows):
        return natural_step(
            lambda t: svgp(t, tf.gather(X, rows)), u, q, likelihood, tf.gather(Y, rows), 0.1
        )

    everything = np.arange(len(X))
    trace = {
        "sgpr_elbo": models.sgpr_elbo(svgp(theta, X), Y, theta.likelihood[0]).numpy(),
        "svgp_elbo_initial": objective(q, everything).numpy(),
    }
    q = natural_step(lambda t: svgp(t, X), u, q, likelihood, Y, 1.0)
    trace["svgp_elbo_after_one_natgrad_step"] = objective(q, everything).numpy()
    batches = GOLDEN["svgp_minibatch_rows"]
    for rows in batches[:100]:
        q = step(q, rows)
    trace["svgp_minibatch_final_q_mu"] = q.q_mu.numpy()
    trace["svgp_minibatch_natgrad_mean_elbo"] = np.mean([objective(q, r) for r in batches[100:]])
    return trace


def svgp_comparison():
    """Adam on everything against Adam interleaved with natural gradients, on minibatches."""
    likelihood = Gaussian()

    @tf.function(autograph=False)
    def objective(u, q, rows):
        theta = constrain(u)
        prior = svgp(theta, tf.gather(X, rows))
        return models.elbo(prior, q, likelihood, theta.likelihood, tf.gather(Y, rows))

    @tf.function(autograph=False)
    def ordinary(u, q, state, rows):
        def of_both(uq):
            return objective(*with_lower_triangle(*uq), rows)

        return adam_step(of_both, (u, q), state)

    @tf.function(autograph=False)
    def interleaved(u, q, state, adam_rows, natural_rows):
        u, state = adam_step(lambda u: objective(u, q, adam_rows), u, state)
        q = natural_step(
            lambda t: svgp(t, tf.gather(X, natural_rows)),
            u,
            q,
            likelihood,
            tf.gather(Y, natural_rows),
            0.1,
        )
        return u, q, state

    batches, trace = GOLDEN["svgp_comparison_rows"], {}
    u, q = start(1.0, tf.constant(Z)), gaussians.standard_normal(len(Z))
    state = optimizers.adam_init((u, q))
    for rows in batches[:100]:
        (u, q), state = ordinary(u, q, state, rows)
    trace["svgp_ordinary_adam_mean_elbo"] = np.mean([objective(u, q, r) for r in batches[300:400]])
    trace.update(final("svgp_ordinary", u))
    u, q = start(1.0, tf.constant(Z)), gaussians.standard_normal(len(Z))
    state = optimizers.adam_init(u)
    for k in range(100):
        u, q, state = interleaved(u, q, state, batches[100 + 2 * k], batches[101 + 2 * k])
    trace["svgp_natgrad_adam_mean_elbo"] = np.mean([objective(u, q, r) for r in batches[400:]])
    return {**trace, **final("svgp_natgrad", u)}


# %%
# A likelihood that is not Gaussian
# ---------------------------------
# Two independent outputs share one kernel. The second run goes on with the step count of the
# first one's Adam; the third takes its natural-gradient steps in (mean, sqrt) coordinates.


def train_ordinary(covariances, likelihood, Y, u, q, steps):
    """Adam on everything; the ELBO after each step and the seconds it took."""

    @tf.function(autograph=False)
    def objective(u, q):
        theta = constrain(u)
        return models.elbo(covariances(theta), q, likelihood, theta.likelihood, Y)

    @tf.function(autograph=False)
    def step(u, q, state):
        return adam_step(lambda uq: objective(*with_lower_triangle(*uq)), (u, q), state)

    state = optimizers.adam_init((u, q))
    step(u, q, state), objective(u, q)  # trace before the clock starts
    elbos, begin, seconds = [], time.perf_counter(), []
    for _ in range(steps):
        (u, q), state = step(u, q, state)
        seconds.append(time.perf_counter() - begin)
        elbos.append(objective(u, q).numpy())
    return elbos, seconds, u


def train_interleaved(
    covariances, likelihood, Y, u, q, steps, gamma, first=0, step=optimizers.natural_gradient
):
    """Adam for the hyperparameters, then a natural-gradient step for q."""

    @tf.function(autograph=False)
    def objective(u, q):
        theta = constrain(u)
        return models.elbo(covariances(theta), q, likelihood, theta.likelihood, Y)

    @tf.function(autograph=False)
    def both(u, q, state):
        u, state = adam_step(lambda u: objective(u, q), u, state)
        return u, natural_step(covariances, u, q, likelihood, Y, gamma, step), state

    state = optimizers.adam_init(u, first)
    both(u, q, state), objective(u, q)
    elbos, begin, seconds = [], time.perf_counter(), []
    for _ in range(steps):
        u, q, state = both(u, q, state)
        seconds.append(time.perf_counter() - begin)
        elbos.append(objective(u, q).numpy())
    return elbos, seconds, u


def vgp_bernoulli():
    """Bernoulli VGP: ordinary Adam, natural gradients, and XiSqrtMeanVar."""
    setting = vgp, Bernoulli(), Y_BINARY, start(), gaussians.standard_normal(len(X), 2)
    theta = constrain(start())
    trace = {
        "vgp_bernoulli_elbo_initial": models.elbo(
            vgp(theta), setting[4], setting[1], (), Y_BINARY
        ).numpy()
    }
    in_sqrt = optimizers.natural_gradient_in_mean_sqrt
    runs = {
        "adam": ("adam_elbo", train_ordinary(*setting, 100)),
        "natgrad": ("natgrad_adam_elbo", train_interleaved(*setting, 100, 0.1, first=100)),
        "xi": ("xi_sqrt_mean_var_elbo", train_interleaved(*setting, 100, 0.01, step=in_sqrt)),
    }
    for name, (curve, (elbos, _, u)) in runs.items():
        trace[f"vgp_bernoulli_{curve}"] = elbos
        trace.update(final(f"vgp_bernoulli_{name}", u))
    return trace


def replay():
    """Every figure and trace of the study, under the names of the reference file."""
    parts = exact_regression, vgp_conjugate, svgp_conjugate, svgp_comparison, vgp_bernoulli
    return {name: np.asarray(v) for part in parts for name, v in part().items()}


# %%
# The table
# ---------

FIGURES = [
    ("GPR log marginal likelihood, untrained", ["-139.5640"], "gpr_lml_initial"),
    ("VGP ELBO, q = N(0, I)", ["-426.9017"], "vgp_elbo_initial"),
    ("VGP ELBO after one step, gamma = 1", ["-139.5641"], "vgp_elbo_after_one_natgrad_step"),
    (
        "GPR, five Adam steps",
        ["-139.2548", "-138.9456", "-138.6363", "-138.3270", "-138.0177"],
        "gpr_adam_lml",
    ),
    (
        "VGP, five natural gradient + Adam",
        ["-139.2581", "-138.9489", "-138.6397", "-138.3305", "-138.0213"],
        "vgp_natgrad_adam_elbo",
    ),
    ("GPR length scale afterwards", ["0.9687"], "gpr_final_length_scale"),
    ("VGP length scale afterwards", ["0.9687"], "vgp_final_length_scale"),
    ("SGPR ELBO", ["-227.9840"], "sgpr_elbo"),
    ("SVGP ELBO before a step", ["-3326.8429"], "svgp_elbo_initial"),
    ("SVGP ELBO after one step, gamma = 1", ["-227.9840"], "svgp_elbo_after_one_natgrad_step"),
    ("SVGP minibatches, gamma = 0.1", ["-136.1650"], "svgp_minibatch_natgrad_mean_elbo"),
    ("SVGP, Adam on everything", ["-82.7712"], "svgp_ordinary_adam_mean_elbo"),
    ("SVGP, Adam + natural gradient", ["-73.0862"], "svgp_natgrad_adam_mean_elbo"),
    ("Bernoulli VGP, Adam on everything", ["-144.2140"], "vgp_bernoulli_adam_elbo"),
    ("Bernoulli VGP, Adam + natural gradient", ["-142.8380"], "vgp_bernoulli_natgrad_adam_elbo"),
    ("Bernoulli VGP, XiSqrtMeanVar", ["-143.0989"], "vgp_bernoulli_xi_sqrt_mean_var_elbo"),
]


def print_table(trace):
    """Print figure, published, computed and difference; return the number that differ."""
    wrong = 0
    print(f"{'figure':40} {'published':>11} {'computed':>11} {'difference':>11}")
    for label, published, name in FIGURES:
        computed = np.ravel(trace[name])[-len(published) :]
        for text, value in zip(published, computed, strict=True):
            same = f"{value:.4f}" == text
            wrong += not same
            mark = "" if same else "  <-- differs"
            print(f"{label:40} {text:>11} {value:11.4f} {value - float(text):11.1e}{mark}")
    return wrong


# %%
# The picture
# -----------
# Seconds do not count tracing, nor evaluating the ELBO for the plot.


def draw(path):
    """ELBO against step and against seconds, conjugate and Bernoulli."""
    import matplotlib.pyplot as plt

    conjugate = vgp, Gaussian(), Y, start(1.0), gaussians.standard_normal(len(X))
    bernoulli = vgp, Bernoulli(), Y_BINARY, start(), gaussians.standard_normal(len(X), 2)
    figure, axes = plt.subplots(2, 2, figsize=(10, 6), sharey="row", layout="constrained")
    cases = [("Gaussian (conjugate)", conjugate, 1.0), ("Bernoulli", bernoulli, 0.1)]
    for row, (title, setting, gamma) in zip(axes, cases, strict=True):
        runs = {
            "Adam on everything": train_ordinary(*setting, 100),
            f"natural gradient ({gamma:g}) + Adam": train_interleaved(*setting, 100, gamma),
        }
        for label, (elbos, seconds, _) in runs.items():
            row[0].plot(np.arange(1, 101), elbos, label=label)
            row[1].plot(seconds, elbos, label=label)
        row[0].set(title=title, xlabel="step", ylabel="ELBO")
        row[1].set(title=title, xlabel="seconds")
        row[0].legend()
    figure.savefig(path, dpi=120)
    print(f"saved {path}")


if __name__ == "__main__":
    differing = print_table(replay())
    draw("natural_gradients.png")
    if differing:
        sys.exit(f"{differing} figures differ in a printed digit")
    print("every printed digit is reproduced")
