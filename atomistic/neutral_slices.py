"""Slices of a structure between two depths that carry no charge: what a band gap of a part of an interface can be computed of.

A slice is made periodic by taking its thickness for the height of the cell, so that its two faces touch each other, which no
depth of the structure knows. Where atoms would come nearer there than they do in the structure, one face is offset against the
other in their plane; where bonds would form across, the slice is opened by the least of OPENINGS that prevents it.

Two things would make its gap one of the cut instead of the material: a broken group of anions (PS4) has dangling bonds, and a
slice whose formal charges do not add up to zero has carriers, since the cell is computed neutral. Atoms bound to each other
(nearer than STRETCH times the sum of their covalent radii) therefore go to the side that the middle of their group lies on, and
each face may move by `shift` to the nearest cut of formal charge zero and an even number of electrons: whole groups that are
neutral together, a whole number of neutral units.

Formal charges follow the octet rule (8 - N, of Zintl and Klemm; memory): an anion lacks 8 - N electrons and each bond between
two anions saves two: q(P) = -3, q(S) = -2, but q(PS4) = -3 - 4 · 2 + 4 · 2 = -3, q(P2S7) = -4, q(S2) = -2. Cations have CATIONS.
Where there is lithium metal (atoms with a share in `clusters` above one half) the sum is positive: its conduction electrons,
which no cut makes. The rule knows no multiple bonds and no radicals: what it does not describe is seldom neutral by it, and
refused.
"""

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.data import covalent_radii
from matscipy.neighbours import neighbour_list
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from atomistic import clusters
from atomistic.heterostructure import contact
from atomistic.relaxation import relaxed
from coupling.errors import RunFailure, UserError

