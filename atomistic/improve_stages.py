"""The stages of a generation of active learning: runs, labels, choice of frames, fit, judgement.

A stage is asked with a folder; what it has already made there is read back, not made again. Runs, labels and fits are tasks
that MPI ranks share; everything else is done by rank 0, while the others wait.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.io import read, write

from atomistic import calibration, dataset, exploration, label_check, labelling, mace_model, potential, selection, training
from atomistic.calibration import Atomwise, Calibration
from atomistic.improve_study import Run, Study, runs, start_atoms
from atomistic.labelling import Labeller
from atomistic.recipe import Member, Recipe
from atomistic.sampling import seed_of
from atomistic.scheduler import POLL_SECONDS, Progress, Task, Tick, run_tasks
from coupling.atomic import replacing, write_json
from coupling.errors import UserError
from coupling.store import digest

ZERO_OFF = 0.2  # eV/atom: labels further than this from the potential's energies have another zero of energy
POINTS = 400  # atoms of a judgement that are kept for the picture

Fit = Callable[[Study, list[Atoms], Path, Path | None, int, Any, Progress | None], Path]
Members = Callable[[Path, str], Sequence[BaseCalculator]]


@dataclass(frozen=True)
class Tools:
    """What the loop takes from outside; `default_tools` gives the product's own.

    Attributes:
        labeller: reference that labels. members: (folder of a potential, "float32" or "float64") → its calculators.
        fit: (study, labelled frames, folder of the generation, start, generation, communicator, progress) → folder of
            the potential; called again after a kill, it goes on.
    """

    labeller: Labeller
    members: Members
    fit: Fit


@dataclass(frozen=True)
class Crew:
    """Who works, and who is told: mpi4py communicator (None: one process), progress (label, share)."""

    comm: Any = None
    progress: Progress | None = None

    def first(self, work: Callable[[], Any]) -> Any:
        """What rank 0 computes, on every rank; the others wait without burning their core."""
        if self.comm is None:
            return work()
        value = work() if self.comm.rank == 0 else None
        request = self.comm.Ibarrier()
        while not request.Test():
            time.sleep(POLL_SECONDS)
        return self.comm.bcast(value, root=0)


def default_tools(study: Study, run_code: bool = False) -> Tools:
    """The labeller that the study names, committees of MACE models. Raises UserError as `labelling.labeller`."""
    return Tools(labelling.labeller(study.labeller, study.cp2k, run_code), load_members, fit_committee)


def load_members(folder: Path, dtype: str) -> Sequence[BaseCalculator]:
    """Calculators of all members of a stored committee."""
    return [potential.load(folder, dtype=dtype, member=number) for number in range(len(potential.members_of(folder)))]


def fit_committee(
    study: Study, frames: list[Atoms], folder: Path, start: Path | None, generation: int, comm: Any, progress: Progress | None
) -> Path:
    """Committee fitted to the frames, each member from the same one of `start`."""
    members = study.member or tuple(Member(seed=number) for number in range(len(potential.members_of(start or folder))))
    shifted = tuple(
        Member(**(asdict(member) | {"seed": member.seed + 1000 * generation, "epochs": study.epochs})) for member in members
    )
    recipe = Recipe("potential", study.seed, "", fit=study.fit, members=shifted, validation_every=study.validation_every)
    return training.train(recipe, frames, folder, comm, progress, start)


def explore_all(
    study: Study, generation: int, committee: Path, tools: Tools, claims: Calibration, folder: Path, crew: Crew
) -> tuple[list[Atoms], dict[str, Any]]:
    """Frames of all runs of a generation, how many runs ended for which reason, and {structure without a frame: reason}."""
    wanted = runs(study, generation)
    tasks = [Task(digest({"run": run.name, "seed": run.seed}), run.name, 1.0, "md", {"run": run.name}) for run in wanted]
    by_name, loaded = {run.name: run for run in wanted}, list[BaseCalculator]()

    def work(task: Task, place: Path, tick: Tick) -> Mapping[str, Any]:
        run: Run = by_name[task.parameters["run"]]
        if not loaded:
            loaded.extend(tools.members(committee, "float32"))
        atoms = start_atoms(run.structure, run.seed)
        driver, limit = run.seed % len(loaded), study.goal.limit
        frames, reason = exploration.explore(
            atoms, loaded, driver, run.temperature, study.dynamics, claims.bounds, limit, run.seed, tick
        )
        for frame in frames:
            frame.info |= {"structure": run.structure.id, "family": run.structure.kind, "job": run.name}
        _write_frames(place / "frames.extxyz", frames)
        return {"frames": len(frames), "ended": reason}

    answers = run_tasks(tasks, work, folder / "md", crew.comm, crew.progress)
    frames = [frame for task in tasks for frame in _read_frames(folder / "md" / task.key / "frames.extxyz")]
    ended = dict(Counter(str(answer["ended"]) for answer in answers))
    by_run = list(zip(wanted, answers, strict=True))
    seen = {run.structure.id for run, answer in by_run if answer["frames"]}
    empty = {run.structure.id: str(answer["ended"]) for run, answer in by_run if run.structure.id not in seen}
    return frames, {"runs": len(tasks), "frames": len(frames), "ended": ended, "empty": empty}


def label(frames: Sequence[Atoms], by: Labeller, store: Path, crew: Crew) -> tuple[list[Atoms], dict[str, str]]:
    """Labelled frames, and {run and step: reason} of those without a label; every frame is tried once."""
    keys = [labelling.geometry_key(frame, by.settings) for frame in frames]
    unique = dict(zip(keys, frames, strict=True))
    tasks = [Task(key, f"label {_name(frame)}", float(len(frame)) ** 2, "label", {}) for key, frame in unique.items()]

    def work(task: Task, place: Path, tick: Tick) -> Mapping[str, Any]:
        return labelling.entry_of(unique[task.key], by)

    answers = run_tasks(tasks, work, store, crew.comm, crew.progress)
    made: list[Atoms] = []
    failed: dict[str, str] = {}
    for frame, answer in zip(unique.values(), answers, strict=True):
        if "failed" in answer:
            failed[_name(frame)] = str(answer["failed"])
        else:
            made.append(labelling.with_label(frame, answer))
            made[-1].info["label"] = by.settings.id
    return made, failed


def choose(
    study: Study, frames: list[Atoms], taken: Sequence[Atoms], claims: Calibration, count: int, path: Path
) -> tuple[list[Atoms], dict[str, int]]:
    """Frames to label: uncertain, not pressed together, not in the control sample `taken`, different from each other.

    Returns:
        Chosen frames, and the numbers of frames above the threshold, of those pressed together, of those chosen.
    """
    counts = path.with_suffix(".json")
    if not counts.exists():
        control = {_name(frame) for frame in taken}
        above = [frame for frame in frames if _bound(frame, claims) > study.goal.threshold and _name(frame) not in control]
        free = [frame for frame in above if not selection.pressed(frame, study.dynamics.closest)]
        chosen = [free[index] for index in selection.diverse(free, count, selection.histogram_of(free))]
        _write_frames(path, chosen)
        write_json(counts, {"above": len(above), "pressed": len(above) - len(free), "chosen": len(chosen)})
    return _read_frames(path), dict(json.loads(counts.read_text(encoding="utf-8")))


def _bound(frame: Atoms, claims: Calibration) -> float:
    """Calibrated error of the least certain atom, eV/Å."""
    return float(claims.bounds(frame.numbers, frame.arrays[selection.SPREADS]).max())


def learnable(study: Study, frames: Sequence[Atoms], others: Sequence[Atoms]) -> tuple[list[Atoms], dict[str, str]]:
    """Frames fit to be learnt beside `others`, and {run and step: reason} of the rest: forces too large, energies far off."""
    good: list[Atoms] = []
    left: dict[str, str] = {}
    for frame in frames:
        largest = float(np.linalg.norm(frame.arrays[label_check.FORCES], axis=1).max())
        if largest > study.max_force:
            left[_name(frame)] = f"a force of {largest:.1f} eV/Å, above max_force"
        else:
            good.append(frame)
    off = label_check.energies_off([*others, *good])[len(others) :] if good else []
    kept = []
    for frame, (distance, _) in zip(good, off, strict=True):
        if abs(distance) > label_check.RESIDUAL:
            left[_name(frame)] = f"an energy {distance:.1f} eV/atom from what the other frames say"
        else:
            kept.append(frame)
    return kept, left


def first_sets(study: Study, by: Labeller) -> list[Atoms]:
    """Frames of the study's training sets.

    Raises:
        UserError: a set that cannot be read, or labels of another kind than the labeller's.
    """
    if not study.sets:
        return []
    frames, levels = dataset.merge(study.sets)
    for level in levels.values():
        if level.id != by.settings.id:
            told = f"{study.sets[0]}: labels made in another way than those of {study.labeller} now"
            raise UserError(f"{told} ({dataset.difference(level, by.settings)}); two levels do not mix: leave the set out")
    return frames


def fit_frames(study: Study, learnt: Sequence[Atoms], first: Sequence[Atoms], generation: int) -> list[Atoms]:
    """What a fit sees: all frames learnt in the loop and `replay` of the first sets."""
    if not study.replay or study.replay >= len(first):
        return [*first, *learnt]
    seed = seed_of(study.seed, "replay", generation)
    return [*(first[index] for index in selection.random_sample(study.replay, len(first), seed)), *learnt]


def with_zero_of(frames: Sequence[Atoms], start: Path, tools: Tools, out: Path) -> tuple[Path, dict[str, float]]:
    """The committee `start`, where its zero of energy is not that of the labels a copy in `out` with the labels' zero.

    The atomic energies are moved by the least-squares fit of (label − mean of the members) to the composition.

    Returns:
        Folder to start the fits from, and the shift of each element's energy (eV); empty where nothing was moved.
    """
    members = tools.members(start, "float64")
    own = np.array([np.mean([member.get_property("energy", _bare(frame)) for member in members]) for frame in frames])
    numbers = sorted({int(z) for frame in frames for z in frame.numbers})
    counts = np.array([[np.sum(frame.numbers == z) for z in numbers] for frame in frames], dtype=float)
    sizes = counts.sum(axis=1)
    off = (np.array([frame.info[label_check.ENERGY] for frame in frames]) - own) / sizes
    if np.sqrt(np.mean(off**2)) < ZERO_OFF:
        return start, {}
    shifts = np.linalg.lstsq(counts / sizes[:, None], off, rcond=None)[0]
    by_number = dict(zip(numbers, map(float, shifts), strict=True))
    for index, folder in enumerate(potential.members_of(start)):
        model = mace_model.load(folder)
        model.atomic_energies_fn.atomic_energies += model.atomic_energies_fn.atomic_energies.new_tensor(
            [by_number.get(int(z), 0.0) for z in model.atomic_numbers]
        )
        mace_model.save(model, out / f"member-{index}")
    symbols = {str(Atoms(numbers=[z]).symbols): round(value, 4) for z, value in by_number.items()}
    return out, symbols


@dataclass(frozen=True)
class Judgement:
    """A committee on labelled frames that it has not learnt.

    Attributes:
        calibration: from these labels. summary: errors in meV/Å and the coverage of an earlier claim.
    """

    calibration: Calibration
    summary: dict[str, Any]


def judge(
    committee: Path, frames: Sequence[Atoms], tools: Tools, claims: Calibration | None, spreads: np.ndarray | None, path: Path
) -> Judgement:
    """Errors found on labels, against those claimed by an earlier calibration (None: nothing was claimed before).

    Args:
        committee: folder of the potential. frames: labelled.
        claims: calibration made on earlier labels, before these.
        spreads: spreads of all atoms of all frames of the study; None leaves out what is claimed for those.
        path: JSON file.
    """
    if not path.exists():
        found = calibration.atomwise(frames, tools.members(committee, "float64"))
        made = calibration.calibrate(found, len(frames))
        write_json(path, _judgement(found, made, claims, spreads, len(frames)))
    entry = json.loads(path.read_text(encoding="utf-8"))
    return Judgement(calibration.from_dict(entry.pop("calibration")), entry)


def _judgement(
    found: Atomwise, made: Calibration, claims: Calibration | None, spreads: np.ndarray | None, frames: int
) -> dict[str, Any]:
    """Plain values of a judgement; what is claimed comes from the earlier calibration, else from these labels themselves."""
    used = claims or made
    bounds = used.bounds(found.numbers, found.spreads)
    chosen = selection.random_sample(POINTS, len(bounds), 0)
    return {
        "frames": frames,
        "atoms": len(found.errors),
        "found_rmse": round(1e3 * found.rmse, 3),
        "member_rmse": round(1e3 * found.member_rmse, 3),
        "claimed_rmse": round(1e3 * used.rmse(found.spreads), 3),
        "claimed_everywhere": None if spreads is None else round(1e3 * used.rmse(spreads), 3),
        "claimed_before": claims is not None,
        "coverage": round(calibration.coverage(used, found), 4),
        "table": calibration.claimed_and_found(used, found),
        "points": [[round(float(bounds[i]), 6), round(float(found.errors[i]), 6)] for i in chosen],
        "calibration": made.to_dict(),
    }


def _bare(frame: Atoms) -> Atoms:
    """Copy without labels and calculator."""
    return Atoms(frame.numbers, positions=frame.positions, cell=frame.cell, pbc=frame.pbc)


def _name(frame: Atoms) -> str:
    """Run and step of a frame: its name within a study."""
    return f"{frame.info['job']}, step {frame.info['step']}"


def _write_frames(path: Path, frames: Sequence[Atoms]) -> None:
    """Frames with their spreads as extxyz; an empty file for none."""
    with replacing(path) as temporary:
        write(temporary, list(frames), format="extxyz", parallel=False) if frames else temporary.write_text("")


def _read_frames(path: Path) -> list[Atoms]:
    """Frames of `_write_frames`."""
    return list(read(path, ":", format="extxyz", parallel=False)) if path.stat().st_size else []
