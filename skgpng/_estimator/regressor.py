"""What the regressor does beside training: y and its noise on the way in, rows on the way out."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.gaussian_process.kernels import ConstantKernel, Matern
from sklearn.utils import check_array
from sklearn.utils.validation import _get_feature_names, check_is_fitted

from .. import kernels, likelihoods
from .._runtime import outside_graphs, refuse_beyond
from .._training.result import Result
from ..likelihoods import Likelihood
from . import kept
from .additive import AdditiveComponent, part_at, shares_of
from .base import BaseGaussianProcess, default_kernel
from .by_blocks import by_blocks
from .plan import Options, Plan, merges_rows
from .predictor import LeaveOneOut, Predictor, prior_predictor
from .problem import Problem, Rows
from .targets import (
    Given,
    alpha_of_all,
    kernel_of_latents,
    noise_given,
    refuse_alpha_of_rows,
    refuse_singular,
    units_of,
    what_fixes_noise,
    with_alpha_of_rows,
)
from .trends import check_mean, fit_trend, takes_weights, trend_at
from .validation import (
    FLOATS,
    check_noise,
    check_range,
    check_targets,
    check_weights,
    of_weight,
    refuse_missing,
    rows_known,
    targets_at,
    validated,
    which,
    without_axis,
    without_missing,
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
    def additive_components_(self) -> list[AdditiveComponent]:
        """Which columns explain how much of f, under an ``OrthogonalAdditive`` kernel.

        A list of records, the largest share first: ``columns``, the positions (of a data frame the
        names) of columns that act together, and ``share``, the part of the variance of the fitted
        function that is theirs alone, beyond that of fewer of them. Shares add up to one; of
        several targets each is an array. The variance is that over columns that are independent,
        each distributed as in the rows fitted. Means and standard deviations are those of
        :meth:`predict_component`. It is computed when it is asked for.

        Raises
        ------
        AttributeError
            Before ``fit``, for other kernels, and where predictions are from neighbours.
        """
        if not hasattr(self, "_predictor"):
            raise AttributeError("additive_components_ is there after fit only.")
        try:
            return shares_of(self._predictor, self._column_names)
        except ValueError as error:
            raise AttributeError(f"additive_components_: {error}") from error

    @by_blocks
    def predict_component(self, X: Any, columns: Any, return_std: bool = False) -> Any:
        """One part of an additive function: what these columns do together.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or source of rows
            All columns, of which the others do not matter.
        columns : list or tuple of int or str
            Positions, or names where X was a data frame, as in ``additive_components_``. ``()`` is
            the constant.
        return_std : bool, default=False
            Whether to return the standard deviation of the part too.

        Returns
        -------
        mean : ndarray of shape (n_samples,) or (n_samples, n_targets)
            In the units of y where the mean of y is the latent function, else in those of f. The
            means of all parts and the constant add up to that of f, which is ``predict``.
        std : ndarray of the same shape
            Only with ``return_std``; without noise.

        Raises
        ------
        ValueError
            For columns that are not there, or more of them than act together; for other kernels
            than ``OrthogonalAdditive``, and where predictions are from neighbours.
        sklearn.exceptions.NotFittedError
            Before ``fit``.

        Examples
        --------
        >>> import numpy as np
        >>> from skgpng import GaussianProcessRegressor
        >>> from skgpng.kernels import OrthogonalAdditive
        >>> X = np.random.RandomState(0).uniform(-1, 1, (80, 2))
        >>> model = GaussianProcessRegressor(OrthogonalAdditive())
        >>> model = model.fit(X, X[:, 0] ** 2 + np.sin(3 * X[:, 1]))
        >>> mean, std = model.predict_component([[0.5, 0.0]], [1], return_std=True)
        >>> print(abs(mean[0]) < 0.1, std[0] < 0.1)
        True True
        """
        check_is_fitted(self, "kernel_")
        X = self._validate_new(X)
        found = part_at(self._predictor, X, columns, self._column_names)
        mean, std = map(without_axis, found)
        return (mean, std) if return_std else mean

    @outside_graphs
    def _below_and_up_to(self, X: Any, y: Any, known: dict) -> tuple | None:
        """Probability of less than y [n, P] and of y or less; None where quantiles are quicker."""
        X, model, row = self._at(X, known)
        likelihood = model.likelihood
        if likelihood.location or likelihood.support not in ("counts", "positive", "unit"):
            return None
        return model.below_and_up_to(X, self._targets(X, y, model), row)

    @property
    def L_(self) -> np.ndarray:
        """Cholesky factor of the covariance of ``y_train_``, noise included; lower triangle.

        Of exact models with Gaussian noise, (n_rows, n_rows).

        Raises
        ------
        AttributeError
            Before ``fit``, for other models, and where each target has a kernel of its own.
        """
        return kept.root(self, "L_")

    @property
    def alpha_(self) -> np.ndarray:
        r"""Weights of the rows in predictions, :math:`K_y^{-1} y`, of the shape of ``y_train_``.

        Of exact models with Gaussian noise; y is ``y_train_`` less the mean that was learned.

        Raises
        ------
        AttributeError
            As ``L_``.
        """
        return kept.weights(self, "alpha_")

    @outside_graphs
    def loo_predict(self, X: Any, y: Any, sample_weight: Any = None, **known: Any) -> LeaveOneOut:
        """Each row predicted from all others by the learned hyperparameters, in closed form.

        Of the rows of ``fit`` this is leave-one-out cross-validation for the price of one
        factorisation; the hyperparameters have seen each row, which with many rows tells
        little. Coefficients of a linear ``mean`` are those of the other rows; a regressor is
        fitted without the rows that it predicts, in five parts. With neighbours each row is
        predicted from its nearest others. See Rasmussen & Williams 2006, section 5.4.2.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), default=None
            As in ``fit``; a row is left out with all its weight.
        **known : array-like of shape (n_samples,)
            As in ``fit``: ``noise_variance``.

        Returns
        -------
        LeaveOneOut
            The fields ``mean`` and ``std``, (n_samples,) or (n_samples, n_targets), in the units
            of y and with noise, and ``log_density``, (n_samples,).

        Raises
        ------
        ValueError
            With inducing points or without Gaussian noise, for a single row or weights of 0.
        sklearn.exceptions.NotFittedError
            Before ``fit``.

        Examples
        --------
        >>> import numpy as np
        >>> from skgpng import GaussianProcessRegressor
        >>> X = np.linspace(0, 6, 40)[:, None]
        >>> y = np.sin(X[:, 0])
        >>> left_out = GaussianProcessRegressor().fit(X, y).loo_predict(X, y)
        >>> print(np.abs(left_out.mean - y).max() < 0.05, left_out.std.shape)
        True (40,)
        """
        check_is_fitted(self, "kernel_")
        model = self._predictor
        if self.inducing_points_ is not None or not model.likelihood.conjugate:
            raise ValueError(
                "loo_predict needs an exact model or neighbours: set likelihood='gaussian' and "
                "leave n_inducing, or use sklearn.model_selection.cross_val_predict."
            )
        refuse_alpha_of_rows(self.alpha, known)
        X, weights = self._validate_new(X), check_weights(sample_weight, X)
        if len(X) < 2 or not np.all(weights > 0):
            raise ValueError("loo_predict needs two rows at least, each with a positive weight.")
        if self.n_neighbors_ is None:
            refuse_beyond(
                24.0 * len(X) ** 2,
                f"the covariances of {len(X):,} rows with each other",
                "Give fewer rows, or set n_neighbors.",
            )
        Y = targets_at(X, y, len(model.units.scale))
        found = model.left_out(Rows(X, Y, weights, model.rows_known(known, len(X))))
        return found if Y.shape[1] > 1 else LeaveOneOut(found[0][:, 0], found[1][:, 0], found[2])

    def __sklearn_tags__(self) -> Any:
        """Tags of scikit-learn: several targets are welcome."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.requires_fit = False  # the prior predicts
        given = self.likelihood
        likelihood = likelihoods.NAMES.get(given) if isinstance(given, str) else given
        tags.target_tags.positive_only = getattr(likelihood, "support", None) == "positive"
        return tags

    def _given(self, rows: dict) -> Given:
        likelihood = likelihoods.named(self.likelihood)
        alpha = alpha_of_all(self.alpha)
        return Given(likelihood, alpha, self.normalize_y, self.kernel is None, rows)

    def _problem(self, X: Any, y: Any, start: str, sample_weight: Any, rows: dict) -> Problem:
        given, known, trend = self._rows(self._given(rows), X, y, start, sample_weight)
        X, Y, weights, row = known
        likelihood, old = given.likelihood, self._before(given.likelihood, start)
        kernel = kernel_of_latents(
            likelihood,
            self._start_kernel(X, weights, start),
            default_kernel(X, weights),
            Y.shape[1],
        )
        parsed = kernels.parse(kernel, self._column_names)
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
            each = likelihood.noise_of_rows((observation[0].value,), row)
            refuse_singular(kernel, parsed, X, each)
            check_noise(each / spread)
        elif likelihood.noise is not None:
            check_noise(np.asarray(noise_start / spread))
        Y = (Y - units.shift) / units.scale
        rows_in_units = Rows(X, Y, weights, row)
        of_f, parsed, observation, mean = self._begun(
            likelihood, observation, rows_in_units, spread, parsed, old, start
        )
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

    def _rows(
        self, given: Given, X: Any, y: Any, start: str, sample_weight: Any
    ) -> tuple[Given, Rows, Any]:
        """Given its likelihood; validated, with positive weights; a regressor that y is less of."""
        filled, missing = without_missing(y)
        refuse_missing(missing, given.likelihood)
        y, missing = (filled, missing) if given.likelihood.allows_missing else (y, False)
        X, y = validated(self, X, y, reset=start != "on", multi_output=True, y_numeric=True)
        y = np.where(missing, np.nan, y.astype(np.float64))  # ValueError for strings
        weights = check_weights(sample_weight, X)
        keep = weights > 0
        # rows without weight may be anything; the others are named by their place
        known = {name: of_weight(values, keep) for name, values in given.rows.items()}
        alpha = of_weight(self.alpha, keep)
        known = with_alpha_of_rows(alpha, known, given.likelihood, len(X), start)
        row = rows_known(given.likelihood, known, len(X))
        n_before = len(self._predictor.units.scale) if start == "on" else None
        check_targets(y, self.n_targets, n_before)
        before = self._predictor.likelihood if start == "on" else None
        likelihood = given.likelihood.for_targets(of_weight(y, keep), before)
        likelihood.check(of_weight(y, keep))
        self._check_kernel(X, keep, start)
        keep = which(keep, start)
        X, y, weights, row = X[keep], y[keep], weights[keep], row[keep]
        check_range(X, self.dtype)
        rows = Rows(X, y.reshape(len(y), -1), weights, row)
        merges = merges_rows(Options.of(self), self._conjugate, len(X), self._tuning)
        given = given._replace(likelihood=likelihood)
        if merges and takes_weights(self.mean):
            return given, *self._less_trend(rows.merged(), likelihood, start)
        rows, trend = self._less_trend(rows, likelihood, start)
        return given, rows.merged() if merges else rows, trend

    def _less_trend(self, rows: Rows, likelihood: Likelihood, start: str) -> tuple[Rows, Any]:
        """y less the predictions of a regressor, and this; that of the first call stays."""
        X, Y, weights, _ = rows
        if start == "on":
            trend = self._predictor.trend
            predicted = 0.0 if trend is None else trend_at(trend, X, Y.shape[1])
            return rows._replace(Y=Y - predicted), trend
        check_mean(self.mean, likelihood, Y.shape[1])
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
        if "variance" in learned and variance is not None:  # with what is known
            learned["variance"] = variance
        return {
            "noise_variance_": variance,
            "likelihood_": learned,
            "_spread_of_y": problem.spread,
        }

    def _validate_new(self, X: Any) -> np.ndarray:
        if hasattr(self, "_predictor"):
            return super()._validate_new(X)
        # no columns are known yet: validate_data would warn of their names
        return check_array(X, dtype=FLOATS, estimator=self, input_name="X")

    def _targets(self, X: np.ndarray, y: Any, model: Predictor) -> np.ndarray:
        """Targets of validated rows, [N, P]."""
        return targets_at(X, y, len(model.units.scale), model.likelihood.allows_missing)

    def _at(self, X: Any, known: dict) -> tuple[np.ndarray, Predictor, np.ndarray]:
        """Validated rows, what predicts, and what is known of the rows."""
        if hasattr(self, "_predictor"):
            X = self._validate_new(X)
            return X, self._predictor, self._predictor.rows_known(known, len(X))
        names, X = _get_feature_names(X), self._validate_new(X)
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
        if given.likelihood.mixes:
            raise ValueError(
                f"Before fit nothing is known of what {type(given.likelihood).__name__} learns: "
                "its mixing and its noise. Fit first."
            )
        default = ConstantKernel(1.0) * Matern(nu=2.5)
        kernel = default if self.kernel is None else self.kernel
        n_targets = 1 if self.n_targets is None else self.n_targets
        kernel = kernel_of_latents(given.likelihood, kernel, default, n_targets)
        parsed = kernels.parse(kernel, names)
        kernels.check_columns(parsed, X)
        noise, fixed = noise_given(given, parsed, 1.0)
        return prior_predictor(given.likelihood, parsed, noise, fixed, X.shape[1], n_targets)


def _one_or_all(values: np.ndarray) -> Any:
    """Of several targets an array, of one a number."""
    return float(values[0]) if len(values) == 1 else values
