"""Settings of likelihoods, by name: searches, clones, and objects that stay as they are."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgpng import GaussianProcessRegressor
from skgpng.likelihoods import AsymmetricLaplace, Bernoulli, Gaussian, Likelihood, StudentT

KERNEL = ConstantKernel(1.0) * RBF([1.0, 1.0])


def model(likelihood, **settings):
    given = {"n_inducing": 10, "max_iter": 15, "tol": 1.0, "random_state": 0, **settings}
    return GaussianProcessRegressor(KERNEL, likelihood=likelihood, **given)


def test_settings_are_in_a_grid(rows):
    given = StudentT(df=3.0)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), model(given)),
        {"gaussianprocessregressor__likelihood__df": [2.5, 30.0, None]},
        cv=2,
        error_score="raise",
    ).fit(*rows)
    best = search.best_estimator_[-1]
    assert best.likelihood == given and given.df == 3.0
    named = search.best_params_["gaussianprocessregressor__likelihood__df"]
    assert best.get_params()["likelihood__df"] == named
    assert named is None or best.likelihood_["df"] == named


def test_the_object_given_is_not_changed(rows):
    X, y = rows
    given = StudentT(df=3.0)
    a, b = model(given).fit(X, y), model(given)
    before = a.predict_quantiles(X)
    assert a.set_params(likelihood__df=50.0) is a
    assert (a.likelihood.df, b.likelihood.df, given.df) == (50.0, 3.0, 3.0)
    # what was fitted stays, until the next fit
    np.testing.assert_array_equal(a.predict_quantiles(X), before)
    assert a.likelihood_["df"] == 3.0 and a.fit(X, y).likelihood_["df"] == 50.0
    copied = clone(b)
    assert copied.likelihood is not given and copied.likelihood.get_params() == {"df": 3.0}
    loaded = pickle.loads(pickle.dumps(a))
    np.testing.assert_array_equal(loaded.predict_quantiles(X), a.predict_quantiles(X))
    assert loaded.likelihood.df == 50.0


def test_an_object_and_its_setting_at_once():
    changed = model("gaussian").set_params(likelihood=StudentT(), likelihood__df=7.0)
    assert changed.likelihood.df == 7.0


@pytest.mark.parametrize(
    ("likelihood", "name", "said"),
    [
        (StudentT(), "likelihood__dof", r"'dof' for the likelihood StudentT\(df=None\).*\['df'\]"),
        (Gaussian(), "likelihood__df", r"'df' for the likelihood Gaussian\(\).*\[\]"),
        ("student_t", "likelihood__df", "'likelihood__df'.*its likelihood is 'student_t'.*object"),
        (StudentT(), "likelihoods__df", "Invalid parameter 'likelihoods'"),
    ],
)
def test_names_that_are_none_are_said(likelihood, name, said):
    with pytest.raises(ValueError, match=said):
        model(likelihood).set_params(**{name: 3.0})


@pytest.mark.parametrize(
    "likelihood",
    [StudentT(df=1.0), StudentT(df="4"), AsymmetricLaplace(1.0), AsymmetricLaplace(None)],
)
def test_settings_outside_of_their_range_are_said(rows, likelihood):
    with pytest.raises(ValueError, match="must be a number between [01].*excluded, got"):
        model(likelihood).fit(*rows)


def test_likelihoods_of_one_code_are_equal():
    assert hash(StudentT(3.0)) == hash(StudentT()) and StudentT(3.0) == StudentT()
    assert AsymmetricLaplace(0.1) == AsymmetricLaplace(0.9)
    assert Bernoulli(1e-2) != Bernoulli(1e-3)  # which is in its code
    assert Bernoulli().with_params(epsilon=0.01) == Bernoulli(0.01)


def test_a_stream_does_not_go_on_with_another_setting(rows):
    X, y = rows
    fitted = model(AsymmetricLaplace(0.1)).partial_fit(X, y)
    fitted.set_params(likelihood__quantile=0.9)
    with pytest.raises(ValueError, match=r"changed from .*quantile=0.1\) to .*quantile=0.9"):
        fitted.partial_fit(X, y)
    assert fitted.set_params(likelihood__quantile=0.1).partial_fit(X, y) is fitted


class WithConstructor(Likelihood):
    """No dataclass: it has no settings, and is copied as any other object."""

    def __init__(self, exponent):
        self.exponent = exponent

    def log_prob(self, values, F, Y, row=None):
        raise NotImplementedError


@dataclass(frozen=True)
class Own(StudentT):
    shift: float = 0.0


def test_likelihoods_of_ones_own_have_settings_if_they_are_dataclasses():
    assert Own(shift=2.0).get_params() == {"df": None, "shift": 2.0}
    assert model(Own()).set_params(likelihood__shift=1.0).likelihood == Own(shift=1.0)
    given = WithConstructor(3.0)
    assert given.get_params() == {}
    assert clone(model(given)).likelihood.exponent == 3.0
