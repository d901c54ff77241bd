"""Data sets of the benchmarks by their OpenML names, with a stand-in for the download.

The folder of data that the project is developed with is not part of it. So the splits of its sets
are known here by a digest of their rows, made with::

    X, y, splits = load(name)
    hashlib.sha256(b"".join(t.astype("<i8").tobytes() for t in ends(splits))).hexdigest()[:16]

where ``ends`` are the rows to test with of the first and the last split; where the folder is there
(``SKGPNG_DATA``), each set is compared with it whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
SCRIPTS = Path(__file__).resolve().parent.parent / "examples" / "benchmarks"
FOLDER = os.environ.get("SKGPNG_DATA")
DIGESTS = {
    "boston": "96eb41710c970b11",
    "concrete": "894605d860793195",
    "kin8nm": "5c8a0eece177bce0",
    "wine_red": "f888c2f1f01d7e89",
    "protein": "514ee4e880d6cbf0",
    "wine_white": "3e045e9f427c5e3e",
    "california": "ee7e05757f689c6b",
    "abalone": "21f4d26dbc2365a7",
    "banana": "88b1ea2e2ea36942",
    "pima": "a4179862cb70a5e9",
    "heart": "36d778efd098548f",
    "phoneme": "5839d83415419cf5",
    "magic": "8c88e2f2f88f255d",
    "letter": "a77e0873db7e18fc",
}


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import _common
    import _openml

    return _common, _openml


def digest(splits):
    tests = (splits[0][1], splits[-1][1])
    return hashlib.sha256(b"".join(t.astype("<i8").tobytes() for t in tests)).hexdigest()[:16]


def test_every_set_has_a_digest(modules):
    assert DIGESTS.keys() == modules[1].SETS.keys() - {"elevators", "airfoil"}


@pytest.mark.parametrize("name", DIGESTS)
def test_splits_are_those_of_the_folder(modules, name):
    given = modules[1].SETS[name]
    splits = given.splits(given.shape[0])
    assert digest(splits) == DIGESTS[name]
    for train, test in splits:
        everything = np.sort(np.concatenate([train, test]))
        np.testing.assert_array_equal(everything, np.arange(given.shape[0]))


LEVELS = {
    "pima": ["tested_negative", "tested_positive"],
    "heart": ["absent", "present"],
    "magic": ["h", "g"],
    "banana": ["1", "2"],
    "phoneme": ["1", "2"],
    "letter": list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
}
HOUSES = [
    "MedInc",
    "HouseAge",
    "AveRooms",
    "AveBedrms",
    "Population",
    "AveOccup",
    "Latitude",
    "Longitude",
]


def as_downloaded(name, X, y):
    """Rows of a set as scikit-learn gives them: frames, levels as words, averages of houses."""
    if name == "california":
        longitude, latitude, age, rooms, bedrooms, people, homes, income = X.T
        columns = [income, age, rooms / homes, bedrooms / homes, people, people / homes]
        frame = pd.DataFrame(np.column_stack([*columns, latitude, longitude]), columns=HOUSES)
        return frame, pd.Series(y / 1e5)
    if name in LEVELS:
        y = pd.Categorical.from_codes(y.astype(int), LEVELS[name])
    elif name == "wine_white":
        y = pd.Categorical((y - 2).astype(int).astype(str))
    frame = pd.DataFrame(X, columns=[f"V{k}" for k in range(X.shape[1])])
    if name == "abalone":
        sex = pd.Categorical.from_codes(X[:, :3].argmax(1), ["M", "F", "I"])
        frame = frame.drop(columns=["V0", "V1", "V2"])
        frame.insert(0, "Sex", sex)
    elif name == "magic":
        frame.insert(0, "ID", np.arange(len(X)))
    return frame, pd.Series(y)


def stand_in(monkeypatch, name, X, y):
    """Have scikit-learn's two functions return these rows; what they were asked for."""
    asked = []

    def fetch(**arguments):
        asked.append(arguments)
        return as_downloaded(name, X, y)

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    monkeypatch.setattr("sklearn.datasets.fetch_california_housing", fetch)
    return asked


def rows_like(name, given, seed=0):
    """Rows of the shape of a set, and such as it may have."""
    rng, (n, d) = np.random.RandomState(seed), given.shape
    X = rng.randint(1, 50, (n, d)).astype(float)
    if name == "abalone":
        X[:, :3] = np.eye(3)[rng.randint(3, size=n)]
    n_levels = len(LEVELS.get(name, range(7)))
    y = rng.permutation(np.arange(n) % n_levels)
    return X, y + 3 if name == "wine_white" else y.astype(float) if name not in LEVELS else y


@pytest.mark.parametrize("name", [*DIGESTS, "elevators", "airfoil"])
def test_what_is_downloaded_becomes_the_arrays_of_the_folder(modules, monkeypatch, capsys, name):
    given = modules[1].SETS[name]
    X, y = rows_like(name, given)
    asked = stand_in(monkeypatch, name, X, y)
    X2, y2, splits = modules[1].load(name, dtype=np.float64)
    np.testing.assert_allclose(X2, X, rtol=1e-12)
    np.testing.assert_allclose(y2, y, rtol=1e-12)
    assert y2.dtype.kind == ("f" if given.task == "regression" else "i")
    assert len(splits[0][0]) + len(splits[0][1]) == len(y)
    assert (
        ("name" in asked[0] and asked[0]["version"] == 1)
        or "data_id" in asked[0]
        or (name == "california")
    )
    # These are not the rows of the page, and that is said.
    assert "are not those of docs/benchmarks.md" in capsys.readouterr().err


