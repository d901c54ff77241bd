"""A process that fits again and again does not grow: a service, a grid search, a notebook."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
from pathlib import Path

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF, Matern, WhiteKernel

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor

PROC = Path("/proc/self")
needs_proc = pytest.mark.skipif(not (PROC / "statm").exists(), reason="needs /proc/self/statm")


def memory():
    """Resident set, MiB, without what is free: skgpng lets glibc keep up to 64 MiB of that."""
    gc.collect()  # a cycle that waits for its collection is no leak
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
    return int((PROC / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def descriptors():
    return len(os.listdir(PROC / "fd"))


def regressor(**settings):
    return GaussianProcessRegressor(max_iter=15, random_state=0, **settings)


def classifier(**settings):
    return GaussianProcessClassifier(max_iter=15, random_state=0, **settings)


# The values of a kernel are data of a compiled loop, its form is not: one fit in turn compiles
# nothing that an earlier one has compiled.
ESTIMATORS = [
    lambda rng: regressor(n_inducing=None),
    lambda rng: regressor(kernel=rng.uniform(0.5, 2) * RBF(rng.uniform(0.5, 2)) + WhiteKernel(0.1)),
    lambda rng: regressor(n_inducing=int(rng.randint(5, 30))),
    lambda rng: regressor(n_inducing=10, batch_size=32, learning_rate=rng.uniform(0.01, 0.1)),
    lambda rng: regressor(likelihood="student_t"),
    lambda rng: classifier(n_inducing=None),
    lambda rng: classifier(n_inducing=int(rng.randint(5, 30)), kernel=Matern(rng.uniform(0.5, 2))),
    lambda rng: classifier(),  # of three classes
]


def sizes(k, rng):
    """Rows, columns and new rows; to begin with the largest."""
    if k < len(ESTIMATORS):
        return 200, 5, 500
    return rng.randint(40, 201), rng.randint(1, 6), rng.randint(1, 501)


def fit_and_predict(k, rng):
    """The k-th model in turn, on data of a size of its own."""
    kind, (N, D, N_new) = k % len(ESTIMATORS), sizes(k, rng)
    X, Xnew = rng.randn(N, D), rng.randn(N_new, D)
    y = X.sum(1) + 0.1 * rng.randn(N)
    model = ESTIMATORS[kind](rng)
    if hasattr(model, "predict_proba"):
        model.fit(X, np.digitize(y, [0] if kind < 7 else [-0.5, 0.5])).predict_proba(Xnew)
    else:
        model.fit(X, y).predict(Xnew, return_std=True)
        model.predict_quantiles(Xnew)
        model.sample_y(Xnew[:20], random_state=0)


def watch(n_fits):
    """Memory, open files and Python objects after each round of all models, [rounds, 3]."""
    rng, seen = np.random.RandomState(0), []
    for k in range(n_fits):
        fit_and_predict(k, rng)
        if k % len(ESTIMATORS) == len(ESTIMATORS) - 1:
            seen.append((memory(), descriptors(), len(gc.get_objects())))
    return np.array(seen)


# Rounds of 8 fits. The warm-up compiles every loop (100 MiB on top of TensorFlow's 700) and lets
# the allocator find its shape. After it memory in use moves by 1 MiB from fit 24 to 64 and by 4
# from fit 24 to 504; the allowance is for a process that has run other tests. A leak of one
# 200 x 200 matrix a fit would be 12 MiB and 122 MiB. Files and objects are counts, and exact: they
# may not grow by one a fit.
@needs_proc
@pytest.mark.parametrize(
    "n_fits, warm_up, mebibytes",
    [(64, 3, 10.0), pytest.param(504, 13, 10.0, marks=pytest.mark.slow)],
)
def test_nothing_grows_with_the_number_of_fits(n_fits, warm_up, mebibytes):
    seen = watch(n_fits)
    memory, files, objects = (seen[-1] - seen[warm_up - 1]).tolist()
    figures = f"{memory:.1f} MiB, {files:.0f} files, {objects:.0f} objects more"
    print(figures)
    assert memory < mebibytes, figures
    assert files <= 0, figures
    assert objects < n_fits - 8 * warm_up, figures
