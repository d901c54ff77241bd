"""Estimators as files that run no code when they are loaded, by skops.

What is stored is arrays, numbers, text and the parameters of kernels and likelihoods; each type in
a file has to be known here or named by whoever loads it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from sklearn import model_selection
from sklearn.gaussian_process import kernels as scikit_learn_kernels

from . import kernels, likelihoods
from .classification import GaussianProcessClassifier
from .regression import GaussianProcessRegressor

__all__ = ["load", "save"]


def save(estimator: Any, path: Any) -> None:
    """Write an estimator, or a pipeline or search that holds one, to one file without pickle.

    What is there before is replaced once the new file is complete: on a full disk it stays.

    Parameters
    ----------
    estimator : estimator
        Fitted or not.
    path : str or os.PathLike
        ``.skops`` is a good ending; none is added.

    Raises
    ------
    ImportError
        Where skops is not installed (``pip install skops``).
    ValueError
        For what skops cannot write, such as a function that was defined in the terminal.
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
    ...     path = os.path.join(folder, "model.skops")
    ...     skgpng.save(model, path)
    ...     same = skgpng.load(path)
    >>> print(np.array_equal(same.predict(X), model.predict(X)))
    True
    """
    skops = _skops()
    try:
        content = skops.dumps(estimator)
    except (skops.exceptions.UnsupportedTypeException, TypeError) as error:
        raise ValueError(
            f"{type(estimator).__name__} cannot be saved: {error}. Distributions as priors cannot, "
            "set_params(priors=None) leaves them out."
        ) from error
    with _replacing(path) as file:
        file.write(content)


def load(path: Any, trusted: Sequence[str | type] = ()) -> Any:
    """Read what :func:`save` wrote; no code in the file is run.

    Predictions are those of the estimator saved, to the last bit; ``partial_fit`` and
    ``warm_start`` go on where it ended.

    Parameters
    ----------
    path : str or os.PathLike
    trusted : sequence of str or type, default=()
        Classes besides those of scikit-learn and skgpng that may be in the file, such as a kernel
        of your own; as :func:`skops.io.get_untrusted_types` names them.

    Returns
    -------
    estimator

    Raises
    ------
    ImportError
        Where skops is not installed (``pip install skops``).
    ValueError
        The file is damaged, was not written by :func:`save`, holds a type that is not trusted, or
        was written by another version's form of state; the message names the file and the reason.
    OSError
        From the file system, such as a file that is not there.

    Examples
    --------
    >>> import os, tempfile
    >>> import skgpng
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.skops")
    ...     skgpng.save(skgpng.GaussianProcessClassifier(n_inducing=20), path)
    ...     print(skgpng.load(path))
    GaussianProcessClassifier(n_inducing=20)
    """
    skops, content = _skops(), Path(path).read_bytes()
    try:
        return skops.loads(content, trusted=[*_OURS, *trusted])
    except skops.exceptions.UntrustedTypesFoundException as error:
        raise ValueError(
            f"{os.fspath(path)!r} holds types that are not trusted: {error} Pass those that you "
            "know as load(path, trusted=[...])."
        ) from error
    # Damaged files end in whatever skops and NumPy meet first; Ctrl-C and lack of memory pass.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{os.fspath(path)!r} cannot be loaded ({reason:.200}).") from error


def _skops() -> Any:
    """The module, imported when it is needed."""
    try:
        import skops.io
    except ImportError as error:
        raise ImportError("save and load need skops: pip install skops, or use pickle.") from error
    return skops.io


def _classes_of(module: ModuleType, base: type) -> list[str]:
    """Names of the classes of a module that extend another."""
    found = [v for v in vars(module).values() if isinstance(v, type) and issubclass(v, base)]
    return [f"{cls.__module__}.{cls.__name__}" for cls in found]


# A kernel has parameters only; no code of theirs that a file could choose is run. Searches hold how
# they split rows and, where they are given no scoring, what stands for it.
_OURS = sorted(
    {
        *_classes_of(scikit_learn_kernels, scikit_learn_kernels.Kernel),
        *_classes_of(kernels, scikit_learn_kernels.Kernel),
        *_classes_of(likelihoods, likelihoods.Likelihood),
        *_classes_of(model_selection, model_selection.BaseCrossValidator),
        "sklearn.metrics._scorer._PassthroughScorer",
        *(
            f"{c.__module__}.{c.__name__}"
            for c in (GaussianProcessClassifier, GaussianProcessRegressor)
        ),
        # named only, as Dask need not be there
        "skgpng.dask.GaussianProcessClassifier",
        "skgpng.dask.GaussianProcessRegressor",
    }
)


@contextlib.contextmanager
def _replacing(path: Any) -> Iterator[Any]:
    """A file to write that takes the place of ``path`` when all is on the disk."""
    target = Path(os.path.realpath(path))  # where it is a link, what it leads to is replaced
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise ValueError(f"{str(target)!r} is a device or a pipe: it cannot be replaced by a file.")
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
