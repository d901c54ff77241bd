"""What a likelihood is asked for, with numerical answers where it has none of its own."""

from __future__ import annotations

import abc
import copy
import dataclasses
from numbers import Real
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from sklearn.metrics import r2_score

from .._runtime import tf
from ..means import Constant, Mean, Zero
from ..parameters import Parameter
from ..quadrature import gaussian_expectation
from . import _numerical as numerical
from .units import Units, mean_and_deviation

__all__ = ["ExpectedLogDensity", "Likelihood", "Noise"]

# Learned noise variance: start and bounds, as shares of the variance of y.
_NOISE_START, _NOISE_BOUNDS = 0.1, (1e-6, 1e2)
# Noise variance of a regression that stands for another likelihood, as a share of that of targets.
_STAND_IN_NOISE = 0.25
# What y may be: a test of each value, and what is said of one that fails it.
_SUPPORT: dict[str, tuple] = {
    "real": (np.isfinite, "is not finite. Leave its row out"),
    "positive": (lambda y: y > 0, "is not positive. Leave its row out, or add a constant to y"),
    "counts": (
        lambda y: (y >= 0) & (y == np.floor(y)),
        "is no count 0, 1, 2, ... For rates give the counts, and what they are counts per as the "
        "argument exposure of fit",
    ),
    "unit": (lambda y: (y > 0) & (y < 1), "is not between 0 and 1, ends excluded. Rescale y"),
    "grades": (np.isfinite, "is not finite. Leave its row out"),
}
# Where a regression that stands for the likelihood sees the latent function.
_LINKS: dict[str, Any] = {
    "positive": np.log,
    "counts": lambda y: np.log(y + 0.5),
    "unit": lambda y: np.log(y) - np.log1p(-y),
}


class ExpectedLogDensity(Protocol):
    """What the ELBO asks of a likelihood."""

    def variational_expectations(self, values: tuple, f_mean: Any, f_var: Any, Y: Any) -> Any:
        """See :meth:`Likelihood.variational_expectations`."""


class Noise(NamedTuple):
    """A noise level that ``alpha`` or a ``WhiteKernel`` gives: a variance on the scale of Y.

    Attributes
    ----------
    level : float
        To begin with, or for good.
    bounds : (float, float)
    free : bool
        Whether training may move it.
    """

    level: float
    bounds: tuple[float, float]
    free: bool


