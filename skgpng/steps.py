"""One step of each model: ELBO, its gradient in the hyperparameters, and the next q.

A step takes the structure, the hyperparameters, q, the rows of the step and the settings, and
gives a :class:`Step`. Nothing raises: what cannot be evaluated is not finite, and
:func:`is_singular` tells whether the prior's factorisation is why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from . import models, optimizers, sparse
from ._tensorflow import tf, where_needed
from .gaussians import Natural
from .kernels import Kernel, covariance, diagonal, is_stationary, jitter_unit, of_each_latent
from .likelihoods import ExpectedLogDensity, Gaussian, Likelihood
from .linalg import add_jitter, add_to_diagonal, shift_diagonal, swap_axes
from .means import Mean
from .structures import Data, Hyperparameters, Structure

__all__ = ["SITE_FLOOR", "STEPS", "Step", "evidence", "is_singular"]

#: Site precisions stay above this, so that (1 - diag B^-1) / precision keeps nine digits.
SITE_FLOOR = 1e-6


class Step(NamedTuple):
    """What one step finds.

    Attributes
    ----------
    value : scalar tensor
        ELBO.
    g_theta : Hyperparameters
        Its gradient in the values of theta, with q held.
    q : tuple of tensors
        The q they belong to.
    q_next : tuple of tensors
        q after a natural-gradient step.
    corrected : scalar tensor
        1 where that step had to be corrected to leave q a positive definite precision, else 0.
    """

    value: Any
    g_theta: Hyperparameters
    q: tuple
    q_next: tuple
    corrected: Any


class _Observed(NamedTuple):
    """The likelihood of rows, with what is known of each, at latent functions with a mean."""

    likelihood: Likelihood
    mean: Mean
    row: Any

    def variational_expectations(self, values: tuple, f_mean: Any, f_var: Any, Y: Any) -> Any:
        own, of_mean = values
        # the constants of a mean have no static shape
        f_mean = tf.ensure_shape(self.mean.added(of_mean, f_mean), f_mean.shape)
        return self.likelihood.variational_expectations(own, f_mean, f_var, Y, self.row)


class _UnitNoise(NamedTuple):
    """The likelihood of remembered rows: Gaussian noise of variance 1."""

    def variational_expectations(self, values: tuple, f_mean: Any, f_var: Any, Y: Any) -> Any:
        one = tf.ones([], f_mean.dtype)
        return Gaussian().variational_expectations((one,), f_mean, f_var, Y)


def _add(*nests: Any) -> Any:
    return tf.nest.map_structure(lambda *leaves: tf.add_n(leaves), *nests)


def _sum_over(N: Any, size: Any, function: Callable, zero: Any) -> Any:
    """Sum of ``function(start, stop)`` over parts of N rows, from ``zero`` on."""

    def body(start: Any, total: Any) -> Any:
        return start + size, _add(total, function(start, tf.minimum(start + size, N)))

    _, total = tf.while_loop(
        lambda start, total: start < N, body, (tf.constant(0), zero), parallel_iterations=1
    )
    return total


def _zeros(nest: Any) -> Any:
    return tf.nest.map_structure(tf.zeros_like, nest)


# --- exact models ----------------------------------------------------------------------------


class _Within(NamedTuple):
    """Covariances of all rows among themselves, one matrix for each kernel, and the way back.

    Attributes
    ----------
    K : list of tensors of shape (N, N)
        Lower triangles; what stands above is not to be read.
    g_kernel : callable
        Gradient in the kernel's values. Its argument gives the gradient in ``K[j][rows, columns]``
        as a function of j, rows and columns, for symmetric K.
    """

    K: list
    g_kernel: Callable[[Callable], tuple]


def _covariance_within(kernel: Kernel, values: tuple, X: Any, size: Any) -> _Within:
    """In one piece, or by blocks of ``size`` rows and only up to the diagonal."""
    if size is not None:
        return _covariance_by_blocks(kernel, values, X, size)
    everything = slice(None)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        K = [covariance(k, v, X) for k, v in of_each_latent(kernel, values)]

    def g_kernel(bar: Callable) -> tuple:
        bars = [bar(j, everything, everything) for j in range(len(K))]
        return tape.gradient(K, values, bars, unconnected_gradients="zero")

    return _Within(K, g_kernel)


def _covariance_by_blocks(kernel: Kernel, values: tuple, X: Any, size: Any) -> _Within:
    """Elementwise operations then find their arguments in the cache, and do half of the work."""
    N = tf.shape(X)[0]

    def block(start: Any) -> tuple:
        """Rows, their covariances with each other, and with those before them."""
        own, before = slice(start, tf.minimum(start + size, N)), slice(0, start)
        each = of_each_latent(kernel, values)
        within = [covariance(k, v, X[own]) for k, v in each]
        return own, before, within, [covariance(k, v, X[own], X[before]) for k, v in each]

    def body(start: Any, arrays: tuple) -> tuple:
        own, _, within, beside = block(start)
        above = tf.zeros([own.stop - start, N - own.stop], X.dtype)
        rows = [tf.concat([*b, above], 1) for b in zip(beside, within, strict=True)]
        return own.stop, tuple(a.write(start // size, r) for a, r in zip(arrays, rows, strict=True))

    def g_block(start: Any, bar: Callable) -> tuple:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            own, before, *K = block(start)
        n = range(len(K[0]))
        bars = [[bar(j, own, own) for j in n], [2.0 * bar(j, own, before) for j in n]]
        return tape.gradient(K, values, bars, unconnected_gradients="zero")

    empty = tuple(
        tf.TensorArray(X.dtype, -(-N // size), infer_shape=False, element_shape=[None, None])
        for _ in of_each_latent(kernel, values)
    )
    _, arrays = tf.while_loop(
        lambda start, _: start < N, body, (tf.constant(0), empty), parallel_iterations=1
    )
    K = [tf.ensure_shape(a.concat(), [None, None]) for a in arrays]
    zero = _zeros(values)
    return _Within(K, lambda bar: _sum_over(N, size, lambda start, _: g_block(start, bar), zero))


def _gpr_step(
    structure: Structure, theta: Hyperparameters, q: tuple, data: Data, s: Any, gamma: Any
) -> Step:
    """With q exact, the ELBO is the evidence; q itself need not be formed."""
    size = _block_size(structure, s)
    value, g_theta = _evidence(structure.kernel, theta, data, s.jitter, size)
    return Step(value, g_theta, q, q, tf.zeros_like(value))


def _block_size(structure: Structure, s: Any) -> Any:
    return s.chunk_size if structure.chunked else None


def _evidence(
    kernel: Kernel, theta: Hyperparameters, data: Data, jitter: Any, size: Any
) -> tuple[Any, Hyperparameters]:
    """The noise serves as jitter; where it is too little, the diagonal gets more."""
    prior = _covariance_within(kernel, theta.kernel, data.X, size)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(theta)
        noise, correction = models.gaussian_noise(theta, data)
        unit = jitter_unit(kernel, theta.kernel, data.X)
        if unit is None:
            unit = tf.reduce_mean(diagonal(kernel, theta.kernel, data.X))
        on_diagonal = noise + jitter * unit
    moments = models.evidence_moments(add_to_diagonal(prior.K[0], on_diagonal), data.Y)
    bars = [moments.noise_gradient(), tf.ones_like(correction)]
    g_theta = tape.gradient([on_diagonal, correction], theta, bars, unconnected_gradients="zero")
    g_kernel = prior.g_kernel(lambda _, rows, columns: moments.prior_gradient(rows, columns))
    return moments.value + correction, g_theta._replace(kernel=_add(g_theta.kernel, g_kernel))


def evidence(
    kernel: Kernel, theta: Hyperparameters, data: Data, jitter: float = 0.0
) -> tuple[float, Hyperparameters]:
    """Exact log marginal likelihood and its gradient in the values of theta; NumPy.

    Parameters
    ----------
    kernel : Kernel
    theta : Hyperparameters
    data : Data
    jitter : float, default=0.0
        Added to the diagonal, times the mean prior variance; see ``kernels.jitter_unit``.
    """
    theta, data = tf.nest.map_structure(tf.convert_to_tensor, (theta, data))
    value, gradient = _evidence(kernel, theta, data, jitter, None)
    return float(value), tf.nest.map_structure(lambda g: g.numpy(), gradient)


def _vgp_step(
    structure: Structure, theta: Hyperparameters, q: tuple, data: Data, s: Any, gamma: Any
) -> Step:
    """One natural-gradient step on the sites; the gradient in K is that at their fixed point."""
    size = _block_size(structure, s)
    prior = _covariance_within(structure.kernel, theta.kernel, data.X, size)  # B needs no jitter
    K, n = prior.K, len(prior.K)
    latents = range(structure.n_latent)
    moments = [models.site_moments(K[k % n], q[0][:, k], q[1][:, k]) for k in latents]
    f_mean = tf.stack([m.f_mean for m in moments], 1)  # [N, L]
    f_var = tf.stack([m.f_var for m in moments], 1)
    likelihood = _Observed(structure.likelihood, structure.mean, data.row_noise[:, None])
    data_term, ((g_likelihood, g_offset), g_mean, g_var) = models.data_term_and_gradients(
        likelihood, (theta.likelihood, theta.mean), f_mean, f_var, data.Y, data.weights[:, None]
    )

    def K_bar(j: int, rows: slice, columns: slice) -> Any:
        own = moments if n == 1 else moments[j : j + 1]
        return tf.add_n([m.prior_gradient(rows, columns) for m in own])

    value = data_term - tf.add_n([m.kl for m in moments])
    g_theta = Hyperparameters(prior.g_kernel(K_bar), g_likelihood, (), g_offset)
    g_sites = g_mean - 2.0 * g_var * f_mean, -2.0 * g_var
    return Step(value, g_theta, q, *_next_sites(q, f_mean, g_sites, gamma, data.weights))


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


# --- sparse models: rows in blocks -----------------------------------------------------------


class _Block(NamedTuple):
    """Rows whose covariances are evaluated together.

    Attributes
    ----------
    covariances : callable
        Of theta: (Kuf, Kff_diag) for all latent functions, or a list of them for each.
    Y : tensor of shape (N, P)
    scale : tensor of shape (N, 1)
        Factor of each row's data term.
    likelihood : ExpectedLogDensity
    row_noise : tensor of shape (N,)
    """

    covariances: Callable[[Hyperparameters], list]
    Y: Any
    scale: Any
    likelihood: ExpectedLogDensity
    row_noise: Any


class _Prior(NamedTuple):
    """Covariances Kuu [M, M] of each kernel, and the way back from them to theta."""

    tape: Any
    Kuu: list
    L_inv: list


class _Evaluated(NamedTuple):
    """Covariances of a block, and the way back from them to theta."""

    tape: Any
    covariances: list


def _rows(structure: Structure, data: Data) -> _Block:
    rounds = structure.dtype == "float32" and is_stationary(structure.kernel)

    def covariances(theta: Hyperparameters) -> list:
        X, Z = data.X, theta.inducing_points
        if rounds:  # only distances count, and rows far from zero would lose theirs
            middle = tf.stop_gradient(tf.reduce_mean(Z, 0))
            X, Z = tf.cast(X, Z.dtype) - middle, Z - middle
        values, X, Z = tf.nest.map_structure(
            lambda v: tf.cast(v, structure.dtype), (theta.kernel, X, Z)
        )
        each = of_each_latent(structure.kernel, values)
        return [(covariance(k, v, Z, X), diagonal(k, v, X)) for k, v in each]

    likelihood = _Observed(structure.likelihood, structure.mean, data.row_noise[:, None])
    return _Block(covariances, data.Y, data.weights[:, None], likelihood, data.row_noise)


def _remembered(structure: Structure, data: Data) -> _Block:
    r"""Combinations :math:`R^\top f(Z_{old})` as if they were rows, see ``Memory``."""
    points, roots, targets = data.memory
    roots = tf.unstack(roots)

    def covariances(theta: Hyperparameters) -> list:
        own = of_each_latent(structure.kernel, theta.kernel)
        each = []
        for k in range(max(len(own), len(roots))):
            (kernel, values), R = own[k % len(own)], roots[k % len(roots)]
            Kua = covariance(kernel, values, theta.inducing_points, points)
            Kaa = covariance(kernel, values, points)
            each.append((tf.matmul(Kua, R), tf.reduce_sum(R * tf.matmul(Kaa, R), 0)))
        return each

    one = tf.ones_like(targets[:, :1])
    return _Block(covariances, targets, one, _UnitNoise(), one[:, 0])


def _evaluate(block: _Block, theta: Hyperparameters) -> _Evaluated:
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch((theta.kernel, theta.inducing_points))
        covariances = block.covariances(theta)
    return _Evaluated(tape, covariances)


def _prior(structure: Structure, theta: Hyperparameters, jitter: Any) -> _Prior:
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch((theta.kernel, theta.inducing_points))
        Z, each = theta.inducing_points, of_each_latent(structure.kernel, theta.kernel)
        Kuu = [add_jitter(covariance(k, v, Z), jitter, jitter_unit(k, v, Z)) for k, v in each]
    return _Prior(tape, Kuu, [sparse.whiten_prior(structure.large, K) for K in Kuu])


def _gradient(tape: Any, targets: Any, theta: Hyperparameters, upstream: Any) -> Hyperparameters:
    sources = (theta.kernel, theta.inducing_points)
    g_kernel, g_Z = tape.gradient(targets, sources, upstream, unconnected_gradients="zero")
    zeros = _zeros((theta.likelihood, theta.mean))
    return Hyperparameters(g_kernel, zeros[0], g_Z, zeros[1])


def _over_chunks(structure: Structure, data: Data, s: Any, function: Callable, zero: Any) -> Any:
    """Sum of ``function(rows)`` over chunks of the rows, so that memory does not grow with N."""
    if not structure.chunked:
        return function(data)

    def chunk(start: Any, stop: Any) -> Any:
        X, Y, weights, row_noise = (a[start:stop] for a in data[:4])
        return function(data._replace(X=X, Y=Y, weights=weights, row_noise=row_noise))

    return _sum_over(tf.shape(data.X)[0], s.chunk_size, chunk, zero)


# --- SVGP ------------------------------------------------------------------------------------


def _factors(structure: Structure, prior: _Prior, q: Natural) -> list:
    """Factors of each kernel: of all latent functions, or of its own."""
    if len(prior.L_inv) == 1:
        return [sparse.factors(structure.large, prior.L_inv[0], *q)]
    return [
        sparse.factors(structure.large, L_inv, q.nat1[:, k : k + 1], q.nat2[k : k + 1])
        for k, L_inv in enumerate(prior.L_inv)
    ]


def _of_block(factors: list, n_groups: int) -> list:
    """Factors for the covariances of a block: one for all latent functions, or one for each."""
    if len(factors) == n_groups:
        return factors
    return [factors[0].of_latent(k) for k in range(n_groups)]


def _block_gradients(
    structure: Structure,
    theta: Hyperparameters,
    factors: list,
    block: _Block,
    evaluated: _Evaluated,
    A: list | None = None,
    g_cov: Any = None,
) -> tuple:
    """Data term of a block, its gradient in theta through Kuf, and the sums for q and Kuu.

    Last comes how much the rows want more variance, zero for log-concave likelihoods.
    ``A`` is given where it is known already or Kuf takes its place, ``g_cov``, the gradient in S,
    where it is known.
    """
    large, n = structure.large, len(evaluated.covariances)
    own = _of_block(factors, n)
    projected = [
        sparse.project(large, f, K[0], K[1], a)
        for f, K, a in zip(own, evaluated.covariances, A or [None] * n, strict=True)
    ]
    f_mean = _join([p[2] for p in projected])  # [N, L]
    f_var = _join([p[3] for p in projected])  # [N, L']
    f_var, shared = tf.broadcast_to(f_var, tf.shape(f_mean)), f_var.shape[1] != f_mean.shape[1]
    data_term, ((g_likelihood, g_offset), g_mean, g_var) = models.data_term_and_gradients(
        block.likelihood, (theta.likelihood, theta.mean), f_mean, f_var, block.Y, block.scale
    )
    upward = tf.reduce_sum(tf.maximum(g_var, 0.0))
    g_var = tf.reduce_sum(g_var, 1, keepdims=True) if shared else g_var
    g_mean, g_var = swap_axes(g_mean), swap_axes(g_var)  # [L, N], [L', N]
    back, sums = [], []
    for k, (f, p) in enumerate(zip(own, projected, strict=True)):
        g = (g_mean, g_var) if n == 1 else (g_mean[k : k + 1], g_var[k : k + 1])
        Kuf_bar, total = sparse.pull_back(large, f, p[0], p[1], *g, g_cov)
        back.append((Kuf_bar, tf.cast(tf.reduce_sum(g[1], 0), Kuf_bar.dtype)))
        sums.append(total)
    g_theta = _gradient(evaluated.tape, evaluated.covariances, theta, back)
    g_theta = g_theta._replace(likelihood=g_likelihood, mean=g_offset)
    return data_term, g_theta, _join_sums(sums), upward


def _join(each: list) -> Any:
    return swap_axes(each[0] if len(each) == 1 else tf.concat(each, 0))


def _join_sums(each: list) -> sparse.Sums:
    if len(each) == 1:
        return each[0]
    mean, cov = zip(*each, strict=True)
    return sparse.Sums(tf.concat(mean, 1), tf.concat(cov, 0))


def _through_prior(
    structure: Structure, theta: Hyperparameters, prior: _Prior, factors: list, sums: sparse.Sums
) -> Hyperparameters:
    """Gradient in theta through Kuu."""
    each = zip(factors, _of_factors(factors, sums), strict=True)
    bars = [sparse.prior_gradient(structure.large, f, s) for f, s in each]
    return _gradient(prior.tape, prior.Kuu, theta, bars)


def _of_factors(factors: list, sums: sparse.Sums) -> list:
    """The sums that belong to each of the factors."""
    if len(factors) == 1:
        return [sums]
    own = [slice(k, k + 1) for k in range(len(factors))]
    return [sparse.Sums(sums.mean[:, k], sums.cov[k]) for k in own]


def _svgp_step(
    structure: Structure, theta: Hyperparameters, q: tuple, data: Data, s: Any, gamma: Any
) -> Step:
    natural, large = Natural(*q), structure.large
    prior = _prior(structure, theta, s.jitter)
    factors = _factors(structure, prior, natural)
    acting = [sparse.direct(large, f) for f in factors] if structure.direct else factors

    def of(block: _Block) -> tuple:
        evaluated = _evaluate(block, theta)
        A = [Kuf for Kuf, _ in evaluated.covariances] if structure.direct else None
        return _block_gradients(structure, theta, acting, block, evaluated, A)

    zero = _zeros((gamma, theta, sparse.Sums(*natural), gamma))  # shaped as what ``of`` gives
    total = _over_chunks(structure, data, s, lambda rows: of(_rows(structure, rows)), zero)
    if structure.memory:
        total = _add(total, of(_remembered(structure, data)))
    data_term, g_theta, sums, upward = total
    if structure.direct:
        each = zip(factors, _of_factors(factors, sums), strict=True)
        sums = _join_sums([sparse.whiten_sums(large, f, own) for f, own in each])
    g_theta = _add(g_theta, _through_prior(structure, theta, prior, factors, sums))
    value = data_term - tf.add_n([f.prior_kl for f in factors])
    return Step(value, g_theta, q, *_next_q(structure, natural, factors, sums, upward, gamma))


def _next_q(
    structure: Structure, q: Natural, factors: list, sums: sparse.Sums, upward: Any, gamma: Any
) -> tuple:
    """q after a natural-gradient step, and whether it had to be corrected."""
    q_mu, g_q = tf.concat([f.q_mu for f in factors], 1), tuple(sums)

    plain = optimizers.natural_gradient_update(q, q_mu, g_q, gamma)
    if structure.likelihood.log_concave:
        return tuple(plain), tf.zeros_like(upward)

    def corrected() -> Natural:
        q_cov = shift_diagonal(tf.concat([f.inner for f in factors], 0), 1.0)
        return optimizers.positive_definite_update(q, q_mu, q_cov, g_q, gamma)

    needed = upward > 0.0
    return tuple(where_needed(needed, plain, corrected)), tf.cast(needed, upward.dtype)


# --- SGPR: a Gaussian likelihood, all rows, gamma = 1 ----------------------------------------


def _precision(theta: Hyperparameters, block: _Block) -> Any:
    """Inverse noise variance of each row, [1, N]; a row of weight w counts w times."""
    variance = tf.ones([], block.Y.dtype)
    if not isinstance(block.likelihood, _UnitNoise):
        variance = theta.likelihood[0] + block.row_noise
    return swap_axes(block.scale) / variance


def _block_statistics(
    structure: Structure, theta: Hyperparameters, L_inv: Any, block: _Block, evaluated: _Evaluated
) -> tuple:
    """A of a block, and what its rows add to the natural parameters of q."""
    ((Kuf, _),) = evaluated.covariances
    return sparse.whiten_and_sum(
        structure.large, L_inv, Kuf, _precision(theta, block), swap_axes(block.Y)
    )


def _sgpr_step(
    structure: Structure, theta: Hyperparameters, q: tuple, data: Data, s: Any, gamma: Any
) -> Step:
    """A natural-gradient step of gamma = 1 makes q exact, whatever it was; the gradient follows.

    The ELBO with that q is the collapsed bound (Titsias 2009, eq. 9), and so is its gradient in
    theta, as that in q is zero. Covariances are evaluated twice where the rows come in chunks.
    """
    prior = _prior(structure, theta, s.jitter)

    def first_pass(block: _Block) -> tuple:
        evaluated = _evaluate(block, theta)
        A, *natural = _block_statistics(structure, theta, prior.L_inv[0], block, evaluated)
        return (block, evaluated, [A]), tuple(natural)

    def second_pass(block: _Block, *kept: Any) -> tuple:
        evaluated, A = kept or (_evaluate(block, theta), None)
        # the gradient in S is known from the first pass; it is added below
        none = tf.zeros_like(nat2)
        return _block_gradients(structure, theta, factors, block, evaluated, A, none)

    def over_chunks(function: Callable, zero: Any) -> Any:
        return _over_chunks(structure, data, s, lambda rows: function(_rows(structure, rows)), zero)

    whole = [] if structure.chunked else [_rows(structure, data)]
    whole += [_remembered(structure, data)] if structure.memory else []
    kept, naturals = zip(*map(first_pass, whole), strict=True) if whole else ((), ())
    if structure.chunked:
        naturals += (over_chunks(lambda rows: first_pass(rows)[1], _zeros(tuple(q))),)
    nat1, nat2 = _add(*naturals)
    q = nat1, shift_diagonal(nat2, -0.5)
    factors = [sparse.factors(structure.large, prior.L_inv[0], *q)]
    totals = [second_pass(*k) for k in kept]
    if structure.chunked:
        zero = _zeros((gamma, theta, sparse.Sums(*q), gamma))
        totals += [over_chunks(second_pass, zero)]
    data_term, g_theta, sums, _ = _add(*totals)
    g_cov = structure.n_latent * nat2  # all targets share S
    sums = sums._replace(cov=g_cov)
    g_theta = _add(g_theta, _through_prior(structure, theta, prior, factors, sums))
    return Step(data_term - factors[0].prior_kl, g_theta, q, q, tf.zeros_like(data_term))


def is_singular(structure: Structure, theta: Hyperparameters, value: Any, jitter: Any) -> Any:
    """Whether the prior at a finite theta lacks jitter, where a step found an ELBO of ``value``."""
    if structure.model == "vgp":  # has none
        return tf.constant(False)
    found = [value]
    if structure.model != "gpr":
        found = _prior(structure, theta, jitter).L_inv
    return tf.logical_not(tf.math.is_finite(tf.add_n([tf.reduce_sum(f) for f in found])))


#: The step of each model: of a structure, theta, q, the rows, the settings and gamma.
STEPS: dict[str, Callable] = {
    "gpr": _gpr_step,
    "sgpr": _sgpr_step,
    "vgp": _vgp_step,
    "svgp": _svgp_step,
}
