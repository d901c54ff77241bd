"""``summary()``: facts of the fit, on one screen, whatever was fitted."""

from __future__ import annotations

import pickle
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from estimator.cases import KERNEL, MODELS, classifier, regressor
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.gaussian_process.kernels import (
    RBF,
    CompoundKernel,
    ConstantKernel,
    DotProduct,
    ExpSineSquared,
)
from sklearn.linear_model import Ridge

from skgpng import GaussianProcessRegressor, likelihoods
from skgpng.kernels import Columns, OrthogonalAdditive

quick = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def facts_of(model) -> dict:
    """Text of each fact by its label, lines joined, and the lines of hyperparameters."""
    text = model.summary()
    lines = text.split("\n")
    assert lines[0] == type(model).__name__
    assert len(lines) <= 25 and max(map(len, lines)) <= 100 and "nan" not in text
    found, label = {}, ""
    for line in lines[1:]:
        label = line[:12].strip() or label
        found[label] = f"{found.get(label, '')} {line[12:]}".strip()
    return found


def y_for(name, y):
    """What suits a likelihood, from numbers around 5."""
    if name == "beta":
        return 1.0 / (1.0 + np.exp(5.0 - y))
    if name == "ordinal":
        return np.digitize(y, [4.0, 6.0])
    if name in ("poisson", "negative_binomial", "zero_inflated_poisson"):
        return np.maximum(np.round(y), 0.0)
    if name in ("gamma", "exponential"):
        return np.abs(y) + 0.1
    return np.column_stack([y, -y]) if name == "coregionalised" else y


@quick
@pytest.mark.parametrize("name", likelihoods.NAMES)
def test_every_likelihood_is_told(name, ordered):
    X, y = ordered
    n_inducing = 8 if name in ("student_t", "coregionalised", "heteroscedastic") else None
    settings = {"max_iter": 2, "random_state": 0, "n_inducing": n_inducing}
    model = GaussianProcessRegressor(likelihood=name, **settings).fit(X, y_for(name, y))
    told = facts_of(model)
    assert told["Rows"].startswith("60 rows, 2 columns")
    assert told["Likelihood"].startswith(type(model._predictor.likelihood).__name__)
    assert told["Model"].endswith(f", as n_inducing={n_inducing}")
    assert ("8 inducing points" in told["Model"]) == (n_inducing == 8)
    assert f"{model.elbo_:.6g}" in told["Training"] and "not converged" in told["Training"]
    assert ("Noise" in told) == (model.noise_variance_ is not None)
    for entry in set(model.likelihood_) - {"variance"}:
        assert entry in told["Learned"]


@quick
@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_told(name, request):
    data, model = MODELS[name]
    model = clone(model).set_params(max_iter=2).fit(*request.getfixturevalue(data))
    told = facts_of(model)
    expected = {
        "gpr": "exact, as n_inducing=None",
        "sgpr": "10 inducing points (collapsed bound), as n_inducing=10",
        "neighbours": "from the 10 nearest rows, as n_neighbors=10",
        "svgp minibatch": "10 inducing points (variational), as n_inducing=10",
        "vgp": "all rows (variational), as n_inducing=None",
        "svgp": "10 inducing points (variational), as n_inducing=10",
        "vgp three classes": "all rows (variational), as n_inducing=None",
    }
    assert told["Model"] == expected[name]
    if "three" in name:
        assert "3 classes ('setosa', 'versicolor', 'virginica'), 3 latent" in told["Likelihood"]
    assert pickle.loads(pickle.dumps(model)).summary() == model.summary()


@quick
def test_why_auto_took_its_model(ordered, monkeypatch):
    few = GaussianProcessRegressor._tuning._replace(auto_exact=50, auto_inducing=8)
    monkeypatch.setattr(GaussianProcessRegressor, "_tuning", few)
    X, y = ordered

    def why(y=y, rows=X, learn="fit", **settings):
        model = GaussianProcessRegressor(max_iter=1, random_state=0, **settings)
        return facts_of(getattr(model, learn)(rows, y))["Model"].partition(", as ")[2]

    assert why(y[:50], X[:50]) == "there are at most 50 rows"
    assert why() == "there are more than 50 rows, and the noise is Gaussian"
    beyond = "there are more than 50 rows, and "
    assert why(likelihood="student_t") == beyond + "the likelihood is not Gaussian"
    assert why(n_neighbors=None) == beyond + "n_neighbors=None"
    assert why(kernel=DotProduct()) == beyond + "the kernel does not fall with a distance"
    assert why(rows=X.round(-1)) == beyond + "most of them repeat others"
    assert why(learn="partial_fit") == "rows come in parts"


