"""The one training loop: natural-gradient steps on q, Adam steps on the hyperparameters.

A segment of it is compiled once per structure and process. Sizes and numbers (step sizes, start
values, tolerances) are tensors, so that a grid search over them never compiles again. What comes
between two segments is Python: failures, new rows, monitors.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import optimizers
from .._inference import Data, Iterate, Step, Structure
from .._inference.base import real
from .._linalg import in_graph
from .._runtime import compiled_once, map_leaves, tf, where_needed
from ..parameters import Hyperparameters
from . import vector
from .result import CONVERGED, MAX_ITER, NON_FINITE, Report

__all__ = [
    "JITTER_TO",
    "Carry",
    "Settings",
    "as_tensors",
    "at_new_epoch",
    "compiled",
    "compiled_segment",
    "data_signature",
    "more_jitter",
    "on_other_rows",
    "packed",
    "q_signature",
    "report_of",
    "start",
    "take_back",
    "unpacked",
]

# A plateau cuts the learning rate to a third.
_RATE_CUT = 1.0 / 3.0
# A state without a finite ELBO is taken back to the last good one, and the steps from there are cut
# to a quarter; each good step lengthens them again by a quarter. So many failures in a row end it.
_STEP_CUT, _STEP_GROWTH, _MOST_FAILURES = 0.25, 1.25, 8
# On all rows, a step that loses so many nats per row is taken back, too: with gamma = 1 on a
# likelihood that is not log-concave (or with a bold learning rate) it is the first of a collapse.
_PLUNGE = 0.5
#: Jitter grows tenfold, from the first at least and up to the second, where the prior cannot be
#: factorised.
_JITTER_FROM, JITTER_TO, _JITTER_GROWTH = 1e-10, 1e-2, 10.0


class Settings(NamedTuple):
    """Numbers that steer the loop; changing them compiles nothing."""

    gamma: Any  # natural-gradient step size after the ramp
    gamma_ramp: Any  # steps over which it grows, on a logarithmic scale, from a hundredth of that
    warm_up: Any  # first steps with the hyperparameters held, while q finds its feet
    learning_rate: Any  # of Adam, in the logarithm of the hyperparameters
    max_iter: Any
    n_iter_no_change: Any
    n_plateaus: Any  # the last of them ends training, those before cut the learning rate
    tol: Any  # gain of the ELBO per row that counts as an improvement
    batch_size: Any
    jitter: Any  # to begin with, in units of the prior variance; it grows where that is not enough
    seed: Any  # two int
    chunk_size: Any = 2**30  # rows that a full batch takes at a time
    beta_2: Any = 0.999  # of Adam


class _State(NamedTuple):
    """What a step changes; ``u`` holds all hyperparameters, see :mod:`skgpng._training.vector`."""

    u: Any
    variational: tuple
    adam: optimizers.AdamState


class _Batches(NamedTuple):
    """Where the minibatches stand: the order of the rows [N], drawn anew each epoch."""

    order: Any
    at: Any
    epoch: Any


class _Watch(NamedTuple):
    """Progress: what the stopping rule remembers."""

    best: Any = -np.inf
    smooth: Any = -np.inf
    since_best: Any = 0.0
    rate: Any = 1.0
    plateaus: Any = 0.0


class _Safety(NamedTuple):
    """What failures have led to."""

    jitter: Any  # of the next state
    kept_jitter: Any  # of the last good one
    kept_value: Any = -np.inf  # ELBO of the last good state; minus infinity before the first
    cut: Any = 1.0  # factor of gamma and the learning rate
    failures: Any = 0.0  # in a row; a state that had not been visited before ends the row
    restored: Any = 0.0  # 1 where the state was visited before
    n_rejected: Any = 0.0  # as in Report
    n_corrected: Any = 0.0

    def good(self, value: Any, corrected: Any) -> _Safety:
        """After a step whose state had a finite ELBO."""
        return self._replace(
            cut=tf.minimum(_STEP_GROWTH * self.cut, 1.0),
            kept_jitter=self.jitter,
            kept_value=value,
            failures=self.failures * self.restored,
            restored=tf.zeros_like(self.restored),
            n_corrected=self.n_corrected + corrected,
        )

    def rejected(self) -> _Safety:
        """After a step whose state had none."""
        return self._replace(
            cut=_STEP_CUT * self.cut,
            jitter=self.kept_jitter,
            failures=self.failures + 1.0,
            restored=1.0,
            n_rejected=self.n_rejected + 1.0,
        )


class Carry(NamedTuple):
    """All that one segment of the loop hands to the next."""

    step: Any
    batches: Any  # _Batches, or () without minibatches
    kept: _State  # the last one with a finite ELBO, with the q that this belongs to
    state: _State
    # _Watch and _Safety, [13]: one tensor, because each takes as long in a loop as an operation
    numbers: Any


class _Task(NamedTuple):
    """What stays the same during a segment."""

    structure: Structure
    form: vector.Form
    space: vector.Coordinates
    settings: Settings
    n_rows: Any


def packed(settings: Settings) -> Any:
    """Settings as one tensor."""
    return tf.constant(np.concatenate([np.ravel(v) for v in settings]).astype(np.float64))


def unpacked(numbers: Any) -> Settings:
    """Undo :func:`packed`."""
    *own, seed_1, seed_2, chunk_size, beta_2 = tf.unstack(numbers, num=len(Settings._fields) + 1)
    seed, chunk = tf.cast([seed_1, seed_2], tf.int32), tf.cast(chunk_size, tf.int32)
    s = Settings(*own, seed, chunk, beta_2)  # type: ignore[call-arg]
    return s._replace(batch_size=tf.cast(s.batch_size, tf.int32))


def _progress(numbers: Any) -> tuple[_Watch, _Safety]:
    return _Watch(*numbers[: len(_Watch._fields)]), _Safety(*numbers[len(_Watch._fields) :])


# --- one step --------------------------------------------------------------------------------


def _next_batch(structure: Structure, data: Data, s: Settings, b: Any) -> tuple[Data, Any]:
    """Rows of this step, weighted up to the whole; all rows where there are no minibatches.

    The last rows of an order, too few for a batch, are left out; the next order leaves out
    others.
    """
    if not structure.how.minibatch:
        return data, b
    N, size = tf.shape(data.X)[0], s.batch_size
    b = where_needed(b.at + size > N, b, lambda: _next_epoch(b, s.seed))
    rows = b.order[b.at : b.at + size]
    chosen = data.each_row(lambda a: tf.gather(a, rows))
    scale = tf.cast(N, data.weights.dtype) / tf.cast(size, data.weights.dtype)
    return chosen._replace(weights=scale * chosen.weights), b._replace(at=b.at + size)


def _next_epoch(b: _Batches, seed: Any) -> _Batches:
    order = tf.random.experimental.stateless_shuffle(b.order, seed + [0, b.epoch])
    return _Batches(order, tf.constant(0), b.epoch + 1)


def _gamma(s: Settings, step: Any) -> Any:
    """Log-linear ramp (Salimbeni, Eleftheriadis & Hensman 2018, section 4)."""
    share = tf.minimum(tf.cast(step + 1, s.gamma.dtype) / s.gamma_ramp, 1.0)
    return s.gamma * tf.pow(tf.constant(0.01, s.gamma.dtype), 1.0 - share)


def _watch(watch: _Watch, value: Any, s: Settings, n_rows: Any) -> _Watch:
    """Plateau rule: no gain of tol per row in n_iter_no_change steps."""
    # A running mean over about a third of the patience; a full batch needs little of it.
    keep = 1.0 - 3.0 / tf.maximum(s.n_iter_no_change, 3.0)
    mean = keep * watch.smooth + (1.0 - keep) * value
    smooth = tf.where(tf.math.is_finite(watch.smooth), mean, value)
    gained = smooth > watch.best + s.tol * n_rows
    since = (watch.since_best + 1.0) * (1.0 - tf.cast(gained, value.dtype))
    plateau = tf.cast(since >= s.n_iter_no_change, value.dtype)
    plateaus = watch.plateaus + plateau
    cuts = tf.logical_and(plateau > 0.0, plateaus < s.n_plateaus)
    rate = tf.where(cuts, _RATE_CUT * watch.rate, watch.rate)
    best = tf.where(gained, smooth, watch.best)
    return _Watch(best, smooth, since * (1.0 - plateau), rate, plateaus)


def _finite(value: Any, *tensors: Any) -> Any:
    # zeros times each entry: one test for all
    return tf.math.is_finite(value + tf.add_n([tf.reduce_sum(0.0 * t) for t in tensors]))


def _evaluate(task: _Task, c: Carry, safety: _Safety, batch: Data) -> tuple[Step, Any, Any]:
    """The model's step, and the objective with its gradient in u."""
    structure, form, space, s, _ = task
    theta, derivative = vector.constrain(form, space, c.state.u)
    gamma = safety.cut * _gamma(s, c.step)
    iterate = Iterate(*structure, theta, safety.jitter, gamma, s.chunk_size)
    step = iterate.model.inference.step(iterate, c.state.variational, batch)
    g_u = vector.as_vector(step.g_theta) * derivative
    value, g_u = vector.add_log_prior(form, space, c.state.u, step.value, g_u)
    return step, value, g_u


