"""What a fitted estimator is in a pickle or a file: plain arrays, numbers, a likelihood.

No class of the inner rooms is stored, so that they may move; what follows from something else in
the state (the compiled form of the kernel, the inducing points) is derived from it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import means
from .._inference import Data
from .._inference.packed import unpacked
from ..kernels import check_columns, parse
from ..likelihoods import Likelihood, Units
from .predictor import Predictor
from .problem import Rows
from .stream import Stream

__all__ = ["from_plain", "to_plain"]


def to_plain(fitted: dict) -> dict:
    """Attributes of an estimator with records of skgpng as dictionaries."""
    if "_predictor" not in fitted:
        return fitted
    model, data, stream = fitted["_predictor"], fitted.get("_exact_data"), fitted.get("_stream")
    plain = {k: v for k, v in fitted.items() if k != "inducing_points_"}
    plain["_predictor"] = {
        "posterior": model.posterior.packed(),
        "likelihood": model.likelihood,
        "values": model.values,
        "shift": model.units.shift,
        "scale": model.units.scale,
        "fixed_noise": model.fixed_noise,
        "mean": _name_of_mean(model),
    }
    if data is not None:
        plain["_exact_data"] = {"Y": data.Y, "weights": data.weights, "row": data.row}
    if stream is not None:
        rows = None if stream.rows is None else stream.rows._asdict()
        plain["_stream"] = {**stream._asdict(), "rows": rows}
    return plain


def from_plain(plain: dict) -> dict:
    """Undo :func:`to_plain`; ValueError where parts are missing or do not fit together."""
    if "_predictor" not in plain:
        return plain
    try:
        return {**plain, **_records(plain)}
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(
            f"The state of a fitted estimator lacks a part or has a wrong one: {error!r}."
        ) from error


def _records(plain: dict) -> dict:
    names, given = plain.get("feature_names_in_"), plain["_predictor"]
    parsed = parse(plain["kernel_"], names)
    likelihood, scale = given["likelihood"], given["scale"]
    if not isinstance(likelihood, Likelihood):
        raise ValueError(f"{likelihood!r:.60} is no likelihood.")
    values = tuple(value[()] for value in parsed.values)
    mean = likelihood.mean if given["mean"] is None else means.NAMES[given["mean"]]
    p = unpacked(given["posterior"], parsed.structure, values, mean)
    L, D = p.n_latent, p.points.shape[1]
    _check("n_features_in_", plain["n_features_in_"] == D)
    check_columns(parsed, np.zeros((1, D)))
    _check("scale", _is_finite(scale, (likelihood.n_columns(L),)) and np.all(scale > 0))
    _check("shift", _is_finite(given["shift"], scale.shape))
    shapes = [np.shape(p.value) for p in likelihood.parameters(None, 1.0)]
    _check("values", len(given["values"]) == len(shapes))
    _check("values", all(map(_is_finite, given["values"], shapes)))
    units, fixed = Units(given["shift"], scale), given["fixed_noise"]
    trend = None if isinstance(plain["mean_"], dict) else plain["mean_"]
    found: dict[str, Any] = {
        "_predictor": Predictor(p, likelihood, tuple(given["values"]), units, fixed, trend),
        # the same array as in the posterior, as after fit
        "inducing_points_": p.points if hasattr(p, "precision_root") else None,
        "_stream": _stream(plain["_stream"], D, likelihood.allows_missing),
    }
    if plain.get("_exact_data") is not None:
        rows = _rows({"X": p.points, **plain["_exact_data"]}, D, likelihood.allows_missing)
        found["_exact_data"] = Data(*rows, plain["_spread"])
    return found


def _name_of_mean(model: Predictor) -> str | None:
    """Of one that is not the likelihood's own."""
    of_f = model.posterior.mean_function
    if of_f == model.likelihood.mean:
        return None
    return next(name for name, mean in means.NAMES.items() if mean == of_f)


def _stream(plain: dict, n_features: int, missing: bool) -> Stream:
    rows = None if plain["rows"] is None else _rows(plain["rows"], n_features, missing)
    return Stream(**{**plain, "rows": rows})


def _rows(plain: dict, n_features: int, missing: bool = False) -> Rows:
    """``missing``: y may be NaN."""
    rows = Rows(**plain)
    N = len(rows.X)
    fits = rows.X.shape[1] == n_features and all(len(a) == N and a.ndim > 0 for a in rows)
    numbers = rows._replace(Y=np.nan_to_num(rows.Y, posinf=np.inf)) if missing else rows
    _check("rows", fits and all(np.isfinite(a).all() for a in numbers) and np.all(rows.weights > 0))
    return rows


def _is_finite(values: Any, shape: tuple[int, ...]) -> bool:
    return np.shape(values) == shape and bool(np.isfinite(np.asarray(values, float)).all())


def _check(name: str, holds: Any) -> None:
    if not holds:
        raise ValueError(f"{name} in the state of a fitted estimator does not fit the rest of it.")
