"""``loo_predict``: each row predicted from all others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process.kernels import RBF, CompoundKernel, ConstantKernel, Matern

from skgpng import GaussianProcessRegressor

KERNEL = ConstantKernel(1.3) * RBF([0.7, 1.2])
PAIR = CompoundKernel([KERNEL, ConstantKernel(0.8) * Matern([1.0, 2.0], nu=2.5)])


@pytest.fixture(scope="module")
def data():
    rng = np.random.RandomState(0)
    X = rng.randn(25, 2)
    y = np.sin(X[:, 0]) + 0.1 * rng.randn(25)
    given = {"sample_weight": rng.uniform(0.5, 2, 25), "noise_variance": rng.uniform(0, 0.1, 25)}
    return X, y, given


def by_hand(model, X, y, given):
    """Fits of all rows but one: hyperparameters are held, so that nothing else changes."""
    found = []
    for n in range(len(X)):
        rest, own = np.arange(len(X)) != n, slice(n, n + 1)
        model.fit(X[rest], y[rest], **{name: v[rest] for name, v in given.items()})
        row = {"noise_variance": given["noise_variance"][own]} if given else {}
        mean, std = model.predict(X[own], return_std=True, **row)
        found.append((mean[0], std[0], model.log_predictive_density(X[own], y[own], **row)[0]))
    return [np.array(each) for each in zip(*found, strict=True)]


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    "changes",
    [{}, {"n_neighbors": 8}, {"n_neighbors": 8, "dtype": "float32"}, {"kernel": PAIR}],
    ids=["exact", "neighbours", "float32", "a kernel for each target"],
)
def test_equals_fits_without_the_row(data, changes, known):
    X, y, given = data
    given = given if known else {}
    y = np.c_[y, np.cos(X[:, 1])] if "kernel" in changes else y
    options = {"kernel": KERNEL, "alpha": 0.02, "optimizer": None, "normalize_y": False}
    model = GaussianProcessRegressor(**options | changes)
    found = model.fit(X, y, **given).loo_predict(X, y, **given)
    for a, b in zip(found, by_hand(model, X, y, given), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


def test_in_the_units_of_y(data):
    X, y, _ = data
    far = GaussianProcessRegressor(KERNEL).fit(X, 1e3 * y - 5e4).loo_predict(X, 1e3 * y - 5e4)
    near = GaussianProcessRegressor(KERNEL).fit(X, y).loo_predict(X, y)
    np.testing.assert_allclose(far.mean, 1e3 * near.mean - 5e4, rtol=1e-6)
    np.testing.assert_allclose(far.std, 1e3 * near.std, rtol=1e-5)
    np.testing.assert_allclose(far.log_density, near.log_density - np.log(1e3), rtol=1e-4)


def test_copies_stand_for_each_other(data):
    """A row that is there twice is predicted by its copy."""
    X, y, _ = data
    X, y = np.r_[X, X[:1]], np.r_[y, y[:1] + 0.1]
    model = GaussianProcessRegressor(KERNEL, alpha=1e-4, optimizer=None).fit(X, y)
    found = model.loo_predict(X, y)
    np.testing.assert_allclose(found.mean[[0, -1]], y[[-1, 0]], atol=1e-2)


def test_local_scale_is_that_of_predictions(data):
    X, y, _ = data
    model = GaussianProcessRegressor(n_neighbors=8, random_state=0).fit(X, y)
    found = model.loo_predict(X, y)
    far = X + 1e-9  # no row itself, so that each has its copy among its neighbours
    assert np.all(found.std > 0.5 * model.predict(far, return_std=True)[1])
    assert 0.5 < np.std((y - found.mean) / found.std) < 2.0


def test_beside_a_regressor(data):
    """A forest that has seen the rows would leave next to nothing of them."""
    X, y, _ = data
    X, y = np.r_[X, X + 0.01], np.r_[y, y + 0.05]
    forest = RandomForestRegressor(30, random_state=0)
    model = GaussianProcessRegressor(KERNEL, mean=forest, random_state=0).fit(X, y)
    found = model.loo_predict(X, y)
    assert 0.6 < np.std((y - found.mean) / found.std) < 1.6
    np.testing.assert_allclose(found.log_density, norm.logpdf(y, found.mean, found.std), rtol=1e-8)


def test_coefficients_of_a_line_are_those_of_the_other_rows(data):
    X, y, _ = data
    y = y + 5.0 * X[:, 1]
    options = {"alpha": 0.02, "normalize_y": False, "mean": "linear"}
    model = GaussianProcessRegressor(KERNEL, **options).fit(X, y)
    found = model.loo_predict(X, y)
    for n in range(4):
        rest, own = np.arange(len(X)) != n, slice(n, n + 1)
        other = GaussianProcessRegressor(_held(model.kernel_), **options).fit(X[rest], y[rest])
        mean, std = other.predict(X[own], return_std=True)
        # units of columns are those of the rows, and so is the weak prior of slopes
        np.testing.assert_allclose(found.mean[n], mean[0], atol=2e-3 * np.std(y))
        np.testing.assert_allclose(found.std[n], std[0], rtol=5e-3)


def _held(kernel):
    """With all hyperparameters fixed."""
    fixed = {f"{h.name}_bounds": "fixed" for h in kernel.hyperparameters}
    return clone(kernel).set_params(**fixed)


def test_what_it_needs(data):
    X, y, _ = data
    with pytest.raises(NotFittedError):
        GaussianProcessRegressor().loo_predict(X, y)
    for options in ({"n_inducing": 5}, {"likelihood": "student_t", "max_iter": 5}):
        model = GaussianProcessRegressor(KERNEL, tol=1.0, **options).fit(X, y)
        with pytest.raises(ValueError, match="exact model or neighbours"):
            model.loo_predict(X, y)
    model = GaussianProcessRegressor(KERNEL, optimizer=None).fit(X, y)
    with pytest.raises(ValueError, match="two rows"):
        model.loo_predict(X[:1], y[:1])
    with pytest.raises(ValueError, match="positive weight"):
        model.loo_predict(X, y, sample_weight=np.eye(25)[0])
    with pytest.raises(TypeError, match="exposures"):
        model.loo_predict(X, y, exposures=np.ones(25))
