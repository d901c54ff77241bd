"""Sparse models: the formulas forward and backward, one step of each, and what users see of it."""

from __future__ import annotations

import functools
import tracemalloc

import numpy as np
import pytest
from reference import random_covariance
from sklearn.gaussian_process.kernels import RBF, CompoundKernel, ConstantKernel, Matern

from skgpng import (
    GaussianProcessClassifier,
    GaussianProcessRegressor,
    _base,
    gaussians,
    inducing,
    kernels,
    models,
    sparse,
    steps,
    streaming,
)
from skgpng._tensorflow import tf
from skgpng._training import stages
from skgpng._training.loop import Settings
from skgpng.likelihoods import Bernoulli, Gaussian, Softmax
from skgpng.structures import Data, Hyperparameters, Memory, Structure

JITTER = 1e-8
KERNEL = ConstantKernel(1.5) * RBF([0.8, 1.2])
EACH = CompoundKernel([RBF(0.8), Matern(0.7, nu=1.5), 2.0 * RBF(1.1)])

# M and N: small, and large enough for blocks, tiles and threads
sizes = pytest.mark.parametrize("M, N", [(5, 7), (130, 3000)], ids=["small", "tiles"])
# latent functions, and the covariances among them
latents = pytest.mark.parametrize("L, shared", [(1, 1), (3, 3), (3, 1)])
algebra = pytest.mark.parametrize("large", [False, True], ids=["tensors", "arrays"])


# --- formulas --------------------------------------------------------------------------------


def numbers(M, N, L, shared, signs="mixed"):
    """Random arguments of every formula, by name."""
    rng = np.random.RandomState(30)
    sign = {"negative": -1.0, "mixed": np.sign(rng.randn(shared, N))}[signs]
    return {
        "Kuu": random_covariance(rng, M),
        "Kuf": rng.randn(M, N) / np.sqrt(M),
        "Kff_diag": rng.uniform(1.0, 2.0, N),
        "nat1": rng.randn(M, L),
        "nat2": -0.5 * (np.eye(M) + random_covariance(rng, M, (shared,))),
        "g_mean": rng.randn(L, N),
        "g_var": sign * rng.uniform(0.1, 1.0, (shared, N)),
        "precision": rng.uniform(0.5, 2.0, (1, N)),
        "Y": rng.randn(L, N),
    }


