"""How latent functions are inferred: one file a model, and what these share."""

from __future__ import annotations

from .base import Data, Execution, Inference, Iterate, Memory, Model, Step, Structure
from .collapsed import Collapsed
from .exact import Exact
from .neighbours import Neighbours
from .sites import Sites
from .sparse import Sparse

__all__ = [
    "Collapsed",
    "Data",
    "Exact",
    "Execution",
    "Inference",
    "Iterate",
    "Memory",
    "Model",
    "Neighbours",
    "Sites",
    "Sparse",
    "Step",
    "Structure",
    "suitable",
]

# In the order in which they are preferred.
_MODELS = (Exact(), Collapsed(), Sites(), Sparse())


def suitable(has_points: bool, met: frozenset[str]) -> Inference:
    """The first model, with or without inducing points, whose requirements are met."""
    return next(m for m in _MODELS if m.has_points == has_points and m.requires <= met)
