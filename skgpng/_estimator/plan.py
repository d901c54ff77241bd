"""How a fit is to be done, from the options, the sizes of the data and measured constants.

Nothing here looks at an estimator or changes anything: the same arguments give the same plan.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import kernels
from .._inference import Data, Execution, Inference, Model, Neighbours, Structure, suitable
from .._inference.covariances import jitter_units, prior_variance
from .._inference.posterior import Posterior
from .._runtime import refuse_beyond
from .._training.loop import Settings
from .._training.result import Result
from .._training.stages import Gathering, Part, Stage, gathering_stages, plan_stages
from ..inducing import is_far_from_zero, merge_equal_rows
from ..parameters import CauchyPrior, Hyperparameters, Parameter, Parameters
from .problem import Problem, Rows

__all__ = [
    "TUNING",
    "Options",
    "Plan",
    "Tuning",
]

# Steps are counted in 32 bits.
_INT32 = 2**31 - 1


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
    call_every: int = 10
    score_every: int = 5


#: What is used.
TUNING = Tuning()


class Options(NamedTuple):
    """Parameters of an estimator that say how to train; ``default_kernel``: it was given none."""

    n_inducing: Any
    n_neighbors: Any
    local_scale: bool
    inducing_init: str
    train_inducing: bool
    optimizer: str | None
    gamma: Any
    learning_rate: Any
    batch_size: Any
    max_iter: int
    tol: float
    n_iter_no_change: int
    n_restarts_optimizer: int
    jitter: float
    dtype: str
    default_kernel: bool

    @classmethod
    def of(cls, estimator: Any) -> Options:
        """Of an estimator."""
        given: dict[str, Any] = {n: getattr(estimator, n, None) for n in cls._fields[:-1]}
        return cls(**given, default_kernel=estimator.kernel is None)


class Plan(NamedTuple):
    """What all starts of one fit share."""

    options: Options
    problem: Problem
    held_out: Rows | None  # rows that early_stopping holds out
    structure: Structure
    parameters: Parameters  # of the first start
    data: Data
    settings: Settings  # of the last stage
    largest_batch: int  # size up to which minibatches grow
    tuning: Tuning

    @property
    def optimizer(self) -> str:
        """What moves the hyperparameters; Adam with a rate of zero holds them."""
        if not self.settings.learning_rate:
            return "adam"
        auto = self.structure.model.inference.optimizer
        return auto if self.options.optimizer == "auto" else str(self.options.optimizer)

    def posterior(self, result: Result) -> Posterior:
        """Of a training."""
        model, jitter = self.structure.model, result.report.jitter
        return model.inference.posterior(model, result.theta, result.variational, self.data, jitter)

    def stages(self, q: tuple) -> list[Stage]:
        """On which rows training begins, from q, and how it goes on."""
        whole, model = self.problem.start != "fresh", self.structure.model
        if model.inference.gathers:
            whole = whole or not self.settings.learning_rate
            return gathering_stages(
                self._gather, q, self.settings, self.tuning.near, self.optimizer, whole
            )
        return plan_stages(
            self.structure,
            self.data,
            q,
            self.settings,
            largest_batch=self.largest_batch,
            optimizer=self.optimizer,
            whole=whole,
            part=self.tuning.part,
        )

    def _gather(self, seed: int, theta: Hyperparameters) -> Data:
        near, model = self.tuning.near, self.structure.model
        sizes = near.n_blocks, near.rows, near.left_out
        return model.inference.gathered(model, theta, self.data, sizes, seed)

    @property
    def epoch(self) -> int:
        """Steps that see as many rows, or blocks, as there are."""
        N = len(self.data.X)
        if self.structure.model.inference.gathers:
            N = min(N, self.tuning.near.n_blocks)
        return -(-N // self.settings.batch_size)

    @property
    def has_points(self) -> bool:
        """Whether there are inducing points."""
        return not isinstance(self.parameters.inducing_points, tuple)


# --- sizes -----------------------------------------------------------------------------------


def n_points(options: Options, n_rows: int, whole: bool, tuning: Tuning = TUNING) -> int | None:
    """Inducing points that ``n_inducing`` asks for; None for one variable per row.

    ``whole``: no rows come later.
    """
    if options.n_inducing != "auto":
        return options.n_inducing
    return None if whole and n_rows <= tuning.auto_exact else tuning.auto_inducing


def uses_neighbours(
    options: Options,
    conjugate: bool,
    n_rows: int,
    goes_on: bool = True,
    tuning: Tuning = TUNING,
) -> bool:
    """Whether rows are predicted from their neighbours; ValueError where that cannot be.

    ``goes_on``: what was learned before has neighbours, or no row comes later. "auto" also asks for
    :func:`suit_neighbours`.
    """
    if options.n_neighbors == "auto":
        many = conjugate and n_rows > tuning.auto_exact
        return many and options.n_inducing == "auto" and goes_on
    if not options.n_neighbors:
        return False
    asked = f"n_neighbors={options.n_neighbors}"
    if not conjugate:
        raise ValueError(f"{asked} needs likelihood='gaussian'. Leave n_neighbors='auto'.")
    if options.n_inducing not in (None, "auto"):
        raise ValueError(
            f"{asked} takes no inducing points, but n_inducing={options.n_inducing}. Leave one of "
            "the two out."
        )
    return True


def suit_neighbours(problem: Problem) -> bool:
    """Whether what is near says most: correlations fall with a distance, and few rows are tied."""
    return _falls(problem) and differs(problem.rows.X)


def _falls(problem: Problem) -> bool:
    """Whether correlations fall with a distance."""
    parsed, D = problem.parsed, problem.rows.X.shape[1]
    return kernels.metric(parsed.structure, parsed.values, D) is not None


def differs(X: np.ndarray) -> bool:
    """Whether half of the rows at least are no repetition of others."""
    return len(merge_equal_rows(np.ones(len(X)), X)[0]) >= 0.5 * len(X)


def merges_rows(options: Options, conjugate: bool, n_rows: int, tuning: Tuning = TUNING) -> bool:
    """Whether a model of all rows may be trained: then equal rows are merged.

    Training gives the same numbers for rows in another order, and for a weight of 2 and the row
    twice, to the last bit: L-BFGS and near-singular kernel matrices would blow up rounding.
    """
    near = uses_neighbours(options, conjugate, n_rows, tuning=tuning)
    return near or options.n_inducing is None or n_rows <= tuning.auto_exact


def blocks_of_a_step(options: Options, n_blocks: int, tuning: Tuning = TUNING) -> int:
    """Of neighbours: as many as ``batch_size`` rows that are left out make."""
    if options.optimizer == "lbfgs" or options.batch_size is None:
        return n_blocks
    by = tuning.near
    rows = by.batch * by.left_out if options.batch_size == "auto" else options.batch_size
    return min(max(1, rows // by.left_out), n_blocks)


def batch_rows(options: Options, N: int, M: int | None, tuning: Tuning = TUNING) -> int:
    """Rows of one step, of N; ValueError where ``batch_size`` cannot be."""
    batch = options.batch_size
    fewer = batch not in (None, "auto") and batch < N
    if fewer and M is None:
        raise ValueError(
            f"batch_size={batch} needs inducing points: with one variational variable per row "
            "(n_inducing=None) every step uses all rows. Set n_inducing to a number."
        )
    if fewer and options.optimizer == "lbfgs":
        raise ValueError(
            f"optimizer='lbfgs' needs all rows in every step, but batch_size={batch}. Set "
            "batch_size=None, or optimizer='adam'."
        )
    if M is None or options.optimizer == "lbfgs" or batch is None:
        return N
    if batch == "auto":
        batch = N if tuning.auto_full_batch >= N * M else max(1024, 4 * M)
    return min(batch, N)


def most_steps(options: Options, n_rows: int, rows_of_a_step: int) -> int:
    """``max_iter`` passes over the rows, in steps of so many of them."""
    return min(options.max_iter * -(-n_rows // rows_of_a_step), _INT32)


def most_calls(
    options: Options, conjugate: bool, n_rows: int, every: int, tuning: Tuning = TUNING
) -> int:
    """Of callbacks, in all starts together."""
    if uses_neighbours(options, conjugate, n_rows, tuning=tuning):
        n_blocks = min(n_rows, tuning.near.n_blocks)
        batch = tuning.near.left_out * blocks_of_a_step(options, n_blocks, tuning)
    else:
        batch = batch_rows(options, n_rows, n_points(options, n_rows, True, tuning), tuning)
    steps = most_steps(options, n_rows, batch)
    return -(-steps // every) * (1 + options.n_restarts_optimizer)


def chunk_rows(
    N: int, M: int | None, n_latent: int, once: bool = False, tuning: Tuning = TUNING
) -> int:
    """Rows of a step on all of them that are taken at a time; ``once``: in a single pass."""
    if M is None:
        return max(64, tuning.block // N)
    return max(1024, (tuning.block if once else tuning.chunk) // (M * n_latent))


def stream_capacity(M: int, tuning: Tuning = TUNING) -> int:
    """Rows of a stream that are kept at most."""
    return max(tuning.stream_rows, tuning.stream_rows_a_point * M)


def refuse_beyond_memory(name: str, options: Options, problem: Problem, M: int | None) -> None:
    """ValueError for what cannot fit: a few matrices are counted of the many there are."""
    N, L = len(problem.rows.X), problem.n_latent
    if M is None:  # exact regression: all targets share the matrices
        matrices = 3 * (1 if problem.likelihood.conjugate else L)
        what = f"the {N:,} x {N:,} covariance matrices of {name}(n_inducing=None)"
        refuse_beyond(8.0 * matrices * N**2, what, "Use n_inducing='auto' or a number.")
        return
    M = min(M, N)
    rows = min(N, chunk_rows(N, M, L))
    what = f"the {M:,} x {M:,} covariance matrices of {name}(n_inducing={options.n_inducing})"
    refuse_beyond(8.0 * M * (4 * L * M + 2 * rows), what, "Use a smaller n_inducing.")


# --- the plan --------------------------------------------------------------------------------


def make_plan(
    options: Options,
    problem: Problem,
    held_out: Any,
    points: np.ndarray | None,
    near: bool,
    spread: np.ndarray,
    seed: np.ndarray,
    moves: bool = True,
    memory: Any = None,
    tuning: Tuning = TUNING,
) -> Plan:
    """Model, execution, parameters and settings of a fit.

    ``points`` [M, D] are the inducing points to begin with, None for a model of the rows
    themselves, or of those ``near``; ``spread`` [D] the standard deviation of each column, of
    remembered rows too; ``moves``: whether hyperparameters do.
    """
    N, M = len(problem.rows.X), None if points is None else len(points)
    if near:  # the rows of a step are blocks
        N, options = min(N, tuning.near.n_blocks), _careful(options, problem)
    batch = blocks_of_a_step(options, N, tuning) if near else batch_rows(options, N, M, tuning)
    inference = _near(options, problem) if near else _inference(options, problem, M, batch, memory)
    chunk = chunk_rows(N, M, problem.n_latent, inference.n_passes == 1, tuning)
    if near or kernels.needs_all_rows(problem.parsed.structure):
        chunk = N
    grows = batch < N and options.batch_size == "auto" and not near
    grown = min(chunk_rows(N, M, problem.n_latent, tuning=tuning), N) if grows else 0
    blas = M is not None and _uses_blas(options, M, max(batch, grown), tuning)
    how = Execution(
        minibatch=batch < N,
        chunked=chunk < max(batch, grown),
        algebra="blas" if blas else "tensors",
        dtype=_precision(options, problem),
        X_dtype="float64" if M is None else problem.rows.X.dtype.name,
        memory=memory is not None,
        in_order=not near and problem.n_latent * max(batch, grown) * (M or N) < tuning.small,
    )
    # only then, so that the sizes of small sets never ask for a second compilation
    if inference.may_unwhiten and how.chunked and memory is None:
        unwhitened = _leaves_unwhitened(options, problem, points, batch, tuning)
        how = how._replace(whitened=not unwhitened)
    kernel, likelihood = problem.parsed.structure, problem.likelihood
    model = Model(inference, kernel, likelihood, problem.n_latent, likelihood.mean)
    structure = Structure(model, how)
    parameters = _parameters(options, problem, points, spread, tuning)
    settings = _settings(options, problem, parameters, structure, batch, seed, moves, tuning)
    settings = settings._replace(chunk_size=chunk)
    data = _data(problem, structure, spread, memory)
    return Plan(options, problem, held_out, structure, parameters, data, settings, grown, tuning)


def _careful(options: Options, problem: Problem) -> Options:
    """With L-BFGS where a kernel does not fall with a distance: Adam's steps lose a period."""
    if options.optimizer != "auto" or _falls(problem):
        return options
    return options._replace(optimizer="lbfgs")


