"""Study files (TOML) of nucleation: biased runs for F(n), unbiased runs for the attachment rate, rates as a table of records.

Top level: name, seed, potential, structure (file that ASE reads; its frames are the walkers' starts, in turn) or a [start]
table (crystal, edge, disorder), material (name of the records of a structure; else its formula), temperatures, overpotentials,
pressures, cell_overpotential (against lithium metal; absent: unknown), [cluster] (see clusters.ClusterSettings), [bias],
[attachment], [infrequent] for escapes under rare hills, [classical] for the classical theory beside it (surface_energy and its
error, or surface_energy_records, a record file that has them of the same metal), and any number of [[place]] tables (name, low,
high: depths along the third cell vector): metal is then counted there alone, each place has a free energy and rates of its own,
for its own volume; [surroundings] (moving, still) leaves out what is far from it (`cutout`). Paths are relative to the study
file. Every temperature and place is a task of the scheduler: shared by MPI ranks, kept, gone on with after a kill (biased runs
from their last checkpoint, what follows them and escapes anew). Every time
F(n) is read off what the biased runs keep of their visits, the attachment rate off the sizes that the unbiased ones keep. Where
no attachment is seen, rates are upper bounds (`nucleation_limits`).
"""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator

from atomistic import nucleation, nucleation_limits, study_start
from atomistic.clusters import ClusterSettings, LargestCluster, largest_cluster
from atomistic.cutout import cut_out
from atomistic.dynamics import Unphysical
from atomistic.metadynamics import Bias, FreeEnergy, Hills, LongerRun, SamplingSettings, escapes, free_energy, kept, sample
from atomistic.nucleation import Attachment
from atomistic.nucleation_tables import NucleationStudy, PlaceTable
from atomistic.scheduler import Progress, Task, run_tasks
from atomistic.study_cost import StudyPlan, reference_seconds
from atomistic.study_start import checked
from atomistic.study_start import frames as read_start
from atomistic.walkers import Molecular, moving_atoms
from coupling import toml_input
from coupling.atomic import write_json
from coupling.errors import UserError
from coupling.nucleation import drives_told
from coupling.record import Property, graded
from coupling.store import digest, write_records

VERSION, READ_VERSION = 3, 6
SKIP, BLOCKS = 0.3, 20
"""Share of a biased run during which the bias still grows, and blocks of the rest of a walker's (metadynamics.free_energy)."""
Å = 1e-10


def read_study(path: str | Path) -> NucleationStudy:
    """Read a study; its structure path becomes absolute.

    Raises:
        UserError: no such file, broken TOML, a wrong key, no start or two, wrong depths, or runs too short for what is read off
            them (with file and line).
    """
    file = toml_input.read(path)
    study = toml_input.validate(file, NucleationStudy)
    known = set(ClusterSettings.__dataclass_fields__)
    for key in study.cluster:
        if key not in known:
            raise UserError(file.complaint(("cluster", key), f"unknown key; {toml_input.nearest(key, sorted(known))}"))
    if len({place.name for place in study.place}) < len(study.place):
        raise UserError(file.complaint(("place",), "two places of one name"))
    cluster = study.cluster | ({"foreign": tuple(study.cluster["foreign"])} if "foreign" in study.cluster else {})
    structure = checked(file, study.structure, study.start)
    if study.surroundings is not None and not study.place:
        raise UserError(file.refusal(("surroundings",), "of no place; add a [[place]], or leave it out"))
    if study.start is not None and study.material is not None:
        told = f"records of a crystal bear its name ({study.start.crystal}); it names a structure's only"
        raise UserError(file.refusal(("material",), told))
    study = study.model_copy(update={"structure": structure, "cluster": cluster})
    for number, place in enumerate(study.place or (None,)):
        try:
            _settings(study, place)
        except (UserError, TypeError) as error:
            raise UserError(file.complaint(("cluster",) if place is None else ("place", number), str(error))) from None
    if narrow := _narrow(study):
        raise UserError(file.refusal(("surroundings",), narrow))
    if study.classical is not None:
        try:
            found = study.classical.with_records(file.path.resolve().parent, _settings(study).element)
        except UserError as error:
            raise UserError(file.complaint(("classical", "surface_energy_records"), str(error))) from None
        study = study.model_copy(update={"classical": found})
    sampled = _sampling(study)
    times = sampled.steps // sampled.record
    if (1 - SKIP) * times < BLOCKS:
        told = f"{times} recorded sizes a walker; {math.ceil(BLOCKS / (1 - SKIP))} are needed: shorter record, or longer"
        raise UserError(file.refusal(("bias", "length"), told))
    sizes = _unbiased_steps(study) // _apart(study)
    if sizes <= 2 * study.attachment.lags:
        told = f"{sizes} sizes a walker; more than twice lags = {study.attachment.lags} are needed: shorter record, or longer"
        raise UserError(file.refusal(("attachment", "length"), told))
    return study


