"""The mean that a user asks for: what far predictions follow, and what else it changes."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeRegressor

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor, load, save
from skgpng._estimator.trends import fit_trend

MODELS = {
    "exact": {},
    "points": {"n_inducing": 12},
    "neighbours": {"n_neighbors": 16, "max_iter": 60},
    "student_t": {"likelihood": "student_t"},
    "held out": {"early_stopping": True},
    "raw": {"normalize_y": False},
}


def make_data(N=80, seed=0):
    """A plane with a wave, rows far from zero."""
    rng = np.random.RandomState(seed)
    X = 5.0 * rng.rand(N, 2) + 10.0
    return X, plane(X) + np.sin(2.0 * X[:, 0]) + 0.1 * rng.randn(N)


def plane(X):
    return 3.0 * X[:, 0] - X[:, 1] + 40.0


X, Y = make_data()
FAR = np.random.RandomState(1).rand(4, 2) + 25.0


def regressor(**settings):
    return GaussianProcessRegressor(random_state=0, **settings)


@pytest.mark.parametrize("mean", ["linear", LinearRegression()], ids=["linear", "regressor"])
@pytest.mark.parametrize("name", MODELS)
def test_far_predictions_follow_the_trend(name, mean):
    kernel = RBF([1.0, 1.0], (0.1, 3.0)) + WhiteKernel(0.1)
    model = regressor(kernel=kernel, mean=mean, **MODELS[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wave asks for a long length scale in one column
        found, std = model.fit(X, Y).predict(FAR, return_std=True)
    missed = np.abs(found - plane(FAR)).max()
    assert missed < 4.0 * std.max() and missed < 0.5 * np.ptp(Y)
    assert np.abs(Y.mean() - plane(FAR)).min() > 1.4 * np.ptp(Y)  # what is without it


def test_coefficients_are_told_in_the_units_of_x_and_y():
    model = regressor(mean="linear").fit(X, Y)
    at = np.array([[11.0, 12.0], [14.0, 13.0]])
    line = model.mean_["constant"] + at @ model.mean_["slopes"]
    values = model._predictor.posterior.mean_values
    of_f = model._predictor.posterior.mean_function.added(values, np.zeros((2, 1)), at)[:, 0]
    np.testing.assert_allclose(line, of_f * Y.std() + Y.mean(), rtol=1e-10)
    assert regressor(mean="zero").fit(X, Y).mean_ == {}
    assert regressor(mean="constant").fit(X, Y).mean_["constant"].shape == ()
    two = regressor(mean="linear").fit(X, np.c_[Y, -Y]).mean_
    assert two["slopes"].shape == (2, 2) and two["constant"].shape == (2,)


# --- regressors ------------------------------------------------------------------------------


def test_all_predictions_are_those_of_residuals_and_the_regressor():
    y = np.c_[Y, np.cos(X[:, 1]) - Y]
    model = regressor(mean=KNeighborsRegressor(3)).fit(X, y)
    trend, left_out = fit_trend(KNeighborsRegressor(3), X, y, np.ones(len(X)))
    rest, at = regressor().fit(X, y - left_out), make_data(6, 5)[0]
    m, seen = trend.predict(at), y[:6]
    mean, std = rest.predict(at, return_std=True)
    found, cov = model.predict(at, return_cov=True)
    np.testing.assert_array_equal(model.predict(at, return_std=True)[1], std)
    np.testing.assert_allclose(found, m + mean, rtol=1e-12)
    np.testing.assert_allclose(cov, rest.predict(at, return_cov=True)[1])
    quantiles = rest.predict_quantiles(at) + m[..., None]
    np.testing.assert_allclose(model.predict_quantiles(at), quantiles)
    for score in ("crps", "log_predictive_density"):
        scores = getattr(model, score)(at, seen), getattr(rest, score)(at, seen - m)
        np.testing.assert_allclose(*scores, rtol=1e-9)
    np.testing.assert_allclose(model.sample_y(at), rest.sample_y(at) + m[..., None])
    assert model.elbo_ == rest.elbo_


def test_residuals_are_of_rows_that_were_not_seen():
    tree = DecisionTreeRegressor(random_state=0)  # without depth it knows each row it has seen
    fitted, left_out = fit_trend(tree, X, Y[:, None], np.ones(len(X)))
    np.testing.assert_array_equal(fitted.predict(X), Y)
    assert np.std(left_out[:, 0] - Y) > 0.3
    twice = np.r_[0:80, 0:80]  # equal rows are left out together
    nearest = KNeighborsRegressor(1)
    left_out = fit_trend(nearest, X, Y[:, None], np.ones(80))[1]
    again = fit_trend(nearest, X[twice], Y[twice, None], np.ones(160))[1]
    np.testing.assert_allclose(again, np.r_[left_out, left_out])
    order = np.random.RandomState(0).permutation(80)
    moved = fit_trend(LinearRegression(), X[order], Y[order, None], np.ones(80))[1]
    straight = fit_trend(LinearRegression(), X, Y[:, None], np.ones(80))[1]
    np.testing.assert_allclose(moved, straight[order])


def test_intervals_beside_a_forest_hold_what_they_say():
    rng = np.random.RandomState(0)
    X = rng.rand(500, 4)
    y = 10.0 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 5.0 * X[:, 2] + rng.randn(500)
    model = regressor(mean=RandomForestRegressor(50, random_state=0)).fit(X[:200], y[:200])
    low, high = model.predict_quantiles(X[200:], (0.05, 0.95)).T
    assert 0.85 < np.mean((low < y[200:]) & (y[200:] < high)) < 0.96


@pytest.mark.parametrize("mean", [Ridge(), "linear", KNeighborsRegressor(1)], ids=str)
def test_a_row_of_weight_two_is_the_row_twice(mean):
    weights = np.random.RandomState(0).randint(0, 3, 80)
    if not isinstance(mean, KNeighborsRegressor):  # takes none
        model = regressor(mean=mean).fit(X, Y, sample_weight=weights)
        rows = np.repeat(np.arange(80), weights)
        twice = regressor(mean=mean).fit(X[rows[::-1]], Y[rows[::-1]])
        np.testing.assert_allclose(model.predict(FAR), twice.predict(FAR), rtol=1e-10)
    else:
        twice = regressor(mean=mean).fit(np.r_[X, X], np.r_[Y, Y])
        assert len(twice._exact_data.X) == 80  # merged


def test_weights_reach_a_regressor_that_takes_them():
    weights = np.where(X[:, 0] < 12.5, 1.0, 0.0)
    model = regressor(mean=Ridge(1e-6)).fit(X, Y, sample_weight=weights)
    own = regressor(mean=Ridge(1e-6)).fit(X[weights > 0], Y[weights > 0])
    np.testing.assert_allclose(model.predict(FAR), own.predict(FAR))
    heavy = np.where(X[:, 0] < 12.5, 50.0, 1.0)
    found = regressor(mean=Ridge(1e-6)).fit(X, Y, sample_weight=heavy).mean_.coef_
    np.testing.assert_allclose(found, Ridge(1e-6).fit(X, Y, heavy).coef_)
    assert regressor(mean=KNeighborsRegressor(3)).fit(X, Y, sample_weight=heavy).score(X, Y) > 0.9


def test_parameters_of_the_regressor_are_in_the_grid():
    grid = {"mean__max_depth": [1, 4]}
    model = regressor(mean=DecisionTreeRegressor(random_state=0))
    search = GridSearchCV(model, grid, cv=2).fit(X, Y)
    best = search.best_estimator_
    assert best.mean_.get_depth() == search.best_params_["mean__max_depth"]
    assert not hasattr(model.mean, "tree_")


def test_noise_alone_beside_a_trend_is_no_concern():
    y = plane(X) + np.random.RandomState(3).randn(80)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for mean in ("linear", LinearRegression()):
            model = regressor(mean=mean, alpha=1.0).fit(X, y)
            assert model.predict(FAR) == pytest.approx(plane(FAR), abs=4.0)
        exact = regressor(mean=LinearRegression()).fit(X, plane(X))  # residuals are rounding
    np.testing.assert_allclose(exact.predict(FAR), plane(FAR))


# --- what goes on ----------------------------------------------------------------------------


@pytest.mark.parametrize("mean", ["linear", LinearRegression()], ids=["linear", "regressor"])
@pytest.mark.parametrize("name", ["exact", "points"])
def test_copies_predict_the_same(name, mean, tmp_path):
    model = regressor(mean=mean, **MODELS[name]).fit(X, Y)
    save(model, tmp_path / "model")
    for same in (pickle.loads(pickle.dumps(model)), load(tmp_path / "model")):
        np.testing.assert_array_equal(same.predict(FAR), model.predict(FAR))


@pytest.mark.parametrize("mean", ["linear", LinearRegression()], ids=["linear", "regressor"])
@pytest.mark.parametrize("settings", [{"n_inducing": 12}], ids=str)
def test_the_mean_of_the_first_call_stays(mean, settings):
    model = regressor(mean=mean, **settings).fit(X, Y)
    before = model.predict(FAR)
    shown = str(model.mean_)
    new = make_data(30, 2)
    model.set_params(mean="constant").partial_fit(*new)
    np.testing.assert_allclose(model.predict(FAR), before, rtol=0.05)
    assert str(model.mean_) == shown


@pytest.mark.parametrize("name", ["exact", "points"])
def test_a_warm_start_has_the_coefficients_of_its_rows(name):
    model = regressor(mean="linear", warm_start=True, **MODELS[name]).fit(X, Y)
    slopes = model.mean_["slopes"]
    again = model.fit(X, 50.0 - 7.0 * Y)
    np.testing.assert_allclose(again.mean_["slopes"], -7.0 * slopes, rtol=0.05)
    other = model.set_params(mean="constant").fit(X, Y)
    assert set(other.mean_) == {"constant"}


def test_evidence_at_other_hyperparameters_keeps_the_mean():
    model = regressor(mean="linear", tol=1e-8).fit(X, Y)
    value, gradient = model.log_marginal_likelihood(model.kernel_.theta, eval_gradient=True)
    assert value == pytest.approx(model.elbo_, abs=1e-6)
    assert np.abs(gradient).max() < 5.0  # the weak prior of kernel=None holds against it


# --- other likelihoods -----------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"n_inducing": 10}], ids=str)
def test_the_logarithm_of_a_rate_follows_a_line(settings):
    rng = np.random.RandomState(0)
    x = 4.0 * rng.rand(120, 1)
    counts = rng.poisson(np.exp(0.5 + 0.6 * x[:, 0]))
    model = regressor(likelihood="poisson", mean="linear", **settings).fit(x, counts)
    assert model.mean_["slopes"] == pytest.approx([0.6], abs=0.15)
    ratio = model.predict([[7.0]]) / np.exp(0.5 + 0.6 * 7.0)
    assert 0.4 < ratio[0] < 2.5


def test_zero_and_constant_of_counts():
    counts = np.random.RandomState(0).poisson(20.0, 80)
    far = {m: regressor(likelihood="poisson", mean=m).fit(X, counts).predict(FAR + 99.0)[0]
           for m in (None, "zero", "constant")}  # fmt: skip
    assert far[None] == far["constant"] == pytest.approx(20.0, rel=0.2)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes_follow_a_plane(n_classes):
    labels = np.digitize(X[:, 0], [12.5, 14.0][: n_classes - 1])
    model = GaussianProcessClassifier(mean="linear", random_state=0).fit(X, labels)
    far = model.predict_proba([[0.0, 12.5], [30.0, 12.5]])
    assert far[0, 0] > 0.9 and far[1, -1] > 0.9
    assert np.abs(model._predictor.posterior.mean_values[1]).max() < 30.0  # of separable labels


def test_probabilities_go_back_to_a_constant():
    labels = np.random.RandomState(0).rand(80) < 0.85  # of which X says nothing
    level = GaussianProcessClassifier(RBF(1.0), mean="constant", warm_start=True).fit(X, labels)
    assert level.predict_proba(FAR + 99.0)[0, 1] > 0.75
    again = level.set_params(mean="linear").fit(X, labels)
    assert set(again.mean_) == {"constant", "slopes"}


# --- what is refused -------------------------------------------------------------------------


class Broken(LinearRegression):
    def predict(self, X):
        return np.full(len(X), np.nan)


@pytest.mark.parametrize(
    ("settings", "y", "says"),
    [
        (
            {"likelihood": "poisson", "mean": Ridge()},
            Y.astype(int),
            "one function of X.*Set",
        ),
        ({"mean": LogisticRegression()}, Y, "mean must be a regressor"),
        ({"mean": GradientBoostingRegressor()}, np.c_[Y, Y], "MultiOutputRegressor"),
        ({"mean": Broken()}, Y, "mean=Broken.*predicts"),
    ],
    ids=["counts", "classifier", "targets", "not finite"],
)
def test_what_cannot_be_is_refused(settings, y, says):
    with pytest.raises(ValueError, match=says):
        regressor(**settings).fit(X, y)


def test_few_rows_for_the_coefficients():
    with pytest.warns(ConvergenceWarning, match="3 coefficients, for which 8 rows are few.*Ridge"):
        regressor(mean="linear").fit(X[:8], Y[:8])
    assert np.isfinite(regressor(mean=Ridge()).fit(X[:8], Y[:8]).predict(FAR)).all()
    assert regressor(mean=Ridge()).fit(X[:1], Y[:1]).predict(X[:1]) == pytest.approx(Y[0])
