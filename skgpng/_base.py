"""What both estimators share: parameters to a trained model, and predicting from it."""

from __future__ import annotations

import abc
import contextlib
import warnings
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
import scipy.linalg
from sklearn.base import BaseEstimator, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import (
    _check_sample_weight,
    _num_samples,
    check_is_fitted,
    validate_data,
)

from . import _memory, _starts, inducing, kernels, posterior, streaming, structures, training
from ._diagnosis import at_bounds, explained_share, likely_cause, lone_row, lost_to_float32
from ._monitor import (
    Callbacks,
    CallbackSupportMixin,
    EarlyStopping,
    Monitor,
    progress_line,
    with_callbacks,
)
from ._tensorflow import outside_graphs
from ._version import __version__
from .likelihoods import Likelihood
from .structures import NO_PRIOR, Data, Hyperparameters, Prior, Result, Structure

__all__ = ["FLOATS", "BaseGaussianProcess", "Plan", "Problem"]

#: Types of X that are taken as they are; others become the first.
FLOATS = (np.float64, np.float32)
# "auto" keeps every row (VGP) up to this many, and takes this many inducing points beyond.
_AUTO_EXACT = 1000
_AUTO_INDUCING = 256
# Numbers in the largest array of a full-batch step; more than that trains on minibatches.
_AUTO_FULL_BATCH = 2e7
# From so many inducing points on the algebra of a step is done by LAPACK and BLAS: kin8nm, M = 256,
# all rows, 48 ms a step in place of 55 (39 of 57 with OpenBLAS's code for this processor); M = 100,
# 14 in place of 10. TensorFlow's float32 products are as fast as BLAS.
# With fewer rows a point, calls weigh more: 256 points and batches of 1024 take 14 in place of 11,
# from 500 points on LAPACK pays in any case: 34 in place of 36, with 1000 points 150 of 187.
_LARGE, _ROWS_A_POINT, _LARGE_ANYWAY = 250, 8, 500
# Numbers in the largest array of a full-batch step (64 MB in float64); more rows come in chunks.
_CHUNK = 2**23
# Where one pass is enough, of an array that elementwise operations find in the cache (4 MB): magic,
# M = 200, 62 ms a step in place of 81; exact models take so many numbers of K at a time.
_BLOCK = 2**19
# So many rows for each inducing point and latent function, and it pays to leave them unwhitened:
# magic, M = 200, 56 ms in place of 67. Rounding may take so much of the prior's precision, at a
# prior variance of 1: with 1e-3, kdd99 (444,619 rows) had a held-out NLPD of 0.0043, not 0.0035.
_ROWS_DIRECT, _ROUNDING = 4, 1e-5
# q starts with a variance of 100 at most: under a wider prior every quadrature node is far from the
# decision boundary, and no gradient tells where to go.
_START_PRECISION = 1e-2
# A fit that explains less of the variance of y is of no use, nor is one with more jitter than so
# much of the mean square of y.
_EXPLAINS_NOTHING, _SWAMPS = 0.01, 0.03
# So many nats a row (and in all, which a prior may cost) below the best ELBO are worth a warning.
_MUCH, _MUCH_IN_ALL = 0.02, 10.0
# Steps are counted in 32 bits.
_INT32 = 2**31 - 1
# Values of X beyond are refused: the squares of their distances are not finite in float64, and
# length scales of their size have no reciprocal in float32 (the ELBO was wrong from 1e37).
_LARGEST = {"float64": 1e150, "float32": 1e35}
# The evidence of so heavy rows hides everything else in rounding.
_HEAVIEST = 1e15
# Steps on all rows begin with so many on a part of them, if it has so many rows: they cost as much
# less, and no more is needed. elevators, M = 500: held-out NLPD -0.925 after 2.5 s in place of 7.3,
# and -0.969 in place of -0.950 fifty steps later; kin8nm, M = 256: 1.6 s in place of 2.3 to -1.07;
# magic, M = 200: 0.7 s in place of 1.3 to 0.280; exact classifier of 1000 rows: 79 steps in place
# of 97. Exact regression, which L-BFGS ends in 30 evaluations, gained nothing.
_COARSE_STEPS, _COARSE_SHARE, _COARSE_FROM, _COARSE_FROM_EXACT = 20, 4, 500, 250
# Default kernel: width of the Cauchy prior of the logarithm of each length scale about the mean of
# all D, this times D to that power. With many columns each has less room, so that they do not fit
# few rows together. Held-out NLPD, five splits: with a width of 0.50 for 11 columns 100 rows of
# wine_red had 1.30 and not 1.29; with 0.28 for 32 columns 200 rows of pumadyn32nm had 0.68 and not
# 0.45, as the columns that matter were not found in two splits; with 0.58 for 5 columns 100 rows of
# airfoil had 0.87 and not 0.86. Normal densities that suit pumadyn32nm overfit ionosphere.
# The table of all sets is that of examples/benchmarks/priors.py.
_WIDTH, _WIDTH_POWER = 1.25, -0.4
# Of pickles; raised whenever fitted attributes change, so that none is half understood.
_STATE = 2
# Steps between two calls of callbacks and progress line, and at least between held-out scores.
_CALL_EVERY, _SCORE_EVERY = 10, 5


class Problem(NamedTuple):
    """A validated fit: what the likelihood-specific estimators hand to the shared code.

    Attributes
    ----------
    X : ndarray of shape (N, D)
    Y : ndarray of shape (N, P)
        Encoded or scaled targets.
    weights, row_noise : ndarray of shape (N,)
        Positive weights; known noise variance of each row on the scale of Y.
    likelihood : Likelihood
    likelihood_values : tuple of float
        Start values.
    likelihood_bounds : tuple of (float, float)
    train_likelihood : tuple of bool
    n_latent : int
    kernel : sklearn.gaussian_process.kernels.Kernel
    parsed : ParsedKernel
    conjugate : bool
        Whether one natural-gradient step of gamma = 1 is exact.
    attributes : dict
        Fitted attributes that are known before training.
    gamma : float
        What "auto" means for the step size on all rows.
    start : {"fresh", "warm", "first", "on"}
        Anew, from where the last fit ended (``warm_start``), the first call of ``partial_fit``, or
        a later one.
    likelihood_prior : tuple of (float, float)
        With the default kernel: centre and width of the Cauchy prior of the logarithms of the
        first likelihood values.
    """

    X: np.ndarray
    Y: np.ndarray
    weights: np.ndarray
    row_noise: np.ndarray
    likelihood: Likelihood
    likelihood_values: tuple
    likelihood_bounds: tuple
    train_likelihood: tuple[bool, ...]
    n_latent: int
    kernel: Kernel
    parsed: kernels.ParsedKernel
    conjugate: bool
    attributes: dict
    gamma: float = 1.0
    start: str = "fresh"
    likelihood_prior: tuple[tuple[float, float], ...] = ()

    @property
    def bounds(self) -> tuple[np.ndarray, ...]:
        """Lower and upper bound of each kernel value, then of each likelihood value."""
        return (*self.parsed.bounds, *(np.array(b) for b in self.likelihood_bounds))

    def rows(self, chosen: Any) -> Problem:
        """The problem with some of its rows."""
        X, Y, weights, noise = (a[chosen] for a in self[:4])
        return self._replace(X=X, Y=Y, weights=weights, row_noise=noise)

    def data(self, spread: np.ndarray, memory: Any = ()) -> Data:
        """Rows as training takes them; ``spread`` is that of all rows, remembered ones too."""
        return Data(self.X, self.Y, self.weights, self.row_noise, spread, memory)


