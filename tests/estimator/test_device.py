"""The device of a training: which is taken, what follows, and that on a GPU no operation leaves.

There is no GPU here. What one would compute is asked of the CPU: the algebra of the graph alone is
forced, and the CPU is seen a second time as a GPU.
"""

from __future__ import annotations

import numpy as np
import pytest
from estimator.test_plan import MANY, THREE, plan, problem
from processes import fresh
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, PairwiseKernel

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
from skgpng._estimator import placing
from skgpng._estimator.tuning import TUNING
from skgpng._runtime import Device, compiled, devices, tf
from skgpng._training import lbfgs, loop

CPU, GPU = Device("/device:CPU:0"), Device("/device:GPU:0", True, 2.0**30)
SETTINGS = {"kernel": ConstantKernel(1.0) * RBF(1.0), "random_state": 0, "max_iter": 12}

# name: (classes, or none; settings), all beyond the size from which inverses leave for LAPACK
MODELS = {
    "exact": (0, {"n_inducing": None}),
    "SGPR": (0, {"n_inducing": 20}),
    "SGPR in float32": (0, {"n_inducing": 20, "dtype": "float32"}),
    "SVGP": (0, {"n_inducing": 20, "batch_size": 100}),
    "neighbours": (0, {"n_neighbors": 10}),
    "two classes": (2, {"n_inducing": 20}),
    "two classes, exact": (2, {"n_inducing": None}),
    "three classes": (3, {"n_inducing": 20, "batch_size": 100}),
    "three classes, exact": (3, {"n_inducing": None}),
}
every_model = pytest.mark.parametrize("name", MODELS)


@pytest.fixture(scope="module")
def many():
    rng = np.random.RandomState(3)
    X = rng.uniform(-3, 3, (300, 2))
    return X, np.sin(X[:, 0]) + 0.3 * rng.randn(300)


def fit(name, X, y, **changes):
    n_classes, settings = MODELS[name]
    settings = {**SETTINGS, **settings, **changes}
    if n_classes:
        edges = np.quantile(y, np.arange(1, n_classes) / n_classes)
        return GaussianProcessClassifier(**settings).fit(X, np.digitize(y, edges))
    return GaussianProcessRegressor(**settings).fit(X, y)


def outputs(model, X):
    if hasattr(model, "predict_proba"):
        return [model.predict_proba(X)]
    return [*model.predict(X, return_std=True)]


def operations(algebra, foreign=False):
    """Nodes of the compiled trainings of an algebra, each with its structure."""
    for (build, _, structure, *_), function in compiled._COMPILED.items():
        trains = build in (loop.compiled_segment.__wrapped__, lbfgs.compiled_profile.__wrapped__)
        trains = trains and ("BlackBox" in str(structure.model.kernel)) == foreign
        if trains and structure.how.algebra == algebra:
            for node in compiled._nodes(function._graph.graph):
                yield structure, node


def leaves(node):
    return "PyFunc" in node.op


# --- the algebra of the graph alone ----------------------------------------------------------


