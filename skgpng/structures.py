"""The records that training and predicting hand to each other."""

from __future__ import annotations

from typing import Any, NamedTuple

from .kernels import Kernel
from .likelihoods import Likelihood
from .means import Mean, Zero
from .parameters import Parameter

__all__ = [
    "Data",
    "Hyperparameters",
    "Memory",
    "Parameters",
    "Structure",
]


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
    mean : Mean
        Of the latent functions.
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
    mean: Mean = Zero()


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
