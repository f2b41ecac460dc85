"""The report of a run: one HTML page that opens from a file, fetches nothing, and says what is missing where something is."""

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from coupling.atomic import write_text
from coupling.constants import FARADAY
from coupling.experiments import Measurement, read_experiments
from multiscale.compare import CaseResult, fitted_keys
from multiscale.critical_current.switch_worth import sign_of
from multiscale.reporting import critical_plates, html
from multiscale.reporting.against_experiments import against_experiments, distribution_plate, matching_rows
from multiscale.reporting.field_maps import CurrentMap, read_current_map
from multiscale.reporting.mechanisms import mechanisms
from multiscale.reporting.plates import Plate, bars_of, link, scripts, show
from multiscale.results import Run, read_run

_MECHANISMS = {
    "initiation": "lithium plated into the flaw presses until the electrolyte cracks at its tip",
    "propagation": "crack and lithium filament advance together to a short",
    "nucleation": "lithium forms inside the electrolyte",
}
_LIMITS = {
    "nucleation": "lithium forms inside the interphase before a flaw cracks",
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


def page(run: Run, measurements: Sequence[Measurement] | None, alive: bool = False) -> str:
    """The whole page as HTML; `alive` adds figures to be zoomed and read off, and Plotly with them (5 MB)."""
    title = str(run.summary.get("title", run.summary.get("case", "")))
    sections = (
        header(run), answer(run), mechanisms(run), against_experiments(run, measurements, alive), maps(run, alive),
        spectrum(run, alive), diffusivities(run, alive), resistance(run), worth(run), error_origin(run), inputs(run),
        reproduce(run),
    )  # fmt: skip
    return html.document(title, sections, scripts() if alive else "")


def plates(run: Run, measurements: Sequence[Measurement] | None) -> list[Plate]:
    """Every figure of the page for which the run has numbers."""
    matching, rows = matching_rows(run, measurements)
    field, _ = _field(run)
    phases = {name: phase for name, phase in (run.arrhenius or {}).items() if phase}
    found = [
        distribution_plate(run, matching, rows), critical_plates.current(field) if field else None,
        critical_plates.potential(field) if field else None, _spectrum_plate(run),
        critical_plates.diffusivity(phases) if phases else None, _resistance_plate(run), _error_plate(run),
    ]  # fmt: skip
    return [plate for plate in found if plate is not None]


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
    told_of = {**run.summary, **(run.summary.get("state") or {}), **(run.summary.get("at_best_values") or {})}
    limit = _LIMITS.get(str(told_of.get("limited_by")))
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
        f"The figures below, the resistances and the maps belong to {_state_of(best)}."
    )


def _state_of(best: Mapping[str, Any]) -> str:
    """Which state the figures, resistances and maps are those of."""
    if best.get("mechanism", "initiation") == "initiation":
        return "that state"
    return f"the critical current of initiation, {html.number(best['each']['initiation'])} mA/cm²"


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


def _field(run: Run) -> tuple[CurrentMap | None, str]:
    """The steady fields of the run, or why they cannot be read."""
    path = run.results / "current_map.npz"
    if not path.is_file():
        return None, ""
    try:
        return read_current_map(path), ""
    except (KeyError, ValueError, OSError) as error:
        return None, str(error)


def maps(run: Run, alive: bool = False) -> str:
    """Current density and potential in the cell at the critical current."""
    title, command = "Where the current goes", f"multiscale run {run.command}"
    field, problem = _field(run)
    if field is None and not problem:
        return html.section(title, html.missing("The current map is missing; this makes it:", command))
    try:
        shown = [show(made(field), alive) for made in (critical_plates.current, critical_plates.potential)] if field else []
    except ValueError as error:
        shown, problem = [], str(error)
    if problem:
        text = f"The current map cannot be read ({problem}); delete current_map.npz and run this again:"
        return html.section(title, html.missing(text, command))
    return html.section(title, *shown)


