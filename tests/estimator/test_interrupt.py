"""Ctrl-C: it ends training, and what was learned so far is kept."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from estimator.cases import counted, regressor, some_models, state
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skgpng._training import lbfgs, loop


def interrupt_after(n_looks):
    """A monitor that is interrupted at one of its calls."""
    return counted(lambda result: False, {n_looks: KeyboardInterrupt})


@some_models
def test_interrupt_keeps_the_state_with_one_warning(model_and_data, watched):
    model, X, y = model_and_data
    watched(interrupt_after(3))
    model.set_params(tol=0.0)
    with pytest.warns(ConvergenceWarning, match="interrupted after 30 steps") as caught:
        model.fit(X, y)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert model.n_iter_ == 30 and not model.converged_
    watched()
    passes = 10 if model.batch_size == 20 else 30  # of 60 rows
    with pytest.warns(ConvergenceWarning, match=f"after 30 steps, at max_iter={passes}"):
        limited = clone(model).set_params(max_iter=passes).fit(X, y)
    np.testing.assert_array_equal(model.elbo_curve_, limited.elbo_curve_)
    np.testing.assert_array_equal(model.predict(X), limited.predict(X))


def test_interrupt_before_the_first_score_with_one_warning(ordered, watched):
    X, y = ordered
    watched(interrupt_after(1))
    with pytest.warns(ConvergenceWarning, match="interrupted after 5 steps") as caught:
        model = regressor(n_inducing=None, early_stopping=True).fit(X, y)
    assert len(caught) == 1 and len(model.validation_scores_) == 1


@pytest.mark.parametrize("at", ["later", "first steps"])
def test_interrupt_in_a_restart_keeps_the_best_start_with_one_warning(
    ordered, at, watched, monkeypatch
):
    X, y = ordered
    model = regressor(n_inducing=None, max_iter=30, tol=0.0)
    with pytest.warns(ConvergenceWarning, match="max_iter=30"):
        once = clone(model).fit(X, y)
    if at == "later":
        watched(interrupt_after(4))  # the first look of the second start
    else:
        segment = counted(loop.compiled_segment, {2: KeyboardInterrupt})
        monkeypatch.setattr(loop, "compiled_segment", segment)
    with pytest.warns(ConvergenceWarning, match="interrupted") as caught:
        model.set_params(n_restarts_optimizer=2).fit(X, y)
    assert len(caught) == 1
    assert model.elbo_ >= once.elbo_ and np.all(np.isfinite(model.predict(X)))


def test_interrupt_before_the_first_steps_goes_through(ordered, monkeypatch):
    X, y = ordered
    fitted = regressor(n_inducing=None, max_iter=10).fit(X, y)
    segment = counted(loop.compiled_segment, {1: KeyboardInterrupt, 2: KeyboardInterrupt})
    monkeypatch.setattr(loop, "compiled_segment", segment)
    for model in (fitted, clone(fitted)):
        before = state(model)
        with pytest.raises(KeyboardInterrupt):
            model.fit(X[:, :1], y)
        assert state(model) == before


@pytest.mark.parametrize("at", [1, 2, 3, 12])
def test_interrupt_of_lbfgs(ordered, at, monkeypatch):
    # the second value is part of the first iteration, the twelfth of a later one
    evaluate = lbfgs._Objective.__call__
    count = counted(evaluate, {at: KeyboardInterrupt})
    monkeypatch.setattr(lbfgs._Objective, "__call__", lambda self, x: count(self, x))
    model = regressor(n_inducing=None, optimizer="lbfgs")
    before = state(model)
    if at < 12:
        with pytest.raises(KeyboardInterrupt):
            model.fit(*ordered)
        assert state(model) == before
    else:
        model.fit(*ordered)
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

def compiled_segment(*key, **how):
    run = original(*key, **how)
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
