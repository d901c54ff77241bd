"""The estimators inside scikit-learn's pipelines, searches and meta-estimators."""

from __future__ import annotations

import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn
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
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import r2_score
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

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor

BOTH = [GaussianProcessRegressor, GaussianProcessClassifier]
NAMES = ("regressor", "classifier")


# Ten steps: what is tested is how the parts fit together, not how well they are trained.
def regressor(kernel=None, **settings):
    return GaussianProcessRegressor(kernel, **{"max_iter": 10, "random_state": 0, **settings})


def classifier(kernel=None, **settings):
    return GaussianProcessClassifier(kernel, **{"max_iter": 10, "random_state": 0, **settings})


@pytest.fixture
def rows():
    rng = np.random.RandomState(0)
    X = rng.uniform(-3, 3, (60, 2))
    return X, 5.0 + 2.0 * np.sin(X[:, 0]) + 0.1 * rng.randn(60)


@pytest.fixture
def codes(rows):
    """Three classes 0, 1, 2 in equal numbers."""
    X, _ = rows
    score = X[:, 0] + 0.5 * X[:, 1]
    return X, np.searchsorted(np.quantile(score, [1 / 3, 2 / 3]), score)


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


def answers(model, X):
    """Every prediction the model gives."""
    if isinstance(model, GaussianProcessRegressor):
        return [
            *model.predict(X, return_std=True),
            model.predict_quantiles(X),
            model.sample_y(X, 2),
            model.log_predictive_density(X, np.zeros(len(X))),
        ]
    return [
        model.predict_proba(X),
        model.decision_function(X),
        *model.latent_mean_and_variance(X),
    ]


def assert_same_answers(a, b, rtol=1e-9, atol=1e-12):
    """Equal but for the order in which numbers are summed."""
    for left, right in zip(a, b, strict=True):
        np.testing.assert_allclose(left, right, rtol=rtol, atol=atol)


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


@pytest.mark.parametrize("make", [regressor, classifier], ids=NAMES)
def test_column_names_are_remembered_and_checked(frame, make):
    table, y, label = frame
    numbers, target = table[["width", "height"]], y if make is regressor else label
    model = make().fit(numbers, target)
    assert list(model.feature_names_in_) == ["width", "height"] and model.n_features_in_ == 2
    assert all(isinstance(name, str) for name in model.feature_names_in_)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = answers(model, numbers)
    methods = ["predict"] + (
        ["predict_quantiles", "sample_y"]
        if make is regressor
        else ["predict_proba", "decision_function", "latent_mean_and_variance"]
    )
    for method in methods:
        ask = getattr(model, method)
        with pytest.raises(ValueError, match="same order"):
            ask(numbers[["height", "width"]])
        with pytest.raises(ValueError, match="missing.*\n- height"):
            ask(numbers[["width"]])
        with pytest.raises(ValueError, match="unseen.*\n- depth"):
            ask(numbers.assign(depth=0.0))
        with pytest.warns(UserWarning, match="does not have valid feature names"):
            ask(numbers.to_numpy())
    with pytest.raises(ValueError, match="names|missing"):
        model.score(numbers[["height", "width"]], target)
    nameless = make().fit(numbers.to_numpy(), target)
    assert not hasattr(nameless, "feature_names_in_")
    with pytest.warns(UserWarning, match="fitted without feature names"):
        assert_same_answers(answers(nameless, numbers), expected)
    # a second fit forgets the names of the first
    assert not hasattr(model.fit(numbers.to_numpy(), target), "feature_names_in_")


# --- meta-estimators for regression --------------------------------------------------------------


