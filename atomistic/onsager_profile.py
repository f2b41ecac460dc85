"""Onsager coefficients against depth and time, L_ij(z, t), for a cell that is not the same everywhere.

The cell is cut into slabs along one cell vector and the run into windows of time. In every window an atom belongs to the slab in
which its mean position lies; the displacements of a slab's atoms give its matrix (`onsager.einstein`) with the volume of the
slab, in the frame of the slab's own centre of mass or of its framework species. What is missed: correlations across slabs, and
atoms that cross a border within a window, which count where they were on average: slabs should be thicker than √(2 D window).
A species with fewer than FEWEST atoms in a slab is left out there. Windows too short for diffusion give bounds, and no mixed
coefficients; of two species alone in a slab the mixed one is set by the frame and left out, too (`notes`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from atomistic.onsager import Onsager, einstein
from coupling.errors import UserError

FEWEST = 3
"""Fewest atoms of a species in a slab."""


@dataclass(frozen=True)
class Local:
    """Matrix of one slab in one window: depths of its faces (Å), times of its ends (fs), the matrix (None: too few atoms)."""

    depths: tuple[float, float]
    times: tuple[float, float]
    matrix: Onsager | None


def profile(
    positions: np.ndarray, labels: Sequence[str], masses: np.ndarray, cell: np.ndarray, frame_interval: float,
    temperature: float, slabs: int, windows: int = 1, axis: int = 2, framework: Sequence[str] = (),
) -> list[Local]:  # fmt: skip
    """Matrices of all slabs in all windows, window by window.

    Args:
        positions: unwrapped (frames, n, 3), Å. labels: species of every atom. masses: (n,). cell: (3, 3), Å.
        frame_interval: fs. temperature: K. slabs, windows: numbers. axis: cell vector that depth runs along.
        framework: species at rest in every slab that holds them; none: the slab's centre of mass.

    Raises:
        UserError: no slab or window, a cell without volume, or windows too short for a fit.
    """
    if slabs < 1 or windows < 1:
        raise UserError(f"onsager profile: {slabs} slabs and {windows} windows; at least one of each is needed")
    volume = abs(float(np.linalg.det(cell)))
    if not volume > 0 or not np.isfinite(positions).all():
        raise UserError("onsager profile: finite positions and a three-dimensional cell are needed")
    height = volume / float(np.linalg.norm(np.cross(*np.delete(cell, axis, axis=0))))
    names, total = np.array(labels), np.asarray(masses, dtype=float)
    drift = np.einsum("fnx,n->fx", positions - positions[:1], total / total.sum())
    tracks = positions - drift[:, None]
    found = []
    for frames in np.array_split(np.arange(len(tracks)), windows):
        part = tracks[frames]
        depth = (part.mean(axis=0) @ np.linalg.inv(cell))[:, axis] % 1.0
        slab = np.minimum((depth * slabs).astype(int), slabs - 1)
        ends = (float(frames[0] * frame_interval), float((frames[-1] + 1) * frame_interval))
        for number in range(slabs):
            inside = np.flatnonzero(slab == number)
            kept = [name for name in sorted(set(names[inside])) if np.sum(names[inside] == name) >= FEWEST]
            chosen = inside[np.isin(names[inside], kept)]
            rest = tuple(name for name in framework if name in kept)
            faces = (number * height / slabs, (number + 1) * height / slabs)
            enough = len(kept) > 1 and (bool(rest) or not framework)  # one species alone is its own frame
            matrix = None
            if enough:
                matrix = einstein(part[:, chosen], list(names[chosen]), total[chosen], frame_interval, temperature,
                                  volume / slabs, framework=rest)  # fmt: skip
            found.append(Local(faces, ends, matrix))
    return found


def notes(found: Sequence[Local]) -> list[str]:
    """What is left out or a bound, once each with the number of slabs and windows it is true of."""
    counts: dict[str, int] = {}
    for one in found:
        for note in one.matrix.notes if one.matrix is not None else ():
            pair, _, told = note.partition(": ")
            kind = re.sub(r"t\^[-\d.]+", "t^x", told)
            counts[f"{pair}: {kind}"] = counts.get(f"{pair}: {kind}", 0) + 1
    total = sum(one.matrix is not None for one in found)
    return [f"{note} (in {number} of {total} slabs and windows)" for note, number in counts.items()]
