"""Who steers a training: stopping rules, starts, callbacks, Ctrl-C; and what it is asked for."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
from reference import differences
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.gaussian_process import GaussianProcessRegressor as SklearnRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    CompoundKernel,
    ConstantKernel,
    DotProduct,
    Matern,
    RationalQuadratic,
    WhiteKernel,
)
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from skgpng import (
    GaussianProcessClassifier,
    GaussianProcessRegressor,
    _base,
    inducing,
)

# One kernel for most tests: every structure costs a compilation of a second.
KERNEL = ConstantKernel(1.0) * RBF(1.0)
FIXED = ConstantKernel(0.7, "fixed") * RBF([1.1, 1.3], "fixed")
# Adam: exact regression left to itself takes L-BFGS, whose few steps leave little to steer.
regressor = functools.partial(GaussianProcessRegressor, KERNEL, optimizer="adam", random_state=0)
classifier = functools.partial(GaussianProcessClassifier, KERNEL, random_state=0)


@pytest.fixture
def rows():
    rng = np.random.RandomState(0)
    X = rng.uniform(-3, 3, (60, 2))
    X = X[np.argsort(X[:, 0])]  # the order in which few rows are trained on
    return X, 5.0 + 2.0 * np.sin(X[:, 0]) + 0.3 * rng.randn(60)


@pytest.fixture
def labels(rows):
    X, _ = rows
    noise = np.random.RandomState(1).randn(60)
    return X, np.where(X[:, 0] + X[:, 1] + noise > 0, "yes", "no")


@pytest.fixture
def three():
    X, y = load_iris(return_X_y=True)
    table = np.unique(np.column_stack([X[::2, [0, 2]], y[::2]]), axis=0)  # equal rows are merged
    X, y = table[:, :2], table[:, 2].astype(int)  # sepal and petal length
    return X, np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.fixture
def split(monkeypatch):
    """The rows (trained on, held out) of the last fit."""
    seen = {}

    def remember(*arguments, original=_base.train_test_split, **settings):
        seen["train"], seen["held_out"] = map(np.sort, original(*arguments, **settings))
        return seen["train"], seen["held_out"]

    monkeypatch.setattr(_base, "train_test_split", remember)
    return seen


# name: (data, settings); exact, collapsed and stochastic regression, then both classifiers
MODELS = {
    "gpr": ("rows", regressor(n_inducing=None)),
    "sgpr": ("rows", regressor(n_inducing=10)),
    "svgp minibatch": ("rows", regressor(n_inducing=10, batch_size=20, gamma=0.3)),
    "vgp": ("labels", classifier(n_inducing=None)),
    "svgp": ("labels", classifier(n_inducing=10)),
    "vgp three classes": ("three", classifier(n_inducing=None)),
}
every_model = pytest.mark.parametrize("name", MODELS)


@pytest.fixture
def model_and_data(request, name):
    data, model = MODELS[name]
    return clone(model), *request.getfixturevalue(data)


def state(model):
    """Attributes by name, with arrays by their bytes."""
    return {name: pickle.dumps(value) for name, value in vars(model).items()}


def output(model, X):
    """Mean of y, or class probabilities."""
    return getattr(model, "predict_proba", model.predict)(X)


def log_density(model, X, y):
    """Mean log predictive density of (scaled) y, or log probability of the label."""
    if isinstance(model, GaussianProcessRegressor):
        return np.mean(model.log_predictive_density(X, y)) + np.log(model._predictor.units.scale[0])
    p = model.predict_proba(X)
    return np.mean(np.log(p[np.arange(len(y)), np.searchsorted(model.classes_, y)]))


# --- early stopping --------------------------------------------------------------------------


@every_model
def test_early_stopping_keeps_the_best_state(model_and_data, split):
    model, X, y = model_and_data
    model.set_params(early_stopping=True, n_iter_no_change=3, max_iter=100, learning_rate=0.3)
    model.fit(X, y)
    held_out = split["held_out"]
    assert len(held_out) == int(np.ceil(0.1 * len(X)))
    scores = model.validation_scores_
    assert scores.ndim == 1 and np.all(np.isfinite(scores))
    assert log_density(model, X[held_out], y[held_out]) == pytest.approx(scores.max(), rel=1e-9)
    assert model.elbo_curve_.shape == (model.n_iter_,)
    assert clone(model).set_params(early_stopping=False).fit(X, y).validation_scores_ is None


def test_elbo_is_that_of_the_state_kept(rows, monkeypatch):
    X, y = rows
    scores = iter([0.0, 1.0, 2.0, 1.5, 1.0])
    monkeypatch.setattr(_base, "_held_out_score", lambda *_: next(scores))
    # slow enough for the ELBO to grow all the time, so that its own rule does not end training
    model = regressor(
        n_inducing=None, early_stopping=True, n_iter_no_change=2, learning_rate=0.01
    ).fit(X, y)
    assert model.n_iter_ == 25 and model.converged_
    assert model.elbo_ == model.elbo_curve_[14]
    at_theta = model.log_marginal_likelihood(model.kernel_.theta)
    assert model.elbo_ == pytest.approx(at_theta, rel=1e-9)


@pytest.mark.parametrize("patience", [2, 4])
def test_n_iter_no_change_counts_looks(rows, patience, monkeypatch):
    monkeypatch.setattr(_base, "_held_out_score", lambda *_: -1.0)
    # slow enough for the ELBO to grow all the time, so that its own rule does not end training
    model = regressor(
        n_inducing=None, early_stopping=True, n_iter_no_change=patience, learning_rate=0.01
    ).fit(*rows)
    assert len(model.validation_scores_) == 1 + patience
    assert model.n_iter_ == 5 * (1 + patience) and model.converged_


def test_a_look_each_epoch(rows):
    X, y = rows
    model = regressor(n_inducing=10, batch_size=6, early_stopping=True, max_iter=4).fit(X, y)
    assert len(model.validation_scores_) == 4  # 54 rows are 9 batches of 6


def test_held_out_rows_are_not_trained_on(rows, split):
    X, y = rows
    # scale of y and start of the noise are set from all rows: here both are given
    model = regressor(
        alpha=0.1, n_inducing=None, early_stopping=True, normalize_y=False, max_iter=20
    )
    first = clone(model).fit(X, y)
    held_out = split["held_out"]
    np.testing.assert_array_equal(first._predictor.posterior.points, np.delete(X, held_out, 0))
    y = y.copy()
    y[held_out] += 100.0
    other = clone(model).fit(X, y)
    np.testing.assert_array_equal(other.elbo_curve_, first.elbo_curve_)
    assert np.all(other.validation_scores_ < first.validation_scores_)


def test_held_out_rows_are_stratified(rows, split):
    X, _ = rows
    y = np.where(np.arange(60) < 10, "few", "many")
    settings = dict(early_stopping=True, validation_fraction=0.2, max_iter=10)
    for seed in range(3):
        classifier(**settings).set_params(random_state=seed).fit(X, y)
        assert np.sum(y[split["held_out"]] == "few") == 2


def test_weight_two_is_the_row_twice_in_the_first_noise(rows):
    X, y = rows
    weights = np.where(y > 5.0, 3, 1)
    model = regressor(n_inducing=None, normalize_y=False, max_iter=1)
    weighted = clone(model).fit(X, y, sample_weight=weights)
    repeated = clone(model).fit(np.repeat(X, weights, 0), np.repeat(y, weights))
    assert weighted.noise_variance_ == pytest.approx(repeated.noise_variance_, rel=1e-12)


def test_weights_and_noise_follow_their_rows(rows, split):
    X, y = rows
    rng = np.random.RandomState(2)
    weights, noise = rng.uniform(0.5, 2.0, 60), rng.uniform(0.0, 1.0, 60)
    model = regressor(alpha=0.1, n_inducing=None, normalize_y=False, max_iter=30)
    stopped = clone(model).set_params(early_stopping=True)
    stopped.fit(X, y, sample_weight=weights, noise_variance=noise)
    t, h = split["train"], split["held_out"]
    plain = model.fit(X[t], y[t], sample_weight=weights[t], noise_variance=noise[t])
    n = min(plain.n_iter_, stopped.n_iter_)
    np.testing.assert_allclose(plain.elbo_curve_[:n], stopped.elbo_curve_[:n], rtol=1e-12)
    mean, f_std = stopped.predict(X[h], return_std=True, include_noise=False)
    variance = f_std**2 + stopped.noise_variance_ + noise[h]
    density = -0.5 * (np.log(2 * np.pi * variance) + (y[h] - mean) ** 2 / variance)
    best = np.average(density, weights=weights[h])
    assert stopped.validation_scores_.max() == pytest.approx(best, rel=1e-9)


def test_a_class_that_cannot_be_split_is_named(rows, three):
    X, _ = rows
    y = np.where(np.arange(60) < 1, "lonely", "many")
    with pytest.raises(ValueError, match="(?s)early_stopping.*1 member"):
        classifier(early_stopping=True).fit(X, y)
    X, y = three
    with pytest.raises(ValueError, match="(?s)early_stopping.*validation_fraction"):
        classifier(early_stopping=True).fit(X[::5], y[::5])  # 2 rows of 3 classes


# --- warm start ------------------------------------------------------------------------------


@every_model
def test_warm_start_goes_on(model_and_data):
    model, X, y = model_and_data
    model.set_params(warm_start=True).fit(X, y)
    # with minibatches the mean over the last ten epochs tells the level
    last = 30 if model.batch_size == 20 else 1
    steps, value = model.n_iter_, model.elbo_curve_[-last:].mean()
    through_pickle = pickle.loads(pickle.dumps(model)).fit(X, y)
    model.fit(X, y)
    assert model.n_iter_ < steps
    # the stopping rule leaves a few times tol = 1e-4 per row, minibatches scatter by a nat
    assert model.elbo_curve_[-last:].mean() > value - (1.0 if last == 30 else 0.05)
    np.testing.assert_allclose(through_pickle.elbo_curve_, model.elbo_curve_, rtol=1e-9)


def test_warm_start_with_one_kernel_for_each_class(three):
    X, y = three
    model = classifier(shared_kernel=False, warm_start=True, max_iter=40).fit(X, y)
    learned = model.kernel_.theta
    model.set_params(optimizer=None).fit(X, y)
    np.testing.assert_allclose(model.kernel_.theta, learned, rtol=1e-12)


@pytest.mark.parametrize("change", ["kernel", "columns", "both"])
@pytest.mark.parametrize("name", ["gpr", "sgpr", "svgp"])
def test_warm_start_begins_anew_where_the_form_is_another(model_and_data, change):
    model, X, y = model_and_data
    model.set_params(warm_start=True, max_iter=30).fit(X, y)
    if change != "columns":
        model.set_params(kernel=ConstantKernel(1.0) * RBF([1.0] * (2 if change == "kernel" else 1)))
    X = X if change == "kernel" else X[:, :1]
    again, fresh = model.fit(X, y), clone(model).fit(X, y)
    np.testing.assert_array_equal(again.elbo_curve_, fresh.elbo_curve_)
    np.testing.assert_array_equal(again.predict(X), fresh.predict(X))


def test_warm_start_with_more_inducing_points_keeps_the_kernel(rows):
    X, y = rows
    model = regressor(n_inducing=10, warm_start=True).fit(X, y)
    learned = model.kernel_.theta
    model.set_params(n_inducing=15, optimizer=None).fit(X, y)
    assert len(model.inducing_points_) == 15
    np.testing.assert_allclose(model.kernel_.theta, learned, rtol=1e-12)
    model.set_params(n_inducing=None).fit(X, y)
    assert model.inducing_points_ is None
    np.testing.assert_allclose(model.kernel_.theta, learned, rtol=1e-12)


def test_warm_start_heeds_other_bounds_and_fixed_values(rows):
    X, y = rows
    model = regressor(n_inducing=None, warm_start=True).fit(X, y)
    model.set_params(kernel=ConstantKernel(1.0) * RBF(1.0, (0.1, 0.5))).fit(X, y)
    assert model.kernel_.k2.length_scale_bounds == (0.1, 0.5)
    assert model.kernel_.k2.length_scale <= 0.5 * (1 + 1e-12)
    for value in (2.0, 3.0):
        model.set_params(kernel=ConstantKernel(value, "fixed") * RBF(1.0)).fit(X, y)
        assert model.kernel_.k1.constant_value == pytest.approx(value, rel=1e-12)


# --- restarts --------------------------------------------------------------------------------


@pytest.fixture
def ripples():
    """A function with an optimum for a long length scale, where all is noise."""
    X = np.linspace(0, 1, 40)[:, None]
    return X, np.sin(25.0 * X[:, 0]) + 0.1 * np.random.RandomState(0).randn(40)


def test_restarts_escape_a_bad_optimum(ripples):
    model = GaussianProcessRegressor(
        RBF(10.0, (1e-2, 1e2)), n_inducing=None, random_state=0, max_iter=150
    )
    stuck = clone(model).fit(*ripples)
    assert stuck.score(*ripples) < 0.3
    free = clone(model).set_params(n_restarts_optimizer=4).fit(*ripples)
    assert free.score(*ripples) > 0.95
    assert free.elbo_ > stuck.elbo_ + 10.0
    again = clone(model).set_params(n_restarts_optimizer=4).fit(*ripples)
    np.testing.assert_array_equal(again.elbo_curve_, free.elbo_curve_)


@every_model
def test_restarts_are_never_worse(model_and_data):
    model, X, y = model_and_data
    model.set_params(max_iter=25)
    once = clone(model).fit(X, y)
    more = clone(model).set_params(n_restarts_optimizer=2).fit(X, y)
    assert more.elbo_ >= once.elbo_


def test_restarts_are_judged_by_the_held_out_score(rows):
    X, y = rows
    model = regressor(n_inducing=None, early_stopping=True, max_iter=25)
    once = clone(model).fit(X, y)
    more = clone(model).set_params(n_restarts_optimizer=3).fit(X, y)
    assert more.validation_scores_.max() >= once.validation_scores_.max()


def test_restarts_need_finite_bounds_and_say_so_before_training(rows, monkeypatch):
    monkeypatch.setattr(stages, "train", lambda *_: pytest.fail("training began"))
    kernel = ConstantKernel(1.0) * RBF(1.0, (1e-2, np.inf))
    model = GaussianProcessRegressor(kernel, n_restarts_optimizer=2)
    with pytest.raises(
        ValueError, match="n_restarts_optimizer=2.*bounds must be positive and finite"
    ):
        model.fit(*rows)


def test_restarts_keep_what_is_fixed(rows):
    kernel = ConstantKernel(0.7, "fixed") * RBF(1.0)
    model = GaussianProcessRegressor(kernel, alpha=0.1, n_restarts_optimizer=3, max_iter=10)
    model.fit(*rows)
    assert model.kernel_.k1.constant_value == pytest.approx(0.7, rel=1e-12)
    assert model.noise_variance_ == pytest.approx(0.1, rel=1e-12)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("start", [0.1, 1e-30])
def test_a_start_that_cannot_be_factorised_is_no_harm(rows, early_stopping, start):
    # Every row is there twice but for the last digits (equal rows would be merged), so that
    # without noise the kernel matrix is singular.
    X, y = (np.concatenate([part, part * (1.0 + 1e-13)]) for part in rows)
    kernel = ConstantKernel(1.0, (0.5, 2.0)) * RBF(1.0, (0.5, 2.0))
    kernel += WhiteKernel(start, (1e-30, 1.0))
    settings = dict(n_inducing=None, early_stopping=early_stopping, max_iter=40, random_state=0)
    model = GaussianProcessRegressor(kernel, n_restarts_optimizer=5, **settings)
    assert model.fit(X, y).score(X, y) > 0.8
    if start == 1e-30:
        # free noise would begin where it is better than none
        kernel.k2.set_params(noise_level_bounds="fixed")
        model.set_params(kernel=kernel, n_restarts_optimizer=0).fit(X, y)
        assert 0.0 < model.jitter_ <= 1e-8
        assert model.score(X, y) > 0.8


# --- nothing moves ---------------------------------------------------------------------------


@every_model
def test_without_an_optimizer_the_hyperparameters_stay(model_and_data):
    model, X, y = model_and_data
    model.set_params(optimizer=None, kernel=ConstantKernel(0.7) * RBF(1.3)).fit(X, y)
    # the logarithm and back: the last digits of a number
    np.testing.assert_allclose(model.kernel_.theta, model.kernel.theta, rtol=1e-14)
    if isinstance(model, GaussianProcessRegressor):
        assert model.noise_variance_ == pytest.approx(0.1 * np.var(y), rel=1e-12)
    if model.n_inducing is not None:
        distinct = inducing.distinct_rows(X, np.ones(len(X)))
        placed = inducing.kmeans(distinct[0], 10, np.random.RandomState(0), distinct[1])
        np.testing.assert_allclose(model.inducing_points_, placed, rtol=1e-12)


def test_what_is_fixed_ends_within_a_few_steps(rows, labels):
    X, y = rows
    kernel = FIXED + WhiteKernel(0.1, "fixed")
    for n_inducing in (None, 10):
        model = GaussianProcessRegressor(kernel, n_inducing=n_inducing, train_inducing=False)
        assert model.fit(X, y).n_iter_ <= 2 and model.converged_
        np.testing.assert_allclose(model.kernel_.k2.noise_level, 0.1, rtol=1e-14)
    model = GaussianProcessClassifier(FIXED, n_inducing=None).fit(*labels)
    # full natural-gradient steps settle in ten, ten more without a gain end training
    assert model.n_iter_ <= 40 and model.converged_


# --- close inducing points -------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_training_with_close_inducing_points_does_not_diverge(seed):
    # 30 points on a line of ten waves: a step of the points must not outrun q
    rng = np.random.RandomState(seed)
    X = np.linspace(0, 12, 240)[:, None]
    y = np.where(np.sin(1.5 * X[:, 0] + seed) + 0.2 * rng.randn(240) > 0, "up", "down")
    exact = classifier(n_inducing=None).fit(X, y)
    # early stopping trains on a tenth of the rows less
    for settings, loss in (({}, 0.05), ({"early_stopping": True}, 0.1)):
        sparse = classifier(n_inducing=30, **settings).fit(X, y)
        assert sparse.converged_
        assert log_density(sparse, X, y) > log_density(exact, X, y) - loss
    sparse = classifier(n_inducing=30).fit(X, y)
    assert sparse.elbo_ > exact.elbo_ - 3.0


# --- progress line ---------------------------------------------------------------------------


def test_progress_in_the_bar_of_tqdm(rows, capsys):
    pytest.importorskip("tqdm")
    regressor(verbose=1, max_iter=20).fit(*rows)
    out, err = capsys.readouterr()
    assert out == ""
    assert "GaussianProcessRegressor" in err and "ELBO=" in err and "20/20" in err


def test_progress_without_tqdm(labels, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    model = classifier(verbose=1, max_iter=20).fit(*labels)
    out, err = capsys.readouterr()
    assert err == ""
    assert "GaussianProcessClassifier: step 20 of at most 20, ELBO" in out
    assert f"{model.elbo_:.6g}" in out and out.endswith("\n")


def test_no_progress_is_silent(rows, capsys):
    regressor(n_restarts_optimizer=1, max_iter=20).fit(*rows)
    assert capsys.readouterr() == ("", "")


# --- callbacks -------------------------------------------------------------------------------


@pytest.fixture
def callbacks():
    return pytest.importorskip("sklearn.callback")


class Recorder:
    """A callback that counts its hooks; ``act(estimator, fitted_estimator)`` may end training."""

    def __init__(self, act=lambda estimator, fitted: None):
        self.act, self.hooks, self.metadata, self.elbos = act, [], [], []

    def setup(self, estimator, context):
        self.hooks.append("setup")

    def teardown(self, estimator, context):
        self.hooks.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.hooks.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, metadata, fitted_estimator):
        self.hooks.append(f"end {context.task_name}")
        self.metadata.append(metadata)
        self.elbos.append(fitted_estimator.elbo_)
        return context.task_name == "steps" and self.act(estimator, fitted_estimator)


LEFT_BEHIND = {"_callback_fit_ctx", "_parent_callback_ctx", "_skl_callbacks_to_teardown"}


@every_model
def test_callback_every_few_steps(model_and_data, callbacks):
    model, X, y = model_and_data
    seen = []
    recorder = Recorder(lambda estimator, fitted: seen.append(output(fitted, X[:3])))
    assert isinstance(recorder, callbacks.FitCallback)
    passes = 8 if model.batch_size == 20 else 24  # of 60 rows
    model.set_params(max_iter=passes, tol=0.0).set_callbacks(recorder).fit(X, y)
    assert recorder.hooks == (
        ["setup", "begin fit"] + 3 * ["begin steps", "end steps"] + ["end fit", "teardown"]
    )
    np.testing.assert_array_equal(recorder.elbos[:3], model.elbo_curve_[[9, 19, 23]])
    np.testing.assert_array_equal(seen[-1], output(model, X[:3]))
    assert not np.array_equal(seen[0], seen[-1])
    assert recorder.metadata == [{}] * 4
    assert not LEFT_BEHIND & vars(model).keys()


def test_callbacks_change_no_number(rows, callbacks):
    X, y = rows
    model = regressor(n_inducing=10, batch_size=20, max_iter=37)
    plain = clone(model).fit(X, y)
    watched = clone(model).set_callbacks(Recorder()).fit(X, y)
    np.testing.assert_array_equal(plain.elbo_curve_, watched.elbo_curve_)
    np.testing.assert_array_equal(plain.predict(X), watched.predict(X))


def test_callbacks_with_early_stopping_and_restarts(rows, callbacks):
    # more looks than a training without these has
    recorder = Recorder()
    model = regressor(n_inducing=None, max_iter=20, tol=0.0, n_restarts_optimizer=2)
    model.set_params(early_stopping=True).set_callbacks(recorder).fit(*rows)
    assert recorder.hooks.count("end steps") == 3 * 4
    assert recorder.hooks.count("end fit") == 1


def test_callback_gets_the_weights(rows, labels, callbacks):
    weights = np.linspace(0.5, 2.0, 60)
    for model, (X, y) in ((regressor(), rows), (classifier(), labels)):
        recorder = Recorder()
        model.set_params(max_iter=10).set_callbacks(recorder).fit(X, y, sample_weight=weights)
        for metadata in recorder.metadata:
            assert metadata.keys() == {"sample_weight"}
            np.testing.assert_array_equal(metadata["sample_weight"], weights)


def test_callback_ends_training_without_a_warning(rows, callbacks):
    X, y = rows
    for settings in ({}, {"early_stopping": True}, {"n_restarts_optimizer": 3}):
        recorder = Recorder(lambda *_: True)
        model = regressor(n_inducing=None, **settings).set_callbacks(recorder)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.fit(X, y)
        assert recorder.hooks.count("end steps") == 1
        assert model.n_iter_ == (5 if model.early_stopping else 10)
        assert not model.converged_ and np.all(np.isfinite(model.predict(X)))


def test_teardown_follows_an_error(rows, callbacks):
    X, y = rows

    def fail(estimator, fitted):
        raise RuntimeError("a callback's own error")

    recorder = Recorder(fail)
    model = regressor(n_inducing=None).set_callbacks(recorder)
    before = set(vars(model))
    with pytest.raises(RuntimeError, match="own error"):
        model.fit(X, y)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(X, np.full(60, np.nan))
    assert recorder.hooks.count("setup") == recorder.hooks.count("teardown") == 2
    assert set(vars(model)) == before


def test_callbacks_travel_with_clone_and_pickle(rows, callbacks):
    X, y = rows
    model = regressor(max_iter=10).set_callbacks(callbacks.ScoringMonitor(scoring="r2"))
    twin, unpickled = clone(model).fit(X, y), pickle.loads(pickle.dumps(model)).fit(X, y)
    np.testing.assert_array_equal(twin.predict(X), unpickled.predict(X))
    again = pickle.loads(pickle.dumps(twin))
    np.testing.assert_array_equal(again.predict(X), twin.predict(X))
    assert not LEFT_BEHIND & vars(again).keys()


def test_scoring_monitor(rows, callbacks):
    X, y = rows
    monitor = callbacks.ScoringMonitor(scoring="r2")
    weights = np.linspace(0.5, 2.0, 60)
    model = regressor(n_inducing=None, max_iter=30, tol=0.0).set_callbacks(monitor)
    model.fit(X, y, sample_weight=weights, noise_variance=np.full(60, 0.01))
    scores = [row["r2"] for row in monitor.get_logs().data]
    assert len(scores) == 1 + 3 and scores[1] < scores[-1]
    assert scores[0] == scores[-1] == pytest.approx(model.score(X, y, weights), rel=1e-9)


def test_scoring_monitor_in_a_pipeline(labels, callbacks):
    X, y = labels
    monitor = callbacks.ScoringMonitor(scoring="neg_log_loss")
    model = classifier(n_inducing=None, max_iter=20, tol=0.0).set_callbacks(monitor)
    pipe = make_pipeline(StandardScaler(), model).fit(X, y)
    scores = [row["neg_log_loss"] for row in monitor.get_logs().data]
    assert len(scores) == 1 + 2 and pipe.score(X, y) > 0.7
    assert not LEFT_BEHIND & vars(pipe[-1]).keys()


def test_scoring_monitor_in_a_grid_search(rows, callbacks):
    X, y = rows
    monitor = callbacks.ScoringMonitor(scoring="r2")
    model = regressor(n_inducing=None, max_iter=20, tol=0.0).set_callbacks(monitor)
    search = GridSearchCV(model, {"learning_rate": [0.05, 0.1]}, cv=2).fit(X, y)
    data = monitor.get_logs().data
    # four trainings of the search and the last one on all rows, each twice and once at its end
    assert sum(row["task_name"] == "steps" for row in data) == 5 * 2
    assert len(data) == 5 * 3
    assert not LEFT_BEHIND & vars(search.best_estimator_).keys()


def test_progress_bar_of_scikit_learn(rows, callbacks, capsys):
    pytest.importorskip("rich")
    X, y = rows
    bar = callbacks.ProgressBar()
    regressor(max_iter=20, early_stopping=True).set_callbacks(bar).fit(X, y)
    assert "GaussianProcessRegressor - fit" in capsys.readouterr().out
    search = GridSearchCV(regressor(max_iter=10), {"n_inducing": [None]}, cv=2)
    search.set_callbacks(callbacks.ProgressBar()).fit(X, y)
    assert "GaussianProcessRegressor - fit" in capsys.readouterr().out


# --- Ctrl-C ----------------------------------------------------------------------------------


def interrupt_after(n_looks):
    """A monitor that is interrupted at one of its calls."""
    looks = []

    def monitor(result):
        looks.append(result)
        if len(looks) == n_looks:
            raise KeyboardInterrupt
        return False

    return lambda *_: [monitor]


@every_model
def test_interrupt_keeps_the_state_with_one_warning(model_and_data, monkeypatch):
    model, X, y = model_and_data
    monkeypatch.setattr(_base.BaseGaussianProcess, "_callback_monitor", interrupt_after(3))
    model.set_params(tol=0.0)
    with pytest.warns(ConvergenceWarning, match="interrupted after 30 steps") as caught:
        model.fit(X, y)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert model.n_iter_ == 30 and not model.converged_
    monkeypatch.undo()
    passes = 10 if model.batch_size == 20 else 30  # of 60 rows
    with pytest.warns(ConvergenceWarning, match=f"after 30 steps, at max_iter={passes}"):
        limited = clone(model).set_params(max_iter=passes).fit(X, y)
    np.testing.assert_array_equal(model.elbo_curve_, limited.elbo_curve_)
    np.testing.assert_array_equal(model.predict(X), limited.predict(X))


def test_interrupt_before_the_first_score_with_one_warning(rows, monkeypatch):
    X, y = rows
    monkeypatch.setattr(_base.BaseGaussianProcess, "_callback_monitor", interrupt_after(1))
    with pytest.warns(ConvergenceWarning, match="interrupted after 5 steps") as caught:
        model = regressor(n_inducing=None, early_stopping=True).fit(X, y)
    assert len(caught) == 1 and len(model.validation_scores_) == 1


@pytest.mark.parametrize("at", ["later", "first steps"])
def test_interrupt_in_a_restart_keeps_the_best_start_with_one_warning(rows, at, monkeypatch):
    X, y = rows
    model = regressor(n_inducing=None, max_iter=30, tol=0.0)
    with pytest.warns(ConvergenceWarning, match="max_iter=30"):
        once = clone(model).fit(X, y)
    looks = interrupt_after(4)()  # the first one of the second start
    if at == "later":
        monkeypatch.setattr(_base.BaseGaussianProcess, "_callback_monitor", lambda *_: looks)
    else:
        segment = counted(loop.compiled_segment, {2: KeyboardInterrupt})
        monkeypatch.setattr(loop, "compiled_segment", segment)
    with pytest.warns(ConvergenceWarning, match="interrupted") as caught:
        model.set_params(n_restarts_optimizer=2).fit(X, y)
    assert len(caught) == 1
    assert model.elbo_ >= once.elbo_ and np.all(np.isfinite(model.predict(X)))


def counted(function, errors):
    """The function, failing at some of its calls."""
    calls = []

    def count(*arguments, **named):
        calls.append(arguments)
        if len(calls) in errors:
            raise errors[len(calls)]
        return function(*arguments, **named)

    return count


def test_interrupt_before_the_first_steps_goes_through(rows, monkeypatch):
    X, y = rows
    fitted = regressor(n_inducing=None, max_iter=10).fit(X, y)
    segment = counted(loop.compiled_segment, {1: KeyboardInterrupt, 2: KeyboardInterrupt})
    monkeypatch.setattr(loop, "compiled_segment", segment)
    for model in (fitted, clone(fitted)):
        before = state(model)
        with pytest.raises(KeyboardInterrupt):
            model.fit(X[:, :1], y)
        assert state(model) == before


# --- L-BFGS ----------------------------------------------------------------------------------


def lbfgs(**settings):
    return regressor(n_inducing=None, **{"optimizer": "lbfgs", **settings})


def test_lbfgs_shows_its_last_state(rows, callbacks, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    recorder = Recorder()
    model = lbfgs(verbose=1, max_iter=7).set_callbacks(recorder).fit(*rows)
    assert recorder.hooks.count("end steps") == 1
    assert recorder.elbos == [model.elbo_] * 2
    assert "step 7 of at most 7" in capsys.readouterr().out


def test_lbfgs_scores_its_last_state(rows, split):
    X, y = rows
    model = lbfgs(early_stopping=True, max_iter=7).fit(X, y)
    assert len(model.validation_scores_) == 2  # after five steps, and at the end
    held_out = split["held_out"]
    best = model.validation_scores_.max()
    assert log_density(model, X[held_out], y[held_out]) == pytest.approx(best, rel=1e-9)


def test_lbfgs_ends_where_a_callback_says(rows, callbacks):
    for settings in ({}, {"max_iter": 10}, {"max_iter": 7}):
        model = lbfgs(**settings).set_callbacks(Recorder(lambda *_: True))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.fit(*rows)
        assert model.n_iter_ == min(10, model.max_iter) and not model.converged_


@pytest.mark.parametrize("at", [1, 2, 3, 12])
def test_interrupt_of_lbfgs(rows, at, monkeypatch):
    # the second value is part of the first iteration, the twelfth of a later one
    evaluate = lbfgs_training._Objective.__call__
    count = counted(evaluate, {at: KeyboardInterrupt})
    monkeypatch.setattr(lbfgs_training._Objective, "__call__", lambda self, x: count(self, x))
    model = lbfgs()
    before = state(model)
    if at < 12:
        with pytest.raises(KeyboardInterrupt):
            model.fit(*rows)
        assert state(model) == before
    else:
        model.fit(*rows)
        assert 0 < model.n_iter_ < 12 and not model.converged_


SIGNALLED = """
import faulthandler, signal, threading, warnings
import numpy as np
from skgpng import GaussianProcessRegressor
from skgpng._training import loop

