"""The one training loop: natural-gradient steps on q, Adam steps on the hyperparameters.

A loop is compiled once per :class:`Structure` and process. Sizes and numbers (step sizes, start
values, tolerances) are tensors, so that a grid search over them never compiles again.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize

from . import optimizers
from ._memory import keep_freed
from ._tensorflow import compiled_once, map_leaves, tf, where_needed
from .linalg import one_blas_thread
from .steps import STEPS, is_singular
from .structures import (
    CONVERGED,
    INTERRUPTED,
    MAX_ITER,
    NO_PRIOR,
    NON_FINITE,
    STALLED,
    STOPPED,
    Data,
    Hyperparameters,
    Memory,
    Prior,
    Report,
    Result,
    Structure,
)

__all__ = [
    "Settings",
    "compiled_segment",
    "n_compiled",
    "objective",
    "train",
]

# A plateau cuts the learning rate to a third. Where batches may grow, it makes them larger first:
# the same effect on the noise of the steps, and the next ones see more rows (Smith et al. 2018).
_RATE_CUT, _GROWTH = 1.0 / 3.0, 4
# A state without a finite ELBO is taken back to the last good one, and the steps from there are cut
# to a quarter; each good step lengthens them again by a quarter. So many failures in a row end it.
_STEP_CUT, _STEP_GROWTH, _MOST_FAILURES = 0.25, 1.25, 8
# On all rows, a step that loses so many nats per row is taken back, too: with gamma = 1 on a
# likelihood that is not log-concave (or with a bold learning rate) it is the first of a collapse.
_PLUNGE = 0.5
# Jitter grows tenfold, from this at least and up to this, where the prior cannot be factorised.
_JITTER_FROM, _JITTER_TO, _JITTER_GROWTH = 1e-10, 1e-2, 10.0
# Without a monitor, control comes back to Python about this often, so that Ctrl-C is heard.
_FIRST_SEGMENT, _SECONDS = 16, 0.2
# Entries of matrices from which on operations side by side are quicker than one by one: 64 inducing
# points and batches of 256 are as quick either way, 10 and 50 take 0.12 ms a step and not 0.17, an
# exact classifier of 100 rows 0.9 and not 1.1.
_SMALL = 2**14
# L-BFGS: natural-gradient steps at most for each value, and the change per row that is none.
_INNER_STEPS, _INNER_TOL = 30, 1e-9
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


class Settings(NamedTuple):
    """Numbers that steer the loop; changing them compiles nothing.

    Attributes
    ----------
    gamma : float
        Natural-gradient step size after the ramp.
    gamma_ramp : float
        Steps over which gamma grows, on a logarithmic scale, from a hundredth of its value.
    warm_up : int
        First steps with the hyperparameters held, while q finds its feet.
    learning_rate : float
        Of Adam, in the logarithm of the hyperparameters.
    max_iter, n_iter_no_change : int
    n_plateaus : float
        The plateau with this number ends training.
    tol : float
        Gain of the ELBO per row that counts as an improvement.
    batch_size : int
    jitter : float
        To begin with, in units of the prior variance; it grows where that is not enough.
    seed : array of two int
    chunk_size : int, default=2**30
        Rows that a full batch takes at a time.
    max_batch_size : int, default=0
        A plateau makes batches four times as large, up to this size; only then does it count.
    """

    gamma: Any
    gamma_ramp: Any
    warm_up: Any
    learning_rate: Any
    max_iter: Any
    n_iter_no_change: Any
    n_plateaus: Any
    tol: Any
    batch_size: Any
    jitter: Any
    seed: Any
    chunk_size: Any = 2**30
    max_batch_size: Any = 0


class _State(NamedTuple):
    """What a step changes; ``u`` holds all unconstrained hyperparameters in one vector."""

    u: Any
    variational: tuple
    adam: optimizers.AdamState


class _Watch(NamedTuple):
    """Progress: what the stopping rule remembers."""

    best: Any
    smooth: Any
    since_best: Any
    rate: Any
    plateaus: Any
    batch_size: Any


class _Batches(NamedTuple):
    """Where the minibatches stand: the order of the rows [N], drawn anew each epoch."""

    order: Any
    at: Any
    epoch: Any


class _Safety(NamedTuple):
    """What failures have led to.

    Attributes
    ----------
    cut : scalar
        Factor of gamma and the learning rate.
    jitter, kept_jitter : scalar
        Of the next state, and of the last good one.
    kept_value : scalar
        ELBO of the last good state; minus infinity before the first.
    failures : scalar
        In a row; a state that had not been visited before ends the row.
    restored : scalar
        1 where the state was visited before, else 0.
    n_rejected, n_corrected : scalar
        As in :class:`Report`.
    """

    cut: Any
    jitter: Any
    kept_jitter: Any
    kept_value: Any
    failures: Any
    restored: Any
    n_rejected: Any
    n_corrected: Any

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
            restored=tf.ones_like(self.restored),
            n_rejected=self.n_rejected + 1.0,
        )


class _Carry(NamedTuple):
    """All that one segment of the loop hands to the next.

    ``kept`` is the last state with a finite ELBO, with the q that this belongs to.
    """

    step: Any
    batches: _Batches
    kept: _State
    state: _State
    watch: _Watch
    safety: _Safety
    status: Any


class _Limits(NamedTuple):
    """Of each entry of the vector of unconstrained hyperparameters.

    Attributes
    ----------
    low, high : vector
        Bounds.
    free : vector
        0 for what is held fixed, 1 for what Adam moves.
    prior : Prior
        Of some of them.
    """

    low: Any
    high: Any
    free: Any
    prior: Prior


class _Layout(NamedTuple):
    """How the vector of unconstrained hyperparameters is cut into :class:`Hyperparameters`.

    One vector, because Adam, bounds and checks then cost a handful of operations a step instead
    of a handful for each hyperparameter; at M = 10 operations are all that a step costs.

    Attributes
    ----------
    shapes : Hyperparameters
        Shape of each hyperparameter, as tensors.
    sizes : tensor
        Entries of each positive hyperparameter.
    halves : tensor
        Entries that are logarithms, and entries of inducing points.
    unit : tensor
        Of each entry of the inducing points.
    """

    shapes: Hyperparameters
    sizes: Any
    halves: Any
    unit: Any


def _concat(values: Any, dtype: Any) -> Any:
    flat = [tf.reshape(v, [-1]) for v in tf.nest.flatten(values)]
    return tf.concat(flat, 0) if flat else tf.zeros([0], dtype)


def _limits(structure: Structure, u: Hyperparameters, bounds: tuple, prior: Prior) -> _Limits:
    """From arrays, and the bounds (..., 2) of each that is not an inducing point."""
    points = np.size(u.inducing_points)
    sizes = [*map(np.size, u.kernel + u.likelihood), points]
    free = [bool(np.any(b[..., 0] < b[..., 1])) for b in bounds[: len(u.kernel)]]
    moves = [*free, *structure.train_likelihood, structure.train_inducing]
    unbounded = np.tile([-np.inf, np.inf], (points, 1))
    low, high = np.concatenate([*(np.reshape(b, (-1, 2)) for b in bounds), unbounded]).T
    return _Limits(low, high, np.repeat(np.array(moves, float), sizes), prior)


def _layout(u: Hyperparameters, X_scale: Any) -> _Layout:
    Z = u.inducing_points
    sparse = not isinstance(Z, tuple)
    unit = tf.reshape(tf.broadcast_to(X_scale, tf.shape(Z)), [-1]) if sparse else X_scale[:0]
    sizes = tf.stack([tf.size(v) for v in u.kernel + u.likelihood])
    halves = tf.stack([tf.reduce_sum(sizes), tf.size(unit)])
    return _Layout(tf.nest.map_structure(tf.shape, u), sizes, halves, unit)


def _constrain(layout: _Layout, u: Any) -> tuple[Hyperparameters, Any]:
    """Hyperparameters, positive where they must be, and the derivative of each entry."""
    logarithms, Z = tf.split(u, layout.halves, num=2)
    positive = tf.exp(logarithms)
    shapes = tf.nest.flatten(layout.shapes)
    n_positive = len(layout.shapes.kernel) + len(layout.shapes.likelihood)
    parts = tf.split(positive, layout.sizes, num=n_positive)
    leaves = [*parts, Z * layout.unit][: len(shapes)]
    shaped = [tf.reshape(v, shape) for v, shape in zip(leaves, shapes, strict=True)]
    derivative = tf.concat([positive, layout.unit], 0)
    return tf.nest.pack_sequence_as(layout.shapes, shaped), derivative


def _log_prior(prior: Prior, u: Any) -> tuple[Any, Any]:
    """Logarithm of the prior, and its gradient in the entries of u that have one, [n, 1]."""
    r = tf.matmul(prior.mixing, tf.gather_nd(u, prior.entries)) - prior.offset  # [K, 1]
    spread = 1.0 + r * r
    slope = tf.matmul(prior.mixing, -2.0 * r / spread, transpose_a=True)
    return -tf.reduce_sum(tf.math.log(spread)), slope


def _with_prior(structure: Structure, prior: Prior, u: Any, elbo: Any, g_u: Any) -> tuple[Any, Any]:
    """The objective, ELBO and log prior together, and its gradient: where priors enter."""
    if not structure.prior:
        return elbo, g_u
    value, slope = _log_prior(prior, u)
    return elbo + value, tf.tensor_scatter_nd_add(g_u, prior.entries, slope)


def objective(prior: Prior | None, theta: Hyperparameters, elbo: float) -> float:
    """What training maximises, the ELBO with the log prior, of arrays."""
    if prior is None or not np.isfinite(elbo):
        return elbo
    with np.errstate(divide="ignore"):
        u = np.log(np.concatenate([np.ravel(v) for v in theta.kernel + theta.likelihood]))
    return elbo + float(_log_prior(Prior(*map(tf.constant, prior)), tf.constant(u))[0])


# --- the loop --------------------------------------------------------------------------------


def _next_batch(
    structure: Structure, data: Data, s: Settings, size: Any, b: _Batches
) -> tuple[Data, _Batches]:
    """Rows of this step, weighted up to the whole; all rows where there are no minibatches.

    The last rows of an order, too few for a batch, are left out; the next order leaves out
    others.
    """
    if not structure.minibatch:
        return data, b
    N = tf.shape(data.X)[0]
    b = where_needed(b.at + size > N, b, lambda: _next_epoch(b, s.seed))
    rows = b.order[b.at : b.at + size]
    X, Y, weights, noise = (tf.gather(a, rows) for a in data[:4])
    scale = tf.cast(N, weights.dtype) / tf.cast(size, weights.dtype)
    chosen = data._replace(X=X, Y=Y, weights=scale * weights, row_noise=noise)
    return chosen, b._replace(at=b.at + size)


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
    keep = 1.0 - 3.0 / tf.cast(tf.maximum(s.n_iter_no_change, 3), value.dtype)
    smooth = tf.where(
        tf.math.is_finite(watch.smooth), keep * watch.smooth + (1.0 - keep) * value, value
    )
    gained = smooth > watch.best + s.tol * n_rows
    since = tf.where(gained, 0, watch.since_best + 1)
    plateau = since >= s.n_iter_no_change
    grows = tf.logical_and(plateau, watch.batch_size < s.max_batch_size)
    counts = tf.logical_and(plateau, tf.logical_not(grows))
    nothing = tf.constant(-np.inf, value.dtype)  # values of smaller batches were too noisy
    return _Watch(
        tf.where(grows, nothing, tf.where(gained, smooth, watch.best)),
        tf.where(grows, nothing, smooth),
        tf.where(plateau, 0, since),
        tf.where(counts, watch.rate * _RATE_CUT, watch.rate),
        watch.plateaus + tf.cast(counts, value.dtype),
        tf.where(grows, tf.minimum(_GROWTH * watch.batch_size, s.max_batch_size), watch.batch_size),
    )


def _finite(value: Any, *tensors: Any) -> Any:
    # zeros times each entry: one test for all
    return tf.math.is_finite(value + tf.add_n([tf.reduce_sum(0.0 * t) for t in tensors]))


class _Task(NamedTuple):
    """What stays the same during a segment."""

    structure: Structure
    layout: _Layout
    limits: _Limits
    settings: Settings
    n_rows: Any


def _evaluate(task: _Task, c: _Carry, batch: Data) -> tuple:
    """Theta, ELBO, objective and its gradient in u, their state, and what comes after it."""
    theta, derivative = _constrain(task.layout, c.state.u)
    s = task.settings._replace(jitter=c.safety.jitter)
    gamma = c.safety.cut * _gamma(s, c.step)
    elbo, g_theta, q, *after = STEPS[task.structure.model](
        task.structure, theta, c.state.variational, batch, s, gamma
    )
    g_u = _concat(g_theta, elbo.dtype) * derivative
    of_u = _with_prior(task.structure, task.limits.prior, c.state.u, elbo, g_u)
    return theta, elbo, of_u, c.state._replace(variational=q), after


def _advance(task: _Task, c: _Carry, elbo: Any, of_u: tuple, visited: _State, after: list) -> tuple:
    """Adam's step beside the natural-gradient step that was taken, after a good evaluation."""
    (value, g_u), (q_next, corrected) = of_u, after
    limits, s = task.limits, task.settings
    watch = _watch(c.watch, value, s, task.n_rows)
    moves = limits.free * tf.cast(c.step >= s.warm_up, value.dtype)
    rate = s.learning_rate * watch.rate * c.safety.cut
    u, adam = optimizers.adam_update(c.state.u, g_u * moves, c.state.adam, rate)
    new = _State(tf.clip_by_value(u, limits.low, limits.high), q_next, adam)
    status = tf.where(watch.plateaus >= s.n_plateaus, CONVERGED, MAX_ITER)
    return visited, new, watch, c.safety.good(elbo, corrected), status


