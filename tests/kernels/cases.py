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

from skgpng.kernels import Columns

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
    "nested": (0.5 * RBF(ARD) + DotProduct(0.3)) * ExpSineSquared(1.1, 2.3)
    + 1.5 * RationalQuadratic(0.8, 1.3) ** 2
    + ConstantKernel(0.1) * ConstantKernel(2.0) * (Matern(1.2, nu=0.5) + ConstantKernel(0.7)),
}
every_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS.keys())