def evaluate(large, n):
    """Everything that the formulas give, as arrays."""
    n = {name: tf.constant(value) for name, value in n.items()}
    L_inv = sparse.whiten_prior(large, n["Kuu"])
    f = sparse.factors(large, L_inv, n["nat1"], n["nat2"])
    A, reduced, f_mean, f_var = sparse.project(large, f, n["Kuf"], n["Kff_diag"])
    from_A = sparse.project(large, f, n["Kuf"], n["Kff_diag"], A)
    Kuf_bar, sums = sparse.pull_back(large, f, A, reduced, n["g_mean"], n["g_var"])
    again, known = sparse.pull_back(large, f, A, reduced, n["g_mean"], n["g_var"], sums.cov)
    np.testing.assert_allclose(again, Kuf_bar, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(known.mean, sums.mean, rtol=1e-12, atol=1e-12)
    assert known.cov is sums.cov
    whitened = sparse.whiten_and_sum(large, L_inv, n["Kuf"], n["precision"], n["Y"])
    found = {
        **f._asdict(),
        **dict(zip(("A", "reduced", "f_mean", "f_var"), (A, reduced, f_mean, f_var))),
        **dict(zip(("A again", "reduced again", "f_mean again", "f_var again"), from_A)),
        "Kuf_bar": Kuf_bar,
        **{f"sums.{name}": value for name, value in sums._asdict().items()},
        **dict(zip(("whitened", "nat1", "gram"), whitened)),
        "Kuu_bar": sparse.prior_gradient(large, f, sums),
    }
    return {name: value.numpy() for name, value in found.items()}


def by_numpy(n):
    """The same by inverting everything."""
    L_inv = np.linalg.inv(np.linalg.cholesky(n["Kuu"]))
    P = -2.0 * n["nat2"]
    S, (L, M) = np.linalg.inv(P), n["nat1"].T.shape
    every_S, every_P = (np.broadcast_to(a, (L, M, M)) for a in (S, P))
    q_mu = np.einsum("lij,jl->il", every_S, n["nat1"])
    A, inner = L_inv @ n["Kuf"], S - np.eye(M)
    excess = L_inv.T @ inner
    kl = sum(np.trace(s) + np.linalg.slogdet(p)[1] - M for s, p in zip(every_S, every_P))
    g_var, g_mean = n["g_var"], n["g_mean"]
    cov = np.einsum("in,ln,jn->lij", A, g_var, A, optimize=True)
    mean = A @ g_mean.T
    A_bar_A = q_mu @ mean.T + 2.0 * (inner @ cov).sum(0)
    half = np.tril(A_bar_A) - 0.5 * np.diag(np.diag(A_bar_A))
    projected = {
        "A": A,
        "reduced": excess @ A,
        "f_mean": q_mu.T @ A,
        "f_var": n["Kff_diag"] + np.einsum("in,lij,jn->ln", A, inner, A, optimize=True),
    }
    return {
        **{"L_inv": L_inv, "q_mu": q_mu, "inner": inner, "excess": excess},
        **{"slope": L_inv.T @ q_mu, "prior_kl": 0.5 * (kl + np.sum(q_mu**2))},
        **projected,
        **{f"{name} again": value for name, value in projected.items()},
        "Kuf_bar": L_inv.T @ q_mu @ g_mean
        + 2.0 * np.einsum("lij,jn,ln->in", excess, A, g_var, optimize=True),
        **{"sums.mean": mean, "sums.cov": cov},
        "whitened": A,
        "nat1": (A * n["precision"]) @ n["Y"].T,
        "gram": -0.5 * ((A * n["precision"]) @ A.T)[None],
        "Kuu_bar": -L_inv.T @ half @ L_inv,
    }


def assert_all_close(found, expected, rtol):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        size = np.abs(value).max()
        np.testing.assert_allclose(found[name], value, rtol, rtol * size, err_msg=name)
        assert found[name].shape == np.shape(value), name


@sizes
@latents
@algebra
@pytest.mark.parametrize("signs", ["negative", "mixed"])
def test_every_formula_against_numpy(M, N, L, shared, signs, large):
    n = numbers(M, N, L, shared, signs)
    assert_all_close(evaluate(large, n), by_numpy(n), rtol=1e-10)


@latents
def test_tensors_and_arrays_in_float32(L, shared):
    # Kuf is float32, and with it what has N columns; q and the sums are float64
    n = numbers(130, 3000, L, shared)
    double = evaluate(True, n)
    n |= {name: n[name].astype(np.float32) for name in ("Kuf", "Kff_diag")}
    for large in (False, True):
        single = evaluate(large, n)
        of_columns = {"A", "reduced", "A again", "reduced again", "Kuf_bar", "whitened"}
        for name, value in single.items():
            assert value.dtype == (np.float32 if name in of_columns else np.float64), name
        # sums of 130 and of 3000 rounded terms; what is compared has its largest entry for a unit
        assert_all_close(single, double, rtol=1e-4)


@algebra
@pytest.mark.parametrize("M", [5, 130])
@pytest.mark.parametrize("name", ["Kuu", "nat2"])
def test_what_is_not_positive_definite_is_nan_everywhere_after(M, name, large):
    n = numbers(M, 3 * M, 2, 2)
    n[name][..., 2, 2] = -abs(n[name][..., 2, 2]) if name == "Kuu" else 0.5
    found = evaluate(large, n)
    for part in ("f_mean", "f_var", "Kuf_bar", "Kuu_bar", "prior_kl" if name == "nat2" else "A"):
        assert np.isnan(found[part]).any(), part


@pytest.mark.parametrize("shared", [1, 3])
def test_factors_of_one_latent_function(shared):
    n = {name: tf.constant(v) for name, v in numbers(5, 7, 3, shared).items()}
    L_inv = sparse.whiten_prior(False, n["Kuu"])
    f = sparse.factors(False, L_inv, n["nat1"], n["nat2"])
    _, reduced, f_mean, f_var = sparse.project(False, f, n["Kuf"], n["Kff_diag"])
    for k in range(3):
        _, *own = sparse.project(False, f.of_latent(k), n["Kuf"], n["Kff_diag"])
        for all_latents, one in zip((reduced, f_mean, f_var), own, strict=True):
            expected = all_latents[k if len(all_latents) > 1 else 0]
            np.testing.assert_allclose(one[0], expected, rtol=1e-12)


# --- one step --------------------------------------------------------------------------------

# name: (model, kernel, likelihood, latent functions)
CASES = {
    "one kernel": ("svgp", KERNEL, Gaussian(), 1),
    "targets": ("svgp", KERNEL, Gaussian(), 3),
    "wrong side": ("svgp", KERNEL, Bernoulli(), 1),
    "classes": ("svgp", KERNEL, Softmax(3), 3),
    "classes, own kernels": ("svgp", EACH, Softmax(3), 3),
    "collapsed": ("sgpr", KERNEL, Gaussian(), 1),
    "collapsed, targets": ("sgpr", KERNEL, Gaussian(), 3),
}
every_case = pytest.mark.parametrize("name", CASES)
with_memory = pytest.mark.parametrize("memory", [False, True], ids=["rows", "rows and memory"])


def make_memory(rng, M, L, n_roots):
    points = rng.uniform(-2, 2, (M + 1, 2))
    return Memory(points, 0.7 * rng.randn(n_roots, M + 1, M + 1), rng.randn(M + 1, L))


def make_case(name, memory=False, M=6, N=40):
    model, kernel, likelihood, L = CASES[name]
    rng = np.random.RandomState(31)
    X = rng.uniform(-2, 2, (N, 2))
    n_roots = 1 if model == "sgpr" else L
    n_classes = {Bernoulli: 2, Softmax: 3}.get(type(likelihood))
    Y = rng.randint(0, n_classes, (N, 1)).astype(float) if n_classes else rng.randn(N, L)
    noisy = 0.0 if n_classes else 1.0
    data = Data(
        X,
        Y,
        rng.uniform(0.5, 2.0, N),
        noisy * rng.uniform(0.0, 0.3, N),
        X.std(0),
        make_memory(rng, M, L, n_roots) if memory else (),
    )
    noise = (np.array(0.3),) * len(likelihood.parameter_names)
    parsed = kernels.parse(kernel)
    Z = rng.uniform(-2, 2, (M, 2))
    theta = Hyperparameters(parsed.values, noise, Z)
    q = rng.randn(M, L), -0.5 * (np.eye(M) + random_covariance(rng, M, (n_roots,)))
    if name == "wrong side":  # the likelihood forgives errors: more variance would help
        q = -2.0 * q[1][0] @ np.full((M, 1), -4.0), q[1]  # mean -4
    structure = Structure(model, parsed.structure, likelihood, False, L, "float64", memory=memory)
    return structure, *tf.nest.map_structure(tf.constant, (theta, q, data))


def make_settings(chunk_size=2**30):
    zeros = [0.0] * 8
    s = Settings(*zeros, 10, JITTER, np.zeros(2))
    return s._replace(chunk_size=tf.constant(chunk_size))


def step(structure, theta, q, data, gamma=0.3, chunk_size=2**30):
    return steps.STEPS[structure.model](
        structure, theta, q, data, make_settings(chunk_size), tf.constant(gamma, tf.float64)
    )


def assert_same_step(found, expected, rtol):
    """Every part of a step, in units of its largest entry."""
    for a, b in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        size = np.abs(b).max()
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * size)


