"""What must hold for every kernel, likelihood and shape, on cases drawn by hypothesis.

Cases are the same in every run (``derandomize``). The data of a case come from a seed that
hypothesis draws, beside the sizes: numbers it would draw one by one are mostly zeros and integers.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    ExpSineSquared,
    Matern,
    RationalQuadratic,
)

from skgpng import (
    GaussianProcessClassifier,
    GaussianProcessRegressor,
    gaussians,
    kernels,
    models,
    optimizers,
)
from skgpng.gaussians import MeanSqrt
from skgpng.likelihoods import Bernoulli, Gaussian, Softmax, StudentT
from skgpng.models import Hyperparameters

JITTER = 1e-6


def cases_each(n):
    return settings(deadline=None, max_examples=n, derandomize=True, database=None)


# --- strategies --------------------------------------------------------------------------------

positive = st.floats(0.1, 5.0)
stationary = st.one_of(
    st.builds(RBF, positive),
    st.builds(Matern, positive, nu=st.sampled_from([0.5, 1.5, 2.5])),
    st.builds(RationalQuadratic, positive, positive),
)
leaves = stationary | st.builds(DotProduct, positive) | st.builds(ConstantKernel, positive)
# Of the distance in two or more dimensions it is no covariance (as cos |x| is none): D = 1 only.
periodic = st.builds(ExpSineSquared, length_scale=st.floats(0.5, 3.0), periodicity=positive)


def trees(leaf):
    """Sums, products and powers; whole powers of a covariance are one (Schur's theorem)."""
    return st.recursive(
        leaf,
        lambda inner: (
            st.builds(lambda a, b: a + b, inner, inner)
            | st.builds(lambda a, b: a * b, inner, inner)
            | st.builds(lambda a, p: a**p, inner, st.sampled_from([2, 3]))
        ),
        max_leaves=4,
    )


class Case(NamedTuple):
    """A kernel with rows to evaluate it at, and a source of what else a test needs."""

    kernel: object
    X: np.ndarray
    Z: np.ndarray
    rng: np.random.RandomState

    @property
    def parsed(self):
        return kernels.parse(self.kernel)

    def theta(self, likelihood=()):
        return Hyperparameters(self.parsed.values, likelihood, self.Z)

    def sparse_prior(self, Z=None):
        theta = self.theta()._replace(inducing_points=self.Z if Z is None else Z)
        return models.svgp_covariances(self.parsed.structure, theta, self.X, JITTER)

    def full_prior(self):
        return models.vgp_covariances(self.parsed.structure, self.theta(), self.X, JITTER)

    def targets(self):
        """[N, 2], some of them far out."""
        return self.rng.standard_t(2, (len(self.X), 2))


@st.composite
def cases(draw, repeats=True):
    D = draw(st.integers(1, 4))
    kernel = draw(trees(leaves | periodic) if D == 1 else trees(leaves))
    N, M = draw(st.integers(1, 12)), draw(st.integers(1, 8))
    rng = np.random.RandomState(draw(st.integers(0, 2**31)))
    X, Z = rng.randn(N, D), rng.randn(M, D)
    if repeats and draw(st.booleans()):
        X[-1], Z[-1] = X[0], X[0]  # equal rows, and an inducing point on a row
    return Case(kernel, X, Z, rng)


def smallest_eigenvalue(matrix):
    return np.linalg.eigvalsh(np.asarray(matrix)).min()


def norm(matrix):
    return np.linalg.norm(np.asarray(matrix))


# --- covariances -------------------------------------------------------------------------------


@cases_each(200)
@given(cases())
def test_covariance_is_scikit_learns(case):
    structure, values = case.parsed.structure, case.parsed.values
    found = (
        kernels.covariance(structure, values, case.X),
        kernels.covariance(structure, values, case.Z, case.X),
        kernels.diagonal(structure, values, case.X),
    )
    expected = case.kernel(case.X), case.kernel(case.Z, case.X), case.kernel.diag(case.X)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(b).max())


