"""Sparse variational inference (Hensman, Matthews & Ghahramani 2015) by natural gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from .._linalg import shift_diagonal
from .._runtime import tf, where_needed
from ..gaussians import Natural
from ..optimizers import natural_gradient_update, positive_definite_update
from .base import Data, Iterate, Step, add
from .points import (
    Begun,
    PointInference,
    RowSums,
    join_sums,
    projection,
    sums_of_each,
    whole_blocks,
)
from .projection import Factors

__all__ = ["Sparse"]


@dataclass(frozen=True)
class Sparse(PointInference):
    """Any likelihood, all rows or minibatches."""

    may_unwhiten: ClassVar[bool] = True
    goes_on: ClassVar[bool] = True

    def step(self, iterate: Iterate, q: tuple, data: Data) -> Step:
        """One pass over the rows."""
        begun = self.begin(iterate, q)
        factors = self.factors_for_rows(iterate, begun)
        parts = [self.rows(factors, block) for block in whole_blocks(iterate, data)]
        parts += self.further(iterate, "rows", (factors,), data)
        return self.end(iterate, begun, add(*parts))

    def begin(self, iterate: Iterate, q: tuple) -> Begun:
        """Factors of prior and q."""
        return self.with_q(iterate, self.prior(iterate), q)

    def factors_for_rows(self, iterate: Iterate, begun: Begun) -> tuple[Factors, ...]:
        """Of rows as they are, or whitened."""
        factors = begun.factors
        if not iterate.how.whitened:
            factors = tuple(projection(iterate).unwhitened(f) for f in factors)
        return tuple(f.for_rows() for f in factors)

    def end(self, iterate: Iterate, begun: Begun, total: RowSums) -> Step:
        """ELBO, gradient and the natural-gradient step."""
        if not iterate.how.whitened:
            each = zip(begun.factors, sums_of_each(begun.factors, total.sums), strict=True)
            whitened = [projection(iterate).whiten_sums(f, own) for f, own in each]
            total = total._replace(sums=join_sums(whitened))
        value, g_theta = self.elbo_and_gradient(iterate, begun, total)
        log_concave = iterate.model.likelihood.log_concave
        return Step(value, g_theta, begun.q, *_next_q(log_concave, begun, total, iterate.gamma))


def _next_q(log_concave: bool, begun: Begun, total: RowSums, gamma: Any) -> tuple[tuple, Any]:
    """q after a natural-gradient step, and whether it had to be corrected."""
    q, g_q = Natural(*begun.q), tuple(total.sums)
    q_mu = tf.concat([f.q_mu for f in begun.factors], 1)
    plain = tuple(natural_gradient_update(q, q_mu, g_q, gamma))
    if log_concave:
        return plain, tf.zeros_like(total.upward)

    def corrected() -> tuple:
        q_cov = shift_diagonal(tf.concat([f.inner for f in begun.factors], 0), 1.0)
        return tuple(positive_definite_update(q, q_mu, q_cov, g_q, gamma))

    needed = total.upward > 0.0
    return where_needed(needed, plain, corrected), tf.cast(needed, total.upward.dtype)
