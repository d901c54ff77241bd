"""A fitted estimator with more rows and the same hyperparameters."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _num_samples

from .._inference.base import data_term_and_gradients
from .._inference.conditioning import NewSites, log_evidence, sites_of_rows, with_sites
from .._inference.neighbour_posterior import NeighbourPosterior
from .._inference.posterior import Posterior
from .._runtime import refuse_beyond, tf
from . import record
from .predictor import Predictor
from .problem import Problem, Rows

__all__ = ["conditioned", "copy_of"]

_LOG_2PI = float(np.log(2.0 * np.pi))
# What is said of a training on other rows.
_OF_TRAINING = ("elbo_", "log_posterior_", "elbo_curve_", "validation_scores_")


def copy_of(fitted: Any) -> Any:
    """A fitted estimator with the same parameters and attributes; arrays are shared."""
    new, given = clone(fitted), fitted.get_params(deep=False)
    vars(new).update({name: v for name, v in vars(fitted).items() if name not in given})
    return new


def conditioned(fitted: Any, X: Any, y: Any, sample_weight: Any, known: dict) -> Any:
    """See :meth:`FittedGaussianProcess.condition`."""
    new, model = copy_of(fitted), fitted._predictor
    problem = new._problem(X, y, "on", sample_weight, known)
    posterior = _with_rows(model, problem.rows)
    near = isinstance(posterior, NeighbourPosterior)  # which predictions look after
    if not near and not posterior.is_finite:
        raise np.linalg.LinAlgError(
            "The covariances of all rows cannot be factorised: some are as good as equal, and have "
            "next to no noise. Leave these out, or give them noise_variance."
        )
    new._predictor = dataclasses.replace(model, posterior=posterior)
    new._stream = _stream_with(new._stream, problem.rows)
    n_rows = record.count_rows(_num_samples(X), sample_weight)
    new._record = {**new._record, "rows": new._record["rows"] + n_rows}
    if new.inducing_points_ is not None:
        new.inducing_points_ = posterior.points
    new.mean_ = new._mean_of(problem, posterior.mean_values)
    for name in _OF_TRAINING:
        vars(new).pop(name, None)
    if getattr(new, "_exact_data", None) is not None:
        vars(new).update(_exact_attributes(fitted, posterior, problem))
    return new


def _with_rows(model: Predictor, rows: Rows) -> Posterior:
    p: Any = model.posterior
    X, Y, weights, row = rows
    if isinstance(p, NeighbourPosterior):
        return _with_neighbours(p, model, rows)
    points = len(p.points) if hasattr(p, "precision_root") else len(p.points) + len(X)
    refuse_beyond(
        16.0 * p.n_latent * points**2,
        f"the covariances of {points:,} rows with each other",
        "Give fewer rows, or fit with n_inducing or n_neighbors.",
    )
    if model.likelihood.conjugate:
        precision = (weights / model.likelihood.noise_of_rows(model.values, row))[:, None]
        return with_sites(p, X, NewSites(precision * Y, precision))
    values, Y, row = tf.nest.map_structure(tf.constant, (tuple(model.values), Y, row))

    def expected(values: tuple, f_mean: Any, f_var: Any) -> Any:
        return model.likelihood.variational_expectations(values, f_mean, f_var, Y, row)

    def gradients(f_mean: np.ndarray, f_var: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        moments = tf.constant(f_mean), tf.constant(f_var)
        _, found = data_term_and_gradients(expected, values, *moments, weights[:, None])
        return found[1].numpy(), found[2].numpy()

    sites, settled = sites_of_rows(p, X, gradients, weights, model.likelihood.gamma)
    if not settled:
        warnings.warn(
            "condition: natural-gradient steps for the new rows have not settled. Check that y "
            "suits the likelihood, or use fit with all rows.",
            ConvergenceWarning,
            stacklevel=6,
        )
    return with_sites(p, X, sites)


def _with_neighbours(p: NeighbourPosterior, model: Predictor, rows: Rows) -> Posterior:
    X, Y, weights, row = rows
    targets = Y - p.mean_function.added(p.mean_values, np.zeros_like(Y), X)
    noise = model.likelihood.noise_of_rows(model.values, row) * np.ones(len(X))
    old = (p.points, p.targets, p.noise, p.weights)
    return p.of_rows(*map(np.concatenate, zip(old, (X, targets, noise, weights), strict=True)))


def _stream_with(stream: Any, rows: Rows) -> Any:
    kept = None if stream.rows is None else stream.rows.and_then(rows)
    return stream._replace(rows=kept, n_seen=stream.n_seen + rows.weights.sum())


def _exact_attributes(fitted: Any, posterior: Any, problem: Problem) -> dict:
    """Rows and evidence of an exact model; priors are of what has not moved, if nothing has."""
    old, likelihood = fitted._exact_data, fitted._predictor.likelihood
    rows = Rows(*old[:4]).and_then(problem.rows)
    if not likelihood.conjugate:  # the bound is that of another q
        return {"_exact_data": old._replace(**rows._asdict())}
    variance = likelihood.noise_of_rows(fitted._predictor.values, rows.row)
    noise = variance / rows.weights
    # a row of weight w counts w times: N(y|f,s)^w is N(y|f,s/w) times this
    extra = np.log(noise) + _LOG_2PI - rows.weights * (np.log(variance) + _LOG_2PI)
    elbo = log_evidence(posterior) + 0.5 * rows.Y.shape[1] * float(np.sum(extra))
    found = {"_exact_data": old._replace(**rows._asdict()), "elbo_": elbo}
    if posterior.mean_values is fitted._predictor.posterior.mean_values:
        found["log_posterior_"] = elbo + fitted.log_posterior_ - fitted.elbo_
    return found
