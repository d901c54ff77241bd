"""Arguments and attributes by which scikit-learn's classes are told and asked; see its own tests.

These, with nothing but the import changed, are in tests/batteries/test_scikit_learn_suite.py.
"""

from __future__ import annotations

import inspect
import pickle
import warnings

import numpy as np
import pytest
import scipy.optimize
from sklearn import gaussian_process as sk
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process.kernels import RBF, Matern, WhiteKernel

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
X = np.sort(RNG.uniform(0.0, 6.0, (30, 1)), 0)
Y = np.sin(X[:, 0]) + 0.1 * RNG.randn(30)
NOISE = np.linspace(0.01, 0.3, 30)
NEW = np.linspace(-1.0, 7.0, 9)[:, None]
LABELS = (Y > 0.0).astype(int)
THREE = np.digitize(Y, [-0.4, 0.4])
PAIRS = [
    (sk.GaussianProcessRegressor, GaussianProcessRegressor),
    (sk.GaussianProcessClassifier, GaussianProcessClassifier),
]


def plain(kernel, **settings):
    """With scikit-learn's y, to the last digits."""
    settings = {"normalize_y": False, "n_inducing": None, "tol": 1e-10, **settings}
    return GaussianProcessRegressor(kernel, **settings)


# --- arguments -------------------------------------------------------------------------------


@pytest.mark.parametrize("theirs, ours", PAIRS)
def test_every_argument_is_taken(theirs, ours):
    given = inspect.signature(theirs).parameters
    own = inspect.signature(ours).parameters
    assert given.keys() <= own.keys()
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    for parameters in (given, own):
        assert [n for n, p in parameters.items() if p.kind is positional] == ["kernel"]
    ours(**{name: p.default for name, p in given.items()})._validate_params()