def _narrow(study: NucleationStudy) -> str:
    """What is wrong with surroundings that leave out atoms by which those of the place are counted; "" where nothing is."""
    around, c = study.surroundings, _settings(study)
    needed = max(c.outer, c.link, c.foreign_outer if c.foreign else 0.0) + c.edge / 2
    if around is None or (around.moving + around.still) / Å >= needed:
        return ""
    return f"moving and still are {(around.moving + around.still) / Å:g} Å; {needed:g} are needed to count metal in the place"


def plan(study: NucleationStudy) -> StudyPlan:
    """Runs of a study with their cost (escapes as long as they may be). Raises UserError: unknown potential, or no start."""
    from atomistic import potential

    waits = study_start.unreacted(study.structure)  # of a study that has not run yet: as many atoms, and the same cost
    atoms = starts(study) if waits is None else [waits.atoms]
    described = potential.describe(study.potential)
    potential.require_elements(atoms[0], described)
    tasks, note = tuple(_tasks(study, atoms, described.sha256)), "" if waits is None else waits.note
    return StudyPlan(tasks, atoms[0], lambda: potential.load(study.potential, dtype="float32"), note=note)


def trial(study: NucleationStudy) -> NucleationStudy:
    """The same study at one temperature and place, two walkers and the fewest sizes: whether it goes to its end.

    From the structure of a reaction study that has not run yet it starts where that study's own trial does.
    """
    step = study.bias.timestep
    bias = study.bias.model_copy(update={"walkers": 2, "length": 80 * step, "interval": 10 * step, "record": 2 * step})
    attachment = study.attachment.model_copy(update={"length": 30 * step, "record": step, "lags": 4})
    return study.model_copy(update={"temperatures": study.temperatures[:1], "place": study.place[:1], "bias": bias,
                                    "structure": study_start.of_trial(study.structure), "attachment": attachment,
                                    "infrequent": None})  # fmt: skip


def _tasks(study: NucleationStudy, frames: list[Atoms], sha256: str) -> list[Task]:
    """Biased runs of every temperature and place, then escapes if they are asked for."""
    what = study.model_dump(exclude={"overpotentials", "pressures", "cell_overpotential", "classical", "temperatures", "name",
                                     "material", "start", "place", *(("surroundings",) if study.surroundings is None else ())})
    what["structure"] = [_told(frame) for frame in frames]
    bias, rare = study.bias, study.infrequent
    steps = {"bias": bias.walkers * (bias.length + study.attachment.length) / bias.timestep}
    if rare is not None:
        steps["infrequent"] = rare.walkers * rare.most / bias.timestep
    listed, step = [], bias.walkers * bias.timestep * 1e12
    for kind, calls in steps.items():
        moved = (1e12 * bias.timestep * calls, step) if kind == "bias" else (0.0, 0.0)  # escapes are not kept on the way
        for T, number in _runs(study):
            where = {} if number is None else {"place": study.place[number].model_dump(exclude={"name"})}
            own = {**what, "T": T, "version": VERSION, "sha256": sha256, "run": kind, **where}
            unread = {"bias": {**what["bias"], "length": None}, "attachment": None}
            own = {**own, **unread} if kind == "infrequent" else own  # escapes know neither
            label = f"{kind} {T:g} K" + ("" if number is None else f" {study.place[number].name}")
            atoms = len(_near(study, frames, None if number is None else study.place[number])[0])
            listed.append(Task(digest(own), label, reference_seconds(atoms, calls, "float32"), kind, {"T": T, "place": number},
                               digest({**own, **unread}), *moved))  # fmt: skip
    return listed


