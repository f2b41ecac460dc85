"""Study files (TOML) of a reacting interface: lithium on an electrolyte, two interfaces a cell, from start to growth law.

Top level: kind = "reaction", name, potential, seed, electrolyte (crystal), metal_face, electrolyte_face, metal_thickness,
electrolyte_thickness, max_area, max_strain, repeat (in the plane), reaction (equation with formulas as in structures.toml),
temperature, equilibration (constant pressure, its time counts), length (constant pressure along the normal), timestep, frame,
classed (frames whose atoms are told apart by phase), slabs and windows (of the Onsager coefficients), window (of the mobilities),
dtype.

The `classed` frames are spread over the run; where its first tenth has twice as many frames as a law of growth takes, as many of
that are looked at, and it has laws of its own: a reaction begins fast, and frames spread over the whole pass its first stage over.

Phases are named by `phases.classify`, with two aids: the unreacted cell, which would lie still, is rattled by as much as the
reference crystals are, and an atom of lithium is metal where it has many neighbours of its own kind and none of another
(`clusters`, whatever the order: a reaction may melt the metal, which no crystal stands for). Beside them, and free of any
reference, stands the share of phosphorus that still has its four sulfur neighbours (of the rattled start, too, which breaks
some). Where the potential broke down before the end, all records are of low confidence.

The built cell is relaxed with its shape at 0 K, so that gap and misfit strain find their balance, then warmed at constant
pressure; then its mean area is kept and its height follows the pressure, zero: what a reaction makes takes up less room, and in a
cell of constant volume a gap would open between the metal and what it reacts with. Displacements are read in the mean cell. A gap
that is there all the same is told. The dynamics is one task, what is read off it a second one: both are kept.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from pydantic import Field

from atomistic import (
    clusters,
    creep,
    crystallinity,
    dynamics,
    growth,
    heterostructure,
    interphase,
    onsager_profile,
    phases,
    reaction_profiles,
    structures,
)
from atomistic.dynamics import DynamicsSettings
from atomistic.relaxation import relaxed
from atomistic.scheduler import Progress, Task, run_tasks
from atomistic.study_cost import StudyPlan, reference_seconds
from coupling import toml_input
from coupling.atomic import write_json
from coupling.errors import UserError
from coupling.record import Property
from coupling.store import digest, write_records
from coupling.toml_input import InUnit, Table, Whole

VERSION, READ_VERSION = 2, 5
"""Of the dynamics, and of what is read off it."""
EARLY = 0.1
"""Share of a run, its beginning, that is looked at as closely as the whole: a reaction begins fast."""
STRAYED = 0.03
"""Relative distance of the mean temperature from the set one above which it is told."""
METAL = "Li"
RELAXATION = 60
"""Steps of the relaxation of the built cell."""
DESCRIBED = 1.5e-3
"""Seconds that the descriptors of an atom take, about."""
RATTLE = 0.2
"""Displacement, Å, that the unreacted cell and the references are rattled by."""
SLICE, EMPTY = 5.0, 0.35
"""Height of a slice, Å, and its share of a slice's mean number of atoms below which it is a gap."""
BOND = 2.6
"""Longest bond of phosphorus and sulfur in PS4 and P2S7 groups, Å."""
Å, FS = 1e-10, 1e-15
Count = Annotated[Whole, Field(ge=1)]
Length = Annotated[float, InUnit("m", above=0.0)]
Time = Annotated[float, InUnit("s", above=0.0)]
Describe = Callable[[Atoms], np.ndarray]


class ReactionStudy(Table):
    """A study of a reacting interface."""

    kind: Literal["reaction"]
    name: str
    potential: str
    seed: Annotated[Whole, Field(ge=0)] = 0
    electrolyte: str
    metal_face: tuple[Whole, Whole, Whole] = (1, 0, 0)
    electrolyte_face: tuple[Whole, Whole, Whole] = (1, 0, 0)
    metal_thickness: Length
    electrolyte_thickness: Length
    max_area: Annotated[float, InUnit("m^2", above=0.0)]
    max_strain: Annotated[float, Field(gt=0, le=0.2)]
    repeat: tuple[Count, Count] = (1, 1)
    reaction: str
    temperature: Annotated[float, InUnit("K", above=0.0)]
    equilibration: Time
    length: Time
    timestep: Time
    frame: Time
    classed: Annotated[Whole, Field(ge=10)] = 40
    slabs: Count = 4
    windows: Count = 2
    window: Time
    dtype: Literal["float32", "float64"] = "float32"