def _near(options: Options, problem: Problem) -> Inference:
    """With scales of their own for near rows, where no noise is said to be known."""
    count = None if options.n_neighbors == "auto" else int(options.n_neighbors)
    learned = problem.learns_noise and not problem.rows.row.any()
    return Neighbours(count, options.local_scale and learned)


def _inference(
    options: Options, problem: Problem, M: int | None, batch: int, memory: Any
) -> Inference:
    """What suits likelihood, rows and options best."""
    met = {
        "conjugate": problem.likelihood.conjugate,
        "all rows": batch == len(problem.rows.X),
        "full steps": options.gamma in ("auto", 1),
        "shared precision": memory is None or len(memory.roots) == 1,
    }
    return suitable(M is not None, frozenset(name for name, is_met in met.items() if is_met))


def _precision(options: Options, problem: Problem) -> str:
    """float64 where rounding rows to float32 would lose what a kernel makes of them."""
    rounds = not kernels.is_stationary(problem.parsed.structure)
    if options.dtype == "float32" and rounds and is_far_from_zero(problem.rows.X):
        return "float64"
    return options.dtype


def _uses_blas(options: Options, M: int, n_rows: int, tuning: Tuning) -> bool:
    many_rows = tuning.blas_from <= M and n_rows >= tuning.blas_rows * M
    return options.dtype == "float64" and (many_rows or tuning.blas_anyway <= M)


