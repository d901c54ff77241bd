"""The process: TensorFlow when it is first needed, what is compiled, devices, threads, memory."""

from .compiled import Compiled, compiled_once, map_leaves, runs_in_order, where_needed
from .cores import allowed_threads, threads_of_all
from .devices import Device, all_digits, on, places, returning_home
from .memory import keep_freed, refuse_beyond
from .replay import Replay, numpy_function
from .tensorflow import at_home, custom_gradient, outside_graphs, tf, thread_left

__all__ = [
    "Compiled",
    "Device",
    "Replay",
    "all_digits",
    "allowed_threads",
    "at_home",
    "compiled_once",
    "custom_gradient",
    "keep_freed",
    "map_leaves",
    "numpy_function",
    "on",
    "outside_graphs",
    "places",
    "refuse_beyond",
    "returning_home",
    "runs_in_order",
    "tf",
    "thread_left",
    "threads_of_all",
    "where_needed",
]
