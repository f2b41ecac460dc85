"""Three slices of a reacted cell - metal, interphase, electrolyte - and what their atoms look like in the last part of the run.

Each of SLICES slices along the normal is what most of its atoms in some late frames are: metal (a single slice of it, too; one
between two layers of atoms is what lies beside it), whole electrolyte (most of the slice and its neighbours: groups stand in
planes further apart than slices), or the rest, the interphase (`reacted_layer`; without phosphorus by the classes of the
atoms). Of each kind the longest unbroken stretch is taken, across the end of the periodic cell too, where it is THIN or thicker.
In it: g(r) of Li-S, Li-P, P-S and Li-Li and the powder pattern by the Debye sum up to half the width of the cell, so that no atom
is counted with its image: lines are wide, tens of degrees where the cell is narrow.

The coordination numbers S-Li and P-S of the interphase count neighbours in and beside the slice, up to the first minimum of g(r)
there (`shells`). Their error: correlation of the frames, or the scatter among the atoms where that is more (a glass does not
change within picoseconds, its atoms are the sample), and what the error of the minimum does. It knows nothing of another cell.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from atomistic import crystallinity, diffraction, reacted_layer, structures
from atomistic.correlated import mean_error
from atomistic.diffraction import Slice
from atomistic.shells import Pair, Shell, bins_of, shell
from atomistic.structure_reading import coarse, reference_lines, told
from coupling.errors import UserError
from coupling.record import Property

PAIRS: tuple[Pair, ...] = (("S", "Li"), ("P", "Li"), ("P", "S"), ("Li", "Li"))
COUNTED: tuple[Pair, ...] = (("S", "Li"), ("P", "S"))
"""Pairs whose g(r) is drawn, and those of the interphase that are recorded (centre, neighbour)."""
THIN = 6.0
"""Least height of a slice, Å."""
FARTHEST, SUM = 8.0, 15.0
"""Longest distance of g(r) and end of the Debye sum, Å; half the width of the cell is the other limit."""
LOOKS, POINTS = 5, 351
"""Frames that a pattern is a mean of, and its points."""
METAL, LAYER, ELECTROLYTE = "metal", "interphase", "electrolyte"
Å = 1e-10


def shares(frames: Sequence[Atoms], electrolyte: str, names: Sequence[np.ndarray] | None = None) -> np.ndarray:
    """Shares (2, SLICES) of metal among the atoms of a slice, and of whole electrolyte among those of it and of both beside it.

    Atoms of all frames are taken together. A slice without any has the metal of both beside it, too; nan where those are empty.

    Args:
        names: phase of every atom (n,), one array a frame, which decide in place of the groups of phosphorus.

    Raises:
        UserError: without names, an electrolyte without phosphorus, or what is neither a formula nor a structure.
    """
    told = [None] * len(frames) if names is None else names
    held = np.sum([_in_slices(frame, electrolyte, own) for frame, own in zip(frames, told, strict=True)], axis=0)
    (every, metal, _), (wide, around, groups) = held, held + np.roll(held, 1, axis=1) + np.roll(held, -1, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.array([np.where(every > 0, metal / every, around / wide), groups / wide])


def _in_slices(frame: Atoms, electrolyte: str, names: np.ndarray | None) -> np.ndarray:
    """Atoms in each slice: all, metal, whole electrolyte (3, SLICES)."""
    if names is None:
        metal = crystallinity.metal(frame)
        whole = reacted_layer.atoms_of_a_group(electrolyte) * reacted_layer.whole_groups(frame)
    else:
        metal, whole = (np.asarray(names == name, dtype=float) for name in (reacted_layer.METAL, electrolyte))
    count = reacted_layer.SLICES
    slices = np.minimum((frame.cell.scaled_positions(frame.positions)[:, 2] % 1 * count).astype(int), count - 1)
    return np.array([np.bincount(slices, weights, count) for weights in (np.ones(len(frame)), metal, whole)])


def stretches(mean: np.ndarray) -> dict[str, tuple[int, int]]:
    """First slice and number of slices of the longest stretch of each kind, of `shares`; the last is next to the first."""
    metal, whole = mean
    kinds = {METAL: metal > 0.5, ELECTROLYTE: (whole > 0.5) & ~(metal > 0.5), LAYER: (metal <= 0.5) & (whole <= 0.5)}
    found = {}
    for kind, there in kinds.items():
        begins = [(_length(np.roll(there, -first)), first) for first in range(len(there))]
        longest, first = max(begins, key=lambda one: (one[0], -one[1]))
        if longest:
            found[kind] = (first, longest)
    return {kind: found[kind] for kind in (METAL, LAYER, ELECTROLYTE) if kind in found}


def _length(there: np.ndarray) -> int:
    """How many slices from the first on are of a kind."""
    return len(there) if there.all() else int(np.argmin(there))


def read(
    frames: Sequence[Atoms], mean: np.ndarray, crystals: Sequence[str], material: str, where: Mapping[str, Any],
    source: Mapping[str, Any],
) -> tuple[list[Property], dict[str, Any], list[str]]:  # fmt: skip
    """Records of the interphase, curves of the slices (JSON-ready, by kind), and notes on what there is not.

    Args:
        frames: late ones, evenly spread, oldest first. mean: `shares` of late frames. crystals: names whose lines
            are marked (`structures.bulk`).
    """
    records: list[Property] = []
    curves: dict[str, Any] = {}
    notes = []
    thick, found = _height(frames[-1]) / reacted_layer.SLICES, stretches(mean)
    for kind in (METAL, LAYER, ELECTROLYTE):
        first, count = found.get(kind, (0, 0))
        if count * thick < THIN:
            notes.append(f"slices of the last frames: no {kind} of {THIN:g} Å")
            continue
        moved = [_turned(frame, first / reacted_layer.SLICES) for frame in frames]
        curves[kind], clear = _curves(moved, count)
        if kind == LAYER:
            made, why = _counted(moved, count, clear, material, where, source)
            records, notes = records + made, notes + why
        curves[kind] |= {"from_m": first * thick * Å, "height_m": count * thick * Å}
    lines = {name: reference_lines(structures.bulk(name)) for name in crystals} if curves else {}
    drawn = {name: {"two_theta_degrees": [line[0] for line in own], "intensity": [line[1] for line in own]}
             for name, own in lines.items()}  # fmt: skip
    return records, {"slices": curves, "lines": drawn}, notes


def _turned(frame: Atoms, begin: float) -> Atoms:
    """The frame with its origin at a share of the third cell vector: a slice that crosses the end of the cell is whole then."""
    moved = frame.copy()
    moved.positions -= begin * frame.cell.array[2]
    return moved


def _part(frame: Atoms, count: int) -> Slice:
    """The first `count` of SLICES slices of a frame."""
    return Slice(2, 0.0, count / reacted_layer.SLICES * _height(frame))


def _height(frame: Atoms) -> float:
    """Height of a cell along the normal, Å."""
    return float(1 / np.linalg.norm(frame.cell.reciprocal().array[2]))


def _width(frame: Atoms) -> float:
    """Half the smaller width of the cell in the plane, Å."""
    return float((1 / np.linalg.norm(frame.cell.reciprocal().array[:2], axis=1)).min() / 2)


def _curves(frames: Sequence[Atoms], count: int) -> tuple[dict[str, Any], dict[Pair, Shell | str]]:
    """Curves of g(r) of the pairs that a slice holds and of its pattern; the shell of each pair, or why there is none.

    The height of the cell follows the pressure: the slice of the shortest frame is taken in all.
    """
    part = min((_part(frame, count) for frame in frames), key=lambda one: one.high or 0.0)
    r_max, half = min(FARTHEST, _width(frames[0])), min(SUM, _width(frames[0]))
    fewest = {name: min(_held(frame, part, name) for frame in frames) for name in {name for pair in PAIRS for name in pair}}
    there = [pair for pair in PAIRS if fewest[pair[0]] and fewest[pair[1]] > (pair[0] == pair[1])]
    found = diffraction.distributions(frames, there, part, r_max, bins_of(r_max))
    clear: dict[Pair, Shell | str] = dict.fromkeys(PAIRS, "the slice does not hold both elements in every frame")
    for pair, radial in found.items():
        try:
            clear[pair] = shell(pair, radial, fewest[pair[0]], fewest[pair[1]])
        except UserError as error:
            clear[pair] = str(error)
    looks = np.linspace(0, len(frames) - 1, min(LOOKS, len(frames))).round().astype(int)
    pattern = diffraction.powder([frames[number] for number in looks], part, r_max=max(half, 2.5), points=POINTS)
    return {"g": {"-".join(pair): coarse(radial) for pair, radial in found.items()}, "pattern": told(pattern)}, clear


def _held(frame: Atoms, part: Slice, name: str) -> int:
    """Atoms of an element in a slice."""
    return int((part.holds(frame)[0] & (frame.symbols == name)).sum())


def _counted(
    frames: Sequence[Atoms], count: int, clear: Mapping[Pair, Shell | str], material: str, where: Mapping[str, Any],
    source: Mapping[str, Any],
) -> tuple[list[Property], list[str]]:  # fmt: skip
    """Coordination numbers of COUNTED in the interphase, and why one is missing."""
    records, notes = [], []
    for pair in COUNTED:
        one = clear[pair]
        if isinstance(one, str):
            notes.append(f"coordination {'-'.join(pair)} in the interphase: {one}")
            continue
        value, error, atoms = coordination(frames, [_part(frame, count) for frame in frames], one)
        method = "neighbours up to the first minimum of g(r), last tenth of the run; error: frames, or atoms, and the minimum"
        at = {**where, "pair": "-".join(pair), "place": LAYER}
        own = {**source, "method": method, "cutoff_A": round(one.cutoff, 3), "centres": atoms, "frames": len(frames)}
        records.append(Property(material, "coordination_number", value, "1", stderr=error, conditions=at, source=own))
    return records, notes


def coordination(frames: Sequence[Atoms], parts: Sequence[Slice], one: Shell) -> tuple[float, float, int]:
    """Mean number of neighbours of the centres in the slices, its standard error, and how many centres the last frame has.

    Error: of the correlated means of the frames, at least the scatter of the atoms' own means over the root of their number,
    and in squares by how much the mean moves where the cutoff moves by its error.
    """
    cutoffs = np.array([one.cutoff - one.cutoff_error, one.cutoff, one.cutoff + one.cutoff_error])
    numbers = np.array([_neighbours(frame, one.pair, cutoffs) for frame in frames])
    inside = np.array([part.holds(frame)[0] & (frame.symbols == one.pair[0]) for frame, part in zip(frames, parts, strict=True)])
    means = np.array([row[:, here].mean(axis=1) for row, here in zip(numbers, inside, strict=True)])
    often = inside.mean(axis=0) > 0.5
    own = numbers[:, 1][:, often].mean(axis=0)
    among = float(own.std(ddof=1) / len(own) ** 0.5) if len(own) > 1 else 0.0
    least = max(mean_error(means[:, 1]), among, 1 / inside[-1].sum() / 12**0.5)
    low, value, high = means.mean(axis=0)
    return float(value), float(np.hypot(least, (high - low) / 2)), int(inside[-1].sum())


def _neighbours(frame: Atoms, pair: Pair, cutoffs: np.ndarray) -> np.ndarray:
    """Neighbours of the second element nearer than each cutoff (k,) of every atom (k, n)."""
    from matscipy.neighbours import neighbour_list

    i, j, distances = neighbour_list("ijd", frame, float(cutoffs.max()))
    wanted = frame.symbols[j] == pair[1]
    return np.array([np.bincount(i[wanted & (distances < cutoff)], minlength=len(frame)) for cutoff in cutoffs])
