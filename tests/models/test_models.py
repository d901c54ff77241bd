"""models: the blocks of the study, against dense algebra, scikit-learn and TFP."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import tensorflow_probability as tfp
from derivatives import assert_gradients
from reference import JITTER
from sklearn.gaussian_process.kernels import RBF, CompoundKernel, ConstantKernel, Matern

from skgpng import gaussians, kernels, models, optimizers
from skgpng._runtime import tf
from skgpng.gaussians import MeanSqrt
from skgpng.likelihoods import Bernoulli, Gaussian
from skgpng.models import Covariances, Hyperparameters

N, M, D, NOISE = 8, 4, 2, 0.1
KERNEL = ConstantKernel(1.5) * Matern(0.8, nu=1.5)
PARSED = kernels.parse(KERNEL)
STRUCTURE, VALUES = PARSED.structure, PARSED.values

rng = np.random.RandomState(6)
X, Z, XNEW = rng.randn(N, D), rng.randn(M, D), rng.randn(4, D)
ROW_NOISE = rng.uniform(0.05, 0.3, N)


@pytest.fixture(params=[1, 2], ids=["one column", "two columns"])
def Y(request):
    # as many columns as latent functions
    return np.random.RandomState(7).randn(N, request.param)


@pytest.fixture
def prior():
    return dense_prior(Z)


def dense_prior(Z, X=X, jitter=JITTER):
    return Covariances(KERNEL(Z) + jitter * np.eye(len(Z)), KERNEL(Z, X), KERNEL.diag(X))


def random_q(M, L, seed=8):
    return MeanSqrt(*reference.random_q(np.random.RandomState(seed), M, L))


# --- prior covariances -----------------------------------------------------------------------


def test_svgp_covariances():
    found = models.svgp_covariances(STRUCTURE, Hyperparameters(VALUES, (), Z), X, JITTER)
    for a, b in zip(found, dense_prior(Z), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_vgp_covariances():
    found = models.vgp_covariances(STRUCTURE, Hyperparameters(VALUES, ()), X, JITTER)
    K = KERNEL(X) + JITTER * np.eye(N)
    for a, b in zip(found, (K, K, np.diag(K)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


# --- exact regression ------------------------------------------------------------------------


def test_gpr_evidence_against_tfp(Y):
    psd = tfp.math.psd_kernels
    kernel = psd.MaternThreeHalves(tf.constant(np.sqrt(1.5)), tf.constant(0.8, tf.float64))
    other = tfp.distributions.GaussianProcess(
        kernel, X, observation_noise_variance=tf.constant(NOISE, tf.float64), jitter=0.0
    )
    K = kernels.covariance(STRUCTURE, VALUES, X)
    found = models.gpr_log_marginal_likelihood(K, Y, NOISE)
    np.testing.assert_allclose(found, np.sum(other.log_prob(Y.T)), rtol=1e-8)


@pytest.mark.parametrize("noise", [np.float64(NOISE), ROW_NOISE], ids=["one noise", "row noise"])
def test_gpr_evidence_and_gradient(Y, noise):
    K = KERNEL(X)
    found = models.gpr_log_marginal_likelihood(K, Y, noise)
    np.testing.assert_allclose(found, reference.log_evidence(K, Y, noise), rtol=1e-10)
    assert_gradients(
        models.gpr_log_marginal_likelihood, [K, Y, noise], covariances=[0], rtol=1e-6, atol=1e-6
    )


# --- collapsed bound -------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [np.float64(NOISE), ROW_NOISE], ids=["one noise", "row noise"])
def test_sgpr_bound_and_gradient(prior, Y, noise):
    def bound(Kuu, Kuf, Kff_diag, Y, noise):
        return models.sgpr_elbo(Covariances(Kuu, Kuf, Kff_diag), tf.convert_to_tensor(Y), noise)

    expected = reference.sgpr_bound(*prior, Y, noise)
    np.testing.assert_allclose(bound(*prior, Y, noise), expected, rtol=1e-9)
    assert expected < reference.log_evidence(KERNEL(X), Y, noise)
    assert_gradients(bound, [*prior, Y, noise], covariances=[0], rtol=1e-6, atol=1e-6)


def test_sgpr_gradient_against_differences_of_the_dense_formula(prior, Y):
    # the same once more with nothing of ours in it
    tensors = [tf.constant(a) for a in (*prior, Y, ROW_NOISE)]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = models.sgpr_elbo(Covariances(*tensors[:3]), *tensors[3:])
    found = tape.gradient(value, tensors)
    arguments = [*prior, Y, ROW_NOISE]
    for k in (1, 2, 3, 4):
        expected = reference.differences(
            lambda x, k=k: reference.sgpr_bound(*arguments[:k], x, *arguments[k + 1 :]),
            arguments[k],
        )
        np.testing.assert_allclose(found[k], expected, rtol=1e-6, atol=1e-6)


# --- marginals and the ELBO ------------------------------------------------------------------


@pytest.mark.parametrize("L", [1, 2])
def test_marginals_against_dense_algebra(prior, L):
    q = random_q(M, L)
    f_mean, f_var = models.marginals(prior, q.q_mu, gaussians.covariance(q))
    for k, (m, S) in enumerate(reference.unwhiten(prior.Kuu, *q)):
        mean, variance = reference.projected(*prior, m, S)
        np.testing.assert_allclose(f_mean[:, k], mean, rtol=1e-9)
        np.testing.assert_allclose(f_var[:, k], variance, rtol=1e-9)


@pytest.mark.parametrize("L", [1, 2])
def test_marginals_gradients(prior, L):
    q = random_q(M, L)
    upstream = tuple(np.random.RandomState(9).randn(2, N, L))

    def marginals(Kuu, Kuf, Kff_diag, q_mu, q_cov):
        return models.marginals(Covariances(Kuu, Kuf, Kff_diag), q_mu, q_cov)

    arguments = [*prior, q.q_mu, gaussians.covariance(q).numpy()]
    assert_gradients(marginals, arguments, upstream, [0, 4], rtol=1e-6, atol=1e-6)


def test_marginals_gradient_where_one_result_is_not_used(prior):
    q_mu, q_cov = np.ones((M, 1)), np.eye(M)[None]
    K = tf.constant(prior.Kuf)
    for used in (0, 1):
        with tf.GradientTape() as tape:
            tape.watch(K)
            value = models.marginals(prior._replace(Kuf=K), q_mu, q_cov)[used]
        assert np.all(np.isfinite(tape.gradient(value, K)))


LIKELIHOODS = [(Gaussian(), (np.float64(NOISE),)), (Bernoulli(), ())]


def expected_of(likelihood, values, Y):
    """Column k's expectations, of the likelihood's conditional density by quadrature."""

    def expected(k, f_mean, f_var):
        def log_prob(F):
            return likelihood.log_prob(values, F, np.repeat(Y[:, k, None], F.shape[-1], 1)).numpy()

        return reference.expected_log_density(log_prob, f_mean, f_var, n_points=20)

    return expected


@pytest.mark.parametrize("likelihood, values", LIKELIHOODS, ids=["gaussian", "bernoulli"])
@pytest.mark.parametrize("rows", [False, True], ids=["svgp", "vgp"])
def test_elbo_against_dense_algebra(likelihood, values, rows, Y):
    if rows:
        K = KERNEL(X) + JITTER * np.eye(N)
        prior = Covariances(K, K, np.diag(K))
    else:
        prior = dense_prior(Z)
    Y = Y if isinstance(likelihood, Gaussian) else (Y > 0).astype(float)
    q = random_q(len(prior.Kuu), Y.shape[1])
    scale = np.random.RandomState(10).uniform(0.5, 2.0, (N, 1))
    found = models.elbo(prior, q, likelihood, values, Y, scale)
    expected = reference.elbo(*prior, *q, expected_of(likelihood, values, Y), scale[:, 0])
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("likelihood, values", LIKELIHOODS, ids=["gaussian", "bernoulli"])
def test_elbo_and_gradients(likelihood, values):
    Y = np.random.RandomState(7).randint(0, 2, (N, 2)).astype(float)
    q = random_q(M, 2)
    scale = np.random.RandomState(10).uniform(0.5, 2.0, (N, 1))

    def covariances(theta):
        return models.svgp_covariances(STRUCTURE, theta, X, JITTER)

    def objective(theta, q_mu=q.q_mu, q_sqrt=q.q_sqrt):
        q = MeanSqrt(q_mu, q_sqrt)
        return float(models.elbo(covariances(theta), q, likelihood, theta.likelihood, Y, scale))

    theta = Hyperparameters(VALUES, values, Z)
    value, g_theta, (g_mu, g_cov) = models.elbo_and_gradients(
        covariances, theta, q, likelihood, Y, scale
    )
    np.testing.assert_allclose(value, objective(theta), rtol=1e-12)
    flat = tf.nest.flatten(theta)
    for k, gradient in enumerate(tf.nest.flatten(g_theta)):

        def one(x, k=k):
            return objective(tf.nest.pack_sequence_as(theta, [*flat[:k], x, *flat[k + 1 :]]))

        expected = reference.differences(one, flat[k])
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6)
    # g_mu and g_cov are those of the data term: without the KL
    total = reference.differences(lambda m: objective(theta, q_mu=m), q.q_mu)
    np.testing.assert_allclose(g_mu - q.q_mu, total, rtol=1e-6, atol=1e-6)
    with_kl = g_cov - 0.5 * (np.eye(M) - np.linalg.inv(gaussians.covariance(q)))
    in_root = np.tril(2.0 * with_kl @ q.q_sqrt)
    total = np.tril(reference.differences(lambda r: objective(theta, q_sqrt=r), q.q_sqrt))
    np.testing.assert_allclose(in_root, total, rtol=1e-6, atol=1e-6)


# --- the lattice of equivalences -------------------------------------------------------------
# One natural-gradient step of gamma = 1, from any q, makes VGP exact and SVGP the collapsed bound.


def full_step(covariances, theta, Y, M):
    q = random_q(M, Y.shape[1], seed=11)
    _, _, g_q = models.elbo_and_gradients(covariances, theta, q, Gaussian(), Y)
    return optimizers.natural_gradient(q, g_q, 1.0)


def predict_whitened(q, Z, Xnew=XNEW):
    return models.marginals(dense_prior(Z, Xnew), q.q_mu, gaussians.covariance(q))


def test_vgp_after_one_step_is_exact_regression(Y):
    theta = Hyperparameters(VALUES, (np.float64(NOISE),))

    def covariances(theta):
        return models.vgp_covariances(STRUCTURE, theta, X, JITTER)

    q = full_step(covariances, theta, Y, N)
    bound = models.elbo(covariances(theta), q, Gaussian(), theta.likelihood, Y)
    # the jitter is part of the VGP's prior
    evidence = reference.log_evidence(KERNEL(X), Y, NOISE + JITTER)
    np.testing.assert_allclose(bound, evidence, rtol=1e-9)
    f_mean, f_var = predict_whitened(q, X)
    mean, cov = reference.predict_exact(KERNEL, X, Y, NOISE, XNEW, JITTER)
    np.testing.assert_allclose(f_mean, mean, rtol=1e-6)
    np.testing.assert_allclose(f_var, np.diag(cov)[:, None] * np.ones_like(mean), rtol=1e-6)


def test_svgp_after_one_step_is_the_collapsed_bound(prior, Y):
    theta = Hyperparameters(VALUES, (np.float64(NOISE),), Z)
    q = full_step(lambda t: models.svgp_covariances(STRUCTURE, t, X, JITTER), theta, Y, M)
    bound = models.elbo(prior, q, Gaussian(), theta.likelihood, Y)
    np.testing.assert_allclose(bound, reference.sgpr_bound(*prior, Y, NOISE), rtol=1e-9)
    best = models.conjugate_q(prior, tf.constant(Y), NOISE)
    for a, b in zip(gaussians.mean_sqrt_to_natural(q), best, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)
    # predictions of the collapsed bound (Titsias 2009, eq. 6)
    f_mean, f_var = predict_whitened(q, Z)
    inner = np.linalg.inv(prior.Kuu + prior.Kuf @ prior.Kuf.T / NOISE)
    k = KERNEL(Z, XNEW)
    np.testing.assert_allclose(f_mean, k.T @ inner @ prior.Kuf @ Y / NOISE, rtol=1e-7)
    change = np.diag(k.T @ (np.linalg.inv(prior.Kuu) - inner) @ k)[:, None]
    np.testing.assert_allclose(f_var, KERNEL.diag(XNEW)[:, None] - change + 0 * f_mean, rtol=1e-7)


def test_svgp_with_inducing_points_at_the_rows_is_vgp():
    labels = np.random.RandomState(7).randint(0, 2, (N, 1)).astype(float)
    q = random_q(N, 1)
    vgp = models.vgp_covariances(STRUCTURE, Hyperparameters(VALUES, ()), X, JITTER)
    svgp = models.svgp_covariances(STRUCTURE, Hyperparameters(VALUES, (), X), X, JITTER)
    bounds = [models.elbo(prior, q, Bernoulli(), (), labels) for prior in (vgp, svgp)]
    np.testing.assert_allclose(*bounds, rtol=1e-6)  # the jitter, and what it is divided by


def test_sgpr_with_inducing_points_at_the_rows_is_gpr(Y):
    bound = models.sgpr_elbo(dense_prior(X), tf.constant(Y), NOISE)
    exact = models.gpr_log_marginal_likelihood(KERNEL(X), Y, NOISE)
    np.testing.assert_allclose(bound, exact, rtol=1e-6)  # up to jitter / noise
    assert bound < exact


def test_more_inducing_points_raise_the_bound(Y):
    bounds = [
        models.sgpr_elbo(dense_prior(X[:m]), tf.constant(Y), NOISE).numpy() for m in (1, 3, 5, 8)
    ]
    assert np.all(np.diff(bounds) > 0)


def test_marginals_of_each_latent_function():
    kernel = CompoundKernel([ConstantKernel(1.5) * RBF(0.8), Matern([0.7, 1.1], nu=1.5), RBF(1.4)])
    parsed = kernels.parse(kernel)
    structure, values = parsed.structure, parsed.values
    each = [
        models.svgp_covariances(own, Hyperparameters(v, (), Z), X, JITTER)
        for own, v in kernels.of_each_latent(structure, values)
    ]
    q = random_q(M, 3)
    cov = gaussians.covariance(q)
    together = models.marginals(each, q.q_mu, cov)
    for k, (prior, own) in enumerate(zip(each, kernel.kernels, strict=True)):
        np.testing.assert_allclose(prior.Kff_diag, own.diag(X), rtol=1e-12)
        alone = models.marginals(prior, q.q_mu[:, k : k + 1], cov[k : k + 1])
        for all_latents, one in zip(together, alone, strict=True):
            np.testing.assert_allclose(all_latents[:, k], one[:, 0], rtol=1e-12)
