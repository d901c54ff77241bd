"""A kernel of its own for each target: ``CompoundKernel``."""

from __future__ import annotations

import functools
import pickle

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import (
    RBF,
    CompoundKernel,
    ConstantKernel,
    DotProduct,
    Matern,
    WhiteKernel,
)

import skgpng
from skgpng import GaussianProcessRegressor

KERNELS = [ConstantKernel(1.0) * RBF([1.0, 2.0]), ConstantKernel(2.0) * Matern(0.7, nu=2.5)]
PAIR = CompoundKernel(KERNELS)
regressor = functools.partial(GaussianProcessRegressor, kernel=PAIR, alpha=0.01, normalize_y=False)
MODELS = {
    "exact": {},
    "sites": {"gamma": 0.9, "tol": 1e-9, "optimizer": None},
    "points": {"n_inducing": 12, "optimizer": None, "max_iter": 3},
    "minibatch": {"n_inducing": 12, "batch_size": 25, "gamma": 1.0, "optimizer": None},
}


@pytest.fixture(scope="module")
def data():
    rng = np.random.RandomState(0)
    X = rng.uniform(-2, 2, (25, 2))
    Y = np.c_[np.sin(2 * X[:, 0]), np.cos(3 * X[:, 1])] + 0.1 * rng.randn(25, 2)
    return X, Y, rng.uniform(-2, 2, (7, 2))


@pytest.mark.parametrize("name", MODELS)
def test_each_target_as_if_alone(data, name):
    X, Y, new = data
    both = regressor(random_state=0, **MODELS[name]).fit(X, Y)
    mean, cov = both.predict(new, return_cov=True)
    std = both.predict(new, return_std=True)[1]
    elbo = 0.0
    kernels = both.kernel_.kernels
    for k, kernel in enumerate(kernels):
        changes = MODELS[name] | {"optimizer": None, "kernel": kernel}
        alone = regressor(random_state=0, **changes).fit(X, Y[:, k])
        m, c = alone.predict(new, return_cov=True)
        np.testing.assert_allclose(mean[:, k], m, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(cov[..., k], c, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(std[:, k], np.sqrt(np.diag(c)), rtol=1e-6)
        elbo += alone.elbo_
    np.testing.assert_allclose(both.elbo_, elbo, rtol=1e-6)


def test_the_evidence_elsewhere_and_its_gradient(data):
    X, Y, _ = data
    pair = CompoundKernel([KERNELS[0] + WhiteKernel(0.1), KERNELS[1]])
    model = regressor(kernel=pair, alpha=None).fit(X, Y)
    theta = model.kernel_.theta + 0.1
    value, gradient = model.log_marginal_likelihood(theta, eval_gradient=True)
    assert value < model.elbo_
    steps = 1e-5 * np.eye(len(theta))
    differences = [
        (model.log_marginal_likelihood(theta + s) - model.log_marginal_likelihood(theta - s)) / 2e-5
        for s in steps
    ]
    np.testing.assert_allclose(gradient, differences, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"theta has the shape \(2,\), but 6 hyperparameters"):
        model.log_marginal_likelihood(theta[:2])


def test_saved_and_loaded(data, tmp_path):
    X, Y, new = data
    model = regressor().fit(X, Y)
    skgpng.save(model, tmp_path / "model")
    for other in (skgpng.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict(new), model.predict(new))


def test_before_fit(data):
    cov = regressor(n_targets=2).predict(data[2], return_cov=True, include_noise=False)[1]
    for k, kernel in enumerate(KERNELS):
        np.testing.assert_allclose(cov[..., k], kernel(data[2]), rtol=1e-10)


def test_as_many_as_targets(data):
    X, Y, _ = data
    with pytest.raises(ValueError, match="CompoundKernel of 2, but there are 3 latent functions"):
        regressor().fit(X, np.c_[Y, Y[:, 0]])
    with pytest.raises(ValueError, match="n_neighbors=5 needs one kernel"):
        regressor(n_neighbors=5).fit(X, Y)


def test_many_rows_take_points():
    """What is near is not the same for all targets, so that "auto" takes no neighbours."""
    rng = np.random.RandomState(0)
    X = rng.uniform(-2, 2, (1100, 1))
    Y = np.c_[np.sin(2 * X[:, 0]), 3.0 * X[:, 0]] + 0.1 * rng.randn(1100, 2)
    kernel = CompoundKernel([1.0 * RBF(1.0), 1.0 * DotProduct(1.0)])
    model = GaussianProcessRegressor(kernel, random_state=0, max_iter=40, tol=1e-3).fit(X, Y)
    assert model.n_neighbors_ is None and len(model.inducing_points_) == 256
    assert model.score(X, Y) > 0.95
