"""inducing: distinct rows, spreads, and where the points begin."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import (
    RBF,
    CompoundKernel,
    ConstantKernel,
    DotProduct,
    Matern,
    RationalQuadratic,
)

from skgpng import inducing
from skgpng.kernels import Categorical, Columns, parse

METHODS = ["kmeans", "greedy_variance", "random"]
every_method = pytest.mark.parametrize("method", METHODS)
MATERN = ConstantKernel(1.7) * Matern(1.5, nu=2.5)


@pytest.fixture
def X():
    return np.random.RandomState(17).randn(60, 3)


def select(method, X, n_inducing, seed=0, weights=None, kernel=MATERN):
    weights = np.ones(len(X)) if weights is None else weights
    rng, parsed = np.random.RandomState(seed), parse(kernel)
    return inducing.select(method, X, n_inducing, rng, weights, parsed.structure, parsed.values)


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


@pytest.fixture
def many_rows(monkeypatch):
    """The code for more than 20,000 rows, at ten."""
    monkeypatch.setattr(inducing, "_MAX_ROWS", 10)


@pytest.mark.usefixtures("many_rows")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_equal_rows_among_many(dtype, order):
    rng = np.random.RandomState(20)
    X = np.asarray(rng.randint(-2, 3, (200, 3)), dtype, order=order)
    X[::2] *= -1.0  # some zeros become -0.0
    y, weights = rng.randint(2, size=200), rng.uniform(0.1, 2.0, 200)
    kinds, kind = np.unique(np.column_stack([X, y]), axis=0, return_inverse=True)
    first, total = inducing.merge_equal_rows(weights, X, y)
    order = np.lexsort([y[first], *X[first].T[::-1]])
    np.testing.assert_array_equal(np.column_stack([X, y])[first][order], kinds)
    np.testing.assert_allclose(total[order], np.bincount(kind.ravel(), weights), rtol=1e-13)
    np.testing.assert_array_equal(
        first[order], [(kind.ravel() == k).argmax() for k in range(len(kinds))]
    )


@pytest.mark.usefixtures("many_rows")
def test_distinct_rows_of_many_do_not_depend_on_their_order(X):
    turn = np.random.RandomState(21).permutation(60)
    rows, weights = inducing.distinct_rows(X, np.full(60, 2.0))
    twice, total = inducing.distinct_rows(np.concatenate([X, X[turn]]), np.ones(120))
    np.testing.assert_array_equal(rows, twice)
    np.testing.assert_array_equal(weights, total)


def test_column_spread(X):
    np.testing.assert_allclose(inducing.column_spread(X, np.ones(60)), X.std(0), rtol=1e-12)
    weights = np.where(np.arange(60) < 10, 2.0, 1.0)
    twice = np.concatenate([X, X[:10]])
    np.testing.assert_allclose(inducing.column_spread(X, weights), twice.std(0), rtol=1e-12)
    X[:, 1] = 0.1  # whose mean is not 0.1 to the last digit
    assert inducing.column_spread(X, weights)[1] == 1.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [20, 60, 60_001])  # one block of rows, several with a short last one
def test_column_spread_in_blocks(n, dtype, monkeypatch):
    monkeypatch.setattr(inducing, "_MAX_ROWS", 20 if n < 100 else 20_000)
    rng = np.random.RandomState(22)
    X = (1e3 + rng.randn(n, 3)).astype(dtype)  # in float32 the squares would lose the spread
    weights = rng.randint(1, 4, n).astype(float)
    expected = np.repeat(X.astype(np.float64), weights.astype(int), axis=0).std(0)
    np.testing.assert_allclose(inducing.column_spread(X, weights), expected, rtol=1e-10)


@every_method
def test_seed(method, X):
    np.testing.assert_array_equal(select(method, X, 6, seed=1), select(method, X, 6, seed=1))
    assert not np.array_equal(select(method, X, 6, seed=1), select(method, X, 6, seed=2))


@every_method
@pytest.mark.parametrize("n_inducing", [6, 60])
def test_float32_rows_give_float64_points(method, X, n_inducing):
    single = X.astype(np.float32)
    Z = select(method, single, n_inducing)
    assert Z.dtype == np.float64
    expected = select(method, single.astype(np.float64), n_inducing)
    np.testing.assert_allclose(Z, expected, rtol=1e-5, atol=1e-5)


@every_method
@pytest.mark.parametrize("rows", [10, 20_000])
def test_weight_two_is_the_row_twice(method, X, rows, monkeypatch):
    monkeypatch.setattr(inducing, "_MAX_ROWS", rows)
    weights = np.where(np.arange(60) < 25, 2.0, 1.0)
    once = inducing.distinct_rows(X, weights)
    twice = inducing.distinct_rows(np.concatenate([X, X[:25]]), np.ones(85))
    np.testing.assert_array_equal(
        select(method, once[0], 6, weights=once[1]), select(method, twice[0], 6, weights=twice[1])
    )


@every_method
def test_data_and_weights_are_left_alone(method, X):
    weights = np.linspace(0.1, 2.0, len(X))
    before = X.copy(), weights.copy()
    select(method, X, 6, weights=weights)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(weights, before[1])


@pytest.mark.parametrize("method", ["random", "greedy_variance"])
def test_points_are_rows(method, X):
    rows = {tuple(x) for x in X}
    assert all(tuple(z) in rows for z in select(method, X, 10))


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


def test_kmeans_gives_levels_to_discrete_columns():
    """Real columns are those of centres, levels those of rows: none is between two others."""
    rng = np.random.RandomState(20)
    level = np.repeat([0.0, 4.0, 7.0], 20)
    X = np.column_stack([level, level + 0.1 * rng.randn(60)])
    Z = inducing.kmeans(X, 3, rng, np.ones(60), np.array([True, False]))
    np.testing.assert_array_equal(np.sort(Z[:, 0]), [0.0, 4.0, 7.0])
    for value, centre in Z:
        np.testing.assert_allclose(centre, X[level == value, 1].mean(), rtol=1e-10)
    X[:, 1] = rng.randn(60)
    Z = select("kmeans", X, 9, kernel=Columns(Categorical(8), [0]) * RBF())
    assert set(Z[:, 0]) == {0.0, 4.0, 7.0}
    assert not set(Z[:, 1]) & set(X[:, 1])


def test_kmeans_draws_from_many_rows(X, monkeypatch):
    monkeypatch.setattr(inducing, "_MAX_ROWS", 30)
    assert select("kmeans", X, 6).shape == (6, 3)


# --- greedy variance -------------------------------------------------------------------------


def slow_greedy_variance(K, first, n):
    """Positions of n rows: from ``first`` on always the one with the largest variance left."""
    chosen = [first]
    while len(chosen) < n:
        explained = K[:, chosen] @ np.linalg.solve(K[np.ix_(chosen, chosen)], K[chosen])
        chosen.append(int(np.argmax(np.diag(K - explained))))
    return chosen


@pytest.mark.parametrize(
    "kernel",
    [
        MATERN,
        RBF([0.5, 1.0, 2.0]),
        2.0 * RationalQuadratic(1.2, 0.7) + 0.1 * DotProduct(0.5),
        RBF(0.9) ** 2 + ConstantKernel(0.3),
    ],
    ids=str,
)
@pytest.mark.parametrize("ahead", [1, 5, 32])
def test_greedy_variance_is_the_slow_loop(kernel, ahead, X, monkeypatch):
    monkeypatch.setattr(inducing, "_AHEAD", ahead)
    Z = select("greedy_variance", X, 12, kernel=kernel)
    first = int(np.flatnonzero((Z[0] == X).all(1))[0])  # stationary: any row may be the first
    K = kernel(X)
    assert K[first, first] == K.diagonal().max()
    np.testing.assert_array_equal(Z, X[slow_greedy_variance(K, first, 12)])


def test_greedy_variance_adds_up_the_latent_functions(X):
    parts = RBF(0.5), 3.0 * Matern(2.0, nu=1.5)
    Z = select("greedy_variance", X, 12, kernel=CompoundKernel(parts))
    np.testing.assert_array_equal(Z, select("greedy_variance", X, 12, kernel=parts[0] + parts[1]))


def test_greedy_variance_does_not_depend_on_the_weights_of_few_rows(X):
    weights = np.random.RandomState(23).uniform(0.1, 2.0, 60)
    expected = select("greedy_variance", X, 12)
    np.testing.assert_array_equal(select("greedy_variance", X, 12, weights=weights), expected)


@pytest.mark.parametrize("limit", [("_MAX_ROWS", 30), ("_MAX_FACTOR", 6 * 30)])
def test_greedy_variance_draws_from_many_rows_in_proportion_to_weights(X, limit, monkeypatch):
    monkeypatch.setattr(inducing, *limit)
    weights = np.where(np.arange(60) < 30, 1.0, 1e-12)
    rows = {tuple(x) for x in X[:30]}
    Z = select("greedy_variance", X, 6, weights=weights)
    assert len(Z) == 6 and all(tuple(z) in rows for z in Z)


@pytest.mark.parametrize("limit", [("_MAX_ROWS", 30), ("_MAX_FACTOR", 30)])
@every_method
def test_more_points_than_the_rows_that_are_looked_at(method, X, limit, monkeypatch):
    monkeypatch.setattr(inducing, *limit)
    assert len(np.unique(select(method, X, 40), axis=0)) == 40


@pytest.mark.parametrize(
    "kernel, n_first",
    [(ConstantKernel(2.0), 1), (DotProduct(1.0), 4), (RBF(1e4), 1), (RBF(30.0), 4)],
    ids=str,
)
def test_greedy_variance_with_nothing_left_to_explain(kernel, n_first, X):
    Z = select("greedy_variance", X, 20, kernel=kernel)
    assert Z.shape == (20, 3) and np.isfinite(Z).all()
    assert len(np.unique(Z, axis=0)) == 20
    K = kernel(Z[:n_first])  # the first ones still by their variance
    assert np.linalg.cond(K) < 1e9


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_greedy_variance_of_a_kernel_without_a_variance(value, X):
    structure, values = parse(MATERN).structure, (np.array(value), np.array(1.5))
    Z = inducing.select(
        "greedy_variance", X, 6, np.random.RandomState(0), np.ones(60), structure, values
    )
    assert len(np.unique(Z, axis=0)) == 6


@pytest.mark.parametrize("n_inducing", [3, 5, 8])
def test_greedy_variance_never_takes_a_row_twice(X, n_inducing):
    Z = select("greedy_variance", np.tile(X[:5], (4, 1)), n_inducing)
    assert len(Z) == len(np.unique(Z, axis=0)) == min(n_inducing, 5)


def test_greedy_variance_needs_the_kernel(X):
    with pytest.raises(ValueError, match="needs the kernel"):
        inducing.select("greedy_variance", X, 6, np.random.RandomState(0), np.ones(60))
