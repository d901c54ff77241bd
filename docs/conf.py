"""Sphinx configuration. Build with: sphinx-build -W -b html docs docs/_build."""

from __future__ import annotations

import functools
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
    "sphinx_copybutton",
    "sphinx_design",  # the cards of the front page
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "**/GALLERY_HEADER.rst"]
default_role = None
copybutton_prompt_text = r">>> |\.\.\. "  # copied code has neither prompts nor what was printed
copybutton_prompt_is_regexp = True

COMPUTED = (property, functools.cached_property, classmethod, staticmethod)

# No intersphinx: the build must not need the network. So what is of others is no link.
nitpicky = True  # every :class: and its like must lead somewhere
nitpick_ignore_regex = [("py:.*", r"(sklearn|skops|tensorflow|tensorflow_probability)\..*")]

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say what arguments are, with shapes
autodoc_preserve_defaults = True
toc_object_entries_show_parents = "hide"  # "fit()", which fits beside the page
autosummary_generate = True  # a page for each name in the tables of docs/api/, by _templates
numpydoc_show_class_members = False  # the template lists them already

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"\.py$",  # every example runs
    "ignore_pattern": r"[/\\]_",  # but helpers, which begin with an underscore, are not examples
    "reset_argv": "gallery_hooks.reset_argv",
    "within_subsection_order": "gallery_hooks.Told",
    "doc_module": ("skgpng",),
    "backreferences_dir": "generated/backreferences",  # "Examples" at the end of pages of the API
    "abort_on_example_error": True,
    "download_all_examples": False,
    "capture_repr": (),
    "show_memory": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "skgpng"
html_static_path = ["_static"]
html_css_files = ["skgpng.css"]
html_show_sourcelink = False
html_sidebars = {"index": [], "benchmarks": [], "search": []}  # no pages below them
html_theme_options = {
    "logo": {"text": "skgpng"},
    "navigation_with_keys": False,
    "show_nav_level": 1,
    "show_toc_level": 2,
    "header_links_before_dropdown": 5,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


def skip_member(app, what, name, obj, skip, options):
    """Leave out what is not ours to document."""
    # Methods inherited from scikit-learn, and the set_fit_request and its like that it adds,
    # refer to pages of its own documentation; so do those that a NamedTuple has as a tuple.
    from_sklearn = (getattr(obj, "__module__", None) or "").startswith("sklearn.")
    added = re.fullmatch(r"set_\w+_request", name)
    of_tuple = name in ("count", "index") and what != "module"
    # Settings of a class and values of its fields are in the list of its docstring too.
    setting = what != "module" and not callable(obj) and not isinstance(obj, COMPUTED)
    if from_sklearn or added or of_tuple or setting:
        return True
    return None


def setup(app):
    """Register the hook above."""
    app.connect("autodoc-skip-member", skip_member)