faulthandler.dump_traceback_later(200, exit=True)  # tells where, if it hangs
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored below a shell's "&"
segments, begun, ended = [], threading.Event(), threading.Event()
original = loop.compiled_segment

def compiled_segment(*key):
    run = original(*key)
    def segment(*arguments):
        segments.append(1)
        if len(segments) == 2:  # the first one is done and noted
            begun.set()
        return run(*arguments)
    return segment

loop.compiled_segment = compiled_segment
main = threading.main_thread().ident

def interrupt():
    begun.wait()
    signal.pthread_kill(main, signal.SIGINT)
    while not ended.wait(20):  # Python drops an interrupt that falls into a finaliser
        signal.pthread_kill(main, signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
X = np.random.RandomState(0).randn(40, 1)
model = GaussianProcessRegressor(
    n_inducing=None, optimizer="adam", max_iter=10**9, tol=0.0, n_iter_no_change=10**9
)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model.fit(X, np.sin(X[:, 0]))
    ended.set()
assert len(caught) == 1 and "interrupted" in str(caught[0].message), caught
assert model.n_iter_ > 0 and not model.converged_
assert model.score(X, np.sin(X[:, 0])) > 0.0
print("kept")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another matter there")
def test_a_real_interrupt_keeps_the_state():
    # The signal follows the first steps, however long they take; training has no other end.
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED], capture_output=True, text=True, timeout=300
    )
    assert done.stdout == "kept\n", done.stderr