def _take_back(task: _Task, c: _Carry, value: Any, theta: Hyperparameters) -> tuple:
    """After a bad evaluation: more jitter if that is what lacks, else the last good state."""
    finite = _finite(0.0, *tf.nest.flatten(theta))
    singular = is_singular(task.structure, theta, value, c.safety.jitter)
    singular = tf.logical_and(finite, singular)
    grows = tf.logical_and(singular, c.safety.jitter < _JITTER_TO)
    more = tf.clip_by_value(_JITTER_GROWTH * c.safety.jitter, _JITTER_FROM, _JITTER_TO)
    state, safety = tf.nest.map_structure(
        lambda a, b: tf.where(grows, a, b),
        (c.state, c.safety._replace(jitter=more)),
        (c.kept, c.safety.rejected()),
    )
    # a start that cannot be evaluated stays one
    most = tf.where(tf.math.is_finite(safety.kept_value), _MOST_FAILURES, 0)
    lost = safety.failures > tf.cast(most, safety.failures.dtype)
    status = tf.where(lost, NON_FINITE, MAX_ITER)
    return c.kept, state, c.watch, safety, status


def _segment(
    structure: Structure, u: Any, limits: _Limits, data: Data, s: Settings, carry: Any, until: Any
) -> Any:
    """Graph of the steps up to ``until``; what it returns always had a finite ELBO."""
    dtype, first = data.X_scale.dtype, carry.step
    n_rows = tf.reduce_sum(data.weights)
    task = _Task(structure, _layout(u, data.X_scale), limits, s, n_rows)

    def body(c: _Carry, curve: Any) -> Any:
        batch, batches = _next_batch(structure, data, s, c.watch.batch_size, c.batches)
        theta, elbo, of_u, visited, after = _evaluate(task, c, batch)
        good = _finite(*of_u)
        if not structure.minibatch:
            good = tf.logical_and(good, elbo > c.safety.kept_value - _PLUNGE * n_rows)
        kept, state, watch, safety, status = where_needed(
            tf.logical_not(good),
            _advance(task, c, elbo, of_u, visited, after),
            lambda: _take_back(task, c, elbo, theta),
        )
        carry = _Carry(c.step + 1, batches, kept, state, watch, safety, status)
        return carry, curve.write(c.step - first, tf.where(good, elbo, np.nan))

    def go_on(c: _Carry, curve: Any) -> Any:
        return tf.logical_and(c.step < until, c.status == MAX_ITER)

    curve = tf.TensorArray(dtype, size=until - first, element_shape=[])
    carry, curve = tf.while_loop(go_on, body, (carry, curve), parallel_iterations=1)
    theta, n = _constrain(task.layout, carry.kept.u)[0], carry.safety
    report = Report(n.kept_jitter, n.n_rejected, n.n_corrected)
    curve = curve.stack()[: carry.step - first]
    return carry, Result(theta, carry.kept.variational, curve, carry.status, report)


