"""Estimators in files and pickles: whole, or refused with a clear message."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import pickle
import random
import resource
import signal
import stat
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import kernels as sk
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skgpng
from skgpng import GaussianProcessClassifier, GaussianProcessRegressor, persistence
from skgpng.kernels import Columns

ROOT = Path(__file__).resolve().parents[2]
ALL_KERNELS = (
    sk.ConstantKernel(2.0, "fixed") * sk.RBF([1.0], [(0.1, 10.0)])
    + sk.Matern(nu=np.inf) ** 2.0
    + sk.RationalQuadratic() * sk.ExpSineSquared()
    + sk.DotProduct(0.5, (1e-3, 1e3))
    + sk.WhiteKernel(0.1)
)
RNG = np.random.RandomState(0)
X = RNG.uniform(-3, 3, (60, 2))
Y = np.sin(X[:, 0]) + 0.1 * RNG.randn(60)
CODES = np.digitize(Y, [-0.5, 0.5])
XNEW = np.random.RandomState(1).uniform(-3, 3, (15, 2))
MORE = X + 0.1, Y
FRAME = pd.DataFrame(X, columns=["left", "right"])


def regressor(y=Y, X=X, **settings):
    return GaussianProcessRegressor(max_iter=5, random_state=0, **settings), X, y


def classifier(y, X=X, **settings):
    return GaussianProcessClassifier(max_iter=5, random_state=0, **settings), X, y


MODELS = {
    "exact": regressor(alpha=np.float64(0.1)),
    "all kernels": regressor(X=X[:, :1], kernel=ALL_KERNELS),
    "collapsed": regressor(n_inducing=8),
    "float32, minibatches": regressor(
        X=X.astype("f4"), n_inducing=np.int64(8), batch_size=20, dtype="float32"
    ),
    "several targets": regressor(np.column_stack([Y, X[:, 1]]), n_inducing=8),
    "several targets, exact": regressor(np.column_stack([Y, X[:, 1]]), normalize_y=False),
    "early stopping": regressor(n_inducing=8, early_stopping=True),
    "neighbours": regressor(n_neighbors=8),
    "neighbours of several targets": regressor(
        np.column_stack([Y, X[:, 1]]), n_neighbors=8, local_scale=False
    ),
    "not conjugate": regressor(gamma=0.5),
    "student_t": regressor(likelihood="student_t"),
    "student_t, inducing": regressor(
        likelihood="student_t", kernel=sk.RBF() + sk.WhiteKernel(), n_inducing=8
    ),
    "poisson": regressor(np.round(np.exp(1.0 + Y)), likelihood="poisson"),
    "columns": regressor(Y, FRAME, kernel=1.0 * Columns(sk.RBF(), ["right"])),
    "y of 1e100": regressor(Y * 1e100),
    "two classes": classifier(Y > 0, kernel=1.0 * sk.RBF()),
    "two classes, inducing": classifier(np.where(Y > 0, 1.0, -1.0), n_inducing=8),
    "three classes": classifier(CODES.astype(">i2"), class_weight={0: 1.0, 1: 2.0, 2: 1}),
    "text, inducing": classifier(np.array(["low", "médium", "x"])[CODES], n_inducing=8),
    "objects, names": classifier(np.array([*"abc"], object)[CODES], FRAME, n_inducing=8),
    "kernel of each class": classifier(CODES, shared_kernel=False, n_inducing=8),
    "three kernels": classifier(
        CODES, kernel=sk.CompoundKernel([sk.RBF(), sk.Matern(), 2**2 * sk.RBF()])
    ),
}
STREAMS = {
    "rows kept": regressor(n_inducing=8),
    "classes, rows kept": classifier(CODES, n_inducing=8),
}


@pytest.fixture(scope="module")
def fitted():
    """Fitted model of each name."""
    models = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for name, (model, rows, y) in MODELS.items():
            models[name] = clone(model).fit(rows, y)
        for name, (model, rows, y) in STREAMS.items():
            classes = {"classes": [0, 1, 2]} if "classes" in name else {}
            models[name] = clone(model).partial_fit(rows, y, **classes)
        # on from fit: no rows are kept
        models["rows forgotten"] = clone(MODELS["collapsed"][0]).fit(X, Y).partial_fit(*MORE)
    return models


NAMES = [*MODELS, *STREAMS, "rows forgotten"]


def new_rows(model):
    if hasattr(model, "feature_names_in_"):
        return pd.DataFrame(XNEW, columns=["left", "right"])
    return XNEW[:, : model.n_features_in_]


def answers(model):
    """Every prediction the model gives."""
    rows = new_rows(model)
    if isinstance(model, GaussianProcessRegressor):
        quantiles = model.predict_quantiles(rows)
        return [*model.predict(rows, return_std=True), quantiles, model.sample_y(rows)]
    return [model.predict_proba(rows), model.decision_function(rows), model.predict(rows)]


def assert_same(left, right):
    for a, b in zip(left, right, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def through_file(model, folder):
    skgpng.save(model, folder / "model.skops")
    return skgpng.load(folder / "model.skops")


def as_bytes(model, folder):
    skgpng.save(model, folder / "model.skops")
    return (folder / "model.skops").read_bytes()


# --- round trips ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_loaded_model_is_the_same(fitted, tmp_path, name):
    model = fitted[name]
    same = through_file(model, tmp_path)
    assert vars(same).keys() == vars(model).keys()
    assert_same(answers(same), answers(model))
    np.testing.assert_array_equal(same.elbo_curve_, model.elbo_curve_)
    assert str(same.kernel_) == str(model.kernel_) and same.n_iter_ == model.n_iter_
    assert os.listdir(tmp_path) == ["model.skops"]
    if same.inducing_points_ is not None:
        assert same.inducing_points_ is same._predictor.posterior.points


@pytest.mark.parametrize("name", NAMES)
def test_loaded_model_learns_on(fitted, tmp_path, name):
    same, model = through_file(fitted[name], tmp_path), pickle.loads(pickle.dumps(fitted[name]))
    _, rows, y = {**MODELS, **STREAMS, "rows forgotten": MODELS["collapsed"]}[name]
    for each in (same, model):
        each.set_params(warm_start=True).fit(rows, y)
    assert_same(answers(same), answers(model))
    if model.n_inducing == 8 and not model.early_stopping:
        same = through_file(fitted[name], tmp_path)
        model = pickle.loads(pickle.dumps(fitted[name]))
        for each in (same, model):
            each.partial_fit(rows + 0.1, y)
        assert_same(answers(same), answers(model))


def test_same_theta_same_evidence(fitted, tmp_path):
    model = fitted["exact"]
    same, theta = through_file(model, tmp_path), model.kernel_.theta + 0.1
    left, right = (m.log_marginal_likelihood(theta, eval_gradient=True) for m in (same, model))
    assert left[0] == right[0]
    np.testing.assert_array_equal(left[1], right[1])


@pytest.mark.parametrize(
    "model",
    [
        GaussianProcessRegressor(),
        GaussianProcessRegressor(ALL_KERNELS, alpha=0.1, n_targets=2, random_state=3),
        GaussianProcessClassifier(class_weight={"a": 2, True: np.float32(1), 0.5: 1}),
        GaussianProcessClassifier(
            sk.CompoundKernel([sk.RBF(1.0, (1e-3, np.inf)), sk.Matern([1.0, 2.0])])
        ),
    ],
    ids=str,
)
def test_unfitted_model_is_the_same(tmp_path, model):
    same = through_file(model, tmp_path)
    assert str(same.get_params()) == str(model.get_params())
    assert vars(same).keys() == vars(model).keys()


def test_models_travel_to_a_fresh_process(fitted, tmp_path):
    for name, model in fitted.items():
        skgpng.save(model, tmp_path / name)
    code = """
        import os, pickle, sys
        import pandas as pd
        import skgpng
        folder, out = sys.argv[1], {}
        models = {name: skgpng.load(os.path.join(folder, name)) for name in os.listdir(folder)}
        assert "tensorflow" not in sys.modules
        X = pd.read_pickle(sys.stdin.buffer)
        for name, model in models.items():
            named = hasattr(model, "feature_names_in_")
            out[name] = model.predict(X if named else X.to_numpy()[:, : model.n_features_in_])
        sys.stdout.buffer.write(pickle.dumps(out))
    """
    rows = pd.DataFrame(XNEW, columns=["left", "right"])
    done = subprocess.run(
        [sys.executable, "-c", "if True:" + code, tmp_path],
        input=pickle.dumps(rows),
        capture_output=True,
        cwd=ROOT,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()
    there = pickle.loads(done.stdout)
    assert there.keys() == fitted.keys()
    for name, model in fitted.items():
        # not the type: pickles between processes have the bytes in native order
        np.testing.assert_array_equal(there[name], model.predict(new_rows(model)))


def test_pipelines_and_searches(tmp_path):
    pipe = make_pipeline(StandardScaler(), regressor(n_inducing=8)[0])
    search = GridSearchCV(pipe, {"gaussianprocessregressor__max_iter": [3, 5]}, cv=2).fit(X, Y)
    same = through_file(search, tmp_path)
    np.testing.assert_array_equal(same.predict(XNEW), search.predict(XNEW))
    assert same.best_params_ == search.best_params_


class OwnKernel(sk.RBF):
    """Of a user, without a formula here."""


def test_own_kernels_have_to_be_trusted(tmp_path):
    model = regressor(kernel=OwnKernel() + sk.WhiteKernel())[0].fit(X, Y)
    with pytest.raises(ValueError, match=r"not trusted.*OwnKernel.*trusted="):
        through_file(model, tmp_path)
    same = skgpng.load(tmp_path / "model.skops", trusted=[OwnKernel])
    assert_same(answers(same), answers(model))


def test_what_cannot_be_written_is_named(tmp_path):
    model = GaussianProcessRegressor(random_state=(k for k in range(3)))
    with pytest.raises(ValueError, match="GaussianProcessRegressor cannot be saved"):
        skgpng.save(model, tmp_path / "m")
    assert os.listdir(tmp_path) == []


def test_without_skops_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(ImportError, match="pip install skops"):
        skgpng.save(GaussianProcessRegressor(), tmp_path / "m")


# --- disks ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def disk_of(n_bytes):
    """No file can be written beyond this size: write raises OSError, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.999])
