r"""What likelihoods of labels have in common, and labels of which some are wrong.

A link of your own for two classes is a subclass of :class:`Labels` with ``log_prob``; here the
complementary log-log link, :math:`p(y=1|f) = 1 - \exp(-e^f)`:

>>> from dataclasses import dataclass
>>> import numpy as np
>>> import tensorflow as tf
>>> from skgpng import GaussianProcessClassifier
>>> from skgpng.likelihoods import Labels
>>> @dataclass(frozen=True)
... class LogLog(Labels):
...     def log_prob(self, values, F, Y, row=None):
...         rate = tf.exp(F)
...         return tf.where(Y == 1, tf.math.log(-tf.math.expm1(-rate)), -rate)
>>> X = np.linspace(-3, 3, 40)[:, None]
>>> model = GaussianProcessClassifier(likelihood=LogLog()).fit(X, X[:, 0] > 1)
>>> print(model.predict([[0.0], [2.0]]))
[False  True]
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..means import Mean, Zero
from ..parameters import Parameter
from . import _numerical as numerical
from .base import Likelihood, Noise

__all__ = ["Labels", "Mislabelled"]

# Noise variance of labels of -1 and 1 where a regression stands for the classifier.
_LABEL_NOISE = 0.3
# Learned share of wrong labels: start and bounds. From 0.02 small latent functions explained wrong
# labels first, and training ended there (one label in ten, 300 rows, logit: 2.6 nats lost; from
# 0.05 and 0.1 the same end, 0.2 loses one nat). Beyond 0.4 two classes say next to nothing, and
# close to 1/2 they would change places.
_EPSILON_START, _EPSILON_BOUNDS = 0.05, (1e-6, 0.4)


class Labels(Likelihood):
    """p(y | f) for Y [N, 1] of class numbers 0 to C-1, as floats; no noise and no scale.

    With one latent function there are two classes, with more as many classes as functions. Of one
    latent function ``log_prob`` is all that is needed: probabilities follow by quadrature.

    Attributes
    ----------
    symmetric : bool
        Whether p(y=1 | f) = p(y=0 | -f): the sign of the mean of f tells the more probable class.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import Bernoulli, Labels, Softmax
    >>> isinstance(Bernoulli(), Labels), Bernoulli().number_of_classes, Softmax(3).number_of_classes
    (True, 2, 3)
    """

    support: ClassVar[str] = "labels"
    mean: ClassVar[Mean] = Zero()
    symmetric: ClassVar[bool] = False

    @property
    def number_of_classes(self) -> int:
        """C."""
        return max(2, self.n_latent(1))

    def as_regression(
        self, Y: np.ndarray, values: tuple, row: np.ndarray | None, spread: float
    ) -> tuple[np.ndarray, float, bool]:
        """-1 and 1 for each latent function, centred."""
        n_latent = self.n_latent(1)
        own = np.arange(n_latent) if n_latent > 1 else np.ones(1)
        targets = np.where(own == Y, 1.0, -1.0)
        return targets - targets.mean(0), _LABEL_NOISE, False

    def conditional_mean(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """Probability of "yes"."""
        self._require_one_latent(np.shape(F)[-1])
        return np.exp(self._log_prob(values, F, np.ones(np.shape(F)), row))

    def conditional_variance(self, values: tuple, F: np.ndarray, row: Any = None) -> np.ndarray:
        """Variance p (1 - p) of each class's indicator."""
        p = self.conditional_mean(values, F, row)
        return p - p**2

    def sample(
        self, values: tuple, F: np.ndarray, rng: np.random.RandomState, row: Any = None
    ) -> np.ndarray:
        """0 and 1."""
        p = self.conditional_mean(values, F, row)
        return np.where(rng.uniform(size=np.shape(F)) < p, 1.0, 0.0)

    def predict_mean_and_var(
        self,
        values: tuple,
        f_mean: np.ndarray,
        f_var: np.ndarray,
        row: Any = None,
        include_noise: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probability of "yes", or of each class [N, C], and the variance of the indicator."""
        self._require_one_latent(np.shape(f_mean)[-1])
        yes = np.ones(np.shape(f_mean))
        p = np.exp(self.predict_log_density(values, f_mean, f_var, yes, row))
        if include_noise:
            return p, p - p**2
        square = numerical.log_expectation(
            lambda F: 2.0 * self._log_prob(values, F, yes, row), np.asarray(f_mean, float), f_var
        )
        return p, np.maximum(np.exp(square) - p**2, 0.0)

    def report(self, values: tuple) -> dict:
        """What ``likelihood_`` of the classifier says: what was learned, by name."""
        return self.learned(values, np.ones(1))

    def decision(self, values: tuple, f_mean: np.ndarray, f_var: np.ndarray) -> np.ndarray:
        """Scores that order classes and rows as probabilities do: log odds of two classes [N].

        Of more the logarithms of their probabilities [N, C].
        """
        if self.number_of_classes > 2:
            return _log_of(self.predict_mean_and_var(values, f_mean, f_var)[0])
        no, yes = (
            self.predict_log_density(values, f_mean, f_var, np.full((len(f_mean), 1), y))
            for y in (0.0, 1.0)
        )
        return (yes - no)[:, 0]


class Mislabelled(Labels):
    r"""Labels of which a share epsilon is wrong, whatever f is.

    With the probability :math:`p_c` of class c if none were wrong, and any other class as likely
    where one is:

    .. math:: p(y=c|f) = (1-\epsilon)\, p_c + \frac{\epsilon}{C-1} (1 - p_c)

    ``epsilon`` is a field of the dataclass: a number, or None for one of ``values``, by which it
    is learned.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.likelihoods import Bernoulli
    >>> sure = np.full((1, 1), 100.0)
    >>> print(Bernoulli(epsilon=0.1).conditional_mean((), sure).round(4))  # no label is ever sure
    [[0.9]]
    """

    bounded_precision: ClassVar[bool] = True

    epsilon: float | None

    def __post_init__(self) -> None:
        """Raise ValueError for what is no share of wrong labels, or says nothing of f."""
        most, given = 1.0 - 1.0 / self.number_of_classes, self.epsilon
        if given is not None and not 0.0 <= given < most:
            raise ValueError(
                f"epsilon of {type(self).__name__} is the share of labels that are wrong: it must "
                f"be at least 0 and below {most:.3g}, or None to learn it; got {given!r:.80}."
            )

    @property
    def parameter_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Epsilon, where it is learned."""
        return ("epsilon",) if self.epsilon is None else ()

    def parameters(self, noise: Noise | None, spread: float) -> tuple[Parameter, ...]:
        """The share of wrong labels, where it is learned."""
        self._refuse(noise)
        bounds = np.array(_EPSILON_BOUNDS)
        each = (Parameter("epsilon", np.array(_EPSILON_START), bounds),)
        return each[: len(self.parameter_names)]

    def report(self, values: tuple) -> dict:
        """The share of labels taken to be wrong, also where it was given."""
        return {"epsilon": float(self._epsilon(values))}

    def _epsilon(self, values: tuple) -> Any:
        return values[0] if self.epsilon is None else self.epsilon

    def _observed(self, values: tuple, p: Any) -> Any:
        """Probability that this is the label, of the one that it would be without errors."""
        epsilon, others = self._epsilon(values), self.number_of_classes - 1
        return epsilon / others + (1.0 - epsilon * (others + 1) / others) * p

    def _share_of_signal(self, values: tuple) -> Any:
        """The slope of the same in p."""
        return self._observed(values, 1.0) - self._observed(values, 0.0)

    def _with_errors(
        self, values: tuple, labels: np.ndarray, rng: np.random.RandomState
    ) -> np.ndarray:
        """Labels, some of them changed to one of the others."""
        wrong = rng.uniform(size=labels.shape) < self._epsilon(values)
        shift = rng.randint(1, self.number_of_classes, labels.shape)
        return np.where(wrong, (labels + shift) % self.number_of_classes, labels).astype(float)


def _log_of(p: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities; of those below 1e-308 that of 2.2e-308."""
    return np.log(np.maximum(p, np.finfo(float).tiny))
