from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import JITTER
from scipy.stats import multivariate_normal
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, CompoundKernel, ConstantKernel, Matern

from skgpng import kernels
from skgpng._inference import Collapsed, Data, Exact, Model, Sites, Sparse
from skgpng._inference.covariances import _compiled, own_covariances
from skgpng._inference.packed import unpacked
from skgpng._inference.posterior import covariance_root, nothing_known
from skgpng.gaussians import MeanSqrt, Natural, mean_sqrt_to_natural
from skgpng.likelihoods import Bernoulli, Gaussian, Softmax
from skgpng.means import Constant, Zero
from skgpng.parameters import Hyperparameters

N, M, NOISE = 14, 5, 0.1
KERNEL = ConstantKernel(1.5) * Matern([0.8, 1.2], nu=2.5) + 0.5 * RBF(0.4)
PARSED = kernels.parse(KERNEL)

rng = np.random.RandomState(22)
X, Z, XNEW = rng.randn(N, 2), rng.randn(M, 2), rng.randn(6, 2)
WEIGHTS, ROW_NOISE = rng.uniform(0.5, 2.0, N), rng.uniform(0.0, 0.2, N)

MODELS = {"exact": Exact(), "collapsed": Collapsed(), "sites": Sites(), "sparse": Sparse()}
every_model = pytest.mark.parametrize("name", MODELS)
every_L = pytest.mark.parametrize("L", [1, 2], ids=["one latent", "two latent"])


def make_data(L, weights=WEIGHTS, row_noise=ROW_NOISE):
    Y = np.random.RandomState(23).randn(N, L)
    return Data(X, Y, weights, row_noise[:, None], X.std(0))


def variational(name, L):
    """Some q, not the best one."""
    rng = np.random.RandomState(24)
    if name == "sites":
        return rng.randn(N, L), rng.uniform(0.1, 5.0, (N, L))
    if name == "sparse":
        q = mean_sqrt_to_natural(MeanSqrt(*reference.random_q(rng, M, L)))
        return tuple(t.numpy() for t in q)
    return best_q(L) if name == "collapsed" else ()


def best_q(L):
    """First natural parameter [M, L] of the collapsed bound, and the second that targets share."""
    data = make_data(L)
    Luu_inv = np.linalg.inv(np.linalg.cholesky(KERNEL(Z) + 2.0 * JITTER * np.eye(M)))
    A = Luu_inv @ KERNEL(Z, X)
    precision = data.weights / (NOISE + data.row[:, 0])
    return A * precision @ data.Y, -0.5 * (np.eye(M) + A * precision @ A.T)[None]


def make_posterior(name, L, data, offset=None):
    inference = MODELS[name]
    conjugate = "conjugate" in inference.requires
    likelihood = Gaussian() if conjugate else Bernoulli()
    mean = Zero() if offset is None else Constant()
    model = Model(inference, PARSED.structure, likelihood, L, mean)
    points, of_mean = Z if inference.has_points else (), () if offset is None else (offset,)
    theta = Hyperparameters(PARSED.values, (np.array(NOISE),) * conjugate, points, of_mean)
    jitter = 0.0 if name == "exact" else JITTER
    return inference.posterior(model, theta, variational(name, L), data, jitter)


def dense(name, L, data):
    """Mean [Nnew, L] and covariance [L, Nnew, Nnew] by inverting everything."""
    noise = (NOISE + data.row[:, 0]) / data.weights
    if name == "exact":
        mean, cov = reference.predict_exact(KERNEL, X, data.Y, noise, XNEW)
        return mean, np.stack([cov] * L)
    points = X if name == "sites" else Z
    # jitter is in units of the prior variance, 2
    K = KERNEL(points) + (0.0 if name == "sites" else 2.0 * JITTER) * np.eye(len(points))
    K_inv = np.linalg.inv(K)
    if name == "sites":
        site_mean, precision = variational("sites", L)
        covs = [np.linalg.inv(K_inv + np.diag(p)) for p in precision.T]
        at_points = [(S @ b, S) for S, b in zip(covs, site_mean.T, strict=True)]
    elif name == "sparse":
        q = reference.random_q(np.random.RandomState(24), M, L)
        at_points = reference.unwhiten(K, *q)
    else:
        Kuf = KERNEL(Z, X)  # Titsias 2009, eq. 10
        inner = np.linalg.inv(K + Kuf / noise @ Kuf.T)
        at_points = [(K @ inner @ Kuf @ (y / noise), K @ inner @ K) for y in data.Y.T]
    k = K_inv @ KERNEL(points, XNEW)
    means = [k.T @ m for m, _ in at_points]
    covs = [KERNEL(XNEW) + k.T @ (S - K) @ k for _, S in at_points]
    return np.stack(means, 1), np.stack(covs)


