"""Gaussian process regression as a scikit-learn estimator."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy.special import ndtri
from sklearn.base import RegressorMixin
from sklearn.gaussian_process.kernels import CompoundKernel, ConstantKernel, Matern
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from . import _starts, kernels, posterior, steps
from ._base import (
    FLOATS,
    BaseGaussianProcess,
    Plan,
    Problem,
    check_range,
    check_row_noise,
    check_weights,
    has_inducing_points,
    validated,
)
from ._diagnosis import lone_value
from ._tensorflow import outside_graphs
from .inducing import merge_equal_rows, power_of_two
from .likelihoods import Gaussian, Likelihood, StudentT
from .metrics import gaussian_crps, gaussian_log_density
from .parameters import CauchyPrior, Parameter
from .structures import Hyperparameters, Result

__all__ = ["GaussianProcessRegressor"]

# Learned noise variance: start and bounds, as shares of the variance of y.
_NOISE_START, _NOISE_BOUNDS = 0.1, (1e-6, 1e2)
# Width of its prior beside the default kernel, Cauchy in the logarithm about the start: without,
# 100 rows of boston had an NLPD of 0.55 and not 0.53; as a normal density it cost wine_red 0.02.
_NOISE_WIDTH = 1.0
# Learned degrees of freedom. Above 2 the noise has a variance, which `predict(return_std=True)` and
# `noise_variance_` report; from 1000 on no data tell Student-t noise from normal noise.
_DF_START, _DF_BOUNDS = 4.0, (2.01, 1e3)
# Rows of which less than this share of the variance is missed are gone through.
_HARDLY = 0.1
# Natural-gradient step where it is not exact: at 1 the hyperparameters follow a q that overshoots.
_GAMMA = 0.3
# Rows of a predictive distribution that is no normal one that are integrated together.
_BLOCK = 2048
# Distance between the quartiles of a standard normal variable.
_QUARTILES = 1.3489795003921634
# Larger values of y are refused; with a smaller deviation it is constant (no reciprocal); unscaled
# its squares must be finite and not zero.
_LARGEST_Y, _SMALLEST_STD, _LARGEST_RAW = 1e250, 1e-305, 1e150
# Noise of a row in the variance of y: beyond, its precision is next to nothing.
_MOST_NOISE = 1e100


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
        inf), ``RationalQuadratic``, ``ExpSineSquared``, ``DotProduct``, their sums, products and
        powers; a ``WhiteKernel`` term is the noise. Hyperparameters marked ``"fixed"`` stay,
        the others keep their bounds. ``None`` is a scaled Matern-5/2 with one length scale per
        column, set from the data: the columns need no scaling by the user, whatever their units.
        It has a weak prior, by which few rows are not overfitted: its length scales are near each
        other in units of their columns, the noise near a tenth of the variance of y. A kernel given
        is taken as it is, in the units of X and without a prior.
    likelihood : {"gaussian", "student_t"}, default="gaussian"
        Distribution of y around the latent function. ``"student_t"`` has heavy tails, so that
        outliers do not pull the function; its scale and its degrees of freedom (between 2.01,
        very heavy, and 1000, as good as normal) are learned. It is never exact: training steps
        cost what they cost a classifier.
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
        rows in every step), 0.3 for Student-t noise on all rows, else 0.1.
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
        median and quartiles, which outliers do not move). ``False`` takes y as it is: the mean of
        the prior is zero, the kernel given is in the units of y, and should fit them. The default
        kernel (``kernel=None``) has no units of its own: with it y is scaled either way.
        Predictions are in the units of y always; ``kernel_`` and ``elbo_`` are on the scaled y.
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
    noise_variance_ : float
        Variance of the noise, in the units of y squared; of several targets an array.
    likelihood_ : dict
        What was learned of the likelihood, in the units of y: ``{"variance": ...}``, the same as
        ``noise_variance_``, or for ``"student_t"`` ``{"scale": ..., "df": ...}``, with
        ``noise_variance_`` = scale**2 df / (df - 2). Of several targets arrays, but one df.
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

    _parameter_constraints: ClassVar[dict] = {
        **BaseGaussianProcess._parameter_constraints,
        "alpha": [None, Interval(Real, 0, np.inf, closed="left")],
        "normalize_y": ["boolean"],
        "n_targets": [None, Interval(Integral, 1, None, closed="left")],
        "likelihood": [StrOptions({"gaussian", "student_t"})],
    }

    def __init__(
        self,
        kernel: Any = None,
        *,
        likelihood: str = "gaussian",
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
        self, X: Any, y: Any, sample_weight: Any = None, noise_variance: Any = None
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

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For a parameter out of its range, NaN or infinity, values of X beyond 1e150 or of y
            beyond 1e250, shapes that do not fit, a kernel setting that is not supported, or
            matrices that do not fit into memory; before any training.
        numpy.linalg.LinAlgError
            A ValueError, where the kernel matrix cannot be factorised, with what helps.
        TypeError
            For a kernel class that is not supported.
        RuntimeError
            Inside a ``tf.Graph``, and with TensorFlow's eager execution off.
        """
        return self._fit(X, y, sample_weight=sample_weight, noise_variance=noise_variance)

    @available_if(has_inducing_points)
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, noise_variance: Any = None
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
            Both as in ``fit``.

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
        return self._partial_fit(X, y, sample_weight=sample_weight, noise_variance=noise_variance)

    def _problem(
        self, X: Any, y: Any, start: str, sample_weight: Any, noise_variance: Any = None, **_: Any
    ) -> Problem:
        self._check_student_t(noise_variance)
        X, y, weights, known = self._rows(X, y, start, sample_weight, noise_variance)
        kernel = self._start_kernel(X, weights, start)
        parsed = kernels.parse(kernel)
        _check_shared(kernel)
        parsed, start = self._start_values(parsed, start, X)
        Y = y.reshape(len(y), -1)
        self._check_known_noise(noise_variance, Y.shape[1])
        scaling = self._scaling(Y, weights, start, noise_variance is not None)
        mean, std, spread = self._robust(Y, weights, start, *scaling)
        known = _in_units_of(std[0], known)
        noise, bounds, free, fixed = self._noise_start(kernel, parsed, spread, std[0])
        _check_noise((noise + fixed + known) / spread)
        if fixed:
            self._check_student_t(alpha_beside=parsed.noise_name)
        likelihood, observation = self._likelihood_start(noise, bounds, free, start)
        return Problem(
            X=X,
            Y=(Y - mean) / std,
            weights=weights,
            row_noise=known + fixed,
            likelihood=likelihood,
            observation=observation,
            n_latent=Y.shape[1],
            kernel=kernel,
            parsed=parsed,
            conjugate=isinstance(likelihood, Gaussian),
            attributes={
                "_y_mean": mean,
                "_y_std": std,
                "_y_spread": spread,
                "_fixed_noise": fixed,
            },
            gamma=1.0 if isinstance(likelihood, Gaussian) else _GAMMA,
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

    def _check_student_t(self, noise_variance: Any = None, alpha_beside: str | None = None) -> None:
        """Raise ValueError for noise that a Student-t likelihood cannot have."""
        if self.likelihood != "student_t":
            return
        if noise_variance is not None:
            raise ValueError(
                "noise_variance, the variance of Gaussian noise of each row, cannot be added to "
                "likelihood='student_t'. Set likelihood='gaussian' or noise_variance=None."
            )
        if alpha_beside is not None:
            raise ValueError(
                f"alpha={self.alpha} and the WhiteKernel ({alpha_beside}) both give the square of "
                "the scale of likelihood='student_t'. Set alpha=None, or leave the WhiteKernel out."
            )

    def _robust(
        self,
        Y: np.ndarray,
        weights: np.ndarray,
        start: str,
        mean: np.ndarray,
        std: np.ndarray,
        spread: float,
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """For Student-t noise, centre and unit that outliers do not move."""
        if self.likelihood != "student_t" or start == "on":
            return mean, std, spread
        median, unit = _median_and_unit(Y, weights, std)
        return (median, unit, 1.0) if self._scales_y else (mean, std, float(np.mean(unit**2)))

    def _likelihood_start(
        self, noise: Any, bounds: tuple, free: bool, start: str
    ) -> tuple[Likelihood, tuple[Parameter, ...]]:
        """Likelihood and its parameters."""
        prior = self._noise_prior(noise) if free and self.kernel is None else None
        likelihood: Likelihood = Gaussian()
        parameters = (Parameter("variance", noise, np.array(bounds), free, prior=prior),)
        if self.likelihood == "student_t":
            likelihood = StudentT()
            limits = np.sqrt(bounds)
            scale = Parameter("scale", np.sqrt(noise), limits, free, prior=prior)
            parameters = scale, Parameter("df", _DF_START, np.array(_DF_BOUNDS))
        if start in ("warm", "on") and self._likelihood == likelihood:
            learned = zip(parameters, self._likelihood_values, strict=True)
            parameters = tuple(p._replace(value=np.clip(v, *p.bounds)) for p, v in learned)
        return likelihood, parameters

    def _rows(
        self, X: Any, y: Any, start: str, sample_weight: Any, noise_variance: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Validated X, y, positive weights and known noise variances."""
        reset = start != "on"
        X, y = validated(self, X, y, reset=reset, multi_output=True, y_numeric=True)
        weights = check_weights(sample_weight, X)
        known = check_row_noise(noise_variance, X)
        self._check_targets(y, start)
        keep = weights > 0
        X, y, weights, known = X[keep], y[keep].astype(np.float64), weights[keep], known[keep]
        check_range(X, self.dtype)
        if self._is_small(len(X)):
            rows, weights = merge_equal_rows(weights, X, y, known)
            X, y, known = X[rows], y[rows], known[rows]
        return X, y, weights, known

    def _as_regression(self, problem: Problem) -> tuple[_starts.Rows, float, Any]:
        first = problem.observation[0]
        Y, noise = problem.Y, first.value
        if problem.conjugate:
            bounds = first.bounds if first.free else None
        else:  # outliers count as one unit; what is looked for is where the kernel starts
            unit, bounds = np.sqrt(problem.attributes["_y_spread"]), None
            Y, noise = np.clip(Y, -unit, unit), max(noise**2, 0.25 * unit**2)
        return _starts.Rows(problem.X, Y, problem.weights, problem.row_noise), noise, bounds

    def _own_attributes(self, plan: Plan, result: Result) -> dict:
        exact = plan.structure.model == "gpr"
        known = plan.problem.attributes
        likelihood, values = plan.problem.likelihood, result.theta.likelihood
        unit = known["_y_std"]
        noise = _noise_of(likelihood, values) + known["_fixed_noise"]
        with np.errstate(over="ignore"):  # y of 1e200: the honest variance is infinite
            attributes = {
                "noise_variance_": _one_or_all(noise * unit**2),
                "_exact_data": plan.data if exact else None,
            }
        if isinstance(likelihood, Gaussian):
            return attributes | {"likelihood_": {"variance": attributes["noise_variance_"]}}
        scale, df = values
        learned = {"scale": _one_or_all(scale * unit), "df": float(df)}
        return attributes | {"likelihood_": learned}

    def _unsuited(self, plan: Plan, result: Result) -> str:
        problem = plan.problem
        if not problem.conjugate:
            return ""
        row = lone_value(problem.Y)
        if row is not None:
            return (
                f"One value of y ({self._y_mean[0] + self._y_std[0] * row:.3g}) holds nearly all "
                "of its variance. Leave it out if it is an error, or set likelihood='student_t'."
            )
        if problem.observation[0].free:
            return ""
        rows, noise, _ = self._as_regression(problem)
        start = _starts.Start(result.theta.kernel, noise)
        gain, share = _starts.missing_noise(problem.parsed, start, rows)
        if not gain:
            return ""
        return (
            f"The noise given ({self._given_noise()}) is far less than y scatters: with a noise of "
            f"{share:g} of its mean square the log evidence of some rows is {gain:.0f} nats "
            "higher. Raise it, or leave alpha=None to learn it."
        )

    def _given_noise(self) -> str:
        """What fixes the noise."""
        if self.alpha:
            return f"alpha={self.alpha:g}, in the units of y squared"
        return "noise_variance of fit, or a WhiteKernel that is fixed"

    def _nothing_explained(self, plan: Plan, result: Result, share: np.ndarray) -> str:
        target, problem = int(np.argmin(share)), plan.problem
        where = f"y[:, {target}]" if len(share) > 1 else "y"
        total = np.asarray(self._noise_level(result.theta.likelihood) + problem.row_noise)
        variance = np.var(problem.Y[:, target])
        fraction = float(np.mean(total) / variance)
        if plan.structure.model == "gpr":
            missed = total / problem.weights * self._posterior.weights[:, target]
            if np.mean(missed**2) < _HARDLY * variance:
                return self._goes_through(plan, where, fraction)
        if fraction > 1.0 and (not problem.observation[0].free or problem.row_noise.any()):
            return (
                f"The fit explains next to nothing of {where}: the noise given (alpha or "
                f"noise_variance, in the units of y squared), {fraction:.3g} times its variance, "
                "hides everything. Make it smaller, or leave alpha=None to learn it."
            )
        raw = "" if self._scales_y else ", or set normalize_y=True"
        return (
            f"The fit explains next to nothing of {where}, it calls everything noise. If {where} "
            f"depends on X, {self._advice_on_scales(plan)}{raw}."
        )

    def _goes_through(self, plan: Plan, where: str, fraction: float) -> str:
        """A warning of rows that tell nothing about each other."""
        begin = (
            f"The fit goes through every row of {where} but learns nothing from one row for "
            "another."
        )
        if plan.problem.observation[0].free:
            return (
                f"{begin} Its length scales are far below the distances between rows: "
                f"{self._advice_on_scales(plan)}, or leave kernel=None."
            )
        return (
            f"{begin} The noise given ({self._given_noise()}), {fraction:.1g} of the variance of "
            f"{where}, may be too small: raise it, or leave alpha=None to learn it."
        )

    def _noise_level(self, values: tuple) -> Any:
        """The variance of Gaussian noise, the square of the scale of Student-t noise."""
        return values[0] if self.likelihood == "gaussian" else values[0] ** 2

    def _check_targets(self, y: np.ndarray, start: str) -> None:
        n_targets = 1 if y.ndim == 1 else y.shape[1]
        if self.n_targets is not None and n_targets != self.n_targets:
            raise ValueError(
                f"y has {n_targets} targets, but n_targets={self.n_targets}. Set it to None or to "
                "the number of columns of y."
            )
        if start == "on" and n_targets != len(self._y_mean):
            raise ValueError(
                f"y has {n_targets} targets, but earlier calls had {len(self._y_mean)}. Use fit to "
                "begin anew."
            )

    def _scaling(
        self, Y: np.ndarray, weights: np.ndarray, start: str, known_noise: bool
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """Mean and unit of each target, [P], and their variance in it; later the first call's."""
        if start == "on":
            return self._y_mean, self._y_std, self._y_spread
        mean, std = _scaling(Y, weights)
        if self.normalize_y:
            return mean, std, 1.0
        if self.kernel is None:  # noise that is known needs one unit for all targets
            shared = known_noise or self.alpha is not None
            return mean, np.full_like(std, std.max()) if shared else std, 1.0
        size = np.maximum(np.abs(mean), std)
        if not np.all((size <= _LARGEST_RAW) & (std >= 1.0 / _LARGEST_RAW)):
            raise ValueError(
                f"normalize_y=False takes y as it is, but its mean is {mean.tolist()} and its "
                f"standard deviation {std.tolist()}: squares leave the range of numbers beyond "
                f"{_LARGEST_RAW:g} and its inverse. Set normalize_y=True."
            )
        return np.zeros_like(mean), np.ones_like(std), float(np.mean(std**2))

    def _check_known_noise(self, noise_variance: Any, n_targets: int) -> None:
        if n_targets == 1 or not self.normalize_y:
            return
        for name, value in {"alpha": self.alpha, "noise_variance": noise_variance}.items():
            if value is not None:
                raise ValueError(
                    f"{name} is in the units of y squared, but normalize_y=True gives each of the "
                    f"{n_targets} targets a unit of its own. Set normalize_y=False or {name}=None."
                )

    def _noise_start(
        self, kernel: Any, parsed: kernels.ParsedKernel, spread: float, unit: float
    ) -> tuple[float, tuple[float, float], bool, float]:
        """Learned noise variance (start, bounds, whether it moves) and the fixed one beside it."""
        fixed = 0.0 if self.alpha is None else float(_in_units_of(unit, self.alpha))
        if parsed.noise_name is not None:
            white = kernel.get_params()[parsed.noise_name.removesuffix("__noise_level")]
            free = not white.hyperparameter_noise_level.fixed
            given = white.noise_level_bounds if free else (white.noise_level,) * 2
            low, high = np.ravel(given).tolist()
            return white.noise_level, (low, high), free, fixed
        if self.alpha is not None:
            return fixed, (fixed, fixed), False, 0.0
        low, high = _NOISE_BOUNDS
        return _NOISE_START * spread, (low * spread, high * spread), True, 0.0

    def _noise_prior(self, start: float) -> CauchyPrior:
        """For the logarithm of a variance, or of the scale that is its root."""
        share = 0.5 if self.likelihood == "student_t" else 1.0
        centre, width = share * np.log(start), share * _NOISE_WIDTH
        return CauchyPrior(np.array([[1.0 / width]]), np.array([centre / width]))

    # --- predicting ----------------------------------------------------------------------

    @outside_graphs
    def predict(
        self,
        X: Any,
        return_std: bool = False,
        return_cov: bool = False,
        *,
        include_noise: bool = True,
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
            the latent function f.

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
            If both ``return_std`` and ``return_cov`` are set, or X does not fit.
        """
        if return_std and return_cov:
            raise ValueError("return_std=True and return_cov=True exclude each other: ask for one.")
        X = self._validate_new(X)
        model = self._or_prior(X)
        if return_cov:
            f_mean, cov = model._latent_covariance(X)
            return model._in_units_of_y(f_mean), model._covariance_of_y(cov, include_noise)
        if not return_std:
            return model._in_units_of_y(model._latent_mean(X))
        f_mean, f_var = model._latent(X)
        std = np.sqrt(f_var + model._noise(include_noise)) * model._y_std
        return model._in_units_of_y(f_mean), model._like_y(std)

    @outside_graphs
    def predict_quantiles(self, X: Any, quantiles: Any = (0.025, 0.5, 0.975)) -> np.ndarray:
        """Quantiles of the predictive distribution of y, noise included.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        quantiles : sequence of float in (0, 1), default=(0.025, 0.5, 0.975)

        Returns
        -------
        ndarray of shape (n_samples, n_quantiles) or (n_samples, n_targets, n_quantiles)
            In the units of y.

        Raises
        ------
        ValueError
            If a quantile is not between 0 and 1.
        """
        levels = np.asarray(quantiles, dtype=float)
        if levels.ndim != 1 or not np.all((levels > 0) & (levels < 1)):
            raise ValueError(f"quantiles must lie strictly between 0 and 1, got {quantiles!r}.")
        model, rows = self._model_at(X)
        if model._is_normal():
            mean, std = self.predict(X, return_std=True)
            return mean[..., None] + std[..., None] * ndtri(levels)
        quantiles = functools.partial(model._likelihood.predict_quantiles, levels=levels)
        scaled = model._by_likelihood(quantiles, rows)  # [N, P, Q]
        return model._like_y(scaled * model._y_std[:, None] + model._y_mean[:, None])

    @outside_graphs
    def log_predictive_density(self, X: Any, y: Any) -> np.ndarray:
        """Log density of each target under its predictive distribution, noise included.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)

        Returns
        -------
        ndarray of shape (n_samples,)
            In nats, for densities in the units of y; summed over targets.

        Examples
        --------
        >>> import numpy as np
        >>> from skgpng import GaussianProcessRegressor
        >>> X = np.linspace(0, 6, 40)[:, None]
        >>> model = GaussianProcessRegressor(random_state=0).fit(X, np.sin(X[:, 0]))
        >>> model.log_predictive_density(X, np.sin(X[:, 0])).shape
        (40,)
        """
        model, rows = self._model_at(X)
        y = model._targets_at(rows, y)
        if model._is_normal():
            return gaussian_log_density(y, *self.predict(X, return_std=True))
        density = model._by_likelihood(model._likelihood.predict_log_density, rows, y)
        return np.sum(density - np.log(model._y_std), 1)

    @outside_graphs
    def crps(self, X: Any, y: Any) -> np.ndarray:
        """Continuous ranked probability score of the prediction of each row, noise included.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)

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
        model, rows = self._model_at(X)
        y = model._targets_at(rows, y)
        if model._is_normal():
            return gaussian_crps(y, *self.predict(X, return_std=True))
        scaled = model._by_likelihood(model._likelihood.predict_crps, rows, y)
        return np.mean(scaled * model._y_std, 1)

    @outside_graphs
    def sample_y(
        self, X: Any, n_samples: int = 1, random_state: Any = 0, *, include_noise: bool = True
    ) -> np.ndarray:
        """Draw from the predictive distribution, jointly over the rows of X.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
        n_samples : int, default=1
            Draws.
        random_state : int, RandomState instance or None, default=0
        include_noise : bool, default=True
            Whether to draw y, noise included, or the latent function f.

        Returns
        -------
        ndarray of shape (n_samples_X, n_samples) or (n_samples_X, n_targets, n_samples)
            In the units of y.
        """
        rng = check_random_state(random_state)
        model, X = self._model_at(X)
        f_mean, cov = model._latent_covariance(X)
        heavy = include_noise and not model._is_normal()
        noise = model._noise(include_noise and not heavy)
        draws = np.stack(
            [
                m[:, None] + root @ rng.standard_normal((len(X), n_samples))
                for m, root in zip(f_mean.T, model._covariance_roots(cov, noise, X), strict=True)
            ],
            1,
        )  # [N, P, n_samples]
        if heavy:
            scale, df = model._likelihood_values
            draws = draws + scale * rng.standard_t(df, draws.shape)
        scaled = draws * model._y_std[:, None] + model._y_mean[:, None]
        return scaled[:, 0] if len(model._y_mean) == 1 else scaled

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
            For a theta (or a gradient) with inducing points or Student-t noise: the rows are not
            kept. Or if ``eval_gradient`` is set without theta.
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
        parsed = kernels.parse(kernel)
        noise = self._likelihood_values[0]
        if parsed.noise_name is not None:
            noise = kernel.get_params()[parsed.noise_name]
        value, gradients = steps.evidence(
            self._kernel_structure,
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
        each = [np.ravel(of[n] * kernel.get_params()[n]) for n in free]
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
        if hasattr(self, "_posterior"):
            return super()._validate_new(X)
        # no columns are known yet: validate_data would warn of their names
        return check_array(X, dtype=FLOATS, estimator=self, input_name="X")

    def _or_prior(self, X: np.ndarray) -> Any:
        """The fitted estimator, or before ``fit`` one that knows nothing but the kernel."""
        if hasattr(self, "_posterior"):
            return self
        self._validate_params()
        kernel = ConstantKernel(1.0) * Matern(nu=2.5) if self.kernel is None else self.kernel
        parsed = kernels.parse(kernel)
        _check_shared(kernel)
        kernels.check_columns(parsed, X)
        # noise that is yet to be learned is not known
        known = 0.0 if parsed.noise_name is None else kernel.get_params()[parsed.noise_name]
        n_targets = 1 if self.n_targets is None else self.n_targets
        prior = copy.copy(self)
        prior._kernel_values = parsed.values
        prior._fixed_noise = self.alpha or 0.0
        if parsed.noise_name is not None and self.alpha is not None:
            self._check_student_t(alpha_beside=parsed.noise_name)
        level = known + prior._fixed_noise
        prior._likelihood, prior._likelihood_values = Gaussian(), (known,)
        if self.likelihood == "student_t" and level > 0:
            prior._likelihood, prior._fixed_noise = StudentT(), 0.0
            prior._likelihood_values = np.sqrt(level), _DF_START
        prior._kernel_structure = parsed.structure
        prior._posterior = posterior.nothing_known(X.shape[1], n_targets)
        prior._y_mean, prior._y_std = np.zeros(n_targets), np.ones(n_targets)
        return prior

    def _model_at(self, X: Any) -> tuple[Any, np.ndarray]:
        """What predicts (see :meth:`_or_prior`), and validated rows."""
        X = self._validate_new(X)
        return self._or_prior(X), X

    def _is_normal(self) -> bool:
        """Whether the predictive distribution is."""
        return isinstance(self._likelihood, Gaussian)

    def _noise(self, include_noise: bool) -> float:
        """Noise variance of the scaled y."""
        if not include_noise:
            return 0.0
        return float(_noise_of(self._likelihood, self._likelihood_values)) + self._fixed_noise

    def _targets_at(self, rows: np.ndarray, y: Any) -> np.ndarray:
        """Validated targets [N] or [N, P] of validated rows."""
        y = check_array(y, ensure_2d=False, dtype=np.float64)
        return self._like_y(y.reshape(len(rows), len(self._y_mean)))

    def _by_likelihood(self, method: Callable, X: np.ndarray, y: Any = None) -> np.ndarray:
        """What a method of the likelihood says of validated rows, [N, P, ...], scaled y.

        A block of rows at a time, as it takes many nodes for each.
        """
        rows: tuple = self._latent(X)
        if y is not None:
            rows = *rows, (y.reshape(rows[0].shape) - self._y_mean) / self._y_std
        starts = range(0, len(X), _BLOCK)
        blocks = [[a[start : start + _BLOCK] for a in rows] for start in starts]
        return np.concatenate([method(self._likelihood_values, *block) for block in blocks])

    def _in_units_of_y(self, f_mean: np.ndarray) -> np.ndarray:
        return self._like_y(f_mean * self._y_std + self._y_mean)

    def _like_y(self, values: np.ndarray) -> np.ndarray:
        """[N, P], or [N] where there is one target, whatever the shape of the y fitted."""
        return values[:, 0] if len(self._y_mean) == 1 else values

    def _covariance_of_y(self, cov: np.ndarray, include_noise: bool) -> np.ndarray:
        cov = cov + self._noise(include_noise) * np.eye(cov.shape[-1])
        cov = np.moveaxis(cov, 0, -1) * self._y_std**2
        return cov[..., 0] if len(self._y_mean) == 1 else cov

    def _covariance_roots(self, cov: np.ndarray, noise: float, X: np.ndarray) -> list[np.ndarray]:
        """Square root of the covariance of each target at rows X, noise added; scaled y."""
        shared = np.may_share_memory(cov[0], cov[-1])  # see posterior.mean_and_covariance
        prior = posterior.prior_variance(self._kernel_structure, self._kernel_values, X).max()
        diagonal = noise * np.eye(len(X))
        roots = [
            posterior.covariance_root(c + diagonal, prior) for c in (cov[:1] if shared else cov)
        ]
        return roots * len(cov) if shared else roots


def _noise_of(likelihood: Likelihood, values: tuple) -> Any:
    """Variance of the noise."""
    return likelihood.noise_variance(values)


def _one_or_all(values: np.ndarray) -> Any:
    """Of several targets an array, of one a number."""
    return float(values[0]) if len(values) == 1 else values


def _median_and_unit(
    Y: np.ndarray, weights: np.ndarray, std: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted median, and the distance between the quartiles over that of a standard normal.

    Where half the values or more are equal, or all but, the unit is ``std``.
    """
    order = np.argsort(Y, axis=0)
    ordered = np.take_along_axis(Y, order, 0)
    shares = np.cumsum(weights[order], axis=0) / weights.sum()

    def quantile(p: float) -> np.ndarray:
        # between the values at either side, so that -Y has the quantiles of Y turned round
        at = [np.argmax(shares >= p + d, axis=0) for d in (-1e-12, 1e-12)]
        return 0.5 * np.take_along_axis(ordered, np.stack(at), 0).sum(0)

    low, median, high = map(quantile, (0.25, 0.5, 0.75))
    unit = high / _QUARTILES - low / _QUARTILES
    return median, np.where(unit > 1e-9 * np.maximum(std, np.abs(median)), unit, std)


def _check_noise(noise: np.ndarray) -> None:
    """Raise ValueError where a row has no noise at all: its precision would be infinite."""
    if not np.all(noise > 0):
        raise ValueError(
            "alpha=0 leaves rows without noise, as does one that is next to nothing beside the "
            "variance of y. Give fit their noise_variance, add a WhiteKernel, or set alpha to a "
            "small number such as 1e-10 times the variance of y."
        )
    if not np.all(noise < _MOST_NOISE):
        raise ValueError(
            "alpha or noise_variance is in the units of y squared, and more than "
            f"{_MOST_NOISE:g} times the variance of y: nothing could be learned. Make it smaller."
        )


def _in_units_of(std: float, variance: Any) -> Any:
    """A variance in units of the square of ``std``, which itself may be out of range."""
    with np.errstate(over="ignore", under="ignore"):
        return variance / std / std


def _check_shared(kernel: Any) -> None:
    if isinstance(kernel, CompoundKernel):
        raise ValueError("kernel is a CompoundKernel, but targets share one kernel. Give one.")


def _scaling(Y: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and standard deviation of each column; 1 (or rounding) where constant."""
    largest = np.abs(Y).max(0)
    if not np.all(largest <= _LARGEST_Y):
        raise ValueError(
            f"y has values up to {largest.max():.3g}; predictions are not sure to be finite beyond "
            f"{_LARGEST_Y:g}. Divide it by a constant."
        )
    unit = power_of_two(largest)
    scaled, weights = Y / unit, weights / power_of_two(weights.max())
    mean = np.average(scaled, axis=0, weights=weights)
    std = np.sqrt(np.average((scaled - mean) ** 2, axis=0, weights=weights))
    # a constant column has a deviation of rounding size
    varies = (std > 1e-12 * np.abs(mean)) & (unit * std > _SMALLEST_STD)
    # in whose unit rounding is small
    constant = np.maximum(1.0, unit * (1e-12 * np.abs(mean)))
    return unit * mean, np.where(varies, unit * std, constant)
