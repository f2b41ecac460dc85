"""The report of a tip case: one HTML page that opens from a file and fetches nothing, and its figures."""

import csv
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from multiscale.reporting import html
from multiscale.reporting.figures import STYLE, THEMED, Palette, figure
from multiscale.reporting.plates import Plate, axis, scripts, show
from multiscale.reporting.results import read_summary, whole
from multiscale.tip_trigger.contact import MECHANISMS
from multiscale.tip_trigger.run import answer_lines

_PLACES = (("grain", "in grains", 0), ("boundary", "on boundaries", 2))
Map = Mapping[str, np.ndarray]


def tip_page(results: Path, case: Path, alive: bool = False) -> str:
    """The page as HTML; `alive` adds figures to be read off.

    Raises:
        UserError: the case has not been run, or its results are damaged.
    """
    summary, found = read_results(results, case)
    sections = (
        html.header(summary), _answer(summary),
        html.section("Where it triggers", show(_map(found)), show(_histogram(found), alive)),
        html.section("Over radii of the tip", show(_radii(summary), alive)) if summary["by_radius"] else "",
        _ranges(summary), html.inputs(results), html.reproduce(summary, case),
    )  # fmt: skip
    return html.document(str(summary["title"]), sections, scripts() if alive else "")


def tip_plates(results: Path, case: Path) -> list[Plate]:
    """Every figure of the page. Raises UserError as `tip_page`."""
    summary, found = read_results(results, case)
    return [_map(found), _histogram(found), *([_radii(summary)] if summary["by_radius"] else [])]