def _fresh_watch(batch_size: Any) -> _Watch:
    zero = tf.zeros([], tf.float64)
    return _Watch(zero - np.inf, zero - np.inf, tf.constant(0), zero + 1.0, zero, batch_size)


def _start(structure: Structure, u: Any, q: Any, n_rows: int, s: Settings) -> _Carry:
    flat, zero = _concat(u, tf.float64), tf.zeros([], tf.float64)
    return _Carry(
        tf.constant(0),
        # at the end of an order, so that the first step draws one
        _Batches(
            tf.range(n_rows if structure.minibatch else 0), tf.constant(n_rows), tf.constant(0)
        ),
        *(_State(flat, q, optimizers.adam_init(flat)),) * 2,
        _fresh_watch(tf.constant(int(s.batch_size))),
        _Safety(zero + 1.0, *(zero + s.jitter,) * 2, zero - np.inf, *(zero,) * 4),
        tf.constant(MAX_ITER),
    )


@functools.lru_cache(maxsize=256)
def _signature(structure: Structure) -> tuple:
    """Input signature with every size unknown; only X may be float32."""
    real = functools.partial(tf.TensorSpec, dtype=tf.float64)
    vector, matrix = real([None]), real([None, None])
    number, integer = real([]), tf.TensorSpec([], tf.int32)
    ranks = tuple(form.rank for form in structure.kernel.forms) + (0,) * len(
        structure.likelihood.parameter_names
    )
    leaves = tuple(real([None] * r) for r in ranks)
    n = len(structure.kernel.forms)
    sparse = structure.model in ("sgpr", "svgp")
    u = Hyperparameters(leaves[:n], leaves[n:], matrix if sparse else ())
    L = structure.n_latent  # known sizes of 1 spare transposes
    q = {
        "svgp": (real([None, L]), real([L, None, None])),
        "sgpr": (real([None, L]), real([1, None, None])),
        "vgp": (real([None, L]),) * 2,
    }
    Y = real([None, structure.likelihood.n_columns(L)])
    shared = 1 if structure.model == "sgpr" else L
    memory = Memory(matrix, real([shared, None, None]), real([None, L]))
    X = tf.TensorSpec([None, None], structure.X_dtype)
    data = Data(X, Y, vector, vector, vector, memory if structure.memory else ())
    settings = Settings(
        gamma=number,
        gamma_ramp=number,
        warm_up=integer,
        learning_rate=number,
        max_iter=integer,
        n_iter_no_change=integer,
        n_plateaus=number,
        tol=number,
        batch_size=integer,
        jitter=number,
        seed=tf.TensorSpec([2], tf.int32),
        chunk_size=integer,
        max_batch_size=integer,
    )
    form = q.get(structure.model, ())
    carry = _Carry(
        integer,
        _Batches(tf.TensorSpec([None], tf.int32), integer, integer),
        *(_State(vector, form, optimizers.AdamState(number, vector, vector)),) * 2,
        _Watch(number, number, integer, number, number, integer),
        _Safety(*(number,) * 8),
        integer,
    )
    prior = Prior(tf.TensorSpec([None, 1, 1], tf.int32), matrix, matrix)
    return u, _Limits(vector, vector, vector, prior), data, settings, carry, integer