def test_transformed_target(rows):
    X, y = rows
    wrapped = TransformedTargetRegressor(regressor(), func=np.log, inverse_func=np.exp).fit(X, y)
    np.testing.assert_allclose(
        wrapped.predict(X), np.exp(regressor().fit(X, np.log(y)).predict(X)), rtol=1e-9
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
    X, y = rows  # y depends on the first column only
    model = regressor(max_iter=40).fit(X, y)
    importance = permutation_importance(model, X, y, n_repeats=3, random_state=0).importances_mean
    assert importance[0] > 1.0 > 0.1 > abs(importance[1])
    curve = partial_dependence(model, X, [1], grid_resolution=5)["average"]
    assert np.ptp(curve) < 0.2  # flat: y reaches from 3 to 7
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


@pytest.mark.parametrize("n_inducing", [None, 8])
@pytest.mark.parametrize("make", [regressor, classifier], ids=NAMES)
def test_grid_over_whole_kernels(rows, make, n_inducing):
    X, y = rows
    y = y if make is regressor else y > 5.0
    kernels = [None, RBF(), ConstantKernel(2.0) * Matern([1.0, 2.0], nu=1.5)]
    # "raise": a fit that fails would be a score of NaN and a warning
    search = GridSearchCV(
        make(n_inducing=n_inducing), {"kernel": kernels}, cv=2, error_score="raise"
    ).fit(X, y)
    assert search.best_score_ > 0.7


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


# --- metadata ------------------------------------------------------------------------------------


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.fixture
def metadata():
    """Weights and noise that change the fit, and in another way for each row."""
    rng = np.random.RandomState(2)
    return {"sample_weight": rng.uniform(0.1, 3.0, 60), "noise_variance": rng.uniform(0, 2.0, 60)}


def part(metadata, which):
    return {name: values[which] for name, values in metadata.items()}


@pytest.mark.usefixtures("routing")
def test_pipeline_routes_weights_and_noise(rows, metadata):
    X, y = rows
    scaler = StandardScaler().set_fit_request(sample_weight=False)
    model = regressor().set_fit_request(sample_weight=True, noise_variance=True)
    pipe = make_pipeline(scaler, model).fit(X, y, **metadata)
    scaled = StandardScaler().fit_transform(X)
    by_hand = regressor().fit(scaled, y, **metadata)
    np.testing.assert_allclose(pipe.predict(X), by_hand.predict(scaled), rtol=1e-9)
    for name in metadata:
        without = regressor().fit(scaled, y, **{k: v for k, v in metadata.items() if k != name})
        assert not np.allclose(pipe.predict(X), without.predict(scaled), rtol=1e-3)


@pytest.mark.usefixtures("routing")
def test_cross_validation_slices_weights_and_noise(rows, metadata):
    X, y = rows
    model = regressor().set_fit_request(sample_weight=True, noise_variance=True)
    model.set_score_request(sample_weight=True)
    folds = KFold(3)
    out = cross_validate(model, X, y, cv=folds, params=metadata, return_estimator=True)
    for k, (train, test) in enumerate(folds.split(X)):
        by_hand = regressor().fit(X[train], y[train], **part(metadata, train))
        np.testing.assert_allclose(out["estimator"][k].predict(X), by_hand.predict(X), rtol=1e-9)
        weighted = r2_score(
            y[test], by_hand.predict(X[test]), sample_weight=metadata["sample_weight"][test]
        )
        assert out["test_score"][k] == pytest.approx(weighted, rel=1e-9)
        assert abs(weighted - by_hand.score(X[test], y[test])) > 1e-4  # the weights matter


@pytest.mark.usefixtures("routing")
def test_grid_search_slices_weights_and_noise(rows, metadata):
    X, y = rows
    model = regressor(RBF(1.0, "fixed"))
    model.set_fit_request(sample_weight=True, noise_variance=True)
    model.set_score_request(sample_weight=False)
    grid = {"kernel__length_scale": [0.3, 1.0]}
    search = GridSearchCV(model, grid, cv=KFold(2)).fit(X, y, **metadata)
    np.testing.assert_allclose(
        search.predict(X),
        regressor(RBF(1.0, "fixed"))
        .set_params(**search.best_params_)
        .fit(X, y, **metadata)
        .predict(X),
        rtol=1e-9,
    )
    train, test = next(KFold(2).split(X))
    first = regressor(RBF(0.3, "fixed")).fit(X[train], y[train], **part(metadata, train))
    assert search.cv_results_["split0_test_score"][0] == pytest.approx(
        first.score(X[test], y[test]), rel=1e-9
    )


@pytest.mark.usefixtures("routing")
def test_classifier_takes_part_in_routing(codes, metadata):
    X, y = codes
    weight = metadata["sample_weight"]
    model = classifier().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    folds = KFold(2)
    out = cross_validate(model, X, y, cv=folds, params={"sample_weight": weight})
    train, test = next(folds.split(X))
    by_hand = classifier().fit(X[train], y[train], weight[train])
    assert out["test_score"][0] == pytest.approx(by_hand.score(X[test], y[test], weight[test]))
    bag = BaggingClassifier(model, n_estimators=2, random_state=0)
    assert bag.fit(X, y, sample_weight=weight).score(X, y) > 0.7


@pytest.mark.usefixtures("routing")
def test_what_is_not_requested_is_refused(rows, metadata):
    X, y = rows
    for name, values in metadata.items():
        with pytest.raises(UnsetMetadataPassedError, match=name):
            cross_validate(regressor(), X, y, cv=2, params={name: values})
    with pytest.raises(TypeError, match="noise_variance"):
        classifier().set_fit_request(noise_variance=True)


@pytest.mark.usefixtures("routing")
def test_pipeline_routes_what_predict_returns(rows):
    X, y = rows
    model = regressor().set_predict_request(return_std=True, return_cov=True, include_noise=True)
    pipe = make_pipeline(StandardScaler(), model).fit(X, y)
    scaled = pipe[0].transform(X)
    for wish in ({"return_std": True, "include_noise": False}, {"return_cov": True}):
        assert_same_answers(pipe.predict(X, **wish), pipe[-1].predict(scaled, **wish))


def test_pipeline_hands_on_without_routing(rows, metadata):
    X, y = rows
    pipe = make_pipeline(StandardScaler(), regressor())
    pipe.fit(X, y, **{f"gaussianprocessregressor__{k}": v for k, v in metadata.items()})
    scaled = pipe[0].transform(X)
    by_hand = regressor().fit(scaled, y, **metadata)
    assert_same_answers(pipe.predict(X, return_std=True), by_hand.predict(scaled, return_std=True))


# --- labels --------------------------------------------------------------------------------------

LABELS = {
    "object": np.array(["a", "bb", "ccc"], dtype=object),
    "string": np.array(["a", "bb", "ccc"]),
    "gaps": np.array([-3, 7, 100]),
    "unsigned": np.array([0, 7, 200], dtype=np.uint8),
    "whole floats": np.array([-1.0, 0.0, 1.0]),
    "bool": np.array([False, True]),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_kind(codes, kind):
    X, y = codes
    names = LABELS[kind]
    y = np.minimum(y, len(names) - 1)
    model, plain = classifier().fit(X, names[y]), classifier().fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), plain.predict_proba(X))
    assert model.classes_.dtype == names.dtype and list(model.classes_) == list(names)
    predicted = model.predict(X)
    assert predicted.dtype == names.dtype
    np.testing.assert_array_equal(predicted, names[plain.predict(X)])
    assert model.score(X, names[y]) > 0.8
    assert classifier().fit(X.tolist(), names[y].tolist()).score(X, names[y]) > 0.8


