"""Study files (TOML) of one grain boundary of a cubic crystal: diffusion, excess energy, softening, separation.

Top level: kind = "boundary", name, potential, seed, crystal (structures.toml), sigma, axis, plane, thickness (of each grain), gap
(between the grains as built; the height gives afterwards), temperatures, equilibration, length, timestep, frame, window (of the
displacements), layers (between a boundary and the middle of a grain), softening and separation (true or false), dtype,
relaxation_steps (most steps of a relaxation, for trials). At every temperature the cell with two boundaries and the crystal in
the same orientation are run at constant volume, both relaxed at 0 K with their height first. Pulled apart at rest, they tell
the work of separation of the boundary and of the crystal in its plane. Every run is one task of the scheduler.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from pydantic import Field

from atomistic import boundary_transport, boundary_width, dynamics, grain_boundary, separation, structures
from atomistic.answers import Answered
from atomistic.dynamics import DynamicsSettings
from atomistic.relaxation import relaxed
from atomistic.scheduler import Progress, Task, run_tasks
from atomistic.study_cost import StudyPlan, reference_seconds
from coupling import toml_input
from coupling.atomic import write_json
from coupling.errors import RunFailure, UserError
from coupling.record import Property, graded
from coupling.store import digest, write_records
from coupling.toml_input import Flag, InUnit, Table, Whole
from coupling.units import surface_energy_to_si

VERSION, READ_VERSION = 1, 5
"""Of the runs, and of what is read off them."""
Å, FS, PS = 1e-10, 1e-15, 1e-12
Count = Annotated[Whole, Field(ge=1)]
Time = Annotated[float, InUnit("s", above=0.0)]
Miller = tuple[Whole, Whole, Whole]
SIDES = ("boundary", "crystal")
CALLS_OF_REST, CALLS_OF_SOFTENING, CALLS_OF_SEPARATION = 400, 600, 400
"""Force calls that a cell usually takes to come to rest, for its modulus, and opened and closed at one boundary."""


NOTHING = 1e-5
"""Energy of a boundary, eV/Å², that is none."""


class BoundaryStudy(Table):
    """A study of a grain boundary."""

    kind: Literal["boundary"]
    name: str
    potential: str
    seed: Annotated[Whole, Field(ge=0)] = 0
    crystal: str
    sigma: Annotated[Whole, Field(ge=3)]
    axis: Miller
    plane: Miller
    thickness: Annotated[float, InUnit("m", above=0.0)]
    gap: Annotated[float, InUnit("m", at_least=0.0, below=5 * Å)] = 0.0
    temperatures: Annotated[tuple[Annotated[float, InUnit("K", above=0.0)], ...], Field(min_length=1)]
    equilibration: Time
    length: Time
    timestep: Time
    frame: Time
    window: Time
    layers: Annotated[Whole, Field(ge=2)] = 4
    softening: Flag = True
    separation: Flag = True
    relaxation_steps: Count | None = None
    dtype: Literal["float32", "float64"] = "float32"


def read_study(path: str | Path) -> BoundaryStudy:
    """Read a study.

    Raises:
        UserError: no such file, broken TOML, a wrong key, an unknown crystal or one that is not cubic, an impossible rotation.
    """
    file = toml_input.read(path)
    study = toml_input.validate(file, BoundaryStudy)
    try:
        structures.bulk(study.crystal)
        grain_boundary.coincidence(study.sigma, study.axis, study.plane)
    except UserError as error:
        key = "crystal" if "structure" in str(error) else "sigma"
        raise UserError(file.complaint((key,), str(error))) from None
    for key, unit, told in (("frame", study.timestep, "timestep"), ("window", 2 * study.frame, "two frames")):
        ratio = getattr(study, key) / unit
        if abs(ratio - round(ratio)) > 1e-6 or round(ratio) < 1:
            raise UserError(file.refusal((key,), f"it must be a whole multiple of {unit / FS:g} fs ({told})"))
    windows = int((round(study.length / study.frame) - 1) / round(study.window / study.frame))
    if windows < boundary_transport.FEWEST_WINDOWS:
        told = f"{windows} windows fit into the run; at least {boundary_transport.FEWEST_WINDOWS} are needed"
        raise UserError(file.refusal(("window",), told))
    return study


def starts(study: BoundaryStudy) -> dict[str, Atoms]:
    """Cell with two boundaries, and the first grain alone. Raises UserError: a crystal that is not cubic."""
    wanted = (study.crystal, study.sigma, study.axis, study.plane, study.thickness / Å)
    joined = grain_boundary.grain_boundary(*wanted, gap=study.gap / Å)
    return {"boundary": joined, "crystal": grain_boundary.single_grain(*wanted)}


def plan(study: BoundaryStudy) -> StudyPlan:
    """Runs of a study with their cost. Raises UserError: unknown potential, or a boundary that cannot be built."""
    from atomistic import potential

    cells, described = starts(study), potential.describe(study.potential)
    potential.require_elements(cells["crystal"], described)
    rest, moving, last = _tasks(study, cells, described.sha256)
    return StudyPlan((*rest, *moving, *last), cells["crystal"], lambda: potential.load(study.potential, dtype=study.dtype),
                     study.dtype)  # fmt: skip


def trial(study: BoundaryStudy) -> BoundaryStudy:
    """The same study with thin grains, one temperature, few steps and the fewest windows: whether it goes to its end."""
    step = study.timestep
    length = 2 * step * (boundary_transport.FEWEST_WINDOWS + 1) + step
    return study.model_copy(update={"thickness": Å, "temperatures": study.temperatures[:1], "equilibration": 2 * step,
                                    "length": length, "frame": step, "window": 2 * step, "layers": 2,
                                    "relaxation_steps": 3})  # fmt: skip


def _tasks(study: BoundaryStudy, cells: Mapping[str, Atoms], sha256: str) -> tuple[list[Task], list[Task], list[Task]]:
    """Both cells brought to rest, both run at every temperature, and softening and separation if they are asked for."""
    made = study.model_dump(exclude={"name", "temperatures", "window", "layers", "softening", "separation", "relaxation_steps",
                                     "gap"})  # fmt: skip
    later = {"relaxation_steps": study.relaxation_steps, "gap": study.gap}  # keys that came after runs were kept
    made |= {name: value for name, value in later.items() if value}
    read = {"window": study.window, "layers": study.layers, "read": READ_VERSION}
    steps = (study.equilibration + study.length) / study.timestep

    def listed(kind: str, side: str, cost: float, **more: Any) -> Task:
        what = {**made, "version": VERSION, "sha256": sha256, "run": kind, "side": side, **more}
        own = what if kind == "run" else {**what, "length": None}  # what is done at 0 K knows of no length
        told = f"{study.name}: {kind} of the {side}" + (f" at {more['T']:g} K" if "T" in more else "")
        shared = digest({**what, "length": None, **dict.fromkeys(read)})
        moved = (study.equilibration + study.length) / PS if kind == "run" else 0.0
        return Task(digest(own), told, cost, kind, {"side": side, **more}, shared if kind == "run" else "", moved)

    def calm(side: str, usual: int) -> float:
        return reference_seconds(len(cells[side]), usual if study.relaxation_steps is None else 6 * study.relaxation_steps)

    opening = {"vacuum": separation.VACUUM, "force": separation.FORCE, "steps": study.relaxation_steps or separation.STEPS}
    soft = [listed("softening", "boundary", sum(calm(side, CALLS_OF_SOFTENING) for side in SIDES))]
    apart = [listed("separation", side, calm(side, times * CALLS_OF_SEPARATION), **opening)
             for side, times in zip(SIDES, (2, 1), strict=True)]  # fmt: skip
    return (
        [listed("rest", side, calm(side, CALLS_OF_REST)) for side in SIDES],
        [listed("run", side, reference_seconds(len(cells[side]), steps, study.dtype), T=T, **read)
         for T in study.temperatures for side in SIDES],
        (soft if study.softening else []) + (apart if study.separation else []),
    )  # fmt: skip


def run(
    study: BoundaryStudy, out: str | Path, comm: Any = None, progress: Progress | None = None,
    calculator: BaseCalculator | None = None,
) -> list[Property]:  # fmt: skip
    """Records of a study: energy at 0 K and at temperature, D along and across by layers, width, softening, separation.

    Writes OUT/records.json, layers.json (D against distance), problems.json (what the runs do not bear), layers.png and width.png
    (distances of the framework from its sites against the height).
    `calculator` replaces the potential.

    Raises:
        UserError: wrong input; RunFailure: a run that broke.
    """
    from atomistic import potential

    out = Path(out)
    sha256 = type(calculator).__name__ if calculator else potential.describe(study.potential).sha256
    cells = starts(study)
    rest, moving, last = _tasks(study, cells, sha256)

    def load(dtype: str) -> BaseCalculator:
        return calculator or potential.load(study.potential, dtype=dtype)

    def work(task: Task, folder: Path, tick: Callable[[float], None]) -> Mapping[str, Any]:
        if task.kind == "rest":
            return _rest(cells[task.parameters["side"]], load("float64"), study.relaxation_steps)
        if task.kind == "softening":
            return _softening(at_rest, load("float64"), study.relaxation_steps)
        if task.kind == "separation":
            return _separation(at_rest[task.parameters["side"]], load("float64"), task.parameters)
        side = task.parameters["side"]
        return _run(study, cells[side], at_rest[side], load(study.dtype), task.parameters["T"], folder, tick)

    found = run_tasks(rest, work, out, comm, progress)
    at_rest = {side: _restored(cells[side], answer) for side, answer in zip(SIDES, found, strict=True)}
    answers = run_tasks(moving, work, out, comm, progress)
    ends = list(zip(last, run_tasks(last, work, out, comm, progress) if last else [], strict=True))
    source = {"study": study.name, "potential": study.potential, "potential_sha256": sha256, "seeds": [study.seed],
              "atoms": len(cells["boundary"]), "atoms_crystal": len(cells["crystal"]), "dtype": study.dtype,
              "removed_atoms": cells["boundary"].info["removed"], "gap_m": study.gap,
              "shift": cells["boundary"].info.get("shift")}  # fmt: skip
    records, layers, notes = _records(study, at_rest, list(zip(rest, found, strict=True)),
                                      list(zip(moving, answers, strict=True)), source)  # fmt: skip
    records += _soft_records(study, [end for end in ends if end[0].kind == "softening"], source, notes)
    for task, answer in ends:
        if task.kind == "separation":
            records += _separation_records(study, task, answer, source, notes)
    records, told = separation.consistent(records)
    notes += told
    records = [graded(record) for record in records]
    if comm is None or comm.rank == 0:
        write_json(out / "layers.json", layers)
        write_json(out / "problems.json", notes)
        write_records(out / "records.json", records)
        _picture(layers, out / "layers.png")
        _width_picture(study, answers, out / "width.png")
    return records


def _rest(atoms: Atoms, calculator: BaseCalculator, steps: int | None = None) -> dict[str, Any]:
    """Relaxed atoms; only the height of the cell gives, so that both cells keep the crystal's plane. `steps`: at most."""
    dynamics.forget(calculator)
    most = steps or 100
    calm = relaxed(atoms, calculator, force=0.05, steps=steps or 300, strict=False)
    for _ in range(2):  # height of no normal stress, by a secant
        normal = float(calm.get_stress()[2])
        stretched = _stretched(calm, 2e-3, calculator, most)
        slope = (float(stretched.get_stress()[2]) - normal) / 2e-3
        calm = _stretched(calm, float(np.clip(-normal / slope, -0.03, 0.03)), calculator, most)
    return {"positions": calm.positions.tolist(), "cell": calm.cell.array.tolist(), "energy": float(calm.get_potential_energy()),
            "normal_stress_eV_A3": float(calm.get_stress()[2])}  # fmt: skip


