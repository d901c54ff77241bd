"""What models with inducing points share: a prior, rows in blocks that add up, and an end.

A step begins with theta and q, and makes M x M factors of them; ``rows`` makes sums of factors and
a block of rows; and the step ends with the factors and the total. The sums are the seam along which
rows may be spread: chunks are its form within one process. What crosses it are tensors of size
M x M; the way back through Kuu stays with whoever began.
"""

from __future__ import annotations

import abc
import functools
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .._linalg import Tensors, add_jitter, columnwise, swap_axes
from .._runtime import tf
from ..gaussians import Natural
from ..kernels import covariance, diagonal, is_stationary, jitter_unit, of_each_latent
from ..likelihoods import Gaussian
from ..parameters import Hyperparameters
from .base import (
    Data,
    Execution,
    Inference,
    Iterate,
    Memory,
    Model,
    add,
    centred,
    data_term_and_gradients,
    not_finite,
    of_rows,
    real,
    zeros,
)
from .covariances import prior_variance, sum_over
from .elsewhere import numbers_form, sum_elsewhere
from .posterior import Posterior, posterior_of_points
from .projection import Factors, Projection, Sums

__all__ = ["Begun", "Block", "PointInference", "RowSums"]

# q starts with a variance of 100 at most: under a wider prior every quadrature node is far from the
# decision boundary, and no gradient tells where to go.
_START_PRECISION = 1e-2


class RowSums(NamedTuple):
    """What rows add up to."""

    data_term: Any
    g_theta: Hyperparameters  # of it, through Kuf, likelihood and mean
    sums: Sums
    upward: Any  # how much the rows want more variance: zero for log-concave likelihoods


class Begun(NamedTuple):
    """What is known before any row is seen."""

    tape: Any  # the way back from Kuu to theta
    Kuu: list  # [M, M] of each kernel
    L_inv: list
    q: tuple = ()
    factors: tuple[Factors, ...] = ()  # of each kernel: of all latent functions, or of its own


# --- blocks of rows --------------------------------------------------------------------------


class Block(abc.ABC):
    """Rows whose covariances with the inducing points are evaluated together."""

    def __init__(self, iterate: Iterate) -> None:
        theta, self.iterate = iterate.theta, iterate
        with tf.GradientTape(watch_accessed_variables=False) as self._tape:
            self._tape.watch((theta.kernel, theta.inducing_points))
            #: (Kuf, Kff_diag) for all latent functions, or for each.
            self.covariances = self._evaluate(iterate)

    @abc.abstractmethod
    def _evaluate(self, iterate: Iterate) -> list:
        """Covariances."""

    @abc.abstractmethod
    def data_term_and_gradients(self, f_mean: Any, f_var: Any) -> tuple:
        """Of [N, L]: value, and gradients in (values of likelihood and mean), f_mean and f_var."""

    @abc.abstractmethod
    def gaussian(self) -> tuple[Any, Any]:
        """Precision [1, N] and targets less the mean of f [P, N], of Gaussian rows."""

    def gradient(self, bars: list) -> Hyperparameters:
        """In theta, from those in the covariances."""
        return gradient(self._tape, self.covariances, self.iterate.theta, bars)


class DataBlock(Block):
    """Rows to learn from."""

    def __init__(self, iterate: Iterate, data: Data) -> None:
        self._data = data
        super().__init__(iterate)

    def _evaluate(self, iterate: Iterate) -> list:
        (model, how, theta), X = iterate[:3], self._data.X
        Z = theta.inducing_points
        if how.dtype == "float32" and is_stationary(model.kernel):
            # only distances count, and rounded rows far from zero would lose theirs
            middle = tf.stop_gradient(tf.reduce_mean(Z, 0))
            X, Z = tf.cast(X, Z.dtype) - middle, Z - middle
        values, X, Z = tf.nest.map_structure(lambda v: tf.cast(v, how.dtype), (theta.kernel, X, Z))
        each = of_each_latent(model.kernel, values)
        return [(covariance(k, v, Z, X), diagonal(k, v, X)) for k, v in each]

    def data_term_and_gradients(self, f_mean: Any, f_var: Any) -> tuple:
        """By the likelihood."""
        return of_rows(self.iterate, self._data, f_mean, f_var)

    def gaussian(self) -> tuple[Any, Any]:
        """Of noise and weights."""
        (model, _, theta), data = self.iterate[:3], self._data
        variance = model.likelihood.noise_of_rows(theta.likelihood, data.row)
        Y = centred(model.mean, theta.mean, data.X, data.Y)
        return swap_axes(data.weights[:, None]) / variance, swap_axes(Y)


