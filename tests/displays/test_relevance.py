"""Bars of relevances."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process.kernels import DotProduct
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from skgpng import GaussianProcessRegressor
from skgpng.displays import RelevanceDisplay


def shown(display):
    return [text.get_text() for text in display.ax_.get_yticklabels()]


@pytest.mark.parametrize("name", ["exact", "sparse", "near", "classifier"])
def test_bars_are_relevances_the_largest_on_top(request, frame, name):
    model = request.getfixturevalue(name)
    display = RelevanceDisplay.from_estimator(model)
    order = np.argsort(-model.feature_relevances_)
    widths = [bar.get_width() for bar in display.bars_]
    np.testing.assert_allclose(widths, 100 * model.feature_relevances_[order])
    assert shown(display) == list(frame.columns[order])
    bottom, top = display.ax_.get_ylim()
    assert bottom > top  # the first bar is above the others


def test_what_is_not_shown_is_one_bar():
    display = RelevanceDisplay([0.1, 0.5, 0.15, 0.245, 0.005], list("abcde")).plot(max_features=2)
    np.testing.assert_allclose([bar.get_width() for bar in display.bars_], [50, 24.5, 25.5])
    assert shown(display) == ["b", "d", "3 others"]
    all_of_them = display.plot(color="red")
    assert shown(all_of_them) == ["b", "d", "c", "a", "e"]
    assert [text.get_text() for text in all_of_them.ax_.texts][-1] == "< 1 %"
    with pytest.raises(ValueError, match="max_features=0"):
        display.plot(max_features=0)


def test_names_come_through_the_steps_of_a_pipeline(frame, y):
    mixed = frame.assign(site=np.where(frame["age"] > 35, "old", "new"))
    encode = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["site"]),
        remainder=StandardScaler(),
        verbose_feature_names_out=False,
    )
    last = GaussianProcessRegressor(optimizer=None)
    display = RelevanceDisplay.from_estimator(make_pipeline(encode, last).fit(mixed, y))
    assert sorted(shown(display)) == ["age", "depth", "site_new", "site_old", "weight"]
    nameless = make_pipeline(FunctionTransformer(np.asarray), last).fit(frame, y)
    display = RelevanceDisplay.from_estimator(nameless)
    assert sorted(shown(display)) == ["x0", "x1", "x2"]
    display = RelevanceDisplay.from_estimator(nameless, feature_names=["a", "b", "c"])
    assert sorted(shown(display)) == ["a", "b", "c"]


def test_given_axes_are_used(exact):
    _, ax = plt.subplots()
    assert RelevanceDisplay.from_estimator(exact, ax=ax).ax_ is ax


def test_what_cannot_be_shown_is_refused(exact, frame, y):
    with pytest.raises(NotFittedError):
        RelevanceDisplay.from_estimator(GaussianProcessRegressor())
    with pytest.raises(TypeError, match="LinearRegression has no feature_relevances_"):
        RelevanceDisplay.from_estimator(LinearRegression().fit(frame, y))
    with pytest.raises(ValueError, match="2 feature_names for 3 columns"):
        RelevanceDisplay.from_estimator(exact, feature_names=["a", "b"])
    linear = GaussianProcessRegressor(DotProduct(), optimizer=None).fit(frame, y)
    with pytest.raises(AttributeError, match="needs length scales"):
        RelevanceDisplay.from_estimator(linear)
