"""Gaussian processes with natural-gradient training, as scikit-learn estimators."""

import importlib
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

_MODULES = ("displays", "metrics")  # imported when first named, as no estimator needs them


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
