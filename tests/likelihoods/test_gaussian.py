from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kstest, norm

from skgpng.likelihoods import Gaussian, Noise

likelihood = Gaussian()
RNG = np.random.RandomState(0)
N, P = 5, 2
F_MEAN, F_VAR, Y = RNG.randn(N, P), RNG.uniform(0.1, 1, (N, P)), RNG.randn(N, P)
ROW = RNG.uniform(0, 1, (N, 1))
VALUES = (0.4,)
OTHER = norm(F_MEAN, np.sqrt(F_VAR + 0.4 + ROW))


def test_known_noise_of_rows_is_on_top():
    found = likelihood.log_prob(VALUES, F_MEAN, Y, ROW)
    np.testing.assert_allclose(found, norm.logpdf(Y, F_MEAN, np.sqrt(0.4 + ROW)))
    expected = likelihood.variational_expectations((0.4 + ROW,), F_MEAN, F_VAR, Y)
    found = likelihood.variational_expectations(VALUES, F_MEAN, F_VAR, Y, ROW)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(likelihood.noise_of_rows(VALUES, ROW), 0.4 + ROW[:, 0])
    assert likelihood.noise_of_rows(VALUES, None) == 0.4


def test_prediction_against_scipy():
    given = VALUES, F_MEAN, F_VAR
    mean, var = likelihood.predict_mean_and_var(*given, ROW)
    np.testing.assert_allclose([mean, var], [OTHER.mean(), OTHER.var()])
    below = likelihood.predict_mean_and_var(*given, ROW, include_noise=False)[1]
    np.testing.assert_array_equal(below, F_VAR)
    found = likelihood.predict_log_density(*given, Y, ROW)
    np.testing.assert_allclose(found, OTHER.logpdf(Y))
    found = likelihood.predict_quantiles(*given, [0.1, 0.5], ROW)
    np.testing.assert_allclose(found[..., 0], OTHER.ppf(0.1))
    assert found.shape == (N, P, 2)
    np.testing.assert_allclose(
        likelihood.cdf(VALUES, F_MEAN, Y, ROW), norm.cdf(Y, F_MEAN, np.sqrt(0.4 + ROW))
    )


def test_crps_against_integration():
    found = likelihood.predict_crps(VALUES, F_MEAN, F_VAR, Y, ROW)
    mean, std, y = OTHER.mean()[0, 0], OTHER.std()[0, 0], Y[0, 0]
    expected = quad(lambda x: norm.cdf(x, mean, std) ** 2, -30, y)[0]
    expected += quad(lambda x: norm.sf(x, mean, std) ** 2, y, 30)[0]
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-8)


def test_draws():
    draws = likelihood.sample(VALUES, np.full((20000, 1), 2.0), np.random.RandomState(0))
    assert kstest(draws[:, 0], "norm", (2.0, np.sqrt(0.4))).pvalue > 0.01


def test_parameters_and_reports():
    (variance,) = likelihood.parameters(None, 4.0)
    np.testing.assert_allclose([variance.value, *variance.bounds], [0.4, 4e-6, 400.0])
    (variance,) = likelihood.parameters(Noise(0.0, (0.0, 0.0), False), 1.0)
    assert variance.value == 0.0 and not variance.free
    assert likelihood.noise_level((0.3,)) == likelihood.noise_variance((0.3,)) == 0.3
    assert likelihood.learned((0.3,), np.array([2.0])) == {"variance": 1.2}
    assert likelihood.learned((0.3,), np.array([1e200]))["variance"] == np.inf
    np.testing.assert_allclose(
        likelihood.learned((0.3,), np.array([2.0, 1.0]))["variance"], [1.2, 0.3]
    )
    np.testing.assert_array_equal(likelihood.offset(Y, np.ones(N), None), [0, 0])


def test_units_are_mean_and_deviation():
    shift, scale = likelihood.units(1e200 * Y, np.ones(N))
    np.testing.assert_allclose(shift, 1e200 * Y.mean(0))
    np.testing.assert_allclose(scale, 1e200 * Y.std(0))
    np.testing.assert_array_equal(likelihood.units(np.full((3, 1), 7.0), np.ones(3)), [[7], [1]])


def test_row_noise_is_not_negative():
    np.testing.assert_array_equal(likelihood.check_row("noise_variance", [0, 1], 2), [0, 1])
    with pytest.raises(ValueError, match="non-negative numbers.*row 1 is -1"):
        likelihood.check_row("noise_variance", [0.0, -1.0], 2)
