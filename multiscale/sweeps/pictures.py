"""Pictures of a sweep: the critical current against each variable, over two of them, the ranking, the indices, the front."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from coupling.errors import UserError
from multiscale.reporting.figures import PRINT, dress, figure, plain_log_ticks, write_figure
from multiscale.sweeps.driver import Prepared
from multiscale.sweeps.ranking import Ranking
from multiscale.sweeps.search import Found
from multiscale.sweeps.sensitivity import Sensitivity, answer_column
from multiscale.sweeps.settings import Axis
from multiscale.sweeps.table import TableOf, build, unit_of, with_unit

DECADES = 1.3
"""Values that span so many powers of ten are drawn on a log axis."""


def draw_all(prepared: Prepared, folder: Path) -> list[Path]:
    """Write every picture that the finished designs allow.

    Raises:
        UserError: no design is done yet.
    """
    table = build(prepared)
    column = table.column(answer_column(prepared))
    rows = [row for row in table.rows if column and row[column] is not None and row[column] > 0]
    if not rows or column is None:
        told = "no design with a positive critical current is done yet"
        raise UserError(f"{prepared.sweep.file.path}: {told}; `multiscale sweep run {prepared.sweep.case.folder}`")
    written = [folder / "effects.png"]
    write_figure(effects(prepared, table, rows, column), written[0])
    numeric = [axis for axis in prepared.sweep.axes if axis.is_numeric and len({_cell(table, axis, row) for row in rows}) > 2]
    if len(numeric) > 1:
        written.append(folder / "map.png")
        write_figure(over_two(table, rows, column, numeric[0], numeric[1]), written[-1])
    return written


def _cell(table: TableOf, axis: Axis, row: Any) -> Any:
    return row[with_unit(axis.name, unit_of(axis))]


def _log_if_wide(axis: Any, values: Sequence[float], scale: Callable[[str], Any]) -> None:
    """A log axis where positive values span many powers of ten."""
    positive = min(values) > 0
    if positive and np.log10(max(values) / min(values)) >= DECADES:
        scale("log")
        plain_log_ticks(axis)


def _label(column: str) -> str:
    """What a critical current is called in a picture."""
    return "CCD at best values (mA/cm²)" if column.startswith("ccd_best_values") else "CCD (mA/cm²)"


def effects(prepared: Prepared, table: TableOf, rows: Sequence[Any], column: str) -> Figure:
    """One panel a variable: critical current of each design, its interval where it has one, and the median at each value."""
    axes_of = prepared.sweep.axes
    drawing = figure(2.4 * len(axes_of), PRINT)
    drawing.clear()
    low, high = table.column("ccd_low"), table.column("ccd_high")
    answers = np.array([row[column] for row in rows], dtype=float)
    for number, axis in enumerate(axes_of):
        panel = drawing.add_subplot(len(axes_of), 1, number + 1)
        dress(panel, PRINT)
        values = [_cell(table, axis, row) for row in rows]
        names = list(dict.fromkeys(map(str, values)))
        places = np.array(values if axis.is_numeric else [names.index(str(value)) for value in values], dtype=float)
        if low and high and rows[0][low] is not None:
            errors = np.array([[row[column] - row[low], row[high] - row[column]] for row in rows], dtype=float).T
            panel.errorbar(places, answers, yerr=np.maximum(errors, 0.0), fmt="none", color=PRINT.grid, linewidth=1)
        panel.plot(places, answers, "o", color=PRINT.series[0], markersize=4, alpha=0.6)
        unique = np.unique(places)
        if len(unique) < len(places):
            medians = [float(np.exp(np.median(np.log(answers[places == place])))) for place in unique]
            panel.plot(unique, medians, "-" if axis.is_numeric else "_", color=PRINT.series[1], markersize=18)
        if axis.is_numeric:
            _log_if_wide(panel.xaxis, list(places), panel.set_xscale)
        else:
            panel.set_xticks(range(len(names)), names)
        _log_if_wide(panel.yaxis, list(answers), panel.set_yscale)
        panel.set_xlabel(with_unit(axis.name, unit_of(axis)), color=PRINT.ink)
        panel.set_ylabel(_label(column), color=PRINT.ink)
    return drawing


def over_two(table: TableOf, rows: Sequence[Any], column: str, across: Axis, up: Axis) -> Figure:
    """Critical current by colour over two variables; designs that differ in others only are averaged (of the logarithm)."""
    drawing = figure(3.9, PRINT)
    panel = drawing.axes[0]
    groups: dict[tuple[float, float], list[float]] = {}
    for row in rows:
        groups.setdefault((_cell(table, across, row), _cell(table, up, row)), []).append(float(np.log10(row[column])))
    x, y = np.array(list(groups)).T
    colors = [10 ** float(np.mean(values)) for values in groups.values()]
    from matplotlib.colors import LogNorm

    spread = max(colors) / min(colors) > 10**DECADES
    shown = panel.scatter(x, y, c=colors, s=120, marker="s", cmap="cividis", norm=LogNorm() if spread else None)
    _log_if_wide(panel.xaxis, list(x), panel.set_xscale)
    _log_if_wide(panel.yaxis, list(y), panel.set_yscale)
    panel.set_xlabel(with_unit(across.name, unit_of(across)), color=PRINT.ink)
    panel.set_ylabel(with_unit(up.name, unit_of(up)), color=PRINT.ink)
    drawing.colorbar(shown, label=_label(column))
    return drawing


def indices(found: Sensitivity) -> Figure:
    """First-order and total index of each variable with their errors, and the share that none explains."""
    drawing = figure(1.2 + 0.6 * len(found.indices), PRINT)
    panel = drawing.axes[0]
    places = np.arange(len(found.indices))[::-1]
    for shift, color, label, values, errors in (
        (0.18, PRINT.series[0], "alone", [i.first for i in found.indices], [i.first_error for i in found.indices]),
        (-0.18, PRINT.series[1], "with others", [i.total for i in found.indices], [i.total_error for i in found.indices]),
    ):
        panel.barh(places + shift, values, height=0.34, xerr=errors, color=color, label=label, error_kw={"linewidth": 1})
    panel.set_yticks(places, [index.name for index in found.indices])
    panel.set_xlabel(f"share of the variance of ln(CCD); unexplained {found.noise:.0%}")
    panel.set_xlim(left=0.0)
    panel.legend()
    return drawing


def ranking(found: Ranking, by: str) -> Figure:
    """Confidence that the row beats the column."""
    count = len(found.names)
    drawing = figure(1.6 + 0.5 * count, PRINT)
    panel = drawing.axes[0]
    panel.grid(False)
    shown = panel.imshow(found.beats, vmin=0.0, vmax=1.0, cmap="PuOr")
    panel.set_xticks(range(count), found.names, rotation=45, ha="right")
    panel.set_yticks(range(count), found.names)
    for i in range(count):
        for j in range(count):
            if i != j:
                panel.text(j, i, f"{found.beats[i, j]:.0%}", ha="center", va="center", fontsize=8.5)
    panel.set_xlabel(f"{by}: the row beats the column")
    drawing.colorbar(shown, label="confidence")
    return drawing


def front(found: Found) -> Figure:
    """Every trial in the first two objectives, those that none improves joined (one objective: against the trial)."""
    drawing = figure(3.9, PRINT)
    panel = drawing.axes[0]
    names = found.objectives[:2]
    if len(names) == 1:
        panel.plot([row["trial"] for row in found.trials], [row["objectives"][names[0]] for row in found.trials], "o")
        panel.set(xlabel="trial", ylabel=names[0])
        return drawing
    x, y = (np.array([row["objectives"][name] for row in found.trials], dtype=float) for name in names)
    best = np.array([row["front"] for row in found.trials], dtype=bool)
    panel.plot(x[~best], y[~best], "o", color=PRINT.muted, markersize=4, alpha=0.5, label="trial")
    order = np.argsort(x[best])
    panel.plot(x[best][order], y[best][order], "o-", color=PRINT.series[1], markersize=5, label="front")
    for axis, values, scale in ((panel.xaxis, x, panel.set_xscale), (panel.yaxis, y, panel.set_yscale)):
        _log_if_wide(axis, list(values), scale)
    panel.set(xlabel=f"{names[0]} · {found.goals[0]}", ylabel=f"{names[1]} · {found.goals[1]}")
    panel.legend()
    return drawing
