"""What takes the place of R^2 where squares are not what the likelihood goes by."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import d2_tweedie_score

__all__ = ["deviance_explained"]


def deviance_explained(y: Any, y_mean: Any, sample_weight: Any, power: int) -> float:
    """Share of the deviance that predictions explain, averaged over columns.

    :func:`sklearn.metrics.d2_tweedie_score` of each column, which takes one alone. Where y does
    not vary and there is no deviance, 1 if all predictions are right and else 0.
    """
    columns = zip(*(np.reshape(a, (len(a), -1)).T for a in (y, y_mean)), strict=True)
    return float(np.mean([_of_column(a, b, sample_weight, power) for a, b in columns]))


def _of_column(y: np.ndarray, y_mean: np.ndarray, sample_weight: Any, power: int) -> float:
    counted = y if sample_weight is None else y[np.asarray(sample_weight) > 0]
    if np.ptp(counted) == 0.0:
        return float(np.array_equal(y, y_mean))
    return float(d2_tweedie_score(y, y_mean, sample_weight=sample_weight, power=power))
