"""`multiscale md STUDY.toml`: studies that stand in a file of their own."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from coupling.errors import UserError
from multiscale import parallel
from multiscale.console import show, show_json
from multiscale.progress import Narrator

STUDIES = ("properties", "reaction", "boundary", "nucleation", "flow", "band-gap")
"""Kinds of study files."""
TO_THE_LAST_STEP = ("adhesion",)
"""Kinds of runs whose estimate counts every step they may take; other relaxations count what they usually take."""


def _room(kind: str) -> Any:
    """The module of a kind of study: read_study(path), plan(study), trial(study), run(study, out, comm, progress)."""
    from atomistic import band_gap_study, boundary_study, flow_study, nucleation_study, property_study, reaction_study

    rooms = (property_study, reaction_study, boundary_study, nucleation_study, flow_study, band_gap_study)
    return dict(zip(STUDIES, rooms, strict=True))[kind]


def made_with(kind: str) -> dict[str, Any]:
    """What of the code decides the records of a kind of study: its versions, and the bytes of the coordinates it builds from."""
    import hashlib

    from atomistic.structures import DATA

    room: Any = _room(kind)
    if kind == "properties":
        from atomistic import study as room  # its runs and records are those of a case's own study
    versions = {name.lower(): getattr(room, name) for name in ("VERSION", "READ_VERSION") if hasattr(room, name)}
    structures = hashlib.sha256((DATA / "structures.toml").read_bytes()).hexdigest()[:16]
    return {"kind": kind, **versions, "structures_sha256": structures}


def run_file(path: Path, out: Path | None, as_json: bool, trial: bool = False, estimate: bool = False) -> None:
    """Run the study of a TOML file; records and pictures go to `out` (beside the file, under its name, unless given).

    Args:
        path: study file. out: folder of the results. as_json: see the command.
        trial: run the study's own shrunken copy (NAME-trial), whose numbers mean nothing. estimate: tell the cost, run nothing.

    Raises:
        UserError: no such file, a kind of study that is not known, or what the study refuses.
    """
    from coupling import toml_input

    file = toml_input.read(path)
    kind = file.data.get("kind")
    if kind not in STUDIES:
        known = ", ".join(f'"{name}"' for name in STUDIES)
        raise UserError(file.complaint(("kind",), f"read {kind!r}; allowed: {known}"))
    from coupling.atomic import write_json
    from coupling.store import write_records
    from multiscale.shipped_records import MADE_OF, study_digest
    from multiscale.tables import record_table

    room: Any = _room(kind)
    study = room.read_study(path)
    folder = out or (path.with_name(f"{path.stem}-trial") if trial else path.with_suffix(""))
    if trial:
        study = room.trial(study)
    comm = parallel.world()
    narrator = Narrator(comm.rank == 0, sys.stderr)
    told = _cost(room, study, folder, comm, narrator)
    if estimate:
        if comm.rank == 0 and as_json:
            show_json(told)
        return
    with narrator.watch(f"md {study.name}") as update:
        records = room.run(study, folder, comm if comm.size > 1 else None, update)
    if trial:
        records = [replace(record, confidence="low").with_source(trial="its value means nothing") for record in records]
        if comm.rank == 0:
            write_records(folder / "records.json", records)
        narrator.say("md", f"trial: {len(records)} records; every run went to its end. Their values mean nothing")
    elif comm.rank == 0:
        write_json(folder / MADE_OF, {"study_digest": study_digest(path), "made_with": made_with(kind)})
        _arrhenius_picture(folder)
    problems = json.loads((folder / "problems.json").read_text()) if (folder / "problems.json").is_file() else []
    for problem in problems:
        narrator.say("md", f"note: {problem}")
    if as_json:
        show_json({"study": study.name, "records": [record.to_dict() for record in records]})
    else:
        show(record_table(records))


def _arrhenius_picture(folder: Path) -> None:
    """Diffusivities against temperature as arrhenius.png, where the study has any."""
    kept = folder / "arrhenius.json"
    (folder / "arrhenius.png").unlink(missing_ok=True)
    if not kept.is_file() or not (phases := json.loads(kept.read_text(encoding="utf-8"))):
        return
    from multiscale.reporting import figures

    figures.write_figure(figures.arrhenius(phases, figures.PRINT), folder / "arrhenius.png")


def _cost(room: Any, study: Any, folder: Path, comm: Any, narrator: Narrator) -> dict[str, Any]:
    """Tell what is left of a study and about how long it takes; the same as numbers on rank 0."""
    from atomistic.study_cost import estimate

    plan = room.plan(study)  # on every rank, so that all refuse the same
    if comm.rank != 0:
        return {}
    found = estimate(plan, folder, comm.size)
    if plan.note:
        narrator.say("md", f"{study.name}: {plan.note}")
    kept = f"{found.kept} of {found.runs} runs are kept" if found.kept else f"{found.runs} run{'s' * (found.runs > 1)}"
    if found.kept == found.runs:
        narrator.say("md", f"{study.name}: all {found.runs} runs are kept")
    else:
        cores = "1 core" if comm.size == 1 else f"{comm.size} cores"
        about = "at most about" if any(task.kind in TO_THE_LAST_STEP for task in plan.tasks) else "about"
        narrator.say("md", f"{study.name}: {kept}; {about} {_about(found.wall)} on {cores}"
                     + (f", {_about(found.two)} on 2 (mpirun -n 2)" if comm.size == 1 and found.two < 0.95 * found.wall else ""))
        if found.there:
            narrator.say("md", f"begun runs: {found.begun:.3g} ps, of which {found.there:.3g} ps are there already")
        speed = f"a force call on {found.atoms} atoms takes {1e3 * found.call:.0f} ms here" if found.call else (
            "told by the numbers of atoms alone, nothing is timed before it runs")  # fmt: skip
        narrator.say("md", f"longest: {found.longest[0]}, about {_about(found.longest[1])}; {speed}")
    return {"study": study.name, "runs": found.runs, "kept": found.kept, "cores": comm.size, "seconds": found.wall,
            "seconds_on_two_cores": found.two, "longest": {"run": found.longest[0], "seconds": found.longest[1]},
            "begun": {"picoseconds": found.begun, "there": found.there},
            "force_call": {"atoms": found.atoms, "seconds": found.call}, "first": plan.note}  # fmt: skip


def _about(seconds: float) -> str:
    """A time with two figures: '40 s', '12 min', '3.5 h', '4.2 days'."""
    for unit, size, above in (("days", 86400, 2 * 86400), ("h", 3600, 5400), ("min", 60, 100), ("s", 1, 0)):
        if seconds >= above:
            return f"{max(seconds / size, 1):.2g} {unit}" if seconds / size < 10 else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
