"""The two estimators on Dask collections: rows stay on the workers of a cluster.

It needs ``pip install "skgpng[dask]"``. See :doc:`/many_machines`.
"""

from __future__ import annotations

import inspect
from typing import Any

try:
    import distributed  # noqa: F401
except ImportError as error:
    raise ImportError(
        'skgpng.dask needs Dask on this machine and on all workers: pip install "skgpng[dask]"'
    ) from error

import numpy as np
from dask import is_dask_collection

from .. import classification, likelihoods, regression
from .._estimator.validation import levels_of
from ._cluster import client_of
from ._lazy import accuracy, computed, lazily
from ._rows import DaskRows

__all__ = ["GaussianProcessClassifier", "GaussianProcessRegressor"]


def _with_client(ordinary: type) -> inspect.Signature:
    """Signature of the constructor of a class, and the client."""
    signature = inspect.signature(vars(ordinary)["__init__"])
    client = inspect.Parameter("client", inspect.Parameter.KEYWORD_ONLY, default=None)
    return signature.replace(parameters=[*signature.parameters.values(), client])


def _is_far(X: Any) -> bool:
    """Whether X is of Dask: a collection, or a list of some, which is refused by name."""
    return is_dask_collection(X[0] if isinstance(X, (list, tuple)) and len(X) else X)


