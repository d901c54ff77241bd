"""Parts of an additive function."""

from __future__ import annotations

import copy

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri
from sklearn.linear_model import BayesianRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgpng import GaussianProcessRegressor
from skgpng._estimator.additive import AdditiveComponent
from skgpng.displays import AdditiveDisplay
from skgpng.kernels import OrthogonalAdditive


class OfThree(GaussianProcessRegressor):
    """Whose largest part is of three columns."""

    additive_components_ = [AdditiveComponent(("depth", "age", "weight"), 1.0)]


def fitted(X, y, max_order=1, **settings):
    kernel = OrthogonalAdditive(max_order=max_order)
    model = GaussianProcessRegressor(kernel, optimizer=None, random_state=0, **settings)
    return model.fit(X, y)


@pytest.fixture(scope="module")
def additive(frame, y):
    return fitted(frame, y, max_order=2, n_inducing=None)


@pytest.fixture(scope="module")
def additive_with_points(frame, y):
    return fitted(frame, y, max_order=2, n_inducing=15)


@pytest.mark.parametrize("name", ["additive", "additive_with_points"])
def test_each_panel_is_a_component_of_the_estimator(request, frame, name):
    model = request.getfixturevalue(name)
    display = AdditiveDisplay.from_estimator(model, frame, level=0.8, grid_resolution=30)
    parts = model.additive_components_
    assert len(display.axes_) == 6
    maps = []
    for part, shown, drawn, ax in zip(
        parts, display.components, display.artists_, display.axes_, strict=True
    ):
        title = f"{100 * part.share:.2g} %" if part.share >= 0.001 else "< 0.1 %"
        assert ax.get_title() == f"{title} of the variance"
        assert ax.get_xlabel() == part.columns[0]
        mesh = np.meshgrid(*shown.grids)
        rows = pd.DataFrame(1.0, range(mesh[0].size), frame.columns)
        for column, values in zip(part.columns, mesh, strict=True):
            rows[column] = values.ravel()
        mean, std = model.predict_component(rows, part.columns, return_std=True)
        if len(part.columns) == 2:
            np.testing.assert_allclose(np.ravel(drawn["map"].get_array()), mean)
            assert ax.get_ylabel() == part.columns[1]
            assert drawn["map"].norm.vmin == -drawn["map"].norm.vmax
            maps.append(drawn["map"].norm.vmax)
        else:
            np.testing.assert_allclose(drawn["line"].get_xydata(), np.column_stack([mesh[0], mean]))
            vertices = drawn["band"].get_paths()[0].vertices[1:31]
            np.testing.assert_allclose(vertices[:, 1], mean - ndtri(0.9) * std)
    lines = [ax for ax, part in zip(display.axes_, parts, strict=True) if len(part.columns) == 1]
    assert len({ax.get_ylim() for ax in lines}) == 1 and len(set(maps)) == 1
    assert {ax.get_ylabel() for ax in lines} == {"effect on y"}


def test_a_column_of_few_values_has_points(frame, y):
    X = frame.assign(age=np.digitize(frame["age"], [30, 45]).astype(float))
    model = fitted(X, y)
    display = AdditiveDisplay.from_estimator(model, X)
    (k,) = [k for k, part in enumerate(display.components) if part.names == ("age",)]
    at = X[:3].assign(age=[0.0, 1.0, 2.0])
    points = display.artists_[k]["points"].lines[0]
    np.testing.assert_allclose(points.get_ydata(), model.predict_component(at, ["age"]))
    np.testing.assert_allclose(display.axes_[k].get_xticks(), [0, 1, 2])


def test_one_of_several_targets(frame, y):
    model = fitted(frame, np.column_stack([y, -2.0 * y]))
    display = AdditiveDisplay.from_estimator(model, frame, target=1, max_components=1)
    (shown,), part = display.components, model.additive_components_[0]
    assert shown.share == pytest.approx(part.share[1])
    rows = frame[:1].assign(**{shown.names[0]: shown.grids[0][0]})
    np.testing.assert_allclose(shown.mean[0], model.predict_component(rows, part.columns)[0, 1])
    with pytest.raises(ValueError, match="choose one"):
        AdditiveDisplay.from_estimator(model, frame)


def test_in_a_pipeline_the_columns_are_those_of_the_last_step(frame, y):
    last = GaussianProcessRegressor(OrthogonalAdditive(max_order=1), optimizer=None)
    model = make_pipeline(StandardScaler(), last).fit(frame, y)
    display = AdditiveDisplay.from_estimator(model, frame)
    assert sorted(part.names[0] for part in display.components) == ["age", "depth", "weight"]
    (depth,) = [part for part in display.components if part.names == ("depth",)]
    scaled = model[:-1].transform(frame)
    np.testing.assert_allclose(depth.grids[0][[0, -1]], [scaled[:, 0].min(), scaled[:, 0].max()])


def test_effects_on_counts_are_those_on_the_latent_function(frame, counts):
    model = fitted(frame, counts, likelihood="poisson", max_iter=5)
    display = AdditiveDisplay.from_estimator(model, frame, max_components=1)
    assert display.axes_[0].get_ylabel() == "effect on f"


def test_given_axes_are_used_or_divided(additive, frame):
    _, axes = plt.subplots(1, 2)
    display = AdditiveDisplay.from_estimator(additive, frame, max_components=2, ax=axes)
    assert list(display.axes_) == list(axes)
    figure, ax = plt.subplots()
    display = AdditiveDisplay.from_estimator(additive, frame, ax=ax, columns=2)
    assert display.figure_ is figure and len(display.axes_) == 6


def test_what_cannot_be_shown_is_refused(additive, exact, frame, y):
    with pytest.raises(AttributeError, match="OrthogonalAdditive"):
        AdditiveDisplay.from_estimator(exact, frame)
    with pytest.raises(TypeError, match="BayesianRidge has no additive_components_"):
        AdditiveDisplay.from_estimator(BayesianRidge().fit(frame, y), frame)
    three = copy.copy(additive)
    three.__class__ = OfThree
    with pytest.raises(ValueError, match="no picture: a panel shows one column or two"):
        AdditiveDisplay.from_estimator(three, frame)
