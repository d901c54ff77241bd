"""What a docstring must have: numpydoc's checks, an example that runs, whole lists of parameters.

The checks are those of ``[tool.numpydoc_validation]`` in pyproject.toml, which says why some are
left out. CI runs the examples themselves (``pytest --doctest-modules skgpng``).
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import skgpng

validation = pytest.importorskip("numpydoc.validate")
hooks = pytest.importorskip("numpydoc.hooks.validate_docstrings")

ROOT = Path(__file__).resolve().parent.parent
CONFIG = hooks.parse_config(ROOT)
MODULES = ["skgpng"] + [
    f"skgpng.{module.name}"
    for module in pkgutil.iter_modules(skgpng.__path__)
    if not module.name.startswith("_")
]
# Public without an example of their own, and why.
NO_EXAMPLE = {
    "skgpng.likelihoods.ExpectedLogDensity": "a protocol: Likelihood is what has it",
    "skgpng.likelihoods.Noise": "three fields",
}
# Methods of the estimators (fitted attributes are values, and are described) whose use the example
# of the class shows, or a longer one in the guide.
# Methods of the estimators whose use the example of the class shows, or a longer one in the guide.
# Fitted attributes are values, and are described.
SHOWN_ELSEWHERE = {
    "decision_function",
    "fit",
    "latent_mean_and_variance",
    "log_marginal_likelihood",
    "predict",
    "predict_proba",
    "predict_quantiles",
    "sample_y",
    "score",
    "set_params",
}


def public_objects():
    """Dotted name of each class and function in ``__all__``, once."""
    seen = {}
    for module in MODULES:
        found = importlib.import_module(module)
        for name in getattr(found, "__all__", ()):
            item = getattr(found, name)
            if inspect.isclass(item) or inspect.isroutine(item):
                seen.setdefault(id(item), f"{module}.{name}")
    return sorted(seen.values())


OBJECTS = public_objects()


def of(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def methods(name):
    """Public methods and properties of a class that have a docstring of skgpng's own."""
    item = of(name)
    if not inspect.isclass(item):
        return []
    found = []
    for attribute in dir(item):
        home = next((cls for cls in item.__mro__ if attribute in vars(cls)), object)
        value = vars(home).get(attribute)
        value = getattr(value, "__func__", value)  # of a classmethod
        is_member = inspect.isroutine(value) or isinstance(value, property)
        ours = home.__module__.startswith("skgpng") and getattr(value, "__doc__", None)
        if is_member and ours and not re.match(r"_|set_\w+_request$", attribute):
            found.append(f"{name}.{attribute}")
    return found


def faults(name):
    """What numpydoc finds, among the checks that count."""
    report = validation.validate(name)
    whole = re.search(r"^\s*Parameters\n\s*-{10}$", report["docstring"], re.M)
    # A list of parameters has all of them; where there is none, the summary may say them.
    counted = CONFIG["checks"] | ({"PR01"} if whole else set())
    return [f"{code}: {text}" for code, text in report["errors"] if code in counted]


def test_there_are_objects_to_check():
    assert {"skgpng.GaussianProcessRegressor", "skgpng.kernels.Periodic"} <= set(OBJECTS)
    assert "skgpng.metrics.gaussian_crps" in OBJECTS and len(OBJECTS) > 100


def test_the_checks_are_read_from_pyproject():
    assert {"PR02", "PR03", "PR04", "GL03", "SS03", "RT04"} <= CONFIG["checks"]
    assert CONFIG["checks"].isdisjoint({"SA01", "ES01"})


@pytest.mark.parametrize("name", OBJECTS)
def test_numpydoc_finds_nothing(name):
    found = {member: faults(member) for member in [name, *methods(name)]}
    # Its first parameter is a class, and is named so; numpydoc takes it for that of a classmethod.
    found.pop("skgpng.kernels.formula_of", None)
    assert {member: each for member, each in found.items() if each} == {}


@pytest.mark.parametrize("name", OBJECTS)
def test_every_public_object_has_an_example(name):
    has_example = ">>>" in (inspect.getdoc(of(name)) or "")
    assert has_example != (name in NO_EXAMPLE)


@pytest.mark.parametrize("name", ["GaussianProcessRegressor", "GaussianProcessClassifier"])
def test_methods_of_the_estimators_have_examples(name):
    lacking = {
        member.rpartition(".")[2]
        for member in methods(f"skgpng.{name}")
        if not member.endswith("_")
        and ">>>"
        not in (inspect.getdoc(getattr(of(f"skgpng.{name}"), member.split(".")[-1])) or "")
    }
    assert lacking <= SHOWN_ELSEWHERE
