"""Seeded molecular dynamics that resumes after a kill with the same numbers, bit for bit.

A run is a chain of segments. Each segment starts from a stored state (positions, momenta, cell, barostat, chains, random
generator) with an empty neighbour list and ends in one file that holds its frames and the state after it, written
whole or not at all (atomistic.trajectory). What a segment computes therefore depends on nothing but the state it
starts from. The integrators stand in atomistic.ensembles and atomistic.nose_hoover.

ASE units inside (Å, eV, u); times in fs at the surface.
"""

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator

from atomistic.ensembles import HEIGHT, WHOLE, Bath, ForceField, Langevin, LangevinCell, Motion
from atomistic.nose_hoover import Chains, ChainsCell
from atomistic.trajectory import Frames, State, Trajectory, begin, load, read_header, read_segments, state_after, write_segment
from coupling.errors import RunFailure, UserError
from coupling.store import digest

__all__ = ["DynamicsSettings", "Guards", "Trajectory", "Unphysical", "forget", "load", "run", "thermal_momenta"]

Ensemble = Literal["nve", "nvt", "npt"]
Thermostat = Literal["langevin", "chains"]
_LATER = {"thermostat": "langevin", "final_temperature": None, "chain_length": 3, "fixed_area": False, "velocities": False}
"""Settings that came after runs were kept: left out of a run's key at these values."""
Progress = Callable[[float], None]


class Unphysical(RunFailure):
    """The potential does not hold the structure: no time step keeps the run within its guards."""


@dataclass(frozen=True)
class Guards:
    """Limits beyond which a segment is thrown away and repeated with half the time step.

    Attributes:
        force: largest force on an atom, eV/Å.
        distance: shortest distance between two atoms, Å.
        temperature_ratio: largest ratio of instantaneous to wanted temperature, on top of 300 K.
        halvings: how often the time step may be halved before the run fails.
    """

    force: float = 60.0
    distance: float = 0.7
    temperature_ratio: float = 3.0
    halvings: int = 4