def blocks(structure, theta, data):
    """(likelihood, values, Y, scale, covariances) of the rows, and of the memory."""
    own = kernels.of_each_latent(structure.kernel, theta.kernel)
    Z, L = theta.inducing_points, structure.n_latent
    rows = [(kernels.covariance(k, v, Z, data.X), kernels.diagonal(k, v, data.X)) for k, v in own]
    values = tuple(v + data.row_noise[:, None] for v in theta.likelihood)
    yield structure.likelihood, values, data.Y, data.weights[:, None], rows
    if structure.memory:
        points, roots, targets = data.memory
        remembered = []
        for k in range(L):
            kernel, v = own[k % len(own)]
            R = roots[k % len(roots)]
            Kaa = kernels.covariance(kernel, v, points)
            diagonal = tf.linalg.diag_part(tf.transpose(R) @ Kaa @ R)
            remembered.append((kernels.covariance(kernel, v, Z, points) @ R, diagonal))
        one = tf.ones_like(targets[:, :1])
        yield Gaussian(), (one,), targets, one, remembered


def roots_of_prior(structure, theta):
    own = kernels.of_each_latent(structure.kernel, theta.kernel)
    Z = theta.inducing_points
    Kuu = [kernels.covariance(k, v, Z) for k, v in own]
    eye = JITTER * tf.eye(len(Z), dtype=tf.float64)
    return [tf.linalg.cholesky(K + tf.reduce_mean(tf.linalg.diag_part(K)) * eye) for K in Kuu]


