r"""Natural-gradient steps, Adam, and the transformations of positive hyperparameters.

Each optimiser is a pair of pure functions, ``init`` and ``update``, and a tuple of state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from . import gaussians
from ._linalg import Tensors, shift_diagonal
from ._runtime import tf

__all__ = [
    "LOG",
    "AdamState",
    "Transform",
    "adam_init",
    "adam_update",
    "natural_gradient",
    "natural_gradient_in_mean_sqrt",
    "natural_gradient_update",
    "positive_definite_update",
    "softplus",
]


# --- natural gradient ------------------------------------------------------------------------


def natural_gradient_update(
    natural: gaussians.Natural, q_mu: Any, gradients: tuple[Any, Any], gamma: Any
) -> gaussians.Natural:
    r"""Step of size gamma in the natural parameters, from ordinary gradients.

    The natural gradient in :math:`\theta` is the ordinary gradient in the expectation
    parameters (Salimbeni, Eleftheriadis & Hensman 2018, eq. 10; Khan & Lin 2017). With
    :math:`g_m, g_S` the gradients of the data term in mean and covariance of q:

    .. math::

        \theta_1 \leftarrow (1-\gamma)\theta_1 + \gamma (g_m - 2 g_S m), \qquad
        P \leftarrow (1-\gamma) P + \gamma (I - 2 g_S).

    Parameters
    ----------
    natural : Natural
    q_mu : tensor of shape (M, L)
        Mean of q.
    gradients : tuple of tensors of shapes (M, L) and (L, M, M)
        From :func:`skgpng.models.elbo_and_gradients`.
    gamma : scalar
        Step size; 1 is exact for a Gaussian likelihood on the full data.

    Returns
    -------
    Natural
        P stays positive definite where :math:`g_S` is negative semidefinite, as it is for
        log-concave likelihoods; for others see :func:`positive_definite_update`.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from skgpng import gaussians
    >>> from skgpng.optimizers import natural_gradient_update
    >>> q = gaussians.standard_normal(1)
    >>> natural = gaussians.mean_sqrt_to_natural(q)
    >>> gradients = tf.constant([[2.0]], tf.float64), tf.constant([[[-1.0]]], tf.float64)
    >>> stepped = natural_gradient_update(natural, q.q_mu, gradients, 1.0)
    >>> print(stepped.nat1.numpy(), stepped.nat2.numpy())  # of the precision 3
    [[2.]] [[[-1.5]]]
    """
    g_mu, g_cov = gradients
    nat1 = (1.0 - gamma) * natural.nat1 + gamma * (g_mu - 2.0 * gaussians.apply(g_cov, q_mu))
    nat2 = (1.0 - gamma) * natural.nat2 + gamma * shift_diagonal(g_cov, -0.5)
    return gaussians.Natural(nat1, nat2)


def positive_definite_update(
    natural: gaussians.Natural, q_mu: Any, q_cov: Any, gradients: tuple[Any, Any], gamma: Any
) -> gaussians.Natural:
    r"""The same step with a term of second order that keeps P positive definite.

    With :math:`G = P - I + 2 g_S`, the direction of the plain step, and S the covariance of q,

    .. math::

        P \leftarrow P - \gamma G + \tfrac{\gamma^2}{2} G S G
        = \tfrac12 \bigl(P + (P - \gamma G) S (P - \gamma G)\bigr)

    (Lin, Schmidt & Khan 2020), which is at least half of the old P whatever the
    gradient, so that no variance more than doubles in a step. The mean moves as in the plain
    step, :math:`P_{new} (m_{new} - m) = \gamma (g_m - m)`. The fixed points of the plain step are
    fixed points here; where log p is not concave there are precisions that rest here alone
    (:math:`\gamma G = 2P`), at which the ELBO is convex in the mean.

    Parameters
    ----------
    natural : Natural
    q_mu : tensor of shape (M, L)
        As in :func:`natural_gradient_update`, like the last two.
    q_cov : tensor of shape (L, M, M)
        Covariance S of q.
    gradients : tuple of tensors of shapes (M, L) and (L, M, M)
    gamma : scalar

    Returns
    -------
    Natural

    Examples
    --------
    >>> import tensorflow as tf
    >>> from skgpng import gaussians
    >>> from skgpng.optimizers import natural_gradient_update, positive_definite_update
    >>> q = gaussians.standard_normal(1)
    >>> natural, cov = gaussians.mean_sqrt_to_natural(q), gaussians.covariance(q)
    >>> gradients = tf.constant([[0.0]], tf.float64), tf.constant([[[1.0]]], tf.float64)
    >>> plain = natural_gradient_update(natural, q.q_mu, gradients, 1.0)
    >>> kept = positive_definite_update(natural, q.q_mu, cov, gradients, 1.0)
    >>> print(-2.0 * plain.nat2.numpy(), -2.0 * kept.nat2.numpy())  # precisions
    [[[-1.]]] [[[1.]]]
    """
    plain = natural_gradient_update(natural, q_mu, gradients, gamma)
    G = shift_diagonal(2.0 * (gradients[1] - natural.nat2), -1.0)
    second = 0.5 * gamma**2 * tf.matmul(G, tf.matmul(q_cov, G))
    return gaussians.Natural(plain.nat1 + gaussians.apply(second, q_mu), plain.nat2 - 0.5 * second)


def natural_gradient(
    q: gaussians.MeanSqrt,
    gradients: tuple[Any, Any],
    gamma: Any,
    positive_definite: bool = False,
) -> gaussians.MeanSqrt:
    """Step in the natural parameterisation (XiNat), from and to (mean, sqrt).

    See :func:`natural_gradient_update`; with ``positive_definite``, for likelihoods that are not
    log-concave, :func:`positive_definite_update`.

    Examples
    --------
    With zero gradients, a full step returns to the prior N(0, I):

    >>> import numpy as np
    >>> from skgpng.gaussians import MeanSqrt
    >>> from skgpng.optimizers import natural_gradient
    >>> q = MeanSqrt(np.ones((2, 1)), 3.0 * np.eye(2)[None])
    >>> q = natural_gradient(q, (np.zeros((2, 1)), np.zeros((1, 2, 2))), gamma=1.0)
    >>> print(q.q_mu.numpy().ravel(), q.q_sqrt.numpy()[0].diagonal())
    [0. 0.] [1. 1.]
    """
    natural = gaussians.mean_sqrt_to_natural(q)
    if positive_definite:
        q_cov = gaussians.covariance(q)
        new = positive_definite_update(natural, q.q_mu, q_cov, gradients, gamma)
    else:
        new = natural_gradient_update(natural, q.q_mu, gradients, gamma)
    return gaussians.natural_to_mean_sqrt(new)


def natural_gradient_in_mean_sqrt(
    q: gaussians.MeanSqrt, gradients: tuple[Any, Any], gamma: Any
) -> gaussians.MeanSqrt:
    r"""Step of size gamma in (mean, sqrt) coordinates (XiSqrtMeanVar).

    The natural-gradient direction carried into these coordinates needs no inverse:
    :math:`\dot m = S (g_m - m)` and
    :math:`\dot L = L\,\Phi(2 L^\top g_S L - L^\top L + I)`, with :math:`\Phi` the lower triangle
    with halved diagonal.

    See :func:`natural_gradient_update` for the arguments.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from skgpng import gaussians
    >>> from skgpng.optimizers import natural_gradient_in_mean_sqrt
    >>> q = gaussians.standard_normal(1)
    >>> gradients = tf.constant([[2.0]], tf.float64), tf.constant([[[-1.0]]], tf.float64)
    >>> stepped = natural_gradient_in_mean_sqrt(q, gradients, 0.1)
    >>> print(stepped.q_mu.numpy(), stepped.q_sqrt.numpy())
    [[0.2]] [[[0.9]]]
    """
    g_mu, g_cov = gradients
    q_mu, L = q
    inner = 2.0 * tf.matmul(L, tf.matmul(g_cov, L), transpose_a=True)
    inner -= shift_diagonal(tf.matmul(L, L, transpose_a=True), -1.0)
    direction = tf.matmul(L, Tensors.lower_half(inner))
    mean_direction = gaussians.apply(gaussians.covariance(q), g_mu - q_mu)
    return gaussians.MeanSqrt(q_mu + gamma * mean_direction, L + gamma * direction)


# --- Adam ------------------------------------------------------------------------------------


class AdamState(NamedTuple):
    """State of Adam.

    Attributes
    ----------
    step : scalar tensor
        Number of updates so far.
    first, second : nest of tensors
        Running means of the gradients and of their squares, shaped as the parameters.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from skgpng.optimizers import adam_init, adam_update
    >>> u = (tf.constant(1.0),)
    >>> u, state = adam_update(u, (tf.constant(2.0),), adam_init(u), 0.1)
    >>> print(int(state.step), u[0].numpy().round(4))
    1 1.1
    """

    step: Any
    first: Any
    second: Any


def adam_init(parameters: Any, step: float = 0.0) -> AdamState:
    """State before the first update; ``step`` other than 0 continues a count.

    Examples
    --------
    >>> import tensorflow as tf
    >>> from skgpng.optimizers import adam_init
    >>> state = adam_init((tf.ones(2),))
    >>> print(int(state.step), state.first[0].numpy())
    0 [0. 0.]
    """
    zeros = tf.nest.map_structure(tf.zeros_like, parameters)
    dtype = tf.nest.flatten(zeros)[0].dtype
    return AdamState(tf.constant(step, dtype), zeros, zeros)


def adam_update(
    parameters: Any,
    gradients: Any,
    state: AdamState,
    learning_rate: Any,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
) -> tuple[Any, AdamState]:
    r"""One Adam step **up** the gradient (Kingma & Ba 2015, the form at the end of section 2).

    Epsilon is added to the root of the uncorrected second moment, and the step size carries
    the bias corrections, as in TensorFlow:
    :math:`\eta \sqrt{1-\beta_2^t} / (1-\beta_1^t)`.

    Parameters
    ----------
    parameters, gradients : nests of tensors
        Of the same structure. The gradients are those of an objective to maximise.
    state : AdamState
    learning_rate : scalar
    beta_1, beta_2, epsilon : float

    Returns
    -------
    parameters : nest of tensors
    state : AdamState

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.optimizers import adam_init, adam_update
    >>> x = (np.array([1.0, 1.0]),)
    >>> (x,), state = adam_update(x, (np.array([3.0, -5.0]),), adam_init(x), 0.1)
    >>> print(x.numpy().round(4))
    [1.1 0.9]
    """
    step = state.step + 1.0
    size = learning_rate * tf.sqrt(1.0 - beta_2**step) / (1.0 - beta_1**step)
    average = tf.nest.map_structure
    first = average(lambda m, g: beta_1 * m + (1.0 - beta_1) * g, state.first, gradients)
    second = average(
        lambda v, g: beta_2 * v + (1.0 - beta_2) * tf.square(g), state.second, gradients
    )
    moved = average(
        lambda p, m, v: p + size * m / (tf.sqrt(v) + epsilon), parameters, first, second
    )
    return moved, AdamState(step, first, second)


# --- transformations of positive values ------------------------------------------------------


class Transform(NamedTuple):
    """A map from the line to positive values.

    Attributes
    ----------
    forward : callable
        Unconstrained to positive.
    inverse : callable
        Positive to unconstrained.
    derivative : callable
        Of ``forward``, at an unconstrained value: turns gradients in the positive value into
        gradients in the unconstrained one.

    Examples
    --------
    >>> import math
    >>> from skgpng.optimizers import LOG
    >>> print(LOG.forward(LOG.inverse(3.0)).numpy(), LOG.derivative(math.log(3.0)).numpy())
    3.0 3.0
    """

    forward: Callable[[Any], Any]
    inverse: Callable[[Any], Any]
    derivative: Callable[[Any], Any]


#: Positive values by their logarithm, as in scikit-learn's kernels.
LOG = Transform(lambda u: tf.exp(u), lambda x: tf.math.log(x), lambda u: tf.exp(u))


def softplus(lower: float = 0.0) -> Transform:
    r""":math:`x = lower + \log(1 + e^u)`.

    Examples
    --------
    >>> from skgpng.optimizers import softplus
    >>> t = softplus(1e-6)
    >>> print(f"{float(t.forward(t.inverse(0.5))):.6f}")
    0.500000
    """
    return Transform(
        lambda u: lower + tf.math.softplus(u),
        # log(e^y - 1) = y + log(1 - e^-y) does not overflow
        lambda x: (x - lower) + tf.math.log(-tf.math.expm1(lower - x)),
        lambda u: tf.math.sigmoid(u),
    )