@dataclass(frozen=True)
class DynamicsSettings:
    """What a run depends on besides atoms and potential.

    Attributes:
        temperature: K; in "nve" it only seeds the velocities.
        picoseconds: length of the run, ps.
        ensemble: "nve", "nvt" (constant volume) or "npt" (constant pressure).
        timestep: fs.
        friction_time: time constant of the thermostat, fs (for chains about 50 steps and the slowest phonon's period do well).
        barostat_time: time constant of the barostat, fs.
        pressure: GPa, "npt" only.
        free_shape: whether the shape of the cell follows the stress as well as its volume, "npt" only.
        frame_interval: time between stored frames, fs.
        checkpoint_interval: time between checkpoints, fs; a whole number of frames.
        seed: of velocities and noise.
        guards: limits of a sane run.
        thermostat: "langevin" (BAOAB; Langevin–Hoover for "npt") or "chains" (Nosé–Hoover; Martyna–Tobias–Klein for "npt").
        final_temperature: K, reached linearly at the end of the run; None keeps `temperature`.
        chain_length: links of the Nosé–Hoover chains.
        fixed_area: whether the cell's height along z alone follows its pressure, "npt" by Langevin only: an interface across z.
        velocities: whether frames keep them beside the positions, for correlations of velocities (a few fs between frames).
    """

    temperature: float
    picoseconds: float
    ensemble: Ensemble = "nvt"
    timestep: float = 2.0
    friction_time: float = 1000.0
    barostat_time: float = 500.0
    pressure: float = 0.0
    free_shape: bool = False
    frame_interval: float = 50.0
    checkpoint_interval: float = 500.0
    seed: int = 0
    guards: Guards = Guards()
    thermostat: Thermostat = "langevin"
    final_temperature: float | None = None
    chain_length: int = 3
    fixed_area: bool = False
    velocities: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        for name in ("picoseconds", "timestep", "friction_time", "barostat_time", "frame_interval", "checkpoint_interval"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise UserError(f"dynamics: {name} = {value!r}; a positive number is needed")
        for name in ("temperature", "final_temperature"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UserError(f"dynamics: {name} = {value!r} K; zero or more is needed")
        if not math.isfinite(self.pressure):
            raise UserError(f"dynamics: pressure = {self.pressure!r} GPa; a finite number is needed")
        if self.ensemble not in ("nve", "nvt", "npt"):
            raise UserError(f"dynamics: ensemble {self.ensemble!r}; allowed: nve, nvt, npt")
        if self.thermostat not in ("langevin", "chains"):
            raise UserError(f"dynamics: thermostat {self.thermostat!r}; allowed: langevin, chains")
        if self.fixed_area and (self.ensemble != "npt" or self.thermostat == "chains" or self.free_shape):
            raise UserError("dynamics: fixed_area goes with npt by Langevin and without free_shape")
        if self.thermostat == "chains" and not (self.chain_length >= 1 and self.hottest > 0):
            raise UserError(
                f"dynamics: chain_length = {self.chain_length!r} at temperature = {self.temperature:g} K; chains need at least "
                "one link and a temperature above zero"
            )
        for name, unit in (("frame_interval", self.timestep), ("checkpoint_interval", self.frame_interval)):
            ratio = getattr(self, name) / unit
            if abs(ratio - round(ratio)) > 1e-9:
                raise UserError(f"dynamics: {name} = {getattr(self, name)} fs is not a whole multiple of {unit} fs")

    @property
    def frames(self) -> int:
        """Number of frames of the whole run."""
        return max(1, round(1000.0 * self.picoseconds / self.frame_interval))

    @property
    def hottest(self) -> float:
        """Highest temperature of the bath, K."""
        return max(self.temperature, self.final_temperature or 0.0)

    def temperature_at(self, frame: float) -> float:
        """Temperature (K) of the bath after this many frames."""
        if self.final_temperature is None:
            return self.temperature
        return self.temperature + (self.final_temperature - self.temperature) * min(1.0, frame / self.frames)

    @property
    def frames_per_segment(self) -> int:
        """Number of frames between two checkpoints."""
        return round(self.checkpoint_interval / self.frame_interval)

    @property
    def segments(self) -> int:
        """Number of segments of the whole run, the last one perhaps shorter."""
        return math.ceil(self.frames / self.frames_per_segment)


class Unstable(Exception):
    """A guard tripped; the message says which."""


def run(
    atoms: Atoms,
    calculator: BaseCalculator,
    settings: DynamicsSettings,
    folder: str | Path,
    progress: Progress | None = None,
) -> Trajectory:
    """Run molecular dynamics, or go on with the run that `folder` holds, or return it when it is finished.

    The run in the folder may be shorter: the longer one goes on where it ended, with the numbers of one that was as long from
    its start. It may be longer: its first frames are the run.

    Args:
        atoms: periodic atoms; their momenta are kept if they have any, else drawn at the temperature from the seed.
        calculator: ASE calculator with forces (and stress for "npt").
        settings: see DynamicsSettings.
        folder: one file a segment is kept here; a folder that belongs to another run is refused.
        progress: called with the finished share (0 … 1) after each segment.

    Raises:
        UserError: the folder holds a run of other atoms or settings, or atoms are held fixed.
        RunFailure: the run stays unstable after all halvings of the time step; finished segments are kept.
    """
    require_free(atoms)
    folder = Path(folder)
    _claim(folder, atoms, settings)
    state, done = _resume(folder, atoms, settings)
    template = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    template.set_masses(atoms.get_masses())
    total = settings.segments
    if progress and 0 < done < total:
        progress(done / total)
    for index in range(done, total):
        state = _advance(template, calculator, state, settings, index, folder)
        if progress:
            progress((index + 1) / total)
    return load(folder, settings.frames)


def require_free(atoms: Atoms) -> None:
    """Raise UserError where atoms hold constraints, which no run here looks at: all of them would move."""
    if atoms.constraints:
        told = f"holds constraints ({type(atoms.constraints[0]).__name__}), such as atoms held fixed"
        raise UserError(f"{atoms.get_chemical_formula()}: {told}, but every atom would move; take them out of the file")


def thermal_momenta(masses: np.ndarray, temperature: float, rng: np.random.Generator) -> np.ndarray:
    """Maxwell–Boltzmann momenta (n, 3) in ASE units with zero total momentum, for masses (n,) in u."""
    momenta = rng.standard_normal((len(masses), 3)) * np.sqrt(masses * units.kB * temperature)[:, None]
    return np.asarray(momenta - masses[:, None] * momenta.sum(axis=0) / masses.sum())


def forget(calculator: BaseCalculator) -> None:
    """Empty the results and neighbour lists of a calculator and of those it asks: its next answer depends on the atoms alone."""
    whole: Any = calculator
    whole.reset()
    for name in ("nl", "_neighbor_cache"):
        if getattr(whole, name, None) is not None:
            setattr(whole, name, None)
    for asked in (getattr(whole, "inner", None), *getattr(whole, "members", ())):
        if asked is not None:
            forget(asked)


def _claim(folder: Path, atoms: Atoms, settings: DynamicsSettings) -> None:
    """Write the header of a new run, or check that the one there is of this run, whatever its length."""
    fixed = dataclasses.asdict(settings)
    fixed = {name: value for name, value in fixed.items() if name not in _LATER or value != _LATER[name]}
    start = [atoms.positions.tolist(), atoms.get_momenta().tolist(), atoms.cell.array.tolist()]
    what = [atoms.numbers.tolist(), atoms.get_masses().tolist(), atoms.pbc.tolist(), start]
    key = digest([fixed, *what])
    header = read_header(folder)
    if header is None:
        begin(
            folder,
            {
                "key": key,
                "settings": fixed,
                "numbers": atoms.numbers.tolist(),
                "masses": atoms.get_masses().tolist(),
                "pbc": atoms.pbc.tolist(),
            },
        )
        return
    as_long = fixed | {"picoseconds": header["settings"].get("picoseconds")}
    extended = settings.final_temperature is None and header["key"] == digest([as_long, *what])  # a ramp depends on its length
    if header["key"] != key and not extended:
        raise UserError(f"{folder}: holds a run of other atoms or settings; give another folder or delete this one")


def _resume(folder: Path, atoms: Atoms, settings: DynamicsSettings) -> tuple[State, int]:
    """State to go on from and the number of segments already done."""
    done = read_segments(folder)
    expected = min(settings.frames_per_segment, settings.frames - (len(done) - 1) * settings.frames_per_segment)
    if done and len(done[-1]["energies"]) < expected:  # where a shorter run ended, within a segment
        done.pop()
    if done:
        return state_after(done[-1]), len(done)
    rng = np.random.default_rng(settings.seed)
    masses, momenta = atoms.get_masses(), atoms.get_momenta()
    if not momenta.any():
        momenta = thermal_momenta(masses, settings.temperature, rng)
    if settings.thermostat == "chains":  # they keep the total momentum, which does not count as heat
        momenta = momenta - masses[:, None] * momenta.sum(axis=0) / masses.sum()
    chains = np.zeros((2, 2, settings.chain_length))
    generator = json.dumps(rng.bit_generator.state)
    return State(atoms.positions.copy(), momenta, atoms.cell.array.copy(), np.zeros((3, 3)), chains, generator), 0


def _advance(
    template: Atoms, calculator: BaseCalculator, state: State, settings: DynamicsSettings, index: int, folder: Path
) -> State:
    """One segment from `state`, with a smaller time step when a guard trips; its file is written. Returns the state after it."""
    reason = ""
    for halvings in range(settings.guards.halvings + 1):
        try:
            after, frames = _segment(template, calculator, state, settings, index, halvings)
        except Unstable as trip:
            reason = str(trip)
            continue
        write_segment(folder, index, frames, after, halvings)
        return after
    kept = index * settings.checkpoint_interval / 1000.0
    raise Unphysical(
        f"molecular dynamics at {settings.temperature:g} K stays unstable after {kept:g} ps even with a time step of "
        f"{settings.timestep / 2**settings.guards.halvings:g} fs: {reason}; the first {kept:g} ps are kept in {folder}"
    )


def _segment(
    template: Atoms, calculator: BaseCalculator, state: State, settings: DynamicsSettings, index: int, halvings: int
) -> tuple[State, Frames]:
    """Frames and end state of one segment. Raises Unstable when a guard trips."""
    forget(calculator)
    rng = np.random.default_rng()
    rng.bit_generator.state = json.loads(state.generator)
    motion = Motion(state.positions, state.momenta, state.cell, state.barostat, state.chains)
    integrator = make_integrator(template, calculator, motion, settings, rng, settings.timestep / 2**halvings)
    first = index * settings.frames_per_segment
    stored: list[tuple[Any, ...]] = []
    masses = template.get_masses()[:, None]
    for frame in range(first, min(first + settings.frames_per_segment, settings.frames)):
        steps = round(settings.frame_interval / settings.timestep) * 2**halvings
        for step in range(steps):
            integrator.step(settings.temperature_at(frame + step / steps))
            check_forces(integrator.field.forces, settings.guards)
        temperature = integrator.twice_kinetic / (integrator.freedom * units.kB)
        check_frame(template, motion.positions, motion.cell, temperature, settings)
        moved = [(motion.momenta / masses * units.fs).astype(np.float32)] if settings.velocities else []
        stored.append((motion.positions.astype(np.float32), motion.cell, integrator.field.energy, temperature, *moved))
    frames = Frames(*(np.array(column) for column in zip(*stored, strict=True)))
    generator = json.dumps(rng.bit_generator.state)
    return State(motion.positions, motion.momenta, motion.cell, motion.barostat, motion.chains, generator), frames


def integrator_of(
    atoms: Atoms, calculator: BaseCalculator, settings: DynamicsSettings, rng: np.random.Generator, timestep: float | None = None
) -> Langevin:
    """Integrator of the settings that starts at the atoms; `timestep` in fs, else that of the settings."""
    chains = np.zeros((2, 2, settings.chain_length))
    motion = Motion(atoms.positions.copy(), atoms.get_momenta(), atoms.cell.array.copy(), np.zeros((3, 3)), chains)
    return make_integrator(atoms, calculator, motion, settings, rng, timestep or settings.timestep)


def make_integrator(
    template: Atoms,
    calculator: BaseCalculator,
    motion: Motion,
    settings: DynamicsSettings,
    rng: np.random.Generator,
    timestep: float,
) -> Langevin:
    """Integrator of the settings' ensemble that moves `motion`; `timestep` in fs."""
    npt = settings.ensemble == "npt"
    bath = Bath(
        thermostat_time=None if settings.ensemble == "nve" else settings.friction_time * units.fs,
        barostat_time=settings.barostat_time * units.fs if npt else None,
        pressure=settings.pressure * units.GPa,
        free_shape=settings.free_shape or settings.fixed_area,
        moving=HEIGHT if settings.fixed_area else WHOLE,
        reference=settings.hottest,
    )
    chains = settings.thermostat == "chains" and settings.ensemble != "nve"
    kind = {(False, False): Langevin, (False, True): LangevinCell, (True, False): Chains, (True, True): ChainsCell}[chains, npt]
    return kind(motion, ForceField(template, calculator, stress=npt), template.get_masses(), bath, timestep * units.fs, rng)


def check_forces(forces: np.ndarray, guards: Guards, whose: str = "") -> None:
    """Raise Unstable when a force, (n, 3) in eV/Å, is not finite or too large."""
    largest = float(np.abs(forces).max())
    if not largest <= guards.force:
        raise Unstable(f"{whose}force {largest:.3g} eV/Å (limit {guards.force:g})")


def check_frame(template: Atoms, positions: np.ndarray, cell: np.ndarray, temperature: float, settings: DynamicsSettings) -> None:
    """Raise Unstable when the temperature (K) blew up, atoms came too close or a position (n, 3) is not finite."""
    guards = settings.guards
    if not np.isfinite(positions).all():
        raise Unstable("a position is not a finite number")
    limit = guards.temperature_ratio * settings.hottest + 300.0
    if not temperature <= limit:
        raise Unstable(f"temperature {temperature:.0f} K (limit {limit:.0f})")
    atoms = Atoms(numbers=template.numbers, positions=positions, cell=cell, pbc=template.pbc)
    distances = _distances(atoms, guards.distance)
    if len(distances):
        raise Unstable(f"two atoms {distances.min():.2f} Å apart (limit {guards.distance:g})")


def _distances(atoms: Atoms, cutoff: float) -> np.ndarray:
    """Distances below the cutoff (Å); by matscipy, a hundred times faster than ASE for a short cutoff, where it is installed."""
    try:
        from matscipy.neighbours import neighbour_list
    except ImportError:
        from ase.neighborlist import neighbor_list as neighbour_list
    return np.asarray(neighbour_list("d", atoms, cutoff))
