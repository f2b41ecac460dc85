"""Measured critical current densities: a table anyone can extend, checked line by line when it is read.

A measurement has a kind, because not everything reported as a critical current is one. Kinds are never pooled.
"""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from coupling.errors import UserError
from coupling.toml_input import nearest

MeasurementKind = Literal["ccd", "lower_bound", "dc_short", "stripping_critical", "full_cell_rate"]
Grade = Literal["A", "B", "C"]

KINDS: tuple[MeasurementKind, ...] = get_args(MeasurementKind)
KIND_LABELS: Mapping[str, str] = {
    "ccd": "critical current density",
    "lower_bound": "lower bound (cycled without a short)",
    "dc_short": "upper bound (shorted at a constant current)",
    "stripping_critical": "critical current of stripping (voids)",
    "full_cell_rate": "rate of a full cell",
}
"""What each kind of measurement means, in words."""


@dataclass(frozen=True)
class Measurement:
    """One measured current density, with every column of the table.

    Attributes:
        id: unique name of the row.
        electrolyte, composition: family (what a case is matched with) and the sample as its authors describe it.
        interlayer: layer between lithium and electrolyte; a text that starts with "none" means that none was applied.
        interlayer_thickness_nm, temperature_C, stack_pressure_MPa, half_cycle_capacity_mAh_cm2: as their names say;
            None where the source does not state them.
        protocol: how the current was raised; empty where not stated.
        asr_interface_ohm_cm2, asr_bare_ohm_cm2: interfacial resistance of the cell, and of the cell without interlayer.
        ccd_mA_cm2: the number, mA/cm², positive.
        ccd_kind: what the number is (`KIND_LABELS`).
        authors, journal, year, doi: the source.
        confidence: "A" read in the abstract or paper, "B" partly, "C" recalled.
        provenance, note: where it was read; whatever a reader should know.
    """

    id: str
    electrolyte: str
    composition: str
    interlayer: str
    interlayer_thickness_nm: float | None
    temperature_C: float | None
    stack_pressure_MPa: float | None
    protocol: str
    half_cycle_capacity_mAh_cm2: float | None
    asr_interface_ohm_cm2: float | None
    asr_bare_ohm_cm2: float | None
    ccd_mA_cm2: float
    ccd_kind: MeasurementKind
    authors: str
    journal: str
    year: int
    doi: str
    confidence: Grade
    provenance: str
    note: str

    @property
    def is_bare(self) -> bool:
        """True where no interlayer was applied (an interphase that forms by itself is not applied)."""
        return self.interlayer.lower().startswith("none")

    @property
    def citation(self) -> str:
        """Short form for tables: first author, journal, year."""
        first = self.authors.split(",")[0].strip()
        shown = self.authors if len(self.authors) < 30 else f"{first} et al."
        return f"{shown}, {self.journal} ({self.year})"


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Measurement))
"""Header of the table; every column must be there, in any order."""


def _text(value: str) -> str:
    return value


def _needed_text(value: str) -> str:
    if not value:
        raise ValueError("is empty; write what the source says")
    return value


def _number(
    *, needed: bool = False, above_zero: bool = False, least: float = 0.0, most: float = math.inf, hint: str = ""
) -> Callable[[str], float | None]:
    """A parser of numbers within limits; `hint` says what a number above `most` is likely to be."""

    def parse(value: str) -> float | None:
        if not value:
            if needed:
                raise ValueError("is empty; write a number")
            return None
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f'read "{value}"; write a plain number (its unit is in the column name), or nothing') from None
        if not math.isfinite(number):
            raise ValueError(f'read "{value}", which is not a finite number')
        if (above_zero and number <= 0) or number < least:
            told = "above zero" if above_zero else "zero or more" if least == 0 else f"{least:g} or more"
            raise ValueError(f'read "{value}"; it must be {told}')
        if number > most:
            raise ValueError(f'read "{value}"; it must be at most {most:g}{f" ({hint})" if hint else ""}')
        return number

    return parse


def _one_of(allowed: tuple[str, ...]) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in allowed:
            raise ValueError(f'read "{value}"; {nearest(value, allowed)}')
        return value

    return parse


def _doi(value: str) -> str:
    if value and not (value.startswith("10.") and "/" in value and " " not in value):
        raise ValueError(f'read "{value}"; write the DOI alone, such as 10.1038/s41563-019-0438-9, or nothing')
    return value


