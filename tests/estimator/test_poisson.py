"""Counts: ``GaussianProcessRegressor(likelihood="poisson")`` end to end."""

from __future__ import annotations

import copy
import functools
import pickle

import numpy as np
import pytest
import sklearn
from scipy.stats import poisson
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.metrics import d2_tweedie_score
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgpng import GaussianProcessRegressor
from skgpng.kernels import Kernel, squared_distance
from skgpng.metrics import coverage_scorer, log_density_scorer, neg_crps_scorer
from skgpng.quadrature import gauss_hermite

KERNEL = ConstantKernel(1.0) * RBF(1.0)
regressor = functools.partial(
    GaussianProcessRegressor, kernel=KERNEL, likelihood="poisson", random_state=0
)
LEVELS = [0.05, 0.5, 0.95]


class Drawn:
    """Counts at rows X, with log rates f drawn from the model itself and mean 1."""

    def __init__(self, n=160, n_targets=1):
        rng = np.random.RandomState(2 + n_targets)
        self.X = rng.uniform(0, 8, (n, 1))
        root = np.linalg.cholesky(KERNEL(self.X) + 1e-9 * np.eye(n))
        self.f = 1.0 + root @ rng.randn(n, n_targets)
        self.exposure = 10.0 ** rng.uniform(-0.5, 0.7, n)
        self.y = rng.poisson(self.exposure[:, None] * np.exp(self.f)).astype(float)
        if n_targets == 1:
            self.f, self.y = self.f[:, 0], self.y[:, 0]

    def part(self, rows):
        """Arguments of ``fit`` for some rows."""
        return {"X": self.X[rows], "y": self.y[rows], "exposure": self.exposure[rows]}


TRAIN, TEST = np.arange(120), np.arange(120, 160)


@pytest.fixture(scope="module")
def drawn():
    return Drawn()


@pytest.fixture(scope="module")
def fitted(drawn):
    return regressor(n_inducing=15).fit(**drawn.part(TRAIN))


def log_rate(model, X):
    """Mean and standard deviation of the log rate, from those of the lognormal rate."""
    mean, std = model.predict(X, return_std=True, include_noise=False)
    variance = np.log1p((std / mean) ** 2)
    return np.log(mean) - 0.5 * variance, np.sqrt(variance)


def assert_finds_the_rate(model, drawn, most=4.0):
    mean, std = log_rate(model, drawn.X)
    errors = mean - drawn.f
    assert np.sqrt(np.mean(errors**2)) < 0.3  # of a prior deviation of 1
    assert np.abs(errors / std).max() < most and std.max() < 1.0


# --- the rate is found -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"n_inducing": None},
        {"n_inducing": None, "optimizer": "lbfgs"},
        {"n_inducing": 15},
        {"n_inducing": 15, "batch_size": 40},
        {"n_inducing": 15, "early_stopping": True},
        {"n_inducing": 15, "kernel": None},
    ],
    ids=str,
)
def test_poisson_log_rate_is_found(drawn, settings):
    model = regressor(**settings).fit(**drawn.part(TRAIN))
    assert_finds_the_rate(model, drawn)
    assert np.isfinite(model.elbo_curve_).all()
    assert model.noise_variance_ is None and model.likelihood_ == {}
    assert model.n_corrected_steps_ == 0  # log-concave
    assert (model.validation_scores_ is None) != ("early_stopping" in settings)


def test_poisson_exact_and_sparse_agree(drawn):
    exact, sparse = (
        regressor(n_inducing=n, optimizer=None, tol=1e-8).fit(**drawn.part(TRAIN))
        for n in (None, 25)
    )
    assert exact.elbo_ - 0.01 < sparse.elbo_ < exact.elbo_ + 1e-4
    for a, b in zip(log_rate(sparse, drawn.X), log_rate(exact, drawn.X), strict=True):
        np.testing.assert_allclose(a, b, atol=0.01)


def test_poisson_with_a_kernel_of_ones_own(drawn):
    class Cauchy(Kernel):
        def __init__(self, length_scale=1.0, length_scale_bounds=(1e-5, 1e5)):
            self.length_scale = length_scale
            self.length_scale_bounds = length_scale_bounds

        def covariance(self, X1, X2=None):
            return 1.0 / (1.0 + squared_distance(X1, X2, self.length_scale))

    model = regressor(kernel=1.0 * Cauchy(), n_inducing=15, max_iter=100).fit(**drawn.part(TRAIN))
    assert_finds_the_rate(model, drawn, most=5.0)  # not the kernel that drew them


