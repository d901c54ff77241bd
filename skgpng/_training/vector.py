r"""All parameters as one vector u: logarithms of positive entries, real ones in their unit.

One vector, because Adam, bounds and checks then cost a handful of operations a step instead of a
handful for each parameter; with ten inducing points operations are all that a step costs.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg

from .._runtime import map_leaves, tf
from ..parameters import CauchyPrior, DensityPrior, Hyperparameters, Parameter, Parameters
from .distributions import rebuilt

__all__ = [
    "Coordinates",
    "Form",
    "Prior",
    "add_log_prior",
    "as_vector",
    "constrain",
    "coordinates_of",
    "form_of",
    "log_prior",
    "objective",
    "signature",
    "start_of",
]


class Form(NamedTuple):
    """What a compiled function knows of the parameters: hashable, no number."""

    ranks: Hyperparameters  # axes of each
    # whether any has a weak prior: one that is nothing would cost the steps of ten inducing points
    # 7 %
    prior: bool
    # which of them have a density of a user's, its family and power
    densities: tuple = ()


class Prior(NamedTuple):
    """The log priors of all parameters together, see :mod:`skgpng.parameters`."""

    entries: Any  # [n, 1, 1], which entries of u have one
    mixing: Any  # [K, n]
    offset: Any  # [K, 1]
    numbers: Any  # of all densities, one after the other


class Coordinates(NamedTuple):
    """What the entries of u stand for, and where they may go."""

    sizes: Any  # entries of each parameter
    axes: Any  # shapes of all parameters, one after the other
    logarithm: Any  # [n], whether an entry is the logarithm of a value
    unit: Any  # [n], of the other entries; inducing points have that of their column
    low: Any  # [n], bounds
    high: Any
    free: Any  # [n], 1 for what moves, 0 for what is held
    prior: Prior


# --- from parameters -------------------------------------------------------------------------


def _in_order(parameters: Parameters) -> list[Parameter]:
    """Parameters in the order of Hyperparameters, inducing points as one of them."""
    kernel, likelihood, mean, Z, *_ = parameters
    anywhere = np.broadcast_to([-np.inf, np.inf], (*np.shape(Z), 2))
    points = () if isinstance(Z, tuple) else (Parameter("", Z, anywhere, real=True),)
    return [*kernel, *likelihood, *points, *mean]


def _on_the_line(p: Parameter, values: Any) -> np.ndarray:
    with np.errstate(divide="ignore"):  # what is fixed at zero has the logarithm -inf
        return np.asarray(values if p.real else np.log(values), float)


def form_of(parameters: Parameters) -> Form:
    """The form of u."""
    ranks = map_leaves(np.ndim, parameters.values)
    each = [(k, p.prior) for k, p in enumerate(_in_order(parameters))]
    own = tuple((k, p.family, p.power) for k, p in each if isinstance(p, DensityPrior))
    return Form(ranks, any(isinstance(p, CauchyPrior) for _, p in each), own)


def coordinates_of(parameters: Parameters, X_scale: np.ndarray) -> Coordinates:
    """Coordinates of u; ``X_scale`` [D] has the units of the columns of inducing points."""
    each, M = _in_order(parameters), len(parameters.inducing_points)
    sizes = [np.size(p.value) for p in each]
    bounds = [np.reshape(_on_the_line(p, p.bounds), (-1, 2)) for p in each]
    low, high = np.concatenate([np.zeros((0, 2)), *bounds]).T
    before = sum(np.size(p.value) for p in parameters.kernel + parameters.likelihood)
    free = np.repeat([float(p.free) for p in each], sizes)
    unit, of_points = np.ones(len(low)), slice(before, before + M * len(X_scale))
    # levels are held, and in units of 1 they are not rounded
    unit[of_points] = np.tile(np.where(parameters.discrete, 1.0, X_scale), M)
    moves = parameters.train_inducing & ~np.broadcast_to(parameters.discrete, np.shape(X_scale))
    free[of_points] = np.tile(moves, M)
    return Coordinates(
        np.array(sizes, int),
        np.array([axis for p in each for axis in np.shape(p.value)], int),
        np.repeat([not p.real for p in each], sizes),
        unit,
        low,
        high,
        free,
        _joint_prior(each),
    )


def start_of(parameters: Parameters, space: Coordinates) -> np.ndarray:
    """The vector u of the parameters' values."""
    each = [np.ravel(_on_the_line(p, p.value)) for p in _in_order(parameters)]
    return np.concatenate([np.zeros(0), *each]) / space.unit


def _joint_prior(each: list[Parameter]) -> Prior:
    """Of parameters in the order of u; empty where none has a prior."""
    begins = np.cumsum([0, *(np.size(p.value) for p in each)])
    found = [(at, p.prior) for at, p in zip(begins, each) if isinstance(p.prior, CauchyPrior)]
    numbers = [p.prior.numbers for p in each if isinstance(p.prior, DensityPrior)]
    entries = [at + np.arange(np.shape(prior.mixing)[1]) for at, prior in found]
    mixing = [np.asarray(prior.mixing) for _, prior in found]
    offset = [np.ravel(prior.offset) for _, prior in found]
    return Prior(
        np.concatenate([np.zeros(0), *entries]).astype(np.int32)[:, None, None],
        scipy.linalg.block_diag(*mixing) if mixing else np.zeros((0, 0)),
        np.concatenate([np.zeros(0), *offset])[:, None],
        np.concatenate([np.zeros(0), *numbers]),
    )


