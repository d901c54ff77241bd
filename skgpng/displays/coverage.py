"""Whether predictive distributions hold what they promise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import ndtr
from scipy.stats import binom
from sklearn.utils import check_random_state
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ._common import COLOURS, Asked, asked_of, axes_in, keywords, legend_above, target_of, thin

__all__ = ["CoverageDisplay"]

# Quantiles that a distribution is known by: edges of any 10 or 20 bins of the PIT are among them.
_QUANTILES = np.arange(1, 100) / 100
_KINDS = {"both": ("coverage", "pit"), "coverage": ("coverage",), "pit": ("pit",)}


class CoverageDisplay:
    r"""Coverage of predictive intervals against their level, and the PIT histogram.

    Make it by :meth:`from_estimator`, :meth:`from_predictions` or :meth:`from_quantiles`, from rows
    that training has not seen. Left, the share of y that lies in the central interval of each
    level: below the diagonal intervals are too narrow, above it too wide. Right, the distribution
    of the probability integral transform :math:`F_i(y_i)`, which is even where the predictive
    distributions :math:`F_i` are right: a valley says that they are too narrow, a hill that they
    are too wide, a slope that they are too high or too low (Gneiting, Balabdaoui & Raftery 2007,
    section 3.1). Grey is where 95 per cent of such shares of independent rows would lie.

    Of counts and grades the distribution jumps, and an interval that ends at one of their values
    holds more than its level. Both panels therefore take a PIT that is drawn evenly between
    :math:`F_i(y_i - 1)` and :math:`F_i(y_i)` (Czado, Gneiting & Held 2009, section 2): a y at the
    end of its interval is in it with the part of the jump that the level asks for.

    Parameters
    ----------
    levels : ndarray of shape (n_levels,)
        Of central intervals, growing.
    coverage : ndarray of shape (n_levels,)
        Share of the rows whose y lies in the interval.
    pit : ndarray of shape (n_rows,)
        Probability integral transform of each row.
    name : str, default=None
        Of the model, in the legend.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Two, or one.
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D or None
        The coverage.
    histogram_ : matplotlib BarContainer or None
        Densities of the PIT, whose mean is 1.

    See Also
    --------
    skgpng.metrics.coverage_scorer : The share at one level.
    sklearn.calibration.CalibrationDisplay : For probabilities of classes.

    References
    ----------
    T. Gneiting, F. Balabdaoui and A. E. Raftery (2007). Probabilistic forecasts, calibration and
    sharpness. Journal of the Royal Statistical Society B 69, 243-268.

    C. Czado, T. Gneiting and L. Held (2009). Predictive model assessment for count data.
    Biometrics 65, 1254-1261.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng import GaussianProcessRegressor
    >>> from skgpng.displays import CoverageDisplay
    >>> rng = np.random.RandomState(0)
    >>> X = rng.uniform(0, 6, (120, 1))
    >>> y = np.sin(X[:, 0]) + 0.1 * rng.randn(120)
    >>> model = GaussianProcessRegressor().fit(X[:60], y[:60])
    >>> display = CoverageDisplay.from_estimator(model, X[60:], y[60:])
    >>> print(display.levels[44], 0.8 < display.coverage[44] <= 1.0)
    0.9 True
    """

    def __init__(self, levels: Any, coverage: Any, pit: Any, *, name: str | None = None) -> None:
        self.levels, self.coverage, self.pit = levels, coverage, pit
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        target: int | str | None = None,
        predict_params: Mapping | None = None,
        random_state: Any = 0,
        name: str | None = None,
        ax: Any = None,
        **plot: Any,
    ) -> CoverageDisplay:
        """Ask a regressor about rows, at best ones that it has not seen.

        Parameters
        ----------
        estimator : estimator instance
            A regressor with ``predict_quantiles``, such as skgpng's, or with
            ``predict(X, return_std=True)``, which is taken as normal; alone, or at the end of a
            pipeline or a search.
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Rows where it is NaN are left out.
        target : int or str, default=None
            Which of several targets, by position, or by name where y is a data frame.
        predict_params : dict, default=None
            What else is known of the rows, such as ``{"exposure": ...}``.
        random_state : int, RandomState instance or None, default=0
            Of the PIT of counts and grades.
        name : str, default=None
            In the legend; the class of the regressor by default.
        ax : matplotlib Axes or two of them, default=None
            One is divided, where two are needed; of a new figure where it is None.
        **plot : dict
            Goes to :meth:`plot`.

        Returns
        -------
        CoverageDisplay

        Raises
        ------
        ValueError
            For several targets of which none is chosen, and without a row.
        TypeError
            For a classifier, and a regressor without uncertainty.
        ImportError
            Without matplotlib.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        asked = asked_of(estimator)
        if asked.is_classifier:
            raise TypeError(
                f"{cls.__name__} is for regressors, and {asked.name} is a classifier: use "
                "sklearn.calibration.CalibrationDisplay."
            )
        names, rng = getattr(y, "columns", ()), check_random_state(random_state)
        y = np.asarray(y, dtype=float).reshape(len(y), -1)
        numbers = _covered(
            _asked(asked, X, y, predict_params or {}, target, names, rng), _QUANTILES
        )
        return cls(*numbers, name=name or asked.name).plot(ax, **plot)

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_pred: Any,
        y_std: Any,
        *,
        name: str | None = None,
        ax: Any = None,
        **plot: Any,
    ) -> CoverageDisplay:
        """Show predictions that are normal, with a mean and a standard deviation.

        Parameters
        ----------
        y_true, y_pred, y_std : array-like of shape (n_samples,)
            The standard deviation, not the variance, noise included.
        name : str, default=None
        ax : matplotlib Axes or two of them, default=None
        **plot : dict
            Goes to :meth:`plot`.

        Returns
        -------
        CoverageDisplay

        Raises
        ------
        ValueError
            For shapes that differ, and a standard deviation that is not positive.
        ImportError
            Without matplotlib.

        Examples
        --------
        >>> import numpy as np
        >>> from skgpng.displays import CoverageDisplay
        >>> errors = np.random.RandomState(0).randn(500)
        >>> display = CoverageDisplay.from_predictions(errors, np.zeros(500), np.full(500, 0.5))
        >>> print(display.coverage[display.levels == 0.9])  # too narrow
        [0.598]
        """
        check_matplotlib_support(f"{cls.__name__}.from_predictions")
        y, mean, std = (np.asarray(values, dtype=float) for values in (y_true, y_pred, y_std))
        if not (y.ndim == 1 and y.shape == mean.shape == std.shape):
            raise ValueError(
                f"y_true, y_pred and y_std must have one shape (n,), got {y.shape}, {mean.shape} "
                f"and {std.shape}."
            )
        if not np.all(std > 0):
            raise ValueError(f"y_std must be positive, its smallest entry is {np.min(std)}.")
        return cls(*_covered(ndtr((y - mean) / std), _QUANTILES), name=name).plot(ax, **plot)

    @classmethod
    def from_quantiles(
        cls,
        y_true: Any,
        quantiles: Any,
        levels: Any,
        *,
        random_state: Any = 0,
        name: str | None = None,
        ax: Any = None,
        **plot: Any,
    ) -> CoverageDisplay:
        """Show predictions that are quantiles, such as those of quantile regression.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
        quantiles : array-like of shape (n_samples, n_quantiles)
            Of each row, growing.
        levels : array-like of shape (n_quantiles,)
            Their probabilities, growing; p and 1 - p make the interval of level 1 - 2 p.
        random_state : int, RandomState instance or None, default=0
            Of the PIT of y that equals some of its quantiles.
        name : str, default=None
        ax : matplotlib Axes or two of them, default=None
        **plot : dict
            Goes to :meth:`plot`. PIT values are only as fine as the levels: take no more ``bins``
            than there are quantiles.

        Returns
        -------
        CoverageDisplay

        Raises
        ------
        ValueError
            For shapes that do not fit, quantiles that do not grow, and levels of which no two
            make an interval.
        ImportError
            Without matplotlib.

        Examples
        --------
        >>> from skgpng.displays import CoverageDisplay
        >>> ends = [[0.0, 2.0], [0.0, 2.0], [3.0, 4.0], [3.0, 6.0]]
        >>> display = CoverageDisplay.from_quantiles([1.0, 1.5, 5.0, 4.0], ends, [0.1, 0.9])
        >>> print(display.levels, display.coverage)
        [0.8] [0.75]
        """
        check_matplotlib_support(f"{cls.__name__}.from_quantiles")
        y, q, p = (np.asarray(values, dtype=float) for values in (y_true, quantiles, levels))
        if y.ndim != 1 or p.ndim != 1 or q.shape != (len(y), len(p)):
            raise ValueError(
                f"y_true (n,), quantiles (n, Q) and levels (Q,) have shapes {y.shape}, {q.shape} "
                f"and {p.shape}."
            )
        if not (np.all(np.diff(p) > 0) and np.all((p > 0) & (p < 1)) and np.all(np.diff(q) >= 0)):
            raise ValueError("levels must grow between 0 and 1, and quantiles with them.")
        numbers = _covered(_transform(y, q, p, check_random_state(random_state)), p)
        return cls(*numbers, name=name).plot(ax, **plot)

    def plot(
        self,
        ax: Any = None,
        *,
        kind: str = "both",
        bins: int = 10,
        color: Any = None,
        legend: bool = True,
        line_kwargs: Mapping | None = None,
        bar_kwargs: Mapping | None = None,
    ) -> CoverageDisplay:
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes or two of them, default=None
            One is divided, where two are needed; of a new figure where it is None. To compare
            models, draw each by ``kind="coverage"`` on the same axes.
        kind : {"both", "coverage", "pit"}, default="both"
        bins : int, default=10
            Of the PIT.
        color : color, default=None
        legend : bool, default=True
            Whether the name is in one, above the axes of the coverage.
        line_kwargs, bar_kwargs : dict, default=None
            For matplotlib's ``plot`` and ``bar``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For another ``kind``.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        if kind not in _KINDS:
            raise ValueError(f"kind={kind!r} must be one of {', '.join(map(repr, _KINDS))}.")
        parts = _KINDS[kind]
        self.axes_ = axes_in(ax, len(parts), (3.7, 3.5))
        self.figure_ = self.axes_[0].figure
        self.line_ = self.histogram_ = None
        for part, each in zip(parts, self.axes_, strict=True):
            if part == "coverage":
                self._draw_coverage(each, color, line_kwargs, legend)
            else:
                self._draw_pit(each, bins, color or COLOURS[0], bar_kwargs)
            thin(each)
        return self

    def _draw_coverage(self, ax: Any, color: Any, given: Mapping | None, legend: bool) -> None:
        from matplotlib.lines import Line2D

        n, drawn = len(self.pit), {artist.get_gid() for artist in ax.get_children()}
        if f"chance of {n}" not in drawn:  # of another display on the same axes
            fine = np.linspace(0.0, 1.0, 201)
            low, high = binom.ppf([[0.025], [0.975]], n, fine) / n
            how = {"color": "0.5", "alpha": 0.25, "linewidth": 0, "gid": f"chance of {n}"}
            ax.fill_between(fine, low, high, **how)
        if "ideal" not in drawn:
            ax.plot([0, 1], [0, 1], color="0.5", linewidth=0.8, gid="ideal")
            plain = {"color": "0.5", "fontsize": "small"}
            ax.text(0.98, 0.03, "too narrow", ha="right", va="bottom", **plain)
            ax.text(0.02, 0.97, "too wide", ha="left", va="top", **plain)
        k = sum(str(gid).startswith("coverage") for gid in drawn)
        ours = {"color": color or COLOURS[k % len(COLOURS)], "linewidth": 1.8, "label": self.name}
        marker = "o" if len(self.levels) < 12 else None
        how = keywords(given, Line2D, **ours, marker=marker, gid=f"coverage {k}")
        (self.line_,) = ax.plot(self.levels, self.coverage, **how)
        ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        ax.set(xlabel="level of the interval", ylabel="share of y in it")
        handles, labels = ax.get_legend_handles_labels()
        if legend and handles:
            legend_above(ax, handles, labels, columns=1 if len(handles) > 2 else 2)

    def _draw_pit(self, ax: Any, bins: int, color: Any, given: Mapping | None) -> None:
        from matplotlib.patches import Rectangle

        n, edges = len(self.pit), np.linspace(0.0, 1.0, bins + 1)
        # values on an edge are rounded to either side of it
        counts, _ = np.histogram(np.clip(np.round(self.pit, 9), 0.0, 1.0), np.round(edges, 9))
        ours = {"color": color, "alpha": 0.85, "align": "edge", "width": 0.92 / bins}
        how = keywords(given, Rectangle, **ours)
        self.histogram_ = ax.bar(edges[:-1] + 0.04 / bins, counts * bins / n, **how)
        low, high = binom.ppf([0.025, 0.975], n, 1.0 / bins) * bins / n
        ax.axhspan(low, high, color="0.5", alpha=0.25, linewidth=0, zorder=1.5)
        ax.axhline(1.0, color="0.5", linewidth=0.8)
        ax.set(xlim=(0, 1), ylim=(0, max(1.05 * ax.dataLim.y1, 1.05 * high)))
        ax.set(xlabel="predicted probability of less than y", ylabel="density of the rows")


