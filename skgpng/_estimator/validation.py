"""What is checked before any work, and the limits of the numbers that are taken."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, validate_data

from ..likelihoods import ROW_NAMES, Likelihood
from .sources import refuse_source

__all__ = [
    "FLOATS",
    "MOST_NOISE",
    "check_finite",
    "check_noise",
    "check_range",
    "check_targets",
    "check_total",
    "check_weights",
    "first_not_finite",
    "fits_float32",
    "has_inducing_points",
    "is_valid",
    "levels_of",
    "of_weight",
    "positions",
    "refuse_missing",
    "rows_known",
    "targets_at",
    "validated",
    "which",
    "without_axis",
    "without_missing",
]

#: Types of X that are taken as they are; others become the first.
FLOATS = (np.float64, np.float32)
# Values of X beyond are refused: the squares of their distances are not finite in float64, and
# length scales of their size have no reciprocal in float32 (the ELBO was wrong from 1e37).
_LARGEST = {"float64": 1e150, "float32": 1e35}
_LARGEST["auto"] = _LARGEST["float64"]  # as it becomes where it has to
# A spread below has no reciprocal in float32.
_SMALLEST = 1e-35
# The evidence of so heavy rows hides everything else in rounding.
_HEAVIEST = 1e15
#: Noise of a row in the variance of y: beyond, its precision is next to nothing.
MOST_NOISE = 1e100
# scikit-optimize asks predict for these where its acq_optimizer is "auto" or "lbfgs".
_OF_GRADIENTS = {"return_mean_grad", "return_std_grad"}


def validated(estimator: Any, X: Any, *y: Any, **options: Any) -> Any:
    """scikit-learn's ``validate_data``; X becomes float64 where it is not one of the floats."""
    refuse_source(X)
    # sums of float32 numbers near their largest are infinity less infinity, which is no matter
    with np.errstate(over="ignore", invalid="ignore"):
        return validate_data(estimator, X, *y, dtype=FLOATS, **options)


def is_valid(estimator: Any, X: Any) -> bool:
    """Whether X is what :func:`validated` and :func:`check_range` would hand on as it is.

    It asks in 10 us what scikit-learn asks in 100, of arrays; everything else is no.
    """
    if type(X) is not np.ndarray or X.dtype not in FLOATS or X.ndim != 2 or not len(X):
        return False
    known = vars(estimator)
    if X.shape[1] != known.get("n_features_in_") or "feature_names_in_" in known:
        return False
    largest = _LARGEST[estimator.dtype]
    # neither is true of NaN; in float32 the limit itself may be infinite
    return float(X.max()) <= largest and float(X.min()) >= -largest


def check_range(X: np.ndarray, dtype: str) -> np.ndarray:
    """X as it is; ValueError where its values are too large to compute with in ``dtype``."""
    largest = np.maximum(X.max(0), -X.min(0)).astype(np.float64)
    if not np.all(largest <= _LARGEST[dtype]):
        column = int(largest.argmax())
        raise ValueError(
            f"X has values up to {largest[column]:.3g} (column {column}): squares of distances "
            f"overflow beyond {_LARGEST[dtype]:g}. Divide the column by its standard deviation."
        )
    return X


def fits_float32(X: np.ndarray) -> bool:
    """Whether float32 holds squares of the values of X, and reciprocals of what columns vary by."""
    low, high = X.min(0).astype(np.float64), X.max(0).astype(np.float64)
    vary = high - low
    largest = max(np.abs(low).max(), np.abs(high).max())
    return bool(largest <= _LARGEST["float32"] and np.all((vary == 0) | (vary >= _SMALLEST)))


def check_weights(sample_weight: Any, X: np.ndarray) -> np.ndarray:
    """Weights as an array [N], non-negative and not all zero."""
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    with np.errstate(over="ignore"):
        total = weights.sum()
    if not total > 0:
        raise ValueError("sample_weight must have at least one positive entry, got only zeros.")
    check_total(total)
    return weights