def test_rows_in_another_order_are_told_and_those_in_order_are_not(modules, monkeypatch, capsys):
    module = modules[1]
    X, y = rows_like("heart", module.SETS["heart"])
    known = module.SETS["heart"]._replace(marks=module.marks_of(X, y))
    monkeypatch.setitem(module.SETS, "heart", known)
    stand_in(monkeypatch, "heart", X, y)
    module.load("heart")
    assert capsys.readouterr().err == ""
    stand_in(monkeypatch, "heart", X[::-1], y[::-1])
    module.load("heart")
    assert "order" in capsys.readouterr().err


def test_a_set_of_another_shape_ends_the_script(modules, monkeypatch):
    stand_in(monkeypatch, "heart", np.ones((10, 13)), np.zeros(10))
    with pytest.raises(SystemExit, match=r"heart: \(10, 13\)"):
        modules[1].load("heart")


def test_a_set_that_is_not_at_openml_asks_for_a_folder(modules):
    with pytest.raises(SystemExit, match="kin40k is not among the sets.*--data-folder"):
        modules[1].load("kin40k")


def test_rows_of_a_script_are_the_same_from_both(modules, monkeypatch, tmp_path):
    """``common.load`` from a folder that holds the rows, and from OpenML."""
    common, module = modules
    X, y = rows_like("heart", module.SETS["heart"])
    np.savez(tmp_path / "rows.npz", X=X, y=y)
    # A folder as the project's: its own load.py, with the same rule of splits written anew.
    (tmp_path / "load.py").write_text(
        "import numpy as np\nfrom pathlib import Path\n"
        "from _openml import standardize\n"
        "def info(name):\n    return {'task': 'binary'}\n"
        "def load(name):\n"
        "    rows = np.load(Path(__file__).parent / 'rows.npz')\n"
        "    splits = []\n"
        "    for k in range(10):\n"
        "        p = np.random.RandomState(k).permutation(270)\n"
        "        splits.append((np.sort(p[:243]), np.sort(p[243:])))\n"
        "    return rows['X'], rows['y'], splits\n"
    )
    stand_in(monkeypatch, "heart", X, y)
    for split, n_rows in [(0, None), (3, 50)]:
        of_folder = common.load(tmp_path, "heart", split, n_rows)
        of_openml = common.load(None, "heart", split, n_rows)
        assert of_folder[0] is of_openml[0] is True
        for one, other in zip(of_folder[1], of_openml[1]):
            np.testing.assert_array_equal(one, other)


def test_standardize_leaves_the_statistics_of_the_rows_trained_on(modules):
    rng = np.random.RandomState(0)
    X, y = 3 + 2 * rng.randn(50, 3), 5 + rng.randn(50)
    X[:, 1] = 7.0
    X1, y1, X2, y2, mean, scale = modules[1].standardize(X, y, np.arange(40), np.arange(40, 50))
    np.testing.assert_allclose(X1[:, [0, 2]].std(0), 1.0)
    np.testing.assert_array_equal(X1[:, 1], 0.0)
    np.testing.assert_allclose(y1 * scale + mean, y[:40])
    np.testing.assert_allclose(y2 * scale + mean, y[40:])
    np.testing.assert_allclose(X2[:, 0] * X[:40, 0].std() + X[:40, 0].mean(), X[40:, 0])


@pytest.mark.skipif(not FOLDER, reason="SKGPNG_DATA names no folder of data")
@pytest.mark.parametrize("name", DIGESTS)
def test_rows_and_splits_are_those_of_a_folder_that_is_there(modules, monkeypatch, capsys, name):
    common, module = modules
    X, y, splits = common.data_sets(Path(FOLDER)).load(name)
    stand_in(monkeypatch, name, X, y)
    X2, y2, splits2 = module.load(name)
    np.testing.assert_allclose(X2, X, rtol=1e-9)
    np.testing.assert_allclose(y2, y, rtol=1e-9)
    assert len(splits) == len(splits2)
    for pair, pair2 in zip(splits, splits2):
        for rows, rows2 in zip(pair, pair2):
            np.testing.assert_array_equal(rows, rows2)
    assert capsys.readouterr().err == ""


def test_report_fills_tables_and_commands(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- begin a -->old<!-- end a --> text <!-- begin a-2 -->kept<!-- end a-2 -->\n"
        "<!-- begin a commands --><!-- end a commands -->\n"
        "<!-- begin a-2 commands --><!-- end a-2 commands -->"
    )
    folder = tmp_path / "runs"
    folder.mkdir()
    run = {"date": "d", "machine": "m", "versions": "v", "plot": None}
    for name in ("a-1", "a-2", "a-3"):
        text = json.dumps(
            {**run, "table": f"|{name}|", "command": f"python x.py {name} --repeats 3"}
        )
        (folder / f"{name}.json").write_text(text)
    command = [sys.executable, SCRIPTS / "report.py", folder, "--page", page]
    subprocess.run(command, check=True, capture_output=True)
    text = page.read_text()
    assert "old" not in text and "kept" not in text
    first, second = text.index("|a-1|"), text.index("|a-3|")
    assert first < second < text.index("<!-- end a -->") < text.index("|a-2|")
    assert "```bash\npython x.py a-1 --repeats 3\npython x.py a-3 --repeats 3\n```" in text
    assert "```bash\npython x.py a-2 --repeats 3\n```" in text
    assert "`a-1`:\n\n|a-1|" in text  # which set the table is of
