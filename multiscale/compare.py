"""Computed against measured critical current densities: row by row, kinds kept apart, nothing fitted."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from pydantic import ValidationError

from coupling.errors import UserError
from coupling.experiments import KIND_LABELS, Measurement, for_electrolyte, read_experiments
from multiscale.result_shapes import shape_of

LEAST_FOR_STATISTICS = 3
"""Rank correlation and coverage are told from this many plating critical currents on."""
TEMPERATURE_TOLERANCE = 10.0
"""A measurement within so many kelvin of the case's temperature is held against it."""
PRESSURE_FACTOR = 3.0
"""A stack pressure that differs by more than this factor is mentioned."""
COMPARED = ("ccd", "lower_bound", "dc_short")
NOT_COMPARED = {
    "stripping_critical": "critical current of stripping (voids): another electrode and another failure than plating",
    "full_cell_rate": "rate of a full cell: no critical current was sought",
}
"""Kinds that are listed but held against no plating limit, and why."""


@dataclass(frozen=True)
class CaseResult:
    """A case that has been run, with what a measurement is matched on.

    Attributes:
        name: of the case.
        results: folder that holds summary.json and parameters.json.
        electrolyte: family name as in the table of measurements.
        interlayer: applied layer; None for a bare electrolyte (an interphase that forms by itself is not applied).
        temperature_C, stack_pressure_MPa: test conditions; None where the case does not say.
    """

    name: str
    results: Path
    electrolyte: str
    interlayer: str | None = None
    temperature_C: float | None = None
    stack_pressure_MPa: float | None = None


def case_result(folder: str | Path, results: str | Path | None = None) -> CaseResult:
    """What a case folder says of itself, with its results folder (default: CASE/results).

    A layer named ELECTROLYTE-interphase is the one that forms by itself: it counts as no interlayer.

    Raises:
        UserError: the folder is no case.
    """
    from multiscale.case import load_case

    case = load_case(folder)
    geometry, conditions = case.settings.geometry, case.settings.conditions
    electrolyte = geometry.electrolyte.material
    layer = geometry.interlayer.material if geometry.interlayer else None
    return CaseResult(
        name=case.name,
        results=Path(results) if results is not None else Path(folder) / "results",
        electrolyte=electrolyte,
        interlayer=None if layer == f"{electrolyte}-interphase" else layer,
        temperature_C=conditions.temperature - 273.15,
        stack_pressure_MPa=conditions.stack_pressure / 1e6,
    )


def read_result(path: Path) -> dict[str, Any]:
    """A JSON file of a results folder, checked against the shape that a file of its name has (multiscale.result_shapes).

    Raises:
        UserError: it is missing, no JSON, or holds something else.
    """
    mend = "delete it and run `multiscale run CASE` again"
    try:
        text = path.read_text(encoding="utf-8")
        shape_of(path.name).validate_json(text)
        value: dict[str, Any] = json.loads(text)
    except FileNotFoundError:
        raise UserError(f"{path}: not there yet; `multiscale run CASE` makes it") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: cannot be read ({where + ': ' if where else ''}{first['msg']}); {mend}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {mend}") from None
    return value


def fitted_keys(parameters: Mapping[str, Any]) -> list[str]:
    """Keys of the inputs (of parameters.json) whose kind is not one of those that come from outside the comparison.

    An input is "md", "measured", "derived" or "assumed"; anything else, such as "fitted", is reported.
    """
    allowed = {"md", "measured", "derived", "assumed"}
    return [row["key"] for row in parameters["parameters"] if row.get("kind") not in allowed]


def judge(measured: Measurement, case: CaseResult) -> tuple[bool, str]:
    """Whether a measurement can be held against a case; in words, why not, or what had to be taken as in the case."""
    if measured.ccd_kind in NOT_COMPARED:
        return False, NOT_COMPARED[measured.ccd_kind]
    if measured.is_bare != (case.interlayer is None) or not (measured.is_bare or _same_layer(measured, case)):
        return False, f"other interlayer: {measured.interlayer}; in the case: {case.interlayer or 'none'}"
    if None not in (measured.temperature_C, case.temperature_C):
        difference = abs(float(measured.temperature_C or 0.0) - float(case.temperature_C or 0.0))
        if difference > TEMPERATURE_TOLERANCE:
            return False, f"measured at {measured.temperature_C:g} °C, the case is at {case.temperature_C:g} °C"
    return True, "; ".join(_remarks(measured, case))


def _same_layer(measured: Measurement, case: CaseResult) -> bool:
    """The case's interlayer is named in the measurement's description of its own."""
    return bool(case.interlayer) and str(case.interlayer).lower() in measured.interlayer.lower()