def test_noise_is_in_the_units_of_y_and_relevances_are_those_of_the_fit(ordered):
    X, y = ordered
    frame = pd.DataFrame(X, columns=["left", "right"])
    model = GaussianProcessRegressor(random_state=0).fit(frame, 100.0 * y)
    told = facts_of(model)
    std, share = np.sqrt(model.noise_variance_), model.noise_variance_ / np.var(100.0 * y)
    assert told["Noise"] == (
        f"standard deviation {std:.4g} in the units of y, {share:.1%} of the variance of y"
    )
    relevance, scale = model.feature_relevances_, model.kernel_.k2.length_scale
    for k, name in enumerate(frame):
        assert re.search(rf"{name} +{scale[k]:.4g} +relevance {relevance[k]:.1%}", told["Kernel"])
    assert relevance[0] > relevance[1]
    assert told["Kernel"].index("left") < told["Kernel"].index("right")


@quick
def test_the_warning_of_fit_is_told_again_and_goes_with_it(ordered):
    with pytest.warns(ConvergenceWarning) as caught:
        model = regressor(max_iter=3).fit(*ordered)
    told = facts_of(model)
    assert told["Warning"] == re.sub(r"\s+", " ", str(caught[0].message))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "Warning" not in facts_of(model.set_params(max_iter=1000).fit(*ordered))


@quick
def test_rows_weights_and_rows_held_out(ordered, split):
    X, y = ordered
    weights = np.r_[np.zeros(10), np.full(50, 3.0)]
    told = facts_of(regressor(max_iter=2).fit(X, y, sample_weight=weights))
    assert told["Rows"] == "50 rows, 2 columns, weights of 150 in all"
    twice = facts_of(regressor(max_iter=2).fit(np.vstack([X, X]), np.r_[y, y]))
    assert twice["Rows"] == "120 rows, 2 columns"  # which training merges
    told = facts_of(regressor(max_iter=20, n_inducing=8, early_stopping=True).fit(X, y))
    assert told["Rows"].endswith(f"{len(split['held_out'])} of the rows held out to stop by")
    assert "log density of held-out rows" in told["Training"]


@quick
def test_rows_of_a_stream_add_up(ordered, monkeypatch):
    X, y = ordered
    model = regressor(max_iter=2, n_inducing=8)
    forgets = model._tuning._replace(stream_rows=0, stream_rows_a_point=0)
    monkeypatch.setattr(GaussianProcessRegressor, "_tuning", forgets)
    model.partial_fit(X[::2], y[::2])
    share = facts_of(model)["Noise"]
    model.partial_fit(X[1::2][:20], y[1::2][:20])
    assert model._stream.rows is None
    told = facts_of(model)
    assert told["Rows"] == "50 rows, 2 columns"
    variance = model._record["y_variance"]
    assert np.allclose(variance, np.var(y[::2]))  # of the first call: no others are kept
    assert "of the variance of y" in share and "of the variance of y" in told["Noise"]


@quick
def test_several_targets_and_kernels(ordered):
    X, y = ordered
    Y = np.column_stack([y, 10.0 * X[:, 1]])
    told = facts_of(regressor(max_iter=2).fit(X, Y))
    assert told["Rows"] == "60 rows, 2 columns, 2 targets"
    assert told["Mean"] == f"{Y[:, 0].mean():.4g}, {Y[:, 1].mean():.4g}, that of y"
    each = CompoundKernel([KERNEL, ConstantKernel(2.0, "fixed") * Columns(RBF(), [1])])
    model = regressor(n_inducing=8, max_iter=2).set_params(kernel=each).fit(X, Y)
    told = facts_of(model)
    assert re.search(r"0__k2__length_scale +\S+ +units of X", told["Kernel"])
    assert re.search(r"1__k1__constant_value +2 +variance, of scaled y, fixed", told["Kernel"])


class Doubled(RBF):
    """Of 2 X, so that its length scale is not in the units of X."""

    def __call__(self, X, Y=None, eval_gradient=False):
        return super().__call__(2.0 * X, None if Y is None else 2.0 * Y, eval_gradient)


