"""Weights of classes."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils import compute_class_weight

__all__ = ["weight_of_each"]

# A class of this weight hides the others in rounding.
_HEAVIEST_CLASS = 1e15


def weight_of_each(
    class_weight: Any, labels: np.ndarray, classes: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Weight of each class; "balanced" by the total weight of its rows."""
    if class_weight == "balanced":
        return weights.sum() / (len(classes) * np.bincount(labels, weights))
    given = class_weight
    if isinstance(given, dict) and not all(isinstance(v, Real) for v in given.values()):
        raise ValueError(f"class_weight must map labels to numbers, got {given!r}.")
    each = compute_class_weight(given, classes=classes, y=classes)
    if not np.all((each > 0) & (each <= _HEAVIEST_CLASS)):
        raise ValueError(
            f"class_weight must be positive and at most {_HEAVIEST_CLASS:g}, got "
            f"{given!r}. To leave a class out, give its rows a sample_weight of 0."
        )
    return each
