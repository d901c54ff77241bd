"""
Targets that belong together
============================

Of 442 patients the total cholesterol is known, and of one in seven the low-density part (LDL),
which takes another test. Age, sex, body mass and blood pressure tell little of either. But both
belong together: with ``Coregionalised`` what is known of the one helps the other, and NaN stands
for what was not measured. The data come with scikit-learn.

Run it with ``python examples/related_targets.py``; it saves ``related_targets.png`` in the current
directory.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

from skgpng import GaussianProcessRegressor
from skgpng.likelihoods import Coregionalised

data = load_diabetes(scaled=False)
column = {name: data.data[:, k] for k, name in enumerate(data.feature_names)}
X = np.column_stack([column[name] for name in ("age", "sex", "bmi", "bp")])
total, ldl = column["s1"], column["s2"]
measured = np.random.RandomState(0).uniform(size=len(X)) < 1 / 7

# %%
# LDL alone, from the patients in whom it was measured; and both together, from all.

alone = GaussianProcessRegressor(random_state=0).fit(X[measured], ldl[measured])
Y = np.column_stack([total, np.where(measured, ldl, np.nan)])
both = GaussianProcessRegressor(likelihood=Coregionalised(rank=1), tol=1e-3, random_state=0)
both.fit(X, Y)

predicted = {
    "LDL alone": alone.predict(X, return_std=True),
    "with total cholesterol": tuple(part[:, 1] for part in both.predict(X, return_std=True)),
}
for name, (mean, std) in predicted.items():
    z = (ldl - mean)[~measured] / std[~measured]
    error = np.sqrt(np.mean((ldl - mean)[~measured] ** 2))
    density = np.mean(-0.5 * np.log(2 * np.pi * std[~measured] ** 2) - 0.5 * z**2)
    print(f"{name}: error {error:.1f}, log density {density:.2f}, 95 % band holds "
          f"{np.mean(np.abs(z) < 1.96):.0%}")  # fmt: skip

# %%
# What each target is of the latent function, in mg/dl.

print("mixing:", both.likelihood_["mixing"][:, 0].round(1))
print("standard deviation of the noise:", np.sqrt(both.noise_variance_).round(1))

figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), sharex=True, sharey=True, layout="constrained")
for ax, (name, (mean, std)) in zip(axes, predicted.items(), strict=True):
    ax.errorbar(ldl[~measured], mean[~measured], std[~measured], fmt=".", alpha=0.3)
    ax.axline((100, 100), slope=1, color="k", linewidth=1)
    ax.set(title=name, xlabel="LDL that was not shown, mg/dl")
axes[0].set_ylabel("prediction and its standard deviation")
figure.savefig("related_targets.png", dpi=150)