def first_not_finite(values: np.ndarray) -> int | None:
    """Number of the first row of values [N] or [N, D] with NaN or infinity, None without any."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum(dtype=np.float64)):  # quick, and enough
            return None
    wrong = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(1))
    return int(wrong[0]) if len(wrong) else None


def check_total(total: float) -> None:
    """ValueError where weights add up to more than can be told from rounding."""
    if not total <= _HEAVIEST:
        raise ValueError(
            f"sample_weight adds up to {total:.3g}, as of that many rows; at most {_HEAVIEST:g} "
            "can be told from rounding. Divide it by its mean."
        )


def rows_known(
    likelihood: Likelihood, given: dict, n_rows: int, scale: Any = 1.0, fixed_noise: float = 0.0
) -> np.ndarray:
    """What is known of each row, [N, R], from arguments of ``fit``; on the scale of Y.

    TypeError for an argument that no likelihood has.
    """
    if not given:
        row = np.tile(np.array(likelihood.row_defaults, np.float64), (n_rows, 1))
        return likelihood.scaled_row(row, scale) + fixed_noise
    names = dict.fromkeys((*ROW_NAMES, *likelihood.row_names))
    for name in given.keys() - names.keys():
        if name in _OF_GRADIENTS:
            raise TypeError(
                f"Unexpected argument {name!r}: gradients are given by predict_gradient. In "
                'scikit-optimize set acq_optimizer="sampling".'
            )
        raise TypeError(
            f"Unexpected argument {name!r}. What may be said of each row is {' or '.join(names)}."
        )
    beside = {name for name, value in given.items() if value is not None}
    each = {
        name: likelihood.check_row(name, given.get(name), n_rows)
        for name in (*likelihood.row_names, *(beside - set(likelihood.row_names)))
    }
    row = np.stack([*each.values()], 1) if each else np.zeros((n_rows, 0))
    return likelihood.scaled_row(row, scale) + fixed_noise


def without_missing(y: Any) -> tuple[Any, Any]:
    """y with zeros for NaN, and where these stand; as it is where it holds no floats."""
    values = np.asarray(y)
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros((), bool)
    return (np.where(missing, 0.0, values), missing) if missing.any() else (y, False)


def refuse_missing(missing: Any, likelihood: Likelihood) -> None:
    """ValueError where NaN stands among several targets of a likelihood that takes all or none."""
    if np.ndim(missing) > 1 and np.shape(missing)[1] > 1 and not likelihood.allows_missing:
        raise ValueError(
            "Input y contains NaN. Where single targets are missing set likelihood="
            "'coregionalised', which learns from those that are there, or leave their rows out."
        )


def of_weight(values: Any, keep: np.ndarray) -> Any:
    """What is said of rows [N] or [N, P], with that of the first one kept for those that are not.

    As it is where it is not as long: that is for others to say.
    """
    if np.ndim(values) == 0 or len(values) != len(keep):
        return values
    values = np.asarray(values)
    return np.where(keep.reshape(-1, *[1] * (values.ndim - 1)), values, values[keep][0])


def which(keep: np.ndarray, start: str) -> Any:
    """What takes the rows to keep: no copy of all of them, where they live no longer than ``fit``.

    Models that keep rows merge equal ones, which copies; streams keep rows as they are.
    """
    return slice(None) if start in ("fresh", "warm") and keep.all() else keep


def check_finite(moments: tuple[np.ndarray, ...], X: np.ndarray) -> tuple:
    """Mean [N, L], or with variance [N, L] or covariance; ValueError where they are not finite."""
    if all(np.isfinite(m).all() for m in moments):
        return moments
    row = int(np.argmin(np.isfinite(moments[0]).all(1)))
    raise ValueError(
        f"The prediction for row {row} of X is not finite: its values, up to "
        f"{np.abs(X[row]).max():.3g}, are too large beside the length scales of kernel_, or for a "
        "kernel that grows with X. Predict rows nearer to those of fit."
    )


def check_noise(noise: np.ndarray) -> None:
    """Noise of rows in units of the variance of y: a row with none has infinite precision."""
    if not np.all(noise > 0):
        raise ValueError(
            "alpha=0 leaves rows without noise, as does one that is next to nothing beside the "
            "variance of y. Give fit their noise_variance, add a WhiteKernel, or set alpha (of "
            "each row, where it is an array) to a small number such as 1e-10 times the variance "
            "of y."
        )
    if not np.all(noise < MOST_NOISE):
        raise ValueError(
            "alpha or noise_variance is in the units of y squared, and more than "
            f"{MOST_NOISE:g} times the variance of y: nothing could be learned. Make it smaller."
        )


def check_targets(y: np.ndarray, n_targets: int | None, n_before: int | None) -> None:
    """ValueError where y has another number of targets than the parameter or earlier calls say."""
    found = 1 if y.ndim == 1 else y.shape[1]
    if n_targets is not None and found != n_targets:
        raise ValueError(
            "The number of targets seen in `y` is different from the parameter `n_targets`. Got "
            f"{found} != {n_targets}. Set n_targets=None, or to the number of columns of y."
        )
    if n_before is not None and found != n_before:
        raise ValueError(
            f"y has {found} targets, but earlier calls had {n_before}. Use fit to begin anew."
        )


def levels_of(quantiles: Any) -> np.ndarray:
    """Quantiles as an array; ValueError where one is not between 0 and 1."""
    levels = np.asarray(quantiles, dtype=float)
    if levels.ndim != 1:
        raise ValueError(f"quantiles must be a list of numbers, got {quantiles!r}.")
    if not np.all((levels > 0) & (levels < 1)):
        raise ValueError(f"quantiles must lie strictly between 0 and 1, got {quantiles!r}.")
    return levels


def targets_at(X: np.ndarray, y: Any, n_targets: int, missing: bool = False) -> np.ndarray:
    """Targets of validated rows, [N, P]; NaN for those that are ``missing``, where that may be."""
    finite = "allow-nan" if missing else True
    y = check_array(y, ensure_2d=False, dtype=np.float64, ensure_all_finite=finite)
    check_consistent_length(X, y)
    return y.reshape(len(X), n_targets)


def without_axis(values: np.ndarray) -> np.ndarray:
    """[N, P, ...], or [N, ...] where there is one target (or class, or latent function)."""
    return values[:, 0] if values.shape[1] == 1 else values


def has_inducing_points(estimator: Any) -> bool:
    """Whether ``partial_fit`` is there; the error where it is not."""
    if estimator.n_inducing is None and getattr(estimator, "n_neighbors", None) in (None, "auto"):
        raise AttributeError(
            "partial_fit needs inducing points: with n_inducing=None there is one variational "
            "variable per row. Set n_inducing to a number or 'auto'."
        )
    return True


def positions(y: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Position of each label among the sorted classes, [N]."""
    if len(classes) < 2:
        raise ValueError(
            f"y has 1 class ({classes.tolist()[0]!r}) with positive weight; at least two are "
            "needed to learn a classifier."
        )
    unknown = np.setdiff1d(y, classes)
    if len(unknown):
        raise ValueError(f"y has labels {unknown!r} that are not among the classes {classes!r}.")
    return np.searchsorted(classes, y)
