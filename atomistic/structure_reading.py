"""Structure of the diffusion runs of a study, read off the frames that they keep: shells of neighbours and powder lines.

Shells and their errors: `shells`, within half the cell. Runs that differ in their seed tell what no run can of itself, a disorder
that stays as it was built: their scatter widens the errors.

The powder pattern (`diffraction`) counts periodic images beyond half the cell, since the order of a crystal goes on; where atoms
left their sites (FRAMEWORK) half the cell is its end. A line is named after the one of the crystal, laid into the cell of the
run, that it stands at.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from atomistic import diffraction
from atomistic.answers import Answered, conditions_of, weighted, widening
from atomistic.correlated import mean_error
from atomistic.diffraction import Pattern, Radial
from atomistic.observable_pictures import Panel, panels
from atomistic.shells import bins_of, pairs_of, shell, shell_records
from atomistic.trajectory import Trajectory
from coupling.errors import UserError
from coupling.record import Property

VERSION = 1
"""Of what is read off the frames."""
FARTHEST = 10.0
"""Longest distance of g(r), Å; half the cell is the other limit."""
RADIUS, LOOKS = 40.0, 5
"""End of the Debye sum of a crystal, Å, and the frames that its pattern is a mean of."""
FRAMEWORK = 0.2
"""Wandering, over the mean spacing of atoms, of the element that stays best, above which a crystal is none."""
FAINT, RIVAL = 1.0, 0.1
"""Least line of a crystal in per cent of its strongest; intensity, over its own, of a line too near to be told apart from it."""
Line = tuple[float, float, str]
"""2θ in degrees, intensity in per cent of the strongest, Miller indices."""


def of_run(run: Trajectory, crystal: Atoms, mobile: str) -> dict[str, Any]:
    """Records without material, notes, and the curves of a picture, JSON-ready, of a run at constant volume.

    Args:
        crystal: the cell that the run's is a repetition of. mobile: element that may wander.
    """
    frames = [Atoms(run.numbers, positions=places, cell=cell, pbc=True)
              for places, cell in zip(run.positions, run.cells, strict=True)]  # fmt: skip
    half = float(_heights(frames[0]).min() / 2)
    found, records, notes = _shells(frames, half)
    powder = powder_of(frames, _laid(crystal, frames[0]), half, keeps_its_sites(run, mobile))
    angles, heights, _ = zip(*powder.lines, strict=True) if powder.lines else ((), (), ())
    return {"records": [record.to_dict() for record in records + powder.records], "notes": notes + powder.notes,
            "g": {"-".join(pair): coarse(one) for pair, one in found.items()}, "pattern": told(powder.pattern),
            "lines": {"two_theta_degrees": list(angles), "intensity": list(heights)}}  # fmt: skip


def _shells(frames: Sequence[Atoms], half: float) -> tuple[dict[tuple[str, str], Radial], list[Property], list[str]]:
    """The pair distributions within half the cell (Å), records of their shells, and why others have none."""
    r_max, count = min(FARTHEST, half), Counter(frames[0].get_chemical_symbols())
    pairs = [(one, other) for one, other in pairs_of(frames[0].get_chemical_symbols()) if one != other or count[one] > 1]
    found = diffraction.distributions(frames, pairs, r_max=r_max, bins=bins_of(r_max))
    records: list[Property] = []
    notes = []
    for (one, other), radial in found.items():
        try:
            clear = shell((one, other), radial, count[one], count[other])
        except UserError as error:
            notes.append(str(error))
            continue
        records += shell_records(clear, "", {}, {"half_the_cell_A": round(half, 3)})
    return found, records, notes


def _heights(frame: Atoms) -> np.ndarray:
    """Distances (3,) between opposite faces of a cell, Å."""
    return np.asarray(1 / np.linalg.norm(frame.cell.reciprocal().array, axis=1))


def keeps_its_sites(run: Trajectory, mobile: str) -> bool:
    """Whether an element that should stay (all but the mobile one; of a metal its own) rattles about its sites."""
    names, spacing = np.array(run.final.get_chemical_symbols()), (run.final.get_volume() / len(run.numbers)) ** (1 / 3)
    away = run.positions - run.positions.mean(axis=1, keepdims=True)  # the whole may drift
    square = ((away - away.mean(axis=0)) ** 2).sum(axis=2).mean(axis=0)
    least = min(float(np.median(square[names == name])) for name in set(names) - {mobile} or {mobile})
    return least**0.5 < FRAMEWORK * spacing


def _laid(crystal: Atoms, frame: Atoms) -> Atoms:
    """The crystal with the edges that it has in the run, edges of one length the same mean one: its symmetry stays."""
    own = crystal.cell.lengths()
    grown = frame.cell.lengths() / np.maximum(np.round(frame.cell.lengths() / own), 1) / own
    stretch = np.array([grown[np.isclose(own, length)].mean() for length in own])
    moved = crystal.copy()
    moved.set_cell(crystal.cell.array * stretch[:, None], scale_atoms=True)
    return moved


def reference_lines(crystal: Atoms, angles: tuple[float, float] = (10.0, 80.0)) -> list[Line]:
    """Lines of an ideal crystal by pymatgen's XRDCalculator for Cu Kα, those above FAINT per cent."""
    from pymatgen.analysis.diffraction.xrd import XRDCalculator
    from pymatgen.io.ase import AseAtomsAdaptor

    bare = Atoms(crystal.numbers, positions=crystal.positions, cell=crystal.cell, pbc=True)
    found = XRDCalculator(wavelength=diffraction.COPPER).get_pattern(AseAtomsAdaptor.get_structure(bare), two_theta_range=angles)
    rows = zip(found.x, found.y, found.hkls, strict=True)
    return [(float(angle), float(height), _indices(family)) for angle, height, family in rows if height > FAINT]