def _told(frame: Atoms) -> list[Any]:
    """A start as the key of its runs has it: elements, places, cell, and which atoms move where some are held fixed."""
    moving = moving_atoms(frame).tolist() if frame.constraints else None
    whole = [frame.numbers.tolist(), frame.positions.tolist(), frame.cell.array.tolist()]
    return whole if moving is None else [*whole, moving]


def _runs(study: NucleationStudy) -> list[tuple[float, int | None]]:
    """Every temperature with the number of every place, None where there are no places."""
    return [(T, number) for T in study.temperatures for number in (range(len(study.place)) if study.place else (None,))]


def starts(study: NucleationStudy) -> list[Atoms]:
    """Frames of the study's structure, the walkers' starts in turn.

    Raises:
        UserError: an unreadable file, one that is not periodic in three directions, depths beyond its cell, or a place without
            an atom of the element around it.
    """
    frames = read_start(study.structure, study.start, study.seed)
    if not all(frame.pbc.all() and frame.cell.rank == 3 for frame in frames):
        raise UserError(f"{study.structure}: a nucleation rate needs a structure that is periodic in three directions")
    for place in study.place:
        largest_cluster(frames[0], _settings(study, place))
        _near(study, frames, place)
    return frames


def run(
    study: NucleationStudy,
    out: str | Path,
    comm: Any = None,
    progress: Progress | None = None,
    calculator: BaseCalculator | None = None,
) -> list[Property]:
    """Records of a study: barriers, rates at every temperature, overpotential and pressure, classical ones beside them.

    Writes OUT/records.json, OUT/free-energy-T.png and OUT/problems.json (why a rate is missing or a bound). `calculator` takes
    the place of the study's potential.

    Raises:
        UserError: wrong input; RunFailure: a run that broke.
    """
    frames = starts(study)
    if calculator is None:
        from atomistic import potential

        described = potential.describe(study.potential).sha256
        calculator = potential.load(study.potential, dtype="float32")
    else:
        described = type(calculator).__name__
    listed = _tasks(study, frames, described)

    def work(task: Task, folder: Path, tick: Callable[[float], None]) -> Mapping[str, Any]:
        perform = _one if task.kind == "bias" else _infrequent
        place = None if task.parameters["place"] is None else study.place[task.parameters["place"]]
        try:
            return perform(study, _near(study, frames, place), calculator, task.parameters["T"], place, folder, tick)
        except Unphysical as broken:
            return {"broken": str(broken)}

    answers = run_tasks(listed, work, out, comm, progress)
    records, problems, read = [], [], []
    material = frames[0].get_chemical_formula(empirical=True)
    for task, answer in zip(listed, answers, strict=True):
        place = None if task.parameters["place"] is None else study.place[task.parameters["place"]]
        if "broken" in answer:
            problems.append(f"{task.label.partition(' ')[2]}: {answer['broken']}")
            continue
        if task.kind == "bias":
            free = _free_energy(study, task, Path(out))
            read.append((task, free))
            try:
                plain = _unbiased(study, answer)
            except UserError as error:
                problems.append(f"{task.label.partition(' ')[2]}: {error}; delete {Path(out) / task.key}.json to run it anew")
                continue
            found, missing = _records(study, free, plain, task.parameters["T"], frames, described, place)
        else:
            found, missing = _escaped(study, answer, task.parameters["T"], frames, described, place)
        records += [_placed(record, place).with_source(keys=[task.key]) for record in found]
        problems += [f"{task.label.partition(' ')[2]}: {told}" for told in missing]
    for T in study.temperatures:
        found, missing = _classical(study, T, material)
        records += found
        problems += [f"{T:g} K: {told}" for told in missing]
    records = [graded(_named(study, record)) for record in records]
    if comm is None or comm.rank == 0:
        from atomistic.observable_pictures import free_energy_picture

        for task, free in read:
            number = task.parameters["place"]
            name = f"{task.parameters['T']:g}K" + ("" if number is None else f"-{number + 1}")
            label = f"size of the largest {_settings(study).element} cluster"
            told = label if number is None else f"{label}, {study.place[number].name}"
            free_energy_picture(free, told, Path(out) / f"free-energy-{name}.png")
        write_json(Path(out) / "problems.json", problems)
        write_records(Path(out) / "records.json", records)
    return records


