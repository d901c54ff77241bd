from __future__ import annotations

import copy
import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.gaussian_process import GaussianProcessRegressor as SklearnRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import BayesianRidge, LogisticRegression, Ridge
from sklearn.metrics import check_scoring, get_scorer
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
from skgpng.metrics import (
    calibration_scorer,
    coverage_scorer,
    gaussian_crps,
    gaussian_log_density,
    interval_coverage,
    log_density_scorer,
    neg_crps_scorer,
)

SCORERS = [log_density_scorer, neg_crps_scorer, coverage_scorer(0.8), calibration_scorer(0.8)]
CASES = [(0.3, -1.0, 0.5), (2.0, 1.9, 3.0), (-4.0, 1.0, 0.7), (0.0, 0.0, 1e-3)]


@pytest.fixture(scope="module")
def rows():
    rng = np.random.RandomState(0)
    X = rng.uniform(-3, 3, (40, 2))
    return X, 5.0 + 2.0 * np.sin(X[:, 0]) + 0.3 * rng.randn(40)


@pytest.fixture(scope="module")
def fitted(rows):
    X, y = rows
    return GaussianProcessRegressor(max_iter=50, tol=0.1).fit(X[:25], y[:25])


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


# --- scores of rows --------------------------------------------------------------------------


@pytest.mark.parametrize(("y", "mean", "std"), CASES)
def test_crps_against_integration(y, mean, std):
    def integrand(x):
        return (norm.cdf(x, mean, std) - (x >= y)) ** 2

    low, high = min(y, mean - 10 * std), max(y, mean + 10 * std)
    ends = sorted({low, mean, y, high})
    expected = sum(quad(integrand, a, b, epsabs=1e-12)[0] for a, b in zip(ends, ends[1:]))
    np.testing.assert_allclose(gaussian_crps([y], [mean], [std]), [expected], rtol=1e-8)


@pytest.mark.parametrize(("y", "mean", "std"), CASES)
def test_log_density_against_scipy(y, mean, std):
    found = gaussian_log_density([y], [mean], [std])
    np.testing.assert_allclose(found, [norm.logpdf(y, mean, std)], rtol=1e-12)


@pytest.mark.parametrize("score", [gaussian_log_density, lambda *a: -gaussian_crps(*a)])
def test_scores_are_proper(score):
    quantiles = norm.ppf((np.arange(2000) + 0.5) / 2000, 1.0, 2.0)
    best = score(quantiles, 1.0, 2.0).mean()
    for mean, std in [(1.3, 2.0), (0.7, 2.0), (1.0, 1.7), (1.0, 2.4)]:
        assert score(quantiles, mean, std).mean() < best


def test_targets_sum_in_log_density_average_in_crps_and_count_each_in_coverage():
    y, mean = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 0.0]]), np.zeros((3, 2))
    std = np.array([[1.0, 2.0], [0.5, 1.0], [1.0, 3.0]])
    density = [gaussian_log_density(y[:, p], mean[:, p], std[:, p]) for p in range(2)]
    crps = [gaussian_crps(y[:, p], mean[:, p], std[:, p]) for p in range(2)]
    np.testing.assert_allclose(gaussian_log_density(y, mean, std), sum(density))
    np.testing.assert_allclose(gaussian_crps(y, mean, std), sum(crps) / 2)
    assert interval_coverage(y, -std, std) == 3 / 6
    assert interval_coverage(y, -std, std, sample_weight=[1, 0, 3]) == (2 + 3) / 8


def test_coverage_by_hand():
    assert interval_coverage([0.0, 1.0, 2.0, 3.0], 1.0, 2.0) == 0.5  # ends count
    assert interval_coverage([0.0, 1.0], [-np.inf, 2.0], np.inf) == 0.5
    assert interval_coverage([0.0, 5.0, 0.0], -1, 1, sample_weight=[1.0, 2.0, 0.0]) == 1 / 3


