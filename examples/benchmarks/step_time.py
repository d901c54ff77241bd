"""Time one training step (natural gradient for q, Adam for the rest) of one library.

    python step_time.py LIBRARY [--rows 100] [--inducing 10] [--batch 50] [--columns 2]

LIBRARY is skgpng, gpflow (each step compiled by tf.function) or gpytorch; run each in an
environment that has it. Every library trains the same sparse variational model on the same
random rows: ARD Matern-5/2, Gaussian likelihood, trained inducing points, float64, step sizes
0.1 and 0.01. Prints one JSON line: milliseconds a step, the median of five blocks.
"""

from __future__ import annotations

import argparse
import json
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("library", choices=["skgpng", "gpflow", "gpytorch"])
parser.add_argument("--rows", type=int, default=100)
parser.add_argument("--inducing", type=int, default=10)
parser.add_argument("--batch", type=int, default=50)
parser.add_argument("--columns", type=int, default=2)
parser.add_argument("--steps", type=int, default=500)
a = parser.parse_args()

rng = np.random.RandomState(0)
X = rng.randn(a.rows, a.columns)
y = np.sin(2 * X[:, 0]) + 0.3 * rng.randn(a.rows)
Z = X[rng.permutation(a.rows)[: a.inducing]]


def skgpng_steps():
    """The estimator's own loop: two lengths, so that what is done once cancels."""
    from sklearn.gaussian_process.kernels import Matern

    from skgpng import gaussians, kernels, structures, training
    from skgpng.likelihoods import Gaussian

    parsed = kernels.parse(1.0 * Matern(np.ones(a.columns), nu=2.5))
    structure = structures.Structure(
        "svgp", parsed.structure, Gaussian(), (True,), True, True, 1, "float64"
    )
    theta = structures.Hyperparameters(parsed.values, (0.1,), Z)
    data = structures.Data(X, y[:, None], np.ones(a.rows), np.zeros(a.rows), np.ones(a.columns))
    q = gaussians.Natural(np.zeros((a.inducing, 1)), -0.5 * np.eye(a.inducing)[None])
    bounds = (*parsed.bounds, np.array([1e-6, 1e2]))

    def run(steps):
        settings = training.Settings(
            0.1, 1.0, 0, 0.01, steps, steps, 0.0, a.batch, 1e-6, np.array([1, 2])
        )
        begin = time.perf_counter()
        training.train(structure, theta, q, bounds, data, settings)
        return time.perf_counter() - begin

    run(1)
    return lambda steps: run(2 * steps) - run(steps)


def gpflow_steps():
    """Both optimisers inside one compiled function; batches drawn inside it too."""
    import gpflow
    import tensorflow as tf
    from tf_keras.optimizers.legacy import Adam

    model = gpflow.models.SVGP(
        gpflow.kernels.Matern52(lengthscales=np.ones(a.columns)),
        gpflow.likelihoods.Gaussian(0.1),
        Z.copy(),
        num_data=a.rows,
    )
    gpflow.set_trainable(model.q_mu, False)
    gpflow.set_trainable(model.q_sqrt, False)
    rows = tf.data.Dataset.from_tensor_slices((X, y[:, None])).repeat().shuffle(a.rows)
    loss = model.training_loss_closure(iter(rows.batch(a.batch).prefetch(2)), compile=False)
    natural, adam = gpflow.optimizers.NaturalGradient(0.1), Adam(0.01)

    @tf.function
    def step():
        natural.minimize(loss, var_list=[(model.q_mu, model.q_sqrt)])
        adam.minimize(loss, var_list=model.trainable_variables)

    def block(steps):
        begin = time.perf_counter()
        for _ in range(steps):
            step()
        return time.perf_counter() - begin

    block(10)
    return block


def gpytorch_steps():
    """NGD on the variational parameters, torch's Adam on the others, one backward pass."""
    import gpytorch
    import torch

    torch.set_default_dtype(torch.float64)
    gp = gpytorch

    class SVGP(gp.models.ApproximateGP):
        def __init__(self):
            q = gp.variational.NaturalVariationalDistribution(a.inducing)
            super().__init__(gp.variational.VariationalStrategy(self, torch.tensor(Z), q))
            self.mean_module = gp.means.ZeroMean()
            self.covar_module = gp.kernels.ScaleKernel(
                gp.kernels.MaternKernel(nu=2.5, ard_num_dims=a.columns)
            )

        def forward(self, x):
            return gp.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))

    model, likelihood = SVGP(), gp.likelihoods.GaussianLikelihood()
    natural = gp.optim.NGD(model.variational_parameters(), num_data=a.rows, lr=0.1)
    adam = torch.optim.Adam([*model.hyperparameters(), *likelihood.parameters()], lr=0.01)
    elbo = gp.mlls.VariationalELBO(likelihood, model, num_data=a.rows)
    Xt, yt = torch.tensor(X), torch.tensor(y)

    def block(steps):
        begin = time.perf_counter()
        for _ in range(steps):
            rows = torch.randint(a.rows, (a.batch,))
            natural.zero_grad(), adam.zero_grad()
            (-elbo(model(Xt[rows]), yt[rows])).backward()
            natural.step(), adam.step()
        return time.perf_counter() - begin

    block(10)
    return block


block = {"skgpng": skgpng_steps, "gpflow": gpflow_steps, "gpytorch": gpytorch_steps}[a.library]()
milliseconds = float(np.median([1e3 * block(a.steps) / a.steps for _ in range(5)]))
print(json.dumps({**vars(a), "milliseconds_per_step": round(milliseconds, 4)}))
