"""Sphinx configuration. Build with: sphinx-build -W -b html docs docs/_build."""

from __future__ import annotations

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
# The documentation is of this tree, whichever version is installed.
sys.path[:0] = [str(ROOT), str(HERE)]

project = "skgpng"
author = "The skgpng developers"
copyright = "2026, The skgpng developers"
release = re.search(r'__version__ = "(.+)"', (ROOT / "skgpng/_version.py").read_text())[1]
version = release

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "myst_parser",  # benchmarks.md: Markdown, so that scripts write tables that read as they stand
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "**/GALLERY_HEADER.rst"]
default_role = None

# No intersphinx: the build must not need the network.

autodoc_member_order = "bysource"
autosummary_generate = False  # api.rst lists everything itself
numpydoc_show_class_members = False  # autodoc lists them already

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"\.py$",  # every example runs
    "ignore_pattern": r"[/\\]_",  # but helpers, which begin with an underscore, are not examples
    "reset_argv": "gallery_hooks.reset_argv",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "capture_repr": (),
    "show_memory": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "skgpng"
html_static_path = ["_static"]
html_theme_options = {
    "navigation_with_keys": False,
    "show_nav_level": 2,
    "secondary_sidebar_items": ["page-toc"],
}


def skip_member(app, what, name, obj, skip, options):
    """Leave out what is not ours to document."""
    # Methods inherited from scikit-learn, and the set_fit_request and its like that it adds,
    # refer to pages of its own documentation. A NamedTuple describes its fields as "Alias for
    # field number 0"; the list in its docstring does better.
    from_sklearn = (getattr(obj, "__module__", None) or "").startswith("sklearn.")
    added = re.fullmatch(r"set_\w+_request", name)
    if from_sklearn or added or type(obj).__name__ == "_tuplegetter":
        return True
    return None


def setup(app):
    """Register the hook above."""
    app.connect("autodoc-skip-member", skip_member)
