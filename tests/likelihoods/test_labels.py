from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import norm

from skgpng.likelihoods import Bernoulli, Softmax

RNG = np.random.RandomState(0)


def test_probabilities_against_draws():
    F = np.array([[0.3], [-2.0]])
    draws = Bernoulli().sample((), np.repeat(F[None], 40000, 0), RNG)
    assert set(np.unique(draws)) == {0.0, 1.0}
    np.testing.assert_allclose(draws.mean(0), 1e-3 + 0.998 * norm.cdf(F), atol=0.01)
    F = np.array([[0.0, 1.0, -1.0]])
    draws = Softmax(3).sample((), np.repeat(F, 40000, 0), RNG)
    assert draws.shape == (40000, 1)
    np.testing.assert_allclose(np.bincount(draws[:, 0].astype(int)) / 4e4, softmax(F[0]), atol=0.01)


def test_softmax_against_draws_of_f():
    f_mean, f_var = np.array([[0.5, 0.0, -1.0]]), np.array([[0.2, 1.0, 0.1]])
    each = softmax(f_mean + np.sqrt(f_var) * RNG.standard_normal((200000, 3)), -1)
    p, var = Softmax(3).predict_mean_and_var((), f_mean, f_var)
    below = Softmax(3).predict_mean_and_var((), f_mean, f_var, include_noise=False)[1]
    np.testing.assert_allclose(p[0], each.mean(0), atol=3e-3)
    np.testing.assert_allclose(below[0], each.var(0), rtol=0.2)
    np.testing.assert_allclose(var, p - p**2)
    found = Softmax(3).predict_log_density((), f_mean, f_var, np.array([[2.0]]))
    np.testing.assert_allclose(found, np.log(p[:, 2:]))
    np.testing.assert_allclose(Softmax(3).conditional_mean((), f_mean), softmax(f_mean, -1))


@pytest.mark.parametrize("f_var", [1e-12, 25.0])
def test_extreme_variances(f_var):
    f = np.array([[-50.0], [0.0], [50.0]])
    for y in (0.0, 1.0):
        found = Bernoulli().predict_log_density((), f, np.full((3, 1), f_var), np.full((3, 1), y))
        p = 1e-3 + 0.998 * norm.cdf((2 * y - 1) * f / np.sqrt(1 + f_var))
        np.testing.assert_allclose(found, np.log(p), rtol=1e-12)


def test_a_regression_sees_centred_labels():
    targets, noise, free = Bernoulli().as_regression(np.array([[0.0], [1.0]]), (), None, 1.0)
    np.testing.assert_array_equal(targets, [[-1.0], [1.0]])
    assert noise == 0.3 and not free
    targets, _, _ = Softmax(3).as_regression(np.array([[0.0], [1.0], [2.0]]), (), None, 1.0)
    np.testing.assert_allclose(targets, 2.0 * np.eye(3) - 2.0 / 3.0)
    np.testing.assert_array_equal(
        Softmax(3).offset(np.zeros((2, 1)), np.ones(2), None), np.zeros(3)
    )
    assert Softmax(3).n_latent(1) == 3 and Softmax(3).n_columns(3) == 1