def read_study(path: str | Path) -> ReactionStudy:
    """Read a study.

    Raises:
        UserError: no such file, broken TOML, a wrong key, an unknown crystal, or an equation that does not balance or does not
            use up lithium and the electrolyte.
    """
    file = toml_input.read(path)
    study = toml_input.validate(file, ReactionStudy)
    if study.electrolyte not in structures.names():
        wrong = structures.unknown("structure", study.electrolyte, structures.names())
        raise UserError(file.complaint(("electrolyte",), str(wrong)))
    try:
        used = {name for name, number in interphase.Reaction.read(study.reaction).numbers.items() if number < 0}
        phases.references([*interphase.Reaction.read(study.reaction).numbers])
    except UserError as error:
        raise UserError(file.complaint(("reaction",), str(error))) from None
    if used != {METAL, study.electrolyte}:
        told = f"read {study.reaction!r}; it must use up {METAL} and {study.electrolyte} and nothing else"
        raise UserError(file.complaint(("reaction",), told))
    for key in ("frame", "window"):
        shorter = study.timestep if key == "frame" else 2 * study.frame
        ratio = getattr(study, key) / shorter
        if abs(ratio - round(ratio)) > 1e-6 or round(ratio) < 1:
            told = f"{shorter * 1e15:g} fs ({'timestep' if key == 'frame' else 'two frames'})"
            raise UserError(file.refusal((key,), f"it must be a whole multiple of {told}"))
    return study


def start(study: ReactionStudy) -> Atoms:
    """Unreacted cell as built: the electrolyte below, lithium above, which carries the misfit; tags as in `heterostructure`.

    Raises:
        UserError: no common cell within max_area and max_strain.
    """
    thickness = (study.electrolyte_thickness / Å, study.metal_thickness / Å)
    joined = heterostructure.heterostructure(study.electrolyte, METAL, study.electrolyte_face, study.metal_face, thickness,
                                             study.max_area / Å**2, study.max_strain)  # fmt: skip
    return joined.repeat((*study.repeat, 1))


def plan(study: ReactionStudy) -> StudyPlan:
    """Runs of a study with their cost. Raises UserError: unknown potential, or no common cell within the limits."""
    from atomistic import potential

    built, described = start(study), potential.describe(study.potential)
    potential.require_elements(built, described)
    return StudyPlan(_tasks(study, described.sha256, len(built)), built,
                     lambda: potential.load(study.potential, dtype=study.dtype), study.dtype)  # fmt: skip


def trial(study: ReactionStudy) -> ReactionStudy:
    """The same study in the smallest cell, a few steps long: whether it goes to its end."""
    step = study.timestep
    return study.model_copy(update={"repeat": (1, 1), "equilibration": 20 * step, "length": 40 * step, "frame": step,
                                    "classed": 10, "windows": 1, "window": 2 * step})  # fmt: skip


def _tasks(study: ReactionStudy, sha256: str, atoms: int = 1) -> tuple[Task, Task]:
    """The dynamics and what is read off it, for a cell of so many atoms (their cost alone depends on that)."""
    made = study.model_dump(include={
        "potential", "seed", "electrolyte", "metal_face", "electrolyte_face", "metal_thickness", "electrolyte_thickness",
        "max_area", "max_strain", "repeat", "temperature", "equilibration", "length", "timestep", "frame", "dtype",
    })  # fmt: skip
    own = digest({**made, "version": VERSION, "sha256": sha256})
    run = digest({**made, "length": None, "version": VERSION, "sha256": sha256})
    calls = RELAXATION + (study.equilibration + study.length) / study.timestep
    described = study.classed * atoms * DESCRIBED * (2 if _early(study, _production(study).frames) else 1)
    return (
        Task(own, f"{study.name}: dynamics", reference_seconds(atoms, calls, study.dtype), "md", {}, run),
        Task(digest({**study.model_dump(exclude={"name"}), "version": READ_VERSION, "of": own}), f"{study.name}: phases",
             described, "read", {}),
    )  # fmt: skip


