r"""The parts of an orthogonal additive function, each with its share, mean and standard deviation.

Under an ``OrthogonalAdditive`` kernel f is a sum of independent functions :math:`f_S` of sets S of
columns, each with the covariance :math:`k_S = \sigma_{|S|}^2 \prod_{i \in S} \tilde k_i`. With the
weights w of the posterior mean at its points Z, that of a part is :math:`k_S(x, Z) w`. Over columns
that are independent, with the density of each at nodes s of weights q, its variance is

.. math::

    V_S = \sigma_{|S|}^4\, w^\top \Bigl(\bigodot_{i \in S} B_i B_i^\top\Bigr) w
    = \sigma_{|S|}^4 \sum_{a, b, \dots} \Bigl(\sum_n w_n B_{i, na} B_{j, nb} \cdots\Bigr)^2, \qquad
    B_i = \tilde k_i(Z, s)\, \mathrm{diag}(q)^{1/2} .

The second form does not cancel: with little noise w is large and of both signs. Parts are
uncorrelated, so that :math:`V_S` over their sum is a Sobol index, in closed form as that of Lu,
Boukouvalas & Hensman (2022, "Additive Gaussian Processes Revisited") for normal densities.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..kernels import bind
from .posterior import CholeskyPosterior, Posterior

__all__ = ["Components", "components_of"]

# Directions of less than this part of the largest are left out: a function that has a share of 1e-8
# in them is far from smooth.
_REST = 1e-8


@dataclass(frozen=True)
class Components:
    """Of the latent functions, arrays in and out."""

    posterior: CholeskyPosterior
    kernel: Any  # the formula of an OrthogonalAdditive, with arrays
    factor: float
    columns: np.ndarray  # positions of the columns that it sees

    @property
    def max_order(self) -> int:
        """Most columns of a part."""
        return min(self.kernel.max_order, len(self.columns))

    def variances(self) -> dict[tuple[int, ...], np.ndarray]:
        """V_S [L] of each set S of positions but the empty one."""
        kernel, points = self.kernel, self.posterior.points[:, self.columns]
        q = kernel.weights / kernel.weights.sum(1, keepdims=True)
        at_nodes = kernel.constrained(points, kernel.nodes.T).numpy()  # [D, M, m]
        B = [_without_rest(a) for a in at_nodes * np.sqrt(q)[:, None]]
        each = [dict(_squares(B, w[:, None], self.max_order)) for w in self.posterior.weights.T]
        scales = (self.factor * np.asarray(kernel.order_variances)) ** 2
        return {
            tuple(sorted(self.columns[list(s)].tolist())): scales[len(s)]
            * np.array([squares[s] for squares in each])
            for s in each[0]
        }

    def mean_and_variance(self, X: np.ndarray, chosen: Any) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance [N, L] of the part of these positions at rows X.

        Of no position that is the constant, with the mean of f before the fit.
        """
        places = [int(np.flatnonzero(self.columns == k)[0]) for k in chosen]
        kernel, seen = self.kernel.only(places), self.columns[places]
        scale = self.factor * self.kernel.order_variances[len(places)]

        def covariances(points: np.ndarray, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            between = kernel.constrained(points[:, seen], X[:, seen]).numpy()
            own = kernel.constrained_diagonal(X[:, seen]).numpy()
            return scale * between.prod(0), scale * own.prod(0)

        f_mean, f_var = self.posterior.of_part(covariances, X)
        if places:
            return f_mean, f_var
        return self.posterior.mean_function.added(self.posterior.mean_values, f_mean, X), f_var


def components_of(posterior: Posterior) -> Components:
    """Of a posterior; ValueError where it has none that can be read."""
    if not isinstance(posterior, CholeskyPosterior):
        raise ValueError(
            "predictions are from neighbours, each with weights of its own. Set n_neighbors=None, "
            "and n_inducing to a number or None."
        )
    if posterior.mean_function.uncertain(posterior.mean_values, posterior.points) is not None:
        raise ValueError(
            "a linear mean belongs to all columns at once, and to no part. Set mean=None or "
            "'constant'."
        )
    n_features = posterior.points.shape[1]
    found = bind(posterior.kernel, posterior.values).additive(np.arange(n_features))
    if found is None:
        raise ValueError(
            "the kernel is no sum of functions of few columns. Use kernel=OrthogonalAdditive() of "
            "skgpng.kernels, alone or in Columns, times a constant if need be, and no other term "
            "but a WhiteKernel."
        )
    return Components(posterior, found.kernel, float(found.factor), found.columns)


def _without_rest(a: np.ndarray) -> np.ndarray:
    """B [M, r] with B B' = a a' for a [M, m], but for directions that no smooth function has."""
    U, size, _ = np.linalg.svd(a, full_matrices=False)
    keep = size > _REST * max(size[0], np.finfo(float).tiny)
    return U[:, keep] * size[keep]


def _squares(
    B: list[np.ndarray], weighted: np.ndarray, order: int, first: int = 0
) -> Iterator[tuple[tuple[int, ...], float]]:
    """Each set of so many columns at most, from the first on, with its sum of squares.

    ``weighted`` [M, R] are w times the products of the columns of B of those chosen before.
    """
    for k in range(first, len(B)):
        yield (k,), float(np.sum((weighted.T @ B[k]) ** 2))
        if order > 1:
            product = (weighted[:, :, None] * B[k][:, None]).reshape(len(weighted), -1)
            for others, value in _squares(B, product, order - 1, k + 1):
                yield (k, *others), value
