from __future__ import annotations

import numpy as np
import pytest
import reference
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    Matern,
    WhiteKernel,
)

from skgpng import gaussians, kernels, models, optimizers, steps, training
from skgpng._tensorflow import tf
from skgpng.likelihoods import Bernoulli, Gaussian
from skgpng.models import Hyperparameters
from skgpng.training import Data, Settings, Structure

N, M, JITTER = 20, 5, 1e-8
KERNEL = ConstantKernel(1.0) * RBF(0.8)
WIDE = (1e-5, 1e5)

# Every structure costs a compilation of seconds, so the tests share the few of this file.
MODELS = {
    "gpr": ("gpr", False, Gaussian()),
    "sgpr": ("sgpr", False, Gaussian()),
    "vgp": ("vgp", False, Gaussian()),
    "svgp": ("svgp", False, Gaussian()),
    "svgp minibatch": ("svgp", True, Gaussian()),
    "vgp labels": ("vgp", False, Bernoulli()),
}
every_model = pytest.mark.parametrize("name", MODELS)
full_batch = pytest.mark.parametrize("name", [n for n in MODELS if n != "svgp minibatch"])


def make_data(N=N, D=2, labels=False, seed=20):
    rng = np.random.RandomState(seed)
    X = rng.uniform(-2.0, 2.0, (N, D))
    y = np.sin(2.0 * X[:, 0]) + 0.2 * rng.randn(N)
    Y = (y > 0).astype(float)[:, None] if labels else y[:, None]
    return Data(X, Y, np.ones(N), np.zeros(N), X.std(0))


def make_structure(name, kernel=KERNEL, free=True, inducing=True, n_latent=1, **changes):
    model, minibatch, likelihood = MODELS[name]
    structure = Structure(
        model=model,
        kernel=kernels.parse(kernel).structure,
        likelihood=likelihood,
        train_likelihood=(free,) * len(likelihood.parameter_names),
        train_inducing=inducing and model in ("sgpr", "svgp"),
        minibatch=minibatch,
        n_latent=n_latent,
        dtype="float64",
    )
    return structure._replace(**changes)


def make_settings(**changes):
    numbers = {
        "gamma": 1.0,
        "gamma_ramp": 1.0,
        "warm_up": 0,
        "learning_rate": 0.05,
        "max_iter": 25,
        "n_iter_no_change": 1000,
        "n_plateaus": 3,
        "tol": 1e-6,
        "batch_size": 10,
        "jitter": JITTER,
        "seed": np.array([1, 2]),
    }
    return Settings(**(numbers | changes))


def start_of_q(model, N, M, L=1):
    if model == "vgp":
        return np.zeros((N, L)), np.full((N, L), steps.SITE_FLOOR)
    if model == "gpr":
        return ()
    n_matrices = 1 if model == "sgpr" else L  # its targets share their covariance
    return np.zeros((M, L)), np.stack([-0.5 * np.eye(M)] * n_matrices)


def run(
    name,
    data=None,
    *,
    M=M,
    kernel=KERNEL,
    noise=0.2,
    bounds=WIDE,
    structure=None,
    q=None,
    Z=None,
    first=None,
    **numbers,
):
    structure = structure or make_structure(name, kernel)
    has_noise = isinstance(structure.likelihood, Gaussian)
    data = data or make_data(labels=not has_noise)
    parsed = kernels.parse(kernel)
    own = data.X[:M].astype(np.float64) + 0.01 if structure.model in ("sgpr", "svgp") else ()
    Z = Z if Z is not None else own
    theta = Hyperparameters(parsed.values, (np.array(noise),) if has_noise else (), Z)
    limits = tuple(np.broadcast_to(bounds, (*v.shape, 2)) for v in theta.kernel + theta.likelihood)
    # what is fixed has its value for bounds
    limits = (
        tuple(limit if p.free else p.bounds for p, limit in zip(parsed.parameters, limits))
        + limits[len(parsed.parameters) :]
    )
    if q is None:
        q = start_of_q(structure.model, len(data.X), M, structure.n_latent)
    settings = make_settings(**numbers)
    return training.train(structure, theta, q, limits, data, settings, first=first)