def test_an_alpha_for_each_row_is_scikit_learns():
    kernel = 1.0 * RBF(1.0)
    ours = plain(kernel, alpha=NOISE).fit(X, Y)
    theirs = sk.GaussianProcessRegressor(kernel, alpha=NOISE).fit(X, Y)
    np.testing.assert_allclose(ours.kernel_.theta, theirs.kernel_.theta, rtol=1e-3)
    theirs = sk.GaussianProcessRegressor(ours.kernel_, alpha=NOISE, optimizer=None).fit(X, Y)
    for a, b in zip(
        ours.predict(NEW, return_std=True), theirs.predict(NEW, return_std=True), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert ours.log_marginal_likelihood() == pytest.approx(theirs.log_marginal_likelihood_value_)
    assert clone(ours).alpha is not ours.alpha  # as clone copies what it is given


@pytest.mark.parametrize("settings", [{"n_inducing": None}, {"n_inducing": 8}, {"n_neighbors": 10}])
def test_an_alpha_for_each_row_is_the_noise_variance_of_fit(settings):
    rows = np.r_[:30, 3, 3]  # equal ones are merged, those of equal noise
    y, noise = Y[rows], NOISE[rows]
    y[-1], weights = np.nan_to_num(y[-1]), np.r_[0.0, np.ones(31)]
    settings = {"random_state": 0, "max_iter": 20, **settings}
    kernel = 1.0 * RBF(1.0) + WhiteKernel(0.01)
    each = GaussianProcessRegressor(kernel, alpha=noise, **settings)
    known = GaussianProcessRegressor(kernel, alpha=0, **settings)
    each.fit(X[rows], y, sample_weight=weights)
    known.fit(X[rows], y, sample_weight=weights, noise_variance=noise)
    np.testing.assert_array_equal(each.predict(NEW), known.predict(NEW))
    assert each.elbo_ == known.elbo_
    # beside another noise of the rows
    both = each.fit(X[rows], y, noise_variance=noise).elbo_
    assert both == known.fit(X[rows], y, noise_variance=2.0 * noise).elbo_


def test_an_alpha_for_each_row_that_cannot_be():
    with pytest.raises(ValueError, match="same number of entries as y"):
        plain(RBF(), alpha=NOISE[:-1]).fit(X, Y)
    with pytest.raises(ValueError, match="likelihood='gaussian'"):
        plain(RBF(), alpha=NOISE, likelihood="student_t").fit(X, Y)
    with pytest.raises(ValueError, match="say those of the rows here by noise_variance"):
        GaussianProcessRegressor(alpha=NOISE, n_inducing=5).partial_fit(X, Y)
    with pytest.raises(np.linalg.LinAlgError, match="increasing the 'alpha'"):
        plain(RBF(1e3), alpha=np.zeros(30)).fit(X, Y)
    model = plain(RBF(), alpha=NOISE).fit(X, Y)
    with pytest.raises(ValueError, match="say those of the rows here by noise_variance"):
        model.loo_predict(X, Y)
    assert model.loo_predict(X, Y, noise_variance=NOISE).std.shape == (30,)


@pytest.mark.parametrize("settings", [{}, {"n_inducing": 8, "batch_size": 10}, {"n_neighbors": 10}])
def test_l_bfgs_by_scikit_learns_name(settings):
    """Where there is none it trains as by default, and says nothing."""
    kernel = 1.0 * RBF(1.0) + WhiteKernel(0.01)
    settings = {"random_state": 0, "max_iter": 20, **settings}
    asked, default = (
        GaussianProcessRegressor(kernel, optimizer=name, **settings).fit(X, Y)
        for name in ("fmin_l_bfgs_b", "auto")
    )
    assert asked.elbo_ == default.elbo_
    names = ("fmin_l_bfgs_b", "auto" if "n_inducing" in settings else "lbfgs")
    if "n_neighbors" not in settings:
        asked, default = (
            GaussianProcessClassifier(kernel.k1, optimizer=name, **settings).fit(X, LABELS)
            for name in names
        )
        assert asked.elbo_ == default.elbo_


def by_scipy(function, theta, bounds):
    """L-BFGS, as scikit-learn calls it."""
    found = scipy.optimize.minimize(function, theta, jac=True, method="L-BFGS-B", bounds=bounds)
    return found.x, found.fun


@pytest.mark.parametrize("kernel", [RBF(2.0) * 1.0 + WhiteKernel(0.1), WhiteKernel(0.1) + RBF(2.0)])
@pytest.mark.parametrize("likelihood", ["gaussian", "student_t"])
def test_an_optimiser_of_ones_own_is_asked_in_the_order_of_theta(kernel, likelihood):
    """Also where the root of the level is what is learned."""
    seen = []

    def optimizer(function, theta, bounds):
        n = kernel.n_dims
        assert np.allclose(theta[:n], kernel.theta) and np.allclose(bounds[:n], kernel.bounds)
        value, gradient = function(theta)
        assert value == function(theta, eval_gradient=False)
        for k in range(len(theta)):
            step = 1e-5 * np.eye(len(theta))[k]
            slope = (function(theta + step, False) - function(theta - step, False)) / 2e-5
            assert slope == pytest.approx(gradient[k], rel=1e-4, abs=1e-5)
        seen.append(len(theta) - n)
        return by_scipy(function, theta, bounds)

    model = plain(kernel, optimizer=optimizer, likelihood=likelihood).fit(X, Y)
    default = plain(kernel, optimizer="lbfgs", likelihood=likelihood).fit(X, Y)
    assert seen == [0 if likelihood == "gaussian" else 1]  # and the degrees of freedom
    assert model.elbo_ == pytest.approx(default.elbo_, abs=1e-4)
    assert model.n_iter_ == len(model.elbo_curve_) and model.converged_


def test_what_is_learned_beside_the_kernel_is_behind_theta():
    lengths = []

    def optimizer(function, theta, bounds):
        lengths.append(len(theta))
        return by_scipy(function, theta, bounds)

    model = plain(RBF(1.0), optimizer=optimizer).fit(X, Y)
    assert model.elbo_ == pytest.approx(plain(RBF(1.0)).fit(X, Y).elbo_, abs=1e-5)
    plain(RBF(1.0), optimizer=optimizer, alpha=0.01).fit(X, Y)
    plain(RBF(1.0, "fixed"), optimizer=optimizer, alpha=0.01).fit(X, Y)  # nothing to ask
    assert lengths == [2, 1]
    model = plain(1.0 * RBF(1.0), alpha=0.01, optimizer=lambda f, theta, bounds: (theta + 0.1, 0.0))
    np.testing.assert_allclose(model.fit(X, Y).kernel_.theta, [0.1, 0.1])  # what it says is taken
    assert model.log_marginal_likelihood(model.kernel_.theta) == pytest.approx(model.elbo_)
    assert len(model.set_params(n_restarts_optimizer=2).fit(X, Y).elbo_curve_) == 1


def test_an_optimiser_of_ones_own_trains_a_classifier():
    kernel = 1.0 * Matern(1.0, nu=1.5)
    own = GaussianProcessClassifier(kernel, optimizer=by_scipy).fit(X, LABELS)
    ours = GaussianProcessClassifier(kernel).fit(X, LABELS)
    assert own.elbo_ > ours.elbo_
    value, gradient = own.log_marginal_likelihood(own.kernel_.theta, eval_gradient=True)
    assert value == pytest.approx(own.elbo_, abs=1e-8)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-4)


