"""Which columns matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ._common import COLOURS, asked_of, axes_in, keywords, names_of_last, thin

__all__ = ["RelevanceDisplay"]


class RelevanceDisplay:
    """Relevances of the columns of X as bars, the largest on top.

    Make it by :meth:`from_estimator`. They are the ``feature_relevances_`` of an estimator, from
    its length scales: how much each column moves the function, which is not how much is lost
    without it (for that see :func:`sklearn.inspection.permutation_importance`).

    Parameters
    ----------
    relevances : array-like of shape (n_features,)
        They add up to one.
    feature_names : sequence of str of shape (n_features,)

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    bars_ : matplotlib BarContainer
        The largest first; last the sum of those that are not shown, if there are some.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skgpng import GaussianProcessRegressor
    >>> from skgpng.displays import RelevanceDisplay
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> model = GaussianProcessRegressor(random_state=0).fit(X[:150], y[:150])
    >>> display = RelevanceDisplay.from_estimator(model, max_features=4)
    >>> [text.get_text() for text in display.ax_.get_yticklabels()][-1]
    '6 others'
    """

    def __init__(self, relevances: Any, feature_names: Sequence[str]) -> None:
        self.relevances, self.feature_names = relevances, feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        feature_names: Sequence[str] | None = None,
        ax: Any = None,
        **plot: Any,
    ) -> RelevanceDisplay:
        """Show the relevances of a fitted estimator.

        Parameters
        ----------
        estimator : estimator instance
            A fitted estimator of skgpng, alone or at the end of a pipeline or a search: then the
            columns are those that the last step sees.
        feature_names : sequence of str, default=None
            Names of the columns, where the estimator (or the steps before it) does not know them.
        ax : matplotlib Axes, default=None
            Of a new figure where it is None.
        **plot : dict
            Goes to :meth:`plot`, such as ``max_features``.

        Returns
        -------
        RelevanceDisplay

        Raises
        ------
        AttributeError
            Where the kernel has no length scales.
        ValueError
            For names of another number.
        TypeError
            For an estimator that is none of skgpng's.
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        ImportError
            Without matplotlib.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        asked = asked_of(estimator, "n_features_in_")
        if not hasattr(type(asked.estimator), "feature_relevances_"):
            raise TypeError(
                f"{asked.name} has no feature_relevances_: the display is for estimators of "
                "skgpng. For others see sklearn.inspection.permutation_importance."
            )
        relevances = asked.estimator.feature_relevances_
        names = names_of_last(asked) if feature_names is None else list(map(str, feature_names))
        if len(names) != len(relevances):
            raise ValueError(f"There are {len(names)} feature_names for {len(relevances)} columns.")
        return cls(relevances, names).plot(ax, **plot)

    def plot(
        self,
        ax: Any = None,
        *,
        max_features: int | None = None,
        color: Any = None,
        bar_kwargs: Mapping | None = None,
    ) -> RelevanceDisplay:
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Of a new figure where it is None.
        max_features : int, default=None
            The most relevant ones to show; the others are one bar. ``None`` shows all.
        color : color, default=None
        bar_kwargs : dict, default=None
            For matplotlib's ``barh``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For ``max_features`` below 1.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        if max_features is not None and max_features < 1:
            raise ValueError(f"max_features={max_features} must be at least 1, or None.")
        from matplotlib.patches import Rectangle

        relevances = np.asarray(self.relevances)
        order = np.argsort(-relevances, kind="stable")
        order, rest = order[:max_features], order[len(order[:max_features]) :]
        widths, names = list(relevances[order]), [self.feature_names[k] for k in order]
        if len(rest):
            widths, names = [*widths, relevances[rest].sum()], [*names, f"{len(rest)} others"]
        (ax,) = axes_in(ax, 1, (4.8, 0.9 + 0.28 * len(widths)))
        self.ax_, self.figure_ = ax, ax.figure
        color = color or COLOURS[0]
        colors = [color] * len(order) + ["0.6"] * bool(len(rest))
        how = keywords(bar_kwargs, Rectangle, color=colors, height=0.7)
        places = np.arange(len(widths))  # not names, of which two may be the same
        self.bars_ = ax.barh(places, 100.0 * np.array(widths), **how)
        ax.set_yticks(places, names)
        percent = [f"{100 * w:.0f} %" if w >= 0.01 else "< 1 %" for w in widths]
        ax.bar_label(self.bars_, percent, padding=3, fontsize="small")
        ax.invert_yaxis()
        ax.margins(x=0.13, y=0.02)
        ax.set_xlabel("relevance, %")
        ax.tick_params(axis="y", length=0)
        thin(ax)
        return self
