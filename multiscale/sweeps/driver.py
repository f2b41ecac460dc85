"""The driver: writes the designs that are missing, keeps an engine busy until each of them is done or has failed."""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coupling.errors import RunFailure, UserError
from coupling.store import digest
from multiscale.case_folder import material_folders
from multiscale.sweeps import drafts
from multiscale.sweeps.designs import Point, points
from multiscale.sweeps.display import Display, Tally
from multiscale.sweeps.engines import Engine, Job, LocalPool, worker_words
from multiscale.sweeps.ledger import Status, Store, bury
from multiscale.sweeps.settings import Sweep

FALSE_STARTS = 3
"""Workers in a row that end badly before they took a design: then something else is wrong."""
IN_FLIGHT = 1000
"""Jobs of one design each that are handed to an engine at once."""
ARRAY_ENDED = "its element of the array ended early: a crash, the walltime or scancel"
_PACE = (0.02, 2.0)
"""Shortest and longest pause between two looks, s: ten times what a look takes."""
_CALM = 0.5
"""Pause to which they grow while nothing happens, s: the workers do not wait for the driver."""
_PATIENCE = (0.1, 5.0)
"""Pause before workers are started again that found nothing to do, s: at first, at most."""


@dataclass(frozen=True)
class Prepared:
    """A sweep whose designs lie in the store.

    Attributes:
        rows: one a point, in order: design (its hash), replica and values.
        listed: file of the rows.
    """

    sweep: Sweep
    store: Store
    rows: Sequence[Mapping[str, Any]]
    listed: Path

    @property
    def names(self) -> tuple[str, ...]:
        """Hashes of the designs, each once; points may share one."""
        return tuple(dict.fromkeys(row["design"] for row in self.rows))


def md_folder(sweep: Sweep) -> tuple[Path | None, str | None]:
    """Folder of the case's finished MD and the hash of its records; (None, None) for a sweep without MD.

    Raises:
        UserError: the sweep wants them and they are not there, or belong to another state of the case.
    """
    if sweep.settings.md == "none":
        return None, None
    from multiscale.pipeline import stored_records

    results = sweep.case.folder / "results"
    records, note = stored_records(sweep.case, results)
    if not records:
        told = f'{note}; run `multiscale md {sweep.case.folder}` first, or write md = "none"'
        raise UserError(sweep.file.refusal(("md",), told))
    return results / "atomistic", digest([record.to_dict() for record in records])


def plan(sweep: Sweep, wanted: Sequence[Point] | None = None, shelf: drafts.Shelf | None = None) -> list[drafts.Draft]:
    """The designs of a sweep (or of some points of its space), not yet written. Raises UserError where one is impossible."""
    _, records = md_folder(sweep)
    common, shelf = drafts.recipe(sweep, records), shelf or drafts.Shelf(sweep)
    return [drafts.draft(sweep, point, common, shelf) for point in (points(sweep) if wanted is None else wanted)]


def prepare(
    sweep: Sweep, folder: Path, wanted: Sequence[Point] | None = None, shelf: drafts.Shelf | None = None
) -> Prepared:
    """Write what the store lacks of a sweep's designs.

    Raises:
        UserError: a design is impossible, or the store cannot be written.
        RunFailure: the disk is full.
    """
    store, (md, _) = Store(folder), md_folder(sweep)
    key = list_key(sweep) if wanted is None else ""
    known = store.read_list(key) if key else None
    if known and all(store.design(row["design"]).is_dir() for row in known):
        return Prepared(sweep, store, known, store.write_list(known, key))
    made = plan(sweep, wanted, shelf)
    for one in made:
        drafts.write(one, store.design(one.hash), md)
    rows = [_row(one) for one in made]
    return Prepared(sweep, store, rows, store.write_list(rows, key))


