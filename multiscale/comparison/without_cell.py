"""Measurements that no cell can stand for, and in plain words why: the file without_cell.csv beside the table of measurements."""

import csv
from collections.abc import Collection
from pathlib import Path

from coupling.errors import UserError
from coupling.toml_input import nearest

NAME = "without_cell.csv"
COLUMNS = ["id", "why"]


def read_reasons(experiments: Path, known: Collection[str]) -> dict[str, str]:
    """Why a measurement has no cell, by id; empty where there is no such file.

    Args:
        experiments: the table of measurements. known: its ids.

    Raises:
        UserError: the file cannot be read, or a line names no measurement, one named before, or no reason.
    """
    path = experiments.parent / NAME
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = list(csv.reader(stream, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as a CSV table ({error})") from None
    if not lines or lines[0] != COLUMNS:
        raise UserError(f"{path}:1: read {','.join(lines[0]) if lines else 'nothing'}; the columns are {','.join(COLUMNS)}")
    found: dict[str, str] = {}
    for number, cells in enumerate(lines[1:], start=2):
        if not cells:
            continue
        if len(cells) != len(COLUMNS) or not cells[1].strip():
            told = f"read {len(cells)} cells; write an id and a reason (in double quotes if it holds a comma)"
            raise UserError(f"{path}:{number}: {told}")
        name = cells[0].strip()
        if name not in known:
            raise UserError(f'{path}:{number}: id: no measurement "{name}" in {experiments.name}; {nearest(name, sorted(known))}')
        if name in found:
            raise UserError(f"{path}:{number}: id: {name} stands there twice; remove one")
        found[name] = cells[1].strip()
    return found
