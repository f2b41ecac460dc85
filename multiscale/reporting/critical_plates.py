"""Figures of the report of a critical current: what each shows, the numbers behind it, and how it is drawn alive."""

import functools
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from matplotlib.tri import Triangulation

from coupling.constants import ROOM_TEMPERATURE
from coupling.experiments import KIND_LABELS, KINDS, Measurement
from multiscale.reporting.field_maps import A_PER_M2_PER_MA_PER_CM2, CurrentMap, current_map, potential_map
from multiscale.reporting.figures import arrhenius, ccd_distribution, fit_curve, short_name
from multiscale.reporting.plates import Plate, axis

GRID = 160
"""Points of a living map across its longer side."""
Figure = tuple[list[dict[str, Any]], dict[str, Any]]


def distribution(
    samples: Sequence[float], ccd: Mapping[str, Any], measured: Sequence[Measurement], comparable: Mapping[str, bool]
) -> Plate:
    """Predicted critical currents over the measured ones."""
    caption = (
        f"Predicted critical current density ({len(samples)} draws of the inputs; line: median, band: "
        "interval) over the measured values. ARROWS point to the side a bound leaves open. Filled: same kind of cell as the "
        "case; hollow: listed, not compared. Kinds of measurement are never pooled."
    )
    numbers = (
        ("what", ["draw"] * len(samples) + [m.ccd_kind for m in measured]),
        ("current density (mA/cm^2)", [f"{value:.6g}" for value in (*samples, *(m.ccd_mA_cm2 for m in measured))]),
        ("row of the table of measurements", [""] * len(samples) + [m.id for m in measured]),
        ("compared", [""] * len(samples) + ["yes" if comparable.get(m.id) else "no" for m in measured]),
    )
    return Plate(
        "ccd", "Predicted critical current density and measured values", caption.replace("ARROWS", "Arrows"),
        functools.partial(ccd_distribution, samples, ccd, measured, comparable), numbers,
        functools.partial(_living_distribution, samples, ccd, measured, comparable), caption.replace("ARROWS", "Triangles"),
    )  # fmt: skip


def _living_distribution(
    samples: Sequence[float], ccd: Mapping[str, Any], measured: Sequence[Measurement], comparable: Mapping[str, bool]
) -> Figure:
    positive = np.asarray([value for value in samples if value > 0], dtype=float)
    traces: list[dict[str, Any]] = []
    if len(positive):
        edges = np.geomspace(positive.min() * 0.999, positive.max() * 1.001, 41)
        counts, _ = np.histogram(positive, edges)
        traces.append({
            "type": "scatter", "mode": "lines", "name": "draws", "x": edges.tolist(), "fill": "tozeroy",
            "y": [100.0 * int(count) / len(samples) for count in (*counts, 0)],
            "line": {"shape": "hv", "color": "var(--series-1)"},
            "hovertemplate": "%{x:.3g} mA/cm²: %{y:.2g} % of the draws<extra></extra>",
        })  # fmt: skip
    for kind in (kind for kind in KINDS if any(m.ccd_kind == kind for m in measured)):
        rows = [m for m in measured if m.ccd_kind == kind]
        mark = {"lower_bound": "triangle-right", "dc_short": "triangle-left"}.get(kind, "circle")
        traces.append({
            "type": "scatter", "mode": "markers", "name": KIND_LABELS[kind], "x": [m.ccd_mA_cm2 for m in rows],
            "y": [short_name(m) for m in rows], "yaxis": "y2",
            "text": [escape(f"{m.authors} {m.year} · {m.id}") for m in rows],
            "marker": {
                "size": 9, "color": f"var(--series-{2 + KINDS.index(kind) % 6})",
                "symbol": [mark if comparable.get(m.id) else f"{mark}-open" for m in rows],
            }, "hovertemplate": "%{text}<br>%{x} mA/cm²<extra></extra>",
        })  # fmt: skip
    share = 0.5 if measured else 0.0
    layout = {
        "xaxis": axis("current density (mA/cm²)", log=True) | {"anchor": "y2" if measured else "y"},
        "yaxis": axis("share of draws (%)") | {"domain": [share, 1]},
        "yaxis2": {"type": "category", "domain": [0, 0.95 * share], "automargin": True, "gridcolor": "var(--grid)"},
        "height": 380 + 22 * len(measured),
        "shapes": [
            {"type": "rect", "yref": "paper", "x0": max(ccd["low"], 1e-9), "x1": max(ccd["high"], 1e-9), "y0": 0, "y1": 1,
             "fillcolor": "var(--series-1)", "opacity": 0.13, "line": {"width": 0}},
            {"type": "line", "yref": "paper", "x0": max(ccd["value"], 1e-9), "x1": max(ccd["value"], 1e-9), "y0": 0, "y1": 1,
             "line": {"color": "var(--series-1)", "width": 1.6}},
        ],
    }  # fmt: skip
    return traces, layout


