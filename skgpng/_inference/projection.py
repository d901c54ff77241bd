r"""Projection on inducing points: the formulas of sparse models, forward and backward.

With :math:`L L^\top = K_{uu}` and whitened variables v ~ N(m, S) the latent function at row n has

.. math::

    a_n = L^{-1} k_n, \qquad f_{mean} = a_n^\top m, \qquad
    f_{var} = k_{nn} + a_n^\top (S - I) a_n .

Each formula takes the algebra that it is to use first, see :mod:`skgpng._linalg`;
:class:`Projection` evaluates them. Of the products with N columns there are four: :math:`A`,
:math:`E A` with :math:`E = L^{-\top}(S-I)`, and the sum of :math:`w_n a_n a_n^\top`, which the
natural gradient and the gradient in Kuu share. The first can be spared, see
:meth:`Projection.unwhitened`. Shapes: M points, N rows, L latent functions; rows are the last axis
here. S may be one matrix that all L share, L' = 1, as it is for targets with the same noise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .._linalg import Tensors, columnwise, run
from ..gaussians import divergence

__all__ = ["Factors", "Projection", "Sums", "factors_of_moments"]


class Factors(NamedTuple):
    """What M x M algebra gives for all rows."""

    L_inv: Any  # [M, M], of the Cholesky factor of Kuu
    q_mu: Any  # [M, L]
    inner: Any  # [L', M, M], S - I
    excess: Any  # [L', M, M], L^-T (S - I)
    slope: Any  # [M, L], L^-T m
    prior_kl: Any  # KL divergence of q from the prior

    def of_latent(self, k: int) -> Factors:
        """Those of one latent function."""
        own = slice(k, k + 1)
        inner, excess = (a[own] if a.shape[0] != 1 else a for a in (self.inner, self.excess))
        return self._replace(
            q_mu=self.q_mu[:, own], inner=inner, excess=excess, slope=self.slope[:, own]
        )

    def for_rows(self) -> Factors:
        """What rows ask for: not ``inner``, in whose place is another matrix of its shape.

        One matrix less is sent to rows that are on other machines.
        """
        return self._replace(inner=self.excess)


class Sums(NamedTuple):
    """What rows add up to in the gradient of their data term."""

    mean: Any  # [M, L], gradient in m
    cov: Any  # [L', M, M], gradient in S


# --- the formulas ----------------------------------------------------------------------------


def _covariance(algebra: Any, nat2: Any) -> tuple:
    r""":math:`S = P^{-1}`, and the log-determinant of P."""
    return algebra.inverse_and_log_determinant(-2.0 * nat2)


def _factors(algebra: Any, L_inv: Any, nat1: Any, S: Any, log_P: Any) -> tuple:
    r""":math:`m = S\theta_1`."""
    inner = algebra.shift_diagonal(S, -1.0)  # [L', M, M]
    q_mu = columnwise(algebra, algebra.matmul, S, nat1)
    share = nat1.shape[1] // S.shape[0]  # latent functions that share a covariance
    spread = share * algebra.total(algebra.trace(inner) + log_P, None)
    kl = divergence(spread, algebra.total(q_mu**2, None))
    return q_mu, inner, *_directions(algebra, L_inv, q_mu, inner), kl


def _directions(algebra: Any, L_inv: Any, q_mu: Any, inner: Any) -> tuple:
    """L^-T (S - I) and L^-T m."""
    excess = algebra.transposed_lower_matmul(L_inv, inner)
    return excess, algebra.matmul(L_inv, q_mu, transpose_a=True)


def _unwhitened(algebra: Any, L_inv: Any, excess: Any) -> tuple:
    return (algebra.square_matmul(excess, L_inv),)


def _whiten_sums(algebra: Any, L_inv: Any, mean: Any, cov: Any) -> tuple:
    left = algebra.square_matmul(L_inv, cov)
    return algebra.matmul(L_inv, mean), algebra.square_matmul(left, algebra.transpose(L_inv))


def _whiten(algebra: Any, L_inv: Any, Kuf: Any) -> Any:
    return algebra.lower_matmul(algebra.like(L_inv, Kuf), Kuf)  # [M, N]


def _project(algebra: Any, q_mu: Any, excess: Any, A: Any, Kuf: Any, Kff_diag: Any) -> tuple:
    reduced = algebra.matmul(algebra.like(excess, A), A)  # [L', M, N]
    f_mean = algebra.matmul(algebra.like(q_mu, A), A, transpose_a=True)  # [L, N]
    f_var = Kff_diag + algebra.total(Kuf * reduced, 1)  # [L', N]
    return reduced, algebra.double(f_mean), algebra.double(f_var)


def _whiten_and_project(
    algebra: Any, L_inv: Any, q_mu: Any, excess: Any, Kuf: Any, Kff_diag: Any
) -> tuple:
    A = _whiten(algebra, L_inv, Kuf)
    return A, *_project(algebra, q_mu, excess, A, Kuf, Kff_diag)


def _whiten_and_sum(algebra: Any, L_inv: Any, Kuf: Any, precision: Any, Y: Any) -> tuple:
    r"""A, and of Gaussian rows :math:`A\Lambda y` and :math:`-A\Lambda A^\top/2`."""
    A = _whiten(algebra, L_inv, Kuf)
    weighted = algebra.like(precision * Y, A)  # [P, N]
    gram = algebra.gram(A, algebra.like(-0.5 * precision, A))
    nat1 = algebra.matmul(A, weighted, transpose_b=True)  # [M, P]
    return A, algebra.double(nat1), algebra.double(gram)


def _pull_back(algebra: Any, slope: Any, A: Any, reduced: Any, g_mean: Any, g_var: Any) -> tuple:
    r""":math:`\bar K_{uf} = L^{-\top} m g_1^\top + 2 E A\,\mathrm{diag}(g_2)`; :math:`A g_1`."""
    g_mean, g_var = algebra.like(g_mean, A), algebra.like(g_var, A)  # [L, N], [L', N]
    Kuf_bar = algebra.matmul(algebra.like(slope, A), g_mean)
    Kuf_bar += algebra.total(reduced * (2.0 * g_var)[:, None, :], 0)
    return Kuf_bar, algebra.double(algebra.matmul(A, g_mean, transpose_b=True))  # [M, L]


def _pull_back_and_sum(algebra: Any, *arguments: Any) -> tuple:
    """The same, and the sum of g_2 a a', see :class:`Sums`."""
    A, g_var = arguments[1], arguments[4]
    gram = algebra.gram(A, algebra.like(g_var, A))
    return *_pull_back(algebra, *arguments), algebra.double(gram)


