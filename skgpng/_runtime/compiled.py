"""What is compiled once in a process, and called without TensorFlow's own dispatch."""

from __future__ import annotations

import collections
import functools
import gc
import importlib
import itertools
import threading
from collections.abc import Callable
from typing import Any

from .tensorflow import tf

__all__ = ["Compiled", "compiled_once", "map_leaves"]

# One thread compiles: a call that waits for the compilation of another counts as one more
# compilation, and TensorFlow warns of the fifth.
_COMPILING = threading.RLock()
# Compiled functions that are kept, 7 MiB each on average, and how many of the least recently used
# go at once: a structure of estimators takes two to four (training, predicting), so that a grid
# search over a dozen of them compiles none twice.
_KEPT, _DROPPED = 64, 16
_COMPILED: collections.OrderedDict[tuple, Compiled] = collections.OrderedDict()


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
