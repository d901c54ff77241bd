"""What the regressor does beside training: y and its noise on the way in, rows on the way out."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.gaussian_process.kernels import ConstantKernel, Matern
from sklearn.utils import check_array
from sklearn.utils.validation import _get_feature_names, check_is_fitted

from .. import kernels, likelihoods
from .._runtime import outside_graphs
from .._training.result import Result
from ..likelihoods import Likelihood
from ..means import Mean
from .base import BaseGaussianProcess
from .plan import Options, Plan, merges_rows
from .predictor import Predictor, evidence_at, prior_predictor
from .priors import with_priors
from .problem import Problem, Rows
from .targets import Given, noise_given, resumed, units_of, what_fixes_noise
from .trends import check_mean, fit_trend, mean_function, start_of_mean, takes_weights, trend_at
from .validation import (
    FLOATS,
    check_noise,
    check_range,
    check_shared,
    check_targets,
    check_weights,
    of_weight,
    rows_known,
    validated,
)

__all__ = ["BaseRegressor"]


# What is known of each row may be routed, though `**known` does not tell scikit-learn. Scores look
# at the mean of y, which does not depend on its noise.
_REQUESTS = dict.fromkeys(likelihoods.ROW_NAMES)
_SCORE_REQUESTS = {
    name: None for of in likelihoods.NAMES.values() if not of.location for name in of.row_names
}


class BaseRegressor(BaseGaussianProcess):
    """Regression with a likelihood, of one or several targets."""

    __metadata_request__fit: ClassVar[dict] = _REQUESTS
    __metadata_request__partial_fit: ClassVar[dict] = _REQUESTS
    __metadata_request__predict: ClassVar[dict] = _REQUESTS
    __metadata_request__score: ClassVar[dict] = _SCORE_REQUESTS

    kernel: Any
    likelihood: Any
    alpha: Any
    mean: Any
    normalize_y: bool
    n_targets: int | None

    @property
    def _conjugate(self) -> bool:
        """Whether the noise is Gaussian."""
        return likelihoods.named(self.likelihood).conjugate

    @property
    def n_neighbors_(self) -> int | None:
        """Rows near by from which each prediction is made; None where it is from all or points.

        Raises
        ------
        AttributeError
            Before ``fit``.
        """
        if not hasattr(self, "_predictor"):
            raise AttributeError("n_neighbors_ is there after fit only.")
        return getattr(self._predictor.posterior, "n_neighbors", None)

    @property
    def log_marginal_likelihood_value_(self) -> float:
        """``elbo_`` by the name that scikit-learn's regressor has for it."""
        return self.elbo_

    @outside_graphs
    def log_marginal_likelihood(
        self, theta: Any = None, eval_gradient: bool = False, clone_kernel: bool = True
    ) -> Any:
        """Log marginal likelihood of the scaled training targets, or its lower bound.

        Parameters
        ----------
        theta : array-like of shape (n_kernel_params,), default=None
            Logarithms of the free hyperparameters, ordered as ``kernel_.theta``; everything else
            stays as learned. ``None`` stands for the learned values and gives ``elbo_``.
        eval_gradient : bool, default=False
            Whether to return the gradient in theta too.
        clone_kernel : bool, default=True
            Taken as scikit-learn's regressor does; ``kernel_`` stays as it is either way.

        Returns
        -------
        value : float
            In nats; summed over targets.
        gradient : ndarray of shape (n_kernel_params,)
            Only with ``eval_gradient``.

        Raises
        ------
        ValueError
            For a theta (or a gradient) with inducing points or without Gaussian noise: the rows are
            not kept. Or if ``eval_gradient`` is set without theta.
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self, "elbo_")  # without a name, scikit-learn lets the prior pass
        if theta is None:
            if eval_gradient:
                raise ValueError("eval_gradient=True needs a theta, such as kernel_.theta.")
            return self.elbo_
        if self._exact_data is None:
            raise ValueError(
                "log_marginal_likelihood at another theta needs the training rows in an exact "
                "model, which keeps them: set n_inducing=None, n_neighbors=None, gamma='auto' and "
                "likelihood='gaussian'."
            )
        kernel = self.kernel_.clone_with_theta(np.asarray(theta, dtype=float))
        value, gradient = evidence_at(
            kernel, self._column_names, self._predictor, self._exact_data, self.jitter_
        )
        return (value, gradient) if eval_gradient else value

    def __sklearn_tags__(self) -> Any:
        """Tags of scikit-learn: several targets are welcome."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.requires_fit = False  # the prior predicts
        return tags

    def _given(self, rows: dict) -> Given:
        likelihood = likelihoods.named(self.likelihood)
        return Given(likelihood, self.alpha, self.normalize_y, self.kernel is None, rows)

    def _problem(self, X: Any, y: Any, start: str, sample_weight: Any, rows: dict) -> Problem:
        given = self._given(rows)
        likelihood, old = given.likelihood, self._before(given.likelihood, start)
        (X, Y, weights, row), trend = self._rows(given, X, y, start, sample_weight)
        kernel = self._start_kernel(X, weights, start)
        parsed = kernels.parse(kernel, self._column_names)
        check_shared(kernel)
        parsed, start = self._start_values(parsed, start, X)
        if start == "on":  # units stay those of the first call
            units, spread = self._predictor.units, self._spread_of_y
        else:
            units, spread = units_of(given, Y, weights)
        noise, fixed = noise_given(given, parsed, units.scale[0])
        row = likelihood.scaled_row(row, units.scale) + fixed
        observation = likelihood.parameters(noise, spread)
        noise_start = likelihood.noise_start(observation)
        if likelihood.conjugate:
            check_noise(likelihood.noise_of_rows((observation[0].value,), row) / spread)
        elif likelihood.noise is not None:
            check_noise(np.asarray(noise_start / spread))
        Y = (Y - units.shift) / units.scale
        rows_in_units = Rows(X, Y, weights, row)
        before = None if start == "fresh" else old  # a kernel of another form begins anew
        of_f = mean_function(self.mean, likelihood)
        if start == "on":
            of_f = self._predictor.posterior.mean_function
        observation, mean = _begin(
            likelihood, of_f, observation, rows_in_units, spread, before, start == "on"
        )
        begins = start in ("fresh", "first") and self.optimizer is not None
        learned = observation, mean
        parsed, observation, mean = with_priors(self.priors, parsed, likelihood, *learned, begins)
        return Problem(
            rows=rows_in_units,
            likelihood=likelihood,
            observation=observation,
            mean_function=of_f,
            mean=mean,
            n_latent=likelihood.n_latent(Y.shape[1]),
            kernel=kernel,
            parsed=parsed,
            units=units,
            spread=spread,
            noise_start=noise_start,
            fixed_noise=fixed,
            given_noise=what_fixes_noise(given),
            trend=trend,
            start=start,
        )

    def _before(self, likelihood: Likelihood, start: str) -> Predictor | None:
        """What was learned before with this likelihood, and may be gone on with."""
        old = self._predictor if start in ("warm", "on") else None
        if old is None or old.likelihood == likelihood:
            same = old and old.posterior.mean_function == mean_function(self.mean, likelihood)
            return old if same or start == "on" else None
        if start == "on":
            raise ValueError(
                f"likelihood changed from {old.likelihood} to {likelihood} since the last call: "
                "what was learned does not go on with it. Use fit to begin anew, or set it back."
            )
        return None

    def _validate_params(self) -> None:
        """Also says where the noise of each row goes, which scikit-learn takes as ``alpha``."""
        given: Any = self.alpha
        if np.ndim(given) > 0:
            raise ValueError(
                f"alpha must be one number or None, got shape {np.shape(given)}. The known "
                "noise variance of each row is the argument noise_variance of fit: "
                "GaussianProcessRegressor(alpha=0).fit(X, y, noise_variance=...)."
            )
        super()._validate_params()

    def _rows(
        self, given: Given, X: Any, y: Any, start: str, sample_weight: Any
    ) -> tuple[Rows, Any]:
        """Validated, with positive weights; y less the trend, a fitted regressor or None."""
        X, y = validated(self, X, y, reset=start != "on", multi_output=True, y_numeric=True)
        y = y.astype(np.float64)  # ValueError for strings
        weights = check_weights(sample_weight, X)
        keep = weights > 0
        # rows without weight may be anything; the others are named by their place
        known = {name: of_weight(values, keep) for name, values in given.rows.items()}
        row = rows_known(given.likelihood, known, len(X))
        n_before = len(self._predictor.units.scale) if start == "on" else None
        check_targets(y, self.n_targets, n_before)
        given.likelihood.check(of_weight(y, keep))
        X, y, weights, row = X[keep], y[keep], weights[keep], row[keep]
        check_range(X, self.dtype)
        rows = Rows(X, y.reshape(len(y), -1), weights, row)
        merges = merges_rows(Options.of(self), self._conjugate, len(X), self._tuning)
        if merges and takes_weights(self.mean):
            return self._less_trend(rows.merged(), start)
        rows, trend = self._less_trend(rows, start)
        return (rows.merged() if merges else rows), trend

    def _less_trend(self, rows: Rows, start: str) -> tuple[Rows, Any]:
        """y less the predictions of a regressor, and this; that of the first call stays."""
        X, Y, weights, _ = rows
        if start == "on":
            trend = self._predictor.trend
            predicted = 0.0 if trend is None else trend_at(trend, X, Y.shape[1])
            return rows._replace(Y=Y - predicted), trend
        check_mean(self.mean, likelihoods.named(self.likelihood), Y.shape[1])
        if self.mean is None or isinstance(self.mean, str):
            return rows, None
        trend, predicted = fit_trend(self.mean, X, Y, weights)
        return rows._replace(Y=Y - predicted), trend

    def _own_attributes(self, plan: Plan, result: Result) -> dict:
        problem, values = plan.problem, result.theta.likelihood
        scale, variance = problem.units.scale, problem.likelihood.noise_variance(values)
        with np.errstate(over="ignore"):  # y of 1e200: the honest variance is infinite
            if variance is not None:
                variance = _one_or_all((variance + problem.fixed_noise) * scale**2)
            learned = problem.likelihood.learned(values, scale)
        if "variance" in learned:
            learned["variance"] = variance
        return {
            "noise_variance_": variance,
            "likelihood_": learned,
            "_spread_of_y": problem.spread,
            "_exact_data": plan.data if plan.structure.model.inference.has_evidence else None,
        }

    def _validate_new(self, X: Any) -> np.ndarray:
        if hasattr(self, "_predictor"):
            return super()._validate_new(X)
        # no columns are known yet: validate_data would warn of their names
        return check_array(X, dtype=FLOATS, estimator=self, input_name="X")

    def _at(self, X: Any, known: dict) -> tuple[np.ndarray, Predictor, np.ndarray]:
        """Validated rows, what predicts, and what is known of the rows."""
        names, X = _get_feature_names(X), self._validate_new(X)
        if hasattr(self, "_predictor"):
            return X, self._predictor, self._predictor.rows_known(known, len(X))
        model = self._prior(X, names)
        likelihood = self._given({}).likelihood
        row = rows_known(likelihood, known, len(X), fixed_noise=model.fixed_noise)
        if model.likelihood != likelihood:  # without noise, of which nothing is known
            row = model.rows_known({}, len(X))
        return X, model, row

    def _prior(self, X: np.ndarray, names: Any) -> Predictor:
        """What is known before ``fit``: the kernel, and noise that is given."""
        self._validate_params()
        given = self._given({})
        kernel = ConstantKernel(1.0) * Matern(nu=2.5) if self.kernel is None else self.kernel
        parsed = kernels.parse(kernel, names)
        check_shared(kernel)
        kernels.check_columns(parsed, X)
        noise, fixed = noise_given(given, parsed, 1.0)
        n_targets = 1 if self.n_targets is None else self.n_targets
        return prior_predictor(given.likelihood, parsed, noise, fixed, X.shape[1], n_targets)


def _begin(
    likelihood: Likelihood,
    mean: Mean,
    observation: tuple,
    rows: Rows,
    spread: float,
    old: Predictor | None,
    goes_on: bool,
) -> tuple[tuple, tuple]:
    """Parameters of likelihood and mean to begin with; what was learned has been tried before."""
    X, Y, weights, row = rows
    if old is None:
        values = tuple(p.value for p in observation)
        offset = likelihoods.tried_offset(likelihood, values, Y, weights, row)
        return observation, start_of_mean(mean, likelihood, values, rows, offset, spread)
    observation = resumed(observation, old.values)
    offset = likelihood.offset(Y, weights, row)
    if likelihood.location and not goes_on:  # y of other rows may have other units
        values = tuple(p.value for p in observation)
        return observation, start_of_mean(mean, likelihood, values, rows, offset, spread)
    own = mean.parameters(offset, X, np.sqrt(spread))
    return observation, resumed(own, old.posterior.mean_values)


def _one_or_all(values: np.ndarray) -> Any:
    """Of several targets an array, of one a number."""
    return float(values[0]) if len(values) == 1 else values
