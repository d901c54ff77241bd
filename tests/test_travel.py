"""The estimators copied, written to disk, sent to other processes and shared between threads."""

from __future__ import annotations

import copy
import json
import os
import pickle
import platform
import subprocess
import sys
import textwrap
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning, NotFittedError
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.model_selection import GridSearchCV

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor, _tensorflow

ROOT = Path(__file__).resolve().parent.parent
# What would change the process under test if it came from the shell, or from TensorFlow here.
SETTINGS = ("OMP_NUM_THREADS", "TF_NUM_", "TF_CPP_", "PYTHONWARNINGS", "JOBLIB_", "LOKY_")

KERNEL = ConstantKernel(1.5) * RBF([1.0, 2.0])
# One of each way to train, with what is special about its target.
MODELS = {
    "exact": (GaussianProcessRegressor(KERNEL + WhiteKernel(0.1)), "y"),
    "collapsed": (GaussianProcessRegressor(KERNEL, n_inducing=8), "y"),
    "minibatches": (GaussianProcessRegressor(n_inducing=8, batch_size=20), "y"),
    "several targets": (GaussianProcessRegressor(n_inducing=8), "Y"),
    "two classes": (GaussianProcessClassifier(KERNEL), "label"),
    "three classes": (GaussianProcessClassifier(), "code"),
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


def answers(model, X):
    """Every prediction the model gives."""
    if isinstance(model, GaussianProcessRegressor):
        return [*model.predict(X, return_std=True), model.sample_y(X, 2)]
    return [model.predict_proba(X), model.decision_function(X), model.predict(X)]


def assert_equal(a, b):
    for left, right in zip(a, b, strict=True):
        np.testing.assert_array_equal(left, right)


def run(code, *arguments, **environment):
    """Run code in a fresh process; what it wrote to stdout and stderr."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(SETTINGS)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=300,
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
    assert_equal(answers(same, X), answers(model, X))


@pytest.mark.parametrize("how", COPIES)
def test_copy_before_fit_fits_the_same(fitted, tmp_path, how):
    models, Xnew = fitted
    X, targets = problem()
    for name in ("collapsed", "two classes"):
        unfitted, target = MODELS[name]
        same = COPIES[how](unfitted, tmp_path)
        assert vars(same).keys() == same.get_params(deep=False).keys()
        assert_equal(answers(same.fit(X, targets[target]), Xnew), answers(models[name], Xnew))


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
    assert_equal(answers(model, Xnew), before)


def test_models_travel_to_a_fresh_process(fitted, tmp_path):
    models, X = fitted
    joblib.dump((models, X), tmp_path / "models.joblib")
    out, err = run(
        """
        import sys, joblib
        models, X = joblib.load(sys.argv[1] + "/models.joblib")
        assert "tensorflow" not in sys.modules  # loading is quick
        out = {}
        for name, model in models.items():
            out[name] = [model.predict(X)]
            if hasattr(model, "predict_proba"):
                out[name].append(model.predict_proba(X))
            else:
                out[name] += model.predict(X, return_cov=True)
        joblib.dump(out, sys.argv[1] + "/out.joblib")
        """,
        tmp_path,
    )
    assert (out, err) == ("", "")
    for name, (prediction, *rest) in joblib.load(tmp_path / "out.joblib").items():
        model = models[name]
        if isinstance(model, GaussianProcessClassifier):
            np.testing.assert_array_equal(prediction, model.predict(X))
            expected = [model.predict_proba(X)]
        else:
            # sums of 60 products in float64
            np.testing.assert_allclose(prediction, model.predict(X), rtol=1e-12)
            expected = model.predict(X, return_cov=True)
        for there, here in zip(rest, expected, strict=True):
            np.testing.assert_allclose(there, here, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("n_inducing", "n_features"), [(50, 2), (150, 8)])
@pytest.mark.parametrize("kind", ["regression", "minibatches", "two classes", "three classes"])
def test_pickle_holds_one_matrix_for_each_latent_function_and_no_rows(kind, n_inducing, n_features):
    rng = np.random.RandomState(0)
    X = rng.randn(5000, n_features)
    y = X[:, 0] + 0.1 * rng.randn(5000)
    settings = {"n_inducing": n_inducing, "max_iter": 2, "random_state": 0}
    if kind in ("regression", "minibatches"):
        batch_size = 500 if kind == "minibatches" else None
        model = GaussianProcessRegressor(batch_size=batch_size, **settings).fit(X, y)
    else:
        y = np.digitize(y, [0.0] if kind == "two classes" else [-0.5, 0.5])
        model = GaussianProcessClassifier(batch_size=500, **settings).fit(X, y)
    n_latent = 3 if kind == "three classes" else 1
    blob = pickle.dumps(model)
    # k-means leaves a row that is a cluster of its own where it is
    alone = {point.tobytes() for point in model.inducing_points_}
    assert not any(row in blob for row in {row.tobytes() for row in X} - alone)
    # a matrix [M, M] for each latent function and the inducing points, a fifth more for the mean
    # and the like, and 64 KiB for settings, names of classes and the ELBO of each step
    numbers = n_latent * n_inducing**2 + n_inducing * n_features
    assert len(blob) <= 1.2 * 8 * numbers + 2**16


# --- processes -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def in_parallel():
    """What a search and a cross-validation give in one process, in several, and in threads."""
    # tol=1.0: training converges in a few steps, so that there is nothing to warn of
    out, err = run(
        """
        import json, warnings
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

        def results(n):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                scoring = {"score": "r2", "threads": threads}
                search = GridSearchCV(
                    regressor, grid, cv=2, scoring=scoring, refit="score", n_jobs=n
                ).fit(X, y)
                wish = {"scoring": "neg_log_loss", "cv": 3, "n_jobs": n}
                loss = cross_val_score(classifier, X, y > 0, **wish)
            return {
                "scores": [*search.cv_results_["mean_test_score"], *search.predict(X[:5]), *loss],
                "threads": list(search.cv_results_["mean_test_threads"]),
                "warned": [str(w.message) for w in caught],
            }

        out = {"one": results(1)}
        with joblib.parallel_config("loky", inner_max_num_threads=2):
            out["loky"] = results(2)
        with joblib.parallel_config("threading"):
            out["threading"] = results(2)
        print(json.dumps(out))
        """,
        OMP_NUM_THREADS="3",
    )
    return json.loads(out), err


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_search_in_parallel_scores_as_in_one_process(in_parallel, backend):
    out, _ = in_parallel
    assert len(out["one"]["scores"]) == 12 and np.all(np.isfinite(out["one"]["scores"]))
    # 1e-6: the number of threads in a process decides in which order products are summed
    np.testing.assert_allclose(out[backend]["scores"], out["one"]["scores"], rtol=1e-6)


def test_search_in_parallel_is_quiet(in_parallel):
    out, err = in_parallel
    assert err == "" and {name: result["warned"] for name, result in out.items()} == {
        "one": [],
        "loky": [],
        "threading": [],
    }


def test_workers_of_joblib_use_the_threads_they_are_given(in_parallel):
    out, _ = in_parallel
    # OMP_NUM_THREADS is 3 in the first process, and joblib makes it 2 in its workers
    assert set(out["one"]["threads"]) == set(out["threading"]["threads"]) == {3}
    assert set(out["loky"]["threads"]) == {2}


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


# --- threads -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_threads_share_a_fitted_model(fitted, name):
    models, X = fitted
    model = models[name]
    parts = [X[k:] for k in range(8)]
    expected = [answers(model, part) for part in parts]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            for got, want in zip(
                pool.map(lambda part: answers(model, part), parts), expected, strict=True
            ):
                assert_equal(got, want)


def test_threads_fit_models_of_their_own(fitted):
    models, Xnew = fitted
    X, targets = problem()

    def fit(name):
        model, target = MODELS[name]
        return answers(clone(model).fit(X, targets[target]), Xnew)

    names = [*MODELS] * 2
    with ThreadPoolExecutor(4) as pool:
        for name, got in zip(names, pool.map(fit, names), strict=True):
            assert_equal(got, answers(models[name], Xnew))


FIRST_USE = """
    import os, sys, threading, warnings
    import numpy as np
    from sklearn.base import clone
    from skgpng import GaussianProcessClassifier, GaussianProcessRegressor

    warnings.simplefilter("ignore")  # of three steps that are not enough
    n = 12
    X = np.random.RandomState(0).uniform(-3, 3, (40, 2))
    settings = {"n_inducing": 6, "max_iter": 3, "random_state": 0}
    models = [GaussianProcessRegressor(**settings), GaussianProcessClassifier(**settings)]
    before = os.fstat(2), len(os.listdir("/dev/fd"))
    out, together = [[None] * n for _ in models], threading.Barrier(n)

    def work(k):
        for model, results in zip(models, out):
            together.wait()
            results[k] = clone(model).fit(X, X[:, 0] > 0).predict(X)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for first, *others in out:
        assert first is not None and all(np.array_equal(first, other) for other in others)
    after = os.fstat(2), len(os.listdir("/dev/fd"))
    assert os.path.samestat(before[0], after[0]), "stderr leads elsewhere"
    assert after[1] <= before[1] + 1, "descriptors are left open"  # one is TensorFlow's own
    sys.stderr.write("still here")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="counts descriptors in /dev/fd")
