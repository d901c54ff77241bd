"""The data sets of the benchmarks, by their names at OpenML, with the splits of the folder.

What a folder's ``load.py`` offers, for those who have no folder: ``load``, ``info``,
``standardize``, ``bb_split``. scikit-learn downloads each set once, into its own cache, and needs
pandas for it. ``SETS`` has those whose rows are surely the same; the others need the folder.

Two numbers of each set, which change with the values and the order of its rows, are compared with
those of the rows that docs/benchmarks.md has figures of. Where they differ, that is said: splits
then hold other rows, and figures differ by as much as splits do. So it is with elevators and
airfoil, whose published folds are a file and no seed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Splits = list[tuple[np.ndarray, np.ndarray]]


# --- from columns to arrays ------------------------------------------------------------------


def numbers(frame: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
    """X and y as they come; levels that are written as numbers count as these."""
    return frame.astype(float).to_numpy(), target.astype(float).to_numpy()


def labels(positive: str) -> Callable:
    """X, and 1 where the label is this one."""

    def arrays(frame: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
        X = frame.drop(columns="ID", errors="ignore").astype(float).to_numpy()
        return X, (target.astype(str) == positive).to_numpy().astype(int)

    return arrays


def letters(frame: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
    """X, and the place of each letter in the alphabet."""
    return frame.astype(float).to_numpy(), np.unique(target.astype(str), return_inverse=True)[1]


def grades(frame: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
    """X and the scores of white wines, 3 to 9, which OpenML numbers from 1."""
    X, y = numbers(frame, target)
    return X, np.unique(y, return_inverse=True)[1] + 3


def with_sex(frame: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
    """X with a column for each sex of abalone (M, F, infant), then the others; y."""
    sex = frame["Sex"].astype(str).to_numpy()
    X, y = numbers(frame.drop(columns="Sex"), target)
    return np.column_stack([*(sex == level for level in "MFI"), X]).astype(float), y


def totals(frame: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
    """X and y of StatLib, of which scikit-learn has averages for each household.

    The totals are whole numbers, so that they come back without an error.
    """
    columns = frame.astype(float)
    households = np.round(columns["Population"] / columns["AveOccup"])
    X = [
        columns["Longitude"],
        columns["Latitude"],
        columns["HouseAge"],
        np.round(columns["AveRooms"] * households),
        np.round(columns["AveBedrms"] * households),
        columns["Population"],
        households,
        columns["MedInc"],
    ]
    return np.column_stack(X), np.round(1e5 * target.astype(float).to_numpy())


# --- splits ----------------------------------------------------------------------------------


def seeded(n: int, n_splits: int = 10) -> Splits:
    """Ten splits into 90% and 10%, where no others are published."""
    n_train, splits = n - round(n * 0.1), []
    for k in range(n_splits):
        rows = np.random.RandomState(k).permutation(n)
        splits.append((np.sort(rows[:n_train]), np.sort(rows[n_train:])))
    return splits


def published(n_splits: int) -> Callable[[int], Splits]:
    """The 90/10 splits of Hernandez-Lobato & Adams (2015), one after the other of one generator."""

    def splits(n: int) -> Splits:
        random, n_train = np.random.RandomState(1), round(n * 9 / 10)
        orders = [random.choice(n, n, replace=False) for _ in range(n_splits)]
        return [(np.sort(rows[:n_train]), np.sort(rows[n_train:])) for rows in orders]

    return splits


# --- the sets --------------------------------------------------------------------------------


class Source(NamedTuple):
    """Where a set is, its shape, what is asked of it, and its two numbers."""

    where: dict[str, Any]  # arguments of fetch_openml; none for the houses of California
    shape: tuple[int, int]
    task: str
    arrays: Callable
    splits: Callable[[int], Splits]
    marks: tuple[float, float]


def _named(name: str) -> dict[str, Any]:
    return {"name": name, "version": 1}


SETS = {
    "boston": Source(
        _named("boston"), (506, 13), "regression", numbers, published(20), (10.687638, 486.02353)
    ),
    "concrete": Source(
        {"data_id": 44959}, (1030, 8), "regression", numbers, published(20), (16.426886, 1184.6936)
    ),
    "kin8nm": Source(
        _named("kin8nm"), (8192, 8), "regression", numbers, published(20), (0.3561054, 0.0030888261)
    ),
    "elevators": Source(
        _named("elevators"),
        (16599, 18),
        "regression",
        numbers,
        seeded,
        (0.00036842464, -0.0028442397),
    ),
    "airfoil": Source(
        {"data_id": 44957}, (1503, 5), "regression", numbers, seeded, (-0.021312904, 18.287469)
    ),
    "wine_red": Source(
        _named("wine-quality-red"),
        (1599, 11),
        "regression",
        numbers,
        published(20),
        (2.8352605, 43.83733),
    ),
    "protein": Source(
        {"data_id": 44963}, (45730, 9), "regression", numbers, published(5), (3.8929361, 693654.17)
    ),
    "wine_white": Source(
        _named("wine-quality-white"), (4898, 11), "ordinal", grades, seeded, (2.9486971, 99.367895)
    ),
    "california": Source({}, (20640, 8), "regression", totals, seeded, (105834.18, 2577.4209)),
    "abalone": Source(
        _named("abalone"), (4177, 10), "regression", with_sex, seeded, (4.8897552, 1.8682613)
    ),
    "banana": Source(
        _named("banana"), (5300, 2), "binary", labels("2"), seeded, (0.22642937, 0.0027394163)
    ),
    "pima": Source(
        _named("diabetes"),
        (768, 8),
        "binary",
        labels("tested_positive"),
        seeded,
        (0.16848924, 180.58239),
    ),
    "heart": Source(
        _named("heart-statlog"),
        (270, 13),
        "binary",
        labels("present"),
        seeded,
        (0.22246914, 301.80354),
    ),
    "phoneme": Source(
        _named("phoneme"), (5404, 5), "binary", labels("2"), seeded, (0.14748732, 1.6582216)
    ),
    "magic": Source(
        _named("MagicTelescope"),
        (19020, 10),
        "binary",
        labels("g"),
        seeded,
        (0.21020896, 157.21706),
    ),
    "letter": Source(
        _named("letter"), (20000, 16), "multiclass", letters, seeded, (6.2420835, 47.380161)
    ),
}


def source(name: str) -> Source:
    """Of a set; the end of the script where OpenML has it not, or we are not sure of it."""
    if name not in SETS:
        raise SystemExit(
            f"{name} is not among the sets of OpenML that are known to be the same "
            f"({', '.join(SETS)}): give a folder that has it, --data-folder FOLDER"
        )
    return SETS[name]


def fetched(where: dict[str, Any]) -> tuple[Any, Any]:
    """Columns and target, from the network or scikit-learn's cache."""
    from sklearn.datasets import fetch_california_housing, fetch_openml

    if not where:
        return fetch_california_housing(return_X_y=True, as_frame=True)
    return fetch_openml(**where, return_X_y=True, as_frame=True, parser="auto")


