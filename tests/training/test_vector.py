"""Parameters as one vector."""

from __future__ import annotations

import numpy as np
import pytest
from reference import differences
from scipy import stats
from training.toy import KERNEL, M, make_data, make_parameters, run

from skgpng._runtime import tf
from skgpng._training import loop, vector
from skgpng._training.distributions import described, rebuilt
from skgpng.parameters import CauchyPrior, DensityPrior, Hyperparameters, Parameter, Parameters

RNG = np.random.RandomState(7)
X_SCALE = np.array([0.5, 4.0])


def parameter(shape, real=False, free=True, prior=None):
    value = RNG.randn(*shape) if real else RNG.uniform(0.5, 2.0, shape)
    ends = (-3.0, 3.0) if real else (0.1, 10.0)
    return Parameter("p", np.array(value), np.broadcast_to(ends, (*shape, 2)), free, real, prior)


def every_kind():
    """Positive and real ones of no, one and two axes, with inducing points."""
    kernel = parameter(()), parameter((2, 3), real=True), parameter((3,), free=False)
    likelihood = parameter((2, 2)), parameter((), real=True)
    return Parameters(kernel, likelihood, (parameter((2,), real=True),), RNG.randn(4, 2), True)


def tensors(parameters):
    space = vector.coordinates_of(parameters, X_SCALE)
    u = tf.constant(vector.start_of(parameters, space))
    return vector.form_of(parameters), loop.as_tensors(space, vector.signature()), u


def test_there_and_back():
    parameters = every_kind()
    theta, _ = vector.constrain(*tensors(parameters))
    assert isinstance(theta, Hyperparameters)
    expected = parameters.values
    for a, b in zip(map(tf.nest.flatten, (theta,)), map(tf.nest.flatten, (expected,))):
        assert [x.shape for x in a] == [np.shape(y) for y in b]
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-15)


def test_derivative_of_each_entry():
    form, space, u = tensors(every_kind())
    _, derivative = vector.constrain(form, space, u)

    def values(u):
        return vector.as_vector(vector.constrain(form, space, u)[0]).numpy()

    h = 1e-6
    for i in range(len(u)):
        step = tf.constant(h * np.eye(len(u))[i])
        slope = (values(u + step) - values(u - step)) / (2 * h)
        np.testing.assert_allclose(slope[i], derivative[i], rtol=1e-8)
        assert np.all(np.delete(slope, i) == 0.0)


def test_what_each_entry_is():
    parameters = every_kind()
    space = vector.coordinates_of(parameters, X_SCALE)
    u = vector.start_of(parameters, space)
    kernel, Z, mean = parameters.kernel, parameters.inducing_points, parameters.mean
    np.testing.assert_array_equal(u[0], np.log(kernel[0].value))
    np.testing.assert_array_equal(u[1:7], np.ravel(kernel[1].value))
    np.testing.assert_array_equal(u[15:23], np.ravel(Z / X_SCALE))
    np.testing.assert_array_equal(u[23:], mean[0].value)
    np.testing.assert_allclose([space.low[0], space.high[0]], np.log([0.1, 10.0]))
    assert (space.low[1], space.high[1], space.low[15]) == (-3.0, 3.0, -np.inf)
    np.testing.assert_array_equal(space.free, [1.0] * 7 + [0.0] * 3 + [1.0] * 15)
    held = vector.coordinates_of(parameters._replace(train_inducing=False), X_SCALE)
    np.testing.assert_array_equal(held.free[15:23], 0.0)


def test_discrete_columns_are_held_and_not_rounded():
    parameters = every_kind()._replace(discrete=np.array([True, False]))
    space = vector.coordinates_of(parameters, X_SCALE)
    np.testing.assert_array_equal(space.free[15:23], [0.0, 1.0] * 4)
    np.testing.assert_array_equal(space.unit[15:23], [1.0, X_SCALE[1]] * 4)
    others = np.delete(np.arange(len(space.free)), slice(15, 23))
    expected = vector.coordinates_of(every_kind(), X_SCALE).free
    np.testing.assert_array_equal(space.free[others], expected[others])


def test_no_parameters_at_all():
    form, space, u = tensors(Parameters((), ()))
    assert vector.constrain(form, space, u)[0] == Hyperparameters((), ())
    assert vector.as_vector(Hyperparameters((), ())).shape == (0,)


def test_real_parameters_move_by_themselves_and_positive_ones_by_their_logarithm():
    parameters = make_parameters(KERNEL, Z=make_data().X[:M] + 0.01)
    constant, scale = parameters.kernel
    real = constant._replace(real=True, bounds=np.array([-np.inf, np.inf]))
    moved = run("collapsed", parameters=parameters._replace(kernel=(real, scale)), max_iter=2)
    other = run("collapsed", parameters=parameters, max_iter=2)
    # Adam's first step has the length of the learning rate
    assert abs(moved.theta.kernel[0] - 1.0) == pytest.approx(0.05, rel=1e-4)
    assert abs(np.log(other.theta.kernel[0])) == pytest.approx(0.05, rel=1e-4)


# --- priors ----------------------------------------------------------------------------------


def with_priors():
    """Two of four parameters have one; the second entry of u is not among them."""
    first = CauchyPrior(RNG.randn(2, 2), RNG.randn(2))
    last = CauchyPrior(RNG.randn(1, 1), RNG.randn(1))
    kernel = parameter((2,), prior=first), parameter(()), parameter((3,), real=True)
    return Parameters(kernel, (parameter((), real=True, prior=last),))


