"""The parts of an additive function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ._common import (
    COLOURS,
    Asked,
    asked_of,
    axes_in,
    column_of,
    keywords,
    levels_given,
    names_of_last,
    rows_like,
    some_of,
    table_of,
    target_of,
    thin,
)

__all__ = ["AdditiveDisplay", "ShownComponent"]

# Up to so many values of a column are shown one by one.
_FEW = 5


class ShownComponent(NamedTuple):
    """One panel of :class:`AdditiveDisplay`: the effect of one column, or of two together.

    Attributes
    ----------
    names : tuple of str
        Of the columns.
    share : float
        Of the variance of the fitted function.
    grids : tuple of ndarray of shape (n_grid,)
        Values of each column.
    mean, std : ndarray of shape (n_grid,) or (n_grid_second, n_grid_first)
        In the units of y where its mean is the latent function, else in those of f.
    rows : ndarray of shape (n_rows,) or (n_rows, 2)
        Values of the columns in the rows that are shown.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.displays import AdditiveDisplay, ShownComponent
    >>> x = np.linspace(0, 1, 20)
    >>> part = ShownComponent(("age",), 0.8, (x,), x**2, 0.1 + 0 * x, x)
    >>> AdditiveDisplay([part]).plot().axes_[0].get_title()
    '80 % of the variance'
    """

    names: tuple
    share: float
    grids: tuple
    mean: np.ndarray
    std: np.ndarray
    rows: np.ndarray


class AdditiveDisplay:
    """What each column does, and what pairs do beyond, under an ``OrthogonalAdditive`` kernel.

    Make it by :meth:`from_estimator`. One panel a part, the largest share of the variance of the
    function first: of one column a line with its band (of few values points with bars), of two
    columns a map; lines are all on one scale, and maps on another. Marks at the edge are the rows.

    Parameters
    ----------
    components : list of ShownComponent
    level : float, default=0.95
        Probability of the bands.
    effect_name : str, default="effect on y"
        Of the axis.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
    figure_ : matplotlib Figure
    artists_ : list of dict
        Of each panel: ``"line"`` and ``"band"``, or ``"points"``, or ``"map"`` and ``"colorbar"``.

    See Also
    --------
    skgpng.kernels.OrthogonalAdditive : The kernel.
    BandDisplay : Predictions along a column, the others held.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng import GaussianProcessRegressor
    >>> from skgpng.displays import AdditiveDisplay
    >>> from skgpng.kernels import OrthogonalAdditive
    >>> X = np.random.RandomState(0).uniform(-1, 1, (80, 2))
    >>> y = X[:, 0] ** 2 + np.sin(3 * X[:, 1])
    >>> model = GaussianProcessRegressor(OrthogonalAdditive()).fit(X, y)
    >>> display = AdditiveDisplay.from_estimator(model, X, max_components=2)
    >>> [ax.get_xlabel() for ax in display.axes_]
    ['x1', 'x0']
    """

    def __init__(
        self,
        components: Sequence[ShownComponent],
        *,
        level: float = 0.95,
        effect_name: str = "effect on y",
    ) -> None:
        self.components = components
        self.level, self.effect_name = level, effect_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        *,
        max_components: int = 6,
        target: int | None = None,
        feature_names: Sequence[str] | None = None,
        grid_resolution: int = 100,
        level: float = 0.95,
        subsample: int | None = 1000,
        random_state: Any = 0,
        ax: Any = None,
        **plot: Any,
    ) -> AdditiveDisplay:
        """Ask a regressor for its components.

        Parameters
        ----------
        estimator : estimator instance
            A fitted :class:`skgpng.GaussianProcessRegressor` with an ``OrthogonalAdditive``
            kernel, alone or at the end of a pipeline or a search: then its columns are those that
            the last step sees.
        X : array-like of shape (n_samples, n_features), default=None
            Rows that give the ranges of the columns; ``None`` stands for those of ``fit``, where
            the estimator has kept them.
        max_components : int, default=6
            Parts to show.
        target : int, default=None
            Which of several targets.
        feature_names : sequence of str, default=None
            Names of the columns, where the estimator (or the steps before it) does not know them.
        grid_resolution : int, default=100
            Values of a column; of the two of a map a third of them.
        level : float, default=0.95
            Probability of the bands.
        subsample : int or None, default=1000
            Rows that are shown at most, drawn by ``random_state``; ``None`` shows all.
        random_state : int, RandomState instance or None, default=0
        ax : matplotlib Axes or as many as there are parts, default=None
            One is divided; of a new figure where it is None.
        **plot : dict
            Goes to :meth:`plot`.

        Returns
        -------
        AdditiveDisplay

        Raises
        ------
        AttributeError
            For another kernel.
        ValueError
            For several targets of which none is chosen, and parts of more than two columns among
            the first.
        TypeError
            For an estimator without components.
        ImportError
            Without matplotlib.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        asked = asked_of(estimator, "n_features_in_")
        if not hasattr(type(asked.estimator), "additive_components_"):
            raise TypeError(
                f"{asked.name} has no additive_components_: the display is for skgpng's "
                "GaussianProcessRegressor with kernel=OrthogonalAdditive()."
            )
        parts = asked.estimator.additive_components_[:max_components]
        table = table_of(X if X is None or not asked.steps else asked.at(X), asked.estimator)
        names = names_of_last(asked) if feature_names is None else list(map(str, feature_names))
        shown = some_of(len(table), subsample, random_state)
        components = [
            _shown(asked, table, part, names, grid_resolution, target, shown) for part in parts
        ]
        effect = "effect on y" if asked.mean_is_normal else "effect on f"
        (level,) = levels_given(level)
        return cls(components, level=level, effect_name=effect).plot(ax, **plot)

    def plot(
        self,
        ax: Any = None,
        *,
        columns: int = 3,
        color: Any = None,
        line_kwargs: Mapping | None = None,
        band_kwargs: Mapping | None = None,
        map_kwargs: Mapping | None = None,
    ) -> AdditiveDisplay:
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes or as many as there are parts, default=None
            One is divided; of a new figure where it is None.
        columns : int, default=3
            Panels beside each other.
        color : color, default=None
            Of lines and bands.
        line_kwargs, band_kwargs, map_kwargs : dict, default=None
            For matplotlib's ``plot`` (of few values ``errorbar``), ``fill_between`` and
            ``pcolormesh``.

        Returns
        -------
        self
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        self.axes_ = axes_in(ax, len(self.components), (2.9, 2.5), columns)
        self.figure_ = self.axes_[0].figure
        self.artists_ = []
        kwargs = line_kwargs, band_kwargs
        for each, part in zip(self.axes_, self.components, strict=True):
            if len(part.names) == 2:
                self.artists_.append(self._draw_map(each, part, map_kwargs))
            elif len(part.grids[0]) <= _FEW:
                self.artists_.append(self._draw_points(each, part, color or COLOURS[0], kwargs[0]))
            else:
                self.artists_.append(self._draw_line(each, part, color or COLOURS[0], *kwargs))
            each.set_title(f"{_percent(part.share)} of the variance", fontsize="medium")
        self._share_scale(columns)
        return self

    # --- parts of the picture ------------------------------------------------------------

    def _half_width(self, part: ShownComponent) -> np.ndarray:
        return ndtri(0.5 + 0.5 * self.level) * part.std

    def _draw_line(
        self, ax: Any, part: ShownComponent, color: Any, line: Mapping | None, band: Mapping | None
    ) -> dict:
        from matplotlib.collections import PolyCollection
        from matplotlib.lines import Line2D

        (grid,), half = part.grids, self._half_width(part)
        how = keywords(band, PolyCollection, color=color, alpha=0.3, linewidth=0)
        drawn: dict = {"band": ax.fill_between(grid, part.mean - half, part.mean + half, **how)}
        (drawn["line"],) = ax.plot(
            grid, part.mean, **keywords(line, Line2D, color=color, linewidth=1.8)
        )
        self._draw_rows(ax, part.rows)
        return drawn

    def _draw_points(
        self, ax: Any, part: ShownComponent, color: Any, given: Mapping | None
    ) -> dict:
        from matplotlib.lines import Line2D

        how = keywords(given, Line2D, color=color, marker="o", markersize=5, linestyle="none")
        points = ax.errorbar(part.grids[0], part.mean, self._half_width(part), capsize=3, **how)
        ax.set_xticks(part.grids[0])
        ax.margins(x=0.25)
        return {"points": points}

    def _draw_rows(self, ax: Any, values: np.ndarray) -> None:
        import matplotlib as mpl

        how = {"color": mpl.rcParams["text.color"], "alpha": 0.35, "markeredgewidth": 0.6}
        at, edge = np.full(len(values), 0.02), ax.get_xaxis_transform()
        ax.plot(values, at, "|", markersize=5, transform=edge, **how)

    def _draw_map(self, ax: Any, part: ShownComponent, given: Mapping | None) -> dict:
        from matplotlib.collections import QuadMesh

        pairs = [other.mean for other in self.components if len(other.names) == 2]
        most = max(np.abs(mean).max() for mean in pairs) or 1.0
        ours = {"cmap": "PuOr_r", "vmin": -most, "vmax": most, "shading": "gouraud"}
        how = keywords(given, QuadMesh, rasterized=True, **ours)
        drawn = ax.pcolormesh(*part.grids, part.mean, **how)
        ax.plot(*part.rows.T, ".", color="black", markersize=2, alpha=0.4, clip_on=False)
        ax.set(xlabel=part.names[0], ylabel=part.names[1])
        bar = self.figure_.colorbar(drawn, ax=ax)
        bar.outline.set_visible(False)
        return {"map": drawn, "colorbar": bar}

    def _share_scale(self, columns: int) -> None:
        """Effects of single columns on one scale, on which they can be compared."""
        single = [k for k, part in enumerate(self.components) if len(part.names) == 1]
        if not single:
            return
        ends = [
            end
            for part in (self.components[k] for k in single)
            for end in (part.mean - self._half_width(part), part.mean + self._half_width(part))
        ]
        low, high = min(map(np.min, ends)), max(map(np.max, ends))
        room = 0.08 * (high - low)
        for k in single:
            ax = self.axes_[k]
            ax.axhline(0.0, color="0.6", linewidth=0.8, zorder=0.5)
            ax.set(xlabel=self.components[k].names[0], ylim=(low - room, high + room))
            ax.set_ylabel(self.effect_name)
            thin(ax)


