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
from scipy.linalg import solve_triangular
from sklearn.gaussian_process.kernels import CompoundKernel

from . import gaussians
from ._dense import Arrays
from ._tensorflow import compiled_once, tf
from .kernels import Kernel, covariance, diagonal, jitter_unit, of_each_latent
from .linalg import one_blas_thread
from .structures import Data, Hyperparameters, Memory, Result, Structure

__all__ = [
    "Posterior",
    "covariance_of_each",
    "left_out",
    "jitter_units",
    "mean_and_covariance",
    "mean_and_variance",
    "memory_of",
    "natural_of",
    "nothing_known",
    "pack",
    "posterior",
    "prior_variance",
    "unpack",
]

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
    plus : ndarray of shape (1 or L, M, M), or (0, M, M)
        What not knowing the inducing variables gives back.
    """

    points: Any
    weights: Any
    minus: Any
    plus: Any


def posterior(structure: Structure, result: Result, data: Data, jitter: float) -> Posterior:
    """Posterior of a trained model, from its training result."""
    build = {"gpr": _from_rows, "vgp": _from_rows, "sgpr": _from_inducing, "svgp": _from_inducing}
    with np.errstate(all="ignore"):  # whoever asked looks for what is not finite
        arrays = build[structure.model](structure, result, data, jitter)
    return Posterior(*(np.asarray(a) for a in arrays))


def _sites(structure: Structure, result: Result, data: Data, K: Any, jitter: float) -> tuple:
    """First natural parameter and precision of each row, [L, N] and [1 or L, N]."""
    if structure.model == "vgp":
        site_mean, site_precision = result.variational
        return site_mean.T, site_precision.T
    noise = (result.theta.likelihood[0] + data.row_noise) / data.weights
    unit = jitter_units(structure.kernel, result.theta.kernel, data.X)[0]
    precision = 1.0 / (noise + jitter * unit)  # [N]
    return (precision[:, None] * data.Y).T, precision[None]


def _from_rows(structure: Structure, result: Result, data: Data, jitter: float) -> Any:
    """With B = I + r K r = L L': R- = L^-1 r, w = r B^-1 (beta / r) (R&W eq. 3.26, 3.27)."""
    X = tf.convert_to_tensor(data.X)
    K = covariance_of_each(structure.kernel, result.theta.kernel, X).numpy()
    site_mean, precision = _sites(structure, result, data, K, jitter)
    root = np.sqrt(precision)  # [1 or L, N]
    B = Arrays.shift_diagonal(root[:, :, None] * K * root[:, None, :], 1.0)
    minus = _root_inverses(B, (0.0, 1e-14, 1e-12, 1e-10)) * root[:, None, :]
    inner = _apply(minus, site_mean / precision)  # [L, N]
    return data.X, _apply(minus.swapaxes(1, 2), inner).T, minus, np.zeros((0, *K.shape[1:]))


def _from_inducing(structure: Structure, result: Result, data: Data, jitter: float) -> Any:
    """R- = Luu^-1, R+ = L_P^-1 Luu^-1 with P = L_P L_P' the precision of q, w = Luu^-T m."""
    theta, (nat1, nat2) = Hyperparameters(*result.theta), result.variational
    Z = tf.convert_to_tensor(theta.inducing_points)
    Kuu = covariance_of_each(structure.kernel, theta.kernel, Z).numpy()
    units = jitter_units(structure.kernel, theta.kernel, Z)
    L_inv = _root_inverses(Kuu, (jitter, 10.0 * jitter, 100.0 * jitter, 1e3 * jitter), units)
    P_root_inv = _root_inverses(-2.0 * nat2)  # [1 or L, M, M]
    q_mu = _apply(P_root_inv.swapaxes(1, 2), _apply(P_root_inv, nat1.T))
    weights = _apply(L_inv.swapaxes(1, 2), q_mu).T
    return Z, weights, L_inv, P_root_inv @ L_inv


def _root_inverses(
    K: np.ndarray, jitters: tuple[float, ...] = (0.0,), units: np.ndarray | None = None
) -> np.ndarray:
    """Inverses of the Cholesky factors of [L, M, M]; with the first jitter that is enough.

    Rounding may ask for more here than in training. Jitter is in ``units``, or in those of the
    mean diagonal.
    """
    size = np.trace(K, axis1=1, axis2=2) / K.shape[1] if units is None else units
    with one_blas_thread:
        for jitter in jitters:
            shifted = zip(K, jitter * size, strict=True)
            inverses = np.stack([Arrays.lower_inverse(Arrays.shift_diagonal(*k)) for k in shifted])
            if np.isfinite(inverses.sum()):
                break
    return inverses


