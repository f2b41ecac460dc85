"""The report of a memristor case: one HTML page that opens from a file and fetches nothing, and its figures."""

import csv
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from multiscale.memristor.figure import LEAST_A
from multiscale.memristor.run import answer_lines
from multiscale.reporting import html
from multiscale.reporting.figures import THEMED, Palette, figure
from multiscale.reporting.plates import Column, Plate, axis, scripts, show
from multiscale.reporting.results import read_summary, whole

Table = list[dict[str, float | None]]


def memristor_page(results: Path, case: Path, alive: bool = False) -> str:
    """The page as HTML; `alive` adds figures to be read off.

    Raises:
        UserError: the case has not been run, or its results are damaged.
    """
    summary, cycles, loops = read_results(results, case)
    sections = (
        html.header(summary), _answer(summary), _published(summary),
        html.section("Loops", show(_loops(loops, "current"), alive), show(_loops(loops, "length"), alive)),
        html.section("From cycle to cycle", show(_resistances(cycles), alive), show(_voltages(cycles), alive)),
        _ranges(summary), html.inputs(results), html.reproduce(summary, case),
    )  # fmt: skip
    return html.document(str(summary["title"]), sections, scripts() if alive else "")


def memristor_plates(results: Path, case: Path) -> list[Plate]:
    """Every figure of the page. Raises UserError as `memristor_page`."""
    _, cycles, loops = read_results(results, case)
    return [_loops(loops, "current"), _loops(loops, "length"), _resistances(cycles), _voltages(cycles)]


def read_results(results: Path, case: Path) -> tuple[dict[str, Any], Table, Table]:
    """summary.json, cycles.csv and loops.csv; an empty cell is None."""
    summary = read_summary(results, case, "memristor")
    with whole(results, case, "memristor"):
        cycles, loops = (_table(results / name) for name in ("cycles.csv", "loops.csv"))
        if not {"cycle", "set_V", "reset_V", "on_ohm", "off_ohm"} <= set(cycles[0]):
            raise ValueError("cycles.csv lacks a column")
        if not {"cycle", "voltage_V", "current_A", "length_m"} <= set(loops[0]):
            raise ValueError("loops.csv lacks a column")
        return summary, cycles, loops


def _table(path: Path) -> Table:
    with path.open(encoding="utf-8", newline="") as stream:
        return [{name: float(text) if text else None for name, text in row.items()} for row in csv.DictReader(stream)]


def _volts(spread: Mapping[str, Any]) -> str:
    return html.number(spread["median"])


def _answer(summary: Mapping[str, Any]) -> str:
    """The voltage of the set as the number, everything else in words and cards."""
    sets = summary["set_V"]
    lines = [
        f'<div class="number">{_volts(sets)}<span class="unit">V</span></div>',
        html.paragraph("Voltage at which the filament bridges the layer (set), median of the cycles after the first."),
    ]
    if sets["median"] is not None:
        lines.append(f'<div class="range">{html.number(sets["least"])} … {html.number(sets["largest"])} V over the cycles</div>')
    lines += [html.paragraph(escape(line)) for line in answer_lines(dict(summary))]
    ratio = summary["on_off_ratio"]
    cards = [
        ("breaks at (reset), median", _volts(summary["reset_V"]), "V"),
        ("off over on", html.number(ratio["median"]), ""),
        ("on", html.number(summary["on_ohm"]["median"]), "Ω"),
        ("off", html.number(summary["off_ohm"]["median"]), "Ω"),
        ("charge balance", html.number(summary["charge_balance"]), ""),
        ("largest current density", html.number(summary["largest_current_density_A_per_m2"] / 10), "mA/cm²"),
    ]
    return f'<div class="answer">{"".join(lines)}</div>{html.facts(cards)}'


def _published(summary: Mapping[str, Any]) -> str:
    """Beside what was published, and beside the closed forms."""
    exact, published = summary["closed_form"], summary["published"]
    cells: list[tuple[str, ...]] = [("off over on, closed form", html.number(exact["on_off_ratio"]), "model")]
    if published:
        cells.append(("off over on, published", html.number(published["on_off_ratio"]), escape(str(published["source"]))))
        cells.append(("computed over published", html.number(published["computed_over_published"]), "nothing was fitted"))
        radius = summary["electrode_radius_at_published_ratio_m"]
        if radius is not None:
            cells.append(("radius of an electrode at which electrons through the layer would give the published ratio",
                          f"{html.number(radius * 1e6)} µm", "closed form"))  # fmt: skip
    return html.section("Against what is known", html.table((("what", ""), ("value", "n"), ("source", "")), cells))


