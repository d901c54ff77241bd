"""Functions drawn from the posterior against what it predicts."""

from __future__ import annotations

import functools
import pickle

import numpy as np
import pytest
from estimator.cases import FIXED
from kernels.cases import KERNELS, MIXED, mixed_rows
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process.kernels import (
    RBF,
    CompoundKernel,
    DotProduct,
    Matern,
    RationalQuadratic,
)
from sklearn.linear_model import Ridge

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
from skgpng.kernels import Linear, bind, covariance, parse
from skgpng.kernels.features import features_of
from skgpng.likelihoods import Coregionalised

ALL = {**KERNELS, **MIXED}
#: Those that are drawn row by row.
WITHOUT = ("power", "additive", "from TFP")
regressor = functools.partial(GaussianProcessRegressor, FIXED, max_iter=3, random_state=0)
N = 600


# --- random features -------------------------------------------------------------------------


def mean_product(feature, X):
    """[N, N]: variance times the mean of products of features."""
    factor = np.ones((len(X), 1))
    for g in feature.factors:
        factor = factor * g(X)
    if feature.waves is None:
        return feature.variance * factor @ factor.T / factor.shape[1]
    angle = X @ feature.waves.T
    if feature.sizes is not None:
        factor = factor * feature.sizes
    parts = [wave(angle) * factor for wave in (np.cos, np.sin)]
    return feature.variance * sum(p @ p.T for p in parts) / len(feature.waves)


@pytest.mark.parametrize("name", [name for name in ALL if name not in WITHOUT])
def test_features_have_the_covariance_of_their_kernel(name):
    X = mixed_rows(3, 8)
    if name in ("periodic", "nested"):
        X = X[:, :1]
    kernel = ALL["periodic"] * RBF(0.8) + DotProduct(0.3) if name == "nested" else ALL[name]
    parsed, n = parse(kernel), 20000
    bound = bind(parsed.structure, parsed.values)
    found = features_of(bound, np.random.RandomState(0), n, X.shape[1])
    K = covariance(parsed.structure, parsed.values, X).numpy()
    drawn = any(f.is_drawn for f in found) and name != "cosine"
    size = np.sqrt(np.outer(np.diag(K), np.diag(K)))
    error = np.abs(sum(mean_product(f, X) for f in found) - K) / size
    # neurons have heavier tails than waves, whose products are at most 1
    assert error.max() < ((0.1 if "arc" in name else 0.03) if drawn else 1e-9)


@pytest.mark.parametrize("name", WITHOUT)
def test_kernels_without_features(name):
    parsed = parse(ALL[name])
    bound = bind(parsed.structure, parsed.values)
    assert features_of(bound, np.random.RandomState(0), 5, 3) is None


class Steeper(Linear):
    """A subclass with a covariance of its own, whose base has features."""

    def covariance(self, X1, X2=None):
        return 4.0 * super().covariance(X1, X2)

    def diagonal(self, X):
        return 4.0 * super().diagonal(X)


def test_no_class_has_the_features_of_another_covariance():
    parsed = parse(Steeper() + RBF())
    bound = bind(parsed.structure, parsed.values)
    assert features_of(bound, np.random.RandomState(0), 5, 3) is None
    assert features_of(bound.k2, np.random.RandomState(0), 5, 3) is not None


# --- functions -------------------------------------------------------------------------------


def assert_moments(model, X, n=N):
    """Mean, standard deviation and correlations of many functions, within five standard errors."""
    values = model.sample_functions(n, random_state=0)(X)
    mean, cov = model.predict(X, return_cov=True, include_noise=False)
    if values.ndim == 2:
        values, mean, cov = values[:, None], mean[:, None], cov[..., None]
    for p in range(values.shape[1]):
        own, std = values[:, p], np.sqrt(np.diag(cov[..., p]))
        assert np.abs(own.mean(1) - mean[:, p]).max() < 5.0 * std.max() / np.sqrt(n)
        errors = (np.cov(own) - cov[..., p]) / np.outer(std, std)
        assert np.abs(errors).max() < 5.0 * np.sqrt(2.0 / n)


