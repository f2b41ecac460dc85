"""What the frames of a reacting interface tell: layer, growth, balance, mobilities, order, surroundings, Onsager coefficients.

The thickness is measured without classes (`reacted_layer`: whole groups and metal, frame by frame) in up to SERIES frames spread
over the run, and as many of its first tenth, which has growth laws of its own: a reaction begins fast, and frames spread over the
whole pass its first stage over. Without phosphorus it is that of the classes.

Phases of the `classed` frames, spread over the run, are named by `phases.classify` against the crystals of the equation in
motion at the study's temperature; an atom of lithium is metal where it has many neighbours of its own kind and none of another
(whatever the order: a reaction may melt the metal, which no crystal stands for), and electrolyte whose groups are broken is
reduced electrolyte (`reacted_layer`), part of the interphase's composition. Classes fitted to every other frame tell how far
the amounts depend on the frames. What is used up is counted by whole groups and metal atoms, what is made by classes.
Displacements are read in the mean cell. A gap in the cell is told, and makes all records doubtful. Where electrolyte or metal is
used up (`exhaustion`) growth is read off what lies before, and what is told of a time after it is doubtful.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from atomistic import (
    creep,
    crystallinity,
    dynamics,
    exhaustion,
    growth,
    interphase,
    onsager_profile,
    phases,
    reacted_layer,
    reacted_slices,
    reaction_profiles,
    structures,
)
from coupling.errors import UserError
from coupling.record import Property

if TYPE_CHECKING:
    from atomistic.reaction_study import ReactionStudy

SERIES = 400
"""Most frames, spread over the run and over its first tenth, in which the thickness is measured."""
EARLY = 0.1
"""Share of a run, its beginning, that is looked at as closely as the whole."""
LOOKS = 40
"""Means of successive frames in which the order of the metal is looked at."""
LATE, LATE_FRAMES = 0.1, 50
"""Share of a run, its end, in which metal, interphase and electrolyte are looked at one by one, and most frames of it."""
STRAYED = 0.03
"""Relative distance of the mean temperature from the set one above which it is told."""
METAL = reacted_layer.METAL
RATTLE = 0.2
"""Displacement, Å, that the unreacted cell is rattled by before its atoms are named."""
SLICE, EMPTY = 5.0, 0.35
"""Height of a slice, Å, and its share of a slice's mean number of atoms below which it is a gap."""
Å, FS = 1e-10, 1e-15
Describe = Callable[[Atoms], np.ndarray]


@dataclass(frozen=True)
class Classed:
    """Frames whose atoms were named, the unreacted cell first.

    Attributes:
        frames, names: with the phase of every atom. times: s. classes: of all these frames. composition: of the last interphase.
        amounts: formula units by phase (frames,); halves: by classes fitted to every other frame.
    """

    frames: list[Atoms]
    names: list[np.ndarray]
    times: np.ndarray
    classes: phases.Classes
    composition: dict[str, float]
    amounts: dict[str, np.ndarray]
    halves: list[dict[str, np.ndarray]]


@dataclass(frozen=True)
class Measured:
    """Thickness of the interphase, the unreacted cell first.

    Attributes:
        times, thickness: s, Å (frames,). spread, early: numbers of the frames spread over the run, and over its first tenth.
        intact: share of whole groups (frames,), None where the electrolyte has no phosphorus. criterion: of the thickness.
        left: whole groups, else atoms of the electrolyte, and atoms of metal (frames,). grain: smallest change of thickness, Å.
    """

    times: np.ndarray
    thickness: np.ndarray
    spread: np.ndarray
    early: np.ndarray
    intact: np.ndarray | None
    left: dict[str, np.ndarray]
    criterion: str
    grain: float


