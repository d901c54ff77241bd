"""From a problem to the best of its trainings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from .._training import result as endings
from .._training import stages, vector
from .._training.result import Result
from ..kernels import ParsedKernel
from ..parameters import DensityPrior, Hyperparameters, Parameters
from . import starts
from .monitor import EarlyStopping, Monitor, progress_line
from .plan import Plan
from .problem import Problem, Rows
from .theta import optimizer_of
from .tuning import Tuning

__all__ = ["Run", "best_run", "check_restarts", "hold_out", "look", "start_parameters"]


class Run(NamedTuple):
    """Training from one start."""

    score: float  # final objective, or best held-out score
    result: Result
    validation_scores: np.ndarray | None
    elbo: float  # of the state kept, which with early stopping need not be the last one

    def interrupted(self) -> Run:
        """The same, ended by the user."""
        return self._replace(result=self.result._replace(status=endings.INTERRUPTED))

    def ended_as(self, last: Result) -> Run:
        """The same, with what ended the last training."""
        result = self.result._replace(status=last.status, error=last.error)
        return self._replace(result=result)


# --- before training -------------------------------------------------------------------------


def hold_out(rows: Rows, share: float, by_label: bool, rng: Any) -> tuple[Rows, Rows]:
    """Rows to train on and rows to stop by."""
    stratify = rows.Y[:, 0] if by_label else None
    try:
        train, held_out = train_test_split(
            np.arange(len(rows.X)), test_size=share, stratify=stratify, random_state=rng
        )
    except ValueError as error:
        raise ValueError(
            f"early_stopping cannot hold out validation_fraction={share} of {len(rows.X)} rows: "
            f"{error}"
        ) from error
    return rows.some(np.sort(train)), rows.some(np.sort(held_out))


def look(problem: Problem, has_points: bool) -> Problem:
    """Begin with the best of a handful of starts, see :mod:`skgpng._estimator.starts`."""
    rows, noise, bounds = starts.as_regression(problem)
    rows = starts.less_mean(problem, rows)
    # the evidence of some rows says little of the noise that inducing points leave
    known = problem.observation and isinstance(problem.observation[0].prior, DensityPrior)
    bounds = None if has_points or known else bounds
    given = starts.Start(problem.parsed.values, noise)
    scale_prior = problem.likelihood.conjugate
    start = starts.best_start(_held(problem.parsed), given, rows, bounds, scale_prior)
    problem = problem._replace(parsed=problem.parsed.with_values(start.values))
    if start.noise == noise:
        return problem
    level, *others = problem.observation
    return problem._replace(observation=(level._replace(value=start.noise), *others))


def _held(parsed: ParsedKernel) -> ParsedKernel:
    """With bounds that keep what the user has a prior of: it begins where he says."""
    return parsed._replace(
        parameters=tuple(
            p._replace(bounds=np.stack([p.value, p.value], -1))
            if isinstance(p.prior, DensityPrior)
            else p
            for p in parsed.parameters
        )
    )


def start_parameters(plan: Plan, rng: np.random.RandomState) -> list[Parameters]:
    """Where training begins: the values given, then ``n_restarts_optimizer`` draws."""
    goes_on = plan.options.optimizer is None or plan.problem.start in ("warm", "on")
    n_draws = 0 if goes_on else plan.options.n_restarts_optimizer
    _check_draws(n_draws, (p.bounds for p in plan.parameters.leaves if not p.real))
    return [plan.parameters, *(_drawn(plan.parameters, rng) for _ in range(n_draws))]


def check_restarts(kernel: Any, n_draws: int) -> None:
    """ValueError where the bounds of a kernel leave nowhere to draw from."""
    free = [h for h in kernel.hyperparameters if not h.fixed] if n_draws else []
    _check_draws(n_draws, (np.asarray(h.bounds, float) for h in free))


def _check_draws(n_draws: int, bounds: Iterable[np.ndarray]) -> None:
    if n_draws and not all(map(_can_draw, bounds)):
        raise ValueError(
            f"n_restarts_optimizer={n_draws} requires that all bounds are finite, and positive: "
            "start values of the hyperparameters are drawn between them."
        )


def _drawn(parameters: Parameters, rng: np.random.RandomState) -> Parameters:
    """The same with positive values drawn between their bounds."""
    kernel, likelihood, mean = (
        tuple(p.value if p.real else _log_uniform(p.bounds, rng) for p in part)
        for part in parameters[:3]
    )
    return parameters.at(Hyperparameters(kernel, likelihood, parameters.inducing_points, mean))


def _can_draw(bounds: np.ndarray) -> bool:
    """Whether :func:`_log_uniform` can: the logarithms of bounds [..., 2] are finite, or equal."""
    low, high = np.moveaxis(bounds, -1, 0)
    return bool(np.all(np.isfinite(bounds)) and np.all((low > 0) | (low == high)))


def _log_uniform(bounds: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Values drawn between the bounds [..., 2], uniform in their logarithm."""
    low, high = np.moveaxis(bounds, -1, 0)
    fixed = low == high  # also where a value is fixed at zero
    low, high = np.where(fixed, 1.0, low), np.where(fixed, 1.0, high)
    return np.where(fixed, bounds[..., 0], np.exp(rng.uniform(np.log(low), np.log(high))))