def _spectrum_plate(run: Run) -> Plate | None:
    """The impedance spectrum of the results folder, if one was computed."""
    path = run.results / "impedance.json"
    try:
        return critical_plates.spectrum(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def spectrum(run: Run, alive: bool = False) -> str:
    """The impedance of the cell, where `multiscale impedance` has computed it."""
    plate = _spectrum_plate(run)
    return html.section("Impedance", show(plate, alive)) if plate else ""


def diffusivities(run: Run, alive: bool = False) -> str:
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
    cells = [
        (escape(name), _room_value(phase.get("room")), _energy(phase.get("fit")), _method(phase))
        for name, phase in phases.items()
    ]
    columns = (("phase", ""), ("D at 298 K (m²/s)", "n"), ("activation energy (eV)", "n"), ("how", "wide"))
    problems = [html.paragraph(escape(str(problem)), "alarm") for problem in run.summary.get("md_problems", [])]
    return html.section(title, show(critical_plates.diffusivity(phases), alive), html.table(columns, cells), *problems)


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
    if "energy" in fit:
        value, spread = fit["energy"]
    else:  # of results of before
        value, spread = fit["activation_energy"], math.sqrt(fit["covariance"][1][1]) if fit.get("covariance") else None
    error = "" if spread is None else f" ± {html.number(spread / FARADAY, 2)}"
    return html.number(value / FARADAY) + error


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
    plate = _resistance_plate(run)
    return html.section("Resistance of the cell", html.paragraph(text), html.bars(items, color=3), link(plate) if plate else "")


def _resistance_plate(run: Run) -> Plate | None:
    split = run.summary.get("asr_split") or {}
    return bars_of("resistance", "area-specific resistance by its parts", "", split, "ohm cm^2", 3) if split else None


def worth(run: Run) -> str:
    """What the critical current would be without each mechanism that the case asked about."""
    switches = run.summary.get("attribution") or {}
    if not switches:
        return ""
    rows = [
        (
            escape(html.words(name)), sign_of(row.get("with_bound")) + html.number(row.get("with")),
            sign_of(row.get("without_bound")) + html.number(row.get("without")),
            f"{sign_of(row.get('factor_bound'))}{html.number(row.get('factor'))} "
            f"({html.number(row.get('smallest'))} … {html.number(row.get('largest'))})",
        )
        for name, row in switches.items()
    ]  # fmt: skip
    columns = (("without", ""), ("all physics, mA/cm²", "n"), ("without it, mA/cm²", "n"), ("factor (smallest … largest)", "n"))
    text = (
        "Critical current with all physics against that without one of them, at the best values on the coarse mesh; the factor "
        "is the median over the microstructures."
    )
    if any("initiation_alone" in row for row in switches.values()):
        text += " Of initiation and nucleation the smaller counts on both sides."
    return html.section("What each mechanism is worth", html.paragraph(text), html.table(columns, rows))


def error_origin(run: Run) -> str:
    """How much of the prediction's variance each input causes."""
    title, split = "Where the error comes from", run.summary.get("error_split") or {}
    if not split:
        return html.section(title, html.missing("The error split is missing; this makes it:", f"multiscale run {run.command}"))
    ordered = sorted(split.items(), key=lambda item: -item[1])
    shown, rest = ordered[:12], ordered[12:]
    items = [(html.words(origin), share, html.percent(share)) for origin, share in shown]
    if rest:
        left = sum(share for _, share in rest)
        items.append((f"{len(rest)} others together", left, html.percent(left)))
    return html.section(
        title, html.paragraph("Share of the spread of the critical current that each input causes."), html.bars(items),
        link(plate) if (plate := _error_plate(run)) else "",
    )  # fmt: skip


def _error_plate(run: Run) -> Plate | None:
    split = run.summary.get("error_split") or {}
    return bars_of("error-origin", "share of the spread of the critical current", "", split, "1") if split else None


def inputs(run: Run) -> str:
    """Every input with its source."""
    title = "Every number that went in"
    if run.parameters is None:
        return html.section(
            title, html.missing("The table of inputs is missing; this makes it:", f"multiscale run {run.command}")
        )
    text = (
        "In SI units. Confidence says whether a number was read in its source (verified), in a copy of its table (transcribed), "
        "recalled (memory), computed, or is low."
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