@pytest.mark.parametrize("kept", [2048, 0])
def test_poisson_partial_fit(drawn, fitted, kept, tuned):
    tuned(stream_rows=kept, stream_rows_a_point=0)
    model = regressor(n_inducing=15)
    for rows in np.array_split(TRAIN, 3):
        model.partial_fit(**drawn.part(rows))
    assert_finds_the_rate(model, drawn)
    assert np.abs(log_rate(model, drawn.X)[0] - log_rate(fitted, drawn.X)[0]).mean() < 0.1


def test_poisson_partial_fit_of_few_rows_keeps_the_mean(drawn, fitted):
    """Far from all rows the prior predicts: kernel and mean."""
    model, far = pickle.loads(pickle.dumps(fitted)), [[1e3]]
    before = model.predict(far, return_std=True)
    high = np.argsort(drawn.y / drawn.exposure)[-8:]
    model.set_params(max_iter=20).partial_fit(**drawn.part(high))
    np.testing.assert_allclose(model.predict(far, return_std=True), before, rtol=1e-9)


def test_poisson_warm_start(drawn, fitted):
    model = pickle.loads(pickle.dumps(fitted)).set_params(warm_start=True)
    model.fit(**drawn.part(TRAIN))
    assert model.n_iter_ < fitted.n_iter_ and model.elbo_ > fitted.elbo_ - 0.1
    # what is held is held where it was: the constant mean too
    before = model.predict([[1e3]])
    model.set_params(optimizer=None).fit(**drawn.part(np.argsort(drawn.y)[-40:]))
    np.testing.assert_allclose(model.predict([[1e3]]), before, rtol=1e-9)


@pytest.mark.parametrize("n_inducing", [None, 15])
def test_poisson_weight_two_is_the_row_twice(drawn, n_inducing):
    X, y, exposure = drawn.part(TRAIN[:60]).values()
    y = y.copy()
    y[0] = -1.0  # without weight, whatever it is
    weights = np.arange(60) % 3
    model = regressor(n_inducing=n_inducing, max_iter=40)
    weighted = clone(model).fit(X, y, weights, exposure=exposure)
    X, y, exposure = (np.repeat(a, weights, 0) for a in (X, y, exposure))
    repeated = clone(model).fit(X, y, exposure=exposure)
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-5)
    score = weighted.score(X, y, exposure=exposure)
    assert score == pytest.approx(repeated.score(X, y, exposure=exposure), rel=1e-5)


def test_poisson_of_several_targets():
    drawn = Drawn(120, n_targets=2)
    model = regressor(n_inducing=15).fit(drawn.X, drawn.y, exposure=drawn.exposure)
    assert_finds_the_rate(model, drawn)
    X, y, exposure = drawn.part(slice(7)).values()
    quantiles = model.predict_quantiles(X, LEVELS, exposure=exposure)
    assert quantiles.shape == (7, 2, 3) and (quantiles == np.round(quantiles)).all()
    density = model.log_predictive_density(X, y, exposure=exposure)
    assert density.shape == (7,) == model.crps(X, y, exposure=exposure).shape
    probabilities = probability(model, X, y, exposure)
    np.testing.assert_allclose(density, np.log(probabilities).sum(1), rtol=1e-6)
    assert model.sample_y(X, 4, exposure=exposure).shape == (7, 2, 4)
    means = model.predict(drawn.X, exposure=drawn.exposure)
    each = [d2_tweedie_score(a, b, power=1) for a, b in zip(drawn.y.T, means.T, strict=True)]
    score = model.score(drawn.X, drawn.y, exposure=drawn.exposure)
    assert score == pytest.approx(np.mean(each))
    assert model.noise_variance_ is None


# --- exposure ----------------------------------------------------------------------------------


def mixed(model, X, exposure, function):
    """Mean over the log rates of what ``function`` says of Poisson variables, by 60 nodes."""
    nodes, weights = gauss_hermite(60)
    mean, std = log_rate(model, X)
    rates = np.exp(mean + std * np.reshape(nodes, (-1, *[1] * mean.ndim)))
    exposure = np.reshape(exposure, (-1, *[1] * (mean.ndim - 1)))
    return np.tensordot(weights, function(poisson(exposure * rates)), 1)


def probability(model, X, y, exposure):
    return mixed(model, X, exposure, lambda variable: variable.pmf(y))


