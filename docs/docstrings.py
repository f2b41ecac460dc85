"""Docstrings as reStructuredText: signs of formulas (|η|, a*b, c_) that would mean something there are escaped."""

import re
from collections.abc import Sequence

_LITERAL = re.compile(r"(``.+?``|`[^`]+`)")
_BORDER = re.compile(r"^\s*=+(\s+=+)*\s*$")


def escaped(lines: Sequence[str]) -> list[str]:
    """The lines with `*`, `|` and a closing `_` escaped outside literals; tables of symbols as lists, however wide a cell is."""
    found: list[str] = []
    table: list[str] | None = None
    borders = 0
    for line in lines:
        if _BORDER.match(line):
            borders += 1
            table = [] if table is None else table
            if borders == 3:
                found += _list_table(table)
                table, borders = None, 0
        elif table is not None:
            table.append(line)
        else:
            found.append(_plain(line))
    return found


def _list_table(rows: Sequence[str]) -> list[str]:
    """Rows of a simple table, columns set apart by two spaces or more, as a list-table with one header row."""
    cells = [re.split(r"\s{2,}", row.strip()) for row in rows if row.strip()]
    width = max(map(len, cells))
    lines = ["", ".. list-table::", "   :header-rows: 1", ""]
    for row in cells:
        for place, cell in enumerate([*row, *[""] * (width - len(row))]):
            lines.append(f"   {'* -' if place == 0 else '  -'} {_plain(cell)}".rstrip())
    return [*lines, ""]


def _plain(text: str) -> str:
    """Escaped outside literals; the sign of a list at the beginning stays."""
    bullet = re.match(r"\s*[*-] ", text)
    start = bullet.group(0) if bullet else ""
    parts = _LITERAL.split(text[len(start) :])
    return start + "".join(part if index % 2 else _signs(part) for index, part in enumerate(parts))


def _signs(text: str) -> str:
    text = text.replace("\\", "\\\\").replace("*", r"\*").replace("|", r"\|")
    return re.sub(r"(?<=\w)_(?=\W|$)", r"\_", text)
