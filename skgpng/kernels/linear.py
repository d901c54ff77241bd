"""The kernel of linear functions, which grows with the distance of rows from zero."""

from __future__ import annotations

from typing import Any

from sklearn.gaussian_process import kernels as sk

from .._runtime import tf
from .formula import Formula, formula_of

__all__ = ["DotProduct"]


@formula_of(sk.DotProduct)
class DotProduct(Formula):
    r""":math:`\sigma_0^2 + x^\top x'`."""

    sigma_0: Any

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        return self.sigma_0**2 + tf.matmul(X1, X1 if X2 is None else X2, transpose_b=True)

    def diagonal(self, X: Any) -> Any:
        return self.sigma_0**2 + tf.reduce_sum(X * X, 1)

    def is_polynomial(self) -> bool:
        return True

    def variation(self, X: Any) -> Any:
        r""":math:`|x - c|^2`, c the mean of the rows."""
        return tf.reduce_sum((X - tf.reduce_mean(X, 0)) ** 2, 1)
