"""Versions and what is said of them: one number, one list, wherever they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from skgpng import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGE = (ROOT / "docs" / "project.rst").read_text()


def test_a_tag_of_this_commit_is_the_version():
    if not (ROOT / ".git").exists():
        pytest.skip("no repository, as in a source package")
    command = ["git", "-C", str(ROOT), "tag", "--points-at", "HEAD", "--list", "v[0-9]*"]
    tags = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert tags in ([], [f"v{__version__}"])


def test_the_version_stands_in_one_place_and_is_repeated_right():
    assert PROJECT["dynamic"] == ["version"] and "version" not in PROJECT
    cited = (ROOT / ".github" / "CITATION.cff").read_text()
    assert re.search(r"^version: (.+)$", cited, re.M)[1] == __version__
    headings = re.findall(r"^(\d+\.\d+\.\d+\S*).*\n-+$", CHANGES, re.M)
    assert headings[0] == __version__


CHANGES = (ROOT / "docs" / "changelog.rst").read_text()


def row(name) -> list[str]:
    """Cells of the table of versions."""
    line = next(line for line in PAGE.splitlines() if line.startswith(f"{name} "))
    return re.split(r"  +", line)


def test_the_versions_of_python_are_those_of_the_table():
    prefix = "Programming Language :: Python :: 3."
    listed = ["3." + c.removeprefix(prefix) for c in PROJECT["classifiers"] if prefix in c]
    assert row("Python")[2].split(", ") == listed
    assert PROJECT["requires-python"] == f">={listed[0]}" == f">={row('Python')[1]}"


@pytest.mark.parametrize(
    "name, package",
    [
        ("TensorFlow", "tensorflow"),
        ("scikit-learn", "scikit-learn"),
        ("NumPy", "numpy"),
        ("SciPy", "scipy"),
    ],
)
def test_the_oldest_packages_are_those_of_the_table(name, package):
    (least,) = [
        d.partition(">=")[2] for d in PROJECT["dependencies"] if d.startswith(f"{package}>=")
    ]
    assert row(name)[1] == least


def test_the_table_of_the_readme_is_that_of_the_page():
    readme = (ROOT / "README.md").read_text()
    for name in ("Python", "TensorFlow", "scikit-learn"):
        assert f"{name} {row(name)[1]}" in readme
