"""Measured constants of the plan, each with its evidence."""

from __future__ import annotations

from typing import NamedTuple

from .._training.stages import Gathering, Part

__all__ = ["TUNING", "Tuning"]


class Tuning(NamedTuple):
    """Measured constants, each with its evidence. Tests hand in others.

    Attributes
    ----------
    auto_exact, auto_inducing : int
        "auto" keeps every row up to so many, and takes neighbours or so many inducing points
        beyond. Held-out NLPD of 500, 1000, 2000 rows, exact and by neighbours: california 0.749,
        0.690, 0.602 and 0.706, 0.502, 0.385; kin8nm 0.557, 0.389, 0.251 and 0.581, 0.426, 0.274;
        protein 1.215, 1.158, 1.052 and 1.242, 1.120, 1.031. The errors of exact models are smaller
        on nearly all sets, their intervals worse from about 1000 rows on; 2000 rows take minutes
        where L-BFGS has far to go.
    auto_full_batch : float
        Numbers in the largest array of a step on all rows; more than that trains on minibatches.
    blas_from, blas_rows, blas_anyway : int
        From so many inducing points on the algebra of a step is done by LAPACK and BLAS: kin8nm,
        M = 256, all rows, 48 ms a step in place of 55 (39 of 57 with OpenBLAS's code for this
        processor); M = 100, 14 in place of 10. TensorFlow's float32 products are as fast as BLAS.
        With fewer rows a point, calls weigh more: 256 points and batches of 1024 take 14 in place
        of 11, from 500 points on LAPACK pays in any case: 34 in place of 36, with 1000 points 150
        of 187.
    chunk : int
        Numbers in the largest array of a full-batch step (64 MB in float64); more rows come in
        chunks.
    block : int
        Where one pass is enough, of an array that elementwise operations find in the cache (4 MB):
        magic, M = 200, 62 ms a step in place of 81; exact models take so many numbers of K at a
        time.
    small : int
        Entries of the largest matrix of a step below which operations run one after the other:
        64 inducing points and batches of 256 are as quick either way.
    direct_rows, direct_rounding : float
        So many rows for each inducing point and latent function, and it pays to leave them
        unwhitened: magic, M = 200, 56 ms in place of 67. Rounding may take so much of the prior's
        precision, at a prior variance of 1: with 1e-3, kdd99 (444,619 rows) had a held-out NLPD of
        0.0043, not 0.0035.
    part : Part
        Of the rows that training on all rows begins with: the first steps cost as much less, and no
        more is needed. elevators, M = 500: held-out NLPD -0.925
        after 2.5 s in place of 7.3, and -0.969 in place of -0.950 fifty steps later; kin8nm,
        M = 256: 1.6 s in place of 2.3 to -1.07; magic, M = 200: 0.7 s in place of 1.3 to 0.280;
        exact classifier of 1000 rows: 79 steps in place of 97. Exact regression, which L-BFGS ends
        in 30 evaluations, gained nothing.
    prior_width, prior_power : float
        Default kernel: width of the Cauchy prior of the logarithm of each length scale about the
        mean of all D, this times D to that power. With many columns each has less room, so that
        they do not fit few rows together. Held-out NLPD, five splits: with a width of 0.50 for 11
        columns 100 rows of wine_red had 1.30 and not 1.29; with 0.28 for 32 columns 200 rows of
        pumadyn32nm had 0.68 and not 0.45, as the columns that matter were not found in two splits;
        with 0.58 for 5 columns 100 rows of airfoil had 0.87 and not 0.86. Normal densities that
        suit pumadyn32nm overfit ionosphere. Table: examples/benchmarks/priors.py.
    noise_width : float
        Of the prior of the noise beside the default kernel, Cauchy in its logarithm about the
        start: without, 100 rows of boston had an NLPD of 0.55 and not 0.53; as a normal density it
        cost wine_red 0.02.
    batch_gamma : float
        Natural-gradient step on minibatches.
    rate, batch_rate, growing_rate : float
        Of Adam: on all rows, on minibatches, and where these grow, for which 0.03 gives a better
        held-out log density than 0.01 (kdd99, flights200k).
    patience_of_growing : int
        Steps for each of ``n_iter_no_change``: ten are enough to tell a plateau from the noise of
        batches that can grow.
    stream_rows, stream_rows_a_point : int
        Rows of a stream that are kept at most, in all and for each inducing point. kin8nm, 256
        inducing points, held-out log density of one fit 1.104: all rows, with hyperparameters and
        inducing points from 2048, 3072, 4096 of them, give 1.034, 1.056, 1.070
        (``examples/benchmarks/streaming.py kin8nm --first-rows 2048 3072 4096``).
    near : Gathering
        Of the blocks by which regression by neighbours learns. Of 64 rows 4 are left out: one row
        of 33 gave protein 0.625 and not 0.617, california 0.336 and not 0.326 in twice the time; 16
        of 128 0.669 and 0.346, 64 of 256 0.705 and 0.344, as rows at the edge of a block lack near
        ones. The rate falls to a tenth: at half of it to the end, after 200 steps, protein had
        0.634, kin40k -1.143, and so 0.615, -1.160. With beta_2 = 0.999 200 steps gave kin40k
        -1.143, with 0.99 -1.149; L-BFGS on 2560 blocks took 22 s to 33 s and gave power -0.340 and
        not -0.350. (Held-out NLPD, split 0, one scale.)
    sample_bytes : int
            Of rows, as float64, that a fit of rows elsewhere (on a disk, on other machines) has at
        hand: 1.7 million rows of eight columns.
    =======
        Of rows that are elsewhere, as many are at hand as so many bytes hold in float64 (128 MiB):
        1.7 million of eight columns, enough to see units, points and what is near; a fit takes
        several times as much.
    gpu_work : float
        Multiplications of a step from which on a GPU is taken where one is seen and nothing is
        said. There is no evidence: none was at hand. A core does them in some 0.05 s, a GPU starts
        the hundreds of operations of a step in a tenth of that.
    gpu_arrays : int
        Of a step that its memory is to hold at once, each of one chunk; no evidence either.
    algebra : str
        Forces that of an execution where it is not empty: tests say "graph", without a GPU.
    call_every, score_every : int
        Steps between two calls of callbacks and progress line, and at least between held-out
        scores.
    """

    auto_exact: int = 1000
    auto_inducing: int = 256
    auto_full_batch: float = 2e7
    blas_from: int = 250
    blas_rows: int = 8
    blas_anyway: int = 500
    chunk: int = 2**23
    block: int = 2**19
    small: int = 2**14
    direct_rows: int = 4
    direct_rounding: float = 1e-5
    part: Part = Part(steps=20, share=4, least=500, least_exact=250)
    prior_width: float = 1.25
    prior_power: float = -0.4
    noise_width: float = 1.0
    batch_gamma: float = 0.1
    rate: float = 0.1
    batch_rate: float = 0.01
    growing_rate: float = 0.03
    patience_of_growing: int = 10
    near: Gathering = Gathering(
        (20, 60, 120, 180, 240, 300, 350),
        (1, 1, 1, 1, 0.7, 0.4, 0.2, 0.1),
        n_blocks=2560,
        rows=64,
        left_out=4,
        batch=64,
        patience=2,
    )
    stream_rows: int = 2048
    stream_rows_a_point: int = 16
    sample_bytes: int = 2**27
    gpu_work: float = 2e9
    gpu_arrays: int = 24
    algebra: str = ""
    call_every: int = 10
    score_every: int = 5


#: What is used.
TUNING = Tuning()