def test_full_disk_leaves_the_old_file(fitted, tmp_path, share):
    size = len(as_bytes(fitted["exact"], tmp_path))
    old = as_bytes(fitted["collapsed"], tmp_path)
    with disk_of(int(share * size)), pytest.raises(OSError):
        skgpng.save(fitted["exact"], tmp_path / "model.skops")
    assert os.listdir(tmp_path) == ["model.skops"]
    assert (tmp_path / "model.skops").read_bytes() == old


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_late_failure_leaves_the_old_file(fitted, tmp_path, monkeypatch, name):
    old = as_bytes(fitted["collapsed"], tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(persistence.os, name, full)
    with pytest.raises(OSError, match="No space left"):
        skgpng.save(fitted["exact"], tmp_path / "model.skops")
    assert os.listdir(tmp_path) == ["model.skops"]
    assert (tmp_path / "model.skops").read_bytes() == old


def test_full_disk_while_pickling_leaves_the_model(fitted, tmp_path):
    model = fitted["exact"]
    before = answers(model)
    with disk_of(1000), pytest.raises(OSError), open(tmp_path / "m", "wb", 0) as file:
        pickle.dump(model, io.BufferedWriter(file, 100))
        file.flush()
    assert_same(answers(model), before)
    assert_same(answers(pickle.loads(pickle.dumps(model))), before)


def test_links_modes_and_devices(fitted, tmp_path):
    model, file, link = fitted["collapsed"], tmp_path / "m", tmp_path / "link"
    file.write_bytes(b"old")
    file.chmod(0o640)
    link.symlink_to(file)
    skgpng.save(model, str(link))
    assert link.is_symlink() and stat.S_IMODE(file.stat().st_mode) == 0o640
    skgpng.load(link)
    with pytest.raises(OSError):
        skgpng.save(model, tmp_path)
    with pytest.raises(ValueError, match="a device or a pipe"):
        skgpng.save(model, os.devnull)
    with pytest.raises(FileNotFoundError):
        skgpng.save(model, tmp_path / "nowhere" / "m")
    with pytest.raises(FileNotFoundError):
        skgpng.load(tmp_path / "nowhere")
    assert sorted(os.listdir(tmp_path)) == ["link", "m"]


# --- files that are not as save wrote them -------------------------------------------------------


def load_bytes(content, folder):
    (folder / "m").write_bytes(content)
    return skgpng.load(folder / "m")


def zipped(parts):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


FOREIGN = {
    "empty": b"",
    "text": b"hello",
    "pickle": pickle.dumps(GaussianProcessRegressor()),
    "zip": zipped({"a.txt": b"a"}),
    "broken zip": b"PK\x03\x04" + bytes(100),
    "no JSON": zipped({"schema.json": b"\xff{"}),
    "deep": zipped({"schema.json": b"[" * 100_000}),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files_are_named(tmp_path, name):
    with pytest.raises(ValueError, match="cannot be loaded") as caught:
        load_bytes(FOREIGN[name], tmp_path)
    assert str(tmp_path / "m") in str(caught.value)


# name: (path in the state, what stands there)
BAD_STATES = {
    "no posterior": (("_predictor", "posterior"), None),
    "weights of another size": (("_predictor", "posterior", "weights"), np.zeros((3, 1))),
    "points not finite": (("_predictor", "posterior", "points"), np.full((8, 2), np.nan)),
    "points of text": (("_predictor", "posterior", "points"), np.array([["a", "b"]])),
    "root of another size": (("_predictor", "posterior", "root"), np.zeros((1, 5))),
    "no likelihood": (("_predictor", "likelihood"), "gaussian"),
    "values of another likelihood": (("_predictor", "values"), (1.0, 2.0)),
    "negative unit": (("_predictor", "scale"), np.array([-1.0])),
    "two units": (("_predictor", "scale"), np.ones(2)),
    "another number of columns": (("n_features_in_",), 3),
    "kernel of other columns": (("kernel_",), sk.RBF([1.0, 1.0, 1.0])),
    "no kernel": (("kernel_",), None),
    "stream": (("_stream",), {}),
}


@pytest.mark.parametrize("name", BAD_STATES)
def test_states_that_do_not_fit_together_are_refused(fitted, name):
    (*path, last), value = BAD_STATES[name]
    state = pickle.loads(pickle.dumps(fitted["collapsed"].__getstate__()))
    part = state
    for key in path:
        part = part[key]
    part[last] = value
    with pytest.raises((ValueError, TypeError)):
        GaussianProcessRegressor().__setstate__(state)


def mutated(content, rng):
    """A file with bytes changed, cut or doubled, or with something else in its schema."""
    kind = rng.choice(["bytes", "cut", "double", "schema"])
    if kind == "cut":
        return kind, content[: rng.randrange(len(content))]
    if kind == "schema":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        return kind, zipped({**parts, "schema.json": other_schema(parts["schema.json"], rng)})
    at = rng.randrange(len(content))
    if kind == "double":
        return kind, content[:at] + content[at : at + 50] + content[at:]
    new = bytes(rng.randrange(256) for _ in range(rng.choice([1, 4])))
    return kind, content[:at] + new + content[at + len(new) :]


def other_schema(schema, rng):
    text = schema.decode()
    leaves = [k for k, c in enumerate(text) if c.isdigit()]
    if rng.random() < 0.5 and leaves:
        at = rng.choice(leaves)
        return (text[:at] + rng.choice(["0", "9", "-1", "1e999"]) + text[at + 1 :]).encode()
    tree = json.loads(text)
    node = tree
    while isinstance(node, (dict, list)) and node:
        key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
        if rng.random() < 0.2 or not isinstance(node[key], (dict, list)):
            node[key] = rng.choice([None, [], {}, "x", 7, True])
            break
        node = node[key]
    return json.dumps(tree).encode()


def outcome(content, folder):
    """ "refused", or "loaded" where predictions are numbers or refused; all else is raised."""
    try:
        model = load_bytes(content, folder)
    except ValueError as error:
        assert str(folder / "m") in str(error)
        return "refused"
    if not hasattr(model, "predict") or not hasattr(model, "_predictor"):
        return "loaded something else"
    with contextlib.suppress(ValueError, AttributeError, TypeError):
        assert len(model.predict(new_rows(model)[:3])) == 3
    return "loaded"


def test_mutated_files_are_refused_or_predict(fitted, tmp_path):
    n, seed = 1500, int(os.environ.get("SKGPNG_SEED", "0"))
    print(f"seed {seed}")
    rng = random.Random(seed)
    names = ["collapsed", "objects, names", "kernel of each class", "student_t", "rows kept"]
    contents = [as_bytes(fitted[name], tmp_path) for name in names]
    counts = {}
    for k in range(n):
        number = rng.randrange(len(contents))
        kind, content = mutated(contents[number], rng)
        try:
            key = kind, outcome(content, tmp_path)
        except Exception as error:
            raise AssertionError(f"seed {seed}, file {k}: {kind}, {names[number]}") from error
        counts[key] = counts.get(key, 0) + 1
    print(*(f"{count:6} {key}" for key, count in sorted(counts.items())), sep="\n")
    refused = sum(count for (_, result), count in counts.items() if result == "refused")
    assert refused > n // 2


# --- pickles -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fit", [True, False])
@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"_skgpng_state": 99, "_skgpng_version": "7.1"}, r"pickled by skgpng 7.1 \(state 99\)"),
        ({"_skgpng_state": 0, "_skgpng_version": "0.0.1"}, "pickled by skgpng 0.0.1"),
        ({"_skgpng_state": 2, "_skgpng_version": "0.1.0"}, r"0.1.0 \(state 2\).*reads state 7"),
        ({"_skgpng_state": None, "_skgpng_version": None}, "older than 0.1.0"),
    ],
)
def test_pickles_of_another_form_are_refused(fitted, fit, changes, match):
    model = fitted["collapsed"] if fit else GaussianProcessRegressor()
    state = {**model.__getstate__(), **changes}
    state = {k: v for k, v in state.items() if k not in changes or v is not None}
    with pytest.raises(ValueError, match=match + r".*fit again"):
        GaussianProcessRegressor().__setstate__(state)


def test_pickles_leave_no_trace_of_their_version(fitted):
    model = pickle.loads(pickle.dumps(fitted["collapsed"]))
    assert vars(model).keys() == vars(fitted["collapsed"]).keys()


def test_truncated_pickles_raise(fitted):
    content = pickle.dumps(fitted["collapsed"])
    for end in np.linspace(0, len(content) - 1, 100).astype(int):
        with pytest.raises((EOFError, pickle.UnpicklingError, ValueError)):
            pickle.loads(content[:end])
