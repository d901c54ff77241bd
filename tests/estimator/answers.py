"""Short fits, and all that a fitted model says."""

from __future__ import annotations

import numpy as np

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor


# Ten steps: what is tested is how the parts fit together, not how well they are trained.
def regressor(kernel=None, **settings):
    return GaussianProcessRegressor(kernel, **{"max_iter": 10, "random_state": 0, **settings})


def classifier(kernel=None, **settings):
    return GaussianProcessClassifier(kernel, **{"max_iter": 10, "random_state": 0, **settings})


#: Of the two above, for ``pytest.mark.parametrize``.
NAMES = ("regressor", "classifier")


def answers(model, X):
    """Every prediction the model gives."""
    if isinstance(model, GaussianProcessRegressor):
        return [
            *model.predict(X, return_std=True),
            model.predict_quantiles(X),
            model.sample_y(X, 2),
            model.log_predictive_density(
                X, np.zeros((len(X), *np.shape(model.predict(X[:1]))[1:]))
            ),
        ]
    return [
        model.predict(X),
        model.predict_proba(X),
        model.decision_function(X),
        *model.latent_mean_and_variance(X),
    ]


def assert_same_answers(a, b, rtol=1e-9, atol=1e-12):
    """Equal but for the order in which numbers are summed; labels are equal."""
    for left, right in zip(a, b, strict=True):
        if np.asarray(left).dtype.kind == "f":
            np.testing.assert_allclose(left, right, rtol=rtol, atol=atol)
        else:
            np.testing.assert_array_equal(left, right)


def assert_equal_answers(a, b):
    """Equal to the last bit."""
    for left, right in zip(a, b, strict=True):
        np.testing.assert_array_equal(left, right)