def naive_elbo(structure, theta, q_mu, q_cov, data):
    """ELBO with TensorFlow's own gradients, and (A, f_mean, f_var) of each latent and block."""
    roots, L = roots_of_prior(structure, theta), structure.n_latent
    total, seen = 0.0, []
    for likelihood, values, Y, scale, covariances in blocks(structure, theta, data):
        moments = []
        for k in range(L):
            Kuf, Kff_diag = covariances[k % len(covariances)]
            A = tf.linalg.triangular_solve(roots[k % len(roots)], Kuf)
            f_var = Kff_diag + tf.reduce_sum(A * (q_cov[k] @ A - A), 0)
            moments.append((A, tf.linalg.matvec(A, q_mu[:, k], transpose_a=True), f_var))
        f_mean, f_var = (tf.stack([m[i] for m in moments], 1) for i in (1, 2))
        expected = likelihood.variational_expectations(values, f_mean, f_var, Y)
        total += tf.reduce_sum(scale * expected)
        seen.append(([m[0] for m in moments], f_mean, f_var, total))
    kl = tf.linalg.trace(q_cov) - tf.linalg.logdet(q_cov) - float(len(q_mu))
    return total - 0.5 * (tf.reduce_sum(kl) + tf.reduce_sum(q_mu**2)), seen


def expected_svgp_step(structure, theta, q, data, gamma):
    """Value, gradients and next q by automatic differentiation; last, the g_var of all rows."""
    q_cov = tf.linalg.inv(-2.0 * q[1])
    q_mu = tf.stack([tf.linalg.matvec(q_cov[k], q[0][:, k]) for k in range(structure.n_latent)], 1)
    with tf.GradientTape(watch_accessed_variables=False, persistent=True) as tape:
        tape.watch(theta)
        value, seen = naive_elbo(structure, theta, q_mu, q_cov, data)
    g_theta = tape.gradient(value, theta, unconnected_gradients="zero")
    g_mu, g_cov, all_g_var = 0.0, 0.0, []
    for A, f_mean, f_var, _ in seen:
        g_mean, g_var = (g.numpy() for g in tape.gradient(value, [f_mean, f_var]))
        all_g_var.append(g_var)
        A = np.stack(A)
        g_mu += np.einsum("lin,nl->il", A, g_mean)
        g_cov += np.einsum("lin,nl,ljn->lij", A, g_var, A)
    change = g_mu - 2.0 * np.einsum("lij,jl->il", g_cov, q_mu)
    nat1 = (1 - gamma) * q[0] + gamma * change
    nat2 = (1 - gamma) * q[1] + gamma * (g_cov - 0.5 * np.eye(len(q_mu)))
    all_g_var = np.concatenate(all_g_var)
    corrected = float(np.any(all_g_var > 0.0))
    if corrected:  # Lin, Schmidt & Khan 2020
        G = np.eye(len(q_mu)) - 2.0 * g_cov + 2.0 * q[1]  # minus the direction of the paper
        second = 0.5 * gamma**2 * G @ q_cov @ G
        nat1, nat2 = nat1 + np.einsum("lij,jl->il", second, q_mu), nat2 - 0.5 * second
    return (value, g_theta, q, (nat1, nat2), corrected), all_g_var


