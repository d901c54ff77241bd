"""Hyperparameters of a kernel object: checked values and bounds, and whether they may move."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..parameters import Parameter
from .formula import Formula, is_ours

__all__ = ["check_shape", "own_names", "parameter_of"]

# Formulas divide by these: they may not be zero even where they are fixed.
_DIVISORS = {"length_scale", "periodicity", "alpha"}


def own_names(kernel: Any) -> tuple[str, ...]:
    """Hyperparameters of a kernel itself, in the order of its parameters."""
    given = kernel.get_params(deep=False)
    bounded = given if isinstance(kernel, Formula) else ()
    return tuple(
        name
        for name in given
        if f"{name}_bounds" in bounded or hasattr(type(kernel), f"hyperparameter_{name}")
    )


def parameter_of(kernel: Any, name: str, path: str, formula: type[Formula] = Formula) -> Parameter:
    """Value, bounds and freedom of one hyperparameter."""
    params, real = kernel.get_params(), name in formula.real
    if f"{name}_bounds" in params:
        given = params[f"{name}_bounds"]
    else:  # set for good by its class
        given = next(h.bounds for h in kernel.hyperparameters if h.name == name)
    free = not (isinstance(given, str) and given == "fixed")
    zero = not free and name.rpartition("__")[2] not in _DIVISORS
    sign = "" if real else "positive or zero and " if zero else "positive and "
    plain = is_ours(formula) and not formula.foreign and name not in formula.shaped
    most_axes = 1 if plain else np.inf
    value = _value(params[name], path + name, sign, most_axes)
    if not free:
        bounds = np.stack([value, value], -1)
    else:
        bounds = _bounds(given, value, f"{path}{name}_bounds", -np.inf if real else 0.0)
    return Parameter(path + name, value, bounds, free, real)


def check_shape(name: str, value: Any, *shapes: tuple[int, ...]) -> None:
    """ValueError where an array, or a number with the shape (), has none of these shapes."""
    if np.shape(value) not in shapes:
        allowed = " or ".join(map(str, shapes))
        raise ValueError(f"{name} has the shape {np.shape(value)}, but it takes {allowed}.")


def _value(given: Any, name: str, sign: str, most_axes: float) -> np.ndarray:
    value = _numbers(given)
    if value is not None and value.ndim <= most_axes and np.isfinite(value).all():
        least = np.min(value, initial=np.inf)
        if not sign or least > 0 or (least == 0 and "zero" in sign):
            return value
    raise ValueError(
        f"kernel parameter {name!r} must be {sign}finite, got {given!r}. Give one number, or one "
        "per feature."
    )


def _bounds(given: Any, value: np.ndarray, name: str, least: float) -> np.ndarray:
    """Bounds (*shape, 2) of a free hyperparameter; 0 and infinity stand for none."""
    bounds = _numbers(given)
    shapes = ((2,), (1, 2), (value.size, 2), (*value.shape, 2))
    if bounds is not None and bounds.shape in shapes:
        pairs = np.broadcast_to(bounds.reshape(-1, 2), (value.size, 2))
        bounds = np.array(pairs.reshape(*value.shape, 2))
        low, high = np.moveaxis(bounds, -1, 0)
        if np.all((low >= least) & (low <= high) & (high > least) & (low < np.inf)):
            return bounds
    sign = "low <= high" if least < 0 else "0 <= low <= high and high > 0"
    raise ValueError(
        f"kernel parameter {name!r} must be 'fixed' or a pair (low, high) with {sign}, or one such "
        f"pair for each of the {value.size} values; got {given!r}."
    )


def _numbers(given: Any) -> np.ndarray | None:
    """As float64, or None where they are no real numbers."""
    try:
        numbers = np.asarray(given)
    except ValueError:  # lists of different lengths
        return None
    return numbers.astype(np.float64) if numbers.dtype.kind in "biuf" else None
