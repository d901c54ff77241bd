from __future__ import annotations

import numpy as np
import pytest
from inference.cases import KERNEL, assert_same_step, executed, make_case, moved, names_of, step
from reference import differences, log_evidence
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct, Matern

from skgpng import kernels
from skgpng._inference import Exact
from skgpng._inference.exact import evidence
from skgpng._runtime import tf

every_case = pytest.mark.parametrize("name", names_of(Exact))


def without_weights(data):
    return data._replace(weights=tf.ones_like(data.weights))


@every_case
def test_the_value_is_the_evidence(name):
    iterate, q, data = make_case(name)
    data, noise = without_weights(data), 0.3 + data.row.numpy()[:, 0] + 1.5e-8
    found = step(iterate, q, data)
    expected = log_evidence(KERNEL(data.X.numpy()), data.Y.numpy(), noise)
    np.testing.assert_allclose(found.value, expected, rtol=1e-10)
    assert found.q_next == () and found.corrected == 0.0


def test_gradient_against_sklearn():
    iterate, q, data = make_case("exact", N=15)
    data, iterate = without_weights(data), iterate._replace(jitter=0.0)
    X, y = data.X.numpy(), data.Y.numpy()[:, 0]
    exact = GaussianProcessRegressor(KERNEL, alpha=0.3 + data.row.numpy()[:, 0], optimizer=None)
    _, expected = exact.fit(X, y).log_marginal_likelihood(KERNEL.theta, eval_gradient=True)
    value, gradient = evidence(iterate.model, iterate.theta, data)
    assert value == pytest.approx(exact.log_marginal_likelihood_value_, rel=1e-10)
    in_logarithms = [g * v for g, v in zip(gradient.kernel, iterate.theta.kernel, strict=True)]
    np.testing.assert_allclose(np.hstack(in_logarithms), expected, rtol=1e-8)


@every_case
@pytest.mark.parametrize("offset", [None, 0.4])
def test_gradient_by_differences(name, offset):
    iterate, q, data = make_case(name, offset=offset, N=15)
    gradient = tf.nest.flatten(step(iterate, q, data).g_theta)
    for k, leaf in enumerate(tf.nest.flatten(iterate.theta)):

        def value(x, k=k):
            return step(moved(iterate, k, x), q, data).value

        np.testing.assert_allclose(
            gradient[k], differences(value, leaf.numpy()), rtol=1e-6, atol=1e-7
        )


def test_a_constant_mean_shifts_y():
    iterate, q, data = make_case("exact, targets", offset=0.4)
    zero, _, _ = make_case("exact, targets")
    centred = data._replace(Y=data.Y - iterate.theta.mean[0])
    shifted, expected = (step(*case).value for case in ((iterate, q, data), (zero, q, centred)))
    np.testing.assert_allclose(shifted, expected, rtol=1e-12)


@every_case
@pytest.mark.parametrize("chunk_size", [1, 7, 100])
def test_blocks_of_rows_change_nothing(name, chunk_size):
    # a nu of 0.5 shows the rounding of a distance that should be zero
    iterate, q, data = make_case(name)
    parsed = kernels.parse(1.3 * Matern([0.7, 1.9], nu=0.5) + DotProduct(0.4))
    values = tf.nest.map_structure(tf.constant, parsed.values)
    model = iterate.model._replace(kernel=parsed.structure)
    iterate = iterate._replace(model=model, theta=iterate.theta._replace(kernel=values))
    found = step(executed(iterate, chunked=True), q, data, chunk_size=chunk_size)
    assert_same_step(found, step(iterate, q, data), rtol=1e-11)


def test_singular_is_what_has_no_finite_evidence():
    iterate, q, data = make_case("exact")
    assert not iterate.model.inference.is_singular(iterate, step(iterate, q, data).value)
    noise = (tf.constant(-5.0, tf.float64),)
    none = iterate._replace(theta=iterate.theta._replace(likelihood=noise))
    assert iterate.model.inference.is_singular(none, step(none, q, data).value)
