"""What an exact model keeps of its rows, by scikit-learn's names; computed when asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from .._inference.neighbour_posterior import NeighbourPosterior
from .theta import log_evidence
from .validation import without_axis

__all__ = ["evidence", "root", "rows", "targets", "value", "weights"]

_EXACT = "needs an exact model: set n_inducing=None, n_neighbors=None and gamma='auto'"


def rows(model: Any, name: str) -> np.ndarray:
    """Rows that predictions are made from, [N, D]."""
    p = _posterior(model, name)
    if model.inducing_points_ is not None:
        raise AttributeError(
            f"{name}: with inducing points the rows of fit are not kept. Set n_inducing=None, or "
            "n_neighbors."
        )
    return p.points


def targets(model: Any, name: str) -> np.ndarray:
    """Scaled y of these rows, or positions of labels, [N] or [N, P]."""
    p, data = _posterior(model, name), getattr(model, "_exact_data", None)
    if data is not None:
        Y = data.Y
    elif isinstance(p, NeighbourPosterior):
        Y = p.mean_function.added(p.mean_values, p.targets, p.points)
    else:
        raise AttributeError(f"{name} {_EXACT}, or n_neighbors.")
    Y = Y.astype(int) if model._predictor.likelihood.support == "labels" else Y
    return without_axis(Y)


def root(model: Any, name: str) -> np.ndarray:
    """Lower triangle L with L L' = K + noise, [N, N]."""
    L = _of_gaussian(model, name).root
    if len(L) > 1:
        raise AttributeError(
            f"{name}: each target has a kernel of its own, and a factor of its own. Give one "
            "kernel for all."
        )
    return L[0]


def weights(model: Any, name: str) -> np.ndarray:
    """(K + noise)^-1 of y less its mean, [N] or [N, P]."""
    return without_axis(_of_gaussian(model, name).weights)


def evidence(model: Any, theta: Any) -> tuple[float, np.ndarray]:
    """Log evidence at another theta, or its bound, and its gradient; ValueError without rows."""
    data = getattr(model, "_exact_data", None)
    if data is None:
        raise ValueError(
            "log_marginal_likelihood at another theta needs the training rows in an exact model, "
            "which keeps them: set n_inducing=None, n_neighbors=None and gamma='auto'."
        )
    kernel = kernels.at_theta(model.kernel_, theta)
    columns = getattr(model, "feature_names_in_", None)
    value, gradient = log_evidence(kernel, columns, model._predictor, data, model.jitter_)
    if not np.isfinite(value):  # as scikit-learn's, which an optimiser turns away from
        return np.float64(-np.inf), np.zeros_like(gradient)
    return np.float64(value), gradient  # as scikit-learn's: differences with float32 keep digits


def value(model: Any) -> float:
    """Log evidence at the learned theta, or its bound where training stopped.

    Without Gaussian noise, of an exact model, the bound at the best q, as at any other theta.
    """
    if getattr(model, "_exact_data", None) is None or model._predictor.likelihood.conjugate:
        return _known_elbo(model)
    return evidence(model, model.kernel_.theta)[0]


def _known_elbo(model: Any) -> float:
    if not hasattr(model, "elbo_"):
        raise ValueError(
            "The bound of all rows is not known after condition, but in an exact model. Use fit, "
            "with all rows."
        )
    return model.elbo_


def _posterior(model: Any, name: str) -> Any:
    if not hasattr(model, "_predictor"):
        raise AttributeError(f"{name} is there after fit only.")
    return model._predictor.posterior


def _of_gaussian(model: Any, name: str) -> Any:
    """Posterior of exact regression."""
    p = _posterior(model, name)
    if not model._predictor.likelihood.conjugate or getattr(model, "_exact_data", None) is None:
        raise AttributeError(f"{name} {_EXACT}, with likelihood='gaussian'.")
    return p