def run(
    study: ReactionStudy, out: str | Path, comm: Any = None, progress: Progress | None = None,
    calculator: BaseCalculator | None = None, describe: Describe | None = None,
) -> list[Property]:  # fmt: skip
    """Records of a study: layer, growth law, end of growth, balance, mobilities, crystallinity, Onsager coefficients.

    Writes OUT/records.json, profiles.json (phases and composition against depth, thickness against time, laws, balance),
    problems.json (what the run does not bear), final.extxyz (start of a nucleation study), growth.png and depth.png.
    `calculator` and `describe` replace the potential and its descriptors.

    Raises:
        UserError: wrong input; RunFailure: a run that broke.
    """
    from atomistic import potential

    out = Path(out)
    sha256 = type(calculator).__name__ if calculator else potential.describe(study.potential).sha256
    md, read = _tasks(study, sha256)

    def move(task: Task, folder: Path, tick: Callable[[float], None]) -> Mapping[str, Any]:
        return _dynamics(study, calculator or potential.load(study.potential, dtype=study.dtype), folder, tick)

    def look(task: Task, folder: Path, tick: Callable[[float], None]) -> Mapping[str, Any]:
        source = {"study": study.name, "potential": study.potential, "potential_sha256": sha256, **told}
        return read_off(study, out / md.folder, describe or phases.mace_descriptors(study.potential), source, tick)

    (told,) = run_tasks([md], move, out, comm, progress)
    (answer,) = run_tasks([read], look, out, comm, progress)
    records = [Property.from_dict(item) for item in answer["records"]]
    if "broken" in told:
        records = [replace(record, confidence="low") for record in records]
    if comm is None or comm.rank == 0:
        write_json(out / "profiles.json", answer["profiles"])
        write_json(out / "problems.json", answer["notes"])
        write_records(out / "records.json", records)
        reaction_profiles.pictures(answer["profiles"], out)
        if (out / md.folder / "production").is_dir():  # trajectories may be thrown away, records are kept
            _trajectory(study, out / md.folder).final.write(out / "final.extxyz", format="extxyz")
    return records


def _dynamics(study: ReactionStudy, calculator: BaseCalculator, folder: Path, tick: Callable[[float], None]) -> dict[str, Any]:
    """Relaxed, warmed and reacted; what a record tells of the run."""
    built = start(study)
    rest = relaxed(built, calculator, cell=True, force=0.05, steps=RELAXATION, strict=False).copy()
    rest.calc = None
    total = study.equilibration + study.length
    share = study.equilibration / total
    warming = replace(_production(study), picoseconds=study.equilibration * 1e12, fixed_area=False, friction_time=100.0)
    warm = dynamics.run(rest, calculator, warming, folder / "equilibration", lambda part: tick(share * part))
    begin, momenta = warm.final.copy(), warm.final.get_momenta()
    begin.set_cell(warm.mean_cell(), scale_atoms=True)
    begin.set_momenta(momenta)
    run, broken = _as_far_as_it_holds(begin, calculator, _production(study), folder,
                                      lambda part: tick(share + (1 - share) * part))  # fmt: skip
    return {
        "atoms": len(built), "seeds": [study.seed], "picoseconds": study.equilibration * 1e12 + run.picoseconds,
        **({"broken": broken} if broken else {}), "cell_A": begin.cell.cellpar().tolist(),
        "end_cell_A": run.final.cell.cellpar().tolist(),
        "strain_metal": list(built.info["strain_upper"]), "strain_electrolyte": list(built.info["strain_lower"]),
        "mean_temperature_K": float(np.mean(run.temperatures)), "halvings": run.halvings, "dtype": study.dtype,
    }  # fmt: skip


def _production(study: ReactionStudy) -> DynamicsSettings:
    """Settings of the reacting run."""
    frame = study.frame / FS
    return DynamicsSettings(
        study.temperature, study.length * 1e12, "npt", timestep=study.timestep / FS, friction_time=500.0, frame_interval=frame,
        checkpoint_interval=10 * frame, seed=study.seed, fixed_area=True,
    )  # fmt: skip


