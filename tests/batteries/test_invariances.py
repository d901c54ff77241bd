"""Estimators: what must not matter (order, units, origin, names), and limits of what they say."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from batteries.drawn import cases_each, norm, seeds, smallest_eigenvalue
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.gaussian_process.kernels import Matern, RationalQuadratic

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor


def waves(N=60, D=2, seed=0):
    """Rows in units of their own, y with noise, new rows."""
    rng = np.random.RandomState(seed)
    X, Xnew = rng.uniform(-2, 2, (N, D)), rng.uniform(-2, 2, (20, D))
    return X, np.sin(2 * X[:, 0]) + 0.5 * X[:, 1] + 0.2 * rng.randn(N), Xnew


def everything(model, Xnew):
    """Predictions of an estimator, one array."""
    if hasattr(model, "classes_"):
        return model.predict_proba(Xnew)
    return np.stack(model.predict(Xnew, return_std=True))


ESTIMATORS = {
    "gaussian": GaussianProcessRegressor(n_inducing=None),
    "student_t": GaussianProcessRegressor(n_inducing=None, likelihood="student_t"),
    "two classes": GaussianProcessClassifier(n_inducing=None),
    "three classes": GaussianProcessClassifier(n_inducing=None),
}


def with_labels(name, y):
    cuts = {"two classes": [0.0], "three classes": [-0.6, 0.6]}.get(name)
    return y if cuts is None else np.digitize(y, cuts)


def fitted(name, X, y):
    """Trained, to the end: 13 steps of L-BFGS for the first, up to 220 of Adam for the others."""
    return clone(ESTIMATORS[name]).fit(X, with_labels(name, y))


@functools.cache
def fitted_to_waves(name):
    """The model that others are compared with."""
    X, y, _ = waves()
    return fitted(name, X, y)


# Rounding, and what a training to the end makes of it: 1e-12 was seen, in predictions of size 1.
TRAINED = 1e-9


@pytest.mark.parametrize("repeats", [False, True], ids=["distinct rows", "repeated rows"])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_order_of_rows_does_not_matter(name, repeats):
    X, y, Xnew = waves()
    if repeats:
        X[40:] = X[:20]  # with y of their own
    order = np.random.RandomState(1).permutation(len(y))
    model = fitted(name, X, y) if repeats else fitted_to_waves(name)
    a, b = everything(model, Xnew), everything(fitted(name, X[order], y[order]), Xnew)
    np.testing.assert_allclose(b, a, rtol=0, atol=TRAINED)


@pytest.mark.parametrize("scale, shift", [([1e6, 1e-9], [1e7, 3e-9]), ([-3.0, 0.2], [10.0, -5.0])])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_units_of_columns_do_not_matter(name, scale, shift):
    """With the default kernel. The shift is ten times the spread: as many digits are lost."""
    X, y, Xnew = waves()
    a = everything(fitted_to_waves(name), Xnew)
    b = everything(fitted(name, X * scale + shift, y), Xnew * scale + shift)
    np.testing.assert_allclose(b, a, rtol=0, atol=TRAINED)


@pytest.mark.parametrize("scale, shift", [(-1e5, 3e5), (1e-9, -4e-9), (1e120, 0.0)])
@pytest.mark.parametrize("name", ["gaussian", "student_t"])
def test_units_of_y_are_those_of_predictions(name, scale, shift):
    X, y, Xnew = waves()
    model, other = fitted_to_waves(name), fitted(name, X, scale * y + shift)
    mean, std = everything(model, Xnew)
    other_mean, other_std = everything(other, Xnew)
    np.testing.assert_allclose((other_mean - shift) / scale, mean, rtol=0, atol=TRAINED)
    np.testing.assert_allclose(other_std / abs(scale), std, rtol=0, atol=TRAINED)
    ordered = np.sort((other.predict_quantiles(Xnew) - shift) / scale, 1)  # a negative scale turns
    np.testing.assert_allclose(ordered, model.predict_quantiles(Xnew), rtol=0, atol=TRAINED)


def test_names_of_classes_do_not_matter():
    """The probit link is symmetric: with the classes exchanged the probabilities are."""
    X, y, Xnew = waves()
    a = fitted_to_waves("two classes").predict_proba(Xnew)
    b = fitted("two classes", X, -y).predict_proba(Xnew)
    np.testing.assert_allclose(b[:, ::-1], a, rtol=0, atol=TRAINED)


@pytest.mark.parametrize("n_inducing", [None, 8])
@cases_each(8)
@given(seed=seeds, N=st.integers(2, 12), D=st.integers(1, 4))
def test_predicted_covariance_lies_between_zero_and_the_prior(n_inducing, seed, N, D):
    rng = np.random.RandomState(seed)
    X, y, Xnew = rng.randn(N, D), rng.randn(N), 3 * rng.randn(10, D)
    Xnew[:2] = X[0]
    model = GaussianProcessRegressor(n_inducing=n_inducing, max_iter=20, random_state=0)
    _, cov = model.fit(X, y).predict(Xnew, return_cov=True, include_noise=False)
    _, std = model.predict(Xnew, return_std=True, include_noise=False)
    prior = model.kernel_(Xnew) * np.var(y)
    np.testing.assert_allclose(cov, cov.T, rtol=0, atol=1e-14 * norm(prior))
    for matrix in (cov, prior - cov):
        assert smallest_eigenvalue(matrix) >= -1e-10 * norm(prior)
    assert np.all(std >= 0)
    assert np.all(std**2 <= np.diag(prior) * (1 + 1e-10))


@cases_each(10)
@given(seeds, st.integers(6, 12), st.integers(1, 4), st.integers(2, 3))
def test_probabilities_of_estimators(seed, N, D, C):
    rng = np.random.RandomState(seed)
    model = GaussianProcessClassifier(n_inducing=None, max_iter=20)
    p = model.fit(rng.randn(N, D), np.arange(N) % C).predict_proba(100 * rng.randn(20, D))
    assert p.shape == (20, C)
    assert np.all((p >= 0) & (p <= 1))
    np.testing.assert_allclose(p.sum(1), 1.0, rtol=1e-14)


# --- invariance ----------------------------------------------------------------------------

# Rows are multiples of 2**-8, so that adding a whole number does not round them, as float32 either.
STATIONARY = {
    "default": None,
    "sum": 1.0 * Matern([0.5, 1.0], nu=1.5) + RationalQuadratic(),
}
MODELS = {
    "exact": dict(n_inducing=None, max_iter=30),
    "points": dict(n_inducing=20, max_iter=20),
    "batches": dict(n_inducing=20, batch_size=20, max_iter=20),
}


def rows_and_targets(seed):
    rng = np.random.RandomState(seed)
    X, T = (rng.randint(0, 256, (n, 2)) / 256.0 for n in (60, 30))
    return X, np.sin(5 * X[:, 0]) + X[:, 1] + 0.1 * rng.randn(60), T


def predictions(cls, X, y, T, **settings):
    """Mean and standard deviation of y, in units of its own; or those of the latent function."""
    model = cls(random_state=0, **settings).fit(X, y)
    if cls is GaussianProcessRegressor:
        return np.stack(model.predict(T, return_std=True)) / y.std()
    return model.predict_proba(T)


def assert_same_predictions(found, expected, tolerance):
    """``tolerance``: of a standard deviation of y, or of a probability."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def signs(y):
    return (y > np.median(y)).astype(int)