# --- weights of classes ----------------------------------------------------------------------

LABELS = [["no", "yes"], [False, True], [-1, 1], [3, 7, 5], np.array(["a", "b", "c"], object)]


@pytest.mark.parametrize("names", LABELS, ids=str)
def test_class_weight_is_a_sample_weight(three, names):
    X, k = three
    y = np.asarray(names)[np.unique(k, return_inverse=True)[1] % len(names)]
    X, y = X[:60], y[:60]  # the last class is the smallest
    own = np.linspace(0.5, 1.5, 60)
    model = classifier(n_inducing=None, max_iter=20)
    given = {name: 1.0 + i for i, name in enumerate(np.unique(y).tolist())}
    for class_weight in (given, "balanced"):
        weighted = clone(model).set_params(class_weight=class_weight)
        same = compute_sample_weight(class_weight, y)
        assert np.ptp(same) > 0.1
        np.testing.assert_allclose(
            clone(weighted).fit(X, y).predict_proba(X),
            clone(model).fit(X, y, sample_weight=same).predict_proba(X),
            rtol=1e-9,
        )
    np.testing.assert_allclose(
        clone(model).set_params(class_weight=given).fit(X, y, own).predict_proba(X),
        clone(model).fit(X, y, own * compute_sample_weight(given, y)).predict_proba(X),
        rtol=1e-9,
    )


