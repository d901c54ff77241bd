"""Predictions and their uncertainty as maps over two columns of X."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from scipy.special import xlogy
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ._common import (
    Asked,
    asked_of,
    axes_in,
    column_of,
    draw_points,
    keywords,
    labels_among,
    names_of,
    position_of,
    rows_like,
    some_of,
    table_of,
    target_of,
)

__all__ = ["MapDisplay"]


class MapDisplay:
    """Two maps over two columns of X: what is predicted, and how uncertain it is.

    Make it by :meth:`from_estimator`.

    Parameters
    ----------
    grid_x, grid_y : ndarray of shape (n_x,) and (n_y,)
        Values of the two columns.
    prediction : ndarray of shape (n_y, n_x)
        In the units of y; of a classifier the probability of a class.
    uncertainty : ndarray of shape (n_y, n_x)
        Standard deviation in the units of y; of a classifier the entropy of the label, in bits.
    feature_names : tuple of two str
        Of the axes.
    panel_names : tuple of two str
        Above the maps.
    is_probability : bool, default=False
        Whether ``prediction`` is one: its colours then have their middle at a half.
    X : ndarray of shape (n_rows, 2), default=None
        The two columns of the rows that are shown.
    y : ndarray of shape (n_rows,), default=None
        Their targets, or whether they are of the class: what colours them on the first map.

    Attributes
    ----------
    axes_ : ndarray of two matplotlib Axes
    figure_ : matplotlib Figure
    maps_ : list of two matplotlib QuadMesh
    colorbars_ : list of two matplotlib Colorbar
    data_ : list of two matplotlib PathCollection
        Empty without rows to show.

    See Also
    --------
    BandDisplay : Along one column.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng import GaussianProcessRegressor
    >>> from skgpng.displays import MapDisplay
    >>> X = np.random.RandomState(0).uniform(0, 3, (40, 2))
    >>> y = np.sin(X[:, 0]) * X[:, 1]
    >>> model = GaussianProcessRegressor().fit(X, y)
    >>> display = MapDisplay.from_estimator(model, X, y=y, grid_resolution=20)
    >>> display.prediction.shape, display.axes_[0].get_ylabel()
    ((20, 20), 'x1')
    """

    def __init__(
        self,
        grid_x: Any,
        grid_y: Any,
        prediction: Any,
        uncertainty: Any,
        *,
        feature_names: Sequence[str] = ("x0", "x1"),
        panel_names: Sequence[str] = ("y", "standard deviation"),
        is_probability: bool = False,
        X: Any = None,
        y: Any = None,
    ) -> None:
        self.grid_x, self.grid_y = grid_x, grid_y
        self.prediction, self.uncertainty = prediction, uncertainty
        self.feature_names, self.panel_names = feature_names, panel_names
        self.is_probability = is_probability
        self.X, self.y = X, y

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        features: Sequence = (0, 1),
        *,
        y: Any = None,
        target: Any = None,
        fixed: Mapping | None = None,
        grid_resolution: int = 60,
        include_noise: bool = False,
        subsample: int | None = 1000,
        random_state: Any = 0,
        ax: Any = None,
        **plot: Any,
    ) -> MapDisplay:
        """Ask an estimator over two columns, the others held at their median.

        Parameters
        ----------
        estimator : estimator instance
            As in :meth:`BandDisplay.from_estimator`.
        X : array-like of shape (n_samples, n_features), default=None
            Rows that give the ranges of the columns and the values of the others, and are shown;
            ``None`` stands for those of ``fit``, where the estimator has kept them.
        features : pair of int or str, default=(0, 1)
            Positions or names of the columns.
        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Colours the rows as the map is coloured.
        target : int, str or label, default=None
            Which of several targets, by position, or by name where y is a data frame. Of a
            classifier the class whose probability is shown; of two the second by default.
        fixed : dict, default=None
            Values at which other columns are held, as ``{"age": 40}``; else their median, or the
            most frequent value of what are no numbers.
        grid_resolution : int, default=60
            Values of each column; their square is predicted.
        include_noise : bool, default=False
            Whether the standard deviation is that of y or that of its mean. Regressors of
            scikit-learn do not tell them apart: theirs is shown as it is.
        subsample : int or None, default=1000
            Rows that are shown at most, drawn by ``random_state``; ``None`` shows all.
        random_state : int, RandomState instance or None, default=0
        ax : matplotlib Axes or two of them, default=None
            One is divided; of a new figure where it is None.
        **plot : dict
            Goes to :meth:`plot`.

        Returns
        -------
        MapDisplay

        Raises
        ------
        ValueError
            For columns that are not there, not of numbers or twice the same, and several targets
            or classes of which none is chosen.
        TypeError
            For an estimator without uncertainty.
        ImportError
            Without matplotlib.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        asked = asked_of(estimator)
        X = table_of(X, asked.estimator)
        names = names_of(X, estimator)
        each = [features] if isinstance(features, str | Integral) else features
        pair = [position_of(feature, names) for feature in each]
        if len(pair) != 2 or pair[0] == pair[1]:
            raise ValueError(f"features={features!r} must be two different columns.")
        values = [column_of(X, k, names[k]) for k in pair]
        grids = [np.linspace(np.nanmin(v), np.nanmax(v), grid_resolution) for v in values]
        mesh = np.meshgrid(*grids)
        along = {k: at.ravel() for k, at in zip(pair, mesh, strict=True)}
        rows = rows_like(X, along, grid_resolution**2, fixed, names)
        of = _of_class if asked.is_classifier else _of_target
        prediction, uncertainty, panel_names, y = of(asked, rows, y, target, include_noise)
        shown = some_of(len(values[0]), subsample, random_state)
        return cls(
            grids[0],
            grids[1],
            prediction.reshape(mesh[0].shape),
            uncertainty.reshape(mesh[0].shape),
            feature_names=tuple(names[k] for k in pair),
            panel_names=panel_names,
            is_probability=asked.is_classifier,
            X=np.column_stack(values)[shown],
            y=None if y is None else y[shown],
        ).plot(ax, **plot)

    def plot(
        self,
        ax: Any = None,
        *,
        map_kwargs: Mapping | None = None,
        uncertainty_kwargs: Mapping | None = None,
        data_kwargs: Mapping | None = None,
    ) -> MapDisplay:
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes or two of them, default=None
            One is divided; of a new figure where it is None.
        map_kwargs, uncertainty_kwargs : dict, default=None
            For matplotlib's ``pcolormesh`` of the first and of the second map, such as ``cmap``.
        data_kwargs : dict, default=None
            For matplotlib's ``scatter``.

        Returns
        -------
        self
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        self.axes_ = axes_in(ax, 2, (4.6, 3.6))
        self.figure_ = self.axes_[0].figure
        of_prediction: dict = {"cmap": "viridis"}
        if self.is_probability:
            of_prediction = {"cmap": "PuOr_r", "vmin": 0.0, "vmax": 1.0}
        elif self.y is not None:  # one scale for the map and what is seen of it
            both = np.concatenate([np.ravel(self.prediction), np.ravel(self.y)])
            of_prediction |= {"vmin": np.nanmin(both), "vmax": np.nanmax(both)}
        of_uncertainty = {"cmap": "cividis"}
        self.maps_ = [
            self._draw_map(self.axes_[0], self.prediction, map_kwargs, of_prediction),
            self._draw_map(self.axes_[1], self.uncertainty, uncertainty_kwargs, of_uncertainty),
        ]
        self.colorbars_ = [
            self.figure_.colorbar(drawn, ax=ax)
            for drawn, ax in zip(self.maps_, self.axes_, strict=True)
        ]
        self._draw_data(data_kwargs)
        for ax, title in zip(self.axes_, self.panel_names, strict=True):
            ax.set(xlabel=self.feature_names[0], ylabel=self.feature_names[1])
            ax.set_title(title, fontsize="medium")
        return self

    def _draw_map(self, ax: Any, values: Any, given: Mapping | None, ours: dict) -> Any:
        from matplotlib.collections import QuadMesh

        # a picture among the vectors of a PDF: thousands of its cells would be slow to show
        how = keywords(given, QuadMesh, shading="gouraud", rasterized=True, **ours)
        return ax.pcolormesh(self.grid_x, self.grid_y, values, **how)

    def _draw_data(self, given: Mapping | None) -> None:
        self.data_ = []
        if self.X is None:
            return
        plain: dict = {"color": "white", "edgecolors": "black", "linewidths": 0.4, "s": 10}
        plain |= {"alpha": 0.9, "clip_on": False, "zorder": 3}  # those at the edges are whole
        filled = {**plain, "s": 20}
        if self.y is not None:  # a point that is predicted well shows by its rim alone
            filled |= {"edgecolors": "white", "linewidths": 0.7}
            filled |= {"c": self.y, "cmap": self.maps_[0].get_cmap(), "norm": self.maps_[0].norm}
        at = np.asarray(self.X)
        self.data_ = [
            draw_points(ax, at[:, 0], at[:, 1], given, **ours)
            for ax, ours in zip(self.axes_, (filled, plain), strict=True)
        ]


