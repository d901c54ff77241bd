"""Every kernel of skgpng.kernels: what scikit-learn and training ask for, and its own oracle."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import reference
import tensorflow_probability as tfp
from kernels.cases import ARD, KERNELS, MIXED, mixed_rows
from scipy.integrate import trapezoid
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor as ScikitLearns
from sklearn.gaussian_process import kernels as sk

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor, kernels, load, save
from skgpng._runtime import tf
from skgpng.kernels import (
    ArcCosine,
    Categorical,
    ChangePoint,
    Columns,
    Cosine,
    FromTFP,
    Kernel,
    Linear,
    Periodic,
    Polynomial,
    SpectralMixture,
)

psd = tfp.math.psd_kernels
X, Z = mixed_rows(0, 12), mixed_rows(1, 5)
OURS = {k: v for k, v in (KERNELS | MIXED).items() if type(v).__module__.startswith("skgpng")}
CASES = {**OURS, "levels times others": MIXED["levels times others"]}
every_case = pytest.mark.parametrize("kernel", CASES.values(), ids=CASES.keys())


def inside(kernel):
    """Every kernel of a tree."""
    return [kernel, *(k for k in kernel.get_params().values() if isinstance(k, sk.Kernel))]


def test_every_kernel_is_covered():
    exported = {getattr(kernels, name) for name in kernels.__all__}
    concrete = {c for c in exported if isinstance(c, type) and issubclass(c, Kernel)} - {Kernel}
    covered = {type(k) for case in CASES.values() for k in inside(case)}
    assert concrete <= covered


# --- what scikit-learn asks for ----------------------------------------------------------------


@every_case
def test_it_is_a_kernel_of_scikit_learn(kernel):
    again = clone(kernel)
    assert again == kernel and repr(again) == repr(kernel)
    assert pickle.loads(pickle.dumps(kernel)) == kernel
    theta, free = kernel.theta, [h for h in kernel.hyperparameters if not h.fixed]
    assert theta.shape == (kernel.n_dims,) == (sum(h.n_elements for h in free),)
    assert kernel.bounds.shape == (len(theta), 2)
    assert np.all((kernel.bounds[:, 0] < theta) & (theta < kernel.bounds[:, 1]))
    moved = kernel.clone_with_theta(theta + 0.1)
    np.testing.assert_allclose(moved.theta, theta + 0.1, rtol=1e-12)
    np.testing.assert_allclose(moved.clone_with_theta(theta)(X), kernel(X), rtol=1e-9, atol=1e-12)
    name = free[0].name
    value = kernel.get_params()[name]
    assert np.shape(clone(kernel).set_params(**{name: value}).get_params()[name]) == np.shape(value)


@every_case
def test_values_and_gradients_in_theta(kernel):
    K, slopes = kernel(X, eval_gradient=True)
    np.testing.assert_allclose(K, kernel(X, X), rtol=1e-7, atol=1e-7)  # rounding, near r = 0
    np.testing.assert_allclose(kernel.diag(X), np.diag(K), rtol=1e-12)
    upstream = np.random.RandomState(2).randn(len(X), len(X))

    def total(theta):
        return np.sum(upstream * kernel.clone_with_theta(theta)(X))

    found = np.einsum("ij,ijk->k", upstream, slopes)
    expected = reference.differences(total, kernel.theta)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@every_case
@pytest.mark.parametrize("repeated", [False, True])
def test_it_is_positive_semidefinite_with_finite_gradients(kernel, repeated):
    rows = mixed_rows(3, 40)
    rows[20:] = rows[:20] if repeated else rows[20:]
    parsed = kernels.parse(kernel)
    values, points = tuple(map(tf.constant, parsed.values)), tf.constant(rows)
    with tf.GradientTape() as tape:
        tape.watch((values, points))
        K = kernels.covariance(parsed.structure, values, points)
        across = kernels.covariance(parsed.structure, values, points, points)
    slopes = tape.gradient([K, across], (values, points), unconnected_gradients="zero")
    assert all(np.isfinite(slope).all() for slope in tf.nest.flatten(slopes))
    np.testing.assert_allclose(K, np.transpose(K), rtol=0, atol=1e-14 * np.abs(K).max())
    assert np.linalg.eigvalsh(K).min() > -1e-13 * np.linalg.norm(K)


@every_case
def test_gradients_in_rows(kernel):
    """Of the real columns: a level does not move."""
    parsed = kernels.parse(kernel)
    values, points = tuple(map(tf.constant, parsed.values)), tf.constant(Z)
    upstream = np.random.RandomState(2).randn(len(X), len(Z))
    with tf.GradientTape() as tape:
        tape.watch(points)
        K = kernels.covariance(parsed.structure, values, tf.constant(X), points)
    found = tape.gradient(K, points, upstream, unconnected_gradients="zero")

    def total(real):
        return np.sum(upstream * kernel(X, np.column_stack([real, Z[:, 2]])))

    expected = reference.differences(total, Z[:, :2])
    np.testing.assert_allclose(found[:, :2], expected, rtol=1e-6, atol=1e-6)


@every_case
def test_float32_in_float32_out(kernel):
    parsed = kernels.parse(kernel)
    values = tuple(np.asarray(v, np.float32) for v in parsed.values)
    K = kernels.covariance(parsed.structure, values, X.astype(np.float32))
    assert K.dtype == tf.float32
    assert kernels.diagonal(parsed.structure, values, X.astype(np.float32)).dtype == tf.float32
    np.testing.assert_allclose(K, kernel(X), rtol=1e-4, atol=1e-3)  # of cubes of the rows


@every_case
def test_whether_it_is_stationary(kernel):
    shift = np.array([0.3, -2.0, 1.0])
    rows = np.column_stack([X[:, :2], X[:, 2] % 3])  # levels that stay levels
    if kernels.is_stationary(kernels.parse(kernel).structure):
        np.testing.assert_allclose(kernel(rows + shift), kernel(rows), rtol=1e-12, atol=1e-12)


# --- oracles -----------------------------------------------------------------------------------

R = np.random.RandomState(5).randn(8, 3)
ONE = np.float64(1.0)


def scaled(kernel, by):
    return psd.FeatureScaled(kernel, scale_diag=np.array(by))


ORACLES = {
    "periodic is ExpSineSquared": (
        lambda: Columns(Periodic(0.7, 2.3), [1])(R),
        lambda: sk.ExpSineSquared(0.7, 2.3)(R[:, 1:2]),
    ),
    "periodic is TFP's, of several columns": (
        lambda: Periodic(0.7, [1.0, 2.3, 4.0])(R),
        lambda: scaled(psd.ExpSinSquared(ONE, 0.7 * ONE, ONE), [1.0, 2.3, 4.0]).matrix(R, R),
    ),
    "periodic, a product of columns": (
        lambda: Periodic([0.7, 1.0, 1.5], 2.0)(R),
        lambda: np.prod(
            [sk.ExpSineSquared(s, 2.0)(R[:, [d]]) for d, s in enumerate([0.7, 1.0, 1.5])], 0
        ),
    ),
    "linear is DotProduct": (
        lambda: (sk.ConstantKernel(0.36) + Linear(1.0))(R),
        lambda: sk.DotProduct(0.6)(R),
    ),
    "linear is TFP's": (
        lambda: Linear([0.25, 1.0, 4.0])(R),
        lambda: scaled(psd.Linear(), [2.0, 1.0, 0.5]).matrix(R, R),
    ),
    "polynomial is TFP's": (
        lambda: Polynomial(3, [0.25, 1.0, 4.0], 0.0, offset_bounds="fixed")(R) + 0.49,
        lambda: scaled(psd.Polynomial(0.7 * ONE, exponent=3 * ONE), [2.0, 1.0, 0.5]).matrix(R, R),
    ),
    "polynomial is a power of DotProduct": (
        lambda: Polynomial(2, 1.0, 0.36)(R),
        lambda: (sk.DotProduct(0.6) ** 2)(R),
    ),
    "cosine": (
        lambda: Cosine([1.0, 2.3, 4.0])(R),
        lambda: np.cos(2 * np.pi * ((R[:, None] - R) / [1.0, 2.3, 4.0]).sum(-1)),
    ),
    "spectral mixture is TFP's": (
        lambda: KERNELS["spectral mixture"](R),
        lambda: psd.SpectralMixture(
            np.log([0.6, 1.5]),
            np.array(KERNELS["spectral mixture"].means),
            np.array(KERNELS["spectral mixture"].scales),
        ).matrix(R, R),
    ),
    "one component of frequency zero is an RBF": (
        lambda: SpectralMixture([1.0], [[0.0]], [[0.2]], means_bounds="fixed")(R[:, :1]),
        lambda: sk.RBF(1.0 / (0.4 * np.pi))(R[:, :1]),
    ),
    "one angle is one correlation": (
        lambda: Categorical(4, 0.6)(np.arange(4.0)[:, None]),
        lambda: np.cos(0.6) ** 2 + np.eye(4) * np.sin(0.6) ** 2,
    ),
    "the angles of a factor are products": (
        lambda: Categorical(3, [[0.3], [0.9], [2.0]])(np.arange(3.0)[:, None])[0, 1:],
        lambda: np.cos(0.3) * np.cos([0.9, 2.0]),
    ),
    "FromTFP is TFP's": (
        lambda: FromTFP("MaternFiveHalves", amplitude=1.2, length_scale=0.7)(R),
        lambda: psd.MaternFiveHalves(1.2 * ONE, 0.7 * ONE).matrix(R, R),
    ),
    "FromTFP of a function": (
        lambda: FromTFP(ard_of_tfp, scale=np.array(ARD))(R),
        lambda: sk.Matern(ARD, nu=2.5)(R),
    ),
}


def ard_of_tfp(scale):
    one = tf.ones([], scale.dtype)
    return psd.FeatureScaled(psd.MaternFiveHalves(one, one), scale_diag=scale)


@pytest.mark.parametrize("case", ORACLES)
def test_it_equals(case):
    found, expected = (evaluate() for evaluate in ORACLES[case])
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_arc_cosine_is_the_expectation_over_neurons(order):
    """Cho & Saul 2009, eq. 1: twice that of the product of activations at normal weights."""
    rows, w = np.array([[0.3, -1.2], [1.0, 0.4]]), np.array([0.5, 2.0])
    features = np.column_stack([rows * np.sqrt(w), np.full(2, np.sqrt(0.7))])
    S = features @ features.T
    grid = np.linspace(0.0, 9.0 * np.sqrt(S.max()), 1201)
    density = multivariate_normal(np.zeros(2), S).pdf(np.stack(np.meshgrid(grid, grid), -1))
    inner = grid**order * density * grid[:, None] ** order
    expected = 2.0 * trapezoid(trapezoid(inner, grid), grid)
    found = ArcCosine(order, w, 0.7)(rows)
    np.testing.assert_allclose(found[0, 1], expected, rtol=1e-4)
    np.testing.assert_allclose(np.diag(found), [1.0, 1.0, 3.0][order] * np.diag(S) ** order)


def test_change_point_is_two_kernels():
    kernel = ChangePoint(sk.RBF(0.7), sk.Matern(0.4, nu=1.5), 0.2, 3.0, column=1)
    after = 1.0 / (1.0 + np.exp(-3.0 * (R[:, 1] - 0.2)))
    expected = np.outer(1 - after, 1 - after) * sk.RBF(0.7)(R)
    expected += np.outer(after, after) * sk.Matern(0.4, nu=1.5)(R)
    np.testing.assert_allclose(kernel(R), expected, rtol=1e-10)
    far = np.array([[0.0, -1e4, 0.0], [0.0, 1e4, 0.0]])  # no overflow, and no NaN
    np.testing.assert_allclose(kernel(far), np.eye(2), atol=1e-12)


def test_all_angles_give_any_correlations():
    """One way back: the angles of a Cholesky factor give its matrix."""
    A = np.random.RandomState(3).randn(5, 5)
    C = A @ A.T / np.outer(*[np.linalg.norm(A, axis=1)] * 2)
    L, angles = np.linalg.cholesky(C), []
    for i in range(1, 5):
        left = 1.0
        for j in range(i):
            angles.append(np.arccos(L[i, j] / left))
            left *= np.sin(angles[-1])
    np.testing.assert_allclose(Categorical(5, np.array(angles)).correlations(), C, rtol=1e-10)


# --- levels ------------------------------------------------------------------------------------


def grouped(n, seed=0, n_levels=4):
    rng = np.random.RandomState(seed)
    rows = np.column_stack([rng.uniform(0, 6, n), rng.permutation(np.arange(n) % n_levels)])
    y = np.array([1.0, 1.0, -1.0, 0.3])[rows[:, 1].astype(int)] * np.sin(rows[:, 0])
    return rows, y + 0.1 * rng.randn(n)


LEVELS = Columns(sk.RBF(), [0]) * Columns(Categorical(4, np.full(6, 1.2)), [1])


@pytest.mark.parametrize("value", [2.5, -1.0, 4.0, 1e6])
def test_what_is_no_level_is_named(value):
    rows, y = grouped(60)
    model = GaussianProcessRegressor(LEVELS, max_iter=3).fit(rows, y)
    wrong = rows.copy()
    wrong[7, 1] = value
    match = r"Row 7 of X has .* in column 1, .* the levels 0 to 3 only.*OrdinalEncoder"
    classifier = GaussianProcessClassifier(LEVELS, max_iter=3)
    for attempt in (
        lambda: model.predict(wrong),
        lambda: model.log_predictive_density(wrong, y),
        lambda: GaussianProcessRegressor(LEVELS).predict(wrong),
        lambda: clone(model).fit(wrong, y),
        lambda: clone(model).set_params(n_inducing=5).partial_fit(wrong, y),
        lambda: classifier.fit(wrong, y > 0),
    ):
        with pytest.raises(ValueError, match=match):
            attempt()
    with pytest.raises(ValueError, match="Row 7 of X has .* in column 0"):
        LEVELS(wrong)
    with pytest.raises(ValueError, match="Row 7 of X has .* in column 0"):
        ScikitLearns(LEVELS).fit(wrong, y)


@pytest.mark.parametrize(
    "kernel, match",
    [
        (Categorical(0), "n_levels must be a positive integer, got 0"),
        (Categorical(3.0), "n_levels must be a positive integer"),
        (
            Columns(Categorical(4, [1.0, 1.0]), [2]),
            r"angle has the shape \(2,\), .* not fit 4 levels",
        ),
        (Categorical(4), "Categorical is a covariance on one column only, but it looks at 3"),
        (Polynomial(0), "degree must be a positive integer, got 0"),
        (Polynomial(2, offset=[1.0, 2.0, 3.0]), r"offset has the shape \(3,\)"),
        (Linear([1.0, 2.0]), "'variance' has 2 values, but X has 3 features"),
        (Periodic(1.0, [1.0, 2.0]), "'periodicity' has 2 values, but X has 3"),
        (Periodic(-1.0), "'length_scale' must be positive"),
        (ArcCosine(3), "order must be 0, 1 or 2, got 3"),
        (SpectralMixture([1.0], [[1.0]], [[1.0]]), r"means has the shape \(1, 1\), .*\(1, 3\)"),
        (ChangePoint(sk.RBF(), 3.0, 0.0, 1.0), "k2 must be a scikit-learn kernel, got 3.0"),
        (ChangePoint(sk.RBF(), sk.RBF(), 0.0, 1.0, column=3), "column=3 is not among the 3"),
        (
            ChangePoint(sk.RBF(), sk.RBF(), 0.0, 1.0, column="a"),
            "column must be the position of a column",
        ),
        (FromTFP("Nothing", scale=1.0), "psd_kernels has no 'Nothing'"),
        (FromTFP("Linear", scale=1.0), "a FromTFP .* cannot be evaluated .*'scale'"),
        (FromTFP("GammaExponential", power=0.9, length_scale=1.0), "no finite gradient"),
        (FromTFP(3), "kernel must be the name of a class"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_named(kernel, match):
    y = X[:, 0]
    with pytest.raises(ValueError, match=match):
        GaussianProcessRegressor(kernel).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not isinstance(kernel, FromTFP):  # which evaluates, and has TFP say it
            with pytest.raises(ValueError, match=match):
                kernel(X)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("init", ["kmeans", "random", "greedy_variance"])
def test_training_leaves_levels_where_they_are(init, optimizer):
    rows, y = grouped(150)
    settings = dict(inducing_init=init, optimizer=optimizer, random_state=0)
    held = GaussianProcessRegressor(
        LEVELS, n_inducing=12, train_inducing=False, max_iter=5, **settings
    )
    moved = clone(held).set_params(train_inducing=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start, Z = held.fit(rows, y).inducing_points_, moved.fit(rows, y).inducing_points_
    np.testing.assert_array_equal(Z[:, 1], start[:, 1])
    assert set(Z[:, 1]) <= {0.0, 1.0, 2.0, 3.0} and len(set(Z[:, 1])) > 2
    assert np.abs(Z[:, 0] - start[:, 0]).max() > 1e-3


def test_levels_are_learned_in_all_models(tmp_path):
    """Exact, collapsed, minibatches, a classifier and scikit-learn's: who belongs together."""
    rows, y = grouped(120)
    models = [  # seeded: minibatches of 2 seeds in 6 end before they tell the levels apart
        GaussianProcessRegressor(LEVELS),
        GaussianProcessRegressor(LEVELS, n_inducing=24, random_state=1),
        GaussianProcessRegressor(LEVELS, n_inducing=24, batch_size=60, random_state=1),
        GaussianProcessClassifier(LEVELS, n_inducing=24, random_state=1),
        ScikitLearns(1.0 * LEVELS + sk.WhiteKernel(0.01)),
    ]
    for model in models:
        labels = isinstance(model, GaussianProcessClassifier)
        model.fit(rows, y > 0 if labels else y)
        learned = next(k for k in inside(model.kernel_) if isinstance(k, Categorical))
        C = learned.correlations()
        if getattr(model, "batch_size", None) == 60:  # ends early: where it is going is enough
            assert C[0, 1] > 0.5 and max(C[0, 2], C[1, 2]) < 0.3
            continue
        assert C[0, 1] > 0.8 and C[0, 2] < -0.8 and C[1, 2] < -0.8
        assert model.score(rows, y > 0 if labels else y) > 0.9
    save(models[1], tmp_path / "model")
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(rows), models[1].predict(rows))