def _indices(family: Sequence[Mapping[str, Any]]) -> str:
    """Miller indices of a line, of its planes those that come last in order: "(3 1 1)"; of four indices h ≥ k ≥ 0 and l."""
    planes = []
    for plane in family:
        hkl = tuple(int(index) for index in plane["hkl"])
        if len(hkl) == 4:
            flat = max(sorted(sign * index for index in hkl[:3]) for sign in (1, -1) if sorted(sign * i for i in hkl[:3])[1] >= 0)
            hkl = (flat[2], flat[1], hkl[3]) if flat[0] <= 0 else hkl
        planes.append(hkl)
    return f"({' '.join(map(str, max(planes)))})"


@dataclass(frozen=True)
class Powder:
    """A powder pattern: records of its lines that are the crystal's, the crystal's lines, and notes on the rest."""

    pattern: Pattern
    records: list[Property]
    lines: list[Line]
    notes: list[str]


def powder_of(frames: Sequence[Atoms], crystal: Atoms, half: float, ordered: bool) -> Powder:
    """The pattern of LOOKS of the frames, to RADIUS, or to half the cell (Å) where the crystal lost its order."""
    looks = np.linspace(0, len(frames) - 1, min(LOOKS, len(frames))).round().astype(int)
    radius = max(RADIUS, half) if ordered else max(half, 2.5)
    pattern = diffraction.powder([frames[number] for number in looks], r_max=radius)
    lines = reference_lines(crystal)
    images = f"{'counted' if radius > half else 'none'} beyond half the cell, {half:.1f} Å"
    records, strangers = named(diffraction.peak_records(pattern, "", {}, {"periodic_images": images}), lines, pattern)
    notes = [] if ordered else ["atoms left their sites: the powder pattern ends at half the cell, its lines are wide"]
    if strangers:
        where = ", ".join(f"{record.value:.1f}°" for record in strangers)
        notes.append(f"powder pattern: {len(strangers)} maxima where the crystal has no line: {where}")
    return Powder(pattern, records, lines, notes)


