"""A validated fit: what the likelihood makes of y, and the kernel of X."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..inducing import merge_equal_rows
from ..kernels import ParsedKernel
from ..likelihoods import Likelihood, Units
from ..means import Mean
from ..parameters import Parameter

__all__ = ["Problem", "Rows"]


class Rows(NamedTuple):
    """Rows to learn from."""

    X: np.ndarray  # [N, D]
    Y: np.ndarray  # [N, P], encoded or scaled
    weights: np.ndarray  # [N], positive
    row: np.ndarray  # [N, R], what the likelihood knows of each row

    def some(self, chosen: Any) -> Rows:
        """Some of the rows."""
        return Rows(*(a[chosen] for a in self))

    def and_then(self, others: Rows) -> Rows:
        """These rows and others."""
        return Rows(*(np.concatenate(pair) for pair in zip(self, others, strict=True)))

    def merged(self) -> Rows:
        """With one row, and the weight of all, for those that are equal."""
        first, weights = merge_equal_rows(self.weights, self.X, self.Y, self.row)
        return self.some(first)._replace(weights=weights)


class Problem(NamedTuple):
    """What the estimators hand to training."""

    rows: Rows
    likelihood: Likelihood
    observation: tuple[Parameter, ...]  # of the likelihood
    mean_function: Mean  # of the latent functions
    mean: tuple[Parameter, ...]  # of that
    n_latent: int
    kernel: Any  # scikit-learn's
    parsed: ParsedKernel
    units: Units
    spread: float  # variance of Y: 1 where it is scaled
    noise_start: float  # noise level to begin with, a variance on the scale of Y; 0 for none
    fixed_noise: float  # known noise variance of every row, a part of rows.row
    given_noise: str  # what fixes the noise, for messages
    trend: Any  # a fitted regressor, whose predictions are taken from y, or None
    start: str  # "fresh", "warm" (warm_start), "first" or "on" (calls of partial_fit)
    n_rows: int = 0  # as handed over, those of earlier calls among them; equal ones are not merged
    elsewhere: Any = None  # RowsElsewhere, of which the rows are a sample; None where they are all
    sampled: int = 0  # rows at hand, where the rest of them is left out
    label_weights: np.ndarray | None = None  # [C], part of the weights of rows of each class

    @property
    def n_all(self) -> int:
        """Rows that training adds up."""
        return len(self.rows.X) if self.elsewhere is None else self.elsewhere.n_rows

    @property
    def total_weight(self) -> float:
        """Of these."""
        far = self.elsewhere
        return float(self.rows.weights.sum()) if far is None else far.total_weight

    def weights_for_all(self, rows: Rows) -> np.ndarray:
        """Weights of some of the rows that are elsewhere, so that they stand for all of them.

        ``total_weight`` is of ``sample_weight``, to which weights of classes come.
        """
        given = rows.weights
        if self.label_weights is not None:
            given = given / self.label_weights[rows.Y[:, 0].astype(int)]
        return rows.weights * (self.total_weight / given.sum())

    @property
    def learns_noise(self) -> bool:
        """Whether there is a noise level that training moves."""
        return self.likelihood.noise is not None and self.observation[0].free
