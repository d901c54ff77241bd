"""What both estimators share: fitting, what was learned, and their state."""

from __future__ import annotations

import abc
import contextlib
import warnings
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import CompoundKernel, ConstantKernel, Kernel, Matern
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _num_samples

from .. import inducing, kernels
from .._inference import Memory
from .._inference.neighbour_posterior import NeighbourPosterior
from .._inference.posterior import Posterior
from .._runtime import at_home, outside_graphs, places
from .._training.result import CONVERGED, Result
from .._training.vector import objective
from ..likelihoods import Likelihood, Units
from . import fitting, messages, record
from .elsewhere import RowsElsewhere, Sample, encoder_of, of_sample, refuse_without_rows
from .fitted import FittedGaussianProcess
from .from_disk import at_hand, far_rows, reader_of
from .monitor import Callbacks, CallbackSupportMixin, say, with_callbacks
from .placing import refuse_beyond_memory
from .plan import (
    Options,
    Plan,
    make_plan,
    most_calls,
    n_points,
    refuse_own_optimizer,
    stream_capacity,
    suit_neighbours,
    uses_neighbours,
)
from .predictor import Predictor
from .priors import check_priors, with_priors
from .problem import Problem, Rows
from .sources import refuse_source
from .stream import Stream, unexplained_share
from .targets import begun
from .trends import mean_function
from .tuning import TUNING, Tuning
from .validation import check_total, of_weight

__all__ = ["BaseGaussianProcess", "default_kernel"]

_INT32 = 2**31 - 1


def default_kernel(X: np.ndarray, weights: np.ndarray) -> Kernel:
    """A scaled Matern-5/2 with one length scale per column, set from the data.

    The length scales start at sqrt(D) standard deviations of their column, so that two rows are
    about one unit apart however many columns there are.
    """
    scale = inducing.column_spread(X, weights) * np.sqrt(X.shape[1])
    bounds = np.stack([1e-3 * scale, 1e4 * scale], 1)
    return ConstantKernel(1.0, (1e-4, 1e4)) * Matern(scale, bounds, nu=2.5)


