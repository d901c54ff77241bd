r"""Mean functions of the latent functions."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._runtime import tf
from .parameters import CauchyPrior, Parameter

__all__ = ["NAMES", "Constant", "Linear", "Mean", "Zero"]

# Width of the Cauchy prior of slopes on scaled columns (Gelman, Jakulin, Pittau & Su 2008).
_WIDTH = 2.5


class Mean(abc.ABC):
    """A function m(x) that is added to a latent function of mean zero; hashable."""

    @abc.abstractmethod
    def parameters(
        self, offset: np.ndarray, X: np.ndarray, size: float = 1.0
    ) -> tuple[Parameter, ...]:
        """What is learned, from the constant [L] that suits the rows X [N, D] to begin with.

        ``size`` is that of f, a standard deviation.
        """

    def learned(self, values: tuple, shift: np.ndarray, scale: np.ndarray) -> dict:
        """What is told of it, for shift + scale * m(x) and the columns of X as they are."""
        return {}

    @abc.abstractmethod
    def added(self, values: tuple, f_mean: Any, X: Any) -> Any:
        """The means [..., N, L] of f at X [..., N, D], from those of a function of mean zero."""

    def uncertain(self, values: tuple, X: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Functions h(x) [N, K] whose coefficients predictions integrate out; None for none.

        With the precision [K] of these before any row is seen.
        """
        return None

    def slopes(self, values: tuple, X: np.ndarray) -> np.ndarray:
        """Gradients of m in each row of X [N, D], [N, L, D], or with axes of 1 where all agree."""
        x = tf.constant(X, tf.float64)
        with tf.GradientTape() as tape:
            tape.watch(x)
            m = self.added(values, tf.zeros([len(X), 1], x.dtype), x)
        return tape.batch_jacobian(m, x, unconnected_gradients="zero").numpy()

    def uncertain_slopes(self, values: tuple, X: np.ndarray) -> np.ndarray:
        """Gradients of the functions h of :meth:`uncertain` in each row of X [N, D], [N, K, D]."""
        raise NotImplementedError(f"The mean {type(self).__name__} has no uncertain_slopes.")

    def moved(self, values: tuple, change: np.ndarray) -> tuple:
        """Values with the coefficients of :meth:`uncertain` changed by [K, L]."""
        raise NotImplementedError(f"The mean {type(self).__name__} has no coefficients.")


@dataclass(frozen=True)
class Zero(Mean):
    """No mean."""

    def parameters(
        self, offset: np.ndarray, X: np.ndarray, size: float = 1.0
    ) -> tuple[Parameter, ...]:
        """None."""
        return ()

    def added(self, values: tuple, f_mean: Any, X: Any) -> Any:
        """As they are."""
        return f_mean

    def slopes(self, values: tuple, X: np.ndarray) -> np.ndarray:
        """Zero."""
        return np.zeros((1, 1, 1))


@dataclass(frozen=True)
class Constant(Mean):
    """One number for each latent function, learned."""

    def parameters(
        self, offset: np.ndarray, X: np.ndarray, size: float = 1.0
    ) -> tuple[Parameter, ...]:
        """The constants, [L]."""
        return (_free("constant", offset),)

    def added(self, values: tuple, f_mean: Any, X: Any) -> Any:
        """With the constants."""
        return _sum(f_mean, values[0])

    def slopes(self, values: tuple, X: np.ndarray) -> np.ndarray:
        """Zero."""
        return np.zeros((1, 1, 1))

    def learned(self, values: tuple, shift: np.ndarray, scale: np.ndarray) -> dict:
        """The constants, [L]."""
        return {"constant": shift + scale * values[0]}


@dataclass(frozen=True)
class Linear(Mean):
    r""":math:`m(x) = c + B^\top z, \; z_d = (x_d - \bar x_d) / s_d`, c and B learned.

    Each entry of B has a weak Cauchy prior, so that labels that a plane can tell apart do not
    drive it to infinity (Gelman, Jakulin, Pittau & Su 2008).
    """

    def parameters(
        self, offset: np.ndarray, X: np.ndarray, size: float = 1.0
    ) -> tuple[Parameter, ...]:
        """c [L], B [D, L]; and what is fixed: centres and units [D], width of the prior."""
        D, L, width = X.shape[1], len(offset), _WIDTH * size
        with np.errstate(over="ignore", invalid="ignore"):
            centre, unit = X.mean(0, dtype=np.float64), X.std(0, dtype=np.float64)
        varies = unit > 1e-12 * np.abs(centre)  # else it is of the size of rounding
        prior = CauchyPrior(np.eye(D * L) / width, np.zeros(D * L))
        return (
            _free("constant", offset),
            _free("slopes", np.zeros((D, L)))._replace(prior=prior),
            _free("centre", centre)._replace(free=False),
            _free("unit", np.where(varies, unit, 1.0))._replace(free=False),
            _free("width", width)._replace(free=False),
        )

    def added(self, values: tuple, f_mean: Any, X: Any) -> Any:
        """With c + B'z."""
        constant, slopes, centre, unit, _ = values
        if isinstance(f_mean, np.ndarray):
            return f_mean + constant + ((X - centre) / unit) @ slopes
        Z = (tf.cast(X, slopes.dtype) - centre) / unit
        return _sum(f_mean, constant + tf.matmul(Z, slopes))

    def learned(self, values: tuple, shift: np.ndarray, scale: np.ndarray) -> dict:
        """Constants [L] and slopes [D, L]."""
        constant, slopes, centre, unit, _ = values
        slopes = scale * slopes / unit[:, None]
        return {"constant": shift + scale * constant - centre @ slopes, "slopes": slopes}

    def uncertain(self, values: tuple, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """1 and z; near its centre the prior is as good as normal, of variance width^2 / 2."""
        _, slopes, centre, unit, width = values
        H = np.concatenate([np.ones((len(X), 1)), (X - centre) / unit], 1)
        return H, np.append(0.0, np.full(len(slopes), 2.0 / width**2))

    def slopes(self, values: tuple, X: np.ndarray) -> np.ndarray:
        """B in the units of the columns."""
        _, slopes, _, unit, _ = values
        return (slopes / unit[:, None]).T[None]

    def uncertain_slopes(self, values: tuple, X: np.ndarray) -> np.ndarray:
        """Of 1 none, of z the units."""
        unit = values[3]
        each = np.concatenate([np.zeros((1, len(unit))), np.diag(1.0 / unit)])
        return np.broadcast_to(each, (len(X), *each.shape))

    def moved(self, values: tuple, change: np.ndarray) -> tuple:
        """Constant and slopes."""
        constant, slopes, *others = values
        return (constant + change[0], slopes + change[1:], *others)


#: By the names that ``mean`` of the estimators may have.
NAMES: dict[str, Mean] = {"zero": Zero(), "constant": Constant(), "linear": Linear()}


def _free(name: str, value: Any) -> Parameter:
    """A real parameter without bounds."""
    value = np.asarray(value, float)
    bounds = np.broadcast_to([-np.inf, np.inf], (*value.shape, 2))
    return Parameter(name, value, bounds, real=True)


def _sum(f_mean: Any, added: Any) -> Any:
    total = f_mean + added
    if isinstance(total, np.ndarray):
        return total
    return tf.ensure_shape(total, f_mean.shape)  # L is known of f_mean only