class GaussianProcessRegressor(regression.GaussianProcessRegressor):
    """Gaussian process regression on Dask arrays and data frames.

    ``fit`` leaves chunks and partitions on the workers that hold them: each adds up its own rows,
    and what goes to and fro in a step are matrices of the size of the inducing points. A sample of
    the rows, of 128 MiB at most, comes to the driver, which scales y and places the points by it.
    Methods that predict are lazy on Dask collections. With other rows all is as in
    :class:`skgpng.GaussianProcessRegressor`.

    Parameters
    ----------
    kernel, likelihood, mean, priors, alpha : default=None, "gaussian", None, None, None
    n_inducing, n_neighbors, local_scale : default="auto", "auto", True
        With ``"auto"`` more than 1000 rows are predicted from neighbours, which are taken from the
        sample; set ``n_inducing`` to a number to learn from all rows.
    inducing_init, train_inducing, optimizer, gamma : default="kmeans", True, "auto", "auto"
    learning_rate, batch_size, max_iter, tol : default="auto", "auto", 1000, 1e-4
    n_iter_no_change, early_stopping, validation_fraction : default=10, False, 0.1
    n_restarts_optimizer, warm_start, normalize_y : default=0, False, True
    copy_X_train, n_targets, jitter, device : default=True, None, 1e-6, None
    dtype, verbose, random_state : default="auto", 0, None
        All as in :class:`skgpng.GaussianProcessRegressor`.
    client : distributed.Client, default=None
        The cluster to fit on; ``None`` is the client made last. It is no parameter of
        ``get_params``: a clone, a copy and what comes from a pickle have none.

    Attributes
    ----------
    client : distributed.Client or None

    See Also
    --------
    skgpng.GaussianProcessRegressor : Has all parameters, methods and fitted attributes.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from skgpng.dask import GaussianProcessRegressor
    >>> client = Client(processes=False, dashboard_address=":0")
    >>> X = da.linspace(0, 6, 2000, chunks=500)[:, None]
    >>> model = GaussianProcessRegressor(n_inducing=20, random_state=0, client=client)
    >>> model = model.fit(X, da.sin(X[:, 0]))
    >>> mean, std = model.predict(X, return_std=True)
    >>> print(mean.chunks, abs(mean[500].compute() - da.sin(X[500, 0]).compute()) < 0.01)
    ((500, 500, 500, 500),) True
    >>> model.to_local()
    GaussianProcessRegressor(n_inducing=20, random_state=0)
    >>> client.close()
    """

    def __init__(self, kernel: Any = None, *, client: Any = None, **parameters: Any) -> None:
        super().__init__(kernel, **parameters)
        self.client = client

    __signature__ = _with_client(regression.GaussianProcessRegressor)
    __init__.__signature__ = __signature__  # type: ignore[attr-defined]

    @classmethod
    def _get_param_names(cls) -> list[str]:
        return regression.GaussianProcessRegressor._get_param_names()

    def __getstate__(self) -> dict:
        """Without the client."""
        return {**super().__getstate__(), "client": None}

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        noise_variance: Any = None,
        **known: Any,
    ) -> GaussianProcessRegressor:
        given = {"noise_variance": noise_variance, **known}
        if not _is_far(X):
            return super().fit(X, y, sample_weight, **given)
        for name, values in given.items():
            if values is not None:
                raise ValueError(
                    f"{name} is for arrays: of Dask collections fit takes X, y and sample_weight."
                )
        return self._fit_elsewhere(DaskRows(client_of(self.client), X, y, sample_weight, False))

    def to_local(self) -> regression.GaussianProcessRegressor:
        """The same as an ordinary estimator, which needs no Dask.

        Returns
        -------
        skgpng.GaussianProcessRegressor
            With the same parameters and, after ``fit``, the same numbers; arrays are shared.

        Examples
        --------
        >>> from skgpng.dask import GaussianProcessRegressor
        >>> GaussianProcessRegressor(n_inducing=50).to_local()
        GaussianProcessRegressor(n_inducing=50)
        """
        return _local(self, regression.GaussianProcessRegressor)

    def predict(
        self,
        X: Any,
        return_std: bool = False,
        return_cov: bool = False,
        *,
        include_noise: bool = True,
        **known: Any,
    ) -> Any:
        options = {"return_std": return_std, "include_noise": include_noise}
        if not is_dask_collection(X):
            return super().predict(X, return_cov=return_cov, **options, **known)
        if return_cov:
            raise ValueError(
                "return_cov=True is for arrays, as the covariance is between all rows: compute "
                "those that it is to be of, X.compute()."
            )
        names = ["mean", "std"] if return_std else ["mean"]
        return lazily(self.to_local(), "predict", X, known, options, names)

    def predict_quantiles(self, X: Any, quantiles: Any = (0.025, 0.5, 0.975), **known: Any) -> Any:
        if not is_dask_collection(X):
            return super().predict_quantiles(X, quantiles, **known)
        levels = levels_of(quantiles).tolist()
        options = {"quantiles": levels}
        return lazily(self.to_local(), "predict_quantiles", X, known, options, [levels])

    def log_predictive_density(self, X: Any, y: Any = None, **known: Any) -> Any:
        if not is_dask_collection(X):
            return super().log_predictive_density(X, y, **known)
        return _of_rows(self, "log_predictive_density", X, {"y": y, **known})

    def crps(self, X: Any, y: Any = None, **known: Any) -> Any:
        if not is_dask_collection(X):
            return super().crps(X, y, **known)
        return _of_rows(self, "crps", X, {"y": y, **known})

    def score(self, X: Any, y: Any = None, sample_weight: Any = None, **known: Any) -> float:
        if not is_dask_collection(X):
            return super().score(X, y, sample_weight, **known)
        predicted = self.predict(X, **known)
        y, predicted, sample_weight = computed(self.client, y, predicted, sample_weight)
        return likelihoods.named(self.likelihood).score(y, predicted, sample_weight)