def test_balanced_classes_have_the_same_total_weight(labels):
    X, y = labels
    repeated = np.repeat(np.arange(60), np.where(y == "yes", 3, 1))
    model = classifier(n_inducing=None, max_iter=20, class_weight="balanced")
    weighted = clone(model).fit(X, y, sample_weight=np.where(y == "yes", 3.0, 1.0))
    np.testing.assert_allclose(
        weighted.predict_proba(X),
        clone(model).fit(X[repeated], y[repeated]).predict_proba(X),
        rtol=1e-5,  # two sites at one row, instead of one
    )


def test_weight_of_an_unknown_class_is_refused_as_scikit_learn_does(labels):
    X, y = labels
    with pytest.raises(ValueError) as error:
        compute_sample_weight({"no": 1.0, "maybe": 2.0}, y)
    with pytest.raises(ValueError) as ours:
        classifier(class_weight={"no": 1.0, "maybe": 2.0}).fit(X, y)
    assert str(ours.value) == str(error.value)
    with pytest.raises(ValueError, match="class_weight.*'even'"):
        classifier(class_weight="even").fit(X, y)


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_weight_of_a_class_is_positive(three, weight):
    with pytest.raises(ValueError, match=f"class_weight must be positive.*{weight}.*sample_weight"):
        classifier(class_weight={"virginica": weight}).fit(*three)


