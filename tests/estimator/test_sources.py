"""Rows from a disk, and from whatever gives them in batches."""

from __future__ import annotations

import collections
import functools
import pathlib
import pickle
import threading

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
import tensorflow as tf
from estimator.cases import KERNEL, output
from estimator.elsewhere import Pools

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
from skgpng._estimator import blocks, from_disk, sources
from skgpng._estimator.blocks import Reader, read_ahead
from skgpng._estimator.problem import Rows
from skgpng._estimator.sampled import Reservoir

regressor = functools.partial(
    GaussianProcessRegressor, KERNEL, n_inducing=10, max_iter=5, random_state=0
)
classifier = functools.partial(
    GaussianProcessClassifier, KERNEL, n_inducing=10, max_iter=5, random_state=0
)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    """Whatever reads ahead ends, errors or not."""
    yield
    assert all(thread.name != blocks._THREAD for thread in threading.enumerate())


def table_of():
    """Five hundred rows, their targets, labels and weights."""
    rng = np.random.RandomState(0)
    X = rng.uniform(-2.0, 2.0, (500, 2)).astype(np.float32)
    y = np.sin(2.0 * X[:, 0]) + 0.3 * X[:, 1] + 0.1 * rng.randn(500)
    return X, y, np.where(y > 0.3, "high", "low"), rng.uniform(0.5, 1.5, 500)


@pytest.fixture
def table():
    """The same."""
    return table_of()


class Slices:
    """Rows by slices, as LightGBM's Sequence gives them."""

    def __init__(self, *arrays):
        self.arrays, self.asked = arrays, []

    def __len__(self):
        return len(self.arrays[0])

    def __getitem__(self, chosen):
        assert isinstance(chosen, slice)
        self.asked.append(chosen)
        found = tuple(a[chosen] for a in self.arrays)
        return found if len(found) > 1 else found[0]


class Batches:
    """Batches of uneven sizes, empty ones among them, again and again."""

    def __init__(self, *arrays, cuts=(0, 3, 3, 250, 497, 500)):
        self.arrays, self.cuts = arrays, cuts

    def __iter__(self):
        for start, stop in zip(self.cuts, self.cuts[1:], strict=False):
            found = tuple(a[start:stop] for a in self.arrays)
            yield found if len(found) > 1 else found[0]


def arrow(X, *columns):
    """A table of Arrow with the columns a, b, y and w."""
    return pa.table(dict(zip("abyw", [*X.T, *columns], strict=False)))


def parquet(folder, *arrays):
    """A dataset of two files, one of them of several row groups."""
    whole = arrow(*arrays)
    pa.parquet.write_table(whole.slice(0, 300), folder / "1.parquet", row_group_size=70)
    pa.parquet.write_table(whole.slice(300), folder / "2.parquet")
    return pa.dataset.dataset(folder)


def on_disk(folder, name, values):
    """A memmap of the values, to be read only."""
    np.save(folder / f"{name}.npy", values)
    return np.load(folder / f"{name}.npy", mmap_mode="r")


