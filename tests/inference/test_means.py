"""A linear mean in every model: its value, gradient and predictions."""

from __future__ import annotations

import numpy as np
import pytest
from inference import test_neighbours as near
from inference.cases import KERNEL, make_case, moved, step
from reference import differences

from skgpng import kernels
from skgpng._inference import Exact, Model
from skgpng._inference.packed import unpacked
from skgpng._runtime import tf
from skgpng.likelihoods import Gaussian
from skgpng.means import Linear
from skgpng.parameters import Hyperparameters

RNG = np.random.RandomState(41)


def linear_values(X, L):
    """Of a mean that has begun to move."""
    values = [p.value for p in Linear().parameters(np.arange(L) - 0.7, X)]
    values[1] = RNG.randn(X.shape[1], L)
    return tuple(values)


def trend(values, X):
    constant, slopes, centre, unit, _ = values
    return constant + ((X - centre) / unit) @ slopes


def with_linear(iterate, X, L):
    """The same iterate with a linear mean, and the values of this."""
    values = linear_values(X, L)
    theta = iterate.theta._replace(mean=tuple(map(tf.constant, values)))
    model = iterate.model._replace(mean=Linear())
    return iterate._replace(model=model, theta=theta), values


CASES = ["exact, targets", "collapsed, targets", "targets", "sites, targets"]


@pytest.mark.parametrize(
    ("name", "memory"),
    [*((name, False) for name in CASES), ("collapsed, targets", True), ("targets", True)],
)
def test_it_takes_the_trend_from_y_and_from_what_is_remembered(name, memory):
    iterate, q, data = make_case(name, memory)
    own, values = with_linear(iterate, data.X.numpy(), 3)
    less = data._replace(Y=data.Y - trend(values, data.X.numpy()))
    if memory:
        at_points = trend(values, less.memory.points.numpy())
        roots = np.broadcast_to(less.memory.roots, (3, *less.memory.roots.shape[1:]))
        combined = np.stack([R.T @ m for R, m in zip(roots, at_points.T, strict=True)], 1)
        less = less._replace(memory=less.memory._replace(targets=less.memory.targets - combined))
    found, expected = step(own, q, data), step(iterate, q, less)
    np.testing.assert_allclose(found.value, expected.value, rtol=1e-10)
    np.testing.assert_allclose(found.g_theta.kernel[1], expected.g_theta.kernel[1], rtol=1e-8)


@pytest.mark.parametrize("name", [*CASES, "classes", "sites, own kernels"])
def test_gradient_by_differences(name):
    iterate, q, data = make_case(name, name == "collapsed, targets", N=15)
    iterate, values = with_linear(iterate, data.X.numpy(), 3)
    found = step(iterate, q, data).g_theta
    first = len(tf.nest.flatten(iterate.theta)) - len(values)
    for k in range(2):  # what is learned: constant and slopes
        slope = differences(
            lambda v, k=k: float(step(moved(iterate, first + k, v), q, data).value), values[k]
        )
        np.testing.assert_allclose(found.mean[k], slope, rtol=1e-6, atol=1e-6)


def test_neighbours_take_the_trend_from_y():
    iterate, blocks = near.make_case(L=2)
    own, values = with_linear(iterate, blocks.X.numpy().reshape(-1, 2), 2)
    found = step(own, (), blocks)
    less = blocks._replace(Y=blocks.Y - trend(values, blocks.X.numpy()))
    np.testing.assert_allclose(found.value, step(iterate, (), less).value, rtol=1e-12)
    data = near.make_rows(L=2)
    model, theta = near.make_model(L=2)
    model, theta = model._replace(mean=Linear()), theta._replace(mean=values)
    p = model.inference.posterior(model, theta, (), data, 0.0)
    other, plain = near.make_model(L=2)
    rest = data._replace(Y=data.Y - trend(values, data.X))
    q = other.inference.posterior(other, plain, (), rest, 0.0)
    X = RNG.randn(6, 2)
    np.testing.assert_allclose(p.mean(X), q.mean(X) + trend(values, X), rtol=1e-10)


def kriging(data, values, X):
    """Mean [N, P] and covariance with coefficients integrated out, as a kernel of them."""
    H, precision = Linear().uncertain(values, data.X)
    h, _ = Linear().uncertain(values, X)
    wide = np.diag(1.0 / np.maximum(precision, 1e-4))
    noise = np.diag((0.3 + data.row[:, 0]) / data.weights)
    inverse = np.linalg.inv(KERNEL(data.X) + noise + H @ wide @ H.T)
    k = KERNEL(data.X, X) + H @ wide @ h.T
    return k.T @ inverse @ data.Y, KERNEL(X) + h @ wide @ h.T - k.T @ inverse @ k


def test_predictions_of_rows_integrate_the_coefficients_out():
    data = near.make_rows(L=2)
    parsed, X = kernels.parse(KERNEL), np.vstack([RNG.randn(4, 2), RNG.randn(2, 2) + 20.0])
    values = linear_values(data.X, 2)
    mean, cov = kriging(data, values, X)
    # at the coefficients that rows have, given the same prior
    H, precision = Linear().uncertain(values, data.X)
    Ky = KERNEL(data.X) + np.diag((0.3 + data.row[:, 0]) / data.weights)
    solved = np.linalg.solve(Ky, H)
    best = np.linalg.solve(H.T @ solved + np.diag(precision), solved.T @ data.Y)
    values = (best[0], best[1:], *values[2:])
    model = Model(Exact(), parsed.structure, Gaussian(), 2, Linear())
    theta = Hyperparameters(parsed.values, (np.array(0.3),), (), values)
    p = model.inference.posterior(model, theta, (), data, 0.0)
    f_mean, f_var = p.mean_and_variance(X)
    # a variance of 1e4 that stands for an infinite one
    np.testing.assert_allclose(f_mean, mean, rtol=1e-3)
    np.testing.assert_allclose(f_var[:, 0], np.diag(cov), rtol=1e-4)
    np.testing.assert_allclose(p.mean_and_covariance(X)[1][0], cov, rtol=1e-4, atol=1e-4)
    assert f_var[-1, 0] > 4.0 * KERNEL.diag(X)[0]  # far away slopes are what is not known
    same = unpacked(p.packed(), p.kernel, p.values, Linear())
    np.testing.assert_array_equal(same.mean_and_variance(X)[1], f_var)
