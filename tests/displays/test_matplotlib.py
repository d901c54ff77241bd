"""Displays without matplotlib, and what they share."""

from __future__ import annotations

import sys

import pytest

import skgpng
from skgpng import displays


def test_the_displays_are_an_attribute_of_the_package():
    assert skgpng.displays is displays
    assert "displays" in dir(skgpng)
    with pytest.raises(AttributeError, match="no attribute 'display'"):
        skgpng.display  # noqa: B018


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch, exact, frame, y):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    D = displays
    calls = {
        "BandDisplay.from_estimator": lambda: D.BandDisplay.from_estimator(exact, frame),
        "BandDisplay.from_predictions": lambda: D.BandDisplay.from_predictions([0], [0], [1]),
        "BandDisplay.plot": lambda: D.BandDisplay([0], [0]).plot(),
        "MapDisplay.from_estimator": lambda: D.MapDisplay.from_estimator(exact, frame),
        "MapDisplay.plot": lambda: D.MapDisplay([0], [0], [[0]], [[0]]).plot(),
        "CoverageDisplay.from_estimator": lambda: D.CoverageDisplay.from_estimator(exact, frame, y),
        "CoverageDisplay.from_predictions": lambda: D.CoverageDisplay.from_predictions(
            [0], [0], [1]
        ),
        "CoverageDisplay.from_quantiles": lambda: D.CoverageDisplay.from_quantiles(
            [0], [[0, 1]], [0.1, 0.9]
        ),
        "CoverageDisplay.plot": lambda: D.CoverageDisplay([0.5], [0.5], [0.5]).plot(),
        "TrainingDisplay.from_estimator": lambda: D.TrainingDisplay.from_estimator(exact),
        "TrainingDisplay.plot": lambda: D.TrainingDisplay([[0.0]], [True], ["a"]).plot(),
        "RelevanceDisplay.from_estimator": lambda: D.RelevanceDisplay.from_estimator(exact),
        "RelevanceDisplay.plot": lambda: D.RelevanceDisplay([1.0], ["a"]).plot(),
        "AdditiveDisplay.from_estimator": lambda: D.AdditiveDisplay.from_estimator(exact, frame),
        "AdditiveDisplay.plot": lambda: D.AdditiveDisplay([]).plot(),
    }
    for name, call in calls.items():
        with pytest.raises(ImportError, match=f"{name} requires matplotlib"):
            call()
