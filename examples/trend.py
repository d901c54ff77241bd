"""
Trends: what a prediction follows where the data end
====================================================

Carbon dioxide in the air over Mauna Loa, 1958 to 2020; the last ten years are held out. A kernel
for the cycle of a year and for what lasts some years says nothing of the next decade: predictions
go back to the mean of the prior. Three of them are put beside each other. The monthly values are
those of the Scripps Institution of Oceanography (scrippsco2.ucsd.edu), as vega-datasets has them.

Run it with ``python examples/trend.py``; it saves ``trend.png`` in the current directory.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.gaussian_process.kernels import RBF, ExpSineSquared, WhiteKernel
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from skgpng import GaussianProcessRegressor

# %%
# Every second month. What is held out is ten years away from the data at its end, many length
# scales: nothing but the mean reaches it.

try:
    HERE = Path(__file__).resolve().parent
except NameError:  # inside the documentation's gallery
    HERE = Path.cwd()
year, co2 = np.loadtxt(HERE / "data" / "co2_maunaloa.csv", delimiter=",", skiprows=1)[::2].T
X, known = year[:, None], year < year[-1] - 10.0

year_by_year = ExpSineSquared(1.0, 1.0, periodicity_bounds="fixed")
kernel = RBF(2.0, (0.1, 5.0)) * 1.0 + 0.01 * year_by_year + WhiteKernel(1e-3)

# %%
# The mean is zero on scaled y (the average of the years known), a line that is learned with the
# kernel, or any regressor of scikit-learn: here a parabola.

parabola = make_pipeline(StandardScaler(), PolynomialFeatures(2), LinearRegression())
means = {"zero": None, "linear": "linear", "parabola": parabola}
fits = {}
for name, mean in means.items():
    model = GaussianProcessRegressor(kernel, mean=mean, random_state=0)
    fits[name] = model.fit(X[known], co2[known])
    error = np.sqrt(np.mean((model.predict(X[~known]) - co2[~known]) ** 2))
    density = np.mean(model.log_predictive_density(X[~known], co2[~known]))
    print(f"{name:9s} root mean squared error {error:5.1f} ppm, mean log density {density:.2f}")

# %%
# Without a trend the prediction falls back to values of the eighties, with the standard deviation
# of all years. The line follows the rise, but that grows from year to year, which a line cannot
# know: it falls behind, and is too sure of itself. The parabola is the trend of these data. A mean
# is an assumption: far from the data there is nothing to correct it.

fig, axes = plt.subplots(1, 3, figsize=(12, 3.6), sharey=True, layout="constrained")
recent, at = year > 1995.0, np.linspace(1995.0, 2025.0, 400)[:, None]
for ax, (name, model) in zip(axes, fits.items()):
    mean, std = model.predict(at, return_std=True)
    ax.fill_between(at[:, 0], mean - 2.0 * std, mean + 2.0 * std, color="C0", alpha=0.2, lw=0)
    ax.plot(at[:, 0], mean, color="C0", lw=1)
    ax.plot(year[recent & known], co2[recent & known], "k.", ms=2)
    ax.plot(year[~known], co2[~known], ".", color="C3", ms=2)
    ax.set_title(f"mean: {name}")
axes[0].set_ylabel("CO2, ppm")
fig.savefig("trend.png", dpi=120)
print("Saved trend.png")
