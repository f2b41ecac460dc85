"""The cache of compiled forms: a compile that was killed is repeated, one that another process is at is waited for.

FFCx marks a form that is being compiled by its empty C file alone. When the compiler is killed the mark stays, and every later
run ends after ten seconds ("JIT compilation timed out"). Here the compiling process also holds a lock beside the mark, which the
system takes from it when it dies.
"""

import fcntl
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import dolfinx.jit
import ffcx.codegeneration.jit as ffcx_jit

from coupling.errors import RunFailure

PATIENCE = 300.0
"""Longest time for which the compile of another process is waited for, s."""
FOREIGN = 10.0
"""Age of a mark without a lock, s, from which it is taken for one left behind: as long as DOLFINx alone would wait for it."""
Found = tuple[Any, Any]
Search = Callable[[str, list[str], Path, int], Found]
_held: dict[Path, IO[str]] = {}


def mend() -> None:
    """Let this process take up compiles that were killed; once is enough."""
    if not hasattr(ffcx_jit.get_cached_module, "search"):
        ffcx_jit.get_cached_module = guarded(ffcx_jit.get_cached_module)
        said = dolfinx.jit.DOLFINX_DEFAULT_JIT_OPTIONS["timeout"][1]
        dolfinx.jit.DOLFINX_DEFAULT_JIT_OPTIONS["timeout"] = (int(PATIENCE), said)


def guarded(search: Search, patience: float = PATIENCE, foreign: float = FOREIGN) -> Search:
    """FFCx's search in its cache, which also marks what is not there yet, with a lock beside the mark.

    What was found is kept in memory: every search lists the whole cache folder, of thousands of files after a while.
    """
    loaded: dict[tuple[Path, tuple[str, ...]], Found] = {}

    def found(module_name: str, object_names: list[str], cache_dir: Path, timeout: int) -> Found:
        mark = Path(cache_dir) / f"{module_name}.c"
        if (mark, tuple(object_names)) in loaded:
            return loaded[mark, tuple(object_names)]
        ready = mark.with_suffix(".c.cached")
        for path in [path for path in _held if path.with_suffix(".c.cached").exists()]:
            _held.pop(path).close()
        if not ready.exists() and mark not in _held and _locked(mark, ready, patience) and not ready.exists():
            _remove_left(mark, ready, foreign)
        objects, module = search(module_name, object_names, cache_dir, timeout)
        if objects is not None:
            loaded[mark, tuple(object_names)] = objects, module
        return objects, module

    found.search = search  # type: ignore[attr-defined]
    return found


def _locked(mark: Path, ready: Path, patience: float) -> bool:
    """Wait until this process holds the lock (True), or the module is ready (False). Raises RunFailure after the patience."""
    mark.parent.mkdir(parents=True, exist_ok=True)
    owner = mark.with_suffix(".c.owner").open("w")
    end = time.monotonic() + patience
    while not ready.exists():
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > end:
                raise RunFailure(
                    f"{mark}: another process has been compiling this form for {patience:.0f} s; stop it, or wait and run again"
                ) from None
            time.sleep(0.1)
            continue
        _held[mark] = owner
        return True
    owner.close()
    return False


def _remove_left(mark: Path, ready: Path, foreign: float) -> None:
    """Take away a mark that nobody stands behind; one without a lock may be of another program, which gets its time."""
    while mark.exists() and not ready.exists():
        try:
            age = time.time() - mark.stat().st_mtime
        except FileNotFoundError:
            return
        if age >= foreign:
            mark.unlink(missing_ok=True)
            return
        time.sleep(min(0.1, foreign - age))