# --- training --------------------------------------------------------------------------------


def best_run(
    plan: Plan,
    begin: list[Parameters],
    last: Any,
    monitors: list[Monitor],
    tuning: Tuning,
    shown: str = "",
) -> Run:
    """Train from each start; Ctrl-C and callbacks end it with the best so far.

    ``last`` is the posterior of the fit before, from which q may go on, or None; ``shown`` the
    name on a line of progress, if there is to be one.
    """
    best = None
    for k, parameters in enumerate(begin, 1):
        name = f"{shown}, start {k} of {len(begin)}" if shown and len(begin) > 1 else shown
        try:
            with progress_line(name, plan.settings.max_iter) as line:
                watch = [*line, *monitors]
                run = _run(plan._replace(parameters=parameters), last, watch, tuning)
        except KeyboardInterrupt:  # before the first steps from this start
            if best is None:
                raise
            return best.interrupted()
        best = run if best is None or run.score > best.score else best
        if run.result.status in (endings.INTERRUPTED, endings.LOST):
            return best.ended_as(run.result)
        if run.result.status == endings.STOPPED:
            break
    assert best is not None
    return best


def _run(plan: Plan, last: Any, monitors: list[Monitor], tuning: Tuning) -> Run:
    """Train from one start."""
    stopping = None if plan.held_out is None else _early_stopping(plan)
    model, parameters = plan.structure.model, plan.parameters
    q = model.inference.start_q(model, parameters.values, plan.data.weights, last)
    result = stages.train(
        plan.structure,
        parameters,
        plan.stages(q),
        monitors if stopping is None else [*monitors, stopping],
        tuning.call_every if stopping is None else max(tuning.score_every, plan.epoch),
        optimizer_of(plan),
    )
    if stopping is not None:
        return _best_of(stopping, result)
    finite = result.elbo_curve[np.isfinite(result.elbo_curve)]
    elbo = float(finite[-1]) if len(finite) else -np.inf
    return Run(vector.objective(parameters, result.theta, elbo), result, None, elbo)


def _early_stopping(plan: Plan) -> EarlyStopping:
    options = plan.options
    return EarlyStopping(
        lambda result: _held_out_score(plan, result), options.n_iter_no_change, options.tol
    )


def _best_of(rule: EarlyStopping, result: Result) -> Run:
    """The run that early stopping keeps."""
    if not rule.scores:  # Ctrl-C came before the first look
        rule(result)
    assert rule.best is not None
    finite = rule.best.elbo_curve[np.isfinite(rule.best.elbo_curve)]
    scores, elbo = np.array(rule.scores), float(finite[-1]) if len(finite) else -np.inf
    # rows may be predicted from a start whose own ELBO is not finite
    score = scores.max() if np.isfinite(elbo) else -np.inf
    return Run(score, rule.result(result), scores, elbo)


def _held_out_score(plan: Plan, result: Result) -> float:
    """Mean log predictive density of the held-out rows, in nats per unit of the scaled y."""
    rows, likelihood = plan.held_out, plan.problem.likelihood
    assert rows is not None
    moments = plan.posterior(result).mean_and_variance(rows.X)
    density = likelihood.predict_log_density(result.theta.likelihood, *moments, rows.Y, rows.row)
    return float(np.average(np.sum(density, 1), weights=rows.weights))
