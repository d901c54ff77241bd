"""``shared_kernel``: a kernel of each class, or one for all."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from estimator.cases import classifier, silent
from sklearn.datasets import load_iris
from sklearn.gaussian_process.kernels import (
    RBF,
    CompoundKernel,
    ConstantKernel,
    Matern,
    RationalQuadratic,
)

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor


@pytest.fixture
def rough_and_smooth():
    """Class "a" changes slowly along X, "b" and "c" quickly."""
    X = np.linspace(-3, 3, 120)[:, None]
    fast = np.where(np.sin(4.0 * X[:, 0]) > 0, "b", "c")
    return X, np.where(X[:, 0] < -0.5, "a", fast)


@pytest.mark.parametrize("n_inducing", [None, 30])
def test_shared_kernel_false_learns_a_kernel_of_each_class(rough_and_smooth, n_inducing):
    X, y = rough_and_smooth
    shared = classifier(n_inducing=n_inducing).fit(X, y)
    model = classifier(n_inducing=n_inducing, shared_kernel=False).fit(X, y)
    assert type(model.kernel_) is CompoundKernel and len(model.kernel_.kernels) == 3
    assert model.elbo_ > shared.elbo_ + 1.0
    assert np.ptp([kernel.k2.length_scale for kernel in model.kernel_.kernels]) > 0.1
    assert model.score(X, y) > 0.9
    p = model.predict_proba(X)
    np.testing.assert_allclose(p.sum(1), 1.0)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(model)).predict_proba(X), p, rtol=1e-12)


def test_compound_kernel_has_a_kernel_of_another_kind_for_each_class(rough_and_smooth):
    X, y = rough_and_smooth
    kinds = [RBF(1.0), ConstantKernel(2.0, "fixed") * Matern(0.3, nu=1.5), RationalQuadratic(0.3)]
    model = GaussianProcessClassifier(CompoundKernel(kinds), n_inducing=20, random_state=0)
    model.set_params(max_iter=40).fit(X, y)
    assert [type(k) for k in model.kernel_.kernels] == [type(k) for k in kinds]
    assert model.kernel_.kernels[1].k1.constant_value == pytest.approx(2.0, rel=1e-12)
    assert np.all(np.abs(model.kernel_.theta - CompoundKernel(kinds).theta) > 1e-3)
    mean, variance = model.latent_mean_and_variance(np.full((1, 1), 1e3))  # the prior's
    np.testing.assert_allclose(mean, 0.0, atol=1e-2)  # a rational quadratic falls slowly
    np.testing.assert_allclose(variance, [[1.0, 2.0, 1.0]], rtol=1e-2)


def test_compound_kernel_has_as_many_kernels_as_classes(three, two, ordered):
    pair = CompoundKernel([RBF(), RBF()])
    with pytest.raises(ValueError, match="CompoundKernel of 2 kernels.*3 latent"):
        GaussianProcessClassifier(pair).fit(*three)
    with pytest.raises(ValueError, match="CompoundKernel of 2 kernels.*1 latent"):
        GaussianProcessClassifier(pair).fit(*two)
    for regress in (lambda m: m.fit(*ordered), lambda m: m.predict(ordered[0])):  # also the prior's
        with pytest.raises(ValueError, match="CompoundKernel of 2, but there are 1 latent"):
            regress(GaussianProcessRegressor(pair))


def test_shared_kernel_is_no_matter_for_two_classes(two):
    X, y = two
    shared, own = (
        classifier(n_inducing=None, shared_kernel=s, max_iter=20).fit(X, y) for s in (True, False)
    )
    assert own.kernel_ == shared.kernel_
    np.testing.assert_array_equal(own.predict_proba(X), shared.predict_proba(X))


def test_a_class_that_the_others_tell_is_no_concern():
    """One of three latent functions may be nothing."""
    X, y = load_iris(return_X_y=True)
    model = silent(GaussianProcessClassifier(shared_kernel=False, random_state=0), X, y)
    assert model.score(X, y) > 0.95
