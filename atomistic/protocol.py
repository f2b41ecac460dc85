"""Staged simulations: each stage has its own potential, ensemble, temperature, pressure and length; the atoms are handed on.

A file lists the stages in their order (all quantities with their units):

    [[stage]]
    name = "warm up"
    potential = "lpscl"
    precision = "float32"
    ensemble = "npt"
    temperature = "300 K"
    final_temperature = "600 K"
    pressure = "0.1 MPa"
    length = "5 ps"

    [[stage]]
    name = "relax"
    kind = "optimise"
    potential = "lpscl"
    cell = true

    [[stage]]
    name = "first principles"
    potential = "cp2k"
    length = "20 fs"
    timestep = "1 fs"
    frame_interval = "1 fs"
    checkpoint_interval = "5 fs"

    [cp2k]
    cutoff = 300.0

A potential is one of `atomistic.potential` (paths start at the file's folder) or "cp2k", whose settings are those of
`atomistic.cp2k.Cp2kSettings`.

Every finished stage leaves `final.npz` in a folder of its own, named by the hash of all that it depends on: the stage, the
potential's identity and the atoms it started from. A killed protocol goes on where it was and gives the same numbers; a changed
stage is run again together with those after it.
"""

import contextlib
import dataclasses
import hashlib
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from matscipy.neighbours import neighbour_list
from pydantic import Field

from atomistic import cp2k, dynamics, labels
from atomistic import potential as potentials
from atomistic.cp2k import Cp2kSettings, FirstPrinciples
from atomistic.dynamics import DynamicsSettings, Ensemble, Thermostat
from atomistic.improve_study import keys_of
from atomistic.label_check import SHORTEST
from atomistic.relaxation import relaxed
from coupling import toml_input
from coupling.atomic import replacing
from coupling.errors import RunFailure, UserError
from coupling.store import digest
from coupling.toml_input import Flag, InUnit, Table, Whole

Progress = Callable[[str, float], None]
OpenCalculator = Callable[[str, str], BaseCalculator]
"""(potential, precision) → ASE calculator."""
CP2K = "cp2k"


@dataclass(frozen=True)
class Stage:
    """One stage; what a kind does not use is not looked at.

    Attributes:
        name: shown to the user; unlike the others' names.
        potential: key that `open_calculator` understands. precision: "float32" or "float64".
        kind: "md", or "optimise" (to rest, at 0 K).
        ensemble, thermostat, temperature (K), final_temperature (K), pressure (GPa), picoseconds, timestep (fs), thermostat_time
            (fs), barostat_time (fs), free_shape, frame_interval (fs), checkpoint_interval (fs), seed: see DynamicsSettings.
        cell: "optimise": whether the cell relaxes too. force: largest force left, eV/Å. steps: most steps.
    """

    name: str
    potential: str
    precision: str = "float64"
    kind: Literal["md", "optimise"] = "md"
    ensemble: Ensemble = "nvt"
    thermostat: Thermostat = "langevin"
    temperature: float = 300.0
    final_temperature: float | None = None
    pressure: float = 0.0
    picoseconds: float = 1.0
    timestep: float = 2.0
    thermostat_time: float = 100.0
    barostat_time: float = 500.0
    free_shape: bool = False
    frame_interval: float = 50.0
    checkpoint_interval: float = 500.0
    seed: int = 0
    cell: bool = False
    force: float = 0.01
    steps: int = 500

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        if self.kind not in ("md", "optimise"):
            raise UserError(f"stage {self.name!r}: kind {self.kind!r}; allowed: md, optimise")
        if self.precision not in ("float32", "float64"):
            raise UserError(f"stage {self.name!r}: precision {self.precision!r}; allowed: float32, float64")
        if self.kind == "optimise" and not (math.isfinite(self.force) and self.force > 0 and self.steps > 0):
            raise UserError(f"stage {self.name!r}: force = {self.force!r}, steps = {self.steps!r}; both must be above zero")
        try:
            self.settings()
        except UserError as error:
            raise UserError(f"stage {self.name!r}: {error}") from None
        frames = 1000.0 * self.picoseconds / self.frame_interval
        if self.kind == "md" and (frames < 0.5 or abs(frames - round(frames)) > 1e-6 * frames):
            told = f"length = {1000.0 * self.picoseconds:g} fs is not a whole number of frames of {self.frame_interval:g} fs"
            raise UserError(f"stage {self.name!r}: {told} (frame_interval)")

    def settings(self) -> DynamicsSettings:
        """The settings of its molecular dynamics."""
        return DynamicsSettings(
            temperature=self.temperature, picoseconds=self.picoseconds, ensemble=self.ensemble, timestep=self.timestep,
            friction_time=self.thermostat_time, barostat_time=self.barostat_time, pressure=self.pressure,
            free_shape=self.free_shape, frame_interval=self.frame_interval, checkpoint_interval=self.checkpoint_interval,
            seed=self.seed, thermostat=self.thermostat, final_temperature=self.final_temperature,
        )  # fmt: skip


