"""Plastic flow and mobility of lithium: a stress–rate point from driven molecular dynamics, and mobility in and across a plane.

Driven run: the cell is stretched along one axis at the true rate ε̇ and narrowed across at ε̇/2 (constant volume), the atoms
with it, in a Langevin bath. After the strain `skip` the stress is taken for that of steady flow; the mean of the deviator

    σ = σ_zz - (σ_xx + σ_yy)/2,      equivalent stress |σ|, equivalent rate |ε̇|,

with its kinetic part, is one point of a flow law, at the rate of molecular dynamics (10⁸ 1/s and above): a creep law for
battery rates (10⁻⁵ … 10⁻² 1/s) does not follow from it. A liquid gives σ = 3 η ε̇.

A run need not flow (`no_flow`): a perfect crystal may turn into another, as bcc pulled along [001] into fcc (Bain, Trans. AIME
70, 25 (1924), memory), its stress may still change, or point against the strain. Where a crystal falls into disorder a melt
flows; then the greatest stress that the crystal bore bounds its flow stress from above, since it flows at less with defects than
without. Crystals are told of the atoms at rest in their cell (`atomistic.crystallinity`), since heat hides them.

Mobility: diffusivities D_xx … D_zz of a species from mean-squared displacements along each axis, the ratio of in-plane (xx, yy)
to normal (zz) with its error from windows of the run; upper limits where few ions hop (`rare_hops`).

Sources: elongational viscosity 3 η of Trouton, Proc. R. Soc. A 77, 426 (1906) (memory); docs/physics.md 1.4.
"""

import contextlib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator

from atomistic import rare_hops
from atomistic.correlated import fit_errors, jackknife_error, mean_error
from atomistic.crystallinity import DISORDERED, NAMES, match
from atomistic.dynamics import Guards, Unphysical, Unstable, check_forces, forget, thermal_momenta
from atomistic.ensembles import Bath, ForceField, Langevin, Motion
from atomistic.frames import require_motion
from atomistic.metadynamics import generator_state, set_generator
from atomistic.relaxation import relaxed
from coupling.atomic import replacing
from coupling.errors import RunFailure, UserError
from coupling.record import Property
from coupling.store import digest
from coupling.units import diffusivity_to_si

MINIMUM_WINDOWS = 10
CHECKPOINT = 500
"""Steps between checkpoints of a driven run."""
WINDOW = 0.02
"""Strain over which the stress is averaged before its greatest value is told."""
FEWEST = 10
"""Values of the stress that are averaged at least before its greatest value is told."""
CHANGING = 3.0
"""Standard errors from zero beyond which the change of the stress is one (of steady runs one in 400 is taken for that)."""
REST = 100
"""Steps of the relaxation before a cell's crystals are told."""


@dataclass(frozen=True)
class Drive:
    """A driven run: strain rate (1/s, negative compresses) along `axis`, strain, strain before steady flow; times in fs."""

    rate: float
    strain: float
    skip: float
    temperature: float
    axis: int = 2
    timestep: float = 2.0
    friction_time: float = 500.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        if not (np.isfinite(self.rate) and self.rate != 0 and 0 <= self.skip < self.strain and self.temperature > 0):
            raise UserError("driven run: a strain rate that is not zero, 0 <= skip < strain, a positive temperature are needed")
        if self.axis not in (0, 1, 2) or not (self.timestep > 0 and self.friction_time > 0):
            raise UserError("driven run: axis 0, 1 or 2 and positive times are needed")


@dataclass(frozen=True)
class Flow:
    """Stress–rate point: σ along the strain and its standard error (Pa), |ε̇| (1/s); strains (n,) and stresses (n,) (Pa, signed).

    drift: change of σ over what is read and its standard error, Pa. greatest: σ and its standard error over the WINDOW of the
    run (FEWEST values of few) where it is greatest, Pa. crystals: shares of the atoms by crystal, at start and end.
    """

    stress: float
    stderr: float
    rate: float
    strains: np.ndarray
    stresses: np.ndarray
    temperature: float
    drift: tuple[float, float]
    greatest: tuple[float, float]
    crystals: tuple[Mapping[str, float], Mapping[str, float]]


