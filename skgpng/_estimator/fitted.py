"""A fitted estimator: what it knows, what may be asked of it, and how it travels."""

from __future__ import annotations

import abc
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .. import kernels
from .._runtime import outside_graphs
from .._version import __version__
from ..likelihoods import Likelihood
from . import kept
from .by_blocks import by_blocks
from .conditioning import conditioned
from .functions import SampledFunctions
from .gradients import gradients_at
from .notebook import Block, Extended, address_of_docs, as_html, block_of
from .priors import check_copies
from .state import from_plain, to_plain
from .summary import as_text, facts
from .validation import check_range, is_valid, validated, without_axis

__all__ = ["FittedGaussianProcess"]

# Of pickles; raised whenever fitted attributes change, so that none is half understood.
_STATE = 7


class FittedGaussianProcess(BaseEstimator, abc.ABC):
    """Everything of both estimators that needs no training."""

    dtype: str
    elbo_: float
    kernel_: Any
    jitter_: float
    priors: dict | None
    _predictor: Any  # a Predictor
    _record: dict  # see skgpng._estimator.record
    _spread: np.ndarray  # of the columns of the rows of fit

    def set_params(self, **params: Any) -> Any:
        """Set parameters, those of kernel and likelihood with ``kernel__`` or ``likelihood__``.

        Parameters
        ----------
        **params : dict
            By name. Settings of the likelihood, as ``likelihood__df``, make another object of it:
            that given before stays as it is.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For a name that is none of ``get_params``.
        """
        prefix = "likelihood__"
        rest = {name: value for name, value in params.items() if not name.startswith(prefix)}
        super().set_params(**rest)
        own = {k.removeprefix(prefix): v for k, v in params.items() if k not in rest}
        if own:
            likelihood = getattr(self, "likelihood", None)
            if not isinstance(likelihood, Likelihood):
                raise ValueError(
                    f"Invalid parameter {prefix + next(iter(own))!r} for {type(self).__name__}: "
                    f"its likelihood is {likelihood!r}. Settings are those of an object of "
                    "skgpng.likelihoods, such as likelihood=StudentT()."
                )
            self.likelihood = likelihood.with_params(**own)
        return self

    # --- what was learned ----------------------------------------------------------------

    @property
    def feature_relevances_(self) -> np.ndarray:
        r"""How much each column of X moves the latent function, [n_features]; sums to one.

        From the length scales of ``kernel_``: column d has the relevance
        :math:`\sqrt{\sum_k (s_d / \ell_{kd})^2}`, its standard deviation :math:`s_d` over the
        training rows in units of its length scale, all stationary kernels k of a sum or product
        (and of all classes) taken together; then divided by the total. A kernel with one length
        scale for all columns tells them apart by their spread only: use one per column
        (``RBF(np.ones(n_features))``, or the default kernel). A column that only kernels without
        a length scale see, such as one of levels, has 0.

        Raises
        ------
        AttributeError
            Before ``fit``, where ``kernel_`` has no length scale, and where a kernel of the user's
            own does not say which columns its length scales belong to (its method ``selects``).
        """
        if not hasattr(self, "kernel_"):
            raise AttributeError("feature_relevances_ is there after fit only.")
        try:
            parsed = kernels.parse(self.kernel_, self._column_names)
            scales = kernels.column_scales(parsed, len(self._spread))
        except ValueError as error:
            raise AttributeError(f"feature_relevances_: {error}") from error
        if not scales:
            raise AttributeError(
                f"feature_relevances_ needs length scales: {self.kernel_} has none."
            )
        relevance = np.sqrt(sum((self._spread / scale) ** 2 for scale in scales))
        return relevance / relevance.sum()

    @property
    def log_marginal_likelihood_value_(self) -> float:
        """``log_marginal_likelihood()``; AttributeError before ``fit``."""
        if not hasattr(self, "elbo_"):
            raise AttributeError("log_marginal_likelihood_value_ is there after fit only.")
        return kept.value(self)

    @property
    def X_train_(self) -> np.ndarray:
        """Rows of ``fit`` that the model keeps, (n_rows, n_features); without inducing points.

        Those with a positive weight; of equal rows with equal y there is one. They stand in an
        order of their own (sorted), so that a fit does not depend on that of the rows given:
        ``y_train_``, ``L_`` and ``alpha_`` belong to these rows, not to those of ``fit``.

        Raises
        ------
        AttributeError
            Before ``fit``, and with inducing points, which keep no rows.
        """
        return kept.rows(self, "X_train_")

    @property
    def y_train_(self) -> np.ndarray:
        """Scaled y of ``X_train_``, (n_rows,) or (n_rows, n_targets); of labels their positions.

        With ``normalize_y=False`` and a kernel that is given it is y itself. Positions are those in
        ``classes_``.

        Raises
        ------
        AttributeError
            As ``X_train_``, and of Gaussian noise with another ``gamma`` than 1.
        """
        return kept.targets(self, "y_train_")

    @outside_graphs
    def log_marginal_likelihood(
        self, theta: Any = None, eval_gradient: bool = False, clone_kernel: bool = True
    ) -> Any:
        """Log marginal likelihood of the scaled y or the labels, or its lower bound.

        Parameters
        ----------
        theta : array-like of shape (n_kernel_params,), default=None
            Logarithms of the free hyperparameters, ordered as ``kernel_.theta``; likelihood and
            mean stay as learned. ``None`` stands for the learned values: ``elbo_``. For labels, and
            other noise than Gaussian, it is the ELBO at the best variational distribution for
            theta; ``elbo_``, that where training stopped, is a little less. Of likelihoods that are
            not log-concave (labels that may be wrong, outliers) it is the better of two optima.
        eval_gradient : bool, default=False
            Whether to return the gradient in theta too.
        clone_kernel : bool, default=True
            Taken as scikit-learn does; ``kernel_`` stays as it is either way: predictions are made
            from it, and a pickle restores them by it.

        Returns
        -------
        value : float
            In nats; summed over targets. Minus infinity where the kernel matrix cannot be
            factorised.
        gradient : ndarray of shape (n_kernel_params,)
            Only with ``eval_gradient``.

        Raises
        ------
        ValueError
            For a theta (or a gradient) with inducing points, neighbours or a ``gamma`` other than
            1 for Gaussian noise: the rows are not kept. Or if ``eval_gradient`` is set without
            theta.
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self, "kernel_")  # without a name, scikit-learn lets the prior pass
        if theta is None:
            if eval_gradient:
                raise ValueError(
                    "Gradient can only be evaluated for theta!=None: give one, such as "
                    "kernel_.theta."
                )
            return kept.value(self)
        value, gradient = kept.evidence(self, theta)
        return (value, gradient) if eval_gradient else value

    def summary(self) -> str:
        """What was learned, on one screen: rows, model and why, hyperparameters, training.

        Length scales are those of the columns of X, in their units, the most relevant first; the
        noise is in the units of y. The last warning of ``fit`` is told again.

        Returns
        -------
        str
            At most 25 lines of at most 100 characters; what does not fit is counted.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.

        Examples
        --------
        >>> import numpy as np
        >>> from skgpng import GaussianProcessRegressor
        >>> X = np.linspace(0, 6, 40)[:, None]
        >>> model = GaussianProcessRegressor(random_state=0).fit(X, np.sin(X[:, 0]))
        >>> print(model.summary())
        GaussianProcessRegressor
        Rows        40 rows, 1 column
        Model       exact, as there are at most 1,000 rows
        ...
        """
        check_is_fitted(self, "_predictor")
        return as_text(type(self).__name__, facts(self))

    # --- asking --------------------------------------------------------------------------

    @property
    def _column_names(self) -> np.ndarray | None:
        """Names of the columns of X, where it was a data frame."""
        return getattr(self, "feature_names_in_", None)

    def _validate_new(self, X: Any) -> np.ndarray:
        """Rows to predict at, float64 or float32; raises before ``fit`` and for other columns."""
        if not hasattr(self, "_predictor"):
            check_is_fitted(self)
        if not is_valid(self, X):
            X = check_range(validated(self, X, reset=False), self.dtype)
        kernels.check_levels(self._predictor.posterior.kernel, X)
        return X

    # --- in a notebook, see skgpng._estimator.notebook ------------------------------------

    _doc_link_module = "skgpng"

    @property
    def _doc_link_template(self) -> str:
        """Page of a class among those that Sphinx builds; braces of an address are quoted."""
        return address_of_docs() + "/generated/skgpng.{estimator_name}.html"

    def _get_doc_link(self) -> str:
        """Address of the class, "" where that of the pages is not known."""
        return super()._get_doc_link() if address_of_docs() else ""

    def _sk_visual_block_(self) -> Block:
        """The estimator in scikit-learn's picture."""
        mean = getattr(self, "mean_", getattr(self, "mean", None))
        return block_of(self, mean if isinstance(mean, BaseEstimator) else None)

    def _get_fitted_attr_html(self, doc_link: str = "") -> Any:
        """With what was learned; scikit-learn 1.9 and later."""
        table = super()._get_fitted_attr_html(doc_link)
        return Extended(table, as_html(facts(self))) if hasattr(self, "_predictor") else table

    def _get_params_html(self, *args: Any, **settings: Any) -> Any:
        """With what was learned, where there is no table of fitted attributes; 1.7 and 1.8."""
        table = super()._get_params_html(*args, **settings)
        told = hasattr(self, "_predictor") and not hasattr(BaseEstimator, "_get_fitted_attr_html")
        return Extended(table, as_html(facts(self))) if told else table

    @by_blocks
    def predict_gradient(
        self, X: Any, return_std: bool = False, *, include_noise: bool = True, **known: Any
    ) -> Any:
        """Gradient of predictions in X: what moves how fast, and where to go.

        Of the mean that ``predict`` gives, of a classifier of the probabilities. Covariances are
        differentiated by their formulas. Where predictions are from neighbours, these and the
        local scale are held as they are at X. A column that a ``Categorical`` kernel takes for
        levels has 0 by it: there is nothing between levels. Where a kernel has a kink, as a
        Matern-1/2 at the rows of ``fit``, it is the mean of both sides.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or source of rows
        return_std : bool, default=False
            Whether to return the gradient of the standard deviation too; of regressors.
        include_noise : bool, default=True
            Whether this is the standard deviation of y or of its mean, as in ``predict``.
        **known : array-like of shape (n_samples,)
            Of the rows of X, as in ``predict``.

        Returns
        -------
        mean_gradient : ndarray
            Of shape (n_samples, n_features), of several targets (n_samples, n_targets,
            n_features), in the units of y by those of the columns; of a classifier
            (n_samples, n_classes, n_features).
        std_gradient : ndarray of the same shape
            Only with ``return_std``.

        Raises
        ------
        ValueError
            For kernels without a formula, for a regressor as ``mean`` that has neither
            ``coef_`` nor ``predict_gradient``, for grades, of which ``predict`` gives the median,
            and for ``return_std`` of a classifier.
        sklearn.exceptions.NotFittedError
            Before ``fit``.

        Examples
        --------
        >>> import numpy as np
        >>> from skgpng import GaussianProcessRegressor
        >>> X = np.linspace(0, 6, 40)[:, None]
        >>> model = GaussianProcessRegressor().fit(X, np.sin(X[:, 0]))
        >>> print(np.abs(model.predict_gradient(X) - np.cos(X)).max() < 0.05)
        True
        """
        check_is_fitted(self, "kernel_")
        X, model = self._validate_new(X), self._predictor
        row, of_labels = model.rows_known(known, len(X)), model.likelihood.support == "labels"
        if of_labels and return_std:
            raise ValueError(
                "return_std=True is for regressors: labels have probabilities, whose gradient this "
                "is. Leave it out."
            )
        mean, std = gradients_at(model, X, row, return_std, include_noise, self.kernel_)
        if of_labels:
            return mean if mean.shape[1] > 1 else np.concatenate([-mean, mean], 1)
        return (without_axis(mean), without_axis(std)) if return_std else without_axis(mean)

    @outside_graphs
    def condition(self, X: Any, y: Any, sample_weight: Any = None, **known: Any) -> Any:
        """A copy that knows more rows, with the same hyperparameters; this one stays as it is.

        For what would be known if y were observed at X, such as the fantasies of an optimiser that
        asks for several rows at once, and for rows that come one by one. An exact model grows its
        Cholesky factor in O(N^2 n); inducing points take in new rows in closed form, as one
        natural-gradient step of size 1 does; neighbours get more rows to choose from. With Gaussian
        noise this is what ``fit`` to all rows with these hyperparameters (and points) gives, and
        coefficients of a linear ``mean`` that an exact model integrates out learn, too. Other
        likelihoods, labels among them, learn the new rows by natural-gradient steps until these
        settle, with what was learned of the old ones held as a Gaussian: nearly what ``fit``
        gives, as in ``partial_fit``. Units of y, a regressor as ``mean``, the number of
        neighbours and their local scale stay those of ``fit``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Labels among ``classes_``.
        sample_weight : array-like of shape (n_samples,), default=None
        **known : array-like of shape (n_samples,)
            All as in ``fit``: ``noise_variance``, ``exposure``.

        Returns
        -------
        estimator
            Fitted. ``elbo_`` and ``log_posterior_`` are those of all rows in an exact model with
            Gaussian noise; elsewhere, and ``elbo_curve_`` and ``validation_scores_`` always, they
            are not there. What is said of training (``n_iter_``, ``converged_``) is of that of the
            hyperparameters.

        Raises
        ------
        ValueError
            As ``fit``, for labels that are not among ``classes_``, and with
            ``class_weight="balanced"``.
        numpy.linalg.LinAlgError
            Where rows with next to no noise are as good as equal.
        sklearn.exceptions.NotFittedError
            Before ``fit``.

        Examples
        --------
        >>> import numpy as np
        >>> from skgpng import GaussianProcessRegressor
        >>> X = np.linspace(0, 6, 20)[:, None]
        >>> model = GaussianProcessRegressor().fit(X, np.sin(X[:, 0]))
        >>> more = model.condition([[8.0]], [1.0])
        >>> stds = [m.predict([[8.0]], return_std=True)[1][0] for m in (model, more)]
        >>> print(stds[1] < 0.1 * stds[0], len(X))
        True 20
        """
        check_is_fitted(self, "kernel_")
        return conditioned(self, X, y, sample_weight, known)

    @outside_graphs
    def sample_functions(self, n_samples: int = 1, random_state: Any = None) -> SampledFunctions:
        """Draw functions that can be asked anywhere, and answer the same each time.

        Of the mean of y as a function of X; the draws of ``sample_y`` are of the rows asked for
        only, and cost their cube. A function is a draw of the prior by random features (2048 of
        each function, others for each), corrected by what is known at the rows, the inducing points
        or, with neighbours, those of each row (Wilson et al. 2020). Means, standard deviations and
        covariances of many functions are those of ``predict``. Kernels of waves, neurons,
        polynomials and levels have features, and their sums, products and whole powers. Under
        others, such as one of your own without the method ``features``, values are drawn given all
        that were asked for before: as exact, but the cost grows with the cube of the rows asked.

        Parameters
        ----------
        n_samples : int, default=1
            Functions.
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        SampledFunctions
            ``functions(X)`` are values (n_rows, n_samples), of several targets (n_rows, n_targets,
            n_samples), in the units of y and without noise; of a classifier probabilities
            (n_rows, n_classes, n_samples). It can be pickled.

        Raises
        ------
        ValueError
            For fewer than one function, and for more than fit into memory.
        sklearn.exceptions.NotFittedError
            Before ``fit``.

        Examples
        --------
        >>> import numpy as np
        >>> from skgpng import GaussianProcessRegressor
        >>> X = np.linspace(0, 6, 40)[:, None]
        >>> model = GaussianProcessRegressor().fit(X, np.sin(X[:, 0]))
        >>> functions = model.sample_functions(3, random_state=0)
        >>> print(functions(X).shape, np.array_equal(functions(X), functions(X)))
        (40, 3) True
        """
        check_is_fitted(self, "kernel_")
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples must be a positive integer, got {n_samples!r}.")
        return SampledFunctions(self, int(n_samples), random_state)

    # --- state ---------------------------------------------------------------------------

    def __getstate__(self) -> dict:
        """Plain arrays and numbers, with the version of their form."""
        check_copies(self.priors)
        state = to_plain(super().__getstate__())
        return {**state, "_skgpng_state": _STATE, "_skgpng_version": __version__}

    def __setstate__(self, state: dict) -> None:
        """Undo :meth:`__getstate__`; ValueError for the state of another version's form."""
        form = state.get("_skgpng_state")
        version = state.get("_skgpng_version", "older than 0.1.0")
        if form != _STATE:
            raise ValueError(
                f"This {type(self).__name__} was pickled by skgpng {version} (state {form}); "
                f"skgpng {__version__} reads state {_STATE}. Unpickle it with that version and "
                "write it anew by skgpng.save, or fit again."
            )
        state = {k: v for k, v in state.items() if not k.startswith("_skgpng_")}
        super().__setstate__(from_plain(state))
