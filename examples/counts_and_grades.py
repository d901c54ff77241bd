"""
Counts and grades: negative binomial and ordinal likelihoods
============================================================

Counts are no normal variables: they are whole, never negative, and vary more where they are larger.
Grades have an order, but no distances. Three sets of real data, each with the likelihood that suits
it beside another one.

- ``data/coal.csv``: British coal-mining disasters of each year from 1851 to 1962 (Jarrett 1979;
  data set "coal" of the R package boot, by way of vincentarelbundock/Rdatasets).
- ``data/late_flights.csv``: flights of three months that leave in each half hour of the day and
  class of distance, and how many of them were more than an hour late (US Bureau of Transportation
  Statistics, the sample flights-200k of vega-datasets).
- ``data/wine_red.csv``: every second row of the red wines of Cortez et al. 2009 (UCI Machine
  Learning Repository), eleven measurements and a grade.

Run it with ``python examples/counts_and_grades.py``; it saves ``counts_and_grades.png`` in the
current directory.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm

from skgpng import GaussianProcessRegressor

DATA = Path(__file__).resolve().parent / "data"


def table(name):
    """Columns of a file."""
    return np.loadtxt(DATA / name, delimiter=",", skiprows=1)


# %%
# Disasters: as many as Poisson's
# -------------------------------
# The logarithm of the rate is the Gaussian process. The negative binomial likelihood learns how
# much more than Poisson's the counts scatter, its ``dispersion``: here next to nothing, so that
# both say the same.

years, disasters = table("coal.csv").T
X = years[:, None]
mines = {
    name: GaussianProcessRegressor(likelihood=name, random_state=0).fit(X, disasters)
    for name in ("poisson", "negative_binomial")
}
for name, model in mines.items():
    print(f"{name}: {model.likelihood_}, lower bound of the log evidence {model.elbo_:.1f}")

# %%
# Late flights: more scattered, and of so many each
# -------------------------------------------------
# How many flights there are in a cell is their ``exposure``: the rate is that of one flight. Days
# with storms make many late at once, which Poisson's counts do not know. Held out is every fourth
# cell.

hour, miles, flights, late = table("late_flights.csv").T
X = np.column_stack([hour, np.log(miles)])
test = np.arange(len(late)) % 4 == 3
for name in ("poisson", "negative_binomial"):
    model = GaussianProcessRegressor(likelihood=name, n_inducing=40, random_state=0)
    model.fit(X[~test], late[~test], exposure=flights[~test])
    held_out = X[test], late[test]
    density = model.log_predictive_density(*held_out, exposure=flights[test]).mean()
    low, high = model.predict_quantiles(X[test], (0.05, 0.95), exposure=flights[test]).T
    inside = np.mean((low <= late[test]) & (late[test] <= high))
    print(f"{name}: {model.likelihood_}")
    print(f"  mean log probability {density:.2f}, {100 * inside:.0f} % in the 90 % intervals")

# %%
# The share of late flights through the day, for flights of 500 miles: an exposure of 1, the
# default, stands for one flight.

hours = np.linspace(0.0, 24.0, 200)
share, of_share = model.predict(
    np.column_stack([hours, np.full(200, np.log(500.0))]), return_std=True, include_noise=False
)

# %%
# Wine: grades
# ------------
# The ordinal likelihood cuts the latent function into grades, at points that are learned.
# Predictions are grades: the median one in ``predict``, any level in ``predict_quantiles``. Beside
# it a Gaussian regression on the grades as numbers, whose probability of a grade is that of half a
# unit on either side.

wine = table("wine_red.csv")
X, grade = wine[:, :-1], wine[:, -1]
test = np.arange(len(grade)) % 4 == 3
ordinal = GaussianProcessRegressor(likelihood="ordinal", n_inducing=60, random_state=0)
ordinal.fit(X[~test], grade[~test])
gaussian = GaussianProcessRegressor(n_inducing=60, random_state=0).fit(X[~test], grade[~test])
print("grades", ordinal.likelihood_["grades"])
print("cut at", ordinal.likelihood_["cut_points"].round(2))
mean, std = gaussian.predict(X[test], return_std=True)
normal = norm(mean, std)
of_gaussian = np.log(normal.cdf(grade[test] + 0.5) - normal.cdf(grade[test] - 0.5))
of_ordinal = ordinal.log_predictive_density(X[test], grade[test])
print(f"mean log probability of the grade: ordinal {of_ordinal.mean():.3f}, ", end="")
print(f"Gaussian {of_gaussian.mean():.3f}")
print(f"grades that are right: {np.mean(ordinal.predict(X[test]) == grade[test]):.2f}, ", end="")
print(f"of rounded means {np.mean(np.round(mean) == grade[test]):.2f}")

# %%
# Left, the rate of disasters with its central 90 per cent, and dotted that of the counts. In the
# middle, the share of flights of 500 miles that are late, with twice its standard deviation. Right,
# the probability of each grade as alcohol grows, all else at its median.

figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
model, at = mines["poisson"], years[:, None]
rates = model.sample_y(at, 1000, include_noise=False)
axes[0].plot(years, disasters, "k.", markersize=3)
axes[0].plot(years, model.predict(at))
axes[0].fill_between(years, *np.quantile(rates, (0.05, 0.95), axis=1), alpha=0.3)
axes[0].step(years, model.predict_quantiles(at, (0.05, 0.95)), "C0:", where="mid", linewidth=1)
axes[0].set_title("coal-mining disasters a year")
axes[1].plot(hours, share)
axes[1].fill_between(hours, share - 2.0 * of_share, share + 2.0 * of_share, alpha=0.3)
axes[1].set(title="share of flights an hour late", xlabel="hour of departure")
alcohol = np.linspace(*np.quantile(X[:, -1], (0.01, 0.99)), 60)
rows = np.tile(np.median(X, 0), (60, 1))
rows[:, -1] = alcohol
grades = ordinal.likelihood_["grades"]
probability = [np.exp(ordinal.log_predictive_density(rows, np.full(60, g))) for g in grades]
axes[2].stackplot(alcohol, probability, labels=[f"{g:g}" for g in grades])
axes[2].legend(title="grade", loc="center left", bbox_to_anchor=(1.0, 0.5))
axes[2].set(title="probability of each grade", xlabel="alcohol [%]", ylim=(0, 1))
figure.savefig("counts_and_grades.png", dpi=150)