@with_memory
@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case[0] == "svgp"])
def test_svgp_step_is_the_derivative_of_the_elbo(name, memory):
    case = make_case(name, memory)
    found = step(*case)
    expected, g_var = expected_svgp_step(*case, 0.3)
    assert_same_step(found, expected, rtol=1e-7)  # Kuu has a condition number of 1e3
    assert np.any(g_var > 0.0) == (name == "wrong side")
    structure, theta, q, data = case
    if memory:
        return
    q = gaussians.natural_to_mean_sqrt(gaussians.Natural(*q))
    own = kernels.of_each_latent(structure.kernel, theta.kernel)
    prior = [
        models.svgp_covariances(
            k, theta._replace(kernel=v), data.X, JITTER * np.mean(kernels.diagonal(k, v, data.X))
        )
        for k, v in own
    ]
    values = tuple(v + data.row_noise[:, None] for v in theta.likelihood)
    prior = prior if len(prior) > 1 else prior[0]
    bound = models.elbo(prior, q, structure.likelihood, values, data.Y, data.weights[:, None])
    np.testing.assert_allclose(found[0], bound, rtol=1e-10)


def naive_bound(structure, theta, data):
    """Titsias 2009, eq. 9, for rows and memory, with TensorFlow's own gradients."""
    (row_block, *rest) = blocks(structure, theta, data)
    noise, correction = models.gaussian_noise(theta, data)
    parts = [(*row_block[4][0], row_block[2], noise)]
    parts += [(*block[4][0], block[2], tf.ones_like(block[2][:, 0])) for block in rest]
    Kuf, Kff_diag, Y, noise = (
        tf.concat([p[i] for p in parts], axis) for i, axis in ((0, 1), (1, 0), (2, 0), (3, 0))
    )
    (root,) = roots_of_prior(structure, theta)
    A = tf.linalg.triangular_solve(root, Kuf)
    Q = tf.matmul(A, A, transpose_a=True)
    Ky_root = tf.linalg.cholesky(Q + tf.linalg.diag(noise))
    inner = tf.linalg.triangular_solve(Ky_root, Y)
    P, N = float(Y.shape[1]), float(Y.shape[0])
    log_root = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(Ky_root)))
    value = -0.5 * tf.reduce_sum(inner**2) - P * (log_root + 0.5 * N * np.log(2 * np.pi))
    trace = tf.reduce_sum((Kff_diag - tf.linalg.diag_part(Q)) / noise)
    return value - 0.5 * P * trace + correction, (A, Y, noise)


