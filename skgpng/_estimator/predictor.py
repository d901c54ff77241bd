"""A fitted model: the posterior of f, what the likelihood makes of it, and the units of y."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .._inference import Data, Exact, Model
from .._inference.exact import evidence
from .._inference.posterior import Posterior, floored, nothing_known
from .._runtime import refuse_beyond
from ..kernels import ParsedKernel, free_names, parse
from ..likelihoods import Gaussian, Likelihood, Noise, Units
from ..parameters import Hyperparameters
from .problem import Rows
from .trends import fit_trend, trend_at
from .validation import check_finite, rows_known

__all__ = ["LeaveOneOut", "Predictor", "evidence_at", "prior_predictor"]

# Rows of a predictive distribution that are integrated together.
_BLOCK = 2048


class LeaveOneOut(NamedTuple):
    """Predictions of rows, each from all others; [N] of one target, else [N, P].

    Attributes
    ----------
    mean, std : ndarray
        Of y, noise included; the standard deviation, not the variance.
    log_density : ndarray of shape (N,)
        Of each row, summed over targets.
    """

    mean: np.ndarray
    std: np.ndarray
    log_density: np.ndarray


@dataclass(frozen=True)
class Predictor:
    """Predicts y at validated rows X [N, D]; all results are in the units of y."""

    posterior: Posterior  # of the latent functions
    likelihood: Likelihood
    values: tuple  # of its parameters
    units: Units  # y = shift + scale * Y, and the trend
    fixed_noise: float = 0.0  # known noise variance of every row, of scaled y
    trend: Any = None  # a fitted regressor, whose predictions are added

    # --- the latent functions, of scaled y -----------------------------------------------

    def latent_mean(self, X: np.ndarray) -> np.ndarray:
        """Mean [N, L]."""
        return check_finite((self.posterior.mean(X),), X)[0]

    def latent(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance [N, L]."""
        return check_finite(self.posterior.mean_and_variance(X), X)

    def _latent_and_row(self, X: np.ndarray, row: np.ndarray) -> tuple:
        """Mean and variance [N, L], and what is known of rows, their noise at its scale there."""
        f_mean, f_var, scale = check_finite(self.posterior.marginals(X), X)
        if self.likelihood.conjugate:
            row = self._with_scale(row, scale)
        return f_mean, f_var, row

    def _with_scale(self, row: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """What is known of rows [N, 1] of Gaussian noise, whose variance is multiplied by [N]."""
        noise = self.likelihood.noise_of_rows(self.values, row)
        return row + (noise * (scale - 1.0))[:, None]

    def _check_pairs(self, X: np.ndarray) -> None:
        refuse_beyond(
            16.0 * len(X) ** 2 * self.posterior.n_latent,
            f"the covariances of {len(X):,} rows with each other",
            "Ask for fewer rows at a time, or for standard deviations (return_std=True).",
        )

    # --- y -------------------------------------------------------------------------------

    def mean(self, X: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Mean of y [N, P]."""
        if self.likelihood.location:  # f and the mean of its noise, which may not be 0
            f_mean = self.latent_mean(X)
            return self._in_units(self.likelihood.conditional_mean(self.values, f_mean, row), X)
        return self._moments(X, row, True)[0]

    def mean_and_std(
        self, X: np.ndarray, row: np.ndarray, include_noise: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation [N, P], of y or of its mean as a function of X."""
        mean, variance = self._moments(X, row, include_noise)
        return mean, np.sqrt(variance) * self.units.scale

    def _moments(self, X: np.ndarray, row: np.ndarray, include_noise: bool) -> tuple:
        """Mean in the units of y, and variance of scaled y."""
        f_mean, f_var, row = self._latent_and_row(X, row)
        mean, variance = self.likelihood.predict_mean_and_var(
            self.values, f_mean, f_var, row, include_noise
        )
        return self._in_units(mean, X), variance

    def mean_and_covariance(
        self, X: np.ndarray, row: np.ndarray, include_noise: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean [N, P] and covariance between rows [N, N, P]."""
        self._check_pairs(X)
        f_mean, f_cov, scale = check_finite(self.posterior.joint(X), X)
        mean, cov = self.likelihood.mean_and_cov_of_rows(self.values, f_mean, f_cov)
        if include_noise:
            noise = self._noise(f_mean, np.einsum("lnn->nl", f_cov), row)
            cov = cov.copy()
            np.einsum("pnn->pn", cov)[...] += scale * noise.T
        return self._in_units(mean, X), np.moveaxis(cov, 0, -1) * self.units.scale**2

    def _noise(self, f_mean: np.ndarray, f_var: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Variance [N, P] of scaled y about its mean given f."""
        of_y, of_mean = (
            self.likelihood.predict_mean_and_var(self.values, f_mean, f_var, row, noisy)[1]
            for noisy in (True, False)
        )
        return of_y - of_mean

    def quantiles(self, X: np.ndarray, levels: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Quantiles of y, [N, P, Q]."""
        scaled = self._by_blocks(
            lambda m, v, r: self.likelihood.predict_quantiles(self.values, m, v, levels, r), X, row
        )
        return scaled * self.units.scale[:, None] + self._shift(X)[..., None]

    def log_density(self, X: np.ndarray, y: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Log density of y [N, P] in its units, summed over targets, [N].

        ValueError for y that the likelihood cannot have, as in ``fit``.
        """
        self.likelihood.check(y[:, 0] if y.shape[1] == 1 else y)
        density = self._by_blocks(
            lambda m, v, r, Y: self.likelihood.predict_log_density(self.values, m, v, Y, r),
            X,
            row,
            self._scaled(y, X),
        )
        density = density - np.log(self.units.scale)
        return np.sum(np.where(np.isnan(y), 0.0, density), 1)  # of targets that are there

    def crps(self, X: np.ndarray, y: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Continuous ranked probability score at y [N, P], averaged over targets, [N].

        Over those that are there, 0 where none is.
        """
        scaled = self._by_blocks(
            lambda m, v, r, Y: self.likelihood.predict_crps(self.values, m, v, Y, r),
            X,
            row,
            self._scaled(y, X),
        )
        there = ~np.isnan(y)
        total = np.sum(np.where(there, scaled * self.units.scale, 0.0), 1)
        return total / np.maximum(there.sum(1), 1)

    def below_and_up_to(self, X: np.ndarray, y: np.ndarray, row: np.ndarray) -> tuple:
        """Probability of less than y [N, P], and of y or less, by a sum over values of f.

        For likelihoods whose quantiles are a search (counts, positive y, shares). The trapezoidal
        rule converges faster than any power of its step where the distribution is smooth in f, and
        its error is below 0.4 steps, 0.01, where it is a step.
        """
        self.likelihood.check(y[:, 0] if y.shape[1] == 1 else y)
        z = np.linspace(-6.0, 6.0, 481)
        weights = np.exp(-0.5 * z**2) / np.exp(-0.5 * z**2).sum()

        def share(f_mean: np.ndarray, f_var: np.ndarray, r: np.ndarray, Y: np.ndarray) -> Any:
            F = f_mean + np.sqrt(f_var) * z[:, None, None]  # [H, N, P]
            rows, Y = np.tile(r, (len(z), 1)), np.tile(Y, (len(z), 1))
            given_f = self.likelihood.cdf(self.values, F.reshape(Y.shape), Y, rows)
            return np.tensordot(weights, given_f.reshape(F.shape), 1)

        Y = self._scaled(y, X)
        up_to = self._by_blocks(share, X, row, Y)
        counts = self.likelihood.support == "counts"
        return (self._by_blocks(share, X, row, Y - 1.0) if counts else up_to), up_to

    def left_out(self, rows: Rows) -> LeaveOneOut:
        """Each of some rows, y in its units, predicted from the others; Gaussian noise.

        A trend is fitted anew, as in training: what it says of rows it has seen is no prediction.
        """
        X, y, weights, row = rows
        shift, scale_of_y = self.units
        if self.trend is not None:
            shift = shift + fit_trend(self.trend, X, y, weights)[1]
        Y, p = (y - shift) / scale_of_y, self.posterior
        noise = self.likelihood.noise_of_rows(self.values, row)
        targets = Y - p.mean_function.added(p.mean_values, np.zeros_like(Y), X)
        missed, variance, scale = check_finite(
            p.of_rows(X, targets, noise, weights).leave_one_out(), X
        )
        f_var = floored(variance - (noise / weights)[:, None], variance) * scale[:, None]
        f_mean, row = Y - missed, self._with_scale(row, scale)
        mean, variance = self.likelihood.predict_mean_and_var(self.values, f_mean, f_var, row)
        density = self.likelihood.predict_log_density(self.values, f_mean, f_var, Y, row)
        return LeaveOneOut(
            mean * scale_of_y + shift,
            np.sqrt(variance) * scale_of_y,
            np.sum(density - np.log(scale_of_y), 1),
        )

    def draws(
        self, X: np.ndarray, n: int, rng: np.random.RandomState, row: np.ndarray, noisy: bool
    ) -> np.ndarray:
        """Joint draws of y, or of its mean as a function of X, [N, P, n]."""
        self._check_pairs(X)
        gaussian = noisy and self.likelihood.conjugate
        noise = self.likelihood.noise_of_rows(self.values, row) if gaussian else 0.0
        F = self.posterior.draws(X, n, rng, noise)  # [N, L, n]
        check_finite((F.reshape(len(X), -1),), X)
        if not gaussian:
            F = self._observed(F, rng, row, noisy)
        return F * self.units.scale[:, None] + self._shift(X)[..., None]

    def _observed(self, F: np.ndarray, rng: Any, row: np.ndarray, noisy: bool) -> np.ndarray:
        """Draws of scaled y, or its means, for draws of the latent functions [N, L, n]."""
        N, L, n = F.shape
        flat, rows = np.moveaxis(F, 2, 1).reshape(N * n, L), np.repeat(row, n, 0)
        if noisy:
            Y = self.likelihood.sample(self.values, flat, rng, rows)
        else:
            Y = self.likelihood.conditional_mean(self.values, flat, rows)
        return np.moveaxis(Y.reshape(N, n, -1), 1, 2)

    def _by_blocks(self, method: Callable, X: np.ndarray, row: np.ndarray, *Y: Any) -> np.ndarray:
        """``method(f_mean, f_var, row, *Y)`` of a block of rows at a time: nodes take memory."""
        arrays = (*self._latent_and_row(X, row), *Y)
        parts = [slice(k, k + _BLOCK) for k in range(0, len(X), _BLOCK)]
        return np.concatenate([method(*(a[part] for a in arrays)) for part in parts])

    def _scaled(self, y: np.ndarray, X: np.ndarray) -> np.ndarray:
        return (y - self._shift(X)) / self.units.scale

    def _in_units(self, Y: np.ndarray, X: np.ndarray) -> np.ndarray:
        return Y * self.units.scale + self._shift(X)

    def _shift(self, X: np.ndarray) -> np.ndarray:
        """What is added to scaled predictions, [P], or of a trend [N, P]."""
        shift = self.units.shift
        return shift if self.trend is None else shift + trend_at(self.trend, X, len(shift))

    def rows_known(self, given: dict, n_rows: int) -> np.ndarray:
        """What is known of new rows, [N, R]; what is not given is as by default."""
        return rows_known(self.likelihood, given, n_rows, self.units.scale, self.fixed_noise)


def prior_predictor(
    likelihood: Likelihood,
    parsed: ParsedKernel,
    noise: Noise | None,
    fixed_noise: float,
    n_features: int,
    n_targets: int,
) -> Predictor:
    """What is known before ``fit``: the kernel, and noise that is given."""
    if noise is None and likelihood.noise is not None:  # to be learned, so that it is not known
        noise = Noise(0.0, (0.0, 0.0), False)
    if likelihood.noise and not likelihood.conjugate and noise and noise.level == 0.0:
        likelihood = _without_noise(likelihood)
    values = tuple(p.value for p in likelihood.parameters(noise, 1.0))
    n_latent = likelihood.n_latent(n_targets)
    p = nothing_known(parsed.structure, parsed.values, n_features, n_latent)
    units = Units(np.zeros(n_targets), np.ones(n_targets))
    return Predictor(p, likelihood, values, units, fixed_noise)


def _without_noise(likelihood: Likelihood) -> Likelihood:
    """Where y is f itself, it is normal, whatever the noise would be."""
    if likelihood.location:
        return Gaussian()
    raise ValueError(
        f"Before fit {likelihood.noise} of {type(likelihood).__name__} is not known, and without "
        "it there is no distribution of y. Set alpha, add a WhiteKernel, or fit first."
    )


def evidence_at(
    kernel: Any, columns: Any, predictor: Predictor, data: Data, jitter: float
) -> tuple[float, np.ndarray]:
    """Log evidence of exact regression with another kernel, and its gradient in ``theta``."""
    parsed, likelihood, p = parse(kernel, columns), predictor.likelihood, predictor.posterior
    noise = predictor.values[0] if parsed.noise is None else parsed.noise.value
    value, g_theta = evidence(
        Model(Exact(), parsed.structure, likelihood, p.n_latent, p.mean_function),
        Hyperparameters(parsed.values, (np.float64(noise),), (), p.mean_values),
        data,
        jitter,
    )
    found = list(zip(parsed.parameters, g_theta.kernel, strict=True))
    if parsed.noise is not None:
        found.append((parsed.noise, g_theta.likelihood[0]))
    # the derivative in the logarithm of a value x is x times that in x
    of = {own.name: np.ravel(g if own.real else g * own.value) for own, g in found}
    free = [of[name] for name in free_names(kernel)]
    return value, np.concatenate([np.zeros(0), *free])  # also where everything is fixed
