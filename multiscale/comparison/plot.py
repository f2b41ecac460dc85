"""The parity plot: predicted over measured on log axes, every point named with its source and confidence."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from coupling.experiments import KIND_LABELS
from multiscale.comparison.agreement import CRITICAL
from multiscale.reporting.figures import KIND_MARKERS, PRINT, STYLE, dress, plain_log_ticks

FACES = {"A": 1.0, "B": 0.35, "C": 0.0}
"""How much of the marker is filled, by confidence."""
_ASIDE = ((5, 4), (5, -11), (-12, 4), (-12, -11))
"""Places of the numbers beside their points, in turn, points of a printer."""


def parity(comparison: Mapping[str, Any]) -> Figure:
    """Predicted against measured (mA/cm²) with intervals; bounds as arrows to the side they leave open; comparable rows only.

    Colour and marker tell the kind, the filling the confidence; the list beside it names the source of each point.
    """
    rows = [row for row in comparison["rows"] if row["comparable"]]
    rows.sort(key=lambda row: (list(KIND_LABELS).index(row["kind"]), row["measured"]))
    with matplotlib.rc_context(STYLE):
        lines = _lines(rows)
        drawing = Figure(figsize=(7.8, max(4.6, 0.18 * len(lines) + 0.3)), layout="constrained")
        axes, key = drawing.subplots(1, 2, width_ratios=(3, 2))
        dress(axes, PRINT)
        axes.set(xscale="log", yscale="log", xlabel="measured (mA/cm²)", ylabel="predicted (mA/cm²)")
        across, up = _limits(rows, ("measured",)), _limits(rows, ("measured", "low", "high"))
        axes.plot(across, across, color=PRINT.muted, linewidth=1)
        axes.fill_between(across, np.array(across) / 10, np.array(across) * 10, color=PRINT.muted, alpha=0.08, linewidth=0)
        for number, row in enumerate(rows, start=1):
            _point(axes, row, number)
        axes.set(xlim=across, ylim=up)
        for axis in (axes.xaxis, axes.yaxis):
            plain_log_ticks(axis)
        _key(key, lines)
        if not rows:
            axes.text(0.5, 0.5, "no measurement can be compared", transform=axes.transAxes, ha="center", color=PRINT.muted)
    return drawing


def _limits(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> tuple[float, float]:
    values = [row[name] for row in rows for name in names if row[name] > 0] or [0.1, 10.0]
    return min(values) / 3, max(values) * 3


def _point(axes: Any, row: Mapping[str, Any], number: int) -> None:
    color = _color(row["kind"])
    x, y = row["measured"], row["predicted"]
    axes.vlines(x, row["low"], row["high"], color=color, linewidth=1, alpha=0.7)
    face = matplotlib.colors.to_rgba(color, FACES[row["confidence"]])
    axes.plot(x, y, KIND_MARKERS[row["kind"]], markersize=7, markerfacecolor="white", markeredgecolor=color, linestyle="none")
    axes.plot(x, y, KIND_MARKERS[row["kind"]], markersize=7, markerfacecolor=face, markeredgecolor=color, linestyle="none")
    aside = _ASIDE[number % len(_ASIDE)]
    axes.annotate(str(number), (x, y), xytext=aside, textcoords="offset points", fontsize=8, color=PRINT.ink)
    if row["kind"] not in CRITICAL:
        end = x * (1 / 1.8 if row["kind"] == "dc_short" else 1.8)
        axes.annotate("", (end, y), (x, y), arrowprops={"arrowstyle": "-|>", "color": color})


def _color(kind: str) -> str:
    return PRINT.series[list(KIND_LABELS).index(kind)]


def _lines(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The key, words and colour of each line: number, id, confidence, cell and source of every point, then how to read it."""
    lines: list[tuple[str, str]] = []
    for kind in KIND_LABELS:
        inside = [(number, row) for number, row in enumerate(rows, start=1) if row["kind"] == kind]
        if inside:
            lines.append((KIND_LABELS[kind], _color(kind)))
        for number, row in inside:
            measured = row["measurement"]
            first = measured["authors"].split(",")[0].split(" ")[0]
            lines.append((f"  {number}  {row['id']} [{row['confidence']}] {first} {measured['year']}, {row['cell']}", PRINT.ink))
    lines.append(("", PRINT.ink))
    lines.append(("vertical lines: 90 % intervals; band: a factor of ten", PRINT.muted))
    lines.append(("filled: A, number read in the source; pale: B, in part;", PRINT.muted))
    lines.append(("hollow: C, recalled. Arrows: the side a bound leaves open", PRINT.muted))
    return lines


def _key(axes: Any, lines: Sequence[tuple[str, str]]) -> None:
    """Write the key, line below line."""
    axes.set_axis_off()
    for place, (words, color) in enumerate(lines):
        axes.text(0.0, 1.0 - place / max(len(lines), 20), words, transform=axes.transAxes, fontsize=8, color=color, va="top")
