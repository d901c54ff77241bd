"""Bands along a column: what is drawn is what the estimator says."""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri
from sklearn.compose import make_column_transformer
from sklearn.gaussian_process import GaussianProcessRegressor as TheirRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.linear_model import BayesianRidge, LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skgpng import GaussianProcessRegressor
from skgpng.displays import BandDisplay


def typical_rows(frame, column, grid):
    """Rows by hand: the others at their median, the lower one of two."""
    rows = {name: np.full(len(grid), np.sort(frame[name])[29]) for name in frame}
    return pd.DataFrame({**rows, column: grid})


def ends_of(band):
    """Grid, lower and upper ends of what fill_between has drawn."""
    (path,) = band.get_paths()
    n = (len(path.vertices) - 3) // 2
    lower, upper = path.vertices[1 : n + 1], path.vertices[n + 2 : -1][::-1]
    return lower[:, 0], lower[:, 1], upper[:, 1]


@pytest.mark.parametrize("name", ["exact", "sparse", "near", "poisson"])
def test_line_and_bands_are_predictions_and_quantiles(request, frame, y, name):
    model = request.getfixturevalue(name)
    display = BandDisplay.from_estimator(
        model, frame, "age", y=y, grid_resolution=20, level=(0.5, 0.9)
    )
    rows = typical_rows(frame, "age", np.linspace(frame["age"].min(), frame["age"].max(), 20))
    (line,) = display.lines_
    np.testing.assert_allclose(line.get_xdata(), rows["age"])
    np.testing.assert_allclose(line.get_ydata(), model.predict(rows))
    quantiles = model.predict_quantiles(rows, (0.05, 0.25, 0.75, 0.95))
    for band, pair in zip(display.bands_, ([0, 3], [1, 2]), strict=True):
        grid, lower, upper = ends_of(band)
        np.testing.assert_allclose(grid, rows["age"])
        np.testing.assert_allclose(np.column_stack([lower, upper]), quantiles[:, pair])
    assert display.ax_.get_xlabel() == "age"
    assert display.ax_.get_ylabel() == "height, m"
    assert display.figure_ is display.ax_.figure


def test_rows_and_inducing_points_are_shown_where_they_are(sparse, frame, y):
    display = BandDisplay.from_estimator(sparse, frame, "age", y=y)
    np.testing.assert_allclose(display.data_.get_offsets(), np.column_stack([frame["age"], y]))
    np.testing.assert_allclose(display.inducing_points_.get_xdata(), sparse.inducing_points_[:, 1])
    assert len(BandDisplay.from_estimator(sparse, frame, y=y, subsample=10).X) == 10
    (marks,) = BandDisplay.from_estimator(sparse, frame, "age").data_
    np.testing.assert_allclose(marks.get_xdata(), frame["age"])


def test_the_band_of_the_mean_leaves_the_noise_out(exact, frame):
    display = BandDisplay.from_estimator(exact, frame, include_noise=False, level=0.9)
    mean, std = exact.predict(
        typical_rows(frame, "depth", display.grid), return_std=True, include_noise=False
    )
    np.testing.assert_allclose(display.upper[:, 0], mean + ndtri(0.95) * std)
    assert display.bands_[0].get_label() == "90 % interval of the mean"


def test_bounds_of_a_rate_are_those_of_its_draws(poisson, frame):
    # the logarithm of the rate is normal, its quantiles are those of f through exp
    display = BandDisplay.from_estimator(
        poisson, frame, include_noise=False, level=0.8, grid_resolution=9
    )
    rows = typical_rows(frame, "depth", display.grid)
    f_mean, f_var = poisson._predictor.latent(poisson._validate_new(rows))
    exact = np.exp(f_mean + np.sqrt(f_var) * ndtri([0.1, 0.9]))
    # 2000 draws: the standard error of such a quantile of f is 0.04 of its standard deviation
    drawn = np.log(np.column_stack([display.lower, display.upper]))
    assert np.all(np.abs(drawn - np.log(exact)) < 0.2 * np.sqrt(f_var))


def test_other_columns_are_held_where_they_are_fixed(exact, frame):
    display = BandDisplay.from_estimator(
        exact, frame, 0, fixed={"age": 40, 2: 2.25}, grid=[0.5, 1.0]
    )
    rows = pd.DataFrame({"depth": [0.5, 1.0], "age": 40, "weight": 2.25})
    np.testing.assert_allclose(display.mean, exact.predict(rows))


