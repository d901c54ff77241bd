"""Distributions of TensorFlow Probability apart from their numbers.

What is compiled knows the class of a prior and which arguments it has; their numbers are tensors.
So a grid over the numbers of a prior compiles once, as does a copy of it.
"""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import numpy as np

from .._runtime import tf

__all__ = ["Family", "as_it_is", "described", "rebuilt"]


class Family(NamedTuple):
    """A distribution without its numbers; hashable."""

    source: Any  # its class; or _AsItIs, where that does not tell its arguments
    numbers: tuple = ()  # names and shapes of the arguments that are numbers
    parts: tuple = ()  # names and families of those that are distributions
    settings: tuple = ()  # names and values of the others

    @property
    def size(self) -> int:
        """Numbers of it and its parts."""
        own = sum(int(np.prod(shape)) for _, shape in self.numbers)
        return own + sum(part.size for _, part in self.parts)


class _AsItIs:
    """Any object with ``log_prob``; another one compiles anew."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _AsItIs) and self.given is other.given

    def __hash__(self) -> int:
        return id(self.given)


def described(distribution: Any) -> tuple[Family, np.ndarray]:
    """Family and numbers of a distribution."""
    parts = _arguments(distribution)
    if parts is None:
        return as_it_is(distribution)
    numbers, distributions, settings = parts
    below = {name: described(d) for name, d in distributions.items()}
    family = Family(
        type(distribution),
        tuple((name, np.shape(value)) for name, value in numbers.items()),
        tuple((name, part) for name, (part, _) in below.items()),
        tuple(settings.items()),
    )
    values = [*(np.ravel(v) for v in numbers.values()), *(v for _, v in below.values())]
    return family, np.concatenate([np.zeros(0), *values])


def as_it_is(distribution: Any) -> tuple[Family, np.ndarray]:
    """The object itself; another one compiles anew."""
    return Family(_AsItIs(distribution)), np.zeros(0)


def _arguments(distribution: Any) -> tuple[dict, dict, dict] | None:
    """Of the constructor: numbers, distributions and others; None where that cannot be told."""
    given, kinds = (getattr(distribution, n, None) for n in ("parameters", "parameter_properties"))
    if not isinstance(given, dict) or not callable(kinds):
        return None
    there = {name: value for name, value in given.items() if value is not None}
    parts = {name: v for name, v in there.items() if hasattr(v, "log_prob")}
    try:
        known = kinds(dtype=tf.float64)
    except NotImplementedError:  # of a class of one's own, or a joint distribution
        return None
    real = {
        name
        for name, kind in known.items()
        if kind.is_tensor and not kind.specifies_shape and name not in parts
    }
    settings = {n: v for n, v in there.items() if n not in real and n not in parts}
    try:
        numbers = {n: np.asarray(v, float) for n, v in there.items() if n in real}
        hash(tuple(settings.items()))
        inspect.signature(type(distribution).__init__).bind(None, **there)
    except (TypeError, ValueError):  # arguments that are neither, or not its own
        return None
    return numbers, parts, settings


def rebuilt(family: Family, numbers: Any) -> Any:
    """A distribution of float64 from its numbers, one tensor [K]."""
    if isinstance(family.source, _AsItIs):
        return family.source.given
    names, shapes = [n for n, _ in family.numbers], [s for _, s in family.numbers]
    sizes = [int(np.prod(s)) for s in shapes] + [part.size for _, part in family.parts]
    each = tf.split(numbers, sizes) if sizes else []
    own = {n: tf.reshape(v, s) for n, v, s in zip(names, each, shapes)}
    below = zip(family.parts, each[len(names) :], strict=True)
    parts = {name: rebuilt(part, values) for (name, part), values in below}
    return family.source(**own, **parts, **dict(family.settings))
