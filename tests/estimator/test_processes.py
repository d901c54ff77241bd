"""The estimators copied, written to disk and sent to other processes."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
from estimator.answers import answers, assert_equal_answers
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning, NotFittedError
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.model_selection import GridSearchCV

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor, __version__

ROOT = Path(__file__).resolve().parents[2]
# What would change the process under test if it came from the shell, or from TensorFlow here.
SETTINGS = ("OMP_NUM_THREADS", "TF_NUM_", "TF_CPP_", "PYTHONWARNINGS", "JOBLIB_", "LOKY_")

KERNEL = ConstantKernel(1.5) * RBF([1.0, 2.0])
# One of each way to train, with what is special about its target.
MODELS = {
    "exact": (GaussianProcessRegressor(KERNEL + WhiteKernel(0.1)), "y"),
    "collapsed": (GaussianProcessRegressor(KERNEL, n_inducing=8), "y"),
    "minibatches": (GaussianProcessRegressor(n_inducing=8, batch_size=20), "y"),
    "several targets": (GaussianProcessRegressor(KERNEL, n_inducing=8), "Y"),
    "outliers": (GaussianProcessRegressor(KERNEL, likelihood="student_t"), "y"),
    "counts": (GaussianProcessRegressor(KERNEL, n_inducing=8, likelihood="poisson"), "code"),
    "two classes": (GaussianProcessClassifier(KERNEL), "label"),
    "three classes": (GaussianProcessClassifier(KERNEL), "code"),
    "three classes, inducing": (GaussianProcessClassifier(n_inducing=8), "code"),
}
for estimator, _ in MODELS.values():
    estimator.set_params(max_iter=10, random_state=0)


def problem():
    rng = np.random.RandomState(0)
    X = rng.uniform(-3, 3, (60, 2))
    y = 5.0 + 2.0 * np.sin(X[:, 0]) + 0.1 * rng.randn(60)
    return X, {
        "y": y,
        "Y": np.column_stack([y, X[:, 1]]),
        "label": np.where(y > 5.0, "high", "low"),
        "code": np.digitize(y, [4.0, 6.0]),
    }


@pytest.fixture(scope="module")
def fitted():
    """Fitted model of each name, and the rows to predict at."""
    X, targets = problem()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        models = {name: clone(m).fit(X, targets[target]) for name, (m, target) in MODELS.items()}
    return models, np.random.RandomState(1).uniform(-3, 3, (25, 2))


def run(code, *arguments, **environment):
    """Run code in a fresh process; what it wrote to stdout and stderr."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(SETTINGS)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


# --- copies --------------------------------------------------------------------------------------


def by_joblib(model, folder, **settings):
    joblib.dump(model, folder / "model.joblib", compress=settings.pop("compress", 0))
    return joblib.load(folder / "model.joblib", **settings)


