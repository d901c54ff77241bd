"""Gradients of predictions against differences of predictions."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from estimator.cases import FIXED, MODELS, every_model, output
from kernels.cases import KERNELS, MIXED, mixed_rows
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process.kernels import RBF, DotProduct, Matern
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.multioutput import MultiOutputRegressor
from sklearn.tree import DecisionTreeRegressor

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
from skgpng._inference.posterior import nothing_known
from skgpng._inference.slopes import slopes
from skgpng.kernels import Categorical, Columns, parse
from skgpng.likelihoods import Coregionalised, HeteroscedasticGaussian

ALL = {**KERNELS, **MIXED}
quick = functools.partial(GaussianProcessRegressor, FIXED, max_iter=3, random_state=0)


def differences(function, X, step=1e-4):
    """Of each row of X in each column, [..., D]; the error is of order step to the fourth."""
    each = []
    for d in range(X.shape[1]):
        e = step * (np.arange(X.shape[1]) == d)
        near, far = (function(X + k * e) - function(X - k * e) for k in (1, 2))
        each.append((8.0 * near - far) / (12.0 * step))
    return np.stack(each, -1)


def assert_gradients(model, X, rtol=1e-7, include_noise=True, **known):
    """Mean, and standard deviation with and without noise."""
    mean, std = model.predict_gradient(X, return_std=True, include_noise=include_noise, **known)
    expected = differences(lambda x: model.predict(x, **known), X)
    of_std = differences(
        lambda x: model.predict(x, return_std=True, include_noise=include_noise, **known)[1], X
    )
    assert mean.shape == std.shape == expected.shape
    np.testing.assert_allclose(mean, expected, rtol=rtol, atol=rtol * np.abs(expected).max())
    np.testing.assert_allclose(std, of_std, rtol=rtol, atol=rtol * np.abs(of_std).max() + 1e-12)
    # products of other sizes are rounded in another order
    alone = model.predict_gradient(X, **known)
    np.testing.assert_allclose(alone, mean, rtol=1e-9, atol=1e-11 * np.abs(mean).max())


# --- kernels ---------------------------------------------------------------------------------


def posterior(kernel, X, n_latent=2):
    parsed, rng = parse(kernel), np.random.RandomState(1)
    p = nothing_known(parsed.structure, parsed.values, X.shape[1], n_latent)
    return p.of_rows(X, rng.randn(len(X), n_latent), np.full(len(X), 0.1), np.ones(len(X)))


OF_ONE_COLUMN = ("periodic", "nested")  # see below


@pytest.mark.parametrize("name", [name for name in ALL if name not in OF_ONE_COLUMN])
def test_every_kernel(name):
    X = mixed_rows(0, 12)
    at, levels = (
        mixed_rows(5, 3),
        name in MIXED
        and name
        in (
            *("one angle", "an angle for each level", "two angles for each level", "all angles"),
            "levels times others",
        ),
    )
    if not levels:
        at[:, 2] += 0.3
    p = posterior(ALL[name], X)
    found = slopes(p, at, True)
    moved = 2 if levels else 3  # what is between levels is refused

    def restricted(function):
        def of_moved(x):
            return function(np.column_stack([x, at[:, moved:]]))

        return differences(of_moved, at[:, :moved])

    np.testing.assert_allclose(found.mean[..., :moved], restricted(p.mean), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(
        found.variance[..., :moved],
        restricted(lambda x: p.mean_and_variance(x)[1]),
        rtol=1e-7,
        atol=1e-8,
    )
    np.testing.assert_array_equal(found.mean[..., moved:], 0.0)
    np.testing.assert_allclose(slopes(p, at, False).mean, found.mean, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", OF_ONE_COLUMN)
def test_kernels_of_one_column(name):
    kernel = ALL[name] if name == "periodic" else ALL["periodic"] * RBF(0.8) + DotProduct(0.3)
    X, at = np.linspace(-2, 2, 9)[:, None], np.array([[-0.3], [1.7]])
    p = posterior(kernel, X)
    found = slopes(p, at, True)
    np.testing.assert_allclose(found.mean, differences(p.mean, at), rtol=1e-7, atol=1e-8)
    of_variance = differences(lambda x: p.mean_and_variance(x)[1], at)
    np.testing.assert_allclose(found.variance, of_variance, rtol=1e-7, atol=1e-8)


# Four times differentiable at least, so that differences across a row are as good.
SMOOTH = ("rbf-ard", "matern-inf", "rational-quadratic", "spectral mixture", "polynomial", "cosine")


@pytest.mark.parametrize("name", [*SMOOTH, "periodic in all columns"])
def test_at_the_rows_of_fit(name):
    X = mixed_rows(0, 12)
    p = posterior(ALL[name], X)
    found = slopes(p, X[:3], True)
    np.testing.assert_allclose(found.mean, differences(p.mean, X[:3]), rtol=1e-6, atol=1e-7)
    of_variance = differences(lambda x: p.mean_and_variance(x)[1], X[:3])
    np.testing.assert_allclose(found.variance, of_variance, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("nu", [0.5, 1.5, 2.5])
def test_matern_at_a_row_of_fit(nu):
    """The derivative of k itself is 0 there, and for nu=1/2 the mean of both sides."""
    X = mixed_rows(0, 12)
    p = posterior(Matern(0.9, nu=nu), X)
    found, step = slopes(p, X[:1], True), 1e-7
    for d in range(3):
        e = step * (np.arange(3) == d)
        both = [p.mean_and_variance(X[:1] + s * e) for s in (1, -1)]
        for slope, (up, down) in zip(found, zip(*both, strict=True), strict=True):
            np.testing.assert_allclose(slope[..., d], (up - down) / (2 * step), atol=1e-6)


def test_kernels_that_have_no_formula(rows):
    class Own(RBF):
        """As a user may write it."""

    X, y = rows
    model = GaussianProcessRegressor(Own(1.0, "fixed"), n_inducing=None, max_iter=2).fit(X, y)
    with pytest.raises(ValueError, match="formula_of"):
        model.predict_gradient(X[:2])


def test_levels_have_none():
    X = np.column_stack([np.linspace(-1, 1, 30), np.arange(30) % 3.0])
    kernel = Columns(RBF(0.5), [0]) * Columns(Categorical(3, 0.6), [1])
    model = quick(n_inducing=None).set_params(kernel=kernel).fit(X, X[:, 0] * (X[:, 1] - 1.0))
    found = model.predict_gradient(X[:5])
    np.testing.assert_array_equal(found[:, 1], 0.0)
    assert np.abs(found[:, 0]).min() > 0.0


# --- models ----------------------------------------------------------------------------------


@every_model
def test_every_model(model_and_data):
    model, X, y = model_and_data
    model.set_params(max_iter=5).fit(X, y)
    at = X[::20] + 0.05
    if isinstance(model, GaussianProcessRegressor):
        assert_gradients(model, at)
        assert_gradients(model, at, include_noise=False)
        return
    found = model.predict_gradient(at)
    assert found.shape == (len(at), len(model.classes_), 2)
    expected = differences(lambda x: output(model, x), at)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())


@pytest.mark.parametrize("link", ["logit", "robust_max"])
def test_links(two, link):
    X, y = two
    if link == "robust_max":
        y = np.where(X[:, 0] > 1.0, "maybe", y)
    model = GaussianProcessClassifier(FIXED, likelihood=link, max_iter=3, n_inducing=8).fit(X, y)
    found = model.predict_gradient(X[:4])
    # quadrature between ends that move with the row
    expected = differences(model.predict_proba, X[:4])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("n_inducing", [None, 8])
@pytest.mark.parametrize("mean", ["linear", Ridge(1.0)])
def test_means(rows, mean, n_inducing):
    X, y = rows
    assert_gradients(quick(mean=mean, n_inducing=n_inducing).fit(X, y), X[:3] + 0.1)


def test_regressors_as_mean(rows):
    X, y = rows
    model = quick(mean=DecisionTreeRegressor(max_depth=2), n_inducing=None).fit(X, y)
    with pytest.raises(ValueError, match="DecisionTreeRegressor.* has no gradient"):
        model.predict_gradient(X[:2])
    inner = quick(n_inducing=None)
    assert_gradients(quick(mean=inner, n_inducing=None).fit(X, y), X[:3] + 0.1)
    both = quick(mean=LinearRegression(), n_inducing=None).fit(X, np.column_stack([y, y**2]))
    assert_gradients(both, X[:3] + 0.1)
    trees = quick(mean=MultiOutputRegressor(Ridge()), n_inducing=None)
    with pytest.raises(ValueError, match="MultiOutputRegressor"):
        trees.fit(X, np.column_stack([y, y**2])).predict_gradient(X[:2])


@pytest.mark.parametrize("settings", [{"n_inducing": None}, {"n_inducing": 8}, {"n_neighbors": 9}])
def test_several_targets(rows, settings):
    X, y = rows
    model = quick(**settings).fit(X, np.column_stack([y, 10.0 * X[:, 1] ** 2, -y]))
    assert model.predict_gradient(X[:4]).shape == (4, 3, 2)
    assert_gradients(model, X[:3] + 0.1)


@pytest.mark.parametrize("local_scale", [True, False])
def test_neighbours(rows, local_scale):
    X, y = rows
    model = quick(n_neighbors=12, local_scale=local_scale, mean="linear").fit(X, y)
    # so near that no row has other neighbours
    assert_gradients(model, X[:4] + 0.01, noise_variance=np.full(4, 0.02))
    one, all_rows = model.predict_gradient(X[3:4]), model.predict_gradient(X)
    np.testing.assert_allclose(one[0], all_rows[3], rtol=1e-9)


OF_Y = {
    "student_t": lambda y: y,
    "poisson": lambda y: np.round(np.exp(y)),
    "negative_binomial": lambda y: np.round(np.exp(y)),
    "gamma": np.exp,
    "beta": lambda y: 1.0 / (1.0 + np.exp(-y)),
}


@pytest.mark.parametrize("likelihood", OF_Y)
def test_likelihoods(rows, likelihood):
    X, y = rows
    model = quick(likelihood=likelihood, n_inducing=8)
    # moments of some are tables, good to 1e-8
    assert_gradients(model.fit(X, OF_Y[likelihood](y)), X[:3] + 0.1, rtol=1e-6)


def test_what_is_known_of_rows(rows):
    X, y = rows
    counts = np.round(np.exp(y))
    model = quick(likelihood="poisson", n_inducing=8).fit(X, counts, exposure=np.full(60, 2.0))
    assert_gradients(model, X[:2] + 0.1, exposure=np.array([0.5, 3.0]), rtol=1e-6)
    twice = model.predict_gradient(X[:1], exposure=[2.0])
    np.testing.assert_allclose(twice, 2.0 * model.predict_gradient(X[:1]), rtol=1e-8)


@pytest.mark.parametrize("likelihood", [Coregionalised(1), HeteroscedasticGaussian()])
def test_mixed_latent_functions(rows, likelihood):
    X, y = rows
    model = GaussianProcessRegressor(likelihood=likelihood, n_inducing=8, max_iter=3)
    assert_gradients(model.fit(X, np.column_stack([y, y**2])), X[:3] + 0.1, rtol=1e-6)


# --- what is asked for -----------------------------------------------------------------------


def test_refusals(rows):
    X, y = rows
    with pytest.raises(NotFittedError):
        GaussianProcessRegressor().predict_gradient(X)
    grades = quick(likelihood="ordinal", n_inducing=8).fit(X, np.digitize(y, [-0.5, 0.5]))
    with pytest.raises(ValueError, match="median grade"):
        grades.predict_gradient(X)
    data, model = MODELS["svgp"]
    labels = clone(model).set_params(max_iter=2).fit(X, y > 0)
    with pytest.raises(ValueError, match="for regressors"):
        labels.predict_gradient(X, return_std=True)
    with pytest.raises(TypeError, match="exposures"):
        labels.predict_gradient(X, exposures=np.ones(60))


def test_float32_and_many_rows(rows):
    X, y = rows
    model = quick(n_inducing=None).fit(X, y)
    many = np.tile(X, (200, 1))
    found = model.predict_gradient(many)
    np.testing.assert_allclose(found[-60:], found[:60], rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(
        model.predict_gradient(X.astype(np.float32).astype(float)),
        model.predict_gradient(X.astype(np.float32)),
    )
