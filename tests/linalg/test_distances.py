"""squared_distance: against SciPy, far from zero, its gradient, and exact differences."""

from __future__ import annotations

import numpy as np
import pytest
from derivatives import assert_gradients
from scipy.spatial.distance import cdist

from skgpng._linalg import (
    Arrays,
    exact_distances,
    squared_distance,
    squared_distance_within,
)
from skgpng._runtime import tf

SCALES = [0.7, np.array([0.5, 1.0, 2.0])]


@pytest.fixture
def rng():
    return np.random.RandomState(0)


@pytest.mark.parametrize("scale", SCALES, ids=["one", "ard"])
def test_squared_distance(rng, scale):
    X1, X2 = rng.randn(6, 3), rng.randn(4, 3)
    expected = cdist(X1 / scale, X2 / scale, "sqeuclidean")
    found = squared_distance(X1, X2, tf.constant(scale, tf.float64))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    within = squared_distance_within(X1, tf.constant(scale, tf.float64)).numpy()
    np.testing.assert_allclose(within, cdist(X1 / scale, X1 / scale, "sqeuclidean"), atol=1e-13)
    np.testing.assert_array_equal(np.diag(within), 0.0)
    assert np.all(squared_distance(X1, X1, tf.constant(scale, tf.float64)) >= 0.0)


def test_squared_distance_far_from_zero(rng):
    # |x|^2 - 2 x z + |z|^2 of rows near 1e6 alone would keep four digits; a row near 1e6 itself
    # has ten digits after the point, which is all that can be asked for.
    X1, X2 = rng.randn(6, 3), rng.randn(4, 3)
    one = tf.constant(1.0, tf.float64)
    near = squared_distance(X1, X2, one)
    np.testing.assert_allclose(squared_distance(X1 + 1e6, X2 + 1e6, one), near, rtol=1e-8)
    within = squared_distance_within(X1, one)
    far = squared_distance_within(X1 + 1e6, one)
    np.testing.assert_allclose(far, within, rtol=1e-8)


@pytest.mark.parametrize("scale", SCALES, ids=["one", "ard"])
def test_squared_distance_gradients(rng, scale):
    X1, X2 = rng.randn(5, 3), rng.randn(4, 3)
    X2[0] = X1[1]  # coinciding rows
    assert_gradients(squared_distance, [X1, X2, scale], rng.randn(5, 4))
    X1[3] = X1[0]
    assert_gradients(squared_distance_within, [X1, scale], rng.randn(5, 5))


@pytest.mark.parametrize("D", [3, 40])
def test_exact_distances_of_near_rows_keep_their_digits(rng, D):
    X = rng.randn(5, D)
    near = X + 1e-9 * rng.randn(5, D)
    one, expected = tf.constant(1.0, tf.float64), cdist(X, near, "sqeuclidean")
    rounded = squared_distance(X, near, one)
    with exact_distances():
        found = squared_distance(X, near, one)
        if D == 3:
            G = rng.randn(5, 5)
            assert_gradients(squared_distance, [X, near, 1.0], G, rtol=1e-5, atol=1e-5)
    # rows are near to 1e-9 of their size, which leaves six or seven digits of the difference
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.any(np.abs(np.diag(rounded) - np.diag(expected)) > 1e-2 * np.diag(expected))
    np.testing.assert_array_equal(squared_distance(X, near, one), rounded)  # only inside


@pytest.mark.parametrize("D", [3, 40])
def test_squared_distance_of_arrays(rng, D):
    A, B = rng.randn(6, D), rng.randn(4, D)
    B[0] = A[1]
    found = Arrays.squared_distance(A, B)
    np.testing.assert_allclose(found, cdist(A, B, "sqeuclidean"), rtol=1e-12)
    assert found[1, 0] == 0.0
