"""Covariance functions: scikit-learn's kernel objects, as formulas of tensors.

scikit-learn's kernels are the kernel language: their names, bounds, ``"fixed"``, operators and
printed form. :func:`parse` splits such an object into a hashable :class:`KernelStructure` and the
parameters that are learned; :func:`covariance` evaluates the structure on tensors. One class holds
one formula. What scikit-learn lacks is written as a :class:`Kernel`; a class without a formula is
taken as it is, by exact models.
"""

from .additive import OrthogonalAdditive
from .base import Kernel
from .checks import check_columns, check_inducing_points, column_scales, ends, seen_columns
from .columns import Columns
from .completion import completed
from .formula import Formula, formula_of
from .linear import DotProduct as _DotProduct  # noqa: F401  registers its formula
from .parsing import ParsedKernel, parse, rebuild
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
    "Columns",
    "Formula",
    "Kernel",
    "KernelStructure",
    "OrthogonalAdditive",
    "ParsedKernel",
    "Stationary",
    "bind",
    "check_columns",
    "check_inducing_points",
    "column_scales",
    "completed",
    "covariance",
    "depth",
    "diagonal",
    "ends",
    "formula_of",
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
