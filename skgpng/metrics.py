r"""Proper scores of predictive distributions, and scorers for model selection.

A score is proper when, on average, no forecast beats the distribution that the data come from, so
that neither overconfidence nor caution pays (Gneiting & Raftery 2007). Of the functions below the
log density and the CRPS are proper; coverage says only whether intervals hold what they promise.

The scorers go wherever scikit-learn takes ``scoring=``: ``cross_val_score``, ``cross_validate``
(alone or in a dict), ``GridSearchCV``. Greater is better for each. They ask a regressor for
``predict(X, return_std=True)`` and take the prediction as normal, with that standard deviation as
the one of y; pipelines, fitted searches and scikit-learn's own ``GaussianProcessRegressor`` (which
leaves its ``alpha`` out of it) are welcome. A regressor at the end, alone or in a pipeline or a
search, that has ``log_predictive_density``, ``crps`` and ``predict_quantiles``, as skgpng's has, is
asked for these: scores of the distribution that its likelihood predicts.

``sample_weight`` averages rows with these weights; a row of weight 0 is left out before anything
is predicted. With metadata routing, ``set_score_request(sample_weight=True)`` asks for them. It
changes the scorer it is called on: take ``copy.deepcopy(log_density_scorer)`` to leave the shared
one as it is. Other metadata, such as ``exposure``, goes to these methods.

References
----------
T. Gneiting and A. E. Raftery (2007). Strictly proper scoring rules, prediction, and estimation.
Journal of the American Statistical Association 102, 359-378.

Examples
--------
>>> import numpy as np
>>> from sklearn.model_selection import cross_validate
>>> from skgpng import GaussianProcessRegressor
>>> from skgpng.metrics import coverage_scorer, log_density_scorer, neg_crps_scorer
>>> X = np.linspace(0, 6, 40)[:, None]
>>> y = np.sin(X[:, 0]) + 0.1 * np.random.RandomState(0).randn(40)
>>> scoring = {
...     "log density": log_density_scorer,
...     "CRPS": neg_crps_scorer,
...     "coverage": coverage_scorer(0.9),
... }
>>> scores = cross_validate(GaussianProcessRegressor(), X, y, cv=2, scoring=scoring)
>>> print(sorted(scores)[2:])
['test_CRPS', 'test_coverage', 'test_log density']
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri
from sklearn import config_context
from sklearn.base import is_classifier

# Private, but the one base that multimetric scoring, metadata routing and callbacks all know:
# `make_scorer` hands a score function what `predict` returns alone, without standard deviations.
from sklearn.metrics._scorer import _BaseScorer
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, column_or_1d

__all__ = [
    "calibration_scorer",
    "coverage_scorer",
    "gaussian_crps",
    "gaussian_log_density",
    "interval_coverage",
    "log_density_scorer",
    "neg_crps_scorer",
]

# --- scores of rows --------------------------------------------------------------------------


def gaussian_log_density(y: Any, mean: Any, std: Any) -> np.ndarray:
    r"""Log density of each y under a normal distribution.

    :math:`\log N(y; m, s^2) = -\tfrac12 z^2 - \log s - \tfrac12 \log 2\pi` with
    :math:`z = (y - m) / s`; greater is better. The logarithmic score, with its sign turned
    (Gneiting & Raftery 2007, section 4.1).

    Parameters
    ----------
    y : array-like of shape (n,) or (n, P)
    mean, std : array-like of the shape of y, or float
        The standard deviation, not the variance. One of 0 is a point: the density is ``inf`` at
        the mean and 0 elsewhere.

    Returns
    -------
    ndarray of shape (n,)
        In nats, for densities in the units of y. Summed over the P targets: the log density of
        the row, where targets are independent.

    Raises
    ------
    ValueError
        For NaN, shapes that do not fit or a negative standard deviation.

    Examples
    --------
    >>> from skgpng.metrics import gaussian_log_density
    >>> print(gaussian_log_density([0.0, 2.0], 0.0, 1.0).round(4))
    [-0.9189 -2.9189]
    """
    y, mean, std = _aligned(y, mean=mean, std=std)
    z = _standardised(y, mean, std)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        log_density = -0.5 * z**2 - np.log(std) - 0.5 * np.log(2 * np.pi)
    # beside a point the formula reads inf - inf
    return _rows(np.where(np.isinf(z), -np.inf, log_density)).sum(1)


def gaussian_crps(y: Any, mean: Any, std: Any) -> np.ndarray:
    r"""Continuous ranked probability score of a normal distribution at each y.

    :math:`\int (F(x) - 1\{x \ge y\})^2 dx`, which for :math:`F` of :math:`N(m, s^2)` and
    :math:`z = (y - m) / s` is :math:`s\,[z\,(2\Phi(z) - 1) + 2\varphi(z) - 1/\sqrt\pi]` (Gneiting
    & Raftery 2007, eq. 21, with its sign turned): a distance from y, so that smaller is better. An
    outlier costs about its distance from the mean, where the log density charges its square.

    Parameters
    ----------
    y : array-like of shape (n,) or (n, P)
    mean, std : array-like of the shape of y, or float
        The standard deviation, not the variance; one of 0 scores ``abs(y - mean)``.

    Returns
    -------
    ndarray of shape (n,)
        In the units of y; averaged over the P targets.

    Raises
    ------
    ValueError
        For NaN, shapes that do not fit or a negative standard deviation.

    Examples
    --------
    >>> from skgpng.metrics import gaussian_crps
    >>> print(gaussian_crps([0.0, 2.0], 0.0, 1.0).round(4))
    [0.2337 1.4528]
    """
    y, mean, std = _aligned(y, mean=mean, std=std)
    z = _standardised(y, mean, std)
    with np.errstate(over="ignore"):
        density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    # s z is written as y - m, which stays finite where s is 0
    crps = (y - mean) * (2 * ndtr(z) - 1) + std * (2 * density - 1 / np.sqrt(np.pi))
    return _rows(crps).mean(1)


def interval_coverage(y: Any, low: Any, high: Any, sample_weight: Any = None) -> float:
    """Share of the rows whose y lies in its interval, ends included.

    Parameters
    ----------
    y : array-like of shape (n,) or (n, P)
    low, high : array-like of the shape of y, or float
        Ends of the intervals, in the units of y; may be infinite.
    sample_weight : array-like of shape (n,), default=None
        A row of weight 2 counts as two rows.

    Returns
    -------
    float
        Between 0 and 1. Several targets count entry by entry.

    Raises
    ------
    ValueError
        For NaN, shapes that do not fit, or weights that are negative or all zero.

    Examples
    --------
    >>> from skgpng.metrics import interval_coverage
    >>> interval_coverage([0.0, 1.0, 2.0, 3.0], [-1, -1, 2, 4], [1, 0, 3, 5])
    0.5
    >>> interval_coverage([0.0, 5.0], -1.0, 1.0, sample_weight=[3.0, 1.0])
    0.75
    """
    y, low, high = _aligned(y, low=low, high=high)
    inside = (low <= y) & (y <= high)
    return _average(_rows(inside).mean(1), sample_weight)


def _standardised(y: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """``(y - mean) / std``, and 0 on the point that a standard deviation of 0 leaves."""
    if np.any(std < 0):
        raise ValueError(f"std must not be negative, its smallest entry is {std.min()}.")
    error = y - mean
    with np.errstate(divide="ignore", over="ignore"):
        return np.divide(error, std, out=np.zeros(y.shape), where=(std > 0) | (error != 0))


def _aligned(y: Any, **others: Any) -> list[np.ndarray]:
    """Arrays of one shape, that of y, with single numbers repeated.

    No other shape is stretched: rows beside a column would become a square without a word.
    """
    y = np.asarray(y, dtype=np.float64)
    if y.ndim not in (1, 2):
        raise ValueError(f"y must have shape (n,) or (n, P), got {y.shape}.")
    arrays = {"y": y} | {name: np.asarray(v, dtype=np.float64) for name, v in others.items()}
    for name, array in arrays.items():
        if array.shape not in ((), y.shape):
            raise ValueError(f"{name} has shape {array.shape}, but y has shape {y.shape}.")
        if np.isnan(array).any():
            raise ValueError(f"{name} contains NaN.")
    return [np.broadcast_to(array, y.shape) for array in arrays.values()]


def _rows(values: np.ndarray) -> np.ndarray:
    """[n] or [n, P] as [n, P]."""
    return values[:, None] if values.ndim == 1 else values


def _check_weights(sample_weight: Any, n_rows: int) -> np.ndarray:
    """Weights of the rows, all 1 for None."""
    weights = np.ones(n_rows) if sample_weight is None else np.asarray(sample_weight, np.float64)
    if weights.shape != (n_rows,):
        raise ValueError(f"sample_weight has shape {weights.shape}, but there are {n_rows} rows.")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("sample_weight must be finite and not negative.")
    if not weights.any():
        raise ValueError("No row to score: give at least one row with a positive sample_weight.")
    return weights


def _average(rows: np.ndarray, sample_weight: Any) -> float:
    return float(np.average(rows, weights=_check_weights(sample_weight, len(rows))))


# --- scores of predictions -------------------------------------------------------------------


class _Normal(NamedTuple):
    """Predictions that are normal, with mean and standard deviation of each target."""

    mean: np.ndarray
    std: np.ndarray

    def log_density(self, y: np.ndarray) -> np.ndarray:
        """Of each row, summed over targets."""
        return gaussian_log_density(y, *self)

    def crps(self, y: np.ndarray) -> np.ndarray:
        """Of each row, averaged over targets."""
        return gaussian_crps(y, *self)

    def interval(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the central interval."""
        half_width = ndtri(0.5 + 0.5 * level) * self.std
        return self.mean - half_width, self.mean + half_width