def assert_same_run(a, b, rtol=1e-7):
    np.testing.assert_allclose(a.elbo_curve, b.elbo_curve, rtol=rtol)
    for x, y in zip(tf.nest.flatten(a.theta), tf.nest.flatten(b.theta), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-9)


# --- it begins on other rows -----------------------------------------------------------------


@pytest.mark.parametrize("n_steps", [5, 16, 20])
def test_first_steps_on_the_same_rows_change_nothing(n_steps):
    data = make_data()
    assert_same_run(run("svgp", data, first=(data, n_steps)), run("svgp", data), rtol=0)


def test_first_steps_take_their_own_rows_and_the_others_go_on():
    data = make_data()
    other = make_data(8, seed=21)._replace(X_scale=data.X_scale)
    result = run("svgp", data, first=(other, 7), gamma=0.5)
    begin = run("svgp", other, Z=data.X[:M] + 0.01, gamma=0.5, max_iter=7)
    np.testing.assert_allclose(result.elbo_curve[:7], begin.elbo_curve, rtol=1e-7)
    whole = run("svgp", data, gamma=0.5, max_iter=100)
    assert len(result.elbo_curve) == 25 and result.elbo_curve[-1] > whole.elbo_curve[25] - 0.5


def test_first_steps_do_not_end_a_training():
    data = make_data()
    patience = {"n_iter_no_change": 1, "tol": 1e3, "n_plateaus": 1}
    assert run("svgp", data, **patience).status == training.CONVERGED
    result = run("svgp", data, first=(data, 12), max_iter=40, **patience)
    assert result.status == training.CONVERGED and len(result.elbo_curve) == 14
    assert len(run("svgp", data, first=(data, 50)).elbo_curve) == 25  # max_iter


def test_rows_that_are_harder_than_the_first_ones_are_no_failure():
    """An ELBO that falls by 0.5 nats per row is one, where the rows stay the same."""
    data = make_data()
    easy = data._replace(Y=np.zeros_like(data.Y))
    result = run("svgp", data, first=(easy, 12), max_iter=40)
    fall = result.elbo_curve[11] - result.elbo_curve[12]
    assert fall > 0.5 * N and result.report.n_rejected == 0 and len(result.elbo_curve) == 40


# --- it trains -------------------------------------------------------------------------------


@every_model
def test_training_improves_the_elbo(name):
    minibatch = MODELS[name][1]
    result = run(name, max_iter=40, gamma=0.3 if minibatch else 1.0)
    assert result.status == training.MAX_ITER
    assert result.elbo_curve.shape == (40,)
    assert np.all(np.isfinite(result.elbo_curve))
    # minibatches are noisy: their average over an epoch has to rise
    assert result.elbo_curve[-2:].mean() > result.elbo_curve[:2].mean() + 1.0
    for leaf in tf.nest.flatten(result):
        assert isinstance(leaf, np.ndarray | np.generic)


@full_batch
def test_the_result_is_the_state_of_the_last_elbo(name):
    # Training on from the result must begin with the ELBO it ended with.
    result = run(name)
    data = make_data(labels=not result.theta.likelihood)
    limits = (np.array(WIDE),) * len(result.theta.kernel + result.theta.likelihood)
    again = training.train(
        make_structure(name),
        result.theta,
        result.variational,
        limits,
        data,
        make_settings(max_iter=1),
    )
    np.testing.assert_allclose(again.elbo_curve[0], result.elbo_curve[-1], rtol=1e-9)


def test_gpr_finds_the_optimum_of_sklearn():
    data = make_data()
    result = run("gpr", max_iter=400)
    kernel = KERNEL + WhiteKernel(0.2)
    exact = GaussianProcessRegressor(kernel).fit(data.X, data.Y[:, 0])
    optimum = exact.log_marginal_likelihood_value_
    np.testing.assert_allclose(result.elbo_curve[-1], optimum, atol=1e-4)
    found = [np.log(v) for v in (*result.theta.kernel, *result.theta.likelihood)]
    np.testing.assert_allclose(found, exact.kernel_.theta, atol=0.02)  # where 400 steps lead


