r"""What predicting needs, and predicting itself.

Every model predicts from the same few arrays. With :math:`k` the covariances between a new row
and the points Z,

.. math::

    f_{mean} = k^\top w, \qquad f_{var} = k_{**} - \|R_- k\|^2 + \|R_+ k\|^2 .
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from . import gaussians, models
from ._tensorflow import tf
from .kernels import Kernel, covariance, diagonal
from .linalg import shift_diagonal, triangular_inverse
from .structures import Data, Hyperparameters, Result, Structure

__all__ = ["Posterior", "mean_and_covariance", "mean_and_variance", "posterior"]

# Numbers in the largest temporary array while predicting (64 MB in float64).
_CHUNK = 2**23


class Posterior(NamedTuple):
    """Arrays that predict; NumPy.

    Attributes
    ----------
    points : ndarray of shape (M, D)
        Inducing points, or the training rows.
    weights : ndarray of shape (M, L)
        Mean of the latent functions per unit of covariance.
    minus : ndarray of shape (1 or L, M, M)
        What knowing the data takes from the prior variance.
    plus : ndarray of shape (L, M, M) or (0, M, M)
        What not knowing the inducing variables gives back.
    """

    points: Any
    weights: Any
    minus: Any
    plus: Any


def posterior(structure: Structure, result: Result, data: Data, jitter: float) -> Posterior:
    """Posterior of a trained model, from its training result."""
    build = {"gpr": _from_rows, "vgp": _from_rows, "sgpr": _from_inducing, "svgp": _from_inducing}
    arrays = build[structure.model](structure, result, data, jitter)
    return Posterior(*(np.asarray(a) for a in arrays))


def _sites(structure: Structure, result: Result, data: Data) -> tuple[Any, Any]:
    """First natural parameter and precision of each row, [L, N] and [1 or L, N]."""
    if structure.model == "vgp":
        site_mean, site_precision = result.variational
        return tf.transpose(site_mean), tf.transpose(site_precision)
    precision = data.weights / (result.theta.likelihood[0] + data.row_noise)  # [N]
    return tf.transpose(precision[:, None] * data.Y), precision[None]


def _from_rows(structure: Structure, result: Result, data: Data, jitter: float) -> Any:
    """With B = I + r K r = L L': R- = L^-1 r, w = r B^-1 (beta / r) (R&W eq. 3.26, 3.27)."""
    site_mean, precision = _sites(structure, result, data)
    root = tf.sqrt(precision)  # [1 or L, N]
    K = covariance(structure.kernel, result.theta.kernel, tf.convert_to_tensor(data.X))
    B = shift_diagonal(root[:, :, None] * K * root[:, None, :], 1.0)
    minus = triangular_inverse(tf.linalg.cholesky(B)) * root[:, None, :]
    inner = tf.linalg.matvec(minus, site_mean / precision)  # [L, N]
    weights = tf.linalg.matvec(minus, inner, transpose_a=True)
    return data.X, tf.transpose(weights), minus, tf.zeros([0, *K.shape], K.dtype)


def _from_inducing(structure: Structure, result: Result, data: Data, jitter: float) -> Any:
    """R- = Luu^-1, R+ = L_P^-1 Luu^-1 with P = L_P L_P' the precision of q, w = Luu^-T m."""
    theta = Hyperparameters(*result.theta)
    Z = tf.convert_to_tensor(theta.inducing_points)
    if structure.model == "sgpr":
        q = collapsed_q(structure, theta, data, jitter)
    else:
        q = gaussians.Natural(*result.variational)
    Kuu = shift_diagonal(covariance(structure.kernel, theta.kernel, Z), jitter)
    L_inv = triangular_inverse(tf.linalg.cholesky(Kuu))  # [M, M]
    P_root_inv = triangular_inverse(tf.linalg.cholesky(-2.0 * q.nat2))  # [1 or L, M, M]
    q_mu = gaussians.apply(tf.matmul(P_root_inv, P_root_inv, transpose_a=True), q.nat1)
    return Z, tf.matmul(L_inv, q_mu, transpose_a=True), L_inv[None], tf.matmul(P_root_inv, L_inv)