def _triangles(field: CurrentMap) -> tuple[tuple[str, Sequence[Any]], ...]:
    """Centre, current density, mean potential, region and grain of every triangle."""
    centre = field.points[field.triangles].mean(axis=1)
    potential = field.potential[field.triangles].mean(axis=1)
    names = field.region_names
    regions = [names[tag] if tag < len(names) else str(tag) for tag in field.region.astype(int)]
    return (
        ("x (m)", [f"{value:.8g}" for value in centre[:, 0]]), ("y (m)", [f"{value:.8g}" for value in centre[:, 1]]),
        ("current density (A/m^2)", [f"{value:.8g}" for value in field.current_density]),
        ("electrolyte potential (V)", [f"{value:.8g}" for value in potential]), ("region", regions),
        ("grain", field.grain.astype(int).tolist()),
    )  # fmt: skip


def current(field: CurrentMap) -> Plate:
    """The map of the current density."""
    caption = (
        "Size of the ionic current density at the critical current of the best values; "
        f"{len(field.triangles)} triangles, lithium below. "
        "White lines: grains and layers. The squares are shown enlarged at the right."
    )
    living = (
        f"The same at {GRID} points across the longer side of the cell, to be zoomed and read off; a peak narrower than their "
        "distance is told too low."
    )
    return Plate(
        "current", "Map of the ionic current density in the cell", caption, functools.partial(current_map, field),
        _triangles(field),
        functools.partial(_living_map, field), living,
    )  # fmt: skip


def potential(field: CurrentMap) -> Plate:
    """The map of the potential."""
    caption = "Electrolyte potential in the same cell. Contours are evenly spaced in each panel."
    return Plate(
        "potential", "Map of the electrolyte potential in the cell", caption, functools.partial(potential_map, field),
        _triangles(field),
    )  # fmt: skip


def _living_map(field: CurrentMap) -> Figure:
    """The current density on a regular grid, log₁₀ of mA/cm² as colour, to be zoomed and read off."""
    x, y = field.points.T * 1e6
    mesh = Triangulation(x, y, field.triangles)
    step = max(np.ptp(x), np.ptp(y)) / GRID
    across, up = np.arange(x.min(), x.max() + step / 2, step), np.arange(y.min(), y.max() + step / 2, step)
    cell = np.asarray(mesh.get_trifinder()(*np.meshgrid(across, up)), dtype=int)
    values = np.where(cell >= 0, field.current_density[np.maximum(cell, 0)] / A_PER_M2_PER_MA_PER_CM2, np.nan)
    shown = [[None if not v > 0 else round(float(np.log10(v)), 3) for v in row] for row in values]
    told = [[None if not v > 0 else float(f"{v:.3g}") for v in row] for row in values]
    trace = {
        "type": "heatmap", "x": [round(float(v), 6) for v in across], "y": [round(float(v), 6) for v in up], "z": shown,
        "customdata": told,
        "colorscale": "Cividis", "colorbar": {"title": {"text": "log₁₀ of mA/cm²", "side": "right"}, "outlinewidth": 0},
        "hovertemplate": "x %{x:.4g} µm, y %{y:.4g} µm<br>%{customdata} mA/cm²<extra></extra>",
    }  # fmt: skip
    layout = {"xaxis": axis("x (µm)") | {"constrain": "domain"}, "height": 520,
              "yaxis": axis("y (µm)") | {"scaleanchor": "x", "constrain": "domain"}}  # fmt: skip
    return [trace], layout


