r"""Random functions whose covariance is a kernel.

A kernel that is an expectation, :math:`k(x, x') = \sigma^2 E[\phi(x) \phi(x')]` over random
:math:`\phi`, is the covariance of

.. math::

    f(x) = \sqrt{\sigma^2 / n} \sum_{j \le n} \theta_j \phi_j(x), \qquad \theta_j \sim N(0, 1),

whatever n is; the more features, the closer f is to a Gaussian process. Stationary kernels are
expectations of waves, :math:`\cos \omega^\top (x - x')`, with frequencies from their spectral
density (Rahimi & Recht 2007, "Random features for large-scale kernel machines"). Sums have the
features of both terms, products the products of features, of waves the sums of frequencies.

What rows leave open of a smooth function is its highest frequencies, a tiny part of the density:
drawn from another q, which has more of them, features count :math:`\sqrt{p / q}` times.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

__all__ = ["Feature", "Gate", "Neurons", "Table", "features_of", "product", "waves_of"]

# A kernel that multiplies out to more than so many terms has none.
_MOST_TERMS = 256


class Neurons(NamedTuple):
    """A function of a line, for each feature one (or one for all)."""

    weights: np.ndarray  # [n or 1, D]
    offset: np.ndarray  # [n or 1]
    order: int | None = None  # a step, a ramp, a ramp squared, ...; None for the line itself

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """At rows X [N, D], [N, n or 1]."""
        line = X @ self.weights.T + self.offset
        if self.order is None:
            return line
        return np.heaviside(line, 0.5) if self.order == 0 else np.maximum(line, 0.0) ** self.order

    def among(self, columns: np.ndarray, n_columns: int) -> Neurons:
        """Of these columns of more."""
        return self._replace(weights=_spread(self.weights, columns, n_columns))


class Table(NamedTuple):
    """A value for each level of a column."""

    values: np.ndarray  # [levels]
    column: int = 0

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """At rows X [N, D], [N, 1]."""
        return self.values[np.round(X[:, self.column]).astype(int)][:, None]

    def among(self, columns: np.ndarray, n_columns: int) -> Table:
        """Of these columns of more."""
        return self._replace(column=int(columns[self.column]))


class Gate(NamedTuple):
    """A sigmoid of a column."""

    steepness: float
    location: float
    column: int

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """At rows X [N, D], [N, 1]."""
        return expit(self.steepness * (X[:, self.column] - self.location))[:, None]

    def among(self, columns: np.ndarray, n_columns: int) -> Gate:
        """Of these columns of more."""
        return self._replace(column=int(columns[self.column]))


class Feature(NamedTuple):
    r"""A term of a kernel, :math:`\sigma^2 E[\cos(\omega^\top(x - x')) \prod g(x) g(x')]`.

    Attributes
    ----------
    variance : float
        :math:`\sigma^2`.
    waves : ndarray of shape (n, D) or None
        Draws of :math:`\omega`, in radians by the unit of the column; None for zero.
    factors : tuple
        Functions g of rows, which give [N, n] or [N, 1].
    sizes : ndarray of shape (n,) or None
        By what each draw is multiplied, with 1 as the mean of their squares; None for 1.

    Examples
    --------
    Of an RBF kernel of length scale 2, whose frequencies are normal:

    >>> import numpy as np
    >>> from skgpng.kernels import Feature
    >>> waves = np.random.RandomState(0).standard_normal((1000, 1)) / 2.0
    >>> feature = Feature(1.0, waves)
    >>> print(abs(np.cos(feature.waves).mean() - np.exp(-0.5 / 2.0**2)) < 0.01)
    True
    """

    variance: float
    waves: Any = None
    factors: tuple = ()
    sizes: Any = None

    def among(self, columns: np.ndarray, n_columns: int) -> Feature:
        """Of these columns of more."""
        waves = None if self.waves is None else _spread(self.waves, columns, n_columns)
        factors = tuple(g.among(columns, n_columns) for g in self.factors)
        return self._replace(waves=waves, factors=factors)

    def times(self, other: Feature) -> Feature:
        """The product, of independent draws."""
        each = [w for w in (self.waves, other.waves) if w is not None]
        waves = sum(each) if each else None
        sizes = [s for s in (self.sizes, other.sizes) if s is not None]
        return Feature(
            *(self.variance * other.variance, waves, self.factors + other.factors),
            np.prod(sizes, 0) if sizes else None,
        )

    @property
    def is_drawn(self) -> bool:
        """Whether there are n draws, or one function for all."""
        lines = (g for g in self.factors if isinstance(g, Neurons))
        return self.waves is not None or any(g.order is not None for g in lines)


def _spread(weights: np.ndarray, columns: np.ndarray, n_columns: int) -> np.ndarray:
    """With zeros for the other columns."""
    found = np.zeros((len(weights), n_columns))
    for column, w in zip(columns, weights.T, strict=True):
        found[:, column] += w
    return found


def features_of(kernel: Any, rng: np.random.RandomState, n: int, n_columns: int) -> list | None:
    """Terms of a bound formula with n draws of each; None where it, or a part of it, has none.

    A class that writes another ``covariance`` than its base has to write its ``features``, too.
    """
    for cls in type(kernel).__mro__:
        if "features" in vars(cls):
            found = kernel.features(rng, n, n_columns)
            return None if found is None or len(found) > _MOST_TERMS else found
        if "covariance" in vars(cls):
            return None
    return None


def product(first: list | None, second: list | None) -> list | None:
    """All products of terms."""
    if first is None or second is None or len(first) * len(second) > _MOST_TERMS:
        return None
    return [a.times(b) for a in first for b in second]


def waves_of(
    rng: np.random.RandomState,
    n: int,
    n_columns: int,
    scale: Any,
    sizes: Any = 1.0,
    wider: float = 1.0,
) -> list:
    r"""Normal frequencies of the RBF with these length scales, times ``sizes`` [n].

    Half of them are drawn ``wider``, c times: :math:`p / q = c^D e^{-(1 - c^{-2}) |z|^2 / 2}`.
    """
    normal = rng.standard_normal((n, n_columns))
    of_draw = None
    if wider != 1.0:
        normal[rng.uniform(size=n) < 0.5] *= wider
        log_ratio = n_columns * np.log(wider) - 0.5 * (1 - wider**-2) * np.sum(normal**2, 1)
        of_draw = np.sqrt(2.0 * expit(log_ratio))
    return [Feature(1.0, normal / scale * np.reshape(sizes, (-1, 1)), sizes=of_draw)]
