from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.model_selection import cross_val_score

from skgpng import GaussianProcessRegressor
from skgpng._estimator import predictor
from skgpng.likelihoods import StudentT


def student_t_regressor(**settings):
    return GaussianProcessRegressor(likelihood="student_t", random_state=0, **settings)


def function(X):
    return np.sin(2 * X[:, 0]) + 0.5 * X[:, 1]


def rows_with_outliers(seed, n=200, share=0.08, size=10.0):
    """Rows with noise of deviation 0.1, a share of them far off, and clean ones to test on."""
    rng = np.random.RandomState(seed)
    X, X_test = rng.uniform(-3, 3, (n, 2)), rng.uniform(-3, 3, (500, 2))
    y = function(X) + 0.1 * rng.randn(n)
    out = rng.choice(n, int(share * n), replace=False)
    y[out] += size * rng.standard_normal(len(out))
    return X, y, X_test, function(X_test)


def rmse(model, X, y):
    return np.sqrt(np.mean((model.predict(X) - y) ** 2))


@pytest.fixture(scope="module")
def heavy():
    """A sparse model, with its rows."""
    X, y, X_test, y_test = rows_with_outliers(0)
    return student_t_regressor(n_inducing=40).fit(X, y), X, y, X_test, y_test


CASES = [
    {"n_inducing": None},
    {"n_inducing": None, "gamma": 1.0},
    {"n_inducing": 40},
    {"n_inducing": 40, "gamma": 0.5},
    {"n_inducing": 40, "gamma": 1.0},
    {"n_inducing": 40, "batch_size": 50, "learning_rate": 0.03},
]


@pytest.mark.parametrize("settings", CASES, ids=str)
@pytest.mark.parametrize("share", [0.05, 0.1])
def test_outliers_do_not_pull_the_function(settings, share):
    X, y, X_test, y_test = rows_with_outliers(1, share=share)
    model = student_t_regressor(**settings).fit(X, y)
    gaussian = GaussianProcessRegressor(random_state=0).fit(X, y)
    assert np.isfinite(model.elbo_curve_).all()
    assert rmse(model, X_test, y_test) < min(0.08, 0.4 * rmse(gaussian, X_test, y_test))
    assert model.likelihood_["df"] < 4
    assert 0.05 < model.likelihood_["scale"] < 0.2


@pytest.mark.parametrize("size", [1e3, 1e6])
def test_one_huge_outlier(size):
    X, y, X_test, y_test = rows_with_outliers(2, share=0.0)
    y[7] = size
    model = student_t_regressor(n_inducing=40).fit(X, y)
    assert rmse(model, X_test, y_test) < 0.1
    mean, std = model.predict(X, return_std=True)
    assert np.isfinite(mean).all() and np.isfinite(std).all()
    assert np.isfinite(model.log_predictive_density(X, y)).all()


def test_normal_noise_gives_a_large_df_and_the_gaussian_predictions():
    X, y, X_test, y_test = rows_with_outliers(3, n=400, share=0.0)
    # every row, since two sparse models would place their points differently
    model = student_t_regressor(n_inducing=None).fit(X, y)
    gaussian = GaussianProcessRegressor(n_inducing=None, random_state=0).fit(X, y)
    assert model.likelihood_["df"] > 20
    mean, std = model.predict(X_test, return_std=True)
    other, other_std = gaussian.predict(X_test, return_std=True)
    # a tenth of the noise: both end their training a little before the optimum
    assert np.sqrt(np.mean((mean - other) ** 2)) < 0.01
    np.testing.assert_allclose(std, other_std, rtol=0.1)
    np.testing.assert_allclose(model.noise_variance_, gaussian.noise_variance_, rtol=0.1)


class NearlyNormal(StudentT):
    def parameters(self, noise, spread):
        scale, df = super().parameters(noise, spread)
        return scale, df._replace(value=1e3)


def test_at_df_of_a_thousand_the_posterior_is_the_gaussian_one():
    # hyperparameters held; what is left is 1 / df of the deviations
    X, y, X_test, _ = rows_with_outliers(4, n=80, share=0.0)
    y = (y - y.mean()) / y.std()
    settings = {"optimizer": None, "normalize_y": False, "alpha": 0.1, "tol": 1e-8}
    settings |= {"kernel": RBF(1.0), "n_inducing": 30, "train_inducing": False, "random_state": 0}
    model = GaussianProcessRegressor(likelihood=NearlyNormal(), **settings).fit(X, y)
    gaussian = GaussianProcessRegressor(**settings).fit(X, y)
    assert model.likelihood_["df"] == pytest.approx(1e3)
    np.testing.assert_allclose(model.elbo_, gaussian.elbo_, rtol=5e-3)
    found, expected = (m.predict(X_test, return_std=True) for m in (model, gaussian))
    np.testing.assert_allclose(found[0], expected[0], atol=5e-3)
    np.testing.assert_allclose(found[1], expected[1], rtol=5e-3)


