"""Threads that share models, or fit their own, and a TensorFlow that has only one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from processes import fresh
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor

KERNEL = ConstantKernel(1.5) * RBF([1.0, 2.0])
SETTINGS = {"kernel": KERNEL, "max_iter": 10, "random_state": 0}
MODELS = {
    "exact": GaussianProcessRegressor(**SETTINGS),
    "minibatches": GaussianProcessRegressor(n_inducing=8, batch_size=20, **SETTINGS),
    "labels": GaussianProcessClassifier(**SETTINGS),
}


def fit(name, rows):
    X, y = rows
    model = clone(MODELS[name])
    return model.fit(X, np.digitize(y, [-0.5, 0.5]) if name == "labels" else y)


def answers(model, X):
    """Every prediction the model gives."""
    if isinstance(model, GaussianProcessRegressor):
        return [*model.predict(X, return_std=True), model.sample_y(X, 2)]
    return [model.predict_proba(X), model.decision_function(X), model.predict(X)]


def assert_equal(a, b):
    for left, right in zip(a, b, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("name", MODELS)
def test_threads_share_a_fitted_model(name, rows):
    model, X = fit(name, rows), rows[0]
    parts = [X[k:] for k in range(8)]
    expected = [answers(model, part) for part in parts]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            found = pool.map(lambda part: answers(model, part), parts)
            for got, want in zip(found, expected, strict=True):
                assert_equal(got, want)


def test_threads_fit_models_of_their_own(rows):
    expected = {name: answers(fit(name, rows), rows[0]) for name in MODELS}
    names = [*MODELS] * 3
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda name: answers(fit(name, rows), rows[0]), names)
        for name, got in zip(names, found, strict=True):
            assert_equal(got, expected[name])


def test_every_model_trains_in_one_thread_whatever_its_kernel_has_inside():
    code = """
    import warnings
    from concurrent.futures import ThreadPoolExecutor
    import numpy as np, tensorflow as tf
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from sklearn.gaussian_process.kernels import RBF
    from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
    from skgpng.kernels import Kernel, squared_distance, squared_exponential

    class Branching(Kernel):
        def __init__(self, length_scale=1.0, length_scale_bounds=(1e-5, 1e5)):
            self.length_scale = length_scale
            self.length_scale_bounds = length_scale_bounds

        def covariance(self, X1, X2=None):
            K = squared_exponential(squared_distance(X1, X2, self.length_scale))
            return tf.cond(self.length_scale > 0.0, lambda: K, lambda: 0.0 * K)

    warnings.simplefilter("ignore")
    X = np.random.RandomState(0).randn(40, 2)
    y = np.sin(X[:, 0])
    def fit(cls, **settings):
        model = cls(max_iter=20, random_state=0, **settings)
        model.fit(X, y if cls is GaussianProcessRegressor else y > 0)
        return model.score(X, y if cls is GaussianProcessRegressor else y > 0)

    for cls in GaussianProcessRegressor, GaussianProcessClassifier:
        fit(cls, kernel=Branching(), optimizer="adam")
        fit(cls, kernel=Branching(), n_inducing=5, batch_size=10)
        fit(cls, kernel=Branching(), n_inducing=5)
    with ThreadPoolExecutor(4) as pool:
        fits = [pool.submit(fit, GaussianProcessRegressor, n_inducing=5) for _ in range(8)]
        assert len({f.result() for f in fits}) == 1
    print("done")
    """
    assert fresh(code)[0].strip() == "done"


def test_rows_elsewhere_are_added_up_in_the_one_thread_there_is():
    code = """
    import sys, warnings
    sys.path.append("tests")
    import numpy as np
    from estimator.elsewhere import Shards
    from skgpng import GaussianProcessClassifier, GaussianProcessRegressor

    warnings.simplefilter("ignore")
    X = np.random.RandomState(0).randn(1200, 2)
    y = np.sin(X[:, 0])
    usual = GaussianProcessRegressor._tuning
    on_a_gpu = usual._replace(algebra="graph")
    # 260: algebra by LAPACK
    for M, batch_size, tuning in (8, None, usual), (8, 100, on_a_gpu), (260, None, usual):
        for cls, target in (GaussianProcessRegressor, y), (GaussianProcessClassifier, y > 0):
            cls._tuning = tuning
            model = cls(n_inducing=M, batch_size=batch_size, max_iter=3, random_state=0)
            model._fit_elsewhere(Shards(X, target))
    print("done")
    """
    assert fresh(code, OMP_NUM_THREADS="1")[0].strip() == "done"
