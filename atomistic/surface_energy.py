"""Surface energy of a crystal and work of adhesion of lithium on a solid phase, from relaxed slabs at 0 K (J/m²)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from atomistic.relaxation import relaxed, still_gained
from coupling.errors import UserError
from coupling.units import surface_energy_to_si

FORCE = 0.01
"""Largest force at which a slab of a contact is at rest, eV/Å. At 0.05 contacts of Li with Li2S, LiF and LLZO still had 7 to
12 mJ/m² to gain, with Li3P 70, with Li6PS5Cl, which reacts, 1400."""
STEPS = 1000
"""Most steps of a slab's relaxation. Contacts that do not react took 60 to 750, Li | Li6PS5Cl 1600 and 6 J/m²: no rest but a
reaction's end, and another one with every optimiser."""


@dataclass(frozen=True)
class SlabEnergy:
    """Energy per area (J/m²), its standard error, and the single values it is made of.

    forces, gained: of each relaxed slab: largest force left on an atom, eV/Å, and the energy per area that the last third of its
    steps gained, J/m² (a surface energy: per area of both faces).
    opened: of contacts, parted again where they had come to rest.
    """

    value: float
    stderr: float
    values: tuple[float, ...]
    forces: tuple[float, ...] = ()
    gained: tuple[float, ...] = ()
    opened: tuple["Opened", ...] = ()


@dataclass(frozen=True)
class Opened:
    """Works of separation of one relaxed contact, J/m²: `value` with both parts relaxed, `rigid` as they were in the contact.

    shift: number of the shift. forces, gained: of both parts, as those of `SlabEnergy`.
    """

    shift: int
    value: float
    rigid: float
    forces: tuple[float, ...]
    gained: tuple[float, ...]


def surface_energy(
    slab: Callable[[float], Atoms],
    thicknesses: Sequence[float],
    energy_per_atom: float,
    calculator: BaseCalculator,
    force: float = 0.02,
    steps: int = 300,
    strict: bool = True,
    rests: list[Atoms] | None = None,
) -> SlabEnergy:
    """γ = (E_slab − N e_bulk)/2A of a slab, the mean of its two faces; the thickest slab is the value, the change the error.

    Args:
        slab: thickness (Å) → periodic slab with vacuum, normal along z.
        thicknesses: at least two, Å.
        energy_per_atom: of the relaxed bulk, e_bulk, eV.
        calculator: ASE calculator.
        force: largest force left, eV/Å.
        steps: most relaxation steps.
        strict: whether a slab that is not at rest after them is refused.
        rests: filled with the relaxed slabs, thinnest first.

    Raises:
        UserError: fewer than two thicknesses.
        RunFailure: a relaxation fails.
    """
    if len(thicknesses) < 2:
        raise UserError("a surface energy needs slabs of at least two thicknesses; the change between them is its error")
    values, forces, gained = [], [], []
    for thickness in sorted(thicknesses):
        path: list[float] = []
        atoms = relaxed(slab(thickness), calculator, force=force, steps=steps, strict=strict, energies=path)
        excess = atoms.get_potential_energy() - len(atoms) * energy_per_atom
        values.append(surface_energy_to_si(excess / (2 * area(atoms))))
        gained.append(surface_energy_to_si(still_gained(path) / (2 * area(atoms))))
        forces.append(largest_force(atoms))
        if rests is not None:
            rests.append(atoms)
    return SlabEnergy(values[-1], abs(values[-1] - values[-2]), tuple(values), tuple(forces), tuple(gained))


