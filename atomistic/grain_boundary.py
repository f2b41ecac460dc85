"""Grain boundaries of cubic crystals by the coincidence-site lattice: tilt and twist, in a periodic cell with two of them.

Grain 2 is grain 1 turned by R about `axis`. In-plane vectors common to both lattices span the cell, so no grain is strained.
Sources: Ranganathan, Acta Cryst. 21, 197 (1966), for the angle of a sigma; Bollmann, Crystal Defects and Crystalline
Interfaces (Springer, 1970), for the coincidence-site lattice.
"""

import itertools
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from pymatgen.core.interface import GrainBoundaryGenerator
from scipy.spatial.transform import Rotation

from atomistic.structures import bulk
from coupling.errors import UserError

Index = tuple[int, int, int]
COVALENT = {("P", "S"): 2.4, ("C", "O"): 1.5, ("H", "O"): 1.2, ("O", "O"): 1.7}
"""Bonds (Å) that a cut avoids where it can: PS4, P2S7, CO3, OH and O2 groups."""


@dataclass(frozen=True)
class Coincidence:
    """Common cell of two grains: integer rows in the axes of each crystal, in-plane vectors first, normal last."""

    angle: float  # degrees
    first: np.ndarray
    second: np.ndarray
    symmetric: bool


def grain_boundary(
    crystal: str | Atoms,
    sigma: int,
    axis: Index,
    plane: Index,
    thickness: float = 12.0,
    shift: tuple[float, float] | None = None,
    closest: float = 0.65,
    gap: float = 0.0,
) -> Atoms:
    """Two grains of a cubic crystal in one periodic cell, hence two boundaries of the same kind, normal along z.

    Args:
        crystal: name in structures.toml, or a cubic conventional cell.
        sigma: odd, reciprocal density of coincidence sites.
        axis: rotation axis.
        plane: Miller indices of the boundary in grain 1; perpendicular to the axis for tilt, parallel for twist.
        thickness: least thickness of each grain, Å.
        shift: in-plane shift of grain 2 in fractions of the cell, None for the one that keeps atoms farthest apart.
        closest: pairs nearer than this fraction of their shortest distance in the crystal lose atoms; the composition is
            kept, so an atom too near takes a whole formula unit with it.
        gap: width, Å, by which the grains are moved apart at each boundary first, so that crystals with large formula units
            lose few of them.

    Returns:
        Atoms with tags 1 and 2 for the grains, info: sigma, axis, plane, angle (degrees), boundary (tilt, twist or mixed),
        symmetric, area (Å²), boundaries (2), shift, removed (atoms). Not relaxed.

    Raises:
        UserError: crystal not cubic, no rotation with that sigma about that axis, or a grain that vanished.
    """
    cell = bulk(crystal) if isinstance(crystal, str) else crystal
    lengths, angles = np.split(np.array(cell.cell.cellpar()), 2)
    if np.ptp(lengths) > 1e-4 or np.abs(angles - 90).max() > 1e-4:
        raise UserError(f"grain boundary: {cell.get_chemical_formula()} is not cubic; only cubic crystals are built")
    fit = coincidence(sigma, axis, plane)
    lower, upper = (_grain(cell, rows, thickness) for rows in (fit.first, fit.second))
    reference = _shortest(cell.repeat(2) if len(cell) < 60 else cell)
    if shift is None:
        steps = itertools.product(np.arange(4) / 4, repeat=2)
        shift = max(
            steps, key=lambda trial: round(_closeness(_joined(lower, upper, trial, gap), reference, 1.0)[1].min(initial=9.0), 6)
        )
    joined = _joined(lower, upper, shift, gap)
    kept = _without_overlap(joined, cell, closest, reference)
    turn = np.dot(plane, axis) / np.linalg.norm(plane) / np.linalg.norm(axis)
    kept.info = {
        "name": f"{cell.info.get('name', cell.get_chemical_formula())} sigma{sigma} {plane}{list(axis)}",
        "sigma": sigma,
        "axis": axis,
        "plane": plane,
        "angle": fit.angle,
        "boundary": "tilt" if abs(turn) < 1e-9 else "twist" if abs(turn) > 1 - 1e-9 else "mixed",
        "symmetric": fit.symmetric,
        "area": float(np.linalg.norm(np.cross(kept.cell[0], kept.cell[1]))),
        "boundaries": 2,
        "shift": tuple(float(x) for x in shift),
        "removed": len(joined) - len(kept),
    }
    return kept


