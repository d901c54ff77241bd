"""The parts of an additive function, by the names of their columns and in the units of y."""

from __future__ import annotations

from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from .._inference.components import Components, components_of
from .predictor import Predictor
from .validation import check_finite

__all__ = ["AdditiveComponent", "part_at", "shares_of"]


class AdditiveComponent(NamedTuple):
    """What some columns do together, beyond what fewer of them do.

    Attributes
    ----------
    columns : tuple of int or str
        Positions, or names where X was a data frame.
    share : float or ndarray of shape (n_targets,)
        Of the variance of the fitted function.
    """

    columns: tuple
    share: Any


def shares_of(predictor: Predictor, names: Any) -> list[AdditiveComponent]:
    """All parts but the constant, the largest share first; ValueError where there are none."""
    variances = _components(predictor).variances()
    total = np.sum(list(variances.values()), 0)  # [L]
    shares = {s: v / np.where(total > 0, total, 1.0) for s, v in variances.items()}
    in_order = sorted(shares, key=lambda s: (-shares[s].mean(), len(s), s))
    return [
        AdditiveComponent(
            s if names is None else tuple(str(names[k]) for k in s),
            shares[s] if len(total) > 1 else float(shares[s][0]),
        )
        for s in in_order
    ]


def part_at(
    predictor: Predictor, X: np.ndarray, columns: Any, names: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation [N, L] of the part of some columns at validated rows."""
    components = _components(predictor)
    chosen = _positions(columns, names, components.columns, components.max_order)
    mean, variance = check_finite(components.mean_and_variance(X, chosen), X)
    shift, scale = predictor.units if not chosen else (0.0, predictor.units.scale)
    return mean * scale + shift, np.sqrt(variance) * scale


def _components(predictor: Predictor) -> Components:
    if predictor.trend is not None:
        raise ValueError(
            f"mean={type(predictor.trend).__name__}(...) belongs to no part. Set mean=None."
        )
    return components_of(predictor.posterior)


def _positions(columns: Any, names: Any, seen: np.ndarray, most: int) -> list[int]:
    """Positions of distinct columns that the kernel sees; ValueError for others."""
    given = [columns] if isinstance(columns, str | Integral) else list(columns)
    known: dict = {int(k): int(k) for k in seen}
    known |= {} if names is None else {str(names[k]): int(k) for k in seen}
    chosen = [known[c] for c in given if isinstance(c, str | Integral) and c in known]
    if len(set(chosen)) < len(given) or len(given) > most:
        raise ValueError(
            f"columns={columns!r} are no part of the function: give up to {most} different ones of "
            f"{', '.join(map(repr, known if names is None else list(known)[len(seen) :]))}, or () "
            "for the constant."
        )
    return chosen
