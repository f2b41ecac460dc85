"""`multiscale check` and `run` of a memristor case: field of the layer, cycles with checkpoints, tables, picture."""

import csv
import io
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coupling.atomic import write_json, write_text
from coupling.constants import FARADAY, LITHIUM_MOLAR_VOLUME
from coupling.store import digest
from multiscale.console import show, show_json
from multiscale.memristor.case import MemristorCase, MemristorInputs, resolve
from multiscale.memristor.model import (
    closed_forms,
    device_of,
    electrode_radius_at,
    field_of,
    nucleation_voltages,
    ranges,
    sweep_of,
)
from multiscale.memristor.sweep import Cycle, Filament, run_cycle
from multiscale.pipeline import versions
from multiscale.progress import Narrator
from multiscale.single_run import run_once
from multiscale.tables import parameter_rows, parameter_table

FORMAT = 1
"""Raised whenever a change of the code changes what a run computes."""
CHECKPOINT_S = 5.0
"""Wall time between two checkpoints, s."""
Row = dict[str, Any]


def show_check(case: MemristorCase, as_json: bool) -> None:
    """Print what `multiscale check` tells of a memristor case: every number with its source."""
    found = resolve(case).parameters
    if as_json:
        show_json({"case": case.name, "parameters": parameter_rows(found)})
    else:
        show(parameter_table(case, found, "a memristor case runs none"))


def run_memristor(case: MemristorCase, results: Path, comm: Any, every_s: float = CHECKPOINT_S) -> dict[str, Any]:
    """Run a memristor case, or what is left of it; gives the summary on every rank.

    Raises:
        UserError: a number is missing, the layer cannot be meshed, the folder is in use.
        RunFailure: a solve failed or the disk is full; the same command goes on.
    """
    inputs, key = resolve(case), digest({"case": case.digest, "format": FORMAT})

    def go(narrator: Narrator) -> dict[str, Any]:
        return _run(case, inputs, results, comm, key, narrator, every_s)

    return run_once(case, key, results, comm, "memristor", go)


def _run(
    case: MemristorCase, inputs: MemristorInputs, results: Path, comm: Any, key: str, narrator: Narrator, every_s: float
) -> dict[str, Any]:
    field = field_of(inputs, comm)
    device = device_of(case, inputs, field)
    exact = closed_forms(device, field, inputs)
    told = f"{len(field.gaps)} gaps solved; off {exact['off_ohm']:.3g} ohm, on {exact['on_ohm']:.4g} ohm in closed form"
    narrator.say("field", told)
    rows, curves = _cycles(case, inputs, device, results, comm, key, narrator, every_s)
    narrator.say("cycles", "ranges of the numbers")
    summary = _summary(case, inputs, rows, exact) | {
        "electrode_radius_at_published_ratio_m": None if case.settings.published is None
        else electrode_radius_at(case.settings.published.on_off_ratio, device, inputs.electronic_conductivity),
        "ranges": ranges(case, inputs, field, comm), "growth_pressure_GPa": device.growth_pressure / 1e9,
        "fitted_parameters": [], "versions": comm.bcast(versions() if comm.rank == 0 else None),
        "hashes": {"case": case.digest, "run": key}, "wall_s": {"run": narrator.seconds()},
    }  # fmt: skip
    if comm.rank == 0:
        from multiscale.memristor.figure import write_figure

        write_json(results / "parameters.json", {"parameters": parameter_rows(inputs.parameters)})
        write_text(results / "cycles.csv", cycles_csv(rows))
        write_text(results / "loops.csv", loops_csv(curves))
        write_figure(results / "memristor.png", rows, curves)
        write_json(results / "summary.json", summary)
        (results / "checkpoint.json").unlink(missing_ok=True)
    for line in answer_lines(summary):
        narrator.say("answer", line)
    comm.barrier()
    return summary


def _cycles(
    case: MemristorCase, inputs: MemristorInputs, device: Any, results: Path, comm: Any, key: str, narrator: Narrator,
    every_s: float,
) -> tuple[list[Row], dict[str, list[list[float]]]]:  # fmt: skip
    """Every cycle's row, and the loops of the first, second and last; each rank does the same, rank 0 keeps it."""
    count, sweep = case.settings.protocol.cycles, sweep_of(case)
    starts = nucleation_voltages(case, inputs, count)
    kept = comm.bcast(_kept(results / "checkpoint.json", key) if comm.rank == 0 else None)
    rows, curves = ([], {}) if kept is None else (kept["rows"], kept["curves"])
    state = Filament(*(rows[-1][name] for name in ("length_m", "opened_m"))) if rows else Filament()
    if rows:
        narrator.say("cycles", f"goes on after cycle {len(rows)} of {count}")
    last = time.monotonic()
    with narrator.watch("cycles") as update:
        for number in range(len(rows), count):
            cycle = run_cycle(device, sweep, state, float(starts[number]))
            rows.append(_row(number + 1, cycle, float(starts[number]), sweep.read, inputs))
            if number in (0, 1, count - 1):
                curves[str(number + 1)] = np.column_stack([cycle.voltage, cycle.current, cycle.length]).tolist()
            state = cycle.end
            update("sweeps", (number + 1) / count)
            if comm.rank == 0 and time.monotonic() - last >= every_s:
                write_json(results / "checkpoint.json", {"key": key, "rows": rows, "curves": curves})
                last = time.monotonic()
    return rows, curves


