from __future__ import annotations

import numpy as np
import pytest
import reference
import tensorflow_probability as tfp
from sklearn.gaussian_process.kernels import (
    RBF,
    CompoundKernel,
    ConstantKernel,
    DotProduct,
    Exponentiation,
    ExpSineSquared,
    Matern,
    PairwiseKernel,
    RationalQuadratic,
    WhiteKernel,
)

from skgpng import kernels
from skgpng._tensorflow import tf

ARD = [0.5, 1.0, 2.0]

KERNELS = {
    "constant": ConstantKernel(2.0),
    "rbf": RBF(0.7),
    "rbf-ard": RBF(ARD),
    **{f"matern-{nu}": Matern(0.9, nu=nu) for nu in (0.5, 1.5, 2.5, np.inf)},
    **{f"matern-{nu}-ard": Matern(ARD, nu=nu) for nu in (0.5, 1.5, 2.5, np.inf)},
    "rational-quadratic": RationalQuadratic(0.8, 1.3),
    "periodic": ExpSineSquared(1.1, 2.3),
    "dot-product": DotProduct(0.6),
    "sum": RBF(0.7) + Matern(1.2, nu=1.5),
    "product": RBF(0.7) * DotProduct(0.6),
    "scaled": 2.0 * RBF(ARD),
    "scaled from the right": RBF(0.7) * ConstantKernel(3.0),
    "constants": ConstantKernel(2.0) * ConstantKernel(3.0) + ConstantKernel(0.5),
    "power": Matern(0.9, nu=2.5) ** 1.5,
    "power of a scaled kernel": (2.0 * DotProduct(0.6)) ** 3,
    "nested": (0.5 * RBF(ARD) + DotProduct(0.3)) * ExpSineSquared(1.1, 2.3)
    + 1.5 * RationalQuadratic(0.8, 1.3) ** 2
    + ConstantKernel(0.1) * ConstantKernel(2.0) * (Matern(1.2, nu=0.5) + ConstantKernel(0.7)),
}
every_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS.keys())


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
    structure, _, values, _, _ = kernels.parse(kernel)
    K = kernels.covariance(structure, values, X).numpy()
    np.testing.assert_allclose(K, kernel(X), rtol=1e-12, atol=1e-12)
    cross = kernels.covariance(structure, values, X, Z)
    np.testing.assert_allclose(cross, kernel(X, Z), rtol=1e-12, atol=1e-12)
    diagonal = kernels.diagonal(structure, values, X)
    np.testing.assert_allclose(diagonal, kernel.diag(X), rtol=1e-12)
    np.testing.assert_allclose(np.diag(K), diagonal, rtol=1e-14)


@every_kernel
def test_values_at_coinciding_rows(kernel, X, Z):
    # r^2 = 0 comes out as 1e-16 for rows stored twice, and its root, 1e-8, shows in exp(-r).
    structure, _, values, _, _ = kernels.parse(kernel)
    X[3], X[5], Z[:2] = X[0], X[0], X[:2]
    K = kernels.covariance(structure, values, X)
    np.testing.assert_allclose(K, kernel(X), rtol=2e-7)
    np.testing.assert_allclose(kernels.covariance(structure, values, X, Z), kernel(X, Z), rtol=2e-7)


@every_kernel
def test_float32_in_float32_out(kernel, X):
    structure, _, values, _, _ = kernels.parse(kernel)
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
    structure, _, values, _, _ = kernels.parse(kernel)
    cross = kernels.covariance(structure, values, X, Z)
    np.testing.assert_allclose(cross, other.matrix(X, Z), rtol=1e-10)
    K = kernels.covariance(structure, values, X)
    # TFP keeps a distance of 1e-8 on the diagonal, which a Matern-1/2 shows
    np.testing.assert_allclose(K, other.matrix(X, X), rtol=1e-7)


def test_periodic_against_tfp(X, Z):
    # TFP sums sin^2 over the columns, scikit-learn takes it of the distance: the same for one.
    structure, _, values, _, _ = kernels.parse(ExpSineSquared(1.1, 2.3))
    other = psd.ExpSinSquared(ONE, np.float64(1.1), period=np.float64(2.3))
    cross = kernels.covariance(structure, values, X[:, :1], Z[:, :1])
    np.testing.assert_allclose(cross, other.matrix(X[:, :1], Z[:, :1]), rtol=1e-10)


# --- gradients -------------------------------------------------------------------------------


def gradients(kernel, X, Z, upstream):
    """In the values, X and Z (where it is not None) of a weighted sum of the entries."""
    structure, _, values, _, _ = kernels.parse(kernel)
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
    _, names, values, _, _ = kernels.parse(kernel)
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
    structure, names, values, _, _ = kernels.parse(kernel)
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


