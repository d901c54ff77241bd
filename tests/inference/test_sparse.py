from __future__ import annotations

import functools

import numpy as np
import pytest
from inference import cases
from inference.cases import CASES, assert_same_step, executed, make_case, moved, names_of, step
from reference import differences

from skgpng import gaussians, kernels, models
from skgpng._inference import Sparse
from skgpng._inference.base import add
from skgpng._inference.points import DataBlock
from skgpng._runtime import tf
from skgpng.likelihoods import Bernoulli

every_case = pytest.mark.parametrize("name", names_of(Sparse))
with_memory = pytest.mark.parametrize("memory", [False, True], ids=["rows", "rows and memory"])
# both at once, or neither
with_both = pytest.mark.parametrize(
    ("memory", "offset"), [(False, None), (True, -0.7)], ids=["rows", "memory and mean"]
)
with_mean = pytest.mark.parametrize("offset", [None, -0.7], ids=["no mean", "mean"])


def naive_elbo(iterate, q_mu, q_cov, data):
    """ELBO with TensorFlow's own gradients, and (A, f_mean, f_var) of each latent and block."""
    roots, L = cases.roots_of_prior(iterate), iterate.model.n_latent
    total, seen = 0.0, []
    for likelihood, values, Y, scale, mean, covariances in cases.blocks(iterate, data):
        moments = []
        for k in range(L):
            Kuf, Kff_diag = covariances[k % len(covariances)]
            A = tf.linalg.triangular_solve(roots[k % len(roots)], Kuf)
            f_var = Kff_diag + tf.reduce_sum(A * (q_cov[k] @ A - A), 0)
            moments.append((A, tf.linalg.matvec(A, q_mu[:, k], transpose_a=True), f_var))
        f_mean, f_var = (tf.stack([m[i] for m in moments], 1) for i in (1, 2))
        expected = likelihood.variational_expectations(values, mean + f_mean, f_var, Y)
        total += tf.reduce_sum(scale * expected)
        seen.append(([m[0] for m in moments], f_mean, f_var, total))
    kl = tf.linalg.trace(q_cov) - tf.linalg.logdet(q_cov) - float(len(q_mu))
    return total - 0.5 * (tf.reduce_sum(kl) + tf.reduce_sum(q_mu**2)), seen


def expected_step(iterate, q, data):
    """Value, gradients and next q by automatic differentiation; last, the g_var of all rows."""
    gamma, L = float(iterate.gamma), iterate.model.n_latent
    q_cov = tf.linalg.inv(-2.0 * q[1])
    q_mu = tf.stack([tf.linalg.matvec(q_cov[k], q[0][:, k]) for k in range(L)], 1)
    with tf.GradientTape(watch_accessed_variables=False, persistent=True) as tape:
        tape.watch(iterate.theta)
        value, seen = naive_elbo(iterate, q_mu, q_cov, data)
    g_theta = tape.gradient(value, iterate.theta, unconnected_gradients="zero")
    g_mu, g_cov, all_g_var = 0.0, 0.0, []
    for A, f_mean, f_var, _ in seen:
        g_mean, g_var = (g.numpy() for g in tape.gradient(value, [f_mean, f_var]))
        all_g_var.append(g_var)
        A = np.stack(A)
        g_mu += np.einsum("lin,nl->il", A, g_mean)
        g_cov += np.einsum("lin,nl,ljn->lij", A, g_var, A)
    change = g_mu - 2.0 * np.einsum("lij,jl->il", g_cov, q_mu)
    nat1 = (1 - gamma) * q[0] + gamma * change
    nat2 = (1 - gamma) * q[1] + gamma * (g_cov - 0.5 * np.eye(len(q_mu)))
    all_g_var = np.concatenate(all_g_var)
    corrected = float(np.any(all_g_var > 0.0))
    if corrected:  # Lin, Schmidt & Khan 2020
        G = np.eye(len(q_mu)) - 2.0 * g_cov + 2.0 * q[1]  # minus the direction of the paper
        second = 0.5 * gamma**2 * G @ q_cov @ G
        nat1, nat2 = nat1 + np.einsum("lij,jl->il", second, q_mu), nat2 - 0.5 * second
    return (value, g_theta, q, (nat1, nat2), corrected), all_g_var


