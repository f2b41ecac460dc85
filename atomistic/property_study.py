"""Study files (TOML) of bulk properties: the runs of `atomistic.study` with lengths, temperatures and phases of the user's own.

Top level: kind = "properties", name, potential, seed, disorder (of Li6PS5Cl), quantities (of diffusion, elasticity,
thermal_elasticity, surface, adhesion; onsager and structure, matrices, and shells and powder lines, of the diffusion runs, which
they make themselves), committee,
disorder_cells, contact_thickness, thicker_contact (of a second contact, whose change enters the error), contact_steps (most steps
of the relaxation of a contact's slabs), shifts, slab_thicknesses (of surface energies, whose change is their error), faces (of
lithium, with surface energies where its table names no surfaces), dtype (of molecular dynamics), and a [[phase]] table
for every crystal: name, edge (least edge of the cell of the runs), temperatures, equilibration, production, runs (seeds a
temperature), cell ("relaxed", or "measured": that of the structure file, for a crystal whose cell the potential does not hold),
velocity_run (length of the run that compares Einstein with Green–Kubo, of onsager), strain (of the twelve runs of `production`
each that elasticity at temperature takes), pressures (of diffusion; zero among them; three or more give activation volumes),
surfaces (Miller indices of faces for surface energies, [[1, 1, 0], [1, 1, 1]]); for adhesion face (Miller indices of the phase),
metal_face, max_area and max_strain of the common cell; relaxation_steps: most steps of every relaxation, for trials (absent: as
many as it needs). Every run is one task of the scheduler: shared by MPI ranks, kept, gone on with after a kill.
"""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from atomistic import interface, property_pictures, structure_reading, structures, under_pressure
from atomistic.diffusivity import MINIMUM_FRAMES
from atomistic.scheduler import Progress
from atomistic.study import FROM_FRAMES, MOVING, Committee, Effort, Face, PhaseEffort, Quantity, StudySettings, Toolbox, toolbox
from atomistic.study import plan as list_runs
from atomistic.study import run as run_study
from atomistic.study_cost import StudyPlan, probe_cell
from atomistic.surface_energy import STEPS
from atomistic.tasks import FRAME
from atomistic.thermal_elasticity import MOST_STRAIN, least_picoseconds
from coupling import toml_input
from coupling.errors import UserError
from coupling.record import Property
from coupling.toml_input import AtKey, InUnit, Table, Whole

METAL = "Li"
STEEPEST = 5
"""Largest Miller index of a surface."""
Å, PS, GPA = 1e-10, 1e-12, 1e-9
SHORTEST = 1e-3 * MINIMUM_FRAMES * FRAME * PS
"""Shortest production run that a diffusivity is taken from."""
Count = Annotated[Whole, Field(ge=1)]
Length = Annotated[float, InUnit("m", above=0.0)]
Time = Annotated[float, InUnit("s", above=0.0)]
Miller = tuple[Whole, Whole, Whole]


class PhaseTable(Table):
    """[[phase]]: one crystal and the runs of its diffusion."""

    name: str
    edge: Length = 12 * Å
    temperatures: tuple[Annotated[float, InUnit("K", above=0.0)], ...] = ()
    equilibration: Time = 1 * PS
    production: Time | None = None
    runs: Count = 1
    cell: Literal["relaxed", "measured"] = "relaxed"
    strain: Annotated[float, Field(gt=0, le=MOST_STRAIN)] = 0.01
    pressures: Annotated[tuple[Annotated[float, InUnit("Pa")], ...], Field(min_length=1)] = (0.0,)
    velocity_run: Annotated[float, InUnit("s", above=0.8 * PS)] = 20 * PS
    surfaces: tuple[Miller, ...] = ()
    face: Miller | None = None
    metal_face: Miller = (1, 0, 0)
    max_area: Annotated[float, InUnit("m^2", above=0.0)] = 200 * Å**2
    max_strain: Annotated[float, Field(gt=0, le=0.2)] = 0.065


