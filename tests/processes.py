"""Fresh processes to run code in, and what this one holds."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What would change the process under test if it came from the shell, or from TensorFlow here.
SETTINGS = ("OMP_NUM_THREADS", "TF_NUM_", "TF_CPP_", "PYTHONWARNINGS", "JOBLIB_", "LOKY_")
STATM = Path("/proc/self/statm")

needs_proc = pytest.mark.skipif(not STATM.exists(), reason="needs /proc/self/statm")


def fresh(code, *arguments, **environment):
    """Run code in a fresh process; what it wrote to stdout and stderr."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(SETTINGS)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def resident():
    """Resident set, MiB, without what is free: skgpng lets glibc keep up to 64 MiB of that."""
    gc.collect()  # a cycle that waits for its collection is no leak
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