def _kept(path: Path, key: str) -> dict[str, Any] | None:
    """What an earlier run of the same key has done, if it can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if found["key"] == key and isinstance(found["rows"], list) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _row(number: int, cycle: Cycle, start: float, read: float, inputs: MemristorInputs) -> Row:
    """What is kept of a cycle; charges in C."""
    charge = FARADAY * np.pi * inputs.radius**2 / LITHIUM_MOLAR_VOLUME
    return {
        "cycle": number, "nucleation_V": start if np.isfinite(start) else None, "set_V": cycle.set_voltage,
        "reset_V": cycle.reset_voltage, "on_ohm": read / cycle.on_current, "off_ohm": read / cycle.off_current,
        "plated_C": float(charge * cycle.plated), "stripped_C": float(charge * cycle.stripped),
        "area_positive_VA": cycle.area[0], "area_negative_VA": cycle.area[1], "largest_current_A": cycle.largest_current,
        "longest_m": float(cycle.length.max()), "length_m": float(cycle.end.length), "opened_m": float(cycle.end.opened),
    }  # fmt: skip


def _spread(rows: Sequence[Row], key: str) -> dict[str, float | int | None]:
    """Median, least, largest, and in how many cycles it was seen."""
    values = np.array([row[key] for row in rows if row[key] is not None])
    if not len(values):
        return {"median": None, "least": None, "largest": None, "cycles": 0}
    median, least, largest = float(np.median(values)), float(values.min()), float(values.max())
    return {"median": median, "least": least, "largest": largest, "cycles": len(values)}


def _summary(case: MemristorCase, inputs: MemristorInputs, rows: list[Row], exact: Mapping[str, float]) -> dict[str, Any]:
    """The answer, for scripts. Of the cycles after the first, unless there is only one."""
    later = rows[1:] or rows
    ratios = [row["off_ohm"] / row["on_ohm"] for row in later]
    plated = sum(row["plated_C"] for row in rows)
    left = FARADAY * np.pi * inputs.radius**2 * rows[-1]["length_m"] / LITHIUM_MOLAR_VOLUME
    stripped = sum(row["stripped_C"] for row in rows)
    published = case.settings.published
    current = max(row["largest_current_A"] for row in rows)
    return {
        "case": case.name, "title": case.settings.title, "question": case.settings.question, "kind": "memristor",
        "cycles": len(rows), "forming_V": rows[0]["set_V"],
        "set_V": _spread(later, "set_V"), "reset_V": _spread(later, "reset_V"),
        "on_ohm": _spread(later, "on_ohm"), "off_ohm": _spread(later, "off_ohm"),
        "on_off_ratio": {"median": float(np.median(ratios)), "least": min(ratios), "largest": max(ratios)},
        "closed_form": dict(exact), "published": None if published is None else {
            "on_off_ratio": published.on_off_ratio, "source": published.source,
            "computed_over_published": float(np.median(ratios)) / published.on_off_ratio,
        },
        "area_positive_VA": _spread(later, "area_positive_VA"), "area_negative_VA": _spread(later, "area_negative_VA"),
        "charge_plated_C": plated, "charge_stripped_C": stripped,
        "charge_balance": abs(plated - stripped - left) / plated if plated else 0.0,
        "charge_not_returned": (plated - stripped) / plated if plated else 0.0,
        "largest_current_density_A_per_m2": current / (np.pi * inputs.radius**2), "largest_current_A": current,
    }  # fmt: skip


def cycles_csv(rows: Sequence[Row]) -> str:
    """All cycles as CSV; units in the names."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def loops_csv(curves: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """The kept loops as CSV."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["cycle", "voltage_V", "current_A", "length_m"])
    writer.writerows([number, *point] for number, points in curves.items() for point in points)
    return stream.getvalue()


def answer_lines(summary: dict[str, Any]) -> list[str]:
    """What a run found."""
    forming, sets, resets = (summary[name] for name in ("forming_V", "set_V", "reset_V"))
    lines = []
    if forming is None and not sets["cycles"]:
        lines.append("the filament never bridged the layer")
    else:
        first = "not in the first cycle" if forming is None else f"{forming:.4g} V in the first cycle"
        lines.append(f"bridges at {first}, then at {_told(sets)}; breaks at {_told(resets)}")
    ratio, exact = summary["on_off_ratio"], summary["closed_form"]
    spread = f"{ratio['least']:.3g} … {ratio['largest']:.3g}"
    lines.append(f"on/off {ratio['median']:.3g} ({spread}); closed form {exact['on_off_ratio']:.3g}")
    if summary["published"]:
        radius = summary["electrode_radius_at_published_ratio_m"]
        lines.append(
            f"published on/off {summary['published']['on_off_ratio']:.3g}; electrons through the layer would bring the ratio "
            f"there with an electrode of {radius * 1e6:.3g} um radius"
        )
    lines.append(f"{summary['cycles']} cycles; charge balance {summary['charge_balance']:.1e}, "
                 f"not returned {summary['charge_not_returned']:.1e}; nothing was fitted")  # fmt: skip
    return lines


def _told(spread: Mapping[str, Any]) -> str:
    if spread["median"] is None:
        return "no voltage of the sweep"
    return f"{spread['median']:.4g} V ({spread['least']:.4g} … {spread['largest']:.4g})"
