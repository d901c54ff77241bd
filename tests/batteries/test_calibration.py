"""Are the probabilities true? On data drawn from the model itself they have to be.

A draw is a data set: a function from the prior, rows, noise. The estimator gets the kernel and
noise that were drawn from, held fixed, and is asked about rows held out. Held-out rows of one draw
share its function and are no independent observations: each draw counts as one, and what is
compared is the mean over draws, within 4 standard errors (one in 16,000 tests of a right model
fails, and the seeds are fixed).
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr, softmax
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor

LEVELS = np.array([0.5, 0.9, 0.95])
N_DRAWS, N_TRAIN, N_HELD_OUT = 100, 60, 60
NOISE, DF = 0.3, 4.0  # scale of the noise, and of Student-t noise the degrees of freedom


def fixed(kernel):
    """With hyperparameters that training leaves alone."""
    return ConstantKernel(2.0, "fixed") * kernel


KERNELS = {
    "rbf": fixed(RBF(1.0, "fixed")),
    "matern": fixed(Matern(0.7, "fixed", nu=1.5)),
}


def draw_functions(kernel, rng, L=1):
    """Rows [N, 2] and the values [N, L] of L functions from the prior."""
    N = N_TRAIN + N_HELD_OUT
    X = rng.uniform(-2, 2, (N, 2))
    return X, np.linalg.cholesky(kernel(X) + 1e-10 * np.eye(N)) @ rng.randn(N, L)


def noise(kind, rng, n):
    return NOISE * (rng.randn(n) if kind == "gaussian" else rng.standard_t(DF, n))


def covered(model, X, y):
    """Share of rows inside the central interval of each level, [3]."""
    low, high = (model.predict_quantiles(X, 0.5 + s * 0.5 * LEVELS) for s in (-1, 1))
    return np.mean((low <= y[:, None]) & (y[:, None] <= high), 0)


def coverages(model, kernel, kind="gaussian"):
    """Of each draw and level, [N_DRAWS, 3]."""
    result = []
    for seed in range(N_DRAWS):
        rng = np.random.RandomState(seed)
        X, F = draw_functions(kernel, rng)
        y = F[:, 0] + noise(kind, rng, len(X))
        model.set_params(kernel=kernel).fit(X[:N_TRAIN], y[:N_TRAIN])
        result.append(covered(model, X[N_TRAIN:], y[N_TRAIN:]))
    return np.array(result)


def standard_errors(observed, expected):
    """How far the mean over draws (first axis) is from what it should be."""
    error = observed.std(0, ddof=1) / np.sqrt(len(observed))
    return (observed.mean(0) - expected) / error


def known(**settings):
    """Knows the noise; y is in the units of the prior, so it is not scaled."""
    return GaussianProcessRegressor(
        alpha=NOISE**2, normalize_y=False, optimizer=None, random_state=0, **settings
    )


@pytest.mark.parametrize("name", KERNELS)
def test_intervals_of_exact_regression(name):
    off = standard_errors(coverages(known(n_inducing=None), KERNELS[name]), LEVELS)
    assert np.all(np.abs(off) < 4), off


# Enough for the function: 10 (rbf) or 30 (matern) of 60 rows are not, intervals are then too wide
# (0.59 and 0.53 instead of 0.5), which is the side on which a sparse approximation errs.
ENOUGH = {"rbf": 30, "matern": 45}


@pytest.mark.parametrize("name", KERNELS)
def test_intervals_of_sparse_regression(name):
    model = known(n_inducing=ENOUGH[name], inducing_init="greedy_variance", train_inducing=False)
    off = standard_errors(coverages(model, KERNELS[name]), LEVELS)
    assert np.all(np.abs(off) < 4), off


def test_too_few_inducing_points_make_wide_intervals():
    model = known(n_inducing=10, inducing_init="greedy_variance", train_inducing=False)
    assert np.all(standard_errors(coverages(model, KERNELS["rbf"]), LEVELS) > 3)


@pytest.mark.parametrize("name", KERNELS)
def test_intervals_of_student_t(name):
    """A Gaussian q is a little too narrow for this posterior: over 400 draws the intervals cover
    0.894 and 0.946 instead of 0.9 and 0.95, too little to be seen here.

    The model starts at the scale and the 4 degrees of freedom that the noise has, and stays there.
    """
    model = known(n_inducing=None, likelihood="student_t")
    off = standard_errors(coverages(model, KERNELS[name], "student_t"), LEVELS)
    assert model._predictor.values == (NOISE, DF)
    assert np.all(np.abs(off) < 4), off


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ["gaussian", "student_t"])
def test_learned_noise_makes_intervals_a_little_narrow(likelihood):
    """Scale and degrees of freedom are point estimates, from 60 rows here: what they leave out of
    the intervals is printed (pytest -s), and held to 0.04 (more would be a defect of training).
    """
    model = GaussianProcessRegressor(
        n_inducing=None, normalize_y=False, likelihood=likelihood, random_state=0
    )
    short = LEVELS - coverages(model, KERNELS["rbf"], likelihood).mean(0)
    print(f"{likelihood}: intervals of {LEVELS} cover {LEVELS - short}")
    assert np.all(short < 0.04), short


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_wrong_noise_is_seen(factor):
    """What these tests can tell apart."""
    model = known(n_inducing=None).set_params(alpha=(factor * NOISE) ** 2)
    off = standard_errors(coverages(model, KERNELS["rbf"]), LEVELS)
    assert np.all(off < -4 if factor < 1 else off > 4), off


# --- classification ----------------------------------------------------------------------------

BINS = np.linspace(0, 1, 6)
EPSILON = 1e-3  # the share of wrong labels that the classifier of two classes reckons with


def link(F):
    """Class probabilities [N, C] of latent values [N, L]: probit for one, softmax for more."""
    if F.shape[1] == 1:
        yes = EPSILON + (1 - 2 * EPSILON) * ndtr(F)
        return np.hstack([1 - yes, yes])
    return softmax(F, 1)


def draw_labels(kernel, rng, L):
    X, F = draw_functions(kernel, rng, L)
    below = np.cumsum(link(F), 1)[:, :-1]
    return X, (rng.rand(len(X), 1) > below).sum(1)


def excess(p, hits):
    """Hits beyond what was predicted, in each bin of predicted probability."""
    bins = np.clip(np.digitize(p, BINS) - 1, 0, len(BINS) - 2)
    return np.bincount(bins, hits - p, len(BINS) - 1)


def excesses(L, kernel, **settings):
    """Of each draw and bin, [N_DRAWS, 5]; of two classes the second, of more all of them."""
    model = GaussianProcessClassifier(kernel, optimizer=None, random_state=0, **settings)
    result = []
    for seed in range(N_DRAWS):
        X, y = draw_labels(kernel, np.random.RandomState(seed), L)
        p = model.fit(X[:N_TRAIN], y[:N_TRAIN]).predict_proba(X[N_TRAIN:])
        hits = y[N_TRAIN:, None] == model.classes_
        result.append(excess(p[:, -L:].ravel(), hits[:, -L:].ravel()))
    return np.array(result)


@pytest.mark.parametrize("L", [1, 3], ids=["two classes", "three classes"])
@pytest.mark.parametrize("name", KERNELS)
def test_probabilities_are_frequencies(name, L):
    off = standard_errors(excesses(L, KERNELS[name], n_inducing=None), 0.0)
    assert np.all(np.abs(off) < 4), off


def test_sparse_probabilities_are_frequencies():
    off = standard_errors(excesses(1, KERNELS["matern"], n_inducing=ENOUGH["matern"]), 0.0)
    assert np.all(np.abs(off) < 4), off


@pytest.mark.parametrize("variance, side", [(0.1, 1), (40.0, -1)], ids=["timid", "bold"])
def test_wrong_probabilities_are_seen(variance, side):
    """A prior of too little variance keeps probabilities too near to one half, one of too much
    takes them too far: the excess counted towards the class that is predicted."""
    kernel = KERNELS["matern"]
    wrong = GaussianProcessClassifier(
        kernel.clone_with_theta(kernel.theta).set_params(k1__constant_value=variance),
        optimizer=None,
        n_inducing=None,
    )
    towards = []
    for seed in range(N_DRAWS):
        X, y = draw_labels(kernel, np.random.RandomState(seed), 1)
        p = wrong.fit(X[:N_TRAIN], y[:N_TRAIN]).predict_proba(X[N_TRAIN:])[:, 1]
        towards.append([np.sum(np.sign(p - 0.5) * (y[N_TRAIN:] - p))])
    assert side * standard_errors(np.array(towards), 0.0)[0] > 4
