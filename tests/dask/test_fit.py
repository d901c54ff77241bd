"""Fits on a cluster against fits of the same rows in this process."""

from __future__ import annotations

import threading
import time

import dask
import dask.array as da
import dask.bag as bag
import numpy as np
import pytest
from machines import spread

from skgpng._estimator.problem import Rows
from skgpng.dask import GaussianProcessClassifier, GaussianProcessRegressor, _summing
from skgpng.dask._rows import DaskRows

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SHORT = {"n_inducing": 15, "max_iter": 6, "random_state": 0}


def agree(far, near, X, rtol=1e-8):
    """Bounds and predictions."""
    np.testing.assert_allclose(far.elbo_, near.elbo_, rtol=rtol)
    np.testing.assert_allclose(far.elbo_curve_, near.elbo_curve_, rtol=rtol)
    np.testing.assert_allclose(far.inducing_points_, near.inducing_points_, rtol=100 * rtol)
    ask = "predict_proba" if hasattr(near, "classes_") else "predict"
    found, expected = (getattr(model, ask)(X[:50]) for model in (far, near))
    np.testing.assert_allclose(found, expected, rtol=100 * rtol, atol=rtol)


REGRESSIONS = {
    "collapsed": {},
    "minibatches": {"batch_size": 128},
    "float32": {"dtype": "float32"},
    "outliers": {"likelihood": "student_t"},
    "linear mean": {"mean": "linear"},
}


@pytest.mark.parametrize("settings", REGRESSIONS.values(), ids=REGRESSIONS)
def test_two_workers_give_the_numbers_of_one_process(client, table, settings):
    X, y = table
    model = GaussianProcessRegressor(**SHORT, **settings)
    near = model.to_local().fit(X, y)
    far = model.fit(*spread(X, y))
    # rounded sums of float32 covariances differ in their sixth digit
    agree(far, near, X, 1e-3 if settings.get("dtype") else 1e-8)
    assert far.summary().splitlines()[1] == near.summary().splitlines()[1]
    end = time.monotonic() + 10
    while left := [key for key in client.futures if "skgpng" in str(key)]:
        assert time.monotonic() < end, left
        time.sleep(0.05)


@pytest.mark.parametrize("batch_size", [None, 128])
def test_one_worker_gives_them_to_the_last_digits(client, table, batch_size):
    X, y = table
    worker = [*client.nthreads()][0]
    both = client.persist([da.from_array(a, chunks=100) for a in (X, y)], workers=[worker])
    model = GaussianProcessRegressor(**SHORT, batch_size=batch_size)
    near = model.to_local().fit(X, y)
    far = model.fit(*both)
    np.testing.assert_allclose(far.elbo_curve_, near.elbo_curve_, rtol=1e-12)
    np.testing.assert_allclose(far.predict(X), near.predict(X), rtol=1e-8, atol=1e-10)


def test_several_targets_and_weights_some_of_them_zero(client, table):
    X, y = table
    Y, weights = np.stack([y, y**2], 1), np.arange(1200) % 4.0
    model = GaussianProcessRegressor(**SHORT)
    near = model.to_local().fit(X, Y, weights)
    far = model.fit(*spread(X, Y, weights, chunk=150))
    agree(far, near, X)


@pytest.mark.parametrize("n_classes, balanced", [(2, None), (3, "balanced")])
def test_classes(client, table, n_classes, balanced):
    X, y = table
    labels = np.array(["a", "b", "c"])[np.digitize(y, [-1.0, 1.5][: n_classes - 1])]
    model = GaussianProcessClassifier(**SHORT, class_weight=balanced)
    near = model.to_local().fit(X, labels)
    far = model.fit(*spread(X, labels))
    agree(far, near, X)
    assert far.classes_.tolist() == ["a", "b", "c"][:n_classes]
    lazy = far.predict(spread(X))
    assert lazy.dtype == labels.dtype and lazy.chunks == ((100,) * 12,)
    np.testing.assert_array_equal(lazy.compute(), near.predict(X))
    np.testing.assert_allclose(
        far.predict_proba(spread(X)).compute(), near.predict_proba(X), atol=1e-8
    )
    assert far.score(*spread(X, labels)) == near.score(X, labels)


