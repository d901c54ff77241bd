"""tf, imported when it is first needed: in silence, by one thread, with as many as it may use."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from processes import fresh

from skgpng._linalg import threads
from skgpng._runtime import cores, tensorflow

FIRST_USE = """
    import os, sys, threading, warnings
    import numpy as np
    from sklearn.base import clone
    from skgpng import GaussianProcessClassifier, GaussianProcessRegressor

    warnings.simplefilter("ignore")  # of three steps that are not enough
    n = 12
    X = np.random.RandomState(0).uniform(-3, 3, (40, 2))
    settings = {"n_inducing": 6, "max_iter": 3, "random_state": 0}
    models = [GaussianProcessRegressor(**settings), GaussianProcessClassifier(**settings)]
    before = os.fstat(2), len(os.listdir("/dev/fd"))
    out, together = [[None] * n for _ in models], threading.Barrier(n)

    def work(k):
        for model, results in zip(models, out):
            together.wait()
            results[k] = clone(model).fit(X, X[:, 0] > 0).predict(X)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for first, *others in out:
        assert first is not None and all(np.array_equal(first, other) for other in others)
    after = os.fstat(2), len(os.listdir("/dev/fd"))
    assert os.path.samestat(before[0], after[0]), "stderr leads elsewhere"
    assert after[1] <= before[1] + 1, "descriptors are left open"  # one is TensorFlow's own
    sys.stderr.write("still here")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="counts descriptors in /dev/fd")
def test_first_use_in_many_threads_keeps_stderr_and_says_nothing():
    _, err = fresh(FIRST_USE)
    assert err.endswith("still here")
    # TensorFlow takes it for a mistake when five calls wait for the compilation of one function
    assert err == "still here"


@pytest.mark.parametrize("console", [True, False])
def test_stderr_is_silent_and_comes_back(capfd, monkeypatch, console):
    if not console:  # as with pythonw and in some services
        monkeypatch.setattr(sys, "stderr", None)
    for error in (None, ImportError("no module")):
        try:
            with tensorflow._silent_stderr():
                os.write(2, b"noise")
                if error is not None:
                    raise error
        except ImportError as caught:
            assert caught is error
        os.write(2, b"kept")
        assert capfd.readouterr().err == "kept"


def test_closed_stderr_is_left_alone(monkeypatch):
    def closed(descriptor):
        raise OSError("Bad file descriptor")

    monkeypatch.setattr(os, "dup", closed)
    before = os.fstat(2)
    with tensorflow._silent_stderr():
        assert os.path.samestat(before, os.fstat(2))


# --- threads -------------------------------------------------------------------------------


@pytest.fixture
def process(monkeypatch):
    """``process(omp, workers)``: as this process would be if it had been started so."""
    numbers = cores.allowed_threads, cores.side_by_side, cores.wished_threads

    def forget():
        for number in (*numbers, threads.pool):
            number.cache_clear()

    def start(omp, workers=(), **count):
        n = count.get("cores", os.cpu_count())
        monkeypatch.setattr(cores, "_OMP_NUM_THREADS", omp)
        for module in (cores, tensorflow):
            monkeypatch.setattr(module, "cpu_count", lambda: n)
        monkeypatch.setattr(tensorflow, "_cores_seen", lambda: count.get("seen", n))
        each = [SimpleNamespace(state=SimpleNamespace(nthreads=k)) for k in workers]
        dask = SimpleNamespace(Worker=SimpleNamespace(_instances=each))
        monkeypatch.setitem(sys.modules, "distributed.worker", dask)
        forget()

    yield start
    monkeypatch.undo()
    forget()


def asked_of_tensorflow():
    asked = {}
    tensorflow._limit_threads(
        SimpleNamespace(
            set_intra_op_parallelism_threads=lambda n: asked.update(intra=n),
            set_inter_op_parallelism_threads=lambda n: asked.update(inter=n),
        )
    )
    return asked


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, {}),
        ({"OMP_NUM_THREADS": "2"}, {"intra": 2, "inter": 2}),
        ({"OMP_NUM_THREADS": " 3,1"}, {"intra": 3, "inter": 3}),  # threads of each nesting level
        ({"OMP_NUM_THREADS": ""}, {}),
        ({"OMP_NUM_THREADS": "0"}, {}),
        ({"OMP_NUM_THREADS": "-2"}, {}),
        ({"OMP_NUM_THREADS": "many"}, {}),
        ({"OMP_NUM_THREADS": "2", "TF_NUM_INTRAOP_THREADS": "4"}, {"inter": 2}),
        ({"OMP_NUM_THREADS": "2", "TF_NUM_INTEROP_THREADS": "4"}, {"intra": 2}),
    ],
    ids=str,
)
def test_omp_num_threads_holds_for_tensorflow(process, monkeypatch, environment, expected):
    process(environment.get("OMP_NUM_THREADS", ""))
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.delenv(name, raising=False)
        if name in environment:
            monkeypatch.setenv(name, environment[name])
    before = dict(os.environ)
    assert asked_of_tensorflow() == expected
    assert dict(os.environ) == before  # processes started later are asked anew


@pytest.mark.parametrize(
    ("omp", "workers", "each", "asked"),
    [
        ("", [4], 1, {"intra": 1, "inter": 4}),
        ("1", [4], 1, {"intra": 1, "inter": 4}),  # as its nanny sets it
        ("1", [1], 1, {"intra": 1, "inter": 1}),
        ("3", [2], 3, {"intra": 3, "inter": 6}),
        ("", [1, 2], 1, {"intra": 1, "inter": 3}),  # LocalCluster(processes=False)
        ("", [], 8, {}),
    ],
)
def test_tasks_of_dask_workers_share_the_cores(process, omp, workers, each, asked):
    process(omp, workers, cores=8)
    assert cores.allowed_threads() == each and asked_of_tensorflow() == asked
    assert cores.threads_of_all() == min(8, each * max(1, sum(workers)))


def test_a_container_has_the_cores_of_its_quota(process):
    process("", cores=3, seen=64)
    assert cores.allowed_threads() == 3 and asked_of_tensorflow() == {"intra": 3, "inter": 3}


def test_what_a_nanny_sets_in_its_own_process_is_nobodys_wish(process, monkeypatch):
    process("", cores=8)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # skgpng has been imported
    assert cores.allowed_threads() == 8


def test_computations_of_one_thread_are_done_where_they_were_asked_for(process):
    process("1", [2])
    found = threads.in_turn(lambda part: threading.get_ident(), range(3))
    assert found == 3 * [threading.get_ident()]
    process("2", cores=8)
    assert threading.get_ident() not in threads.in_turn(lambda part: threading.get_ident(), "ab")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads in /proc")
def test_tensorflow_starts_as_many_threads_as_it_may():
    code = """
        import os
        from skgpng._runtime import tf
        before = len(os.listdir("/proc/self/task"))
        tf.linalg.matmul(tf.ones([500, 500]), tf.ones([500, 500]))
        print(len(os.listdir("/proc/self/task")) - before)
    """
    started = int(fresh(code, OMP_NUM_THREADS="7")[0])
    # two pools, within and between operations, of seven each, and a thread or two beside them
    assert 14 <= started <= 16


def test_tensorflow_that_is_already_there_keeps_its_settings(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    there = ModuleType("tensorflow")  # has no config that could be changed
    monkeypatch.setitem(sys.modules, "tensorflow", there)
    assert tensorflow._load_tensorflow.__wrapped__() is there
