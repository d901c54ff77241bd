from __future__ import annotations

import numpy as np
import pytest
import reference
import tensorflow_probability as tfp
from scipy.stats import norm

from skgpng._runtime import tf
from skgpng.likelihoods import Bernoulli, Gaussian, Likelihood

tfd = tfp.distributions


class FineGaussian(Gaussian):
    n_points = 100


class FineBernoulli(Bernoulli):
    n_points = 100


N, P = 6, 2
rng = np.random.RandomState(4)
F, F_VAR = rng.randn(N, P), rng.uniform(0.1, 1.0, (N, P))
REAL, LABELS = rng.randn(N, P), rng.randint(0, 2, (N, P)).astype(float)

CASES = {
    "gaussian": (FineGaussian(), (np.float64(0.4),), REAL),
    "gaussian, a variance per row": (FineGaussian(), (rng.uniform(0.2, 1.0, (N, 1)),), REAL),
    "gaussian, a variance per entry": (FineGaussian(), (rng.uniform(0.2, 1.0, (N, P)),), REAL),
    "gaussian, a variance per column": (FineGaussian(), (rng.uniform(0.2, 1.0, P),), REAL),
    "bernoulli": (FineBernoulli(), (), LABELS),
    "bernoulli, few errors": (FineBernoulli(1e-6), (), LABELS),
}
every_likelihood = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def distribution(likelihood, values, F):
    """p(y | f) as TFP has it, which turns NumPy's float64 into float32 but not a tensor's."""
    if isinstance(likelihood, Gaussian):
        return tfd.Normal(tf.constant(F), np.sqrt(values[0]))
    p = likelihood.epsilon + (1 - 2 * likelihood.epsilon) * norm.cdf(F)
    return tfd.Bernoulli(probs=tf.constant(p))


# --- conditional density ---------------------------------------------------------------------


@every_likelihood
def test_conditional_against_tfp(case):
    likelihood, values, Y = case
    other = distribution(likelihood, values, F)
    np.testing.assert_allclose(likelihood.log_prob(values, F, Y), other.log_prob(Y), rtol=1e-9)
    np.testing.assert_allclose(likelihood.conditional_mean(values, F), other.mean(), rtol=1e-12)
    variance = likelihood.conditional_variance(values, F)
    np.testing.assert_allclose(variance, other.variance() * np.ones_like(F), rtol=1e-12)


def test_bernoulli_far_out():
    x = np.array([[-37.0, -10.0, -1.0, 0.0, 1.0, 10.0]])
    np.testing.assert_allclose(Bernoulli(0.0).conditional_mean((), x), norm.cdf(x), rtol=1e-10)
    found = Bernoulli(0.0).log_prob((), x, np.ones_like(x))
    np.testing.assert_allclose(found, norm.logcdf(x), rtol=1e-10, atol=1e-23)


def test_bernoulli_bounds_the_cost_of_an_outlier():
    worst = Bernoulli(1e-3).log_prob((), np.array([[-50.0]]), np.array([[1.0]]))
    np.testing.assert_allclose(worst, np.log(1e-3), rtol=1e-12)


def test_bernoulli_takes_any_label_but_one_for_no():
    f, yes = np.array([[0.3]]), np.array([[1.0]])
    no = [Bernoulli().log_prob((), f, np.array([[y]])) for y in (0.0, -1.0)]
    assert no[0] == no[1]
    total = np.exp(no[0]) + np.exp(Bernoulli().log_prob((), f, yes))
    np.testing.assert_allclose(total, 1.0, rtol=1e-14)


# --- expectations ----------------------------------------------------------------------------
# Closed forms override the quadrature of the base class; called unbound, with 100 nodes, it is
# good to ten digits for these functions and variances.


@every_likelihood
def test_variational_expectations_equal_quadrature(case):
    likelihood, values, Y = case
    found = likelihood.variational_expectations(values, F, F_VAR, Y)
    assert found.shape == Y.shape
    base = Likelihood.variational_expectations(likelihood, values, F, F_VAR, Y)
    np.testing.assert_allclose(found, base, rtol=1e-9)


@every_likelihood
def test_moments_against_quadrature(case):
    likelihood, values, Y = case
    values = tuple(np.broadcast_to(v, Y.shape)[..., None] for v in values)

    def moment(power):
        def function(f):
            other = distribution(likelihood, values, f)
            mean = other.mean().numpy()
            return mean**power if power != "square" else other.variance().numpy() + mean**2

        return reference.expected_log_density(function, F, F_VAR)

    mean, var = likelihood.predict_mean_and_var(case[1], F, F_VAR)
    below = likelihood.predict_mean_and_var(case[1], F, F_VAR, include_noise=False)[1]
    np.testing.assert_allclose(mean, moment(1), rtol=1e-9)
    np.testing.assert_allclose(var, moment("square") - mean**2, rtol=1e-8)
    np.testing.assert_allclose(below, moment(2) - mean**2, rtol=1e-7)