CLOSEST = 1.6
"""Shortest distance (Å) between atoms of a slice that was made periodic."""
STRETCH = 1.23
"""Longest bond over the sum of the covalent radii: 2.6 Å for P and S, as `reaction_study` counts them."""
CATIONS = {"H": 1, "Li": 1, "C": 4, "Zr": 4, "La": 3}
ANIONS = {"N": -3, "P": -3, "O": -2, "S": -2, "F": -1, "Cl": -1}
"""Formal charges, in elementary charges; carbon is that of carbonate."""
OFFSETS = 6
"""Offsets of the faces that are tried along each edge of their plane."""
OPENINGS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""What may be added to the thickness, Å."""
SAME = 1e-6
"""Depths that differ less are one, Å."""
REACH = 5.0
"""Distance up to which contacts are looked at, Å; no bond is longer."""
BOUND = (*ANIONS, "C", "H")
"""What forms groups that no cut divides."""
METAL, Å = "Li", 1e-10


@dataclass(frozen=True)
class Slice:
    """Atoms in a periodic cell; the depths (Å) of its faces; how far (Å) these were opened; how many atoms are lithium metal."""

    atoms: Atoms
    low: float
    high: float
    opening: float
    metal: int


def cut(atoms: Atoms, low: float, high: float, shift: float = 0.0, axis: int = 2) -> Slice:
    """The neutral slice nearest to two depths (Å) along a cell vector, each face moved by at most `shift` (Å).

    Raises:
        UserError: no such depths in the cell, no atom there, an element without formal charge, no neutral cut (with metal: none
            with conduction electrons) within `shift`, or none whose faces can meet without new bonds and overlaps.
    """
    told = f"slice from {low:g} to {high:g} Å"
    height = 1 / float(np.linalg.norm(atoms.cell.reciprocal()[axis]))
    if not (0 <= low < high <= height + 1e-9 and shift >= 0):
        raise UserError(f"{told}: two rising depths between 0 and {height:.4g} Å are needed")
    if high - low + 2 * shift > height + 1e-9 and shift:
        raise UserError(f"{told}: with shift = {shift:g} Å on either side it is thicker than the cell ({height:.4g} Å)")
    metal, charges, nearness = metallic(atoms), formal_charges(atoms), _contacts(atoms).nearness
    laid, depths = _laid_out(atoms, axis, low - shift)
    seen: list[int] = []
    for first, last, opening in _cuts(np.unique(depths), low, high, shift):
        chosen = (depths >= first - SAME) & (depths < last - SAME)
        charge, count = int(charges[chosen].sum()), int(metal[chosen].sum())
        if chosen.any():
            seen.append(0 if _closed(charge, count) else charge)
        if not chosen.any() or seen[-1] or atoms.numbers[chosen].sum() % 2:
            continue
        made = _periodic(laid[chosen], (last - first + opening) / height, axis, nearness)
        if made is not None:
            return Slice(made, first, last, opening, count)
    raise UserError(f"{told}: {_why(seen, shift)}")


def _closed(charge: int, metal: int) -> bool:
    """Whether a formal charge (e) makes no carriers: zero, or the conduction electrons of so many atoms of metal and its rim."""
    return charge > 0 if metal else charge == 0


def _why(charges: list[int], shift: float) -> str:
    """Why no cut was taken whose formal charges are these (0: one that failed for another reason)."""
    mend = f"give other depths or a larger shift (now {shift:g} Å)"
    if not charges:
        return "no atom lies there"
    if 0 in charges:
        return f"every neutral cut has an odd number of electrons, or new bonds or atoms too near where its faces meet; {mend}"
    nearest = min(charges, key=abs)
    return f"not neutral: a formal charge of {nearest:+d} e at the least, carriers that the cut makes; {mend}"


def settled(part: Slice, calculator: BaseCalculator, steps: int) -> tuple[Atoms, float]:
    """The slice after at most `steps` steps of relaxation in its cell, and the largest force (eV/Å) left.

    Raises:
        RunFailure: a force that is not finite, or a charge by bonds that formed or broke where its faces meet.
    """
    rest = relaxed(part.atoms, calculator, force=0.05, steps=steps, strict=False)
    force = float(np.linalg.norm(rest.get_forces(), axis=1).max())
    rest.calc = None
    if not _closed(charge := int(formal_charges(rest).sum()), part.metal):
        told = f"a formal charge of {charge:+d} e after bonds formed or broke where its faces meet ({units(rest)})"
        raise RunFailure(f"relaxed slice: {told}; give other depths or fewer steps")
    return rest, force


def conditions(part: Slice) -> dict[str, Any]:
    """Where a slice was cut (m), its atoms of lithium metal and its formal charge (e), for the conditions of a record."""
    faces = {"slice_m": [part.low * Å, part.high * Å], "opening_m": part.opening * Å}
    return {**faces, "metal_atoms": part.metal, "formal_charge_e": int(formal_charges(part.atoms).sum())}


def metallic(atoms: Atoms) -> np.ndarray:
    """Which atoms (n,) are lithium metal: with many neighbours of their own kind and hardly one of another."""
    if METAL not in atoms.symbols:
        return np.zeros(len(atoms), bool)
    foreign = tuple(sorted(set(atoms.symbols) - {METAL}))
    return np.asarray(clusters.largest_cluster(atoms, clusters.ClusterSettings(foreign=foreign)).shares > 0.5)


def formal_charges(atoms: Atoms) -> np.ndarray:
    """Formal charge (n,) of every atom, e, all lithium an ion; each bond of two anions gives one to both.

    Raises:
        UserError: an element that is not in CATIONS or ANIONS.
    """
    known = CATIONS | ANIONS
    if strange := sorted(set(atoms.symbols) - set(known)):
        raise UserError(f"formal charges: none known for {', '.join(strange)}; known: {', '.join(known)}")
    first, _ = _bonds(atoms, tuple(ANIONS))
    return np.array([known[symbol] for symbol in atoms.symbols]) + np.bincount(first, minlength=len(atoms))


def units(atoms: Atoms) -> str:
    """Ions and groups of a slice in words: "13 Li, 2 PS4, 1 S"."""
    labels = _groups(atoms)
    names = Counter(atoms[labels == label].get_chemical_formula() for label in range(labels.max() + 1))
    return ", ".join(f"{number} {name}" for name, number in sorted(names.items()))


def _bonds(atoms: Atoms, bound: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (both ways) of bound atoms of some elements."""
    first, second, r = neighbour_list("ijd", atoms, REACH)
    radii, allowed = covalent_radii[atoms.numbers], np.isin(atoms.symbols, bound)
    kept = allowed[first] & allowed[second] & (r < STRETCH * (radii[first] + radii[second]))
    return first[kept], second[kept]


