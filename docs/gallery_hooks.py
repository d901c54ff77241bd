"""What sphinx-gallery calls by name while it runs the examples."""

from __future__ import annotations

from typing import Any


def reset_argv(gallery_conf: dict[str, Any], script_vars: dict[str, Any]) -> list[str]:
    """Run each example without arguments, and with the ``__file__`` that Python itself sets.

    sphinx-gallery leaves ``__file__`` out, but an example finds the data beside it that way.
    """
    script_vars["example_globals"]["__file__"] = script_vars["src_file"]
    return []


ORDER = [
    "quickstart",
    "regression_with_bands",
    "coming_from_sklearn",
    "displays",
    "structure",
    "trend",
    "varying_noise",
    "outliers_and_quantiles",
    "counts_and_grades",
    "map",
    "related_targets",
    "mixed_columns",
    "additive_effects",
    "multiclass_uncertainty",
    "label_noise",
    "active_learning",
    "bayesian_optimisation",
    "model_selection",
    "rows_in_parts",
    "large_set",
    "many_machines",
    "neighbours",
    "natural_gradients",
]


class Told:
    """Order of the gallery: from the main job to the building blocks, others behind them."""

    def __init__(self, src_dir: str) -> None:
        """The folder is the same for all."""

    def __call__(self, filename: str) -> tuple[int, str]:
        """Sort key of an example."""
        name = filename.removesuffix(".py")
        return (ORDER.index(name) if name in ORDER else len(ORDER)), name