def test_samples_are_draws_of_the_function(exact, frame):
    display = BandDisplay.from_estimator(exact, frame, n_samples=3, random_state=5, grid=[0, 1, 2])
    rows = typical_rows(frame, "depth", [0.0, 1.0, 2.0])
    draws = exact.sample_y(rows, 3, random_state=5, include_noise=False)
    assert len(display.samples_) == 3
    np.testing.assert_allclose([line.get_ydata() for line in display.samples_], draws.T)


def test_one_of_several_targets(two_targets, frame):
    model, both = two_targets
    by_name = BandDisplay.from_estimator(model, frame, y=both, target="down", n_samples=1)
    by_place = BandDisplay.from_estimator(model, frame, target=1)
    rows = typical_rows(frame, "depth", by_name.grid)
    np.testing.assert_allclose(by_name.mean, model.predict(rows)[:, 1])
    np.testing.assert_allclose(by_name.mean, by_place.mean)
    np.testing.assert_allclose(by_name.data_.get_offsets()[:, 1], both["down"])
    assert by_name.samples.shape == (200, 1)
    assert by_name.ax_.get_ylabel() == "down"
    with pytest.raises(ValueError, match="2 targets: choose one"):
        BandDisplay.from_estimator(model, frame)
    with pytest.raises(ValueError, match="target=2 is none"):
        BandDisplay.from_estimator(model, frame, target=2)


def test_each_class_has_a_line_and_marks(classifier, frame, labels):
    display = BandDisplay.from_estimator(classifier, frame, y=labels)
    p = classifier.predict_proba(typical_rows(frame, "depth", display.grid))
    np.testing.assert_allclose([line.get_ydata() for line in display.lines_], p.T)
    assert [text.get_text() for text in display.ax_.get_legend().texts] == ["low", "mid", "top"]
    assert len({str(line._dash_pattern) for line in display.lines_}) == 3
    for marks, label in zip(display.data_, classifier.classes_, strict=True):
        np.testing.assert_allclose(marks.get_xdata(), frame["depth"][labels == label])


def test_of_two_classes_the_second_is_shown(two_classes, frame, labels):
    display = BandDisplay.from_estimator(two_classes, frame, y=labels == "top")
    p = two_classes.predict_proba(typical_rows(frame, "depth", display.grid))
    (line,) = display.lines_
    np.testing.assert_allclose(line.get_ydata(), p[:, 1])
    below, above = display.data_
    np.testing.assert_allclose(above.get_xdata(), frame["depth"][labels == "top"])
    assert len(below.get_xdata()) == np.sum(labels != "top")
    assert display.ax_.get_ylabel() == "probability of True"


def test_a_pipeline_and_a_search_are_asked_as_a_whole(frame, y):
    mixed = frame.assign(site=np.where(frame["age"] > 35, "old", "new"))
    encode = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["site"]), remainder=StandardScaler()
    )
    model = make_pipeline(encode, GaussianProcessRegressor(n_inducing=8, optimizer=None))
    search = GridSearchCV(model, {"gaussianprocessregressor__alpha": [0.1]}, cv=2).fit(mixed, y)
    display = BandDisplay.from_estimator(search, mixed, "depth", y=y)
    rows = typical_rows(frame, "depth", display.grid).assign(site=mixed["site"].mode()[0])
    best = search.best_estimator_
    mean, std = best.predict(rows[mixed.columns], return_std=True)
    np.testing.assert_allclose(display.mean, mean)
    np.testing.assert_allclose(display.upper[:, 0], mean + ndtri(0.975) * std)
    assert display.inducing_points_ is None  # they lie among rows that are scaled
    other = BandDisplay.from_estimator(search, mixed, "depth", fixed={"site": "old"}, grid=[1.0])
    np.testing.assert_allclose(other.mean, best.predict(rows[:1].assign(depth=1.0, site="old")))
    with pytest.raises(ValueError, match="'site' is not of numbers"):
        BandDisplay.from_estimator(search, mixed, "site")


