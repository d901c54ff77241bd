r"""What predicting needs, and predicting itself.

Every model predicts from the same few arrays. With :math:`k` the covariances between a new row
and the points Z, and lower Cholesky factors :math:`L`, :math:`L_P`,

.. math::

    f_{mean} = k^\top w, \qquad a = L^{-1} k, \qquad
    f_{var} = k_{**} - \|a\|^2 + \|L_P^{-1} a\|^2 .

Without inducing points :math:`L L^\top = K + noise` and the last term is missing; with them
:math:`L L^\top = K_{uu}` and :math:`L_P L_P^\top` is the precision of the whitened q. Factors are
kept, and predicting solves with them. A product with an inverse would be as quick, but its error
is that of the condition number: for a noise of 1e-8 of the variance it exceeds f_var.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import lapack

from . import gaussians
from ._dense import Arrays, in_turn
from ._tensorflow import compiled_once, tf
from .kernels import KernelStructure, covariance, diagonal, jitter_unit, of_each_latent
from .linalg import exact_distances, one_blas_thread
from .structures import Data, Hyperparameters, Memory, Result, Structure

__all__ = [
    "Posterior",
    "covariance_of_each",
    "covariance_root",
    "covariances",
    "jitter_units",
    "left_out",
    "mean",
    "mean_and_covariance",
    "mean_and_variance",
    "memory_of",
    "natural_of",
    "nothing_known",
    "pack",
    "posterior",
    "prior_variance",
    "unpack",
    "whitened",
]

# Numbers in the largest temporary array while predicting (4 MB in float64): it stays in the cache.
_CHUNK = 2**19
# Jitter for what rounding alone keeps from being factorised, in units of the mean diagonal.
_ROUNDING = (0.0, 1e-14, 1e-12, 1e-10)
# Smallest variance that is told from none, in units of the prior variance k**. Rounding of k**, of
# k and of the solve leaves 0.3 to 3 epsilon in the median, and less than 8 at nearly all rows (six
# kernels, 1 and 4 columns, 20 and 200 rows, noise 1e-2 to 1e-12; against long doubles).
_EPS = np.finfo(np.float64).eps
_FLOOR, _TINY = 8.0 * _EPS, np.finfo(np.float64).tiny


class Posterior(NamedTuple):
    """Arrays that predict; NumPy.

    Attributes
    ----------
    points : ndarray of shape (M, D)
        Inducing points, or the training rows.
    weights : ndarray of shape (M, L)
        Mean of the latent functions per unit of covariance.
    root : ndarray of shape (1 or L, M, M)
        Lower Cholesky factor of the covariance of the points, with the noise of training rows.
    precision_root : ndarray of shape (1 or L, M, M), or (0, M, M)
        That of the precision of q, whitened by ``root``; none without inducing points.
    """

    points: Any
    weights: Any
    root: Any
    precision_root: Any


def posterior(structure: Structure, result: Result, data: Data, jitter: float) -> Posterior:
    """Posterior of a trained model, from its training result."""
    build = {"gpr": _from_rows, "vgp": _from_rows, "sgpr": _from_inducing, "svgp": _from_inducing}
    with np.errstate(all="ignore"), one_blas_thread:  # whoever asked looks for what is not finite
        arrays = build[structure.model](structure, result, data, jitter)
    return Posterior(*(np.asarray(a) for a in arrays))


def _sites(structure: Structure, result: Result, data: Data) -> tuple:
    """First natural parameter and precision of each row, [L, N] and [1 or L, N]."""
    if structure.model == "vgp":
        site_mean, site_precision = result.variational
        return site_mean.T, site_precision.T
    noise = (result.theta.likelihood[0] + data.row_noise) / data.weights
    precision = 1.0 / noise  # [N]
    return (precision[:, None] * data.Y).T, precision[None]


def _from_rows(structure: Structure, result: Result, data: Data, jitter: float) -> Any:
    """With B = I + r K r = L_B L_B': L = L_B / r, w = (L L')^-1 (beta / r^2) (R&W eq. 3.27).

    The jitter of training comes in only where B needs it: the distances here have more digits.
    """
    K, _ = covariances(structure.kernel, result.theta.kernel, data.X, data.X)
    site_mean, precision = _sites(structure, result, data)
    r = np.sqrt(precision)  # [1 or L, N]
    B = Arrays.shift_diagonal(r[:, :, None] * K * r[:, None, :], 1.0)
    jitters = sorted({*_ROUNDING, jitter, 10.0 * jitter, 100.0 * jitter})
    root = _roots(B, jitters) / r[:, :, None]
    return data.X, _solved(root, (site_mean / precision).T), root, np.zeros((0, *K.shape[1:]))


def _from_inducing(structure: Structure, result: Result, data: Data, jitter: float) -> Any:
    """L = Luu; L_P of the precision P of q; w = Luu^-T m, where P m is its first parameter."""
    theta, (nat1, nat2) = Hyperparameters(*result.theta), result.variational
    Z = tf.convert_to_tensor(theta.inducing_points)
    Kuu = covariance_of_each(structure.kernel, theta.kernel, Z).numpy()
    units = jitter_units(structure.kernel, theta.kernel, Z)
    root = _roots(Kuu, (jitter, 10.0 * jitter, 100.0 * jitter, 1e3 * jitter), units)
    precision_root = _roots(-2.0 * nat2, _ROUNDING)  # [1 or L, M, M]
    weights = _each(Arrays.transposed_lower_solve, root, _solved(precision_root, nat1))
    return Z, weights, root, precision_root


def _roots(K: np.ndarray, jitters: Sequence[float], units: np.ndarray | None = None) -> np.ndarray:
    """Cholesky factors of [L, M, M]; with the first jitter that is enough.

    Rounding may ask for more here than in training. Jitter is in ``units``, or in those of the
    mean diagonal.
    """
    size = np.trace(K, axis1=1, axis2=2) / K.shape[1] if units is None else units
    for jitter in jitters:
        shifted = zip(K, jitter * size, strict=True)
        roots = np.stack([Arrays.cholesky(Arrays.shift_diagonal(*k)) for k in shifted])
        if np.isfinite(roots.sum()):
            break
    return roots


def _each(solve: Callable, roots: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """``solve(root, vector)`` for the columns of [M, L], each with its root or all with one."""
    if len(roots) == 1:
        return solve(roots[0], vectors)
    columns = zip(roots, vectors.T[:, :, None], strict=True)
    return np.concatenate([solve(root, column) for root, column in columns], 1)


def _solved(roots: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(L L')^-1 x for the columns x of [M, L], by two triangular solves."""
    return _each(Arrays.transposed_lower_solve, roots, _each(Arrays.lower_solve, roots, vectors))


