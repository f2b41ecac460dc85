"""The table of a sweep in which nothing is left to do, in one file: a viewer need not read ten thousand to show it.

It is believed only while everything it follows from is unchanged: the bytes of the files that decide which designs there are, and
the times and sizes of each design's status and result files. The store remains the only truth about what is done.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coupling.atomic import write_text
from multiscale.case_folder import material_folders
from multiscale.sweeps.result_stamps import FILES, entry

if TYPE_CHECKING:
    from multiscale.sweeps.driver import Prepared

FORMAT = 2
"""Raised whenever a change of the code changes what the file holds."""
NAME = "finished.json"
"""Its name in the store."""
_CODE = ("critical_current/answer.py", "propagation/march.py", "pipeline.py", "sweeps/drafts.py", "sweeps/designs.py",
         "sweeps/table.py", "sweeps/solve.py")  # fmt: skip
"""Sources of the product that decide which designs a sweep has and what stands in its table."""


@dataclass(frozen=True)
class KeptTable:
    """A finished table.

    Attributes:
        columns: names in their order. variables: column of each variable. answers: column of each answer, by its name.
        cells: the values of each column, one a point.
        written: of each design, what `changed` gives of the files it has.
        files: result files that its designs have.
    """

    title: str
    fidelity: str
    columns: tuple[str, ...]
    variables: tuple[str, ...]
    answers: Mapping[str, str]
    cells: Mapping[str, Sequence[Any]]
    written: Mapping[str, int]
    files: tuple[str, ...]


def stamp(case: Path) -> str:
    """Hash of all bytes from which the designs of a sweep and the columns of their table follow.

    Raises:
        OSError: a file cannot be read.
    """
    folder = Path(__file__).resolve().parent.parent
    files = [case / "sweep.toml", case / "case.toml", *(folder / name for name in _CODE)]
    files += sorted(path for place in material_folders(case) for path in place.glob("*.toml"))
    told = hashlib.sha256(str(FORMAT).encode())
    for path in files:
        told.update(hashlib.sha256(path.read_bytes()).digest())
    return told.hexdigest()[:16]


def changed(store: Path, design: str, files: Sequence[str] = FILES) -> int:
    """A number that changes with the status of a design and with its result files: their sizes and times (ns) added up."""
    places = ("status.json", *(f"results/{name}" for name in files))
    return sum(sum(entry(f"{store}/designs/{design}/{place}") or (0,)) for place in places)


def keep(prepared: "Prepared") -> bool:
    """Keep the table of a sweep in which nothing is left to do, and say whether it was kept.

    A sweep that takes over molecular dynamics is not kept: its designs follow from more than the files of `stamp`.

    Raises:
        RunFailure: it cannot be written.
    """
    from multiscale.sweeps.driver import list_key
    from multiscale.sweeps.settings import load_sweep
    from multiscale.sweeps.table import layout

    sweep, store = prepared.sweep, prepared.store
    case = sweep.case.folder
    if sweep.settings.md != "none":
        return False
    before, key = stamp(case), list_key(sweep)
    if list_key(load_sweep(case)) != key or store.read_list(key) != list(prepared.rows):  # edited meanwhile, or a part of it
        return False
    files = [file for file in FILES if any(entry(store.design(name) / "results" / file) for name in prepared.names)]
    written = {name: changed(store.folder, name, files) for name in prepared.names}  # looked at before the status is read
    statuses = {name: store.status(name) for name in written}
    if not all(status.is_over for status in statuses.values()):
        return False
    found = layout(sweep)
    rows = [found.row(number, row, statuses[row["design"]]) for number, row in enumerate(prepared.rows)]
    told = {
        "stamp": before, "title": sweep.settings.title, "fidelity": sweep.settings.fidelity, "columns": list(found.columns),
        "variables": list(found.variables.values()), "answers": dict(found.answers), "designs": list(written), "files": files,
        "written": list(written.values()), "cells": {name: _packed([row[name] for row in rows]) for name in found.columns},
    }  # fmt: skip
    write_text(store.folder / NAME, json.dumps(told, separators=(",", ":"), ensure_ascii=False))
    return True


def _packed(values: Sequence[Any]) -> Any:
    """A column that holds one value alone is told once."""
    return {"all": values[0], "rows": len(values)} if values and all(value == values[0] for value in values) else list(values)


def _unpacked(told: Any) -> Sequence[Any]:
    return [told["all"]] * told["rows"] if isinstance(told, dict) else told


def read(case: Path, store: Path) -> KeptTable | None:
    """The kept table, or None where there is none that still holds."""
    try:
        told = json.loads((store / NAME).read_bytes())
        if told["stamp"] != stamp(case):
            return None
        written = dict(zip(told["designs"], told["written"], strict=True))
        files = tuple(map(str, told["files"]))
        if any(changed(store, name, files) != when for name, when in written.items()):
            return None
        cells = {name: _unpacked(told["cells"][name]) for name in told["columns"]}
        return KeptTable(told["title"], told["fidelity"], tuple(told["columns"]), tuple(told["variables"]), told["answers"],
                         cells, written, files)  # fmt: skip
    except (OSError, ValueError, TypeError, KeyError):
        return None
