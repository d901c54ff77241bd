"""What is compiled: how much of it is kept, and what TensorFlow's graphs do to estimators."""

from __future__ import annotations

import collections
import functools
import gc
import subprocess
import sys
import weakref
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from sklearn.gaussian_process.kernels import RBF, DotProduct, Matern, RationalQuadratic
from test_growth import memory, needs_proc

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
from skgpng._runtime import compiled

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


def test_a_dozen_structures_are_compiled_once(monkeypatch):
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
        seen.append(memory())
    assert max(seen[20:]) - max(seen[:10]) < 40.0


# --- graphs of TensorFlow ----------------------------------------------------------------------

PREDICTING = {
    "predict": lambda m: m.predict(X[:5], return_std=True),
    "covariance": lambda m: m.predict(X[:5], return_cov=True),
    "predict_quantiles": lambda m: m.predict_quantiles(X[:5]),
    "log_predictive_density": lambda m: m.log_predictive_density(X[:5], Y[:5]),
    "crps": lambda m: m.crps(X[:5], Y[:5]),
    "sample_y": lambda m: m.sample_y(X[:5]),
    "evidence": lambda m: m.log_marginal_likelihood(m.kernel_.theta),
    "predict_proba": lambda m: m.predict_proba(X[:5]),
    "labels": lambda m: m.predict(X[:5]),
    "decision_function": lambda m: m.decision_function(X[:5]),
    "latent_mean_and_variance": lambda m: m.latent_mean_and_variance(X[:5]),
}
OF_CLASSIFIERS = ("predict_proba", "labels", "decision_function", "latent_mean_and_variance")


def as_tuple(result):
    return result if isinstance(result, tuple) else (result,)


def model_for(name):
    if name in OF_CLASSIFIERS:
        return GaussianProcessClassifier(max_iter=5), Y > 0
    return GaussianProcessRegressor(RBF(), max_iter=5), Y


@pytest.mark.filterwarnings("ignore:Training stopped")
@pytest.mark.parametrize("name", PREDICTING)
def test_a_function_that_is_traced_gets_the_numbers(name):
    model, y = model_for(name)
    expected = PREDICTING[name](model.fit(X, y))

    @tf.function(autograph=False)
    def traced():
        found.append(PREDICTING[name](model.fit(X, y)))
        return 0.0

    found = []
    traced()
    for a, b in zip(*map(as_tuple, (found[0], expected)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_prior_predicts_while_a_function_is_traced():
    @tf.function(autograph=False)
    def traced():
        return tf.constant(GaussianProcessRegressor(RBF()).predict(X[:3], return_std=True)[1])

    np.testing.assert_array_equal(traced(), 1.0)


@pytest.mark.filterwarnings("ignore:Training stopped")
@pytest.mark.parametrize("name", PREDICTING)
def test_a_graph_is_refused(name):
    model, y = model_for(name)
    fitted = model_for(name)[0].fit(X, y)
    with tf.Graph().as_default():
        with pytest.raises(RuntimeError, match=r"outside\s+of the graph"):
            model.fit(X, y)
        if name != "labels":
            with pytest.raises(RuntimeError, match=r"outside\s+of the graph"):
                PREDICTING[name](fitted)
    assert not hasattr(model, "kernel_")


def test_symbolic_rows_are_refused():
    model = GaussianProcessRegressor(RBF()).fit(X, Y)
    for method in (lambda rows: model.predict(rows), lambda rows: model.fit(rows, Y)):
        with pytest.raises(RuntimeError, match="symbolic tensor.*Pass NumPy"):
            tf.function(method, autograph=False)(tf.constant(X))


def test_without_eager_execution_the_error_says_so():
    code = """if True:
        import numpy as np, tensorflow as tf
        from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
        tf.compat.v1.disable_eager_execution()
        X = np.linspace(0, 1, 10)[:, None]
        for model in (GaussianProcessClassifier(), GaussianProcessRegressor()):
            try:
                model.fit(X, X[:, 0] > 0.5)
            except RuntimeError as error:
                print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.count("eager execution off (tf.compat.v1.disable_eager_execution)") == 2
