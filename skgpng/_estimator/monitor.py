"""What happens between the segments of a training: early stopping, progress line, callbacks."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from .._training.result import CONVERGED, STOPPED, Result

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn before 1.9 has no callbacks

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands for scikit-learn's where it has none."""

    def with_callbacks(method: Callable) -> Callable:
        """Leave the method as it is."""
        return method


__all__ = [
    "CallbackSupportMixin",
    "Callbacks",
    "EarlyStopping",
    "Monitor",
    "progress_line",
    "say",
    "with_callbacks",
]

#: Gets the result so far every few steps; ``True`` ends training.
Monitor = Callable[[Result], bool]


class EarlyStopping:
    """Keeps the result with the best held-out score; ends when none was better for a while.

    Parameters
    ----------
    score : callable
        Held-out score of a result; larger is better.
    patience : int
        Scores in a row that are no gain.
    tol : float
        Gain over the best score that counts.

    Attributes
    ----------
    scores : list of float
    best : Result
    """

    def __init__(self, score: Callable[[Result], float], patience: int, tol: float) -> None:
        self.score, self.patience, self.tol = score, patience, tol
        self.scores: list[float] = []
        self.best: Result | None = None
        self._since, self.done = 0, False

    def __call__(self, result: Result) -> bool:
        score = self.score(result)
        score = score if math.isfinite(score) else -math.inf  # a state that cannot be factorised
        best = max(self.scores, default=-math.inf)
        self._since = 0 if score > best + self.tol else self._since + 1
        self.best = result if score > best or self.best is None else self.best
        self.scores.append(score)
        self.done = self._since >= self.patience
        return self.done

    def result(self, last: Result) -> Result:
        """The best state, with the whole curve; this rule's end counts as converged."""
        assert self.best is not None
        status = CONVERGED if self.done and last.status == STOPPED else last.status
        return self.best._replace(elbo_curve=last.elbo_curve, status=status)


class Callbacks:
    """scikit-learn's callbacks of one ``fit``; does nothing where there are none.

    Parameters
    ----------
    estimator : estimator instance
    X, y : as handed to ``fit``
    metadata : dict
        What ``score`` takes beside them.
    n_tasks : int or None
        Largest number of calls; ``None`` where there are no callbacks.
    """

    def __init__(self, estimator: Any, X: Any, y: Any, metadata: dict, n_tasks: int | None) -> None:
        self._context = None
        self._common = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        if hasattr(estimator, "_init_callback_context"):
            self._context = estimator._init_callback_context(max_subtasks=n_tasks)
            self._context.call_on_fit_task_begin(**self._common)
        self.wanted = bool(getattr(estimator, "_skl_callbacks", ()))

    def step(self, attributes: Callable[[], dict]) -> bool:
        """A few steps are done; ``attributes`` gives what the estimator has learned so far."""
        assert self._context is not None
        task = self._context.subcontext(task_name="steps")
        task.call_on_fit_task_begin(**self._common)
        return task.call_on_fit_task_end(**self._common, reconstruction_attributes=attributes)

    def end(self) -> None:
        """``fit`` is done, the estimator is fitted."""
        if self._context is not None:
            self._context.call_on_fit_task_end(**self._common, reconstruction_attributes=dict)


# Training ends by its stopping rule, mostly long before its last step: a bar that fills would say
# that most of the work lies ahead. The time to the last step is an upper bound, and called one.
_LEFT = "at most {remaining} more at this pace"
_UNDER_WAY = "{desc}: step {n_fmt} of at most {total_fmt} [{elapsed}, " + _LEFT + "{postfix}]"
_ENDED = "{desc}: {n_fmt} steps [{elapsed}{postfix}]"
# Seconds between two lines of a log, where no terminal can overwrite one.
_BETWEEN = 10.0


@contextlib.contextmanager
def progress_line(name: str, n_steps: int) -> Iterator[list[Monitor]]:
    """A monitor that shows steps, ELBO and time, by tqdm where it is installed; "" for none."""
    if not name:
        yield []
        return
    try:
        from tqdm.auto import tqdm
    except ImportError:
        line = _Line(name, n_steps)
        yield [line]
        line.end()
        return
    with tqdm(total=n_steps, desc=name, bar_format=_UNDER_WAY) as bar:
        yield [lambda result: _move(bar, result)]
        bar.bar_format = _ENDED


def say(name: str, text: str) -> None:
    """Print a line about what is under way; "" as name for silence."""
    if name:
        print(f"{name}: {text}", flush=True)


def _move(bar: Any, result: Result) -> bool:
    bar.set_postfix(ELBO=f"{result.elbo_curve[-1]:.6g}", refresh=False)
    bar.update(len(result.elbo_curve) - bar.n)
    return False


class _Line:
    """A line that is written anew in a terminal; in a file or a notebook one every few seconds."""

    def __init__(self, name: str, n_steps: int) -> None:
        self._name, self._n_steps, self._text = name, n_steps, ""
        self._begin = self._shown = time.monotonic()

    def __call__(self, result: Result) -> bool:
        now, step = time.monotonic(), len(result.elbo_curve)
        seconds = (self._n_steps - step) * (now - self._begin) / max(step, 1)
        left = _LEFT.format(remaining=f"{seconds:.0f} s")
        head = f"{self._name}: step {step} of at most {self._n_steps}"
        elbo = f"ELBO {result.elbo_curve[-1]:.6g}"
        self._text = f"{head}, {elbo}, {now - self._begin:.0f} s"
        if sys.stdout.isatty():
            print(f"\r{self._text}, {left}   ", end="", flush=True)
        elif now - self._shown >= _BETWEEN:
            print(f"{self._text}, {left}", flush=True)
            self._shown = now
        return False

    def end(self) -> None:
        """How it ended, on a line of its own."""
        start, end = ("\r", " " * 40) if sys.stdout.isatty() else ("", "")
        print(f"{start}{self._text}{end}", flush=True)
