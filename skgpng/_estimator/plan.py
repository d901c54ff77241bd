"""How a fit is to be done, from the options, the sizes of the data and measured constants.

Nothing here looks at an estimator or changes anything: the same arguments give the same plan.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import kernels
from .._inference import Data, Execution, Inference, Model, Neighbours, Structure, suitable
from .._inference.covariances import jitter_units, prior_variance
from .._inference.elsewhere import numbered
from .._inference.posterior import Posterior
from .._runtime import Device
from .._training.loop import Settings
from .._training.result import Result
from .._training.stages import Stage, gathering_stages, plan_stages
from ..inducing import is_far_from_zero, merge_equal_rows
from ..means import Zero
from ..parameters import CauchyPrior, DensityPrior, Hyperparameters, Parameter, Parameters
from .placing import chosen, chunk_of, chunk_rows, placed, precision_on, with_room
from .problem import Problem, Rows
from .tuning import TUNING, Tuning

__all__ = ["Options", "Plan"]

# Steps are counted in 32 bits.
_INT32 = 2**31 - 1
# A pool of rows that are elsewhere has as many as this times the largest batch: with 32 points and
# eight columns 45 MB, of which up to five are in memory.
_POOL = 2


class Options(NamedTuple):
    """Parameters of an estimator that say how to train; ``default_kernel``: it was given none."""

    n_inducing: Any
    n_neighbors: Any
    local_scale: bool
    inducing_init: str
    train_inducing: bool
    optimizer: Any  # a name, a function of the user's, or None
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
        given, auto = self.options.optimizer, self.structure.model.inference.optimizer
        return "own" if callable(given) else auto if given == "auto" else given

    def posterior(self, result: Result) -> Posterior:
        """Of a training."""
        model, jitter = self.structure.model, result.report.jitter
        return model.inference.posterior(model, result.theta, result.variational, self.data, jitter)

    def stages(self, q: tuple) -> list[Stage]:
        """On which rows training begins, from q, and how it goes on."""
        model = self.structure.model
        whole = self.problem.start != "fresh" or self.optimizer == "own"
        if model.inference.gathers:
            whole = whole or not self.settings.learning_rate
            return gathering_stages(
                self._gather, q, self.settings, self.tuning.near, self.optimizer, whole
            )
        far = self.problem.elsewhere
        stages = plan_stages(
            self.structure,
            self.data,
            q,
            self.settings,
            largest_batch=self.largest_batch,
            optimizer=self.optimizer,
            whole=whole or (far is not None and not far.by_number),
            part=self.tuning.part,
        )
        if far is None or self.structure.how.elsewhere:
            return stages
        largest = max(self.largest_batch, int(self.settings.batch_size))
        n_rows = min(len(self.data.X), _POOL * largest)
        pools = far.pools(n_rows, np.random.RandomState(self.settings.seed))
        return [stage._replace(others=lambda: self._pool(next(pools))) for stage in stages]

    def _pool(self, rows: Rows) -> Data:
        """Some rows, for all."""
        weights = self.problem.weights_for_all(rows)
        return self.data._replace(X=rows.X, Y=rows.Y, weights=weights, row=rows.row)

    def _gather(self, seed: int, theta: Hyperparameters) -> Data:
        near, model = self.tuning.near, self.structure.model
        sizes = near.n_blocks, near.rows, near.left_out
        return model.inference.gathered(model, theta, self.data, sizes, seed)

    @property
    def epoch(self) -> int:
        """Steps that see as many rows, or blocks, as there are."""
        N = self.problem.n_all // _rows_a_number(self.problem, self.structure.how)
        if self.structure.model.inference.gathers:
            N = min(N, self.tuning.near.n_blocks)
        return -(-N // self.settings.batch_size)

    @property
    def data_kept(self) -> Data | None:
        """Rows that the evidence of other hyperparameters may be asked of; in exact models."""
        inference = self.structure.model.inference
        exact = not (self.has_points or inference.gathers or self.problem.likelihood.conjugate)
        return self.data if inference.has_evidence or exact else None

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


def stream_capacity(M: int, tuning: Tuning = TUNING) -> int:
    """Rows of a stream that are kept at most."""
    return max(tuning.stream_rows, tuning.stream_rows_a_point * M)


def refuse_own_optimizer(options: Options, near: bool, M: int | None) -> None:
    """ValueError for a function as ``optimizer`` where there is no evidence to ask it for."""
    if callable(options.optimizer) and (near or M is not None):
        raise ValueError(
            "optimizer as a function needs an exact model, whose evidence is a function of the "
            "hyperparameters alone: set n_inducing=None and n_neighbors=None, or optimizer='auto'."
        )


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
    places: tuple[Device, ...] = (Device(),),
) -> Plan:
    """Model, execution, parameters and settings of a fit.

    ``points`` [M, D] are the inducing points to begin with, None for a model of the rows
    themselves, or of those ``near``; ``spread`` [D] the standard deviation of each column, of
    remembered rows too; ``moves``: whether hyperparameters do; ``places``: where training may run.
    """
    N, M = problem.n_all, None if points is None else len(points)
    options = _by_name(options, near, M)
    if near:  # the rows of a step are blocks
        N, options = min(N, tuning.near.n_blocks), _careful(options, problem)
    batch = blocks_of_a_step(options, N, tuning) if near else batch_rows(options, N, M, tuning)
    if not near and batch == N and problem.elsewhere is None:
        options = _follows_priors(options, problem)
    inference = _near(options, problem) if near else _inference(options, problem, M, batch, memory)
    grows = batch < N and options.batch_size == "auto" and not near
    grown = min(chunk_rows(N, M, problem.n_latent, tuning=tuning), N) if grows else 0
    if _in_pools(problem, batch):
        batch, grown = (min(size, len(problem.rows.X)) for size in (batch, grown))
    at_hand = problem.elsewhere is None or _in_pools(problem, batch)
    block = tuning.near.rows if near else None
    place = chosen(places, problem, M, max(batch, grown), block, at_hand, tuning)
    options = options._replace(dtype=precision_on(place, options.dtype, M, problem.rows.X))
    chunk = N if near else chunk_of(problem, M, inference.n_passes == 1, with_room(place, tuning))
    how = _execution(options, problem, M, near, N, batch, max(batch, grown), tuning)
    how = how._replace(chunked=chunk < max(batch, grown), memory=memory is not None)
    how = placed(how, place, tuning.algebra)
    # only then, so that the sizes of small sets never ask for a second compilation
    if inference.may_unwhiten and how.chunked and memory is None:
        unwhitened = _leaves_unwhitened(options, problem, points, batch, tuning)
        how = how._replace(whitened=not unwhitened)
    kernel, likelihood = problem.parsed.structure, problem.likelihood
    model = Model(inference, kernel, likelihood, problem.n_latent, problem.mean_function)
    structure = Structure(model, how)
    parameters = _parameters(options, problem, points, near, spread, tuning)
    settings = _settings(options, problem, parameters, structure, batch, seed, moves, tuning)
    each = _rows_a_number(problem, how)
    settings = settings._replace(chunk_size=chunk, batch_size=-(-batch // each))
    data = _data(problem, structure, spread, memory)
    grown //= each
    return Plan(options, problem, held_out, structure, parameters, data, settings, grown, tuning)


def _in_pools(problem: Problem, batch: int) -> bool:
    """Whether batches are drawn from pools of rows that are elsewhere."""
    far = problem.elsewhere
    return far is not None and not far.by_number and batch < problem.n_all


def _rows_a_number(problem: Problem, how: Execution) -> int:
    """Rows that what the loop takes for a row stands for, where rows are elsewhere."""
    return problem.elsewhere.rows_a_number if how.elsewhere else 1


def _execution(
    options: Options,
    problem: Problem,
    M: int | None,
    near: bool,
    N: int,
    batch: int,
    most: int,
    tuning: Tuning,
) -> Execution:
    """But for chunks; ``most`` rows of a step, once they have grown."""
    blas = M is not None and _uses_blas(options, M, most, tuning)
    small = problem.n_latent * most * (M or N) < tuning.small
    return Execution(
        minibatch=batch < N,
        algebra="blas" if blas else "tensors",
        dtype=_precision(options, problem),
        X_dtype="float64" if M is None else problem.rows.X.dtype.name,
        elsewhere=problem.elsewhere is not None and not _in_pools(problem, batch),
        in_order=small and not near and problem.elsewhere is None,
    )


def _by_name(options: Options, near: bool, M: int | None) -> Options:
    """scikit-learn's L-BFGS by our name for it, where each step takes all rows; else "auto"."""
    if options.optimizer != "fmin_l_bfgs_b":
        return options
    return options._replace(optimizer="auto" if near or M is not None else "lbfgs")


