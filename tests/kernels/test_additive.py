"""Orthogonal additive kernels: the formula, and what is read from rows."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor as ScikitLearns
from sklearn.gaussian_process.kernels import RBF, CompoundKernel, Matern, WhiteKernel

from skgpng import kernels
from skgpng._runtime import tf
from skgpng.kernels import Columns, Kernel, OrthogonalAdditive, completed

RNG = np.random.RandomState(0)
X = np.column_stack([RNG.gamma(1.0, 2.0, 30), RNG.randn(30), RNG.randint(0, 3, 30), RNG.rand(30)])
WEIGHTS = RNG.uniform(0.5, 2.0, 30)
X2 = 1.5 * RNG.randn(7, 4)


def formula(kernel, n_columns=4):
    """With tensors, as in training."""
    parsed = kernels.parse(kernel)
    bound = kernels.bind(parsed.structure, tuple(map(tf.constant, parsed.values)))
    bound.check(n_columns)
    return bound


def one_column(kernel, column, x1, x2):
    """The constrained kernel, in the words of its definition."""
    q = kernel.weights[column] / kernel.weights[column].sum()
    z = kernel.nodes[column][:, None]
    k = Matern(np.broadcast_to(kernel.length_scale, 4)[column], nu=kernel.nu)
    u1, u2 = k(x1[:, None], z) @ q, k(x2[:, None], z) @ q
    return k(x1[:, None], x2[:, None]) - np.outer(u1, u2) / (q @ k(z) @ q)


def over_all_sets(kernel, x1, x2):
    each = [one_column(kernel, k, x1[:, k], x2[:, k]) for k in range(4)]
    return sum(
        kernel.order_variances[d] * np.prod([np.ones_like(each[0]), *(each[k] for k in s)], 0)
        for d in range(kernel.max_order + 1)
        for s in itertools.combinations(range(4), d)
    )


VARIANCES = (0.7, 1.3, 0.4, 2.0, 0.1, 3.0)
CASES = {
    "read": OrthogonalAdditive(),
    "one length scale": OrthogonalAdditive(0.8, max_order=1, nu=np.inf),
    "cubic": OrthogonalAdditive(order_variances=VARIANCES[:4], max_order=3, nu=1.5),
    "every set": OrthogonalAdditive(order_variances=VARIANCES[:5], max_order=4, nu=0.5),
    "more than columns": OrthogonalAdditive(order_variances=VARIANCES, max_order=5),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def kernel(request):
    return completed(request.param, X, WEIGHTS)


# --- the formula ---------------------------------------------------------------------------


def test_it_is_the_sum_over_all_sets_of_columns(kernel):
    size = np.abs(np.diag(over_all_sets(kernel, X, X))).max()
    for x1, x2 in ((X, X), (X, X2)):
        expected = over_all_sets(kernel, x1, x2)
        np.testing.assert_allclose(kernel(x1, x2), expected, rtol=1e-10, atol=1e-13 * size)
    np.testing.assert_allclose(kernel(X), kernel(X, X), rtol=0, atol=1e-14 * size)
    np.testing.assert_allclose(kernel.diag(X), np.diag(kernel(X)), rtol=1e-10)
    assert np.linalg.eigvalsh(kernel(X)).min() > -1e-12 * size


def test_functions_of_a_column_have_the_mean_zero(kernel):
    at_nodes = formula(kernel).constrained(X2, tf.constant(kernel.nodes.T)).numpy()
    mean = np.einsum("dns,ds->dn", at_nodes, kernel.weights)
    np.testing.assert_allclose(mean, 0.0, atol=1e-13 * kernel.weights.sum())


def test_a_normal_density_by_quadrature():
    """Nodes of Gauss and Hermite stand for it: of an RBF the means are known in closed form."""
    mu, delta, scale = 0.5, 1.2, 0.9
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    keep = weights > 1e-14 * weights.max()
    kernel = completed(
        OrthogonalAdditive(
            [scale], (0.0, 1.0), 1, np.inf, [mu + delta * nodes[keep]], [weights[keep]], "fixed"
        ),
        X[:, :1],
    ).set_params(order_variances_bounds="fixed")
    x = np.linspace(-2, 3, 9)
    v = scale**2 + delta**2  # as in Lu, Boukouvalas & Hensman 2022
    u = scale / np.sqrt(v) * np.exp(-0.5 * (x - mu) ** 2 / v)
    c = scale / np.sqrt(scale**2 + 2.0 * delta**2)
    k = RBF(scale)
    np.testing.assert_allclose(kernel(x[:, None]), k(x[:, None]) - np.outer(u, u) / c, atol=1e-12)
    s = np.linspace(-9.0, 10.0, 2001)
    mean = np.trapezoid(stats.norm(mu, delta).pdf(s) * kernel(x[:, None], s[:, None]), s)
    np.testing.assert_allclose(mean, 0.0, atol=1e-10)


def test_gradients_in_theta(kernel):
    _, slopes = kernel(X, eval_gradient=True)
    assert slopes.shape == (30, 30, kernel.n_dims)
    for k in range(kernel.n_dims):
        step = 1e-5 * np.eye(kernel.n_dims)[k]
        up, down = (kernel.clone_with_theta(kernel.theta + s)(X) for s in (step, -step))
        np.testing.assert_allclose(slopes[..., k], (up - down) / 2e-5, rtol=1e-5, atol=1e-7)


def test_gradients_in_rows():
    bound, upstream = formula(completed(CASES["cubic"], X)), RNG.randn(7, 7)
    rows = tf.constant(X2)
    with tf.GradientTape() as tape:
        tape.watch(rows)
        total = tf.reduce_sum(upstream * bound.covariance(rows))
    found = tape.gradient(total, rows).numpy()
    assert np.isfinite(found).all()  # rows are at no distance from themselves
    step = 1e-6 * RNG.randn(7, 4)
    up, down = (np.sum(upstream * bound.covariance(X2 + s)) for s in (step, -step))
    np.testing.assert_allclose(np.sum(found * step), 0.5 * (up - down), rtol=1e-6)


def test_columns_far_from_zero_and_in_other_units():
    unit, origin = np.array([1e3, 1e-6, 1.0, 5.0]), np.array([1e6, 0.0, -1e3, 1.0])
    for order in (1, 2):
        one, other = (
            completed(OrthogonalAdditive(max_order=order), x)(x) for x in (X, X * unit + origin)
        )
        np.testing.assert_allclose(other, one, rtol=1e-8, atol=1e-9)


# --- what is read from rows ----------------------------------------------------------------


def test_few_values_are_taken_as_they_are():
    kernel = completed(OrthogonalAdditive(), X, WEIGHTS)
    mass = [WEIGHTS[X[:, 2] == v].sum() for v in (0.0, 1.0, 2.0)]
    assert set(kernel.nodes[2]) == {0.0, 1.0, 2.0}
    for value, expected in zip((0.0, 1.0, 2.0), mass, strict=True):
        assert kernel.weights[2][kernel.nodes[2] == value].sum() == pytest.approx(expected)
    np.testing.assert_array_equal(np.sort(kernel.nodes[3]), np.sort(X[:, 3]))
    deviation = np.sqrt(np.cov(X.T, aweights=WEIGHTS, ddof=0).diagonal())
    np.testing.assert_allclose(kernel.length_scale, deviation, rtol=1e-12)
    np.testing.assert_allclose(kernel.order_variances, [1.0, 1.0 / 4.0, 1.0 / 6.0])


def test_many_values_are_taken_together():
    x = np.random.RandomState(1).gamma(1.0, 1.0, (2000, 1))
    kernel = completed(OrthogonalAdditive(max_order=1), x)
    assert kernel.nodes.shape == (1, 50) and kernel.weights.sum() == pytest.approx(2000)
    assert kernel.nodes @ kernel.weights[0] == pytest.approx(x.sum())
    at_all = formula(kernel, 1).constrained(tf.constant(x[:50]), tf.constant(x)).numpy()
    mean = np.abs(at_all.mean(2))  # of kernels of size 1; the outermost part is the widest
    assert np.median(mean) < 1e-4 and mean.max() < 5e-3


def test_a_weight_of_two_is_the_row_twice():
    twice = completed(OrthogonalAdditive(), np.vstack([X, X[:5]]))
    weighted = completed(OrthogonalAdditive(), X, 1.0 + (np.arange(30) < 5))
    np.testing.assert_allclose(weighted(X), twice(X), rtol=1e-12, atol=1e-13)


def test_a_constant_column_has_no_function():
    rows = np.column_stack([X[:, 0], np.full(30, 3.0)])
    kernel = completed(OrthogonalAdditive(max_order=1), rows)
    alone = completed(OrthogonalAdditive(max_order=1), rows[:, :1])
    alone.set_params(order_variances=kernel.order_variances)
    np.testing.assert_allclose(kernel(rows), alone(rows[:, :1]), atol=1e-14)


class Silent(Kernel):
    """What it holds, of rows that are no columns of X any more."""

    def __init__(self, kernel):
        self.kernel = kernel

    def covariance(self, X1, X2=None):
        return self.kernel.covariance(X1 * 2.0, None if X2 is None else X2 * 2.0)

    def selects(self, columns):
        return None


def test_it_is_read_wherever_it_stands():
    frame = pd.DataFrame(X, columns=list("abcd"))
    tree = 2.0 * Columns(OrthogonalAdditive(), ["d", "a"]) + RBF() ** 2 + WhiteKernel()
    found = completed(tree, frame)
    assert found.k1.k2 is not tree.k1.k2 and tree.k1.k1.k2.kernel.nodes is None
    expected = completed(OrthogonalAdditive(), X[:, [3, 0]])
    np.testing.assert_array_equal(found.k1.k1.k2.kernel.nodes, expected.nodes)
    by_name = completed(tree, X, names=list("abcd"))
    assert by_name == found and completed(found, X) is found
    both = completed(CompoundKernel([OrthogonalAdditive(), RBF()]), X)
    np.testing.assert_array_equal(both.kernels[0].nodes, completed(OrthogonalAdditive(), X).nodes)
    with pytest.raises(ValueError, match="'k1': Silent hands on what are no columns"):
        completed(Silent(OrthogonalAdditive()) + RBF(), X)


def test_what_is_given_stays():
    given = completed(OrthogonalAdditive([1.0, 2.0, 3.0, 4.0], length_scale_bounds="fixed"), X)
    np.testing.assert_array_equal(given.length_scale, [1.0, 2.0, 3.0, 4.0])
    assert given.length_scale_bounds == "fixed" and given.n_dims == 3
    assert completed(OrthogonalAdditive(2.0), X).n_dims == 4


@pytest.mark.parametrize(
    "given, match",
    [
        ({"max_order": 0}, "max_order must be an integer, 1 or more, got 0"),
        ({"max_order": 1.5}, "max_order must be an integer"),
        ({"nu": 2.0}, "nu must be one of 0.5, 1.5, 2.5, inf, got 2.0"),
        ({"nu": [0.5]}, "nu must be one of"),
        ({"order_variances": [1.0, 1.0]}, r"shape \(2,\), but max_order=2 takes \(3,\)"),
        ({"order_variances": 1.0}, r"shape \(\), but max_order=2"),
        ({"order_variances": [1.0, 1.0, -1.0]}, "'order_variances' must be positive"),
        ({"nodes": np.ones((3, 2)), "weights": np.ones((3, 2))}, r"shape \(3, 2\).* 4 columns"),
        ({"nodes": np.ones((4, 2)), "weights": np.ones((4, 3))}, "take a row for each"),
        ({"nodes": np.ones((4, 2)), "weights": np.zeros((4, 2))}, "weights must be positive"),
    ],
    ids=str,
)
def test_errors(given, match):
    with pytest.raises(ValueError, match=match):
        formula_of = completed(OrthogonalAdditive(**given), X)
        kernels.check_columns(kernels.parse(formula_of), X)


def test_before_it_has_read():
    kernel = OrthogonalAdditive(max_order=3)
    assert repr(kernel) == (
        "OrthogonalAdditive(length_scale=None, order_variances=None, max_order=3, nu=2.5)"
    )
    for use in (lambda: kernel(X), lambda: kernel.theta, lambda: (RBF() + kernel).theta):
        with pytest.raises(ValueError, match=r"is None: read from .*kernels\.completed\(kernel"):
            use()


# --- as a kernel of scikit-learn -----------------------------------------------------------


def test_it_is_a_kernel_of_scikit_learn(kernel):
    for again in (clone(kernel), pickle.loads(pickle.dumps(kernel))):
        assert again == kernel and repr(again) == repr(kernel)
    theta = kernel.theta
    assert theta.shape == (kernel.n_dims,) and kernel.bounds.shape == (len(theta), 2)
    moved = kernel.clone_with_theta(theta + 0.1)
    np.testing.assert_allclose(moved.theta, theta + 0.1, rtol=1e-12)
    assert "nodes" not in repr(kernel) and len(repr(kernel)) < 200


def test_in_scikit_learns_regressor():
    rows = X[:15, 1:3]
    y = np.sin(rows[:, 0]) + rows[:, 1]
    kernel = completed(OrthogonalAdditive(max_order=1) + WhiteKernel(0.1), rows)
    model = ScikitLearns(kernel, normalize_y=True).fit(rows, y)
    assert model.score(rows, y) > 0.98
    mean, std = model.predict(X2[:, 1:3], return_std=True)
    assert np.isfinite(mean).all() and np.isfinite(std).all()
