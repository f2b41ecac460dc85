"""The comparison as text and as CSV: one row a measurement, all of them, with every field of the measurement kept."""

import csv
import io
from collections.abc import Mapping
from typing import Any

from coupling.experiments import COLUMNS, KIND_LABELS
from multiscale.comparison.agreement import CRITICAL

SIGN = {"lower_bound": "≥ ", "dc_short": "≤ ", "full_cell_rate": "≥ "}
PREDICTED = (
    "comparable", "cell", "predicted", "low", "high", "level", "best_mA_cm2", "ratio", "consistent", "stated", "assumed",
    "largest_error", "reason",
)  # fmt: skip
"""Columns of the CSV after those of the measurement; current densities in mA/cm².

"predicted" is the median of draws (log-uniform over a range), "best_mA_cm2" the prediction at the best value of every input.
"""


def csv_text(comparison: Mapping[str, Any]) -> str:
    """The table as CSV: the columns of the measurements' table, then `PREDICTED`."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*COLUMNS, *PREDICTED])
    for row in comparison["rows"]:
        writer.writerow([_cell(row["measurement"][name]) for name in COLUMNS] + [_cell(row.get(name)) for name in PREDICTED])
    return stream.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def verdict(row: Mapping[str, Any]) -> str:
    """A row's outcome in a few words."""
    if not row["comparable"]:
        return "not compared"
    if row["kind"] in CRITICAL:
        return f"{'inside' if row['consistent'] else 'OUTSIDE'}, predicted/measured {row['ratio']:.3g}"
    return "allowed" if row["consistent"] else "CONTRADICTED"


def text(comparison: Mapping[str, Any]) -> str:
    """What `multiscale compare` prints: the measurements under their kinds, the statistics, the statement."""
    from multiscale.tables import plain_table, render

    parts: list[Any] = []
    for kind, label in KIND_LABELS.items():
        rows = [row for row in comparison["rows"] if row["kind"] == kind]
        if rows:
            rows.sort(key=lambda row: (not row["comparable"], row["id"]))
            predicted = ("median (interval)", "at best values")
            columns = ("id", "confidence", "mA/cm²", *predicted, "verdict", "assumed; why not compared", "source")
            parts += [plain_table(label, columns, [_cells(row) for row in rows]), ""]
    return render(*parts, *statistics(comparison))


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    predicted = f"{row['predicted']:.3g} ({row['low']:.2g} … {row['high']:.2g})" if row["comparable"] else ""
    best = f"{row['best_mA_cm2']:.3g}" if row["comparable"] else ""
    return (
        row["id"], row["confidence"], f"{SIGN.get(row['kind'], '')}{row['measured']:g}", predicted, best, verdict(row),
        "; ".join(row["assumed"]) if row["comparable"] else row["reason"], row["citation"],
    )  # fmt: skip


def statistics(comparison: Mapping[str, Any]) -> list[str]:
    """The statistics in words, a line a kind, and the statement that nothing was fitted."""
    lines = []
    for kind, label in KIND_LABELS.items():
        told = comparison["agreement"][kind]
        if told["listed"]:
            lines.append(f"{label}: {told['listed']} listed, {told['compared']} compared{_of_kind(told)}")
    for name, cell in comparison["cells"].items():
        runs = f"{cell['model_runs']} model runs, {cell['failed_runs']} failed"
        mesh = f"fine over coarse mesh {cell['mesh_ratio']:.3g}"
        lines.append(f"cell {name}: {runs}; error of the surrogate {cell['surrogate_error']:.2g} of ln(current); {mesh}")
    return [*lines, comparison["statement"]]


def _of_kind(told: Mapping[str, Any]) -> str:
    said = ""
    if (factor := told.get("median_factor")) is not None:
        said += f"; median factor {_with_ends(factor)}"
    if (ratio := told.get("median_ratio")) is not None:
        said += f", predicted over measured {_with_ends(ratio)}"
    if (rank := told.get("spearman")) is not None:
        said += f"; Spearman {rank['value']:.2f}"
        said += f" ± {rank['stderr']:.2f} (90 %: {rank['low']:.2f} … {rank['high']:.2f})" if rank["low"] is not None else ""
    if (share := told.get("coverage")) is not None:
        said += (
            f"; {share['inside']} of {share['of']} inside the {share['expected']:.0%} interval "
            f"(90 %: {share['low']:.0%} … {share['high']:.0%})"
        )
    if "allowed" in told:
        said += f"; {told['allowed']} allowed; mean probability {told['mean_probability']:.2f}"
    if "log_likelihood_per_row" in told:
        said += f"; log-likelihood {told['log_likelihood_per_row']:.2f} a row"
    return said


def _with_ends(found: Mapping[str, float | None]) -> str:
    ends = "too few for an interval" if found["low"] is None else f"90 %: {found['low']:.3g} … {found['high']:.3g}"
    return f"{found['value']:.3g} ({ends})"
