"""The loop: what it finds, what it holds, how it ends, minibatches."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel
from training.toy import (
    JITTER,
    KERNEL,
    MODELS,
    M,
    N,
    assert_same_run,
    every_model,
    full_batch,
    make_data,
    make_parameters,
    make_settings,
    make_structure,
    run,
)

from skgpng import gaussians, kernels, models, optimizers
from skgpng._inference import Data
from skgpng._inference.sites import SITE_FLOOR
from skgpng._runtime import tf
from skgpng._training import loop, stages
from skgpng._training.result import CONVERGED, MAX_ITER, NON_FINITE
from skgpng.likelihoods import Gaussian
from skgpng.parameters import Hyperparameters

# --- it trains -------------------------------------------------------------------------------


@every_model
def test_training_improves_the_elbo(name):
    minibatch = MODELS[name][1]
    result = run(name, max_iter=40, gamma=0.3 if minibatch else 1.0)
    assert result.status == MAX_ITER
    assert result.elbo_curve.shape == (40,)
    assert np.all(np.isfinite(result.elbo_curve))
    # minibatches are noisy: their average over an epoch has to rise
    assert result.elbo_curve[-2:].mean() > result.elbo_curve[:2].mean() + 1.0
    for leaf in tf.nest.flatten(result[:3]):
        assert isinstance(leaf, np.ndarray | np.generic)


@full_batch
def test_the_result_is_the_state_of_the_last_elbo(name):
    # Training on from the result must begin with the ELBO it ended with.
    result = run(name)
    Z, noise = result.theta.inducing_points, MODELS[name][2].parameter_names
    parameters = make_parameters(noise=0.2 if noise else None, Z=Z).at(result.theta)
    again = run(name, parameters=parameters, q=result.variational, max_iter=1)
    np.testing.assert_allclose(again.elbo_curve[0], result.elbo_curve[-1], rtol=1e-9)


def test_exact_finds_the_optimum_of_sklearn():
    data = make_data()
    result = run("exact", max_iter=400)
    kernel = KERNEL + WhiteKernel(0.2)
    exact = GaussianProcessRegressor(kernel).fit(data.X, data.Y[:, 0])
    optimum = exact.log_marginal_likelihood_value_
    np.testing.assert_allclose(result.elbo_curve[-1], optimum, atol=1e-4)
    found = [np.log(v) for v in (*result.theta.kernel, *result.theta.likelihood)]
    np.testing.assert_allclose(found, exact.kernel_.theta, atol=0.02)  # where 400 steps lead


def test_sites_with_full_steps_become_exact():
    data, held = make_data(), {"learning_rate": 0.0, "max_iter": 3}
    sites, exact = run("sites", **held), run("exact", **held)
    evidence = reference.log_evidence(KERNEL(data.X), data.Y, 0.2)
    # the first ELBO is that of the start of q; one step later q is exact
    np.testing.assert_allclose(sites.elbo_curve[1:], evidence, rtol=1e-9)
    np.testing.assert_allclose(exact.elbo_curve, evidence, rtol=1e-9)
    sites, exact = run("sites", max_iter=400), run("exact", max_iter=400)
    np.testing.assert_allclose(sites.elbo_curve[-1], exact.elbo_curve[-1], atol=1e-4)


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


@pytest.mark.parametrize("name", ["exact", "collapsed"])
def test_collapsed_path_equals_explicit_steps(name):
    kernel = ConstantKernel(1.0) * RBF([0.8, 1.2]) + DotProduct(0.5)
    data, n_steps = make_data(), 15
    result = run(name, data, kernel=kernel, max_iter=n_steps)
    parsed = kernels.parse(kernel)
    structure, values = parsed.structure, parsed.values
    n, of = (N, models.vgp_covariances) if name == "exact" else (M, models.svgp_covariances)
    Z = () if name == "exact" else data.X[:M] + 0.01
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


# --- what is held ----------------------------------------------------------------------------


HELD = ConstantKernel(1.3, "fixed") * RBF([0.8, 1.2])


def held():
    """Noise, inducing points and the constant stay."""
    return make_parameters(HELD, Z=make_data().X[:M] + 0.01, free=False, inducing=False)


def test_fixed_parameters_stay():
    result = run("collapsed", kernel=HELD, parameters=held())
    np.testing.assert_allclose(result.theta.kernel[0], 1.3, rtol=1e-14)
    np.testing.assert_allclose(result.theta.likelihood[0], 0.2, rtol=1e-14)
    np.testing.assert_allclose(result.theta.inducing_points, make_data().X[:M] + 0.01, rtol=1e-14)
    assert np.all(np.abs(result.theta.kernel[1] - [0.8, 1.2]) > 0.01)


def test_bounds_of_each_length_scale():
    free = run("collapsed", kernel=HELD, parameters=held(), max_iter=60).theta.kernel[1]
    # room on one side of the start for the first column, on the other for the second
    tight = np.sort([[0.8, 0.5 * (0.8 + free[0])], [1.2, 1.2 / free[1] * 1.2]], 1)
    constant, scales = held().kernel
    parameters = held()._replace(kernel=(constant, scales._replace(bounds=tight)))
    found = run("collapsed", kernel=HELD, parameters=parameters, max_iter=60).theta.kernel[1]
    assert np.all((tight[:, 0] <= found * (1 + 1e-12)) & (found <= tight[:, 1] * (1 + 1e-12)))
    np.testing.assert_allclose(found[1], 1.2, rtol=1e-12)  # pushed against its start
    assert abs(found[0] - 0.8) > 0.01


def test_a_value_fixed_at_zero():
    kernel = ConstantKernel(0.0, "fixed") + RBF(0.8)
    data = make_data()._replace(row=np.full((N, 1), 0.1))
    parameters = make_parameters(kernel, noise=0.0, free=False)
    noise = parameters.likelihood[0]._replace(bounds=np.zeros(2))
    parameters = parameters._replace(likelihood=(noise,))
    result = run("exact", data, kernel=kernel, parameters=parameters)
    assert result.status == MAX_ITER
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
    held, moved = (run("sites", warm_up=6, max_iter=n, gamma=0.5) for n in (7, 8))
    np.testing.assert_allclose(held.theta.kernel, (1.0, 0.8), rtol=1e-14)
    assert abs(moved.theta.kernel[1] - 0.8) > 1e-4
    assert np.all(np.diff(held.elbo_curve) > 0.0)


def test_gamma_grows_from_a_hundredth():
    settings = make_settings(gamma=np.float64(0.5), gamma_ramp=np.float64(5.0))
    found = [float(loop._gamma(settings, step)) for step in range(8)]
    expected = np.append(np.geomspace(0.005, 0.5, 6)[1:], [0.5] * 3)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


# --- how it ends -----------------------------------------------------------------------------


def test_converges_after_three_plateaus():
    result = run("exact", tol=1e6, n_iter_no_change=4, max_iter=100)
    assert result.status == CONVERGED
    assert len(result.elbo_curve) == 1 + 3 * 4


@every_model
def test_settles_at_the_optimum(name):
    minibatch = MODELS[name][1]
    result = run(
        name, max_iter=2000, tol=1e-5, n_iter_no_change=15, gamma=0.1 if minibatch else 1.0
    )
    assert result.status == CONVERGED
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
    assert result.status == NON_FINITE
    assert result.report.n_rejected == 1 + loop._MOST_FAILURES
    # every failure but the last was followed by another visit to the good state
    assert len(result.elbo_curve) == 3 + loop._MOST_FAILURES
    assert result.report.jitter == (0.0 if not MODELS[name][0].has_points else JITTER)
    good = run(name, **hot, max_iter=3)
    for a, b in zip(tf.nest.flatten(result.theta), tf.nest.flatten(good.theta), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)


@full_batch
def test_non_finite_from_the_start(name):
    structure = make_structure(name)
    data = make_data(labels=not structure.model.likelihood.parameter_names)
    data.X[3, 0] = np.nan
    result = run(name, data, max_iter=30)
    assert result.status == NON_FINITE
    assert len(result.elbo_curve) == 0
    np.testing.assert_allclose(result.theta.kernel, (1.0, 0.8), rtol=1e-14)


@pytest.mark.parametrize("name", ["collapsed", "sparse", "sparse minibatch"])
def test_jitter_grows_only_where_it_must(name):
    assert run(name, jitter=1e-6).report.jitter == 1e-6
    together = np.zeros((M, 2))  # inducing points in one place, which 1e-17 cannot part
    result = run(name, Z=together, jitter=1e-17, learning_rate=1e-3, max_iter=30)
    assert 1e-17 < result.report.jitter <= 1e-8
    assert result.report.n_rejected == 0
    assert len(result.elbo_curve) < 30 and np.all(np.isfinite(result.elbo_curve))


def test_jitter_of_exact_regression_begins_at_zero():
    assert run("exact").report.jitter == 0.0
    data = make_data()
    data = data._replace(X=np.zeros_like(data.X))  # equal rows, next to no noise
    result = run("exact", data, noise=1e-18, bounds=(1e-18, 1e-18), max_iter=30)
    assert 0.0 < result.report.jitter <= 1e-8
    assert len(result.elbo_curve) < 30


# --- compiled once ---------------------------------------------------------------------------


@every_model
def test_one_trace_for_all_sizes_and_numbers(name):
    structure = make_structure(name)
    labels = not structure.model.likelihood.parameter_names
    run(name)
    before = stages.n_compiled()
    run(name, make_data(13, 1, labels), M=3, gamma=0.5, learning_rate=0.01, max_iter=3)
    run(name, make_data(31, 4, labels), M=7, jitter=1e-4, tol=0.1, gamma_ramp=3.0, batch_size=4)
    assert make_structure(name) == structure  # built anew, found again
    assert stages.n_compiled() == before


@pytest.mark.parametrize("name", ["collapsed", "sparse", "sparse minibatch"])
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


@pytest.mark.parametrize("name", ["collapsed", "sparse", "sparse minibatch"])
def test_arrays_and_chunks_change_nothing(name):
    gamma = 0.3 if MODELS[name][1] else 1.0
    plain = run(name, gamma=gamma)
    # 7 divides neither the 20 rows nor the 10 of a batch
    changed = make_structure(name, algebra="blas", chunked=True)
    assert_same_run(run(name, structure=changed, gamma=gamma, chunk_size=7), plain, rtol=1e-8)


@pytest.mark.parametrize("name", ["collapsed", "sparse"])
def test_arrays_keep_the_last_finite_state(name):
    # a matrix that LAPACK cannot factorise is a number that is not finite, not an exception
    structure, hot = make_structure(name, algebra="blas"), {"learning_rate": 1e4}
    result = run(name, structure=structure, bounds=(0.0, np.inf), warm_up=2, **hot)
    assert result.report.n_rejected > 0
    for leaf in tf.nest.flatten((result.theta, result.variational)):
        assert np.all(np.isfinite(leaf))


# --- weights ---------------------------------------------------------------------------------


@full_batch
def test_weight_two_is_the_row_twice(name):
    data = make_data(labels=not MODELS[name][2].parameter_names)
    twice = np.concatenate([np.arange(N), np.arange(6)])
    weights = np.where(np.arange(N) < 6, 2.0, 1.0)
    known = np.linspace(0.0, 0.1, N)[:, None][:, : data.row.shape[1]]
    copied = Data(data.X[twice], data.Y[twice], np.ones(N + 6), known[twice], data.X_scale)
    weighted = data._replace(weights=weights, row=known)
    q = None
    if name.startswith("sites"):  # the sites of two copies add up
        q = np.zeros((N, 1)), SITE_FLOOR * weights[:, None]
    assert_same_run(run(name, weighted, q=q), run(name, copied))


# --- minibatches -----------------------------------------------------------------------------


def epochs(N, batch_size, n_epochs):
    """Rows of each batch, [n_epochs][n_batches, batch_size]; rows are told by their first entry."""
    data = make_data(N)
    data.X[:, 0] = np.arange(N)
    data = data._replace(weights=np.linspace(0.5, 1.5, N))
    data = Data(*map(tf.constant, data[:5]))
    settings = make_settings(seed=tf.constant([1, 2]), batch_size=tf.constant(batch_size))
    structure, n_batches, found = make_structure("sparse minibatch"), N // batch_size, []
    place = loop._Batches(tf.range(N), tf.constant(N), tf.constant(0))
    for _ in range(n_epochs * n_batches):
        batch, place = loop._next_batch(structure, data, settings, place)
        rows = batch.X[:, 0].numpy().astype(int)
        # what belongs to a row comes along, and weights grow to stand for the rows left out
        np.testing.assert_array_equal(batch.Y, data.Y.numpy()[rows])
        np.testing.assert_array_equal(batch.row, data.row.numpy()[rows])
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
        run("sparse minibatch", gamma=0.3, seed=np.array(seed)) for seed in ([1, 2], [1, 2], [3, 4])
    )
    np.testing.assert_array_equal(one.elbo_curve, same.elbo_curve)
    assert not np.array_equal(one.elbo_curve, other.elbo_curve)


def test_a_batch_of_all_rows_is_the_full_batch():
    batch = run("sparse minibatch", batch_size=N, gamma=0.3)
    assert_same_run(batch, run("sparse", gamma=0.3))


@pytest.mark.parametrize("n_plateaus", [1.0, 3.0])
def test_plateaus_cut_the_learning_rate_but_for_the_last(n_plateaus):
    one = tf.constant(1.0, tf.float64)
    settings = make_settings(n_iter_no_change=3.0 * one, tol=0.0 * one, n_plateaus=n_plateaus)
    watch, seen = loop._Watch(*(tf.constant(v, tf.float64) for v in loop._Watch())), []
    for _ in range(10):  # the first value is a new best, three more are a plateau
        watch = loop._watch(watch, one, settings, float(N))
        seen.append((float(watch.plateaus), float(watch.rate)))
    assert [plateaus for plateaus, _ in seen] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
    rates = [1, 1, 1, 1 / 3, 1 / 3, 1 / 3, 1 / 9, 1 / 9, 1 / 9, 1 / 9]
    np.testing.assert_allclose([rate for _, rate in seen], rates if n_plateaus == 3 else 1.0)
