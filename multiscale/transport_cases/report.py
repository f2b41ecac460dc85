"""The report of a transport run: one HTML page that opens from a file and fetches nothing."""

import csv
import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from coupling.atomic import write_text
from multiscale.reporting import critical_plates, html
from multiscale.reporting.field_maps import CurrentMap, read_current_map
from multiscale.reporting.figures import STYLE, THEMED, Palette, dress, figure
from multiscale.reporting.plates import Plate, axis, bars_of, curves_of, link, scripts, show
from multiscale.reporting.results import read_summary
from multiscale.transport_cases.mechanics_report import mechanics_plates, mechanics_section

Table = dict[str, list[Any]]


def write_transport_report(results: Path, case: Path) -> Path:
    """Write report.html into the results folder of a transport run.

    Raises:
        UserError: there is no summary.json of a transport run, or a file beside it is damaged.
        RunFailure: the page cannot be written.
    """
    path = results / "report.html"
    write_text(path, transport_page(results, case))
    return path


def transport_page(results: Path, case: Path, alive: bool = False) -> str:
    """The page as HTML; `alive` adds figures to be read off. Raises UserError as `write_transport_report`."""
    summary = read_summary(results, case, "transport")
    sections = (
        html.header(summary), answer(summary), maps(results, summary), spectrum(results, alive), histories(results, alive),
        profiles(results, alive), mechanics_section(results, summary, alive), radiograph(results, alive), losses(summary),
        steps_table(summary), html.inputs(results), reproduce(summary, case),
    )  # fmt: skip
    return html.document(str(summary["title"]), sections, scripts() if alive else "")


def transport_plates(results: Path, case: Path) -> list[Plate]:
    """Every figure of the page for which the run has numbers."""
    summary = read_summary(results, case, "transport")
    field, _ = _field(results, summary)
    split = summary.get("asr_split") or {}
    found = [
        critical_plates.current(field) if field else None, _unevenness_plate(results, summary), _spectrum_plate(results),
        _history_plate(results), _profile_plate(results), *mechanics_plates(results, summary), _radiograph_plate(results),
        bars_of("resistance", "voltage over current by place and cause", "", split, "ohm cm^2", 3) if split else None,
    ]  # fmt: skip
    return [plate for plate in found if plate is not None]


def answer(summary: Mapping[str, Any]) -> str:
    """How the run ended, and its figures."""
    ended = summary["ended"]
    told = {"depletion": "An ion ran out", "protocol": "The protocol came to its end"}.get(ended["by"], ended["by"])
    lines = [html.paragraph(f"<strong>{escape(told)}</strong>: {escape(str(ended['message']))}.")]
    for row in summary["limits"]:
        limit = f"{html.number(row['limiting_current_mA_per_cm2'], 4)} mA/cm²"
        sand = "".join(f"; Sand time at {escape(i)} {html.number(t, 4)} s" for i, t in row["sand_time_s"].items())
        lines.append(html.paragraph(f"Closed form for {escape(row['medium'])}: limiting current {limit}{sand}."))
    cards: list[tuple[str, str, str]] = []
    if summary.get("asr_ohm_cm2") is not None:
        cards += [
            ("area-specific resistance", html.number(summary["asr_ohm_cm2"], 4), "Ω cm²"),
            ("focusing: largest over mean current", html.number(summary["focusing_factor"], 4), ""),
            ("detour: path over straight path", html.number(summary["detour_factor"], 5), ""),
        ]
        cards += [(f"constriction in {escape(m)}", html.number(v, 4), "") for m, v in summary["constriction"].items()]
        cards += [(f"current carried by {escape(ion)}", html.number(v), "") for ion, v in summary["transference"].items()]
        lines.append(html.paragraph(f"The figures below belong to the end of step {summary['figures_of_step']}."))
    cards.append(("largest charge imbalance", html.number(summary["charge_balance"]), ""))
    return f'<div class="answer">{"".join(lines)}</div>{html.facts(cards)}'