def _moved(task: _Task, c: Carry, g_u: Any, rate: Any) -> tuple[Any, optimizers.AdamState]:
    """Adam's step, within the bounds."""
    space = task.space
    moves = space.free * tf.cast(tf.cast(c.step, rate.dtype) >= task.settings.warm_up, rate.dtype)
    beta_2 = task.settings.beta_2
    u, adam = optimizers.adam_update(c.state.u, g_u * moves, c.state.adam, rate, beta_2=beta_2)
    return tf.clip_by_value(u, space.low, space.high), adam


def _step(task: _Task, data: Data, c: Carry) -> tuple[Any, Carry, Any]:
    """Status, what comes next, and the ELBO.

    NON_FINITE stands for an evaluation that is to be taken back: ``kept`` then has the state that
    failed, ``state`` is of no use and the numbers are the old ones.
    """
    structure, s = task.structure, task.settings
    watch, safety = _progress(tf.unstack(c.numbers, num=len(_Watch._fields + _Safety._fields)))
    batch, batches = _next_batch(structure, data, s, c.batches)
    step, value, g_u = _evaluate(task, c, safety, batch)
    good = _finite(value, g_u)
    if not structure.how.minibatch:
        good = tf.logical_and(good, step.value > safety.kept_value - _PLUNGE * task.n_rows)
    watch = _watch(watch, value, s, task.n_rows)
    u, adam = _moved(task, c, g_u, s.learning_rate * watch.rate * safety.cut)
    numbers = tf.stack([*watch, *safety.good(step.value, step.corrected)])
    status = tf.where(watch.plateaus >= s.n_plateaus, CONVERGED, MAX_ITER)
    carry = Carry(
        c.step + 1,
        batches,
        c.state._replace(variational=step.q),
        _State(u, step.q_next, adam),
        tf.where(good, numbers, c.numbers),
    )
    return tf.where(good, status, NON_FINITE), carry, step.value


