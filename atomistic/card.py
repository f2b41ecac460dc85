"""Measures what a potential is worth and writes its card: card.json with every number, card.md in words and tables.

Every measurement is a task of its own, kept as one JSON file once it is computed and spread over MPI ranks
(atomistic.scheduler); those of the teacher are kept under the teacher's name, so the next potential finds them done. Models of
one potential measure as follows: errors on all members and their mean, everything else on member 0, which runs the dynamics.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase.calculators.calculator import BaseCalculator
from ase.io import write

from atomistic import assessment, dataset, examination, hops, labels, potential
from atomistic.card_settings import CardSettings
from atomistic.card_text import BY_TEACHER, text, verdicts
from atomistic.pair_distribution import overlap
from atomistic.recipe import Recipe, read_recipe
from atomistic.relaxation import relaxed
from atomistic.scheduler import Progress, Task, Tick, run_tasks
from atomistic.structures import bulk, names, supercell, unknown
from coupling.atomic import replacing, write_json, write_text
from coupling.errors import RunFailure, UserError
from coupling.store import digest

RECIPE, TEXT = "recipe.toml", "card.md"
SEEN = "frames of the fit tell nothing of frames that it has not seen; give others by --held-out"
OURS, TEACHER = "potential", "teacher"
COSTS = {"errors": 100.0, "rest": 60.0, "hop": 120.0, "pairs": 100.0, "run": 300.0, "speed": 5.0}
"""Rough seconds of a measurement, for the order of work and the estimate of the time left; the teacher's take longer."""
SLOWER = {"": 1.0, labels.CHGNET: 3.0, labels.SEVENNET: 36.0}
"""How much longer a measurement by a teacher takes (a force call: 1.2 and 15 ms an atom, 104 atoms of Li6PS5Cl, one core)."""


@dataclass(frozen=True)
class Subject:
    """What a card is about.

    Attributes:
        name: of the potential. folder: of it. settings: see CardSettings. held_out, training: sets.
        teacher: name of the one whose labels the held-out set holds ("chgnet", "sevennet"), who can be asked again; "": none.
    """

    name: str
    folder: Path
    settings: CardSettings
    held_out: Path
    training: tuple[Path, ...]
    teacher: str


def subject(name: str, held_out: Path, training: Sequence[Path] = (), phases: Sequence[str] = ()) -> Subject:
    """Subject of a card, checked before anything is computed.

    Raises:
        UserError: no such potential, an unreadable set, an unknown phase, an element that the potential does not cover, or a
            reaction that does not balance.
    """
    folder = potential.folder_of(name)
    settings = settings_of(folder, phases)
    described = potential.describe(name)
    for phase in {*settings.phases, *settings.hops, *_reacting(settings)}:
        if phase not in names():
            raise unknown("phase", phase, names())
        potential.require_elements(bulk(phase), described)
    dataset.require_apart(held_out, training, SEEN)
    levels = dataset.settings(held_out)
    dataset.read(held_out)
    for path in training:
        dataset.settings(path)
    return Subject(folder.name, folder, settings, held_out, tuple(training), labels.teacher_of(levels.values()))


def settings_of(folder: Path, phases: Sequence[str] = ()) -> CardSettings:
    """Settings of a potential's card; `phases` go before those of [card], and those before the recipe's crystals."""
    recipe = read_recipe(folder / RECIPE) if (folder / RECIPE).exists() else Recipe(folder.name, 0, "")
    chosen = tuple(phases) or recipe.card.phases or _crystals(recipe)
    return replace(recipe.card, phases=chosen)


def _crystals(recipe: Recipe) -> tuple[str, ...]:
    """Crystals that the recipe starts from, each once."""
    found = [
        "Li6PS5Cl" if s.kind == "argyrodite" else s.name
        for s in recipe.structures.values()
        if s.kind in ("crystal", "argyrodite")
    ]
    return tuple(dict.fromkeys(found))


def _reacting(settings: CardSettings) -> list[str]:
    """Phases of the reactions, each once."""
    return list(dict.fromkeys(name for reaction in settings.reactions for side in examination.sides(reaction) for name in side))