def collapsed_q(
    structure: Structure, theta: Hyperparameters, data: Data, jitter: float
) -> gaussians.Natural:
    """The best q of a Gaussian likelihood: one natural-gradient step of gamma = 1."""
    prior = models.svgp_covariances(structure.kernel, theta, data.X, jitter)
    noise = (theta.likelihood[0] + data.row_noise) / data.weights
    return models.conjugate_q(prior, tf.convert_to_tensor(data.Y), noise)


# --- predicting ------------------------------------------------------------------------------


def _cross(kernel: Kernel, values: tuple, p: Posterior, X: Any) -> tuple[Any, Any, Any]:
    """Mean [N, L], and the two factors R- k [1 or L, M, N] and R+ k [0 or L, M, N]."""
    K = covariance(kernel, values, p.points, X)  # [M, N]
    return tf.matmul(K, p.weights, transpose_a=True), tf.matmul(p.minus, K), tf.matmul(p.plus, K)


def _mean_and_variance(kernel: Kernel, values: tuple, p: Posterior, X: Any) -> tuple[Any, Any]:
    f_mean, minus, plus = _cross(kernel, values, p, X)
    change = tf.reduce_sum(minus**2, 1)  # [1 or L, N]
    if p.plus.shape[0] != 0:
        change -= tf.reduce_sum(plus**2, 1)
    f_var = diagonal(kernel, values, X)[:, None] - tf.transpose(change)
    return f_mean, tf.maximum(f_var, 0.0) + tf.zeros_like(f_mean)


def _mean_and_covariance(kernel: Kernel, values: tuple, p: Posterior, X: Any) -> tuple[Any, Any]:
    f_mean, minus, plus = _cross(kernel, values, p, X)
    cov = covariance(kernel, values, X) - tf.matmul(minus, minus, transpose_a=True)
    if p.plus.shape[0] != 0:
        cov += tf.matmul(plus, plus, transpose_a=True)
    return f_mean, tf.broadcast_to(cov, [tf.shape(f_mean)[1], *tf.unstack(tf.shape(cov)[1:])])


@functools.lru_cache(maxsize=256)
def _compiled(function: Any, kernel: Kernel, has_plus: bool, dtype: str) -> Any:
    real = functools.partial(tf.TensorSpec, dtype=dtype)
    p = Posterior(
        real([None, None]),
        real([None, None]),
        real([None, None, None]),
        real([None if has_plus else 0, None, None]),
    )
    values = tuple(real([None] * rank) for rank in kernel.all_ranks)
    return tf.function(
        functools.partial(function, kernel),
        input_signature=(values, p, real([None, None])),
        autograph=False,
    )


def mean_and_variance(
    kernel: Kernel, values: tuple, p: Posterior, X: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the latent functions at new rows, in chunks of rows.

    Parameters
    ----------
    kernel : Kernel
    values : tuple of arrays
        Kernel hyperparameters.
    p : Posterior
    X : ndarray of shape (N, D)

    Returns
    -------
    f_mean, f_var : ndarray of shape (N, L)
    """
    predict = _compiled(_mean_and_variance, kernel, len(p.plus) > 0, p.points.dtype.name)
    values, p = tf.nest.map_structure(tf.convert_to_tensor, (values, p))
    rows = max(1, _CHUNK // max(1, p.points.shape[0] * max(p.minus.shape[0], p.plus.shape[0])))
    parts = [predict(values, p, tf.convert_to_tensor(chunk)) for chunk in _chunks(X, rows)]
    f_mean, f_var = (np.concatenate([part[k].numpy() for part in parts]) for k in (0, 1))
    return f_mean, f_var


def _chunks(X: np.ndarray, rows: int) -> Iterator[np.ndarray]:
    for start in range(0, len(X), rows):
        yield X[start : start + rows]


def mean_and_covariance(
    kernel: Kernel, values: tuple, p: Posterior, X: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean [N, L] and covariance [L, N, N] of the latent functions at new rows."""
    predict = _compiled(_mean_and_covariance, kernel, len(p.plus) > 0, p.points.dtype.name)
    arguments = tf.nest.map_structure(tf.convert_to_tensor, (values, p, X))
    f_mean, cov = predict(*arguments)
    return f_mean.numpy(), cov.numpy()
