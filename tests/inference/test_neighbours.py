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
from skgpng._inference.neighbour_posterior import NeighbourPosterior, Scale
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


def test_gradient_of_a_kernel_with_a_kink_where_rows_are_equal():
    data = make_rows()
    X = data.X.copy()
    X[20:] = X[:20]  # the root of a distance of zero has an infinite slope
    iterate, blocks = make_case(1.3 * Matern(0.8, nu=0.5), data=data._replace(X=X))
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


def make_smooth(N=400, noise=1e-4, level=0.01, scale=None, n_neighbors=None):
    """Rows of a sine with noise of standard deviation ``level``, of which ``noise`` is known."""
    rng = np.random.RandomState(0)
    X = rng.uniform(-1, 1, (N, 1))
    parsed = kernels.parse(RBF(0.3))
    y = np.sin(5 * X) + level * rng.randn(N, 1)
    given = parsed.structure, parsed.values, Zero(), (), X, y, np.full(N, noise), np.ones(N)
    return NeighbourPosterior(*given, n_neighbors, scale)


def test_enough_neighbours_are_as_many_as_rows_gain_from():
    many = make_smooth(noise=0.01, level=0.1, scale=Scale()).calibrated()
    assert many.n_neighbors == 256 and many.scale == Scale()
    # nothing near by says more than the mean
    few = make_smooth(noise=100.0, level=10.0, scale=Scale()).calibrated()
    assert few.n_neighbors < 256
    assert make_smooth(N=20).calibrated().n_neighbors == 19
    assert make_smooth(n_neighbors=7).calibrated().n_neighbors == 7
    assert make_smooth(N=5, n_neighbors=7).calibrated().n_neighbors == 5


def test_the_level_is_that_of_errors_of_rows_left_out():
    p = make_smooth(noise=1e-4, level=0.03).calibrated()  # nine times the variance expected
    assert p.scale.level == pytest.approx(9.0, rel=0.2)
    p = make_smooth(noise=9e-4, level=0.03).calibrated()
    assert p.scale.level == pytest.approx(1.0, rel=0.2)


def test_the_scale_follows_what_near_rows_miss_of_each_other():
    p = dataclasses.replace(make_smooth(noise=1e-4), scale=Scale(16, 4.0, 1.5), n_neighbors=30)
    plain = dataclasses.replace(p, scale=Scale())
    x = np.linspace(-0.9, 0.9, 7)[:, None]
    f_mean, f_var, scale = p.marginals(x)
    np.testing.assert_allclose(f_mean, plain.mean(x))
    np.testing.assert_allclose(f_var[:, 0], scale * plain.mean_and_variance(x)[1][:, 0])
    for k, row in enumerate(x):
        near = np.argsort(abs(p.points[:, 0] - row))[:16]
        K = RBF(0.3)(p.points[near]) + 1e-4 * np.eye(16)
        y = p.targets[near, 0]
        expected = 1.5 * (4.0 + y @ np.linalg.solve(K, y)) / 20.0
        np.testing.assert_allclose(scale[k], expected, rtol=1e-6)
    _, joint, _ = p.joint(x)
    expected = plain.joint(x)[1][0] * np.sqrt(np.outer(scale, scale))
    np.testing.assert_allclose(joint[0], expected, atol=1e-12)


def test_rows_left_out_are_predicted_from_others():
    p = make_smooth(N=60, n_neighbors=9, scale=Scale())
    rows, errors = p.left_out()
    assert sorted(rows) == list(range(60))
    for row, error in zip(rows, errors[:, 0], strict=True):
        others = np.arange(60) != row
        away = abs(p.points[others, 0] - p.points[row, 0])
        near = np.flatnonzero(others)[np.argsort(away)[:9]]
        X, y = p.points[near], p.targets[near]
        mean, _ = predict_exact(RBF(0.3), X, y, p.noise[near], p.points[row : row + 1])
        np.testing.assert_allclose(error, p.targets[row, 0] - mean[0, 0], rtol=1e-5, atol=1e-9)


def test_rows_that_a_kernel_cannot_tell_apart_are_not_their_own_neighbours():
    rng = np.random.RandomState(0)
    X = np.column_stack([np.zeros(30), np.arange(30.0)])
    parsed = kernels.parse(Columns(RBF(), [0]))
    y = rng.randn(30, 1)
    given = parsed.structure, parsed.values, Zero(), (), X, y, np.ones(30), np.ones(30)
    rows, errors = NeighbourPosterior(*given, 29, Scale()).left_out()
    others = (y.sum() - y[rows]) / 30.0  # of a constant with a variance of 1
    np.testing.assert_allclose(errors, y[rows] - others, rtol=1e-9)


def test_rows_that_are_equal_and_without_noise_are_predicted():
    X = np.repeat(np.linspace(0, 1, 20), 2)[:, None]
    parsed = kernels.parse(RBF(1.0))
    noise = np.full(40, 1e-18)
    p = NeighbourPosterior(
        parsed.structure, parsed.values, Zero(), (), X, np.sin(X), noise, np.ones(40), 16
    )
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
        ({"scale": (5, 0.0, 1.0)}, "scale of a posterior"),
        ({"scale": (5, 1.0, np.nan)}, "scale of a posterior"),
        ({"mean_values": ()}, "mean of a posterior"),
    ):
        with pytest.raises(ValueError, match=message):
            unpacked(p.packed() | change, *given)


def test_half_of_a_block_is_any_row_where_near_ones_are_of_one_phase():
    rng = np.random.RandomState(0)
    X = rng.uniform(0, 20, (300, 1))
    model, theta = make_model(ExpSineSquared(1.0, 2.0))
    data = Data(X, X, np.ones(300), np.zeros((300, 1)), X.std(0))
    blocks = model.inference.gathered(model, theta, data, (40, 20, 4), 0)
    phase = blocks.X[..., 0] - blocks.X[:, :1, 0]
    away = abs(phase - 2.0 * np.round(phase / 2.0))
    assert away[:, :10].max() < 0.1 and away[:, 10:].mean() == pytest.approx(0.5, abs=0.05)
    assert all(len(np.unique(b)) == 20 for b in blocks.X)