@with_memory
@pytest.mark.parametrize("name", ["collapsed", "collapsed, targets"])
def test_sgpr_step_is_the_derivative_of_the_collapsed_bound(name, memory):
    structure, theta, q, data = make_case(name, memory)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(theta)
        bound, (A, Y, noise) = naive_bound(structure, theta, data)
    gradient = tape.gradient(bound, theta)
    A = A.numpy()
    best = A / noise @ Y, -0.5 * (np.eye(len(A)) + A / noise @ A.T)[None]
    found = step(structure, theta, q, data)
    assert_same_step(found, (bound, gradient, best, best, 0.0), rtol=1e-7)
    if not memory:
        unit = np.mean(kernels.diagonal(structure.kernel, theta.kernel, data.X))
        prior = models.svgp_covariances(structure.kernel, theta, data.X, JITTER * unit)
        noise, correction = models.gaussian_noise(theta, data)
        expected = models.sgpr_elbo(prior, data.Y, noise) + correction
        np.testing.assert_allclose(found[0], expected, rtol=1e-10)
        nat1, nat2 = models.conjugate_q(prior, data.Y, noise)
        np.testing.assert_allclose(found[3][0], nat1, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(nat2, np.broadcast_to(found[3][1], nat2.shape), atol=1e-8)
    # whatever q it starts from
    other = step(structure, theta, tuple(map(tf.zeros_like, q)), data)
    assert_same_step(other, found, rtol=1e-14)


@every_case
@with_memory
def test_large_changes_nothing(name, memory):
    structure, *given = make_case(name, memory)
    found = step(structure._replace(large=True), *given)
    assert_same_step(found, step(structure, *given), rtol=1e-9)


@pytest.mark.parametrize("name", ["classes, own kernels", "wrong side", "collapsed, targets"])
def test_large_changes_nothing_with_tiles_and_threads(name):
    structure, *given = make_case(name, memory=True, M=130, N=3000)
    # 130 points need more room than the rows have, or Kuu is next to singular
    given[0] = given[0]._replace(inducing_points=10.0 * given[0].inducing_points)
    found = step(structure._replace(large=True), *given)
    assert_same_step(found, step(structure, *given), rtol=1e-9)


@pytest.mark.parametrize("name", ["wrong side", "classes", "classes, own kernels"])
@pytest.mark.parametrize("chunked", [False, True])
@algebra
def test_unwhitened_rows_change_nothing(name, chunked, large):
    structure, *given = make_case(name)
    direct = structure._replace(direct=True, chunked=chunked, large=large)
    found = step(direct, *given, chunk_size=7)
    assert_same_step(found, step(structure, *given), rtol=1e-9)


@every_case
@with_memory
@pytest.mark.parametrize("chunk_size", [1, 7, 40, 100])
@algebra
def test_chunks_change_nothing(name, memory, chunk_size, large):
    structure, *given = make_case(name, memory)
    chunked = structure._replace(chunked=True, large=large)
    found = step(chunked, *given, chunk_size=chunk_size)
    assert_same_step(found, step(structure._replace(large=large), *given), rtol=1e-10)


@every_case
@with_memory
@algebra
def test_float32_covariances(name, memory, large):
    structure, *given = make_case(name, memory)
    found = step(structure._replace(dtype="float32", large=large), *given)
    for leaf in tf.nest.flatten(found):
        assert leaf.dtype == tf.float64
    expected = step(structure, *given)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-4)
    # seven digits, of which L^-1 with the condition number of Kuu, 1e3, takes three or four
    assert_same_step(found, expected, rtol=1e-3)


@every_case
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("chunked", [False, True])
def test_rows_stored_in_float32(name, dtype, chunked):
    structure, theta, q, data = make_case(name)
    structure = structure._replace(dtype=dtype, chunked=chunked)
    single = data._replace(X=tf.cast(data.X, tf.float32))
    double = data._replace(X=tf.cast(single.X, tf.float64))  # the same numbers
    found = step(structure._replace(X_dtype="float32"), theta, q, single, chunk_size=7)
    expected = step(structure, theta, q, double, chunk_size=7)
    assert_same_step(found, expected, rtol=1e-13)


# --- what users see --------------------------------------------------------------------------

# Rows enough for minibatches to be of use; float32 numbers, so that both types hold the same.
N_ROWS = 2500
SIMPLE = ConstantKernel(1.0) * RBF(1.0)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.RandomState(32)
    X = rng.uniform(-3, 3, (N_ROWS, 2)).astype(np.float32)
    return X, 5.0 + 2.0 * np.sin(X[:, 0].astype(float)) + 0.3 * rng.randn(N_ROWS)


@pytest.fixture(scope="module")
def labels(rows):
    X, y = rows
    return X, np.digitize(y, [4.0, 6.0])


@pytest.fixture
def trained(monkeypatch):
    """Structure, data and settings of each training on all rows."""
    seen = []
    own, plan = stages.train, stages.plan_stages

    def train(structure, parameters, each, *others):
        seen.append((structure, each[-1].data, each[-1].settings))
        return own(structure, parameters, each, *others)

    monkeypatch.setattr(stages, "train", train)
    monkeypatch.setattr(
        stages, "plan_stages", lambda *a, **named: plan(*a, **{**named, "whole": True})
    )
    return seen


make_regressor = functools.partial(
    GaussianProcessRegressor, kernel=SIMPLE, n_inducing=10, max_iter=30, random_state=0
)
make_classifier = functools.partial(
    GaussianProcessClassifier, kernel=SIMPLE, n_inducing=10, max_iter=30, random_state=0
)
estimators = pytest.mark.parametrize("kind", ["collapsed", "minibatch", "classifier"])


