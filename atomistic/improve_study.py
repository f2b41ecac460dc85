"""Study files of `multiscale potential improve` (TOML): what is run, who labels, how good the potential shall get.

Top level: name, seed, potential (start: a shipped name or a folder; "" fits from random weights), labeller ("chgnet",
"sevennet", "cp2k" or "module:callable"), sets (training sets to start from), epochs, and the tables [[structure]] as in
recipes (besides, kind = "file" with name = a structure file), [dynamics], [goal], [budget], [fit], [[member]] (only where
there is no start) and [cp2k] (only for that labeller).
Paths are relative to the study file.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from ase import Atoms
from ase.io import read as ase_read
from pydantic import BeforeValidator, Field

from atomistic import potential, starts
from atomistic.cp2k import Cp2kSettings
from atomistic.fitting import FitSettings
from atomistic.recipe import Member
from atomistic.sampling import seed_of
from atomistic.starts import Structure
from atomistic.structures import require_full_sites
from coupling import toml_input
from coupling.errors import UserError
from coupling.toml_input import Table, Whole, nearest

FILE = "file"
Positive = Annotated[float, Field(gt=0, strict=True)]
Count = Annotated[Whole, Field(ge=1)]


def keys_of(kind: type) -> BeforeValidator:
    """Refuse unknown keys of a table that becomes a plain dataclass; {"Li": 3} of a composition becomes (("Li", 3),)."""
    known = [each.name for each in fields(kind)]

    def prepare(value: Any) -> Any:
        for key in value if isinstance(value, dict) else ():
            if key not in known:
                raise ValueError(f"unknown key {key!r}; {nearest(key, known)}")
        if isinstance(value, dict) and isinstance(value.get("composition"), dict):
            return value | {"composition": tuple(value["composition"].items())}
        return value

    return BeforeValidator(prepare)


class Dynamics(Table):
    """[dynamics]: Langevin runs of every structure at every temperature."""

    temperatures: Annotated[tuple[Positive, ...], Field(min_length=1)]  # K
    steps: Count
    interval: Count  # steps between frames; the committee is asked about each
    timestep_fs: Positive = 2.0
    copies: Count = 1
    relax_steps: Whole = 0  # of a damped relaxation before
    closest: Positive = 1.3  # Å: a run that brings two atoms nearer has left the physical region


class Goal(Table):
    """[goal]: errors of force components are root mean squares on the study's own frames."""

    target: Positive  # meV/Å, found and claimed
    threshold: Positive  # eV/Å: calibrated error of the least certain atom above which a frame is a candidate
    limit: Positive  # eV/Å: calibrated error above which a run is stopped


class Budget(Table):
    """[budget]: what may be spent."""

    labels: Count  # chosen frames a generation
    control: Annotated[Whole, Field(ge=2)]  # random frames a generation that test and calibrate the potential
    generations: Count  # fits at most; a last control sample follows
    total: Count  # labels at most, control and failed ones included


class Study(Table):
    """A study file."""

    name: str
    seed: Whole = 0
    potential: str = ""
    labeller: str
    sets: tuple[str, ...] = ()
    replay: Annotated[Whole, Field(ge=0)] = 0  # frames of `sets` in every fit, drawn anew; 0: all of them
    epochs: Count  # of each generation's fit
    max_force: Positive = 25.0  # eV/Å: labelled frames with a larger force are not learnt
    validation_every: Annotated[Whole, Field(ge=2)] = 8  # one run in so many is for validation
    structure: Annotated[tuple[Annotated[Structure, keys_of(Structure)], ...], Field(min_length=1)]
    dynamics: Dynamics
    goal: Goal
    budget: Budget
    fit: Annotated[FitSettings, keys_of(FitSettings)] = FitSettings()
    member: tuple[Annotated[Member, keys_of(Member)], ...] = ()
    cp2k: Annotated[Cp2kSettings, keys_of(Cp2kSettings)] | None = None


@dataclass(frozen=True)
class Run:
    """One molecular dynamics run of a generation."""

    structure: Structure
    temperature: float  # K
    copy: int
    seed: int
    name: str


def read_study(path: str | Path) -> Study:
    """Read a study; paths in it become absolute.

    Raises:
        UserError: no such file, broken TOML, a wrong key (with file and line), no start, or a structure twice.
    """
    file = toml_input.read(path)
    study = toml_input.validate(file, Study)
    names = [structure.id for structure in study.structure]
    if len(set(names)) < len(names):
        raise UserError(file.complaint(("structure",), "two structures have the same id; each needs its own"))
    if study.potential and study.member:
        raise UserError(file.complaint(("member",), f"the members are those of potential {study.potential!r}; leave one out"))
    if not study.potential and not (study.sets and len(study.member) >= 2):
        told = 'without a start (potential = "") a first training set (sets) and two or more [[member]] tables are needed'
        raise UserError(file.complaint(("potential",), told))
    if study.goal.limit <= study.goal.threshold:
        told = f"limit = {study.goal.limit:g} eV/Å must lie above threshold = {study.goal.threshold:g} eV/Å"
        raise UserError(file.complaint(("goal", "limit"), told))
    if study.dynamics.interval > study.dynamics.steps:
        raise UserError(file.complaint(("dynamics", "interval"), f"read {study.dynamics.interval}; at most steps"))
    return _located(study, Path(path).resolve().parent)


def _located(study: Study, home: Path) -> Study:
    """The study with absolute paths."""
    start = home / study.potential
    return study.model_copy(
        update={
            "sets": tuple(str(home / name) for name in study.sets),
            "potential": str(start) if study.potential and start.is_dir() else study.potential,
            "structure": tuple(
                Structure(**(vars(entry) | {"name": str(home / entry.name)})) if entry.kind == FILE else entry
                for entry in study.structure
            ),
        }
    )


def start_folder(study: Study) -> Path | None:
    """Folder of the committee to start from, None where there is none.

    Raises:
        UserError: no such potential, or one of a single member.
    """
    if not study.potential:
        return None
    folder = potential.folder_of(study.potential)
    if len(potential.members_of(folder)) < 2:
        raise UserError(f"potential {study.potential!r} has one member; the spread that steers the loop needs two or more")
    return folder


def runs(study: Study, generation: int) -> list[Run]:
    """Runs of a generation: every structure at every temperature, with seeds of their own."""
    found = []
    for structure in study.structure:
        for temperature in study.dynamics.temperatures:
            for copy in range(study.dynamics.copies):
                name = f"generation {generation}, {structure.id}, {temperature:g} K, run {copy}"
                found.append(Run(structure, temperature, copy, seed_of(study.seed, name), name))
    return found


def start_atoms(structure: Structure, seed: int) -> Atoms:
    """Atoms of a structure of the study, displaced by 0.02 Å.

    Raises:
        UserError: a file that ASE does not read as one periodic structure with full sites, or whatever the builders refuse.
    """
    if structure.kind == FILE:
        try:
            atoms = ase_read(structure.name, parallel=False)
        except Exception as error:  # ASE's readers raise anything on foreign bytes
            raise UserError(f"structure {structure.id!r}: {structure.name} is not readable ({error})") from error
        if not isinstance(atoms, Atoms) or not atoms.pbc.all():
            raise UserError(
                f"structure {structure.id!r}: {structure.name} holds no structure that is periodic in three directions"
            )
        require_full_sites(atoms, f"structure {structure.id!r}: {structure.name}")
        atoms = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
    else:
        atoms = starts.start(structure, seed)
    atoms.info = {"structure": structure.id}
    atoms.positions += np.random.default_rng(seed).normal(0, 0.02, atoms.positions.shape)
    return atoms
