"""Any latent moments: probabilities are some, and Jensen's inequality holds."""

from __future__ import annotations

import numpy as np
from batteries.drawn import cases_each, seeds
from hypothesis import given
from hypothesis import strategies as st

from skgpng.likelihoods import (
    AsymmetricLaplace,
    Bernoulli,
    Beta,
    Gaussian,
    Laplace,
    Logit,
    RobustMax,
    Softmax,
    StudentT,
)


def random_f(seed, C, size):
    """Means and variances over many magnitudes, [12, C]."""
    rng = np.random.RandomState(seed)
    return size * rng.randn(12, C), 10.0 ** rng.uniform(-12, 4, (12, C))


@cases_each(100)
@given(seeds, st.floats(0, 100), st.floats(0, 0.4))
def test_probabilities_of_two_classes(seed, size, epsilon):
    f_mean, f_var = random_f(seed, 1, size)
    for likelihood, rounding in ((Bernoulli(epsilon), 1e-14), (Logit(epsilon), 1e-10)):
        yes, variance = likelihood.predict_mean_and_var((), f_mean, f_var)
        no, _ = likelihood.predict_mean_and_var((), -f_mean, f_var)
        assert np.all(np.abs(yes - 0.5) <= (0.5 - epsilon) * (1 + rounding))
        assert np.all(variance >= -rounding)
        np.testing.assert_allclose(yes + no, 1.0, rtol=rounding)


@cases_each(50)
@given(seeds, st.integers(2, 8), st.floats(0, 1000))
def test_probabilities_of_many_classes(seed, C, size):
    for likelihood in (Softmax(C), RobustMax(C)):
        p, variance = likelihood.predict_mean_and_var((), *random_f(seed, C, size))
        assert np.all((p >= 0) & (p <= 1))
        assert np.all(variance >= 0)
        np.testing.assert_allclose(np.sum(p, 1), 1.0, rtol=1e-13)


@cases_each(50)
@given(seeds, st.floats(0.1, 30.0), st.floats(0.01, 10.0))
def test_expected_log_density_is_below_the_log_of_the_expected(seed, df, scale):
    """Jensen: the data term of the ELBO against the predictive density, each by its own method."""
    f_mean, f_var = random_f(seed, 3, 5.0)
    labels = (f_mean > 0).astype(float)
    for likelihood, values, Y in (
        (Gaussian(), (scale,), labels),
        (Bernoulli(), (), labels),
        (Logit(), (), labels),
        (StudentT(), (scale, df), labels),
        (Laplace(), (scale,), labels),
        (AsymmetricLaplace(), (scale, 0.01), labels),
        (Softmax(3), (), labels[:, :1]),
    ):
        expected = likelihood.variational_expectations(values, f_mean, f_var, Y)
        predictive = likelihood.predict_log_density(values, f_mean, f_var, Y)
        assert np.all(np.asarray(expected) <= np.asarray(predictive) + 1e-9)


@cases_each(15)
@given(seeds, st.floats(-2, 4), st.floats(-3, 1.5))
def test_shares_are_shares_whatever_f_is(seed, log_precision, log_variance):
    """The table of their logit adds up to 1, and its moments are those of an integral over f."""
    f_mean, _ = random_f(seed, 1, 4.0)
    given = (10.0**log_precision,), f_mean, np.full_like(f_mean, 10.0**log_variance)
    quantiles = Beta().predict_quantiles(*given, [0.01, 0.5, 0.99])
    assert np.all((quantiles >= 0) & (quantiles <= 1)) and np.all(np.diff(quantiles) >= 0)
    mean, variance = Beta().predict_mean_and_var(*given)
    assert np.all((mean > 0) & (mean < 1) & (variance > 0) & (variance < mean * (1 - mean)))
    table = Beta()._distribution(*given, None)
    np.testing.assert_allclose(table.mean(), mean, rtol=0.02, atol=1e-4)