@pytest.mark.parametrize("theirs", [BayesianRidge(), TheirRegressor(RBF(), alpha=0.1)])
def test_regressors_of_scikit_learn(theirs, frame, y):
    X = frame[["depth"]].to_numpy()
    theirs.fit(X, y)
    display = BandDisplay.from_estimator(theirs, X, y=np.asarray(y))
    mean, std = theirs.predict(display.grid[:, None], return_std=True)
    np.testing.assert_allclose(display.lower[:, 0], mean + ndtri(0.025) * std)
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("x0", "y")


def test_a_classifier_of_scikit_learn(frame, labels):
    theirs = LogisticRegression().fit(frame, labels)
    display = BandDisplay.from_estimator(theirs, frame, "age")
    p = theirs.predict_proba(typical_rows(frame, "age", display.grid))
    np.testing.assert_allclose(display.mean, p)


def test_rows_that_the_estimator_keeps_need_not_be_given(frame, y):
    X = frame[["depth"]].to_numpy()
    display = BandDisplay.from_estimator(TheirRegressor(RBF(), alpha=0.1).fit(X, y))
    np.testing.assert_allclose(display.X, X[:, 0])
    theirs = TheirRegressor(RBF(), alpha=0.1).fit(frame, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as of rows without the names that were fitted
        display = BandDisplay.from_estimator(theirs, feature="age")
    np.testing.assert_allclose(display.X, frame["age"])


def test_before_fit_the_prior_is_shown(frame):
    display = BandDisplay.from_estimator(
        GaussianProcessRegressor(RBF(), alpha=0.01), frame[["depth"]], n_samples=2
    )
    np.testing.assert_allclose(display.upper, ndtri(0.975) * np.sqrt(1.01))


def test_given_axes_colour_and_keywords_are_used(exact, sparse, frame):
    _, ax = plt.subplots()
    first = BandDisplay.from_estimator(exact, frame, ax=ax, name="exact")
    second = BandDisplay.from_estimator(
        sparse, frame, ax=ax, name="sparse", color="red", line_kwargs={"lw": 5}
    )
    assert first.ax_ is ax and second.ax_ is ax
    assert second.lines_[0].get_color() == "red" and second.lines_[0].get_linewidth() == 5
    texts = [text.get_text() for text in ax.get_legend().texts]
    assert "exact" in texts and "sparse" in texts
    assert second.plot(legend=False).ax_.get_legend() is None


def test_normal_predictions_are_sorted():
    display = BandDisplay.from_predictions(
        [2.0, 0.0], [1.0, 3.0], [0.1, 0.2], level=(0.5, 0.9), X=[1.0], y=[2.0], target_name="m"
    )
    np.testing.assert_allclose(display.lines_[0].get_xydata(), [[0, 3], [2, 1]])
    np.testing.assert_allclose(
        display.lower,
        [[3 - 0.2 * ndtri(p) for p in (0.95, 0.75)], [1 - 0.1 * ndtri(p) for p in (0.95, 0.75)]],
    )
    with pytest.raises(ValueError, match="one shape"):
        BandDisplay.from_predictions([1.0], [1.0, 2.0], [1.0, 2.0])


def test_what_cannot_be_shown_is_refused(exact, classifier, frame, y):
    with pytest.raises(ValueError, match="not fitted to: .1.. It knows .*'low'"):
        BandDisplay.from_estimator(classifier, frame, y=np.ones(60, int))
    with pytest.raises(ValueError, match="'depht' is no column of X.*'depth', 'age'"):
        BandDisplay.from_estimator(exact, frame, "depht")
    with pytest.raises(ValueError, match="position from 0 to 2"):
        BandDisplay.from_estimator(exact, frame, 3)
    with pytest.raises(ValueError, match="fixed holds 'depth'"):
        BandDisplay.from_estimator(exact, frame, fixed={"depth": 1.0})
    with pytest.raises(ValueError, match="level must lie"):
        BandDisplay.from_estimator(exact, frame, level=95)
    with pytest.raises(TypeError, match="LinearRegression has no uncertainty"):
        BandDisplay.from_estimator(LinearRegression().fit(frame, y), frame)
    with pytest.raises(TypeError, match="leave n_samples=0"):
        BandDisplay.from_estimator(BayesianRidge().fit(frame, y), frame, n_samples=1)
    with pytest.raises(ValueError, match="rows and columns"):
        BandDisplay.from_estimator(exact, [1.0, 2.0])
    with pytest.raises(ValueError, match="does not keep its rows"):
        BandDisplay.from_estimator(BayesianRidge().fit(frame, y))