def tasks_of(about: Subject) -> list[Task]:
    """All measurements of a card."""
    settings, ours = about.settings, potential.describe(str(about.folder)).sha256
    found = [_task("errors", OURS, "", {"potential": ours, "set": _content(about.held_out)})]
    rest = list(dict.fromkeys([*settings.phases, *_reacting(settings), *settings.hops]))
    by = [(OURS, ours, ""), (TEACHER, _title(about), about.teacher)][: 2 if about.teacher else 1]
    for who, key, teacher in by:
        path = {"potential": key, "length": settings.hop_length} | (_asked_again(about) if who == OURS else {})
        found += [_task("rest", who, phase, {"potential": key}, teacher) for phase in rest]
        found += [_task("hop", who, phase, path, teacher) for phase in _hopping(about, who)]
        if about.teacher:
            times = {"picoseconds": settings.rdf_picoseconds}
            found += [
                _task("pairs", who, phase, {"potential": key, "temperature": settings.temperature_of(phase), **times}, teacher)
                for phase in settings.phases
            ]
    for phase in settings.phases:
        times = {"picoseconds": settings.picoseconds, "temperature": settings.temperature_of(phase)}
        found.append(_task("run", OURS, phase, {"potential": ours, **times}))
    return [*found, _task("speed", OURS, settings.phases[-1], {"potential": ours})] if settings.phases else found


def _title(about: Subject) -> str:
    """Code, version and model of the teacher, "" where there is none."""
    return labels.title(labels.TEACHERS[about.teacher]) if about.teacher else ""


def _asked_again(about: Subject) -> dict[str, str]:
    """The teacher whose energies along the potential's own path a hop tells, if any; CHGNet, the first, goes without saying."""
    return {} if about.teacher == labels.CHGNET else {"teacher": _title(about)}


def _hopping(about: Subject, who: str) -> list[str]:
    """Phases whose hop is searched; by the teacher only in small cells."""
    if who == OURS:
        return list(about.settings.hops)
    length, most = about.settings.hop_length, about.settings.neb_atoms
    return [phase for phase in about.settings.hops if len(supercell(bulk(phase), length)) <= most]


def _task(kind: str, who: str, phase: str, what: Mapping[str, Any], teacher: str = "") -> Task:
    """One measurement; `what` is everything its answer depends on besides kind and phase, `teacher` who makes it, if one does."""
    cost = COSTS[kind] * SLOWER[teacher] * (len(bulk(phase)) / 20.0 if phase and kind != "speed" else 1.0)
    label = " ".join(word for word in (kind, phase, BY_TEACHER if who == TEACHER else "") if word)
    parameters = {"kind": kind, "who": who, "phase": phase, **what}
    return Task(digest(parameters), label, cost, kind, parameters)


def _content(path: Path) -> str:
    """Hash of the labels of a set."""
    return digest([[float(f.info["REF_energy"]), float(np.abs(f.positions).sum())] for f in dataset.read(path)])


def measure(
    about: Subject, work: Path, comm: Any = None, progress: Progress | None = None, kinds: Sequence[str] = tuple(COSTS)
) -> dict[str, Any]:
    """Everything card.json holds: measurements of the `kinds` (names of COSTS), and those of others that `work` has already.

    What `work` has is not repeated.
    A measurement that ends with RunFailure (the potential does not hold the crystal) stands under "failures" and stops no other.

    Raises:
        UserError: the teacher is to measure and is not here.
    """
    every = tasks_of(about)
    kept = {task.key for task in every if (work / f"{task.key}.json").is_file()}
    tasks = [task for task in every if task.kind in kinds or task.key in kept]
    if any(task.parameters["who"] == TEACHER or task.kind == "hop" for task in tasks if task.key not in kept):
        labels.require(about.teacher)

    def do(task: Task, folder: Path, tick: Tick) -> Mapping[str, Any]:
        try:
            return _measure(about, task, folder, tick)
        except RunFailure as failure:
            return {"failure": str(failure)}

    answers = run_tasks(tasks, do, work, comm, progress)
    return assemble(about, tasks, answers)


