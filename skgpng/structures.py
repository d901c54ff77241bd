"""The records that training and predicting hand to each other."""

from __future__ import annotations

from typing import Any, NamedTuple

from .kernels import Kernel
from .likelihoods import Likelihood
from .means import Mean, Zero
from .parameters import Form, Parameter, forms_of, positive_first

__all__ = [
    "CONVERGED",
    "INTERRUPTED",
    "MAX_ITER",
    "NON_FINITE",
    "STALLED",
    "STOPPED",
    "Data",
    "Forms",
    "Hyperparameters",
    "Memory",
    "Parameters",
    "Report",
    "Result",
    "Structure",
]

#: Status of a training that ended by its stopping rule.
CONVERGED = 0
#: Status of a training that used up its steps.
MAX_ITER = 1
#: Status of a training that could not go on: its objective was not finite whatever was tried.
NON_FINITE = 2
#: Status of a training that the user interrupted (Ctrl-C).
INTERRUPTED = 3
#: Status of a training that its monitor ended: early stopping or a callback.
STOPPED = 4
#: Status of a training that could not climb although the slope says so: rounding hides the way.
STALLED = 5


class Hyperparameters(NamedTuple):
    """Everything but q.

    Attributes
    ----------
    kernel : tuple of tensors
        Values in the order of :func:`skgpng.kernels.parse`.
    likelihood : tuple of tensors
        Values in the order of ``parameter_names`` of the likelihood.
    inducing_points : tensor of shape (M, D), or ()
        ``()`` for models without.
    mean : tuple of tensors
        Values of the mean function.
    """

    kernel: tuple
    likelihood: tuple
    inducing_points: Any = ()
    mean: tuple = ()

    @property
    def leaves(self) -> tuple:
        """All but the inducing points."""
        return (*self.kernel, *self.likelihood, *self.mean)


class Forms(NamedTuple):
    """Forms of the parameters, as a compiled function knows them."""

    kernel: tuple[Form, ...] = ()
    likelihood: tuple[Form, ...] = ()
    mean: tuple[Form, ...] = ()

    @property
    def leaves(self) -> tuple[Form, ...]:
        """All of them."""
        return self.kernel + self.likelihood + self.mean


class Parameters(NamedTuple):
    """What training begins with, and what of it moves.

    Attributes
    ----------
    kernel, likelihood, mean : tuple of Parameter
    inducing_points : ndarray of shape (M, D), or ()
    train_inducing : bool
        Whether training moves them.
    """

    kernel: tuple[Parameter, ...]
    likelihood: tuple[Parameter, ...]
    mean: tuple[Parameter, ...] = ()
    inducing_points: Any = ()
    train_inducing: bool = False

    @property
    def leaves(self) -> tuple[Parameter, ...]:
        """All but the inducing points."""
        return self.kernel + self.likelihood + self.mean

    @property
    def in_order(self) -> list[Parameter]:
        """All but the inducing points, in the order of u."""
        return positive_first(self.leaves, self.forms.leaves)

    @property
    def forms(self) -> Forms:
        """Forms of the parameters."""
        return Forms(*map(forms_of, self[:3]))

    @property
    def values(self) -> Hyperparameters:
        """Where training begins."""
        kernel, likelihood, mean = (tuple(p.value for p in part) for part in self[:3])
        return Hyperparameters(kernel, likelihood, self.inducing_points, mean)

    @property
    def move(self) -> bool:
        """Whether any does."""
        return self.train_inducing or any(p.free for p in self.leaves)

    def at(self, theta: Hyperparameters) -> Parameters:
        """The same with other values."""
        parts = zip(self[:3], (theta.kernel, theta.likelihood, theta.mean), strict=True)
        moved = (
            tuple(p._replace(value=v) for p, v in zip(part, values, strict=True))
            for part, values in parts
        )
        kernel, likelihood, mean = moved
        return Parameters(kernel, likelihood, mean, theta.inducing_points, self.train_inducing)