def read_off(
    study: "ReactionStudy", built: Atoms, trajectory: dynamics.Trajectory, describe: Describe, crystals: Mapping[str, Atoms],
    source: Mapping[str, Any], tick: Callable[[float], None],
) -> dict[str, Any]:  # fmt: skip
    """Everything that the frames tell, JSON-ready: records, profiles, notes on what they do not bear.

    Args:
        study: its settings. built: the unreacted cell, which the run started from. trajectory: of the run.
        describe: descriptors of a frame. crystals: references of the phases (`phases.heated`). source: what every record names.
    """
    built = _laid(built, trajectory.cells[0])
    classed = _classed(study, built, trajectory, describe, crystals)
    tick(0.6)
    layer = _measured(study, built, trajectory, classed)
    tick(0.8)
    notes = [f"the run ended early, what is told is of the part before: {source['broken']}"] if "broken" in source else []
    held = float(trajectory.temperatures.mean())
    if abs(held / study.temperature - 1) > STRAYED:
        why = "the heat of reaction" if held > study.temperature else "too short to reach it"
        notes.append(f"the thermostat was set to {study.temperature:g} K, the run's mean is {held:.0f} K: {why}")
    material, where = f"{METAL}|{study.electrolyte}", {"temperature_K": held, "set_temperature_K": study.temperature}
    if structures.synonym(study.electrolyte, ("Li6PS5Cl",)) == "Li6PS5Cl":
        where |= {"disorder": 0.0}  # `start` builds the ordered crystal, whatever the disorder of a case
    if layer.intact is not None and layer.intact[0] < 1:
        notes.append(cut_groups(layer.intact[0], int((built.numbers == 15).sum())))
    if gone := exhaustion.used_up(layer.times, layer.left):
        notes.append(gone.told)
        source = {**source, "used_up": gone.told}
    laws, begin, records = _grown(layer, gone, material, where, source, notes)
    records += _balanced(study, classed, material, where, source, notes)
    records += _intact_records(layer, int((built.numbers == 15).sum()), material, where, source)
    unstrained = still(trajectory)
    records += _of_lithium(study, unstrained, layer.intact is not None, material, where, source, notes)
    order, ordered = _order(trajectory, _times(study, range(len(trajectory.positions)))[1:], material, where, source, notes)
    records += order
    records += _onsager(study, unstrained, material, where, source, notes)
    found, late, lacking = _late(study, trajectory, classed, layer.intact is not None, material, where, source)
    records, notes = exhaustion.marked(records + found, gone, float(layer.times[-1])), notes + lacking
    if opened := first_gap(classed.frames[1:], classed.times[1:]):
        notes.append(opened)
        records = [replace(record.with_source(low_confidence=opened), confidence="low") for record in records]
    profiles = reaction_profiles.profiles(classed.frames, classed.names, classed.times) | {
        "series": {"time_s": layer.times.tolist(), "thickness_m": (layer.thickness * Å).tolist(), "criterion": layer.criterion,
                   "intact_share": None if layer.intact is None else layer.intact.tolist()},
        "used_up": None if gone is None else {"phase": gone.phase, "time_s": gone.time},
        "composition_of_interphase": classed.composition, "metal": ordered, "late": late,
        "amounts": {name: values.tolist() for name, values in classed.amounts.items()},
        "laws": _weights(laws), "law_decided": None if laws is None else laws.decided,
        "laws_first_tenth": _weights(begin), "law_decided_first_tenth": None if begin is None else begin.decided,
        "classes": [{"element": e, "phase": n, "distance": d} for e, n, d in
                    zip(classed.classes.elements, classed.classes.names, classed.classes.distances, strict=True)],
    }  # fmt: skip
    return {"records": [record.to_dict() for record in records], "profiles": profiles, "notes": notes}


def cut_groups(share: float, groups: int) -> str:
    """That so many groups are not whole in the first frame."""
    cut = round((1 - share) * groups)
    return f"{cut} of {groups} groups of phosphorus are not whole in the unreacted cell (cut by its faces)"