@functools.cache
def _members(folder: Path, dtype: str = "float64") -> tuple[BaseCalculator, ...]:
    """Members of a potential, loaded once a process."""
    return tuple(assessment.open_members(str(folder), dtype=dtype))


def _measure(about: Subject, task: Task, folder: Path, tick: Tick) -> Mapping[str, Any]:
    """One measurement."""
    what, phase = task.parameters, str(task.parameters["phase"])
    if task.kind == "errors":
        return _errors(about, tick)
    if task.kind == "speed":
        rows = [
            examination.speed(phase, potential.load(str(about.folder), dtype=d)) | {"dtype": d} for d in ("float32", "float64")
        ]
        return {
            "processor": examination.processor(),
            "threads": 1,
            "engine": potential.load(str(about.folder)).engine,
            "rows": rows,
        }
    calculator = labels.teacher(about.teacher) if what["who"] == TEACHER else _members(about.folder)[0]
    if task.kind == "rest":
        return examination.at_rest(phase, calculator, tick)
    if task.kind == "hop":
        return _hop(about, phase, calculator, folder, tick, again=what["who"] == OURS and about.teacher != "")
    if task.kind == "pairs":
        return examination.pairs_run(phase, calculator, what["temperature"], what["picoseconds"], folder, tick)
    mover = potential.load(str(about.folder), dtype="float32")
    return examination.long_run(phase, _members(about.folder), what["temperature"], what["picoseconds"], folder, tick, mover)


def _errors(about: Subject, tick: Tick) -> dict[str, Any]:
    """Errors on the held-out set, by family and by structure."""
    answers = assessment.ask(dataset.read(about.held_out), _members(about.folder), tick)
    crystals = [one for one in answers if one.frame.info.get("family") == "crystal" and one.frame.info.get("structure")]
    report = assessment.report_of(answers)
    if crystals:
        report["structures"] = assessment.errors(crystals, key="structure")
        report["structures_member_0"] = assessment.errors(crystals, 0, "structure")
    return report


def _hop(about: Subject, phase: str, calculator: BaseCalculator, folder: Path, tick: Tick, again: bool) -> dict[str, Any]:
    """A vacancy hop; with `again` the teacher's energies along the same path."""
    cell = supercell(bulk(phase), about.settings.hop_length)
    gone, mover, _ = hops.sites(cell)
    times = tuple(int(n) for n in np.round(cell.cell.lengths() / bulk(phase).cell.lengths()))
    rest = relaxed(bulk(phase), calculator, cell=True, steps=300, strict=False)
    found = hops.vacancy_hop(rest.repeat(times), (gone, mover), calculator, progress=tick)
    if found is None:
        return {"atoms": len(cell) - 1, "note": "the end of the hop relaxes into its start"}
    with replacing(folder / "path.extxyz") as temporary:
        write(temporary, list(found.path), format="extxyz", parallel=False)
    row: dict[str, Any] = {
        "atoms": len(found.path[0]), "distance_A": round(found.distance, 3), "barrier_eV": round(found.barrier, 4),
        "energies_eV": np.round(found.energies, 4).tolist(), "force_left_eV_per_A": round(found.force, 3),
    }  # fmt: skip
    if again:
        energies = hops.energies_of(found.path, labels.teacher(about.teacher))
        row |= {"teacher_energies_eV": np.round(energies, 4).tolist(), "teacher_on_path_eV": round(float(energies.max()), 4)}
    return row


