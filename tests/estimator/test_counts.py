"""Counts that scatter more than Poisson's, end to end."""

from __future__ import annotations

import functools
import pickle

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.metrics import d2_tweedie_score
from sklearn.model_selection import KFold, cross_validate

import skgpng
from skgpng import GaussianProcessRegressor
from skgpng.likelihoods import NegativeBinomial, Poisson, ZeroInflatedPoisson

KERNEL = ConstantKernel(1.0) * RBF(1.0)
NAMES = {"negative_binomial": "dispersion", "zero_inflated_poisson": "zero_share"}
every_name = pytest.mark.parametrize("name", NAMES)
regressor = functools.partial(GaussianProcessRegressor, kernel=KERNEL, random_state=0)


class Drawn:
    """Counts about a smooth rate, scattered by a gamma variable or with zeros put in."""

    def __init__(self, name, n=150):
        rng = np.random.RandomState(3)
        self.X = np.sort(rng.uniform(0, 8, (n, 1)), 0)
        self.rate = np.exp(1.5 + np.sin(self.X[:, 0]))
        self.exposure = 10.0 ** rng.uniform(-0.3, 0.5, n)
        if name == "negative_binomial":  # a variance of mu + mu^2 / 2
            self.learned, mean = 0.5, self.exposure * self.rate * rng.gamma(2.0, 0.5, n)
            self.y = rng.poisson(mean).astype(float)
        else:
            self.learned = 0.3
            self.y = np.where(
                rng.uniform(size=n) < 0.3, 0.0, rng.poisson(self.exposure * self.rate)
            )


@pytest.fixture(scope="module", params=NAMES)
def drawn(request):
    data = Drawn(request.param)
    model = regressor(likelihood=request.param, n_inducing=15)
    return request.param, data, model.fit(data.X, data.y, exposure=data.exposure)


def test_what_is_learned(drawn):
    name, data, model = drawn
    assert list(model.likelihood_) == [NAMES[name]] and model.noise_variance_ is None
    assert model.likelihood_[NAMES[name]] == pytest.approx(data.learned, rel=0.4)
    mean = model.predict(data.X)
    expected = data.rate * (1.0 if name == "negative_binomial" else 0.7)
    assert np.sqrt(np.mean((mean / expected - 1.0) ** 2)) < 0.25
    poisson = clone(model).set_params(likelihood="poisson")
    assert model.elbo_ > poisson.fit(data.X, data.y, exposure=data.exposure).elbo_ + 20.0


def test_exact_agrees_with_points(drawn):
    name, data, model = drawn
    exact = clone(model).set_params(n_inducing=None).fit(data.X, data.y, exposure=data.exposure)
    assert exact.likelihood_[NAMES[name]] == pytest.approx(model.likelihood_[NAMES[name]], rel=0.05)
    np.testing.assert_allclose(exact.predict(data.X), model.predict(data.X), rtol=0.05)


def test_predictions_agree_with_each_other(drawn):
    _, data, model = drawn
    X, exposure = data.X[::50], data.exposure[::50]
    mean, std = model.predict(X, return_std=True, exposure=exposure)
    np.testing.assert_allclose(mean, exposure * model.predict(X), rtol=1e-12)
    draws = model.sample_y(X, 20000, exposure=exposure)
    assert (draws == np.round(draws)).all() and draws.min() >= 0
    np.testing.assert_allclose((draws.mean(1) - mean) / std, 0.0, atol=4 / np.sqrt(20000))
    np.testing.assert_allclose(draws.std(1), std, rtol=0.1)
    levels = [0.1, 0.5, 0.99]
    quantiles = model.predict_quantiles(X, levels, exposure=exposure)
    for level, k in zip(levels, quantiles.T, strict=True):
        assert (k == np.round(k)).all()
        assert (np.mean(draws <= k[:, None], 1) > level - 0.015).all()
        assert (np.mean(draws < k[:, None], 1) < level + 0.015).all()
    density = model.log_predictive_density(X, quantiles[:, 1], exposure=exposure)
    found = np.mean(draws == quantiles[:, 1:2], 1)
    np.testing.assert_allclose(np.exp(density), found, atol=4 * np.sqrt(0.25 / 20000))
    score = model.crps(X, quantiles[:, 2], exposure=exposure)
    other = np.random.RandomState(0).permutation(draws.T).T
    energy = np.abs(draws - quantiles[:, 2:]).mean(1) - 0.5 * np.abs(draws - other).mean(1)
    np.testing.assert_allclose(score, energy, rtol=0.05)


def test_score_is_the_deviance_explained(drawn):
    _, data, model = drawn
    found = model.score(data.X, data.y, exposure=data.exposure)
    mean = model.predict(data.X, exposure=data.exposure)
    assert found == pytest.approx(d2_tweedie_score(data.y, mean, power=1))


def test_copies_predict_the_same(drawn, tmp_path):
    _, data, model = drawn
    skgpng.save(model, tmp_path / "model.skops")
    for other in (pickle.loads(pickle.dumps(model)), skgpng.load(tmp_path / "model.skops")):
        for method in ("predict", "predict_quantiles"):
            found, expected = (getattr(m, method)(data.X[:5]) for m in (other, model))
            np.testing.assert_array_equal(found, expected)
        assert other.likelihood_ == model.likelihood_