@pytest.mark.parametrize("name", STATIONARY)
@pytest.mark.parametrize("model", MODELS)
@cases_each(2)
@given(seed=seeds, power=st.integers(0, 20), negative=st.booleans(), both=st.booleans())
def test_predictions_do_not_depend_on_the_origin(name, model, seed, power, negative, both):
    X, y, T = rows_and_targets(seed)
    shift = (-1.0 if negative else 1.0) * 2.0**power * np.array([1.0, float(both)])
    settings = dict(kernel=STATIONARY[name], **MODELS[model])
    for cls, target in ((GaussianProcessRegressor, y), (GaussianProcessClassifier, signs(y))):
        expected = predictions(cls, X, target, T, **settings)
        found = predictions(cls, X + shift, target, T + shift, **settings)
        assert_same_predictions(found, expected, 1e-6)


@pytest.mark.parametrize("name", STATIONARY)
@pytest.mark.parametrize("stored", ["float64", "float32"])
@cases_each(2)
@given(seed=seeds, power=st.integers(0, 14))
def test_nor_does_float32(name, stored, seed, power):
    X, y, T = rows_and_targets(seed)
    settings = dict(kernel=STATIONARY[name], dtype="float32", **MODELS["points"])
    for cls, target in ((GaussianProcessRegressor, y), (GaussianProcessClassifier, signs(y))):
        expected = predictions(cls, X, target, T, **settings)
        shifted = (X + 2.0**power).astype(stored), target, T + 2.0**power
        assert_same_predictions(predictions(cls, *shifted, **settings), expected, 1e-2)


@pytest.mark.parametrize("model", MODELS)
@cases_each(4)
@given(seed=seeds, powers=st.tuples(st.integers(-9, 9), st.integers(-9, 9)))
def test_predictions_do_not_depend_on_the_units_of_columns(model, seed, powers):
    X, y, T = rows_and_targets(seed)
    unit = 10.0 ** np.array(powers, float)
    for cls, target in ((GaussianProcessRegressor, y), (GaussianProcessClassifier, signs(y))):
        expected = predictions(cls, X, target, T, **MODELS[model])
        found = predictions(cls, unit * X, target, unit * T, **MODELS[model])
        assert_same_predictions(found, expected, 1e-6)
