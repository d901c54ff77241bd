"""Refusing what cannot fit into memory before it is asked for, and keeping what is at hand."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from pathlib import Path

__all__ = ["available", "keep_freed", "refuse_beyond"]

_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
_GIB = 2.0**30
# Just below 32 MiB: from there on glibc gives every array pages of its own, whatever was freed.
_LARGEST_KEPT = 33_000_000
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # numbers in glibc's malloc.h


def available() -> float:
    """Bytes that this process may still take, as far as the system tells; else infinity.

    The least of what the machine has free (swap included) and what is left of the limits of the
    process's control groups (containers). Where there is no ``/proc``, all memory of the machine.
    """
    return min([_of_machine(), *_left_in_groups()])


def refuse_beyond(n_bytes: float, what: str, remedy: str, most: float = float("inf")) -> None:
    """Raise ValueError where so many bytes, needed at the very least, are more than there are.

    ``what`` takes them, in "needs at least 3 GiB for what"; the ``remedy`` is a sentence. ``most``
    bytes there are in any case, such as those of a GPU.
    """
    if n_bytes < _GIB:  # quicker than looking
        return
    there = min(available(), most)
    if n_bytes > there:
        raise ValueError(
            f"This needs at least {n_bytes / _GIB:,.0f} GiB for {what}, and {there / _GIB:.1f} GiB "
            f"of memory are available. {remedy}"
        )


@functools.lru_cache(maxsize=1)
def keep_freed() -> None:
    """Let the C library keep up to 64 MiB that were freed, for the next arrays.

    A step frees and takes matrices of megabytes at each operation. glibc gives such memory back
    to the system at once and gets it page by page again, unless told otherwise: 500 rows exactly
    0.60 s a fit in place of 0.75, magic with 200 points 4.5 in place of 4.9. It is told by a call,
    as variables that Dask sets for its workers go before what glibc learns by itself: minibatches
    of a million rows there 1.05 of the time here in place of 1.27. Without glibc nothing happens.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        library.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_KEPT)


def _of_machine() -> float:
    text = _read(_PROC / "meminfo")
    sizes = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    if "MemAvailable" in sizes:
        names = [name for name in ("MemAvailable", "SwapFree") if name in sizes]
        return 1024.0 * sum(float(sizes[name].split()[0]) for name in names)
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return float("inf")


def _left_in_groups() -> list[float]:
    """What is left in each control group above this process; files in memory can be dropped."""
    left = []
    for line in _read(_PROC / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            left += _left(_CGROUPS, path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
            left += _left(_CGROUPS / "memory", path, *names)
    return left


def _left(root: Path, path: str, limit: str, usage: str, droppable: str) -> list[float]:
    """Of the group at ``path`` and those above it; a container sees its own at the root."""
    group = root / path.lstrip("/")
    folders = [group, *group.parents][: len(group.parts) - len(root.parts) + 1]
    left = []
    for folder in folders:
        most, used = _read(folder / limit).strip(), _read(folder / usage).strip()
        if most.isdigit() and used.isdigit():
            stat = dict(line.split() for line in _read(folder / "memory.stat").splitlines())
            left.append(float(most) - float(used) + float(stat.get(droppable, 0)))
    return left


def _read(file: Path) -> str:
    """Text of a file; nothing where there is none, as on other systems than Linux."""
    try:
        return file.read_text()
    except OSError:
        return ""
