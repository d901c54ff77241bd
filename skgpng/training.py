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
from .kernels import Kernel, covariance
from .likelihoods import Likelihood
from .linalg import add_jitter
from .models import Hyperparameters

__all__ = [
    "CONVERGED",
    "MAX_ITER",
    "NON_FINITE",
    "Data",
    "SITE_FLOOR",
    "Result",
    "Settings",
    "Structure",
    "compiled_loop",
    "constrain",
    "train",
]

CONVERGED, MAX_ITER, NON_FINITE = 0, 1, 2

_LOG_2PI = float(np.log(2.0 * np.pi))
#: Site precisions stay above this, so that (1 - diag B^-1) / precision keeps nine digits.
SITE_FLOOR = 1e-6
# Learning rate and stopping: a plateau cuts the rate to a third; the third plateau ends training.
_RATE_CUT = 1.0 / 3.0
_PLATEAUS = 3.0


class Structure(NamedTuple):
    """What one compiled loop is for; hashable.

    Attributes
    ----------
    model : {"gpr", "sgpr", "vgp", "svgp"}
        Exact regression, collapsed bound, one variational variable per row, inducing points.
    kernel : Kernel
    likelihood : Likelihood
    train_likelihood : tuple of bool
        Per parameter of the likelihood.
    train_inducing : bool
    minibatch : bool
    n_latent : int
        Latent functions.
    dtype : str
    """

    model: str
    kernel: Kernel
    likelihood: Likelihood
    train_likelihood: tuple[bool, ...]
    train_inducing: bool
    minibatch: bool
    n_latent: int
    dtype: str


class Data(NamedTuple):
    """Rows to learn from.

    Attributes
    ----------
    X : array of shape (N, D)
    Y : array of shape (N, P)
    weights : array of shape (N,)
        Positive.
    row_noise : array of shape (N,)
        Known noise variance of each row, scaled y.
    X_scale : array of shape (D,)
        Unit in which Adam moves the inducing points.
    """

    X: Any
    Y: Any
    weights: Any
    row_noise: Any
    X_scale: Any


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


class Result(NamedTuple):
    """What training gives.

    Attributes
    ----------
    theta : Hyperparameters
        Positive values.
    variational : tuple of tensors
        ``(nat1, nat2)`` for "svgp", ``(site_mean, site_precision)`` [N, L] each for "vgp", else
        empty.
    elbo_curve : tensor of shape (n_iter,)
    status : int
        ``CONVERGED``, ``MAX_ITER`` or ``NON_FINITE``.
    """

    theta: Hyperparameters
    variational: tuple
    elbo_curve: Any
    status: Any


class _State(NamedTuple):
    u: Hyperparameters
    variational: tuple
    adam: optimizers.AdamState


class _Watch(NamedTuple):
    """Progress: what the stopping rule remembers."""

    best: Any
    smooth: Any
    since_best: Any
    rate: Any
    plateaus: Any


def constrain(u: Hyperparameters, X_scale: Any) -> Hyperparameters:
    """Positive hyperparameters from their logarithms; inducing points from units of X_scale."""
    Z = () if isinstance(u.inducing_points, tuple) else u.inducing_points * X_scale
    return Hyperparameters(tuple(map(tf.exp, u.kernel)), tuple(map(tf.exp, u.likelihood)), Z)


def _to_log_scale(
    structure: Structure, gradient: Hyperparameters, theta: Hyperparameters, X_scale: Any
) -> Hyperparameters:
    """Chain rule of :func:`constrain`; zero for what is held fixed."""

    def chained(free: bool, g: Any, value: Any) -> Any:
        return g * value if free else tf.zeros_like(value)

    Z = ()
    if not isinstance(theta.inducing_points, tuple):
        Z = chained(structure.train_inducing, gradient.inducing_points, X_scale)
        Z = tf.broadcast_to(Z, tf.shape(theta.inducing_points))
    kernel = map(chained, structure.kernel.all_free, gradient.kernel, theta.kernel)
    likelihood = map(chained, structure.train_likelihood, gradient.likelihood, theta.likelihood)
    return Hyperparameters(tuple(kernel), tuple(likelihood), Z)


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
    scale = data.weights[:, None]
    value, g_theta, g_q = models.elbo_and_gradients(
        lambda t: models.svgp_covariances(structure.kernel, t, data.X, s.jitter),
        theta,
        mean_sqrt,
        _KnownRowNoise(structure.likelihood, data.row_noise),
        data.Y,
        scale,
    )
    return value, g_theta, optimizers.natural_gradient_update(natural, mean_sqrt.q_mu, g_q, gamma)


def _vgp_step(
    structure: Structure, theta: Hyperparameters, q: tuple, data: Data, s: Settings, gamma: Any
) -> Any:
    """One natural-gradient step on the sites; the gradient in K is that at their fixed point."""
    with tf.GradientTape(persistent=False, watch_accessed_variables=False) as tape:
        tape.watch(theta.kernel)
        K = add_jitter(covariance(structure.kernel, theta.kernel, data.X), s.jitter)
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
        (site_mean, tf.maximum(site_precision, SITE_FLOOR)),
    )


_STEPS: dict[str, Callable] = {
    "gpr": _collapsed(_gpr_step),
    "sgpr": _collapsed(_sgpr_step),
    "vgp": _vgp_step,
    "svgp": _svgp_step,
}


