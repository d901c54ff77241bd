"""Predictions and their bands along one column of X."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import ndtri
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ._common import (
    COLOURS,
    Asked,
    asked_of,
    axes_in,
    band_at,
    column_of,
    draw_points,
    keywords,
    labels_among,
    legend_above,
    levels_given,
    names_of,
    position_of,
    rows_like,
    some_of,
    table_of,
    target_of,
    thin,
)

__all__ = ["BandDisplay"]


class BandDisplay:
    """Predictions along one column of X, with the band that holds them.

    Make it by :meth:`from_estimator` or :meth:`from_predictions`. The rows of data lie where their
    other columns put them, and need not lie in a band that holds these at one value.

    Parameters
    ----------
    grid : ndarray of shape (n_grid,)
        Values of the column.
    mean : ndarray of shape (n_grid,) or (n_grid, n_classes)
        Predictions; of a classifier the probability of each class that is shown.
    lower, upper : ndarray of shape (n_grid, n_levels), default=None
        Ends of the bands, in the units of y.
    levels : array-like of shape (n_levels,), default=()
        Probability of each band, the widest first.
    feature_name, target_name : str
        Of the axes.
    classes : array-like of shape (n_classes,), default=None
        Labels, one a column of ``mean``.
    band_name : str, default="interval"
        What the bands are, after their level in the legend.
    samples : ndarray of shape (n_grid, n_samples), default=None
        Functions drawn.
    inducing_points : ndarray of shape (n_inducing,), default=None
        This column of them.
    X : ndarray of shape (n_rows,), default=None
        This column of the rows that are shown.
    y : ndarray of shape (n_rows,), default=None
        Their targets or labels; without it X is shown by marks at the edge.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        Predictions, one a class.
    bands_ : list of matplotlib PolyCollection
        One a level, the widest first.
    samples_ : list of matplotlib Line2D
    data_ : matplotlib PathCollection, list of Line2D, or None
        Points; of labels or without y the marks of each class.
    inducing_points_ : matplotlib Line2D or None

    See Also
    --------
    MapDisplay : Along two columns.
    sklearn.inspection.PartialDependenceDisplay : Averaged over the other columns.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng import GaussianProcessRegressor
    >>> from skgpng.displays import BandDisplay
    >>> X = np.linspace(0, 6, 30)[:, None]
    >>> y = np.sin(X[:, 0])
    >>> model = GaussianProcessRegressor().fit(X, y)
    >>> display = BandDisplay.from_estimator(model, X, y=y, level=(0.5, 0.95))
    >>> len(display.bands_), display.ax_.get_xlabel()
    (2, 'x0')
    """

    def __init__(
        self,
        grid: Any,
        mean: Any,
        lower: Any = None,
        upper: Any = None,
        *,
        levels: Any = (),
        feature_name: str = "x",
        target_name: str = "y",
        classes: Any = None,
        band_name: str = "interval",
        samples: Any = None,
        inducing_points: Any = None,
        X: Any = None,
        y: Any = None,
    ) -> None:
        self.grid, self.mean = grid, mean
        self.lower, self.upper, self.levels = lower, upper, levels
        self.feature_name, self.target_name = feature_name, target_name
        self.classes, self.band_name = classes, band_name
        self.samples, self.inducing_points = samples, inducing_points
        self.X, self.y = X, y

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        feature: int | str = 0,
        *,
        y: Any = None,
        target: int | str | None = None,
        fixed: Mapping | None = None,
        grid: Any = None,
        grid_resolution: int = 200,
        level: Any = 0.95,
        include_noise: bool = True,
        n_samples: int = 0,
        subsample: int | None = 1000,
        random_state: Any = 0,
        ax: Any = None,
        **plot: Any,
    ) -> BandDisplay:
        """Ask an estimator along a column, the others held at their median.

        Parameters
        ----------
        estimator : estimator instance
            A regressor with ``predict(X, return_std=True)``, such as skgpng's and scikit-learn's
            Gaussian processes, or a classifier with ``predict_proba``; alone, or at the end of a
            pipeline or a search. One of skgpng's that is not fitted shows its prior.
        X : array-like of shape (n_samples, n_features), default=None
            Rows that give the range of the column and the values of the others, and are shown.
            ``None`` stands for those of ``fit``, where the estimator has kept them
            (``X_train_``).
        feature : int or str, default=0
            Position or name of the column.
        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Shown as points; without it marks at the edge say where there are rows.
        target : int or str, default=None
            Which of several targets, by position, or by name where y is a data frame.
        fixed : dict, default=None
            Values at which other columns are held, as ``{"age": 40}``. What is not there is held
            at its median (of two the lower one), or at its most frequent value, where it is not
            of numbers.
        grid : array-like of shape (n_grid,), default=None
            Values of the column to predict at, in the place of ``grid_resolution`` ones over its
            range.
        grid_resolution : int, default=200
        level : float or sequence of float, default=0.95
            Probability of the band, or of several.
        include_noise : bool, default=True
            Whether the band is that of y, by the quantiles that its likelihood predicts, or that
            of its mean. Regressors of scikit-learn do not tell them apart: their standard
            deviation is shown as it is.
        n_samples : int, default=0
            Functions to draw beside the band, without noise.
        subsample : int or None, default=1000
            Rows that are shown at most, drawn by ``random_state``; ``None`` shows all.
        random_state : int, RandomState instance or None, default=0
        ax : matplotlib Axes, default=None
            Of a new figure where it is None.
        **plot : dict
            Goes to :meth:`plot`.

        Returns
        -------
        BandDisplay

        Raises
        ------
        ValueError
            For a column that is not there or not of numbers, and several targets of which none
            is chosen.
        TypeError
            For an estimator without uncertainty.
        ImportError
            Without matplotlib.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        asked = asked_of(estimator)
        X = table_of(X, asked.estimator)
        names = names_of(X, estimator)
        k = position_of(feature, names)
        values = column_of(X, k, names[k])
        if grid is None:
            grid = np.linspace(np.nanmin(values), np.nanmax(values), grid_resolution)
        grid = np.asarray(grid, dtype=float)
        rows = rows_like(X, {k: grid}, len(grid), fixed, names)
        shown = some_of(len(values), subsample, random_state)
        numbers: dict = {
            "feature_name": names[k],
            "inducing_points": _inducing(asked, k),
            "X": values[shown],
        }
        if asked.is_classifier:
            numbers |= _probabilities(asked, rows, y, shown)
        else:
            noisy = include_noise
            numbers |= _regression(asked, rows, y, shown, target, levels_given(level), noisy)
            if n_samples:
                draws = asked.draws(rows, n_samples, random_state)
                draws = draws.reshape(len(grid), -1, n_samples)
                numbers["samples"] = target_of(draws, target, getattr(y, "columns", ()))[0]
        return cls(grid, **numbers).plot(ax, **plot)

    @classmethod
    def from_predictions(
        cls,
        grid: Any,
        mean: Any,
        std: Any,
        *,
        level: Any = 0.95,
        feature_name: str = "x",
        target_name: str = "y",
        X: Any = None,
        y: Any = None,
        ax: Any = None,
        **plot: Any,
    ) -> BandDisplay:
        """Show predictions that are normal, with a mean and a standard deviation.

        Parameters
        ----------
        grid, mean, std : array-like of shape (n_grid,)
            Values of the column, in whatever order, and what is predicted there.
        level : float or sequence of float, default=0.95
        feature_name, target_name : str
        X, y : array-like of shape (n_rows,), default=None
            Points to show.
        ax : matplotlib Axes, default=None
        **plot : dict
            Goes to :meth:`plot`.

        Returns
        -------
        BandDisplay

        Raises
        ------
        ValueError
            For shapes that differ.
        ImportError
            Without matplotlib.

        Examples
        --------
        >>> from skgpng.displays import BandDisplay
        >>> display = BandDisplay.from_predictions([0, 1, 2], [3.0, 4.0, 4.5], [0.5, 0.2, 0.9])
        >>> print(display.upper.T.round(2))
        [[3.98 4.39 6.26]]
        """
        check_matplotlib_support(f"{cls.__name__}.from_predictions")
        grid, mean, std = (np.asarray(values, dtype=float) for values in (grid, mean, std))
        if not (grid.ndim == 1 and grid.shape == mean.shape == std.shape):
            raise ValueError(
                f"grid, mean and std must have one shape (n,), got {grid.shape}, {mean.shape} and "
                f"{std.shape}."
            )
        order = np.argsort(grid, kind="stable")
        grid, mean, levels = grid[order], mean[order], levels_given(level)
        half = std[order, None] * ndtri(0.5 + 0.5 * levels)
        ends = mean[:, None] - half, mean[:, None] + half
        names = {"feature_name": feature_name, "target_name": target_name}
        return cls(grid, mean, *ends, levels=levels, X=X, y=y, **names).plot(ax, **plot)

    def plot(
        self,
        ax: Any = None,
        *,
        name: str | None = None,
        color: Any = None,
        legend: bool = True,
        line_kwargs: Mapping | None = None,
        band_kwargs: Mapping | None = None,
        sample_kwargs: Mapping | None = None,
        data_kwargs: Mapping | None = None,
    ) -> BandDisplay:
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Of a new figure where it is None.
        name : str, default=None
            Of the line in the legend, "prediction" by default.
        color : color, default=None
            Of line and bands, to tell displays on the same axes apart.
        legend : bool, default=True
            Whether there is one, above the axes.
        line_kwargs, band_kwargs, sample_kwargs, data_kwargs : dict, default=None
            For matplotlib's ``plot``, ``fill_between``, ``plot`` and ``scatter`` (of labels
            ``plot``).

        Returns
        -------
        self
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        (ax,) = axes_in(ax, 1, (5.6, 3.6))
        self.ax_, self.figure_ = ax, ax.figure
        self._draw_samples(color or COLOURS[0], sample_kwargs)
        self._draw_bands(color or COLOURS[0], band_kwargs)
        self._draw_lines(name, color, line_kwargs)
        self._draw_data(data_kwargs)
        self._draw_inducing_points()
        ax.set(xlabel=self.feature_name, ylabel=self.target_name)
        ax.margins(x=0.02)
        thin(ax)
        if legend:
            self._draw_legend()
        return self

    # --- parts of the picture ------------------------------------------------------------

    def _draw_samples(self, color: Any, given: Mapping | None) -> None:
        from matplotlib.lines import Line2D

        how = keywords(given, Line2D, color=color, linewidth=0.8, alpha=0.7, zorder=1.8)
        drawn = [] if self.samples is None else self.ax_.plot(self.grid, self.samples, **how)
        if drawn:
            drawn[0].set_label("samples")
        self.samples_ = drawn

    def _draw_bands(self, color: Any, given: Mapping | None) -> None:
        from matplotlib.collections import PolyCollection

        self.bands_ = []
        for k, level in enumerate(np.atleast_1d(self.levels)):
            label = f"{100 * level:.3g} % {self.band_name}"
            # a narrower band lies on the wider ones, and is darker by that
            how = {"color": color, "alpha": 0.3, "linewidth": 0, "zorder": 1.5, "label": label}
            how = keywords(given, PolyCollection, **how)
            band = self.ax_.fill_between(self.grid, self.lower[:, k], self.upper[:, k], **how)
            self.bands_.append(band)

    def _draw_lines(self, name: str | None, color: Any, given: Mapping | None) -> None:
        from matplotlib.lines import Line2D

        self.lines_ = []
        labels = [name or "prediction"]
        if self.classes is not None:
            labels = [f"{name}: {label}" if name else str(label) for label in self.classes]
            if len(labels) == 1:  # the axis names the class
                labels = [name or "_" + labels[0]]
        for k, (label, values) in enumerate(zip(labels, _by_column(self.mean), strict=True)):
            ours = {"color": color or COLOURS[k % len(COLOURS)], "label": label, "zorder": 2.2}
            how = keywords(given, Line2D, **ours, linewidth=1.8, linestyle=_dashes(k))
            self.lines_ += self.ax_.plot(self.grid, values, **how)
        if self.classes is not None:
            self.ax_.set_ylim(-0.06, 1.06)

    def _draw_data(self, given: Mapping | None) -> None:
        self.data_ = None
        if self.X is None:
            return
        if self.y is None or self.classes is not None:
            self.data_ = self._draw_marks(given)
            return
        self.data_ = draw_points(self.ax_, self.X, self.y, given, label="data")

    def _draw_marks(self, given: Mapping | None) -> list:
        """Rows at the lower edge; of two classes those of the second at the upper one."""
        import matplotlib as mpl
        from matplotlib.lines import Line2D

        plain = {"color": mpl.rcParams["text.color"], "linestyle": "none", "marker": "|"}
        plain |= {"markersize": 5, "markeredgewidth": 0.8, "alpha": 0.4, "zorder": 2}
        if self.y is None:
            edge = self.ax_.get_xaxis_transform()
            how = keywords(given, Line2D, **plain, transform=edge)
            return self.ax_.plot(self.X, np.full(len(self.X), 0.015), **how)
        drawn = []
        for k, label in enumerate(self.classes):
            of_class = self.y == label
            if len(self.classes) == 1:  # the others are below
                drawn += self._row_of_marks(~of_class, -0.03, plain, given)
                drawn += self._row_of_marks(of_class, 1.03, plain, given)
                return drawn
            colored = {**plain, "color": COLOURS[k % len(COLOURS)], "alpha": 0.7}
            drawn += self._row_of_marks(of_class, -0.04 * (k + 1), colored, given)
        self.ax_.set_ylim(-0.04 * (len(self.classes) + 1), 1.04)
        return drawn

    def _row_of_marks(self, rows: np.ndarray, height: float, how: dict, given: Any) -> list:
        from matplotlib.lines import Line2D

        at = np.full(np.count_nonzero(rows), height)
        return self.ax_.plot(self.X[rows], at, **keywords(given, Line2D, **how))

    def _draw_inducing_points(self) -> None:
        self.inducing_points_ = None
        if self.inducing_points is None:
            return
        edge = self.ax_.get_xaxis_transform()
        at = np.full(len(self.inducing_points), 0.02)
        how = {"linestyle": "none", "marker": "^", "markersize": 5, "color": COLOURS[1]}
        how |= {"markeredgewidth": 0, "alpha": 0.9, "clip_on": False, "zorder": 3}
        (self.inducing_points_,) = self.ax_.plot(
            self.inducing_points, at, transform=edge, label="inducing points", **how
        )

    def _draw_legend(self) -> None:
        """Predictions first, then what surrounds them; each band as dark as it is seen."""
        ours = [*self.lines_, *self.bands_, *self.samples_]
        handles, labels = self.ax_.get_legend_handles_labels()
        if not handles:
            return
        place = {id(artist): k for k, artist in enumerate(ours)}
        order = sorted(range(len(handles)), key=lambda k: place.get(id(handles[k]), len(ours)))
        legend = legend_above(self.ax_, [handles[k] for k in order], [labels[k] for k in order])
        shown = {id(handles[k]): drawn for k, drawn in zip(order, legend.legend_handles)}
        for k, band in enumerate(self.bands_):
            if id(band) in shown and band.get_alpha() is not None:
                shown[id(band)].set_alpha(1.0 - (1.0 - band.get_alpha()) ** (k + 1))