class Plan(NamedTuple):
    """What the starts of one fit share.

    Attributes
    ----------
    problem : Problem
        Rows to train on.
    held_out : Problem or None
        Rows that ``early_stopping`` holds out.
    structure : Structure
    data : Data
    settings : Settings
    prior : Prior or None
    lost : str
        What float32 has taken from X as it was given; see ``_diagnosis.lost_to_float32``.
    """

    problem: Problem
    held_out: Problem | None
    structure: Structure
    data: Data
    settings: training.Settings
    prior: Prior | None
    lost: str


def default_kernel(X: np.ndarray, weights: np.ndarray) -> Kernel:
    """A scaled Matern-5/2 with one length scale per column, set from the data.

    The length scales start at sqrt(D) standard deviations of their column, so that two rows are
    about one unit apart however many columns there are.
    """
    scale = inducing.column_spread(X, weights) * np.sqrt(X.shape[1])
    bounds = np.stack([1e-3 * scale, 1e4 * scale], 1)
    return ConstantKernel(1.0, (1e-4, 1e4)) * Matern(scale, bounds, nu=2.5)


def default_prior(problem: Problem, spread: np.ndarray) -> Prior:
    """Length scales of the default kernel near each other, the noise near where it starts.

    In units of their column, [D] ``spread``, each logarithm has a Cauchy prior about the mean of
    all D; what all of them are together, as any constant factor of the kernel, has none.
    """
    D, at, blocks = len(spread), 0, []
    apart = (np.eye(D) - 1.0 / D) / (_WIDTH * D**_WIDTH_POWER)
    for name, value in zip(problem.parsed.names, problem.parsed.values, strict=True):
        if D > 1 and name.endswith("length_scale"):
            blocks.append((at + np.arange(D), apart, apart @ np.log(spread)))
        at += np.size(value)
    for k, (centre, width) in enumerate(problem.likelihood_prior):
        blocks.append((np.array([at + k]), np.array([[1.0 / width]]), np.array([centre / width])))
    if not blocks:  # empty, not None: one column and many share what is compiled
        return NO_PRIOR
    entries, mixing, offsets = zip(*blocks, strict=True)
    where = np.concatenate(entries)[:, None, None]
    return Prior(where, scipy.linalg.block_diag(*mixing), np.concatenate(offsets)[:, None])