def test_first_use_in_many_threads_keeps_stderr_and_says_nothing():
    _, err = run(FIRST_USE)
    assert err.endswith("still here")
    # TensorFlow takes it for a mistake when five calls wait for the compilation of one function
    assert err == "still here"


@pytest.mark.parametrize("console", [True, False])
def test_stderr_is_silent_and_comes_back(capfd, monkeypatch, console):
    if not console:  # as with pythonw and in some services
        monkeypatch.setattr(sys, "stderr", None)
    for error in (None, ImportError("no module")):
        try:
            with _tensorflow._silent_stderr():
                os.write(2, b"noise")
                if error is not None:
                    raise error
        except ImportError as caught:
            assert caught is error
        os.write(2, b"kept")
        assert capfd.readouterr().err == "kept"


def test_closed_stderr_is_left_alone(monkeypatch):
    def closed(descriptor):
        raise OSError("Bad file descriptor")

    monkeypatch.setattr(os, "dup", closed)
    before = os.fstat(2)
    with _tensorflow._silent_stderr():
        assert os.path.samestat(before, os.fstat(2))


# --- threads of TensorFlow -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, {}),
        ({"OMP_NUM_THREADS": "2"}, {"intra": 2, "inter": 2}),
        ({"OMP_NUM_THREADS": " 3,1"}, {"intra": 3, "inter": 3}),  # threads of each nesting level
        ({"OMP_NUM_THREADS": ""}, {}),
        ({"OMP_NUM_THREADS": "0"}, {}),
        ({"OMP_NUM_THREADS": "-2"}, {}),
        ({"OMP_NUM_THREADS": "many"}, {}),
        ({"OMP_NUM_THREADS": "2", "TF_NUM_INTRAOP_THREADS": "4"}, {"inter": 2}),
        ({"OMP_NUM_THREADS": "2", "TF_NUM_INTEROP_THREADS": "4"}, {"intra": 2}),
    ],
    ids=str,
)
def test_omp_num_threads_holds_for_tensorflow(monkeypatch, environment, expected):
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    before, asked = dict(os.environ), {}
    _tensorflow._limit_threads(
        SimpleNamespace(
            set_intra_op_parallelism_threads=lambda n: asked.update(intra=n),
            set_inter_op_parallelism_threads=lambda n: asked.update(inter=n),
        )
    )
    assert asked == expected
    assert dict(os.environ) == before  # processes started later are asked anew


