"""Write the last runs of the benchmarks into docs/benchmarks.md.

    python examples/benchmarks/report.py FOLDER

FOLDER holds what the scripts wrote with ``--json FILE``, named BENCHMARK.json or
BENCHMARK-ANYTHING.json (in order of their names), where BENCHMARK is the name of the script; what
one printed may stand there as BENCHMARK.txt. Between the markers ``<!-- begin BENCHMARK -->`` and
``<!-- end BENCHMARK -->`` of the page comes, for each file, the table, the day, the machine, the
versions, and the plot where docs/_static has it; between ``<!-- begin BENCHMARK commands -->`` and
its end, further down, the commands. A file whose whole name has markers of its own, as one of
another machine may, goes there. Benchmarks without a file keep what is there.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
ARGUMENTS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
ARGUMENTS.add_argument("folder", type=Path)
ARGUMENTS.add_argument("--page", type=Path, default=PAGE)
LARGEST_PLOT = 60_000  # bytes
#: Options that say how it was run, not what; with them the commands at the end have the rest.
HOW = {"--python", "--repeats", "--seconds", "--limit", "--data-folder", "--every", "--passed"}


def what(command: str) -> str:
    """What a command is about: the sets and sizes it names, for the reader of its table."""
    words = command.split()[2:]  # without `python` and the script
    end = next((i for i, word in enumerate(words) if word in HOW), len(words))
    return " ".join(words[:end])


def block_of(path: Path, static: Path) -> tuple[str, str]:
    """What the page says of one run, and its command."""
    if path.suffix == ".txt":
        command = f"python examples/benchmarks/{path.stem.split('-')[0]}.py"
        return f"```text\n{path.read_text().strip()}\n```", command
    run = json.loads(path.read_text())
    about = what(run["command"])
    parts = [f"`{about}`:"] * bool(about) + [
        run["table"],
        f"{run['date']}; {run['machine']}. {run['versions']}.",
    ]
    plot = static / run["plot"] if run["plot"] else None
    if plot is not None and plot.exists():
        if plot.stat().st_size > LARGEST_PLOT:
            raise SystemExit(f"{plot} has more than {LARGEST_PLOT} bytes")
        parts.append(f"![Plot of the run above](_static/{plot.name})")
    return "\n\n".join(parts), run["command"]


def filled(page: str, name: str, blocks: list[str]) -> str:
    """The page with these blocks between the markers of a name."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    inside = "\n\n".join([begin, *blocks, end])
    page, n = re.subn(f"{begin}.*?{end}", lambda _: inside, page, flags=re.DOTALL)
    if n != 1:
        raise SystemExit(f"the page has {n} pairs of the markers {begin} and {end}, not one")
    return page


def main() -> None:
    """Every file of the folder."""
    a = ARGUMENTS.parse_args()
    static, page = a.page.parent / "_static", a.page.read_text()
    runs: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(a.folder.iterdir(), key=lambda path: path.stem):
        if path.suffix in (".json", ".txt"):
            own = f"<!-- begin {path.stem} -->" in page
            name = path.stem if own else path.stem.split("-")[0]
            runs.setdefault(name, []).append(block_of(path, static))
    for name, pairs in runs.items():
        blocks, commands = zip(*pairs)
        page = filled(page, name, list(blocks))
        page = filled(page, f"{name} commands", ["```bash\n" + "\n".join(commands) + "\n```"])
        print(f"{name}: {len(pairs)}")
    a.page.write_text(page)


if __name__ == "__main__":
    main()
