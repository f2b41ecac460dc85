"""Spreads independent tasks over MPI ranks and keeps each finished one, so that nothing is done twice.

Every rank takes the longest task that nobody has taken (a file created exclusively in the store), works on it alone and
writes its answer to `<key>.json` in one step. What a task computes depends on the task only, so the answers do not depend on the
number of ranks. The communicator is only asked for its rank, a broadcast and a barrier; mpi4py is not imported here.
"""

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coupling.atomic import write_json
from coupling.errors import RunFailure
from coupling.lock import alone

Progress = Callable[[str, float], None]
Tick = Callable[[float], None]
Work = Callable[["Task", Path, Tick], Mapping[str, Any]]

OVERALL = "atomistic stage"
"""Label under which the finished share of the whole is reported."""
POLL_SECONDS = 0.1
REPORT_SECONDS = 0.5
LOOK_SECONDS = 3.0
"""How often a waiting rank looks whether the others are still there."""


@dataclass(frozen=True)
class Task:
    """One independent run.

    Attributes:
        key: hash of everything its answer depends on. label: for people. cost: estimated seconds.
        kind: what to do. parameters: with what (JSON-ready).
        run: hash of everything but the length of its run, so that a longer one goes on with a shorter one's; "": as the key.
        picoseconds: of its molecular dynamics, all walkers and parts together; 0: it has none, or keeps none of it.
        step: ps of one time step of all its walkers, for dynamics that is kept by the number of steps (`study_cost.held`).
    """

    key: str
    label: str
    cost: float
    kind: str
    parameters: Mapping[str, Any]
    run: str = ""
    picoseconds: float = 0.0
    step: float = 0.0

    @property
    def folder(self) -> str:
        """Name of the folder of its checkpoints."""
        return self.run or self.key