# --- a kernel of each class ------------------------------------------------------------------


@pytest.fixture
def rough_and_smooth():
    """Class "a" changes slowly along X, "b" and "c" quickly."""
    X = np.linspace(-3, 3, 120)[:, None]
    fast = np.where(np.sin(4.0 * X[:, 0]) > 0, "b", "c")
    return X, np.where(X[:, 0] < -0.5, "a", fast)


@pytest.mark.parametrize("n_inducing", [None, 30])
def test_a_kernel_of_each_class(rough_and_smooth, n_inducing):
    X, y = rough_and_smooth
    shared = classifier(n_inducing=n_inducing).fit(X, y)
    model = classifier(n_inducing=n_inducing, shared_kernel=False).fit(X, y)
    assert type(model.kernel_) is CompoundKernel and len(model.kernel_.kernels) == 3
    assert model.elbo_ > shared.elbo_ + 1.0
    assert np.ptp([kernel.k2.length_scale for kernel in model.kernel_.kernels]) > 0.1
    assert model.score(X, y) > 0.9
    p = model.predict_proba(X)
    np.testing.assert_allclose(p.sum(1), 1.0)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(model)).predict_proba(X), p, rtol=1e-12)


def test_a_kernel_of_another_kind_for_each_class(rough_and_smooth):
    X, y = rough_and_smooth
    kinds = [RBF(1.0), ConstantKernel(2.0, "fixed") * Matern(0.3, nu=1.5), RationalQuadratic(0.3)]
    model = GaussianProcessClassifier(CompoundKernel(kinds), n_inducing=20, random_state=0)
    model.set_params(max_iter=40).fit(X, y)
    assert [type(k) for k in model.kernel_.kernels] == [type(k) for k in kinds]
    assert model.kernel_.kernels[1].k1.constant_value == pytest.approx(2.0, rel=1e-12)
    assert np.all(np.abs(model.kernel_.theta - CompoundKernel(kinds).theta) > 1e-3)
    mean, variance = model.latent_mean_and_variance(np.full((1, 1), 1e3))  # the prior's
    np.testing.assert_allclose(mean, 0.0, atol=1e-2)  # a rational quadratic falls slowly
    np.testing.assert_allclose(variance, [[1.0, 2.0, 1.0]], rtol=1e-2)


