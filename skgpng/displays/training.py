"""How training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import check_is_fitted

from .._estimator.fitted import FittedGaussianProcess
from ._common import COLOURS, asked_of, axes_in, keywords, legend_above, thin

__all__ = ["TrainingDisplay"]

_KINDS = {
    "elbo": ("elbo_curve_", "step", "ELBO, nats"),
    "validation": ("validation_scores_", "look at the rows held out", "mean log density held out"),
}


class TrainingDisplay:
    """The ELBO, or the score of rows held out, as training went on.

    Make it by :meth:`from_estimator`. The state that was kept, the last one or of scores the best,
    is a dot where training has converged, and a cross where it stopped before.

    Parameters
    ----------
    curves : list of ndarray of shape (n_steps,)
        One a model, their lengths may differ.
    converged : list of bool
    names : list of str
        In the legend.
    kind : {"elbo", "validation"}, default="elbo"
        What the curves are: ``elbo_curve_`` in nats, or ``validation_scores_``, the mean log
        density of the rows held out by ``early_stopping`` (of classifiers log probability), at
        each look.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
    ends_ : list of matplotlib Line2D

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng import GaussianProcessRegressor
    >>> from skgpng.displays import TrainingDisplay
    >>> X = np.linspace(0, 6, 40)[:, None]
    >>> model = GaussianProcessRegressor(random_state=0).fit(X, np.sin(X[:, 0]))
    >>> display = TrainingDisplay.from_estimator(model)
    >>> print(len(display.curves[0]) == model.n_iter_, display.ax_.get_ylabel())
    True ELBO, nats
    """

    def __init__(
        self,
        curves: Sequence,
        converged: Sequence[bool],
        names: Sequence[str],
        *,
        kind: str = "elbo",
    ) -> None:
        self.curves, self.converged, self.names = curves, converged, names
        self.kind = kind

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        kind: str = "elbo",
        name: str | None = None,
        ax: Any = None,
        **plot: Any,
    ) -> TrainingDisplay:
        """Show how fitted estimators were trained.

        Parameters
        ----------
        estimator : estimator instance, list of them, or dict of them by name
            Fitted estimators of skgpng, alone or at the end of a pipeline or a search.
        kind : {"elbo", "validation"}, default="elbo"
            Whether to show ``elbo_curve_`` or ``validation_scores_``. ELBOs of models of the same
            y are comparable, where these scale it alike.
        name : str, default=None
            Of a single estimator, in the legend; its class by default.
        ax : matplotlib Axes, default=None
            Of a new figure where it is None.
        **plot : dict
            Goes to :meth:`plot`.

        Returns
        -------
        TrainingDisplay

        Raises
        ------
        ValueError
            For another kind, and for ``"validation"`` of an estimator that held nothing out.
        TypeError
            For an estimator that is none of skgpng's.
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        ImportError
            Without matplotlib.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        if kind not in _KINDS:
            raise ValueError(f"kind={kind!r} must be one of {', '.join(map(repr, _KINDS))}.")
        if isinstance(estimator, Mapping):
            named = [(str(key), each) for key, each in estimator.items()]
        elif isinstance(estimator, list | tuple):
            named = [("", each) for each in estimator]
        else:
            named = [(name or "", estimator)]
        curves, converged, names = [], [], []
        for label, each in named:
            asked = asked_of(each)
            curves.append(_curve(asked.estimator, kind))
            converged.append(bool(asked.estimator.converged_))
            names.append(label or asked.name)
        return cls(curves, converged, names, kind=kind).plot(ax, **plot)

    def plot(
        self, ax: Any = None, *, legend: bool = True, line_kwargs: Mapping | None = None
    ) -> TrainingDisplay:
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Of a new figure where it is None.
        legend : bool, default=True
            Whether there is one, with the steps taken.
        line_kwargs : dict, default=None
            For matplotlib's ``plot`` of the curves.

        Returns
        -------
        self
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        from matplotlib.lines import Line2D

        (ax,) = axes_in(ax, 1, (5.2, 3.4))
        self.ax_, self.figure_ = ax, ax.figure
        self.lines_, self.ends_ = [], []
        first = len(ax.lines) // 2  # two of each curve that is there
        _, xlabel, ylabel = _KINDS[self.kind]
        for k, curve in enumerate(self.curves):
            color = COLOURS[(first + k) % len(COLOURS)]
            how = keywords(line_kwargs, Line2D, color=color, linewidth=1.6)
            self.lines_ += ax.plot(np.arange(1, len(curve) + 1), curve, **how)
            kept = len(curve) if self.kind == "elbo" else int(np.argmax(curve)) + 1
            how = {"color": self.lines_[-1].get_color(), "markersize": 7, "linestyle": "none"}
            how |= {"marker": "o" if self.converged[k] else "X", "clip_on": False}
            label = f"{self.names[k]}: {self._end(k, kept)}"
            self.ends_ += ax.plot(kept, curve[kept - 1], label=label, **how)
        ax.set(xlabel=xlabel, ylabel=ylabel)
        if self.kind == "elbo":
            ax.set_ylim(_limits(self.curves))
        ax.xaxis.get_major_locator().set_params(integer=True)
        thin(ax)
        if legend:
            handles, labels = ax.get_legend_handles_labels()
            legend_above(ax, handles, labels, columns=1)
        return self

    def _end(self, k: int, kept: int) -> str:
        n = len(self.curves[k])
        end = f"converged at {n}" if self.converged[k] else f"stopped at {n}, not converged"
        return end if kept == n else f"best at {kept}, {end}"


def _curve(estimator: Any, kind: str) -> np.ndarray:
    if not isinstance(estimator, FittedGaussianProcess):
        raise TypeError(
            f"{type(estimator).__name__} has no elbo_curve_: the display is for estimators of "
            "skgpng."
        )
    check_is_fitted(estimator, "elbo_curve_")
    values = getattr(estimator, _KINDS[kind][0])
    if values is None:
        raise ValueError(
            f"kind={kind!r} needs rows that are held out: set early_stopping=True, or take "
            "kind='elbo'."
        )
    return np.asarray(values)


def _limits(curves: Sequence) -> tuple[float, float]:
    """Limits that the first steps, which may be far below, do not rule.

    A fifth of each curve may leave the picture, if that makes the rest twice as large.
    """
    low = min(np.min(curve) for curve in curves)
    high = max(np.max(curve) for curve in curves)
    later = min(np.min(curve[len(curve) // 5 :]) for curve in curves)
    low = later if high - low > 2.0 * (high - later) else low
    room = 0.06 * ((high - low) or abs(high) or 1.0)
    return low - room, high + room
