"""What sphinx-gallery calls by name while it runs the examples."""

from __future__ import annotations

from typing import Any


def reset_argv(gallery_conf: dict[str, Any], script_vars: dict[str, Any]) -> list[str]:
    """Run each example without arguments, and with the ``__file__`` that Python itself sets.

    sphinx-gallery leaves ``__file__`` out, but an example finds the data beside it that way.
    """
    script_vars["example_globals"]["__file__"] = script_vars["src_file"]
    return []
