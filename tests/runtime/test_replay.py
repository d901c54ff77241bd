"""Graphs done over by NumPy give what TensorFlow gives, or are left to it."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

from skgpng._runtime import compiled, numpy_function

RNG = np.random.RandomState(0)
A = RNG.uniform(0.1, 0.9, (3, 4))
B = RNG.uniform(0.1, 0.9, (4, 3))


def compiled_of(function, *arguments):
    specs = [tf.TensorSpec([None] * np.ndim(a), a.dtype) for a in arguments]
    return compiled.Compiled(tf.function(function, input_signature=specs, autograph=False))


OPERATIONS = {
    "elementwise": lambda a, b: (
        tf.exp(a) / tf.sqrt(a) - tf.math.log1p(a) ** 2.5 + tf.math.rsqrt(a) * tf.abs(-a),
        tf.math.erf(b) + tf.sigmoid(b) + tf.math.expm1(b) + tf.acos(b) + tf.asin(b) + tf.atan(b),
        tf.math.divide_no_nan(b, tf.round(b)) + tf.math.squared_difference(b, 1.0),
        tf.where(a > 0.5, tf.maximum(a, 0.7), tf.minimum(a, 0.2)) + tf.tan(a) + tf.tanh(a),
        tf.add_n([a, a, a]) + tf.math.reciprocal(a) + tf.math.floormod(7.0 * a, 0.3),
    ),
    "shapes": lambda a, b: (
        tf.reshape(a, [-1]),
        tf.transpose(a[:, None, ::-1], [2, 0, 1]),
        tf.concat([a, tf.transpose(b)], 0)[..., 1:3],
        tf.stack(tf.unstack(b, num=3, axis=1)),
        tf.tile(a[1:2], [2, 1]) + tf.cast(tf.shape(a)[0], a.dtype),
        tf.gather(b, tf.range(2), axis=1) + tf.squeeze(a[:1, :1], [0]),
        tf.fill(tf.shape(b)[:1], 2.0),
    ),
    "sums": lambda a, b: (
        tf.reduce_sum(a, 1, keepdims=True) + tf.reduce_mean(a, 0) - tf.reduce_max(a),
        tf.reduce_prod(b, [0, 1]) * tf.reduce_min(b, 1),
        *(
            total(a, axis, exclusive=exclusive, reverse=reverse)
            for total in (tf.cumsum, tf.math.cumprod)
            for axis in (0, 1)
            for exclusive in (False, True)
            for reverse in (False, True)
        ),
    ),
    "products": lambda a, b: (
        a @ b,
        tf.matmul(b, a, transpose_a=True, transpose_b=True),
        tf.matmul(a[None], b[None]) + tf.einsum("ij,jk->ik", a, b),
        tf.matmul(a[None], a[None], transpose_b=True),
    ),
    "indices": lambda a, b: (
        tf.one_hot(tf.cast(tf.round(3.0 * a), tf.int32), 4, dtype=a.dtype),
        tf.scatter_nd([[0], [2], [0]], b[:3], [5, 3]),
        tf.linalg.set_diag(a @ b, a[:, 0]),
        tf.linalg.set_diag(a, a[:, 0]),
    ),
    "integers": lambda a, b: (
        tf.reduce_sum(tf.cast(1e9 * (a + 1.0), tf.int32)),  # beyond the largest
        tf.reduce_prod(tf.cast(50.0 * (a + 1.0), tf.int32), 1),
        tf.cumsum(tf.cast(1e9 * (a + 1.0), tf.int32)),
        tf.range(tf.shape(a)[1]) // 2,
        -tf.cast(9.0 * a, tf.int32) // 2,
    ),
    "a NumPy function": lambda a, b: (
        numpy_function(lambda x: [np.cos(x)], [a], [tf.float64], stateful=False)[0] + 1.0,
        *numpy_function(lambda x, y: (x + 1, y + 2), [a, b], [tf.float64] * 2, stateful=True),
    ),
}


@pytest.mark.parametrize("function", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_operations_are_those_of_tensorflow(function):
    both = compiled_of(function, A, B)
    assert both.replay is not None
    expected = tf.nest.flatten(both(A, B))
    for found in both.replay(A, B), both.replay.given(A)(B), both.replay.given(A, B)():
        assert len(found) == len(expected) > 0
        for ours, theirs in zip(found, expected, strict=True):
            assert np.asarray(ours).dtype == theirs.numpy().dtype
            np.testing.assert_allclose(ours, theirs, rtol=1e-14, atol=1e-15, strict=False)
            assert np.shape(ours) == theirs.shape


UNKNOWN = {
    "loop": lambda a: tf.map_fn(lambda row: row + 1.0, a),
    "branch": lambda a: tf.cond(tf.reduce_sum(a) > 0.0, lambda: a, lambda: -a),
    "factor": lambda a: tf.linalg.cholesky(a @ tf.transpose(a)),
    "foreign function": lambda a: tf.numpy_function(np.cos, [a], tf.float64),
    "other diagonal": lambda a: tf.linalg.set_diag(a, a[:, 0], k=1),
    "mean of integers": lambda a: tf.reduce_mean(tf.cast(10.0 * a, tf.int32)),  # 5, not 5.6
    "complex numbers": lambda a: tf.cast(
        tf.matmul(*[tf.complex(a, a + 1.0)[None]] * 2, adjoint_b=True), tf.float64
    ),
    "assertion": lambda a: (tf.debugging.assert_less(a, tf.ones_like(a)), a + 1.0)[1],
    "finite": lambda a: tf.debugging.assert_all_finite(a, "a must be finite") + 1.0,
}


@pytest.mark.parametrize("function", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_is_not_known_is_left_to_tensorflow(function):
    assert compiled_of(function, A).replay is None


@pytest.mark.parametrize(
    "function",
    [
        lambda a: tf.gather(a, tf.cast(a[:, 0] - 1.0, tf.int32) - 1),
        lambda a: tf.scatter_nd(tf.cast(a[:, :1] - 1.0, tf.int32) - 1, a, [3, 4]),
    ],
)
def test_an_index_below_zero_is_no_entry_from_the_end(function):
    both = compiled_of(function, A)
    with pytest.raises(tf.errors.InvalidArgumentError):
        both(A)
    with pytest.raises(IndexError, match="index -1 of a kernel's formula is below 0"):
        both.replay(A)


def test_it_does_not_hold_the_graph():
    one = compiled_of(OPERATIONS["a NumPy function"], A, B)
    replay, graph = one.replay, weakref.ref(one._graph.graph)
    expected = replay(A, B)
    del one
    gc.collect()
    assert graph() is None
    np.testing.assert_array_equal(replay(A, B)[0], expected[0])
