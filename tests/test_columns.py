"""Kernels and the columns of X: those they fit, those they select, and where these lie."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import reference
import tensorflow as tf
from sklearn.gaussian_process.kernels import (
    RBF,
    CompoundKernel,
    ConstantKernel,
    DotProduct,
    Exponentiation,
    ExpSineSquared,
    Kernel,
    Matern,
    WhiteKernel,
)

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor, kernels, linalg
from skgpng.inducing import is_far_from_zero

RNG = np.random.RandomState(0)
X3 = RNG.rand(40, 3)
Y3 = np.sin(6 * X3[:, 0]) + X3[:, 2]


# --- ExpSineSquared ------------------------------------------------------------------------------

# where it stands, and the name it is to be called by
TREES = {
    "kernel": lambda k: k,
    "kernel parameter 'k1'": lambda k: k + WhiteKernel(),
    "kernel parameter 'k2'": lambda k: RBF() * k,
    "kernel parameter 'k1__k2'": lambda k: ConstantKernel() * k + RBF(),
    "kernel parameter 'k2__k2'": lambda k: WhiteKernel() + (RBF() + k),
    "kernel parameter 'k1__kernel'": lambda k: k**2 + DotProduct(),
}


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("n_columns", [2, 3])
def test_a_periodic_kernel_of_several_columns_is_refused(name, n_columns):
    X, kernel = X3[:, :n_columns], TREES[name](ExpSineSquared())
    match = f"{name}: an ExpSineSquared .* one column .*sin\\(2 pi x / p\\)"
    model = GaussianProcessRegressor(kernel)
    for attempt in (model.fit, lambda X, y: model.predict(X), lambda X, y: model.sample_y(X)):
        with pytest.raises(ValueError, match=match):
            attempt(X, Y3)
    assert not hasattr(model, "kernel_")
    if "White" not in str(kernel):
        with pytest.raises(ValueError, match=match):
            GaussianProcessClassifier(kernel).fit(X, Y3 > 0.5)
        classes = np.digitize(Y3, [0.3, 0.9])
        each = CompoundKernel([RBF(), kernel, RBF()])
        with pytest.raises(ValueError, match="parameter '1.*an ExpSineSquared"):
            GaussianProcessClassifier(each).fit(X, classes)


@pytest.mark.parametrize("name", TREES)
def test_a_periodic_kernel_of_one_column_is_welcome(name):
    model = GaussianProcessRegressor(TREES[name](ExpSineSquared()), max_iter=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isfinite(model.fit(X3[:, :1], Y3).elbo_)


# --- kernels that select columns -----------------------------------------------------------------


class Columns(Exponentiation):
    """A kernel of some columns; the base class is what scikit-learn has for one operand."""

    def __init__(self, kernel, columns, exponent=1.0):
        super().__init__(kernel, exponent)
        self.columns = columns

    def get_params(self, deep=True):
        return {**super().get_params(deep), "columns": self.columns}

    def __call__(self, X, Y=None, eval_gradient=False):
        return self.kernel(X[:, self.columns], None if Y is None else Y[:, self.columns])

    def diag(self, X):
        return self.kernel.diag(X[:, self.columns])

    def __repr__(self):
        return f"{self.kernel!r} of {self.columns}"


def select(kernel, X):
    return None if X is None else tf.gather(X, kernel.static, axis=1)


def register_columns(**options):
    kernels.register(
        Columns,
        lambda k, v, X1, X2: kernels.covariance(k.children[0], v, select(k, X1), select(k, X2)),
        lambda k, v, X: kernels.diagonal(k.children[0], v, select(k, X)),
        operands=("kernel",),
        static=lambda kernel: tuple(kernel.columns),
        **{"stationary": True, "columns": lambda kernel: list(kernel.columns), **options},
    )


@pytest.fixture
def selecting(monkeypatch):
    monkeypatch.setattr(kernels, "_FORMULAS", dict(kernels._FORMULAS))
    register_columns()


@pytest.mark.parametrize("n_inducing", [None, 15])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_kernel_that_selects_columns_is_that_of_these_columns(selecting, n_inducing, dtype):
    settings = dict(n_inducing=n_inducing, optimizer=None, train_inducing=False, dtype=dtype)
    settings |= dict(inducing_init="random", random_state=0)
    inner, both = 2.0 * RBF([0.5, 1.0]), [0, 2]
    found = GaussianProcessRegressor(Columns(inner, both) + WhiteKernel(0.1), **settings)
    expected = GaussianProcessRegressor(inner + WhiteKernel(0.1), **settings)
    found.fit(X3, Y3), expected.fit(X3[:, both], Y3)
    close = dict(rtol=1e-8) if dtype == "float64" else dict(rtol=1e-3)
    if n_inducing is None:  # else rows come in another order, and other points are drawn
        np.testing.assert_allclose(found.elbo_, expected.elbo_, rtol=1e-9)
        np.testing.assert_allclose(found.predict(X3), expected.predict(X3[:, both]), **close)
    assert found.score(X3, Y3) > 0.8
    relevances = expected.feature_relevances_
    np.testing.assert_allclose(found.feature_relevances_[both], relevances, rtol=1e-12)
    assert found.feature_relevances_[1] == 0.0


@pytest.mark.filterwarnings("ignore:Training stopped")
@pytest.mark.parametrize("cls", [GaussianProcessRegressor, GaussianProcessClassifier])
@pytest.mark.parametrize("n_inducing", [None, 10])
def test_it_learns_goes_on_and_is_pickled(selecting, cls, n_inducing):
    y = Y3 if cls is GaussianProcessRegressor else Y3 > 0.5
    kernel = Columns(ExpSineSquared(), [1]) * Columns(Matern([1.0, 1.0]), (0, 2))
    model = cls(kernel, n_inducing=n_inducing, max_iter=30, warm_start=True, random_state=0)
    first = model.fit(X3, y).elbo_
    assert model.kernel_.k2.kernel.length_scale.shape == (2,)
    assert model.fit(X3, y).elbo_ > first - 1.0
    # column 1: its periodic kernel has a length scale in units of the period
    assert model.feature_relevances_.shape == (3,)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X3), model.predict(X3))


@pytest.mark.parametrize(
    "kernel, match",
    [
        (RBF() * Columns(RBF([1.0] * 3), [0, 2]), "'k2', a Columns .*kernel__length_scale.*3"),
        (Columns(RBF([1.0] * 2), [1]), "kernel, a Columns with .*X with 3 features: 2 length"),
        (Columns(RBF() + RBF([1.0] * 2), [0, 1, 2]), "kernel, a Columns .*3 features"),
        (Columns(ExpSineSquared(), [0, 1]) + RBF(), "'k1', a Columns .*one column only"),
        (Columns(RBF(), [7]), "a Columns .*3 features"),
        (RBF([1.0] * 2) + Columns(RBF(), [1]), "'k1__length_scale' has 2 values, but X has 3"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_named_before_training(selecting, kernel, match):
    for model in GaussianProcessRegressor(kernel), GaussianProcessClassifier(kernel):
        with pytest.raises(ValueError, match=match):
            model.fit(X3, Y3 > 0.5)
    with pytest.raises(ValueError, match=match):
        GaussianProcessRegressor(kernel).predict(X3)


@pytest.mark.parametrize("length_scale", [1e-3, 100.0])
def test_a_kernel_that_selects_columns_is_found_from_far(selecting, length_scale):
    """One start has a length scale for each column of X, of which there are three here."""
    kernel = Columns(1.0 * RBF([length_scale] * 2), [0, 2]) + RBF([length_scale] * 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the other term has nothing left to explain
        assert GaussianProcessRegressor(kernel).fit(X3, Y3).score(X3, Y3) > 0.8


class Wrong(RBF):
    pass


@pytest.mark.parametrize("cut", [0, 1])
def test_a_formula_that_gives_another_shape_is_named(monkeypatch, cut):
    monkeypatch.setattr(kernels, "_FORMULAS", dict(kernels._FORMULAS))
    plain = kernels._FORMULAS[RBF]
    kernels.register(
        Wrong,
        lambda *a: plain.covariance(*a)[:, : 2 if cut else None],
        lambda *a: plain.diagonal(*a)[:, None] if not cut else plain.diagonal(*a),
        ("length_scale",),
    )
    with pytest.raises(ValueError, match=r"a Wrong .* gives an array of shape \(3, [12]\)"):
        GaussianProcessRegressor(Wrong()).fit(X3, Y3)


def test_relevances_of_columns_that_are_not_declared_are_refused(monkeypatch):
    monkeypatch.setattr(kernels, "_FORMULAS", dict(kernels._FORMULAS))
    register_columns(columns=None)
    model = GaussianProcessRegressor(Columns(RBF([1.0, 1.0]), [0, 2]), optimizer=None).fit(X3, Y3)
    with pytest.raises(AttributeError, match=r"2 length scales for 3 columns.*columns=\.\.\."):
        _ = model.feature_relevances_


# --- far from zero: stationary kernels ------------------------------------------------------------

TIMES = np.linspace(0.0, 86400.0, 200)
WAVE = np.sin(TIMES / 3000.0)


@pytest.mark.parametrize("origin", [0.0, 2000.0 * 86400, 1.7e9, -1e10])
@pytest.mark.parametrize("stored", ["float64", "float32"])
@pytest.mark.parametrize("batch_size", ["auto", 100])
def test_float32_far_from_zero(origin, stored, batch_size):
    X = (origin + TIMES)[:, None].astype(stored)
    rounded = np.spacing(np.abs(X).max()) / 3000.0 if stored == "float32" else 0.0
    if rounded > 0.1:
        pytest.skip("the digits are gone before fit")
    settings = dict(n_inducing=30, batch_size=batch_size, random_state=0, max_iter=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for dtype in ("float32", "float64"):
            model = GaussianProcessRegressor(dtype=dtype, **settings).fit(X, WAVE)
            assert model.score(X, WAVE) > 0.999 - rounded**2
            # with the default rate the ELBO swings by 100 nats here, wherever X lies
            labels = GaussianProcessClassifier(dtype=dtype, learning_rate=0.03, **settings)
            assert labels.fit(X, WAVE > 0).score(X, WAVE > 0) > 0.95


# --- far from zero: linear kernels ---------------------------------------------------------------


def line(origin):
    rng = np.random.RandomState(0)
    X = origin + 20 * rng.rand(300, 1)
    return X, 2 * (X[:, 0] - origin - 10) + 0.3 * rng.randn(300)


@pytest.mark.filterwarnings("ignore:Training stopped")
@pytest.mark.parametrize("n_inducing", [None, 30])
@pytest.mark.parametrize(
    "origin, sigma_0", [(0, 1), (2000, 1), (2000, 2e3), (1e5, 1e5), (1e6, 1e6)]
)
def test_linear_kernels_far_from_zero(origin, sigma_0, n_inducing):
    X, y = line(origin)
    kernel = DotProduct(sigma_0, (1e-5, 1e7))
    dtypes = ["float64"] if n_inducing is None else ["float64", "float32"]
    for dtype in dtypes:
        settings = dict(n_inducing=n_inducing, dtype=dtype, random_state=0)
        # with all rows, L-BFGS may stop early from a start so far off: 0.993 to 0.998
        model = GaussianProcessRegressor(kernel + WhiteKernel(), **settings).fit(X, y)
        assert model.score(X, y) > (0.999 if n_inducing else 0.98)
        mean, std = model.predict(X, return_std=True)
        assert np.mean(np.abs(y - mean) < 2 * std) > 0.8
        labels = GaussianProcessClassifier(kernel, **settings).fit(X, y > 0)
        assert labels.score(X, y > 0) > 0.98


def test_a_kernel_of_products_far_from_zero():
    X, y = line(2000.0)
    kernel = ConstantKernel(0.1) * DotProduct(1e3) + RBF(3.0) + ConstantKernel(1e4) + WhiteKernel()
    wave = y + 3 * np.sin(X[:, 0])
    for dtype in "float64", "float32":
        model = GaussianProcessRegressor(kernel, n_inducing=30, dtype=dtype, random_state=0)
        assert model.fit(X, wave).score(X, wave) > 0.998


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
    ],
    ids=lambda v: str(v) if isinstance(v, Kernel) else None,
)
def test_unit_of_jitter(kernel, centred):
    structure, _, values, _, _ = kernels.parse(kernel)
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
    structure, _, values, _, _ = kernels.parse(kernel)
    G = RNG.randn(5, 5)
    tensors = tf.nest.map_structure(tf.constant, (values, 3.0 + X3[:5]))

    def total(values, Z):
        K = kernels.covariance(structure, values, Z)
        unit = kernels.jitter_unit(structure, values, Z)
        return tf.reduce_sum(G * linalg.add_jitter(K, 0.1, unit))

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
    assert not stationary(RBF() * (Matern() + DotProduct()))
    assert not stationary(CompoundKernel([RBF(), DotProduct()]))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_far_from_zero(dtype):
    X = RNG.randn(100, 3).astype(dtype)
    one_hot = (RNG.rand(100, 5) < 0.3).astype(dtype)
    bias = np.ones((100, 1), dtype)
    for near in X, 1e5 * X, one_hot, np.hstack([X, bias]):
        assert not is_far_from_zero(near)
    for far in X + 10, np.hstack([1e3 * X, 1e-3 * X + 100]), np.hstack([X, 100 * bias]):
        assert is_far_from_zero(far)


def test_q_starts_where_nodes_of_the_quadrature_see_the_boundary():
    """Any wide prior, not that of a linear kernel only."""
    X, y = line(0.0)
    for variance in 1.0, 1e4, 1e8:
        kernel = ConstantKernel(variance, "fixed") * RBF(10.0, "fixed")
        model = GaussianProcessClassifier(kernel, n_inducing=10, random_state=0).fit(X, y > 0)
        assert model.score(X, y > 0) > 0.98