def read_results(results: Path, case: Path) -> tuple[dict[str, Any], Map]:
    """summary.json and the columns of map.csv; a point that did not trigger is NaN."""
    summary = read_summary(results, case, "tip")
    with whole(results, case, "tip"):
        with (results / "map.csv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        names = ("x_m", "y_m", "on_boundary", "trigger_V", "nucleation_V", "pressure_Pa")
        found = {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}
        side = round(len(rows) ** 0.5)
        if side < 2 or side * side != len(rows):
            raise ValueError("the map is no square")
        return summary, found


def _answer(summary: Mapping[str, Any]) -> str:
    """The trigger in grains as the number, everything else in words and cards."""
    place = "grain" if summary["trigger_V"]["grain"]["median"] is not None else "boundary"
    spread = summary["trigger_V"][place]
    told = "in grains" if place == "grain" else "on boundaries"
    lines = [
        f'<div class="number">{html.number(spread["median"])}<span class="unit">V</span></div>',
        html.paragraph(f"Median voltage at which lithium breaks in under the tip, {told}."),
    ]
    if spread["p05"] is not None:
        span = f"{html.number(spread['p05'])} … {html.number(spread['p95'])} V"
        lines.append(f'<div class="range">nine points in ten: {span}</div>')
    lines += [html.paragraph(escape(line)) for line in answer_lines(dict(summary))]
    boundary = summary["trigger_V"]["boundary"]
    cards = [
        ("on boundaries, median", html.number(boundary["median"]), "V"),
        ("points that triggered", str(summary["trigger_V"]["all"]["triggered"]), f"of {summary['points']}"),
        ("of the map on boundaries", html.number(100 * summary["boundary_share"]), "%"),
        ("nucleation, median", html.number(summary["nucleation_V"]["median"]), "V"),
        ("largest pressure", html.number(summary["largest_pressure_GPa"]), "GPa"),
        ("ramp", html.number(summary["rate_V_per_s"]), "V/s"),
    ]
    shares = [(name, summary["held_back_by"][name]) for name in MECHANISMS if summary["held_back_by"].get(name)]
    bars = html.bars([(name, share, html.percent(share)) for name, share in shares], color=2)
    held = html.section("What holds the lithium back last", html.paragraph("Share of the points of the map."), bars)
    return f'<div class="answer">{"".join(lines)}</div>{html.facts(cards)}{held if shares else ""}'


def _map(found: Map) -> Plate:
    """Trigger voltage at each point."""
    side = round(len(found["x_m"]) ** 0.5)
    x, y, volts = (found[name].reshape(side, side) * scale for name, scale in (("x_m", 1e6), ("y_m", 1e6), ("trigger_V", 1.0)))

    def draw(palette: Palette = THEMED) -> Figure:
        drawing = figure(4.2, palette)
        axes = drawing.axes[0]
        with matplotlib.rc_context(STYLE):
            shown = axes.pcolormesh(x, y, np.ma.masked_invalid(volts), cmap="cividis", shading="nearest", rasterized=True)
            bar = drawing.colorbar(shown, ax=axes)
            bar.set_label("trigger voltage (V)", color=palette.ink)
            bar.ax.tick_params(colors=palette.ink)
            axes.set_aspect("equal")
            axes.set_xlabel("x (µm)", color=palette.ink)
            axes.set_ylabel("y (µm)", color=palette.ink)
        return drawing

    numbers = (
        ("x (µm)", _blank(found["x_m"] * 1e6)), ("y (µm)", _blank(found["y_m"] * 1e6)),
        ("on a boundary", [int(value) for value in found["on_boundary"]]), ("trigger (V)", _blank(found["trigger_V"])),
        ("nucleation (V)", _blank(found["nucleation_V"])), ("pressure (GPa)", _blank(found["pressure_Pa"] / 1e9)),
    )  # fmt: skip
    caption = "Voltage of the ramp at which lithium breaks in, with the tip at each place; blank: not within the ramp."
    return Plate("trigger-map", "Map of trigger voltages", caption, draw, numbers)


def _blank(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _histogram(found: Map) -> Plate:
    """How the voltages are spread, in grains and on boundaries."""
    there = np.isfinite(found["trigger_V"])
    edges = np.histogram_bin_edges(found["trigger_V"][there] if there.any() else np.array([0.0, 1.0]), bins=30)
    counts = {}
    for name, words, _ in _PLACES:
        which = there & (found["on_boundary"] == (name == "boundary"))
        counts[words] = np.histogram(found["trigger_V"][which], bins=edges)[0].tolist()

    def draw(palette: Palette = THEMED) -> Figure:
        drawing = figure(3.0, palette)
        axes = drawing.axes[0]
        for _, words, series in _PLACES:
            axes.stairs(counts[words], edges, fill=True, alpha=0.6, color=palette.series[series], label=words)
        axes.set_xlabel("trigger voltage (V)", color=palette.ink)
        axes.set_ylabel("points", color=palette.ink)
        axes.legend(labelcolor=palette.ink, frameon=False)
        return drawing

    def traces() -> tuple[list[dict[str, Any]], dict[str, Any]]:
        middle = (0.5 * (edges[1:] + edges[:-1])).tolist()
        found = [
            {"type": "bar", "name": words, "x": middle, "y": counts[words], "marker": {"color": f"var(--series-{series + 1})"}}
            for _, words, series in _PLACES
        ]
        return found, {"xaxis": axis("trigger voltage (V)"), "yaxis": axis("points"), "barmode": "overlay"}

    numbers = (("from (V)", edges[:-1].tolist()), ("to (V)", edges[1:].tolist()), *counts.items())
    return Plate("trigger-spread", "Trigger voltages in grains and on boundaries", "Points of the map by voltage.", draw, numbers,
                 traces)  # fmt: skip


def _radii(summary: Mapping[str, Any]) -> Plate:
    """Trigger in a nominal grain and on a nominal boundary over radii of the tip."""
    rows: Sequence[Mapping[str, Any]] = summary["by_radius"]
    curves = {words: [row[f"{name}_V"] for row in rows] for name, words, _ in _PLACES}
    radii = [row["radius_nm"] for row in rows]

    def draw(palette: Palette = THEMED) -> Figure:
        drawing = figure(3.0, palette)
        axes = drawing.axes[0]
        for _, words, series in _PLACES:
            values = [np.nan if value is None else value for value in curves[words]]
            axes.plot(radii, values, "o-", color=palette.series[series], label=words)
        axes.set_ylim(bottom=0.0)
        axes.set_xlabel("radius of the tip (nm)", color=palette.ink)
        axes.set_ylabel("trigger voltage (V)", color=palette.ink)
        axes.legend(labelcolor=palette.ink, frameon=False)
        return drawing

    def traces() -> tuple[list[dict[str, Any]], dict[str, Any]]:
        found = [
            {"type": "scatter", "mode": "lines+markers", "name": words, "x": radii, "y": curves[words],
             "line": {"color": f"var(--series-{series + 1})"}} for _, words, series in _PLACES
        ]  # fmt: skip
        return found, {"xaxis": axis("radius of the tip (nm)"), "yaxis": axis("trigger voltage (V)") | {"rangemode": "tozero"}}

    caption = "At the best values, with nominal toughness of grain and boundary."
    return Plate("trigger-by-radius", "Trigger voltage over radii of the tip", caption, draw,
                 (("radius (nm)", radii), *((f"{words} (V)", values) for words, values in curves.items())), traces)  # fmt: skip


def _ranges(summary: Mapping[str, Any]) -> str:
    """What the trigger in a nominal grain becomes at the ends of each number's range."""
    rows = summary["ranges"]
    if not rows:
        return ""

    def width(row: Mapping[str, Any]) -> float:
        ends = (row["at_low_V"], row["at_high_V"])
        return float("inf") if None in ends else abs(ends[1] - ends[0])

    cells = [
        (escape(html.words(str(row["parameter"]))), html.number(row["at_low_V"]), html.number(row["at_high_V"]))
        for row in sorted(rows, key=lambda row: -width(row))
    ]
    told = "Trigger voltage (V) with one number at either end of its range, widest first; a dash: not within the ramp."
    return html.section("Where the error comes from", html.paragraph(told),
                        html.table((("number", ""), ("at its low end", "n"), ("at its high end", "n")), cells))  # fmt: skip