@every_model
def test_graph_alone_gives_the_same_numbers(name, many, tuned):
    tuned(blas_from=1, blas_rows=1)  # all that may leave does
    usual = fit(name, *many)
    tuned(algebra="graph")
    model = fit(name, *many)
    # the order of sums differs, too: eps is 6e-8 in float32
    rtol, atol = (2e-6, 1e-4) if model.dtype == "float32" else (1e-8, 1e-8)
    np.testing.assert_allclose(model.elbo_, usual.elbo_, rtol=rtol)
    for a, b in zip(outputs(model, many[0]), outputs(usual, many[0]), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def test_graph_alone_never_leaves(many, tuned):
    tuned(blas_from=1, blas_rows=1)
    for name in ("exact", "SGPR", "three classes, exact"):
        fit(name, *many)
    assert any(leaves(node) for algebra in ("blas", "tensors") for _, node in operations(algebra))
    tuned(algebra="graph")
    for name in MODELS:
        fit(name, *many, max_iter=2)
    seen = {
        (structure.model.inference, structure.how.dtype) for structure, _ in operations("graph")
    }
    assert len(seen) >= 6
    assert {node.op for _, node in operations("graph") if leaves(node)} == set()
    assert all(not structure.how.in_order for structure, _ in operations("graph"))


def test_a_kernel_of_foreign_code_leaves_all_the_same(many, tuned):
    X, y = (a[:40] for a in many)
    tuned(algebra="graph")
    settings = {**SETTINGS, "kernel": PairwiseKernel(metric="rbf"), "n_inducing": None}
    GaussianProcessRegressor(**settings).fit(X, y)
    assert any(leaves(node) for _, node in operations("graph", foreign=True))


# Rows are put into another order on the CPU, once an epoch.
ON_THE_CPU = {"StatelessShuffle"}


def test_each_operation_has_code_for_a_gpu(many, tuned):
    if not tf.test.is_built_with_cuda():
        pytest.skip("TensorFlow is built without code for GPUs")
    from tensorflow.python.framework import kernels

    tuned(algebra="graph")
    for name in MODELS:
        fit(name, *many, max_iter=2)

    def has_code(node):
        def suits(kernel):
            types = {c.name: c.allowed_values.list.type for c in kernel.constraint}
            there = kernel.device_type in ("GPU", "DEFAULT")
            return there and all(node.attr[name].type in types[name] for name in types)

        return any(map(suits, kernels.get_registered_kernels_for_op(node.op).kernel))

    nodes = [node for _, node in operations("graph")]
    assert len({node.op for node in nodes}) > 50
    assert {node.op for node in nodes if not has_code(node)} <= ON_THE_CPU


# --- which device ----------------------------------------------------------------------------


@pytest.fixture
def with_gpu(monkeypatch):
    """The CPU, seen a second time as a GPU of 1 GiB."""
    cpu = tf.config.list_logical_devices("CPU")[0]
    there = [cpu, tf.config.LogicalDevice(cpu.name, "GPU")]
    monkeypatch.setattr(
        tf.config,
        "list_logical_devices",
        lambda kind=None: [d for d in there if kind in (None, d.device_type)],
    )
    monkeypatch.setattr(devices, "_most_bytes", lambda name: 2.0**30)
    return Device(cpu.name, True, 2.0**30)


@pytest.mark.parametrize("Estimator", [GaussianProcessRegressor, GaussianProcessClassifier])
@pytest.mark.parametrize(
    ("device", "told"),
    [
        ("gpu", "device='gpu' is not there: TensorFlow sees CPU:0.*Leave device=None"),
        ("gpu:1", "is not there"),
        ("/device:GPU:0", "is not there"),
        ("cpu:7", "is not there"),
        ("cuda", "is no name of a device: give 'cpu', 'gpu'"),
        ("", "is no name of a device"),
        ("/job:worker/device:CPU:0", "is no name of a device"),
    ],
)
def test_a_device_that_is_not_there_is_refused_before_any_work(Estimator, device, told, rows):
    model = Estimator(device=device)
    for X in ("no rows at all", lambda: pytest.fail("rows were read")):
        with pytest.raises(ValueError, match=told):
            model.fit(X, rows[1])
    assert not hasattr(model, "kernel_")


def test_every_name_of_a_device(with_gpu):
    home = Device(with_gpu.name)
    for name in ("gpu", "GPU", "gpu:0", "/gpu:0", "/device:GPU:0", "/job:localhost/device:GPU:0"):
        assert devices.places(name) == (with_gpu,)
    for name in ("cpu", "CPU:0", "/device:CPU:0"):
        assert devices.places(name) == (home,)
    assert devices.places(None) == (with_gpu, home)
    with tf.device("/device:CPU:0"):
        assert devices.places(None) == (home,)
        assert devices.places("gpu") == (with_gpu,)  # the parameter goes first


def test_a_cpu_alone_is_left_to_tensorflow():
    assert devices.places(None) == devices.places("cpu") == (Device(),)
    with tf.device("/device:CPU:0"):
        assert devices.places(None) == (Device(),)


def test_the_gpu_is_taken_where_work_pays_and_fits():
    def chosen(n_rows, M=None, places=(GPU, CPU), n=1000, tuning=TUNING, **more):
        settings = {"block": None, "at_hand": True, **more}
        return placing.chosen(places, problem(n=n), M, n_rows, tuning=tuning, **settings)

    side = int(np.ceil(TUNING.gpu_work ** (1 / 3)))  # rows that are factorised
    assert chosen(side) is GPU and chosen(side - 1) is CPU
    assert chosen(10**6, M=200) is GPU and chosen(1000, M=20) is CPU
    assert chosen(64, block=64) is CPU and chosen(64, block=1000) is GPU
    assert chosen(10**6, M=200, at_hand=False) is CPU  # there is little to do
    assert chosen(10**6, places=(GPU._replace(n_bytes=1e6), CPU)) is CPU  # 24 MB at least
    assert chosen(1, places=(GPU._replace(n_bytes=1.0),)).apart  # somebody said so


def how_of(M, given, places=(GPU, CPU), **changes):
    return plan(M, given, places=places, **{"dtype": "auto", **changes}).structure.how


def test_what_follows_from_a_gpu():
    large = problem(n=60_000)
    how = how_of(256, large)
    assert how.device == GPU.name and how.algebra == "graph" and how.dtype == "float32"
    assert not how.in_order and how.X_dtype == "float64"
    assert how_of(256, large, dtype="float64").dtype == "float64"
    small = how_of(5, problem())
    assert small.device == CPU.name and small.algebra == "tensors" and small.dtype == "float64"
    assert small.in_order
    asked = how_of(5, problem(), places=(GPU,))
    assert asked.device == GPU.name and not asked.in_order and asked.algebra == "graph"
    exact = how_of(None, problem(), places=(GPU,))
    assert exact.dtype == "float64"  # models without points are
    near = how_of(None, problem(n=2000), near=True)
    assert near.device == CPU.name


def test_a_machine_without_a_gpu_keeps_its_plan():
    for M, given in ((None, problem()), (5, problem()), (260, problem(n=3000))):
        usual = plan(M, given, dtype="float64").structure
        assert usual.how.device == ""
        assert plan(M, given, dtype="auto", places=(Device(),)).structure == usual


def test_auto_is_float64_where_float32_cannot_hold_x():
    X = np.random.RandomState(0).randn(50, 2)
    assert placing.precision_on(GPU, "auto", 5, X) == "float32"
    assert placing.precision_on(CPU, "auto", 5, X) == "float64"
    for column in (X[:, 0] * 1e36, X[:, 0] * 1e-36):
        wide = np.column_stack([column, X[:, 1]])
        assert placing.precision_on(GPU, "auto", 5, wide) == "float64"
    assert placing.precision_on(GPU, "auto", 5, np.column_stack([X, np.ones(50)])) == "float32"


@pytest.mark.parametrize("gib", [2.0, 16.0, 80.0])
def test_chunks_follow_the_memory_of_the_device(gib):
    place = GPU._replace(n_bytes=gib * 2**30)
    given, M = problem(THREE, n=MANY), 200
    found = plan(M, given, places=(place,), batch_size=None)
    in_an_array = 8.0 * 3 * M * found.settings.chunk_size
    assert found.structure.how.chunked == (found.settings.chunk_size < MANY)
    if found.structure.how.chunked:
        # all the memory but for a chunk's last row
        np.testing.assert_allclose(TUNING.gpu_arrays * in_an_array, place.n_bytes, rtol=1e-3)
    # batches grow as on a CPU: the device changes no number
    usual = plan(M, given)
    grown = plan(M, given, places=(place,))
    assert grown.largest_batch == usual.largest_batch
    unknown = plan(M, given, places=(GPU._replace(n_bytes=np.inf),), batch_size=None)
    assert unknown.settings.chunk_size == plan(M, given, batch_size=None).settings.chunk_size


def test_an_exact_model_beyond_the_memory_of_the_device_is_refused(with_gpu, monkeypatch, many):
    monkeypatch.setattr(devices, "_most_bytes", lambda name: 2.0**20)
    X = np.random.RandomState(0).randn(7000, 1)
    settings = {**SETTINGS, "n_inducing": None, "n_neighbors": None}
    with pytest.raises(ValueError, match="at least 1 GiB for the 7,000.*or device='cpu'"):
        GaussianProcessRegressor(**settings, device="gpu").fit(X, X[:, 0])


# --- a fit on the device ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["exact", "SGPR", "three classes"])
def test_a_fit_on_what_is_seen_as_a_gpu(name, many, with_gpu, trainings):
    model = fit(name, *many, device="gpu", dtype="float64")
    assert any(structure.how.device == with_gpu.name for structure, _ in operations("graph"))
    usual = fit(name, *many, device="cpu")
    np.testing.assert_allclose(model.elbo_, usual.elbo_, rtol=1e-8)
    for a, b in zip(outputs(model, many[0]), outputs(usual, many[0]), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-8)
    assert clone(model).device == "gpu"


def test_float32_is_the_default_there(many, with_gpu):
    single, double = (fit("SGPR", *many, device=device) for device in ("gpu", "cpu"))
    assert single.elbo_ != double.elbo_
    for a, b in zip(outputs(single, many[0]), outputs(double, many[0]), strict=True):
        assert a.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=0, atol=5e-3)  # as in test_dtype.py