class Likelihood(abc.ABC):
    """p(y | f, row) for independent entries of Y; a frozen dataclass whose fields are settings.

    Y is [N, P], the latent functions F are [N, L], and ``row`` is what is known of each row,
    [N, R] with a column for each of ``row_names``; None stands for ``row_defaults``. Training
    hands tensors to ``log_prob``, ``variational_expectations`` and ``noise_of_rows``; all other
    methods take NumPy arrays and give NumPy arrays. They are computed from ``log_prob`` and the
    support unless a subclass has closed forms.

    Attributes
    ----------
    parameter_names : tuple of str
        Names of what is learned, in the order of ``values``; by default ``(noise,)``.
    conjugate : bool
        Whether p(y | f) is Gaussian in f.
    log_concave : bool
        Whether log p(y | f) is concave in f, so that the expected one never asks for more
        variance and every natural-gradient step keeps q's precision positive.
    bounded_precision : bool
        Whether the second derivative of log p(y | f) in f is of size 1 at most, whatever the
        parameters: no row is known more precisely than that.
    location : bool
        Whether y = f + noise whose distribution does not depend on f: y may then be scaled.
    own_kernels : bool
        Whether latent functions differ in kind, so that each has a kernel of its own; those of the
        columns of y come first.
    mixes : bool
        Whether each column of y depends on all latent functions, of which some may be nothing.
    allows_missing : bool
        Whether NaN in y stands for a target that is missing.
    support : str
        "real", "positive", "counts", "unit" (between 0 and 1), "grades" (which the likelihood
        names itself) or "labels".
    gamma : float
        Natural-gradient step on all rows.
    noise : str or None
        The parameter that ``alpha`` and a ``WhiteKernel`` stand for.
    noise_power : float
        It is the noise level, a variance, to this power: 1/2 for a scale.
    row_names, row_defaults : tuple of str, tuple of float
        Arguments of ``fit``, one number for each row, and what stands for none.
    mean : Mean
        Of the latent functions.
    n_points : int
        Nodes of the Gauss-Hermite quadrature.
    ranges : dict of (float, float)
        Settings that are a number between these two, or None where that is the default.

    Examples
    --------
    >>> from skgpng.likelihoods import Likelihood, Poisson
    >>> isinstance(Poisson(), Likelihood), Poisson().log_concave
    (True, True)
    """

    parameter_names: ClassVar[tuple[str, ...]] = ()
    conjugate: ClassVar[bool] = False
    log_concave: ClassVar[bool] = False
    bounded_precision: ClassVar[bool] = False
    location: ClassVar[bool] = False
    own_kernels: ClassVar[bool] = False
    mixes: ClassVar[bool] = False
    allows_missing: ClassVar[bool] = False
    support: ClassVar[str] = "real"
    gamma: ClassVar[float] = 0.3
    noise: ClassVar[str | None] = None
    noise_power: ClassVar[float] = 1.0
    row_names: ClassVar[tuple[str, ...]] = ()
    row_defaults: ClassVar[tuple[float, ...]] = ()
    mean: ClassVar[Mean] = Constant()
    n_points: ClassVar[int] = 20
    ranges: ClassVar[dict[str, tuple[float, float]]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        """Noise that is named is a parameter."""
        super().__init_subclass__(**options)
        if not cls.parameter_names and cls.noise is not None:
            cls.parameter_names = (cls.noise,)

    # --- settings ------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Settings by name, the fields of the dataclass: ``likelihood__df`` of an estimator."""
        if not dataclasses.is_dataclass(self):
            return {}
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}

    def with_params(self, **params: Any) -> Likelihood:
        """The likelihood with other settings. This one stays: compiled code is found by it.

        It stands in for ``set_params``, which would change it; that of an estimator takes the
        names with ``likelihood__`` before them.

        Raises
        ------
        ValueError
            For a name that is none of ``get_params``.

        Examples
        --------
        >>> from skgpng.likelihoods import StudentT
        >>> StudentT().with_params(df=4.0)
        StudentT(df=4.0)
        """
        known = self.get_params()
        for name in params:
            if name not in known:
                raise ValueError(
                    f"Invalid parameter {name!r} for the likelihood {self}. Valid parameters are: "
                    f"{list(known)!r}."
                )
        changed: Any = self
        return dataclasses.replace(changed, **params) if params else self

    def check_settings(self) -> None:
        """Raise ValueError where a setting is outside of its range."""
        for name, (low, high) in self.ranges.items():
            value: Any = getattr(self, name)
            inside = isinstance(value, Real) and low < float(value) < high
            if not inside and (value is not None or getattr(type(self), name) is not None):
                raise ValueError(
                    f"{name} of the likelihood {type(self).__name__} must be a number between "
                    f"{low:g} and {high:g}, both excluded, got {value!r:.80}."
                )

    def __sklearn_clone__(self) -> Likelihood:
        """As of any setting of an estimator, whatever the arguments of a constructor."""
        return copy.deepcopy(self)

    # --- from the data, once a fit -------------------------------------------------------

    @property
    def foreign(self) -> bool:
        """Whether its formula is somebody else's, which is tried before training."""
        return not type(self).__module__.startswith(f"{__package__}.")

    @property
    def scales(self) -> bool:
        """Whether y may be shifted and scaled; what is learned then follows."""
        return self.location

    def check_support(self) -> None:
        """Raise ValueError where ``support`` is none of numbers."""
        name = type(self).__name__
        if self.support == "labels":
            raise ValueError(
                f"likelihood {name} is one of labels, not of numbers. Use "
                "GaussianProcessClassifier."
            )
        if self.support not in _SUPPORT:
            known = ", ".join(map(repr, _SUPPORT))
            raise ValueError(
                f"support of the likelihood {name} is {self.support!r}, which is not known. Set it "
                f"to one of {known}, and override check where y may be less than that."
            )

    def for_targets(self, y: np.ndarray, before: Likelihood | None = None) -> Likelihood:
        """The likelihood that a fit to y [N] or [N, P] is made with: by default this one.

        Parameters
        ----------
        y : array of shape (N,) or (N, P)
            As it comes, not yet checked.
        before : Likelihood, optional
            That of the calls of ``partial_fit`` before, with which this one goes on.
        """
        return self

    def check(self, y: np.ndarray) -> None:
        """Raise ValueError where a value of y [N] or [N, P] is outside the support."""
        fits, advice = _SUPPORT.get(self.support, _SUPPORT["real"])
        wrong = np.argwhere(~fits(np.asarray(y)))
        if len(wrong):
            at, name = tuple(wrong[0]), type(self).__name__
            raise ValueError(
                f"y[{', '.join(map(str, at))}] = {float(y[at]):g} does not suit the likelihood "
                f"{name}: it {advice}."
            )

    def check_row(self, name: str, values: Any, n_rows: int) -> np.ndarray:
        """What is known of each row [N] as floats: positive, or also zero where that is default.

        None stands for the default. ValueError where it does not fit, or for a name that is none
        of ``row_names``.
        """
        if name not in self.row_names:
            raise ValueError(
                f"{name} of each row is nothing that the likelihood {type(self).__name__} can "
                f"take. Leave it out, or set another likelihood."
            )
        default = self.row_defaults[self.row_names.index(name)]
        if values is None:
            return np.full(n_rows, default)
        kind = "positive" if default else "non-negative"
        must = f"{name} must hold {n_rows} finite, {kind} numbers, one per row of X;"
        values = _numbers(values, must)
        if values.shape != (n_rows,):
            raise ValueError(f"{must} got shape {values.shape}.")
        wrong = ~(np.isfinite(values) & ((values > 0) if default else (values >= 0)))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(f"{must} that of row {row} is {values[row]:g}.")
        return values

    def scaled_row(self, row: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """What is known of each row [N, R] where y is in units of ``scale`` [P]."""
        return row

    def n_latent(self, n_columns: int) -> int:
        """Latent functions for so many columns of Y: one each."""
        return n_columns

    def n_columns(self, n_latent: int) -> int:
        """Columns of Y for so many latent functions: one each."""
        return n_latent

    def units(self, Y: np.ndarray, weights: np.ndarray) -> Units:
        """Mean and standard deviation of each column where y may be scaled, else 0 and 1."""
        if self.scales:
            return mean_and_deviation(Y, weights)
        return Units(np.zeros(Y.shape[1]), np.ones(Y.shape[1]))

    def offset(self, Y: np.ndarray, weights: np.ndarray, row: np.ndarray | None) -> np.ndarray:
        """Constant of f [L] that suits the rows: of the highest likelihood; 0 without a mean."""
        n_latent = self.n_latent(Y.shape[1])
        if isinstance(self.mean, Zero):
            return np.zeros(n_latent)
        self._require_one_latent(Y.shape[1])
        values = tuple(p.value for p in self.parameters(None, float(np.mean(np.var(Y, 0)))))

        def fit(f: np.ndarray) -> np.ndarray:  # [K, P]
            F = np.broadcast_to(f[:, None], (len(f), *Y.shape))
            density = np.sum(weights[:, None] * self._log_prob(values, F, Y, row), 1)
            # where all f far out are as good, as for counts that are all zero: the nearest
            return density - 1e-8 * np.log1p(f**2)

        return numerical.argmax_of_sinh(fit, (Y.shape[1],))

    def parameters(self, noise: Noise | None, spread: float) -> tuple[Parameter, ...]:
        """What is learned, to begin with: by default the noise level, if there is one.

        Parameters
        ----------
        noise : Noise, optional
            As given; ValueError where the likelihood has no such noise. By default a tenth of
            ``spread``, free between 1e-6 and 100 times that.
        spread : float
            Variance of Y where it is not scaled, else 1.
        """
        if self.noise is None:
            self._refuse(noise)
            return ()
        level, bounds, free = noise or self._default_noise(spread)
        value, limits = (np.asarray(a, float) ** self.noise_power for a in (level, bounds))
        return (Parameter(self.noise, value, limits, free),)

    def started(
        self, parameters: tuple[Parameter, ...], Y: np.ndarray, weights: np.ndarray
    ) -> tuple[Parameter, ...]:
        """The same parameters, beginning where suits the rows; by default as they are."""
        return parameters

    def as_regression(
        self, Y: np.ndarray, values: tuple, row: np.ndarray | None, spread: float
    ) -> tuple[np.ndarray, float, bool]:
        """Targets [N, L] and noise of a Gaussian regression that looks much like the model.

        Whether its noise is the likelihood's and may move comes last.
        """
        self._require_one_latent(Y.shape[1])
        targets = _LINKS.get(self.support, np.asarray)(Y)
        return *_centred(targets, _STAND_IN_NOISE * np.var(targets)), False

    def noise_level(self, values: tuple) -> float:
        """What a ``WhiteKernel`` stands for, of learned values: a variance."""
        at = self.parameter_names.index(str(self.noise))
        return float(values[at]) ** (1.0 / self.noise_power)

    def noise_start(self, parameters: tuple[Parameter, ...]) -> float:
        """Noise level to begin with; 0 where there is none."""
        return self.noise_level(tuple(p.value for p in parameters)) if self.noise else 0.0

    # --- training ------------------------------------------------------------------------

    @abc.abstractmethod
    def log_prob(self, values: tuple, F: Any, Y: Any, row: Any = None) -> Any:
        """Log density log p(Y | F), elementwise.

        Parameters
        ----------
        values : tuple of tensors
            Parameters of the likelihood.
        F : tensor of shape (..., N, L)
            Latent functions.
        Y : tensor of shape (N, P), or with axes before these that broadcast against F's
        row : tensor of shape (N, R), optional

        Returns
        -------
        tensor of shape (..., N, P)
        """

    def variational_expectations(
        self, values: tuple, f_mean: Any, f_var: Any, Y: Any, row: Any = None
    ) -> Any:
        """Expected log density E[log p(Y | f)], f ~ N(f_mean, f_var), elementwise.

        Parameters
        ----------
        values : tuple of tensors
            Parameters of the likelihood.
        f_mean, f_var : tensor of shape (N, L)
            Mean and variance of the latent functions.
        Y : tensor of shape (N, P)
        row : tensor of shape (N, R), optional

        Returns
        -------
        tensor of shape (N, P)
        """
        return gaussian_expectation(
            lambda F: self.log_prob(values, F, Y, row), f_mean, f_var, self.n_points
        )

    def noise_of_rows(self, values: tuple, row: Any) -> Any:
        """Variance of Gaussian noise of each row, [N], of a conjugate likelihood."""
        raise TypeError(f"The likelihood {type(self).__name__} is not Gaussian in f.")

    # --- y given f -----------------------------------------------------------------------

    def conditional_mean(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """Mean of y given f [..., N, L], as [..., N, P]."""
        return self._distribution(values, F, 0.0, row).mean()

    def conditional_variance(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """Variance of y given f [..., N, L], as [..., N, P]."""
        return self._distribution(values, F, 0.0, row).variance()

    def cdf(self, values: tuple, F: np.ndarray, y: np.ndarray, row: Any = None) -> np.ndarray:
        """Probability of y or less given f, elementwise."""
        return self._distribution(values, *_aligned(F, y), row).cdf(np.asarray(y, float))

    def sample(
        self, values: tuple, F: np.ndarray, rng: np.random.RandomState, row: Any = None
    ) -> np.ndarray:
        """Draws of y given f [..., N, L], as [..., N, P]."""
        levels = rng.uniform(size=np.shape(F))
        return self._distribution(values, F, 0.0, row).draws(levels)

    # --- y given f ~ N(f_mean, f_var) ----------------------------------------------------

    def predict_mean_and_var(
        self,
        values: tuple,
        f_mean: np.ndarray,
        f_var: np.ndarray,
        row: Any = None,
        include_noise: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean [N, P] and total variance of y; without noise that of its mean given f."""
        y = self._distribution(values, f_mean, f_var, row)
        return y.mean(), y.variance() if include_noise else y.variance_of_mean()

    def mean_and_cov_of_rows(
        self, values: tuple, f_mean: np.ndarray, f_cov: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean [N, P] of y, and covariances [P, N, N] of its mean given f; ValueError if unknown.

        ``f_mean`` is [N, L], ``f_cov`` [L, N, N]. Known where that mean is linear in f.
        """
        if self.location:
            return self.conditional_mean(values, f_mean), f_cov
        raise ValueError(
            "return_cov=True needs a likelihood whose mean is the latent function, such as "
            "'gaussian'. Use sample_y, or return_std=True."
        )

    def predict_log_density(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        """Log predictive density log E[p(Y | f)], [N, P]."""
        f_mean, f_var, Y = (np.asarray(a, float) for a in (f_mean, f_var, Y))
        self._require_one_latent(Y.shape[-1])
        return numerical.log_expectation(lambda F: self._log_prob(values, F, Y, row), f_mean, f_var)

    def predict_quantiles(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, levels: Any, row: Any = None
    ) -> np.ndarray:
        """Quantiles of y, [N, P, Q]; of counts the smallest whose probability reaches the level.

        Parameters
        ----------
        values : tuple of float
        f_mean, f_var : array of shape (N, L)
        levels : sequence of float in (0, 1), of length Q
        row : array of shape (N, R), optional

        Returns
        -------
        ndarray of shape (N, P, Q)
        """
        levels = np.asarray(levels, dtype=float)
        return self._distribution(values, f_mean, f_var, row).quantiles(levels)

    def predict_crps(
        self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray, Y: np.ndarray, row: Any = None
    ) -> np.ndarray:
        r"""Continuous ranked probability score :math:`\int (F(x) - 1\{x \ge y\})^2 dx`, [N, P].

        Of counts the sum over 0, 1, ...
        """
        return self._distribution(values, f_mean, f_var, row).crps(np.asarray(Y, float))

    # --- reports -------------------------------------------------------------------------

    def learned(self, values: tuple, scale: np.ndarray) -> dict:
        """What ``likelihood_`` reports: values in the units of y, by name.

        ``scale`` [P] is the unit of each column of y; only noise has one. A setting of the same
        name holds a value, which training knows by its logarithm.
        """
        power = 2.0 * self.noise_power
        learned = dict(zip(self.parameter_names, values, strict=True))
        held = {k: v for k, v in self.get_params().items() if k in learned and v is not None}
        with np.errstate(over="ignore"):  # y of 1e200: the honest variance is infinite
            return {
                name: _one_or_all(v * np.asarray(scale) ** power if name == self.noise else v)
                for name, v in (learned | held).items()
            }

    def noise_variance(self, values: tuple) -> float | None:
        """Variance of y about its mean given f where it does not depend on f, else None.

        Infinite where tails are too heavy for one, as of a Cauchy distribution.
        """
        if not self.location or self.row_names:
            return None
        try:
            return float(self.conditional_variance(values, np.zeros((1, 1)))[0, 0])
        except numerical.HeavyTails:
            return np.inf

    def score(self, y: np.ndarray, y_mean: np.ndarray, sample_weight: Any = None) -> float:
        """Of predicted means: the share of the variance of y that they explain."""
        return float(r2_score(y, y_mean, sample_weight=sample_weight))

    # --- for subclasses ------------------------------------------------------------------

    def _default_noise(self, spread: float) -> Noise:
        low, high = _NOISE_BOUNDS
        return Noise(_NOISE_START * spread, (low * spread, high * spread), True)

    def _refuse(self, noise: Noise | None) -> None:
        """Raise ValueError for Gaussian noise where there is none."""
        if noise is not None:
            raise ValueError(
                f"The likelihood {type(self).__name__} has no Gaussian noise. Leave alpha=None, "
                "and the WhiteKernel out of the kernel."
            )

    def _require_one_latent(self, n_columns: int) -> None:
        if self.n_latent(n_columns) != n_columns:
            raise NotImplementedError(
                f"{type(self).__name__} has {self.n_latent(n_columns)} latent functions for "
                f"{n_columns} columns of y: quadrature over one of them will not do. Write the "
                "method for this likelihood."
            )

    def _log_prob(self, values: tuple, F: np.ndarray, Y: np.ndarray, row: Any) -> np.ndarray:
        """``log_prob`` of NumPy arrays; no density where it is NaN."""
        values, F, Y = tf.nest.map_structure(
            lambda a: tf.convert_to_tensor(np.asarray(a, float)), (tuple(values), F, Y)
        )
        return numerical.without_nan(self.log_prob(values, F, Y, row))

    def _distribution(self, values: tuple, f_mean: Any, f_var: Any, row: Any) -> Any:
        """Of y where f ~ N(f_mean, f_var); see ``_numerical.py``."""
        f_mean = np.asarray(f_mean, dtype=float)
        self._require_one_latent(f_mean.shape[-1])
        f_var = np.broadcast_to(np.asarray(f_var, dtype=float), f_mean.shape)

        def log_prob(F: np.ndarray, y: np.ndarray) -> np.ndarray:
            return self._log_prob(values, F, y, row)

        name = type(self).__name__
        if self.location and self.support == "real" and not self.row_names:
            noise = numerical.NoiseTable(
                lambda x: log_prob(np.zeros((1, 1)), x[:, None])[:, 0], name
            )
            return numerical.Convolution(noise, f_mean, f_var)
        if self.support not in numerical.TABLES:
            raise NotImplementedError(f"{name}: write moments and quantiles of {self.support}.")
        return numerical.TABLES[self.support](log_prob, f_mean, f_var, self.support, name)


def _aligned(F: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """F repeated for each y, without variance."""
    return np.broadcast_to(F, np.broadcast_shapes(np.shape(F), np.shape(y))), 0.0


def _numbers(values: Any, must: str) -> np.ndarray:
    """As floats; ValueError for strings, also those that look like numbers, and for no numbers."""
    values = np.asarray(values)
    strings = [v for v in np.ravel(values) if isinstance(v, (str, bytes))]
    try:
        if not strings:
            return values.astype(np.float64)
    except (TypeError, ValueError):
        strings = [v for v in np.ravel(values) if not isinstance(v, Real)]
    raise ValueError(
        f"{must} got {str(strings[0])!r}. Convert it, as by numpy.asarray(..., float)."
    )


def _centred(targets: np.ndarray, noise: float) -> tuple[np.ndarray, float]:
    return targets - targets.mean(0), max(float(noise), np.finfo(float).tiny)


def _one_or_all(values: Any) -> Any:
    """A number where there is one, else an array."""
    return float(np.ravel(values)[0]) if np.size(values) == 1 else np.asarray(values)


def sum_to_shape(gradient: Any, like: Any) -> Any:
    """Sum over the axes along which ``like`` was broadcast."""
    missing = gradient.shape.rank - like.shape.rank
    gradient = tf.reduce_sum(gradient, list(range(missing))) if missing else gradient
    stretched = [k for k, size in enumerate(like.shape) if size == 1 != gradient.shape[k]]
    return tf.reduce_sum(gradient, stretched, keepdims=True) if stretched else gradient
