"""The report of a run: one HTML page that opens from a file, fetches nothing, and says what is missing where something is."""

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from coupling.atomic import write_text
from coupling.constants import FARADAY
from coupling.experiments import KIND_LABELS, Measurement, for_electrolyte, read_experiments
from multiscale.compare import CaseResult, compare_row, fitted_keys, verdict
from multiscale.reporting import html
from multiscale.results import Run, read_run

_NO_INPUTS = (
    "surrogate and microstructure", "mesh", "interactions", "how lithium moves inside the flaw (model)",
)  # fmt: skip
_MECHANISMS = {
    "initiation": "lithium plated into the flaw presses until the electrolyte cracks at its tip",
    "propagation": "crack and lithium filament advance together to a short",
    "nucleation": "lithium forms inside the electrolyte",
}
_LIMITS = {
    "stall": "the pressure in the flaw is close to the one that stops plating there",
    "extrusion": "most of the lithium plated in the flaw creeps out of its mouth again",
    "stack": "the stack pressure alone opens the flaw",
}
_STATE = (
    ("flaw_pressure_MPa", "lithium pressure in the flaw", "MPa"),
    ("stall_pressure_MPa", "pressure that would stop plating", "MPa"),
    ("overpotential_mV", "overpotential at the flaw", "mV"),
    ("stress_intensity_MPa_sqrt_m", "stress intensity at the tip", "MPa m^0.5"),
    ("toughness_MPa_sqrt_m", "toughness there", "MPa m^0.5"),
    ("extrusion_share", "share of lithium that creeps out", "1"),
)


def write_report(results: Path, experiments: Path | None, case: CaseResult | None = None) -> Path:
    """Write report.html into a results folder and return its path.

    Args:
        results: folder with summary.json; parameters.json, distribution.json, atomistic/arrhenius.json and current_map.npz
            are shown where they are there.
        experiments: table of measured critical currents, or None to leave the comparison out.
        case: what the measurements are matched on; by default what summary.json or the case folder above `results` says.

    Raises:
        UserError: there is no summary.json, or the table of measurements is wrong.
        RunFailure: the page cannot be written.
    """
    run = read_run(results, case)
    measurements = None if experiments is None else read_experiments(experiments)
    path = results / "report.html"
    write_text(path, page(run, measurements))
    return path


def page(run: Run, measurements: Sequence[Measurement] | None) -> str:
    """The whole page as HTML."""
    style = (Path(__file__).resolve().parent.parent / "data" / "report.css").read_text(encoding="utf-8")
    title = escape(str(run.summary.get("title", run.summary.get("case", ""))))
    sections = (
        header(run), answer(run), against_experiments(run, measurements), maps(run), diffusivities(run), resistance(run),
        error_origin(run), inputs(run), reproduce(run),
    )  # fmt: skip
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">'
        f'<link rel="icon" href="data:,"><title>{title}</title>\n<style>\n{style}</style></head>\n'
        "<body><main>\n" + "\n".join(sections) + "\n</main></body></html>\n"
    )


def header(run: Run) -> str:
    """Title and question of the case."""
    summary = run.summary
    notes = "".join(html.paragraph(escape(note), "alarm") for note in run.notes)
    return (
        f'<header><p class="eyebrow">{escape(str(summary.get("case", "")))}</p><h1>{escape(str(summary.get("title", "")))}</h1>'
        f'<p class="question">{escape(str(summary.get("question", "")))}</p>{notes}</header>'
    )


