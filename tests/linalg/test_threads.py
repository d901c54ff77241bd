"""Threads of linear algebra: parts, forked children, and BLAS held to one."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

from skgpng._linalg import in_turn, one_blas_thread
from skgpng._linalg.threads import blocks, in_threads


def test_blocks_cover_all():
    edges = blocks(11, 4)
    assert len(edges) == 4 and edges[0][0] == 0 and edges[-1][1] == 11
    assert all(a[1] == b[0] for a, b in zip(edges, edges[1:]))


@pytest.mark.parametrize("longest", ["first", "last"])
@pytest.mark.parametrize("k", [None, 5])
def test_in_threads_does_every_part(k, longest):
    done = np.zeros(23)

    def task(a, b):
        done[a:b] += 1.0
        np.log(np.zeros(1))  # in silence

    in_threads(task, 23, k, longest)
    np.testing.assert_array_equal(done, 1.0)


def test_in_turn_keeps_the_order():
    assert in_turn(lambda x: x * x, range(9)) == [x * x for x in range(9)]
    here = threading.current_thread()
    assert in_turn(lambda _: threading.current_thread(), [0]) == [here]


def blas_threads():
    return [
        library["num_threads"]
        for library in one_blas_thread._controller.info()
        if library["user_api"] == "blas"
    ]


def test_one_blas_thread_is_left_by_the_last():
    before = blas_threads()
    with one_blas_thread:
        with one_blas_thread:
            assert set(blas_threads()) == {1}
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


FORKED = """
import os, signal
import numpy as np
from skgpng._linalg import Arrays

A = np.random.RandomState(0).randn(130, 3000)
double = lambda: Arrays.tiled(lambda algebra, A: (2.0 * A, A @ A.T), [], [A], 1)
expected = double()  # starts the threads of this process
child = os.fork()
if not child:
    signal.alarm(60)  # a pool without threads would wait for ever
    same = [np.allclose(a, b) for a, b in zip(double(), expected, strict=True)]
    os._exit(0 if all(same) else 1)
assert os.waitpid(child, 0)[1] == 0, "the forked child"
double()  # and the parent's threads are still there
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_forked_child_has_threads_of_its_own():
    done = subprocess.run(
        [sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