def _grown(
    layer: Measured, gone: exhaustion.UsedUp | None, material: str, where: Mapping[str, Any], source: Mapping[str, Any],
    notes: list[str],
) -> tuple[growth.Growth | None, growth.Growth | None, list[Property]]:  # fmt: skip
    """Laws of growth of the whole and of its first tenth; thickness, constants of the laws and the late rate as records.

    Laws and rate are of the time before a reactant was used up. The unreacted cell is of no law: nobody looked while it was
    warmed.
    """
    times, thickness = layer.times[layer.spread[1:]], layer.thickness[layer.spread[1:]]
    kept, when = exhaustion.before(times, gone), "" if gone is None else gone.prefix
    laws, begin = _laws(times[kept], thickness[kept], when, notes), None
    end = borne(lambda: exhaustion.late_rate(times, thickness, gone), notes, when)
    records = interphase.records(thickness, times, laws, end, material, where, source, layer.criterion, layer.grain)
    if len(layer.early):
        early, thin = layer.times[layer.early[1:]], layer.thickness[layer.early[1:]]
        kept = exhaustion.before(early, gone)
        begin = _laws(early[kept], thin[kept], "in the first tenth of the run, ", notes)
    if begin is not None:
        told = {**where, "part_of_run": "first tenth"}
        records += interphase.growth_records(begin, material, told, {**source, "criterion": layer.criterion})
    return laws, begin, records


def _laws(times: np.ndarray, thickness: np.ndarray, when: str, notes: list[str]) -> growth.Growth | None:
    """Laws of growth, or None; `notes` tell why, and where they are undecided."""
    laws: growth.Growth | None = borne(lambda: growth.compare(times, thickness), notes, when)
    if laws is not None and not laws.decided:
        best = laws.fits[0].weight
        notes.append(f"{when}which law the growth follows is undecided (weight of the best {best:.2f}): a fit, no more")
    return laws


def _weights(laws: growth.Growth | None) -> list[dict[str, Any]]:
    """Every law with its weight, best first."""
    return [] if laws is None else [{"law": fit.law, "weight": fit.weight, "bic": fit.bic} for fit in laws.fits]


def _balanced(
    study: "ReactionStudy", classed: Classed, material: str, where: Mapping[str, Any], source: Mapping[str, Any], notes: list[str]
) -> list[Property]:
    """What was made or used up per electrolyte used up; the electrolyte itself, one by definition, has none."""
    equation = interphase.Reaction.read(study.reaction)
    rows = borne(lambda: interphase.balance(classed.amounts, equation, study.electrolyte, halves=classed.halves), notes) or []
    records = []
    for row in rows:
        if row.phase == study.electrolyte:
            continue
        notes += [row.beyond] if row.beyond else []
        told = {**where, "phase": row.phase, "equation": study.reaction, "expected": row.expected}
        own = {**source, "deviation": round(row.deviation, 4)}
        records.append(Property(material, "reaction_coefficient", row.found, "1", stderr=row.stderr, conditions=told, source=own,
                                confidence="low" if row.beyond else "computed"))  # fmt: skip
    return records


def _times(study: "ReactionStudy", numbers: Sequence[int]) -> np.ndarray:
    """Times of the unreacted cell and of frames by number, s."""
    return np.array([0.0, *(study.equilibration + (number + 1) * study.frame for number in numbers)])


def _frame(trajectory: dynamics.Trajectory, number: int) -> Atoms:
    return Atoms(trajectory.numbers, positions=trajectory.positions[number], cell=trajectory.cells[number], pbc=True)


