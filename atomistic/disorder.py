"""Partly filled sites: an ordered choice, a random one with a seed, or one of low electrostatic energy.

The electrostatic energy is the Ewald sum of formal charges, without any screening: it ranks arrangements, it is no
formation energy. Because it is bilinear in the charges one matrix of the cell serves every arrangement.
Source: Ewald, Ann. Phys. 369, 253 (1921), in the form of Toukmaji & Board, Comput. Phys. Commun. 95, 73 (1996).
"""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.io.ase import AseAtomsAdaptor

from atomistic.slabs import formal_charges
from atomistic.structures import argyrodite, bulk, every_site, primitive, prototypes, unknown
from coupling.errors import UserError

ORDERED = {"LLZO_cubic_allsites": "LLZO_cubic_ordered", "Li6PS5Cl_48h": "Li6PS5Cl_24g"}
METHODS = ("ordered", "random", "electrostatic")


@dataclass(frozen=True)
class Sites:
    """Sites of a disordered cell: all of them, which are partly filled by lithium, how many of those are filled."""

    atoms: Atoms
    partial: np.ndarray  # (n,) bool
    filled: int
    conflicts: np.ndarray  # (n, n) bool: two sites too near to be filled at once


def disordered(
    crystal: str,
    method: str = "random",
    seed: int = 0,
    repeat: tuple[int, int, int] = (1, 1, 1),
    closest: float = 2.0,
    candidates: int = 10,
    moves: int = 4000,
    smallest: bool = False,
) -> Atoms:
    """Crystal with its partly filled lithium sites chosen.

    Args:
        crystal: LLZO_cubic_allsites or Li6PS5Cl_48h.
        method: "ordered" (the ordered model of structures.toml), "random", or "electrostatic" (the best of `candidates`
            random ones, each improved by `moves` Monte Carlo swaps of a filled and an empty site, downhill only).
        seed: of everything random.
        repeat: repetitions of the cubic cell.
        closest: least distance between two lithium atoms, Å.
        candidates: number of arrangements that are compared.
        moves: Monte Carlo trials for each.
        smallest: fill the primitive cell (96 atoms of LLZO) instead of the cubic one; "ordered" has no smaller cell.

    Returns:
        Atoms, not relaxed; info: name, method, seed, ewald (eV, formal charges; absent for "ordered").

    Raises:
        UserError: unknown crystal or method, or no arrangement keeps the distance.
    """
    if crystal not in ORDERED:
        raise unknown("disordered crystal", crystal, sorted(ORDERED))
    if method not in METHODS:
        raise unknown("way to fill sites", method, list(METHODS))
    if method == "ordered":
        atoms = bulk(ORDERED[crystal]).repeat(repeat)
        atoms.info = {"name": crystal, "method": method, "seed": seed}
        return atoms
    sites = _sites(crystal, repeat, closest, smallest)
    matrix = ewald_matrix(sites.atoms)
    charges = _site_charges(sites)
    best, least = None, np.inf
    for trial in range(candidates if method == "electrostatic" else 1):
        random = np.random.default_rng([seed, trial])
        filled = _random_filling(sites, random)
        if method == "electrostatic":
            filled = _improved(filled, sites, charges, matrix, random, moves)
        charge = charges * filled
        energy = float(charge @ matrix @ charge)
        if energy < least:
            best, least = filled, energy
    assert best is not None
    atoms = sites.atoms[best]
    atoms.set_tags(0)
    atoms.info = {"name": crystal, "method": method, "seed": seed, "ewald": least}
    return atoms


def exchanged(disorder: float, repeat: tuple[int, int, int] = (1, 1, 1), seed: int = 0, candidates: int = 10) -> Atoms:
    """Li6PS5Cl with a stated S/Cl disorder (`structures.argyrodite`), of `candidates` random choices that of least energy.

    Args:
        disorder: fraction of the 4a sites that S occupies. repeat: of the cubic cell, in one of which all choices are alike.
        seed: of the choices. candidates: how many.

    Returns:
        Atoms, not relaxed; info as of `argyrodite`, and ewald (eV, formal charges).

    Raises:
        UserError: as `argyrodite`.
    """
    seeds = np.random.default_rng(seed).integers(2**31, size=candidates)
    made = [argyrodite(disorder, repeat, int(one)) for one in seeds]
    energies = [ewald_energy(atoms) for atoms in made]
    best = made[int(np.argmin(energies))]
    best.info |= {"method": "electrostatic", "seed": seed, "ewald": min(energies)}
    return best