@every_case
@with_memory
@with_mean
def test_the_step_is_the_derivative_of_the_elbo(name, memory, offset):
    case = make_case(name, memory, offset)
    expected, g_var = expected_step(*case)
    assert_same_step(step(*case), expected, rtol=1e-7)  # Kuu has a condition number of 1e3
    if offset is None:
        assert np.any(g_var > 0.0) == (name == "wrong side")


@every_case
def test_the_value_is_the_elbo_of_the_study(name):
    iterate, q, data = make_case(name)
    model, _, theta = iterate[:3]
    prior = []
    for k, v in kernels.of_each_latent(model.kernel, theta.kernel):
        jitter = cases.JITTER * np.mean(kernels.diagonal(k, v, data.X))
        own = theta._replace(kernel=v)
        prior.append(models.svgp_covariances(k, own, data.X, jitter))
    values = tuple(v + data.row for v in theta.likelihood)
    moments = gaussians.natural_to_mean_sqrt(gaussians.Natural(*q))
    prior = prior if len(prior) > 1 else prior[0]
    weights = data.weights[:, None]
    bound = models.elbo(prior, moments, model.likelihood, values, data.Y, weights)
    np.testing.assert_allclose(step(iterate, q, data).value, bound, rtol=1e-10)


@pytest.mark.parametrize("name", ["classes, own kernels", "wrong side"])
@with_memory
def test_gradient_by_differences(name, memory):
    iterate, q, data = make_case(name, memory, offset=0.4)
    gradient = tf.nest.flatten(step(iterate, q, data).g_theta)
    for k, leaf in enumerate(tf.nest.flatten(iterate.theta)):

        def value(x, k=k):
            return step(moved(iterate, k, x), q, data).value

        expected = differences(value, leaf.numpy())
        np.testing.assert_allclose(gradient[k], expected, rtol=1e-5, atol=1e-6)


def test_labels_far_on_the_wrong_side_leave_a_precision():
    # There the likelihood forgives errors: more variance would help, without end.
    iterate, _, data = make_case("wrong side", M=4, N=12)
    data = data._replace(Y=tf.ones_like(data.Y))
    q = gaussians.mean_sqrt_to_natural(gaussians.MeanSqrt(np.full((4, 1), -4.0), np.eye(4)[None]))
    found = step(iterate._replace(gamma=tf.constant(1.0, tf.float64)), tuple(q), data)
    assert found.corrected == 1.0 and not Bernoulli.log_concave
    precision = np.linalg.eigvalsh(-2.0 * found.q_next[1][0])
    assert precision.min() > 0.5 - 1e-9  # half of what it had


# --- how it is computed ----------------------------------------------------------------------


@every_case
@with_memory
def test_blas_changes_nothing(name, memory):
    iterate, *given = make_case(name, memory)
    found = step(executed(iterate, algebra="blas"), *given)
    assert_same_step(found, step(iterate, *given), rtol=1e-9)


@pytest.mark.parametrize("name", ["classes, own kernels", "wrong side"])
def test_blas_changes_nothing_with_tiles_and_threads(name):
    iterate, *given = make_case(name, memory=True, M=130, N=3000)
    # 130 points need more room than the rows have, or Kuu is next to singular
    theta = iterate.theta
    theta = theta._replace(inducing_points=10.0 * theta.inducing_points)
    iterate = iterate._replace(theta=theta)
    found = step(executed(iterate, algebra="blas"), *given)
    assert_same_step(found, step(iterate, *given), rtol=1e-9)


@pytest.mark.parametrize("name", ["wrong side", "classes", "classes, own kernels"])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("algebra", ["tensors", "blas"])
def test_unwhitened_rows_change_nothing(name, chunked, algebra):
    iterate, *given = make_case(name)
    unwhitened = executed(iterate, whitened=False, chunked=chunked, algebra=algebra)
    found = step(unwhitened, *given, chunk_size=7)
    assert_same_step(found, step(iterate, *given), rtol=1e-9)


@every_case
@with_both
@pytest.mark.parametrize("chunk_size", [1, 7, 40, 100])
def test_chunks_change_nothing(name, memory, offset, chunk_size):
    iterate, *given = make_case(name, memory, offset, N=5 if chunk_size == 1 else 40)
    found = step(executed(iterate, chunked=True), *given, chunk_size=chunk_size)
    assert_same_step(found, step(iterate, *given), rtol=1e-10)


