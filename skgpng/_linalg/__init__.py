"""Factorisations on tensors and on arrays, and distances, with the few gradients that matter."""

from .arrays import Arrays
from .distances import exact_distances, squared_distance, squared_distance_within
from .tensors import (
    Tensors,
    add_jitter,
    add_to_diagonal,
    columnwise,
    in_graph,
    inverse_and_log_determinant,
    run,
    shift_diagonal,
    swap_axes,
    triangular_inverse,
)
from .threads import in_turn, one_blas_thread

__all__ = [
    "Arrays",
    "Tensors",
    "add_jitter",
    "add_to_diagonal",
    "columnwise",
    "exact_distances",
    "in_graph",
    "in_turn",
    "inverse_and_log_determinant",
    "one_blas_thread",
    "run",
    "shift_diagonal",
    "squared_distance",
    "squared_distance_within",
    "swap_axes",
    "triangular_inverse",
]