def _near(study: NucleationStudy, frames: list[Atoms], place: PlaceTable | None) -> list[Atoms]:
    """The frames, of a study with surroundings what lies near the place. Raises UserError: no atom in the place, none of the
    element around it, or frames of which atoms wander too far (`cut_out`).
    """
    around, settings = study.surroundings, _settings(study, place)
    if around is None or place is None:
        return frames
    try:
        near = cut_out(frames, place.low / Å, place.high / Å, around.moving / Å, around.still / Å, settings.axis)
        largest_cluster(near[0], settings)
    except UserError as error:
        raise UserError(f"[[place]] {place.name}: {error}") from None
    return near


def _named(study: NucleationStudy, record: Property) -> Property:
    """The record under the name of the crystal that the study starts from, with its disorder, or under the name that the study
    gives to its structure (its formula where it gives none).
    """
    if study.start is None:
        return replace(record, material=study.material or record.material)
    disorder = {"disorder": study.start.disorder} if study.start.crystal == "Li6PS5Cl" else {}
    return replace(record, material=study.start.crystal, conditions={**record.conditions, **disorder})


def _placed(record: Property, place: PlaceTable | None) -> Property:
    """The record with its place among the conditions."""
    if place is None:
        return record
    where = {"place": place.name, "depths_m": [place.low, place.high]}
    return replace(record, conditions={**record.conditions, **where})


def _volume(atoms: Atoms, place: PlaceTable | None, axis: int) -> float:
    """Volume that a rate is told for, m³: that of the cell or of the place."""
    first, second = np.delete(atoms.cell.array, axis, axis=0)
    area = float(np.linalg.norm(np.cross(first, second))) * 1e-20
    return float(atoms.get_volume()) * 1e-30 if place is None else area * (place.high - place.low)


def _escaped(
    study: NucleationStudy, answer: Mapping[str, Any], temperature: float, frames: list[Atoms], sha256: str,
    place: PlaceTable | None,
) -> tuple[list[Property], list[str]]:  # fmt: skip
    """Rate from the escape times of one task, or why there is none."""
    source = {"study": study.name, "potential": study.potential, "potential_sha256": sha256, **_still(study, frames, place)}
    material = frames[0].get_chemical_formula(empirical=True)
    volume = _volume(frames[0], place, _settings(study, place).axis)
    times, faster = np.array(answer["times_fs"]) * 1e-15, answer["acceleration"]
    try:
        return [nucleation.escape_record(times, faster, volume, temperature, material, source)], []
    except UserError as error:
        return [], [str(error)]


def _settings(study: NucleationStudy, place: PlaceTable | None = None) -> ClusterSettings:
    depths = {} if place is None else {"low": place.low / Å, "high": place.high / Å}
    return ClusterSettings(**{**study.cluster, **depths})


def _one(
    study: NucleationStudy, frames: list[Atoms], calculator: BaseCalculator, temperature: float, place: PlaceTable | None,
    folder: Path, tick: Callable[[float], None],
) -> dict[str, Any]:  # fmt: skip
    """Biased walkers at one temperature, whose visits `folder` keeps, and the sizes (walkers, frames) of the unbiased runs after
    them, JSON-ready.
    """
    bias, fs = study.bias, 1e15
    own = [frames[number % len(frames)] for number in range(bias.walkers)]
    walkers = Molecular(own, calculator, LargestCluster(_settings(study, place)), temperature, bias.timestep * fs,
                        bias.friction * fs, study.seed)  # fmt: skip
    hills, settings = _hills(study, temperature, None), _sampling(study)
    try:
        sample(walkers, hills, settings, folder, lambda share: tick(0.7 * share))
    except LongerRun as longer:
        held, wanted = (f"{1e12 * time:.10g} ps" for time in (longer.done * bias.timestep, bias.length))
        told = f"{longer.file} holds {held} a walker of this run at {temperature:g} K, more than the {wanted} wanted"
        raise UserError(f'bias.length: {told}: write length = "{held}" or more, or give another folder') from None
    plain = Bias(hills)
    record, length = _apart(study), _unbiased_steps(study)
    everyone, series = np.arange(len(own)), []
    for step in range(1, length + 1):
        walkers.advance(plain, everyone)
        if step % record == 0:
            series.append(walkers.values())
            tick(0.7 + 0.3 * step / length)
    return {"picoseconds": settings.steps * bias.timestep * len(own) * 1e12, "sizes": np.array(series).T.tolist()}