def _leaves_unwhitened(
    options: Options, problem: Problem, Z: Any, batch: int, tuning: Tuning
) -> bool:
    """Whether rows left unwhitened are exact enough, and less work.

    Rounding is that in the precision that all rows add to the prior's, which is 1, of rows whose
    covariances are so many units of the jitter.
    """
    enough = batch >= tuning.direct_rows * problem.n_latent * len(Z)
    kernel, values = problem.parsed.structure, problem.parsed.values
    sizes = prior_variance(kernel, values, Z).max(1)
    units = jitter_units(kernel, values, Z)
    total = problem.rows.weights.sum()
    lost = np.finfo(np.float64).eps * total * max(1.0, *sizes * sizes / units)
    exact = lost < tuning.direct_rounding * options.jitter
    bounded = problem.likelihood.bounded_precision
    return options.dtype == "float64" and bounded and bool(exact) and enough


def _parameters(
    options: Options, problem: Problem, points: Any, spread: np.ndarray, tuning: Tuning
) -> Parameters:
    kernel, observation = problem.parsed.parameters, problem.observation
    if options.default_kernel:
        kernel = _near_each_other(kernel, spread, tuning)
        observation = _near_the_start(problem, tuning)
    moves = options.train_inducing and points is not None
    Z = () if points is None else points
    return Parameters(kernel, observation, problem.mean, Z, bool(moves))


