"""Learning from a stream of rows: what is kept, what is remembered, what is refused."""

from __future__ import annotations

import functools
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
from skgpng._estimator.plan import stream_capacity
from skgpng._estimator.problem import Rows
from skgpng._estimator.stream import unexplained_share

# One kernel for most tests: every structure costs a compilation of a second.
KERNEL = ConstantKernel(1.0) * RBF(1.0)
regressor = functools.partial(GaussianProcessRegressor, KERNEL, random_state=0)
classifier = functools.partial(GaussianProcessClassifier, KERNEL, random_state=0)


@pytest.fixture
def rows():
    rng = np.random.RandomState(0)
    X = rng.uniform(-3, 3, (90, 2))
    return X, 5.0 + 2.0 * np.sin(X[:, 0]) + 0.3 * rng.randn(90)


@pytest.fixture
def labels(rows):
    X, _ = rows
    noise = np.random.RandomState(1).randn(90)
    return X, np.where(X[:, 0] + X[:, 1] + 0.5 * noise > 0, "yes", "no")


@pytest.fixture
def three(rows):
    X, _ = rows
    noise = 0.3 * np.random.RandomState(1).randn(90)
    return X, np.array(["low", "middle", "high"])[np.digitize(X[:, 0] + noise, [-1.0, 1.0])]


@pytest.fixture
def keeping(tuned):
    """``keeping(50)``: the first 50 rows of a stream are kept."""
    return lambda n: tuned(stream_rows=n, stream_rows_a_point=0)


@pytest.fixture
def forgetful(keeping):
    """No row is kept, whatever comes."""
    keeping(0)


def chunks(n, X, *others):
    """The rows in n parts, one after the other."""
    return zip(*(np.array_split(a, n) for a in (X, *others)), strict=True)


def stream(model, n, X, y, **first):
    for part, values in chunks(n, X, y):
        model.partial_fit(part, values, **first)
        first = {}
    return model


def copy_of(model):
    return pickle.loads(pickle.dumps(model))


def state(model):
    """Attributes by name, with arrays by their bytes."""
    return {name: pickle.dumps(value) for name, value in vars(model).items()}


# --- what the inducing points leave open -----------------------------------------------------


def test_unexplained_share_is_a_weighted_mean_over_some_of_the_rows():
    p = SimpleNamespace(explained_variance=lambda X: X[:, 0])

    def share(explained, weights):
        X = np.reshape(explained, (-1, 1)).astype(float)
        return unexplained_share(p, Rows(X, X, np.asarray(weights, float), X[:, :0]))

    assert share([0.25, 1.0, 1.0], [1, 1, 2]) == pytest.approx(0.75 / 4)
    many = np.arange(6001) % 3 / 2  # every fourth row stands for all
    assert share(many, np.ones(6001)) == pytest.approx(0.5, abs=1e-3)


def test_sparse_pickle_holds_no_training_rows(labels):
    X, y = labels
    small = classifier(n_inducing=8, max_iter=5).fit(X, y)
    large = classifier(n_inducing=8, max_iter=5).fit(np.vstack([X] * 9) + 1e-3, np.tile(y, 9))
    assert len(pickle.dumps(large)) == pytest.approx(len(pickle.dumps(small)), abs=200)
    row = X[17].tobytes()  # a row that is no inducing point
    assert row not in pickle.dumps(small)
    kept = classifier(n_inducing=8, max_iter=5).partial_fit(X, y, classes=["no", "yes"])
    assert row in pickle.dumps(kept)  # partial_fit keeps the first rows: the search finds them


# --- nothing moves: memory against all rows --------------------------------------------------

# Length scales by which all new rows are within reach, so that inducing points stay too.
REACH = ConstantKernel(1.0) * RBF(3.0)
HELD = dict(optimizer=None, train_inducing=False)
held = functools.partial(
    GaussianProcessRegressor, REACH, random_state=0, normalize_y=False, alpha=0.1, tol=1e-9, **HELD
)