def test_poisson_predictions_against_scipy(drawn, fitted):
    X, y, exposure = drawn.part(TEST).values()
    rate, exposed = fitted.predict(X), fitted.predict(X, exposure=exposure)
    np.testing.assert_allclose(exposed, exposure * rate, rtol=1e-12)
    _, std = fitted.predict(X, return_std=True, exposure=exposure)
    _, below = fitted.predict(X, return_std=True, include_noise=False, exposure=exposure)
    np.testing.assert_allclose(std**2, below**2 + exposed, rtol=1e-10)
    density = fitted.log_predictive_density(X, y, exposure=exposure)
    np.testing.assert_allclose(density, np.log(probability(fitted, X, y, exposure)), rtol=1e-6)
    quantiles = fitted.predict_quantiles(X, LEVELS, exposure=exposure)
    for level, k in zip(LEVELS, quantiles.T, strict=True):
        assert (k == np.round(k)).all() and (k >= 0).all()
        reached, one_less = (
            mixed(fitted, X, exposure, lambda v, q=q: v.cdf(q)) for q in (k, k - 1)
        )
        assert (reached > level - 1e-7).all() and (one_less < level + 1e-7).all()
    # some of the terms of each score, the others are next to nothing
    k = np.arange(quantiles.max() * 4.0)
    below = np.stack([mixed(fitted, X, exposure, lambda v, q=q: v.cdf(q)) for q in k], 1)
    expected = np.sum((below - (k >= y[:, None])) ** 2, 1)
    np.testing.assert_allclose(fitted.crps(X, y, exposure=exposure), expected, rtol=1e-4)


def test_poisson_draws(drawn, fitted):
    X, exposure = drawn.X[TEST[:4]], drawn.exposure[TEST[:4]]
    draws = fitted.sample_y(X, 20000, exposure=exposure)
    assert (draws == np.round(draws)).all() and draws.min() >= 0
    rates = fitted.sample_y(X, 20000, exposure=exposure, include_noise=False)
    for values, noise in ((draws, True), (rates, False)):
        options = {"return_std": True, "include_noise": noise, "exposure": exposure}
        mean, std = fitted.predict(X, **options)
        np.testing.assert_allclose((values.mean(1) - mean) / std, 0.0, atol=4 / np.sqrt(20000))
        np.testing.assert_allclose(values.std(1), std, rtol=0.05)


def test_poisson_quantiles_cover_what_they_say(drawn, fitted):
    X, _, exposure = drawn.part(TEST).values()
    y = np.random.RandomState(1).poisson(exposure * np.exp(drawn.f[TEST]), (50, 40))
    low, high = fitted.predict_quantiles(X, (0.1, 0.9), exposure=exposure).T
    # ends that are counts themselves cover more than is asked for
    assert 0.78 < np.mean((low <= y) & (y <= high)) < 0.95


def test_poisson_exposure_is_cut_by_cross_validation(drawn):
    X, y, exposure = drawn.part(TRAIN).values()
    model, folds = regressor(n_inducing=15, max_iter=20), KFold(2)
    piped = make_pipeline(StandardScaler(with_mean=False, with_std=False), model)
    alone, inside = (
        cross_validate(m, X, y, cv=folds, params={f"{prefix}exposure": exposure},
                       return_estimator=True, error_score="raise")["estimator"]
        for m, prefix in ((model, ""), (piped, "gaussianprocessregressor__"))
    )  # fmt: skip
    for k, (train, _) in enumerate(folds.split(X)):
        by_hand = clone(model).fit(X[train], y[train], exposure=exposure[train])
        for other in (alone[k], inside[k]):
            np.testing.assert_array_equal(other.predict(X), by_hand.predict(X))


def test_poisson_exposure_is_routed_to_fit_and_scores(drawn):
    X, y, exposure = drawn.part(TRAIN).values()
    model = regressor(n_inducing=15, max_iter=20)
    found = {}
    with sklearn.config_context(enable_metadata_routing=True):
        asking = clone(model).set_fit_request(exposure=True).set_score_request(exposure=True)
        scorers = {
            "density": log_density_scorer, "crps": neg_crps_scorer, "share": coverage_scorer(0.8)
        }  # fmt: skip
        scorers = {
            name: copy.deepcopy(scorer).set_score_request(exposure=True)
            for name, scorer in scorers.items()
        }
        options = {"cv": KFold(2), "params": {"exposure": exposure}, "error_score": "raise"}
        found |= cross_validate(asking, X, y, **options)
        found |= cross_validate(asking, X, y, scoring=scorers, **options)
        asking.set_partial_fit_request(exposure=True).set_predict_request(exposure=True)
    for k, (train, test) in enumerate(KFold(2).split(X)):
        by_hand = clone(model).fit(X[train], y[train], exposure=exposure[train])
        rows = {"X": X[test], "exposure": exposure[test]}
        low, high = by_hand.predict_quantiles(quantiles=(0.1, 0.9), **rows).T
        expected = {
            "score": by_hand.score(y=y[test], **rows),
            "density": by_hand.log_predictive_density(y=y[test], **rows).mean(),
            "crps": -by_hand.crps(y=y[test], **rows).mean(),
            "share": np.mean((low <= y[test]) & (y[test] <= high)),
        }
        for name, value in expected.items():
            assert found[f"test_{name}"][k] == pytest.approx(value, rel=1e-9)