# --- in graphs -------------------------------------------------------------------------------


def signature() -> Coordinates:
    """Types of the coordinates."""
    whole, real = tf.TensorSpec([None], tf.int32), tf.TensorSpec([None], tf.float64)
    matrix = tf.TensorSpec([None, None], tf.float64)
    prior = Prior(tf.TensorSpec([None, 1, 1], tf.int32), matrix, matrix, real)
    return Coordinates(whole, whole, tf.TensorSpec([None], tf.bool), real, real, real, real, prior)


def constrain(form: Form, space: Coordinates, u: Any) -> tuple[Hyperparameters, Any]:
    """Hyperparameters at u, and the derivative of each entry in its entry of u."""
    derivative = tf.where(space.logarithm, tf.exp(u), space.unit)
    values = tf.where(space.logarithm, derivative, u * space.unit)
    ranks = tf.nest.flatten(form.ranks)
    parts = tf.split(values, space.sizes, num=len(ranks)) if ranks else []
    begins = itertools.accumulate(ranks, initial=0)
    shapes = (tf.slice(space.axes, [at], [rank]) for at, rank in zip(begins, ranks))
    leaves = iter([_shaped(*each) for each in zip(parts, ranks, shapes)])
    return map_leaves(lambda _: next(leaves), form.ranks), derivative


def _shaped(values: Any, rank: int, shape: Any) -> Any:
    return values if rank == 1 else tf.reshape(values, shape if rank else [])


def as_vector(theta: Hyperparameters) -> Any:
    """All entries, in the order of u; what has none is float64."""
    leaves = [tf.reshape(v, [-1]) for v in tf.nest.flatten(theta)]
    return tf.concat(leaves, 0) if leaves else tf.zeros([0], tf.float64)


def _log_prior(prior: Prior, u: Any) -> tuple[Any, Any]:
    """Logarithm of the prior, and its gradient in the entries of u that have one, [n, 1]."""
    r = tf.matmul(prior.mixing, tf.gather_nd(u, prior.entries)) - prior.offset  # [K, 1]
    spread = 1.0 + r * r
    slope = tf.matmul(prior.mixing, -2.0 * r / spread, transpose_a=True)
    return -tf.reduce_sum(tf.math.log(spread)), slope


def _log_densities(form: Form, numbers: Any, theta: Hyperparameters) -> Any:
    """Logarithm of the densities that the user has given, each at the value itself."""
    leaves, total = tf.nest.flatten(theta), tf.zeros([], tf.float64)
    each = tf.split(numbers, [family.size for _, family, _ in form.densities])
    for (at, family, power), own in zip(form.densities, each, strict=True):
        distribution = rebuilt(family, own)
        value = leaves[at] if power == 1.0 else leaves[at] ** power
        value = tf.cast(value, getattr(distribution, "dtype", tf.float64))
        total += tf.reduce_sum(tf.cast(distribution.log_prob(value), tf.float64))
    return total


def add_log_prior(form: Form, space: Coordinates, u: Any, elbo: Any, g_u: Any) -> tuple[Any, Any]:
    """The objective, ELBO and log prior together, and its gradient in u."""
    if form.prior:
        value, slope = _log_prior(space.prior, u)
        elbo, g_u = elbo + value, tf.tensor_scatter_nd_add(g_u, space.prior.entries, slope)
    if form.densities:
        theta, derivative = constrain(form, space, u)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(theta)
            value = _log_densities(form, space.prior.numbers, theta)
        g_theta = tape.gradient(value, theta, unconnected_gradients="zero")
        elbo, g_u = elbo + value, g_u + as_vector(g_theta) * derivative
    return elbo, g_u


def objective(parameters: Parameters, theta: Hyperparameters, elbo: float) -> float:
    """What training maximises, the ELBO with the log prior, of arrays."""
    return elbo + log_prior(parameters.at(theta)) if np.isfinite(elbo) else elbo


def log_prior(parameters: Parameters) -> float:
    """Of the values of parameters, that of the weak priors up to a constant."""
    form, each = form_of(parameters), _in_order(parameters)
    if not (form.prior or form.densities):
        return 0.0
    prior = Prior(*map(tf.constant, _joint_prior(each)))
    u = np.concatenate([np.ravel(_on_the_line(p, p.value)) for p in each])
    total = float(_log_prior(prior, tf.constant(u))[0])
    if form.densities:
        theta = map_leaves(lambda v: tf.constant(v, tf.float64), parameters.values)
        total += float(_log_densities(form, prior.numbers, theta))
    return total
