"""Devices that TensorFlow sees: which may be used, and a scope for what is computed on one."""

from __future__ import annotations

import contextlib
import functools
import importlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .tensorflow import HOME, tf, users_scope

__all__ = ["Device", "all_digits", "on", "places", "returning_home"]


class Device(NamedTuple):
    """Where a training may run."""

    name: str = ""  # as TensorFlow calls it; "" leaves it to TensorFlow
    apart: bool = False  # whether its memory is its own, where NumPy is not
    n_bytes: float = float("inf")  # of that memory which may be taken; infinite where not known


def places(asked: str | None) -> tuple[Device, ...]:
    """Devices that a training may run on, the first for large work; ValueError where none is there.

    One only that the user names, here or by a ``tf.device`` scope of his own. Else the first GPU,
    where TensorFlow sees one, and the CPU.

    Parameters
    ----------
    asked : str or None
        "cpu", "gpu", "gpu:1", or a name of TensorFlow's such as "/device:GPU:0".
    """
    there = tf.config.list_logical_devices()
    gpus = [device for device in there if device.device_type == "GPU"]
    scope = users_scope() if gpus else ""  # beside CPUs alone TensorFlow follows it by itself
    if asked is not None:
        return (_named(asked, f"device={asked!r}", there),)
    if scope:
        return (_named(scope, f"tf.device({scope!r})", there),)
    if not gpus:
        return (Device(),)
    return _device(gpus[0], there), _named("cpu", "", there)


def _named(name: str, told: str, there: list) -> Device:
    """The device of a name among those that are there."""
    kind, index = _parsed(name, told)
    found = [device for device in there if device.device_type == kind]
    if not 0 <= index < len(found):  # "gpu:-1" is parsed, too
        seen = ", ".join(device.name.removeprefix("/device:") for device in there)
        raise ValueError(
            f"{told} is not there: TensorFlow sees {seen}. Leave device=None, which takes what "
            "there is. A GPU needs its driver and TensorFlow's libraries for it (pip install "
            "'tensorflow[and-cuda]')."
        )
    return _device(found[index], there)


def _parsed(name: str, told: str) -> tuple[str, int]:
    """Type and number."""
    try:
        spec = tf.DeviceSpec.from_string(name if name.startswith("/") else f"/{name}")
    except ValueError:
        spec = None
    if spec is None or spec.device_type is None or spec.job not in (None, "localhost"):
        raise ValueError(
            f"{told} is no name of a device: give 'cpu', 'gpu', a number with it as in 'gpu:1', or "
            "TensorFlow's own name as in '/device:GPU:0'."
        )
    return spec.device_type, spec.device_index or 0


def _device(found: Any, there: list) -> Device:
    """Alone, the first CPU has no name: TensorFlow takes it by itself."""
    if found.device_type == "CPU":
        alone = all(device.device_type == "CPU" for device in there)
        return Device("" if alone and found is there[0] else found.name)
    return Device(found.name, True, _free_bytes(found.name))


def _free_bytes(name: str) -> float:
    """Of the memory that TensorFlow may take of a device, less what it has given out."""
    try:
        used = tf.config.experimental.get_memory_info(name.removeprefix("/device:"))["current"]
    except ValueError:  # there are no statistics
        used = 0
    return _most_bytes(name) - used


@functools.lru_cache(maxsize=16)
def _most_bytes(name: str) -> float:
    """TensorFlow has no public way to ask: where it keeps this elsewhere, it is not known."""
    try:
        library = importlib.import_module("tensorflow.python.client.device_lib")
        context = importlib.import_module("tensorflow.python.eager.context").context()
        there = library.list_local_devices(context.config)
    except (ImportError, AttributeError, tf.errors.OpError):
        return float("inf")
    return float(next((d.memory_limit for d in there if d.name == name), 0) or "inf")


# --- scopes ----------------------------------------------------------------------------------


class _AllDigits:
    """Hold float32 products to float32, in a ``with`` statement that several threads may be in.

    From NVIDIA's Ampere on TensorFlow rounds their factors to 10 bits (TensorFloat-32), with which
    squared distances are wrong in the third digit. The switch is one of the whole process: the
    first to enter saves it, the last to leave restores it.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._before = threading.Lock(), 0, True

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = tf.config.experimental.tensor_float_32_execution_enabled()
                tf.config.experimental.enable_tensor_float_32_execution(False)
            self._inside += 1

    def __exit__(self, *exception: Any) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                tf.config.experimental.enable_tensor_float_32_execution(self._before)


#: Enter it around float32 products that may be a GPU's.
all_digits = _AllDigits()


@contextlib.contextmanager
def on(name: str) -> Iterator[None]:
    """A context in which tensors are made and functions run on a device; "" changes nothing.

    MemoryError where the device has not enough of it left.
    """
    if not name:
        yield
        return
    try:
        with all_digits, tf.device(name):
            yield
    except tf.errors.ResourceExhaustedError as error:
        raise MemoryError(
            f"The memory of {name.removeprefix('/device:')} that is left, by other fits and "
            "processes too, is not enough for this fit. Use a smaller n_inducing, or device='cpu'."
        ) from error


def returning_home(name: str, function: Callable) -> Callable:
    """A function that is called :func:`on` a device, but computes beside NumPy."""

    def call(*arguments: Any) -> Any:
        with tf.device(users_scope() or HOME):
            return function(*arguments)

    return call if name else function
