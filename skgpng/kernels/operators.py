"""Constants, and what puts kernels together: sum, product, power, one for each latent function."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from sklearn.gaussian_process import kernels as sk

from .._runtime import tf
from .features import Feature, features_of, product
from .formula import Additive, Formula, formula_of

__all__ = ["Compound", "Constant", "Operator", "Power", "Product", "Sum"]


# A power that is multiplied out to features.
_MOST_FACTORS = 8


@formula_of(sk.ConstantKernel)
class Constant(Formula):
    """:math:`c`."""

    constant_value: Any

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        X2 = X1 if X2 is None else X2
        return tf.fill([tf.shape(X1)[0], tf.shape(X2)[0]], tf.cast(self.constant_value, X1.dtype))

    def features(self, rng: np.random.RandomState, n: int, n_columns: int) -> list | None:
        return [Feature(float(self.constant_value))]

    def diagonal(self, X: Any) -> Any:
        return tf.fill(tf.shape(X)[:1], tf.cast(self.constant_value, X.dtype))

    def is_stationary(self) -> bool:
        return True

    def is_polynomial(self) -> bool:
        return True

    def metric(self, n_columns: int) -> np.ndarray | None:
        return np.zeros(n_columns)


class Operator(Formula):
    """Of two operands ``k1`` and ``k2``."""

    k1: Formula
    k2: Formula

    @property
    def operands(self) -> tuple[Formula, Formula]:
        """Both."""
        return self.k1, self.k2

    def is_stationary(self) -> bool:
        return all(k.is_stationary() for k in self.operands)

    def is_polynomial(self) -> bool:
        return all(k.is_polynomial() for k in self.operands)

    def metric(self, n_columns: int) -> np.ndarray | None:
        """Exact where the length scales of both are in proportion, else close to it."""
        first, second = (k.metric(n_columns) for k in self.operands)
        return None if first is None or second is None else first + second

    def _variations(self, X: Any, of_other: Callable[[Formula], Any]) -> list | None:
        """Of both operands, where one has any."""
        each = [k.variation(X) for k in self.operands]
        if all(v is None for v in each):
            return None
        return [of_other(k) if v is None else v for k, v in zip(self.operands, each, strict=True)]


@formula_of(sk.Sum)
class Sum(Operator):
    """:math:`k_1 + k_2`."""

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        return tf.add_n([k.covariance(X1, X2) for k in self.operands])

    def features(self, rng: np.random.RandomState, n: int, n_columns: int) -> list | None:
        first, second = (features_of(k, rng, n, n_columns) for k in self.operands)
        return None if first is None or second is None else first + second

    def diagonal(self, X: Any) -> Any:
        return tf.add_n([k.diagonal(X) for k in self.operands])

    def metric(self, n_columns: int) -> np.ndarray | None:
        """None where the terms see other columns: what is far in some may be close in others."""
        first, second = (k.metric(n_columns) for k in self.operands)
        if first is None or second is None:
            return None
        differ = first.any() and second.any() and not np.array_equal(first > 0, second > 0)
        return None if differ else first + second  # a constant sees none

    def variation(self, X: Any) -> Any:
        """Without constants, which are the same for all rows."""
        each = self._variations(
            X, lambda k: tf.zeros_like(X[:, 0]) if k.is_polynomial() else k.diagonal(X)
        )
        return None if each is None else tf.add_n(each)


def _factor(kernel: Formula, evaluate: Callable[[Formula], Any]) -> Any:
    return kernel.constant_value if isinstance(kernel, Constant) else evaluate(kernel)


@formula_of(sk.Product)
class Product(Operator):
    """:math:`k_1 k_2`. A constant factor stays a number, not a filled matrix."""

    def _of(self, evaluate: Callable[[Formula], Any]) -> Any:
        if isinstance(self.k1, Constant) and isinstance(self.k2, Constant):
            return self.k2.constant_value * evaluate(self.k1)
        return _factor(self.k1, evaluate) * _factor(self.k2, evaluate)

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        return self._of(lambda k: k.covariance(X1, X2))

    def features(self, rng: np.random.RandomState, n: int, n_columns: int) -> list | None:
        return product(*(features_of(k, rng, n, n_columns) for k in self.operands))

    def diagonal(self, X: Any) -> Any:
        return self._of(lambda k: k.diagonal(X))

    def additive(self, columns: np.ndarray) -> Additive | None:
        """Of a product with a constant."""
        for constant, other in (self.operands, self.operands[::-1]):
            found = other.additive(columns)
            if found is not None and isinstance(constant, Constant):
                return found._replace(factor=constant.constant_value * found.factor)
        return None

    def variation(self, X: Any) -> Any:
        """A product with what is no polynomial varies as much far from zero as its variance."""
        if not self.is_polynomial():
            return None
        each = self._variations(X, lambda k: _factor(k, lambda k: k.diagonal(X)))
        return None if each is None else each[0] * each[1]


@formula_of(sk.Exponentiation)
class Power(Formula):
    """:math:`k^p`."""

    kernel: Formula
    exponent: float

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        return self.kernel.covariance(X1, X2) ** self.exponent

    def features(self, rng: np.random.RandomState, n: int, n_columns: int) -> list | None:
        """Of whole exponents, with draws of its own for each factor."""
        if self.exponent != int(self.exponent) or self.exponent > _MOST_FACTORS:
            return None
        found = features_of(self.kernel, rng, n, n_columns)
        for _ in range(int(self.exponent) - 1):
            found = product(found, features_of(self.kernel, rng, n, n_columns))
        return found

    def diagonal(self, X: Any) -> Any:
        return self.kernel.diagonal(X) ** self.exponent

    def is_stationary(self) -> bool:
        return self.kernel.is_stationary()

    def is_polynomial(self) -> bool:
        return self.kernel.is_polynomial()

    def metric(self, n_columns: int) -> np.ndarray | None:
        return self.kernel.metric(n_columns)

    def variation(self, X: Any) -> Any:
        found = self.kernel.variation(X) if self.is_polynomial() else None
        return None if found is None else found**self.exponent

    @classmethod
    def settings(cls, given: dict, names: tuple[str, ...] | None) -> dict | None:
        exponent = given["exponent"]
        if not isinstance(exponent, Real) or not 0 < float(exponent) < np.inf:
            raise ValueError(f"exponent must be positive and finite, got {exponent!r}.")
        return {"exponent": float(exponent)}


class Compound(Formula):
    """One kernel for each latent function: matrices [L, N1, N2]."""

    @property
    def operands(self) -> tuple[Formula, ...]:
        """Of each latent function in turn."""
        return tuple(vars(self).values())

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        return tf.stack([k.covariance(X1, X2) for k in self.operands])

    def diagonal(self, X: Any) -> Any:
        return tf.stack([k.diagonal(X) for k in self.operands])

    def is_stationary(self) -> bool:
        return all(k.is_stationary() for k in self.operands)