def histories(results: Path, alive: bool = False) -> str:
    """Voltage, current and lowest concentration against time."""
    plate = _history_plate(results)
    return html.section("In time", show(plate, alive)) if plate else ""


def _history_plate(results: Path) -> Plate | None:
    table = read_csv(results / "time_series.csv")
    if not table:
        return None
    lowest = {name: values for name, values in table.items() if name.startswith("lowest_")}
    caption = "Voltage of the working against the counter electrode, current (stripping positive), and lowest concentrations."
    return curves_of(
        functools.partial(_history, table, lowest), "history", "Voltage, current and concentrations", caption, table, "time_s",
        ["voltage_V", "current_density_A_per_m2", *lowest],
    )  # fmt: skip


def _history(table: Table, lowest: Table, palette: Palette = THEMED) -> Figure:
    t = np.array(table["time_s"])
    drawing = stacked(2 + bool(lowest), palette)
    with matplotlib.rc_context(STYLE):
        axes = drawing.axes
        axes[0].plot(t, np.array(table["voltage_V"]) * 1e3, color=palette.series[0])
        axes[0].set_ylabel("voltage (mV)", color=palette.ink)
        axes[1].plot(t, np.array(table["current_density_A_per_m2"]) / 10, color=palette.series[1])
        axes[1].set_ylabel("current (mA/cm²)", color=palette.ink)
        for color, (name, values) in zip(palette.series, lowest.items(), strict=False):
            label = name.removeprefix("lowest_concentration_").removesuffix("_mol_per_m3").replace("_", " ")
            axes[2].plot(t, values, color=color, label=label)
        if lowest:
            axes[2].set_ylabel("lowest (mol/m³)", color=palette.ink)
            axes[2].legend(labelcolor=palette.ink)
        axes[-1].set_xlabel("time (s)", color=palette.ink)
    return drawing


def stacked(count: int, palette: Palette = THEMED) -> Figure:
    """A figure of so many panels one above the other."""
    drawing = figure(1.7 * count, palette)
    drawing.clear()
    with matplotlib.rc_context(STYLE):
        for k in range(count):
            dress(drawing.add_subplot(count, 1, k + 1, sharex=drawing.axes[0] if k else None), palette)
    return drawing


def profiles(results: Path, alive: bool = False) -> str:
    """Concentration against depth at several times, the first ion of each medium."""
    plate = _profile_plate(results)
    return html.section(plate.title, show(plate, alive)) if plate else ""


def _profile_plate(results: Path) -> Plate | None:
    return depth_curves(
        read_csv(results / "profiles.csv"), "concentration_mol_per_m3", "mean concentration (mol/m³)",
        "Concentration against depth",
        "Laterally averaged concentration from the working electrode on; the later, the darker.", "profiles",
    )  # fmt: skip


def radiograph(results: Path, alive: bool = False) -> str:
    """Attenuation of neutrons against depth."""
    plate = _radiograph_plate(results)
    return html.section(plate.title, show(plate, alive)) if plate else ""


def _radiograph_plate(results: Path) -> Plate | None:
    return depth_curves(
        read_csv(results / "attenuation.csv"), "attenuation_per_m", "⁶Li attenuation (1/m)", "Synthetic ⁶Li radiograph",
        "Attenuation by the ⁶Li of the mobile lithium (Beer-Lambert); the lattice and the electrodes are left out.", "lithium6",
    )  # fmt: skip