def _classed(
    study: "ReactionStudy", built: Atoms, trajectory: dynamics.Trajectory, describe: Describe, crystals: Mapping[str, Atoms]
) -> Classed:
    """Phases of the atoms of `classed` frames; what is used up is counted without classes where there are groups."""
    picked = _over(len(trajectory.positions), study.classed)
    frames = [_rattled(built, study.seed), *(_frame(trajectory, number) for number in picked)]
    look, equation = phases.remembered(describe), interphase.Reaction.read(study.reaction)
    parts = [phases.classify(frames, crystals, look, fitted=part) for part in (None, *halves(len(frames)))]
    moved, groups = [built, *frames[1:]], reacted_layer.has_groups(built, study.electrolyte)
    electrolytes = {study.electrolyte} if groups else set()
    named = [[by_bonds(one, part.phases(number), electrolytes) for number, one in enumerate(moved)] for part in parts]
    layers = [interphase.layer(frames, names, METAL, study.electrolyte, equation) for names in named]
    amounts = [layer.amounts for layer in layers]
    if groups:
        found = reacted_layer.counts(moved, study.electrolyte)
        amounts = [{**one, study.electrolyte: found.units, METAL: found.metal} for one in amounts]
    return Classed(frames, named[0], _times(study, picked), parts[0], layers[0].composition, amounts[0], amounts[1:])


def _measured(study: "ReactionStudy", built: Atoms, trajectory: dynamics.Trajectory, classed: Classed) -> Measured:
    """The layer in many frames by groups and metal; without phosphorus in the classed ones by their classes."""
    count = len(trajectory.positions)
    if not reacted_layer.has_groups(built, study.electrolyte):
        equation = interphase.Reaction.read(study.reaction)
        layer = interphase.layer(classed.frames, classed.names, METAL, study.electrolyte, equation)
        return Measured(classed.times, layer.thickness, np.arange(len(classed.frames)), np.array([], dtype=int), None,
                        layer.left, interphase.CRITERION, 0.0)  # fmt: skip
    early = int(EARLY * count)
    over, begin = _over(count, SERIES), _over(early, SERIES) if early >= 2 * growth.FEWEST else []
    picked = sorted({*over, *begin})
    place = {number: index + 1 for index, number in enumerate(picked)}
    spread, first = (np.array([0, *(place[number] for number in part)]) if part else np.array([], int) for part in (over, begin))
    found = reacted_layer.counts([built, *(_frame(trajectory, number) for number in picked)], study.electrolyte)
    return Measured(_times(study, picked), found.thickness(found), spread, first, found.intact,
                    {study.electrolyte: found.whole, METAL: found.metal}, reacted_layer.CRITERION,
                    reacted_layer.grain(built, study.electrolyte))  # fmt: skip


def halves(count: int) -> tuple[list[int], list[int]]:
    """Numbers of every other frame, and of those between."""
    return list(range(0, count, 2)), list(range(1, count, 2))


def _over(count: int, most: int) -> list[int]:
    """Numbers of at most so many of `count` frames, evenly spread, the first and the last among them."""
    return sorted({round(place) for place in np.linspace(0, count - 1, most)})


def _laid(built: Atoms, cell: np.ndarray) -> Atoms:
    """The unreacted atoms in the cell of the run."""
    moved = built.copy()
    moved.set_cell(cell, scale_atoms=True)
    return Atoms(moved.numbers, positions=moved.positions, cell=moved.cell, pbc=True)


def _rattled(atoms: Atoms, seed: int) -> Atoms:
    """The same atoms, displaced as far as those of a crystal in motion are."""
    moved = atoms.copy()
    moved.positions += np.random.default_rng(seed).normal(0, RATTLE, moved.positions.shape)
    return moved


def still(trajectory: dynamics.Trajectory) -> dynamics.Trajectory:
    """The trajectory in its mean cell: the strain of the moving cell, which is no motion of atoms among each other, taken out."""
    mean = trajectory.cells.mean(axis=0)
    back = np.linalg.solve(trajectory.cells, np.broadcast_to(mean, trajectory.cells.shape))
    positions = np.einsum("fnk,fkl->fnl", trajectory.positions, back)
    return replace(trajectory, positions=positions, cells=np.broadcast_to(mean, trajectory.cells.shape))


