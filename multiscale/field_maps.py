"""Maps of the steady fields in the cell: current density with a close look at its hottest spot, and potential."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation

from multiscale.figures import STYLE, THEMED, Palette, dress, figure

A_PER_M2_PER_MA_PER_CM2 = 10.0


@dataclass(frozen=True)
class CurrentMap:
    """Steady fields on the triangles of the cell.

    Attributes:
        points: corner coordinates, shape (n, 2), m.
        triangles: corner numbers, shape (m, 3).
        current_density: size of the ionic current density, shape (m,), A/m².
        potential: electrolyte potential, shape (n,), V.
        region: region of each triangle, shape (m,); `region_names` are their names where known.
        grain: grain of each triangle, shape (m,).
    """

    points: np.ndarray
    triangles: np.ndarray
    current_density: np.ndarray
    potential: np.ndarray
    region: np.ndarray
    grain: np.ndarray
    region_names: tuple[str, ...] = ()


def read_current_map(path: str | Path) -> CurrentMap:
    """Read current_map.npz. Raises KeyError or ValueError where an array is missing or has the wrong shape."""
    with np.load(path, allow_pickle=False) as data:
        names = tuple(str(name) for name in data["region_names"]) if "region_names" in data else ()
        arrays = {
            key: np.asarray(data[key]) for key in ("points", "triangles", "current_density", "potential", "region", "grain")
        }
    count, cells = len(arrays["points"]), len(arrays["triangles"])
    expected = {
        "points": (count, 2), "triangles": (cells, 3), "current_density": (cells,), "potential": (count,),
        "region": (cells,), "grain": (cells,),
    }  # fmt: skip
    for key, shape in expected.items():
        if arrays[key].shape != shape:
            raise ValueError(f"{key} has the shape {arrays[key].shape}, expected {shape}")
    return CurrentMap(**arrays, region_names=names)


def hottest_spot(field: CurrentMap) -> np.ndarray:
    """Centroid of the triangle with the largest current density, shape (2,), m."""
    return field.points[field.triangles[int(np.argmax(field.current_density))]].mean(axis=0)


def grain_outlines(field: CurrentMap) -> np.ndarray:
    """Edges between triangles of different grain or region, shape (k, 2, 2), m."""
    edges = np.sort(field.triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    owner = np.repeat(np.arange(len(field.triangles)), 3)
    order = np.lexsort((edges[:, 1], edges[:, 0]))
    edges, owner = edges[order], owner[order]
    twin = np.flatnonzero((edges[1:] == edges[:-1]).all(axis=1))
    first, second = owner[twin], owner[twin + 1]
    differ = (field.grain[first] != field.grain[second]) | (field.region[first] != field.region[second])
    return field.points[edges[twin[differ]]]


def current_map(field: CurrentMap, palette: Palette = THEMED) -> Figure:
    """Size of the ionic current density (mA/cm², log scale) over the whole cell and, beside it, around the hottest spot."""
    values = field.current_density / A_PER_M2_PER_MA_PER_CM2
    positive = values[values > 0]
    low, high = np.quantile(positive, 0.002), positive.max()
    log_scale = bool(high / low > 10)
    norm = LogNorm(max(low, high * 1e-4), high) if log_scale else Normalize(0.0, high)
    drawing, left, right = _two_panels(field, palette)
    with matplotlib.rc_context(STYLE):
        for axes, outline in ((left, 0.25), (right, 0.5)):
            drawn = axes.tripcolor(
                _triangulation(field), np.maximum(values, norm.vmin or 0.0), norm=norm, cmap="cividis", rasterized=True
            )
            _outline(axes, field, outline)
        _zoom(left, right, field, palette)
        name = f"current density (mA/cm²), {'logarithmic' if log_scale else 'linear'} scale"
        _colour_bar(drawing, drawn, (left, right), name, palette)
    return drawing


def potential_map(field: CurrentMap, palette: Palette = THEMED) -> Figure:
    """Electrolyte potential (mV) over the whole cell and around the hottest spot, with contours."""
    values = field.potential * 1e3
    drawing, left, right = _two_panels(field, palette)
    near = np.linalg.norm(field.points - hottest_spot(field), axis=1) < _zoom_half_width(field) * 1.4
    with matplotlib.rc_context(STYLE):
        for axes, shown in ((left, values), (right, values[near])):
            limits = {"vmin": values.min(), "vmax": values.max()}
            drawn = axes.tripcolor(_triangulation(field), values, shading="gouraud", cmap="cividis", rasterized=True, **limits)
            if np.ptp(shown) > 0:
                levels = np.linspace(shown.min(), shown.max(), 12)[1:-1]
                axes.tricontour(_triangulation(field), values, levels=levels, colors="white", linewidths=0.5, alpha=0.7)
        _zoom(left, right, field, palette)
        _colour_bar(drawing, drawn, (left, right), "electrolyte potential (mV), linear scale", palette)
    return drawing


def _two_panels(field: CurrentMap, palette: Palette) -> tuple[Figure, Any, Any]:
    """Figure with the whole cell on the left and a square for the close look on the right; micrometres."""
    width, height = np.ptp(field.points, axis=0)
    drawing = figure(float(np.clip(1.3 + 2.15 * max(height / width, 1.0), 3.0, 6.5)), palette)
    drawing.clear()
    with matplotlib.rc_context(STYLE):
        left, right = drawing.subplots(1, 2)
    for axes, title in ((left, "whole cell"), (right, "around the hottest spot")):
        dress(axes, palette)
        axes.grid(False)
        axes.set_aspect("equal")
        axes.set_title(title, fontsize=10, color=palette.ink)
        axes.set_xlabel("x (µm)", color=palette.ink)
    left.set_ylabel("y (µm)", color=palette.ink)
    return drawing, left, right


def _triangulation(field: CurrentMap) -> Triangulation:
    return Triangulation(field.points[:, 0] * 1e6, field.points[:, 1] * 1e6, field.triangles)


def _outline(axes: Any, field: CurrentMap, width: float) -> None:
    from matplotlib.collections import LineCollection

    axes.add_collection(
        LineCollection(list(grain_outlines(field) * 1e6), colors="white", linewidths=width, alpha=0.55, rasterized=True)
    )


def _zoom_half_width(field: CurrentMap) -> float:
    """Half the side of the close look, m: a sixteenth of the cell."""
    return float(np.ptp(field.points, axis=0).max()) / 16


def _zoom(left: Any, right: Any, field: CurrentMap, palette: Palette) -> None:
    """Limit the right panel to the hottest spot and mark that square on the left."""
    spot, half = hottest_spot(field) * 1e6, _zoom_half_width(field) * 1e6
    low, high = field.points.min(axis=0) * 1e6, field.points.max(axis=0) * 1e6
    centre = np.clip(spot, low + half, np.maximum(high - half, low + half))
    left.set_xlim(low[0], high[0])
    left.set_ylim(low[1], high[1])
    right.set_xlim(centre[0] - half, centre[0] + half)
    right.set_ylim(centre[1] - half, centre[1] + half)
    left.indicate_inset([*(centre - half), 2 * half, 2 * half], edgecolor=palette.series[1], alpha=1.0, linewidth=1.4)
    for spine in right.spines.values():
        spine.set(visible=True, color=palette.series[1], linewidth=1.4)


def _colour_bar(drawing: Figure, drawn: Any, panels: tuple[Any, Any], name: str, palette: Palette) -> None:
    bar = drawing.colorbar(drawn, ax=list(panels), orientation="horizontal", shrink=0.9, aspect=40, pad=0.03)
    bar.set_label(name, color=palette.ink)
    bar.ax.tick_params(which="both", colors=palette.muted, labelcolor=palette.ink)
    bar.outline.set_edgecolor(palette.muted)
