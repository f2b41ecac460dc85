"""The stages of a case in their order: atomistic, coupling, continuum, error bar, summary, report.

This file and the command line alone put the rooms of the product together. Every stage is kept under a hash of what it
depends on: a killed run goes on where it stopped, a finished stage is not repeated.
"""

import contextlib
import importlib.metadata
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from coupling.atomic import write_json
from coupling.errors import UserError
from coupling.lock import alone
from coupling.record import Property
from coupling.store import digest, read_records, write_records
from multiscale.case import Case
from multiscale.critical_current.shelf import Shelf
from multiscale.parameters import Parameter, continuum_inputs, draw, nominal, resolve, validate
from multiscale.progress import Narrator, duration
from multiscale.shipped_records import records_for

FORMAT = 1
"""Raised whenever a change of the code changes what a stage computes."""


def study_settings(case: Case) -> Any:
    """The MD study that the case's [atomistic] table asks for. Raises UserError if the potential is unknown."""
    from atomistic.study import StudySettings

    wanted = case.settings.atomistic
    assert wanted is not None
    assert wanted.quality != "shipped"
    return StudySettings(
        potential=case.potential, quality=wanted.quality, phases=wanted.phases, disorder=wanted.disorder, seed=wanted.seed,
        allow_pickle=wanted.allow_pickle, committee=wanted.committee,
    )  # fmt: skip


def validate_all(case: Case, with_md: bool = True) -> None:
    """Everything that can be refused before the long part: numbers, geometry, potential and phases.

    Raises:
        UserError: with file, line and key.
    """
    if case.settings.atomistic is None or not with_md:
        validate(case)
        return
    if _ships(case):
        validate(case, _shipped(case)[0])
        return
    validate(case)
    from atomistic.study import effort, toolbox

    with _blaming(case, "phases"):
        settings = study_settings(case)
        effort(settings)
    with _blaming(case, "potential"):
        toolbox(settings)


@contextlib.contextmanager
def _blaming(case: Case, key: str) -> Iterator[None]:
    """A user's mistake met in this block is told with the line of a key of [atomistic]."""
    try:
        yield
    except UserError as error:
        raise UserError(case.file.complaint(("atomistic", key), str(error))) from None


def _ships(case: Case) -> bool:
    """Whether the case takes the records that come with the product."""
    return case.settings.atomistic is not None and case.settings.atomistic.quality == "shipped"


def _shipped(case: Case) -> tuple[list[Property], list[str]]:
    """Shipped records for the case and their cautions. Raises UserError that blames the key of [atomistic]."""
    from atomistic.potential import describe
    from multiscale.commands.study import made_with

    wanted = case.settings.atomistic
    assert wanted is not None
    with _blaming(case, "potential"):
        sha256 = describe(case.potential, wanted.allow_pickle).sha256
    with _blaming(case, "quality"):
        return records_for(case.potential, sha256, wanted.phases, wanted.disorder, now=made_with)


def _study_key(case: Case) -> str:
    if _ships(case):
        return digest({"shipped": [record.to_dict() for record in _shipped(case)[0]], "format": FORMAT})
    from atomistic.potential import describe
    from atomistic.study import VERSION, effort

    settings = study_settings(case)
    potential = describe(settings.potential, settings.allow_pickle).sha256
    decisive = {name: value for name, value in asdict(settings).items() if name != "allow_pickle"}
    decisive |= {"potential": potential, "effort": asdict(effort(settings)), "study": VERSION, "format": FORMAT}
    return digest(decisive)


