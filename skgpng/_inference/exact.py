"""Exact regression: a Gaussian likelihood, all rows, no variational variable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .._linalg import add_to_diagonal, inverse_and_log_determinant
from .._runtime import tf
from ..kernels import KernelStructure, diagonal, jitter_unit, of_each_latent
from ..parameters import Hyperparameters
from .base import Data, Iterate, Model, Step, WithoutQ, add, centred
from .covariances import covariance_within
from .posterior import Posterior, posterior_of_rows

__all__ = ["EvidenceMoments", "Exact", "evidence", "evidence_moments"]

_LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True)
class Exact(WithoutQ):
    """The ELBO is the log marginal likelihood of all rows, which come in one block."""

    requires: ClassVar[frozenset[str]] = frozenset({"conjugate", "all rows", "full steps"})
    has_evidence: ClassVar[bool] = True
    title: ClassVar[str] = "exact"
    # cheap to follow to its optimum: a third of Adam's steps and further up
    optimizer: ClassVar[str] = "lbfgs"

    def step(self, iterate: Iterate, q: tuple, data: Data) -> Step:
        """Evidence and gradient."""
        size = iterate.chunk_size if iterate.how.chunked else None
        value, g_theta = _evidence(iterate.model, iterate.theta, data, iterate.jitter, size)
        return Step(value, g_theta, q, q, tf.zeros_like(value))

    def posterior(
        self, model: Model, theta: Hyperparameters, q: tuple, data: Data, jitter: float
    ) -> Posterior:
        """Of rows with the precision of their noise."""
        noise = model.likelihood.noise_of_rows(theta.likelihood, data.row) / data.weights
        precision = 1.0 / noise  # [N]
        site_mean = precision[:, None] * centred(model.mean, theta.mean, data.X, data.Y)
        return posterior_of_rows(model, theta, data.X, site_mean, precision[:, None], jitter)


def evidence(
    model: Model, theta: Hyperparameters, data: Data, jitter: float = 0.0
) -> tuple[float, Hyperparameters]:
    """Exact log marginal likelihood and its gradient in the values of theta; NumPy."""
    theta, data = tf.nest.map_structure(tf.convert_to_tensor, (theta, data))
    value, gradient = _evidence(model, theta, data, jitter, None)
    return float(value), tf.nest.map_structure(lambda g: g.numpy(), gradient)


def _evidence(
    model: Model, theta: Hyperparameters, data: Data, jitter: Any, size: Any
) -> tuple[Any, Hyperparameters]:
    """The noise serves as jitter; where it is too little, the diagonal gets more.

    One kernel for all targets, or one for each.
    """
    prior = covariance_within(model.kernel, theta.kernel, data.X, size)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(theta)
        noise, correction = _noise(model, theta, data)
        Y = centred(model.mean, theta.mean, data.X, data.Y)
        each = of_each_latent(model.kernel, theta.kernel)
        columns = [Y] if len(each) == 1 else [Y[:, j : j + 1] for j in range(len(each))]
        on_diagonal = [noise + jitter * _unit_of_jitter(k, v, data.X) for k, v in each]
    moments = [
        evidence_moments(add_to_diagonal(K, d), y)
        for K, d, y in zip(prior.K, on_diagonal, columns, strict=True)
    ]
    bars = [
        *(m.noise_gradient() for m in moments),
        tf.ones_like(correction),
        *(-m.alpha for m in moments),
    ]
    targets = [*on_diagonal, correction, *columns]
    g_theta = tape.gradient(targets, theta, bars, unconnected_gradients="zero")
    g_kernel = prior.g_kernel(lambda j, rows, columns: moments[j].prior_gradient(rows, columns))
    value = tf.add_n([m.value for m in moments]) + correction
    return value, g_theta._replace(kernel=add(g_theta.kernel, g_kernel))


def _unit_of_jitter(kernel: KernelStructure, values: tuple, X: Any) -> Any:
    """Of one latent function."""
    unit = jitter_unit(kernel, values, X)
    return tf.reduce_mean(diagonal(kernel, values, X)) if unit is None else unit


def _noise(model: Model, theta: Hyperparameters, data: Data) -> tuple[Any, Any]:
    r"""Noise variance of each row and what its weights add to the log evidence.

    A row of weight w counts w times: :math:`N(y|f,s)^w \propto N(y|f,s/w)`.
    """
    variance = model.likelihood.noise_of_rows(theta.likelihood, data.row)
    noise = variance / data.weights
    correction = tf.math.log(noise) + _LOG_2PI - data.weights * (tf.math.log(variance) + _LOG_2PI)
    P = tf.cast(tf.shape(data.Y)[1], data.Y.dtype)
    return noise, 0.5 * P * tf.reduce_sum(correction)


class EvidenceMoments(NamedTuple):
    """What N x N algebra gives for Gaussian rows.

    Attributes
    ----------
    value : scalar tensor
        Log marginal likelihood.
    alpha : tensor of shape (N, P)
        :math:`K_y^{-1} y`.
    inverse : tensor of shape (N, N)
        :math:`K_y^{-1}`.

    Examples
    --------
    >>> import numpy as np
    >>> import tensorflow as tf
    >>> from skgpng.models import evidence_moments
    >>> K, Y = tf.constant([[2.0, 1.0], [1.0, 2.0]]), tf.constant([[1.0], [0.0]])
    >>> moments = evidence_moments(K, Y)
    >>> print(np.round(moments.alpha, 4).ravel(), np.round(moments.noise_gradient(), 4))
    [ 0.6667 -0.3333] [-0.1111 -0.2778]
    """

    value: Any
    alpha: Any
    inverse: Any

    def prior_gradient(self, rows: slice, columns: slice) -> Any:
        r"""Rows and columns of :math:`\tfrac12(\alpha\alpha^\top - P K_y^{-1})` (R&W eq. 5.9)."""
        P = tf.cast(tf.shape(self.alpha)[1], self.alpha.dtype)
        outer = tf.matmul(self.alpha[rows], self.alpha[columns], transpose_b=True)
        return 0.5 * (outer - P * self.inverse[rows, columns])

    def noise_gradient(self) -> Any:
        """Its diagonal, [N]."""
        P = tf.cast(tf.shape(self.alpha)[1], self.alpha.dtype)
        return 0.5 * (tf.reduce_sum(self.alpha**2, 1) - P * tf.linalg.diag_part(self.inverse))


def evidence_moments(K: Any, Y: Any) -> EvidenceMoments:
    """Of log N(Y; 0, K), noise included in K [N, N], of which the lower triangle is read.

    Examples
    --------
    >>> import numpy as np
    >>> import tensorflow as tf
    >>> from scipy.stats import multivariate_normal
    >>> from skgpng.models import evidence_moments
    >>> K, Y = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([[1.0], [0.0]])
    >>> value = evidence_moments(tf.constant(K), tf.constant(Y)).value
    >>> np.allclose(value, multivariate_normal(cov=K).logpdf(Y[:, 0]))
    True
    """
    N, P = tf.unstack(tf.cast(tf.shape(Y), Y.dtype))
    inverse, log_determinant = inverse_and_log_determinant(K)
    alpha = tf.matmul(inverse, Y)
    value = -0.5 * (tf.reduce_sum(Y * alpha) + P * (log_determinant + N * _LOG_2PI))
    return EvidenceMoments(value, alpha, inverse)