def work_of_adhesion(
    joined: Atoms,
    first: Atoms,
    second: Atoms,
    moving: np.ndarray,
    shifts: Sequence[tuple[float, float]],
    calculator: BaseCalculator,
    force: float = FORCE,
    steps: int = STEPS,
) -> SlabEnergy:
    """W = (E_first + E_second − E_joined)/A with all three relaxed in the same in-plane cell.

    The two parts keep the in-plane strain they have in the joined cell, so that misfit strain drops out. The joined cell
    is relaxed for several in-plane shifts of one part: an incoherent contact samples them all, so their mean is the
    value and their standard deviation the error. A contact that came to rest is then opened: its parts as they are in it,
    rigid and relaxed, give works of separation.

    Args:
        joined: both parts in contact at one interface, with vacuum.
        first: one part alone in a cell of the same area; second: the other.
        moving: boolean mask (n,) of the atoms of `joined` that are shifted.
        shifts: displacements (x, y) in Å; at least two.
        calculator: ASE calculator.
        force: largest force wanted, eV/Å; a slab that still creeps after `steps` is taken as it is; `forces` and `gained` of
            the answer tell (first, second, then shift by shift).
        steps: most relaxation steps.

    Raises:
        UserError: fewer than two shifts.
    """
    if len(shifts) < 2:
        raise UserError("a work of adhesion needs at least two in-plane shifts; their scatter is its error")
    forces: list[float] = []
    gained: list[float] = []

    def rest_of(atoms: Atoms) -> Atoms:
        path: list[float] = []
        rest = relaxed(atoms, calculator, force=force, steps=steps, strict=False, energies=path)
        gained.append(surface_energy_to_si(still_gained(path) / area(joined)))
        forces.append(largest_force(rest))
        return rest

    apart = sum(float(rest_of(part).get_potential_energy()) for part in (first, second))
    values, opened = [], []
    for number, shift in enumerate(shifts):
        atoms = joined.copy()
        atoms.positions[moving] += [*shift, 0.0]
        rest = rest_of(atoms)
        values.append(surface_energy_to_si((apart - float(rest.get_potential_energy())) / area(joined)))
        if forces[-1] < force:
            opened.append(_opened(number, rest, moving, calculator, force, steps))
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1))
    return SlabEnergy(mean, error, tuple(values), tuple(forces), tuple(gained), tuple(opened))


def _opened(number: int, contact: Atoms, moving: np.ndarray, calculator: BaseCalculator, force: float, steps: int) -> Opened:
    """Works of separation of a contact at rest, whose two parts are taken out of it as they are."""
    held, least, rigid, forces, gained = float(contact.get_potential_energy()), 0.0, 0.0, [], []
    for part in (contact[moving], contact[~moving]):
        part.calc = calculator
        rigid += float(part.get_potential_energy())
        path: list[float] = []
        rest = relaxed(part, calculator, force=force, steps=steps, strict=False, energies=path)
        least += float(rest.get_potential_energy())
        forces.append(largest_force(rest))
        gained.append(surface_energy_to_si(still_gained(path) / area(contact)))
    value, stiff = (surface_energy_to_si((energy - held) / area(contact)) for energy in (least, rigid))
    return Opened(number, value, stiff, tuple(forces), tuple(gained))


def relaxation_error(gained: Sequence[float]) -> float:
    """Error of a work of adhesion from what its slabs still gained (`SlabEnergy.gained`), J/m².

    The two parts alone enter all shifts, and the shifts gain all in one direction, so that their mean has the error of one.
    """
    return float(np.sqrt(gained[0] ** 2 + gained[1] ** 2 + np.mean(np.square(gained[2:]))))


def change_with_thickness(thin: SlabEnergy, thick: SlabEnergy) -> float:
    """How far the works of adhesion of the first two shifts move in a thicker contact: root mean square, J/m²."""
    return float(np.sqrt(np.mean((np.array(thick.values[:2]) - np.array(thin.values[:2])) ** 2)))


def separation_change(thin: SlabEnergy, thick: SlabEnergy) -> float | None:
    """The same of the works of separation of the shifts that came to rest in both; None: there is none."""
    other = {one.shift: one.value for one in thick.opened}
    moved = [one.value - other[one.shift] for one in thin.opened if one.shift in other]
    return float(np.sqrt(np.mean(np.square(moved)))) if moved else None


def at_rest(forces: Sequence[float], force: float, steps: int) -> tuple[bool, str]:
    """Whether all slabs came to rest, and how they were relaxed, in words.

    Args:
        forces: largest one left on an atom of each slab, eV/Å. force: the one wanted. steps: the most that a relaxation took.
    """
    moving = sum(one >= force for one in forces)
    if not moving:
        return True, "relaxed slabs at 0 K"
    left = f"largest force left {max(forces):.2g} eV/Å, wanted {force:g}, after {steps} steps"
    return False, f"slabs relaxed at 0 K, of which {moving} of {len(forces)} did not come to rest ({left})"


def generic_shifts(count: int, period: float) -> list[tuple[float, float]]:
    """`count` displacements (x, y) in Å spread evenly over a square of side `period` (Å), none at a point of symmetry.

    Source: the additive recurrence with the plastic number 1.3247… (Roberts' R2 sequence).
    """
    return [(period * ((0.5 + k / 1.32471795724) % 1), period * ((0.5 + k / 1.32471795724**2) % 1)) for k in range(1, count + 1)]


def largest_force(atoms: Atoms) -> float:
    """Largest force on an atom, eV/Å."""
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max())


def area(atoms: Atoms) -> float:
    """Area of the cell's face spanned by its first two vectors, Å²."""
    return float(np.linalg.norm(np.cross(atoms.cell[0], atoms.cell[1])))