KINDS = {
    "slices of pairs": lambda folder, X, y, w: (Slices(X, y, w), None, None),
    "slices and arrays": lambda folder, X, y, w: (Slices(X), list(y), pd.Series(w)),
    "batches": lambda folder, X, y, w: (Batches(X, y, w), None, None),
    "batches and arrays": lambda folder, X, y, w: (Batches(X), y, w),
    "function": lambda folder, X, y, w: (lambda: iter(Batches(X, y, w)), None, None),
    "list": lambda folder, X, y, w: ([*Batches(X, y, w)], None, None),
    "frames": lambda folder, X, y, w: (
        Batches(pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": y, "w": w})),
        *("y", "w"),
    ),
    "tf.data": lambda folder, X, y, w: (
        *(tf.data.Dataset.from_tensor_slices((X, y, w)).batch(120), None, None),
    ),
    "tf.data of rows": lambda folder, X, y, w: (
        *(tf.data.Dataset.from_tensor_slices((X, y, w)), None, None),
    ),
    "table": lambda folder, X, y, w: (arrow(X, y, w), "y", "w"),
    "table and arrays": lambda folder, X, y, w: (arrow(X), y, w),
    "parquet": lambda folder, X, y, w: (parquet(folder, X, y, w), "y", "w"),
    "parquet and arrays": lambda folder, X, y, w: (parquet(folder, X), y, w),
    "memmap": lambda folder, X, y, w: (
        *(on_disk(folder, "X", X), on_disk(folder, "y", y), on_disk(folder, "w", w)),
    ),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def of_kind(kind, folder, X, y, w):
    """A source of these rows, y and weights; names of labels as TensorFlow can hold them."""
    return KINDS[kind](folder, X, y, w)


# --- what a source gives ---------------------------------------------------------------------


def read(source, **settings):
    """All rows of a source, and the numbers of the first rows of the blocks."""
    reader = Reader(source, **settings)
    reader._checked(0, next(iter(source.batches(7)))[1])
    blocks = list(reader.blocks())
    return *(np.concatenate(a) for a in list(zip(*blocks, strict=True))[:3]), reader


@every_kind
def test_every_source_gives_the_rows_in_their_order_again_and_again(kind, table, tmp_path):
    X, y, _, w = table
    source = sources.source_of(*of_kind(kind, tmp_path, X, y, w))
    for _ in range(2):
        *found, reader = read(source)
        for given, expected in zip(found, (X, y, w), strict=True):
            np.testing.assert_array_equal(given, expected)
        assert found[0].dtype == np.float32 and reader.n_rows == 500


@pytest.mark.parametrize("kind", ["slices of pairs", "parquet", "table", "memmap"])
def test_blocks_in_another_order_are_numbered_as_in_theirs(kind, table, tmp_path):
    X, y, _, w = table
    source = sources.source_of(*of_kind(kind, tmp_path, X, y, w))
    blocks = [(first, given) for first, given in source.batches(60, np.random.RandomState(0))]
    firsts = [first for first, _ in blocks]
    assert sum(len(given.y) for _, given in blocks) == 500 and firsts != sorted(firsts)
    for first, given in blocks:
        np.testing.assert_array_equal(given.y, y[first : first + len(given.y)])


def test_a_filtered_dataset_gives_the_rows_that_pass(table, tmp_path):
    X, y, _, w = table
    kept = parquet(tmp_path, X, y, w).filter(pa.dataset.field("a") > 0.5)
    source = sources.source_of(kept, "y", "w")
    for rng in (None, np.random.RandomState(0)):
        found = np.concatenate([given.y for _, given in source.batches(60, rng)])
        np.testing.assert_array_equal(found, y[X[:, 0] > 0.5])


def test_arrays_and_tables_at_hand_are_no_sources(table, tmp_path):
    X, y, _, _ = table
    at_hand = (X, X.tolist(), [list(x) for x in X], pd.DataFrame(X), tuple(map(tuple, X.tolist())))
    assert [sources.source_of(x, y) for x in at_hand] == [None] * len(at_hand)
    stored = on_disk(tmp_path, "X", X)
    assert sources.source_of(stored, y, n_bytes=8 * X.size) is None
    assert sources.source_of(stored, y, n_bytes=8 * X.size - 1) is not None
    for odd in (None, 3.0, {"a": 1}, {1, 2}, range(3), np.float64(2.0), KERNEL, int):
        assert sources.source_of(odd, y) is None


def test_an_array_that_joblib_hands_on_is_one(table):
    """Beyond a megabyte its processes get a memmap; ``n_jobs`` changes no numbers."""
    kinds = joblib.Parallel(n_jobs=2, max_nbytes=1)(joblib.delayed(a)(table[0]) for a in [type])
    assert kinds == [np.memmap]
    ask = joblib.delayed(sources.source_of)
    assert joblib.Parallel(n_jobs=2, max_nbytes=1)([ask(table[0])] * 2) == [None, None]


def test_what_can_be_read_once_only_is_refused_with_the_remedy(table, tmp_path):
    X, y, _, w = table
    reader = pa.RecordBatchReader.from_batches(arrow(X).schema, arrow(X).to_batches())
    for once in (iter(Batches(X, y)), (b for b in Batches(X, y)), reader):
        with pytest.raises(TypeError, match="once only.*lambda"):
            regressor().fit(once)
    endless = tf.data.Dataset.from_tensor_slices((X, y)).batch(10).repeat()
    with pytest.raises(ValueError, match="never ends.*repeat"):
        regressor().fit(endless)


# --- the one pass ----------------------------------------------------------------------------


def reservoir_of(n, k, seed=0, labels=None, weights=None, size=37):
    """Numbers of the rows in a sample of k of n rows, and the reservoir."""
    numbers = np.arange(n, dtype=float)
    y = numbers if labels is None else labels
    n_columns = 2 + (weights is not None)
    found = Reservoir(8 * n_columns * k, np.random.RandomState(seed), labels is not None)
    for _, block in blocks_of(numbers[:, None], y, weights, size):
        found.add(block)
    return found.rows().X[:, 0].astype(int), found


def blocks_of(X, y, weights, size):
    """Blocks of arrays."""
    reader = Reader(sources.source_of(Slices(X), y, weights))
    for start in range(0, len(X), size):
        yield start, reader.rows(start, start + size)


def test_a_sample_is_uniform_without_replacement_and_in_order():
    n, k, repeats = 90, 12, 3000
    counts = np.zeros(n)
    for seed in range(repeats):
        chosen, found = reservoir_of(n, k, seed)
        assert len(chosen) == k and np.all(np.diff(chosen) > 0)
        counts[chosen] += 1
    # binomial counts: their squared deviations have a chi-squared law, of 90 +- 13 here
    p = k / n
    chi2 = np.sum((counts - repeats * p) ** 2 / (repeats * p * (1 - p)))
    assert 90 - 4 * 13.4 < chi2 < 90 + 4 * 13.4
    assert found.n_rows == n and found.total_weight == n
    assert np.array_equal(reservoir_of(n, n)[0], np.arange(n))


def test_a_sample_has_a_row_of_each_class_and_none_without_weight():
    labels = np.repeat("a", 400).astype("U8")
    labels[311], labels[5], labels[20] = "rare", "seldom", "without"
    weights = np.ones(400)
    weights[20:60] = 0.0
    weights[200] = 3.0
    chosen, found = reservoir_of(400, 10, labels=labels, weights=weights)
    assert {5, 311} <= set(chosen) and 10 <= len(chosen) <= 12 and np.all(np.diff(chosen) > 0)
    assert not set(chosen) & set(range(20, 60))
    sample = found.rows()
    np.testing.assert_array_equal(sample.y, labels[chosen])
    np.testing.assert_array_equal(sample.weights, weights[chosen])
    assert (found.n_rows, found.total_weight) == (360, 362.0)


# --- reading ahead ---------------------------------------------------------------------------


def test_reading_ahead_gives_all_ends_when_told_and_hands_errors_on():
    assert list(read_ahead(iter_of(5))) == list(range(5))
    for n in (1, 2, 3, 50):
        for taken in (1, 2):
            ahead = read_ahead(iter_of(n))
            for _ in range(min(taken, n)):
                next(ahead)
            ahead.close()
    with pytest.raises(ZeroDivisionError):
        list(read_ahead(1 // (2 - k) for k in range(5)))


def iter_of(n):
    """A generator, that can be closed."""
    yield from range(n)


# --- few rows: the numbers of arrays ---------------------------------------------------------


QUESTIONS = {
    regressor: (
        lambda m, X, y: np.array(m.predict(X, return_std=True)),
        lambda m, X, y: m.predict_quantiles(X),
        lambda m, X, y: m.log_predictive_density(X, y),
        lambda m, X, y: m.crps(X, y),
        lambda m, X, y: m.predict_gradient(X),
        lambda m, X, y: m.predict(X),
    ),
    classifier: (
        lambda m, X, y: m.predict_proba(X),
        lambda m, X, y: m.decision_function(X),
        lambda m, X, y: np.array(m.latent_mean_and_variance(X)),
        lambda m, X, y: m.predict(X),
    ),
}


@functools.lru_cache(maxsize=2)
def answers_of_arrays(make):
    """The evidence of a fit of arrays, and all its answers."""
    X, y, w = rows_of(make)
    model = make().fit(X, y, w)
    return model.elbo_, model.score(X, y, w), [ask(model, X, y) for ask in QUESTIONS[make]]


def rows_of(make):
    """Rows of ``table``, with labels for a classifier."""
    X, y, _, w = table_of()
    return X, y if make is regressor else (y > 0.3).astype(int), w


@every_kind
@pytest.mark.parametrize("make", QUESTIONS, ids=["regressor", "classifier"])
def test_few_rows_give_the_numbers_of_arrays(make, kind, tmp_path):
    rows = of_kind(kind, tmp_path, *rows_of(make))
    elbo, score, answers = answers_of_arrays(make)
    model = make().fit(*rows)
    assert model.elbo_ == elbo and model._record["rows"] == 500
    named = kind in ("frames", "table", "table and arrays", "parquet", "parquet and arrays")
    assert list(getattr(model, "feature_names_in_", [])) == (["a", "b"] if named else [])
    for ask, expected in zip(QUESTIONS[make], answers, strict=True):
        np.testing.assert_allclose(ask(model, *rows[:2]), expected, rtol=1e-9, atol=1e-11)
    assert abs(model.score(*rows) - score) < 1e-12


# --- many rows -------------------------------------------------------------------------------


@pytest.fixture
def far(tuned):
    """Hundred rows at hand, of those of ``table``; batches are drawn from 10 rows on."""
    tuned(sample_bytes=8 * 4 * 100, auto_full_batch=1.0, auto_exact=50)


def surprise(model, X, y):
    """Mean negative log density of y, or probability of labels."""
    if hasattr(model, "classes_"):
        p = model.predict_proba(X)
        return -np.mean(np.log(p[np.arange(len(y)), np.searchsorted(model.classes_, y)]))
    return -np.mean(model.log_predictive_density(X, y))


class SameSample(Pools):
    """Rows in memory, with the sample that a source has given."""

    def __init__(self, sample, *rows):
        super().__init__(*rows)
        self._sample = sample

    def sample(self, n_bytes, rng):
        return self._sample


def far_source(kind, folder, make, X, y, w):
    """Rows of a source as a fit has them, and their sample."""
    model = make()
    rows = from_disk.far_rows(
        model, from_disk.reader_of(model, *of_kind(kind, folder, X, y, w)), {"noise_variance": None}
    )
    return rows, rows.sample(model._tuning.sample_bytes, np.random.RandomState(0))


@pytest.mark.parametrize(
    ("make", "kind"), [(regressor, "batches"), (regressor, "memmap"), (classifier, "parquet")]
)
def test_sums_over_a_source_are_those_over_an_array(make, kind, table, tmp_path, far, monkeypatch):
    X, y, _, w = table
    monkeypatch.setattr(blocks, "_MOST", 130)
    y = y if make is regressor else (y > 0.3).astype(int)
    make = functools.partial(make, batch_size=None)
    w = np.where(np.arange(500) % 7 == 3, 0.0, w)
    _, sample = far_source(kind, tmp_path, make, X, y, w)
    assert 100 <= len(sample.y) <= 101 and sample.n_rows == np.sum(w > 0)
    assert abs(sample.total_weight - w.sum()) < 1e-9
    own = make().fit(*of_kind(kind, tmp_path, X, y, w))
    expected = make()._fit_elsewhere(SameSample(sample, X, y, w))
    np.testing.assert_allclose(own.elbo_curve_, expected.elbo_curve_, rtol=1e-9)
    np.testing.assert_allclose(output(own, named(own, X)), output(expected, named(expected, X)))


def named(model, X):
    """Rows with the names of the columns that the model has seen."""
    names = getattr(model, "feature_names_in_", None)
    return X if names is None else pd.DataFrame(X, columns=names)


@functools.lru_cache(maxsize=2)
def surprise_of_arrays(make):
    """Of a fit of arrays by minibatches."""
    X, y, w = rows_of(make)
    return surprise(make(**OF_BATCHES).fit(X, y, w), X, y)


OF_BATCHES = {"n_inducing": 20, "batch_size": 50, "max_iter": 60, "gamma": 0.3}


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (regressor, "slices of pairs"),
        (regressor, "batches"),
        (regressor, "parquet"),
        (classifier, "memmap"),
    ],
)
def test_minibatches_of_a_source_teach_as_those_of_an_array(make, kind, tmp_path, far):
    X, y, w = rows_of(make)
    own = make(**OF_BATCHES).fit(*of_kind(kind, tmp_path, X, y, w))
    assert own._record["rows"] == 500 and "variational" in own.summary()
    assert np.array_equal(
        output(pickle.loads(pickle.dumps(own)), named(own, X)), output(own, named(own, X))
    )
    assert abs(surprise(own, named(own, X), y) - surprise_of_arrays(make)) < 0.03


def test_pools_hold_all_rows_alike(table, tmp_path, far, monkeypatch):
    """Each row as often as any other, in the end; with its own y and weight."""
    X, y, _, w = table
    monkeypatch.setattr(from_disk, "_PIECE", 8)
    monkeypatch.setattr(blocks, "_MOST", 50)
    for kind in ("slices of pairs", "batches", "parquet"):
        rows, sample = far_source(kind, tmp_path, regressor, X, y, w)
        rows.begin(Plain())
        counts, pools = np.zeros(500), rows.pools(100, np.random.RandomState(0))
        for _ in range(300):
            pool = next(pools)
            place = np.round(pool.row[:, 0]).astype(int)
            np.testing.assert_array_equal(pool.X, X[place])
            np.testing.assert_array_equal(pool.weights, w[place])
            assert 100 <= len(place) <= 150
            counts += np.bincount(place, minlength=500)
        rows.end()
        assert counts.sum() >= 30000 and counts.std() < 0.25 * counts.mean()


class Plain:
    """In place of an encoder: ``row`` is the number of each row."""

    def __call__(self, X, y, weights, first=None):
        X = np.asarray(X)
        place = [int(np.flatnonzero((x == NUMBERED).all(1))[0]) for x in X]
        return Rows(X, np.asarray(y)[:, None], np.asarray(weights), np.array(place)[:, None])


NUMBERED = np.random.RandomState(0).uniform(-2.0, 2.0, (500, 2)).astype(np.float32)


def test_neighbours_are_those_of_the_sample(table, tmp_path, far):
    X, y, _, _ = table
    make = functools.partial(GaussianProcessRegressor, KERNEL, n_neighbors=10, random_state=0)
    _, sample = far_source("batches", tmp_path, make, X, y, np.ones(500))
    own = make().fit(Batches(X, y, np.ones(500)))
    expected = make().fit(sample.X, sample.y)
    assert len(sample.y) == 100 and len(own.X_train_) == len(sample.X)
    np.testing.assert_array_equal(own.predict(X), expected.predict(X))
    assert own._record["rows"] == 500


def test_predictions_are_made_a_block_at_a_time(table, tmp_path, far, monkeypatch):
    X, y, _, _ = table
    monkeypatch.setattr(blocks, "_MOST", 64)
    monkeypatch.setattr(blocks, "_FEWEST", 16)
    model, noise = regressor(n_neighbors=0).fit(X[:90], y[:90]), np.linspace(0.1, 1.0, 500)
    for given in (Slices(X), Batches(X), on_disk(tmp_path, "far", X), lambda: iter(Batches(X, y))):
        assert_same(model.predict(given, return_std=True), model.predict(X, return_std=True))
        assert_same(
            model.log_predictive_density(
                given if not callable(given) else Batches(X), y, noise_variance=noise
            ),
            model.log_predictive_density(X, y, noise_variance=noise),
        )
        with pytest.raises(ValueError, match="return_cov=True is of all pairs.*fewer rows"):
            model.predict(given, return_cov=True)
    sizes = {s.stop - s.start for s in asked_of(model, X)}
    assert max(sizes) <= 64


def asked_of(model, X):
    """Slices that predict asks for."""
    given = Slices(X)
    model.predict(given)
    return given.asked


def assert_same(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


# --- what is wrong ---------------------------------------------------------------------------


def changed(values, row, to):
    """A copy with another value in one row."""
    values = values.copy()
    values[row] = to
    return values


@pytest.mark.parametrize("kind", ["slices of pairs", "batches", "parquet", "memmap"])
def test_a_row_that_is_wrong_is_named(kind, table, tmp_path, far):
    X, y, _, w = table
    for what, rows in {
        "X contains NaN in row 311 of": (changed(X, 311, np.nan), y, w),
        "X contains infinity in row 4 of": (changed(X, 4, np.inf), y, w),
        "y contains NaN in row 499 of": (X, changed(y, 499, np.nan), w),
        "sample_weight is negative in row 300 of": (X, y, changed(w, 300, -1.0)),
    }.items():
        (tmp_path / what[:6]).mkdir(exist_ok=True)
        model = regressor()
        with pytest.raises(ValueError, match=what):
            model.fit(*of_kind(kind, tmp_path / what[:6], *rows))
        assert not hasattr(model, "kernel_")


def test_sources_that_cannot_be_are_refused(table, far, tmp_path):
    X, y, labels, w = table
    wrong = {
        "500 rows, but y has 499": (Slices(X), y[1:]),
        "3 rows, but y has 0, in rows 0 to 2": (Batches(X[:, :2]), y[:0]),
        "y is given twice": (Slices(X, y), y),
        "y is missing": (Slices(X), None),
        "no rows": (lambda: iter([]), None),
        "no rows: ": ([(X[:0], y[:0])], None),
        "3 columns in rows 250 to 499": ([(X[:250], y[:250]), (np.ones((250, 3)), y[250:])], None),
        "has the columns .'a', 'b'.": (arrow(X), "y"),
        "no columns with names": (Slices(X), "y"),
        "is no iterator|no iterator": (lambda: 3.0, None),
        "no number in rows 0": ([(X.astype(str), y)], None),
        "only zeros": (Batches(X, y, 0.0 * w), None),
        "given by slices": (Odd(X, y), None),
        "X.0:.* of Numbered failed: .*single rows": (Numbered(X, y), None),
        "X is text, '.*parquet': .*Files are not opened": (pathlib.Path("a/b.parquet"), "y"),
        "X is text, 'a': could not convert string to float": (["a", "b"], "y"),
    }
    for what, rows in wrong.items():
        with pytest.raises((ValueError, TypeError), match=what):
            regressor().fit(*rows)
    with pytest.raises(ValueError, match="noise_variance= is for rows in memory.*Leave"):
        regressor().fit(Batches(X, y), noise_variance=np.ones(500))
    with pytest.raises(ValueError, match="alpha= is for rows in memory.*Leave"):
        regressor(alpha=np.full(500, 0.1)).fit(Batches(X, y))
    for settings in ({"n_inducing": None, "n_neighbors": None}, {"optimizer": "lbfgs"}):
        with pytest.raises(ValueError, match="needs all 500 rows in memory.*n_inducing"):
            regressor(**settings).fit(Batches(X, y))
    with pytest.raises(ValueError, match="early_stopping=True needs all"):
        regressor(early_stopping=True).fit(Batches(X, y))
    for name in ("partial_fit", "condition"):
        model = regressor().fit(X[:60], y[:60])
        with pytest.raises(ValueError, match="Batches, which gives rows in batches.*one batch"):
            getattr(model, name)(Batches(X, y), y)
    with pytest.raises(ValueError, match="gives rows in batches"):
        model.sample_y(Batches(X))
    named = regressor().fit(arrow(X[:60], y[:60]), "y")
    with pytest.raises(ValueError, match="y is missing: .*the name of a column"):
        named.score(arrow(X, y))
    with pytest.raises(ValueError, match="^In rows 0 to 499 of the source: The feature names"):
        named.score(arrow(X, y).drop_columns(["b"]), "y")
    with pytest.raises(ValueError, match="FileSystemDataset, which gives rows in batches"):
        model.sample_y(of_kind("parquet", tmp_path, X, y, w)[0])
    with pytest.raises(ValueError, match="In rows 0 to 249.*3 features|3 columns|features"):
        model.predict([np.ones((250, 3))])


class Numbered(Slices):
    """A class of single rows."""

    def __getitem__(self, chosen):
        return tuple(a[chosen + 0] for a in self.arrays)


class Odd(Slices):
    """A class of batches that calls itself one of rows."""

    def __getitem__(self, chosen):
        return tuple(a[:7] for a in self.arrays)


def test_a_source_that_changes_is_an_error_and_leaves_the_fit_before(table, far):
    X, y, _, _ = table

    class Shrinking(Batches):
        opened = 0

        def __iter__(self):
            self.opened += 1
            self.cuts = (0, 250, 500) if self.opened < 4 else (0, 250)
            return super().__iter__()

    model = regressor(batch_size=None).fit(X, y)
    before = model.elbo_
    with pytest.raises(ValueError, match="had 500 rows, and now has 250"):
        model.fit(Shrinking(X, y))
    assert model.elbo_ == before
    once = iter([(X[:250], y[:250]), (X[250:], y[250:])])
    with pytest.raises(ValueError, match="no rows|now has 0"):
        regressor().fit(lambda: (batch for batch in [*once]))


def test_an_error_of_the_users_own_code_is_his(table, far, monkeypatch):
    X, y, _, _ = table
    monkeypatch.setattr(blocks, "_FEWEST", 16)
    monkeypatch.setattr(blocks, "_MOST", 130)

    class Broken(Slices):
        def __getitem__(self, chosen):
            if chosen.start >= 250:
                raise OSError("the disk is gone")
            return super().__getitem__(chosen)

    with pytest.raises(OSError, match="the disk is gone"):
        regressor().fit(Broken(X, y))
    with pytest.raises(OSError, match="the disk is gone"):
        regressor().fit(X[:90], y[:90]).predict(Broken(X))


def test_an_iterator_that_is_handed_out_again_is_refused(table):
    """It would go on where it was left, without the rows that were looked at."""
    X, y, _, _ = table
    model = regressor().fit(X, y)
    for again in (iter([*Batches(X, y)]), (b for b in Batches(X, y))):
        with pytest.raises(TypeError, match="X returns again .*once only.*lambda"):
            regressor().fit(lambda again=again: again)
        with pytest.raises(ValueError, match="had .* rows, and now has 0"):
            once = iter([*Batches(X, y)])
            regressor().fit(lambda once=once: (batch for batch in once))
    again = iter([*Batches(X)])
    with pytest.raises(TypeError, match="X returns again .*once only.*lambda"):
        model.predict(lambda: again)


def test_names_of_columns_stay_beside_a_memmap_of_y(table, tmp_path):
    X, y, _, w = table
    stored = on_disk(tmp_path, "y", y)
    for rows in (arrow(X), Batches(pd.DataFrame(X, columns=["a", "b"]))):
        assert list(regressor().fit(rows, stored).feature_names_in_) == ["a", "b"]


def test_what_is_said_of_other_rows_is_refused(table):
    X, y, _, _ = table
    model = regressor().fit(X, y)
    for ask in (model.log_predictive_density, model.score):
        with pytest.raises(ValueError, match="noise_variance must hold .* 500 rows; got 501"):
            ask(Slices(X), y, noise_variance=np.full(501, 0.1))
    with pytest.raises(TypeError, match="cannot be read from function: pass all of them"):
        regressor().fit(Slices(X), lambda: y)
    with pytest.raises(TypeError, match="deque failed.*asked for slices"):
        regressor().fit(collections.deque(X), y)


@pytest.mark.parametrize("batch_size", [None, 20])
def test_blocks_without_weight_teach_nothing(batch_size, table, far, monkeypatch):
    X, y, _, w = table
    monkeypatch.setattr(blocks, "_FEWEST", 16)
    monkeypatch.setattr(blocks, "_MOST", 32)
    monkeypatch.setattr(from_disk, "_PIECE", 16)
    w = np.where((np.arange(500) // 100) % 2, w, 0.0)
    for kind in (Slices, Batches):
        model = regressor(batch_size=batch_size).fit(kind(X, y, w))
        assert model._record["rows"] == 200
        other = np.where(w > 0, y, 100.0)
        expected = regressor(batch_size=batch_size).fit(kind(X, other, w))
        np.testing.assert_array_equal(model.predict(X), expected.predict(X))


def test_weights_of_classes_count_in_batches(far):
    """Twice the weight of each class is twice the weight of each row."""
    X, y, w = rows_of(classifier)
    for kind in (Slices, Batches):
        make = functools.partial(classifier, **OF_BATCHES)
        own = make(class_weight={0: 2.0, 1: 2.0}).fit(kind(X, y, w))
        expected = make().fit(kind(X, y, 2.0 * w))
        np.testing.assert_allclose(own.elbo_curve_, expected.elbo_curve_, rtol=1e-9)
        np.testing.assert_allclose(own.predict_proba(X), expected.predict_proba(X), rtol=1e-7)


def test_batches_that_differ_in_what_they_give_are_refused(table):
    """Of weights in some batches only those would be lost, in silence."""
    X, y, _, w = table
    for what, late in {
        "sample_weight has the shape .n.* in rows 250 to 499.*is missing": (y, w),
        "y has the shape .n, 2. in rows 250 to 499.*.n.": (np.stack([y, y], 1),),
        "y is missing in rows 250 to 499": (),
    }.items():
        batches = [(X[:250], y[:250]), (X[250:], *(a[250:] for a in late))]
        with pytest.raises(ValueError, match=what):
            regressor().fit(batches)


def test_errors_of_a_sample_say_so(table, far):
    X, y, labels, w = table
    with pytest.raises(ValueError, match="In a sample of 133 of 500 rows.*no count"):
        regressor(likelihood="poisson").fit(Batches(X, y))
    with pytest.raises(ValueError, match="adds up to 1e.300"):
        regressor().fit(Batches(X, y, changed(w, 7, 1e300)))
    with pytest.raises(ValueError, match="continuous"):
        classifier().fit(Batches(X, y))
    with pytest.raises(ValueError, match="cannot be sorted in rows 0 to 499"):
        classifier().fit(Batches(X, changed(labels.astype(object), 311, None)))