def test_standard_deviation_zero_is_a_point():
    y, mean = np.array([1.0, 2.0]), np.array([1.0, 3.5])
    np.testing.assert_array_equal(gaussian_log_density(y, mean, 0.0), [np.inf, -np.inf])
    np.testing.assert_array_equal(gaussian_crps(y, mean, 0.0), [0.0, 1.5])
    # continuous in std, and no overflow on the way
    np.testing.assert_allclose(gaussian_crps(y, mean, 1e-300), [0.0, 1.5], atol=1e-299)
    assert gaussian_log_density(y, mean, 1e-300)[1] == -np.inf


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0.0], [1.0]], [0.0, 1.0], 1.0), r"mean has shape \(2,\), but y has shape \(2, 1\)"),
        (([0.0, 1.0], 0.0, [1.0]), "std has shape"),
        ((0.0, 0.0, 1.0), "y must have shape"),
        (([np.nan], 0.0, 1.0), "y contains NaN"),
        (([0.0], 0.0, np.nan), "std contains NaN"),
        (([0.0], 0.0, -1.0), "std must not be negative"),
    ],
)
def test_unfit_arrays_are_refused(arguments, message):
    for score in (gaussian_log_density, gaussian_crps):
        with pytest.raises(ValueError, match=message):
            score(*arguments)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], "sample_weight has shape"),
        ([1.0, -1.0], "not negative"),
        ([1.0, np.nan], "finite"),
        ([0.0, 0.0], "No row to score"),
    ],
)
def test_unfit_weights_are_refused(weights, message, fitted, rows):
    X, y = rows
    with pytest.raises(ValueError, match=message):
        interval_coverage([0.0, 1.0], 0.0, 1.0, sample_weight=weights)
    with pytest.raises(ValueError, match=message):
        log_density_scorer(fitted, X[:2], y[:2], sample_weight=weights)


# --- scorers against values by hand ----------------------------------------------------------


def by_hand(model, X, y, weights=None):
    """What SCORERS should say about one column of y."""
    mean, std = model.predict(X, return_std=True)
    share = np.average(np.abs(y - mean) <= norm.ppf(0.9) * std, weights=weights)
    return [
        np.average(norm.logpdf(y, mean, std), weights=weights),
        -np.average(gaussian_crps(y, mean, std), weights=weights),
        share,
        -abs(share - 0.8),
    ]


def test_regressor(fitted, rows):
    X, y = rows
    found = [scorer(fitted, X[25:], y[25:]) for scorer in SCORERS]
    np.testing.assert_allclose(found, by_hand(fitted, X[25:], y[25:]), rtol=1e-12)
    assert all(type(value) is float for value in found)
    np.testing.assert_allclose(found[0], fitted.log_predictive_density(X[25:], y[25:]).mean())
    assert 0 < found[2] < 1


def test_weight_zero_drops_a_row_and_weight_two_repeats_it(fitted, rows):
    X, y = rows
    weights = np.array([0.0, 1.0, 2.0] * 5)
    X, y = X[25:], y[25:]
    for scorer, expected in zip(SCORERS, by_hand(fitted, X, y, weights), strict=True):
        repeated = np.repeat(np.arange(15), weights.astype(int))
        found = scorer(fitted, X, y, sample_weight=weights)
        np.testing.assert_allclose(found, expected)
        np.testing.assert_allclose(found, scorer(fitted, X[repeated], y[repeated]))


@pytest.mark.parametrize("routed", [False, True])
def test_scikit_learn_regressor_in_a_pipeline(routed, rows):
    X, y = rows
    model = make_pipeline(StandardScaler(), SklearnRegressor(RBF() + WhiteKernel(), optimizer=None))
    model.fit(X[:25], y[:25])
    expected = by_hand(model, X, y)
    with sklearn.config_context(enable_metadata_routing=routed):
        np.testing.assert_allclose([scorer(model, X, y) for scorer in SCORERS], expected)


def test_several_targets_and_a_single_column(rows):
    X, y = rows
    Y = np.stack([y, 2 * y], 1)
    model = SklearnRegressor(RBF() + WhiteKernel(), optimizer=None)
    both = [scorer(model.fit(X, Y), X, Y) for scorer in SCORERS]
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(both[0], norm.logpdf(Y, mean, std).sum(1).mean())
    np.testing.assert_allclose(both[1], -gaussian_crps(Y, mean, std).mean())
    np.testing.assert_allclose(both[2], np.mean(np.abs(Y - mean) <= norm.ppf(0.9) * std))
    # scikit-learn's regressor answers a single column with a flat mean
    column = [scorer(model.fit(X, y[:, None]), X, y[:, None]) for scorer in SCORERS]
    np.testing.assert_allclose(column, [scorer(model.fit(X, y), X, y) for scorer in SCORERS])


def test_data_frames_and_lists(rows):
    X, y = rows
    frame, series = pd.DataFrame(X, columns=["a", "b"]), pd.Series(y, index=np.arange(40) + 7)
    model = BayesianRidge().fit(frame, series)
    weights = np.arange(40.0)
    expected = log_density_scorer(BayesianRidge().fit(X, y), X, y, sample_weight=weights)
    found = log_density_scorer(model, frame, series, sample_weight=pd.Series(weights))
    np.testing.assert_allclose(found, expected)
    model = BayesianRidge().fit(X.tolist(), y.tolist())
    found = log_density_scorer(model, X.tolist(), y.tolist(), sample_weight=weights.tolist())
    np.testing.assert_allclose(found, expected)