def _prior_gradient(
    algebra: Any, L_inv: Any, q_mu: Any, inner: Any, g_mu: Any, g_cov: Any
) -> tuple:
    r""":math:`\bar K_{uu} = -L^{-\top}\Phi(\bar A A^\top) L^{-1}`.

    :math:`\bar A = m g_1^\top + 2 (S - I) A\,\mathrm{diag}(g_2)` gives
    :math:`\bar A A^\top = m (A g_1)^\top + 2 (S - I) g_S`, nothing of size N. The result is left
    unsymmetrised: Kuu is symmetric whatever moves it.
    """
    A_bar_A = algebra.matmul(q_mu, g_mu, transpose_b=True)
    A_bar_A += 2.0 * algebra.lower_of_products(inner, g_cov)
    return (-algebra.congruence(L_inv, algebra.lower_half(A_bar_A)),)


def _tiled(formula: Callable, n_shared: int, n_columnwise: int) -> Callable:
    """The formula on tiles of columns: so many results are joined, the others are sums."""

    def on_tiles(algebra: Any, *arguments: Any) -> tuple:
        return algebra.tiled(formula, arguments[:n_shared], arguments[n_shared:], n_columnwise)

    return on_tiles


# --- their evaluation ------------------------------------------------------------------------


def factors_of_moments(L_inv: Any, q_mu: Any, q_cov: Any) -> Factors:
    """All about q = N(m, S) but its KL divergence, from m and S, as tensors."""
    inner = Tensors.shift_diagonal(q_cov, -1.0)
    excess, slope = _directions(Tensors, L_inv, q_mu, inner)
    return Factors(L_inv, q_mu, inner, excess, slope, None)