def run_atomistic(case: Case, results: Path, comm: Any, narrator: Narrator | None = None) -> list[Property]:
    """Run the MD study of a case, or what is missing of it, or take the shipped records; the same on every rank.

    Raises:
        UserError: the potential or a phase is unknown.
        RunFailure: a run could not be finished; what is done is kept.
    """
    from atomistic import study

    folder = results / "atomistic"
    narrator = narrator or Narrator(comm.rank == 0)
    if _ships(case):
        records, cautions = _shipped(case)
        if comm.rank == 0:
            write_json(folder / "problems.json", cautions)
            write_json(folder / "arrhenius.json", {})
    else:
        settings = study_settings(case)
        cores = sum(task.cost for task in study.plan(settings))
        narrator.say("atomistic", f"about {duration(cores / comm.size)} where every rank has a core; finished runs are kept")
        with narrator.watch("atomistic") as update:
            records = study.run(settings, folder, comm=comm, progress=update)
    if comm.rank == 0:
        write_records(folder / "records.json", records)
        write_json(folder / "study.json", {"key": _study_key(case)})
    for problem in md_problems(results) if comm.rank == 0 else []:
        narrator.say("atomistic", f"note: {problem}")
    comm.barrier()
    return records


def run_study(case: Case, results: Path, comm: Any) -> list[Property]:
    """The MD study of a case on its own, with the checks and the lock of a whole run; the same records on every rank.

    Raises:
        UserError: the case cannot be run as it is, or the results folder is in use.
        RunFailure: a run could not be finished; what is done is kept.
    """
    validate_all(case)
    with alone(results / ".lock", comm):
        return run_atomistic(case, results, comm)


def md_problems(results: Path) -> list[str]:
    """What the potential could not give, a sentence each; empty without MD."""
    return list(read_json(results / "atomistic" / "problems.json", []))