def test_vgp_with_full_steps_becomes_gpr():
    data, held = make_data(), {"learning_rate": 0.0, "max_iter": 3}
    vgp, gpr = run("vgp", **held), run("gpr", **held)
    evidence = reference.log_evidence(KERNEL(data.X), data.Y, 0.2)
    # the first ELBO is that of the start of q; one step later q is exact
    np.testing.assert_allclose(vgp.elbo_curve[1:], evidence, rtol=1e-9)
    np.testing.assert_allclose(gpr.elbo_curve, evidence, rtol=1e-9)
    vgp, gpr = run("vgp", max_iter=400), run("gpr", max_iter=400)
    np.testing.assert_allclose(vgp.elbo_curve[-1], gpr.elbo_curve[-1], atol=1e-4)


@pytest.mark.parametrize("name", ["gpr", "sgpr", "vgp", "svgp"])
def test_two_columns_are_two_models_with_common_hyperparameters(name):
    data, L = make_data(), 2
    data = data._replace(Y=np.concatenate([data.Y, np.cos(data.X[:, :1])], 1))
    held = {"learning_rate": 0.0, "max_iter": 2}
    both = run(name, data, structure=make_structure(name, n_latent=L), **held)
    each = [run(name, data._replace(Y=data.Y[:, [k]]), **held) for k in range(L)]
    total = sum(result.elbo_curve for result in each)
    np.testing.assert_allclose(both.elbo_curve, total, rtol=1e-9)
    for k, leaf in enumerate(both.variational):
        alone = [result.variational[k] for result in each]
        if L not in leaf.shape:  # targets of the collapsed bound share their covariance
            assert name == "sgpr" and leaf.shape == (1, M, M)
            for own in alone:
                np.testing.assert_allclose(leaf, own, rtol=1e-9, atol=1e-12)
            continue
        columns = np.concatenate(alone, leaf.shape.index(L))
        np.testing.assert_allclose(leaf, columns, rtol=1e-9, atol=1e-12)


def test_svgp_with_full_steps_becomes_sgpr():
    held = {"learning_rate": 0.0, "max_iter": 3}
    svgp, sgpr = run("svgp", **held), run("sgpr", **held)
    np.testing.assert_allclose(svgp.elbo_curve[1:], sgpr.elbo_curve[1:], rtol=1e-8)


# --- the collapsed path is the loop of explicit steps ----------------------------------------


def interleaved(covariances, theta, q, data, n_steps, learning_rate=0.05):
    """Natural-gradient step of gamma = 1 on q, then an Adam step on the logarithms, by hand."""
    n_positive = len(theta.kernel + theta.likelihood)

    def constrain(u):
        return [np.exp(v) for v in u[:n_positive]] + [v * data.X_scale for v in u[n_positive:]]

    def chain(gradients, values):
        return [g * v for g, v in zip(gradients[:n_positive], values)] + [
            g * data.X_scale for g in gradients[n_positive:]
        ]

    flat = tf.nest.flatten(theta)
    u = [np.log(v) for v in flat[:n_positive]] + [Z / data.X_scale for Z in flat[n_positive:]]
    state, curve = optimizers.adam_init(u), []
    for _ in range(n_steps):
        values = constrain([np.asarray(v) for v in u])
        theta = tf.nest.pack_sequence_as(theta, values)
        _, _, g_q = models.elbo_and_gradients(covariances, theta, q, Gaussian(), data.Y)
        q = optimizers.natural_gradient(q, g_q, 1.0)
        value, g, _ = models.elbo_and_gradients(covariances, theta, q, Gaussian(), data.Y)
        curve.append(float(value))
        u, state = optimizers.adam_update(
            u, chain(tf.nest.flatten(g), values), state, learning_rate
        )
    return theta, np.array(curve)