def _unbiased_steps(study: NucleationStudy) -> int:
    """Steps of an unbiased run."""
    return max(1, round(study.attachment.length / study.bias.timestep))


def _apart(study: NucleationStudy) -> int:
    """Steps between two sizes of the unbiased runs."""
    return max(1, round(study.attachment.record / study.bias.timestep))


def _unbiased(study: NucleationStudy, answer: Mapping[str, Any]) -> dict[str, Any]:
    """What the sizes of the unbiased runs tell: time, mean size, limits, and the attachment rate or the problem with it.

    An older answer has no sizes; what was read off them in its time is taken as it is, and says so ("attachment_read").

    Raises:
        UserError: sizes that are damaged (not finite, of unequal length) or too few to be read.
    """
    if "sizes" not in answer:
        return {**answer, "attachment_read": "when the run ended, by the estimators of that time: its sizes were not kept"}
    if len({len(walker) for walker in answer["sizes"]}) > 1:
        raise UserError("attachment rate: the walkers' sizes are of unequal length")
    sizes, interval, lags = np.array(answer["sizes"]), _apart(study) * study.bias.timestep, study.attachment.lags
    told = {**answer, **nucleation_limits.seen(sizes, interval, lags), "mean_size": float(sizes.mean())}
    try:
        joining = nucleation.attachment(sizes, interval, (0.0, math.inf), lags)
    except UserError as error:
        return {**told, "problem": str(error)}
    return {**told, "attachment": joining.value, "attachment_stderr": joining.stderr, "lags": joining.lags.tolist(),
            "squares": joining.squares.tolist()}  # fmt: skip