class PropertyStudy(Table):
    """A study file of bulk properties."""

    kind: Literal["properties"]
    name: str
    potential: str
    seed: Annotated[Whole, Field(ge=0)] = 0
    disorder: Annotated[float, Field(ge=0, le=1)] = 0.25
    quantities: Annotated[tuple[Quantity, ...], Field(min_length=1)]
    committee: Committee = "statics"
    dtype: Literal["float32", "float64"] = "float32"
    disorder_cells: Count = 2
    contact_thickness: Length = 8 * Å
    thicker_contact: Length | None = None
    contact_steps: Count = STEPS
    shifts: Annotated[Whole, Field(ge=2)] = 3
    slab_thicknesses: Annotated[tuple[Length, ...], Field(min_length=2)] = (12 * Å, 18 * Å)
    faces: tuple[Literal["100", "110", "111"], ...] = ("100", "110")
    relaxation_steps: Count | None = None
    phase: Annotated[tuple[PhaseTable, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _diffusion_has_its_runs(self) -> "PropertyStudy":
        for number, phase in enumerate(self.phase):
            moving = [quantity for quantity in self.quantities if quantity in MOVING]
            if moving and not (phase.temperatures and phase.production):
                raise AtKey(("phase", number), f"{moving[0]} is asked for: the phase needs temperatures and production")
            if len(set(phase.temperatures)) < len(phase.temperatures):
                raise AtKey(("phase", number, "temperatures"), "one of them stands there twice; for more runs of it: runs = 2")
            if refusal := _surfaces_refused(phase, self.quantities):
                raise AtKey(("phase", number, "surfaces"), refusal)
            if refusal := _pressures_refused(phase, self.quantities):
                raise AtKey(("phase", number, "pressures"), refusal)
            shortest = least_picoseconds() * PS
            if "thermal_elasticity" in moving and (phase.production or 0.0) < shortest:
                told = f"a strained run of thermal_elasticity needs at least {shortest / PS:.3g} ps"
                raise AtKey(("phase", number, "production"), told)
            framed = [quantity for quantity in moving if quantity != "thermal_elasticity"]
            if framed and (phase.production or 0.0) < (1 - 1e-9) * SHORTEST:
                told = f"{framed[0]} needs at least {SHORTEST / PS:g} ps, {MINIMUM_FRAMES} frames {FRAME:g} fs apart"
                raise AtKey(("phase", number, "production"), told)
        return self


def _surfaces_refused(phase: PhaseTable, quantities: tuple[Quantity, ...]) -> str:
    """Why the surfaces of a phase cannot be run; empty if they can."""
    if phase.surfaces and "surface" not in quantities:
        return 'they are those of surface energies: add "surface" to quantities'
    if (0, 0, 0) in phase.surfaces:
        return "[0, 0, 0] is no face"
    if steep := [face for face in phase.surfaces if max(map(abs, face)) > STEEPEST]:
        return f"{list(steep[0])}: indices go up to {STEEPEST}; the surface cell of a steeper face is too large"
    if divided := [face for face in phase.surfaces if math.gcd(*face) > 1]:
        return f"{list(divided[0])} is the face {[index // math.gcd(*divided[0]) for index in divided[0]]}: write that"
    if len({max(face, tuple(-index for index in face)) for face in phase.surfaces}) < len(phase.surfaces):
        return "one of them stands there twice (a face and its opposite are one)"
    return ""


def _pressures_refused(phase: PhaseTable, quantities: tuple[Quantity, ...]) -> str:
    """Why the pressures of a phase cannot be run; empty if they can."""
    if phase.pressures == (0.0,):
        return ""
    if not {"diffusion", *FROM_FRAMES} & set(quantities):
        return "they are those of diffusion, which quantities does not name"
    if phase.cell == "measured":
        return 'cell = "measured" holds the volume, whatever the pressure; leave one of the two out'
    if 0.0 not in phase.pressures:
        return "zero must be among them: what is told without a pressure is told at zero"
    if len(set(phase.pressures)) < len(phase.pressures):
        return "one of them stands there twice; for more runs of it: runs = 2"
    return ""


def read_study(path: str | Path) -> PropertyStudy:
    """Read a study.

    Raises:
        UserError: no such file, broken TOML, a wrong key, an unknown crystal, one named twice, or one that has no surface or
            contact that is asked for (with file and line).
    """
    file = toml_input.read(path)
    study = toml_input.validate(file, PropertyStudy)
    names = [phase.name for phase in study.phase]
    for number, name in enumerate(names):
        where = ("phase", number, "name")
        if name in names[:number]:
            raise UserError(file.refusal(where, "this phase stands there already"))
        if name not in structures.names():
            raise UserError(file.complaint(where, str(structures.unknown("structure", name, structures.names()))))
        if "adhesion" in study.quantities and not study.phase[number].face and name not in (METAL, *interface.PHASES):
            told = f"its contact with lithium needs a face (face = [1, 0, 0]); without one: {', '.join(interface.PHASES)}"
            raise UserError(file.refusal(where, told))
    if "surface" in study.quantities and METAL not in names and not any(phase.surfaces for phase in study.phase):
        told = f"no [[phase]] names its surfaces (surfaces = [[1, 0, 0]]), and none is {METAL}, which has those of faces"
        raise UserError(file.refusal(("quantities",), told))
    return study


def effort(study: PropertyStudy) -> Effort:
    """The runs of a study as `atomistic.study` takes them (Å, K, ps)."""
    diffusion = {
        phase.name: PhaseEffort(phase.edge / Å, phase.temperatures, phase.equilibration / PS, (phase.production or PS) / PS,
                                phase.runs, phase.cell == "measured", phase.strain, tuple(p * GPA for p in phase.pressures),
                                phase.velocity_run / PS)
        for phase in study.phase
    }  # fmt: skip
    faces = {
        phase.name: Face(phase.face, phase.metal_face, phase.max_area / Å**2, phase.max_strain)
        for phase in study.phase
        if phase.face
    }
    return Effort(diffusion, tuple(thickness / Å for thickness in study.slab_thicknesses), study.contact_thickness / Å,
                  study.shifts, study.disorder_cells, study.committee, study.faces, study.quantities, faces,
                  study.relaxation_steps, None if study.thicker_contact is None else study.thicker_contact / Å,
                  study.contact_steps, {phase.name: phase.surfaces for phase in study.phase if phase.surfaces})  # fmt: skip


def settings(study: PropertyStudy) -> StudySettings:
    """The settings of a study as `atomistic.study` takes them."""
    return StudySettings(potential=study.potential, phases=tuple(phase.name for phase in study.phase), disorder=study.disorder,
                         seed=study.seed, dynamics_dtype=study.dtype, committee=study.committee)  # fmt: skip


def plan(study: PropertyStudy) -> StudyPlan:
    """Runs of a study with their cost. Raises UserError: unknown potential, or a contact that cannot be built."""
    wanted = settings(study)
    tools = toolbox(wanted, effort(study))
    largest = max((tools.crystal(phase.name, study.seed) for phase in study.phase), key=len)
    return StudyPlan(list_runs(wanted, tools), probe_cell(largest), lambda: tools.load(study.dtype, 0), study.dtype)


def trial(study: PropertyStudy) -> PropertyStudy:
    """The same study with one cell, one temperature, few steps and one model: whether every run goes to its end."""
    production = (1.05 * least_picoseconds() if "thermal_elasticity" in study.quantities else 0.8) * PS
    phases = [phase.model_copy(update={"edge": Å, "temperatures": phase.temperatures[:1], "equilibration": 0.1 * PS,
                                       "production": production, "runs": 1, "velocity_run": 0.9 * PS})
              for phase in study.phase]  # fmt: skip
    return study.model_copy(update={"phase": tuple(phases), "committee": "first", "disorder_cells": 1, "shifts": 2,
                                    "contact_thickness": min(study.contact_thickness, 5 * Å), "relaxation_steps": 3})  # fmt: skip


def run(
    study: PropertyStudy, out: str | Path, comm: Any = None, progress: Progress | None = None, tools: Toolbox | None = None
) -> list[Property]:
    """Records of a study; writes OUT/records.json, arrhenius.json and problems.json, and pictures.

    pressure.png shows D where it is known at three pressures, structure-PHASE.png g(r) and powder patterns; the others are those
    of `property_pictures`.
    `tools` replaces potential and structures.

    Raises:
        UserError: unknown potential, or a crystal with elements that it does not cover; RunFailure: a run that broke.
    """
    wanted = settings(study)
    records = run_study(wanted, out, comm, progress, tools or toolbox(wanted, effort(study)))
    if comm is None or comm.rank == 0:
        under_pressure.picture(records, Path(out) / "pressure.png")
        property_pictures.draw(records, Path(out))
        structure_reading.pictures(Path(out))
    return records