def _trajectory(study: ReactionStudy, folder: Path) -> dynamics.Trajectory:
    """The reacting run of the study, in the folder of its dynamics."""
    return dynamics.load(folder / "production", _production(study).segments)


def _as_far_as_it_holds(
    atoms: Atoms, calculator: BaseCalculator, settings: DynamicsSettings, folder: Path, tick: Callable[[float], None]
) -> tuple[dynamics.Trajectory, str]:
    """The run, and "" or why it ended early: a reaction may lead where the potential is wrong, and what came before still counts.

    Raises:
        Unphysical: less than a fifth of the run was had.
    """
    production, mark = folder / "production", folder / "broken.json"
    if not mark.is_file():  # else it would break at the same place again
        try:
            return dynamics.run(atoms, calculator, settings, production, tick), ""
        except dynamics.Unphysical as failure:
            begun = (production / "segment-00000.npz").is_file()
            if not begun or dynamics.load(production).picoseconds < settings.picoseconds / 5:
                raise
            write_json(mark, str(failure).partition("; the first")[0])
    run = dynamics.load(production, settings.segments)
    return run, "" if run.picoseconds >= settings.picoseconds else json.loads(mark.read_text(encoding="utf-8"))


def read_off(
    study: ReactionStudy, folder: Path, describe: Describe, source: Mapping[str, Any], tick: Callable[[float], None]
) -> dict[str, Any]:
    """Everything that the frames tell, JSON-ready: records, profiles, notes on what they do not bear."""
    trajectory = _trajectory(study, folder)
    frames, times, whole, early = _chosen(study, trajectory)
    equation = interphase.Reaction.read(study.reaction)
    classes = phases.classify(frames, phases.references([*equation.numbers]), describe)
    tick(0.5)
    names = [_with_metal(frame, classes.phases(number)) for number, frame in enumerate(frames)]
    share = np.array([intact_share(frame) for frame in frames])
    layers = interphase.layer(frames, names, METAL, study.electrolyte, equation)
    found, intact = layers.at(whole), share[whole]
    notes = [f"the run ended early, what is told is of the part before: {source['broken']}"] if "broken" in source else []
    laws = _laws(times[whole], found.thickness, "", notes)
    begin = _laws(times[early], layers.thickness[early], "in the first tenth of the run, ", notes) if len(early) else None
    end = _borne(lambda: growth.passivation(times[whole], found.thickness), notes)
    rows = _borne(lambda: interphase.balance(found.amounts, equation, study.electrolyte), notes) or []
    held = float(trajectory.temperatures.mean())
    if abs(held / study.temperature - 1) > STRAYED:
        why = "the heat of reaction" if held > study.temperature else "too short to reach it"
        notes.append(f"the thermostat was set to {study.temperature:g} K, the run's mean is {held:.0f} K: {why}")
    material, where = f"{METAL}|{study.electrolyte}", {"temperature_K": held, "set_temperature_K": study.temperature}
    if study.electrolyte == "Li6PS5Cl":
        where |= {"disorder": 0.0}  # `start` builds the ordered crystal, whatever the disorder of a case
    records = interphase.records(found, times[whole], laws, end, material, where, source)
    if begin is not None:
        told = {**where, "part_of_run": "first tenth", "time_s": float(times[early[-1]])}
        records += interphase.growth_records(begin, material, told, {**source, "criterion": interphase.CRITERION})
    notes += [row.beyond for row in rows if row.beyond]
    for row in rows:
        told = {**where, "phase": row.phase, "equation": study.reaction, "expected": row.expected}
        records.append(Property(material, "reaction_coefficient", row.found, "1", stderr=row.stderr, conditions=told,
                                source=dict(source), confidence="low" if row.beyond else "computed"))  # fmt: skip
    records += _intact_records(intact, times[whole], material, where, source)
    tick(0.7)
    unstrained = still(trajectory)
    records += _of_lithium(study, unstrained, material, where, source, notes)
    records += _onsager(study, unstrained, material, where, source, notes)
    if gap := _gap(frames[-1]):
        notes.append(gap)
        records = [replace(record.with_source(low_confidence=gap), confidence="low") for record in records]
    spread = [frames[number] for number in whole], [names[number] for number in whole], times[whole]
    profiles = reaction_profiles.profiles(*spread) | {
        "time_s": times.tolist(), "thickness_m": (layers.thickness * Å).tolist(), "majority_m": (layers.majority * Å).tolist(),
        "composition_of_interphase": found.composition, "intact_share": share.tolist(),
        "amounts": {name: values.tolist() for name, values in layers.amounts.items()},
        "laws": _weights(laws), "law_decided": None if laws is None else laws.decided,
        "laws_first_tenth": _weights(begin), "law_decided_first_tenth": None if begin is None else begin.decided,
        "classes": [{"element": e, "phase": n, "distance": d}
                    for e, n, d in zip(classes.elements, classes.names, classes.distances, strict=True)],
    }  # fmt: skip
    return {"records": [record.to_dict() for record in records], "profiles": profiles, "notes": notes}