def _sampling(study: NucleationStudy) -> SamplingSettings:
    """Steps of the biased runs."""
    bias = study.bias
    length, interval, record = (max(1, round(time / bias.timestep)) for time in (bias.length, bias.interval, bias.record))
    return SamplingSettings(length, interval, record, max(length // 50, record))


def _hills(study: NucleationStudy, temperature: float, deposited: tuple[float, float] | None) -> Hills:
    """Hills of the study (eV, atoms)."""
    bias = study.bias
    bins = math.ceil(4 * (bias.largest + 4 * bias.width) / bias.width) + 1
    return Hills(-2 * bias.width, bias.largest + 2 * bias.width, bins, bias.width, bias.height / units._e,
                 units.kB * temperature, bias.bias_factor, deposited)  # fmt: skip


def _infrequent(
    study: NucleationStudy, frames: list[Atoms], calculator: BaseCalculator, temperature: float, place: PlaceTable | None,
    folder: Path, tick: Callable[[float], None],
) -> dict[str, Any]:  # fmt: skip
    """Rescaled times of the walkers until the cluster is larger than `beyond`, fs, and the acceleration."""
    rare, step = study.infrequent, study.bias.timestep
    assert rare is not None
    own = [frames[number % len(frames)] for number in range(rare.walkers)]
    walkers = Molecular(own, calculator, LargestCluster(_settings(study, place)), temperature, step * 1e15,
                        study.bias.friction * 1e15, study.seed + 1)  # fmt: skip
    hills = _hills(study, temperature, (-math.inf, rare.deposited))
    times, acceleration = escapes(walkers, hills, max(1, round(rare.interval / step)), rare.beyond, round(rare.most / step), tick)
    return {"times_fs": times.tolist(), "acceleration": acceleration}


def _free_energy(study: NucleationStudy, task: Task, out: Path) -> FreeEnergy:
    """F(n) of what a biased run has visited. Raises UserError: that is gone, though its answer is kept."""
    bias = study.bias
    try:
        visits = kept(out / task.folder, _hills(study, task.parameters["T"], None), _sampling(study), bias.walkers)
    except UserError as error:
        told = f"F(n) of {task.label} is read from what its run has visited, which is no longer there"
        raise UserError(f"{told} ({error}); delete {out / task.key}.json to run it anew") from None
    return free_energy(visits, np.arange(0.0, bias.largest + 0.5, 1.0), SKIP, BLOCKS)


def _records(
    study: NucleationStudy, free: FreeEnergy, answer: Mapping[str, Any], temperature: float, frames: list[Atoms], sha256: str,
    place: PlaceTable | None,
) -> tuple[list[Property], list[str]]:  # fmt: skip
    """Barrier and rates of one task, or upper bounds of the rates where no attachment was seen; and what is left out, and why.

    `answer`: of `_unbiased`.
    """
    atoms, cluster, problems = frames[0], _settings(study, place), []
    volume = _volume(atoms, place, cluster.axis)
    material, cell = atoms.get_chemical_formula(empirical=True), study.cell_overpotential
    source = {
        "study": study.name, "potential": study.potential, "potential_sha256": sha256, "atoms": len(atoms), "seed": study.seed,
        **_still(study, frames, place),
        "walkers": study.bias.walkers, "picoseconds": answer["picoseconds"], "cluster": asdict(cluster),
        "attachment_read_at_mean_size": answer["mean_size"],
        **{key: answer[key] for key in ("attachment_read",) if key in answer},
    }  # fmt: skip
    records = []
    try:
        records.append(nucleation_limits.barrier_record(free, answer, temperature, material, source, cell))
    except UserError as error:
        problems.append(str(error))
    drives = (study.overpotentials, study.pressures)
    if "problem" in answer:
        limits = nucleation_limits.table(free, answer, volume, temperature, *drives, material, source, cell)
        return records + limits, [*problems, answer["problem"]]
    joining = Attachment(answer["attachment"], answer["attachment_stderr"], np.array(answer["lags"]), np.array(answer["squares"]))
    try:
        records += nucleation.table(free, joining, volume, temperature, *drives, material, source, cell)
    except UserError:  # told above: no free energy
        limits = nucleation_limits.table(free, answer, volume, temperature, *drives, material, source, cell)
        return records + limits, problems
    return records, problems


def _still(study: NucleationStudy, frames: list[Atoms], place: PlaceTable | None) -> dict[str, Any]:
    """Of runs in which not every atom moved: how many did, how many stood still, and the surroundings; the rest was left out."""
    near, around = _near(study, frames, place)[0], study.surroundings
    moving = len(moving_atoms(near))
    if moving == len(frames[0]):
        return {}
    told = {} if around is None else {"surroundings_m": around.model_dump()}
    return {**told, "atoms_moving": moving, "atoms_still": len(near) - moving}


def _classical(study: NucleationStudy, temperature: float, material: str) -> tuple[list[Property], list[str]]:
    """Rates of the classical theory at every overpotential and pressure, and where nothing nucleates by it, and why."""
    c, records, without = study.classical, [], []
    if c is None:
        return [], []
    assert c.surface_energy is not None, "read_study fills it from the record file"
    sources = {f"{name}_source": told for name, told in c.sources.items()}
    for η, p in itertools.product(study.overpotentials, study.pressures):
        record = nucleation.classical_record(c.surface_energy, c.diffusivity, c.hop_length, c.sites, temperature, η, p, material,
                                             c.surface_energy_stderr)  # fmt: skip
        if record is None:
            without.append((η, p))
        else:
            records.append(record.with_source(**sources))
    if not without:
        return records, []
    told = f"classical theory: nothing nucleates at {drives_told(without)}"
    return records, [f"{told}: the overpotential does not exceed the work against the pressure"]