def single_grain(crystal: str | Atoms, sigma: int, axis: Index, plane: Index, thickness: float = 12.0) -> Atoms:
    """The first grain of `grain_boundary` alone, periodic: the crystal in its orientation, to compare a boundary with."""
    cell = bulk(crystal) if isinstance(crystal, str) else crystal
    return _grain(cell, coincidence(sigma, axis, plane).first, thickness)


def coincidence(sigma: int, axis: Index, plane: Index) -> Coincidence:
    """Rotation and common cell for a sigma; of the angles with that sigma the one that makes the boundary symmetric."""
    if not any(axis) or not any(plane):
        raise UserError(f"grain boundary: axis {axis} and plane {plane} need an index that is not zero")
    try:
        angles = GrainBoundaryGenerator.get_rotation_angle_from_sigma(sigma, axis, lat_type="c")
    except (ValueError, RuntimeError) as error:
        raise UserError(f"grain boundary: no rotation about {axis} has sigma = {sigma}; try 3, 5 or 7") from error
    normal = _reduced(np.array(plane))
    options = []
    for angle in sorted(angles):
        turned = Rotation.from_rotvec(np.radians(angle) * np.array(axis) / np.linalg.norm(axis)).as_matrix()
        inverse = np.rint(turned.T * sigma * 2).astype(int)  # 2 sigma times the inverse rotation is whole
        other = _reduced(inverse @ normal)
        same = sorted(np.abs(other)) == sorted(np.abs(normal))
        options.append((not same, float(angle), inverse, other))
    asymmetric, angle, inverse, other = min(options, key=lambda option: option[:2])
    first, second = _in_plane(normal, inverse, sigma)
    return Coincidence(angle, np.vstack([first, normal]), np.vstack([second, other]), symmetric=not asymmetric)


def _in_plane(normal: np.ndarray, inverse: np.ndarray, sigma: int) -> tuple[np.ndarray, np.ndarray]:
    """Two whole vectors (rows) in the plane whose rotated images are whole too: smallest area, then most orthogonal."""
    bound = max(sigma, int(np.ceil(np.sqrt(sigma * normal @ normal))) + 1)
    grid = np.array(list(itertools.product(range(-bound, bound + 1), repeat=3)))
    grid = grid[(grid @ normal == 0) & (np.abs(grid).sum(axis=1) > 0)]
    images = grid @ inverse.T
    whole = (images % (2 * sigma) == 0).all(axis=1)
    grid, images = grid[whole], images[whole] // (2 * sigma)
    order = np.argsort((grid**2).sum(axis=1), kind="stable")[:60]
    best: tuple[float, float, int, int] | None = None
    for i, j in itertools.permutations(order, 2):
        turn = np.cross(grid[i], grid[j])
        if turn @ normal > 0:
            key = (float(np.linalg.norm(turn)), float(abs(grid[i] @ grid[j])), int(i), int(j))
            best = key if best is None or key[:2] < best[:2] else best
    if best is None:
        raise UserError(f"grain boundary: no common cell in the plane {tuple(int(x) for x in normal)}")
    pair = [best[2], best[3]]
    return grid[pair], images[pair]


def _grain(cell: Atoms, rows: np.ndarray, thickness: float) -> Atoms:
    """Crystal with the rows as its cell, at least `thickness` Å high, first row along x, normal along z."""
    height = float(np.linalg.norm(rows[2]) * cell.cell[0, 0])
    grain = make_supercell(cell, rows)
    frame = np.zeros((3, 3))
    edges = np.array(grain.cell)
    frame[0, 0] = np.linalg.norm(edges[0])
    frame[1, 0] = edges[0] @ edges[1] / frame[0, 0]
    frame[1, 1] = np.sqrt(edges[1] @ edges[1] - frame[1, 0] ** 2)
    frame[2, 2] = height
    grain.set_cell(frame, scale_atoms=True)
    grain = grain.repeat((1, 1, int(np.ceil(thickness / height - 1e-9))))
    grain.positions[:, 2] -= _cut(grain)
    scaled = grain.get_scaled_positions(wrap=False)
    grain.set_scaled_positions((scaled + 1e-7) % 1.0 - 1e-7)
    return grain