def test_an_optimiser_of_ones_own_that_cannot_be():
    for settings in ({"n_inducing": 5}, {"n_neighbors": 5}):
        with pytest.raises(ValueError, match="function needs an exact model.*n_inducing=None"):
            GaussianProcessRegressor(optimizer=by_scipy, **settings).fit(X, Y)
    for theta in ([0.0], [np.nan] * 2, [[0.0, 0.0]]):
        with pytest.raises(ValueError, match="optimizer asked for a theta of shape"):
            plain(RBF(), optimizer=lambda f, start, bounds, theta=theta: (theta, 0.0)).fit(X, Y)
    for given in (None, np.zeros(2), scipy.optimize.OptimizeResult(x=np.zeros(2), fun=0.0)):
        with pytest.raises(ValueError, match=r"a pair \(theta_opt, func_min\)"):
            plain(RBF(), optimizer=lambda *_, given=given, **__: given).fit(X, Y)


# --- attributes ------------------------------------------------------------------------------


@pytest.mark.parametrize("y", [Y, np.stack([Y, Y**2], 1)], ids=["one", "two"])
@pytest.mark.parametrize("normalize_y", [False, True])
def test_attributes_are_scikit_learns(y, normalize_y):
    kernel = 2.0 * RBF(1.5) + WhiteKernel(0.05)
    settings = {"optimizer": None, "normalize_y": normalize_y}
    ours = plain(kernel, **settings).fit(X, y)
    theirs = sk.GaussianProcessRegressor(kernel, alpha=0.0, **settings).fit(X, y)
    for model in (ours, pickle.loads(pickle.dumps(ours))):
        for name in ("X_train_", "y_train_", "L_", "alpha_", "log_marginal_likelihood_value_"):
            np.testing.assert_allclose(getattr(model, name), getattr(theirs, name), rtol=1e-8)
    np.testing.assert_allclose(ours.L_ @ ours.L_.T @ ours.alpha_, ours.y_train_, atol=1e-9)


def test_rows_stand_in_an_order_of_their_own_and_weights_with_them():
    mixed = np.random.RandomState(0).permutation(len(X))
    model = plain(2.0 * RBF(1.5), alpha=0.1, optimizer=None).fit(X[mixed], Y[mixed])
    assert np.array_equal(model.X_train_, X) and np.array_equal(model.y_train_, Y)
    new = X[:5] + 0.1
    by_hand = model.kernel_(new, model.X_train_) @ model.alpha_
    np.testing.assert_allclose(by_hand, model.predict(new), rtol=1e-8)