def test_every_model_trains_in_one_thread_whatever_its_kernel_has_inside():
    code = """
    import warnings
    from concurrent.futures import ThreadPoolExecutor
    import numpy as np, tensorflow as tf
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from sklearn.gaussian_process.kernels import RBF
    from skgpng import GaussianProcessClassifier, GaussianProcessRegressor, training
    from skgpng.kernels import Kernel, squared_distance, squared_exponential

    class Branching(Kernel):
        def __init__(self, length_scale=1.0, length_scale_bounds=(1e-5, 1e5)):
            self.length_scale = length_scale
            self.length_scale_bounds = length_scale_bounds

        def covariance(self, X1, X2=None):
            K = squared_exponential(squared_distance(X1, X2, self.length_scale))
            return tf.cond(self.length_scale > 0.0, lambda: K, lambda: 0.0 * K)

    warnings.simplefilter("ignore")
    X = np.random.RandomState(0).randn(40, 2)
    y = np.sin(X[:, 0])
    def fit(cls, **settings):
        model = cls(max_iter=20, random_state=0, **settings)
        model.fit(X, y if cls is GaussianProcessRegressor else y > 0)
        return model.score(X, y if cls is GaussianProcessRegressor else y > 0)

    for cls in GaussianProcessRegressor, GaussianProcessClassifier:
        fit(cls, kernel=Branching(), optimizer="adam")
        fit(cls, kernel=Branching(), n_inducing=5, batch_size=10)
        fit(cls, kernel=Branching(), n_inducing=5)
    with ThreadPoolExecutor(4) as pool:
        fits = [pool.submit(fit, GaussianProcessRegressor, n_inducing=5) for _ in range(8)]
        assert len({f.result() for f in fits}) == 1
    print("done")
    """
    assert run(code)[0].strip() == "done"


