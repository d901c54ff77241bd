"""Weights and noise of rows through pipelines, searches and scikit-learn's routing."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from estimator.answers import assert_same_answers, classifier, regressor
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.gaussian_process.kernels import RBF
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


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