def depth_curves(table: Table, column: str, label: str, title: str, caption: str, name: str) -> Plate | None:
    """Curves against depth, one a medium and time; None where there is no table."""
    if not table:
        return None
    times, media = np.array(table["time_s"]), np.array(table["medium"])
    ions = np.array(table.get("ion", ["" for _ in media]))
    depth, values = np.array(table["depth_m"]) * 1e6, np.array(table[column])
    distinct = np.unique(times)
    lines = []  # (medium, time, darkness, depth in µm, value)
    for medium in dict.fromkeys(media):
        first = ions[media == medium][0]
        for number, time in enumerate(distinct):
            here = (times == time) & (media == medium) & (ions == first)
            lines.append((medium, time, 0.25 + 0.75 * number / max(len(distinct) - 1, 1), depth[here], values[here]))

    def draw(palette: Palette = THEMED) -> Figure:
        drawing = figure(3.0, palette)
        axes = drawing.axes[0]
        with matplotlib.rc_context(STYLE):
            for _, _, shade, x, y in lines:
                axes.plot(x, y, color=palette.series[0], alpha=shade, linewidth=1.0)
            axes.set_xlabel("depth (µm)", color=palette.ink)
            axes.set_ylabel(label, color=palette.ink)
        return drawing

    def living() -> tuple[list[dict[str, Any]], dict[str, Any]]:
        traces = [
            {
                "type": "scatter", "mode": "lines", "name": escape(f"{medium}, {time:.3g} s"), "x": x.tolist(), "y": y.tolist(),
                "opacity": shade, "line": {"color": "var(--series-1)"},
            }
            for medium, time, shade, x, y in lines
        ]  # fmt: skip
        return traces, {"xaxis": axis("depth (µm)"), "yaxis": axis(label), "showlegend": False}

    told = f"{caption} Times: {', '.join(f'{time:.3g}' for time in distinct)} s."
    return Plate(name, title, escape(told), draw, tuple(table.items()), living)


