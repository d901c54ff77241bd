"""One entry for each likelihood: parameters, latent functions, and its distribution by SciPy.

``test_every_likelihood.py`` asks all of them the same questions, and fails where one has no entry.
To add one, give the likelihood, values of its parameters in their order, and a function that
makes the distribution of y from F [..., N, L] and ``row`` [N, R], as a frozen distribution of
``scipy.stats`` of the shape [..., N, P] or anything with its methods. Where L is not P, set
``f_mean`` and ``f_var`` [N, L] too, and ``Y`` [N, P] where the distribution has no ``ppf``.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import stats
from scipy.special import expit, log_softmax, ndtr

from skgpng.likelihoods import (
    AsymmetricLaplace,
    Bernoulli,
    Beta,
    Coregionalised,
    Exponential,
    FromDistribution,
    Gamma,
    Gaussian,
    HeteroscedasticGaussian,
    Laplace,
    Logit,
    NegativeBinomial,
    Ordinal,
    Poisson,
    RobustMax,
    Softmax,
    StudentT,
    ZeroInflatedPoisson,
)

legendre = functools.cache(np.polynomial.legendre.leggauss)

F_MEAN = np.array([[-0.9, 0.4], [0.3, 1.1], [2.0, -0.5]])
F_VAR = np.array([[0.3, 0.1], [0.05, 1.0], [0.5, 1e-6]])
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
    rtol: float = 1e-8  # of predictions
    expected_rtol: float = 1e-8  # of variational expectations; those by 20 nodes are good to less
    outside: float | None = None  # what y cannot be; by default something that its support is not
    predicted: Callable = lambda y: y.mean()  # what predict gives of the distribution of y
    n_nodes: int = 400  # over the latent functions
    skip: tuple = ()  # questions that it does not answer: "moments", "cdf", "quantiles", "crps"

    @property
    def y(self) -> np.ndarray:
        return self.oracle(self.f_mean, self.row).ppf(0.8) if self.Y is None else self.Y

    @property
    def discrete(self) -> bool:
        return self.likelihood.support in ("counts", "grades", "labels")

    def log_density(self, F: np.ndarray, y: np.ndarray) -> np.ndarray:
        other = self.oracle(F, self.row)
        return other.logpmf(y) if self.discrete else other.logpdf(y)

    def rows(self, n: int) -> Case:
        """The first of them."""
        row = None if self.row is None else self.row[:n]
        return self._replace(f_mean=self.f_mean[:n], f_var=self.f_var[:n], Y=self.y[:n], row=row)


def nodes(case: Case, n: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """F [H, N, L] and weights [H, N, L] or [H, 1, 1], about n of them.

    Where each column has a latent function of its own Gauss-Legendre nodes on either side of y,
    where the density may have a kink. Where it has several, Gauss-Hermite nodes of each with all
    of the others.
    """
    n, n_latent, std = n or case.n_nodes, case.f_mean.shape[1], np.sqrt(case.f_var)
    if case.y.shape[1] == n_latent:
        kink = (case.y - case.f_mean) / std if case.likelihood.location else 0.0 * std
        x, w = (a[:, None, None] for a in legendre(n // 2))
        ends = -9.0, np.clip(kink, -9.0, 9.0), 9.0
        sides = [(0.5 * (b - a), 0.5 * (a + b)) for a, b in itertools.pairwise(ends)]
        z = np.concatenate([middle + half * x for half, middle in sides])
        weights = np.concatenate([half * w for half, _ in sides]) * stats.norm.pdf(z)
        return case.f_mean + std * z, weights
    x, w = np.polynomial.hermite_e.hermegauss(round(n ** (1.0 / n_latent)))
    z = np.array(list(itertools.product(*[x] * n_latent)))[:, None]
    weights = np.prod(list(itertools.product(*[w] * n_latent)), 1)[:, None, None]
    return case.f_mean + std * z, weights / weights.sum()


class Categorical:
    """Class numbers of probabilities exp(log_p), of which SciPy has none for arrays."""

    def __init__(self, log_p):
        self._log_p = log_p  # [..., N, C]

    def logpmf(self, y):
        own = np.asarray(y)[..., :1].astype(int)
        own = np.broadcast_to(own, (*self._log_p.shape[:-1], 1))
        return np.take_along_axis(self._log_p, own, -1)


class Grades:
    """Grades of probabilities [..., N, P, J] between cut points."""

    def __init__(self, grades, cuts, f):
        z = np.array([-np.inf, *cuts, np.inf]) - np.asarray(f)[..., None]
        above = z[..., :-1] > 0  # the upper tails have more digits there
        self._grades = np.asarray(grades)
        self._shares = np.where(above, -np.diff(ndtr(-z), axis=-1), np.diff(ndtr(z), axis=-1))

    def _sum(self, values):
        return np.sum(self._shares * values, -1)

    def logpmf(self, y):
        return np.log(self._sum(self._grades == np.asarray(y)[..., None]))

    def cdf(self, y):
        return self._sum(self._grades <= np.asarray(y)[..., None])

    def mean(self):
        return self._sum(self._grades)

    def var(self):
        return self._sum(self._grades**2) - self.mean() ** 2

    def ppf(self, level):
        below = np.cumsum(self._shares, -1)
        return self._grades[np.minimum(np.sum(below < level, -1), len(self._grades) - 1)]


def mixed_poisson(size, zeros, f, row):
    """Counts of a rate that scatters as a gamma variable, some of them zero for another reason."""
    rate = (1.0 if row is None else row) * np.exp(f)
    counts = stats.poisson(rate) if np.isinf(size) else stats.nbinom(size, size / (size + rate))
    return MoreZeros(counts, zeros) if zeros else counts


class MoreZeros:
    """A distribution of counts, and zeros beside."""

    def __init__(self, counts, zeros):
        self._counts, self._zeros = counts, zeros

    def logpmf(self, y):
        own = np.log1p(-self._zeros) + self._counts.logpmf(y)
        return np.where(np.equal(y, 0), np.logaddexp(np.log(self._zeros), own), own)

    def cdf(self, y):
        own = self._zeros + (1.0 - self._zeros) * self._counts.cdf(y)
        return np.where(np.less(y, 0), 0.0, own)

    def mean(self):
        return (1.0 - self._zeros) * self._counts.mean()

    def var(self):
        mean, var = self._counts.mean(), self._counts.var()
        return (1.0 - self._zeros) * (var + self._zeros * mean**2)

    def ppf(self, level):
        return self._counts.ppf(np.maximum((level - self._zeros) / (1.0 - self._zeros), 0.0))


def log_robust_max(F, epsilon):
    """The class of the largest f, or any other."""
    largest = F.max(-1, keepdims=True) == F
    return np.log(np.where(largest, 1.0 - epsilon, epsilon / (F.shape[-1] - 1)))


def laplace(f, scale):
    import tensorflow_probability as tfp

    return tfp.distributions.Laplace(f, scale)


MIXING = np.array([[1.0, 0.2], [-0.5, 0.8], [0.3, 0.0]])
EXPOSURE = np.array([[1.0], [0.5], [8.0]])
CASES = {
    "gaussian": Case(Gaussian(), (0.3,), lambda f, row: stats.norm(f, np.sqrt(0.3))),
    "gaussian, known noise": Case(
        Gaussian(), (0.3,), lambda f, row: stats.norm(f, np.sqrt(0.3 + row)),
        row=np.array([[0.0], [0.2], [2.0]]),
    ),
    "student_t": Case(StudentT(), (0.5, 4.0), lambda f, row: stats.t(4.0, f, 0.5)),
    "laplace": Case(Laplace(), (0.5,), lambda f, row: stats.laplace(f, 0.5)),
    "asymmetric laplace": Case(
        # kappa^2 = q / (1 - q), and the scale over the root of q (1 - q)
        AsymmetricLaplace(), (0.5, 0.8),
        lambda f, row: stats.laplace_asymmetric(2.0, f, 0.5 / 0.4),
        predicted=lambda y: y.args[1],
    ),
    "asymmetric laplace, half": Case(
        AsymmetricLaplace(), (0.5, 0.5), lambda f, row: stats.laplace(f, 1.0),
    ),
    "poisson": Case(
        Poisson(), (), lambda f, row: stats.poisson(row * np.exp(f)),
        row=np.array([[1.0], [0.5], [8.0]]), rtol=1e-5,
    ),
    "negative binomial": Case(
        NegativeBinomial(), (0.4,), lambda f, row: mixed_poisson(2.5, 0.0, f, row),
        f_var=0.3 * F_VAR, row=EXPOSURE, rtol=1e-5, expected_rtol=1e-5,
    ),
    "zero-inflated poisson": Case(
        ZeroInflatedPoisson(), (0.3,), lambda f, row: mixed_poisson(np.inf, 0.3, f, row),
        row=EXPOSURE, rtol=1e-5, expected_rtol=1e-5,
    ),
    "ordinal": Case(
        Ordinal((3.0, 4.0, 6.0)), (-0.5, np.array([1.2])),
        lambda f, row: Grades((3.0, 4.0, 6.0), (-0.5, 0.7), f), expected_rtol=1e-6, outside=3.5,
        skip=("moments", "crps"),  # the median is predicted: see test_ordinal.py
    ),
    "heteroscedastic": Case(
        HeteroscedasticGaussian(), (0.4,),
        lambda f, row: stats.norm(f[..., :1], np.sqrt(0.4 * np.exp(f[..., 1:]))),
        f_mean=np.array([[0.5, -1.0], [2.0, 1.0], [-3.0, 0.0]]),
        f_var=np.array([[0.2, 0.3], [0.3, 0.1], [0.01, 0.4]]),
        Y=np.array([[1.0], [0.7], [-2.5]]), n_nodes=3600, rtol=1e-7,
    ),
    "coregionalised": Case(
        Coregionalised(2, 3), (np.array([0.1, 0.4, 0.2]), MIXING, np.array([0.5, 0.0, -1.0])),
        lambda f, row: stats.norm(f @ MIXING.T + [0.5, 0.0, -1.0], np.sqrt([0.1, 0.4, 0.2])),
        f_mean=np.array([[0.5, -1.0], [2.0, 1.0], [0.0, 3.0]]),
        f_var=np.array([[0.2, 0.3], [0.3, 0.01], [1e-3, 0.1]]), n_nodes=3600, rtol=3e-7,
    ),
    "gamma": Case(
        Gamma(), (3.0,), lambda f, row: stats.gamma(3.0, scale=np.exp(f) / 3.0)
    ),
    "gamma, heavy": Case(
        Gamma(), (0.3,), lambda f, row: stats.gamma(0.3, scale=np.exp(f) / 0.3)
    ),
    "exponential": Case(Exponential(), (), lambda f, row: stats.expon(scale=np.exp(f))),
    "beta": Case(
        Beta(), (6.0,), lambda f, row: stats.beta(6.0 * expit(f), 6.0 * expit(-f)),
        expected_rtol=1e-6, rtol=1e-6,  # 20 nodes, and a table
    ),
    "bernoulli": Case(
        Bernoulli(), (), lambda f, row: stats.bernoulli(1e-3 + 0.998 * ndtr(f)),
        skip=OF_NUMBERS, expected_rtol=1e-4,
    ),
    "logit": Case(
        Logit(), (), lambda f, row: stats.bernoulli(expit(f)), skip=OF_NUMBERS,
        expected_rtol=1e-6,
    ),
    "robust max": Case(
        RobustMax(3), (), lambda f, row: Categorical(log_robust_max(f, 1e-3)),
        f_mean=np.array([[0.5, 0.0, -1.0], [2.0, 1.0, 0.0]]),
        f_var=np.array([[0.2, 0.6, 0.1], [0.3, 0.1, 0.1]]),
        Y=np.array([[2.0], [0.0]]), skip=("moments", *OF_NUMBERS),
        n_nodes=27000, expected_rtol=5e-2, rtol=5e-2,  # nodes of a step; see test_labels.py
    ),
    "from a distribution": Case(
        FromDistribution(laplace, scale=0.5, location=True), (0.5,),
        lambda f, row: stats.laplace(f, 0.5),
        # 20 nodes, which a kink is hard for; a table
        expected_rtol=5e-2, rtol=1e-6,
    ),
    "softmax": Case(
        Softmax(3), (), lambda f, row: Categorical(log_softmax(f, -1)),
        f_mean=np.array([[0.5, 0.0, -1.0], [2.0, 1.0, 0.0]]),
        f_var=np.array([[0.2, 0.6, 0.1], [0.3, 0.1, 0.1]]),
        Y=np.array([[2.0], [0.0]]), skip=("moments", *OF_NUMBERS),
        expected_rtol=2e-2, rtol=2e-2,  # 64 nodes
    ),
}  # fmt: skip