def gap(frame: Atoms, axis: int = 2) -> str:
    """That a slice of the cell, wherever it begins, is nearly empty, in words; "" where none is."""
    height = float(frame.cell.volume / np.linalg.norm(np.cross(*np.delete(frame.cell.array, axis, axis=0))))
    depths = np.sort(frame.cell.scaled_positions(frame.positions)[:, axis] % 1.0)
    above = np.concatenate([depths, depths + 1.0])
    begins = np.arange(0.0, 1.0, 0.1 * SLICE / height)
    counts = np.searchsorted(above, begins + SLICE / height) - np.searchsorted(above, begins)
    share = float(counts.min() / (len(frame) * SLICE / height))
    if share > EMPTY:
        return ""
    return f"a slice of {SLICE:g} Å holds {share:.0%} of a slice's mean number of atoms: a gap has opened"


def first_gap(frames: Sequence[Atoms], times: np.ndarray, axis: int = 2) -> str:
    """When (s) a gap opens, in words; "" where none does."""
    for frame, time in zip(frames, times, strict=True):
        if told := gap(frame, axis):
            return f"{told} by {1e12 * time:.3g} ps; what is told of the time after it is of a cell with a gap"
    return ""


def by_bonds(frame: Atoms, names: np.ndarray, electrolytes: Collection[str]) -> np.ndarray:
    """Phases of the atoms (n,) by classes, corrected: lithium among its own kind is metal, electrolyte of broken groups reduced.

    Args:
        frame: as it moved. names: phase of each atom (n,). electrolytes: those with groups (`reacted_layer.has_groups`).
    """
    return np.where(crystallinity.metal(frame), METAL, reacted_layer.reduced(frame, names, electrolytes))


def _intact_records(
    layer: Measured, groups: int, material: str, where: Mapping[str, Any], source: Mapping[str, Any]
) -> list[Property]:
    """Share of intact PS4 (or P2S7) groups at the end of the run; none without phosphorus or of a short run."""
    if layer.intact is None:
        return []
    try:
        value, error, when = growth.late_mean(layer.times[layer.spread], layer.intact[layer.spread], grain=1 / groups)
    except UserError:
        return []
    told = {**source, "method": f"phosphorus with four sulfur atoms within {reacted_layer.BOND:g} Å, mean of the last quarter"}
    at = {**where, "time_s": when}
    return [Property(material, "intact_phosphorus_share", value, "1", stderr=error, conditions=at, source=told)]


def borne(compute: Callable[[], Any], notes: list[str], when: str = "") -> Any:
    """What `compute` gives; None, and the reason as a note that begins with `when`, where the run does not bear it."""
    try:
        return compute()
    except UserError as error:
        notes.append(f"{when}{error}")
        return None


def _of_lithium(
    study: "ReactionStudy", trajectory: dynamics.Trajectory, by_groups: bool, material: str, where: Mapping[str, Any],
    source: Mapping[str, Any], notes: list[str],
) -> list[Property]:  # fmt: skip
    """Mobility along each axis of the lithium in the reacted layer and of all.

    The first is of the second half of the run: atoms that lie in the layer at its end and at its middle.
    """
    moving, frames = np.flatnonzero(trajectory.numbers == 3), 2 * round(study.window / study.frame / 2)
    told = {**source, "window_s": study.window, "method": "displacements over a window and half of it"}
    half = len(trajectory.positions) // 2
    parts: list[tuple[np.ndarray, int, dict[str, str]]] = [(moving, 0, {})]
    if by_groups:
        there = [reacted_layer.in_the_layer(_frame(trajectory, number), study.electrolyte) for number in (half, -1)]
        parts.append((np.flatnonzero((trajectory.numbers == 3) & there[0] & there[1]), half, {"place": "reacted layer"}))
    records: list[Property] = []
    for chosen, begin, place in parts:
        found = borne(lambda chosen=chosen, begin=begin: creep.mobility(  # type: ignore[misc]
            trajectory.positions[begin:], chosen, study.frame / FS, frames), notes)  # fmt: skip
        records += [] if found is None else creep.mobility_records(found, "Li", material, {**where, **place}, told)
    return records


