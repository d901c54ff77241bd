"""What the displays share: whom they ask, which rows they ask about, how it is drawn."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri
from sklearn import config_context
from sklearn.base import is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..likelihoods import named

__all__ = [
    "COLOURS",
    "Asked",
    "asked_of",
    "axes_in",
    "band_at",
    "column_of",
    "draw_points",
    "keywords",
    "labels_among",
    "legend_above",
    "levels_given",
    "names_of",
    "names_of_last",
    "position_of",
    "rows_like",
    "some_of",
    "table_of",
    "target_of",
    "thin",
]

# After Okabe & Ito (2008), told apart by colour-blind readers; of middle lightness, so that they
# stand out from a white and from a black page.
COLOURS = ("#2388c6", "#e0661b", "#12a17a", "#c874a6", "#d99a00", "#7a5cc4", "#888888")

# Draws that bounds of a mean come from, where it is no linear function of f.
_DRAWS = 2000


# --- whom to ask -----------------------------------------------------------------------------


class Asked(NamedTuple):
    """The last step of pipelines and searches, and the steps that rows take before it."""

    estimator: Any
    steps: tuple

    def at(self, X: Any) -> Any:
        """Rows as the last step sees them."""
        with config_context(enable_metadata_routing=False):
            for step in self.steps:
                X = step.transform(X)
        return X

    @property
    def name(self) -> str:
        """Class of the last step, for messages and legends."""
        return type(self.estimator).__name__

    @property
    def is_classifier(self) -> bool:
        """Whether it predicts labels."""
        return is_classifier(self.estimator)

    @property
    def knows_noise(self) -> bool:
        """Whether it tells the uncertainty of y from that of its mean."""
        return "include_noise" in _arguments(getattr(self.estimator, "predict", None))

    def proba(self, X: Any) -> np.ndarray:
        """Probability of each class; TypeError where it has none."""
        if not hasattr(self.estimator, "predict_proba"):
            raise TypeError(
                f"{self.name} has no predict_proba: a display of classes needs a classifier with "
                "probabilities."
            )
        return np.asarray(self.estimator.predict_proba(self.at(X)))

    def mean_and_std(self, X: Any, include_noise: bool, **known: Any) -> tuple:
        """Mean and standard deviation, [n] or [n, P]; TypeError without uncertainty."""
        if "return_std" not in _arguments(getattr(self.estimator, "predict", None)):
            raise TypeError(
                f"{self.name} has no uncertainty to show: predict(X, return_std=True) is needed, "
                "as skgpng's GaussianProcessRegressor, BayesianRidge and scikit-learn's Gaussian "
                "processes have it."
            )
        known = {"include_noise": include_noise, **known} if self.knows_noise else known
        mean, std = self.estimator.predict(self.at(X), return_std=True, **known)
        return np.asarray(mean), np.asarray(std)

    def quantiles(self, X: Any, levels: np.ndarray, **known: Any) -> np.ndarray:
        """Quantiles of y, [n, Q] or [n, P, Q]; of a normal distribution where it has no own."""
        if hasattr(self.estimator, "predict_quantiles"):
            return np.asarray(self.estimator.predict_quantiles(self.at(X), levels, **known))
        mean, std = self.mean_and_std(X, True, **known)
        return mean[..., None] + std[..., None] * ndtri(levels)

    def transform(self, X: Any, y: np.ndarray, known: Mapping) -> tuple | None:
        """Probability of less than y and of y or less, [n, P]; None where quantiles tell them."""
        own = getattr(self.estimator, "_below_and_up_to", None)
        return None if own is None else own(self.at(X), y, dict(known))

    def draws(self, X: Any, n: int, random_state: Any) -> np.ndarray:
        """Functions drawn at rows, [n_rows, n] or [n_rows, P, n]; TypeError where it has none."""
        if not hasattr(self.estimator, "sample_y"):
            raise TypeError(f"{self.name} draws no functions (sample_y): leave n_samples=0.")
        quiet = {"include_noise": False} if self.knows_noise else {}
        # random_state by name: scikit-learn's regressor has no other arguments
        return np.asarray(
            self.estimator.sample_y(self.at(X), n, random_state=random_state, **quiet)
        )

    @property
    def mean_is_normal(self) -> bool:
        """Whether the mean of y is a linear function of f, so that its bounds are symmetric."""
        likelihood = getattr(self.estimator, "likelihood", None)
        return not self.knows_noise or likelihood is None or named(likelihood).location


def _arguments(method: Any) -> Any:
    return {} if method is None else inspect.signature(method).parameters


def asked_of(estimator: Any, attribute: str | None = None) -> Asked:
    """The last step of an estimator, fitted (with an attribute that fit sets, where one is named).

    A regressor of a Gaussian process predicts before ``fit``, too: its prior.
    """
    steps: list = []
    while isinstance(estimator, BaseSearchCV | Pipeline):
        if isinstance(estimator, BaseSearchCV):
            check_is_fitted(estimator, "best_estimator_")
            estimator = estimator.best_estimator_
        else:
            steps += [estimator[:-1]] if len(estimator) > 1 else []
            estimator = estimator[-1]
    check_is_fitted(estimator, attribute)
    return Asked(estimator, tuple(steps))


# --- rows ------------------------------------------------------------------------------------


def table_of(X: Any, estimator: Any) -> Any:
    """X as a data frame of pandas or an array [N, D]; None stands for the rows of fit."""
    if X is None:
        X = getattr(estimator, "X_train_", None)
        if X is None:
            raise ValueError(
                f"X=None: {type(estimator).__name__} does not keep its rows. Give X, rows from "
                "which the range of the column and the values of the others are taken."
            )
        if hasattr(estimator, "feature_names_in_"):  # a frame was fitted, and is expected
            import pandas as pd  # type: ignore[import-untyped]

            return pd.DataFrame(X, columns=estimator.feature_names_in_)
    X = X.to_pandas() if hasattr(X, "to_pandas") else X
    if hasattr(X, "iloc"):
        return X
    X = X.toarray() if hasattr(X, "toarray") else np.asarray(X)
    if X.ndim != 2 or len(X) == 0:
        raise ValueError(f"X must have rows and columns, got shape {X.shape}.")
    return X


def names_of(X: Any, estimator: Any = None) -> list[str]:
    """Names of the columns of X, ``x0, x1, ...`` where they have none."""
    if hasattr(X, "columns"):
        return [str(name) for name in X.columns]
    known = getattr(estimator, "feature_names_in_", ())
    n = np.shape(X)[1]
    return [str(name) for name in known] if len(known) == n else [f"x{k}" for k in range(n)]


def names_of_last(asked: Asked) -> list[str]:
    """Names of the columns that the last step sees, as far as the steps before it tell."""
    names = list(getattr(asked.estimator, "feature_names_in_", ()))
    if not names and asked.steps:
        try:
            names = list(asked.steps[-1].get_feature_names_out())
        except (AttributeError, NotFittedError):  # a step that names no columns
            names = []
    n = asked.estimator.n_features_in_
    return [str(name) for name in names] if len(names) == n else [f"x{k}" for k in range(n)]


def position_of(feature: Any, names: Sequence[str]) -> int:
    """Position of a column, given by position or name."""
    if isinstance(feature, str) and feature in names:
        return list(names).index(feature)
    if isinstance(feature, Integral) and int(feature) in range(len(names)):
        return int(feature)
    raise ValueError(
        f"{feature!r} is no column of X: give a position from 0 to {len(names) - 1} or one of "
        f"{', '.join(map(repr, names))}."
    )


def column_of(X: Any, k: int, name: str) -> np.ndarray:
    """Numbers of one column [N]; ValueError for levels."""
    try:
        values = np.asarray(X.iloc[:, k] if hasattr(X, "iloc") else X[:, k], dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Column {name!r} is not of numbers, along which a display could go: choose another "
            "one, and hold this one by fixed."
        ) from error
    if not np.isfinite(values).any():
        raise ValueError(f"Column {name!r} has no number in it.")
    return values


def rows_like(X: Any, changed: Mapping[int, Any], n: int, fixed: Any, names: list[str]) -> Any:
    """Rows [n, D] with some columns changed, some fixed, the others at their typical value.

    That is the median (the lower one of two, so that it is a value that the column has), or of
    what are not numbers the most frequent one.
    """
    held = {position_of(feature, names): value for feature, value in (fixed or {}).items()}
    twice = [names[k] for k in held.keys() & changed.keys()]
    if twice:
        raise ValueError(f"fixed holds {twice[0]!r}, which the display goes along: leave it out.")
    held = {k: np.full(n, value, _type_of(value)) for k, value in held.items()} | dict(changed)
    if hasattr(X, "iloc"):
        rows = X.iloc[np.zeros(n, int)].reset_index(drop=True)
        for k in range(X.shape[1]):
            typical = X.iloc[[_typical(X.iloc[:, k])] * n, k].reset_index(drop=True)
            rows.isetitem(k, held.get(k, typical))
        return rows
    rows = np.empty((n, X.shape[1]), X.dtype if X.dtype == object else float)
    for k in range(X.shape[1]):
        rows[:, k] = held[k] if k in held else X[_typical(X[:, k]), k]
    return rows


def _type_of(value: Any) -> Any:
    return object if isinstance(value, str) else None


def _typical(values: Any) -> int:
    """Position of a typical value of a column."""
    values = np.asarray(values)
    try:
        numbers = values.astype(float)
    except (TypeError, ValueError):
        numbers = None
    if numbers is None or values.dtype == bool:
        common = Counter(values.tolist()).most_common(1)[0][0]
        return values.tolist().index(common)
    there = np.flatnonzero(np.isfinite(numbers))
    order = there[np.argsort(numbers[there], kind="stable")]
    return int(order[(len(order) - 1) // 2]) if len(order) else 0


def target_of(values: np.ndarray, target: Any, names: Sequence[str] = ()) -> tuple:
    """Entries [n, ...] of one of several targets [n, P, ...] along axis 1, and its position."""
    n = values.shape[1]
    if target is None and n > 1:
        raise ValueError(f"There are {n} targets: choose one, target=0 to target={n - 1}.")
    known = list(names) if len(names) == n else []
    k = known.index(target) if target in known else 0 if target is None else target
    if not (isinstance(k, Integral) and int(k) in range(n)):
        raise ValueError(f"target={target!r} is none of the {n} targets: give its position.")
    return values[:, int(k)], int(k)


def labels_among(classes: np.ndarray, y: Any) -> np.ndarray:
    """Labels [N]; ValueError for one that the classifier does not know."""
    labels = np.asarray(y).ravel()
    unknown = list(dict.fromkeys(labels[~np.isin(labels, classes)].tolist()))
    if unknown:
        raise ValueError(
            f"y has labels that the classifier was not fitted to: {unknown}. It knows "
            f"{classes.tolist()}."
        )
    return labels


def some_of(n: int, most: int | None, random_state: Any = 0) -> np.ndarray:
    """Positions of at most so many of n rows, drawn and in order; None takes all."""
    if most is None or n <= most:
        return np.arange(n)
    return np.sort(check_random_state(random_state).choice(n, most, replace=False))


# --- numbers ---------------------------------------------------------------------------------


def levels_given(level: Any) -> np.ndarray:
    """Levels of intervals [K], the widest first."""
    levels = np.sort(np.atleast_1d(np.asarray(level, dtype=float)))[::-1]
    if levels.ndim != 1 or not np.all((levels > 0) & (levels < 1)):
        raise ValueError(f"level must lie strictly between 0 and 1, got {level!r}.")
    return levels


def band_at(
    asked: Asked, X: Any, levels: np.ndarray, include_noise: bool, target: Any, names: Any = ()
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prediction [n], lower and upper ends [n, K] of the central intervals of some levels.

    Of y they are its quantiles; of its mean those of a normal distribution, or where the mean
    is another function of f than a linear one, of draws.
    """
    tails = np.concatenate([0.5 - 0.5 * levels, 0.5 + 0.5 * levels])
    mean, std = (_columns(values) for values in asked.mean_and_std(X, include_noise))
    if include_noise:
        ends = asked.quantiles(X, tails)
    elif asked.mean_is_normal:
        ends = mean[..., None] + std[..., None] * ndtri(tails)
    else:
        ends = np.moveaxis(np.quantile(asked.draws(X, _DRAWS, 0), tails, axis=-1), 0, -1)
    ends = ends.reshape(*mean.shape, len(tails))
    ends = target_of(ends, target, names)[0]
    return target_of(mean, target, names)[0], *np.split(ends, 2, axis=1)


