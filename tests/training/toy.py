"""Small trainings, one for each model."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from skgpng import kernels
from skgpng._inference import Collapsed, Data, Exact, Execution, Model, Sites, Sparse, Structure
from skgpng._inference.sites import SITE_FLOOR
from skgpng._runtime import tf
from skgpng._training import stages
from skgpng._training.loop import Settings
from skgpng.likelihoods import Bernoulli, Gaussian
from skgpng.parameters import Parameter, Parameters

N, M, JITTER = 20, 5, 1e-8
KERNEL = ConstantKernel(1.0) * RBF(0.8)
WIDE = (1e-5, 1e5)

# Every structure costs a compilation of seconds, so the tests share the few of this file.
MODELS = {
    "exact": (Exact(), False, Gaussian()),
    "collapsed": (Collapsed(), False, Gaussian()),
    "sites": (Sites(), False, Gaussian()),
    "sparse": (Sparse(), False, Gaussian()),
    "sparse minibatch": (Sparse(), True, Gaussian()),
    "sites labels": (Sites(), False, Bernoulli()),
}
every_model = pytest.mark.parametrize("name", MODELS)
full_batch = pytest.mark.parametrize("name", [n for n in MODELS if n != "sparse minibatch"])


def make_data(N=N, D=2, labels=False, seed=20):
    rng = np.random.RandomState(seed)
    X = rng.uniform(-2.0, 2.0, (N, D))
    y = np.sin(2.0 * X[:, 0]) + 0.2 * rng.randn(N)
    Y = (y > 0).astype(float)[:, None] if labels else y[:, None]
    row = np.zeros((N, len((Bernoulli if labels else Gaussian)().row_names)))
    return Data(X, Y, np.ones(N), row, X.std(0))


def make_structure(name, kernel=KERNEL, n_latent=1, **changes):
    inference, minibatch, likelihood = MODELS[name]
    model = Model(inference, kernels.parse(kernel).structure, likelihood, n_latent)
    return Structure(model, Execution(minibatch, **changes))


def make_parameters(kernel=KERNEL, noise=0.2, Z=(), bounds=None, free=True, inducing=True):
    """Of a kernel, noise (None: none) and inducing points; ``bounds`` hold for all that is free."""
    own = kernels.parse(kernel).parameters
    if bounds is not None:
        own = tuple(
            p._replace(bounds=np.broadcast_to(bounds, (*np.shape(p.value), 2))) if p.free else p
            for p in own
        )
    noise_bounds = np.array(WIDE if bounds is None else bounds)
    observed = (Parameter("variance", np.array(noise), noise_bounds, free),)
    return Parameters(own, () if noise is None else observed, (), Z, inducing and len(Z) > 0)


def make_settings(**changes):
    numbers = {
        "gamma": 1.0,
        "gamma_ramp": 1.0,
        "warm_up": 0,
        "learning_rate": 0.05,
        "max_iter": 25,
        "n_iter_no_change": 1000,
        "n_plateaus": 3,
        "tol": 1e-6,
        "batch_size": 10,
        "jitter": JITTER,
        "seed": np.array([1, 2]),
    }
    return Settings(**(numbers | changes))


def start_of_q(name, N, M, L=1):
    inference = MODELS[name][0]
    if isinstance(inference, Sites):
        return np.zeros((N, L)), np.full((N, L), SITE_FLOOR)
    if isinstance(inference, Exact):
        return ()
    return np.zeros((M, L)), np.stack([-0.5 * np.eye(M)] * inference.n_matrices(L))


def run(
    name, data=None, *, M=M, kernel=KERNEL, noise=0.2, bounds=WIDE, structure=None, q=None, Z=None,
    parameters=None, before=(), monitors=(), every=10, optimizer="adam", **numbers,
):  # fmt: skip
    """Train on all rows, after the stages ``before``, whose q goes on."""
    structure = structure or make_structure(name, kernel)
    has_noise = isinstance(structure.model.likelihood, Gaussian)
    data = data or make_data(labels=not has_noise)
    own = data.X[:M].astype(np.float64) + 0.01 if structure.model.inference.has_points else ()
    if parameters is None:
        noise, Z = noise if has_noise else None, own if Z is None else Z
        parameters = make_parameters(kernel, noise, Z, bounds)
    q = start_of_q(name, len(data.X), M, structure.model.n_latent) if q is None else q
    q = None if before else q
    last = stages.Stage(data, make_settings(**numbers), q)
    return stages.train(structure, parameters, [*before, last], monitors, every, optimizer)


def assert_same_run(a, b, rtol=1e-7):
    np.testing.assert_allclose(a.elbo_curve, b.elbo_curve, rtol=rtol)
    for x, y in zip(tf.nest.flatten(a.theta), tf.nest.flatten(b.theta), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-9)
