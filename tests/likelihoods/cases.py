"""One entry for each likelihood: parameters, latent functions, and its distribution by SciPy.

``test_every_likelihood.py`` asks all of them the same questions, and fails where one has no entry.
To add one, give the likelihood, values of its parameters in their order, and a function that
makes the distribution of y from F [..., N, L] and ``row`` [N, R], as a frozen distribution of
``scipy.stats`` of the shape [..., N, P] or anything with its methods. Where L is not P, set
``f_mean`` and ``f_var`` [N, L] too, and ``Y`` [N, P] where the distribution has no ``ppf``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import stats
from scipy.special import log_softmax, ndtr

from skgpng.likelihoods import Bernoulli, Gaussian, Poisson, Softmax, StudentT

F_MEAN = np.array([[-0.9, 0.4], [0.3, 1.1], [2.0, -0.5]])
F_VAR = np.array([[0.3, 1e-6], [0.05, 1.0], [0.01, 0.5]])
OF_NUMBERS = ("cdf", "quantiles", "crps")


class Case(NamedTuple):
    """What the tests look at of a likelihood."""

    likelihood: Any
    values: tuple
    oracle: Callable  # F [..., N, L], row [N, R] or None -> distribution of y, [..., N, P]
    f_mean: np.ndarray = F_MEAN
    f_var: np.ndarray = F_VAR
    Y: Any = None  # [N, P]; by default 0.8-quantiles of y at f_mean
    row: Any = None
    rtol: float = 1e-6  # of predictions
    expected_rtol: float = 1e-6  # of variational expectations; those by 20 nodes are good to less
    outside: float | None = None  # what y cannot be; by default something that its support is not
    skip: tuple = ()  # questions that it does not answer: "moments", "cdf", "quantiles", "crps"

    @property
    def y(self) -> np.ndarray:
        return self.oracle(self.f_mean, self.row).ppf(0.8) if self.Y is None else self.Y

    @property
    def discrete(self) -> bool:
        return self.likelihood.support in ("counts", "labels")

    def log_density(self, F: np.ndarray, y: np.ndarray) -> np.ndarray:
        other = self.oracle(F, self.row)
        return other.logpmf(y) if self.discrete else other.logpdf(y)

    def rows(self, n: int) -> Case:
        """The first of them."""
        row = None if self.row is None else self.row[:n]
        return self._replace(f_mean=self.f_mean[:n], f_var=self.f_var[:n], Y=self.y[:n], row=row)


def nodes(case: Case, n: int) -> tuple[np.ndarray, np.ndarray]:
    """F [H, N, L] and weights [H]: n even steps where each column has a latent function of its own.

    Where it has several, Gauss-Hermite nodes of each with all of the others.
    """
    L = case.f_mean.shape[1]
    if L == case.y.shape[1]:
        z = np.linspace(-9.0, 9.0, n)[:, None]
        weights = stats.norm.pdf(z[:, 0])
    else:
        x, w = np.polynomial.hermite_e.hermegauss(int(round(n ** (1.0 / L))))
        z = np.array(list(itertools.product(*[x] * L)))
        weights = np.prod(list(itertools.product(*[w] * L)), 1)
    return case.f_mean + np.sqrt(case.f_var) * z[:, None], weights / weights.sum()


class Categorical:
    """Class numbers of probabilities exp(log_p), of which SciPy has none for arrays."""

    def __init__(self, log_p):
        self._log_p = log_p  # [..., N, C]

    def logpmf(self, y):
        own = np.asarray(y)[..., :1].astype(int)
        own = np.broadcast_to(own, (*self._log_p.shape[:-1], 1))
        return np.take_along_axis(self._log_p, own, -1)


CASES = {
    "gaussian": Case(Gaussian(), (0.3,), lambda f, row: stats.norm(f, np.sqrt(0.3))),
    "gaussian, known noise": Case(
        Gaussian(), (0.3,), lambda f, row: stats.norm(f, np.sqrt(0.3 + row)),
        row=np.array([[0.0], [0.2], [2.0]]),
    ),
    "student_t": Case(StudentT(), (0.5, 4.0), lambda f, row: stats.t(4.0, f, 0.5)),
    "poisson": Case(
        Poisson(), (), lambda f, row: stats.poisson(row * np.exp(f)),
        row=np.array([[1.0], [0.5], [8.0]]), rtol=1e-5,
    ),
    "bernoulli": Case(
        Bernoulli(), (), lambda f, row: stats.bernoulli(1e-3 + 0.998 * ndtr(f)),
        skip=OF_NUMBERS, expected_rtol=1e-4,
    ),
    "softmax": Case(
        Softmax(3), (), lambda f, row: Categorical(log_softmax(f, -1)),
        f_mean=np.array([[0.5, 0.0, -1.0], [2.0, 1.0, 0.0]]),
        f_var=np.array([[0.2, 0.6, 0.1], [0.3, 0.1, 0.1]]),
        Y=np.array([[2.0], [0.0]]), skip=("moments", *OF_NUMBERS),
        expected_rtol=2e-2, rtol=2e-2,  # 64 nodes
    ),
}  # fmt: skip