def _inducing(asked: Asked, k: int) -> np.ndarray | None:
    """Column of the inducing points, where they lie among the rows as these are handed in."""
    points = getattr(asked.estimator, "inducing_points_", None)
    return None if points is None or asked.steps else points[:, k]


def _probabilities(asked: Asked, rows: Any, y: Any, shown: np.ndarray) -> dict:
    """Probability of each class; of two that of the second, which says both."""
    p, classes = asked.proba(rows), np.asarray(asked.estimator.classes_)
    labels = None if y is None else labels_among(classes, y)[shown]
    what = "probability"
    if len(classes) == 2:
        p, classes = p[:, 1:], classes[1:]
        what = f"probability of {classes[0]}"
    return {"mean": p, "classes": classes, "y": labels, "target_name": what}


def _regression(
    asked: Asked,
    rows: Any,
    y: Any,
    shown: np.ndarray,
    target: Any,
    levels: np.ndarray,
    noisy: bool,
) -> dict:
    """Prediction and bands of one target, its points and its name."""
    known = getattr(y, "columns", ())
    mean, lower, upper = band_at(asked, rows, levels, noisy, target, known)
    of_mean = not noisy and asked.knows_noise
    numbers = {
        "mean": mean,
        "lower": lower,
        "upper": upper,
        "levels": levels,
        "band_name": "interval of the mean" if of_mean else "interval",
    }
    if y is None:
        return numbers
    points, k = np.asarray(y, dtype=float).reshape(len(y), -1), 0
    points, k = target_of(points, target, known)
    name = known[k] if len(known) else getattr(y, "name", None)
    return {**numbers, "y": points[shown], "target_name": "y" if name is None else str(name)}


def _by_column(values: Any) -> np.ndarray:
    values = np.asarray(values)
    return values[None] if values.ndim == 1 else values.T


def _dashes(k: int) -> Any:
    """Of the k-th line: a class is told by more than its colour."""
    return ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))[k % 6]