def test_classifier(rows):
    X, y = rows
    labels = np.where(y > 5, "high", "low")
    model = GaussianProcessClassifier(tol=0.1).fit(X[:25], labels[:25])
    p = model.predict_proba(X)[np.arange(40), (labels == "low").astype(int)]
    np.testing.assert_allclose(log_density_scorer(model, X, labels), np.log(p).mean())
    np.testing.assert_allclose(
        log_density_scorer(model, X, labels), get_scorer("neg_log_loss")(model, X, labels)
    )
    weights = np.arange(40.0)
    found = log_density_scorer(model, X, labels, sample_weight=weights)
    np.testing.assert_allclose(found, np.average(np.log(p), weights=weights))


class Fixed(ClassifierMixin, BaseEstimator):
    """Classifier that says the same of every row; its classes are not in order."""

    def __init__(self, probabilities=(0.2, 0.8, 0.0)):
        self.probabilities = probabilities

    def fit(self, X, y):
        self.classes_ = np.array(["c", "a", "b"])
        return self

    def predict_proba(self, X):
        return np.tile(self.probabilities, (len(X), 1))

    def predict(self, X):
        return np.full(len(X), "a")


def test_labels_are_looked_up_in_any_order_and_nothing_is_clipped():
    X, model = np.zeros((2, 1)), Fixed().fit(None, None)
    for labels in (["a", "c"], np.array([["a"], ["c"]]), pd.Series(["a", "c"], dtype="category")):
        np.testing.assert_allclose(log_density_scorer(model, X, labels), np.log([0.8, 0.2]).mean())
    assert log_density_scorer(model, X, ["a", "b"]) == -np.inf
    weighted = log_density_scorer(model, X, ["a", "b"], sample_weight=[1.0, 0.0])
    np.testing.assert_allclose(weighted, np.log(0.8))


def test_unknown_label():
    X, model = np.zeros((3, 1)), Fixed().fit(None, None)
    with pytest.raises(ValueError, match=r"not fitted to: \['d'\]. It knows \['c', 'a', 'b'\]"):
        log_density_scorer(model, X, ["a", "d", "d"])
    assert log_density_scorer(model, X, ["a", "d", "d"], sample_weight=[1, 0, 0]) == np.log(0.8)


# --- in scikit-learn's hands -----------------------------------------------------------------


def test_cross_validation(rows):
    X, y = rows
    model = GaussianProcessRegressor(max_iter=50, tol=0.1)
    found = cross_validate(
        model,
        X,
        y,
        cv=KFold(2),
        scoring={**{repr(scorer): scorer for scorer in SCORERS}, "r2": "r2"},
        error_score="raise",
        return_estimator=True,
    )
    for fold, (_, test) in enumerate(KFold(2).split(X)):
        expected = by_hand(found["estimator"][fold], X[test], y[test])
        scores = [found[f"test_{scorer}"][fold] for scorer in SCORERS]
        np.testing.assert_allclose(scores, expected)
    alone = cross_val_score(model, X, y, cv=KFold(2), scoring=log_density_scorer)
    np.testing.assert_allclose(alone, found["test_log_density_scorer"])


def test_grid_search_over_a_pipeline(rows):
    X, y = rows
    pipeline = make_pipeline(StandardScaler(), GaussianProcessRegressor(max_iter=50, tol=0.1))
    grid = {"gaussianprocessregressor__alpha": [1e-3, 0.1, 10.0]}
    search = GridSearchCV(pipeline, grid, cv=2, scoring=log_density_scorer, error_score="raise")
    search.fit(X, y)
    assert search.best_params_ == {"gaussianprocessregressor__alpha": 0.1}
    assert search.score(X, y) == log_density_scorer(search.best_estimator_, X, y)
    # a search inside cross-validation: its own predict takes no return_std
    assert log_density_scorer(search, X, y) == search.score(X, y)


def test_two_processes(rows):
    # scikit-learn's regressor, since each process would import TensorFlow for ours
    pipeline = make_pipeline(
        StandardScaler(), SklearnRegressor(RBF() + WhiteKernel(), optimizer=None)
    )
    settings = {
        "param_grid": {"gaussianprocessregressor__normalize_y": [False, True]},
        "cv": 2,
        "scoring": {repr(scorer): scorer for scorer in SCORERS},
        "refit": "neg_crps_scorer",
        "error_score": "raise",
    }
    one, two = (GridSearchCV(pipeline, n_jobs=n, **settings).fit(*rows) for n in (1, 2))
    for scorer in SCORERS:
        name = f"mean_test_{scorer}"
        np.testing.assert_allclose(two.cv_results_[name], one.cv_results_[name], rtol=1e-6)