# --- a segment of steps ----------------------------------------------------------------------


def _segment(
    structure: Structure,
    form: vector.Form,
    space: vector.Coordinates,
    data: Data,
    settings: Any,
    carry: Carry,
    until: Any,
) -> tuple[Carry, Any, Hyperparameters, Any]:
    """Graph of the steps up to ``until``: what comes next, status, theta kept, ELBO of each step.

    The first step that fails ends it; then the state is the one that failed.
    """
    first, n_rows = carry.step, tf.reduce_sum(data.weights)
    task = _Task(structure, form, space, unpacked(settings), n_rows)

    def body(status: Any, before: _State, c: Carry, curve: Any) -> tuple:
        status, after, elbo = _step(task, data, c)
        return status, c.kept, after, curve.write(c.step - first, elbo)

    def go_on(status: Any, before: _State, c: Carry, curve: Any) -> Any:
        return tf.logical_and(c.step < until, tf.equal(status, MAX_ITER))

    curve = tf.TensorArray(tf.float64, size=until - first, element_shape=[])
    start = (tf.constant(MAX_ITER), carry.kept, carry, curve)
    status, before, c, curve = tf.while_loop(go_on, body, start, parallel_iterations=1)
    failed = tf.equal(status, NON_FINITE)
    kept, state = where_needed(failed, (c.kept, c.state), lambda: (before, c.kept))
    theta, _ = vector.constrain(form, space, kept.u)
    return c._replace(kept=kept, state=state), status, theta, curve.stack()[: c.step - first]


def q_signature(structure: Structure) -> tuple:
    """Types of q; known sizes of 1 spare transposes."""
    return structure.model.inference.q_form(structure.model.n_latent)


def data_signature(structure: Structure) -> Data:
    """Types of the rows."""
    return structure.model.inference.data_form(*structure)