class BaseGaussianProcess(CallbackSupportMixin, FittedGaussianProcess):
    """Training of both estimators."""

    _parameter_constraints: ClassVar[dict] = {
        "kernel": [None, Kernel],
        "n_inducing": [None, Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "inducing_init": [StrOptions({"kmeans", "greedy_variance", "random"})],
        "train_inducing": ["boolean"],
        "optimizer": [None, StrOptions({"auto", "adam", "lbfgs", "fmin_l_bfgs_b"}), callable],
        "copy_X_train": ["boolean"],
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
        "device": [None, str],
        "dtype": [StrOptions({"auto", "float64", "float32"})],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
        "priors": [None, dict],
    }
    # What is measured; tests set other values.
    _tuning: ClassVar[Tuning] = TUNING

    # --- fitting -------------------------------------------------------------------------

    @property
    @abc.abstractmethod
    def _conjugate(self) -> bool:
        """Whether the noise is Gaussian."""

    @abc.abstractmethod
    def _problem(self, X: Any, y: Any, start: str, sample_weight: Any, given: dict) -> Problem:
        """Validate the arguments of ``fit`` or ``partial_fit``."""

    @abc.abstractmethod
    def _own_attributes(self, plan: Plan, result: Result) -> dict:
        """Fitted attributes that only this estimator has."""

    def _check_settings(self) -> None:
        """ValueError or TypeError for what cannot be, before any row is looked at."""
        self._validate_params()
        check_priors(self.priors)
        if self.device is not None:
            places(self.device)

    def _fit(self, X: Any, y: Any, sample_weight: Any, **given: Any) -> Any:
        self._check_settings()
        reader = reader_of(self, X, y, sample_weight)
        if reader is not None:
            rows = at_hand(reader, self._tuning.sample_bytes)
            if rows is None:
                return self._fit_elsewhere(far_rows(self, reader, given))
            X, y, sample_weight = reader.named(rows.X), rows.y, rows.weights
        return self._learn(X, y, self._first_or_warm, sample_weight, given)

    def _fit_elsewhere(self, far: RowsElsewhere) -> Any:
        """``fit`` on rows that are not at hand, which begins with a sample of them."""
        self._check_settings()
        rng = check_random_state(self.random_state)
        try:
            sample = far.sample(self._tuning.sample_bytes, rng)
            check_total(sample.total_weight)
            others = None if sample.is_all and not far.by_number else (far, sample)
            start, weights = self._first_or_warm, sample.sample_weight
            return self._learn(sample.X, sample.y, start, weights, {}, others)
        finally:
            far.end()

    @property
    def _first_or_warm(self) -> str:
        return "warm" if self.warm_start and hasattr(self, "_predictor") else "fresh"

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, **given: Any) -> Any:
        self._check_settings()
        refuse_source(X)
        start = "on" if hasattr(self, "_predictor") else "first"
        return self._learn(X, y, start, sample_weight, given)

    def _learn(
        self, X: Any, y: Any, start: str, sample_weight: Any, given: dict, elsewhere: Any = None
    ) -> Any:
        message = self._set_attributes(X, y, start, sample_weight, given, elsewhere)
        if message:
            warnings.warn(message, ConvergenceWarning, stacklevel=4)
        return self

    @outside_graphs
    @with_callbacks
    def _set_attributes(
        self, X: Any, y: Any, start: str, sample_weight: Any, given: dict, elsewhere: Any
    ) -> str:
        """Train and set every fitted attribute, or none; gives a warning's text."""
        if self.early_stopping and start in ("first", "on"):
            raise ValueError("early_stopping=True works with fit only; set it to False.")
        n_all = _num_samples(X) if elsewhere is None else elsewhere[1].n_rows
        callbacks = self._callbacks(X, y, sample_weight, n_all)
        with _all_or_nothing(self):
            with of_sample(elsewhere and elsewhere[1]):
                problem = self._problem(X, y, start, sample_weight, given)
            n_rows = record.count_rows(_num_samples(X), sample_weight)
            n_before = self._record["rows"] if start == "on" else 0
            problem = problem._replace(n_rows=n_before + n_rows)
            if elsewhere is not None:
                problem = self._with_others(problem, *elsewhere)
            rng = check_random_state(self.random_state)
            if start in ("fresh", "warm"):
                message = self._train(problem, callbacks, rng)
                kept = problem.rows if self._keeps_rows else None
                self._stream = self._stream_of(kept, problem.total_weight, problem)
            else:
                message = self._follow(problem, callbacks, rng)
        callbacks.end()
        return message

    def _with_others(self, problem: Problem, far: RowsElsewhere, sample: Sample) -> Problem:
        """To be learned from all rows, where the model adds up rows; else from the sample."""
        all_rows = problem._replace(n_rows=sample.n_rows, elsewhere=far)
        near, M = self._reach(all_rows)
        if near or (M is None and sample.is_all):
            sampled = 0 if sample.is_all else len(sample.y)
            return all_rows._replace(elsewhere=None, sampled=sampled)
        refuse_without_rows(Options.of(self), M, self.early_stopping, sample, problem)
        classes = self.classes_ if problem.likelihood.support == "labels" else None
        far.begin(encoder_of(problem, self.dtype, classes))
        return all_rows

    def _callbacks(self, X: Any, y: Any, sample_weight: Any, N: int) -> Callbacks:
        metadata = {} if sample_weight is None else {"sample_weight": sample_weight}
        tuning, n_calls = self._tuning, None
        if getattr(self, "_skl_callbacks", ()):
            every = tuning.score_every if self.early_stopping else tuning.call_every
            options = Options.of(self)
            n_calls = most_calls(options, self._conjugate, N, every, tuning)
        return Callbacks(self, X, y, metadata, n_calls)

    @at_home()
    def _train(
        self,
        problem: Problem,
        callbacks: Callbacks,
        rng: Any,
        moves: bool = True,
        memory: Memory | None = None,
    ) -> str:
        """Set all attributes but the stream; ``moves``: the hyperparameters, too."""
        options, tuning, name = Options.of(self), self._tuning, type(self).__name__
        near, M = self._reach(problem)
        refuse_own_optimizer(options, near, M)
        if M is not None:
            kernels.check_inducing_points(problem.parsed, self.n_inducing, M, len(problem.rows.X))
        there = places(self.device)
        if not near:
            refuse_beyond_memory(name, self.n_inducing, problem, M, there[-1].n_bytes)
        held_out = None
        if self.early_stopping:
            by_label = problem.likelihood.support == "labels"
            rows, held_out = fitting.hold_out(problem.rows, self.validation_fraction, by_label, rng)
            problem = problem._replace(rows=rows)
            near, M = self._reach(problem)
        # an optimiser of the user's own begins at the kernel that is given
        led = self.optimizer is None or callable(self.optimizer)
        first = problem.start in ("fresh", "first") and not led
        # rows far apart say little of neighbours, and the default kernel begins near enough
        if first and not (near and self.kernel is None):
            problem = fitting.look(problem, M is not None)
        points = None if M is None else self._points(problem, M, rng, moves)
        spread = inducing.column_spread(*self._all_rows(problem))
        seed = rng.randint(0, 2**30, 2)
        plan = make_plan(
            options, problem, held_out, points, near, spread, seed, moves, memory, tuning, there
        )
        begin = fitting.start_parameters(plan, rng)
        monitors = self._callback_monitor(plan, callbacks)
        shown = name if self.verbose else ""
        say(shown if self.verbose > 1 else "", record.announced(plan))
        best = fitting.best_run(plan, begin, self._last(problem), monitors, tuning, shown)
        return self._take(plan, best)

    def _take(self, plan: Plan, best: fitting.Run) -> str:
        """Set what was learned; LinAlgError where nothing was."""
        if not np.isfinite(best.score) and len(best.result.elbo_curve) <= 1:
            raise np.linalg.LinAlgError(messages.no_start(plan))
        p = plan.posterior(best.result)
        if not p.is_finite:
            raise np.linalg.LinAlgError(messages.not_factorised(plan))
        if self.verbose and plan.structure.model.inference.gathers:
            say(type(self).__name__, "choosing neighbours and scale by rows left out")
        p = p.calibrated()
        for name, value in self._attributes(plan, best.result, p).items():
            setattr(self, name, value)
        self.elbo_, self.validation_scores_ = best.elbo, best.validation_scores
        self.log_posterior_ = objective(plan.parameters, best.result.theta, best.elbo)
        message = messages.warning(plan, best.result, p)
        self._record = {**self._record, "warning": message}
        return message

    def _last(self, problem: Problem) -> Any:
        """Posterior that q may go on from, or None."""
        return self._predictor.posterior if problem.start in ("warm", "on") else None

    def _callback_monitor(self, plan: Plan, callbacks: Callbacks) -> list:
        if not callbacks.wanted:
            return []
        return [
            lambda result: callbacks.step(
                lambda: self._attributes(plan, result, plan.posterior(result))
            )
        ]

    def _reach(self, problem: Problem) -> tuple[bool, int | None]:
        """Whether rows reach their neighbours only; else inducing points, None for all rows."""
        options, N = Options.of(self), problem.n_all
        whole = problem.start in ("fresh", "warm")
        goes_on = whole or (problem.start == "on" and self._keeps_rows)
        near = uses_neighbours(options, problem.likelihood.conjugate, N, goes_on, self._tuning)
        if near and (options.n_neighbors != "auto" or suit_neighbours(problem)):
            if isinstance(problem.kernel, CompoundKernel):
                raise ValueError(
                    f"n_neighbors={self.n_neighbors} needs one kernel for all targets, not a "
                    "CompoundKernel: what is near is the same for all. Leave n_neighbors='auto'."
                )
            if problem.start == "on" and self._stream.rows is None:
                raise ValueError(
                    f"n_neighbors={self.n_neighbors} needs all rows, but those of the calls before "
                    "are not kept. Use fit, with all rows."
                )
            return True, None
        return False, n_points(options, N, whole, self._tuning)

    @property
    def _keeps_rows(self) -> bool:
        """Whether predictions of the last fit are from rows near by."""
        return isinstance(self._predictor.posterior, NeighbourPosterior)

    def _points(self, problem: Problem, M: int, rng: Any, moves: bool) -> np.ndarray:
        """Inducing points to begin with: the last ones, or new ones among all rows."""
        goes_on = problem.start in ("warm", "on")
        old = getattr(self, "inducing_points_", None) if goes_on else None
        follows = problem.start == "on" and self._stream.rows is None
        if old is not None and (
            not moves or (old.shape == (M, problem.rows.X.shape[1]) and not follows)
        ):
            return old
        # repeated rows count once, so that a weight of 2 chooses what the row twice would choose
        X, weights = inducing.distinct_rows(*self._all_rows(problem))
        kernel, values = problem.parsed.structure, problem.parsed.values
        return inducing.select(self.inducing_init, X, M, rng, weights, kernel, values)

    def _all_rows(self, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        """Rows and their weights; the points there are stand for rows that are not kept."""
        X, weights = problem.rows.X, problem.rows.weights
        if problem.start != "on" or self._stream.rows is not None:
            return X, weights
        points = self._predictor.posterior.points
        share = np.full(len(points), self._stream.n_seen / len(points))
        return np.vstack([points, X]), np.concatenate([share, weights])

    # --- partial_fit, see skgpng._estimator.stream ---------------------------------------

    def _follow(self, problem: Problem, callbacks: Callbacks, rng: Any) -> str:
        """Learn rows that come in parts."""
        rows = problem.rows
        if problem.start == "on":
            if self._stream.rows is None:
                return self._go_on(problem, callbacks, rng)
            rows = self._stream.rows.and_then(rows)
        problem, n = problem._replace(rows=rows), rows.weights.sum()
        near, M = self._reach(problem)
        if near:
            problem = problem._replace(rows=rows.merged())
        full = not near and len(rows.X) > stream_capacity(M or 1, self._tuning)
        moves = problem.start == "first" or full or self._stream.has_grown(n)
        message = self._train(problem, callbacks, rng, moves=moves)
        kept = None if full else problem.rows
        if moves:
            self._stream = self._stream_of(kept, n, problem)
        else:
            self._stream = self._stream._replace(rows=kept, n_seen=n)
        return message

    def _go_on(self, problem: Problem, callbacks: Callbacks, rng: Any) -> str:
        """Learn new rows beside what is remembered."""
        stream, n = self._stream, self._stream.n_seen + problem.rows.weights.sum()
        moves = not stream.reaches(self._unexplained(problem))
        memory = self._predictor.posterior.memory()
        message = self._train(problem, callbacks, rng, moves=moves, memory=memory)
        self._stream = self._stream_of(None, n, problem) if moves else stream._replace(n_seen=n)
        return message

    def _stream_of(self, rows: Rows | None, n_seen: float, problem: Problem) -> Stream:
        # an exact model reaches its own rows only: the next ones need inducing points
        open_share = 0.0 if self.inducing_points_ is None else self._unexplained(problem)
        return Stream(rows, n_seen, problem.rows.weights.sum(), open_share)

    def _unexplained(self, problem: Problem) -> float:
        return unexplained_share(self._predictor.posterior, problem.rows)

    def _before(self, likelihood: Likelihood, start: str) -> Predictor | None:
        """What was learned before with this likelihood, and may be gone on with."""
        old = self._predictor if start in ("warm", "on") else None
        if old is None or _told(old.likelihood) == _told(likelihood):
            same = old and old.posterior.mean_function == mean_function(self.mean, likelihood)
            return old if same or start == "on" else None
        if start == "on":
            raise ValueError(
                f"likelihood changed from {old.likelihood} to {likelihood} since the last call: "
                "what was learned does not go on with it. Use fit to begin anew, or set it back."
            )
        return None

    def _begun(
        self,
        likelihood: Likelihood,
        observation: tuple,
        rows: Rows,
        spread: float,
        parsed: kernels.ParsedKernel,
        old: Predictor | None,
        start: str,
    ) -> tuple:
        """Mean of f; parameters of kernel, likelihood and mean to begin with, with their priors."""
        on = start == "on"
        asked = mean_function(self.mean, likelihood)
        of_f = self._predictor.posterior.mean_function if on else asked
        before = None if start == "fresh" else old  # a kernel of another form begins anew
        learned = begun(likelihood, of_f, observation, rows, spread, before, on)
        begins = start in ("fresh", "first") and self.optimizer is not None
        return of_f, *with_priors(self.priors, parsed, likelihood, *learned, begins)

    # --- kernels -------------------------------------------------------------------------

    def _start_kernel(self, X: np.ndarray, weights: np.ndarray, start: str) -> Kernel:
        """The kernel given, or the fitted one that ``partial_fit`` goes on with."""
        if start == "on":
            return self.kernel_
        if self.kernel is None:
            return default_kernel(X, weights)
        return kernels.completed(self.kernel, X, weights, self._column_names)

    def _check_kernel(self, X: np.ndarray, keep: np.ndarray, start: str) -> None:
        """ValueError where the kernel given does not fit X: rows still stand where they stood."""
        kernel, names = self.kernel_ if start == "on" else self.kernel, self._column_names
        if kernel is not None:
            kernel = kernels.completed(kernel, X[keep], names=names)
            fitting.check_restarts(kernel, self.n_restarts_optimizer)
            parsed = kernels.parse(kernel, names)
            kernels.check_columns(parsed, of_weight(X, keep), try_out=False)

    def _start_values(
        self, parsed: kernels.ParsedKernel, start: str, X: np.ndarray
    ) -> tuple[kernels.ParsedKernel, str]:
        """For a warm start the learned values, within the bounds given; else "fresh"."""
        kernels.check_columns(parsed, X)
        if start != "warm":
            return parsed, start
        learned = kernels.parse(self.kernel_, self._column_names)
        points = self._predictor.posterior.points
        if X.shape[1] != points.shape[1] or _form(learned) != _form(parsed):
            return parsed, "fresh"
        # the bounds of a fixed value are that value
        values = [
            np.clip(v, *np.moveaxis(b, -1, 0))
            for v, b in zip(learned.values, parsed.bounds, strict=True)
        ]
        return parsed.with_values(tuple(values)), start

    # --- what was learned ----------------------------------------------------------------

    def _attributes(self, plan: Plan, result: Result, p: Posterior) -> dict:
        """Everything a fitted estimator knows, from the result of its training."""
        problem, theta, report = plan.problem, result.theta, result.report
        names, values = problem.parsed.names, theta.kernel
        if problem.parsed.noise_name is not None:
            level = problem.likelihood.noise_level(theta.likelihood)
            names, values = (*names, problem.parsed.noise_name), (*values, level)
        finite = result.elbo_curve[np.isfinite(result.elbo_curve)]
        return {
            "_predictor": Predictor(
                p,
                problem.likelihood,
                theta.likelihood,
                problem.units,
                problem.fixed_noise,
                problem.trend,
            ),
            "mean_": self._mean_of(problem, theta.mean),
            "_spread": plan.data.X_scale,
            "_exact_data": plan.data_kept,
            "_record": record.of_fit(plan, getattr(self, "_record", None)),
            "kernel_": kernels.rebuild(problem.kernel, names, values),
            # the same array as in the posterior, so that a pickle holds it once
            "inducing_points_": p.points if plan.has_points else None,
            "elbo_curve_": finite,
            "elbo_": float(finite[-1]),
            "log_posterior_": objective(plan.parameters, theta, float(finite[-1])),
            "n_iter_": len(finite),
            "converged_": bool(result.status == CONVERGED),
            "jitter_": float(report.jitter),
            "n_rejected_steps_": int(report.n_rejected),
            "n_corrected_steps_": int(report.n_corrected),
            **self._own_attributes(plan, result),
        }

    def _mean_of(self, problem: Problem, values: tuple) -> Any:
        """The fitted regressor, or what was learned of another mean."""
        if problem.trend is not None:
            return problem.trend
        units, likelihood = problem.units, problem.likelihood
        if likelihood.mixes or problem.n_latent != len(units.scale):  # f has no unit of y
            units = Units(np.zeros(1), np.ones(1))
        learned = problem.mean_function.learned(values, *units)
        return {name: v[..., 0] if v.shape[-1] == 1 else v for name, v in learned.items()}


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


def _form(parsed: kernels.ParsedKernel) -> tuple:
    """What two kernels have in common that differ in numbers only."""
    return parsed.structure, parsed.names, [np.shape(v) for v in parsed.values]


def _told(likelihood: Likelihood) -> tuple:
    """All that is said of it: likelihoods of one code are equal, whatever their numbers."""
    return likelihood, likelihood.get_params()
