from __future__ import annotations

import pickle

import pytest

from skgpng._inference import Collapsed, Exact, Sites, Sparse, suitable

ALL = frozenset({"conjugate", "all rows", "full steps", "shared precision"})
MODELS = [Exact(), Collapsed(), Sites(), Sparse()]


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_a_model_is_a_value(model):
    again = pickle.loads(pickle.dumps(model))
    assert again == model and hash(again) == hash(model) and again == type(model)()
    assert {model: 1}[again] == 1
    assert [other == model for other in MODELS].count(True) == 1


@pytest.mark.parametrize(
    ("has_points", "missing", "expected"),
    [
        (False, set(), Exact()),
        (False, {"shared precision"}, Exact()),
        (False, {"conjugate"}, Sites()),
        (False, {"full steps"}, Sites()),
        (True, set(), Collapsed()),
        (True, {"conjugate"}, Sparse()),
        (True, {"all rows"}, Sparse()),
        (True, {"full steps"}, Sparse()),
        (True, {"shared precision"}, Sparse()),
        (True, set(ALL), Sparse()),
    ],
)
def test_the_first_suitable_model(has_points, missing, expected):
    assert suitable(has_points, ALL - missing) == expected


@pytest.mark.parametrize("L", [1, 3])
def test_forms_of_q(L):
    shapes = {type(m): [spec.shape.as_list() for spec in m.q_form(L)] for m in MODELS}
    assert shapes == {
        Exact: [],
        Collapsed: [[None, L], [1, None, None]],
        Sites: [[None, L], [None, L]],
        Sparse: [[None, L], [L, None, None]],
    }
