"""Bulk crystals with stated coordinates, S/Cl disorder of Li6PS5Cl, and supercells.

The coordinates and their provenance are in `atomistic/data/structures.toml`; partly filled sites in `atomistic.disorder`.
"""

import difflib
import functools
import itertools
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import find_optimal_cell_shape, make_supercell
from ase.data import atomic_numbers
from ase.formula import Formula
from ase.io import iread
from ase.spacegroup import crystal

from coupling.errors import UserError

DATA = Path(__file__).parent / "data"
ALIASES = {
    "Li": "Li_bcc",
    "Li6PS5Cl": "Li6PS5Cl_24g",
    "LPSCl": "Li6PS5Cl_24g",
    "LLZO": "LLZO_tetragonal",
    "Li7La3Zr2O12": "LLZO_tetragonal",
    "Li3PS4": "beta_Li3PS4",
}
FRAMES = ("LLZO_cubic_frame",)  # prototypes that are no crystal on their own


@functools.cache
def prototypes() -> dict[str, dict[str, Any]]:
    """Every entry of structures.toml by name."""
    with (DATA / "structures.toml").open("rb") as stream:
        return tomllib.load(stream)


def names() -> list[str]:
    """Names that `bulk` accepts, short names (Li, Li6PS5Cl) included, sorted."""
    crystals = {key for key, entry in prototypes().items() if "occupancies" not in entry and key not in FRAMES}
    return sorted(crystals | set(ALIASES))


