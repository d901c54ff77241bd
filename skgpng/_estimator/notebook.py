"""What a notebook shows of an estimator, in scikit-learn's HTML: what was learned, links to docs.

scikit-learn lays the page out by private hooks that came one by one: 1.6 shows the text of a block,
1.7 a table of parameters, 1.9 one of fitted attributes beneath it. Each is asked for what it has;
without any of them the page is scikit-learn's own.
"""

from __future__ import annotations

import functools
import html
import os
from dataclasses import dataclass
from importlib import metadata
from typing import Any
from urllib.parse import quote

from .summary import Fact, as_text, caption, facts

__all__ = ["Block", "Extended", "address_of_docs", "as_html", "block_of"]

# Rows of the table of hyperparameters.
_MOST_ROWS = 100
# Text has the colour of scikit-learn's panels, which stay light on a dark page; the rest is clear.
_STYLE = """<style>
.skgpng-learned { font-family: monospace; margin: .3rem 0; max-width: 60rem;
  color: var(--sklearn-color-text, inherit); }
.skgpng-learned summary { padding: .5rem; cursor: pointer; }
.skgpng-learned table { border-collapse: collapse; margin: 0 .3rem .4rem .3rem; }
.skgpng-learned tr { background: transparent !important; }
.skgpng-learned :is(td, th) { border: 1px solid rgba(128, 128, 128, .35); padding: .3em .6em;
  text-align: left !important; vertical-align: top; font-weight: normal; background: transparent;
  color: var(--sklearn-color-text, inherit); white-space: normal; overflow-wrap: anywhere; }
.skgpng-learned table th { white-space: nowrap; overflow-wrap: normal; font-weight: bold; }
.skgpng-learned td.number { text-align: right !important; white-space: nowrap; }
.skgpng-learned td.name { white-space: pre-wrap; }
.skgpng-learned tr.warning > * { border-left: 4px solid rgb(255, 140, 0); }
</style>"""


def as_html(told: list[Fact]) -> str:
    """Facts as an open part of scikit-learn's page, all text escaped."""
    rows = "".join(
        f'<tr class="{"warning" if fact.is_warning else "fact"}">'
        f"<th>{html.escape(fact.label)}</th><td>{html.escape(fact.text)}</td></tr>"
        for fact in told
    )
    tables = "".join(_table(fact) for fact in told if fact.rows)
    return (
        f'{_STYLE}<div class="skgpng-learned"><details open><summary>What was learned</summary>'
        f"<table><tbody>{rows}</tbody></table></details>{tables}</div>"
    )


def _table(fact: Fact) -> str:
    """Hyperparameters beneath the kernel, folded."""
    shown = fact.rows[:_MOST_ROWS]
    rows = "".join(
        f'<tr><td class="name">{html.escape(name)}</td><td class="number">{html.escape(value)}</td>'
        f"<td>{html.escape(remark)}</td></tr>"
        for name, value, remark in shown
    )
    left = len(fact.rows) - len(shown)
    more = f'<tr><td colspan="3">and {left:,} lines more</td></tr>' if left else ""
    return (
        "<details><summary>Hyperparameters</summary>"
        f"<table><tbody>{rows}{more}</tbody></table></details>"
    )


class Extended:
    """One of scikit-learn's tables with more HTML before it.

    Parameters
    ----------
    table : object
        As scikit-learn makes it: a dictionary that knows its HTML.
    more : str
        HTML.
    """

    def __init__(self, table: Any, more: str) -> None:
        self._table, self._more = table, more

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # of a copy under way
            raise AttributeError(name)
        return getattr(self._table, name)

    def __len__(self) -> int:
        return max(1, len(self._table))

    def _repr_html_inner(self) -> str:
        return self._more + self._table._repr_html_inner()


# --- the block in scikit-learn's picture -----------------------------------------------------


@dataclass
class Block:
    """What scikit-learn asks a block of its picture for."""

    kind: str
    estimators: Any
    names: Any
    name_details: Any
    name_caption: str | None = None
    doc_link_label: str | None = None
    dash_wrapped: bool = True


def block_of(model: Any, inner: Any) -> Block:
    """The block of an estimator; ``inner`` is an estimator inside of it (``mean``), or None."""
    name, is_fitted = type(model).__name__, hasattr(model, "_predictor")
    if inner is not None:
        title = f"mean: {type(inner).__name__}"
        return Block("parallel", [inner], [title], [str(inner)])
    text = f"{model}\n\n{as_text(name, facts(model))}" if is_fitted else str(model)
    return Block("single", model, name, text, caption(model) if is_fitted else "not fitted")


# --- links -----------------------------------------------------------------------------------


def address_of_docs() -> str:
    """Where the built pages are, without a slash at its end; "" where no address is known.

    The environment variable ``SKGPNG_DOCS``, or the "Documentation" address of the package.
    """
    address = os.environ.get("SKGPNG_DOCS") or _published()
    return quote(address.rstrip("/"), safe=":/?#[]@!$&'()*+,;=%~")


@functools.cache
def _published() -> str:
    try:
        given = metadata.metadata("skgpng").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:  # a tree that is not installed
        return ""
    pairs = (entry.partition(",") for entry in given)
    urls = {label.strip().lower(): address.strip() for label, _, address in pairs}
    return urls.get("documentation", "")