def test_levels_without_rows_are_the_prior():
    rows, y = grouped(60, n_levels=3)
    model = GaussianProcessRegressor(Columns(sk.RBF(), [0]) * Columns(Categorical(4, 1.0), [1]))
    _, std = model.fit(rows, y).predict([[1.0, 0.0], [1.0, 3.0]], return_std=True)
    assert std[1] > 3 * std[0]


# --- in regressors -----------------------------------------------------------------------------

# one after the other they would take minutes to compile
TOGETHER = (
    0.5 * Columns(Periodic(1.0, 3.0) + SpectralMixture([0.6], [[0.3]], [[0.1]]), [0])
    + Polynomial(2, [0.1, 1.0, 0.5])
    + 0.1 * Columns(Cosine(2.0), [1])
    + ChangePoint(ArcCosine(1, [0.5, 1.0, 2.0]), Linear([1.0, 1.0, 1.0]), 0.0, 1.0)
    + FromTFP("MaternFiveHalves", amplitude=1.0, length_scale=2.0)
)


@pytest.mark.parametrize(
    "model",
    [
        ScikitLearns(0.5 * Periodic(1.0, 3.0) + Linear([1.0, 1.0, 1.0]) + sk.WhiteKernel(0.1)),
        GaussianProcessRegressor(TOGETHER, max_iter=12),
        GaussianProcessRegressor(TOGETHER, n_inducing=20, batch_size=20, max_iter=12),
    ],
)
def test_all_are_learned_in_all_models(model):
    rng = np.random.RandomState(0)
    rows = rng.uniform(-2, 2, (40, 3))
    y = np.sin(2 * rows[:, 0]) + 0.5 * rows[:, 1] + 0.1 * rng.randn(40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(rows, y)
    assert model.score(rows, y) > 0.9
    assert np.mean(np.abs(model.kernel_.theta - model.kernel.theta) > 1e-5) > 0.8


@pytest.mark.parametrize("n_components", [1, 3])
def test_spectral_mixture_starts_at_the_waves_of_the_data(n_components):
    rng = np.random.RandomState(0)
    rows = np.column_stack([rng.uniform(0, 20, 300), rng.uniform(0, 0.2, 300)])
    y = 3 * np.sin(2 * np.pi * 0.8 * rows[:, 0]) + np.sin(2 * np.pi * 30 * rows[:, 1]) + 7.0
    start = SpectralMixture.from_data(rows, y, n_components)
    assert start.means.shape == start.scales.shape == (n_components, 2)
    assert abs(start.means[0, 0] - 0.8) < 0.02
    assert np.min(abs(start.means[:, 1] - 30)) < 2 or n_components == 1
    np.testing.assert_allclose(start.weights.sum(), 1.0)
    assert np.all(start.theta >= start.bounds[:, 0]) and np.all(start.theta <= start.bounds[:, 1])


@pytest.mark.parametrize(
    "rows, y, match",
    [
        (R[:3], R[:3, 0], "at least four rows"),
        (R, R, "y .n_samples."),
        (R, np.ones(8), "is constant"),
        (R * [1.0, 0.0, 1.0], R[:, 0], "is constant"),
        (R, np.full(8, np.nan), "must be finite"),
    ],
)
def test_from_data_says_what_it_takes(rows, y, match):
    with pytest.raises(ValueError, match=match):
        SpectralMixture.from_data(rows, y, 2)


@pytest.mark.parametrize("shift", [0.0, 2000.0])
def test_a_change_is_looked_for_where_the_rows_are(shift):
    x = np.linspace(0.0, 10.0, 120)[:, None]
    y = np.where(x < 6.0, 0.3 * np.sin(x), np.sin(6.0 * x)).ravel()
    kernel = ChangePoint(sk.RBF(2.0), sk.RBF(0.3))
    model = GaussianProcessRegressor(kernel).fit(x + shift, y)
    assert abs(model.kernel_.location - shift - 6.0) < 0.5
    with pytest.raises(ValueError, match="location, steepness of ChangePoint is None"):
        kernel(x)