def _near_each_other(kernel: tuple[Parameter, ...], spread: np.ndarray, tuning: Tuning) -> tuple:
    """Parameters of the default kernel, its length scales with a prior.

    In units of their column, [D] ``spread``, each logarithm has a Cauchy prior about the mean of
    all D; what all of them are together, as any constant factor of the kernel, has none.
    """
    D = len(spread)
    apart = (np.eye(D) - 1.0 / D) / (tuning.prior_width * D**tuning.prior_power)
    # empty, not None, for one column: one and many share what is compiled
    apart = apart if D > 1 else np.zeros((0, 1))
    prior = CauchyPrior(apart, apart @ np.log(spread))
    return tuple(p._replace(prior=prior) if p.name.endswith("length_scale") else p for p in kernel)


def _near_the_start(problem: Problem, tuning: Tuning) -> tuple[Parameter, ...]:
    """Parameters of the likelihood, with a prior of the noise about where it starts."""
    if not problem.learns_noise:
        return problem.observation
    level, *others = problem.observation
    width = problem.likelihood.noise_power * tuning.noise_width
    centre = np.log(problem.noise_start) / tuning.noise_width
    prior = CauchyPrior(np.array([[1.0 / width]]), np.array([centre]))
    return level._replace(prior=prior), *others


def _data(problem: Problem, structure: Structure, spread: np.ndarray, memory: Any) -> Data:
    X, Y, weights, row = problem.rows
    if structure.how.X_dtype == "float64":  # exact models are float64 throughout
        X = X.astype(np.float64, copy=False)
    if memory is None:
        return Data(X, Y, weights, row, spread)
    n_matrices = structure.model.inference.n_matrices(problem.n_latent)
    if len(memory.roots) < n_matrices:
        memory = memory._replace(roots=np.repeat(memory.roots, n_matrices, 0))
    return Data(X, Y, weights, row, spread, memory)


