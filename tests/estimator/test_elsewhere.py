"""Fits to rows that are elsewhere: the numbers of rows at hand, and how they end."""

import pickle
import warnings

import numpy as np
import pytest
from estimator.elsewhere import Pools, Shards
from sklearn.exceptions import ConvergenceWarning

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
from skgpng._inference import elsewhere as seam

N = 1200  # of fewer, equal rows are merged, and minibatches are of others
RNG = np.random.RandomState(0)
X = RNG.uniform(-2, 2, (N, 2))
F = np.sin(2 * X[:, 0]) + 0.5 * X[:, 1]
Y = F + 0.1 * RNG.randn(N)
Y[5] += 3.0
COUNTS = RNG.poisson(np.exp(F))
LABELS = np.array(["a", "b", "c"])[(F > -0.3).astype(int) + (F > 0.6)]
WEIGHTS = RNG.randint(0, 15, N).clip(0, 2).astype(float)  # a few are zero
KEYS = {"n_inducing": 12, "max_iter": 12, "random_state": 0}

MODELS = {
    "collapsed": (GaussianProcessRegressor(batch_size=None, **KEYS), Y),
    "several targets": (
        GaussianProcessRegressor(batch_size=None, **KEYS),
        np.stack([Y, 3 * F + 10], 1),
    ),
    "Student t": (GaussianProcessRegressor(likelihood="student_t", batch_size=None, **KEYS), Y),
    "counts": (GaussianProcessRegressor(likelihood="poisson", batch_size=None, **KEYS), COUNTS),
    "mean": (GaussianProcessRegressor(mean="linear", batch_size=None, **KEYS), Y),
    "two classes": (GaussianProcessClassifier(batch_size=None, **KEYS), LABELS == "a"),
    "classes": (
        GaussianProcessClassifier(batch_size=None, class_weight="balanced", **KEYS),
        LABELS,
    ),
    "minibatches": (GaussianProcessRegressor(batch_size=64, **KEYS), Y),
    "minibatches of labels": (GaussianProcessClassifier(batch_size=100, **KEYS), LABELS),
    "float32": (GaussianProcessRegressor(batch_size=None, dtype="float32", **KEYS), Y),
}


