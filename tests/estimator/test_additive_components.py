"""``additive_components_`` and ``predict_component``: the parts of an additive function."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score

import skgpng
from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
from skgpng._inference import covariances
from skgpng.kernels import Columns, OrthogonalAdditive, completed

RNG = np.random.RandomState(0)
# raw columns: skewed, in large units, far from zero, of a few values, and two without a meaning
X = np.column_stack(
    [
        RNG.gamma(2.0, 1.0, 150),
        1e4 * RNG.randn(150),
        1e3 + RNG.randn(150),
        RNG.randint(0, 3, 150),
        RNG.rand(150),
    ]
)
SCALED = (X - X.mean(0)) / X.std(0)
SIGNAL = np.sin(2.0 * SCALED[:, 0]) + SCALED[:, 1] * SCALED[:, 2]
Y = 100.0 + 5.0 * (SIGNAL + 0.05 * RNG.randn(150))
NAMES = ["width", "pull", "heat", "grade", "luck"]


@pytest.fixture(scope="module")
def fitted():
    kernel = 2.0 * OrthogonalAdditive() + WhiteKernel(0.1)
    return GaussianProcessRegressor(kernel, n_inducing=None, n_neighbors=None).fit(X, Y)


def total_of(model, X):
    parts = [model.predict_component(X, part.columns) for part in model.additive_components_]
    return model.predict_component(X, ()) + sum(parts)


# --- what they say -------------------------------------------------------------------------


def test_the_function_is_taken_apart(fitted):
    parts = fitted.additive_components_
    assert [part.columns for part in parts[:2]] == [(1, 2), (0,)]
    assert parts[0].share + parts[1].share > 0.97
    assert sum(part.share for part in parts) == pytest.approx(1.0, abs=1e-12)
    assert {part.columns for part in parts} == {
        s for d in (1, 2) for s in itertools.combinations(range(5), d)
    }
    mean, std = fitted.predict_component(X, [0], return_std=True)
    truth = 5.0 * (np.sin(2.0 * SCALED[:, 0]) - np.sin(2.0 * SCALED[:, 0]).mean())
    assert np.sqrt(np.mean((mean - truth) ** 2)) < 0.15 * truth.std()
    assert np.mean(np.abs(mean - truth) < 3.0 * std) > 0.8


def test_means_add_up_to_the_prediction(fitted):
    new = X[:40] * RNG.uniform(0.9, 1.1, X.shape)[:40]
    np.testing.assert_allclose(total_of(fitted, new), fitted.predict(new), rtol=1e-8)
    # orthogonal to the constant, over the rows fitted: every column has fewer parts than rows
    assert abs(fitted.predict_component(X, [3]).mean()) < 1e-8 * Y.std()


def test_predictions_in_parts(fitted, monkeypatch):
    expected = fitted.predict(X, return_std=True)
    monkeypatch.setattr(covariances, "_CHUNK", 20 * 150 * 5)
    for one, other in zip(fitted.predict(X, return_std=True), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)


def brute_force(model, columns):
    """Mean and standard deviation of one part, by the algebra of joint normal variables."""
    kernel, columns = model.kernel_.k1.k2, list(columns)
    only = np.where(np.arange(3) == len(columns), kernel.order_variances, 0.0)
    own = {name: getattr(kernel, name)[columns] for name in ("length_scale", "nodes", "weights")}
    fixed = dict.fromkeys(["length_scale_bounds", "order_variances_bounds"], "fixed")
    part = model.kernel_.k1.k1 * OrthogonalAdditive(order_variances=only, **own, **fixed)
    k, K = part(X[:, columns]), model.kernel_(X)
    mean = Y.std() * k @ np.linalg.solve(K, (Y - Y.mean()) / Y.std())
    return mean, Y.std() * np.sqrt(np.diag(k - k @ np.linalg.solve(K, k)))


@pytest.mark.parametrize("columns", [(0,), (1, 2), (3, 0)])
def test_mean_and_standard_deviation(fitted, columns):
    mean, std = fitted.predict_component(X, columns, return_std=True)
    expected, deviation = brute_force(fitted, columns)
    np.testing.assert_allclose(mean, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
    np.testing.assert_allclose(std, deviation, rtol=1e-4)


def test_shares_are_variances_over_independent_columns():
    """Of columns of few values, over all rows that there can be."""
    levels = [np.array([0.0, 1.0, 5.0]), np.array([-1.0, 1.0]), np.arange(4.0)]
    rng = np.random.RandomState(1)
    rows = np.column_stack([rng.choice(v, 60) for v in levels])
    y = 3.0 * np.sin(rows[:, 0]) + rows[:, 1] * rows[:, 2] + rows.prod(1) + 0.1 * rng.randn(60)
    kernel = OrthogonalAdditive(max_order=3, nu=0.5)
    model = GaussianProcessRegressor(kernel, alpha=1e-6, optimizer=None).fit(rows, y)
    grid = np.array(list(itertools.product(*levels)))
    found = [[np.mean(rows[:, k] == v) for v in values] for k, values in enumerate(levels)]
    density = np.array([np.prod(p) for p in itertools.product(*found)])
    total = np.cov(model.predict(grid), aweights=density, ddof=0)
    parts = model.additive_components_
    assert len(parts) == 7 and parts[3].share > 0.01
    for part in parts:
        mean = model.predict_component(grid, part.columns)
        assert abs(density @ mean) < 1e-7 * y.std()
        assert part.share == pytest.approx(density @ mean**2 / total, rel=1e-6, abs=1e-10)


# --- of other models -----------------------------------------------------------------------

MODELS = {
    "points, triples": (OrthogonalAdditive(max_order=3), {"n_inducing": 40, "max_iter": 30}),
    "some columns": (Columns(OrthogonalAdditive(nu=np.inf), [2, 1, 0]), {"max_iter": 30}),
    "student_t": (OrthogonalAdditive(max_order=1), {"likelihood": "student_t", "max_iter": 10}),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_of_other_models(name):
    kernel, settings = MODELS[name]
    model = GaussianProcessRegressor(kernel, random_state=0, **settings).fit(X, Y)
    parts = model.additive_components_
    assert parts[0].columns == ((0,) if name == "student_t" else (1, 2))
    assert sum(part.share for part in parts) == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(total_of(model, X[:20]), model.predict(X[:20]), rtol=1e-8)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_several_targets_and_names():
    frame, both = pd.DataFrame(X, columns=NAMES), np.column_stack([Y, 1e3 * SCALED[:, 4]])
    kernel = OrthogonalAdditive(max_order=1)
    model = GaussianProcessRegressor(kernel, max_iter=20).fit(frame, both)
    parts = {part.columns: part.share for part in model.additive_components_}
    assert list(parts)[0] == ("luck",) and parts["luck",][1] > 0.9 > 0.3 > parts["luck",][0]
    np.testing.assert_allclose(sum(parts.values()), [1.0, 1.0], rtol=1e-12)
    np.testing.assert_allclose(total_of(model, frame), model.predict(frame), rtol=1e-8)
    mean, std = model.predict_component(frame, "luck", return_std=True)
    assert mean.shape == std.shape == (150, 2)
    np.testing.assert_array_equal(mean, model.predict_component(frame, [4]))


def test_where_nothing_is_explained_no_share_is_a_nan():
    model = GaussianProcessRegressor(OrthogonalAdditive(max_order=1), optimizer=None)
    model.fit(X, np.zeros(150))
    assert [part.share for part in model.additive_components_] == [0.0] * 5


# --- what each fit reads from its rows -----------------------------------------------------


def test_units_of_the_columns_do_not_matter(fitted):
    scaled = clone(fitted).fit(SCALED, Y)
    for one, other in zip(fitted.additive_components_, scaled.additive_components_, strict=True):
        assert one.share == pytest.approx(other.share, abs=1e-3)  # L-BFGS ends within its tolerance


def test_each_fit_reads_its_rows():
    model = GaussianProcessRegressor(OrthogonalAdditive(max_order=1), max_iter=5)
    assert model.kernel.nodes is None
    one, other = (clone(model).fit(X[rows], Y[rows]) for rows in (slice(80), slice(70, None)))
    for fit, rows in (one, X[:80]), (other, X[70:]):
        expected = completed(model.kernel, rows)
        np.testing.assert_array_equal(fit.kernel_.nodes, expected.nodes)
        np.testing.assert_array_equal(fit.kernel_.length_scale_bounds, expected.length_scale_bounds)
    again = clone(model).set_params(warm_start=True).fit(X[:80], Y[:80]).fit(X[70:], Y[70:])
    np.testing.assert_array_equal(again.kernel_.nodes, other.kernel_.nodes)
    search = clone(model).set_params(kernel__max_order=2, kernel__nu=1.5)
    assert np.isfinite(cross_val_score(search, X, Y, cv=2)).all()


def test_files_and_pickles(fitted, tmp_path):
    path = tmp_path / "model.skops"
    skgpng.save(fitted, path)
    for same in (skgpng.load(path), pickle.loads(pickle.dumps(fitted))):
        assert same.additive_components_ == fitted.additive_components_


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_partial_fit_and_the_classifier():
    kernel = OrthogonalAdditive(max_order=1)
    model = GaussianProcessRegressor(kernel, n_inducing=20, max_iter=10, random_state=0)
    nodes = model.partial_fit(X[:80], Y[:80]).kernel_.nodes
    np.testing.assert_array_equal(model.partial_fit(X[80:], Y[80:]).kernel_.nodes, nodes)
    labels = SCALED[:, 0] > 0.0
    assert GaussianProcessClassifier(kernel, max_iter=10).fit(X, labels).score(X, labels) > 0.9


# --- errors --------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [(0, 0), (0, 1, 2), (7,), "width", (-1,), [None], [[0]]])
def test_columns_that_are_no_part(fitted, columns):
    with pytest.raises(ValueError, match="give up to 2 different ones of 0, 1, 2, 3, 4, or"):
        fitted.predict_component(X, columns)


@pytest.mark.parametrize(
    "kernel, settings, match",
    [
        (RBF(), {}, r"no sum of functions .*kernel=OrthogonalAdditive\(\)"),
        (OrthogonalAdditive(max_order=1) + RBF(), {}, "no other term but a WhiteKernel"),
        (OrthogonalAdditive(max_order=1), {"n_neighbors": 20}, "Set n_neighbors=None"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_models_that_cannot_be_taken_apart(kernel, settings, match):
    model = GaussianProcessRegressor(kernel, optimizer=None, **settings)
    with pytest.raises(AttributeError, match="there after fit only"):
        model.additive_components_  # noqa: B018
    with pytest.raises(NotFittedError):
        model.predict_component(X, [0])
    model.fit(X, Y)
    with pytest.raises(AttributeError, match=f"additive_components_: .*{match}"):
        model.additive_components_  # noqa: B018
    with pytest.raises(ValueError, match=match):
        model.predict_component(X, [0])


def test_before_fit_nothing_is_read():
    with pytest.raises(ValueError, match=r"is None: read from .*completed\(kernel, X\)"):
        GaussianProcessRegressor(OrthogonalAdditive()).predict(X)


def test_a_regressor_belongs_to_no_part():
    X = np.random.RandomState(0).gamma(2, 1, (40, 2))
    y = 5 * X[:, 0] + np.sin(X[:, 1])
    model = GaussianProcessRegressor(OrthogonalAdditive(max_order=1), mean=Ridge(), max_iter=5)
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    with pytest.raises(ValueError, match="Ridge.*belongs to no part"):
        model.predict_component(X, [0])
