"""The records that training and predicting hand to each other."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .kernels import KernelStructure
from .likelihoods import Likelihood

__all__ = [
    "CONVERGED",
    "INTERRUPTED",
    "MAX_ITER",
    "NON_FINITE",
    "NO_PRIOR",
    "STALLED",
    "STOPPED",
    "Data",
    "Hyperparameters",
    "Memory",
    "Prior",
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
    """

    kernel: tuple
    likelihood: tuple
    inducing_points: Any = ()


class Structure(NamedTuple):
    """What one compiled loop is for; hashable.

    Attributes
    ----------
    model : {"gpr", "sgpr", "vgp", "svgp"}
        Exact regression, collapsed bound, one variational variable per row, inducing points.
    kernel : KernelStructure
    likelihood : Likelihood
    train_likelihood : tuple of bool
        Per parameter of the likelihood.
    train_inducing : bool
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
    """

    model: str
    kernel: KernelStructure
    likelihood: Likelihood
    train_likelihood: tuple[bool, ...]
    train_inducing: bool
    minibatch: bool
    n_latent: int
    dtype: str
    memory: bool = False
    X_dtype: str = "float64"
    large: bool = False
    chunked: bool = False
    direct: bool = False
    prior: bool = False


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


class Prior(NamedTuple):
    r"""Log prior of some logarithms u of hyperparameters, up to a constant.

    :math:`\log p(u) = -\sum_k \log(1 + r_k^2), \; r = A u - b`: Cauchy densities of linear
    combinations. Near its centre each is as good as a normal density, in which r has the standard
    deviation :math:`1/\sqrt2`; far from it, it hardly pulls.

    Attributes
    ----------
    entries : array of shape (n, 1, 1)
        Which of all values of kernel and likelihood, counted one after the other.
    mixing : array of shape (K, n)
        A.
    offset : array of shape (K, 1)
        b, in the units of the hyperparameters.
    """

    entries: Any
    mixing: Any
    offset: Any


#: Of nothing.
NO_PRIOR = Prior(np.zeros((0, 1, 1), np.int32), np.zeros((0, 0)), np.zeros((0, 1)))


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
