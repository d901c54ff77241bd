"""Rows from a disk, and from whatever gives them in batches."""

from __future__ import annotations

import functools
import threading

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
import tensorflow as tf
from estimator.cases import KERNEL

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
from skgpng._estimator import sources
from skgpng._estimator.blocks import Reader, read_ahead
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
    before = threading.active_count()
    yield
    assert threading.active_count() <= before


@pytest.fixture
def table():
    """Five hundred rows, their targets, labels and weights."""
    rng = np.random.RandomState(0)
    X = rng.uniform(-2.0, 2.0, (500, 2)).astype(np.float32)
    y = np.sin(2.0 * X[:, 0]) + 0.3 * X[:, 1] + 0.1 * rng.randn(500)
    return X, y, np.where(y > 0.3, "high", "low"), rng.uniform(0.5, 1.5, 500)


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
    for odd in (None, 3.0, "abc", {"a": 1}, {1, 2}, range(3), np.float64(2.0), KERNEL, int):
        assert sources.source_of(odd, y) is None


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
    assert all("_fill" not in t.name for t in threading.enumerate())


def iter_of(n):
    """A generator, that can be closed."""
    yield from range(n)


# --- few rows: the numbers of arrays ---------------------------------------------------------


@every_kind
def test_few_rows_give_the_numbers_of_arrays(kind, table, tmp_path):
    X, y, labels, w = table
    rows = of_kind(kind, tmp_path, X, y, w)
    own, expected = regressor().fit(*rows), regressor().fit(X, y, w)
    assert own.elbo_ == expected.elbo_ and own._record["rows"] == 500
    named = kind in ("frames", "table", "table and arrays", "parquet", "parquet and arrays")
    assert getattr(own, "feature_names_in_", None) is None or named
    if named:
        assert list(own.feature_names_in_) == ["a", "b"]
    for ask in (
        lambda m, X, y: m.predict(X),
        lambda m, X, y: np.array(m.predict(X, return_std=True)),
        lambda m, X, y: m.predict_quantiles(X),
        lambda m, X, y: m.log_predictive_density(X, y),
        lambda m, X, y: m.crps(X, y),
        lambda m, X, y: m.predict_gradient(X),
    ):
        np.testing.assert_allclose(ask(own, *rows[:2]), ask(expected, X, y), rtol=1e-10, atol=1e-12)
    assert abs(own.score(*rows) - expected.score(X, y, w)) < 1e-12

    rows = of_kind(kind, tmp_path, X, (y > 0.3).astype(int), w)
    own, expected = classifier().fit(*rows), classifier().fit(X, (y > 0.3).astype(int), w)
    assert own.elbo_ == expected.elbo_
    for name in ("predict", "predict_proba", "decision_function"):
        np.testing.assert_allclose(
            getattr(own, name)(rows[0]), getattr(expected, name)(X), rtol=1e-10, atol=1e-12
        )
    assert own.score(*rows) == expected.score(X, (y > 0.3).astype(int), w)
