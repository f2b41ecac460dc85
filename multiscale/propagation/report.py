"""The report of a propagation run: one HTML page that opens from a file and fetches nothing, and its figures."""

import csv
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from coupling.errors import UserError
from multiscale.critical_current.switch_worth import sign_of
from multiscale.propagation.answer import answer_lines, read_summary, short_words
from multiscale.propagation.books import energy_missing, energy_words
from multiscale.propagation.case import load_propagation_case
from multiscale.propagation.film import read_reel
from multiscale.reporting import html
from multiscale.reporting.figures import STYLE, THEMED, Palette, dress, figure
from multiscale.reporting.plates import Plate, curves_of, scripts, show

ROWS = 60
"""Steps that the table of energies shows at most, spread over all; history.csv holds every one."""
ENDINGS = {"growth": "the crack grows", "protocol": "holds"}


def propagation_page(results: Path, case: Path, alive: bool = False) -> str:
    """The page as HTML; `alive` adds figures to be read off.

    Raises:
        UserError: the case has not been run, or its results are damaged.
    """
    summary, history = _read(results, case)
    sections = (
        html.header(summary), _answer(summary), _section(show(_in_time(history, summary), alive), "In time"),
        _section("".join(show(plate) for plate in _maps(results, summary)), "Crack and current"), _holds(summary),
        _energies(history, alive), _origins(summary), _animation(results), html.inputs(results), _reproduce(summary, case),
    )  # fmt: skip
    return html.document(str(summary["title"]), sections, scripts() if alive else "")


def propagation_plates(results: Path, case: Path) -> list[Plate]:
    """Every figure of the page. Raises UserError as `propagation_page`."""
    summary, history = _read(results, case)
    return [_in_time(history, summary), *_maps(results, summary), _energy_plate(history)]


