"""Gaussian processes with natural-gradient training, as scikit-learn estimators."""

from .classification import GaussianProcessClassifier
from .regression import GaussianProcessRegressor

__all__ = ["GaussianProcessClassifier", "GaussianProcessRegressor", "__version__"]

#: Version of the package.
__version__ = "0.1.0"