@compiled_once
def compiled_segment(structure: Structure) -> Any:
    """The training loop of a structure, compiled at most once in a process."""
    return tf.function(
        functools.partial(_segment, structure),
        input_signature=_signature(structure),
        autograph=False,
    )


def n_compiled() -> int:
    """Training loops compiled so far in this process."""
    return compiled_segment.n_compiled() + _compiled_profile.n_compiled()


def _tensors(values: Any, signature: Any) -> Any:
    """Convert a nest of arrays to tensors of the signature's types."""

    def convert(spec: Any, v: Any) -> Any:
        if tf.is_tensor(v):
            return tf.cast(v, spec.dtype)
        # TensorFlow would take a plain float through float32
        return tf.constant(np.asarray(v, spec.dtype.as_numpy_dtype))

    return map_leaves(convert, signature, values)


def train(
    structure: Structure,
    theta: Hyperparameters,
    variational: tuple,
    bounds: tuple,
    data: Data,
    settings: Settings,
    monitors: Sequence[Callable[[Result], bool]] = (),
    every: int = 10,
    optimizer: str = "adam",
    first: tuple[Data, int] | None = None,
    prior: Prior | None = None,
) -> Result:
    """Train from the given start; nothing is raised, the result's status tells how it ended.

    Parameters
    ----------
    structure : Structure
    theta : Hyperparameters
        Positive start values.
    variational : tuple of arrays
        Start of q; see :class:`Result`.
    bounds : tuple of arrays of shape (2,) or (D, 2)
        Lower and upper bound of each kernel value, then of each likelihood value.
    data : Data
    settings : Settings
    monitors : sequence of callables, default=()
        Each gets the result so far every few steps; ``True`` ends training.
    every : int, default=10
        Steps between two calls of the monitors.
    optimizer : {"adam", "lbfgs"}, default="adam"
        How the hyperparameters move. L-BFGS maximises the ELBO at the best q, on all rows.
    first : (Data, int), optional
        Rows that the first so many steps of Adam take in place of all, of the same total weight.
    prior : Prior, optional
        Training maximises the ELBO with the logarithm of this prior, which may be empty; the curve
        has the ELBO.

    Returns
    -------
    Result
        NumPy arrays.

    Raises
    ------
    KeyboardInterrupt
        Where it comes before the first steps are done; later it ends training.
    """
    keep_freed()
    if structure.model in ("gpr", "vgp"):  # no inducing points: the noise serves as jitter
        settings = settings._replace(jitter=0.0)
    structure, prior = structure._replace(prior=prior is not None), prior or NO_PRIOR
    given = _given(structure, theta, bounds, prior, data, settings)
    q = _tensors(tuple(variational), _signature(structure)[4].state.variational)
    with one_blas_thread:
        small = _is_small_step(structure, theta, settings)
        if optimizer == "lbfgs":
            profile = _in_order_if(small, _compiled_profile, structure)
            return _by_lbfgs(_Objective(structure, profile, given, q, monitors, every), settings)
        carry = _start(structure, given[0], q, len(data.X), settings)
        run = _in_order_if(small, compiled_segment, structure)
        part = None
        if first is not None:  # the stopping rule is for all rows
            unending = settings._replace(n_plateaus=np.inf)
            part = _given(structure, theta, bounds, prior, first[0], unending), first[1]
        return _in_segments(run, given, carry, settings, monitors, every, part)


