"""TensorFlow, imported when it is first needed.

Importing TensorFlow takes seconds and writes log lines to the terminal. Every module of
skgpng writes ``from ._runtime import tf``; the import happens at the first attribute
that is looked up, so that ``import skgpng`` stays quick.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sklearn
from joblib import cpu_count

from .cores import side_by_side, wished_threads

__all__ = [
    "HOME",
    "at_home",
    "custom_gradient",
    "outside_graphs",
    "tf",
    "users_scope",
    "thread_left",
]

#: Where NumPy is.
HOME = "/device:CPU:0"
# Device of the user's own ``tf.device`` scope while skgpng is at work, "" where there is none.
_USERS_SCOPE: contextvars.ContextVar[str | None] = contextvars.ContextVar(
    "skgpng_users_scope", default=None
)

# One thread imports, the others wait. Two at once would each save and restore descriptor 2, and
# the second would save, and restore, the descriptor that already leads nowhere.
_IMPORTING = threading.RLock()


class _LazyTensorFlow:
    """Stands for the ``tensorflow`` module until an attribute of it is needed."""

    def __getattr__(self, name: str) -> Any:
        with _IMPORTING:
            module = _load_tensorflow()
        value = getattr(module, name)
        # Remember the attribute: later look-ups do not come through here again.
        setattr(self, name, value)
        return value


@functools.lru_cache(maxsize=1)
def _load_tensorflow() -> Any:
    """Import TensorFlow with its log lines kept out of the user's terminal."""
    if "tensorflow" in sys.modules:  # whoever imported it has set it up as they want it
        return importlib.import_module("tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _silent_stderr():
        module = importlib.import_module("tensorflow")
        _grow_memory(module.config)
    _limit_threads(module.config.threading)
    return module


def _grow_memory(config: Any) -> None:
    """Let TensorFlow take the memory of GPUs as it is needed, not all of it at the first operation.

    Other processes, and other libraries in this one, then share it. TensorFlow's own variable goes
    first.
    """
    if "TF_FORCE_GPU_ALLOW_GROWTH" not in os.environ:
        for gpu in config.list_physical_devices("GPU"):
            config.experimental.set_memory_growth(gpu, True)


def _limit_threads(threading_config: Any) -> None:
    """Let TensorFlow use as many threads as are wished for, or the quota of a container allows.

    joblib and Dask share the cores among their workers; TensorFlow reads nothing of it. An
    operation uses the threads of one computation, those of several run side by side. TensorFlow's
    own variables go first. They are not set here, because processes started later would inherit
    them and take them for the user's wish.
    """
    limit = wished_threads()
    if limit is None and (cpu_count() < _cores_seen() or _cores_seen() == 1):
        limit = cpu_count()
    if limit is None:
        return
    # a loop that waits for sums over rows elsewhere holds one, and sums found here need another
    for pool, n in {"intra": limit, "inter": max(2, limit * side_by_side())}.items():
        if f"TF_NUM_{pool.upper()}OP_THREADS" not in os.environ:
            getattr(threading_config, f"set_{pool}_op_parallelism_threads")(n)


def thread_left() -> threading.Semaphore:
    """To be held by fits on rows elsewhere: one thread of TensorFlow is left for their sums.

    Each waits in a thread of TensorFlow's pool. As many at once as that has threads would wait for
    ever where the sums are found in this process: from a disk, or by a Dask worker that lives here.
    """
    with _LOCK:
        if not _LEFT:
            n = tf.config.threading.get_inter_op_parallelism_threads()
            n = n or int(os.environ.get("TF_NUM_INTEROP_THREADS") or 0)
            _LEFT.append(threading.Semaphore(max(1, (n or _cores_seen()) - 1)))
        return _LEFT[0]


_LOCK, _LEFT = threading.Lock(), []  # type: tuple[threading.Lock, list[threading.Semaphore]]


def _cores_seen() -> int:
    """By TensorFlow, which knows no quotas."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Send file descriptor 2 nowhere for a while.

    TensorFlow's C++ side writes lines about oneDNN and CUDA before any log level is read, so
    only the descriptor itself can stop them. Python's own errors are exceptions and still
    reach the caller.
    """
    try:
        saved = os.dup(2)
    except OSError:  # no descriptor 2 (a service without a terminal): nothing to keep clean
        yield
        return
    if sys.stderr is not None:  # it is None in a program without a console
        sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def users_scope() -> str:
    """Device of the ``tf.device`` scope that the user is in; "" where there is none."""
    known = _USERS_SCOPE.get()
    if known is not None:
        return known
    context = importlib.import_module("tensorflow.python.eager.context").context()
    return getattr(context, "device_name", None) or ""  # private: without it, no scope is seen


@contextlib.contextmanager
def at_home() -> Iterator[None]:
    """A context in which operations stay on the CPU, beside NumPy, or in the user's own scope.

    Where TensorFlow sees a GPU, it would take each single operation there, and its result back.
    """
    if _USERS_SCOPE.get() is not None or not tf.config.list_logical_devices("GPU"):
        yield
        return
    scope = users_scope()
    token = _USERS_SCOPE.set(scope)
    try:
        with tf.device(scope or HOME):
            yield
    finally:
        _USERS_SCOPE.reset(token)


def custom_gradient(function: Callable) -> Callable:
    """``tf.custom_gradient`` that does not import TensorFlow when it decorates."""

    @functools.lru_cache(maxsize=1)
    def decorated() -> Callable:
        return tf.custom_gradient(function)

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        return decorated()(*args)

    return call


def outside_graphs(method: Callable) -> Callable:
    """A method that computes at once, also while a ``tf.function`` is being traced.

    TensorFlow would only note its operations then; they are lifted out. RuntimeError where that
    cannot be: in a ``tf.Graph``, with eager execution off, or for arguments that are themselves
    part of a graph. It takes 1 us.
    """

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        if "tensorflow" not in sys.modules:
            return method(*args, **kwargs)
        if tf.executing_eagerly():
            with at_home():
                return method(*args, **kwargs)
        name = type(args[0]).__name__
        with tf.init_scope():
            if not tf.executing_eagerly():
                raise RuntimeError(
                    f"{name} computes at once, which TensorFlow cannot do inside a tf.Graph or "
                    "with eager execution off (tf.compat.v1.disable_eager_execution): call it "
                    "outside of the graph, or in another process."
                )
            if any(tf.is_tensor(a) and not hasattr(a, "numpy") for a in [*args, *kwargs.values()]):
                raise RuntimeError(
                    f"{name} was given a symbolic tensor, which has no values yet. Pass NumPy "
                    "arrays, or call it outside of the tf.function (or by tf.py_function)."
                )
            # AutoGraph would rewrite all of skgpng and scikit-learn
            return tf.autograph.experimental.do_not_convert(_in_own_thread)(method, args, kwargs)

    return call


def _in_own_thread(method: Callable, args: tuple, kwargs: dict) -> Any:
    """``method(*args, **kwargs)`` in a thread with the settings of this one.

    Where operations are lifted out of a graph no tape records, nor does one that is opened there:
    gradients would be zero, in what is compiled for good.
    """
    settings = sklearn.get_config()  # of a thread

    def run() -> Any:
        with sklearn.config_context(**settings), at_home():
            return method(*args, **kwargs)

    with ThreadPoolExecutor(1) as own:
        return own.submit(contextvars.copy_context().run, run).result()


tf: Any = _LazyTensorFlow()