def _asked(
    asked: Asked, X: Any, y: np.ndarray, known: Mapping, target: Any, names: Any, rng: Any
) -> np.ndarray:
    """PIT of the rows whose y [n, P] of one target is there."""
    rows = ~np.isnan(y)
    if not rows.any():
        raise ValueError("There is no row with a y: coverage needs some.")
    jumps = asked.transform(X, np.where(rows, y, np.nanmax(y)), known)
    if jumps is not None:
        below, up_to = (target_of(p, target, names)[0] for p in jumps)
        rows, _ = target_of(rows, target, names)
        return _drawn(below[rows], up_to[rows], rng)
    quantiles = asked.quantiles(X, _QUANTILES, **known)
    quantiles = quantiles.reshape(len(quantiles), -1, len(_QUANTILES))
    if quantiles.shape[1] != y.shape[1]:
        raise ValueError(
            f"y has {y.shape[1]} columns, but {asked.name} predicts {quantiles.shape[1]}."
        )
    y, quantiles, rows = (target_of(v, target, names)[0] for v in (y, quantiles, rows))
    return _transform(y[rows], quantiles[rows], _QUANTILES, rng)


def _covered(pit: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Levels of the intervals between quantiles p and 1 - p, the share in each, and the PIT."""
    if len(pit) == 0:
        raise ValueError("There is no row with a y: coverage needs some.")
    lower = [v for v in p[::-1] if v < 0.5 and np.isclose(p, 1.0 - v, rtol=0.0, atol=1e-9).any()]
    if not lower:
        raise ValueError(f"No two of levels={p.tolist()} are p and 1 - p, ends of an interval.")
    levels = np.round(1.0 - 2.0 * np.array(lower), 9)
    # of rounding a PIT at an end is none the wiser
    inside = np.abs(pit[:, None] - 0.5) <= 0.5 * levels + 1e-12
    return levels, inside.mean(0), pit


def _drawn(below: np.ndarray, up_to: np.ndarray, rng: Any) -> np.ndarray:
    """Evenly between two probabilities of each row."""
    # shuffled: rows of simulated data may come from the very same numbers
    return below + rng.permutation(rng.uniform(size=len(below))) * (up_to - below)


def _transform(y: np.ndarray, q: np.ndarray, p: np.ndarray, rng: Any) -> np.ndarray:
    """F(y) of each row, between the quantiles linear; where F jumps at y drawn within the jump."""
    edges, rows = np.concatenate([[0.0], p, [1.0]]), np.arange(len(y))
    below, up_to = (q < y[:, None]).sum(1), (q <= y[:, None]).sum(1)
    left, right = q[rows, np.maximum(below - 1, 0)], q[rows, np.minimum(below, len(p) - 1)]
    inner = (below > 0) & (below < len(p)) & (right > left)
    share = np.full(len(y), 0.5)
    np.divide(y - left, right - left, out=share, where=inner)
    smooth = edges[below] + share * (edges[below + 1] - edges[below])
    # F jumps from between two levels to between two others: from the middle to the middle
    middles = 0.5 * (edges[:-1] + edges[1:])
    return np.where(up_to > below, _drawn(middles[below], middles[up_to], rng), smooth)