class Projection(NamedTuple):
    """The formulas on tensors, or each in one call of BLAS and LAPACK."""

    blas: bool = False

    def _run(self, formula: Callable, *arguments: Any) -> tuple:
        return run(self.blas, formula, arguments)

    def whiten_prior(self, Kuu: Any) -> Any:
        """L^-1, [M, M]."""
        return self._run(lambda algebra, K: (algebra.lower_inverse(K),), Kuu)[0]

    def factors(self, L_inv: Any, nat1: Any, nat2: Any) -> Factors:
        """All about q = N(m, S), from its natural parameters [M, L] and [L', M, M]."""
        # a call of its own, as LAPACK uses one thread: covariances can be evaluated beside it
        S, log_P = self._run(_covariance, nat2)
        q_mu, inner, excess, slope, kl = self._run(_factors, L_inv, nat1, S, log_P)
        return Factors(L_inv, q_mu, inner, excess, slope, kl)

    def unwhitened(self, f: Factors) -> Factors:
        r"""Factors for which Kuf itself takes the place of A, which spares a product.

        .. math::

            f_{mean} = k_n^\top L^{-\top} m, \qquad
            f_{var} = k_{nn} + k_n^\top Q k_n, \qquad Q = L^{-\top}(S - I) L^{-1} .

        Q has the condition of Kuu, 1e6 with the usual jitter, and so have the sums, which
        :meth:`whiten_sums` brings back: rounding in them is some 1e-10 times the precisions of all
        rows. Those must be bounded (no noise that is learned), and all be float64.
        """
        return f._replace(q_mu=f.slope, excess=self._run(_unwhitened, f.L_inv, f.excess)[0])

    def whiten_sums(self, f: Factors, sums: Sums) -> Sums:
        """Of A, from those of Kuf."""
        return Sums(*self._run(_whiten_sums, f.L_inv, *sums))

    def whiten_and_sum(self, L_inv: Any, Kuf: Any, precision: Any, Y: Any) -> tuple:
        """A [M, N] and what Gaussian rows add to the natural parameters of q, from Y [P, N]."""
        return self._run(_tiled(_whiten_and_sum, 1, 1), L_inv, Kuf, precision, Y)

    def project(self, f: Factors, Kuf: Any, Kff_diag: Any, A: Any = None) -> tuple:
        """A [M, N], E A [L', M, N], f_mean [L, N] and f_var [L', N]."""
        if A is not None:
            return A, *self._run(_tiled(_project, 2, 3), f.q_mu, f.excess, A, Kuf, Kff_diag)
        formula = _tiled(_whiten_and_project, 3, 4)
        return self._run(formula, f.L_inv, f.q_mu, f.excess, Kuf, Kff_diag)

    def pull_back(
        self, f: Factors, A: Any, reduced: Any, g_mean: Any, g_var: Any, g_cov: Any = None
    ) -> tuple:
        """Gradient in Kuf [M, N] and :class:`Sums`, from those in f_mean [L, N], f_var [L', N].

        ``g_cov`` is the sum of g_2 a a' where it is known already.
        """
        formula = _pull_back_and_sum if g_cov is None else _pull_back
        given = (f.slope, A, reduced, g_mean, g_var)
        Kuf_bar, mean, *cov = self._run(_tiled(formula, 1, 1), *given)
        return Kuf_bar, Sums(mean, cov[0] if g_cov is None else g_cov)

    def prior_gradient(self, f: Factors, sums: Sums) -> Any:
        """Gradient in Kuu [M, M] that belongs to :meth:`pull_back` of all rows."""
        return self._run(_prior_gradient, f.L_inv, f.q_mu, f.inner, *sums)[0]
