"""What a study takes, told before it starts: its runs at the speed of this machine, measured on a cell of its own.

The cost of a run is its force calls at the reference speed, CALL + ATOM · atoms each (the shipped potentials by symmetrix on one
core). What the potential takes on this machine is that times the measured over the reference time of one call. A relaxation is
counted with the steps that it usually takes; one of adhesion with the most it may, so that those studies end earlier than told.
Of a run of molecular dynamics that has been begun, or that was made longer, what is left of its time counts.
"""

import heapq
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from atomistic import trajectory
from atomistic.scheduler import Task, finished

CALL = 0.0015
"""Seconds of a force call whatever the number of atoms."""
ATOM = {"float32": 6.5e-5, "float64": 1.2e-4}
"""Seconds of a force call and atom, by precision."""
PROBE_ATOMS = 150
"""About as many atoms has the cell whose force calls are timed."""


@dataclass(frozen=True)
class StudyPlan:
    """Runs of a study, and what its speed is measured with: a cell of it, how to load its potential, the precision of `load`.

    Without these two nothing is measured and the costs of the runs are told as they are.
    `note`: what must be done before the study can run; "" where nothing.
    """

    tasks: tuple[Task, ...]
    probe: Atoms | None = None
    load: Callable[[], BaseCalculator] | None = None
    dtype: Literal["float32", "float64"] = "float32"
    note: str = ""


@dataclass(frozen=True)
class Estimate:
    """What is left of a study.

    Attributes:
        runs: of the study; kept: of those, finished before. seconds: of what is left, on one core.
        wall: seconds on as many cores as asked for, two: on two. longest: label and seconds of the longest run.
        call: measured seconds of a force call on `atoms` atoms, 0 where nothing is left or nothing is measured.
        begun: ps of the runs that have been begun and are not at their end; there: ps of them that are kept.
    """

    runs: int
    kept: int
    seconds: float
    wall: float
    two: float
    longest: tuple[str, float]
    call: float = 0.0
    atoms: int = 0
    begun: float = 0.0
    there: float = 0.0


def reference_seconds(atoms: int, calls: float, dtype: str = "float64") -> float:
    """Seconds of so many force calls at the reference speed."""
    return calls * (CALL + ATOM[dtype] * atoms)


def probe_cell(atoms: Atoms) -> Atoms:
    """The cell, repeated until it has about PROBE_ATOMS atoms where it has fewer."""
    from atomistic.structures import supercell_near

    return atoms if len(atoms) >= PROBE_ATOMS else supercell_near(atoms, PROBE_ATOMS)


def estimate(plan: StudyPlan, store: str | Path, cores: int = 1) -> Estimate:
    """Time of the runs that `store` does not hold yet.

    Raises:
        UserError: the potential cannot be loaded.
    """
    left = [task for task in plan.tasks if finished(Path(store), task) is None]
    kept = len(plan.tasks) - len(left)
    if not left:
        return Estimate(len(plan.tasks), kept, 0.0, 0.0, 0.0, ("", 0.0))
    call, atoms, slower = 0.0, 0, 1.0
    if plan.probe is not None and plan.load is not None:
        call, atoms = seconds_of_a_call(plan.probe, plan.load()), len(plan.probe)
        slower = call / reference_seconds(atoms, 1, plan.dtype)
    there = [held(Path(store), task) for task in left]
    shares = [1 - done / task.picoseconds if done else 1.0 for task, done in zip(left, there, strict=True)]
    costs = [slower * share * task.cost for task, share in zip(left, shares, strict=True)]
    longest = int(np.argmax(costs))
    begun = sum(task.picoseconds for task, done in zip(left, there, strict=True) if done)
    return Estimate(len(plan.tasks), kept, sum(costs), on_cores(costs, cores), on_cores(costs, 2),
                    (left[longest].label, costs[longest]), call, atoms, begun, sum(there))  # fmt: skip


def held(store: Path, task: Task) -> float:
    """Molecular dynamics (ps) that the store holds of a task which is not finished, at most the whole of it.

    The segments of its runs, or the steps of its walkers or of its driven cell.
    """
    folder = store / task.folder
    whole = sum(trajectory.held(header.parent) for header in folder.glob("*/run.json"))
    steps = _steps(folder / "metadynamics.npz", "step") + _steps(folder / "driven.npz", "rows")
    return min(task.picoseconds, whole + task.step * steps)


def _steps(file: Path, name: str) -> int:
    """Steps that a checkpoint tells by a number, or by its rows; 0 where there is none that can be read."""
    try:
        with np.load(file, allow_pickle=False) as data:
            return len(data[name]) if data[name].ndim else int(data[name])
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return 0


def seconds_of_a_call(atoms: Atoms, calculator: BaseCalculator, calls: int = 3) -> float:
    """Shortest time of some force calls, after one that compiles; the atoms move a little from call to call."""
    moved, times = atoms.copy(), []
    moved.calc = calculator
    moved.get_forces()
    for _ in range(calls):
        moved.positions += 1e-3
        begin = time.perf_counter()
        moved.get_forces()
        times.append(time.perf_counter() - begin)
    return min(times)


def on_cores(costs: list[float], cores: int) -> float:
    """Time until independent runs are done when each free core takes the longest that is left."""
    busy = [0.0] * max(1, cores)
    for cost in sorted(costs, reverse=True):
        heapq.heapreplace(busy, busy[0] + cost)
    return max(busy)
