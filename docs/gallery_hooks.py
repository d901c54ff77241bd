"""What sphinx-gallery calls by name while it runs the examples."""

from __future__ import annotations

from typing import Any


def reset_argv(gallery_conf: dict[str, Any], script_vars: dict[str, Any]) -> list[str]:
    """Run each example without arguments, and with the ``__file__`` that Python itself sets.

    sphinx-gallery leaves ``__file__`` out, but an example finds the data beside it that way.
    """
    script_vars["example_globals"]["__file__"] = script_vars["src_file"]
    return []


class QuickstartFirst:
    """Order of the gallery: the main job first, the others by their file names."""

    def __init__(self, src_dir: str) -> None:
        """The folder is the same for all."""

    def __call__(self, filename: str) -> tuple[bool, str]:
        """Sort key of an example."""
        return filename != "quickstart.py", filename