@dataclass(frozen=True)
class Done:
    """A finished stage: the stage, its folder, the atoms (with momenta) at its end, potential energy (eV) there."""

    stage: Stage
    folder: Path
    atoms: Atoms
    energy: float


def run(
    stages: Sequence[Stage],
    atoms: Atoms,
    folder: str | Path,
    open_calculator: OpenCalculator,
    progress: Progress | None = None,
    identity: Callable[[str], str] = str,
) -> list[Done]:
    """Run the stages in their order, or go on with those that `folder` does not hold finished.

    Momenta are handed from one "md" stage to the next; after an "optimise" stage they are drawn anew. Besides them a stage takes
    elements, masses, positions, cell and periodicity from the atoms, and nothing else.

    Args:
        stages: at least one, no name twice.
        atoms: what the first stage starts from.
        folder: one folder a stage is kept here; the trajectory of an "md" stage is read by `atomistic.trajectory.ase_frames`.
        open_calculator: called only for stages that still have to run.
        progress: called with the stage's name and the finished share (0 … 1) of it.
        identity: potential → what a result depends on (a hash of its weights), else its name.

    Raises:
        UserError: no stage, a name twice, or atoms that no stage starts from (`_bare`).
        RunFailure: a stage did not end well; finished stages are kept. The folder cannot be made.
    """
    names = [stage.name for stage in stages]
    if not names or len(set(names)) != len(names):
        raise UserError(f"stages {names!r}: at least one is needed, and no name twice")
    atoms = _bare(atoms)
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFailure(f"{folder}: cannot be made a folder ({error.strerror}); choose another --out") from error
    finished: list[Done] = []
    for number, stage in enumerate(stages, start=1):
        key = digest([dataclasses.asdict(stage), identity(stage.potential), _fingerprint(atoms)])
        place = Path(folder) / f"{number:02d}-{key}"
        done = _read_final(place, stage, atoms)
        if done is None:
            done = _perform(stage, atoms, place, open_calculator(stage.potential, stage.precision), progress)
        finished.append(done)
        atoms = done.atoms
    return finished


def read(path: str | Path) -> list[Stage]:
    """Stages of a TOML file; one without a seed has its number (from 0), since noise that repeats itself ties runs to each other.

    Source: Sindhikara et al., J. Chem. Theory Comput. 5, 1624 (2009) (memory).

    Raises:
        UserError: file, line and key of each mistake.
    """
    file = toml_input.read(path)
    stages = []
    for number, table in enumerate(toml_input.validate(file, _File).stage):
        values = {"seed": number} | table.model_dump(exclude_none=True)
        if "length" in values:
            values["picoseconds"] = values.pop("length")
        try:
            stages.append(Stage(**values))
        except UserError as error:
            raise UserError(file.complaint(("stage", number), str(error))) from None
    return stages


@dataclass(frozen=True)
class Engines:
    """Opens what the stages of a file name.

    Attributes:
        home: folder of the file, where its paths start. settings: of CP2K. allow_pickle: see `potential.load`.
    """

    home: Path
    settings: Cp2kSettings = field(default_factory=Cp2kSettings)
    allow_pickle: bool = False

    def open(self, name: str, precision: str) -> BaseCalculator:
        """Calculator of a stage. Raises UserError as `potential.load`, or as FirstPrinciples."""
        if name == CP2K:
            return FirstPrinciples(self.settings)
        return potentials.load(self._place(name), dtype=precision, allow_pickle=self.allow_pickle)

    def identity(self, name: str) -> str:
        """What a result depends on besides atoms and stage: the hash of the weights, or CP2K's version and settings."""
        if name == CP2K:
            return cp2k.label_settings(self.settings, cp2k.version(cp2k.program())).id
        return potentials.describe(self._place(name), self.allow_pickle).sha256

    def require(self, stages: Sequence[Stage], atoms: Atoms) -> None:
        """Raise UserError now, not after hours, for what a later stage lacks: its potential, CP2K, or an element."""
        for stage in stages:
            try:
                if stage.potential == CP2K:
                    FirstPrinciples(self.settings)
                else:
                    potentials.require_elements(atoms, potentials.describe(self._place(stage.potential), self.allow_pickle))
            except UserError as error:
                raise UserError(f"stage {stage.name!r}: {error}") from None

    def _place(self, name: str) -> str:
        """A known name, or the path of a file or folder beside the file of stages."""
        known = (*potentials.available(), *labels.TEACHERS)
        return str(self.home / name) if name not in known and (self.home / name).exists() else name