def test_misspelt_names_are_told(drawn, fitted):
    X, y, exposure = drawn.part(TRAIN[:9]).values()
    known = {"exposures": exposure}
    model = regressor(n_inducing=5, max_iter=2)
    calls = [
        functools.partial(method, X, y, **known)
        for method in (model.fit, model.partial_fit, fitted.score, fitted.crps,
                       fitted.log_predictive_density)
    ]  # fmt: skip
    calls += [
        functools.partial(method, X, **known)
        for method in (fitted.predict, fitted.predict_quantiles, fitted.sample_y, model.predict)
    ]
    for call in calls:
        with pytest.raises(TypeError, match="'exposures'.*noise_variance or exposure"):
            call()
    with pytest.raises(ValueError, match="exposure of each row is nothing.*Gaussian"):
        GaussianProcessRegressor().fit(X, y, exposure=exposure)
    assert not hasattr(model, "kernel_")


# --- scores ------------------------------------------------------------------------------------


def test_poisson_score_is_the_deviance_explained(drawn, fitted):
    X, y, exposure = drawn.part(TEST).values()
    weights = np.arange(len(y))
    found = fitted.score(X, y, weights, exposure=exposure)
    mean = fitted.predict(X, exposure=exposure)
    assert found == pytest.approx(d2_tweedie_score(y, mean, sample_weight=weights, power=1))
    assert found > 0.5
    assert fitted.score(X, np.zeros(len(y))) == 0.0  # no deviance to explain


def test_grid_search_over_likelihood_finds_poisson(drawn):
    X = drawn.X[TRAIN]
    y = np.random.RandomState(2).poisson(0.5 * np.exp(drawn.f[TRAIN] - 1.0))
    search = GridSearchCV(
        GaussianProcessRegressor(KERNEL, n_inducing=15, max_iter=60, random_state=0),
        {"likelihood": ["gaussian", "poisson"]},
        cv=3,
        scoring=log_density_scorer,
        error_score="raise",
    ).fit(X, y)
    assert search.best_params_ == {"likelihood": "poisson"}
    assert search.score(X, y) == pytest.approx(
        search.best_estimator_.log_predictive_density(X, y).mean()
    )


# British coal-mining disasters that killed ten or more, counted each year from 1851 to 1962
# (Jarrett 1979; data set "coal" of the R package boot, by way of vincentarelbundock/Rdatasets).
COAL = (
    "4541043406334026335453144155342522342132211113001011003103220111010100021000110233112111123300"
    "014000100000100101"
)


def test_poisson_beats_gaussian_noise_on_coal_mining_disasters():
    y = np.array([*COAL], float)
    X = np.arange(1851.0, 1963.0)[:, None]
    assert (len(y), y.sum()) == (112, 191)
    scores = {
        name: cross_validate(
            GaussianProcessRegressor(likelihood=name, random_state=0),
            X,
            y,
            cv=ShuffleSplit(5, test_size=0.2, random_state=0),
            scoring=log_density_scorer,
            error_score="raise",
        )["test_score"]
        for name in ("poisson", "gaussian")
    }
    print(scores)
    assert np.mean(scores["poisson"] - scores["gaussian"]) > 0.1
    assert (scores["poisson"] > scores["gaussian"]).all()


# --- hard counts -------------------------------------------------------------------------------


def test_poisson_of_zeros(drawn):
    X, y = drawn.X[TRAIN], np.zeros(len(TRAIN))
    model = regressor(n_inducing=15).fit(X, y)
    mean, std = model.predict(X, return_std=True)
    assert np.isfinite(model.elbo_curve_).all() and np.isfinite(std).all()
    assert (mean < 0.1).all()
    np.testing.assert_array_equal(model.predict_quantiles(X, (0.1, 0.9)), 0.0)
    assert np.isfinite(model.log_predictive_density(X, y)).all()
    assert model.score(X, y) == 0.0


