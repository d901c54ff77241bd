"""Gradients of predictions in X: of the latent functions, through the likelihood, in units of y."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._inference.slopes import Slopes, slopes
from ..kernels import needs_all_rows
from .predictor import Predictor
from .trends import trend_at

__all__ = ["gradients_at"]

# Differences of fourth order in the mean of f: of a part of its standard deviation, or of 1, the
# unit of links. Their error is about the step to the power 4, or rounding over the step: 1e-10.
# That in the variance is as relative.
_STEP, _STEP_OF_VARIANCE = 1e-2, 3e-3
_WEIGHTS = ((1.0, 8.0 / 12.0), (2.0, -1.0 / 12.0))


def gradients_at(
    predictor: Predictor, X: np.ndarray, row: np.ndarray, with_std: bool, noisy: bool, kernel: Any
) -> tuple[np.ndarray, Any]:
    """Of the mean of y and of its standard deviation (or None) at validated rows, [N, P, D].

    ``kernel`` is for messages. ValueError where there is none.
    """
    likelihood, scale = predictor.likelihood, predictor.units.scale[:, None]
    if likelihood.support == "grades":
        raise ValueError(
            "predict gives the median grade, which moves in steps: it has no gradient. Take "
            "differences of predict_quantiles, or fit the grades as numbers."
        )
    if needs_all_rows(predictor.posterior.kernel):
        raise ValueError(
            f"predict_gradient needs the kernel as a formula of rows, but a part of {kernel} is "
            "known by its values only. Write it as a subclass of skgpng.kernels.Kernel, or give "
            "its class a formula by skgpng.kernels.formula_of."
        )
    of_f = slopes(predictor.posterior, X, with_std or not likelihood.location)
    mean, variance = of_f
    if not likelihood.location:
        mean, variance = _of_moments(predictor, X, row, of_f, noisy)
    mean = mean * scale
    if predictor.trend is not None:
        mean = mean + _of_trend(predictor.trend, X, len(scale))
    if not with_std:
        return _checked(mean), None
    _, std = predictor.mean_and_std(X, row, noisy)
    with np.errstate(divide="ignore", invalid="ignore"):
        of_std = 0.5 * variance * scale**2 / std[..., None]
    of_std = np.where(std[..., None] > 0, of_std, 0.0)  # 0 all around, or its least
    return _checked(mean), np.where(np.isfinite(std)[..., None], _checked(of_std), np.nan)


def _checked(gradient: np.ndarray) -> np.ndarray:
    """As it is; ValueError where it is not finite."""
    if np.isfinite(gradient).all():
        return gradient
    row = int(np.argmin(np.isfinite(gradient).all((1, 2))))
    raise ValueError(
        f"The gradient at row {row} of X is not finite: the row is too far from those of fit, or "
        "the formula of the kernel has no derivative there, such as a root at equal rows. Move the "
        "row a little, or write that derivative with tf.custom_gradient."
    )


def _of_trend(trend: Any, X: np.ndarray, n_targets: int) -> np.ndarray:
    """Of a fitted regressor, [N, P, D]: by its own method, or the coefficients of a linear one."""
    name, shape = type(trend).__name__, (-1, n_targets, X.shape[1])
    if hasattr(trend, "predict_gradient"):
        return np.reshape(trend.predict_gradient(X), shape)
    coefficients = getattr(trend, "coef_", None)
    if coefficients is not None and np.size(coefficients) == n_targets * X.shape[1]:
        found = np.reshape(np.asarray(coefficients, float), shape)
        linear = X @ found[0].T + np.asarray(getattr(trend, "intercept_", 0.0), float)
        predicted = trend_at(trend, X, n_targets)
        if np.allclose(predicted, linear, rtol=1e-6, atol=1e-9 * np.abs(predicted).max()):
            return found
    raise ValueError(
        f"mean={name}(...) has no gradient that is known: predictions are its own and those of its "
        "residuals. Set mean='linear' or None, or one with coef_ (LinearRegression, Ridge) or "
        "predict_gradient."
    )


# --- through the likelihood ------------------------------------------------------------------


def _of_moments(
    predictor: Predictor, X: np.ndarray, row: np.ndarray, of_f: Slopes, noisy: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients [N, P, D] of mean and variance of scaled y, by the chain rule."""
    likelihood = predictor.likelihood
    f_mean, f_var, row = predictor._latent_and_row(X, row)

    def moments(f_mean: np.ndarray, f_var: np.ndarray) -> np.ndarray:
        both = likelihood.predict_mean_and_var(predictor.values, f_mean, f_var, row, noisy)
        return np.stack(np.broadcast_arrays(*both))  # [2, N, P]

    one_by_one = not likelihood.mixes and likelihood.n_columns(f_mean.shape[1]) == f_mean.shape[1]
    f_var = np.array(np.broadcast_to(f_var, f_mean.shape))
    in_mean, in_variance = _derivatives(moments, f_mean, f_var, one_by_one)
    rule = "inp,npd->inpd" if one_by_one else "inpl,nld->inpd"
    found = np.einsum(rule, in_mean, of_f.mean) + np.einsum(rule, in_variance, of_f.variance)
    return found[0], found[1]


def _derivatives(
    moments: Callable, f_mean: np.ndarray, f_var: np.ndarray, one_by_one: bool
) -> tuple[np.ndarray, np.ndarray]:
    """In mean and variance of f, [2, N, P, L], or [2, N, P] of moments that have one f each."""
    steps = _STEP * np.minimum(1.0, np.sqrt(f_var)), _STEP_OF_VARIANCE * np.minimum(1.0, f_var)

    def by(shift_mean: np.ndarray, shift_variance: np.ndarray, step: np.ndarray) -> np.ndarray:
        total = sum(
            w
            * (
                moments(f_mean + k * shift_mean, f_var + k * shift_variance)
                - moments(f_mean - k * shift_mean, f_var - k * shift_variance)
            )
            for k, w in _WEIGHTS
        )
        return total / step

    none = np.zeros_like(f_mean)
    if one_by_one:
        return by(steps[0], none, steps[0]), by(none, steps[1], steps[1])
    of_mean, of_variance = [], []
    for l in range(f_mean.shape[1]):
        only = np.arange(f_mean.shape[1]) == l
        of_mean.append(by(steps[0] * only, none, steps[0][:, l : l + 1]))
        of_variance.append(by(none, steps[1] * only, steps[1][:, l : l + 1]))
    return np.stack(of_mean, -1), np.stack(of_variance, -1)