def list_key(sweep: Sweep) -> str:
    """Hash of all that the designs of a sweep follow from: sweep.toml, case.toml, every material file in reach, MD, code."""
    files = sorted(path for folder in material_folders(sweep.case.folder) for path in folder.glob("*.toml"))
    texts = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    _, records = md_folder(sweep)
    told = {"sweep": sweep.file.data, "case": sweep.case.file.data, "materials": texts, "recipe": drafts.recipe(sweep, records)}
    return digest(json.loads(json.dumps(told, default=str)))


def look_at(sweep: Sweep, folder: Path) -> Prepared:
    """The sweep as it stands in the store; nothing is written, designs that are not there yet are waiting."""
    store = Store(folder)
    rows = store.read_list(list_key(sweep)) or [_row(made) for made in plan(sweep)]
    return Prepared(sweep, store, rows, folder / "lists")


def _row(made: drafts.Draft) -> dict[str, Any]:
    return {"design": made.hash, "replica": made.point.replica, "values": dict(made.point.values)}


def make_engine(sweep: Sweep, name: str, slots: int, ranks: int, folder: Path) -> Engine:
    """The engine of a name. Raises UserError where this machine lacks what it needs."""
    if name == "local":
        return LocalPool()
    if name == "sbatch":
        from multiscale.sweeps.slurm import Sbatch

        return Sbatch(sweep.settings.cluster, ranks, folder)
    from multiscale.sweeps.parsl_engine import ParslEngine

    return ParslEngine(sweep.settings.cluster, slots, ranks, folder)


@dataclass
class _Crew:
    """The jobs of one driver at one engine."""

    prepared: Prepared
    engine: Engine
    slots: int
    ranks: int
    jobs: dict[str, Job] = field(default_factory=dict)
    started: int = 0
    bad_starts: int = 0
    pause: float = _PATIENCE[0]
    idle_until: float = 0.0
    useful: bool = False

    def submit(self, remaining: Mapping[str, Status]) -> None:
        """Hand the engine as many jobs as it has room for."""
        if time.monotonic() < self.idle_until:
            return
        if self.engine.style == "design":
            flying = {job.design for job in self.jobs.values()}
            due = [name for name, status in remaining.items() if name not in flying and status.state != "running"]
            stuck = [name for name in remaining if name not in flying] if not self.jobs and not due else []
            for name in (due or stuck)[: max(0, IN_FLIGHT - len(self.jobs))]:
                self._start(design=name)
            return
        wanted = min(self.slots, len(remaining))
        if self.engine.style == "array":
            if not self.jobs:
                self._start(copies=wanted)
            return
        while len(self.jobs) < wanted:
            self._start()

    def _start(self, copies: int = 1, design: str | None = None) -> None:
        name = f"{os.getpid()}-{self.started}"
        words = worker_words(self.prepared.store.folder, self.prepared.listed, name, self.ranks, design)
        job = Job(name, words, self.prepared.store.folder / "workers" / f"{name}.log", copies, design)
        self.jobs[self.engine.submit(job)] = job
        self.started += 1

    def reap(self, remaining: Mapping[str, Status], progress: bool) -> None:
        """Forget the jobs that have ended; bury what they left. `progress`: a design has ended since the last look."""
        self.useful = self.useful or progress
        for handle, job in list(self.jobs.items()):
            state = self.engine.poll(handle)
            if state.progress != "ended":
                continue
            del self.jobs[handle]
            known = {name: self.prepared.store.status(name) for name in remaining}  # taken and lost since the last look, too
            left = [name for name, status in known.items() if _is_of(status, job)]
            note = state.note or (ARRAY_ENDED if left and self.engine.style == "array" else "")
            for name in left if note else ():
                _bury_soon(self.prepared.store, name, known[name].worker, note)
            self._judge(job, self._excuse(note, known), bool(left) or self.useful)

    def _excuse(self, note: str, known: Mapping[str, Status]) -> str:
        """Why a job ended; an array that ended well has nothing to say for itself unless all that remains is held by others."""
        held = (name for name, status in known.items() if status.state == "running" and self.prepared.store.is_held(name))
        return ARRAY_ENDED if not note and self.engine.style == "array" and not any(True for _ in held) else note

    def _judge(self, job: Job, note: str, was_useful: bool) -> None:
        """Wait longer before the next start where nothing was to be done; give up where nothing can be started."""
        if was_useful:
            self.bad_starts, self.pause, self.useful = 0, _PATIENCE[0], False
            return
        self.bad_starts = self.bad_starts + 1 if note else 0
        self.idle_until = time.monotonic() + self.pause
        self.pause = min(2 * self.pause, _PATIENCE[1])
        if self.bad_starts >= FALSE_STARTS:
            raise RunFailure(f"workers end before they take a design ({note}): {_last_line(job.log)}; log: {job.log}")

    def stop_late(self, remaining: Mapping[str, Status], limit: float | None) -> None:
        """End what takes longer than the time limit; the design has failed. On a cluster, walltime does that."""
        for name, status in remaining.items() if limit and self.engine.style == "scan" else ():
            handle = next((handle for handle, job in self.jobs.items() if _is_of(status, job)), None)
            if handle is None or status.state != "running" or time.time() - status.started < (limit or 0.0):
                continue
            self.engine.cancel(handle)
            self.jobs.pop(handle)
            _bury_soon(self.prepared.store, name, status.worker, f"it took longer than time_limit = {limit:g} s", final=True)


