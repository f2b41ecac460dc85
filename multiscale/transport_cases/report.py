"""The report of a transport run: one HTML page that opens from a file and fetches nothing."""

import csv
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from coupling.atomic import write_text
from coupling.errors import UserError
from multiscale.reporting import html
from multiscale.reporting.figures import STYLE, THEMED, figure, inline_svg

Table = dict[str, list[Any]]


def write_transport_report(results: Path, case: Path) -> Path:
    """Write report.html into the results folder of a transport run.

    Raises:
        UserError: there is no summary.json of a transport run, or a file beside it is damaged.
        RunFailure: the page cannot be written.
    """
    summary = read_summary(results, case)
    parts = [
        header(summary), answer(summary), histories(results), profiles(results), losses(summary), steps_table(summary),
        maps(results, summary), radiograph(results), inputs(results), reproduce(summary, case),
    ]  # fmt: skip
    style = (Path(__file__).resolve().parent.parent / "data" / "report.css").read_text(encoding="utf-8")
    path = results / "report.html"
    write_text(
        path,
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">'
        f'<link rel="icon" href="data:,"><title>{escape(str(summary["title"]))}</title>\n<style>\n{style}</style></head>\n'
        "<body><main>\n" + "\n".join(part for part in parts if part) + "\n</main></body></html>\n",
    )
    return path


def read_summary(results: Path, case: Path) -> dict[str, Any]:
    """The summary of a transport run. Raises UserError: not there yet, damaged, or of another kind."""
    path = results / "summary.json"
    if not path.is_file():
        raise UserError(f"{path}: not there yet; `multiscale run {case}` makes it")
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: cannot be read ({error}); delete it and run `multiscale run {case}` again") from None
    if not isinstance(summary, dict) or summary.get("kind") != "transport":
        raise UserError(f"{path}: not the summary of a transport run; delete it and run `multiscale run {case}` again")
    return summary


def header(summary: Mapping[str, Any]) -> str:
    """Title and question."""
    return (
        f'<header><p class="eyebrow">{escape(str(summary["case"]))}</p><h1>{escape(str(summary["title"]))}</h1>'
        f'<p class="question">{escape(str(summary["question"]))}</p></header>'
    )


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


def histories(results: Path) -> str:
    """Voltage, current and lowest concentration against time."""
    table = read_csv(results / "time_series.csv")
    if not table:
        return ""
    t = np.array(table["time_s"])
    lowest = {name: values for name, values in table.items() if name.startswith("lowest_")}
    drawing = stacked(2 + bool(lowest))
    with matplotlib.rc_context(STYLE):
        axes = drawing.axes
        axes[0].plot(t, np.array(table["voltage_V"]) * 1e3, color=THEMED.series[0])
        axes[0].set_ylabel("voltage (mV)", color=THEMED.ink)
        axes[1].plot(t, np.array(table["current_density_A_per_m2"]) / 10, color=THEMED.series[1])
        axes[1].set_ylabel("current (mA/cm²)", color=THEMED.ink)
        for color, (name, values) in zip(THEMED.series, lowest.items(), strict=False):
            label = name.removeprefix("lowest_concentration_").removesuffix("_mol_per_m3").replace("_", " ")
            axes[2].plot(t, values, color=color, label=label)
        if lowest:
            axes[2].set_ylabel("lowest (mol/m³)", color=THEMED.ink)
            axes[2].legend(labelcolor=THEMED.ink)
        axes[-1].set_xlabel("time (s)", color=THEMED.ink)
    caption = "Voltage of the working against the counter electrode, current (stripping positive), and lowest concentrations."
    return html.section("In time", html.picture(inline_svg(drawing, "history", "Voltage, current and concentrations"), caption))


def stacked(count: int) -> Figure:
    """A figure of so many panels one above the other."""
    from multiscale.reporting.figures import dress

    drawing = figure(1.7 * count, THEMED)
    drawing.clear()
    with matplotlib.rc_context(STYLE):
        for k in range(count):
            dress(drawing.add_subplot(count, 1, k + 1, sharex=drawing.axes[0] if k else None), THEMED)
    return drawing


def profiles(results: Path) -> str:
    """Concentration against depth at several times, the first ion of each medium."""
    table = read_csv(results / "profiles.csv")
    if not table:
        return ""
    return _curves(
        table, "concentration_mol_per_m3", "mean concentration (mol/m³)", "Concentration against depth",
        "Laterally averaged concentration from the working electrode on; the later, the darker.", "profiles",
    )  # fmt: skip