@cases_each(200)
@given(cases())
def test_covariance_is_symmetric_and_positive_semidefinite(case):
    structure, values = case.parsed.structure, case.parsed.values
    K = kernels.covariance(structure, values, case.X).numpy()
    np.testing.assert_allclose(K, K.T, rtol=0, atol=1e-15 * norm(K))
    assert smallest_eigenvalue(K) >= -1e-13 * norm(K)


# --- bounds ------------------------------------------------------------------------------------

# What rounding may leave between two log evidences: both are sums of terms as large as y' K^-1 y
# and log|K|, some 1e3 with the smallest noise, and the inverse of Kuu has condition 1e6 to 1e10.
ROUNDING = 1e-6


def evidence(K, Y, noise):
    return reference.log_evidence(np.asarray(K), Y, noise)


@cases_each(100)
@given(cases(), st.floats(0.01, 2.0))
def test_elbo_of_any_q_is_below_the_evidence(case, noise):
    Y, q = case.targets(), reference.random_q(case.rng, len(case.Z), 2)
    value = models.elbo(case.sparse_prior(), MeanSqrt(*q), Gaussian(), (noise,), Y)
    assert value <= evidence(case.kernel(case.X), Y, noise) + ROUNDING
    q, prior = reference.random_q(case.rng, len(case.X), 2), case.full_prior()
    value = models.elbo(prior, MeanSqrt(*q), Gaussian(), (noise,), Y)
    assert value <= evidence(prior.Kuu, Y, noise) + ROUNDING


@cases_each(100)
@given(cases(), st.floats(0.01, 2.0))
def test_collapsed_bound_is_below_the_evidence_and_above_any_q(case, noise):
    Y, q = case.targets(), reference.random_q(case.rng, len(case.Z), 2)
    prior = case.sparse_prior()
    collapsed = models.sgpr_elbo(prior, Y, noise)
    assert collapsed <= evidence(case.kernel(case.X), Y, noise) + ROUNDING
    value = models.elbo(prior, MeanSqrt(*q), Gaussian(), (noise,), Y)
    assert value <= collapsed + ROUNDING


@cases_each(100)
@given(cases(), st.floats(0.01, 2.0))
def test_collapsed_bound_grows_with_every_inducing_point(case, noise):
    Y = case.targets()
    bounds = [
        float(models.sgpr_elbo(case.sparse_prior(case.Z[:m]), Y, noise))
        for m in range(1, len(case.Z) + 1)
    ]
    assert np.all(np.diff(bounds) >= -ROUNDING)


@cases_each(100)
@given(cases(), st.floats(0.01, 2.0))
def test_best_q_of_all_rows_reaches_the_evidence(case, noise):
    Y, prior = case.targets(), case.full_prior()
    found = models.sgpr_elbo(prior, Y, noise)
    np.testing.assert_allclose(found, evidence(prior.Kuu, Y, noise), rtol=1e-7, atol=ROUNDING)


# --- marginals ---------------------------------------------------------------------------------


@cases_each(100)
@given(cases())
def test_variances_are_positive(case):
    """Whatever q: what the inducing points do not explain is at least rounding of the jitter."""
    for prior in (case.sparse_prior(), case.full_prior()):
        q = MeanSqrt(*reference.random_q(case.rng, len(prior.Kuu), 2))
        _, f_var = models.marginals(prior, q.q_mu, gaussians.covariance(q))
        assert np.all(f_var.numpy() > 0)


@cases_each(100)
@given(cases(), st.floats(0.01, 2.0))
def test_gaussian_rows_only_take_variance_away(case, noise):
    for prior in (case.sparse_prior(), case.full_prior()):
        q = gaussians.natural_to_mean_sqrt(models.conjugate_q(prior, case.targets(), noise))
        _, f_var = models.marginals(prior, q.q_mu, gaussians.covariance(q))
        assert np.all(f_var.numpy() > 0)
        assert np.all(f_var <= prior.Kff_diag[:, None] * (1 + 1e-12))


# --- probabilities -----------------------------------------------------------------------------

seeds = st.integers(0, 2**31)