COPIES = {
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "pickle, protocol 2": lambda model, folder: pickle.loads(pickle.dumps(model, 2)),
    "joblib": by_joblib,
    "joblib, compressed": lambda model, folder: by_joblib(model, folder, compress=3),
    "joblib, memory-mapped": lambda model, folder: by_joblib(model, folder, mmap_mode="r"),
    "deepcopy": lambda model, folder: copy.deepcopy(model),
    "copy of a copy": lambda model, folder: pickle.loads(pickle.dumps(copy.copy(model))),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("how", COPIES)
def test_copy_predicts_the_same(fitted, tmp_path, how, name):
    models, X = fitted
    model = models[name]
    same = COPIES[how](model, tmp_path)
    assert same is not model and str(same.get_params()) == str(model.get_params())
    assert vars(same).keys() == vars(model).keys()
    assert_equal_answers(answers(same, X), answers(model, X))


@pytest.mark.parametrize("how", COPIES)
def test_copy_before_fit_fits_the_same(fitted, tmp_path, how):
    models, Xnew = fitted
    X, targets = problem()
    for name in ("collapsed", "two classes"):
        unfitted, target = MODELS[name]
        same = COPIES[how](unfitted, tmp_path)
        assert vars(same).keys() == same.get_params(deep=False).keys()
        assert_equal_answers(
            answers(same.fit(X, targets[target]), Xnew), answers(models[name], Xnew)
        )


@pytest.mark.parametrize("name", MODELS)
def test_clone_of_a_fitted_model_is_unfitted(fitted, name):
    models, X = fitted
    new = clone(models[name])
    assert vars(new).keys() == new.get_params(deep=False).keys()
    assert str(new.get_params()) == str(MODELS[name][0].get_params())  # not the learned kernel
    if isinstance(new, GaussianProcessClassifier):  # a regressor may predict from its prior
        with pytest.raises(NotFittedError):
            new.predict(X)


def test_fitting_a_copy_leaves_the_first_alone(fitted):
    models, Xnew = fitted
    X, targets = problem()
    model = models["exact"]
    before = answers(model, Xnew)
    for other in (copy.deepcopy(model), copy.copy(model), pickle.loads(pickle.dumps(model))):
        assert not np.allclose(other.fit(X, -targets["y"]).predict(Xnew), before[0])
    assert_equal_answers(answers(model, Xnew), before)


def test_models_travel_to_a_fresh_process(fitted, tmp_path):
    models, X = fitted
    joblib.dump((models, X), tmp_path / "models.joblib")
    out, err = run(
        """
        import sys, joblib
        sys.path.append("tests")
        models, X = joblib.load(sys.argv[1] + "/models.joblib")
        assert "tensorflow" not in sys.modules  # loading is quick
        from estimator.answers import answers
        out = {name: answers(model, X) for name, model in models.items()}
        joblib.dump(out, sys.argv[1] + "/out.joblib")
        """,
        tmp_path,
    )
    assert (out, err) == ("", "")
    for name, there in joblib.load(tmp_path / "out.joblib").items():
        assert_equal_answers(there, answers(models[name], X))


@pytest.mark.parametrize("change", ["of an earlier version", "without a version", "empty"])
def test_a_pickle_of_another_version_is_refused(fitted, change):
    models, _ = fitted
    state = models["exact"].__getstate__()
    if change == "of an earlier version":
        state["_skgpng_state"] -= 1
    else:
        state = {} if change == "empty" else {k: v for k, v in state.items() if "_skgpng" not in k}
    with pytest.raises(ValueError, match=f"pickled by skgpng .*skgpng {__version__} reads.*fit ag"):
        GaussianProcessRegressor().__setstate__(state)


@pytest.mark.parametrize("n_classes", [0, 3], ids=["regression", "three classes"])
def test_pickle_holds_one_matrix_for_each_latent_function_and_no_rows(n_classes):
    rng = np.random.RandomState(0)
    X = rng.randn(5000, 8)
    y = X[:, 0] + 0.1 * rng.randn(5000)
    settings = {"n_inducing": 150, "max_iter": 2, "random_state": 0}
    if n_classes:
        model = GaussianProcessClassifier(**settings).fit(X, np.digitize(y, [-0.5, 0.5]))
    else:
        model = GaussianProcessRegressor(batch_size=500, **settings).fit(X, y)
    blob = pickle.dumps(model)
    # k-means leaves a row that is a cluster of its own where it is
    alone = {point.tobytes() for point in model.inducing_points_}
    assert not any(row in blob for row in {row.tobytes() for row in X} - alone)
    # a matrix [M, M] for each latent function and the inducing points, a fifth more for the mean
    # and the like, and 64 KiB for settings, names of classes and the ELBO of each step
    numbers = max(n_classes, 1) * 150**2 + 150 * 8
    assert len(blob) <= 1.2 * 8 * numbers + 2**16


# --- processes -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def in_parallel():
    """What a search and a cross-validation give in one process, in several, in threads, on Dask."""
    # tol=1.0: training converges in a few steps, so that there is nothing to warn of
    out, err = run(
        """
        import json, os, warnings
        from importlib.util import find_spec
        import joblib, numpy as np
        from sklearn.gaussian_process.kernels import RBF, Matern
        from sklearn.model_selection import GridSearchCV, cross_val_score
        from skgpng import GaussianProcessClassifier, GaussianProcessRegressor

        rng = np.random.RandomState(0)
        X = rng.uniform(-3, 3, (60, 2))
        y = np.sin(X[:, 0]) + 0.1 * rng.randn(60)
        settings = {"tol": 1.0, "n_iter_no_change": 2, "random_state": 0}
        regressor = GaussianProcessRegressor(**settings)
        classifier = GaussianProcessClassifier(n_inducing=8, **settings)
        grid = {"kernel": [1.0 * RBF(), 1.0 * Matern(nu=1.5)], "alpha": [None, 0.1]}

        def threads(model, X, y):
            import tensorflow as tf
            return tf.config.threading.get_intra_op_parallelism_threads()

        def between(model, X, y):  # operations of all fits of the process
            import tensorflow as tf
            return tf.config.threading.get_inter_op_parallelism_threads()

        def own(model, X, y):
            from skgpng._runtime import allowed_threads
            return allowed_threads()

        def compiled(model, X, y):
            from skgpng._training import stages
            return stages.n_compiled()

        def results(n):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                scoring = {"threads": threads, "between": between, "own": own}
                scoring |= {"score": "r2", "compiled": compiled}
                search = GridSearchCV(
                    regressor, grid, cv=2, scoring=scoring, refit="score", n_jobs=n
                ).fit(X, y)
                wish = {"scoring": "neg_log_loss", "cv": 3, "n_jobs": n}
                loss = cross_val_score(classifier, X, y > 0, **wish)
            return {
                "scores": [*search.cv_results_["mean_test_score"], *search.predict(X[:5]), *loss],
                **{name: list(search.cv_results_[f"mean_test_{name}"]) for name in scoring},
                "warned": [str(w.message) for w in caught],
            }

        out = {"one": results(1)}
        with joblib.parallel_config("loky", inner_max_num_threads=2):
            out["loky"] = results(2)
        with joblib.parallel_config("threading"):
            out["threading"] = results(2)
        if find_spec("distributed"):
            from distributed import Client, LocalCluster
            del os.environ["OMP_NUM_THREADS"]  # else Dask's nanny leaves it as it is
            with (
                LocalCluster(1, threads_per_worker=2, dashboard_address=":0") as cluster,
                Client(cluster),
                joblib.parallel_config("dask"),
            ):
                out["dask"] = results(2)
        print(json.dumps(out))
        """,
        OMP_NUM_THREADS="3",
    )
    return json.loads(out), err


def dask_of(out):
    if "dask" not in out:
        pytest.skip("needs distributed")
    return out["dask"]


@pytest.mark.parametrize("backend", ["loky", "threading", "dask"])
def test_search_in_parallel_scores_as_in_one_process(in_parallel, backend):
    out, _ = in_parallel
    if backend == "dask":
        dask_of(out)
    assert len(out["one"]["scores"]) == 12 and np.all(np.isfinite(out["one"]["scores"]))
    # 1e-6: the number of threads in a process decides in which order products are summed
    np.testing.assert_allclose(out[backend]["scores"], out["one"]["scores"], rtol=1e-6)


def test_search_in_parallel_is_quiet(in_parallel):
    out, err = in_parallel
    assert err == ""
    assert not any(result["warned"] for result in out.values())


def test_workers_of_joblib_use_the_threads_they_are_given(in_parallel):
    out, _ = in_parallel
    # OMP_NUM_THREADS is 3 in the first process, and joblib makes it 2 in its workers
    assert set(out["one"]["threads"]) == set(out["threading"]["threads"]) == {3}
    assert set(out["loky"]["threads"]) == set(out["loky"]["between"]) == {2}


def test_tasks_of_a_dask_worker_use_a_thread_each(in_parallel):
    dask = dask_of(in_parallel[0])
    assert set(dask["threads"]) == set(dask["own"]) == {1}
    assert set(dask["between"]) == {2}  # two tasks side by side wait for no thread of the other


@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_a_worker_compiles_no_more_than_one_process(in_parallel, backend):
    out, _ = in_parallel
    if backend == "dask":
        dask_of(out)
    assert 1 <= max(out[backend]["compiled"]) <= max(out["one"]["compiled"])


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_settings_that_fit_refuses_get_the_error_score(n_jobs):
    X, targets = problem()
    grid = {"alpha": [0.1, -1.0], "n_inducing": [8]}
    search = GridSearchCV(GaussianProcessRegressor(tol=1.0), grid, cv=2, n_jobs=n_jobs)
    with pytest.warns(FitFailedWarning, match="2 fits failed out of a total of 4(.|\n)*alpha"):
        search.fit(X, targets["y"])
    good, bad = search.cv_results_["mean_test_score"]
    assert np.isfinite(good) and np.isnan(bad) and search.best_params_["alpha"] == 0.1
    search.set_params(error_score="raise")
    with pytest.raises(ValueError, match="alpha"):
        search.fit(X, targets["y"])
    assert np.isfinite(search.predict(X)).all()


def test_a_killed_worker_ends_the_search_and_nothing_else():
    out, err = run(
        """
        import json, os, signal, sys
        import numpy as np
        from joblib.externals.loky.process_executor import TerminatedWorkerError
        from sklearn.model_selection import GridSearchCV
        from skgpng import GaussianProcessRegressor

        rng = np.random.RandomState(0)
        X = rng.uniform(-3, 3, (40, 2))
        y = np.sin(X[:, 0]) + 0.1 * rng.randn(40)
        first = os.getpid()

        def killed(model, X, y):
            if os.getpid() != first:
                os.kill(os.getpid(), signal.SIGKILL)
            return 0.0

        model = GaussianProcessRegressor(tol=1.0, random_state=0)
        search = GridSearchCV(model, {"alpha": [0.1, 1.0]}, cv=2, n_jobs=2).fit(X, y)
        before = search.predict(X)
        try:
            search.set_params(scoring=killed).fit(X, y)
        except TerminatedWorkerError:
            print(json.dumps(np.array_equal(search.predict(X), before)))
        again = search.set_params(scoring=None).fit(X, y).predict(X)
        print(json.dumps(np.allclose(again, before, rtol=1e-6, atol=1e-9)))
        """
    )
    assert out.split() == ["true", "true"] and err == ""