class BaseGaussianProcess(CallbackSupportMixin, BaseEstimator, abc.ABC):
    """Training and latent predictions of both estimators."""

    _parameter_constraints: ClassVar[dict] = {
        "kernel": [None, Kernel],
        "n_inducing": [None, Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "inducing_init": [StrOptions({"kmeans", "greedy_variance", "random"})],
        "train_inducing": ["boolean"],
        "optimizer": [None, StrOptions({"auto", "adam", "lbfgs"})],
        "gamma": [Interval(Real, 0, 1, closed="right"), StrOptions({"auto"})],
        "learning_rate": [Interval(Real, 0, np.inf, closed="neither"), StrOptions({"auto"})],
        "batch_size": [None, Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "max_iter": [Interval(Integral, 1, _INT32, closed="both")],
        "tol": [Interval(Real, 0, np.inf, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, _INT32, closed="both")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_restarts_optimizer": [Interval(Integral, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "jitter": [Interval(Real, 0, np.inf, closed="neither")],
        "dtype": [StrOptions({"float64", "float32"})],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    # --- fitting -------------------------------------------------------------------------

    @abc.abstractmethod
    def _problem(self, X: Any, y: Any, start: str, sample_weight: Any, **given: Any) -> Problem:
        """Validate the arguments of ``fit`` or ``partial_fit``."""

    @abc.abstractmethod
    def _own_attributes(self, plan: Plan, result: Result) -> dict:
        """Fitted attributes that only this estimator has."""

    def _fit(self, X: Any, y: Any, **given: Any) -> Any:
        start = "warm" if self.warm_start and hasattr(self, "_posterior") else "fresh"
        _warn(self._learn(X, y, start=start, **given))
        return self

    def _partial_fit(self, X: Any, y: Any, **given: Any) -> Any:
        _warn(self._learn(X, y, start="on" if hasattr(self, "_posterior") else "first", **given))
        return self

    @outside_graphs
    @with_callbacks
    def _learn(self, X: Any, y: Any, start: str, sample_weight: Any, **given: Any) -> str | None:
        """Validate, train and set every fitted attribute, or none; gives a warning's text."""
        self._validate_params()
        if self.early_stopping and start in ("first", "on"):
            raise ValueError("early_stopping=True works with fit only; set it to False.")
        metadata = {} if sample_weight is None else {"sample_weight": sample_weight}
        wanted = bool(getattr(self, "_skl_callbacks", ()))
        callbacks = Callbacks(self, X, y, metadata, self._most_calls(X) if wanted else None)
        with _all_or_nothing(self):
            problem = self._problem(X, y, start, sample_weight, **given)
            rng = check_random_state(self.random_state)
            if start in ("fresh", "warm"):
                message = self._train(problem, callbacks, rng)
                self._stream = self._stream_of((), problem.weights.sum(), problem)
            else:
                message = self._follow(problem, callbacks, rng)
        callbacks.end()
        return message

    def _most_calls(self, X: Any) -> int:
        """Of callbacks, in all starts together."""
        N, n = _num_samples(X), self.n_inducing
        n = (None if N <= _AUTO_EXACT else _AUTO_INDUCING) if n == "auto" else n
        every = _SCORE_EVERY if self.early_stopping else _CALL_EVERY
        return -(-self._most_steps(N, self._batch_rows(N, n)) // every) * (
            1 + self.n_restarts_optimizer
        )

    def _most_steps(self, n_rows: int, batch: int) -> int:
        """``max_iter`` passes over the rows, in steps of so many of them."""
        return min(self.max_iter * -(-n_rows // batch), _INT32)

    def _follow(self, problem: Problem, callbacks: Callbacks, rng: Any) -> str | None:
        """``partial_fit``; the way is that of :mod:`skgpng.streaming`."""
        new: tuple = problem[:4]
        if problem.start == "on" and not self._stream.rows:
            return self._go_on(problem, callbacks, rng)
        if problem.start == "on":
            new = tuple(np.concatenate(p) for p in zip(self._stream.rows, new, strict=True))
        X, Y, weights, noise = new
        n = weights.sum()
        problem = problem._replace(X=X, Y=Y, weights=weights, row_noise=noise)
        n_points = self._n_points(problem)
        assert n_points is not None  # without inducing points there is no partial_fit
        full = len(X) > streaming.capacity(n_points)
        moves = problem.start == "first" or full or self._stream.has_grown(n)
        message = self._train(problem, callbacks, rng, moves=moves)
        rows = () if full else new
        if moves:
            self._stream = self._stream_of(rows, n, problem)
        else:
            self._stream = self._stream._replace(rows=rows, n_seen=n)
        return message

    def _go_on(self, problem: Problem, callbacks: Callbacks, rng: Any) -> str | None:
        """Learn new rows beside what is remembered."""
        stream, n = self._stream, self._stream.n_seen + problem.weights.sum()
        moves = not stream.reaches(self._unexplained(problem))
        message = self._train(problem, callbacks, rng, moves=moves, memory=self._remembered())
        self._stream = self._stream_of((), n, problem) if moves else stream._replace(n_seen=n)
        return message

    def _stream_of(self, rows: tuple, n_seen: float, problem: Problem) -> streaming.Stream:
        # an exact model reaches its own rows only: the next ones need inducing points
        open_ = 0.0 if self.inducing_points_ is None else self._unexplained(problem)
        return streaming.Stream(rows, n_seen, problem.weights.sum(), open_)

    def _unexplained(self, problem: Problem) -> float:
        kernel, values = self._kernel_structure, self._kernel_values
        return streaming.unexplained_share(
            kernel, values, self._posterior, problem.X, problem.weights
        )

    def _all_rows(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        """Rows and their weights; the points there are stand for rows that are not kept."""
        if problem.start != "on" or self._stream.rows:
            return problem.X, problem.weights
        points = self._posterior.points
        share = np.full(len(points), self._stream.n_seen / len(points))
        return np.vstack([points, problem.X]), np.concatenate([share, problem.weights])

    def _train(
        self,
        problem: Problem,
        callbacks: Callbacks,
        rng: Any,
        moves: bool = True,
        memory: structures.Memory | None = None,
    ) -> str | None:
        """Set all attributes but the stream; ``moves``: the hyperparameters, too."""
        self._check_kernel(problem)
        self._check_memory(problem)
        problem, held_out = self._hold_out(problem, rng)
        problem = self._look(problem)
        Z = self._start_inducing(problem, rng, moves)
        plan = self._plan(problem, held_out, Z, rng, moves, memory)
        best = self._best_run(plan, self._starts(problem, Z, rng), callbacks)
        if not np.isfinite(best.score) and len(best.result.elbo_curve) <= 1:
            raise np.linalg.LinAlgError(
                "The objective is not finite at the initial hyperparameters: the kernel matrix "
                f"cannot be factorised. {self._advice(plan)}, or start from another kernel (now "
                f"{problem.kernel})."
            )
        learned = self._attributes(plan, best.result)
        if not all(np.isfinite(array).all() for array in learned["_posterior"]):
            raise np.linalg.LinAlgError(
                "The kernel matrix cannot be factorised with the hyperparameters learned: rows of "
                f"X are equal but for rounding beside the others. {self._advice(plan)}."
            )
        for name, value in learned.items():
            setattr(self, name, value)
        self.elbo_, self.validation_scores_ = best.elbo, best.validation_scores
        return self._message(plan, best.result) or self._concern(plan, best.result)

    @abc.abstractmethod
    def _as_regression(self, problem: Problem) -> tuple[_starts.Rows, float, Any]:
        """Rows as a regression, the noise variance to begin with, and its bounds if it moves."""

    def _look(self, problem: Problem) -> Problem:
        """Begin with the best of a handful of starts, see :mod:`skgpng._starts`."""
        if problem.start not in ("fresh", "first") or self.optimizer is None:
            return problem
        rows, noise, bounds = self._as_regression(problem)
        # the evidence of some rows says little of the noise that inducing points leave
        bounds = bounds if self._n_points(problem) is None else None
        given = _starts.Start(problem.parsed.values, noise)
        start = _starts.best_start(problem.parsed, given, rows, bounds, problem.conjugate)
        problem = problem._replace(parsed=problem.parsed.with_values(start.values))
        if start.noise == noise:
            return problem
        return problem._replace(likelihood_values=(start.noise, *problem.likelihood_values[1:]))

    def _best_run(self, plan: Plan, starts: list[Hyperparameters], callbacks: Callbacks) -> _Run:
        """Train from each start; Ctrl-C and callbacks end it with the best so far."""
        best = None
        for theta in starts:
            try:
                run = self._run(plan, theta, callbacks)
            except KeyboardInterrupt:  # before the first steps from this start
                if best is None:
                    raise
                return best.interrupted()
            best = run if best is None or run.score > best.score else best
            if run.result.status == structures.INTERRUPTED:
                return best.interrupted()
            if run.result.status == structures.STOPPED:
                break
        assert best is not None
        return best

    def _hold_out(self, problem: Problem, rng: Any) -> tuple[Problem, Problem | None]:
        """Rows to train on and rows to stop by."""
        if not self.early_stopping:
            return problem, None
        stratify = None
        if is_classifier(self):
            stratify = problem.attributes["classes_"][problem.Y[:, 0].astype(int)]
        try:
            train, held_out = train_test_split(
                np.arange(len(problem.X)),
                test_size=self.validation_fraction,
                stratify=stratify,
                random_state=rng,
            )
        except ValueError as error:
            raise ValueError(
                f"early_stopping cannot hold out validation_fraction={self.validation_fraction} "
                f"of {len(problem.X)} rows: {error}"
            ) from error
        return problem.rows(np.sort(train)), problem.rows(np.sort(held_out))

    def _n_points(self, problem: Problem) -> int | None:
        """Inducing points that ``n_inducing`` asks for; None for one variable per row."""
        if self.n_inducing != "auto":
            return self.n_inducing
        few = len(problem.X) <= _AUTO_EXACT and problem.start in ("fresh", "warm")
        return None if few else _AUTO_INDUCING

    def _start_inducing(
        self, problem: Problem, rng: np.random.RandomState, moves: bool
    ) -> np.ndarray | None:
        n = self._n_points(problem)
        if n is None:
            return None
        old = getattr(self, "inducing_points_", None) if problem.start in ("warm", "on") else None
        follows = problem.start == "on" and not self._stream.rows
        if old is not None and (
            not moves or (old.shape == (n, problem.X.shape[1]) and not follows)
        ):
            return old
        # repeated rows count once, so that a weight of 2 chooses what the row twice would choose
        X, weights = inducing.distinct_rows(*self._all_rows(problem))
        parsed = problem.parsed
        return inducing.select(
            self.inducing_init, X, n, rng, weights, parsed.structure, parsed.values
        )

    def _check_kernel(self, problem: Problem) -> None:
        n, N = self._n_points(problem), len(problem.X)
        if n is not None:
            kernels.check_inducing_points(problem.parsed, self.n_inducing, n, N)

    def _check_memory(self, problem: Problem) -> None:
        """Refuse what cannot fit: a few matrices are counted of the many that training takes."""
        n, N, name = self._n_points(problem), len(problem.X), type(self).__name__
        if n is None:  # exact regression: all targets share the matrices
            matrices = 3 * (1 if problem.conjugate else problem.n_latent)
            what = f"the {N:,} x {N:,} covariance matrices of {name}(n_inducing=None)"
            _memory.refuse_beyond(8.0 * matrices * N**2, what, "Use n_inducing='auto' or a number.")
            return
        M = min(n, N)
        rows = min(N, self._chunk_rows(problem, M))
        what = f"the {M:,} x {M:,} covariance matrices of {name}(n_inducing={self.n_inducing})"
        need = 8.0 * M * (4 * problem.n_latent * M + 2 * rows)
        _memory.refuse_beyond(need, what, "Use a smaller n_inducing.")

    def _batch_rows(self, N: int, n_points: int | None) -> int:
        """Rows of one step, of N."""
        batch = self.batch_size
        if n_points is None:
            if batch not in (None, "auto") and batch < N:
                raise ValueError(
                    f"batch_size={batch} needs inducing points: with one variational variable per "
                    "row (n_inducing=None) every step uses all rows. Set n_inducing to a number."
                )
            return N
        if self.optimizer == "lbfgs":
            if batch not in (None, "auto") and batch < N:
                raise ValueError(
                    f"optimizer='lbfgs' needs all rows in every step, but batch_size={batch}. Set "
                    "batch_size=None, or optimizer='adam'."
                )
            return N
        if batch == "auto":
            batch = N if N * n_points <= _AUTO_FULL_BATCH else max(1024, 4 * n_points)
        return N if batch is None else min(batch, N)

    def _plan(
        self,
        problem: Problem,
        held_out: Problem | None,
        Z: np.ndarray | None,
        rng: Any,
        moves: bool,
        memory: structures.Memory | None,
    ) -> Plan:
        batch = self._batch_rows(len(problem.X), None if Z is None else len(Z))
        exact = problem.conjugate and batch == len(problem.X) and self.gamma in ("auto", 1)
        if memory is not None:  # the collapsed bound knows one precision for all targets
            exact = exact and len(memory.roots) == 1
        model = {True: "gpr", False: "vgp"} if Z is None else {True: "sgpr", False: "svgp"}
        n_points = None if Z is None else len(Z)
        chunk = self._chunk_rows(problem, n_points, once=model[exact] == "svgp")
        grows = batch < len(problem.X) and self.batch_size == "auto"
        grown = min(self._chunk_rows(problem, n_points), len(problem.X)) if grows else 0
        structure = Structure(
            model=model[exact],
            kernel=problem.parsed.structure,
            likelihood=problem.likelihood,
            train_likelihood=problem.train_likelihood,
            train_inducing=bool(self.train_inducing) and Z is not None,
            minibatch=batch < len(problem.X),
            n_latent=problem.n_latent,
            dtype=self._working_dtype(problem),
            memory=memory is not None,
            X_dtype="float64" if Z is None else problem.X.dtype.name,
            large=Z is not None and self._is_large(len(Z), max(batch, grown)),
            chunked=chunk < max(batch, grown),
        )
        # only then, so that the sizes of small sets never ask for a second compilation
        if Z is not None and not exact and structure.chunked and memory is None:
            structure = structure._replace(direct=self._is_direct(problem, Z, batch))
        if memory is not None and not exact and len(memory.roots) < problem.n_latent:
            memory = memory._replace(roots=np.repeat(memory.roots, problem.n_latent, 0))
        settings = self._settings(problem, structure, batch, rng, moves)
        settings = settings._replace(chunk_size=chunk, max_batch_size=grown)
        lost = lost_to_float32(problem.X)
        if Z is None:  # exact models are float64 throughout
            problem = problem._replace(X=problem.X.astype(np.float64, copy=False))
        spread = inducing.column_spread(*self._all_rows(problem))
        data = problem.data(spread, memory or ())
        prior = default_prior(problem, spread) if self.kernel is None else None
        return Plan(problem, held_out, structure, data, settings, prior, lost)

    def _is_large(self, n_points: int, n_rows: int) -> bool:
        """Whether BLAS pays for steps of so many rows, see ``Structure.large``."""
        many_rows = n_points >= _LARGE and n_rows >= _ROWS_A_POINT * n_points
        return self.dtype == "float64" and (many_rows or n_points >= _LARGE_ANYWAY)

    def _working_dtype(self, problem: Problem) -> str:
        """float64 where rounding rows to float32 would lose what a kernel makes of them."""
        X, stationary = problem.X, kernels.is_stationary(problem.parsed.structure)
        if self.dtype == "float64" or stationary or not inducing.is_far_from_zero(X):
            return self.dtype
        return "float64"

    def _is_direct(self, problem: Problem, Z: np.ndarray, n_rows: int) -> bool:
        """Whether :func:`skgpng.sparse.direct` is exact enough, and less work."""
        enough = n_rows >= _ROWS_DIRECT * problem.n_latent * len(Z)
        # rounding in the precision that all rows add to the prior's, which is 1, of rows whose
        # covariances are so many units of the jitter
        kernel, values = problem.parsed.structure, problem.parsed.values
        sizes = posterior.prior_variance(kernel, values, Z).max(1)
        units = posterior.jitter_units(kernel, values, Z)
        lost = np.finfo(np.float64).eps * problem.weights.sum() * max(1.0, *sizes * sizes / units)
        exact = problem.likelihood.bounded_precision and lost < _ROUNDING * self.jitter
        return self.dtype == "float64" and exact and enough

    def _chunk_rows(self, problem: Problem, n_points: int | None, once: bool = False) -> int:
        """Rows of a full batch that are taken at a time; ``once``: in a single pass."""
        if n_points is None:
            return max(64, _BLOCK // len(problem.X))
        return max(1024, (_BLOCK if once else _CHUNK) // (n_points * problem.n_latent))

    def _remembered(self) -> structures.Memory:
        prior = posterior.prior_variance(
            self._kernel_structure, self._kernel_values, self._posterior.points
        )
        return posterior.memory_of(self._posterior, prior)

    def _settings(
        self, problem: Problem, structure: Structure, batch: int, rng: Any, moves: bool
    ) -> training.Settings:
        gamma, rate = self.gamma, self.learning_rate
        if gamma == "auto":
            gamma = 0.1 if structure.minibatch else problem.gamma
        if rate == "auto":
            # where batches grow, 0.03 gives a better held-out log density (kdd99, flights200k)
            rate = (0.03 if self.batch_size == "auto" else 0.01) if structure.minibatch else 0.1
        exact = structure.model in ("gpr", "sgpr")
        moves = (
            moves
            and self.optimizer is not None
            and (structure.train_inducing or any(problem.parsed.free + structure.train_likelihood))
        )
        steps_per_epoch = -(-len(problem.X) // batch)
        grows = structure.minibatch and self.batch_size == "auto"
        # ten steps are enough to tell a plateau from the noise of batches that can grow
        patience = min(self.n_iter_no_change * (10 if grows else steps_per_epoch), _INT32)
        return training.Settings(
            gamma=gamma,
            gamma_ramp=1.0 if problem.conjugate else 5.0,
            warm_up=0 if exact else 5,
            learning_rate=rate if moves else 0.0,
            max_iter=self._most_steps(len(problem.X), batch),
            # where nothing moves, a second look at the same value ends training
            n_iter_no_change=patience if moves or not exact else 1,
            # with a variable for each row, smaller steps after a plateau gained 0.01 nats in all,
            # 0.08 at most (69 fits of 75 to 691 rows), for a fifth of the steps
            n_plateaus=3 if moves and structure.model != "vgp" else 1,
            tol=self.tol,
            batch_size=batch,
            jitter=self.jitter,
            seed=rng.randint(0, 2**30, 2),
        )

    def _starts(self, problem: Problem, Z: Any, rng: Any) -> list[Hyperparameters]:
        """Where training begins: the values given, then ``n_restarts_optimizer`` draws."""
        Z = () if Z is None else Z
        values, likelihood = problem.parsed.values, problem.likelihood_values
        goes_on = self.optimizer is None or problem.start in ("warm", "on")
        n_draws = 0 if goes_on else self.n_restarts_optimizer
        if n_draws and not all(_can_draw(b) for b in problem.bounds):
            raise ValueError(
                f"n_restarts_optimizer={n_draws} draws start values between the bounds of the "
                "hyperparameters, so all bounds must be positive and finite."
            )
        starts = [Hyperparameters(values, likelihood, Z)]
        for _ in range(n_draws):
            drawn = tuple(_log_uniform(b, rng) for b in problem.bounds)
            starts.append(Hyperparameters(drawn[: len(values)], drawn[len(values) :], Z))
        return starts

    def _start_q(self, plan: Plan, theta: Hyperparameters) -> tuple:
        """q where the last fit left it, else at the prior (or narrower)."""
        L, model, Z = plan.problem.n_latent, plan.structure.model, theta.inducing_points
        if model == "vgp":
            precision = _START_PRECISION * plan.problem.weights[:, None] * np.ones(L)
            return np.zeros_like(precision), precision
        if model == "gpr":
            return ()
        if model == "sgpr":  # the first step makes it exact
            return np.zeros((len(Z), L)), -0.5 * np.eye(len(Z))[None]
        p: Any = getattr(self, "_posterior", None)
        again = plan.problem.start in ("warm", "on") and len(p.precision_root)
        if again and np.array_equal(p.points, Z) and p.weights.shape[1] == L:
            q = posterior.natural_of(p)
            return q.nat1, np.tile(q.nat2, (L // len(q.nat2), 1, 1))
        widest = posterior.prior_variance(plan.structure.kernel, theta.kernel, Z).max(1)
        precision = np.maximum(1.0, _START_PRECISION * widest) * np.ones(L)
        return np.zeros((len(Z), L)), -0.5 * precision[:, None, None] * np.eye(len(Z))

    def _run(self, plan: Plan, theta: Hyperparameters, callbacks: Callbacks) -> _Run:
        """Train from one start."""
        stopping = [] if plan.held_out is None else [self._early_stopping(plan)]
        epoch = -(-len(plan.data.X) // plan.settings.batch_size)
        theta = self._coarse_start(plan, theta)
        start, steps = self._start_q(plan, theta), plan.settings.max_iter
        with progress_line(bool(self.verbose), steps, type(self).__name__) as line:
            result = training.train(
                plan.structure,
                theta,
                start,
                plan.problem.bounds,
                plan.data,
                plan.settings,
                [*line, *self._callback_monitor(plan, callbacks), *stopping],
                max(_SCORE_EVERY, epoch) if stopping else _CALL_EVERY,
                self._optimizer(plan),
                self._first(plan, theta),
                plan.prior,
            )
        if not stopping:
            elbo = _last_finite(result.elbo_curve)
            return _Run(training.objective(plan.prior, result.theta, elbo), result, None, elbo)
        (rule,) = stopping
        if not rule.scores:  # Ctrl-C came before the first look
            rule(result)
        assert rule.best is not None
        scores, elbo = np.array(rule.scores), _last_finite(rule.best.elbo_curve)
        # rows may be predicted from a start whose own ELBO is not finite
        score = scores.max() if np.isfinite(elbo) else -np.inf
        return _Run(score, rule.result(result), scores, elbo)

    def _part(self, plan: Plan, models: tuple[str, ...], n_points: int) -> Problem | None:
        """Rows to begin with, where that saves time to fits of these models on all rows."""
        structure, problem, n = plan.structure, plan.problem, len(plan.data.X) // _COARSE_SHARE
        least = max(_COARSE_FROM, 2 * n_points) if n_points else _COARSE_FROM_EXACT
        apt = structure.model in models and problem.start == "fresh" and not structure.minibatch
        if not apt or not plan.settings.learning_rate or n < least:
            return None
        if not n_points:  # rows are in order here, and exact models need no random numbers
            return problem.rows(np.arange(0, len(plan.data.X), _COARSE_SHARE))
        part = np.random.RandomState(plan.settings.seed[0]).permutation(len(plan.data.X))[:n]
        return problem.rows(np.sort(part))

    def _first(self, plan: Plan, theta: Hyperparameters) -> tuple[structures.Data, int] | None:
        """What the first steps of a variational model take in place of all rows."""
        rows = self._part(plan, ("svgp",), len(theta.inducing_points))
        if rows is None or self._optimizer(plan) != "adam" or self.max_iter < 2 * _COARSE_STEPS:
            return None
        share = plan.problem.weights.sum() / rows.weights.sum()
        rows = rows._replace(weights=share * rows.weights)
        return rows.data(plan.data.X_scale), _COARSE_STEPS

    def _coarse_start(self, plan: Plan, theta: Hyperparameters) -> Hyperparameters:
        """Hyperparameters after some steps on a part of the rows.

        With Adam at its beginning again, and rows that count once, all rows then do better than
        after the steps of :meth:`_first`, where q follows at once or has a variable for each row.
        """
        rows = self._part(plan, ("sgpr", "vgp"), len(theta.inducing_points))
        if rows is None:
            return theta
        result = training.train(
            plan.structure,
            theta,
            self._start_q(plan._replace(problem=rows), theta),
            rows.bounds,
            rows.data(plan.data.X_scale),
            plan.settings._replace(max_iter=min(_COARSE_STEPS, self.max_iter)),
            optimizer=self._optimizer(plan),
            prior=plan.prior,
        )
        if result.status == structures.INTERRUPTED:
            raise KeyboardInterrupt
        return theta if result.status == structures.NON_FINITE else result.theta

    def _optimizer(self, plan: Plan) -> str:
        """What moves the hyperparameters; Adam with a rate of zero holds them."""
        if not plan.settings.learning_rate:
            return "adam"
        # the evidence is cheap to follow to its optimum: a third of Adam's steps and further up
        auto = "lbfgs" if plan.structure.model == "gpr" else "adam"
        return auto if self.optimizer == "auto" else self.optimizer

    def _early_stopping(self, plan: Plan) -> EarlyStopping:
        return EarlyStopping(
            lambda result: _held_out_score(plan, result),
            self.n_iter_no_change,
            self.tol,
        )

    def _callback_monitor(self, plan: Plan, callbacks: Callbacks) -> list[Monitor]:
        if not callbacks.wanted:
            return []
        return [lambda result: callbacks.step(lambda: self._attributes(plan, result))]

    def _attributes(self, plan: Plan, result: Result) -> dict:
        """Everything a fitted estimator knows, from the result of its training."""
        problem, structure = plan.problem, plan.structure
        names, values = problem.parsed.names, result.theta.kernel
        if problem.parsed.noise_name is not None:
            names = (*names, problem.parsed.noise_name)
            values = (*values, self._noise_level(result.theta.likelihood))
        finite = result.elbo_curve[np.isfinite(result.elbo_curve)]
        report = result.report
        p = posterior.posterior(structure, result, plan.data, report.jitter)
        return {
            "_kernel_structure": structure.kernel,
            "_likelihood": structure.likelihood,
            "_kernel_values": result.theta.kernel,
            "_likelihood_values": result.theta.likelihood,
            "_posterior": p,
            "_spread": plan.data.X_scale,
            "kernel_": kernels.rebuild(problem.kernel, names, values),
            # the same array as in the posterior, so that a pickle holds it once
            "inducing_points_": None if structure.model in ("gpr", "vgp") else p.points,
            "elbo_curve_": finite,
            "elbo_": float(finite[-1]),
            "n_iter_": len(finite),
            "converged_": bool(result.status == structures.CONVERGED),
            "jitter_": float(report.jitter),
            "n_rejected_steps_": int(report.n_rejected),
            "n_corrected_steps_": int(report.n_corrected),
            **problem.attributes,
            **self._own_attributes(plan, result),
        }

    def _noise_level(self, values: tuple) -> Any:
        """What a ``WhiteKernel`` stands for, of the likelihood's values."""
        return values[0]

    def _remedy(self, plan: Plan) -> str:
        """What makes a matrix easier to factorise; jitter is for inducing points only."""
        if plan.structure.model in ("sgpr", "svgp"):
            return f"a larger jitter (now {self.jitter:g}), such as 1e-4"
        if plan.problem.conjugate:
            return "more noise (alpha, or the noise_level of a WhiteKernel)"
        return "smaller values of X"

    def _advice(self, plan: Plan) -> str:
        """The likely cause, where one is found in the data, and what else helps."""
        problem, noise = plan.problem, np.full(len(plan.problem.X), np.inf)
        if problem.conjugate:
            noise = problem.likelihood_bounds[0][0] + problem.row_noise
        cause = likely_cause(problem.X, problem.Y, noise, problem.weights, self.dtype)
        return f"{f'{cause} Otherwise use' if cause else 'Use'} {self._remedy(plan)}"

    def _message(self, plan: Plan, result: Result) -> str | None:
        """What to warn of, with the setting that helps."""
        if result.status == structures.MAX_ITER:
            return (
                f"Training stopped after {plan.settings.max_iter} steps, at "
                f"max_iter={self.max_iter}, before the ELBO settled. Raise max_iter, or raise tol "
                f"to stop earlier. {self._cause(plan, result)}".rstrip()
            )
        if result.status == structures.NON_FINITE:
            return (
                f"Training stopped after {self.n_iter_} steps: beyond them the objective was not "
                "finite, however short the steps; the last good state is kept. "
                f"{self._advice(plan)}, or lower learning_rate or gamma."
            )
        if result.status == structures.STALLED:
            return (
                f"L-BFGS stopped after {self.n_iter_} steps short of the optimum: rounding hides "
                f"the way up. {self._advice(plan)}, or set optimizer='adam'."
            )
        if result.status == structures.INTERRUPTED:
            return (
                f"Training was interrupted after {self.n_iter_} steps; what was learned so far is "
                "kept. warm_start=True goes on from here."
            )
        return None

    def _concern(self, plan: Plan, result: Result) -> str | None:
        """What to warn of where training ended as it should but its result may be of no use."""
        cause, ended = self._cause(plan, result), self._at_bounds(plan.problem, result)
        if cause:  # before the work below
            return cause
        rows = self._as_regression(plan.problem)[0]
        exact = plan.structure.model == "gpr"
        with np.errstate(all="ignore"):
            share = explained_share(
                plan.structure.kernel, result.theta.kernel, self._posterior, rows[:3], exact
            )
        if share.min() < (_EXPLAINS_NOTHING if exact else 2.0 * _EXPLAINS_NOTHING):
            nothing = self._nothing_explained(plan, result, share)
            return f"{nothing} Training ended with {ended}." if ended else nothing
        fallen = self._fallen(plan, result)
        if fallen:
            return (
                f"Training swung and ended {fallen:.3g} nats below an ELBO that it had reached. "
                "Lower learning_rate."
            )
        if not ended:
            return None
        return (
            f"Training ended with {ended}: beyond it the fit may be better. Widen the bounds (such "
            "as length_scale_bounds), scale X and y to suit them, or fix the value there."
        )

    def _cause(self, plan: Plan, result: Result) -> str:
        """A warning of what in the data or the settings makes any fit useless; "" for none."""
        lone = lone_row(plan.problem.X, plan.data.X_scale) if self.kernel is None else ""
        return (
            plan.lost
            or lone
            or self._unsuited(plan, result)
            or self._swamped(plan, result, self._as_regression(plan.problem)[0].Y)
        )

    @abc.abstractmethod
    def _nothing_explained(self, plan: Plan, result: Result, share: np.ndarray) -> str:
        """A warning of a fit that explains next to nothing of y."""

    def _unsuited(self, plan: Plan, result: Result) -> str:
        """A warning of y or of its noise that the likelihood does not suit."""
        return ""

    def _swamped(self, plan: Plan, result: Result, Y: np.ndarray) -> str:
        """A warning of jitter that hides the function."""
        p, structure = self._posterior, plan.structure
        if structure.model not in ("sgpr", "svgp"):
            return ""
        units = posterior.jitter_units(structure.kernel, result.theta.kernel, p.points)
        jitter = float(result.report.jitter * np.max(units))
        if jitter <= _SWAMPS * max(float(np.mean(Y**2)), np.finfo(float).tiny):
            return ""
        return (
            f"The jitter of the inducing points, {result.report.jitter:g} of a prior variance of "
            f"{np.max(units):.3g}, is not small beside y. Scale the columns of X (StandardScaler), "
            "multiply the kernel by a constant, or set a smaller jitter such as 1e-12."
        )

    def _advice_on_scales(self, plan: Plan) -> str:
        """What helps where length scales suit neither X nor y."""
        more = "" if self.n_restarts_optimizer >= 5 else ", or set n_restarts_optimizer=5"
        if plan.structure.model in ("sgpr", "svgp"):
            more += ", or take more inducing points (n_inducing)"
        return f"scale the columns of X (StandardScaler), begin with other length scales{more}"

    def _fallen(self, plan: Plan, result: Result) -> float:
        """Nats between the largest ELBO of all rows and the last one, where they are many."""
        curve = result.elbo_curve[np.isfinite(result.elbo_curve)][_COARSE_STEPS:]
        if plan.structure.minibatch or plan.held_out is not None or not len(curve):
            return 0.0
        fallen = float(curve.max() - curve[-1])
        return fallen if fallen > max(_MUCH * plan.problem.weights.sum(), _MUCH_IN_ALL) else 0.0

    def _at_bounds(self, problem: Problem, result: Result) -> str:
        """Hyperparameters of a kernel of the user's own that ended at a bound."""
        if self.kernel is None:
            return ""
        names, values = problem.parsed.names, result.theta.kernel
        bounds = problem.parsed.bounds
        if problem.parsed.noise_name is not None:
            names = (*names, problem.parsed.noise_name)
            values = (*values, np.asarray(self._noise_level(result.theta.likelihood)))
            low, high = (self._noise_level((np.asarray(b),)) for b in problem.likelihood_bounds[0])
            # noise that is next to nothing is as good as none
            low = low if low > 1e-3 * np.mean(problem.Y**2) else 0.0
            bounds = (*bounds, np.array([low, high]))
        return at_bounds(names, values, bounds)

    def _is_small(self, n_rows: int) -> bool:
        """Whether an exact model may be trained: then equal rows are merged.

        Training gives the same numbers for rows in another order, and for a weight of 2 and the
        row twice, to the last bit: L-BFGS and near-singular kernel matrices would blow up rounding.
        """
        return self.n_inducing is None or n_rows <= _AUTO_EXACT

    def _start_kernel(self, X: np.ndarray, weights: np.ndarray, start: str) -> Kernel:
        """The kernel given, or the fitted one that ``partial_fit`` goes on with."""
        if start == "on":
            return self.kernel_
        return default_kernel(X, weights) if self.kernel is None else self.kernel

    @property
    def _column_names(self) -> np.ndarray | None:
        """Names of the columns of X, where it was a data frame."""
        return getattr(self, "feature_names_in_", None)

    def _start_values(
        self, parsed: kernels.ParsedKernel, start: str, X: np.ndarray
    ) -> tuple[kernels.ParsedKernel, str]:
        """For a warm start the learned values, within the bounds given; else "fresh"."""
        kernels.check_columns(parsed, X)
        if start != "warm":
            return parsed, start
        learned = kernels.parse(self.kernel_, self._column_names)
        if X.shape[1] != self._posterior.points.shape[1] or _form(learned) != _form(parsed):
            return parsed, "fresh"
        # the bounds of a fixed value are that value
        values = [
            np.clip(v, *np.moveaxis(b, -1, 0))
            for v, b in zip(learned.values, parsed.bounds, strict=True)
        ]
        return parsed.with_values(tuple(values)), start

    # --- what was learned ----------------------------------------------------------------

    @property
    def feature_relevances_(self) -> np.ndarray:
        r"""How much each column of X moves the latent function, [n_features]; sums to one.

        From the length scales of ``kernel_``: column d has the relevance
        :math:`\sqrt{\sum_k (s_d / \ell_{kd})^2}`, its standard deviation :math:`s_d` over the
        training rows in units of its length scale, all stationary kernels k of a sum or product
        (and of all classes) taken together; then divided by the total. A kernel with one length
        scale for all columns tells them apart by their spread only: use one per column
        (``RBF(np.ones(n_features))``, or the default kernel).

        Raises
        ------
        AttributeError
            Before ``fit``, where ``kernel_`` has no length scale, and where a kernel of the user's
            own does not say which columns its length scales belong to (its method ``selects``).
        """
        if not hasattr(self, "kernel_"):
            raise AttributeError("feature_relevances_ is there after fit only.")
        try:
            parsed = kernels.parse(self.kernel_, self._column_names)
            scales = kernels.column_scales(parsed, len(self._spread))
        except ValueError as error:
            raise AttributeError(f"feature_relevances_: {error}") from error
        if not scales:
            raise AttributeError(
                f"feature_relevances_ needs length scales: {self.kernel_} has none."
            )
        relevance = np.sqrt(sum((self._spread / scale) ** 2 for scale in scales))
        return relevance / relevance.sum()

    def __getstate__(self) -> dict:
        """State for pickling: its version, and triangular matrices without their zeros."""
        state = super().__getstate__()
        if "_posterior" in state:
            state = {**state, "_posterior": posterior.pack(state["_posterior"])}
        return {**state, "_skgpng_state": _STATE, "_skgpng_version": __version__}

    def __setstate__(self, state: dict) -> None:
        """Undo :meth:`__getstate__`; ValueError for the state of another version's form."""
        form = state.get("_skgpng_state")
        version = state.get("_skgpng_version", "older than 0.1.0")
        if form != _STATE:
            raise ValueError(
                f"This {type(self).__name__} was pickled by skgpng {version} (state {form}); "
                f"skgpng {__version__} reads state {_STATE}. Unpickle it with that version and "
                "write it anew by skgpng.save, or fit again."
            )
        state = {k: v for k, v in state.items() if not k.startswith("_skgpng_")}
        if "_posterior" in state:
            state = {**state, "_posterior": posterior.unpack(state["_posterior"])}
        super().__setstate__(state)

    # --- predicting ----------------------------------------------------------------------

    def _validate_new(self, X: Any) -> np.ndarray:
        """Rows to predict at, float64 or float32; raises before ``fit`` and for other columns."""
        check_is_fitted(self)
        return check_range(validated(self, X, reset=False), self.dtype)

    def _latent_mean(self, X: np.ndarray) -> np.ndarray:
        """Mean [N, L] of the latent functions at validated rows."""
        f_mean = posterior.mean(self._kernel_structure, self._kernel_values, self._posterior, X)
        return _check_finite((f_mean,), X)[0]

    def _latent(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance [N, L] of the latent functions at validated rows."""
        return _check_finite(
            posterior.mean_and_variance(
                self._kernel_structure, self._kernel_values, self._posterior, X
            ),
            X,
        )

    def _latent_covariance(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean [N, L] and covariance [L, N, N] of the latent functions at validated rows."""
        _memory.refuse_beyond(
            16.0 * len(X) ** 2 * self._posterior.weights.shape[1],
            f"the covariances of {len(X):,} rows with each other",
            "Ask for fewer rows at a time, or for standard deviations (return_std=True).",
        )
        return _check_finite(
            posterior.mean_and_covariance(
                self._kernel_structure, self._kernel_values, self._posterior, X
            ),
            X,
        )


class _Run(NamedTuple):
    """Training from one start: final objective or best held-out score, and the result.

    ``elbo`` is that of the state kept, which with early stopping need not be the last one.
    """

    score: float
    result: Result
    validation_scores: np.ndarray | None
    elbo: float

    def interrupted(self) -> _Run:
        return self._replace(result=self.result._replace(status=np.int32(structures.INTERRUPTED)))


def _last_finite(curve: np.ndarray) -> float:
    finite = curve[np.isfinite(curve)]
    return float(finite[-1]) if len(finite) else -np.inf


def _warn(message: str | None) -> None:
    if message is not None:
        warnings.warn(message, ConvergenceWarning, stacklevel=4)


@contextlib.contextmanager
def _all_or_nothing(estimator: Any) -> Iterator[None]:
    """Leave the estimator as it was where an exception passes through."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def _can_draw(bounds: np.ndarray) -> bool:
    """Whether :func:`_log_uniform` can: the logarithms of bounds [..., 2] are finite, or equal."""
    low, high = np.moveaxis(bounds, -1, 0)
    return bool(np.all(np.isfinite(bounds)) and np.all((low > 0) | (low == high)))


def _log_uniform(bounds: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Values drawn between the bounds [..., 2], uniform in their logarithm."""
    low, high = np.moveaxis(bounds, -1, 0)
    fixed = low == high  # also where a value is fixed at zero
    low, high = np.where(fixed, 1.0, low), np.where(fixed, 1.0, high)
    return np.where(fixed, bounds[..., 0], np.exp(rng.uniform(np.log(low), np.log(high))))


def _form(parsed: kernels.ParsedKernel) -> tuple:
    """What two kernels have in common that differ in numbers only."""
    return parsed.structure, parsed.names, [np.shape(v) for v in parsed.values]


def _held_out_score(plan: Plan, result: Result) -> float:
    """Mean log predictive density of the held-out rows, in nats per unit of the scaled y."""
    held_out, structure, theta = plan.held_out, plan.structure, result.theta
    assert held_out is not None
    p = posterior.posterior(structure, result, plan.data, result.report.jitter)
    f_mean, f_var = posterior.mean_and_variance(structure.kernel, theta.kernel, p, held_out.X)
    values = structure.likelihood.with_row_noise(theta.likelihood, held_out.row_noise)
    density = structure.likelihood.predict_log_density(values, f_mean, f_var, held_out.Y)
    return float(np.average(np.sum(density, 1), weights=held_out.weights))


def validated(estimator: Any, X: Any, *y: Any, **options: Any) -> Any:
    """scikit-learn's ``validate_data``; X becomes float64 where it is not one of the floats."""
    # sums of float32 numbers near their largest are infinity less infinity, which is no matter
    with np.errstate(over="ignore", invalid="ignore"):
        return validate_data(estimator, X, *y, dtype=FLOATS, **options)


def check_range(X: np.ndarray, dtype: str) -> np.ndarray:
    """X as it is; ValueError where its values are too large to compute with in ``dtype``."""
    largest = np.maximum(X.max(0), -X.min(0)).astype(np.float64)
    if not np.all(largest <= _LARGEST[dtype]):
        column = int(largest.argmax())
        raise ValueError(
            f"X has values up to {largest[column]:.3g} (column {column}): squares of distances "
            f"overflow beyond {_LARGEST[dtype]:g}. Divide the column by its standard deviation."
        )
    return X


def _check_finite(moments: tuple[np.ndarray, ...], X: np.ndarray) -> tuple:
    """Mean [N, L], or with variance [N, L] or covariance; ValueError where they are not finite."""
    if all(np.isfinite(m).all() for m in moments):
        return moments
    row = int(np.argmin(np.isfinite(moments[0]).all(1)))
    raise ValueError(
        f"The prediction for row {row} of X is not finite: its values, up to "
        f"{np.abs(X[row]).max():.3g}, are too large beside the length scales of kernel_, or for a "
        "kernel that grows with X. Predict rows nearer to those of fit."
    )


def has_inducing_points(estimator: Any) -> bool:
    """Whether ``partial_fit`` is there; the error where it is not."""
    if estimator.n_inducing is None:
        raise AttributeError(
            "partial_fit needs inducing points: with n_inducing=None there is one variational "
            "variable per row. Set n_inducing to a number or 'auto'."
        )
    return True


def check_weights(sample_weight: Any, X: np.ndarray) -> np.ndarray:
    """Weights as an array [N], non-negative and not all zero."""
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    with np.errstate(over="ignore"):
        total = weights.sum()
    if not total > 0:
        raise ValueError("sample_weight must have at least one positive entry, got only zeros.")
    if not total <= _HEAVIEST:
        raise ValueError(
            f"sample_weight adds up to {total:.3g}, as of that many rows; at most {_HEAVIEST:g} "
            "can be told from rounding. Divide it by its mean."
        )
    return weights


def check_row_noise(noise_variance: Any, X: np.ndarray) -> np.ndarray:
    """Known noise variances as an array [N], non-negative; zeros for ``None``."""
    if noise_variance is None:
        return np.zeros(len(X))
    noise = np.asarray(noise_variance, dtype=np.float64)
    if noise.shape != (len(X),) or not np.all(np.isfinite(noise) & (noise >= 0)):
        raise ValueError(
            f"noise_variance must hold {len(X)} finite, non-negative numbers, one per row of X; "
            f"got shape {noise.shape}."
        )
    return noise
