"""Study files (TOML) of nucleation: biased runs for F(n), unbiased runs for the attachment rate, rates as a table of records.

Top level: name, seed, potential, structure (file that ASE reads; its frames are the walkers' starts, in turn), temperatures,
overpotentials, pressures, cell_overpotential (against lithium metal; absent: unknown), [cluster] (see clusters.ClusterSettings),
[bias], [attachment], and [classical] for the classical theory beside it. Paths are relative to the study file. Every temperature
is one task of the scheduler: shared by MPI ranks, kept, gone on with after a kill.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator
from pydantic import Field

from atomistic import nucleation
from atomistic.clusters import ClusterSettings, LargestCluster
from atomistic.metadynamics import Bias, FreeEnergy, Hills, SamplingSettings, free_energy, jackknife, sample
from atomistic.nucleation import Attachment
from atomistic.scheduler import Progress, Task, run_tasks
from atomistic.walkers import Molecular
from coupling import toml_input
from coupling.errors import UserError
from coupling.record import Property
from coupling.store import digest, write_records
from coupling.toml_input import InUnit, Table, Whole

VERSION = 1
Count = Annotated[Whole, Field(ge=1)]
Factor = Annotated[float, Field(gt=0)]
Kelvin = Annotated[float, InUnit("K", above=0.0)]
Time = Annotated[float, InUnit("s", above=0.0)]


class BiasTable(Table):
    """[bias]: hills and lengths of the biased runs."""

    walkers: Count = 4
    largest: Factor  # atoms; sizes up to here are on the grid
    width: Factor = 1.0  # atoms
    height: Annotated[float, InUnit("J", above=0.0)]
    bias_factor: Annotated[float, Field(gt=1)]
    length: Time  # of each walker
    interval: Time  # between hills
    record: Time  # between recorded sizes
    timestep: Time
    friction: Time


class AttachmentTable(Table):
    """[attachment]: unbiased runs that start where the biased ones ended."""

    length: Time  # of each walker
    record: Time  # between sizes
    lags: Annotated[Whole, Field(ge=4)] = 10


class ClassicalTable(Table):
    """[classical]: what classical nucleation theory needs."""

    surface_energy: Annotated[float, InUnit("J/m^2", above=0.0)]
    diffusivity: Annotated[float, InUnit("m^2/s", above=0.0)]
    hop_length: Annotated[float, InUnit("m", above=0.0)]
    sites: Annotated[float, InUnit("1/m^3", above=0.0)]


class NucleationStudy(Table):
    """A nucleation study file."""

    kind: Literal["nucleation"]
    name: str
    seed: Whole = 0
    potential: str
    structure: str
    temperatures: Annotated[tuple[Kelvin, ...], Field(min_length=1)]
    overpotentials: Annotated[tuple[Annotated[float, InUnit("V")], ...], Field(min_length=1)]
    pressures: Annotated[tuple[Annotated[float, InUnit("Pa")], ...], Field(min_length=1)]
    cell_overpotential: Annotated[float, InUnit("V")] | None = None
    cluster: dict[str, Any] = Field(default_factory=dict)
    bias: BiasTable
    attachment: AttachmentTable
    classical: ClassicalTable | None = None


def read_study(path: str | Path) -> NucleationStudy:
    """Read a study; its structure path becomes absolute.

    Raises:
        UserError: no such file, broken TOML, a wrong key (with file and line).
    """
    file = toml_input.read(path)
    study = toml_input.validate(file, NucleationStudy)
    known = set(ClusterSettings.__dataclass_fields__)
    for key in study.cluster:
        if key not in known:
            raise UserError(file.complaint(("cluster", key), f"unknown key; {toml_input.nearest(key, sorted(known))}"))
    home = Path(path).resolve().parent
    cluster = study.cluster | ({"foreign": tuple(study.cluster["foreign"])} if "foreign" in study.cluster else {})
    return study.model_copy(update={"structure": str(home / study.structure), "cluster": cluster})


def starts(study: NucleationStudy) -> list[Atoms]:
    """Start of every walker. Raises UserError: an unreadable file, or one that is not periodic in three directions."""
    from atomistic.diffusivity import read_frames

    frames = read_frames(study.structure)
    if not all(frame.pbc.all() and frame.cell.rank == 3 for frame in frames):
        raise UserError(f"{study.structure}: a nucleation rate needs a structure that is periodic in three directions")
    return [frames[number % len(frames)] for number in range(study.bias.walkers)]


def run(
    study: NucleationStudy,
    out: str | Path,
    comm: Any = None,
    progress: Progress | None = None,
    calculator: BaseCalculator | None = None,
) -> list[Property]:
    """Records of a study: rates at every temperature, overpotential and pressure, classical ones beside them.

    Writes OUT/records.json and OUT/free-energy-T.png. `calculator` takes the place of the study's potential.

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
    what = study.model_dump(exclude={"overpotentials", "pressures", "cell_overpotential", "classical", "temperatures", "name"})
    what["structure"] = [[frame.numbers.tolist(), frame.positions.tolist(), frame.cell.array.tolist()] for frame in frames]
    listed = [
        Task(digest({**what, "T": T, "version": VERSION, "sha256": described}), f"nucleation {T:g} K", 1.0, "md", {"T": T})
        for T in study.temperatures
    ]

    def work(task: Task, folder: Path, tick: Callable[[float], None]) -> Mapping[str, Any]:
        return _one(study, frames, calculator, task.parameters["T"], folder, tick)

    answers = run_tasks(listed, work, out, comm, progress)
    records = [record for T, answer in zip(study.temperatures, answers, strict=True)
               for record in _records(study, answer, T, frames[0], described)]  # fmt: skip
    if comm is None or comm.rank == 0:
        from atomistic.observable_pictures import free_energy_picture

        for T, answer in zip(study.temperatures, answers, strict=True):
            name = f"size of the largest {_settings(study).element} cluster"
            free_energy_picture(_restored(answer)[0], name, Path(out) / f"free-energy-{T:g}K.png")
        write_records(Path(out) / "records.json", records)
    return records