def marks_of(X: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Two numbers that change with the order of the rows and with their values."""
    weights = np.arange(1, len(y) + 1) / len(y) ** 2
    return float(weights @ y), float(weights @ X.sum(1))


def load(name: str, dtype: Any = np.float64) -> tuple[np.ndarray, np.ndarray, Splits]:
    """X, y and pairs of rows to train on and to test with."""
    given = source(name)
    X, y = given.arrays(*fetched(given.where))
    if X.shape != given.shape:
        raise SystemExit(f"{name}: {X.shape} rows and columns came, not {given.shape}")
    if not np.allclose(marks_of(X, y), given.marks, rtol=1e-5, atol=1e-8):
        print(
            f"{name}: these rows, or their order, are not those of docs/benchmarks.md. The splits "
            "hold other rows; figures differ by as much as splits do",
            file=sys.stderr,
        )
    y = y.astype(float if given.task == "regression" else int)
    return np.ascontiguousarray(X, dtype=dtype), y, given.splits(len(y))


def info(name: str) -> dict[str, Any]:
    """Task and shape."""
    (n, d), task = source(name).shape, source(name).task
    return {"name": name, "task": task, "n": n, "d": d}


def raw(name: str) -> dict[str, np.ndarray]:
    """What else a file holds; at OpenML nothing that benchmarks use."""
    raise SystemExit(f"{name} with the names of its columns: give a folder, --data-folder FOLDER")


def bb_split(n: int, split: int = 0, prop: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and to test with, as in bayesian_benchmarks."""
    rows = np.arange(n)
    np.random.RandomState(split).shuffle(rows)
    return rows[: int(n * prop)], rows[int(n * prop) :]


def standardize(
    X: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray, scale_y: bool = True
) -> tuple:
    """Rows of mean 0 and variance 1 by those trained on, and mean and deviation of y there."""
    mean, std = X[train].mean(0), X[train].std(0)
    std = np.where(std > 1e-10 * np.maximum(np.abs(mean), 1e-30), std, 1.0)  # else it is constant
    middle, scale = (y[train].mean(), y[train].std() or 1.0) if scale_y else (0.0, 1.0)
    X_train, X_test = (X[train] - mean) / std, (X[test] - mean) / std
    if not scale_y:  # labels stay whole numbers
        return X_train, y[train], X_test, y[test], middle, scale
    return X_train, (y[train] - middle) / scale, X_test, (y[test] - middle) / scale, middle, scale
