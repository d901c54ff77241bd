"""TensorFlow, imported when it is first needed.

Importing TensorFlow takes seconds and writes log lines to the terminal. Every module of
skgpng writes ``from ._tensorflow import tf``; the import happens at the first attribute
that is looked up, so that ``import skgpng`` stays quick.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["custom_gradient", "tf"]


class _LazyTensorFlow:
    """Stands for the ``tensorflow`` module until an attribute of it is needed."""

    def __getattr__(self, name: str) -> Any:
        module = _load_tensorflow()
        value = getattr(module, name)
        # Remember the attribute: later look-ups do not come through here again.
        setattr(self, name, value)
        return value


@functools.lru_cache(maxsize=1)
def _load_tensorflow() -> Any:
    """Import TensorFlow with its log lines kept out of the user's terminal."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _silent_stderr():
        return importlib.import_module("tensorflow")


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Send file descriptor 2 nowhere for a while.

    TensorFlow's C++ side writes lines about oneDNN and CUDA before any log level is read, so
    only the descriptor itself can stop them. Python's own errors are exceptions and still
    reach the caller.
    """
    try:
        saved = os.dup(2)
    except OSError:  # no descriptor 2 (a service without a terminal): nothing to keep clean
        yield
        return
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def custom_gradient(function: Callable) -> Callable:
    """``tf.custom_gradient`` that does not import TensorFlow when it decorates."""

    @functools.lru_cache(maxsize=1)
    def decorated() -> Callable:
        return tf.custom_gradient(function)

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        return decorated()(*args)

    return call


tf: Any = _LazyTensorFlow()
