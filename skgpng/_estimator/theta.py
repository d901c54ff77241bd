"""What is asked for in the order of ``kernel_.theta``: optimisers of the user's own, evidences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np

from .. import kernels
from .._inference import Data, Execution, Model, Structure, suitable
from .._inference.posterior import RowPosterior
from .._training import stages
from .._training.loop import Settings
from ..kernels import ParsedKernel
from ..likelihoods import Likelihood, Noise
from ..parameters import Parameter, Parameters
from .placing import chunk_rows
from .plan import Plan
from .predictor import Predictor, evidence_at

__all__ = ["log_evidence", "optimizer_of"]


class _Order(NamedTuple):
    """How theta, and what is learned beside the kernel, stand among the free entries of u.

    Training has hyperparameters in the order in which kernels are nested; scikit-learn has them in
    that of the alphabet, with the level of a ``WhiteKernel`` among them. u[places] = unit * theta.
    """

    places: np.ndarray  # [n], those of theta first
    unit: np.ndarray  # [n], of the logarithm of a level where its root is learned; else 1
    n_theta: int

    def of_theta(self, u: np.ndarray) -> np.ndarray:
        """Theta, and what is behind it, of the free entries of u."""
        return u[self.places] / self.unit

    def of_u(self, theta: np.ndarray) -> np.ndarray:
        """The way back; as it is where it has another shape: that is for others to say."""
        if theta.shape != self.places.shape:
            return theta
        return (theta * self.unit)[np.argsort(self.places)]

    def gradient(self, g_u: np.ndarray) -> np.ndarray:
        """In theta, of that in u."""
        return g_u[self.places] * self.unit


def _order(
    kernel: Any, parsed: ParsedKernel, likelihood: Likelihood, parameters: Parameters
) -> _Order:
    """Of the free ones among the parameters of a model without inducing points."""
    level = [p._replace(name=parsed.noise_name or "") for p in parameters.likelihood[:1]]
    others = [p._replace(name="") for p in (*parameters.likelihood[1:], *parameters.mean)]
    each = [p for p in (*parameters.kernel, *level, *others) if p.free]
    ends = np.cumsum([0, *(np.size(p.value) for p in each)])
    where = {p.name: np.arange(a, b) for p, a, b in zip(each, ends, ends[1:]) if p.name}
    nothing = np.zeros(0, int)
    own = np.concatenate([nothing, *(where[name] for name in kernels.free_names(kernel))])
    unit, places = np.ones(ends[-1]), np.append(own, np.setdiff1d(np.arange(ends[-1]), own))
    if parsed.noise_name in where:
        unit[np.isin(places, where[parsed.noise_name])] = likelihood.noise_power
    return _Order(places, unit, len(own))


def optimizer_of(plan: Plan) -> str | Callable:
    """What moves the hyperparameters; a function of the user's is asked in the order of theta."""
    given, problem = plan.options.optimizer, plan.problem
    if not callable(given) or plan.optimizer == "adam":  # which holds what nothing is to move
        return plan.optimizer
    order = _order(problem.kernel, problem.parsed, problem.likelihood, plan.parameters)

    def optimizer(function: Callable, u: np.ndarray, bounds: np.ndarray) -> tuple:
        def of_theta(theta: Any, eval_gradient: bool = True) -> Any:
            found = function(order.of_u(np.asarray(theta, float)), eval_gradient)
            return (found[0], order.gradient(found[1])) if eval_gradient else found

        within = np.stack([order.of_theta(bound) for bound in bounds.T], 1)
        theta, value = _pair(given(of_theta, order.of_theta(u), bounds=within))
        return order.of_u(np.asarray(theta, float)), value

    return optimizer


def _pair(found: Any) -> tuple:
    """What an optimiser of the user's own gave; ValueError where it is no pair."""
    if not isinstance(found, tuple | list) or len(found) != 2 or np.ndim(found[1]) > 0:
        raise ValueError(
            f"optimizer returned {str(found)[:60]!r}, but it is to give a pair (theta_opt, "
            "func_min): of a result of scipy.optimize.minimize (result.x, result.fun)."
        )
    return tuple(found)


def log_evidence(
    kernel: Any, columns: Any, predictor: Predictor, data: Data, jitter: float
) -> tuple[float, np.ndarray]:
    """Log evidence of an exact model with another kernel, or its bound, and its gradient in theta.

    Likelihood and mean stay as learned. Without Gaussian noise it is the ELBO at the best q for the
    kernel, whose gradient is that with q held (envelope theorem).
    """
    if predictor.likelihood.conjugate:
        return evidence_at(kernel, columns, predictor, data, jitter)
    parsed, likelihood = kernels.parse(kernel, columns), predictor.likelihood
    p = cast(RowPosterior, predictor.posterior)
    parameters = Parameters(
        parsed.parameters,
        _of_likelihood(parsed, likelihood, predictor.values),
        tuple(_held(v) for v in p.mean_values),
    )
    N, D = data.X.shape
    depth = kernels.depth(parsed.structure, D)
    chunk = N if kernels.needs_all_rows(parsed.structure) else chunk_rows(N, None, 1, depth=depth)
    inference = suitable(False, frozenset({"all rows"}))
    model = Model(inference, parsed.structure, likelihood, p.n_latent, p.mean_function)
    structure = Structure(model, Execution(chunked=chunk < N))
    stage = stages.Stage(data, _settings(likelihood.gamma, N, chunk), p.sites())
    value, g_u = stages.at_best_q(structure, parameters, stage)
    order = _order(kernel, parsed, likelihood, parameters)
    return value, order.gradient(g_u)[: order.n_theta]


def _of_likelihood(
    parsed: ParsedKernel, likelihood: Likelihood, values: tuple
) -> tuple[Parameter, ...]:
    """Parameters of the likelihood as learned, with the level of the kernel's noise."""
    held = tuple(_held(v) for v in values)
    if parsed.noise is None:
        return held
    low, high = parsed.noise.bounds.tolist()
    level = Noise(float(parsed.noise.value), (low, high), parsed.noise.free)
    return likelihood.parameters(level, 1.0)[0], *held[1:]


def _held(value: Any) -> Parameter:
    """What is learned but not asked for; it may be of any sign."""
    return Parameter("", value, np.stack([value, value], -1), free=False, real=True)


def _settings(gamma: float, n_rows: int, chunk: int) -> Settings:
    """Of the steps that look for q; the hyperparameters are held."""
    return Settings(
        gamma=gamma,
        gamma_ramp=1.0,
        warm_up=0,
        learning_rate=0.0,
        max_iter=1,
        n_iter_no_change=1,
        n_plateaus=1,
        tol=0.0,
        batch_size=n_rows,
        jitter=0.0,
        seed=np.zeros(2, int),
        chunk_size=chunk,
    )
