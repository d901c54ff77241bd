"""scikit-learn's contract of an estimator, and what a fit leaves behind."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from estimator.answers import NAMES, answers, assert_equal_answers, classifier, regressor
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.gaussian_process.kernels import RBF
from sklearn.utils.estimator_checks import parametrize_with_checks

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor, kernels
from skgpng.likelihoods import AsymmetricLaplace

# max_iter=30: the checks fit some hundred times, and none asks for a converged fit
CHECKED = [
    estimator(n_inducing=n, batch_size=batch, max_iter=30)
    for estimator in (GaussianProcessRegressor, GaussianProcessClassifier)
    for n, batch in (("auto", "auto"), (5, "auto"), (5, 8))
]
# by name, and as an object with a setting
CHECKED += [
    GaussianProcessRegressor(likelihood=likelihood, n_inducing=5, max_iter=30)
    for likelihood in ("laplace", "heteroscedastic", AsymmetricLaplace(quantile=0.8))
]


@parametrize_with_checks(CHECKED)
def test_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "settings",
    [{"n_inducing": None}, {"n_inducing": 8}, {"n_inducing": 8, "batch_size": 16}],
    ids=str,
)
@pytest.mark.parametrize("make", [regressor, classifier], ids=NAMES)
def test_fitted_attributes_are_plain_and_predicting_changes_nothing(rows, make, settings):
    X, y = rows
    model = make(**settings).fit(X, y if make is regressor else y > 0.0)
    assert isinstance(model.elbo_, float) and isinstance(model.converged_, bool)
    assert model.elbo_curve_.shape == (model.n_iter_,)
    assert model.elbo_curve_[-1] > model.elbo_curve_[0]
    assert settings["n_inducing"] is None or type(model.inducing_points_) is np.ndarray
    before = pickle.dumps(model)
    assert "tensorflow" not in repr(before)
    whole = answers(model, X)
    assert_equal_answers(answers(model, X), whole)
    assert pickle.dumps(model) == before
    # nor does it matter which rows are asked for together
    order = np.random.RandomState(0).permutation(len(X))
    out = getattr(model, "predict_proba", model.predict)
    np.testing.assert_allclose(out(X[order]), out(X)[order], rtol=1e-10)
    np.testing.assert_allclose(out(X[:1]), out(X)[:1], rtol=1e-10)


def test_random_state_decides_a_fit(rows):
    X, y = rows
    model = regressor(n_inducing=8, batch_size=16, random_state=3)
    a, b = (clone(model).fit(X, y).predict(X) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, clone(model).set_params(random_state=4).fit(X, y).predict(X))


# --- refusals and warnings -----------------------------------------------------------------------


def test_fit_refuses_settings_that_exclude_each_other(rows):
    X, y = rows
    with pytest.raises(ValueError, match="batch_size=16 needs inducing points"):
        regressor(n_inducing=None, batch_size=16).fit(X, y)
    with pytest.raises(ValueError, match="batch_size=16"):
        regressor(n_inducing=5, batch_size=16, optimizer="lbfgs").fit(X, y)
    with pytest.raises(NotFittedError):
        classifier().predict(X)
    assert hasattr(regressor(), "partial_fit")
    assert not hasattr(regressor(n_inducing=None), "partial_fit")


def test_fit_gives_one_convergence_warning_from_the_line_that_called_it(rows):
    X, y = rows
    with pytest.warns(ConvergenceWarning, match="max_iter=2") as caught:
        regressor(max_iter=2).fit(X, y)
    assert len(caught) == 1 and caught[0].filename == __file__


class Distance(kernels.Kernel):
    """Minus the squared distance: no covariance."""

    def covariance(self, X1, X2=None):
        return -kernels.squared_distance(X1, X2, np.float64(1.0))


def test_fit_names_a_kernel_that_is_not_positive_definite(rows):
    X, y = rows
    with pytest.raises(ValueError, match="cannot be factorised.*Distance"):
        regressor(Distance(), alpha=1e-6).fit(X, y)


def test_fit_with_an_absurd_learning_rate_gives_a_usable_model_and_one_warning_at_most(
    rows, recwarn
):
    X, y = rows
    kernel = RBF(1.0, (1e-300, 1e300))
    model = regressor(kernel, learning_rate=1e3, max_iter=50, n_inducing=10).fit(X, y)
    assert len(recwarn) <= 1
    assert np.all(np.isfinite(model.predict(X, return_std=True)))