MODELS = {
    "exact": {"n_inducing": None},
    "points": {"n_inducing": 8},
    "neighbours": {"n_neighbors": 10},
    "linear mean": {"n_inducing": None, "mean": "linear"},
    "linear mean at points": {"n_inducing": 8, "mean": "linear"},
    "regressor as mean": {"n_inducing": None, "mean": Ridge()},
    "not Gaussian": {"n_inducing": 8, "likelihood": "student_t"},
    "rough, growing": {"n_inducing": None, "kernel": Matern(1.0, nu=0.5) * RBF(3.0) + DotProduct()},
    "without features": {"n_inducing": None, "kernel": Matern(0.9, nu=2.5) ** 1.5},
    "neighbours without features": {"n_neighbors": 10, "kernel": Matern(0.9, nu=2.5) ** 1.5},
}


@pytest.mark.parametrize("settings", MODELS.values(), ids=MODELS)
def test_moments(rows, settings):
    X, y = rows
    model = regressor().set_params(**settings).fit(X, 100.0 + 20.0 * y)
    assert_moments(model, np.vstack([X[:2], X[::15] * 1.7]))


@pytest.mark.parametrize("n_inducing", [None, 8])
def test_several_targets(rows, n_inducing):
    X, y = rows
    Y, at = np.column_stack([y, 50.0 * np.cos(X[:, 1])]), X[::15] * 1.7
    kernel = CompoundKernel([FIXED, Matern(0.9, nu=1.5)])
    model = regressor(n_inducing=n_inducing).set_params(kernel=kernel).fit(X, Y)
    assert model.sample_functions(3)(at).shape == (4, 2, 3)
    assert_moments(model, at)
    values = regressor(n_inducing=n_inducing).fit(X, Y).sample_functions(N, random_state=0)(at)
    correlation = [np.corrcoef(values[k])[0, 1] for k in range(4)]
    assert np.abs(correlation).max() < 5.0 / np.sqrt(N)  # targets are independent


def test_related_targets(rows):
    X, y = rows
    likelihood = Coregionalised(1)
    model = GaussianProcessRegressor(FIXED, likelihood=likelihood, n_inducing=8, max_iter=3)
    model.fit(X, np.column_stack([y, -2.0 * y]))
    assert_moments(model, X[::15] * 1.7)
    values = model.sample_functions(5, random_state=0)(X)
    assert np.corrcoef(values[:, 0].ravel(), values[:, 1].ravel())[0, 1] < -0.99


def test_counts_and_labels(rows):
    X, y = rows
    counts = regressor(likelihood="poisson", n_inducing=8).fit(X, np.round(np.exp(y)))
    functions = counts.sample_functions(N, random_state=0)
    values, twice = functions(X[:4]), functions(X[:4], exposure=np.full(4, 2.0))
    np.testing.assert_allclose(twice, 2.0 * values, rtol=1e-12)
    error = 5.0 * values.std(1) / np.sqrt(N)
    assert np.all(np.abs(values.mean(1) - counts.predict(X[:4])) < error)
    for classes in (2, 3):
        labels = np.digitize(y, [-0.5, 0.5][: classes - 1])
        model = GaussianProcessClassifier(FIXED, n_inducing=8, max_iter=3).fit(X, labels)
        p = model.sample_functions(N, random_state=0)(X[:4])
        assert p.shape == (4, classes, N)
        np.testing.assert_allclose(p.sum(1), 1.0)
        error = 5.0 * p.std(2) / np.sqrt(N) + 1e-3  # of points that are fixed
        assert np.all(np.abs(p.mean(2) - model.predict_proba(X[:4])) < error)


FORMS = {name: MODELS[name] for name in ("exact", "points", "neighbours", "without features")}


