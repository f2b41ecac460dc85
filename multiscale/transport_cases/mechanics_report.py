"""Report of a transport case that swells or moves: stress in time and against depth, thickness of the layers in time."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from multiscale.reporting import html
from multiscale.reporting.figures import STYLE, THEMED, Palette, figure
from multiscale.reporting.plates import Plate, curves_of, show

Table = dict[str, list[Any]]


def stress_history(table: Table) -> Plate | None:
    """Mean pressure of each medium and pressure on the electrodes in time; None without mechanics."""
    names = [name for name in table if name.startswith(("mean_pressure_in_", "normal_pressure_on_"))]
    if not names:
        return None
    told = {name: name.removesuffix("_Pa").replace("_", " ") for name in names}
    draw = functools.partial(_against_time, table, told, 1e-6, "pressure (MPa)")
    caption = "Mean pressure in the media and on the electrodes (compression positive)."
    return curves_of(draw, "stress-history", "Pressure in time", caption, table, "time_s", names)


def thickness_history(table: Table) -> Plate | None:
    """Thickness of every layer in time; None where no face moves."""
    names = [name for name in table if name.startswith("thickness_of_")]
    if not names:
        return None
    told = {name: name.removeprefix("thickness_of_").removesuffix("_m") for name in names}
    draw = functools.partial(_against_time, table, told, 1e6, "thickness (µm)")
    caption = "Thickness of the layers; the faces of the electrodes move with the plating velocity."
    return curves_of(draw, "thickness", "Thickness of the layers", caption, table, "time_s", names)


def _against_time(table: Table, told: Mapping[str, str], factor: float, label: str, palette: Palette = THEMED) -> Figure:
    drawing = figure(2.6, palette)
    axes = drawing.axes[0]
    with matplotlib.rc_context(STYLE):
        for number, (name, words) in enumerate(told.items()):
            color = palette.series[number % len(palette.series)]
            axes.plot(np.array(table["time_s"]), np.array(table[name]) * factor, color=color, label=words)
        axes.set_xlabel("time (s)", color=palette.ink)
        axes.set_ylabel(label, color=palette.ink)
        axes.legend(labelcolor=palette.ink)
    return drawing


def stress_profile(table: Table, lateral: str) -> Plate | None:
    """Stress in the plane of the layers against depth at several times; None without mechanics."""
    from multiscale.transport_cases.report import depth_curves

    if not table:
        return None
    column = f"stress_{lateral}_Pa"
    scaled = table | {"stress_MPa": [value * 1e-6 for value in table[column]]}
    caption = f"Mean stress {lateral} (in the plane of the layers, tensile positive) from the working electrode on."
    return depth_curves(scaled, "stress_MPa", "stress in the plane (MPa)", "Stress against depth", caption, "stress")


def lateral_axis(summary: Mapping[str, Any]) -> str:
    """Component of the stress in the plane of the layers."""
    return str(summary.get("lateral_stress") or "yy")


def mechanics_section(results: Path, summary: Mapping[str, Any], alive: bool) -> str:
    """Stress and thickness of a run; empty where there is neither."""
    plates = mechanics_plates(results, summary)
    return html.section("Stress and thickness", *(show(plate, alive) for plate in plates)) if plates else ""


def mechanics_plates(results: Path, summary: Mapping[str, Any]) -> list[Plate]:
    """Every figure of mechanics for which a run has numbers."""
    from multiscale.transport_cases.report import read_csv

    table = read_csv(results / "time_series.csv")
    profile = stress_profile(read_csv(results / "stress.csv"), lateral_axis(summary))
    return [plate for plate in (stress_history(table), profile, thickness_history(table)) if plate is not None]
