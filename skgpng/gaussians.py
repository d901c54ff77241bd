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

    Examples
    --------
    >>> from skgpng.gaussians import standard_normal
    >>> q = standard_normal(2)
    >>> print(q.q_mu.numpy().ravel())
    [0. 0.]
    >>> print(q.q_sqrt.numpy()[0])
    [[1. 0.]
     [0. 1.]]
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

    Examples
    --------
    >>> from skgpng.gaussians import mean_sqrt_to_natural, standard_normal
    >>> print(mean_sqrt_to_natural(standard_normal(2)).nat2.numpy()[0] + 0.0)
    [[-0.5  0. ]
     [ 0.  -0.5]]
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
    """S = q_sqrt q_sqrt', [L, M, M].

    Examples
    --------
    >>> import tensorflow as tf
    >>> from skgpng.gaussians import MeanSqrt, covariance
    >>> q = MeanSqrt(tf.zeros((2, 1)), tf.constant([[[1.0, 0.0], [2.0, 1.0]]]))
    >>> print(covariance(q).numpy()[0])
    [[1. 2.]
     [2. 5.]]
    """
    return tf.matmul(q.q_sqrt, q.q_sqrt, transpose_b=True)


def mean_sqrt_to_natural(q: MeanSqrt) -> Natural:
    """(m, L) to (P m, -P/2).

    Examples
    --------
    >>> import tensorflow as tf
    >>> from skgpng.gaussians import MeanSqrt, mean_sqrt_to_natural
    >>> q = MeanSqrt(tf.constant([[3.0]]), tf.constant([[[2.0]]]))
    >>> [theta.numpy().item() for theta in mean_sqrt_to_natural(q)]
    [0.75, -0.125]
    """
    inverse = triangular_inverse(q.q_sqrt)
    precision = tf.matmul(inverse, inverse, transpose_a=True)
    return Natural(apply(precision, q.q_mu), -0.5 * precision)


def natural_to_mean_sqrt(q: Natural) -> MeanSqrt:
    """(P m, -P/2) to (m, L): one factorisation and one triangular inverse.

    Factorising P with its rows and columns in reverse order gives P = U U' with U upper
    triangular, so that S = U^-T U^-1 and U^-T is already the lower-triangular root of S.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from skgpng.gaussians import Natural, natural_to_mean_sqrt
    >>> q = Natural(tf.constant([[0.75]]), tf.constant([[[-0.125]]]))
    >>> [part.numpy().item() for part in natural_to_mean_sqrt(q)]
    [3.0, 2.0]
    """
    reverse = [-2, -1]
    U = tf.reverse(tf.linalg.cholesky(tf.reverse(-2.0 * q.nat2, reverse)), reverse)
    q_sqrt = triangular_inverse(U, lower=False, adjoint=True)
    return MeanSqrt(columnwise(Tensors, _squared, q_sqrt, q.nat1), q_sqrt)


def _squared(root: Any, vectors: Any) -> Any:
    """R R' x."""
    return tf.matmul(root, tf.matmul(root, vectors, transpose_a=True))


def mean_sqrt_to_expectation(q: MeanSqrt) -> tuple[Any, Any]:
    """(m, L) to (m, S + m m').

    Examples
    --------
    >>> import tensorflow as tf
    >>> from skgpng.gaussians import MeanSqrt, mean_sqrt_to_expectation
    >>> q = MeanSqrt(tf.constant([[3.0]]), tf.constant([[[2.0]]]))
    >>> [eta.numpy().item() for eta in mean_sqrt_to_expectation(q)]
    [3.0, 13.0]
    """
    m = tf.transpose(q.q_mu)  # [L, M]
    return q.q_mu, covariance(q) + m[:, :, None] * m[:, None, :]


def divergence(spread: Any, squares: Any) -> Any:
    r"""KL divergence of N(m, S) from N(0, I), of tr(S - I) - log|S| and m'm.

    Examples
    --------
    >>> from skgpng.gaussians import divergence
    >>> divergence(spread=0.0, squares=4.0)  # N(m, I) with |m| = 2
    2.0
    """
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
