"""Gaussian processes with natural-gradient training, as scikit-learn estimators."""

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
