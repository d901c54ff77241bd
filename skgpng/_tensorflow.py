"""TensorFlow, imported when it is first needed.

Importing TensorFlow takes seconds and writes log lines to the terminal. Every module of
skgpng writes ``from ._tensorflow import tf``; the import happens at the first attribute
that is looked up, so that ``import skgpng`` stays quick.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import gc
import importlib
import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

__all__ = [
    "Compiled",
    "allowed_threads",
    "compiled_once",
    "custom_gradient",
    "map_leaves",
    "outside_graphs",
    "tf",
]

# One thread imports, the others wait. Two at once would each save and restore descriptor 2, and
# the second would save, and restore, the descriptor that already leads nowhere.
_IMPORTING = threading.RLock()
# One thread compiles: a call that waits for the compilation of another counts as one more
# compilation, and TensorFlow warns of the fifth.
_COMPILING = threading.RLock()
# Compiled functions that are kept, 7 MiB each on average, and how many of the least recently used
# go at once: a structure of estimators takes two to four (training, predicting), so that a grid
# search over a dozen of them compiles none twice.
_KEPT, _DROPPED = 64, 16
_COMPILED: collections.OrderedDict[tuple, Compiled] = collections.OrderedDict()


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
    _limit_threads(module.config.threading)
    return module


def _limit_threads(threading_config: Any) -> None:
    """Let TensorFlow use as many threads as OMP_NUM_THREADS allows, where that is set.

    joblib sets the variable in its worker processes, so that all of them together use each core
    once; TensorFlow does not read it. Its own variables go first. They are not set here, because
    processes started later would inherit them and take them for the user's wish.
    """
    limit = _thread_limit()
    if limit is None:
        return
    for pool in ("intra", "inter"):
        if f"TF_NUM_{pool.upper()}OP_THREADS" not in os.environ:
            getattr(threading_config, f"set_{pool}_op_parallelism_threads")(limit)


def _thread_limit() -> int | None:
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # "4,2": nested levels
    return int(first) if first.isdecimal() and int(first) > 0 else None


@functools.lru_cache(maxsize=1)
def allowed_threads() -> int:
    """Threads that a computation may use: the cores of this process, or OMP_NUM_THREADS."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(cores, _thread_limit() or cores)


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


def custom_gradient(function: Callable) -> Callable:
    """``tf.custom_gradient`` that does not import TensorFlow when it decorates."""

    @functools.lru_cache(maxsize=1)
    def decorated() -> Callable:
        return tf.custom_gradient(function)

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        return decorated()(*args)

    return call


def _forget_gradients(graph: Any) -> None:
    """Let go of the custom gradients of a graph, which nobody differentiates again.

    TensorFlow registers each under a name, for good, and it holds the graph it belongs to. (It
    has no public way to take a name back; where it keeps them elsewhere, they stay.)
    """
    there = getattr(tf.RegisterGradient.__call__, "__globals__", {}).get("gradient_registry")
    registered = getattr(there, "_registry", {})
    definition = graph.as_graph_def()
    bodies = [definition.node, *(function.node_def for function in definition.library.function)]
    for node in itertools.chain(*bodies):
        name = node.attr["_gradient_op_type"].s.decode() if "_gradient_op_type" in node.attr else ""
        if name.startswith("CustomGradient-"):
            registered.pop(name, None)


def map_leaves(function: Callable, nest: Any, *others: Any) -> Any:
    """``function`` of the leaves of nests of tuples, which are alike, in a nest like the first.

    ``tf.nest`` also knows what else may be nested, and takes ten times as long.
    """
    if not isinstance(nest, tuple):
        return function(nest, *others)
    parts = (map_leaves(function, *each) for each in zip(nest, *others, strict=True))
    return type(nest)(*parts) if hasattr(nest, "_fields") else tuple(parts)


class Compiled:
    """A compiled function of nests of tensors, of the types that its signature names.

    A ``tf.function`` looks at each argument anew in each call, in Python: with forty of them that
    takes 1 to 4 ms, as long as a step with hundreds of rows. The operation that calls a function
    inside a graph takes a tenth.

    Parameters
    ----------
    function : tf.function
        With an input signature.
    """

    def __init__(self, function: Any) -> None:
        self._graph = function.get_concrete_function()
        _forget_gradients(self._graph.graph)
        self._types = [tensor.dtype for tensor in self._graph.outputs]

    def __call__(self, *arguments: Any) -> Any:
        """The nest of tensors that the function gives, of tuples."""
        results = tf.raw_ops.StatefulPartitionedCall(
            args=[*tf.nest.flatten(arguments), *self._graph.captured_inputs],
            Tout=self._types,
            f=self._graph,
        )
        leaves = iter(results)
        return map_leaves(lambda _: next(leaves), self._graph.structured_outputs)


def compiled_once(build: Callable) -> Any:
    """Keep what ``build`` makes of hashable arguments, :class:`Compiled`.

    ``build`` gives a ``tf.function`` with an input signature, so that it is compiled once and
    here. All share one store of bounded size, which the least recently used leave.
    """
    n_compiled = 0

    @functools.wraps(build)
    def get(*key: Any) -> Compiled:
        nonlocal n_compiled
        name = build, *key
        with _COMPILING:
            if name not in _COMPILED:
                n_compiled += 1
                _COMPILED[name] = Compiled(build(*key))
                _drop_oldest()
            _COMPILED.move_to_end(name)
            return _COMPILED[name]

    vars(get)["n_compiled"] = lambda: n_compiled
    return get


def _drop_oldest() -> None:
    """Where too many functions are kept, let the least recently used go, many at once.

    TensorFlow's runtime keeps what it made of them, 5 MiB each, until its own store is emptied;
    the functions that stay then take 0.1 s more, once.
    """
    if len(_COMPILED) <= _KEPT:
        return
    for _ in range(_DROPPED):
        _COMPILED.popitem(last=False)
    gc.collect()  # a graph and its operations hold each other
    context = importlib.import_module("tensorflow.python.eager.context").context()
    getattr(context, "clear_kernel_cache", lambda: None)()  # private: without it, they stay


def outside_graphs(method: Callable) -> Callable:
    """A method that computes at once, also while a ``tf.function`` is being traced.

    TensorFlow would only note its operations then; they are lifted out. RuntimeError where that
    cannot be: in a ``tf.Graph``, with eager execution off, or for arguments that are themselves
    part of a graph. It takes 1 us.
    """

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        if "tensorflow" not in sys.modules or tf.executing_eagerly():
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
            return tf.autograph.experimental.do_not_convert(method)(*args, **kwargs)

    return call


tf: Any = _LazyTensorFlow()
