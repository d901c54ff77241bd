"""Gaussian processes with natural-gradient training, as scikit-learn estimators."""

from typing import Any

from ._version import __version__
from .classification import GaussianProcessClassifier
from .persistence import load, save
from .regression import GaussianProcessRegressor

__all__ = [
    "GaussianProcessClassifier",
    "GaussianProcessRegressor",
    "__version__",
    "load",
    "save",
]


def __getattr__(name: str) -> Any:
    """Import the displays when they are asked for, as ``skgpng.displays``."""
    if name == "displays":
        import importlib

        return importlib.import_module(".displays", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "displays"})
