"""Covariance functions: scikit-learn's kernel objects, as formulas of tensors.

scikit-learn's kernels are the kernel language: their names, bounds, ``"fixed"``, operators and
printed form. :func:`parse` splits such an object into a hashable :class:`KernelStructure` and the
parameters that are learned; :func:`covariance` evaluates the structure on tensors. One class holds
one formula. What scikit-learn lacks is written as a :class:`Kernel`; a class without a formula is
taken as it is, by exact models.
"""

from .additive import OrthogonalAdditive
from .arc_cosine import ArcCosine
from .base import Kernel
from .categorical import Categorical
from .change_point import ChangePoint
from .checks import (
    check_columns,
    check_inducing_points,
    check_levels,
    column_scales,
    discrete_columns,
    ends,
    seen_columns,
)
from .columns import Columns
from .completion import completed
from .features import Feature
from .formula import Formula, formula_of
from .from_tfp import FromTFP
from .linear import Linear, Polynomial
from .parsing import ParsedKernel, at_theta, free_names, parse, rebuild
from .periodic import Cosine, Periodic
from .spectral_mixture import SpectralMixture
from .stationary import (
    Stationary,
    matern12,
    matern32,
    matern52,
    squared_distance,
    squared_exponential,
)
from .tree import (
    KernelStructure,
    bind,
    covariance,
    depth,
    diagonal,
    is_stationary,
    jitter_unit,
    metric,
    needs_all_rows,
    of_each_latent,
)

__all__ = [
    "ArcCosine",
    "Categorical",
    "ChangePoint",
    "Columns",
    "Cosine",
    "Feature",
    "Formula",
    "FromTFP",
    "Kernel",
    "KernelStructure",
    "Linear",
    "OrthogonalAdditive",
    "ParsedKernel",
    "Periodic",
    "Polynomial",
    "SpectralMixture",
    "Stationary",
    "at_theta",
    "bind",
    "check_columns",
    "check_inducing_points",
    "check_levels",
    "column_scales",
    "completed",
    "covariance",
    "depth",
    "diagonal",
    "discrete_columns",
    "ends",
    "formula_of",
    "free_names",
    "is_stationary",
    "jitter_unit",
    "matern12",
    "matern32",
    "matern52",
    "metric",
    "needs_all_rows",
    "of_each_latent",
    "parse",
    "rebuild",
    "seen_columns",
    "squared_distance",
    "squared_exponential",
]
