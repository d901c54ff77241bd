"""A fitted estimator: what it knows, what may be asked of it, and how it travels."""

from __future__ import annotations

import abc
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .. import kernels
from .._version import __version__
from ..likelihoods import Likelihood
from .notebook import Block, Extended, address_of_docs, as_html, block_of
from .priors import check_copies
from .state import from_plain, to_plain
from .summary import as_text, facts
from .validation import check_range, validated

__all__ = ["FittedGaussianProcess"]

# Of pickles; raised whenever fitted attributes change, so that none is half understood.
_STATE = 6


class FittedGaussianProcess(BaseEstimator, abc.ABC):
    """Everything of both estimators that needs no training."""

    dtype: str
    kernel_: Any
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
        check_is_fitted(self)
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
