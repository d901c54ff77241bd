from __future__ import annotations

import numpy as np
import pytest
import reference
from scipy.spatial.distance import cdist

from skgpng import linalg
from skgpng._runtime import tf

SCALES = [0.7, np.array([0.5, 1.0, 2.0])]


@pytest.fixture
def rng():
    return np.random.RandomState(0)


def gradients(function, arguments, upstream):
    tensors = [tf.constant(a, tf.float64) for a in arguments]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(*tensors)
    return tape.gradient(value, tensors, upstream, unconnected_gradients="zero")


def assert_gradients(function, arguments, upstream):
    """Against central differences, whose own error is about 1e-9 of the function's size."""
    found = gradients(function, arguments, upstream)
    for k, (argument, gradient) in enumerate(zip(arguments, found, strict=True)):

        def objective(x, k=k):
            return float(np.sum(upstream * function(*arguments[:k], x, *arguments[k + 1 :])))

        expected = reference.differences(objective, argument)
        np.testing.assert_allclose(gradient, expected, rtol=1e-7, atol=1e-7, err_msg=str(k))


@pytest.mark.parametrize("diagonal", [np.array([1.0, 2.0, 3.0]), 0.3], ids=["vector", "number"])
@pytest.mark.parametrize("batch", [(), (2,)], ids=["matrix", "batch"])
def test_add_to_diagonal(rng, diagonal, batch):
    K = rng.randn(*batch, 3, 3)
    expected = K + diagonal * np.eye(3)
    np.testing.assert_allclose(linalg.add_to_diagonal(K, diagonal), expected, rtol=1e-15)


@pytest.mark.parametrize("diagonal", [np.array([1.0, 2.0, 3.0]), 0.3], ids=["vector", "number"])
def test_add_to_diagonal_gradient(rng, diagonal):
    assert_gradients(linalg.add_to_diagonal, [rng.randn(3, 3), diagonal], rng.randn(3, 3))


def test_shift_diagonal(rng):
    K, G = rng.randn(2, 3, 3), rng.randn(2, 3, 3)
    np.testing.assert_allclose(linalg.shift_diagonal(K, 0.3), K + 0.3 * np.eye(3), rtol=1e-15)
    K_bar, shift_bar = gradients(linalg.shift_diagonal, [K, 0.3], G)
    np.testing.assert_array_equal(K_bar, G)
    assert shift_bar == 0.0  # a number that is no parameter


def test_lower_triangle_half_diagonal(rng):
    X = rng.randn(2, 4, 4)
    found = linalg.lower_triangle_half_diagonal(X)
    np.testing.assert_allclose(found, np.tril(X) - 0.5 * X * np.eye(4), rtol=1e-15)


def test_phi_undoes_the_symmetric_part(rng):
    S = reference.random_covariance(rng, 4)
    half = linalg.lower_triangle_half_diagonal(S).numpy()
    np.testing.assert_allclose(half + half.T, S, rtol=1e-15)


@pytest.mark.parametrize("lower", [True, False])
def test_triangular_inverse(rng, lower):
    L = np.linalg.cholesky(reference.random_covariance(rng, 5, (3,)))
    L = L if lower else np.swapaxes(L, 1, 2)
    np.testing.assert_allclose(
        linalg.triangular_inverse(L, lower=lower), np.linalg.inv(L), atol=1e-12
    )


@pytest.mark.parametrize("size", [7, linalg._LAPACK_FROM], ids=["tensorflow", "lapack"])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
def test_inverse_and_log_determinant(rng, size, compiled):
    K = reference.random_covariance(rng, size)
    before = K.copy()
    function = linalg.inverse_and_log_determinant
    if compiled:
        specification = [tf.TensorSpec([None, None], tf.float64)]
        function = tf.function(function, input_signature=specification, autograph=False)
    inverse, log_determinant = function(K)
    np.testing.assert_allclose(inverse, np.linalg.inv(K), atol=1e-11)
    np.testing.assert_array_equal(inverse, np.transpose(inverse))
    np.testing.assert_allclose(log_determinant, np.linalg.slogdet(K)[1], rtol=1e-12)
    np.testing.assert_array_equal(K, before)  # LAPACK works in place on its copy only


@pytest.mark.parametrize("size", [7, linalg._LAPACK_FROM], ids=["tensorflow", "lapack"])
@pytest.mark.parametrize("entry", [-1.0, np.nan], ids=["indefinite", "nan"])
def test_inverse_of_a_matrix_that_is_not_positive_definite_is_nan(size, entry):
    K = np.eye(size)
    K[3, 3] = entry
    inverse, log_determinant = linalg.inverse_and_log_determinant(K)
    assert np.isnan(inverse).any()
    assert np.isnan(log_determinant)


@pytest.mark.parametrize("scale", SCALES, ids=["one", "ard"])
def test_squared_distance(rng, scale):
    X1, X2 = rng.randn(6, 3), rng.randn(4, 3)
    expected = cdist(X1 / scale, X2 / scale, "sqeuclidean")
    found = linalg.squared_distance(X1, X2, tf.constant(scale, tf.float64))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    within = linalg.squared_distance_within(X1, tf.constant(scale, tf.float64)).numpy()
    np.testing.assert_allclose(within, cdist(X1 / scale, X1 / scale, "sqeuclidean"), atol=1e-13)
    np.testing.assert_array_equal(np.diag(within), 0.0)
    assert np.all(linalg.squared_distance(X1, X1, tf.constant(scale, tf.float64)) >= 0.0)


def test_squared_distance_far_from_zero(rng):
    # |x|^2 - 2 x z + |z|^2 of rows near 1e6 alone would keep four digits; a row near 1e6 itself
    # has ten digits after the point, which is all that can be asked for.
    X1, X2 = rng.randn(6, 3), rng.randn(4, 3)
    one = tf.constant(1.0, tf.float64)
    near = linalg.squared_distance(X1, X2, one)
    np.testing.assert_allclose(linalg.squared_distance(X1 + 1e6, X2 + 1e6, one), near, rtol=1e-8)
    within = linalg.squared_distance_within(X1, one)
    far = linalg.squared_distance_within(X1 + 1e6, one)
    np.testing.assert_allclose(far, within, rtol=1e-8)


@pytest.mark.parametrize("scale", SCALES, ids=["one", "ard"])
def test_squared_distance_gradients(rng, scale):
    X1, X2 = rng.randn(5, 3), rng.randn(4, 3)
    X2[0] = X1[1]  # coinciding rows
    assert_gradients(linalg.squared_distance, [X1, X2, scale], rng.randn(5, 4))
    X1[3] = X1[0]
    assert_gradients(linalg.squared_distance_within, [X1, scale], rng.randn(5, 5))
