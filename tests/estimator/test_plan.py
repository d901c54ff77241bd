"""make_plan: which model, how it is computed, and its settings; sizes of batches and chunks."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, PairwiseKernel

from skgpng import kernels, likelihoods
from skgpng._estimator import plan as planning
from skgpng._estimator.plan import Options, make_plan
from skgpng._estimator.problem import Problem, Rows
from skgpng._estimator.tuning import TUNING
from skgpng._inference import Collapsed, Exact, Memory, Neighbours, Sites, Sparse
from skgpng._runtime import Device
from skgpng._training.stages import Part
from skgpng.likelihoods import Softmax
from skgpng.parameters import Hyperparameters

KERNEL = ConstantKernel(1.5) * RBF([0.5, 2.0])
MANY = 10**6
NOWHERE = (Device(),)  # in particular
GAUSSIAN, TWO, THREE = likelihoods.named("gaussian"), likelihoods.Bernoulli(), Softmax(3)
DEFAULTS = Options(
    n_inducing="auto", n_neighbors="auto", local_scale=True, inducing_init="kmeans",
    train_inducing=True, optimizer="auto", gamma="auto",
    learning_rate="auto", batch_size="auto", max_iter=200, tol=1e-4, n_iter_no_change=10,
    n_restarts_optimizer=0, jitter=1e-6, dtype="float64", default_kernel=False,
)  # fmt: skip


def options(**changes):
    return DEFAULTS._replace(**changes)


def problem(likelihood=GAUSSIAN, n=60, kernel=KERNEL, start="fresh", dtype=float, D=2, **changes):
    rng = np.random.RandomState(0)
    X, Y = rng.uniform(-2.0, 2.0, (n, D)).astype(dtype), rng.randint(0, 2, (n, 1)).astype(float)
    L, observation = likelihood.n_latent(1), likelihood.parameters(None, 1.0)
    rows = Rows(X, Y, np.ones(n), np.zeros((n, len(likelihood.row_names))))
    given = Problem(
        rows=rows,
        likelihood=likelihood,
        observation=observation,
        mean_function=likelihood.mean,
        mean=likelihood.mean.parameters(np.zeros(L), np.zeros((1, 1))),
        n_latent=L,
        kernel=kernel,
        parsed=kernels.parse(kernel),
        units=likelihood.units(Y, rows.weights),
        spread=1.0,
        noise_start=0.1 if likelihood.noise else 0.0,
        fixed_noise=0.0,
        given_noise="",
        trend=None,
        start=start,
    )
    return given._replace(**changes)


def plan(
    M=None,
    given=None,
    moves=True,
    memory=None,
    tuning=TUNING,
    spread=None,
    near=False,
    places=NOWHERE,
    **changes,
):
    """Of a problem with M inducing points, or without, or of neighbours."""
    given = given or problem()
    X = given.rows.X
    points = None if M is None else np.random.RandomState(1).uniform(-2, 2, (M, X.shape[1]))
    spread = X.std(0, dtype=float) if spread is None else np.asarray(spread)
    seed = np.array([1, 2])
    return make_plan(
        options(**changes), given, None, points, near, spread, seed, moves, memory, tuning, places
    )


# --- sizes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_inducing", "n_rows", "whole", "expected"),
    [
        ("auto", 1000, True, None),
        ("auto", 1001, True, 256),
        ("auto", 10, False, 256),  # more rows will come
        (None, MANY, True, None),
        (7, 5, True, 7),
    ],
)
def test_n_points(n_inducing, n_rows, whole, expected):
    assert planning.n_points(options(n_inducing=n_inducing), n_rows, whole) == expected


def test_n_points_and_merges_rows_follow_the_tuning():
    tuning = TUNING._replace(auto_exact=5, auto_inducing=3)
    assert planning.n_points(options(), 6, True, tuning) == 3
    merged = [
        planning.merges_rows(options(), conjugate=False, n_rows=n, tuning=tuning) for n in (5, 6)
    ]
    assert merged == [True, False]
    assert planning.merges_rows(options(), True, 6, tuning)
    assert planning.merges_rows(options(n_inducing=None), False, 6, tuning)
    assert not planning.merges_rows(options(n_inducing=3), True, 6, tuning)
    assert planning.merges_rows(options(n_inducing=3), True, 5, tuning)


@pytest.mark.parametrize(
    ("changes", "conjugate", "n_rows", "goes_on", "expected"),
    [
        ({}, True, 1000, True, False),
        ({}, True, 1001, True, True),
        ({}, True, 1001, False, False),
        ({}, False, 1001, True, False),
        ({"n_inducing": 256}, True, 1001, True, False),
        ({"n_inducing": None}, True, 1001, True, False),
        ({"n_neighbors": None}, True, 1001, True, False),
        ({"n_neighbors": 0}, True, 1001, True, False),
        ({"n_neighbors": 5}, True, 10, False, True),
        ({"n_neighbors": 5, "n_inducing": None}, True, 10, True, True),
    ],
)
def test_uses_neighbours(changes, conjugate, n_rows, goes_on, expected):
    assert planning.uses_neighbours(options(**changes), conjugate, n_rows, goes_on) == expected


@pytest.mark.parametrize(
    ("changes", "conjugate", "says"),
    [
        ({}, False, "n_neighbors=5 needs likelihood='gaussian'"),
        ({"n_inducing": 7}, True, "n_neighbors=5 takes no inducing points, but n_inducing=7"),
    ],
)
def test_neighbours_that_cannot_be(changes, conjugate, says):
    with pytest.raises(ValueError, match=says):
        planning.uses_neighbours(options(n_neighbors=5, **changes), conjugate, 60, True)


@pytest.mark.parametrize(
    ("changes", "n_blocks", "expected"),
    [
        ({}, 1280, TUNING.near.batch),
        ({}, 10, 10),
        ({"batch_size": None}, 1280, 1280),
        ({"batch_size": 100}, 1280, 100 // TUNING.near.left_out),
        ({"batch_size": 1}, 1280, 1),
        ({"optimizer": "lbfgs"}, 1280, 1280),
    ],
)
def test_blocks_of_a_step(changes, n_blocks, expected):
    assert planning.blocks_of_a_step(options(**changes), n_blocks) == expected


@pytest.mark.parametrize(
    ("changes", "N", "M", "expected"),
    [
        ({"batch_size": None}, MANY, 256, MANY),
        ({"batch_size": 500}, 2000, 10, 500),
        ({"batch_size": 500}, 300, 10, 300),
        ({"batch_size": 500}, 300, None, 300),
        ({}, 2000, None, 2000),
        ({}, 78125, 256, 78125),  # 2e7 numbers
        ({}, 78126, 256, 1024),
        ({}, 78126, 300, 1200),
        ({"optimizer": "lbfgs"}, MANY, 256, MANY),
    ],
)
def test_batch_rows(changes, N, M, expected):
    assert planning.batch_rows(options(**changes), N, M) == expected


@pytest.mark.parametrize(
    ("M", "changes", "says"),
    [
        (None, {}, "batch_size=20 needs inducing points.*Set n_inducing to a number"),
        (5, {"optimizer": "lbfgs"}, "'lbfgs' needs all rows in every step, but batch_size=20"),
    ],
)
def test_batch_rows_that_cannot_be(M, changes, says):
    with pytest.raises(ValueError, match=says):
        planning.batch_rows(options(batch_size=20, **changes), 60, M)


def test_most_steps_and_calls():
    assert planning.most_steps(options(max_iter=3), 60, 60) == 3
    assert planning.most_steps(options(max_iter=3), 60, 25) == 9
    assert planning.most_steps(options(max_iter=2**31 - 1), 60, 1) == 2**31 - 1
    given = options(max_iter=3, n_inducing=5, batch_size=25, n_restarts_optimizer=2)
    assert planning.most_calls(given, True, 60, 4) == 3 * 3
    near = options(max_iter=3, n_neighbors=5)
    a_pass = 10**4 / (TUNING.near.batch * TUNING.near.left_out)
    assert planning.most_calls(near, True, 10**4, 1) == 3 * np.ceil(a_pass)


@pytest.mark.parametrize(
    ("N", "M", "L", "once", "expected"),
    [
        (100, None, 1, False, 2**19 // 100),
        (2**15, None, 1, False, 64),
        (MANY, 256, 1, False, 2**15),
        (MANY, 256, 1, True, 2**11),
        (MANY, 256, 4, False, 2**13),
        (MANY, 4096, 4, True, 1024),
    ],
)
def test_chunk_rows(N, M, L, once, expected):
    assert planning.chunk_rows(N, M, L, once) == expected
    deep = planning.chunk_rows(N, M, L, once, depth=4)
    assert max(64, expected // 5) <= deep <= max(64, expected // 4)


def test_stream_capacity():
    assert [planning.stream_capacity(M) for M in (10, 128, 256)] == [2048, 2048, 4096]


# --- the model -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("likelihood", "M", "changes", "expected"),
    [
        (GAUSSIAN, None, {}, Exact()),
        (GAUSSIAN, None, {"gamma": 1}, Exact()),
        (GAUSSIAN, None, {"gamma": 0.5}, Sites()),
        (GAUSSIAN, 5, {}, Collapsed()),
        (GAUSSIAN, 5, {"gamma": 0.5}, Sparse()),
        (GAUSSIAN, 5, {"batch_size": 20}, Sparse()),
        (TWO, None, {}, Sites()),
        (TWO, 5, {"gamma": 1}, Sparse()),
        (likelihoods.named("student_t"), None, {}, Sites()),
        (likelihoods.named("poisson"), 5, {}, Sparse()),
    ],
)
def test_make_plan_takes_the_model_that_suits(likelihood, M, changes, expected):
    given = problem(likelihood)
    model = plan(M, given, **changes).structure.model
    assert model.inference == expected
    assert model[1:] == (given.parsed.structure, likelihood, 1, likelihood.mean)


def memory_of(M, n_roots, L=1):
    rng = np.random.RandomState(2)
    return Memory(rng.randn(M, 2), rng.randn(n_roots, M, M), rng.randn(M, L))


@pytest.mark.parametrize(("n_roots", "expected"), [(1, Collapsed()), (3, Sparse())])
def test_make_plan_with_memory(n_roots, expected):
    given = problem()
    rows = given.rows._replace(Y=np.zeros((60, 3)))
    found = plan(5, given._replace(rows=rows, n_latent=3), memory=memory_of(4, n_roots, 3))
    assert found.structure.model.inference == expected and found.structure.how.memory
    assert len(found.data.memory.roots) == n_roots


def test_make_plan_repeats_what_all_targets_share():
    found = plan(5, problem(THREE), memory=memory_of(4, 1, 3))  # each class has its own precision
    assert found.data.memory.roots.shape == (3, 4, 4)
    assert plan(5).data.memory == () and not plan(5).structure.how.memory


def test_make_plan_gives_equal_structures_for_other_numbers():
    first = plan(5, jitter=1e-6, max_iter=10).structure
    kernel = KERNEL.clone_with_theta(KERNEL.theta + 1.0)
    other = plan(7, problem(n=90, kernel=kernel), jitter=1e-4, learning_rate=0.3).structure
    assert hash(first) == hash(other) and first == other


@pytest.mark.parametrize(
    ("changes", "noise", "local"),
    [
        ({}, 0.0, True),
        ({"local_scale": False}, 0.0, False),
        ({}, 0.1, False),  # some of it is known
    ],
)
def test_make_plan_of_neighbours(changes, noise, local):
    given = problem(n=5000)
    given = given._replace(rows=given.rows._replace(row=np.full((5000, 1), noise)))
    found = plan(None, given, near=True, n_neighbors=9, **changes)
    inference = found.structure.model.inference
    assert inference == Neighbours()  # what is compiled is the same
    assert (inference.n_neighbors, inference.local_scale) == (9, local)
    assert found.structure.how.minibatch and not found.structure.how.chunked
    near, s = TUNING.near, found.settings
    assert (s.batch_size, s.beta_2) == (near.batch, near.beta_2)
    assert s.max_iter == 200 * np.ceil(5000 / (near.batch * near.left_out))
    assert found.epoch == near.n_blocks / near.batch and found.largest_batch == 0


def test_neighbours_learn_in_stages_that_gather_blocks():
    found, near = plan(None, problem(n=200), near=True, max_iter=1000), TUNING.near
    stages = found.stages(())
    assert [s.settings.max_iter for s in stages[:-1]] == list(near.ends)
    rates = [s.settings.learning_rate for s in stages]
    np.testing.assert_allclose(rates, TUNING.rate * np.array(near.rates))
    assert [s.q for s in stages] == [(), *(None,) * len(near.ends)]
    first, second = (s.data(found.parameters.values) for s in stages[:2])
    assert first.X.shape == (200, near.rows, 2)
    assert first.weights.shape == (200, near.left_out)
    assert not np.array_equal(first.X, second.X)  # in another order
    assert len(plan(None, problem(n=200, start="warm"), near=True).stages(())) == 1
    assert len(plan(None, problem(n=200), near=True, optimizer="lbfgs").stages(())) == 2


# --- how it is computed ----------------------------------------------------------------------


def test_make_plan_grows_batches_it_chose_itself():
    tuning = TUNING._replace(auto_full_batch=0, chunk=10)
    own, found = plan(5, batch_size=1100, tuning=tuning), plan(5, problem(n=3000), tuning=tuning)
    assert found.structure.how.minibatch and found.settings.batch_size == 1024
    assert found.largest_batch == 1024 and not found.structure.how.chunked
    assert own.largest_batch == 0
    larger = plan(5, problem(n=3000), tuning=TUNING._replace(auto_full_batch=0))
    assert larger.largest_batch == 3000


@pytest.mark.parametrize(
    ("n", "M", "changes", "expected"),
    [
        (1024, 5, {}, False),
        (1025, 5, {}, True),
        (1025, 5, {"batch_size": 500}, False),
        (64, None, {}, False),
        (65, None, {}, True),
    ],
)
def test_make_plan_takes_rows_in_chunks(n, M, changes, expected):
    found = plan(M, problem(n=n), tuning=TUNING._replace(chunk=10, block=10), **changes)
    assert found.structure.how.chunked == expected
    assert found.settings.chunk_size == (1024 if M else 64)


def test_make_plan_leaves_a_black_box_whole():
    given = problem(kernel=PairwiseKernel(metric="laplacian"), n=100)
    found = plan(None, given, tuning=TUNING._replace(block=10))
    assert not found.structure.how.chunked and found.settings.chunk_size == 100


@pytest.mark.parametrize(
    ("n", "M", "changes", "expected"),
    [
        (2000, 250, {}, "blas"),
        (1999, 250, {}, "tensors"),
        (2000, 249, {}, "tensors"),
        (2000, 250, {"dtype": "float32"}, "tensors"),
        (60, 500, {}, "blas"),
        (2000, 250, {"batch_size": 1000}, "tensors"),
        (60, None, {}, "tensors"),
    ],
)
def test_make_plan_uses_blas_for_large_matrices(n, M, changes, expected):
    assert plan(M, problem(n=n), **changes).structure.how.algebra == expected


@pytest.mark.parametrize(
    ("likelihood", "M", "changes", "expected"),
    [
        (THREE, 10, {}, True),
        (THREE, 208, {}, True),
        (THREE, 209, {}, False),  # less than four rows for each of three times 209 functions
        (THREE, 10, {"dtype": "float32"}, False),
        (THREE, 10, {"jitter": 1e-12}, False),
        (THREE, 10, {"weights": 1e4}, False),
        (THREE, 10, {"block": TUNING.block}, False),  # all rows in one chunk
        (THREE, 10, {"memory": True}, False),
        (GAUSSIAN, 10, {}, False),  # collapsed
        (GAUSSIAN, 10, {"gamma": 0.5}, False),  # noise may come down to nothing
    ],
)
def test_make_plan_leaves_rows_unwhitened_where_that_is_exact_and_saves_work(
    likelihood, M, changes, expected
):
    given = problem(likelihood, n=2500, kernel=ConstantKernel(1.0) * RBF(1.0))
    weights = np.full(2500, changes.pop("weights", 1.0))
    given = given._replace(rows=given.rows._replace(weights=weights))
    memory = memory_of(4, given.n_latent, given.n_latent) if changes.pop("memory", 0) else None
    tuning = TUNING._replace(block=changes.pop("block", 10))
    found = plan(M, given, memory=memory, tuning=tuning, **changes)
    assert found.structure.how.whitened != expected


@pytest.mark.parametrize(
    ("M", "kernel", "shift", "dtype", "expected"),
    [
        (5, KERNEL, 0.0, "float32", "float32"),
        (5, KERNEL, 100.0, "float32", "float32"),
        (5, DotProduct(), 0.0, "float32", "float32"),
        (5, DotProduct(), 100.0, "float32", "float64"),  # would lose what tells rows apart
        (5, KERNEL, 0.0, "float64", "float64"),
    ],
)
def test_make_plan_computes_in_float32_where_rows_keep_their_digits(
    M, kernel, shift, dtype, expected
):
    given = problem(kernel=kernel)
    given = given._replace(rows=given.rows._replace(X=given.rows.X + shift))
    assert plan(M, given, dtype=dtype).structure.how.dtype == expected


def test_make_plan_keeps_float32_rows_as_they_are():
    given = problem(dtype="float32")
    sparse, exact = plan(5, given), plan(None, given)
    assert sparse.data.X is given.rows.X and sparse.structure.how.X_dtype == "float32"
    assert exact.data.X.dtype == float and exact.structure.how.X_dtype == "float64"


# --- settings --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("likelihood", "M", "changes", "expected"),
    [
        (GAUSSIAN, None, {}, (1.0, 1.0)),
        (GAUSSIAN, 5, {"batch_size": 20}, (0.1, 1.0)),
        (GAUSSIAN, 5, {"gamma": 0.5}, (0.5, 1.0)),
        (TWO, None, {}, (TWO.gamma, 5.0)),
        (THREE, 5, {"gamma": 0.7, "batch_size": 20}, (0.7, 5.0)),
    ],
)
def test_gamma_and_its_ramp(likelihood, M, changes, expected):
    settings = plan(M, problem(likelihood), **changes).settings
    assert (settings.gamma, settings.gamma_ramp) == expected


@pytest.mark.parametrize(
    ("changes", "growing", "expected"),
    [
        ({}, False, 0.1),
        ({"batch_size": 20}, False, 0.01),
        ({}, True, 0.03),
        ({"learning_rate": 0.5}, True, 0.5),
        ({"optimizer": None}, False, 0.0),
        ({"moves": False}, False, 0.0),
    ],
)
def test_learning_rate(changes, growing, expected):
    given = problem(n=2000) if growing else problem()
    tuning = TUNING._replace(auto_full_batch=0) if growing else TUNING
    assert plan(5, given, tuning=tuning, **changes).settings.learning_rate == expected


def test_learning_rate_where_everything_is_fixed():
    given = problem(kernel=ConstantKernel(1.5, "fixed") * RBF(0.5, "fixed"))
    (noise,) = given.observation
    given = given._replace(observation=(noise._replace(free=False),))
    settings = plan(None, given).settings
    assert settings.learning_rate == 0.0
    assert (settings.n_iter_no_change, settings.n_plateaus) == (1, 1)
    assert plan(5, given).settings.learning_rate > 0.0  # the inducing points move
    assert plan(5, given, train_inducing=False).settings.learning_rate == 0.0


def test_n_iter_no_change_counts_passes_over_the_rows():
    counted = plan(5, n_iter_no_change=3, batch_size=25).settings
    assert (counted.n_iter_no_change, counted.max_iter) == (9, 600)
    assert plan(5, n_iter_no_change=3).settings.n_iter_no_change == 3
    tuning = TUNING._replace(auto_full_batch=0, patience_of_growing=7)
    grown = plan(5, problem(n=2000), n_iter_no_change=3, tuning=tuning)
    assert grown.settings.n_iter_no_change == 21


def test_what_is_fixed_waits_for_q_only():
    assert plan(None, problem(TWO), optimizer=None).settings.n_iter_no_change == 10
    assert (
        plan(None, optimizer=None).settings.n_iter_no_change == 1
    )  # the second value is the first


@pytest.mark.parametrize(
    ("likelihood", "M", "expected"),
    [(GAUSSIAN, None, (0, 3)), (GAUSSIAN, 5, (0, 3)), (TWO, None, (5, 1)), (TWO, 5, (5, 3))],
)
def test_warm_up_and_plateaus_are_the_models(likelihood, M, expected):
    settings = plan(M, problem(likelihood)).settings
    assert (settings.warm_up, settings.n_plateaus) == expected


def test_numbers_that_are_handed_on():
    settings = plan(5, tol=0.5, jitter=1e-3).settings
    assert (settings.tol, settings.jitter, list(settings.seed)) == (0.5, 1e-3, [1, 2])


@pytest.mark.parametrize(
    ("likelihood", "M", "changes", "expected"),
    [
        (GAUSSIAN, None, {}, "lbfgs"),
        (GAUSSIAN, 5, {}, "adam"),
        (TWO, None, {}, "adam"),
        (GAUSSIAN, 5, {"optimizer": "lbfgs"}, "lbfgs"),
        (GAUSSIAN, None, {"optimizer": "adam"}, "adam"),
        (GAUSSIAN, None, {"optimizer": None}, "adam"),  # with a rate of zero
        (GAUSSIAN, None, {"optimizer": "lbfgs", "moves": False}, "adam"),
    ],
)
def test_optimizer_of_a_plan(likelihood, M, changes, expected):
    assert plan(M, problem(likelihood), **changes).optimizer == expected


# --- parameters ------------------------------------------------------------------------------


def test_parameters_of_a_plan_are_those_of_the_problem():
    given = problem()
    found = plan(5, given).parameters
    assert found.kernel == given.parsed.parameters and found.likelihood == given.observation
    assert found.inducing_points.shape == (5, 2) and found.train_inducing
    assert not plan(5, given, train_inducing=False).parameters.train_inducing
    without = plan(None, given)
    assert without.parameters.inducing_points == () and not without.parameters.train_inducing
    assert plan(5, given).has_points and not without.has_points


def test_only_the_default_kernel_has_priors():
    assert not any(p.prior for p in plan().parameters.leaves)
    constant, scales = plan(default_kernel=True).parameters.kernel
    assert constant.prior is None and scales.prior.mixing.shape == (2, 2)


@pytest.mark.parametrize("D", [2, 5])
def test_prior_of_length_scales_is_about_the_mean_of_their_logarithms(D):
    spread, scale = np.geomspace(0.1, 100.0, D), np.random.RandomState(3).uniform(0.1, 9.0, D)
    given = problem(kernel=1.0 * RBF(np.ones(D)), D=D)
    _, scales = plan(None, given, spread=spread, default_kernel=True).parameters.kernel
    mixing, offset = scales.prior
    u = np.log(scale / spread)
    width = TUNING.prior_width * D**TUNING.prior_power
    np.testing.assert_allclose(mixing @ np.log(scale) - offset, (u - u.mean()) / width, atol=1e-12)


def test_prior_of_one_column_is_empty():
    _, scale = plan(
        None, problem(kernel=1.0 * RBF([1.0]), D=1), default_kernel=True
    ).parameters.kernel
    assert scale.prior.mixing.shape == (0, 1) and scale.prior.offset.shape == (0,)


def test_prior_of_the_noise_is_about_its_start():
    given = problem(noise_start=0.02)
    (noise,) = plan(None, given, default_kernel=True).parameters.likelihood
    assert noise.prior.mixing @ [np.log(0.02)] - noise.prior.offset == pytest.approx(0.0, abs=1e-12)
    (held,) = given.observation
    fixed = given._replace(observation=(held._replace(free=False),))
    assert plan(None, fixed, default_kernel=True).parameters.likelihood[0].prior is None
    assert plan(None, problem(TWO), default_kernel=True).parameters.likelihood == ()


# --- stages ----------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["fresh", "warm", "first", "on"])
def test_only_a_fresh_fit_begins_on_a_part_of_the_rows(start):
    tuning = TUNING._replace(part=Part(steps=20, share=4, least=10, least_exact=10))
    found = plan(5, problem(TWO, start=start), tuning=tuning)
    model, theta = found.structure.model, found.parameters.values
    q = model.inference.start_q(model, theta, found.data.weights, None)
    sizes = [len(stage.data.X) for stage in found.stages(q)]
    assert sizes == ([15, 60] if start == "fresh" else [60])
    assert isinstance(theta, Hyperparameters)