def test_neighbours_are_those_of_the_sample(client, table):
    X, y = table
    model = GaussianProcessRegressor(n_neighbors=8, optimizer=None, random_state=0)
    near = model.to_local().fit(X, y)
    far = model.fit(*spread(X, y))
    np.testing.assert_array_equal(far.predict(X), near.predict(X))


def test_frames_with_partitions_of_unknown_size_and_none(client, table):
    pd, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    X, y = table
    frame = pd.DataFrame(X, columns=["left", "right"]).assign(y=y)
    spread_out = dd.from_pandas(frame, npartitions=6)
    some = spread_out[spread_out.y > -9]
    some = some.map_partitions(lambda part: part[part.index >= 250], meta=some._meta)
    # the first partition is empty
    kept = frame[frame.index >= 250]
    model = GaussianProcessRegressor(**SHORT)
    near = model.to_local().fit(kept[["left", "right"]], kept["y"])
    far = model.fit(some[["left", "right"]], some["y"])
    np.testing.assert_allclose(far.elbo_, near.elbo_, rtol=1e-8)
    assert far.feature_names_in_.tolist() == ["left", "right"]
    by_array = model.fit(some[["left", "right"]].to_dask_array(), some["y"].to_dask_array())
    np.testing.assert_allclose(by_array.elbo_, near.elbo_, rtol=1e-8)


def test_frames_from_files_of_which_dask_reads_several_as_one(client, table, tmp_path):
    pd, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    X, y = table
    frame = pd.DataFrame(X, columns=["left", "right"]).assign(y=y)
    for k in range(4):
        frame.iloc[300 * k : 300 * k + 300].to_parquet(tmp_path / f"{k}.parquet")
    read = dd.read_parquet(tmp_path)
    far = read[["left", "right"]], read["y"]
    model = GaussianProcessRegressor(**SHORT)
    near = model.to_local().fit(frame[["left", "right"]], y)
    for X_far in (far[0].to_dask_array(), far[0]):
        np.testing.assert_allclose(model.fit(X_far, far[1]).elbo_, near.elbo_, rtol=1e-8)
    assert len(far[1].to_delayed()) < far[1].npartitions  # what this is about
    found = model.log_predictive_density(*far).compute()
    expected = near.log_predictive_density(frame[["left", "right"]], y)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(model.score(*far), near.score(frame[["left", "right"]], y))


def test_chunks_along_columns_and_other_rows_in_y(client, table):
    X, y = table
    model = GaussianProcessRegressor(**SHORT)
    near = model.to_local().fit(X, y)
    far = model.fit(da.from_array(X, chunks=(200, 1)), da.from_array(y, chunks=250))
    np.testing.assert_allclose(far.elbo_, near.elbo_, rtol=1e-8)
    beside = model.fit(da.from_array(X, chunks=(200, 1)), y)  # y at hand
    np.testing.assert_allclose(beside.elbo_, near.elbo_, rtol=1e-8)


def test_without_a_way_to_the_workers(client, table, monkeypatch):
    """Questions go by the scheduler, as tasks."""
    X, y = table
    monkeypatch.setattr(_summing.Summing, "_reaches", lambda self, addresses: False)
    asked = []
    monkeypatch.setattr(_summing.Summing, "_call", lambda *a: asked.append(a))
    model = GaussianProcessRegressor(**SHORT)
    near = model.to_local().fit(X, y)
    far = model.fit(*spread(X, y))
    np.testing.assert_allclose(far.elbo_curve_, near.elbo_curve_, rtol=1e-8)
    assert not asked


