"""What the benchmarks share: data sets, one process for each library, tables, the machine.

Scripts run parts of themselves in other interpreters, so that only the standard library and NumPy
are imported here.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import importlib
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
#: Module to import, and packages whose versions count, of each library.
LIBRARIES = {
    "skgpng": ("skgpng", ["skgpng", "tensorflow", "scikit-learn"]),
    "gpflow": ("gpflow", ["gpflow", "tensorflow"]),
    "gpytorch": ("gpytorch", ["gpytorch", "torch"]),
    "gpjax": ("gpjax", ["gpjax", "jax"]),
    "scikit-learn": ("sklearn", ["scikit-learn"]),
}
COLOURS = {
    "skgpng": "tab:blue",
    "gpflow": "tab:orange",
    "gpytorch": "tab:red",
    "gpjax": "tab:green",
    "scikit-learn": "tab:grey",
}


# --- arguments -------------------------------------------------------------------------------


def add_output(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", type=Path, help="file for report.py")


def add_peers(parser: argparse.ArgumentParser) -> None:
    """``--python``, ``--repeats`` and what a script passes to itself."""
    parser.add_argument(
        "--python",
        nargs="*",
        default=[],
        metavar="LIBRARY=INTERPRETER",
        help="where each library is installed; without it, in the interpreter that runs this",
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--worker", choices=LIBRARIES, help=argparse.SUPPRESS)


def add_data(parser: argparse.ArgumentParser) -> None:
    """``--data-folder``."""
    given = os.environ.get("SKGPNG_DATA")
    parser.add_argument(
        "--data-folder",
        type=Path,
        default=Path(given) if given else None,
        help="folder with a module load.py that has load, info and standardize, in the place of "
        "downloads from OpenML; the environment variable SKGPNG_DATA is its default",
    )


# --- data ------------------------------------------------------------------------------------


class Rows(NamedTuple):
    """Standardised training and test rows; densities of y are those of scaled y times 1/scale."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    scale: float


def data_sets(folder: Path | None) -> types.ModuleType:
    """The ``load.py`` of the folder; without one, the sets of OpenML."""
    if folder is None:
        return importlib.import_module("_openml")
    if not (folder / "load.py").is_file():
        raise SystemExit(f"{folder} has no load.py: without --data-folder sets come from OpenML")
    spec = importlib.util.spec_from_file_location("load", folder / "load.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(
    folder: Path | None, name: str, split: int, n_rows: int | None = None
) -> tuple[bool, Rows]:
    """Whether y holds labels 0 and 1, and the rows, by the statistics of those trained on.

    ``n_rows`` keeps the first rows; of labels, by which sets may be sorted, rows drawn at random.
    """
    sets = data_sets(folder)
    X, y, splits = sets.load(name)
    train, test = splits[split]
    labels = sets.info(name)["task"] == "binary"
    if labels and n_rows is not None:
        train = train[np.random.RandomState(0).permutation(len(train))]
    *rows, _, scale = sets.standardize(X, y, train[:n_rows], test, scale_y=not labels)
    return labels, Rows(*rows, scale)


def normal_nlpd(y: np.ndarray, mean: Any, variance: Any) -> float:
    """Mean negative log density of y under independent normal distributions."""
    mean, variance = np.ravel(mean), np.ravel(variance)
    return float(np.mean(0.5 * np.log(2 * np.pi * variance) + 0.5 * (y - mean) ** 2 / variance))


def label_nlpd(y: np.ndarray, p: np.ndarray) -> float:
    """Mean negative log probability of labels 0 and 1, where p is that of 1."""
    return float(-np.mean(np.log(np.clip(np.where(y == 1, p, 1 - p), 1e-12, 1))))


# --- one process for each library ------------------------------------------------------------