def _groups(atoms: Atoms) -> np.ndarray:
    """Number (n,) of the group of every atom."""
    first, second = _bonds(atoms, BOUND)
    links = coo_matrix((np.ones(len(first)), (first, second)), shape=(len(atoms), len(atoms)))
    return np.asarray(connected_components(links, directed=False)[1])


def _laid_out(atoms: Atoms, axis: int, lowest: float) -> tuple[Atoms, np.ndarray]:
    """Atoms moved by whole periods along an axis so that groups are in one piece; depths (n,), Å, of the middles of their groups.

    The depths lie in the period of the cell that begins at `lowest`.
    """
    groups, height = _groups(atoms), 1 / np.linalg.norm(atoms.cell.reciprocal()[axis])
    scaled = atoms.get_scaled_positions()[:, axis]
    head = scaled[np.unique(groups, return_index=True)[1]][groups]
    away = scaled - head
    away -= np.round(away)
    mean = (np.bincount(groups, away) / np.bincount(groups))[groups]
    depths = ((head + mean) * height - lowest + 1e-9) % height + lowest - 1e-9
    laid, own = atoms.copy(), atoms.get_scaled_positions(wrap=False)[:, axis]
    laid.positions += np.round(depths / height + away - mean - own)[:, None] * atoms.cell.array[axis]
    return laid, depths


def _cuts(depths: np.ndarray, low: float, high: float, shift: float) -> list[tuple[float, float, float]]:
    """Faces, a pair for each set of groups that they can enclose, and how far they are opened (Å), the least moved first."""
    places = itertools.product(_places(depths, low, shift), _places(depths, high, shift), OPENINGS)
    return sorted((cut for cut in places if cut[0] < cut[1]), key=lambda cut: abs(cut[0] - low) + abs(cut[1] - high) + cut[2])


def _places(depths: np.ndarray, wanted: float, shift: float) -> list[float]:
    """A face between each two neighbouring depths within reach: as wanted where that lies between them, else half way."""
    between = depths[(depths > wanted - shift) & (depths < wanted + shift)]
    edges = np.array([wanted - shift, *between, wanted + shift])
    halfway = (edges[1:] + edges[:-1])[np.diff(edges) > SAME] / 2
    own = np.searchsorted(between, wanted - SAME)
    lower, upper = edges[own], edges[own + 1]
    return [wanted, *(float(place) for place in halfway if not lower < place < upper)]


def _periodic(part: Atoms, share: float, axis: int, nearness: float) -> Atoms | None:
    """Atoms in the same cell with one vector of it made a share as long, and leant where the faces would be too near.

    Of the offsets in the plane (OFFSETS a side) the first is taken that leaves atoms as far apart as `nearness`, else the one
    that leaves them farthest. None: bonds appear, or atoms nearer than CLOSEST, at every offset.
    """
    bonds, best, farthest = _contacts(part).bonds, None, 0.0
    for first, second in np.ndindex(OFFSETS, OFFSETS):
        cell = part.cell.array.copy()
        cell[axis] = share * cell[axis] + (cell[axis - 2] * first + cell[axis - 1] * second) / OFFSETS
        made = Atoms(part.numbers, positions=part.positions, cell=cell, pbc=True)
        made.wrap()
        found = _contacts(made)
        if found.bonds == bonds and found.closest >= CLOSEST and found.nearness > farthest:
            best, farthest = made, found.nearness
            if farthest >= nearness - 1e-6:
                break
    return best


@dataclass(frozen=True)
class _Contacts:
    """Shortest distance (Å), and in units of that of touch (`heterostructure.contact`); bonds of anions, both ways."""

    closest: float
    nearness: float
    bonds: int


def _contacts(atoms: Atoms) -> _Contacts:
    first, second, r = neighbour_list("ijd", atoms, REACH)
    kinds, which = np.unique(atoms.get_chemical_symbols(), return_inverse=True)
    touch = np.array([[contact(one, other) for other in kinds] for one in kinds])[which[first], which[second]]
    return _Contacts(float(r.min(initial=np.inf)), float((r / touch).min(initial=np.inf)), len(_bonds(atoms, tuple(ANIONS))[0]))
