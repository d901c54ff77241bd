"""The collapsed bound of sparse regression (Titsias 2009): a Gaussian likelihood, all rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .._tensorflow import tf
from ..linalg import shift_diagonal
from ..parameters import Hyperparameters
from .base import Data, Model, Step, Structure, add, zeros
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

    def step(
        self, structure: Structure, theta: Hyperparameters, q: tuple, data: Data, s: Any, gamma: Any
    ) -> Step:
        """Statistics of the rows, and with the q that they give their gradients."""
        prior = self.prior(structure, theta, s.jitter)
        rows = blocks(structure, theta, data, s.chunk_size)  # in chunks they are evaluated twice

        def statistics(block: Block) -> tuple:
            return self.statistics(structure, theta, prior, block)

        known = [statistics(block) for block in rows.whole]
        chunks = rows.of_chunks(lambda block: statistics(block)[1:], zeros(tuple(q)))
        nat1, nat2 = add(*(k[1:] for k in known), *chunks)
        q = nat1, shift_diagonal(nat2, -0.5)
        begun = self.begin(structure, prior, q)

        def gradients(block: Block, A: Any = None) -> RowSums:
            # the gradient in S is known from the first pass; it is added below
            given = None if A is None else [A]
            return self.rows(structure, theta, begun.factors, block, given, tf.zeros_like(nat2))

        zero = self.no_rows(theta, q, tf.zeros_like(gamma))
        parts = [gradients(b, k[0]) for b, k in zip(rows.whole, known, strict=True)]
        total = add(*parts, *rows.of_chunks(gradients, zero))
        sums = total.sums._replace(cov=structure.model.n_latent * nat2)  # all targets share S
        value, g_theta = self.end(structure, theta, begun, total._replace(sums=sums))
        return Step(value, g_theta, q, q, tf.zeros_like(value))

    def statistics(
        self, structure: Structure, theta: Hyperparameters, prior: Begun, block: Block
    ) -> tuple[Any, Any, Any]:
        """A of a block, and what its rows add to the natural parameters of q."""
        ((Kuf, _),), (precision, Y) = block.covariances, block.gaussian(theta)
        return projection(structure).whiten_and_sum(prior.L_inv[0], Kuf, precision, Y)
