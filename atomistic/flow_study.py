"""Study files (TOML) of plastic flow: driven runs of one structure at several temperatures and strain rates, one record each.

Top level: kind = "flow", name, seed, potential, structure (file that ASE reads; its last frame is the start) or a [start] table
(crystal, edge, direction: of a cubic crystal, laid along c), material, temperatures, rates, strain, skip (strain before steady
flow), axis ("a", "b" or "c"), timestep, friction, equilibration (at zero pressure, beforehand; without it the cell is taken as
it is). Paths are relative to the study file. Every run is one task of the scheduler, gone on with after a kill.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from pydantic import Field

from atomistic import dynamics
from atomistic.creep import MINIMUM_WINDOWS, Drive, Flow, driven, flow_record, no_flow
from atomistic.dynamics import DynamicsSettings, Unphysical
from atomistic.scheduler import Progress, Task, run_tasks
from atomistic.study_cost import StudyPlan, reference_seconds
from atomistic.study_start import StartTable, checked, frames
from coupling import toml_input
from coupling.atomic import write_json
from coupling.errors import UserError
from coupling.record import Property, graded
from coupling.store import digest, write_records
from coupling.toml_input import InUnit, Table, Whole

VERSION, READ_VERSION = 2, 4
"""Of the runs, and of what is read off them."""
STORED = 400
"""Points of the stress–strain curve that are kept."""


class FlowStudy(Table):
    """A study of driven flow."""

    kind: Literal["flow"]
    name: str
    seed: Whole = 0
    potential: str
    structure: str | None = None
    start: StartTable | None = None
    material: str
    temperatures: Annotated[tuple[Annotated[float, InUnit("K", above=0.0)], ...], Field(min_length=1)]
    rates: Annotated[tuple[Annotated[float, InUnit("1/s", above=0.0)], ...], Field(min_length=1)]
    strain: Annotated[float, Field(gt=0, le=1)]
    skip: Annotated[float, Field(ge=0)]
    axis: Literal["a", "b", "c"] = "c"
    timestep: Annotated[float, InUnit("s", above=0.0)]
    friction: Annotated[float, InUnit("s", above=0.0)]
    equilibration: Annotated[float, InUnit("s", above=0.0)] | None = None


def read_study(path: str | Path) -> FlowStudy:
    """Read a study; its structure path becomes absolute.

    Raises:
        UserError: no such file, broken TOML, a wrong key, no start or two, or a run too short for a point (with file and line).
    """
    file = toml_input.read(path)
    study = toml_input.validate(file, FlowStudy)
    if study.skip >= study.strain:
        raise UserError(file.refusal(("skip",), f"skip < strain is needed (strain = {study.strain:g})"))
    for number, rate in enumerate(study.rates):
        steady = (study.strain - study.skip) / rate / study.timestep
        if steady < 10 * MINIMUM_WINDOWS:
            told = f"{steady:.0f} steps of steady flow; {10 * MINIMUM_WINDOWS} are needed: a lower rate or a larger strain"
            raise UserError(file.complaint(("rates", number), told))
    return study.model_copy(update={"structure": checked(file, study.structure, study.start)})


def plan(study: FlowStudy) -> StudyPlan:
    """Runs of a study with their cost. Raises UserError: unknown potential, or no start."""
    from atomistic import potential

    atoms, described = frames(study.structure, study.start, study.seed)[-1], potential.describe(study.potential)
    potential.require_elements(atoms, described)
    return StudyPlan(tuple(_tasks(study, atoms, described.sha256)), atoms,
                     lambda: potential.load(study.potential, dtype="float32"))  # fmt: skip


def trial(study: FlowStudy) -> FlowStudy:
    """The same study at one temperature and its highest rate, 20 steps a window long: whether it goes to its end."""
    fastest = max(study.rates)
    strain = 40 * MINIMUM_WINDOWS * study.timestep * fastest
    before = None if study.equilibration is None else 100 * study.timestep
    return study.model_copy(update={"temperatures": study.temperatures[:1], "rates": (fastest,), "strain": strain,
                                    "skip": strain / 2, "equilibration": before})  # fmt: skip


def _tasks(study: FlowStudy, atoms: Atoms, sha256: str) -> list[Task]:
    """One run a temperature and rate."""
    what = study.model_dump(exclude={"name", "material", "structure", "start", "temperatures", "rates", "equilibration"})
    what |= {} if study.equilibration is None else {"equilibration": study.equilibration}
    start = [atoms.numbers.tolist(), atoms.positions.tolist(), atoms.cell.array.tolist()]
    what |= {"version": VERSION, "sha256": sha256, "start": start}

    def listed(T: float, rate: float) -> Task:
        length = study.strain / rate + (study.equilibration or 0.0)
        cost = reference_seconds(len(atoms), length / study.timestep, "float32")
        own = {**what, "T": T, "rate": rate}
        return Task(digest({**own, "read": READ_VERSION}), f"flow {T:g} K {rate:.1e} 1/s", cost, "md", {"T": T, "rate": rate},
                    digest(own), length * 1e12, study.timestep * 1e12)  # fmt: skip

    return [listed(T, rate) for T in study.temperatures for rate in study.rates]


def run(
    study: FlowStudy,
    out: str | Path,
    comm: Any = None,
    progress: Progress | None = None,
    calculator: BaseCalculator | None = None,
) -> list[Property]:
    """One record a temperature and rate; writes OUT/records.json, OUT/problems.json and OUT/flow.png.

    A run whose atoms leave what the potential knows, or that does not flow, gives no record and is told as a problem.
    `calculator` takes the place of the study's potential.

    Raises:
        UserError: wrong input; RunFailure: a run that broke.
    """
    atoms = frames(study.structure, study.start, study.seed)[-1]
    if calculator is None:
        from atomistic import potential

        described = potential.describe(study.potential).sha256
        calculator = potential.load(study.potential, dtype="float32")
    else:
        described = type(calculator).__name__
    listed = _tasks(study, atoms, described)

    def work(task: Task, folder: Path, tick: Callable[[float], None]) -> Mapping[str, Any]:
        try:
            return _one(study, atoms, calculator, task.parameters, folder, tick)
        except Unphysical as broken:
            return {"broken": str(broken)}

    answers = run_tasks(listed, work, out, comm, progress)
    source = {"study": study.name, "potential": study.potential, "potential_sha256": described, "atoms": len(atoms)}
    source |= {"seed": study.seed, "read_beyond_strain": study.skip}
    problems = [f"{t.label}: {answer['broken']}" for t, answer in zip(listed, answers, strict=True) if "broken" in answer]
    flows = [(t.label, _restored(answer)) for t, answer in zip(listed, answers, strict=True) if "broken" not in answer]
    problems += [f"{label}: {reason}" for label, flow in flows if (reason := no_flow(flow)) is not None]
    where = {"axis": study.axis} if study.start is None else {"axis": study.axis, "direction": str(list(study.start.direction))}
    records = [flow_record(flow, study.material, where, source) for _, flow in flows if no_flow(flow) is None]
    records = [graded(record) for record in records]
    if comm is None or comm.rank == 0:
        from atomistic.observable_pictures import curves

        drawn = {label: (flow.strains, flow.stresses * 1e-9, None) for label, flow in flows}
        if drawn:
            curves(Path(out) / "flow.png", drawn, "strain", "uniaxial deviator (GPa)")
        write_json(Path(out) / "problems.json", problems)
        write_records(Path(out) / "records.json", records)
    return records


def _one(
    study: FlowStudy, atoms: Atoms, calculator: BaseCalculator, parameters: Mapping[str, Any], folder: Path,
    tick: Callable[[float], None],
) -> dict[str, Any]:  # fmt: skip
    drive = Drive(parameters["rate"], study.strain, study.skip, parameters["T"], "abc".index(study.axis), study.timestep * 1e15,
                  study.friction * 1e15, study.seed)  # fmt: skip
    found = driven(_equilibrated(study, atoms, calculator, parameters["T"], folder), calculator, drive, tick, folder)
    parts = [part for part in np.array_split(np.arange(len(found.strains)), STORED) if len(part)]
    return {
        "stress": found.stress, "stderr": found.stderr, "rate": found.rate, "temperature": found.temperature,
        "drift": found.drift, "greatest": found.greatest, "crystals": found.crystals,
        "strains": [float(found.strains[part].mean()) for part in parts],
        "stresses": [float(found.stresses[part].mean()) for part in parts],
    }  # fmt: skip


def _equilibrated(study: FlowStudy, atoms: Atoms, calculator: BaseCalculator, temperature: float, folder: Path) -> Atoms:
    """The atoms after a run at zero pressure and the temperature (K), with its momenta; as they are where none is wanted."""
    if study.equilibration is None:
        return atoms
    step = study.timestep * 1e15
    settings = DynamicsSettings(
        temperature, study.equilibration * 1e12, ensemble="npt", timestep=step, friction_time=study.friction * 1e15,
        frame_interval=25 * step, checkpoint_interval=250 * step, seed=study.seed,
    )  # fmt: skip
    return dynamics.run(atoms, calculator, settings, folder / "equilibration").final


def _restored(answer: Mapping[str, Any]) -> Flow:
    return Flow(answer["stress"], answer["stderr"], answer["rate"], np.array(answer["strains"]), np.array(answer["stresses"]),
                answer["temperature"], tuple(answer["drift"]), tuple(answer["greatest"]), tuple(answer["crystals"]))  # fmt: skip
