"""Functions drawn from what a fitted estimator knows."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from .._inference.pathwise import drawn_functions
from .._runtime import outside_graphs
from .conditioning import copy_of
from .validation import check_finite, without_axis

__all__ = ["SampledFunctions"]


class SampledFunctions:
    """Functions drawn by ``sample_functions``: call it with rows.

    It holds a copy of the estimator, so that fitting that anew changes nothing, and can be pickled.

    Attributes
    ----------
    n_samples : int
        Functions.
    """

    def __init__(self, fitted: Any, n_samples: int, random_state: Any) -> None:
        self.n_samples = n_samples
        self._fitted = copy_of(fitted)
        posterior = self._fitted._predictor.posterior
        self._drawn = drawn_functions(posterior, n_samples, check_random_state(random_state))

    def __repr__(self) -> str:
        """As it was asked for."""
        return f"<{self.n_samples} functions drawn from {self._fitted!r}>"

    @outside_graphs
    def __call__(self, X: Any, **known: Any) -> np.ndarray:
        """Values at rows, the same whenever they are asked for.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        **known : array-like of shape (n_rows,)
            As in ``predict``: ``exposure``.

        Returns
        -------
        ndarray of shape (n_rows, n_samples) or (n_rows, n_targets, n_samples)
            In the units of y, without noise; of a classifier probabilities
            (n_rows, n_classes, n_samples).
        """
        X, model = self._fitted._validate_new(X), self._fitted._predictor
        row, F = model.rows_known(known, len(X)), self._drawn(X)
        check_finite((F.reshape(len(X), -1),), X)
        mean = model.mean_given(F, X, row)
        if model.likelihood.support == "labels":
            return mean if mean.shape[1] > 1 else np.concatenate([1.0 - mean, mean], 1)
        return without_axis(mean)
