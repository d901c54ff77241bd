"""What ``verbose`` shows, with tqdm and without, in a terminal and in a file."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
from estimator.cases import classifier, regressor

from skgpng._estimator import monitor
from skgpng._training.result import MAX_ITER, Result


@pytest.fixture
def no_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)


def result(n_steps, elbo):
    return Result((), (), np.full(n_steps, elbo), MAX_ITER)


def test_verbose_shows_a_line_of_tqdm(ordered, capsys):
    pytest.importorskip("tqdm")
    model = regressor(verbose=1, max_iter=500).fit(*ordered)
    out, err = capsys.readouterr()
    assert out == "" and model.converged_
    first, *_, last = err.strip().split("\r")
    head = r"GaussianProcessRegressor: step \d+ of at most 500"
    assert re.fullmatch(rf"{head} \[\d\d:\d\d, at most \S+ more at this pace.*\]", first)
    # it ended before: nothing of the steps that were not taken is said
    assert re.fullmatch(
        rf"GaussianProcessRegressor: {model.n_iter_} steps \[\d\d:\d\d, ELBO={model.elbo_:.6g}\]",
        last,
    )


def test_verbose_prints_a_line_without_tqdm(two, capsys, no_tqdm):
    model = classifier(verbose=1, max_iter=20).fit(*two)
    out, err = capsys.readouterr()
    assert err == ""
    assert re.fullmatch(
        rf"GaussianProcessClassifier: step 20 of at most 20, ELBO {model.elbo_:.6g}, \d+ s\n", out
    )


def test_a_terminal_has_one_line_that_is_written_anew(capsys, monkeypatch, no_tqdm):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    now = iter([0.0, 2.0, 4.0])
    monkeypatch.setattr(monitor.time, "monotonic", lambda: next(now))
    with monitor.progress_line("A", 50) as (line,):
        assert not line(result(10, -3.0)) and not line(result(20, -2.5))
    first, second, last = capsys.readouterr().out.removeprefix("\r").split("\r")
    # 40 steps at 10 in 2 s, 30 at 20 in 4 s
    assert first.rstrip() == "A: step 10 of at most 50, ELBO -3, 2 s, at most 8 s more at this pace"
    assert (
        second.rstrip() == "A: step 20 of at most 50, ELBO -2.5, 4 s, at most 6 s more at this pace"
    )
    assert last.rstrip() == "A: step 20 of at most 50, ELBO -2.5, 4 s" and last.endswith("\n")


def test_a_file_gets_a_line_every_ten_seconds(capsys, monkeypatch, no_tqdm):
    now = iter([0.0, 9.0, 11.0, 12.0, 25.0])
    monkeypatch.setattr(monitor.time, "monotonic", lambda: next(now))
    with monitor.progress_line("A", 100) as (line,):
        for k in range(1, 5):
            line(result(k, -1.0))
    lines = capsys.readouterr().out.splitlines()
    assert [re.search(r"step (\d)", text)[1] for text in lines] == ["2", "4", "4"]
    assert "more" in lines[0] and "more" not in lines[-1] and "\r" not in "".join(lines)


def test_restarts_are_counted(ordered, capsys, no_tqdm):
    regressor(verbose=1, n_restarts_optimizer=1, max_iter=5).fit(*ordered)
    out = capsys.readouterr().out
    assert "Regressor, start 1 of 2: step 5" in out and "Regressor, start 2 of 2: step 5" in out


def test_twice_as_verbose_tells_the_model_too(ordered, capsys, no_tqdm):
    regressor(verbose=2, n_inducing=8, batch_size=20, max_iter=2).fit(*ordered)
    first, *_ = capsys.readouterr().out.splitlines()
    assert first == (
        "GaussianProcessRegressor: 60 rows, variational, 8 inducing points, as n_inducing=8; Adam, "
        "20 rows a step"
    )


def test_the_choice_of_neighbours_is_told_after_training(ordered, capsys, no_tqdm):
    regressor(verbose=1, n_neighbors=10, max_iter=2).fit(*ordered)
    step, choice = capsys.readouterr().out.splitlines()
    assert "step" in step
    assert choice == "GaussianProcessRegressor: choosing neighbours and scale by rows left out"


def test_verbose_is_silent_by_default(ordered, capsys):
    regressor(n_restarts_optimizer=1, max_iter=20).fit(*ordered)
    regressor(n_neighbors=10, max_iter=2).fit(*ordered)
    assert capsys.readouterr() == ("", "")
