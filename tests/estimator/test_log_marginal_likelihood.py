"""``log_marginal_likelihood`` and its gradient, also against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from estimator.cases import FIXED, KERNEL, classifier, regressor
from reference import differences
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process import GaussianProcessRegressor as SklearnRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, RationalQuadratic, WhiteKernel

from skgpng import GaussianProcessRegressor

LML_KERNELS = {
    "quadratic and noise": ConstantKernel(1.2) * RBF([0.9, 1.4])
    + RationalQuadratic(0.7, 1.3)
    + WhiteKernel(0.2),
    "some fixed": ConstantKernel(1.2, "fixed") * RBF([0.9, 1.4])
    + RationalQuadratic(0.7, 1.3, alpha_bounds="fixed")
    + WhiteKernel(0.2, "fixed"),
}


@pytest.mark.parametrize("name", LML_KERNELS)
@pytest.mark.parametrize("targets", [1, 2])
def test_log_marginal_likelihood_and_its_gradient(ordered, name, targets):
    X, y = ordered
    Y = np.column_stack([y, np.cos(X[:, 1])])[:, :targets]
    settings = dict(n_inducing=None, max_iter=10)
    model = GaussianProcessRegressor(LML_KERNELS[name], **settings)
    model.fit(X, Y, sample_weight=np.linspace(0.5, 2.0, 60))
    learned = model.kernel_.theta
    value, gradient = model.log_marginal_likelihood(learned, eval_gradient=True)
    assert value == pytest.approx(model.elbo_, rel=1e-10)
    assert value == model.log_marginal_likelihood(learned)
    assert model.log_marginal_likelihood() == model.log_marginal_likelihood_value_ == model.elbo_
    assert gradient.shape == learned.shape
    theta = learned + np.random.RandomState(0).uniform(-0.5, 0.5, len(learned))
    gradient = model.log_marginal_likelihood(theta, eval_gradient=True)[1]
    expected = differences(model.log_marginal_likelihood, theta)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(model.kernel_.theta, learned)


def test_log_marginal_likelihood_is_scikit_learns(ordered):
    X, y = ordered
    kernel = LML_KERNELS["quadratic and noise"]
    ours = GaussianProcessRegressor(kernel, n_inducing=None, optimizer=None).fit(X, y)
    theirs = SklearnRegressor(kernel, normalize_y=True, optimizer=None, alpha=1e-300).fit(X, y)
    theta = kernel.theta + 0.3
    for a, b in zip(
        ours.log_marginal_likelihood(theta, True, clone_kernel=False),
        theirs.log_marginal_likelihood(theta, True),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-8)


def test_log_marginal_likelihood_with_known_noise(ordered):
    X, y = ordered
    for kernel, alpha in ((KERNEL, None), (KERNEL, 0.1), (KERNEL + WhiteKernel(0.1), 0.1)):
        model = GaussianProcessRegressor(kernel, alpha=alpha, n_inducing=None, max_iter=10)
        model.fit(X, y, noise_variance=np.linspace(0.0, 0.3, 60))
        at_theta = model.log_marginal_likelihood(model.kernel_.theta)
        assert at_theta == pytest.approx(model.elbo_, rel=1e-10)


def test_log_marginal_likelihood_where_all_is_fixed(ordered):
    model = GaussianProcessRegressor(FIXED + WhiteKernel(0.1, "fixed"), n_inducing=None).fit(
        *ordered
    )
    value, gradient = model.log_marginal_likelihood(model.kernel_.theta, eval_gradient=True)
    assert value == pytest.approx(model.elbo_, rel=1e-10) and gradient.shape == (0,)


def test_log_marginal_likelihood_errors(ordered, two):
    model = regressor(n_inducing=10, max_iter=10)
    with pytest.raises(NotFittedError):
        model.log_marginal_likelihood()
    model.fit(*ordered)
    assert model.log_marginal_likelihood() == model.elbo_
    with pytest.raises(ValueError, match="training rows.*n_inducing=None"):
        model.log_marginal_likelihood(model.kernel_.theta)
    with pytest.raises(ValueError, match="theta!=None: give one, such as kernel_.theta"):
        model.log_marginal_likelihood(eval_gradient=True)
    model = classifier(max_iter=10)
    with pytest.raises(NotFittedError):
        model.log_marginal_likelihood()
    # the bound at the best q, which ten steps have not found
    value = model.fit(*two).log_marginal_likelihood()
    assert model.elbo_ < value < model.elbo_ + 2.0
    assert value == model.log_marginal_likelihood_value_
