from __future__ import annotations

import numpy as np
import pytest
from reference import random_covariance

from skgpng._inference.projection import Projection
from skgpng._runtime import tf

# M and N: small, and large enough for blocks, tiles and threads
sizes = pytest.mark.parametrize("M, N", [(5, 7), (130, 3000)], ids=["small", "tiles"])
# latent functions, and the covariances among them
latents = pytest.mark.parametrize("L, shared", [(1, 1), (3, 3), (3, 1)])
algebra = pytest.mark.parametrize("blas", [False, True], ids=["tensors", "arrays"])


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


def evaluate(blas, n):
    """Everything that the formulas give, as arrays."""
    by, n = Projection(blas), {name: tf.constant(value) for name, value in n.items()}
    L_inv = by.whiten_prior(n["Kuu"])
    f = by.factors(L_inv, n["nat1"], n["nat2"])
    A, reduced, f_mean, f_var = by.project(f, n["Kuf"], n["Kff_diag"])
    from_A = by.project(f, n["Kuf"], n["Kff_diag"], A)
    Kuf_bar, sums = by.pull_back(f, A, reduced, n["g_mean"], n["g_var"])
    again, known = by.pull_back(f, A, reduced, n["g_mean"], n["g_var"], sums.cov)
    np.testing.assert_allclose(again, Kuf_bar, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(known.mean, sums.mean, rtol=1e-12, atol=1e-12)
    assert known.cov is sums.cov
    whitened = by.whiten_and_sum(L_inv, n["Kuf"], n["precision"], n["Y"])
    found = {
        **f._asdict(),
        **dict(zip(("A", "reduced", "f_mean", "f_var"), (A, reduced, f_mean, f_var))),
        **dict(zip(("A again", "reduced again", "f_mean again", "f_var again"), from_A)),
        "Kuf_bar": Kuf_bar,
        **{f"sums.{name}": value for name, value in sums._asdict().items()},
        **dict(zip(("whitened", "nat1", "gram"), whitened)),
        "Kuu_bar": by.prior_gradient(f, sums),
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
def test_every_formula_against_numpy(M, N, L, shared, signs, blas):
    n = numbers(M, N, L, shared, signs)
    assert_all_close(evaluate(blas, n), by_numpy(n), rtol=1e-10)


@latents
def test_tensors_and_arrays_in_float32(L, shared):
    # Kuf is float32, and with it what has N columns; q and the sums are float64
    n = numbers(130, 3000, L, shared)
    double = evaluate(True, n)
    n |= {name: n[name].astype(np.float32) for name in ("Kuf", "Kff_diag")}
    for blas in (False, True):
        single = evaluate(blas, n)
        of_columns = {"A", "reduced", "A again", "reduced again", "Kuf_bar", "whitened"}
        for name, value in single.items():
            assert value.dtype == (np.float32 if name in of_columns else np.float64), name
        # sums of 130 and of 3000 rounded terms; what is compared has its largest entry for a unit
        assert_all_close(single, double, rtol=1e-4)


@algebra
@pytest.mark.parametrize("M", [5, 130])
@pytest.mark.parametrize("name", ["Kuu", "nat2"])
def test_what_is_not_positive_definite_is_nan_everywhere_after(M, name, blas):
    n = numbers(M, 3 * M, 2, 2)
    n[name][..., 2, 2] = -abs(n[name][..., 2, 2]) if name == "Kuu" else 0.5
    found = evaluate(blas, n)
    for part in ("f_mean", "f_var", "Kuf_bar", "Kuu_bar", "prior_kl" if name == "nat2" else "A"):
        assert np.isnan(found[part]).any(), part


@pytest.mark.parametrize("shared", [1, 3])
def test_factors_of_one_latent_function(shared):
    n = {name: tf.constant(v) for name, v in numbers(5, 7, 3, shared).items()}
    by = Projection()
    f = by.factors(by.whiten_prior(n["Kuu"]), n["nat1"], n["nat2"])
    _, reduced, f_mean, f_var = by.project(f, n["Kuf"], n["Kff_diag"])
    for k in range(3):
        _, *own = by.project(f.of_latent(k), n["Kuf"], n["Kff_diag"])
        for all_latents, one in zip((reduced, f_mean, f_var), own, strict=True):
            expected = all_latents[k if len(all_latents) > 1 else 0]
            np.testing.assert_allclose(one[0], expected, rtol=1e-12)


@latents
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_results_have_the_known_sizes_in_a_graph(L, shared, dtype):
    # known sizes of 1 spare transposes, also of what NumPy computes
    n = numbers(5, 7, L, shared)
    n |= {name: n[name].astype(dtype) for name in ("Kuf", "Kff_diag")}
    unknown = {"Kuu": [None] * 2, "Kuf": [None] * 2, "Kff_diag": [None], "nat1": [None, L]}
    unknown |= {"nat2": [shared, None, None], "g_mean": [L, None], "g_var": [shared, None]}
    shapes = []

    def graph(Kuu, Kuf, Kff_diag, nat1, nat2, g_mean, g_var):
        for blas in (False, True):
            by = Projection(blas)
            f = by.factors(by.whiten_prior(Kuu), nat1, nat2)
            A, reduced, f_mean, f_var = by.project(f, Kuf, Kff_diag)
            pulled = by.pull_back(f, A, reduced, g_mean, g_var)
            found = tf.nest.flatten((f, A, reduced, f_mean, f_var, pulled))
            shapes.append([(t.dtype, t.shape.as_list()) for t in found])
        return f_mean

    signature = [tf.TensorSpec(shape, n[name].dtype) for name, shape in unknown.items()]
    tf.function(graph, input_signature=signature).get_concrete_function()
    assert shapes[0] == shapes[1]
    assert [L, None] in [shape for _, shape in shapes[1]]
