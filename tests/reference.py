"""A slow, obvious Gaussian process in NumPy, to compare with.

Matrices are inverted, determinants taken, nothing is whitened, and gradients are differences.
Kernel matrices come from scikit-learn's own kernel objects.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import multivariate_normal

JITTER = 1e-8


def differences(function: Callable, x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Gradient of a scalar function by central differences, shaped as x.

    The error is about step^2 plus 1e-16 / step, times the size of what is differentiated: 1e-9.
    """
    x = np.array(x, dtype=float)
    gradient = np.empty_like(x)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2.0 * step)
    return gradient


def random_covariance(rng: np.random.RandomState, n: int, batch: tuple = ()) -> np.ndarray:
    """Well-conditioned positive definite matrices [..., n, n]."""
    A = rng.randn(*batch, n, n)
    return A @ np.swapaxes(A, -1, -2) / n + 0.5 * np.eye(n)


def with_values(kernel, names, values):
    """Copy of a scikit-learn kernel with the named hyperparameters set."""
    return kernel.clone_with_theta(kernel.theta).set_params(**dict(zip(names, values, strict=True)))


def random_q(rng: np.random.RandomState, M: int, L: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Mean [M, L] and lower-triangular root [L, M, M] of a covariance."""
    return rng.randn(M, L), np.linalg.cholesky(random_covariance(rng, M, (L,)))


# --- exact regression ------------------------------------------------------------------------


def log_evidence(K: np.ndarray, Y: np.ndarray, noise) -> float:
    """Log density of each column of Y under N(0, K + diag(noise)), summed."""
    Ky = K + np.diag(np.broadcast_to(noise, len(K)))
    return sum(multivariate_normal(np.zeros(len(K)), Ky).logpdf(y) for y in Y.T)


def predict_exact(kernel, X, Y, noise, Xnew, jitter=0.0) -> tuple[np.ndarray, np.ndarray]:
    """Mean [Nnew, P] and covariance [Nnew, Nnew] of the latent function (R&W eq. 2.25, 2.26)."""
    Ky_inv = np.linalg.inv(kernel(X) + np.diag(np.broadcast_to(noise, len(X)) + jitter))
    k = kernel(X, Xnew)
    return k.T @ Ky_inv @ Y, kernel(Xnew) - k.T @ Ky_inv @ k


# --- variational bounds, unwhitened ----------------------------------------------------------


def gaussian_kl(m0, S0, m1, S1) -> float:
    """KL divergence of N(m0, S0) from N(m1, S1)."""
    S1_inv = np.linalg.inv(S1)
    _, log_ratio = np.linalg.slogdet(S1_inv @ S0)
    return 0.5 * (
        np.trace(S1_inv @ S0) + (m1 - m0) @ S1_inv @ (m1 - m0) - len(m0) - float(log_ratio)
    )


def expected_log_density(log_density: Callable, mean, variance, n_points: int = 100):
    """E[log_density(f)] for f ~ N(mean, variance), by quadrature, elementwise."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n_points)
    F = mean[..., None] + np.sqrt(variance)[..., None] * nodes
    return log_density(F) @ weights / np.sqrt(2.0 * np.pi)


def sgpr_bound(Kuu, Kuf, Kff_diag, Y, noise) -> float:
    """Titsias 2009, eq. 9: log N(Y; 0, Q + noise) - tr(K - Q) / (2 noise)."""
    Q = Kuf.T @ np.linalg.inv(Kuu) @ Kuf
    noise = np.broadcast_to(noise, len(Y))
    trace = np.sum((Kff_diag - np.diag(Q)) / noise)
    return log_evidence(Q, Y, noise) - 0.5 * Y.shape[1] * trace


def projected(Kuu, Kuf, Kff_diag, u_mean, u_cov) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance [N] of f where u ~ N(u_mean, u_cov) at the inducing points."""
    W = np.linalg.solve(Kuu, Kuf)
    return W.T @ u_mean, Kff_diag + np.diag(W.T @ (u_cov - Kuu) @ W)


def unwhiten(Kuu, q_mu, q_sqrt) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mean and covariance of u = L v for each latent function."""
    L = np.linalg.cholesky(Kuu)
    return [(L @ m, L @ R @ R.T @ L.T) for m, R in zip(q_mu.T, q_sqrt, strict=True)]


def elbo(Kuu, Kuf, Kff_diag, q_mu, q_sqrt, expected: Callable, scale=1.0) -> float:
    """ELBO by dense algebra; ``expected(k, f_mean, f_var)`` [N] for the k-th latent function."""
    total = 0.0
    for k, (m, S) in enumerate(unwhiten(Kuu, q_mu, q_sqrt)):
        f_mean, f_var = projected(Kuu, Kuf, Kff_diag, m, S)
        total += np.sum(scale * expected(k, f_mean, f_var))
        total -= gaussian_kl(m, S, np.zeros(len(m)), Kuu)
    return total