def fit(kind, rows, labels, X_dtype="float32", n=N_ROWS, **settings):
    X, y = labels if kind == "classifier" else rows
    make = make_classifier if kind == "classifier" else make_regressor
    batch = {"batch_size": 500} if kind == "minibatch" else {}
    return make(**batch, **settings).fit(X[:n].astype(X_dtype, copy=False), y[:n])


def outputs(model, X):
    """What it predicts, as float64."""
    if hasattr(model, "predict_proba"):
        return [model.predict_proba(X)]
    return [*model.predict(X, return_std=True)]


@estimators
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_float32_rows_predict_as_float64_rows(kind, dtype, rows, labels, trained):
    single = fit(kind, rows, labels, dtype=dtype)
    double = fit(kind, rows, labels, "float64")
    (structure, data, _), (other, _, _) = trained
    assert structure.X_dtype == data.X.dtype == "float32" and structure.dtype == dtype
    assert other.X_dtype == other.dtype == "float64"
    X = rows[0][:200]
    # Rows in float32 differ in nothing but how k-means rounds. Covariances in float32 steer thirty
    # steps of training a little aside; y has a standard deviation of 1.4.
    atol = 1e-6 if dtype == "float64" else 5e-3
    for a, b in zip(outputs(single, X), outputs(double, X.astype(float)), strict=True):
        assert a.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)
    for a, b in zip(outputs(double, X), outputs(double, X.astype(float)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)  # what is fitted takes either type


@estimators
def test_float32_rows_are_trained_on_as_they_are(kind, rows, labels, trained, monkeypatch):
    monkeypatch.setattr(inducing, "_MAX_ROWS", 100)  # means are taken in blocks of 20,000 rows
    # wide rows, so that they outweigh all else
    X = np.random.RandomState(33).randn(10_000, 200).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    settings = {"kernel": None, "inducing_init": "random", "max_iter": 2}
    wide = {"rows": (X, y), "labels": (X, y), "n": len(X)}
    # without the rows, so that the first fit of a process imports and compiles elsewhere
    fit(kind, rows, labels, **settings)
    tracemalloc.start()
    try:
        fit(kind, **wide, **settings)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    data = trained[-1][1]
    assert data.X.dtype == np.float32
    np.testing.assert_array_equal(data.X, X)
    # two copies in float32 while points are chosen, of the rows with a weight and of the distinct
    # ones; one of the two in float64 would make it three
    assert peak < 2.5 * X.nbytes


@pytest.mark.parametrize("kind", ["regressor", "classifier"])
def test_float32_means_nothing_to_exact_models(kind, rows, labels):
    one, other = (
        fit(kind, rows, labels, n_inducing=None, n=60, dtype=dtype)
        for dtype in ("float64", "float32")
    )
    np.testing.assert_array_equal(one.elbo_curve_, other.elbo_curve_)
    X = rows[0][100:120]
    for a, b in zip(outputs(one, X), outputs(other, X), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("make", [make_regressor, make_classifier])
@pytest.mark.parametrize("dtype", ["float16", np.float32, None, 32])
def test_dtype_is_checked(make, dtype, labels):
    with pytest.raises(ValueError, match="The 'dtype' parameter of"):
        make(dtype=dtype).fit(labels[0][:30], labels[1][:30])


@pytest.mark.parametrize("kind", ["collapsed", "classifier"])
@pytest.mark.parametrize("X_dtype", ["float64", "float32"])
def test_greedy_variance_fits(kind, X_dtype, rows, labels):
    model = fit(kind, rows, labels, X_dtype, inducing_init="greedy_variance")
    assert model.inducing_points_.shape == (10, 2) and model.inducing_points_.dtype == np.float64
    X, y = labels if kind == "classifier" else rows
    other = fit(kind, rows, labels, X_dtype)
    assert model.score(X, y) > other.score(X, y) - 0.05


@estimators
def test_a_fit_in_chunks(kind, rows, labels, trained, monkeypatch):
    whole = fit(kind, rows, labels, "float64")
    monkeypatch.setattr(_base, "_CHUNK", 10)
    monkeypatch.setattr(_base, "_BLOCK", 10)
    model = fit(kind, rows, labels, "float64")
    (plain, _, _), (structure, data, settings) = trained
    assert not plain.chunked and len(data.X) == N_ROWS
    # batches of 500 rows need none; 1024 rows go at a time in any case
    assert structure.chunked == (kind != "minibatch") and settings.chunk_size == 1024
    np.testing.assert_allclose(model.elbo_curve_, whole.elbo_curve_, rtol=1e-8)
    X = rows[0][:200]
    for a, b in zip(outputs(model, X), outputs(whole, X), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)


@pytest.fixture
def begun(monkeypatch):
    """The stages of each training."""
    seen = []

    def train(*arguments, original=stages.train):
        seen.append(arguments[2])
        return original(*arguments)

    monkeypatch.setattr(stages, "train", train)
    return seen


def test_a_classifier_begins_on_a_quarter_of_the_rows(labels, begun):
    model = make_classifier(max_iter=60).fit(*labels)
    ((few, rest),) = begun
    assert len(few.data.X) == N_ROWS // 4 and few.settings.max_iter == 20
    assert len(rest.data.X) == N_ROWS and model.n_iter_ == 60
    assert model.score(*labels) > 0.8  # of all classes


@pytest.mark.parametrize("settings", [{"max_iter": 39}, {"optimizer": None}, {"n": 1999}])
def test_when_all_steps_take_all_rows(settings, rows, labels, begun):
    fit("classifier", rows, labels, **{"max_iter": 40, **settings})
    assert len(begun[-1]) == 1


def test_a_training_that_goes_on_takes_all_rows(rows, labels, begun):
    model = fit("classifier", rows, labels, max_iter=40, warm_start=True)
    model.fit(*labels)
    assert [len(own) for own in begun] == [2, 1]


def test_a_stream_in_chunks(rows, trained, monkeypatch):
    # rows that are remembered come beside the chunks
    X, y = rows
    parts = [slice(0, 1250), slice(1250, None)]
    fitted = []
    monkeypatch.setattr(streaming, "capacity", lambda n_inducing: 0)  # no row is kept
    for chunk in (_base._CHUNK, 10):
        monkeypatch.setattr(_base, "_CHUNK", chunk)
        model = make_regressor(max_iter=10)
        for part in parts:
            model.partial_fit(X[part], y[part])
        fitted.append(model)
    seen = [(structure.memory, structure.chunked) for structure, _, _ in trained]
    assert seen == [(False, False), (True, False), (False, True), (True, True)]
    for a, b in zip(*(outputs(model, X[:200]) for model in fitted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)


def test_rows_are_left_unwhitened_where_that_is_exact_and_saves_work(
    rows, labels, trained, monkeypatch
):
    fit("classifier", rows, labels)  # all rows in one chunk
    monkeypatch.setattr(_base, "_BLOCK", 10)
    fit("classifier", rows, labels)
    # less than four rows for each of three times 209 functions
    fit("classifier", rows, labels, n_inducing=209, max_iter=2)
    fit("classifier", rows, labels, dtype="float32")
    fit("classifier", rows, labels, jitter=1e-12)
    fit("collapsed", rows, labels, gamma=0.5)
    make_classifier().fit(*labels, sample_weight=np.full(N_ROWS, 1e4))
    direct = [structure.direct for structure, _, _ in trained]
    assert direct == [False, True, False, False, False, False, False]


@pytest.mark.parametrize("kind", ["collapsed", "classifier"])
def test_a_fit_with_many_points(kind, rows, labels, trained):
    # from 250 inducing points on, and eight rows a point, LAPACK and BLAS do the algebra
    model = fit(kind, rows, labels, "float64", n_inducing=250, max_iter=5, n=2000)
    other = fit(kind, rows, labels, "float64", n_inducing=249, max_iter=5, n=2000)
    assert [structure.large for structure, _, _ in trained] == [True, False]
    X = rows[0][2000:2200]
    for a, b in zip(outputs(model, X), outputs(other, X), strict=True):
        np.testing.assert_allclose(a, b, atol=0.02)  # a point more changes little
