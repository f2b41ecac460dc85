"""Who runs the workers. An engine submits a job, tells its state, and cancels it; what is done stands in the ledger alone."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from coupling.errors import UserError
from multiscale.sweeps.worker import DRIVER, start_of

Progress = Literal["waiting", "running", "ended"]
Style = Literal["scan", "array", "design"]


@dataclass(frozen=True)
class Job:
    """A command line to be run.

    Attributes:
        name: of its worker; an array adds its index.
        words: the command.
        log: file that takes what it says.
        copies: how many elements an array has.
        design: the only design it runs; None for one that goes through the list.
    """

    name: str
    words: tuple[str, ...]
    log: Path
    copies: int = 1
    design: str | None = None


@dataclass(frozen=True)
class JobState:
    """What has become of a job; `note` says how it ended where that was not well."""

    progress: Progress
    note: str = ""


class Engine(Protocol):
    """Three verbs, and how jobs are cut: "scan" a job a slot, "array" one job with an element a slot, "design" a job a design."""

    style: Style

    def submit(self, job: Job) -> str:
        """Start a job, or put it into a queue; gives its handle."""
        ...

    def poll(self, handle: str) -> JobState:
        """What has become of it."""
        ...

    def cancel(self, handle: str) -> None:
        """End it, whatever it does."""
        ...

    def close(self) -> None:
        """Let go of what the engine holds."""
        ...


def worker_words(store: Path, listed: Path, name: str, ranks: int, design: str | None = None) -> tuple[str, ...]:
    """The command line of a worker, under mpirun where a design runs on several ranks."""
    words = [sys.executable, "-m", "multiscale", "sweep", "work", str(store.resolve())]
    words += ["--list", str(listed.resolve()), "--name", name, *(["--design", design] if design else [])]
    if ranks == 1:
        return tuple(words)
    if shutil.which("mpirun") is None:
        raise UserError(f"{ranks} ranks a design need mpirun, which is not there; install MPI or take --ranks 1")
    return "mpirun", "--bind-to", "none", "-n", str(ranks), *words


class LocalPool:
    """Processes on this machine; none of them outlives the driver."""

    style: Style = "scan"

    def __init__(self) -> None:
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def submit(self, job: Job) -> str:
        """Start a process in a group of its own."""
        job.log.parent.mkdir(parents=True, exist_ok=True)
        environment = {"OMP_NUM_THREADS": "1", **os.environ, DRIVER: f"{os.getpid()}:{start_of(os.getpid())}"}
        with job.log.open("ab") as log:
            process = subprocess.Popen(
                job.words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        self._processes[job.name] = process
        return job.name

    def poll(self, handle: str) -> JobState:
        """Running, or how it ended."""
        code = self._processes[handle].poll()
        if code is None:
            return JobState("running")
        return JobState("ended", "" if code == 0 else _ending(code))

    def cancel(self, handle: str) -> None:
        """End the group: kindly, then not."""
        process = self._processes[handle]
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                _signal(process.pid, number)
                _wait(process, 3.0)

    def close(self) -> None:
        """End all that still run."""
        for handle, process in self._processes.items():
            if process.poll() is None:
                self.cancel(handle)


def _signal(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)


def _ending(code: int) -> str:
    """'signal SIGKILL' or 'status 3'."""
    number = -code if code < 0 else code - 128 if 128 < code < 160 else 0
    try:
        return f"signal {signal.Signals(number).name}" if number else f"status {code}"
    except ValueError:
        return f"status {code}"
