"""Priors that the user gives by the names of parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._runtime import tf
from .._training.distributions import described, rebuilt
from ..kernels import ParsedKernel
from ..likelihoods import Likelihood
from ..parameters import DensityPrior, Parameter

__all__ = ["check_priors", "with_priors"]


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
) -> tuple[ParsedKernel, tuple[Parameter, ...], tuple[Parameter, ...]]:
    """Parameters of kernel, likelihood and mean, with the priors that are given.

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
        parts[part][k] = p._replace(prior=density)
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


def _check_start(name: str, prior: DensityPrior, start: Any) -> None:
    """ValueError where the prior does not take the value to begin with."""
    distribution = rebuilt(prior.family, tf.constant(prior.numbers))
    value = np.asarray(start, float) ** prior.power
    tensor = tf.constant(value, getattr(distribution, "dtype", tf.float64))
    try:
        density = np.asarray(distribution.log_prob(tensor))
    except (ValueError, tf.errors.InvalidArgumentError) as error:
        raise ValueError(f"priors[{name!r}] does not take {value.tolist()}: {error}") from error
    if density.shape != value.shape[: density.ndim]:
        raise ValueError(
            f"priors[{name!r}] gives log densities of shape {density.shape} for a value of shape "
            f"{value.shape}. Give one distribution for all entries, or one for each."
        )
    if not np.isfinite(density).all():
        raise ValueError(
            f"priors[{name!r}] has no density at {value.tolist()}, where training begins. Choose "
            "another prior, or a kernel that begins where it has one."
        )