def random_f(seed, C, size):
    """Means and variances over many magnitudes, [12, C]."""
    rng = np.random.RandomState(seed)
    return size * rng.randn(12, C), 10.0 ** rng.uniform(-12, 4, (12, C))


@cases_each(100)
@given(seeds, st.floats(0, 100), st.floats(0, 0.4))
def test_probabilities_of_two_classes(seed, size, epsilon):
    f_mean, f_var = random_f(seed, 1, size)
    likelihood = Bernoulli(epsilon)
    yes, variance = likelihood.predict_mean_and_var((), f_mean, f_var)
    no, _ = likelihood.predict_mean_and_var((), -f_mean, f_var)
    assert np.all((yes.numpy() >= 0) & (yes.numpy() <= 1))
    assert np.all(np.abs(yes - 0.5) <= (0.5 - epsilon) * (1 + 1e-15))
    assert np.all(variance.numpy() >= 0)
    np.testing.assert_allclose(yes + no, 1.0, rtol=1e-14)


@cases_each(50)
@given(seeds, st.integers(2, 8), st.floats(0, 1000))
def test_probabilities_of_many_classes(seed, C, size):
    p, variance = Softmax(C).predict_mean_and_var((), *random_f(seed, C, size))
    assert np.all((p.numpy() >= 0) & (p.numpy() <= 1))
    assert np.all(variance.numpy() >= 0)
    np.testing.assert_allclose(np.sum(p, 1), 1.0, rtol=1e-14)


@cases_each(50)
@given(seeds, st.floats(0.1, 30.0), st.floats(0.01, 10.0))
def test_expected_log_density_is_below_the_log_of_the_expected(seed, df, scale):
    """Jensen: the data term of the ELBO against the predictive density, each by its own method."""
    f_mean, f_var = random_f(seed, 3, 5.0)
    labels = (f_mean > 0).astype(float)
    for likelihood, values, Y in (
        (Gaussian(), (scale,), labels),
        (Bernoulli(), (), labels),
        (StudentT(), (scale, df), labels),
        (Softmax(3), (), labels[:, :1]),
    ):
        expected = likelihood.variational_expectations(values, f_mean, f_var, Y)
        predictive = likelihood.predict_log_density(values, f_mean, f_var, Y)
        assert np.all(np.asarray(expected) <= np.asarray(predictive) + 1e-9)


# --- gradients ---------------------------------------------------------------------------------

# name: likelihood, values, number of latent functions
LIKELIHOODS = {
    "gaussian": (Gaussian(), (np.array(0.3),), 2),
    "bernoulli": (Bernoulli(), (), 1),
    "softmax": (Softmax(3), (), 3),
    "student_t": (StudentT(), (np.array(0.5), np.array(3.0)), 2),
}


def targets_for(name, case, L):
    n_labels = {"bernoulli": 2, "softmax": 3}.get(name)
    if n_labels is None:
        return case.rng.randn(len(case.X), L)
    return case.rng.randint(0, n_labels, (len(case.X), 1)).astype(float)


def entries(theta):
    """Each hyperparameter: its name, value, and a function that replaces it."""
    for field in ("kernel", "likelihood"):
        whole = getattr(theta, field)
        for k, value in enumerate(whole):

            def put(x, field=field, whole=whole, k=k):
                return theta._replace(**{field: (*whole[:k], x, *whole[k + 1 :])})

            yield f"{field}[{k}]", value, put
    yield "inducing_points", theta.inducing_points, lambda x: theta._replace(inducing_points=x)


def assert_close(found, expected, value, name):
    # differences: rounding of the value over the step, and the curvature of rows close together
    np.testing.assert_allclose(
        found, expected, rtol=1e-4, atol=1e-6 * (1 + abs(value)), err_msg=name
    )


