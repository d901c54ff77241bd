"""The collapsed bound of sparse regression (Titsias 2009): a Gaussian likelihood, all rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .._linalg import shift_diagonal
from .._runtime import tf
from ..parameters import Hyperparameters
from .base import Data, Iterate, Model, Step, add, zeros
from .points import Begun, Block, PointInference, RowSums, blocks, projection
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
        prior, of = self.prior(iterate), blocks(iterate, data)  # chunks are evaluated twice
        known = [self.statistics(prior, block) for block in of.whole]
        chunks = of.of_chunks(lambda block: self.statistics(prior, block)[1:], zeros(tuple(q)))
        nat1, gram = add(*(k[1:] for k in known), *chunks)
        begun = self.with_q(iterate, prior, (nat1, shift_diagonal(gram, -0.5)))

        def second(block: Block, A: Any = None) -> RowSums:
            # the gradient in S is known from the first pass; it is added at the end
            return self.rows(begun.factors, block, A, tf.zeros_like(gram))

        parts = [second(block, k[0]) for block, k in zip(of.whole, known, strict=True)]
        parts += of.of_chunks(second, self.no_rows(iterate, begun.q))
        return self.end(iterate, begun, add(*parts), gram)

    def statistics(self, prior: Begun, block: Block) -> tuple[Any, Any, Any]:
        """A of a block, and what its rows add to the natural parameters of q."""
        ((Kuf, _),), (precision, Y) = block.covariances, block.gaussian()
        return projection(block.iterate).whiten_and_sum(prior.L_inv[0], Kuf, precision, Y)

    def end(self, iterate: Iterate, begun: Begun, total: RowSums, gram: Any) -> Step:
        """Bound and gradient; all targets share S."""
        sums = total.sums._replace(cov=iterate.model.n_latent * gram)
        value, g_theta = self.elbo_and_gradient(iterate, begun, total._replace(sums=sums))
        return Step(value, g_theta, begun.q, begun.q, tf.zeros_like(value))