def _shown(
    asked: Asked, X: Any, part: Any, names: list, resolution: int, target: Any, shown: np.ndarray
) -> ShownComponent:
    """Numbers of one panel."""
    if len(part.columns) > 2:
        raise ValueError(
            f"The part of {_together(part.columns)} has no picture: a panel shows one column or "
            "two. Set a smaller max_components, or OrthogonalAdditive(max_order=2)."
        )
    known = [str(name) for name in getattr(asked.estimator, "feature_names_in_", ())]
    where = [known.index(c) if isinstance(c, str) else int(c) for c in part.columns]
    values = [column_of(X, k, names[k]) for k in where]
    pair = len(where) == 2
    grids = [_grid(v, max(resolution // 3, 2) if pair else resolution, pair) for v in values]
    mesh = np.meshgrid(*grids)
    along = {k: at.ravel() for k, at in zip(where, mesh, strict=True)}
    rows = rows_like(X, along, mesh[0].size, None, names)
    found = asked.estimator.predict_component(rows, part.columns, return_std=True)
    mean, std = (target_of(v.reshape(len(v), -1), target)[0].reshape(mesh[0].shape) for v in found)
    share = target_of(np.reshape(part.share, (1, -1)), target)[0][0]
    at = np.column_stack(values)[shown] if pair else values[0][shown]
    titles = tuple(names[k] for k in where)
    return ShownComponent(titles, float(share), tuple(grids), mean, std, at)


def _grid(values: np.ndarray, resolution: int, pair: bool) -> np.ndarray:
    """Values that few are, one by one; else evenly over the range."""
    distinct = np.unique(values[np.isfinite(values)])
    if len(distinct) <= _FEW and not pair:
        return distinct
    return np.linspace(distinct[0], distinct[-1], resolution)


def _together(names: Sequence) -> str:
    return " and ".join(map(str, names))


def _percent(share: float) -> str:
    if share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"