def _careful(options: Options, problem: Problem) -> Options:
    """With L-BFGS where a kernel does not fall with a distance: Adam's steps lose a period."""
    if options.optimizer != "auto" or _falls(problem):
        return options
    return options._replace(optimizer="lbfgs")


def _follows_priors(options: Options, problem: Problem) -> Options:
    """With L-BFGS where priors are given: Adam ends beside the peak of a narrow one.

    A classifier of 60 rows with log normal priors of 5 % of its two length scales: 24 nats lost.
    """
    leaves = problem.parsed.parameters + problem.observation + problem.mean
    given = any(isinstance(p.prior, DensityPrior) for p in leaves)
    return options._replace(optimizer="lbfgs") if given and options.optimizer == "auto" else options


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
        "all rows": batch == problem.n_all,
        "full steps": options.gamma in ("auto", 1),
        "shared precision": _shares_kernel(problem) and (memory is None or len(memory.roots) == 1),
    }
    return suitable(M is not None, frozenset(name for name, is_met in met.items() if is_met))


def _shares_kernel(problem: Problem) -> bool:
    """Whether all latent functions have one kernel."""
    parsed = problem.parsed
    return len(kernels.of_each_latent(parsed.structure, parsed.values)) == 1


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
    total = problem.total_weight
    lost = np.finfo(np.float64).eps * total * max(1.0, *sizes * sizes / units)
    exact = lost < tuning.direct_rounding * options.jitter
    bounded = problem.likelihood.bounded_precision
    return options.dtype == "float64" and bounded and bool(exact) and enough


