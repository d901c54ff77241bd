from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from skgpng._runtime import tf
from skgpng.quadrature import gauss_hermite, gaussian_expectation


@pytest.mark.parametrize("n_points", [1, 2, 5, 20])
def test_exact_for_polynomials(n_points):
    nodes, weights = gauss_hermite(n_points)
    assert nodes.shape == weights.shape == (n_points,)
    for degree in range(2 * n_points):
        # moments of N(0, 1): 0 for odd degrees, (degree - 1)!! for even ones
        double_factorial = np.prod(np.arange(degree - 1, 0, -2.0))
        moment = double_factorial if degree % 2 == 0 else 0.0
        size = weights @ np.abs(nodes) ** degree
        np.testing.assert_allclose(weights @ nodes**degree, moment, rtol=1e-11, atol=1e-12 * size)


def test_expectation_against_integration():
    mean, variance = np.array([[0.3, -1.0], [2.0, 0.0]]), np.array([[0.5, 1.0], [0.1, 2.0]])
    found = gaussian_expectation(tf.sin, mean, variance, 40).numpy()
    for index in np.ndindex(2, 2):
        density = norm(mean[index], np.sqrt(variance[index])).pdf
        expected, _ = quad(lambda f, p=density: np.sin(f) * p(f), -15, 15, epsabs=1e-12)
        np.testing.assert_allclose(found[index], expected, atol=1e-10)


def test_expectation_keeps_the_shape_of_one_column():
    value = gaussian_expectation(tf.square, np.zeros((5, 1)), np.full((5, 1), 2.0))
    np.testing.assert_allclose(value, np.full((5, 1), 2.0), rtol=1e-12)


def test_variance_zero_is_the_function_itself():
    mean = np.array([0.1, 0.7])
    np.testing.assert_allclose(gaussian_expectation(tf.exp, mean, np.zeros(2)), np.exp(mean))


def test_variance_not_standard_deviation():
    np.testing.assert_allclose(gaussian_expectation(tf.square, np.zeros(1), np.array([4.0])), 4.0)
