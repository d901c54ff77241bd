"""The collapsed bound of sparse regression (Titsias 2009): a Gaussian likelihood, all rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .._linalg import shift_diagonal
from .._runtime import tf
from ..parameters import Hyperparameters
from .base import Data, Iterate, Model, Step, add
from .points import Begun, Block, PointInference, RowSums, projection, whole_blocks
from .posterior import Posterior

__all__ = ["Collapsed"]


@dataclass(frozen=True)
class Collapsed(PointInference):
    """A natural-gradient step of gamma = 1 makes q exact, whatever it was; the gradient follows.

    The ELBO with that q is the collapsed bound (eq. 9), and so is its gradient in theta, as that in
    q is zero. All targets share the precision of q. Rows are gone through twice.
    """

    requires: ClassVar[frozenset[str]] = frozenset(
        {"conjugate", "all rows", "full steps", "shared precision"}
    )
    one_step: ClassVar[bool] = True
    title: ClassVar[str] = "collapsed bound"
    n_passes: ClassVar[int] = 2
    warm_up: ClassVar[int] = 0

    def n_matrices(self, n_latent: int) -> int:
        """One that all share."""
        return 1

    def start_q(
        self, model: Model, theta: Hyperparameters, weights: np.ndarray, last: Posterior | None
    ) -> tuple:
        """Anything."""
        M = len(theta.inducing_points)
        return np.zeros((M, model.n_latent)), -0.5 * np.eye(M)[None]

    def step(self, iterate: Iterate, q: tuple, data: Data) -> Step:
        """Statistics of the rows, and with the q that they give their gradients."""
        prior, whole = self.prior(iterate), whole_blocks(iterate, data)  # all others twice
        L_inv = prior.L_inv[0]
        known = [self.projected(L_inv, block) for block in whole]
        others = self.further(iterate, "statistics", (L_inv,), data)
        nat1, gram = add(*(k[1:] for k in known), *others)
        begun = self.with_q(iterate, prior, (nat1, shift_diagonal(gram, -0.5)))
        factors = tuple(f.for_rows() for f in begun.factors)
        parts = [self.slopes(factors, b, k[0]) for b, k in zip(whole, known, strict=True)]
        parts += self.further(iterate, "slopes", (factors,), data)
        return self.end(iterate, begun, add(*parts), gram)

    def projected(self, L_inv: Any, block: Block) -> tuple[Any, Any, Any]:
        """A of a block, and what its rows add to the natural parameters of q."""
        ((Kuf, _),), (precision, Y) = block.covariances, block.gaussian()
        return projection(block.iterate).whiten_and_sum(L_inv, Kuf, precision, Y)

    def statistics(self, L_inv: Any, block: Block) -> tuple[Any, Any]:
        """What rows add to the natural parameters of q."""
        return self.projected(L_inv, block)[1:]

    def no_statistics(self, iterate: Iterate, L_inv: Any) -> tuple[Any, Any]:
        """The sum of ``statistics`` to begin with."""
        none = tf.zeros([tf.shape(L_inv)[0], iterate.model.n_latent], L_inv.dtype)
        return none, tf.zeros_like(L_inv[None])

    def slopes(self, factors: tuple, block: Block, A: Any = None) -> RowSums:
        """Data term and gradients but for that in S, known from ``statistics`` and added later."""
        return self.rows(factors, block, A, tf.zeros_like(factors[0].inner))

    no_slopes = PointInference.no_rows

    def end(self, iterate: Iterate, begun: Begun, total: RowSums, gram: Any) -> Step:
        """Bound and gradient; all targets share S."""
        sums = total.sums._replace(cov=iterate.model.n_latent * gram)
        value, g_theta = self.elbo_and_gradient(iterate, begun, total._replace(sums=sums))
        return Step(value, g_theta, begun.q, begun.q, tf.zeros_like(value))