# --- parse and rebuild -----------------------------------------------------------------------


def test_parse_names_values_and_bounds():
    kernel = ConstantKernel(2.0, (0.1, 10.0)) * RBF(ARD, (1e-2, 1e2)) + RationalQuadratic(
        0.8, 1.3, length_scale_bounds="fixed"
    )
    parsed = kernels.parse(kernel)
    assert parsed.names == (
        "k1__k1__constant_value",
        "k1__k2__length_scale",
        "k2__length_scale",
        "k2__alpha",
    )
    expected = (2.0, ARD, 0.8, 1.3)
    for name, value, wanted in zip(parsed.names, parsed.values, expected, strict=True):
        np.testing.assert_array_equal(value, wanted)
        np.testing.assert_array_equal(kernel.get_params()[name], value)
    bounds = ([0.1, 10.0], [[1e-2, 1e2]] * 3, [0.8, 0.8], [1e-5, 1e5])
    for bound, wanted in zip(parsed.bounds, bounds, strict=True):
        np.testing.assert_array_equal(bound, wanted)
    assert parsed.structure.all_free == (True, True, False, True)
    assert parsed.structure.all_ranks == (0, 1, 0, 0)
    assert parsed.structure.n_values == 4
    assert parsed.noise_name is None


@every_kernel
def test_parse_takes_every_hyperparameter_of_sklearn(kernel):
    parsed = kernels.parse(kernel)
    described = {h.name: h for h in kernel.hyperparameters}
    assert set(parsed.names) == set(described)
    for name, value, bound in zip(parsed.names, parsed.values, parsed.bounds, strict=True):
        assert bound.shape == (*value.shape, 2)
        np.testing.assert_array_equal(bound.reshape(-1, 2), described[name].bounds)


def test_parse_bounds_of_each_length_scale():
    bounds = np.array([[0.1, 1.0], [0.2, 2.0], [0.3, 3.0]])
    parsed = kernels.parse(RBF(ARD, bounds))
    np.testing.assert_array_equal(parsed.bounds[0], bounds)


def test_parse_fixed_length_scales():
    parsed = kernels.parse(RBF(ARD, "fixed"))
    np.testing.assert_array_equal(parsed.bounds[0], np.stack([ARD, ARD], 1))
    assert parsed.structure.free == (False,)


def test_a_value_fixed_at_zero_is_allowed():
    parsed = kernels.parse(DotProduct(0.0, "fixed"))
    assert parsed.values == (0.0,)


@pytest.mark.parametrize(
    "kernel, name, rest",
    [
        (RBF(0.7) + WhiteKernel(0.1), "k2__noise_level", RBF(0.7)),
        (WhiteKernel(0.1) + RBF(0.7), "k1__noise_level", RBF(0.7)),
        (
            RBF(0.7) + WhiteKernel(0.1) + DotProduct(0.6),
            "k1__k2__noise_level",
            RBF(0.7) + DotProduct(0.6),
        ),
        (
            2.0 * RBF(0.7) + (DotProduct(0.6) + WhiteKernel(0.1)),
            "k2__k2__noise_level",
            2.0 * RBF(0.7) + DotProduct(0.6),
        ),
    ],
    ids=str,
)
def test_white_kernel_is_the_noise(kernel, name, rest, X):
    parsed = kernels.parse(kernel)
    assert parsed.noise_name == name
    assert name not in parsed.names
    assert parsed.structure == kernels.parse(rest).structure
    # names are paths in the kernel that was handed in, noise term and all
    for path, value in zip(parsed.names, parsed.values, strict=True):
        np.testing.assert_array_equal(kernel.get_params()[path], value)
    K = kernels.covariance(parsed.structure, parsed.values, X)
    np.testing.assert_allclose(K, rest(X), rtol=1e-12, atol=1e-12)


@every_kernel
def test_rebuild_round_trip(kernel):
    parsed = kernels.parse(kernel)
    again = kernels.rebuild(kernel, parsed.names, parsed.values)
    assert again is not kernel
    assert again == kernel
    assert repr(again) == repr(kernel)


def test_rebuild_sets_values_and_keeps_the_rest():
    kernel = 2.0 * RBF(ARD, (1e-2, 1e2)) + WhiteKernel(0.1, "fixed")
    before = repr(kernel)
    parsed = kernels.parse(kernel)
    names = (*parsed.names, parsed.noise_name)
    again = kernels.rebuild(kernel, names, (np.array(4.0), np.array([1.0, 2.0, 3.0]), 0.3))
    assert repr(again) == "2**2 * RBF(length_scale=[1, 2, 3]) + WhiteKernel(noise_level=0.3)"
    assert again.k1.k2.length_scale_bounds == (1e-2, 1e2)
    assert again.k2.noise_level_bounds == "fixed"
    assert type(again.k2.noise_level) is float
    assert repr(kernel) == before