def test_kernels_have_to_be_as_many_as_classes(three, labels, rows):
    pair = CompoundKernel([RBF(), RBF()])
    with pytest.raises(ValueError, match="CompoundKernel of 2 kernels.*3 latent"):
        GaussianProcessClassifier(pair).fit(*three)
    with pytest.raises(ValueError, match="CompoundKernel of 2 kernels.*1 latent"):
        GaussianProcessClassifier(pair).fit(*labels)
    for regress in (lambda m: m.fit(*rows), lambda m: m.predict(rows[0])):  # also the prior's
        with pytest.raises(ValueError, match="CompoundKernel.*share one kernel"):
            regress(GaussianProcessRegressor(pair))


def test_two_classes_have_one_kernel_either_way(labels):
    X, y = labels
    shared, own = (
        classifier(n_inducing=None, shared_kernel=s, max_iter=20).fit(X, y) for s in (True, False)
    )
    assert own.kernel_ == shared.kernel_
    np.testing.assert_array_equal(own.predict_proba(X), shared.predict_proba(X))


# --- before fit ------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [KERNEL, 2.0 * RBF([1.0, 2.0]) + WhiteKernel(0.3), None])
@pytest.mark.parametrize("alpha", [None, 0.5])
def test_prior_prediction(rows, kernel, alpha):
    X = rows[0][:7]
    model = GaussianProcessRegressor(kernel, alpha=alpha)
    before = state(model)
    white = 0.3 if "White" in str(kernel) else 0.0
    noise = white + (alpha or 0.0)
    K = (ConstantKernel(1.0) * Matern(nu=2.5) if kernel is None else kernel)(X)
    K_f = K - white * np.eye(7)
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_array_equal(mean, np.zeros(7))
    np.testing.assert_allclose(std, np.sqrt(np.diag(K_f) + noise), rtol=1e-12)
    cov = model.predict(X, return_cov=True)[1]
    np.testing.assert_allclose(cov, K_f + noise * np.eye(7), atol=1e-12)
    for include_noise, extra in ((True, noise), (False, 0.0)):
        std = model.predict(X, return_std=True, include_noise=include_noise)[1]
        np.testing.assert_allclose(std, np.sqrt(np.diag(K_f) + extra), rtol=1e-12)
    assert model.predict_quantiles(X).shape == (7, 3)
    assert state(model) == before


