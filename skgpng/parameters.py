r"""A learned number or array, with all that training has to know of it.

Kernels, likelihoods and means describe what they learn by the same record. Training moves one
vector u of all entries: the logarithms of positive ones, real ones as they are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["CauchyPrior", "DensityPrior", "Hyperparameters", "Parameter", "Parameters"]


class CauchyPrior(NamedTuple):
    r"""Log prior of the entries u of one parameter, up to a constant.

    :math:`\log p(u) = -\sum_k \log(1 + r_k^2), \; r = A u - b`: Cauchy densities of linear
    combinations. Near its centre each is as good as a normal density, in which r has the standard
    deviation :math:`1/\sqrt2`; far from it, it hardly pulls.

    Attributes
    ----------
    mixing : array of shape (K, n)
        A; u has n entries, the logarithms of a positive parameter.
    offset : array of shape (K,)
        b.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.parameters import CauchyPrior
    >>> prior = CauchyPrior(mixing=np.array([[1.0, -1.0]]), offset=np.zeros(1))
    >>> u = np.log([2.0, 2.0])  # two length scales that are equal
    >>> print(prior.mixing @ u - prior.offset)
    [0.]
    """

    mixing: Any
    offset: Any


class DensityPrior(NamedTuple):
    """A user's log density of the value itself (not its logarithm), summed over its entries.

    Attributes
    ----------
    family : hashable
        What kind of distribution it is, see ``skgpng._training.distributions``.
    numbers : array of shape (K,)
        Its arguments.
    power : float
        It is the density of the value to this power: of the noise level, where a scale is learned.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.parameters import DensityPrior
    >>> DensityPrior("normal", np.array([0.0, 1.0])).power
    1.0
    """

    family: Any
    numbers: Any
    power: float = 1.0


class Parameter(NamedTuple):
    """One learned number or array.

    Attributes
    ----------
    name : str
        As in ``get_params`` of a kernel.
    value : ndarray of any shape
        To begin with, or as learned.
    bounds : ndarray of the shape of the value, and 2
        Lower and upper bound of each entry.
    free : bool, default=True
        Whether training may move it.
    real : bool, default=False
        Whether it may be negative; else it is positive, and its logarithm moves.
    prior : CauchyPrior or DensityPrior, optional

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.parameters import Parameter
    >>> Parameter("scale", np.array(0.3), np.array([1e-4, 10.0])).free
    True
    """

    name: str
    value: Any
    bounds: Any
    free: bool = True
    real: bool = False
    prior: CauchyPrior | DensityPrior | None = None


# --- all parameters of a model ---------------------------------------------------------------


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

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng.parameters import Hyperparameters
    >>> theta = Hyperparameters(kernel=(np.array(2.0),), likelihood=(np.array(0.1),))
    >>> theta.inducing_points
    ()
    """

    kernel: tuple
    likelihood: tuple
    inducing_points: Any = ()
    mean: tuple = ()


class Parameters(NamedTuple):
    """What training begins with, and what of it moves.

    Attributes
    ----------
    kernel, likelihood, mean : tuple of Parameter
    inducing_points : ndarray of shape (M, D), or ()
    train_inducing : bool
        Whether training moves them.
    discrete : ndarray of shape (D,), default=False
        Columns in which it leaves them as they are.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process.kernels import RBF
    >>> from skgpng.kernels import parse
    >>> from skgpng.parameters import Parameters
    >>> parameters = Parameters(kernel=parse(RBF(2.0)).parameters, likelihood=())
    >>> parameters.values.kernel, parameters.move
    ((array(2.),), True)
    """

    kernel: tuple[Parameter, ...]
    likelihood: tuple[Parameter, ...]
    mean: tuple[Parameter, ...] = ()
    inducing_points: Any = ()
    train_inducing: bool = False
    discrete: Any = False

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
        return Parameters(kernel, likelihood, mean, theta.inducing_points, *self[4:])
