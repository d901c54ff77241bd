"""From kernel objects to structures and parameters, and what a structure knows of itself."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import reference
from kernels.cases import ARD, every_kernel
from sklearn.base import clone
from sklearn.gaussian_process.kernels import (
    RBF,
    CompoundKernel,
    ConstantKernel,
    DotProduct,
    ExpSineSquared,
    Kernel,
    Matern,
    RationalQuadratic,
    WhiteKernel,
)

from skgpng import GaussianProcessRegressor, kernels
from skgpng._inference import covariances
from skgpng._linalg import add_jitter
from skgpng._runtime import tf
from skgpng._training import stages
from skgpng.kernels import Columns

RNG = np.random.RandomState(0)
X3 = RNG.rand(40, 3)


@pytest.fixture
def X():
    return RNG.randn(7, 3)


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
    assert parsed.free == (True, True, False, True)
    assert list(parsed.structure.ranks) == [0, 1, 0, 0]
    assert not any(p.real for p in parsed.parameters)
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
    assert parsed.free == (False,)


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
    assert parsed.noise_name == parsed.noise.name == name
    assert parsed.noise.value == 0.1 and parsed.noise.free
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
    parsed = kernels.parse(kernel)
    other = kernels.rebuild(kernel, parsed.names, tuple(1.5 * v for v in parsed.values))
    held = clone(kernel).set_params(**{f"{name}_bounds": "fixed" for name in parsed.names})
    for same in map(kernels.parse, (other, held, pickle.loads(pickle.dumps(kernel)))):
        assert same.structure == parsed.structure
        assert hash(same.structure) == hash(parsed.structure)
    assert not any(kernels.parse(held).free)


def test_what_is_fixed_compiles_nothing_anew():
    y = np.sin(6 * X3[:, 0])
    settings = dict(n_inducing=6, max_iter=3, random_state=0)
    free = GaussianProcessRegressor(2.0 * RBF(0.5), **settings).fit(X3, y)
    free.predict(X3)
    before = stages.n_compiled(), covariances._compiled.n_compiled()
    held = GaussianProcessRegressor(2.0 * RBF(0.5, "fixed"), **settings).fit(X3, y)
    held.predict(X3)
    assert (stages.n_compiled(), covariances._compiled.n_compiled()) == before
    assert held.kernel_.k2.length_scale == 0.5 != free.kernel_.k2.length_scale
    assert held.kernel_.k1.constant_value != 2.0


@pytest.mark.parametrize(
    "one, other",
    [
        (RBF(1.0), RBF(ARD)),
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


@pytest.mark.parametrize(
    "kernel, error, message",
    [
        ("rbf", TypeError, "scikit-learn kernel such as 1.0 \\* RBF\\(\\) or None, got 'rbf'"),
        (RBF, TypeError, "must be a scikit-learn kernel"),
        (None, TypeError, "must be a scikit-learn kernel"),
        (RBF() * CompoundKernel([RBF(), RBF()]), TypeError, "k2.*is a CompoundKernel"),
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
        (
            RBF() + Matern(nu=-2.0),
            ValueError,
            "'k2': Matern\\(nu=-2.0\\) .*: nu must be positive",
        ),
    ],
    # scikit-learn cannot print a negative constant
    ids=lambda p: p.__name__ if isinstance(p, type) else type(p).__name__,
)
def test_errors_name_what_is_wrong(kernel, error, message):
    with pytest.raises(error, match=message):
        kernels.parse(kernel)


# --- where a kernel stands to its rows -----------------------------------------------------------


@pytest.mark.parametrize(
    "kernel, centred",
    [
        (RBF(), None),
        (2.0 * RBF([1.0, 2.0, 3.0]) + ConstantKernel(3.0), None),
        (DotProduct() * RBF(), None),  # its wiggles are as large as its variance
        (CompoundKernel([RBF(), RBF()]), None),
        (DotProduct(2.0), lambda r2: r2),
        (3.0 * DotProduct(2.0) + ConstantKernel(5.0) + RBF(), lambda r2: 3 * r2 + 1),
        ((DotProduct(2.0) + ConstantKernel(5.0)) ** 2, lambda r2: r2**2),
        (DotProduct(2.0) * DotProduct(), lambda r2: r2**2),
        (DotProduct(2.0) * (ConstantKernel(2.0) + ConstantKernel(3.0)), lambda r2: 5 * r2),
    ],
    ids=lambda v: str(v) if isinstance(v, Kernel) else None,
)
def test_unit_of_jitter(kernel, centred):
    parsed = kernels.parse(kernel)
    structure, values = parsed.structure, parsed.values
    Z = 1000.0 + X3
    found = kernels.jitter_unit(structure, values, tf.constant(Z))
    if centred is None:
        assert found is None
        return
    r2 = np.sum((X3 - X3.mean(0)) ** 2, 1)
    rounding = 1e6 * np.finfo(float).eps * np.trace(kernel(Z))
    np.testing.assert_allclose(found, np.mean(centred(r2)) + rounding, rtol=1e-6)


@pytest.mark.parametrize("kernel", [DotProduct(2.0), 3.0 * DotProduct(2.0) ** 2 + RBF()], ids=str)
def test_gradient_of_the_jitter(kernel):
    parsed = kernels.parse(kernel)
    structure, values = parsed.structure, parsed.values
    G = RNG.randn(5, 5)
    tensors = tf.nest.map_structure(tf.constant, (values, 3.0 + X3[:5]))

    def total(values, Z):
        K = kernels.covariance(structure, values, Z)
        unit = kernels.jitter_unit(structure, values, Z)
        return tf.reduce_sum(G * add_jitter(K, 0.1, unit))

    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = total(*tensors)
    found = tape.gradient(value, tensors, unconnected_gradients="zero")
    for k, v in enumerate(values):

        def in_value(x, k=k):
            return float(total((*values[:k], tf.constant(x), *values[k + 1 :]), tensors[1]))

        np.testing.assert_allclose(found[0][k], reference.differences(in_value, v), rtol=1e-5)
    expected = reference.differences(lambda Z: float(total(values, tf.constant(Z))), 3.0 + X3[:5])
    np.testing.assert_allclose(found[1], expected, rtol=1e-5, atol=1e-5)


def test_stationary_kernels_are_known():
    def stationary(kernel):
        return kernels.is_stationary(kernels.parse(kernel).structure)

    assert stationary(2.0 * RBF() + Matern() * ExpSineSquared() ** 2)
    assert stationary(CompoundKernel([RBF(), Matern()]))
    assert stationary(Columns(RBF() + Matern(), [0]))
    assert not stationary(RBF() * Columns(DotProduct(), [0]))
    assert not stationary(RBF() * (Matern() + DotProduct()))
    assert not stationary(CompoundKernel([RBF(), DotProduct()]))
