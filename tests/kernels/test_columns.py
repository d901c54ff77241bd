"""Kernels and the columns of X: those they fit, and those they select."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor as ScikitLearns
from sklearn.gaussian_process.kernels import (
    RBF,
    CompoundKernel,
    ConstantKernel,
    DotProduct,
    ExpSineSquared,
    Matern,
    WhiteKernel,
)
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor, kernels
from skgpng._runtime import tf
from skgpng.kernels import Columns

RNG = np.random.RandomState(0)
X3 = RNG.rand(40, 3)
Y3 = np.sin(6 * X3[:, 0]) + X3[:, 2]
FRAME = pd.DataFrame(X3, columns=["width", "depth", "height"])


class Silent(kernels.Kernel):
    """What it holds, without being a Columns."""

    def __init__(self, kernel):
        self.kernel = kernel

    def covariance(self, X1, X2=None):
        return self.kernel.covariance(X1, X2)


# --- a vector of values, and ExpSineSquared ------------------------------------------------------

# where it stands, and the name it is to be called by
TREES = {
    "kernel": lambda k: k,
    "kernel parameter 'k1'": lambda k: k + WhiteKernel(),
    "kernel parameter 'k2'": lambda k: RBF() * k,
    "kernel parameter 'k1__k2'": lambda k: ConstantKernel() * k + RBF(),
    "kernel parameter 'k2__k2'": lambda k: WhiteKernel() + (RBF() + k),
    "kernel parameter 'k1__kernel'": lambda k: k**2 + DotProduct(),
}


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("n_columns", [2, 3])
def test_a_periodic_kernel_of_several_columns_is_refused(name, n_columns):
    X, kernel = X3[:, :n_columns], TREES[name](ExpSineSquared())
    match = f"{name}: ExpSineSquared .* one column .*sin\\(2 pi x / p\\)"
    model = GaussianProcessRegressor(kernel)
    for attempt in (model.fit, lambda X, y: model.predict(X), lambda X, y: model.sample_y(X)):
        with pytest.raises(ValueError, match=match):
            attempt(X, Y3)
    assert not hasattr(model, "kernel_")
    if "White" not in str(kernel):
        with pytest.raises(ValueError, match=match):
            GaussianProcessClassifier(kernel).fit(X, Y3 > 0.5)
        classes = np.digitize(Y3, [0.3, 0.9])
        each = CompoundKernel([RBF(), kernel, RBF()])
        with pytest.raises(ValueError, match="parameter '1.*ExpSineSquared"):
            GaussianProcessClassifier(each).fit(X, classes)


@pytest.mark.parametrize("name", TREES)
def test_a_periodic_kernel_of_one_column_is_welcome(name):
    model = GaussianProcessRegressor(TREES[name](ExpSineSquared()), max_iter=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isfinite(model.fit(X3[:, :1], Y3).elbo_)


# --- kernels that select columns -----------------------------------------------------------------


@pytest.mark.parametrize("n_inducing", [None, 15])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("columns", [[0, 2], (-3, -1), ["width", "height"]], ids=str)
def test_columns_is_the_kernel_of_these_columns(n_inducing, dtype, columns):
    settings = dict(n_inducing=n_inducing, optimizer=None, train_inducing=False, dtype=dtype)
    settings |= dict(inducing_init="random", random_state=0)
    inner, both = 2.0 * RBF([0.5, 1.0]), [0, 2]
    X = FRAME if "width" in columns else X3
    found = GaussianProcessRegressor(Columns(inner, columns) + WhiteKernel(0.1), **settings)
    expected = GaussianProcessRegressor(inner + WhiteKernel(0.1), **settings)
    found.fit(X, Y3), expected.fit(X3[:, both], Y3)
    close = dict(rtol=1e-8) if dtype == "float64" else dict(rtol=1e-3)
    if n_inducing is None:  # else rows come in another order, and other points are drawn
        np.testing.assert_allclose(found.elbo_, expected.elbo_, rtol=1e-9)
        np.testing.assert_allclose(found.predict(X), expected.predict(X3[:, both]), **close)
    assert found.score(X, Y3) > 0.8
    relevances = expected.feature_relevances_
    np.testing.assert_allclose(found.feature_relevances_[both], relevances, rtol=1e-12)
    assert found.feature_relevances_[1] == 0.0


@pytest.mark.filterwarnings("ignore:Training stopped")
@pytest.mark.parametrize("cls", [GaussianProcessRegressor, GaussianProcessClassifier])
@pytest.mark.parametrize("n_inducing", [None, 10])
def test_it_learns_goes_on_and_is_pickled(cls, n_inducing):
    y = Y3 if cls is GaussianProcessRegressor else Y3 > 0.5
    kernel = Columns(ExpSineSquared(), ["depth"]) * Columns(Matern([1.0, 1.0]), ("width", "height"))
    model = cls(kernel, n_inducing=n_inducing, max_iter=30, warm_start=True, random_state=0)
    first = model.fit(FRAME, y).elbo_
    assert model.kernel_.k2.kernel.length_scale.shape == (2,)
    assert model.kernel_.k1.columns == ["depth"]
    assert model.fit(FRAME, y).elbo_ > first - 1.0
    # its periodic kernel has a length scale in units of the period
    assert model.feature_relevances_.shape == (3,)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(FRAME), model.predict(FRAME))
    if n_inducing:
        assert np.isfinite(model.partial_fit(FRAME, y).elbo_)


def test_names_and_positions_share_what_is_compiled():
    by_name, by_position = Columns(RBF(), ["height", "width"]), Columns(RBF(), np.array([2, 0]))
    named = kernels.parse(by_name, names=FRAME.columns)
    assert named.structure == kernels.parse(by_position).structure
    assert named.structure == kernels.parse(Columns(RBF(3.0, "fixed"), (2, 0))).structure
    assert named.structure != kernels.parse(Columns(RBF(), [0, 2])).structure


@pytest.mark.parametrize(
    "kernel, X, match",
    [
        (RBF() * Columns(RBF([1.0] * 3), [0, 2]), X3, "'k2__kernel__length_scale' has 3 .*sees 2"),
        (Columns(RBF([1.0] * 2), [1]), X3, "'kernel__length_scale' has 2 values, but it sees 1"),
        (Columns(RBF() + RBF([1.0] * 2), [0, 1, 2]), X3, "'kernel__k2__length_scale' has 2 values"),
        (
            Columns(ExpSineSquared(), [0, 1]) + RBF(),
            X3,
            "'k1__kernel': ExpSineSquared.* at 2",
        ),
        (Columns(RBF(), [7]) + RBF(), X3, r"'k1': it selects columns \[7\] of 3"),
        (RBF() * Columns(RBF(), [-4]), X3, r"'k2': it selects columns \[-4\] of 3"),
        (Columns(Columns(RBF(), [2]), [0, 1]), X3, r"'kernel': it selects columns \[2\] of 2"),
        (Columns(RBF(), [2, -1]), X3, r"kernel: it selects a column twice: \[2, -1\]"),
        (RBF([1.0] * 2) + Columns(RBF(), [1]), X3, "'k1__length_scale' has 2 values, but X has 3"),
        (Columns(RBF(), ["width"]) * RBF(), X3, "'k1': it selects column 'width' by name"),
        (Columns(RBF(), ["wide"]), FRAME, "no column 'wide', only 'width', 'depth', 'height'"),
        (Columns(RBF(), "width"), FRAME, "must be a list .*, got 'width'"),
        (Columns(RBF(), []), X3, r"must be a list .*, got \[\]"),
        (Columns(RBF(), np.array(1)), X3, r"must be a list .*, got array\(1\)"),
        (Columns("rbf", [1]), X3, "kernel: the kernel in Columns must be .*, got 'rbf'"),
        (RBF() * Columns(None, [1]), X3, "'k2': the kernel in Columns must be .*, got None"),
        (
            Columns(Columns(RBF(), ["width"]), ["depth", "height"]),
            FRAME,
            "parameter 'kernel': it sees no column 'width', only 'depth', 'height'",
        ),
        (
            1.0 * Columns(Columns(RBF(), ["width"]), [0, 7]),
            FRAME,
            r"'k2': it selects columns \[0, 7\] of 3",
        ),
        (Columns(RBF(), [True, False, True]), X3, "must be a list"),
        (Columns(RBF() + WhiteKernel(), [1]), X3, "'kernel__k2' is a WhiteKernel inside a product"),
    ],
    ids=lambda v: str(v)[:40] if not isinstance(v, (np.ndarray, pd.DataFrame)) else "",
)
def test_what_does_not_fit_is_named_before_training(kernel, X, match):
    for model in GaussianProcessRegressor(kernel), GaussianProcessClassifier(kernel):
        with pytest.raises(ValueError, match=match):
            model.fit(X, Y3 > 0.5)
    if X is X3:
        with pytest.raises(ValueError, match=match):
            GaussianProcessRegressor(kernel).predict(X)


@pytest.mark.parametrize("n_inducing", [None, 10])
def test_names_inside_are_among_those_selected_outside(n_inducing):
    settings = dict(n_inducing=n_inducing, max_iter=5, random_state=0)
    inner = Columns(RBF(), ["height"]) * Columns(Matern(), [0]) + Columns(RBF(), [-1, -2])
    by_name = GaussianProcessRegressor(Columns(inner, ["depth", "height"]), **settings)
    flat = Columns(RBF(), [2]) * Columns(Matern(), [1]) + Columns(RBF(), [2, 1])
    by_position = GaussianProcessRegressor(flat, **settings).fit(X3, Y3)
    by_name.fit(FRAME, Y3)
    np.testing.assert_allclose(by_name.elbo_, by_position.elbo_, rtol=1e-9)
    np.testing.assert_allclose(by_name.predict(FRAME), by_position.predict(X3), rtol=1e-6)
    relevances = by_position.feature_relevances_
    np.testing.assert_allclose(by_name.feature_relevances_, relevances, rtol=1e-6)
    assert relevances[0] == 0.0 < relevances[1:].min()
    again = pickle.loads(pickle.dumps(by_name))
    np.testing.assert_array_equal(again.predict(FRAME), by_name.predict(FRAME))


def test_a_name_that_two_columns_have_is_refused():
    with pytest.raises(ValueError, match="more than one column 'a', only 'a', 'b', 'a'"):
        kernels.parse(Columns(RBF(), ["a"]), names=["a", "b", "a"])


def test_the_prior_predicts_by_name():
    by_name = GaussianProcessRegressor(Columns(RBF(), ["depth"])).sample_y(FRAME, random_state=0)
    by_position = GaussianProcessRegressor(Columns(RBF(), [1])).sample_y(X3, random_state=0)
    np.testing.assert_array_equal(by_name, by_position)


@pytest.mark.parametrize("length_scale", [1e-3, 100.0])
def test_a_kernel_that_selects_columns_is_found_from_far(length_scale):
    """One start has a length scale for each column of X, of which there are three here."""
    kernel = Columns(1.0 * RBF([length_scale] * 2), [0, 2]) + RBF([length_scale] * 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the other term has nothing left to explain
        assert GaussianProcessRegressor(kernel).fit(X3, Y3).score(X3, Y3) > 0.8


def test_starts_know_which_column_a_length_scale_belongs_to():
    scaled = X3 * [1e-3, 1.0, 1e3]
    kernel = Columns(RBF([1.0] * 3), [2, 1, 0])
    model = GaussianProcessRegressor(kernel, random_state=0).fit(scaled, Y3)
    assert model.score(scaled, Y3) > 0.9
    order = np.argsort(model.kernel_.kernel.length_scale)
    assert order[0] == 2  # column 0, in thousandths


def test_columns_with_inducing_points_move_those_columns_only():
    kernel = Columns(1.0 * RBF([1.0, 1.0]), [0, 2])
    settings = dict(n_inducing=8, inducing_init="random", random_state=0, max_iter=20)
    learned = GaussianProcessRegressor(kernel, **settings).fit(X3, Y3)
    fixed = GaussianProcessRegressor(kernel, train_inducing=False, **settings).fit(X3, Y3)
    moved = np.abs(learned.inducing_points_ - fixed.inducing_points_).max(0)
    assert moved[1] == 0.0 and moved[0] > 1e-3 and moved[2] > 1e-3
    assert learned.score(X3, Y3) > 0.9


# --- as a kernel of scikit-learn's ---------------------------------------------------------------

KERNEL = 2.0 * Columns(RBF([0.5, 1.0]) + DotProduct(0.3), [2, -3]) * Columns(RBF(), [1])


def test_columns_is_a_kernel_of_scikit_learn():
    again = clone(KERNEL)
    assert again == KERNEL and again is not KERNEL and pickle.loads(pickle.dumps(again)) == again
    assert again != clone(KERNEL).set_params(k1__k2__columns=[0, 1])
    assert repr(Columns(RBF([0.5, 1.0]), ["a", "b"])) == (
        "Columns(RBF(length_scale=[0.5, 1]), columns=['a', 'b'])"
    )
    assert "k1__k2__kernel__k1__length_scale" in KERNEL.get_params()
    np.testing.assert_array_equal(again.theta, np.log([2.0, 0.5, 1.0, 0.3, 1.0]))
    assert again.clone_with_theta(2.0 * again.theta).k1.k2.kernel.k2.sigma_0 == pytest.approx(0.09)
    K, slopes = KERNEL(X3, eval_gradient=True)
    inner = 2.0 * (RBF([0.5, 1.0]) + DotProduct(0.3))
    np.testing.assert_allclose(K, inner(X3[:, [2, 0]]) * RBF()(X3[:, [1]]), rtol=1e-12)
    assert slopes.shape == (40, 40, 5)
    np.testing.assert_allclose(KERNEL.diag(X3), np.diag(K), rtol=1e-12)


def test_called_with_a_data_frame_it_selects_by_name():
    inner = Columns(RBF(), ["height"]) + Columns(Matern(nu=1.0), [0])
    kernel = 2.0 * Columns(inner, ["depth", "height"]) + Silent(Columns(RBF(), ["width"]))
    expected = 2.0 * (Columns(RBF(), [2]) + Columns(Matern(nu=1.0), [1])) + Columns(RBF(), [0])
    for given, positions in zip(kernel(FRAME, eval_gradient=True), expected(X3, None, True)):
        np.testing.assert_allclose(given, positions, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(kernel(FRAME, FRAME[:5]), expected(X3, X3[:5]), rtol=1e-9)
    np.testing.assert_allclose(kernel.diag(FRAME), 5.0, rtol=1e-9)
    turned = FRAME[["height", "width", "depth"]]
    np.testing.assert_allclose(kernel(turned), kernel(FRAME), rtol=1e-9)
    with pytest.raises(ValueError, match="X and Y have other columns"):
        kernel.k2(FRAME, turned)


@pytest.mark.parametrize(
    "columns, match",
    [
        (["width"], "column 'width' by name, but .* no names.* Give positions, or a data frame"),
        ([7], r"selects columns \[7\] of 3"),
        ([0, -3], "a column twice"),
        (np.array(1), "must be a list"),
    ],
    ids=str,
)
def test_called_with_an_array_it_says_what_does_not_fit(columns, match):
    kernel = Columns(RBF(), columns)
    for attempt in (kernel, kernel.diag, Silent(kernel), Silent(kernel).diag):
        with pytest.raises(ValueError, match=match):
            attempt(X3)


@pytest.mark.parametrize("cls", [GaussianProcessRegressor, GaussianProcessClassifier])
def test_the_kernel_of_a_fit_keeps_the_names(cls):
    y = Y3 if cls is GaussianProcessRegressor else Y3 > 0.5
    model = cls(2.0 * Columns(RBF(), ["height"]), max_iter=5).fit(FRAME, y)
    assert model.kernel_.k2.columns == ["height"]
    by_position = clone(model.kernel_).set_params(k2__columns=[2])
    np.testing.assert_array_equal(model.kernel_(FRAME), by_position(X3))
    with pytest.raises(ValueError, match="'height' by name, but the rows it is given have no"):
        model.kernel_(X3)
    again = clone(model.kernel_)
    assert again == model.kernel_
    np.testing.assert_array_equal(again.clone_with_theta(again.theta).theta, again.theta)


def test_a_pipeline_of_data_frames_selects_by_name():
    kernel = Columns(RBF(), ["height"]) + Columns(DotProduct(), ["width"])
    model = GaussianProcessRegressor(kernel, max_iter=10)
    pipeline = make_pipeline(StandardScaler(), model).set_output(transform="pandas")
    scaled = StandardScaler().fit_transform(X3)
    by_position = clone(model).set_params(
        kernel__k1__columns=np.array([2], np.uint8), kernel__k2__columns=(np.int64(-3),)
    )
    expected = by_position.fit(scaled, Y3).predict(scaled)
    np.testing.assert_allclose(pipeline.fit(FRAME, Y3).predict(FRAME), expected, rtol=1e-6)


def test_it_fits_in_scikit_learns_regressor():
    kernel = 1.0 * Columns(RBF([0.3, 2.0]), [0, 2]) + WhiteKernel(0.01)
    theirs = ScikitLearns(kernel, alpha=0.0, random_state=0).fit(X3, Y3)
    ours = GaussianProcessRegressor(kernel, normalize_y=False).fit(X3, Y3)
    assert theirs.score(X3, Y3) > 0.99
    theta = theirs.kernel_.theta
    value, slope = ours.log_marginal_likelihood(theta, eval_gradient=True)
    expected, their_slope = theirs.log_marginal_likelihood(theta, eval_gradient=True)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(slope, their_slope, rtol=1e-3, atol=1e-3)


def test_grid_search_over_columns():
    model = GaussianProcessRegressor(2.0 * Columns(RBF(), ["width"]) + WhiteKernel(), max_iter=10)
    grid = {"kernel__k1__k2__columns": [["depth"], ["width"], [0], ["wide"]]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the last has no such column
        search = GridSearchCV(model, grid, cv=3, error_score=-9.0).fit(FRAME, Y3)
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] < scores[1] == pytest.approx(scores[2]) and scores[3] == -9.0


def test_grid_search_over_the_kernel_selected():
    model = GaussianProcessRegressor(
        Columns(RBF(), ["width"]) + Columns(RBF(), ["height"]), optimizer=None, alpha=0.01
    )
    grid = {"kernel__k1__kernel__length_scale": [1e-3, 0.3], "kernel__k2__columns": [["depth"]]}
    search = GridSearchCV(model, grid, cv=3).fit(FRAME, Y3)
    assert search.best_params_["kernel__k1__kernel__length_scale"] == 0.3
    assert list(search.best_estimator_.feature_names_in_) == list(FRAME.columns)


# --- which columns a hyperparameter belongs to ---------------------------------------------------


def test_columns_seen_and_their_scales():
    kernel = 2.0 * RBF() + Columns(RBF([1.0, 2.0]) * Columns(RBF(3.0), [-1]), [2, 0])
    parsed = kernels.parse(kernel)
    seen = [list(s) for s in kernels.seen_columns(parsed, 3)]
    assert seen == [[0, 1, 2], [0, 1, 2], [2, 0], [0]]
    scales = kernels.column_scales(parsed, 3)
    np.testing.assert_array_equal(
        scales, [[1.0, 1.0, 1.0], [2.0, np.inf, 1.0], [3.0, np.inf, np.inf]]
    )


class Rotated(kernels.Kernel):
    """Of sum and difference of the first two columns."""

    def __init__(self, kernel, says=False):
        self.kernel = kernel
        self.says = says

    def _of(self, X):
        return None if X is None else tf.stack([X[:, 0] + X[:, 1], X[:, 0] - X[:, 1]], 1)

    def covariance(self, X1, X2=None):
        return self.kernel.covariance(self._of(X1), self._of(X2))

    def selects(self, columns):
        return None if self.says else columns


def test_a_kernel_may_hand_on_what_are_no_columns():
    silent, says = Rotated(RBF([1.0, 1.0])), Rotated(RBF([1.0, 1.0]), True)
    with pytest.raises(ValueError, match="'kernel__length_scale' has 2 .*method selects"):
        GaussianProcessRegressor(silent).fit(X3, Y3)
    model = GaussianProcessRegressor(says, max_iter=5).fit(X3, Y3)
    assert np.isfinite(model.elbo_)
    with pytest.raises(AttributeError, match="2 length scales for unknown columns.*selects"):
        _ = model.feature_relevances_
