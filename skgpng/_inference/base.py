"""The records that training hands to a model and gets back, and what a model is."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from .._runtime import tf
from ..kernels import KernelStructure
from ..likelihoods import Likelihood
from ..means import Mean, Zero
from ..parameters import Hyperparameters

if TYPE_CHECKING:
    from .posterior import Posterior

__all__ = ["Data", "Execution", "Inference", "Iterate", "Memory", "Model", "Step", "Structure"]


class Model(NamedTuple):
    """What is fitted; hashable."""

    inference: Inference
    kernel: KernelStructure
    likelihood: Likelihood
    n_latent: int
    mean: Mean = Zero()  # of the latent functions


class Execution(NamedTuple):
    """How it is computed; hashable. Any choice gives the same numbers but for rounding."""

    minibatch: bool = False  # whether a step takes some rows, or all
    chunked: bool = False  # whether it takes them in parts, so that memory is bounded
    # "tensors" with large inverses by LAPACK, "blas", which pays for large matrices (see
    # skgpng._linalg), or "graph", which never leaves TensorFlow
    algebra: str = "tensors"
    whitened: bool = True  # see Projection.unwhitened
    dtype: str = "float64"  # of covariances between inducing points and rows; else float64
    X_dtype: str = "float64"  # of the rows as they are stored
    memory: bool = False  # whether rows seen earlier are remembered, see Memory
    elsewhere: bool = False  # whether rows are not at hand, see skgpng._inference.elsewhere
    in_order: bool = False  # operations one after the other, which pays for small ones
    device: str = ""  # as TensorFlow calls it, see skgpng._runtime.devices


class Structure(NamedTuple):
    """What one compiled loop is for."""

    model: Model
    how: Execution = Execution()


class Iterate(NamedTuple):
    """Where a step stands, and the numbers that steer it."""

    model: Model
    how: Execution
    theta: Hyperparameters
    jitter: Any  # in units of the prior variance
    gamma: Any = 1.0  # size of the natural-gradient step
    chunk_size: Any = 2**30  # rows that are taken at a time


class Memory(NamedTuple):
    r"""What is left of rows seen earlier: observations of linear combinations of f.

    The factor that old data put on the function values at their inducing points,
    :math:`q(u)/p(u)`, is that of observing :math:`R_k^\top f(Z) = t_k` with noise variance 1
    (Bui, Nguyen & Turner 2017, who write it as one observation with a full noise matrix).
    """

    points: Any  # [Ma, D], Z of the earlier fit
    roots: Any  # [1 or L, Ma, Ma], columns R_k of each latent function
    targets: Any  # [Ma, L]


class Data(NamedTuple):
    """Rows to learn from."""

    X: Any  # [N, D]
    Y: Any  # [N, P]
    weights: Any  # [N], positive
    row: Any  # [N, R], what the likelihood is to know of each row
    X_scale: Any  # [D], unit in which Adam moves the inducing points
    memory: Any = ()  # Memory, or ()
    spread: Any = ()  # number of rows that are elsewhere, see skgpng._inference.elsewhere; or ()

    def each_row(self, function: Callable) -> Data:
        """With ``function`` of every array that has rows."""
        X, Y, weights, row = map(function, self[:4])
        return self._replace(X=X, Y=Y, weights=weights, row=row)


class Step(NamedTuple):
    """What one step finds."""

    value: Any  # ELBO
    g_theta: Hyperparameters  # its gradient in the values of theta, with q held
    q: tuple  # the q they belong to
    q_next: tuple  # q after a natural-gradient step
    corrected: Any  # 1 where that had to be corrected to leave q a positive precision, else 0


@dataclass(frozen=True)
class Inference(abc.ABC):
    """How the latent functions are inferred: a model as a value without numbers.

    Nothing raises inside a step: what cannot be evaluated is not finite, and :meth:`is_singular`
    tells whether the prior's factorisation is why.
    """

    #: Of "conjugate" (a Gaussian likelihood), "all rows" (no minibatches), "full steps" (gamma = 1)
    #: and "shared precision" (what is remembered has one for all targets).
    requires: ClassVar[frozenset[str]] = frozenset()
    #: Whether there are inducing points, whose covariances need jitter.
    has_points: ClassVar[bool] = False
    #: Whether the ELBO is the log evidence, for which rows are kept after training.
    has_evidence: ClassVar[bool] = False
    #: Whether q is the best one after one step, whatever it was.
    one_step: ClassVar[bool] = False
    #: What it is called where a fit is told.
    title: ClassVar[str] = "variational"
    #: Times that a step goes through the rows.
    n_passes: ClassVar[int] = 1
    #: Whether rows may be left unwhitened, see ``Execution``.
    may_unwhiten: ClassVar[bool] = False
    #: What moves the hyperparameters where the user does not say.
    optimizer: ClassVar[str] = "adam"
    #: Plateaus of Adam, each with smaller steps than the one before.
    n_plateaus: ClassVar[int] = 3
    #: First steps with the hyperparameters held, while q finds its feet.
    warm_up: ClassVar[int] = 5
    #: Whether it pays to begin with steps on a part of the rows, and whether q and Adam then go on
    #: or begin again.
    begins_on_part: ClassVar[bool] = True
    goes_on: ClassVar[bool] = False
    #: Whether steps take blocks of near rows, see ``gathered``.
    gathers: ClassVar[bool] = False

    def data_form(self, model: Model, how: Execution) -> Data:
        """Types and shapes of what a step takes; only X may be float32."""
        X, L = tf.TensorSpec([None, None], how.X_dtype), model.n_latent
        Y, row = real(None, model.likelihood.n_columns(L)), len(model.likelihood.row_names)
        memory = Memory(real(None, None), real(self.n_matrices(L), None, None), real(None, L))
        return Data(X, Y, real(None), real(None, row), real(None), memory if how.memory else ())

    @abc.abstractmethod
    def q_form(self, n_latent: int) -> tuple:
        """Types and shapes of q; known sizes of 1 spare transposes."""

    @abc.abstractmethod
    def start_q(
        self, model: Model, theta: Hyperparameters, weights: np.ndarray, last: Posterior | None
    ) -> tuple:
        """Arrays of q at the prior (or narrower), or where the ``last`` fit left it."""

    @abc.abstractmethod
    def step(self, iterate: Iterate, q: tuple, data: Data) -> Step:
        """ELBO, gradient and the natural-gradient step on q."""

    @abc.abstractmethod
    def is_singular(self, iterate: Iterate, value: Any) -> Any:
        """Whether the prior at a finite theta, with an ELBO of ``value``, lacks jitter."""

    @abc.abstractmethod
    def posterior(
        self, model: Model, theta: Hyperparameters, q: tuple, data: Data, jitter: float
    ) -> Posterior:
        """Of a trained model; arrays."""

    def summed(self, iterate: Iterate, name: str, arguments: tuple, data: Data) -> Any:
        """Sum of a method over rows, of models whose steps take such sums."""
        raise NotImplementedError

    def gathered(
        self, model: Model, theta: Hyperparameters, data: Data, sizes: tuple, seed: int
    ) -> Data:
        """What the steps of a stage take, found at theta; the rows themselves where none gathers.

        Parameters
        ----------
        model : Model
        theta : Hyperparameters
        data : Data
            All rows.
        sizes : (int, int, int)
            Blocks, rows of each, and how many of these are left out.
        seed : int
        """
        return data

    def n_matrices(self, n_latent: int) -> int:
        """Precisions of q: one for each latent function, or one that all share."""
        return n_latent


class WithoutQ(Inference):
    """The value depends on hyperparameters alone: q is exact, or not asked for.

    It is finite where all matrices, which have the noise on their diagonal, can be factorised.
    """

    one_step: ClassVar[bool] = True
    warm_up: ClassVar[int] = 0
    begins_on_part: ClassVar[bool] = False

    def q_form(self, n_latent: int) -> tuple:
        """There is none."""
        return ()

    def start_q(
        self, model: Model, theta: Hyperparameters, weights: np.ndarray, last: Posterior | None
    ) -> tuple:
        """None."""
        return ()

    def is_singular(self, iterate: Iterate, value: Any) -> Any:
        """Whether the value is not finite."""
        return not_finite(value)


def real(*shape: int | None) -> Any:
    """Type and shape of a tensor of a signature."""
    return tf.TensorSpec(shape, tf.float64)


def add(*nests: Any) -> Any:
    """Sum of nests of tensors."""
    return tf.nest.map_structure(lambda *leaves: tf.add_n(leaves), *nests)


def zeros(nest: Any) -> Any:
    """Zeros like a nest of tensors."""
    return tf.nest.map_structure(tf.zeros_like, nest)


def not_finite(*tensors: Any) -> Any:
    """Whether any entry is not."""
    return tf.logical_not(tf.math.is_finite(tf.add_n([tf.reduce_sum(t) for t in tensors])))


def centred(mean: Mean, values: tuple, X: Any, Y: Any) -> Any:
    """Y less the mean of f; tensors or arrays."""
    return -mean.added(values, -Y, X) if values else Y


def data_term_and_gradients(
    expected: Callable, values: tuple, f_mean: Any, f_var: Any, scale: Any
) -> tuple[Any, tuple[tuple, Any, Any]]:
    """Scaled sum of ``expected(values, f_mean, f_var)``, and its gradients in all three."""
    sources = (values, f_mean, f_var)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(sources)
        density = expected(*sources)
    # the gradient in ``density``, which TensorFlow would need ten operations to find
    scale = scale * tf.ones_like(density)
    gradients = tape.gradient(density, sources, scale, unconnected_gradients="zero")
    return tf.reduce_sum(scale * density), gradients


def of_rows(iterate: Iterate, data: Data, f_mean: Any, f_var: Any) -> tuple:
    """Data term of rows by the likelihood; gradients as in :func:`data_term_and_gradients`.

    In the values of likelihood and mean, f_mean and f_var; a row of weight w counts w times.
    """
    likelihood, mean = iterate.model.likelihood, iterate.model.mean

    def expected(values: tuple, f_mean: Any, f_var: Any) -> Any:
        own, of_mean = values
        f_mean = mean.added(of_mean, f_mean, data.X)
        return likelihood.variational_expectations(own, f_mean, f_var, data.Y, data.row)

    values = iterate.theta.likelihood, iterate.theta.mean
    return data_term_and_gradients(expected, values, f_mean, f_var, data.weights[:, None])
