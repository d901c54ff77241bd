"""Priors that the user gives by the names of parameters."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from .._runtime import tf
from .._training.distributions import as_it_is, described, rebuilt
from ..kernels import ParsedKernel
from ..likelihoods import Likelihood
from ..parameters import DensityPrior, Parameter

__all__ = ["check_copies", "check_priors", "with_priors"]

# Multiples of a start that are looked at, as logarithms: how far, in how many steps, and how close
# the last ones are; and nats below the best of them that are good enough for each entry.
_FARTHEST, _STEPS, _NARROWEST, _ENOUGH = 20.0, 201, 1e-5, 2.0
# Share of an end of a support by which training stays inside.
_END = 1e-9


def check_priors(given: dict | None) -> None:
    """ValueError for what is no distribution."""
    for name, prior in (given or {}).items():
        if isinstance(prior, type) or not callable(getattr(prior, "log_prob", None)):
            raise ValueError(
                f"priors[{name!r}] must be a distribution with log_prob, such as "
                f"tensorflow_probability.distributions.LogNormal(0.0, 1.0); got {prior!r:.60}."
            )
        if getattr(prior, "validate_args", False):
            raise ValueError(
                f"priors[{name!r}] has validate_args=True, by which it fails inside of training "
                "where it has no density. Leave that out."
            )


def with_priors(
    given: dict | None,
    parsed: ParsedKernel,
    likelihood: Likelihood,
    observation: tuple[Parameter, ...],
    mean: tuple[Parameter, ...],
    begins: bool,
) -> tuple[ParsedKernel, tuple[Parameter, ...], tuple[Parameter, ...]]:
    """Parameters of kernel, likelihood and mean, with the priors that are given.

    Where training ``begins``, from values that these do not all but exclude.

    ValueError for a name that there is not, a parameter that is fixed, and a prior that the value
    to begin with cannot have.
    """
    if not given:
        return parsed, observation, mean
    parts = [list(parsed.parameters), list(observation), list(mean)]
    places = _places(parsed, likelihood, observation, mean)
    for name, prior in given.items():
        if name not in places:
            known = ", ".join(map(repr, places))
            raise ValueError(f"priors has {name!r}, but the parameters are {known}.")
        part, k, power = places[name]
        p = parts[part][k]
        if not p.free:
            raise ValueError(
                f"priors has {name!r}, which is fixed: no prior moves it. Leave the prior out, or "
                "give the parameter bounds (for the noise: alpha=None)."
            )
        if isinstance(p.prior, DensityPrior):
            raise ValueError(f"priors has {name!r}, and another name of the same parameter.")
        density = _density_of(prior, p.value, power)
        _check_start(name, density, p.value)
        p = p._replace(prior=density, bounds=_inside(p, prior, power))
        parts[part][k] = p._replace(value=_plausible(p, density)) if begins and not p.real else p
        if name == "mean__slopes":
            parts[part] = _as_wide(parts[part], prior)
    kernel, observation, mean = map(tuple, parts)
    return parsed._replace(parameters=kernel), observation, mean


def _places(
    parsed: ParsedKernel, likelihood: Likelihood, observation: tuple, mean: tuple
) -> dict[str, tuple[int, int, float]]:
    """Part, place and power of each parameter by its name."""
    found = {f"kernel__{name}": (0, k, 1.0) for k, name in enumerate(parsed.names)}
    if parsed.noise is not None:
        found[f"kernel__{parsed.noise.name}"] = (1, 0, 1.0 / likelihood.noise_power)
    found |= {f"likelihood__{p.name}": (1, k, 1.0) for k, p in enumerate(observation)}
    return found | {f"mean__{p.name}": (2, k, 1.0) for k, p in enumerate(mean) if p.free}


def _density_of(prior: Any, value: Any, power: float) -> DensityPrior:
    """With its numbers apart, or as it is where it is built of what float64 does not suit."""
    density = DensityPrior(*described(prior), power)
    try:
        _log_density(density)(np.asarray(value, float))
    except TypeError:
        return DensityPrior(*as_it_is(prior), power)
    except (ValueError, IndexError, tf.errors.InvalidArgumentError):  # told by _check_start
        pass
    return density


def _as_wide(mean: list[Parameter], prior: Any) -> list[Parameter]:
    """Parameters of a linear mean, its slopes as uncertain in predictions as under their prior."""
    try:
        std = np.asarray(prior.stddev(), float)
    except (AttributeError, NotImplementedError):  # of which there is none: the usual width
        return mean
    slopes = next(p.value for p in mean if p.name == "slopes")  # [D, L]
    width = np.sqrt(2.0) * np.broadcast_to(std, slopes.shape).max(1)
    usable = np.all(np.isfinite(width) & (width > 0))
    bounds = np.broadcast_to([-np.inf, np.inf], (len(width), 2))
    return [
        p._replace(value=width, bounds=bounds) if p.name == "width" and usable else p for p in mean
    ]


def _log_density(prior: DensityPrior) -> Callable:
    """Logarithm of the density of values, of arrays."""
    distribution = rebuilt(prior.family, tf.constant(prior.numbers))
    dtype = getattr(distribution, "dtype", tf.float64)
    return lambda value: np.asarray(
        distribution.log_prob(tf.constant(value**prior.power, dtype)), float
    )


def _plausible(p: Parameter, prior: DensityPrior) -> np.ndarray:
    """The value to begin with, where its prior all but excludes it a multiple that it does not.

    Far out on a narrow prior, Adam's steps remember the size of the first gradients and end short
    of the optimum: by 30 nats, for a deviation of 1 % and a start at twice the median.
    """
    log_density, value = _log_density(prior), np.asarray(p.value, float)
    low, high = np.moveaxis(np.asarray(p.bounds, float), -1, 0)

    def of(factors: np.ndarray) -> np.ndarray:  # [T, n], of each entry, or of all together
        values = np.clip(factors.reshape(-1, *[1] * value.ndim) * value, low, high)
        found = log_density(values)
        if found.shape[:1] != factors.shape:  # an object that takes one value at a time
            found = np.stack([log_density(one) for one in values])
        return np.nan_to_num(found.reshape(len(factors), -1), nan=-np.inf)

    try:
        n = of(np.ones(1)).shape[1]
        factors = [_best_factor(lambda t, k=k: of(t)[:, k]) for k in range(n)]
    except (ValueError, tf.errors.InvalidArgumentError):  # it checks its values
        return value
    factor = np.reshape(factors, value.shape) if n == value.size else factors[0]
    return np.clip(factor * value, low, high)


def _best_factor(of: Callable) -> float:
    """The factor nearest to 1 at which a log density [T] -> [T] is next to its largest."""
    best, width = 0.0, _FARTHEST
    while width > _NARROWEST:
        steps = best + np.linspace(-width, width, _STEPS)
        best, width = float(steps[np.argmax(of(np.exp(steps)))]), 4.0 * width / _STEPS
    way = best * np.linspace(0.0, 1.0, _STEPS)  # from the value given to the best multiple
    near = of(np.exp(way)) >= of(np.exp(way[-1:])) - _ENOUGH
    return float(np.exp(way[np.argmax(near)]))


def _check_start(name: str, prior: DensityPrior, start: Any) -> None:
    """ValueError where the prior does not take the value to begin with."""
    value = np.asarray(start, float)
    try:
        density = _log_density(prior)(value)
    except (ValueError, IndexError, tf.errors.InvalidArgumentError):
        density = None
    if density is None or density.shape != value.shape[: density.ndim]:
        raise ValueError(
            f"priors[{name!r}] does not suit a value of shape {value.shape}. Give one distribution "
            "for all entries, or as many as there are."
        )
    if not np.isfinite(density).all():
        raise ValueError(
            f"priors[{name!r}] has no density at {value.tolist()}, where training begins. Choose "
            "another prior, or a kernel that begins where it has one."
        )


def _inside(p: Parameter, prior: Any, power: float) -> np.ndarray:
    """Bounds of a parameter, [..., 2], within the ends of its prior where it has such.

    Steps beyond would be taken back, and training end where the first of them was.
    """
    ends = [getattr(prior, side, None) for side in ("low", "high")]
    low, high = np.moveaxis(np.asarray(p.bounds, float), -1, 0)
    if any(end is None for end in ends):
        return p.bounds
    # densities end before or at them; what has no end is infinite
    a, b = (np.asarray(end, float) for end in ends)
    a, b = (
        np.where(np.isfinite(end), end + sign * _END * np.abs(np.nan_to_num(end)), end)
        for end, sign in ((a, 1.0), (b, -1.0))
    )
    if not p.real:
        a, b = (np.maximum(end, 0.0) ** (1.0 / power) for end in (a, b))
    low, high = np.maximum(low, a), np.minimum(high, b)
    if not np.all(low < high):
        raise ValueError(
            f"The prior of {p.name} ends where the bounds begin: {a.tolist()} to {b.tolist()}, in "
            f"the bounds {np.asarray(p.bounds).tolist()}. Widen the bounds."
        )
    return np.stack([low, high], -1)


def check_copies(given: dict | None) -> None:
    """PicklingError for a distribution of which there is no copy."""
    for name, prior in (given or {}).items():
        try:
            copy.deepcopy(prior)
        except TypeError as error:  # TensorFlow Probability's own, of those built from others
            raise pickle.PicklingError(
                f"priors[{name!r}], {type(prior).__name__}, cannot be copied ({error}). What was "
                "learned does not need it: set_params(priors=None)."
            ) from error
