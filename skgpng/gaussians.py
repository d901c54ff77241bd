r"""The Gaussian q(v) = N(q_mu, q_sqrt q_sqrt') in its three parameterisations.

Shapes: one Gaussian over M whitened variables for each of L latent functions; means are
[M, L], matrices [L, M, M]. With the precision :math:`P = S^{-1}`: natural parameters
:math:`\theta_1 = P m` and :math:`\theta_2 = -\tfrac12 P`, expectation parameters
:math:`\eta_1 = m` and :math:`\eta_2 = S + m m^\top`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ._linalg import Tensors, columnwise, triangular_inverse
from ._runtime import tf

__all__ = [
    "MeanSqrt",
    "Natural",
    "covariance",
    "divergence",
    "mean_sqrt_to_expectation",
    "mean_sqrt_to_natural",
    "natural_to_mean_sqrt",
    "prior_kl",
    "standard_normal",
]


class MeanSqrt(NamedTuple):
    """Mean and lower-triangular square root of the covariance.

    Attributes
    ----------
    q_mu : tensor of shape (M, L)
    q_sqrt : tensor of shape (L, M, M)
    """

    q_mu: Any
    q_sqrt: Any


class Natural(NamedTuple):
    """Natural parameters.

    Attributes
    ----------
    nat1 : tensor of shape (M, L)
        Precision times mean.
    nat2 : tensor of shape (L, M, M)
        Minus half the precision.
    """

    nat1: Any
    nat2: Any


def standard_normal(n_points: int, n_latent: int = 1, dtype: str = "float64") -> MeanSqrt:
    """q = N(0, I), the whitened prior.

    Examples
    --------
    >>> from skgpng.gaussians import standard_normal
    >>> standard_normal(5, 2).q_sqrt.shape.as_list()
    [2, 5, 5]
    """
    return MeanSqrt(
        tf.zeros([n_points, n_latent], dtype), tf.eye(n_points, batch_shape=[n_latent], dtype=dtype)
    )


def apply(matrices: Any, vectors: Any) -> Any:
    """Multiply each column of vectors [M, L] by its own matrix of [L, M, M]."""
    return columnwise(Tensors, tf.matmul, matrices, vectors)


def covariance(q: MeanSqrt) -> Any:
    """S = q_sqrt q_sqrt', [L, M, M]."""
    return tf.matmul(q.q_sqrt, q.q_sqrt, transpose_b=True)


def mean_sqrt_to_natural(q: MeanSqrt) -> Natural:
    """(m, L) to (P m, -P/2)."""
    inverse = triangular_inverse(q.q_sqrt)
    precision = tf.matmul(inverse, inverse, transpose_a=True)
    return Natural(apply(precision, q.q_mu), -0.5 * precision)


def natural_to_mean_sqrt(q: Natural) -> MeanSqrt:
    """(P m, -P/2) to (m, L): one factorisation and one triangular inverse.

    Factorising P with its rows and columns in reverse order gives P = U U' with U upper
    triangular, so that S = U^-T U^-1 and U^-T is already the lower-triangular root of S.
    """
    reverse = [-2, -1]
    U = tf.reverse(tf.linalg.cholesky(tf.reverse(-2.0 * q.nat2, reverse)), reverse)
    q_sqrt = triangular_inverse(U, lower=False, adjoint=True)
    return MeanSqrt(columnwise(Tensors, _squared, q_sqrt, q.nat1), q_sqrt)


def _squared(root: Any, vectors: Any) -> Any:
    """R R' x."""
    return tf.matmul(root, tf.matmul(root, vectors, transpose_a=True))


def mean_sqrt_to_expectation(q: MeanSqrt) -> tuple[Any, Any]:
    """(m, L) to (m, S + m m')."""
    m = tf.transpose(q.q_mu)  # [L, M]
    return q.q_mu, covariance(q) + m[:, :, None] * m[:, None, :]


def divergence(spread: Any, squares: Any) -> Any:
    r"""KL divergence of N(m, S) from N(0, I), of tr(S - I) - log|S| and m'm."""
    return 0.5 * (spread + squares)


def prior_kl(q: MeanSqrt) -> Any:
    """KL divergence from N(0, I), summed over the latent functions; see :func:`divergence`.

    Examples
    --------
    >>> from skgpng.gaussians import prior_kl, standard_normal
    >>> float(prior_kl(standard_normal(3)))
    0.0
    """
    log_root = tf.math.log(tf.abs(tf.linalg.diag_part(q.q_sqrt)))
    spread = tf.reduce_sum(q.q_sqrt**2) - tf.reduce_sum(1.0 + 2.0 * log_root)
    return divergence(spread, tf.reduce_sum(q.q_mu**2))
