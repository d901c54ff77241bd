"""Priors that the user gives by the names of parameters."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from .._runtime import tf
from .._training.distributions import described, rebuilt
from ..kernels import ParsedKernel
from ..likelihoods import Likelihood
from ..parameters import DensityPrior, Parameter

__all__ = ["check_copies", "check_priors", "with_priors"]

# Multiples of a start that are looked at, as logarithms: how far, in how many steps, and how close
# the last ones are; and nats below the best of them that are good enough for each entry.
_FARTHEST, _STEPS, _NARROWEST, _ENOUGH = 20.0, 201, 1e-5, 2.0


def check_priors(given: dict | None) -> None:
    """ValueError for what is no distribution."""
    for name, prior in (given or {}).items():
        if isinstance(prior, type) or not callable(getattr(prior, "log_prob", None)):
            raise ValueError(
                f"priors[{name!r}] must be a distribution with log_prob, such as "
                f"tensorflow_probability.distributions.LogNormal(0.0, 1.0); got {prior!r:.60}."
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
        density = DensityPrior(*described(prior), power)
        _check_start(name, density, p.value)
        p = p._replace(prior=density, bounds=_inside(p, prior, power))
        parts[part][k] = p._replace(value=_plausible(p, density)) if begins and not p.real else p
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

    def of(factors: np.ndarray) -> np.ndarray:  # [T], summed over the entries
        values = np.clip(factors.reshape(-1, *[1] * value.ndim) * value, low, high)
        found = log_density(values)
        if found.shape[:1] != factors.shape:  # an object that takes one value at a time
            found = np.stack([log_density(one) for one in values])
        return np.nan_to_num(found.reshape(len(factors), -1).sum(1), nan=-np.inf)

    best, width = 0.0, _FARTHEST
    while width > _NARROWEST:
        steps = best + np.linspace(-width, width, _STEPS)
        best, width = float(steps[np.argmax(of(np.exp(steps)))]), 4.0 * width / _STEPS
    way = best * np.linspace(0.0, 1.0, _STEPS)  # from the value given to the best multiple
    near = of(np.exp(way)) >= of(np.exp(way[-1:])) - _ENOUGH * value.size
    return np.clip(np.exp(way[np.argmax(near)]) * value, low, high)


def _check_start(name: str, prior: DensityPrior, start: Any) -> None:
    """ValueError where the prior does not take the value to begin with."""
    value = np.asarray(start, float)
    try:
        density = _log_density(prior)(value)
    except (ValueError, tf.errors.InvalidArgumentError):
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
    a, b = (np.asarray(end, float) for end in ends)
    margin = 1e-9 * (b - a)  # densities end before or at them
    a, b = (a + margin) ** (1.0 / power), (b - margin) ** (1.0 / power)
    return np.stack([np.maximum(low, a), np.minimum(high, b)], -1)


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