def test_learned_values_are_in_the_units_of_y(heavy):
    model, X, y, X_test, _ = heavy
    learned = model.likelihood_
    variance = learned["scale"] ** 2 * learned["df"] / (learned["df"] - 2)
    np.testing.assert_allclose(model.noise_variance_, variance, rtol=1e-12)
    other = student_t_regressor(n_inducing=40).fit(X, 1024.0 * y)
    np.testing.assert_allclose(other.likelihood_["scale"], 1024.0 * learned["scale"], rtol=1e-6)
    np.testing.assert_allclose(other.likelihood_["df"], learned["df"], rtol=1e-6)
    np.testing.assert_allclose(other.predict(X_test), 1024.0 * model.predict(X_test), rtol=1e-5)
    gaussian = GaussianProcessRegressor(random_state=0).fit(X, y)
    assert gaussian.likelihood_ == {"variance": gaussian.noise_variance_}


def test_predictive_distribution_against_draws(heavy):
    model, X, _, X_test, _ = heavy
    rows = X_test[:3]
    draws = model.sample_y(rows, 200_000, random_state=0)
    levels = [0.01, 0.25, 0.5, 0.75, 0.975]
    quantiles = model.predict_quantiles(rows, levels)
    assert quantiles.shape == (3, 5)
    below = np.mean(draws[:, None, :] <= quantiles[..., None], 2)
    # three and a half standard errors of the share
    error = 3.5 * np.sqrt(np.array(levels) * (1 - np.array(levels)) / draws.shape[1])
    assert (abs(below - levels) < error).all()
    np.testing.assert_array_equal(quantiles[:, 2], model.predict(rows))
    at = quantiles[:, 3] + 0.1
    to_y, apart = abs(draws - at[:, None]), abs(draws[:, ::2] - draws[:, 1::2])
    expected = to_y.mean(1) - 0.5 * apart.mean(1)
    np.testing.assert_allclose(model.crps(rows, at), expected, rtol=0.03)


def test_density_is_that_of_the_quantiles(heavy):
    model, *_, X_test, _ = heavy
    row = X_test[:1]
    levels = 0.9 + np.array([-1e-4, 0.0, 1e-4])
    low, middle, high = model.predict_quantiles(row, levels)[0]
    density = np.exp(model.log_predictive_density(row, [middle]))
    np.testing.assert_allclose(density, 2e-4 / (high - low), rtol=1e-4)


def test_standard_deviation_and_covariance_have_the_variance_of_the_noise(heavy):
    model, *_, X_test, _ = heavy
    _, std = model.predict(X_test[:20], return_std=True)
    _, latent = model.predict(X_test[:20], return_std=True, include_noise=False)
    np.testing.assert_allclose(std**2, latent**2 + model.noise_variance_, rtol=1e-10)
    _, cov = model.predict(X_test[:20], return_cov=True)
    np.testing.assert_allclose(np.diag(cov), std**2, rtol=1e-7)


def test_blocks_of_rows_change_nothing(heavy, monkeypatch):
    model, X, y, *_ = heavy
    whole = model.log_predictive_density(X, y), model.predict_quantiles(X), model.crps(X, y)
    monkeypatch.setattr(predictor, "_BLOCK", 7)
    parts = model.log_predictive_density(X, y), model.predict_quantiles(X), model.crps(X, y)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_several_targets_share_df():
    X, y, X_test, y_test = rows_with_outliers(5)
    Y = np.stack([y, 100.0 - 30.0 * y], 1)
    model = student_t_regressor(n_inducing=40, max_iter=300, tol=1e-3).fit(X, Y)
    assert model.predict(X_test).shape == (500, 2)
    assert model.likelihood_["scale"].shape == (2,) == model.noise_variance_.shape
    np.testing.assert_allclose(np.divide(*model.likelihood_["scale"]), 1 / 30, rtol=1e-6)
    assert isinstance(model.likelihood_["df"], float)
    assert model.predict_quantiles(X_test, [0.5, 0.9]).shape == (500, 2, 2)
    assert model.log_predictive_density(X, Y).shape == (200,) == model.crps(X, Y).shape
    assert model.sample_y(X_test[:4], 3).shape == (4, 2, 3)
    np.testing.assert_allclose(model.predict(X_test)[:, 0], y_test, atol=0.5)


