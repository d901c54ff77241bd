"""The process: TensorFlow when it is first needed, what is compiled, threads, memory."""

from .compiled import Compiled, compiled_once, map_leaves, runs_in_order, where_needed
from .cores import allowed_threads, threads_of_all
from .memory import keep_freed, refuse_beyond
from .replay import Replay, numpy_function
from .tensorflow import custom_gradient, outside_graphs, tf

__all__ = [
    "Compiled",
    "Replay",
    "allowed_threads",
    "compiled_once",
    "custom_gradient",
    "keep_freed",
    "map_leaves",
    "numpy_function",
    "outside_graphs",
    "refuse_beyond",
    "runs_in_order",
    "tf",
    "threads_of_all",
    "where_needed",
]