# --- the loop --------------------------------------------------------------------------------


def _batch(structure: Structure, data: Data, s: Settings, step: Any) -> Data:
    """Rows of this step: all, or the next ones of a fresh permutation each epoch."""
    if not structure.minibatch:
        return data
    N = tf.cast(tf.shape(data.X)[0], tf.int64)
    position = tf.cast(step, tf.int64) * s.batch_size + tf.range(s.batch_size)
    epoch = tf.cast(position // N, tf.int32)
    seed = tf.stack([tf.fill(tf.shape(epoch), s.seed[0]), s.seed[1] + epoch, epoch], 1)
    rows = tf.random.experimental.index_shuffle(position % N, seed, N - 1)
    scale = tf.cast(N, data.X.dtype) / tf.cast(s.batch_size, data.X.dtype)
    return Data(
        tf.gather(data.X, rows),
        tf.gather(data.Y, rows),
        scale * tf.gather(data.weights, rows),
        tf.gather(data.row_noise, rows),
        data.X_scale,
    )


def _gamma(s: Settings, step: Any) -> Any:
    """Log-linear ramp (Salimbeni, Eleftheriadis & Hensman 2018, section 4)."""
    share = tf.minimum(tf.cast(step + 1, s.gamma.dtype) / s.gamma_ramp, 1.0)
    return s.gamma * tf.pow(tf.constant(0.01, s.gamma.dtype), 1.0 - share)


def _watch(watch: _Watch, value: Any, s: Settings, n_rows: Any, step: Any) -> _Watch:
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


def _clip(u: Hyperparameters, bounds: tuple) -> Hyperparameters:
    """Keep kernel and likelihood inside their (logarithmic) bounds."""
    leaves = u.kernel + u.likelihood
    held = tuple(
        tf.clip_by_value(v, b[..., 0], b[..., 1]) for v, b in zip(leaves, bounds, strict=True)
    )
    n = len(u.kernel)
    return Hyperparameters(held[:n], held[n:], u.inducing_points)


def _finite(tensors: Any) -> Any:
    flat = tf.nest.flatten(tensors)
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(t)) for t in flat])


def _loop(structure: Structure, u: Any, q: Any, bounds: Any, data: Data, s: Settings) -> Any:
    """Graph of the whole training; the state that is kept is always one whose ELBO was finite."""
    take_step = _STEPS[structure.model]
    dtype = data.X.dtype
    n_rows = tf.reduce_sum(data.weights)

    def body(step: Any, good: _State, state: _State, watch: _Watch, curve: Any, status: Any) -> Any:
        theta = constrain(state.u, data.X_scale)
        batch = _batch(structure, data, s, step)
        value, g_theta, q_next = take_step(
            structure, theta, state.variational, batch, s, _gamma(s, step)
        )
        finite = _finite((value, g_theta))
        watch = _watch(watch, value, s, n_rows, step)
        warm = tf.cast(step >= s.warm_up, dtype)
        g_u = _to_log_scale(structure, g_theta, theta, data.X_scale)
        g_u = tf.nest.map_structure(lambda g: g * warm, g_u)
        moved, adam = optimizers.adam_update(
            state.u, g_u, state.adam, warm * s.learning_rate * watch.rate
        )
        new = _State(_clip(moved, bounds), q_next, adam)
        good = tf.nest.map_structure(lambda a, b: tf.where(finite, a, b), state, good)
        status = tf.where(
            finite, tf.where(watch.plateaus >= _PLATEAUS, CONVERGED, MAX_ITER), NON_FINITE
        )
        return step + 1, good, new, watch, curve.write(step, value), status

    def go_on(step: Any, good: Any, state: Any, watch: Any, curve: Any, status: Any) -> Any:
        return tf.logical_and(step < s.max_iter, status == MAX_ITER)

    start = _State(u, q, optimizers.adam_init(u))
    zero = tf.zeros([], dtype)
    watch = _Watch(zero - np.inf, zero - np.inf, tf.constant(0), zero + 1.0, zero)
    curve = tf.TensorArray(
        dtype, size=0, dynamic_size=True, clear_after_read=False, element_shape=[]
    )
    step, good, _, _, curve, status = tf.while_loop(
        go_on,
        body,
        (tf.constant(0), start, start, watch, curve, tf.constant(MAX_ITER)),
        parallel_iterations=1,
    )
    return constrain(good.u, data.X_scale), good.variational, curve.stack(), status


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
    q = {"svgp": (matrix, real([None, None, None])), "vgp": (matrix, matrix)}
    bounds = tuple(real([None] * r + [2]) for r in ranks)
    data = Data(matrix, matrix, vector, vector, vector)
    settings = Settings(
        gamma=number,
        gamma_ramp=number,
        warm_up=integer,
        learning_rate=number,
        max_iter=integer,
        n_iter_no_change=integer,
        tol=number,
        batch_size=tf.TensorSpec([], tf.int64),
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
    arguments = (Hyperparameters(*logs, Z), variational, log_bounds, data, settings)
    outputs = compiled_loop(structure)(*_tensors(arguments, _signature(structure)))
    return Result(*tf.nest.map_structure(lambda t: t.numpy(), outputs))
