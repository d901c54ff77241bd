from __future__ import annotations

import numpy as np
import pytest
import reference
from reference import JITTER
from skgpng.training import MAX_ITER, Data, Result, Structure
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern

from skgpng import kernels, posterior
from skgpng.gaussians import MeanSqrt, mean_sqrt_to_natural
from skgpng.likelihoods import Bernoulli, Gaussian
from skgpng.models import Hyperparameters

N, M, NOISE = 14, 5, 0.1
KERNEL = ConstantKernel(1.5) * Matern([0.8, 1.2], nu=2.5) + 0.5 * RBF(0.4)
PARSED = kernels.parse(KERNEL)

rng = np.random.RandomState(22)
X, Z, XNEW = rng.randn(N, 2), rng.randn(M, 2), rng.randn(6, 2)
WEIGHTS, ROW_NOISE = rng.uniform(0.5, 2.0, N), rng.uniform(0.0, 0.2, N)

MODELS = ["gpr", "sgpr", "vgp", "svgp"]
every_model = pytest.mark.parametrize("model", MODELS)
every_L = pytest.mark.parametrize("L", [1, 2], ids=["one latent", "two latent"])


def make_data(L, weights=WEIGHTS, row_noise=ROW_NOISE):
    Y = np.random.RandomState(23).randn(N, L)
    return Data(X, Y, weights, row_noise, X.std(0))


def variational(model, L):
    """Some q, not the best one."""
    rng = np.random.RandomState(24)
    if model == "vgp":
        return rng.randn(N, L), rng.uniform(0.1, 5.0, (N, L))
    if model == "svgp":
        return tuple(
            t.numpy() for t in mean_sqrt_to_natural(MeanSqrt(*reference.random_q(rng, M, L)))
        )
    if model == "sgpr":
        return best_q(L)
    return ()


def best_q(L):
    """First natural parameter [M, L] of the collapsed bound, and the second that targets share."""
    data = make_data(L)
    Luu_inv = np.linalg.inv(np.linalg.cholesky(KERNEL(Z) + 2.0 * JITTER * np.eye(M)))
    A = Luu_inv @ KERNEL(Z, X)
    precision = data.weights / (NOISE + data.row_noise)
    return A * precision @ data.Y, -0.5 * (np.eye(M) + A * precision @ A.T)[None]


def make_posterior(model, L, data):
    conjugate = model in ("gpr", "sgpr")
    structure = Structure(
        model=model,
        kernel=PARSED.structure,
        likelihood=Gaussian() if conjugate else Bernoulli(),
        train_likelihood=(True,) * conjugate,
        train_inducing=model in ("sgpr", "svgp"),
        minibatch=False,
        n_latent=L,
        dtype="float64",
    )
    inducing = Z if structure.train_inducing else ()
    theta = Hyperparameters(PARSED.values, (np.array(NOISE),) * conjugate, inducing)
    result = Result(theta, variational(model, L), np.zeros(1), MAX_ITER)
    return posterior.posterior(structure, result, data, 0.0 if model == "gpr" else JITTER)


def dense(model, L, data):
    """Mean [Nnew, L] and covariance [L, Nnew, Nnew] by inverting everything."""
    noise = (NOISE + data.row_noise) / data.weights
    if model == "gpr":
        mean, cov = reference.predict_exact(KERNEL, X, data.Y, noise, XNEW)
        return mean, np.stack([cov] * L)
    points = X if model == "vgp" else Z
    # jitter is in units of the prior variance, 2
    K = KERNEL(points) + (0.0 if model == "vgp" else 2.0 * JITTER) * np.eye(len(points))
    K_inv = np.linalg.inv(K)
    if model == "vgp":
        site_mean, precision = variational("vgp", L)
        covs = [np.linalg.inv(K_inv + np.diag(p)) for p in precision.T]
        at_points = [(S @ b, S) for S, b in zip(covs, site_mean.T, strict=True)]
    elif model == "svgp":
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


def predict(function, p, Xnew=XNEW):
    return function(PARSED.structure, PARSED.values, p, Xnew)


