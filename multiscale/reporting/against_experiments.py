"""The section of the report that holds a prediction against experiments, kinds of measurement kept apart."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from coupling.experiments import KIND_LABELS, Measurement, for_electrolyte
from multiscale.compare import compare_row, verdict
from multiscale.reporting import html
from multiscale.reporting.critical_plates import distribution
from multiscale.reporting.plates import Plate, show
from multiscale.results import Run

NO_INPUTS = (
    "surrogate and microstructure", "mesh", "interactions", "how lithium moves inside the flaw (model)",
)  # fmt: skip
"""Parts of the error that belong to the method, not to an input."""


def against_experiments(run: Run, measurements: Sequence[Measurement] | None, alive: bool = False) -> str:
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
    matching, rows = matching_rows(run, measurements)
    if not rows:
        return html.section(title, _distribution(run, matching, rows, alive), html.paragraph(
            f"The table of measurements has none of {escape(run.case.electrolyte)}."))  # fmt: skip
    told = (*_how_far_off(run, rows), _measured_table(rows, matching))
    return html.section(title, _distribution(run, matching, rows, alive), *told)


def distribution_plate(run: Run, matching: Sequence[Measurement], rows: Sequence[Mapping[str, Any]]) -> Plate | None:
    """Predicted over measured values; None where the draws are missing."""
    if not (run.distribution and run.distribution.get("samples")):
        return None
    comparable = {row["id"]: row["comparable"] for row in rows}
    return distribution(run.distribution["samples"], run.summary["ccd"], matching, comparable)


def matching_rows(run: Run, measurements: Sequence[Measurement] | None) -> tuple[list[Measurement], list[dict[str, Any]]]:
    """Measurements of the case's electrolyte, and how each stands to the prediction."""
    if measurements is None or run.case is None:
        return [], []
    case = run.case
    matching = list(for_electrolyte(measurements, case.electrolyte))
    return matching, [compare_row(m, case, run.summary["ccd"]) for m in matching]


def _distribution(run: Run, matching: Sequence[Measurement], rows: Sequence[Mapping[str, Any]], alive: bool) -> str:
    plate = distribution_plate(run, matching, rows)
    if plate is None:
        return html.missing(
            "The distribution of the critical current is missing; this makes it:", f"multiscale run {run.command}"
        )
    return show(plate, alive)


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


def _carrier(run: Run) -> str:
    split = run.summary.get("error_split") or {}
    if not split:
        return ""
    inputs = {origin: share for origin, share in split.items() if origin not in NO_INPUTS}
    if not inputs:
        return ""
    origin, share = max(inputs.items(), key=lambda item: item[1])
    row = next((row for row in run.parameters or [] if row["key"] == origin), None)
    told = f" It is {escape(str(row['kind']))} (confidence: {escape(str(row.get('confidence')))})." if row else ""
    method = sum(share for origin, share in split.items() if origin in NO_INPUTS)
    told += f" The method itself (surrogate, mesh, closures, interactions) adds {html.percent(method)}."
    return html.paragraph(
        f"The input that most likely carries the error is the <strong>{escape(html.words(origin))}</strong>, "
        f"with {html.percent(share)} of the spread of the prediction.{told}", "note",
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