def _is_small_step(structure: Structure, theta: Hyperparameters, s: Settings) -> bool:
    """Whether the largest matrix of a step on all its rows is.

    Fewer rows, to begin with, count as all: what they take is compiled already.
    """
    rows = max(s.batch_size, s.max_batch_size)
    exact = isinstance(theta.inducing_points, tuple)
    return structure.n_latent * rows * (rows if exact else len(theta.inducing_points)) < _SMALL


def _in_order_if(small: bool, compiled: Callable, structure: Structure) -> Callable:
    """The compiled function; its operations run in order where they are small and can."""
    ordered = compiled(structure, small=True) if small else None
    return ordered if ordered is not None and ordered.runs_in_order else compiled(structure)


def _given(
    structure: Structure,
    theta: Hyperparameters,
    bounds: tuple,
    prior: Prior,
    data: Data,
    settings: Settings,
) -> tuple:
    """Start, limits, data and settings as the tensors that the compiled functions take."""
    with np.errstate(divide="ignore"):  # a value fixed at zero has the logarithm -inf
        logs = tuple(np.log(v) for v in theta.kernel), tuple(np.log(v) for v in theta.likelihood)
        log_bounds = tuple(np.log(b) for b in bounds)
    Z = () if isinstance(theta.inducing_points, tuple) else theta.inducing_points / data.X_scale
    u = Hyperparameters(*logs, Z)
    limits = _limits(structure, u, log_bounds, prior)
    return _tensors((u, limits, data, settings), _signature(structure)[:4])


