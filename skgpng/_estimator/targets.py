"""What a regression makes of y: the units it is trained in, and the noise that is given."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.gaussian_process.kernels import CompoundKernel

from .._inference.covariances import cross_covariances
from ..kernels import ParsedKernel
from ..likelihoods import Likelihood, Noise, Units, tried_offset
from ..means import Mean
from ..parameters import Parameter
from .predictor import Predictor
from .problem import Rows
from .trends import start_of_mean

__all__ = [
    "Given",
    "alpha_of_all",
    "begun",
    "kernel_of_latents",
    "noise_given",
    "refuse_alpha_of_rows",
    "refuse_singular",
    "units_of",
    "what_fixes_noise",
    "with_alpha_of_rows",
]

# Larger or smaller deviations of y are refused where it is not scaled: its squares must be finite
# and not zero.
_LARGEST_RAW = 1e150
# Rows of a matrix that is factorised for the sake of an error message.
_LOOKED_AT = 1000


class Given(NamedTuple):
    """What a user says of y and its noise."""

    likelihood: Likelihood
    alpha: float | None  # of all rows
    normalize_y: bool
    default_kernel: bool
    rows: dict  # arguments of fit that say something of each row; None where they do not

    @property
    def known(self) -> list[str]:
        """Names of what is given in the units of y."""
        given = {"alpha": self.alpha, **self.rows}
        return [name for name, value in given.items() if value is not None]


def alpha_of_all(alpha: Any) -> float | None:
    """The noise variance of every row, new ones too; 0 where alpha has one for each row of fit."""
    if np.ndim(alpha) == 0:
        return alpha
    return float(np.ravel(alpha)[0]) if np.size(alpha) == 1 else 0.0


def with_alpha_of_rows(
    alpha: Any, known: dict, likelihood: Likelihood, n_rows: int, start: str
) -> dict:
    """What is known of each row, where alpha has its noise variance too; ValueError if it cannot.

    It comes on top of ``noise_variance``.
    """
    if np.ndim(alpha) == 0:
        return known
    each = np.asarray(alpha, float)
    if not np.all(np.isfinite(each) & (each >= 0.0)):
        raise ValueError("alpha must be None, or hold finite, non-negative numbers.")
    if each.size == 1:
        return known
    if start in ("first", "on"):  # of these rows it is that handed in
        refuse_alpha_of_rows(alpha, known)
        return known
    if each.shape != (n_rows,):
        raise ValueError(
            "alpha must be a scalar or an array with same number of entries as y. "
            f"({each.shape} != ({n_rows},)) In cross-validation hand it to fit, which is given its "
            "part: alpha=0 and fit(X, y, noise_variance=...)."
        )
    if "noise_variance" not in likelihood.row_names:
        raise ValueError(
            "alpha as an array is Gaussian noise of known variances: set likelihood='gaussian', or "
            "alpha to one number or None."
        )
    given = likelihood.check_row("noise_variance", known.get("noise_variance"), n_rows)
    return {**known, "noise_variance": each + given}


def refuse_alpha_of_rows(alpha: Any, known: dict) -> None:
    """ValueError where it is not known which of the rows of fit are meant."""
    if np.size(alpha) > 1 and known.get("noise_variance") is None:
        raise ValueError(
            "alpha has the noise variance of each row of fit: say those of the rows here by "
            "noise_variance."
        )


def units_of(given: Given, Y: np.ndarray, weights: np.ndarray) -> tuple[Units, float]:
    """Units of each target, and their variance in it.

    The default kernel has no units of its own: with it, y is scaled either way.
    """
    units = given.likelihood.units(Y, weights)
    if not given.likelihood.scales:
        return units, 1.0
    if given.normalize_y:
        if given.known and Y.shape[1] > 1:
            name = given.known[0]
            raise ValueError(
                f"{name} is in the units of y squared, but normalize_y=True gives each of the "
                f"{Y.shape[1]} targets a unit of its own. Set normalize_y=False or {name}=None."
            )
        return units, 1.0
    if given.default_kernel:  # noise that is known needs one unit for all targets
        largest = np.full_like(units.scale, units.scale.max())
        return (units._replace(scale=largest) if given.known else units), 1.0
    return _raw(units), float(np.mean(units.scale**2))


def _raw(units: Units) -> Units:
    """y as it is."""
    size = np.maximum(np.abs(units.shift), units.scale)
    if not np.all((size <= _LARGEST_RAW) & (units.scale >= 1.0 / _LARGEST_RAW)):
        raise ValueError(
            f"normalize_y=False takes y as it is, but its mean is {units.shift.tolist()} and its "
            f"standard deviation {units.scale.tolist()}: squares leave the range of numbers beyond "
            f"{_LARGEST_RAW:g} and its inverse. Set normalize_y=True."
        )
    return Units(np.zeros_like(units.shift), np.ones_like(units.scale))


def kernel_of_latents(likelihood: Likelihood, kernel: Any, default: Any, n_columns: int) -> Any:
    """The kernel of all latent functions, or one for each.

    A kernel given for a likelihood whose latent functions differ in kind is that of the columns of
    y; the others have the default one. ValueError for a ``CompoundKernel`` of another number.
    """
    n_latent = likelihood.n_latent(n_columns)
    if isinstance(kernel, CompoundKernel):
        if len(kernel.kernels) != n_latent:
            raise ValueError(
                f"kernel is a CompoundKernel of {len(kernel.kernels)}, but there are {n_latent} "
                f"latent functions for {n_columns} target(s): give one kernel for each of them, or "
                "one for all."
            )
        return kernel
    if not likelihood.own_kernels:
        return kernel
    of_y = min(n_columns, n_latent)
    each = [kernel] * of_y + [default] * (n_latent - of_y)
    return CompoundKernel([clone(k) for k in each])


def noise_given(given: Given, parsed: ParsedKernel, unit: float) -> tuple[Noise | None, float]:
    """The noise level that alpha or a WhiteKernel gives, and the fixed noise beside it."""
    with np.errstate(over="ignore", under="ignore"):
        alpha = None if given.alpha is None else float(given.alpha / unit / unit)
    if parsed.noise is None:
        return (None if alpha is None else Noise(alpha, (alpha, alpha), False)), 0.0
    if alpha and not given.likelihood.conjugate:
        raise ValueError(
            f"alpha={given.alpha} and the WhiteKernel ({parsed.noise.name}) both give the noise "
            f"level of {type(given.likelihood).__name__} noise. Set alpha=None, or leave the "
            "WhiteKernel out."
        )
    low, high = parsed.noise.bounds.tolist()
    return Noise(float(parsed.noise.value), (low, high), parsed.noise.free), alpha or 0.0


def refuse_singular(kernel: Any, parsed: ParsedKernel, X: np.ndarray, noise: np.ndarray) -> None:
    """LinAlgError for rows without noise whose kernel matrix has no Cholesky factor.

    In scikit-learn's words; it is looked for among the first rows.
    """
    if np.all(noise > 0):
        return
    X = X[:_LOOKED_AT].astype(np.float64, copy=False)
    try:
        np.linalg.cholesky(cross_covariances(parsed.structure, parsed.values, X, X)[0])
    except np.linalg.LinAlgError as error:
        raise np.linalg.LinAlgError(
            f"The kernel, {kernel}, is not returning a positive definite matrix. Try gradually "
            "increasing the 'alpha' parameter of your GaussianProcessRegressor estimator."
        ) from error


def what_fixes_noise(given: Given) -> str:
    """For messages."""
    if given.alpha:
        return f"alpha={given.alpha:g}, in the units of y squared"
    return "alpha or noise_variance of each row, or a WhiteKernel that is fixed"


def begun(
    likelihood: Likelihood,
    mean: Mean,
    observation: tuple,
    rows: Rows,
    spread: float,
    old: Predictor | None,
    goes_on: bool,
) -> tuple[tuple, tuple]:
    """Parameters of likelihood and mean to begin with; what was learned has been tried before."""
    X, Y, weights, row = rows
    if old is None:
        observation = likelihood.started(observation, Y, weights)
        values = tuple(p.value for p in observation)
        offset = tried_offset(likelihood, values, Y, weights, row)
        return observation, start_of_mean(mean, likelihood, values, rows, offset, spread)
    observation = _resumed(observation, old.values)
    offset = likelihood.offset(Y, weights, row)
    if likelihood.location and not goes_on:  # y of other rows may have other units
        values = tuple(p.value for p in observation)
        return observation, start_of_mean(mean, likelihood, values, rows, offset, spread)
    own = mean.parameters(offset, X, np.sqrt(spread))
    return observation, _resumed(own, old.posterior.mean_values)


def _resumed(parameters: tuple[Parameter, ...], values: tuple) -> tuple[Parameter, ...]:
    """Parameters that go on from learned values, within their bounds, if they are as many."""
    each = zip(parameters, values, strict=True)
    return tuple(
        p._replace(value=np.clip(v, *np.moveaxis(np.asarray(p.bounds), -1, 0)))
        if np.shape(v) == np.shape(p.value)
        else p
        for p, v in each
    )