class MemoryBlock(Block):
    r"""Combinations :math:`R^\top f(Z_{old})` as if they were rows with noise of variance 1."""

    def __init__(self, iterate: Iterate, memory: Memory) -> None:
        self._memory = memory
        super().__init__(iterate)

    def _evaluate(self, iterate: Iterate) -> list:
        points, roots, theta = self._memory.points, tf.unstack(self._memory.roots), iterate.theta
        own, each = of_each_latent(iterate.model.kernel, theta.kernel), []
        for k in range(max(len(own), len(roots))):
            (kernel, values), R = own[k % len(own)], roots[k % len(roots)]
            Kua = covariance(kernel, values, theta.inducing_points, points)
            Kaa = covariance(kernel, values, points)
            each.append((tf.matmul(Kua, R), tf.reduce_sum(R * tf.matmul(Kaa, R), 0)))
        return each

    def _targets(self, of_mean: tuple) -> Any:
        """Less what the mean of f contributes, [Ma, L]."""
        points, roots, targets = self._memory
        if not of_mean:
            return targets
        at_points = self.iterate.model.mean.added(of_mean, tf.zeros_like(targets), points)
        combine = functools.partial(tf.matmul, transpose_a=True)
        return targets - columnwise(Tensors, combine, roots, at_points)

    def data_term_and_gradients(self, f_mean: Any, f_var: Any) -> tuple:
        """Gaussian."""

        def expected(values: tuple, f_mean: Any, f_var: Any) -> Any:
            one, Y = tf.ones([], f_mean.dtype), self._targets(values[1])
            return Gaussian().variational_expectations((one,), f_mean, f_var, Y)

        values = self.iterate.theta.likelihood, self.iterate.theta.mean
        return data_term_and_gradients(expected, values, f_mean, f_var, tf.ones_like(f_mean[:, :1]))

    def gaussian(self) -> tuple[Any, Any]:
        """Of noise 1."""
        Y = swap_axes(self._targets(self.iterate.theta.mean))
        return tf.ones_like(Y[:1]), Y


def whole_blocks(iterate: Iterate, data: Data) -> list[Block]:
    """Blocks of a step that are evaluated once; the other rows are ``PointInference.summed``."""
    at_once = not (iterate.how.chunked or iterate.how.elsewhere)
    whole: list[Block] = [DataBlock(iterate, data)] if at_once else []
    return whole + ([MemoryBlock(iterate, data.memory)] if iterate.how.memory else [])


# --- the model -------------------------------------------------------------------------------