@pytest.mark.parametrize("name", LIKELIHOODS)
@cases_each(10)
@given(case=cases(repeats=False))
def test_gradients_against_differences(name, case):
    likelihood, values, L = LIKELIHOODS[name]
    theta, Y = case.theta(values), targets_for(name, case, L)
    q = MeanSqrt(*reference.random_q(case.rng, len(case.Z), L))
    structure = case.parsed.structure

    def prior(t):
        return models.svgp_covariances(structure, t, case.X, 1e-3)  # well-conditioned

    def elbo(t):
        return float(models.elbo(prior(t), q, likelihood, t.likelihood, Y))

    value, gradient, (g_mu, g_cov) = models.elbo_and_gradients(prior, theta, q, likelihood, Y)
    np.testing.assert_allclose(value, elbo(theta), rtol=1e-10)
    found = [*gradient.kernel, *gradient.likelihood, gradient.inducing_points]
    for (label, x, put), g in zip(entries(theta), found, strict=True):
        expected = reference.differences(lambda v, put=put: elbo(put(v)), x)
        assert_close(g, expected, value, label)

    def data_term(mu, cov):
        f = models.marginals(prior(theta), mu, cov)
        return float(np.sum(likelihood.variational_expectations(values, *f, Y)))

    cov = gaussians.covariance(q).numpy()
    assert_close(g_mu, reference.differences(lambda m: data_term(m, cov), q.q_mu), value, "mean")
    expected = reference.differences(lambda S: data_term(q.q_mu, S), cov)
    symmetric = [0.5 * (G + np.swapaxes(G, 1, 2)) for G in (g_cov.numpy(), expected)]
    assert_close(*symmetric, value, "covariance")


# --- positive definite natural-gradient steps --------------------------------------------------


def symmetric_gradients(rng, q, size):
    G = size * rng.randn(*q.q_sqrt.shape)
    return size * rng.randn(*q.q_mu.shape), G + np.swapaxes(G, 1, 2)


@cases_each(200)
@given(seeds, st.integers(1, 8), st.integers(1, 3), st.floats(-3, 6), st.floats(1e-3, 1.0))
def test_precision_stays_above_half_the_old_one(seed, M, L, magnitude, gamma):
    rng = np.random.RandomState(seed)
    q = MeanSqrt(*reference.random_q(rng, M, L))
    natural, q_cov = gaussians.mean_sqrt_to_natural(q), gaussians.covariance(q)
    gradients = symmetric_gradients(rng, q, 10.0**magnitude)
    new = optimizers.positive_definite_update(natural, q.q_mu, q_cov, gradients, gamma)
    old_P, new_P = -2.0 * natural.nat2.numpy(), -2.0 * new.nat2.numpy()
    for old, found in zip(old_P, new_P, strict=True):
        # rounding of the largest entry, as large as the square of the gradient
        assert smallest_eigenvalue(found - 0.5 * old) >= -1e-14 * norm(found)
    assert np.all(np.isfinite(new.nat1))


@cases_each(100)
@given(seeds, st.integers(1, 8), st.integers(1, 3), st.floats(1e-3, 1.0))
def test_both_steps_stay_where_the_gradient_vanishes(seed, M, L, gamma):
    """There the data term has g_m = m and 2 g_S = I - P, against the KL divergence."""
    q = MeanSqrt(*reference.random_q(np.random.RandomState(seed), M, L))
    natural, q_cov = gaussians.mean_sqrt_to_natural(q), gaussians.covariance(q)
    gradients = q.q_mu, 0.5 * (np.eye(M) + 2.0 * natural.nat2)
    plain = optimizers.natural_gradient_update(natural, q.q_mu, gradients, gamma)
    safe = optimizers.positive_definite_update(natural, q.q_mu, q_cov, gradients, gamma)
    for a, b, c in zip(natural, plain, safe, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-11, atol=1e-12 * norm(a))
        np.testing.assert_allclose(c, a, rtol=1e-11, atol=1e-12 * norm(a))


