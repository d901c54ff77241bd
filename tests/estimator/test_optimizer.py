"""The optimizers: none, and L-BFGS with its monitors."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
from estimator.cases import FIXED, Recorder, every_model, log_density, regressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor, inducing


@every_model
def test_optimizer_none_keeps_the_hyperparameters(model_and_data):
    model, X, y = model_and_data
    model.set_params(optimizer=None, kernel=ConstantKernel(0.7) * RBF(1.3)).fit(X, y)
    # the logarithm and back: the last digits of a number
    np.testing.assert_allclose(model.kernel_.theta, model.kernel.theta, rtol=1e-14)
    if isinstance(model, GaussianProcessRegressor):
        assert model.noise_variance_ == pytest.approx(0.1 * np.var(y), rel=1e-12)
    if model.inducing_points_ is not None:
        distinct = inducing.distinct_rows(X, np.ones(len(X)))
        placed = inducing.kmeans(distinct[0], 10, np.random.RandomState(0), distinct[1])
        np.testing.assert_allclose(model.inducing_points_, placed, rtol=1e-12)


def test_a_fixed_kernel_ends_training_within_a_few_steps(ordered, two):
    X, y = ordered
    kernel = FIXED + WhiteKernel(0.1, "fixed")
    for n_inducing in (None, 10):
        model = GaussianProcessRegressor(kernel, n_inducing=n_inducing, train_inducing=False)
        assert model.fit(X, y).n_iter_ <= 2 and model.converged_
        np.testing.assert_allclose(model.kernel_.k2.noise_level, 0.1, rtol=1e-14)
    model = GaussianProcessClassifier(FIXED, n_inducing=None).fit(*two)
    # full natural-gradient steps settle in ten, ten more without a gain end training
    assert model.n_iter_ <= 40 and model.converged_


# --- L-BFGS ----------------------------------------------------------------------------------


def lbfgs(**settings):
    return regressor(n_inducing=None, **{"optimizer": "lbfgs", **settings})


def test_lbfgs_shows_its_last_state(ordered, callbacks, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    recorder = Recorder()
    model = lbfgs(verbose=1, max_iter=7).set_callbacks(recorder).fit(*ordered)
    assert recorder.hooks.count("end steps") == 1
    assert recorder.elbos == [model.elbo_] * 2
    assert "step 7 of at most 7" in capsys.readouterr().out


def test_lbfgs_scores_its_last_state(ordered, split):
    X, y = ordered
    model = lbfgs(early_stopping=True, max_iter=7).fit(X, y)
    assert len(model.validation_scores_) == 2  # after five steps, and at the end
    held_out = split["held_out"]
    best = model.validation_scores_.max()
    assert log_density(model, X[held_out], y[held_out]) == pytest.approx(best, rel=1e-9)


def test_lbfgs_ends_where_a_callback_says(ordered, callbacks):
    for settings in ({}, {"max_iter": 10}, {"max_iter": 7}):
        model = lbfgs(**settings).set_callbacks(Recorder(lambda *_: True))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.fit(*ordered)
        assert model.n_iter_ == min(10, model.max_iter) and not model.converged_
