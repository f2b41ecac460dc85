"""A study: a declared list of independent atomistic runs whose answers become property records.

`plan` lists the runs, `run` spreads them over MPI ranks and reduces them. The effort of each quality stands in `QUALITIES`.
"""

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from atomistic import adhesion, bulk_onsager, kept_frames, reduction, structure_reading, surfaces, tasks, under_pressure
from atomistic.scheduler import Progress, Task, run_tasks
from atomistic.study_cost import reference_seconds
from atomistic.surface_energy import FORCE, STEPS, generic_shifts
from coupling.atomic import write_json
from coupling.errors import UserError
from coupling.record import Property, graded
from coupling.store import digest, write_records

VERSION, READ_VERSION = 3, 4
"""Counts changes of the code that change the numbers: of the runs (part of every key), and of what is read off them."""
REVISIONS = {"elasticity": 2}
"""Counts such changes of one kind of run; part of its keys alone."""
PHASES = ("Li6PS5Cl", "Li3P", "Li2S", "LiCl", "Li")
SHIFT_PERIOD = 3.5
"""Lattice constant of lithium, Å, over which contacts are shifted."""
Quality = Literal["quick", "standard", "production"]
Committee = Literal["first", "statics", "all"]
"""Which members of a committee compute: the first alone; all for what needs no dynamics; all for everything."""
Quantity = Literal["diffusion", "elasticity", "thermal_elasticity", "surface", "adhesion", "onsager", "structure"]
"""Kinds of runs: elasticity at 0 K, and at the temperatures of the phases."""
FROM_FRAMES = ("onsager", "structure")
"""Kinds that are read off the frames of diffusion runs, which are made for them."""
MOVING = ("diffusion", "thermal_elasticity", *FROM_FRAMES)
"""Kinds that are molecular dynamics."""


@dataclass(frozen=True)
class PhaseEffort:
    """Effort for the diffusivity of one phase.

    Attributes:
        length: least edge of the cell, Å. temperatures: K. equilibration, production: ps. seeds: runs per temperature.
        measured_cell: whether diffusion is run in the cell of the structure file instead of that of the potential.
        strain: of the runs for elasticity at temperature, of which each takes `production`.
        pressures: of the runs of diffusion, GPa. velocities: length of the runs that compare Einstein with Green–Kubo, ps.
    """

    length: float
    temperatures: tuple[float, ...]
    equilibration: float
    production: float
    seeds: int = 1
    measured_cell: bool = False
    strain: float = 0.01
    pressures: tuple[float, ...] = (0.0,)
    velocities: float = 20.0


@dataclass(frozen=True)
class Face:
    """Which faces of a phase and of the metal make their contact.

    Attributes:
        phase, metal: Miller indices. area: largest of the common cell, Å². strain: largest, put on the metal (1).
    """

    phase: tuple[int, int, int]
    metal: tuple[int, int, int] = (1, 0, 0)
    area: float = 200.0
    strain: float = 0.065


@dataclass(frozen=True)
class Effort:
    """Effort of a whole study.

    Attributes:
        diffusion: per phase. slab_thicknesses: of slabs for surface energies, Å. contact_thickness: of each side of a contact, Å.
        shifts: in-plane shifts of each contact. disorder_seeds: disordered cells whose elastic tensors are averaged.
        committee: which members of the potential compute, where the study does not say.
        faces: of the metal, where `surfaces` names none of it. surfaces: Miller indices of the faces of each phase. quantities:
            what is run at all. contact_faces: of phases whose contact the study describes itself.
        steps: most steps of a relaxation; None: as many as each kind of run needs. For trials, whose numbers mean nothing.
        thicker_contact: thickness of each side of a second contact, Å, whose change enters the error; None: there is none.
        contact_steps: most steps of the relaxation of a contact's slabs.
    """

    diffusion: Mapping[str, PhaseEffort]
    slab_thicknesses: tuple[float, ...]
    contact_thickness: float
    shifts: int
    disorder_seeds: int
    committee: Committee = "all"
    faces: tuple[str, ...] = ("100", "110")
    quantities: tuple[Quantity, ...] = ("diffusion", "elasticity", "surface", "adhesion")
    contact_faces: Mapping[str, Face] = field(default_factory=dict)
    steps: int | None = None
    thicker_contact: float | None = None
    contact_steps: int = STEPS
    surfaces: Mapping[str, tuple[tuple[int, int, int], ...]] = field(default_factory=dict)