def fitted(model, fit):
    """A fresh copy, fitted; what a warning says of max_iter is no matter here."""
    model = model.__class__(**model.get_params(deep=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit(model)


def predicted(model):
    if hasattr(model, "predict_proba"):
        return model.predict_proba(X[:50])
    return np.stack(model.predict(X[:50], return_std=True))


@pytest.mark.parametrize("n_shards", [1, 4])
@pytest.mark.parametrize("name", MODELS)
def test_shards_give_the_numbers_of_rows_at_hand(name, n_shards):
    model, y = MODELS[name]
    here = fitted(model, lambda m: m.fit(X, y))
    there = fitted(model, lambda m: m._fit_elsewhere(Shards(X, y, n_shards=n_shards)))
    # float32 sums of other parts differ by its rounding
    rtol = 1e-3 if name == "float32" else 1e-8 if n_shards > 1 else 1e-10
    np.testing.assert_allclose(there.elbo_, here.elbo_, rtol=rtol)
    np.testing.assert_allclose(there.elbo_curve_, here.elbo_curve_, rtol=rtol)
    np.testing.assert_allclose(predicted(there), predicted(here), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("name", ["collapsed", "classes", "minibatches"])
def test_shards_of_weighted_rows(name):
    model, y = MODELS[name]
    here = fitted(model, lambda m: m.fit(X, y, sample_weight=WEIGHTS))
    there = fitted(model, lambda m: m._fit_elsewhere(Shards(X, y, WEIGHTS)))
    np.testing.assert_allclose(there.elbo_, here.elbo_, rtol=1e-8)
    np.testing.assert_allclose(predicted(there), predicted(here), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", ["collapsed", "classes"])
def test_sums_without_numbers(name):
    """All rows in each step, and begun with a sample that is part of them."""
    model, y = MODELS[name]
    far = Pools(X, y, most=N - 1)
    there = fitted(model, lambda m: m._fit_elsewhere(far))
    here = fitted(model, lambda m: m.fit(X, y))
    assert far.n_sums >= there.n_iter_ and far.ended == 1
    # the sample has other points and units
    assert np.mean(np.abs(predicted(there) - predicted(here))) < 0.05
    assert "1,200 rows" in str(there.summary())


@pytest.mark.parametrize("name", ["minibatches", "minibatches of labels"])
def test_minibatches_of_pools(name):
    model, y = MODELS[name]
    model = model.__class__(**{**model.get_params(deep=False), "max_iter": 30})
    here = fitted(model, lambda m: m.fit(X, y))
    there = fitted(model, lambda m: m._fit_elsewhere(Pools(X, y, most=250)))
    assert there.n_iter_ > 250 // int(model.batch_size) * 3  # several pools were gone through
    assert np.mean(np.abs(predicted(there) - predicted(here))) < 0.05
    assert abs(there.elbo_ - here.elbo_) < 0.15 * N


def test_minibatches_of_pools_keep_the_weights_of_classes():
    """Rows of a class that counts three times do so in pools, too."""
    model, y = MODELS["minibatches of labels"]
    given = {**model.get_params(deep=False), "max_iter": 40, "tol": 0.0}
    model = model.__class__(**{**given, "class_weight": dict.fromkeys("abc", 3.0)})
    here = fitted(model, lambda m: m.fit(X, y))
    there = fitted(model, lambda m: m._fit_elsewhere(Pools(X, y, most=250)))
    ends = [np.mean(m.elbo_curve_[-200:]) for m in (here, there)]
    np.testing.assert_allclose(*ends, rtol=0.05)


def test_neighbours_of_a_sample():
    """Rows near by are those of the sample, and the record says so."""
    model = GaussianProcessRegressor(n_neighbors=20, random_state=0, max_iter=3)
    far = Pools(X, Y, most=400)
    there = fitted(model, lambda m: m._fit_elsewhere(far))
    assert there.n_neighbors_ == 20 and len(there.X_train_) == 400 and far.n_sums == 0
    assert "1,200 rows" in str(there.summary()) and "from 400 of them" in str(there.summary())
    chosen = np.sort(np.random.RandomState(0).choice(N, 400, replace=False))
    here = fitted(model, lambda m: m.fit(X[chosen], Y[chosen]))
    np.testing.assert_allclose(predicted(there)[0], predicted(here)[0], atol=0.05)


def test_what_is_all_at_hand_is_fitted_as_it_is():
    model, y = MODELS["collapsed"]
    here = fitted(model, lambda m: m.fit(X, y))
    there = fitted(model, lambda m: m._fit_elsewhere(Pools(X, y)))
    assert there.elbo_ == here.elbo_


@pytest.mark.parametrize(
    "settings, named",
    [
        ({"n_inducing": None}, "n_inducing=None"),
        ({"optimizer": "lbfgs"}, "lbfgs"),
        ({"early_stopping": True}, "early_stopping"),
    ],
)
def test_what_needs_all_rows_says_so(settings, named):
    model = GaussianProcessRegressor(**{**KEYS, "n_neighbors": None, **settings})
    far = Pools(X, Y, most=300)
    with pytest.raises(ValueError, match=f"{named}.* needs all 1,200 rows in memory.*n_inducing"):
        model._fit_elsewhere(far)
    assert far.ended == 1 and not hasattr(model, "kernel_")


def test_lost_rows_leave_what_was_learned():
    model, y = MODELS["collapsed"]
    far = Shards(X, y, fails_at=9)  # two sums a step
    model = model.__class__(**model.get_params(deep=False))
    with pytest.warns(ConvergenceWarning, match="after 4 steps, as rows .*OSError: the cable is"):
        model._fit_elsewhere(far)
    here = model.__class__(**{**model.get_params(deep=False), "max_iter": 4})
    here = fitted(here, lambda m: m.fit(X, y))
    np.testing.assert_allclose(predicted(model), predicted(here), rtol=1e-8)
    assert far.ended == 1 and model.n_iter_ == 4


def test_rows_lost_at_once_are_an_error():
    model, y = MODELS["collapsed"]
    far = Shards(X, y, fails_at=1)
    with pytest.raises(OSError, match="the cable is out"):
        fitted(model, lambda m: m._fit_elsewhere(far))
    assert far.ended == 1


def test_calls_pickle_and_compile_once():
    found = []

    class Told(Shards):
        def sums(self, call, arrays, rows=None, scale=1.0):
            found.append(call)
            return super().sums(pickle.loads(pickle.dumps(call)), arrays, rows, scale)

    model, y = MODELS["two classes"]
    fitted(model, lambda m: m._fit_elsewhere(Told(X, y)))
    before = seam._compiled_sums.n_compiled()
    fitted(model, lambda m: m._fit_elsewhere(Told(X, y)))
    assert len(set(found)) == 1 and seam._compiled_sums.n_compiled() == before


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_that_are_wrong_are_named(value):
    """Though the sample has none of them."""
    wrong = X.copy()
    wrong[123, 1] = value

    class Late(Shards):
        def sample(self, n_bytes, rng):
            return super().sample(n_bytes, rng)._replace(X=X[:100], y=Y[:100])

    model, _ = MODELS["collapsed"]
    with pytest.raises(ValueError, match="X contains NaN or infinity, in row 123"):
        model._fit_elsewhere(Late(wrong, Y))


def test_a_fit_goes_on():
    """Warm starts from rows elsewhere, and more rows at hand."""
    model, y = MODELS["collapsed"]
    model = model.__class__(**{**model.get_params(deep=False), "warm_start": True})
    there = fitted(model, lambda m: m._fit_elsewhere(Shards(X, y)))
    before = there.elbo_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert there._fit_elsewhere(Shards(X, y)).elbo_ > before
        there.partial_fit(X[:50] + 0.01, y[:50])
    assert "1,250 rows" in str(there.summary())
    assert np.sqrt(np.mean((there.predict(X) - F) ** 2)) < 0.5


def test_numbers_that_stand_for_several_rows():
    """Minibatches are of such blocks then; each step adds up to all rows in the mean."""

    class Blocks(Shards):
        most_numbers = 500  # 3 rows each

        def sums(self, call, arrays, rows=None, scale=1.0):
            assert rows is None or (len(rows) == 60 and scale == 20.0)
            asked.extend(() if rows is None else rows)
            return super().sums(call, arrays, rows, scale)

    asked = []
    model, y = MODELS["minibatches"]
    model = model.__class__(**{**model.get_params(deep=False), "batch_size": 60})
    there = fitted(model, lambda m: m._fit_elsewhere(Blocks(X, y)))
    assert set(asked) == set(range(N)) and np.all(np.diff(np.reshape(asked, (-1, 3))) == 1)
    here = fitted(model, lambda m: m.fit(X, y))
    assert np.mean(np.abs(predicted(there) - predicted(here))) < 0.05
    model, y = MODELS["collapsed"]
    there = fitted(model, lambda m: m._fit_elsewhere(Blocks(X, y)))
    here = fitted(model, lambda m: m.fit(X, y))
    np.testing.assert_allclose(there.elbo_, here.elbo_, rtol=1e-8)
