"""Curves of training."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgpng import GaussianProcessRegressor
from skgpng.displays import TrainingDisplay


@pytest.fixture(scope="module")
def stopped(frame, y):
    """Before it has settled."""
    return GaussianProcessRegressor(n_inducing=5, max_iter=6, random_state=0).fit(frame, y)


@pytest.fixture(scope="module")
def watched(frame, y):
    model = GaussianProcessRegressor(n_inducing=5, early_stopping=True, random_state=0)
    return model.fit(frame, y)


def test_curves_are_those_of_the_estimators(stopped, classifier):
    display = TrainingDisplay.from_estimator({"few": stopped, "labels": classifier})
    for line, end, model in zip(display.lines_, display.ends_, (stopped, classifier), strict=True):
        np.testing.assert_allclose(line.get_ydata(), model.elbo_curve_)
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, model.n_iter_ + 1))
        np.testing.assert_allclose(end.get_xydata(), [[model.n_iter_, model.elbo_]])
        assert end.get_marker() == ("o" if model.converged_ else "X")
    assert not stopped.converged_ and classifier.converged_
    texts = [text.get_text() for text in display.ax_.get_legend().texts]
    assert texts[0] == "few: stopped at 6, not converged"
    assert texts[1] == f"labels: converged at {classifier.n_iter_}"


def test_scores_of_rows_held_out(watched, stopped):
    display = TrainingDisplay.from_estimator(watched, kind="validation", name="watched")
    scores = watched.validation_scores_
    np.testing.assert_allclose(display.lines_[0].get_ydata(), scores)
    np.testing.assert_allclose(display.ends_[0].get_ydata(), scores.max())
    assert display.ax_.get_ylabel() == "mean log density held out"
    with pytest.raises(ValueError, match="set early_stopping=True"):
        TrainingDisplay.from_estimator(stopped, kind="validation")


def test_a_list_a_pipeline_and_given_axes(frame, y, stopped):
    model = make_pipeline(StandardScaler(), GaussianProcessRegressor(optimizer=None)).fit(frame, y)
    _, ax = plt.subplots()
    first = TrainingDisplay.from_estimator([model, stopped], ax=ax, line_kwargs={"lw": 3})
    second = TrainingDisplay.from_estimator(stopped, ax=ax)
    assert first.ax_ is ax and second.ax_ is ax
    assert first.names == ["GaussianProcessRegressor"] * 2
    assert first.lines_[0].get_linewidth() == 3
    colors = [line.get_color() for line in (*first.lines_, *second.lines_)]
    assert len(set(colors)) == 3


def test_first_steps_far_below_leave_the_picture():
    curve = np.concatenate([[-1e6, -1e4], np.linspace(-100.0, -50.0, 18)])
    ax = TrainingDisplay([curve], [True], ["far"]).plot().ax_
    assert -100 < ax.get_ylim()[0] < -90  # the first four of twenty leave it
    ax = TrainingDisplay([curve[2:]], [True], ["near"]).plot().ax_
    assert ax.get_ylim()[0] < -100 and ax.get_ylim()[1] > -50


def test_what_cannot_be_shown_is_refused(frame, y):
    with pytest.raises(NotFittedError):
        TrainingDisplay.from_estimator(GaussianProcessRegressor())
    with pytest.raises(TypeError, match="estimators of skgpng"):
        TrainingDisplay.from_estimator(LinearRegression().fit(frame, y))
    with pytest.raises(ValueError, match="must be one of 'elbo', 'validation'"):
        TrainingDisplay.from_estimator(GaussianProcessRegressor(), kind="loss")