def _name(value: str) -> str:
    if not value or any(letter.isspace() for letter in value):
        raise ValueError(f'read "{value}"; write a name without blanks, such as ccd52')
    return value


def _year(value: str) -> int:
    if not (value.isdigit() and 1900 <= int(value) <= 2100):
        raise ValueError(f'read "{value}"; write a year such as 2020')
    return int(value)


_PARSERS: dict[str, Callable[[str], Any]] = {
    "id": _name, "electrolyte": _needed_text, "composition": _text, "interlayer": _needed_text,
    "interlayer_thickness_nm": _number(above_zero=True),
    "temperature_C": _number(least=-273.15, most=250.0, hint="the column is in °C; is this kelvin?"),
    "stack_pressure_MPa": _number(most=1e4, hint="the column is in MPa; is this pascal?"), "protocol": _text,
    "half_cycle_capacity_mAh_cm2": _number(above_zero=True),
    "asr_interface_ohm_cm2": _number(above_zero=True), "asr_bare_ohm_cm2": _number(above_zero=True),
    "ccd_mA_cm2": _number(needed=True, above_zero=True, most=1e5, hint="the column is in mA/cm²"),
    "ccd_kind": _one_of(KINDS), "authors": _needed_text,
    "journal": _needed_text, "year": _year, "doi": _doi, "confidence": _one_of(get_args(Grade)),
    "provenance": _needed_text, "note": _text,
}  # fmt: skip


def read_experiments(path: str | Path) -> tuple[Measurement, ...]:
    """All measurements of one table, in its order.

    Raises:
        UserError: the file is missing or no such table; a missing or unknown column; a cell that does not fit. The message
            names file, line and column, what was read and what is allowed.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; it is a CSV table with the columns {', '.join(COLUMNS)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text ({error})") from None
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(lines, [])
        _check_header(path, header)
        rows = []
        start = lines.line_num + 1
        for cells in lines:
            if any(cell.strip() for cell in cells):
                rows.append((start, _measurement(path, start, header, cells)))
            start = lines.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path}:{lines.line_num}: not valid CSV: {error}") from None
    _check_unique(path, rows)
    return tuple(row for _, row in rows)


def _check_header(path: Path, header: list[str]) -> None:
    for name in header:
        if name not in COLUMNS:
            raise UserError(f"{path}:1: {name}: unknown column; {nearest(name, COLUMNS)}")
        if header.count(name) > 1:
            raise UserError(f"{path}:1: {name}: this column is given twice; keep one")
    for name in COLUMNS:
        if name not in header:
            raise UserError(f"{path}:1: {name}: this column is missing; add it (cells may be empty where a source is silent)")


def _measurement(path: Path, line: int, header: list[str], cells: list[str]) -> Measurement:
    if len(cells) != len(header):
        raise UserError(
            f"{path}:{line}: {len(cells)} cells where the header has {len(header)}; "
            'put a text that holds a comma in double quotes ("a, b")'
        )
    values: dict[str, Any] = {}
    for name, cell in zip(header, cells, strict=True):
        try:
            values[name] = _PARSERS[name](cell.strip())
        except ValueError as error:
            raise UserError(f"{path}:{line}: {name}: {error}") from None
    found = Measurement(**values)
    if found.is_bare and found.interlayer_thickness_nm is not None:
        told = f'a thickness is given, but the interlayer is "{found.interlayer}"; name the layer, or leave the thickness out'
        raise UserError(f"{path}:{line}: interlayer_thickness_nm: {told}")
    return found


def _check_unique(path: Path, rows: list[tuple[int, Measurement]]) -> None:
    first: dict[str, int] = {}
    for line, row in rows:
        if row.id in first:
            raise UserError(f'{path}:{line}: id: "{row.id}" already stands on line {first[row.id]}; give every row its own')
        first[row.id] = line


def for_electrolyte(rows: Iterable[Measurement], name: str) -> tuple[Measurement, ...]:
    """Rows whose electrolyte is `name` (letter case and blanks do not count), in their order."""
    wanted = "".join(name.split()).lower()
    return tuple(row for row in rows if "".join(row.electrolyte.split()).lower() == wanted)


def of_kind(rows: Iterable[Measurement], kind: MeasurementKind) -> tuple[Measurement, ...]:
    """Rows of one kind, in their order."""
    return tuple(row for row in rows if row.ccd_kind == kind)
