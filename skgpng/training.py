"""The one training loop: natural-gradient steps on q, Adam steps on the hyperparameters.

A loop is compiled once per :class:`Structure` and process. Sizes and numbers (step sizes, start
values, tolerances) are tensors, so that a grid search over them never compiles again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import gaussians, models, optimizers
from ._tensorflow import tf
from .kernels import covariance
from .likelihoods import Likelihood
from .structures import (
    CONVERGED,
    MAX_ITER,
    NON_FINITE,
    Data,
    Hyperparameters,
    Result,
    Structure,
)

__all__ = [
    "SITE_FLOOR",
    "Settings",
    "compiled_loop",
    "train",
]

_LOG_2PI = float(np.log(2.0 * np.pi))
#: Site precisions stay above this, so that (1 - diag B^-1) / precision keeps nine digits.
SITE_FLOOR = 1e-6
# Learning rate and stopping: a plateau cuts the rate to a third; the third plateau ends training.
_RATE_CUT = 1.0 / 3.0
_PLATEAUS = 3.0


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
    tol : float
        Gain of the ELBO per row that counts as an improvement.
    batch_size : int
    jitter : float
    seed : array of two int
    """

    gamma: Any
    gamma_ramp: Any
    warm_up: Any
    learning_rate: Any
    max_iter: Any
    n_iter_no_change: Any
    tol: Any
    batch_size: Any
    jitter: Any
    seed: Any


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
    low, high : tensor
        Bounds of each entry.
    free : tensor
        0 for what is held fixed, 1 for what Adam moves.
    """

    shapes: Hyperparameters
    sizes: Any
    halves: Any
    unit: Any
    low: Any
    high: Any
    free: Any


def _concat(values: Any, dtype: Any) -> Any:
    flat = [tf.reshape(v, [-1]) for v in tf.nest.flatten(values)]
    return tf.concat(flat, 0) if flat else tf.zeros([0], dtype)


def _layout(structure: Structure, u: Hyperparameters, bounds: tuple, X_scale: Any) -> _Layout:
    Z, dtype = u.inducing_points, X_scale.dtype
    sparse = not isinstance(Z, tuple)
    unit = tf.reshape(tf.broadcast_to(X_scale, tf.shape(Z)), [-1]) if sparse else X_scale[:0]
    unbounded = tf.fill(tf.shape(unit), tf.constant(np.inf, dtype))
    positive = u.kernel + u.likelihood
    moves = [*structure.kernel.all_free, *structure.train_likelihood]
    free = [float(f) * tf.ones_like(v) for f, v in zip(moves, positive, strict=True)]
    sizes = tf.stack([tf.size(v) for v in positive])
    return _Layout(
        tf.nest.map_structure(tf.shape, u),
        sizes,
        tf.stack([tf.reduce_sum(sizes), tf.size(unit)]),
        unit,
        tf.concat([_concat([b[..., 0] for b in bounds], dtype), -unbounded], 0),
        tf.concat([_concat([b[..., 1] for b in bounds], dtype), unbounded], 0),
        tf.concat([_concat(free, dtype), float(structure.train_inducing) * tf.ones_like(unit)], 0),
    )


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


# --- one step of each model: ELBO, its gradient in theta, and the next q ---------------------


def _gaussian_noise(theta: Hyperparameters, data: Data) -> tuple[Any, Any]:
    r"""Noise variance of each row and what its weights add to the log evidence.

    A row of weight w counts w times: :math:`N(y|f,s)^w \propto N(y|f,s/w)`.
    """
    variance = theta.likelihood[0] + data.row_noise
    noise = variance / data.weights
    correction = tf.math.log(noise) + _LOG_2PI - data.weights * (tf.math.log(variance) + _LOG_2PI)
    P = tf.cast(tf.shape(data.Y)[1], data.Y.dtype)
    return noise, 0.5 * P * tf.reduce_sum(correction)


class _KnownRowNoise(NamedTuple):
    """A likelihood to whose variance, where it has one, the known noise of each row is added."""

    likelihood: Likelihood
    row_noise: Any

    def variational_expectations(self, values: tuple, f_mean: Any, f_var: Any, Y: Any) -> Any:
        if self.likelihood.parameter_names[:1] == ("variance",):
            values = (values[0] + self.row_noise[:, None], *values[1:])
        return self.likelihood.variational_expectations(values, f_mean, f_var, Y)


def _gpr_step(structure: Structure, theta: Hyperparameters, data: Data, jitter: Any) -> Any:
    K = covariance(structure.kernel, theta.kernel, data.X)  # the noise serves as jitter
    noise, correction = _gaussian_noise(theta, data)
    return models.gpr_log_marginal_likelihood(K, data.Y, noise) + correction


def _sgpr_step(structure: Structure, theta: Hyperparameters, data: Data, jitter: Any) -> Any:
    prior = models.svgp_covariances(structure.kernel, theta, data.X, jitter)
    noise, correction = _gaussian_noise(theta, data)
    return models.sgpr_elbo(prior, data.Y, noise) + correction


def _collapsed(objective: Callable) -> Callable:
    """Natural-gradient step of gamma = 1 and gradient in theta together.

    With a Gaussian likelihood the step makes q exact, and the gradient of the ELBO in theta with
    that q held is the gradient of the collapsed bound; q itself need not be formed.
    """

    def step(
        structure: Structure, theta: Hyperparameters, q: tuple, data: Data, s: Any, gamma: Any
    ) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(theta)
            value = objective(structure, theta, data, s.jitter)
        return value, tape.gradient(value, theta, unconnected_gradients="zero"), q

    return step


def _svgp_step(
    structure: Structure, theta: Hyperparameters, q: tuple, data: Data, s: Settings, gamma: Any
) -> Any:
    natural = gaussians.Natural(*q)
    mean_sqrt = gaussians.natural_to_mean_sqrt(natural)
    value, g_theta, g_q = models.elbo_and_gradients(
        lambda t: models.svgp_covariances(structure.kernel, t, data.X, s.jitter),
        theta,
        mean_sqrt,
        _KnownRowNoise(structure.likelihood, data.row_noise),
        data.Y,
        data.weights[:, None],
    )
    return value, g_theta, optimizers.natural_gradient_update(natural, mean_sqrt.q_mu, g_q, gamma)


def _vgp_step(
    structure: Structure, theta: Hyperparameters, q: tuple, data: Data, s: Settings, gamma: Any
) -> Any:
    """One natural-gradient step on the sites; the gradient in K is that at their fixed point."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(theta.kernel)
        K = covariance(structure.kernel, theta.kernel, data.X)  # B needs no jitter
    moments = [models.site_moments(K, q[0][:, k], q[1][:, k]) for k in range(structure.n_latent)]
    f_mean = tf.stack([m.f_mean for m in moments], 1)  # [N, L]
    f_var = tf.stack([m.f_var for m in moments], 1)
    with tf.GradientTape(watch_accessed_variables=False) as rows:
        rows.watch((theta.likelihood, f_mean, f_var))
        likelihood = _KnownRowNoise(structure.likelihood, data.row_noise)
        expected = likelihood.variational_expectations(theta.likelihood, f_mean, f_var, data.Y)
        data_term = tf.reduce_sum(data.weights[:, None] * expected)
    g_likelihood, g_mean, g_var = rows.gradient(
        data_term, (theta.likelihood, f_mean, f_var), unconnected_gradients="zero"
    )
    K_bar = tf.add_n([0.5 * (m.alpha[:, None] * m.alpha - m.W) for m in moments])
    g_kernel = tape.gradient(K, theta.kernel, K_bar, unconnected_gradients="zero")
    site_mean = (1.0 - gamma) * q[0] + gamma * (g_mean - 2.0 * g_var * f_mean)
    site_precision = (1.0 - gamma) * q[1] - 2.0 * gamma * g_var
    value = data_term - tf.add_n([m.kl for m in moments])
    return (
        value,
        Hyperparameters(g_kernel, g_likelihood),
        (site_mean, tf.maximum(site_precision, SITE_FLOOR * data.weights[:, None])),
    )


