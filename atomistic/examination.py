"""What a crystal looks like to a potential: lattice, bulk modulus and energy at rest, pair distributions and long runs."""

import contextlib
import os
import platform
import re
import time
from collections.abc import Callable, Sequence
from functools import reduce
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator
from ase.data import covalent_radii
from ase.io import read, write
from ase.neighborlist import neighbor_list

from atomistic import dynamics
from atomistic.dynamics import DynamicsSettings, Guards, Trajectory, Unphysical
from atomistic.pair_distribution import overlap, pair_distribution
from atomistic.relaxation import relaxed
from atomistic.sampling import seed_of
from atomistic.structures import bulk, composition, names, supercell, unknown
from coupling.atomic import replacing
from coupling.errors import UserError

GPA = 160.21766  # 1 eV/Å³ in GPa
SCALES = (0.97, 0.985, 1.0, 1.015, 1.03)  # volumes of the equation of state over that at rest
TOO_CLOSE = 0.6  # of the sum of two covalent radii: nearer atoms are a nonphysical event
TEMPERATURE_OFF = 0.1  # relative deviation of the mean temperature that is one as well
SAMPLES = 20  # frames of a long run on which all members are asked
MD_LENGTH = 6.5  # Å: least height of the cells that move

Row = dict[str, Any]


def at_rest(name: str, calculator: BaseCalculator, progress: Callable[[float], None] = lambda share: None) -> Row:
    """Lattice (Å, degrees), volume (Å³/atom), energy (eV per smallest formula) and bulk modulus (GPa) of a crystal at 0 K.

    The bulk modulus is V ∂²E/∂V² from a cubic fit to five volumes within ±3 %, the atoms relaxed in each cell.
    """
    rest = relaxed(bulk(name), calculator, cell=True, steps=300, strict=False)
    progress(0.4)
    energies = []
    for number, scale in enumerate(SCALES):
        deformed = rest.copy()
        deformed.set_cell(rest.cell.array * scale ** (1 / 3), scale_atoms=True)
        energies.append(relaxed(deformed, calculator, steps=80, strict=False).get_potential_energy())
        progress(0.4 + 0.12 * (number + 1))
    cubic = np.polynomial.Polynomial.fit(SCALES, energies, 3).convert()
    volume = rest.get_volume()
    return {
        "lengths_A": np.round(rest.cell.lengths(), 4).tolist(),
        "angles_degrees": np.round(rest.cell.angles(), 2).tolist(),
        "volume_A3_per_atom": round(volume / len(rest), 4),
        "bulk_modulus_GPa": round(float(cubic.deriv(2)(1.0)) / volume * GPA, 2),
        "energy_eV_per_formula": float(rest.get_potential_energy()) / formula_units(rest),
        "largest_force_eV_per_A": round(float(np.linalg.norm(rest.get_forces(), axis=1).max()), 4),
    }


def formula_units(atoms: Atoms) -> int:
    """How often the cell holds the smallest formula of its composition."""
    return reduce(gcd, atoms.symbols.formula.count().values())


def sides(reaction: str) -> tuple[dict[str, int], dict[str, int]]:
    """Amounts of the phases on both sides of "Li6PS5Cl + 8 Li -> 5 Li2S + Li3P + LiCl".

    Raises:
        UserError: not of that form, an unknown phase, or elements that do not balance.
    """
    parts = [side for side in re.split(r"->|→", reaction)]
    if len(parts) != 2:
        raise UserError(f'reaction "{reaction}": two sides with -> between them are needed')
    amounts: list[dict[str, int]] = []
    balance: dict[str, int] = {}
    for sign, side in zip((-1, 1), parts, strict=True):
        found: dict[str, int] = {}
        for term in side.split("+"):
            match = re.fullmatch(r"\s*(\d*)\s*([A-Za-z]\w*)\s*", term)
            if match is None:
                raise UserError(f'reaction "{reaction}": "{term.strip()}" is not a number and a phase')
            amount, name = int(match[1] or 1), match[2]
            if name not in names():
                raise unknown("structure", name, names())
            found[name] = found.get(name, 0) + amount
            for element, count in composition(name).items():
                balance[element] = balance.get(element, 0) + sign * amount * count
        amounts.append(found)
    if off := [element for element, count in balance.items() if count]:
        raise UserError(f'reaction "{reaction}": {", ".join(off)} does not balance')
    return amounts[0], amounts[1]


