"""Kernels that skgpng has no formula for: taken as they are, by exact models."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor as ScikitLearns
from sklearn.gaussian_process.kernels import (
    RBF,
    CompoundKernel,
    DotProduct,
    Hyperparameter,
    Kernel,
    KernelOperator,
    Matern,
    PairwiseKernel,
    Sum,
    WhiteKernel,
)

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor, kernels
from skgpng._runtime import tf
from skgpng._training.stages import n_compiled
from skgpng.kernels import Columns

RNG = np.random.RandomState(0)
X = RNG.uniform(0.1, 3.0, (50, 2))
Y = np.sin(3 * np.log(X[:, 0])) + 0.05 * RNG.randn(50)


class LogMatern(Matern):
    """Rows are taken by their logarithms."""

    def __call__(self, X, Y=None, eval_gradient=False):
        return super().__call__(np.log(X), None if Y is None else np.log(Y), eval_gradient)


class Both(KernelOperator):
    """The mean of two kernels: an operator of someone's own."""

    def __call__(self, X, Y=None, eval_gradient=False):
        both = Sum(self.k1, self.k2)
        if eval_gradient:
            K, slopes = both(X, eval_gradient=True)
            return 0.5 * K, 0.5 * slopes
        return 0.5 * both(X, Y)

    def diag(self, X):
        return 0.5 * (self.k1.diag(X) + self.k2.diag(X))

    def __repr__(self):
        return f"Both({self.k1}, {self.k2})"


BOXES = {
    "subclass": LogMatern(0.7, nu=2.5),
    "one scale a column": LogMatern([0.7, 2.0], nu=1.5),
    "any nu": 1.3 * Matern(0.8, nu=1.0),
    "pairwise": PairwiseKernel(gamma=0.6, metric="rbf"),
    "in a tree": 2.0 * LogMatern(0.5) ** 2 + RBF([1.0, 2.0]) * (LogMatern(2.0) + DotProduct(0.3)),
    "of columns": Columns(LogMatern(0.7), [0]) * Columns(RBF(3.0), [1]),
    "operator": Both(RBF(0.5), LogMatern(0.9)) + RBF(2.0),
}
every_box = pytest.mark.parametrize("kernel", BOXES.values(), ids=BOXES.keys())


@every_box
def test_values_and_gradients_against_sklearn(kernel):
    parsed = kernels.parse(kernel)
    Z = X[:3] + 0.1
    np.testing.assert_allclose(
        kernels.covariance(parsed.structure, parsed.values, X, Z), kernel(X, Z), rtol=1e-12
    )
    G, g = RNG.randn(50, 50), RNG.randn(50)
    values = tuple(map(tf.constant, parsed.values))
    with tf.GradientTape() as tape:
        tape.watch(values)
        K = kernels.covariance(parsed.structure, values, X)
        diagonal = kernels.diagonal(parsed.structure, values, X)
    found = tape.gradient([K, diagonal], values, [G, g], unconnected_gradients="zero")
    expected_K, slopes = kernel(X, eval_gradient=True)
    np.testing.assert_allclose(K, expected_K, rtol=1e-12)
    np.testing.assert_allclose(diagonal, kernel.diag(X), rtol=1e-12)
    expected = np.einsum("ij,ijk->k", G + np.diag(g), slopes)
    of = dict(zip(parsed.names, zip(found, parsed.values, strict=True), strict=True))
    each = [np.ravel(of[h.name][0] * of[h.name][1]) for h in kernel.hyperparameters]
    np.testing.assert_allclose(np.concatenate(each), expected, rtol=1e-5, atol=1e-5)


@every_box
def test_structures_are_equal_whatever_the_values(kernel):
    parsed = kernels.parse(kernel)
    other = kernels.rebuild(kernel, parsed.names, tuple(1.5 * v for v in parsed.values))
    held = kernel.clone_with_theta(kernel.theta).set_params(
        **{f"{name}_bounds": "fixed" for name in parsed.names}
    )
    for same in other, held, pickle.loads(pickle.dumps(kernel)):
        assert kernels.parse(same).structure == parsed.structure
        assert hash(kernels.parse(same).structure) == hash(parsed.structure)
    assert kernels.needs_all_rows(parsed.structure)
    assert not kernels.needs_all_rows(kernels.parse(RBF() + Matern()).structure)


def test_settings_tell_structures_apart():
    def structure(kernel):
        return kernels.parse(kernel).structure

    assert structure(Matern(nu=1.0)) != structure(Matern(nu=0.7)) != structure(LogMatern(nu=0.7))
    assert structure(PairwiseKernel(metric="rbf")) != structure(PairwiseKernel(metric="laplacian"))