@pytest.mark.parametrize("dtype", ["category", "str", "string"])
def test_labels_of_pandas(codes, dtype):
    X, y = codes
    # the order of the categories says otherwise; classes_ are sorted as everywhere
    names = pd.Series(np.array(["low", "middle", "top"])[y], index=np.arange(60)[::-1])
    labels = pd.Categorical(names, ["top", "low", "middle"]) if dtype == "category" else names
    labels = pd.Series(labels, index=names.index, dtype=dtype)
    model = classifier().fit(X, labels)
    assert list(model.classes_) == ["low", "middle", "top"]
    np.testing.assert_array_equal(model.predict_proba(X), classifier().fit(X, y).predict_proba(X))
    assert model.score(X, labels) > 0.8


def test_targets_that_are_no_labels_are_named(rows):
    X, y = rows
    with pytest.raises(ValueError, match="continuous"):
        classifier().fit(X, y)
    with pytest.raises(ValueError, match="1d array"):
        classifier().fit(X, np.column_stack([y > 5, y > 4]))
    with pytest.raises(ValueError, match="could not convert string to float|numeric"):
        regressor().fit(X, np.where(y > 5, "high", "low"))


# --- forms of X ----------------------------------------------------------------------------------


def new_file(folder):
    return folder / f"{len(list(folder.iterdir()))}.dat"


