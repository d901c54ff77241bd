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
from .classes import RobustMax, Softmax
from .coregionalised import Coregionalised
from .counts import Poisson
from .distribution import FromDistribution
from .gaussian import Gaussian
from .heteroscedastic import HeteroscedasticGaussian
from .labels import Labels, Mislabelled
from .laplace import AsymmetricLaplace, Laplace
from .negative_binomial import NegativeBinomial
from .ordinal import Ordinal
from .positive import Exponential, Gamma
from .shares import Beta
from .student_t import StudentT
from .trial import tried_offset
from .two_classes import Bernoulli, Logit
from .units import Units
from .zero_inflated import ZeroInflatedPoisson

__all__ = [
    "LABEL_NAMES",
    "NAMES",
    "ROW_NAMES",
    "AsymmetricLaplace",
    "Bernoulli",
    "Beta",
    "Coregionalised",
    "ExpectedLogDensity",
    "Exponential",
    "FromDistribution",
    "Gamma",
    "Gaussian",
    "HeteroscedasticGaussian",
    "Labels",
    "Laplace",
    "Likelihood",
    "Logit",
    "Mislabelled",
    "NegativeBinomial",
    "Noise",
    "Ordinal",
    "Poisson",
    "RobustMax",
    "Softmax",
    "StudentT",
    "Units",
    "ZeroInflatedPoisson",
    "for_labels",
    "is_of_two",
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
    "coregionalised": Coregionalised,
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


# --- labels ----------------------------------------------------------------------------------

#: What the argument ``likelihood`` of the classifier may be called, beside "auto".
LABEL_NAMES: dict[str, Any] = {
    "probit": Bernoulli,
    "logit": Logit,
    "softmax": Softmax,
    "robust_max": RobustMax,
}


def is_of_two(given: Any) -> bool:
    """Whether a likelihood of the classifier, by its name or as an object, is one of two classes.

    Examples
    --------
    >>> from skgpng.likelihoods import is_of_two
    >>> is_of_two("logit"), is_of_two("softmax")
    (True, False)
    """
    if isinstance(given, Labels):
        return given.number_of_classes == 2
    return given in ("probit", "logit")


def for_labels(n_classes: int, given: Any = "auto", epsilon: Any = "auto") -> Labels:
    """The likelihood of so many classes, from its name or the one given.

    Parameters
    ----------
    n_classes : int
    given : str or Labels, default="auto"
        A name in :data:`LABEL_NAMES`; "auto" is "probit" for two classes, else "softmax".
    epsilon : float, None or "auto", default="auto"
        Share of wrong labels; None, and a number above 0, make it one of ``values``. "auto" is
        what the likelihood has by default.

    Raises
    ------
    ValueError
        Where the likelihood is one of another number of classes, or has an epsilon of its own.

    Examples
    --------
    >>> from skgpng.likelihoods import for_labels
    >>> for_labels(2), for_labels(3)
    (Bernoulli(epsilon=0.001), Softmax(n_classes=3, epsilon=0.0))
    """
    if isinstance(given, Labels):
        if epsilon != "auto":
            raise ValueError(
                f"epsilon={epsilon!r} and the object {given!r:.80} both say how many labels are "
                "wrong. Leave epsilon='auto', or give the likelihood by its name."
            )
        if given.number_of_classes != n_classes:
            raise ValueError(
                f"likelihood={given!r:.80} is one of {given.number_of_classes} classes, but y has "
                f"{n_classes}. Give it by its name, such as 'softmax', to have as many as y."
            )
        return given
    name = given if given != "auto" else "probit" if n_classes == 2 else "softmax"
    if is_of_two(name) and n_classes > 2:
        raise ValueError(  # as scikit-learn says it
            "Only binary classification is supported. The type of the target is multiclass: "
            f"likelihood={given!r} is one of two classes, but y has {n_classes}. Use 'softmax' or "
            "'robust_max', or 'auto'."
        )
    cls, size = LABEL_NAMES[name], () if is_of_two(name) else (n_classes,)
    if epsilon == "auto":
        return cls(*size)
    return cls(*size, epsilon=0.0 if epsilon == 0 else None)
