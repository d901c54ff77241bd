"""Mean functions of the latent functions."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._runtime import tf
from .parameters import Parameter

__all__ = ["Constant", "Mean", "Zero"]


class Mean(abc.ABC):
    """A function m(x) that is added to a latent function of mean zero; hashable."""

    @abc.abstractmethod
    def parameters(self, offset: np.ndarray) -> tuple[Parameter, ...]:
        """What is learned, from the constant [L] that suits the rows to begin with."""

    @abc.abstractmethod
    def added(self, values: tuple, f_mean: Any) -> Any:
        """The means [N, L] of f, from those of a latent function of mean zero."""


@dataclass(frozen=True)
class Zero(Mean):
    """No mean."""

    def parameters(self, offset: np.ndarray) -> tuple[Parameter, ...]:
        """None."""
        return ()

    def added(self, values: tuple, f_mean: Any) -> Any:
        """As they are."""
        return f_mean


@dataclass(frozen=True)
class Constant(Mean):
    """One number for each latent function, learned."""

    def parameters(self, offset: np.ndarray) -> tuple[Parameter, ...]:
        """The constants, [L]."""
        bounds = np.tile([-np.inf, np.inf], (len(offset), 1))
        return (Parameter("constant", np.asarray(offset, float), bounds, real=True),)

    def added(self, values: tuple, f_mean: Any) -> Any:
        """With the constants."""
        f_mean_of_all = f_mean + values[0]
        if isinstance(f_mean_of_all, np.ndarray):
            return f_mean_of_all
        return tf.ensure_shape(f_mean_of_all, f_mean.shape)  # L is known of f_mean only