def _on_other_rows(carry: _Carry) -> _Carry:
    """What the ELBO was so far says nothing about that of other rows."""
    low = tf.constant(np.finfo(np.float64).min, tf.float64)
    return carry._replace(
        watch=_fresh_watch(carry.watch.batch_size), safety=carry.safety._replace(kept_value=low)
    )


def _in_segments(
    run: Callable,
    given: tuple,
    carry: _Carry,
    s: Settings,
    monitors: Sequence,
    every: int,
    first: tuple[tuple, int] | None,
) -> Result:
    """Segments of steps until one ends the training; between them Python is in control.

    How long they are changes no number, so that without a monitor they may follow the clock.
    ``first`` has what takes the place of ``given`` in the first so many steps.
    """
    curves: list = []
    result, step, length = None, 0, every if monitors else _FIRST_SEGMENT
    begin_with, n_first = first or (given, 0)
    try:
        while result is None or (result.status == MAX_ITER and step < s.max_iter):
            begin = time.perf_counter()
            now, end = (begin_with, n_first) if step < n_first else (given, s.max_iter)
            until = min(step + length, end, s.max_iter)
            carry, outcome = run(*now, carry, tf.constant(until))
            carry = _on_other_rows(carry) if until == n_first else carry
            outcome = map_leaves(lambda t: t.numpy(), outcome)
            curves.append(outcome.elbo_curve[np.isfinite(outcome.elbo_curve)])
            result, step = outcome._replace(elbo_curve=np.concatenate(curves)), until
            watched = monitors if len(result.elbo_curve) else ()
            if any([monitor(result) for monitor in watched]) and result.status == MAX_ITER:
                return result._replace(status=np.int32(STOPPED))
            if not monitors and time.perf_counter() - begin < _SECONDS:
                length *= 2
    except KeyboardInterrupt:
        if result is None:
            raise
        return result._replace(status=np.int32(INTERRUPTED))
    return result


