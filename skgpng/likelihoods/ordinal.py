"""Grades: labels that have an order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri
from sklearn.metrics import d2_absolute_error_score

from .._runtime import custom_gradient, tf
from ..means import Mean, Zero
from ..parameters import Parameter
from .base import Likelihood, Noise

__all__ = ["Ordinal"]

# More different values of y are numbers, and not grades.
_MOST_GRADES = 100
# Bounds of the first cut point and of the gaps between cut points.
_CUT_BOUNDS, _GAP_BOUNDS = (-1e3, 1e3), (1e-4, 1e3)
# Standard deviation of f and noise together for which cut points begin: that of a prior of variance
# 1.
_START_STD = float(np.sqrt(2.0))
# Rows by which each grade is taken to be more frequent than it is, to begin with.
_PSEUDO_COUNT = 0.5
# The mean of a normal variable in an interval of less probability is lost to rounding.
_LEAST_SHARE = 1e-9
# Below, log Phi is taken from its asymptotic series, to 1e-14; erfc is zero from -38.
_FAR = -30.0
# Steps of the sum over f, in units of what is narrower of f and noise, and its most nodes.
_STEP, _MOST_NODES = 0.5, 2000
_LOG_ROOT_2PI = float(0.5 * np.log(2.0 * np.pi))


@dataclass(frozen=True)
class Ordinal(Likelihood):
    r"""Grades :math:`g_1 < \dots < g_J`: where f with noise is between two cut points.

    .. math:: p(y = g_j | f) = \Phi(c_j - f) - \Phi(c_{j-1} - f),
              \quad c_0 = -\infty, \; c_J = \infty

    The noise is standard normal: the scale of f is relative to it, which the kernel learns by the
    constant in it. The J - 1 cut points are learned, as the first and the gaps between them
    (``values``), and stand for a mean of f, so that there is no other. What is predicted for the
    mean of y is the median grade, the first whose probability, together with that of all below,
    reaches one half: it is one of the grades, and of these has the least expected absolute error.

    Parameters
    ----------
    grades : sequence of float or None, default=()
        All values that y may have, two to a hundred. None given stands for those that ``fit``
        finds in y.

    References
    ----------
    W. Chu and Z. Ghahramani (2005). Gaussian processes for ordinal regression. Journal of Machine
    Learning Research 6, 1019-1041.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import Ordinal
    >>> likelihood = Ordinal(grades=(3.0, 4.0, 5.0))
    >>> values = np.array(-1.0), np.array([2.0])  # cut points at -1 and 1
    >>> likelihood.predict_quantiles(values, np.array([[0.2]]), np.array([[0.5]]), [0.1, 0.5, 0.9])
    array([[[3., 4., 5.]]])
    """

    grades: Sequence[float] | None = ()
    parameter_names: ClassVar[tuple[str, ...]] = ("first_cut_point", "gaps")
    log_concave: ClassVar[bool] = True
    bounded_precision: ClassVar[bool] = True
    support: ClassVar[str] = "grades"
    mean: ClassVar[Mean] = Zero()

    # --- from the data, once a fit -------------------------------------------------------

    @property
    def _given(self) -> np.ndarray:
        """Grades as they are given; ValueError for what is no list of numbers."""
        try:
            grades = np.asarray(() if self.grades is None else self.grades, float)
        except (TypeError, ValueError):
            grades = np.zeros(())
        if grades.ndim != 1:
            raise ValueError(
                f"grades must be a list of numbers, got {self.grades!r:.60}. Encode others by "
                "sklearn.preprocessing.OrdinalEncoder(categories=[[...]]), those of y too."
            )
        return grades

    @property
    def _levels(self) -> np.ndarray:
        """Grades in their order [J]; ValueError where they are not known, or are none."""
        levels = np.sort(self._given)
        if not len(levels):
            raise ValueError(
                "The likelihood Ordinal knows its grades after fit only. Give them as "
                "Ordinal(grades=...), or fit first."
            )
        if len(levels) < 2 or not np.isfinite(levels).all() or not np.all(np.diff(levels) > 0):
            raise ValueError(
                f"grades must be two finite numbers at least, each of them once, got {levels}."
            )
        return levels

    def for_targets(self, y: np.ndarray, before: Likelihood | None = None) -> Likelihood:
        """With the grades given, those ``before``, or else those in y."""
        if len(self._given):
            known: Likelihood = replace(self, grades=tuple(self._levels.tolist()))
        elif isinstance(before, Ordinal):
            known = before
        else:
            super().check(y)
            known = replace(self, grades=_grades_in(y))
        return known

    def check(self, y: np.ndarray) -> None:
        """Raise ValueError where a value of y [N] or [N, P] is none of the grades."""
        y = np.asarray(y)
        wrong = np.argwhere(~np.isin(y, self._levels))
        if len(wrong):
            at = tuple(wrong[0])
            raise ValueError(
                f"y[{', '.join(map(str, at))}] = {float(y[at]):g} does not suit the likelihood "
                f"Ordinal: it is none of the grades {', '.join(f'{g:g}' for g in self._levels)}. "
                "Give all that y may have as Ordinal(grades=...)."
            )

    def parameters(self, noise: Noise | None, spread: float) -> tuple[Parameter, ...]:
        """First cut point and gaps [J - 2], for grades that are all as frequent."""
        self._refuse(noise)
        J = len(self._levels)
        return _parameters_at(ndtri(np.arange(1.0, J) / J))

    def started(
        self, parameters: tuple[Parameter, ...], Y: np.ndarray, weights: np.ndarray
    ) -> tuple[Parameter, ...]:
        """Cut points that give each grade its share of the rows."""
        grade = np.searchsorted(self._levels, Y)
        J = len(self._levels)
        counts = np.full(J, _PSEUDO_COUNT)
        for column in grade.T:
            counts += np.bincount(column, weights, minlength=J)
        return _parameters_at(ndtri(np.cumsum(counts)[:-1] / counts.sum()))

    def as_regression(
        self, Y: np.ndarray, values: tuple, row: np.ndarray | None, spread: float
    ) -> tuple[np.ndarray, float, bool]:
        """Expected f and noise given the grade, to begin with; the noise has the variance 1."""
        edges = _edges(values) / _START_STD
        density, shares = np.exp(-0.5 * edges**2 - _LOG_ROOT_2PI), np.diff(ndtr(edges))
        within = np.clip(edges, edges[1] - 1.0, edges[-2] + 1.0)
        likely = shares > _LEAST_SHARE  # else between the cut points
        expected = np.where(
            likely,
            -np.diff(density) / np.where(likely, shares, 1.0),
            0.5 * (within[1:] + within[:-1]),
        )
        targets = _START_STD * expected[np.searchsorted(self._levels, Y)]
        return targets - targets.mean(0), 1.0, False

    # --- training ------------------------------------------------------------------------

    def log_prob(self, values: tuple, F: Any, Y: Any, row: Any = None) -> Any:
        """Log of the probability of the grade, as exact in the tails as in the middle."""
        F, Y = tf.convert_to_tensor(F), tf.convert_to_tensor(Y)
        first, gaps = (tf.convert_to_tensor(v, F.dtype) for v in values)
        far = tf.constant([np.inf], F.dtype)
        cuts = first + tf.concat([tf.zeros([1], F.dtype), tf.cumsum(gaps)], 0)
        edges = tf.concat([-far, cuts, far], 0)
        between = tf.constant(0.5 * (self._levels[1:] + self._levels[:-1]), Y.dtype)
        grade = tf.reshape(tf.searchsorted(between, tf.reshape(Y, [-1])), tf.shape(Y))
        return _log_between(tf.gather(edges, grade) - F, tf.gather(edges, grade + 1) - F)

    # --- y given f -----------------------------------------------------------------------

    def conditional_mean(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """Mean of the grade's value, which need not be a grade."""
        return self._moments(_shares_below(values, F, 0.0))[0]

    def conditional_variance(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """Variance of the grade's value."""
        return self._moments(_shares_below(values, F, 0.0))[1]

    def cdf(self, values: tuple, F: np.ndarray, y: np.ndarray, row: Any = None) -> np.ndarray:
        """Probability of all grades up to y."""
        below = np.searchsorted(self._levels, y, side="right")
        return ndtr(_edges(values)[below] - F)

    def sample(
        self, values: tuple, F: np.ndarray, rng: np.random.RandomState, row: Any = None
    ) -> np.ndarray:
        """Grades of F with noise."""
        noisy = F + rng.standard_normal(np.shape(F))
        return self._levels[np.searchsorted(_edges(values)[1:-1], noisy)]

    # --- y given f ~ N(f_mean, f_var) ----------------------------------------------------

    def predict_mean_and_var(
        self,
        values: tuple,
        f_mean: np.ndarray,
        f_var: np.ndarray,
        row: Any = None,
        include_noise: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""Median grade, and the variance of the grade's value.

        From :math:`P(y \le g_j) = \Phi((c_j - m) / \sqrt{1 + v})`. Without noise the variance of
        the mean of the grade's value given f.
        """
        shares = _shares_below(values, f_mean, f_var)
        median = self._levels[np.sum(shares < 0.5, -1)]
        if include_noise:
            return median, self._moments(shares)[1]
        return median, self._variance_of_mean(values, f_mean, f_var)

    def _moments(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of the value of grades that are reached with the probabilities [..., J - 1]."""
        probabilities = np.diff(shares, prepend=0.0, append=1.0)
        mean = probabilities @ self._levels
        return mean, np.sum(probabilities * (self._levels - mean[..., None]) ** 2, -1)

    def _variance_of_mean(self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray) -> np.ndarray:
        """By the trapezoid rule, as fine as a step of the noise asks for."""
        largest = float(np.sqrt(1.0 + np.max(f_var, initial=0.0)))
        z = np.linspace(-8.0, 8.0, min(int(np.ceil(16.0 * largest / _STEP)), _MOST_NODES))
        weights = np.exp(-0.5 * z**2)
        weights /= weights.sum()
        first = second = np.zeros(np.shape(f_mean))
        lowest, std = self._levels[0], np.sqrt(f_var)
        for node, weight in zip(z, weights, strict=True):
            each = self.conditional_mean(values, f_mean + std * node) - lowest
            first, second = first + weight * each, second + weight * each**2
        return np.maximum(second - first**2, 0.0)

    def predict_log_density(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        """Log of the probability of the grade."""
        edges, grade = _edges(values), np.searchsorted(self._levels, Y)
        spread = np.sqrt(1.0 + np.asarray(f_var))
        low, high = _towards_zero(
            np, (edges[grade] - f_mean) / spread, (edges[grade + 1] - f_mean) / spread
        )
        return _log_difference(np, log_ndtr(high), log_ndtr(low))

    def predict_quantiles(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, levels: Any, row: Any = None
    ) -> np.ndarray:
        """First grades whose probability, with that of all below, reaches the levels, [N, P, Q]."""
        shares = _shares_below(values, f_mean, f_var)[..., None]  # [N, P, J - 1, 1]
        return self._levels[np.sum(shares < np.asarray(levels, float), -2)]

    def predict_crps(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        r"""Ranked probability score, the continuous one of the grades' values.

        .. math:: \sum_j (P(\cdot \le g_j) - 1\{y \le g_j\})^2 (g_{j+1} - g_j)
        """
        shares = _shares_below(values, f_mean, f_var)
        reached = np.asarray(Y)[..., None] <= self._levels[:-1]
        return (shares - reached) ** 2 @ np.diff(self._levels)

    # --- reports -------------------------------------------------------------------------

    def learned(self, values: tuple, scale: np.ndarray) -> dict:
        """Grades [J] and the cut points between them [J - 1], in units of the noise."""
        return {"grades": self._levels, "cut_points": _edges(values)[1:-1]}

    def score(self, y: np.ndarray, y_mean: np.ndarray, sample_weight: Any = None) -> float:
        """Share of the absolute error explained, beside that of the median of y.

        :func:`sklearn.metrics.d2_absolute_error_score`, for which the median grade is best.
        """
        return float(d2_absolute_error_score(y, y_mean, sample_weight=sample_weight))


def _grades_in(y: np.ndarray) -> tuple[float, ...]:
    """Different values of y; ValueError for one, or for too many."""
    found = np.unique(y)
    if len(found) < 2:
        raise ValueError(
            f"All of y is {found[0]:g}: the likelihood Ordinal needs two grades at least. Give all "
            "that y may have as Ordinal(grades=...)."
        )
    if len(found) > _MOST_GRADES:
        raise ValueError(
            f"y has {len(found)} different values: {_MOST_GRADES} grades are the most that the "
            "likelihood Ordinal can take. Set likelihood='gaussian', or round y."
        )
    return tuple(found.tolist())


def _parameters_at(scores: np.ndarray) -> tuple[Parameter, ...]:
    """First cut point and gaps, where f with noise has the quantiles ``scores`` [J - 1]."""
    cuts = _START_STD * scores
    gaps = np.clip(np.diff(cuts), *_GAP_BOUNDS)
    bounds = np.broadcast_to(np.array(_GAP_BOUNDS), (len(gaps), 2))
    first = Parameter("first_cut_point", np.array(cuts[0]), np.array(_CUT_BOUNDS), real=True)
    return first, Parameter("gaps", gaps, bounds)


def _edges(values: tuple) -> np.ndarray:
    """Cut points [J + 1], with infinity at either end."""
    first, gaps = values
    return np.concatenate([[-np.inf], first + np.cumsum([0.0, *np.ravel(gaps)]), [np.inf]])


def _shares_below(values: tuple, f_mean: np.ndarray, f_var: Any) -> np.ndarray:
    """Probability of each grade but the last or one below, [..., J - 1]."""
    spread = np.sqrt(1.0 + np.asarray(f_var))[..., None]
    return ndtr((_edges(values)[1:-1] - np.asarray(f_mean)[..., None]) / spread)


# --- logarithms of probabilities, in both tails ------------------------------------------------


def _towards_zero(xp: Any, low: Any, high: Any) -> tuple[Any, Any]:
    """The interval, or its mirror image, with the end that is nearer to zero above."""
    mirrored = low + high > 0.0
    return xp.where(mirrored, -high, low), xp.where(mirrored, -low, high)


def _log_difference(xp: Any, log_high: Any, log_low: Any) -> Any:
    """log(exp(log_high) - exp(log_low))."""
    log = np.log if xp is np else tf.math.log
    expm1 = np.expm1 if xp is np else tf.math.expm1
    return log_high + log(-expm1(log_low - log_high))


def _log_ndtr(x: Any) -> Any:
    r""":math:`\log\Phi(x)` of a tensor."""
    near = tf.math.log(0.5 * tf.math.erfc(-np.sqrt(0.5) * tf.maximum(x, _FAR)))
    far = tf.minimum(x, _FAR)
    u = 1.0 / far**2
    series = 1.0 - u * (1.0 - 3.0 * u * (1.0 - 5.0 * u * (1.0 - 7.0 * u)))
    return tf.where(
        x > _FAR, near, -0.5 * far**2 - tf.math.log(-far) - _LOG_ROOT_2PI + tf.math.log(series)
    )


@custom_gradient
def _log_between(low: Any, high: Any) -> Any:
    r""":math:`\log(\Phi(b) - \Phi(a))`, with :math:`\phi(b) / (\Phi(b) - \Phi(a))` as its slope.

    One of both may be infinite.
    """
    a, b = _towards_zero(tf, low, high)
    value = _log_difference(tf, _log_ndtr(b), _log_ndtr(a))

    def gradient(upstream: Any) -> Any:
        in_low, in_high = (
            upstream * tf.exp(-0.5 * tf.square(x) - _LOG_ROOT_2PI - value) for x in (low, high)
        )
        return -in_low, in_high

    return value, gradient
