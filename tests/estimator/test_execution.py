"""How a fit is computed changes no number: chunks, BLAS, rows left unwhitened, a first part."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
from skgpng._estimator.tuning import TUNING

SETTINGS = {"kernel": ConstantKernel(1.0) * RBF(1.0), "n_inducing": 10, "random_state": 0}
ALL_ROWS = TUNING.part._replace(least=10**9)  # from the first step on


@pytest.fixture(scope="module")
def many_rows():
    rng = np.random.RandomState(32)
    X = rng.uniform(-3, 3, (1300, 2))
    return X, 5.0 + 2.0 * np.sin(X[:, 0]) + 0.3 * rng.randn(1300)


def fit(kind, X, y, max_iter=30, **settings):
    cls = GaussianProcessClassifier if kind == "classifier" else GaussianProcessRegressor
    y = np.digitize(y, [4.0, 6.0]) if kind == "classifier" else y
    return cls(max_iter=max_iter, **{**SETTINGS, **settings}).fit(X, y)


def outputs(model, X):
    """What it predicts."""
    if hasattr(model, "predict_proba"):
        return [model.predict_proba(X)]
    return [*model.predict(X, return_std=True)]


def assert_same_outputs(a, b, X):
    for x, y in zip(outputs(a, X), outputs(b, X), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-8)


# Labels are left unwhitened where they come in chunks.
@pytest.mark.parametrize("kind", ["collapsed", "classifier"])
def test_a_fit_in_chunks(kind, many_rows, tuned):
    tuned(part=ALL_ROWS)
    whole = fit(kind, *many_rows)
    tuned(part=ALL_ROWS, chunk=10, block=10)  # 1024 rows go at a time in any case
    model = fit(kind, *many_rows)
    np.testing.assert_allclose(model.elbo_curve_, whole.elbo_curve_, rtol=1e-8)
    assert_same_outputs(model, whole, many_rows[0][:200])


@pytest.mark.parametrize("kind", ["collapsed", "classifier"])
def test_a_fit_by_blas(kind, many_rows, tuned):
    tuned(part=ALL_ROWS)
    other = fit(kind, *many_rows, max_iter=5)
    tuned(part=ALL_ROWS, blas_from=1)
    model = fit(kind, *many_rows, max_iter=5)
    np.testing.assert_allclose(model.elbo_curve_, other.elbo_curve_, rtol=1e-8)
    assert_same_outputs(model, other, many_rows[0][:200])


def test_partial_fit_in_chunks(many_rows, tuned):
    # rows that are remembered come beside the chunks
    X, y = (np.concatenate([a, a[:900]]) for a in many_rows)
    fitted = []
    for chunk in (TUNING.chunk, 10):
        tuned(part=ALL_ROWS, chunk=chunk, stream_rows=0, stream_rows_a_point=0)  # none is kept
        model = GaussianProcessRegressor(max_iter=10, **SETTINGS)
        for part in (slice(0, 1100), slice(1100, None)):
            model.partial_fit(X[part], y[part])
        fitted.append(model)
    assert_same_outputs(*fitted, X[:200])


def test_a_classifier_begins_on_a_part_of_the_rows(many_rows, tuned):
    tuned(part=TUNING.part._replace(least=300))
    weights = np.random.RandomState(34).uniform(0.5, 2.0, len(many_rows[0]))
    X, labels = many_rows[0], np.digitize(many_rows[1], [4.0, 6.0])
    model = GaussianProcessClassifier(max_iter=60, **SETTINGS).fit(X, labels, sample_weight=weights)
    assert model.n_iter_ == 60
    assert model.score(X, labels) > 0.8  # of all classes
    before = model.elbo_
    model.set_params(warm_start=True, max_iter=1).fit(X, labels, sample_weight=weights)
    np.testing.assert_allclose(model.elbo_, before, atol=0.02 * abs(before))  # of all rows


@pytest.mark.parametrize("kind", ["collapsed", "classifier"])
@pytest.mark.parametrize("X_dtype", ["float64", "float32"])
def test_greedy_variance_fits(kind, X_dtype, many_rows):
    X, y = (a[:300] for a in many_rows)
    model = fit(kind, X.astype(X_dtype), y, inducing_init="greedy_variance")
    assert model.inducing_points_.shape == (10, 2) and model.inducing_points_.dtype == np.float64
    labels = np.digitize(y, [4.0, 6.0]) if kind == "classifier" else y
    other = fit(kind, X.astype(X_dtype), y)
    assert model.score(X, labels) > other.score(X, labels) - 0.05
