"""How a training ended and what it found."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..parameters import Hyperparameters

__all__ = [
    "CONVERGED",
    "INTERRUPTED",
    "LOST",
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
#: Rows that are elsewhere could not be had.
LOST = 6


class Report(NamedTuple):
    """What it took to train."""

    jitter: Any = 0.0  # used in the end, in units of the prior variance
    n_rejected: Any = 0  # steps to a state without a finite ELBO, which were taken back
    n_corrected: Any = 0  # natural-gradient steps corrected to keep the precision of q positive


class Result(NamedTuple):
    """What training gives; NumPy."""

    theta: Hyperparameters
    variational: tuple  # q, see q_form of the model
    elbo_curve: Any  # [n_iter], without the steps that were taken back
    status: int  # one of the above
    report: Report = Report()
    error: Exception | None = None  # by which rows were lost