_STEPS: dict[str, Callable] = {
    "gpr": _collapsed(_gpr_step),
    "sgpr": _collapsed(_sgpr_step),
    "vgp": _vgp_step,
    "svgp": _svgp_step,
}


# --- the loop --------------------------------------------------------------------------------


class _Batches(NamedTuple):
    """Minibatches of a structure: what stays the same over the steps."""

    table: Any  # X, Y, weights and noise side by side: one gather a step
    widths: Any
    n_batches: Any
    size: Any
    seed: Any


def _batches(structure: Structure, data: Data, s: Settings) -> _Batches | None:
    """``None`` stands for the full batch."""
    if not structure.minibatch:
        return None
    N, B = tf.shape(data.X)[0], s.batch_size
    scale = tf.cast(N, data.X.dtype) / tf.cast(B, data.X.dtype)
    columns = [data.X, data.Y, scale * data.weights[:, None], data.row_noise[:, None]]
    widths = tf.stack([tf.shape(c)[1] for c in columns])
    return _Batches(tf.concat(columns, 1), widths, N // B, tf.reshape(B, [1]), s.seed)


def _next_batch(batches: _Batches | None, data: Data, step: Any, order: Any) -> tuple[Data, Any]:
    """Rows of this step, and the order of the rows [N], drawn anew each epoch.

    The last rows of an order, too few for a batch, are left out; the next order leaves out
    others.
    """
    if batches is None:
        return data, order
    within = step % batches.n_batches
    order = tf.cond(
        tf.equal(within, 0),
        lambda: tf.random.experimental.stateless_shuffle(
            order, batches.seed + [0, step // batches.n_batches]
        ),
        lambda: order,
    )
    rows = tf.slice(order, within * batches.size, batches.size)
    X, Y, weights, noise = tf.split(tf.gather(batches.table, rows), batches.widths, 1, num=4)
    P = data.Y.shape[1]
    Y = tf.ensure_shape(Y, [None, P])
    return Data(X, Y, tf.reshape(weights, [-1]), tf.reshape(noise, [-1]), data.X_scale), order


def _gamma(s: Settings, step: Any) -> Any:
    """Log-linear ramp (Salimbeni, Eleftheriadis & Hensman 2018, section 4)."""
    share = tf.minimum(tf.cast(step + 1, s.gamma.dtype) / s.gamma_ramp, 1.0)
    return s.gamma * tf.pow(tf.constant(0.01, s.gamma.dtype), 1.0 - share)


def _watch(watch: _Watch, value: Any, s: Settings, n_rows: Any) -> _Watch:
    """Plateau rule: no gain of tol per row in n_iter_no_change steps cuts the learning rate."""
    # A running mean over about a third of the patience; a full batch needs little of it.
    keep = 1.0 - 3.0 / tf.cast(tf.maximum(s.n_iter_no_change, 3), value.dtype)
    smooth = tf.where(
        tf.math.is_finite(watch.smooth), keep * watch.smooth + (1.0 - keep) * value, value
    )
    gained = smooth > watch.best + s.tol * n_rows
    since = tf.where(gained, 0, watch.since_best + 1)
    plateau = since >= s.n_iter_no_change
    return _Watch(
        tf.maximum(watch.best, smooth),
        smooth,
        tf.where(plateau, 0, since),
        tf.where(plateau, watch.rate * _RATE_CUT, watch.rate),
        watch.plateaus + tf.cast(plateau, value.dtype),
    )


def _finite(*tensors: Any) -> Any:
    # the sum of zeros times each entry: one test for all
    return tf.math.is_finite(tf.add_n([tf.reduce_sum(0.0 * t) for t in tensors]))


def _loop(structure: Structure, u: Any, q: Any, bounds: Any, data: Data, s: Settings) -> Any:
    """Graph of the whole training; the state that is kept is always one whose ELBO was finite."""
    dtype = data.X.dtype
    layout = _layout(structure, u, bounds, data.X_scale)
    n_rows = tf.reduce_sum(data.weights)
    batches = _batches(structure, data, s)

    def body(
        step: Any, order: Any, kept: tuple, state: _State, watch: Any, curve: Any, _: Any
    ) -> Any:
        batch, order = _next_batch(batches, data, step, order)
        theta, derivative = _constrain(layout, state.u)
        value, g_theta, q_next = _STEPS[structure.model](
            structure, theta, state.variational, batch, s, _gamma(s, step)
        )
        g_u = _concat(g_theta, dtype) * derivative
        watch = _watch(watch, value, s, n_rows)
        moves = layout.free * tf.cast(step >= s.warm_up, dtype)
        u, adam = optimizers.adam_update(
            state.u, g_u * moves, state.adam, s.learning_rate * watch.rate
        )
        new = _State(tf.clip_by_value(u, layout.low, layout.high), q_next, adam)
        stop = tf.where(watch.plateaus >= _PLATEAUS, CONVERGED, MAX_ITER)
        status = tf.where(_finite(value, g_u), stop, NON_FINITE)
        kept = (kept[1], (state.u, state.variational))
        return step + 1, order, kept, new, watch, curve.write(step, value), status

    def go_on(
        step: Any, order: Any, kept: Any, state: Any, watch: Any, curve: Any, status: Any
    ) -> Any:
        return tf.logical_and(step < s.max_iter, status == MAX_ITER)

    flat, zero = _concat(u, dtype), tf.zeros([], dtype)
    start = _State(flat, q, optimizers.adam_init(flat))
    watch = _Watch(zero - np.inf, zero - np.inf, tf.constant(0), zero + 1.0, zero)
    curve = tf.TensorArray(dtype, size=s.max_iter, element_shape=[])
    order = tf.range(tf.shape(data.X)[0])
    step, _, kept, _, _, curve, status = tf.while_loop(
        go_on,
        body,
        (tf.constant(0), order, ((flat, q),) * 2, start, watch, curve, tf.constant(MAX_ITER)),
        parallel_iterations=1,
    )
    # kept: the states of the last two steps; the last is no good where its ELBO was not finite
    good = tf.nest.map_structure(lambda a, b: tf.where(status == NON_FINITE, a, b), *kept)
    return _constrain(layout, good[0])[0], good[1], curve.stack()[:step], status


def _signature(structure: Structure) -> tuple:
    """Input signature with every size unknown."""
    real = functools.partial(tf.TensorSpec, dtype=structure.dtype)
    vector, matrix = real([None]), real([None, None])
    number, integer = real([]), tf.TensorSpec([], tf.int32)
    ranks = structure.kernel.all_ranks + (0,) * len(structure.likelihood.parameter_names)
    leaves = tuple(real([None] * r) for r in ranks)
    n = len(structure.kernel.all_ranks)
    sparse = structure.model in ("sgpr", "svgp")
    u = Hyperparameters(leaves[:n], leaves[n:], matrix if sparse else ())
    L = structure.n_latent  # known sizes of 1 spare transposes
    q = {"svgp": (real([None, L]), real([L, None, None])), "vgp": (real([None, L]),) * 2}
    bounds = tuple(real([None] * r + [2]) for r in ranks)
    Y = real([None, structure.likelihood.n_columns(L)])
    data = Data(matrix, Y, vector, vector, vector)
    settings = Settings(
        gamma=number,
        gamma_ramp=number,
        warm_up=integer,
        learning_rate=number,
        max_iter=integer,
        n_iter_no_change=integer,
        tol=number,
        batch_size=integer,
        jitter=number,
        seed=tf.TensorSpec([2], tf.int32),
    )
    return u, q.get(structure.model, ()), bounds, data, settings


@functools.lru_cache(maxsize=256)
def compiled_loop(structure: Structure) -> Any:
    """The training loop of a structure, compiled at most once in a process."""
    return tf.function(
        functools.partial(_loop, structure), input_signature=_signature(structure), autograph=False
    )


def _tensors(values: Any, signature: Any) -> Any:
    """Convert a nest of arrays to tensors of the signature's types."""
    return tf.nest.map_structure(
        lambda spec, v: tf.cast(tf.convert_to_tensor(v), spec.dtype), signature, values
    )


def train(
    structure: Structure,
    theta: Hyperparameters,
    variational: tuple,
    bounds: tuple,
    data: Data,
    settings: Settings,
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

    Returns
    -------
    Result
        NumPy arrays.
    """
    with np.errstate(divide="ignore"):  # a value fixed at zero has the logarithm -inf
        logs = tuple(np.log(v) for v in theta.kernel), tuple(np.log(v) for v in theta.likelihood)
        log_bounds = tuple(np.log(b) for b in bounds)
    Z = () if isinstance(theta.inducing_points, tuple) else theta.inducing_points / data.X_scale
    arguments = (Hyperparameters(*logs, Z), tuple(variational), log_bounds, data, settings)
    tensors = _tensors(arguments, _signature(structure))
    outputs = compiled_loop(structure)(*tensors)
    return Result(*tf.nest.map_structure(lambda t: t.numpy(), outputs))
