r"""The parts of an orthogonal additive function, each with its share, mean and standard deviation.

Under an ``OrthogonalAdditive`` kernel f is a sum of independent functions :math:`f_S` of sets S of
columns, each with the covariance :math:`k_S = \sigma_{|S|}^2 \prod_{i \in S} \tilde k_i`. With the
weights w of the posterior mean at its points Z, that of a part is :math:`k_S(x, Z) w`. Over columns
that are independent, with the density of each at nodes s of weights q, its variance is

.. math::

    V_S = \sigma_{|S|}^4\, w^\top \Bigl(\bigodot_{i \in S} M_i\Bigr) w, \qquad
    M_i = \tilde k_i(Z, s)\, \mathrm{diag}(q)\, \tilde k_i(s, Z),

and parts are uncorrelated, so that :math:`V_S` over their sum is a Sobol index (Lu, Boukouvalas &
Hensman 2022, eq. 11 and appendix G).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..kernels import bind
from .posterior import CholeskyPosterior, Posterior

__all__ = ["Components", "components_of"]

# Numbers in the largest array (16 MB).
_CHUNK = 2**21


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
        total: dict[tuple[int, ...], np.ndarray] = {}
        for M, left, right in self._matrices():
            for weighted, latent in zip(left.T, np.eye(left.shape[1]), strict=True):
                product = weighted[:, None] * (right @ latent)
                for chosen, value in _sums(M, product, self.max_order):
                    total[chosen] = total.get(chosen, 0.0) + value * latent
        scales = (self.factor * np.asarray(self.kernel.order_variances)) ** 2
        return {
            tuple(sorted(self.columns[list(chosen)].tolist())): scales[len(chosen)] * values
            for chosen, values in total.items()
        }

    def _matrices(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """M_i [D, n, M] between some of the points and all, with the weights w of both."""
        kernel, points, w = (
            self.kernel,
            self.posterior.points[:, self.columns],
            self.posterior.weights,
        )
        q = kernel.weights / kernel.weights.sum(1, keepdims=True)
        A = kernel.constrained(points, kernel.nodes.T).numpy()  # [D, M, m]
        size = max(1, _CHUNK // (A.shape[0] * A.shape[1]))
        for at in range(0, len(points), size):
            some = slice(at, at + size)
            yield (A[:, some] * q[:, None]) @ A.swapaxes(1, 2), w[some], w

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
        return self.posterior.mean_function.added(self.posterior.mean_values, f_mean), f_var


def components_of(posterior: Posterior) -> Components:
    """Of a posterior; ValueError where it has none that can be read."""
    if not isinstance(posterior, CholeskyPosterior):
        raise ValueError(
            "predictions are from neighbours, each with weights of its own. Set n_neighbors=None, "
            "and n_inducing to a number or None."
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


def _sums(
    M: np.ndarray, product: np.ndarray, order: int, first: int = 0
) -> Iterator[tuple[tuple[int, ...], float]]:
    """Each set of so many columns at most, from the first on, and the sum of ``product`` with M."""
    totals = np.tensordot(M[first:], product, 2)
    for k, total in enumerate(totals.tolist(), first):
        yield (k,), total
        if order > 1 and k + 1 < len(M):
            for others, value in _sums(M, product * M[k], order - 1, k + 1):
                yield (k, *others), value
