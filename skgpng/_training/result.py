"""How a training ended and what it found."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..parameters import Hyperparameters

__all__ = [
    "CONVERGED",
    "INTERRUPTED",
    "MAX_ITER",
    "NON_FINITE",
    "STALLED",
    "STOPPED",
    "Report",
    "Result",
]

#: Ended by its stopping rule.
CONVERGED = 0
#: Used up its steps.
MAX_ITER = 1
#: Could not go on: the objective was not finite, whatever was tried.
NON_FINITE = 2
#: The user interrupted it (Ctrl-C).
INTERRUPTED = 3
#: A monitor ended it: early stopping or a callback.
STOPPED = 4
#: Could not climb although the slope says so: rounding hides the way.
STALLED = 5


class Report(NamedTuple):
    """What it took to train.

    Attributes
    ----------
    jitter : float
        Used in the end, in units of the prior variance.
    n_rejected : int
        Steps that led to a state without a finite ELBO and were taken back.
    n_corrected : int
        Natural-gradient steps that were corrected to leave q a positive definite precision.
    """

    jitter: Any = 0.0
    n_rejected: Any = 0
    n_corrected: Any = 0


class Result(NamedTuple):
    """What training gives; NumPy.

    Attributes
    ----------
    theta : Hyperparameters
    variational : tuple of arrays
        ``(nat1, nat2)`` for "svgp" and "sgpr" (whose nat2 is one matrix), ``(site_mean,
        site_precision)`` [N, L] each for "vgp", else empty.
    elbo_curve : array of shape (n_iter,)
        Without the steps that were taken back.
    status : int
        ``CONVERGED``, ``MAX_ITER``, ``NON_FINITE``, ``INTERRUPTED``, ``STOPPED`` or ``STALLED``.
    report : Report
    """

    theta: Hyperparameters
    variational: tuple
    elbo_curve: Any
    status: int
    report: Report = Report()