def _fit_inside(n):
    X = da.linspace(0, 6, n, chunks=n // 4)[:, None]
    return GaussianProcessRegressor(**SHORT).fit(X, da.sin(X[:, 0])).to_local().elbo_


def test_inside_of_tasks(client):
    """As many as there are threads: each waits for other tasks."""
    found = client.gather(client.map(_fit_inside, [1200, 1204]), asynchronous=False)
    assert np.all(np.isfinite(found))


# --- the sample ------------------------------------------------------------------------------


def test_a_sample_is_of_the_rows_without_repetition_and_in_order(client, table):
    X, y = table
    rows = DaskRows(client, *spread(X, np.arange(1200)), None, False)
    sample = rows.sample(8 * 4 * 40, np.random.RandomState(0))  # two columns, y and weight
    assert len(sample.y) == 40 and sample.n_rows == 1200 and not sample.is_all
    assert np.all(np.diff(sample.y) > 0)
    np.testing.assert_array_equal(sample.X, X[sample.y])
    everything = rows.sample(2**20, np.random.RandomState(0))
    assert everything.is_all and np.array_equal(everything.X, X)
    rows.end()


def test_each_row_is_as_likely(client):
    X = np.zeros((40, 1))
    rows = DaskRows(client, *spread(X, np.arange(40), chunk=13), None, False)
    drawn = [rows.sample(8 * 3 * 10, np.random.RandomState(k)).y for k in range(60)]
    counts = np.bincount(np.concatenate(drawn), minlength=40)
    rows.end()
    # 60 draws of one in four: 15, with a standard deviation of 3.4
    assert counts.sum() == 600 and np.all(np.abs(counts - 15) < 4.5 * 3.4)


def test_the_sample_has_all_classes(client):
    X, y = np.zeros((400, 1)), np.zeros(400, int)
    y[[123, 371]] = 7, 9
    rows = DaskRows(client, *spread(X, y), None, True)
    sample = rows.sample(8 * 3 * 20, np.random.RandomState(0))
    assert set(sample.y) == {0, 7, 9} and 20 <= len(sample.y) <= 22
    rows.end()


def test_learning_goes_beyond_the_sample(client, table, tuned):
    """The start is that of 200 rows, the bound that of all."""
    tuned(sample_bytes=8 * 4 * 200)
    X, y = table
    model = GaussianProcessRegressor(n_inducing=15, max_iter=150, random_state=0)
    far = model.fit(*spread(X, y))
    near = model.to_local().fit(X, y)
    scale = far._predictor.units.scale[0] / near._predictor.units.scale[0]
    # per row, and in the units of the y of the other
    assert abs(far.elbo_ - 1200 * np.log(scale) - near.elbo_) < 0.02 * 1200
    with pytest.raises(ValueError, match="needs all 1,200 rows in memory"):
        GaussianProcessRegressor(n_inducing=None).fit(*spread(X, y))


# --- what is refused -------------------------------------------------------------------------


def test_rows_that_do_not_fit_together(client, table):
    X, y = table
    model = GaussianProcessRegressor(**SHORT)
    with pytest.raises(ValueError, match="X has 1200 rows, y 1199"):
        model.fit(*spread(X, y[:-1]))
    with pytest.raises(ValueError, match="X has 1200 rows, y 1199"):
        model.fit(spread(X), y[:-1])
    both = spread(X, y)
    with pytest.raises(ValueError, match=r"partition \d+ has \d+ rows of X and 100 of y"):
        model.fit(both[0][both[0][:, 0] > 0], both[1])
    with pytest.raises(ValueError, match="12 partitions and y 6"):
        model.fit(both[0][both[0][:, 0] > 0], spread(y, chunk=200))
    with pytest.raises(ValueError, match="all partitions of X are empty"):
        model.fit(both[0][both[0][:, 0] > 9], both[1][both[0][:, 0] > 9])
    with pytest.raises(ValueError, match="y is None"):
        model.fit(both[0])
    with pytest.raises(ValueError, match=r"y='target' is text.*frame\['target'\]"):
        model.fit(both[0], "target")
    delayed = dask.delayed(X)
    for given in (delayed, [delayed]):
        with pytest.raises(ValueError, match="X must be a Dask array or data frame.*from_delayed"):
            model.fit(given, y)
    with pytest.raises(ValueError, match="Expected 2D array"):
        model.fit(both[1], both[1])
    with pytest.raises(ValueError, match="noise_variance is for arrays"):
        model.fit(*both, noise_variance=y)


def test_a_wrong_row_is_named(client, table, tuned):
    X, y = table
    X = X.copy()
    X[457, 1] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN or infinity, in row 457"):
        GaussianProcessRegressor(**SHORT).fit(*spread(X, y))
    wrong = np.where(np.arange(len(y)) == 1100, np.inf, y)
    with pytest.raises(ValueError, match="Input y contains NaN or infinity, in row 1100"):
        GaussianProcessRegressor(**SHORT).fit(*spread(table[0], wrong))
    tuned(sample_bytes=8 * 4 * 5)  # which is of other rows
    with pytest.raises(ValueError, match="NaN or infinity, in row 457"):
        GaussianProcessRegressor(**SHORT).fit(*spread(X, y))


def test_a_worker_of_three_threads_adds_up_three_parts(monkeypatch, table):
    """The same sums, in threads of their own."""
    X, y = table
    names = []

    class Worker:
        class state:
            nthreads = 3

    class Call:
        def on(self, rows, arrays):
            names.append(threading.current_thread().name)
            time.sleep(0.05)  # so that no thread takes two
            return [rows.weights @ rows.X * arrays[0], np.sum(rows.Y)]

    monkeypatch.setattr(_summing, "get_worker", Worker)
    monkeypatch.setattr(_summing, "_unpickled", lambda call: Call())
    rows = Rows(np.tile(X, (2, 1)), np.tile(y, 2)[:, None], np.arange(2400.0), np.zeros((2400, 0)))
    for chosen, n in ((None, 3), (np.arange(2000), 3), (np.arange(600), 1)):
        found = _summing.sums_of(rows, _summing.Question(b"", [np.array(2.0)], chosen, 0.5))
        own = rows if chosen is None else rows.some(chosen)
        np.testing.assert_allclose(found[0], own.weights @ own.X)
        np.testing.assert_allclose(found[1], np.sum(own.Y))
        assert len(set(names)) == n
        names.clear()


def test_known_arrays_are_not_sent_again():
    rng = np.random.RandomState(0)
    large = [rng.randn(100, 100) for _ in range(3)]
    small = np.zeros(3)
    there: list = []
    here: list = []
    for arrays, sent in (
        ([large[0], small], [0]),
        ([large[0], small, large[1], large[1]], [2]),
        ([large[2], large[1]], [0]),
        ([large[0]], [0]),  # forgotten
    ):
        given, here = _summing.spared(arrays, here)
        assert [k for k, a in enumerate(given) if np.ndim(a) == 2] == sent
        found, there = _summing.restored(given, there)
        for a, b in zip(found, arrays, strict=True):
            assert np.array_equal(a, b)


def test_what_is_no_table_or_lacks_labels(client, table):
    dd, pd = pytest.importorskip("dask.dataframe"), pytest.importorskip("pandas")
    X, y = table
    model = GaussianProcessRegressor(**SHORT)
    for rows in (dask.delayed(X), bag.from_sequence(X[:9].tolist())):
        with pytest.raises(ValueError, match="X must be a Dask array or data frame"):
            model.fit(rows, y)
    with pytest.raises(ValueError, match="X is a Dask series"):
        model.fit(dd.from_pandas(pd.Series(y), npartitions=2), y)
    labels = np.where(y > 0, "a", "b").astype(object)
    labels[1100] = None
    with pytest.raises(ValueError, match="Labels must be of one type, and none may be missing"):
        GaussianProcessClassifier(**SHORT).fit(*spread(X, labels))
