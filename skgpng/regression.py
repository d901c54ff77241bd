"""Gaussian process regression as a scikit-learn estimator."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.gaussian_process.kernels import ConstantKernel, Matern
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _get_feature_names, check_is_fitted

from . import kernels, likelihoods
from ._estimator.base import BaseGaussianProcess
from ._estimator.plan import Options, Plan, merges_rows
from ._estimator.predictor import Predictor
from ._estimator.problem import Problem, Rows
from ._estimator.validation import (
    FLOATS,
    check_noise,
    check_range,
    check_shared,
    check_targets,
    check_weights,
    has_inducing_points,
    levels_of,
    rows_known,
    targets_at,
    validated,
)
from ._inference import Exact, Model
from ._inference.exact import evidence
from ._inference.posterior import nothing_known
from ._runtime import outside_graphs
from ._training.result import Result
from .inducing import merge_equal_rows
from .likelihoods import Likelihood, Noise, Units
from .parameters import Hyperparameters

__all__ = ["GaussianProcessRegressor"]

# What is known of each row may be routed, though `**known` does not tell scikit-learn.
_REQUESTS = dict.fromkeys(likelihoods.ROW_NAMES)
# Scores look at the mean of y, which does not depend on its noise.
_SCORE_REQUESTS = {
    name: None for of in likelihoods.NAMES.values() if not of.location for name in of.row_names
}
# Larger or smaller deviations of y are refused where it is not scaled: its squares must be finite
# and not zero.
_LARGEST_RAW = 1e150


class GaussianProcessRegressor(RegressorMixin, BaseGaussianProcess):
    r"""Gaussian process regression that scales, trained with natural gradients.

    With few rows this is exact Gaussian process regression; with ``n_inducing`` points it is a
    sparse variational approximation whose cost grows linearly with the number of rows. With a
    Gaussian likelihood one natural-gradient step of size 1 makes the variational distribution
    exact (Salimbeni, Eleftheriadis & Hensman 2018), so training moves the hyperparameters along
    the exact evidence (Rasmussen & Williams 2006, eq. 2.30) or the collapsed bound (Titsias
    2009, eq. 9).

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel, default=None
        Any scikit-learn kernel of ``ConstantKernel``, ``RBF``, ``Matern`` (nu 0.5, 1.5, 2.5 or
        inf), ``RationalQuadratic``, ``ExpSineSquared``, ``DotProduct``, those of
        :mod:`skgpng.kernels`, their sums, products and powers, and with ``n_inducing=None`` every
        other; a ``WhiteKernel`` term is the noise. Hyperparameters marked ``"fixed"`` stay, the
        others keep their bounds. ``None`` is a scaled Matern-5/2 with one length scale per column,
        set from the data: the columns need no scaling by the user, whatever their units. It has a
        weak prior, by which few rows are not overfitted: its length scales are near each other in
        units of their columns, the noise near a tenth of the variance of y. A kernel given is taken
        as it is, in the units of X and without a prior.
    likelihood : {"gaussian", "student_t", "poisson"} or Likelihood, default="gaussian"
        Distribution of y given the latent function f. ``"student_t"`` has heavy tails, so that
        outliers do not pull the function; its scale and its degrees of freedom (between 2.01,
        very heavy, and 1000, as good as normal) are learned. ``"poisson"`` is for counts 0, 1,
        2, ...: f is the logarithm of their rate, for each unit of the ``exposure`` of a row (see
        ``fit``), with a constant mean that is learned; it has no noise level, so no ``alpha`` and
        no ``WhiteKernel``. An object of :mod:`skgpng.likelihoods` may be one of your own. Only
        ``"gaussian"`` is exact: training steps of the others cost what they cost a classifier.
    alpha : float, default=None
        Noise variance, in the units of y squared, held fixed. ``None`` learns it. Beside a
        ``WhiteKernel`` it is added to the learned noise. 0 needs a ``WhiteKernel`` or the
        ``noise_variance`` of ``fit``, which then is all the noise there is. With ``"student_t"``
        it fixes the square of the scale, which is also what the noise level of a ``WhiteKernel``
        stands for (one of the two only); the degrees of freedom are learned all the same.
    n_inducing : int, None or "auto", default="auto"
        Number of inducing points; ``None`` uses every row. ``"auto"`` uses every row up to 1000
        of them, and 256 inducing points beyond.
    inducing_init : {"kmeans", "greedy_variance", "random"}, default="kmeans"
        How the inducing points are first placed; ``"greedy_variance"`` takes the row with the
        largest conditional variance again and again (Burt, Rasmussen & van der Wilk 2020), which
        is best in few dimensions.
    train_inducing : bool, default=True
        Whether training moves them.
    optimizer : {"auto", "adam", "lbfgs"} or None, default="auto"
        How the hyperparameters move. ``"adam"`` takes a step after each natural-gradient step;
        ``"lbfgs"`` (all rows only) maximises the ELBO at the best variational distribution for
        the hyperparameters; ``None`` keeps them. ``"auto"`` is L-BFGS for exact regression
        without inducing points, else Adam.
    gamma : float in (0, 1] or "auto", default="auto"
        Natural-gradient step size. ``"auto"`` is 1 where that step is exact (Gaussian noise, all
        rows in every step), 0.3 for other likelihoods on all rows, else 0.1.
    learning_rate : float or "auto", default="auto"
        Step size of Adam in the logarithm of the hyperparameters. ``"auto"`` is 0.1 where every
        step uses all rows, 0.03 with growing batches, else 0.01. It is cut to a third at each
        plateau of the ELBO (once batches grow no further).
    batch_size : int, None or "auto", default="auto"
        Rows per step; ``None`` uses all, in chunks that bound the memory. ``"auto"`` uses all as
        long as N times M is at most 2e7; beyond, max(1024, 4 M) rows at first, and four times as
        many after each plateau of the ELBO, up to 2**23 / M.
    max_iter : int, default=1000
        Largest number of passes over the rows: of steps where each takes all rows, of as many
        steps as the first batch size makes of them where it does not. The stopping rule ends
        training long before.
    tol : float, default=1e-4
        Gain of the ELBO per row that counts as an improvement.
    n_iter_no_change : int, default=10
        Passes over the data (with growing batches: tens of steps) without an improvement that
        make a plateau.
    early_stopping : bool, default=False
        Whether ``fit`` holds rows out, ends when their log predictive density has not grown by
        ``tol`` in ``n_iter_no_change`` looks (one each epoch, or every 5 steps), and keeps the
        best state.
    validation_fraction : float, default=0.1
        Share of rows held out by ``early_stopping``.
    n_restarts_optimizer : int, default=0
        Further trainings from hyperparameters drawn log-uniformly between their bounds; the one
        with the best ``elbo_`` (with the default kernel, ``elbo_`` and log prior together; with
        ``early_stopping``, the held-out score) is kept.
    warm_start : bool, default=False
        Whether ``fit`` begins where the last ``fit`` ended, where kernel and shapes still agree:
        hyperparameters, inducing points and their distribution.
    normalize_y : bool, default=True
        Whether y is scaled to zero mean and unit variance for training (with ``"student_t"`` by
        median and quartiles, which outliers do not move; counts never are). ``False`` takes y as
        it is: the mean of the prior is zero, the kernel given is in the units of y, and should fit
        them. The default kernel (``kernel=None``) has no units of its own: with it y is scaled
        either way. Predictions are in the units of y always; ``kernel_`` and ``elbo_`` are on the
        scaled y.
    n_targets : int, default=None
        Number of columns of y that predictions before ``fit`` have; ``None`` stands for one
        (without an axis of its own).
    jitter : float, default=1e-6
        Added to the diagonal of the kernel matrix of the inducing points, in units of the prior
        variance (of linear kernels: that of the slope among the points). Where that is too little
        to factorise it, training takes ten times as much, see ``jitter_``.
    dtype : {"float64", "float32"}, default="float64"
        Of the covariances between inducing points and rows while training, where the time goes;
        factorisations, models without inducing points and predictions are float64 either way,
        and so is all where rounding X would lose a kernel that is not stationary (``DotProduct``
        of columns that are not centred).
    verbose : int, default=0
        1 shows a line of progress (tqdm's where it is installed).
    random_state : int, RandomState instance or None, default=None
        Seeds the placing of inducing points, the minibatches, the rows held out and the restarts.

    Attributes
    ----------
    kernel_ : sklearn.gaussian_process.kernels.Kernel
        The kernel with the learned values (for scaled y).
    noise_variance_ : float or None
        Variance of the noise, in the units of y squared; of several targets an array. None where
        it depends on f, as that of counts does.
    likelihood_ : dict
        What was learned of the likelihood, in the units of y: ``{"variance": ...}``, the same as
        ``noise_variance_``, or for ``"student_t"`` ``{"scale": ..., "df": ...}``, with
        ``noise_variance_`` = scale**2 df / (df - 2). Of several targets arrays, but one df. Of
        ``"poisson"`` nothing, ``{}``.
    inducing_points_ : ndarray of shape (M, n_features) or None
    elbo_ : float
        Evidence of the scaled y, or its lower bound where there are inducing points; without the
        prior of the default kernel.
    elbo_curve_ : ndarray of shape (``n_iter_``,)
        ``elbo_`` at each step.
    n_iter_ : int
    converged_ : bool
        Whether the ELBO (with ``early_stopping`` the held-out score) settled before ``max_iter``.
    jitter_ : float
        Jitter that training ended with; without inducing points 0, or what the kernel matrix of
        the rows needed beside the noise. In units of the prior variance.
    n_rejected_steps_ : int
        Steps that led to a state whose ELBO was not finite: training went back to the last good
        one and on with shorter steps.
    n_corrected_steps_ : int
        Natural-gradient steps that were changed so that the variational distribution keeps a
        positive definite precision, as likelihoods that are not log-concave ask for (with
        inducing points as Lin, Schmidt & Khan 2020; without, a row's own precision is held at
        zero).
    validation_scores_ : ndarray or None
        With ``early_stopping``: mean log density of the held-out rows at each look, scaled y.
    feature_relevances_ : ndarray of shape (n_features,)
        From the length scales, see there.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (``n_features_in_``,)
        Where X has column names.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng import GaussianProcessRegressor
    >>> X = np.linspace(0, 6, 40)[:, None]
    >>> model = GaussianProcessRegressor(random_state=0).fit(X, np.sin(X[:, 0]))
    >>> mean, std = model.predict([[1.5]], return_std=True)
    >>> print(abs(mean[0] - np.sin(1.5)) < 0.05, std.shape)
    True (1,)
    """

    __metadata_request__fit: ClassVar[dict] = _REQUESTS
    __metadata_request__partial_fit: ClassVar[dict] = _REQUESTS
    __metadata_request__predict: ClassVar[dict] = _REQUESTS
    __metadata_request__score: ClassVar[dict] = _SCORE_REQUESTS

    _parameter_constraints: ClassVar[dict] = {
        **BaseGaussianProcess._parameter_constraints,
        "alpha": [None, Interval(Real, 0, np.inf, closed="left")],
        "normalize_y": ["boolean"],
        "n_targets": [None, Interval(Integral, 1, None, closed="left")],
        "likelihood": [StrOptions(set(likelihoods.NAMES)), Likelihood],
    }

    def __init__(
        self,
        kernel: Any = None,
        *,
        likelihood: str | Likelihood = "gaussian",
        alpha: float | None = None,
        n_inducing: int | str | None = "auto",
        inducing_init: str = "kmeans",
        train_inducing: bool = True,
        optimizer: str | None = "auto",
        gamma: float | str = "auto",
        learning_rate: float | str = "auto",
        batch_size: int | str | None = "auto",
        max_iter: int = 1000,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_restarts_optimizer: int = 0,
        warm_start: bool = False,
        normalize_y: bool = True,
        n_targets: int | None = None,
        jitter: float = 1e-6,
        dtype: str = "float64",
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.kernel = kernel
        self.likelihood = likelihood
        self.alpha = alpha
        self.n_inducing = n_inducing
        self.inducing_init = inducing_init
        self.train_inducing = train_inducing
        self.optimizer = optimizer
        self.gamma = gamma
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_restarts_optimizer = n_restarts_optimizer
        self.warm_start = warm_start
        self.normalize_y = normalize_y
        self.n_targets = n_targets
        self.jitter = jitter
        self.dtype = dtype
        self.verbose = verbose
        self.random_state = random_state

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, noise_variance: Any = None, **known: Any
    ) -> GaussianProcessRegressor:
        """Learn kernel, noise and posterior.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Several targets share the kernel and the noise on their scaled values. One target is
            predicted as an array of shape (n_samples,), even where y is (n_samples, 1).
        sample_weight : array-like of shape (n_samples,), default=None
            A row of weight 2 counts as two rows.
        noise_variance : array-like of shape (n_samples,), default=None
            Known variance of the noise of each row, in the units of y squared; the learned or
            fixed noise comes on top. For Gaussian noise only.
        **known : array-like of shape (n_samples,)
            What else the likelihood may be told of each row: ``exposure`` for counts, the time,
            area or number of trials in which they were counted, positive, 1 by default. The mean
            of y is exposure times exp(f).

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For a parameter out of its range, NaN or infinity, values of X beyond 1e150 or of y
            beyond 1e250, values of y that the likelihood cannot have, shapes that do not fit, a
            kernel setting that is not supported, or matrices that do not fit into memory; before
            any training.
        numpy.linalg.LinAlgError
            A ValueError, where the kernel matrix cannot be factorised, with what helps.
        TypeError
            For a kernel class that is not supported, or an argument that no likelihood has.
        RuntimeError
            Inside a ``tf.Graph``, and with TensorFlow's eager execution off.
        """
        return self._fit(X, y, sample_weight, noise_variance=noise_variance, **known)

    @available_if(has_inducing_points)
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, noise_variance: Any = None, **known: Any
    ) -> GaussianProcessRegressor:
        """Learn from more rows, without forgetting those seen before and without keeping them.

        What was learned so far stays as the distribution of the function at the inducing points;
        new rows, hyperparameters and inducing points are trained together against it, to the
        stopping rule of ``fit`` (streaming sparse approximation: Bui, Nguyen & Turner 2017). Time
        and memory of a call do not depend on how many rows came before. y is scaled as in the
        first call. Goes on from ``fit`` too. Not there with ``n_inducing=None``; ``"auto"``
        stands for 256 inducing points here.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Some hundred rows and more are best: the first call sets scales and places points.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), default=None
        noise_variance : array-like of shape (n_samples,), default=None
        **known : array-like of shape (n_samples,)
            All as in ``fit``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As ``fit``, and with ``early_stopping``.

        Examples
        --------
        >>> import numpy as np
        >>> from skgpng import GaussianProcessRegressor
        >>> X = np.linspace(0, 6, 60)[:, None]
        >>> y = np.sin(X[:, 0])
        >>> model = GaussianProcessRegressor(n_inducing=15, random_state=0)
        >>> for rows in (slice(0, None, 3), slice(1, None, 3), slice(2, None, 3)):
        ...     model = model.partial_fit(X[rows], y[rows])
        >>> print(model.score(X, y) > 0.99)
        True
        """
        return self._partial_fit(X, y, sample_weight, noise_variance=noise_variance, **known)

    def _problem(self, X: Any, y: Any, start: str, sample_weight: Any, given: dict) -> Problem:
        likelihood = likelihoods.named(self.likelihood)
        X, Y, weights, known = self._rows(likelihood, X, y, start, sample_weight, given)
        kernel = self._start_kernel(X, weights, start)
        parsed = kernels.parse(kernel, self._column_names)
        check_shared(kernel)
        parsed, start = self._start_values(parsed, start, X)
        units, spread = self._units(likelihood, Y, weights, start, given)
        known = likelihood.scaled_row(known, units.scale)
        noise, fixed = self._noise_given(likelihood, parsed, units.scale[0])
        observation = likelihood.parameters(noise, spread)
        noise_start = _noise_level(likelihood, observation)
        if likelihood.conjugate:
            level = likelihood.noise_of_rows((observation[0].value,), known)
            check_noise((level + fixed) / spread)
        elif likelihood.noise is not None:
            check_noise(np.asarray(noise_start / spread))
        rows = Rows(X, (Y - units.shift) / units.scale, weights, known + fixed)
        mean = likelihood.mean.parameters(likelihood.offset(rows.Y, weights, rows.row))
        if start in ("warm", "on") and self._predictor.likelihood == likelihood:
            observation = _going_on(observation, self._predictor.values)
            mean = _going_on(mean, self._predictor.posterior.mean_values)
        return Problem(
            rows=rows,
            likelihood=likelihood,
            observation=observation,
            mean=mean,
            n_latent=likelihood.n_latent(Y.shape[1]),
            kernel=kernel,
            parsed=parsed,
            units=units,
            spread=spread,
            noise_start=noise_start,
            fixed_noise=fixed,
            given_noise=self._given_noise(),
            start=start,
        )

    @property
    def _scales_y(self) -> bool:
        """Whether y is trained on in units of its own: the default kernel has no other."""
        return self.normalize_y or self.kernel is None

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
        self, likelihood: Likelihood, X: Any, y: Any, start: str, sample_weight: Any, given: dict
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Validated X, y [N, P], positive weights, and what is known of each row [N, R]."""
        X, y = validated(self, X, y, reset=start != "on", multi_output=True, y_numeric=True)
        weights = check_weights(sample_weight, X)
        known = rows_known(likelihood, given, len(X))
        check_targets(y, self.n_targets, len(self._units_.scale) if start == "on" else None)
        keep = weights > 0
        # rows without weight may hold anything; the others are named by their place
        likelihood.check(np.where(keep.reshape(-1, *[1] * (y.ndim - 1)), y, y[keep][0]))
        X, y, weights, known = X[keep], y[keep].astype(np.float64), weights[keep], known[keep]
        check_range(X, self.dtype)
        if merges_rows(Options.of(self), len(X), self._tuning):
            rows, weights = merge_equal_rows(weights, X, y, known)
            X, y, known = X[rows], y[rows], known[rows]
        return X, y.reshape(len(y), -1), weights, known

    @property
    def _units_(self) -> Units:
        return self._predictor.units

    def _units(
        self, likelihood: Likelihood, Y: np.ndarray, weights: np.ndarray, start: str, given: dict
    ) -> tuple[Units, float]:
        """Units of each target, and their variance in it; later the first call's."""
        known = {name: v for name, v in {"alpha": self.alpha, **given}.items() if v is not None}
        if start == "on":
            return self._units_, self._spread_of_y
        units = likelihood.units(Y, weights)
        if not likelihood.location:
            return units, 1.0
        if self.normalize_y:
            if known and Y.shape[1] > 1:
                name = next(iter(known))
                raise ValueError(
                    f"{name} is in the units of y squared, but normalize_y=True gives each of the "
                    f"{Y.shape[1]} targets a unit of its own. Set normalize_y=False or {name}=None."
                )
            return units, 1.0
        if self.kernel is None:  # noise that is known needs one unit for all targets
            largest = np.full_like(units.scale, units.scale.max())
            return (units._replace(scale=largest) if known else units), 1.0
        size = np.maximum(np.abs(units.shift), units.scale)
        if not np.all((size <= _LARGEST_RAW) & (units.scale >= 1.0 / _LARGEST_RAW)):
            raise ValueError(
                f"normalize_y=False takes y as it is, but its mean is {units.shift.tolist()} and "
                f"its standard deviation {units.scale.tolist()}: squares leave the range of "
                f"numbers beyond {_LARGEST_RAW:g} and its inverse. Set normalize_y=True."
            )
        raw = Units(np.zeros_like(units.shift), np.ones_like(units.scale))
        return raw, float(np.mean(units.scale**2))

    def _noise_given(
        self, likelihood: Likelihood, parsed: kernels.ParsedKernel, unit: float
    ) -> tuple[Noise | None, float]:
        """The noise level that alpha or a WhiteKernel gives, and the fixed noise beside it."""
        with np.errstate(over="ignore", under="ignore"):
            alpha = None if self.alpha is None else float(self.alpha / unit / unit)
        if parsed.noise is None:
            return (None if alpha is None else Noise(alpha, (alpha, alpha), False)), 0.0
        if alpha and not likelihood.conjugate:
            raise ValueError(
                f"alpha={self.alpha} and the WhiteKernel ({parsed.noise.name}) both give the noise "
                f"level of likelihood={self.likelihood!r}. Set alpha=None, or leave the "
                "WhiteKernel out."
            )
        low, high = parsed.noise.bounds.tolist()
        return Noise(float(parsed.noise.value), (low, high), parsed.noise.free), alpha or 0.0

    def _given_noise(self) -> str:
        """What fixes the noise."""
        if self.alpha:
            return f"alpha={self.alpha:g}, in the units of y squared"
        return "noise_variance of fit, or a WhiteKernel that is fixed"

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

    # --- predicting ----------------------------------------------------------------------

    @outside_graphs
    def predict(
        self,
        X: Any,
        return_std: bool = False,
        return_cov: bool = False,
        *,
        include_noise: bool = True,
        **known: Any,
    ) -> Any:
        """Predictive mean, with standard deviation or covariance on request.

        Before ``fit`` it is the prior's: mean zero, the kernel as given, and with
        ``include_noise`` the noise of a ``WhiteKernel`` and ``alpha``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        return_std : bool, default=False
            Whether to return the standard deviation too.
        return_cov : bool, default=False
            Whether to return the covariance between the rows of X too.
        include_noise : bool, default=True
            Whether standard deviation and covariance are those of y, noise included, or those of
            its mean as a function of X.
        **known : array-like of shape (n_samples,)
            Of the rows of X, as in ``fit``: ``exposure`` for counts, 1 by default; for Gaussian
            noise ``noise_variance``, which comes on top of that learned, 0 by default.

        Returns
        -------
        y_mean : ndarray of shape (n_samples,) or (n_samples, n_targets)
        y_std : ndarray of the same shape
            Only with ``return_std``; in the units of y.
        y_cov : ndarray of shape (n_samples, n_samples) or (n_samples, n_samples, n_targets)
            Only with ``return_cov``; in the units of y squared.

        Raises
        ------
        ValueError
            If both ``return_std`` and ``return_cov`` are set, or X does not fit; if ``return_cov``
            is set and the mean of y is not the latent function itself.
        TypeError
            For an argument that no likelihood has.
        """
        if return_std and return_cov:
            raise ValueError("return_std=True and return_cov=True exclude each other: ask for one.")
        X, model, row = self._at(X, known)
        if return_cov:
            mean, cov = model.mean_and_covariance(X, row, include_noise)
            return _columns(mean), _columns(cov)
        if not return_std:
            return _columns(model.mean(X, row))
        mean, std = model.mean_and_std(X, row, include_noise)
        return _columns(mean), _columns(std)

    @outside_graphs
    def predict_quantiles(
        self, X: Any, quantiles: Any = (0.025, 0.5, 0.975), **known: Any
    ) -> np.ndarray:
        """Quantiles of the predictive distribution of y, noise included.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        quantiles : sequence of float in (0, 1), default=(0.025, 0.5, 0.975)
        **known : array-like of shape (n_samples,)
            As in ``predict``.

        Returns
        -------
        ndarray of shape (n_samples, n_quantiles) or (n_samples, n_targets, n_quantiles)
            In the units of y; of counts the smallest whose probability, together with that of all
            below, reaches the quantile.

        Raises
        ------
        ValueError
            If a quantile is not between 0 and 1.
        """
        levels = levels_of(quantiles)
        X, model, row = self._at(X, known)
        values = model.quantiles(X, levels, row)
        return values[:, 0] if values.shape[1] == 1 else values

    @outside_graphs
    def log_predictive_density(self, X: Any, y: Any, **known: Any) -> np.ndarray:
        """Log density of each target under its predictive distribution, noise included.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        **known : array-like of shape (n_samples,)
            As in ``predict``.

        Returns
        -------
        ndarray of shape (n_samples,)
            In nats, for densities in the units of y; summed over targets. Of counts the log
            probability.

        Examples
        --------
        >>> import numpy as np
        >>> from skgpng import GaussianProcessRegressor
        >>> X = np.linspace(0, 6, 40)[:, None]
        >>> model = GaussianProcessRegressor(random_state=0).fit(X, np.sin(X[:, 0]))
        >>> model.log_predictive_density(X, np.sin(X[:, 0])).shape
        (40,)
        """
        X, model, row = self._at(X, known)
        return model.log_density(X, targets_at(X, y, len(model.units.scale)), row)

    @outside_graphs
    def crps(self, X: Any, y: Any, **known: Any) -> np.ndarray:
        """Continuous ranked probability score of the prediction of each row, noise included.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        **known : array-like of shape (n_samples,)
            As in ``predict``.

        Returns
        -------
        ndarray of shape (n_samples,)
            In the units of y, smaller is better; averaged over targets. For Gaussian noise it is
            :func:`skgpng.metrics.gaussian_crps`.

        Examples
        --------
        >>> import numpy as np
        >>> from skgpng import GaussianProcessRegressor
        >>> X = np.linspace(0, 6, 40)[:, None]
        >>> model = GaussianProcessRegressor(random_state=0).fit(X, np.sin(X[:, 0]))
        >>> print(model.crps(X, np.sin(X[:, 0])).max() < 0.01)
        True
        """
        X, model, row = self._at(X, known)
        return model.crps(X, targets_at(X, y, len(model.units.scale)), row)

    @outside_graphs
    def sample_y(
        self,
        X: Any,
        n_samples: int = 1,
        random_state: Any = 0,
        *,
        include_noise: bool = True,
        **known: Any,
    ) -> np.ndarray:
        """Draw from the predictive distribution, jointly over the rows of X.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
        n_samples : int, default=1
            Draws.
        random_state : int, RandomState instance or None, default=0
        include_noise : bool, default=True
            Whether to draw y, noise included, or its mean as a function of X.
        **known : array-like of shape (n_samples_X,)
            As in ``predict``.

        Returns
        -------
        ndarray of shape (n_samples_X, n_samples) or (n_samples_X, n_targets, n_samples)
            In the units of y.
        """
        rng = check_random_state(random_state)
        X, model, row = self._at(X, known)
        draws = model.draws(X, n_samples, rng, row, include_noise)
        return draws[:, 0] if draws.shape[1] == 1 else draws

    def score(self, X: Any, y: Any, sample_weight: Any = None, **known: Any) -> float:
        """Share of y that the predictions explain.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), default=None
        **known : array-like of shape (n_samples,)
            As in ``predict``.

        Returns
        -------
        float
            The coefficient of determination R^2 of ``predict``, or what takes its place for the
            likelihood: for counts D^2, their share of the deviance
            (:func:`sklearn.metrics.d2_tweedie_score` of power 1).
        """
        likelihood = likelihoods.named(self.likelihood)
        return likelihood.score(y, self.predict(X, **known), sample_weight)

    @outside_graphs
    def log_marginal_likelihood(
        self, theta: Any = None, eval_gradient: bool = False, clone_kernel: bool = True
    ) -> Any:
        """Log marginal likelihood of the scaled training targets, or its lower bound.

        Parameters
        ----------
        theta : array-like of shape (n_kernel_params,), default=None
            Logarithms of the free hyperparameters, ordered as ``kernel_.theta``; everything else
            stays as learned. ``None`` stands for the learned values and gives ``elbo_``: the
            evidence without inducing points, else its lower bound.
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
                "log_marginal_likelihood at another theta needs the training rows, which are kept "
                "by exact regression only: set n_inducing=None, gamma='auto' and "
                "likelihood='gaussian'."
            )
        return self._evidence(np.asarray(theta, dtype=float), eval_gradient)

    def _evidence(self, theta: np.ndarray, eval_gradient: bool) -> Any:
        kernel = self.kernel_.clone_with_theta(theta)
        parsed = kernels.parse(kernel, self._column_names)
        noise = self._predictor.values[0]
        if parsed.noise_name is not None:
            noise = kernel.get_params()[parsed.noise_name]
        model = self._predictor
        value, gradients = evidence(
            Model(Exact(), parsed.structure, model.likelihood, model.posterior.n_latent),
            Hyperparameters(parsed.values, (np.float64(noise),)),
            self._exact_data,
            self.jitter_,
        )
        if not eval_gradient:
            return value
        names = [*parsed.names, parsed.noise_name]
        of = dict(zip(names, (*gradients.kernel, *gradients.likelihood), strict=True))
        free = [h.name for h in kernel.hyperparameters if not h.fixed]
        # the derivative in the logarithm of a value x is x times that in x
        real = {p.name for p in parsed.parameters if p.real}
        each = [np.ravel(of[n] * (1.0 if n in real else kernel.get_params()[n])) for n in free]
        return value, np.concatenate([np.zeros(0), *each])  # also where everything is fixed

    @property
    def log_marginal_likelihood_value_(self) -> float:
        """``elbo_`` by the name that scikit-learn's regressor has for it."""
        return self.elbo_

    def __sklearn_tags__(self) -> Any:
        """Tags of scikit-learn: several targets are welcome."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.requires_fit = False  # the prior predicts
        return tags

    def _validate_new(self, X: Any) -> np.ndarray:
        if hasattr(self, "_predictor"):
            return super()._validate_new(X)
        # no columns are known yet: validate_data would warn of their names
        return check_array(X, dtype=FLOATS, estimator=self, input_name="X")

    def _at(self, X: Any, known: dict) -> tuple[np.ndarray, Predictor, np.ndarray]:
        """Validated rows, what predicts, and what is known of the rows."""
        names, X = _get_feature_names(X), self._validate_new(X)
        model = self._predictor if hasattr(self, "_predictor") else self._prior(X, names)
        return X, model, model.rows_known(known, len(X))

    def _prior(self, X: np.ndarray, names: Any) -> Predictor:
        """What is known before ``fit``: the kernel, and noise that is given."""
        self._validate_params()
        likelihood = likelihoods.named(self.likelihood)
        kernel = ConstantKernel(1.0) * Matern(nu=2.5) if self.kernel is None else self.kernel
        parsed = kernels.parse(kernel, names)
        check_shared(kernel)
        kernels.check_columns(parsed, X)
        noise, fixed = self._noise_given(likelihood, parsed, 1.0)
        P = 1 if self.n_targets is None else self.n_targets
        if noise is None and likelihood.noise is not None:
            # noise that is yet to be learned is not known
            noise = Noise(0.0, (0.0, 0.0), False)
        values = tuple(p.value for p in likelihood.parameters(noise, 1.0))
        L, units = likelihood.n_latent(P), Units(np.zeros(P), np.ones(P))
        p = nothing_known(parsed.structure, parsed.values, X.shape[1], L)
        return Predictor(p, likelihood, values, units, fixed)


def _going_on(parameters: tuple, learned: tuple) -> tuple:
    """Parameters that begin where the last fit left them, if they are as many."""
    return tuple(
        p._replace(value=np.clip(v, *np.moveaxis(p.bounds, -1, 0)))
        if np.shape(v) == np.shape(p.value)
        else p
        for p, v in zip(parameters, learned, strict=True)
    )


def _noise_level(likelihood: Likelihood, parameters: tuple) -> float:
    """Noise level that training begins with; 0 where there is none."""
    if likelihood.noise is None:
        return 0.0
    return float(likelihood.noise_level(tuple(p.value for p in parameters)))


def _one_or_all(values: np.ndarray) -> Any:
    """Of several targets an array, of one a number."""
    return float(values[0]) if len(values) == 1 else values


def _columns(values: np.ndarray) -> np.ndarray:
    """[..., P], or [...] where there is one target, whatever the shape of the y fitted."""
    return values[..., 0] if values.shape[-1] == 1 else values
