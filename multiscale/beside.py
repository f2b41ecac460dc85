"""`multiscale ccd CASE --beside OTHER`: critical currents of mechanisms that cases of two kinds compute, and the smallest."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from coupling.errors import UserError
from coupling.toml_input import read

Bounded = tuple[float, str | None]
"""A critical current and which bound it is: "lower", "upper", "both" (an error bar open at both ends), or None, a value."""
Summaries = Mapping[str, Mapping[str, Any]]
IDLE = (
    "title", "question", "physics", "protocol", "uncertainty", "fracture", "time", "atomistic", "nucleation", "voiding",
    "properties",
)  # fmt: skip
"""Tables of case.toml that do not describe the cell."""
SILENT = ("source", "kind", "dimension", "seed", "depth_range")
"""Keys that describe no cell either: sources, kinds of case, seeds, and ranges of what has a best value."""


def reach(number: Bounded) -> tuple[float, float]:
    """Least and largest that a critical current may be, as far as its bound tells."""
    value, bound = number
    return (0.0 if bound in ("upper", "both") else value), (math.inf if bound in ("lower", "both") else value)


def smallest(numbers: Sequence[Bounded]) -> int | None:
    """Which of several critical currents is the smallest whatever the bounds leave open; None where none is known to be."""
    spans = [reach(number) for number in numbers]
    known = [k for k, (_, most) in enumerate(spans) if all(most <= least for j, (least, _) in enumerate(spans) if j != k)]
    return known[0] if known else None


def least(numbers: Sequence[Bounded]) -> tuple[float, Literal["lower", "upper"] | None]:
    """The smallest of several critical currents as a number, and which bound that is where it is not known itself."""
    spans = [reach(number) for number in numbers]
    low, high = min(low for low, _ in spans), min(high for _, high in spans)
    if low == high:
        return low, None
    return (high, "upper") if low == 0 and high < math.inf else (low, "lower")


def unknown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Why `smallest` of rows is None, in words."""
    high = min(reach((row["value"], row["bound"]))[1] for row in rows)
    told = {"lower": "only a lower bound", "upper": "only an upper bound", "both": "open at both ends"}
    open_ = [row for row in rows if row["bound"] in ("upper", "both") or (row["bound"] == "lower" and row["value"] < high)]
    return " and ".join(f"that of {row['mechanism']} is {told[row['bound']]}" for row in open_)


def beside(summaries: Summaries) -> dict[str, Any]:
    """Every mechanism of several cases with its critical current (mA/cm²), and which is the smallest.

    Args:
        summaries: summary.json by case folder.

    Returns:
        "mechanisms": rows; "smallest": name of one, or None where the bounds leave open which it is;
        "overlap": mechanisms whose interval reaches down into that of the smallest.

    Raises:
        UserError: two cases tell of the same mechanism.
    """
    rows: list[dict[str, Any]] = []
    for folder, summary in summaries.items():
        for name, told in summary["mechanisms"].items():
            if twice := next((row["case"] for row in rows if row["mechanism"] == name), None):
                raise UserError(f"--beside: {twice} and {folder} both tell of {name}; give a case of the other kind")
            kept = {key: told.get(key) for key in ("value", "low", "high", "bound", "criterion")}
            rows.append({"mechanism": name, "case": folder, "unit": "mA/cm^2", **kept})
    found = smallest([(row["value"], row["bound"]) for row in rows])
    first = None if found is None else rows[found]
    overlap = [row["mechanism"] for row in rows if first and row is not first and row["low"] <= first["high"]]
    return {"mechanisms": rows, "smallest": first and first["mechanism"], "overlap": overlap}


def differences(folders: list[Path]) -> list[dict[str, Any]]:
    """Keys of case.toml that describe the cell and its conditions, and stand differently in two cases (or in one alone)."""
    one, two = (dict(_cell(read(folder / "case.toml").data)) for folder in folders)
    keys = dict.fromkeys((*one, *two))
    return [{"key": key, "values": [one.get(key), two.get(key)]} for key in keys if one.get(key) != two.get(key)]


def _cell(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Keys and values of a cell, tables inside tables by dots; a list of one table like the table."""
    for key, value in table.items():
        if (not above and key in IDLE) or key in SILENT:
            continue
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(value, dict):
            yield from _cell(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def beside_lines(found: Mapping[str, Any], apart: list[dict[str, Any]]) -> list[str]:
    """What `beside` and `differences` found, in words."""
    lines = [_row(row) for row in found["mechanisms"]]
    if found["smallest"] is None:
        lines.append(f"which is smallest is not known: {unknown(found['mechanisms'])}")
    else:
        reach = f"; the interval of {' and '.join(found['overlap'])} reaches into its own" if found["overlap"] else ""
        lines.append(f"smallest: {found['smallest']}{reach}")
    if apart:
        lines.append("the cells differ, so the two numbers are not of one cell:")
        lines += [f"  {row['key']}: {_told(row['values'][0])} | {_told(row['values'][1])}" for row in apart]
    return lines


def _row(row: Mapping[str, Any]) -> str:
    sign = {"lower": "at least ", "upper": "at most "}.get(str(row["bound"]), "")
    criterion = f", criterion {row['criterion']}" if row["criterion"] else ""
    span = f"({row['low']:.4g} to {row['high']:.4g})"
    return f"{row['mechanism']}: {sign}{row['value']:.4g} mA/cm^2 {span}{criterion} · {row['case']}"


def _told(value: Any) -> str:
    return "not given" if value is None else str(value)