def named(peaks: Sequence[Property], reference: Sequence[Line], pattern: Pattern) -> tuple[list[Property], list[Property]]:
    """Peaks with the crystal's line in conditions["line"], each line once, and settled peaks that stand at none.

    A peak stands at the strongest line within the width of the window. Where another of RIVAL of its intensity lies within two
    widths, both make one maximum: its confidence is then low.
    """
    made: dict[str, tuple[float, Property]] = {}
    strangers = []
    for peak in peaks:
        width = pattern.broadening(peak.value)
        near = [line for line in reference if abs(line[0] - peak.value) < max(width, 2 * (peak.stderr or 0.0))]
        if not near:
            strangers += [peak] if peak.confidence == "computed" else []
            continue
        own = max(near, key=lambda line: line[1])
        record = replace(peak, conditions={**peak.conditions, "line": own[2], "radiation": "Cu Ka"})
        beside = [line[2] for line in reference if 0 < abs(line[0] - own[0]) < 2 * width and line[1] > RIVAL * own[1]]
        if beside:
            method = f"{record.source['method']}; not resolved from {', '.join(beside)}"
            record = replace(record.with_source(method=method), confidence="low")
        apart = abs(peak.value - own[0])
        if own[2] not in made or apart < made[own[2]][0]:
            made[own[2]] = (apart, record)
    return [record for _, record in made.values()], strangers


def coarse(found: Radial, width: int = 5) -> dict[str, list[float]]:
    """Values of g(r) and their errors in intervals `width` times as wide, for a picture."""
    count = len(found.r) // width
    rows = found.rows[:, : count * width].reshape(len(found.rows), count, width).mean(axis=2)
    errors = [mean_error(column) for column in rows.T] if len(rows) > 1 else [0.0] * count
    r = found.r[: count * width].reshape(count, width).mean(axis=1)
    return {"r_A": r.round(4).tolist(), "g": rows.mean(axis=0).round(4).tolist(), "stderr": np.round(errors, 4).tolist()}


def told(pattern: Pattern) -> dict[str, Any]:
    """A pattern for a picture, its highest point 100."""
    scale = 100 / float(pattern.intensity.max())
    errors = None if pattern.stderr is None else (scale * pattern.stderr).round(3).tolist()
    return {"two_theta_degrees": pattern.angles.round(3).tolist(), "intensity": (scale * pattern.intensity).round(3).tolist(),
            "stderr": errors, "r_max_A": round(pattern.r_max, 3)}  # fmt: skip


def records(phase: str, runs: Answered, source: Mapping[str, Any]) -> list[Property]:
    """Records of the diffusion runs that carry a structure, those of one temperature and pressure joined."""
    groups: dict[tuple[Any, ...], list[tuple[Any, Property]]] = {}
    for run in runs:
        for read in run[1].get("structure", {}).get("records", ()):
            record = Property.from_dict({**read, "material": phase})
            what = (record.quantity, record.conditions.get("pair"), record.conditions.get("line"))
            where = (run[0].parameters["temperature"], run[0].parameters.get("pressure", 0.0))
            groups.setdefault((*what, *where), []).append((run, record))
    scatter = {what: widening([_estimates(group) for key, group in groups.items() if key[:3] == what])
               for what in {key[:3] for key in groups}}  # fmt: skip
    return [_joined(group, source, scatter[key[:3]]) for key, group in groups.items()]


def _estimates(group: Sequence[tuple[Any, Property]]) -> list[tuple[float, float]]:
    return [(record.value, record.stderr or 0.0) for _, record in group]