def _stretched(atoms: Atoms, strain: float, calculator: BaseCalculator, steps: int) -> Atoms:
    """Relaxed atoms in a cell that is longer along its third vector by a share `strain`."""
    moved = atoms.copy()
    cell = moved.cell.array.copy()
    cell[2] *= 1 + strain
    moved.set_cell(cell, scale_atoms=True)
    return relaxed(moved, calculator, force=0.05, steps=steps, strict=False)


def _restored(atoms: Atoms, answer: Mapping[str, Any]) -> Atoms:
    calm = atoms.copy()
    calm.set_cell(answer["cell"])
    calm.positions = answer["positions"]
    return calm


def _run(
    study: BoundaryStudy, built: Atoms, atoms: Atoms, calculator: BaseCalculator, temperature: float, folder: Path,
    tick: Callable[[float], None],
) -> dict[str, Any]:  # fmt: skip
    """Equilibration and run at constant volume of `atoms`; potential energies, D by layers, distances from the `built` sites."""
    dynamics.forget(calculator)
    frame = study.frame / FS
    common: dict[str, Any] = {"temperature": temperature, "timestep": study.timestep / FS, "seed": study.seed,
                              "frame_interval": frame, "checkpoint_interval": 10 * frame}  # fmt: skip
    share = study.equilibration / (study.equilibration + study.length)
    warm = dynamics.run(atoms, calculator, DynamicsSettings(picoseconds=study.equilibration / PS, friction_time=100.0, **common),
                        folder / "equilibration", lambda part: tick(share * part))  # fmt: skip
    found = dynamics.run(warm.final, calculator, DynamicsSettings(picoseconds=study.length / PS, friction_time=500.0, **common),
                         folder / "production", lambda part: tick(share + (1 - share) * part))  # fmt: skip
    moving = np.flatnonzero(found.numbers == 3)
    answer: dict[str, Any] = {
        "energies": found.potential_energies.tolist(), "picoseconds": found.picoseconds, "halvings": found.halvings,
        "mean_temperature_K": float(found.temperatures.mean()),
    }  # fmt: skip
    if 2 in built.get_tags():
        framework = np.flatnonzero(found.numbers != 3)
        try:
            answer["framework"] = boundary_width.disorder(found.positions, built, framework, found.cells[0]).to_json()
        except UserError as error:
            answer["framework"] = {"problem": str(error)}
    try:
        window = 2 * round(study.window / study.frame / 2)
        layers = boundary_transport.layers(found.positions, moving, found.cells[0], frame, window, study.layers)
    except UserError as error:
        return {**answer, "problem": str(error)}
    names = ("distance", "along", "across", "along_stderr", "across_stderr", "counts", "replicates", "hops", "squares")
    return {**answer, **{name: getattr(layers, name).tolist() for name in names}, "width": layers.width, "window": layers.window,
            "hop_length": layers.hop_length}  # fmt: skip