@pytest.mark.parametrize("case", [CASES["gaussian"], CASES["bernoulli"]], ids=["real", "labels"])
def test_numpy_arguments_are_as_good_as_tensors(case):
    likelihood, values, Y = case
    base = Likelihood.variational_expectations
    expected = base(likelihood, values, tf.constant(F), tf.constant(F_VAR), tf.constant(Y))
    np.testing.assert_allclose(base(likelihood, values, F, F_VAR, Y), expected, rtol=1e-14)


@every_likelihood
def test_expectations_against_a_reference_of_their_own(case):
    likelihood, values, Y = case
    values = tuple(np.broadcast_to(v, Y.shape)[..., None] for v in values)
    y = Y[..., None]

    def log_prob(f):
        return distribution(likelihood, values, f).log_prob(y).numpy()

    found = likelihood.variational_expectations(case[1], F, F_VAR, Y)
    expected = reference.expected_log_density(log_prob, F, F_VAR)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    found = likelihood.predict_log_density(case[1], F, F_VAR, Y)
    expected = np.log(reference.expected_log_density(lambda f: np.exp(log_prob(f)), F, F_VAR))
    np.testing.assert_allclose(found, expected, rtol=1e-7)


def test_gaussian_prediction_against_tfp():
    variance = np.float64(0.4)
    other = tfd.Normal(F, np.sqrt(F_VAR + variance))
    mean, var = Gaussian().predict_mean_and_var((variance,), F, F_VAR)
    np.testing.assert_allclose(mean, other.mean(), rtol=1e-12)
    np.testing.assert_allclose(var, other.variance(), rtol=1e-12)
    density = Gaussian().predict_log_density((variance,), F, F_VAR, REAL)
    np.testing.assert_allclose(density, other.log_prob(REAL), rtol=1e-12)


def test_twenty_nodes_are_enough_for_training():
    # What training sees: 20 nodes, good to four digits up to the variance 1 of the prior.
    few = Bernoulli().variational_expectations((), F, F_VAR, LABELS)
    many = FineBernoulli().variational_expectations((), F, F_VAR, LABELS)
    np.testing.assert_allclose(few, many, rtol=1e-4)


def test_latent_variance_zero_is_the_conditional():
    zero = np.zeros_like(F)
    for likelihood, values, Y in (CASES["gaussian"], CASES["bernoulli"]):
        conditional = likelihood.log_prob(values, F, Y)
        for found in (
            likelihood.variational_expectations(values, F, zero, Y),
            likelihood.predict_log_density(values, F, zero, Y),
        ):
            np.testing.assert_allclose(found, conditional, rtol=1e-10)


# --- gradients -------------------------------------------------------------------------------


@every_likelihood
def test_gradients_of_variational_expectations(case):
    likelihood, values, Y = case
    upstream = np.random.RandomState(5).randn(N, P)
    arguments = [*values, F, F_VAR]
    tensors = [tf.constant(a) for a in arguments]

    def objective(*arguments):
        *values, f_mean, f_var = arguments
        return likelihood.variational_expectations(tuple(values), f_mean, f_var, Y)

    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = objective(*tensors)
    found = tape.gradient(value, tensors, upstream)
    for k, (argument, gradient) in enumerate(zip(arguments, found, strict=True)):

        def one(x, k=k):
            return np.sum(upstream * objective(*arguments[:k], x, *arguments[k + 1 :]))

        assert gradient.shape == np.shape(argument)
        # differences with the step 1e-5 leave 1e-9 of the sum
        expected = reference.differences(one, argument)
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)


def test_gradient_in_y():
    Y = tf.constant(REAL)
    with tf.GradientTape() as tape:
        tape.watch(Y)
        value = tf.reduce_sum(Gaussian().variational_expectations((0.4,), F, F_VAR, Y))
    np.testing.assert_allclose(tape.gradient(value, Y), (F - REAL) / 0.4, rtol=1e-7)


def test_likelihoods_are_hashable_structure():
    assert Gaussian() == Gaussian()
    assert hash(Bernoulli()) == hash(Bernoulli(1e-3))
    assert Bernoulli() != Bernoulli(1e-2)
    assert Gaussian.parameter_names == ("variance",)
    assert Bernoulli().parameter_names == ()