@every_name
def test_rows_in_parts_and_warm_starts(name):
    data = Drawn(name)
    model = regressor(likelihood=name, n_inducing=15)
    for part in (slice(0, None, 2), slice(1, None, 2)):
        model.partial_fit(data.X[part], data.y[part], exposure=data.exposure[part])
    whole = regressor(likelihood=name, n_inducing=15, warm_start=True)
    whole.fit(data.X, data.y, exposure=data.exposure)
    np.testing.assert_allclose(model.predict(data.X), whole.predict(data.X), rtol=0.1)
    steps, learned = whole.n_iter_, whole.likelihood_[NAMES[name]]
    whole.fit(data.X, data.y, exposure=data.exposure)
    assert whole.n_iter_ < steps
    assert whole.likelihood_[NAMES[name]] == pytest.approx(learned, rel=0.1)


def test_exposure_is_routed():
    data = Drawn("negative_binomial")
    model = regressor(likelihood="negative_binomial", n_inducing=5, max_iter=5, tol=1.0)
    options = {"params": {"exposure": data.exposure}, "cv": KFold(2), "error_score": "raise"}
    with sklearn.config_context(enable_metadata_routing=True):
        asking = clone(model).set_fit_request(exposure=True).set_score_request(exposure=True)
        found = cross_validate(asking, data.X, data.y, **options)["test_score"]
    for k, (train, test) in enumerate(KFold(2).split(data.X)):
        by_hand = clone(model).fit(data.X[train], data.y[train], exposure=data.exposure[train])
        expected = by_hand.score(data.X[test], data.y[test], exposure=data.exposure[test])
        assert found[k] == pytest.approx(expected, rel=1e-9)


# --- hard counts -------------------------------------------------------------------------------


def huge(X):
    y = np.arange(float(len(X)))
    y[2] = 1e6
    return y


HARD = {
    "zeros": (np.arange(30.0)[:, None], lambda X: np.zeros(len(X)), None),
    "huge": (np.arange(30.0)[:, None], huge, None),
    "three rows": (np.arange(3.0)[:, None], lambda X: np.array([0.0, 2.0, 1.0]), None),
    "one count": (np.arange(12.0)[:, None], lambda X: np.full(len(X), 7.0), None),
    "weights": (
        np.arange(6.0)[:, None],
        lambda X: np.array([-1.0, 0.5, 2.0, 3.0, 1.0, 0.0]),
        np.array([0.0, 0.0, 1.0, 2.0, 1.0, 1.0]),
    ),
}


@every_name
@pytest.mark.parametrize("case", HARD)
def test_hard_counts_give_finite_answers(name, case):
    X, make, weights = HARD[case]
    y, n = make(X), None if case == "huge" else 5
    model = regressor(likelihood=name, n_inducing=n, max_iter=60, tol=1e-3)
    model.fit(X, y, weights)
    seen = np.ones(len(X), bool) if weights is None else weights > 0
    for values in (
        model.elbo_curve_,
        *model.predict(X, return_std=True),
        model.predict_quantiles(X, (0.01, 0.5, 0.999)),
        model.log_predictive_density(X[seen], y[seen]),
        model.crps(X[seen], y[seen]),
        model.sample_y(X, 3),
    ):
        assert np.isfinite(values).all()
    if case == "zeros":
        assert (model.predict(X) < 0.2).all()
    if case == "weights":
        other = clone(model).fit(X[seen], y[seen], weights[seen])
        np.testing.assert_allclose(model.predict(X), other.predict(X))


@every_name
@pytest.mark.parametrize(
    ("settings", "changes", "match"),
    [
        ({}, {"y": [0, 1, 2, -1, 0.5]}, r"y\[3\] = -1 does not suit .*no count"),
        ({}, {"exposure": [1, 1, 0, 1, 1]}, "exposure must hold 5 .*row 2 is 0"),
        ({"alpha": 0.1}, {}, "no Gaussian noise. Leave alpha=None, and the WhiteKernel out"),
        ({"kernel": KERNEL + WhiteKernel()}, {}, "Leave alpha=None, and the WhiteKernel out"),
    ],
)
def test_what_does_not_suit_is_said(name, settings, changes, match):
    model = regressor(likelihood=name, n_inducing=3).set_params(**settings)
    given = {"X": np.arange(5.0)[:, None], "y": np.arange(5.0), **changes}
    with pytest.raises(ValueError, match=match):
        model.fit(**given)
    assert not hasattr(model, "kernel_")


def test_before_fit_counts_are_those_to_begin_with():
    X = np.zeros((1, 1))
    for likelihood in (NegativeBinomial(), ZeroInflatedPoisson()):
        mean, std = regressor(likelihood=likelihood).predict(X, return_std=True)
        poisson = regressor(likelihood=Poisson()).predict(X, return_std=True)
        assert 0.8 < mean / poisson[0] < 1.01 and std / mean > poisson[1] / poisson[0]


def test_far_out_there_are_no_nans():
    X = np.random.RandomState(0).uniform(-2, 2, (40, 1))
    y = np.random.RandomState(1).poisson(np.exp(1.5 * X[:, 0]))
    model = GaussianProcessRegressor(mean="linear", likelihood="poisson", max_iter=30).fit(X, y)
    mean, std = model.predict([[300.0], [0.0]], return_std=True)
    assert not np.isnan(mean).any() and np.isinf(std[0]) and np.isfinite(std[1])