@dataclass(frozen=True)
class PointInference(Inference):
    """q is (nat1, nat2), the natural parameters of whitened variables at inducing points."""

    has_points: ClassVar[bool] = True

    def q_form(self, n_latent: int) -> tuple:
        """[M, L] and [1 or L, M, M]."""
        return real(None, n_latent), real(self.n_matrices(n_latent), None, None)

    def start_q(
        self, model: Model, theta: Hyperparameters, weights: np.ndarray, last: Posterior | None
    ) -> tuple:
        """The prior, or narrower where it is wide."""
        Z, L = theta.inducing_points, model.n_latent
        q = last.natural if last is not None and np.array_equal(last.points, Z) else None
        if q is not None and q.nat1.shape[1] == L:
            return q.nat1, np.tile(q.nat2, (L // len(q.nat2), 1, 1))
        widest = prior_variance(model.kernel, theta.kernel, Z).max(1)
        precision = np.maximum(1.0, _START_PRECISION * widest) * np.ones(L)
        return np.zeros((len(Z), L)), -0.5 * precision[:, None, None] * np.eye(len(Z))

    def is_singular(self, iterate: Iterate, value: Any) -> Any:
        """Whether Kuu cannot be factorised."""
        return not_finite(*self.prior(iterate).L_inv)

    def posterior(
        self, model: Model, theta: Hyperparameters, q: tuple, data: Data, jitter: float
    ) -> Posterior:
        """Of inducing points."""
        return posterior_of_points(model, theta, Natural(*q), jitter)

    def data_form(self, model: Model, how: Execution) -> Data:
        """Types and shapes of rows, or of their numbers."""
        return numbers_form() if how.elsewhere else super().data_form(model, how)

    # --- begin ---------------------------------------------------------------------------

    def prior(self, iterate: Iterate) -> Begun:
        """Kuu and its factor."""
        theta, jitter = iterate.theta, iterate.jitter
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch((theta.kernel, theta.inducing_points))
            Z, each = theta.inducing_points, of_each_latent(iterate.model.kernel, theta.kernel)
            Kuu = [add_jitter(covariance(k, v, Z), jitter, jitter_unit(k, v, Z)) for k, v in each]
        return Begun(tape, Kuu, [projection(iterate).whiten_prior(K) for K in Kuu])

    def with_q(self, iterate: Iterate, prior: Begun, q: tuple) -> Begun:
        """With the factors of q."""
        by, (nat1, nat2), n = projection(iterate), q, len(prior.L_inv)
        own = [slice(None)] if n == 1 else [slice(k, k + 1) for k in range(n)]
        each = zip(prior.L_inv, own, strict=True)
        factors = tuple(by.factors(L_inv, nat1[:, k], nat2[k]) for L_inv, k in each)
        return prior._replace(q=q, factors=factors)

    # --- rows ----------------------------------------------------------------------------

    def rows(
        self, factors: tuple[Factors, ...], block: Block, A: Any = None, g_cov: Any = None
    ) -> RowSums:
        """Data term of a block with its gradients; A and the gradient in S may be known already."""
        by, n = projection(block.iterate), len(block.covariances)
        own = factors if len(factors) == n else [factors[0].of_latent(k) for k in range(n)]
        projected = []
        for f, (Kuf, Kff_diag) in zip(own, block.covariances, strict=True):
            acting = A if block.iterate.how.whitened else Kuf
            projected.append(by.project(f, Kuf, Kff_diag, acting))
        f_mean = _join([p[2] for p in projected])  # [N, L]
        f_var = _join([p[3] for p in projected])  # [N, L']
        f_var, shared = tf.broadcast_to(f_var, tf.shape(f_mean)), f_var.shape[1] != f_mean.shape[1]
        data_term, gradients = block.data_term_and_gradients(f_mean, f_var)
        (g_likelihood, g_offset), g_mean, g_var = gradients
        upward = tf.reduce_sum(tf.maximum(g_var, 0.0))
        g_var = tf.reduce_sum(g_var, 1, keepdims=True) if shared else g_var
        g_mean, g_var = swap_axes(g_mean), swap_axes(g_var)  # [L, N], [L', N]
        bars, sums = [], []
        for k, (f, (acting, reduced, _, _)) in enumerate(zip(own, projected, strict=True)):
            g = (g_mean, g_var) if n == 1 else (g_mean[k : k + 1], g_var[k : k + 1])
            Kuf_bar, own_sums = by.pull_back(f, acting, reduced, *g, g_cov)
            bars.append((Kuf_bar, tf.cast(tf.reduce_sum(g[1], 0), Kuf_bar.dtype)))
            sums.append(own_sums)
        g_theta = block.gradient(bars)._replace(likelihood=g_likelihood, mean=g_offset)
        return RowSums(data_term, g_theta, join_sums(sums), upward)

    def no_rows(self, iterate: Iterate, factors: tuple[Factors, ...]) -> RowSums:
        """The sum of ``rows`` to begin with."""
        mean = tf.concat([f.q_mu for f in factors], 1)
        cov = tf.concat([f.inner for f in factors], 0)
        zero = tf.zeros([], mean.dtype)
        return RowSums(zero, zeros(iterate.theta), zeros(Sums(mean, cov)), zero)

    def further(self, iterate: Iterate, name: str, arguments: tuple, data: Data) -> list:
        """Sum of a method over rows that are not in :func:`whole_blocks`, if there are any."""
        if not (iterate.how.chunked or iterate.how.elsewhere):
            return []
        return [self.summed(iterate, name, arguments, data)]

    def summed(self, iterate: Iterate, name: str, arguments: tuple, data: Data) -> Any:
        """Sum of the method ``name`` (of ``arguments`` and a block) over all rows.

        In chunks, memory does not grow with the number of rows; or where the rows are.
        """
        function, zero = getattr(self, name), getattr(self, f"no_{name}")(iterate, *arguments)
        if iterate.how.elsewhere:
            return sum_elsewhere(iterate, name, arguments, data, zero)

        def part(start: Any, stop: Any) -> Any:
            chunk = data.each_row(lambda a: a[start:stop])
            return function(*arguments, DataBlock(iterate, chunk))

        return sum_over(tf.shape(data.X)[0], iterate.chunk_size, part, zero)

    # --- end -----------------------------------------------------------------------------

    def elbo_and_gradient(
        self, iterate: Iterate, begun: Begun, total: RowSums
    ) -> tuple[Any, Hyperparameters]:
        """Of all rows, with the KL divergence and the gradient through Kuu."""
        each = zip(begun.factors, sums_of_each(begun.factors, total.sums), strict=True)
        bars = [projection(iterate).prior_gradient(f, s) for f, s in each]
        g_theta = add(total.g_theta, gradient(begun.tape, begun.Kuu, iterate.theta, bars))
        return total.data_term - tf.add_n([f.prior_kl for f in begun.factors]), g_theta


def projection(iterate: Iterate) -> Projection:
    """By the algebra of the execution."""
    return Projection(iterate.how.algebra == "blas")


def gradient(tape: Any, targets: Any, theta: Hyperparameters, bars: Any) -> Hyperparameters:
    """In the kernel's values and the inducing points; zero in all else."""
    sources = (theta.kernel, theta.inducing_points)
    g_kernel, g_Z = tape.gradient(targets, sources, bars, unconnected_gradients="zero")
    none = zeros((theta.likelihood, theta.mean))
    return Hyperparameters(g_kernel, none[0], g_Z, none[1])


def _join(each: list) -> Any:
    return swap_axes(each[0] if len(each) == 1 else tf.concat(each, 0))


def join_sums(each: list[Sums]) -> Sums:
    """Of the latent functions that each has."""
    if len(each) == 1:
        return each[0]
    mean, cov = zip(*each, strict=True)
    return Sums(tf.concat(mean, 1), tf.concat(cov, 0))


def sums_of_each(factors: tuple[Factors, ...], sums: Sums) -> list[Sums]:
    """The sums that belong to each of the factors."""
    if len(factors) == 1:
        return [sums]
    own = [slice(k, k + 1) for k in range(len(factors))]
    return [Sums(sums.mean[:, k], sums.cov[k]) for k in own]