def _softening(at_rest: Mapping[str, Atoms], calculator: BaseCalculator, steps: int | None = None) -> dict[str, Any]:
    """Moduli along the normal at 0 K."""
    try:
        soft = boundary_transport.softening(at_rest["boundary"], at_rest["crystal"], calculator, force=0.03, steps=steps or 400)
    except RunFailure as failure:
        return {"problem": str(failure)}
    return {"ratio": soft.ratio, "compliance": soft.compliance, "cell": soft.cell, "crystal": soft.crystal}


def _separation(atoms: Atoms, calculator: BaseCalculator, opening: Mapping[str, Any]) -> dict[str, Any]:
    """Works of separation of a cell at rest."""
    try:
        return separation.measured(atoms, calculator, opening["vacuum"], opening["force"], opening["steps"])
    except RunFailure as failure:
        return {"problem": str(failure)}


def _records(
    study: BoundaryStudy, at_rest: Mapping[str, Atoms], rest: Answered, answers: Answered, source: Mapping[str, Any],
) -> tuple[list[Property], list[dict[str, Any]], list[str]]:  # fmt: skip
    """Records of energies, width and diffusion, the layers of every temperature, and notes."""
    cold, notes = _cold_energy(study, at_rest, [answer for _, answer in rest], {**source, "keys": [task.key for task, _ in rest]})
    records, layers = [cold], []
    for place, T in enumerate(study.temperatures):
        both = answers[2 * place : 2 * place + 2]
        pair = {side: answer for side, (_, answer) in zip(SIDES, both, strict=True)}
        own = {**source, "picoseconds": pair["boundary"]["picoseconds"], "keys": [task.key for task, _ in both]}
        made, told = _warm_records(study, T, at_rest, pair, own)
        records += made
        notes += [f"{T:g} K: {each}" for each in told]
        if "problem" not in pair["boundary"]:
            found = _layers(pair["boundary"])
            layers.append({"temperature_K": T, "distance_m": (found.distance * Å).tolist(), "along": found.along.tolist(),
                           "across": found.across.tolist(), "along_stderr": found.along_stderr.tolist(),
                           "across_stderr": found.across_stderr.tolist()})  # fmt: skip
    return records, layers, notes