@pytest.mark.parametrize("gamma", ["auto", 0.5])
@pytest.mark.parametrize("targets", [1, 2])
def test_memory_equals_all_rows(rows, forgetful, gamma, targets):
    X, y = rows
    Y = np.column_stack([y, 2.0 + np.cos(X[:, 1])])[:, :targets]
    model = held(n_inducing=20, gamma=gamma, jitter=1e-10)
    model.partial_fit(X[:40], Y[:40])
    at_once = copy_of(model).set_params(warm_start=True).fit(X, Y)
    assert model._stream.rows is None
    stream(model, 2, X[40:], Y[40:])  # within reach: the points stay
    np.testing.assert_allclose(model.inducing_points_, at_once.inducing_points_, rtol=1e-12)
    for a, b in zip(
        model.predict(X, return_std=True), at_once.predict(X, return_std=True), strict=True
    ):
        # steps of gamma = 0.5 end at a gain of tol = 1e-9 per row: at a root of it from the end
        np.testing.assert_allclose(a, b, rtol=1e-4 if gamma == 0.5 else 1e-6)


@pytest.mark.parametrize("n_inducing", ["auto", 200])
def test_memory_of_an_exact_fit_equals_all_rows(rows, n_inducing):
    # As many inducing points as rows: nothing is lost but the jitter.
    X, y = rows
    weights, known = np.linspace(0.5, 2.0, 90), np.linspace(0.0, 0.2, 90)
    model = held(n_inducing="auto")
    model.fit(X[:50], y[:50], sample_weight=weights[:50], noise_variance=known[:50])
    assert model.inducing_points_ is None
    model.set_params(n_inducing=n_inducing)
    model.partial_fit(X[50:], y[50:], sample_weight=weights[50:], noise_variance=known[50:])
    exact = held(n_inducing=None)
    exact.fit(X, y, sample_weight=weights, noise_variance=known)
    assert len(model.inducing_points_) == 90
    for a, b in zip(model.predict(X, True), exact.predict(X, True), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("data", ["labels", "three"])
@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
def test_memory_of_labels_is_close_to_all_rows(data, own, forgetful, request):
    X, y = request.getfixturevalue(data)
    model = GaussianProcessClassifier(REACH, n_inducing=20, shared_kernel=not own, **HELD)
    model.set_params(random_state=0)
    model.partial_fit(X[:45], y[:45], classes=np.unique(y))
    half, points = model.predict_proba(X), model.inducing_points_
    at_once = copy_of(model).set_params(warm_start=True).fit(X, y).predict_proba(X)
    found = model.partial_fit(X[45:], y[45:]).predict_proba(X)
    np.testing.assert_allclose(model.inducing_points_, points, rtol=1e-12)
    # A probit or softmax factor is remembered as the Gaussian it had when its rows were there:
    # the more the other rows move f, the less that is the factor itself.
    np.testing.assert_allclose(found, at_once, atol=0.05)
    assert np.abs(found - at_once).mean() < 0.2 * np.abs(half - at_once).mean()


def test_memory_in_minibatches(rows, forgetful):
    X, y = rows
    model = held(n_inducing=20, batch_size=15, max_iter=150)
    model.partial_fit(X[:45], y[:45])
    at_once = held(n_inducing=20).partial_fit(X[:45], y[:45])
    model.partial_fit(X[45:], y[45:])
    at_once.partial_fit(X[45:], y[45:])
    # natural-gradient steps of 0.1 on a sixth of the rows leave q noisy: a tenth of a std of y
    np.testing.assert_allclose(model.predict(X), at_once.predict(X), atol=0.15)


# --- rows are kept, then dropped -------------------------------------------------------------


def test_capacity_grows_with_the_inducing_points():
    assert stream_capacity(10) == 2048 and stream_capacity(1000) == 16_000


def test_while_rows_are_kept_it_is_fit_on_all_of_them(rows):
    X, y = rows
    model = stream(regressor(n_inducing=20, normalize_y=False), 3, X, y)
    assert model._stream.n_seen == len(model._stream.rows.X) == 90
    at_once = regressor(n_inducing=20, normalize_y=False).fit(X, y)
    # not the same steps: warm starts end elsewhere within the stopping rule of 1e-4 per row
    assert model.elbo_ == pytest.approx(at_once.elbo_, abs=1.0)
    np.testing.assert_allclose(model.predict(X), at_once.predict(X), atol=0.1)


def test_few_more_rows_do_not_move_the_hyperparameters(rows):
    X, y = rows
    model = regressor(n_inducing=20, max_iter=50).partial_fit(X[:60], y[:60])
    theta, points = model.kernel_.theta, model.inducing_points_
    model.partial_fit(X[60:70], y[60:70])
    np.testing.assert_allclose(model.kernel_.theta, theta, rtol=1e-12)
    np.testing.assert_allclose(model.inducing_points_, points, rtol=1e-12)
    model.partial_fit(X[70:], y[70:])  # half as many again
    assert np.all(np.abs(model.kernel_.theta - theta) > 1e-6)


def test_rows_beyond_the_capacity_are_dropped(rows, keeping):
    X, y = rows
    keeping(50)
    model = regressor(n_inducing=20, max_iter=30)
    for n, (part, values) in enumerate(chunks(3, X, y), 1):
        model.partial_fit(part, values)
        assert model._stream.n_seen == 30 * n
        assert (model._stream.rows is not None) == (n == 1)
    assert model.score(X, y) > 0.9


def test_memory_is_flat(forgetful):
    rng = np.random.RandomState(5)
    model, sizes = regressor(n_inducing=12, max_iter=20), []
    for _ in range(30):
        X = rng.uniform(-3, 3, (20, 1))
        model.partial_fit(X, np.sin(X[:, 0]))
        sizes.append(len(pickle.dumps(model)) - model.elbo_curve_.nbytes)
    assert sizes[29] == pytest.approx(sizes[4], abs=50)  # digits of the counts


@pytest.mark.parametrize("data", ["rows", "labels"])
def test_sorted_stream_is_learned_and_not_forgotten(data, forgetful):
    # Each chunk is a region of its own: inducing points have to move there, and stay here.
    X = np.linspace(0, 12, 240)[:, None]
    f = np.sin(2.0 * X[:, 0])
    if data == "rows":
        y = f + 0.1 * np.random.RandomState(6).randn(240)
        model = stream(regressor(n_inducing=30), 6, X, y)
        error = np.abs(model.predict(X) - f)
        assert error.mean() < 0.1
        for region in np.array_split(error, 6):
            assert region.mean() < 0.2
    else:
        y = np.where(f > 0, "up", "down")
        model = stream(classifier(n_inducing=30), 6, X, y, classes=["down", "up"])
        for part, names in chunks(6, X, y):
            assert model.score(part, names) > 0.85


def test_rows_out_of_reach_move_the_inducing_points(forgetful):
    X = np.linspace(0, 3, 60)[:, None]
    model = regressor(n_inducing=10, max_iter=30).partial_fit(X, np.sin(X[:, 0]))
    theta = model.kernel_.theta
    model.partial_fit(X + 0.01, np.sin(X[:, 0]))
    np.testing.assert_allclose(model.kernel_.theta, theta, rtol=1e-12)  # nothing new there
    model.partial_fit(X + 20.0, np.sin(X[:, 0]))
    assert not np.allclose(model.kernel_.theta, theta)
    assert model.inducing_points_.max() > 19.0 and model.inducing_points_.min() < 4.0


@pytest.mark.parametrize("kept", [2048, 0])
def test_a_stream_goes_on_after_a_pickle(rows, kept, keeping):
    X, y = rows
    keeping(kept)
    model = stream(regressor(n_inducing=15, max_iter=30), 2, X[:60], y[:60])
    twin = copy_of(model)
    for each in (model, twin):
        stream(each, 2, X[60:], y[60:])
    np.testing.assert_array_equal(twin.elbo_curve_, model.elbo_curve_)
    for a, b in zip(twin.predict(X, True), model.predict(X, True), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_inducing_points_grow_to_their_number(rows):
    X, y = rows
    model = regressor(n_inducing=20, max_iter=20).partial_fit(X[:5], y[:5])
    assert len(model.inducing_points_) == 5
    model.partial_fit(X[5:15], y[5:15])
    assert len(model.inducing_points_) == 15
    model.partial_fit(X[15:], y[15:])
    assert len(model.inducing_points_) == 20


def test_inducing_points_grow_where_no_row_is_kept(rows, forgetful):
    X, y = rows
    model = regressor(n_inducing=20, max_iter=20).partial_fit(X[:5], y[:5])
    model.partial_fit(X[5:], y[5:])
    assert len(model.inducing_points_) == 20


# --- any chunks ------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [2048, 10])
def test_one_row_at_a_time_from_the_start(rows, labels, kept, keeping):
    keeping(kept)
    X, y = rows
    model = stream(regressor(n_inducing=15, max_iter=60), 30, X[:30], y[:30])
    assert model.score(X[30:], y[30:]) > 0.6
    X, y = labels
    model = classifier(n_inducing=15, max_iter=60)
    stream(model, 30, X[:30], y[:30], classes=["no", "yes"])
    assert model.score(X[30:], y[30:]) > 0.7


def test_units_of_y_do_not_matter_from_a_single_row(rows):
    # The first row alone knows no scale.
    X, y = rows
    X, y = X[:25], y[:25]
    model = regressor(n_inducing=15, max_iter=60)
    small, large = (stream(clone(model), 25, X, unit * y) for unit in (1.0, 1e4))
    assert small.score(X, y) > 0.8
    assert large.score(X, 1e4 * y) > 0.8


@pytest.mark.parametrize("unit", [1e-4, 1e4])
def test_units_of_columns_do_not_matter_to_a_single_row(rows, unit, forgetful):
    # A row without neighbours tells no scale: that of the rows before holds.
    X, y = rows
    model = GaussianProcessRegressor(n_inducing=15, max_iter=60, random_state=0)
    model.partial_fit(unit * X[:60], y[:60])
    far = unit * np.full((1, 2), 9.0)
    model.partial_fit(far, [7.0])
    assert np.abs(model.predict(far)[0] - 7.0) < 1.0
    assert model.score(unit * X, y) > 0.8


def test_chunks_of_one_class_while_rows_are_kept(labels):
    X, y = labels
    order = np.argsort(y, kind="stable")
    model = stream(classifier(n_inducing=20), 4, X[order], y[order], classes=["yes", "no"])
    assert list(model.classes_) == ["no", "yes"]
    assert model.score(X, y) > 0.8


def test_chunks_of_one_class_later(labels, forgetful):
    X, y = labels
    order = np.concatenate([np.arange(30), 30 + np.argsort(y[30:], kind="stable")])
    model = stream(classifier(n_inducing=20), 6, X[order], y[order], classes=["yes", "no"])
    assert model.score(X, y) > 0.8


def test_three_classes_one_after_the_other(three):
    X, y = three
    order = np.argsort(y, kind="stable")
    model = stream(classifier(n_inducing=20), 3, X[order], y[order], classes=np.unique(y))
    assert model.score(X, y) > 0.8


def test_several_targets(rows, forgetful):
    X, y = rows
    Y = np.column_stack([y, -10.0 * y])
    model = stream(regressor(n_inducing=20, max_iter=40), 3, X, Y)
    mean, std = model.predict(X, return_std=True)
    assert mean.shape == std.shape == (90, 2)
    np.testing.assert_allclose(mean[:, 1], -10.0 * mean[:, 0], rtol=1e-4)
    np.testing.assert_allclose(std[:, 1], 10.0 * std[:, 0], rtol=1e-6)


@pytest.mark.parametrize("kept", [2048, 0])
def test_weight_two_is_the_row_twice(rows, labels, kept, keeping):
    keeping(kept)
    weights = np.tile([0, 1, 2], 30)
    for make, (X, y) in ((regressor, rows), (classifier, labels)):
        first = {} if make is regressor else {"classes": np.unique(y)}
        weighted, repeated = (make(n_inducing=15, max_iter=25) for _ in range(2))
        for part, values, w in chunks(3, X, y, weights):
            weighted.partial_fit(part, values, sample_weight=w, **first)
            repeated.partial_fit(np.repeat(part, w, 0), np.repeat(values, w), **first)
        for output in ("predict",) if make is regressor else ("predict_proba",):
            # rounding, which 25 steps of Adam enlarge
            np.testing.assert_allclose(
                getattr(weighted, output)(X), getattr(repeated, output)(X), rtol=1e-4, atol=1e-5
            )


def test_known_noise_of_each_row(rows, forgetful):
    X, y = rows
    noisy, known = y.copy(), np.zeros(90)
    noisy[50], known[50] = 1e3, 1e12  # says: do not trust this row
    told, without = (held(n_inducing=20).partial_fit(X[:45], y[:45]) for _ in "ab")
    told.partial_fit(X[45:], noisy[45:], noise_variance=known[45:])
    others = np.delete(np.arange(45, 90), 5)
    without.partial_fit(X[others], y[others])
    np.testing.assert_allclose(told.predict(X), without.predict(X), atol=1e-4)


def test_weights_of_classes(labels, forgetful):
    X, y = labels
    given = {"no": 1.0, "yes": 3.0}
    weights = np.where(y == "yes", 3.0, 1.0)
    model = classifier(n_inducing=15, max_iter=25)
    by_class, by_row = clone(model).set_params(class_weight=given), clone(model)
    for part, values, w in chunks(2, X, y, weights):
        by_class.partial_fit(part, values, classes=["no", "yes"])
        by_row.partial_fit(part, values, classes=["no", "yes"], sample_weight=w)
    np.testing.assert_allclose(by_class.predict_proba(X), by_row.predict_proba(X), rtol=1e-9)


def test_noise_keeps_its_bounds_whatever_the_chunk(forgetful):
    # y in units of a thousand, then a chunk without any spread
    rng = np.random.RandomState(7)
    X = rng.uniform(-3, 3, (80, 1))
    y = 1e4 * (np.sin(X[:, 0]) + 0.3 * rng.randn(80))
    model = GaussianProcessRegressor(
        ConstantKernel(1e8, (1e4, 1e10)) * RBF(1.0), normalize_y=False, n_inducing=10
    ).partial_fit(X, y)
    noise = model.noise_variance_
    model.partial_fit(X[:1], y[:1])
    assert model.noise_variance_ == pytest.approx(noise, rel=1e-9)


def test_relevances_are_those_of_all_rows(forgetful):
    rng = np.random.RandomState(8)
    X = rng.uniform(-2, 2, (90, 2))
    y = np.sin(2.0 * X[:, 0]) + 0.05 * rng.randn(90)
    model = GaussianProcessRegressor(n_inducing=25, random_state=0).partial_fit(X[:60], y[:60])
    before = model.feature_relevances_
    assert before[0] > 0.9
    order = 60 + np.argsort(X[60:, 0])
    model.partial_fit(X[order[:2]], y[order[:2]])  # two neighbours along the first column
    np.testing.assert_allclose(model.feature_relevances_, before, atol=0.02)


# --- fit and partial_fit ---------------------------------------------------------------------


@pytest.mark.parametrize("n_inducing", [15, "auto"])
def test_partial_fit_goes_on_from_fit(rows, labels, three, n_inducing):
    for make, (X, y) in ((regressor, rows), (classifier, labels), (classifier, three)):
        model = make(n_inducing=n_inducing, max_iter=40).fit(X[:60], y[:60])
        half = copy_of(model)
        model.partial_fit(X[60:], y[60:])
        assert model._stream.n_seen == 90
        assert model.inducing_points_ is not None
        # three of the 60 rows seen before may change sides
        assert model.score(X, y) > max(0.8, half.score(X, y) - 0.05)


def test_fit_begins_anew(rows):
    X, y = rows
    model = stream(regressor(n_inducing=15, max_iter=20), 3, X, y)
    fresh = regressor(n_inducing=15, max_iter=20).fit(X[:, :1], -y)
    model.fit(X[:, :1], -y)
    np.testing.assert_array_equal(model.elbo_curve_, fresh.elbo_curve_)
    np.testing.assert_array_equal(model.predict(X[:, :1]), fresh.predict(X[:, :1]))
    assert vars(model).keys() == vars(fresh).keys()


def test_first_partial_fit_is_fit(rows):
    X, y = rows
    model = regressor(n_inducing=15, max_iter=20)
    a, b = clone(model).partial_fit(X, y), clone(model).fit(X, y)
    np.testing.assert_array_equal(a.elbo_curve_, b.elbo_curve_)


def test_callbacks_see_partial_fit(rows, forgetful):
    callback = pytest.importorskip("sklearn.callback")
    X, y = rows
    monitor = callback.ScoringMonitor(scoring="r2")
    model = stream(regressor(n_inducing=15, max_iter=20, tol=0.0).set_callbacks(monitor), 2, X, y)
    first, second = monitor.get_logs(select="all")
    assert len(first.data) == 1 + 2 and len(second.data) >= 1 + 1
    assert second.data[0]["r2"] == pytest.approx(model.score(X[45:], y[45:]), rel=1e-9)


# --- what is refused -------------------------------------------------------------------------


def refused(model, match, *arguments, error=ValueError, **named):
    """The call raises and leaves the model as it was."""
    before = state(model)
    with pytest.raises(error, match=match):
        model.partial_fit(*arguments, **named)
    assert state(model) == before


def test_refused_rows(rows):
    X, y = rows
    Y = np.column_stack([y, y])
    model = regressor(n_inducing=10, max_iter=5)
    refused(model, "NaN", X, np.full(90, np.nan))
    model.partial_fit(X, y)
    refused(model, "1 features.*expecting 2 features", X[:, :1], y)
    refused(model, "earlier calls had 1", X, Y)
    refused(model, "NaN", X, np.full(90, np.nan))
    refused(model, "positive entry|non-zero", X, y, sample_weight=np.zeros(90))
    refused(model, "noise_variance must hold 90", X, y, noise_variance=[1.0])
    refused(regressor(n_inducing=10, max_iter=5).partial_fit(X, Y), "earlier calls had 2", X, y)


def test_refused_labels(labels, three):
    X, y = labels
    model = classifier(n_inducing=10, max_iter=5)
    refused(model, "first call of partial_fit needs classes", X, y)
    refused(model, "'no'.*not among the classes", X, y, classes=["maybe", "yes"])
    refused(model, "1 class", X, np.full(90, "yes"), classes=["yes"])
    model.partial_fit(X, y, classes=["yes", "no"])
    refused(model, "'maybe'.*not among the classes", X, np.where(y == "no", "maybe", y))
    refused(model, "not those of the first call", X, y, classes=["no", "yes", "maybe"])
    model.partial_fit(X, y, classes=["no", "yes"])  # in any order
    fitted = classifier(n_inducing=10, max_iter=5).fit(*three)
    refused(fitted, "not those of the first call", *three, classes=["low", "high"])


def test_refused_settings(rows, labels):
    X, y = rows
    refused(regressor(n_inducing=10, early_stopping=True), "early_stopping=True", X, y)
    X, y = labels
    model = classifier(n_inducing=10, class_weight="balanced", max_iter=5)
    refused(model, "class_weight='balanced'.*dict", X, y, classes=["no", "yes"])
    refused(model.fit(X, y), "class_weight='balanced'.*dict", X, y)
    refused(classifier(n_inducing=0), "n_inducing", X, y, classes=["no", "yes"])


@pytest.mark.parametrize("make", [regressor, classifier])
def test_no_partial_fit_without_inducing_points(make):
    model = make(n_inducing=None)
    assert not hasattr(model, "partial_fit")
    with pytest.raises(AttributeError) as error:
        model.partial_fit  # noqa: B018
    told = f"{error.value} {error.value.__cause__}"
    assert "Set n_inducing to a number or 'auto'" in told
    assert hasattr(make(), "partial_fit") and hasattr(make(n_inducing=5), "partial_fit")


def test_a_failed_training_leaves_the_stream(rows, forgetful, watched):
    X, y = rows
    model = regressor(n_inducing=10, max_iter=5).partial_fit(X, y)

    def fail(result):
        raise RuntimeError("while training")

    watched(fail)
    refused(model, "while training", X, y, error=RuntimeError)