@pytest.mark.parametrize("settings", FORMS.values(), ids=FORMS)
def test_the_same_functions_each_time(rows, settings):
    X, y = rows
    model = regressor().set_params(**settings).fit(X, y)
    functions = model.sample_functions(4, random_state=1)
    at, far = X[::6] + 0.3, X[:3] * 2.0
    first = functions(at)
    functions(far)
    # other numbers of rows are rounded in another order
    np.testing.assert_allclose(functions(at[::-1])[::-1], first, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(functions(at), first)
    again = model.sample_functions(4, random_state=1)
    np.testing.assert_array_equal(again(at), first)
    assert np.abs(model.sample_functions(4, random_state=2)(at) - first).min() > 0.0
    travelled = pickle.loads(pickle.dumps(functions))
    model.fit(X, -y)  # the functions are of what was known
    np.testing.assert_array_equal(functions(at), first)
    np.testing.assert_allclose(travelled(at), first, rtol=1e-12)
    np.testing.assert_allclose(travelled(far), functions(far), rtol=1e-9, atol=1e-9)


def test_values_one_by_one_are_those_of_one_function(rows):
    """Near rows have near values, whenever they are asked for."""
    X, y = rows
    model = regressor().set_params(**MODELS["without features"]).fit(X, y)
    functions = model.sample_functions(3, random_state=0)
    line = np.column_stack([np.linspace(-2, 2, 40), np.zeros(40)])
    some = functions(line[::4])
    every = functions(line)
    np.testing.assert_array_equal(every[::4], some)
    assert np.abs(np.diff(every, 2, axis=0)).max() < 0.2 * np.ptp(every)
    near = functions(line + 1e-9)
    np.testing.assert_allclose(near, every, atol=1e-4)


def test_little_noise(rows):
    X, _ = rows
    y = np.sin(2.0 * X[:, 0])
    model = regressor(n_inducing=None, alpha=1e-8).fit(X, y)
    values = model.sample_functions(20, random_state=0)(X)
    np.testing.assert_allclose(values, np.repeat(y[:, None], 20, 1), atol=2e-3)


@pytest.mark.parametrize(
    "kernel",
    [Matern(1.0, nu=1.5), Matern(5.0, nu=2.5), RBF(0.3), RationalQuadratic(1.0, 1.0)],
    ids=lambda kernel: type(kernel).__name__,
)
def test_what_smooth_functions_leave_open(kernel):
    """Variances of 1e-3 to 1e-10 of the prior's: each function has frequencies as high as these.

    With draws of the spectral density the median function was off by 2 % of a standard deviation
    under Matern-3/2, not by 67 %, and the spread of 700 functions under Matern-5/2 a sixth.
    """
    rng = np.random.RandomState(0)
    X, Q = rng.uniform(size=(40, 2)), rng.uniform(size=(6, 2))
    model = GaussianProcessRegressor(kernel, optimizer=None, alpha=1e-10, n_inducing=None)
    model.fit(X, np.sin(5.0 * X[:, 0]) + X[:, 1])
    mean, std = model.predict(Q, return_std=True, include_noise=False)
    z = (model.sample_functions(N, random_state=0)(Q) - mean[:, None]) / std[:, None]
    assert np.abs(z.mean(1)).max() < 5.0 / np.sqrt(N)
    np.testing.assert_allclose(z.std(1), 1.0, atol=0.15)
    median = np.median(np.abs(z)) / 0.6745  # that of a normal distribution
    assert 0.7 < median < 1.1


def test_refusals(rows):
    X, y = rows
    with pytest.raises(NotFittedError):
        regressor().sample_functions()
    model = regressor(n_inducing=None).fit(X, y)
    for n in (0, 2.0):
        with pytest.raises(ValueError, match="positive integer"):
            model.sample_functions(n)
    functions = model.sample_functions()
    assert functions.n_samples == 1 and functions(X).shape == (60, 1)
    assert repr(functions).startswith("<1 functions drawn from GaussianProcessRegressor")
    with pytest.raises(ValueError, match="2 features"):
        functions(X[:, :1])