def left_out(p: Posterior) -> np.ndarray:
    r"""Error [N, L] of predicting each row from the others, of exact regression.

    :math:`[K_y^{-1} y]_i / [K_y^{-1}]_{ii}` (Rasmussen & Williams 2006, eq. 5.12).
    """
    inverse, _ = lapack.dtrtri(p.root[0].T, lower=0)  # of L', so that L is not copied
    return p.weights / np.sum(inverse**2, 1)[:, None]


def nothing_known(n_features: int, n_latent: int) -> Posterior:
    """The prior: a posterior without points."""
    return Posterior(
        np.zeros((0, n_features)), np.zeros((0, n_latent)), np.zeros((1, 0, 0)), np.zeros((0, 0, 0))
    )


def prior_variance(kernel: KernelStructure, values: tuple, X: np.ndarray) -> np.ndarray:
    """Prior variance of each latent function at rows X, [1 or L, N]."""
    X = X.astype(np.float64, copy=False)
    return np.stack([diagonal(k, v, X).numpy() for k, v in of_each_latent(kernel, values)])


def jitter_units(kernel: KernelStructure, values: tuple, Z: Any) -> np.ndarray:
    """Unit of the jitter of the covariances of rows Z for each latent function, [1 or L]."""
    each = of_each_latent(kernel, values)
    units = [(jitter_unit(k, v, Z), k, v) for k, v in each]
    return np.array([np.mean(diagonal(k, v, Z)) if u is None else u for u, k, v in units])


# --- what a posterior remembers --------------------------------------------------------------


def natural_of(p: Posterior) -> gaussians.Natural:
    """Natural parameters of the whitened q behind a posterior with inducing points; NumPy."""
    precisions = p.precision_root @ p.precision_root.swapaxes(1, 2)
    q_mu = _each(lambda root, w: root.T @ w, p.root, p.weights)  # Luu' w
    nat1 = _each(np.matmul, precisions, q_mu)
    return gaussians.Natural(nat1, -0.5 * precisions)


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
    q = natural_of(p) if len(p.precision_root) else None
    n = max(len(p.root), len(p.precision_root), len(prior))
    parts = [
        _row_observations(p.root[k % len(p.root)], prior[k % len(prior)], p.weights)
        if q is None
        else _observations(p.root[k % len(p.root)], q.nat2[k % len(q.nat2)], q.nat1)
        for k in range(n)
    ]
    roots = np.stack([root for root, _ in parts])
    targets = [parts[k % n][1][:, k] for k in range(p.weights.shape[1])]
    return Memory(p.points, roots, np.stack(targets, 1))