def _cut(grain: Atoms) -> float:
    """Height (Å) of a plane between atoms that breaks the fewest covalent bonds; 0 for a crystal without such bonds."""
    bonds = {pair: length for pair, length in COVALENT.items() if set(pair) <= set(grain.symbols)}
    first, vector = _neighbours("iD", grain, bonds) if bonds else (np.empty(0, int), np.empty((0, 3)))
    if not len(first):
        return 0.0
    height = grain.cell[2, 2]
    levels = np.unique(np.round(grain.positions[:, 2] % height, 4))
    planes = (levels + np.append(levels[1:], levels[0] + height)) / 2
    low = grain.positions[first, 2] + np.minimum(vector[:, 2], 0)
    broken = [np.sum((plane - low) % height < np.abs(vector[:, 2])) for plane in planes]
    return float(planes[int(np.argmin(broken))])


def _joined(below: Atoms, above: Atoms, shift: tuple[float, float], gap: float = 0.0) -> Atoms:
    """Grain 2 on grain 1 in one periodic cell, `gap` Å between them on both sides; tags tell them apart."""
    apart = np.array([0.0, 0.0, gap])
    lower, upper = below.copy(), above.copy()
    lower.set_tags(1)
    upper.set_tags(2)
    upper.positions += shift[0] * upper.cell[0] + shift[1] * upper.cell[1] + lower.cell[2] + apart
    joined = lower + upper
    joined.set_cell(np.vstack([lower.cell[:2], lower.cell[2] + upper.cell[2] + 2 * apart]))
    joined.wrap()
    return joined


def _shortest(cell: Atoms) -> dict[tuple[str, str], float]:
    """Shortest distance (Å) of every pair of elements in the crystal, up to 6 Å; 3 Å where there is none so near."""
    first, second, distance = _neighbours("ijd", cell, 6.0)
    symbols = np.array(cell.get_chemical_symbols())
    table = {}
    for a, b in itertools.product(sorted(set(symbols)), repeat=2):
        table[a, b] = float(distance[(symbols[first] == a) & (symbols[second] == b)].min(initial=6.0))
    return table


def _closeness(joined: Atoms, reference: dict[tuple[str, str], float], within: float) -> tuple[np.ndarray, np.ndarray]:
    """First atoms of the pairs across a boundary nearer than `within` times the shortest in the crystal; that ratio."""
    cutoff = {pair: within * length for pair, length in reference.items() if pair[0] <= pair[1]}
    first, second, distance = _neighbours("ijd", joined, cutoff)
    across = joined.get_tags()[first] != joined.get_tags()[second]
    first, second, distance = first[across], second[across], distance[across]
    symbols = joined.get_chemical_symbols()
    known = np.array([reference[symbols[i], symbols[j]] for i, j in zip(first, second, strict=True)])
    return first, distance / known if len(known) else distance


def _without_overlap(joined: Atoms, cell: Atoms, closest: float, reference: dict[tuple[str, str], float]) -> Atoms:
    """Boundary without pairs nearer than `closest`, of the composition of the crystal."""
    kept = joined.copy()
    unit = cell.symbols.formula.reduce()[0].count()
    while True:
        first, _ = _closeness(kept, reference, closest)
        if not len(first):
            return kept
        crowded = np.bincount(first, minlength=len(kept)).astype(float)
        # of equally crowded atoms the one of grain 2 goes
        lost = [int(np.argmax(crowded + 0.1 * (kept.get_tags() == 2) * (crowded > 0)))]
        symbols = np.array(kept.get_chemical_symbols())
        if len(unit) > 1:
            lost = _formula_unit(kept, lost[0], symbols, unit)
        del kept[lost]
        if len(set(kept.get_tags())) < 2:
            raise UserError("grain boundary: too few atoms are left of a grain; lower `closest` or choose another shift")


def _formula_unit(atoms: Atoms, centre: int, symbols: np.ndarray, unit: dict[str, int]) -> list[int]:
    """Indices of `centre` and of the nearest atoms that make a whole formula unit with it."""
    distance = atoms.get_distances(centre, np.arange(len(atoms)), mic=True)
    lost: list[int] = []
    for symbol, count in unit.items():
        own = np.flatnonzero(symbols == symbol)
        lost += [int(i) for i in own[np.argsort(distance[own], kind="stable")][:count]]
    return lost


def _neighbours(quantities: str, atoms: Atoms, cutoff: Any) -> Any:
    """Neighbour list in ASE's words; by matscipy, twelve times faster, where it is installed."""
    try:
        from matscipy.neighbours import neighbour_list
    except ImportError:
        from ase.neighborlist import neighbor_list as neighbour_list
    return neighbour_list(quantities, atoms, cutoff)


def _reduced(vector: np.ndarray) -> np.ndarray:
    """Whole vector divided by the greatest common divisor of its components."""
    return np.asarray(vector // gcd(*(int(x) for x in vector)))
