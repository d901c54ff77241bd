"""Gaussian process classification as a scikit-learn estimator."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, cast

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.gaussian_process.kernels import CompoundKernel
from sklearn.metrics import accuracy_score
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from . import kernels, likelihoods, means
from ._estimator.base import BaseGaussianProcess
from ._estimator.by_blocks import by_blocks, scored
from ._estimator.labels import weight_of_each
from ._estimator.plan import Options, Plan, merges_rows
from ._estimator.problem import Problem, Rows
from ._estimator.validation import (
    check_range,
    check_weights,
    has_inducing_points,
    positions,
    validated,
    which,
    without_axis,
)
from ._training.result import Result
from .inducing import merge_equal_rows
from .likelihoods import LABEL_NAMES, Labels, Units
from .parameters import Parameter

__all__ = ["GaussianProcessClassifier"]

# Nearer to zero than this many standard deviations, a latent mean may have a probability that is
# rounded to 1/2 (at 1e-16).
_TIE = 1e-8


class GaussianProcessClassifier(ClassifierMixin, BaseGaussianProcess):
    r"""Gaussian process classification that scales, trained with natural gradients.

    Unless ``likelihood`` says otherwise two classes share one latent function and the probit link
    :math:`p(y=1|f) = \epsilon + (1-2\epsilon)\Phi(f)`, :math:`\epsilon = 10^{-3}`; more classes
    have a latent function each, and the softmax link. With few rows the
    variational distribution has the form of the exact optimum (Opper & Archambeau 2009); with
    ``n_inducing`` points the cost grows linearly with the number of rows (Hensman, Matthews &
    Ghahramani 2015). Natural-gradient steps on the variational distribution are interleaved with
    Adam steps on the hyperparameters (Salimbeni, Eleftheriadis & Hensman 2018).

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel, default=None
        As in :class:`GaussianProcessRegressor`, without a ``WhiteKernel``. With ``None`` columns
        need no scaling by the user, and length scales have a weak prior that keeps them near each
        other, by which few rows are not overfitted; a kernel given has none. A ``CompoundKernel``
        of as many kernels as there are classes gives each class its own.
    likelihood : {"auto", "probit", "logit", "softmax", "robust_max"} or Labels, default="auto"
        Probability of the labels given the latent functions. ``"probit"`` and ``"logit"`` are links
        of one function, for two classes; ``"softmax"`` and ``"robust_max"`` have a function for
        each of two classes or more. ``"robust_max"`` takes the class with the largest function,
        but for errors. ``"auto"`` is ``"probit"`` for two classes, else ``"softmax"``. An object
        of :mod:`skgpng.likelihoods` may be one of your own.
    epsilon : float in [0, 0.5), None or "auto", default="auto"
        Share of labels that are wrong, whatever the latent functions are, any of the other classes
        as likely; predictions are probabilities of labels with such errors. ``None`` learns it,
        which suits robust-max: the other likelihoods find too small a share where rows are few or
        classes overlap. ``"auto"`` is 1e-3 for probit and robust-max, which bounds the cost of an
        outlier, and 0 for logit and softmax.
    shared_kernel : bool, default=True
        Whether the latent functions of three or more classes share one kernel; otherwise each
        learns its own, and ``kernel_`` is a ``CompoundKernel``.
    mean : {"zero", "constant", "linear"} or None, default=None
        Of the latent functions, learned: what probabilities follow far from the data
        (:doc:`/means`). ``None`` is zero.
    priors : dict or None, default=None
        Distributions (of TensorFlow Probability, or with ``log_prob``) of parameters, by names such
        as ``"kernel__k2__length_scale"``; they replace the weak prior of ``kernel=None``
        (:doc:`/priors`).
    n_inducing : int, None or "auto", default="auto"
        Number of inducing points; ``None`` uses every row. ``"auto"`` uses every row up to 1000
        of them, and 256 inducing points beyond.
    inducing_init : {"kmeans", "greedy_variance", "random"}, default="kmeans"
        How the inducing points are first placed; ``"greedy_variance"`` takes the row with the
        largest conditional variance again and again (Burt, Rasmussen & van der Wilk 2020), which
        is best in few dimensions.
    train_inducing : bool, default=True
        Whether training moves them.
    optimizer : {"auto", "adam", "lbfgs", "fmin_l_bfgs_b"}, callable or None, default="auto"
        How the hyperparameters move. ``"adam"`` (``"auto"``) takes a step after each
        natural-gradient step; ``"lbfgs"`` (all rows only) maximises the ELBO at the best
        variational distribution for the hyperparameters; ``None`` keeps them. ``"fmin_l_bfgs_b"``
        is L-BFGS without inducing points, else ``"auto"``. A function is called as by scikit-learn,
        without inducing points (:doc:`/coming_from_sklearn`).
    gamma : float in (0, 1] or "auto", default="auto"
        Natural-gradient step size, reached over the first five steps. Where every step uses all
        rows, ``"auto"`` is 0.5 for one latent function and 0.3 for more; else 0.1.
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
        Share of rows held out by ``early_stopping``, of each class.
    n_restarts_optimizer : int, default=0
        Further trainings from hyperparameters drawn log-uniformly between their bounds; the one
        with the best ``log_posterior_`` (with ``early_stopping``, held-out score) is kept.
    warm_start : bool, default=False
        Whether ``fit`` begins where the last ``fit`` ended, where kernel and shapes still agree:
        hyperparameters, inducing points and their distribution.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class, by which ``sample_weight`` is multiplied. ``"balanced"`` gives every
        class the same total weight.
    multi_class : {"one_vs_rest", "one_vs_one"}, default="one_vs_rest"
        Taken as scikit-learn does: either way one model of all classes is trained, and gives
        probabilities (:class:`sklearn.multiclass.OneVsOneClassifier` trains pairs).
    copy_X_train, max_iter_predict, n_jobs : bool, int and int, default=True, 100 and None
        Taken as scikit-learn does. Rows are copied either way, ``max_iter`` bounds all steps, and
        training takes the cores that TensorFlow is given.
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
    classes_ : ndarray of shape (n_classes,)
    kernel_ : sklearn.gaussian_process.kernels.Kernel
        The kernel with the learned values.
    likelihood_ : dict
        ``epsilon``, as given or as learned; of a likelihood of your own what it learned, by name.
    inducing_points_ : ndarray of shape (M, n_features) or None
    elbo_ : float
        Lower bound of the log evidence; without priors.
    log_posterior_ : float
        ``elbo_`` with the logarithm of all priors, those of the default kernel up to a constant.
    mean_ : dict
        The constants and slopes of ``mean``, in the units of X.
    elbo_curve_ : ndarray of shape (``n_iter_``,)
        ``elbo_`` at each step; an estimate where a step does not take all rows.
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
        With ``early_stopping``: mean log probability of the held-out labels at each look.
    feature_relevances_ : ndarray of shape (n_features,)
        From the length scales, see there.
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

    _parameter_constraints: ClassVar[dict] = {
        **BaseGaussianProcess._parameter_constraints,
        "likelihood": [StrOptions({"auto", *LABEL_NAMES}), Labels],
        "epsilon": [None, Interval(Real, 0.0, 0.5, closed="left"), StrOptions({"auto"})],
        "shared_kernel": ["boolean"],
        "class_weight": [None, dict, StrOptions({"balanced"})],
        "multi_class": [StrOptions({"one_vs_rest", "one_vs_one"})],
        "max_iter_predict": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [None, Integral],
        "mean": [None, StrOptions(set(means.NAMES))],
    }

    def __init__(
        self,
        kernel: Any = None,
        *,
        likelihood: Any = "auto",
        epsilon: float | str | None = "auto",
        shared_kernel: bool = True,
        mean: str | None = None,
        priors: dict | None = None,
        n_inducing: int | str | None = "auto",
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
        class_weight: dict | str | None = None,
        multi_class: str = "one_vs_rest",
        copy_X_train: bool = True,
        max_iter_predict: int = 100,
        n_jobs: int | None = None,
        jitter: float = 1e-6,
        device: str | None = None,
        dtype: str = "auto",
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.kernel, self.shared_kernel = kernel, shared_kernel
        self.likelihood, self.epsilon = likelihood, epsilon
        self.mean, self.priors = mean, priors
        self.n_inducing = n_inducing
        self.inducing_init, self.train_inducing = inducing_init, train_inducing
        self.optimizer = optimizer
        self.gamma, self.learning_rate, self.batch_size = gamma, learning_rate, batch_size
        self.max_iter = max_iter
        self.tol, self.n_iter_no_change = tol, n_iter_no_change
        self.early_stopping, self.validation_fraction = early_stopping, validation_fraction
        self.n_restarts_optimizer, self.warm_start = n_restarts_optimizer, warm_start
        self.class_weight, self.multi_class = class_weight, multi_class
        self.copy_X_train, self.n_jobs = copy_X_train, n_jobs
        self.max_iter_predict = max_iter_predict
        self.jitter, self.device, self.dtype = jitter, device, dtype
        self.verbose, self.random_state = verbose, random_state

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> GaussianProcessClassifier:
        """Learn kernel and posterior.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or source of rows
            An array, or what reads rows: ``memmap``, Arrow, ``tf.data``, batches that start again,
            a class of slices (:doc:`/large_data`), with y and weights in it or by column name.
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
            For a parameter out of its range, NaN or infinity, values of X beyond 1e150, shapes
            that do not fit, fewer than two classes, a likelihood of another number of classes, a
            kernel setting that is not supported, or matrices that do not fit into memory; before
            any training.
        numpy.linalg.LinAlgError
            A ValueError, where the kernel matrix cannot be factorised, with what helps.
        TypeError
            For a kernel class that is not supported.
        RuntimeError
            Inside a ``tf.Graph``, and with TensorFlow's eager execution off.
        """
        return self._fit(X, y, sample_weight)

    @available_if(has_inducing_points)
    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> GaussianProcessClassifier:
        """Learn from more rows, without forgetting those seen before and without keeping them.

        As :meth:`GaussianProcessRegressor.partial_fit` (Bui, Nguyen & Turner 2017).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Some hundred rows and more are best: the first call sets scales and places points.
        y : array-like of shape (n_samples,)
            Labels among ``classes``; one class alone is welcome.
        classes : array-like of shape (n_classes,), default=None
            All labels that may ever come; needed in the first call, unless ``fit`` came before.
        sample_weight : array-like of shape (n_samples,), default=None
            As in ``fit``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As ``fit``; where ``classes`` is missing at first or differs later, or the likelihood
            does; for a label that is not among them; with ``early_stopping`` and with
            ``class_weight="balanced"``.

        Examples
        --------
        >>> import numpy as np
        >>> from skgpng import GaussianProcessClassifier
        >>> X = np.linspace(-3, 3, 60)[:, None]
        >>> y = np.where(X[:, 0] > 0, "up", "down")
        >>> model = GaussianProcessClassifier(n_inducing=10, random_state=0)
        >>> model = model.partial_fit(X[::2], y[::2], classes=["down", "up"])
        >>> print(model.partial_fit(X[1::2], y[1::2]).predict([[-2.0], [2.0]]))
        ['down' 'up']
        """
        return self._partial_fit(X, y, sample_weight, classes=classes)

    def __sklearn_tags__(self) -> Any:
        """Tags of scikit-learn: whether there may be more classes than two."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = not likelihoods.is_of_two(self.likelihood)
        return tags

    @property
    def _conjugate(self) -> bool:
        return False

    def _problem(self, X: Any, y: Any, start: str, sample_weight: Any, given: dict) -> Problem:
        X, y = validated(self, X, y, reset=start != "on")
        check_classification_targets(y)
        weights = check_weights(sample_weight, X)
        keep = weights > 0
        self._check_kernel(X, keep, start)
        keep = which(keep, start)
        X, y, weights = check_range(X[keep], self.dtype), y[keep], weights[keep]
        if merges_rows(Options.of(self), self._conjugate, len(X), self._tuning):
            codes = np.unique(y, return_inverse=True)[1]
            rows, weights = merge_equal_rows(weights, X, codes)
            X, y = X[rows], y[rows]
        kernel = self._start_kernel(X, weights, start)
        classes = self._classes(y, start, **given)
        labels = positions(y, classes)
        likelihood = likelihoods.for_labels(len(classes), self.likelihood, self.epsilon)
        old, n_latent = self._before(likelihood, start), likelihood.n_latent(1)
        kernel, parsed = self._kernel_of_each(kernel, n_latent)
        parsed, start = self._start_values(parsed, start, X)
        self.classes_ = classes
        each = weight_of_each(self.class_weight, labels, classes, weights)
        weights = weights * each[labels]
        Y = labels.reshape(-1, 1).astype(np.float64)
        rows_of_labels = Rows(X, Y, weights, np.zeros((len(X), 0)))
        of_f, parsed, observation, mean = self._begun(
            likelihood, self._observation(likelihood), rows_of_labels, 1.0, parsed, old, start
        )
        return Problem(
            rows=rows_of_labels,
            likelihood=likelihood,
            observation=observation,
            mean_function=of_f,
            mean=mean,
            n_latent=n_latent,
            kernel=kernel,
            parsed=parsed,
            units=Units(np.zeros(1), np.ones(1)),
            spread=1.0,
            noise_start=0.0,
            fixed_noise=0.0,
            given_noise="",
            trend=None,
            start=start,
            label_weights=each,
        )

    def _observation(self, likelihood: Labels) -> tuple[Parameter, ...]:
        """Parameters of the likelihood, with the epsilon that is given."""
        each = likelihood.parameters(None, 1.0)
        if not isinstance(self.epsilon, Real):
            return each
        given = np.asarray(self.epsilon, float)
        return tuple(p._replace(value=given, bounds=given + np.zeros(2), free=False) for p in each)

    def _own_attributes(self, plan: Plan, result: Result) -> dict:
        likelihood = cast(Labels, plan.problem.likelihood)
        return {"likelihood_": likelihood.report(result.theta.likelihood)}

    def _classes(self, y: np.ndarray, start: str, classes: Any = None) -> np.ndarray:
        if start in ("fresh", "warm"):
            return np.unique(y)
        return self._known_classes(classes, start)

    def _known_classes(self, classes: Any, start: str) -> np.ndarray:
        """Classes of every call of ``partial_fit``."""
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' counts all rows, which partial_fit does not see at once. "
                "Give a dict of weights."
            )
        if start == "on":
            if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
                raise ValueError(
                    f"classes={classes!r} are not those of the first call, {self.classes_!r}."
                )
            return self.classes_
        if classes is None:
            raise ValueError(
                "The first call of partial_fit needs classes: all labels that may ever come."
            )
        return np.unique(classes)

    def _kernel_of_each(self, kernel: Any, n_latent: int) -> tuple[Any, kernels.ParsedKernel]:
        """The kernel, one copy for each latent function where they are not to share it."""
        compound = isinstance(kernel, CompoundKernel)
        if compound and len(kernel.kernels) != n_latent:
            raise ValueError(
                f"kernel cannot be a CompoundKernel of {len(kernel.kernels)} kernels: there are "
                f"{n_latent} latent functions (one for two classes, else one for each class)."
            )
        if n_latent > 1 and not self.shared_kernel and not compound:
            kernel = CompoundKernel([kernel] * n_latent)
        parsed = kernels.parse(kernel, self._column_names)
        if parsed.noise_name is not None:
            raise ValueError(
                "kernel has a WhiteKernel, but labels have no Gaussian noise. Leave it out."
            )
        return kernel, parsed

    # --- predicting ----------------------------------------------------------------------

    @by_blocks
    def latent_mean_and_variance(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the latent function, or of that of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or source of rows

        Returns
        -------
        f_mean, f_var : ndarray of shape (n_samples,) or (n_samples, n_classes)
            Variance, not standard deviation. One dimension where there is one latent function.
        """
        X = self._validate_new(X)
        f_mean, f_var = self._predictor.latent(X)
        return without_axis(f_mean), without_axis(f_var)

    @property
    def n_classes_(self) -> int:
        """Number of ``classes_``; AttributeError before ``fit``."""
        return len(self.classes_)

    @property
    def base_estimator_(self) -> GaussianProcessClassifier:
        """The classifier itself: one model of all classes; NotFittedError before ``fit``."""
        check_is_fitted(self)
        return self

    @by_blocks
    def decision_function(self, X: Any) -> np.ndarray:
        r"""Scores that order classes and rows as ``predict_proba`` does.

        With two classes positive where ``classes_[1]`` is more likely: with the probit link the
        score :math:`f_{mean} / \sqrt{1 + f_{var}}`, else the log odds. With more classes the
        logarithms of their probabilities, of those below 1e-308 that of 2.2e-308.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or source of rows

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
        """
        X = self._validate_new(X)
        return self._labels.decision(self._predictor.values, *self._predictor.latent(X))

    @by_blocks
    def predict_proba(self, X: Any) -> np.ndarray:
        r"""Probability of each class, the latent functions integrated out.

        Probit: :math:`\epsilon + (1-2\epsilon)\Phi(f_{mean} / \sqrt{1 + f_{var}})`, a closed form.
        Logit and robust-max: by quadrature. Softmax: the mean at fixed points. Nothing is sampled.
        With an ``epsilon`` these are probabilities of labels, errors among them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or source of rows

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``; rows sum to one.
        """
        X = self._validate_new(X)
        p = self._probabilities(*self._predictor.latent(X))
        return p if p.shape[1] > 1 else np.hstack([1.0 - p, p])

    def _probabilities(self, f_mean: np.ndarray, f_var: np.ndarray) -> np.ndarray:
        return self._labels.predict_mean_and_var(self._predictor.values, f_mean, f_var)[0]

    @property
    def _labels(self) -> Labels:
        return cast(Labels, self._predictor.likelihood)

    @by_blocks
    def predict(self, X: Any) -> np.ndarray:
        """The more probable class of each row, the first of those as probable.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or source of rows

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        X = self._validate_new(X)
        likely = self._is_second(X) if self._labels.symmetric else self._latent_argmax(X)
        return self.classes_[likely]

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Share of labels that ``predict`` finds.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or source of rows
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        y, found, weights = scored(self, X, y, sample_weight, {})
        return float(accuracy_score(y, found, sample_weight=weights))

    def _latent_argmax(self, X: np.ndarray) -> np.ndarray:
        p = self._probabilities(*self._predictor.latent(X))
        return np.argmax(p, axis=1) if p.shape[1] > 1 else (p[:, 0] > 0.5).astype(np.intp)

    def _is_second(self, X: np.ndarray) -> np.ndarray:
        """Whether the second of two classes is the more probable one, 0 or 1 for each row.

        It is where the mean is positive: variances are not needed, but where p rounds to 1/2.
        """
        f_mean = self._predictor.latent_mean(X)[:, 0]
        prior = self._predictor.posterior.prior_variance(X)[0]
        second, close = f_mean > 0.0, np.abs(f_mean) < _TIE * np.sqrt(1.0 + prior)
        if close.any():
            second[close] = self._probabilities(*self._predictor.latent(X[close]))[:, 0] > 0.5
        return second.astype(np.intp)
