"""Runs the `multiscale` command as a user would, alone or under mpirun, with a time limit."""

import atexit
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SESSIONS = tempfile.mkdtemp(prefix="mpi-")
"""Where mpirun keeps its sessions: one left by a killed run is in the way of a later one that gets its process number."""
atexit.register(shutil.rmtree, SESSIONS, ignore_errors=True)
MPI_SETTINGS = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe", "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_prte_tmpdir_base": SESSIONS,
    "OMPI_MCA_mpi_yield_when_idle": "1",  # ranks that wait must not take a shared core from the one they wait for
}  # fmt: skip


def multiscale(*arguments: object, ranks: int = 1, timeout: float = 120.0, **changes: str) -> subprocess.CompletedProcess:
    """Completed `multiscale ARGUMENTS`; `changes` are added to the environment. A hang fails by its time limit."""
    command = [sys.executable, "-m", "multiscale", *map(str, arguments)]
    if ranks > 1:
        command = ["mpirun", "-n", str(ranks), *command]
    environment = {**MPI_SETTINGS, **os.environ, **changes}
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=ROOT, env=environment, check=False)


def python(code: str, ranks: int, timeout: float = 60.0) -> subprocess.CompletedProcess:
    """Completed `python -c CODE` under mpirun."""
    command = ["mpirun", "-n", str(ranks), sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, cwd=ROOT, env={**MPI_SETTINGS, **os.environ}, check=False
    )


def answers_of_ranks(script: str, folder: Path, timeout: float = 120.0) -> list[list[float]]:
    """What a script writes to the JSON file PATH on 1, 2 and 3 ranks."""
    answers = []
    for ranks in (1, 2, 3):
        path = folder / f"{ranks}.json"
        done = python(script.replace("PATH", str(path)), ranks, timeout=timeout)
        assert done.returncode == 0, done.stderr[-2000:]
        answers.append(json.loads(path.read_text(encoding="utf-8")))
    return answers


def start(*arguments: object, ranks: int) -> subprocess.Popen:
    """`multiscale ARGUMENTS` under mpirun, running."""
    command = ["mpirun", "-n", str(ranks), sys.executable, "-m", "multiscale", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, env={**MPI_SETTINGS, **os.environ}, stdout=subprocess.DEVNULL)


def family(pid: int) -> set[int]:
    """A process and everything below it."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # ended meanwhile
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while below := {child for child, parent in parents.items() if parent in found} - found:
        found |= below
    return found


def kill_tree(process: subprocess.Popen) -> None:
    """SIGKILL to a process and everything below it: mpirun puts its ranks into process groups of their own."""
    for member in family(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
    process.wait()


def kill_launcher(process: subprocess.Popen, ranks: int, seconds: float = 20.0) -> None:
    """SIGKILL to mpirun alone; its ranks must end by themselves in time."""
    below = family(process.pid) - {process.pid}
    assert len(below) >= ranks
    process.kill()
    process.wait()
    deadline = time.monotonic() + seconds
    while (alive := {pid for pid in below if is_running(pid)}) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in alive:
        os.kill(pid, signal.SIGKILL)
    assert not alive, f"{len(alive)} of {ranks} ranks lived on without their mpirun"


def is_running(pid: int) -> bool:
    """Whether a process is there and not just waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def is_free(lock: Path, seconds: float = 5.0) -> bool:
    """Whether nobody holds a lock file, soon: a process that looks buried closes its files when its last thread has ended."""
    deadline = time.monotonic() + seconds
    with lock.open("a") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return False
            time.sleep(0.05)


@contextlib.contextmanager
def heard_interrupts() -> Iterator[None]:
    """Ctrl-C raises here, and ends what is started here, though tests run in the background (where shells have it ignored)."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
