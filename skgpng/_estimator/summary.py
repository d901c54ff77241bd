"""What was learned, told to people: facts from a fitted estimator, and as text.

:func:`facts` reads attributes only; :func:`as_text` here and :func:`as_html` of
:mod:`skgpng._estimator.notebook` lay out the same facts.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn.gaussian_process.kernels import CompoundKernel

from .. import kernels
from ..parameters import Parameter
from .diagnosis import at_bounds

__all__ = ["Fact", "as_text", "caption", "facts"]

_WIDTH, _LINES, _LABEL = 100, 25, 12
# Lines that a fact may take; what is left is for the hyperparameters.
_LINES_OF = {"Warning": 5, "Training": 3}
# Entries of an array or of a list that are told.
_ENTRIES = 6
_OF_X, _IN_UNITS_OF_X = "units of X", ("length_scale", "periodicity", "sigma_0")


class Fact(NamedTuple):
    """One thing that was learned."""

    label: str
    text: str
    rows: tuple[tuple[str, str, str], ...] = ()  # beneath it: name, value, what is to be said of it
    is_warning: bool = False


def facts(model: Any) -> list[Fact]:
    """What is to be told of a fitted estimator, in this order."""
    record = model._record
    found = [
        Fact("Rows", _rows(model, record)),
        Fact("Model", f"{_model(model, record)}, as {record['why']}"),
        Fact("Likelihood", _likelihood(model)),
        Fact("Mean", _mean(model)),
        Fact("Kernel", _kernel(model.kernel_), tuple(_hyperparameters(model))),
        Fact("Noise", _noise(model, record)),
        Fact("Learned", _learned(model)),
        Fact("Shares", _components(model)),
        Fact("Training", _training(model, record)),
        Fact("Warning", record["warning"], is_warning=True),
    ]
    return [fact for fact in found if fact.text]


def caption(model: Any) -> str:
    """The model and its rows, in a few words."""
    record = model._record
    return f"{_model(model, record)}, {_counted(record['rows'], 'row')}"


# --- the facts -------------------------------------------------------------------------------


def _rows(model: Any, record: dict) -> str:
    n_targets = len(model._predictor.units.scale) if hasattr(model, "noise_variance_") else 1
    parts = [_counted(record["rows"], "row"), _counted(model.n_features_in_, "column")]
    if n_targets > 1:
        parts.append(f"{n_targets} targets")
    weight = model._stream.n_seen
    if record["sampled"]:
        parts.append(f"learned from {record['sampled']:,} of them, drawn at random")
    elif not np.isclose(weight, record["rows"]):
        parts.append(f"weights of {weight:.6g} in all")
    if record["held_out"]:
        parts.append(f"{record['held_out']:,} of the rows held out to stop by")
    return ", ".join(parts)


def _model(model: Any, record: dict) -> str:
    title, points = record["model"], model.inducing_points_
    near = getattr(model, "n_neighbors_", None)
    if points is not None:
        return f"{_counted(len(points), 'inducing point')} ({title})"
    if near is not None:
        return f"from the {near} nearest rows"
    return title if title == "exact" else f"all rows ({title})"


def _likelihood(model: Any) -> str:
    text = re.sub(r"\(\)$", "", _shortened(str(model._predictor.likelihood)))
    if not hasattr(model, "classes_"):
        return text
    of_class = _list([repr(c) for c in model.classes_.tolist()])
    n_latent = _counted(model._predictor.posterior.n_latent, "latent function")
    return f"{text}, {len(model.classes_)} classes ({of_class}), {n_latent}"


def _mean(model: Any) -> str:
    mean, shift = model.mean_, model._predictor.units.shift
    if not isinstance(mean, dict):
        return f"{_shortened(str(mean))}; y is less its predictions"
    if mean:
        return "; ".join(f"{name} {_number(value)}" for name, value in mean.items())
    return f"{_number(shift)}, that of y" if np.any(shift != 0) else "zero"


def _kernel(kernel: Any) -> str:
    parts = kernel.kernels if isinstance(kernel, CompoundKernel) else [kernel]
    return "; ".join(_shortened(str(part)) for part in parts)


def _noise(model: Any, record: dict) -> str:
    """Size in y of what is added to f."""
    variance, of = getattr(model, "noise_variance_", None), record["y_variance"]
    if variance is None:
        return ""
    if not np.any(variance):
        return "none but what is known of each row"
    text = f"standard deviation {_number(np.sqrt(variance))} in the units of y"
    if of is not None and np.all((of > 0) & np.isfinite(of)):
        text += f", {_percent(variance / of)} of the variance of y"
    return f"{text} (given)" if record["noise"] == "given" else text


def _learned(model: Any) -> str:
    """What else is known of the likelihood."""
    learned = dict(model.likelihood_)
    if getattr(model, "noise_variance_", None) is not None:
        learned.pop("variance", None)
    return "; ".join(f"{name} {_number(value)}" for name, value in learned.items())


def _components(model: Any) -> str:
    """Parts of an additive function."""
    try:
        components = model.additive_components_
    except AttributeError:  # of no other kernel, and of no classifier
        return ""
    return _list([f"{' x '.join(map(str, c.columns))} {_percent(c.share)}" for c in components])


def _training(model: Any, record: dict) -> str:
    parts = [record["optimizer"] or "hyperparameters held", _counted(model.n_iter_, "step")]
    parts += ["converged" if model.converged_ else "not converged", *_values(model, record)]
    if record["starts"] > 1:
        parts.append(f"best of {record['starts']} starts")
    if model.jitter_ > record["jitter"]:
        parts.append(f"jitter raised to {model.jitter_:g}")
    if model.n_rejected_steps_:
        parts.append(f"{_counted(model.n_rejected_steps_, 'step')} taken back")
    if model.n_corrected_steps_:
        parts.append(f"{_counted(model.n_corrected_steps_, 'step')} corrected")
    return ", ".join(parts)


def _values(model: Any, record: dict) -> Iterator[str]:
    """What training maximised, as far as it is known: not of rows that came after ``fit``."""
    scores = getattr(model, "validation_scores_", None)
    if hasattr(model, "elbo_"):
        yield f"{record['objective']} {model.elbo_:.6g}"
        if not np.isclose(getattr(model, "log_posterior_", model.elbo_), model.elbo_, rtol=1e-6):
            yield f"log posterior {model.log_posterior_:.6g}"
    if scores is not None:
        yield f"log density of held-out rows {np.max(scores):.4g}"


def _hyperparameters(model: Any) -> Iterator[tuple[str, str, str]]:
    """Name, value and unit of each; length scales by column, the most relevant first."""
    D, names = model.n_features_in_, getattr(model, "feature_names_in_", None)
    parsed = kernels.parse(model.kernel_, names)
    of_table = () if names is None else (" ".join(name.split()) for name in names)
    columns = list(of_table) or [f"column {k}" for k in range(D)]
    sees = kernels.seen_columns(parsed, D)
    for p, seen in zip(parsed.parameters, sees, strict=True):
        ends = at_bounds((p.name,), (p.value,), (p.bounds,)) if p.free and not p.real else ""
        state, unit = "" if p.free else "fixed", _unit(model, parsed, p.name)
        of_columns = unit == _OF_X and p.name.endswith("length_scale")
        if of_columns and seen is not None and np.shape(p.value) == (len(seen),):
            yield p.name, "", _said("in the units of each column", state)
            yield from _by_column(p, model._spread[seen], [columns[k] for k in seen], bool(ends))
        else:
            yield p.name, _number(p.value), _said(unit, state, ends and "at a bound")


def _by_column(
    p: Parameter, spread: np.ndarray, columns: list[str], ends: bool
) -> Iterator[tuple[str, str, str]]:
    """One length scale of each column, whose relevance is its spread in units of that."""
    share, (low, high) = spread / p.value, np.moveaxis(np.asarray(p.bounds), -1, 0)
    share = share / share.sum() if share.sum() > 0 else share
    for k in np.argsort(-share, kind="stable"):
        at = _end(p.value[k], low[k], high[k]) if ends else ""
        said = _said(f"relevance {_percent(share[k])}", at)
        yield f"  {columns[k]}", _number(p.value[k]), said


def _unit(model: Any, parsed: kernels.ParsedKernel, name: str) -> str:
    """Of a hyperparameter; of those of kernels that have no formula here nothing is known."""
    path, _, last = name.rpartition("__")
    of_period = f"{path}__periodicity".removeprefix("__") in parsed.names
    if last == "constant_value":
        return _unit_of_variance(model)
    if last not in _IN_UNITS_OF_X or kernels.needs_all_rows(parsed.structure):
        return ""
    return "" if of_period and last == "length_scale" else _OF_X


def _end(value: float, low: float, high: float) -> str:
    """At which bound a value is."""
    near = [n for n, b in (("lower", low), ("upper", high)) if np.isclose(value, b, rtol=1e-3)]
    return f"at its {near[0]} bound" if near else ""


def _unit_of_variance(model: Any) -> str:
    if not model._predictor.likelihood.location:
        return "variance of f"
    scaled = np.any(model._predictor.units.scale != 1.0)
    return "variance, of scaled y" if scaled else "variance, in the units of y squared"


def _said(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


# --- numbers and lists -----------------------------------------------------------------------


def _number(value: Any) -> str:
    """With four digits; of an array the first entries."""
    value = np.asarray(value)
    if value.dtype.kind not in "biuf":
        return _list([str(v) for v in np.ravel(value)])
    return _list([f"{v:.4g}" for v in np.ravel(value)])


def _percent(share: Any) -> str:
    each = np.ravel(share)
    return _list([f"{s:.1%}" if s >= 0.001 or s == 0 else "below 0.1%" for s in each])


def _list(items: list[str]) -> str:
    more = len(items) - _ENTRIES
    shown = items if more < 2 else [*items[:_ENTRIES], f"{more} more"]
    return ", ".join(shown)


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _shortened(text: str) -> str:
    """A repr on one line, its lists of more than three numbers cut."""
    text = re.sub(r"\s+", " ", text)
    return re.sub(r"\[((?:[^\[\],]+,){3})[^\[\]]*\]", r"[\1 ...]", text)


# --- as text ---------------------------------------------------------------------------------


def as_text(name: str, told: list[Fact]) -> str:
    """At most 25 lines of at most 100 characters, whatever there is to tell."""
    blocks = [(fact, _wrapped(fact)) for fact in told]
    room = _LINES - 1 - sum(len(lines) for _, lines in blocks)
    lines = [name]
    for fact, block in blocks:
        table = _table(fact.rows, room)
        lines += block + table
        room -= len(table)
    return "\n".join(line.rstrip() for line in lines)


def _wrapped(fact: Fact) -> list[str]:
    return textwrap.wrap(
        fact.text,
        _WIDTH,
        initial_indent=f"{fact.label:<{_LABEL}}",
        subsequent_indent=" " * _LABEL,
        max_lines=_LINES_OF.get(fact.label, 2),
        placeholder=" ...",
    )


def _table(rows: tuple[tuple[str, str, str], ...], room: int) -> list[str]:
    """Rows in columns, as many as there is room for."""
    if not rows or room < 2:
        return []
    shown = rows if len(rows) <= room else rows[: room - 1]
    widths = [min(max(len(row[k]) for row in shown), most) for k, most in ((0, 42), (1, 18))]
    lines = [
        f"{'':{_LABEL}}{_cut(name, widths[0]):<{widths[0]}}  {_cut(value, widths[1]):>{widths[1]}}"
        f"  {remark}"
        for name, value, remark in shown
    ]
    left = len(rows) - len(shown)
    more = [f"{'':{_LABEL}}... and {left:,} lines more"] if left else []
    return [_cut(line, _WIDTH) for line in lines] + more


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."
