"""Maps of the steady fields in the cell: current density with a close look at its hottest spot, and potential."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation

from multiscale.reporting.figures import STYLE, THEMED, Palette, dress, figure, plain_log_ticks

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
    """Read current_map.npz.

    Raises:
        KeyError or ValueError: an array is missing or has the wrong shape, or the file is damaged.
        OSError: there is no such file.
    """
    keys = ("points", "triangles", "current_density", "potential", "region", "grain")
    try:
        with np.load(path, allow_pickle=False) as data:
            names = tuple(str(name) for name in data["region_names"]) if "region_names" in data else ()
            arrays = {key: np.asarray(data[key]) for key in keys}
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path} is damaged ({error})") from error
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
    """Edges between triangles of different region, or of different grain within the largest region, shape (k, 2, 2), m."""
    edges = np.sort(field.triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    owner = np.repeat(np.arange(len(field.triangles)), 3)
    order = np.lexsort((edges[:, 1], edges[:, 0]))
    edges, owner = edges[order], owner[order]
    twin = np.flatnonzero((edges[1:] == edges[:-1]).all(axis=1))
    first, second = owner[twin], owner[twin + 1]
    bulk = np.bincount(field.region.astype(int)).argmax()
    grains = (field.grain[first] != field.grain[second]) & (field.region[first] == bulk)
    differ = grains | (field.region[first] != field.region[second])
    return field.points[edges[twin[differ]]]


def flaw_tip(field: CurrentMap) -> np.ndarray | None:
    """Highest point of the open boundary that is not a side of the cell, shape (2,), m: the flaw's tip; None without one."""
    edges = np.sort(field.triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    unique, counts = np.unique(edges, axis=0, return_counts=True)
    open_points = field.points[np.unique(unique[counts == 1])]
    low, high = field.points.min(axis=0), field.points.max(axis=0)
    margin = 1e-6 * (high - low)
    inner = open_points[((open_points > low + margin) & (open_points < high - margin)).all(axis=1)]
    tip: np.ndarray | None = inner[np.argmax(inner[:, 1])] if len(inner) else None
    return tip


def current_map(field: CurrentMap, palette: Palette = THEMED) -> Figure:
    """Size of the ionic current density (mA/cm²; log scale where it spans a decade) in the cell and in close looks."""
    values = field.current_density / A_PER_M2_PER_MA_PER_CM2
    positive = values[values > 0]
    if not len(positive):
        raise ValueError("no current flows anywhere")
    low, high = np.quantile(positive, 0.002), positive.max()
    log_scale = bool(high / low > 10)
    norm = LogNorm(max(low, high * 1e-4), high) if log_scale else Normalize(0.0, high)
    shown = np.maximum(values, norm.vmin or 0.0)
    drawing, panels, bar = _panels(field, palette)
    with matplotlib.rc_context(STYLE):
        for index, axes in enumerate(panels):
            drawn = axes.tripcolor(_triangulation(field), shown, norm=norm, cmap="cividis", rasterized=True)
            _outline(axes, field, 0.35 if index == 0 else 0.6)
        name = f"current density (mA/cm²), {'logarithmic' if log_scale else 'linear'} scale"
        _colour_bar(drawing, drawn, bar, name, palette)
        if log_scale:
            plain_log_ticks(bar.xaxis)
    return drawing


def potential_map(field: CurrentMap, palette: Palette = THEMED) -> Figure:
    """Electrolyte potential (mV) in the cell and in close looks, with contours evenly spaced within each panel."""
    values = field.potential * 1e3
    drawing, panels, bar = _panels(field, palette)
    limits = {"vmin": values.min(), "vmax": values.max()}
    x, y = field.points.T * 1e6
    with matplotlib.rc_context(STYLE):
        for axes in panels:
            drawn = axes.tripcolor(_triangulation(field), values, shading="gouraud", cmap="cividis", rasterized=True, **limits)
            (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
            inside = values[(x >= left) & (x <= right) & (y >= bottom) & (y <= top)]
            if len(inside) and np.ptp(inside) > 1e-9 * np.abs(values).max():
                levels = np.linspace(inside.min(), inside.max(), 10)[1:-1]
                axes.tricontour(_triangulation(field), values, levels=levels, colors="white", linewidths=0.4, alpha=0.6)
        _colour_bar(drawing, drawn, bar, "electrolyte potential (mV), linear scale", palette)
    return drawing


def _panels(field: CurrentMap, palette: Palette) -> tuple[Figure, list[Any], Any]:
    """Figure with the whole cell at the left, square close looks at the right, a colour bar below; lengths in µm.

    Sizes are set in inches, so that no label is cut whatever the shape of the cell.
    """
    low, high = field.points.min(axis=0) * 1e6, field.points.max(axis=0) * 1e6
    spots = {"hottest spot": hottest_spot(field) * 1e6}
    if (tip := flaw_tip(field)) is not None:
        spots["flaw tip"] = tip * 1e6
    wide, side, bottom = 2.6, 1.2, 1.2
    tall = float(np.clip(wide * (high[1] - low[1]) / (high[0] - low[0]), 2 * side + 0.5, 5.5))
    drawing = figure(bottom + tall + 0.3, palette)
    drawing.clear()
    drawing.set_layout_engine("none")
    width, height = drawing.get_size_inches()

    def place(x: float, y: float, w: float, h: float) -> Any:
        axes = drawing.add_axes((x / width, y / height, w / width, h / height))
        dress(axes, palette)
        axes.grid(False)
        return axes

    with matplotlib.rc_context(STYLE):
        cell = place(0.55, bottom, wide, tall)
        cell.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", anchor="N", xlabel="x (µm)", ylabel="y (µm)")
        cell.set_title("whole cell", fontsize=10, color=palette.ink)
        panels = [cell]
        for index, (name, spot) in enumerate(spots.items()):
            axes = place(3.85, bottom + tall - side - index * (side + 0.5), side, side)
            half = float((high - low).max()) / 32
            _close_look(cell, axes, name, np.clip(spot, low + half, high - half), half, palette.series[1 + 2 * index])
            panels.append(axes)
        bar = place(0.8, 0.5, width - 1.6, 0.12)
    return drawing, panels, bar


def _close_look(cell: Any, axes: Any, name: str, spot: np.ndarray, half: float, color: str) -> None:
    """Limit axes to the square of half side `half` (µm) around a spot and mark that square in the cell."""
    axes.set(xlim=(spot[0] - half, spot[0] + half), ylim=(spot[1] - half, spot[1] + half))
    axes.set_title(name, fontsize=10, color=color)
    axes.locator_params(nbins=3)
    cell.indicate_inset([*(spot - half), 2 * half, 2 * half], edgecolor=color, alpha=1.0, linewidth=1.4)
    for spine in axes.spines.values():
        spine.set(visible=True, color=color, linewidth=1.4)


def _triangulation(field: CurrentMap) -> Triangulation:
    return Triangulation(field.points[:, 0] * 1e6, field.points[:, 1] * 1e6, field.triangles)


def _outline(axes: Any, field: CurrentMap, width: float) -> None:
    lines = list(grain_outlines(field) * 1e6)
    axes.add_collection(LineCollection(lines, colors="white", linewidths=width, alpha=0.6, rasterized=True), autolim=False)


def _colour_bar(drawing: Figure, drawn: Any, axes: Any, name: str, palette: Palette) -> None:
    bar = drawing.colorbar(drawn, cax=axes, orientation="horizontal")
    bar.set_label(name, color=palette.ink)
    axes.tick_params(which="both", colors=palette.muted, labelcolor=palette.ink)
    bar.outline.set_edgecolor(palette.muted)