@pytest.mark.parametrize("n_inducing", [None, 15])
def test_poisson_of_one_huge_count(drawn, n_inducing):
    X, y, exposure = drawn.part(TRAIN).values()
    y = y.copy()
    y[7] = 1e6
    model = regressor(n_inducing=n_inducing, max_iter=200).fit(X, y, exposure=exposure)
    assert np.isfinite(model.elbo_curve_).all()
    for values in (
        *model.predict(X, return_std=True, exposure=exposure),
        model.predict_quantiles(X, exposure=exposure),
        model.log_predictive_density(X, y, exposure=exposure),
        model.crps(X, y, exposure=exposure),
        model.sample_y(X, 2, exposure=exposure),
    ):
        assert np.isfinite(values).all()
    if n_inducing is None:  # few inducing points serve this row before all others
        far = np.abs(X[:, 0] - X[7, 0]) > 2.0
        errors = log_rate(model, X[far])[0] - drawn.f[TRAIN][far]
        assert np.median(np.abs(errors)) < 0.5


# --- refused before any work -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "changes", "match"),
    [
        ({}, {"y": [0, 1, 2, -1, 0.5]}, r"y\[3\] = -1 does not suit .*Poisson.*no count"),
        ({}, {"y": [0, 1, 0.5, -1, 2]}, r"y\[2\] = 0.5 .*argument exposure of fit"),
        (
            {},
            {"y": [-2, 1, 0, -1, 2], "sample_weight": [0, 1, 1, 1, 1]},
            r"y\[3\] = -1 does not suit",
        ),
        ({}, {"y": [[0, 0]] * 4 + [[0, 1.5]]}, r"y\[4, 1\] = 1.5"),
        ({}, {"exposure": [1, 1, 0, 1, 1]}, "exposure must hold 5 .*row 2 is 0"),
        ({}, {"exposure": [1, 1]}, r"exposure must hold 5 .*shape \(2,\)"),
        ({}, {"noise_variance": [0.1] * 5}, "noise_variance of each row is nothing .*Poisson"),
        ({"alpha": 0.1}, {}, "no Gaussian noise. Leave alpha=None, and the WhiteKernel out"),
        ({"kernel": KERNEL + WhiteKernel()}, {}, "Leave alpha=None, and the WhiteKernel out"),
    ],
)
def test_poisson_refuses_before_training(settings, changes, match, watched):
    watched(lambda result: pytest.fail("trained"))
    model = regressor(n_inducing=3, **settings)
    given = {"X": np.arange(5.0)[:, None], "y": np.arange(5.0), **changes}
    for method in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=match):
            method(**given)
    assert not hasattr(model, "kernel_")


def test_poisson_refuses_to_predict_what_it_cannot(drawn, fitted):
    X, y = drawn.X[:3], drawn.y[:3]
    with pytest.raises(ValueError, match="return_cov=True needs .*sample_y, or return_std"):
        fitted.predict(X, return_cov=True)
    with pytest.raises(ValueError, match="exposure must hold 3 .*row 1 is -1"):
        fitted.crps(X, y, exposure=[1.0, -1.0, 1.0])
    with pytest.raises(ValueError, match="noise_variance of each row is nothing"):
        fitted.predict(X, noise_variance=[1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="needs the training rows in an exact model"):
        fitted.log_marginal_likelihood(fitted.kernel_.theta)


# --- before fit, copies ------------------------------------------------------------------------


def test_poisson_before_fit(drawn):
    X, exposure = drawn.X[:4], drawn.exposure[:4]
    prior = regressor()
    mean, std = prior.predict(X, return_std=True, exposure=exposure)
    np.testing.assert_allclose(mean, exposure * np.exp(0.5))  # a log rate of mean 0, variance 1
    np.testing.assert_allclose(std**2, mean + mean**2 * (np.e - 1.0))
    draws = prior.sample_y(X, 3, exposure=exposure)
    assert draws.shape == (4, 3) and (draws == np.round(draws)).all()
    with pytest.raises(ValueError, match="WhiteKernel out"):
        regressor(alpha=0.1).predict(X)


def test_poisson_copies(drawn, fitted):
    X, y, exposure = drawn.part(TEST).values()
    loaded = pickle.loads(pickle.dumps(fitted))
    again = clone(fitted).fit(**drawn.part(TRAIN))
    for other in (loaded, again):
        for found, expected in (
            (other.predict(X), fitted.predict(X)),
            (other.predict_quantiles(X), fitted.predict_quantiles(X)),
            (other.crps(X, y, exposure=exposure), fitted.crps(X, y, exposure=exposure)),
        ):
            np.testing.assert_array_equal(found, expected)
    assert loaded.noise_variance_ is None and loaded.likelihood_ == {}
