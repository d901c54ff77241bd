"""The process: TensorFlow when it is first needed, what is compiled, threads, memory."""

from .compiled import Compiled, compiled_once, map_leaves, runs_in_order, where_needed
from .memory import keep_freed, refuse_beyond
from .tensorflow import allowed_threads, custom_gradient, outside_graphs, tf

__all__ = [
    "Compiled",
    "allowed_threads",
    "compiled_once",
    "custom_gradient",
    "keep_freed",
    "map_leaves",
    "outside_graphs",
    "refuse_beyond",
    "runs_in_order",
    "tf",
    "where_needed",
]
