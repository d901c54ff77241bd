"""Mixtures of Gaussians with one mean: what noise of a random variance makes of y."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from ._numerical import roots

__all__ = ["crps", "quantiles"]

_ROOT_2PI = float(np.sqrt(2.0 * np.pi))


def quantiles(variance: np.ndarray, weights: np.ndarray, levels: Any) -> np.ndarray:
    """Distances from the mean [..., Q] of quantiles where the variances [..., H] have weights [H].

    To nine digits.
    """
    std, levels = np.sqrt(variance), np.asarray(levels, float)
    tails = np.broadcast_to(np.minimum(levels, 1.0 - levels), (*std.shape[:-1], len(levels)))
    each = np.broadcast_to(std[..., None, :], (*tails.shape, std.shape[-1]))
    each, tail = each.reshape(tails.size, -1), tails.ravel()

    def excess(log_x: np.ndarray, index: np.ndarray) -> np.ndarray:
        below = ndtr(-np.exp(log_x)[:, None] / each[index]) @ weights
        return np.log(tail[index]) - np.log(np.maximum(below, np.finfo(float).tiny))

    inner = tail < 0.5  # the median is the mean
    start = np.log(each) @ weights + np.log(-ndtri(np.where(inner, tail, 0.25)))
    found = np.zeros(tail.shape)
    if inner.any():
        at = np.flatnonzero(inner)
        x = roots(lambda u, k: excess(u, at[k]), start[at] - 0.5, start[at] + 0.5)
        found[at] = np.exp(x)
    return np.sign(levels - 0.5) * found.reshape(tails.shape)


def crps(residual: np.ndarray, variance: np.ndarray, weights: np.ndarray) -> np.ndarray:
    r"""Continuous ranked probability score [...] at a distance [...] from the mean.

    :math:`E|x - y| - \tfrac12 E|x - x'|` for independent x and x', both closed for Gaussians
    (Gneiting & Raftery 2007, eq. 21); the variances [..., H] have weights [H].
    """
    r, std = residual[..., None], np.sqrt(variance)
    z = r / std
    to_y = 2.0 * std * np.exp(-0.5 * z**2) / _ROOT_2PI + r * (2.0 * ndtr(z) - 1.0)
    spread = sum(  # a row of the pairs at a time
        w * (np.sqrt(variance + variance[..., h : h + 1]) @ weights) for h, w in enumerate(weights)
    )
    return to_y @ weights - spread / _ROOT_2PI