@cases_each(100)
@given(seeds, st.integers(1, 8), st.floats(-3, 2), st.floats(1e-3, 1.0))
def test_log_concave_rows_move_the_safe_step_at_least_half_as_far(seed, M, magnitude, gamma):
    """So they have no fixed point but the plain step's. In the basis where the old P is I, the
    plain step adds a - 1 to each eigenvalue, the safe one (a + 1)/2 times that, and a > 0."""
    rng = np.random.RandomState(seed)
    q = MeanSqrt(*reference.random_q(rng, M, 1))
    natural, q_cov = gaussians.mean_sqrt_to_natural(q), gaussians.covariance(q)
    A = rng.randn(M, 2)
    gradients = rng.randn(M, 1), -(10.0**magnitude) * (A @ A.T)[None]
    R = q.q_sqrt[0]

    def moved(new):
        return R.T @ (natural.nat2[0] - new.nat2[0]).numpy() @ R  # half of what P gained

    plain = moved(optimizers.natural_gradient_update(natural, q.q_mu, gradients, gamma))
    safe = moved(optimizers.positive_definite_update(natural, q.q_mu, q_cov, gradients, gamma))
    assert norm(plain) > 0
    assert norm(safe) >= 0.5 * norm(plain) * (1 - 1e-9)


@cases_each(50)
@given(seeds, st.integers(1, 6), st.floats(0.01, 1.0))
def test_other_precisions_where_the_safe_step_rests_are_convex_in_the_mean(seed, M, gamma):
    """Where gamma G = 2 P, P - gamma G is -P and the safe precision stays though the plain one
    does not. Training does not end there: 2 g_S - I is the curvature of the ELBO in the mean of
    q, positive at such a point, so that steps of the mean lead away from it."""
    q = MeanSqrt(*reference.random_q(np.random.RandomState(seed), M, 1))
    natural, q_cov = gaussians.mean_sqrt_to_natural(q), gaussians.covariance(q)
    P = -2.0 * natural.nat2.numpy()
    g_cov = 0.5 * ((2.0 / gamma - 1.0) * P + np.eye(M))
    safe = optimizers.positive_definite_update(natural, q.q_mu, q_cov, (q.q_mu, g_cov), gamma)
    # of the terms that cancel the largest is 2 / gamma times what stays
    np.testing.assert_allclose(safe.nat2, natural.nat2, rtol=0, atol=1e-12 * norm(P))
    assert smallest_eigenvalue(2.0 * g_cov - np.eye(M)) > 0


@cases_each(12)
@given(cases(), st.floats(0.1, 2.0))
def test_safe_steps_arrive_at_the_exact_posterior(case, noise):
    Y, prior = case.targets(), case.sparse_prior()
    exact = models.conjugate_q(prior, Y, noise)
    q = gaussians.standard_normal(len(case.Z), 2)
    theta = Hyperparameters((), (np.array(noise),))
    for _ in range(60):  # near the end each step of 0.5 halves what is left
        _, _, g = models.elbo_and_gradients(lambda t: prior, theta, q, Gaussian(), Y)
        q = optimizers.natural_gradient(q, g, 0.5, positive_definite=True)
    for a, b in zip(gaussians.mean_sqrt_to_natural(q), exact, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8 * norm(b))


# --- estimators --------------------------------------------------------------------------------


def waves(N=60, D=2, seed=0):
    """Rows in units of their own, y with noise, new rows."""
    rng = np.random.RandomState(seed)
    X, Xnew = rng.uniform(-2, 2, (N, D)), rng.uniform(-2, 2, (20, D))
    return X, np.sin(2 * X[:, 0]) + 0.5 * X[:, 1] + 0.2 * rng.randn(N), Xnew


def everything(model, Xnew):
    """Predictions of an estimator, one array."""
    if hasattr(model, "classes_"):
        return model.predict_proba(Xnew)
    return np.stack(model.predict(Xnew, return_std=True))


ESTIMATORS = {
    "gaussian": GaussianProcessRegressor(n_inducing=None),
    "student_t": GaussianProcessRegressor(n_inducing=None, likelihood="student_t"),
    "two classes": GaussianProcessClassifier(n_inducing=None),
    "three classes": GaussianProcessClassifier(n_inducing=None),
}


def with_labels(name, y):
    cuts = {"two classes": [0.0], "three classes": [-0.6, 0.6]}.get(name)
    return y if cuts is None else np.digitize(y, cuts)