class GaussianProcessClassifier(classification.GaussianProcessClassifier):
    """Gaussian process classification on Dask arrays and data frames.

    ``fit`` leaves chunks and partitions on the workers that hold them: each adds up its own rows,
    and what goes to and fro in a step are matrices of the size of the inducing points. A sample of
    the rows, of 128 MiB at most and with one row of each class at least, comes to the driver, which
    places the points by it. Methods that predict are lazy on Dask collections. With other rows all
    is as in :class:`skgpng.GaussianProcessClassifier`.

    Parameters
    ----------
    kernel, likelihood, epsilon, shared_kernel : default=None, "auto", "auto", True
    mean, priors, n_inducing, inducing_init : default=None, None, "auto", "kmeans"
    train_inducing, optimizer, gamma : default=True, "auto", "auto"
    learning_rate, batch_size, max_iter, tol : default="auto", "auto", 1000, 1e-4
    n_iter_no_change, early_stopping, validation_fraction : default=10, False, 0.1
    n_restarts_optimizer, warm_start, class_weight : default=0, False, None
    multi_class, copy_X_train, max_iter_predict, n_jobs : default="one_vs_rest", True, 100, None
    jitter, device, dtype, verbose, random_state : default=1e-6, None, "auto", 0, None
        All as in :class:`skgpng.GaussianProcessClassifier`.
    client : distributed.Client, default=None
        The cluster to fit on; ``None`` is the client made last. It is no parameter of
        ``get_params``: a clone, a copy and what comes from a pickle have none.

    Attributes
    ----------
    client : distributed.Client or None

    See Also
    --------
    skgpng.GaussianProcessClassifier : Has all parameters, methods and fitted attributes.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from skgpng.dask import GaussianProcessClassifier
    >>> client = Client(processes=False, dashboard_address=":0")
    >>> X = da.linspace(-3, 3, 2000, chunks=500)[:, None]
    >>> model = GaussianProcessClassifier(n_inducing=10, max_iter=20, tol=0.1, random_state=0)
    >>> model = model.fit(X, X[:, 0] > 0)
    >>> print(model.predict(X)[[0, -1]].compute())
    [False  True]
    >>> client.close()
    """

    def __init__(self, kernel: Any = None, *, client: Any = None, **parameters: Any) -> None:
        super().__init__(kernel, **parameters)
        self.client = client

    __signature__ = _with_client(classification.GaussianProcessClassifier)
    __init__.__signature__ = __signature__  # type: ignore[attr-defined]

    @classmethod
    def _get_param_names(cls) -> list[str]:
        return classification.GaussianProcessClassifier._get_param_names()

    def __getstate__(self) -> dict:
        """Without the client."""
        return {**super().__getstate__(), "client": None}

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> GaussianProcessClassifier:
        if not _is_far(X):
            return super().fit(X, y, sample_weight)
        return self._fit_elsewhere(DaskRows(client_of(self.client), X, y, sample_weight, True))

    def to_local(self) -> classification.GaussianProcessClassifier:
        """The same as an ordinary estimator, which needs no Dask.

        Returns
        -------
        skgpng.GaussianProcessClassifier
            With the same parameters and, after ``fit``, the same numbers; arrays are shared.

        Examples
        --------
        >>> from skgpng.dask import GaussianProcessClassifier
        >>> GaussianProcessClassifier(n_inducing=50).to_local()
        GaussianProcessClassifier(n_inducing=50)
        """
        return _local(self, classification.GaussianProcessClassifier)

    def predict(self, X: Any) -> Any:
        if not is_dask_collection(X):
            return super().predict(X)
        return lazily(self.to_local(), "predict", X, {}, {}, ["label"])

    def predict_proba(self, X: Any) -> Any:
        if not is_dask_collection(X):
            return super().predict_proba(X)
        local = self.to_local()
        return lazily(local, "predict_proba", X, {}, {}, [getattr(local, "classes_", [])])

    def decision_function(self, X: Any) -> Any:
        if not is_dask_collection(X):
            return super().decision_function(X)
        return lazily(self.to_local(), "decision_function", X, {}, {}, ["decision"])

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Share of labels that ``predict`` finds.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        if not is_dask_collection(X):
            return super().score(X, y, sample_weight)
        return accuracy(*computed(self.client, y, self.predict(X), sample_weight))


def _local(estimator: Any, cls: Any) -> Any:
    """An estimator of the class with all that this one has, but the client."""
    local = cls.__new__(cls)
    vars(local).update({k: v for k, v in vars(estimator).items() if k != "client"})
    return local


def _of_rows(estimator: Any, method: str, X: Any, beside: dict) -> Any:
    """A number for each row, whose kind needs no trial."""
    return lazily(estimator.to_local(), method, X, beside, {}, [method], np.zeros(1))
