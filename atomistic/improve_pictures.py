"""Pictures of active learning: errors found and claimed by generation, and each atom's bound against its error."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from coupling.atomic import replacing

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#5b6470"  # Okabe and Ito
STYLE: Any = {"font.size": 10.5, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}


def write_pictures(history: Mapping[str, Any], judgements: Mapping[int, Mapping[str, Any]], out: Path) -> None:
    """Write OUT/history.png and OUT/calibration.png.

    Args:
        history: as in history.json.
        judgements: before.json of every generation: the potential as it entered it, on labels made after its calibration.
        out: folder.
    """
    for name, drawing in (("history", history_figure(history)), ("calibration", calibration_figure(judgements))):
        with matplotlib.rc_context(STYLE), replacing(out / f"{name}.png") as temporary:
            drawing.savefig(temporary, format="png", dpi=150, facecolor="white")


def history_figure(history: Mapping[str, Any]) -> Figure:
    """Force error on the study's own frames, found and claimed, and the number of labels, by generation."""
    rows = history["generations"]
    numbers = [row["generation"] for row in rows]
    with matplotlib.rc_context(STYLE):
        drawing = Figure(figsize=(5.4, 4.6), layout="constrained")
        upper, lower = drawing.subplots(2, 1, sharex=True, height_ratios=(2.6, 1))
        upper.plot(
            numbers, [row["before"]["found_rmse"] for row in rows], "o-", color=BLUE, label="found, labels made afterwards"
        )
        claimed = [row for row in rows if row["before"]["claimed_before"]]
        places, values = [row["generation"] for row in claimed], [row["before"]["claimed_everywhere"] for row in claimed]
        upper.plot(places, values, "s--", color=ORANGE, label="claimed, calibrated the generation before")
        upper.axhline(history["target_meV_per_A"], color=GREY, linewidth=1.0, linestyle=":", label="target")
        upper.set_ylabel("force error (meV/Å)")
        upper.set_ylim(bottom=0.0)
        upper.legend()
        lower.bar(numbers, [row["labels_total"] for row in rows], color=GREY, width=0.5)
        lower.set_ylabel("labels so far")
        lower.set_xlabel("generation")
        lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    return drawing


def calibration_figure(judgements: Mapping[int, Mapping[str, Any]]) -> Figure:
    """For every generation: the bound claimed for an atom against the error found, with means of atoms of equal claim."""
    shown = {number: entry for number, entry in judgements.items() if entry["claimed_before"]} or dict(judgements)
    columns = min(3, len(shown))
    lines = -(-len(shown) // columns)
    with matplotlib.rc_context(STYLE):
        drawing = Figure(figsize=(2.9 * columns + 0.4, 2.9 * lines + 0.2), layout="constrained")
        grid = drawing.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
        for axes in grid.flat[len(shown) :]:
            axes.set_axis_off()
        for axes, (number, entry) in zip(grid.flat, shown.items(), strict=False):
            points = 1e3 * np.array(entry["points"])
            axes.loglog(*points.T, ".", color=BLUE, alpha=0.35, markersize=4)
            table = entry["table"]
            quantiles = [row["found_quantile"] for row in table]
            axes.loglog([row["claimed_bound"] for row in table], quantiles, "s", color=ORANGE, markersize=5)
            ends = np.array([points.min(), points.max()])
            axes.loglog(ends, ends, color=GREY, linewidth=1.0)
            axes.set_title(f"generation {number}: {entry['coverage']:.0%} below the bound", fontsize=9.5)
        drawing.supxlabel("claimed 90 % bound of an atom's force error (meV/Å)", fontsize=10.5)
        drawing.supylabel("error found (meV/Å)", fontsize=10.5)
    return drawing
