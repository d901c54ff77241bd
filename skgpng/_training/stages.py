"""Stages of a training: on which rows it begins, and how it goes on from there.

Steps on few rows cost as much less, and the first ones need no more: a fit begins on a part of its
rows, or on small batches that grow.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .._inference import Data, Structure
from .._inference.elsewhere import failure_of
from .._linalg import one_blas_thread
from .._runtime import keep_freed, map_leaves, on, returning_home, tf
from ..parameters import Hyperparameters, Parameters
from . import lbfgs, loop, vector
from .loop import Settings
from .result import CONVERGED, INTERRUPTED, LOST, MAX_ITER, NON_FINITE, STOPPED, Result

__all__ = [
    "Gathering",
    "Part",
    "Stage",
    "at_best_q",
    "gathering_stages",
    "n_compiled",
    "plan_stages",
    "train",
]

# Where batches may grow, a plateau makes them larger before any cuts the learning rate: the same
# effect on the noise of the steps, and the next ones see more rows (Smith et al. 2018).
_GROWTH = 4
# Without a monitor, control comes back to Python about this often, so that Ctrl-C is heard.
_FIRST_SEGMENT, _SECONDS = 16, 0.2


class Part(NamedTuple):
    """The part of the rows on which a training begins."""

    steps: int
    share: int  # one row of so many
    least: int  # rows of it from which on it pays; at least two for each inducing point, too
    least_exact: int  # the same without inducing points


class Stage(NamedTuple):
    """Steps in a row on the same rows, or on batches of the same size.

    It ends at its last step (``settings.max_iter``, counted from where q began) or at its last
    plateau (``settings.n_plateaus``), which cuts no learning rate. Hyperparameters always go on
    from the stage before. Where ``others`` gives more rows, those at hand give way to them once
    batches have seen all of them.
    """

    data: Data | Callable[[Hyperparameters], Data]  # or what gathers it where the stage begins
    settings: Settings
    q: tuple | None = None  # to begin with, with Adam anew; without, both go on
    others: Callable[[], Data] | None = None


class Gathering(NamedTuple):
    """Blocks of near rows, gathered anew while hyperparameters move and with them what is near."""

    ends: tuple[int, ...]  # steps after which it is done
    rates: tuple[float, ...]  # before each of them and at last, in units of the learning rate
    n_blocks: int
    rows: int  # of a block
    left_out: int  # of these
    batch: int  # blocks of a step
    patience: int  # steps for each of n_iter_no_change
    beta_2: float = 0.99  # of Adam


# --- the plan --------------------------------------------------------------------------------


def plan_stages(
    structure: Structure,
    data: Data,
    q: tuple,
    settings: Settings,
    *,
    largest_batch: int = 0,
    optimizer: str = "adam",
    whole: bool = False,
    part: Part,
) -> list[Stage]:
    """The stages of a training on these rows, from q on; pure.

    ``settings`` are those of the last stage, but for batches, which grow up to ``largest_batch``.
    The first steps take a ``part`` of the rows, or all (``whole``), as where a training goes on.
    """
    if structure.how.minibatch:
        return _growing(data, q, settings, largest_batch)
    rows = None if whole else _first_rows(structure, data, q, settings, part)
    if rows is None:
        return [Stage(data, settings, q)]
    few, inference = data.each_row(lambda a: a[rows]), structure.model.inference
    if not inference.goes_on:
        # with Adam at its beginning again, and rows that count once, all rows then do better than
        # after steps in which q follows at once or has a variable for each row
        own = q if inference.has_points else tuple(a[rows] for a in q)
        first = settings._replace(max_iter=min(part.steps, settings.max_iter))
        return [Stage(few, first, own), Stage(data, settings, q)]
    if optimizer != "adam" or settings.max_iter < 2 * part.steps:
        return [Stage(data, settings, q)]
    few = few._replace(weights=few.weights * (data.weights.sum() / few.weights.sum()))
    # no plateau ends it: the stopping rule is for all rows
    first = settings._replace(max_iter=part.steps, n_plateaus=np.inf)
    return [Stage(few, first, q), Stage(data, settings)]


def gathering_stages(
    gather: Callable[[int, Hyperparameters], Data],
    q: tuple,
    settings: Settings,
    by: Gathering,
    optimizer: str,
    whole: bool = False,
) -> list[Stage]:
    """Stages on blocks of near rows, ``gather(seed, theta)``; ``whole``: where these are known.

    No plateau ends the first ones. L-BFGS goes to the optimum of its blocks, and then of others.
    """
    rng = np.random.RandomState(settings.seed[0])
    gathers = [functools.partial(gather, rng.randint(2**30)) for _ in (*by.ends, None)]
    if optimizer != "adam":
        return [Stage(g, settings, q) for g in gathers[: 1 if whole else 2]]
    first = settings._replace(n_plateaus=np.inf)
    each = [first._replace(max_iter=min(end, settings.max_iter)) for end in by.ends]
    rates = [rate * settings.learning_rate for rate in by.rates]
    each = [s._replace(learning_rate=r) for s, r in zip([*each, settings], rates, strict=True)]
    each = each[-1:] if whole else each
    return [Stage(g, s, None if k else q) for k, (g, s) in enumerate(zip(gathers, each))]


def _growing(data: Data, q: tuple, settings: Settings, largest: int) -> list[Stage]:
    """Batches four times as large after each plateau, up to the largest."""
    sizes = [settings.batch_size]
    while sizes[-1] < largest:
        sizes.append(min(_GROWTH * sizes[-1], largest))
    each = [settings._replace(batch_size=size, n_plateaus=1) for size in sizes[:-1]]
    each.append(settings._replace(batch_size=sizes[-1]))
    return [Stage(data, s, None if k else q) for k, s in enumerate(each)]


def _first_rows(
    structure: Structure, data: Data, q: tuple, settings: Settings, part: Part
) -> np.ndarray | None:
    """Rows of the first steps, where that saves time."""
    N, n, inference = len(data.X), len(data.X) // part.share, structure.model.inference
    if not inference.begins_on_part or not settings.learning_rate:
        return None
    least = max(part.least, 2 * len(q[0])) if inference.has_points else part.least_exact
    if n < least:
        return None
    if not inference.has_points:  # rows are in order here, and no other random number is drawn
        return np.arange(0, N, part.share)
    return np.sort(np.random.RandomState(settings.seed[0]).permutation(N)[:n])


# --- the training ----------------------------------------------------------------------------


def train(
    structure: Structure,
    parameters: Parameters,
    stages: Sequence[Stage],
    monitors: Sequence[Callable[[Result], bool]] = (),
    every: int = 10,
    optimizer: str | Callable = "adam",
) -> Result:
    """Train from the given start; nothing is raised, the result's status tells how it ended.

    Training maximises the ELBO with the logarithm of the parameters' priors; the curve has the
    ELBO. "lbfgs" maximises that at the best q, on all rows, and so does a function, see
    :func:`skgpng._training.lbfgs.maximise`. The result is that of the last stages
    with the same q: once in ``every`` steps of these each monitor gets it as it stands, and ends
    training by ``True``. A KeyboardInterrupt ends it, too; before the first of these steps is done
    it is raised. So is an error of rows that are elsewhere, and a ValueError of these at any time:
    then the rows themselves are wrong.
    """
    keep_freed()
    where = structure.how.device
    monitors = [returning_home(where, monitor) for monitor in monitors]
    begins = [k for k, stage in enumerate(stages) if stage.q is not None]
    *before, last = (stages[a:b] for a, b in itertools.pairwise([*begins, len(stages)]))
    own = optimizer if callable(optimizer) else None
    run = _by_adam if optimizer == "adam" else functools.partial(_by_lbfgs, optimizer=own)
    with one_blas_thread, on(where):
        for first in before:
            result = run(structure, parameters, first, (), every)
            if result.status == INTERRUPTED:
                raise KeyboardInterrupt
            if result.error is not None:
                raise result.error
            if result.status != NON_FINITE:
                parameters = parameters.at(result.theta)
        result = run(structure, parameters, last, monitors, every)
    if isinstance(result.error, ValueError) or (result.error and not len(result.elbo_curve)):
        raise result.error
    return result


def at_best_q(
    structure: Structure, parameters: Parameters, stage: Stage
) -> tuple[float, np.ndarray]:
    """ELBO at the best q for these parameters, and its gradient in the free entries of u."""
    problem = lbfgs.Problem(structure, *_begin(structure, parameters, stage))
    with one_blas_thread:
        return lbfgs.at_best_q(problem, _own_settings(structure, stage))


def n_compiled() -> int:
    """Training loops compiled so far in this process."""
    return loop.compiled_segment.n_compiled() + lbfgs.compiled_profile.n_compiled()


def _begin(structure: Structure, parameters: Parameters, stage: Stage) -> tuple:
    """What a compiled function takes: form, coordinates, rows, u and q."""
    form, data = vector.form_of(parameters), _data_at(stage, parameters.values)
    space = vector.coordinates_of(parameters, data.X_scale)
    u = tf.constant(vector.start_of(parameters, space))
    space = loop.as_tensors(space, vector.signature())
    q = loop.as_tensors(tuple(stage.q or ()), loop.q_signature(structure))
    return form, space, _rows(structure, data), u, q


def _data_at(stage: Stage, theta: Hyperparameters) -> Data:
    return stage.data(theta) if callable(stage.data) else stage.data


def _rows(structure: Structure, data: Data) -> Data:
    return loop.as_tensors(data, loop.data_signature(structure))


def _own_settings(structure: Structure, stage: Stage) -> Settings:
    if structure.model.inference.has_points:
        return stage.settings
    return stage.settings._replace(jitter=0.0)  # the noise serves as jitter


def _by_lbfgs(
    structure: Structure,
    parameters: Parameters,
    stages: Sequence[Stage],
    monitors: Sequence,
    every: int,
    optimizer: Callable | None = None,
) -> Result:
    (stage,) = stages
    problem = lbfgs.Problem(structure, *_begin(structure, parameters, stage))
    return lbfgs.maximise(problem, _own_settings(structure, stage), monitors, every, optimizer)


def _by_adam(
    structure: Structure,
    parameters: Parameters,
    stages: Sequence[Stage],
    monitors: Sequence,
    every: int,
) -> Result:
    """Segments of steps until one ends the training; between them Python is in control.

    How long they are changes no number, so that without a monitor they may follow the clock.
    """
    climb = _Climb(structure, parameters, stages)
    result, length = None, every if monitors else climb.first_segment
    try:
        while result is None or (result.status == MAX_ITER and climb.step < climb.max_iter):
            begin = time.perf_counter()
            result = climb.to(climb.step + length)
            watched = monitors if len(result.elbo_curve) else ()
            if any([monitor(result) for monitor in watched]) and result.status == MAX_ITER:
                return result._replace(status=STOPPED)
            if not monitors and time.perf_counter() - begin < _SECONDS:
                length *= 2
    except KeyboardInterrupt:
        if result is None:
            raise
        return result._replace(status=INTERRUPTED)
    return result


class _Climb:
    """A training by Adam under way: its stages, segments and failures."""

    def __init__(
        self, structure: Structure, parameters: Parameters, stages: Sequence[Stage]
    ) -> None:
        first, *self._others = stages
        self._structure, self._stage = structure, first
        self._form, self._space, self._data, u, q = _begin(structure, parameters, first)
        settings = _own_settings(structure, first)
        self._settings = loop.packed(settings)
        self._carry = loop.start(structure, u, q, int(self._data.X.shape[0]), settings)
        self._run = loop.compiled(loop.compiled_segment, structure, self._form)
        self._curve: list[np.ndarray] = []
        self._error: Exception | None = None
        #: Steps done, and at most.
        self.step, self.max_iter = 0, stages[-1].settings.max_iter
        self._seen_at = self._all_seen()

    @property
    def first_segment(self) -> int:
        """Steps after which Python is first in control; on rows elsewhere one may take minutes."""
        return 1 if self._structure.how.elsewhere else _FIRST_SEGMENT

    def to(self, until: int) -> Result:
        """The result after so many steps, or of the end."""
        while True:
            last = min(until, self._stage.settings.max_iter, self._seen_at)
            self._carry, status, theta, elbo = self._run(
                self._space, self._data, self._settings, self._carry, tf.constant(last)
            )
            status, elbo = int(status), elbo.numpy()
            self.step += len(elbo)
            self._curve.append(elbo[:-1] if status == NON_FINITE else elbo)
            self._error = failure_of(self._data)
            if self._error is None and status == NON_FINITE:
                status = self._take_back(elbo[-1])
            ended = status == CONVERGED or self.step == self._stage.settings.max_iter
            if self._others and ended and status != NON_FINITE:
                status = self._next_stage()
            elif status == MAX_ITER and self.step == self._seen_at < self.max_iter:
                self._next_rows()
            status = status if self._error is None else LOST
            if status != MAX_ITER or self.step >= min(until, self.max_iter):
                break
        q = self._carry.kept.variational
        theta, q = map_leaves(lambda t: t.numpy(), (theta, q))
        curve, report = np.concatenate(self._curve), loop.report_of(self._carry)
        return Result(theta, q, curve, status, report, self._error)

    def _take_back(self, elbo: float) -> int:
        self._carry, lost = loop.take_back(
            self._structure, self._form, self._space, self._carry, elbo
        )
        return NON_FINITE if lost else MAX_ITER

    def _next_stage(self) -> int:
        before, (self._stage, *self._others) = self._stage, self._others
        if self._stage.data is not before.data:
            theta, _ = vector.constrain(self._form, self._space, self._carry.state.u)
            data = _data_at(self._stage, map_leaves(lambda t: t.numpy(), theta))
            self._data = _rows(self._structure, data)
        self._settings = loop.packed(_own_settings(self._structure, self._stage))
        self._carry = loop.on_other_rows(self._carry)
        self._next_rows()
        return MAX_ITER

    def _all_seen(self) -> int:
        """The step by which batches have seen all rows at hand, where others are to come."""
        if self._stage.others is None:
            return self.max_iter
        return self.step + int(self._data.X.shape[0]) // self._stage.settings.batch_size

    def _next_rows(self) -> None:
        """Others in place of those at hand, where there are others."""
        if self._stage.others is not None:
            try:
                self._data = _rows(self._structure, self._stage.others())
            except Exception as error:  # whatever the user's own code raises
                self._error = error
            self._carry = loop.at_new_epoch(self._carry, int(self._data.X.shape[0]))
        self._seen_at = self._all_seen()
