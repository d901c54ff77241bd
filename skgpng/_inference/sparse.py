"""Sparse variational inference (Hensman, Matthews & Ghahramani 2015) by natural gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from .._tensorflow import tf
from ..gaussians import Natural
from ..linalg import shift_diagonal
from ..optimizers import natural_gradient_update, positive_definite_update
from ..parameters import Hyperparameters
from .base import Data, Step, Structure
from .points import (
    Begun,
    Block,
    PointInference,
    RowSums,
    blocks,
    join_sums,
    projection,
    sums_of_each,
)

__all__ = ["Sparse"]


@dataclass(frozen=True)
class Sparse(PointInference):
    """Any likelihood, all rows or minibatches."""

    unwhitened: ClassVar[bool] = True
    goes_on: ClassVar[bool] = True

    def step(
        self, structure: Structure, theta: Hyperparameters, q: tuple, data: Data, s: Any, gamma: Any
    ) -> Step:
        """One pass over the rows."""
        begun = self.begin(structure, self.prior(structure, theta, s.jitter), q)
        whitened, factors = structure.how.whitened, begun.factors
        if not whitened:
            factors = [projection(structure).unwhitened(f) for f in factors]

        def of(block: Block) -> RowSums:
            A = None if whitened else [Kuf for Kuf, _ in block.covariances]
            return self.rows(structure, theta, factors, block, A)

        rows = blocks(structure, theta, data, s.chunk_size)
        total = rows.total(of, self.no_rows(theta, q, tf.zeros_like(gamma)))
        if not whitened:
            total = total._replace(sums=_whitened(structure, begun, total))
        value, g_theta = self.end(structure, theta, begun, total)
        return Step(value, g_theta, q, *_next_q(structure, q, begun, total, gamma))


def _whitened(structure: Structure, begun: Begun, total: RowSums) -> Any:
    each = zip(begun.factors, sums_of_each(begun.factors, total.sums), strict=True)
    return join_sums([projection(structure).whiten_sums(f, own) for f, own in each])


def _next_q(
    structure: Structure, q: tuple, begun: Begun, total: RowSums, gamma: Any
) -> tuple[tuple, Any]:
    """q after a natural-gradient step, and whether it had to be corrected."""
    natural, g_q = Natural(*q), tuple(total.sums)
    q_mu = tf.concat([f.q_mu for f in begun.factors], 1)
    plain = tuple(natural_gradient_update(natural, q_mu, g_q, gamma))
    if structure.model.likelihood.log_concave:
        return plain, tf.zeros_like(total.upward)

    def corrected() -> tuple:
        q_cov = shift_diagonal(tf.concat([f.inner for f in begun.factors], 0), 1.0)
        return tuple(positive_definite_update(natural, q_mu, q_cov, g_q, gamma))

    needed = total.upward > 0.0
    return tf.cond(needed, corrected, lambda: plain), tf.cast(needed, total.upward.dtype)