def log_prior(parameters, u):
    (a, *_), (b,) = parameters.kernel, parameters.likelihood
    r = [a.prior.mixing @ u[:2] - a.prior.offset, b.prior.mixing @ u[6:] - b.prior.offset]
    return -np.log1p(np.concatenate(r) ** 2).sum()


def test_prior_and_its_gradient():
    parameters = with_priors()
    form, space, u = tensors(parameters)
    g_u = RNG.randn(len(u))

    def objective(u):
        elbo = tf.constant(3.25, tf.float64)
        return vector.add_log_prior(form, space, tf.constant(u), elbo, tf.constant(g_u))

    value, gradient = objective(u.numpy())
    assert float(value) == pytest.approx(3.25 + log_prior(parameters, u.numpy()), rel=1e-14)
    for i in range(len(u)):
        h, at = 1e-6 * np.eye(len(u))[i], u.numpy()
        slope = (log_prior(parameters, at + h) - log_prior(parameters, at - h)) / 2e-6
        assert float(gradient[i] - g_u[i]) == pytest.approx(float(slope), abs=1e-8)
    assert vector.objective(parameters, parameters.values, 3.25) == pytest.approx(
        float(value), rel=1e-14
    )


def test_no_prior_is_not_in_the_graph():
    nothing = object()
    form = vector.form_of(Parameters((parameter(()),), ()))
    assert vector.add_log_prior(form, None, None, nothing, None)[0] is nothing


def test_what_was_not_found_has_no_objective():
    parameters = with_priors()
    assert vector.objective(parameters, parameters.values, -np.inf) == -np.inf


def test_an_empty_prior_compiles_as_any_other():
    empty = CauchyPrior(np.zeros((0, 1)), np.zeros(0))
    parameters = Parameters((parameter((1,), prior=empty),), ())
    assert vector.form_of(parameters).prior
    form, space, u = tensors(parameters)
    value, _ = vector.add_log_prior(form, space, u, tf.constant(2.0, tf.float64), u)
    assert float(value) == 2.0


# --- densities that a user gives -----------------------------------------------------------------


def given(distribution, power=1.0):
    return DensityPrior(*described(distribution), power)


class Triangle:
    """No distribution of TensorFlow Probability."""

    def log_prob(self, value):
        return tf.math.log(10.0 - value)


DENSITIES = {
    "log-normal": (
        lambda d: d.LogNormal(0.3, 0.7),
        lambda x: stats.lognorm(0.7, 0, np.exp(0.3)).logpdf(x),
    ),
    "own for each": (
        lambda d: d.InverseGamma([2.0, 3.0], 1.5),
        lambda x: stats.invgamma([2.0, 3.0], scale=1.5).logpdf(x),
    ),
    "event": (
        lambda d: d.MultivariateNormalDiag([1.0, 2.0], [0.5, 3.0]),
        lambda x: stats.norm([1.0, 2.0], [0.5, 3.0]).logpdf(x),
    ),
    "nested": (
        lambda d: d.Independent(d.HalfCauchy([0.0, 0.0], [1.0, 2.0]), 1),
        lambda x: stats.halfcauchy(0.0, [1.0, 2.0]).logpdf(x),
    ),
    "whole numbers": (lambda d: d.Gamma(2, 3), lambda x: stats.gamma(2, scale=1 / 3).logpdf(x)),
    "an object": (lambda d: Triangle(), lambda x: np.log(10.0 - x)),
}


@pytest.mark.parametrize("name", DENSITIES)
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_densities_are_scipys_and_so_are_their_gradients(name, power):
    import tensorflow_probability as tfp

    make, log_density = DENSITIES[name]
    prior = given(make(tfp.distributions), power)
    weak = CauchyPrior(np.eye(1), np.zeros(1))
    p = parameter((2,), prior=prior)
    parameters = Parameters((parameter((), prior=weak), p), (parameter(()),))
    form, space, u = tensors(parameters)
    zero = tf.zeros([], tf.float64)

    @tf.function
    def objective(u):
        return vector.add_log_prior(form, space, u, zero, tf.zeros_like(u))

    def expected(u):
        own = np.exp(u[1:3]) ** power
        return np.sum(log_density(own)) - np.log1p(u[0] ** 2)

    value, gradient = objective(u)
    assert float(value) == pytest.approx(expected(u.numpy()), rel=1e-10)
    np.testing.assert_allclose(gradient, differences(expected, u.numpy()), atol=1e-7)
    assert vector.log_prior(parameters) == pytest.approx(float(value), rel=1e-10)


def test_numbers_of_a_distribution_are_no_part_of_its_family():
    import tensorflow_probability as tfp

    one, other = (described(tfp.distributions.LogNormal(loc, 1.0)) for loc in (0.0, 2.0))
    assert one[0] == other[0] and hash(one[0]) == hash(other[0])
    assert one[1].tolist() == [0.0, 1.0] and other[1].tolist() == [2.0, 1.0]
    assert described(tfp.distributions.Gamma(1.0, 1.0))[0] != one[0]
    own = Triangle()
    assert described(own)[0] == described(own)[0] != described(Triangle())[0]


def test_a_class_with_arguments_of_its_own_is_taken_as_it_is():
    import tensorflow_probability as tfp

    class Half(tfp.distributions.Normal):
        def __init__(self, middle):
            super().__init__(middle, 0.5)

    family, numbers = described(Half(1.0))
    assert family.size == 0 == len(numbers)
    assert float(rebuilt(family, numbers).log_prob(1.0)) == pytest.approx(
        stats.norm(1, 0.5).logpdf(1.0)
    )