# --- L-BFGS in place of Adam -----------------------------------------------------------------


def _profile(
    structure: Structure, u: Any, limits: _Limits, data: Data, s: Settings, flat: Any, q: Any
) -> Any:
    """ELBO and objective at the best q for given hyperparameters, with the gradient in them.

    Natural-gradient steps find q, from the one that is given; at its optimum the gradient with q
    held is that of the profile (envelope theorem). Exact models need one step.
    """
    layout = _layout(u, data.X_scale)
    theta, derivative = _constrain(layout, flat)
    n_steps = 1 if structure.model in ("gpr", "sgpr") else _INNER_STEPS
    small = _INNER_TOL * tf.reduce_sum(data.weights)

    def body(k: Any, gain: Any, value: Any, g: Any, q: Any) -> Any:
        new, g_theta, _, q, _ = STEPS[structure.model](structure, theta, q, data, s, s.gamma)
        return k + 1, tf.abs(new - value), new, _concat(g_theta, flat.dtype) * derivative, q

    def go_on(k: Any, gain: Any, value: Any, g: Any, q: Any) -> Any:
        return tf.logical_and(k < n_steps, tf.logical_not(gain < small))

    zero = tf.zeros([], flat.dtype)
    start = (tf.constant(0), zero + np.inf, zero - np.inf, tf.zeros_like(flat), q)
    _, _, elbo, g, q = tf.while_loop(go_on, body, start, parallel_iterations=1)
    value, g = _with_prior(structure, limits.prior, flat, elbo, g)
    return elbo, value, g * limits.free, q, theta


@compiled_once
def _compiled_profile(structure: Structure) -> Any:
    u, limits, data, settings, carry, _ = _signature(structure)
    return tf.function(
        functools.partial(_profile, structure),
        input_signature=(u, limits, data, settings, carry.state.u, carry.state.variational),
        autograph=False,
    )