def fitted(name, X, y):
    """Trained, to the end: 13 steps of L-BFGS for the first, up to 220 of Adam for the others."""
    return clone(ESTIMATORS[name]).fit(X, with_labels(name, y))


# Rounding, and what a training to the end makes of it: 1e-12 was seen, in predictions of size 1.
TRAINED = 1e-9


@pytest.mark.parametrize("repeats", [False, True], ids=["distinct rows", "repeated rows"])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_order_of_rows_does_not_matter(name, repeats):
    X, y, Xnew = waves()
    if repeats:
        X[40:] = X[:20]  # with y of their own
    order = np.random.RandomState(1).permutation(len(y))
    a = everything(fitted(name, X, y), Xnew)
    b = everything(fitted(name, X[order], y[order]), Xnew)
    np.testing.assert_allclose(b, a, rtol=0, atol=TRAINED)


@pytest.mark.parametrize("scale, shift", [([1e6, 1e-9], [1e7, 3e-9]), ([-3.0, 0.2], [10.0, -5.0])])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_units_of_columns_do_not_matter(name, scale, shift):
    """With the default kernel. The shift is ten times the spread: as many digits are lost."""
    X, y, Xnew = waves()
    a = everything(fitted(name, X, y), Xnew)
    b = everything(fitted(name, X * scale + shift, y), Xnew * scale + shift)
    np.testing.assert_allclose(b, a, rtol=0, atol=TRAINED)


@pytest.mark.parametrize("scale, shift", [(-1e5, 3e5), (1e-9, -4e-9), (1e120, 0.0)])
@pytest.mark.parametrize("name", ["gaussian", "student_t"])
def test_units_of_y_are_those_of_predictions(name, scale, shift):
    X, y, Xnew = waves()
    model, other = fitted(name, X, y), fitted(name, X, scale * y + shift)
    mean, std = everything(model, Xnew)
    other_mean, other_std = everything(other, Xnew)
    np.testing.assert_allclose((other_mean - shift) / scale, mean, rtol=0, atol=TRAINED)
    np.testing.assert_allclose(other_std / abs(scale), std, rtol=0, atol=TRAINED)
    ordered = np.sort((other.predict_quantiles(Xnew) - shift) / scale, 1)  # a negative scale turns
    np.testing.assert_allclose(ordered, model.predict_quantiles(Xnew), rtol=0, atol=TRAINED)


def test_names_of_classes_do_not_matter():
    """The probit link is symmetric: with the classes exchanged the probabilities are."""
    X, y, Xnew = waves()
    a = fitted("two classes", X, y).predict_proba(Xnew)
    b = fitted("two classes", X, -y).predict_proba(Xnew)
    np.testing.assert_allclose(b[:, ::-1], a, rtol=0, atol=TRAINED)


@pytest.mark.parametrize("n_inducing", [None, 8])
@cases_each(8)
@given(seed=seeds, N=st.integers(2, 12), D=st.integers(1, 4))
def test_predicted_covariance_lies_between_zero_and_the_prior(n_inducing, seed, N, D):
    rng = np.random.RandomState(seed)
    X, y, Xnew = rng.randn(N, D), rng.randn(N), 3 * rng.randn(10, D)
    Xnew[:2] = X[0]
    model = GaussianProcessRegressor(n_inducing=n_inducing, max_iter=20, random_state=0)
    _, cov = model.fit(X, y).predict(Xnew, return_cov=True, include_noise=False)
    _, std = model.predict(Xnew, return_std=True, include_noise=False)
    prior = model.kernel_(Xnew) * np.var(y)
    np.testing.assert_allclose(cov, cov.T, rtol=0, atol=1e-14 * norm(prior))
    for matrix in (cov, prior - cov):
        assert smallest_eigenvalue(matrix) >= -1e-10 * norm(prior)
    assert np.all(std >= 0)
    assert np.all(std**2 <= np.diag(prior) * (1 + 1e-10))


