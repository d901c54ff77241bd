"""L-BFGS on the profile: the ELBO at the best q, as a function of the hyperparameters alone."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize

from .._inference import Data, Iterate, Structure
from .._runtime import compiled_once, map_leaves, tf
from . import vector
from .loop import (
    JITTER_TO,
    Settings,
    compiled,
    data_signature,
    more_jitter,
    packed,
    q_signature,
    unpacked,
)
from .result import CONVERGED, INTERRUPTED, MAX_ITER, NON_FINITE, STALLED, STOPPED, Report, Result

__all__ = ["Problem", "at_best_q", "compiled_profile", "maximise"]

# Natural-gradient steps at most for each value, and the change per row that is none.
_INNER_STEPS, _INNER_TOL = 30, 1e-9
# Where one value is asked for, they go on until its gradient, in nats, changes by no more.
# A fall of the value by less than the last number's share is rounding.
_MOST_ROUNDS, _SETTLED_GRADIENT, _ROUNDED, _GROWTH = 40, 1e-7, 1e-13, 2.0
# Steps that do not leap over an optimum (0.02 had not settled after all rounds).
_SHORT = 0.1
# Share of a value by which another optimum is a better one.
_BETTER = 1e-6
# It ends where an iteration gains less than this share of tol per row, or at a gradient per row of
# this size.
_FTOL, _GTOL = 1e-3, 1e-6
# A short step in a matrix at the edge of what can be factorised gains as little far from the
# optimum: 40 rows of a linear function with alpha=1e-10 var(y) ended 162 nats short at a slope per
# row of 2.3, where 22 fits of ten data sets ended at 1e-6 to 3e-4. Where the slope is steeper than
# the first number L-BFGS begins again from there, until that gains less than this share of tol per
# row, or so often. With a last slope beyond the third, rounding hides the way up (optima of 24
# functions with noise of 1e-10 to 1e-6 var(y) had 1e-5 to 1e-2, good fits of others to 0.1).
_FLAT, _SETTLED, _STEEP, _MOST_CLIMBS = 1e-3, 0.1, 0.3, 5


class _Value(NamedTuple):
    """Of the profile at some u; the gradient is zero in what is held."""

    elbo: Any
    value: Any
    gradient: Any
    q: tuple
    theta: Any


class Problem(NamedTuple):
    """What is to be maximised, as tensors."""

    structure: Structure
    form: vector.Form
    space: vector.Coordinates
    data: Data
    u: Any
    q: tuple


def _profile(
    structure: Structure,
    form: vector.Form,
    space: vector.Coordinates,
    data: Data,
    settings: Any,
    u: Any,
    q: tuple,
) -> _Value:
    """The profile at u.

    Natural-gradient steps find q, from the one that is given; at its optimum the gradient with q
    held is that of the profile (envelope theorem). Exact models need one step.
    """
    s, inference = unpacked(settings), structure.model.inference
    theta, derivative = vector.constrain(form, space, u)
    iterate = Iterate(*structure, theta, s.jitter, s.gamma, s.chunk_size)
    small = _INNER_TOL * tf.reduce_sum(data.weights)

    def step(q: tuple) -> tuple:
        found = inference.step(iterate, q, data)
        return found.value, vector.as_vector(found.g_theta) * derivative, found.q_next

    def body(k: Any, gain: Any, value: Any, g: Any, q: tuple) -> tuple:
        new, *others = step(q)
        return k + 1, tf.abs(new - value), new, *others

    def go_on(k: Any, gain: Any, value: Any, g: Any, q: tuple) -> Any:
        return tf.logical_and(k < _INNER_STEPS, tf.logical_not(gain < small))

    if inference.one_step:
        elbo, g, q = step(q)
    else:
        zero = tf.zeros([], u.dtype)
        begin = (tf.constant(0), zero + np.inf, zero - np.inf, tf.zeros_like(u), q)
        _, _, elbo, g, q = tf.while_loop(go_on, body, begin, parallel_iterations=1)
    value, g = vector.add_log_prior(form, space, u, elbo, g)
    return _Value(elbo, value, g * space.free, q, theta)


@compiled_once
def compiled_profile(structure: Structure, form: vector.Form) -> Any:
    """The profile of a structure, compiled at most once in a process."""
    return tf.function(
        functools.partial(_profile, structure, form),
        input_signature=(
            vector.signature(),
            data_signature(structure),
            tf.TensorSpec([len(Settings._fields) + 1], tf.float64),
            tf.TensorSpec([None], tf.float64),
            q_signature(structure),
        ),
        autograph=False,
    )


def at_best_q(problem: Problem, settings: Settings) -> tuple[float, np.ndarray]:
    """The profile at the u of the problem, and its gradient in the free entries of u.

    Minus infinity, and flat, where nothing can be factorised.
    """
    now = _settled(problem, settings, problem.u, problem.q)
    finite = np.isfinite(now.value + now.gradient.sum())
    return (now.value, now.gradient) if finite else (-np.inf, np.zeros_like(now.gradient))


def _settled(problem: Problem, settings: Settings, u: Any, q: tuple) -> _Value:
    """The profile at u, at the best of the q that steps from the one given end at.

    A likelihood that is not log-concave has several. Long steps into a wide prior end at one that
    calls rows wrong or outliers: 30 labels of which some may be wrong, under a variance of e^8,
    had -91 nats where short steps from the same q had -25.
    """
    found, model = _from(problem, settings, u, q, _GROWTH), problem.structure.model
    if model.inference.one_step or model.likelihood.log_concave:
        return found
    short = settings._replace(gamma=min(_SHORT, settings.gamma))
    other = _from(problem, short, u, q, 1.0)
    if not np.isfinite(found.value):
        return other
    # where both came to the same optimum, long steps are nearer to it
    return other if other.value > found.value + _BETTER * (1.0 + abs(found.value)) else found


def _from(problem: Problem, settings: Settings, u: Any, q: tuple, growth: float) -> _Value:
    """The profile at u, with q from that given on to where its gradient changes no more.

    Steps grow from round to round, up to 1. A round that ends below the one before is taken back,
    and from then on each that does halves the steps: under a prior that is wide beside what labels
    say, steps that suit most kernels swing for ever (30 rows, a variance of 400: 0.015 nats and a
    tenth of a nat in the gradient, up and down).
    """
    form, space, data = problem.form, problem.space, problem.data
    profile = compiled(compiled_profile, problem.structure, form)
    free, best, least = np.flatnonzero(space.free), None, -np.inf
    for _ in range(_MOST_ROUNDS):
        now = profile(space, data, packed(settings), u, q)
        value, gradient = float(now.value), now.gradient.numpy()[free]
        now = now._replace(elbo=float(now.elbo), value=value, gradient=gradient)
        if best is not None and not value >= least - _ROUNDED * abs(least):
            settings, q = settings._replace(gamma=0.5 * settings.gamma), best.q
            growth, least = 1.0, -np.inf  # that at its q is not known: it comes after the value
            continue
        change = np.inf if best is None else np.abs(gradient - best.gradient).max(initial=0.0)
        best, q, least = now, now.q, value
        settings = settings._replace(gamma=min(1.0, growth * settings.gamma))
        small = _SETTLED_GRADIENT * (1.0 + np.abs(gradient).max(initial=0.0))
        if problem.structure.model.inference.one_step or not change > small:
            break  # also where it is not a number
    assert best is not None
    return best


class _Objective:
    """Minus the objective per row as a function of the free entries of u, for SciPy."""

    def __init__(
        self, problem: Problem, settings: Settings, monitors: Sequence[Callable], every: int
    ) -> None:
        self._problem, self._settings, self._numbers = problem, settings, packed(settings)
        self._profile = compiled(compiled_profile, problem.structure, problem.form)
        self._monitors, self._every = monitors, every
        self._u, self._free = problem.u.numpy(), np.flatnonzero(problem.space.free)
        self._n_rows = float(np.sum(problem.data.weights))
        theta, _ = vector.constrain(problem.form, problem.space, problem.u)
        #: With the largest value so far, at the start any.
        self.best = _Value(-np.inf, -np.inf, None, problem.q, theta)
        #: Its ELBO after each iteration.
        self.curve: list[float] = []
        self.stopped = False  # by a monitor
        self._report, self._n_rejected, self._looked_at = Report(), 0, 0
        self._last: tuple | None = None

    def start(self) -> tuple[np.ndarray, list]:
        """First point and bounds."""
        space = self._problem.space
        low, high = (b.numpy()[self._free] for b in (space.low, space.high))
        return np.clip(self._u[self._free], low, high), list(zip(low, high))

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient; SciPy begins where it was called already."""
        if self._last is None or not np.array_equal(x, self._last[0]):
            self._last = x.copy(), self._at(x)
        return self._last[1]

    def _at(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        now = self.at(x)
        if now is None:  # a wall, for the line search to step back from
            return (1e3 - self.best.value) / self._n_rows, np.zeros_like(x)
        if now.value > self.best.value:
            self.keep(now)
        return -now.value / self._n_rows, -now.gradient / self._n_rows

    def at(self, x: np.ndarray, settled: bool = False) -> _Value | None:
        """Everything at x, in nats; None where it is not finite. ``settled``: at the best q."""
        u = self._u.copy()
        u[self._free] = x
        if settled:
            now = _settled(self._problem, self._settings, tf.constant(u), self.best.q)
        else:
            now = self._evaluate(tf.constant(u))
        if np.isfinite(now.value + now.gradient.sum()):
            return now
        self._n_rejected += 1
        return None

    def keep(self, now: _Value) -> None:
        """Make this the state of the result."""
        self.best = now
        self._report = Report(float(self._settings.jitter), self._n_rejected)

    def _evaluate(self, u: Any) -> _Value:
        """With the gradient in the free entries; at the start with enough jitter."""
        structure, form, space, data, *_ = self._problem
        while True:
            s = self._settings
            now = self._profile(space, data, self._numbers, u, self.best.q)
            now = now._replace(
                elbo=float(now.elbo),
                value=float(now.value),
                gradient=now.gradient.numpy()[self._free],
            )
            enough = np.isfinite(now.value) or s.jitter >= JITTER_TO
            iterate = Iterate(*structure, now.theta, s.jitter)
            singular = structure.model.inference.is_singular
            if enough or self.found or not singular(iterate, now.value):
                return now
            self._settings = s._replace(jitter=more_jitter(s.jitter))
            self._numbers = packed(self._settings)

    @property
    def found(self) -> bool:
        """Whether any value was finite."""
        return self.best.value > -np.inf

    def result(self, status: int = MAX_ITER) -> Result:
        """State with the best value so far."""
        theta, q = map_leaves(lambda t: t.numpy(), (self.best.theta, self.best.q))
        curve = self.curve or [self.best.elbo]  # of a start that nothing improved
        return Result(theta, q, np.array(curve), status, self._report)

    def iterated(self, x: np.ndarray) -> None:
        """SciPy's callback."""
        self.curve.append(self.best.elbo)
        if len(self.curve) % self._every == 0:
            self.look()
        if self.stopped:
            raise StopIteration

    def look(self) -> None:
        """Call the monitors, once a step."""
        if self._monitors and len(self.curve) > self._looked_at:
            self._looked_at, now = len(self.curve), self.result()
            self.stopped = any([monitor(now) for monitor in self._monitors])


def maximise(
    problem: Problem,
    settings: Settings,
    monitors: Sequence[Callable],
    every: int,
    optimizer: Callable | None = None,
) -> Result:
    """Train by L-BFGS, or an optimiser given; see :func:`skgpng._training.stages.train`."""
    objective = _Objective(problem, settings, monitors, every)
    x, bounds = objective.start()
    objective(x)
    if not objective.found:  # not finite at the start
        return objective.result(NON_FINITE)
    try:
        if optimizer is None:
            status = _climb(objective, x, bounds, settings)
        else:
            status = _led(objective, x, bounds, optimizer)
        objective.look()  # at the last steps
    except KeyboardInterrupt:
        if not objective.curve:
            raise
        return objective.result(INTERRUPTED)
    return objective.result(STOPPED if objective.stopped else status)


def _climb(objective: Any, x: np.ndarray, bounds: list, s: Settings) -> int:
    """L-BFGS from x, and again from where it ends while that gains; gives the status."""
    for _ in range(_MOST_CLIMBS):
        before = objective(x)[0]
        left = s.max_iter - len(objective.curve)
        end = scipy.optimize.minimize(
            objective,
            x,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            callback=objective.iterated,
            options={"maxiter": left, "ftol": _FTOL * s.tol, "gtol": _GTOL},
        )
        slope = _slope_inside(end.x, end.jac, bounds)
        if objective.stopped or len(objective.curve) >= s.max_iter:
            return MAX_ITER
        if slope <= _FLAT or before - end.fun <= _SETTLED * s.tol:
            break
        x = end.x
    return CONVERGED if slope <= _STEEP else STALLED


def _led(objective: Any, x: np.ndarray, bounds: list, optimizer: Callable) -> int:
    """To where an optimiser of the user's own says; gives the status.

    ``optimizer(function, x, bounds)`` minimises ``function(x, eval_gradient=True)``, in nats, and
    gives the x that it found and the value there, which is not believed but computed.
    """

    def function(x: Any, eval_gradient: bool = True) -> Any:
        now = objective.at(_entries(x, len(bounds)), settled=True)
        objective.curve.append(np.nan if now is None else now.elbo)
        value, gradient = (np.inf, np.zeros(len(bounds))) if now is None else _minus(now)
        return (value, gradient) if eval_gradient else value

    end = optimizer(function, x, np.array(bounds))[0]
    found = objective.at(_entries(end, len(bounds)), settled=True)
    if found is not None:
        objective.keep(found)
    objective.curve.append(objective.best.elbo)
    return NON_FINITE if found is None else CONVERGED


def _minus(now: _Value) -> tuple[np.float64, np.ndarray]:
    return np.float64(-now.value), -now.gradient


def _entries(x: Any, n: int) -> np.ndarray:
    """What an optimiser of the user's own asks for, as numbers [n]."""
    x = np.array(x, float)
    if x.shape != (n,) or not np.isfinite(x).all():
        raise ValueError(
            f"optimizer asked for a theta of shape {x.shape}, {x}, but {n} finite numbers are "
            "learned: those of kernel_.theta, and behind them what is learned beside the kernel, "
            "such as the logarithm of the noise where alpha is None and there is no WhiteKernel."
        )
    return x


def _slope_inside(x: np.ndarray, gradient: np.ndarray, bounds: list) -> float:
    """Largest entry of the gradient that does not point out of the bounds."""
    low, high = np.array(bounds).T
    return float(np.abs(np.clip(x - gradient, low, high) - x).max())
