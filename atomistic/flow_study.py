"""Study files (TOML) of plastic flow: driven runs of one structure at several temperatures and strain rates, one record each.

Top level: kind = "flow", name, seed, potential, structure (file that ASE reads; its last frame is the start), material,
temperatures, rates, strain, skip (strain before steady flow), axis ("a", "b" or "c"), timestep, friction. Paths are relative to
the study file. Every run is one task of the scheduler.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from pydantic import Field

from atomistic.creep import Drive, Flow, driven, flow_record
from atomistic.scheduler import Progress, Task, run_tasks
from coupling import toml_input
from coupling.record import Property
from coupling.store import digest, write_records
from coupling.toml_input import InUnit, Table, Whole

VERSION = 1
STORED = 400
"""Points of the stress–strain curve that are kept."""


class FlowStudy(Table):
    """A study of driven flow."""

    kind: Literal["flow"]
    name: str
    seed: Whole = 0
    potential: str
    structure: str
    material: str
    temperatures: Annotated[tuple[Annotated[float, InUnit("K", above=0.0)], ...], Field(min_length=1)]
    rates: Annotated[tuple[Annotated[float, InUnit("1/s", above=0.0)], ...], Field(min_length=1)]
    strain: Annotated[float, Field(gt=0, le=1)]
    skip: Annotated[float, Field(ge=0)]
    axis: Literal["a", "b", "c"] = "c"
    timestep: Annotated[float, InUnit("s", above=0.0)]
    friction: Annotated[float, InUnit("s", above=0.0)]


def read_study(path: str | Path) -> FlowStudy:
    """Read a study; its structure path becomes absolute. Raises UserError: no such file, broken TOML, a wrong key."""
    study = toml_input.validate(toml_input.read(path), FlowStudy)
    return study.model_copy(update={"structure": str(Path(path).resolve().parent / study.structure)})


def run(
    study: FlowStudy,
    out: str | Path,
    comm: Any = None,
    progress: Progress | None = None,
    calculator: BaseCalculator | None = None,
) -> list[Property]:
    """One record a temperature and rate; writes OUT/records.json and OUT/flow.png. `calculator` replaces the potential.

    Raises:
        UserError: wrong input; RunFailure: a run that broke.
    """
    from atomistic.diffusivity import read_frames

    atoms = read_frames(study.structure)[-1]
    if calculator is None:
        from atomistic import potential

        described = potential.describe(study.potential).sha256
        calculator = potential.load(study.potential, dtype="float32")
    else:
        described = type(calculator).__name__
    what = study.model_dump(exclude={"name", "material", "structure", "temperatures", "rates"})
    start = [atoms.numbers.tolist(), atoms.positions.tolist(), atoms.cell.array.tolist()]
    what |= {"version": VERSION, "sha256": described, "start": start}
    pairs = [(T, rate) for T in study.temperatures for rate in study.rates]
    listed = [
        Task(digest({**what, "T": T, "rate": rate}), f"flow {T:g} K {rate:.1e} 1/s", 1e12 / rate, "md", {"T": T, "rate": rate})
        for T, rate in pairs
    ]

    def work(task: Task, folder: Path, tick: Callable[[float], None]) -> Mapping[str, Any]:
        return _one(study, atoms, calculator, task.parameters, tick)

    answers = run_tasks(listed, work, out, comm, progress)
    source = {"study": study.name, "potential": study.potential, "potential_sha256": described, "atoms": len(atoms)}
    source["seed"] = study.seed
    flows = [_restored(answer) for answer in answers]
    records = [flow_record(flow, study.material, {"axis": study.axis}, source) for flow in flows]
    if comm is None or comm.rank == 0:
        from atomistic.observable_pictures import curves

        drawn = {task.label: (flow.strains, flow.stresses * 1e-9, None) for task, flow in zip(listed, flows, strict=True)}
        curves(Path(out) / "flow.png", drawn, "strain", "uniaxial deviator (GPa)")
        write_records(Path(out) / "records.json", records)
    return records


def _one(
    study: FlowStudy, atoms: Atoms, calculator: BaseCalculator, parameters: Mapping[str, Any], tick: Callable[[float], None]
) -> dict[str, Any]:
    drive = Drive(parameters["rate"], study.strain, study.skip, parameters["T"], "abc".index(study.axis), study.timestep * 1e15,
                  study.friction * 1e15, study.seed)  # fmt: skip
    found = driven(atoms, calculator, drive, tick)
    parts = [part for part in np.array_split(np.arange(len(found.strains)), STORED) if len(part)]
    return {
        "stress": found.stress, "stderr": found.stderr, "rate": found.rate, "temperature": found.temperature,
        "strains": [float(found.strains[part].mean()) for part in parts],
        "stresses": [float(found.stresses[part].mean()) for part in parts],
    }  # fmt: skip


def _restored(answer: Mapping[str, Any]) -> Flow:
    return Flow(answer["stress"], answer["stderr"], answer["rate"], np.array(answer["strains"]), np.array(answer["stresses"]),
                answer["temperature"])  # fmt: skip
