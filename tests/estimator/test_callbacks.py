"""scikit-learn's callbacks: when they are called, what they see, how they end training."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from estimator.cases import Recorder, classifier, output, regressor, some_models
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

LEFT_BEHIND = {"_callback_fit_ctx", "_parent_callback_ctx", "_skl_callbacks_to_teardown"}


@some_models
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


def test_callbacks_change_no_number(ordered, callbacks):
    X, y = ordered
    model = regressor(n_inducing=10, batch_size=20, max_iter=37)
    plain = clone(model).fit(X, y)
    watched = clone(model).set_callbacks(Recorder()).fit(X, y)
    np.testing.assert_array_equal(plain.elbo_curve_, watched.elbo_curve_)
    np.testing.assert_array_equal(plain.predict(X), watched.predict(X))


def test_callbacks_with_early_stopping_and_restarts(ordered, callbacks):
    # more looks than a training without these has
    recorder = Recorder()
    model = regressor(n_inducing=None, max_iter=20, tol=0.0, n_restarts_optimizer=2)
    model.set_params(early_stopping=True).set_callbacks(recorder).fit(*ordered)
    assert recorder.hooks.count("end steps") == 3 * 4
    assert recorder.hooks.count("end fit") == 1


def test_callback_gets_the_weights(ordered, two, callbacks):
    weights = np.linspace(0.5, 2.0, 60)
    for model, (X, y) in ((regressor(), ordered), (classifier(), two)):
        recorder = Recorder()
        model.set_params(max_iter=10).set_callbacks(recorder).fit(X, y, sample_weight=weights)
        for metadata in recorder.metadata:
            assert metadata.keys() == {"sample_weight"}
            np.testing.assert_array_equal(metadata["sample_weight"], weights)


def test_callback_ends_training_without_a_warning(ordered, callbacks):
    X, y = ordered
    for settings in ({}, {"early_stopping": True}, {"n_restarts_optimizer": 3}):
        recorder = Recorder(lambda *_: True)
        model = regressor(n_inducing=None, **settings).set_callbacks(recorder)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.fit(X, y)
        assert recorder.hooks.count("end steps") == 1
        assert model.n_iter_ == (5 if model.early_stopping else 10)
        assert not model.converged_ and np.all(np.isfinite(model.predict(X)))


def test_callbacks_are_torn_down_after_an_error(ordered, callbacks):
    X, y = ordered

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


def test_callbacks_travel_with_clone_and_pickle(ordered, callbacks):
    X, y = ordered
    model = regressor(max_iter=10).set_callbacks(callbacks.ScoringMonitor(scoring="r2"))
    twin, unpickled = clone(model).fit(X, y), pickle.loads(pickle.dumps(model)).fit(X, y)
    np.testing.assert_array_equal(twin.predict(X), unpickled.predict(X))
    again = pickle.loads(pickle.dumps(twin))
    np.testing.assert_array_equal(again.predict(X), twin.predict(X))
    assert not LEFT_BEHIND & vars(again).keys()


def test_scoring_monitor(ordered, callbacks):
    X, y = ordered
    monitor = callbacks.ScoringMonitor(scoring="r2")
    weights = np.linspace(0.5, 2.0, 60)
    model = regressor(n_inducing=None, max_iter=30, tol=0.0).set_callbacks(monitor)
    model.fit(X, y, sample_weight=weights, noise_variance=np.full(60, 0.01))
    scores = [row["r2"] for row in monitor.get_logs().data]
    assert len(scores) == 1 + 3 and scores[1] < scores[-1]
    assert scores[0] == scores[-1] == pytest.approx(model.score(X, y, weights), rel=1e-9)


def test_scoring_monitor_in_a_pipeline(two, callbacks):
    X, y = two
    monitor = callbacks.ScoringMonitor(scoring="neg_log_loss")
    model = classifier(n_inducing=None, max_iter=20, tol=0.0).set_callbacks(monitor)
    pipe = make_pipeline(StandardScaler(), model).fit(X, y)
    scores = [row["neg_log_loss"] for row in monitor.get_logs().data]
    assert len(scores) == 1 + 2 and pipe.score(X, y) > 0.7
    assert not LEFT_BEHIND & vars(pipe[-1]).keys()


def test_scoring_monitor_in_a_grid_search(ordered, callbacks):
    X, y = ordered
    monitor = callbacks.ScoringMonitor(scoring="r2")
    model = regressor(n_inducing=None, max_iter=20, tol=0.0).set_callbacks(monitor)
    search = GridSearchCV(model, {"learning_rate": [0.05, 0.1]}, cv=2).fit(X, y)
    data = monitor.get_logs().data
    # four trainings of the search and the last one on all rows, each twice and once at its end
    assert sum(row["task_name"] == "steps" for row in data) == 5 * 2
    assert len(data) == 5 * 3
    assert not LEFT_BEHIND & vars(search.best_estimator_).keys()


def test_progress_bar_of_scikit_learn(ordered, callbacks, capsys):
    pytest.importorskip("rich")
    X, y = ordered
    bar = callbacks.ProgressBar()
    regressor(max_iter=20, early_stopping=True).set_callbacks(bar).fit(X, y)
    assert "GaussianProcessRegressor - fit" in capsys.readouterr().out
    search = GridSearchCV(regressor(max_iter=10), {"n_inducing": [None]}, cv=2)
    search.set_callbacks(callbacks.ProgressBar()).fit(X, y)
    assert "GaussianProcessRegressor - fit" in capsys.readouterr().out