def interpreters(given: list[str], wanted: list[str]) -> dict[str, str]:
    """Interpreter of each wanted library; a line about each that is nowhere to be found."""
    paths = dict(pair.split("=", 1) for pair in given)
    if unknown := set(paths) - set(LIBRARIES):
        raise SystemExit(f"--python: unknown {sorted(unknown)}; one of {list(LIBRARIES)}")
    found = {}
    for library in wanted:
        python = paths.get(library, sys.executable)
        code = (
            f"import importlib.util as u, sys; sys.exit(not u.find_spec('{LIBRARIES[library][0]}'))"
        )
        try:
            there = not subprocess.run([python, "-c", code], check=False).returncode
        except OSError:
            there = False
        if there:
            found[library] = python
        else:
            hint = "" if library in paths else f" (give --python {library}=INTERPRETER)"
            print(f"{library}: not installed in {python}, skipped{hint}")
    return found


def call(script: str, python: str, library: str, *more: str) -> list[dict]:
    """What ``script --worker LIBRARY`` prints, one dictionary for each line of JSON.

    The worker gets the arguments of this process too.
    """
    end = subprocess.run(
        [python, script, *sys.argv[1:], "--worker", library, *more],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    lines = [json.loads(s) for s in end.stdout.splitlines() if s.startswith("{")]
    if end.returncode or not lines:
        last = "\n  ".join(end.stderr.strip().splitlines()[-3:])
        print(f"{library}: failed\n  {last}", flush=True)
        return []
    return lines


def in_turns(
    script: str, libraries: dict[str, str], repeats: int, *more: str, say: Callable
) -> dict[str, list]:
    """Lines of each library and round; one library after the other, then again."""
    runs: dict[str, list] = {}
    for k in range(repeats):
        for library, python in libraries.items():
            if lines := call(script, python, library, *more):
                runs.setdefault(library, []).append(lines)
                print(f"  round {k + 1}, {library}: {say(lines)}", flush=True)
    return runs


def put(**row: Any) -> None:
    """Print a line for the process that called this worker."""
    print(json.dumps(row), flush=True)


# --- what skgpng does inside -----------------------------------------------------------------


def call_every(steps: int) -> None:
    """Have callbacks called so often, which is not a public setting."""
    from skgpng._estimator.base import BaseGaussianProcess

    BaseGaussianProcess._tuning = BaseGaussianProcess._tuning._replace(call_every=steps)


class _PlannedError(Exception):
    """Leaves ``fit`` where training would begin."""


def planned(estimator: Any, X: Any, y: Any, dtype: str | None = None) -> tuple[Callable, Any]:
    """``train(**settings)``, the loop as ``fit`` would run it with other settings, and its own.

    All steps take all rows (or batches of them): none is spent on a part of them first.
    """
    from skgpng._estimator import plan
    from skgpng._training import stages

    def stop(*arguments: Any) -> None:
        raise _PlannedError(arguments)

    if dtype is not None and "dtype" in estimator.get_params():
        estimator.set_params(dtype=dtype)
    own = stages.train
    whole = functools.partial(_on_all_rows, plan.plan_stages)
    with mock.patch.object(stages, "train", stop), mock.patch.object(plan, "plan_stages", whole):
        try:
            estimator.fit(X, y)
            raise RuntimeError("fit did not train")
        except _PlannedError as found:
            structure, parameters, each, _, _, optimizer = found.args[0]
    if dtype is not None:
        structure = structure._replace(how=structure.how._replace(dtype=dtype))

    def train(**changes: Any) -> Any:
        changed = [stage._replace(settings=stage.settings._replace(**changes)) for stage in each]
        return own(structure, parameters, changed, optimizer=optimizer)

    return train, each[0].settings


def _on_all_rows(plan_stages: Callable, *arguments: Any, **named: Any) -> Any:
    return plan_stages(*arguments, **{**named, "whole": True})


def seconds_of_steps(train: Callable, steps: int) -> float:
    """Of so many more steps: of twice as many less those of one time, so that the rest cancels."""

    def seconds(n: int) -> float:
        begin = time.perf_counter()
        result = train(max_iter=n)
        taken = time.perf_counter() - begin
        assert len(result.elbo_curve) == n
        return taken

    return seconds(2 * steps) - seconds(steps)


def peak_memory() -> int:
    """Largest resident size of this process so far, in bytes."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


# --- tables and the machine ------------------------------------------------------------------


def spread(values: list[float], digits: int = 3) -> str:
    """Median and range, with so many significant digits."""
    low, middle, high = (number(f(values), digits) for f in (min, statistics.median, max))
    return middle if low == high else f"{middle} ({low} to {high})"


def number(value: float, digits: int = 3) -> str:
    """A number with so many significant digits and no exponent."""
    if not np.isfinite(value):
        return "-"
    decimals = max(0, digits - 1 - int(np.floor(np.log10(abs(value))))) if value else 0
    return f"{value:.{decimals}f}"


def table(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown that reads well as it stands; columns of numbers to the right."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    sides = ["<" if any(row[i][:1].isalpha() for row in rows) else ">" for i in range(len(header))]
    lines = [
        "| " + " | ".join(f"{c:{s}{w}}" for c, s, w in zip(row, sides, widths)) + " |"
        for row in [header, *rows]
    ]
    rule = "|".join(
        ":" + "-" * (w + 1) if s == "<" else "-" * (w + 1) + ":" for s, w in zip(sides, widths)
    )
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def machine() -> str:
    """Processor, its widest vectors, cores, memory and system."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        entries = dict(s.split(":", 1) for s in info.read_text().splitlines() if ":" in s)
        facts = {name.strip(): value.strip() for name, value in entries.items()}
        model, flags = facts.get("model name", model), facts.get("flags", "").split()
        # virtual machines hide the model, and this matters more
        model += next((f" ({name})" for name in ("avx512f", "avx2") if name in flags), "")
    parts = [model, f"{os.cpu_count()} cores"]
    if hasattr(os, "sysconf"):
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        parts.append(f"{size:.0f} GiB")
    return ", ".join([*parts, f"{platform.system()} {platform.machine()}"])


def versions(libraries: dict[str, str]) -> str:
    """Versions of Python and of the packages, and the commit of this tree."""
    parts = [f"Python {platform.python_version()}"]
    for library, python in libraries.items():
        code = "import importlib.metadata as m, sys\nfor p in sys.argv[1:]: print(p, m.version(p))"
        packages = LIBRARIES[library][1]
        end = subprocess.run(
            [python, "-c", code, *packages], capture_output=True, text=True, check=False
        )
        lines = end.stdout.splitlines()
        parts.append(lines[0] + (f" ({', '.join(lines[1:])})" if lines[1:] else ""))
    commit = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    end = subprocess.run(commit, capture_output=True, text=True, check=False)
    return ", ".join(parts) + (f"; commit {end.stdout.strip()}" if end.stdout else "")


def command() -> str:
    """The command line, without where its output went and where interpreters are."""
    words, skip = [], False
    for word in sys.argv[1:]:
        if skip or word in ("--json", "--save"):
            skip = not skip
            continue
        library, sign, _ = word.partition("=")
        words.append(f"{library}=PYTHON" if sign and library in LIBRARIES else word)
    script = Path(sys.argv[0]).resolve().relative_to(ROOT)
    return " ".join(["python", str(script), *words])


def finish(
    path: Path | None, libraries: dict[str, str], text: str, runs: Any, plot: Path | None = None
) -> None:
    """Print the table and the machine, and write both for ``report.py``."""
    about = {"machine": machine(), "versions": versions(libraries)}
    print("", text, "", *about.values(), sep="\n", flush=True)
    if path is None:
        return
    record = {
        "benchmark": Path(sys.argv[0]).stem,
        "command": command(),
        "date": datetime.date.today().isoformat(),
        **about,
        "table": text,
        "plot": None if plot is None else plot.name,
        "runs": runs,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
