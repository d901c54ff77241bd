"""
A look at a model: six displays
===============================

What does a fitted model say, how sure is it, and can it be believed? Each display answers on one
line, from an estimator alone or at the end of a pipeline. They keep their axes and artists
(``ax_`` or ``axes_``, ``figure_``, ``lines_`` ...), to be drawn over or changed.

The data are accelerations of the head in a simulated motorcycle crash (``data/mcycle.csv``;
Silverman 1985, data set "mcycle" of the R package MASS, by way of vincentarelbundock/Rdatasets),
and two sets that come with scikit-learn: Fisher's irises, and the diabetes study, ten columns of
442 patients and the progress of their disease a year later.

Run it with ``python examples/displays.py``; it saves ``displays_band.png`` and five more in the
current directory.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
from skgpng.displays import (
    AdditiveDisplay,
    BandDisplay,
    CoverageDisplay,
    MapDisplay,
    RelevanceDisplay,
    TrainingDisplay,
)
from skgpng.kernels import OrthogonalAdditive

DATA = Path(__file__).resolve().parent / "data"

# %%
# A band along a column
# ---------------------
# The head is still at first, then nothing is: ``likelihood="heteroscedastic"`` learns how the noise
# changes, and the band is that of its quantiles. Beside it the probability of each species of iris
# along one of its measurements, the others held at their median; the marks below are the flowers.

crash = pd.read_csv(DATA / "mcycle.csv")
time, acceleration = crash[["milliseconds"]], crash["acceleration"].rename("acceleration, g")
changing = GaussianProcessRegressor(likelihood="heteroscedastic", random_state=0)
changing.fit(time, acceleration)

iris = load_iris(as_frame=True)
species = iris.target_names[iris.target]
flowers = GaussianProcessClassifier(random_state=0).fit(iris.data, species)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
BandDisplay.from_estimator(changing, time, y=acceleration, level=(0.5, 0.95), ax=left)
BandDisplay.from_estimator(flowers, iris.data, "petal length (cm)", y=species, ax=right)
figure.savefig("displays_band.png", dpi=120)

# %%
# A map over two columns
# ----------------------
# Of the patients, two columns that matter, the others at their median. Each point is coloured as
# the map is, so that one that is predicted well shows by its rim alone. Right, how well the mean is
# known: best where there are patients.

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
meanings = {"bmi": "body mass index", "bp": "mean blood pressure", "s1": "total cholesterol"}
meanings |= {"s2": "LDL cholesterol", "s3": "HDL cholesterol", "s4": "cholesterol / HDL"}
X = X.rename(columns=meanings | {"s5": "log triglycerides", "s6": "blood sugar"})
y = y.rename("progress of the disease")
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=0)

model = make_pipeline(StandardScaler(), GaussianProcessRegressor(random_state=0))
model.fit(X_train, y_train)
pair = "body mass index", "log triglycerides"
display = MapDisplay.from_estimator(model, X_train, pair, y=y_train, fixed={"age": 50})
display.figure_.savefig("displays_map.png", dpi=120)

# %%
# Can the intervals be believed?
# ------------------------------
# Of patients that the model has not seen: the share in the interval of each level, and how often y
# came at which of its predicted probabilities. Grey is what chance allows.

display = CoverageDisplay.from_estimator(model, X_test, y_test)
display.figure_.savefig("displays_coverage.png", dpi=120)

# %%
# How training went
# -----------------
# Fifty points in the place of all rows cost a nat here, ten of them three. The last step is a dot,
# or where training was stopped before it had settled a cross.

scaled = StandardScaler().set_output(transform="pandas").fit(X_train)
rows = scaled.transform(X_train)
trained = {
    "all rows": model,
    "50 points": GaussianProcessRegressor(n_inducing=50, random_state=0).fit(rows, y_train),
    "10 points": GaussianProcessRegressor(n_inducing=10, random_state=0).fit(rows, y_train),
}
display = TrainingDisplay.from_estimator(trained)
display.figure_.savefig("displays_training.png", dpi=120)

# %%
# Which columns matter
# --------------------
# By their length scales; the names come through the pipeline.

display = RelevanceDisplay.from_estimator(model, max_features=6)
display.figure_.savefig("displays_relevance.png", dpi=120)

# %%
# What each column does
# ---------------------
# Under an additive kernel the function is a sum of effects, of one column and of two, each with its
# share of the variance. Single columns are on one scale.

additive = GaussianProcessRegressor(OrthogonalAdditive(max_order=2), random_state=0)
additive.fit(X_train, y_train)
display = AdditiveDisplay.from_estimator(additive, X_train)
display.figure_.savefig("displays_additive.png", dpi=120)
