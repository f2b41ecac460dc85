"""Study files (TOML) of a reacting interface: lithium on an electrolyte, two interfaces a cell, from start to growth law.

Top level: kind = "reaction", name, potential, seed, electrolyte (crystal), metal_face, electrolyte_face, metal_thickness,
electrolyte_thickness, max_area, max_strain, repeat (in the plane), reaction (equation with formulas as in structures.toml),
temperature, equilibration (constant pressure, its time counts), length (constant pressure along the normal), timestep, frame,
classed (frames whose atoms are told apart by phase), slabs and windows (of the Onsager coefficients), window (of the mobilities),
snapshots (times at which the cell is kept as a file beside the records), dtype.

What the frames tell is read by `reaction_reading`; where the potential broke down before the end, all of it is of low confidence;
where electrolyte or metal is used up, growth is read off what lies before (`exhaustion`).

The built cell is relaxed with its shape at 0 K, so that gap and misfit strain find their balance, then warmed at constant
pressure; then its mean area is kept and its height follows the pressure, zero: what a reaction makes takes up less room, and in
a cell of constant volume a gap would open between the metal and what it reacts with. The dynamics is one task, what is read off
it a second one: both are kept.
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

from atomistic import dynamics, heterostructure, interphase, phases, reaction_profiles, structures
from atomistic.dynamics import DynamicsSettings
from atomistic.reaction_reading import METAL, Describe, read_off
from atomistic.relaxation import relaxed
from atomistic.scheduler import Progress, Task, run_tasks
from atomistic.study_cost import StudyPlan, reference_seconds
from coupling import toml_input
from coupling.atomic import write_json
from coupling.errors import UserError
from coupling.record import Property, graded
from coupling.store import digest, write_records
from coupling.toml_input import InUnit, Table, Whole

VERSION, READ_VERSION = 2, 15
"""Of the dynamics, and of what is read off it."""
RELAXATION = 60
"""Steps of the relaxation of the built cell."""
DESCRIBED = 1.5e-3
"""Seconds that the descriptors of an atom take, about."""
Å, FS = 1e-10, 1e-15
Count = Annotated[Whole, Field(ge=1)]
Length = Annotated[float, InUnit("m", above=0.0)]
Time = Annotated[float, InUnit("s", above=0.0)]


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
    snapshots: tuple[Time, ...] = ()
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
    first, last = (f"{1e12 * end:g} ps" for end in (study.equilibration, study.equilibration + study.length))
    for number, time in enumerate(study.snapshots):
        frames = (time - study.equilibration) / study.frame
        if not 0.5 < frames < study.length / study.frame + 0.5:
            told = f"read {1e12 * time:g} ps; it must lie after the equilibration ({first}) and not after the end ({last})"
            raise UserError(file.complaint(("snapshots", number), told))
        if abs(frames - round(frames)) > 1e-6:
            told = f"read {1e12 * time:g} ps; it must lie a whole number of frames ({1e15 * study.frame:g} fs) after {first}"
            raise UserError(file.complaint(("snapshots", number), told))
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
                                    "classed": 10, "windows": 1, "window": 2 * step, "snapshots": ()})  # fmt: skip


def _tasks(study: ReactionStudy, sha256: str, atoms: int = 1) -> tuple[Task, Task]:
    """The dynamics and what is read off it, for a cell of so many atoms (their cost alone depends on that)."""
    made = study.model_dump(include={
        "potential", "seed", "electrolyte", "metal_face", "electrolyte_face", "metal_thickness", "electrolyte_thickness",
        "max_area", "max_strain", "repeat", "temperature", "equilibration", "length", "timestep", "frame", "dtype",
    })  # fmt: skip
    own = digest({**made, "version": VERSION, "sha256": sha256})
    run = digest({**made, "length": None, "version": VERSION, "sha256": sha256})
    calls = RELAXATION + (study.equilibration + study.length) / study.timestep
    described = study.classed * atoms * DESCRIBED
    read = study.model_dump(exclude={"name", "snapshots"})
    return (
        Task(own, f"{study.name}: dynamics", reference_seconds(atoms, calls, study.dtype), "md", {}, run,
             (study.equilibration + study.length) * 1e12),
        Task(digest({**read, "version": READ_VERSION, "of": own}), f"{study.name}: phases", described, "read", {}),
    )  # fmt: skip


def run(
    study: ReactionStudy, out: str | Path, comm: Any = None, progress: Progress | None = None,
    calculator: BaseCalculator | None = None, describe: Describe | None = None,
) -> list[Property]:  # fmt: skip
    """Records of a study: layer, growth law, balance, mobilities, crystallinity, coordination numbers, Onsager coefficients.

    Writes OUT/records.json, profiles.json (phases and elements by depth and time, thickness by time, laws), problems.json
    (what the run does not bear), final.extxyz and those of snapshots, at-50ps.extxyz (starts of a nucleation study), growth.png,
    depth.png, depth-time.png, metal.png and slices.png.
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
        own = calculator or potential.load(study.potential, dtype=study.dtype)
        names = [*interphase.Reaction.read(study.reaction).numbers]
        crystals = phases.heated(phases.references(names), own, study.temperature, study.seed)
        seen = describe or phases.mace_descriptors(study.potential)
        return read_off(study, start(study), _trajectory(study, out / md.folder), seen, crystals, source, tick)

    (told,) = run_tasks([md], move, out, comm, progress)
    (answer,) = run_tasks([read], look, out, comm, progress)
    records = [Property.from_dict(item) for item in answer["records"]]
    if "broken" in told:
        records = [replace(record, confidence="low") for record in records]
    records = [graded(record) for record in records]
    if comm is None or comm.rank == 0:
        write_json(out / "profiles.json", answer["profiles"])
        write_json(out / "problems.json", answer["notes"])
        write_records(out / "records.json", records)
        reaction_profiles.pictures(answer["profiles"], out)
        if (out / md.folder / "production").is_dir():  # trajectories may be thrown away, records are kept
            missing = _keep_cells(study, out / md.folder, out)
            write_json(out / "problems.json", answer["notes"] + missing)
    return records


def cells(study: ReactionStudy) -> dict[str, float]:
    """Files that a study leaves for others to start from, each with the time of its cell in s."""
    return {"final.extxyz": study.equilibration + study.length, **{f"at-{1e12 * t:g}ps.extxyz": t for t in study.snapshots}}


def _keep_cells(study: ReactionStudy, folder: Path, out: Path) -> list[str]:
    """Write the cell as the run leaves it and at each of the snapshots, no other left; a sentence for each not reached."""
    run, missing = _trajectory(study, folder), []
    for left in out.glob("at-*ps.extxyz"):
        left.unlink()
    for name, time in cells(study).items():
        frames = round((time - study.equilibration) / study.frame)
        if name == "final.extxyz":
            run.final.write(out / name, format="extxyz")
        elif frames <= len(run.positions):
            dynamics.load(folder / "production", frames).final.write(out / name, format="extxyz")
        else:
            missing.append(f"no {name}: the run ended before")
    return missing


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
    return dynamics.load(folder / "production", _production(study).frames)


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
    run = dynamics.load(production, settings.frames)
    return run, "" if run.picoseconds >= settings.picoseconds else json.loads(mark.read_text(encoding="utf-8"))