@pytest.mark.parametrize("name", ["gpr", "sgpr"])
def test_collapsed_path_equals_explicit_steps(name):
    kernel = ConstantKernel(1.0) * RBF([0.8, 1.2]) + DotProduct(0.5)
    data, n_steps = make_data(), 15
    result = run(name, data, kernel=kernel, max_iter=n_steps)
    parsed = kernels.parse(kernel)
    structure, values = parsed.structure, parsed.values
    n, of = (N, models.vgp_covariances) if name == "gpr" else (M, models.svgp_covariances)
    Z = () if name == "gpr" else data.X[:M] + 0.01
    theta, curve = interleaved(
        lambda theta: of(structure, theta, data.X, JITTER),
        Hyperparameters(values, (np.array(0.2),), Z),
        gaussians.standard_normal(n),
        data,
        n_steps,
    )
    # exact regression has no jitter, VGP has: 1e-8 / noise and what training makes of it
    np.testing.assert_allclose(result.elbo_curve, curve, rtol=1e-6)
    for a, b in zip(tf.nest.flatten(result.theta), tf.nest.flatten(theta), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_vgp_gradient_at_the_best_sites_is_that_of_the_evidence():
    # Adam does not see the size of a gradient, so training alone would not show a wrong factor.
    data = make_data()._replace(weights=np.linspace(0.5, 2.0, N), row_noise=np.linspace(0, 0.1, N))
    theta = Hyperparameters(kernels.parse(KERNEL).values, (np.array(0.2),))
    theta, data = tf.nest.map_structure(tf.constant, (theta, data))
    precision = (data.weights / (0.2 + data.row_noise))[:, None]
    settings = make_settings()
    best = precision * data.Y, precision
    value, gradient, _, q, _ = steps.STEPS["vgp"](
        make_structure("vgp"), theta, best, data, settings, 1.0
    )
    without = settings._replace(jitter=0.0)
    exact, expected, *_ = steps.STEPS["gpr"](make_structure("gpr"), theta, (), data, without, 1.0)
    np.testing.assert_allclose(value, exact, rtol=1e-10)
    for a, b in zip(tf.nest.flatten(gradient), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8)
    for a, b in zip(q, best, strict=True):  # and a full step stays there
        np.testing.assert_allclose(a, b, rtol=1e-8)


# --- what is held ----------------------------------------------------------------------------


def test_fixed_parameters_stay():
    kernel = ConstantKernel(1.3, "fixed") * RBF([0.8, 1.2])
    structure = make_structure("sgpr", kernel, free=False, inducing=False)
    result = run("sgpr", structure=structure, kernel=kernel)
    np.testing.assert_allclose(result.theta.kernel[0], 1.3, rtol=1e-14)
    np.testing.assert_allclose(result.theta.likelihood[0], 0.2, rtol=1e-14)
    np.testing.assert_allclose(result.theta.inducing_points, make_data().X[:M] + 0.01, rtol=1e-14)
    assert np.all(np.abs(result.theta.kernel[1] - [0.8, 1.2]) > 0.01)


def test_bounds_of_each_length_scale():
    kernel = ConstantKernel(1.3, "fixed") * RBF([0.8, 1.2])
    structure = make_structure("sgpr", kernel, free=False, inducing=False)
    free = run("sgpr", structure=structure, kernel=kernel, max_iter=60).theta.kernel[1]
    data = make_data()
    theta = Hyperparameters(kernels.parse(kernel).values, (np.array(0.2),), data.X[:M] + 0.01)
    # room on one side of the start for the first column, on the other for the second
    tight = np.sort([[0.8, 0.5 * (0.8 + free[0])], [1.2, 1.2 / free[1] * 1.2]], 1)
    limits = (np.array([1.3, 1.3]), tight, np.array([0.2, 0.2]))
    settings = make_settings(max_iter=60)
    q = start_of_q("sgpr", N, M)
    result = training.train(structure, theta, q, limits, data, settings)
    found = result.theta.kernel[1]
    assert np.all((tight[:, 0] <= found * (1 + 1e-12)) & (found <= tight[:, 1] * (1 + 1e-12)))
    np.testing.assert_allclose(found[1], 1.2, rtol=1e-12)  # pushed against its start
    assert abs(found[0] - 0.8) > 0.01


def test_a_value_fixed_at_zero():
    kernel = ConstantKernel(0.0, "fixed") + RBF(0.8)
    data = make_data()._replace(row_noise=np.full(N, 0.1))
    structure = make_structure("gpr", kernel, free=False)
    theta = Hyperparameters(kernels.parse(kernel).values, (np.array(0.0),))
    limits = (np.zeros(2), np.array(WIDE), np.zeros(2))
    result = training.train(structure, theta, (), limits, data, make_settings())
    assert result.status == training.MAX_ITER
    assert result.theta.kernel[0] == 0.0
    assert result.theta.likelihood[0] == 0.0
    expected = reference.log_evidence(RBF(0.8)(data.X), data.Y, 0.1)
    np.testing.assert_allclose(result.elbo_curve[0], expected, rtol=1e-9)


@full_batch
def test_bounds_are_respected(name):
    result = run(name, bounds=(0.79, 1.01), noise=0.8, learning_rate=0.5)
    for value in (*result.theta.kernel, *result.theta.likelihood):
        assert 0.79 * (1 - 1e-12) <= value <= 1.01 * (1 + 1e-12)
    assert any(np.isclose(v, (0.79, 1.01)).any() for v in result.theta.kernel)


def test_warm_up_holds_the_hyperparameters():
    # the result is the state of the last ELBO, so the first move shows at the eighth step
    held, moved = (run("vgp", warm_up=6, max_iter=n, gamma=0.5) for n in (7, 8))
    np.testing.assert_allclose(held.theta.kernel, (1.0, 0.8), rtol=1e-14)
    assert abs(moved.theta.kernel[1] - 0.8) > 1e-4
    assert np.all(np.diff(held.elbo_curve) > 0.0)


def test_gamma_grows_from_a_hundredth():
    settings = make_settings(gamma=np.float64(0.5), gamma_ramp=np.float64(5.0))
    found = [float(training._gamma(settings, step)) for step in range(8)]
    expected = np.append(np.geomspace(0.005, 0.5, 6)[1:], [0.5] * 3)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


# --- how it ends -----------------------------------------------------------------------------


def test_converges_after_three_plateaus():
    result = run("gpr", tol=1e6, n_iter_no_change=4, max_iter=100)
    assert result.status == training.CONVERGED
    assert len(result.elbo_curve) == 1 + 3 * 4


@every_model
def test_settles_at_the_optimum(name):
    minibatch = MODELS[name][1]
    result = run(
        name, max_iter=2000, tol=1e-5, n_iter_no_change=15, gamma=0.1 if minibatch else 1.0
    )
    assert result.status == training.CONVERGED
    if not minibatch:
        assert result.elbo_curve[-1] > result.elbo_curve.max() - 1e-2


@full_batch
def test_a_step_too_far_is_taken_back(name):
    # One step of Adam moves each logarithm by the learning rate: to exp(1e3), which is infinite.
    hot = {"learning_rate": 1e3, "bounds": (0.0, np.inf), "warm_up": 2}
    result = run(name, **hot, max_iter=40)
    assert result.report.n_rejected > 0
    assert np.all(np.isfinite(result.elbo_curve))
    assert 3 < len(result.elbo_curve) <= 40 - result.report.n_rejected
    for leaf in tf.nest.flatten((result.theta, result.variational)):
        assert np.all(np.isfinite(leaf))
    # as long as nothing fails it is the same training
    few = run(name, **hot, max_iter=3)
    np.testing.assert_allclose(few.elbo_curve, result.elbo_curve[:3], rtol=1e-14)
    assert few.report.n_rejected == 0


@full_batch
def test_what_fails_again_and_again_ends_with_the_last_good_state(name):
    hot = {"learning_rate": 1e300, "bounds": (0.0, np.inf), "warm_up": 2}
    result = run(name, **hot)
    assert result.status == training.NON_FINITE
    assert result.report.n_rejected == 1 + training._MOST_FAILURES
    # every failure but the last was followed by another visit to the good state
    assert len(result.elbo_curve) == 3 + training._MOST_FAILURES
    assert result.report.jitter == (0.0 if MODELS[name][0] in ("gpr", "vgp") else JITTER)
    good = run(name, **hot, max_iter=3)
    for a, b in zip(tf.nest.flatten(result.theta), tf.nest.flatten(good.theta), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)


@full_batch
def test_non_finite_from_the_start(name):
    structure = make_structure(name)
    data = make_data(labels=not structure.likelihood.parameter_names)
    data.X[3, 0] = np.nan
    result = run(name, data, max_iter=30)
    assert result.status == training.NON_FINITE
    assert len(result.elbo_curve) == 0
    np.testing.assert_allclose(result.theta.kernel, (1.0, 0.8), rtol=1e-14)


@pytest.mark.parametrize("name", ["sgpr", "svgp", "svgp minibatch"])
def test_jitter_grows_only_where_it_must(name):
    assert run(name, jitter=1e-6).report.jitter == 1e-6
    together = np.zeros((M, 2))  # inducing points in one place, which 1e-17 cannot part
    result = run(name, Z=together, jitter=1e-17, learning_rate=1e-3, max_iter=30)
    assert 1e-17 < result.report.jitter <= 1e-8
    assert result.report.n_rejected == 0
    assert len(result.elbo_curve) < 30 and np.all(np.isfinite(result.elbo_curve))


def test_jitter_of_exact_regression_begins_at_zero():
    assert run("gpr").report.jitter == 0.0
    data = make_data()
    data = data._replace(X=np.zeros_like(data.X))  # equal rows, next to no noise
    result = run("gpr", data, noise=1e-18, bounds=(1e-18, 1e-18), max_iter=30)
    assert 0.0 < result.report.jitter <= 1e-8
    assert len(result.elbo_curve) < 30


# --- compiled once ---------------------------------------------------------------------------


@every_model
def test_one_trace_for_all_sizes_and_numbers(name):
    structure = make_structure(name)
    labels = not structure.likelihood.parameter_names
    run(name)
    before = training.n_compiled()
    run(name, make_data(13, 1, labels), M=3, gamma=0.5, learning_rate=0.01, max_iter=3)
    run(name, make_data(31, 4, labels), M=7, jitter=1e-4, tol=0.1, gamma_ramp=3.0, batch_size=4)
    assert make_structure(name) == structure  # built anew, found again
    assert training.n_compiled() == before


@pytest.mark.parametrize("name", ["sgpr", "svgp", "svgp minibatch"])
@pytest.mark.parametrize("X_dtype", ["float64", "float32"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_float32(name, X_dtype, dtype):
    gamma = 0.3 if MODELS[name][1] else 1.0
    data = make_data()
    data = data._replace(X=data.X.astype(X_dtype))
    structure = make_structure(name, dtype=dtype, X_dtype=X_dtype)
    found = run(name, data, structure=structure, gamma=gamma)
    for leaf in tf.nest.flatten((found.theta, found.variational, found.elbo_curve)):
        assert leaf.dtype == np.float64
    rows = data._replace(X=data.X.astype(np.float64))
    double = run(name, rows, gamma=gamma)
    if dtype == "float64":  # rows are stored in float32 only
        return assert_same_run(found, double, rtol=1e-9)
    # Seven digits; L^-1 with the condition number of Kuu (about 100) takes two of them. Training
    # ends where the gradients say, so what they lack shows in every value.
    np.testing.assert_allclose(found.elbo_curve, double.elbo_curve, rtol=1e-4)
    for a, b in zip(tf.nest.flatten(found.theta), tf.nest.flatten(double.theta), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["sgpr", "svgp", "svgp minibatch"])
def test_arrays_and_chunks_change_nothing(name):
    gamma = 0.3 if MODELS[name][1] else 1.0
    plain = run(name, gamma=gamma)
    # 7 divides neither the 20 rows nor the 10 of a batch
    changed = make_structure(name, large=True, chunked=True)
    assert_same_run(run(name, structure=changed, gamma=gamma, chunk_size=7), plain, rtol=1e-8)


@pytest.mark.parametrize("name", ["sgpr", "svgp"])
def test_arrays_keep_the_last_finite_state(name):
    # a matrix that LAPACK cannot factorise is a number that is not finite, not an exception
    structure, hot = make_structure(name, large=True), {"learning_rate": 1e4}
    result = run(name, structure=structure, bounds=(0.0, np.inf), warm_up=2, **hot)
    assert result.report.n_rejected > 0
    for leaf in tf.nest.flatten((result.theta, result.variational)):
        assert np.all(np.isfinite(leaf))


# --- weights and known noise -----------------------------------------------------------------


@full_batch
def test_weight_two_is_the_row_twice(name):
    data = make_data(labels=not MODELS[name][2].parameter_names)
    twice = np.concatenate([np.arange(N), np.arange(6)])
    weights = np.where(np.arange(N) < 6, 2.0, 1.0)
    known = np.linspace(0.0, 0.1, N)
    copied = Data(data.X[twice], data.Y[twice], np.ones(N + 6), known[twice], data.X_scale)
    weighted = data._replace(weights=weights, row_noise=known)
    q = None
    if MODELS[name][0] == "vgp":  # the sites of two copies add up
        q = np.zeros((N, 1)), steps.SITE_FLOOR * weights[:, None]
    assert_same_run(run(name, weighted, q=q), run(name, copied))


@pytest.mark.parametrize("name", ["gpr", "sgpr", "vgp", "svgp"])
def test_row_noise_adds_to_the_noise(name):
    data = make_data()._replace(row_noise=np.random.RandomState(21).uniform(0.0, 0.5, N))
    result = run(name, data, learning_rate=0.0, max_iter=2)
    noise = 0.2 + data.row_noise
    if MODELS[name][0] in ("gpr", "vgp"):
        expected = reference.log_evidence(KERNEL(data.X), data.Y, noise)
    else:
        Z = data.X[:M] + 0.01
        Kuu = KERNEL(Z) + JITTER * np.eye(M)
        expected = reference.sgpr_bound(Kuu, KERNEL(Z, data.X), KERNEL.diag(data.X), data.Y, noise)
    np.testing.assert_allclose(result.elbo_curve[1], expected, rtol=1e-8)


def test_labels_have_no_row_noise():
    data = make_data(labels=True)
    noisy = data._replace(row_noise=np.ones(N))
    assert_same_run(run("vgp labels", data), run("vgp labels", noisy), rtol=1e-14)


# --- minibatches -----------------------------------------------------------------------------


def epochs(N, batch_size, n_epochs):
    """Rows of each batch, [n_epochs][n_batches, batch_size]; rows are told by their first entry."""
    data = make_data(N)
    data.X[:, 0] = np.arange(N)
    data = data._replace(weights=np.linspace(0.5, 1.5, N))
    data = Data(*(tf.constant(a) for a in data))
    settings = make_settings(seed=tf.constant([1, 2]))
    structure, n_batches, found = make_structure("svgp minibatch"), N // batch_size, []
    place = training._Batches(tf.range(N), tf.constant(N), tf.constant(0))
    for _ in range(n_epochs * n_batches):
        batch, place = training._next_batch(
            structure, data, settings, tf.constant(batch_size), place
        )
        rows = batch.X[:, 0].numpy().astype(int)
        # what belongs to a row comes along, and weights grow to stand for the rows left out
        np.testing.assert_array_equal(batch.Y, data.Y.numpy()[rows])
        np.testing.assert_array_equal(batch.row_noise, data.row_noise.numpy()[rows])
        np.testing.assert_allclose(
            batch.weights, data.weights.numpy()[rows] * N / batch_size, rtol=1e-14
        )
        found.append(rows)
    return np.reshape(found, (n_epochs, n_batches, batch_size))


def test_an_epoch_visits_each_row_once():
    found = epochs(12, 4, 3)
    for epoch in found:
        np.testing.assert_array_equal(np.sort(epoch.ravel()), np.arange(12))
    assert not np.array_equal(found[0], found[1])
    assert not np.array_equal(found[1], found[2])


def test_an_epoch_leaves_out_the_rest():
    found = epochs(14, 4, 12)
    for epoch in found:
        assert len(np.unique(epoch)) == 12
    assert len(np.unique(found)) == 14  # others each time


def test_seed_of_the_minibatches():
    one, same, other = (
        run("svgp minibatch", gamma=0.3, seed=np.array(seed)) for seed in ([1, 2], [1, 2], [3, 4])
    )
    np.testing.assert_array_equal(one.elbo_curve, same.elbo_curve)
    assert not np.array_equal(one.elbo_curve, other.elbo_curve)


def test_a_batch_of_all_rows_is_the_full_batch():
    batch = run("svgp minibatch", batch_size=N, gamma=0.3)
    assert_same_run(batch, run("svgp", gamma=0.3))


def test_batches_grow_before_a_plateau_counts():
    tol = tf.constant(0.0, tf.float64)
    settings = make_settings(n_iter_no_change=3, tol=tol, max_batch_size=30)
    zero = tf.zeros([], tf.float64)
    watch = training._Watch(zero - np.inf, zero - np.inf, 0, zero + 1.0, zero, tf.constant(4))
    seen = []
    for value in [1.0] * 16:
        watch = training._watch(watch, tf.constant(value, tf.float64), settings, float(N))
        seen.append((int(watch.batch_size), float(watch.rate), float(watch.plateaus)))
    # the first value after a change is a new best, three more are a plateau
    small, large = [(4, 1.0, 0.0)] * 3, [(16, 1.0, 0.0)] * 4
    assert seen[:7] == small + large
    assert seen[7:11] == [(30, 1.0, 0.0)] * 4  # no more than the largest
    np.testing.assert_allclose(seen[11:14], [(30, 1 / 3, 1.0)] * 3)  # and the plateaus count
    np.testing.assert_allclose(seen[14:], [(30, 1 / 9, 2.0)] * 2)


def test_batches_grow_in_training():
    settled = {"tol": 1e6, "n_iter_no_change": 4, "max_iter": 100, "gamma": 0.3}
    plain = run("svgp minibatch", batch_size=5, **settled)
    grown = run("svgp minibatch", batch_size=5, max_batch_size=N, **settled)
    assert plain.status == grown.status == training.CONVERGED
    assert len(plain.elbo_curve) == 1 + 3 * 4
    # 5 rows, then all 20: one plateau more, and a new best after it
    assert len(grown.elbo_curve) == len(plain.elbo_curve) + 1 + 4
    np.testing.assert_array_equal(grown.elbo_curve[:5], plain.elbo_curve[:5])


@pytest.mark.parametrize("model", ["gpr", "vgp"])
def test_exact_models_by_blocks_of_rows(model):
    # a nu of 0.5 shows the rounding of a distance that should be zero
    likelihood = Gaussian() if model == "gpr" else Bernoulli()
    kernel = kernels.parse(1.3 * Matern(np.array([0.7, 1.9]), nu=0.5) + DotProduct(0.4))
    rng = np.random.RandomState(3)
    X, N = rng.randn(11, 2), 11
    Y = rng.randint(0, 2, (N, 1)).astype(float)
    weights = rng.uniform(0.5, 2.0, N)
    names = (np.float64(0.3),) * len(likelihood.parameter_names)
    theta = tf.nest.map_structure(tf.constant, Hyperparameters(kernel.values, names))
    data = Data(X, Y, weights, np.full(N, 0.01), np.ones(2))
    data = tf.nest.map_structure(tf.constant, data)
    q = (tf.constant(rng.randn(N, 1)), tf.constant(rng.rand(N, 1))) if model == "vgp" else ()
    whole = Structure(model, kernel.structure, likelihood, (), False, False, 1, "float64")
    s = Settings(*[0.0] * 11, chunk_size=tf.constant(4))
    a, b = (
        steps.STEPS[model](structure, theta, q, data, s, tf.constant(0.5, tf.float64))
        for structure in (whole, whole._replace(chunked=True))
    )
    for one, other in zip(tf.nest.flatten(a), tf.nest.flatten(b), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)