@every_model
@every_L
def test_predictions_against_dense_algebra(model, L):
    data = make_data(L)
    p = make_posterior(model, L, data)
    assert all(isinstance(a, np.ndarray) for a in p)
    mean, cov = dense(model, L, data)
    f_mean, f_var = predict(posterior.mean_and_variance, p)
    np.testing.assert_allclose(f_mean, mean, rtol=1e-7, atol=1e-9)
    variances = np.stack([np.diag(c) for c in cov], 1)
    np.testing.assert_allclose(f_var, variances, rtol=1e-7, atol=1e-9)
    f_mean, f_cov = predict(posterior.mean_and_covariance, p)
    assert f_cov.shape == (L, 6, 6)
    np.testing.assert_allclose(f_mean, mean, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(f_cov, cov, rtol=1e-7, atol=1e-9)


@every_L
def test_exact_model_predicts_as_sklearn(L):
    data = make_data(L)
    noise = (NOISE + ROW_NOISE) / WEIGHTS
    exact = GaussianProcessRegressor(KERNEL, alpha=noise, optimizer=None).fit(X, data.Y)
    p = make_posterior("gpr", L, data)
    f_mean, f_var = predict(posterior.mean_and_variance, p)
    mean, std = exact.predict(XNEW, return_std=True)
    np.testing.assert_allclose(f_mean, mean.reshape(6, L), rtol=1e-8)
    np.testing.assert_allclose(f_var, std.reshape(6, L) ** 2, rtol=1e-8)
    _, f_cov = predict(posterior.mean_and_covariance, p)
    _, cov = exact.predict(XNEW, return_cov=True)
    np.testing.assert_allclose(np.moveaxis(f_cov, 0, -1), cov.reshape(6, 6, L), rtol=1e-7)


def test_vgp_with_the_sites_of_a_gaussian_is_exact():
    data = make_data(1)
    gpr = make_posterior("gpr", 1, data)
    precision = WEIGHTS / (NOISE + ROW_NOISE)
    structure = Structure("vgp", PARSED.structure, Gaussian(), (True,), False, False, 1, "float64")
    sites = precision[:, None] * data.Y, precision[:, None]
    theta = Hyperparameters(PARSED.values, (np.array(NOISE),))
    vgp = posterior.posterior(structure, Result(theta, sites, np.zeros(1), MAX_ITER), data, JITTER)
    for a, b in zip(
        predict(posterior.mean_and_covariance, vgp),
        predict(posterior.mean_and_covariance, gpr),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@every_model
@every_L
@pytest.mark.parametrize("rows", [1, 4])
def test_chunks_change_nothing(model, L, rows, monkeypatch):
    p = make_posterior(model, L, make_data(L))
    whole = predict(posterior.mean_and_variance, p)
    seen = []

    def chunks(X, rows, original=posterior._chunks):
        for chunk in original(X, rows):
            seen.append(len(chunk))
            yield chunk

    n_matrices = max(len(p.root), len(p.precision_root))
    monkeypatch.setattr(posterior, "_CHUNK", rows * len(p.points) * n_matrices)
    monkeypatch.setattr(posterior, "_chunks", chunks)
    for a, b in zip(predict(posterior.mean_and_variance, p), whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    assert seen == ([1] * 6 if rows == 1 else [4, 2])


def test_a_chunk_holds_one_row_at_least(monkeypatch):
    p = make_posterior("gpr", 1, make_data(1))
    whole = predict(posterior.mean_and_variance, p)
    monkeypatch.setattr(posterior, "_CHUNK", 1)
    np.testing.assert_allclose(predict(posterior.mean_and_variance, p), whole, rtol=1e-12)


@every_model
def test_far_from_the_data_the_prior_returns(model):
    p = make_posterior(model, 1, make_data(1))
    f_mean, f_var = predict(posterior.mean_and_variance, p, np.full((1, 2), 1e3))
    np.testing.assert_allclose(f_mean, 0.0, atol=1e-12)
    np.testing.assert_allclose(f_var, 2.0, rtol=1e-12)


def test_variance_is_never_negative():
    # noise of 1e-12: rounding decides the sign of what is left at the rows
    data = make_data(1, row_noise=np.full(N, 1e-12 - NOISE))
    _, f_var = predict(posterior.mean_and_variance, make_posterior("gpr", 1, data), X)
    assert np.all(f_var >= 0.0)
    np.testing.assert_allclose(f_var, 0.0, atol=1e-9)


def test_predicting_compiles_once():
    p = make_posterior("gpr", 1, make_data(1))
    predict(posterior.mean_and_variance, p, XNEW[:2])
    before = posterior._compiled.n_compiled()
    for n in (1, 3, 6):
        predict(posterior.mean_and_variance, p, XNEW[:n])
    assert posterior._compiled.n_compiled() == before
