"""Coherent interfaces of any two crystals: matched cells, the strain of each side stated, the gap from hard spheres.

The match is the one of Zur & McGill, J. Appl. Phys. 55, 378 (1984), as in pymatgen's ZSLGenerator. Contact distances: covalent
radii (Cordero et al., Dalton Trans. 2832, 2008) and for two anions ionic radii (Shannon, Acta Cryst. A32, 751, 1976).
"""

import functools
import time
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from ase.data import covalent_radii
from pymatgen.analysis.interfaces.zsl import ZSLGenerator

from atomistic.slabs import surface
from coupling.errors import UserError

Index = tuple[int, int, int]
LOWER, UPPER = 0, 1  # tags of the two sides
SEARCH_SECONDS, AREA_RATIO = 60.0, 1.3
"""Longest search for a common cell; largest ratio of the areas of both cells before they are strained."""
ANION_RADIUS = {"O": 1.40, "S": 1.84, "F": 1.33, "Cl": 1.81, "N": 1.46}


@dataclass(frozen=True)
class Fit:
    """Whole 2 x 2 repetitions (rows) of both surface cells and the principal strains that make them equal on the upper."""

    lower: np.ndarray
    upper: np.ndarray
    area: float
    strain: float


def heterostructure(
    lower: str | Atoms,
    upper: str | Atoms,
    lower_face: Index = (1, 0, 0),
    upper_face: Index = (1, 0, 0),
    thickness: tuple[float, float] = (9.0, 9.0),
    max_area: float = 200.0,
    max_strain: float = 0.05,
    upper_share: float = 1.0,
    vacuum: float = 0.0,
) -> Atoms:
    """Two slabs in one periodic cell with a common lattice in the plane.

    Args:
        lower: crystal below, a name in structures.toml or a conventional cell.
        upper: crystal above.
        lower_face: Miller indices of the face of `lower`.
        upper_face: of `upper`.
        thickness: least thickness of each, Å.
        max_area: largest area of the cell, Å².
        max_strain: largest principal strain of the mismatch.
        upper_share: part of the mismatch that the upper crystal carries, 0 … 1; the lower carries the rest.
        vacuum: empty space above, Å; 0 gives a second interface there.

    Returns:
        Atoms with tags LOWER and UPPER; info: name, area (Å²), strain_lower and strain_upper (principal, two each),
        gap (Å between outermost planes, at hard-sphere contact), interfaces (1 or 2), polar (of each side).

    Raises:
        UserError: no match within the limits, a search beyond SEARCH_SECONDS, or a share outside 0 … 1.
    """
    if not 0.0 <= upper_share <= 1.0:
        raise UserError(f"interface: upper_share = {upper_share!r}; a part between 0 and 1 is needed")
    below = surface(lower, lower_face, thickness[0], 10.0)
    above = surface(upper, upper_face, thickness[1], 10.0)
    fit = match(below, above, max_area, max_strain)
    blocks = [_block(slab, rows) for slab, rows in ((below, fit.lower), (above, fit.upper))]
    planes = [np.array(block.cell)[:2, :2] for block in blocks]
    common = (1 - upper_share) * planes[1] + upper_share * planes[0]
    for block, tag in zip(blocks, (LOWER, UPPER), strict=True):
        edges = np.array(block.cell)
        edges[:2, :2] = common
        block.set_cell(edges, scale_atoms=True)
        block.set_tags(tag)
    joined, gap = _stacked(blocks[0], blocks[1], vacuum)
    joined.info = {
        "name": f"{below.info['name']}|{above.info['name']}",
        "area": float(abs(np.linalg.det(common))),
        "strain_lower": _strains(planes[0], common),
        "strain_upper": _strains(planes[1], common),
        "gap": gap,
        "interfaces": 1 if vacuum > 0 else 2,
        "polar": (below.info["polar"], above.info["polar"]),
    }
    return joined


def parts(joined: Atoms, vacuum: float) -> tuple[Atoms, Atoms]:
    """The lower and the upper side of an interface alone, same cell in the plane, with `vacuum` Å of empty space each."""
    pieces = []
    for tag in (LOWER, UPPER):
        piece = joined[joined.get_tags() == tag]
        piece.positions[:, 2] -= piece.positions[:, 2].min()
        edges = np.array(piece.cell)
        edges[2] = [0.0, 0.0, piece.positions[:, 2].max() + vacuum]
        piece.set_cell(edges)
        pieces.append(piece)
    return pieces[0], pieces[1]


def match(below: Atoms, above: Atoms, max_area: float, max_strain: float) -> Fit:
    """Smallest common cell of two slabs within the limits; among equally small ones the least strained.

    The search begins with small areas and ends with the first that holds a match.

    Raises:
        UserError: no match, or none found in SEARCH_SECONDS.
    """
    smallest = max(float(abs(np.linalg.det(np.array(slab.cell)[:2, :2]))) for slab in (below, above))
    until, level, least = time.monotonic() + SEARCH_SECONDS, 2 * smallest, np.inf
    while True:
        level = min(level, max_area)
        best, strain = _best(below, above, min(AREA_RATIO * level, max_area), max_strain, until, max_area)
        least = min(least, strain)
        if best is not None and (best.area <= level or level == max_area):
            return best
        if level == max_area:
            break
        level *= 2
    near = f"least strain {least:.1%}" if np.isfinite(least) else "none found"
    if max_area < smallest:
        near += f"; the surface cells alone take {smallest:.0f} Å²"
    raise UserError(f"no common cell within max_area = {max_area} Å² and max_strain = {max_strain:.1%} ({near}): raise one")