def _cold_energy(
    study: BoundaryStudy, at_rest: Mapping[str, Atoms], rest: Sequence[Mapping[str, Any]], source: Mapping[str, Any]
) -> tuple[Property, list[str]]:
    """Excess energy at 0 K, and a note where it lies below zero."""
    own, other = (at_rest[side] for side in SIDES)
    area = float(np.linalg.norm(np.cross(own.cell[0], own.cell[1])))
    calm = (rest[0]["energy"] - len(own) / len(other) * rest[1]["energy"]) / (2 * area)
    told, notes = "relaxed, one shift, so no error is known", []
    if calm < -NOTHING:  # a boundary costs energy; mobile ions settle in one of many minima
        told += "; below zero: the crystal settled in a higher minimum than the cell with boundaries; take that of a temperature"
        notes.append(f"0 K: excess energy of the boundary: {told}")
    where = {**_where(study), "temperature_K": 0.0}
    excess = float(surface_energy_to_si(calm))
    told_of = {**source, "method": told}
    return Property(study.crystal, "boundary_energy", excess, "J/m^2", conditions=where, source=told_of), notes


def _warm_records(
    study: BoundaryStudy, temperature: float, at_rest: Mapping[str, Atoms], pair: Mapping[str, Mapping[str, Any]],
    source: Mapping[str, Any],
) -> tuple[list[Property], list[str]]:  # fmt: skip
    """What both runs at a temperature tell, all of low confidence where the framework left the crystal's sites; notes."""
    material, where, own = study.crystal, {**_where(study), "temperature_K": temperature}, pair["boundary"]
    (hot, calm), (cell, crystal) = ([np.array(pair[side]["energies"]) for side in SIDES], [at_rest[side] for side in SIDES])
    value, error = boundary_transport.excess_energy(hot, calm, cell, crystal)
    records = [Property(material, "boundary_energy", value, "J/m^2", stderr=error, conditions=where, source=source)]
    framework, notes = own["framework"], []
    if "problem" in framework:
        notes.append(framework["problem"])
    else:
        wide, notes = boundary_width.records(boundary_width.Disorder.from_json(framework), material, where, source)
        records += wide
    if "problem" in own:
        notes.append(own["problem"])
    else:
        records += boundary_transport.records(_layers(own), material, where, source, "Li")
        notes += boundary_transport.without_width(_layers(own))
    return [replace(record, confidence="low") for record in records] if framework.get("lost") else records, notes


