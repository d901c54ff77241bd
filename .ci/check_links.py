"""Follow every link inside the built documentation: the file must exist, and the anchor in it.

    python .ci/check_links.py HTML_FOLDER

Links to other sites are not followed: whether these are up is no fault of a commit, and the machine
that checks may have no network.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links of a page, with the lines they are in, and the anchors that others may name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[tuple[int, str]] = []
        self.anchors = {"", "top"}  # the two that every page has
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect one tag's."""
        for name, value in attrs:
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value or "")
            elif name in ("href", "src"):
                self.links.append((self.getpos()[0], value or ""))
            elif name == "srcset":
                sources = (part.split()[0] for part in (value or "").split(",") if part.strip())
                self.links.extend((self.getpos()[0], source) for source in sources)


def broken(root: Path) -> list[str]:
    """One line about each link that leads nowhere."""
    files = (path for path in sorted(root.rglob("*.html")) if path.parent != root / "_static")
    pages = {
        path: Page(path.read_text("utf-8")) for path in files
    }  # of the theme's there are parts
    if not pages:
        return [f"{root}: no page"]
    return [
        f"{path.relative_to(root)}:{line}: {link}: {fault}"
        for path, page in pages.items()
        for line, link in page.links
        if (fault := fault_of(link, path, root, pages))
    ]


def fault_of(link: str, path: Path, root: Path, pages: dict[Path, Page]) -> str:
    """What is wrong with a link on the page at ``path``; empty if nothing is, or it leaves us."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return ""
    base = root if parts.path.startswith("/") else path.parent
    target = (base / unquote(parts.path).lstrip("/")).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return "no such file"
    if target in pages and unquote(parts.fragment) not in pages[target].anchors:
        return "no such anchor"
    return ""


def main() -> None:
    """Check the folder that is given."""
    root = Path(sys.argv[1]).resolve()
    faults = broken(root)
    print("\n".join(faults) if faults else "every link inside leads somewhere")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
