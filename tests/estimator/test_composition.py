"""The estimators inside scikit-learn's pipelines, searches and meta-estimators."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from estimator.answers import NAMES, answers, assert_same_answers, classifier, regressor
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_predict,
    cross_validate,
    learning_curve,
    validation_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skgpng._training import stages


@pytest.fixture
def frame():
    """Two columns of numbers and one of words, for regression (y) and classification (label)."""
    rng = np.random.RandomState(1)
    table = pd.DataFrame(
        {
            "width": rng.uniform(0, 100, 80),
            "colour": rng.choice(["blue", "green", "red"], 80),
            "height": rng.uniform(0, 1, 80),
        }
    )
    y = np.sin(table["width"] / 20) + 2.0 * (table["colour"] == "red") + 0.05 * rng.randn(80)
    return table, y, pd.Series(np.where(y > 1.0, "high", "low"))


def columns():
    return ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["width", "height"]),
            ("words", OneHotEncoder(sparse_output=False, handle_unknown="ignore"), ["colour"]),
        ]
    )


# --- data frames ---------------------------------------------------------------------------------


def test_mixed_columns_become_numbers_in_front(frame):
    table, y, label = frame
    by_hand = np.column_stack(
        [StandardScaler().fit_transform(table[["width", "height"]]), pd.get_dummies(table.colour)]
    )
    for model, target in ((regressor(max_iter=40), y), (classifier(max_iter=40), label)):
        pipe = make_pipeline(columns(), model).fit(table, target)
        alone = clone(model).fit(by_hand, target)
        assert pipe.score(table, target) > 0.9
        assert_same_answers(answers(pipe[-1], pipe[:-1].transform(table)), answers(alone, by_hand))
        np.testing.assert_array_equal(pipe.predict(table), alone.predict(by_hand))
        # ColumnTransformer takes columns by name: their order does not matter, their absence does
        np.testing.assert_array_equal(pipe.predict(table[table.columns[::-1]]), pipe.predict(table))
        unseen = table.assign(colour="yellow")
        assert len(pipe.predict(unseen)) == len(table)
        with pytest.raises(ValueError, match="columns are missing.*height"):
            pipe.predict(table.drop(columns="height"))


def test_set_output_hands_column_names_to_the_estimator(frame):
    table, y, label = frame
    for model, target in ((regressor(), y), (classifier(), label)):
        pipe = make_pipeline(columns(), model).set_output(transform="pandas").fit(table, target)
        names = pipe[:-1].get_feature_names_out()
        assert list(pipe[-1].feature_names_in_) == list(names)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # nothing about missing names
            named = pipe.predict(table)
        plain = make_pipeline(columns(), clone(model)).fit(table, target)
        assert not hasattr(plain[-1], "feature_names_in_")
        np.testing.assert_array_equal(plain.predict(table), named)


# --- meta-estimators for regression --------------------------------------------------------------


def test_transformed_target(rows):
    X, y = rows
    wrapped = TransformedTargetRegressor(regressor(), func=np.sinh, inverse_func=np.arcsinh).fit(
        X, y
    )
    np.testing.assert_allclose(
        wrapped.predict(X), np.arcsinh(regressor().fit(X, np.sinh(y)).predict(X)), rtol=1e-9
    )


def test_several_outputs_one_by_one_and_in_a_chain(rows):
    X, y = rows
    Y = np.column_stack([y, X[:, 1] ** 2])
    each = MultiOutputRegressor(regressor()).fit(X, Y)
    alone = [regressor().fit(X, column).predict(X) for column in Y.T]
    np.testing.assert_allclose(each.predict(X), np.column_stack(alone), rtol=1e-9)
    chain = RegressorChain(regressor()).fit(X, Y)
    np.testing.assert_allclose(chain.predict(X)[:, 0], alone[0], rtol=1e-9)
    second = regressor().fit(np.column_stack([X, y]), Y[:, 1])
    np.testing.assert_allclose(
        chain.predict(X)[:, 1], second.predict(np.column_stack([X, alone[0]])), rtol=1e-9
    )


def test_bagging_of_regressors_averages(rows):
    X, y = rows
    bag = BaggingRegressor(regressor(), n_estimators=3, max_features=1, random_state=0).fit(X, y)
    members = [m.predict(X[:, f]) for m, f in zip(bag.estimators_, bag.estimators_features_)]
    np.testing.assert_allclose(bag.predict(X), np.mean(members, 0), rtol=1e-12)
    # a seed for each member
    assert len({m.random_state for m in bag.estimators_}) == 3


@pytest.mark.parametrize("ensemble", [StackingRegressor, VotingRegressor])
def test_regressor_beside_a_linear_one(rows, ensemble):
    X, y = rows
    members = [("gp", regressor()), ("linear", LinearRegression())]
    model = ensemble(members).fit(X, y)
    np.testing.assert_array_equal(
        model.named_estimators_["gp"].predict(X), regressor().fit(X, y).predict(X)
    )
    assert model.score(X, y) > members[1][1].fit(X, y).score(X, y)


# --- meta-estimators for classification ----------------------------------------------------------


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_calibration(codes, method, n_classes):
    X, y = codes
    y = np.minimum(y, n_classes - 1)
    model = CalibratedClassifierCV(classifier(), method=method, cv=3).fit(X, y)
    p = model.predict_proba(X)
    assert p.shape == (60, n_classes)
    np.testing.assert_allclose(p.sum(1), 1.0)
    assert model.score(X, y) > 0.8


def test_one_versus_the_others(codes):
    X, y = codes
    names = np.array(["low", "middle", "top"])[y]
    rest = OneVsRestClassifier(classifier()).fit(X, names)
    alone = [classifier().fit(X, names == c).predict_proba(X)[:, 1] for c in rest.classes_]
    shares = np.column_stack(alone)
    np.testing.assert_allclose(
        rest.predict_proba(X), shares / shares.sum(1, keepdims=True), rtol=1e-9
    )
    one = OneVsOneClassifier(classifier()).fit(X, names)
    assert one.decision_function(X).shape == (60, 3)
    assert min(rest.score(X, names), one.score(X, names)) > 0.8


def test_several_labels_one_by_one(codes):
    X, y = codes
    Y = np.column_stack([y, y > 0])
    model = MultiOutputClassifier(classifier()).fit(X, Y)
    three, two = model.predict_proba(X)
    assert three.shape == (60, 3) and two.shape == (60, 2)
    np.testing.assert_array_equal(three, classifier().fit(X, y).predict_proba(X))


@pytest.mark.parametrize(
    "ensemble",
    [
        BaggingClassifier(classifier(), n_estimators=3, random_state=0),
        AdaBoostClassifier(classifier(), n_estimators=2, random_state=0),  # needs sample_weight
        StackingClassifier([("gp", classifier()), ("linear", LogisticRegression())], cv=3),
        VotingClassifier([("gp", classifier()), ("linear", LogisticRegression())], voting="soft"),
        VotingClassifier([("gp", classifier()), ("linear", LogisticRegression())], voting="hard"),
    ],
    ids=["bagging", "boosting", "stacking", "soft", "hard"],
)
def test_ensemble_of_classifiers(codes, ensemble):
    X, y = codes
    names = np.array(["low", "middle", "top"], dtype=object)[y]
    model = ensemble.fit(X, names)
    # 0.6, where chance is 0.33: boosting's weights sum to 1, so that all rows count as one
    assert set(model.predict(X)) <= set(names) and model.score(X, names) > 0.6
    if getattr(ensemble, "voting", "soft") == "soft":
        p = model.predict_proba(X)
        np.testing.assert_allclose(p.sum(1), 1.0)
        np.testing.assert_array_equal(model.classes_[p.argmax(1)], model.predict(X))


# --- inspection and selection --------------------------------------------------------------------


def test_the_column_that_matters_is_found(rows):
    X = rows[0]
    y = 2.0 * np.sin(X[:, 0])
    model = regressor(max_iter=40).fit(X, y)
    importance = permutation_importance(model, X, y, n_repeats=3, random_state=0).importances_mean
    assert importance[0] > 1.0 > 0.1 > abs(importance[1])
    curve = partial_dependence(model, X, [1], grid_resolution=5)["average"]
    assert np.ptp(curve) < 0.2  # flat: y reaches from -2 to 2
    chosen = SequentialFeatureSelector(regressor(), n_features_to_select=1, cv=3).fit(X, y)
    assert list(chosen.get_support()) == [True, False]


def test_halving_search_over_rows_and_over_steps(rows):
    X, y = rows
    grid = {"kernel__length_scale": [0.01, 1.0]}
    model, settings = regressor(RBF(1.0, "fixed")), {"cv": 3, "factor": 2, "random_state": 0}
    by_rows = HalvingGridSearchCV(model, grid, min_resources=30, **settings).fit(X, y)
    by_steps = HalvingGridSearchCV(
        model, grid, resource="max_iter", min_resources=6, max_resources=12, **settings
    ).fit(X, y)
    for search in (by_rows, by_steps):
        assert search.n_iterations_ == 2
        assert search.best_params_["kernel__length_scale"] == 1.0
    assert by_steps.best_estimator_.max_iter == 12


def test_randomized_search_draws_a_nested_hyperparameter(codes):
    X, y = codes

    class Uniform:  # any object with rvs
        def rvs(self, random_state=None):
            return random_state.uniform(0.5, 2.0)

    search = RandomizedSearchCV(
        classifier(1.0 * RBF(1.0)),
        {"kernel__k2__length_scale": Uniform(), "gamma": [0.2, 0.3]},
        n_iter=3,
        cv=2,
        scoring="neg_log_loss",
        random_state=0,
    ).fit(X, y)
    tried = search.cv_results_["param_kernel__k2__length_scale"]
    assert len(set(tried)) == 3 and np.all(np.isfinite(search.cv_results_["mean_test_score"]))


def test_grid_reaches_into_the_kernel_of_a_pipeline(rows):
    X, y = rows
    kernel = 1.0 * RBF(1.0, "fixed") + WhiteKernel(0.1)
    pipe = make_pipeline(StandardScaler(), regressor(kernel))
    before = str(kernel)
    name = "gaussianprocessregressor__kernel__k1__k2__length_scale"
    search = GridSearchCV(pipe, {name: [0.01, 0.7, 50.0]}, cv=3).fit(X, y)
    assert search.best_params_ == {name: 0.7}
    assert search.best_estimator_[-1].kernel_.k1.k2.length_scale == pytest.approx(0.7)
    assert len(set(search.cv_results_["mean_test_score"])) == 3
    assert str(kernel) == before  # learning and searching leave the user's kernel alone


def test_grid_swaps_parts_of_the_kernel_and_whole_kernels(rows):
    X, y = rows
    model = regressor(ConstantKernel(2.0) * RBF(1.0))
    parts = [RBF(0.5), Matern(nu=1.5), RBF([1.0, 1.0]) + ConstantKernel(0.1)]
    search = GridSearchCV(model, {"kernel__k2": parts}, cv=2).fit(X, y)
    assert type(search.best_estimator_.kernel_.k2) is type(search.best_params_["kernel__k2"])
    for part, score in zip(parts, search.cv_results_["mean_test_score"], strict=True):
        by_hand = cross_validate(regressor(ConstantKernel(2.0) * part), X, y, cv=2)
        assert score == pytest.approx(by_hand["test_score"].mean(), rel=1e-9)


@pytest.mark.parametrize("make", [regressor, classifier], ids=NAMES)
def test_grid_over_whole_kernels_and_numbers_of_points(rows, make):
    X, y = rows
    y = y if make is regressor else y > 0.0
    kernels = [None, RBF(), ConstantKernel(2.0) * Matern([1.0, 2.0], nu=1.5)]
    # "raise": a fit that fails would be a score of NaN and a warning
    grid = {"kernel": kernels, "n_inducing": [None, 8]}
    search = GridSearchCV(make(), grid, cv=2, error_score="raise").fit(X, y)
    assert search.best_score_ > 0.7


def test_grid_search_over_numbers_traces_once(rows):
    X, y = rows
    before = stages.n_compiled()
    pipe = make_pipeline(StandardScaler(), regressor(1.0 * RBF(1.0), n_inducing=5))
    grid = {
        "gaussianprocessregressor__kernel__k2__length_scale": [0.5, 2.0],
        "gaussianprocessregressor__learning_rate": [0.05, 0.1],
        "gaussianprocessregressor__n_inducing": [5, 8],
        "gaussianprocessregressor__max_iter": [5, 6],
    }
    search = GridSearchCV(pipe, grid, cv=3).fit(X, y)
    assert np.all(np.isfinite(search.cv_results_["mean_test_score"]))
    assert stages.n_compiled() <= before + 1


def test_setting_a_kernel_hyperparameter_equals_writing_it(rows):
    X, y = rows
    written = regressor(ConstantKernel(2.0) * RBF(0.5, (0.1, 5.0)))
    model = regressor(ConstantKernel(1.0) * RBF(1.0))
    model.set_params(
        kernel__k1__constant_value=2.0,
        kernel__k2__length_scale=0.5,
        kernel__k2__length_scale_bounds=(0.1, 5.0),
    )
    assert_same_answers(answers(model.fit(X, y), X), answers(written.fit(X, y), X))


def test_curves_over_rows_and_over_a_setting(rows):
    X, y = rows
    sizes, train, test = learning_curve(regressor(), X, y, train_sizes=[10, 40], cv=3)
    assert list(sizes) == [10, 40] and train.shape == test.shape == (2, 3)
    assert test[1].mean() > test[0].mean()
    _, test = validation_curve(
        regressor(RBF(1.0, "fixed")),
        X,
        y,
        param_name="kernel__length_scale",
        param_range=[0.01, 1.0],
        cv=3,
    )
    assert test[1].mean() > test[0].mean()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_cross_validated_predictions(codes, method, n_classes):
    X, y = codes
    names = np.array(["low", "middle", "top"])[np.minimum(y, n_classes - 1)]
    folds = KFold(3)
    out = cross_val_predict(classifier(), X, names, cv=folds, method=method)
    train, test = next(folds.split(X))
    by_hand = getattr(classifier().fit(X[train], names[train]), method)(X[test])
    np.testing.assert_array_equal(out[test], by_hand)
    one_score = method == "predict" or (method == "decision_function" and n_classes == 2)
    assert out.shape == ((60,) if one_score else (60, n_classes))
