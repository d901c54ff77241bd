"""The estimators as scikit-learn users handle them."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.gaussian_process import GaussianProcessRegressor as SklearnRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    ExpSineSquared,
    Matern,
    PairwiseKernel,
    RationalQuadratic,
    WhiteKernel,
)
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor, kernels

# max_iter=30: the checks fit some hundred times, and none asks for a converged fit
CHECKED = [
    estimator(n_inducing=n, batch_size=batch, max_iter=30)
    for estimator in (GaussianProcessRegressor, GaussianProcessClassifier)
    for n, batch in ((None, "auto"), (5, "auto"), ("auto", "auto"), (5, 8))
]


@pytest.fixture
def rows():
    rng = np.random.RandomState(0)
    X = rng.uniform(-3, 3, (60, 2))
    return X, 5.0 + 2.0 * np.sin(X[:, 0]) + 0.1 * rng.randn(60)


@pytest.fixture
def labels(rows):
    X, _ = rows
    return X, np.where(X[:, 0] + X[:, 1] > 0, "yes", "no")


@parametrize_with_checks(CHECKED)
def test_scikit_learn_check(estimator, check):
    check(estimator)


# --- agreement with scikit-learn -----------------------------------------------------------------


def test_exact_regression_equals_scikit_learn(rows):
    X, y = rows
    kernel = ConstantKernel(1.5) * Matern([1.0, 2.0], nu=2.5) + WhiteKernel(0.05)
    theirs = SklearnRegressor(kernel, normalize_y=True).fit(X, y)
    fixed = theirs.kernel_
    for name in fixed.get_params():
        if name.endswith("_bounds"):
            fixed.set_params(**{name: "fixed"})
    ours = GaussianProcessRegressor(fixed, n_inducing=None).fit(X, y)
    Xnew = np.random.RandomState(1).uniform(-3, 3, (10, 2))
    for a, b in zip(
        ours.predict(Xnew, return_std=True), theirs.predict(Xnew, return_std=True), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-8)
    np.testing.assert_allclose(
        ours.predict(Xnew, return_cov=True)[1], theirs.predict(Xnew, return_cov=True)[1], atol=1e-10
    )
    assert ours.elbo_ == pytest.approx(theirs.log_marginal_likelihood_value_, rel=1e-8)
    assert str(ours.kernel_) == str(theirs.kernel_)


def test_training_reaches_the_evidence_of_scikit_learn(rows):
    X, y = rows
    kernel = ConstantKernel(1.0) * RBF([1.0, 1.0]) + WhiteKernel(0.1)
    theirs = SklearnRegressor(kernel, normalize_y=True, n_restarts_optimizer=2).fit(X, y)
    ours = GaussianProcessRegressor(kernel, n_inducing=None).fit(X, y)
    # The second column is irrelevant: its length scale creeps towards the bound of 1e5 for the
    # last quarter of a nat, which the stopping rule does not wait for.
    assert ours.elbo_ > theirs.log_marginal_likelihood_value_ - 0.5


def test_sparse_with_all_rows_equals_exact(rows):
    X, y = rows
    kernel = RBF(1.0, "fixed") + WhiteKernel(0.1, "fixed")
    exact = GaussianProcessRegressor(kernel, n_inducing=None).fit(X, y)
    sparse = GaussianProcessRegressor(kernel, n_inducing=100, train_inducing=False).fit(X, y)
    for a, b in zip(
        sparse.predict(X, return_std=True), exact.predict(X, return_std=True), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4)  # jitter of 1e-6 on the inducing points
    assert sparse.elbo_ <= exact.elbo_ + 1e-6


@pytest.mark.parametrize("n_inducing", [None, 20])
def test_small_natural_gradient_steps_reach_the_exact_answer(rows, n_inducing):
    X, y = rows
    kernel = RBF(1.0, "fixed") + WhiteKernel(0.1, "fixed")
    settings = dict(n_inducing=n_inducing, train_inducing=False, random_state=0, tol=1e-9)
    at_once = GaussianProcessRegressor(kernel, **settings).fit(X, y)
    slowly = GaussianProcessRegressor(kernel, gamma=0.5, **settings).fit(X, y)
    assert slowly.elbo_ == pytest.approx(at_once.elbo_, rel=1e-6)
    np.testing.assert_allclose(slowly.predict(X), at_once.predict(X), rtol=1e-5)


@pytest.mark.parametrize(
    "kernel",
    [
        ConstantKernel(2.0) * RBF([1.0, 1.0]),
        Matern(nu=0.5),
        Matern(nu=1.5) + ConstantKernel(0.5),
        RationalQuadratic() * ConstantKernel(),
        ExpSineSquared() * RBF(),
        DotProduct() ** 2 + RBF() + WhiteKernel(0.1),
        ConstantKernel(1.0, "fixed") * RBF(1.0, (0.5, 2.0)),
    ],
    ids=str,
)
def test_learned_kernel_is_scikit_learns(rows, kernel):
    X, y = rows
    if "ExpSineSquared" in str(kernel):
        X = X[:, :1]  # positive definite in one dimension only
    model = GaussianProcessRegressor(kernel, max_iter=20).fit(X, y)
    assert type(model.kernel_) is type(kernel)
    assert model.kernel_.get_params().keys() == kernel.get_params().keys()
    assert str(model.kernel_(X[:3])) and np.all(np.isfinite(model.kernel_.theta))
    low, high = model.kernel_.bounds.T
    assert np.all((model.kernel_.theta > low - 1e-9) & (model.kernel_.theta < high + 1e-9))


# --- what fit leaves behind ----------------------------------------------------------------------


@pytest.mark.parametrize("n_inducing", [None, 10])
@pytest.mark.parametrize("batch_size", ["auto", 16])
def test_fitted_attributes_are_plain(rows, labels, n_inducing, batch_size):
    if n_inducing is None and batch_size != "auto":
        pytest.skip("minibatches need inducing points")
    for estimator, (X, y) in (
        (GaussianProcessRegressor, rows),
        (GaussianProcessClassifier, labels),
    ):
        model = estimator(n_inducing=n_inducing, batch_size=batch_size, max_iter=20).fit(X, y)
        assert isinstance(model.elbo_, float) and isinstance(model.converged_, bool)
        assert model.elbo_curve_.shape == (model.n_iter_,)
        assert n_inducing is None or type(model.inducing_points_) is np.ndarray
        assert model.elbo_curve_[-1] > model.elbo_curve_[0]
        assert "tensorflow" not in repr(pickle.dumps(model))


def test_predicting_changes_nothing_and_rows_do_not_matter(rows):
    X, y = rows
    model = GaussianProcessRegressor(n_inducing=10, max_iter=20, random_state=0).fit(X, y)
    before = pickle.dumps(model)
    whole = model.predict(X, return_std=True)
    order = np.random.RandomState(0).permutation(len(X))
    np.testing.assert_allclose(model.predict(X[order]), whole[0][order], rtol=1e-10)
    np.testing.assert_allclose(model.predict(X[:1], return_std=True)[1], whole[1][:1], rtol=1e-10)
    assert pickle.dumps(model) == before


def test_seeded_fits_are_equal(rows):
    X, y = rows
    model = GaussianProcessRegressor(n_inducing=10, batch_size=20, max_iter=30, random_state=3)
    a, b = (clone(model).fit(X, y).predict(X) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, clone(model).set_params(random_state=4).fit(X, y).predict(X))


def test_pickle_travels_to_a_fresh_process(rows, tmp_path):
    X, y = rows
    model = GaussianProcessRegressor(n_inducing=10, max_iter=10).fit(X, y)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    np.save(tmp_path / "X.npy", X)
    code = (
        "import pickle, sys, numpy as np; from pathlib import Path; p = Path(sys.argv[1]);"
        "model = pickle.loads((p / 'model.pkl').read_bytes());"
        "np.save(p / 'out.npy', model.predict(np.load(p / 'X.npy')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""  # no log noise of TensorFlow either
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), model.predict(X), rtol=1e-12)


# --- predictions ---------------------------------------------------------------------------------


def test_covariance_agrees_with_standard_deviation(rows):
    X, y = rows
    for n_inducing in (None, 10):
        model = GaussianProcessRegressor(n_inducing=n_inducing, max_iter=20).fit(X, y)
        for noise in (True, False):
            std = model.predict(X[:7], return_std=True, include_noise=noise)[1]
            cov = model.predict(X[:7], return_cov=True, include_noise=noise)[1]
            np.testing.assert_allclose(np.sqrt(np.diag(cov)), std, rtol=1e-6)
        f_std = model.predict(X[:7], return_std=True, include_noise=False)[1]
        y_std = model.predict(X[:7], return_std=True)[1]
        np.testing.assert_allclose(y_std**2 - f_std**2, model.noise_variance_, rtol=1e-6)


def test_several_targets(rows):
    X, y = rows
    Y = np.column_stack([y, -10.0 * y])
    for n_inducing in (None, 10):
        model = GaussianProcessRegressor(n_inducing=n_inducing, max_iter=20).fit(X, Y)
        mean, std = model.predict(X[:5], return_std=True)
        assert mean.shape == std.shape == (5, 2)
        assert model.predict(X[:5], return_cov=True)[1].shape == (5, 5, 2)
        assert model.sample_y(X[:5], 3).shape == (5, 2, 3)
        np.testing.assert_allclose(mean[:, 1], -10.0 * mean[:, 0], rtol=1e-6)
        np.testing.assert_allclose(model.noise_variance_[1], 100.0 * model.noise_variance_[0])


def test_samples_have_the_predicted_moments(rows):
    X, y = rows
    model = GaussianProcessRegressor(max_iter=20).fit(X, y)
    draws = model.sample_y(X[:4], 20_000, random_state=1)
    mean, cov = model.predict(X[:4], return_cov=True)
    np.testing.assert_allclose(draws.mean(1), mean, atol=5 * np.sqrt(cov.max() / 20_000))
    np.testing.assert_allclose(np.cov(draws), cov, atol=0.05 * cov.max())
    np.testing.assert_array_equal(draws, model.sample_y(X[:4], 20_000, random_state=1))


def test_quantiles_and_log_density(rows):
    X, y = rows
    model = GaussianProcessRegressor(max_iter=20).fit(X, y)
    mean, std = model.predict(X, return_std=True)
    low, middle, high = model.predict_quantiles(X).T
    np.testing.assert_allclose(middle, mean)
    np.testing.assert_allclose(high - low, 2 * 1.959963985 * std, rtol=1e-6)
    density = np.exp(-0.5 * ((y - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(model.log_predictive_density(X, y), np.log(density))


def test_fixed_noise_is_in_the_units_of_y(rows):
    X, y = rows
    model = GaussianProcessRegressor(alpha=0.04, max_iter=20).fit(X, y)
    assert model.noise_variance_ == pytest.approx(0.04)
    shifted = GaussianProcessRegressor(alpha=0.04 * 100, max_iter=20).fit(X, 10 * y + 3)
    np.testing.assert_allclose(shifted.predict(X), 10 * model.predict(X) + 3, rtol=1e-6)


def test_known_noise_of_each_row(rows):
    X, y = rows
    kernel = RBF(1.0, "fixed")
    noisy = y.copy()
    noisy[0] += 50.0
    known = np.zeros(len(y))
    known[0] = 1e8  # says: do not trust this row
    trusting = GaussianProcessRegressor(kernel, alpha=0.01, normalize_y=False)
    without = clone(trusting).fit(X[1:], y[1:])
    told = clone(trusting).fit(X, noisy, noise_variance=known)
    np.testing.assert_allclose(told.predict(X), without.predict(X), atol=1e-4)


@pytest.mark.parametrize("n_inducing", [None, 8])
def test_weights_equal_repetitions(rows, labels, n_inducing):
    weights = np.tile([0, 1, 2], 20)
    for estimator, (X, y) in (
        (GaussianProcessRegressor, rows),
        (GaussianProcessClassifier, labels),
    ):
        model = estimator(n_inducing=n_inducing, max_iter=25, random_state=0)
        weighted = clone(model).fit(X, y, sample_weight=weights)
        repeated = clone(model).fit(np.repeat(X, weights, 0), np.repeat(y, weights))
        out = "predict" if estimator is GaussianProcessRegressor else "predict_proba"
        np.testing.assert_allclose(
            getattr(weighted, out)(X), getattr(repeated, out)(X), rtol=1e-5, atol=1e-7
        )


def test_classifier_probabilities(labels):
    X, y = labels
    model = GaussianProcessClassifier(max_iter=60).fit(X, y)
    p = model.predict_proba(X)
    np.testing.assert_allclose(p.sum(1), 1.0)
    assert list(model.classes_) == ["no", "yes"] and model.score(X, y) > 0.95
    np.testing.assert_array_equal(model.decision_function(X) > 0, p[:, 1] > 0.5)
    mean, variance = model.latent_mean_and_variance(X)
    assert mean.shape == variance.shape == (60,) and np.all(variance > 0)


@pytest.mark.parametrize("n_inducing", [None, 30])
def test_many_classes(n_inducing):
    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])
    model = GaussianProcessClassifier(n_inducing=n_inducing, random_state=0).fit(X, names[y])
    p = model.predict_proba(X)
    np.testing.assert_allclose(p.sum(1), 1.0)
    assert p.shape == (150, 3) and model.score(X, names[y]) > 0.95
    np.testing.assert_array_equal(model.decision_function(X).argmax(1), p.argmax(1))
    assert model.latent_mean_and_variance(X)[1].shape == (150, 3)
    np.testing.assert_array_equal(p, model.predict_proba(X))


# --- model selection -----------------------------------------------------------------------------


def test_grid_search_over_numbers_traces_once(rows):
    X, y = rows
    before = stages.n_compiled()
    pipe = make_pipeline(StandardScaler(), GaussianProcessRegressor(1.0 * RBF(1.0), n_inducing=5))
    grid = {
        "gaussianprocessregressor__kernel__k2__length_scale": [0.5, 1.0, 2.0],
        "gaussianprocessregressor__learning_rate": [0.05, 0.1],
        "gaussianprocessregressor__n_inducing": [5, 8],
        "gaussianprocessregressor__max_iter": [5, 6],
    }
    search = GridSearchCV(pipe, grid, cv=3).fit(X, y)
    assert np.all(np.isfinite(search.cv_results_["mean_test_score"]))
    assert stages.n_compiled() <= before + 1


def test_grid_search_in_two_processes(labels):
    X, y = labels
    grid = {"kernel": [1.0 * RBF(), 1.0 * Matern(nu=1.5)], "gamma": [0.5, 1.0]}
    search = GridSearchCV(GaussianProcessClassifier(max_iter=20), grid, cv=2, n_jobs=2).fit(X, y)
    assert search.best_score_ > 0.8


def test_cross_validation_in_a_pipeline(rows):
    X, y = rows
    scores = cross_val_score(
        make_pipeline(StandardScaler(), GaussianProcessRegressor()), X, y, cv=3
    )
    assert np.all(scores > 0.9)


# --- bad input -----------------------------------------------------------------------------------

BAD_PARAMETERS = [
    ("n_inducing", 0),
    ("n_inducing", "many"),
    ("inducing_init", "grid"),
    ("train_inducing", "yes"),
    ("gamma", 0.0),
    ("gamma", 1.5),
    ("learning_rate", -1.0),
    ("batch_size", 0),
    ("max_iter", 0),
    ("max_iter", 1.5),
    ("tol", -1.0),
    ("n_iter_no_change", 0),
    ("jitter", 0.0),
    ("kernel", "rbf"),
    ("random_state", "seed"),
]


@pytest.mark.parametrize("estimator", [GaussianProcessRegressor, GaussianProcessClassifier])
@pytest.mark.parametrize(("name", "value"), BAD_PARAMETERS)
def test_bad_parameter_is_named(rows, labels, estimator, name, value):
    X, y = rows if estimator is GaussianProcessRegressor else labels
    with pytest.raises((ValueError, TypeError), match=name) as error:
        estimator(**{name: value}).fit(X, y)
    assert repr(value) in str(error.value)


BAD_KERNELS = [
    (PairwiseKernel(-1.0) + RBF(), ValueError, "k1__gamma.*positive"),
    (RBF([1.0, 1.0, 1.0]), ValueError, "length_scale.*3 values.*2 features"),
    (RBF() * WhiteKernel(), ValueError, "k2.*WhiteKernel"),
    (WhiteKernel(), ValueError, "noise only"),
    (Matern(nu=-3.0), ValueError, "nu=-3.0"),
    (RBF(-1.0), ValueError, "length_scale"),
]


@pytest.mark.parametrize(("kernel", "error", "message"), BAD_KERNELS, ids=str)
def test_bad_kernel_is_named(rows, kernel, error, message):
    X, y = rows
    with pytest.raises(error, match=message):
        GaussianProcessRegressor(kernel).fit(X, y)


def test_other_bad_input(rows, labels):
    X, y = rows
    regressor, classifier = GaussianProcessRegressor(), GaussianProcessClassifier()
    with pytest.raises(ValueError, match="batch_size=16 needs inducing points"):
        GaussianProcessRegressor(n_inducing=None, batch_size=16).fit(X, y)
    with pytest.raises(ValueError, match="noise_variance must hold 60"):
        regressor.fit(X, y, noise_variance=[1.0])
    with pytest.raises(ValueError, match="alpha is in the units"):
        GaussianProcessRegressor(alpha=0.1).fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="positive entry|non-zero"):
        regressor.fit(X, y, sample_weight=np.zeros(60))
    with pytest.raises(ValueError, match="1 class"):
        classifier.fit(X, np.ones(60))
    with pytest.raises(ValueError, match="WhiteKernel"):
        GaussianProcessClassifier(RBF() + WhiteKernel()).fit(*labels)
    with pytest.raises(ValueError, match="strictly between"):
        regressor.fit(X, y).predict_quantiles(X, [1.5])
    with pytest.raises(ValueError, match="exclude each other"):
        regressor.predict(X, return_std=True, return_cov=True)
    with pytest.raises(NotFittedError):
        clone(classifier).predict(X)


def test_failed_fit_keeps_the_first(rows):
    X, y = rows
    model = GaussianProcessRegressor(max_iter=10).fit(X, y)
    before = model.predict(X)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(X, np.full(60, np.nan))
    np.testing.assert_array_equal(model.predict(X), before)


def test_one_convergence_warning(rows):
    X, y = rows
    with pytest.warns(ConvergenceWarning, match="max_iter=2") as caught:
        GaussianProcessRegressor(max_iter=2).fit(X, y)
    assert len(caught) == 1 and caught[0].filename == __file__


def test_absurd_learning_rate_leaves_a_usable_model_and_one_convergence_warning_at_most(rows):
    X, y = rows
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = GaussianProcessRegressor(
            RBF(1.0, (1e-300, 1e300)), learning_rate=1e3, max_iter=50, n_inducing=10
        ).fit(X, y)
    assert len(caught) <= 1
    assert np.all(np.isfinite(model.predict(X, return_std=True)))


class Distance(kernels.Kernel):
    """Minus the squared distance: no covariance."""

    def covariance(self, X1, X2=None):
        return -kernels.squared_distance(X1, X2, np.float64(1.0))


def test_kernel_that_is_not_positive_definite_is_named(rows):
    X, y = rows
    with pytest.raises(ValueError, match="cannot be factorised.*Distance"):
        GaussianProcessRegressor(Distance(), alpha=1e-6).fit(X, y)