@every_model
@every_L
def test_predictions_against_dense_algebra(name, L):
    data = make_data(L)
    p = make_posterior(name, L, data)
    assert p.is_finite and p.n_latent == L
    mean, cov = dense(name, L, data)
    f_mean, f_var = p.mean_and_variance(XNEW)
    np.testing.assert_allclose(f_mean, mean, rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(p.mean(XNEW), f_mean)
    variances = np.stack([np.diag(c) for c in cov], 1)
    np.testing.assert_allclose(f_var, variances, rtol=1e-7, atol=1e-9)
    f_mean, f_cov = p.mean_and_covariance(XNEW)
    assert f_cov.shape == (L, 6, 6)
    np.testing.assert_allclose(f_mean, mean, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(f_cov, cov, rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(np.einsum("lii->il", f_cov), f_var)
    np.testing.assert_allclose(p.prior_variance(XNEW), KERNEL.diag(XNEW)[None], rtol=1e-14)


@every_model
def test_a_constant_mean_is_added(name):
    data, offset = make_data(2), np.array([0.7, -30.0])
    # of Gaussian rows it is taken from y first
    shifted = data._replace(Y=data.Y + offset) if name == "exact" else data
    p, without = make_posterior(name, 2, shifted, offset), make_posterior(name, 2, data)
    (f_mean, f_var), (mean, variance) = (q.mean_and_variance(XNEW) for q in (p, without))
    for found in (f_mean, p.mean(XNEW), p.mean_and_covariance(XNEW)[0]):
        np.testing.assert_allclose(found, mean + offset, rtol=1e-10)
    np.testing.assert_array_equal(f_var, variance)
    np.testing.assert_allclose(p.mean(np.full((1, 2), 1e3))[0], offset, rtol=1e-12)


@every_L
def test_exact_model_predicts_as_sklearn(L):
    data = make_data(L)
    noise = (NOISE + ROW_NOISE) / WEIGHTS
    exact = GaussianProcessRegressor(KERNEL, alpha=noise, optimizer=None).fit(X, data.Y)
    p = make_posterior("exact", L, data)
    f_mean, f_var = p.mean_and_variance(XNEW)
    mean, std = exact.predict(XNEW, return_std=True)
    np.testing.assert_allclose(f_mean, mean.reshape(6, L), rtol=1e-8)
    np.testing.assert_allclose(f_var, std.reshape(6, L) ** 2, rtol=1e-8)
    _, f_cov = p.mean_and_covariance(XNEW)
    _, cov = exact.predict(XNEW, return_cov=True)
    np.testing.assert_allclose(np.moveaxis(f_cov, 0, -1), cov.reshape(6, 6, L), rtol=1e-7)


@every_L
def test_left_out_is_the_error_without_the_row(L):
    data, expected = make_data(L), []
    for n in range(N):
        others = np.delete(np.arange(N), n)
        noise = ((NOISE + ROW_NOISE) / WEIGHTS)[others]
        exact = GaussianProcessRegressor(KERNEL, alpha=noise, optimizer=None)
        guess = exact.fit(X[others], data.Y[others]).predict(X[[n]])
        expected.append(data.Y[n] - guess.reshape(L))
    rows, found = make_posterior("exact", L, data).left_out()
    np.testing.assert_array_equal(rows, np.arange(N))
    np.testing.assert_allclose(found, expected, rtol=1e-8)


@every_model
@every_L
def test_chunks_change_nothing(name, L):
    p = make_posterior(name, L, make_data(L))
    many = np.tile(XNEW, (20_000, 1))  # several chunks of rows, which threads share
    whole = p.mean_and_variance(XNEW)
    for found, expected in zip(p.mean_and_variance(many), whole, strict=True):
        assert found.shape == (120_000, L)
        np.testing.assert_allclose(found[-6:], expected, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(found[60_000:60_006], expected, rtol=1e-12, atol=1e-14)
    rows = [p.mean_and_variance(x[None]) for x in XNEW]
    for found, expected in zip(zip(*rows, strict=True), whole, strict=True):
        np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-12, atol=1e-14)


@every_model
def test_far_from_the_data_the_prior_returns(name):
    p = make_posterior(name, 1, make_data(1))
    f_mean, f_var = p.mean_and_variance(np.full((1, 2), 1e3))
    np.testing.assert_allclose(f_mean, 0.0, atol=1e-12)
    np.testing.assert_allclose(f_var, 2.0, rtol=1e-12)
    assert p.explained_variance(np.full((1, 2), 1e3)) == pytest.approx(0.0, abs=1e-12)


def test_variance_is_never_negative():
    # noise of 1e-12: rounding decides the sign of what is left at the rows
    data = make_data(1, row_noise=np.full(N, 1e-12 - NOISE))
    _, f_var = make_posterior("exact", 1, data).mean_and_variance(X)
    assert np.all(f_var >= 0.0)
    np.testing.assert_allclose(f_var, 0.0, atol=1e-9)


def test_explained_variance_is_that_of_the_values_at_the_points():
    k = KERNEL(Z, XNEW)
    expected = np.sum(k * np.linalg.solve(KERNEL(Z), k), 0) / 2.0
    for name in ("collapsed", "sparse"):
        p = make_posterior(name, 2, make_data(2))
        np.testing.assert_allclose(p.explained_variance(XNEW), expected, rtol=1e-6)


def test_predicting_compiles_once():
    p = make_posterior("exact", 1, make_data(1))
    p.mean_and_variance(XNEW[:2])
    before = _compiled.n_compiled()
    for n in (1, 3, 6):
        p.mean_and_variance(XNEW[:n])
        p.mean(XNEW[:n])
        p.mean_and_covariance(XNEW[:n])
        p.explained_variance(XNEW[:n])
    assert _compiled.n_compiled() == before


def test_nothing_known_is_the_prior():
    p = nothing_known(PARSED.structure, PARSED.values, 2, 3)
    f_mean, f_cov = p.mean_and_covariance(XNEW)
    np.testing.assert_array_equal(f_mean, np.zeros((6, 3)))
    np.testing.assert_allclose(f_cov, np.stack([KERNEL(XNEW)] * 3), rtol=1e-12)
    np.testing.assert_allclose(p.mean_and_variance(XNEW)[1], np.full((6, 3), 2.0), rtol=1e-12)


# --- draws -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["exact", "sparse"])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_draws_have_the_moments(name, noise):
    p = make_posterior(name, 2, make_data(2), np.array([1.0, -2.0]))
    draws = p.draws(XNEW, 20_000, np.random.RandomState(0), noise)
    assert draws.shape == (6, 2, 20_000)
    f_mean, f_cov = p.mean_and_covariance(XNEW)
    for k in range(2):
        cov = f_cov[k] + noise * np.eye(6)
        size = np.sqrt(np.diag(cov))
        error = (draws[:, k].mean(1) - f_mean[:, k]) / size
        assert np.abs(error).max() < 4.0 / np.sqrt(20_000)
        assert np.abs((np.cov(draws[:, k]) - cov) / np.outer(size, size)).max() < 0.05
    again = p.draws(XNEW, 20_000, np.random.RandomState(0), noise)
    np.testing.assert_array_equal(draws, again)


def test_root_of_a_singular_covariance_has_its_diagonal():
    cov = KERNEL(XNEW)[[0, 0, 1, 2]][:, [0, 0, 1, 2]]
    root = covariance_root(cov, 2.0)
    np.testing.assert_allclose(root @ root.T, cov, atol=1e-12)
    np.testing.assert_allclose(np.sum(root**2, 1), np.diag(cov), rtol=1e-14)
    density = multivariate_normal(np.zeros(4), cov, allow_singular=True)
    assert np.isfinite(density.logpdf(root @ np.ones(4)))


# --- what is remembered ----------------------------------------------------------------------

EACH = CompoundKernel([RBF(0.8), Matern(0.7, nu=1.5), 2.0 * RBF(1.1)])
ONE = ConstantKernel(1.0) * RBF(1.0)


def random_natural(rng, M, L, size):
    """A q that has learned: its precision is that of the prior and something more."""
    roots = size * rng.randn(L, M, M)
    precision = np.eye(M) + roots @ np.swapaxes(roots, 1, 2)
    return Natural(size * rng.randn(M, L), -0.5 * precision)


def point_posterior(kernel, Z, q, offset=None):
    parsed, L = kernels.parse(kernel), q.nat1.shape[1]
    mean, of_mean = (Zero(), ()) if offset is None else (Constant(), (offset,))
    model = Model(Sparse(), parsed.structure, Softmax(L), L, mean)
    theta = Hyperparameters(parsed.values, (), Z, of_mean)
    return Sparse().posterior(model, theta, tuple(q), None, JITTER)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 7), st.floats(0.1, 10.0), st.booleans())
def test_memory_is_the_q_it_came_from(seed, M, size, own_kernels):
    rng = np.random.RandomState(seed)
    # spread so that the kernel matrix has a condition number of a thousand at most
    Z = np.arange(M)[:, None] + rng.uniform(-0.2, 0.2, (M, 1))
    kernel, L = (EACH, 3) if own_kernels else (ONE, 2)
    q = random_natural(rng, M, L, size)
    p = point_posterior(kernel, Z, q)
    scale = np.abs(q.nat2).max()
    np.testing.assert_allclose(p.natural.nat1, q.nat1, rtol=1e-8, atol=1e-8 * scale)
    np.testing.assert_allclose(p.natural.nat2, q.nat2, rtol=1e-8, atol=1e-9 * scale)
    memory, K = p.memory(), own_covariances(p.kernel, p.values, Z)
    for k in range(L):
        # v = Luu^-1 u: observing R'f(Z) + N(0, I) = t adds A A' to the precision and A t to nat1
        Kuu = K[k % len(K)] + JITTER * np.eye(M)
        A = np.linalg.solve(np.linalg.cholesky(Kuu), K[k % len(K)] @ memory.roots[k])
        implied = np.eye(M) + A @ A.T
        # the jitter of 1e-8 stands between u and f(Z), times a thousand
        np.testing.assert_allclose(implied, -2.0 * q.nat2[k], rtol=1e-4, atol=1e-4 * scale)
        found = A @ memory.targets[:, k]
        np.testing.assert_allclose(found, q.nat1[:, k], rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize("kernel", [ONE, EACH])
def test_memory_observes_f_with_its_mean(kernel):
    rng, offset = np.random.RandomState(5), np.array([3.0, -1.0, 0.5])
    Z = np.arange(4.0)[:, None]
    q = random_natural(rng, 4, 3, 1.0)
    memory, without = (point_posterior(kernel, Z, q, c).memory() for c in (offset, None))
    np.testing.assert_array_equal(memory.roots, without.roots)
    for k in range(3):
        moved = memory.roots[k % len(memory.roots)].sum(0) * offset[k]
        np.testing.assert_allclose(memory.targets[:, k], without.targets[:, k] + moved, rtol=1e-12)


def test_nothing_learned_is_nothing_remembered():
    q = Natural(np.zeros((4, 1)), -0.5 * np.eye(4)[None])
    memory = point_posterior(ONE, np.arange(4.0)[:, None], q).memory()
    np.testing.assert_array_equal(memory.roots, 0.0)
    np.testing.assert_array_equal(memory.targets, 0.0)


@every_L
def test_memory_of_exact_regression_is_its_rows(L):
    data = make_data(L)
    p = make_posterior("exact", L, data)
    memory, size = p.memory(), np.sqrt(WEIGHTS / (NOISE + ROW_NOISE))
    assert p.natural is None
    np.testing.assert_array_equal(memory.points, X)
    assert memory.roots.shape == (1, N, N)
    np.testing.assert_allclose(memory.roots[0], np.diag(size), rtol=1e-9)
    np.testing.assert_allclose(memory.targets, size[:, None] * data.Y, rtol=1e-9)


def test_memory_of_sites_is_the_sites():
    rng = np.random.RandomState(2)
    sites = rng.randn(N, 3), rng.uniform(0.1, 2.0, (N, 3))
    parsed = kernels.parse(CompoundKernel([ONE, Matern([0.7, 1.1], nu=1.5), RBF(1.4)]))
    model = Model(Sites(), parsed.structure, Softmax(3), 3)
    p = Sites().posterior(model, Hyperparameters(parsed.values, ()), sites, make_data(1), JITTER)
    memory = p.memory()
    assert memory.roots.shape == (3, N, N)
    for k, (mean, precision) in enumerate(zip(*(s.T for s in sites), strict=True)):
        np.testing.assert_allclose(memory.roots[k], np.diag(np.sqrt(precision)), rtol=1e-9)
        np.testing.assert_allclose(memory.targets[:, k], mean / np.sqrt(precision), rtol=1e-9)


# --- pickles ---------------------------------------------------------------------------------


@every_model
@every_L
@pytest.mark.parametrize("again", [lambda p: pickle.loads(pickle.dumps(p)), copy.deepcopy])
def test_a_copy_predicts_the_same(name, L, again):
    p = make_posterior(name, L, make_data(L), np.arange(L) + 0.5)
    same = again(p)
    assert type(same) is type(p) and vars(same).keys() == vars(p).keys()
    for a, b in zip(same.mean_and_covariance(XNEW), p.mean_and_covariance(XNEW), strict=True):
        np.testing.assert_array_equal(a, b)


def test_packed_it_holds_triangles_and_predicting_changes_nothing():
    rng = np.random.RandomState(4)
    Z = np.arange(17)[:, None] + 0.1 * rng.randn(17, 1)
    p = point_posterior(EACH, Z, random_natural(rng, 17, 3, 1.0))
    before = pickle.dumps(p.packed())
    p.mean_and_covariance(Z), p.memory(), p.draws(Z, 2, rng)
    assert pickle.dumps(p.packed()) == before
    state = p.packed()
    assert state["root"].shape == state["precision_root"].shape == (3, 17 * 18 // 2)


BROKEN = {
    "no points": ({"points": None}, "points of a posterior must be float64"),
    "float32": ({"weights": np.zeros((M, 1), np.float32)}, "weights.*float64.*float32"),
    "other points": (
        {"weights": np.zeros((M + 1, 1))},
        r"weights.*\(5, any\).*\(6, 1\)",
    ),
    "too small": ({"root": np.zeros((1, 3))}, r"root.*\(any, 15\).*\(1, 3\)"),
    "not finite": ({"precision_root": np.full((1, 15), np.nan)}, "precision_root.*not finite"),
    "two matrices": ({"root": np.zeros((2, 15))}, "root.*2 matrices for 1 functions"),
    "another part": ({"extra": 1}, "other parts than"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_state_is_refused(name):
    change, message = BROKEN[name]
    p = make_posterior("sparse", 1, make_data(1))
    state, given = p.packed(), (p.kernel, p.values, p.mean_function)
    with pytest.raises(ValueError, match=message):
        unpacked(state | change, *given)
    lost = {k: v for k, v in state.items() if k != "root"}
    with pytest.raises(ValueError, match="other parts than"):
        unpacked(lost, *given)