def memory_mapped(X, folder):
    mapped = np.memmap(new_file(folder), X.dtype, "w+", shape=X.shape)
    mapped[:] = X
    return mapped


def read_from_disk(X, folder):
    file = new_file(folder)
    joblib.dump(X, file)
    return joblib.load(file, mmap_mode="r")


def read_only(X, folder):
    frozen = X.copy()
    frozen.setflags(write=False)
    return frozen


FORMS = {
    "memmap": memory_mapped,
    "joblib memmap": read_from_disk,
    "read-only": read_only,
    "fortran": lambda X, folder: np.asfortranarray(X),
    "every other row": lambda X, folder: np.repeat(X, 2, 0)[::2],
    "columns backwards": lambda X, folder: X[:, ::-1].copy()[:, ::-1],
    "big endian": lambda X, folder: X.astype(">f8"),
    "float32": lambda X, folder: X.astype(np.float32),
    "int": lambda X, folder: X.astype(int),
    "lists": lambda X, folder: X.tolist(),
    "objects": lambda X, folder: X.astype(object),
    "data frame": lambda X, folder: pd.DataFrame(X),
    "nullable data frame": lambda X, folder: pd.DataFrame(X).astype("Float64"),
}


@pytest.mark.parametrize("n_inducing", [None, 8])
@pytest.mark.parametrize("make", [regressor, classifier], ids=NAMES)
@pytest.mark.parametrize("form", FORMS)
def test_form_of_X_does_not_matter(rows, tmp_path, form, make, n_inducing):
    X, y = rows
    X = np.round(4.0 * X)  # whole numbers: no form rounds them
    y = y if make is regressor else y > 5.0
    other = FORMS[form](X, tmp_path)
    model, same = make(n_inducing=n_inducing).fit(X, y), make(n_inducing=n_inducing).fit(other, y)
    assert_same_answers(answers(same, other), answers(model, X))
    np.testing.assert_array_equal(np.asarray(other, dtype=float), X)  # and X is left as it was


def test_forms_of_y_and_of_what_comes_with_it(rows, tmp_path):
    X, y = rows
    y = np.round(8.0 * y) / 8.0
    weight, noise = np.arange(60.0) % 3, np.arange(60.0) % 5
    expected = regressor().fit(X, y, weight, noise).predict(X)
    for form in ("read-only", "joblib memmap", "every other row", "lists", "float32"):
        change = FORMS[form]
        same = regressor().fit(X, *(change(v, tmp_path) for v in (y, weight, noise)))
        np.testing.assert_allclose(same.predict(X), expected, rtol=1e-9)
    table = [pd.Series(v, index=np.arange(60)[::-1]) for v in (y, weight, noise)]
    np.testing.assert_allclose(regressor().fit(X, *table).predict(X), expected, rtol=1e-9)


@pytest.mark.parametrize("make", [regressor, classifier], ids=NAMES)
def test_sparse_rows_are_refused_by_name(rows, make):
    X, y = rows
    y = y if make is regressor else y > 5.0
    for sparse in (scipy.sparse.csr_matrix(X), scipy.sparse.coo_array(X)):
        with pytest.raises(TypeError, match="[Ss]parse.*dense data is required"):
            make().fit(sparse, y)
        with pytest.raises(TypeError, match="[Ss]parse.*dense data is required"):
            make().fit(X, y).predict(sparse)