def _where(study: BoundaryStudy) -> dict[str, Any]:
    """Conditions that name the boundary; the crystal is ordered, whatever the disorder of a case."""
    disorder = {"disorder": 0.0} if study.crystal == "Li6PS5Cl" else {}
    named = {"boundary": f"sigma {study.sigma} ({' '.join(map(str, study.plane))})", "axis": " ".join(map(str, study.axis))}
    return named | disorder


def _layers(answer: Mapping[str, Any]) -> boundary_transport.Layers:
    names = ("distance", "along", "across", "along_stderr", "across_stderr", "counts", "replicates")
    arrays: dict[str, Any] = {name: np.array(answer[name]) for name in names}
    if "hops" in answer:  # runs of before did not count
        arrays |= {"hops": np.array(answer["hops"]), "squares": np.array(answer["squares"]), "hop_length": answer["hop_length"]}
    return boundary_transport.Layers(**arrays, width=answer["width"], window=answer["window"])


def _soft_records(
    study: BoundaryStudy, soft: Answered, source: Mapping[str, Any], notes: list[str]
) -> list[Property]:
    """Softening, or a note why there is none."""
    records = []
    where = {**_where(study), "temperature_K": 0.0}
    for task, answer in soft:
        if "problem" in answer:
            notes.append(f"softening: {answer['problem']}")
            continue
        kinds = (("modulus_ratio_along_normal", "ratio", "1"), ("boundary_excess_compliance", "compliance", "m/Pa"))
        for name, key, unit in kinds:
            value, error = answer[key]
            records.append(Property(study.crystal, name, value, unit, stderr=error, conditions=where,
                                    source={**source, "keys": [task.key]}))  # fmt: skip
    return records


def _separation_records(
    study: BoundaryStudy, task: Task, answer: Mapping[str, Any], source: Mapping[str, Any], notes: list[str]
) -> list[Property]:
    """Work of separation of one side and the fracture energy that it bounds, or a note why there is none."""
    side = task.parameters["side"]
    if "problem" in answer:
        notes.append(f"separation of the {side}: {answer['problem']}")
        return []
    own = {**source, "keys": [task.key]}
    records, told = separation.records(study.crystal, side, answer, {**_where(study), "temperature_K": 0.0}, own)
    notes += told
    return records


def _picture(layers: list[dict[str, Any]], path: Path) -> None:
    """D along and across against the distance from the boundary."""
    from atomistic.observable_pictures import curves

    drawn = {}
    for one in layers:
        places = np.array(one["distance_m"]) * 1e10
        for name in ("along", "across"):
            drawn[f"{name}, {one['temperature_K']:g} K"] = (places, np.array(one[name]), np.array(one[f"{name}_stderr"]))
    if drawn:
        curves(path, drawn, "distance from the boundary (Å)", "D (m²/s)", points=tuple(drawn))


def _width_picture(study: BoundaryStudy, answers: list[dict[str, Any]], path: Path) -> None:
    """Distances of the framework from its sites against the height over the boundary, with the fitted widths."""
    from atomistic.observable_pictures import curves

    shown: dict[str, Any] = {}
    for T, answer in zip(study.temperatures, answers[::2], strict=True):
        if "problem" not in answer["framework"]:
            parts = boundary_width.drawn(boundary_width.Disorder.from_json(answer["framework"]))
            shown |= {f"{name}, {T:g} K": part for name, part in parts.items()}
    if shown:
        told = "distance from the site / its mean"
        curves(path, shown, "height over the boundary (Å)", told, points=[name for name in shown if name.startswith("atoms")])
