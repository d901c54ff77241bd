"""Gaussian process regression as a scikit-learn estimator."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if

from . import likelihoods, means
from ._estimator.by_blocks import by_blocks, scored
from ._estimator.regressor import BaseRegressor
from ._estimator.validation import has_inducing_points, levels_of, without_axis
from ._runtime import outside_graphs
from .likelihoods import Likelihood

__all__ = ["GaussianProcessRegressor"]


class GaussianProcessRegressor(RegressorMixin, BaseRegressor):
    r"""Gaussian process regression that scales, trained with natural gradients.

    With few rows this is exact Gaussian process regression; with more of them each prediction is
    from its neighbours, or, with ``n_inducing`` points, from a sparse variational approximation.
    With a Gaussian likelihood one natural-gradient step of size 1 makes the variational
    distribution exact (Salimbeni, Eleftheriadis & Hensman 2018), so training moves the
    hyperparameters along the exact evidence (Rasmussen & Williams 2006, eq. 2.30) or the collapsed
    bound (Titsias 2009, eq. 9); with neighbours along the log density of rows that are left out.

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
    likelihood : str or Likelihood, default="gaussian"
        Distribution of y given the latent function f: a name of :data:`skgpng.likelihoods.NAMES`,
        or an object, whose settings are parameters too (``likelihood__df``) and which may be one
        of your own. ``"student_t"`` has heavy tails, so that outliers do not pull the function;
        ``"laplace"`` is between it and normal noise; ``AsymmetricLaplace(quantile=0.9)`` predicts
        that quantile; ``"heteroscedastic"`` is Gaussian noise whose variance is a function of X.
        ``"poisson"``, ``"negative_binomial"`` and ``"zero_inflated_poisson"`` are for counts: f is
        the logarithm of their rate, for each unit of the ``exposure`` of a row (see ``fit``).
        ``"gamma"`` and ``"exponential"`` are for positive y, of which f is the logarithm of the
        mean, ``"beta"`` for shares, of which it is the logit, ``"ordinal"`` for grades, of which
        the median one is predicted. ``Coregionalised(rank)`` is for several targets that belong
        together. Only ``"gaussian"`` is exact: training steps of the others cost what they cost a
        classifier.
    mean : {"zero", "constant", "linear"}, regressor or None, default=None
        What predictions follow far from the data (:doc:`/means`): ``"constant"`` and ``"linear"``
        are learned as a part of f; a scikit-learn regressor is fitted in ``fit`` (parameters as
        ``mean__max_depth``), and its residuals, of rows that it has not seen, are y. ``None`` is
        zero for noise that is added to f, on scaled y, else constant.
    priors : dict or None, default=None
        Distributions (of TensorFlow Probability, or with ``log_prob``) of parameters, by names such
        as ``"kernel__k2__length_scale"`` and ``"likelihood__variance"``, on scaled y; they replace
        the weak prior of ``kernel=None`` (:doc:`/priors`).
    alpha : float, array-like of shape (n_samples,) or None, default=None
        Noise variance, in the units of y squared, held fixed. ``None`` learns it. An array has that
        of each row of ``fit``, as its ``noise_variance``; new rows then have none. Beside a
        ``WhiteKernel`` it is added to the learned noise. 0 needs a ``WhiteKernel`` or the
        ``noise_variance`` of ``fit``, which then is all the noise there is. With ``"student_t"``
        it fixes the square of the scale, which is also what the noise level of a ``WhiteKernel``
        stands for (one of the two only); the degrees of freedom are learned all the same.
    n_inducing : int, None or "auto", default="auto"
        Number of inducing points; ``None`` uses every row. ``"auto"`` uses every row up to 1000
        of them; beyond, neighbours with Gaussian noise, else 256 inducing points.
    n_neighbors : int, None or "auto", default="auto"
        Rows near by from which each prediction is made, with Gaussian noise and in the place of
        inducing points; None or 0 for none. They hold detail that inducing points cannot; the
        training rows stay in the model. ``"auto"`` takes 64, 128 or 256, the fewest that rows left
        out do not lose by, where ``n_inducing="auto"`` has more than 1000 rows; a number takes
        them of any number of rows (all, where they are fewer).
    local_scale : bool, default=True
        With neighbours: whether variances, noise included, follow how well the rows near by are
        predicted from each other, as far as that suits rows that are left out. Without it, and
        with noise that is given (``alpha``, ``noise_variance``), one scale holds everywhere.
    inducing_init : {"kmeans", "greedy_variance", "random"}, default="kmeans"
        How the inducing points are first placed; ``"greedy_variance"`` takes the row with the
        largest conditional variance again and again (Burt, Rasmussen & van der Wilk 2020), which
        is best in few dimensions.
    train_inducing : bool, default=True
        Whether training moves them.
    optimizer : {"auto", "adam", "lbfgs", "fmin_l_bfgs_b"}, callable or None, default="auto"
        How the hyperparameters move. ``"adam"`` takes a step after each natural-gradient step;
        ``"lbfgs"`` (all rows only) maximises the ELBO at the best variational distribution for
        the hyperparameters; ``None`` keeps them. ``"auto"`` is L-BFGS for exact regression and for
        neighbours under a kernel that does not fall with a distance, else Adam.
        ``"fmin_l_bfgs_b"`` is L-BFGS for exact models, else ``"auto"``. A function
        ``(obj_func, initial_theta, bounds)`` is called as by scikit-learn, in exact models
        (:doc:`/coming_from_sklearn`).
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
        with the best ``log_posterior_`` (with ``early_stopping``, held-out score) is kept.
    warm_start : bool, default=False
        Whether ``fit`` begins where the last ``fit`` ended, where kernel and shapes still agree:
        hyperparameters, inducing points and their distribution.
    normalize_y : bool, default=True
        Whether y is scaled to zero mean and unit variance for training (with ``"student_t"`` by
        median and quartiles, which outliers do not move; counts and grades never are). ``False``
        takes y as it is: the mean of the prior is zero, the kernel given is in the units of y, and
        should fit them. The default kernel (``kernel=None``) has no units of its own: with it y is
        scaled either way. Predictions are in the units of y always; ``kernel_`` and ``elbo_`` are
        on the scaled y.
    copy_X_train : bool, default=True
        Taken as scikit-learn does: rows are copied either way.
    n_targets : int, default=None
        Number of columns of y that predictions before ``fit`` have; ``None`` stands for one
        (without an axis of its own).
    jitter : float, default=1e-6
        Added to the diagonal of the kernel matrix of the inducing points, in units of the prior
        variance (of linear kernels: that of the slope among the points). Where that is too little
        to factorise it, training takes ten times as much, see ``jitter_``.
    device : str or None, default=None
        Where training runs: ``"cpu"``, ``"gpu"``, ``"gpu:1"`` or a name of TensorFlow's. ``None``
        is that of a ``tf.device`` scope, else for large work a GPU, if there is one (:doc:`/gpu`).
    dtype : {"auto", "float64", "float32"}, default="auto"
        Of the covariances between inducing points and rows while training; factorisations,
        predictions and models without points are float64 either way, and so is all where rounding
        X would lose a kernel that is not stationary. ``"auto"`` is float32 on a GPU, else float64.
    verbose : int, default=0
        1 shows a line of progress (tqdm's where it is installed), 2 also the model and why.
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
        ``"poisson"`` nothing, ``{}``; of others what :mod:`skgpng.likelihoods` says of them.
    mean_ : regressor or dict
        The fitted ``mean``, or its constant and slopes, in the units of X and y.
    inducing_points_ : ndarray of shape (M, n_features) or None
    n_neighbors_ : int or None
        Rows near by from which predictions are made.
    elbo_ : float
        Evidence of the scaled y, or its lower bound where there are inducing points; without
        priors. With neighbours the log density of all rows, each left out, as
        estimated from the rows of the last step.
    log_posterior_ : float
        ``elbo_`` with the logarithm of all priors, those of the default kernel up to a constant.
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
    additive_components_ : list of (columns, share)
        Under an :class:`skgpng.kernels.OrthogonalAdditive` kernel, see there.
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
        **BaseRegressor._parameter_constraints,
        "alpha": [None, Interval(Real, 0, np.inf, closed="left"), "array-like"],
        "normalize_y": ["boolean"],
        "n_targets": [None, Interval(Integral, 1, None, closed="left")],
        "local_scale": ["boolean"],
        "n_neighbors": [None, Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        "likelihood": [StrOptions(set(likelihoods.NAMES)), Likelihood],
        "mean": [None, StrOptions(set(means.NAMES)), BaseEstimator],
    }

    def __init__(
        self,
        kernel: Any = None,
        *,
        likelihood: str | Likelihood = "gaussian",
        mean: Any = None,
        priors: dict | None = None,
        alpha: Any = None,
        n_inducing: int | str | None = "auto",
        n_neighbors: int | str | None = "auto",
        local_scale: bool = True,
        inducing_init: str = "kmeans",
        train_inducing: bool = True,
        optimizer: Any = "auto",
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
        copy_X_train: bool = True,
        n_targets: int | None = None,
        jitter: float = 1e-6,
        device: str | None = None,
        dtype: str = "auto",
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.kernel, self.likelihood = kernel, likelihood
        self.mean, self.priors = mean, priors
        self.alpha = alpha
        self.n_inducing = n_inducing
        self.n_neighbors, self.local_scale = n_neighbors, local_scale
        self.inducing_init, self.train_inducing = inducing_init, train_inducing
        self.optimizer = optimizer
        self.gamma, self.learning_rate, self.batch_size = gamma, learning_rate, batch_size
        self.max_iter, self.tol = max_iter, tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping, self.validation_fraction = early_stopping, validation_fraction
        self.n_restarts_optimizer = n_restarts_optimizer
        self.warm_start = warm_start
        self.normalize_y, self.copy_X_train = normalize_y, copy_X_train
        self.n_targets = n_targets
        self.jitter, self.device, self.dtype = jitter, device, dtype
        self.verbose, self.random_state = verbose, random_state

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        noise_variance: Any = None,
        **known: Any,
    ) -> GaussianProcessRegressor:
        """Learn kernel, noise and posterior.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or source of rows
            An array, or what reads rows: ``memmap``, Arrow, ``tf.data``, batches that start again,
            a class of slices (:doc:`/large_data`), with y and weights in it or by column name.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Several targets share the kernel and the noise on their scaled values. One target is
            predicted as an array of shape (n_samples,), even where y is (n_samples, 1).
        sample_weight : array-like of shape (n_samples,), default=None
            A row of weight 2 counts as two rows. One of weight 0 is left out, whatever is said of
            it; but its y must be a number, and its X too.
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
        """Learn from more rows, without forgetting those before; with points none is kept.

        What was learned so far stays as the distribution of the function at the inducing points;
        new rows, hyperparameters and inducing points are trained together against it, to the
        stopping rule of ``fit`` (streaming sparse approximation: Bui, Nguyen & Turner 2017). Time
        and memory of a call do not depend on how many rows came before. y is scaled as in the
        first call, whose ``mean`` stays, too. Goes on from ``fit``. Not there with
        ``n_inducing=None``; ``"auto"`` stands for 256 inducing points here, but goes on with
        neighbours after a ``fit`` that has them: these rows are kept, and all new ones. Another
        ``kernel`` set between calls is not followed, another ``n_inducing`` only by calls that move
        the points: ``fit`` begins anew.

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
            As ``fit``, with ``early_stopping``, and where ``likelihood`` is not that before.

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

    # --- predicting ----------------------------------------------------------------------

    @by_blocks
    def predict(
        self,
        X: Any,
        return_std: bool = False,
        return_cov: bool = False,
        *,
        include_noise: bool = True,
        **known: Any,
    ) -> Any:
        """Predictive mean, with standard deviation or covariance on request; of grades the median.

        Before ``fit`` it is the prior's: mean zero, the kernel as given, and with
        ``include_noise`` the noise of a ``WhiteKernel`` and ``alpha``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or source of rows
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
        RuntimeError
            If both ``return_std`` and ``return_cov`` are set.
        ValueError
            If X does not fit, or ``return_cov`` is set and the mean of y is not the latent
            function itself.
        TypeError
            For an argument that no likelihood has.
        """
        if return_std and return_cov:
            raise RuntimeError("At most one of return_std or return_cov can be requested.")
        X, model, row = self._at(X, known)
        if return_cov:
            mean, cov = model.mean_and_covariance(X, row, include_noise)
            return _columns(mean), _columns(cov)
        if not return_std:
            return _columns(model.mean(X, row))
        mean, std = model.mean_and_std(X, row, include_noise)
        return _columns(mean), _columns(std)

    @by_blocks
    def predict_quantiles(
        self, X: Any, quantiles: Any = (0.025, 0.5, 0.975), **known: Any
    ) -> np.ndarray:
        """Quantiles of the predictive distribution of y, noise included.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or source of rows
        quantiles : sequence of float in (0, 1), default=(0.025, 0.5, 0.975)
        **known : array-like of shape (n_samples,)
            As in ``predict``.

        Returns
        -------
        ndarray of shape (n_samples, n_quantiles) or (n_samples, n_targets, n_quantiles)
            In the units of y; of counts and grades the smallest whose probability, together with
            that of all below, reaches the quantile.

        Raises
        ------
        ValueError
            If a quantile is not between 0 and 1.
        """
        levels = levels_of(quantiles)
        X, model, row = self._at(X, known)
        values = model.quantiles(X, levels, row)
        return without_axis(values)

    @by_blocks
    def log_predictive_density(self, X: Any, y: Any = None, **known: Any) -> np.ndarray:
        """Log density of each target under its predictive distribution, noise included.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or source of rows
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        **known : array-like of shape (n_samples,)
            As in ``predict``.

        Returns
        -------
        ndarray of shape (n_samples,)
            In nats, for densities in the units of y; summed over targets. Of counts and grades the
            log probability. ValueError for values of y that the likelihood cannot have, as in
            ``fit``.

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
        return model.log_density(X, self._targets(X, y, model), row)

    @by_blocks
    def crps(self, X: Any, y: Any = None, **known: Any) -> np.ndarray:
        """Continuous ranked probability score of the prediction of each row, noise included.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or source of rows
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
        return model.crps(X, self._targets(X, y, model), row)

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
        return without_axis(draws)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None, **known: Any) -> float:
        """Share of y that the predictions explain.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or source of rows
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), default=None
        **known : array-like of shape (n_samples,)
            As in ``predict``.

        Returns
        -------
        float
            The coefficient of determination R^2 of ``predict``, or what takes its place for the
            likelihood: for counts D^2, their share of the deviance
            (:func:`sklearn.metrics.d2_tweedie_score` of power 1), for ``"gamma"`` and
            ``"exponential"`` that of power 2, for quantiles
            :func:`sklearn.metrics.d2_pinball_score`, for grades
            :func:`sklearn.metrics.d2_absolute_error_score`.
        """
        likelihood = likelihoods.named(self.likelihood)
        return likelihood.score(*scored(self, X, y, sample_weight, known))


def _columns(values: np.ndarray) -> np.ndarray:
    """[..., P], or [...] where there is one target, whatever the shape of the y fitted."""
    return values[..., 0] if values.shape[-1] == 1 else values