def diffusivity(phases: Mapping[str, Mapping[str, Any]]) -> Plate:
    """The Arrhenius plot."""
    caption = (
        "Li diffusivity against inverse temperature. Lines and bands: Arrhenius fits with their 95 % interval; arrows pointing "
        "down: upper bounds, where nothing diffused on the time scale of the run; at the right, hollow: the value at 298 K."
    )
    rows = [(name, point) for name, phase in phases.items() for point in phase.get("points", [])]
    numbers = (
        ("phase", [name for name, _ in rows]), ("temperature (K)", [point["temperature_K"] for _, point in rows]),
        ("Li diffusivity (m^2/s)", ["" if point.get("value") is None else point["value"] for _, point in rows]),
        ("standard error (m^2/s)", ["" if point.get("stderr") is None else point["stderr"] for _, point in rows]),
        ("bound", [point.get("bound") or "" for _, point in rows]),
    )  # fmt: skip
    return Plate(
        "arrhenius", "Lithium diffusivity against inverse temperature", caption, functools.partial(arrhenius, phases), numbers,
        functools.partial(_living_arrhenius, phases),
    )  # fmt: skip


def _living_arrhenius(phases: Mapping[str, Mapping[str, Any]]) -> Figure:
    traces: list[dict[str, Any]] = []
    for number, (name, phase) in enumerate(phases.items()):
        shade = f"var(--series-{1 + number % 7})"
        points = [point for point in phase.get("points", []) if (point.get("value") or 0) > 0]
        traces.append({
            "type": "scatter", "mode": "markers", "name": escape(name), "legendgroup": escape(name),
            "x": [1000 / point["temperature_K"] for point in points], "y": [point["value"] for point in points],
            "text": [f"{point['temperature_K']:g} K{', upper bound' if point.get('bound') else ''}" for point in points],
            "marker": {"color": shade, "size": 8,
                       "symbol": ["triangle-down" if point.get("bound") else "circle" for point in points]},
            "error_y": {"type": "data", "array": [point.get("stderr") or 0.0 for point in points], "color": shade},
            "hovertemplate": "%{text}: %{y:.3g} m²/s<extra>" + escape(name) + "</extra>",
        })  # fmt: skip
        if phase.get("fit") and points:
            T = 1000 / np.linspace(1000 / max(point["temperature_K"] for point in points), 1000 / ROOM_TEMPERATURE, 40)
            values, _ = fit_curve(phase["fit"], T)
            traces.append({
                "type": "scatter", "mode": "lines", "name": f"{escape(name)}, fit", "legendgroup": escape(name),
                "showlegend": False, "x": (1000 / T).tolist(), "y": np.exp(values).tolist(), "line": {"color": shade},
                "hoverinfo": "skip",
            })  # fmt: skip
    up = axis("Li diffusivity (m²/s)", log=True) | {"exponentformat": "power"}
    return traces, {"xaxis": axis("1000 / T (1/K)"), "yaxis": up}


def spectrum(answer: Mapping[str, Any]) -> Plate:
    """The impedance of the cell, as `multiscale impedance` has written it."""
    from multiscale.reporting.figures import THEMED
    from multiscale.reporting.impedance_figures import nyquist_and_bode

    real, imaginary = answer["real"], answer["imaginary"]
    columns = [("frequency (Hz)", answer["frequencies_Hz"]), ("Re Z (ohm cm^2)", real), ("Im Z (ohm cm^2)", imaginary)]
    for part in answer["parts"]:
        place = f"{part['place']}, {part['cause']}"
        columns += [(f"Re Z of {place} (ohm cm^2)", part["real"]), (f"Im Z of {place} (ohm cm^2)", part["imaginary"])]

    def living() -> Figure:
        trace = {
            "type": "scatter", "mode": "markers+lines", "x": real, "y": [-value for value in imaginary],
            "text": [f"{value:.4g} Hz" for value in answer["frequencies_Hz"]], "marker": {"color": "var(--series-1)"},
            "hovertemplate": "%{text}<br>Re %{x:.4g}, −Im %{y:.4g} Ω cm²<extra></extra>",
        }  # fmt: skip
        return [trace], {"xaxis": axis("Re Z (Ω cm²)"), "yaxis": axis("−Im Z (Ω cm²)") | {"scaleanchor": "x"}}

    caption = "Impedance of the linearised cell: Nyquist picture, size and phase, and the loss of every part against frequency."
    return Plate(
        "impedance", "Impedance spectrum of the cell", caption,
        lambda palette=THEMED: nyquist_and_bode(answer, palette), tuple(columns), living,
    )  # fmt: skip
