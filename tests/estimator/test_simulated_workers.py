"""Workers that examples/benchmarks/simulated_workers.py makes of one process: numbers and clock."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor

SCRIPTS = Path(__file__).resolve().parents[2] / "examples" / "benchmarks"
RNG = np.random.RandomState(0)
X = RNG.uniform(-2, 2, (1200, 2))
F = np.sin(2 * X[:, 0]) + 0.5 * X[:, 1]
KEYS = {"n_inducing": 10, "max_iter": 8, "random_state": 0}
MODELS = {
    "collapsed": (GaussianProcessRegressor(batch_size=None, **KEYS), F + 0.1 * RNG.randn(1200)),
    "Student t": (
        GaussianProcessRegressor(likelihood="student_t", batch_size=None, **KEYS),
        F + 0.1 * RNG.standard_t(3, 1200),
    ),
    "classes": (GaussianProcessClassifier(batch_size=None, **KEYS), np.digitize(F, [-0.3, 0.6])),
    "minibatches": (GaussianProcessRegressor(batch_size=100, **KEYS), F + 0.1 * RNG.randn(1200)),
}


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import simulated_workers

    return simulated_workers


def fitted(model, fit):
    model = clone(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of steps that are not enough
        return fit(model)


@pytest.mark.parametrize("name", MODELS)
def test_simulated_workers_give_the_numbers_of_rows_at_hand(script, name):
    model, y = MODELS[name]
    here = fitted(model, lambda m: m.fit(X, y))
    far = script.Workers(X, y, 5)
    there = fitted(model, lambda m: m._fit_elsewhere(far))
    np.testing.assert_allclose(there.elbo_curve_, here.elbo_curve_, rtol=1e-8)
    np.testing.assert_allclose(there.predict(X[:50]), here.predict(X[:50]), rtol=1e-8, atol=1e-8)
    # factors go there, sums of M x M come back
    assert all(call.seconds > 0 and call.add > 0 for call in far.calls)
    assert all(call.up >= 8 * 10**2 and call.down >= 8 * 10**2 for call in far.calls)
    assert len(far.driver) == len(far.calls) - 1


def test_rows_that_stand_for_others_count_as_often(script):
    model, y = MODELS["collapsed"]
    far = script.Workers(X, y, 2, stands_for=3)
    far.by_number = False
    there = fitted(model, lambda m: m._fit_elsewhere(far))
    many = script.Workers(np.tile(X, (3, 1)), np.tile(y, 3), 2)
    many.by_number = False
    many.sample = far.sample  # so that both begin alike
    same = fitted(model, lambda m: m._fit_elsewhere(many))
    assert there.elbo_ == pytest.approx(same.elbo_, rel=1e-8)
    assert {call.rows for call in far.calls} == {3600}


def test_clock_of_a_star(script):
    network = script.Network(bits=8e3, latency=0.25, task=0.5)  # 1000 bytes a second
    call = script.Call(rows=1, seconds=0, down=1000, up=2000, add=0.125)
    # of one worker: task, message, way, work, way, answer, sum
    assert script.star([4.0], call, network) == 0.5 + 1 + 0.25 + 4 + 0.25 + 2 + 0.125
    # the second is sent for 1.5 later and ready 1.5 later, and waits for the first answer
    assert script.star([4.0, 4.0], call, network) == 6.0 + 2 * 2.125
    # where the first takes 3 longer the second comes before it, at 7.5
    assert script.star([7.0, 4.0], call, network) == 7.5 + 2 * 2.125
    assert script.star([70.0, 4.0], call, network) == 72.0 + 2.125
    free = script.Network(np.inf, 0.0, 0.0)
    nothing = call._replace(add=0.0)
    assert script.star([1.0, 3.0, 2.0], nothing, free) == 3.0
    assert script.tree([1.0, 3.0, 2.0], nothing, free) == 3.0


def test_clock_of_a_step(script):
    free = script.Network(np.inf, 0.0, 0.0)
    calls = [script.Call(100, 8.0, 100, 100, 0.0), script.Call(100, 16.0, 100, 100, 0.0)]
    for way in script.WAYS:
        assert script.step_seconds(calls, 1.0, 4, free, way) == 1.0 + 2.0 + 4.0
    assert script.step_seconds(calls, 1.0, 4, free, "star", slowest=1.5) == 1.0 + 3.0 + 6.0
    slow = script.Network(8e2, 0.0, 0.0)  # each message takes a second
    assert script.step_seconds(calls, 0.0, 1, slow, "star") == 24.0 + 4 * 1.0
    assert script.step_seconds(calls, 0.0, 1, slow, "packed") == 24.0 + 4 * 0.5
    # 64 messages there and back by one link, or six levels of two each
    empty = [call._replace(seconds=0.0) for call in calls[:1]]
    assert script.step_seconds(empty, 0.0, 64, slow, "star") == 64 + 1
    assert script.step_seconds(empty, 0.0, 64, slow, "tree") == 2 + 6 * (2 + 2)