def _apply(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Matrices [1 or L, M, M] times vectors [L, M], each its own."""
    return (matrices @ vectors[:, :, None])[:, :, 0]


def left_out(p: Posterior) -> np.ndarray:
    r"""Error [N, L] of predicting each row from the others, of exact regression.

    :math:`[K_y^{-1} y]_i / [K_y^{-1}]_{ii}` (Rasmussen & Williams 2006, eq. 5.12).
    """
    return p.weights / np.sum(p.minus[0] ** 2, 0)[:, None]


def nothing_known(n_features: int, n_latent: int) -> Posterior:
    """The prior: a posterior without points."""
    return Posterior(
        np.zeros((0, n_features)), np.zeros((0, n_latent)), np.zeros((1, 0, 0)), np.zeros((0, 0, 0))
    )


def prior_variance(kernel: Kernel, values: tuple, X: np.ndarray) -> np.ndarray:
    """Prior variance of each latent function at rows X, [1 or L, N]."""
    return np.stack([diagonal(k, v, X).numpy() for k, v in of_each_latent(kernel, values)])


def jitter_units(kernel: Kernel, values: tuple, Z: Any) -> np.ndarray:
    """Unit of the jitter of the covariances of rows Z for each latent function, [1 or L]."""
    each = of_each_latent(kernel, values)
    units = [(jitter_unit(k, v, Z), k, v) for k, v in each]
    return np.array([np.mean(diagonal(k, v, Z)) if u is None else u for u, k, v in units])


# --- what a posterior remembers --------------------------------------------------------------


def natural_of(p: Posterior) -> gaussians.Natural:
    """Natural parameters of the whitened q behind a posterior with inducing points; NumPy."""
    roots = [solve_triangular(m, np.eye(len(m)), lower=True) for m in p.minus]  # Luu
    L = max(len(p.minus), len(p.plus), p.weights.shape[1])
    precisions = [_precision(plus, roots[k % len(roots)]) for k, plus in enumerate(p.plus)]
    means = [roots[k % len(roots)].T @ p.weights[:, k] for k in range(L)]
    nat1 = [precisions[k % len(precisions)] @ m for k, m in enumerate(means)]
    return gaussians.Natural(np.stack(nat1, 1), -0.5 * np.stack(precisions))


def _precision(plus: np.ndarray, root: np.ndarray) -> np.ndarray:
    """P = L_P L_P' from L_P^-1 Luu^-1 and Luu."""
    P_root = solve_triangular(np.tril(plus @ root), np.eye(len(root)), lower=True)
    return P_root @ P_root.T


def memory_of(p: Posterior, prior: np.ndarray) -> Memory:
    r"""What a posterior knows beyond the prior, as observations.

    In whitened variables :math:`q(v)/p(v)` has the precision
    :math:`P - I = V \mathrm{diag}(e) V^\top` and the first natural parameter
    :math:`\theta_1`: that of observing :math:`\sqrt{e_k}\, V_k^\top v` as
    :math:`V_k^\top \theta_1 / \sqrt{e_k}` with unit noise. With :math:`v = L_{uu}^{-1} f(Z)`
    the combination of function values is :math:`R_k = \sqrt{e_k} L_{uu}^{-\top} V_k`. Without
    inducing points the observations are the rows, in units of their noise.

    Parameters
    ----------
    p : Posterior
    prior : ndarray of shape (1 or L, M)
        Prior variance at ``p.points``.
    """
    q = natural_of(p) if len(p.plus) else None
    n = max(len(p.minus), len(p.plus), len(prior))
    parts = [
        _row_observations(p.minus[k % len(p.minus)], prior[k % len(prior)], p.weights)
        if q is None
        else _observations(p.minus[k % len(p.minus)], q.nat2[k % len(q.nat2)], q.nat1)
        for k in range(n)
    ]
    roots = np.stack([root for root, _ in parts])
    targets = [parts[k % n][1][:, k] for k in range(p.weights.shape[1])]
    return Memory(p.points, roots, np.stack(targets, 1))


def _row_observations(minus: np.ndarray, prior: np.ndarray, weights: np.ndarray) -> tuple:
    """Rows and targets in units of their noise, from (K + noise)^-1 = R-' R- and w."""
    root = solve_triangular(minus, np.eye(len(minus)), lower=True)
    noise = np.sum(root**2, 1) - prior
    size = 1.0 / np.sqrt(np.maximum(noise, 1e-9 * prior))
    return np.diag(size), size[:, None] * (root @ (root.T @ weights))


def _observations(L_inv: np.ndarray, nat2: np.ndarray, nat1: np.ndarray) -> tuple:
    """Combinations R [M, M] and their targets [M, L]; zero where nothing was learned."""
    e, V = np.linalg.eigh(-2.0 * nat2 - np.eye(len(nat2)))
    learned = e > 1e-9 * max(e[-1], 1.0)
    size = np.sqrt(np.where(learned, e, 0.0))
    inverse = np.where(learned, 1.0 / np.where(learned, size, 1.0), 0.0)
    return L_inv.T @ (V * size), inverse[:, None] * (V.T @ nat1)


# --- storing ---------------------------------------------------------------------------------


def pack(p: Posterior) -> Posterior:
    """The same with triangular matrices as rows of their lower triangles: half the size."""
    i, j = np.tril_indices(p.minus.shape[-1])
    return p._replace(minus=p.minus[:, i, j], plus=p.plus[:, i, j])


def unpack(p: Posterior) -> Posterior:
    """Undo :func:`pack`."""
    return p._replace(minus=_triangles(p.minus), plus=_triangles(p.plus))


def _triangles(packed: np.ndarray) -> np.ndarray:
    M = int(np.sqrt(2 * packed.shape[1]))
    full = np.zeros((len(packed), M, M), packed.dtype)
    i, j = np.tril_indices(M)
    full[:, i, j] = packed
    return full


# --- predicting ------------------------------------------------------------------------------


def covariance_of_each(kernel: Kernel, values: tuple, X1: Any, X2: Any = None) -> Any:
    """Prior covariances of each latent function, [1 or L, N1, N2]."""
    return tf.stack([covariance(k, v, X1, X2) for k, v in of_each_latent(kernel, values)])


def _cross(kernel: Kernel, values: tuple, p: Posterior, X: Any) -> tuple[Any, Any, Any]:
    """Mean [N, L], and the two factors R- k and R+ k, [1 or L, M, N]; R+ may be empty."""
    if kernel.cls is not CompoundKernel:
        K = covariance(kernel, values, p.points, X)  # [M, N]
        f_mean = tf.matmul(K, p.weights, transpose_a=True)
    else:
        K = covariance_of_each(kernel, values, p.points, X)  # [L, M, N]
        f_mean = tf.einsum("lmn,ml->nl", K, p.weights)
    return f_mean, tf.matmul(p.minus, K), p.plus if p.plus.shape[0] == 0 else tf.matmul(p.plus, K)


def _mean_and_variance(kernel: Kernel, values: tuple, p: Posterior, X: Any) -> tuple[Any, Any]:
    f_mean, minus, plus = _cross(kernel, values, p, X)
    change = tf.reduce_sum(minus**2, 1)  # [1 or L, N]
    if p.plus.shape[0] != 0:
        change -= tf.reduce_sum(plus**2, 1)
    prior = [diagonal(k, v, X) for k, v in of_each_latent(kernel, values)]
    f_var = tf.transpose(tf.stack(prior) - change)
    return f_mean, tf.maximum(f_var, 0.0) + tf.zeros_like(f_mean)


def _mean_and_covariance(kernel: Kernel, values: tuple, p: Posterior, X: Any) -> tuple[Any, Any]:
    f_mean, minus, plus = _cross(kernel, values, p, X)
    cov = covariance_of_each(kernel, values, X) - tf.matmul(minus, minus, transpose_a=True)
    if p.plus.shape[0] != 0:
        cov += tf.matmul(plus, plus, transpose_a=True)
    return f_mean, tf.broadcast_to(cov, [tf.shape(f_mean)[1], *tf.unstack(tf.shape(cov)[1:])])


@compiled_once
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
    rows = max(1, _CHUNK // max(1, p.points.shape[0] * max(p.minus.shape[0], p.plus.shape[0])))
    parts = [predict(values, p, c.astype(p.points.dtype, copy=False)) for c in _chunks(X, rows)]
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
    f_mean, cov = predict(values, p, X.astype(p.points.dtype, copy=False))
    return f_mean.numpy(), cov.numpy()