class Structure(NamedTuple):
    """What one compiled loop is for; hashable.

    Attributes
    ----------
    model : {"gpr", "sgpr", "vgp", "svgp"}
        Exact regression, collapsed bound, one variational variable per row, inducing points.
    kernel : Kernel
    likelihood : Likelihood
    minibatch : bool
    n_latent : int
        Latent functions.
    dtype : {"float64", "float32"}
        Of the covariances between inducing points and rows; all else is float64.
    memory : bool
        Whether rows seen earlier are remembered, see :class:`Memory`.
    X_dtype : {"float64", "float32"}
        Of the rows as they are stored.
    large : bool
        Whether matrices are large enough for BLAS and LAPACK to pay, see ``skgpng._dense``.
    chunked : bool
        Whether a step takes its rows in chunks.
    direct : bool
        Whether rows are projected without being whitened, see :func:`skgpng.sparse.direct`.
    prior : bool
        Whether hyperparameters have one, as :func:`skgpng.training.train` sees by itself: without,
        the steps of ten inducing points would take 7 % more for one that is nothing.
    mean : Mean
        Of the latent functions.
    forms : Forms
        Of the parameters, which :func:`skgpng.training.train` sees by itself.
    """

    model: str
    kernel: Kernel
    likelihood: Likelihood
    minibatch: bool
    n_latent: int
    dtype: str
    memory: bool = False
    X_dtype: str = "float64"
    large: bool = False
    chunked: bool = False
    direct: bool = False
    prior: bool = False
    mean: Mean = Zero()
    forms: Forms = Forms()


class Memory(NamedTuple):
    r"""What is left of rows seen earlier: observations of linear combinations of f.

    The factor that old data put on the function values at their inducing points,
    :math:`q(u)/p(u)`, is that of observing :math:`R_k^\top f(Z) = t_k` with noise variance 1
    (Bui, Nguyen & Turner 2017, who write it as one observation with a full noise matrix).

    Attributes
    ----------
    points : array of shape (Ma, D)
        Inducing points Z of the earlier fit.
    roots : array of shape (1 or L, Ma, Ma)
        Columns R_k of each latent function; one set where all share it.
    targets : array of shape (Ma, L)
    """

    points: Any
    roots: Any
    targets: Any


class Data(NamedTuple):
    """Rows to learn from.

    Attributes
    ----------
    X : array of shape (N, D)
    Y : array of shape (N, P)
    weights : array of shape (N,)
        Positive.
    row_noise : array of shape (N,)
        Known noise variance of each row, scaled y.
    X_scale : array of shape (D,)
        Unit in which Adam moves the inducing points.
    memory : Memory or ()
    """

    X: Any
    Y: Any
    weights: Any
    row_noise: Any
    X_scale: Any
    memory: Any = ()


class Report(NamedTuple):
    """What it took to train.

    Attributes
    ----------
    jitter : float
        Used in the end, in units of the prior variance.
    n_rejected : int
        Steps that led to a state without a finite ELBO and were taken back.
    n_corrected : int
        Natural-gradient steps that were corrected to leave q a positive definite precision.
    """

    jitter: Any = 0.0
    n_rejected: Any = 0
    n_corrected: Any = 0


class Result(NamedTuple):
    """What training gives.

    Attributes
    ----------
    theta : Hyperparameters
        Positive values.
    variational : tuple of tensors
        ``(nat1, nat2)`` for "svgp" and "sgpr" (whose nat2 is one matrix), ``(site_mean,
        site_precision)`` [N, L] each for "vgp", else empty.
    elbo_curve : tensor of shape (n_iter,)
        Without the steps that were taken back.
    status : int
        ``CONVERGED``, ``MAX_ITER``, ``NON_FINITE``, ``INTERRUPTED``, ``STOPPED`` or ``STALLED``.
    report : Report
    """

    theta: Hyperparameters
    variational: tuple
    elbo_curve: Any
    status: Any
    report: Report = Report()