def assemble(about: Subject, tasks: Sequence[Task], answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Content of card.json from the measurements that were made."""
    measured = list(zip(tasks, answers, strict=True))
    found = {
        (task.kind, task.parameters["who"], task.parameters["phase"]): dict(answer)
        for task, answer in measured
        if "failure" not in answer
    }
    described = potential.describe(str(about.folder))
    card: dict[str, Any] = {
        "name": about.name,
        "elements": list(described.elements),
        "members": described.members,
        "sha256": described.sha256,
        "teacher": _title(about),
        "labels": [level.to_dict() for level in dataset.settings(about.held_out).values()],
        "data": {
            key: _contents(paths) for key, paths in (("training", about.training), ("held_out", (about.held_out,))) if paths
        },
    }
    if errors := found.get(("errors", OURS, "")):
        card |= {"held_out": errors["mean"], "held_out_members": errors["members"]}
        card |= {key: errors[key] for key in ("structures", "structures_member_0", "spread") if key in errors}
    for kind, key in (("rest", "references_0K"), ("hop", "hops")):
        phases = [phase for which, who, phase in found if (which, who) == (kind, OURS)]
        both = {p: {who: found[kind, who, p] for who in (OURS, TEACHER) if (kind, who, p) in found} for p in phases}
        card |= {key: both} if both else {}
    if "references_0K" in card:
        reactions = {each: _reaction(each, card["references_0K"]) for each in about.settings.reactions}
        card["reactions"] = {each: row for each, row in reactions.items() if OURS in row}
    runs = {phase: row for (kind, _, phase), row in found.items() if kind == "run"}
    pairs = {p: _pairs(found, p) for kind, who, p in found if (kind, who) == ("pairs", OURS) and ("pairs", TEACHER, p) in found}
    speed = next((row for (kind, *_), row in found.items() if kind == "speed"), None)
    card |= {key: rows for key, rows in (("pairs", pairs), ("trajectories", runs), ("speed", speed)) if rows}
    failures = {task.label: answer["failure"] for task, answer in measured if "failure" in answer}
    card["failures"] = failures
    return card | {"targets": verdicts(card, about.settings.targets, about.settings.picoseconds)}


def _contents(paths: Sequence[Path]) -> dict[str, Any]:
    """Frames, atoms and families of sets."""
    frames = [frame for path in paths for frame in dataset.read(path)]
    families = [str(frame.info.get("family", "frames")) for frame in frames]
    return {
        "frames": len(frames),
        "atoms": sum(map(len, frames)),
        "families": {family: families.count(family) for family in sorted(set(families))},
    }


def _reaction(reaction: str, references: Mapping[str, Any]) -> dict[str, Any]:
    """Energy of a reaction by the potential and by the teacher."""
    row = {}
    for who in (OURS, TEACHER):
        energies = {phase: rows[who]["energy_eV_per_formula"] for phase, rows in references.items() if who in rows}
        if {phase for side in examination.sides(reaction) for phase in side} <= set(energies):
            row[who] = examination.reaction_energy(reaction, energies)
    return row


def _pairs(found: Mapping[tuple[str, str, str], Mapping[str, Any]], phase: str) -> dict[str, Any]:
    """Overlap of the pair distributions of potential and teacher; "teacher_halves" tells what noise alone leaves."""
    ours, theirs = (found["pairs", who, phase] for who in (OURS, TEACHER))
    radius = np.array(ours["r_A"])
    rows = {
        pair: {
            "overlap": round(overlap(np.array(row["g"]), np.array(theirs["pairs"][pair]["g"]), radius), 3),
            "teacher_halves": theirs["pairs"][pair]["halves"],
        }
        for pair, row in ours["pairs"].items()
    }
    return {key: ours[key] for key in ("temperature_K", "picoseconds", "atoms")} | {"pairs": rows}


def write_card(about: Subject, found: Mapping[str, Any]) -> None:
    """Write card.json and card.md into the potential's folder."""
    write_json(about.folder / potential.CARD, found)
    write_text(about.folder / TEXT, text(found, about.settings))


def ship_frames(about: Subject, count: int, largest: int = 60) -> None:
    """Copy `count` held-out crystal frames of at most `largest` atoms, evenly spread, to held_out.extxyz beside the potential.

    Raises:
        UserError: the held-out set has no such frame.
    """
    small = [f for f in dataset.read(about.held_out) if f.info.get("family") == "crystal" and len(f) <= largest]
    if not small:
        raise UserError(f"{about.held_out}: no crystal frame of at most {largest} atoms to copy")
    chosen = [small[index] for index in np.unique(np.linspace(0, len(small) - 1, count).astype(int))]
    dataset.write(about.folder / "held_out.extxyz", chosen, dataset.settings(about.held_out))
