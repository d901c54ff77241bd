"""Formulas against scikit-learn's and TFP's kernels: values, and gradients in all they take."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import tensorflow_probability as tfp
from kernels.cases import ARD, every_kernel
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    ExpSineSquared,
    Matern,
    RationalQuadratic,
)

from skgpng import kernels
from skgpng._runtime import tf


@pytest.fixture
def rng():
    return np.random.RandomState(2)


@pytest.fixture
def X(rng):
    return rng.randn(7, 3)


@pytest.fixture
def Z(rng):
    return np.random.RandomState(3).randn(5, 3)


# --- values ----------------------------------------------------------------------------------


@every_kernel
def test_values_against_sklearn(kernel, X, Z):
    parsed = kernels.parse(kernel)
    structure, values = parsed.structure, parsed.values
    K = kernels.covariance(structure, values, X).numpy()
    np.testing.assert_allclose(K, kernel(X), rtol=1e-12, atol=1e-12)
    cross = kernels.covariance(structure, values, X, Z)
    np.testing.assert_allclose(cross, kernel(X, Z), rtol=1e-12, atol=1e-12)
    diagonal = kernels.diagonal(structure, values, X)
    np.testing.assert_allclose(diagonal, kernel.diag(X), rtol=1e-12)
    np.testing.assert_allclose(np.diag(K), diagonal, rtol=1e-14)


@every_kernel
def test_gradients_against_sklearn(kernel, rng, X):
    """The sum over all entries, weighted, in the logarithm of each value."""
    parsed = kernels.parse(kernel)
    upstream = rng.randn(len(X), len(X))
    _, slopes = kernel(X, eval_gradient=True)
    expected = np.einsum("ij,ijk->k", upstream, slopes)
    at, of_each = 0, {}
    for h in kernel.hyperparameters:
        of_each[h.name], at = expected[at : at + h.n_elements], at + h.n_elements
    found = gradients(kernel, X, None, upstream)[0]
    for name, value, gradient in zip(parsed.names, parsed.values, found, strict=True):
        # scikit-learn differentiates some powers and periods by differences
        np.testing.assert_allclose(np.ravel(gradient * value), of_each[name], rtol=1e-6, atol=1e-6)


@every_kernel
def test_values_at_coinciding_rows(kernel, X, Z):
    # r^2 = 0 comes out as 1e-16 for rows stored twice, and its root, 1e-8, shows in exp(-r).
    parsed = kernels.parse(kernel)
    structure, values = parsed.structure, parsed.values
    X[3], X[5], Z[:2] = X[0], X[0], X[:2]
    K = kernels.covariance(structure, values, X)
    np.testing.assert_allclose(K, kernel(X), rtol=2e-7)
    np.testing.assert_allclose(kernels.covariance(structure, values, X, Z), kernel(X, Z), rtol=2e-7)


@every_kernel
def test_float32_in_float32_out(kernel, X):
    parsed = kernels.parse(kernel)
    structure, values = parsed.structure, parsed.values
    values = tuple(np.asarray(v, np.float32) for v in values)
    K = kernels.covariance(structure, values, X.astype(np.float32))
    assert K.dtype == tf.float32
    assert kernels.diagonal(structure, values, X.astype(np.float32)).dtype == tf.float32
    # single precision: seven digits, fewer after cancellation in the distances
    np.testing.assert_allclose(K, kernel(X), rtol=2e-3, atol=2e-3)


psd = tfp.math.psd_kernels


def ard(kernel):
    return psd.FeatureScaled(kernel, scale_diag=np.array(ARD))


ONE = np.float64(1.0)
TFP = [
    (ConstantKernel(2.0), psd.Constant(np.float64(2.0))),
    (2.0 * RBF(0.7), psd.ExponentiatedQuadratic(np.sqrt(2.0), np.float64(0.7))),
    (RBF(ARD), ard(psd.ExponentiatedQuadratic(ONE, ONE))),
    (Matern(0.9, nu=0.5), psd.MaternOneHalf(ONE, np.float64(0.9))),
    (Matern(0.9, nu=1.5), psd.MaternThreeHalves(ONE, np.float64(0.9))),
    (Matern(0.9, nu=2.5), psd.MaternFiveHalves(ONE, np.float64(0.9))),
    (Matern(ARD, nu=0.5), ard(psd.MaternOneHalf(ONE, ONE))),
    (Matern(ARD, nu=1.5), ard(psd.MaternThreeHalves(ONE, ONE))),
    (Matern(ARD, nu=2.5), ard(psd.MaternFiveHalves(ONE, ONE))),
    (
        RationalQuadratic(0.8, 1.3),
        psd.RationalQuadratic(ONE, np.float64(0.8), scale_mixture_rate=np.float64(1.3)),
    ),
    (DotProduct(0.6), psd.Linear(bias_amplitude=np.float64(0.6))),
    (
        2.0 * RBF(0.7) + DotProduct(0.6),
        psd.ExponentiatedQuadratic(np.sqrt(2.0), np.float64(0.7))
        + psd.Linear(bias_amplitude=np.float64(0.6)),
    ),
]


@pytest.mark.parametrize("kernel, other", TFP, ids=lambda k: str(k)[:30])
def test_values_against_tfp(kernel, other, X, Z):
    parsed = kernels.parse(kernel)
    structure, values = parsed.structure, parsed.values
    cross = kernels.covariance(structure, values, X, Z)
    np.testing.assert_allclose(cross, other.matrix(X, Z), rtol=1e-10)
    K = kernels.covariance(structure, values, X)
    # TFP keeps a distance of 1e-8 on the diagonal, which a Matern-1/2 shows
    np.testing.assert_allclose(K, other.matrix(X, X), rtol=1e-7)


def test_periodic_against_tfp(X, Z):
    # TFP sums sin^2 over the columns, scikit-learn takes it of the distance: the same for one.
    parsed = kernels.parse(ExpSineSquared(1.1, 2.3))
    structure, values = parsed.structure, parsed.values
    other = psd.ExpSinSquared(ONE, np.float64(1.1), period=np.float64(2.3))
    cross = kernels.covariance(structure, values, X[:, :1], Z[:, :1])
    np.testing.assert_allclose(cross, other.matrix(X[:, :1], Z[:, :1]), rtol=1e-10)


# --- gradients -------------------------------------------------------------------------------


def gradients(kernel, X, Z, upstream):
    """In the values, X and Z (where it is not None) of a weighted sum of the entries."""
    parsed = kernels.parse(kernel)
    structure, values = parsed.structure, parsed.values
    tensors = tf.nest.map_structure(tf.constant, (values, X) if Z is None else (values, X, Z))
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        K = kernels.covariance(structure, tensors[0], *tensors[1:])
    return tape.gradient(K, tensors, upstream, unconnected_gradients="zero")


# At coinciding rows Matern-1/2 has a kink (where the difference is zero by symmetry, and so is
# our gradient) or, next to rounding, the slope 1e8 times a distance of 1e-16: 1e-8 is left.
def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=3e-7)


@every_kernel
@pytest.mark.parametrize("which", ["within", "across"])
@pytest.mark.parametrize("coinciding", [False, True], ids=["distinct", "coinciding"])
def test_gradients_against_differences_of_sklearn(kernel, which, coinciding, rng, X, Z):
    if coinciding:
        X[3], Z[:2] = X[0], X[:2]
    Z = None if which == "within" else Z
    upstream = rng.randn(len(X), len(X if Z is None else Z))
    found = gradients(kernel, X, Z, upstream)
    parsed = kernels.parse(kernel)
    names, values = parsed.names, parsed.values
    for name, value, gradient in zip(names, values, found[0], strict=True):

        def in_value(v, name=name):
            plain = float(v) if np.ndim(v) == 0 else v
            return np.sum(upstream * reference.with_values(kernel, [name], [plain])(X, Z))

        assert_close(gradient, reference.differences(in_value, value))
    assert_close(found[1], reference.differences(lambda x: np.sum(upstream * kernel(x, Z)), X))
    if Z is not None:
        assert_close(found[2], reference.differences(lambda z: np.sum(upstream * kernel(X, z)), Z))


@every_kernel
def test_gradients_of_the_diagonal(kernel, rng, X):
    parsed = kernels.parse(kernel)
    structure, names, values = parsed.structure, parsed.names, parsed.values
    upstream = rng.randn(len(X))
    tensors = tf.nest.map_structure(tf.constant, (values, X))
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        diagonal = kernels.diagonal(structure, *tensors)
    found = tape.gradient(diagonal, tensors, upstream, unconnected_gradients="zero")
    for name, value, gradient in zip(names, values, found[0], strict=True):

        def in_value(v, name=name):
            plain = float(v) if np.ndim(v) == 0 else v
            return np.sum(upstream * reference.with_values(kernel, [name], [plain]).diag(X))

        assert_close(gradient, reference.differences(in_value, value))
    assert_close(found[1], reference.differences(lambda x: np.sum(upstream * kernel.diag(x)), X))
