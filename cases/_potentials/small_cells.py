"""Makes the small Li | Li6PS5Cl cells of li-lpscl-cp2k.toml: `python small_cells.py` writes them beside itself.

One layer of Li6PS5Cl parallel to (111) in its primitive cell (13 atoms, ordered) and layers of bcc lithium whose cell in the
plane is the best match of whole-number combinations of the lithium face's vectors. In a cell this small the mismatch is up to
22 %: the lithium carries it at constant volume, so it is lithium of the right density rather than a crystal, and melts in the
runs. Two interfaces a cell.
"""

import itertools
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bcc100, bcc110, bcc111, make_supercell
from ase.io import write

from atomistic.structures import bulk, min_distance

GAP = 2.4  # Å between the outermost planes, about a Li-S distance in Li2S
FACES = {"100": (bcc100, 3), "110": (bcc110, 3), "111": (bcc111, 6)}  # builder, layers


def lpscl_layer() -> Atoms:
    """13 atoms of Li6PS5Cl with a and b in (111)."""
    cubic = bulk("Li6PS5Cl")
    rows = 0.5 * np.array([[1, -1, 0], [0, 1, -1], [1, 1, 0]]) @ cubic.cell.array
    inside = Atoms(cubic.symbols, positions=cubic.positions, cell=rows, pbc=True)
    inside.wrap(eps=1e-6)
    kept: list[int] = []
    for index in range(len(cubic)):
        if all(inside.get_distance(index, other, mic=True) > 0.1 for other in kept):
            kept.append(index)
    layer = inside[kept]
    layer.rotate(layer.cell[0], "x", rotate_cell=True)
    layer.rotate(np.cross(layer.cell[0], layer.cell[1]), "z", rotate_cell=True)
    return layer


def strains(matrix: np.ndarray, own: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Principal stretches that bring the cell matrix @ own (2, 2) to `wanted` (2, 2), minus 1."""
    return np.linalg.svd(np.linalg.inv(matrix @ own) @ wanted, compute_uv=False) - 1


def joined(face: str) -> tuple[Atoms, np.ndarray]:
    """Interface with a lithium face, and the principal strains of the lithium."""
    below = lpscl_layer()
    builder, layers = FACES[face]
    slab = builder("Li", (1, 1, layers), a=3.5092, periodic=True)
    wanted, own = below.cell.array[:2, :2], slab.cell.array[:2, :2]
    values = range(-3, 4)
    matrices = [np.array(m).reshape(2, 2) for m in itertools.product(values, repeat=4)]
    best = min((m for m in matrices if np.linalg.det(m) > 0.5), key=lambda m: np.abs(strains(m, own, wanted)).max())
    whole = np.eye(3, dtype=int)
    whole[:2, :2] = best
    above = make_supercell(slab, whole)
    cell = above.cell.array.copy()
    cell[:2] = below.cell.array[:2]
    cell[2, 2] *= above.get_volume() / abs(np.linalg.det(cell))
    above.set_cell(cell, scale_atoms=True)
    # the planes of the layer that leave its largest gap at the boundary
    heights = np.sort(below.get_scaled_positions()[:, 2])
    cut = heights[np.argmax(np.diff([*heights, heights[0] + 1]))]
    below.set_scaled_positions((below.get_scaled_positions() - [0, 0, cut + 1e-6]) % 1.0)
    below.positions[:, 2] -= below.positions[:, 2].min()
    above.positions[:, 2] += below.positions[:, 2].max() + GAP - above.positions[:, 2].min()
    both = below + above
    cell = below.cell.array.copy()
    cell[2] = [0, 0, above.positions[:, 2].max() + GAP]
    both.set_cell(cell)
    both.wrap()
    return both, strains(best, own, wanted)


if __name__ == "__main__":
    for face in FACES:
        atoms, strain = joined(face)
        print(face, len(atoms), atoms.get_chemical_formula(), atoms.cell.cellpar().round(2), strain.round(3), min_distance(atoms))
        write(Path(__file__).parent / f"li-{face}-lpscl.extxyz", atoms, format="extxyz")
