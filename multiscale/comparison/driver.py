"""The whole comparison: every measurement of a table, the cell that matches it, its prediction, the statistics, the audit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from coupling.atomic import write_json
from coupling.errors import UserError
from coupling.experiments import KINDS, Measurement, read_experiments
from coupling.lock import alone
from coupling.store import digest
from multiscale.compare import consistent
from multiscale.comparison import predictions
from multiscale.comparison.agreement import agreement
from multiscale.comparison.audit import Audit, audit
from multiscale.comparison.cells import Cell, read_cells
from multiscale.comparison.matching import NOT_MODELLED, Match, conditions_of, match
from multiscale.comparison.stripping import NOT_IN_IT, RUNS, match_stripping, predict_stripping
from multiscale.comparison.survey import QUALITIES, InitiationRuns, Model, Surveyed, survey
from multiscale.comparison.without_cell import read_reasons
from multiscale.progress import Narrator


@dataclass(frozen=True)
class Sorted:
    """Measurements with what they are held against.

    Attributes:
        measurements: all, in the order of the table.
        matches: of those that are compared, by id.
        reasons: why the others are not, by id.
    """

    measurements: tuple[Measurement, ...]
    matches: Mapping[str, Match]
    reasons: Mapping[str, str]


def sort_out(measurements: Sequence[Measurement], cells: Sequence[Cell], why: Mapping[str, str] | None = None) -> Sorted:
    """A match or a reason for every measurement; none is dropped. `why`: what is known of those without a cell, by id."""
    matches: dict[str, Match] = {}
    reasons: dict[str, str] = {}
    for measured in measurements:
        found = _matched(measured, cells)
        if isinstance(found, str):
            reasons[measured.id] = (why or {}).get(measured.id, found)
        else:
            matches[measured.id] = found
    return Sorted(tuple(measurements), matches, reasons)


def _matched(measured: Measurement, cells: Sequence[Cell]) -> Match | str:
    """The cell of a measurement for the limit that its kind is about (a full cell's rate: plating)."""
    known = conditions_of(measured)
    return match_stripping(known, cells) if measured.ccd_kind == "stripping_critical" else match(known, cells)


def compare_all(
    experiments: Path, cells: Path, store: Path, quality: str = "quick", comm: Any = None, narrator: Narrator | None = None,
    solve: Model | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Every measurement beside its prediction; what is kept in the store is not computed again. The same on every rank.

    Args:
        experiments: the table of measurements.
        cells: folder of cell files.
        store: where model runs and predictions are kept.
        quality: "rough", "quick" or "standard", the number of model runs of a cell.
        comm: mpi4py communicator; None for one process.
        narrator: tells the progress.
        solve: the model; None for that of the product.

    Raises:
        UserError: a wrong table, cell file or quality.
        RunFailure: model runs failed; what is done is kept.
    """
    if quality not in QUALITIES:
        raise UserError(f'--quality: read "{quality}"; allowed: {", ".join(QUALITIES)}')
    measurements = read_experiments(experiments)
    if not measurements:
        raise UserError(f"{experiments}: no measurement in it, so there is nothing to compare; write one a line below the head")
    found = sort_out(measurements, read_cells(cells), read_reasons(experiments, [measured.id for measured in measurements]))
    wanted = {item.cell.name: item.cell for item in found.matches.values() if item.limit == "plating"}
    solve = solve or InitiationRuns()
    with alone(store / ".lock", comm):
        surveyed = {name: survey(cell, quality, store, comm, narrator, solve) for name, cell in sorted(wanted.items())}
        told: dict[str, Any] | None = None
        if comm is None or comm.rank == 0:
            rows = [_row(measured, found, surveyed, store) for measured in found.measurements]
            told = _conclude(found, rows, surveyed, experiments) | {"quality": quality}
            write_json(store / "comparison.json", told)
        told = comm.bcast(told) if comm is not None else told
    assert told is not None
    return told


def _row(measured: Measurement, found: Sorted, surveyed: Mapping[str, Surveyed], store: Path) -> dict[str, Any]:
    """One row: every field of the measurement under "measurement", the prediction beside it; mA/cm²."""
    fixed = {
        "id": measured.id, "electrolyte": measured.electrolyte, "interlayer": measured.interlayer,
        "measured": measured.ccd_mA_cm2, "kind": measured.ccd_kind, "unit": "mA/cm^2", "citation": measured.citation,
        "confidence": measured.confidence, "measurement": {f.name: getattr(measured, f.name) for f in fields(measured)},
    }  # fmt: skip
    item = found.matches.get(measured.id)
    if item is None:
        numbers = ("predicted", "low", "high", "level", "best_mA_cm2", "predicted_bound", "ratio", "consistent")
        nothing = dict.fromkeys(("cell", *numbers))
        reason = found.reasons[measured.id]
        return fixed | nothing | {"limit": None, "comparable": False, "reason": reason, "stated": [], "assumed": []}
    stripped = item.limit == "stripping"
    made = predict_stripping(item, store) if stripped else predictions.predict(item, surveyed[item.cell.name], store)
    inside = consistent(measured, made.low, made.high, open_above=made.bound == "lower")
    remarks = (*item.remarks, NOT_IN_IT if stripped else NOT_MODELLED)
    said = {"reason": "; ".join(remarks), "stated": list(item.stated), "assumed": list(item.assumed)}
    return fixed | predictions.as_row(made) | said | {
        "cell": item.cell.name, "ratio": made.median / measured.ccd_mA_cm2, "consistent": inside, "comparable": True,
        "limit": item.limit,
    }  # fmt: skip


def _conclude(
    found: Sorted, rows: Sequence[Mapping[str, Any]], surveyed: Mapping[str, Surveyed], experiments: Path
) -> dict[str, Any]:
    """The comparison with its statistics, kinds apart, and the audit."""
    by_kind = {kind: agreement(rows, kind) for kind in KINDS}
    ccd, checked = by_kind["ccd"], _audited(found, surveyed, experiments)
    return {
        "rows": list(rows),
        **{name: (ccd.get(name) or {}).get("value") for name in ("spearman", "median_factor")},
        "coverage": (ccd.get("coverage") or {}).get("share"),
        "fitted_parameters": list(checked.fitted), "agreement": by_kind, "audit": checked.as_json(),
        "statement": checked.sentence(),
        "cells": {name: _of_cell(item) for name, item in surveyed.items()},
    }  # fmt: skip


def _of_cell(item: Surveyed) -> dict[str, Any]:
    return {
        "title": item.cell.settings.title, "model_runs": item.runs, "failed_runs": item.failures, "mesh_ratio": item.mesh_ratio,
        "surrogate_error": item.free.error, "closure_error": item.ratio.error, "key": item.key,
    }  # fmt: skip


def _audited(found: Sorted, surveyed: Mapping[str, Surveyed], experiments: Path) -> Audit:
    cells = list({item.cell.name: item.cell for item in found.matches.values()}.values())

    def key_of(measured: Measurement) -> str:
        fresh = _matched(measured, cells)
        if isinstance(fresh, str):
            return digest(fresh)
        return predictions.prediction_key(fresh, RUNS if fresh.limit == "stripping" else surveyed[fresh.cell.name].key)

    compared = [measured for measured in found.measurements if measured.id in found.matches]
    return audit(found.matches, compared, experiments, key_of)