def test_evidence_that_cannot_be_computed_is_minus_infinity():
    model = plain(1.0 * RBF(1.0), alpha=1e-10, optimizer=None).fit(X, Y)
    value, gradient = model.log_marginal_likelihood([50.0, 50.0], eval_gradient=True)
    assert value == -np.inf and np.array_equal(gradient, [0.0, 0.0])
    with pytest.raises(ValueError, match=r"theta has the shape \(3,\), but 2 hyperparameters"):
        model.log_marginal_likelihood([0.0, 0.0, 0.0])


def test_evidence_of_labels_under_a_wide_prior_is_at_the_better_optimum():
    rng = np.random.RandomState(0)
    X = rng.uniform(0, 4, (30, 2))
    labels = np.sin(2 * X[:, 0]) + X[:, 1] - 2 + 0.5 * rng.randn(30) > 0
    model = GaussianProcessClassifier(1.0 * RBF([1.0, 1.0]), optimizer=None).fit(X, labels)
    # the two links say much the same, and the logistic one is concave: its q is the best there is
    logistic = clone(model).set_params(likelihood="logit").fit(X, labels)
    for theta in ([8.0, -3.0, -3.0], [8.0, 0.0, 0.0]):
        ours, other = (m.log_marginal_likelihood(theta) for m in (model, logistic))
        assert ours > other - 1.0


def test_attributes_of_other_models():
    near = GaussianProcessRegressor(n_neighbors=10).fit(X, Y)
    assert np.array_equal(near.X_train_, X)
    np.testing.assert_allclose(near.y_train_, (Y - Y.mean()) / Y.std())
    heavy = GaussianProcessRegressor(likelihood="student_t", n_inducing=None).fit(X, Y)
    assert np.array_equal(heavy.X_train_, X) and heavy.y_train_.shape == (30,)
    points = GaussianProcessRegressor(n_inducing=5, max_iter=3).fit(X, Y)
    for model, names in ((near, "L_ alpha_"), (heavy, "L_ alpha_"), (points, "X_train_ L_")):
        for name in names.split():
            assert not hasattr(model, name)
            with pytest.raises(AttributeError, match=f"{name}.*[Ss]et n_inducing=None"):
                getattr(model, name)
    for name in ("X_train_", "y_train_", "L_", "alpha_", "log_marginal_likelihood_value_"):
        with pytest.raises(AttributeError, match="after fit only"):
            getattr(GaussianProcessRegressor(), name)


def test_attributes_of_a_classifier():
    names = np.array(["a", "b", "c"])[THREE]
    model = GaussianProcessClassifier(1.0 * RBF()).fit(X, names)
    model = pickle.loads(pickle.dumps(model))
    theirs = sk.GaussianProcessClassifier(1.0 * RBF()).fit(X, names)
    assert model.n_classes_ == theirs.n_classes_ == 3 and model.base_estimator_ is model
    assert np.array_equal(model.X_train_, X) and np.array_equal(model.y_train_, THREE)
    assert not hasattr(model, "L_")
    with pytest.raises(NotFittedError):
        GaussianProcessClassifier().base_estimator_  # noqa: B018


# --- the evidence of a classifier ------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{}, {"likelihood": "logit", "mean": "constant", "epsilon": None}, {"three": True}],
    ids=str,
)
def test_evidence_of_a_classifier_and_its_gradient(settings):
    labels, own = (THREE, {"shared_kernel": False}) if "three" in settings else (LABELS, settings)
    model = GaussianProcessClassifier(1.0 * RBF(1.0), max_iter=30, **own).fit(X, labels)
    learned, bound = model.kernel_.theta, model.log_marginal_likelihood()
    assert model.elbo_ <= bound + 1e-9 and bound - model.elbo_ < 0.1
    assert model.log_marginal_likelihood(learned) == pytest.approx(bound, abs=1e-9)
    theta = learned + 0.3
    value, gradient = model.log_marginal_likelihood(theta, eval_gradient=True)
    slopes = [
        (model.log_marginal_likelihood(theta + e) - model.log_marginal_likelihood(theta - e)) / 2e-4
        for e in 1e-4 * np.eye(len(theta))
    ]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(model.kernel_.theta, learned)
    if not settings:  # the same bound, trained at these values
        there = clone(model).set_params(optimizer=None, max_iter=500, tol=1e-11)
        there.set_params(kernel=model.kernel_.clone_with_theta(theta)).fit(X, labels)
        assert there.elbo_ == pytest.approx(value, abs=1e-6)