def still(trajectory: dynamics.Trajectory) -> dynamics.Trajectory:
    """The trajectory in its mean cell: the strain of the moving cell, which is no motion of atoms among each other, taken out."""
    mean = trajectory.cells.mean(axis=0)
    back = np.linalg.solve(trajectory.cells, np.broadcast_to(mean, trajectory.cells.shape))
    positions = np.einsum("fnk,fkl->fnl", trajectory.positions, back)
    return replace(trajectory, positions=positions, cells=np.broadcast_to(mean, trajectory.cells.shape))


def _gap(frame: Atoms) -> str:
    """That a slice of the cell, wherever it begins, is nearly empty, in words; "" where none is."""
    height = float(frame.cell.volume / np.linalg.norm(np.cross(frame.cell[0], frame.cell[1])))
    depths = np.sort(frame.get_scaled_positions()[:, 2] % 1.0)
    above = np.concatenate([depths, depths + 1.0])
    begins = np.arange(0.0, 1.0, 0.1 * SLICE / height)
    counts = np.searchsorted(above, begins + SLICE / height) - np.searchsorted(above, begins)
    share = float(counts.min() / (len(frame) * SLICE / height))
    if share > EMPTY:
        return ""
    return f"a slice of {SLICE:g} Å holds {share:.0%} of a slice's mean number of atoms at the end: a gap has opened"


def _laws(times: np.ndarray, thickness: np.ndarray, when: str, notes: list[str]) -> growth.Growth | None:
    """Laws of growth, or None; `notes` tell why, and where they are undecided."""
    laws: growth.Growth | None = _borne(lambda: growth.compare(times, thickness), notes)
    if laws is not None and not laws.decided:
        best = laws.fits[0].weight
        notes.append(f"{when}which law the growth follows is undecided (weight of the best {best:.2f}): a fit, no more")
    return laws


def _weights(laws: growth.Growth | None) -> list[dict[str, Any]]:
    """Every law with its weight, best first."""
    return [] if laws is None else [{"law": fit.law, "weight": fit.weight, "bic": fit.bic} for fit in laws.fits]


def _early(study: ReactionStudy, count: int) -> list[int]:
    """Numbers of the frames of the first tenth of `count` that are looked at; none where there are too few for a law."""
    last = int(EARLY * count)
    return _spread(last, study.classed) if last >= 2 * growth.FEWEST else []


def _spread(count: int, most: int) -> list[int]:
    """Numbers of at most so many of `count` frames, evenly spread, the first and the last among them."""
    return sorted({round(place) for place in np.linspace(0, count - 1, most)})


def _chosen(
    study: ReactionStudy, trajectory: dynamics.Trajectory
) -> tuple[list[Atoms], np.ndarray, np.ndarray, np.ndarray]:
    """The unreacted cell (as built, laid into the cell of the run) and frames, with their times (s).

    Then the numbers among them of those spread over the whole run, and of those of its beginning; the unreacted cell is of both.
    """
    count = len(trajectory.positions)
    over, begin = _spread(count, study.classed), _early(study, count)
    picked = sorted({*over, *begin})
    place = {number: index + 1 for index, number in enumerate(picked)}
    whole, early = ([0, *(place[number] for number in part)] if part else [] for part in (over, begin))
    built = start(study)
    built.set_cell(trajectory.cells[0], scale_atoms=True)
    built.positions += np.random.default_rng(study.seed).normal(0, RATTLE, built.positions.shape)
    frames = [Atoms(built.numbers, positions=built.positions, cell=built.cell, pbc=True)]
    frames += [Atoms(trajectory.numbers, positions=trajectory.positions[n], cell=trajectory.cells[n], pbc=True) for n in picked]
    times = np.array([0.0, *(study.equilibration + (n + 1) * study.frame for n in picked)])
    return frames, times, np.array(whole), np.array(early, dtype=int)


