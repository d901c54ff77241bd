"""Neighbours against dense algebra: densities of rows left out, their gradients, predictions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from inference.cases import KERNEL, moved, step
from reference import differences, predict_exact
from scipy.stats import norm
from sklearn.gaussian_process.kernels import RBF, DotProduct, ExpSineSquared, Matern, PairwiseKernel

from skgpng import kernels
from skgpng._inference import Data, Execution, Iterate, Model, Neighbours
from skgpng._inference.neighbour_posterior import NeighbourPosterior
from skgpng._inference.packed import unpacked
from skgpng._inference.search import searcher
from skgpng._runtime import tf
from skgpng.kernels import Columns
from skgpng.likelihoods import Gaussian
from skgpng.means import Constant, Zero
from skgpng.parameters import Hyperparameters

NOISE = 0.3


def make_rows(N=40, L=1, weights=True):
    rng = np.random.RandomState(5)
    X = rng.uniform(-2, 2, (N, 2))
    counts = rng.randint(1, 4, N).astype(float) if weights else np.ones(N)
    return Data(X, rng.randn(N, L), counts, rng.uniform(0.0, 0.3, (N, 1)), X.std(0))


def make_model(kernel=KERNEL, L=1, offset=None):
    parsed = kernels.parse(kernel)
    mean, constants = (Zero(), ()) if offset is None else (Constant(), (np.full(L, offset),))
    model = Model(Neighbours(), parsed.structure, Gaussian(), L, mean)
    return model, Hyperparameters(parsed.values, (np.array(NOISE),), (), constants)


def make_case(kernel=KERNEL, sizes=(5, 12, 3), L=1, offset=None, dtype="float64", data=None):
    model, theta = make_model(kernel, L, offset)
    blocks = model.inference.gathered(model, theta, data or make_rows(L=L), sizes, 0)
    theta, blocks = tf.nest.map_structure(tf.constant, (theta, blocks))
    return Iterate(model, Execution(minibatch=True, dtype=dtype), theta, 0.0), blocks


def dense_densities(kernel, blocks, left_out, offset=0.0):
    """Of the first rows of each block given all its others, by inverting matrices."""
    total = 0.0
    for X, Y, w, row in zip(*(np.asarray(a) for a in blocks[:4]), strict=True):
        one = NOISE + row[:, 0]
        for i in range(left_out):
            others = np.arange(len(X)) != i
            noise = (one / row[:, 1])[others]
            mean, cov = predict_exact(kernel, X[others], Y[others] - offset, noise, X[i : i + 1])
            std = np.sqrt(cov[0, 0] + one[i])
            total += w[i] * norm(mean[0] + offset, std).logpdf(Y[i]).sum()
    return total


# --- the objective -------------------------------------------------------------------------------


@pytest.mark.parametrize("L", [1, 3])
@pytest.mark.parametrize("offset", [None, 0.4])
def test_the_value_is_the_density_of_rows_left_out(L, offset):
    iterate, blocks = make_case(L=L, offset=offset)
    found = step(iterate, (), blocks)
    expected = dense_densities(KERNEL, blocks, 3, offset or 0.0)
    np.testing.assert_allclose(found.value, expected, rtol=1e-10)
    assert found.q == found.q_next == ()


@pytest.mark.parametrize("kernel", [KERNEL, DotProduct(0.7) + Matern(0.8), Columns(RBF(), [1])])
@pytest.mark.parametrize("L", [1, 2])
def test_gradient_by_differences(kernel, L):
    iterate, blocks = make_case(kernel, L=L, offset=0.2)
    gradient = tf.nest.flatten(step(iterate, (), blocks).g_theta)
    for k, leaf in enumerate(tf.nest.flatten(iterate.theta)):

        def value(x, k=k):
            return step(moved(iterate, k, x), (), blocks).value

        np.testing.assert_allclose(
            gradient[k], differences(value, leaf.numpy()), rtol=1e-6, atol=1e-6
        )


def test_float32_is_close():
    double, blocks = make_case()
    single, _ = make_case(dtype="float32")
    a, b = (tf.nest.flatten(step(i, (), blocks)) for i in (single, double))
    for left, right in zip(a, b, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-3, atol=1e-3)


def test_a_kernel_without_a_formula():
    ours, blocks = make_case(RBF(0.9))
    theirs, _ = make_case(PairwiseKernel(0.5 / 0.9**2, metric="rbf"))
    np.testing.assert_allclose(
        step(theirs, (), blocks).value, step(ours, (), blocks).value, rtol=1e-10
    )


def test_equal_rows_are_left_out_together():
    # two equal rows, of which one would tell the other's noise, are one of weight 2
    rows = make_rows(12, weights=False)
    twice = rows._replace(weights=np.array([2.0] + 11 * [1.0]))
    iterate, blocks = make_case(sizes=(12, 12, 1), data=twice)
    drawn = np.argsort(-blocks.row[:, 0, 1].numpy())[0]  # the block whose first row is that one
    X, Y, _, row = (a[drawn].numpy() for a in blocks[:4])
    mean, cov = predict_exact(KERNEL, X[1:], Y[1:], NOISE + row[1:, 0], X[:1])
    expected = norm(mean[0, 0], np.sqrt(cov[0, 0] + NOISE + row[0, 0])).logpdf(Y[0, 0])
    own = blocks._replace(
        **{n: getattr(blocks, n)[drawn : drawn + 1] for n in ("X", "Y", "row")},
        weights=tf.ones([1, 1], tf.float64),
    )
    np.testing.assert_allclose(step(iterate, (), own).value, expected, rtol=1e-10)


def test_blocks_are_near_rows_and_weigh_as_all_rows():
    data, (model, theta) = make_rows(), make_model()
    blocks = Neighbours().gathered(model, theta, data, (7, 10, 2), 3)
    assert blocks.X.shape == (7, 10, 2) and blocks.weights.shape == (7, 2)
    assert blocks.weights.sum() == pytest.approx(data.weights.sum())
    scaled = blocks.X / KERNEL.k2.length_scale
    away = np.linalg.norm(scaled - scaled[:, :1], axis=2)
    assert (np.diff(away, axis=1) >= 0).all() and (away[:, 0] == 0).all()
    again = Neighbours().gathered(model, theta, data, (7, 10, 2), 3)
    np.testing.assert_array_equal(again.X, blocks.X)


# --- the search ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kernel",
    [
        KERNEL,
        2.0 * Matern([0.3, 3.0]) + RBF([0.6, 6.0]),
        RBF([0.5, 1.0]) ** 2,
        Columns(Matern(0.7), [1]),
        Columns(ExpSineSquared(), [0]) * RBF(1.0),
        1.0 + DotProduct(0.5),
    ],
    ids=str,
)
def test_the_nearest_are_the_most_correlated(kernel):
    X, parsed = make_rows(200).X, kernels.parse(kernel)
    found = searcher(parsed.structure, parsed.values, X)(X[:20] + 0.1, 9)
    K = kernel(X, X[:20] + 0.1) / np.sqrt(kernel.diag(X))[:, None]
    best = -np.sort(-np.abs(K), 0)[:9].T
    np.testing.assert_allclose(
        np.take_along_axis(np.abs(K).T, found, 1), best, rtol=1e-9, atol=1e-12
    )


def test_of_a_constant_all_rows_are_near():
    parsed = kernels.parse(2.0 * RBF(1.0) * 0.5)
    assert searcher(parsed.structure, parsed.values, np.eye(4))(np.eye(4), 4).shape == (4, 4)


# --- predictions ---------------------------------------------------------------------------------


def make_posterior(n_neighbors, L=1, offset=None, N=40):
    data, (model, theta) = make_rows(N, L), make_model(L=L, offset=offset)
    inference = dataclasses.replace(model.inference, n_neighbors=n_neighbors)
    return inference.posterior(model, theta, (), data, 0.0), data


XNEW = np.random.RandomState(6).uniform(-2.5, 2.5, (9, 2))


@pytest.mark.parametrize("L", [1, 2])
@pytest.mark.parametrize("offset", [None, 0.4])
def test_with_all_rows_it_is_exact(L, offset):
    p, data = make_posterior(40, L, offset)
    noise, c = (NOISE + data.row[:, 0]) / data.weights, offset or 0.0
    mean, cov = predict_exact(KERNEL, data.X, data.Y - c, noise, XNEW)
    f_mean, f_var = p.mean_and_variance(XNEW)
    np.testing.assert_allclose(f_mean, mean + c, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(f_var, np.tile(np.diag(cov)[:, None], L), rtol=1e-9)
    joint_mean, joint = p.mean_and_covariance(XNEW)
    np.testing.assert_allclose(joint_mean, mean + c, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(joint, np.tile(cov, (L, 1, 1)), rtol=1e-7, atol=1e-9)


def test_each_row_is_predicted_from_the_rows_near_it():
    p, data = make_posterior(7)
    noise = (NOISE + data.row[:, 0]) / data.weights
    f_mean, f_var = p.mean_and_variance(XNEW)
    for k, x in enumerate(XNEW):
        near = np.argsort(-KERNEL(data.X, x[None])[:, 0])[:7]
        mean, cov = predict_exact(KERNEL, data.X[near], data.Y[near], noise[near], x[None])
        np.testing.assert_allclose(f_mean[k], mean[0], rtol=1e-9)
        np.testing.assert_allclose(f_var[k], cov[0], rtol=1e-9)


def test_the_covariance_is_that_of_the_errors():
    # mean of f given y is b' y_n: of y drawn from the prior the errors have this covariance
    p, data = make_posterior(5)
    _, cov = p.mean_and_covariance(XNEW)
    np.testing.assert_allclose(np.diag(cov[0]), p.mean_and_variance(XNEW)[1][:, 0], rtol=1e-12)
    N, noise = len(data.X), (NOISE + data.row[:, 0]) / data.weights
    B = np.stack(
        [
            dataclasses.replace(p, targets=np.eye(N)[:, k : k + 1]).mean(XNEW)[:, 0]
            for k in range(N)
        ],
        1,
    )
    k = KERNEL(XNEW, data.X)
    expected = KERNEL(XNEW) - B @ k.T - k @ B.T + B @ (KERNEL(data.X) + np.diag(noise)) @ B.T
    np.testing.assert_allclose(cov[0], expected, atol=1e-9)
    assert np.linalg.eigvalsh(cov[0]).min() > -1e-12


def test_enough_neighbours_are_as_many_as_rows_gain_from():
    rng = np.random.RandomState(0)
    X = rng.uniform(-1, 1, (400, 1))
    parsed, noise = kernels.parse(RBF(0.3)), np.full(400, 1e-4)
    smooth = np.sin(5 * X) + 0.01 * rng.randn(400, 1)
    p = NeighbourPosterior(parsed.structure, parsed.values, Zero(), (), X, smooth, noise, 1)
    many = p.with_enough_neighbours().n_neighbors
    rough, noise = rng.randn(400, 1), np.ones(400)  # nothing near by says more than the mean
    p = dataclasses.replace(p, targets=rough, noise=noise)
    assert p.with_enough_neighbours().n_neighbors <= many
    assert many >= 16


def test_rows_that_are_equal_and_without_noise_are_predicted():
    X = np.repeat(np.linspace(0, 1, 20), 2)[:, None]
    parsed = kernels.parse(RBF(1.0))
    noise = np.full(40, 1e-18)
    p = NeighbourPosterior(parsed.structure, parsed.values, Zero(), (), X, np.sin(X), noise, 16)
    f_mean, f_var = p.mean_and_variance(X + 0.01)
    np.testing.assert_allclose(f_mean, np.sin(X + 0.01), atol=1e-3)
    assert (f_var > 0).all()


def test_packed_and_back():
    p, _ = make_posterior(7, L=2, offset=0.3)
    given = p.kernel, p.values, p.mean_function
    same = unpacked(p.packed(), *given)
    np.testing.assert_array_equal(same.mean(XNEW), p.mean(XNEW))
    for change, message in (
        ({"targets": np.zeros((3, 2))}, "targets of a posterior"),
        ({"noise": np.full(40, np.nan)}, "noise of a posterior has entries that are not finite"),
        ({"n_neighbors": 0}, "n_neighbors"),
        ({"mean_values": ()}, "mean of a posterior"),
    ):
        with pytest.raises(ValueError, match=message):
            unpacked(p.packed() | change, *given)