class _Objective:
    """Minus the objective per row as a function of the free entries of u, for SciPy.

    Attributes
    ----------
    stopped : bool
        Whether a monitor ended the training.
    """

    def __init__(
        self,
        structure: Structure,
        profile: Callable,
        given: tuple,
        q: Any,
        monitors: Sequence,
        every: int,
    ) -> None:
        u, limits, data, self._settings = given
        self._given, self._q = (u, limits, data), q
        self._structure, self._profile = structure, profile
        self._free = np.flatnonzero(limits.free)
        self._flat, self._limits = _concat(u, tf.float64).numpy(), limits
        self._n_rows = float(np.sum(data.weights))
        self._monitors, self._every = monitors, every
        self._best, self._elbo, self._curve = -np.inf, -np.inf, []  # type: ignore[var-annotated]
        self._theta, self._report = u, Report()
        self._last: tuple | None = None
        self.stopped, self._looked_at, self._n_rejected = False, 0, 0

    def start(self) -> tuple[np.ndarray, list]:
        """First point and bounds."""
        low, high = (b.numpy()[self._free] for b in (self._limits.low, self._limits.high))
        return np.clip(self._flat[self._free], low, high), list(zip(low, high))

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient; SciPy begins where it was called already."""
        if self._last is None or not np.array_equal(x, self._last[0]):
            self._last = x.copy(), self._at(x)
        return self._last[1]

    def _at(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        flat = self._flat.copy()
        flat[self._free] = x
        elbo, value, g, q, theta = self._evaluate(tf.constant(flat))
        if not np.isfinite(value + g.sum()):
            # a wall, for the line search to step back from
            self._n_rejected += 1
            return (1e3 - self._best) / self._n_rows, np.zeros_like(x)
        if value > self._best:
            self._best, self._elbo, self._q, self._theta = value, elbo, q, theta
            self._report = Report(float(self._settings.jitter), self._n_rejected)
        return -value / self._n_rows, -g / self._n_rows

    def _evaluate(self, flat: Any) -> tuple:
        """ELBO, value, gradient in the free entries, q, theta; at the start with enough jitter."""
        while True:
            s, structure = self._settings, self._structure
            elbo, value, g, q, theta = self._profile(*self._given, s, flat, self._q)
            elbo, value, g = float(elbo), float(value), g.numpy()[self._free]
            enough = np.isfinite(value) or s.jitter >= _JITTER_TO
            if enough or self.found or not is_singular(structure, theta, value, s.jitter):
                return elbo, value, g, q, theta
            more = np.clip(_JITTER_GROWTH * float(s.jitter), _JITTER_FROM, _JITTER_TO)
            self._settings = s._replace(jitter=tf.constant(more))

    @property
    def found(self) -> bool:
        """Whether any value was finite."""
        return self._best > -np.inf

    @property
    def n_iter(self) -> int:
        """Iterations so far."""
        return len(self._curve)

    def result(self, status: int = MAX_ITER) -> Result:
        """State with the best value so far; its curve has the ELBO of that after each iteration."""
        theta, q = map_leaves(lambda t: t.numpy(), (self._theta, self._q))
        curve = self._curve or [self._elbo]  # of a start that nothing improved
        return Result(theta, q, np.array(curve), np.int32(status), self._report)

    def iterated(self, x: np.ndarray) -> None:
        """SciPy's callback."""
        self._curve.append(self._elbo)
        if len(self._curve) % self._every == 0:
            self.look()
        if self.stopped:
            raise StopIteration

    def look(self) -> None:
        """Call the monitors, once a step."""
        if self._monitors and len(self._curve) > self._looked_at:
            self._looked_at, now = len(self._curve), self.result()
            self.stopped = any([monitor(now) for monitor in self._monitors])


def _by_lbfgs(objective: _Objective, s: Settings) -> Result:
    x, bounds = objective.start()
    objective(x)
    if not objective.found:  # not finite at the start
        return objective.result(NON_FINITE)
    try:
        status = _climb(objective, x, bounds, s)
        objective.look()  # at the last steps
    except KeyboardInterrupt:
        if not objective.n_iter:
            raise
        return objective.result(INTERRUPTED)
    return objective.result(STOPPED if objective.stopped else status)


def _climb(objective: _Objective, x: np.ndarray, bounds: list, s: Settings) -> int:
    """L-BFGS from x, and again from where it ends while that gains; gives the status."""
    for _ in range(_MOST_CLIMBS):
        before = objective(x)[0]
        options = {"maxiter": s.max_iter - objective.n_iter, "ftol": _FTOL * s.tol, "gtol": _GTOL}
        end = scipy.optimize.minimize(
            objective,
            x,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            callback=objective.iterated,
            options=options,
        )
        slope = _slope_inside(end.x, end.jac, bounds)
        if objective.stopped or objective.n_iter >= s.max_iter:
            return MAX_ITER
        if slope <= _FLAT or before - end.fun <= _SETTLED * s.tol:
            break
        x = end.x
    return CONVERGED if slope <= _STEEP else STALLED


def _slope_inside(x: np.ndarray, gradient: np.ndarray, bounds: list) -> float:
    """Largest entry of the gradient that does not point out of the bounds."""
    low, high = np.array(bounds).T
    return float(np.abs(np.clip(x - gradient, low, high) - x).max())
