r"""Bounds of Gaussian process models, as pure functions of structure, parameters and data.

VGP and SVGP share everything. With whitened variables v ~ N(q_mu, S), the latent function at the
rows is :math:`f = A^\top v` plus what the inducing points do not explain;
:math:`A = L_{uu}^{-1} K_{uf}`. VGP has one inducing point at each row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from . import gaussians, kernels
from ._inference import base
from ._inference.exact import EvidenceMoments, evidence_moments
from ._inference.projection import Projection, factors_of_moments
from ._inference.sites import SiteMoments, site_moments
from ._linalg import add_to_diagonal, shift_diagonal, swap_axes, triangular_inverse
from ._runtime import custom_gradient, tf
from .likelihoods import ExpectedLogDensity, Gaussian
from .parameters import Hyperparameters

__all__ = [
    "Covariances",
    "EvidenceMoments",
    "Hyperparameters",
    "SiteMoments",
    "conjugate_q",
    "data_term_and_gradients",
    "elbo",
    "elbo_and_gradients",
    "evidence_moments",
    "gpr_log_marginal_likelihood",
    "marginals",
    "sgpr_elbo",
    "site_moments",
    "svgp_covariances",
    "vgp_covariances",
]


class Covariances(NamedTuple):
    """Prior covariances that a sparse model needs.

    Attributes
    ----------
    Kuu : tensor of shape (M, M)
        Between inducing points, jitter added.
    Kuf : tensor of shape (M, N)
        Between inducing points and rows.
    Kff_diag : tensor of shape (N,)
        Variance at the rows.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng import kernels, models
    >>> parsed, X = kernels.parse(RBF()), np.linspace(0, 3, 5)[:, None]
    >>> theta = models.Hyperparameters(parsed.values, (), inducing_points=X[:2])
    >>> prior = models.svgp_covariances(parsed.structure, theta, X)
    >>> [(name, tuple(value.shape)) for name, value in prior._asdict().items()]
    [('Kuu', (2, 2)), ('Kuf', (2, 5)), ('Kff_diag', (5,))]
    """

    Kuu: Any
    Kuf: Any
    Kff_diag: Any


def svgp_covariances(
    kernel: kernels.KernelStructure, theta: Hyperparameters, X: Any, jitter: Any = 1e-6
) -> Covariances:
    """Prior covariances of SVGP and SGPR at the rows X [N, D].

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng import kernels, models
    >>> parsed = kernels.parse(RBF())
    >>> theta = models.Hyperparameters(parsed.values, (), inducing_points=np.array([[0.0]]))
    >>> prior = models.svgp_covariances(parsed.structure, theta, np.array([[0.0], [1.0]]))
    >>> print(prior.Kuf.numpy().round(4), prior.Kff_diag.numpy())
    [[1.     0.6065]] [1. 1.]
    """
    Z = theta.inducing_points
    return Covariances(
        shift_diagonal(kernels.covariance(kernel, theta.kernel, Z), jitter),
        kernels.covariance(kernel, theta.kernel, Z, X),
        kernels.diagonal(kernel, theta.kernel, X),
    )


def vgp_covariances(
    kernel: kernels.KernelStructure, theta: Hyperparameters, X: Any, jitter: Any = 1e-6
) -> Covariances:
    """Prior covariances of VGP: those of SVGP with Z = X, so that A = L' with K = L L'.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng import kernels, models
    >>> parsed = kernels.parse(RBF())
    >>> theta = models.Hyperparameters(parsed.values, ())
    >>> prior = models.vgp_covariances(parsed.structure, theta, np.array([[0.0], [1.0]]))
    >>> print(prior.Kuu.numpy().round(4))
    [[1.     0.6065]
     [0.6065 1.    ]]
    """
    K = shift_diagonal(kernels.covariance(kernel, theta.kernel, X), jitter)
    return Covariances(K, K, tf.linalg.diag_part(K))


# --- exact regression ------------------------------------------------------------------------


def gpr_log_marginal_likelihood(K: Any, Y: Any, noise_variance: Any) -> Any:
    r"""Exact log marginal likelihood of GP regression, summed over the columns of Y.

    :math:`-\tfrac12 y^\top K_y^{-1} y - \tfrac12 \log|K_y| - \tfrac N2 \log 2\pi` with
    :math:`K_y = K + \sigma^2 I` (Rasmussen & Williams 2006, eq. 2.30).

    Parameters
    ----------
    K : tensor of shape (N, N)
        Prior covariance between the rows; no jitter is needed beside the noise.
    Y : tensor of shape (N, P)
    noise_variance : tensor of shape (N,) or number

    Returns
    -------
    scalar tensor

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.models import gpr_log_marginal_likelihood
    >>> value = gpr_log_marginal_likelihood(np.eye(2), np.zeros((2, 1)), 1.0)
    >>> print(f"{float(value):.6f}")
    -2.531024
    """
    K = tf.convert_to_tensor(K)
    return _log_evidence(add_to_diagonal(K, tf.convert_to_tensor(noise_variance, K.dtype)), Y)


@custom_gradient
def _log_evidence(K: Any, Y: Any) -> Any:
    """The closed form of the gradient needs the inverse only.

    Automatic differentiation of the factorisation costs seven to nine factorisations more.
    """
    moments = evidence_moments(K, Y)
    whole = slice(None)
    return moments.value, lambda upstream: (
        upstream * moments.prior_gradient(whole, whole),
        -upstream * moments.alpha,
    )


# --- collapsed bound -------------------------------------------------------------------------


def sgpr_elbo(prior: Covariances, Y: Any, noise_variance: Any) -> Any:
    r"""Collapsed bound of sparse GP regression (Titsias 2009, eq. 9), summed over columns of Y.

    With :math:`\Lambda` the diagonal of inverse noise variances and
    :math:`B = I + A \Lambda A^\top`, it is
    :math:`\log N(y; 0, A^\top A + \Lambda^{-1})
    - \tfrac12 \mathrm{tr}\,\Lambda(K_{ff} - A^\top A)`.

    Parameters
    ----------
    prior : Covariances
        From :func:`svgp_covariances`.
    Y : tensor of shape (N, P)
    noise_variance : tensor of shape (N,) or number

    Returns
    -------
    scalar tensor

    Examples
    --------
    >>> import numpy as np
    >>> import tensorflow as tf
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng import kernels, models
    >>> X = np.linspace(0, 6, 30)[:, None]
    >>> Y, parsed = tf.constant(np.sin(X)), kernels.parse(RBF())
    >>> for m in (3, 6, 30):
    ...     theta = models.Hyperparameters(parsed.values, (), inducing_points=X[:: 30 // m])
    ...     prior = models.svgp_covariances(parsed.structure, theta, X)
    ...     print(m, round(float(models.sgpr_elbo(prior, Y, 0.1)), 3))
    3 -48.862
    6 -8.801
    30 -5.553
    """
    noise = tf.broadcast_to(tf.convert_to_tensor(noise_variance, Y.dtype), tf.shape(Y)[:1])[:, None]
    # The ELBO at the best q; its gradient in q is zero, so q counts as a constant.
    held = tf.nest.map_structure(tf.stop_gradient, (prior, noise))
    q = gaussians.natural_to_mean_sqrt(conjugate_q(held[0], Y, held[1][:, 0]))
    return elbo(prior, q, Gaussian(), (noise,), Y)


def conjugate_q(prior: Covariances, Y: Any, noise_variance: Any) -> gaussians.Natural:
    r"""Best q for a Gaussian likelihood: what one natural-gradient step of gamma = 1 gives.

    :math:`P = I + A \Lambda A^\top`, :math:`\theta_1 = A \Lambda y`; P is shared by the columns.

    Examples
    --------
    >>> import numpy as np
    >>> import tensorflow as tf
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng import gaussians, kernels, models
    >>> X, Y = np.linspace(0, 3, 5)[:, None], tf.constant(np.ones((5, 1)))
    >>> parsed = kernels.parse(RBF())
    >>> theta = models.Hyperparameters(parsed.values, ())
    >>> prior = models.vgp_covariances(parsed.structure, theta, X)
    >>> q = gaussians.natural_to_mean_sqrt(models.conjugate_q(prior, Y, 0.1))
    >>> mean, _ = models.marginals(prior, q.q_mu, gaussians.covariance(q))
    >>> exact = prior.Kuf @ np.linalg.solve(prior.Kuu + 0.1 * np.eye(5), Y)
    >>> np.allclose(mean, exact)
    True
    """
    noise = tf.broadcast_to(tf.convert_to_tensor(noise_variance, Y.dtype), tf.shape(Y)[:1])
    A = tf.matmul(triangular_inverse(tf.linalg.cholesky(prior.Kuu)), prior.Kuf)
    gram = shift_diagonal(tf.matmul(A / noise, A, transpose_b=True), 1.0)
    L = tf.shape(Y)[1]
    return gaussians.Natural(tf.matmul(A / noise, Y), -0.5 * tf.tile(gram[None], [L, 1, 1]))


# --- the evidence lower bound of VGP and SVGP ------------------------------------------------


@custom_gradient
def _marginals(Kuu: Any, Kuf: Any, Kff_diag: Any, q_mu: Any, q_cov: Any) -> Any:
    """See :func:`marginals`; the products with N columns are those of the estimators."""
    by = Projection()
    f = factors_of_moments(by.whiten_prior(Kuu), q_mu, q_cov)
    A, reduced, f_mean, f_var = by.project(f, Kuf, Kff_diag)

    def gradient(g_mean: Any, g_var: Any) -> Any:
        Kuf_bar, sums = by.pull_back(f, A, reduced, swap_axes(g_mean), swap_axes(g_var))
        Kuu_bar = by.prior_gradient(f, sums)
        return Kuu_bar, Kuf_bar, tf.reduce_sum(g_var, 1), sums.mean, sums.cov

    return (swap_axes(f_mean), swap_axes(f_var)), gradient


def marginals(prior: Covariances | list[Covariances], q_mu: Any, q_cov: Any) -> tuple[Any, Any]:
    r"""Mean and variance of the latent functions at the rows.

    :math:`A^\top m` and :math:`k_{nn} - a_n^\top a_n + a_n^\top S a_n`.

    Parameters
    ----------
    prior : Covariances, or a list of one for each latent function
    q_mu : tensor of shape (M, L)
    q_cov : tensor of shape (L, M, M)
        Covariance S of the whitened variables.

    Returns
    -------
    f_mean, f_var : tensors of shape (N, L)

    Examples
    --------
    >>> import tensorflow as tf
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng import gaussians, kernels, models
    >>> parsed, X = kernels.parse(RBF()), tf.constant([[0.0], [1.0]], tf.float64)
    >>> theta = models.Hyperparameters(parsed.values, (), inducing_points=X[:1])
    >>> prior, q = models.svgp_covariances(parsed.structure, theta, X), gaussians.standard_normal(1)
    >>> mean, variance = models.marginals(prior, q.q_mu, gaussians.covariance(q))
    >>> print(mean.numpy().ravel(), variance.numpy().ravel())  # those of the prior
    [0. 0.] [1. 1.]
    """
    if isinstance(prior, Covariances):
        return _marginals(*prior, q_mu, q_cov)
    each = [_marginals(*own, q_mu[:, k : k + 1], q_cov[k : k + 1]) for k, own in enumerate(prior)]
    f_mean, f_var = zip(*each, strict=True)
    return tf.concat(f_mean, 1), tf.concat(f_var, 1)


def elbo(
    prior: Covariances,
    q: gaussians.MeanSqrt,
    likelihood: ExpectedLogDensity,
    values: tuple,
    Y: Any,
    scale: Any = 1.0,
) -> Any:
    r"""Evidence lower bound :math:`\sum_n E[\log p(y_n|f_n)] - KL[q(v) || N(0, I)]`.

    Hensman, Matthews & Ghahramani 2015, eq. 19.

    Parameters
    ----------
    prior : Covariances
        From :func:`svgp_covariances` or :func:`vgp_covariances`.
    q : MeanSqrt
    likelihood : ExpectedLogDensity
        A :class:`skgpng.likelihoods.Likelihood`, say.
    values : tuple of tensors
        Parameters of the likelihood.
    Y : tensor of shape (N, P)
    scale : scalar or tensor of shape (N, 1), default=1
        Factor of the data term: num_data / batch size for a minibatch, times row weights.

    Returns
    -------
    scalar tensor

    Examples
    --------
    >>> import numpy as np
    >>> import tensorflow as tf
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng import gaussians, kernels, likelihoods, models
    >>> X, Y = np.linspace(0, 3, 5)[:, None], tf.constant(np.ones((5, 1)))
    >>> parsed, noise = kernels.parse(RBF()), tf.constant(0.1, tf.float64)
    >>> theta = models.Hyperparameters(parsed.values, ())
    >>> prior = models.vgp_covariances(parsed.structure, theta, X)
    >>> q = gaussians.natural_to_mean_sqrt(models.conjugate_q(prior, Y, noise))
    >>> bound = models.elbo(prior, q, likelihoods.Gaussian(), (noise,), Y)
    >>> evidence = models.evidence_moments(prior.Kuu + 0.1 * np.eye(5), Y).value
    >>> np.allclose(bound, evidence)  # at the best q
    True
    """
    f_mean, f_var = marginals(prior, q.q_mu, gaussians.covariance(q))
    expected = likelihood.variational_expectations(values, f_mean, f_var, Y)
    return tf.reduce_sum(scale * expected) - gaussians.prior_kl(q)


def data_term_and_gradients(
    likelihood: ExpectedLogDensity, values: tuple, f_mean: Any, f_var: Any, Y: Any, scale: Any
) -> tuple[Any, tuple[tuple, Any, Any]]:
    """Scaled sum of E[log p(y|f)], and its gradients in ``values``, ``f_mean`` and ``f_var``.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from skgpng.likelihoods import Gaussian
    >>> from skgpng.models import data_term_and_gradients
    >>> zero, one = tf.constant([[0.0]]), tf.constant([[1.0]])
    >>> value, (of_values, of_mean, of_var) = data_term_and_gradients(
    ...     Gaussian(), (tf.constant(1.0),), zero, one, one, 1.0
    ... )
    >>> print(value.numpy().round(4), of_mean.numpy(), of_var.numpy())
    -1.9189 [[1.]] [[-1.5]]
    """

    def expected(values: tuple, f_mean: Any, f_var: Any) -> Any:
        return likelihood.variational_expectations(values, f_mean, f_var, Y)

    return base.data_term_and_gradients(expected, values, f_mean, f_var, scale)


def elbo_and_gradients(
    covariances: Callable[[Hyperparameters], Covariances | list[Covariances]],
    theta: Hyperparameters,
    q: gaussians.MeanSqrt,
    likelihood: ExpectedLogDensity,
    Y: Any,
    scale: Any = 1.0,
) -> tuple[Any, Hyperparameters, tuple[Any, Any]]:
    """ELBO with the gradients of both halves of a training step, from one backward pass.

    Parameters
    ----------
    covariances : callable
        Maps ``theta`` to the prior covariances at the rows, or to a list of them, one for each
        latent function.
    theta : Hyperparameters
    q : MeanSqrt
    likelihood : ExpectedLogDensity
        A :class:`skgpng.likelihoods.Likelihood`, say.
    Y : tensor of shape (N, P)
    scale : scalar or tensor of shape (N, 1), default=1
        As in :func:`elbo`.

    Returns
    -------
    value : scalar tensor
        The ELBO.
    g_theta : Hyperparameters
        Its gradient in the hyperparameters (their values, not their logarithms).
    g_q : tuple of tensors of shapes (M, L) and (L, M, M)
        Gradient of the data term in the mean and the covariance of q: what
        :func:`skgpng.optimizers.natural_gradient` takes.

    Examples
    --------
    >>> import functools
    >>> import tensorflow as tf
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng import gaussians, kernels, likelihoods, models, optimizers
    >>> X, Y = tf.constant([[0.0], [1.0]], tf.float64), tf.constant([[1.0], [2.0]], tf.float64)
    >>> parsed, noise = kernels.parse(RBF()), tf.constant(0.1, tf.float64)
    >>> theta = models.Hyperparameters(parsed.values, (noise,))
    >>> covariances = functools.partial(models.vgp_covariances, parsed.structure, X=X)
    >>> q, likelihood, bounds = gaussians.standard_normal(2), likelihoods.Gaussian(), []
    >>> for _ in range(2):
    ...     bound, _, g_q = models.elbo_and_gradients(covariances, theta, q, likelihood, Y)
    ...     q = optimizers.natural_gradient(q, g_q, 1.0)
    ...     bounds.append(round(float(bound), 4))
    >>> bounds
    [-34.5353, -3.577]
    """
    theta, q = tf.nest.map_structure(tf.convert_to_tensor, (theta, q))
    q_cov = gaussians.covariance(q)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch((theta, q.q_mu, q_cov))
        f = marginals(covariances(theta), q.q_mu, q_cov)
    data_term, (g_likelihood, g_mean, g_var) = data_term_and_gradients(
        likelihood, theta.likelihood, *f, Y, scale
    )
    g_theta, g_mu, g_cov = tape.gradient(
        f, (theta, q.q_mu, q_cov), (g_mean, g_var), unconnected_gradients="zero"
    )
    g_theta = g_theta._replace(likelihood=g_likelihood)
    return data_term - gaussians.prior_kl(q), g_theta, (g_mu, g_cov)