def test_probability_zero_loses_a_search():
    grid = {"probabilities": [(0.5, 0.5, 0.0), (0.3, 0.3, 0.4)]}
    search = GridSearchCV(Fixed(), grid, cv=2, scoring=log_density_scorer)
    with pytest.warns(UserWarning, match="non-finite"), np.errstate(invalid="ignore"):
        search.fit(np.zeros((6, 1)), ["a", "b", "c"] * 2)
    assert search.best_params_ == {"probabilities": (0.3, 0.3, 0.4)}


@pytest.mark.parametrize("scorer", SCORERS, ids=repr)
def test_pickle_copy_and_check_scoring(scorer, rows):
    X, y = rows
    model = BayesianRidge().fit(X, y)
    assert check_scoring(model, scoring=scorer) is scorer
    for other in (pickle.loads(pickle.dumps(scorer)), copy.deepcopy(scorer)):
        assert repr(other) == repr(scorer)
        assert other(model, X, y) == scorer(model, X, y)
    call = inspect.signature(scorer)
    assert list(call.parameters)[:3] == ["estimator", "X", "y_true"]
    assert call.parameters["sample_weight"].default is None


def test_repr():
    names = ["log_density_scorer", "neg_crps_scorer", "coverage_scorer(level=0.8)"]
    assert [repr(scorer) for scorer in SCORERS[:3]] == names
    assert repr(calibration_scorer()) == "calibration_scorer(level=0.95)"


@pytest.mark.parametrize("several", [False, True])
def test_weights_are_routed(several, rows, routing):
    X, y = rows
    weights = np.random.RandomState(1).uniform(0, 2, 40)
    model = BayesianRidge().set_fit_request(sample_weight=False)
    # copies, since set_score_request changes the scorer it is called on
    asking = [copy.deepcopy(scorer).set_score_request(sample_weight=True) for scorer in SCORERS]
    expected = []
    for train, test in KFold(2).split(X):
        fold = BayesianRidge().fit(X[train], y[train])
        expected.append(by_hand(fold, X[test], y[test], weights[test]))
    for scoring in [{repr(s): s for s in asking}] if several else asking:
        found = cross_validate(
            model, X, y, cv=KFold(2), scoring=scoring, params={"sample_weight": weights}
        )
        if several:
            table = np.stack([found[f"test_{scorer}"] for scorer in asking], 1)
            np.testing.assert_allclose(table, expected)
        else:
            column = asking.index(scoring)
            np.testing.assert_allclose(found["test_score"], np.array(expected)[:, column])
    assert not hasattr(log_density_scorer, "_metadata_request")


def test_weights_in_a_search_with_several_scorers(rows):
    X, y = rows
    weights = np.arange(40.0)
    scoring = {"density": log_density_scorer, "crps": neg_crps_scorer}
    scorer = check_scoring(BayesianRidge(), scoring=scoring)
    model = BayesianRidge().fit(X, y)
    found = scorer(model, X, y, sample_weight=weights)
    np.testing.assert_allclose(list(found.values()), by_hand(model, X, y, weights)[:2])


# --- a regressor that knows its distribution -------------------------------------------------


class Uniform(RegressorMixin, BaseEstimator):
    """Says that y is between 0 and ``exposure``; knows no standard deviation."""

    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.ones(len(X))

    def log_predictive_density(self, X, y, exposure=2.0):
        return -np.log(exposure) * np.ones(len(X))

    def crps(self, X, y, exposure=2.0):
        share = y / exposure
        return exposure * (share**3 + (1.0 - share) ** 3) / 3.0

    def predict_quantiles(self, X, quantiles, exposure=2.0):
        return np.outer(exposure * np.ones(len(X)), quantiles)


@pytest.mark.parametrize("piped", [False, True])
def test_scorers_ask_a_regressor_for_its_own_distribution(piped):
    X, y = np.zeros((4, 1)), np.array([0.1, 0.7, 1.9, 1.0])
    model = (make_pipeline(StandardScaler(), Uniform()) if piped else Uniform()).fit(X, y)
    crps = [quad(lambda x, a=a: (x / 2 - (x >= a)) ** 2, 0, 2, points=[a])[0] for a in y]
    expected = [-np.log(2.0), -np.mean(crps), 0.5, -0.3]
    np.testing.assert_allclose([scorer(model, X, y) for scorer in SCORERS], expected)