def _joined(group: Sequence[tuple[Any, Property]], source: Mapping[str, Any], wider: float) -> Property:
    """Weighted mean of runs, its error times `wider`; of lines, whose errors are mostly shared, the least."""
    runs, first = [run for run, _ in group], group[0][1]
    task, answers = runs[0][0], [answer for _, answer in runs]
    value, error = weighted(_estimates(group))
    if first.quantity == "diffraction_angle":
        error = max(error, min(record.stderr or 0.0 for _, record in group))
    pressure = {"pressure_Pa": 1e9 * task.parameters["pressure"]} if task.parameters.get("pressure") else {}
    mean = round(float(np.mean([answer["mean_temperature"] for answer in answers])), 2)
    where = conditions_of(task, temperature_K=task.parameters["temperature"], mean_temperature_K=mean, **pressure,
                          **first.conditions)  # fmt: skip
    own = {**source, **first.source, "picoseconds": sum(answer["picoseconds"] for answer in answers), "runs": len(runs),
           "seeds": sorted(run.parameters["seed"] for run, _ in runs), "dtype": task.parameters["dtype"],
           "atoms": answers[0]["atoms"], "keys": [run.key for run, _ in runs],
           **({"errors_widened_by_scatter_of_runs": round(wider, 3)} if wider > 1 else {})}  # fmt: skip
    joined = replace(first, value=value, stderr=wider * error, conditions=where, source=own)
    return replace(joined, confidence="low") if any(record.confidence == "low" for _, record in group) else joined


def problems(runs: Answered) -> list[str]:
    """What the structures could not give."""
    found = []
    for task, answer in runs:
        where = f"{task.parameters['phase']} at {task.parameters.get('temperature', 0):g} K"
        found += [f"structure of {where}: {note}" for note in answer.get("structure", {}).get("notes", ())]
    return list(dict.fromkeys(found))


def curves(runs: Answered) -> dict[str, list[dict[str, Any]]]:
    """By phase the curves of each run: temperature_K, pressure_Pa, seed, "g" by pair, "pattern", "lines" of the crystal."""
    found: dict[str, list[dict[str, Any]]] = {}
    for task, answer in runs:
        if (read := answer.get("structure")) and not task.parameters.get("member"):
            drawn = {key: read[key] for key in ("g", "pattern", "lines")}
            drawn |= {"temperature_K": task.parameters["temperature"], "seed": task.parameters["seed"],
                      "pressure_Pa": 1e9 * task.parameters.get("pressure", 0.0)}  # fmt: skip
            found.setdefault(task.parameters["phase"], []).append(drawn)
    return found


def pictures(out: Path) -> None:
    """Write OUT/structure-PHASE.png of OUT/structure.json: g(r) and the pattern of the first run at each condition in a row.

    Those of a run before are removed. Raises RunFailure: a file cannot be written.
    """
    for left in out.glob("structure-*.png"):
        left.unlink()
    kept = out / "structure.json"
    for phase, runs in (json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}).items():
        first = {(run["temperature_K"], run["pressure_Pa"]): run for run in reversed(runs)}
        rows = [panels_of(f"{phase}, {kelvin:g} K, {1e-9 * pressure:g} GPa", run, {phase: run["lines"]})
                for (kelvin, pressure), run in sorted(first.items())]  # fmt: skip
        panels(out / f"structure-{phase}.png", rows)


def panels_of(title: str, read: Mapping[str, Any], lines: Mapping[str, Any]) -> list[Panel]:
    """Two panels of curves as `of_run` tells them: g(r) by pair, and the powder pattern with lines of crystals below it."""
    g = {pair: (np.array(one["r_A"]), np.array(one["g"]), np.array(one["stderr"])) for pair, one in read["g"].items()}
    pattern = read["pattern"]
    error = None if pattern["stderr"] is None else np.array(pattern["stderr"])
    drawn = {"": (np.array(pattern["two_theta_degrees"]), np.array(pattern["intensity"]), error)}
    marks = {name: (np.array(one["two_theta_degrees"]), np.array(one["intensity"])) for name, one in lines.items()}
    return [Panel(title, g, "distance (Å)", "g(r)"), Panel(f"Cu Kα, sum to {pattern['r_max_A']:.0f} Å", drawn, "2θ (degrees)",
                                                           "intensity (% of the highest)", marks)]  # fmt: skip
