"""Any kernel, rows and q: bounds of the evidence, variances, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from batteries.drawn import cases, cases_each
from hypothesis import given
from hypothesis import strategies as st

from skgpng import gaussians, models
from skgpng.gaussians import MeanSqrt
from skgpng.likelihoods import Bernoulli, Gaussian, Logit, RobustMax, Softmax, StudentT

# --- bounds --------------------------------------------------------------------------------

# What rounding may leave between two log evidences: both are sums of terms as large as y' K^-1 y
# and log|K|, some 1e3 with the smallest noise, and the inverse of Kuu has condition 1e6 to 1e10.
ROUNDING = 1e-6


def evidence(K, Y, noise):
    return reference.log_evidence(np.asarray(K), Y, noise)


@cases_each(100)
@given(cases(), st.floats(0.01, 2.0))
def test_elbo_of_any_q_is_below_the_evidence(case, noise):
    Y, q = case.targets(), reference.random_q(case.rng, len(case.Z), 2)
    value = models.elbo(case.sparse_prior(), MeanSqrt(*q), Gaussian(), (noise,), Y)
    assert value <= evidence(case.kernel(case.X), Y, noise) + ROUNDING
    q, prior = reference.random_q(case.rng, len(case.X), 2), case.full_prior()
    value = models.elbo(prior, MeanSqrt(*q), Gaussian(), (noise,), Y)
    assert value <= evidence(prior.Kuu, Y, noise) + ROUNDING


@cases_each(100)
@given(cases(), st.floats(0.01, 2.0))
def test_collapsed_bound_is_below_the_evidence_and_above_any_q(case, noise):
    Y, q = case.targets(), reference.random_q(case.rng, len(case.Z), 2)
    prior = case.sparse_prior()
    collapsed = models.sgpr_elbo(prior, Y, noise)
    assert collapsed <= evidence(case.kernel(case.X), Y, noise) + ROUNDING
    value = models.elbo(prior, MeanSqrt(*q), Gaussian(), (noise,), Y)
    assert value <= collapsed + ROUNDING


@cases_each(100)
@given(cases(), st.floats(0.01, 2.0))
def test_collapsed_bound_grows_with_every_inducing_point(case, noise):
    Y = case.targets()
    bounds = [
        float(models.sgpr_elbo(case.sparse_prior(case.Z[:m]), Y, noise))
        for m in range(1, len(case.Z) + 1)
    ]
    assert np.all(np.diff(bounds) >= -ROUNDING)


@cases_each(100)
@given(cases(), st.floats(0.01, 2.0))
def test_best_q_of_all_rows_reaches_the_evidence(case, noise):
    Y, prior = case.targets(), case.full_prior()
    found = models.sgpr_elbo(prior, Y, noise)
    np.testing.assert_allclose(found, evidence(prior.Kuu, Y, noise), rtol=1e-7, atol=ROUNDING)


# --- marginals -----------------------------------------------------------------------------


@cases_each(100)
@given(cases())
def test_variances_are_positive(case):
    """Whatever q: what the inducing points do not explain is at least rounding of the jitter."""
    for prior in (case.sparse_prior(), case.full_prior()):
        q = MeanSqrt(*reference.random_q(case.rng, len(prior.Kuu), 2))
        _, f_var = models.marginals(prior, q.q_mu, gaussians.covariance(q))
        assert np.all(f_var.numpy() > 0)


@cases_each(100)
@given(cases(), st.floats(0.01, 2.0))
def test_gaussian_rows_only_take_variance_away(case, noise):
    for prior in (case.sparse_prior(), case.full_prior()):
        q = gaussians.natural_to_mean_sqrt(models.conjugate_q(prior, case.targets(), noise))
        _, f_var = models.marginals(prior, q.q_mu, gaussians.covariance(q))
        assert np.all(f_var.numpy() > 0)
        assert np.all(f_var <= prior.Kff_diag[:, None] * (1 + 1e-12))


# --- gradients -----------------------------------------------------------------------------

# name: likelihood, values, number of latent functions
LIKELIHOODS = {
    "gaussian": (Gaussian(), (np.array(0.3),), 2),
    "bernoulli": (Bernoulli(), (), 1),
    "logit": (Logit(None), (np.array(0.1),), 1),
    "softmax": (Softmax(3), (), 3),
    "robust_max": (RobustMax(3, None), (np.array(0.1),), 3),
    "student_t": (StudentT(), (np.array(0.5), np.array(3.0)), 2),
}


def targets_for(name, case, L):
    n_labels = {"bernoulli": 2, "logit": 2, "softmax": 3, "robust_max": 3}.get(name)
    if n_labels is None:
        return case.rng.randn(len(case.X), L)
    return case.rng.randint(0, n_labels, (len(case.X), 1)).astype(float)


def entries(theta):
    """Each hyperparameter: its name, value, and a function that replaces it."""
    for field in ("kernel", "likelihood"):
        whole = getattr(theta, field)
        for k, value in enumerate(whole):

            def put(x, field=field, whole=whole, k=k):
                return theta._replace(**{field: (*whole[:k], x, *whole[k + 1 :])})

            yield f"{field}[{k}]", value, put
    yield "inducing_points", theta.inducing_points, lambda x: theta._replace(inducing_points=x)


def assert_close(found, expected, value, name):
    # differences: rounding of the value over the step, and the curvature of rows close together
    np.testing.assert_allclose(
        found, expected, rtol=1e-4, atol=1e-6 * (1 + abs(value)), err_msg=name
    )


@pytest.mark.parametrize("name", LIKELIHOODS)
@cases_each(5)
@given(case=cases(repeats=False))
def test_gradients_against_differences(name, case):
    likelihood, values, L = LIKELIHOODS[name]
    theta, Y = case.theta(values), targets_for(name, case, L)
    q = MeanSqrt(*reference.random_q(case.rng, len(case.Z), L))
    structure = case.parsed.structure

    def prior(t):
        return models.svgp_covariances(structure, t, case.X, 1e-3)  # well-conditioned

    def elbo(t):
        return float(models.elbo(prior(t), q, likelihood, t.likelihood, Y))

    value, gradient, (g_mu, g_cov) = models.elbo_and_gradients(prior, theta, q, likelihood, Y)
    np.testing.assert_allclose(value, elbo(theta), rtol=1e-10)
    found = [*gradient.kernel, *gradient.likelihood, gradient.inducing_points]
    for (label, x, put), g in zip(entries(theta), found, strict=True):
        expected = reference.differences(lambda v, put=put: elbo(put(v)), x)
        assert_close(g, expected, value, label)

    def data_term(mu, cov):
        f = models.marginals(prior(theta), mu, cov)
        return float(np.sum(likelihood.variational_expectations(values, *f, Y)))

    cov = gaussians.covariance(q).numpy()
    assert_close(g_mu, reference.differences(lambda m: data_term(m, cov), q.q_mu), value, "mean")
    expected = reference.differences(lambda S: data_term(q.q_mu, S), cov)
    symmetric = [0.5 * (G + np.swapaxes(G, 1, 2)) for G in (g_cov.numpy(), expected)]
    assert_close(*symmetric, value, "covariance")
