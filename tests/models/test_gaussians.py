"""gaussians: forms of q, against their definitions and TFP."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import tensorflow_probability as tfp

from skgpng import gaussians
from skgpng._runtime import tf

SIZES = [(1, 1), (4, 1), (3, 2)]


@pytest.fixture(params=SIZES, ids=lambda s: f"M{s[0]}L{s[1]}")
def q(request):
    M, L = request.param
    return gaussians.MeanSqrt(*reference.random_q(np.random.RandomState(1), M, L))


def covariances(q):
    return q.q_sqrt @ np.swapaxes(q.q_sqrt, 1, 2)


def test_standard_normal():
    q = gaussians.standard_normal(3, 2, "float32")
    assert q.q_mu.dtype == q.q_sqrt.dtype == tf.float32
    np.testing.assert_array_equal(q.q_mu, np.zeros((3, 2)))
    np.testing.assert_array_equal(q.q_sqrt, np.stack([np.eye(3)] * 2))


def test_natural_parameters(q):
    nat1, nat2 = gaussians.mean_sqrt_to_natural(q)
    P = np.linalg.inv(covariances(q))
    np.testing.assert_allclose(nat2, -0.5 * P, rtol=1e-9)
    for k in range(q.q_mu.shape[1]):
        np.testing.assert_allclose(nat1[:, k], P[k] @ q.q_mu[:, k], rtol=1e-9, atol=1e-12)


def test_natural_round_trip(q):
    q_mu, q_sqrt = gaussians.natural_to_mean_sqrt(gaussians.mean_sqrt_to_natural(q))
    np.testing.assert_allclose(q_mu, q.q_mu, rtol=1e-9)
    # the lower triangle with a positive diagonal is unique, so the root itself comes back
    np.testing.assert_allclose(q_sqrt, q.q_sqrt, rtol=1e-9, atol=1e-12)


def test_expectation_parameters(q):
    eta1, eta2 = gaussians.mean_sqrt_to_expectation(q)
    np.testing.assert_array_equal(eta1, q.q_mu)
    for k, m in enumerate(q.q_mu.T):
        np.testing.assert_allclose(eta2[k], covariances(q)[k] + np.outer(m, m), rtol=1e-12)


def test_expectation_is_the_gradient_of_the_log_partition_function(q):
    # their definition: dA / dtheta with A = -1/4 t1' t2^-1 t1 - 1/2 log|-2 t2|
    natural = gaussians.mean_sqrt_to_natural(q)
    eta1, eta2 = gaussians.mean_sqrt_to_expectation(q)

    def log_partition(nat1, nat2):
        total = 0.0
        for t1, t2 in zip(nat1.T, nat2, strict=True):
            total += -0.25 * t1 @ np.linalg.inv(t2) @ t1 - 0.5 * np.linalg.slogdet(-2.0 * t2)[1]
        return total

    nat1, nat2 = (t.numpy() for t in natural)
    found = reference.differences(lambda t: log_partition(t, nat2), nat1)
    np.testing.assert_allclose(eta1, found, rtol=1e-6, atol=1e-7)
    found = reference.differences(lambda t: log_partition(nat1, t), nat2)
    np.testing.assert_allclose(eta2, found, rtol=1e-6, atol=1e-7)


def test_apply_and_covariance(q):
    np.testing.assert_allclose(gaussians.covariance(q), covariances(q), rtol=1e-12)
    found = gaussians.apply(q.q_sqrt, q.q_mu)
    expected = np.einsum("lij,jl->il", q.q_sqrt, q.q_mu)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_prior_kl_against_tfp(q):
    MultivariateNormal = tfp.distributions.MultivariateNormalTriL
    M = len(q.q_mu)
    prior = MultivariateNormal(np.zeros(M), np.eye(M))
    divergence = MultivariateNormal(q.q_mu.T, q.q_sqrt).kl_divergence(prior)
    np.testing.assert_allclose(gaussians.prior_kl(q), np.sum(divergence), rtol=1e-12)


def test_prior_kl_takes_a_root_with_negative_diagonal(q):
    flipped = gaussians.MeanSqrt(q.q_mu, -q.q_sqrt)
    np.testing.assert_allclose(gaussians.prior_kl(flipped), gaussians.prior_kl(q), rtol=1e-14)


def test_prior_kl_gradient(q):
    tensors = gaussians.MeanSqrt(*(tf.constant(t) for t in q))
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = gaussians.prior_kl(tensors)
    g_mu, g_sqrt = tape.gradient(value, tensors)

    def kl(q_mu, q_sqrt):
        return float(gaussians.prior_kl(gaussians.MeanSqrt(q_mu, q_sqrt)))

    found = reference.differences(lambda m: kl(m, q.q_sqrt), q.q_mu)
    np.testing.assert_allclose(g_mu, found, atol=1e-7)
    found = reference.differences(lambda r: kl(q.q_mu, r), q.q_sqrt)
    np.testing.assert_allclose(g_sqrt, found, atol=1e-7)
