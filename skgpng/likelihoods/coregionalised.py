"""Targets that belong together: each a mixture of a few latent functions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, ClassVar

import numpy as np

from .._runtime import tf
from ..means import Mean, Zero
from ..parameters import Parameter
from .base import Likelihood, Noise
from .gaussian import Gaussian
from .units import Units, mean_and_deviation

__all__ = ["Coregionalised"]

# A mixture without weight has no gradient: columns of the mixing begin at least this long.
_LEAST = 0.1


@dataclass(frozen=True)
class Coregionalised(Likelihood):
    r"""Linear model of coregionalisation: :math:`y_p = b_p + w_p^\top f + \sigma_p \epsilon`.

    The targets share ``rank`` latent functions, each with a kernel of its own, so that what one
    target tells of them helps the others: where targets are missing (NaN in y), or few. ``values``
    is ``(variance, mixing, offset)``: the noise variance of each target, [P], W, [P, rank], and b,
    [P]. The offset is learned, as the mean of what is there of a target need not be its mean.

    q is independent between latent functions; the expected log density is closed,

    .. math:: \log N(y_p; b_p + w_p^\top m, \sigma_p^2) - \sum_q W_{pq}^2 v_q / 2 \sigma_p^2 .

    Parameters
    ----------
    rank : int, default=None
        Latent functions, as many as there are targets or fewer. ``None`` is as many.
    n_targets : int, default=None
        Targets; ``fit`` reads it from y.

    References
    ----------
    M. A. Alvarez, L. Rosasco & N. D. Lawrence (2012). Kernels for vector-valued functions: a
    review. Section 4.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import Coregionalised
    >>> likelihood = Coregionalised(rank=1, n_targets=2)
    >>> values = np.array([0.1, 0.2]), np.array([[1.0], [-2.0]]), np.zeros(2)
    >>> mean, variance = likelihood.predict_mean_and_var(values, np.ones((1, 1)), np.ones((1, 1)))
    >>> print(mean[0], variance[0])
    [ 1. -2.] [1.1 4.2]
    """

    rank: int | None = None
    n_targets: int | None = None
    parameter_names: ClassVar[tuple[str, ...]] = ("variance", "mixing", "offset")
    own_kernels: ClassVar[bool] = True
    mixes: ClassVar[bool] = True
    log_concave: ClassVar[bool] = True
    scales: ClassVar[bool] = True  # type: ignore[misc]
    allows_missing: ClassVar[bool] = True
    mean: ClassVar[Mean] = Zero()

    # --- from the data, once a fit -------------------------------------------------------

    def for_targets(self, y: np.ndarray, before: Likelihood | None = None) -> Likelihood:
        """Of so many targets; ValueError for more latent functions, or a target without values."""
        y = np.asarray(y, float)
        P = 1 if y.ndim == 1 else y.shape[1]
        whole = isinstance(self.rank, Integral) and not isinstance(self.rank, bool)
        if self.rank is not None and not (whole and 1 <= self.rank <= P):
            raise ValueError(
                f"rank={self.rank!r} of the likelihood Coregionalised must be a number between 1 "
                f"and that of targets, {P}."
            )
        empty = np.flatnonzero(np.isnan(y.reshape(len(y), -1)).all(0))
        if before is not None:  # rows of a stream may lack a target
            empty = empty[:0]
        if len(empty):
            raise ValueError(f"y[:, {empty[0]}] has no value at all. Leave this target out.")
        return replace(self, n_targets=P)

    def check(self, y: np.ndarray) -> None:
        """NaN stands for what is missing."""
        super().check(np.where(np.isnan(y), 0.0, y))

    def n_latent(self, n_columns: int) -> int:
        """The rank."""
        return n_columns if self.rank is None else self.rank

    def n_columns(self, n_latent: int) -> int:
        """As many as ``fit`` has seen."""
        return n_latent if self.n_targets is None else self.n_targets

    def units(self, Y: np.ndarray, weights: np.ndarray) -> Units:
        """Mean and standard deviation of what is there of each column."""
        each = [mean_and_deviation(y[k, None], weights[k]) for y in Y.T for k in [~np.isnan(y)]]
        return Units(*(np.concatenate(part) for part in zip(*each, strict=True)))

    def parameters(self, noise: Noise | None, spread: float) -> tuple[Parameter, ...]:
        """Noise of each target, mixing and offsets."""
        if noise is not None:
            raise ValueError(
                "The likelihood Coregionalised learns a noise for each target. Leave alpha=None, "
                "and the WhiteKernel out of the kernel."
            )
        P, Q = self.n_targets or 1, self.n_latent(self.n_targets or 1)
        level, bounds, _ = self._default_noise(spread)
        anywhere = np.broadcast_to([-np.inf, np.inf], (P, Q, 2))
        unit = np.sqrt(spread)
        return (
            Parameter("variance", np.full(P, level), np.tile(bounds, (P, 1))),
            Parameter("mixing", unit * np.eye(P, Q), anywhere, real=True),
            Parameter("offset", np.zeros(P), anywhere[:, 0], real=True),
        )

    def started(
        self, parameters: tuple[Parameter, ...], Y: np.ndarray, weights: np.ndarray
    ) -> tuple[Parameter, ...]:
        """The mixing begins at the principal components of the targets."""
        variance, mixing, offset = parameters
        _, sizes, directions = np.linalg.svd(
            np.sqrt(weights / weights.sum())[:, None] * _filled(Y), full_matrices=True
        )
        Q = mixing.value.shape[1]
        sizes = np.maximum(np.pad(sizes, (0, Q))[:Q], _LEAST)
        return variance, mixing._replace(value=directions[:Q].T * sizes), offset

    def as_regression(
        self, Y: np.ndarray, values: tuple, row: np.ndarray | None, spread: float
    ) -> tuple[np.ndarray, float, bool]:
        """Least squares of the latent functions, with the noise of a target."""
        variance, mixing, offset = values
        targets = (_filled(Y) - offset) @ np.linalg.pinv(mixing).T
        return targets, float(np.mean(variance)), False

    # --- training ------------------------------------------------------------------------

    def log_prob(self, values: tuple, F: Any, Y: Any, row: Any = None) -> Any:
        """Gaussian about the mixture; 0 where the target is missing."""
        F = tf.convert_to_tensor(F)
        return self.variational_expectations(values, F, tf.zeros_like(F), Y)

    def variational_expectations(
        self, values: tuple, f_mean: Any, f_var: Any, Y: Any, row: Any = None
    ) -> Any:
        """The closed form; 0 where the target is missing."""
        f_mean, f_var, Y = (tf.convert_to_tensor(a) for a in (f_mean, f_var, Y))
        variance, mixing, offset = (tf.convert_to_tensor(v, Y.dtype) for v in values)
        # the loop has to know the shape of gradients
        mixing = tf.ensure_shape(mixing, (self.n_targets, f_mean.shape[-1]))
        there = tf.logical_not(tf.math.is_nan(Y))
        mean = offset + tf.linalg.matmul(f_mean, mixing, transpose_b=True)  # [..., N, P]
        var = tf.linalg.matmul(f_var, tf.square(mixing), transpose_b=True)
        Y = tf.where(there, Y, tf.zeros_like(Y))  # NaN would stay in the gradient
        density = Gaussian().variational_expectations((variance,), mean, var, Y)
        return tf.where(there, density, tf.zeros_like(density))

    # --- y given f -----------------------------------------------------------------------

    def conditional_mean(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """The mixture."""
        return values[2] + F @ values[1].T

    def conditional_variance(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """The noise variance of each target."""
        return values[0] * np.ones((*np.shape(F)[:-1], 1))

    def cdf(self, values: tuple, F: np.ndarray, y: np.ndarray, row: Any = None) -> np.ndarray:
        """Of a normal distribution."""
        return Gaussian().cdf(values[:1], self.conditional_mean(values, F), y)

    def sample(
        self, values: tuple, F: np.ndarray, rng: np.random.RandomState, row: Any = None
    ) -> np.ndarray:
        """The mixture with noise."""
        return Gaussian().sample(values[:1], self.conditional_mean(values, F), rng)

    # --- y given f ~ N(f_mean, f_var) ----------------------------------------------------

    def predict_mean_and_var(
        self,
        values: tuple,
        f_mean: np.ndarray,
        f_var: np.ndarray,
        row: Any = None,
        include_noise: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        r""":math:`W m` and :math:`W^2 v`, with noise plus its variance."""
        mean, var = _mixed(values, f_mean, f_var)
        return mean, var + values[0] if include_noise else var

    def mean_and_cov_of_rows(
        self, values: tuple, f_mean: np.ndarray, f_cov: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        r""":math:`W m`, and :math:`\sum_q W_{pq}^2 \Sigma_q` of each target."""
        _, mixing, offset = values
        return offset + f_mean @ mixing.T, np.tensordot(mixing**2, f_cov, 1)

    def predict_log_density(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        """Gaussian; 0 where the target is missing."""
        density = Gaussian().predict_log_density(values[:1], *_mixed(values, f_mean, f_var), Y)
        return np.where(np.isnan(Y), 0.0, density)

    def predict_quantiles(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, levels: Any, row: Any = None
    ) -> np.ndarray:
        """Of the normal distribution, [N, P, Q]."""
        return Gaussian().predict_quantiles(values[:1], *_mixed(values, f_mean, f_var), levels)

    def predict_crps(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        """Of the normal distribution, [N, P]."""
        return Gaussian().predict_crps(values[:1], *_mixed(values, f_mean, f_var), Y)

    # --- reports -------------------------------------------------------------------------

    def learned(self, values: tuple, scale: np.ndarray) -> dict:
        """Noise variance [P] in the units of y squared; mixing [P, rank], offset [P] in those of y.

        The offset is from the mean of what is there of a target.
        """
        variance, mixing, offset = values
        return {
            "variance": variance * scale**2,
            "mixing": mixing * scale[:, None],
            "offset": offset * scale,
        }

    def noise_variance(self, values: tuple) -> Any:
        """Of each target."""
        return values[0]

    def score(self, y: np.ndarray, y_mean: np.ndarray, sample_weight: Any = None) -> float:
        """R^2 of what is there of each target, averaged over targets."""
        y, y_mean = (np.reshape(np.asarray(a, float), (len(a), -1)) for a in (y, y_mean))
        weights = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, float)
        each = [
            super(Coregionalised, self).score(a[k], b[k], weights[k])
            for a, b in zip(y.T, y_mean.T, strict=True)
            for k in [~np.isnan(a)]
            if k.sum() > 1
        ]
        return float(np.mean(each)) if each else np.nan


def _mixed(values: tuple, f_mean: np.ndarray, f_var: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance [N, P] of the mixtures."""
    _, mixing, offset = values
    return offset + f_mean @ mixing.T, f_var @ mixing.T**2


def _filled(Y: np.ndarray) -> np.ndarray:
    """With the mean of its column for what is missing."""
    there = ~np.isnan(Y)
    mean = np.where(there, Y, 0.0).sum(0) / np.maximum(there.sum(0), 1)
    return np.where(there, Y, mean)