def _is_of(status: Status, job: Job) -> bool:
    """Whether a running design is a job's (or one of its array's elements')."""
    return status.state == "running" and (status.worker == job.name or status.worker.startswith(f"{job.name}."))


def _bury_soon(store: Store, name: str, worker: str, reason: str, final: bool = False) -> None:
    """`bury` as soon as the last process of the worker has let go of the design."""
    for _ in range(50):
        if bury(store, name, worker, reason, final).state != "running":
            return
        time.sleep(0.1)


def _last_line(path: Path) -> str:
    """The last words of a worker, of the first element of an array."""
    try:
        path = path if path.exists() else path.with_name(f"{path.name}.0")
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1][:300] if lines else "it said nothing"


def complete(prepared: Prepared, engine: Engine, slots: int, ranks: int, display: Display | None = None) -> Tally:
    """Run designs until each is done or has failed; several drivers may do so at once.

    Raises:
        RunFailure: workers cannot be started at all.
    """
    display, store = display or Display(), prepared.store
    crew = _Crew(prepared, engine, slots, ranks)
    limit = prepared.sweep.settings.run.time_limit
    remaining = {name: status for name in prepared.names if not (status := store.status(name)).is_over}
    over: dict[str, str] = {name: store.status(name).state for name in prepared.names if name not in remaining}
    before, calm = len(over), _PACE[0]
    try:
        with display.open(len(prepared.names)):
            while remaining:
                crew.submit(remaining)
                start, known = time.monotonic(), len(over)
                _look(store, remaining, over)
                calm = _PACE[0] if len(over) > known else min(1.5 * calm, _CALM)
                pause = min(max(10 * (time.monotonic() - start), calm), _PACE[1])
                crew.reap(remaining, len(over) > known)
                crew.stop_late(remaining, limit)
                running = sum(status.state == "running" for status in remaining.values())
                display.show(_tally(over, len(prepared.names), running, before))
                time.sleep(pause if remaining else 0.0)
    finally:
        engine.close()
    return _tally(over, len(prepared.names), 0, before)


def _look(store: Store, remaining: dict[str, Status], over: dict[str, str]) -> None:
    """Update what is known of the designs that remain."""
    for name in list(remaining):
        remaining[name] = status = store.status(name)
        if status.is_over:
            over[name] = status.state
            del remaining[name]


def _tally(over: Mapping[str, str], designs: int, running: int, before: int) -> Tally:
    done = sum(state == "done" for state in over.values())
    return Tally(designs, done, len(over) - done, running, before)