def reaction_energy(reaction: str, energies: dict[str, float]) -> Row:
    """Energy of a reaction as it is written (eV) and per atom, from the energies of the smallest formulas of its phases (eV)."""
    before, after = sides(reaction)

    def energy(side: dict[str, int]) -> float:
        return sum(n * energies[name] * reduce(gcd, composition(name).values()) for name, n in side.items())

    total = energy(after) - energy(before)
    atoms = sum(n * sum(composition(name).values()) for name, n in before.items())
    return {"eV": round(total, 4), "meV_per_atom": round(1e3 * total / atoms, 2)}


def timestep(atoms: Atoms) -> float:
    """Time step in fs: 2, with hydrogen 0.5."""
    return 0.5 if "H" in atoms.symbols else 2.0


def pairs_run(name: str, calculator: BaseCalculator, temperature: float, picoseconds: float, folder: Path, tick: Any) -> Row:
    """Pair distributions of lithium (or the first element) with every element, over the last two thirds of a short run.

    The run starts from the coordinates of structures.toml (one cell for all potentials), Langevin, with one seed. "halves" is
    the overlap of both halves of the run: what noise alone takes away.
    """
    atoms = supercell(bulk(name), MD_LENGTH)
    settings = DynamicsSettings(
        temperature, picoseconds, timestep=timestep(atoms), friction_time=100.0, frame_interval=10.0, checkpoint_interval=100.0,
        seed=seed_of("pairs", name),
    )  # fmt: skip
    frames = _frames(atoms, dynamics.run(atoms, calculator, settings, folder / "run", tick))
    frames = frames[len(frames) // 3 :]
    elements = sorted(set(atoms.get_chemical_symbols()))
    centre = "Li" if "Li" in elements else elements[0]
    row: Row = {"temperature_K": temperature, "picoseconds": picoseconds, "atoms": len(atoms), "pairs": {}}
    half = len(frames) // 2
    for other in elements:
        r, g = pair_distribution(frames, centre, other)
        early, late = (pair_distribution(part, centre, other)[1] for part in (frames[:half], frames[half:]))
        row["pairs"][f"{centre}–{other}"] = {"g": np.round(g, 3).tolist(), "halves": round(overlap(early, late, r), 3)}
    return row | {"r_A": np.round(r, 3).tolist()}


def long_run(
    name: str, members: Sequence[BaseCalculator], temperature: float, picoseconds: float, folder: Path, tick: Any, mover: Any
) -> Row:
    """A run at constant volume and temperature at the potential's own 0 K cell, and whether anything nonphysical happened.

    Args:
        name: crystal. members: float64 calculators; the first relaxes the cell, all are asked about SAMPLES frames.
        temperature: K. picoseconds: ps.
        folder: keeps the run, which continues. tick: takes the share done.
        mover: calculator of the first member that drives the run (float32).

    Returns:
        "event": empty, or what happened: a guard of atomistic.dynamics tripped (force, distance, temperature, not finite), two
        atoms nearer than TOO_CLOSE of the sum of their covalent radii, or a mean temperature off by more than TEMPERATURE_OFF.
    """
    atoms = _start(name, members[0], folder / "start.extxyz")
    settings = DynamicsSettings(
        temperature, picoseconds, timestep=timestep(atoms), friction_time=200.0, seed=seed_of("card", name),
        guards=Guards(halvings=0),
    )  # fmt: skip
    event = ""
    try:
        dynamics.run(atoms, mover, settings, folder / "run", tick)
    except Unphysical as trip:
        event = str(trip).partition("; the first")[0]
    row: Row = {"atoms": len(atoms), "set_temperature_K": temperature, "wanted_picoseconds": picoseconds, "event": event}
    if not any((folder / "run").glob("segment-*")):
        return row | {"picoseconds": 0.0}
    found = dynamics.load(folder / "run")
    frames, half = _frames(atoms, found), len(found.temperatures) // 2
    closest, pair = min((_closest(frame) for frame in frames), key=lambda one: one[0])
    temperature_found = float(found.temperatures[half:].mean())
    if not event and closest < TOO_CLOSE:
        event = f"{pair} at {closest:.2f} of the sum of their covalent radii (limit {TOO_CLOSE:g})"
    if not event and abs(temperature_found - temperature) > TEMPERATURE_OFF * temperature:
        event = f"mean temperature {temperature_found:.0f} K"
    return row | {
        "picoseconds": found.picoseconds,
        "temperature_K": round(temperature_found),
        "closest_over_radii": round(closest, 2) if pair else None,
        "closest_pair": pair,
        "largest_framework_displacement_A": _displacement(frames),
        "event": event,
        **_asked(frames[half:], members, temperature_found),
    }


def _start(name: str, calculator: BaseCalculator, path: Path) -> Atoms:
    """Supercell at rest, kept in a file so that a killed run goes on from the same numbers."""
    if not path.exists():
        rest = relaxed(bulk(name), calculator, cell=True, steps=300, strict=False)
        bare = supercell(Atoms(rest.numbers, positions=rest.positions, cell=rest.cell, pbc=True), MD_LENGTH)
        with replacing(path) as temporary:
            write(temporary, bare, format="extxyz", parallel=False)
    found = read(path, index=0, parallel=False)
    assert isinstance(found, Atoms)
    return Atoms(found.numbers, positions=found.positions, cell=found.cell, pbc=True)


def _frames(atoms: Atoms, found: Trajectory) -> list[Atoms]:
    """Stored frames as atoms."""
    rows = zip(found.positions, found.cells, strict=True)
    return [Atoms(atoms.numbers, positions=positions, cell=cell, pbc=True) for positions, cell in rows]


def _closest(frame: Atoms) -> tuple[float, str]:
    """Shortest distance in units of the sum of the two covalent radii, and the pair."""
    i, j, d = neighbor_list("ijd", frame, 4.0)
    if not len(d):
        return np.inf, ""
    ratio = d / (covalent_radii[frame.numbers[i]] + covalent_radii[frame.numbers[j]])
    at = int(np.argmin(ratio))
    return float(ratio[at]), "–".join(sorted((frame.symbols[i[at]], frame.symbols[j[at]])))


def _displacement(frames: Sequence[Atoms]) -> float:
    """Largest displacement (Å) of an atom other than lithium (in lithium metal of any atom), the drift taken out."""
    symbols = np.array(frames[0].get_chemical_symbols())
    framework = symbols != "Li" if (symbols != "Li").any() else np.ones(len(symbols), dtype=bool)
    moved = np.array([(frame.positions - frames[0].positions)[framework] for frame in frames])
    moved -= moved.mean(axis=1, keepdims=True)
    return round(float(np.linalg.norm(moved, axis=2).max()), 2)


def _asked(frames: Sequence[Atoms], members: Sequence[BaseCalculator], temperature: float) -> Row:
    """Mean pressure (GPa) and largest spread of a force among the members (eV/Å) on SAMPLES of the frames."""
    pressures, spreads = [], []
    for index in np.unique(np.linspace(0, len(frames) - 1, SAMPLES).astype(int)):
        frame = frames[index]
        gas = len(frame) * units.kB * temperature / frame.get_volume()
        pressures.append(gas - float(members[0].get_property("stress", frame)[:3].mean()))
        forces = np.array([member.get_property("forces", frame) for member in members])
        spreads.append(float(np.sqrt(((forces - forces.mean(axis=0)) ** 2).sum(axis=2).mean(axis=0)).max()))
    row: Row = {"pressure_GPa": round(GPA * float(np.mean(pressures)), 2)}
    return row | ({"largest_spread_eV_per_A": round(max(spreads), 3)} if len(members) > 1 else {})


def speed(name: str, calculator: BaseCalculator, steps: int = 15) -> Row:
    """Processor time of one step in µs per atom on one core, for a supercell of about 400 atoms that moves as in a run."""
    cell = bulk(name)
    atoms = cell.repeat(max(1, round((400 / len(cell)) ** (1 / 3))))
    random, times = np.random.default_rng(0), []
    for _ in range(steps):
        atoms.positions += random.normal(0, 0.005, atoms.positions.shape)
        began = time.process_time()
        calculator.get_property("forces", atoms)
        times.append(time.process_time() - began)
    median = float(np.median(times[min(3, steps - 1) :]))
    return {"phase": name, "atoms": len(atoms), "us_per_atom": round(1e6 * median / len(atoms), 1)}


def processor() -> str:
    """Name of the processor."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine() or os.name
