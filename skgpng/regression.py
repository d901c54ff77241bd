"""Gaussian process regression as a scikit-learn estimator."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from scipy.special import ndtri
from sklearn.base import RegressorMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import validate_data

from . import kernels
from ._base import (
    BaseGaussianProcess,
    Problem,
    check_length_scales,
    check_row_noise,
    check_weights,
    default_kernel,
)
from .likelihoods import Gaussian

__all__ = ["GaussianProcessRegressor"]

# Learned noise variance: start and bounds, as shares of the variance of y.
_NOISE_START, _NOISE_BOUNDS = 0.1, (1e-6, 1e2)


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
        column, set from the data.
    likelihood : {"gaussian"}, default="gaussian"
        Distribution of y around the latent function.
    alpha : float, default=None
        Noise variance, in the units of y squared, held fixed. ``None`` learns it. Beside a
        ``WhiteKernel`` it is added to the learned noise.
    n_inducing : int, None or "auto", default="auto"
        Number of inducing points; ``None`` uses every row. ``"auto"`` uses every row up to 1000
        of them, and 256 inducing points beyond.
    inducing_init : {"kmeans", "random"}, default="kmeans"
        How the inducing points are first placed.
    train_inducing : bool, default=True
        Whether training moves them.
    gamma : float in (0, 1] or "auto", default="auto"
        Natural-gradient step size. ``"auto"`` is 1 where that step is exact (all rows in every
        step), else 0.1.
    learning_rate : float or "auto", default="auto"
        Step size of Adam in the logarithm of the hyperparameters. ``"auto"`` is 0.1 where every
        step uses all rows, else 0.01. It is cut to a third at each plateau of the ELBO.
    batch_size : int, None or "auto", default="auto"
        Rows per step; ``None`` uses all. ``"auto"`` uses all as long as N times M is at most
        2e7.
    max_iter : int, default=1000
        Largest number of steps.
    tol : float, default=1e-4
        Gain of the ELBO per row that counts as an improvement.
    n_iter_no_change : int, default=10
        Passes over the data without an improvement that make a plateau.
    normalize_y : bool, default=True
        Whether y is scaled to zero mean and unit variance for training. Predictions are in the
        units of y either way; ``kernel_`` and ``elbo_`` are on the scaled y.
    jitter : float, default=1e-6
        Added to the diagonal of the kernel matrix of the inducing points.
    random_state : int, RandomState instance or None, default=None
        Seeds the placing of inducing points and the minibatches.

    Attributes
    ----------
    kernel_ : sklearn.gaussian_process.kernels.Kernel
        The kernel with the learned values (for scaled y).
    noise_variance_ : float
        Variance of the noise, in the units of y squared.
    inducing_points_ : ndarray of shape (M, n_features) or None
    elbo_ : float
        Evidence of the scaled y, or its lower bound where there are inducing points.
    elbo_curve_ : ndarray of shape (``n_iter_``,)
        ``elbo_`` at each step.
    n_iter_ : int
    converged_ : bool
        Whether the ELBO settled before ``max_iter``.
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
        "alpha": [None, Interval(Real, 0, None, closed="neither")],
        "normalize_y": ["boolean"],
        "likelihood": [StrOptions({"gaussian"})],
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
        gamma: float | str = "auto",
        learning_rate: float | str = "auto",
        batch_size: int | str | None = "auto",
        max_iter: int = 1000,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        normalize_y: bool = True,
        jitter: float = 1e-6,
        random_state: Any = None,
    ) -> None:
        self.kernel = kernel
        self.likelihood = likelihood
        self.alpha = alpha
        self.n_inducing = n_inducing
        self.inducing_init = inducing_init
        self.train_inducing = train_inducing
        self.gamma = gamma
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.normalize_y = normalize_y
        self.jitter = jitter
        self.random_state = random_state

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, noise_variance: Any = None
    ) -> GaussianProcessRegressor:
        """Learn kernel, noise and posterior.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Several targets share the kernel and the noise on their scaled values.
        sample_weight : array-like of shape (n_samples,), default=None
            A row of weight 2 counts as two rows.
        noise_variance : array-like of shape (n_samples,), default=None
            Known variance of the noise of each row, in the units of y squared; the learned or
            fixed noise comes on top.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For a parameter out of its range, NaN or infinity, shapes that do not fit, or a
            kernel setting that is not supported; before any training.
        TypeError
            For a kernel class that is not supported.
        """
        self._validate_params()
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, dtype=np.float64)
        weights = check_weights(sample_weight, X)
        known = check_row_noise(noise_variance, X)
        keep = weights > 0
        X, y, weights, known = X[keep], y[keep].astype(np.float64), weights[keep], known[keep]
        kernel = default_kernel(X, weights) if self.kernel is None else self.kernel
        parsed = kernels.parse(kernel)
        check_length_scales(parsed, X.shape[1])
        Y = y.reshape(len(y), -1)
        self._check_known_noise(noise_variance, Y.shape[1])
        mean, std = _scaling(Y, weights) if self.normalize_y else (np.zeros(1), np.ones(1))
        noise, bounds, free, fixed = self._noise_start(kernel, parsed, Y / std, std[0] ** 2)
        self._train(
            Problem(
                X=X,
                Y=(Y - mean) / std,
                weights=weights,
                row_noise=known / std[0] ** 2 + fixed,
                likelihood=Gaussian(),
                likelihood_values=(noise,),
                likelihood_bounds=(bounds,),
                train_likelihood=(free,),
                n_latent=Y.shape[1],
                kernel=kernel,
                parsed=parsed,
                conjugate=True,
            )
        )
        self._y_mean, self._y_std, self._y_ndim = mean, std, y.ndim
        self._fixed_noise = fixed
        learned = (float(self._likelihood_values[0]) + fixed) * std**2
        self.noise_variance_ = float(learned[0]) if y.ndim == 1 else learned * np.ones(Y.shape[1])
        return self

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
        self, kernel: Any, parsed: kernels.ParsedKernel, Y: np.ndarray, unit: float
    ) -> tuple[float, tuple[float, float], bool, float]:
        """Learned noise variance (start, bounds, whether it moves) and the fixed one beside it."""
        fixed = 0.0 if self.alpha is None else self.alpha / unit
        if parsed.noise_name is not None:
            white = kernel.get_params()[parsed.noise_name.removesuffix("__noise_level")]
            free = not white.hyperparameter_noise_level.fixed
            bounds = tuple(white.noise_level_bounds) if free else (white.noise_level,) * 2
            return white.noise_level, bounds, free, fixed
        if self.alpha is not None:
            return fixed, (fixed, fixed), False, 0.0
        spread = 1.0 if self.normalize_y else float(Y.var(0).mean()) or 1.0
        low, high = _NOISE_BOUNDS
        return _NOISE_START * spread, (low * spread, high * spread), True, 0.0

    # --- predicting ----------------------------------------------------------------------

    def predict(
        self,
        X: Any,
        return_std: bool = False,
        return_cov: bool = False,
        *,
        include_noise: bool = True,
    ) -> Any:
        """Predictive mean, with standard deviation or covariance on request.

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
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        """
        if return_std and return_cov:
            raise ValueError("return_std=True and return_cov=True exclude each other: ask for one.")
        X = self._validate_new(X)
        if return_cov:
            f_mean, cov = self._latent_covariance(X)
            return self._like_y(self._unscale(f_mean)), self._covariance_of_y(cov, include_noise)
        f_mean, f_var = self._latent(X)
        if not return_std:
            return self._like_y(self._unscale(f_mean))
        std = np.sqrt(f_var + self._noise(include_noise)) * self._y_std
        return self._like_y(self._unscale(f_mean)), self._like_y(std)

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
        mean, std = self.predict(X, return_std=True)
        return mean[..., None] + std[..., None] * ndtri(levels)

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
        mean, std = self.predict(X, return_std=True)
        y = check_array(y, ensure_2d=False, dtype=np.float64).reshape(mean.shape)
        log_density = -0.5 * (np.log(2 * np.pi * std**2) + ((y - mean) / std) ** 2)
        return log_density if log_density.ndim == 1 else log_density.sum(1)

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
        f_mean, cov = self._latent_covariance(self._validate_new(X))
        cov = cov + self._noise(include_noise) * np.eye(cov.shape[-1])
        draws = np.stack(
            [
                rng.multivariate_normal(m, c, n_samples).T
                for m, c in zip(f_mean.T, cov, strict=True)
            ],
            1,
        )  # [N, P, n_samples]
        scaled = draws * self._y_std[:, None] + self._y_mean[:, None]
        return scaled[:, 0] if self._y_ndim == 1 else scaled

    def __sklearn_tags__(self) -> Any:
        """Tags of scikit-learn: several targets are welcome."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _noise(self, include_noise: bool) -> float:
        """Noise variance of the scaled y."""
        return float(self._likelihood_values[0]) + self._fixed_noise if include_noise else 0.0

    def _unscale(self, f_mean: np.ndarray) -> np.ndarray:
        return f_mean * self._y_std + self._y_mean

    def _like_y(self, values: np.ndarray) -> np.ndarray:
        """[N, P] in the shape of the y that was fitted."""
        return values[:, 0] if self._y_ndim == 1 else values

    def _covariance_of_y(self, cov: np.ndarray, include_noise: bool) -> np.ndarray:
        cov = cov + self._noise(include_noise) * np.eye(cov.shape[-1])
        cov = np.moveaxis(cov, 0, -1) * self._y_std**2
        return cov[..., 0] if self._y_ndim == 1 else cov


def _scaling(Y: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and standard deviation of each column; 1 where it is constant."""
    mean = np.average(Y, axis=0, weights=weights)
    std = np.sqrt(np.average((Y - mean) ** 2, axis=0, weights=weights))
    # a constant column has a deviation of rounding size
    return mean, np.where(std > 1e-12 * np.abs(mean), std, 1.0)
