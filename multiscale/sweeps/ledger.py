"""The store of a sweep: one folder a design, named by its hash, and what is known of each; the only truth about what is done.

STORE/designs/HASH/   case.toml, materials/, design.json, results/, log.txt   the design, a case like any other
                      .lock        held by every rank that works on it, free as soon as the last of them is gone, however it went
                      heartbeat    touched while it is worked on: seen from other machines whose locks do not reach here
                      status.json  replaced in one step; says "done" only after the results have been read and checked, and is
                                   believed only while they lie there (`result_stamps`)
STORE/lists/          which designs a sweep consists of, in its order
"""

import contextlib
import json
import os
import platform
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from coupling.atomic import write_json
from coupling.errors import UserError
from coupling.lock import alone
from coupling.store import digest
from multiscale.sweeps.result_stamps import Stamps, damage, stamps

State = Literal["waiting", "running", "done", "failed"]
BEAT = 10.0
"""Seconds between two touches of the heartbeat."""
SILENCE = 120.0
"""A design that another machine works on is given up for lost after so many seconds without a touch."""
LOST = "was done, but "
"""How the reason of a design begins that waits because its results are gone."""
MOST_DEATHS = 2
"""A design whose process died so often by itself has failed."""


@dataclass(frozen=True)
class Status:
    """What is known of a design.

    Attributes:
        reason: why it failed, or has to be computed again.
        worker, host, pid: who works or worked on it.
        started, finished: seconds since 1970.
        wall_s: of the run that finished it.
        attempts: how often it was begun.
        deaths: how often its process died by itself.
        answers: numbers of the finished design, by column.
        results: size and last change of its result files when it was finished.
    """

    state: State = "waiting"
    reason: str | None = None
    worker: str = ""
    host: str = ""
    pid: int = 0
    started: float = 0.0
    finished: float = 0.0
    wall_s: float = 0.0
    attempts: int = 0
    deaths: int = 0
    answers: Mapping[str, Any] = field(default_factory=dict)
    results: Stamps = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return self.state in ("done", "failed")


_FIELDS = {item.name for item in fields(Status)}


@dataclass(frozen=True)
class Store:
    """The folder of a sweep's designs."""

    folder: Path

    def design(self, name: str) -> Path:
        """Folder of a design."""
        return self.folder / "designs" / name

    def status(self, name: str) -> Status:
        """What is known of a design; "waiting" where nothing is, or nothing that can be read, or its results are gone."""
        try:
            with open(f"{self.folder}/designs/{name}/status.json", encoding="utf-8") as stream:  # read by the ten thousand
                data = json.loads(stream.read())
            found = Status(**{key: value for key, value in data.items() if key in _FIELDS})
            lost = damage(f"{self.folder}/designs/{name}", found.results) if found.state == "done" else None
        except (OSError, ValueError, TypeError, AttributeError):
            return Status()
        return Status(reason=f"{LOST}{lost}", attempts=found.attempts) if lost else found

    def say(self, name: str, status: Status) -> None:
        """Replace what is known of a design, in one step. Raises RunFailure where it cannot be written."""
        if status.state == "done":
            status = replace(status, results=stamps(self.design(name)))
        write_json(self.design(name) / "status.json", asdict(status))

    def write_list(self, rows: Sequence[Mapping[str, Any]], key: str = "") -> Path:
        """Keep the list of a sweep's designs, under a key of all that it follows from, else under the hash of what it says."""
        path = self.folder / "lists" / f"{key or digest(list(rows))}.json"
        if not path.is_file():
            write_json(path, list(rows))
        return path

    def read_list(self, key: str) -> list[dict[str, Any]] | None:
        """A list that was kept under a key, or None where there is none that can be read."""
        try:
            rows = json.loads((self.folder / "lists" / f"{key}.json").read_text(encoding="utf-8"))
            return rows if all({"design", "replica", "values"} <= set(row) for row in rows) else None
        except (OSError, ValueError, TypeError):
            return None

    def is_held(self, name: str) -> bool:
        """Whether somebody works on a design just now."""
        with self.claim(name) as free:
            return not free

    @contextlib.contextmanager
    def claim(self, name: str, comm: Any = None, heed_heartbeat: bool = True) -> Iterator[bool]:
        """Hold a design on every rank until the block ends; gives False (on every rank) where somebody else does.

        `heed_heartbeat = False`: whoever touched it last is known to be gone.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(alone(self.design(name) / ".lock", comm))
            except UserError:
                yield False
                return
            leads = comm is None or comm.rank == 0
            elsewhere = heed_heartbeat and self._is_alive_elsewhere(name) if leads else None
            yield not (comm.bcast(elsewhere) if comm is not None else elsewhere)

    def _is_alive_elsewhere(self, name: str) -> bool:
        """Whether another machine, whose lock this file system may not show, has touched the heartbeat lately."""
        status = self.status(name)
        if status.state != "running" or status.host == platform.node():
            return False
        try:
            last = (self.design(name) / "heartbeat").stat().st_mtime
        except OSError:
            return False
        with tempfile.NamedTemporaryFile(dir=self.design(name), prefix=".now-") as now:  # by the clock of the file server
            return os.stat(now.name).st_mtime - last < SILENCE


@contextlib.contextmanager
def beating(path: Path) -> Iterator[None]:
    """Touch a file now and then until the block ends."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT):
            with contextlib.suppress(OSError):
                path.touch()

    path.touch()
    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def begun(before: Status, worker: str) -> Status:
    """The status of a design whose run begins here and now."""
    return Status(
        state="running", worker=worker, host=platform.node(), pid=os.getpid(), started=time.time(),
        attempts=before.attempts + 1, deaths=before.deaths,
    )  # fmt: skip


def bury(store: Store, name: str, worker: str, reason: str, final: bool = False) -> Status:
    """Note that the process of `worker` died while it ran a design: once more, or (`final`, or too often) for the last time.

    Nothing happens where the design has been finished or taken over by somebody else.
    """
    with store.claim(name, heed_heartbeat=False) as free:
        status = store.status(name)
        if not free or status.state != "running" or status.worker != worker:
            return status
        deaths = status.deaths + 1
        lost = Status(attempts=status.attempts, deaths=deaths, reason=reason)
        if final or deaths >= MOST_DEATHS:
            told = reason if final else f"its process died {deaths} times ({reason}); see {store.design(name) / 'log.txt'}"
            lost = Status(state="failed", reason=told, attempts=status.attempts, deaths=deaths, worker=worker,
                          host=status.host, started=status.started, finished=time.time())  # fmt: skip
        store.say(name, lost)
        return lost


def forgive(store: Store, name: str) -> None:
    """Let a failed design be tried again."""
    with store.claim(name) as free:
        if free and store.status(name).state == "failed":
            store.say(name, Status(attempts=store.status(name).attempts))
