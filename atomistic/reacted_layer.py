"""Thickness of the interphase between lithium and an electrolyte with phosphorus, by two counts that need no reference crystal.

In every slice along the normal of the interface:

- metal: atoms of lithium with metal around them and hardly another element (`crystallinity.metal`: f > 1/2 of `clusters`). Not
  the sum of the smooth f: in Li2S and Li3P it is 0.01 to 0.05 an atom, 50 atoms of metal in an interphase of 1500;
- electrolyte: a phosphorus atom that still has the four sulfur neighbours of PS4 and P2S7 groups stands for the atoms of one
  phosphorus in the crystal's formula (13 in Li6PS5Cl, 7 in Li7P3S11);
- reacted: the rest.

    L = [ Σ_slices Δz φ (N - N_metal - m N_whole)/N ] / interfaces  -  the same of the unreacted cell

φ = min(1, N/N_mean) is how full a slice is: a gap, or a few atoms of vapour in it, is no layer (N_mean: of the slices that hold
at least half of the median). The slices begin at OFFSETS places within one of them, whose mean is taken: groups sit in planes.
The last term takes off what is no metal and no group at a contact that has not reacted (half an ångström to some: lithium that
touches sulfur). Each frame stands for itself: no class, no threshold of a profile, no other frame enters. An atom of lithium that
entered the electrolyte without breaking a group counts as reacted; a broken group does with all its formula's atoms.

Classes of environments call electrolyte what is nearest to it, broken groups and the lithium that broke them as well. Atom by
atom (`reduced`) "reduced" comes before the name where the phosphorus nearest to an atom, within REACH, lacks one of its four
sulfur atoms: whole groups keep the name, lithium around them, which may be more than the formula's, and atoms with no phosphorus
within REACH. Of whole Li7P3S11 in motion 1 % of the groups are broken at a time at 600 K (stretched bridges of P2S7). The
criterion is ours; that lithium breaks P-S bonds first: Cheng, Merinov, Morozov & Goddard, ACS Energy Lett. 2, 1454 (2017)
(memory).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from atomistic import crystallinity, structures
from coupling.errors import UserError

BOND = 2.6
"""Longest bond of phosphorus and sulfur in PS4 and P2S7 groups, Å."""
LIGANDS = 4
REACH = 6.0
"""Distance within which every atom of such an electrolyte has phosphorus, Å (the farthest in crystals: Cl of Li6PS5Cl, 4.9)."""
SLICES, OFFSETS = 20, 8
METAL = "Li"
CRITERION = ("phosphorus with four sulfur atoms within 2.6 Å stands for its formula's atoms, lithium among its own kind is "
             "metal, the rest has reacted; share of a slice over depth, less that of the unreacted cell")  # fmt: skip


@dataclass(frozen=True)
class Counts:
    """Counts of frames (f,).

    Attributes:
        reacted: Σ Δz (N - N_metal - m N_whole)/N over the slices, Å. metal: atoms of metal. whole: groups that are whole.
        groups: phosphorus atoms in the cell. in_formula: of them in a formula unit.
    """

    reacted: np.ndarray
    metal: np.ndarray
    whole: np.ndarray
    groups: int
    in_formula: int

    @property
    def units(self) -> np.ndarray:
        """Formula units of electrolyte that are whole (f,)."""
        return np.asarray(self.whole / self.in_formula)

    @property
    def intact(self) -> np.ndarray:
        """Share of the groups that are whole (f,)."""
        return np.asarray(self.whole / self.groups)

    def thickness(self, unreacted: "Counts", interfaces: int = 2) -> np.ndarray:
        """Thickness at an interface (f,), Å, against an unreacted cell (its first frame)."""
        return np.asarray((self.reacted - unreacted.reacted[0]) / interfaces)


def atoms_of_a_group(electrolyte: str) -> float:
    """Atoms of the formula per atom of phosphorus. Raises UserError as `_count`."""
    count = _count(electrolyte)
    return float(sum(count.values()) / count["P"])


def _count(electrolyte: str) -> dict[str, int]:
    """Atoms of the formula by element.

    Raises:
        UserError: neither a formula nor the name of a structure, or one without phosphorus.
    """
    count = structures.composition(electrolyte)
    if "P" not in count:
        raise UserError(f"interphase: {electrolyte} holds no phosphorus, by whose groups the electrolyte is told")
    return count


def counts(frames: Sequence[Atoms], electrolyte: str, axis: int = 2) -> Counts:
    """Counts of every frame.

    Args:
        frames: periodic along the axis. electrolyte: its formula or name (`structures`). axis: cell vector that depth runs along.

    Raises:
        UserError: no frame, an electrolyte without phosphorus or unknown, or no whole group in the first frame.
    """
    size = atoms_of_a_group(electrolyte)
    if not frames or not has_groups(frames[0], electrolyte):
        raise UserError("interphase: frames whose first has whole PS4 groups are needed, by which the electrolyte is told")
    rows = np.array([_of_frame(frame, size, axis) for frame in frames])
    return Counts(rows[:, 0], rows[:, 1], rows[:, 2], int((frames[0].numbers == 15).sum()), _count(electrolyte)["P"])


def has_groups(unreacted: Atoms, electrolyte: str) -> bool:
    """Whether an electrolyte can be told by its groups: phosphorus in its formula, and groups of it whole in the frame.

    Raises:
        UserError: neither a formula nor the name of a structure.
    """
    return "P" in structures.composition(electrolyte) and bool(whole_groups(unreacted).any())


def whole_groups(frame: Atoms) -> np.ndarray:
    """Which atoms are phosphorus with all its sulfur neighbours (n,)."""
    from matscipy.neighbours import neighbour_list

    i, j = neighbour_list("ij", frame, BOND)
    bonds = np.bincount(i[(frame.numbers[i] == 15) & (frame.numbers[j] == 16)], minlength=len(frame))
    return np.asarray(bonds >= LIGANDS)


def of_broken_groups(frame: Atoms) -> np.ndarray:
    """Which atoms belong to a group that is broken (n,): the phosphorus nearest to them, within REACH, lacks sulfur."""
    from matscipy.neighbours import neighbour_list

    i, j, away = neighbour_list("ijd", frame, REACH)
    near = (frame.numbers[j] == 15) & (frame.numbers[i] != 15)
    nearest_last = np.argsort(-away[near])
    group = np.arange(len(frame))
    group[i[near][nearest_last]] = j[near][nearest_last]  # of several the last one stays
    return np.asarray(((frame.numbers == 15) & ~whole_groups(frame))[group])


def reduced(frame: Atoms, names: np.ndarray, electrolytes: Collection[str]) -> np.ndarray:
    """Phases of the atoms (n,), "reduced X" in place of X where the group of an atom is broken (`of_broken_groups`).

    Args:
        frame: as it moved, not rattled atom by atom, which would break bonds. names: phase of each atom by classes (n,).
        electrolytes: phases with groups.
    """
    broken = np.isin(names, list(electrolytes)) & of_broken_groups(frame)
    return np.where(broken, np.char.add("reduced ", names), names)


def grain(frame: Atoms, electrolyte: str, axis: int = 2, interfaces: int = 2) -> float:
    """By how much one group changes the thickness at an interface, Å."""
    height = float(frame.get_volume() / np.linalg.norm(np.cross(*np.delete(frame.cell.array, axis, axis=0))))
    return height * atoms_of_a_group(electrolyte) / len(frame) / interfaces


def in_the_layer(frame: Atoms, electrolyte: str, axis: int = 2) -> np.ndarray:
    """Which atoms lie in slices that are matter and have reacted by more than half (n,)."""
    slices, reacted = _slices(frame, atoms_of_a_group(electrolyte), axis, crystallinity.metal(frame), whole_groups(frame))
    return np.asarray((reacted > 0.5)[slices])


def _slices(
    frame: Atoms, size: float, axis: int, metal: np.ndarray, whole: np.ndarray, offset: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Slice of every atom (n,), and the share of each slice's height that has reacted (SLICES,), below zero of dense groups.

    `offset`: where the first slice begins, in slices.
    """
    places = (frame.cell.scaled_positions(frame.positions)[:, axis] * SLICES + offset) % SLICES
    slices = np.minimum(places.astype(int), SLICES - 1)
    known, every = np.bincount(slices, metal + size * whole, SLICES), np.bincount(slices, minlength=SLICES)
    usual = every[every >= np.median(every) / 2].mean()
    return slices, np.minimum(1.0, every / usual) * (1 - known / np.maximum(every, 1))


def _of_frame(frame: Atoms, size: float, axis: int) -> tuple[float, float, float]:
    """Reacted height, metal atoms and whole groups."""
    height = float(frame.get_volume() / np.linalg.norm(np.cross(*np.delete(frame.cell.array, axis, axis=0))))
    metal, whole = crystallinity.metal(frame), whole_groups(frame)
    sums = [_slices(frame, size, axis, metal, whole, offset)[1].sum() for offset in np.arange(OFFSETS) / OFFSETS]
    return float(np.mean(sums)) * height / SLICES, float(metal.sum()), float(whole.sum())
