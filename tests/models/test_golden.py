"""The natural-gradient study, every step: computed with GPflow 2.9.2 (shared/golden)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "natural_gradients.py"


@pytest.fixture(scope="module")
def study():
    spec = importlib.util.spec_from_file_location("natural_gradients", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def replayed(study):
    return study.replay()


def test_every_reference_array_is_replayed(study, replayed):
    inputs = {"x", "y", "y_binary", "inducing_points"}
    inputs |= {"svgp_minibatch_rows", "svgp_comparison_rows"}
    assert set(study.GOLDEN.files) - inputs == set(replayed)


@pytest.mark.parametrize(
    "name", sorted(set(np.load(EXAMPLE.parent / "data" / "natural_gradients.npz").files))
)
def test_replay_equals_reference(study, replayed, name):
    if name not in replayed:
        pytest.skip("an input, not a result")
    # Entries near zero are compared on the scale of the array's largest entry.
    reference = study.GOLDEN[name]
    np.testing.assert_allclose(
        replayed[name], reference, rtol=1e-6, atol=1e-6 * np.abs(reference).max()
    )


def test_every_printed_digit(study, replayed):
    assert study.print_table(replayed) == 0