@every_kernel
def test_structure_is_hashable_and_free_of_numbers(kernel):
    structure, names, values, _, _ = kernels.parse(kernel)
    other = kernels.rebuild(kernel, names, tuple(1.5 * v for v in values))
    same = kernels.parse(other).structure
    assert same == structure
    assert hash(same) == hash(structure)


@pytest.mark.parametrize(
    "one, other",
    [
        (RBF(1.0), RBF(ARD)),
        (RBF(1.0), RBF(1.0, "fixed")),
        (RBF(1.0), Matern(1.0, nu=np.inf)),
        (Matern(nu=1.5), Matern(nu=2.5)),
        (RBF() ** 2, RBF() ** 3),
        (RBF() + DotProduct(), RBF() * DotProduct()),
        (RBF() + DotProduct(), DotProduct() + RBF()),
    ],
    ids=str,
)
def test_structures_that_differ(one, other):
    assert kernels.parse(one).structure != kernels.parse(other).structure


class Unknown(RBF):
    """A subclass may have another formula: that of its parent is not taken for it."""


@pytest.mark.parametrize(
    "kernel, error, message",
    [
        ("rbf", TypeError, "scikit-learn kernel such as 1.0 \\* RBF\\(\\) or None, got 'rbf'"),
        (RBF, TypeError, "must be a scikit-learn kernel"),
        (None, TypeError, "must be a scikit-learn kernel"),
        (PairwiseKernel(), TypeError, "kernel is a PairwiseKernel, which is not supported"),
        (Unknown(), TypeError, "kernel is a Unknown, which is not supported. Supported: Constant"),
        (RBF() * CompoundKernel([RBF(), RBF()]), TypeError, "k2.*is a CompoundKernel"),
        (
            2.0 * (RBF() + PairwiseKernel()),
            TypeError,
            "kernel parameter 'k2__k2' is a PairwiseKernel",
        ),
        (Exponentiation(Unknown(), 2), TypeError, "kernel parameter 'kernel' is a Unknown"),
        (2.0 * WhiteKernel() + RBF(), ValueError, "'k1__k2' is a WhiteKernel inside a product"),
        (2.0 * (RBF() + WhiteKernel()), ValueError, "'k2__k2' is a WhiteKernel inside a product"),
        (WhiteKernel() ** 2 + RBF(), ValueError, "'k1__kernel' is a WhiteKernel inside a product"),
        (RBF() + WhiteKernel() + WhiteKernel(), ValueError, "2 WhiteKernel terms"),
        (WhiteKernel() + WhiteKernel(), ValueError, "2 WhiteKernel terms"),
        (WhiteKernel(), ValueError, "add a kernel for the signal"),
        (2.0 * RBF(-1.0), ValueError, "'k2__length_scale' must be positive and finite, got -1.0"),
        (RBF([1.0, 0.0]), ValueError, "'length_scale' must be positive and finite"),
        (RBF(np.nan), ValueError, "'length_scale' must be positive and finite"),
        (RBF(np.inf), ValueError, "'length_scale' must be positive and finite"),
        (ConstantKernel(0.0), ValueError, "'constant_value' must be positive"),
        (ConstantKernel(-1.0, "fixed"), ValueError, "'constant_value' must be positive"),
        (RBF() + Matern(nu=2.0), ValueError, "Matern\\(nu=2.0\\) is not supported: nu must be 0.5"),
    ],
    # scikit-learn cannot print a negative constant
    ids=lambda p: p.__name__ if isinstance(p, type) else type(p).__name__,
)
def test_errors_name_what_is_wrong(kernel, error, message):
    with pytest.raises(error, match=message):
        kernels.parse(kernel)


def test_register_teaches_a_class(X, Z, monkeypatch):
    monkeypatch.setattr(kernels, "_FORMULAS", dict(kernels._FORMULAS))
    kernels.register(
        Unknown,
        lambda kernel, values, X1, X2: (
            values[0] * tf.matmul(X1, X1 if X2 is None else X2, False, True)
        ),
        lambda kernel, values, X: values[0] * tf.reduce_sum(X**2, 1),
        ("length_scale",),
    )
    structure, names, values, _, _ = kernels.parse(2.0 * Unknown(3.0))
    assert names == ("k1__constant_value", "k2__length_scale")
    np.testing.assert_allclose(kernels.covariance(structure, values, X, Z), 6.0 * X @ Z.T)
    np.testing.assert_allclose(kernels.diagonal(structure, values, X), 6.0 * np.sum(X**2, 1))
