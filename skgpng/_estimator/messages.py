"""What a user is told: why training could not go on, and whether its result is of use.

Each function gives a sentence or two that name cause and remedy, or "" where there is nothing to
say. Facts come from :mod:`skgpng._estimator.diagnosis`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import kernels
from .._inference.covariances import jitter_units
from .._training import result as endings
from .._training.result import Result
from . import starts
from .diagnosis import (
    at_bounds,
    explained_share,
    likely_cause,
    lone_row,
    lone_value,
    lost_to_float32,
)
from .plan import Plan, differs
from .starts import as_regression

__all__ = ["no_start", "not_factorised", "warning"]

# A fit that explains less of the variance of y is of no use, nor is one with more jitter than so
# much of the mean square of y.
_EXPLAINS_NOTHING, _SWAMPS = 0.01, 0.03
# Share of rows that have copies which is worth a warning.
_MANY_COPIES = 0.05
# Rows for each coefficient of a linear mean: of fewer, a third of the noise or more is fitted.
_ROWS_A_COEFFICIENT = 3
# Rows of which less than this share of the variance is missed are gone through.
_HARDLY = 0.1
# So many nats a row (and in all, which a prior may cost) below the best ELBO are worth a warning.
_MUCH, _MUCH_IN_ALL = 0.02, 10.0


# --- training could not begin or go on -------------------------------------------------------


def no_start(plan: Plan) -> str:
    """For an objective that is not finite at the start."""
    return (
        "The objective is not finite at the initial hyperparameters: the kernel matrix cannot be "
        f"factorised. {_advice(plan)}, or start from another kernel (now {plan.problem.kernel})."
    )


def not_factorised(plan: Plan) -> str:
    """For learned hyperparameters at which nothing can be predicted."""
    return (
        "The kernel matrix cannot be factorised with the hyperparameters learned: rows of X are "
        f"equal but for rounding beside the others. {_advice(plan)}."
    )


def warning(plan: Plan, result: Result, p: Any) -> str:
    """What to warn of after a training that gave the posterior p."""
    end = _ENDS.get(int(result.status))
    if result.status == endings.LOST:
        return _lost(result)
    if end is None:
        said = _concern(plan, result, p)
    else:
        cause = _cause_in_data(plan, result, p) if result.status == endings.MAX_ITER else ""
        said = f"{end(plan, int(np.isfinite(result.elbo_curve).sum()))} {cause}".rstrip()
    if result.status == endings.INTERRUPTED:
        return said
    return " ".join(filter(None, (said, _values_at_bounds(plan, result))))


def _at_max_iter(plan: Plan, n_iter: int) -> str:
    return (
        f"Training stopped after {plan.settings.max_iter} steps, at "
        f"max_iter={plan.options.max_iter}, before the ELBO settled. Raise max_iter, or raise tol "
        "to stop earlier."
    )


def _not_finite(plan: Plan, n_iter: int) -> str:
    return (
        f"Training stopped after {n_iter} steps: beyond them the objective was not finite, however "
        f"short the steps; the last good state is kept. {_advice(plan)}, or lower learning_rate or "
        "gamma."
    )


def _stalled(plan: Plan, n_iter: int) -> str:
    return (
        f"L-BFGS stopped after {n_iter} steps short of the optimum: rounding hides the way up. "
        f"{_advice(plan)}, or set optimizer='adam'."
    )


def _interrupted(plan: Plan, n_iter: int) -> str:
    return (
        f"Training was interrupted after {n_iter} steps; what was learned so far is kept. "
        "warm_start=True goes on from here."
    )


def _lost(result: Result) -> str:
    n_iter = int(np.isfinite(result.elbo_curve).sum())
    return (
        f"Training stopped after {n_iter} steps, as rows could not be had: "
        f"{type(result.error).__name__}: {str(result.error).rstrip('.')}. What was "
        "learned so far is kept; warm_start=True goes on from here."
    )


_ENDS: dict[int, Callable[[Plan, int], str]] = {
    endings.MAX_ITER: _at_max_iter,
    endings.NON_FINITE: _not_finite,
    endings.STALLED: _stalled,
    endings.INTERRUPTED: _interrupted,
}


def _advice(plan: Plan) -> str:
    """The likely cause, where one is found in the data, and what else helps."""
    problem, rows = plan.problem, plan.problem.rows
    noise = np.full(len(rows.X), np.inf)
    if problem.likelihood.conjugate:
        least = tuple(p.bounds[..., 0] for p in problem.observation)
        noise = problem.likelihood.noise_of_rows(least, rows.row)
    cause = likely_cause(rows.X, rows.Y, noise, rows.weights, plan.options.dtype)
    return f"{f'{cause} Otherwise use' if cause else 'Use'} {_remedy(plan)}"


def _remedy(plan: Plan) -> str:
    """What makes a matrix easier to factorise; jitter is for inducing points only."""
    if plan.has_points:
        return f"a larger jitter (now {plan.options.jitter:g}), such as 1e-4"
    if plan.problem.likelihood.conjugate:
        return "more noise (alpha, or the noise_level of a WhiteKernel)"
    return "smaller values of X"


# --- training ended as it should, but its result may be of no use ----------------------------


def _cause_in_data(plan: Plan, result: Result, p: Any) -> str:
    """What in the data or the settings makes any fit useless."""
    rows, default = plan.problem.rows, plan.options.default_kernel
    return (
        lost_to_float32(rows.X)
        or _copies(plan, p)
        or (lone_row(rows.X, plan.data.X_scale) if default else "")
        or _unsuited_noise(plan, result)
        or _many_coefficients(plan)
        or _swamped(plan, result, p)
    )


def _concern(plan: Plan, result: Result, p: Any) -> str:
    """Of a fit that converged; cheap causes first."""
    cause = _cause_in_data(plan, result, p)
    if cause:
        return cause
    # beside a trend there may be nothing to explain
    share = np.ones(1) if plan.problem.trend is not None else _share(plan, result, p)
    if share.min() < (_EXPLAINS_NOTHING if _rows_predict(plan) else 2.0 * _EXPLAINS_NOTHING):
        return _nothing_explained(plan, result, p, share)
    fallen = _fallen(plan, result)
    if fallen:
        return (
            f"Training swung and ended {fallen:.3g} nats below an ELBO that it had reached. "
            "Lower learning_rate."
        )
    return ""


def _share(plan: Plan, result: Result, p: Any) -> np.ndarray:
    """Of the variance of each target that the fit explains, or of all of them."""
    rows = as_regression(plan.problem)[0]
    with np.errstate(all="ignore"):
        share = explained_share(p, rows[:3], _rows_predict(plan))
    return share.max(keepdims=True) if plan.problem.likelihood.mixes else share


def _rows_predict(plan: Plan) -> bool:
    """Whether rows predict each other, so that leaving one out tells what is explained."""
    inference = plan.structure.model.inference
    return inference.has_evidence or inference.gathers


def _copies(plan: Plan, p: Any) -> str:
    """Rows that predict their copies only, or what is at their own place."""
    if not plan.structure.model.inference.gathers:
        return ""
    share = p.share_of_copies()
    if share >= _MANY_COPIES:
        return (
            f"{100 * share:.0f} % of the rows are next to copies of others, with the same y: rows "
            "left out are predicted by their copies, so that noise and variances are far too "
            "small. Leave the copies out, or set n_neighbors=None."
        )
    # "auto" has looked before it took neighbours
    if plan.options.n_neighbors == "auto" or differs(plan.problem.rows.X):
        return ""
    return (
        "More than half of the rows of X are equal to others, so that the neighbours of a row are "
        "at its own place. Set n_neighbors=None."
    )


def _unsuited_noise(plan: Plan, result: Result) -> str:
    """A value of y that Gaussian noise does not suit, or noise that is given and far too small."""
    problem = plan.problem
    if not problem.likelihood.conjugate:
        return ""
    value = lone_value(problem.rows.Y)
    if value is not None:
        y = problem.units.shift[0] + problem.units.scale[0] * value
        return (
            f"One value of y ({y:.3g}) holds nearly all of its variance. Leave it out if it is an "
            "error, or set likelihood='student_t'."
        )
    if problem.learns_noise:
        return ""
    rows, noise, _ = as_regression(problem)
    gain, share = starts.missing_noise(
        problem.parsed, starts.Start(result.theta.kernel, noise), starts.less_mean(problem, rows)
    )
    if not gain:
        return ""
    white = problem.parsed.noise_name  # fixed, as nothing of the noise is learned
    free = f"give {white} bounds" if white else "leave alpha=None"
    return (
        f"The noise given ({problem.given_noise}) is far less than y scatters: with a noise of "
        f"{share:g} of its mean square the log evidence of some rows is {gain:.0f} nats higher. "
        f"Raise it, or {free} to learn it."
    )


def _many_coefficients(plan: Plan) -> str:
    """Of a linear mean that takes noise for a slope."""
    N, slopes = len(plan.problem.rows.X), [p for p in plan.parameters.mean if p.name == "slopes"]
    K = 1 + len(slopes[0].value) if slopes else 0
    if not plan.problem.learns_noise or N >= _ROWS_A_COEFFICIENT * K:
        return ""
    return (
        f"mean='linear' has {K} coefficients, for which {N} rows are few: noise is learned as a "
        "part of it, and standard deviations are too small. Set "
        "mean=sklearn.linear_model.RidgeCV(), whose residuals are of rows that it has not seen."
    )


def _swamped(plan: Plan, result: Result, p: Any) -> str:
    """Jitter that hides the function."""
    if not plan.has_points:
        return ""
    Y = as_regression(plan.problem)[0].Y
    units = jitter_units(p.kernel, p.values, p.points)
    jitter = float(result.report.jitter * np.max(units))
    if jitter <= _SWAMPS * max(float(np.mean(Y**2)), np.finfo(float).tiny):
        return ""
    return (
        f"The jitter of the inducing points, {result.report.jitter:g} of a prior variance of "
        f"{np.max(units):.3g}, is not small beside y. Scale the columns of X (StandardScaler), "
        "multiply the kernel by a constant, or set a smaller jitter such as 1e-12."
    )


def _nothing_explained(plan: Plan, result: Result, p: Any, share: np.ndarray) -> str:
    """A fit that explains next to nothing of y."""
    problem, scales = plan.problem, _advice_on_scales(plan)
    if problem.likelihood.support == "labels":
        return (
            "The fit tells the classes apart nowhere: its probabilities are next to the same for "
            f"all rows. If the labels depend on X, {scales}."
        )
    target = int(np.argmin(share))
    y = f"y[:, {target}]" if len(share) > 1 else "y"
    noise = _noise_beside(plan, result, target)
    if plan.structure.model.inference.has_evidence and _goes_through(plan, result, p, target):
        return _stands_alone(plan, y, noise)
    if noise > 1.0 and (not problem.learns_noise or problem.rows.row.any()):
        return (
            f"The fit explains next to nothing of {y}: the noise given (alpha or noise_variance, "
            f"in the units of y squared), {noise:.3g} times its variance, hides everything. Make "
            "it smaller, or leave alpha=None to learn it."
        )
    raw = "" if problem.spread == 1.0 else ", or set normalize_y=True"
    return (
        f"The fit explains next to nothing of {y}, it calls everything noise. If {y} depends on "
        f"X, {scales}{raw}."
    )


def _noise_beside(plan: Plan, result: Result, target: int) -> float:
    """Mean noise level of the rows in the variance of a target; 0 where there is none."""
    problem, values = plan.problem, result.theta.likelihood
    if problem.likelihood.noise is None:
        return 0.0
    level = np.asarray(problem.likelihood.noise_level(values))
    if problem.likelihood.conjugate:
        level = problem.likelihood.noise_of_rows(values, problem.rows.row)
    return float(np.mean(level) / np.var(problem.rows.Y[:, target]))


def _goes_through(plan: Plan, result: Result, p: Any, target: int) -> bool:
    """Whether an exact fit misses next to nothing of each row of a target."""
    rows = plan.problem.rows
    noise = plan.problem.likelihood.noise_of_rows(result.theta.likelihood, rows.row)
    missed = noise / rows.weights * p.weights[:, target]
    return bool(np.mean(missed**2) < _HARDLY * np.var(rows.Y[:, target]))


def _stands_alone(plan: Plan, y: str, noise: float) -> str:
    """Rows that tell nothing about each other."""
    begin = f"The fit goes through every row of {y} but learns nothing from one row for another."
    if plan.problem.learns_noise:
        default = "" if plan.options.default_kernel else ", or leave kernel=None"
        return (
            f"{begin} Its length scales are far below the distances between rows: "
            f"{_advice_on_scales(plan)}{default}. Where y does not depend on X there is nothing to "
            "learn."
        )
    return (
        f"{begin} The noise given ({plan.problem.given_noise}), {noise:.1g} of the variance of "
        f"{y}, may be too small: raise it, or leave alpha=None to learn it."
    )


def _advice_on_scales(plan: Plan) -> str:
    """What helps where length scales suit neither X nor y."""
    more = "" if plan.options.n_restarts_optimizer >= 5 else ", or set n_restarts_optimizer=5"
    if plan.has_points:
        more += ", or take more inducing points (n_inducing)"
    return f"scale the columns of X (StandardScaler), begin with other length scales{more}"


def _fallen(plan: Plan, result: Result) -> float:
    """Nats between the largest ELBO of all rows and the last one, where they are many."""
    curve = result.elbo_curve[np.isfinite(result.elbo_curve)][plan.tuning.part.steps :]
    if plan.structure.how.minibatch or plan.held_out is not None or not len(curve):
        return 0.0
    fallen = float(curve.max() - curve[-1])
    much = max(_MUCH * plan.problem.rows.weights.sum(), _MUCH_IN_ALL)
    return fallen if fallen > much else 0.0


def _values_at_bounds(plan: Plan, result: Result) -> str:
    """Of hyperparameters of a kernel that is given which ended at a bound, and what helps."""
    problem, parsed, likelihood = plan.problem, plan.problem.parsed, plan.problem.likelihood
    if plan.options.default_kernel or plan.options.optimizer is None:
        return ""
    names, values, bounds = parsed.names, result.theta.kernel, kernels.ends(parsed)
    if parsed.noise_name is not None:
        names = (*names, parsed.noise_name)
        values = (*values, np.asarray(likelihood.noise_level(result.theta.likelihood)))
        low, high = (likelihood.noise_level((b,)) for b in problem.observation[0].bounds)
        # noise that is next to nothing is as good as none; fixed noise ends nowhere
        low = low if low == high or low > 1e-3 * np.mean(problem.rows.Y**2) else 0.0
        bounds = (*bounds, np.array([low, high]))
    found = at_bounds(names, values, bounds)
    advice = "Set the bounds of the kernel (such as length_scale_bounds) wider, scale X and y to "
    return f"{found} {advice}suit them, or fix the value there." if found else ""
