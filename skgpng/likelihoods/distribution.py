"""Any distribution of TensorFlow Probability as a likelihood."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from .._runtime import tf
from ..means import Constant, Mean, Zero
from ..parameters import Parameter
from . import _numerical as numerical
from .base import Likelihood, Noise

__all__ = ["FromDistribution"]

# Bounds of a positive parameter, in units of its start.
_BOUNDS = (1e-4, 1e4)
# What y may be, by the name of its distribution.
_SUPPORTS = {
    "real": (
        "Cauchy", "ExpGamma", "ExpInverseGamma", "ExponentiallyModifiedGaussian",
        "GeneralizedNormal", "Gumbel", "JohnsonSU", "Laplace", "Logistic", "Moyal", "Normal",
        "NormalInverseGaussian", "SinhArcsinh", "StudentT", "TwoPieceNormal",
        "TwoPieceStudentT",
    ),
    "positive": (
        "Chi", "Chi2", "Exponential", "Gamma", "GammaGamma", "HalfCauchy", "HalfNormal",
        "HalfStudentT", "InverseGamma", "InverseGaussian", "LogLogistic", "LogNormal", "Weibull",
    ),
    "counts": ("Geometric", "NegativeBinomial", "Poisson", "PoissonLogNormalQuadratureCompound"),
    "unit": ("Beta", "Kumaraswamy", "LogitNormal", "SigmoidBeta"),
}  # fmt: skip


@dataclass(frozen=True, init=False)
class FromDistribution(Likelihood):
    r"""y given f by any distribution of TensorFlow Probability with a ``log_prob``.

    Each keyword argument is a parameter that is learned, under its name, and handed to ``make``.
    Its value is where it begins, or ``(start, bounds)`` with a pair (low, high) or ``"fixed"`` as
    bounds. It is positive, unless its lower bound is negative; without bounds it moves between
    1e-4 and 1e4 times its start.

    What the distribution has in closed form (moments, distribution function, draws) is taken from
    it; everything else follows by quadrature, as for any other likelihood.

    Parameters
    ----------
    make : callable
        ``make(f, **parameters)`` gives the distribution of y; f is a tensor of any shape, the
        batch shape of the distribution, and the parameters are scalars, all float64. A function of
        a module can be pickled with the estimator, a lambda cannot. Likelihoods of one function
        share what is compiled, whatever their numbers.
    support : {"real", "positive", "counts", "unit"}, default=None
        What y may be; None knows it of most distributions by their names.
    location : bool, default=False
        Whether y is f plus noise that does not depend on f: y may then be scaled, and what is
        called ``noise`` begins in units of its standard deviation.
    noise : str, default=None
        With ``location``, the parameter that is in the units of y, reported so, and for which
        ``alpha`` and a ``WhiteKernel`` stand; None is ``"scale"`` if there is one. Others keep the
        units of scaled y.
    log_concave : bool, default=False
        Whether the log density is concave in f, which spares checks while training.
    **parameters : float or tuple
        See above.

    Raises
    ------
    ValueError
        For a start or bounds that make no sense, for a ``make`` that does not take the parameters
        or gives no distribution, and where the support is not known.

    Examples
    --------
    >>> import numpy as np
    >>> from tensorflow_probability import distributions as tfd
    >>> from skgpng import GaussianProcessRegressor
    >>> from skgpng.likelihoods import FromDistribution
    >>> gamma = FromDistribution(
    ...     lambda f, shape: tfd.Gamma(shape, log_rate=tf.math.log(shape) - f), shape=2.0
    ... )
    >>> import tensorflow as tf
    >>> X = np.linspace(0, 6, 80)[:, None]
    >>> y = np.random.RandomState(0).gamma(4.0, np.exp(np.sin(X[:, 0])) / 4.0)
    >>> model = GaussianProcessRegressor(likelihood=gamma).fit(X, y)
    >>> sorted(model.likelihood_), model.predict(X).shape
    (['shape'], (80,))
    """

    make: Callable
    support: str  # type: ignore[misc]
    location: bool  # type: ignore[misc]
    noise: str | None  # type: ignore[misc]
    log_concave: bool  # type: ignore[misc]
    parameter_names: tuple[str, ...]  # type: ignore[misc]
    foreign: ClassVar[bool] = True  # type: ignore[misc]
    # not compared: numbers compile nothing new
    given: tuple[tuple[str, Any], ...] = field(compare=False)

    def __init__(
        self,
        make: Callable,
        *,
        support: str | None = None,
        location: bool = False,
        noise: str | None = None,
        log_concave: bool = False,
        **parameters: Any,
    ) -> None:
        """Check all that can be checked without y."""
        for name, given in parameters.items():
            _parameter(name, given)
        if location and noise is None and "scale" in parameters:
            noise = "scale"
        if noise is not None and not (location and noise in parameters):
            raise ValueError(
                f"noise={noise!r} must name one of the parameters {list(parameters)!r}, and "
                "location must be True."
            )
        names = tuple(sorted(parameters, key=lambda name: name != noise))  # the noise comes first
        fields = {
            "make": make,
            "location": location,
            "noise": noise,
            "log_concave": log_concave,
            "parameter_names": names,
            "given": tuple((name, parameters[name]) for name in names),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "support", support or self._known_support())

    noise_power: ClassVar[float] = 0.5

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Arguments by name, parameters as they begin."""
        own = "make", "support", "location", "noise", "log_concave"
        return {name: getattr(self, name) for name in own} | dict(self.given)

    def with_params(self, **params: Any) -> FromDistribution:
        """The likelihood with other arguments."""
        return FromDistribution(**{**self.get_params(), **params})

    def learned(self, values: tuple, scale: np.ndarray) -> dict:
        """Values in the units of y, by name; arguments of these names only say where they begin."""
        found = {}
        for name, value in zip(self.parameter_names, values, strict=True):
            own = value * np.asarray(scale) if name == self.noise else np.asarray(value)
            found[name] = float(own.ravel()[0]) if own.size == 1 else own
        return found

    @property
    def mean(self) -> Mean:  # type: ignore[override]
        """A constant, but for y that is centred."""
        return Zero() if self.location else Constant()

    def _known_support(self) -> str:
        distribution = self._at_start()
        name = type(distribution).__name__
        for support, names in _SUPPORTS.items():
            if name in names:
                return support
        raise ValueError(
            f"What y may be is not known of the distribution {name}. Say so: support='real', "
            "'positive', 'counts' or 'unit'."
        )

    @property
    def _starts(self) -> tuple[Parameter, ...]:
        return tuple(_parameter(name, given) for name, given in self.given)

    def _at_start(self) -> Any:
        """The distribution at f = 0."""
        values = tuple(p.value for p in self._starts)
        try:
            distribution = self._distribution_at(values, np.zeros((1, 1)))
        except TypeError as error:
            raise ValueError(
                f"make(f, {', '.join(self.parameter_names)}) of FromDistribution fails: {error}"
            ) from error
        if not callable(getattr(distribution, "log_prob", None)):
            raise ValueError(
                "make of FromDistribution must give a distribution of TensorFlow Probability, "
                f"got {type(distribution).__name__}."
            )
        return distribution

    def _distribution_at(self, values: tuple, F: Any) -> Any:
        """The distribution of y given f."""
        F = tf.convert_to_tensor(F)
        each = (tf.convert_to_tensor(v, F.dtype) for v in values)
        return self.make(F, **dict(zip(self.parameter_names, each, strict=True)))

    def parameters(self, noise: Noise | None, spread: float) -> tuple[Parameter, ...]:
        """As given, in the order of ``parameter_names``; the noise in units of y's deviation."""
        if self.noise is None:
            self._refuse(noise)
            return self._starts
        first, *others = self._starts
        if noise is not None:
            own = super().parameters(noise, spread)[0]
        else:
            own = first._replace(
                value=first.value * np.sqrt(spread), bounds=first.bounds * np.sqrt(spread)
            )
        return (own, *others)

    def log_prob(self, values: tuple, F: Any, Y: Any, row: Any = None) -> Any:
        """That of the distribution."""
        return self._distribution_at(values, F).log_prob(Y)

    def _log_prob(self, values: tuple, F: np.ndarray, Y: np.ndarray, row: Any) -> np.ndarray:
        """The same of arrays, compiled: a distribution that is made anew takes up to 0.1 s."""
        arrays = [np.asarray(a, float) for a in (*values, F, Y)]
        compiled = _compiled(self, tuple(a.ndim for a in arrays))
        return numerical.without_nan(compiled(*map(tf.constant, arrays)))

    # --- closed forms, where there are any -----------------------------------------------

    def _asked(self, values: tuple, F: np.ndarray, question: str, *given: Any) -> Any:
        """Answer of the distribution [..., N, P], or None where it has none."""
        try:
            answer = getattr(self._distribution_at(values, np.asarray(F, float)), question)(*given)
        except NotImplementedError:  # as TensorFlow Probability says it
            return None
        answer = np.broadcast_to(answer, np.broadcast_shapes(np.shape(F), np.shape(answer)))
        return answer if np.all(np.isfinite(answer)) else None

    def conditional_mean(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """That of the distribution, by quadrature where it does not know it."""
        known = self._asked(values, F, "mean")
        return super().conditional_mean(values, F) if known is None else known

    def conditional_variance(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """That of the distribution, by quadrature where it does not know it."""
        known = self._asked(values, F, "variance")
        return super().conditional_variance(values, F) if known is None else known

    def cdf(self, values: tuple, F: np.ndarray, y: np.ndarray, row: Any = None) -> np.ndarray:
        """That of the distribution, by quadrature where it does not know it."""
        known = self._asked(values, F, "cdf", tf.constant(np.asarray(y, float)))
        return super().cdf(values, F, y) if known is None else known

    def sample(
        self, values: tuple, F: np.ndarray, rng: np.random.RandomState, row: Any = None
    ) -> np.ndarray:
        """Of the distribution, or by its quantiles where it cannot draw."""
        F = np.asarray(F, float)
        distribution = self._distribution_at(values, F)
        if tuple(distribution.batch_shape) != F.shape:  # some f share a draw
            return super().sample(values, F, rng)
        seed = tf.constant(rng.randint(0, 2**31 - 1, 2), tf.int32)
        try:
            return np.asarray(distribution.sample(seed=seed), float)
        except NotImplementedError:
            return super().sample(values, F, rng)


@functools.lru_cache(maxsize=64)
def _compiled(likelihood: FromDistribution, ranks: tuple[int, ...]) -> Callable:
    """``log_prob`` of arrays of these ranks: values, F and Y."""

    def log_prob(*given: Any) -> Any:
        return likelihood.log_prob(given[:-2], *given[-2:])

    shapes = (tf.TensorSpec([None] * rank, tf.float64) for rank in ranks)
    return tf.function(log_prob, autograph=False).get_concrete_function(*shapes)


def _parameter(name: str, given: Any) -> Parameter:
    """From a start, or a start and bounds."""
    start, bounds = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
    if not isinstance(start, Real) or not np.isfinite(float(start)):
        raise ValueError(
            f"{name} of FromDistribution must begin at a number: {name}=1.0 or {name}=(1.0, "
            f"(low, high)), got {given!r:.80}."
        )
    value = np.asarray(float(start))
    if isinstance(bounds, str) and bounds == "fixed":
        return Parameter(name, value, np.stack([value, value]), free=False, real=True)
    low, high = (float(value) * b for b in _BOUNDS) if bounds is None else _pair(name, bounds)
    if not (low <= value <= high and low < high and (low < 0.0 or value > 0.0)):
        raise ValueError(
            f"{name} of FromDistribution begins at {float(value):g}, its bounds are ({low:g}, "
            f"{high:g}). Positive parameters begin above 0; one that may be negative needs bounds "
            f"that say so: {name}=(0.0, (-10.0, 10.0))."
        )
    return Parameter(name, value, np.array([low, high]), real=low < 0.0)


def _pair(name: str, bounds: Any) -> tuple[float, float]:
    try:
        low, high = map(float, bounds)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"bounds of {name} of FromDistribution must be (low, high) or 'fixed', got "
            f"{bounds!r:.80}."
        ) from error
    return low, high