def test_evidence_where_steps_of_the_usual_size_swing_for_ever():
    """A prior of variance 400 over thirty labels: from any start the same."""
    model = GaussianProcessClassifier(1.0 * Matern(1.0, nu=1.5), optimizer=None).fit(X, LABELS)
    theta = np.log([417.0, 3.45])
    value, gradient = model.log_marginal_likelihood(theta, eval_gradient=True)
    there = GaussianProcessClassifier(
        model.kernel_.clone_with_theta(theta), optimizer=None, gamma=0.1, max_iter=2000, tol=1e-13
    ).fit(X, LABELS)
    assert there.elbo_ == pytest.approx(value, abs=1e-6)
    again, same = there.log_marginal_likelihood(theta, eval_gradient=True)
    assert again == pytest.approx(value, abs=1e-8)
    # q comes near by a factor a step, and the gradient is as near as q, where the value is nearer
    np.testing.assert_allclose(same, gradient, atol=1e-5)


def test_evidence_of_other_likelihoods():
    model = GaussianProcessRegressor(
        1.0 * RBF() + WhiteKernel(0.1), likelihood="laplace", n_inducing=None, max_iter=30
    ).fit(X, Y)
    theta = model.kernel_.theta
    value, gradient = model.log_marginal_likelihood(theta, eval_gradient=True)
    assert value == pytest.approx(model.log_marginal_likelihood_value_, abs=1e-9)
    slopes = [
        (model.log_marginal_likelihood(theta + e) - model.log_marginal_likelihood(theta - e)) / 2e-4
        for e in 1e-4 * np.eye(3)
    ]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-4)


def test_evidence_that_is_not_kept():
    model = GaussianProcessClassifier(n_inducing=5, max_iter=3).fit(X, LABELS)
    assert model.log_marginal_likelihood() == model.elbo_
    with pytest.raises(ValueError, match="training rows in an exact model"):
        model.log_marginal_likelihood(model.kernel_.theta)
    with pytest.raises(ValueError, match="theta!=None"):
        model.log_marginal_likelihood(eval_gradient=True)


# --- bounds ----------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"n_neighbors": 10}, {"max_iter": 2}])
def test_values_at_bounds_are_said_in_scikit_learns_words(settings):
    kernel = 1.0 * RBF([1.0, 1.0], [(1e-3, 1e-2), (1.0, 1e9)]) + WhiteKernel(0.1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        GaussianProcessRegressor(kernel, **settings).fit(np.hstack([X, X[::-1]]), Y)
    (said,) = (str(w.message) for w in caught)
    assert (
        "The optimal value found for dimension 0 of parameter k1__k2__length_scale is close to the "
        "specified upper bound 0.01. Increasing the bound and calling fit again may find a better "
        "value."
    ) in said


def test_more_rows_where_alpha_is_that_of_each():
    model = GaussianProcessRegressor(RBF(), alpha=NOISE, normalize_y=False, optimizer=None)
    part = model.set_params(alpha=NOISE[:20]).fit(X[:20], Y[:20])
    with pytest.raises(ValueError, match="say those of the rows here by noise_variance"):
        part.condition(X[20:], Y[20:])
    more = part.condition(X[20:], Y[20:], noise_variance=NOISE[20:])
    whole = clone(model).set_params(alpha=NOISE).fit(X, Y)
    for found, expected in zip(
        more.predict(NEW, return_std=True), whole.predict(NEW, return_std=True), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-7)
