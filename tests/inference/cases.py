"""Cases of a step, and each model's bound by dense algebra with TensorFlow's own gradients."""

from __future__ import annotations

import numpy as np
from reference import random_covariance
from sklearn.gaussian_process.kernels import RBF, CompoundKernel, ConstantKernel, Matern

from skgpng import kernels
from skgpng._inference import (
    Collapsed,
    Data,
    Exact,
    Execution,
    Iterate,
    Memory,
    Model,
    Sites,
    Sparse,
)
from skgpng._runtime import tf
from skgpng.likelihoods import Bernoulli, Gaussian, Softmax
from skgpng.means import Constant, Zero
from skgpng.parameters import Hyperparameters

JITTER = 1e-8
KERNEL = ConstantKernel(1.5) * RBF([0.8, 1.2])
EACH = CompoundKernel([RBF(0.8), Matern(0.7, nu=1.5), 2.0 * RBF(1.1)])

# name: (inference, kernel, likelihood, latent functions)
CASES = {
    "exact": (Exact(), KERNEL, Gaussian(), 1),
    "exact, targets": (Exact(), KERNEL, Gaussian(), 3),
    "sites": (Sites(), KERNEL, Bernoulli(), 1),
    "sites, targets": (Sites(), KERNEL, Gaussian(), 3),
    "sites, own kernels": (Sites(), EACH, Softmax(3), 3),
    "one kernel": (Sparse(), KERNEL, Gaussian(), 1),
    "targets": (Sparse(), KERNEL, Gaussian(), 3),
    "wrong side": (Sparse(), KERNEL, Bernoulli(), 1),
    "classes": (Sparse(), KERNEL, Softmax(3), 3),
    "classes, own kernels": (Sparse(), EACH, Softmax(3), 3),
    "collapsed": (Collapsed(), KERNEL, Gaussian(), 1),
    "collapsed, targets": (Collapsed(), KERNEL, Gaussian(), 3),
}


def names_of(*classes):
    """Cases of these models."""
    return [name for name, case in CASES.items() if isinstance(case[0], classes)]


def make_memory(rng, M, L, n_roots):
    points = rng.uniform(-2, 2, (M + 1, 2))
    return Memory(points, 0.7 * rng.randn(n_roots, M + 1, M + 1), rng.randn(M + 1, L))


def make_case(name, memory=False, offset=None, M=6, N=40, **how):
    """Iterate, q and data; ``offset`` begins a constant mean."""
    inference, kernel, likelihood, L = CASES[name]
    rng = np.random.RandomState(31)
    X = rng.uniform(-2, 2, (N, 2))
    n_roots = inference.n_matrices(L)
    n_classes = {Bernoulli: 2, Softmax: 3}.get(type(likelihood))
    Y = rng.randint(0, n_classes, (N, 1)).astype(float) if n_classes else rng.randn(N, L)
    weights = rng.uniform(0.5, 2.0, N)
    row = rng.uniform(0.0, 0.3, (N, 1))[:, : len(likelihood.row_names)]
    old = make_memory(rng, M, L, n_roots) if memory else ()
    data = Data(X, Y, weights, row, X.std(0), old)
    noise = (np.array(0.3),) * len(likelihood.parameter_names)
    parsed, Z = kernels.parse(kernel), rng.uniform(-2, 2, (M, 2))
    constants = () if offset is None else (offset + np.arange(L),)
    theta = Hyperparameters(
        parsed.values, noise, Z if inference.has_points else (), tuple(map(np.asarray, constants))
    )
    q = start_of_q(inference, rng, M, N, L)
    if name == "wrong side":  # the likelihood forgives errors: more variance would help
        q = -2.0 * q[1][0] @ np.full((M, 1), -4.0), q[1]  # mean -4
    mean = Zero() if offset is None else Constant()
    model = Model(inference, parsed.structure, likelihood, L, mean)
    theta, q, data = tf.nest.map_structure(tf.constant, (theta, q, data))
    iterate = Iterate(model, Execution(memory=memory, **how), theta, JITTER)
    return iterate._replace(gamma=tf.constant(0.3, tf.float64)), q, data


def start_of_q(inference, rng, M, N, L):
    if inference.has_points:
        precision = np.eye(M) + random_covariance(rng, M, (inference.n_matrices(L),))
        return rng.randn(M, L), -0.5 * precision
    return (rng.randn(N, L), rng.uniform(0.1, 5.0, (N, L))) if inference.q_form(L) else ()


def executed(iterate, **how):
    """The same computed otherwise."""
    return iterate._replace(how=iterate.how._replace(**how))


def step(iterate, q, data, chunk_size=2**30):
    return iterate.model.inference.step(
        iterate._replace(chunk_size=tf.constant(chunk_size)), q, data
    )


def assert_same_step(found, expected, rtol):
    """Every part of a step, in units of its largest entry."""
    for a, b in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        size = np.abs(b).max() if np.size(b) else 0.0
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * size)


def moved(iterate, k, value):
    """With another value of the k-th array of theta."""
    leaves = tf.nest.flatten(iterate.theta)
    leaves[k] = tf.constant(value)
    return iterate._replace(theta=tf.nest.pack_sequence_as(iterate.theta, leaves))


# --- dense algebra ---------------------------------------------------------------------------


def offset_of(iterate, L):
    return iterate.theta.mean[0] if iterate.theta.mean else tf.zeros([L], tf.float64)


def blocks(iterate, data):
    """(likelihood, values, Y, scale, mean, covariances) of the rows, and of the memory."""
    model, how, theta = iterate[:3]
    own = kernels.of_each_latent(model.kernel, theta.kernel)
    Z, L = theta.inducing_points, model.n_latent
    c = offset_of(iterate, L)
    rows = [(kernels.covariance(k, v, Z, data.X), kernels.diagonal(k, v, data.X)) for k, v in own]
    values = tuple(v + data.row for v in theta.likelihood)
    yield model.likelihood, values, data.Y, data.weights[:, None], c, rows
    if how.memory:
        points, roots, targets = data.memory
        remembered, means = [], []
        for k in range(L):
            kernel, v = own[k % len(own)]
            R = roots[k % len(roots)]
            Kaa = kernels.covariance(kernel, v, points)
            diagonal = tf.linalg.diag_part(tf.transpose(R) @ Kaa @ R)
            remembered.append((kernels.covariance(kernel, v, Z, points) @ R, diagonal))
            means.append(tf.reduce_sum(R, 0) * c[k])
        one = tf.ones_like(targets[:, :1])
        yield Gaussian(), (one,), targets, one, tf.stack(means, 1), remembered


def roots_of_prior(iterate):
    own = kernels.of_each_latent(iterate.model.kernel, iterate.theta.kernel)
    Z = iterate.theta.inducing_points
    Kuu = [kernels.covariance(k, v, Z) for k, v in own]
    eye = JITTER * tf.eye(len(Z), dtype=tf.float64)
    return [tf.linalg.cholesky(K + tf.reduce_mean(tf.linalg.diag_part(K)) * eye) for K in Kuu]
