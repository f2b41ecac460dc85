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

from atomistic.walkers import moving_atoms
from coupling.errors import UserError


def cut_out(frames: Sequence[Atoms], low: float, high: float, moving: float, still: float, axis: int = 2) -> list[Atoms]:
    """The same atoms of every frame: those near the part in any of them; what stands still is under FixAtoms.

    An atom that comes near enough to move in one frame moves in all of them, unless it is held fixed in the frames already.

    Args:
        frames: of the same atoms, periodic along the axis. low, high: depths of the part along the normal of the cell, Å.
        moving, still: widths of the surroundings, Å. axis: number of the cell vector that depth runs along.

    Returns:
        Atoms in their cells, which then hold a gap, unless they are lower than part and surroundings.

    Raises:
        UserError: no atom in the part, or one that moves and lies beyond what stands still in another frame.
    """
    away = np.array([_distances(frame, low, high, axis) for frame in frames])
    nearest = away.min(axis=0)
    if not (nearest == 0).any():
        raise UserError(f"no atom between the depths {low:g} and {high:g} Å")
    near, moves = np.flatnonzero(nearest <= moving + still), np.flatnonzero(nearest <= moving)
    if (farthest := away[:, moves].max()) > moving + still:
        told = f"an atom that moves in one frame is {farthest:.1f} Å away in another, farther than what stands still"
        raise UserError(f"{told}: give one frame, or wider surroundings")
    return [_part(frame, near, np.intersect1d(moves, moving_atoms(frame))) for frame in frames]


def _part(frame: Atoms, near: np.ndarray, moves: np.ndarray) -> Atoms:
    """Atoms `near` of the frame, of which those not among `moves` are under FixAtoms."""
    part = frame[near]
    stands = np.flatnonzero(~np.isin(near, moves))
    part.set_constraint(FixAtoms(stands) if len(stands) else None)
    return part


def _distances(atoms: Atoms, low: float, high: float, axis: int) -> np.ndarray:
    """Distance of every atom from the part along the normal (n,), Å, over the nearer periodic image."""
    height = 1 / float(np.linalg.norm(atoms.cell.reciprocal().array[axis]))
    depths = (atoms.get_scaled_positions()[:, axis] % 1.0) * height
    return np.where((depths >= low) & (depths <= high), 0.0, np.minimum((low - depths) % height, (depths - high) % height))