@pytest.mark.parametrize("n_targets", [None, 1, 3])
def test_shapes_of_the_prior(rows, n_targets):
    X = rows[0][:5]
    model = regressor(n_targets=n_targets)
    each = (3,) if n_targets == 3 else ()
    mean, std = model.predict(X, return_std=True)
    assert mean.shape == std.shape == (5, *each)
    assert model.predict(X, return_cov=True)[1].shape == (5, 5, *each)
    assert model.sample_y(X, 4).shape == (5, *each, 4)
    assert model.log_predictive_density(X, mean).shape == (5,)
    theirs = SklearnRegressor(KERNEL, n_targets=n_targets or 1)
    assert theirs.predict(X).shape == mean.shape
    assert theirs.sample_y(X, 4).shape == model.sample_y(X, 4).shape


def test_samples_of_the_prior(rows):
    X = rows[0][:4]
    model = regressor(alpha=0.2)
    draws = model.sample_y(X, 20_000, random_state=1)
    # means of 20,000 draws scatter by 0.008, covariances by a little more
    np.testing.assert_allclose(draws.mean(1), 0.0, atol=0.05)
    np.testing.assert_allclose(np.cov(draws), KERNEL(X) + 0.2 * np.eye(4), atol=0.06)


def test_nothing_of_the_prior_remains(rows):
    X, y = rows
    model = regressor(max_iter=10)
    model.predict(X[:, :1])  # another number of columns, too
    fitted, plain = model.fit(X, y), regressor(max_iter=10).fit(X, y)
    assert vars(fitted).keys() == vars(plain).keys()
    np.testing.assert_array_equal(fitted.predict(X), plain.predict(X))
    mean, std = clone(model).predict(X, return_std=True)
    assert np.all(mean == 0.0) and np.all(std == 1.0)


def test_prior_of_named_columns_has_no_warning():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [0.0, 1.0], "b": [2.0, 3.0]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.all(regressor().predict(frame) == 0.0)


def test_bad_prior_is_named(rows):
    X, y = rows
    with pytest.raises(ValueError, match="length_scale.*3 values.*2 features"):
        GaussianProcessRegressor(RBF([1.0, 1.0, 1.0])).predict(X)
    with pytest.raises(ValueError, match="n_targets=2"):
        regressor(n_targets=2).fit(X, y)
    with pytest.raises(ValueError, match="n_targets"):
        regressor(n_targets=0).predict(X)


# --- log marginal likelihood -----------------------------------------------------------------

LML_KERNELS = {
    "quadratic and noise": ConstantKernel(1.2) * RBF([0.9, 1.4])
    + RationalQuadratic(0.7, 1.3)
    + WhiteKernel(0.2),
    "some fixed": ConstantKernel(1.2, "fixed") * RBF([0.9, 1.4])
    + RationalQuadratic(0.7, 1.3, alpha_bounds="fixed")
    + WhiteKernel(0.2, "fixed"),
}


