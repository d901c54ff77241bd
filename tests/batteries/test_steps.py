"""Any q and gradient: natural-gradient steps leave a positive definite precision."""

from __future__ import annotations

import numpy as np
import reference
from batteries.drawn import cases, cases_each, norm, seeds, smallest_eigenvalue
from hypothesis import given
from hypothesis import strategies as st

from skgpng import gaussians, models, optimizers
from skgpng.gaussians import MeanSqrt
from skgpng.likelihoods import Gaussian
from skgpng.parameters import Hyperparameters


def symmetric_gradients(rng, q, size):
    G = size * rng.randn(*q.q_sqrt.shape)
    return size * rng.randn(*q.q_mu.shape), G + np.swapaxes(G, 1, 2)


@cases_each(200)
@given(seeds, st.integers(1, 8), st.integers(1, 3), st.floats(-3, 6), st.floats(1e-3, 1.0))
def test_precision_stays_above_half_the_old_one(seed, M, L, magnitude, gamma):
    rng = np.random.RandomState(seed)
    q = MeanSqrt(*reference.random_q(rng, M, L))
    natural, q_cov = gaussians.mean_sqrt_to_natural(q), gaussians.covariance(q)
    gradients = symmetric_gradients(rng, q, 10.0**magnitude)
    new = optimizers.positive_definite_update(natural, q.q_mu, q_cov, gradients, gamma)
    old_P, new_P = -2.0 * natural.nat2.numpy(), -2.0 * new.nat2.numpy()
    for old, found in zip(old_P, new_P, strict=True):
        # rounding of the largest entry, as large as the square of the gradient
        assert smallest_eigenvalue(found - 0.5 * old) >= -1e-14 * norm(found)
    assert np.all(np.isfinite(new.nat1))


@cases_each(100)
@given(seeds, st.integers(1, 8), st.integers(1, 3), st.floats(1e-3, 1.0))
def test_both_steps_stay_where_the_gradient_vanishes(seed, M, L, gamma):
    """There the data term has g_m = m and 2 g_S = I - P, against the KL divergence."""
    q = MeanSqrt(*reference.random_q(np.random.RandomState(seed), M, L))
    natural, q_cov = gaussians.mean_sqrt_to_natural(q), gaussians.covariance(q)
    gradients = q.q_mu, 0.5 * (np.eye(M) + 2.0 * natural.nat2)
    plain = optimizers.natural_gradient_update(natural, q.q_mu, gradients, gamma)
    safe = optimizers.positive_definite_update(natural, q.q_mu, q_cov, gradients, gamma)
    for a, b, c in zip(natural, plain, safe, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-11, atol=1e-12 * norm(a))
        np.testing.assert_allclose(c, a, rtol=1e-11, atol=1e-12 * norm(a))


@cases_each(100)
@given(seeds, st.integers(1, 8), st.floats(-3, 2), st.floats(1e-3, 1.0))
def test_log_concave_rows_move_the_safe_step_at_least_half_as_far(seed, M, magnitude, gamma):
    """So they have no fixed point but the plain step's. In the basis where the old P is I, the
    plain step adds a - 1 to each eigenvalue, the safe one (a + 1)/2 times that, and a > 0."""
    rng = np.random.RandomState(seed)
    q = MeanSqrt(*reference.random_q(rng, M, 1))
    natural, q_cov = gaussians.mean_sqrt_to_natural(q), gaussians.covariance(q)
    A = rng.randn(M, 2)
    gradients = rng.randn(M, 1), -(10.0**magnitude) * (A @ A.T)[None]
    R = q.q_sqrt[0]

    def moved(new):
        return R.T @ (natural.nat2[0] - new.nat2[0]).numpy() @ R  # half of what P gained

    plain = moved(optimizers.natural_gradient_update(natural, q.q_mu, gradients, gamma))
    safe = moved(optimizers.positive_definite_update(natural, q.q_mu, q_cov, gradients, gamma))
    assert norm(plain) > 0
    assert norm(safe) >= 0.5 * norm(plain) * (1 - 1e-9)


@cases_each(50)
@given(seeds, st.integers(1, 6), st.floats(0.01, 1.0))
def test_other_precisions_where_the_safe_step_rests_are_convex_in_the_mean(seed, M, gamma):
    """Where gamma G = 2 P, P - gamma G is -P and the safe precision stays though the plain one
    does not. Training does not end there: 2 g_S - I is the curvature of the ELBO in the mean of
    q, positive at such a point, so that steps of the mean lead away from it."""
    q = MeanSqrt(*reference.random_q(np.random.RandomState(seed), M, 1))
    natural, q_cov = gaussians.mean_sqrt_to_natural(q), gaussians.covariance(q)
    P = -2.0 * natural.nat2.numpy()
    g_cov = 0.5 * ((2.0 / gamma - 1.0) * P + np.eye(M))
    safe = optimizers.positive_definite_update(natural, q.q_mu, q_cov, (q.q_mu, g_cov), gamma)
    # of the terms that cancel the largest is 2 / gamma times what stays
    np.testing.assert_allclose(safe.nat2, natural.nat2, rtol=0, atol=1e-12 * norm(P))
    assert smallest_eigenvalue(2.0 * g_cov - np.eye(M)) > 0


@cases_each(12)
@given(cases(), st.floats(0.1, 2.0))
def test_safe_steps_arrive_at_the_exact_posterior(case, noise):
    Y, prior = case.targets(), case.sparse_prior()
    exact = models.conjugate_q(prior, Y, noise)
    q = gaussians.standard_normal(len(case.Z), 2)
    theta = Hyperparameters((), (np.array(noise),))
    for _ in range(60):  # near the end each step of 0.5 halves what is left
        _, _, g = models.elbo_and_gradients(lambda t: prior, theta, q, Gaussian(), Y)
        q = optimizers.natural_gradient(q, g, 0.5, positive_definite=True)
    for a, b in zip(gaussians.mean_sqrt_to_natural(q), exact, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8 * norm(b))
