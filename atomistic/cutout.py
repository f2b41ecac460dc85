"""A part of a cell between two depths, with surroundings that move, others that stand still, and nothing beyond.

What happens in a small part of a large cell hardly asks for the atoms far away. Those within `moving` of the part move with it,
those within `still` beyond hold them in place, the others are left out. A force on an atom asks for the atoms within the cutoff
of a pair potential, within four times that of a MACE potential of two layers (20 Å). Atoms farther than that from the cut feel
what they feel in the whole cell, the others a surface far from the part.
"""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms

from coupling.errors import UserError


def cut_out(frames: Sequence[Atoms], low: float, high: float, moving: float, still: float, axis: int = 2) -> list[Atoms]:
    """The same atoms of every frame: those near the part in the first one; what stands still is under FixAtoms.

    Args:
        frames: of the same atoms, periodic along the axis. low, high: depths of the part along the normal of the cell, Å.
        moving, still: widths of the surroundings, Å. axis: number of the cell vector that depth runs along.

    Returns:
        Atoms in their cells, which then hold a gap, unless they are lower than part and surroundings.

    Raises:
        UserError: no atom in the part.
    """
    away = _distances(frames[0], low, high, axis)
    if not (away == 0).any():
        raise UserError(f"no atom between the depths {low:g} and {high:g} Å")
    near = np.flatnonzero(away <= moving + still)
    stands = np.flatnonzero(away[near] > moving)
    parts = [frame[near] for frame in frames]
    for part in parts:
        part.set_constraint(FixAtoms(stands) if len(stands) else None)
    return parts


def _distances(atoms: Atoms, low: float, high: float, axis: int) -> np.ndarray:
    """Distance of every atom from the part along the normal (n,), Å, over the nearer periodic image."""
    height = 1 / float(np.linalg.norm(atoms.cell.reciprocal().array[axis]))
    depths = (atoms.get_scaled_positions()[:, axis] % 1.0) * height
    return np.where((depths >= low) & (depths <= high), 0.0, np.minimum((low - depths) % height, (depths - high) % height))