def _columns(values: np.ndarray) -> np.ndarray:
    """[n, P], where one target has no axis."""
    return values.reshape(len(values), -1)


# --- drawing ---------------------------------------------------------------------------------


def keywords(given: Mapping | None, artist: type, **ours: Any) -> dict:
    """Keywords of an artist: what is given, by whatever alias, over ours."""
    from matplotlib import cbook

    ours, given = (cbook.normalize_kwargs(dict(which or {}), artist) for which in (ours, given))
    return {**ours, **given}


def axes_in(ax: Any, n: int, size: tuple[float, float], columns: int | None = None) -> np.ndarray:
    """n axes: of a new figure, in the place of one that is given, or those given, [n].

    Parameters
    ----------
    ax : matplotlib Axes, array-like of n of them, or None
    n : int
    size : width and height in inches of one panel of a new figure
    columns : int, default=n
        Panels beside each other.
    """
    import matplotlib.pyplot as plt

    columns = min(columns or n, n)
    rows = -(-n // columns)
    if ax is None:
        shape = (size[0] * columns, size[1] * rows)
        figure = plt.figure(figsize=shape)
        # room between rows, so that a title is that of the panel below it
        figure.set_layout_engine("constrained", hspace=0.08 if rows > 1 else 0.02)
        grid = figure.add_gridspec(rows, columns)
    elif np.size(ax) == n:
        return np.ravel(np.asarray(ax, dtype=object))
    elif np.size(ax) == 1:
        (ax,) = np.ravel(np.asarray(ax, dtype=object))
        if ax.get_subplotspec() is None:
            raise ValueError(f"ax has no place in a grid that {n} panels fit into: give {n} axes.")
        ax.set_axis_off()
        figure, grid = ax.figure, ax.get_subplotspec().subgridspec(rows, columns)
    else:
        raise ValueError(f"ax has {np.size(ax)} axes, {n} are needed (or one, to be divided).")
    return np.array([figure.add_subplot(grid[k // columns, k % columns]) for k in range(n)])


def draw_points(ax: Any, x: Any, y: Any, given: Mapping | None, **ours: Any) -> Any:
    """Small points in the colour of the text, which is that of no line and stands out."""
    import matplotlib as mpl
    from matplotlib.collections import PathCollection

    how = {"s": 9, "color": mpl.rcParams["text.color"], "linewidths": 0, "zorder": 2}
    how |= {"alpha": 0.7 if len(x) <= 200 else 0.4, **ours}
    how = keywords(given, PathCollection, **how)
    if "c" in how:  # numbers that are coloured, or colours: scatter takes one of the two
        how.pop("color", None)
    return ax.scatter(x, y, **how)


def thin(ax: Any) -> None:
    """Only the two spines that carry numbers."""
    ax.spines[["top", "right"]].set_visible(False)


def legend_above(ax: Any, handles: list, labels: list, columns: int = 3) -> Any:
    """Legend above the axes, where it hides nothing."""
    return ax.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=max(1, min(columns, len(handles))),
        frameon=False,
        fontsize="small",
        borderpad=0.0,
        borderaxespad=0.3,
        handlelength=1.4,
        columnspacing=1.2,
    )
