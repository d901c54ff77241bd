from __future__ import annotations

import numpy as np
import pytest
from inference import cases
from inference.cases import assert_same_step, executed, make_case, moved, names_of, step
from reference import differences, sgpr_bound

from skgpng import models
from skgpng._inference import Collapsed
from skgpng._runtime import tf

every_case = pytest.mark.parametrize("name", names_of(Collapsed))
with_memory = pytest.mark.parametrize("memory", [False, True], ids=["rows", "rows and memory"])
# both at once, or neither
with_both = pytest.mark.parametrize(
    ("memory", "offset"), [(False, None), (True, -0.7)], ids=["rows", "memory and mean"]
)
with_mean = pytest.mark.parametrize("offset", [None, -0.7], ids=["no mean", "mean"])


def naive_bound(iterate, data):
    """Titsias 2009, eq. 9, for rows and memory, with TensorFlow's own gradients."""
    noises, parts = [], []
    correction, w = 0.0, data.weights
    for _, values, Y, scale, mean, ((Kuf, Kff_diag), *_) in cases.blocks(iterate, data):
        variance = tf.broadcast_to(values[0], tf.shape(scale))[:, 0]
        noises.append(variance / scale[:, 0])
        parts.append((Kuf, Kff_diag, Y - mean))
    # a row of weight w is w rows: N(y|f,s)^w = c N(y|f,s/w)
    own, P = noises[0] * w, float(data.Y.shape[1])
    each = tf.math.log(2 * np.pi * noises[0]) - w * tf.math.log(2 * np.pi * own)
    correction = 0.5 * P * tf.reduce_sum(each)
    Kuf, Kff_diag, Y = (tf.concat([p[i] for p in parts], a) for i, a in ((0, 1), (1, 0), (2, 0)))
    noise, (root,) = tf.concat(noises, 0), cases.roots_of_prior(iterate)
    A = tf.linalg.triangular_solve(root, Kuf)
    Q = tf.matmul(A, A, transpose_a=True)
    Ky_root = tf.linalg.cholesky(Q + tf.linalg.diag(noise))
    inner = tf.linalg.triangular_solve(Ky_root, Y)
    log_root = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(Ky_root)))
    N = float(Y.shape[0])
    value = -0.5 * tf.reduce_sum(inner**2) - P * (log_root + 0.5 * N * np.log(2 * np.pi))
    trace = tf.reduce_sum((Kff_diag - tf.linalg.diag_part(Q)) / noise)
    return value - 0.5 * P * trace + correction, (A, Y, noise)


@every_case
@with_memory
@with_mean
def test_the_step_is_the_derivative_of_the_collapsed_bound(name, memory, offset):
    iterate, q, data = make_case(name, memory, offset)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(iterate.theta)
        bound, (A, Y, noise) = naive_bound(iterate, data)
    gradient = tape.gradient(bound, iterate.theta)
    A = A.numpy()
    best = A / noise @ Y, -0.5 * (np.eye(len(A)) + A / noise @ A.T)[None]
    found = step(iterate, q, data)
    assert_same_step(found, (bound, gradient, best, best, 0.0), rtol=1e-7)
    # whatever q it starts from
    other = step(iterate, tuple(map(tf.zeros_like, q)), data)
    assert_same_step(other, found, rtol=1e-14)


@every_case
def test_the_value_is_the_bound_by_dense_algebra(name):
    iterate, q, data = make_case(name)
    data = data._replace(weights=tf.ones_like(data.weights))
    kernel, Z, X = cases.KERNEL, iterate.theta.inducing_points.numpy(), data.X.numpy()
    Kuu = kernel(Z) + 1.5 * cases.JITTER * np.eye(len(Z))
    noise = 0.3 + data.row.numpy()[:, 0]
    expected = sgpr_bound(Kuu, kernel(Z, X), kernel.diag(X), data.Y.numpy(), noise)
    np.testing.assert_allclose(step(iterate, q, data).value, expected, rtol=1e-9)


def test_best_q_is_that_of_the_study():
    iterate, q, data = make_case("collapsed, targets")
    prior = models.svgp_covariances(iterate.model.kernel, iterate.theta, data.X, 1.5 * cases.JITTER)
    noise = (iterate.theta.likelihood[0] + data.row[:, 0]) / data.weights
    nat1, nat2 = models.conjugate_q(prior, data.Y, noise)
    found = step(iterate, q, data).q_next
    np.testing.assert_allclose(found[0], nat1, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(nat2, np.broadcast_to(found[1], nat2.shape), atol=1e-8)


@with_memory
def test_gradient_by_differences(memory):
    iterate, q, data = make_case("collapsed, targets", memory, offset=0.4)
    gradient = tf.nest.flatten(step(iterate, q, data).g_theta)
    for k, leaf in enumerate(tf.nest.flatten(iterate.theta)):

        def value(x, k=k):
            return step(moved(iterate, k, x), q, data).value

        expected = differences(value, leaf.numpy())
        np.testing.assert_allclose(gradient[k], expected, rtol=1e-5, atol=1e-6)


@every_case
@with_both
@pytest.mark.parametrize("chunk_size", [1, 7, 40, 100])
@pytest.mark.parametrize("algebra", ["tensors", "blas"])
def test_chunks_and_algebra_change_nothing(name, memory, offset, chunk_size, algebra):
    iterate, *given = make_case(name, memory, offset, N=5 if chunk_size == 1 else 40)
    found = step(executed(iterate, chunked=True, algebra=algebra), *given, chunk_size=chunk_size)
    assert_same_step(found, step(iterate, *given), rtol=1e-9)


def test_blas_changes_nothing_with_tiles_and_threads():
    iterate, *given = make_case("collapsed, targets", memory=True, M=130, N=3000)
    # 130 points need more room than the rows have, or Kuu is next to singular
    theta = iterate.theta
    theta = theta._replace(inducing_points=10.0 * theta.inducing_points)
    iterate = iterate._replace(theta=theta)
    found = step(executed(iterate, algebra="blas"), *given)
    assert_same_step(found, step(iterate, *given), rtol=1e-9)


@every_case
@with_memory
@pytest.mark.parametrize("algebra", ["tensors", "blas"])
def test_float32_covariances(name, memory, algebra):
    iterate, *given = make_case(name, memory)
    found = step(executed(iterate, dtype="float32", algebra=algebra), *given)
    assert all(leaf.dtype == tf.float64 for leaf in tf.nest.flatten(found))
    expected = step(iterate, *given)
    np.testing.assert_allclose(found.value, expected.value, rtol=1e-4)
    assert_same_step(found, expected, rtol=1e-3)
