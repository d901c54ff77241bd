"""Estimators and what their tests look at."""

from __future__ import annotations

import functools
import pickle
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor

# One kernel for most tests: every structure costs a compilation of a second.
KERNEL = ConstantKernel(1.0) * RBF(1.0)
FIXED = ConstantKernel(0.7, "fixed") * RBF([1.1, 1.3], "fixed")
# Adam: exact regression left to itself takes L-BFGS, whose few steps leave little to steer.
regressor = functools.partial(GaussianProcessRegressor, KERNEL, optimizer="adam", random_state=0)
classifier = functools.partial(GaussianProcessClassifier, KERNEL, random_state=0)

# name: (data, estimator); exact, collapsed and stochastic regression, and from neighbours, then
# classifiers
MODELS = {
    "gpr": ("ordered", regressor(n_inducing=None)),
    "sgpr": ("ordered", regressor(n_inducing=10)),
    "neighbours": ("ordered", regressor(n_neighbors=10)),
    "svgp minibatch": ("ordered", regressor(n_inducing=10, batch_size=20, gamma=0.3)),
    "vgp": ("two", classifier(n_inducing=None)),
    "svgp": ("two", classifier(n_inducing=10)),
    "vgp three classes": ("three", classifier(n_inducing=None)),
}
every_model = pytest.mark.parametrize("name", MODELS)
# Where training is only watched: one without q, one with minibatches, one with several latent
# functions.
some_models = pytest.mark.parametrize("name", ["gpr", "svgp minibatch", "vgp three classes"])


def state(model) -> dict:
    """Attributes by name, with arrays by their bytes."""
    return {name: pickle.dumps(value) for name, value in vars(model).items()}


def output(model, X) -> np.ndarray:
    """Mean of y, or class probabilities."""
    return getattr(model, "predict_proba", model.predict)(X)


def silent(model, *rows):
    """The model fitted; a warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return model.fit(*rows)


def log_density(model, X, y) -> float:
    """Mean log predictive density of (scaled) y, or log probability of the label."""
    if isinstance(model, GaussianProcessRegressor):
        return np.mean(model.log_predictive_density(X, y)) + np.log(model._predictor.units.scale[0])
    p = model.predict_proba(X)
    return np.mean(np.log(p[np.arange(len(y)), np.searchsorted(model.classes_, y)]))


def counted(function: Callable, errors: dict) -> Callable:
    """The function, failing at some of its calls: ``{number of the call: error}``."""
    calls = []

    def count(*arguments, **named):
        calls.append(arguments)
        if len(calls) in errors:
            raise errors[len(calls)]
        return function(*arguments, **named)

    return count


class Recorder:
    """A callback that counts its hooks; ``act(estimator, fitted_estimator)`` may end training."""

    def __init__(self, act=lambda estimator, fitted: None):
        self.act, self.hooks, self.metadata, self.elbos = act, [], [], []

    def setup(self, estimator, context):
        self.hooks.append("setup")

    def teardown(self, estimator, context):
        self.hooks.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.hooks.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, metadata, fitted_estimator):
        self.hooks.append(f"end {context.task_name}")
        self.metadata.append(metadata)
        self.elbos.append(fitted_estimator.elbo_)
        return context.task_name == "steps" and self.act(estimator, fitted_estimator)