def _read(results: Path, case: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """summary.json and the columns of history.csv."""
    summary = read_summary(load_propagation_case(case), results)
    try:
        text = (results / "history.csv").read_text(encoding="utf-8")
        rows = list(csv.DictReader(text.splitlines()))
        if len(rows) != summary["steps"] + 1 or not text.endswith("\n"):
            raise ValueError(f"history.csv is cut: {len(rows)} of {summary['steps'] + 1} rows, the last one perhaps in part")
        return summary, {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        told = f"{results}: not the results of a propagation run, or damaged ({error})"
        raise UserError(f"{told}; delete them and run `multiscale run {case}` again") from None


def _answer(summary: dict[str, Any]) -> str:
    """The number, how the run ended in words, and the figures that prove its books."""
    ccd = summary["ccd"]
    sign = {"lower": "≥ ", "upper": "≤ "}.get(str(ccd.get("bound")), "")
    span = f"{html.number(ccd['low'])} … {html.number(ccd['high'])} mA/cm²"
    told = f"{100 * ccd['level']:.0f} % interval: {span}" if summary["error_bar"] else f"bracket of one run: {span}"
    steady, bound = "steady start of a sharp flaw, one cell", "a bound: which mechanism is smaller is not known"
    told = {"initiation": steady, None: bound}.get(ccd["mechanism"], told)
    value = f'{sign}{html.number(ccd["value"])}<span class="unit">mA/cm²</span>'
    if not ccd["value"]:  # nothing was plated, or nothing held
        value, told = "no critical current", "this run found none"
    lines = [
        f'<div class="number">{value}</div>',
        f'<div class="range">{told}</div>', *(html.paragraph(escape(line)) for line in answer_lines(summary)),
    ]  # fmt: skip
    cards = [
        ("largest pressure of the lithium", html.number(summary["largest_pressure_MPa"], 4), "MPa"),
        ("crack at the end", html.number(summary["crack_length_um"], 4), "µm"),
        ("plated until the end", html.number(summary["life"]["plated_mAh_per_cm2"], 4), "mAh/cm²"),
        ("charge that is missing", html.number(summary["charge_balance"]), "of what moved"),
        ("volume against charge", html.number(summary["volume_over_charge_error"]), "relative"),
        (
            "energy neither stored nor spent on the crack" if summary["energy_balance"] >= 0 else
            "energy beyond the work counted (time steps)",
            html.number(100 * abs(summary["energy_balance"])), "% of the largest",
        ),
    ]
    return f'<div class="answer">{"".join(lines)}</div>{html.facts(cards)}'


def _section(body: str, title: str) -> str:
    return html.section(title, body) if body else ""


def _in_time(history: Mapping[str, np.ndarray], summary: Mapping[str, Any]) -> Plate:
    """Pressure, current and length against time."""
    columns: dict[str, Any] = {
        "time (s)": history["time"].tolist(), "pressure (MPa)": (history["pressure"] / 1e6).tolist(),
        "current density (mA/cm²)": (history["current_density"] / 10).tolist(),
        "crack (µm)": (history["length"] * 1e6).tolist(), "lithium (µm)": (history["front"] * 1e6).tolist(),
        "potential (mV)": (history["potential"] * 1e3).tolist(),
    }  # fmt: skip
    if "impedance" in history:  # not in results of older versions
        columns["impedance (Ω cm²)"] = (history["impedance"] * 1e4).tolist()
    if "contact" in history and history["contact"].min() < 1:
        columns["contact of the lithium (share of its face)"] = history["contact"].tolist()

    def draw(palette: Palette = THEMED) -> Figure:
        drawing = _panels(4, palette)
        t = columns["time (s)"]
        with matplotlib.rc_context(STYLE):
            for axes, name, color in zip(drawing.axes, list(columns)[1:4], palette.series, strict=False):
                axes.plot(t, columns[name], color=color, drawstyle="steps-pre" if "current" in name else "default")
                axes.set_ylabel(name, color=palette.ink)
            drawing.axes[2].plot(t, columns["lithium (µm)"], color=palette.series[3], linestyle="--")
            drawing.axes[2].axhline(summary["thickness_um"], color=palette.muted, linewidth=0.8)
            drawing.axes[3].plot(t, columns["potential (mV)"], color=palette.series[4])
            drawing.axes[3].set_ylabel("potential (mV)", color=palette.ink)
            drawing.axes[3].set_xlabel("time (s)", color=palette.ink)
        return drawing

    caption = (
        "Pressure of the lithium, applied current, crack (line) and lithium in it (dashed) up to the counter electrode (thin), "
        "mean potential at the counter electrode."
    )
    title = "Pressure, current, crack and potential against time"
    return curves_of(draw, "in-time", title, caption, columns, "time (s)", list(columns)[1:])


def _panels(count: int, palette: Palette) -> Figure:
    drawing = figure(1.6 * count, palette)
    drawing.clear()
    with matplotlib.rc_context(STYLE):
        for k in range(count):
            dress(drawing.add_subplot(count, 1, k + 1, sharex=drawing.axes[0] if k else None), palette)
    return drawing


def _maps(results: Path, summary: Mapping[str, Any]) -> list[Plate]:
    """The last frame: current density around the crack."""
    reel = read_reel(results / "film.npz")
    if reel is None or not len(reel.numbers):
        return []
    applied = float(reel.column("current_density")[-1])
    frame = reel.points, reel.triangles, reel.damage[-1].astype(float), reel.current_density[-1], applied

    def draw(palette: Palette = THEMED) -> Figure:
        from multiscale.propagation.figure import draw_map

        drawing = figure(3.6, palette)
        with matplotlib.rc_context(STYLE):
            draw_map(drawing, drawing.axes[0], frame, summary["thickness_um"] * 1e-6, palette.ink)
        return drawing

    caption = "Size of the ionic current density over the applied one at the end; red: broken."
    return [Plate("map", "Current density around the crack", caption, draw, ())]


def _holds(summary: Mapping[str, Any]) -> str:
    """The trials of a bisection, or the holds of a protocol."""
    if summary["trials"]:
        tried = (
            ("current, mA/cm²", "n"), ("what happened", ""), ("after, s", "n"), ("pressure, MPa", "n"), ("growth, µm", "n"),
        )  # fmt: skip
        trials = [
            (html.number(trial["current"] / 10, 4), escape(ENDINGS.get(trial["by"]) or short_words(trial["by"])),
             html.number(trial["time"], 4), html.number(trial["pressure"] / 1e6, 4), html.number(trial["growth"] * 1e6))
            for trial in sorted(summary["trials"], key=lambda trial: trial["current"])
        ]  # fmt: skip
        return html.section("Currents tried, each from the pristine cell", html.table(tried, trials))
    columns = (
        ("hold", "n"), ("current, mA/cm²", "n"), ("held, s", "n"), ("pressure at its end, MPa", "n"),
        ("rise in another such hold", "n"), ("growth, µm", "n"), ("speed at its end, µm/s", "n"),
    )  # fmt: skip
    rows = [
        (f"{hold['hold']}{' (conditioning)' * hold.get('conditioning', False)}",
         html.number(hold["current_mA_per_cm2"], 4), html.number(hold["held_s"], 4),
         html.number(hold["pressure_MPa"], 4), f"{100 * hold['pressure_rise_in_another_hold']:.2g} %",
         html.number(hold["growth_um"]), html.number(hold["speed_um_per_s"]))
        for hold in _spread(summary["holds"])
    ]  # fmt: skip
    note = "A current that did not grow the crack says so for its hold time only: a longer one may, if the pressure still rose."
    return html.section("Hold by hold", html.paragraph(note), html.table(columns, rows))


def _spread(rows: list[Any]) -> list[Any]:
    """At most ROWS of the rows, the last among them."""
    every = -(-len(rows) // ROWS)
    return rows if every <= 1 else [*rows[: -1 : every], rows[-1]]


def _energy_columns(history: Mapping[str, np.ndarray]) -> dict[str, list[float]]:
    gone = {name: history[name] - history[name][0] for name in ("work", "elastic", "fracture")}
    return {
        "time (s)": history["time"].tolist(), "work done on the cell (µJ/m)": (gone["work"] * 1e6).tolist(),
        "stored elastically (µJ/m)": (gone["elastic"] * 1e6).tolist(),
        "spent on the crack (µJ/m)": (gone["fracture"] * 1e6).tolist(),
        "neither; negative: work not counted (µJ/m)": ((gone["work"] - gone["elastic"] - gone["fracture"]) * 1e6).tolist(),
    }  # fmt: skip


def _energy_plate(history: Mapping[str, np.ndarray]) -> Plate:
    columns = _energy_columns(history)

    def draw(palette: Palette = THEMED) -> Figure:
        drawing = figure(3.0, palette)
        with matplotlib.rc_context(STYLE):
            for color, name in zip(palette.series, list(columns)[1:], strict=False):
                drawing.axes[0].plot(columns["time (s)"], columns[name], color=color, label=name.removesuffix(" (µJ/m)"))
            drawing.axes[0].set_xlabel("time (s)", color=palette.ink)
            drawing.axes[0].set_ylabel("energy since the start (µJ/m)", color=palette.ink)
            drawing.axes[0].legend(labelcolor=palette.ink)
        return drawing

    told = energy_words(*energy_missing(history["work"], history["elastic"], history["fracture"]))
    caption = f"Per metre of depth, of the whole cell. {told}"
    return curves_of(draw, "energies", "Energies since the start", caption, columns, "time (s)", list(columns)[1:])


def _energies(history: Mapping[str, np.ndarray], alive: bool) -> str:
    """The energy balance at every step."""
    columns = _energy_columns(history)
    cells = list(zip(*columns.values(), history["rounds"].tolist(), strict=True))
    rows = [tuple(html.number(value, 4) for value in row) for row in _spread(cells)]
    heads = [(name, "n") for name in (*columns, "rounds")]
    table = f"<details><summary>step by step</summary>{html.table(heads, rows)}</details>"
    return html.section("Energy balance at every step", show(_energy_plate(history), alive), table)


def _origins(summary: Mapping[str, Any]) -> str:
    """Where the error comes from, and what each switch is worth."""
    parts = []
    if split := summary["error_split"]:
        items = [(html.words(name), share, f"{100 * share:.0f} %") for name, share in split.items() if share >= 0.005]
        parts.append(html.section("Where the error comes from", html.bars(items)))
    if worth := summary["attribution"]:
        columns = (
            ("without", ""), ("critical current, mA/cm²", "n"), ("with it", "n"), ("factor", "n"), ("over microstructures", "n"),
        )  # fmt: skip
        rows = [
            (escape(name), sign_of(row["without_bound"]) + html.number(row["without"], 4),
             sign_of(row["with_bound"]) + html.number(row["with"], 4), sign_of(row["factor_bound"]) + html.number(row["factor"]),
             f"{html.number(row['smallest'])} … {html.number(row['largest'])}")
            for name, row in worth.items()
        ]  # fmt: skip
        note = html.paragraph("At best values; switches on a coarse mesh, a mechanism on that of the run.")
        parts.append(html.section("What each switch is worth", note, html.table(columns, rows)))
    return "".join(parts)


def _animation(results: Path) -> str:
    """The animation, where `multiscale animate` has made one."""
    found = next((path for path in (results / "film.webp", results / "film.gif") if path.is_file()), None)
    if found is None:
        return ""
    import base64

    kind, data = found.suffix.lstrip("."), base64.b64encode(found.read_bytes()).decode()
    image = f'<img alt="Crack and current in time" style="max-width:100%" src="data:image/{kind};base64,{data}">'
    return html.section("As a film", f"<figure>{image}</figure>")


def _reproduce(summary: Mapping[str, Any], case: Path) -> str:
    cells: list[tuple[str, ...]] = []
    for key, heading in (("hashes", "Hashes"), ("versions", "Versions")):
        cells.append((heading,))
        cells += [(escape(str(name)), escape(str(value))) for name, value in (summary.get(key) or {}).items()]
    command = html.paragraph(f"<code>multiscale run {escape(str(case))}</code>")
    return html.section("How to compute this again", command, html.table((("what", ""), ("value", "key")), cells))
