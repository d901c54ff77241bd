"""A validated fit: what the likelihood makes of y, and the kernel of X."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..kernels import ParsedKernel
from ..likelihoods import Likelihood, Units
from ..parameters import Parameter

__all__ = ["Problem", "Rows"]


class Rows(NamedTuple):
    """Rows to learn from.

    Attributes
    ----------
    X : ndarray of shape (N, D)
    Y : ndarray of shape (N, P)
        Encoded or scaled targets.
    weights : ndarray of shape (N,)
        Positive.
    row : ndarray of shape (N, R)
        What the likelihood knows of each row, see ``Likelihood.row_names``.
    """

    X: np.ndarray
    Y: np.ndarray
    weights: np.ndarray
    row: np.ndarray

    def some(self, chosen: Any) -> Rows:
        """Some of the rows."""
        return Rows(*(a[chosen] for a in self))

    def and_then(self, others: Rows) -> Rows:
        """These rows and others."""
        return Rows(*(np.concatenate(pair) for pair in zip(self, others, strict=True)))


class Problem(NamedTuple):
    """What the estimators hand to training.

    Attributes
    ----------
    rows : Rows
    likelihood : Likelihood
    observation, mean : tuple of Parameter
        Of the likelihood and of the mean function.
    n_latent : int
    kernel : sklearn.gaussian_process.kernels.Kernel
    parsed : ParsedKernel
    units : Units
        y = shift + scale * Y.
    spread : float
        Variance of Y that the unit of y leaves: 1 where it is scaled.
    noise_start : float
        Noise level that training begins with, a variance on the scale of Y; 0 where there is none.
    fixed_noise : float
        Known noise variance of every row, a part of ``rows.row``.
    given_noise : str
        What fixes the noise, for messages.
    start : {"fresh", "warm", "first", "on"}
        Anew, from where the last fit ended (``warm_start``), the first call of ``partial_fit``, or
        a later one.
    """

    rows: Rows
    likelihood: Likelihood
    observation: tuple[Parameter, ...]
    mean: tuple[Parameter, ...]
    n_latent: int
    kernel: Any
    parsed: ParsedKernel
    units: Units
    spread: float
    noise_start: float
    fixed_noise: float
    given_noise: str
    start: str

    @property
    def learns_noise(self) -> bool:
        """Whether there is a noise level that training moves."""
        return self.likelihood.noise is not None and self.observation[0].free