def _remarks(measured: Measurement, case: CaseResult) -> list[str]:
    """What the source does not state and is taken as in the case, and a stack pressure that differs much."""
    silent = [
        name
        for name, value in (("temperature", measured.temperature_C), ("stack pressure", measured.stack_pressure_MPa))
        if value is None
    ]
    remarks = [f"{' and '.join(silent)} not stated, taken as in the case"] if silent else []
    there, here = measured.stack_pressure_MPa, case.stack_pressure_MPa
    if there is not None and here is not None and not here / PRESSURE_FACTOR <= there <= here * PRESSURE_FACTOR:
        remarks.append(f"stack pressure {there:g} MPa, in the case {here:g} MPa")
    return remarks


def consistent(measured: Measurement, low: float, high: float, *, open_above: bool = False) -> bool:
    """Whether the predicted interval [low, high] (open upwards where the prediction is a lower bound) allows the measurement."""
    top = math.inf if open_above else high
    if measured.ccd_kind in ("lower_bound", "full_cell_rate"):
        return top >= measured.ccd_mA_cm2
    if measured.ccd_kind == "dc_short":
        return low <= measured.ccd_mA_cm2
    return low <= measured.ccd_mA_cm2 <= top


def compare_row(measured: Measurement, case: CaseResult, ccd: Mapping[str, Any]) -> dict[str, Any]:
    """One row of the comparison; mA/cm². ratio is predicted over measured, null where the two cannot be compared."""
    comparable, reason = judge(measured, case)
    bounded = ccd.get("bound") == "lower"
    return {
        "id": measured.id, "case": case.name, "electrolyte": measured.electrolyte, "interlayer": measured.interlayer,
        "measured": measured.ccd_mA_cm2, "kind": measured.ccd_kind, "predicted": ccd["value"], "low": ccd["low"],
        "high": ccd["high"], "predicted_bound": ccd.get("bound"), "unit": "mA/cm^2",
        "ratio": ccd["value"] / measured.ccd_mA_cm2 if comparable else None, "comparable": comparable, "reason": reason,
        "consistent": consistent(measured, ccd["low"], ccd["high"], open_above=bounded) if comparable else None,
        "citation": measured.citation, "confidence": measured.confidence,
    }  # fmt: skip


def compare(cases: Iterable[CaseResult], experiments: Iterable[Measurement]) -> dict[str, Any]:
    """Every measurement of the electrolyte of a case that has been run, beside the prediction.

    Statistics are over comparable rows of kind "ccd" alone: Spearman's rank correlation and the share of measurements inside
    the predicted interval from three rows on, the median factor (exp of the median of |ln ratio|) from one.

    Raises:
        UserError: a case has no results, or they cannot be read.
    """
    experiments = tuple(experiments)
    rows: list[dict[str, Any]] = []
    fitted: list[str] = []
    for case in cases:
        ccd = read_result(case.results / "summary.json")["ccd"]
        fitted += [f"{case.name}: {key}" for key in fitted_keys(read_result(case.results / "parameters.json"))]
        rows += [compare_row(measured, case, ccd) for measured in for_electrolyte(experiments, case.electrolyte)]
    return {"rows": rows, **_statistics(rows), "fitted_parameters": fitted}


