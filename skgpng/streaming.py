r"""Learning from a stream of rows: what is kept, and when hyperparameters move.

What rows say about the function goes into the distribution at the inducing points. As long as
these and the hyperparameters stay, that is exact; where they move, the distribution has to be
carried over (streaming sparse approximation: Bui, Nguyen & Turner 2017), and a little is lost each
time: with both trained on each of 20 chunks of kin8nm the held-out log density ends 0.3 nats below
that of one ``fit``. So the first rows are kept, up to :func:`capacity`, and trained on together.
From then on no row is kept, and hyperparameters and inducing points move for rows only that the
inducing points do not reach.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import posterior
from .kernels import KernelStructure

__all__ = ["Stream", "capacity", "unexplained_share"]

# Trained again when the kept rows have become more by this factor.
_GROWTH = 1.5
# Rows are out of reach where their unexplained share of the prior variance exceeds that of the
# rows trained on by this factor and by this much.
_FACTOR, _MARGIN = 1.5, 0.02
# The share is a mean over rows: this many are enough.
_SAMPLE = 2000


class Stream(NamedTuple):
    """What is known of the rows seen so far.

    Attributes
    ----------
    rows : tuple of ndarrays, or ()
        X, Y, weights and row noise of all rows, as long as they are kept.
    n_seen : float
        A row of weight 2 counts as two rows.
    n_trained : float
        Rows at hand when the hyperparameters last moved.
    unexplained : float
        Of these rows, see :func:`unexplained_share`.
    """

    rows: tuple
    n_seen: float
    n_trained: float
    unexplained: float

    def has_grown(self, n_rows: float) -> bool:
        """Whether so many rows are many more than those last trained on."""
        return n_rows >= _GROWTH * self.n_trained

    def reaches(self, share: float) -> bool:
        """Whether rows with this unexplained share are explained as those trained on were."""
        return share <= _FACTOR * self.unexplained + _MARGIN


def capacity(n_inducing: int) -> int:
    """Rows that are kept at most.

    kin8nm, 256 inducing points, held-out log density of one fit 1.104: all rows, with
    hyperparameters and inducing points from 2048, 3072, 4096 of them, give 1.034, 1.056, 1.070
    (``examples/benchmarks/streaming.py kin8nm --first-rows 2048 3072 4096``).

    Examples
    --------
    >>> from skgpng.streaming import capacity
    >>> capacity(256)
    4096
    """
    return max(2048, 16 * n_inducing)


def unexplained_share(
    kernel: KernelStructure,
    values: tuple,
    p: posterior.Posterior,
    X: np.ndarray,
    weights: np.ndarray,
) -> float:
    """Mean share of the prior variance at rows X [N, D] that the inducing points leave open.

    Averaged over latent functions too; near 1 where rows are far from every inducing point.
    """
    every = -(-len(X) // _SAMPLE)
    X, weights = X[::every].astype(np.float64, copy=False), weights[::every]
    K = posterior.covariance_of_each(kernel, values, p.points, X).numpy()  # [1 or L, M, N]
    explained = np.sum(posterior.whitened(p, K) ** 2, 1)
    share = 1.0 - explained / posterior.prior_variance(kernel, values, X)
    return float(np.average(share.mean(0), weights=weights))
