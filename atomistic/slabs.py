"""Surfaces of any crystal: Miller index, thickness, vacuum; stoichiometric, charge-neutral and nonpolar where one exists.

pymatgen's SlabGenerator cuts; here the terminations are judged. The dipole is that of the formal charges of CHARGES.
Source of the kinds of ionic surfaces: Tasker, J. Phys. C 12, 4977 (1979).
"""

import itertools
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from pymatgen.core.surface import Slab, SlabGenerator
from pymatgen.io.ase import AseAtomsAdaptor
from scipy.spatial.transform import Rotation

from atomistic.grain_boundary import COVALENT
from atomistic.structures import bulk
from coupling.errors import UserError

Index = tuple[int, int, int]
CHARGES = {"Li": 1, "La": 3, "Zr": 4, "P": 5, "C": 4, "H": 1, "S": -2, "O": -2, "F": -1, "Cl": -1, "N": -3}
"""Formal charges; `formal_charges` corrects the peroxide (O −1), the phosphide (P −3) and metals (0)."""

LARGE, MOST = 2000, 4
"""Cuts times atoms beyond which a cell is large, and how many of its cuts are then made into slabs."""


@dataclass(frozen=True)
class Termination:
    """One way to end a slab.

    Attributes:
        atoms: slab, surface normal along z.
        dipole: per area along z from formal charges, e/Å.
        symmetric: whether both faces are alike (a symmetry of the slab exchanges them).
        broken: covalent bonds cut per slab.
        cut: where the slab begins, as a share of the oriented cell along the normal (`ended_at`).
    """

    atoms: Atoms
    dipole: float
    symmetric: bool
    broken: int
    cut: float = 0.0


def formal_charges(atoms: Atoms) -> np.ndarray:
    """Formal charge of every atom (e); 0 for a metal.

    Raises:
        UserError: an element without a charge, or a composition whose charges do not add up to zero.
    """
    elements = set(atoms.symbols)
    if unknown := elements - set(CHARGES):
        raise UserError(f"no formal charge is known for {', '.join(sorted(unknown))}; known: {', '.join(sorted(CHARGES))}")
    if all(CHARGES[element] > 0 for element in elements) and elements != {"Li", "P"}:
        return np.zeros(len(atoms))
    table = dict(CHARGES)
    if elements == {"Li", "P"}:
        table["P"] = -3
    elif elements == {"Li", "O"} and 2 * np.sum(atoms.symbols == "Li") == len(atoms):
        table["O"] = -1
    charges = np.array([float(table[symbol]) for symbol in atoms.symbols])
    if abs(charges.sum()) > 1e-9:
        raise UserError(f"{atoms.get_chemical_formula()}: the formal charges add up to {charges.sum():+g} e, not to zero")
    return charges


def terminations(crystal: str | Atoms, miller: Index, thickness: float = 10.0, vacuum: float = 15.0) -> list[Termination]:
    """Every stoichiometric slab of a face, best first: fewest cut covalent bonds, then nonpolar, symmetric, smallest.

    Of a large cell (LARGE) only the MOST best cuts by bonds and dipole are made; pymatgen compares slabs for minutes.

    Args:
        crystal: name in structures.toml, or a crystal.
        miller: indices in the conventional cell.
        thickness: least thickness, Å.
        vacuum: empty space along the normal, Å.

    Raises:
        UserError: indices all zero, a length not positive, or no stoichiometric slab.
    """
    cell = bulk(crystal) if isinstance(crystal, str) else crystal
    if not any(miller) or not thickness > 0 or not vacuum > 0:
        told = f"read Miller {miller}, {thickness} Å thick, vacuum {vacuum} Å"
        raise UserError(f"slab: a plane and lengths above 0 Å are needed, {told}")
    generator = _generator(cell, miller, thickness, vacuum)
    cuts = generator.gen_possible_terminations(ftol=0.05)
    if len(cuts) * len(cell) > LARGE:
        generator.center_slab = False  # its search for neighbours is most of the time; the block begins at the cut anyway
        slabs = [generator.get_slab(cut) for cut in _promising(generator, cuts)]
    else:
        slabs = generator.get_slabs(bonds=None, symmetrize=False, ftol=0.05)
    formula = generator.oriented_unit_cell.composition.reduced_formula
    found = []
    for slab in slabs:
        if slab.composition.reduced_formula != formula:
            continue
        found.append(_termination(slab, cell, vacuum))
    if not found:
        raise UserError(f"{formula}{miller}: none of the {len(slabs)} terminations is stoichiometric; another face or thickness")
    return sorted(found, key=lambda end: (end.broken, abs(end.dipole) > 1e-3, not end.symmetric, len(end.atoms), abs(end.dipole)))


def ended_at(crystal: Atoms, miller: Index, cut: float, thickness: float, vacuum: float = 15.0) -> Termination:
    """The slab of another thickness (Å) that begins at the `cut` of a `Termination` of the same crystal and face."""
    return _termination(_generator(crystal, miller, thickness, vacuum).get_slab(cut), crystal, vacuum)


def _generator(cell: Atoms, miller: Index, thickness: float, vacuum: float) -> SlabGenerator:
    """What cuts slabs of one face of a crystal; their blocks are centred, so that they hang together in the cell."""
    structure = AseAtomsAdaptor.get_structure(cell)
    return SlabGenerator(structure, miller, thickness, max(vacuum, 1.0), center_slab=True, primitive=True, lll_reduce=True)


