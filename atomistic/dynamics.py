"""Seeded molecular dynamics on ASE that resumes after a kill with the same numbers, bit for bit.

A run is a chain of segments. Each segment starts from a stored state (positions, momenta, cell, barostat, random
generator) with an empty neighbour list and ends in one file that holds its frames and the state after it, written
whole or not at all. What a segment computes therefore depends on nothing but the state it starts from.

ASE units inside (Å, eV, u); times in fs at the surface.
"""

import dataclasses
import json
import math
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator

from coupling.atomic import replacing, write_json
from coupling.errors import RunFailure, UserError
from coupling.store import digest

Ensemble = Literal["nve", "nvt", "npt"]
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
        ensemble: "nve", "nvt" (Langevin BAOAB) or "npt" (Langevin–Hoover, mean stress −pressure).
        timestep: fs.
        friction_time: time constant of the Langevin thermostat, fs.
        barostat_time: time constant of the barostat, fs.
        pressure: GPa, "npt" only.
        free_shape: whether the shape of the cell follows the stress as well as its volume, "npt" only.
        frame_interval: time between stored frames, fs.
        checkpoint_interval: time between checkpoints, fs; a whole number of frames.
        seed: of velocities and noise.
        guards: limits of a sane run.
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

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        for name in ("picoseconds", "timestep", "friction_time", "barostat_time", "frame_interval", "checkpoint_interval"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise UserError(f"dynamics: {name} = {value!r}; a positive number is needed")
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise UserError(f"dynamics: temperature = {self.temperature!r} K; zero or more is needed")
        if self.ensemble not in ("nve", "nvt", "npt"):
            raise UserError(f"dynamics: ensemble {self.ensemble!r}; allowed: nve, nvt, npt")
        for name, unit in (("frame_interval", self.timestep), ("checkpoint_interval", self.frame_interval)):
            ratio = getattr(self, name) / unit
            if abs(ratio - round(ratio)) > 1e-9:
                raise UserError(f"dynamics: {name} = {getattr(self, name)} fs is not a whole multiple of {unit} fs")

    @property
    def frames(self) -> int:
        """Number of frames of the whole run."""
        return max(1, round(1000.0 * self.picoseconds / self.frame_interval))

    @property
    def frames_per_segment(self) -> int:
        """Number of frames between two checkpoints."""
        return round(self.checkpoint_interval / self.frame_interval)


@dataclass(frozen=True)
class State:
    """Everything the next segment depends on: positions and momenta (n, 3), cell (3, 3), barostat momentum, generator."""

    positions: np.ndarray
    momenta: np.ndarray
    cell: np.ndarray
    barostat: np.ndarray
    generator: str


@dataclass(frozen=True)
class Trajectory:
    """Frames of a run, oldest first.

    Attributes:
        numbers: atomic numbers (n,).
        positions: unwrapped positions (frames, n, 3), Å.
        cells: (frames, 3, 3), Å.
        frame_interval: time between frames, fs.
        potential_energies: (frames,), eV.
        temperatures: instantaneous, (frames,), K.
        final: atoms at the end, with momenta.
        halvings: largest number of times the step had to be halved in a segment.
    """

    numbers: np.ndarray
    positions: np.ndarray
    cells: np.ndarray
    frame_interval: float
    potential_energies: np.ndarray
    temperatures: np.ndarray
    final: Atoms
    halvings: int

    @property
    def picoseconds(self) -> float:
        """Length of the run in ps."""
        return len(self.positions) * self.frame_interval / 1000.0

    def mean_cell(self, skip: float = 0.5) -> np.ndarray:
        """Cell (3, 3) averaged over the frames after the first `skip` share of them, Å."""
        return np.asarray(self.cells[int(skip * len(self.cells)) :].mean(axis=0))


class _Unstable(Exception):
    """A guard tripped; the message says which."""


def run(
    atoms: Atoms,
    calculator: BaseCalculator,
    settings: DynamicsSettings,
    folder: str | Path,
    progress: Progress | None = None,
) -> Trajectory:
    """Run molecular dynamics, or go on with the run that `folder` holds, or return it when it is finished.

    Args:
        atoms: periodic atoms; their momenta are kept if they have any, else drawn at the temperature from the seed.
        calculator: ASE calculator with forces (and stress for "npt").
        settings: see DynamicsSettings.
        folder: one file a segment is kept here; a folder that belongs to another run is refused.
        progress: called with the finished share (0 … 1) after each segment.

    Raises:
        UserError: the folder holds a run of other atoms or settings.
        RunFailure: the run stays unstable after all halvings of the time step; finished segments are kept.
    """
    folder = Path(folder)
    _claim(folder, atoms, settings)
    state, done = _resume(folder, atoms, settings)
    template = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    template.set_masses(atoms.get_masses())
    total = math.ceil(settings.frames / settings.frames_per_segment)
    for index in range(done, total):
        frames = min(settings.frames_per_segment, settings.frames - index * settings.frames_per_segment)
        state = _advance(template, calculator, state, settings, frames, index, folder)
        if progress:
            progress((index + 1) / total)
    return load(folder)


def load(folder: str | Path) -> Trajectory:
    """Trajectory of the finished segments in `folder`.

    Raises:
        UserError: there is no run in the folder, or not one finished segment.
    """
    folder = Path(folder)
    header = _header(folder)
    segments = _segments(folder)
    if header is None or not segments:
        raise UserError(f"{folder}: no molecular dynamics run here (run.json and segment-00000.npz are needed)")
    last = segments[-1]
    final = Atoms(numbers=header["numbers"], positions=last["positions"], cell=last["cell"], pbc=header["pbc"])
    final.set_masses(header["masses"])
    final.set_momenta(last["momenta"])
    return Trajectory(
        numbers=np.array(header["numbers"]),
        positions=np.concatenate([segment["frames"] for segment in segments]),
        cells=np.concatenate([segment["cells"] for segment in segments]),
        frame_interval=header["settings"]["frame_interval"],
        potential_energies=np.concatenate([segment["energies"] for segment in segments]),
        temperatures=np.concatenate([segment["temperatures"] for segment in segments]),
        final=final,
        halvings=int(max(segment["halvings"] for segment in segments)),
    )


def thermal_momenta(masses: np.ndarray, temperature: float, rng: np.random.Generator) -> np.ndarray:
    """Maxwell–Boltzmann momenta (n, 3) in ASE units with zero total momentum, for masses (n,) in u."""
    momenta = rng.standard_normal((len(masses), 3)) * np.sqrt(masses * units.kB * temperature)[:, None]
    return np.asarray(momenta - masses[:, None] * momenta.sum(axis=0) / masses.sum())


def forget(calculator: BaseCalculator) -> None:
    """Empty the calculator's results and neighbour list, so that its next answer depends on the atoms alone."""
    layers: list[Any] = [calculator, getattr(calculator, "inner", None)]
    for layer in layers:
        if layer is not None:
            layer.reset()
            for name in ("nl", "_neighbor_cache"):
                if getattr(layer, name, None) is not None:
                    setattr(layer, name, None)


def _claim(folder: Path, atoms: Atoms, settings: DynamicsSettings) -> None:
    """Write the header of a new run, or check that the one there is of this run."""
    fixed = dataclasses.asdict(settings)
    start = [atoms.positions.tolist(), atoms.get_momenta().tolist(), atoms.cell.array.tolist()]
    key = digest([fixed, atoms.numbers.tolist(), atoms.get_masses().tolist(), atoms.pbc.tolist(), start])
    header = _header(folder)
    if header is None:
        write_json(
            folder / "run.json",
            {
                "key": key,
                "settings": fixed,
                "numbers": atoms.numbers.tolist(),
                "masses": atoms.get_masses().tolist(),
                "pbc": atoms.pbc.tolist(),
            },
        )
    elif header["key"] != key:
        raise UserError(f"{folder}: holds a run of other atoms or settings; give another folder or delete this one")


def _header(folder: Path) -> dict[str, Any] | None:
    """Header of the run in the folder, None when there is none."""
    try:
        return dict(json.loads((folder / "run.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except json.JSONDecodeError as error:
        raise UserError(f"{folder / 'run.json'}: not a run header ({error}); delete the folder to start again") from error


def _segment_file(folder: Path, index: int) -> Path:
    """File of one segment."""
    return folder / f"segment-{index:05d}.npz"


def _read_segment(path: Path) -> dict[str, np.ndarray] | None:
    """Arrays of one segment, None when it is absent or damaged (each array carries a checksum)."""
    try:
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, EOFError, KeyError, OSError):
        return None


def _segments(folder: Path) -> list[dict[str, np.ndarray]]:
    """Arrays of the finished segments up to the first that is missing or damaged."""
    found: list[dict[str, np.ndarray]] = []
    while (segment := _read_segment(_segment_file(folder, len(found)))) is not None:
        found.append(segment)
    return found


def _resume(folder: Path, atoms: Atoms, settings: DynamicsSettings) -> tuple[State, int]:
    """State to go on from and the number of segments already done."""
    done = _segments(folder)
    if done:
        last = done[-1]
        generator = str(last["generator"])
        return State(last["positions"], last["momenta"], last["cell"], last["barostat"], generator), len(done)
    rng = np.random.default_rng(settings.seed)
    momenta = atoms.get_momenta()
    if not momenta.any():
        momenta = thermal_momenta(atoms.get_masses(), settings.temperature, rng)
    generator = json.dumps(rng.bit_generator.state)
    return State(atoms.positions.copy(), momenta, atoms.cell.array.copy(), np.zeros((3, 3)), generator), 0


def _advance(
    template: Atoms, calculator: BaseCalculator, state: State, settings: DynamicsSettings, frames: int, index: int, folder: Path
) -> State:
    """One segment from `state`, with a smaller time step when a guard trips; its file is written. Returns the state after it."""
    reason = ""
    for halvings in range(settings.guards.halvings + 1):
        try:
            after, arrays = _segment(template, calculator, state, settings, frames, halvings)
        except _Unstable as trip:
            reason = str(trip)
            continue
        with replacing(_segment_file(folder, index)) as temporary, temporary.open("wb") as stream:
            contents: dict[str, Any] = {**arrays, **dataclasses.asdict(after), "halvings": halvings}
            np.savez(stream, **contents)
        return after
    kept = index * settings.checkpoint_interval / 1000.0
    raise Unphysical(
        f"molecular dynamics at {settings.temperature:g} K stays unstable after {kept:g} ps even with a time step of "
        f"{settings.timestep / 2**settings.guards.halvings:g} fs: {reason}; the first {kept:g} ps are kept in {folder}"
    )


def _segment(
    template: Atoms, calculator: BaseCalculator, state: State, settings: DynamicsSettings, frames: int, halvings: int
) -> tuple[State, dict[str, np.ndarray]]:
    """Frames and end state of one segment. Raises _Unstable when a guard trips."""
    atoms = template.copy()
    atoms.set_cell(state.cell)
    atoms.positions = state.positions
    atoms.set_momenta(state.momenta)
    forget(calculator)
    atoms.calc = calculator
    rng = np.random.default_rng()
    rng.bit_generator.state = json.loads(state.generator)
    integrator = _integrator(atoms, settings, rng, settings.timestep / 2**halvings)
    if settings.ensemble == "npt":
        integrator.p_eps = state.barostat.copy() if settings.free_shape else float(state.barostat[0, 0])
    positions, cells, energies, temperatures = [], [], [], []
    for _ in range(frames):
        for _ in range(round(settings.frame_interval / settings.timestep) * 2**halvings):
            integrator.step()
            _check_forces(integrator.accel * integrator.masses, settings.guards)
        _check_frame(atoms, settings)
        positions.append(atoms.positions.astype(np.float32))
        cells.append(atoms.cell.array.copy())
        energies.append(atoms.get_potential_energy())
        temperatures.append(atoms.get_temperature())
    momentum = np.asarray(getattr(integrator, "p_eps", 0.0))
    barostat = momentum if momentum.ndim == 2 else momentum * np.eye(3)
    generator = json.dumps(rng.bit_generator.state)
    after = State(atoms.positions.copy(), atoms.get_momenta(), atoms.cell.array.copy(), barostat, generator)
    arrays = {"frames": positions, "cells": cells, "energies": energies, "temperatures": temperatures}
    return after, {name: np.array(values) for name, values in arrays.items()}


def _integrator(atoms: Atoms, settings: DynamicsSettings, rng: np.random.Generator, timestep: float) -> Any:
    """ASE's BAOAB Langevin integrator (Leimkuhler & Matthews 2013; Quigley & Probert 2004 for the cell); `timestep` in fs."""
    from ase.md.langevinbaoab import LangevinBAOAB

    npt = settings.ensemble == "npt"
    with warnings.catch_warnings():  # the heuristic mass of the barostat is meant
        warnings.filterwarnings("ignore", message="Using heuristic P_mass")
        return LangevinBAOAB(
            atoms,
            timestep * units.fs,
            temperature_K=None if settings.ensemble == "nve" else settings.temperature,
            externalstress=-settings.pressure * units.GPa if npt else None,
            hydrostatic=not (npt and settings.free_shape),
            T_tau=None if settings.ensemble == "nve" else settings.friction_time * units.fs,
            P_tau=settings.barostat_time * units.fs if npt else None,
            rng=rng,
        )


def _check_forces(forces: np.ndarray, guards: Guards) -> None:
    """Raise _Unstable when a force, (n, 3) in eV/Å, is not finite or too large."""
    largest = float(np.abs(forces).max())
    if not largest <= guards.force:
        raise _Unstable(f"force {largest:.3g} eV/Å (limit {guards.force:g})")


def _check_frame(atoms: Atoms, settings: DynamicsSettings) -> None:
    """Raise _Unstable when the temperature blew up, atoms came too close or a position is not finite."""
    from ase.neighborlist import neighbor_list

    guards = settings.guards
    if not np.isfinite(atoms.positions).all():
        raise _Unstable("a position is not a finite number")
    temperature = atoms.get_temperature()
    limit = guards.temperature_ratio * settings.temperature + 300.0
    if not temperature <= limit:
        raise _Unstable(f"temperature {temperature:.0f} K (limit {limit:.0f})")
    distances = neighbor_list("d", atoms, guards.distance)
    if len(distances):
        raise _Unstable(f"two atoms {distances.min():.2f} Å apart (limit {guards.distance:g})")
