"""compiled_once: how much of it is kept, what it gives, what a kernel may hold."""

from __future__ import annotations

import collections
import functools
import gc
import weakref
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from processes import needs_proc, resident
from sklearn.gaussian_process.kernels import RBF, DotProduct, Matern, RationalQuadratic

from skgpng import GaussianProcessRegressor
from skgpng._runtime import compiled
from skgpng.kernels import Kernel, squared_distance, squared_exponential

RNG = np.random.RandomState(0)
X = RNG.randn(40, 2)
Y = X[:, 0] + 0.1 * RNG.randn(40)
ARD = [1.0, 1.0]
LEAVES = [RBF(), RBF(ARD), Matern(), Matern(ARD), RationalQuadratic(), DotProduct()]


def kernel(k):
    """The k-th structure: no two are alike for 216 of them."""
    return LEAVES[k % 6] + LEAVES[k // 6 % 6] * LEAVES[k // 36 % 6]


def fit_and_predict(k):
    model = GaussianProcessRegressor(kernel(k), n_inducing=5, optimizer=None, max_iter=2)
    model.fit(X, Y).predict(X[:3], return_std=True)


@pytest.fixture
def store(monkeypatch):
    """An empty store for four functions, of which two go at once."""
    monkeypatch.setattr(compiled, "_COMPILED", collections.OrderedDict())
    monkeypatch.setattr(compiled, "_KEPT", 4)
    monkeypatch.setattr(compiled, "_DROPPED", 2)
    yield compiled._COMPILED
    gc.collect()


def custom_gradients():
    registry = tf.RegisterGradient.__call__.__globals__["gradient_registry"]
    return sum(name.startswith("CustomGradient-") for name in registry.list())


def test_the_least_recently_used_functions_are_freed(store, monkeypatch):
    graphs, compile_one = [], compiled.Compiled.__init__

    def watched(self, *arguments):
        compile_one(self, *arguments)
        graphs.append(weakref.ref(self._graph.graph))

    monkeypatch.setattr(compiled.Compiled, "__init__", watched)
    gradients, alive = custom_gradients(), []
    for k in range(6):
        fit_and_predict(0)  # used again and again: stays
        fit_and_predict(k)
        gc.collect()
        alive.append(sum(graph() is not None for graph in graphs))
    assert len(graphs) == 12  # training and predicting of six structures, none compiled twice
    assert len(store) <= 4
    assert max(alive) <= 4
    assert graphs[0]() is not None
    assert graphs[2]() is None
    assert custom_gradients() == gradients  # they would hold every graph


def test_compiled_once_keeps_a_dozen_structures(monkeypatch):
    """At the real bound: training and predicting, twice round."""
    monkeypatch.setattr(compiled, "_COMPILED", collections.OrderedDict())

    @compiled.compiled_once
    def plus(number, text):
        spec = tf.TensorSpec([1], tf.float64)
        return tf.function(lambda x: x + number, input_signature=(spec,), autograph=False)

    keys = [(k, text) for k in range(12) for text in ("train", "predict")]
    for _ in range(2):
        for k, text in keys:
            assert plus(k, text)(np.ones([1])).numpy() == 1.0 + k
    assert plus.n_compiled() == 24


def test_a_compiled_function_gives_what_its_own_call_gives():
    spec, constant = tf.TensorSpec([None, None], tf.float64), tf.constant(np.eye(3))

    class Pair(NamedTuple):
        root: Any
        others: tuple

    @functools.partial(tf.function, input_signature=(Pair(spec, ()), spec), autograph=False)
    def function(pair, B):
        root = tf.linalg.cholesky(pair.root + constant)  # captured
        grown = tf.while_loop(lambda x: tf.reduce_sum(x) < 50.0, lambda x: [x + B], [B])[0]
        return Pair(root, (tf.cond(B[0, 0] > 0.0, lambda: grown, lambda: B), ()))

    A = RNG.randn(3, 3)
    given = Pair(tf.constant(A @ A.T), ()), tf.constant(np.ones((3, 3)))
    found, expected = compiled.Compiled(function)(*given), function(*given)
    assert isinstance(found, Pair) and found.others[1] == ()
    for a, b in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        np.testing.assert_array_equal(a, b)


# 7 MiB a structure where TensorFlow keeps them, 0.2 where they are freed.
@needs_proc
@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_structures(store):
    seen = []
    for k in range(30):
        fit_and_predict(k)
        seen.append(resident())
    assert max(seen[20:]) - max(seen[:10]) < 40.0


# --- formulas of the user's own ----------------------------------------------------------------

BEND, SHIFT = tf.Variable(np.ones(2)), tf.constant(np.full(2, 5.0))


class Bent(Kernel):
    def __init__(self, length_scale=1.0, length_scale_bounds=(1e-5, 1e5)):
        self.length_scale = length_scale
        self.length_scale_bounds = length_scale_bounds

    def covariance(self, X1, X2=None):
        X1, X2 = (None if X is None else BEND * X + SHIFT for X in (X1, X2))
        return squared_exponential(squared_distance(X1, X2, self.length_scale))


@pytest.mark.parametrize(
    "settings", [{}, {"n_inducing": 5}, {"n_inducing": 5, "batch_size": 10}], ids=str
)
def test_formulas_may_hold_tensors_and_variables_of_their_own(settings):
    y = np.sin(X[:, 0])
    bent, usual = (
        GaussianProcessRegressor(k(1.0), max_iter=10, random_state=0, **settings).fit(X, y)
        for k in (Bent, RBF)
    )
    np.testing.assert_allclose(bent.elbo_, usual.elbo_, rtol=1e-6)
    np.testing.assert_allclose(bent.predict(X), usual.predict(X), atol=1e-5)
