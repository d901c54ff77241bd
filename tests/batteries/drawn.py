"""Cases drawn by hypothesis: kernel trees with rows to evaluate them at.

Cases are the same in every run (``derandomize``). The data of a case come from a seed that
hypothesis draws, beside the sizes: numbers it would draw one by one are mostly zeros and integers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    ExpSineSquared,
    Matern,
    RationalQuadratic,
)

from skgpng import kernels, models
from skgpng.kernels import ArcCosine, ChangePoint, Cosine, Linear, Periodic, Polynomial
from skgpng.parameters import Hyperparameters

JITTER = 1e-6
seeds = st.integers(0, 2**31)


def cases_each(n):
    return settings(deadline=None, max_examples=n, derandomize=True, database=None)


positive = st.floats(0.1, 5.0)
stationary = st.one_of(
    st.builds(RBF, positive),
    st.builds(Matern, positive, nu=st.sampled_from([0.5, 1.5, 2.5])),
    st.builds(RationalQuadratic, positive, positive),
)
ours = st.one_of(
    st.builds(Periodic, st.floats(0.5, 3.0), positive),
    st.builds(Cosine, positive),
    st.builds(Linear, positive),
    st.builds(Polynomial, st.sampled_from([1, 2]), positive, positive),
    st.builds(ArcCosine, st.sampled_from([0, 1, 2]), positive, positive),
    st.builds(ChangePoint, stationary, st.builds(Linear), st.floats(-1.0, 1.0), positive),
)
leaves = stationary | st.builds(DotProduct, positive) | st.builds(ConstantKernel, positive)
# Of the distance in two or more dimensions it is no covariance (as cos |x| is none): D = 1 only.
periodic = st.builds(ExpSineSquared, length_scale=st.floats(0.5, 3.0), periodicity=positive)


def trees(leaf):
    """Sums, products and powers; whole powers of a covariance are one (Schur's theorem)."""
    return st.recursive(
        leaf,
        lambda inner: (
            st.builds(lambda a, b: a + b, inner, inner)
            | st.builds(lambda a, b: a * b, inner, inner)
            | st.builds(lambda a, p: a**p, inner, st.sampled_from([2, 3]))
        ),
        max_leaves=4,
    )


class Case(NamedTuple):
    """A kernel with rows to evaluate it at, and a source of what else a test needs."""

    kernel: object
    X: np.ndarray
    Z: np.ndarray
    rng: np.random.RandomState

    @property
    def parsed(self):
        return kernels.parse(self.kernel)

    def theta(self, likelihood=()):
        return Hyperparameters(self.parsed.values, likelihood, self.Z)

    def sparse_prior(self, Z=None):
        theta = self.theta()._replace(inducing_points=self.Z if Z is None else Z)
        return models.svgp_covariances(self.parsed.structure, theta, self.X, JITTER)

    def full_prior(self):
        return models.vgp_covariances(self.parsed.structure, self.theta(), self.X, JITTER)

    def targets(self):
        """[N, 2], some of them far out."""
        return self.rng.standard_t(2, (len(self.X), 2))


@st.composite
def cases(draw, repeats=True, more=False):
    """``more``: of skgpng's own kernels too, whose powers are too large for the slow references."""
    D, leaf = draw(st.integers(1, 4)), leaves | ours if more else leaves
    kernel = draw(trees(leaf | periodic) if D == 1 else trees(leaf))
    N, M = draw(st.integers(1, 12)), draw(st.integers(1, 8))
    rng = np.random.RandomState(draw(seeds))
    X, Z = rng.randn(N, D), rng.randn(M, D)
    if repeats and draw(st.booleans()):
        X[-1], Z[-1] = X[0], X[0]  # equal rows, and an inducing point on a row
    return Case(kernel, X, Z, rng)


def smallest_eigenvalue(matrix):
    return np.linalg.eigvalsh(np.asarray(matrix)).min()


def norm(matrix):
    return np.linalg.norm(np.asarray(matrix))