@pytest.fixture
def exposed(routing):
    """A scorer that asks for weight and exposure."""
    return lambda scorer: copy.deepcopy(scorer).set_score_request(sample_weight=True, exposure=True)


def test_scorers_hand_on_what_is_known_of_each_row(exposed):
    X, y = np.zeros((4, 1)), np.array([0.1, 0.7, 1.9, 1.0])
    # but for rows without weight
    known = {"sample_weight": [1, 0, 1, 1], "exposure": np.array([1.0, np.nan, 4.0, 2.0])}
    found = [exposed(scorer)(Uniform(), X, y, **known) for scorer in SCORERS[::2]]
    np.testing.assert_allclose(found, [-np.log(8.0) / 3, 1.0])


def test_scorers_refuse_what_a_normal_distribution_or_a_classifier_cannot_use(rows, exposed):
    X, y = rows
    with pytest.raises(TypeError, match="BayesianRidge failed: .*exposure"):
        exposed(log_density_scorer)(BayesianRidge().fit(X, y), X, y, exposure=y)
    with pytest.raises(TypeError, match="exposure"):
        exposed(log_density_scorer)(LogisticRegression().fit(X, y > 5), X, y > 5, exposure=y)


@pytest.fixture(scope="module")
def outliers(rows):
    """On clean rows df is large and the distribution all but normal."""
    X, y = rows
    return X, y + np.where(np.arange(40) % 13 == 5, 8.0, 0.0)


@pytest.fixture(scope="module")
def heavy(outliers):
    model = GaussianProcessRegressor(likelihood="student_t", max_iter=300, tol=0.1)
    return model.fit(*outliers)


def own_scores(model, X, y, weights=None):
    low, high = np.moveaxis(model.predict_quantiles(X, (0.1, 0.9)), -1, 0)
    inside = interval_coverage(y, low, high, weights)
    scores = model.log_predictive_density(X, y), -model.crps(X, y)
    averages = [np.average(s, weights=weights) for s in scores]
    return [*averages, inside, -abs(inside - 0.8)]


def test_student_t_is_scored_by_its_own_distribution(heavy, outliers):
    X, y = outliers
    weights = np.arange(40.0) % 3
    found = [scorer(heavy, X, y, sample_weight=weights) for scorer in SCORERS]
    # all rows get as many nodes as the one furthest out needs: equal to the 1e-12 of the rule
    np.testing.assert_allclose(found, own_scores(heavy, X, y, weights), rtol=1e-10)
    np.testing.assert_allclose(log_density_scorer(heavy, X, y[:, None]), own_scores(heavy, X, y)[0])
    mean, std = heavy.predict(X, return_std=True)
    assert found[0] != pytest.approx(
        np.average(gaussian_log_density(y, mean, std), weights=weights), abs=0.01
    )


def test_student_t_within_pipelines_and_searches(rows, routing):
    X, y = rows
    model = GaussianProcessRegressor(likelihood="student_t", max_iter=300, tol=0.1)
    inner = GridSearchCV(model, {"alpha": [None]}, cv=2, scoring=log_density_scorer)
    pipeline = make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), inner)).fit(X, y)
    scaler, (second, search) = pipeline[0], pipeline[1]
    last = search.best_estimator_
    inside = second.transform(scaler.transform(X))
    found = [scorer(pipeline, X, y) for scorer in SCORERS]
    np.testing.assert_allclose(found, own_scores(last, inside, y), rtol=1e-12)
    alone = [scorer(search, inside, y) for scorer in SCORERS]
    np.testing.assert_allclose(alone, found, rtol=1e-12)


# --- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scorer", SCORERS[1:], ids=repr)
def test_regression_scorers_refuse_a_classifier(scorer, rows):
    X, y = rows
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y > 5)
    with pytest.raises(TypeError, match="Pipeline is a classifier: use log_density_scorer"):
        scorer(pipeline, X, y > 5)


@pytest.mark.parametrize(
    "model", [Ridge(), make_pipeline(Ridge()), TransformedTargetRegressor(BayesianRidge())]
)
def test_regressors_without_standard_deviation(model, rows):
    X, y = rows
    with pytest.raises(TypeError, match=r"needs a regressor whose predict\(X, return_std=True\)"):
        neg_crps_scorer(model.fit(X, y), X, y)


@pytest.mark.parametrize("level", [0.0, 1.0, 95, np.nan])
def test_level_out_of_range(level):
    for factory in (coverage_scorer, calibration_scorer):
        with pytest.raises(ValueError, match="strictly between 0 and 1"):
            factory(level)
