"""Where a second fit with ``warm_start`` begins."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from estimator.cases import classifier, every_model, regressor
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, ConstantKernel


@every_model
def test_warm_start_goes_on(model_and_data):
    model, X, y = model_and_data
    model.set_params(warm_start=True).fit(X, y)
    # with minibatches the mean over the last ten epochs tells the level
    last = 30 if model.batch_size == 20 else 1
    steps, value = model.n_iter_, model.elbo_curve_[-last:].mean()
    through_pickle = pickle.loads(pickle.dumps(model)).fit(X, y)
    model.fit(X, y)
    assert model.n_iter_ < steps
    # the stopping rule leaves a few times tol = 1e-4 per row, minibatches scatter by a nat
    assert model.elbo_curve_[-last:].mean() > value - (1.0 if last == 30 else 0.05)
    np.testing.assert_allclose(through_pickle.elbo_curve_, model.elbo_curve_, rtol=1e-9)


def test_warm_start_with_one_kernel_for_each_class(three):
    X, y = three
    model = classifier(shared_kernel=False, warm_start=True, max_iter=40).fit(X, y)
    learned = model.kernel_.theta
    model.set_params(optimizer=None).fit(X, y)
    np.testing.assert_allclose(model.kernel_.theta, learned, rtol=1e-12)


@pytest.mark.parametrize("change", ["kernel", "columns", "both"])
@pytest.mark.parametrize("name", ["gpr", "svgp"])
def test_warm_start_begins_anew_where_the_form_is_another(model_and_data, change):
    model, X, y = model_and_data
    model.set_params(warm_start=True, max_iter=30).fit(X, y)
    if change != "columns":
        model.set_params(kernel=ConstantKernel(1.0) * RBF([1.0] * (2 if change == "kernel" else 1)))
    X = X if change == "kernel" else X[:, :1]
    again, fresh = model.fit(X, y), clone(model).fit(X, y)
    np.testing.assert_array_equal(again.elbo_curve_, fresh.elbo_curve_)
    np.testing.assert_array_equal(again.predict(X), fresh.predict(X))


def test_warm_start_with_more_inducing_points_keeps_the_kernel(ordered):
    X, y = ordered
    model = regressor(n_inducing=10, warm_start=True).fit(X, y)
    learned = model.kernel_.theta
    model.set_params(n_inducing=15, optimizer=None).fit(X, y)
    assert len(model.inducing_points_) == 15
    np.testing.assert_allclose(model.kernel_.theta, learned, rtol=1e-12)
    model.set_params(n_inducing=None).fit(X, y)
    assert model.inducing_points_ is None
    np.testing.assert_allclose(model.kernel_.theta, learned, rtol=1e-12)


def test_warm_start_heeds_other_bounds_and_fixed_values(ordered):
    X, y = ordered
    model = regressor(n_inducing=None, warm_start=True).fit(X, y)
    model.set_params(kernel=ConstantKernel(1.0) * RBF(1.0, (0.1, 0.5))).fit(X, y)
    assert model.kernel_.k2.length_scale_bounds == (0.1, 0.5)
    assert model.kernel_.k2.length_scale <= 0.5 * (1 + 1e-12)
    for value in (2.0, 3.0):
        model.set_params(kernel=ConstantKernel(value, "fixed") * RBF(1.0)).fit(X, y)
        assert model.kernel_.k1.constant_value == pytest.approx(value, rel=1e-12)