def _row_observations(root: np.ndarray, prior: np.ndarray, weights: np.ndarray) -> tuple:
    """Rows and targets in units of their noise, from the root of K + noise and w."""
    noise = np.sum(root**2, 1) - prior
    size = 1.0 / np.sqrt(np.maximum(noise, 1e-9 * prior))
    return np.diag(size), size[:, None] * (root @ (root.T @ weights))


def _observations(root: np.ndarray, nat2: np.ndarray, nat1: np.ndarray) -> tuple:
    """Combinations R [M, M] and their targets [M, L]; zero where nothing was learned."""
    e, V = np.linalg.eigh(-2.0 * nat2 - np.eye(len(nat2)))
    learned = e > 1e-9 * max(e[-1], 1.0)
    size = np.sqrt(np.where(learned, e, 0.0))
    inverse = np.where(learned, 1.0 / np.where(learned, size, 1.0), 0.0)
    return Arrays.transposed_lower_solve(root, V * size), inverse[:, None] * (V.T @ nat1)


# --- storing ---------------------------------------------------------------------------------


def pack(p: Posterior) -> Posterior:
    """The same with triangular matrices as rows of their lower triangles: half the size."""
    i, j = np.tril_indices(p.root.shape[-1])
    return p._replace(root=p.root[:, i, j], precision_root=p.precision_root[:, i, j])


def unpack(p: Posterior) -> Posterior:
    """Undo :func:`pack`."""
    return p._replace(root=_triangles(p.root), precision_root=_triangles(p.precision_root))


def _triangles(packed: np.ndarray) -> np.ndarray:
    M = int(np.sqrt(2 * packed.shape[1]))
    full = np.zeros((len(packed), M, M), packed.dtype)
    i, j = np.tril_indices(M)
    full[:, i, j] = packed
    return full


# --- predicting ------------------------------------------------------------------------------


def covariance_of_each(kernel: KernelStructure, values: tuple, X1: Any, X2: Any = None) -> Any:
    """Prior covariances of each latent function, [1 or L, N1, N2]."""
    with exact_distances():
        each = [covariance(k, v, X1, X2) for k, v in of_each_latent(kernel, values)]
    return tf.stack(each) if len(each) > 1 else each[0][None]


@compiled_once
def _compiled(kernel: KernelStructure, dtype: str) -> Any:
    """Covariances of points and new rows [1 or L, M, N], and prior variances of these [1 or L, N].

    Predictions of all kinds take the one compiled function: what follows is linear algebra.
    """
    real = functools.partial(tf.TensorSpec, dtype=dtype)

    def cross(values: tuple, points: Any, X: Any) -> tuple[Any, Any]:
        prior = [diagonal(k, v, X) for k, v in of_each_latent(kernel, values)]
        return covariance_of_each(kernel, values, points, X), tf.stack(prior)

    values = tuple(real([None] * form.rank) for form in kernel.forms)
    signature = (values, real([None, None]), real([None, None]))
    return tf.function(cross, input_signature=signature, autograph=False)


