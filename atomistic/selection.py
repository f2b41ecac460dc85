"""Which frames of a trajectory are worth a label: far from each other, and no atoms pressed together.

A frame is described by the mean over its atoms and by its least certain atom, so that frames of one large cell differ in what
matters. Atoms are described by smoothed histograms of the distances to their neighbours of each element (any function of a
frame that gives one row per atom may take their place). Frames are taken by farthest-point sampling, the least certain first.

Sources: Gonzalez, Theor. Comput. Sci. 38, 293 (1985) (farthest points); Behler and Parrinello, Phys. Rev. Lett. 98, 146401
(2007) (radial functions of neighbours).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

try:  # a hundred times faster for a short cutoff
    from matscipy.neighbours import neighbour_list
except ImportError:
    from ase.neighborlist import neighbor_list as neighbour_list

DescribeAtoms = Callable[[Atoms], np.ndarray]
"""Descriptors of the atoms of a frame: (n, d)."""
SPREADS = "forces_std"
"""Array of a frame: spread of the committee on each atom, eV/Å."""


@dataclass(frozen=True)
class Histogram:
    """Descriptor of atoms by distances: for each element Gaussians of width cutoff/bins, faded out towards the cutoff.

    Attributes:
        numbers: atomic numbers of the elements, in order. cutoff: Å. bins: Gaussians per element.
    """

    numbers: tuple[int, ...]
    cutoff: float = 5.0
    bins: int = 12

    def __call__(self, frame: Atoms) -> np.ndarray:
        """Descriptors (n, elements · (bins + 1)): own element (1 or 0), then what is around."""
        i, j, distances = neighbour_list("ijd", frame, self.cutoff)
        centers = np.linspace(0.3 * self.cutoff, self.cutoff, self.bins)
        fade = 0.5 * (1 + np.cos(np.pi * distances / self.cutoff))
        heights = fade[:, None] * np.exp(-0.5 * ((distances[:, None] - centers) / (self.cutoff / self.bins)) ** 2)
        place = {number: index for index, number in enumerate(self.numbers)}
        around = np.zeros((len(frame), len(self.numbers), self.bins))
        np.add.at(around, (i, [place[int(z)] for z in frame.numbers[j]]), heights)
        own = np.array([[z == number for number in self.numbers] for z in frame.numbers], dtype=float)
        return np.hstack([own, around.reshape(len(frame), -1)])


def histogram_of(frames: Sequence[Atoms], cutoff: float = 5.0, bins: int = 12) -> Histogram:
    """Histogram of the elements that the frames hold."""
    return Histogram(tuple(sorted({int(z) for frame in frames for z in frame.numbers})), cutoff, bins)


def frame_descriptors(frames: Sequence[Atoms], describe: DescribeAtoms) -> np.ndarray:
    """Descriptors (frames, 2 d): mean over the atoms and the atom of largest spread, each column in units of its own spread.

    Columns that are the same in all frames are left out.
    """
    rows = []
    for frame in frames:
        atoms = describe(frame)
        spreads = frame.arrays.get(SPREADS, np.zeros(len(frame)))
        rows.append(np.concatenate([atoms.mean(axis=0), atoms[int(np.argmax(spreads))]]))
    table = np.array(rows)
    deviations = table.std(axis=0)
    differ = deviations > 1e-9
    return np.asarray(table[:, differ] / deviations[differ])


def farthest_points(points: np.ndarray, count: int, first: int = 0, known: np.ndarray | None = None) -> list[int]:
    """Indices of `count` of the points (n, d), each the farthest from all taken before and from `known` (k, d).

    Args:
        points: candidates.
        count: how many; all of them where there are fewer. Points that coincide with one already taken are left out.
        first: taken first.
        known: points that count as taken.
    """
    if not len(points) or count < 1:
        return []
    chosen = [first]
    distances = np.linalg.norm(points - points[first], axis=1)
    for point in known if known is not None else ():
        distances = np.minimum(distances, np.linalg.norm(points - point, axis=1))
    distances[first] = 0.0
    while len(chosen) < min(count, len(points)):
        farthest = int(np.argmax(distances))
        if distances[farthest] <= 1e-9:
            break
        chosen.append(farthest)
        distances = np.minimum(distances, np.linalg.norm(points - points[farthest], axis=1))
    return chosen


def diverse(frames: Sequence[Atoms], count: int, describe: DescribeAtoms, known: Sequence[Atoms] = ()) -> list[int]:
    """Indices of at most `count` frames that differ from each other and from `known`, the least certain frame first."""
    if not frames:
        return []
    table = frame_descriptors([*frames, *known], describe)
    least_certain = int(np.argmax([frame.arrays[SPREADS].max() if SPREADS in frame.arrays else 0.0 for frame in frames]))
    return farthest_points(table[: len(frames)], count, least_certain, table[len(frames) :])


def pressed(frame: Atoms, closest: float) -> bool:
    """Whether two atoms, or an atom and an image, are nearer than `closest` (Å)."""
    return len(neighbour_list("d", frame, closest)) > 0


def random_sample(count: int, of: int, seed: int) -> list[int]:
    """Indices of `count` different things among `of` in ascending order, all of them where there are fewer."""
    return sorted(int(i) for i in np.random.default_rng(seed).permutation(of)[:count])