def _with_metal(frame: Atoms, names: np.ndarray) -> np.ndarray:
    """Phases of the atoms (n,), lithium with none but its own kind around it taken for metal."""
    others = tuple(sorted(set(frame.symbols) - {METAL}))
    metal = clusters.largest_cluster(frame, clusters.ClusterSettings(foreign=others)).shares > 0.5
    return np.where(metal & (frame.numbers == 3), METAL, names)


def intact_share(frame: Atoms) -> float:
    """Share of the phosphorus atoms with four sulfur atoms within BOND; nan without phosphorus."""
    from ase.neighborlist import neighbor_list

    first = neighbor_list("i", frame, {("P", "S"): BOND})
    bonds = np.bincount(first, minlength=len(frame))[frame.numbers == 15]
    return float(np.mean(bonds >= 4)) if len(bonds) else float("nan")


def _intact_records(
    intact: np.ndarray, times: np.ndarray, material: str, where: Mapping[str, Any], source: Mapping[str, Any]
) -> list[Property]:
    """Share of intact PS4 (or P2S7) groups over the last fifth of the run; none without phosphorus."""
    if not np.isfinite(intact).all():
        return []
    late = intact[-max(3, len(intact) // 5) :]
    told = {**source, "method": f"phosphorus with four sulfur atoms within {BOND:g} Å, mean of the last fifth"}
    scatter, at = float(late.std(ddof=1) / len(late) ** 0.5), {**where, "time_s": float(times[-1])}
    return [Property(material, "intact_phosphorus_share", float(late.mean()), "1", stderr=scatter, conditions=at, source=told)]


def _borne(compute: Callable[[], Any], notes: list[str]) -> Any:
    """What `compute` gives; None, and the reason as a note, where the run does not bear it."""
    try:
        return compute()
    except UserError as error:
        notes.append(str(error))
        return None


def _of_lithium(
    study: ReactionStudy, trajectory: dynamics.Trajectory, material: str, where: Mapping[str, Any], source: Mapping[str, Any],
    notes: list[str],
) -> list[Property]:  # fmt: skip
    """Mobility along each axis of all lithium, and shares of bcc, fcc, hcp lithium at the start and at the end."""
    moving = np.flatnonzero(trajectory.numbers == 3)
    frames = 2 * round(study.window / study.frame / 2)
    told = {**source, "window_s": study.window, "method": "displacements over a window and half of it"}
    found = _borne(lambda: creep.mobility(trajectory.positions, moving, study.frame / FS, frames), notes)
    records = [] if found is None else creep.mobility_records(found, "Li", material, where, told)
    tenth = max(1, len(trajectory.positions) // 10)
    for part, name in ((slice(0, tenth), "first tenth"), (slice(-tenth, None), "last tenth")):
        mean = Atoms(trajectory.numbers, positions=trajectory.positions[part].mean(axis=0), cell=trajectory.cells[-1], pbc=True)
        shares = _borne(lambda mean=mean: crystallinity.shares([mean], "Li"), notes)  # type: ignore[misc]
        if shares is not None:
            records += crystallinity.records(shares, material, {**where, "species": "Li", "part_of_run": name}, source)
    return records


def _onsager(
    study: ReactionStudy, trajectory: dynamics.Trajectory, material: str, where: Mapping[str, Any], source: Mapping[str, Any],
    notes: list[str],
) -> list[Property]:  # fmt: skip
    """L_ij in slabs and windows of time, about each slab's centre of mass."""
    labels = trajectory.final.get_chemical_symbols()
    found = _borne(
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
