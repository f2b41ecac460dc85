"""Study files (TOML) of band gaps: one cell or slice after another by CP2K, each beside a larger cell of it, one record each.

Top level: kind = "band-gap", name, and as `cp2k.Cp2kSettings` has them functional, cutoff, relative_cutoff, basis, smearing,
precision, max_steps, threads, time_limit; finer_atoms: most atoms of the larger cell. A [[cell]] table for every cell: crystal
(a name of structures.toml, taken in the cell and at the positions written there) with repeat, for Li6PS5Cl disorder and seed; or
structure (file that ASE reads, its last frame, beside the study file) with slice (two depths), axis ("a", "b" or "c") and shift
(how far each face may move to make the slice neutral, `neutral_slices`); name (absent: the crystal's, or that of the file);
finer: repetitions of the cell that make the larger one. Top level, for slices: relax_with (a potential) and relax_steps;
gap_factor.

A slice that cannot be cut neutral is refused, and so is one that the relaxation charges: their gaps would be those of the cut. A
slice with lithium metal has the metal's conduction electrons: where its levels are too few for one to be partly filled, the gap
between them is an upper bound. A neutral slice of 4 Li6PS5Cl from the middle of a reacted cell had 0.60 eV where the crystal has
2.03 (PBE): what heat, disorder and the meeting of its faces leave. A gap says nothing of how its bands lie to those of lithium:
with gap_factor, the largest ratio of a true gap to the functional's that is to be reckoned with, a cell that is not cut gets an
upper bound of the barrier that electrons from lithium meet (`barrier`), the input of
`multiscale.transport.interphase_leakage`; a slice, whose gap is narrowed by its cut, gets none.

The zone centre of a cell repeated n times along an axis holds n points of the zone of the cell along it: the larger cell samples
more densely. Its gap is the one recorded, and the change from the cell to it the stated error of sampling, which says nothing of
the points that neither holds: the corner K of a hexagonal zone needs finer = [3, 3, 1]. Where a larger cell has too many atoms
there is no error. Every cell, and every larger one, is one task of the scheduler: shared by MPI ranks, kept.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator
from pydantic import Field

from atomistic import band_gap as gaps
from atomistic import cp2k, neutral_slices, structures
from atomistic.band_gap import BandGap
from atomistic.cp2k import Cp2kSettings
from atomistic.neutral_slices import Slice
from atomistic.scheduler import Progress, Task, run_tasks
from atomistic.study_cost import StudyPlan
from atomistic.study_start import frames
from coupling import toml_input
from coupling.atomic import write_json
from coupling.errors import RunFailure, UserError
from coupling.record import Property, graded
from coupling.store import digest, write_records
from coupling.toml_input import InUnit, Table, TomlFile, Whole

VERSION = 1
Å = 1e-10
START, ATOM = 15.0, 2.5
"""Seconds of a gap whatever the number of atoms, and per atom: PBE, DZVP, 300 Ry, a busy core; to a factor of three."""
ARGYRODITE, AXES = "Li6PS5Cl", "abc"
GAP = tuple(field.name for field in fields(BandGap))
Count = Annotated[Whole, Field(ge=1)]
Repeats = tuple[Count, Count, Count]
Depth = Annotated[float, InUnit("m", at_least=0.0)]


def _rydberg(key: str) -> InUnit:
    return InUnit("Ry", at_least=cp2k.LIMITS[key][1], at_most=cp2k.LIMITS[key][2])


class CellTable(Table):
    """[[cell]]: what a gap is computed of; depths in m."""

    name: str | None = None
    crystal: str | None = None
    repeat: Repeats | None = None
    disorder: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[Whole, Field(ge=0)] | None = None
    structure: str | None = None
    slice: tuple[Depth, Depth] | None = None
    axis: Literal["a", "b", "c"] | None = None
    shift: Depth | None = None
    finer: Repeats | None = None

    @property
    def label(self) -> str:
        """Its name, that of the crystal, or that of the file."""
        return self.name or self.crystal or Path(str(self.structure)).stem


class BandGapStudy(Table):
    """A study of band gaps; cutoffs in Ry, smearing in K, time in s, relax_with the potential that relaxes slices."""

    kind: Literal["band-gap"]
    name: str
    functional: str = Cp2kSettings.functional
    cutoff: Annotated[float, _rydberg("cutoff")] = Cp2kSettings.cutoff
    relative_cutoff: Annotated[float, _rydberg("relative_cutoff")] = Cp2kSettings.relative_cutoff
    basis: str = Cp2kSettings.basis
    smearing: Annotated[float, InUnit("K", above=0.0, at_most=cp2k.LIMITS["smearing"][2])] = Cp2kSettings.smearing
    precision: Annotated[float, Field(ge=cp2k.LIMITS["precision"][1], le=cp2k.LIMITS["precision"][2])] = Cp2kSettings.precision
    max_steps: Count = Cp2kSettings.max_steps
    threads: Count = Cp2kSettings.threads
    time_limit: Annotated[float, InUnit("s", above=0.0)] = Cp2kSettings.time_limit
    finer_atoms: Annotated[Whole, Field(ge=0, le=gaps.MOST_ATOMS)] = 100
    relax_with: str | None = None
    relax_steps: Count = 50
    gap_factor: Annotated[float, Field(ge=1)] | None = None
    cell: Annotated[tuple[CellTable, ...], Field(min_length=1)]

    @property
    def settings(self) -> Cp2kSettings:
        """What CP2K is asked for."""
        return Cp2kSettings(self.functional, self.cutoff, self.relative_cutoff, self.basis, smearing=self.smearing,
                            precision=self.precision, max_steps=self.max_steps, threads=self.threads,
                            time_limit=self.time_limit)  # fmt: skip


@dataclass(frozen=True)
class Sampled:
    """A cell and the repetitions of it that are computed: its own (1, 1, 1) and, where there is one, the larger cell's.

    part: how the cell was cut, where it is a slice.
    """

    table: CellTable
    atoms: Atoms
    repeats: tuple[Repeats, ...]
    part: Slice | None = None


def read_study(path: str | Path) -> BandGapStudy:
    """Read a study; paths of structures become absolute.

    Raises:
        UserError: no such file, broken TOML, a wrong key, an unknown functional, basis or crystal, a cell that names neither
            crystal nor file or both, or one named twice (with file and line).
    """
    file = toml_input.read(path)
    study = toml_input.validate(file, BandGapStudy)
    for key, known in (("functional", tuple(cp2k.FUNCTIONALS)), ("basis", cp2k.BASES)):
        if getattr(study, key) not in known:
            raise UserError(file.refusal((key,), f"known with CP2K: {', '.join(known)}"))
    names = [cell.label for cell in study.cell]
    for number, cell in enumerate(study.cell):
        _require_cell(file, ("cell", number), cell)
        if cell.label in names[:number]:
            raise UserError(file.complaint(("cell", number), f'a cell named "{cell.label}" stands there already; give it a name'))
    beside = file.path.resolve().parent
    return study.model_copy(update={"cell": tuple(_beside(cell, beside) for cell in study.cell)})


def _beside(cell: CellTable, folder: Path) -> CellTable:
    """The cell with the path of its structure, if it has one, taken from a folder."""
    return cell.model_copy(update={"structure": str(folder / cell.structure)}) if cell.structure else cell


def _require_cell(file: TomlFile, where: tuple[str | int, ...], cell: CellTable) -> None:
    """Refuse a cell of two origins or none, and keys that its origin does not know. Raises UserError with file and line."""
    if (cell.crystal is None) == (cell.structure is None):
        raise UserError(file.complaint(where, 'a cell needs crystal = "NAME" or structure = "FILE", and one of the two only'))
    strange = ("slice", "axis", "shift") if cell.crystal else ("repeat", "disorder", "seed")
    for key in strange:
        if getattr(cell, key) is not None:
            told = "only a cell with structure takes it" if cell.crystal else "only a cell with crystal takes it"
            raise UserError(file.refusal((*where, key), told))
    if cell.crystal is not None and cell.crystal not in structures.names():
        wrong = structures.unknown("structure", cell.crystal, structures.names())
        raise UserError(file.complaint((*where, "crystal"), str(wrong)))
    for key in ("disorder", "seed"):
        if getattr(cell, key) is not None and cell.crystal != ARGYRODITE:
            raise UserError(file.refusal((*where, key), f"only {ARGYRODITE} has S and Cl to exchange"))
    if cell.slice is not None and not cell.slice[0] < cell.slice[1]:
        raise UserError(file.refusal((*where, "slice"), "two rising depths are needed"))
    for key in ("axis", "shift"):
        if getattr(cell, key) is not None and cell.slice is None:
            raise UserError(file.refusal((*where, key), f"it is the {key} of a slice; give slice as well"))


def cells(study: BandGapStudy) -> list[Sampled]:
    """The cells of a study and how often each is repeated.

    Raises:
        UserError: no such file, no such slice, none that is neutral, or a cell that no gap can be computed of (with the name of
            the cell).
    """
    found = []
    for table in study.cell:
        try:
            atoms, part = _built(table)
            finer = table.finer or doubled(atoms, study.finer_atoms)
            made = Sampled(table, atoms, ((1, 1, 1),) if finer == (1, 1, 1) else ((1, 1, 1), finer), part)
            for repeat in made.repeats:
                gaps.require_cell(atoms.repeat(repeat), study.settings)
        except UserError as error:
            raise UserError(f"[[cell]] {table.label}: {error}") from None
        found.append(made)
    return found


def _built(table: CellTable) -> tuple[Atoms, Slice | None]:
    """Atoms of one cell, and how they were cut where it is a slice."""
    if table.crystal == ARGYRODITE:
        return structures.argyrodite(table.disorder or 0.0, table.repeat or (1, 1, 1), table.seed or 0), None
    if table.crystal is not None:
        return structures.bulk(table.crystal).repeat(table.repeat or (1, 1, 1)), None
    atoms = frames(table.structure, None, 0)[-1]
    if table.slice is None:
        return atoms, None
    low, high, shift = (depth / Å for depth in (*table.slice, table.shift or 0.0))
    part = neutral_slices.cut(atoms, low, high, shift, AXES.index(table.axis or "c"))
    return part.atoms, part


def doubled(atoms: Atoms, most: int) -> Repeats:
    """Repetitions that double a cell along its edges, the shortest first, as long as it has at most `most` atoms."""
    repeat = [1, 1, 1]
    for axis in np.argsort(atoms.cell.lengths(), kind="stable"):
        if 2 * int(np.prod(repeat)) * len(atoms) <= most:
            repeat[axis] = 2
    return repeat[0], repeat[1], repeat[2]


def _tasks(study: BandGapStudy, sampled: Sequence[Sampled], version: str, relaxer: str = "") -> list[Task]:
    """One run a cell and a larger cell; the number of threads decides nothing. relaxer: hash of what relaxes slices, or ""."""
    what = {"version": VERSION, "cp2k": version, **asdict(replace(study.settings, threads=1))}

    def listed(number: int, repeat: Repeats) -> Task:
        one = sampled[number]
        atoms, name, own = one.atoms.repeat(repeat), one.table.label, what
        if one.part is not None and relaxer:
            own = {**what, "relaxed": [relaxer, study.relax_steps, list(repeat)]}
        key = digest({**own, "atoms": [atoms.numbers.tolist(), atoms.positions.tolist(), atoms.cell.array.tolist()]})
        times = "" if repeat == (1, 1, 1) else f", {repeat[0]} x {repeat[1]} x {repeat[2]}"
        label = f"gap of {name}{times} ({len(atoms)} atoms)"
        return Task(key, label, START + ATOM * len(atoms), "gap", {"cell": number, "repeat": list(repeat)})

    return [listed(number, repeat) for number, one in enumerate(sampled) for repeat in one.repeats]


def _relaxer(study: BandGapStudy, sampled: Sequence[Sampled], calculator: BaseCalculator | None = None) -> str:
    """Hash of what relaxes the slices; "" where nothing does. Raises UserError: no such potential, or an element it lacks."""
    if study.relax_with is None or calculator is not None:
        return type(calculator).__name__ if calculator else ""
    from atomistic import potential

    described = potential.describe(study.relax_with)
    for one in sampled:
        if one.part is not None:
            potential.require_elements(one.atoms, described)
    return described.sha256


def plan(study: BandGapStudy) -> StudyPlan:
    """Runs of a study with their cost. Raises UserError: no CP2K, or a cell that no gap can be computed of."""
    sampled = cells(study)
    return StudyPlan(tuple(_tasks(study, sampled, cp2k.version(cp2k.program()), _relaxer(study, sampled))))


def trial(study: BandGapStudy) -> BandGapStudy:
    """The same cells with the smallest basis, a coarse grid and no larger cells: whether every run goes to its end."""
    alone = tuple(cell.model_copy(update={"finer": (1, 1, 1)}) for cell in study.cell)
    return study.model_copy(update={"cell": alone, "basis": cp2k.BASES[0], "cutoff": cp2k.LIMITS["cutoff"][1],
                                    "precision": cp2k.LIMITS["precision"][2]})  # fmt: skip


def run(
    study: BandGapStudy, out: str | Path, comm: Any = None, progress: Progress | None = None,
    calculator: BaseCalculator | None = None,
) -> list[Property]:  # fmt: skip
    """One record a cell; writes OUT/records.json, gaps.png and problems.json (cells that gave no gap, and why).

    `calculator` replaces the potential that relaxes slices.

    Raises:
        UserError: no CP2K, or wrong input.
    """
    sampled, version = cells(study), cp2k.version(cp2k.program())
    relaxer = _relaxer(study, sampled, calculator)
    listed = _tasks(study, sampled, version, relaxer)

    def work(task: Task, folder: Path, tick: Callable[[float], None]) -> Mapping[str, Any]:
        one = sampled[task.parameters["cell"]]
        try:
            atoms, told = _settled(study, one, calculator)
            return {**asdict(gaps.band_gap(atoms.repeat(task.parameters["repeat"]), study.settings)), **told}
        except RunFailure as failure:
            return {"problem": f"{task.label}: {failure}"}

    answers = run_tasks(listed, work, out, comm, progress)
    problems = [answer["problem"] for answer in answers if "problem" in answer]
    records = []
    for number, one in enumerate(sampled):
        own = [(task, answer) for task, answer in zip(listed, answers, strict=True) if task.parameters["cell"] == number]
        found = {tuple(task.parameters["repeat"]): answer for task, answer in own if "problem" not in answer}
        if found:
            records += _records(study, one, found, version, relaxer)
    records = [graded(record) for record in records]
    if comm is None or comm.rank == 0:
        write_records(Path(out) / "records.json", records)
        write_json(Path(out) / "problems.json", problems)
        _picture(Path(out) / "gaps.png", [record for record in records if record.quantity == "band_gap"])
    return records


def _settled(study: BandGapStudy, one: Sampled, calculator: BaseCalculator | None) -> tuple[Atoms, dict[str, Any]]:
    """The cell that the gap is computed of, relaxed where it is a slice and the study says so; the largest force left (eV/Å)."""
    if one.part is None or study.relax_with is None:
        return one.atoms, {}
    from atomistic import potential

    atoms, force = neutral_slices.settled(one.part, calculator or potential.load(study.relax_with), study.relax_steps)
    return atoms, {"force": force, "units": neutral_slices.units(atoms)}


def _records(
    study: BandGapStudy, one: Sampled, answers: Mapping[tuple[int, ...], Mapping[str, Any]], version: str, relaxer: str
) -> list[Property]:
    """The gap of the largest cell with the change to it, or the bound of the largest metallic one; the barrier that it bounds."""
    found = {repeat: BandGap(**{key: answer[key] for key in GAP}) for repeat, answer in answers.items()}
    metals = [repeat for repeat in found if found[repeat].metallic]
    repeat = max(metals or found, key=lambda numbers: int(np.prod(numbers)))
    atoms, table, part = one.atoms.repeat(repeat), one.table, one.part
    conditions = {"functional": study.functional, "k_points": "zone centre", "atoms": len(atoms)}
    if table.crystal == ARGYRODITE:
        conditions |= {"disorder": one.atoms.info["disorder"]}
    if part is not None:
        conditions |= {"slice_wanted_m": list(table.slice or ()), "axis": table.axis or "c", **neutral_slices.conditions(part)}
    carriers = part is not None and part.metal > 0
    source = {"study": study.name, "code": f"CP2K {version}", "settings": cp2k.label_settings(study.settings, version).id,
              "structure": _origin(study, one, answers[repeat], relaxer),
              "sampling": _sampling(found, bool(metals), carriers)}  # fmt: skip
    record = replace(gaps.record(found[repeat], atoms, study.settings, conditions, source, carriers), material=table.label)
    if record.bound:
        return [record]
    small, *large = sorted(found, key=lambda numbers: int(np.prod(numbers)))
    change = abs(found[large[0]].gap - found[small].gap) * units._e if large else None
    record = replace(record, stderr=change)
    return [record] if part is not None or study.gap_factor is None else [record, barrier(record, study.gap_factor)]


def _origin(study: BandGapStudy, one: Sampled, answer: Mapping[str, Any], relaxer: str) -> str:
    """Where a cell's atoms are from and what was done to them, in words."""
    if one.table.structure is None:
        return f"cell of {one.atoms.info['source']}; cell and positions not relaxed"
    made = hashlib.sha256(Path(one.table.structure).read_bytes()).hexdigest()[:12]
    told = f"last frame of {Path(one.table.structure).name} ({made}), "
    if one.part is None:
        return told + "cell and positions not relaxed"
    told += "cut between groups of bound atoms, faces joined"
    if "force" not in answer:
        return f"{told}, not relaxed: {neutral_slices.units(one.part.atoms)}"
    rest = f"relaxed in its cell by {study.relax_with} ({relaxer[:12]}) for up to {study.relax_steps} steps"
    return f"{told}, {rest}, largest force left {answer['force']:.2g} eV/Å: {answer['units']}"