def ewald_energy(atoms: Atoms) -> float:
    """Electrostatic energy of formal charges, eV per cell."""
    structure = AseAtomsAdaptor.get_structure(atoms)
    structure.add_oxidation_state_by_site([float(charge) for charge in formal_charges(atoms)])
    return float(EwaldSummation(structure).total_energy)


def ewald_matrix(atoms: Atoms) -> np.ndarray:
    """Matrix M (n, n) in eV/e² for which charges q (e, adding up to zero) have the energy q·M·q."""
    structure = AseAtomsAdaptor.get_structure(atoms)
    structure.add_oxidation_state_by_site([1.0] * len(atoms))
    return np.asarray(EwaldSummation(structure).total_energy_matrix)


def _sites(crystal: str, repeat: tuple[int, int, int], closest: float, smallest: bool = False) -> Sites:
    """Sites of a repeated cell; the number of lithium atoms is the whole number next to what the occupancies give."""
    cell = primitive(every_site(crystal)) if smallest else every_site(crystal)
    occupancy = np.array(prototypes()[crystal]["occupancies"])[cell.get_tags()]
    partial = occupancy < 1
    filled = round(float(occupancy[partial].sum())) * int(np.prod(repeat))
    atoms = cell.repeat(repeat)
    partial = np.tile(partial, int(np.prod(repeat)))
    distance = atoms.get_all_distances(mic=True)
    np.fill_diagonal(distance, np.inf)
    near = (distance < closest) & partial[:, None] & partial[None, :]
    return Sites(atoms, partial, filled, near)


def _site_charges(sites: Sites) -> np.ndarray:
    """Formal charge (e) of an atom on every site, from a neutral filling."""
    some = np.concatenate([np.flatnonzero(~sites.partial), np.flatnonzero(sites.partial)[: sites.filled]])
    charges = np.ones(len(sites.atoms))  # lithium
    charges[some] = formal_charges(sites.atoms[some])
    return charges


def _random_filling(sites: Sites, random: np.random.Generator) -> np.ndarray:
    """Which sites (n,) bool are filled: at random, then lithium is moved until no two are too near."""
    choices = np.flatnonzero(sites.partial)
    filled = ~sites.partial
    filled[random.choice(choices, sites.filled, replace=False)] = True
    for _ in range(200 * len(choices)):
        crowd = (sites.conflicts @ filled).astype(float)  # filled neighbours that are too near
        crowded = np.flatnonzero(sites.partial & filled & (crowd > 0))
        if not len(crowded):
            return filled
        leaving = random.choice(crowded)
        empty = np.flatnonzero(sites.partial & ~filled)
        cost = crowd[empty] - sites.conflicts[empty, leaving]
        best = empty[cost <= cost.min() + (random.random() < 0.05)]
        filled[leaving] = False
        filled[random.choice(best)] = True
    raise UserError(
        f"{sites.filled} lithium on {len(choices)} sites: no arrangement found with that least distance; lower `closest`"
    )


def _improved(
    filled: np.ndarray, sites: Sites, charges: np.ndarray, matrix: np.ndarray, random: np.random.Generator, moves: int
) -> np.ndarray:
    """Filling after `moves` trial swaps of a filled and an empty site, kept when the electrostatic energy falls."""
    filled = filled.copy()
    potential = matrix @ (charges * filled)
    for _ in range(moves):
        old = random.choice(np.flatnonzero(sites.partial & filled))
        new = random.choice(np.flatnonzero(sites.partial & ~filled))
        if np.sum(sites.conflicts[new] & filled) - sites.conflicts[new, old]:
            continue
        # the charge of lithium is 1: moving it from old to new
        change = 2 * (potential[new] - potential[old]) + matrix[new, new] + matrix[old, old] - 2 * matrix[new, old]
        if change < 0:
            filled[old], filled[new] = False, True
            potential += matrix[:, new] - matrix[:, old]
    return filled
