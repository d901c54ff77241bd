"""What both estimators share: parameters to a trained model, and predicting from it."""

from __future__ import annotations

import abc
import warnings
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from . import inducing, kernels, posterior, structures, training
from .likelihoods import Likelihood
from .structures import Hyperparameters

__all__ = ["BaseGaussianProcess", "Problem"]

# "auto" keeps every row (VGP) up to this many, and takes this many inducing points beyond.
_AUTO_EXACT = 1000
_AUTO_INDUCING = 256
# Numbers in the largest array of a full-batch step; more than that trains on minibatches.
_AUTO_FULL_BATCH = 2e7


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
    gamma : float
        What "auto" means for the step size on all rows.
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
    gamma: float = 1.0


def default_kernel(X: np.ndarray, weights: np.ndarray) -> Kernel:
    """A scaled Matern-5/2 with one length scale per column, set from the data.

    The length scales start at sqrt(D) standard deviations of their column, so that two rows are
    about one unit apart however many columns there are.
    """
    scale = inducing.column_spread(X, weights) * np.sqrt(X.shape[1])
    bounds = np.stack([1e-3 * scale, 1e4 * scale], 1)
    return ConstantKernel(1.0, (1e-4, 1e4)) * Matern(scale, bounds, nu=2.5)


def check_length_scales(parsed: kernels.ParsedKernel, n_features: int) -> None:
    """Raise ValueError where a hyperparameter has another length than X has columns."""
    for name, value in zip(parsed.names, parsed.values, strict=True):
        if value.ndim == 1 and len(value) != n_features:
            raise ValueError(
                f"kernel parameter {name!r} has {len(value)} values, but X has {n_features} "
                "features. Give one number, or one per feature."
            )