@cases_each(10)
@given(seeds, st.integers(6, 12), st.integers(1, 4), st.integers(2, 3))
def test_probabilities_of_estimators(seed, N, D, C):
    rng = np.random.RandomState(seed)
    model = GaussianProcessClassifier(n_inducing=None, max_iter=20)
    p = model.fit(rng.randn(N, D), np.arange(N) % C).predict_proba(100 * rng.randn(20, D))
    assert p.shape == (20, C)
    assert np.all((p >= 0) & (p <= 1))
    np.testing.assert_allclose(p.sum(1), 1.0, rtol=1e-14)


# --- invariance ----------------------------------------------------------------------------------

# Rows are multiples of 2**-8, so that adding a whole number does not round them, as float32 either.
STATIONARY = {
    "default": None,
    "rbf": 1.0 * RBF(0.5),
    "sum": 1.0 * Matern([0.5, 1.0], nu=1.5) + RationalQuadratic(),
}
MODELS = {
    "exact": dict(n_inducing=None, max_iter=30),
    "points": dict(n_inducing=20, max_iter=20),
    "batches": dict(n_inducing=20, batch_size=20, max_iter=20),
}


def rows_and_targets(seed):
    rng = np.random.RandomState(seed)
    X, T = (rng.randint(0, 256, (n, 2)) / 256.0 for n in (60, 30))
    return X, np.sin(5 * X[:, 0]) + X[:, 1] + 0.1 * rng.randn(60), T


def predictions(cls, X, y, T, **settings):
    """Mean and standard deviation of y, in units of its own; or those of the latent function."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = cls(random_state=0, **settings).fit(X, y)
    if cls is GaussianProcessRegressor:
        return np.stack(model.predict(T, return_std=True)) / y.std()
    return model.predict_proba(T)


def assert_same_predictions(found, expected, tolerance):
    """``tolerance``: of a standard deviation of y, or of a probability."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def signs(y):
    return (y > np.median(y)).astype(int)


@pytest.mark.parametrize("name", STATIONARY)
@pytest.mark.parametrize("model", MODELS)
@cases_each(2)
@given(seed=seeds, power=st.integers(0, 20), negative=st.booleans(), both=st.booleans())
def test_predictions_do_not_depend_on_the_origin(name, model, seed, power, negative, both):
    X, y, T = rows_and_targets(seed)
    shift = (-1.0 if negative else 1.0) * 2.0**power * np.array([1.0, float(both)])
    settings = dict(kernel=STATIONARY[name], **MODELS[model])
    for cls, target in ((GaussianProcessRegressor, y), (GaussianProcessClassifier, signs(y))):
        expected = predictions(cls, X, target, T, **settings)
        found = predictions(cls, X + shift, target, T + shift, **settings)
        assert_same_predictions(found, expected, 1e-6)


@pytest.mark.parametrize("name", STATIONARY)
@pytest.mark.parametrize("stored", ["float64", "float32"])
@cases_each(2)
@given(seed=seeds, power=st.integers(0, 14))
def test_nor_does_float32(name, stored, seed, power):
    X, y, T = rows_and_targets(seed)
    settings = dict(kernel=STATIONARY[name], dtype="float32", **MODELS["points"])
    for cls, target in ((GaussianProcessRegressor, y), (GaussianProcessClassifier, signs(y))):
        expected = predictions(cls, X, target, T, **settings)
        shifted = (X + 2.0**power).astype(stored), target, T + 2.0**power
        assert_same_predictions(predictions(cls, *shifted, **settings), expected, 1e-2)


@pytest.mark.parametrize("model", MODELS)
@cases_each(4)
@given(seed=seeds, powers=st.tuples(st.integers(-9, 9), st.integers(-9, 9)))
def test_predictions_do_not_depend_on_the_units_of_columns(model, seed, powers):
    X, y, T = rows_and_targets(seed)
    unit = 10.0 ** np.array(powers, float)
    for cls, target in ((GaussianProcessRegressor, y), (GaussianProcessClassifier, signs(y))):
        expected = predictions(cls, X, target, T, **MODELS[model])
        found = predictions(cls, unit * X, target, unit * T, **MODELS[model])
        assert_same_predictions(found, expected, 1e-6)
