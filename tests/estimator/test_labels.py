"""``likelihood`` and ``epsilon`` of the classifier: links, wrong labels, files and streams."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from estimator.answers import answers, assert_equal_answers
from estimator.cases import classifier
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

import skgpng
from skgpng import GaussianProcessClassifier
from skgpng._runtime import tf
from skgpng.likelihoods import LABEL_NAMES, Bernoulli, Labels, Logit, RobustMax, Softmax

# name: (data, settings)
SETTINGS = {
    "logit": ("two", {"likelihood": "logit", "epsilon": None}),
    "probit": ("two", {"likelihood": "probit", "epsilon": None, "n_inducing": 10}),
    "softmax of two": ("two", {"likelihood": "softmax"}),
    "softmax": ("three", {"likelihood": "softmax", "epsilon": None, "n_inducing": 10}),
    "robust-max": ("three", {"likelihood": "robust_max", "epsilon": None}),
    "robust-max of two": ("two", {"likelihood": "robust_max", "epsilon": 0.05}),
}
every_setting = pytest.mark.parametrize("name", SETTINGS)


@pytest.fixture
def given(request, name):
    """A model of ``SETTINGS`` that has not been fitted, X and y."""
    data, settings = SETTINGS[name]
    settings = {"n_inducing": None, "max_iter": 40, **settings}
    return classifier(**settings), *request.getfixturevalue(data)


# max_iter=5: the checks fit some hundred times, and none asks for a converged fit
@parametrize_with_checks(
    [
        GaussianProcessClassifier(likelihood="logit", epsilon=None, n_inducing=5, max_iter=5),
        GaussianProcessClassifier(likelihood="robust_max", n_inducing=5, max_iter=15),
    ]
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


# --- predictions -----------------------------------------------------------------------------


@every_setting
def test_answers_belong_together(given):
    model, X, y = given
    model.fit(X, y)
    p, C = model.predict_proba(X), len(model.classes_)
    assert p.shape == (len(X), C) and np.all(p > 0)
    np.testing.assert_allclose(p.sum(1), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(model.predict(X), model.classes_[p.argmax(1)])
    score = model.decision_function(X)
    if C == 2:
        assert score.shape == (len(X),)
        np.testing.assert_array_equal(score > 0, p[:, 1] > 0.5)
        np.testing.assert_array_equal(np.argsort(score), np.argsort(p[:, 1], kind="stable"))
    else:
        np.testing.assert_array_equal(score.argmax(1), p.argmax(1))
    f_mean, f_var = model.latent_mean_and_variance(X)
    two_each = model.likelihood in ("softmax", "robust_max")
    assert f_mean.shape == f_var.shape == ((len(X), C) if two_each else (len(X),))
    assert model.score(X, y) > 0.7
    assert 0.0 <= model.likelihood_["epsilon"] < 0.4


@every_setting
def test_weights_count_rows(given):
    model, X, y = given
    X, y = X[:40], y[:40]
    twice = np.where(np.arange(40) % 3 == 0, 2, 1)
    weighted = clone(model).fit(X, y, sample_weight=twice)
    repeated = np.repeat(np.arange(40), twice)
    merged = clone(model).fit(X[repeated], y[repeated])  # equal rows are merged
    np.testing.assert_allclose(weighted.predict_proba(X), merged.predict_proba(X), rtol=2e-2)
    by_class = clone(model).set_params(class_weight={c: 2.0 for c in np.unique(y)}).fit(X, y)
    same = clone(model).fit(X, y, sample_weight=np.full(40, 2.0))
    np.testing.assert_allclose(by_class.predict_proba(X), same.predict_proba(X), rtol=1e-9)


@every_setting
def test_model_travels_and_goes_on(given, tmp_path):
    model, X, y = given
    model.set_params(warm_start=True).fit(X, y)
    pytest.importorskip("skops")
    skgpng.save(model, tmp_path / "model.skops")
    for other in (pickle.loads(pickle.dumps(model)), skgpng.load(tmp_path / "model.skops")):
        assert_equal_answers(answers(other, X), answers(model, X))
        assert other.likelihood_ == model.likelihood_
    epsilon = model.likelihood_["epsilon"]
    model.set_params(optimizer=None, max_iter=3).fit(X, y)
    assert model.likelihood_["epsilon"] == pytest.approx(epsilon, rel=1e-9)


@pytest.mark.parametrize("name", ["probit", "softmax"])
def test_streams_go_on_with_epsilon(given):
    model, X, y = given
    model.partial_fit(X[::2], y[::2], classes=np.unique(y))
    model.partial_fit(X[1::2], y[1::2])
    assert model.score(X, y) > 0.7 and 0.0 < model.likelihood_["epsilon"] < 0.4
    model.set_params(epsilon=0.03).partial_fit(X, y)
    assert model.likelihood_["epsilon"] == pytest.approx(0.03)
    with pytest.raises(ValueError, match="likelihood changed.*begin anew"):
        model.set_params(epsilon=0.0).partial_fit(X, y)


# --- wrong labels ----------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", LABEL_NAMES)
def test_share_of_wrong_labels_is_learned(likelihood):
    """One label in eight is wrong; of rows without errors the truth is as sure as it may be."""
    rng = np.random.RandomState(0)
    X = rng.uniform(-3, 3, (400, 1))
    truth = (np.abs(X[:, 0]) > 1.5).astype(int)
    y = np.where(rng.uniform(size=400) < 0.125, 1 - truth, truth)
    model = classifier(likelihood=likelihood, epsilon=None, n_inducing=15).fit(X, y)
    assert model.likelihood_["epsilon"] == pytest.approx(np.mean(y != truth), abs=0.04)
    assert np.mean(model.predict(X) == truth) > 0.97
    p = model.predict_proba([[0.0]])[0]
    assert p[1] == pytest.approx(model.likelihood_["epsilon"], abs=0.04)


def test_epsilon_given_is_kept_and_found_by_a_search(two):
    X, y = two
    model = classifier(likelihood="logit", n_inducing=None, max_iter=30)
    search = GridSearchCV(model, {"epsilon": [0.0, 0.02, 0.2]}, cv=2, scoring="neg_log_loss")
    search.fit(X, y)
    found = search.best_estimator_.likelihood_["epsilon"]
    assert found == pytest.approx(search.best_params_["epsilon"])
    assert clone(model).set_params(epsilon=0.2).fit(X, y).elbo_ < model.fit(X, y).elbo_


def test_default_is_the_likelihood_by_its_name(two, three):
    for (X, y), name, one in ((two, "probit", Bernoulli()), (three, "softmax", Softmax(3))):
        models = [classifier(likelihood=given, max_iter=20) for given in ("auto", name, one)]
        curves = [model.fit(X, y).elbo_curve_ for model in models]
        np.testing.assert_array_equal(curves[0], curves[1])
        np.testing.assert_array_equal(curves[0], curves[2])
    X, y = two
    # a number among the values is the same as one in the formula
    by_value = classifier(epsilon=1e-3, max_iter=20).fit(X, y)
    plain = classifier(max_iter=20).fit(X, y)
    np.testing.assert_allclose(by_value.elbo_curve_, plain.elbo_curve_, rtol=1e-9)


# --- objects, and what does not fit ----------------------------------------------------------


@dataclass(frozen=True)
class OneSided(Labels):
    """Only "yes" may be wrong: p(y=1 | f) = 0.3 + 0.7 / (1 + exp(-f))."""

    def log_prob(self, values, F, Y, row=None):
        no = 0.7 * tf.sigmoid(-F)
        return tf.math.log(tf.where(Y == 1, 1.0 - no, no))


def test_likelihood_of_ones_own(two):
    X, y = two
    model = classifier(likelihood=OneSided(), n_inducing=10).fit(X, y)
    p = model.predict_proba(X)
    assert np.all(p[:, 1] > 0.3 - 1e-9) and model.likelihood_ == {}
    np.testing.assert_array_equal(model.predict(X), np.array(["no", "yes"])[p.argmax(1)])
    np.testing.assert_array_equal(model.decision_function(X) > 0, p[:, 1] > 0.5)
    with pytest.raises(ValueError, match="of 2 classes, but y has 3"):
        classifier(likelihood=OneSided()).fit(X, np.arange(60) % 3)


@pytest.mark.parametrize(
    ("settings", "n_classes", "says"),
    [
        ({"likelihood": "logit"}, 3, "one of two classes, but y has 3.*'softmax'"),
        ({"likelihood": "probit"}, 4, "one of two classes, but y has 4.*'auto'"),
        ({"likelihood": Softmax(4)}, 3, "of 4 classes, but y has 3"),
        ({"likelihood": RobustMax(3), "epsilon": 0.1}, 3, "both.*epsilon='auto'"),
        ({"likelihood": Logit(), "epsilon": None}, 2, "both"),
        ({"likelihood": "robust_max", "epsilon": 0.0}, 3, "epsilon of robust-max is 0"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_said_before_training(two, settings, n_classes, says, monkeypatch):
    monkeypatch.setattr("skgpng._estimator.fitting.best_run", None)  # not reached
    X, _ = two
    with pytest.raises(ValueError, match=f"(?s){says}"):
        classifier(**settings).fit(X, np.arange(60) % n_classes)