class BaseGaussianProcess(BaseEstimator, abc.ABC):
    """Training and latent predictions of both estimators."""

    _parameter_constraints: ClassVar[dict] = {
        "kernel": [None, Kernel],
        "n_inducing": [None, Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "inducing_init": [StrOptions({"kmeans", "random"})],
        "train_inducing": ["boolean"],
        "gamma": [Interval(Real, 0, 1, closed="right"), StrOptions({"auto"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "batch_size": [None, Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "jitter": [Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
    }

    # --- fitting -------------------------------------------------------------------------

    def _train(self, problem: Problem) -> None:
        """Train on a validated problem and set the fitted attributes shared by both."""
        rng = check_random_state(self.random_state)
        Z = self._start_inducing(problem, rng)
        batch = self._batch_rows(problem, Z)
        structure = self._structure(problem, Z, batch < len(problem.X))
        data = structures.Data(
            problem.X,
            problem.Y,
            problem.weights,
            problem.row_noise,
            inducing.column_spread(problem.X, problem.weights),
        )
        settings = self._settings(problem, structure, batch, rng)
        theta = Hyperparameters(
            problem.parsed.values, problem.likelihood_values, () if Z is None else Z
        )
        bounds = (*problem.parsed.bounds, *(np.array(b) for b in problem.likelihood_bounds))
        start = _start_q(structure, problem, 0 if Z is None else len(Z))
        result = training.train(structure, theta, start, bounds, data, settings)
        self._set_fitted(problem, structure, result, data)
        self._report(result)

    def _start_inducing(self, problem: Problem, rng: np.random.RandomState) -> np.ndarray | None:
        n = self.n_inducing
        if n == "auto":
            n = None if len(problem.X) <= _AUTO_EXACT else _AUTO_INDUCING
        if n is None:
            return None
        # repeated rows count once, so that a weight of 2 chooses what the row twice would choose
        X, weights = inducing.distinct_rows(problem.X, problem.weights)
        return inducing.select(self.inducing_init, X, n, rng, weights)

    def _batch_rows(self, problem: Problem, Z: np.ndarray | None) -> int:
        """Rows of one step."""
        N, batch = len(problem.X), self.batch_size
        if Z is None:
            if batch not in (None, "auto") and batch < N:
                raise ValueError(
                    f"batch_size={batch} needs inducing points: with one variational variable per "
                    "row (n_inducing=None) every step uses all rows. Set n_inducing to a number."
                )
            return N
        if batch == "auto":
            batch = N if N * len(Z) <= _AUTO_FULL_BATCH else max(1024, 4 * len(Z))
        return N if batch is None else min(batch, N)

    def _structure(
        self, problem: Problem, Z: np.ndarray | None, minibatch: bool
    ) -> structures.Structure:
        exact = problem.conjugate and not minibatch and self.gamma in ("auto", 1)
        model = {True: "gpr", False: "vgp"} if Z is None else {True: "sgpr", False: "svgp"}
        return structures.Structure(
            model=model[exact],
            kernel=problem.parsed.structure,
            likelihood=problem.likelihood,
            train_likelihood=problem.train_likelihood,
            train_inducing=bool(self.train_inducing) and Z is not None,
            minibatch=minibatch,
            n_latent=problem.n_latent,
            dtype="float64",
        )

    def _settings(
        self, problem: Problem, structure: structures.Structure, batch: int, rng: Any
    ) -> training.Settings:
        gamma, rate = self.gamma, self.learning_rate
        if gamma == "auto":
            gamma = 0.1 if structure.minibatch else problem.gamma
        if rate == "auto":
            rate = 0.01 if structure.minibatch else 0.1
        steps_per_epoch = -(-len(problem.X) // batch)
        return training.Settings(
            gamma=gamma,
            gamma_ramp=1.0 if problem.conjugate else 5.0,
            warm_up=0 if structure.model in ("gpr", "sgpr") else 5,
            learning_rate=rate,
            max_iter=self.max_iter,
            n_iter_no_change=self.n_iter_no_change * steps_per_epoch,
            tol=self.tol,
            batch_size=batch,
            jitter=self.jitter,
            seed=rng.randint(0, 2**30, 2),
        )

    def _set_fitted(
        self,
        problem: Problem,
        structure: structures.Structure,
        result: structures.Result,
        data: structures.Data,
    ) -> None:
        if result.status == structures.NON_FINITE and len(result.elbo_curve) <= 1:
            raise ValueError(
                "The objective is not finite at the initial hyperparameters: the kernel matrix "
                f"cannot be factorised. Raise jitter (now {self.jitter:g}) to 1e-4, or start from "
                f"another kernel (now {problem.kernel})."
            )
        self._structure_ = structure
        self._kernel_values = result.theta.kernel
        self._likelihood_values = result.theta.likelihood
        self._posterior = posterior.posterior(structure, result, data, self.jitter)
        names, values = problem.parsed.names, result.theta.kernel
        if problem.parsed.noise_name is not None:
            names = (*names, problem.parsed.noise_name)
            values = (*values, result.theta.likelihood[0])
        self.kernel_ = kernels.rebuild(problem.kernel, names, values)
        Z = result.theta.inducing_points
        self.inducing_points_ = None if isinstance(Z, tuple) else Z
        finite = result.elbo_curve[np.isfinite(result.elbo_curve)]
        self.elbo_curve_ = finite
        self.elbo_ = float(finite[-1])
        self.n_iter_ = len(finite)
        self.converged_ = bool(result.status == structures.CONVERGED)

    def _report(self, result: structures.Result) -> None:
        """One warning at most, with the setting that helps."""
        if result.status == structures.MAX_ITER:
            warnings.warn(
                f"Training stopped at max_iter={self.max_iter} before the ELBO settled. Raise "
                "max_iter, or raise tol to stop earlier.",
                ConvergenceWarning,
                stacklevel=4,
            )
        elif result.status == structures.NON_FINITE:
            warnings.warn(
                f"Training stopped at step {self.n_iter_}, where the objective was no longer "
                "finite; the last good state is kept. Lower learning_rate or gamma, or raise "
                f"jitter (now {self.jitter:g}).",
                ConvergenceWarning,
                stacklevel=4,
            )

    # --- predicting ----------------------------------------------------------------------

    def _validate_new(self, X: Any) -> np.ndarray:
        """Rows to predict at, as float64; raises before ``fit`` and for other columns."""
        check_is_fitted(self)
        return validate_data(self, X, reset=False, dtype=np.float64)

    def _latent(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance [N, L] of the latent functions at validated rows."""
        return posterior.mean_and_variance(
            self._structure_.kernel, self._kernel_values, self._posterior, X
        )

    def _latent_covariance(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean [N, L] and covariance [L, N, N] of the latent functions at validated rows."""
        return posterior.mean_and_covariance(
            self._structure_.kernel, self._kernel_values, self._posterior, X
        )


def _start_q(structure: structures.Structure, problem: Problem, n_inducing: int) -> tuple:
    """q at the prior, in the form the model of the structure keeps it."""
    L = problem.n_latent
    if structure.model == "vgp":
        precision = training.SITE_FLOOR * problem.weights[:, None] * np.ones(L)
        return np.zeros_like(precision), precision
    if structure.model == "svgp":
        return np.zeros((n_inducing, L)), np.tile(-0.5 * np.eye(n_inducing), (L, 1, 1))
    return ()


def check_weights(sample_weight: Any, X: np.ndarray) -> np.ndarray:
    """Weights as an array [N], non-negative and not all zero."""
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if not weights.sum() > 0:
        raise ValueError("sample_weight must have at least one positive entry, got only zeros.")
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
