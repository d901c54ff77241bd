"""Gradients as TensorFlow finds them, against central differences."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from reference import differences

from skgpng._runtime import tf


def gradients(function: Callable, arguments: Sequence, upstream: Any = None) -> list:
    """Of a function, or of results in the direction ``upstream``, in each argument."""
    tensors = [tf.constant(a, tf.float64) for a in arguments]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(*tensors)
    return tape.gradient(value, tensors, upstream, unconnected_gradients="zero")


def assert_gradients(
    function: Callable,
    arguments: Sequence,
    upstream: Any = None,
    covariances: Collection[int] = (),
    rtol: float = 1e-7,
    atol: float = 1e-7,  # of differences of a function of size 1
) -> None:
    """One argument after the other; of ``covariances`` only symmetric changes are looked at."""
    found = gradients(function, arguments, upstream)
    for k, (argument, gradient) in enumerate(zip(arguments, found, strict=True)):

        def one(x: Any, k: int = k) -> float:
            value = function(*arguments[:k], x, *arguments[k + 1 :])
            if upstream is None:
                return float(value)
            pairs = zip(tf.nest.flatten(upstream), tf.nest.flatten(value), strict=True)
            return float(sum(np.sum(u * v) for u, v in pairs))

        expected, gradient = differences(one, argument), np.asarray(gradient)
        assert gradient.shape == np.shape(argument)
        if k in covariances:
            gradient, expected = (G + np.swapaxes(G, -1, -2) for G in (gradient, expected))
        np.testing.assert_allclose(
            gradient, expected, rtol=rtol, atol=atol, err_msg=f"argument {k}"
        )