@pytest.mark.parametrize("name", LML_KERNELS)
@pytest.mark.parametrize("targets", [1, 2])
def test_log_marginal_likelihood_and_its_gradient(rows, name, targets):
    X, y = rows
    Y = np.column_stack([y, np.cos(X[:, 1])])[:, :targets]
    settings = dict(n_inducing=None, max_iter=10)
    model = GaussianProcessRegressor(LML_KERNELS[name], **settings)
    model.fit(X, Y, sample_weight=np.linspace(0.5, 2.0, 60))
    learned = model.kernel_.theta
    value, gradient = model.log_marginal_likelihood(learned, eval_gradient=True)
    assert value == pytest.approx(model.elbo_, rel=1e-10)
    assert value == model.log_marginal_likelihood(learned)
    assert model.log_marginal_likelihood() == model.log_marginal_likelihood_value_ == model.elbo_
    assert gradient.shape == learned.shape
    theta = learned + np.random.RandomState(0).uniform(-0.5, 0.5, len(learned))
    gradient = model.log_marginal_likelihood(theta, eval_gradient=True)[1]
    expected = differences(model.log_marginal_likelihood, theta)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(model.kernel_.theta, learned)


def test_log_marginal_likelihood_is_scikit_learns(rows):
    X, y = rows
    kernel = LML_KERNELS["quadratic and noise"]
    ours = GaussianProcessRegressor(kernel, n_inducing=None, optimizer=None).fit(X, y)
    theirs = SklearnRegressor(kernel, normalize_y=True, optimizer=None, alpha=1e-300).fit(X, y)
    theta = kernel.theta + 0.3
    for a, b in zip(
        ours.log_marginal_likelihood(theta, True, clone_kernel=False),
        theirs.log_marginal_likelihood(theta, True),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-8)


def test_log_marginal_likelihood_with_known_noise(rows):
    X, y = rows
    for kernel, alpha in ((KERNEL, None), (KERNEL, 0.1), (KERNEL + WhiteKernel(0.1), 0.1)):
        model = GaussianProcessRegressor(kernel, alpha=alpha, n_inducing=None, max_iter=10)
        model.fit(X, y, noise_variance=np.linspace(0.0, 0.3, 60))
        at_theta = model.log_marginal_likelihood(model.kernel_.theta)
        assert at_theta == pytest.approx(model.elbo_, rel=1e-10)


def test_log_marginal_likelihood_where_all_is_fixed(rows):
    model = GaussianProcessRegressor(FIXED + WhiteKernel(0.1, "fixed"), n_inducing=None).fit(*rows)
    value, gradient = model.log_marginal_likelihood(model.kernel_.theta, eval_gradient=True)
    assert value == pytest.approx(model.elbo_, rel=1e-10) and gradient.shape == (0,)


def test_log_marginal_likelihood_errors(rows, labels):
    model = regressor(n_inducing=10, max_iter=10)
    with pytest.raises(NotFittedError):
        model.log_marginal_likelihood()
    model.fit(*rows)
    assert model.log_marginal_likelihood() == model.elbo_
    with pytest.raises(ValueError, match="training rows.*n_inducing=None"):
        model.log_marginal_likelihood(model.kernel_.theta)
    with pytest.raises(ValueError, match="eval_gradient=True needs a theta"):
        model.log_marginal_likelihood(eval_gradient=True)
    model = classifier(max_iter=10)
    with pytest.raises(NotFittedError):
        model.log_marginal_likelihood()
    assert model.fit(*labels).log_marginal_likelihood() == model.elbo_


# --- relevance of the columns ----------------------------------------------------------------


def test_feature_relevances():
    rng = np.random.RandomState(4)
    X = rng.uniform(-2, 2, (80, 3))
    y = np.sin(2.0 * X[:, 0]) + 0.3 * X[:, 1] + 0.05 * rng.randn(80)
    model = GaussianProcessRegressor(n_inducing=None, random_state=0).fit(X, y)
    relevance = model.feature_relevances_
    assert relevance.shape == (3,) and relevance.sum() == pytest.approx(1.0)
    assert relevance[0] > relevance[1] > relevance[2] and relevance[2] < 0.05
    scaled = clone(model).fit(X * [1e3, 1.0, 1e-3], y).feature_relevances_
    # the same training in other units: rounding only, times some hundred steps
    np.testing.assert_allclose(scaled, relevance, rtol=1e-4, atol=1e-6)
    names = np.where(y > 0, "up", "down")
    relevance = GaussianProcessClassifier(random_state=0).fit(X, names).feature_relevances_
    assert relevance.argmax() == 0 and relevance[2] < 0.1


def test_feature_relevances_of_a_kernel_of_each_class(three):
    X, y = three
    model = GaussianProcessClassifier(RBF([1.0, 1.0]), shared_kernel=False, max_iter=20).fit(X, y)
    each = np.stack([kernel.length_scale for kernel in model.kernel_.kernels])
    expected = np.sqrt(np.sum((X.std(0) / each) ** 2, 0))
    np.testing.assert_allclose(model.feature_relevances_, expected / expected.sum(), rtol=1e-9)


def test_feature_relevances_errors(rows):
    model = GaussianProcessRegressor(DotProduct(), n_inducing=None, max_iter=5)
    with pytest.raises(AttributeError, match="after fit"):
        model.feature_relevances_  # noqa: B018
    assert not hasattr(model, "feature_relevances_")
    with pytest.raises(AttributeError, match="DotProduct.*has none"):
        model.fit(*rows).feature_relevances_  # noqa: B018


# --- a failed fit ----------------------------------------------------------------------------

FAILURES = {
    "rows": ({}, np.nan, "NaN"),
    "kernel": ({"kernel": RBF([1.0, 1.0])}, 0.0, "1 features"),
    "parameter": ({"max_iter": 0}, 0.0, "max_iter"),
    "training": ({}, 0.0, "while training"),
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("data", ["rows", "labels"])
def test_failed_fit_leaves_nothing(data, name, request, monkeypatch):
    pandas = pytest.importorskip("pandas")
    X, y = request.getfixturevalue(data)
    new = (regressor if data == "rows" else classifier)(max_iter=5, n_inducing=None)
    fitted = clone(new).fit(pandas.DataFrame(X, columns=["a", "b"]), y)
    parameters, shift, message = FAILURES[name]
    if name == "training":
        error = counted(stages.train, dict.fromkeys((1, 2), ValueError("while training")))
        monkeypatch.setattr(stages, "train", error)
    for model in (new, fitted):
        before = state(model.set_params(**parameters))
        with pytest.raises(ValueError, match=message):
            model.fit(pandas.DataFrame(X[:, :1] + shift, columns=["c"]), y)
        assert state(model) == before
    assert fitted.n_features_in_ == 2 and list(fitted.feature_names_in_) == ["a", "b"]