def test_alpha_fixes_the_square_of_the_scale():
    X, y, *_ = rows_with_outliers(6)
    model = student_t_regressor(n_inducing=20, alpha=0.04, max_iter=200, tol=0.01).fit(X, y)
    np.testing.assert_allclose(model.likelihood_["scale"], 0.2, rtol=1e-12)
    assert model.likelihood_["df"] != 4.0


def test_white_kernel_is_the_square_of_the_scale():
    X, y, *_ = rows_with_outliers(6)
    kernel = 1.0 * RBF(1.0) + WhiteKernel(0.01, (1e-4, 1.0))
    model = student_t_regressor(kernel=kernel, n_inducing=20, max_iter=200, tol=0.01).fit(X, y)
    level = model.kernel_.k2.noise_level
    np.testing.assert_allclose(
        model.likelihood_["scale"], np.sqrt(level) * model._predictor.units.scale[0]
    )
    assert 1e-4 <= level <= 1.0 and level != 0.01
    fixed = student_t_regressor(
        kernel=RBF(1.0) + WhiteKernel(0.01, "fixed"), n_inducing=20, max_iter=50, tol=0.01
    ).fit(X, y)
    np.testing.assert_allclose(fixed.kernel_.k2.noise_level, 0.01, rtol=1e-12)
    np.testing.assert_allclose(
        fixed.likelihood_["scale"], 0.1 * fixed._predictor.units.scale[0], rtol=1e-12
    )


def test_before_fit():
    X = np.linspace(0, 1, 5)[:, None]
    prior = student_t_regressor(kernel=RBF(0.5) + WhiteKernel(0.01))
    _, std = prior.predict(X, return_std=True)
    np.testing.assert_allclose(std, np.sqrt(1.02))  # df of 4 doubles the square of the scale
    assert prior.predict_quantiles(X).shape == (5, 3)
    assert np.isfinite(prior.log_predictive_density(X, np.zeros(5))).all()
    assert prior.sample_y(X, 3).shape == (5, 3)
    unknown = student_t_regressor(kernel=RBF(0.5))
    np.testing.assert_allclose(unknown.predict(X, return_std=True)[1], 1.0)
    assert unknown.predict_quantiles(X).shape == (5, 3)


@pytest.mark.parametrize(
    ("settings", "noise", "match"),
    [
        ({}, 0.1, "noise_variance of each row"),
        ({"alpha": 0.1, "kernel": RBF() + WhiteKernel()}, None, "leave the WhiteKernel out"),
        ({"alpha": 0.0}, None, "leaves rows without noise"),
    ],
)
def test_noise_that_it_cannot_have(settings, noise, match):
    X, y, *_ = rows_with_outliers(6, n=20)
    given = None if noise is None else np.full(20, noise)
    with pytest.raises(ValueError, match=match):
        student_t_regressor(**settings).fit(X, y, noise_variance=given)


def test_log_marginal_likelihood(heavy):
    model = heavy[0]
    assert model.log_marginal_likelihood() == model.elbo_
    with pytest.raises(ValueError, match="needs the training rows in an exact model"):
        model.log_marginal_likelihood(model.kernel_.theta)


def test_ways_to_train(heavy):
    model, X, y, X_test, y_test = heavy
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(again.predict(X_test), model.predict(X_test))
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_quantiles(X_test), model.predict_quantiles(X_test))
    warm = clone(model).set_params(warm_start=True).fit(X, y)
    steps = warm.n_iter_
    assert warm.fit(X, y).n_iter_ < steps
    warm.set_params(likelihood="gaussian").fit(X, y)
    assert list(warm.likelihood_) == ["variance"]
    stopped = clone(model).set_params(early_stopping=True).fit(X, y)
    assert np.isfinite(stopped.validation_scores_).all()
    assert rmse(stopped, X_test, y_test) < 0.15
    lbfgs = clone(model).set_params(optimizer="lbfgs", max_iter=50).fit(X, y)
    assert np.isfinite(lbfgs.elbo_curve_).all()
    scores = cross_val_score(clone(model).set_params(max_iter=50), X, y, cv=2)
    assert np.isfinite(scores).all()


def test_warm_start_is_no_worse(heavy):
    model, X, y, *_ = heavy
    warm = clone(model).set_params(warm_start=True).fit(X, y)
    before = warm.elbo_
    assert warm.fit(X, y).elbo_ > before - 1.0


def test_partial_fit():
    X, y, X_test, y_test = rows_with_outliers(7, n=600)
    model = student_t_regressor(n_inducing=40)
    for rows in (slice(0, 200), slice(200, 400), slice(400, 600)):
        model.partial_fit(X[rows], y[rows])
        assert np.isfinite(model.elbo_curve_).all()
    assert rmse(model, X_test, y_test) < 0.1
    assert 0.05 < model.likelihood_["scale"] < 0.2
