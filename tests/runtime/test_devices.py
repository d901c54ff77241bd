"""Memory growth, the scope of training and of all else, float32 with all its digits."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from skgpng._runtime import at_home, devices, on, outside_graphs, returning_home, tensorflow, tf

SWITCH = tf.config.experimental


@pytest.mark.parametrize(("variable", "grown"), [(None, ["a", "b"]), ("false", []), ("true", [])])
def test_memory_grows_unless_the_user_says(monkeypatch, variable, grown):
    monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH", raising=False)
    if variable is not None:
        monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", variable)
    found = []
    config = SimpleNamespace(
        list_physical_devices=lambda kind: ["a", "b"] if kind == "GPU" else [],
        experimental=SimpleNamespace(set_memory_growth=lambda gpu, on: found.append(gpu) or on),
    )
    tensorflow._grow_memory(config)
    assert found == grown


def test_float32_keeps_its_digits_until_the_last_thread_leaves():
    before = SWITCH.tensor_float_32_execution_enabled()
    inside, leave = threading.Barrier(2), threading.Event()

    def other():
        with on("/device:CPU:0"):
            inside.wait()
            leave.wait()

    thread = threading.Thread(target=other)
    try:
        SWITCH.enable_tensor_float_32_execution(True)
        thread.start()
        inside.wait()
        with on("/device:CPU:0"):
            assert not SWITCH.tensor_float_32_execution_enabled()
        assert not SWITCH.tensor_float_32_execution_enabled()  # the other is still in
        leave.set()
        thread.join()
        assert SWITCH.tensor_float_32_execution_enabled()
        with on(""):  # changes nothing
            assert SWITCH.tensor_float_32_execution_enabled()
    finally:
        leave.set()
        SWITCH.enable_tensor_float_32_execution(before)


@pytest.fixture
def with_gpu(monkeypatch):
    """A GPU beside the CPU, by name only."""
    there = [tf.config.LogicalDevice(f"/device:{kind}:0", kind) for kind in ("CPU", "GPU")]
    monkeypatch.setattr(
        tf.config,
        "list_logical_devices",
        lambda kind=None: [d for d in there if kind in (None, d.device_type)],
    )


@outside_graphs
def scope():
    return tensorflow.users_scope(), tf.ones([]).device


def test_single_operations_stay_at_home_where_a_gpu_is_seen(with_gpu):
    seen = []
    with at_home():
        seen.append(tensorflow._USERS_SCOPE.get())
        with at_home():
            assert tensorflow.users_scope() == ""
    assert seen == [""] and tensorflow._USERS_SCOPE.get() is None
    with tf.device("/device:CPU:0"):
        assert scope()[0].endswith("CPU:0")
    assert scope()[0] == "" and scope()[1].endswith("CPU:0")
    assert tensorflow._USERS_SCOPE.get() is None


def test_without_a_gpu_no_scope_is_entered():
    with at_home():
        assert tensorflow._USERS_SCOPE.get() is None


def test_a_device_without_enough_memory_left_says_so():
    with pytest.raises(MemoryError, match="memory of CPU:0 .*device='cpu'"), on("/device:CPU:0"):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")


def test_what_training_calls_returns_home(with_gpu):
    def where():
        return (
            tensorflow.importlib.import_module("tensorflow.python.eager.context")
            .context()
            .device_name
        )

    with at_home(), on("/job:localhost/device:CPU:0"):
        assert returning_home("", where) is where
        assert returning_home("/device:GPU:0", where)().endswith("CPU:0")


def test_memory_of_a_device_that_tells_none(monkeypatch):
    assert devices._most_bytes("/device:CPU:0") > 0
    assert devices._most_bytes("/device:GPU:9") == np.inf
    monkeypatch.setattr(devices, "_most_bytes", lambda name: 100.0)
    assert devices._free_bytes("/device:CPU:0") == 100.0  # without statistics
    monkeypatch.setattr(SWITCH, "get_memory_info", lambda name: {"current": 30, "peak": 40})
    assert devices._free_bytes("/device:GPU:0") == 70.0