def transforming(transform):
    """As bayesian-optimization makes its kernels: a class for each, whose pickles hold all rows."""

    class Wrapped(Matern):
        def __call__(self, X, Y=None, eval_gradient=False):
            return super().__call__(
                transform(X), None if Y is None else transform(Y), eval_gradient
            )

        def __reduce__(self):
            return transforming, (transform,)

    return Wrapped(0.7, nu=2.5)


class Log:
    """A transform with a history."""

    def __init__(self):
        self.seen = 0

    def __call__(self, X):
        self.seen += len(X)
        return np.log(X)


def test_what_a_class_remembers_is_no_structure():
    transform = Log()
    kernel = transforming(transform)
    first = kernels.parse(2.0 * kernel).structure
    K = kernels.covariance(first, (2.0, 0.7), X).numpy()
    assert transform.seen >= len(X)
    second = kernels.parse(3.0 * kernel.clone_with_theta([0.1])).structure
    assert second == first and hash(second) == hash(first)
    np.testing.assert_allclose(K, 2.0 * LogMatern(0.7, nu=2.5)(X), rtol=1e-12)
    other = kernels.parse(2.0 * transforming(transform)).structure
    assert other != first  # another class may do other things


def test_a_new_kernel_object_compiles_nothing():
    kernel = transforming(Log())
    model = GaussianProcessRegressor(kernel, n_inducing=None, max_iter=3).fit(X, Y)
    before = n_compiled()
    for k in range(3):
        again = model.set_params(kernel=kernel.clone_with_theta([0.1 * k]))
        again.fit(X[: 20 + k], Y[: 20 + k]).predict(X[:1])
    assert n_compiled() == before


def test_each_evaluation_has_its_own_values():
    """The last copy is kept: other values, also of another shape, make another."""
    parsed = kernels.parse(LogMatern(0.7, nu=1.5))
    for scale in (0.7, 2.0, 0.7, np.array([0.7, 2.0]), np.array([2.0, 0.7])):
        found = kernels.covariance(parsed.structure, (scale,), X, X[:5])
        np.testing.assert_allclose(found, LogMatern(scale, nu=1.5)(X, X[:5]), rtol=1e-12)


