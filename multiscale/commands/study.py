"""`multiscale md STUDY.toml`: studies that stand in a file of their own."""

import json
import sys
from pathlib import Path
from typing import Any

from coupling.errors import UserError
from multiscale import parallel
from multiscale.console import show, show_json
from multiscale.progress import Narrator

STUDIES = ("properties", "reaction", "boundary", "nucleation", "flow")
"""Kinds of study files."""


def _room(kind: str) -> Any:
    """The module of a kind of study: read_study(path), run(study, out, comm, progress)."""
    from atomistic import boundary_study, flow_study, nucleation_study, property_study, reaction_study

    rooms = (property_study, reaction_study, boundary_study, nucleation_study, flow_study)
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


def run_file(path: Path, out: Path | None, as_json: bool) -> None:
    """Run the study of a TOML file; records and pictures go to `out` (beside the file, under its name, unless given).

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
    from multiscale.shipped_records import MADE_OF, study_digest
    from multiscale.tables import record_table

    room: Any = _room(kind)
    study = room.read_study(path)
    comm = parallel.world()
    narrator = Narrator(comm.rank == 0, sys.stderr)
    with narrator.watch(f"md {study.name}") as update:
        records = room.run(study, out or path.with_suffix(""), comm if comm.size > 1 else None, update)
    folder = out or path.with_suffix("")
    if comm.rank == 0:
        write_json(folder / MADE_OF, {"study_digest": study_digest(path), "made_with": made_with(kind)})
    problems = json.loads((folder / "problems.json").read_text()) if (folder / "problems.json").is_file() else []
    for problem in problems:
        narrator.say("md", f"note: {problem}")
    if as_json:
        show_json({"study": study.name, "records": [record.to_dict() for record in records]})
    else:
        show(record_table(records))