def _loops(loops: Table, what: str) -> Plate:
    """Current, or length of the filament, over the voltage, for each kept cycle."""
    current = ("current_A", 1.0, "|current| (A)")
    key, scale, unit = current if what == "current" else ("length_m", 1e9, "length of the filament (nm)")
    numbers = sorted({int(row["cycle"] or 0) for row in loops})
    curves: dict[int, tuple[list[float], list[float]]] = {}
    for number in numbers:
        own = [row for row in loops if row["cycle"] == number]
        values = [abs(row[key] or 0.0) * scale for row in own]
        curves[number] = [row["voltage_V"] or 0.0 for row in own], [max(v, LEAST_A) if what == "current" else v for v in values]

    def draw(palette: Palette = THEMED) -> Figure:
        drawing = figure(3.4, palette)
        axes = drawing.axes[0]
        for place, (number, (x, y)) in enumerate(curves.items()):
            axes.plot(x, y, color=palette.series[place % len(palette.series)], linewidth=1.2, label=f"cycle {number}")
        if what == "current":
            axes.set_yscale("log")
        axes.set_xlabel("voltage (V)", color=palette.ink)
        axes.set_ylabel(unit, color=palette.ink)
        axes.legend(labelcolor=palette.ink, frameon=False)
        return drawing

    def traces() -> tuple[list[dict[str, Any]], dict[str, Any]]:
        found = [
            {"type": "scatter", "mode": "lines", "name": f"cycle {number}", "x": x, "y": y,
             "line": {"color": f"var(--series-{1 + place % 7})"}} for place, (number, (x, y)) in enumerate(curves.items())
        ]  # fmt: skip
        return found, {"xaxis": axis("voltage (V)"), "yaxis": axis(unit, what == "current")}

    columns = (("cycle", [number for number in numbers for _ in curves[number][0]]),
               ("voltage (V)", [x for number in numbers for x in curves[number][0]]),
               (unit, [y for number in numbers for y in curves[number][1]]))  # fmt: skip
    title = "Current over voltage" if what == "current" else "Length of the filament over voltage"
    caption = f"{title}, for the first, second and last cycle." + (
        f" Currents below {html.number(LEAST_A)} A are drawn as that." if what == "current" else ""
    )
    return Plate(f"loop-{what}", title, caption, draw, columns, traces)


def _over_cycles(
    cycles: Table, name: str, title: str, caption: str, curves: Mapping[str, str], unit: str, log: bool
) -> Plate:
    """Columns of cycles.csv over the number of the cycle."""
    x = [int(row["cycle"] or 0) for row in cycles]

    def draw(palette: Palette = THEMED) -> Figure:
        drawing = figure(3.0, palette)
        axes = drawing.axes[0]
        for place, (words, key) in enumerate(curves.items()):
            values = np.array([np.nan if row[key] is None else row[key] for row in cycles], dtype=float)
            axes.plot(x, values, ".", color=palette.series[2 * place], label=words)
        if log:
            axes.set_yscale("log")
        axes.set_xlabel("cycle", color=palette.ink)
        axes.set_ylabel(unit, color=palette.ink)
        axes.legend(labelcolor=palette.ink, frameon=False)
        return drawing

    def traces() -> tuple[list[dict[str, Any]], dict[str, Any]]:
        found = [
            {"type": "scatter", "mode": "markers", "name": words, "x": x, "y": [row[key] for row in cycles],
             "marker": {"color": f"var(--series-{1 + 2 * place})"}} for place, (words, key) in enumerate(curves.items())
        ]  # fmt: skip
        return found, {"xaxis": axis("cycle"), "yaxis": axis(unit, log)}

    columns: list[Column] = [(f"{words}, {unit}", [row[key] for row in cycles]) for words, key in curves.items()]
    return Plate(name, title, caption, draw, (("cycle", x), *columns), traces)


def _resistances(cycles: Table) -> Plate:
    caption = "Resistance at the read voltage after each half of the cycle."
    return _over_cycles(cycles, "resistances", "On and off over the cycles", caption, {"off": "off_ohm", "on": "on_ohm"},
                        "resistance (Ω)", True)  # fmt: skip


def _voltages(cycles: Table) -> Plate:
    caption = "Where the filament bridges the layer and where it breaks; a cycle without a point did not."
    return _over_cycles(cycles, "voltages", "Set and reset over the cycles", caption, {"set": "set_V", "reset": "reset_V"},
                        "voltage (V)", False)  # fmt: skip


def _ranges(summary: Mapping[str, Any]) -> str:
    """What the answers become at the ends of each number's range, as the run told them."""
    rows = summary["ranges"]
    if not rows:
        return ""
    names = [name for name in rows[0] if name != "parameter"]
    cells = [
        (escape(html.words(str(row["parameter"]))), *(
            html.number(row[name]) if isinstance(row[name], int | float) or row[name] is None else escape(str(row[name]))
            for name in names
        )) for row in rows
    ]  # fmt: skip
    told = "With one number at an end of its range, the others at their best values; a dash: not within the sweep."
    heads = (("number", ""), *((name.replace("_", " "), "n") for name in names))
    return html.section("Where the error comes from", html.paragraph(told), html.table(heads, cells))