def _settings(
    options: Options,
    problem: Problem,
    parameters: Parameters,
    structure: Structure,
    batch: int,
    seed: np.ndarray,
    moves: bool,
    tuning: Tuning,
) -> Settings:
    N, inference = len(problem.rows.X), structure.model.inference
    growing = structure.how.minibatch and options.batch_size == "auto" and not inference.gathers
    moves = moves and options.optimizer is not None and parameters.move
    a_look = tuning.patience_of_growing if growing else -(-N // batch)
    a_look = tuning.near.patience if inference.gathers else a_look
    patience = min(options.n_iter_no_change * a_look, _INT32)
    return Settings(
        gamma=_gamma(options, problem, structure, tuning),
        gamma_ramp=1.0 if problem.likelihood.conjugate else 5.0,
        warm_up=inference.warm_up,
        learning_rate=_rate(options, structure, growing, tuning) if moves else 0.0,
        max_iter=most_steps(options, N, batch * (tuning.near.left_out if inference.gathers else 1)),
        # where nothing moves, a second look at the same value ends training
        n_iter_no_change=patience if moves or not inference.one_step else 1,
        n_plateaus=inference.n_plateaus if moves else 1,
        tol=options.tol,
        batch_size=batch,
        jitter=options.jitter,
        seed=seed,
        **({"beta_2": tuning.near.beta_2} if inference.gathers else {}),
    )


def _gamma(options: Options, problem: Problem, structure: Structure, tuning: Tuning) -> float:
    if options.gamma != "auto":
        return options.gamma
    return tuning.batch_gamma if structure.how.minibatch else problem.likelihood.gamma


def _rate(options: Options, structure: Structure, growing: bool, tuning: Tuning) -> float:
    if options.learning_rate != "auto":
        return options.learning_rate
    if not structure.how.minibatch or structure.model.inference.gathers:
        return tuning.rate
    return tuning.growing_rate if growing else tuning.batch_rate
