"""Coverage and PIT: what is drawn is what is counted."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, kstest, norm, poisson
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgpng import GaussianProcessRegressor
from skgpng.displays import CoverageDisplay
from skgpng.metrics import interval_coverage

from .conftest import KERNEL, STILL


@pytest.mark.parametrize("name", ["exact", "sparse", "near"])
def test_coverage_is_the_share_of_rows_in_their_intervals(request, frame, y, name):
    model = request.getfixturevalue(name)
    display = CoverageDisplay.from_estimator(model, frame, y)
    np.testing.assert_allclose(display.levels, np.arange(1, 50) / 50)
    np.testing.assert_allclose(display.line_.get_xdata(), display.levels)
    np.testing.assert_allclose(display.line_.get_ydata(), display.coverage)
    for level, share in zip(display.levels, display.coverage, strict=True):
        ends = model.predict_quantiles(frame, (0.5 - level / 2, 0.5 + level / 2))
        assert share == pytest.approx(interval_coverage(y, *ends.T))


def test_the_transform_is_the_distribution_at_y(exact, frame, y):
    display = CoverageDisplay.from_estimator(exact, frame, y)
    mean, std = exact.predict(frame, return_std=True)
    exactly = norm(mean, std).cdf(y)
    inner = (exactly > 0.01) & (exactly < 0.99)
    # linear between quantiles a hundredth apart, which bend most near the ends
    np.testing.assert_allclose(display.pit[inner], exactly[inner], atol=1e-3)
    assert np.abs(display.pit - exactly).max() < 0.01
    heights = [bar.get_height() for bar in display.histogram_]
    np.testing.assert_allclose(heights, np.histogram(exactly, 10, (0, 1))[0] / 6.0)
    again = CoverageDisplay.from_predictions(y, mean, std)
    np.testing.assert_allclose(again.pit, exactly)
    np.testing.assert_allclose(again.coverage, display.coverage)


def test_of_calibrated_counts_the_transform_is_even():
    rng = np.random.RandomState(0)
    rates = rng.uniform(0.5, 4.0, 4000)
    counts, levels = rng.poisson(rates), np.arange(1, 100) / 100
    quantiles = poisson(rates[:, None]).ppf(levels)
    display = CoverageDisplay.from_quantiles(counts, quantiles, levels, kind="pit")
    assert kstest(display.pit, "uniform").pvalue > 0.01
    low, high = binom.ppf([[0.005], [0.995]], 4000, display.levels) / 4000
    assert np.mean((low <= display.coverage) & (display.coverage <= high)) > 0.9
    # the transform lies in the jump, up to half a step of the quantiles at both ends
    assert np.all(display.pit > poisson(rates).cdf(counts - 1) - 0.0051)
    assert np.all(display.pit < poisson(rates).cdf(counts) + 0.0051)


def test_counts_of_an_estimator_are_drawn_by_the_seed(poisson, frame, counts):
    first, again, other = (
        CoverageDisplay.from_estimator(poisson, frame, counts, random_state=seed).pit
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
    # each lies in the jump of the distribution, a sum of the probabilities of counts
    p = [
        np.exp(poisson.log_predictive_density(frame, np.full(60, k)))
        for k in range(counts.max() + 1)
    ]
    up_to = np.cumsum(p, 0)[counts, np.arange(60)]
    below = up_to - np.array(p)[counts, np.arange(60)]
    assert np.all((first > below - 1e-6) & (first < up_to + 1e-6))
    drawn = np.random.RandomState(0)
    u = drawn.permutation(drawn.uniform(size=60))
    np.testing.assert_allclose(first, below + u * (up_to - below), atol=1e-6)


def test_counts_of_different_exposure(poisson, frame, counts):
    exposure = np.linspace(0.5, 3.0, 60)
    display = CoverageDisplay.from_estimator(
        poisson, frame, counts, predict_params={"exposure": exposure}
    )
    p = [
        np.exp(poisson.log_predictive_density(frame, np.full(60, k), exposure=exposure))
        for k in range(counts.max() + 1)
    ]
    up_to = np.cumsum(p, 0)[counts, np.arange(60)]
    below = up_to - np.array(p)[counts, np.arange(60)]
    assert np.all((display.pit > below - 1e-6) & (display.pit < up_to + 1e-6))


@pytest.mark.parametrize("likelihood", ["gamma", "beta"])
def test_the_transform_of_positive_y_and_shares(frame, y, likelihood):
    rng = np.random.RandomState(3)
    y = rng.gamma(3.0, np.exp(y)) if likelihood == "gamma" else rng.beta(2.0, np.exp(y))
    model = GaussianProcessRegressor(KERNEL, likelihood=likelihood, **STILL).fit(frame, y)
    display = CoverageDisplay.from_estimator(model, frame[:20], y[:20])
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    quantiles = model.predict_quantiles(frame[:20], levels)
    np.testing.assert_array_equal(display.pit[:, None] > levels, y[:20, None] > quantiles)


def test_few_quantiles_are_enough():
    y, ends = [0.5, 1.5, 9.0, -1.0], np.tile([0.0, 1.0, 2.0], (4, 1))
    display = CoverageDisplay.from_quantiles(y, ends, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(display.levels, [0.5])
    np.testing.assert_allclose(display.coverage, [0.5])
    np.testing.assert_allclose(display.pit, [0.375, 0.625, 0.875, 0.125])


def test_one_of_several_targets_and_rows_without_y(two_targets, frame):
    model, both = two_targets
    holes = both.copy()
    holes.loc[:9, "down"] = np.nan
    display = CoverageDisplay.from_estimator(model, frame, holes, target="down")
    mean, std = model.predict(frame, return_std=True)
    alone = CoverageDisplay.from_predictions(both["down"][10:], mean[10:, 1], std[10:, 1])
    np.testing.assert_allclose(display.coverage, alone.coverage)
    with pytest.raises(ValueError, match="choose one"):
        CoverageDisplay.from_estimator(model, frame, both)
    with pytest.raises(ValueError, match="y has 1 columns, but .* predicts 2"):
        CoverageDisplay.from_estimator(model, frame, both["up"])


def test_what_else_is_known_of_the_rows_is_handed_on(exact, poisson, frame, y, counts):
    noise = np.full(60, 100.0)
    display = CoverageDisplay.from_estimator(
        exact, frame, y, predict_params={"noise_variance": noise}
    )
    mean, std = exact.predict(frame, return_std=True, noise_variance=noise)
    alone = CoverageDisplay.from_predictions(y, mean, std)
    np.testing.assert_allclose(display.coverage, alone.coverage)
    with pytest.raises(ValueError, match="noise_variance of each row is nothing"):
        CoverageDisplay.from_estimator(
            poisson, frame, counts, predict_params={"noise_variance": noise}
        )


def test_a_pipeline_and_a_regressor_of_scikit_learn(frame, y):
    for last in (GaussianProcessRegressor(optimizer=None), BayesianRidge()):
        model = make_pipeline(StandardScaler(), last).fit(frame, y)
        display = CoverageDisplay.from_estimator(model, frame, y)
        alone = CoverageDisplay.from_predictions(y, *model.predict(frame, return_std=True))
        np.testing.assert_allclose(display.coverage, alone.coverage)
        assert display.axes_[0].get_legend() is None


def test_models_are_compared_on_the_same_axes(exact, sparse, frame, y):
    _, ax = plt.subplots()
    both = [
        CoverageDisplay.from_estimator(model, frame, y, ax=ax, kind="coverage", name=name)
        for model, name in ((exact, "exact"), (sparse, "sparse"))
    ]
    assert all(list(display.axes_) == [ax] for display in both)
    assert both[0].line_.get_color() != both[1].line_.get_color()
    assert [text.get_text() for text in ax.get_legend().texts] == ["exact", "sparse"]
    assert len(ax.collections) == 1  # the same chance for both
    low, high = binom.ppf([0.025, 0.975], 60, 0.5) / 60
    vertices = ax.collections[0].get_paths()[0].vertices
    np.testing.assert_allclose(np.unique(vertices[np.isclose(vertices[:, 0], 0.5), 1]), [low, high])
    again = both[0].plot(kind="pit", bins=5)
    assert again.line_ is None and len(again.histogram_) == 5


def test_what_cannot_be_shown_is_refused(exact, classifier, frame, y, labels):
    with pytest.raises(TypeError, match="classifier: use sklearn.calibration"):
        CoverageDisplay.from_estimator(classifier, frame, labels)
    with pytest.raises(TypeError, match="LinearRegression has no uncertainty"):
        CoverageDisplay.from_estimator(LinearRegression().fit(frame, y), frame, y)
    with pytest.raises(ValueError, match="kind='all' must be one of 'both', 'coverage', 'pit'"):
        CoverageDisplay.from_estimator(exact, frame, y, kind="all")
    with pytest.raises(ValueError, match="no row with a y"):
        CoverageDisplay.from_estimator(exact, frame, pd.Series(np.full(60, np.nan)))
    with pytest.raises(ValueError, match="y_std must be positive"):
        CoverageDisplay.from_predictions([1.0], [1.0], [0.0])
    with pytest.raises(ValueError, match="one shape"):
        CoverageDisplay.from_predictions([1.0], [1.0, 2.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="ends of an interval"):
        CoverageDisplay.from_quantiles([1.0], [[1.0, 2.0]], [0.2, 0.9])
    with pytest.raises(ValueError, match="must grow"):
        CoverageDisplay.from_quantiles([1.0], [[2.0, 1.0]], [0.1, 0.9])
    with pytest.raises(ValueError, match="have shapes"):
        CoverageDisplay.from_quantiles([1.0], [1.0, 2.0], [0.1, 0.9])