def radiograph(results: Path) -> str:
    """Attenuation of neutrons against depth."""
    table = read_csv(results / "attenuation.csv")
    if not table:
        return ""
    return _curves(
        table, "attenuation_per_m", "⁶Li attenuation (1/m)", "Synthetic ⁶Li radiograph",
        "Attenuation by the ⁶Li of the mobile lithium (Beer-Lambert); the lattice and the electrodes are left out.", "lithium6",
    )  # fmt: skip


def _curves(table: Table, column: str, label: str, title: str, caption: str, name: str) -> str:
    times, media = np.array(table["time_s"]), np.array(table["medium"])
    ions = np.array(table.get("ion", ["" for _ in media]))
    depth, values = np.array(table["depth_m"]) * 1e6, np.array(table[column])
    distinct = np.unique(times)
    drawing = figure(3.0, THEMED)
    axes = drawing.axes[0]
    with matplotlib.rc_context(STYLE):
        for medium in dict.fromkeys(media):
            first = ions[media == medium][0]
            for number, time in enumerate(distinct):
                here = (times == time) & (media == medium) & (ions == first)
                shade = 0.25 + 0.75 * number / max(len(distinct) - 1, 1)
                axes.plot(depth[here], values[here], color=THEMED.series[0], alpha=shade, linewidth=1.0)
        axes.set_xlabel("depth (µm)", color=THEMED.ink)
        axes.set_ylabel(label, color=THEMED.ink)
    told = f"{caption} Times: {', '.join(f'{time:.3g}' for time in distinct)} s."
    return html.section(title, html.picture(inline_svg(drawing, name, title), escape(told)))


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
    return html.section("Resistance by place and cause", html.paragraph(text), html.bars(items, color=3))


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


def maps(results: Path, summary: Mapping[str, Any]) -> str:
    """Current map, hot spots and spectrum of the step that the figures belong to."""
    from multiscale.reporting.field_maps import current_map, read_current_map

    folder = results / "steps" / str(summary.get("figures_of_step"))
    if not (folder / "current_map.npz").is_file():
        return ""
    drawn = inline_svg(current_map(read_current_map(folder / "current_map.npz")), "current", "Ionic current density")
    spots = read_csv(folder / "hot_spots.csv")
    columns = (("where", ""), ("largest over mean", "n"), ("mean over mean", "n"), ("x, µm", "n"), ("depth, µm", "n"))
    rows = [
        (escape(f"{kind} {name}".strip()), *(html.number(v, 4) for v in (largest, mean, x * 1e6, y * 1e6)))
        for kind, name, largest, mean, x, y, _ in list(zip(*spots.values(), strict=True))[:12]
    ]  # fmt: skip
    return html.section(
        "Where the current goes", html.picture(drawn, "Size of the ionic current density."),
        html.paragraph("The hottest grains, boundaries and layers; hot_spots.csv holds all."), html.table(columns, rows),
        _spectrum(folder),
    )  # fmt: skip


def _spectrum(folder: Path) -> str:
    """Heterogeneity against depth: root mean square of the cosines that are written."""
    table = read_csv(folder / "spectrum.csv")
    if not table:
        return ""
    depth, amplitude = np.array(table["depth_m"]), np.array(table["amplitude_over_mean_1"])
    levels = np.unique(depth)
    spread = [float(np.sqrt(np.sum(amplitude[depth == level] ** 2) / 2)) for level in levels]
    drawing = figure(2.4, THEMED)
    axes = drawing.axes[0]
    with matplotlib.rc_context(STYLE):
        axes.semilogy(levels * 1e6, np.maximum(spread, 1e-12), "o-", color=THEMED.series[2])
        axes.set_xlabel("depth (µm)", color=THEMED.ink)
        axes.set_ylabel("unevenness of the current", color=THEMED.ink)
    caption = "Root mean square of the current through a level about its mean, over the mean; spectrum.csv holds the amplitudes."
    return html.picture(inline_svg(drawing, "spectrum", "Unevenness of the current against depth"), caption)


def inputs(results: Path) -> str:
    """Every input with its source."""
    path = results / "parameters.json"
    if not path.is_file():
        return ""
    rows = json.loads(path.read_text(encoding="utf-8"))["parameters"]
    return html.section("Every number that went in", html.paragraph("In SI units."), html.parameter_table(rows))


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
