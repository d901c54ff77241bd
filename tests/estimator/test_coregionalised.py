"""Targets that belong together: ``likelihood=Coregionalised(rank)``."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from estimator.cases import silent
from scipy.stats import norm
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, CompoundKernel, ConstantKernel, WhiteKernel
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV

from skgpng import GaussianProcessRegressor
from skgpng.likelihoods import Coregionalised

KERNEL = ConstantKernel(1.0) * RBF(1.0)
MIXING = np.array([[1.0, 0.2], [0.8, -0.5], [2.0, 1.0]])
NOISE = np.array([0.1, 0.3, 0.2])
SHIFT = np.array([0.0, 50.0, -7.0])


def regressor(rank=2, kernel=KERNEL, **options):
    return GaussianProcessRegressor(
        kernel, likelihood=Coregionalised(rank), random_state=0, **{"tol": 1e-3} | options
    )


class Drawn:
    """Three targets of two functions; the first is missing in the middle, where it is low."""

    def __init__(self):
        rng = np.random.RandomState(0)
        self.X = np.sort(rng.uniform(0, 10, (80, 1)), 0)
        latent = np.c_[np.sin(self.X[:, 0]), np.cos(2 * self.X[:, 0])]
        self.F = latent @ MIXING.T + SHIFT
        self.Y = self.F + NOISE * rng.randn(80, 3)
        self.missing = np.zeros((80, 3), bool)
        self.missing[20:50, 0] = True
        self.missing[:, 1] = rng.uniform(size=80) < 0.3
        self.Y[self.missing] = np.nan


@pytest.fixture(scope="module")
def drawn():
    return Drawn()


@pytest.fixture(scope="module")
def fitted(drawn):
    return silent(regressor(), drawn.X, drawn.Y)


def errors(model, drawn):
    error = model.predict(drawn.X) - drawn.F
    return np.sqrt(np.mean(error[drawn.missing[:, 0], 0] ** 2)), np.sqrt(np.mean(error**2, 0))


@pytest.mark.parametrize("changes", [{}, {"n_inducing": 20}, {"optimizer": "lbfgs"}])
def test_what_is_missing_is_known_from_the_others(drawn, fitted, changes):
    model = regressor(**changes).fit(drawn.X, drawn.Y) if changes else fitted
    gap, all_rows = errors(model, drawn)
    assert gap < 0.35 and np.all(all_rows < [0.25, 0.2, 0.15])
    there = ~drawn.missing[:, 0]
    alone = GaussianProcessRegressor(KERNEL).fit(drawn.X[there], drawn.Y[there, 0])
    missing = np.sqrt(np.mean((alone.predict(drawn.X) - drawn.F[:, 0])[~there] ** 2))
    assert missing > 2.0 * gap


def test_what_is_reported(drawn, fitted):
    np.testing.assert_allclose(np.sqrt(fitted.noise_variance_), NOISE, rtol=0.3)
    found = fitted.likelihood_
    np.testing.assert_array_equal(found["variance"], fitted.noise_variance_)
    assert found["mixing"].shape == (3, 2) and found["offset"].shape == (3,)
    assert len(fitted.kernel_.kernels) == 2


def test_predictions_fit_together(drawn, fitted):
    X = drawn.X[::20]
    for noisy in (True, False):
        mean, std = fitted.predict(X, return_std=True, include_noise=noisy)
        cov = fitted.predict(X, return_cov=True, include_noise=noisy)[1]
        np.testing.assert_allclose(np.sqrt(np.einsum("nnp->np", cov)), std, rtol=1e-9)
        draws = fitted.sample_y(X, 4000, random_state=0, include_noise=noisy)
        np.testing.assert_allclose(draws.mean(-1), mean, atol=0.08 * std.max())
        for p in range(3):
            np.testing.assert_allclose(np.cov(draws[:, p]), cov[..., p], atol=0.1 * cov.max())
    low, high = np.moveaxis(fitted.predict_quantiles(X, [0.05, 0.95]), -1, 0)
    mean, std = fitted.predict(X, return_std=True)
    np.testing.assert_allclose((high - low) / std, 2 * 1.6448536, rtol=1e-6)
    # targets of one row are drawn together
    draws = fitted.sample_y(X, 4000, random_state=0, include_noise=False)
    assert abs(np.corrcoef(draws[1, 0], draws[1, 2])[0, 1]) > 0.2


def test_one_target_is_ordinary_regression(drawn):
    """Rank 1 of one target: a kernel with a variance more, and an offset."""
    y = drawn.F[:, 2] + 0.2 * np.random.RandomState(0).randn(80)
    one = regressor(1, optimizer="lbfgs").fit(drawn.X, y)
    exact = GaussianProcessRegressor(KERNEL).fit(drawn.X, y)
    assert abs(one.elbo_ - exact.elbo_) < 0.5  # of an offset that is learned beside
    np.testing.assert_allclose(one.predict(drawn.X), exact.predict(drawn.X), atol=0.05)
    assert one.predict(drawn.X).shape == (80,)


def test_units_change_nothing(drawn, fitted):
    unit, X = np.array([1e-3, 1.0, 1e4]), drawn.X[::9]
    other = regressor().fit(drawn.X, drawn.Y * unit)
    for a, b in zip(other.predict(X, return_std=True), fitted.predict(X, return_std=True)):
        np.testing.assert_allclose(a, b * unit, rtol=1e-4)


def test_rank_is_searched(drawn):
    Y = np.where(drawn.missing, drawn.F, drawn.Y)
    search = GridSearchCV(
        regressor(tol=1e-2, n_inducing=15), {"likelihood__rank": [1, 2]}, cv=2,
        scoring="neg_mean_squared_error",
    ).fit(drawn.X[::2], Y[::2])  # fmt: skip
    assert search.best_params_ == {"likelihood__rank": 2}


def test_goes_on(drawn, tmp_path, fitted):
    import skgpng

    stream = regressor(n_inducing=15)
    for part in (slice(0, None, 2), slice(1, None, 2)):
        stream.partial_fit(drawn.X[part], drawn.Y[part])
    assert errors(stream, drawn)[0] < 0.8
    for model in (stream, fitted):
        skgpng.save(model, tmp_path / "model")
        for other in (skgpng.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
            np.testing.assert_array_equal(other.predict(drawn.X), model.predict(drawn.X))
    assert clone(fitted).likelihood == Coregionalised(2)
    again = clone(fitted).set_params(warm_start=True, n_inducing=15).fit(drawn.X, drawn.Y)
    elbo = again.elbo_
    assert again.set_params(max_iter=2).fit(drawn.X, drawn.Y).elbo_ > elbo - 1.0


def test_early_stopping_holds_out_what_is_there(drawn):
    model = regressor(n_inducing=15, early_stopping=True, validation_fraction=0.2)
    model.fit(drawn.X, drawn.Y)
    assert np.isfinite(model.validation_scores_).all()


def test_what_cannot_be(drawn):
    X, Y = drawn.X, drawn.Y
    with pytest.raises(ValueError, match="rank=4 .* a number between 1 and that of targets, 3"):
        regressor(4).fit(X, Y)
    with pytest.raises(ValueError, match=r"y\[:, 1\] has no value at all"):
        regressor().fit(X, np.where([False, True, False], np.nan, Y))
    with pytest.raises(ValueError, match="learns a noise for each target"):
        regressor(alpha=0.1, normalize_y=False).fit(X, Y)
    with pytest.raises(ValueError, match="WhiteKernel"):
        regressor(kernel=KERNEL + WhiteKernel()).fit(X, Y)
    with pytest.raises(ValueError, match="CompoundKernel of 3, but there are 2 latent"):
        regressor(kernel=CompoundKernel([KERNEL] * 3)).fit(X, Y)
    with pytest.raises(ValueError, match=r"y\[0, 2\] = inf|infinity"):
        regressor().fit(X, np.where(np.arange(80)[:, None] + [1, 1, 0] == 0, np.inf, Y))
    with pytest.raises(ValueError, match="Input y contains NaN.*coregionalised"):
        GaussianProcessRegressor().fit(X, Y)
    for rank in (1.5, True, "2"):
        with pytest.raises(ValueError, match="must be a number between 1"):
            regressor(rank).fit(X, Y)


def test_scores_are_of_what_is_there(drawn, fitted):
    X, Y, there = drawn.X, drawn.Y, ~drawn.missing
    each = [r2_score(Y[k, p], fitted.predict(X)[k, p]) for p, k in enumerate(there.T)]
    np.testing.assert_allclose(fitted.score(X, Y), np.mean(each), rtol=1e-12)
    full = np.where(there, Y, drawn.F)
    mean, std = fitted.predict(X, return_std=True)
    density = np.where(there, norm.logpdf(full, mean, std), 0.0).sum(1)
    np.testing.assert_allclose(fitted.log_predictive_density(X, Y), density, rtol=1e-8)
    assert np.isfinite(fitted.crps(X, Y)).all()
    search = GridSearchCV(regressor(tol=0.1, n_inducing=10), {"likelihood__rank": [1, 2]}, cv=2)
    assert np.isfinite(search.fit(X, Y).cv_results_["mean_test_score"]).all()


def test_by_its_name_and_in_parts_that_lack_a_target(drawn):
    model = GaussianProcessRegressor(KERNEL, likelihood="coregionalised", n_inducing=8, tol=0.1)
    Y = drawn.Y.copy()
    Y[40:, 0] = np.nan
    for part in (slice(0, 40), slice(40, 80)):
        model.partial_fit(drawn.X[part], Y[part])
    assert model.predict(drawn.X).shape == (80, 3)
    with pytest.raises(ValueError, match="Before fit nothing is known"):
        GaussianProcessRegressor(KERNEL, likelihood="coregionalised", n_targets=2).predict([[0.0]])


def test_a_mean_is_that_of_the_latent_functions(drawn):
    """As many of them as targets, and still not in their units."""
    model = regressor(3, mean="constant", tol=0.1, n_inducing=8).fit(drawn.X, 1e3 * drawn.Y)
    (constant,) = model._predictor.posterior.mean_values
    np.testing.assert_array_equal(model.mean_["constant"], constant)