def finished(store: Path, task: Task) -> dict[str, Any] | None:
    """Answer of a task kept in the store, None when it is missing or unreadable."""
    try:
        data = json.loads((store / f"{task.key}.json").read_text(encoding="utf-8"))
        return dict(data["answer"]) if data["key"] == task.key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def run_tasks(
    tasks: Sequence[Task], work: Work, store: str | Path, comm: Any = None, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Answers of all tasks in their order, on every rank.

    Args:
        tasks: independent tasks with different keys.
        work: (task, folder of its own for checkpoints, tick(share)) → JSON-ready answer.
        store: folder of the answers, shared by all ranks.
        comm: mpi4py communicator, None for a single process.
        progress: (label, share 0 … 1), called on rank 0 for the tasks of all ranks and for the whole (OVERALL).

    Raises:
        UserError: another run works in this store, or it cannot be written.
        RunFailure: a rank is gone, or an answer cannot be read back. Exceptions of `work` pass through.
    """
    store = Path(store)
    rank = comm.rank if comm is not None else 0
    board = _Board(store / "progress", rank, tasks, store, progress)
    with alone(store / "lock", comm):
        claims = _fresh(store, comm)
        with _present(board.folder, rank):
            for task in sorted(tasks, key=lambda task: (-task.cost, task.key)):
                if finished(store, task) is None and _claim(claims / task.key):
                    _do(task, work, store, board)
            _wait(comm, board)
            if rank == 0:
                shutil.rmtree(store / "claims", ignore_errors=True)
                shutil.rmtree(board.folder, ignore_errors=True)
                board.report(force=True)
            answers = [finished(store, task) for task in tasks] if rank == 0 else None
            answers = comm.bcast(answers, root=0) if comm is not None else answers
    assert answers is not None
    missing = [task.label for task, answer in zip(tasks, answers, strict=True) if answer is None]
    if missing:
        raise RunFailure(f"{store}: no answer of {', '.join(missing)} could be read back; run the same command again")
    return [answer for answer in answers if answer is not None]


def _fresh(store: Path, comm: Any) -> Path:
    """An empty folder for the claims of this run, without what a killed run left; the same on every rank."""
    name = f"{time.time_ns()}-{os.getpid()}"
    if comm is None or comm.rank == 0:
        for left in ("claims", "progress"):
            shutil.rmtree(store / left, ignore_errors=True)
        (store / "claims" / name).mkdir(parents=True)
    return store / "claims" / (comm.bcast(name) if comm is not None else name)


def _do(task: Task, work: Work, store: Path, board: "_Board") -> None:
    """Work on one task and keep its answer."""
    folder = store / task.folder
    folder.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    board.update(task.label, 0.0)
    answer = work(task, folder, lambda share: board.update(task.label, share))
    seconds = round(time.monotonic() - begin, 2)
    write_json(
        store / f"{task.key}.json",
        {
            "key": task.key,
            "label": task.label,
            "kind": task.kind,
            "parameters": task.parameters,
            "seconds": seconds,
            "answer": answer,
        },
    )
    board.update(task.label, 1.0)


def _claim(path: Path) -> bool:
    """Whether this rank is the first to take the task."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    return True


@contextlib.contextmanager
def _present(folder: Path, rank: int) -> Iterator[None]:
    """Hold a file of this rank in `folder`; the system lets go of it when the process ends, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{rank}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _gone(folder: Path) -> set[str]:
    """Ranks whose file nobody holds."""
    found = set()
    for path in folder.glob("*.lock"):
        with contextlib.suppress(OSError), path.open() as stream:  # held (BlockingIOError), or removed meanwhile
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            found.add(path.stem)
    return found


def _wait(comm: Any, board: "_Board") -> None:
    """Wait for all ranks without burning the core that others still need.

    Raises:
        RunFailure: another rank is gone (seen twice, since a rank may be on its way out).
    """
    if comm is None:
        return
    request, looked, missed = comm.Ibarrier(), time.monotonic(), set[str]()
    while not request.Test():
        time.sleep(POLL_SECONDS)
        board.report()
        if time.monotonic() - looked > LOOK_SECONDS:
            gone = _gone(board.folder)
            if lost := sorted(gone & missed):
                kept = "what was computed is kept; run the same command again"
                raise RunFailure(f"{board.store}: rank {', '.join(lost)} of this run is gone; {kept}")
            looked, missed = time.monotonic(), gone


class _Board:
    """Small files through which rank 0 sees what every rank is doing."""

    def __init__(self, folder: Path, rank: int, tasks: Sequence[Task], store: Path, progress: Progress | None) -> None:
        """Status of this rank goes to `folder`; `progress` is used on rank 0."""
        self.folder, self.rank, self.tasks, self.store = folder, rank, tasks, store
        self.progress = progress if rank == 0 else None
        self.last = 0.0

    def update(self, label: str, share: float) -> None:
        """Tell what this rank is doing."""
        with contextlib.suppress(OSError):  # a status that cannot be written must not end a run
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = self.folder / f".{self.rank}"
            temporary.write_text(json.dumps([label, share]), encoding="utf-8")
            temporary.replace(self.folder / f"{self.rank}.json")
        self.report(force=share in (0.0, 1.0))

    def report(self, force: bool = False) -> None:
        """On rank 0: pass on the status of all ranks and the finished share of the whole, at most twice a second."""
        if self.progress is None or (not force and time.monotonic() - self.last < REPORT_SECONDS):
            return
        self.last = time.monotonic()
        running: dict[str, float] = {}
        for path in sorted(self.folder.glob("*.json")):
            with contextlib.suppress(OSError, json.JSONDecodeError):
                label, share = json.loads(path.read_text(encoding="utf-8"))
                running[label] = share
                self.progress(label, share)
        total = sum(task.cost for task in self.tasks) or 1.0
        done = sum(
            task.cost * (1.0 if (self.store / f"{task.key}.json").exists() else running.get(task.label, 0.0))
            for task in self.tasks
        )
        self.progress(OVERALL, done / total)