def answer(run: Run) -> str:
    """The critical current density with its interval and mechanism, the audit of fitted inputs, and the state at that current."""
    ccd = run.summary["ccd"]
    bound = ccd.get("bound") == "lower"
    measure = html.unit(ccd.get("unit", "mA/cm^2")).replace("cm<sup>2</sup>", "cm²")
    mechanism = str(ccd.get("mechanism", ""))
    told = f": {_MECHANISMS[mechanism]}" if mechanism in _MECHANISMS else ""
    told = f" First mechanism: <strong>{escape(mechanism)}</strong>{told}." if mechanism else ""
    limit = _LIMITS.get(str(({**run.summary, **(run.summary.get("state") or {})}).get("limited_by")))
    lines = [
        f'<div class="number">{"≥ " if bound else ""}{html.number(ccd["value"])}<span class="unit">{measure}</span></div>',
        f'<div class="range">{100 * ccd["level"]:.0f} % interval: {html.number(ccd["low"])} … '
        f"{html.number(ccd['high'])} {measure}</div>",
        html.paragraph(f"Critical current density.{told}"),
        html.paragraph("The number is the median of the draws of all inputs."),
        html.paragraph(_best(run.summary, limit)),
        html.paragraph("The upper end is open: not every draw cracked up to the largest current tried.") if bound else "",
        _audit(run),
    ]
    return f'<div class="answer">{"".join(lines)}</div>{html.facts(_state(run.summary))}'


def _best(summary: Mapping[str, Any], limit: str | None) -> str:
    """The fine solution at the best value of every input, to which state, resistances and maps belong."""
    best = summary.get("at_best_values") or {}
    if not best:
        return f"At the critical current, {escape(limit)}." if limit else ""
    told = f"; there, {escape(limit)}" if limit else ""
    return (
        f"At the best value of every input it is {html.number(best['value'])} mA/cm²{told}. "
        "The figures below, the resistances and the maps belong to that state."
    )


def _audit(run: Run) -> str:
    """Whether any input was fitted, from the inputs themselves."""
    if run.parameters is None:
        return html.missing(
            "Whether anything was fitted cannot be checked without parameters.json; this makes it:",
            f"multiscale run {run.command}",
        )
    fitted = [*fitted_keys({"parameters": run.parameters}), *run.summary.get("fitted_parameters", [])]
    if fitted:
        return html.paragraph("Fitted to experiment: " + escape(", ".join(dict.fromkeys(fitted))), "alarm")
    kinds = [str(row.get("kind")) for row in run.parameters]
    counts = ", ".join(f"{kinds.count(kind)} {label}" for kind, label in (
        ("md", "from molecular dynamics"), ("measured", "measured elsewhere"), ("derived", "derived"), ("assumed", "assumed"),
    ) if kind in kinds)  # fmt: skip
    return html.paragraph(f'<span class="good">Nothing was fitted.</span> {len(kinds)} inputs: {counts}.')


