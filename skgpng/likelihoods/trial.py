"""A trial before training, of whether ``log_prob`` computes what it promises.

What is wrong with a likelihood of somebody else's shows here, by name, and not inside a compiled
loop, or never.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from .._runtime import tf
from . import _numerical as numerical
from .base import Likelihood

__all__ = ["tried_offset"]

# What leans on log_prob where a likelihood does not override it.
_LEANS = ("variational_expectations", "predict_log_density", "predict_quantiles")
# Steps of f from where training begins, at which the density is added up.
_STEPS = np.array([[-1.0], [0.0], [1.0]])
# Steps of f at which it has to be a number, [2, 1, 1].
_NEAR = np.array([-3.0, 3.0])[:, None, None]
# What a density may add up to: constants that are missing are further off, an integral is not.
_TOLERANCE = 0.01


def tried_offset(
    likelihood: Likelihood, values: tuple, Y: np.ndarray, weights: np.ndarray, row: np.ndarray
) -> np.ndarray:
    """The ``offset`` of a likelihood, once its ``log_prob`` is found to be a log density.

    It is looked at where training or predictions lean on it.

    Parameters
    ----------
    likelihood : Likelihood
    values : tuple
        Parameters to begin with.
    Y : array of shape (N, P)
    weights : array of shape (N,)
    row : array of shape (N, R)

    Returns
    -------
    ndarray of shape (L,)

    Raises
    ------
    TypeError
        For a signature that does not fit.
    ValueError
        For one that fails, gives another shape or type, is not finite where training begins, or
        does not add up to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import Poisson, tried_offset
    >>> Y, row = np.array([[1.0], [3.0]]), np.ones((2, 1))
    >>> print(tried_offset(Poisson(), (), Y, np.ones(2), row).round(4))  # log of the mean
    [0.6931]
    """
    cls = type(likelihood)
    if not likelihood.foreign or not any(
        getattr(cls, name) is getattr(Likelihood, name) for name in _LEANS
    ):
        return likelihood.offset(Y, weights, row)
    _check_signature(likelihood, values)
    L, P = likelihood.n_latent(Y.shape[1]), Y.shape[1]
    log_prob = _compiled(likelihood, tuple(np.shape(v) for v in values), L, P, row.shape[1])
    f = likelihood.offset(Y, weights, row)
    values = tuple(tf.constant(np.asarray(v, float)) for v in values)
    _check_begin(likelihood, log_prob, values, f, Y, row)
    if likelihood.support == "labels":
        _check_total_of_labels(likelihood, log_prob, values, f, row)
    elif L == P and likelihood.support in numerical.TABLES:
        _check_total(likelihood, log_prob, values, f, row)
    return f


def _check_signature(likelihood: Likelihood, values: tuple) -> None:
    name, learned = type(likelihood).__name__, likelihood.parameter_names
    try:
        inspect.signature(likelihood.log_prob).bind(values, None, None, None)
    except TypeError as error:
        raise TypeError(
            f"{name}.log_prob is called with four arguments, which it does not take ({error}). "
            "Write it as log_prob(self, values, F, Y, row=None)."
        ) from error
    if getattr(likelihood, "__hash__", None) is None:
        raise TypeError(
            f"{name} has no hash, by which compiled code is found again. Make it a frozen "
            "dataclass: @dataclass(frozen=True)."
        )
    if len(values) != len(learned):
        raise ValueError(
            f"parameter_names of {name} are {learned}, but its method parameters gives "
            f"{len(values)} of them. Override it: one Parameter for each name, in this order."
        )


@functools.lru_cache(maxsize=64)
def _compiled(likelihood: Likelihood, numbers: tuple, L: int, P: int, R: int) -> Callable:
    """``log_prob`` as training compiles it, once it was found to give what it should.

    ValueError else. That takes 15 ms: fits of a search share it.
    """
    N, name = 3, type(likelihood).__name__
    shapes = (*numbers, [None, None, L], [None, P], [None, R])

    def log_prob(*given: Any) -> Any:
        return likelihood.log_prob(given[:-3], *given[-3:])

    at = [tf.fill(s, tf.constant(0.5, tf.float64)) for s in (*numbers, (2, N, L), (N, P), (N, R))]
    given = f"F [2, {N}, {L}], Y [{N}, {P}], row [{N}, {R}]"
    try:
        compiled = tf.function(log_prob, autograph=False).get_concrete_function(
            *(tf.TensorSpec(s, tf.float64) for s in shapes)
        )
        found = compiled(*at)
    except Exception as error:
        raise ValueError(
            f"{name}.log_prob fails for tensors of float64, {given}: {error}\nIt must compute by "
            "TensorFlow (tf.exp, not np.exp; tf.constant(a, F.dtype) for arrays of its own), "
            "entry by entry."
        ) from error
    if not tf.is_tensor(found) or found.dtype != tf.float64 or found.shape != (2, N, P):
        what = f"{found.dtype.name} {found.shape}" if tf.is_tensor(found) else type(found).__name__
        raise ValueError(
            f"{name}.log_prob gives {what} for {given}: it must give a tensor of float64 with the "
            f"shape [2, {N}, {P}], a number for each entry of Y. Take columns of row as "
            "row[:, :1], and do not sum."
        )
    return compiled


def _check_begin(
    likelihood: Likelihood, log_prob: Callable, values: tuple, f: np.ndarray, *rows: np.ndarray
) -> None:
    F = np.broadcast_to(f, (len(rows[0]), len(f)))
    wrong = np.argwhere(~np.isfinite(log_prob(*values, F[None], *rows)[0]))
    if len(wrong):
        n, p = wrong[0]
        raise ValueError(
            f"{type(likelihood).__name__}.log_prob is infinite or NaN at f = {f[p % len(f)]:.6g}, "
            f"y = {rows[0][n, p]:.6g} (as scaled){_told(likelihood, values)}: training cannot "
            "begin there. If y cannot be that, say so by support or by the method check; else "
            "mind logarithms of 0, and numbers that overflow."
        )
    near = log_prob(*values, F + _NEAR, *rows)
    wrong = np.argwhere(np.isnan(near))
    if len(wrong):
        k, _, p = wrong[0]
        at = f[p % len(f)] + _NEAR[k].item()
        raise ValueError(
            f"{type(likelihood).__name__}.log_prob is NaN at f = {at:.6g}"
            f"{_told(likelihood, values)}: f may be any real number. Take a function of it that is "
            "what the distribution needs, such as tf.exp(f) for a rate."
        )


def _check_total(
    likelihood: Likelihood, log_prob: Callable, values: tuple, f: np.ndarray, row: np.ndarray
) -> None:
    """At some f, and for as many rows."""
    F, support = f + _STEPS, likelihood.support
    row = np.resize(row, (len(F), row.shape[1]))

    def density(y: np.ndarray) -> np.ndarray:  # [3, P] or [J, 3, P]
        J, P = y.size // F.size, y.shape[-1]
        rows = np.tile(F, (J, 1))[None], y.reshape(-1, P), np.tile(row, (J, 1))
        return numerical.without_nan(log_prob(*values, *rows)).reshape(y.shape)

    total = numerical.total(density, support, F.shape)
    wrong = np.argwhere(np.abs(total - 1.0) > _TOLERANCE)
    if len(wrong):
        at = tuple(wrong[0])
        raise ValueError(
            f"exp(log_prob) of {type(likelihood).__name__} adds up to {total[at]:.6g} over all y "
            f"(support {support!r}) at f = {F[at]:.6g}{_told(likelihood, values)}, and not to 1: "
            "elbo_ and scores would be wrong by that. Add its normalising constant, or set the "
            "support that y has."
        )


def _check_total_of_labels(
    likelihood: Likelihood, log_prob: Callable, values: tuple, f: np.ndarray, row: np.ndarray
) -> None:
    """At some f, over class numbers."""
    F, row = f + _STEPS * np.arange(1.0, len(f) + 1.0), np.resize(row, (3, row.shape[1]))
    every = [np.full((3, 1), float(k)) for k in range(max(2, len(f)))]
    total = sum(np.exp(log_prob(*values, F[None], Y, row)[0]) for Y in every)[:, 0]
    worst = int(np.argmax(np.abs(total - 1.0)))
    if not abs(total[worst] - 1.0) < _TOLERANCE:
        raise ValueError(
            f"exp(log_prob) of {type(likelihood).__name__} adds up to {total[worst]:.6g} over the "
            f"class numbers 0 to {len(every) - 1} at f = {F[worst].tolist()}"
            f"{_told(likelihood, values)}, and not to 1. Y is 1 for the second class."
        )


def _told(likelihood: Likelihood, values: tuple) -> str:
    """Parameters, for messages."""
    pairs = zip(likelihood.parameter_names, values, strict=True)
    return "".join(f", {name} = {np.array2string(np.asarray(v))}" for name, v in pairs)
