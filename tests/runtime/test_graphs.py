"""outside_graphs: estimators called while TensorFlow traces a function, or inside a tf.Graph."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from processes import fresh
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
from skgpng._runtime import compiled

RNG = np.random.RandomState(0)
X = RNG.randn(40, 2)
Y = X[:, 0] + 0.1 * RNG.randn(40)

MODELS = {
    "regressor": (GaussianProcessRegressor(RBF(), max_iter=5), Y),
    "classifier": (GaussianProcessClassifier(RBF(), max_iter=5), Y > 0),
}
CALLS = {
    "regressor": {
        "predict": lambda m: m.predict(X[:5], return_std=True),
        "covariance": lambda m: m.predict(X[:5], return_cov=True),
        "predict_quantiles": lambda m: m.predict_quantiles(X[:5]),
        "log_predictive_density": lambda m: m.log_predictive_density(X[:5], Y[:5]),
        "crps": lambda m: m.crps(X[:5], Y[:5]),
        "sample_y": lambda m: m.sample_y(X[:5]),
        "log_marginal_likelihood": lambda m: m.log_marginal_likelihood(m.kernel_.theta),
        "the prior": lambda m: clone(m).predict(X[:3], return_std=True),
    },
    "classifier": {
        "predict_proba": lambda m: m.predict_proba(X[:5]),
        "predict": lambda m: m.predict(X[:5]),
        "decision_function": lambda m: m.decision_function(X[:5]),
        "latent_mean_and_variance": lambda m: m.latent_mean_and_variance(X[:5]),
    },
}
every_model = pytest.mark.parametrize("name", MODELS)


def answers(name, model):
    """What each call gives, as one row of numbers."""
    found = {key: call(model) for key, call in CALLS[name].items()}
    parts = {key: f if isinstance(f, tuple) else (f,) for key, f in found.items()}
    return {key: np.concatenate([np.ravel(a) for a in each]) for key, each in parts.items()}


@every_model
def test_a_function_that_is_traced_gets_the_numbers(name):
    model, y = MODELS[name]
    expected = answers(name, clone(model).fit(X, y))
    found = {}

    @tf.function(autograph=False)
    def traced():
        found.update(answers(name, clone(model).fit(X, y)))
        return tf.constant(next(iter(found.values())))

    np.testing.assert_array_equal(traced(), next(iter(expected.values())))
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)


@every_model
def test_a_graph_is_refused(name):
    model, y = MODELS[name]
    fitted, other = clone(model).fit(X, y), clone(model)
    with tf.Graph().as_default():
        for call in (lambda m: other.fit(X, y), *CALLS[name].values()):
            with pytest.raises(RuntimeError, match=r"outside\s+of the graph"):
                call(fitted)
    assert not hasattr(other, "kernel_")


def test_symbolic_rows_are_refused():
    model = clone(MODELS["regressor"][0]).fit(X, Y)
    for method in (lambda rows: model.predict(rows), lambda rows: model.fit(rows, Y)):
        with pytest.raises(RuntimeError, match="symbolic tensor.*Pass NumPy"):
            tf.function(method, autograph=False)(tf.constant(X))


def test_without_eager_execution_the_error_says_so():
    out, _ = fresh("""
        import numpy as np, tensorflow as tf
        from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
        tf.compat.v1.disable_eager_execution()
        X = np.linspace(0, 1, 10)[:, None]
        for model in (GaussianProcessClassifier(), GaussianProcessRegressor()):
            try:
                model.fit(X, X[:, 0] > 0.5)
            except RuntimeError as error:
                print(error)
        """)
    assert out.count("eager execution off (tf.compat.v1.disable_eager_execution)") == 2


def test_gradients_compiled_there_are_not_zero(monkeypatch):
    """Of training, in theta and in rows: whatever came first stayed in the store."""
    model = GaussianProcessRegressor(RBF() + RBF(3.0), max_iter=5, random_state=0)

    def found():
        monkeypatch.setattr(compiled, "_COMPILED", type(compiled._COMPILED)())
        fitted = clone(model).fit(X, Y)
        gradient = fitted.log_marginal_likelihood(fitted.kernel_.theta, eval_gradient=True)[1]
        return [fitted.kernel_.theta, gradient, fitted.predict_gradient(X[:3])]

    inside = []
    tf.function(lambda: inside.extend(found()), autograph=False)()
    for ours, expected in zip(inside, found(), strict=True):
        assert np.abs(expected).min() > 0.0
        np.testing.assert_allclose(ours, expected, rtol=1e-6)
