"""Gaussian process classification as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from . import kernels
from ._base import (
    BaseGaussianProcess,
    Problem,
    check_length_scales,
    check_weights,
    default_kernel,
)
from .likelihoods import Bernoulli, Softmax

__all__ = ["GaussianProcessClassifier"]

# All classes step at once, each as if the others stood still: a full step overshoots and diverges
# (iris, digits: gamma = 1 does, 0.7 costs two nats, 0.2 to 0.5 agree).
_SOFTMAX_GAMMA = 0.3


class GaussianProcessClassifier(ClassifierMixin, BaseGaussianProcess):
    r"""Gaussian process classification that scales, trained with natural gradients.

    Two classes share one latent function and the probit link
    :math:`p(y=1|f) = \epsilon + (1-2\epsilon)\Phi(f)`, :math:`\epsilon = 10^{-3}`; more classes
    have a latent function each, with one kernel, and the softmax link. With few rows the
    variational distribution has the form of the exact optimum (Opper & Archambeau 2009); with
    ``n_inducing`` points the cost grows linearly with the number of rows (Hensman, Matthews &
    Ghahramani 2015). Natural-gradient steps on the variational distribution are interleaved with
    Adam steps on the hyperparameters (Salimbeni, Eleftheriadis & Hensman 2018).

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel, default=None
        As in :class:`GaussianProcessRegressor`, without a ``WhiteKernel``.
    n_inducing : int, None or "auto", default="auto"
        Number of inducing points; ``None`` uses every row. ``"auto"`` uses every row up to 1000
        of them, and 256 inducing points beyond.
    inducing_init : {"kmeans", "random"}, default="kmeans"
        How the inducing points are first placed.
    train_inducing : bool, default=True
        Whether training moves them.
    gamma : float in (0, 1] or "auto", default="auto"
        Natural-gradient step size, reached over the first five steps. ``"auto"`` is 1 for two
        classes and 0.3 for more where every step uses all rows, else 0.1.
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
    jitter : float, default=1e-6
        Added to the diagonal of the kernel matrix of the inducing points.
    random_state : int, RandomState instance or None, default=None
        Seeds the placing of inducing points and the minibatches.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    kernel_ : sklearn.gaussian_process.kernels.Kernel
        The kernel with the learned values.
    inducing_points_ : ndarray of shape (M, n_features) or None
    elbo_ : float
        Lower bound of the log evidence.
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
    >>> from skgpng import GaussianProcessClassifier
    >>> X = np.linspace(-3, 3, 40)[:, None]
    >>> y = np.where(X[:, 0] > 0, "up", "down")
    >>> model = GaussianProcessClassifier(random_state=0).fit(X, y)
    >>> print(model.predict([[-2.0], [2.0]]))
    ['down' 'up']
    """

    def __init__(
        self,
        kernel: Any = None,
        *,
        n_inducing: int | str | None = "auto",
        inducing_init: str = "kmeans",
        train_inducing: bool = True,
        gamma: float | str = "auto",
        learning_rate: float | str = "auto",
        batch_size: int | str | None = "auto",
        max_iter: int = 1000,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        jitter: float = 1e-6,
        random_state: Any = None,
    ) -> None:
        self.kernel = kernel
        self.n_inducing = n_inducing
        self.inducing_init = inducing_init
        self.train_inducing = train_inducing
        self.gamma = gamma
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.jitter = jitter
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> GaussianProcessClassifier:
        """Learn kernel and posterior.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels of any kind; two classes or more.
        sample_weight : array-like of shape (n_samples,), default=None
            A row of weight 2 counts as two rows.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For a parameter out of its range, NaN or infinity, shapes that do not fit, fewer than
            two classes, or a kernel setting that is not supported; before any training.
        TypeError
            For a kernel class that is not supported.
        """
        self._validate_params()
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        weights = check_weights(sample_weight, X)
        keep = weights > 0
        X, y, weights = X[keep], y[keep], weights[keep]
        kernel = default_kernel(X, weights) if self.kernel is None else self.kernel
        parsed = kernels.parse(kernel)
        if parsed.noise_name is not None:
            raise ValueError(
                "kernel has a WhiteKernel, but labels have no Gaussian noise. Leave it out."
            )
        check_length_scales(parsed, X.shape[1])
        classes, labels = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"y has 1 class ({classes[0]!r}) with positive weight; at least two are needed to "
                "learn a classifier."
            )
        binary = len(classes) == 2
        self._train(
            Problem(
                X=X,
                Y=labels.reshape(-1, 1).astype(np.float64),
                weights=weights,
                row_noise=np.zeros(len(X)),
                likelihood=Bernoulli() if binary else Softmax(len(classes)),
                likelihood_values=(),
                likelihood_bounds=(),
                train_likelihood=(),
                n_latent=1 if binary else len(classes),
                kernel=kernel,
                parsed=parsed,
                conjugate=False,
                gamma=1.0 if binary else _SOFTMAX_GAMMA,
            )
        )
        self.classes_ = classes
        return self

    # --- predicting ----------------------------------------------------------------------

    def latent_mean_and_variance(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the latent function, or of that of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        f_mean, f_var : ndarray of shape (n_samples,) or (n_samples, n_classes)
            Variance, not standard deviation. One column less dimension with two classes.
        """
        f_mean, f_var = self._latent(self._validate_new(X))
        return (f_mean[:, 0], f_var[:, 0]) if len(self.classes_) == 2 else (f_mean, f_var)

    def decision_function(self, X: Any) -> np.ndarray:
        r"""Scores that order classes and rows as ``predict_proba`` does.

        With two classes the probit score :math:`f_{mean} / \sqrt{1 + f_{var}}`, positive where
        ``classes_[1]`` is more likely; with more the logarithms of their probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
        """
        f_mean, f_var = self.latent_mean_and_variance(X)
        if len(self.classes_) == 2:
            return f_mean / np.sqrt(1.0 + f_var)
        return np.log(self._probabilities(f_mean, f_var))

    def predict_proba(self, X: Any) -> np.ndarray:
        r"""Probability of each class, the latent functions integrated out.

        Two classes: :math:`\epsilon + (1-2\epsilon)\Phi(f_{mean} / \sqrt{1 + f_{var}})`, a closed
        form. More: the mean of the softmax at fixed points. Nothing is sampled.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``; rows sum to one.
        """
        p = self._probabilities(*self._latent(self._validate_new(X)))
        return p if p.shape[1] > 1 else np.hstack([1.0 - p, p])

    def _probabilities(self, f_mean: np.ndarray, f_var: np.ndarray) -> np.ndarray:
        return self._structure_.likelihood.predict_mean_and_var((), f_mean, f_var)[0].numpy()

    def predict(self, X: Any) -> np.ndarray:
        """The more probable class of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        probabilities = self.predict_proba(X)
        return self.classes_[np.argmax(probabilities, axis=1)]