def _best(
    below: Atoms, above: Atoms, area: float, max_strain: float, until: float, max_area: float
) -> tuple[Fit | None, float]:
    """Best match with both areas up to `area`, and the least strain of any. Raises UserError: not done at the time `until`."""
    generator = ZSLGenerator(max_area=area, max_area_ratio_tol=AREA_RATIO - 1, max_length_tol=0.2, max_angle_tol=0.1)
    vectors = [np.array(slab.cell)[:2] for slab in (above, below)]
    best, least = None, np.inf
    for found in generator(*vectors):
        film, base = np.array(found.film_sl_vectors)[:, :2], np.array(found.substrate_sl_vectors)[:, :2]
        if time.monotonic() > until:
            told = f"no common cell found in {SEARCH_SECONDS:g} s among areas up to max_area = {max_area:g} Å²"
            raise UserError(f"{told} (least strain so far {least:.1%}): lower max_area, raise max_strain or take other faces")
        if np.linalg.det(film) * np.linalg.det(base) < 0:  # would need a mirrored crystal
            continue
        rows = [np.rint(sl @ np.linalg.inv(v[:, :2])).astype(int) for sl, v in ((base, vectors[1]), (film, vectors[0]))]
        strain = max(abs(s) for s in _strains(_flat(film), _flat(base)))
        least = min(least, strain)
        own = float(abs(np.linalg.det(base)))
        if strain <= max_strain and (best is None or (round(own, 3), strain) < (round(best.area, 3), best.strain)):
            best = Fit(rows[0], rows[1], own, strain)
    return best, least


@functools.cache
def contact(first: str, second: str) -> float:
    """Distance (Å) at which two atoms touch as hard spheres."""
    if first in ANION_RADIUS and second in ANION_RADIUS:
        return ANION_RADIUS[first] + ANION_RADIUS[second]
    one, other = Atoms([first, second]).numbers
    return float(covalent_radii[one] + covalent_radii[other])


def _flat(vectors: np.ndarray) -> np.ndarray:
    """The same two vectors (rows) turned so that the first lies along x, right-handed."""
    first, second = vectors
    length = np.linalg.norm(first)
    height = abs(np.linalg.det(vectors)) / length
    return np.array([[length, 0.0], [first @ second / length, height]])


def _strains(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Principal strains that turn one pair of rows into the other."""
    stretches = np.linalg.svd(np.linalg.inv(before) @ after, compute_uv=False)
    return float(stretches[0] - 1), float(stretches[1] - 1)


def _block(slab: Atoms, rows: np.ndarray) -> Atoms:
    """Slab with the rows as its surface cell, first edge along x, bottom plane at z = 0."""
    matrix = np.eye(3, dtype=int)
    matrix[:2, :2] = rows
    if np.linalg.det(matrix) < 0:
        matrix[2, 2] = 1
        matrix[[0, 1]] = matrix[[1, 0]]
    block = make_supercell(slab, matrix)
    edges = np.array(block.cell)
    turned = np.zeros((3, 3))
    turned[:2, :2] = _flat(edges[:2, :2])
    turned[2, 2] = edges[2, 2]
    block.set_cell(turned, scale_atoms=True)
    block.positions[:, 2] -= block.positions[:, 2].min()
    return block


def _rise(base: Atoms, top: Atoms) -> float:
    """Height (Å) to lift `top` by so that its lowest atoms just touch the highest of `base`."""
    edges = np.array(base.cell)[:2, :2]
    high = np.flatnonzero(base.positions[:, 2] > base.positions[:, 2].max() - 4.0)
    low = np.flatnonzero(top.positions[:, 2] < top.positions[:, 2].min() + 4.0)
    across = top.positions[low][:, None, :2] - base.positions[high][None, :, :2]
    scaled = across @ np.linalg.inv(edges)
    nearest = scaled - np.round(scaled)
    images = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)])
    lateral = np.linalg.norm((nearest[:, :, None, :] + images) @ edges, axis=-1).min(axis=-1)
    lower, upper = (np.array(side.get_chemical_symbols()) for side in (base, top))
    touch = np.array([[contact(one, other) for other in lower[high]] for one in upper[low]])
    drop = np.sqrt(np.maximum(touch**2 - lateral**2, 0.0))
    lift = base.positions[high][None, :, 2] + drop - top.positions[low][:, None, 2]
    return float(lift[lateral < touch].max(initial=base.positions[:, 2].max() - top.positions[:, 2].min() + 1.0))


def _stacked(below: Atoms, above: Atoms, vacuum: float) -> tuple[Atoms, float]:
    """Both blocks at the in-plane shift (of 36) in which they come closest; the gap between their planes, Å."""
    shifts = [(i / 6, j / 6) for i in range(6) for j in range(6)]
    placed = []
    for u, v in shifts:
        moved = above.copy()
        moved.positions += u * moved.cell[0] + v * moved.cell[1]
        placed.append((round(_rise(below, moved), 6), u, v))
    rise, u, v = min(placed)
    above = above.copy()
    above.positions += u * above.cell[0] + v * above.cell[1]
    above.positions[:, 2] += rise
    edges = np.array(below.cell)
    top = above.positions[:, 2].max()
    edges[2] = [0, 0, top + vacuum] if vacuum > 0 else [0, 0, _rise(above, below)]
    joined = below + above
    joined.set_cell(edges)
    joined.positions[:, 2] += 0.0 if vacuum > 0 else 1e-6
    joined.wrap()
    return joined, float(above.positions[:, 2].min() - below.positions[:, 2].max())
