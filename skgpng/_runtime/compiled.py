"""What is compiled once in a process, and called without TensorFlow's own dispatch.

Small operations run one after the other (:func:`in_order`): TensorFlow's scheduler costs as much
as they do, and the variables of a loop cost more. Ten inducing points take 0.20 ms a step and not
0.27, an exact classifier of 100 rows 0.73 and not 1.03, its whole fit 50 ms and not 60. Beyond some
fifty points operations that run side by side gain more.
"""

from __future__ import annotations

import collections
import contextlib
import contextvars
import functools
import gc
import importlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from .replay import Replay, replay_of
from .tensorflow import tf

__all__ = ["Compiled", "compiled_once", "in_order", "map_leaves", "runs_in_order", "where_needed"]

# One thread compiles: a call that waits for the compilation of another counts as one more
# compilation, and TensorFlow warns of the fifth.
_COMPILING = threading.RLock()
# Compiled functions that are kept, 7 MiB each on average, and how many of the least recently used
# go at once: a structure of estimators takes two to four (training, predicting), so that a grid
# search over a dozen of them compiles none twice.
_KEPT, _DROPPED = 64, 16
_COMPILED: collections.OrderedDict[tuple, Compiled] = collections.OrderedDict()


def _nodes(graph: Any) -> list:
    """Operations of a graph and of its loops and branches."""
    definition = graph.as_graph_def()
    bodies = [definition.node, *(function.node_def for function in definition.library.function)]
    return [node for body in bodies for node in body]


def _forget_gradients(nodes: list) -> None:
    """Let go of the custom gradients of a graph, which nobody differentiates again.

    TensorFlow registers each under a name, for good, and it holds the graph it belongs to. (It
    has no public way to take a name back; where it keeps them elsewhere, they stay.)
    """
    there = getattr(tf.RegisterGradient.__call__, "__globals__", {}).get("gradient_registry")
    registered = getattr(there, "_registry", {})
    for node in nodes:
        name = node.attr["_gradient_op_type"].s.decode() if "_gradient_op_type" in node.attr else ""
        if name.startswith("CustomGradient-"):
            registered.pop(name, None)


_IN_ORDER = contextvars.ContextVar("skgpng_in_order", default=False)
_ONE_BY_ONE = "SINGLE_THREADED_EXECUTOR"
# Operations that hand a part of their work to another thread and wait for it: with one thread for
# all (joblib's processes) for ever. A user's kernel may have branches, as TensorFlow's own
# gradients do. Loops run where they stand.
_HANDING_ON = {"If", "StatelessIf", "Case", "StatelessCase"} | {
    "PartitionedCall",
    "StatefulPartitionedCall",
    "SymbolicGradient",
    "MapDefun",
}


@contextlib.contextmanager
def in_order() -> Iterator[None]:
    """A context for tracing what is to run one operation after the other."""
    token = _IN_ORDER.set(True)
    try:
        with tf.experimental.function_executor_type(_ONE_BY_ONE):
            yield
    finally:
        _IN_ORDER.reset(token)


def runs_in_order() -> bool:
    """Whether what is traced now is to run :func:`in_order`."""
    return _IN_ORDER.get()


def where_needed(needed: Any, value: Any, function: Callable[[], Any]) -> Any:
    """``function()`` where the tensor ``needed`` is true, else ``value``, both of one structure.

    What is to run :func:`in_order` gets a loop of at most one turn in place of a branch.
    """
    if not runs_in_order():
        return tf.cond(needed, function, lambda: value)

    def once(again: Any, value: Any) -> tuple:
        new = tf.nest.map_structure(lambda a, b: tf.ensure_shape(a, b.shape), function(), value)
        return tf.constant(False), new

    return tf.while_loop(lambda again, _: again, once, (needed, value), parallel_iterations=1)[1]


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
    inside a graph takes a tenth. Where it is ``small`` it is to run :func:`in_order`;
    ``runs_in_order`` tells whether it does.
    """

    def __init__(self, function: Any, small: bool = False) -> None:
        with in_order() if small else contextlib.nullcontext():
            self._graph = function.get_concrete_function()
        nodes = _nodes(self._graph.graph)
        self.runs_in_order = small and _HANDING_ON.isdisjoint(node.op for node in nodes)
        _forget_gradients(nodes)
        self._types = [tensor.dtype for tensor in self._graph.outputs]
        self._executor = _ONE_BY_ONE if self.runs_in_order else ""

    @functools.cached_property
    def replay(self) -> Replay | None:
        """The same on arrays by NumPy, of and to flat lists; where its operations are known."""
        return replay_of(self._graph)

    def __call__(self, *arguments: Any) -> Any:
        """The nest of tensors that the function gives, of tuples."""
        results = tf.raw_ops.StatefulPartitionedCall(
            args=[*tf.nest.flatten(arguments), *self._graph.captured_inputs],
            Tout=self._types,
            f=self._graph,
            executor_type=self._executor,
        )
        leaves = iter(results)
        return map_leaves(lambda _: next(leaves), self._graph.structured_outputs)


def compiled_once(build: Callable) -> Any:
    """Keep what ``build`` makes of hashable arguments, :class:`Compiled`.

    ``build`` gives a ``tf.function`` with an input signature, so that it is compiled once and
    here; with ``small`` to run :func:`in_order`, if it can. All share one store of bounded size,
    which the least recently used leave.
    """
    n_compiled = 0

    @functools.wraps(build)
    def get(*key: Any, small: bool = False) -> Compiled:
        if small:
            ordered = kept(True, *key)
            if ordered.runs_in_order:
                return ordered
        return kept(False, *key)

    def kept(small: bool, *key: Any) -> Compiled:
        nonlocal n_compiled
        name = build, small, *key
        with _COMPILING:
            if name not in _COMPILED:
                n_compiled += 1
                _COMPILED[name] = Compiled(build(*key), small)
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
