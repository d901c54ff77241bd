"""How a training ended, and what it gives."""

from __future__ import annotations

from typing import Any, NamedTuple

from .parameters import Hyperparameters

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

#: Status of a training that ended by its stopping rule.
CONVERGED = 0
#: Status of a training that used up its steps.
MAX_ITER = 1
#: Status of a training that could not go on: its objective was not finite whatever was tried.
NON_FINITE = 2
#: Status of a training that the user interrupted (Ctrl-C).
INTERRUPTED = 3
#: Status of a training that its monitor ended: early stopping or a callback.
STOPPED = 4
#: Status of a training that could not climb although the slope says so: rounding hides the way.
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
    """What training gives.

    Attributes
    ----------
    theta : Hyperparameters
        Positive values.
    variational : tuple of tensors
        q, in the form of its model.
    elbo_curve : tensor of shape (n_iter,)
        Without the steps that were taken back.
    status : int
        ``CONVERGED``, ``MAX_ITER``, ``NON_FINITE``, ``INTERRUPTED``, ``STOPPED`` or ``STALLED``.
    report : Report
    """

    theta: Hyperparameters
    variational: tuple
    elbo_curve: Any
    status: Any
    report: Report = Report()
