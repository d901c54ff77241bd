from __future__ import annotations

import numpy as np
import pytest
import reference
from inference.cases import assert_same_step, executed, make_case, moved, names_of, step
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, Matern

from skgpng import kernels, models
from skgpng._inference import Sites
from skgpng._inference.sites import SITE_FLOOR
from skgpng._runtime import tf
from skgpng.likelihoods import Bernoulli

N = 8
KERNEL = ConstantKernel(1.5) * Matern(0.8, nu=1.5)
X = np.random.RandomState(6).randn(N, 2)
every_case = pytest.mark.parametrize("name", names_of(Sites))


def symmetric(G):
    """A covariance matrix has symmetric changes only: what a gradient says about these."""
    return 0.5 * (G + np.swapaxes(G, -1, -2))


WHOLE = slice(None)


@pytest.fixture
def sites():
    rng = np.random.RandomState(12)
    return rng.randn(N), rng.uniform(0.1, 5.0, N)


def dense_sites(K, site_mean, site_precision):
    S = np.linalg.inv(np.linalg.inv(K) + np.diag(site_precision))
    return S @ site_mean, S


def test_site_moments_against_dense_algebra(sites):
    K = KERNEL(X)
    moments = models.site_moments(K, *sites)
    m, S = dense_sites(K, *sites)
    np.testing.assert_allclose(moments.f_mean, m, rtol=1e-9)
    np.testing.assert_allclose(moments.f_var, np.diag(S), rtol=1e-9)
    kl = reference.gaussian_kl(m, S, np.zeros(N), K)
    np.testing.assert_allclose(moments.kl, kl, rtol=1e-9)
    np.testing.assert_allclose(moments.alpha, np.linalg.solve(K, m), rtol=1e-8)
    W = np.linalg.inv(K + np.diag(1.0 / sites[1]))
    found = np.outer(moments.alpha, moments.alpha) - 2.0 * moments.prior_gradient(WHOLE, WHOLE)
    np.testing.assert_allclose(found, W, rtol=1e-9, atol=1e-12)


