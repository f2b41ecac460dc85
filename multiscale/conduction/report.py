"""The report of a conduction run: one HTML page that opens from a file and fetches nothing."""

import base64
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from coupling.toml_input import read
from multiscale.reporting import html
from multiscale.reporting.plates import Plate, bars_of, link
from multiscale.reporting.results import read_summary


def conduction_page(results: Path, case: Path) -> str:
    """The page as HTML. Raises UserError as `read_summary`, or where case.toml cannot be read."""
    summary, told = read_summary(results, case, "conduction"), read(case / "case.toml").data
    title = str(told.get("title", summary["case"]))
    sections = (
        html.header({**told, "case": summary["case"], "title": title}),
        answer(summary), geometry(results, summary), resistance(summary), html.inputs(results), html.reproduce(summary, case),
    )  # fmt: skip
    return html.document(title, sections)


def answer(summary: Mapping[str, Any]) -> str:
    """Resistance on the cross-section, voltage, path, focusing."""
    total = html.number(summary["asr_ohm_cm2"]["total"], 4)
    current = html.number(summary["current_density_mA_per_cm2"], 4)
    lines = [
        f'<div class="number">{total}<span class="unit">Ω cm²</span></div>',
        html.paragraph("Resistance of the region times the cross-section, from the steady current; kinetics are not part of it."),
        html.paragraph(f"At {current} mA/cm² that is {html.number(summary['cell_voltage_V'] * 1e3, 4)} mV."),
        html.paragraph("No error bar: one solution at the stated values; the charge balance tells how well it was solved."),
    ]
    cards: list[tuple[str, str, str]] = [
        ("mean path over straight path", html.number(summary["detour_factor"], 5), ""),
        ("distance of the electrodes", html.number(summary["electrode_distance_m"] * 1e6, 4), "µm"),
        ("resistance", html.number(summary["resistance"]["value"], 4), escape(summary["resistance"]["unit"]).replace("ohm", "Ω")),
        ("charge imbalance", html.number(summary["charge_balance"]), ""),
    ]
    if focus := summary.get("focusing_factor"):
        name = f"focusing: largest over mean current, over {html.number(focus['window_m'] * 1e9)} nm"
        cards.insert(1, (name, html.number(focus["value"], 4), ""))
    return f'<div class="answer">{"".join(lines)}</div>{html.facts(cards)}'


def geometry(results: Path, summary: Mapping[str, Any]) -> str:
    """Picture of the geometry and the quality of its mesh."""
    path, mesh = results / "geometry.png", summary["mesh"]
    parts = []
    if path.is_file():
        packed = base64.b64encode(path.read_bytes()).decode()
        picture = f'<img alt="Geometry and mesh" src="data:image/png;base64,{packed}">'
        parts.append(html.picture(picture, "Geometry and quality of its mesh."))
    rows = [(escape(name), str(region["cells"]), html.number(region["measure"], 4)) for name, region in mesh["regions"].items()]
    measure = {2: "area, m²", 3: "volume, m³"}.get(mesh["dimension"], "measure")
    quality = (
        f"{mesh['cells']} cells, {summary['unknowns']} unknowns; worst shape {html.number(mesh['worst_shape'])} (1 is best); "
        f"edges {html.number(mesh['smallest_edge_m'] * 1e6)} … {html.number(mesh['largest_edge_m'] * 1e6)} µm."
    )
    table = html.table((("region", ""), ("cells", "n"), (measure, "n")), rows)
    fields = html.paragraph("Potential and current density lie in <code>fields/conduction.bp</code>, for ParaView.")
    return html.section("Where the current goes", *parts, html.paragraph(quality), table, fields)


def _shares(summary: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in summary["asr_ohm_cm2"].items() if name != "total"}


def resistance_plate(results: Path, case: Path) -> list[Plate]:
    """The parts of the resistance as a figure with its numbers."""
    return [_plate(summary)] if _shares(summary := read_summary(results, case, "conduction")) else []


def _plate(summary: Mapping[str, Any]) -> Plate:
    return bars_of("resistance", "resistance by region", "", _shares(summary), "ohm cm^2", 3)


def resistance(summary: Mapping[str, Any]) -> str:
    """The resistance by region."""
    shares, total = _shares(summary), summary["asr_ohm_cm2"]["total"] or 1.0
    if not shares:
        return ""
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    items = [(name, value / total, f"{html.number(value, 4)} Ω cm²") for name, value in ordered]
    text = html.paragraph("Where the power is lost, as resistance on the cross-section; the parts add up to the whole.")
    return html.section("Resistance by region", text, html.bars(items, color=3), link(_plate(summary)))