def _rows(*rows: tuple[str, float, tuple[float, ...], float, float, int]) -> dict[str, PhaseEffort]:
    """Table rows → efforts."""
    return {name: PhaseEffort(*values) for name, *values in rows}  # type: ignore[arg-type]


# Temperatures lie below melting (Li 454 K, LiCl 878 K) and, where ions move, high enough for hundreds of hops in the run.
_HOT, _COLD = (600.0, 675.0, 750.0, 825.0), (700.0, 850.0, 1000.0)
QUALITIES: dict[str, Effort] = {
    #        phase, cell edge Å, temperatures K, equilibration ps, production ps, seeds
    "quick": Effort(
        _rows(
            ("Li6PS5Cl", 15.0, (600.0, 700.0, 800.0), 0.8, 5.0, 1),
            ("Li3P", 12.0, _COLD, 0.8, 6.0, 1),
            ("Li2S", 11.0, _COLD, 0.6, 2.0, 1),
            ("LiCl", 10.0, (400.0, 450.0, 500.0), 0.6, 2.0, 1),
            ("Li", 13.0, (300.0, 350.0, 400.0), 0.6, 2.0, 1),
        ),
        slab_thicknesses=(12.0, 18.0), contact_thickness=8.0, shifts=3, disorder_seeds=2, committee="statics",
        contact_steps=300,
    ),
    "standard": Effort(
        _rows(
            ("Li6PS5Cl", 19.0, (500.0, *_HOT), 5.0, 50.0, 2),
            ("Li3P", 16.0, (600.0, *_COLD), 5.0, 50.0, 1),
            ("Li2S", 16.0, _COLD, 2.0, 20.0, 1),
            ("LiCl", 15.0, (400.0, 450.0, 500.0), 2.0, 20.0, 1),
            ("Li", 17.0, (300.0, 350.0, 400.0), 2.0, 20.0, 1),
        ),
        slab_thicknesses=(18.0, 26.0), contact_thickness=10.0, shifts=6, disorder_seeds=5, thicker_contact=15.0,
    ),
    "production": Effort(
        _rows(
            ("Li6PS5Cl", 19.0, (450.0, 500.0, *_HOT), 20.0, 250.0, 4),
            ("Li3P", 20.0, (500.0, 600.0, *_COLD), 20.0, 250.0, 2),
            ("Li2S", 20.0, _COLD, 10.0, 100.0, 2),
            ("LiCl", 20.0, (400.0, 450.0, 500.0, 550.0), 10.0, 100.0, 2),
            ("Li", 20.0, (300.0, 350.0, 400.0), 10.0, 100.0, 2),
        ),
        slab_thicknesses=(26.0, 40.0), contact_thickness=14.0, shifts=12, disorder_seeds=10, thicker_contact=20.0,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class StudySettings:
    """What a study depends on.

    Attributes:
        potential: name or folder of the potential. quality: row of QUALITIES. phases: crystals to study.
        disorder: S/Cl disorder of Li6PS5Cl, as in `structures.argyrodite`. seed: of every random choice.
        engine, allow_pickle: see `potential.load`. dynamics_dtype: precision of molecular dynamics; statics take float64.
        committee: which members compute; None: what the quality says. Their spread enters every error (`pooling`).
    """

    potential: str = "lpscl"
    quality: Quality = "quick"
    phases: tuple[str, ...] = PHASES
    disorder: float = 0.25
    seed: int = 0
    engine: str = "auto"
    dynamics_dtype: str = "float32"
    allow_pickle: bool = False
    committee: Committee | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be studied."""
        if self.quality not in QUALITIES:
            raise UserError(f"quality {self.quality!r}; allowed: {', '.join(QUALITIES)}")
        if not self.phases or len(set(self.phases)) != len(self.phases):
            raise UserError(f"phases {self.phases!r}: at least one phase, none twice")
        if self.committee not in (None, *get_args(Committee)):
            raise UserError(f"committee {self.committee!r}; allowed: {', '.join(get_args(Committee))}")
        if not 0.0 <= self.disorder <= 1.0:
            raise UserError(f"disorder = {self.disorder!r}: the fraction of 4a sites occupied by S, between 0 and 1")


@dataclass(frozen=True)
class Toolbox:
    """Where the runs take potential, structures and effort from; the default is the product's own (`toolbox`).

    Attributes:
        sha256: hash of the potential. load: (precision, member) → its ASE calculator. effort: how much is done.
        crystal: (phase, seed) → conventional or disordered cell. mobile: diffusing element.
        metal: phase whose surfaces are wanted. slab: (face, thickness Å, lattice constant Å) → slab.
        contacts: phases whose adhesion to the metal is wanted.
        contact: (phase, thickness Å) → joined, metal alone, phase alone, mask of the metal, note on strain; built when the runs
            are listed, so that one that cannot be built is refused before anything is run.
        caution: what everybody who reads the records must know of the potential; empty where there is nothing.
        members: models of the committee.
    """

    sha256: str
    load: Callable[[str, int], BaseCalculator]
    effort: Effort
    crystal: Callable[[str, int], Atoms]
    mobile: str = "Li"
    metal: str = "Li"
    slab: Callable[[str, float, float], Atoms] | None = None
    contacts: tuple[str, ...] = ()
    contact: Callable[[str, float], tuple[Atoms, Atoms, Atoms, Any, str]] | None = None
    caution: str = ""
    members: int = 1


def effort(settings: StudySettings) -> Effort:
    """How much is done at the study's quality. Raises UserError: unknown phase."""
    from atomistic import structures

    found = QUALITIES[settings.quality]
    for phase in settings.phases:
        if phase not in found.diffusion:
            raise structures.unknown("phase", phase, sorted(found.diffusion))
    return found


def toolbox(settings: StudySettings, own_effort: Effort | None = None) -> Toolbox:
    """The product's potential, structures and effort (that of the study's quality, unless another is given).

    Raises:
        UserError: unknown potential or phase, or a phase with an element that the potential does not cover.
    """
    from atomistic import heterostructure, interface, labels, potential, structures

    wanted_effort = own_effort or effort(settings)

    def crystal(phase: str, seed: int) -> Atoms:
        return structures.argyrodite(settings.disorder, seed=seed) if phase == "Li6PS5Cl" else structures.bulk(phase)

    def slab(face: str, thickness: float, lattice_constant: float) -> Atoms:
        return interface.li_slab(face, 0.1, thickness, vacuum=15.0, lattice_constant=lattice_constant)

    @functools.cache
    def contact(phase: str, thickness: float) -> tuple[Atoms, Atoms, Atoms, Any, str]:
        if phase in wanted_effort.contact_faces:
            return described_contact(phase, thickness, wanted_effort.contact_faces[phase])
        joined = interface.interface(phase, "100", thickness, thickness, vacuum=12.0, max_length=22.0, max_strain=0.065)
        metal, other = interface.parts(joined, vacuum=12.0)
        strain = ", ".join(f"{value:+.1%}" for value in joined.info["strain"])
        return joined, metal, other, joined.get_tags() == interface.METAL, f"lithium (100) strained by {strain} in the plane"

    def described_contact(phase: str, thickness: float, face: Face) -> tuple[Atoms, Atoms, Atoms, Any, str]:
        cell, sides = crystal(phase, settings.seed), (thickness, thickness)
        try:
            joined = heterostructure.heterostructure(
                cell, "Li", face.phase, face.metal, sides, face.area, face.strain, vacuum=12.0
            )
        except UserError as error:
            raise UserError(f"[[phase]] {phase}: its contact with lithium: {error}") from None
        other, metal = heterostructure.parts(joined, vacuum=12.0)
        strain = ", ".join(f"{value:+.1%}" for value in joined.info["strain_upper"])
        note = f"lithium ({surfaces.digits(face.metal)}) on ({surfaces.digits(face.phase)}), strained by {strain} in the plane"
        note += ", a polar face" if joined.info["polar"][0] else ""
        return joined, metal, other, joined.get_tags() == heterostructure.UPPER, note

    def load(dtype: str, member: int) -> BaseCalculator:
        return potential.load(
            settings.potential, engine=settings.engine, dtype=dtype, member=member, allow_pickle=settings.allow_pickle
        )

    described = potential.describe(settings.potential, settings.allow_pickle)
    for phase in settings.phases:
        potential.require_elements(crystal(phase, settings.seed), described)
    return Toolbox(
        sha256=described.sha256, caution=described.caution, load=load,
        members=1 if settings.engine in labels.TEACHERS else described.members,
        effort=wanted_effort, crystal=crystal, slab=slab, contact=contact,
        contacts=tuple(one for one in settings.phases if one in (*interface.PHASES, *wanted_effort.contact_faces)),
    )  # fmt: skip


def plan(settings: StudySettings, tools: Toolbox | None = None) -> tuple[Task, ...]:
    """Every run of the study, in a fixed order.

    Raises:
        UserError: unknown potential or phase, or slabs that cannot be cut.
    """
    tools = tools or toolbox(settings)
    cut = _slabs(settings, tools)
    return tuple(task for member in range(tools.members) for task in _plan_of(settings, tools, member, cut)
                 if _wanted(settings, tools, task))  # fmt: skip


def _slabs(settings: StudySettings, tools: Toolbox) -> dict[str, dict[tuple[int, int, int], tuple[int, ...]]]:
    """Atoms of the slabs of every face whose surface energy is wanted, by phase and Miller indices.

    Raises:
        UserError: slabs that cannot be cut.
    """
    if "surface" not in tools.effort.quantities:
        return {}
    return {phase: {miller: surfaces.atoms_of(tools.crystal(phase, settings.seed), phase, miller, tools.effort.slab_thicknesses)
                    for miller in tools.effort.surfaces.get(phase, ())} for phase in settings.phases}  # fmt: skip


def _wanted(settings: StudySettings, tools: Toolbox, task: Task) -> bool:
    """Whether the task is among the effort's quantities, and the member that it names computes it."""
    kinds = {*tools.effort.quantities, *(("diffusion",) if {*FROM_FRAMES} & {*tools.effort.quantities} else ())}
    if task.kind not in kinds:
        return False
    committee = settings.committee or tools.effort.committee
    return committee == "all" or not task.parameters.get("member") or (committee == "statics" and task.kind not in MOVING)


def _cells(settings: StudySettings, tools: Toolbox, member: int) -> int:
    """Disordered cells for the elastic tensor: one alone for further members of a committee that computes statics.

    The scatter from cell to cell is that of the first member; the others are there for the spread of the committee.
    """
    alone = (settings.committee or tools.effort.committee) == "statics" and member > 0
    return 1 if alone else tools.effort.disorder_seeds


def _plan_of(
    settings: StudySettings, tools: Toolbox, member: int, slabs_of: Mapping[str, Mapping[tuple[int, int, int], tuple[int, ...]]]
) -> list[Task]:
    """Every run that one member of the committee can make; `slabs_of` as `_slabs`."""
    listed: list[Task] = []
    whose, told = ({"member": member}, f", member {member}") if member else ({}, "")
    short = {} if tools.effort.steps is None else {"steps": tools.effort.steps}

    def add(kind: str, label: str, cost: float, **parameters: Any) -> None:
        parameters |= {"dtype": settings.dynamics_dtype if kind in MOVING else "float64", **whose, **short}
        code = {"version": VERSION} | ({"revision": REVISIONS[kind]} if kind in REVISIONS else {})
        what = {"kind": kind, **code, "potential": tools.sha256, "engine": settings.engine, **parameters}
        run = digest({**what, "production": None}) if "production" in parameters else ""
        runs = 12 if kind == "thermal_elasticity" else 1
        moved = parameters["equilibration"] + runs * parameters["production"] if run else 0.0
        listed.append(Task(digest(what), label + told, cost, kind, parameters, run, moved))

    for phase in settings.phases:
        seed = settings.seed
        cell = tools.crystal(phase, seed)
        disorder = {"disorder": cell.info["disorder"]} if "disorder" in cell.info else {}
        common = {"phase": phase, "mobile": tools.mobile, **disorder}
        effort = tools.effort.diffusion[phase]
        held = {"measured_cell": True} if effort.measured_cell else {}
        repeat = _repeat(cell, effort.length)
        atoms = len(cell) * math.prod(repeat)
        steps = 500.0 * (effort.equilibration + effort.production)
        for temperature, pressure in itertools.product(effort.temperatures, effort.pressures):
            pressed = {"pressure": pressure} if pressure else {}
            for number in range(effort.seeds):
                name = f"{phase} diffusion {temperature:g} K" + (f" {pressure:g} GPa" if pressure else "")
                add("diffusion", name + (f" run {number + 1}" if effort.seeds > 1 else ""),
                    reference_seconds(atoms, steps, "float32"), **common, **held, **pressed, temperature=temperature,
                    repeat=list(repeat), seed=seed + 1000 * number, equilibration=effort.equilibration,
                    production=effort.production)  # fmt: skip
        for temperature in effort.temperatures if "onsager" in tools.effort.quantities else ():
            add("onsager", f"{phase} velocities {temperature:g} K",
                reference_seconds(atoms, 500.0 * (effort.equilibration + effort.velocities), "float32"), **common, **held,
                temperature=temperature, repeat=list(repeat), seed=seed, equilibration=effort.equilibration,
                production=effort.velocities)  # fmt: skip
        for temperature in effort.temperatures if "thermal_elasticity" in tools.effort.quantities else ():
            steps = 500.0 * (effort.equilibration + 12 * 1.1 * effort.production)  # a stress every ten steps
            add("thermal_elasticity", f"{phase} elasticity at {temperature:g} K", reference_seconds(atoms, steps, "float32"),
                **common, **held, temperature=temperature, repeat=list(repeat), seed=seed, equilibration=effort.equilibration,
                production=effort.production, strain=effort.strain)  # fmt: skip
        for number in range(_cells(settings, tools, member) if disorder else 1):
            name = f"{phase} elasticity" + (f" cell {number + 1}" if disorder else "")
            usual = 3000 if disorder else 1500 if len(cell) > 12 else 300  # force calls
            add("elasticity", name, reference_seconds(len(cell), usual), **common, seed=seed + number)
        for miller, slab_atoms in slabs_of.get(phase, {}).items():
            cost = sum(reference_seconds(atoms, STEPS / 4) for atoms in (len(cell), *slab_atoms))  # usual steps of each
            add("surface", surfaces.label(f"{phase} surface", miller), cost, **common, seed=seed, miller=list(miller),
                thicknesses=list(tools.effort.slab_thicknesses), force=FORCE, steps=STEPS)  # fmt: skip
        if phase == tools.metal and tools.slab and phase not in tools.effort.surfaces:
            for face in tools.effort.faces:
                add("surface", f"{phase} surface ({face})", reference_seconds(20, 80), **common, seed=seed, face=face,
                    thicknesses=list(tools.effort.slab_thicknesses))  # fmt: skip
        if phase in tools.contacts and tools.contact and "adhesion" in tools.effort.quantities:
            shifts = [list(shift) for shift in generic_shifts(tools.effort.shifts, SHIFT_PERIOD)]
            atoms = len(tools.contact(phase, tools.effort.contact_thickness)[0])
            faces = {"face": asdict(tools.effort.contact_faces[phase])} if phase in tools.effort.contact_faces else {}
            more = adhesion.atoms_of_thicker(tools, phase, atoms)
            second = {"thicker": tools.effort.thicker_contact} if more else {}
            steps = tools.effort.contact_steps
            cost = sum(reference_seconds(size, steps * (1 + 2 * count))  # the parts, the contacts, and these opened
                       for size, count in ((atoms, len(shifts)), (more, 2)) if size)  # fmt: skip
            add("adhesion", f"{tools.metal}|{phase} adhesion", cost, **common, seed=seed, metal=tools.metal, shifts=shifts,
                thickness=tools.effort.contact_thickness, force=FORCE, steps=steps, **faces, **second)  # fmt: skip
    return listed


def run(
    settings: StudySettings,
    store: str | Path,
    comm: Any = None,
    progress: Progress | None = None,
    tools: Toolbox | None = None,
) -> list[Property]:
    """Property records of a study; what the store already holds is not computed again.

    Writes to the store `records.json` (the records), `arrhenius.json` (diffusivities against temperature with their fits),
    `structure.json` (g(r) and powder patterns, where asked for) and `problems.json` (a sentence for each quantity the potential
    could not give, such as moduli of an unstable crystal).

    Args:
        settings: see StudySettings.
        store: folder of answers and checkpoints, shared by all ranks.
        comm: mpi4py communicator; None for a single process. The records are returned on every rank.
        progress: (label, share 0 … 1), called on rank 0.
        tools: other structures or another calculator than the product's own.

    Raises:
        UserError: unknown potential or phase.
        RunFailure: a run failed; what was computed before is kept.
    """
    store = Path(store)
    tools = tools or toolbox(settings)
    listed = plan(settings, tools)
    calculator = functools.cache(tools.load)

    def work(task: Task, folder: Path, tick: Callable[[float], None]) -> Mapping[str, Any]:
        model = calculator(task.parameters["dtype"], task.parameters.get("member", 0))
        return tasks.perform(task.kind, task.parameters, tools, model, folder, tick)

    answers = run_tasks(listed, work, store, comm, progress)
    source = {"potential": settings.potential, "potential_sha256": tools.sha256, "version": VERSION}
    if "onsager" in tools.effort.quantities:
        answers = kept_frames.with_matrices(listed, answers, tools, store)
    if "structure" in tools.effort.quantities:
        answers = kept_frames.with_structures(listed, answers, tools, store, comm, progress)
    records, curves = reduction.reduce(listed, answers, source, "diffusion" in tools.effort.quantities, tools.metal)
    records = [graded(record) for record in records]
    if comm is None or comm.rank == 0:
        write_json(store / "arrhenius.json", curves)
        cautions = [tools.caution] if tools.caution else []
        write_json(store / "problems.json", cautions + _problems(listed, answers))
        if "structure" in tools.effort.quantities:
            write_json(store / "structure.json", structure_reading.curves(list(zip(listed, answers, strict=True))))
        write_records(store / "records.json", records)
    return records


def _problems(listed: Sequence[Task], answers: Sequence[Mapping[str, Any]]) -> list[str]:
    """What runs could not give, each with the member that it is of where that is not the first."""
    done = list(zip(listed, answers, strict=True))
    first = [run for run in done if not run[0].parameters.get("member")]
    told = [_whose(task, str(answer["problem"])) for task, answer in done if "problem" in answer]
    told += bulk_onsager.problems(first) + structure_reading.problems(first)
    for task, answer in done:
        if task.kind == "adhesion" and (fallen := adhesion.fallen(task.parameters["phase"], task, answer)):
            told.append(_whose(task, fallen))
        elif task.kind == "adhesion" and (hole := adhesion.opened_in_hole(task.parameters["phase"], task, answer)):
            told.append(_whose(task, hole))
        if "miller" in task.parameters and "problem" not in answer and (note := surfaces.note(task, answer)):
            told.append(_whose(task, note))
    moved = [run for run in done if run[0].kind == "diffusion" and not run[0].parameters.get("member")]
    for phase in dict.fromkeys(task.parameters["phase"] for task, _ in moved):
        told += under_pressure.missing(phase, [run for run in moved if run[0].parameters["phase"] == phase])
    return told


def _whose(task: Task, sentence: str) -> str:
    """The sentence, with the member of the committee that it is of where that is not the first."""
    member = task.parameters.get("member", 0)
    return f"member {member} alone: {sentence}" if member else sentence


def _repeat(cell: Atoms, length: float) -> tuple[int, int, int]:
    """Repetitions that make every edge at least `length` (Å)."""
    a, b, c = (max(1, math.ceil(length / edge - 1e-9)) for edge in cell.cell.lengths())
    return a, b, c