def driven(
    atoms: Atoms, calculator: BaseCalculator, drive: Drive, progress: Callable[[float], None] | None = None,
    folder: str | Path | None = None,
) -> Flow:  # fmt: skip
    """Stretch (or compress) a cell at a constant rate and read the stress of steady flow.

    Args:
        atoms: periodic, cell vectors along x, y, z. calculator: with stress. drive: see there. progress: share done.
        folder: of its checkpoint, every CHECKPOINT steps; a run that was killed goes on from it with the same numbers.

    Raises:
        UserError: a tilted cell, or a run of fewer than MINIMUM_WINDOWS · 10 steps of steady flow.
        Unphysical: a force beyond the guards of plain dynamics. RunFailure: a stress that is no longer finite.
    """
    cell = atoms.cell.array
    if np.abs(cell - np.diag(np.diag(cell))).max() > 1e-9 or not atoms.pbc.all():
        raise UserError("driven run: a periodic cell with its vectors along x, y and z is needed")
    steps = round(drive.strain / abs(drive.rate) / (drive.timestep * 1e-15))
    if steps * (1 - drive.skip / drive.strain) < 10 * MINIMUM_WINDOWS:
        raise UserError(f"driven run: {steps} steps; a lower rate or a larger strain is needed")
    random = np.random.default_rng(drive.seed)
    momenta = atoms.get_momenta() if atoms.get_momenta().any() else thermal_momenta(atoms.get_masses(), drive.temperature, random)
    motion = Motion(atoms.positions.copy(), momenta, cell.copy(), np.zeros((3, 3)), np.zeros((2, 2, 1)))
    key = digest([asdict(drive), atoms.numbers.tolist(), atoms.positions.tolist(), cell.tolist()])
    file = None if folder is None else Path(folder) / "driven.npz"
    rows = _resumed(file, key, motion, random)
    while len(rows) < steps:
        rows = np.vstack([rows, _stretched(atoms, calculator, drive, motion, random, min(CHECKPOINT, steps - len(rows)))])
        if not np.isfinite(rows).all():
            strain = np.flatnonzero(~np.isfinite(rows).all(axis=1))[0] / steps * drive.strain
            raise RunFailure(f"driven run: the stress is not a finite number at a strain of {strain:.3f}")
        if file is not None:
            _keep(file, key, motion, random, rows)
        if progress:
            progress(len(rows) / steps)
    last = Atoms(atoms.symbols, positions=motion.positions, cell=motion.cell, pbc=True)
    return _steady(rows[:, 0], rows[:, 1], drive, (_crystals(atoms, calculator), _crystals(last, calculator)))


def _stretched(
    atoms: Atoms, calculator: BaseCalculator, drive: Drive, motion: Motion, random: np.random.Generator, steps: int
) -> np.ndarray:
    """Stress (Pa) and temperature (K) of some steps, (steps, 2), from a state that is moved on; no neighbour list is kept."""
    forget(calculator)
    masses = atoms.get_masses()
    bath = Bath(thermostat_time=drive.friction_time * units.fs)
    integrator = Langevin(motion, ForceField(atoms, calculator, stress=True), masses, bath, drive.timestep * units.fs, random)
    each = np.full(3, -0.5 * drive.rate)
    each[drive.axis] = drive.rate
    growth = np.exp(each * drive.timestep * 1e-15)
    rows = np.full((steps, 2), np.nan)
    for step in range(steps):
        motion.cell = motion.cell * growth[None, :]
        motion.positions = motion.positions * growth[None, :]
        motion.momenta = motion.momenta / growth[None, :]
        integrator.step(drive.temperature)
        try:
            check_forces(integrator.field.forces, Guards())
        except Unstable as trip:
            raise Unphysical(f"driven run: the atoms left what the potential knows: {trip}") from None
        heat = integrator.twice_kinetic / (3 * len(masses) * units.kB)
        rows[step] = _deviator(integrator, masses, drive.axis), heat
        if not np.isfinite(rows[step]).all():
            break
    return rows


def _crystals(atoms: Atoms, calculator: BaseCalculator) -> dict[str, float]:
    """Shares of the atoms in each crystal, and in none, at rest in their cell."""
    forget(calculator)
    found = match(relaxed(atoms, calculator, force=0.02, steps=REST, strict=False)).names
    return {name: float(np.mean(found == name)) for name in NAMES}