def _termination(slab: Slab, cell: Atoms, vacuum: float) -> Termination:
    """What is told of one slab of a crystal."""
    atoms = _upright(AseAtomsAdaptor.get_atoms(slab), vacuum)
    return Termination(atoms, _dipole(atoms), bool(slab.is_symmetric()), _broken(atoms, cell), float(slab.shift))


def _promising(generator: SlabGenerator, cuts: list[float]) -> list[float]:
    """The MOST cuts of a large cell that break the fewest covalent bonds and, among those, leave the least dipole."""
    cell = AseAtomsAdaptor.get_atoms(generator.oriented_unit_cell)
    normal = np.cross(*np.array(cell.cell)[:2])
    area = float(np.linalg.norm(normal))
    height = float(np.array(cell.cell)[2] @ normal / area)
    scaled, charges = cell.get_scaled_positions()[:, 2], formal_charges(cell)
    pairs = {pair: length for pair, length in COVALENT.items() if set(pair) <= set(cell.symbols)}
    first, away = neighbor_list("iD", cell, pairs) if pairs else (np.empty(0, int), np.empty((0, 3)))
    rise = away @ normal / area / height
    low, reach = scaled[first] + np.minimum(rise, 0), np.abs(rise)
    told = []
    for cut in cuts:
        dipole = abs(float(charges @ ((scaled - cut) % 1.0))) * height / area
        told.append((int(np.sum((cut - low) % 1.0 < reach)), dipole > 1e-3, round(dipole, 6), cut))
    return [cut for *_, cut in sorted(told)[:MOST]]


def surface(crystal: str | Atoms, miller: Index, thickness: float = 10.0, vacuum: float = 15.0, min_length: float = 1.0) -> Atoms:
    """Best termination of a face (see `terminations`), repeated in the plane until both sides are at least min_length Å.

    Returns:
        Periodic Atoms, normal along z, info: name, miller, area (Å²), charge (0), dipole (e/Å), polar, symmetric,
        broken_bonds, terminations (how many there were).
    """
    ends = terminations(crystal, miller, thickness, vacuum)
    best = ends[0]
    edges = np.array(best.atoms.cell)[:2]
    area = float(np.linalg.norm(np.cross(*edges)))
    across = area / np.linalg.norm(edges[::-1], axis=1)
    repeat = np.maximum(1, np.ceil(min_length / across - 1e-9)).astype(int)
    slab = best.atoms.repeat((int(repeat[0]), int(repeat[1]), 1))
    formal_charges(slab)  # refuses a slab that is not neutral
    slab.info = {
        "name": f"{crystal if isinstance(crystal, str) else crystal.get_chemical_formula()}{miller}",
        "miller": miller,
        "area": area * int(repeat[0] * repeat[1]),
        "charge": 0.0,
        "dipole": best.dipole,
        "polar": abs(best.dipole) > 1e-3,
        "symmetric": best.symmetric,
        "broken_bonds": best.broken,
        "terminations": len(ends),
    }
    return slab


def _upright(slab: Atoms, vacuum: float) -> Atoms:
    """Slab with a along x, the plane horizontal, the third edge along z and `vacuum` Å between images."""
    edges = np.array(slab.cell)
    normal = np.cross(edges[0], edges[1])
    frame = Rotation.align_vectors([[0, 0, 1], [1, 0, 0]], [normal, edges[0]], weights=[np.inf, 1])[0].as_matrix()
    turned, edges = slab.positions @ frame.T, edges @ frame.T
    # a slab is one block inside its cell (center_slab), so heights need no wrapping
    turned[:, 2] -= turned[:, 2].min()
    edges[2] = [0, 0, np.ptp(turned[:, 2]) + vacuum]
    atoms = Atoms(slab.symbols, positions=turned, cell=edges, pbc=True)
    scaled = atoms.get_scaled_positions(wrap=False)
    scaled[:, :2] %= 1.0
    atoms.set_scaled_positions(scaled)
    return atoms


def _dipole(atoms: Atoms) -> float:
    """Dipole per area along the normal from formal charges, e/Å."""
    area = np.linalg.norm(np.cross(atoms.cell[0], atoms.cell[1]))
    return float(formal_charges(atoms) @ atoms.positions[:, 2] / area)


def _broken(atoms: Atoms, cell: Atoms) -> int:
    """Covalent bonds that the slab has fewer than the same number of atoms of the crystal."""
    return round(_bonds(cell) * len(atoms) / len(cell) - _bonds(atoms))


def _bonds(atoms: Atoms) -> int:
    """Number of covalent bonds (COVALENT) in a cell."""
    return len(_bonded(atoms)) // 2


def _bonded(atoms: Atoms) -> list[tuple[int, int]]:
    """Both orders of every pair of atoms with a covalent bond."""
    pairs = {pair: length for pair, length in COVALENT.items() if set(pair) <= set(atoms.symbols)}
    return list(zip(*(each.tolist() for each in neighbor_list("ij", atoms, pairs)), strict=True)) if pairs else []


def bonds_lost(before: Atoms, after: Atoms) -> int:
    """Covalent bonds of the atoms `before` that are open in the same atoms `after`, whatever new ones there are."""
    return len(set(_bonded(before)) - set(_bonded(after))) // 2


def faces(highest: int = 1) -> list[Index]:
    """Miller indices up to `highest`, one of each pair of opposite ones."""
    every = itertools.product(range(highest, -highest - 1, -1), repeat=3)
    return [(h, k, m) for h, k, m in every if (h, k, m) > (0, 0, 0)]
