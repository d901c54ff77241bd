"""The progress line of ``verbose``."""

from __future__ import annotations

import sys

import pytest
from estimator.cases import classifier, regressor


def test_verbose_shows_a_bar_of_tqdm(ordered, capsys):
    pytest.importorskip("tqdm")
    regressor(verbose=1, max_iter=20).fit(*ordered)
    out, err = capsys.readouterr()
    assert out == ""
    assert "GaussianProcessRegressor" in err and "ELBO=" in err and "20/20" in err


def test_verbose_prints_a_line_without_tqdm(two, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    model = classifier(verbose=1, max_iter=20).fit(*two)
    out, err = capsys.readouterr()
    assert err == ""
    assert "GaussianProcessClassifier: step 20 of at most 20, ELBO" in out
    assert f"{model.elbo_:.6g}" in out and out.endswith("\n")


def test_verbose_is_silent_by_default(ordered, capsys):
    regressor(n_restarts_optimizer=1, max_iter=20).fit(*ordered)
    assert capsys.readouterr() == ("", "")
