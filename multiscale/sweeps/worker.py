"""A worker: goes through a sweep's list and runs whatever nobody has done or is doing. Any number of them, on any machine."""

import contextlib
import ctypes
import json
import os
import platform
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coupling.errors import RunFailure, UserError
from multiscale.critical_current.shelf import Shelf
from multiscale.sweeps.identity import read_identity
from multiscale.sweeps.ledger import LOST, Status, Store, beating, begun
from multiscale.sweeps.result_stamps import discard
from multiscale.sweeps.solve import solve

DRIVER = "MULTISCALE_SWEEP_DRIVER"
"""Environment variable that names the process a local worker must not outlive: "pid:start"."""
PER_PROCESS = 50
"""Designs that one process runs before a fresh one takes its place, so that no leak of a library adds up."""
LONGEST_REASON = 1000
_LOOK_SECONDS = 0.5
_WAIT_SECONDS = 5.0
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of linux/prctl.h


@dataclass(frozen=True)
class Shift:
    """What a worker is to do.

    Attributes:
        names: designs in their order.
        worker: its name in the ledger.
        most: designs it runs at most.
    """

    store: Store
    names: tuple[str, ...]
    worker: str
    most: int = PER_PROCESS


def read_shift(store: Path, listed: Path, worker: str, only: str | None = None, most: int = PER_PROCESS) -> Shift:
    """The work of a list, or of one design of it.

    Raises:
        UserError: the list cannot be read.
    """
    try:
        names = tuple(dict.fromkeys(row["design"] for row in json.loads(listed.read_text(encoding="utf-8"))))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{listed}: no list of designs ({error}); `multiscale sweep run CASE` writes one") from None
    return Shift(Store(store), (only,) if only else names, worker, most)


def recipe_of(folder: Path) -> dict[str, Any]:
    """What decides the answers of a design besides its case. Raises UserError where it cannot be read."""
    try:
        found: dict[str, Any] = json.loads((folder / "design.json").read_text(encoding="utf-8"))["recipe"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}: the design cannot be read ({error}); delete the folder and run the sweep again") from None
    return found


def runs_a_command(shift: Shift) -> bool:
    """Whether the designs are computed by the user's own command: then no MPI is started."""
    return bool(shift.names) and bool(recipe_of(shift.store.design(shift.names[0]))["command"])


def work(shift: Shift, comm: Any = None) -> int:
    """Run designs until none is left that nobody holds, or the shift is over; gives how many were run.

    Raises:
        RunFailure: a status cannot be written (full disk), or one rank alone failed.
    """
    leads = comm is None or comm.rank == 0
    waiting, ran, shelf = list(shift.names), 0, Shelf()
    while ran < shift.most:
        busy: list[str] = []
        candidates: Iterator[str] = (name for name in waiting if not shift.store.status(name).is_over)
        while ran < shift.most:
            name = next(candidates, None) if leads else None
            name = comm.bcast(name) if comm is not None else name
            if name is None:
                break
            with shift.store.claim(name, comm) as free:
                if free:
                    ran += _run(shift, name, comm, shelf)
                else:
                    busy.append(name)
        again = leads and bool(busy) and len(busy) < len(waiting)
        waiting = busy
        if not (comm.bcast(again) if comm is not None else again):
            break
    return ran


def _run(shift: Shift, name: str, comm: Any, shelf: Shelf) -> bool:
    """Run a design that this worker holds, unless it has been finished meanwhile; False in that case."""
    store, leads = shift.store, comm is None or comm.rank == 0
    before = store.status(name) if leads else None
    before = comm.bcast(before) if comm is not None else before
    assert before is not None
    if before.is_over or _is_a_death_to_count(before):
        return False
    now = begun(before, shift.worker)
    if leads:
        if (before.reason or "").startswith(LOST):
            discard(store.design(name))
        store.say(name, now)
    beat = beating(store.design(name) / "heartbeat") if leads else contextlib.nullcontext()
    with _log(store.design(name) / "log.txt", leads), beat:
        reason, answers = _attempt(store.design(name), name, comm, shelf)
    if leads:
        finished = time.time()
        outcome = {"state": "failed", "reason": reason} if reason else {"state": "done", "answers": answers}
        store.say(name, replace(now, finished=finished, wall_s=finished - now.started, **outcome))
    if comm is not None and comm.size > 1 and not _all_come(comm):
        raise RunFailure(f"design {name}: one rank alone failed: {reason or 'another one'}")
    return True


def _is_a_death_to_count(before: Status) -> bool:
    """Whether a worker of the same local driver died in a design: the driver counts that before anybody runs it again."""
    driver = os.environ.get(DRIVER, "").partition(":")[0]
    here = before.state == "running" and before.host == platform.node()
    return here and bool(driver) and before.worker.startswith(f"{driver}-")


def _attempt(folder: Path, name: str, comm: Any, shelf: Shelf) -> tuple[str | None, Mapping[str, Any]]:
    """Why the design failed, or its answers."""
    try:
        if read_identity(folder) != name:
            raise UserError(f"{folder}: its files were changed and are no longer this design; delete the folder")
        return None, solve(folder, recipe_of(folder), comm, shelf)
    except (UserError, RunFailure) as error:
        print(f"failed: {error}", flush=True)
        return str(error)[:LONGEST_REASON], {}
    except Exception as error:
        if comm is not None and comm.size > 1:
            raise  # the other ranks may still be in the middle of something: all must end
        print(traceback.format_exc(), flush=True)
        return f"internal error, please report it: {type(error).__name__}: {error}"[:LONGEST_REASON], {}


def _all_come(comm: Any) -> bool:
    """Whether every rank has ended the design, within a moment."""
    arrived, deadline = comm.Ibarrier(), time.monotonic() + _WAIT_SECONDS
    while not (together := arrived.Test()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return bool(together)


@contextlib.contextmanager
def _log(path: Path, leads: bool) -> Iterator[None]:
    """What a design says goes into its own file."""
    with path.open("a", encoding="utf-8") if leads else open(os.devnull, "w", encoding="utf-8") as stream:
        with contextlib.redirect_stdout(stream):
            yield


def follow_driver() -> None:
    """End this process, at once and however, when the driver named in the environment is gone."""
    pid, _, start = os.environ.get(DRIVER, "").partition(":")
    if not pid.isdigit():
        return
    if os.getppid() == int(pid):
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if start_of(int(pid)) != start:
        os.kill(os.getpid(), signal.SIGKILL)

    def watch() -> None:
        while start_of(int(pid)) == start:
            time.sleep(_LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="driver watch", daemon=True).start()


def start_of(pid: int) -> str:
    """When a process was started, in the clock of its machine; "" where it is gone."""
    try:
        after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if after[0] in ("Z", "X") else after[19]
    except OSError:
        return ""
