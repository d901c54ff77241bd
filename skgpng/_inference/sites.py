"""Variational inference with all rows: two numbers for each, called a site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .._linalg import inverse_and_log_determinant, shift_diagonal
from .._runtime import tf
from ..parameters import Hyperparameters
from .base import Data, Inference, Iterate, Model, Step, of_rows, real
from .covariances import covariance_within
from .posterior import Posterior, posterior_of_rows

__all__ = ["SITE_FLOOR", "SiteMoments", "Sites", "site_moments"]

#: Site precisions stay above this, so that (1 - diag B^-1) / precision keeps nine digits.
SITE_FLOOR = 1e-6
# Precision of each site to begin with, see skgpng._inference.points._START_PRECISION.
_START_PRECISION = 1e-2


@dataclass(frozen=True)
class Sites(Inference):
    """q is (site_mean, site_precision), [N, L] each; all rows come in one block."""

    requires: ClassVar[frozenset[str]] = frozenset({"all rows"})
    # smaller steps after a plateau gained 0.01 nats in all, 0.08 at most (69 fits of 75 to 691
    # rows), for a fifth of the steps
    n_plateaus: ClassVar[int] = 1

    def q_form(self, n_latent: int) -> tuple:
        """Both [N, L]."""
        return real(None, n_latent), real(None, n_latent)

    def start_q(
        self, model: Model, theta: Hyperparameters, weights: np.ndarray, last: Posterior | None
    ) -> tuple:
        """Next to nothing said of any row."""
        precision = _START_PRECISION * weights[:, None] * np.ones(model.n_latent)
        return np.zeros_like(precision), precision

    def step(self, iterate: Iterate, q: tuple, data: Data) -> Step:
        """The gradient in K is that at the fixed point of the natural-gradient step."""
        model, how, theta = iterate[:3]
        size = iterate.chunk_size if how.chunked else None
        prior = covariance_within(model.kernel, theta.kernel, data.X, size)  # B needs no jitter
        K, n = prior.K, len(prior.K)
        latents = range(model.n_latent)
        moments = [site_moments(K[k % n], q[0][:, k], q[1][:, k]) for k in latents]
        f_mean = tf.stack([m.f_mean for m in moments], 1)  # [N, L]
        f_var = tf.stack([m.f_var for m in moments], 1)
        data_term, gradients = of_rows(iterate, data, f_mean, f_var)
        (g_likelihood, g_offset), g_mean, g_var = gradients

        def K_bar(j: int, rows: slice, columns: slice) -> Any:
            own = moments if n == 1 else moments[j : j + 1]
            return tf.add_n([m.prior_gradient(rows, columns) for m in own])

        value = data_term - tf.add_n([m.kl for m in moments])
        g_theta = Hyperparameters(prior.g_kernel(K_bar), g_likelihood, (), g_offset)
        target = g_mean - 2.0 * g_var * f_mean, -2.0 * g_var
        return Step(value, g_theta, q, *_next_sites(q, f_mean, target, iterate.gamma, data.weights))

    def is_singular(self, iterate: Iterate, value: Any) -> Any:
        """B = I + ... never lacks jitter."""
        return tf.constant(False)

    def posterior(
        self, model: Model, theta: Hyperparameters, q: tuple, data: Data, jitter: float
    ) -> Posterior:
        """Of rows with the precision of their sites."""
        site_mean, site_precision = q
        return posterior_of_rows(model, theta, data.X, site_mean, site_precision, jitter)


def _next_sites(q: tuple, f_mean: Any, target: tuple, gamma: Any, weights: Any) -> tuple:
    r"""Sites after a step of size gamma towards their targets, and whether any was held.

    Where a likelihood is not log-concave a site may want a negative precision. It is held above
    zero: the bound is then maximised over the q whose sites have positive precision. Adding
    :math:`\delta` to a precision and :math:`\delta f_{mean}` to its :math:`\beta` leaves the
    step of the mean as it was, so that its fixed point is the right one.
    """
    site_mean, precision = ((1.0 - gamma) * a + gamma * b for a, b in zip(q, target, strict=True))
    missing = tf.maximum(SITE_FLOOR * weights[:, None] - precision, 0.0)
    held = tf.cast(tf.reduce_any(precision < 0.0), weights.dtype)
    return (site_mean + missing * f_mean, precision + missing), held


class SiteMoments(NamedTuple):
    """What N x N algebra gives for q with precision K^-1 + diag(site_precision).

    Attributes
    ----------
    f_mean, f_var : tensor of shape (N,)
        Mean and variance of the latent function at the rows.
    kl : scalar tensor
        KL divergence from the prior N(0, K).
    alpha : tensor of shape (N,)
        K^-1 f_mean, without K^-1.
    B_inv : tensor of shape (N, N)
        Inverse of I + diag(root) K diag(root).
    root : tensor of shape (N,)
        Square root of the site precisions.

    Examples
    --------
    >>> import numpy as np
    >>> import tensorflow as tf
    >>> from skgpng.models import site_moments
    >>> K, ones = tf.constant([[1.0, 0.5], [0.5, 1.0]]), tf.ones(2)
    >>> moments = site_moments(K, ones, ones)
    >>> print(np.round(moments.prior_gradient(slice(None), slice(None)), 4))
    [[-0.1867  0.1467]
     [ 0.1467 -0.1867]]
    """

    f_mean: Any
    f_var: Any
    kl: Any
    alpha: Any
    B_inv: Any
    root: Any

    def prior_gradient(self, rows: slice, columns: slice) -> Any:
        r"""Rows and columns of :math:`\tfrac12(\alpha\alpha^\top - W)`, gradient in K of -KL.

        With q held; :math:`W = \Lambda^{1/2} B^{-1} \Lambda^{1/2}`.
        """
        W = self.root[rows][:, None] * self.B_inv[rows, columns] * self.root[columns]
        return 0.5 * (self.alpha[rows][:, None] * self.alpha[columns] - W)


def site_moments(K: Any, site_mean: Any, site_precision: Any) -> SiteMoments:
    r"""Moments of :math:`q \propto N(f; 0, K) \prod_n e^{\beta_n f_n - \lambda_n f_n^2/2}`.

    The natural-gradient fixed point of VGP has this form: its covariance is that of the prior
    and one number per row (Opper & Archambeau 2009). All follows from the inverse of
    :math:`B = I + \Lambda^{1/2} K \Lambda^{1/2}` (Rasmussen & Williams 2006, section 3.4.3), as
    :math:`\Lambda^{1/2}\Sigma\Lambda^{1/2} = I - B^{-1}`.

    Parameters
    ----------
    K : tensor of shape (N, N)
        Prior covariance; the lower triangle is read.
    site_mean : tensor of shape (N,)
        :math:`\beta`, first natural parameter of each site.
    site_precision : tensor of shape (N,)
        :math:`\lambda`, positive.

    Returns
    -------
    SiteMoments

    Examples
    --------
    >>> import numpy as np
    >>> import tensorflow as tf
    >>> from skgpng.models import site_moments
    >>> K, precision = np.array([[1.0, 0.5], [0.5, 1.0]]), np.array([2.0, 3.0])
    >>> moments = site_moments(tf.constant(K), tf.constant([1.0, 1.0], tf.float64), precision)
    >>> np.allclose(moments.f_var, np.diag(np.linalg.inv(np.linalg.inv(K) + np.diag(precision))))
    True
    """
    root = tf.sqrt(site_precision)
    B_inv, log_B = inverse_and_log_determinant(shift_diagonal(root[:, None] * K * root, 1.0))
    scaled = site_mean / root
    f_mean = (scaled - tf.linalg.matvec(B_inv, scaled)) / root
    f_var = (1.0 - tf.linalg.diag_part(B_inv)) / site_precision
    alpha = site_mean - site_precision * f_mean
    N = tf.cast(tf.shape(K)[0], K.dtype)
    kl = 0.5 * (tf.linalg.trace(B_inv) + tf.reduce_sum(f_mean * alpha) - N + log_B)
    return SiteMoments(f_mean, f_var, kl, alpha, B_inv, root)