def _steady(
    stresses: np.ndarray, temperatures: np.ndarray, drive: Drive, crystals: tuple[Mapping[str, float], Mapping[str, float]]
) -> Flow:
    """The point read from the part of the run beyond `drive.skip`, with a straight line through it."""
    sign = float(np.sign(drive.rate))
    strains = (np.arange(len(stresses)) + 1) / len(stresses) * drive.strain * sign
    late = np.abs(strains) > drive.skip
    read = sign * stresses[late]
    design = np.column_stack([np.ones(len(read)), np.linspace(-0.5, 0.5, len(read))])
    line = np.linalg.lstsq(design, read, rcond=None)[0]
    drift = float(line[1]), float(fit_errors(design, read - design @ line)[1])
    windows = max(1, min(round(drive.strain / WINDOW), len(stresses) // FEWEST))
    highest = max(np.array_split(sign * stresses, windows), key=np.mean)
    return Flow(float(read.mean()), mean_error(read), abs(drive.rate), strains, stresses, float(temperatures[late].mean()),
                drift, (float(highest.mean()), mean_error(highest)), crystals)  # fmt: skip


def _keep(file: Path, key: str, motion: Motion, random: np.random.Generator, rows: np.ndarray) -> None:
    """Checkpoint in one piece."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary, temporary.open("wb") as stream:
        np.savez(stream, key=key, positions=motion.positions, momenta=motion.momenta, cell=motion.cell,
                 generator=generator_state(random), rows=rows)  # fmt: skip


def _resumed(file: Path | None, key: str, motion: Motion, random: np.random.Generator) -> np.ndarray:
    """Rows done, (n, 2); motion and generator are put back. A checkpoint of another run, or a damaged one, does not count."""
    try:
        with np.load(file, allow_pickle=False) if file is not None else contextlib.nullcontext({}) as data:
            if str(data["key"]) != key:
                return np.empty((0, 2))
            kept = {name: np.array(data[name]) for name in ("positions", "momenta", "cell", "generator", "rows")}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return np.empty((0, 2))
    motion.positions, motion.momenta, motion.cell = kept["positions"], kept["momenta"], kept["cell"]
    set_generator(random, kept["generator"])
    return kept["rows"]


def _deviator(integrator: Langevin, masses: np.ndarray, axis: int) -> float:
    """Uniaxial deviator of the stress with its kinetic part, Pa."""
    momenta, volume = integrator.motion.momenta, float(np.prod(np.diag(integrator.motion.cell)))
    own = np.diag(integrator.field.stress) - (momenta**2 / masses[:, None]).sum(axis=0) / volume
    across = [place for place in range(3) if place != axis]
    return float((own[axis] - own[across].mean()) / units.Pascal)


def no_flow(found: Flow) -> str | None:
    """Why a run tells no stress of flow, in a sentence; None where nothing speaks against it.

    Of a crystal that melted what is read is the melt's stress, which may change or point anywhere: what the crystal bore is told.
    """
    start, end = (_leading(shares) for shares in found.crystals)
    stress, error, drift, uncertain = (value * 1e-6 for value in (found.stress, found.stderr, *found.drift))
    if end not in (start, DISORDERED):
        told = f"the cell turned from {_shares(found.crystals[0])} into {_shares(found.crystals[1])}"
        return f"{told}: no plastic flow of what it was; another direction of the crystal or another start is needed"
    if end != start:
        return None
    if stress < -2 * error:
        told = f"the mean stress that is read, {stress:.0f} ± {error:.0f} MPa, points against the strain"
        return f"{told}: the cell deforms by itself and is not driven; a longer equilibration or a larger skip is needed"
    if abs(drift) > CHANGING * uncertain:
        told = f"the stress changes by {drift:.0f} ± {uncertain:.0f} MPa over what is read (mean {stress:.0f} MPa)"
        return f"{told}: no steady flow; a larger strain and skip are needed"
    return None


def _leading(shares: Mapping[str, float]) -> str:
    """What most atoms are in; fcc and hcp are one, the close packing (a fault in one is the other)."""
    packed = sum(shares.get(name, 0.0) for name in ("fcc", "hcp"))
    joined = {"close packing": packed, **{name: share for name, share in shares.items() if name not in ("fcc", "hcp")}}
    return max(joined, key=lambda name: joined[name])


def _shares(shares: Mapping[str, float]) -> str:
    """Crystals of a cell in words, those of a hundredth of its atoms or more: '97 % bcc, 3 % disordered'."""
    return ", ".join(f"{share:.0%} {name}".replace("%", " %") for name, share in shares.items() if share >= 0.01)


def flow_record(found: Flow, material: str, conditions: Mapping[str, Any], source: Mapping[str, Any]) -> Property:
    """Equivalent stress at the rate of the run, Pa; an upper bound where it is below twice its error, or where the crystal melts.

    Raises:
        UserError: a run that does not flow (`no_flow`).
    """
    if (reason := no_flow(found)) is not None:
        raise UserError(f"driven run: {reason}")
    where = {**conditions, "strain_rate_per_s": found.rate, "temperature_K": found.temperature}
    largest = float(abs(found.strains[-1]))
    told = {**source, "method": "driven at constant rate and volume, steady part", "largest_strain": largest,
            "picoseconds": largest / found.rate * 1e12, "mean_Pa": found.stress, "error_of_mean_Pa": found.stderr,
            "drift_Pa": found.drift[0], "error_of_drift_Pa": found.drift[1], "greatest_Pa": found.greatest[0],
            "error_of_greatest_Pa": found.greatest[1],
            "crystals_at_start": dict(found.crystals[0]), "crystals_at_end": dict(found.crystals[1])}  # fmt: skip
    start, end = (_leading(shares) for shares in found.crystals)
    stress, error = found.greatest if end != start else (found.stress, found.stderr)
    if end == start and stress >= 2 * error:
        return Property(material, "flow_stress", stress, "Pa", stderr=error, conditions=where, source=told)
    told["bound_by"] = "the mean within its error" if end == start else "the greatest stress, since the crystal melted"
    limit = max(stress, 0.0) + 1.645 * error
    return Property(material, "flow_stress", limit, "Pa", bound="upper", conditions=where, source=told)


@dataclass(frozen=True)
class Mobility:
    """Diffusivities along x, y, z and their errors (3,), m²/s; in-plane over normal with its error, None where normal is none.

    limits: their upper limits (95 %), NaN where they are estimates.
    """

    diffusivities: np.ndarray
    stderr: np.ndarray
    ratio: tuple[float, float] | None
    limits: np.ndarray


def mobility(positions: np.ndarray, moving: np.ndarray, frame_interval: float, window: int) -> Mobility:
    """Diffusivity along each axis from displacements over windows and half windows (rattling drops out).

    Args:
        positions: unwrapped (frames, n, 3), Å; z normal to the interface. moving: indices. frame_interval: fs.
        window: frames, even.

    Raises:
        UserError: no such atoms, positions that are not finite, or fewer than MINIMUM_WINDOWS windows.
    """
    windows = (len(positions) - 1) // window if window >= 2 else 0
    if windows < MINIMUM_WINDOWS or window % 2:
        least = f"an even number of frames and at least {MINIMUM_WINDOWS} windows are needed: a longer run or a shorter window"
        raise UserError(f"mobility: {windows} windows of {window} frames; {least}")
    if not len(moving) or not np.isfinite(positions).all():
        raise UserError("mobility: atoms of that species with finite positions are needed")
    require_motion(positions)
    tracks = positions[:, moving] - positions.mean(axis=1, keepdims=True)
    ends, middles = tracks[:: window][: windows + 1], tracks[window // 2 :: window][:windows]
    squares = (ends[1:] - ends[:-1]) ** 2
    whole = squares.mean(axis=1)
    half = (((middles - ends[:-1]) ** 2).mean(axis=1) + ((ends[1:] - middles) ** 2).mean(axis=1)) / 2
    each = diffusivity_to_si(1.0) * (whole - half) / (window * frame_interval)
    value, left_out = each.mean(axis=0), (each.sum(axis=0) - each) / (windows - 1)
    errors, limits = jackknife_error(left_out), np.full(3, np.nan)
    length, unit = rare_hops.hop_length(tracks, window), diffusivity_to_si(1.0)
    for axis, own in enumerate(np.moveaxis(squares, 2, 0)):
        held = own[rare_hops.hopped(own, length)]
        hops = rare_hops.Hops(len(held), float(held.sum()), own.size * window * frame_interval, length)
        scaled = float(value[axis] / unit), float(errors[axis] / unit)
        limits[axis] = unit * hops.limit(*scaled) if hops.few(*scaled) else np.nan
    ratio = None
    if np.isnan(limits[2]):
        ratio = float(value[:2].mean() / value[2]), float(jackknife_error(left_out[:, :2].mean(axis=1) / left_out[:, 2]))
    return Mobility(value, errors, ratio, limits)


def displacement_curves(positions: np.ndarray, moving: np.ndarray, frame_interval: float, window: int) -> dict[str, Any]:
    """Mean squared displacement (Å²) along each axis against the lag (ps) up to `window` frames; arguments as `mobility`."""
    tracks = positions[:, moving] - positions.mean(axis=1, keepdims=True)
    lags = np.unique(np.linspace(1, window, min(window, 40)).round().astype(int))
    squares = np.array([((tracks[lag:] - tracks[:-lag]) ** 2).mean(axis=(0, 1)) for lag in lags])
    return {axis: (lags * frame_interval / 1000, squares[:, place], None) for place, axis in enumerate("xyz")}


def mobility_records(
    found: Mobility, species: str, material: str, conditions: Mapping[str, Any], source: Mapping[str, Any]
) -> list[Property]:
    """Diffusivity along each axis, estimate or upper bound, and the ratio of in-plane to normal where both are known."""
    made = []
    for place, axis in enumerate("xyz"):
        value, error, limit = (float(each[place]) for each in (found.diffusivities, found.stderr, found.limits))
        low = np.isfinite(limit)
        made.append(Property(material, "self_diffusivity_along_axis", limit if low else value, "m^2/s",
                             stderr=None if low else error, bound="upper" if low else None,
                             conditions={**conditions, "species": species, "axis": axis}, source=dict(source)))  # fmt: skip
    if found.ratio is not None:
        made.append(Property(material, "mobility_ratio_in_plane_to_normal", found.ratio[0], "1", stderr=found.ratio[1],
                             conditions={**conditions, "species": species}, source=dict(source)))  # fmt: skip
    return made