@quick
def test_units_are_told_where_they_are_known(ordered):
    X, y = ordered
    kernel = Columns(ExpSineSquared(1.0, 5.0), [0]) + DotProduct()
    told = facts_of(GaussianProcessRegressor(kernel, max_iter=1).fit(X, y))["Kernel"]
    assert re.search(r"k1__kernel__periodicity +\S+ +units of X", told)
    assert re.search(r"k2__sigma_0 +\S+ +units of X", told)
    assert re.search(r"k1__kernel__length_scale +\S+ k1", told)  # which is without one
    told = facts_of(GaussianProcessRegressor(Doubled([1.0, 1.0]), max_iter=1).fit(X, y))["Kernel"]
    assert re.search(r" length_scale +\S+, \S+$", told) and "units" not in told


@quick
def test_means_and_given_noise(ordered):
    X, y = ordered
    told = facts_of(regressor(mean="linear", max_iter=2, alpha=0.25).fit(X, y))
    assert told["Mean"].startswith("constant ") and "slopes " in told["Mean"]
    assert told["Noise"].startswith("standard deviation 0.5 in the units of y")
    assert told["Noise"].endswith("(given)")
    each = regressor(alpha=0, max_iter=2).fit(X, y, noise_variance=np.full(60, 0.1))
    assert facts_of(each)["Noise"] == "none but what is known of each row"
    small = facts_of(regressor(alpha=1e-4, max_iter=2).fit(X, y))["Noise"]
    assert small.endswith("below 0.1% of the variance of y (given)")
    told = facts_of(regressor(mean=Ridge(), max_iter=2).fit(X, y))
    assert told["Mean"] == "Ridge(); y is less its predictions"
    assert facts_of(regressor(normalize_y=False, max_iter=2).fit(X, y))["Mean"] == "zero"


@quick
def test_shares_of_an_additive_function(ordered):
    X, y = ordered
    model = GaussianProcessRegressor(OrthogonalAdditive(), max_iter=10).fit(X, y)
    first = model.additive_components_[0]
    assert facts_of(model)["Shares"].startswith(f"{first.columns[0]} {first.share:.1%}")


@quick
def test_many_columns_and_long_texts_stay_on_one_screen(ordered):
    _, y = ordered
    X = np.random.RandomState(0).randn(60, 80)
    names = [f"a column with a name that is long indeed, number {k:03d}" for k in range(80)]
    model = GaussianProcessRegressor(max_iter=1, likelihood="student_t", mean="linear")
    told = facts_of(model.fit(pd.DataFrame(X, columns=names), y))
    assert re.search(r"\.\.\. and \d\d lines more", told["Kernel"])


@quick
def test_a_name_of_two_lines_is_told_on_one(ordered):
    X, y = ordered
    frame = pd.DataFrame(X[:, [0, 0]], columns=["size\n  in mm", "b"])
    model = GaussianProcessRegressor(1.0 * RBF([1.0, 1.0]), max_iter=2).fit(frame, y)
    assert re.search(r"^ +size in mm  ", model.summary(), re.MULTILINE)


@quick
def test_restarts_jitter_and_bounds(ordered):
    X, y = ordered
    kernel = ConstantKernel(1.0, (0.5, 2.0)) * RBF(1.0, (20.0, 30.0))
    model = GaussianProcessRegressor(kernel, n_restarts_optimizer=1, random_state=0).fit(X, y)
    told = facts_of(model)
    assert "best of 2 starts" in told["Training"] and "jitter" not in told["Training"]
    assert re.search(r"k2__length_scale +20 +units of X, at a bound", told["Kernel"])
    model = classifier(max_iter=1, n_inducing=8, optimizer=None)
    told = facts_of(model.fit(X, y > 5))
    assert told["Training"].startswith("hyperparameters held, 1 step, not converged, ELBO")
    model.jitter_ = 1e-3
    assert "jitter raised to 0.001" in facts_of(model)["Training"]


@quick
def test_a_model_that_learned_more_rows_since_has_no_elbo(ordered):
    model = regressor(n_inducing=8, max_iter=2).fit(*ordered)
    for name in ("elbo_", "log_posterior_", "elbo_curve_", "validation_scores_"):
        delattr(model, name)
    assert facts_of(model)["Training"] == "Adam, 2 steps, not converged"


@pytest.mark.parametrize("make", [regressor, classifier])
def test_before_fit_there_is_nothing_to_tell(make):
    with pytest.raises(NotFittedError):
        make().summary()