def _parameters(
    options: Options, problem: Problem, points: Any, near: bool, spread: np.ndarray, tuning: Tuning
) -> Parameters:
    kernel, observation = problem.parsed.parameters, problem.observation
    if options.default_kernel:
        kernel = _near_each_other(kernel, spread, tuning)
        observation = _near_the_start(problem, tuning)
    moves = options.train_inducing and points is not None
    Z = () if points is None else points
    mean = _held(problem) if near or points is not None else problem.mean
    discrete = kernels.discrete_columns(problem.parsed.structure, len(spread))
    return Parameters(kernel, observation, mean, Z, bool(moves), discrete)


def _held(problem: Problem) -> tuple[Parameter, ...]:
    """Parameters of the mean: where f is in the units of y, at least squares.

    What neighbours miss says next to nothing of a trend, and the posterior at inducing points not
    how well its coefficients are known. On 80 rows of a plane with a wave, slopes learned with
    neighbours missed the plane, at six times the range of X, by 15 deviations of y, and those of
    least squares by a third of one.
    """
    likelihood = problem.likelihood
    if not (likelihood.location and isinstance(likelihood.mean, Zero)):
        return problem.mean
    return tuple(
        p if isinstance(p.prior, DensityPrior) else p._replace(free=False, prior=None)
        for p in problem.mean
    )


def _near_each_other(kernel: tuple[Parameter, ...], spread: np.ndarray, tuning: Tuning) -> tuple:
    """Parameters of the default kernel, its length scales with a prior if they have none.

    In units of their column, [D] ``spread``, each logarithm has a Cauchy prior about the mean of
    all D; what all of them are together, as any constant factor of the kernel, has none.
    """
    D = len(spread)
    apart = (np.eye(D) - 1.0 / D) / (tuning.prior_width * D**tuning.prior_power)
    # empty, not None, for one column: one and many share what is compiled
    apart = apart if D > 1 else np.zeros((0, 1))
    prior = CauchyPrior(apart, apart @ np.log(spread))
    return tuple(
        p._replace(prior=prior) if p.name.endswith("length_scale") and p.prior is None else p
        for p in kernel
    )


def _near_the_start(problem: Problem, tuning: Tuning) -> tuple[Parameter, ...]:
    """Parameters of the likelihood, with a prior of the noise about where it starts."""
    if not problem.learns_noise or problem.observation[0].prior is not None:
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
    if structure.how.elsewhere:
        return numbered(problem.elsewhere, spread)
    if problem.elsewhere is not None:
        weights = problem.weights_for_all(problem.rows)
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
    N, inference = problem.n_all, structure.model.inference
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
        n_plateaus=_plateaus(problem, inference) if moves else 1,
        tol=options.tol,
        batch_size=batch,
        jitter=options.jitter,
        seed=seed,
        **({"beta_2": tuning.near.beta_2} if inference.gathers else {}),
    )


def _plateaus(problem: Problem, inference: Inference) -> int:
    """Three at least where the likelihood learns, too: at the first one Adam may have overshot.

    With all rows, negative binomial counts ended 1.7 nats below the best ELBO, their dispersion a
    third too large.
    """
    learns = not problem.likelihood.conjugate and any(p.free for p in problem.observation)
    return max(inference.n_plateaus, 3) if learns else inference.n_plateaus


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