def covariances(
    kernel: KernelStructure, values: tuple, points: np.ndarray, X: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """See :func:`_compiled`; NumPy. A tenth of the time of :func:`covariance_of_each`."""
    X = X.astype(points.dtype, copy=False)
    K, prior = _compiled(kernel, points.dtype.name)(values, points, X)
    return np.asarray(K), np.asarray(prior)


def whitened(p: Posterior, K: np.ndarray) -> np.ndarray:
    """a = L^-1 k for covariances k [1 or L, M, N] of points and rows, [1 or L, M, N]."""
    return _solve_each(p.root, K)


def _solve_each(roots: np.ndarray, K: np.ndarray) -> np.ndarray:
    n = max(len(roots), len(K))
    return np.stack([Arrays.lower_solve(roots[k % len(roots)], K[k % len(K)]) for k in range(n)])


def _mean(p: Posterior, K: np.ndarray) -> np.ndarray:
    """k' w, [N, L]."""
    return K[0].T @ p.weights if len(K) == 1 else np.einsum("lmn,ml->nl", K, p.weights)


def _variance(prior: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """k** - |a|^2 + |b|^2 of each row, [1 or L, N]; what rounding has taken is a little, not none.

    Beyond ``_FLOOR`` nothing is known of a difference of two rounded numbers as large as k**.
    """
    variance = prior - _sums_of_squares(a) + _sums_of_squares(b)
    return np.maximum(variance, _FLOOR * prior)


def _sums_of_squares(a: np.ndarray) -> np.ndarray:
    return np.einsum("lmn,lmn->ln", a, a)


def _factors(p: Posterior, K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a = L^-1 k and b = L_P^-1 a, [1 or L, M, N]; b has no rows where there is no L_P."""
    a = whitened(p, K)
    return a, _solve_each(p.precision_root, a) if len(p.precision_root) else a[:, :0]


def _in_chunks(one: Callable, p: Posterior, X: np.ndarray) -> list:
    """Results of ``one`` for parts of the rows, in threads, each in an array for all rows."""
    n_matrices = max(len(p.root), len(p.precision_root))
    rows = max(1, _CHUNK // max(1, len(p.points) * n_matrices))

    def silent(chunk: np.ndarray) -> tuple:
        with np.errstate(all="ignore"):  # whoever asked looks for what is not finite
            return one(chunk)

    with one_blas_thread:
        parts = in_turn(silent, list(_chunks(X, rows)))
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def mean(kernel: KernelStructure, values: tuple, p: Posterior, X: np.ndarray) -> np.ndarray:
    """Mean [N, L] of the latent functions at new rows; see :func:`mean_and_variance`."""
    (f_mean,) = _in_chunks(lambda X: (_mean(p, covariances(kernel, values, p.points, X)[0]),), p, X)
    return f_mean


def mean_and_variance(
    kernel: KernelStructure, values: tuple, p: Posterior, X: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the latent functions at new rows, in chunks of rows.

    Parameters
    ----------
    kernel : KernelStructure
    values : tuple of arrays
        Kernel hyperparameters.
    p : Posterior
    X : ndarray of shape (N, D)

    Returns
    -------
    f_mean, f_var : ndarray of shape (N, L)
        The variance is positive where that of the prior is.
    """

    def one(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        K, prior = covariances(kernel, values, p.points, X)
        f_mean = _mean(p, K)
        f_var = _variance(prior, *_factors(p, K)).T
        return f_mean, np.broadcast_to(f_var, f_mean.shape)

    f_mean, f_var = _in_chunks(one, p, X)
    return f_mean, f_var


def _chunks(X: np.ndarray, rows: int) -> Iterator[np.ndarray]:
    for start in range(0, len(X), rows):
        yield X[start : start + rows]


def mean_and_covariance(
    kernel: KernelStructure, values: tuple, p: Posterior, X: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean [N, L] and covariance [L, N, N] of the latent functions at new rows.

    Latent functions of one covariance share its memory, read-only. The diagonal is the variance of
    :func:`mean_and_variance`.
    """
    X = X.astype(p.points.dtype, copy=False)
    K, prior = covariances(kernel, values, p.points, X)
    cov = covariance_of_each(kernel, values, X).numpy()
    with np.errstate(all="ignore"), one_blas_thread:
        a, b = _factors(p, K)
        n = max(len(K), len(a), len(b))
        cov = np.stack([_known(*(m[k % len(m)] for m in (cov, a, b))) for k in range(n)])
        np.einsum("lii->li", cov)[...] = _variance(prior, a, b)
        f_mean = _mean(p, K)
    return f_mean, np.broadcast_to(cov, (f_mean.shape[1], *cov.shape[1:]))


def _known(cov: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """cov - a'a + b'b, symmetric to the last bit."""
    cov = cov - a.T @ a
    cov = cov + b.T @ b if len(b) else cov
    return 0.5 * (cov + cov.T)


def covariance_root(cov: np.ndarray, prior: float) -> np.ndarray:
    """R with R R' = cov [N, N] but for rounding of the largest prior variance.

    Cholesky's factor; where rounding has left no positive definite matrix, that with pivots
    (Higham 2002, section 10.3) down to rounding. What is left of the variance of the other rows
    stays their own, so that R R' has the diagonal of cov. Jitter on the diagonal of all rows would
    have made a variance that is close to rounding twice as large.
    """
    with one_blas_thread:
        root = Arrays.cholesky(cov)
        if np.isfinite(root[-1, -1]):
            return root
        factor, pivots, rank, _ = lapack.dpstrf(cov, tol=_FLOOR * prior, lower=1)
    order, left = pivots - 1, np.tril(factor)[:, :rank]
    variance, taken = np.diag(cov)[order], np.sum(left**2, 1)
    left *= np.sqrt(np.minimum(variance / np.maximum(taken, _TINY), 1.0))[:, None]
    rest = np.sqrt(np.maximum(variance - taken, 0.0))
    root[order] = np.hstack([left, np.diag(rest)[:, rank:]])
    return root