@every_case
def test_rows_may_be_spread(name):
    # what crosses from one process to another are arrays: M x M factors, and sums
    iterate, q, data = make_case(name)
    sparse = iterate.model.inference
    factors = sparse.factors_for_rows(iterate, sparse.begin(iterate, q))
    as_arrays = functools.partial(tf.nest.map_structure, lambda t: t.numpy())
    sent, parts = tf.nest.map_structure(tf.constant, as_arrays(factors)), []
    for share in (slice(0, 11), slice(11, 12), slice(12, None)):
        rows = data.each_row(lambda a, share=share: a[share])
        parts.append(as_arrays(sparse.rows(sent, DataBlock(iterate, rows))))
    total = add(*tf.nest.map_structure(tf.constant, parts))
    found = sparse.end(iterate, sparse.begin(iterate, q), total)
    assert_same_step(found, step(iterate, q, data), rtol=1e-10)


@every_case
@with_memory
@pytest.mark.parametrize("algebra", ["tensors", "blas"])
def test_float32_covariances(name, memory, algebra):
    iterate, *given = make_case(name, memory)
    found = step(executed(iterate, dtype="float32", algebra=algebra), *given)
    for leaf in tf.nest.flatten(found):
        assert leaf.dtype == tf.float64
    expected = step(iterate, *given)
    np.testing.assert_allclose(found.value, expected.value, rtol=1e-4)
    # seven digits, of which L^-1 with the condition number of Kuu, 1e3, takes three or four
    assert_same_step(found, expected, rtol=1e-3)


@pytest.mark.parametrize("name", ["one kernel", "classes, own kernels", "collapsed"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("chunked", [False, True])
def test_rows_stored_in_float32(name, dtype, chunked):
    iterate, q, data = make_case(name, dtype=dtype, chunked=chunked)
    single = data._replace(X=tf.cast(data.X, tf.float32))
    double = data._replace(X=tf.cast(single.X, tf.float64))  # the same numbers
    found = step(executed(iterate, X_dtype="float32"), q, single, chunk_size=7)
    assert_same_step(found, step(iterate, q, double, chunk_size=7), rtol=1e-13)


# --- q to begin with -------------------------------------------------------------------------


def test_q_begins_at_the_prior_or_narrower_where_that_is_wide():
    iterate, _, data = make_case("one kernel")
    model, theta = iterate.model, tf.nest.map_structure(lambda t: t.numpy(), iterate.theta)
    nat1, nat2 = model.inference.start_q(model, theta, data.weights.numpy(), None)
    np.testing.assert_array_equal(nat1, 0.0)
    np.testing.assert_allclose(nat2[0], -0.5 * np.eye(6))
    wide = theta._replace(kernel=(np.float64(1e4), theta.kernel[1]))
    _, nat2 = model.inference.start_q(model, wide, data.weights.numpy(), None)
    np.testing.assert_allclose(nat2[0], -50.0 * np.eye(6))  # variance of f 100 in place of 1e4


@pytest.mark.parametrize("name", ["targets", "classes, own kernels"])
def test_q_begins_where_the_last_fit_left_it(name):
    iterate, q, data = make_case(name)
    theta, q, data = tf.nest.map_structure(lambda t: t.numpy(), (iterate.theta, q, data))
    model, inference = iterate.model, CASES[name][0]
    last = inference.posterior(model, theta, q, data, cases.JITTER)
    for a, b in zip(inference.start_q(model, theta, data.weights, last), q, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)
    elsewhere = theta._replace(inducing_points=theta.inducing_points + 1.0)
    nat1, _ = inference.start_q(model, elsewhere, data.weights, last)
    np.testing.assert_array_equal(nat1, 0.0)


def test_singular_is_what_has_no_factor():
    iterate, _, _ = make_case("one kernel")
    sparse, value = iterate.model.inference, tf.constant(np.nan, tf.float64)
    assert not sparse.is_singular(iterate, value)
    Z = tf.repeat(iterate.theta.inducing_points, 2, axis=0)
    same = iterate._replace(theta=iterate.theta._replace(inducing_points=Z))
    assert sparse.is_singular(same._replace(jitter=-1e-9), value)
