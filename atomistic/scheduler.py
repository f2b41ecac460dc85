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

Progress = Callable[[str, float], None]
Tick = Callable[[float], None]
Work = Callable[["Task", Path, Tick], Mapping[str, Any]]

OVERALL = "atomistic stage"
"""Label under which the finished share of the whole is reported."""
POLL_SECONDS = 0.1
REPORT_SECONDS = 0.5


@dataclass(frozen=True)
class Task:
    """One independent run.

    Attributes:
        key: hash of everything its answer depends on. label: for people. cost: estimated seconds.
        kind: what to do. parameters: with what (JSON-ready).
    """

    key: str
    label: str
    cost: float
    kind: str
    parameters: Mapping[str, Any]


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
        RunFailure: another run works in this store. Exceptions of `work` pass through.
    """
    store = Path(store)
    rank = comm.rank if comm is not None else 0
    with _alone(store) if rank == 0 else contextlib.nullcontext():
        run_id = f"{time.time_ns()}-{os.getpid()}"
        if rank == 0:
            shutil.rmtree(store / "claims", ignore_errors=True)
            (store / "claims" / run_id).mkdir(parents=True)
            shutil.rmtree(store / "progress", ignore_errors=True)
        run_id = comm.bcast(run_id if rank == 0 else None, root=0) if comm is not None else run_id
        board = _Board(store / "progress", rank, tasks, store, progress)
        for task in sorted(tasks, key=lambda task: (-task.cost, task.key)):
            if finished(store, task) is None and _claim(store / "claims" / run_id / task.key):
                _do(task, work, store, board)
        _wait(comm, board)
        if rank == 0:
            shutil.rmtree(store / "claims", ignore_errors=True)
            shutil.rmtree(store / "progress", ignore_errors=True)
            board.report(force=True)
        answers = [finished(store, task) for task in tasks] if rank == 0 else None
        answers = comm.bcast(answers, root=0) if comm is not None else answers
    assert answers is not None
    missing = [task.label for task, answer in zip(tasks, answers, strict=True) if answer is None]
    if missing:
        raise RunFailure(f"{store}: no answer of {', '.join(missing)} could be read back; run the same command again")
    return [answer for answer in answers if answer is not None]


def _do(task: Task, work: Work, store: Path, board: "_Board") -> None:
    """Work on one task and keep its answer."""
    folder = store / task.key
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
def _alone(store: Path) -> Iterator[None]:
    """Hold the store's lock; the system releases it when the process ends, however it ends."""
    try:
        store.mkdir(parents=True, exist_ok=True)
        stream = (store / "lock").open("w")
    except OSError as error:
        raise RunFailure(f"{store}: cannot be written ({error.strerror})") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunFailure(f"{store}: another run is working in this folder; wait for it or give another folder") from error
        yield


def _wait(comm: Any, board: "_Board") -> None:
    """Wait for all ranks without burning the core that others still need."""
    if comm is None:
        return
    request = comm.Ibarrier()
    while not request.Test():
        time.sleep(POLL_SECONDS)
        board.report()


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