def _order(
    trajectory: dynamics.Trajectory, times: np.ndarray, material: str, where: Mapping[str, Any], source: Mapping[str, Any],
    notes: list[str],
) -> tuple[list[Property], dict[str, Any]]:  # fmt: skip
    """Shares of the metal's atoms in bcc, fcc, hcp lithium and in none, first and last block as records, all as a series."""
    frames = [_frame(trajectory, number) for number in range(len(times))]
    found = borne(lambda: crystallinity.series(frames, METAL, times, looks=LOOKS), notes)
    if found is None:
        return [], {}
    records = []
    for block in (0, -1):
        told = {**source, "method": "polyhedral template matching", "among": "metal", "atoms_looked_at": found.counts[block],
                "frames_averaged": found.window}  # fmt: skip
        at = {**where, "species": METAL, "time_s": float(found.times[block])}
        records += [
            Property(material, "crystal_share", float(share), "1", stderr=float(error), source=told,
                     conditions={**at, "structure": name, "part_of_run": "begin" if block == 0 else "end"})
            for name, share, error in zip(crystallinity.NAMES, found.shares[block], found.stderr[block], strict=True)
            if np.isfinite(share)
        ]  # fmt: skip
    series = {"time_s": found.times.tolist(), "metal_atoms": found.counts.tolist(), "structures": list(crystallinity.NAMES),
              "shares": np.nan_to_num(found.shares).round(4).tolist()}  # fmt: skip
    return records, series


def _late(
    study: "ReactionStudy", trajectory: dynamics.Trajectory, classed: Classed, by_groups: bool, material: str,
    where: Mapping[str, Any], source: Mapping[str, Any],
) -> tuple[list[Property], dict[str, Any], list[str]]:  # fmt: skip
    """Coordination numbers in the interphase at the end of the run, curves of its three slices, notes (`reacted_slices`)."""
    count = len(trajectory.positions)
    first = count - max(2, round(LATE * count))
    frames = [_frame(trajectory, first + number) for number in _over(count - first, LATE_FRAMES)]
    if by_groups:
        seen = reacted_slices.shares(frames[::10], study.electrolyte)
    else:
        last = slice(-max(1, len(classed.frames) // 5), None)
        seen = reacted_slices.shares(classed.frames[last], study.electrolyte, classed.names[last])
    crystals = [name for name in interphase.Reaction.read(study.reaction).numbers if name != study.electrolyte]
    at = {**where, "time_s": float(_times(study, [first, count - 1])[1:].mean())}
    return reacted_slices.read(frames, seen, crystals, material, at, source)


def _onsager(
    study: "ReactionStudy", trajectory: dynamics.Trajectory, material: str, where: Mapping[str, Any], source: Mapping[str, Any],
    notes: list[str],
) -> list[Property]:  # fmt: skip
    """L_ij in slabs and windows of time, about each slab's centre of mass."""
    labels = trajectory.final.get_chemical_symbols()
    found = borne(
        lambda: onsager_profile.profile(trajectory.positions, labels, trajectory.final.get_masses(), trajectory.cells[-1],
                                        study.frame / FS, where["temperature_K"], study.slabs, study.windows), notes,
    )  # fmt: skip
    records: list[Property] = []
    notes += [f"Onsager coefficients, {told}" for told in onsager_profile.notes(found or ())]
    for one in found or ():
        if one.matrix is not None:
            place = {"depths_m": [depth * Å for depth in one.depths], "times_s": [time * FS for time in one.times]}
            records += one.matrix.records(material, {**where, **place}, dict(source))
    return records
