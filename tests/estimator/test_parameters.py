"""Every public parameter: what is refused, what the message says, what is accepted."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor as ScikitLearns
from sklearn.gaussian_process.kernels import (
    RBF,
    CompoundKernel,
    ConstantKernel,
    DotProduct,
    Exponentiation,
    ExpSineSquared,
    Matern,
    PairwiseKernel,
    Product,
    RationalQuadratic,
    Sum,
    WhiteKernel,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor, kernels
from skgpng._estimator import placing
from skgpng._training import stages
from skgpng.kernels.formula import FORMULAS
from skgpng.likelihoods import Bernoulli, Logit, Poisson

NAN, INF, INT32 = np.nan, np.inf, 2**31 - 1


def one_of(*options):
    """Pattern for all of these, in any order: sets are printed as they come."""
    return "".join(f"(?=.*'{option}')" for option in options)


BOOLEAN = (["yes", 2, -1, None, NAN], "'bool'", [True, False, np.True_])

# name: (refused, what the message says of the range, accepted)
BOTH = {
    "kernel": (["rbf", 1.0, RBF, -1, NAN], "kernels.Kernel", [None, RBF(), 2.0 * RBF()]),
    "n_inducing": (
        [0, -1, 1.5, NAN, INF, "many", [5]],
        r"\[1, inf\).*'auto'",
        [None, "auto", 1, np.int8(1), 10**12],
    ),
    "inducing_init": (
        ["k-means", None, 0, NAN],
        one_of("greedy_variance", "kmeans", "random"),
        ["kmeans", "greedy_variance", "random"],
    ),
    "train_inducing": BOOLEAN,
    "optimizer": (
        ["l-bfgs", 0, NAN, [max]],
        one_of("adam", "auto", "fmin_l_bfgs_b", "lbfgs"),
        [None, "auto", "adam", "fmin_l_bfgs_b", "lbfgs", max],
    ),
    "gamma": (
        [0, -1, 1.1, NAN, INF, "scale", None],
        r"\(0.0, 1.0\].*'auto'",
        ["auto", 1, 1.0, 1e-300],
    ),
    "learning_rate": (
        [0, 0.0, -1, NAN, INF, "adaptive", None],
        r"\(0.0, inf\).*'auto'",
        ["auto", 1e-300, 1e300, 1],
    ),
    "batch_size": (
        [0, -1, 1.5, NAN, INF, "all"],
        r"\[1, inf\).*'auto'",
        [None, "auto", 1, 10**12],
    ),
    "max_iter": ([0, -1, 1.5, NAN, INF, "auto", None, 2**31], rf"\[1, {INT32}\]", [1, INT32]),
    "tol": ([-1, -1e-300, NAN, INF, "auto", None], r"\[0.0, inf\)", [0, 0.0, 1e300]),
    "n_iter_no_change": ([0, -1, 1.5, NAN, INF, "5", None], rf"\[1, {INT32}\]", [1, INT32]),
    "early_stopping": BOOLEAN,
    "validation_fraction": (
        [0, 0.0, 1, 1.0, -1, NAN, INF, "0.1", None],
        r"\(0.0, 1.0\)",
        [1e-300, 0.999],
    ),
    "n_restarts_optimizer": ([-1, 1.5, NAN, INF, "2", None], r"\[0, inf\)", [0, 10**6]),
    "warm_start": BOOLEAN,
    "jitter": ([0, 0.0, -1, NAN, INF, "auto", None], r"\(0.0, inf\)", [1e-300, 1e300, 1]),
    "device": (
        [0, NAN, ["cpu"], "cuda", "", "cpu:x", "cpu:99"],
        "'str'|is no name of a device|is not there",
        [None, "cpu", "CPU:0", "/device:CPU:0"],
    ),
    "dtype": (
        ["float16", np.float64, None, 64],
        one_of("auto", "float32", "float64"),
        ["auto", "float64", "float32"],
    ),
    "verbose": ([-1, 1.5, NAN, INF, "yes", None], r"\[0, inf\)", [0, True, 3]),
    "random_state": (
        [-1, 1.5, NAN, INF, 2**32, "seed", np.random.default_rng(0)],
        r"\[0, 4294967295\]",
        [None, 0, 2**32 - 1, np.random.RandomState(0)],
    ),
    "copy_X_train": BOOLEAN,
    "priors": (
        ["weak", 1, NAN, [("kernel", 1.0)], *({"kernel__k2__length_scale": v} for v in (1.0, "a"))],
        r"'dict'|must be a distribution with log_prob",
        [None, {}],
    ),
}
MEANS = one_of("constant", "linear", "zero")
REGRESSOR = {
    **BOTH,
    "likelihood": (
        ["binomial", None, 0, NAN, Poisson],
        one_of(
            "gaussian",
            "negative_binomial",
            "ordinal",
            "poisson",
            "student_t",
            "zero_inflated_poisson",
        ),
        ["gaussian", "student_t", "poisson", "negative_binomial", "ordinal", Poisson()],
    ),
    "alpha": (
        [-1, -1e-300, NAN, INF, "auto", np.full(12, -0.1), np.full(11, 0.1), [NAN], [[0.1, 1.0]]],
        r"\[0.0, inf\)|finite, non-negative|same number of entries as y",
        [None, 0, 1e-300, 1e300, [0.1], np.full(12, 0.1)],
    ),
    "n_neighbors": (
        [-1, 1.5, NAN, INF, "many", [5]],
        r"\[0, inf\).*'auto'",
        [None, "auto", 0, 1, np.int8(3), True, 10**12],
    ),
    "local_scale": BOOLEAN,
    "mean": (
        ["linear_", 0, NAN, Ridge, LogisticRegression(), StandardScaler()],
        rf"{MEANS}|must be a regressor",
        [None, "zero", "constant", "linear", Ridge()],
    ),
    "normalize_y": BOOLEAN,
    "n_targets": ([0, -1, 1.5, NAN, INF, "2"], r"\[1, inf\)", [None, 1, 10**6]),
}
CLASSIFIER = {
    **BOTH,
    "likelihood": (
        ["gaussian", None, 0, NAN, Logit, Poisson()],
        one_of("auto", "logit", "probit", "robust_max", "softmax"),
        ["auto", "logit", "probit", "robust_max", "softmax", Bernoulli()],
    ),
    "epsilon": (
        [-1, -1e-300, 0.5, 1, NAN, INF, "learn", [0.1]],
        r"\[0.0, 0.5\).*'auto'",
        ["auto", None, 0, 1e-300, 0.499],
    ),
    "mean": (
        ["linear_", 0, NAN, Ridge, LogisticRegression(), Ridge()],
        MEANS,
        [None, "zero", "constant", "linear"],
    ),
    "shared_kernel": BOOLEAN,
    "multi_class": (
        ["ovr", None, 1, NAN],
        one_of("one_vs_one", "one_vs_rest"),
        ["one_vs_one", "one_vs_rest"],
    ),
    "max_iter_predict": ([0, -1, 1.5, NAN, "100", None], r"\[1, inf\)", [1, 10**6]),
    "n_jobs": ([1.5, NAN, "all", [2]], "'int'|Integral", [None, -1, 2]),
    "class_weight": (
        # the balanced weights are not known before the labels, so a dict is looked at in fit
        ["even", -1, NAN, INF, [1.0, 2.0], *({0: v} for v in (0, -1.0, NAN, INF, "2", None))],
        "'balanced'|positive|numbers",
        [None, "balanced", {}, {0: 1e-300, 1: 1e15}],
    ),
}
TABLES = {GaussianProcessRegressor: REGRESSOR, GaussianProcessClassifier: CLASSIFIER}
REFUSED = [
    (cls, name, value, entry[1])
    for cls, table in TABLES.items()
    for name, entry in table.items()
    for value in entry[0]
]
ACCEPTED = [
    (cls, name, value)
    for cls, table in TABLES.items()
    for name, entry in table.items()
    for value in entry[2]
]

X = np.linspace(-2.0, 2.0, 12)[:, None]
Y = {
    GaussianProcessRegressor: np.sin(X[:, 0]),
    GaussianProcessClassifier: (X[:, 0] + 0.1 * np.cos(9 * X[:, 0]) > 0).astype(int),
}


def raising(error):
    """A function that raises this, whatever it is called with."""

    def function(*args, **kwargs):
        raise error

    return function


@pytest.fixture
def no_training(monkeypatch):
    """Whatever gets as far as training fails."""
    began = AssertionError("training began before the parameters were checked")
    monkeypatch.setattr(stages, "train", raising(began))


@pytest.mark.parametrize("cls", TABLES)
def test_every_parameter_has_an_entry(cls):
    assert set(TABLES[cls]) == set(cls().get_params(deep=False))


@pytest.mark.parametrize("cls, name, value, says", REFUSED)
def test_refused_with_its_name_and_range_before_any_work(cls, name, value, says, no_training):
    with pytest.raises(ValueError, match=rf"(?s){name}.*({says})") as error:
        cls(**{name: value}).fit(X, Y[cls])
    assert not isinstance(value, (int, float, str)) or repr(value) in str(error.value)


@pytest.mark.parametrize("cls, name, value, says", REFUSED[::7])
def test_refused_by_partial_fit_too(cls, name, value, says, no_training):
    settings = {"n_inducing": 5, name: value}
    given = {"classes": [0, 1]} if cls is GaussianProcessClassifier else {}
    with pytest.raises(ValueError, match=rf"(?s){name}.*({says})"):
        cls(**settings).partial_fit(X, Y[cls], **given)


@pytest.mark.parametrize("cls, name, value", ACCEPTED)
def test_extremes_are_accepted(cls, name, value):
    cls(**{name: value})._validate_params()


@pytest.mark.parametrize(
    "settings",
    [
        {"tol": 1e300},
        {"tol": 0.0, "max_iter": 3},
        {"n_iter_no_change": INT32, "max_iter": 3},
        {"max_iter": INT32, "n_inducing": 4},
        {"n_iter_no_change": INT32, "max_iter": 3, "n_inducing": 4, "batch_size": 1},
        {"n_inducing": 10**12, "batch_size": 10**12, "max_iter": 3},
        {"gamma": 1e-300, "n_inducing": 4, "max_iter": 3},
        {"learning_rate": 1e-300, "n_inducing": 4, "max_iter": 3},
        {"jitter": 1e-300, "n_inducing": 2, "max_iter": 3},
        {"jitter": 1e6, "n_inducing": 4, "max_iter": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("cls", TABLES)
def test_extremes_fit(cls, settings):
    model = cls(random_state=0, **settings).fit(X, Y[cls])
    assert np.isfinite(model.predict(X)).all() and np.isfinite(model.elbo_)


# --- parameters of fit -----------------------------------------------------------------------


@pytest.mark.parametrize("cls", TABLES)
@pytest.mark.parametrize(
    "weight, says",
    [
        (-np.ones(12), "Negative values"),
        (np.full(12, NAN), "NaN"),
        (np.full(12, INF), "infinity"),
        (np.zeros(12), "at least one non-zero"),
        (np.ones(11), "sample_weight"),
        (np.full(12, 1e200), "sample_weight adds up to .*at most 1e\\+15"),
        (np.full(12, 1e308), "sample_weight adds up to inf"),
        (["a"] * 12, "could not convert|sample_weight"),
    ],
)
def test_weights_are_refused(cls, weight, says, no_training):
    with pytest.raises(ValueError, match=says):
        cls().fit(X, Y[cls], sample_weight=weight)


@pytest.mark.parametrize("noise", [-1.0, NAN, INF, 1e200])
def test_noise_variances_are_refused(noise, no_training):
    with pytest.raises(ValueError, match="noise_variance"):
        GaussianProcessRegressor().fit(X, X[:, 0], noise_variance=np.full(12, noise))


@pytest.mark.parametrize("cls", TABLES)
@pytest.mark.parametrize("value, says", [(NAN, "NaN"), (INF, "infinity"), (1e200, "overflow bey")])
def test_values_of_X_are_refused(cls, value, says, no_training):
    broken = X.copy()
    broken[3] = value
    with pytest.raises(ValueError, match=says):
        cls().fit(broken, Y[cls])


@pytest.mark.parametrize("value, says", [(NAN, "NaN"), (INF, "infinity"), (1e300, "1e\\+250")])
def test_values_of_y_are_refused(value, says, no_training):
    y = X[:, 0].copy()
    y[3] = value
    with pytest.raises(ValueError, match=says):
        GaussianProcessRegressor().fit(X, y)


@pytest.mark.parametrize("scale", [1e-160, 1e160])
def test_raw_y_out_of_range_is_refused(scale, no_training):
    with pytest.raises(ValueError, match="normalize_y=False.*Set normalize_y=True"):
        GaussianProcessRegressor(RBF(), normalize_y=False).fit(X, scale * X[:, 0])


@pytest.mark.parametrize("scale, alpha", [(1e200, 1.0), (1e-200, 1.0)])
def test_an_alpha_out_of_proportion_is_refused(scale, alpha, no_training):
    with pytest.raises(ValueError, match="alpha.*variance of y"):
        GaussianProcessRegressor(alpha=alpha).fit(X, scale * X[:, 0])


# --- parameters of kernels -------------------------------------------------------------------

VALUES = {
    ConstantKernel: ["constant_value"],
    RBF: ["length_scale"],
    Matern: ["length_scale"],
    RationalQuadratic: ["length_scale", "alpha"],
    ExpSineSquared: ["length_scale", "periodicity"],
    DotProduct: ["sigma_0"],
}
OF_KERNELS = [(cls, name) for cls, names in VALUES.items() for name in names]
BAD_BOUNDS = [
    (2.0, 1.0),  # reversed
    (-1.0, 1.0),
    (-2.0, -1.0),
    (0.0, 0.0),
    (NAN, 1.0),
    (1.0, NAN),
    (INF, INF),
    "free",
    "Fixed",
    None,
    1.0,
    (1.0,),
    (1.0, 2.0, 3.0),
    [(1.0, 2.0), (1.0, 2.0), (1.0, 2.0)],
    ("a", "b"),
]


def test_every_kernel_with_a_formula_has_an_entry():
    leaves = {cls: kernels.parse(cls()).names for cls in VALUES}
    assert FORMULAS.keys() - leaves.keys() == {Sum, Product, Exponentiation}
    assert all(set(names) == set(leaves[cls]) for cls, names in VALUES.items())


@pytest.mark.parametrize("value", [-1.0, 0.0, NAN, INF, "1", None, [[1.0]], 1j], ids=repr)
@pytest.mark.parametrize("cls, name", OF_KERNELS)
def test_values_of_kernels_are_refused(cls, name, value):
    with pytest.raises(ValueError, match=f"'k2__{name}' must be positive and finite"):
        kernels.parse(2.0 * RBF() + cls(**{name: value}))


@pytest.mark.parametrize("bounds", BAD_BOUNDS, ids=repr)
@pytest.mark.parametrize("cls, name", OF_KERNELS)
def test_bounds_of_kernels_are_refused(cls, name, bounds):
    with pytest.raises(ValueError, match=f"'k2__{name}_bounds' must be .*0 <= low <= high"):
        kernels.parse(2.0 * RBF() + cls(**{f"{name}_bounds": bounds}))


@pytest.mark.parametrize("bounds", [*BAD_BOUNDS, "values"], ids=repr)
def test_a_white_kernel_is_looked_at_too(bounds):
    white = WhiteKernel(-1.0) if bounds == "values" else WhiteKernel(1.0, bounds)
    with pytest.raises(ValueError, match="'k2__noise_level(_bounds)?' must be"):
        kernels.parse(RBF() + white)


def test_kernels_are_refused_by_fit(no_training):
    for kernel in (RBF(-1.0), RBF(1.0, (2.0, 1.0)), Matern(nu=-2.0)):
        for cls in TABLES:
            with pytest.raises(ValueError, match="must be"):
                cls(2.0 * kernel).fit(X, Y[cls])


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (1e-300, INF), (1.0, 1.0), [(0.5, 2.0)], "fixed"])
def test_extreme_bounds_fit(bounds):
    kernel = ConstantKernel(1.0, bounds) * RBF(1.0, bounds) + WhiteKernel(1.0, bounds)
    model = GaussianProcessRegressor(kernel, n_inducing=5, max_iter=5).fit(X, X[:, 0])
    assert np.isfinite(model.predict(X)).all()
    if bounds == (1.0, 1.0):
        assert model.kernel_.theta == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("cls, name", OF_KERNELS)
def test_a_value_fixed_at_zero_needs_a_meaning(cls, name):
    kernel = cls(**{name: 0.0, f"{name}_bounds": "fixed"})
    if cls in (ConstantKernel, DotProduct):
        assert kernels.parse(kernel).values[0] == 0.0
    else:
        with pytest.raises(ValueError, match=f"'{name}' must be positive and finite"):
            kernels.parse(kernel)


@pytest.mark.parametrize("exponent", [-1, 0, NAN, INF, "2", None, 1j])
def test_exponents_are_refused(exponent):
    with pytest.raises(ValueError, match="parameter 'k2': exponent must be positive and finite"):
        kernels.parse(RBF() + Exponentiation(DotProduct(), exponent))


@pytest.mark.parametrize("nu", [0.0, -1.0, NAN, "2.5", None])
def test_nu_is_refused_with_its_path(nu):
    with pytest.raises(ValueError, match="'k1__k2': Matern.*nu must be positive"):
        kernels.parse(2.0 * Matern(nu=nu) + RBF())


@pytest.mark.parametrize(
    "kernel, error, says",
    [
        (RBF() + 2.0 * PairwiseKernel(-1.0), ValueError, "'k2__k2__gamma' must be positive"),
        (RBF() + PairwiseKernel(1.0, 0.0) ** 2, ValueError, "'k2__kernel__gamma_bounds' must be"),
        (CompoundKernel([RBF(), 2.0 * RBF(-1.0)]), ValueError, "'1__k2__length_scale' must be"),
        (CompoundKernel([RBF(), Matern(nu=-2)]), ValueError, "'1': Matern"),
        (CompoundKernel([RBF(), WhiteKernel()]), ValueError, "'1' is noise only"),
        (CompoundKernel([RBF(), CompoundKernel([RBF()])]), TypeError, "'1' is a CompoundKernel"),
        (CompoundKernel([]), ValueError, "CompoundKernel of no kernels"),
    ],
    ids=lambda p: getattr(p, "__name__", type(p).__name__),
)
def test_what_is_nested_is_named_with_its_path(kernel, error, says):
    with pytest.raises(error, match=says):
        kernels.parse(kernel)


def test_length_scales_of_another_number_are_named(no_training):
    with pytest.raises(ValueError, match="'k2__length_scale' has 2 values, but X has 1 features"):
        GaussianProcessRegressor(2.0 * RBF([1.0, 2.0])).fit(X, X[:, 0])


@pytest.mark.parametrize("bounds", [(1e-5, 1e5), [(1e-5, 1e5)], "fixed"])
def test_a_list_of_one_length_scale_is_a_number_as_in_scikit_learn(bounds):
    rows = np.random.RandomState(0).uniform(0, 3, (30, 2))
    y = np.sin(rows.sum(1))
    settings = {"alpha": 0.01, "normalize_y": False}
    one = GaussianProcessRegressor(1.0 * RBF([1.0], bounds), tol=1e-8, **settings).fit(rows, y)
    theirs = ScikitLearns(1.0 * RBF([1.0], bounds), alpha=0.01).fit(rows, y)
    assert np.ndim(one.kernel_.k2.length_scale) == 0
    np.testing.assert_allclose(one.kernel_.theta, theirs.kernel_.theta, atol=0.01)
    np.testing.assert_allclose(one.predict(rows), theirs.predict(rows), atol=1e-3)


# --- a second fit that fails -----------------------------------------------------------------


def fitted_state(model):
    given = model.get_params(deep=False)
    return {name: value for name, value in vars(model).items() if name not in given}


# name: (settings, arguments, what the message says)
FAILURES = {
    "parameter": ({"max_iter": 0}, {}, "max_iter"),
    "NaN": ({}, {"X": np.full((12, 1), NAN)}, "NaN"),
    "huge X": ({}, {"X": np.full((12, 1), 1e200)}, "overflow"),
    "axes": ({}, {"X": np.ones((12, 3, 1))}, "dim 3"),
    "lengths": ({}, {"X": np.ones((5, 1))}, "inconsistent numbers"),
    "y": ({}, {"y": np.full(12, NAN)}, "NaN"),
    "weights": ({}, {"sample_weight": np.zeros(12)}, "zero"),
    "training": ({}, {}, "broken"),
    "Ctrl-C": ({}, {}, None),
}
FAILURES_OF_FIT = {
    "kernel": ({"kernel": RBF() * WhiteKernel()}, {}, "WhiteKernel"),
    "bounds": ({"kernel": RBF(1.0, (2.0, 1.0))}, {}, "length_scale_bounds"),
    "length scales": ({"kernel": RBF([1.0, 1.0, 1.0])}, {}, "3 values"),
    "draws": ({"n_restarts_optimizer": 1, "kernel": RBF(1.0, (1.0, INF))}, {}, "all bounds"),
    "early stopping": ({"early_stopping": True, "validation_fraction": 0.01}, {}, "hold out"),
    "memory": ({"n_inducing": None}, {}, "too large"),
}
CASES = [(f, again) for f in FAILURES for again in ("fit", "partial_fit")]
CASES += [(f, "fit") for f in FAILURES_OF_FIT]


@pytest.mark.parametrize("failure, again", CASES)
@pytest.mark.parametrize("cls", TABLES)
def test_a_failed_second_fit_leaves_the_first_whole(cls, failure, again, monkeypatch):
    model = cls(n_inducing=4, max_iter=3, random_state=0).fit(X, Y[cls])
    before, predictions = fitted_state(model), model.predict(X)
    settings, given, says = {**FAILURES, **FAILURES_OF_FIT}[failure]
    # rows of another number of columns, where fit may have them
    arguments = {"X": np.hstack([X, X]) if again == "fit" else X, "y": Y[cls], **given}
    if failure == "early stopping" and cls is GaussianProcessRegressor:
        arguments = {name: rows[:1] for name, rows in arguments.items()}
    if failure == "memory":
        monkeypatch.setattr(placing, "refuse_beyond", raising(ValueError("too large")))
    if failure in ("training", "Ctrl-C"):
        error = ValueError("broken") if failure == "training" else KeyboardInterrupt
        monkeypatch.setattr(stages, "train", raising(error))
    with pytest.raises((ValueError, KeyboardInterrupt), match=says):
        getattr(model.set_params(**settings), again)(**arguments)
    after = fitted_state(model)
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    np.testing.assert_array_equal(model.predict(X), predictions)
