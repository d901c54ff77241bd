"""Kernels of every kind."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    ExpSineSquared,
    Matern,
    RationalQuadratic,
)

from skgpng.kernels import (
    ArcCosine,
    Categorical,
    ChangePoint,
    Columns,
    Cosine,
    FromTFP,
    Linear,
    OrthogonalAdditive,
    Periodic,
    Polynomial,
    SpectralMixture,
    completed,
)

ARD = [0.5, 1.0, 2.0]

KERNELS = {
    "constant": ConstantKernel(2.0),
    "rbf": RBF(0.7),
    "rbf-ard": RBF(ARD),
    **{f"matern-{nu}": Matern(0.9, nu=nu) for nu in (0.5, 1.5, 2.5, np.inf)},
    **{f"matern-{nu}-ard": Matern(ARD, nu=nu) for nu in (0.5, 1.5, 2.5, np.inf)},
    "rational-quadratic": RationalQuadratic(0.8, 1.3),
    "periodic": ExpSineSquared(1.1, 2.3),
    "dot-product": DotProduct(0.6),
    "sum": RBF(0.7) + Matern(1.2, nu=1.5),
    "product": RBF(0.7) * DotProduct(0.6),
    "scaled": 2.0 * RBF(ARD),
    "scaled from the right": RBF(0.7) * ConstantKernel(3.0),
    "constants": ConstantKernel(2.0) * ConstantKernel(3.0) + ConstantKernel(0.5),
    "power": Matern(0.9, nu=2.5) ** 1.5,
    "power of a scaled kernel": (2.0 * DotProduct(0.6)) ** 3,
    "columns": Columns(RBF([0.5, 2.0]), [2, 0]) * Columns(ExpSineSquared(1.1, 2.3), [-2]),
    "powers of columns": (0.3 * RBF(0.7) + Columns(DotProduct(0.6), [1])) ** 2,
    "periodic in all columns": Periodic([0.8, 1.5, 2.0], [1.0, 2.3, 4.0]),
    "linear": Linear(ARD),
    "polynomial": Polynomial(3, ARD, 0.7),
    "cosine": Cosine([1.0, 2.3, 4.0]),
    **{f"arc-cosine-{order}": ArcCosine(order, ARD, 0.7) for order in (1, 2)},
    "spectral mixture": SpectralMixture(
        [0.6, 1.5], [[0.3, 0.1, 0.2], [0.5, 0.2, 0.1]], [[0.1, 0.2, 0.1], [0.05, 0.1, 0.3]]
    ),
    "nested": (0.5 * RBF(ARD) + DotProduct(0.3)) * ExpSineSquared(1.1, 2.3)
    + 1.5 * RationalQuadratic(0.8, 1.3) ** 2
    + ConstantKernel(0.1) * ConstantKernel(2.0) * (Matern(1.2, nu=0.5) + ConstantKernel(0.7)),
}


def mixed_rows(seed: int, n: int) -> np.ndarray:
    """Rows of two real columns and one of levels."""
    rng = np.random.RandomState(seed)
    return np.column_stack([rng.randn(n, 2), rng.randint(4, size=n)])


ROWS = mixed_rows(0, 20)
#: Those with values of other kinds, and on rows whose last column has one of four levels.
MIXED = {
    **{
        name: Columns(Categorical(4, angle), [2])
        for name, angle in {
            "one angle": 0.6,
            "an angle for each level": np.array([[0.3], [0.9], [1.2], [2.0]]),
            "two angles for each level": np.array([[0.3, 1.1], [0.9, 0.5], [1.2, 2.0], [2.0, 1.0]]),
            "all angles": np.array([0.4, 1.3, 2.2, 0.7, 1.0, 1.9]),
        }.items()
    },
    "levels times others": Columns(RBF(ARD[:2]), [0, 1]) * Columns(Categorical(5, 0.5), [-1]),
    # where rows are equal, rounding of the angle hides its differences
    "arc-cosine-0": ArcCosine(0, ARD, 0.7),
    "change point": ChangePoint(RBF(0.7), 2.0 * Linear(0.5), 0.2, 3.0, column=1),
    "chained": ChangePoint(ChangePoint(RBF(0.7), RBF(2.0), -0.5, 3.0), Matern(0.3), 0.5, 9.0),
    "additive": completed(
        OrthogonalAdditive(length_scale=ARD, order_variances=[0.3, 1.0, 0.5]), ROWS
    ),
    "from TFP": FromTFP("RationalQuadratic", amplitude=1.2, length_scale=0.7),
}


every_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS.keys())
