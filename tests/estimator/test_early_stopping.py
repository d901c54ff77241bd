"""The rows that ``early_stopping`` holds out, when it ends training and what it keeps."""

from __future__ import annotations

import numpy as np
import pytest
from estimator.cases import classifier, every_model, log_density, regressor
from sklearn.base import clone

from skgpng import GaussianProcessRegressor
from skgpng._estimator.monitor import EarlyStopping


def looks_of(scores, patience, tol=0.0):
    """The rule after it has seen results 0, 1, 2... with these scores, and what it said of each."""
    rule = EarlyStopping(lambda k: scores[k], patience, tol)
    return rule, [rule(k) for k in range(len(scores))]


def test_early_stopping_ends_after_looks_without_a_gain():
    scores = [0.0, 1.0, 2.0, 1.5, 2.0, -np.inf]
    assert looks_of(scores, 2)[1] == [False] * 4 + [True] * 2
    assert looks_of(scores, 3)[1] == [False] * 5 + [True]
    assert looks_of([0.0, 0.4, 0.8], 2, tol=1.0)[1] == [False, False, True]
    rule, _ = looks_of([0.0, 0.4, np.nan], 9, tol=1.0)
    assert rule.best == 1  # a gain below tol is one


@every_model
def test_early_stopping_keeps_the_best_state(model_and_data, split):
    model, X, y = model_and_data
    model.set_params(early_stopping=True, n_iter_no_change=3, max_iter=100, learning_rate=0.3)
    if isinstance(model, GaussianProcessRegressor):
        model.set_params(local_scale=False)  # it is chosen after training
    model.fit(X, y)
    held_out = split["held_out"]
    assert len(held_out) == int(np.ceil(0.1 * len(X)))
    scores = model.validation_scores_
    assert scores.ndim == 1 and np.all(np.isfinite(scores))
    assert log_density(model, X[held_out], y[held_out]) == pytest.approx(scores.max(), rel=1e-9)
    _, ended = looks_of(scores, 3, model.tol)
    assert not any(ended[:-1]) and ended[-1] <= model.converged_
    assert model.elbo_curve_.shape == (model.n_iter_,) and len(scores) == -(-model.n_iter_ // 5)
    assert model.elbo_ == model.elbo_curve_[min(5 * (1 + scores.argmax()), model.n_iter_) - 1]
    if isinstance(model, GaussianProcessRegressor) and model.n_inducing is None:
        at_theta = model.log_marginal_likelihood(model.kernel_.theta)
        assert model.elbo_ == pytest.approx(at_theta, rel=1e-9)


def test_without_early_stopping_there_are_no_scores(ordered):
    assert regressor(max_iter=5).fit(*ordered).validation_scores_ is None


def test_early_stopping_looks_once_an_epoch(ordered):
    X, y = ordered
    model = regressor(n_inducing=10, batch_size=6, early_stopping=True, max_iter=4).fit(X, y)
    assert len(model.validation_scores_) == 4  # 54 rows are 9 batches of 6


def test_early_stopping_trains_on_no_held_out_row(ordered, split):
    X, y = ordered
    # scale of y and start of the noise are set from all rows: here both are given
    model = regressor(
        alpha=0.1, n_inducing=None, early_stopping=True, normalize_y=False, max_iter=20
    )
    first = clone(model).fit(X, y)
    held_out = split["held_out"]
    np.testing.assert_array_equal(first._predictor.posterior.points, np.delete(X, held_out, 0))
    y = y.copy()
    y[held_out] += 100.0
    other = clone(model).fit(X, y)
    np.testing.assert_array_equal(other.elbo_curve_, first.elbo_curve_)
    assert np.all(other.validation_scores_ < first.validation_scores_)


def test_early_stopping_holds_out_rows_of_each_class(ordered, split):
    X, _ = ordered
    y = np.where(np.arange(60) < 10, "few", "many")
    settings = dict(early_stopping=True, validation_fraction=0.2, max_iter=10)
    for seed in range(3):
        classifier(**settings).set_params(random_state=seed).fit(X, y)
        assert np.sum(y[split["held_out"]] == "few") == 2


def test_early_stopping_splits_weights_and_noise_with_their_rows(ordered, split):
    X, y = ordered
    rng = np.random.RandomState(2)
    weights, noise = rng.uniform(0.5, 2.0, 60), rng.uniform(0.0, 1.0, 60)
    model = regressor(alpha=0.1, n_inducing=None, normalize_y=False, max_iter=30)
    stopped = clone(model).set_params(early_stopping=True)
    stopped.fit(X, y, sample_weight=weights, noise_variance=noise)
    t, h = split["train"], split["held_out"]
    plain = model.fit(X[t], y[t], sample_weight=weights[t], noise_variance=noise[t])
    n = min(plain.n_iter_, stopped.n_iter_)
    np.testing.assert_allclose(plain.elbo_curve_[:n], stopped.elbo_curve_[:n], rtol=1e-12)
    mean, f_std = stopped.predict(X[h], return_std=True, include_noise=False)
    variance = f_std**2 + stopped.noise_variance_ + noise[h]
    density = -0.5 * (np.log(2 * np.pi * variance) + (y[h] - mean) ** 2 / variance)
    best = np.average(density, weights=weights[h])
    assert stopped.validation_scores_.max() == pytest.approx(best, rel=1e-9)


def test_early_stopping_names_a_class_that_cannot_be_split(ordered, three):
    X, _ = ordered
    y = np.where(np.arange(60) < 1, "lonely", "many")
    with pytest.raises(ValueError, match="(?s)early_stopping.*1 member"):
        classifier(early_stopping=True).fit(X, y)
    X, y = three
    with pytest.raises(ValueError, match="(?s)early_stopping.*validation_fraction"):
        classifier(early_stopping=True).fit(X[::5], y[::5])  # 2 rows of 3 classes