# Methods of a regressor that knows the distribution it predicts.
_OWN = ("log_predictive_density", "crps", "predict_quantiles")


class _Own(NamedTuple):
    """Predictions of such a regressor at rows."""

    regressor: Any
    X: Any
    known: dict  # of each row, such as its exposure

    def log_density(self, y: np.ndarray) -> np.ndarray:
        """Of each row, summed over targets."""
        return self.regressor.log_predictive_density(self.X, y, **self.known)

    def crps(self, y: np.ndarray) -> np.ndarray:
        """Of each row, averaged over targets."""
        return self.regressor.crps(self.X, y, **self.known)

    def interval(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the central interval."""
        tail = 0.5 - 0.5 * level
        ends = self.regressor.predict_quantiles(self.X, (tail, 1.0 - tail), **self.known)
        return ends[..., 0], ends[..., 1]


def _own_distribution(estimator: Any, X: Any, known: dict) -> _Own | None:
    """Of a regressor at the end of it all that knows the distribution it predicts."""
    while isinstance(estimator, Pipeline):
        with config_context(enable_metadata_routing=False):
            X = estimator[:-1].transform(X) if len(estimator) > 1 else X
        estimator = getattr(estimator[-1], "best_estimator_", estimator[-1])
    own = all(hasattr(estimator, name) for name in _OWN)
    return _Own(estimator, X, known) if own else None


# scikit-learn reads these signatures for the metadata that a scorer may request. It knows `y_true`
# and `y_pred` as none; here `y_pred` is a distribution.


def _log_density(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    return _average(y_pred.log_density(y_true), sample_weight)


def _neg_crps(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    return -_average(y_pred.crps(y_true), sample_weight)


def _coverage(y_true: Any, y_pred: Any, sample_weight: Any = None, level: float = 0.95) -> float:
    low, high = y_pred.interval(level)
    return interval_coverage(np.reshape(y_true, low.shape), low, high, sample_weight)


def _calibration(y_true: Any, y_pred: Any, sample_weight: Any = None, level: float = 0.95) -> float:
    return -abs(_coverage(y_true, y_pred, sample_weight, level) - level)


def _log_probability(
    y_true: Any, classes: Any, probabilities: Any, sample_weight: Any = None
) -> float:
    labels = column_or_1d(y_true)
    chosen = labels[:, None] == np.asarray(classes)  # [n, C]
    unknown = list(dict.fromkeys(labels[~chosen.any(1)].tolist()))
    if unknown:
        raise ValueError(
            f"y has labels that the classifier was not fitted to: {unknown}. It knows "
            f"{np.asarray(classes).tolist()}. Stratified folds keep every class in training."
        )
    with np.errstate(divide="ignore"):
        return _average(np.log(np.asarray(probabilities)[chosen]), sample_weight)


# --- scorers ---------------------------------------------------------------------------------


class _PredictiveScorer(_BaseScorer):
    """Score of predictive distributions, called as ``scorer(estimator, X, y)``.

    Greater is better; ``sample_weight`` averages the rows of X with these weights. Regressors
    answer with ``predict(X, return_std=True)`` or of their own accord, classifiers with
    ``predict_proba``. What else is known of each row, such as its exposure, is handed on.
    """

    def __init__(
        self, name: str, score_func: Callable, label_func: Callable | None = None, **kwargs: Any
    ) -> None:
        super().__init__(score_func, 1, kwargs, response_method="predict")
        self._name = name
        self._label_func = label_func

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self._kwargs.items())
        return f"{self._name}({settings})" if settings else self._name

    def _score(
        self,
        method_caller: Any,
        estimator: Any,
        X: Any,
        y_true: Any,
        sample_weight: Any = None,
        **known: Any,
    ) -> float:
        weights = _check_weights(sample_weight, len(y_true))
        # a row of weight 0 may hold what cannot be scored: a label that training dropped too
        kept = np.flatnonzero(weights)
        X, y, weights = _safe_indexing(X, kept), _safe_indexing(y_true, kept), weights[kept]
        known = {name: _safe_indexing(values, kept) for name, values in known.items()}
        # a search's own predict takes no return_std
        estimator = getattr(estimator, "best_estimator_", estimator)
        if is_classifier(estimator):
            return self._score_labels(estimator, X, y, weights, known)
        predicted: Any = _own_distribution(estimator, X, known)
        y = np.asarray(y, dtype=np.float64)
        if predicted is None:
            predicted = _Normal(*self._mean_and_std(estimator, X, known))
            # scikit-learn's regressor drops the column of a y of shape (n, 1)
            y = y.reshape(predicted.mean.shape)
        return self._score_func(y, predicted, weights, **self._kwargs)

    def _score_labels(
        self, classifier: Any, X: Any, y: Any, weights: np.ndarray, known: dict
    ) -> float:
        if self._label_func is None:
            raise TypeError(
                f"{self!r} scores regressors, and {type(classifier).__name__} is a classifier: "
                "use log_density_scorer."
            )
        probabilities = classifier.predict_proba(X, **known)
        return self._label_func(y, classifier.classes_, probabilities, weights)

    def _mean_and_std(self, regressor: Any, X: Any, known: dict) -> tuple[np.ndarray, np.ndarray]:
        try:
            # return_std is no metadata, but a routing pipeline would want it requested
            with config_context(enable_metadata_routing=False):
                mean, std = regressor.predict(X, return_std=True, **known)
        except (AttributeError, TypeError) as error:
            raise TypeError(
                f"{self!r} needs a regressor whose predict(X, return_std=True) returns mean and "
                f"standard deviation; {type(regressor).__name__} failed: {error}"
            ) from error
        return np.asarray(mean), np.asarray(std)


#: Mean log predictive density of held-out y in nats (regressors; for densities in the units of y,
#: summed over targets), or mean log probability of the given labels (classifiers). A label that
#: the classifier was not fitted to raises a ValueError. Nothing is clipped: one label of
#: probability 0 makes the score ``-inf``, the worst there is.
log_density_scorer = _PredictiveScorer("log_density_scorer", _log_density, _log_probability)

#: Minus the mean CRPS of held-out y, in the units of y, averaged over targets. Regressors only; a
#: classifier raises a TypeError.
neg_crps_scorer = _PredictiveScorer("neg_crps_scorer", _neg_crps)


def coverage_scorer(level: float = 0.95) -> _PredictiveScorer:
    r"""Scorer of the share of held-out y in the central predictive interval of a level.

    The interval is :math:`m \pm s\,\Phi^{-1}((1 + level) / 2)`, or for Student-t noise that between
    the quantiles at its ends. A share near ``level`` is good,
    and a larger one no better, so this is a number to report; ``calibration_scorer`` selects.

    Parameters
    ----------
    level : float in (0, 1), default=0.95
        Share that a calibrated model covers.

    Returns
    -------
    callable
        ``scorer(estimator, X, y, *, sample_weight=None)``, for regressors: a share between 0 and
        1, several targets counted entry by entry. Called with a classifier, or with a regressor
        whose ``predict`` has no ``return_std``, it raises a TypeError.

    Raises
    ------
    ValueError
        If ``level`` is not between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import BayesianRidge
    >>> from skgpng.metrics import coverage_scorer
    >>> X = np.arange(20.0)[:, None]
    >>> y = X[:, 0] + np.tile([1.0, -1.0], 10)
    >>> scorer = coverage_scorer(0.9)
    >>> print(scorer, scorer(BayesianRidge().fit(X, y), X, y))
    coverage_scorer(level=0.9) 1.0
    """
    return _PredictiveScorer("coverage_scorer", _coverage, level=_check_level(level))


def calibration_scorer(level: float = 0.95) -> _PredictiveScorer:
    """Scorer of how close the coverage of a level is to that level.

    Minus the distance of ``coverage_scorer(level)`` from ``level``, at best 0. Wide and narrow
    intervals alike can be calibrated: use it beside a proper score, which tells them apart.

    Parameters
    ----------
    level : float in (0, 1), default=0.95
        Share that a calibrated model covers.

    Returns
    -------
    callable
        ``scorer(estimator, X, y, *, sample_weight=None)``, for regressors: between -1 and 0.
        Called with a classifier, or with a regressor whose ``predict`` has no ``return_std``, it
        raises a TypeError.

    Raises
    ------
    ValueError
        If ``level`` is not between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import BayesianRidge
    >>> from skgpng.metrics import calibration_scorer
    >>> X = np.arange(20.0)[:, None]
    >>> y = X[:, 0] + np.tile([1.0, -1.0], 10)
    >>> scorer = calibration_scorer(0.9)
    >>> print(scorer, round(scorer(BayesianRidge().fit(X, y), X, y), 3))
    calibration_scorer(level=0.9) -0.1
    """
    return _PredictiveScorer("calibration_scorer", _calibration, level=_check_level(level))


def _check_level(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level!r}.")
    return level
