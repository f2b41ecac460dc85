"""Energy per area of parting structures at rest: work of separation or adhesion, surface energy (J/m², 0 K).

    W = (Σ E_apart - E_joined)/(A n),     γ = (E_slab - m E_crystal)/(2 A n)

A: area of the first two cell vectors, n: how many cuts were made, the layers of vacuum along the third vector apart less those
joined (an end that is not periodic is one). One structure apart makes a work of separation, two a work of adhesion. What such
a work bounds, and that one cut bears no error, is as `atomistic.separation` tells it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from atomistic import separation
from atomistic.adhesion import IMPOSSIBLE
from atomistic.frames import VOID
from atomistic.surface_energy import area, largest_force
from coupling.errors import UserError
from coupling.record import Property, graded
from coupling.units import surface_energy_to_si

SAME = 0.01
"""Relative difference of two areas beyond which they are not of one plane."""


def records(joined: Atoms, apart: Sequence[Atoms], surface: bool, source: Mapping[str, Any]) -> tuple[list[Property], list[str]]:
    """Work of separation (one structure apart), adhesion (two) or surface energy, with the fracture energy that it bounds.

    With them a sentence for what the structures do not bear. Of one cut there is no error: the records are of low confidence.

    Args:
        joined: at rest, with energy; of a surface energy the crystal. apart: in the same plane. surface: γ of one slab.

    Raises:
        UserError: no energy, other atoms, another area, nothing parted, or an energy that is none of a cut.
    """
    everyone = [joined, *apart]
    if any(frame.cell.rank < 3 for frame in everyone):
        raise UserError("a structure has no three-dimensional cell; an area is told from it")
    if surface and len(apart) > 1:
        raise UserError("a surface energy is that of the crystal and one slab")
    cells = _multiple(joined, apart) if surface else 1
    if not surface:
        _require_same_atoms(joined, apart)
    areas = [area(frame) for frame in (apart if surface else everyone)]
    if max(areas) > (1 + SAME) * min(areas):
        raise UserError(f"areas of {min(areas):.4g} and {max(areas):.4g} Å²: joined and apart must have one plane (a × b)")
    cuts = sum(voids(frame) for frame in apart) - voids(joined)
    if cuts < 1:
        told = f"no layer of vacuum of {VOID:g} Å along c more than joined"
        raise UserError(f"nothing is parted: {told}; give the structure joined first, then apart")
    energy = sum(energy_of(frame) for frame in apart) - cells * energy_of(joined)
    value = float(surface_energy_to_si(energy / (areas[0] * cuts * (2 if surface else 1))))
    if abs(value) > IMPOSSIBLE:
        raise UserError(f"{value:.3g} J/m² is no cut's: the energies are not of one potential, or not in eV")
    notes = _doubts(everyone, value)
    method = "structures at rest, joined and apart; of this cut alone, so that no error is known"
    own = {**source, "atoms": len(apart[0]), "cuts": cuts, "area_A2": areas[0], "method": "; ".join([method, *notes])}
    quantity = "surface_energy" if surface else "work_of_separation" if len(apart) == 1 else "work_of_adhesion"
    work = Property(_name(joined, apart), quantity, value, "J/m^2", conditions={"temperature_K": 0.0}, source=own)
    return separation.with_fracture_energy([graded(work)]), notes


def voids(atoms: Atoms) -> int:
    """Layers of vacuum of VOID or more along the third cell vector; an end of an open cell is one."""
    normal = atoms.cell.reciprocal().array[2]
    depths = np.sort((atoms.positions @ normal) % 1.0 if atoms.pbc[2] else atoms.positions @ normal)
    gaps = np.diff(depths, append=depths[0] + 1 if atoms.pbc[2] else np.inf)
    return int((gaps / np.linalg.norm(normal) >= VOID).sum())


def _multiple(crystal: Atoms, slabs: Sequence[Atoms]) -> float:
    """How many of the crystal's cells a slab holds, a whole number of formula units. Raises UserError: another composition."""
    own, other = (frame.symbols.formula for frame in (crystal, slabs[0]))
    if own.reduce()[0] != other.reduce()[0]:
        raise UserError(f"the slab is {other.format('hill')}, no multiple of the crystal's {own.reduce()[0]}")
    return len(slabs[0]) / len(crystal)


def _require_same_atoms(joined: Atoms, apart: Sequence[Atoms]) -> None:
    """Refuse parts that do not add up to what is joined. Raises UserError with both."""
    parts = sorted(symbol for frame in apart for symbol in frame.symbols)
    if parts != sorted(joined.symbols):
        told = " + ".join(frame.get_chemical_formula() for frame in apart)
        raise UserError(f"{joined.get_chemical_formula()} joined, {told} apart: the same atoms are needed")


def energy_of(atoms: Atoms) -> float:
    """Potential energy, eV. Raises UserError where the file holds none, or one that is not finite."""
    try:
        energy = float(atoms.get_potential_energy())
    except Exception as error:  # ASE raises several where a file holds none
        raise UserError(f"{atoms.get_chemical_formula()}: the file holds no potential energy ({error})") from error
    if not np.isfinite(energy):
        raise UserError(f"{atoms.get_chemical_formula()}: its potential energy is not a finite number")
    return energy


def _doubts(structures: Sequence[Atoms], value: float) -> list[str]:
    """What speaks against a number: forces left, as far as the files tell, or parts that repel each other."""
    told = []
    forces = [largest_force(frame) for frame in structures if frame.calc is not None and "forces" in frame.calc.results]
    if forces and max(forces) > separation.FORCE:
        told.append(f"largest force left {max(forces):.2g} eV/Å, not at rest (wanted {separation.FORCE:g})")
    if value <= 0:
        told.append(f"{value:.3g} J/m²: it parts by itself, or was not at rest")
    return told


def _name(joined: Atoms, apart: Sequence[Atoms]) -> str:
    """Material: the formula, or those of both parts, as Li|Li2S."""
    parts = [frame.get_chemical_formula(empirical=True) for frame in apart]
    return "|".join(parts) if len(parts) > 1 else joined.get_chemical_formula(empirical=True)
