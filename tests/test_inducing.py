from __future__ import annotations

import numpy as np
import pytest

from skgpng import inducing

METHODS = ["kmeans", "random"]
every_method = pytest.mark.parametrize("method", METHODS)


@pytest.fixture
def X():
    return np.random.RandomState(17).randn(60, 3)


def select(method, X, n_inducing, seed=0, weights=None):
    weights = np.ones(len(X)) if weights is None else weights
    return inducing.select(method, X, n_inducing, np.random.RandomState(seed), weights)


@every_method
@pytest.mark.parametrize("n_inducing", [1, 7, 59])
def test_shape_and_distinct_rows(method, X, n_inducing):
    Z = select(method, X, n_inducing)
    assert Z.shape == (n_inducing, 3)
    assert Z.dtype == np.float64
    assert len(np.unique(Z, axis=0)) == n_inducing


@every_method
@pytest.mark.parametrize("n_inducing", [60, 100])
def test_no_more_points_than_rows(method, X, n_inducing):
    np.testing.assert_array_equal(select(method, X, n_inducing), X)


@every_method
@pytest.mark.parametrize("n_inducing", [4, 8])
def test_rows_stored_several_times_count_once(method, X, n_inducing):
    # as the estimators call it; Kuu with equal rows would be singular
    rows, weights = inducing.distinct_rows(np.tile(X[:5], (10, 1)), np.ones(50))
    Z = select(method, rows, n_inducing, weights=weights)
    assert len(Z) == len(np.unique(Z, axis=0)) == min(n_inducing, 5)


def test_distinct_rows_add_their_weights(X):
    weights = np.random.RandomState(19).uniform(0.1, 2.0, 120)
    rows, total = inducing.distinct_rows(np.repeat(X, 2, axis=0), weights)
    order = np.lexsort(X.T[::-1])
    np.testing.assert_array_equal(rows, X[order])
    np.testing.assert_allclose(total, weights.reshape(-1, 2).sum(1)[order], rtol=1e-14)


def test_column_spread(X):
    np.testing.assert_allclose(inducing.column_spread(X, np.ones(60)), X.std(0), rtol=1e-12)
    weights = np.where(np.arange(60) < 10, 2.0, 1.0)
    twice = np.concatenate([X, X[:10]])
    np.testing.assert_allclose(inducing.column_spread(X, weights), twice.std(0), rtol=1e-12)
    X[:, 1] = 0.1  # whose mean is not 0.1 to the last digit
    assert inducing.column_spread(X, weights)[1] == 1.0


@every_method
def test_seed(method, X):
    np.testing.assert_array_equal(select(method, X, 6, seed=1), select(method, X, 6, seed=1))
    assert not np.array_equal(select(method, X, 6, seed=1), select(method, X, 6, seed=2))


@every_method
def test_data_and_weights_are_left_alone(method, X):
    weights = np.linspace(0.1, 2.0, len(X))
    before = X.copy(), weights.copy()
    select(method, X, 6, weights=weights)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(weights, before[1])


def test_random_subset_takes_rows(X):
    rows = {tuple(x) for x in X}
    assert all(tuple(z) in rows for z in select("random", X, 10))


def test_random_subset_draws_in_proportion_to_weights(X):
    weights = np.where(np.arange(60) < 10, 1.0, 1e-12)
    Z = select("random", X, 10, weights=weights)
    np.testing.assert_array_equal(Z, X[:10])


def test_kmeans_goes_where_the_rows_are():
    rng = np.random.RandomState(18)
    centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    X = np.concatenate([c + 0.1 * rng.randn(20, 2) for c in centres])
    Z = select("kmeans", X, 3)
    nearest = np.linalg.norm(Z[:, None] - centres, axis=2)
    np.testing.assert_array_equal(np.sort(nearest.argmin(1)), [0, 1, 2])
    np.testing.assert_allclose(nearest.min(1), 0.0, atol=0.1)


def test_kmeans_centre_is_the_weighted_mean(X):
    weights = np.random.RandomState(19).uniform(0.1, 2.0, len(X))
    Z = select("kmeans", X, 1, weights=weights)
    np.testing.assert_allclose(Z[0], np.average(X, axis=0, weights=weights), rtol=1e-10)


def test_kmeans_does_not_depend_on_the_units(X):
    unit = np.array([1.0, 1e3, 1e-3])
    np.testing.assert_allclose(select("kmeans", X * unit, 6), select("kmeans", X, 6) * unit)


def test_kmeans_with_a_constant_column(X):
    X[:, 1] = 5.0
    Z = select("kmeans", X, 6)
    np.testing.assert_allclose(Z[:, 1], 5.0, rtol=1e-12)


def test_kmeans_draws_from_many_rows(X, monkeypatch):
    monkeypatch.setattr(inducing, "_MAX_ROWS", 30)
    assert select("kmeans", X, 6).shape == (6, 3)