def test_site_moments_need_no_inverse_of_the_prior(sites):
    # rows stored twice, no jitter: K has no inverse, and the moments of the copies agree
    twice = np.repeat(np.arange(N // 2), 2)
    K = RBF(0.8)(X[twice])
    moments = models.site_moments(K, *sites)
    np.testing.assert_allclose(moments.f_mean[::2], moments.f_mean[1::2], rtol=1e-9)
    once = models.site_moments(K[::2, ::2], *(s.reshape(-1, 2).sum(1) for s in sites))
    np.testing.assert_allclose(moments.f_var[::2], once.f_var, rtol=1e-9)
    np.testing.assert_allclose(moments.kl, once.kl, rtol=1e-9)


def test_the_weakest_sites_keep_nine_digits():
    K = KERNEL(X)
    precision = np.full(N, SITE_FLOOR)
    moments = models.site_moments(K, np.zeros(N), precision)
    S = K - K @ np.linalg.inv(K + 1e6 * np.eye(N)) @ K
    np.testing.assert_allclose(moments.f_var, np.diag(S), rtol=1e-9)


def test_gradient_in_the_prior_with_q_held(sites):
    # -d KL[q(f) || N(0, K)] / dK = (alpha alpha' - W) / 2 for the q that the sites describe at K
    K = KERNEL(X)
    moments = models.site_moments(K, *sites)
    m, S = dense_sites(K, *sites)
    expected = reference.differences(lambda K: -reference.gaussian_kl(m, S, np.zeros(N), K), K)
    found = moments.prior_gradient(WHOLE, WHOLE)
    # K has a condition number of 1e3, which the differences feel
    np.testing.assert_allclose(found, symmetric(expected), rtol=1e-5, atol=1e-5)


def test_gradient_at_the_fixed_point_is_that_of_the_bound_with_the_best_q():
    # There any change of q costs nothing to first order, so that the gradient with the sites
    # held, with q held, and of the maximum over q are the same.
    labels = np.random.RandomState(7).randint(0, 2, (N, 1)).astype(float)
    K = KERNEL(X)

    def moments_and_bound(K, site_mean, site_precision):
        moments = models.site_moments(K, site_mean, site_precision)
        f = tf.constant(moments.f_mean)[:, None], tf.constant(moments.f_var)[:, None]
        with tf.GradientTape() as tape:
            tape.watch(f)
            expected = tf.reduce_sum(Bernoulli().variational_expectations((), *f, labels))
        return moments, expected - moments.kl, tape.gradient(expected, f)

    sites = np.zeros(N), np.ones(N)
    for _ in range(50):
        moments, bound, (g_mean, g_var) = moments_and_bound(K, *sites)
        sites = (g_mean - 2.0 * g_var * moments.f_mean[:, None])[:, 0], -2.0 * g_var[:, 0]
    assert abs(moments_and_bound(K, *sites)[1] - bound) < 1e-10
    expected = reference.differences(lambda K: moments_and_bound(symmetric(K), *sites)[1], K)
    found = moments.prior_gradient(WHOLE, WHOLE)
    np.testing.assert_allclose(found, symmetric(expected), rtol=1e-6, atol=1e-7)


# --- the step --------------------------------------------------------------------------------


@every_case
def test_the_value_is_the_elbo_by_dense_algebra(name):
    iterate, q, data = make_case(name)
    model, _, theta = iterate[:3]
    each, value, f_mean, f_var = kernels.of_each_latent(model.kernel, theta.kernel), 0.0, [], []
    for k in range(model.n_latent):
        K = kernels.covariance(*each[k % len(each)], data.X).numpy() + 1e-12 * np.eye(40)
        m, S = dense_sites(K, q[0][:, k].numpy(), q[1][:, k].numpy())
        value -= reference.gaussian_kl(m, S, np.zeros(40), K)
        f_mean.append(m)
        f_var.append(np.diag(S))
    moments = np.stack(f_mean, 1), np.stack(f_var, 1)
    values = tuple(v + data.row for v in theta.likelihood)
    expected = model.likelihood.variational_expectations(values, *moments, data.Y)
    value += np.sum(data.weights.numpy()[:, None] * expected)
    np.testing.assert_allclose(step(iterate, q, data).value, value, rtol=1e-5)


@every_case
@pytest.mark.parametrize("offset", [None, 0.4])
def test_at_the_best_sites_the_gradient_is_that_of_the_best_elbo(name, offset):
    # there they do not count
    iterate, start, data = make_case(name, offset=offset, N=12)
    inference = iterate.model.inference
    run = tf.function(lambda theta, q: inference.step(iterate._replace(theta=theta), q, data))

    def best(theta, q):
        for _ in range(150):
            found = run(theta, q)
            q = found.q_next
        return found

    found = best(iterate.theta, start)
    assert abs(float(run(iterate.theta, found.q_next).value - found.value)) < 1e-11  # settled
    gradient = tf.nest.flatten(found.g_theta)
    for k, leaf in enumerate(tf.nest.flatten(iterate.theta)):

        def value(x, k=k):
            return float(best(moved(iterate, k, x).theta, found.q).value)

        # steps of 1e-4 leave an error of about 1e-8, times the third derivative
        expected = reference.differences(value, leaf.numpy(), 1e-4)
        np.testing.assert_allclose(gradient[k], expected, rtol=1e-4, atol=1e-6)


@every_case
@pytest.mark.parametrize("chunk_size", [1, 7, 100])
def test_blocks_of_rows_change_nothing(name, chunk_size):
    iterate, q, data = make_case(name)
    if len(kernels.of_each_latent(iterate.model.kernel, iterate.theta.kernel)) == 1:
        # a nu of 0.5 shows the rounding of a distance that should be zero
        parsed = kernels.parse(1.3 * Matern([0.7, 1.9], nu=0.5) + DotProduct(0.4))
        values = tf.nest.map_structure(tf.constant, parsed.values)
        model = iterate.model._replace(kernel=parsed.structure)
        iterate = iterate._replace(model=model, theta=iterate.theta._replace(kernel=values))
    found = step(executed(iterate, chunked=True), q, data, chunk_size=chunk_size)
    assert_same_step(found, step(iterate, q, data), rtol=1e-10)


def test_precisions_are_held_above_zero():
    # far on the wrong side the likelihood forgives errors: those sites want a negative precision
    iterate, _, data = make_case("sites")
    q = tuple(tf.fill([40, 1], tf.constant(v, tf.float64)) for v in (-30.0, 5.0))
    data = data._replace(Y=tf.ones_like(data.Y))
    found = step(iterate._replace(gamma=tf.constant(1.0, tf.float64)), q, data)
    assert found.corrected == 1.0
    floor = SITE_FLOOR * data.weights.numpy()[:, None]
    assert np.all(found.q_next[1] >= floor * (1 - 1e-12))


def test_nothing_is_singular():
    iterate, _, _ = make_case("sites")
    assert not iterate.model.inference.is_singular(iterate, tf.constant(np.nan, tf.float64))
