"""The cache of compiled forms: a killed compile is repeated, another's is waited for, a hopeless wait ends in words."""

import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from launch import MPI_SETTINGS, ROOT

from coupling.errors import RunFailure
from multiscale import jit_cache

COMPILE = """
import os, sys
from mpi4py import MPI
import ufl
from dolfinx import fem, mesh
from multiscale import jit_cache
if "kill" in sys.argv:
    import ffcx.codegeneration.jit as jit
    jit._compile_objects = lambda *a, **k: os.kill(os.getpid(), 9)
jit_cache.mend()
square = mesh.create_unit_square(MPI.COMM_SELF, 1, 1)
form = fem.form(fem.Constant(square, 3.25) * ufl.dx)
print("integral", fem.assemble_scalar(form))
"""


def program(cache: Path, *words: str) -> subprocess.CompletedProcess:
    environment = {**MPI_SETTINGS, **os.environ, "XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-c", COMPILE, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=ROOT, env=environment, check=False)


def test_a_killed_compile_is_repeated(tmp_path):
    """kill -9 in the compiler: the mark is there, the form is not; the next process compiles it all the same."""
    assert program(tmp_path, "kill").returncode == -9
    (left,) = [path for path in tmp_path.rglob("libffcx_forms_*.c") if not path.with_suffix(".c.cached").exists()]
    os.utime(left, (time.time() - 60, time.time() - 60))
    done = program(tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "integral 3.25" in done.stdout


def search_of(calls: list[str]):
    """FFCx's search without a compiler: marks what is not there, else finds it."""

    def search(name, objects, cache, timeout):
        calls.append(name)
        try:
            (Path(cache) / f"{name}.c").open("x").close()
        except FileExistsError:
            return "objects", "module"
        return None, None

    return search


def test_another_process_is_waited_for(tmp_path):
    """While its lock is held nothing is marked; once it is ready the module is read."""
    calls: list[str] = []
    (tmp_path / "m.c").touch()
    owner = (tmp_path / "m.c.owner").open("w")
    fcntl.flock(owner, fcntl.LOCK_EX)
    threading.Timer(0.5, (tmp_path / "m.c.cached").touch).start()
    start = time.monotonic()
    assert jit_cache.guarded(search_of(calls))("m", [], tmp_path, 1) == ("objects", "module")
    assert time.monotonic() - start > 0.4
    owner.close()


def test_a_wait_without_end_is_told(tmp_path):
    owner = (tmp_path / "m.c.owner").open("w")
    fcntl.flock(owner, fcntl.LOCK_EX)
    with pytest.raises(RunFailure, match="another process has been compiling this form for 0 s"):
        jit_cache.guarded(search_of([]), patience=0.3)("m", [], tmp_path, 1)
    owner.close()


def test_an_own_compile_that_failed_is_tried_again(tmp_path):
    """FFCx takes its mark away when the compiler fails: the same process marks it anew, without waiting for itself."""
    calls: list[str] = []
    search = jit_cache.guarded(search_of(calls))
    assert search("m", [], tmp_path, 1) == (None, None)
    (tmp_path / "m.c").unlink()
    assert search("m", [], tmp_path, 1) == (None, None)
    (tmp_path / "m.c.cached").touch()
    assert search("m", [], tmp_path, 1) == ("objects", "module")
    assert tmp_path / "m.c" not in jit_cache._held


def test_a_young_mark_of_another_program_gets_its_time(tmp_path):
    """Without a lock it may be plain DOLFINx at work: it is waited for, then taken away."""
    (tmp_path / "m.c").touch()
    start = time.monotonic()
    assert jit_cache.guarded(search_of([]), foreign=0.6)("m", [], tmp_path, 1) == (None, None)
    assert time.monotonic() - start > 0.4
