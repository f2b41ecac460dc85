"""Fits the committee of a recipe to a training set, member by member over MPI ranks; a killed run continues.

OUT/<name>/member-0, member-1 … become the potential; OUT/fits holds checkpoints and the history of every fit. Members that
differ in shape (channels, cutoff, radial basis) tell more about the error than members that differ in seed only.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from atomistic import fitting, mace_model
from atomistic.devices import torch_device
from atomistic.fitting import Epoch
from atomistic.recipe import Member, Recipe
from atomistic.sampling import seed_of
from atomistic.scheduler import Progress, Task, Tick, run_tasks
from coupling.atomic import write_json
from coupling.errors import UserError
from coupling.store import digest

GPA = 160.21766  # 1 eV/Å³ in GPa
MEMBER = "member.json"
FEW = 20  # epochs below which a fit that used up its minutes says so


def split(frames: Sequence[Atoms], every: int) -> tuple[list[Atoms], list[Atoms]]:
    """Training and validation frames: whole jobs go to one side, one job in `every` (the first by hash) to validation.

    Frames without a job count as jobs of their own, and so do all where they come from a single one, whose validation errors are
    then those of neighbours in time. At least one goes to either side where there are two.
    """
    jobs = [str(frame.info.get("job", f"frame {number}")) for number, frame in enumerate(frames)]
    named = jobs if len(set(jobs)) > 1 else [f"frame {number}" for number in range(len(frames))]
    names = sorted(set(named), key=lambda name: seed_of("validation", name))
    chosen = set(names[: min(max(1, len(names) // every), len(names) - 1)])
    pairs = list(zip(frames, named, strict=True))
    return [frame for frame, name in pairs if name not in chosen], [frame for frame, name in pairs if name in chosen]


def train(
    recipe: Recipe,
    frames: Sequence[Atoms],
    out: Path,
    comm: Any = None,
    progress: Progress | None = None,
    start: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
    device: str = "auto",
) -> Path:
    """Folder of the potential: every member of the recipe fitted to the frames.

    Args:
        recipe: name, [[member]] and [fit].
        frames: labelled frames (atomistic.dataset).
        out: folder of this training; the same folder continues.
        comm: mpi4py communicator; members are spread over its ranks.
        progress: (label, share).
        start: potential whose members the fits start from instead of random weights; one of a single model starts all of them.
        say: takes one line after every epoch, on the rank that computed it.
        device: "cpu", "cuda", or "auto" (the GPU where there is one; its ranks share it).

    Raises:
        UserError: no members, fewer frames than a fit needs, a start that lacks an element of the frames, or a folder that holds
            more members than the recipe has.
    """
    if not recipe.members:
        raise UserError(f"recipe {recipe.name!r}: no [[member]] table, so there is nothing to fit")
    learned, valid = split(frames, recipe.validation_every)
    if len(learned) < 2:
        raise UserError(f"recipe {recipe.name!r}: {len(learned)} frames to learn from; at least 2 are needed")
    if start is not None:
        _require_cover(start, frames)
    torch_device(device)
    target, data, begun = out / recipe.name, _fingerprint(frames), _weights_of(start)
    for left in sorted(target.glob(f"member-{len(recipe.members)}*")):
        told = f"{left}: of an earlier fit with more members than the {len(recipe.members)} of recipe {recipe.name!r}"
        raise UserError(f"{told}; delete it or give another --out")
    tasks = []
    for number, member in enumerate(recipe.members):
        what = {"member": member.told(), "fit": asdict(recipe.fit), "data": data, "start": begun, "number": number}
        what |= {"atomic_energies": recipe.atomic_energies} if recipe.atomic_energies else {}
        shape = "" if start else f" ({member.channels} channels{", vectors" if member.max_L else ""}, {member.r_max:g} Å)"
        label = f"{recipe.name} member {number}{shape}"
        cost = float(member.epochs * member.channels)
        tasks.append(Task(digest(what), label, cost, "fit", {"number": number}))

    def work(task: Task, folder: Path, tick: Tick) -> Mapping[str, Any]:
        number = int(task.parameters["number"])
        place = target / f"member-{number}"
        begins = [] if start is None else member_folders(start)
        begin = begins[number % len(begins)] if begins else None

        started, minutes = time.monotonic(), recipe.fit.minutes

        def report(epoch: Epoch) -> None:
            spent = (time.monotonic() - started) / (60 * minutes) if minutes else 0.0
            tick(min(1.0, max(epoch.number / epoch.of, spent)))
            say(f"{task.label}: {epoch}")

        energies = recipe.atomic_energies
        history = fit_member(recipe.members[number], recipe.fit, (learned, valid), folder, place, begin, report, device, energies)
        if history and minutes and history[-1].number < min(FEW, history[-1].of):
            say(f"{task.label}: ONLY {history[-1].number} epochs in the {minutes:g} minutes of [fit]; give it more, or a GPU")
        return {"history": [asdict(epoch) for epoch in history]}

    if comm is None or comm.rank == 0:
        _take_up_again(tasks, target, out / "fits")
    if comm is not None:
        comm.barrier()
    run_tasks(tasks, work, out / "fits", comm, progress)
    return target


def _take_up_again(tasks: Sequence[Task], target: Path, store: Path) -> None:
    """Forget that a fit is finished where its member has since become that of other settings: its checkpoint gives it back."""
    for number, task in enumerate(tasks):
        try:
            held = json.loads((target / f"member-{number}" / MEMBER).read_text(encoding="utf-8")).get("fit", task.key)
        except (OSError, ValueError):
            held = ""
        if held != task.key:
            (store / f"{task.key}.json").unlink(missing_ok=True)


def fit_member(
    member: Member,
    settings: fitting.FitSettings,
    sets: tuple[list[Atoms], list[Atoms]],
    folder: Path,
    place: Path,
    start: Path | None,
    told: Callable[[Epoch], None],
    device: str = "auto",
    atomic_energies: Mapping[str, float] | None = None,
) -> list[Epoch]:
    """Fit one member and store it under `place`; returns the history of the fit (without what a killed run did before).

    `atomic_energies` (eV) are those of isolated atoms, of weights that are gone on from, too; without them these keep their own.
    """
    learned, valid = sets
    if start is None:
        model = fitting.new_model(learned, asdict(member), member.seed, atomic_energies)
    else:
        model = mace_model.load(start)
        if member.max_L:
            from atomistic.widening import with_vectors

            model = with_vectors(model, member.seed)
        if atomic_energies:
            fitting.set_atomic_energies(model, atomic_energies)
    history: list[Epoch] = []

    def report(epoch: Epoch) -> None:
        history.append(epoch)
        told(epoch)
        with (folder / "history.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(epoch)) + "\n")

    fitted = fitting.fit(model, learned, valid, member.epochs, settings, member.seed, folder / "checkpoint.pt", report, device)
    mace_model.save(fitted, place)
    write_json(place / MEMBER, asdict(member) | fitting.shape_of(fitted) | {"fit": folder.name})
    return history


def member_folders(potential: Path) -> list[Path]:
    """Folders of the members of a stored potential, in order; a potential of one model is its own member."""
    found = sorted(potential.glob("member-*"), key=lambda path: int(path.name.partition("-")[2]))
    return found or [potential]


def _require_cover(start: Path, frames: Sequence[Atoms]) -> None:
    """Raise UserError where a potential to start from lacks an element of the frames."""
    lacking = {symbol for frame in frames for symbol in frame.symbols} - set(mace_model.elements_of(member_folders(start)[0]))
    if lacking:
        raise UserError(f"{start}: does not know {', '.join(sorted(lacking))}, which the training set holds; start without it")


def _fingerprint(frames: Sequence[Atoms]) -> str:
    """Hash of atoms and labels of a set, so that a fit is never continued on other data."""
    found = hashlib.sha256()
    for frame in frames:
        labels = frame.info["REF_energy"], frame.arrays["REF_forces"], frame.info["REF_stress"]
        for values in (frame.numbers, frame.positions, frame.cell.array, *labels):
            found.update(np.ascontiguousarray(values, dtype=float).tobytes())
    return found.hexdigest()


def _weights_of(potential: Path | None) -> list[str]:
    """Hashes of the weights that fits start from."""
    folders = [] if potential is None else member_folders(potential)
    return [hashlib.sha256((folder / mace_model.STATE).read_bytes()).hexdigest() for folder in folders]


def errors(frames: Sequence[Atoms], calculator: Calculator) -> dict[str, dict[str, float]]:
    """Errors against the labels by family, and for all frames together under "all".

    Returns:
        {family: {"frames", "energy_rmse_meV_per_atom", "force_rmse_meV_per_A", "force_rms_meV_per_A",
        "stress_rmse_GPa"}}; force_rms is the size of the labels' forces themselves.
    """
    gathered: dict[str, list[tuple[float, np.ndarray, np.ndarray, np.ndarray]]] = {}
    for frame in frames:
        atoms = frame.copy()
        atoms.calc = calculator
        energy = (atoms.get_potential_energy() - frame.info["REF_energy"]) / len(atoms)
        reference = frame.arrays["REF_forces"]
        stress = atoms.get_stress() - frame.info["REF_stress"]
        for family in (frame.info.get("family", "frames"), "all"):
            gathered.setdefault(family, []).append((energy, atoms.get_forces() - reference, reference, stress))
    return {family: error_summary(rows) for family, rows in sorted(gathered.items())}


def error_summary(rows: list[tuple[float, np.ndarray, np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Root mean squares of a list of (energy per atom, force error, force, stress error)."""

    def rms(parts: list[np.ndarray]) -> float:
        return float(np.sqrt(np.mean(np.concatenate([np.ravel(part) for part in parts]) ** 2)))

    return {
        "frames": len(rows),
        "energy_rmse_meV_per_atom": round(1e3 * rms([np.array([row[0]]) for row in rows]), 2),
        "force_rmse_meV_per_A": round(1e3 * rms([row[1] for row in rows]), 1),
        "force_rms_meV_per_A": round(1e3 * rms([row[2] for row in rows]), 1),
        "stress_rmse_GPa": round(GPA * rms([row[3] for row in rows]), 3),
    }
