"""Kernels that a user writes: one formula, and all that scikit-learn and skgpng ask for."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import reference
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor as ScikitLearns
from sklearn.gaussian_process.kernels import RBF, RationalQuadratic, WhiteKernel

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor, kernels
from skgpng._runtime import tf
from skgpng.kernels import Formula, Kernel, formula_of, matern52, squared_distance

RNG = np.random.RandomState(0)
X = RNG.uniform(-2.0, 2.0, (40, 2))
Y = np.sin(2 * X[:, 0]) + 0.3 * X[:, 1] + 0.05 * RNG.randn(40)


class Rough(Kernel):
    """A Matern-5/2 in the least words."""

    def __init__(self, length_scale=1.0, length_scale_bounds=(1e-5, 1e5)):
        self.length_scale = length_scale
        self.length_scale_bounds = length_scale_bounds

    def covariance(self, X1, X2=None):
        return matern52(squared_distance(X1, X2, self.length_scale))


class Mixed(Kernel):
    """Linear in rows seen from somewhere, through a matrix: real, and of two axes."""

    real = ("location", "mixing")

    def __init__(
        self,
        mixing=((1.0, -0.5), (0.0, 2.0)),
        location=(0.5, -1.0),
        scale=1.5,
        mixing_bounds=(-5.0, 5.0),
        location_bounds=((-10.0, 10.0), (-20.0, 20.0)),
        scale_bounds=(0.1, 10.0),
    ):
        self.mixing = mixing
        self.location = location
        self.scale = scale
        self.mixing_bounds = mixing_bounds
        self.location_bounds = location_bounds
        self.scale_bounds = scale_bounds

    def covariance(self, X1, X2=None):
        A, B = (tf.matmul(X - self.location, self.mixing) for X in (X1, X1 if X2 is None else X2))
        return self.scale * tf.matmul(A, B, transpose_b=True)


class Squared(Kernel):
    """An operator with a setting and no hyperparameter of its own."""

    def __init__(self, kernel, at):
        self.kernel = kernel
        self.at = at

    def covariance(self, X1, X2=None):
        squares = [
            None if X is None else tf.gather(X, self.at["columns"], axis=1) ** 2 for X in (X1, X2)
        ]
        return self.kernel.covariance(*squares)


class Plain(Kernel):
    """Without any parameter."""

    def covariance(self, X1, X2=None):
        return tf.matmul(X1, X1 if X2 is None else X2, transpose_b=True)


OWN = {
    "rough": Rough([0.5, 2.0]),
    "mixed": Mixed(),
    "in a tree": 2.0 * Rough(0.7) * Mixed() + Mixed(location_bounds="fixed") + Plain() ** 2,
    "operator": Squared(RationalQuadratic(0.8, 1.3) + Rough([1.0, 3.0]), {"columns": [1, 0]}),
    "plain": Plain(),
}
every_own = pytest.mark.parametrize("kernel", OWN.values(), ids=OWN.keys())


@every_own
def test_it_is_a_kernel_of_scikit_learn(kernel):
    again = clone(kernel)
    assert again == kernel and again is not kernel
    assert pickle.loads(pickle.dumps(kernel)) == kernel
    assert repr(again) == repr(kernel)
    theta = kernel.theta
    assert theta.shape == (kernel.n_dims,) and kernel.bounds.reshape(-1, 2).shape == (len(theta), 2)
    assert len(theta) == sum(h.n_elements for h in kernel.hyperparameters if not h.fixed)
    moved = kernel.clone_with_theta(theta + 0.1)
    np.testing.assert_allclose(moved.theta, theta + 0.1, rtol=1e-12)
    np.testing.assert_allclose(moved.clone_with_theta(theta)(X), kernel(X), rtol=1e-9)
    assert type(kernel(X)) is np.ndarray and kernel(X).flags.writeable


@every_own
def test_values_and_gradients_in_theta(kernel):
    K, slopes = kernel(X, eval_gradient=True)
    np.testing.assert_allclose(K, kernel(X), rtol=1e-12)
    np.testing.assert_allclose(K[:, :3], kernel(X, X[:3]), rtol=1e-9)
    np.testing.assert_allclose(kernel.diag(X), np.diag(K), rtol=1e-9)
    assert slopes.shape == (40, 40, kernel.n_dims)
    for k in range(kernel.n_dims):
        G = RNG.randn(40, 40)

        def total(step, k=k, G=G):
            theta = kernel.theta
            theta[k] += step
            return np.sum(G * kernel.clone_with_theta(theta)(X))

        found = np.sum(G * slopes[..., k])
        np.testing.assert_allclose(found, reference.differences(total, 0.0), rtol=1e-5, atol=1e-4)
    with pytest.raises(ValueError, match="only be evaluated when Y is None"):
        Rough()(X, X, eval_gradient=True)


def test_real_values_have_no_logarithm():
    kernel = 2.0 * Mixed(scale_bounds="fixed")
    np.testing.assert_array_equal(kernel.theta[1:], [1.0, -0.5, 0.0, 2.0, 0.5, -1.0])
    np.testing.assert_array_equal(kernel.bounds[1:], [[-5, 5]] * 4 + [[-10, 10], [-20, 20]])
    parsed = kernels.parse(kernel)
    assert parsed.names == ("k1__constant_value", "k2__mixing", "k2__location", "k2__scale")
    assert [p.real for p in parsed.parameters] == [False, True, True, False]
    assert list(parsed.structure.ranks) == [0, 2, 1, 0]
    assert [p.real for p in parsed.parameters] == [False, True, True, False]
    assert [b.shape for b in parsed.bounds] == [(2,), (2, 2, 2), (2, 2), (2,)]
    assert parsed.free == (True, True, True, False)
    again = kernels.rebuild(kernel, parsed.names, parsed.values)
    assert again == kernel


@pytest.mark.parametrize(
    "given, match",
    [
        ({"location": (np.nan, 0.0)}, "'location' must be finite, got"),
        ({"location_bounds": (2.0, 1.0)}, "'location_bounds' must be .* with low <= high"),
        ({"mixing_bounds": ((0.0, 1.0),) * 3}, "'mixing_bounds' must be .* 4 values"),
        ({"scale": -1.0}, "'scale' must be positive and finite"),
    ],
    ids=str,
)
def test_values_and_bounds_are_checked(given, match):
    with pytest.raises(ValueError, match=match):
        kernels.parse(Mixed(**given))


def test_it_fits_in_scikit_learns_regressor():
    kernel = Rough([1.0, 1.0]) + Mixed(mixing_bounds="fixed") + WhiteKernel(0.01)
    theirs = ScikitLearns(kernel, random_state=0).fit(X[:15], Y[:15])
    assert theirs.score(X[:15], Y[:15]) > 0.99
    assert not np.allclose(theirs.kernel_.theta, kernel.theta, atol=0.1)
    mean, std = theirs.predict(X, return_std=True)
    assert np.isfinite(mean).all() and np.isfinite(std).all()


@pytest.mark.parametrize("n_inducing", [None, 12])
def test_it_is_learned_as_the_kernel_it_equals(n_inducing):
    from sklearn.gaussian_process.kernels import Matern

    settings = dict(n_inducing=n_inducing, max_iter=15, random_state=0)
    for cls, y in (GaussianProcessRegressor, Y), (GaussianProcessClassifier, Y > 0):
        own = cls(2.0 * Rough([0.5, 2.0]), **settings).fit(X, y)
        usual = cls(2.0 * Matern([0.5, 2.0], nu=2.5), **settings).fit(X, y)
        np.testing.assert_allclose(own.elbo_, usual.elbo_, rtol=1e-7)
        np.testing.assert_allclose(own.kernel_.theta, usual.kernel_.theta, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(own.predict(X), usual.predict(X), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(own.feature_relevances_, usual.feature_relevances_, rtol=1e-4)


@pytest.mark.parametrize("batch_size", ["auto", 10])
def test_an_operator_is_learned_with_minibatches_too(batch_size):
    kernel = 2.0 * Squared(Rough(1.0), {"columns": [0]}) + RBF(2.0)
    model = GaussianProcessRegressor(kernel, n_inducing=8, batch_size=batch_size, random_state=0)
    assert np.isfinite(model.fit(X, Y).elbo_)
    assert model.kernel_.k1.k2.kernel.length_scale != 1.0


def test_settings_may_be_anything():
    one, same = (Squared(RBF(), {"columns": [1, 0]}) for _ in range(2))
    assert kernels.parse(one).structure == kernels.parse(same).structure
    assert hash(kernels.parse(one).structure) == hash(kernels.parse(same).structure)
    other = Squared(RBF(), {"columns": [0, 1]})
    assert kernels.parse(one).structure != kernels.parse(other).structure
    array = Squared(RBF(), np.arange(3))
    assert kernels.parse(array).structure == kernels.parse(clone(array)).structure


@pytest.mark.parametrize("n", [1, 31, 32, 33, 100])
def test_a_diagonal_that_nobody_wrote(n):
    rows, kernel = RNG.randn(n, 2), Mixed()
    parsed = kernels.parse(kernel)
    values, rows_ = tuple(map(tf.constant, parsed.values)), tf.constant(rows)
    upstream = RNG.randn(n)

    @tf.function
    def with_gradient(values, rows):
        with tf.GradientTape() as tape:
            tape.watch((values, rows))
            found = kernels.diagonal(parsed.structure, values, rows)
        return found, tape.gradient(found, (values, rows), upstream)

    with tf.GradientTape() as tape:
        tape.watch((values, rows_))
        expected = tf.linalg.diag_part(kernels.covariance(parsed.structure, values, rows_))
    slopes = tape.gradient(expected, (values, rows_), upstream)
    found, gradients = with_gradient(values, rows_)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    for a, b in zip(tf.nest.flatten(gradients), tf.nest.flatten(slopes), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


class Elsewhere(RBF):
    """From a library that does not know of skgpng."""


def test_a_class_that_cannot_be_changed_gets_a_formula(monkeypatch):
    monkeypatch.setattr(kernels.formula, "FORMULAS", dict(kernels.formula.FORMULAS))
    monkeypatch.setattr(kernels.parsing, "FORMULAS", kernels.formula.FORMULAS)

    @formula_of(Elsewhere)
    class ElsewhereFormula(Formula):
        def covariance(self, X1, X2=None):
            return matern52(squared_distance(X1, X2, self.length_scale))

    parsed = kernels.parse(2.0 * Elsewhere(3.0))
    assert parsed.names == ("k1__constant_value", "k2__length_scale")
    found = kernels.covariance(parsed.structure, parsed.values, X)
    np.testing.assert_allclose(found, 2.0 * Rough(3.0)(X), rtol=1e-12)
    model = GaussianProcessRegressor(Elsewhere(), n_inducing=8, max_iter=10).fit(X, Y)
    assert np.isfinite(model.elbo_)


class Wrong(Rough):
    """Gives one row less, or a diagonal of another shape."""

    def __init__(self, length_scale=1.0, length_scale_bounds=(1e-5, 1e5), cut=0):
        super().__init__(length_scale, length_scale_bounds)
        self.cut = cut

    def covariance(self, X1, X2=None):
        return super().covariance(X1, X2)[:, : 2 if self.cut else None]

    def diagonal(self, X):
        return tf.ones(tf.shape(X)[: 1 if self.cut else 2], X.dtype)


@pytest.mark.parametrize("cut", [0, 1])
def test_a_formula_that_gives_another_shape_is_named(cut):
    with pytest.raises(ValueError, match=r"a Wrong .* gives an array of shape \(3, [12]\)"):
        GaussianProcessRegressor(Wrong(cut=cut)).fit(X, Y)


@pytest.mark.parametrize("given", [{"length_scale": [1.0] * 3}])
def test_what_cannot_be_evaluated_is_named(given):
    with pytest.raises(ValueError, match="'k2', a Rough .*X with 2 features: 3 length scales do"):
        GaussianProcessRegressor(RBF() + Rough(**given)).fit(X, Y)


def test_inside_a_graph_numbers_come_out():
    @tf.function
    def traced():
        assert type(Rough()(X)) is np.ndarray
        assert type(Rough()(X, eval_gradient=True)[1]) is np.ndarray
        assert type(Rough().diag(X)) is np.ndarray
        return tf.zeros([])

    traced()