def test_verbose_names_the_device(many, with_gpu, capsys):
    fit("SGPR", *many, device="gpu", verbose=2)
    assert "on CPU:0" in "".join(capsys.readouterr())


ON_ANOTHER = """
    import warnings
    import numpy as np
    import tensorflow as tf
    from tensorflow.python.eager import context

    warnings.simplefilter("ignore")  # steps are few
    physical = tf.config.list_physical_devices("CPU")[0]
    both = [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
    tf.config.set_logical_device_configuration(physical, both)
    first, second = tf.config.list_logical_devices()
    there = [first, tf.config.LogicalDevice(second.name, "GPU")]
    tf.config.list_logical_devices = lambda kind=None: [
        d for d in there if kind in (None, d.device_type)
    ]
    from skgpng import GaussianProcessRegressor

    X = np.random.RandomState(0).randn(6000, 2)
    y = np.sin(X[:, 0])
    settings = {"n_inducing": 60, "max_iter": 5, "random_state": 0}  # too many to run in order

    def traced(call):
        context.enable_run_metadata()
        call()
        found = context.export_run_metadata().partition_graphs
        context.disable_run_metadata()
        return {(node.device[-5:], node.op) for graph in found for node in graph.node}

    # a graph is told where it is made, so that each of these has one of its own
    def where(nodes, op):
        return {device for device, name in nodes if name == op}

    def fit(**more):
        return traced(lambda: GaussianProcessRegressor(**{**settings, **more}).fit(X, y))

    # rows held out are predicted while it trains, with distances by NumPy
    nodes = fit(device="gpu", early_stopping=True)
    assert where(nodes, "Cholesky") == {"CPU:1"} and where(nodes, "PyFuncStateless") == {"CPU:0"}
    nodes = fit(device="gpu:0", n_neighbors=5, n_inducing=None)
    assert where(nodes, "Cholesky") == {"CPU:1"} and "CPU:1" not in where(nodes, "PyFuncStateless")
    assert where(fit(), "Cholesky") == {"CPU:0"}  # too little work
    own = GaussianProcessRegressor._tuning
    GaussianProcessRegressor._tuning = own._replace(gpu_work=0.0)
    assert where(fit(dtype="float64"), "Cholesky") == {"CPU:1"}
    with tf.device("/device:CPU:0"):
        assert where(fit(batch_size=300), "Cholesky") == {"CPU:0"}
        assert where(fit(batch_size=300, device="gpu"), "Cholesky") == {"CPU:1"}
"""


def test_training_runs_there_and_all_else_at_home():
    fresh(ON_ANOTHER)
