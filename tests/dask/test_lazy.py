"""Predictions of Dask collections: lazy, of the right kind, and those of the ordinary estimator."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import pytest

from skgpng import GaussianProcessClassifier as LocalClassifier
from skgpng import GaussianProcessRegressor as LocalRegressor
from skgpng.dask import GaussianProcessClassifier, GaussianProcessRegressor

pd = pytest.importorskip("pandas")
dd = pytest.importorskip("dask.dataframe")


@pytest.fixture(scope="module")
def fitted(table):
    """Few rows, at hand: it goes the ordinary way."""
    X, y = table
    return GaussianProcessRegressor(random_state=0).fit(X[:60], y[:60])


@pytest.fixture(scope="module")
def of_frame(table):
    X, y = table
    frame = pd.DataFrame(X, columns=["left", "right"], index=np.arange(1200) + 5)
    model = GaussianProcessRegressor(random_state=0).fit(frame[:60], y[:60])
    return model, frame, dd.from_pandas(frame, npartitions=4)


@pytest.fixture(autouse=True, scope="module")
def in_this_process():
    """What is lazy needs no cluster."""
    with dask.config.set(scheduler="synchronous"):
        yield


def test_arrays_at_hand_go_the_ordinary_way(fitted, table):
    X, y = table
    local = LocalRegressor(random_state=0).fit(X[:60], y[:60])
    assert fitted.elbo_ == local.elbo_
    mean = fitted.predict(X)
    assert isinstance(mean, np.ndarray) and np.array_equal(mean, local.predict(X))
    assert fitted.predict(X, return_cov=True)[1].shape == (1200, 1200)
    assert fitted.score(X, y) == local.score(X, y)
    assert np.array_equal(fitted.crps(X, y), local.crps(X, y))


def test_predictions_have_the_chunks_of_X(fitted, table):
    X, y = table
    lazy = da.from_array(X, chunks=(500, 1))
    mean, std = fitted.predict(lazy, return_std=True, include_noise=False)
    expected = fitted.predict(X, return_std=True, include_noise=False)
    for found, values in zip((mean, std), expected, strict=True):
        assert found.chunks == ((500, 500, 200),) and found.dtype == values.dtype == np.float64
        np.testing.assert_allclose(found.compute(), values, rtol=1e-9, atol=1e-10)
    quantiles = fitted.predict_quantiles(lazy, [0.1, 0.9])
    assert quantiles.shape == (1200, 2)
    np.testing.assert_allclose(quantiles.compute(), fitted.predict_quantiles(X, [0.1, 0.9]))
    density = fitted.log_predictive_density(lazy, da.from_array(y, chunks=300))
    np.testing.assert_allclose(density.compute(), fitted.log_predictive_density(X, y))
    np.testing.assert_allclose(fitted.crps(lazy, y).compute(), fitted.crps(X, y))
    assert fitted.score(lazy, y) == pytest.approx(fitted.score(X, y))


def test_what_is_known_of_rows_goes_with_them(fitted, table):
    X, _ = table
    lazy, noise = da.from_array(X, chunks=(500, 2)), np.linspace(0.0, 2.0, 1200)
    _, std = fitted.predict(lazy, return_std=True, noise_variance=da.from_array(noise, chunks=100))
    expected = fitted.predict(X, return_std=True, noise_variance=noise)[1]
    np.testing.assert_allclose(std.compute(), expected)


def test_several_targets(table):
    X, y = table
    model = GaussianProcessRegressor(random_state=0).fit(X[:60], np.stack([y, -y], 1)[:60])
    lazy = da.from_array(X, chunks=(700, 2))
    mean, std = model.predict(lazy, return_std=True)
    assert mean.shape == std.shape == (1200, 2)
    np.testing.assert_allclose(mean.compute(), model.predict(X))
    assert model.predict_quantiles(lazy).compute().shape == (1200, 2, 3)
    frame = dd.from_pandas(pd.DataFrame(X), npartitions=2)
    mean, std = model.predict(frame, return_std=True)
    np.testing.assert_allclose(std.compute(), model.predict(X, return_std=True)[1])
    with pytest.raises(ValueError, match="to_dask_array"):
        model.predict_quantiles(frame)


def test_no_rows(fitted, table):
    X, _ = table
    lazy = da.from_array(X, chunks=(300, 2))
    some = lazy[lazy[:, 0] > 1.95]  # of unknown size, perhaps none in a chunk
    mean = fitted.predict(some)
    np.testing.assert_allclose(mean.compute(), fitted.predict(X[X[:, 0] > 1.95]))
    none = fitted.predict(lazy[lazy[:, 0] > 9])
    assert none.compute().shape == (0,)


def test_frames_keep_their_index(of_frame, table):
    model, frame, lazy = of_frame
    mean, std = model.predict(lazy, return_std=True)
    assert mean.divisions == lazy.divisions and mean.name == "mean" and std.name == "std"
    expected = model.predict(frame, return_std=True)
    for found, values in zip((mean, std), expected, strict=True):
        found = found.compute()
        assert found.index.equals(frame.index) and found.dtype == np.float64
        np.testing.assert_allclose(found, values)
    beside = lazy.assign(predicted=mean)[["left", "predicted"]].compute()
    np.testing.assert_allclose(beside["predicted"], expected[0])
    quantiles = model.predict_quantiles(lazy).compute()
    assert quantiles.columns.tolist() == [0.025, 0.5, 0.975]
    y = pd.Series(table[1], index=frame.index, name="y")
    density = model.log_predictive_density(lazy, dd.from_pandas(y, npartitions=4))
    np.testing.assert_allclose(density.compute(), model.log_predictive_density(frame, y))
    assert model.score(lazy, dd.from_pandas(y, npartitions=4)) == pytest.approx(
        model.score(frame, y)
    )


def test_columns_are_checked_before_anything_is_computed(of_frame, fitted, table):
    model, _, lazy = of_frame
    with pytest.raises(ValueError, match="feature names"):
        model.predict(lazy[["right", "left"]])
    with pytest.raises(ValueError, match="X has 1 features, but .* is expecting 2 features"):
        model.predict(lazy[["left"]])
    with pytest.raises(ValueError, match="X has 3 features, but .* is expecting 2 features"):
        fitted.predict(da.ones((4, 3)))
    with pytest.raises(ValueError, match="return_cov=True is for arrays"):
        fitted.predict(da.ones((4, 2)), return_cov=True)
    with pytest.raises(ValueError, match="4 rows, y 3"):
        fitted.log_predictive_density(da.ones((4, 2)), np.ones(3))
    with pytest.raises(Exception, match="not fitted yet"):
        GaussianProcessRegressor().predict(da.ones((4, 2)))


def test_labels(table):
    X, y = table
    labels = np.array(["low", "high"])[(y > 0).astype(int)]
    model = GaussianProcessClassifier(random_state=0).fit(X[:40], labels[:40])
    local = LocalClassifier(random_state=0).fit(X[:40], labels[:40])
    lazy = dd.from_pandas(pd.DataFrame(X), npartitions=2)
    found = model.predict(lazy)
    assert found.name == "label" and np.array_equal(found.compute(), local.predict(X))
    p = model.predict_proba(lazy).compute()
    assert p.columns.tolist() == ["high", "low"]
    np.testing.assert_allclose(p, local.predict_proba(X))
    np.testing.assert_allclose(model.decision_function(lazy).compute(), local.decision_function(X))
    assert model.score(lazy, labels) == local.score(X, labels)


def test_the_model_is_one_key_of_the_graph(fitted):
    """So that a worker gets it once, however many blocks it predicts."""
    graph = dict(fitted.predict(da.ones((1000, 2), chunks=(10, 2))).__dask_graph__())
    assert sum("skgpng-model" in str(key) for key in graph) == 1


def test_a_cluster_predicts(client, fitted, table):
    X, _ = table
    found = client.compute(fitted.predict(da.from_array(X, chunks=(100, 2))), sync=True)
    np.testing.assert_allclose(found, fitted.predict(X), rtol=1e-9, atol=1e-10)
