"""The check of links that CI runs on the built documentation, and what the pages list."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
API = ROOT / "docs" / "api"
CHECK = ROOT / ".ci" / "check_links.py"


@pytest.fixture
def site(tmp_path):
    (tmp_path / "api").mkdir()
    (tmp_path / "picture.png").write_bytes(b"png")
    (tmp_path / "index.html").write_text(
        '<h1 id="here">A</h1> <a href="#here">1</a> <a href="api/x.html#fit%20it">2</a>'
        '<img src="picture.png"> <a href="https://example.org/none">3</a> <a href="#">4</a>'
    )
    (tmp_path / "api" / "x.html").write_text(
        '<a id="fit it"></a> <a href="../index.html#here">1</a> <a href="/picture.png?v=1">2</a>'
    )
    return tmp_path


def check(folder):
    end = subprocess.run(
        [sys.executable, CHECK, folder], capture_output=True, text=True, check=False
    )
    return end.returncode, end.stdout


def test_links_that_lead_somewhere(site):
    assert check(site)[0] == 0


@pytest.mark.parametrize(
    "link, fault",
    [
        ("none.html", "no such file"),
        ("../index.html#there", "no such anchor"),
        ("#there", "no such anchor"),
        ("../none.png", "no such file"),
    ],
)
def test_each_broken_link_is_told(site, link, fault):
    (site / "api" / "y.html").write_text(f'<p>\n<a href="{link}">1</a>')
    status, told = check(site)
    assert status == 1
    assert told.splitlines() == [f"api/y.html:2: {link}: {fault}"]


def test_a_folder_without_pages_is_no_success(tmp_path):
    assert check(tmp_path)[0] == 1


def listed() -> dict[str, set[str]]:
    """Names that the pages of docs/api/ list, of each module."""
    names: dict[str, set[str]] = {}
    for page in API.glob("*.rst"):
        module = ""
        for line in page.read_text().splitlines():
            if found := re.fullmatch(r"\.\. currentmodule:: (\S+)", line):
                module = found[1]
            elif found := re.fullmatch(r"(?:   |\.\. autodata:: )([A-Za-z]\w*)", line):
                names.setdefault(module, set()).add(found[1])
    return names


@pytest.mark.parametrize("module", sorted(listed()))
def test_the_api_lists_every_public_name_and_no_other(module):
    names, found = listed(), importlib.import_module(module)
    homes = {name: getattr(getattr(found, name), "__module__", module) for name in found.__all__}
    # What another public module lends it is listed there.
    own = {
        name for name, home in homes.items() if home == module or name not in names.get(home, ())
    }
    assert names[module] == own - {"__version__"}


def test_every_public_module_has_a_page_of_the_api():
    files = {path.stem for path in (ROOT / "skgpng").glob("*.py")}
    files |= {path.parent.name for path in (ROOT / "skgpng").glob("*/__init__.py")}
    public = {f"skgpng.{name}" for name in files if not name.startswith("_")}
    # The package's own names are listed under it.
    own = {"skgpng.classification", "skgpng.regression", "skgpng.persistence"}
    assert public - own == listed().keys() - {"skgpng"}
