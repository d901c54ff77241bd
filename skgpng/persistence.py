"""Estimators as files of arrays and JSON: nothing in them is code, and loading runs none.

A file is a zip archive of uncompressed members, which ``numpy.load`` opens too: ``header.json``
with parameters, settings and the shape of every array, and a ``.npy`` member for each array.
What could be derived from something else in the file (the compiled form of the kernel, the
inducing points beside the posterior) is derived, so that a file cannot contradict itself there;
what is left is checked: classes against short lists, sizes against the size of the file before
anything is allocated, shapes against each other.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import math
import os
import re
import secrets
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.gaussian_process import kernels as sk

from . import kernels
from ._base import BaseGaussianProcess
from ._version import __version__
from .classification import GaussianProcessClassifier
from .kernels.operators import Compound
from .likelihoods import Bernoulli, Gaussian, Likelihood, Softmax, StudentT
from .posterior import Posterior, pack, unpack
from .regression import GaussianProcessRegressor
from .streaming import Stream
from .structures import Data

__all__ = ["load", "save"]

# Raised whenever an older skgpng could no longer read what is written, also by a new attribute.
_FORMAT = 2
_HEADER = "header.json"
# JSON of so many bytes takes some hundred megabytes at worst; 200,000 names of columns fit.
_LARGEST_HEADER = 2**24
# Characters of an array of text, at the width of its longest.
_LARGEST_TEXT = 2**24
_MOST_DIMENSIONS = 8

_ESTIMATORS: dict[str, type[BaseGaussianProcess]] = {
    cls.__name__: cls for cls in (GaussianProcessClassifier, GaussianProcessRegressor)
}
_KERNELS = {
    cls.__name__: cls
    for cls in (
        sk.CompoundKernel,
        sk.ConstantKernel,
        sk.DotProduct,
        sk.Exponentiation,
        sk.ExpSineSquared,
        sk.Matern,
        sk.Product,
        sk.RationalQuadratic,
        sk.RBF,
        sk.Sum,
        sk.WhiteKernel,
    )
}
_LIKELIHOODS: dict[str, dict[str, Callable[[dict], Likelihood]]] = {
    "GaussianProcessRegressor": {
        "Gaussian": lambda stored: Gaussian(),
        "StudentT": lambda stored: StudentT(),
    },
    "GaussianProcessClassifier": {
        "Bernoulli": lambda stored: Bernoulli(),
        "Softmax": lambda stored: Softmax(len(stored["classes_"])),
    },
}
# Parameters of kernels that are kernels.
_OPERANDS = ("k1", "k2", "kernel")
# What reading a damaged archive raises; a RuntimeError where it claims to be encrypted.
_UNREADABLE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    EOFError,
    KeyError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
)


def save(estimator: Any, path: Any) -> None:
    """Write an estimator, fitted or not, to one file without pickle.

    The file holds arrays and JSON only, and :func:`load` runs no code from it. What is there
    before is replaced once the new file is complete: on a full disk it stays as it is.

    Parameters
    ----------
    estimator : GaussianProcessRegressor or GaussianProcessClassifier
    path : str or os.PathLike
        ``.skgpng`` is a good ending; none is added.

    Raises
    ------
    TypeError
        ``estimator`` is something else (a pipeline, a subclass).
    ValueError
        It holds what a file cannot: a kernel class of your own, a ``RandomState`` instance,
        labels other than numbers and text, or attributes that skgpng did not set. The message
        names it; pickle is the alternative.
    OSError
        From the file system.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import skgpng
    >>> X = np.linspace(0, 6, 40)[:, None]
    >>> model = skgpng.GaussianProcessRegressor(random_state=0).fit(X, np.sin(X[:, 0]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.skgpng")
    ...     skgpng.save(model, path)
    ...     same = skgpng.load(path)
    >>> print(np.array_equal(same.predict(X), model.predict(X)))
    True
    """
    header, arrays = _taken_apart(estimator)
    text = json.dumps(header, allow_nan=False).encode()
    if len(text) > _LARGEST_HEADER:
        raise ValueError(
            f"The estimator has {len(text):,} bytes of settings, labels and names of columns; "
            f"a file takes {_LARGEST_HEADER:,}. Use pickle."
        )
    with _replacing(path) as file:
        _write_archive(file, text, arrays)


def load(path: Any) -> Any:
    """Read an estimator that :func:`save` wrote; no code in the file is run.

    Predictions are those of the estimator saved, to the last bit; ``partial_fit`` and
    ``warm_start`` go on where it ended.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    GaussianProcessRegressor or GaussianProcessClassifier

    Raises
    ------
    ValueError
        The file is damaged, was not written by :func:`save`, or was written by a newer skgpng;
        the message names the file and what is wrong.
    OSError
        From the file system, such as a file that is not there.

    Examples
    --------
    >>> import os, tempfile
    >>> import skgpng
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.skgpng")
    ...     skgpng.save(skgpng.GaussianProcessClassifier(n_inducing=20), path)
    ...     print(skgpng.load(path))
    GaussianProcessClassifier(n_inducing=20)
    """
    content = Path(path).read_bytes()
    try:
        return _put_together(*_read_archive(content))
    except (ValueError, RecursionError) as error:  # a header of a thousand nested lists
        raise ValueError(f"{os.fspath(path)!r} cannot be loaded: {error}") from error


def _check(condition: Any, message: str) -> None:
    if not condition:
        raise ValueError(message)


# --- estimators: to a header of JSON and named arrays, and back ------------------------------


def _taken_apart(estimator: Any) -> tuple[dict, dict[str, np.ndarray]]:
    name = type(estimator).__name__
    if type(estimator) is not _ESTIMATORS.get(name):
        raise TypeError(
            f"save takes a {' or a '.join(_ESTIMATORS)}, not a {name}. Save the estimator in it, "
            "or pickle the whole."
        )
    estimator._validate_params()
    tree = _Encoder()
    parameters = estimator.get_params(deep=False)
    header = {
        "format": _FORMAT,
        "skgpng": __version__,
        "estimator": name,
        "parameters": {k: tree.encode(v, k) for k, v in parameters.items()},
        "attributes": None,
    }
    if estimator.kernel is not None:
        kernels.parse(estimator.kernel)  # what fit refuses, load refuses
    learned = {k: v for k, v in vars(estimator).items() if k not in parameters}
    if learned:
        stored = _stored(name, learned)
        _check_nothing_is_lost(_learned(name, stored), learned)
        stored["_posterior"] = pack(stored["_posterior"])
        header["attributes"] = {k: tree.encode(v, k) for k, v in stored.items()}
    header["arrays"] = {k: [a.dtype.str, list(a.shape)] for k, a in tree.arrays.items()}
    return header, tree.arrays


def _put_together(header: dict, arrays: dict[str, np.ndarray]) -> Any:
    name, decoder = header["estimator"], _Decoder(arrays)
    parameters = decoder.each(header["parameters"])
    cls = _ESTIMATORS[name]
    unknown = parameters.keys() - cls().get_params(deep=False).keys()
    _check(not unknown, f"{name} has no parameters {sorted(unknown)}.")
    estimator = cls(**parameters)
    estimator._validate_params()
    if estimator.kernel is not None:
        _parsed(estimator.kernel)
    if header["attributes"] is not None:
        stored = decoder.each(header["attributes"])
        estimator.__dict__.update(_learned(name, _with_records(stored)))
    unused = arrays.keys() - decoder.used
    _check(not unused, f"it holds arrays that nothing refers to: {sorted(unused)[:3]}.")
    return estimator


# --- fitted attributes -----------------------------------------------------------------------

_RECORDS: dict[str, Any] = {"_posterior": Posterior, "_stream": Stream, "_exact_data": Data}
_FIELDS = {
    "both": {
        "n_features_in_",
        "kernel_",
        "_likelihood",
        "_likelihood_values",
        "_posterior",
        "_spread",
        "elbo_curve_",
        "elbo_",
        "n_iter_",
        "converged_",
        "jitter_",
        "n_rejected_steps_",
        "n_corrected_steps_",
        "validation_scores_",
        "_stream",
    },
    "GaussianProcessRegressor": {
        "_y_mean",
        "_y_std",
        "_y_spread",
        "_fixed_noise",
        "noise_variance_",
        "likelihood_",
        "_exact_data",
    },
    "GaussianProcessClassifier": {"classes_"},
    "derived": {"_kernel_structure", "_kernel_values", "inducing_points_"},
    "optional": {"feature_names_in_"},
}


def _stored(name: str, learned: dict) -> dict:
    """Of the fitted attributes those that a file holds; ValueError for others than are known."""
    needed = _FIELDS["both"] | _FIELDS[name]
    known = needed | _FIELDS["derived"] | _FIELDS["optional"]
    unknown = sorted(learned.keys() - known)
    _check(
        not unknown,
        f"The estimator has attributes that save does not know: {', '.join(unknown)}. Delete what "
        "you have set yourself, or use pickle.",
    )
    missing = sorted((needed | _FIELDS["derived"]) - learned.keys())
    _check(not missing, f"The estimator has lost attributes of its fit: {', '.join(missing)}.")
    stored = {k: v for k, v in learned.items() if k not in _FIELDS["derived"]}
    stored["_likelihood"] = type(learned["_likelihood"]).__name__
    return stored


def _check_nothing_is_lost(derived: dict, learned: dict) -> None:
    """ValueError where what :func:`load` would derive is not what the estimator has."""
    for name, value in derived.items():
        _check(
            value is learned[name] or _equal(value, learned[name]),
            f"{name} does not fit to the other attributes of the estimator: one of them was "
            "changed after fit. Use pickle to keep it so.",
        )


def _equal(a: Any, b: Any) -> bool:
    """Whether two attributes are the same to the last bit."""
    if isinstance(a, np.ndarray):
        return (
            isinstance(b, np.ndarray)
            and (a.dtype, a.shape) == (b.dtype, b.shape)
            and bool(np.all((a == b) | ((a != a) & (b != b))))
        )
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    return bool(a == b)


def _with_records(stored: dict) -> dict:
    """Decoded attributes with the records that a file holds as dictionaries."""
    records = {}
    for name, cls in _RECORDS.items():
        fields = stored.get(name)
        if fields is None:  # missing, or none of its kind
            continue
        _check(
            type(fields) is dict and fields.keys() == set(cls._fields),
            f"{name} has other parts than {', '.join(cls._fields)}.",
        )
        records[name] = cls(**fields)
    if "_posterior" in records:
        records["_posterior"] = _with_matrices(records["_posterior"])
    return {**stored, **records}


def _with_matrices(p: Any) -> Posterior:
    """A posterior from one with the lower triangles of its matrices; no larger than the file."""
    M = len(_array(p.points, "_posterior.points", None, None))
    for name in ("root", "precision_root"):
        _array(getattr(p, name), f"_posterior.{name}", None, M * (M + 1) // 2)
    return unpack(p)


def _learned(name: str, stored: dict) -> dict:
    """Every fitted attribute, checked against the others."""
    needed = _FIELDS["both"] | _FIELDS[name]
    missing, unknown = needed - stored.keys(), stored.keys() - needed - _FIELDS["optional"]
    _check(
        not missing | unknown,
        f"attributes are missing ({sorted(missing)}) or unknown ({sorted(unknown)}).",
    )
    sizes = _sizes(name, stored)
    parsed = _parsed(stored["kernel_"])
    _check_kernel(name, parsed, sizes)
    _check_reports(stored, sizes)
    _check_stream(stored["_stream"], sizes)
    (_check_regressor if name == "GaussianProcessRegressor" else _check_classifier)(stored, sizes)
    p = stored["_posterior"]
    return {
        **stored,
        "_likelihood": _likelihood(name, stored),
        "_kernel_structure": parsed.structure,
        "_kernel_values": tuple(value[()] for value in parsed.values),
        # the same array as in the posterior, as after fit
        "inducing_points_": p.points if len(p.precision_root) else None,
    }


class _Sizes(NamedTuple):
    """Columns of X, rows of the posterior, latent functions, columns of Y; number of classes."""

    D: int
    M: int
    L: int
    P: int
    n_classes: int


def _sizes(name: str, stored: dict) -> _Sizes:
    """Of the posterior, whose arrays must agree."""
    D, p = stored["n_features_in_"], stored["_posterior"]
    _check(isinstance(p, Posterior), "_posterior is missing.")
    _check(type(D) is int and D >= 1, f"n_features_in_ is {D!r:.60}.")
    M = len(_array(p.points, "_posterior.points", None, D))
    L = _array(p.weights, "_posterior.weights", M, None).shape[1]
    _check(M >= 1 and L >= 1, "the posterior has no points, or no latent function.")
    for k, array in ("root", p.root), ("precision_root", p.precision_root):
        _array(array, f"_posterior.{k}", None, M, M)
        allowed = {1, L} if k == "root" else {0, 1, L}
        _check(
            len(array) in allowed, f"_posterior.{k} has {len(array)} matrices for {L} functions."
        )
    if name == "GaussianProcessRegressor":
        return _Sizes(D, M, L, L, 0)
    classes = _classes(stored["classes_"])
    wanted = 1 if len(classes) == 2 else len(classes)
    _check(wanted == L, f"{L} latent functions do not fit {len(classes)} classes.")
    return _Sizes(D, M, L, 1, len(classes))


def _parsed(kernel: Any) -> kernels.ParsedKernel:
    try:
        return kernels.parse(kernel)
    except TypeError as error:
        raise ValueError(str(error)) from error


def _check_kernel(name: str, parsed: kernels.ParsedKernel, sizes: _Sizes) -> None:
    kernels.check_columns(parsed, np.zeros((1, sizes.D)))
    if parsed.structure.formula is Compound:
        n = len(parsed.structure.operands)
        _check(
            n == sizes.L and name == "GaussianProcessClassifier",
            f"kernel_ is a CompoundKernel of {n} kernels for {sizes.L} latent functions.",
        )


def _likelihood(name: str, stored: dict) -> Likelihood:
    given, values = stored["_likelihood"], stored["_likelihood_values"]
    _check(
        type(given) is str and given in _LIKELIHOODS[name],
        f"the likelihood of a {name} is {given!r:.60}.",
    )
    likelihood = _LIKELIHOODS[name][given](stored)
    if name == "GaussianProcessClassifier":
        _check((given == "Bernoulli") == (len(stored["classes_"]) == 2), f"{given} for classes_.")
    names = likelihood.parameter_names
    _check(type(values) is tuple and len(values) == len(names), f"{given} has {names}.")
    for value, parameter in zip(values, names, strict=True):
        # without a variance (df of 2 and less) there would be no standard deviation to predict
        _check(_number(value, parameter) >= 0, f"{parameter} of the noise is {value!r}.")
        _check(parameter != "df" or value > 2, f"df of the noise is {value!r}.")
        _check(parameter != "scale" or value > 0, f"scale of the noise is {value!r}.")
    return likelihood


def _check_reports(stored: dict, sizes: _Sizes) -> None:
    """What says how training went."""
    if np.any(_array(stored["_spread"], "_spread", sizes.D) < 0):
        raise ValueError("_spread is negative.")
    _array(stored["elbo_curve_"], "elbo_curve_", None, finite=False)
    _check(type(stored["elbo_"]) is float, "elbo_ is no number.")
    _number(stored["jitter_"], "jitter_")
    for name in ("n_iter_", "n_rejected_steps_", "n_corrected_steps_"):
        _check(type(stored[name]) is int and stored[name] >= 0, f"{name} is no count.")
    _check(type(stored["converged_"]) is bool, "converged_ is neither true nor false.")
    if stored["validation_scores_"] is not None:
        _array(stored["validation_scores_"], "validation_scores_", None, finite=False)
    names = stored.get("feature_names_in_")
    if "feature_names_in_" in stored:
        _check(
            isinstance(names, np.ndarray)
            and names.dtype == object
            and names.shape == (sizes.D,)
            and all(isinstance(name, str) for name in names),
            "feature_names_in_ is no name for each feature.",
        )


def _check_regressor(stored: dict, sizes: _Sizes) -> None:
    _array(stored["_y_mean"], "_y_mean", sizes.P)
    _check(np.all(_array(stored["_y_std"], "_y_std", sizes.P) > 0), "_y_std is not positive.")
    for name in ("_y_spread", "_fixed_noise"):
        _check(_number(stored[name], name) >= 0, f"{name} is negative.")
    _check_reported_noise(stored["noise_variance_"], sizes.P)
    _check(type(stored["likelihood_"]) is dict, "likelihood_ is no dictionary.")
    for key, value in stored["likelihood_"].items():
        _check(key in ("variance", "scale", "df"), f"likelihood_ has {key!r:.60}.")
        _check_reported_noise(value, sizes.P)
    data = stored["_exact_data"]
    if data is not None:
        _check_rows(data[:4], sizes)
        _array(data.X_scale, "_exact_data.X_scale", sizes.D)
        _check(data.memory == (), "_exact_data has a memory.")


def _check_reported_noise(value: Any, n_targets: int) -> None:
    """A number, or one for each of several targets; it may be infinite."""
    if isinstance(value, np.ndarray):
        value = _array(value, "the noise", n_targets, finite=False)
    else:
        _check(type(value) is float, f"the noise is {value!r:.60}.")
    _check(np.all(value >= 0), "the noise is negative.")


def _check_classifier(stored: dict, sizes: _Sizes) -> None:
    """Labels of rows kept must be positions in ``classes_``."""
    if stored["_stream"].rows:
        Y = stored["_stream"].rows[1]
        _check(np.isin(Y, np.arange(sizes.n_classes)).all(), "rows kept have unknown labels.")


def _classes(classes: Any) -> np.ndarray:
    """``classes_``, which are sorted and differ."""
    _check(
        isinstance(classes, np.ndarray) and classes.ndim == 1 and len(classes) >= 2,
        "classes_ are no two classes or more.",
    )
    try:
        ordered = bool(np.all(classes[:-1] < classes[1:]))
    except TypeError:  # of text and numbers
        ordered = False
    _check(ordered, "classes_ are not in their order, or two are the same.")
    return classes


def _check_stream(stream: Any, sizes: _Sizes) -> None:
    _check(isinstance(stream, Stream), "_stream is missing.")
    for name in ("n_seen", "n_trained", "unexplained"):
        _number(getattr(stream, name), name)
    if stream.rows != ():
        _check_rows(stream.rows, sizes)


def _check_rows(rows: Any, sizes: _Sizes) -> None:
    """X, Y, weights and noise of training rows."""
    _check(type(rows) is tuple and len(rows) == 4, "rows are not X, Y, weights and noise.")
    X, Y, weights, noise = rows
    N = len(_array(X, "X", None, sizes.D, dtypes=("<f8", "<f4")))
    _array(Y, "Y", N, sizes.P)
    _check(N >= 1 and np.all(_array(weights, "weights", N) > 0), "weights are not positive.")
    _check(np.all(_array(noise, "noise of rows", N) >= 0), "noise of rows is negative.")


def _array(
    value: Any, name: str, *shape: int | None, finite: bool = True, dtypes: tuple = ("<f8",)
) -> np.ndarray:
    """The value, if it is an array of floats of this shape; ``None`` stands for any length."""
    _check(isinstance(value, np.ndarray) and value.dtype.str in dtypes, f"{name} are no floats.")
    fits = len(shape) == value.ndim and all(
        there == wanted or wanted is None for there, wanted in zip(value.shape, shape, strict=True)
    )
    _check(fits, f"{name} has the shape {value.shape}, which does not fit.")
    _check(not finite or np.isfinite(value).all(), f"{name} has values that are not finite.")
    return value


def _number(value: Any, name: str) -> float:
    """The value, if it is a finite float."""
    _check(isinstance(value, float) and math.isfinite(value), f"{name} is {value!r:.60}.")
    return value


# --- values as JSON --------------------------------------------------------------------------


class _Encoder:
    """Values to trees that JSON can hold; arrays are put aside by name.

    What JSON has no form for is a dictionary with one entry, whose key says what it is.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._names: dict[int, str] = {}

    def encode(self, value: Any, name: str) -> Any:
        """The tree of a value; ``name`` is for messages and arrays."""
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if type(value) is list:
            return self._items(value, name)
        if type(value) is tuple:
            return {"tuple": self._items(value, name)}
        if type(value) is dict:
            return {"dict": self._pairs(value, name)}
        if isinstance(value, (Posterior, Stream, Data)):
            return {"dict": self._pairs(value._asdict(), name)}
        if isinstance(value, np.generic):
            return self._scalar(value, name)
        if type(value) is np.ndarray:
            return self._array(value, name)
        return self._kernel(value, name)

    def _items(self, values: Any, name: str) -> list:
        return [self.encode(v, f"{name}.{k}") for k, v in enumerate(values)]

    def _pairs(self, values: dict, name: str) -> list:
        return [[self.encode(k, name), self.encode(v, f"{name}.{k}")] for k, v in values.items()]

    def _scalar(self, value: np.generic, name: str) -> Any:
        if value.dtype.kind == "U":
            return str(value)
        if value.dtype.str not in _NUMBERS:
            raise _refusal(value, name)
        return {"scalar": [value.dtype.str, self.encode(value.item(), name)]}

    def _array(self, value: np.ndarray, name: str) -> Any:
        if value.dtype.kind in "UO":
            return self._text(value, name)
        if value.dtype.str not in _NUMBERS or value.ndim > _MOST_DIMENSIONS:
            raise _refusal(value, name)
        if id(value) not in self._names:  # one member for one array, wherever it is used
            if name in self.arrays or not re.fullmatch(r"[\w.]+", name, re.ASCII):
                name = f"array{len(self.arrays)}"  # below a key that makes no good name of a file
            self._names[id(value)] = name
            self.arrays[name] = value
        return {"array": self._names[id(value)]}

    def _text(self, value: np.ndarray, name: str) -> Any:
        items = value.tolist()
        if value.ndim != 1 or not all(isinstance(item, _PLAIN) for item in items):
            raise _refusal(value, name)
        width = value.dtype.itemsize // 4 if value.dtype.kind == "U" else None
        if width is not None and width * len(items) > _LARGEST_TEXT:
            raise _refusal(value, name)
        items = [str(v) if isinstance(v, str) else self.encode(v, name) for v in items]
        return {"text": [width, items]}

    def _kernel(self, value: Any, name: str) -> Any:
        cls = type(value).__name__
        if type(value) is not _KERNELS.get(cls):
            raise _refusal(value, name)
        values = value.get_params(deep=False)
        return {"kernel": [cls, {k: self.encode(v, f"{name}.{k}") for k, v in values.items()}]}


# Types of numbers that arrays may have, by order of bytes, kind and size.
_NUMBERS = {
    np.dtype(order + kind).str
    for order in "<>"
    for kind in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
}
# What an array of objects may hold.
_PLAIN = (str, bool, int, float)


def _refusal(value: Any, name: str) -> ValueError:
    """What to say of a value that a file cannot hold."""
    if isinstance(value, (np.random.RandomState, np.random.Generator)):
        why = "a file takes an integer or None; use set_params(random_state=...)"
    elif isinstance(value, sk.Kernel):
        why = f"a file takes kernels of scikit-learn that skgpng knows ({', '.join(_KERNELS)})"
    else:
        why = "a file takes numbers, text, lists, dictionaries and arrays of them"
    kind = f"array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
    return ValueError(f"{name} holds a {kind}, which save refuses: {why}, or use pickle.")


class _Decoder:
    """Trees back to values. What is not of a known form raises ValueError."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self._arrays = arrays
        self.used: set[str] = set()

    def each(self, trees: Any) -> dict:
        """Values of a JSON object's entries."""
        _check(type(trees) is dict, "the header has another form than save writes.")
        return {name: self.decode(tree) for name, tree in trees.items()}

    def decode(self, tree: Any) -> Any:
        """Value of a tree."""
        if tree is None or type(tree) in (bool, int, float, str):
            return tree
        if type(tree) is list:
            return [self.decode(item) for item in tree]
        (kind, content), *others = tree.items() or [("nothing", None)]
        known: dict[str, Callable] = {
            "array": self._array,
            "dict": self._dict,
            "float": _infinity,
            "kernel": self._kernel,
            "scalar": _scalar,
            "text": _text,
            "tuple": self._tuple,
        }
        _check(not others and kind in known, f"it holds a value of an unknown kind {kind!r:.60}.")
        return known[kind](content)

    def _array(self, name: Any) -> np.ndarray:
        _check(type(name) is str and name in self._arrays, f"there is no array {name!r:.60}.")
        self.used.add(name)
        return self._arrays[name]

    def _tuple(self, items: Any) -> tuple:
        _check(type(items) is list, "a tuple has no items.")
        return tuple(self.decode(item) for item in items)

    def _dict(self, pairs: Any) -> dict:
        _check(
            type(pairs) is list and all(type(p) is list and len(p) == 2 for p in pairs),
            "a dictionary has no pairs.",
        )
        keys = [self.decode(key) for key, _ in pairs]
        _check(
            all(k is None or isinstance(k, (*_PLAIN, np.generic)) for k in keys),
            "a dictionary has keys of an unknown kind.",
        )
        return {k: self.decode(value) for k, (_, value) in zip(keys, pairs, strict=True)}

    def _kernel(self, content: Any) -> Any:
        name, trees = _pair(content)
        _check(type(name) is str and name in _KERNELS, f"there is no kernel {name!r:.60}.")
        values, cls = self.each(trees), _KERNELS[name]
        _check(
            values.keys() == set(inspect.signature(cls).parameters), f"{name} has other parameters."
        )
        if cls is sk.CompoundKernel:
            _check(type(values["kernels"]) is list, "a CompoundKernel has no kernels.")
        operands = [v for k, v in values.items() if k in _OPERANDS] + values.get("kernels", [])
        _check(all(isinstance(k, sk.Kernel) for k in operands), f"{name} has no kernels.")
        return _printable(cls(**values))


def _printable(kernel: Any) -> Any:
    """The kernel, if messages about it can be written: values of wrong types raise anything."""
    try:
        with np.errstate(all="ignore"):
            repr(kernel)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"a {type(kernel).__name__} has values of a wrong type.") from error
    return kernel


def _pair(content: Any) -> list:
    _check(type(content) is list and len(content) == 2, "a value is not made of two parts.")
    return content


def _infinity(text: Any) -> float:
    _check(text in ("inf", "-inf", "nan"), f"{text!r:.60} is no float.")
    return float(text)


def _scalar(content: Any) -> np.generic:
    dtype, value = _pair(content)
    _check(type(dtype) is str and dtype in _NUMBERS, f"{dtype!r:.60} is no type of number.")
    value = _infinity(value.get("float")) if type(value) is dict else value
    _check(type(value) in (bool, int, float), "a number is none.")
    try:
        return np.dtype(dtype).type(value)
    except OverflowError as error:
        raise ValueError(f"{value!r:.60} is no {dtype}.") from error


def _text(content: Any) -> np.ndarray:
    """An array of text of a fixed width, or of objects where that is ``None``."""
    width, items = _pair(content)
    _check(type(items) is list, "text is no list.")
    if width is None:
        _check(all(type(item) in _PLAIN for item in items), "text is of an unknown kind.")
        array = np.empty(len(items), dtype=object)
        array[:] = items
        return array
    _check(
        all(type(item) is str for item in items)
        and type(width) is int
        and 0 < width * max(len(items), 1) <= _LARGEST_TEXT
        and all(len(item) <= width for item in items),
        "text does not fit into its width.",
    )
    return np.array(items, dtype=f"<U{width}")


# --- files -----------------------------------------------------------------------------------


@contextlib.contextmanager
def _replacing(path: Any) -> Iterator[Any]:
    """A file to write that takes the place of ``path`` when all is on the disk."""
    target = Path(os.path.realpath(path))  # where it is a link, what it leads to is replaced
    with contextlib.suppress(FileNotFoundError):
        _check(
            stat.S_ISREG(target.stat().st_mode) or target.is_dir(),
            f"{str(target)!r} is a device or a pipe: it cannot be replaced by a file.",
        )
    new = target.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        with open(new, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            new.chmod(stat.S_IMODE(target.stat().st_mode))
        os.replace(new, target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _write_archive(file: Any, header: bytes, arrays: dict[str, np.ndarray]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        # a ZipInfo without a time: the same model gives the same file
        archive.writestr(zipfile.ZipInfo(_HEADER), header)
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy")
            start = _npy_header(array.dtype.str, array.shape)
            info.file_size = len(start) + array.nbytes
            with archive.open(info, "w") as member:
                member.write(start)
                member.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _read_archive(content: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    """Header and arrays of a file, each of the shape that the header gives."""
    _check(content[:2] != b"\x80\x05" and content[:2] != b"\x80\x04", "it looks like a pickle.")
    _check(content[:2] == b"PK", "it was not written by skgpng.save.")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            header = _read_header(archive)
            return header, _read_arrays(archive, header["arrays"], _members(archive, len(content)))
    except _UNREADABLE as error:
        raise ValueError(str(error)) from error


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, int]:
    """Name and size of each member; none is compressed, and together they fit into the file."""
    members = archive.infolist()
    _check(
        all(
            m.compress_type == zipfile.ZIP_STORED and m.compress_size == m.file_size
            for m in members
        ),
        "its members are compressed.",
    )
    _check(sum(m.file_size for m in members) <= size, "its members are larger than the file.")
    sizes = {m.filename: m.file_size for m in members}
    _check(len(sizes) == len(members), "two of its members have one name.")
    return sizes


def _read_header(archive: zipfile.ZipFile) -> dict:
    """The parsed header, its outermost form checked; ValueError for a newer format first."""
    info = archive.getinfo(_HEADER)
    _check(info.compress_type == zipfile.ZIP_STORED, "its header is compressed.")
    _check(info.file_size <= _LARGEST_HEADER, "its header is too large.")
    header = json.loads(archive.read(_HEADER), parse_constant=_infinity_refused)
    _check(type(header) is dict and type(header.get("format")) is int, "it has no format.")
    version = header.get("skgpng")
    _check(
        header["format"] <= _FORMAT,
        f"it was written by skgpng {version!r:.60} in format {header['format']}, but this is "
        f"skgpng {__version__}, which reads formats up to {_FORMAT}. Upgrade skgpng.",
    )
    _check(header["format"] >= 1, f"there is no format {header['format']}.")
    _check(
        header["format"] != 1,
        "format 1 was written by a skgpng before 0.1.0, with other matrices: fit again.",
    )
    parts = {"format", "skgpng", "estimator", "parameters", "attributes", "arrays"}
    _check(header.keys() == parts, "its header has other parts than save writes.")
    name = header["estimator"]
    _check(type(name) is str and name in _ESTIMATORS, f"there is no estimator {name!r:.60}.")
    return header


def _infinity_refused(text: str) -> None:
    raise ValueError(f"its header holds {text}, which is not JSON.")


def _read_arrays(archive: zipfile.ZipFile, declared: Any, sizes: dict) -> dict[str, np.ndarray]:
    _check(type(declared) is dict, "its header declares no arrays.")
    names = {_HEADER, *(f"{name}.npy" for name in declared)}
    _check(names == sizes.keys(), "its members are not those that its header declares.")
    return {
        name: _read_array(archive.read(f"{name}.npy"), name, *_pair(declared[name]))
        for name in declared
    }


def _read_array(member: bytes, name: str, dtype: Any, shape: Any) -> np.ndarray:
    """A ``.npy`` member, which must begin as one of this type and shape does.

    So its own header need not be parsed: it cannot ask for another type, such as pickled objects.
    """
    _check(type(dtype) is str and dtype in _NUMBERS, f"{name} is of type {dtype!r:.60}.")
    _check(
        type(shape) is list
        and len(shape) <= _MOST_DIMENSIONS
        and all(type(n) is int and 0 <= n < 2**48 for n in shape),
        f"{name} has the shape {shape!r:.60}.",
    )
    start, shape = _npy_header(dtype, tuple(shape)), tuple(shape)
    size = len(start) + math.prod(shape) * np.dtype(dtype).itemsize
    _check(
        member.startswith(start) and len(member) == size,
        f"{name} is not the array of type {dtype} and shape {shape} that the header declares.",
    )
    return np.frombuffer(member, dtype, offset=len(start)).reshape(shape).copy()


def _npy_header(dtype: str, shape: tuple) -> bytes:
    """First bytes of a ``.npy`` file, version 1.0."""
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    text = text + b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text