def _settings(study: NucleationStudy) -> ClusterSettings:
    return ClusterSettings(**study.cluster)


def _one(
    study: NucleationStudy, frames: list[Atoms], calculator: BaseCalculator, temperature: float, folder: Path,
    tick: Callable[[float], None],
) -> dict[str, Any]:  # fmt: skip
    """Free energy and attachment rate at one temperature, JSON-ready."""
    bias, fs = study.bias, 1e15
    walkers = Molecular(frames, calculator, LargestCluster(_settings(study)), temperature, bias.timestep * fs,
                        bias.friction * fs, study.seed)  # fmt: skip
    low, bins = -2.0 * bias.width, math.ceil(4 * (bias.largest + 4 * bias.width) / bias.width) + 1
    hills = Hills(low, bias.largest + 2 * bias.width, bins, bias.width, bias.height / units._e, units.kB * temperature,
                  bias.bias_factor)  # fmt: skip
    steps = {name: max(1, round(getattr(bias, name) / bias.timestep)) for name in ("length", "interval", "record")}
    settings = SamplingSettings(steps["length"], steps["interval"], steps["record"], max(steps["length"] // 50, steps["record"]))
    visits = sample(walkers, hills, settings, folder, lambda share: tick(0.7 * share))
    free = free_energy(visits, np.arange(0.0, bias.largest + 0.5, 1.0))
    plain = Bias(Hills(low, bias.largest, bins, bias.width, 1e-12, units.kB * temperature, bias.bias_factor))
    record = max(1, round(study.attachment.record / bias.timestep))
    length = max(1, round(study.attachment.length / bias.timestep))
    everyone, series = np.arange(len(frames)), []
    for step in range(1, length + 1):
        walkers.advance(plain, everyone)
        if step % record == 0:
            series.append(walkers.values())
            tick(0.7 + 0.3 * step / length)
    sizes = np.array(series).T
    joining = nucleation.attachment(sizes, record * bias.timestep, (0.0, math.inf), study.attachment.lags)
    return {
        "grid": free.grid.tolist(), "values": _plain(free.values), "replicates": [_plain(row) for row in free.replicates],
        "from_bias": free.from_bias.tolist(), "thermal": free.thermal, "attachment": joining.value,
        "attachment_stderr": joining.stderr, "lags": joining.lags.tolist(), "squares": joining.squares.tolist(),
        "mean_size": float(sizes.mean()), "picoseconds": steps["length"] * bias.timestep * len(frames) * 1e12,
    }  # fmt: skip


def _plain(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _restored(answer: Mapping[str, Any]) -> tuple[FreeEnergy, Attachment]:
    """Free energy and attachment rate from the answer of a task."""
    values, *replicates = (
        np.array([np.inf if x is None else x for x in row]) for row in (answer["values"], *answer["replicates"])
    )
    copies = np.array(replicates)
    grid, from_bias, lags, squares = (np.array(answer[name]) for name in ("grid", "from_bias", "lags", "squares"))
    free = FreeEnergy(grid, values, jackknife(copies), copies, answer["thermal"], from_bias)
    return free, Attachment(answer["attachment"], answer["attachment_stderr"], lags, squares)


def _records(study: NucleationStudy, answer: Mapping[str, Any], temperature: float, atoms: Atoms, sha256: str) -> list[Property]:
    free, joining = _restored(answer)
    material = atoms.get_chemical_formula(empirical=True)
    source = {
        "study": study.name, "potential": study.potential, "potential_sha256": sha256, "atoms": len(atoms), "seed": study.seed,
        "walkers": study.bias.walkers, "picoseconds": answer["picoseconds"], "cluster": asdict(_settings(study)),
        "attachment_read_at_mean_size": answer["mean_size"],
    }  # fmt: skip
    found = nucleation.table(free, joining, atoms.get_volume() * 1e-30, temperature, study.overpotentials, study.pressures,
                             material, source, study.cell_overpotential)  # fmt: skip
    if study.classical is not None:
        c = study.classical
        beside = [
            nucleation.classical_record(c.surface_energy, c.diffusivity, c.hop_length, c.sites, temperature, η, p, material)
            for η in study.overpotentials
            for p in study.pressures
        ]
        found += [record for record in beside if record is not None]
    return found