def test_formulas_may_hold_tensors_and_variables_of_their_own():
    code = """
    import warnings
    import numpy as np
    import tensorflow as tf
    from sklearn.gaussian_process.kernels import RBF
    from skgpng import GaussianProcessRegressor
    from skgpng.kernels import Kernel, squared_distance, squared_exponential

    bend, shift = tf.Variable(np.ones(2)), tf.constant(np.full(2, 5.0))

    class Bent(Kernel):
        def __init__(self, length_scale=1.0, length_scale_bounds=(1e-5, 1e5)):
            self.length_scale = length_scale
            self.length_scale_bounds = length_scale_bounds

        def covariance(self, X1, X2=None):
            X = [None if X is None else bend * X + shift for X in (X1, X2)]
            return squared_exponential(squared_distance(*X, self.length_scale))

    warnings.simplefilter("ignore")
    X = np.random.RandomState(0).randn(40, 2)
    y = np.sin(X[:, 0])
    for settings in {}, {"n_inducing": 5}, {"n_inducing": 5, "batch_size": 10}:
        bent, usual = (
            GaussianProcessRegressor(k(1.0), max_iter=10, random_state=0, **settings).fit(X, y)
            for k in (Bent, RBF)
        )
        np.testing.assert_allclose(bent.elbo_, usual.elbo_, rtol=1e-6)
        np.testing.assert_allclose(bent.predict(X), usual.predict(X), atol=1e-5)
    print("same")
    """
    assert run(code)[0].strip() == "same"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="its memory")
def test_freed_memory_is_kept_for_the_next_matrices():
    code = """
        import resource
        import numpy as np
        from skgpng._runtime.memory import keep_freed

        def faults():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(20):
                [np.ones(2**18) for _ in range(12)]  # 512 pages each
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

        keep_freed()
        faults()
        print(faults())
    """
    assert int(run(code)[0]) < 100


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads in /proc")
def test_tensorflow_starts_as_many_threads_as_it_may():
    code = """
        import os
        from skgpng._runtime import tf
        before = len(os.listdir("/proc/self/task"))
        tf.linalg.matmul(tf.ones([500, 500]), tf.ones([500, 500]))
        print(len(os.listdir("/proc/self/task")) - before)
    """
    started = int(run(code, OMP_NUM_THREADS="7")[0])
    # two pools, within and between operations, of seven each, and a thread or two beside them
    assert 14 <= started <= 16


def test_tensorflow_that_is_already_there_keeps_its_settings(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    there = ModuleType("tensorflow")  # has no config that could be changed
    monkeypatch.setitem(sys.modules, "tensorflow", there)
    assert _tensorflow._load_tensorflow.__wrapped__() is there


# --- memory --------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory from /proc")
def test_fits_of_changing_sizes_do_not_grow_the_process():
    out, err = run(
        """
        import os, warnings
        import numpy as np
        from skgpng import GaussianProcessClassifier, GaussianProcessRegressor

        warnings.simplefilter("ignore")  # of five steps that are not enough
        kinds = [
            (GaussianProcessRegressor, None, "auto"),
            (GaussianProcessRegressor, "some", 0.5),
            (GaussianProcessClassifier, None, "auto"),
            (GaussianProcessClassifier, "some", "auto"),
        ]
        rng = np.random.RandomState(0)
        for k in range(1, 201):
            estimator, n_inducing, gamma = kinds[k % len(kinds)]
            X = rng.randn(rng.randint(20, 150), rng.randint(1, 6))
            model = estimator(
                n_inducing=n_inducing and rng.randint(3, 20),
                gamma=gamma,
                max_iter=rng.randint(3, 6),
                random_state=0,
            )
            y = X[:, 0] if estimator is GaussianProcessRegressor else X[:, 0] > 0
            model.fit(X, y).predict(X)
            if k in (50, 200):
                pages = int(open("/proc/self/statm").read().split()[1])
                print(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
        """
    )
    early, late = map(float, out.split())
    print(f"resident memory: {early:.1f} MB after 50 fits, {late:.1f} MB after 200")
    assert err == ""
    # Measured: 1 MB. A graph takes 5 MB, so that one graph for every new size would take 750 MB.
    assert late - early < 20.0