def read_json(path: Path, otherwise: Any) -> Any:
    """What a JSON file holds, if it can be read and is of the same kind as `otherwise`; else `otherwise`."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return otherwise
    return found if isinstance(found, type(otherwise)) else otherwise


def stored_records(case: Case, results: Path) -> tuple[list[Property], str]:
    """MD records of an earlier run that still belong to the case, and a line that says what is there."""
    if case.settings.atomistic is None:
        return [], "the case asks for no MD"
    if _ships(case):
        records = _shipped(case)[0]
        return records, f"{len(records)} shipped records"
    folder = results / "atomistic"
    if not (folder / "study.json").is_file() or not (folder / "records.json").is_file():
        return [], f"not run yet; `multiscale md {case.folder}` or `multiscale run {case.folder}` adds its records"
    if read_json(folder / "study.json", {}).get("key") != _study_key(case):
        return [], f"the records in {folder} belong to other settings or another potential; run the case again"
    records = read_records(folder / "records.json")
    return records, f"{len(records)} records from {folder / 'records.json'}"


def run_case(case: Case, results: Path, comm: Any, with_md: bool = True, shelf: Shelf | None = None) -> dict[str, Any]:
    """Every stage that the case still needs; returns the summary (on every rank). `shelf` keeps meshes for the next case.

    Raises:
        UserError: the case cannot be run as it is, or the results folder is in use.
        RunFailure: a stage could not be finished; the same command goes on from what is kept.
    """
    validate_all(case, with_md)
    narrator = Narrator(comm.rank == 0)
    with alone(results / ".lock", comm):
        return _run_stages(case, results, comm, with_md and case.settings.atomistic is not None, narrator, shelf)


def _run_stages(
    case: Case, results: Path, comm: Any, with_md: bool, narrator: Narrator, shelf: Shelf | None
) -> dict[str, Any]:
    from multiscale.critical_current import answer
    from multiscale.critical_current.attribution import attribution
    from multiscale.critical_current.first_mechanism import combined

    if comm.rank == 0:
        ranks = f"{comm.size} rank{'s' if comm.size > 1 else ''}"
        print(f"{case.name} · {case.settings.title} · {ranks} · {results}", flush=True)
    walls: dict[str, float] = {}
    _say_work(case, comm.size, narrator)
    records = run_atomistic(case, results, comm, narrator) if with_md else []
    walls["atomistic"] = narrator.seconds()
    parameters = resolve(case, records)
    if comm.rank == 0:
        _write_parameters(results, parameters)
    _say_sources(narrator, parameters)
    inputs = {key: float(value[0]) for key, value in nominal(parameters).items()}
    reference = answer.reference_solution(case, continuum_inputs(case, inputs), results, comm, narrator, shelf)
    walls["continuum"] = narrator.seconds() - sum(walls.values())
    spread = answer.distribution(case, parameters, reference, results, comm, narrator, shelf)
    walls["error bar"] = narrator.seconds() - sum(walls.values())
    leaves = draw(parameters, case.settings.uncertainty.samples, case.settings.uncertainty.seed)
    others = comm.bcast(combined(case, parameters, leaves, spread, reference) if comm.rank == 0 else None)
    alone = others.get("nucleation", {}).get("critical_mA_per_cm2")
    switches = attribution(case, continuum_inputs(case, inputs), results, comm, narrator, alone)
    alone_of_inputs = None if "samples" in others else answer.of_inputs_alone(case, leaves, spread)
    samples = others.pop("samples", spread.samples)
    walls["switches"] = narrator.seconds() - sum(walls.values())
    hashes = {"case": case.digest, "records": digest([r.to_dict() for r in records]), "answer": spread.key}
    summary = answer.summary(case, parameters, reference, spread) | others | {
        "attribution": switches, "md": with_md, "md_problems": md_problems(results) if with_md else [],
        "versions": versions(), "hashes": hashes, "wall_s": walls,
    }  # fmt: skip
    if comm.rank == 0:
        write_json(results / "distribution.json", answer.distribution_json(case, samples, alone_of_inputs))
        _conclude(results, summary, narrator)
    comm.barrier()
    return summary


def _say_work(case: Case, ranks: int, narrator: Narrator) -> None:
    """How many solutions the run takes at most and where the time goes: how long each takes nobody knows before the first."""
    from multiscale.critical_current.attribution import switches

    wanted = case.settings.uncertainty
    worth = wanted.microstructures * (len(switches(case)) + 1) if switches(case) else 0
    more = f" and {worth} for the worth of the switches" if worth else ""
    shared = f", shared by {ranks} ranks" if ranks > 1 else ""
    told = f"a fine solution, then {wanted.designs + 1} coarser ones for the error bar{more}{shared}; those take the longest"
    narrator.say("to do", f"{told}, and tell the time left as they go; what is kept from before is not repeated")


def _write_parameters(results: Path, parameters: dict[str, Parameter]) -> None:
    from multiscale.tables import parameter_rows

    write_json(results / "parameters.json", {"parameters": parameter_rows(parameters)})


def _say_sources(narrator: Narrator, parameters: dict[str, Parameter]) -> None:
    kinds = [parameter.used.kind for parameter in parameters.values()]
    counted = [f"{kinds.count(kind)} {words}" for kind, words in _KIND_WORDS.items() if kind in kinds]
    bounds = sum(parameter.used.bound is not None for parameter in parameters.values())
    narrator.say("coupling", f"{', '.join(counted)} inputs; {bounds} of them only bounds; see parameters.json")


_KIND_WORDS = {"md": "MD", "measured": "measured", "derived": "derived", "assumed": "assumed or stated"}


def _conclude(results: Path, summary: dict[str, Any], narrator: Narrator) -> None:
    """Write the summary and the report; tell the answer."""
    from multiscale.reporting.report import write_report
    from multiscale.tables import answer_lines

    write_json(results / "summary.json", summary)
    experiments = Path(__file__).resolve().parent.parent / "cases" / "_experiments" / "ccd.csv"
    report = write_report(results, experiments if experiments.is_file() else None)
    for line in answer_lines(summary).splitlines()[1:]:
        narrator.say("answer", line)
    narrator.say("report", str(report))


def versions() -> dict[str, str | None]:
    """Versions of the product and of what computed the numbers."""
    from multiscale.doctor import examine

    found = examine()
    names = ("multiscale", "dolfinx", "petsc", "gmsh", "mpi", "torch", "mace", "symmetrix", "ase", "kinisi")
    return {name: found[name] for name in names} | {"numpy": np.__version__, "scipy": importlib.metadata.version("scipy")}
