"""available, refuse_beyond, keep_freed: what cannot fit is refused, what is at hand is kept."""

from __future__ import annotations

import os
import platform

import numpy as np
import pytest
from processes import fresh
from sklearn.gaussian_process.kernels import RBF

from skgpng import GaussianProcessClassifier, GaussianProcessRegressor
from skgpng._runtime import memory

# --- available -------------------------------------------------------------------------------


def _write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine with 8 MiB available, none of it limited."""
    monkeypatch.setattr(memory, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "cgroup")
    text = "MemTotal: 16384 kB\nMemAvailable:  6144 kB\nSwapFree:  2048 kB\n"
    _write(tmp_path / "proc", meminfo=text)
    return tmp_path


def test_memory_of_the_machine(system):
    assert memory.available() == 2**23


@pytest.mark.parametrize("where", ["a/b", "a", "."])
def test_memory_left_in_a_group(system, where):
    _write(system / "proc" / "self", cgroup="0::/a/b\n")
    _write(
        system / "cgroup" / where,
        memory__max="5000000\n",
        memory__current="2000000\n",
        memory__stat="anon 7\ninactive_file 1000\n",
    )
    _write(system / "cgroup" / "a", cgroup__procs="")
    assert memory.available() == 3_001_000
    _write(system / "cgroup" / where, memory__max="max\n")
    assert memory.available() == 2**23


def test_memory_left_in_a_group_of_the_first_version(system):
    _write(system / "proc" / "self", cgroup="3:cpu:/a\n4:memory:/a\n0::/\n")
    _write(
        system / "cgroup" / "memory" / "a",
        memory__limit_in_bytes="5000000\n",
        memory__usage_in_bytes="2000000\n",
        memory__stat="total_inactive_file 0\n",
    )
    assert memory.available() == 3_000_000


def test_memory_of_systems_without_proc(system, monkeypatch):
    (system / "proc" / "meminfo").unlink()
    assert memory.available() >= 2**20
    monkeypatch.delattr(os, "sysconf")
    assert memory.available() == float("inf")


# --- refuse_beyond ---------------------------------------------------------------------------


@pytest.fixture
def ten_gib(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 10 * 2.0**30)


@pytest.mark.parametrize("estimator", [GaussianProcessRegressor, GaussianProcessClassifier])
def test_exact_models_of_too_many_rows_are_refused(estimator, ten_gib):
    X = np.arange(200_000.0)[:, None]
    says = r"at least 894 GiB for the 200,000 x 200,000 .*n_inducing=None.*10.0 GiB.*Use n_inducing"
    with pytest.raises(ValueError, match=says):
        estimator(n_inducing=None).fit(X, X[:, 0] > 1e5)


def test_too_many_inducing_points_are_refused(ten_gib):
    X = np.arange(100_000.0)[:, None]
    with pytest.raises(ValueError, match="100,000 x 100,000 .*Use a smaller n_inducing"):
        GaussianProcessRegressor(n_inducing=100_000).fit(X, X[:, 0])
    with pytest.raises(ValueError, match="60,000 x 60,000 .*Use a smaller n_inducing"):
        GaussianProcessRegressor(n_inducing=60_000).partial_fit(X, X[:, 0])


@pytest.mark.parametrize("method", ["predict", "sample_y"])
def test_covariances_of_too_many_rows_are_refused(method, ten_gib):
    model = GaussianProcessRegressor(RBF(), max_iter=2).fit([[0.0], [1.0]], [0.0, 1.0])
    X = np.zeros((100_000, 1))
    given = {"return_cov": True} if method == "predict" else {}
    with pytest.raises(
        ValueError, match="at least 149 GiB for the covariances of 100,000 rows.*fewer rows"
    ):
        getattr(model, method)(X, **given)
    assert np.isfinite(model.predict(X, return_std=True)).all()


def test_what_fits_is_not_refused(monkeypatch, rows):
    monkeypatch.setattr(memory, "available", lambda: 0.0)
    GaussianProcessRegressor(RBF(), max_iter=2).fit(*rows)  # below a GiB nobody looks
    memory.refuse_beyond(2.0**29, "a matrix", "Use less.")
    with pytest.raises(ValueError, match="at least 2 GiB for a matrix, and 0.0 GiB .* Use less."):
        memory.refuse_beyond(2.0**31, "a matrix", "Use less.")


# --- keep_freed ------------------------------------------------------------------------------


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="its memory")
@pytest.mark.parametrize("set_before", [{}, {"MALLOC_TRIM_THRESHOLD_": "65536"}])  # Dask's
def test_freed_memory_is_kept_for_the_next_matrices(set_before):
    code = """
        import resource
        import numpy as np
        from skgpng._runtime.memory import keep_freed

        def faults():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(20):
                [np.ones(2**18) for _ in range(12)]  # 512 pages each
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

        keep_freed()
        faults()
        print(faults())
    """
    assert int(fresh(code, **set_before)[0]) < 100
