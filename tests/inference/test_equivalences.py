"""The lattice: GPR = VGP = SVGP with Z = X = SGPR with Z = X, in value, gradient and prediction."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from inference.cases import KERNEL, make_case, step
from sklearn.gaussian_process import GaussianProcessRegressor

from skgpng import kernels
from skgpng._inference import Collapsed, Data, Exact, Execution, Iterate, Model, Sites, Sparse
from skgpng._runtime import tf
from skgpng.likelihoods import Gaussian
from skgpng.means import Constant
from skgpng.parameters import Hyperparameters

N, L, NOISE, JITTER = 18, 2, 0.2, 1e-10
rng = np.random.RandomState(40)
X, XNEW = rng.uniform(-2, 2, (N, 2)), rng.uniform(-2, 2, (5, 2))
Y, OFFSET = rng.randn(N, L), np.array([0.5, -1.0])
WEIGHTS, ROW = rng.uniform(0.5, 2.0, N), rng.uniform(0.0, 0.2, (N, 1))
DATA = Data(X, Y, WEIGHTS, ROW, X.std(0))
PARSED = kernels.parse(KERNEL)
MODELS = {"exact": Exact(), "sites": Sites(), "collapsed": Collapsed(), "sparse": Sparse()}


def settled(inference, Z=X):
    """Model, hyperparameters, and the step from the best q, which one full step finds."""
    points = Z if inference.has_points else ()
    theta = Hyperparameters(PARSED.values, (np.array(NOISE),), points, (OFFSET,))
    model = Model(inference, PARSED.structure, Gaussian(), L, Constant())
    tensors = tf.nest.map_structure(tf.constant, (theta, DATA))
    iterate = Iterate(model, Execution(), tensors[0], JITTER if inference.has_points else 0.0)
    iterate = iterate._replace(gamma=tf.constant(1.0, tf.float64))
    q = tf.nest.map_structure(tf.constant, inference.start_q(model, theta, WEIGHTS, None))
    found = step(iterate, q, tensors[1])
    found = step(iterate, found.q_next, tensors[1])
    return model, theta, tf.nest.map_structure(lambda t: t.numpy(), found)


def posterior(inference, Z=X):
    model, theta, found = settled(inference, Z)
    jitter = JITTER if inference.has_points else 0.0
    return inference.posterior(model, theta, found.q_next, DATA, jitter)


@pytest.mark.parametrize("name", MODELS)
def test_value(name):
    # a row of weight w is w rows: N(y|f,s)^w = c N(y|f,s/w)
    variance = NOISE + ROW[:, 0]
    noise = variance / WEIGHTS
    each = np.log(2 * np.pi * noise) - WEIGHTS * np.log(2 * np.pi * variance)
    evidence = reference.log_evidence(KERNEL(X), Y - OFFSET, noise) + 0.5 * L * each.sum()
    np.testing.assert_allclose(settled(MODELS[name])[2].value, evidence, rtol=1e-8)


@pytest.mark.parametrize("name", ["sites", "collapsed", "sparse"])
def test_gradient(name):
    exact, other = settled(Exact())[2].g_theta, settled(MODELS[name])[2].g_theta
    for part in ("kernel", "likelihood", "mean"):
        for a, b in zip(getattr(exact, part), getattr(other, part), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_predictions(name):
    noise = (NOISE + ROW[:, 0]) / WEIGHTS
    sklearn = GaussianProcessRegressor(KERNEL, alpha=noise, optimizer=None).fit(X, Y - OFFSET)
    mean, cov = sklearn.predict(XNEW, return_cov=True)
    f_mean, f_cov = posterior(MODELS[name]).mean_and_covariance(XNEW)
    np.testing.assert_allclose(f_mean, mean + OFFSET, rtol=1e-6)
    np.testing.assert_allclose(np.moveaxis(f_cov, 0, -1), cov, rtol=1e-5, atol=1e-8)


def test_sparse_after_a_full_step_is_collapsed():
    Z = X[:7] + 0.1
    (*_, sparse), (*_, collapsed) = settled(Sparse(), Z), settled(Collapsed(), Z)
    np.testing.assert_allclose(sparse.value, collapsed.value, rtol=1e-10)
    pairs = zip(*map(tf.nest.flatten, (sparse.g_theta, collapsed.g_theta)), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-8)
    one, other = (posterior(m, Z).mean_and_variance(XNEW) for m in (Sparse(), Collapsed()))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_more_inducing_points_raise_the_bound():
    bounds = [float(settled(Collapsed(), X[:m])[2].value) for m in (1, 4, 9, N)]
    assert np.all(np.diff(bounds) > 0)
    assert bounds[-1] < float(settled(Exact())[2].value)


@pytest.mark.parametrize(
    "name", ["exact, targets", "sites, targets", "targets", "collapsed, targets"]
)
def test_targets_are_models_with_common_hyperparameters(name):
    iterate, q, data = make_case(name)
    one = iterate._replace(model=iterate.model._replace(n_latent=1))
    together, each = step(iterate, q, data), []
    for k in range(3):
        own = tuple(column(leaf, k) for leaf in q)
        each.append(step(one, own, data._replace(Y=column(data.Y, k))))
    np.testing.assert_allclose(together.value, sum(s.value for s in each), rtol=1e-12)
    for k, alone in enumerate(each):
        for found, expected in zip(together.q_next, alone.q_next, strict=True):
            np.testing.assert_allclose(column(found, k), expected, rtol=1e-10, atol=1e-12)


def column(leaf, k):
    """Of the k-th target, where it has one of its own."""
    if leaf.shape.rank == 3:
        return leaf[k : k + 1] if len(leaf) > 1 else leaf
    return leaf[:, k : k + 1]