def barrier(gap: Property, factor: float) -> Property:
    """Upper bound of the barrier (J) of electrons from lithium in a crystal: its gap and twice the error, times a factor.

    In contact lithium's Fermi level lies within the gap of a semiconductor, so that the bottom of the conduction band lies no
    more than the gap above it; where, the gap does not tell. The length that electrons tunnel, ħ/(2 (2 m E)^½)
    (`multiscale.transport.interphase_leakage`; Simmons, J. Appl. Phys. 34, 1793 (1963), memory), is at least that of the bound.

    Args:
        gap: of a cell that is no metal. factor: the largest ratio of true to computed gap that is reckoned with.
    """
    method = f"lithium's Fermi level lies in the gap: barrier <= {factor:g} x (gap + twice its error); no more is known"
    return replace(gap, quantity="tunnel_barrier", value=factor * (gap.value + 2 * (gap.stderr or 0.0)), stderr=None,
                   bound="upper", source={**gap.source, "method": method})  # fmt: skip


def _sampling(found: Mapping[tuple[int, ...], BandGap], metallic: bool, carriers: bool = False) -> str:
    """What is known of the sampling, in words."""
    told = "; ".join(f"{' x '.join(map(str, repeat))} cell {gap.gap:.3f} eV" for repeat, gap in sorted(found.items()))
    if metallic:
        return f"{told}; orbitals at the Fermi level are partly filled: the bound is what the smearing hides"
    if carriers:
        return f"{told}; it holds lithium metal: the bound is the distance of the levels of a small cell, none partly filled"
    return f"{told}; the error is their difference" if len(found) > 1 else f"{told}; no larger cell: the error is not known"


def _picture(path: Path, records: Sequence[Property]) -> None:
    from atomistic.observable_pictures import bars

    drawn = {record.material: (record.value / units._e, (record.stderr or 0.0) / units._e, record.bound == "upper")
             for record in records}  # fmt: skip
    functionals = " ".join(sorted({str(record.conditions["functional"]) for record in records}))
    bars(path, drawn, f"band gap, {functionals} (eV)")