# --- exact models --------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["auto", "adam"])
def test_a_subclass_is_learned_as_by_scikit_learn(optimizer):
    kernel = 1.0 * LogMatern(2.0, nu=1.5) + WhiteKernel(0.1)
    ours = GaussianProcessRegressor(
        kernel, n_inducing=None, normalize_y=False, optimizer=optimizer, max_iter=200
    ).fit(X, Y)
    theirs = ScikitLearns(kernel, random_state=0).fit(X, Y)
    theta = ours.kernel_.theta
    value, slope = ours.log_marginal_likelihood(theta, eval_gradient=True)
    expected, their_slope = theirs.log_marginal_likelihood(theta, eval_gradient=True)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(slope, their_slope, atol=2e-3)
    assert not np.allclose(theta, kernel.theta, atol=0.1)
    assert ours.elbo_ > theirs.log_marginal_likelihood_value_ - 0.05
    at_theta = ScikitLearns(ours.kernel_, optimizer=None).fit(X, Y)
    new = X[:10] * 1.1
    for found, expected in zip(
        ours.predict(new, return_std=True), at_theta.predict(new, return_std=True), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    cov = ours.predict(new, return_cov=True)[1]
    np.testing.assert_allclose(cov, at_theta.predict(new, return_cov=True)[1], atol=1e-6)
    assert ours.sample_y(new).shape == (10, 1)
    again = pickle.loads(pickle.dumps(ours))
    np.testing.assert_array_equal(again.predict(new), ours.predict(new))


def test_learned_from_more_rows_than_a_block():
    rng = np.random.RandomState(1)
    many = rng.uniform(0.1, 3.0, (900, 1))
    y = np.sin(3 * np.log(many[:, 0])) + 0.1 * rng.randn(900)
    kernel = LogMatern(1.0, nu=2.5) + WhiteKernel(0.1)
    model = GaussianProcessRegressor(kernel, n_inducing=None, normalize_y=False, max_iter=4)
    model.fit(many, y)
    at_theta = ScikitLearns(model.kernel_, optimizer=None).fit(many, y)
    np.testing.assert_allclose(model.elbo_, at_theta.log_marginal_likelihood_value_, rtol=1e-5)
    assert model.score(many, y) > 0.95


@pytest.mark.parametrize("n_classes", [2, 3])
def test_labels_are_learned(n_classes):
    labels = np.digitize(Y, np.quantile(Y, np.arange(1, n_classes) / n_classes))
    kernel = 4.0 * LogMatern(1.0, nu=2.5)
    model = GaussianProcessClassifier(kernel, n_inducing=None, max_iter=60).fit(X, labels)
    assert model.score(X, labels) > 0.9
    assert not np.allclose(model.kernel_.theta, kernel.theta, atol=0.1)
    each = GaussianProcessClassifier(
        CompoundKernel([kernel] * (1 if n_classes == 2 else n_classes)), max_iter=5
    )
    assert np.isfinite(each.fit(X, labels).elbo_)


def test_values_fixed_stay_and_a_prior_predicts():
    kernel = 1.0 * LogMatern(2.0, "fixed") + WhiteKernel(0.1)
    prior = GaussianProcessRegressor(kernel)
    np.testing.assert_allclose(prior.predict(X, return_std=True)[1], np.sqrt(1.1), rtol=1e-12)
    model = prior.fit(X, Y)
    assert model.kernel_.k1.k2.length_scale == 2.0 and model.kernel_.k1.k1.constant_value != 1.0


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_inducing", [10, "auto"])
@pytest.mark.parametrize("cls", [GaussianProcessRegressor, GaussianProcessClassifier])
def test_inducing_points_are_refused_before_any_work(n_inducing, cls):
    rows = np.tile(X, (21, 1)) + 0.1 * RNG.rand(1050, 2)
    match = (
        f"'k2' is a LogMatern, .*n_inducing={n_inducing!r} takes {10 if n_inducing == 10 else 256} "
        "for 1050 rows.*n_inducing=None.*skgpng.kernels.Kernel"
    )
    model = cls(RBF() * LogMatern(), n_inducing=n_inducing)
    with pytest.raises(ValueError, match=match):
        model.fit(rows, np.arange(1050) % 2)
    assert not hasattr(model, "kernel_")
    with pytest.raises(ValueError, match="'k2' is a LogMatern"):
        given = {"classes": [0, 1]} if cls is GaussianProcessClassifier else {}
        cls(RBF() * LogMatern()).partial_fit(X, np.arange(50) % 2, **given)


class Broken(Kernel):
    """Its gradient, diagonal or values are not what they should be."""

    def __init__(self, scale=1.0, scale_bounds=(0.1, 10.0), wrong="gradient"):
        self.scale = scale
        self.scale_bounds = scale_bounds
        self.wrong = wrong

    @property
    def hyperparameter_scale(self):
        return Hyperparameter("scale", "numeric", self.scale_bounds)

    def __call__(self, X, Y=None, eval_gradient=False):
        if self.wrong == "error":
            raise KeyError("no such city")
        K = self.scale * X @ (X if Y is None else Y).T
        slopes = K if self.wrong == "gradient" else K[..., None]
        K = K[:1] if self.wrong == "shape" else K
        return (K, slopes) if eval_gradient else K

    def diag(self, X):
        return (2.0 if self.wrong == "diagonal" else 1.0) * self.scale * np.sum(X**2, 1)

    def is_stationary(self):
        return False


WRONG = {
    "gradient": r"'k2', a Broken.* a gradient of shape \(3, 3\) in place of \(3, 3, 1\)",
    "diagonal": "'k2', a Broken.* a diagonal that is not that of its covariances",
    "error": "'k2', a Broken.*no such city",
    "shape": r"'k2', a Broken with the values k2__scale \(\)",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_a_kernel_does_wrong_is_named(wrong):
    with pytest.raises(ValueError, match=WRONG[wrong]):
        GaussianProcessRegressor(RBF() + Broken(wrong=wrong)).fit(X, Y)


class Bent(kernels.Kernel):
    real = ("bend",)

    def __init__(self, bend=1.0, bend_bounds=(-2.0, 2.0)):
        self.bend = bend
        self.bend_bounds = bend_bounds

    def covariance(self, X1, X2=None):
        return tf.matmul(self.bend * X1, self.bend * (X1 if X2 is None else X2), transpose_b=True)


def test_operands_are_the_business_of_the_kernel_that_holds_them():
    with pytest.raises(ValueError, match="'k2': Both has an operand with real-valued"):
        kernels.parse(RBF() + Both(RBF(), Bent()))
    parsed = kernels.parse(Both(RBF(), WhiteKernel(0.5)))
    assert parsed.noise is None and parsed.names == ("k1__length_scale", "k2__noise_level")
    K = kernels.covariance(parsed.structure, parsed.values, X)
    np.testing.assert_allclose(K, Both(RBF(), WhiteKernel(0.5))(X), rtol=1e-12)


def test_there_is_no_gradient_between_different_rows():
    parsed = kernels.parse(LogMatern())
    values = tuple(map(tf.constant, parsed.values))
    with tf.GradientTape() as tape:
        tape.watch(values)
        K = kernels.covariance(parsed.structure, values, X, X[:3])
    with pytest.raises(ValueError, match="LogMatern has no gradient .* without inducing points"):
        tape.gradient(K, values)