def _carry_signature(structure: Structure) -> Carry:
    integer, number = tf.TensorSpec([], tf.int32), real()
    entries = real(None)
    state = _State(entries, q_signature(structure), optimizers.AdamState(number, entries, entries))
    batches = _Batches(tf.TensorSpec([None], tf.int32), integer, integer)
    numbers = real(len(_Watch._fields + _Safety._fields))
    return Carry(integer, batches if structure.how.minibatch else (), state, state, numbers)


def compiled(build: Callable, structure: Structure, form: vector.Form) -> Callable:
    """What ``build`` makes of a structure, to run in order where that pays and can be."""
    how = structure.how
    usual = structure._replace(how=how._replace(in_order=False))
    with in_graph() if how.algebra == "graph" else contextlib.nullcontext():
        return build(usual, form, small=how.in_order)


@compiled_once
def compiled_segment(structure: Structure, form: vector.Form) -> Any:
    """The training loop of a structure, compiled at most once in a process."""
    return tf.function(
        functools.partial(_segment, structure, form),
        input_signature=(
            vector.signature(),
            data_signature(structure),
            real(len(Settings._fields) + 1),
            _carry_signature(structure),
            tf.TensorSpec([], tf.int32),
        ),
        autograph=False,
    )


def as_tensors(values: Any, signature: Any) -> Any:
    """A nest of arrays as tensors of the signature's types."""

    def convert(spec: Any, v: Any) -> Any:
        # TensorFlow would take a plain float through float32
        return tf.constant(np.asarray(v, spec.dtype.as_numpy_dtype))

    return map_leaves(convert, signature, values)


# --- between segments ------------------------------------------------------------------------


def start(structure: Structure, u: Any, q: tuple, n_rows: int, s: Settings) -> Carry:
    """Before the first step."""
    state = _State(u, q, optimizers.adam_init(u))
    numbers = tf.constant([*_Watch(), *_Safety(s.jitter, s.jitter)], tf.float64)
    batches = _end_of_order(n_rows, 0) if structure.how.minibatch else ()
    return Carry(tf.constant(0), batches, state, state, numbers)


def _end_of_order(n_rows: int, epoch: Any) -> _Batches:
    """So that the next step draws one."""
    return _Batches(tf.range(n_rows), tf.constant(n_rows), tf.constant(epoch))


def at_new_epoch(carry: Carry, n_rows: int) -> Carry:
    """With minibatches of so many other rows."""
    return carry._replace(batches=_end_of_order(n_rows, carry.batches.epoch))


def on_other_rows(carry: Carry) -> Carry:
    """What the ELBO was so far says nothing about that of other rows."""
    _, safety = _progress(carry.numbers.numpy())
    safety = safety._replace(kept_value=np.finfo(np.float64).min)
    return carry._replace(numbers=tf.constant([*_Watch(), *safety], tf.float64))


def more_jitter(jitter: float) -> float:
    """After ``jitter``, which was not enough."""
    return float(np.clip(_JITTER_GROWTH * jitter, _JITTER_FROM, JITTER_TO))


def take_back(
    structure: Structure, form: vector.Form, space: vector.Coordinates, carry: Carry, value: float
) -> tuple[Carry, bool]:
    """After an evaluation that failed: more jitter if that is what lacks, else the last good state.

    Also whether to give up.
    """
    watch, safety = _progress(carry.numbers.numpy())
    theta, _ = vector.constrain(form, space, carry.state.u)
    iterate = Iterate(*structure, theta, safety.jitter)
    grows = (
        not np.isfinite(value)
        and safety.jitter < JITTER_TO
        and bool(_finite(0.0, *tf.nest.flatten(theta)))
        and bool(iterate.model.inference.is_singular(iterate, tf.constant(value, tf.float64)))
    )
    if grows:
        safety = safety._replace(jitter=more_jitter(safety.jitter))
    else:
        carry, safety = carry._replace(state=carry.kept), safety.rejected()
    # a start that cannot be evaluated stays one
    most = _MOST_FAILURES if np.isfinite(safety.kept_value) else 0
    numbers = tf.constant([*watch, *safety], tf.float64)
    return carry._replace(numbers=numbers), safety.failures > most


def report_of(carry: Carry) -> Report:
    """What it took so far."""
    _, safety = _progress(carry.numbers.numpy())
    return Report(safety.kept_jitter, safety.n_rejected, safety.n_corrected)