def _state(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The numbers that describe the state at the critical current; one without a name here is shown under its own."""
    plain = (
        ("focusing_factor", "focusing: largest over mean current", "1"),
        ("detour_factor", "detour: path over straight path", "1"),
        ("asr_ohm_cm2", "area-specific resistance", "ohm cm^2"),
    )  # fmt: skip
    state = summary.get("state") or {}
    known = {key for key, _, _ in _STATE}
    unnamed = [
        (key, key.replace("_", " "), "1") for key, value in state.items() if key not in known and type(value) in (int, float)
    ]
    values = {**summary, **state}
    found = [(label, values.get(key), measure) for key, label, measure in (*plain, *_STATE, *unnamed)]
    return [
        (escape(label), html.number(float(value)), html.unit(measure).replace("ohm", "Ω"))
        for label, value, measure in found
        if isinstance(value, int | float)
    ]


def against_experiments(run: Run, measurements: Sequence[Measurement] | None) -> str:
    """The predicted distribution with the measured values of the same electrolyte, kinds kept apart."""
    title = "Against experiments"
    if measurements is None:
        return html.section(
            title,
            html.missing("No table of measurements was given; this uses the shipped one:", f"multiscale report {run.command}"),
        )
    if run.case is None:
        return html.section(
            title, html.paragraph("The electrolyte of this case is not known: summary.json does not name it.", "missing")
        )
    matching = for_electrolyte(measurements, run.case.electrolyte)
    rows = [compare_row(m, run.case, run.summary["ccd"]) for m in matching]
    if not rows:
        return html.section(title, _distribution(run, matching, rows), html.paragraph(
            f"The table of measurements has none of {escape(run.case.electrolyte)}."))  # fmt: skip
    return html.section(title, _distribution(run, matching, rows), *_how_far_off(run, rows), _measured_table(rows, matching))


def _distribution(run: Run, matching: Sequence[Measurement], rows: Sequence[Mapping[str, Any]]) -> str:
    if not (run.distribution and run.distribution.get("samples")):
        return html.missing(
            "The distribution of the critical current is missing; this makes it:", f"multiscale run {run.command}"
        )
    from multiscale.reporting.figures import ccd_distribution, inline_svg

    comparable = {row["id"]: row["comparable"] for row in rows}
    drawing = ccd_distribution(run.distribution["samples"], run.summary["ccd"], matching, comparable)
    caption = (
        f"Predicted critical current density ({len(run.distribution['samples'])} draws of the inputs; line: median, band: "
        "interval) over the measured values. Arrows point to the side a bound leaves open. Filled: same kind of cell as the "
        "case; hollow: listed, not compared. Kinds of measurement are never pooled."
    )
    return html.picture(inline_svg(drawing, "ccd", "Predicted critical current density and measured values"), caption)


def _how_far_off(run: Run, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """How far the prediction is from what can be compared, and which input most likely carries the error."""
    compared = [row for row in rows if row["comparable"]]
    plating = [row for row in compared if row["kind"] == "ccd"]
    said = [
        f"Against {escape(row['citation'])}: predicted over measured {html.number(row['ratio'])}; {verdict(row)}."
        for row in plating
    ]
    if not plating:
        said.append(
            "No measured critical current of plating can be held against this case: the table has none of this electrolyte with "
            "the same interlayer and temperature. So how far off the prediction is cannot be told by a ratio; bounds say this:"
            if len(compared) else
            "No measurement in the table can be held against this case; the reasons stand below."
        )  # fmt: skip
    for row in compared:
        if row["kind"] != "ccd":
            sign = "above" if row["kind"] == "lower_bound" else "below"
            outcome = "consistent" if row["consistent"] else "<strong>inconsistent</strong>"
            said.append(
                f"{escape(row['citation'])} puts it {sign} {html.number(row['measured'])} mA/cm²; "
                f"the prediction is {html.number(row['ratio'])} times that: {outcome}."
            )
    return [*(html.paragraph(text) for text in said), _carrier(run)]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 or share == 0 else "< 1 %"


def _carrier(run: Run) -> str:
    split = run.summary.get("error_split") or {}
    if not split:
        return ""
    inputs = {origin: share for origin, share in split.items() if origin not in _NO_INPUTS}
    if not inputs:
        return ""
    origin, share = max(inputs.items(), key=lambda item: item[1])
    row = next((row for row in run.parameters or [] if row["key"] == origin), None)
    told = f" It is {escape(str(row['kind']))} (confidence: {escape(str(row.get('confidence')))})." if row else ""
    method = sum(share for origin, share in split.items() if origin in _NO_INPUTS)
    told += f" The method itself (surrogate, mesh, closures, interactions) adds {_percent(method)}."
    return html.paragraph(
        f"The input that most likely carries the error is the <strong>{escape(html.words(origin))}</strong>, "
        f"with {_percent(share)} of the spread of the prediction.{told}", "note",
    )  # fmt: skip


def _measured_table(rows: Sequence[Mapping[str, Any]], matching: Sequence[Measurement]) -> str:
    """The measurements under the name of their kind, those that can be compared first."""
    measured, sign = {m.id: m for m in matching}, {"lower_bound": "≥ ", "dc_short": "≤ "}
    cells: list[tuple[str, ...]] = []
    for kind, label in KIND_LABELS.items():
        of_kind = [row for row in rows if row["kind"] == kind]
        cells += [(escape(label),)] if of_kind else []
        for row in sorted(of_kind, key=lambda row: (not row["comparable"], row["measured"])):
            outcome = verdict(row) + (f": {row['reason']}" if row["reason"] else "")
            cells.append((
                f"{sign.get(kind, '')}{row['measured']:g}", escape(row["interlayer"]), _conditions(measured[row["id"]]),
                escape(outcome),
                f"{escape(row['citation'])} <small>[{escape(row['id'])}, {escape(row['confidence'])}]</small>",
            ))  # fmt: skip
    columns = (("mA/cm²", "n"), ("interlayer", ""), ("conditions", ""), ("against the prediction", "wide"), ("source", "wide"))
    key = "In brackets: row of the table, and confidence: A, number read in the abstract or paper; B, in part; C, recalled."
    return html.table(columns, cells) + html.paragraph(f"<small>{key}</small>")


def _conditions(measured: Measurement) -> str:
    told = ((measured.temperature_C, "°C"), (measured.stack_pressure_MPa, "MPa"))
    return ", ".join(f"{value:g} {measure}" for value, measure in told if value is not None) or "not stated"


def maps(run: Run) -> str:
    """Current density and potential in the cell at the critical current."""
    title, path = "Where the current goes", run.results / "current_map.npz"
    if not path.is_file():
        return html.section(title, html.missing("The current map is missing; this makes it:", f"multiscale run {run.command}"))
    from multiscale.reporting.field_maps import current_map, potential_map, read_current_map
    from multiscale.reporting.figures import inline_svg

    try:
        field = read_current_map(path)
        current = inline_svg(current_map(field), "current", "Map of the ionic current density in the cell")
        potential = inline_svg(potential_map(field), "potential", "Map of the electrolyte potential in the cell")
    except (KeyError, ValueError, OSError) as error:
        text = f"The current map cannot be read ({error}); delete {path.name} and run this again:"
        return html.section(title, html.missing(text, f"multiscale run {run.command}"))
    caption = (
        "Size of the ionic current density at the critical current of the best values; "
        f"{len(field.triangles)} triangles, lithium below. "
        "White lines: grains and layers. The squares are shown enlarged at the right."
    )
    lines = "Electrolyte potential in the same cell. Contours are evenly spaced in each panel."
    return html.section(title, html.picture(current, caption), html.picture(potential, lines))


def diffusivities(run: Run) -> str:
    """Arrhenius plot and the values at room temperature."""
    title = "Diffusivities from molecular dynamics"
    phases = {name: phase for name, phase in (run.arrhenius or {}).items() if phase}
    if not phases and run.summary.get("md") is False:
        return html.section(title, html.paragraph("This run was told to leave molecular dynamics out (--no-md)."))
    if not phases:
        return html.section(
            title,
            html.missing("No diffusivities were computed for this run; this computes them:", f"multiscale md {run.command}"),
        )
    from multiscale.reporting.figures import arrhenius, inline_svg

    svg = inline_svg(arrhenius(phases), "arrhenius", "Lithium diffusivity against inverse temperature")
    cells = [
        (escape(name), _room_value(phase.get("room")), _energy(phase.get("fit")), _method(phase))
        for name, phase in phases.items()
    ]
    caption = (
        "Li diffusivity against inverse temperature. Lines and bands: Arrhenius fits with their 95 % interval; arrows pointing "
        "down: upper bounds, where nothing diffused on the time scale of the run; at the right, hollow: the value at 298 K."
    )
    columns = (("phase", ""), ("D at 298 K (m²/s)", "n"), ("activation energy (eV)", "n"), ("how", "wide"))
    problems = [html.paragraph(escape(str(problem)), "alarm") for problem in run.summary.get("md_problems", [])]
    return html.section(title, html.picture(svg, caption), html.table(columns, cells), *problems)


def _room_value(room: Mapping[str, Any] | None) -> str:
    if not room or room.get("value") is None:
        return "–"
    if room.get("bound"):
        return ("≤ " if room["bound"] == "upper" else "≥ ") + html.number(room["value"])
    spread = (
        f" ({html.number(room['low'])} … {html.number(room['high'])})"
        if room.get("low") is not None and room.get("high") is not None
        else ""
    )
    return html.number(room["value"]) + spread


def _method(phase: Mapping[str, Any]) -> str:
    """How the value at room temperature was obtained, and how well the line fits."""
    fit, told = phase.get("fit") or {}, str((phase.get("room") or {}).get("method", ""))
    scatter = f"; χ² {fit['chi_square']:.2g}" if fit.get("chi_square") is not None else ""
    return escape(f"{told or str(len(phase.get('points', []))) + ' temperatures'}{scatter}")


def _energy(fit: Mapping[str, Any] | None) -> str:
    """Activation energy with its standard error, eV a particle."""
    if not fit:
        return "–"
    error = f" ± {html.number(math.sqrt(fit['covariance'][1][1]) / FARADAY, 2)}" if fit.get("covariance") else ""
    return html.number(fit["activation_energy"] / FARADAY) + error


def resistance(run: Run) -> str:
    """What the area-specific resistance is made of."""
    split = run.summary.get("asr_split") or {}
    if not split:
        return html.section(
            "Resistance of the cell",
            html.missing("The split of the resistance is missing; this makes it:", f"multiscale run {run.command}"),
        )
    total = sum(split.values()) or 1.0
    items = [
        (html.words(part), value / total, f"{html.number(value)} Ω cm²")
        for part, value in sorted(split.items(), key=lambda item: -item[1])
    ]
    whole = html.number(run.summary.get("asr_ohm_cm2", total))
    text = f"Area-specific resistance {whole} Ω cm². Its parts, in the state shown above:"
    return html.section("Resistance of the cell", html.paragraph(text), html.bars(items, color=3))


def error_origin(run: Run) -> str:
    """How much of the prediction's variance each input causes."""
    title, split = "Where the error comes from", run.summary.get("error_split") or {}
    if not split:
        return html.section(title, html.missing("The error split is missing; this makes it:", f"multiscale run {run.command}"))
    ordered = sorted(split.items(), key=lambda item: -item[1])
    shown, rest = ordered[:12], ordered[12:]
    items = [(html.words(origin), share, _percent(share)) for origin, share in shown]
    if rest:
        items.append((f"{len(rest)} others together", sum(share for _, share in rest), _percent(sum(share for _, share in rest))))
    return html.section(
        title, html.paragraph("Share of the spread of the critical current that each input causes."), html.bars(items)
    )


def inputs(run: Run) -> str:
    """Every input with its source."""
    title = "Every number that went in"
    if run.parameters is None:
        return html.section(
            title, html.missing("The table of inputs is missing; this makes it:", f"multiscale run {run.command}")
        )
    text = (
        "In SI units. Confidence says whether a number was read in its source (verified), recalled (memory), computed, or is low."
    )
    return html.section(title, html.paragraph(text), html.parameter_table(run.parameters))


def reproduce(run: Run) -> str:
    """Command, versions, hashes and times."""
    summary = run.summary
    cells: list[tuple[str, ...]] = []
    for key, heading in (
        ("hashes", "Hashes of what decides the answer"),
        ("versions", "Versions"),
        ("wall_s", "Time of the last run, s"),
    ):
        values = summary.get(key) or {}
        cells += [(heading,)] if values else []
        cells += [(escape(str(name)), escape(_told(value))) for name, value in values.items()]
    if (balance := summary.get("charge_balance")) is not None:
        cells += [("Charge balance of the solve, relative",), ("charge", escape(_told(balance)))]
    table = html.table((("what", ""), ("value", "key")), cells) if cells else ""
    return html.section("How to reproduce", f"<pre>multiscale run {escape(run.command)}</pre>", table)


def _told(value: Any) -> str:
    """A value of the summary as plain text."""
    if value is None:
        return "not there"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value) if isinstance(value, int | str) else json.dumps(value, ensure_ascii=False)
