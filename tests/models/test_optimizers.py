"""optimizers: natural gradients against their definition, Adam against Keras."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from sklearn.gaussian_process.kernels import RBF

from skgpng import gaussians, models, optimizers
from skgpng._runtime import tf
from skgpng.gaussians import MeanSqrt, Natural
from skgpng.likelihoods import Bernoulli
from skgpng.models import Covariances

N, M = 15, 4
rng = np.random.RandomState(13)
X, Z = rng.randn(N, 2), rng.randn(M, 2)
PRIOR = Covariances(RBF(0.9)(Z) + 1e-8 * np.eye(M), RBF(0.9)(Z, X), np.ones(N))


@pytest.fixture(params=[1, 2], ids=["one latent", "two latent"])
def case(request):
    """Some q and labels: away from any fixed point, with a likelihood that is not conjugate."""
    rng = np.random.RandomState(14)
    labels = rng.randint(0, 2, (N, request.param)).astype(float)
    return MeanSqrt(*reference.random_q(rng, M, request.param)), labels


def data_gradients(q, labels):
    theta = models.Hyperparameters((), ())
    return models.elbo_and_gradients(lambda t: PRIOR, theta, q, Bernoulli(), labels)[2]


def brute_force_step(q, labels, gamma):
    """theta + gamma dELBO/d eta: the ELBO as a function of the expectation parameters."""
    natural = gaussians.mean_sqrt_to_natural(q)
    eta1, eta2 = gaussians.mean_sqrt_to_expectation(q)
    with tf.GradientTape() as tape:
        tape.watch((eta1 := tf.constant(eta1), eta2))
        m = tf.transpose(eta1)
        q_sqrt = tf.linalg.cholesky(eta2 - m[:, :, None] * m[:, None, :])
        elbo = models.elbo(PRIOR, MeanSqrt(eta1, q_sqrt), Bernoulli(), (), labels)
    g1, g2 = tape.gradient(elbo, (eta1, eta2))
    return Natural(natural.nat1 + gamma * g1, natural.nat2 + gamma * g2)


# --- natural gradient ------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [1.0, 0.3, 1e-3])
def test_natural_gradient_against_its_definition(case, gamma):
    q, labels = case
    expected = brute_force_step(q, labels, gamma)
    found = optimizers.natural_gradient(q, data_gradients(q, labels), gamma)
    for a, b in zip(gaussians.mean_sqrt_to_natural(found), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)
    update = optimizers.natural_gradient_update(
        gaussians.mean_sqrt_to_natural(q), q.q_mu, data_gradients(q, labels), gamma
    )
    for a, b in zip(update, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)


def test_gamma_zero_stays(case):
    q, labels = case
    for step in (optimizers.natural_gradient, optimizers.natural_gradient_in_mean_sqrt):
        for a, b in zip(step(q, data_gradients(q, labels), 0.0), q, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_a_full_step_forgets_where_it_came_from(case):
    q, labels = case
    gradients = data_gradients(q, labels)
    other = Natural(np.ones_like(q.q_mu), -7.0 * np.ones_like(q.q_sqrt))
    a = optimizers.natural_gradient_update(other, q.q_mu, gradients, 1.0)
    b = optimizers.natural_gradient_update(
        gaussians.mean_sqrt_to_natural(q), q.q_mu, gradients, 1.0
    )
    np.testing.assert_allclose(a.nat1, b.nat1, rtol=1e-12)
    np.testing.assert_allclose(a.nat2, b.nat2, rtol=1e-12)


def test_steps_raise_the_elbo(case):
    q, labels = case
    values = []
    for _ in range(20):
        values.append(float(models.elbo(PRIOR, q, Bernoulli(), (), labels)))
        q = optimizers.natural_gradient(q, data_gradients(q, labels), 0.5)
    assert np.all(np.diff(values) > -1e-9)
    assert values[-1] - values[-2] < 1e-4 * (values[-1] - values[0])  # it has arrived


def test_step_in_mean_sqrt_agrees_to_first_order(case):
    q, labels = case
    gradients = data_gradients(q, labels)

    def difference(gamma):
        a = optimizers.natural_gradient(q, gradients, gamma)
        b = optimizers.natural_gradient_in_mean_sqrt(q, gradients, gamma)
        return np.array([np.abs(x - y).max() for x, y in zip(a, b, strict=True)])

    # halving gamma quarters what is left: the difference is of second order
    np.testing.assert_allclose(difference(1e-3) / difference(5e-4), 4.0, rtol=0.02)


def test_step_in_mean_sqrt_keeps_the_root_triangular(case):
    q, labels = case
    _, q_sqrt = optimizers.natural_gradient_in_mean_sqrt(q, data_gradients(q, labels), 0.1)
    np.testing.assert_array_equal(q_sqrt, np.tril(q_sqrt))


# --- Adam ------------------------------------------------------------------------------------


def test_adam_against_a_transcript():
    x, m, v = np.array([1.0, -2.0, 0.5]), np.zeros(3), np.zeros(3)
    gradients = np.random.RandomState(15).randn(10, 3)
    parameters, state = (x,), optimizers.adam_init((x,))
    for t, g in enumerate(gradients, 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        x = x + 0.05 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-7)
        parameters, state = optimizers.adam_update(parameters, (g,), state, 0.05)
        np.testing.assert_allclose(parameters[0], x, rtol=1e-12)
    assert state.step == 10
    np.testing.assert_allclose(state.first[0], m, rtol=1e-12)
    np.testing.assert_allclose(state.second[0], v, rtol=1e-12)


def test_adam_against_keras():
    import tf_keras

    other = tf_keras.optimizers.legacy.Adam(0.05, 0.8, 0.99, 1e-5)
    start = {"a": np.array([1.0, -2.0]), "b": np.array(0.5)}
    variables = {name: tf.Variable(value) for name, value in start.items()}
    parameters, state = start, optimizers.adam_init(start)
    rng = np.random.RandomState(16)
    for _ in range(10):
        gradients = {"a": rng.randn(2), "b": np.array(rng.randn())}
        # Keras goes down, we go up
        other.apply_gradients([(-tf.constant(gradients[n]), variables[n]) for n in start])
        parameters, state = optimizers.adam_update(
            parameters, gradients, state, 0.05, 0.8, 0.99, 1e-5
        )
    for name, variable in variables.items():
        np.testing.assert_allclose(parameters[name], variable, rtol=1e-6)  # Keras rounds the betas


def test_adam_climbs():
    parameters = (np.array([3.0, -3.0]),)
    state = optimizers.adam_init(parameters)
    for _ in range(400):
        gradient = (-2.0 * (parameters[0] - 1.0),)
        parameters, state = optimizers.adam_update(parameters, gradient, state, 0.05)
    np.testing.assert_allclose(parameters[0], 1.0, atol=1e-3)


def test_adam_continues_a_count():
    x, g = (np.array([1.0]),), (np.array([2.0]),)
    state = optimizers.adam_init(x, step=9.0)
    (moved,), state = optimizers.adam_update(x, g, state, 0.1)
    size = 0.1 * np.sqrt(1 - 0.999**10) / (1 - 0.9**10)
    np.testing.assert_allclose(moved, 1.0 + size * 0.2 / (np.sqrt(0.004) + 1e-7), rtol=1e-12)
    assert state.step == 10


# --- transformations -------------------------------------------------------------------------

TRANSFORMS = {
    "log": (optimizers.LOG, 0.0),
    "softplus": (optimizers.softplus(), 0.0),
    "softplus from 1e-6": (optimizers.softplus(1e-6), 1e-6),
}


@pytest.mark.parametrize("transform, lower", TRANSFORMS.values(), ids=TRANSFORMS.keys())
def test_transforms(transform, lower):
    x = tf.constant([1e-4, 0.1, 1.0, 30.0, 500.0], tf.float64)
    # 1e-4 - 1e-6 keeps its digits, log(expm1) of it as well
    np.testing.assert_allclose(transform.forward(transform.inverse(x)), x, rtol=1e-11)
    u = np.array([-20.0, -1.0, 0.0, 2.0, 6.0])
    assert np.all(transform.forward(u) > lower)
    for k, derivative in enumerate(transform.derivative(u)):
        expected = reference.differences(lambda v: float(transform.forward(v)), u[k])
        np.testing.assert_allclose(derivative, expected, rtol=1e-6, atol=1e-10)
