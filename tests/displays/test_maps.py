"""Maps over two columns."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.stats import entropy
from sklearn.linear_model import BayesianRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgpng import GaussianProcessRegressor
from skgpng.displays import MapDisplay


def rows_of(display, frame):
    """Rows by hand, the weight at its median, the lower one of two."""
    depth, age = np.meshgrid(display.grid_x, display.grid_y)
    weight = np.sort(frame["weight"])[29]
    return pd.DataFrame({"depth": depth.ravel(), "age": age.ravel(), "weight": weight})


@pytest.mark.parametrize("name", ["exact", "sparse", "near", "poisson"])
@pytest.mark.parametrize("include_noise", [True, False])
def test_maps_are_predictions_and_their_standard_deviations(request, frame, y, name, include_noise):
    model = request.getfixturevalue(name)
    display = MapDisplay.from_estimator(
        model, frame, ("depth", "age"), y=y, grid_resolution=6, include_noise=include_noise
    )
    expected = model.predict(rows_of(display, frame), return_std=True, include_noise=include_noise)
    for drawn, values in zip(display.maps_, expected, strict=True):
        np.testing.assert_allclose(np.ravel(drawn.get_array()), values)
    assert [ax.get_xlabel() for ax in display.axes_] == ["depth", "depth"]
    assert display.axes_[0].get_title() == "height, m"
    of = "standard deviation" + ("" if include_noise else " of the mean")
    assert display.axes_[1].get_title() == of
    assert len(display.colorbars_) == 2


def test_rows_are_coloured_as_the_map_is(exact, frame, y):
    display = MapDisplay.from_estimator(exact, frame, y=y, grid_resolution=5)
    filled, plain = display.data_
    np.testing.assert_allclose(filled.get_offsets(), frame[["depth", "age"]])
    np.testing.assert_allclose(plain.get_offsets(), frame[["depth", "age"]])
    np.testing.assert_allclose(filled.get_array(), y)
    assert filled.norm is display.maps_[0].norm
    assert filled.norm.vmin <= y.min() and filled.norm.vmax >= y.max()


def test_a_class_and_the_entropy_of_all(classifier, two_classes, frame, labels):
    display = MapDisplay.from_estimator(
        classifier, frame, y=labels, target="mid", grid_resolution=6
    )
    p = classifier.predict_proba(rows_of(display, frame))
    np.testing.assert_allclose(np.ravel(display.maps_[0].get_array()), p[:, 1])
    np.testing.assert_allclose(np.ravel(display.maps_[1].get_array()), entropy(p.T, base=2))
    np.testing.assert_allclose(display.data_[0].get_array(), labels == "mid")
    assert display.axes_[0].get_title() == "probability of mid"
    second = MapDisplay.from_estimator(two_classes, frame, grid_resolution=6)
    p = two_classes.predict_proba(rows_of(second, frame))
    np.testing.assert_allclose(np.ravel(second.prediction), p[:, 1])
    with pytest.raises(ValueError, match="3 classes: say by target= .*'low', 'mid', 'top'"):
        MapDisplay.from_estimator(classifier, frame)
    with pytest.raises(ValueError, match="'high' is none of the classes"):
        MapDisplay.from_estimator(classifier, frame, target="high")


def test_one_of_several_targets(two_targets, frame):
    model, both = two_targets
    display = MapDisplay.from_estimator(model, frame, y=both, target="down", grid_resolution=4)
    mean, std = model.predict(rows_of(display, frame), return_std=True, include_noise=False)
    np.testing.assert_allclose(np.ravel(display.prediction), mean[:, 1])
    np.testing.assert_allclose(np.ravel(display.uncertainty), std[:, 1])
    np.testing.assert_allclose(display.y, both["down"])
    assert display.axes_[0].get_title() == "down"


def test_a_pipeline_and_a_regressor_of_scikit_learn(frame, y):
    for last in (GaussianProcessRegressor(optimizer=None), BayesianRidge()):
        model = make_pipeline(StandardScaler(), last).fit(frame, y)
        display = MapDisplay.from_estimator(
            model, frame, ("age", 0), fixed={"weight": 2.5}, include_noise=True, grid_resolution=4
        )
        age, depth = np.meshgrid(display.grid_x, display.grid_y)
        rows = pd.DataFrame({"depth": depth.ravel(), "age": age.ravel(), "weight": 2.5})
        mean, std = model.predict(rows, return_std=True)
        np.testing.assert_allclose(np.ravel(display.prediction), mean)
        np.testing.assert_allclose(np.ravel(display.uncertainty), std)


def test_given_axes_are_used_or_divided(exact, frame):
    _, pair = plt.subplots(1, 2)
    display = MapDisplay.from_estimator(exact, frame, ax=pair, grid_resolution=4)
    assert list(display.axes_) == list(pair)
    figure, (left, right) = plt.subplots(1, 2)
    display.plot(right, map_kwargs={"cmap": "magma"})
    assert display.figure_ is figure and left not in display.axes_
    assert display.maps_[0].get_cmap().name == "magma"
    half = right.get_position()
    assert all(ax.get_position().x0 >= half.x0 - 1e-9 for ax in display.axes_)
    with pytest.raises(ValueError, match="ax has 3 axes, 2 are needed"):
        display.plot(plt.subplots(1, 3)[1])
    with pytest.raises(ValueError, match="give 2 axes"):
        display.plot(figure.add_axes((0.1, 0.1, 0.2, 0.2)))


def test_columns_must_be_two(exact, frame):
    for features in (("age", "age"), (0, 1, 2), "age", 0):
        with pytest.raises(ValueError, match="two different columns"):
            MapDisplay.from_estimator(exact, frame, features)
