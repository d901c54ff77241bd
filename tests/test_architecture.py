"""The rooms of the design: what may import what, how long a function gets, what is documented."""

from __future__ import annotations

import ast
import graphlib
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "skgpng"

# The picture of docs/architecture.rst, lowest first. A room imports from lower levels only.
LEVELS = {
    "_runtime": 0,
    "_version": 0,
    "_linalg": 1,
    "metrics": 1,
    "parameters": 1,
    "quadrature": 1,
    "gaussians": 2,
    "kernels": 2,
    "likelihoods": 2,
    "means": 2,
    "inducing": 3,
    "optimizers": 3,
    "_inference": 4,
    "_training": 5,
    "models": 5,
    "_estimator": 6,
    "classification": 7,
    "regression": 7,
    "dask": 8,
    "displays": 8,
    "persistence": 8,
    "skgpng": 9,  # the package's own __init__
}
# The one step sideways: a likelihood says which mean its latent function has.
SIDEWAYS = {("likelihoods", "means")}

MAX_LINES, LONGEST_FILE = 50, 600

FILES = sorted(PACKAGE.rglob("*.py"))
PUBLIC_MODULES = [
    ".".join(part for part in parts if part != "__init__")
    for parts in (file.relative_to(ROOT).with_suffix("").parts for file in FILES)
    if not any(part.startswith("_") and part != "__init__" for part in parts)
]


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def room_of(parts: tuple[str, ...]) -> str:
    """Name in LEVELS of a dotted path inside the package: a subpackage is one room."""
    return parts[1] if len(parts) > 1 else parts[0]


def imported_rooms(file: Path) -> Iterator[tuple[str, int]]:
    """Rooms of skgpng that a file imports, anywhere in it, each with its line number."""
    package = file.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            paths = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            base = start + tuple(node.module.split(".") if node.module else ())
            # `from . import x` may name a module of the package or a name in its __init__.
            paths = [
                (*base, alias.name) if base == ("skgpng",) and alias.name in LEVELS else base
                for alias in node.names
            ]
        else:
            continue
        for path in paths:
            if path[0] == "skgpng":
                yield room_of(path), node.lineno


def test_every_module_has_a_level():
    rooms = {room_of(file.relative_to(ROOT).with_suffix("").parts) for file in FILES}
    rooms.discard("__init__")
    assert rooms - LEVELS.keys() == set(), "give each new module its level in LEVELS"


def imported_neighbours(file: Path) -> set[str]:
    """Modules of its own subpackage that a file imports when it is imported."""
    tree = ast.parse(file.read_text())
    return {
        node.module
        for node in tree.body  # not those for type checkers only
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module
    }


@pytest.mark.parametrize(
    "package", sorted({file.parent for file in FILES} - {PACKAGE}), ids=name_of
)
def test_imports_inside_a_room_go_one_way(package):
    files = [file for file in FILES if file.parent == package and file.stem != "__init__"]
    graph = {file.stem: imported_neighbours(file) for file in files}
    assert set(graphlib.TopologicalSorter(graph).static_order()) == graph.keys()


# Names that one room knows, and the rooms that may: a likelihood or a model is one file, and
# nothing else asks which it is.
SECRETS = {
    "likelihoods": (
        r"\b(StudentT|Laplace|AsymmetricLaplace|Gamma|Exponential|Beta|Poisson|NegativeBinomial|"
        r"ZeroInflatedPoisson|Ordinal|Bernoulli|Softmax|HeteroscedasticGaussian|Coregionalised|"
        r"Logit|RobustMax)\b"
    ),
    "_inference": r"\b(Collapsed|Sites|Sparse)\b",
    "kernels": r"\b(BlackBox|Columns)\b",
}


@pytest.mark.parametrize("room", SECRETS)
def test_what_one_room_knows(room):
    others = [file for file in FILES if room not in file.parts]
    named = [
        f"{name_of(file)}:{node.lineno}"
        for file in others
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, (ast.Name, ast.Attribute, ast.alias))
        and re.search(SECRETS[room], ast.unparse(node))
    ]
    assert named == []


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_no_file_is_long(file):
    assert len(file.read_text().splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_only_go_down(file):
    parts = file.relative_to(ROOT).with_suffix("").parts
    room = "skgpng" if parts == ("skgpng", "__init__") else room_of(parts)
    wrong = [
        f"{name_of(file)}:{line}: {room} (level {LEVELS[room]}) imports {other} "
        f"(level {LEVELS[other]})"
        for other, line in imported_rooms(file)
        if other != room and LEVELS[other] >= LEVELS[room] and (room, other) not in SIDEWAYS
    ]
    assert not wrong, "\n".join(wrong)


def length_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from ``def`` to the last statement, without decorators and docstring."""
    total = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function, clean=False) is not None:
        docstring = function.body[0]
        total -= docstring.end_lineno - docstring.lineno + 1
    return total


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_no_function_is_long(file):
    functions = [
        node
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    long = [
        f"{name_of(file)}:{function.lineno}: {function.name} has {length_of(function)} lines"
        for function in functions
        if length_of(function) > MAX_LINES
    ]
    assert not long, "\n".join(long)


def has_attribute_comment(module, name: str) -> bool:
    """Whether a constant is described by ``#:`` lines above it or behind it, as Sphinx reads."""
    return (
        re.search(rf"^#:.*\n{name}\b|^{name}\b.*#:", inspect.getsource(module), re.MULTILINE)
        is not None
    )


def public_members(cls: type) -> Iterator[str]:
    """Public methods and properties of a class that are written in skgpng."""
    ours = [base for base in cls.__mro__ if base.__module__.split(".")[0] == "skgpng"]
    # A NamedTuple's fields are data descriptors of its own; the class docstring describes them.
    kinds = (staticmethod, classmethod, property)
    for base in ours:
        for name, value in vars(base).items():
            if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, kinds)):
                yield name


def own_docstring(cls: type) -> str:
    """Docstring written for this class: neither its base's nor a NamedTuple's ``Name(fields)``."""
    text = vars(cls).get("__doc__") or ""
    return "" if text.startswith(f"{cls.__name__}(") else text


def undocumented(module) -> list[str]:
    missing = [] if module.__doc__ else [module.__name__]
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value):
            missing += [] if own_docstring(value) else [name]
            missing += [
                f"{name}.{member}"
                for member in public_members(value)
                if not inspect.getdoc(getattr(value, member))
            ]
        elif callable(value) or inspect.ismodule(value):
            missing += [] if value.__doc__ else [name]
        elif not name.startswith("__") and not has_attribute_comment(module, name):
            missing.append(f"{name} (a constant: describe it in a '#:' comment above it)")
    return missing


@pytest.mark.parametrize("name", ["skgpng", *PUBLIC_MODULES])
def test_every_public_name_is_documented(name):
    module = importlib.import_module(name)
    assert hasattr(module, "__all__"), f"{name} has no __all__"
    assert undocumented(module) == []


def test_importing_does_not_import_tensorflow():
    code = """
        import importlib, sys
        for name in sys.argv[1:]:
            importlib.import_module(name)
            heavy = {"tensorflow", "tensorflow_probability", "keras", "skops", "matplotlib"}
            heavy &= set(sys.modules)
            assert not heavy, (name, heavy)
    """
    names = ["skgpng", *PUBLIC_MODULES]
    done = subprocess.run(
        [sys.executable, "-c", "if True:" + code, *names], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
