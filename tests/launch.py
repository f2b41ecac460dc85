"""Runs the `multiscale` command as a user would, alone or under mpirun, with a time limit."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MPI_SETTINGS = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe", "OMPI_MCA_rmaps_base_oversubscribe": "1",
}  # fmt: skip


def multiscale(*arguments: object, ranks: int = 1, timeout: float = 120.0, **changes: str) -> subprocess.CompletedProcess:
    """Completed `multiscale ARGUMENTS`; `changes` are added to the environment. A hang fails by its time limit."""
    command = [sys.executable, "-m", "multiscale", *map(str, arguments)]
    if ranks > 1:
        command = ["mpirun", "-n", str(ranks), *command]
    environment = {**MPI_SETTINGS, **os.environ, **changes}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, cwd=ROOT, env=environment, check=False
    )


def python(code: str, ranks: int, timeout: float = 60.0) -> subprocess.CompletedProcess:
    """Completed `python -c CODE` under mpirun."""
    command = ["mpirun", "-n", str(ranks), sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, cwd=ROOT, env={**MPI_SETTINGS, **os.environ}, check=False
    )


def kill_tree(process: subprocess.Popen) -> None:
    """SIGKILL to a process and everything below it: mpirun puts its ranks into process groups of their own."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # ended meanwhile
    family = {process.pid}
    while below := {child for child, parent in parents.items() if parent in family} - family:
        family |= below
    for member in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
    process.wait()
