"""A traced function done over by NumPy: for a few numbers TensorFlow costs more than its work.

TensorFlow takes 0.3 ms to run the covariances of one row, of which NumPy needs 0.03. The formula
stays where it was written: what is done over is the graph that it was traced to, one NumPy function
for each operation. A graph with an operation that is not in the table is left to TensorFlow.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from .tensorflow import tf

__all__ = ["Replay", "numpy_function", "replay_of"]

_FUNCTIONS = "skgpng_functions"  # of a graph: names of operations and their NumPy functions


def numpy_function(function: Callable, arguments: Sequence, types: Any, stateful: bool) -> Any:
    """``tf.numpy_function`` that a :class:`Replay` finds again."""
    found = tf.numpy_function(function, arguments, types, stateful=stateful)
    first = next(iter(tf.nest.flatten(found)))
    if not tf.executing_eagerly():
        first.graph.add_to_collection(_FUNCTIONS, (first.op.name, function))
    return found


# --- operations ------------------------------------------------------------------------------

# Functions of arrays alone.
_PLAIN: dict[str, Callable] = {
    "Abs": np.abs,
    "Acos": np.arccos,
    "Add": np.add,
    "AddV2": np.add,
    "Asin": np.arcsin,
    "Atan": np.arctan,
    "Cos": np.cos,
    "Equal": np.equal,
    "Erf": special.erf,
    "Exp": np.exp,
    "Expm1": np.expm1,
    "FloorDiv": np.floor_divide,
    "FloorMod": np.mod,
    "Greater": np.greater,
    "GreaterEqual": np.greater_equal,
    "Less": np.less,
    "LessEqual": np.less_equal,
    "Log": np.log,
    "Log1p": np.log1p,
    "LogicalAnd": np.logical_and,
    "LogicalNot": np.logical_not,
    "LogicalOr": np.logical_or,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "Mul": np.multiply,
    "Neg": np.negative,
    "NotEqual": np.not_equal,
    "OnesLike": np.ones_like,
    "Pow": np.power,
    "RealDiv": np.divide,
    "Reciprocal": np.reciprocal,
    "Sigmoid": special.expit,
    "Sin": np.sin,
    "Sqrt": np.sqrt,
    "Square": np.square,
    "Sub": np.subtract,
    "Tan": np.tan,
    "Tanh": np.tanh,
    "ZerosLike": np.zeros_like,
    "AddN": lambda *each: functools.reduce(np.add, each),
    "DivNoNan": lambda a, b: np.where(b == 0, np.zeros_like(b), np.divide(a, b)),
    "ExpandDims": lambda x, axis: np.expand_dims(x, int(axis)),
    "Fill": lambda shape, value: np.full(shape, value),
    "Reshape": np.reshape,
    "Round": np.round,  # halves to even numbers, both
    "Rsqrt": lambda x: 1.0 / np.sqrt(x),
    "SelectV2": np.where,
    "SquaredDifference": lambda a, b: np.square(a - b),
    "Tile": np.tile,
    "Transpose": np.transpose,
}
# Results are the arguments.
_AS_IT_IS = {"EnsureShape", "Identity", "IdentityN", "PreventGradient", "Snapshot", "StopGradient"}


def _reduction(op: Any, reduce: Any) -> Callable:
    keepdims, to = op.get_attr("keep_dims"), op.outputs[0].dtype.as_numpy_dtype
    # NumPy adds up integers in a wider type
    return lambda x, axes: np.asarray(
        reduce(x, axis=tuple(np.ravel(axes)), keepdims=keepdims), dtype=to
    )


def _mean(op: Any) -> Callable | None:
    """That of integers is rounded down."""
    return _reduction(op, np.mean) if op.inputs[0].dtype.is_floating else None


def _range(op: Any) -> Callable | None:
    to = op.outputs[0].dtype
    return functools.partial(np.arange, dtype=to.as_numpy_dtype) if to.is_integer else None


def _product(transpose_a: bool, transpose_b: bool) -> Callable:
    def product(a: Any, b: Any) -> Any:
        a = np.swapaxes(a, -1, -2) if transpose_a else a
        return a @ (np.swapaxes(b, -1, -2) if transpose_b else b)

    return product


def _strided_slice(op: Any) -> Callable:
    """Masks say what the k-th entry is: bit k."""
    masks = {
        name: op.get_attr(f"{name}_mask")
        for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }

    def entry(k: int, begin: Any, end: Any, step: Any) -> Any:
        has = {name: bool(mask >> k & 1) for name, mask in masks.items()}
        if has["ellipsis"]:
            return Ellipsis
        if has["new_axis"]:
            return None
        if has["shrink_axis"]:
            return int(begin)
        return slice(None if has["begin"] else begin, None if has["end"] else end, step)

    def index(*where: Any) -> tuple:
        return tuple(entry(k, *each) for k, each in enumerate(zip(*where, strict=True)))

    where = [tf.get_static_value(tensor) for tensor in op.inputs[1:]]
    if any(w is None for w in where):
        return lambda x, *where: x[index(*where)]
    known = index(*where)
    return lambda x, *_: x[known]


def _from_zero(indices: Any) -> Any:
    """As they are; IndexError for those that NumPy would count from the end, TensorFlow not."""
    if np.any(np.less(indices, 0)):
        raise IndexError(f"index {np.min(indices)} of a kernel's formula is below 0")
    return indices


def _gather(x: Any, indices: Any, axis: Any) -> Any:
    return np.take(x, _from_zero(indices), int(axis))


def _running(op: Any, total: Any, of_none: int) -> Callable:
    """Totals of all entries up to each; ``of_none`` is that of no entry."""
    exclusive, step = op.get_attr("exclusive"), -1 if op.get_attr("reverse") else 1

    def running(x: Any, axis: Any) -> Any:
        x = np.moveaxis(x, int(axis), 0)[::step]
        out = total(x, 0, dtype=x.dtype)
        if exclusive:  # without the entry itself
            out = np.roll(out, 1, 0)
            out[:1] = of_none
        return np.moveaxis(out[::step], 0, int(axis))

    return running


def _one_hot(indices: Any, depth: Any, on: Any, off: Any) -> Any:
    return np.where(np.expand_dims(indices, -1) == np.arange(depth), on, off)


def _scatter(indices: Any, updates: Any, shape: Any) -> Any:
    out = np.zeros(shape, updates.dtype)
    np.add.at(out, tuple(np.moveaxis(_from_zero(indices), -1, 0)), updates)
    return out


def _set_diagonal(x: Any, diagonal: Any, _: Any) -> Any:
    out, along = x.copy(), np.arange(min(x.shape[-2:]))
    out[..., along, along] = diagonal
    return out


def _cast(op: Any) -> Callable:
    to = op.get_attr("DstT").as_numpy_dtype
    return lambda x: np.asarray(x).astype(to)


def _shape(op: Any) -> Callable:
    to = op.get_attr("out_type").as_numpy_dtype
    return lambda x: np.array(np.shape(x), to)


def _pack(op: Any) -> Callable:
    axis = op.get_attr("axis")
    if len(op.inputs) == 1:
        return lambda x: np.expand_dims(x, axis)
    return lambda *each: np.stack(each, axis)


def _unpack(op: Any) -> Callable:
    axis, single = op.get_attr("axis"), len(op.outputs) == 1
    return lambda x: np.take(x, 0, axis) if single else [*np.moveaxis(x, axis, 0)]


def _squeeze(op: Any) -> Callable:
    axes = tuple(op.get_attr("squeeze_dims")) or None
    return lambda x: np.squeeze(x, axes)


#: Operations with settings of their own: what makes the NumPy function, or None.
_BY_SETTINGS: dict[str, Callable[[Any], Callable | None]] = {
    "BatchMatMulV2": lambda op: _product(op.get_attr("adj_x"), op.get_attr("adj_y")),
    "Cast": _cast,
    "ConcatV2": lambda op: lambda *each: np.concatenate(each[:-1], int(each[-1])),
    "Cumprod": lambda op: _running(op, np.cumprod, 1),
    "Cumsum": lambda op: _running(op, np.cumsum, 0),
    "Einsum": lambda op: functools.partial(np.einsum, op.get_attr("equation").decode()),
    "GatherV2": lambda op: None if op.get_attr("batch_dims") else _gather,
    "MatMul": lambda op: _product(op.get_attr("transpose_a"), op.get_attr("transpose_b")),
    "MatrixSetDiagV3": lambda op: _set_diagonal if tf.get_static_value(op.inputs[2]) == 0 else None,
    "Max": lambda op: _reduction(op, np.max),
    "Mean": _mean,
    "Min": lambda op: _reduction(op, np.min),
    "OneHot": lambda op: _one_hot if op.get_attr("axis") == -1 else None,
    "Pack": _pack,
    "Prod": lambda op: _reduction(op, np.prod),
    "Range": _range,
    "ScatterNd": lambda op: _scatter,
    "Shape": _shape,
    "Squeeze": _squeeze,
    "StridedSlice": _strided_slice,
    "Sum": lambda op: _reduction(op, np.sum),
    "Unpack": _unpack,
}


def _single(function: Callable) -> Callable:
    """Of a function whose one result may come in a list."""

    def call(*arguments: Any) -> Any:
        found = function(*arguments)
        return found[0] if isinstance(found, (list, tuple)) else found

    return call


def _function_of(op: Any) -> Callable | None:
    """What NumPy does in place of an operation; None where that is not known."""
    if op.type in ("PyFunc", "PyFuncStateless"):
        function = dict(op.graph.get_collection(_FUNCTIONS)).get(op.name)
        return function if function is None or len(op.outputs) > 1 else _single(function)
    if any(tensor.dtype.is_complex for tensor in op.inputs):  # products have conjugates
        return None
    by_settings = _BY_SETTINGS.get(op.type)
    return _PLAIN.get(op.type) if by_settings is None else by_settings(op)


# --- a program -------------------------------------------------------------------------------


class _Step(NamedTuple):
    """``results = function(*arguments)``, numbers of arrays."""

    function: Callable
    arguments: tuple[int, ...]
    results: tuple[int, ...]


def _run(steps: list[_Step], arrays: dict) -> None:
    """Add the results to the arrays."""
    for function, arguments, results in steps:
        found = function(*[arrays[k] for k in arguments])
        if len(results) == 1:
            arrays[results[0]] = found
        else:
            arrays.update(zip(results, found, strict=True))


class Replay:
    """A function of arrays, of steps in a row.

    ``arrays`` are those that are known, ``inputs`` those still to be given. It holds nothing of
    the graph that it comes from.
    """

    def __init__(
        self, arrays: dict, inputs: tuple[int, ...], steps: list[_Step], outputs: tuple[int, ...]
    ) -> None:
        self._arrays, self._inputs, self._steps, self._outputs = arrays, inputs, steps, outputs

    def __call__(self, *inputs: np.ndarray) -> list:
        """The outputs; what NumPy would warn of is left to whoever asked."""
        arrays = self._arrays.copy()
        arrays.update(zip(self._inputs, inputs, strict=True))
        with np.errstate(all="ignore"):
            _run(self._steps, arrays)
        return [arrays[k] for k in self._outputs]

    def given(self, *inputs: np.ndarray) -> Replay:
        """With the first inputs known: what follows from them alone is computed here, once."""
        arrays, steps = self._arrays.copy(), []
        arrays.update(zip(self._inputs, inputs, strict=False))
        with np.errstate(all="ignore"):
            for step in self._steps:
                if all(k in arrays for k in step.arguments):
                    _run([step], arrays)
                else:
                    steps.append(step)
        used = {k for step in steps for k in step.arguments} | {*self._outputs}
        kept = {k: array for k, array in arrays.items() if k in used}
        return Replay(kept, self._inputs[len(inputs) :], steps, self._outputs)


def _does_more(op: Any) -> bool:
    """Whether an operation without a result that is needed counts, as an assertion does."""
    return op.op_def.is_stateful and op.type not in ("Placeholder", "PyFunc")


def replay_of(graph: Any) -> Replay | None:
    """Of a concrete function; None where an operation of it is not in the table."""
    if graph.captured_inputs:
        return None
    names: dict[str, int] = {}

    def numbers_of(tensors: Any) -> tuple[int, ...]:
        return tuple(names.setdefault(tensor.name, len(names)) for tensor in tensors)

    needed, waiting = set(), [tensor.op for tensor in graph.outputs]
    while waiting:
        op = waiting.pop()
        if op.name not in needed:
            needed.add(op.name)
            waiting += [tensor.op for tensor in op.inputs]
    inputs = numbers_of(graph.inputs)
    arrays: dict[int, Any] = {}
    steps: list[_Step] = []
    for op in graph.graph.get_operations():  # each after those whose results it takes
        if op.name not in needed and _does_more(op):
            return None
        if op.name not in needed or op.type == "Placeholder":
            continue
        if op.type in _AS_IT_IS:
            names |= zip((out.name for out in op.outputs), numbers_of(op.inputs), strict=True)
            continue
        own = numbers_of(op.outputs)
        if op.type == "Const":
            arrays[own[0]] = tf.make_ndarray(op.get_attr("value"))
            continue
        function = _function_of(op)
        if function is None:
            return None
        steps.append(_Step(function, numbers_of(op.inputs), own))
    return Replay(arrays, inputs, steps, numbers_of(graph.outputs)).given()
