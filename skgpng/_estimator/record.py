"""What is remembered of a fit, for people: plain numbers and text beside what was learned."""

from __future__ import annotations

from typing import Any

import numpy as np

from .plan import Options, Plan, differs

__all__ = ["FIELDS", "announced", "count_rows", "of_fit", "reason"]

#: What a record holds.
FIELDS = {
    *("model", "why", "objective", "rows", "sampled", "held_out", "optimizer", "starts", "noise"),
    *("y_variance", "jitter", "warning"),
}

_OPTIMIZERS = {"adam": "Adam", "lbfgs": "L-BFGS", "own": "an optimizer of the user's own"}


def of_fit(plan: Plan, before: dict | None = None) -> dict:
    """The record of a training, without its warning.

    Parameters
    ----------
    plan : Plan
    before : dict, optional
        That of the calls of ``partial_fit`` with which this one goes on: where rows are not kept,
        these told the variance of y.

    Returns
    -------
    dict
        ``model``, ``why`` and ``objective``: text; ``rows``: handed to fit, with a weight above
        zero; ``sampled``: of these that were learned from, 0 for all; ``held_out``: of these for
        early stopping; ``optimizer``: text; ``starts``; ``noise``: "learned", "given" or "";
        ``y_variance``: [P], of y less its ``mean``, in the units of y
        squared, or None where y has no noise of its own units; ``jitter``: to begin with;
        ``warning``: "".
    """
    inference, problem = plan.structure.model.inference, plan.problem
    kept = before if plan.structure.how.memory else None
    goes_on = plan.options.optimizer is None or problem.start in ("warm", "on")
    return {
        "model": inference.title,
        "why": reason(plan),
        "objective": _objective(inference),
        "rows": problem.n_rows,
        "sampled": problem.sampled,
        "held_out": 0 if plan.held_out is None else len(plan.held_out.X),
        "optimizer": _name_of(plan.optimizer) if plan.settings.learning_rate else "",
        "starts": 1 if goes_on else 1 + plan.options.n_restarts_optimizer,
        "noise": _noise(plan),
        "y_variance": _variance(plan) if kept is None else kept["y_variance"],
        "jitter": plan.options.jitter if inference.has_points else 0.0,
        "warning": "",
    }


def announced(plan: Plan) -> str:
    """What is about to be trained, and how."""
    title, how = plan.structure.model.inference.title, plan.structure.how
    points = ""
    if plan.has_points:
        points = f", {len(plan.parameters.inducing_points):,} inducing points"
    by = _name_of(plan.optimizer) if plan.settings.learning_rate else "hyperparameters held"
    unit = "blocks" if plan.structure.model.inference.gathers else "rows"
    batch = f", {int(plan.settings.batch_size):,} {unit} a step" if how.minibatch else ""
    where = f", on {how.device.removeprefix('/device:')}" if how.device else ""
    return f"{plan.problem.n_rows:,} rows, {title}{points}, as {reason(plan)}; {by}{batch}{where}"


def reason(plan: Plan) -> str:
    """Why this model was taken: what the user set, or what "auto" looked at."""
    options, inference = plan.options, plan.structure.model.inference
    most = f"{plan.tuning.auto_exact:,}"
    if inference.gathers:
        if options.n_neighbors != "auto":
            return f"n_neighbors={options.n_neighbors}"
        return f"there are more than {most} rows, and the noise is Gaussian"
    if options.n_inducing != "auto":
        return f"n_inducing={options.n_inducing}"
    if not inference.has_points:
        return f"there are at most {most} rows"
    if plan.problem.start in ("first", "on"):
        return "rows come in parts"
    return f"there are more than {most} rows, and {_against_neighbours(plan, options)}"


def _against_neighbours(plan: Plan, options: Options) -> str:
    """What speaks against neighbours, where "auto" may have taken them."""
    if not plan.problem.likelihood.conjugate:
        return "the likelihood is not Gaussian"
    if not options.n_neighbors:
        return f"n_neighbors={options.n_neighbors}"
    if not differs(plan.problem.rows.X):
        return "most of them repeat others"
    return "the kernel does not fall with a distance"


def _name_of(optimizer: str) -> str:
    return _OPTIMIZERS.get(optimizer, optimizer)


def _objective(inference: Any) -> str:
    """What ``elbo_`` is."""
    if inference.has_evidence:
        return "log evidence"
    return "log density of rows left out" if inference.gathers else "ELBO"


def _noise(plan: Plan) -> str:
    """Whether there is a level of noise, and where it is from."""
    if plan.problem.likelihood.noise is None:
        return ""
    return "learned" if plan.problem.learns_noise else "given"


def _variance(plan: Plan) -> np.ndarray | None:
    """Variance of each column of y [P], rows by their weights; NaN is what is missing."""
    problem = plan.problem
    if not problem.likelihood.scales:
        return None
    Y, scale = problem.rows.Y, problem.units.scale
    weights = np.where(np.isnan(Y), 0.0, problem.rows.weights[:, None])
    mean = np.average(np.nan_to_num(Y), 0, weights)
    with np.errstate(over="ignore"):  # y of 1e200: the honest variance is infinite
        return np.average(np.nan_to_num((Y - mean) ** 2), 0, weights) * scale**2


def count_rows(n_rows: int, sample_weight: Any) -> int:
    """Rows with a weight above zero."""
    if sample_weight is None:
        return n_rows
    return int(np.sum(np.broadcast_to(np.asarray(sample_weight, float), (n_rows,)) > 0))
