"""Logit and robust-max links, and labels of which some are wrong, against brute force."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from derivatives import assert_gradients, gradients
from reference import expected_log_density
from scipy.integrate import quad
from scipy.special import expit, log_expit, ndtr
from scipy.stats import kstwobign, norm

from skgpng.likelihoods import (
    LABEL_NAMES,
    Bernoulli,
    Labels,
    Likelihood,
    Logit,
    RobustMax,
    Softmax,
    for_labels,
    tried_offset,
)
from skgpng.quadrature import expected_softplus, log_expected_sigmoid, logistic_nodes

RNG = np.random.RandomState(0)
MEANS = np.array([-40.0, -3.0, -0.2, 0.0, 1.0, 12.0])
VARIANCES = 10.0 ** np.arange(-6.0, 5.0, 2.0)


def integral(function, m, v):
    """E[function(f)] for f ~ N(m, v), in pieces on either side of where links bend."""
    s = np.sqrt(v)
    edges = np.unique(np.clip([m - 12 * s, m, -40.0, -3.0, 0.0, 3.0, 40.0, m + 12 * s],
                              m - 12 * s, m + 12 * s))  # fmt: skip
    return sum(
        quad(lambda f: function(f) * norm.pdf(f, m, s), a, b, epsabs=1e-13, epsrel=1e-12)[0]
        for a, b in zip(edges, edges[1:])
    )


# --- the logistic function -------------------------------------------------------------------


def test_logistic_mixture_is_the_logistic_function():
    tau, w = logistic_nodes()
    x = np.linspace(-30, 30, 121)
    np.testing.assert_allclose(ndtr(x[:, None] / tau) @ w, expit(x), atol=1e-10)
    assert np.all(w >= 0) and kstwobign.cdf(0.5 * tau[0]) < 1e-20


@pytest.mark.parametrize("v", VARIANCES)
def test_expectations_of_logistic_functions(v):
    variance = np.full_like(MEANS, v)
    sigmoid = [integral(expit, m, v) for m in MEANS]
    softplus = [integral(lambda f: np.logaddexp(0, f), m, v) for m in MEANS]
    found = np.exp(log_expected_sigmoid(MEANS, variance))
    np.testing.assert_allclose(found, sigmoid, atol=1e-10)
    np.testing.assert_allclose(expected_softplus(MEANS, variance), softplus, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "m, v",
    [(-500.0, 1e-4), (-500.0, 400.0), (-90.0, 100.0), (-100.0, 100.0), (-5e3, 1e4), (-1e4, 1e4)],
)
def test_far_out_the_sigmoid_keeps_its_digits(m, v):
    """Against sums on a grid around the peak of the integrand."""
    s = max(np.sqrt(v), 1e-9)
    centre = m + min(v, -m)
    f = np.linspace(centre - 12 * s, centre + 12 * s, 200001)
    log_p = log_expit(f) + norm.logpdf(f, m, s)
    expected = np.logaddexp.reduce(log_p) + np.log(f[1] - f[0])
    np.testing.assert_allclose(log_expected_sigmoid([m], [v]), [expected], atol=1e-6)


# --- two classes -----------------------------------------------------------------------------

N = 40
F_MEAN, F_VAR = 3.0 * RNG.randn(N, 1), 10.0 ** RNG.uniform(-6, 1, (N, 1))
Y = RNG.randint(0, 2, (N, 1)).astype(float)
LINKS = {Bernoulli: norm.cdf, Logit: expit}
TWO = [(cls, e, given) for cls in LINKS for e, given in ((0.0, 0.0), (0.1, 0.1), (0.1, None))]
two_classes = pytest.mark.parametrize("cls, e, given", TWO)


@two_classes
def test_density_given_f(cls, e, given):
    likelihood, values = cls(given), () if given is not None else (e,)
    p = e + (1 - 2 * e) * LINKS[cls](F_MEAN)
    np.testing.assert_allclose(likelihood.conditional_mean(values, F_MEAN), p, rtol=1e-12)
    np.testing.assert_allclose(likelihood.conditional_variance(values, F_MEAN), p * (1 - p))
    q = e + (1 - 2 * e) * LINKS[cls](np.where(Y == 1, F_MEAN, -F_MEAN))
    np.testing.assert_allclose(likelihood.log_prob(values, F_MEAN, Y), np.log(q), rtol=1e-9)
    assert likelihood.parameter_names == (("epsilon",) if given is None else ())
    assert likelihood.report(values) == {"epsilon": e}


@two_classes
def test_expectations_and_predictions(cls, e, given):
    likelihood, values = cls(given), () if given is not None else (e,)
    few = slice(8)
    m, v, y = F_MEAN[few], F_VAR[few], Y[few]

    def p(f):
        return e + (1 - 2 * e) * LINKS[cls](f)

    def each(function):
        return np.array([[integral(function, a, b)] for (a,), (b,) in zip(m, v)])

    mean, var = likelihood.predict_mean_and_var(values, m, v)
    below = likelihood.predict_mean_and_var(values, m, v, include_noise=False)[1]
    expected = each(p)
    np.testing.assert_allclose(mean, expected, atol=1e-10)
    np.testing.assert_allclose(var, expected - expected**2, atol=1e-10)
    np.testing.assert_allclose(below, each(lambda f: (p(f)) ** 2) - expected**2, atol=2e-7)
    of_label = np.where(y == 1, expected, each(lambda f: p(-f)))
    found = likelihood.predict_log_density(values, m, v, y)
    np.testing.assert_allclose(found, np.log(of_label), rtol=1e-7, atol=1e-9)
    score = likelihood.decision(values, m, v)
    np.testing.assert_array_equal(np.argsort(score), np.argsort(mean[:, 0]))
    np.testing.assert_array_equal(score > 0, mean[:, 0] > 0.5)


@pytest.mark.parametrize("e, given", [(0.0, 0.0), (1e-6, None), (0.1, 0.1), (0.3, None)])
def test_training_sees_the_logit_exactly(e, given):
    likelihood, values = Logit(given), () if given is not None else (e,)
    m = np.repeat(MEANS, len(VARIANCES))[:, None]
    v = np.tile(VARIANCES, len(MEANS))[:, None]
    found = likelihood.variational_expectations(values, m, v, np.ones_like(m))
    expected = [
        integral(lambda f: np.logaddexp(np.log(max(e, 1e-300)) - np.logaddexp(0, f),
                                        np.log1p(-e) + log_expit(f)), a, b)
        for (a,), (b,) in zip(m, v)
    ]  # fmt: skip
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-8, atol=1e-8)
    no = likelihood.variational_expectations(values, -m, v, np.zeros_like(m))
    np.testing.assert_array_equal(found, no)


def test_logit_is_log_concave_without_errors_and_of_bounded_precision():
    assert Logit().log_concave and not Logit(0.1).log_concave and not Logit(None).log_concave
    assert Softmax(3).log_concave and not Softmax(3, None).log_concave
    f = np.linspace(-8, 8, 401)[:, None]
    curvature = np.diff(Logit().log_prob((), f, np.ones_like(f))[:, 0], 2) / (f[1] - f[0]) ** 2
    assert np.all((curvature >= -0.25) & (curvature <= 0)) and Logit.bounded_precision


# --- more classes ----------------------------------------------------------------------------

C = 4
M_C, V_C = 1.5 * RNG.randn(12, C), 10.0 ** RNG.uniform(-1, 0.9, (12, C))
Y_C = RNG.randint(0, C, (12, 1)).astype(float)


def by_quad(m, v):
    """Probability that each of several normal variables is the largest."""
    s = np.sqrt(v)
    points = np.unique(np.concatenate([m, m - 3 * s, m + 3 * s]))
    low, high = (m - 12 * s).min(), (m + 12 * s).max()
    edges = np.concatenate([[low], points, [high]])
    return np.array(
        [
            sum(
                quad(
                    lambda x, c=c: norm.pdf(x, m[c], s[c])
                    * np.prod(np.delete(ndtr((x - m) / s), c)),
                    a, b, epsabs=1e-13,
                )[0]
                for a, b in zip(edges, edges[1:])
            )
            for c in range(len(m))
        ]
    )  # fmt: skip


@pytest.mark.parametrize("scale", [1.0, 1e-3, 30.0])
def test_robust_max_predicts_the_probability_of_the_largest(scale):
    m, v = scale * M_C[:5], V_C[:5]
    P = np.array([by_quad(*row) for row in zip(m, v)])
    p, var = RobustMax(C, None).predict_mean_and_var((0.06,), m, v)
    np.testing.assert_allclose(p, 0.02 + 0.92 * P, atol=1e-8)
    np.testing.assert_allclose(p.sum(1), 1.0, rtol=1e-13)
    np.testing.assert_allclose(var, p - p**2)
    below = RobustMax(C, 0.06).predict_mean_and_var((), m, v, include_noise=False)[1]
    np.testing.assert_allclose(below, 0.92**2 * (P - P**2), atol=1e-8)
    found = RobustMax(C, 0.06).predict_log_density((), m, v, Y_C[:5])
    np.testing.assert_allclose(found, np.log(np.take_along_axis(p, Y_C[:5].astype(int), 1)))


def test_robust_max_of_variances_of_any_size():
    """Steep steps and none: two classes have a closed form, and a class far below no share."""
    v = 10.0 ** RNG.uniform(-12, 4, (200, 2))
    m = RNG.randn(200, 2) * np.sqrt(v.max(1, keepdims=True))
    p = RobustMax(2).predict_mean_and_var((), m, v)[0]
    expected = 1e-3 + 0.998 * ndtr((m[:, 1] - m[:, 0]) / np.sqrt(v.sum(1)))
    np.testing.assert_allclose(p[:, 1], expected, atol=1e-8)
    p = RobustMax(3).predict_mean_and_var((), np.array([[0.0, 1.0, -1e8]]), np.zeros((1, 3)))[0]
    np.testing.assert_allclose(p, [[5e-4, 0.999, 5e-4]], rtol=1e-12)


def test_training_sees_robust_max():
    e, few = 0.06, slice(5)
    P = np.array([by_quad(*row) for row in zip(M_C[few], V_C[few])])
    own = np.take_along_axis(P, Y_C[few].astype(int), 1)
    expected = own * np.log(1 - e) + (1 - own) * np.log(e / (C - 1))
    for likelihood, values in ((RobustMax(C, e), ()), (RobustMax(C, None), (e,))):
        found = likelihood.variational_expectations(values, M_C[few], V_C[few], Y_C[few])
        # standard deviations that differ by a factor of 3: 32 nodes leave 1e-3 of a share
        np.testing.assert_allclose(found, expected, atol=1e-3 * np.log(1 / e) * C)


def test_robust_max_far_apart_is_finite():
    m = np.array([[0.0, 1e8, -1e8], [0.0, 0.0, 0.0], [1e-3, 0.0, 300.0]])
    for v in (0.0, 1e-300, 1e-12, 1.0, 1e12):
        f_var = np.full((3, 3), v)
        for y in range(3):
            Y = np.full((3, 1), float(y))
            found = RobustMax(3).variational_expectations((), m, f_var, Y)
            assert np.all((found >= np.log(5e-4) - 1e-9) & (found <= np.log(0.999) + 1e-9))
            assert_finite_gradients(RobustMax(3), m, f_var, Y)


def assert_finite_gradients(likelihood, m, v, Y):
    def total(m, v):
        return likelihood.variational_expectations((), m, v, Y)

    for gradient in gradients(total, [m, v], np.ones_like(Y)):
        assert np.all(np.isfinite(gradient))


def test_robust_max_given_f():
    F = np.array([[[0.0, 2.0, 1.0], [1.0, 1.0, 0.0]]])
    for y, p in ((1.0, [0.9, 0.05]), (0.0, [0.05, 0.9])):
        found = RobustMax(3, 0.1).log_prob((), F, np.full((2, 1), y))
        np.testing.assert_allclose(found, np.log(p)[None, :, None])
    p = RobustMax(3, 0.1).conditional_mean((), F)
    np.testing.assert_allclose(p, [[[0.05, 0.9, 0.05], [0.9, 0.05, 0.05]]])
    np.testing.assert_allclose(RobustMax(3, 0.1).conditional_variance((), F), p - p**2)


def test_softmax_with_wrong_labels():
    for likelihood, values in ((Softmax(C, 0.06), ()), (Softmax(C, None), (0.06,))):
        plain, observed = Softmax(C), lambda p: 0.02 + 0.92 * p
        log_prob = likelihood.log_prob(values, M_C, Y_C)
        np.testing.assert_allclose(log_prob, np.log(observed(np.exp(plain.log_prob((), M_C, Y_C)))))
        p, _ = likelihood.predict_mean_and_var(values, M_C, V_C)
        np.testing.assert_allclose(p, observed(plain.predict_mean_and_var((), M_C, V_C)[0]))
        # at next to no variance the expectation is the log density
        found = likelihood.variational_expectations(values, M_C, 1e-16 * V_C, Y_C)
        np.testing.assert_allclose(found, log_prob, rtol=1e-6)


# --- all of them -----------------------------------------------------------------------------

LEARNED = {"probit": Bernoulli(None), "logit": Logit(None),
           "softmax": Softmax(C, None), "robust_max": RobustMax(C, None)}  # fmt: skip


@pytest.mark.parametrize("name", LABEL_NAMES)
@pytest.mark.parametrize("epsilon", ["auto", None])
def test_gradients(name, epsilon):
    likelihood = for_labels(2 if name in ("probit", "logit") else C, name, epsilon)
    m, v, y = (F_MEAN, F_VAR + 0.01, Y) if likelihood.n_latent(1) == 1 else (M_C, V_C, Y_C)
    arguments = [np.array(0.07)] * (epsilon is None) + [m[:6], v[:6]]

    def expected(*arguments):
        *values, f_mean, f_var = arguments
        return likelihood.variational_expectations(tuple(values), f_mean, f_var, y[:6])

    assert_gradients(expected, arguments, RNG.randn(6, 1), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", LEARNED)
def test_draws_have_the_probabilities_of_labels(name):
    likelihood, n = LEARNED[name], 40000
    F = np.array([[0.3]] if likelihood.n_latent(1) == 1 else [[0.0, 1.0, -1.0, 0.5]])
    draws = likelihood.sample((0.2,), np.repeat(F, n, 0), np.random.RandomState(1))
    assert draws.shape == (n, 1)
    p = likelihood.conditional_mean((0.2,), F)[0]
    p = np.array([1 - p[0], p[0]]) if len(p) == 1 else p
    np.testing.assert_allclose(np.bincount(draws[:, 0].astype(int)) / n, p, atol=0.01)


@pytest.mark.parametrize("name", LEARNED)
def test_epsilon_begins_and_moves_between_bounds(name):
    (epsilon,) = LEARNED[name].parameters(None, 1.0)
    low, high = epsilon.bounds
    assert epsilon.name == "epsilon" and low < epsilon.value < high < 0.5 and epsilon.free
    assert for_labels(LEARNED[name].number_of_classes, name).parameters(None, 1.0) == ()


@pytest.mark.parametrize("epsilon", [-0.1, 0.5, 0.7, np.nan])
def test_epsilon_that_is_no_share_is_refused(epsilon):
    for cls in (Bernoulli, Logit):
        with pytest.raises(ValueError, match="epsilon of.*below 0.5"):
            cls(epsilon)
    if epsilon != 0.5:
        with pytest.raises(ValueError, match="epsilon of Softmax.*below 0.667"):
            Softmax(3, epsilon)
    with pytest.raises(ValueError, match="epsilon of robust-max is 0"):
        RobustMax(3, 0.0)


def test_names_of_likelihoods_of_labels():
    assert for_labels(2) == Bernoulli() and for_labels(3) == Softmax(3)
    assert for_labels(2, "logit", 0) == Logit() and for_labels(2, "logit", 0.1) == Logit(None)
    assert for_labels(2, "softmax") == Softmax(2) and for_labels(5, "robust_max") == RobustMax(5)
    assert for_labels(2, Logit(0.1)) == Logit(0.1)
    for given, says in (("probit", "'probit' is one of two"), (Softmax(4), "of 4 classes")):
        with pytest.raises(ValueError, match=f"{says}.*y has 3.*'softmax'"):
            for_labels(3, given)
    with pytest.raises(ValueError, match="epsilon=0.1 and the object.*both"):
        for_labels(2, Logit(), 0.1)


# --- a link of one's own ---------------------------------------------------------------------


@dataclass(frozen=True)
class Own(Labels):
    """The logit link, of which nothing is known but its density."""

    def log_prob(self, values, F, Y, row=None):
        return Logit().log_prob(values, F, Y)


def test_log_prob_is_enough_for_two_classes():
    given = (), F_MEAN, F_VAR
    for method, more in {
        "predict_log_density": (Y,),
        "decision": (),
        "predict_mean_and_var": (None, False),
    }.items():
        a, b = (getattr(likelihood, method)(*given, *more) for likelihood in (Own(), Logit()))
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for method in ("conditional_mean", "conditional_variance"):
        a, b = (getattr(likelihood, method)((), F_MEAN) for likelihood in (Own(), Logit()))
        np.testing.assert_allclose(a, b, rtol=1e-9)
    draws = Own().sample((), np.full((4000, 1), 1.0), np.random.RandomState(0))
    np.testing.assert_allclose(draws.mean(), expit(1.0), atol=0.03)
    base = Likelihood.variational_expectations(Own(), (), F_MEAN[:5], np.full((5, 1), 0.3), Y[:5])
    expected = expected_log_density(
        lambda F: log_expit(np.where(Y[:5, :, None] == 1, F, -F)), F_MEAN[:5], np.full((5, 1), 0.3)
    )
    np.testing.assert_allclose(base, expected, rtol=1e-6)


def test_labels_that_do_not_add_up_are_said():
    class Wrong(Own):
        def log_prob(self, values, F, Y, row=None):
            return super().log_prob(values, F, Y) + np.log(0.9)

    rows = np.array([[0.0], [1.0]]), np.ones(2), np.zeros((2, 0))
    assert tried_offset(Own(), (), *rows) == 0.0
    assert np.all(tried_offset(Softmax(2), (), *rows) == 0.0)
    with pytest.raises(ValueError, match="Wrong adds up to 0.9 over the class numbers 0 to 1"):
        tried_offset(Wrong(), (), *rows)
