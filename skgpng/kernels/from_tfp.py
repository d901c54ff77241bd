"""Kernels of TensorFlow Probability."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from sklearn.gaussian_process import kernels as sk

from .._runtime import tf
from .base import Kernel

__all__ = ["FromTFP"]


class FromTFP(Kernel):
    """A kernel of ``tensorflow_probability.math.psd_kernels``.

    Its hyperparameters are positive, with names of your choice; they are learned, searched over and
    printed like those of other kernels.

    Parameters
    ----------
    kernel : str or callable
        Name of a class in ``psd_kernels``, or a function that makes a kernel. It is called with the
        hyperparameters by name, which are tensors. A function that is defined at the top of a
        module can be pickled.
    **hyperparameters : float, array or pair
        Value to begin with of each argument of ``kernel``, and, as ``name_bounds``, a pair of
        bounds or "fixed"; by default (1e-5, 1e5).

    Raises
    ------
    ImportError
        When it is first evaluated, where TensorFlow Probability is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from skgpng import GaussianProcessRegressor
    >>> from skgpng.kernels import FromTFP
    >>> kernel = FromTFP("MaternFiveHalves", amplitude=1.0, length_scale=2.0)
    >>> kernel.get_params()["length_scale"]
    2.0
    >>> X = np.linspace(0, 6, 50)[:, None]
    >>> y = np.sin(X[:, 0]) + 0.1 * np.random.RandomState(0).randn(50)
    >>> model = GaussianProcessRegressor(kernel).fit(X, y)
    >>> print(model.score(X, y) > 0.95)
    True
    """

    foreign = True
    kernel: Any

    def __init__(self, kernel: Any, **hyperparameters: Any) -> None:
        self.kernel = kernel
        for name, value in hyperparameters.items():
            setattr(self, name, value)
            if not name.endswith("_bounds") and f"{name}_bounds" not in hyperparameters:
                setattr(self, f"{name}_bounds", (1e-5, 1e5))

    def _given(self) -> dict[str, Any]:
        return dict(vars(self))

    def _own(self) -> list:
        return [
            sk.Hyperparameter(name, "numeric", vars(self)[f"{name}_bounds"], np.size(value))
            for name, value in vars(self).items()
            if f"{name}_bounds" in vars(self)
        ]

    def covariance(self, X1: Any, X2: Any = None) -> Any:
        return self._theirs().matrix(X1, X1 if X2 is None else X2)

    def diagonal(self, X: Any) -> Any:
        return self._theirs().apply(X, X, example_ndims=1)

    def check_gradient(self, X: np.ndarray) -> None:
        """Raise ValueError where TFP's gradient is not finite, as that of some at equal rows."""
        values = [v for name, v in vars(self).items() if name != "kernel"]
        with tf.GradientTape() as tape:
            tape.watch(values)
            K = self.covariance(tf.constant(X, tf.float64))
        slopes = tape.gradient(K, values, unconnected_gradients="zero")
        if not all(np.isfinite(slope).all() for slope in slopes):
            raise ValueError("it has no finite gradient where rows are equal. Take another kernel.")

    @classmethod
    def settings(cls, given: dict, names: tuple[str, ...] | None) -> dict | None:
        """The kernel only; ValueError where it is neither a name nor a function."""
        kernel = given["kernel"]
        if not isinstance(kernel, str) and not callable(kernel):
            raise ValueError(
                "kernel must be the name of a class of tensorflow_probability.math.psd_kernels, or "
                f"a function that makes one, got {kernel!r}."
            )
        return given

    def _theirs(self) -> Any:
        """TFP's kernel at these values."""
        values = {name: v for name, v in vars(self).items() if name != "kernel"}
        make = _named(self.kernel) if isinstance(self.kernel, str) else self.kernel
        return make(**{name: tf.convert_to_tensor(v) for name, v in values.items()})


def _named(name: str) -> Any:
    """A class of TFP's, by its name."""
    _ = tf.constant  # imports TensorFlow without its log lines
    try:
        module = importlib.import_module("tensorflow_probability")
    except ImportError as error:
        raise ImportError(
            "FromTFP needs TensorFlow Probability: pip install tensorflow-probability tf-keras."
        ) from error
    found = getattr(module.math.psd_kernels, name, None)
    if found is None:
        raise ValueError(f"tensorflow_probability.math.psd_kernels has no {name!r}.")
    return found