def engines(path: str | Path, allow_pickle: bool = False) -> Engines:
    """What opens the potentials of a TOML file of stages. Raises UserError as `read`."""
    settings = toml_input.validate(toml_input.read(path), _File).cp2k
    return Engines(Path(path).resolve().parent, settings or Cp2kSettings(), allow_pickle)


_Temperature = Annotated[float, InUnit("K", at_least=0.0)]
_Time = Annotated[float, InUnit("fs", above=0.0)]


class _Stage(Table):
    """A `[[stage]]` table."""

    name: str
    potential: str
    precision: Literal["float32", "float64"] = "float64"
    kind: Literal["md", "optimise"] = "md"
    ensemble: Ensemble = "nvt"
    thermostat: Thermostat = "langevin"
    temperature: _Temperature | None = None
    final_temperature: _Temperature | None = None
    pressure: Annotated[float, InUnit("GPa")] | None = None
    length: Annotated[float, InUnit("ps", above=0.0)] | None = None
    timestep: _Time | None = None
    thermostat_time: _Time | None = None
    barostat_time: _Time | None = None
    frame_interval: _Time | None = None
    checkpoint_interval: _Time | None = None
    free_shape: Flag = False
    seed: Annotated[Whole, Field(ge=0)] | None = None
    cell: Flag = False
    force: Annotated[float, InUnit("eV/angstrom", above=0.0)] | None = None
    steps: Annotated[Whole, Field(ge=1)] = 500


class _File(Table):
    """The whole file."""

    stage: Annotated[tuple[_Stage, ...], Field(min_length=1)]
    cp2k: Annotated[Cp2kSettings, keys_of(Cp2kSettings)] | None = None


def _perform(stage: Stage, atoms: Atoms, place: Path, calculator: BaseCalculator, progress: Progress | None) -> Done:
    """Run one stage and keep its end."""

    def tick(share: float) -> None:
        if progress:
            progress(stage.name, share)

    dynamics.forget(calculator)
    if stage.kind == "optimise":
        rested = relaxed(atoms, calculator, cell=stage.cell, force=stage.force, steps=stage.steps)
        energy, end = float(rested.get_potential_energy()), rested.copy()
        end.calc = None
        end.set_momenta(np.zeros((len(end), 3)))
        tick(1.0)
    else:
        trajectory = dynamics.run(atoms, calculator, stage.settings(), place / "trajectory", tick)
        energy, end = float(trajectory.potential_energies[-1]), trajectory.final
    arrays = {"positions": end.positions, "momenta": end.get_momenta(), "cell": end.cell.array, "energy": np.array(energy)}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    with replacing(place / "final.npz") as temporary:
        temporary.write_bytes(buffer.getvalue())
    return Done(stage, place, end, energy)


def _read_final(place: Path, stage: Stage, atoms: Atoms) -> Done | None:
    """The finished stage that the folder holds, None when there is none or its file is damaged."""
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError, EOFError, OSError):
        with np.load(place / "final.npz", allow_pickle=False) as data:
            end = Atoms(numbers=atoms.numbers, positions=data["positions"], cell=data["cell"], pbc=atoms.pbc)
            end.set_masses(atoms.get_masses())
            end.set_momenta(data["momenta"])
            return Done(stage, place, end, float(data["energy"]))
    return None


def _bare(atoms: Atoms) -> Atoms:
    """The atoms with what a stage takes from them alone.

    Raises:
        UserError: atoms held fixed, which stages would move; a number that is not finite; a mass not above zero; two atoms at
            one place.
    """
    dynamics.require_free(atoms)
    bare = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    bare.set_masses(atoms.get_masses())
    bare.set_momenta(atoms.get_momenta())
    taken = {"positions": bare.positions, "cell": bare.cell.array, "masses": bare.get_masses(), "momenta": bare.get_momenta()}
    for word, values in taken.items():
        if not np.isfinite(values).all() or (word == "masses" and not (values > 0).all()):
            needed = "finite numbers above zero" if word == "masses" else "finite numbers"
            raise UserError(f"{atoms.get_chemical_formula()}: its {word} are not {needed}; mend the file")
    first, second = neighbour_list("ij", bare, SHORTEST)
    if len(first):
        told = f"atoms {first[0]} and {second[0]} lie less than {SHORTEST:g} Å apart"
        raise UserError(f"{atoms.get_chemical_formula()}: {told}; mend the file")
    return bare


def _fingerprint(atoms: Atoms) -> str:
    """Hash of all that a stage takes from the atoms."""
    hashed = hashlib.sha256()
    for array in (atoms.numbers, atoms.get_masses(), atoms.positions, atoms.get_momenta(), atoms.cell.array, atoms.pbc):
        hashed.update(np.ascontiguousarray(array).tobytes())
    return hashed.hexdigest()