def _spectrum_plate(results: Path) -> Plate | None:
    """The impedance, where `multiscale impedance` has computed it."""
    path = results / "impedance.json"
    try:
        return critical_plates.spectrum(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def spectrum(results: Path, alive: bool = False) -> str:
    """The impedance of the cell."""
    plate = _spectrum_plate(results)
    return html.section("Impedance", show(plate, alive)) if plate else ""


def losses(summary: Mapping[str, Any]) -> str:
    """The resistance by place and cause."""
    split = summary.get("asr_split") or {}
    if not split:
        return ""
    largest = max(abs(value) for value in split.values()) or 1.0
    ordered = sorted(split.items(), key=lambda item: -abs(item[1]))
    items = [(name, abs(value) / largest, f"{html.number(value)} Ω cm²") for name, value in ordered]
    text = (
        "Voltage over current by place and cause; the parts add up to the whole. Concentration: Nernst potentials of faces and "
        "the diffusion potential of the salt, which may help (negative) or hinder."
    )
    numbers = link(bars_of("resistance", "voltage over current by place and cause", "", split, "ohm cm^2", 3))
    return html.section("Resistance by place and cause", html.paragraph(text), html.bars(items, color=3), numbers)


def steps_table(summary: Mapping[str, Any]) -> str:
    """The end of every step."""
    columns = (
        ("step", "n"), ("time, s", "n"), ("voltage, mV", "n"), ("current, mA/cm²", "n"), ("resistance, Ω cm²", "n"),
        ("focusing", "n"), ("detour", "n"), ("charge imbalance", "n"),
    )  # fmt: skip
    rows = [
        (
            str(step["step"]), html.number(step["time_s"], 4), html.number(step["voltage_V"] * 1e3, 4),
            html.number(step["current_density_mA_per_cm2"], 4), html.number(step.get("asr_ohm_cm2"), 4),
            html.number(step.get("focusing_factor"), 4), html.number(step.get("detour_factor"), 5),
            html.number(step["charge_balance"]),
        )
        for step in summary["steps"]
    ]  # fmt: skip
    return html.section("At the end of each step", html.table(columns, rows)) if rows else ""


def _field(results: Path, summary: Mapping[str, Any]) -> tuple[CurrentMap | None, Path]:
    """Fields of the step that the figures belong to, None where none were kept; and its folder."""
    folder = results / "steps" / str(summary.get("figures_of_step"))
    return read_current_map(folder / "current_map.npz") if (folder / "current_map.npz").is_file() else None, folder


def maps(results: Path, summary: Mapping[str, Any]) -> str:
    """Current map, hot spots and spectrum of the step that the figures belong to."""
    field, folder = _field(results, summary)
    spots = read_csv(folder / "hot_spots.csv")
    if not spots:
        return ""
    drawn = None
    if field is not None:
        drawn = dataclasses.replace(critical_plates.current(field), caption="Size of the ionic current density.")
    axes = [name.removesuffix("_m") for name in list(spots)[4:-1]]
    columns = (("where", ""), ("largest over mean", "n"), ("mean over mean", "n"), *((f"{axis}, µm", "n") for axis in axes))
    rows = [
        (escape(f"{kind} {_grain(name)}".strip()), *(html.number(v, 4) for v in (largest, mean, *(x * 1e6 for x in place))))
        for kind, name, largest, mean, *place, _ in list(zip(*spots.values(), strict=True))[:12]
    ]  # fmt: skip
    unevenness = _unevenness_plate(results, summary)
    told = html.paragraph("The hottest grains, boundaries and layers; hot_spots.csv holds all.")
    return html.section(
        "Where the current goes", show(drawn) if drawn else "", told, html.table(columns, rows),
        show(unevenness) if unevenness else "",
    )  # fmt: skip


def _grain(name: Any) -> str:
    """Number of a grain, or the two of a boundary, as they stand in a table."""
    return f"{name:g}" if isinstance(name, float) else str(name)


def _unevenness_plate(results: Path, summary: Mapping[str, Any]) -> Plate | None:
    """Heterogeneity against depth: root mean square of the cosines that are written."""
    table = read_csv(results / "steps" / str(summary.get("figures_of_step")) / "spectrum.csv")
    if not table:
        return None
    depth, amplitude = np.array(table["depth_m"]), np.array(table["amplitude_over_mean_1"])
    levels = np.unique(depth)
    spread = [float(np.sqrt(np.sum(amplitude[depth == level] ** 2) / 2)) for level in levels]

    def draw(palette: Palette = THEMED) -> Figure:
        drawing = figure(2.4, palette)
        axes = drawing.axes[0]
        with matplotlib.rc_context(STYLE):
            axes.semilogy(levels * 1e6, np.maximum(spread, 1e-12), "o-", color=palette.series[2])
            axes.set_xlabel("depth (µm)", color=palette.ink)
            axes.set_ylabel("unevenness of the current", color=palette.ink)
        return drawing

    caption = "Root mean square of the current through a level about its mean, over the mean; spectrum.csv holds the amplitudes."
    numbers = (("depth (m)", levels.tolist()), ("unevenness (1)", spread))
    return Plate("spectrum", "Unevenness of the current against depth", caption, draw, numbers)


def reproduce(summary: Mapping[str, Any], case: Path) -> str:
    """Command, versions, hashes."""
    cells: list[tuple[str, ...]] = []
    for key, heading in (("hashes", "Hashes"), ("versions", "Versions"), ("time_steps", "Time steps")):
        cells.append((heading,))
        cells += [(escape(str(name)), escape(str(value))) for name, value in (summary.get(key) or {}).items()]
    table = html.table((("what", ""), ("value", "key")), cells)
    return html.section("How to reproduce", f"<pre>multiscale run {escape(case.as_posix())}</pre>", table)


def read_csv(path: Path) -> Table:
    """Columns of a table; numbers where they are numbers. Empty where there is no file."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    columns: Sequence[Sequence[str]] = list(zip(*rows[1:], strict=True)) if len(rows) > 1 else [[] for _ in rows[0]]
    return {name: [_number(value) for value in column] for name, column in zip(rows[0], columns, strict=True)}


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text
