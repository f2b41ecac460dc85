"""The one table of a sweep: a row a design, units in the names of its columns; CSV, and Parquet where pyarrow is there."""

import csv
import functools
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coupling.atomic import replacing, write_text
from multiscale.sweeps.driver import Prepared
from multiscale.sweeps.keys import Key, magnitude, split_quantity, user_unit
from multiscale.sweeps.ledger import Status
from multiscale.sweeps.settings import Axis, Sweep
from multiscale.sweeps.solve import COLUMNS


@dataclass(frozen=True)
class TableOf:
    """Rows of a sweep.

    Attributes:
        columns: names, with units in brackets.
        rows: one a point, in the order of the sweep; None where there is nothing to tell.
    """

    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]

    def column(self, name: str) -> str | None:
        """The column of a name without its unit, or None."""
        return next((column for column in self.columns if column == name or column.rsplit(" (", 1)[0] == name), None)


@functools.lru_cache(maxsize=1000)
def _unit_of(key: Key, first: Any) -> str:
    return user_unit(key, first)


def unit_of(axis: Axis) -> str:
    """The unit that a numeric variable is told in: that of its first value in sweep.toml."""
    if not axis.is_numeric or axis.key is None:
        return ""
    first = (axis.stated.values or (axis.stated.from_,))[0]
    return _unit_of(axis.key, first)


def cell_of(axis: Axis, value: Any) -> Any:
    """A value of a variable as it stands in the table: a number in the column's unit, or the text."""
    if not axis.is_numeric or axis.key is None:
        return value
    unit = unit_of(axis)
    if axis.key.kind == "quantity" and unit:
        number, own = split_quantity(str(value))
        if own == unit:  # nothing to convert: no need of pint, which takes most of the time of a long table
            return float(f"{number:.9g}")
    return float(f"{magnitude(axis.key, value, unit):.9g}")


def with_unit(name: str, unit: str) -> str:
    """'thickness (nm)'."""
    return f"{name} ({unit})" if unit else name


@dataclass(frozen=True)
class Layout:
    """Columns of a sweep's table.

    Attributes:
        variables: column of each variable, by its name.
        answers: column of each answer, by its name.
    """

    sweep: Sweep
    variables: Mapping[str, str]
    answers: Mapping[str, str]

    @functools.cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns in their order."""
        own = ("replica", "fidelity", "state", *self.answers.values(), "wall (s)", "reason")
        return ("number", "design", *self.variables.values(), *own)

    def row(self, number: int, point: Mapping[str, Any], status: Status) -> dict[str, Any]:
        """The row of a point (as `driver.Prepared.rows` holds it) and what is known of its design."""
        cells: dict[str, Any] = {"number": number, "design": point["design"], "replica": point["replica"]}
        for axis in self.sweep.axes:
            cells[self.variables[axis.name]] = cell_of(axis, point["values"][axis.name])
        cells["state"], cells["reason"], cells["fidelity"] = status.state, status.reason, self.sweep.settings.fidelity
        for name, column in self.answers.items():
            cells[column] = status.answers.get(name)
        cells["wall (s)"] = round(status.wall_s, 3) if status.is_over else None
        return {column: cells[column] for column in self.columns}


def layout(sweep: Sweep) -> Layout:
    """The columns of a sweep's table."""
    variables = {axis.name: with_unit(axis.name, unit_of(axis)) for axis in sweep.axes}
    return Layout(sweep, variables, {name: with_unit(name, unit) for name, unit in COLUMNS.items()})


def build(prepared: Prepared) -> TableOf:
    """The table of what the store knows now."""
    statuses = {name: prepared.store.status(name) for name in prepared.names}
    found = layout(prepared.sweep)
    rows = [found.row(number, row, statuses[row["design"]]) for number, row in enumerate(prepared.rows)]
    return TableOf(found.columns, rows)


def as_csv(table: TableOf) -> str:
    """The table as comma-separated values, the full precision of every number."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([["" if row[c] is None else row[c] for c in table.columns] for row in table.rows])
    return stream.getvalue()


def write(table: TableOf, folder: Path) -> tuple[Path, str]:
    """Write table.csv and table.parquet; gives the first, and a remark where the second is missing."""
    path = folder / "table.csv"
    write_text(path, as_csv(table))
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return path, "no Parquet file: the package pyarrow is not installed (`pip install -e .[sweep]`)"
    data = pyarrow.table({column: pyarrow.array(_typed([row[column] for row in table.rows])) for column in table.columns})
    with replacing(folder / "table.parquet") as temporary:
        parquet.write_table(data, temporary)
    return path, ""


def _typed(values: list[Any]) -> list[Any]:
    """One type a column: floats where whole numbers and floats are mixed, texts where texts and numbers are."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and float in kinds:
        return [None if value is None else float(value) for value in values]
    return values if len(kinds) <= 1 else [None if value is None else str(value) for value in values]