def _of_class(asked: Asked, rows: Any, y: Any, target: Any, include_noise: bool) -> tuple:
    """Probability of a class, entropy of the label in bits, names, and which rows are of it."""
    classes = np.asarray(asked.estimator.classes_)
    if target is None and len(classes) > 2:
        raise ValueError(
            f"There are {len(classes)} classes: say by target= whose probability is shown, one of "
            f"{classes.tolist()}."
        )
    k = np.flatnonzero(classes == (classes[1] if target is None else target))
    if len(k) != 1:
        raise ValueError(f"target={target!r} is none of the classes {classes.tolist()}.")
    p = asked.proba(rows)
    entropy = -xlogy(p, p).sum(1) / np.log(2.0)
    names = f"probability of {classes[k[0]]}", "entropy of the label, bits"
    of_class = None if y is None else (labels_among(classes, y) == classes[k[0]]).astype(float)
    return p[:, k[0]], entropy, names, of_class


def _of_target(asked: Asked, rows: Any, y: Any, target: Any, include_noise: bool) -> tuple:
    """Prediction and standard deviation of a target, names, and y."""
    known = getattr(y, "columns", ())
    mean, std = asked.mean_and_std(rows, include_noise)
    mean, k = target_of(mean.reshape(len(mean), -1), target, known)
    std, _ = target_of(std.reshape(len(std), -1), target, known)
    name = known[k] if len(known) else getattr(y, "name", None)
    name = "y" if name is None else str(name)
    of = "" if include_noise or not asked.knows_noise else " of the mean"
    if y is not None:
        y, _ = target_of(np.asarray(y, dtype=float).reshape(len(y), -1), target, known)
    return mean, std, (name, f"standard deviation{of}"), y
