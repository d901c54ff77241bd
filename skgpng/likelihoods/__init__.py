r"""Likelihoods p(y | f), row by row.

A likelihood is one class in one file: it says what y may be, where its parameters begin, how
probable y is given the latent functions, and what it predicts. The object holds settings only
and is hashable; learned values are handed to each method as a tuple, ``values``. A likelihood of
your own needs :meth:`Likelihood.log_prob` and no more, if all it learns is the level of its noise:

>>> from dataclasses import dataclass
>>> from skgpng.likelihoods import Likelihood
>>> from skgpng.means import Zero
>>> import numpy as np
>>> import tensorflow as tf
>>> @dataclass(frozen=True)
... class Laplace(Likelihood):
...     noise, noise_power, log_concave, location, mean = "scale", 0.5, True, True, Zero()
...
...     def log_prob(self, values, F, Y, row=None):
...         return -tf.abs(Y - F) / values[0] - tf.math.log(2.0 * values[0])
>>> quantile = Laplace().predict_quantiles((0.5,), np.zeros((1, 1)), np.zeros((1, 1)), [0.9])
>>> print(quantile.round(6))
[[[0.804719]]]
"""

from __future__ import annotations

from typing import Any

from .base import ExpectedLogDensity, Likelihood, Noise
from .coregionalised import Coregionalised
from .counts import Poisson
from .gaussian import Gaussian
from .heteroscedastic import HeteroscedasticGaussian
from .labels import Bernoulli, Softmax, for_labels
from .laplace import AsymmetricLaplace, Laplace
from .negative_binomial import NegativeBinomial
from .ordinal import Ordinal
from .positive import Exponential, Gamma
from .shares import Beta
from .student_t import StudentT
from .trial import tried_offset
from .units import Units
from .zero_inflated import ZeroInflatedPoisson

__all__ = [
    "NAMES",
    "ROW_NAMES",
    "AsymmetricLaplace",
    "Bernoulli",
    "Beta",
    "Coregionalised",
    "ExpectedLogDensity",
    "Exponential",
    "Gamma",
    "Gaussian",
    "HeteroscedasticGaussian",
    "Laplace",
    "Likelihood",
    "NegativeBinomial",
    "Noise",
    "Ordinal",
    "Poisson",
    "Softmax",
    "StudentT",
    "Units",
    "ZeroInflatedPoisson",
    "for_labels",
    "named",
    "tried_offset",
]

#: What the argument ``likelihood`` of the regressor may be called.
NAMES: dict[str, Any] = {
    "gaussian": Gaussian,
    "heteroscedastic": HeteroscedasticGaussian,
    "student_t": StudentT,
    "laplace": Laplace,
    "poisson": Poisson,
    "negative_binomial": NegativeBinomial,
    "zero_inflated_poisson": ZeroInflatedPoisson,
    "ordinal": Ordinal,
    "gamma": Gamma,
    "exponential": Exponential,
    "beta": Beta,
}

#: What their ``fit`` and predictions may be told of each row, as arguments.
ROW_NAMES = tuple(
    dict.fromkeys(name for likelihood in NAMES.values() for name in likelihood.row_names)
)


def named(given: Any) -> Likelihood:
    """A likelihood from its name in :data:`NAMES`, or the one given.

    Raises
    ------
    ValueError
        For anything else, where its support is none of numbers that is known, and where a setting
        is out of its range.

    Examples
    --------
    >>> from skgpng.likelihoods import named
    >>> named("poisson")
    Poisson()
    """
    if isinstance(given, Likelihood):
        given.check_support()
        given.check_settings()
        return given
    if isinstance(given, str) and given in NAMES:
        return NAMES[given]()
    raise ValueError(
        f"likelihood must be one of {', '.join(map(repr, NAMES))} or an object of "
        f"skgpng.likelihoods, got {given!r:.80}."
    )
