"""Start values read from the data: a look at the evidence before training.

The optimum that training ends in depends on where it begins: with length scales much longer than
the function's everything is noise, with much shorter ones every row stands alone, and from neither
a gradient leads back. To look at a handful of starts on some hundred rows takes milliseconds.

A start that is better than noise alone is kept, even where another one looks better: of 192 fits
of 13 data sets, 100 and 300 rows, the best start ended below the one given as often as above, and
on pumadyn32nm (32 columns, most without a meaning) 350 nats below: short length scales win there
because they are as good as noise.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from .. import kernels
from .._inference.covariances import cross_covariances
from .._linalg import one_blas_thread
from ..inducing import column_spread
from ..means import Zero
from .problem import Problem

__all__ = ["Regression", "Start", "as_regression", "best_start", "less_mean", "missing_noise"]

# Rows looked at: a factorisation of 128 takes 0.1 ms, and a start is no more than a start.
_ROWS = 128
# Length scales are tried in these multiples (the longer ones for columns in large units), the noise
# at these shares of the mean square of y.
_LENGTHS, _NOISE_SHARES = tuple(4.0**k for k in range(-3, 7)), (0.1, 1e-3)
# The prior variance is fitted to the mean square of y where it is off by more than this factor.
_OFF = 10.0
# Nats by which a start has to be better than noise alone, to be kept or to be taken.
_MARGIN = 10.0


class Start(NamedTuple):
    """Where training may begin."""

    values: tuple  # of the kernel
    noise: float  # variance, on the scale of Y


class Regression(NamedTuple):
    """Rows as a regression sees them."""

    X: np.ndarray  # [N, D]
    Y: np.ndarray  # [N, P]
    weights: np.ndarray  # [N]
    noise: np.ndarray  # [N], known noise variance


def as_regression(problem: Problem) -> tuple[Regression, float, Any]:
    """Rows as a regression, the noise variance to begin with, and its bounds where it moves."""
    (X, Y, weights, row), likelihood = problem.rows, problem.likelihood
    values = tuple(p.value for p in problem.observation)
    targets, noise, moves = likelihood.as_regression(Y, values, row, problem.spread)
    known = likelihood.noise_of_rows((0.0,), row) if likelihood.conjugate else np.zeros(len(X))
    bounds = problem.observation[0].bounds if moves and problem.learns_noise else None
    return Regression(X, targets, weights, known), noise, bounds


def less_mean(problem: Problem, rows: Regression) -> Regression:
    """With what the mean of f leaves of the targets, these centred where it has been learned."""
    values, likelihood = tuple(p.value for p in problem.mean), problem.likelihood
    mean = problem.mean_function.added(values, np.zeros_like(rows.Y), rows.X)
    if not (likelihood.location and isinstance(likelihood.mean, Zero)):
        mean = mean - mean.mean(0)
    return rows._replace(Y=rows.Y - mean)


def best_start(
    parsed: kernels.ParsedKernel,
    given: Start,
    rows: Regression,
    noise_bounds: tuple[float, float] | None = None,
    scale_prior: bool = True,
) -> Start:
    """The start given, or if that is no better than noise alone the best of a handful that is.

    By the evidence of some of the rows. Only values that are free move, and only within bounds;
    without ``noise_bounds`` the noise stays, and constants of the kernel follow the mean square of
    Y with ``scale_prior`` only.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng._estimator.starts import Regression, Start, best_start
    >>> from skgpng.kernels import parse
    >>> X = np.linspace(0, 1, 50)[:, None]
    >>> rows = Regression(X, np.sin(10 * np.pi * X), np.ones(50), np.zeros(50))
    >>> parsed = parse(RBF(1.0))
    >>> (length_scale,) = best_start(parsed, Start(parsed.values, 0.1), rows).values
    >>> print(length_scale)
    0.0625
    """
    rows, size = _some(rows)
    levels = [given.noise]
    if noise_bounds is not None:
        levels += [float(np.clip(share * size, *noise_bounds)) for share in _NOISE_SHARES]
    least = _evidence_of_noise(rows, size) + _MARGIN
    if _evidences(parsed, [given], rows)[0] >= least:
        return given
    others = _kernel_starts(parsed, given.values, rows.X, size if scale_prior else None)
    starts = [Start(values, n) for values in others for n in dict.fromkeys(levels)]
    found = _evidences(parsed, starts, rows)
    best = int(np.argmax(found))
    return starts[best] if found[best] >= least else given


def missing_noise(
    parsed: kernels.ParsedKernel, learned: Start, rows: Regression
) -> tuple[float, float]:
    """Nats that more noise than was given would gain on some of the rows, and its share of y^2.

    At other length scales too; zero where that is less than a clear gain.
    """
    rows, size = _some(rows)
    now = learned.noise + np.mean(rows.noise)
    shares = [share for share in (0.3, 0.1, 0.03, 0.01) if share * size > 10.0 * now]
    if not shares:
        return 0.0, 0.0
    others = [learned.values, *_kernel_starts(parsed, learned.values, rows.X, None)]
    starts = [Start(values, share * size) for values in others for share in shares]
    found = _evidences(parsed, [learned, *starts], rows)
    best = int(np.argmax(found[1:]))
    gain = float(found[1 + best] - found[0])
    return (gain, starts[best].noise / size) if gain > _MARGIN else (0.0, 0.0)


def _some(rows: Regression) -> tuple[Regression, float]:
    """Some of the rows, and the mean square of their targets."""
    every = -(-len(rows.X) // _ROWS)
    X, Y, weights, noise = (a[::every].astype(np.float64, copy=False) for a in rows)
    return Regression(X, Y, weights, noise), max(float(np.mean(Y**2)), np.finfo(float).tiny)


def _kernel_starts(
    parsed: kernels.ParsedKernel, given: tuple, X: np.ndarray, size: float | None
) -> Iterator[tuple]:
    """Values of the kernel to try; ``size``: the prior variance that Y has."""
    prior = float(np.mean(cross_covariances(parsed.structure, given, X, X)[1]))
    off = size / prior if size is not None and prior > 0.0 else 1.0
    factors = [1.0] if 1.0 / _OFF <= off <= _OFF else [1.0, off]
    # a line through data far from the origin meets the axis there as far from zero
    origins = [0.0, float(np.linalg.norm(X.mean(0)))]
    columns = kernels.seen_columns(parsed, X.shape[1])
    units = [_units(v, seen, X) for v, seen in zip(given, columns, strict=True)]
    lengths: list[Callable] = [lambda v, unit, by=by: by * v for by in _LENGTHS]
    if any(unit is not None for unit in units):  # one for each column: also in its units
        lengths += [lambda v, unit, by=by: v if unit is None else by * unit for by in _LENGTHS[1:5]]
    tried: set = set()
    for length, factor, origin in itertools.product(lengths, factors, origins):
        change: dict[str, Callable] = {
            "length_scale": length,
            "constant_value": lambda v, unit, by=factor: by * v,
            "sigma_0": lambda v, unit, least=origin: np.maximum(v, least),
        }
        values = tuple(
            np.clip(
                change.get(p.name.rpartition("__")[2], lambda v, unit: np.asarray(v))(v, unit),
                *np.moveaxis(p.bounds, -1, 0),
            )
            for p, v, unit in zip(parsed.parameters, given, units, strict=True)
        )
        key = tuple(v.tobytes() for v in values)
        if key not in tried:
            tried.add(key)
            yield values


def _units(value: np.ndarray, seen: np.ndarray | None, X: np.ndarray) -> np.ndarray | None:
    """Unit of each entry that belongs to a column of X: the spread of these columns together."""
    if seen is None or np.shape(value) != (len(seen),):
        return None
    return column_spread(X, np.ones(len(X)))[seen] * np.sqrt(len(seen))


def _evidences(parsed: kernels.ParsedKernel, starts: list[Start], rows: Regression) -> np.ndarray:
    """Log evidence of each start, minus infinity where it cannot be evaluated."""
    found, values, K = [], None, np.zeros((0, 0, 0))
    with one_blas_thread, np.errstate(all="ignore"):
        for start in starts:
            if start.values is not values:
                values = start.values
                K, _ = cross_covariances(parsed.structure, values, rows.X, rows.X)
            noise = (start.noise + rows.noise) / rows.weights
            found.append(_evidence(K, rows.Y, noise))
    return np.nan_to_num(found, nan=-np.inf, posinf=-np.inf)


def _evidence_of_noise(rows: Regression, size: float) -> float:
    """The same of a model without a function, with noise of the mean square of Y."""
    noise = np.maximum(size, rows.noise) / rows.weights
    P = rows.Y.shape[1]
    return -0.5 * (np.sum(rows.Y**2 / noise[:, None]) + P * np.log(noise).sum())


def _evidence(K: np.ndarray, Y: np.ndarray, noise: np.ndarray) -> float:
    """Rasmussen & Williams 2006, eq. 2.30, without constants, summed over the columns of Y.

    Latent functions beyond the columns have no targets.
    """
    total = 0.0
    for k, covariance in enumerate(K[: Y.shape[1]]):
        own = Y if len(K) == 1 else Y[:, k : k + 1]
        try:
            L = np.linalg.cholesky(covariance + np.diag(noise))
        except np.linalg.LinAlgError:
            return -np.inf
        z = solve_triangular(L, own, lower=True, check_finite=False)
        total -= 0.5 * np.sum(z**2) + own.shape[1] * np.log(np.diag(L)).sum()
    return total