def unknown(kind: str, name: str, known: list[str]) -> UserError:
    """Error for a name that is not among `known`, with the nearest match."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return UserError(f"unknown {kind} {name!r}{hint} Known: {', '.join(known)}")


def bulk(name: str) -> Atoms:
    """Conventional cell of a crystal, as written in structures.toml (not relaxed with any potential).

    Returns:
        Periodic Atoms (lengths in Å); `info["name"]` and `info["source"]` tell where it comes from.

    Raises:
        UserError: the name is not known, or is that of a crystal with partly filled sites.
    """
    key = ALIASES.get(name, name)
    if "occupancies" in prototypes().get(key, {}):
        raise UserError(f'structure {name!r} has partly filled sites: build it with atomistic.disorder (kind = "disordered")')
    if name not in names():
        raise unknown("structure", name, names())
    plain = every_site(key)
    plain.info = {"name": name, "source": f"structures.toml [{key}]: {prototypes()[key]['source']}"}
    return plain


def composition(name: str) -> dict[str, int]:
    """Atoms of a formula unit by element: of a formula as it is written, of a name like LPSCl the smallest of its crystal.

    Raises:
        UserError: neither a formula of elements nor a name that `bulk` accepts.
    """
    try:
        count = dict(Formula(name).count())
    except Exception:  # ASE's parser raises its own
        count = {}
    if count and set(count) <= set(atomic_numbers) - {"X"}:
        return count
    if name not in names():
        raise UserError(f"{name!r} is neither a formula of chemical elements nor a known structure ({', '.join(names())})")
    return dict(bulk(name).symbols.formula.reduce()[0].count())


def synonym(name: str, others: Iterable[str]) -> str:
    """The one of the others that names the same crystal (Li6PS5Cl for LPSCl), else the name itself."""
    return next((other for other in others if ALIASES.get(other, other) == ALIASES.get(name, name)), name)


def every_site(key: str) -> Atoms:
    """All sites of an entry of structures.toml, each filled whatever its occupancy; tags number the independent sites."""
    entry = prototypes()[key]
    if "file" in entry:
        atoms = next(iread(DATA / entry["file"], format="extxyz"))
        return Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True)
    setting = {"setting": entry["setting"]} if "setting" in entry else {}
    atoms = crystal(entry["species"], entry["positions"], spacegroup=entry["space_group"], cellpar=entry["cell"], **setting)
    plain = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True)
    if "occupancies" in entry:
        plain.set_tags(atoms.arrays["spacegroup_kinds"])
    return plain


def argyrodite(disorder: float, repeat: tuple[int, int, int] = (1, 1, 1), seed: int = 0) -> Atoms:
    """Li6PS5Cl with a stated S/Cl disorder: the fraction of 4a sites (all Cl in the ordered crystal) that S occupies.

    As many Cl sit on 4d sites (free S in the ordered crystal), so the composition is kept. 0 is the ordered crystal,
    0.5 fully mixed (half S, half Cl on both kinds of site), 1 the inverse order. The number of exchanged pairs is
    rounded to the nearest whole number; `info["disorder"]` holds the fraction that was reached.

    Args:
        disorder: fraction between 0 and 1.
        repeat: repetitions of the cubic cell (4 formula units, 52 atoms) along each axis.
        seed: seed of the choice of sites; the same seed gives the same atoms.

    Raises:
        UserError: disorder is not between 0 and 1, or a repetition is below 1.
    """
    if not 0.0 <= disorder <= 1.0:
        raise UserError(f"disorder = {disorder!r}: read as the fraction of 4a sites occupied by S, it must lie in 0 … 1")
    if min(repeat) < 1:
        raise UserError(f"repeat = {repeat!r}: three whole numbers of at least 1 are needed")
    cell = bulk("Li6PS5Cl")
    # 4a and 4d sites are the ones whose fractional coordinates are multiples of 1/4: Cl on 4a, free S on 4d
    quarters = 4 * cell.get_scaled_positions()
    special = (np.abs(quarters - np.round(quarters)) < 1e-6).all(axis=1)
    cell.set_tags(np.where(cell.symbols == "Cl", 1, np.where(special & (cell.symbols == "S"), 2, 0)))
    atoms = cell.repeat(repeat)
    sites_4a, sites_4d = (np.flatnonzero(atoms.get_tags() == tag) for tag in (1, 2))
    exchanged = round(disorder * len(sites_4a))
    random = np.random.default_rng(seed)
    symbols = np.array(atoms.get_chemical_symbols())
    symbols[random.permutation(sites_4a)[:exchanged]] = "S"
    symbols[random.permutation(sites_4d)[:exchanged]] = "Cl"
    mixed = Atoms(list(symbols), positions=atoms.positions, cell=atoms.cell, pbc=True)
    mixed.info = dict(cell.info, disorder=exchanged / len(sites_4a), seed=seed)
    return mixed


def require_full_sites(atoms: Atoms, where: str | Path) -> Atoms:
    """The atoms of a file. Raises UserError where a site is partly filled or shared, which ASE takes for full."""
    stated = atoms.info.get("occupancy")
    sites = list(stated.values()) if isinstance(stated, dict) else []
    for site in sites:
        if len(site) > 1 or any(abs(float(part) - 1) > 1e-3 for part in site.values()):
            told = ", ".join(f"{element} {part}" for element, part in site.items())
            raise UserError(
                f"{where}: a site is partly filled or shared ({told}); fill its sites first, as `multiscale build` does for the "
                "disordered crystals that it knows and pymatgen's OrderDisorderedStructureTransformation for any"
            )
    return atoms


def primitive(atoms: Atoms) -> Atoms:
    """Smallest cell of the same crystal, in the same orientation: 96 instead of the 192 atoms of LLZO; tags are kept apart.

    A crystal without a smaller cell comes back as it is. Axes are those of spglib, so lengths and angles may look unusual.
    """
    import spglib

    kinds = atoms.numbers + 1000 * atoms.get_tags()
    cell = (atoms.cell.array, atoms.get_scaled_positions(), kinds)
    found = spglib.standardize_cell(cell, to_primitive=True, no_idealize=True, symprec=1e-3)
    if found is None or len(found[2]) >= len(atoms):
        return atoms.copy()
    axes, positions, kinds = (np.asarray(part) for part in found)
    return Atoms(kinds % 1000, scaled_positions=positions, cell=axes, pbc=True, tags=kinds // 1000, info=dict(atoms.info))


def supercell(atoms: Atoms, min_length_angstrom: float) -> Atoms:
    """Smallest repetition in which opposite faces of the cell are at least `min_length_angstrom` (Å) apart.

    Raises:
        UserError: the length is not positive.
    """
    if not min_length_angstrom > 0:
        raise UserError(f"minimum length = {min_length_angstrom!r} Å: a positive length is needed")
    heights = 1.0 / np.linalg.norm(atoms.cell.reciprocal(), axis=1)
    repeat = tuple(int(n) for n in np.maximum(1, np.ceil(min_length_angstrom / heights - 1e-9)))
    return atoms.repeat(repeat)


def supercell_near(atoms: Atoms, n_atoms: int) -> Atoms:
    """Supercell of about `n_atoms` atoms whose shape is as near to a cube as whole repetitions allow.

    Raises:
        UserError: fewer atoms are asked for than one.
    """
    if n_atoms < 1:
        raise UserError(f"supercell_near: n_atoms = {n_atoms!r}: at least one atom is needed")
    copies = max(1, round(n_atoms / len(atoms)))
    matrix = find_optimal_cell_shape(atoms.cell, copies, "sc")
    if np.linalg.det(matrix) < 0:
        matrix = matrix[[1, 0, 2]]
    return make_supercell(atoms, matrix)


def turned(atoms: Atoms, direction: tuple[int, int, int]) -> Atoms:
    """Right-angled cell of a cubic crystal that has a direction of it along z; along x lies the shortest across it.

    Args:
        atoms: cubic cell, Å. direction: whole numbers, in the axes of the crystal.

    Raises:
        UserError: a cell that is not cubic, or a direction of zeros.
    """
    if np.ptp(atoms.cell.lengths()) > 1e-4 or np.abs(atoms.cell.angles() - 90).max() > 1e-4:
        raise UserError(f"{atoms.get_chemical_formula()} is not cubic: only a cubic crystal is laid along a direction")
    if not any(direction):
        raise UserError(f"direction = {list(direction)}: a number that is not zero is needed")
    along = np.array(direction) // np.gcd.reduce(direction)
    reach = range(-int(np.abs(along).max()), int(np.abs(along).max()) + 1)
    across = min((one for one in itertools.product(reach, repeat=3) if any(one) and not np.dot(one, along)),
                 key=lambda one: (np.dot(one, one), *np.negative(one)))  # fmt: skip
    third = np.cross(along, across)
    rows = np.array([across, third // np.gcd.reduce(third), along])
    made = make_supercell(atoms, rows)
    made.set_cell(np.diag(np.linalg.norm(rows, axis=1) * atoms.cell.lengths()[0]), scale_atoms=True)
    return made


def density(atoms: Atoms) -> float:
    """Mass density in g/cm³ (1 u/Å³ = 1.66053907 g/cm³)."""
    return float(atoms.get_masses().sum() / atoms.get_volume() * 1.66053907)


def min_distance(atoms: Atoms) -> float:
    """Shortest distance in Å between two atoms, periodic images included."""
    from ase.neighborlist import neighbor_list

    cutoff = 1.0
    while not len(distances := neighbor_list("d", atoms, cutoff)):
        cutoff *= 1.5
    return float(distances.min())