def _statistics(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    used = [row for row in rows if row["comparable"] and row["kind"] == "ccd"]
    enough = len(used) >= LEAST_FOR_STATISTICS
    factors = [abs(math.log(row["ratio"])) if row["ratio"] > 0 else math.inf for row in used]
    middle = float(np.median(factors)) if used else math.inf
    measured, predicted = [row["measured"] for row in used], [row["predicted"] for row in used]
    return {
        "spearman": spearman(measured, predicted) if enough else None,
        "median_factor": math.exp(middle) if math.isfinite(middle) else None,
        "coverage": float(np.mean([row["consistent"] for row in used])) if enough else None,
    }


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rank correlation with mean ranks for ties; None where one side is constant."""
    from scipy.stats import rankdata

    ranks = rankdata(first), rankdata(second)
    if any(np.ptp(rank) == 0 for rank in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])


def compare_cases(cases: Sequence[Path], experiments: Path, plot: Path | None = None, as_json: bool = False) -> str:
    """What `multiscale compare` prints: the table or the JSON of `compare`; `plot` receives the parity plot.

    Args:
        cases: case folders; none means every shipped case that has results.
        experiments: the table of measurements.
        plot: PNG, SVG or PDF file to write, or None.
        as_json: print JSON.

    Raises:
        UserError: no case has results, a folder is no case, or a file cannot be read.
    """
    if plot is not None and plot.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise UserError(f"--plot: read {plot}; write a name that ends in .png, .svg or .pdf")
    folders = list(cases) or [path.parent.parent for path in sorted(experiments.parent.parent.glob("*/results/summary.json"))]
    if not folders:
        raise UserError("no case has results yet; run one first, for example `multiscale run cases/li-lpscl`")
    comparison = compare([case_result(folder) for folder in folders], read_experiments(experiments))
    if plot is not None:
        from multiscale.reporting.figures import write_figure

        write_figure(parity(comparison), plot)
    return json.dumps(comparison, indent=1, ensure_ascii=False, allow_nan=False) if as_json else comparison_table(comparison)


def verdict(row: Mapping[str, Any]) -> str:
    """A row's outcome in a few words."""
    if not row["comparable"]:
        return "not compared"
    if row["kind"] == "ccd":
        return f"{'inside' if row['consistent'] else 'outside'} the interval, ratio {row['ratio']:.3g}"
    return "consistent" if row["consistent"] else f"inconsistent, predicted {row['ratio']:.3g} times the bound"


_SIGN = {"lower_bound": "≥ ", "dc_short": "≤ "}


def comparison_table(comparison: Mapping[str, Any]) -> str:
    """The comparison as text: one line a measurement, grouped by kind, then the statistics."""
    from multiscale.tables import plain_table, render

    rows = sorted(comparison["rows"], key=lambda row: (row["case"], list(KIND_LABELS).index(row["kind"])))
    cells = [
        (
            row["id"], row["case"], row["kind"], f"{_SIGN.get(row['kind'], '')}{row['measured']:g}",
            f"{'≥ ' if row['predicted_bound'] else ''}{row['predicted']:.3g} ({row['low']:.3g} … {row['high']:.3g})",
            verdict(row), row["reason"],
        )
        for row in rows
    ]  # fmt: skip
    columns = ("id", "case", "kind", "measured", "predicted", "verdict", "remarks")
    table = plain_table("Critical current density, mA/cm², computed against measured", columns, cells)
    return render(table, "", *statistics_lines(comparison))


def statistics_lines(comparison: Mapping[str, Any]) -> list[str]:
    """The statistics and the audit of fitted parameters, in words."""
    used = sum(row["comparable"] and row["kind"] == "ccd" for row in comparison["rows"])
    bounds = [row for row in comparison["rows"] if row["comparable"] and row["kind"] != "ccd"]
    lines = [f"{used} measured critical current{'' if used == 1 else 's'} of plating can be compared"]
    if comparison["median_factor"] is not None:
        lines[0] += f"; median factor {comparison['median_factor']:.3g}"
    if comparison["spearman"] is not None:
        lines[0] += f"; Spearman {comparison['spearman']:.2f}"
    if comparison["coverage"] is not None:
        lines[0] += f"; {comparison['coverage']:.0%} inside the interval"
    elif used < LEAST_FOR_STATISTICS:
        lines[0] += f"; rank correlation and coverage need {LEAST_FOR_STATISTICS}"
    if bounds:
        lines.append(f"{sum(row['consistent'] for row in bounds)} of {len(bounds)} bounds are consistent with the prediction")
    fitted = comparison["fitted_parameters"]
    lines.append(
        f"FITTED: {', '.join(fitted)}" if fitted else "Nothing was fitted: every input is md, measured, derived or assumed."
    )
    return lines


def parity(comparison: Mapping[str, Any]) -> Figure:
    """Predicted against measured on log axes, with intervals; bounds as arrows, kinds by colour; comparable rows only.

    A prediction of zero has no place on a log axis and is left out.
    """
    from multiscale.reporting.figures import PRINT, figure, plain_log_ticks

    rows = [row for row in comparison["rows"] if row["comparable"]]
    drawing = figure(5.0, PRINT)
    axes = drawing.axes[0]
    axes.set(xscale="log", yscale="log", xlabel="measured (mA/cm²)", ylabel="predicted (mA/cm²)")
    rows = [row for row in rows if row["predicted"] > 0]
    values = [row[key] for row in rows for key in ("measured", "low", "high") if row[key] > 0] or [0.1, 10.0]
    limits = min(values) / 2, max(values) * 2
    axes.plot(limits, limits, color=PRINT.muted, linewidth=1)
    kinds = list(KIND_LABELS)
    for row in rows:
        color = PRINT.series[kinds.index(row["kind"])]
        x, y, spread = row["measured"], row["predicted"], [[row["predicted"] - row["low"]], [row["high"] - row["predicted"]]]
        axes.errorbar(x, y, yerr=np.maximum(spread, 0.0), color=color, marker="o", label=KIND_LABELS[row["kind"]])
        if row["kind"] != "ccd":
            end = x * (1.5 if row["kind"] == "lower_bound" else 1 / 1.5)
            axes.annotate("", (end, y), (x, y), arrowprops={"arrowstyle": "-|>", "color": color})
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        plain_log_ticks(axis)
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    if handles:
        drawing.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=1, frameon=False)
    else:
        axes.text(0.5, 0.5, "no measurement can be compared", transform=axes.transAxes, ha="center", color=PRINT.muted)
    return drawing
